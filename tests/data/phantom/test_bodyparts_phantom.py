"""MedNIST's stand-in: every kind of picture its own, and no kind but those."""

import pytest
import torch

from medgan_course.data.phantom import bodyparts
from medgan_course.errors import CourseError


def test_a_picture_is_the_same_in_every_batch():
    together = bodyparts.render(range(6), size=32, seed=0)
    assert together.shape == (6, 32, 32)
    assert together.dtype == torch.uint8
    for kind in range(6):
        alone = bodyparts.render([kind], size=32, seed=0, first=kind)[0]
        assert (alone.int() - together[kind].int()).abs().max() <= 1  # rounding


@pytest.mark.parametrize("wrong", [[99], [6], [-1], [0.5], []])
def test_labels_that_are_none_are_refused(wrong):
    with pytest.raises(CourseError, match=r"no class|no subjects|not a whole number"):
        bodyparts.render(wrong, size=32, seed=0)


@pytest.mark.parametrize("size", [0, -4, 8])
def test_sizes_that_are_none_are_refused(size):
    with pytest.raises(CourseError, match=f"size is {size}"):
        bodyparts.render([0], size=size, seed=0)
