"""How long each chapter takes: measured by one command, committed, and shown wherever the book says so.

    python book/times.py                             # smoke and cpu, every chapter, one after the other
    MEDGAN_PROFILE=gpu python book/times.py          # this profile alone
    python book/times.py chapters/02_game.ipynb      # these chapters alone

Run it on a machine that does nothing else. What was executed also counts as executed for ``make book``.
"""

import argparse
import json
import os
import platform
import sys
from dataclasses import asdict, dataclass
from datetime import UTC, datetime
from pathlib import Path

from chapter_text import CHAPTERS, pieces
from docutils import nodes
from execute import Place, execute, threads
from sphinx.application import Sphinx

import medgan_course
from medgan_course.budgets import PROFILES, profile
from medgan_course.errors import CourseError
from medgan_course.writing import replacing

FILE = Path(__file__).parent / "times.json"
MARK = "% times"  # the line of book/using.md where the table goes


@dataclass(frozen=True)
class Time:
    """One execution of one chapter, from the start of its kernel to the end.

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


Times = dict[str, dict[str, Time]]  # by chapter and profile


def read(file: Path = FILE) -> Times:
    """Return what has been measured, ``{"02_game": {"cpu": Time(...)}}``."""
    if not file.is_file():
        return {}
    found = json.loads(file.read_text("utf-8"))
    return {name: {each: Time(**time) for each, time in by.items()} for name, by in found.items()}


def measure(chapters: list[str], place: Place, file: Path = FILE) -> None:
    """Execute ``chapters`` one after the other and write what each took to ``file``.

    Raises
    ------
    CourseError
        If a chapter fails; the times of those before it are kept.
    """
    for notebook in chapters:
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
        times.setdefault(Path(notebook).stem, {})[place.profile] = time
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
    lines = [
        f"| chapter | {' | '.join(f'`{name}`' for name in PROFILES)} |",
        "|---" * (1 + len(PROFILES)) + "|",
    ]
    for chapter, title in chapters.items():
        by = times.get(chapter, {})
        cells = [
            f"{spoken(by[name].seconds)} (CPU {spoken(by[name].cpu_seconds)})"
            if name in by
            else "not measured yet"
            for name in PROFILES
        ]
        lines.append(f"| [{title}](../{CHAPTERS}/{chapter}.ipynb) | {' | '.join(cells)} |")
    sources = {
        f"- `{name}`: {time.place}; medgan-course {time.version}, {time.made}"
        for chapter in chapters
        for name, time in times.get(chapter, {}).items()
    }
    return "\n".join([*lines, "", *sorted(sources)])


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
    if docname == "book/using":
        titles = {piece.chapter: piece.title for piece in pieces(Path(app.srcdir))}
        source[0] = source[0].replace(MARK, table(titles, read()))


def _add_line(app: Sphinx, document: nodes.document) -> None:
    """Put the times below the paragraph in which a chapter says "It takes"."""
    folder, _, chapter = app.env.docname.rpartition("/")
    if folder != CHAPTERS:
        return
    for strong in document.findall(nodes.strong):
        if strong.astext() == "It takes":
            paragraph = nodes.paragraph("", "", nodes.strong("", "Computing time"))
            paragraph += nodes.Text(f": {line(read().get(chapter, {}))}")
            strong.parent.parent.insert(strong.parent.parent.index(strong.parent) + 1, paragraph)
            return


def setup(app: Sphinx) -> dict[str, bool]:
    """Let Sphinx fill in the times."""
    app.connect("source-read", _fill)
    app.connect("doctree-read", _add_line)
    return {"parallel_read_safe": True, "parallel_write_safe": True}


if __name__ == "__main__":
    root = Path(__file__).resolve().parents[1]
    parser = argparse.ArgumentParser(description=__doc__.partition("\n")[0])
    parser.add_argument(
        "notebooks",
        nargs="*",
        default=sorted(path.relative_to(root).as_posix() for path in (root / CHAPTERS).glob("[0-9]*.ipynb")),
    )
    notebooks = parser.parse_args().notebooks
    try:
        for each in [profile()] if os.environ.get("MEDGAN_PROFILE") else ["smoke", "cpu"]:
            measure(notebooks, Place(root, root / "_build" / each, each))
    except CourseError as error:
        sys.exit(f"{error}")
