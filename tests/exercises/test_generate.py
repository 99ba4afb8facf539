"""The students' notebooks come from the solutions alone, and a malformed marker is named with its cell."""

import json

import pytest

from medgan_course.errors import CourseError
from medgan_course.exercises.generate import build, student_version

MARKED = """def area(r):
    pi = 3.14
    if r > 0:
        ### BEGIN SOLUTION 4.1: write the "area", in mm²
        r2 = r * r

        return pi * r2
        ### END SOLUTION
"""


def code(source, *, id="cell", tags=()):
    metadata = {"tags": list(tags)} if tags else {}
    output = {"output_type": "stream", "name": "stdout", "text": ["42\n"]}
    return {
        "cell_type": "code",
        "id": id,
        "metadata": metadata,
        "execution_count": 7,
        "outputs": [output],
        "source": source.splitlines(keepends=True),
    }


def markdown(source, *, id="words", tags=()):
    metadata = {"tags": list(tags)} if tags else {}
    return {
        "cell_type": "markdown",
        "id": id,
        "metadata": metadata,
        "source": source.splitlines(keepends=True),
    }


@pytest.fixture
def course(tmp_path):
    """Return a function that writes a course with one solution and returns its root."""

    def write(*cells):
        notebook = {
            "cells": list(cells),
            "metadata": {"kernelspec": {"name": "python3"}},
            "nbformat": 4,
            "nbformat_minor": 5,
        }
        (tmp_path / "solutions").mkdir(exist_ok=True)
        (tmp_path / "solutions" / "04_x.ipynb").write_text(json.dumps(notebook), "utf-8")
        return tmp_path

    return write


def student(root):
    return json.loads(student_version(root / "solutions" / "04_x.ipynb"))


def sources(root):
    return ["".join(cell["source"]) for cell in student(root)["cells"]]


def test_a_solution_becomes_a_stub_at_its_own_indentation(course):
    assert sources(course(code(MARKED)))[0] == (
        "def area(r):\n    pi = 3.14\n    if r > 0:\n"
        '        raise NotImplementedError("Exercise 4.1: write the \\"area\\", in mm²")'
    )


def test_the_stub_raises_what_the_marker_says(course):
    namespace = {}
    exec(sources(course(code(MARKED)))[0], namespace)
    with pytest.raises(NotImplementedError, match=r'^Exercise 4\.1: write the "area", in mm²$'):
        namespace["area"](1)


def test_several_solutions_in_a_cell_and_code_after_them_stay_in_place(course):
    source = "a = 1\n### BEGIN SOLUTION 1.2: set b\nb = 2\n### END SOLUTION\nc = 3\n"
    source += "### BEGIN SOLUTION 1.3: set d\n### END SOLUTION\n"
    assert sources(course(code(source)))[0].splitlines() == [
        "a = 1",
        'raise NotImplementedError("Exercise 1.2: set b")',
        "c = 3",
        'raise NotImplementedError("Exercise 1.3: set d")',
    ]


def test_hidden_tests_and_solution_only_cells_disappear(course):
    root = course(
        markdown("# Solutions to x"),
        markdown("the reason", id="why", tags=["solution-only"]),
        code("x = 1\n### BEGIN HIDDEN TESTS\nassert x == 1\n### END HIDDEN TESTS\ny = 2", id="test"),
        code("secret", id="secret", tags=["solution-only"]),
    )
    assert sources(root)[:2] == ["# Exercises to x", "x = 1\ny = 2"]
    assert "secret" not in json.dumps(student(root))


def test_outputs_go_and_ids_stay(course):
    cells = student(course(code("1 + 1", id="sum"), markdown("text", id="words")))["cells"]
    assert [cell["id"] for cell in cells[:2]] == ["sum", "words"]
    assert (cells[0]["outputs"], cells[0]["execution_count"]) == ([], None)


def test_only_checks_after_a_stub_may_raise(course):
    cells = student(
        course(
            code('check("04.0", given)', id="before"),
            code(MARKED, id="stub"),
            code('# hint("04.1")\ncheck("04.1", area)', id="after", tags=["keep"]),
            code("print(1)  # check(", id="other"),
        )
    )["cells"]
    assert {cell["id"]: cell["metadata"].get("tags", []) for cell in cells} == {
        "before": [],
        "stub": [],
        "after": ["keep", "raises-exception"],
        "other": [],
        "to-the-solutions": [],
    }


def test_the_last_cell_leads_to_the_solutions(course):
    assert "(../solutions/04_x.ipynb)" in sources(course(code("1")))[-1]


@pytest.mark.parametrize(
    ("source", "reason"),
    [
        ("### BEGIN SOLUTION 4.1: write\nx", "'### BEGIN SOLUTION' without its '### END SOLUTION'"),
        ("x\n### END SOLUTION", "'### END SOLUTION' without its '### BEGIN SOLUTION'"),
        ("### BEGIN HIDDEN TESTS\nx", "'### BEGIN HIDDEN TESTS' without its"),
        ("### BEGIN SOLUTION 4.1: write\n### END HIDDEN TESTS", "'### END HIDDEN TESTS' without its"),
        (
            "### BEGIN SOLUTION 4.1: a\n### BEGIN SOLUTION 4.1: b\n### END SOLUTION",
            "inside a block of SOLUTION",
        ),
        ("### BEGIN SOLUTION\nx\n### END SOLUTION", "must be followed by number and task"),
        ("### BEGIN SOLUTION 4.1\nx\n### END SOLUTION", "must be followed by number and task"),
        ("# BEGIN SOLUTION 4.1: write\nx\n### END SOLUTION", "is no marker"),
        ("###  BEGIN SOLUTION 4.1: write\nx\n### END SOLUTION", "is no marker"),
        ("x = 1  ### END SOLUTION", "is no marker"),
    ],
)
def test_a_malformed_marker_is_named_with_notebook_and_cell(course, source, reason):
    root = course(markdown("first"), code(source, id="bad-cell"))
    with pytest.raises(CourseError) as failure:
        build(root)
    assert "solutions/04_x.ipynb, cell bad-cell: " in str(failure.value)
    assert reason in str(failure.value)
    assert not (root / "exercises").exists()


@pytest.mark.parametrize("text", ["", "{", "[]", '{"cells": 3}', '{"cells": [3]}'])
def test_an_unreadable_solution_is_named(course, text):
    root = course(code("1"))
    (root / "solutions" / "04_x.ipynb").write_text(text)
    with pytest.raises(CourseError, match=r"04_x\.ipynb is no notebook"):
        build(root)


def test_check_finds_what_is_missing_altered_or_orphaned_and_changes_nothing(course):
    root = course(code(MARKED))
    made = root / "exercises" / "04_x.ipynb"
    with pytest.raises(CourseError, match=r"exercises/04_x\.ipynb is not in step"):
        build(root, check=True)
    assert not made.exists()

    assert build(root) == [made]
    assert build(root, check=True) == []
    assert build(root) == []

    made.write_text(made.read_text("utf-8").replace("3.14", "3.1"), "utf-8")
    with pytest.raises(CourseError, match="not in step"):
        build(root, check=True)
    assert build(root) == [made]

    (root / "exercises" / "09_y.ipynb").write_text("{}")
    with pytest.raises(CourseError, match=r"exercises/09_y\.ipynb has no solution"):
        build(root, check=True)


def test_a_write_that_fails_leaves_nothing_behind(course, monkeypatch):
    def refuses(*arguments):
        raise OSError("no space left")

    root = course(code(MARKED))
    monkeypatch.setattr("os.replace", refuses)
    with pytest.raises(OSError, match="no space left"):
        build(root)
    assert list((root / "exercises").iterdir()) == []


def test_a_folder_without_solutions_is_said(tmp_path):
    with pytest.raises(CourseError, match="run this in the course's repository"):
        build(tmp_path)
