"""How fast phantoms are made, and how long a training's data take beside the training itself.

.. code-block:: console

    python -m benchmarks.phantoms --out benchmarks/phantoms-cpu.json

How fast phantoms come is given in CPU seconds, so that whatever else runs on the machine counts little, and
in seconds of the clock on one core and on two, as whoever asks for some gets them: PyTorch has a thread for
each core, and each computes subjects of its own. The clock needs a quiet machine. Every measurement is a
fresh process.

A training is not played to its end: after some steps that are not timed, others are, and their time is
multiplied by the steps of the experiment's budget in the profile ``cpu``. The first training of the
experiment is taken, without whatever its scores cost. Its data are those that the whole experiment loads:
phantoms, where no real images can be had.
"""

import json
import statistics
import tempfile
import time
from dataclasses import dataclass
from importlib import import_module
from pathlib import Path
from typing import Any

import click
import torch

from benchmarks.measure import alone, keep
from medgan_course import budgets, data
from medgan_course.data import surrogate
from medgan_course.experiments import Run
from medgan_course.train import Game, fit
from medgan_course.viz.table import Table

SYSTEMS = ("pix2pix", "cyclegan", "spade", "dcgan", "wgan_gp", "conditional_gan", "vdsr")
SIZE = {2: 64, 3: 32}  # pixels; a set that needs files is made at the smallest size it has
SUBJECTS = {2: 64, 3: 8}
CONTRASTS = 4  # at most
LEAST = {"head2d": 150, "head3d": 10, "abdomen3d": 10, "heart3d": 10}  # subjects a second on two cores
CORES = ("1", "2")
WARM_UP, TIMED = 4, 32  # steps: penalties that come every sixteenth are in it as often as they should


def sets() -> list[str]:
    """Return the computed sets, and one other of every family that none of them is of."""
    cards = [data.card(name) for name in data.names()]
    computed = [card for card in cards if not card.files]
    families = {card.phantom for card in computed}
    others = {card.phantom.partition(".")[0]: card for card in cards if card.files}
    return [
        card.name for card in [*computed, *(others[family] for family in sorted(others.keys() - families))]
    ]


def made(name: str) -> dict[str, float]:
    """Return subjects per CPU second and per second of the clock, of those of set ``name``."""
    card = data.card(name)
    size, n = min(card.files, default=SIZE[card.dim]), SUBJECTS[card.dim]
    labels, _ = surrogate.population(card, "train", n)

    def draw(first: int, chosen: torch.Tensor) -> None:
        if card.files:
            surrogate.render(card, size, chosen, first=first)
            return
        import_module(f"medgan_course.data.phantom.{card.phantom}").phantoms(
            range(first, first + len(chosen)),
            size=size,
            seed=0,
            labels=chosen.tolist(),
            contrasts=card.contrasts[:CONTRASTS],
            **card.knobs,
        )

    draw(n, labels[:2])
    cpu, clock = time.process_time(), time.perf_counter()
    draw(0, labels)
    return {
        "size": size,
        "per_cpu_second": len(labels) / (time.process_time() - cpu),
        "per_second": len(labels) / (time.perf_counter() - clock),
    }


class _Measured(Exception):
    """The CPU seconds that a training would take."""


@dataclass
class Trial(Run):
    """A run whose first training stops as soon as it is known how long it would take."""

    def fit(self, game: Game, batches: Any, steps: int, *, name: str | None = None, **options: Any) -> Any:
        after: dict[int, float] = {}
        fit(
            game,
            batches,
            WARM_UP + TIMED,
            seed=self.seed,
            **options
            | {"watch": lambda game: after.update({game.step: time.process_time()}), "watch_every": 1},
        )
        raise _Measured(steps * (after[WARM_UP + TIMED] - after[WARM_UP]) / TIMED)


def shared(system: str) -> dict[str, Any]:
    """Return the CPU seconds of a system's data and of its first training, in the profile ``cpu``."""
    with budgets.using("cpu"):
        module = import_module(f"medgan_course.systems.{system}")
        experiment = module.experiment(module.budget())
    parts = [part for part in experiment.data if isinstance(part, data.Dataset)]
    # The experiment has loaded them, which imported what is needed: this time only making them is timed.
    data._phantoms.cache_clear()
    surrogate.arrays.cache_clear()
    start = time.process_time()
    for part in parts:
        data.load(part.name, size=part.size, split=part.split)
    making = time.process_time() - start
    for name, arm in experiment.arms.items():
        try:
            arm(Trial(name, 0, Path()))
        except _Measured as found:
            return {
                "data": ", ".join(f"{part.name} {part.split} at {part.size} px" for part in parts),
                "arm": name,
                "data_seconds": making,
                "training_seconds": found.args[0],
            }
    raise RuntimeError(f"no arm of {system} trains anything")


def speeds(measured: dict[str, dict[str, list[dict[str, float]]]]) -> Table:
    """Return one line a set: medians over the rounds and their range, and how fast it has to be."""
    rows = [
        [
            name,
            f"{by_cores['1'][0]['size']}",
            _spread(by_cores["1"], "per_cpu_second"),
            *(_spread(by_cores[cores], "per_second") for cores in CORES),
            LEAST.get(name, ""),
        ]
        for name, by_cores in measured.items()
    ]
    columns = ["set", "size", "subjects per CPU s", *(f"subjects/s, {n} core(s)" for n in CORES), "at least"]
    caption = f"Phantoms, up to {CONTRASTS} contrasts of each subject: medians (and ranges)"
    return Table(columns, rows, caption=caption)


def shares(measured: dict[str, dict[str, Any]]) -> Table:
    """Return one line a system: what making its data costs beside one training."""
    rows = [
        [
            f"{system}, {found['arm']}",
            found["data"],
            f"{found['data_seconds']:,.1f}",
            f"{found['training_seconds']:,.0f}",
            f"{found['data_seconds'] / (found['data_seconds'] + found['training_seconds']):.1%}",
        ]
        for system, found in measured.items()
    ]
    columns = ["training", "data", "data, CPU s", "training, CPU s", "share of data in both"]
    caption = f"Trainings of the profile cpu, from {TIMED} of their steps"
    return Table(columns, rows, caption=caption)


def _spread(rounds: list[dict[str, float]], key: str) -> str:
    values = [one[key] for one in rounds]
    return f"{statistics.median(values):,.1f} ({min(values):,.1f}-{max(values):,.1f})"


@click.command(help=__doc__.partition("\n")[0])
@click.option("--set", "names", multiple=True, type=click.Choice(sets()), help="Only these; else all.")
@click.option("--system", "systems", multiple=True, help=f"Only these; else {', '.join(SYSTEMS)}.")
@click.option("--rounds", default=5, show_default=True, type=click.IntRange(min=1))
@click.option("--out", type=click.Path(path_type=Path), help="The JSON file for everything measured.")
@click.option("--here", type=click.Choice(["set", "system"]), hidden=True, help="Measure in this process.")
def main(
    names: tuple[str, ...], systems: tuple[str, ...], rounds: int, out: Path | None, here: str | None
) -> None:
    if here is not None:
        torch.set_flush_denormal(True)
        click.echo(json.dumps(made(names[0]) if here == "set" else shared(systems[0])))
        return

    only = bool(names or systems)
    speed: dict[str, dict[str, list[dict[str, float]]]] = {}
    for name in names if only else sets():
        speed[name] = {cores: [] for cores in CORES}
        for _ in range(rounds):
            for cores, found in speed[name].items():
                found.append(alone("benchmarks.phantoms", {"here": "set", "set": name}, int(cores)))
        click.echo(f"measured {name}", err=True)
    if speed:
        click.echo(f"{speeds(speed)}\n")

    cost: dict[str, dict[str, Any]] = {}
    with tempfile.TemporaryDirectory() as nowhere:
        # No real images: no folder has any, and no server answers.
        alike = {"HOME": nowhere, "MEDGAN_DATA": "", "https_proxy": "http://127.0.0.1:9"}
        for name in systems if only else SYSTEMS:
            cost[name] = alone("benchmarks.phantoms", {"here": "system", "system": name}, 1, **alike)
            click.echo(f"measured {name}", err=True)
    if cost:
        click.echo(f"{shares(cost)}\n")
    if out is not None:
        facts = {"speed": speed, "cost": cost, "rounds": rounds, "steps": TIMED}
        keep(out, "benchmarks.phantoms", "cpu", facts)
        click.echo(f"Wrote {out}.")


if __name__ == "__main__":
    main()
