"""Right answers, however written, are accepted; usual wrong ones are told why.

The answers of a chapter stand in ``RIGHT`` and ``WRONG`` of its ``test_checks_NN.py``, beside what else is
tested of its checks.
"""

from importlib import import_module
from pathlib import Path

import pytest

from medgan_course.exercises import EXERCISES, CheckFailed, check

CHAPTERS = [import_module(path.stem) for path in sorted(Path(__file__).parent.glob("test_checks_*.py"))]


def parameters(which):
    """Return one parameter for each answer that a chapter lists under its exercise and a name of its own."""
    return [
        pytest.param(name, answer, id=f"{name} {how}")
        for chapter in CHAPTERS
        for name, answers in getattr(chapter, which).items()
        for how, answer in answers.items()
    ]


@pytest.mark.parametrize(("which", "least"), [("RIGHT", 3), ("WRONG", 5)])
def test_every_exercise_is_tried_with_several_answers(which, least):
    tried = {name: len(answers) for chapter in CHAPTERS for name, answers in getattr(chapter, which).items()}
    assert sorted(tried) == sorted(EXERCISES)
    assert min(tried.values()) >= least


@pytest.mark.parametrize(("name", "answer"), parameters("RIGHT"))
def test_a_right_answer_is_accepted_however_it_is_written(name, answer, capsys):
    check(name, answer)
    chapter, number = name.split(".")
    assert capsys.readouterr().out.startswith(f"Right. Exercise {int(chapter)}.{number}: ")


@pytest.mark.parametrize(("name", "wrong"), parameters("WRONG"))
def test_a_wrong_answer_is_told_why(name, wrong):
    answer, reason = wrong
    with pytest.raises(CheckFailed, match=reason):
        check(name, answer)
