"""How long each notebook takes: measured by one command, committed, and shown wherever the book says so.

    python book/times.py                             # chapters at smoke and cpu, the others at smoke
    MEDGAN_PROFILE=gpu python book/times.py          # chapters at this profile alone
    python book/times.py chapters/02_game.ipynb      # these notebooks alone

Run it on a machine that does nothing else. What was executed also counts as executed for ``make book``.
"""

import argparse
import json
import os
import platform
import sys
from collections.abc import Iterator
from dataclasses import asdict, dataclass
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

from chapter_text import CHAPTERS, pieces
from execute import Place, execute, threads
from sphinx.application import Sphinx

import medgan_course
from medgan_course.budgets import PROFILES, profile
from medgan_course.errors import CourseError
from medgan_course.writing import replacing

FILE = Path(__file__).parent / "times.json"
FOLDERS = (CHAPTERS, "solutions", "exercises")  # of which only chapters know a budget
USING, INSTRUCTORS = "book/using", "book/instructors"  # pages in which the line MARK becomes a table
MARK = "% times"
GRADING = "% grading"  # and this one, of the instructors' page


@dataclass(frozen=True)
class Time:
    """One execution of one notebook, from the start of its kernel to the end.

    Attributes
    ----------
    seconds, cpu_seconds : float
        By the clock, and of work by all its threads.
    machine : str
        Name of the processor, or of the GPU.
    threads : int
        That PyTorch was given.
    made, version : str
        The date, and the library's version.
    """

    seconds: float
    cpu_seconds: float
    machine: str
    threads: int
    made: str
    version: str

    @property
    def place(self) -> str:
        """Return what it was measured on."""
        return f"{self.machine}, {self.threads} thread{'s' if self.threads > 1 else ''}"


Times = dict[str, dict[str, Time]]  # by notebook and profile


def read(file: Path = FILE) -> Times:
    """Return what has been measured, ``{"chapters/02_game": {"cpu": Time(...)}}``."""
    if not file.is_file():
        return {}
    found = json.loads(file.read_text("utf-8"))
    return {name: {each: Time(**time) for each, time in by.items()} for name, by in found.items()}


def measure(notebooks: list[str], place: Place, file: Path = FILE) -> None:
    """Execute ``notebooks`` one after the other and write what each took to ``file``.

    Raises
    ------
    CourseError
        If a notebook fails; the times of those before it are kept.
    """
    for notebook in notebooks:
        page = execute(notebook, "measured", place)
        if page.error:
            raise CourseError(f"{notebook}, {page.error}")
        time = Time(
            round(page.seconds, 1),
            round(page.cpu_seconds, 1),
            _machine(place.profile),
            int(threads()),
            datetime.now(UTC).date().isoformat(),
            medgan_course.__version__,
        )
        times = read(file)
        times.setdefault(notebook.removesuffix(".ipynb"), {})[place.profile] = time
        with replacing(file) as partial:
            partial.write_text(json.dumps(times, default=asdict, indent=1, sort_keys=True) + "\n", "utf-8")
        print(f"{notebook} at {place.profile}: {time.seconds} s, {time.cpu_seconds} s of CPU", flush=True)


def line(times: dict[str, Time]) -> str:
    """Return what a chapter says of its own times by profile, in one sentence."""
    places: dict[str, list[str]] = {}
    for name in PROFILES:
        if name in times:
            places.setdefault(times[name].place, []).append(f"{name} {spoken(times[name].seconds)}")
    said = [f"{', '.join(measured)} ({place})" for place, measured in places.items()]
    absent = [name for name in PROFILES if name not in times]
    if absent:
        said.append(f"{', '.join(absent)} not measured yet")
    return f"{'; '.join(said)}."


def table(chapters: dict[str, str], times: Times) -> str:
    """Return the times of all chapters in MyST, and on what they were measured.

    Parameters
    ----------
    chapters : dict of str to str
        Titles by name.
    times : Times
        Of these chapters.
    """
    columns = [(CHAPTERS, name) for name in PROFILES]
    return "\n".join(
        [
            f"| chapter | {' | '.join(f'`{name}`' for name in PROFILES)} |",
            *_rows(chapters, columns, times),
            "",
            *_sources(chapters, columns, times),
        ]
    )


def table_for_ci(chapters: dict[str, str], times: Times) -> str:
    """Return the times of all notebooks at ``smoke``, as nbval runs them, and their sum.

    Parameters and sources as of :func:`table`.
    """
    columns = [(folder, "smoke") for folder in FOLDERS]
    measured = [times.get(f"{folder}/{chapter}", {}) for chapter in chapters for folder in FOLDERS]
    known = [by["smoke"] for by in measured if "smoke" in by]
    together = "not measured yet"
    if known:
        seconds, work = (sum(getattr(time, name) for time in known) for name in ("seconds", "cpu_seconds"))
        together = f"{spoken(seconds)} (CPU {spoken(work)})"
        if len(known) < len(measured):
            together += f", {len(measured) - len(known)} not measured yet"
    return "\n".join(
        [
            "| | chapter | solutions | exercises |",
            *_rows(chapters, columns, times),
            "",
            f"All one after the other: {together}.",
            "",
            *_sources(chapters, columns, times),
        ]
    )


def _rows(chapters: dict[str, str], columns: list[tuple[str, str]], times: Times) -> Iterator[str]:
    """Yield the line below a table's head, and a row a chapter; a column is a folder and a profile."""
    yield "|---" * (1 + len(columns)) + "|"
    for chapter, title in chapters.items():
        found = [times.get(f"{folder}/{chapter}", {}).get(profile) for folder, profile in columns]
        cells = [
            f"{spoken(time.seconds)} (CPU {spoken(time.cpu_seconds)})" if time else "not measured yet"
            for time in found
        ]
        yield f"| [{title}](../{CHAPTERS}/{chapter}.ipynb) | {' | '.join(cells)} |"


def _sources(chapters: dict[str, str], columns: list[tuple[str, str]], times: Times) -> list[str]:
    """Return a line for each machine, version and day of what stands in the table."""
    found = (
        (profile, times.get(f"{folder}/{chapter}", {}).get(profile))
        for chapter in chapters
        for folder, profile in columns
    )
    return sorted(
        {
            f"- `{name}`: {time.place}; medgan-course {time.version}, {time.made}"
            for name, time in found
            if time
        }
    )


def grading(file: Path = Path(__file__).parents[1] / "benchmarks" / "grading-cpu.json") -> str:
    """Return what grading a class cost, in MyST, from what ``python -m benchmarks.grading`` wrote."""
    found = json.loads(file.read_text("utf-8"))

    def row(what: str, ones: list[dict[str, Any]]) -> str:
        n = sum(one["n"] for one in ones)
        each = (sum(one[key] for one in ones) / n for key in ("clock_seconds", "cpu_seconds"))
        return f"| {what} | {n} | {' | '.join(f'{seconds:.1f} s' for seconds in each)} |"

    nothing = sum(points == 0 for points in found["whole"]["points"].values())
    kinds = ", ".join(f"{n} {kind}" for kind, n in found["class"].items())
    workers = f"{found['workers']} worker{'s' if found['workers'] > 1 else ''}"
    return "\n".join(
        [
            "| | n | time of each | CPU of each |",
            "|---|---|---|---|",
            row("`nbgrader autograde`, its own settings", found["pairs"]["plain"]),
            row("`medgan course grade`, 1 worker", found["pairs"]["warm"]),
            row(f"`medgan course grade`, {workers}", [found["whole"]]),
            "",
            f"Assignment {found['assignment']}, on {found['device']}. The first two graded the same",
            f"submissions, right and unfinished ones; the last a class: {kinds}.",
            f"{nothing} of the class got no points.",
        ]
    )


def spoken(seconds: float) -> str:
    """Return ``seconds`` as a reader would say them, as in "42 s" and "3 min 5 s"."""
    minutes, rest = divmod(round(seconds), 60)
    return f"{minutes} min {rest} s" if minutes else f"{rest} s"


def _machine(profile: str) -> str:
    if profile == "gpu":
        import torch  # here, because a book is built without it

        if torch.cuda.is_available():
            return torch.cuda.get_device_name()
    information = Path("/proc/cpuinfo")
    lines = information.read_text("utf-8").splitlines() if information.exists() else []
    names = [each.partition(":")[2].strip() for each in lines if each.startswith("model name")]
    return names[0] if names else platform.processor() or platform.machine()


def _fill(app: Sphinx, docname: str, source: list[str]) -> None:
    if docname in (USING, INSTRUCTORS):
        titles = {piece.chapter: piece.title for piece in pieces(Path(app.srcdir))}
        made = table if docname == USING else table_for_ci
        source[0] = source[0].replace(MARK, made(titles, read()))
    if docname == INSTRUCTORS:
        source[0] = source[0].replace(GRADING, grading())


def setup(app: Sphinx) -> dict[str, bool]:
    """Let Sphinx fill in the times."""
    app.connect("source-read", _fill)
    return {"parallel_read_safe": True, "parallel_write_safe": True}


if __name__ == "__main__":
    root = Path(__file__).resolve().parents[1]
    parser = argparse.ArgumentParser(description=__doc__.partition("\n")[0])
    parser.add_argument("notebooks", nargs="*", help="relative to the repository; default: all")
    named = parser.parse_args().notebooks
    everything = {
        folder: sorted(path.relative_to(root).as_posix() for path in (root / folder).glob("[0-9]*.ipynb"))
        for folder in FOLDERS
    }
    try:
        for each in [profile()] if os.environ.get("MEDGAN_PROFILE") else ["smoke", "cpu"]:
            folders = FOLDERS if each == "smoke" else (CHAPTERS,)
            notebooks = named or [notebook for folder in folders for notebook in everything[folder]]
            measure(notebooks, Place(root, root / "_build" / each, each))
    except CourseError as error:
        sys.exit(f"{error}")
