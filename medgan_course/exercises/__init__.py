"""Exercises that answer: ``check`` says right or what is wrong, ``hint`` prints the next of three hints.

``progress`` says which are solved. What is known about the exercises of chapter NN lies in ``checks_NN.py``.
"""

import json
import os
from collections import Counter
from importlib import import_module
from pathlib import Path
from typing import Any

from medgan_course.errors import CourseError, did_you_mean
from medgan_course.exercises.answer import Answer, CheckFailed, Exercise, examined
from medgan_course.viz.table import Table
from medgan_course.writing import replacing

__all__ = ["EXERCISES", "CheckFailed", "check", "hint", "progress"]

EXERCISES: dict[str, Exercise] = {
    name: exercise
    for path in sorted(Path(__file__).parent.glob("checks_*.py"))
    for name, exercise in import_module(f"{__name__}.{path.stem}").EXERCISES.items()
}


def check(name: str, answer: Any, *, seed: int = 0) -> None:
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
    seed : int
        Of the random numbers, from 0 to :math:`2^{32} - 1`. Another one makes other inputs, where a check
        draws any: what a hidden test does.

    Raises
    ------
    CheckFailed
        If the answer is wrong; the message says what is wrong and where to look.
    CourseError
        If there is no such exercise.
    """
    exercise = _find(name)
    title = _title(name)
    for module in exercise.needs:
        import_module(module)
    with examined(title, seed):
        right = exercise.check(Answer(answer, title))
    print(f"Right. {title}: {right}")
    _keep(name)


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


def kept() -> Path:
    """Return the file that keeps which exercises are solved: of this user, on this machine, nowhere else."""
    return Path.home() / ".medgan-progress.json"


def progress() -> Table:
    """Return a table of the exercises: solved, or still to do.

    An exercise is solved once its check has said "Right", in any notebook of this user on this machine. On
    Colab the machine, and with it the file, lasts as long as the session.
    """
    solved = _solved()
    chapters = sorted({name.partition(".")[0] for name in EXERCISES})
    of = {chapter: [name for name in EXERCISES if name.startswith(f"{chapter}.")] for chapter in chapters}
    return Table(
        ["Chapter", "Solved", "Still to do"],
        [
            [
                chapter,
                f"{len(solved & set(names))} of {len(names)}",
                ", ".join(name for name in names if name not in solved) or "nothing",
            ]
            for chapter, names in of.items()
        ],
    )


def _solved() -> set[str]:
    try:
        return set(json.loads(kept().read_text("utf-8"))) & set(EXERCISES)
    except FileNotFoundError:
        return set()
    except (OSError, ValueError, TypeError) as error:
        raise CourseError(
            f"{kept()} cannot be read ({error}): delete it, and progress starts anew."
        ) from error


def _keep(name: str) -> None:
    """Note that an exercise is solved; a verdict must not fail because a file cannot be written."""
    if os.environ.get("NBGRADER_EXECUTION") == "autograde":
        return  # who runs it is not who solved it
    try:
        solved = sorted(_solved() | {name})
        with replacing(kept()) as partial:
            partial.write_text(json.dumps(solved), "utf-8")
    except (CourseError, OSError) as error:
        print(f"(That it is solved could not be kept: {error})")


def _find(name: str) -> Exercise:
    if not isinstance(name, str) or name not in EXERCISES:
        raise CourseError(f"There is no exercise {name!r}: {did_you_mean(name, EXERCISES)}")
    return EXERCISES[name]


def _title(name: str) -> str:
    chapter, number = name.split(".")
    return f"Exercise {int(chapter)}.{number}"
