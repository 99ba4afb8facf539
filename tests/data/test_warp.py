"""Displacement fields: linear maps exactly, round trips, and what folds is refused."""

import math

import pytest
import torch

from medgan_course.data import warp
from medgan_course.data.signal import gaussian_psf
from medgan_course.errors import CourseError

SPACES = [(48, 40), (16, 18, 20)]


def noise(n, *space, seed=0):
    return torch.randn(n, len(space), *space, generator=torch.Generator().manual_seed(seed))


def linear(matrix, *space):
    """Return the field of r -> r + A r, with 0 in the first pixel."""
    places = torch.stack(torch.meshgrid([torch.arange(float(side)) for side in space], indexing="ij"))
    return torch.einsum("ij,j...->i...", matrix, places)[None]


@pytest.mark.parametrize("space", SPACES)
def test_the_jacobian_of_a_linear_map_is_its_determinant(space):
    a = 0.2 * torch.randn(len(space), len(space), generator=torch.Generator().manual_seed(1))
    expected = torch.linalg.det(torch.eye(len(space)) + a).item()
    jacobian = warp.jacobian(linear(a, *space))
    assert jacobian.shape == (1, 1, *space)
    torch.testing.assert_close(jacobian, torch.full_like(jacobian, expected), rtol=1e-4, atol=1e-4)
    assert warp.folds(linear(a, *space)).tolist() == [expected <= 0]


@pytest.mark.parametrize("space", SPACES)
@pytest.mark.parametrize("rms", [0.5, 2.0])
def test_random_fields_have_the_strength_asked_for_and_an_inverse(space, rms):
    fields = warp.random_field(noise(4, *space), rms=rms, width=20)
    torch.testing.assert_close(warp.root_mean_square(fields), torch.full((4,), rms))
    assert warp.jacobian(fields).min() > 0
    inside = (..., *[slice(6, -6)] * len(space)) if min(space) > 30 else (..., *[slice(4, -4)] * len(space))
    back = warp.inverse(fields)
    for there_and_back in (warp.composed(fields, back), warp.composed(back, fields)):
        assert there_and_back[inside].abs().max() < 0.05


def test_a_wider_field_is_smoother():
    slopes = [
        warp.random_field(noise(8, 64, 64), rms=1.0, width=width).diff(dim=-1).std() for width in (10, 20)
    ]
    # The slope of noise blurred by sigma is u / (sqrt 2 sigma): half of it for twice the width.
    assert (slopes[0] / slopes[1]).item() == pytest.approx(2, rel=0.15)


def test_whole_pixels_move_by_hand():
    """y(r) = x(r + u): with u = (1, -2) the value of row 3, column 4 comes from row 4, column 2."""
    x = torch.rand(1, 2, 8, 8)
    u = torch.tensor([1.0, -2.0]).view(1, 2, 1, 1).expand(1, 2, 8, 8)
    for nearest in (False, True):
        y = warp.apply(x, u, nearest=nearest)
        torch.testing.assert_close(y[..., 3, 4], x[..., 4, 2])
        torch.testing.assert_close(y[..., 7, 0], x[..., 7, 0])  # the border is repeated
    volume = torch.rand(1, 1, 5, 6, 7)
    u = torch.tensor([1.0, 2.0, 3.0]).view(1, 3, 1, 1, 1).expand(1, 3, 5, 6, 7)
    torch.testing.assert_close(warp.apply(volume, u)[..., 0, 0, 0], volume[..., 1, 2, 3])


def test_half_a_pixel_is_the_mean_of_two():
    x = torch.rand(1, 1, 4, 6)
    u = torch.tensor([0.0, 0.5]).view(1, 2, 1, 1).expand(1, 2, 4, 6)
    torch.testing.assert_close(warp.apply(x, u)[..., :-1], (x[..., :-1] + x[..., 1:]) / 2)


def test_labels_stay_labels():
    labels = torch.randint(4, (2, 1, 40, 40), generator=torch.Generator().manual_seed(0)).float()
    moved = warp.apply(labels, warp.random_field(noise(2, 40, 40), rms=1.5, width=16), nearest=True)
    assert set(moved.unique().tolist()) <= {0.0, 1.0, 2.0, 3.0}


def test_composition_is_one_after_the_other():
    """Of a straight ramp there is no interpolation error: x = 3 row - 2 column."""
    ramp = 3 * torch.arange(40.0)[:, None] - 2 * torch.arange(40.0)
    ramp = ramp.expand(1, 1, 40, 40)
    first, second = (warp.random_field(noise(1, 40, 40, seed=s), rms=1.0, width=15) for s in (1, 2))
    twice = warp.apply(warp.apply(ramp, first), second)
    once = warp.apply(ramp, warp.composed(first, second))
    inside = (..., slice(5, -5), slice(5, -5))
    torch.testing.assert_close(once[inside], twice[inside], atol=0.1, rtol=0)
    other = warp.apply(ramp, warp.composed(second, first))
    assert (other - twice)[inside].abs().max() > 0.2


def test_images_come_back():
    image = gaussian_psf(noise(1, 64, 64, seed=5)[:, :1], fwhm=10, spacing=1.0)
    field = warp.random_field(noise(1, 64, 64), rms=2.0, width=24)
    back = warp.apply(warp.apply(image, field), warp.inverse(field))
    inside = (..., slice(8, -8), slice(8, -8))
    assert (back - image)[inside].abs().max() < 0.05 * image.abs().max()
    assert (warp.apply(image, field) - image)[inside].abs().max() > 0.2 * image.abs().max()


def test_what_folds_is_refused():
    with pytest.raises(CourseError, match=r"fields of 4.0 px fold, .*smoother"):
        warp.random_field(noise(3, 48, 48), rms=4.0, width=8)
    mirror = linear(torch.diag(torch.tensor([-2.0, 0.0])), 16, 16)
    assert warp.folds(mirror).all()
    with pytest.raises(CourseError, match="has no inverse"):
        warp.inverse(mirror)
    steep = linear(torch.tensor([[0.0, 3.0], [-3.0, 0.0]]), 16, 16)  # a turn by 72 degrees: no fold
    assert not warp.folds(steep).any()
    with pytest.raises(CourseError, match="not found"):
        warp.inverse(steep)
    last = torch.zeros(1, 2, 2, 2)
    last[0, 1, 1, 1] = -1.5  # only the last row of the cell is turned round
    assert warp.folds(last).all()
    # One pixel that overtakes its neighbour, which central differences do not see.
    jump = torch.zeros(2, 2, 9, 9)
    jump[1, 1, 4, 4] = 1.2
    assert warp.folds(jump).tolist() == [False, True]
    assert warp.jacobian(jump).min() > 0


def test_nothing_moves_at_0_px_and_gradients_pass():
    still = warp.random_field(noise(2, 8, 8), rms=0.0, width=4)
    assert still.abs().max() == 0
    assert warp.scaled(torch.zeros(1, 2, 8, 8), 1.0).abs().max() == 0
    x = torch.rand(1, 1, 6, 6, dtype=torch.double, requires_grad=True)
    u = (0.3 + 0.1 * torch.rand(1, 2, 6, 6, dtype=torch.double)).requires_grad_()
    assert torch.autograd.gradcheck(warp.apply, (x, u))
    assert math.isfinite(warp.inverse(still).sum().item())


def test_mistakes_are_sentences():
    with pytest.raises(CourseError, match=r"not \(1, 3, 8, 8\)"):
        warp.jacobian(torch.zeros(1, 3, 8, 8))
    with pytest.raises(CourseError, match="does not fit"):
        warp.apply(torch.zeros(1, 1, 8, 9), torch.zeros(1, 2, 8, 8))
    with pytest.raises(CourseError, match="no length"):
        warp.random_field(noise(1, 8, 8), rms=-1.0, width=4)


@pytest.mark.parametrize("dtype", [torch.bool, torch.uint8, torch.int64])
@pytest.mark.parametrize("space", [(5, 6), (4, 5, 6)])
def test_label_maps_of_any_type_are_warped_exactly(dtype, space):
    """Each pixel takes the one before it along the last axis: 0.6 px away, the nearest is 1 px away."""
    labels = torch.arange(2 * 5 * 6 * 4).remainder(97).to(dtype)[: 2 * math.prod(space)].view(2, 1, *space)
    field = torch.zeros(2, len(space), *space)
    field[:, -1] = -0.6
    expected = torch.cat((labels[..., :1], labels[..., :-1]), dim=-1)
    warped = warp.apply(labels, field, nearest=True)
    assert warped.dtype == dtype
    assert torch.equal(warped, expected)
    large = torch.full((2, 1, *space), 2**40 + 1)  # beyond float32
    assert torch.equal(warp.apply(large, field, nearest=True), large)
    with pytest.raises(CourseError, match="cannot be interpolated"):
        warp.apply(labels, field)


def test_a_length_that_is_no_number():
    with pytest.raises(CourseError, match="is no length"):
        warp.random_field(noise(1, 16, 16), rms=math.nan, width=9)
