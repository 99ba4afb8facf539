import pytest
import torch

from medgan_course import budgets
from medgan_course.budgets import Budget, choose, profile
from medgan_course.errors import CourseError


@pytest.mark.parametrize("name", ["smoke", "cpu", "gpu"])
def test_the_environment_chooses(monkeypatch, name):
    monkeypatch.setenv("MEDGAN_PROFILE", name)
    of = {
        each: Budget(steps=i, size=28, base=8, batch_size=4, n_score=9)
        for i, each in enumerate(budgets.PROFILES, 1)
    }
    assert profile() == name
    assert choose(**of) is of[name]


@pytest.mark.parametrize("value", [None, ""])
@pytest.mark.parametrize(("cuda", "expected"), [(True, "gpu"), (False, "cpu")])
def test_without_it_the_machine_decides(monkeypatch, value, cuda, expected):
    if value is None:
        monkeypatch.delenv("MEDGAN_PROFILE", raising=False)
    else:
        monkeypatch.setenv("MEDGAN_PROFILE", value)
    monkeypatch.setattr(torch.cuda, "is_available", lambda: cuda)
    assert profile() == expected


@pytest.mark.parametrize(
    ("wrong", "near"), [("GPU", "'gpu'"), ("smok", "'smoke'"), ("cpus", "'cpu'"), ("tomorrow", None)]
)
def test_no_such_profile(monkeypatch, wrong, near):
    monkeypatch.setenv("MEDGAN_PROFILE", wrong)
    with pytest.raises(CourseError, match="smoke, cpu, gpu") as caught:
        profile()
    assert repr(wrong) in str(caught.value)
    assert ("did you mean" in str(caught.value)) == (near is not None)
    assert near is None or f"did you mean {near}" in str(caught.value)


@pytest.mark.parametrize(
    ("name", "value", "least"), [("steps", 0, 1), ("steps", -5, 1), ("base", 0, 1), ("n_score", 1, 2)]
)
def test_a_budget_that_buys_nothing(name, value, least):
    fine = {"steps": 1, "size": 28, "base": 1, "batch_size": 1, "n_score": 2}
    Budget(**fine)
    with pytest.raises(CourseError, match=f"budget's {name} is {value}: it must be {least} or more"):
        Budget(**fine | {name: value})
