"""Every chapter closes with a quiz that explains each option, and each objective is practised somewhere."""

import re
from pathlib import Path

import nbformat
import pytest

from medgan_course.exercises import EXERCISES

ROOT = Path(__file__).parents[2]
CHAPTERS = sorted((ROOT / "chapters").glob("*.ipynb"))
QUESTION = re.compile(r"^\*\*(\d)\. (.+?)\*\*$", re.MULTILINE)
OPTION = re.compile(
    r"<details class=\"option\">\n<summary>([^\n]+)</summary>\n\n(.+?)\n\n</details>", re.DOTALL
)


@pytest.fixture(params=CHAPTERS, ids=lambda path: path.stem)
def chapter(request):
    return nbformat.read(request.param, as_version=4)


def quiz(chapter):
    """Return the questions of the chapter's quiz, each with its options and their reasons."""
    (cell,) = (cell for cell in chapter.cells if "quiz" in cell.metadata.get("tags", []))
    head, *parts = re.split(r"(?=^\*\*\d\. )", cell.source, flags=re.MULTILINE)
    assert head.startswith("## Quiz\n")
    return {QUESTION.match(part)[2]: OPTION.findall(part) for part in parts}, parts


def test_it_asks_four_to_six_questions_with_one_right_option_each(chapter):
    questions, parts = quiz(chapter)
    assert 4 <= len(questions) <= 6
    assert [int(QUESTION.match(part)[1]) for part in parts] == list(range(1, len(parts) + 1))
    for question, options in questions.items():
        assert 3 <= len(options) <= 5, question
        assert sum(reason.startswith("**Right.** ") for _, reason in options) == 1, question
        assert all(reason.startswith(("**Right.** ", "**No.** ")) for _, reason in options), question
        assert all(len(reason) > 60 for _, reason in options), f"{question}: an option has no reason"
        assert len({option for option, _ in options}) == len(options)


def test_nothing_of_the_quiz_is_outside_a_question_or_an_option(chapter):
    _, parts = quiz(chapter)
    for part in parts:
        assert not OPTION.sub("", QUESTION.sub("", part, count=1)).strip()


def test_the_right_option_is_not_told_by_its_place_or_length(chapter):
    questions, _ = quiz(chapter)
    right = [[r.startswith("**Right") for _, r in options].index(True) for options in questions.values()]
    assert len(set(right)) > 1
    longest = [max(range(len(o)), key=lambda k: len(o[k][0])) for o in questions.values()]
    assert sum(a == b for a, b in zip(right, longest, strict=True)) <= len(right) / 2


def test_every_objective_is_practised_in_an_exercise_or_asked_in_the_quiz(chapter):
    (opening,) = (cell for cell in chapter.cells if "**You will be able to**" in cell.source)
    listing = opening.source.split("**You will be able to**")[1].split("**You need**")[0]
    objectives = re.findall(r"^- ", listing, re.MULTILINE)
    practised = chapter.metadata.medgan.objectives
    assert len(practised) == len(objectives) >= 3
    known = {f"quiz {number}" for number in range(1, len(quiz(chapter)[0]) + 1)} | set(EXERCISES)
    for entry in practised:
        assert entry, "an objective is neither practised nor asked"
        assert set(entry) <= known, set(entry) - known


def test_every_chapter_has_three_exercises_or_more():
    for path in CHAPTERS:
        number = path.name[:2]
        assert sum(name.startswith(f"{number}.") for name in EXERCISES) >= 3, path.name


def test_every_exercise_is_touched_by_an_objective():
    touched = {
        name
        for path in CHAPTERS
        for entry in nbformat.read(path, as_version=4).metadata.medgan.objectives
        for name in entry
    }
    assert set(EXERCISES) <= touched
