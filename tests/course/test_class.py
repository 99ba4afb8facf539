"""A class, from the release of an assignment to the table of grades, with nbgrader's own gradebook.

This takes about a minute of CPU time, most of it for the kernels: one module, so that one process grades.
"""

import csv
import json
import os
import shutil
import subprocess
import sys
from pathlib import Path

import pytest
from nbgrader.api import Gradebook
from nbgrader.apps import NbGraderAPI
from nbgrader.exchange import ExchangeFactory
from small_course import NAME

from medgan_course import course, exercises
from medgan_course.exercises import check

PENALTY, PATCH = "penalty-stub", "patch-stub"

# What is handed in instead of a solution: source of a cell, or None where it was deleted.
CLASS = {
    "right": {},
    "partly": {PATCH: "def receptive_field(kernels, strides):\n    return 70"},
    "untouched": None,
    "deletes": {PENALTY: None, "penalty-check": None, "patch-check": "print('Right.')"},
    "shadows": {PENALTY: "gradient_penalty = None\ncheck = lambda *a, **k: print('Right.')"},
    "patches": {
        PENALTY: "import medgan_course.exercises as e\ne.check = lambda *a, **k: print('Right.')\n"
        "from medgan_course.exercises import check\ngradient_penalty = None"
    },
    "exits": {PENALTY: "import os\ndef gradient_penalty(*a):\n    os._exit(0)"},
    "leaves": {PENALTY: "import sys\nsys.exit()"},
    "hangs": {
        PENALTY: "import time\nwhile True:\n  try:\n    time.sleep(9)\n  except BaseException:\n    pass"
    },
    "floods": {PENALTY: "for _ in range(3_000):\n    print('x' * 1_000)\ngradient_penalty = None"},
    "eats": {PENALTY: "eaten = []\nwhile True:\n    eaten.append(bytearray(2**27))"},
    # In pieces so small that nothing is left for the cells after it.
    "nibbles": {PENALTY: "eaten = []\nwhile True:\n    eaten.append(bytearray(2**12))"},
    # Where the check calls it, which tells the error in its own words.
    "gorges": {
        PENALTY: "eaten = []\ndef gradient_penalty(*a):\n  while True:\n    eaten.append(torch.ones(2**24))"
    },
}


@pytest.fixture(scope="module")
def graded(folder, tmp_path_factory):
    """Return the API of a course whose class has been graded, the results, and the released notebook."""
    with pytest.MonkeyPatch.context() as patch:
        patch.setenv("PATH", os.pathsep.join((str(Path(sys.executable).parent), os.environ["PATH"])))
        patch.setenv("HOME", str(tmp_path_factory.mktemp("home")))
        patch.setenv("OMP_NUM_THREADS", "1")
        exchange = tmp_path_factory.mktemp("exchange")
        exchange.chmod(0o777)
        with (folder / "nbgrader_config.py").open("a") as file:
            file.write(f"c.Exchange.root = {str(exchange)!r}\nc.Execute.timeout = 25\n")
            file.write("c.ExchangeCollect.check_owner = False\n")  # one person is the whole class
        api = NbGraderAPI(config=course._config(folder))
        well(api.generate_assignment(NAME))
        well(api.release_assignment(NAME))
        (released,) = exchange.rglob(f"outbound/{NAME}/{NAME}.ipynb")
        for student, changes in {
            **CLASS,
            "fitted": {PENALTY: fitted(folder)},
            "warns": {PATCH: warning(folder)},
        }.items():
            submit(api, released, student, changes)
        damaged = tmp_path_factory.mktemp("damaged") / NAME
        damaged.mkdir()
        (damaged / f"{NAME}.ipynb").write_text("{")
        hand_in(api, damaged, "damaged")
        well(api.collect(NAME))
        results = course.grade(folder, NAME, memory=1.0)
        yield api, {each.student: each for each in results}, json.loads(released.read_text("utf-8"))


def well(result):
    assert result["success"], result


def solutions(folder):
    """Return the solutions in the course's source, by cell."""
    cells = json.loads((folder / "source" / NAME / f"{NAME}.ipynb").read_text("utf-8"))["cells"]
    return {each["id"]: "".join(each["source"]) for each in cells if each["id"] in (PENALTY, PATCH)}


def fitted(folder):
    """Return an answer that is right for the numbers of the check that students have, and for no others."""
    names, seen = {}, []
    exec("import torch\n" + solutions(folder)[PENALTY], names)

    def spied(critic, real, fake):
        seen.append(real.sum().item())
        return names["gradient_penalty"](critic, real, fake)

    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(exercises, "_keep", lambda name: None)
        check("04.3", spied)
    right = solutions(folder)[PENALTY].replace("gradient_penalty", "right")
    return (
        f"{right}\ndef gradient_penalty(critic, real, fake):\n"
        f"    known = any(abs(real.sum().item() - each) < 1e-4 for each in {seen})\n"
        "    return right(critic, real, fake) * (1 if known else 2)"
    )


def warning(folder):
    """Return an answer that is right, and writes to stderr."""
    right = solutions(folder)[PATCH].replace("receptive_field", "right")
    return (
        f"import sys\n{right}\ndef receptive_field(*a):\n    print(1, file=sys.stderr)\n    return right(*a)"
    )


def submit(api, released, student, changes):
    """Hand in the released notebook with the solutions, and with these changes."""
    notebook = json.loads(released.read_text("utf-8"))
    if changes is not None:
        answers = solutions(Path(api.coursedir.root)) | changes
        for each in notebook["cells"]:
            each["source"] = answers.get(each["id"], each["source"])
        notebook["cells"] = [each for each in notebook["cells"] if each["source"] is not None]
    mine = Path(api.coursedir.root).parent / student / NAME
    mine.mkdir(parents=True)
    (mine / f"{NAME}.ipynb").write_text(json.dumps(notebook), "utf-8")
    hand_in(api, mine, student)


def hand_in(api, mine, student):
    before = os.getcwd()
    os.chdir(mine.parent)
    try:
        coursedir = course.CourseDirectory(config=api.config, assignment_id=NAME, student_id=student)
        submit = ExchangeFactory(config=api.config).Submit
        submit(coursedir=coursedir, authenticator=api.authenticator, config=api.config).start()
    finally:
        os.chdir(before)


def points(api, student):
    """Return the points of a student in the gradebook, the first and the second exercise's."""
    with Gradebook(api.coursedir.db_url, api.coursedir.course_id) as gradebook:
        grades = gradebook.find_submission_notebook(NAME, NAME, student).grades
        return tuple(sorted(((each.name, each.score) for each in grades), reverse=True))


@pytest.mark.parametrize(
    ("student", "penalty", "patch"),
    [
        ("right", 1, 1),
        ("partly", 1, 0),
        ("untouched", 0, 0),
        ("warns", 1, 1),
        ("deletes", 0, 1),
        ("shadows", 0, 1),
        ("patches", 0, 1),
        ("fitted", 0, 1),
        ("exits", 0, 1),
        ("leaves", 0, 1),
        ("hangs", 0, 1),
        ("floods", 0, 1),
        ("eats", 0, 1),
        ("nibbles", 0, 1),
        ("gorges", 0, 1),
        ("damaged", 0, 0),
    ],
)
def test_the_gradebook_has_the_points_that_are_deserved(graded, student, penalty, patch):
    api, results, _ = graded
    assert points(api, student) == (("penalty-check", penalty), ("patch-check", patch))
    assert (results[student].score, results[student].most) == (penalty + patch, 2)


def test_what_happened_is_said_and_only_then(graded):
    _, results, _ = graded
    said = {student: list(each.said) for student, each in results.items() if each.said}
    assert said == {
        "deletes": ["penalty-check was deleted, and put back"],
        "exits": ["penalty-check ended its kernel"],
        "hangs": ["penalty-stub did not end in time"],
        "eats": ["penalty-stub ran out of memory"],
        "nibbles": ["penalty-stub ran out of memory"],
        "gorges": ["penalty-check ran out of memory"],
        "damaged": [f"not graded: {NAME}.ipynb is no notebook"],
    }
    assert [each.student for each in results.values() if each.failed] == ["damaged"]


def test_students_get_the_tasks_and_no_hidden_test(graded):
    _, _, released = graded
    text = json.dumps(released)
    assert "HIDDEN" not in text
    assert "seed=" not in text
    assert "SOLUTION" not in text
    assert 'raise NotImplementedError(\\"Exercise 4.3: ' in text


def test_a_flood_of_output_is_cut(graded):
    api, _, _ = graded
    made = Path(api.coursedir.root) / "autograded" / "floods" / NAME / f"{NAME}.ipynb"
    assert 1_000 < made.stat().st_size < 3 * course.PRINTED


def test_graded_once_only_what_failed_is_tried_again(graded):
    api, _, _ = graded
    heard = []
    again = course.grade(Path(api.coursedir.root), NAME, say=heard.append)
    assert [each.student for each in again] == ["damaged"]
    assert heard[0] == f"{len(CLASS) + 2} of {len(CLASS) + 3} submissions are graded already."


def test_what_was_cut_off_in_the_middle_is_not_taken_for_graded(graded):
    api, _, _ = graded
    root = Path(api.coursedir.root)
    shutil.rmtree(root / course.UNFINISHED)
    (root / course.UNFINISHED).mkdir()
    shutil.move(root / "autograded" / "partly", root / course.UNFINISHED)
    again = course.grade(root, NAME, say=lambda line: None)
    assert {each.student: each.score for each in again} == {"damaged": 0, "partly": 1}
    assert not list((root / course.UNFINISHED).rglob("*.ipynb"))


def test_feedback_and_export(graded, tmp_path):
    api, _, _ = graded
    for student in ("right", "exits"):
        well(api.generate_feedback(NAME, student))
    feedback = Path(api.coursedir.root) / "feedback"
    assert "Score: 2.0 / 2.0" in (feedback / "right" / NAME / f"{NAME}.html").read_text("utf-8")
    assert "This cell ended its kernel." in (feedback / "exits" / NAME / f"{NAME}.html").read_text("utf-8")
    command = [sys.executable, "-m", "nbgrader", "export", "--to", str(tmp_path / "grades.csv")]
    subprocess.run(command, cwd=api.coursedir.root, check=True, capture_output=True)
    with (tmp_path / "grades.csv").open() as file:
        table = {
            row["student_id"]: (float(row["score"]), float(row["max_score"])) for row in csv.DictReader(file)
        }
    assert table.keys() == {*CLASS, "fitted", "warns", "damaged"}
    assert table["right"] == (2, 2)
    assert table["exits"] == (1, 2)


def test_nbgraders_own_command_is_as_fair(graded):
    api, _, _ = graded
    well(api.autograde(NAME, "exits"))
    assert points(api, "exits") == (("penalty-check", 0), ("patch-check", 1))


def test_validate_tells_a_student_what_is_still_to_do(graded):
    api, _, _ = graded
    (path,) = (Path(api.coursedir.root) / "submitted" / "partly").rglob("*.ipynb")
    command = [sys.executable, "-m", "nbgrader", "validate", path.name]
    done = subprocess.run(command, cwd=path.parent, check=False, capture_output=True, text=True)
    assert "VALIDATION FAILED ON 1 CELL" in done.stdout + done.stderr
