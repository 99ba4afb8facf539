"""Exercises that answer: ``check`` says right or what is wrong, ``hint`` prints the next of three hints."""

from collections import Counter
from typing import Any

from medgan_course.errors import CourseError, did_you_mean
from medgan_course.exercises import checks_04
from medgan_course.exercises.answer import Answer, CheckFailed, Exercise, examined

__all__ = ["EXERCISES", "CheckFailed", "check", "hint"]

EXERCISES: dict[str, Exercise] = checks_04.EXERCISES


def check(name: str, answer: Any) -> None:
    """Say whether ``answer`` solves exercise ``name``: print a line that starts with "Right", or raise.

    Random numbers are seeded during the check and left as they were. What the answer prints is cut after
    ten lines, and after twenty seconds it is stopped. Stopping needs POSIX signals and the main thread: on
    Windows an endless loop ends with the kernel's stop button instead.

    Parameters
    ----------
    name : str
        Chapter and number, for example ``"04.1"``.
    answer : object
        What the exercise asks for: a function, a network, a dictionary.

    Raises
    ------
    CheckFailed
        If the answer is wrong; the message says what is wrong and where to look.
    CourseError
        If there is no such exercise.
    """
    exercise = _find(name)
    title = _title(name)
    with examined(title):
        right = exercise.check(Answer(answer, title))
    print(f"Right. {title}: {right}")


_hints_given: Counter[str] = Counter()


def hint(name: str) -> None:
    """Print the next of the exercise's three hints, and the last one again after that.

    Raises
    ------
    CourseError
        If there is no such exercise.
    """
    hints = _find(name).hints
    given = min(_hints_given[name], len(hints) - 1)
    _hints_given[name] += 1
    print(f"{_title(name)}, hint {given + 1} of {len(hints)}: {hints[given]}")


def _find(name: str) -> Exercise:
    if not isinstance(name, str) or name not in EXERCISES:
        raise CourseError(f"There is no exercise {name!r}: {did_you_mean(name, EXERCISES)}")
    return EXERCISES[name]


def _title(name: str) -> str:
    chapter, number = name.split(".")
    return f"Exercise {int(chapter)}.{number}"
