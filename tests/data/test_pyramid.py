"""The Laplacian pyramid: exact inverse, and its blur by hand."""

import pytest
import torch

from medgan_course.data import pyramid
from medgan_course.data.kspace import zero_fill
from medgan_course.errors import CourseError


@pytest.mark.parametrize("shape", [(2, 1, 64, 48), (2, 3, 33, 17), (1, 2, 16, 12, 9), (1, 1, 5, 1)])
def test_merging_undoes_splitting(shape):
    images = torch.rand(shape, generator=torch.Generator().manual_seed(0)) * 2 - 1
    for levels in range(4 if min(shape[2:]) > 8 else 1):
        bands = pyramid.split(images, levels)
        assert len(bands) == levels + 1
        assert (pyramid.merge(bands) - images).abs().max() < 1e-6


def test_the_sides_are_halved_and_rounded_up():
    bands = pyramid.split(torch.zeros(1, 2, 20, 13), 3)
    assert [tuple(band.shape[2:]) for band in bands] == [(20, 13), (10, 7), (5, 4), (3, 2)]


def test_reduce_and_expand_by_hand():
    """Weights 1 4 6 4 1: the edge is mirrored, so (0, 0, 16, 0, 0, 0, 0, 0) gives 2 (twice 1), 6, 1, 0."""
    row = torch.zeros(1, 1, 1, 8)
    row[..., 2] = 16
    assert pyramid.reduce(row).tolist() == [[[[2, 6, 1, 0]]]]
    # 2/16 (6 at its place, 4 beside, 1 beyond) of a sample 8 at 1, i.e. at 2 of the finer grid.
    coarse = torch.tensor([0.0, 8, 0, 0])[None, None, None]
    torch.testing.assert_close(
        pyramid.expand(coarse, (1, 8)), torch.tensor([2.0, 4, 6, 4, 1, 0, 0, 0])[None, None, None]
    )


@pytest.mark.parametrize("shape", [(1, 1, 16, 12), (1, 1, 9, 7), (1, 1, 8, 6, 5)])
def test_a_constant_is_all_in_the_coarsest_image(shape):
    *bands, coarse = pyramid.split(torch.full(shape, 0.7), 2)
    torch.testing.assert_close(coarse, torch.full_like(coarse, 0.7))
    assert max(band.abs().max() for band in bands) < 1e-6


def test_a_ramp_stays_in_place():
    """Coarse sample j lies at 2 j: a straight line has no detail away from the border."""
    ramp = torch.arange(32, dtype=torch.double).expand(1, 1, 8, 32)
    band, coarse = pyramid.split(ramp, 1)
    torch.testing.assert_close(coarse[..., 2:-2], ramp[..., :4, 4:-4:2])
    assert band[..., 4:-4].abs().max() < 1e-12


def test_fine_detail_is_in_the_fine_band():
    smooth = zero_fill(torch.randn(2, 1, 6, 6, generator=torch.Generator().manual_seed(0)), 8)
    checks = (torch.arange(48)[:, None] + torch.arange(48)) % 2 * 2.0 - 1
    energy = [band.square().mean() for band in pyramid.split(smooth, 2)]
    assert energy[0] < 0.03 * energy[2]
    fine, *rest = pyramid.split(checks.expand(1, 1, 48, 48), 2)
    torch.testing.assert_close(fine[0, 0], checks)
    assert max(band.abs().max() for band in rest) < 1e-6


def test_gradients_pass_and_mistakes_are_sentences():
    x = torch.randn(1, 1, 5, 6, dtype=torch.double, requires_grad=True)
    assert torch.autograd.gradcheck(lambda x: tuple(pyramid.split(x, 2)), x)
    for shape, levels in (((1, 1, 8, 8), 4), ((1, 1, 8, 8), -1)):
        with pytest.raises(CourseError, match="no pyramid"):
            pyramid.split(torch.zeros(shape), levels)
    with pytest.raises(CourseError, match="next level"):
        pyramid.merge([torch.zeros(1, 1, 8, 8), torch.zeros(1, 1, 3, 4)])
    with pytest.raises(CourseError, match="No bands"):
        pyramid.merge([])
