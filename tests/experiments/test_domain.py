import pytest

from medgan_course import data
from medgan_course.errors import CourseError
from medgan_course.experiments.domain import Domain, feature_net


@pytest.mark.parametrize(("dataset", "size"), [("mednist", 28), ("pneumoniamnist", 64)])
def test_the_networks_that_the_course_ships(dataset, size):
    assert not feature_net(dataset, size).training


@pytest.mark.parametrize(("dataset", "size"), [("breastmnist", 28), ("pneumoniamnist", 128)])
def test_a_set_without_a_network_is_told_those_that_have_one(dataset, size):
    with pytest.raises(CourseError, match=f"no feature network for {dataset} at {size} px") as caught:
        feature_net(dataset, size)
    assert "mednist at 28 px, pneumoniamnist at 28 px, pneumoniamnist at 64 px." in str(caught.value)


def test_a_set_that_is_none_is_told_the_sets_not_the_networks(monkeypatch):
    with pytest.raises(CourseError, match="no image set 'pneumonia'"):
        Domain("pneumonia", 28, 10)
    with pytest.raises(CourseError, match="does not come with size=30"):
        Domain("pneumoniamnist", 30, 10)
    monkeypatch.setattr(data, "load", load_first)
    with pytest.raises(AssertionError, match="first"):
        Domain("breastmnist", 28, 10)


def load_first(name, **settings):
    raise AssertionError("the data come first")
