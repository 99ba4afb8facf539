"""What the values of images stand for, there and back."""

import math

import pytest
import torch

from medgan_course.data.scale import Scale
from medgan_course.errors import CourseError


def test_there_and_back():
    scale = Scale(-160, 240, "HU")
    shown = scale.normalised(torch.tensor([-1000.0, 40.0, 80.0, 3000.0]))
    torch.testing.assert_close(shown, torch.tensor([-1.0, 0.0, 0.2, 1.0]))
    torch.testing.assert_close(scale.restored(shown), torch.tensor([-160.0, 40.0, 80.0, 240.0]))


@pytest.mark.parametrize("dtype", [torch.uint8, torch.int16, torch.int64])
def test_whole_numbers_do_not_overflow(dtype):
    """2 x 200 is beyond uint8; 20 000 - (-20 000) is beyond int16."""
    grey = torch.tensor([0, 100, 127], dtype=dtype)
    torch.testing.assert_close(Scale(0, 200, "grey level").normalised(grey), torch.tensor([-1.0, 0.0, 0.27]))
    wide = torch.tensor([20_000], dtype=torch.int16)
    assert Scale(-20_000, 20_000, "HU").normalised(wide).item() == 1


def test_double_precision_stays():
    assert Scale(0, 1, "").normalised(torch.zeros(1, dtype=torch.double)).dtype == torch.double


@pytest.mark.parametrize(("low", "high"), [(1, 1), (2, 1), (math.nan, 1), (-math.inf, 1), (0, math.inf)])
def test_a_scale_that_is_none(low, high):
    with pytest.raises(CourseError, match="low must be below high"):
        Scale(low, high, "HU")
