"""Play a game: device, precision, seeds, checkpoints, progress. Recipes say none of these."""

import builtins
import math
import signal
import threading
from collections.abc import Callable, Iterable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import torch
from torch import Tensor
from tqdm import tqdm

from medgan_course.data.batches import Batches
from medgan_course.errors import CourseError
from medgan_course.train import checkpoint as checkpoints
from medgan_course.train.game import Game

# Terms stay on the device between two readings, so that logging does not make a GPU wait every step.
READ_EVERY = 25


def best_device() -> torch.device:
    """Return the CUDA device if there is one, else the CPU."""
    return torch.device("cuda" if torch.cuda.is_available() else "cpu")


def fit(
    game: Game,
    batches: Batches | Iterable[Any],
    steps: int,
    *,
    seed: int = 0,
    device: torch.device | str | None = None,
    precision: str | None = None,
    checkpoint: str | Path | None = None,
    checkpoint_every: int = 500,
    watch: Callable[[Game], None] | None = None,
    watch_every: int = 100,
) -> dict[str, list[float]]:
    """Play ``game`` until ``steps`` steps have been played in all, and return its history.

    Parameters
    ----------
    game : Game
        Continues from ``game.step``.
    batches : Batches or iterable
        :class:`~medgan_course.data.batches.Batches` gives batch ``i`` at step ``i``, so a resumed run equals
        an uninterrupted one. Any other iterable is read over and over, and from its start by every ``fit``.
    steps : int
        Steps in all, those already played included.
    seed : int
        Seed of every torch draw inside the costs. The caller's random state is left as it was.
    device : torch.device or str, optional
        Default: CUDA if present, else the CPU.
    precision : {"float32", "bfloat16"}, optional
        Default: bfloat16 autocast on CUDA cards that have it, else float32.
    checkpoint : path, optional
        Resumed from if it exists, whatever ``game`` has played; written every ``checkpoint_every`` steps and
        after the last.
    watch : callable, optional
        ``watch(game)`` is called before step 0, then every ``watch_every`` steps, and after the last. It may
        draw random numbers, and should look at ``game.averaged(name)``, a copy, not at the nets in training.

    Returns
    -------
    dict
        ``"mover.term"`` to the list of its values, one for each step in which the turn was taken.

    Raises
    ------
    CourseError
        If a term or a weight stops being finite (the last checkpoint is kept), the GPU's memory is too small,
        or the checkpoint cannot be read or written.
    """
    if precision not in (None, "float32", "bfloat16"):
        raise CourseError(f"precision={precision!r} is not known to fit: choose 'float32' or 'bfloat16'.")
    device = torch.device(device) if device is not None else best_device()
    if precision is None:
        precision = "bfloat16" if device.type == "cuda" and torch.cuda.is_bf16_supported() else "float32"
    autocast = torch.autocast(device.type, torch.bfloat16, enabled=precision == "bfloat16")

    path = None if checkpoint is None else Path(checkpoint)
    unread: list[dict[str, Tensor]] = []

    def watched() -> None:
        if watch is not None:
            _read(unread, game)
            # Whatever watch draws must not change the training.
            with _forked(device):
                watch(game)

    def saved() -> None:
        if path is not None:
            _read(unread, game)
            _check_weights(game)
            checkpoints.save(game, path)

    with _memory_explained(game), _forked(device):
        game.to(device)
        if path is not None and path.exists():
            checkpoints.load(game, path)
        at_step = _batch_source(batches, device)
        generators = _generators(device)
        for key, generator in generators.items():
            if key in game.random_state:
                generator.set_state(game.random_state[key])
            else:
                generator.manual_seed(seed)
        if game.step == 0:
            watched()
        with _progress(game.step, steps) as bar:
            try:
                while game.step < steps:
                    repeats = game.batches_per_step
                    batch = [at_step(game.step * repeats + r) for r in range(repeats)]
                    with _uninterrupted():
                        unread.append(game.play(batch, autocast))
                        game.random_state = {
                            key: generator.get_state() for key, generator in generators.items()
                        }
                    bar.update()
                    last = game.step == steps
                    if last or game.step % READ_EVERY == 0:
                        _read(unread, game)
                        bar.set_postfix({name: f"{values[-1]:.2f}" for name, values in game.history.items()})
                    if last or game.step % watch_every == 0:
                        watched()
                    if last or game.step % checkpoint_every == 0:
                        saved()
            except KeyboardInterrupt:
                # Whoever interrupts a training in a notebook may want to look at it and go on.
                _read(unread, game)
                raise
    return game.history.copy()


def _generators(device: torch.device) -> dict[str, torch.Generator]:
    """Return the generators that costs draw from, CPU's and device's, by their names in a checkpoint."""
    generators = {"random_state": torch.default_generator}
    if device.type == "cuda":
        torch.cuda.init()
        index = torch.cuda.current_device() if device.index is None else device.index
        generators["random_state_cuda"] = torch.cuda.default_generators[index]
    return generators


@contextmanager
def _uninterrupted() -> Iterator[None]:
    """Hold Ctrl-C, or a notebook's stop button, back until the block is complete.

    Half a step cannot be taken back, and a resumed run would take its first turns twice.
    """
    handler = signal.getsignal(signal.SIGINT)
    if threading.current_thread() is not threading.main_thread() or not callable(handler):
        yield  # no interrupt arrives here
        return
    held = []
    signal.signal(signal.SIGINT, lambda *_: held.append(True))
    try:
        yield
    finally:
        signal.signal(signal.SIGINT, handler)
        if held:
            signal.raise_signal(signal.SIGINT)


@contextmanager
def _forked(device: torch.device) -> Iterator[None]:
    """Leave the generators as they are found."""
    states = [(generator, generator.get_state()) for generator in _generators(device).values()]
    try:
        yield
    finally:
        for generator, state in states:
            generator.set_state(state)


@contextmanager
def _memory_explained(game: Game) -> Iterator[None]:
    try:
        yield
    except torch.OutOfMemoryError as error:
        raise CourseError(
            f"The GPU ran out of memory at step {game.step}: lower the batch size or the image size, "
            "or restart the kernel if an earlier model still holds memory."
        ) from error


def _batch_source(batches: Batches | Iterable[Any], device: torch.device) -> Callable[[int], Any]:
    if isinstance(batches, Batches):
        return batches.to(device).__getitem__

    def forever():
        while True:
            empty = True
            for batch in batches:
                empty = False
                yield _on(device, batch)
            if empty:
                raise CourseError(
                    "The batches are empty: fit needs an iterable that can be read again and again."
                )

    stream = forever()
    return lambda step: next(stream)


def _on(device: torch.device, batch: Any) -> Any:
    if isinstance(batch, dict):
        return {key: _on(device, value) for key, value in batch.items()}
    if hasattr(batch, "to"):
        return batch.to(device)
    if isinstance(batch, list | tuple):
        moved = [_on(device, value) for value in batch]
        return type(batch)(*moved) if hasattr(batch, "_fields") else type(batch)(moved)
    return batch


def _progress(done: int, steps: int) -> tqdm:
    # Notebooks and terminals show the bar; a log file would fill with bars and shows none.
    quiet = {} if hasattr(builtins, "__IPYTHON__") else {"disable": None}
    return tqdm(total=steps, initial=done, unit="step", leave=False, **quiet)


def _read(unread: list[dict[str, Tensor]], game: Game) -> None:
    """Append the terms in ``unread`` to the history and empty it; stop at the first that is not finite."""
    while unread:
        with _uninterrupted():
            step = game.step - len(unread)
            values = {name: term.item() for name, term in unread[0].items()}
            for name, value in values.items():
                if not math.isfinite(value):
                    raise CourseError(
                        f"Training diverged: the term {name} became {value} at step {step}; "
                        "lower the learning rate, or look at the terms before it in game.history."
                    )
            game.history.add(step, values)
            del unread[0]


def _check_weights(game: Game) -> None:
    """Stop before a checkpoint whose terms are all finite but whose last gradients were not."""
    for name, player in game.players.items():
        if not all(parameter.isfinite().all() for parameter in player.net.parameters()):
            raise CourseError(
                f"Training diverged: {name} has weights that are not finite after step {game.step - 1}; "
                "lower the learning rate, or look for a gradient that is infinite at zero."
            )
