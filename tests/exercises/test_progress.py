"""What is solved is kept, and a file that cannot be read or written costs nobody a verdict."""

import json

import pytest
import torch

from medgan_course import exercises
from medgan_course.errors import CourseError
from medgan_course.exercises import EXERCISES, check, progress
from medgan_course.exercises.answer import CheckFailed, Exercise

SOLVED = "04.2"


@pytest.fixture(autouse=True)
def easy(monkeypatch):
    """Exercise 04.2 is solved by 42."""

    def ask(answer):
        if answer.value != 42:
            raise CheckFailed("It is another number.")
        return "that is it."

    monkeypatch.setitem(EXERCISES, SOLVED, Exercise(ask, ("a", "b", "c")))


def row(chapter):
    (found,) = (each for each in progress().rows if each[0] == chapter)
    return found


def test_right_answers_count_once_and_wrong_ones_never():
    names = [name for name in EXERCISES if name.startswith("04.")]
    assert row("04") == ["04", f"0 of {len(names)}", ", ".join(names)]
    with pytest.raises(CheckFailed):
        check(SOLVED, 41)
    assert row("04")[1].startswith("0 of")
    check(SOLVED, 42)
    check(SOLVED, 42)
    assert row("04") == ["04", f"1 of {len(names)}", ", ".join(name for name in names if name != SOLVED)]


def test_what_another_notebook_solved_is_still_there(progress_file):
    progress_file.write_text(json.dumps(["04.1", "99.9"]))
    check(SOLVED, 42)
    assert json.loads(progress_file.read_text()) == ["04.1", SOLVED]


def test_with_all_solved_nothing_is_to_do(progress_file):
    progress_file.write_text(json.dumps(list(EXERCISES)))
    assert {each[2] for each in progress().rows} == {"nothing"}


@pytest.mark.parametrize("content", ["", "{", "7", "[[1]]"])
def test_a_damaged_file_is_said_and_stays(progress_file, content, capsys):
    progress_file.write_text(content)
    check(SOLVED, 42)
    said = capsys.readouterr().out.splitlines()
    assert said[0] == "Right. Exercise 4.2: that is it."
    assert said[1].startswith("(That it is solved could not be kept:")
    assert progress_file.read_text() == content
    with pytest.raises(CourseError, match="delete it, and progress starts anew"):
        progress()


def test_a_home_that_cannot_be_written_costs_no_verdict(tmp_path, monkeypatch, capsys):
    (tmp_path / "file").touch()
    monkeypatch.setattr(exercises, "kept", lambda: tmp_path / "file" / "progress.json")
    check(SOLVED, 42)
    assert "Right. Exercise 4.2" in capsys.readouterr().out


def test_every_chapter_of_the_exercises_has_a_row():
    assert [each[0] for each in progress().rows] == sorted({name[:2] for name in EXERCISES})


def test_who_grades_has_solved_nothing(progress_file, monkeypatch):
    monkeypatch.setenv("NBGRADER_EXECUTION", "autograde")
    check(SOLVED, 42)
    assert not progress_file.exists()


def test_another_seed_asks_with_other_numbers(monkeypatch):
    drawn = []
    draw = Exercise(lambda answer: drawn.append(torch.rand(()).item()) or "it draws.", ("a", "b", "c"))
    monkeypatch.setitem(EXERCISES, SOLVED, draw)
    for seed in (0, 0, 7):
        check(SOLVED, None, seed=seed)
    assert drawn[0] == drawn[1] != drawn[2]
