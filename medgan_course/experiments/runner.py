"""Run an experiment: every seed, every arm, resumable at any moment; then judge its claims.

And train, as resumably, a network that is kept.
"""

import ast
import dataclasses
import hashlib
import importlib
import inspect
import json
import os
import platform
import re
import shlex
import sys
import time
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, field
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import torch
from safetensors import SafetensorError, safe_open
from safetensors.torch import save_file
from torch import Tensor, nn

import medgan_course
from medgan_course import budgets, pretrained, systems
from medgan_course.data import Dataset
from medgan_course.errors import CourseError, did_you_mean
from medgan_course.experiments.card import ResultsCard, quantities, rounded
from medgan_course.experiments.claim import Claim, Outcome, interval, verdict
from medgan_course.train import Game, fit
from medgan_course.writing import replacing

Arm = Callable[["Run"], Outcome]

# What judges outcomes and prints them: it may change without a new training.
JUDGES = {"medgan_course.experiments.card", "medgan_course.experiments.claim"}


@dataclass(frozen=True)
class Experiment:
    """What a system's ``experiment`` returns: arms to train, and claims about them.

    Parameters
    ----------
    arms : mapping of str to callable
        ``arm(run) -> Outcome`` trains one arm with ``run.seed`` and scores it. Reference rows, such as real
        images or bicubic interpolation, are arms that train nothing.
    claims : sequence of Claim
        What is compared, with thresholds; each with a reference row, without which no number means anything.
    data : sequence of Dataset or dict
        Every set that was trained or scored on. For a set that is no ``Dataset``, a dict with ``name``,
        ``split``, ``size`` (in pixels, None for points), ``n``, ``source`` and ``surrogate``.
    """

    arms: Mapping[str, Arm]
    claims: Sequence[Claim]
    data: Sequence[Dataset | dict[str, Any]]

    def __post_init__(self) -> None:
        for claim in self.claims:
            if not claim.references:
                raise CourseError(
                    f"The claim {claim.statement!r} has no reference row: name in references= an arm that "
                    "is a trivial baseline or an oracle."
                )
            for name in claim.arms:
                if name not in self.arms:
                    raise CourseError(
                        f"A claim about {claim.metric} names an arm {name!r}: {did_you_mean(name, self.arms)}"
                    )


@dataclass(frozen=True)
class Trained:
    """What a system's ``training`` returns: a network to keep, and what its card must say.

    Parameters
    ----------
    net : nn.Module
        The trained network, or several in an ``nn.ModuleDict``.
    build : callable
        ``build(**config)`` is the same network, untrained, for :func:`medgan_course.pretrained.load`.
    config : dict
        Its arguments, as JSON can hold them.
    data : Dataset
        What it was trained on.
    history : dict of str to list of float
        Of the training, or of the last of several.
    """

    net: nn.Module
    build: Callable[..., nn.Module]
    config: dict[str, Any]
    data: Dataset
    history: dict[str, list[float]]


@dataclass
class Run:
    """One arm with one seed, as the arm's function sees it.

    Attributes
    ----------
    arm : str
        Its name.
    seed : int
        For weights, batches, and whatever else is drawn.
    folder : Path
        Where its trainings keep their checkpoints.
    parameters : dict of str to int
        Trainable weights of every player that :meth:`fit` has trained.
    watch : callable
        Told of the checkpoint of every training before it starts.
    """

    arm: str
    seed: int
    folder: Path
    parameters: dict[str, int] = field(default_factory=dict)
    watch: Callable[[Path], None] = lambda checkpoint: None

    def fit(
        self, game: Game, batches: Any, steps: int, *, name: str | None = None, **options: Any
    ) -> dict[str, list[float]]:
        """Train as :func:`~medgan_course.train.engine.fit` does, with this seed, and resume where it stopped.

        Parameters
        ----------
        game, batches, steps, **options
            As for ``fit``.
        name : str, optional
            Of the training; default: the arm's. An arm that trains twice gives two names. Two arms that give
            the same name, and the same game, share one training of each seed.

        Returns
        -------
        dict
            The history.
        """
        self.parameters.update(weights(game))
        checkpoint = self.folder / f"{_file_name(name or self.arm)}.checkpoint.safetensors"
        self.watch(checkpoint)
        return fit(game, batches, steps, seed=self.seed, checkpoint=checkpoint, **options)

    def stages(
        self, game: Game, batches: Any, steps: int, number: int, *, name: str | None = None, **options: Any
    ) -> Iterator[int]:
        """Train as :meth:`fit` does, in ``number`` equal parts, and yield the steps played after each.

        For what is followed over a training. Each part ends with a checkpoint of its own: a resumed run
        yields them all again, each with the game as it was then.
        """
        for stage in range(1, number + 1):
            self.fit(
                game,
                batches,
                stage * steps // number,
                name=f"{name or self.arm} {stage} of {number}",
                **options,
            )
            yield game.step


def weights(game: Game) -> dict[str, int]:
    """Return the number of trainable weights of every player."""
    return {name: sum(p.numel() for p in player.parameters) for name, player in game.players.items()}


def find(name: str) -> str:
    """Return the module name of a system from its number, such as ``S03``, or its name, such as ``dcgan``.

    Raises
    ------
    CourseError
        If there is none; the nearest is suggested.
    """
    known = titles()
    numbers = {title.partition(",")[0].lower(): module for module, title in known.items()}
    wanted = name.lower().replace("-", "_")
    module = numbers.get(wanted, wanted)
    if module not in known:
        meant = re.sub(r"\bs(\d+)\b", r"S\1", did_you_mean(wanted, [*known, *numbers]))
        raise CourseError(f"There is no system {name!r}: {meant}")
    return module


def titles() -> dict[str, str]:
    """Return ``{"dcgan": "S03, DCGAN (...)"}`` for every file in ``systems/``, in the order of their numbers.

    The first line of a file's docstring is its title; nothing is imported to read it.
    """
    found = {}
    for path in Path(systems.__file__).parent.glob("*.py"):
        title = (ast.get_docstring(ast.parse(path.read_text("utf-8"))) or "").partition("\n")[0].rstrip(".")
        if title[:1] == "S" and title.partition(",")[0][1:].isdigit():
            found[path.stem] = title
    return dict(sorted(found.items(), key=lambda item: item[1]))


def run(
    name: str,
    *,
    profile: str | None = None,
    seeds: Sequence[int] | None = None,
    settings: Mapping[str, str] | None = None,
    arms: Sequence[str] | None = None,
    out: Path = Path("results"),
    runs: Path = Path("runs"),
    say: Callable[[str], None] = lambda line: None,
) -> ResultsCard | None:
    """Run a system's experiment and write its card.

    An arm that has been scored for a seed is not run again; a training that was cut off goes on from its
    checkpoint. Both hold as long as settings, data, feature network, torch, and all of the library that the
    system imports are what they were; comments, docstrings and line breaks may change.

    Parameters
    ----------
    name : str
        ``"S03"`` or ``"dcgan"``.
    profile : {"smoke", "cpu", "gpu"}, optional
        Default: the one in force.
    seeds : sequence of int, optional
        Default: the profile's.
    settings : mapping of str to str, optional
        Fields of the budget and keyword parameters of ``experiment``, as written on the command line.
    arms : sequence of str, optional
        Run only these.
    out : Path
        Folder of the card ``<system>-<profile>.json``; what departs from the profile is part of the name, so
        that a trial never replaces the real thing.
    runs : Path
        Folder of checkpoints and outcomes.
    say : callable
        Told in one line what was done.

    Returns
    -------
    ResultsCard or None
        None while arms or seeds are missing, and in every process but the first of several.
    """
    module = find(name)
    with budgets.using(profile or budgets.profile()):
        return _run(module, seeds, settings or {}, arms, out, runs, say)


def _run(
    name: str,
    seeds: Sequence[int] | None,
    settings: Mapping[str, str],
    only: Sequence[str] | None,
    out: Path,
    runs: Path,
    say: Callable[[str], None],
) -> ResultsCard | None:
    module = importlib.import_module(f"{systems.__name__}.{name}")
    if not hasattr(module, "experiment"):
        raise CourseError(f"The system {name} has no experiment to run yet.")
    profile, chosen = budgets.profile(), sorted(budgets.seeds() if seeds is None else seeds)
    if len(set(chosen)) < len(chosen):
        raise CourseError(f"The seeds {' '.join(map(str, chosen))} name one twice: give each once.")
    fields = dataclasses.asdict(module.budget())
    known = fields | _defaults(module.experiment)
    every = _typed(name, known, settings)
    budget = dataclasses.replace(module.budget(), **{key: every[key] for key in fields})
    own = {key: value for key, value in every.items() if key not in fields}
    experiment: Experiment = module.experiment(budget, **own)
    for arm in only or ():
        if arm not in experiment.arms:
            raise CourseError(f"There is no arm {arm!r}: {did_you_mean(arm, experiment.arms)}")
    facts = [_facts(each) for each in experiment.data]
    folder = runs / name / f"{profile}-{_mark(module.__name__, every, facts, _feature_nets(facts))}"
    done: dict[str, dict[int, _Done]] = {arm: {} for arm in experiment.arms}
    for seed in chosen:
        for arm in only or experiment.arms:
            done[arm][seed] = _outcome(arm, experiment.arms[arm], seed, folder / f"seed-{seed}", say)
    if only:
        for seed in chosen:
            for arm in experiment.arms.keys() - set(only):
                path = folder / f"seed-{seed}" / f"{_file_name(arm)}.safetensors"
                if path.exists():
                    done[arm][seed] = _read(path)
    missing = [arm for arm, found in done.items() if found.keys() != set(chosen)]
    if missing:
        say(f"No card yet: {', '.join(missing)} not run.")
    if missing or _rank() > 0:
        return None

    say("Resampling seeds and images.")
    default_seeds = sorted(budgets.PROFILES[profile])
    changes = _changed(every, known)
    runs_done = [each for found in done.values() for each in found.values()]
    card = ResultsCard(
        system=name,
        title=titles()[name],
        profile=profile,
        seeds=chosen,
        claims=[_judge(claim, done, profile) for claim in experiment.claims],
        data=facts,
        settings=every,
        parameters={arm: next(iter(found.values())).parameters for arm, found in done.items()},
        seconds={arm: [round(found[seed].seconds, 1) for seed in chosen] for arm, found in done.items()},
        device="; ".join(dict.fromkeys(each.device for each in runs_done)),
        versions={
            name: "; ".join(dict.fromkeys(each.versions[name] for each in runs_done)) for name in _versions()
        },
        command=shlex.join(
            ["medgan", "run", name, "--profile", profile, "--seeds", *map(str, chosen), *_set(changes)]
        ),
        made=datetime.now(UTC).date().isoformat(),
    )
    departures = [f"{key}={_file_name(str(value))}" for key, value in changes.items()]
    if chosen != default_seeds:
        departures.append("seeds=" + ",".join(map(str, chosen)))
    if card.is_surrogate:
        departures.append("surrogate")
    path = out / f"{'-'.join([name, profile, *departures])}.json"
    card.write(path)
    say(f"Wrote {path}.\n\n{card}")
    return card


def train(
    name: str,
    *,
    seed: int = 0,
    settings: Mapping[str, str] | None = None,
    out: Path = Path("checkpoints"),
    runs: Path = Path("runs"),
) -> Path:
    """Train the network of a system that is kept, and write it with its card.

    A training that was cut off goes on when the same is asked for again, as in :func:`run`.

    Parameters
    ----------
    name : str
        ``"S03"`` or ``"dcgan"``.
    seed : int
        For weights, batches, and whatever else is drawn.
    settings : mapping of str to str, optional
        Keyword parameters of the system's ``training``, as written on the command line.
    out : Path
        Folder of the files ``<system>_<set>_<size>.safetensors`` and ``.json``.
    runs : Path
        Folder of unfinished trainings.

    Returns
    -------
    Path
        The file of the weights.

    Raises
    ------
    CourseError
        If the system trains nothing to be kept, or has no such setting.
    """
    module = importlib.import_module(f"{systems.__name__}.{find(name)}")
    name = module.__name__.rpartition(".")[2]
    if not hasattr(module, "training"):
        raise CourseError(f"The system {name} trains no network to be kept: medgan run makes its card.")
    known = _defaults(module.training)
    every = _typed(name, known, settings or {})
    folder = runs / name / f"kept-{_mark(module.__name__, every)}" / f"seed-{seed}"
    with _clock(folder / "seconds.json") as clock, torch.random.fork_rng():
        running = Run("kept", seed, folder, watch=clock.watch)
        torch.manual_seed(seed)
        trained: Trained = module.training(running, **every)
        took = clock.seconds
    path = out / f"{name}_{trained.data.name}_{trained.data.size}.safetensors"
    if _rank() == 0:
        pretrained.save(
            trained.net,
            path,
            build=trained.build,
            config=trained.config,
            system=titles()[name],
            data=_facts(trained.data),
            settings=every,
            seed=seed,
            device=_device(),
            seconds=round(took),
            command=shlex.join(["medgan", "train", name, "--seed", str(seed), *_set(_changed(every, known))]),
            final_losses={
                term: round(sum(values[-500:]) / len(values[-500:]), 3)
                for term, values in trained.history.items()
            },
        )
    return path


@dataclass(frozen=True)
class _Done:
    outcome: dict[str, Tensor]
    seconds: float
    parameters: dict[str, int]
    device: str
    versions: dict[str, str]


def _outcome(arm: str, function: Arm, seed: int, folder: Path, say: Callable[[str], None]) -> _Done:
    """Return an arm's outcome from its file, or run it and write that."""
    path = folder / f"{_file_name(arm)}.safetensors"
    if path.exists():
        say(f"seed {seed}  {arm}: done before")
        return _read(path)
    with _clock(folder / f"{_file_name(arm)}.seconds.json") as clock, torch.random.fork_rng():
        running = Run(arm, seed, folder, watch=clock.watch)
        torch.manual_seed(seed)
        outcome = {name: tensor.detach().cpu().contiguous() for name, tensor in function(running).items()}
        took = clock.seconds
    for name, tensor in outcome.items():
        if tensor.ndim == 0 or not len(tensor) or not tensor.isfinite().all():
            raise CourseError(
                f"The outcome {name!r} of {arm} has shape {tuple(tensor.shape)} or values that are not "
                "finite: its first axis must count the scored items, (1,) for a single number."
            )
    result = _Done(outcome, took, running.parameters, _device(), _versions())
    if _rank() == 0:
        facts = {key: value for key, value in vars(result).items() if key != "outcome"}
        try:
            with replacing(path) as partial:
                save_file(outcome, partial, {"facts": json.dumps(facts)})
        except (OSError, SafetensorError) as error:
            raise CourseError(f"{path} cannot be written ({error}): free space and run again.") from error
    say(f"seed {seed}  {arm}: {result.seconds:.1f} s")
    return result


def _read(path: Path) -> _Done:
    try:
        with safe_open(path, framework="pt") as file:
            outcome = {key: file.get_tensor(key) for key in file.keys()}  # noqa: SIM118 (safe_open is no mapping)
            return _Done(outcome, **json.loads(file.metadata()["facts"]))
    except (OSError, SafetensorError, KeyError, TypeError, ValueError) as error:
        raise CourseError(f"{path} is damaged ({error}): delete it, and its arm runs again.") from error


def _judge(claim: Claim, done: Mapping[str, Mapping[int, _Done]], profile: str) -> dict[str, Any]:
    outcomes = {arm: [each.outcome for each in done[arm].values()] for arm in claim.arms}
    values = {
        arm: [rounded(claim.of(outcome), digits=9) for outcome in each] for arm, each in outcomes.items()
    }
    ends = [rounded(end) for end in interval(claim, outcomes)]
    compared = quantities(
        claim.kind, values[claim.variant], None if claim.baseline is None else values[claim.baseline]
    )
    return {
        "statement": claim.statement,
        "metric": claim.metric,
        "kind": claim.kind,
        "better": claim.better,
        "variant": claim.variant,
        "baseline": claim.baseline,
        "margin": claim.margin,
        "fails": claim.fails,
        "values": values,
        "quantities": compared,
        "mean": rounded(sum(compared) / len(compared)),
        "interval": ends,
        "verdict": verdict(
            claim.kind, claim.better, claim.margin, claim.fails, ends, seeds=len(compared), profile=profile
        ),
    }


def _facts(seen: Dataset | dict[str, Any]) -> dict[str, Any]:
    if isinstance(seen, Mapping):
        return dict(seen)
    return {
        "name": seen.name,
        "split": seen.split,
        "size": seen.size,
        "n": len(seen),
        "source": seen.source,
        "surrogate": seen.is_surrogate,
    }


def _defaults(function: Callable[..., Any]) -> dict[str, Any]:
    """Return the settings of ``experiment`` or ``training``: its keyword parameters with their defaults."""
    parameters = inspect.signature(function).parameters.values()
    return {p.name: p.default for p in parameters if p.kind is p.KEYWORD_ONLY}


def _typed(name: str, known: Mapping[str, Any], settings: Mapping[str, str]) -> dict[str, Any]:
    """Return the ``known`` settings of a system, changed to what ``settings`` say, each of its type."""
    for key, value in known.items():
        if not isinstance(value, str | int | float):  # a bool is an int
            raise CourseError(
                f"The setting {key} of {name} is {value!r}, which neither a card nor the command "
                "line can hold: make it a number, a word, or true or false."
            )
    changed = dict(known)
    for key, text in settings.items():
        if key not in known:
            raise CourseError(f"There is no setting {key!r}: {did_you_mean(key, known)}")
        kind = type(known[key])
        try:
            changed[key] = {"true": True, "false": False}[text.lower()] if kind is bool else kind(text)
        except (ValueError, KeyError) as error:
            wanted = {bool: "true or false", int: "a whole number", float: "a number"}[kind]
            raise CourseError(f"The setting {key} is {text!r}: it must be {wanted}.") from error
    return changed


def _changed(every: Mapping[str, Any], known: Mapping[str, Any]) -> dict[str, Any]:
    """Return the settings that are not the defaults."""
    return {key: value for key, value in every.items() if value != known[key]}


def _set(changes: Mapping[str, Any]) -> list[str]:
    """Return the arguments that make these changes on the command line."""
    return [part for key, value in changes.items() for part in ("--set", f"{key}={value}")]


def _mark(module: str, *settings: Any) -> str:
    """Return a short hash of ``settings``, of torch, and of all of the library that ``module`` imports."""
    versions = [torch.__version__, medgan_course.__version__]
    depends_on = json.dumps([*settings, *versions, _code(module)], sort_keys=True)
    return hashlib.sha256(depends_on.encode()).hexdigest()[:8]


def _code(name: str) -> dict[str, str]:
    """Return the syntax of module ``name`` and of all that it imports of its package and the library's.

    Docstrings are left out, and so are :data:`JUDGES`.
    """
    folders = {
        package: Path(inspect.getfile(sys.modules[package])).parents[1]
        for package in (name.partition(".")[0], medgan_course.__name__)
    }
    found: dict[str, str] = {}
    waiting = [name]
    while waiting:
        path = waiting.pop()
        top = path.partition(".")[0]
        if path in found or path in JUDGES or top not in folders:
            continue
        place = folders[top].joinpath(*path.split("."))
        file = place / "__init__.py" if place.is_dir() else place.with_suffix(".py")
        if not file.is_file():  # a name within a module
            continue
        tree = ast.parse(file.read_text("utf-8"))
        for node in ast.walk(tree):
            if isinstance(node, ast.Import):
                waiting += [each.name for each in node.names]
            elif isinstance(node, ast.ImportFrom) and node.module:
                waiting += [node.module, *(f"{node.module}.{each.name}" for each in node.names)]
            elif isinstance(node, ast.Expr) and isinstance(node.value, ast.Constant):
                node.value = ast.Constant(None)
        found[path] = ast.dump(tree)
    return found


def _feature_nets(facts: Sequence[Mapping[str, Any]]) -> list[str]:
    """Return the checksums of the feature networks that the course ships for these sets."""
    cards = (pretrained.folder() / f"features_{each['name']}_{each['size']}.json" for each in facts)
    return [json.loads(card.read_text("utf-8"))["sha256"] for card in cards if card.is_file()]


def _versions() -> dict[str, str]:
    return {
        "medgan-course": medgan_course.__version__,
        "torch": torch.__version__,
        "python": platform.python_version(),
    }


class _Clock:
    """The seconds of one arm and seed so far, those of its interrupted runs included.

    A run that was killed could not write how long it took: it counts up to the last of its own checkpoints.
    """

    def __init__(self, path: Path) -> None:
        self.path, self.before = path, 0.0
        self.checkpoints: list[str] = []
        if path.exists():
            last = json.loads(path.read_text("utf-8"))
            self.before = last["seconds"]
            if (since := last["killed_after"]) is not None:
                files = (path.parent / name for name in last["checkpoints"])
                saved = [each.stat().st_mtime for each in files if each.exists()]
                self.before += max([since, *saved]) - since
        self.started = time.time()

    @property
    def seconds(self) -> float:
        return self.before + time.time() - self.started

    def watch(self, checkpoint: Path) -> None:
        """Count ``checkpoint`` as this run's."""
        self.checkpoints.append(checkpoint.name)
        self.write(self.before, killed_after=self.started)

    def write(self, seconds: float, *, killed_after: float | None) -> None:
        if _rank() == 0:
            state = {"seconds": seconds, "killed_after": killed_after, "checkpoints": self.checkpoints}
            with replacing(self.path) as partial:
                partial.write_text(json.dumps(state), "utf-8")


@contextmanager
def _clock(path: Path) -> Iterator[_Clock]:
    """Yield a running clock; stopped by an error or the user, it has nothing left to guess."""
    clock = _Clock(path)
    clock.write(clock.before, killed_after=clock.started)
    try:
        yield clock
    finally:
        clock.write(clock.seconds, killed_after=None)


def _file_name(text: str) -> str:
    return "".join(letter if letter.isalnum() or letter in "-_." else "_" for letter in text)


def _rank() -> int:
    """Return this process's number among those that ``accelerate launch`` started, 0 without it."""
    return int(os.environ.get("RANK", "0"))


def _device() -> str:
    processes = int(os.environ.get("WORLD_SIZE", "1"))
    kind = (
        torch.cuda.get_device_name()
        if torch.cuda.is_available()
        else f"CPU, {torch.get_num_threads()} thread(s)"
    )
    return kind if processes == 1 else f"{processes} processes on {kind}"
