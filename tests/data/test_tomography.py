"""Projections and back-projections against a disc's closed form and scikit-image."""

import math

import pytest
import torch

from medgan_course.data import tomography
from medgan_course.data.resize import area
from medgan_course.errors import CourseError


def disc(side, radius, x=0.0, y=0.0):
    """Return a disc, area-sampled: radius and centre in pixels from the middle, y upwards."""
    fine = (torch.arange(side * 8, dtype=torch.double) + 0.5) / 8 - side / 2
    inside = (fine - x) ** 2 + (-fine[:, None] - y) ** 2 < radius**2
    return area(inside[None, None].float(), side).double()


def spots(side):
    """Return three discs of different strength, nothing symmetric."""
    return 0.5 * disc(side, side / 3) + disc(side, 5, 8, 3) - 0.4 * disc(side, 3, -6, 9)


@pytest.mark.parametrize(("x", "y"), [(0.0, 0.0), (9.0, -5.0)])
def test_the_radon_transform_of_a_disc(x, y):
    r"""A chord has length 2 sqrt(r^2 - (s - x cos - y sin)^2): 1 mm pixels, mean error below 1 %."""
    side, views, r = 64, 12, 20.0
    p = tomography.radon(disc(side, r, x, y), views)[0, 0]
    s = torch.arange(p.shape[1], dtype=torch.double) - (p.shape[1] - 1) / 2
    theta = math.pi * torch.arange(views, dtype=torch.double)[:, None] / views
    distance = s - x * theta.cos() - y * theta.sin()
    chord = 2 * (r**2 - distance**2).clamp_min(0).sqrt()
    assert (p - chord).abs().mean() < 0.01 * 2 * r
    deep = distance.abs() < r - 2
    assert (p - chord)[deep].abs().max() < 0.02 * 2 * r
    half = tomography.radon(disc(side, r, x, y), views, spacing=0.5)[0, 0]
    torch.testing.assert_close(half, p / 2)


def test_every_view_has_the_mass_of_the_image():
    p = tomography.radon(spots(40), 7)
    torch.testing.assert_close(p.sum(-1), spots(40).sum().expand(1, 1, 7), rtol=3e-3, atol=0)


def test_corners_are_seen_and_the_middle_stays():
    for side in (28, 33, 64):
        wide = tomography.detectors(side)
        assert wide >= side * math.sqrt(2)
        assert (wide - side) % 2 == 0
    corner = torch.zeros(1, 1, 32, 32)
    corner[..., 0, 0] = 1
    assert (tomography.radon(corner, 8).sum(-1) > 0.9).all()


def test_radon_agrees_with_scikit_image():
    transform = pytest.importorskip("skimage.transform")
    image = spots(45) * disc(45, 22)
    degrees = [180 * v / 10 for v in range(10)]
    oracle = torch.from_numpy(transform.radon(image[0, 0].numpy(), degrees, circle=True).T.copy())
    p = tomography.radon(image, 10)[0, 0]
    margin = (p.shape[1] - 45) // 2
    assert (p[:, margin:-margin] - oracle).abs().max() < 0.01 * oracle.max()


@pytest.mark.parametrize(("hann", "name"), [(False, "ramp"), (True, "hann")])
def test_fbp_agrees_with_scikit_image(hann, name):
    transform = pytest.importorskip("skimage.transform")
    image = spots(45) * disc(45, 22)
    degrees = [180 * v / 60 for v in range(60)]
    p = tomography.radon(image, 60)
    margin = (p.shape[-1] - 45) // 2
    sinogram = p[0, 0, :, margin:-margin].numpy().T
    oracle = torch.from_numpy(transform.iradon(sinogram, degrees, filter_name=name, circle=True))
    inside = disc(45, 20)[0, 0] == 1
    error = (tomography.fbp(p, 45, hann=hann)[0, 0] - oracle)[inside].abs()
    assert error.max() < 0.02 * image.max()


def test_fbp_by_hand_of_one_view():
    r"""One detector saw 1: h = (1/4, -1/pi^2, 0, -1/(9 pi^2), ...) along x, times pi, for 1 mm; /4 for 2 mm.

    1/Delta of the filter for each of two: a unit integral over pixels twice as wide is half the attenuation.
    """
    p = torch.zeros(1, 1, 1, 9, dtype=torch.double)
    p[..., 4] = 1
    row = tomography.fbp(p, 7)[0, 0, 2]
    h = [-1 / (9 * math.pi**2), 0, -1 / math.pi**2, 1 / 4, -1 / math.pi**2, 0, -1 / (9 * math.pi**2)]
    torch.testing.assert_close(row, math.pi * torch.tensor(h, dtype=torch.double))
    p = p.roll(-3, -1)  # at detector 1, where pixel 0 is: nothing comes round to the other side
    h = [1 / 4, -1 / math.pi**2, 0, -1 / (9 * math.pi**2), 0, -1 / (25 * math.pi**2), 0]
    row = tomography.fbp(p, 7)[0, 0, 2]
    torch.testing.assert_close(row, math.pi * torch.tensor(h, dtype=torch.double))
    torch.testing.assert_close(tomography.fbp(p, 7, spacing=2.0)[0, 0, 2], row / 2)


def test_images_come_back():
    image = spots(64)
    back = tomography.fbp(tomography.radon(image, 120, spacing=0.7), 64, spacing=0.7)
    inside = disc(64, 18)[0, 0] == 1
    assert (back - image)[0, 0][inside].abs().mean() < 0.03
    assert (back - image).mean().abs() < 0.005


def noise(n, views, side, seed=0):
    shape = (2, n, 1, views, tomography.detectors(side))
    return torch.randn(shape, generator=torch.Generator().manual_seed(seed))


def test_water_is_0_and_air_is_minus_1000():
    """A water cylinder 20 cm across, many photons: within 3 HU on average, 60 everywhere off the edge."""
    hu = 1000 * (disc(64, 25) - 1).float()
    shown = tomography.low_dose(hu, 0 * noise(1, 120, 64), photons=1e9, spacing=4.0, electronic=0)[0, 0]
    water, air = disc(64, 22)[0, 0] == 1, (disc(64, 28)[0, 0] == 0) & (disc(64, 31)[0, 0] == 1)
    assert shown[water].mean().item() == pytest.approx(0, abs=3)
    assert shown[air].mean().item() == pytest.approx(-1000, abs=3)
    assert (shown[water].abs() < 60).all()


def test_the_truth_keeps_its_sharpness():
    """With hardly any noise the image is the one given, edges too, however few the views."""
    hu = 1000 * (disc(32, 10) - 1).float()
    shown = tomography.low_dose(hu, noise(1, 12, 32), photons=1e12, spacing=2.0)
    assert (shown - hu).abs().max() < 1


def test_a_size_of_pixel_for_each_image():
    hu = 1000 * (disc(24, 8) - 1).float().expand(2, 1, -1, -1)
    draws = noise(2, 20, 24)
    each = torch.tensor([1.0, 3.0])
    both = tomography.low_dose(hu, draws, photons=1e4, spacing=each)
    for i in range(2):
        alone = tomography.low_dose(hu[i : i + 1], draws[:, i : i + 1], photons=1e4, spacing=each[i].item())
        torch.testing.assert_close(both[i : i + 1], alone, rtol=1e-4, atol=0.1)
    square = each[:, None].expand(-1, 2)
    torch.testing.assert_close(tomography.low_dose(hu, draws, photons=1e4, spacing=square), both)
    for wrong in (0.0, -1.0, torch.ones(3), torch.tensor([[1.0, 2.0], [1.0, 1.0]])):
        with pytest.raises(CourseError, match="no size of square pixels"):
            tomography.low_dose(hu, draws, photons=1e4, spacing=wrong)
    for wrong in ({"photons": 0.0}, {"photons": -1.0}, {"photons": 1e4, "electronic": -1.0}):
        with pytest.raises(CourseError, match="measure nothing"):
            tomography.low_dose(hu, draws, spacing=1.0, **wrong)


def test_four_times_the_photons_halve_the_noise():
    hu = 1000 * (disc(48, 16) - 1).float().expand(4, 1, -1, -1)
    inside = disc(48, 13)[0, 0] == 1
    silent = tomography.low_dose(hu, 0 * noise(4, 60, 48), photons=1e6, spacing=4.0, electronic=0)
    spread = []
    for photons in (1e5, 4e5):
        shown = tomography.low_dose(hu, noise(4, 60, 48), photons=photons, spacing=4.0, electronic=0)
        spread.append((shown - silent)[:, 0, inside].std().item())
    assert spread[0] / spread[1] == pytest.approx(2, rel=0.02)


@pytest.mark.parametrize("electronic", [0.0, 1e5**0.5])
def test_the_noise_of_a_blank_scan_is_that_of_its_filter(electronic):
    r"""Var mu = (pi/V)^2 V (sum h^2) / I_0 at a detector's own place, less between two.

    sum h^2 = 1/16 + 2/pi^4 (1 + 1/81 + 1/625 + ...) = 1/16 + 2/96 = 1/12, and
    sum h_n h_{n+1} = 2 (1/4) (-1/pi^2) = -1/(2 pi^2), for all other products have a factor 0.
    """
    air = torch.full((3, 1, 32, 32), -1000.0)
    draws = noise(3, 90, 32)
    draws[0 if electronic else 1] = 0  # either the photons' noise, or as much from the electronics
    shown = tomography.low_dose(air, draws, photons=1e5, spacing=1.0, electronic=electronic)
    variance = (shown / 1000 * tomography.MU_WATER).var().item() / (math.pi**2 / 90 / 1e5)
    # Over all places t between detectors: E[(1-t)^2 + t^2] / 12 + 2 E[t (1-t)] (-1/(2 pi^2)).
    assert variance == pytest.approx(2 / 3 / 12 - 1 / 3 / (2 * math.pi**2), rel=0.05)


def test_starved_rays_stay_finite():
    bone = 3000 * torch.ones(1, 1, 32, 32)
    shown = tomography.low_dose(bone, noise(1, 20, 32), photons=50, spacing=10.0)
    assert shown.isfinite().all()


def test_fewer_views_are_worse():
    image = spots(64)
    p = tomography.radon(image, 96)
    errors = [(tomography.fbp(p[:, :, ::k], 64) - image).square().mean().item() for k in (1, 4, 12)]
    assert errors[0] < errors[1] / 2 < errors[2] / 4


def test_batches_are_computed_apart_and_gradients_pass():
    a, b = spots(24), disc(24, 6, 2, 1)
    both = tomography.radon(torch.cat((torch.cat((a, b), 1), torch.cat((b, a), 1))), 5)
    torch.testing.assert_close(both[0], both[1].flip(0))
    torch.testing.assert_close(both[0, :1], tomography.radon(a, 5)[0])
    x = torch.rand(1, 1, 5, 5, dtype=torch.double, requires_grad=True)
    assert torch.autograd.gradcheck(lambda x: tomography.fbp(tomography.radon(x, 3), 5), x)


def test_mistakes_are_sentences():
    with pytest.raises(CourseError, match="Only square images"):
        tomography.radon(torch.zeros(1, 1, 4, 5), 3)
    with pytest.raises(CourseError, match="views=0"):
        tomography.radon(torch.zeros(1, 1, 4, 4), 0)
    with pytest.raises(CourseError, match="side=8"):
        tomography.fbp(torch.zeros(1, 1, 4, 9), 8)
    with pytest.raises(CourseError, match="The noise is"):
        tomography.low_dose(torch.zeros(1, 1, 8, 8), torch.zeros(2, 1, 1, 4, 8), photons=1e4, spacing=1.0)
