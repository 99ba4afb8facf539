"""Where the terms of a training are seen while it runs: JSON lines, TensorBoard, a bar or a line."""

import builtins
import json
import sys
import time
from collections.abc import Callable, Iterator
from contextlib import ExitStack, contextmanager
from pathlib import Path

from tqdm import tqdm

from medgan_course.errors import CourseError
from medgan_course.train.game import Game
from medgan_course.writing import replacing

# In a log file, seconds between two lines of progress at least.
REPORT_EVERY = 10

Rows = list[tuple[int, dict[str, float]]]


@contextmanager
def logged(
    game: Game, path: str | Path | None, tensorboard: str | Path | None
) -> Iterator[Callable[[], None]]:
    """Yield a function that writes what the history has got since it was last called.

    Parameters
    ----------
    game : Game
        Its history as it is now is written at once.
    path : path, optional
        A file of JSON lines, ``{"step": 0, "D.real": 0.69}``. It is written anew: a process that was killed
        may have left half a line, or lines of steps that are now played again.
    tensorboard : path, optional
        A folder of TensorBoard's, which hides from the present step on what an earlier process put there.

    Raises
    ------
    CourseError
        If a file cannot be written, or TensorBoard is not installed.
    """
    with ExitStack() as stack:
        sinks: list[Callable[[Rows], None]] = []
        if path is not None:
            sinks.append(stack.enter_context(_json_lines(game, Path(path))))
        if tensorboard is not None:
            sinks.append(stack.enter_context(_tensorboard(game, tensorboard)))
        step = game.step

        def write() -> None:
            nonlocal step
            new = game.history.rows(step)
            for sink in sinks:
                sink(new)
            step = game.step

        yield write


@contextmanager
def _json_lines(game: Game, path: Path) -> Iterator[Callable[[Rows], None]]:
    def lines(rows: Rows) -> str:
        return "".join(json.dumps({"step": step, **terms}) + "\n" for step, terms in rows)

    with _explained(path), replacing(path) as partial:
        partial.write_text(lines(game.history.rows()), "utf-8")
    with _explained(path):
        file = path.open("a", encoding="utf-8")
    with file:

        def sink(rows: Rows) -> None:
            with _explained(path):
                file.write(lines(rows))
                file.flush()

        yield sink


@contextmanager
def _explained(path: Path) -> Iterator[None]:
    try:
        yield
    except OSError as error:
        raise CourseError(
            f"The log {path} cannot be written ({error}): free space or name another."
        ) from error


@contextmanager
def _tensorboard(game: Game, folder: str | Path) -> Iterator[Callable[[Rows], None]]:
    try:
        from torch.utils.tensorboard import SummaryWriter
    except ImportError as error:
        raise CourseError(
            "tensorboard= needs TensorBoard: pip install tensorboard, or leave it out."
        ) from error
    with SummaryWriter(str(folder), purge_step=game.step) as writer:

        def sink(rows: Rows) -> None:
            for step, terms in rows:
                for name, value in terms.items():
                    writer.add_scalar(name, value, step)
            writer.flush()

        yield sink


class Progress:
    """A bar in terminals and notebooks. A log file, which bars would fill, gets a line at some tenths.

    Parameters
    ----------
    game : Game
        What is played.
    steps : int
        Steps in all.
    shown : bool
        False: say nothing.
    """

    def __init__(self, game: Game, steps: int, shown: bool) -> None:
        self.game, self.steps, self.shown = game, steps, shown
        notebook = hasattr(builtins, "__IPYTHON__")
        self.bar = tqdm(
            total=steps,
            initial=game.step,
            unit="step",
            leave=False,
            disable=(False if notebook else None) if shown else True,
        )
        self._tenth, self._said = self._tenths(), time.monotonic()

    def __enter__(self) -> "Progress":
        return self

    def __exit__(self, *_: object) -> None:
        self.bar.close()

    def _tenths(self) -> int:
        return 10 * self.game.step // max(1, self.steps)

    def terms(self) -> None:
        """Show the latest value of every term."""
        values = {name: f"{values[-1]:.2f}" for name, values in self.game.history.items()}
        if not self.bar.disable:
            self.bar.set_postfix(values)
        elif self.shown and self._tenths() > self._tenth and time.monotonic() - self._said >= REPORT_EVERY:
            self._tenth, self._said = self._tenths(), time.monotonic()
            latest = ", ".join(f"{name} {value}" for name, value in values.items())
            print(f"step {self.game.step} of {self.steps}: {latest}", file=sys.stderr, flush=True)
