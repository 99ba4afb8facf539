"""Play a game: device, precision, seeds, checkpoints, progress. Recipes say none of these."""

import math
import signal
import threading
import time
from collections.abc import Callable, Iterable, Iterator
from contextlib import contextmanager
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import torch
from torch import Tensor

from medgan_course import draws
from medgan_course.data.batches import Stream
from medgan_course.errors import CourseError, did_you_mean
from medgan_course.train import checkpoint as checkpoints
from medgan_course.train.game import Game, History, Turn, diverged
from medgan_course.train.log import Progress, logged
from medgan_course.train.processes import joined, rows

# Terms stay on the device between two readings, so that logging does not make a GPU wait every step.
READ_EVERY = 25
CHECKPOINT_SECONDS = 60.0


def best_device() -> torch.device:
    """Return the CUDA device if there is one, else Apple's GPU, else the CPU."""
    for kind in ("cuda", "mps"):
        if _present(kind):
            return torch.device(kind)
    return torch.device("cpu")


def fit(
    game: Game,
    batches: Stream[Any] | Iterable[Any],
    steps: int,
    *,
    seed: int = 0,
    device: torch.device | str | None = None,
    precision: str | None = None,
    checkpoint: str | Path | None = None,
    checkpoint_every: int | None = None,
    watch: Callable[[Game], None] | None = None,
    watch_every: int = 100,
    log: str | Path | None = None,
    tensorboard: str | Path | None = None,
) -> History:
    """Play ``game`` until ``steps`` steps have been played in all, and return its history.

    Started by ``accelerate launch`` or ``torchrun``, every process plays on its share of each batch, see
    :mod:`medgan_course.train.processes`; the first alone writes files, shows progress and calls ``watch``.

    Parameters
    ----------
    game : Game
        Continues from ``game.step``.
    batches : Stream or iterable
        A :class:`~medgan_course.data.batches.Stream` gives batch ``i`` at step ``i``, so a resumed run equals
        an uninterrupted one. (Where a turn is repeated, a step takes ``R = game.batches_per_step`` batches:
        ``i R`` to ``i R + R - 1``.) It is put on the device once, if that takes at most half of the memory
        that is free there, and else batch by batch. Any other iterable is read over and over, and from its
        start by every ``fit``.
    steps : int
        Steps in all, those already played included.
    seed : int
        Seed of every torch draw inside the costs. The caller's random state is left as it was. A game that
        has played goes on with the random numbers it had come to, whatever the seed.
    device : torch.device or str, optional
        Default: :func:`best_device`.
    precision : {"float32", "bfloat16", "float16"}, optional
        Of the autocast under which costs are computed. Default: on CUDA cards bfloat16 where the card has it,
        float16 where not; elsewhere float32. The gradients of float16 are scaled, and a step in which they
        overflow is left out.
    checkpoint : path, optional
        Resumed from if it exists, whatever ``game`` has played; written once a minute, when the training is
        interrupted, and after the last step. A checkpoint of a training with another seed, precision, order
        of batches, turn, optimiser or the like is refused, and so is one from beyond ``steps``.
    checkpoint_every : int, optional
        Steps between two checkpoints, instead of a minute.
    watch : callable, optional
        ``watch(game)`` is called before step 0, then every ``watch_every`` steps, and after the last. It may
        draw random numbers, and should look at ``game.averaged(name)``, a copy, not at the nets in training.
    log : path, optional
        A file of JSON lines, ``{"step": 0, "D.real": 0.69, ...}``, for the whole history of ``game``: what it
        held before is replaced by what the game or the checkpoint remembers, so no step is there twice.
    tensorboard : path, optional
        A folder for TensorBoard, which shows the same.

    Returns
    -------
    History
        ``"mover.term"`` to the list of its values, one for each step in which the turn was taken.

    Raises
    ------
    CourseError
        If a term or a weight stops being finite, the GPU's memory is too small, or a file cannot be read or
        written. After a divergence the last checkpoint is there and good. The game itself stays as it was
        when that was noticed: on the CPU before the term moved anybody; on a GPU, or where the gradient of a
        finite term is infinite, some steps later, with weights that are lost.
    """
    for name, every in {"watch_every": watch_every, "checkpoint_every": checkpoint_every}.items():
        if every is not None and every < 1:
            raise CourseError(f"{name}={every} is no number of steps: choose 1 or more.")
    device = _device(device)
    precision = _precision(precision, device)
    path = None if checkpoint is None else Path(checkpoint)
    settings = {"seed": seed, "precision": precision, "turns": list(map(_described, game.turns))}
    if isinstance(batches, Stream):
        settings |= {"batch size": batches.batch_size, "seed of the batches": batches.seed}
        settings["samples"] = [len(tensor) for tensor in _tensors(batches.whole)]
    unread: list[dict[str, Tensor]] = []

    with _memory_explained(game), joined(device) as device, _forked(device):
        first = draws.shared()[0] == 0
        _synchronise_batch_norm(game, device)
        game.to(device)
        if precision == "float16" and not game.scaler.is_enabled():
            game.scaler = torch.amp.GradScaler(device.type)
        if path is not None and path.exists():
            checkpoints.load(game, path, settings)
            if game.step > steps:
                raise CourseError(
                    f"{path} holds step {game.step} of this training, which is beyond steps={steps}: "
                    "ask for more steps, or name another checkpoint."
                )
        at_step = _batch_source(batches, device)
        generators = _generators(device)
        for key, generator in generators.items():
            if key in game.random_state:
                generator.set_state(game.random_state[key])
            else:
                generator.manual_seed(seed)
        enabled = precision != "float32"
        autocast = torch.autocast(
            device.type, getattr(torch, precision) if enabled else None, enabled=enabled
        )

        with logged(game, log if first else None, tensorboard if first else None) as write:

            def read() -> None:
                _read(unread, game)
                with _uninterrupted():  # half a line would spoil the file
                    write()
                _check_scale(game)

            def watched() -> None:
                if watch is not None and first:
                    read()
                    # Whatever watch draws must not change the training, and is not shared with anybody.
                    with _forked(device), draws.share(0, 1):
                        watch(game)

            def saved() -> None:
                if path is not None:
                    read()
                    _check_weights(game)
                    if first:
                        checkpoints.save(game, path, settings)

            saved_at = time.monotonic()

            def due() -> bool:
                nonlocal saved_at
                now = time.monotonic()
                if checkpoint_every is None:
                    write_now = now - saved_at >= CHECKPOINT_SECONDS
                else:
                    write_now = game.step % checkpoint_every == 0
                saved_at = now if write_now else saved_at
                return write_now

            if game.step == 0:
                watched()
            with Progress(game, steps, first) as progress:
                try:
                    while game.step < steps:
                        repeats = game.batches_per_step
                        batch = [rows(at_step(game.step * repeats + r)) for r in range(repeats)]
                        with _uninterrupted():
                            unread.append(game.play(batch, autocast))
                            game.random_state = {
                                key: generator.get_state() for key, generator in generators.items()
                            }
                        progress.bar.update()
                        last = game.step == steps
                        if last or game.step % READ_EVERY == 0:
                            read()
                            progress.terms()
                        if last or game.step % watch_every == 0:
                            watched()
                        if last or due():
                            saved()
                except KeyboardInterrupt:
                    # Whoever interrupts a training may want to look at it and go on, here or another day.
                    read()
                    saved()
                    raise
                except CourseError:
                    read()
                    raise
    return game.history.copy()


def _present(kind: str) -> bool:
    module = getattr(torch, kind, None)
    return kind == "cpu" or (module is not None and module.is_available())


def _device(device: torch.device | str | None) -> torch.device:
    if device is None:
        return best_device()
    try:
        device = torch.device(device)
    except RuntimeError as error:
        raise CourseError(f"device={device!r} is none: choose 'cpu', 'cuda' or 'mps'.") from error
    if not _present(device.type):
        raise CourseError(
            f"device='{device}' was asked for, but torch finds none here: leave device out to train on "
            f"{best_device().type}, or install a torch and a driver for it."
        )
    return device


def _precision(precision: str | None, device: torch.device) -> str:
    if precision is None and device.type == "cuda":
        # Cards that emulate bfloat16 are slower with it.
        native = torch.cuda.is_bf16_supported(including_emulation=False)
        return "bfloat16" if native else "float16"
    known = ("float32", "bfloat16", "float16")
    if precision not in (None, *known):
        raise CourseError(f"precision={precision!r} is not known to fit: {did_you_mean(precision, known)}")
    return precision or "float32"


def _described(turn: Turn) -> str:
    return f"{turn.label} every {turn.every}, {turn.times} times"


def _synchronise_batch_norm(game: Game, device: torch.device) -> None:
    """Let batch norm see the whole batch of several CUDA processes; torch has no such layer for CPUs."""
    if device.type == "cuda" and draws.shared()[1] > 1:
        for player in game.players.values():
            player.net = torch.nn.SyncBatchNorm.convert_sync_batchnorm(player.net)


def _generators(device: torch.device) -> dict[str, Any]:
    """Return the generators that costs draw from, CPU's and device's, by their names in a checkpoint."""
    generators: dict[str, Any] = {"random_state": torch.default_generator}
    if device.type == "cuda":
        torch.cuda.init()
        index = torch.cuda.current_device() if device.index is None else device.index
        generators["random_state_cuda"] = torch.cuda.default_generators[index]
    if device.type == "mps":
        generators["random_state_mps"] = SimpleNamespace(
            get_state=torch.mps.get_rng_state,
            set_state=torch.mps.set_rng_state,
            manual_seed=torch.mps.manual_seed,
        )
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


def _batch_source(batches: Stream[Any] | Iterable[Any], device: torch.device) -> Callable[[int], Any]:
    if isinstance(batches, Stream):
        if _fits(_tensors(batches.whole), device):
            return batches.to(device).__getitem__
        return lambda index: _on(device, batches[index])

    def forever() -> Iterator[Any]:
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
    return lambda index: next(stream)


def _on(device: torch.device, batch: Any) -> Any:
    if isinstance(batch, dict):
        return {key: _on(device, value) for key, value in batch.items()}
    if hasattr(batch, "to"):
        return batch.to(device)
    if isinstance(batch, list | tuple):
        moved = [_on(device, value) for value in batch]
        return type(batch)(*moved) if hasattr(batch, "_fields") else type(batch)(moved)
    return batch


def _tensors(batch: Any) -> list[Tensor]:
    return [batch] if isinstance(batch, Tensor) else [tensor for part in batch for tensor in _tensors(part)]


def _fits(tensors: list[Tensor], device: torch.device) -> bool:
    """Whether these take at most half of the free memory of ``device``: the training needs the rest."""
    if device.type != "cuda":
        return True
    new = sum(tensor.nbytes for tensor in tensors if tensor.device.type != "cuda")
    return new <= torch.cuda.mem_get_info(device)[0] / 2


def _read(unread: list[dict[str, Tensor]], game: Game) -> None:
    """Append the terms in ``unread`` to the history and empty it; stop at the first that is not finite."""
    while unread:
        with _uninterrupted():
            step = game.step - len(unread)
            values = {name: term.item() for name, term in unread[0].items()}
            if not all(map(math.isfinite, values.values())):
                unread.clear()
                raise diverged(step, values)
            game.history.add(step, values)
            del unread[0]


def _check_scale(game: Game) -> None:
    """Stop when no scale, however small, keeps float16 gradients finite: the trouble is not their range."""
    if game.scaler.is_enabled() and game.scaler.get_scale() < 1:
        raise CourseError(
            f"Training diverged: the float16 gradients overflow at every scale by step {game.step - 1}; "
            "lower the learning rate, or train with precision='float32' to find the term that is to blame."
        )


def _check_weights(game: Game) -> None:
    """Stop before a checkpoint whose terms are all finite but whose last gradients were not."""
    for name, player in game.players.items():
        if not all(parameter.isfinite().all() for parameter in player.net.parameters()):
            raise CourseError(
                f"Training diverged: {name} has weights that are not finite after step {game.step - 1}; "
                "lower the learning rate, or look for a gradient that is infinite at zero."
            )
