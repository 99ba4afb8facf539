"""Ask an answer: run the student's code safely, and say in a sentence what came of it."""

import math
import random
import signal
import sys
import threading
import time
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from contextlib import contextmanager, redirect_stderr, redirect_stdout
from dataclasses import dataclass
from types import FrameType
from typing import Any

import numpy as np
import torch
from torch import Tensor, nn

from medgan_course.errors import CourseError

SECONDS = 20.0  # a right answer takes about one, on a busy machine more
LINES_SHOWN = 10


class CheckFailed(CourseError):
    """An answer is wrong: what is wrong and where to look, never the answer."""


class _TimeUp(BaseException):
    """Time is up. No ``Exception``, or a student's ``except Exception`` in a loop would keep it looping."""


@dataclass(frozen=True)
class Exercise:
    """What the package knows about one exercise.

    Attributes
    ----------
    check : callable
        ``check(answer: Answer) -> str`` returns what is right about the answer, or raises
        :class:`CheckFailed`.
    hints : tuple of str
        From a nudge to nearly there.
    needs : tuple of str
        Modules that are slow to import, and that the check or a right answer is likely to use. They are
        imported before the clock starts: one that is stopped half-way stays broken in that kernel.
    """

    check: Callable[["Answer"], str]
    hints: tuple[str, str, str]
    needs: tuple[str, ...] = ()


class Answer:
    """What a student hands in, with the one safe way to run it.

    Attributes
    ----------
    value : object
        The answer itself.
    title : str
        The exercise as the reader knows it, for example ``"Exercise 4.1"``.
    """

    def __init__(self, value: Any, title: str) -> None:
        self.value, self.title = value, title

    def call(self, what: str, function: Callable[..., Any], *arguments: Any, **named: Any) -> Any:
        """Return ``function(*arguments, **named)``, which runs the student's code.

        Parameters
        ----------
        what : str
            How the reader would write the call, for the sentence when it goes wrong.

        Raises
        ------
        CheckFailed
            If the code raises, is unfinished, ends the program, or changes a tensor among its arguments in
            place.
        """
        before = {index: a.detach().clone() for index, a in enumerate(arguments) if isinstance(a, Tensor)}
        try:
            result = function(*arguments, **named)
        except NotImplementedError as error:
            reason = str(error)
            if not reason.startswith(self.title):
                raise CheckFailed(
                    f"{what} raised NotImplementedError{_line(error)}: {_first_line(error)}"
                ) from error
            raise CheckFailed(f"{self.title} is still to do{reason.removeprefix(self.title)}.") from error
        except SystemExit as error:
            raise CheckFailed(f"{what} tried to end the program with exit(): take that call out.") from error
        except RecursionError as error:
            raise CheckFailed(f"{what} calls itself without end.") from error
        except Exception as error:
            raise CheckFailed(
                f"{what} raised {type(error).__name__}{_line(error)}: {_first_line(error)}"
            ) from error
        for index, copy in before.items():
            if not torch.equal(arguments[index].detach(), copy):
                raise CheckFailed(
                    f"{what} changed its argument number {index + 1} in place: the caller still needs it, "
                    "so compute a new tensor instead."
                )
        return result

    def function(self, name: str) -> Callable[..., Any]:
        """Return the answer, which must be the function ``name`` itself, not what it returns.

        Raises
        ------
        CheckFailed
            If it is anything else.
        """
        if not callable(self.value) or isinstance(self.value, nn.Module | type):
            raise CheckFailed(f"Hand in the function `{name}` itself; this is {kind(self.value)}.")
        return self.value

    def tensor(
        self,
        what: str,
        function: Callable[..., Any],
        *arguments: Any,
        shape: Sequence[int] | None = None,
        **named: Any,
    ) -> Tensor:
        """Return what :meth:`call` returns, which must be a tensor of finite numbers, of ``shape`` if given.

        Raises
        ------
        CheckFailed
            As :meth:`call`, or if it is something else.
        """
        result = self.call(what, function, *arguments, **named)
        if not isinstance(result, Tensor):
            raise CheckFailed(f"{what} must return a tensor, but {returns(result)}")
        if result.is_complex():
            raise CheckFailed(f"{what} must return a tensor of real numbers, but its numbers are complex.")
        if shape is not None and tuple(result.shape) != tuple(shape):
            raise CheckFailed(
                f"{what} must return shape {tuple(shape)}, but returns {tuple(result.shape)}: follow the "
                "shape from line to line."
            )
        if not result.isfinite().all():
            raise CheckFailed(
                f"{what} returns values that are not finite: look for a log or a division by 0."
            )
        return result

    def number(self, what: str, function: Callable[..., Any], *arguments: Any, **named: Any) -> float:
        """Return what :meth:`call` returns as a float; it must be one finite number, also of torch or NumPy.

        Raises
        ------
        CheckFailed
            As :meth:`call`, or if it is something else.
        """
        result = self.call(what, function, *arguments, **named)
        shape = getattr(result, "shape", ())
        if math.prod(shape) != 1:
            raise CheckFailed(f"{what} must return one number, but returns shape {tuple(shape)}.")
        try:
            value = float(result.item() if hasattr(result, "item") else result)
        except (TypeError, ValueError):
            raise CheckFailed(f"{what} must return a number, but {returns(result)}") from None
        if isinstance(result, bool | str) or not math.isfinite(value):
            raise CheckFailed(f"{what} must return a finite number, but returns {result!r}.")
        return value

    def several(
        self, what: str, wanted: Sequence[str], function: Callable[..., Any], *arguments: Any, **named: Any
    ) -> list[Any]:
        """Return what :meth:`call` returns as a list; it must be as many things as are ``wanted``, by name.

        Raises
        ------
        CheckFailed
            As :meth:`call`, or if it is something else.
        """
        result = self.call(what, function, *arguments, **named)
        if not isinstance(result, tuple | list) or len(result) != len(wanted):
            listed = f"{', '.join(wanted[:-1])} and {wanted[-1]}"
            raise CheckFailed(f"{what} must return {listed}, but {returns(result)}")
        return list(result)


def kind(value: Any) -> str:
    """Return what ``value`` is, for a sentence: ``"a list"``, ``"an int"``, ``"None"``."""
    name = type(value).__name__
    return "None" if value is None else f"a{'n' * (name[0].lower() in 'aeiou')} {name}"


def returns(value: Any) -> str:
    """Return what came back, to end a sentence: ``"returns a list of 3."``."""
    if value is None:
        return "returns None: is a return missing?"
    size = f" of {len(value)}" if isinstance(value, tuple | list) else ""
    shape = f" of shape {tuple(value.shape)}" if hasattr(value, "shape") else ""
    return f"returns {kind(value)}{size}{shape}."


def names(what: str, found: Any, known: Iterable[str], asked: str) -> set[str]:
    """Return as a set the names that the student's function gave; ``asked`` says of what, for a sentence.

    Raises
    ------
    CheckFailed
        If it gave anything but names that are known.
    """
    if isinstance(found, str | Mapping) or not isinstance(found, Iterable):
        raise CheckFailed(
            f"{what} must return the names of {asked}, as a list or a set, but {returns(found)}"
        )
    given, allowed = list(found), list(known)
    strange = next((each for each in given if not isinstance(each, str) or each not in allowed), None)
    if strange is not None:
        raise CheckFailed(
            f"{what} must return the names of {asked}, such as {allowed[0]!r}, but its answer holds "
            f"{strange if isinstance(strange, str) else kind(strange)}."
        )
    return set(given)


def as_cost(what: str, found: Any) -> Tensor:
    """Return a cost as a scalar tensor; it must be one float that a gradient can pass through.

    Raises
    ------
    CheckFailed
        If it is anything else.
    """
    if not isinstance(found, Tensor) or not found.is_floating_point():
        this = f"a tensor of {found.dtype}" if isinstance(found, Tensor) else kind(found)
        raise CheckFailed(f"{what} is {this}, through which no gradient passes: return a tensor of floats.")
    if found.numel() != 1:
        raise CheckFailed(f"{what} has shape {tuple(found.shape)}: one number for the batch is wanted.")
    return found.squeeze()


def close(value: float | Tensor, expected: float | Tensor) -> bool:
    """Say whether two numbers, or tensors of one shape, are equal to about three digits."""
    found, wanted = (torch.as_tensor(each).detach().double() for each in (value, expected))
    return found.shape == wanted.shape and torch.allclose(found, wanted, rtol=1e-3, atol=1e-4)


def gradient_in(cost: Tensor, net: nn.Module) -> Tensor | None:
    """Return the gradient in all the net's weights, as one vector; None if nothing reaches them."""
    if not cost.requires_grad:
        return None
    weights = list(net.parameters())
    parts = torch.autograd.grad(cost, weights, retain_graph=True, allow_unused=True)
    if all(part is None for part in parts):
        return None
    return torch.cat(
        [
            (torch.zeros_like(w) if part is None else part).flatten()
            for w, part in zip(weights, parts, strict=True)
        ]
    )


def compare(
    found: float | Tensor,
    right: float | Tensor,
    mistakes: Mapping[str, float | Tensor],
    *,
    seen: str,
    otherwise: str,
) -> None:
    """Hold a result against the right one, and if it is not that, against what the usual mistakes give.

    Parameters
    ----------
    found, right : float or Tensor
        Of one shape.
    mistakes : mapping of str to float or Tensor
        Sentence parts that follow "it looks as if", with what each mistake gives. Choose the input so that no
        two agree.
    seen : str
        On what: the beginning of the sentence, such as ``"On two images, "``.
    otherwise : str
        Where to look when none of them fits: a full sentence.

    Raises
    ------
    CheckFailed
        If ``found`` is not ``right``.
    """
    if close(found, right):
        return
    reason = next((reason for reason, wrong in mistakes.items() if close(found, wrong)), None)
    if reason is not None:
        raise CheckFailed(f"{seen}it looks as if {reason}.")
    if not torch.as_tensor(found).isfinite().all():
        raise CheckFailed(f"{seen}the result is not finite: look for a log or a division by 0.")
    value = (
        f"{float(found):.4g}" if torch.as_tensor(found).numel() == 1 else "another tensor than it should be"
    )
    raise CheckFailed(f"{seen}the result is {value}, which is not right. {otherwise}")


def _first_line(error: Exception) -> str:
    return (str(error).strip().splitlines() or ["no message"])[0]


def _line(error: Exception) -> str:
    """Return where in a notebook cell the error arose, or nothing if it arose elsewhere."""
    place, trace = "", error.__traceback__
    while trace is not None:
        # A notebook's cells have file names that exist nowhere on disk, or only in a temporary folder.
        if (
            "ipykernel" in trace.tb_frame.f_code.co_filename
            or trace.tb_frame.f_globals.get("__name__") == "__main__"
        ):
            place = f" in line {trace.tb_lineno} of its cell"
        trace = trace.tb_next
    return place


@contextmanager
def examined(title: str, seed: int = 0) -> Iterator[None]:
    """Run a check: few lines of output, seeded random numbers, limited time."""
    # The time limit is innermost, so that no late alarm can interrupt the others' clearing up.
    with _few_lines(), _seeded(seed), _time_limit(title):
        yield


@contextmanager
def _seeded(seed: int) -> Iterator[None]:
    # The global states are what an answer may draw from.
    states = random.getstate(), np.random.get_state()  # noqa: NPY002
    with torch.random.fork_rng(devices=[]), torch.enable_grad():
        torch.manual_seed(seed)
        random.seed(seed)
        np.random.seed(seed)  # noqa: NPY002
        try:
            yield
        finally:
            random.setstate(states[0])
            np.random.set_state(states[1])  # noqa: NPY002


class _FewLines:
    """A text stream that passes on the first lines and counts the rest; in all else the stream it wraps."""

    def __init__(self, stream: Any) -> None:
        self.stream, self.lines = stream, 0

    def write(self, text: str) -> int:
        if self.lines < LINES_SHOWN:
            self.stream.write(text[:500])
        self.lines += text.count("\n")
        return len(text)

    def __getattr__(self, name: str) -> Any:
        return getattr(self.stream, name)


@contextmanager
def _few_lines() -> Iterator[None]:
    out, err = _FewLines(sys.stdout), _FewLines(sys.stderr)
    try:
        with redirect_stdout(out), redirect_stderr(err):
            yield
    finally:
        hidden = max(0, out.lines - LINES_SHOWN) + max(0, err.lines - LINES_SHOWN)
        if hidden:
            print(f"(Your code printed {hidden} more lines during the check; they are left out.)")


@contextmanager
def _time_limit(title: str) -> Iterator[None]:
    if not hasattr(signal, "setitimer") or threading.current_thread() is not threading.main_thread():
        yield
        return

    over = False

    def ring(number: int, frame: FrameType | None) -> None:
        if not over:
            raise _TimeUp

    old_handler = signal.signal(signal.SIGALRM, ring)
    started = time.monotonic()
    # The alarm repeats, for code that catches even the first one.
    old_delay, old_interval = signal.setitimer(signal.ITIMER_REAL, SECONDS, 0.2)
    try:
        try:
            yield
        finally:
            over = True  # a late alarm must not interrupt what follows
    except _TimeUp:
        raise CheckFailed(
            f"{title} was stopped after {SECONDS:g} s: look for a loop that never ends, "
            "or for far too large a network."
        ) from None
    finally:
        signal.setitimer(signal.ITIMER_REAL, 0)
        signal.signal(signal.SIGALRM, old_handler)
        if old_delay:
            left = max(old_delay - (time.monotonic() - started), 0.001)
            signal.setitimer(signal.ITIMER_REAL, left, old_interval)
