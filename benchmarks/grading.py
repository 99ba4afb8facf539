"""What grading a class costs: forked from one warm process, and with nbgrader's own command.

.. code-block:: console

    python -m benchmarks.grading --submissions 100 --workers 2 --out benchmarks/grading-cpu.json

The class hands in right solutions, unfinished ones, and some that hang, end their kernel, eat memory or print
without end. ``medgan course grade`` grades all of them. Beside it, some right and unfinished ones are graded
both ways, in this run and turn about, each in a fresh process: by ``medgan course grade`` with one worker,
and by ``nbgrader autograde`` with the settings that nbgrader comes with.

CPU seconds are those of all processes, the kernels' and the imports' as well; whatever else runs on the
machine counts little in them. A cell may take ten seconds of the clock here.
"""

import json
import multiprocessing.forkserver
import os
import resource
import shutil
import subprocess
import sys
import tempfile
import time
from collections import Counter
from pathlib import Path
from typing import Any

import click

from benchmarks.measure import alone, keep
from medgan_course import course
from medgan_course.viz.table import Table

# What some of every hundred hand in as their first answer.
TRICKS = {
    "hangs": "import time\nwhile True:\n    time.sleep(1)",
    "ends its kernel": "import os\nos._exit(0)",
    "eats memory": "eaten = []\nwhile True:\n    eaten.append(bytearray(2**27))",
    "prints without end": "for _ in range(10_000):\n    print('x' * 1_000)",
}
EVERY = 10  # one of so many plays a trick
SAMPLE = 4


def seconds() -> float:
    """Return the CPU seconds of this process and of all that it has waited for."""
    used = [resource.getrusage(who) for who in (resource.RUSAGE_SELF, resource.RUSAGE_CHILDREN)]
    return sum(each.ru_utime + each.ru_stime for each in used)


def kind(index: int) -> str:
    """Return what student number ``index`` hands in."""
    if index % EVERY == EVERY - 1:
        return list(TRICKS)[index // EVERY % len(TRICKS)]
    return "right" if index % 2 else "unfinished"


def make_class(folder: Path, assignment: str, submissions: int) -> None:
    """Make a course in ``folder``, release the assignment, and hand in."""
    course.init(Path(), folder)
    with (folder / "nbgrader_config.py").open("a", encoding="utf-8") as file:
        file.write("c.Execute.timeout = 10\n")
    command = [sys.executable, "-m", "nbgrader", "generate_assignment", assignment]
    subprocess.run(command, cwd=folder, check=True, capture_output=True)
    name = f"{assignment}.ipynb"
    solved, released = (
        json.loads((folder / step / assignment / name).read_text("utf-8")) for step in ("source", "release")
    )
    answers = {
        cell["id"]: cell["source"]
        for cell in solved["cells"]
        if cell["metadata"].get("nbgrader", {}).get("solution")
    }
    first = next(iter(answers))
    for index in range(submissions):
        changes = {"right": answers, "unfinished": dict(list(answers.items())[1:])}.get(kind(index))
        changes = changes or answers | {first: TRICKS[kind(index)]}
        cells = [cell | {"source": changes.get(cell["id"], cell["source"])} for cell in released["cells"]]
        handed_in = folder / "submitted" / f"student{index:03}" / assignment
        handed_in.mkdir(parents=True)
        (handed_in / name).write_text(json.dumps(released | {"cells": cells}), "utf-8")


def graded(folder: Path, assignment: str, workers: int) -> dict[str, Any]:
    """Grade a class; return how long it took, and every student's points and what was said."""
    clock = time.perf_counter()
    results = course.grade(folder, assignment, workers=workers, say=lambda line: click.echo(line, err=True))
    clock = time.perf_counter() - clock
    multiprocessing.forkserver._forkserver._stop()  # type: ignore[attr-defined]  # so that its time counts
    return {
        "n": len(results),
        "cpu_seconds": seconds(),
        "clock_seconds": clock,
        "points": {each.student: each.score for each in results},
        "said": {each.student: each.said for each in results if each.said},
    }


def plain(folder: Path, assignment: str) -> dict[str, Any]:
    """Grade a class with nbgrader's command and nbgrader's settings."""
    (folder / "nbgrader_config.py").write_text('c = get_config()\nc.CourseDirectory.course_id = "medgan"\n')
    clock = time.perf_counter()
    command = [sys.executable, "-m", "nbgrader", "autograde", assignment]
    subprocess.run(command, cwd=folder, check=True, capture_output=True)
    return {
        "n": len(list(folder.glob("autograded/*"))),
        "cpu_seconds": seconds(),
        "clock_seconds": time.perf_counter() - clock,
    }


def table(assignment: str, found: dict[str, Any]) -> Table:
    """Return a line for each way of grading."""
    rows = [
        [
            way,
            f"{one['n']}",
            f"{one['cpu_seconds'] / one['n']:.1f}",
            f"{one['clock_seconds'] / one['n']:.1f}",
        ]
        for way, one in found.items()
    ]
    columns = ["way", "submissions", "CPU s each", "s each"]
    return Table(columns, rows, caption=f"Grading {assignment}")


@click.command(help=__doc__.partition("\n")[0])
@click.option("--submissions", default=100, show_default=True, type=click.IntRange(min=1))
@click.option("--workers", default=2, show_default=True, type=click.IntRange(min=1))
@click.option("--assignment", default="04_dcgan", show_default=True)
@click.option("--out", type=click.Path(path_type=Path), help="The JSON file for everything measured.")
@click.option("--here", type=click.Path(path_type=Path), hidden=True, help="Grade this, in this process.")
@click.option("--way", type=click.Choice(["warm", "plain"]), default="warm", hidden=True)
def main(
    submissions: int, workers: int, assignment: str, out: Path | None, here: Path | None, way: str
) -> None:
    if here is not None:
        found = plain(here, assignment) if way == "plain" else graded(here, assignment, workers)
        click.echo(json.dumps(found))
        return

    with tempfile.TemporaryDirectory() as somewhere:
        root = Path(somewhere)
        make_class(root / "class", assignment, submissions)
        sample = [root / f"sample{number}" for number in range(4)]
        shutil.copytree(root / "class", sample[0])
        for student in sorted((sample[0] / "submitted").iterdir())[SAMPLE:]:
            shutil.rmtree(student)
        for copy in sample[1:]:
            shutil.copytree(sample[0], copy)

        def measure(folder: Path, way: str, workers: int) -> dict[str, Any]:
            options = {"here": folder, "way": way, "workers": workers, "assignment": assignment}
            environment = {
                "MEDGAN_PROFILE": "smoke",
                "PATH": f"{Path(sys.executable).parent}:{os.environ['PATH']}",
            }
            return alone("benchmarks.grading", options, 1, **environment)

        pairs: dict[str, list[dict[str, Any]]] = {"plain": [], "warm": []}
        for number, folder in enumerate(sample):
            way = ("plain", "warm")[number % 2]
            pairs[way].append(measure(folder, way, 1))
            click.echo(f"measured {way}", err=True)
        whole = measure(root / "class", "warm", workers)
    each = {
        way: sum(one["cpu_seconds"] for one in ones) / sum(one["n"] for one in ones)
        for way, ones in pairs.items()
    }
    counts = Counter(kind(index) for index in range(submissions))
    lines = {
        "nbgrader autograde": pairs["plain"][0],
        "one worker": pairs["warm"][0],
        f"{workers} workers": whole,
    }
    click.echo(f"{table(assignment, lines)}\n")
    click.echo(f"plain / warm, CPU seconds of the same submissions: {each['plain'] / each['warm']:.2f}")
    if out is not None:
        facts = {
            "assignment": assignment,
            "class": counts,
            "workers": workers,
            "whole": whole,
            "pairs": pairs,
        }
        keep(out, "benchmarks.grading", "cpu", facts)
        click.echo(f"Wrote {out}.")


if __name__ == "__main__":
    main()
