"""What nbgrader's source holds, and what a mistaken command says."""

import ast
import json
import re
import subprocess
import sys
from pathlib import Path

import pytest
from click.testing import CliRunner
from nbgrader.api import Gradebook
from small_course import NAME, write_solution

from medgan_course import course
from medgan_course.cli import main
from medgan_course.errors import CourseError

ROOT = Path(__file__).parents[2]


def roles(cells):
    return {
        each["id"]: "test" if each["metadata"]["nbgrader"]["grade"] else "answer"
        for each in cells
        if "nbgrader" in each["metadata"]
    }


def seeds(text):
    return [int(seed) for seed in re.findall(r"seed=(\d+)", text)]


@pytest.mark.parametrize("path", sorted((ROOT / "solutions").glob("*.ipynb")), ids=lambda path: path.stem)
def test_every_check_of_a_solution_is_a_locked_test_of_a_point_with_a_hidden_one(path):
    cells = json.loads(course.source(path))["cells"]
    answers = [name.removesuffix("-stub") for name, role in roles(cells).items() if role == "answer"]
    tests = [each for each in cells if each["metadata"].get("nbgrader", {}).get("grade")]
    assert [each["id"].removesuffix("-check") for each in tests] == answers
    for each in tests:
        source = "".join(each["source"])
        shown, hidden = source.split("### BEGIN HIDDEN TESTS")
        assert each["metadata"]["nbgrader"] == {
            "grade": True,
            "solution": False,
            "locked": True,
            "task": False,
            "schema_version": 3,
            "grade_id": each["id"],
            "cell_type": "code",
            "points": 1,
        }
        assert not shown.startswith("#")
        (call,) = re.findall(r"^check\((.*)\)$", shown, re.MULTILINE)
        assert f"check({call}, seed=".replace('"', "'") in hidden.replace('"', "'")
        ast.parse(hidden)
    ids = [each["id"] for each in cells]
    assert all(ids[ids.index(each["id"]) - 1] == f"{each['id']}-hint" for each in tests)
    text = json.dumps(cells)
    assert "solution-only" not in text
    assert "../chapters" not in text
    assert "raises-exception" not in text


def test_every_course_draws_seeds_of_its_own(repository):
    path = repository / "solutions" / f"{NAME}.ipynb"
    drawn = [seed for _ in range(2) for seed in seeds(course.source(path))]
    assert len(drawn) == len(set(drawn)) == 4


def test_the_gradebook_has_the_assignment(folder):
    with Gradebook(f"sqlite:///{folder / 'gradebook.db'}") as gradebook:
        assert [each.name for each in gradebook.assignments] == [NAME]


def test_a_folder_with_something_in_it_stays_as_it_is(repository, tmp_path):
    (tmp_path / "mine").write_text("here")
    with pytest.raises(CourseError, match="is not empty"):
        course.init(repository, tmp_path)
    with pytest.raises(CourseError, match="is not empty"):
        course.init(repository, tmp_path / "mine")
    assert [path.name for path in tmp_path.iterdir()] == ["mine"]


def test_no_checkout_and_a_malformed_solution_are_said_and_nothing_is_written(tmp_path):
    with pytest.raises(CourseError, match="run this in the course's repository"):
        course.init(tmp_path, tmp_path / "course")
    write_solution(tmp_path)
    path = tmp_path / "solutions" / f"{NAME}.ipynb"
    path.write_text(path.read_text("utf-8").replace("### END SOLUTION", ""), "utf-8")
    with pytest.raises(CourseError, match="without its '### END SOLUTION'"):
        course.init(tmp_path, tmp_path / "course")
    assert not (tmp_path / "course").exists()


def test_a_missing_course_assignment_submission_or_release_is_said(folder, tmp_path):
    with pytest.raises(CourseError, match="is no nbgrader course: medgan course init"):
        course.grade(tmp_path, NAME)
    with pytest.raises(CourseError, match=f"did you mean '{NAME}'"):
        course.grade(folder, "04_smal")
    with pytest.raises(CourseError, match="Nothing was submitted"):
        course.grade(folder, NAME)


def test_what_was_never_released_is_not_graded(repository, tmp_path):
    course.init(repository, tmp_path / "course")
    (tmp_path / "course" / "submitted" / "ada" / NAME).mkdir(parents=True)
    outcome = CliRunner().invoke(main, ["course", "grade", str(tmp_path / "course"), NAME])
    assert outcome.exit_code == 1
    assert f"run nbgrader generate_assignment {NAME}" in outcome.output


def test_without_nbgrader_one_sentence_says_what_to_install(tmp_path):
    code = (
        "import sys; sys.modules['nbgrader'] = None\n"
        "from medgan_course.cli import main; main(['course', 'init', 'c'])"
    )
    done = subprocess.run(
        [sys.executable, "-c", code], cwd=tmp_path, capture_output=True, text=True, check=False
    )
    assert done.returncode == 1
    assert done.stderr.startswith("Error: Grading needs nbgrader (")
    assert done.stderr.count("\n") == 1
    assert list(tmp_path.iterdir()) == []
