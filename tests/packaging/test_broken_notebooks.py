"""What CI runs catches a notebook that is broken, however it is broken, and says where and what it is."""

import os
import re
import shutil
import subprocess
import sys
from pathlib import Path
from xml.etree import ElementTree

import nbformat
import pytest
from nbformat.v4 import new_code_cell, new_notebook, new_output
from test_notebooks import FIRST_CELL

from medgan_course.exercises.generate import build

ROOT = Path(__file__).parents[2]
TEXT = "print(6 * 7)"
SOLUTION = "def answer():\n    ### BEGIN SOLUTION 0.1: multiply\n    return 6 * 7\n    ### END SOLUTION"


def checked(stored):
    """Return a cell whose output is compared, and was ``stored``."""
    output = new_output("stream", name="stdout", text=stored)
    return new_code_cell(TEXT, outputs=[output], execution_count=1, metadata={"tags": ["nbval-check-output"]})


LEFT = new_code_cell(TEXT, outputs=[new_output("stream", name="stdout", text="42\n")], execution_count=1)
CHAPTERS = {
    "sound": [checked("42\n")],
    "exception": [new_code_cell("1 / 0")],
    "endless": [new_code_cell("while True:\n    pass")],
    "wrong": [checked("41\n")],
    "uncounted": [new_code_cell(TEXT, metadata={"tags": ["nbval-check-output"]})],
    "left": [LEFT],
    "kernel": [new_code_cell(TEXT)],
}
FOUND = {
    "exception": "ZeroDivisionError.*division by zero",
    "endless": "Timeout of 10 seconds exceeded executing cell",
    "wrong": "Cell outputs differ.*41.*42",
    "uncounted": "is to be compared, but has no output",
    "left": "has outputs: strip them with nbstripout",
    "kernel": "assert 'my-laptop' == 'python3'",
}


def write(path, cells, kernel="python3"):
    notebook = new_notebook(cells=[new_code_cell(FIRST_CELL), *cells])
    notebook.metadata.kernelspec = {"name": kernel, "display_name": kernel, "language": "python"}
    path.parent.mkdir(exist_ok=True)
    nbformat.write(notebook, path)


def recipe(target):
    """Return the commands of a make target, to be run with this Python."""
    if shutil.which("make") is None:
        pytest.skip("make is not installed")
    printed = subprocess.run(
        ["make", "--dry-run", "--no-print-directory", target], cwd=ROOT, capture_output=True, text=True
    ).stdout
    commands = printed.replace("\\\n", " ").splitlines()
    here = Path(sys.executable).parent
    return [line.replace(".venv/bin", str(here)) for line in commands if re.search("nbval|exercises", line)]


def run(command, course):
    return subprocess.run(
        command, shell=True, cwd=course, capture_output=True, text=True, env=os.environ | {"NO_COLOR": "1"}
    )


@pytest.fixture(scope="module")
def course(tmp_path_factory):
    """Return a course in which every chapter but one is broken, as CI has reported on it."""
    course = tmp_path_factory.mktemp("course")
    (course / "tests" / "packaging").mkdir(parents=True)
    for name in ("pyproject.toml", "tests/packaging/test_notebooks.py"):
        shutil.copy(ROOT / name, course / name)
    for name, cells in CHAPTERS.items():
        write(course / "chapters" / f"{name}.ipynb", cells, "my-laptop" if name == "kernel" else "python3")
    write(course / "solutions" / "00_small.ipynb", [new_code_cell(SOLUTION)])
    (course / "exercises").mkdir()
    build(course)
    return course


@pytest.fixture(scope="module")
def failures(course):
    """Return what CI says of each chapter that it finds broken."""
    (command,) = (line for line in recipe("notebooks") if "nbval" in line)
    report = course / "report.xml"
    done = run(f"{command} --nbval-cell-timeout=10 --color=no --junitxml={report}", course)
    assert done.returncode == 1, done.stdout + done.stderr
    said = {}
    for case in ElementTree.parse(report).iter("testcase"):
        for failure in case.iter("failure"):
            where = " ".join([case.get("classname"), case.get("name")])
            (chapter,) = {name for name in [*CHAPTERS, "00_small"] if re.search(rf"\b{name}\b", where)}
            said[chapter] = f"{said.get(chapter, '')}{failure.get('message')}\n{failure.text}\n"
    return said


@pytest.mark.parametrize("kind", FOUND)
def test_a_broken_notebook_is_caught_and_the_message_says_why(failures, kind):
    assert re.search(FOUND[kind], failures[kind], re.DOTALL), failures[kind]


def test_nothing_else_is_found_fault_with(failures):
    assert failures.keys() == FOUND.keys()


def test_an_exercise_that_has_drifted_from_its_solution_is_caught(course):
    (command,) = (line for line in recipe("notebooks") if "--check" in line)
    drifted = course / "exercises" / "00_small.ipynb"
    kept = drifted.read_text("utf-8")
    drifted.write_text(kept.replace("0.1: multiply", "0.1: add"), "utf-8")
    done = run(command, course)
    drifted.write_text(kept, "utf-8")
    assert done.returncode == 1
    assert "exercises/00_small.ipynb is not in step with its solution" in done.stderr
