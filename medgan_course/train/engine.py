"""Play a game: device, precision, seeds, checkpoints, progress. Recipes say none of these."""

import math
import sys
from collections.abc import Callable, Iterable
from pathlib import Path
from typing import Any

import torch
from torch import Tensor
from tqdm.auto import tqdm

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
        :class:`~medgan_course.data.batches.Batches` gives batch ``i`` at step ``i``, so a resumed run equals an
        uninterrupted one. Any other iterable is read over and over.
    steps : int
        Steps in all, those already played included.
    seed : int
        Seed of every random draw inside the costs. The caller's random state is left as it was.
    device : torch.device or str, optional
        Default: CUDA if present, else the CPU.
    precision : {"float32", "bfloat16"}, optional
        Default: bfloat16 autocast on CUDA cards that have it, else float32.
    checkpoint : path, optional
        Resumed from if it exists; written every ``checkpoint_every`` steps and at the end.
    watch : callable, optional
        ``watch(game)`` is called before the first step, then every ``watch_every`` steps, and after the last.

    Returns
    -------
    dict
        ``"mover.term"`` to the list of its values, one for each step in which the turn was taken.

    Raises
    ------
    CourseError
        If a term stops being finite, or the GPU's memory is too small.
    """
    device = torch.device(device) if device is not None else best_device()
    if precision is None:
        precision = "bfloat16" if device.type == "cuda" and torch.cuda.is_bf16_supported() else "float32"
    autocast = torch.autocast(device.type, torch.bfloat16, enabled=precision == "bfloat16")

    game.to(device)
    path = None if checkpoint is None else Path(checkpoint)
    if path is not None and path.exists():
        checkpoints.load(game, path)
    at_step = _batch_source(batches, device)
    unread: list[dict[str, Tensor]] = []

    def watched() -> None:
        if watch is not None:
            # Whatever watch draws must not change the training.
            with torch.random.fork_rng(devices=_cuda(device)):
                watch(game)

    def saved() -> None:
        if path is not None:
            game.random_state = torch.get_rng_state()
            checkpoints.save(game, path)

    with torch.random.fork_rng(devices=_cuda(device)), _progress(game.step, steps) as bar:
        if game.random_state is None:
            torch.manual_seed(seed)
        else:
            torch.set_rng_state(game.random_state)
        if game.step == 0:
            watched()
        try:
            while game.step < steps:
                batch = at_step(game.step)
                terms = {}
                for turn in game.turns:
                    if game.step % turn.every == 0:
                        terms |= game.take(turn, batch, autocast)
                unread.append(terms)
                game.step += 1
                bar.update()
                last = game.step == steps
                if last or game.step % READ_EVERY == 0:
                    _read(unread, game)
                    bar.set_postfix({name: f"{values[-1]:.2f}" for name, values in game.history.items()})
                if game.step % watch_every == 0 or last:
                    watched()
                if game.step % checkpoint_every == 0 or last:
                    _read(unread, game)
                    saved()
        except torch.OutOfMemoryError as error:
            raise CourseError(
                f"The GPU ran out of memory at step {game.step}: lower the batch size or the image size, "
                "or restart the kernel if an earlier model still holds memory."
            ) from error
        game.random_state = torch.get_rng_state()
    return dict(game.history)


def _cuda(device: torch.device) -> list[torch.device]:
    return [device] if device.type == "cuda" else []


def _batch_source(batches: Batches | Iterable[Any], device: torch.device) -> Callable[[int], Any]:
    if isinstance(batches, Batches):
        return batches.to(device).__getitem__

    def forever():  # noqa: ANN202
        while True:
            empty = True
            for batch in batches:
                empty = False
                yield batch.to(device) if hasattr(batch, "to") else batch
            if empty:
                raise CourseError("The batches are empty: fit needs an iterable that can be read more than once.")

    stream = forever()
    return lambda step: next(stream)


def _progress(done: int, steps: int) -> tqdm:
    # A notebook always shows the bar; a terminal does; a log file (no terminal) would fill with bars and does not.
    quiet = {} if "ipykernel" in sys.modules else {"disable": None}
    return tqdm(total=steps, initial=done, unit="step", leave=False, **quiet)


def _read(unread: list[dict[str, Tensor]], game: Game) -> None:
    """Append the terms in ``unread`` to the history and empty it; stop at the first that is not finite."""
    first = game.step - len(unread)
    for offset, terms in enumerate(unread):
        for name, term in terms.items():
            value = term.item()
            if not math.isfinite(value):
                raise CourseError(
                    f"Training diverged: the term {name} became {value} at step {first + offset}; "
                    "lower the learning rate, or look at the terms before it in game.history."
                )
            game.history[name].append(value)
    unread.clear()
