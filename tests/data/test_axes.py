"""What works along the axes of space refuses whole numbers and other axes; and a product by hand."""

import pytest
import torch

from medgan_course.data import degrade, kspace, pyramid, resize, signal
from medgan_course.data.axes import along_axes
from medgan_course.errors import CourseError

WEIGHTED = [
    lambda x: resize.area(x, 2),
    pyramid.reduce,
    lambda x: pyramid.expand(x, [2 * side for side in x.shape[2:]]),
    lambda x: pyramid.split(x, 1),
    lambda x: signal.gaussian_psf(x, fwhm=2.0, spacing=1.0),
    lambda x: degrade.area_sampled(x, 2, fwhm=2.0),
    lambda x: degrade.bicubic(x, 2),
]


@pytest.mark.parametrize("function", WEIGHTED)
@pytest.mark.parametrize("dtype", [torch.uint8, torch.int16, torch.int64, torch.bool])
def test_whole_numbers_are_refused(function, dtype):
    with pytest.raises(CourseError, match=r"convert it with \.float\(\) first"):
        function(torch.ones(1, 1, 8, 8, dtype=dtype))


SMALLER = [lambda x, s: degrade.area_sampled(x, s, fwhm=1.0), kspace.kspace_crop]
LARGER = [degrade.bicubic, kspace.zero_fill]


@pytest.mark.parametrize("function", SMALLER + LARGER)
@pytest.mark.parametrize("factor", [0, -2, 1.5])
def test_a_factor_is_a_whole_number(function, factor):
    with pytest.raises(CourseError, match=f"factor={factor} is no resolution: choose 2, 3, "):
        function(torch.zeros(1, 1, 8, 8), factor)


@pytest.mark.parametrize("function", SMALLER)
@pytest.mark.parametrize("shape", [(1, 1, 8, 10), (1, 1, 10, 8), (1, 1, 6, 8, 8)])
def test_a_factor_divides_the_sides_of_what_becomes_smaller(function, shape):
    with pytest.raises(CourseError, match=r"The sides of .* cannot be divided by 4"):
        function(torch.zeros(shape), 4)


@pytest.mark.parametrize("function", LARGER)
def test_any_side_becomes_larger(function):
    assert function(torch.zeros(1, 1, 3, 5), 4).shape == (1, 1, 12, 20)


RESAMPLED = [lambda x, f=f: f(x, 2) for f in SMALLER + LARGER]


@pytest.mark.parametrize("function", [*WEIGHTED, *RESAMPLED, kspace.fft, kspace.ifft])
@pytest.mark.parametrize("shape", [(8, 8), (1, 8, 8), (1, 1, 1, 1, 8, 8), (0,)])
def test_other_axes_are_refused(function, shape):
    with pytest.raises(CourseError, match=r"Images are \(N, C, H, W\) and volumes"):
        function(torch.ones(shape))


@pytest.mark.parametrize("function", WEIGHTED)
@pytest.mark.parametrize("space", [(8, 8), (8, 8, 8)])
def test_floating_images_pass(function, space):
    function(torch.ones(1, 1, *space, dtype=torch.double))


def test_each_axis_has_its_own_matrix():
    """Sums of rows, and every column twice."""
    images = torch.tensor([[[[1.0, 2.0], [3.0, 4.0], [5.0, 6.0]]]])
    sums = torch.ones(1, 3, dtype=torch.double)
    twice = torch.tensor([[1, 0], [1, 0], [0, 1], [0, 1]])
    assert along_axes(images, [sums, twice]).tolist() == [[[[9, 9, 12, 12]]]]
    assert along_axes(images + 1j, [sums, twice])[0, 0, 0, 0] == 9 + 3j
