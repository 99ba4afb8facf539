import math

import pytest
import torch
from torch.nn import functional as F

from medgan_course.data.degrade import area_sampled, bicubic, photon_noise
from medgan_course.data.kspace import kspace_crop, zero_fill
from medgan_course.errors import CourseError


@pytest.mark.parametrize("factor", [2, 3, 4])
def test_bicubic_passes_through_the_samples_and_draws_parabolas(factor):
    t = torch.arange(12, dtype=torch.double)
    parabola = (0.1 * t**2 - t)[None, None, :, None] + (2 * t)[None, None, None, :]
    large = bicubic(parabola, factor)
    torch.testing.assert_close(large[..., ::factor, ::factor], parabola)
    fine = torch.arange(12 * factor, dtype=torch.double) / factor
    expected = (0.1 * fine**2 - fine)[:, None] + (2 * fine)[None, :]
    inside = slice(2 * factor, -3 * factor)  # the border sample is repeated
    torch.testing.assert_close(large[0, 0, inside, inside], expected[inside, inside])


def test_bicubic_is_torch_s_but_for_the_shift_of_one_pixel():
    # For a factor of 3, enlargement by aligned borders is off by (3 - 1) / 2 = 1 px. With antialias, which
    # does nothing to an enlargement, torch has Keys's a = -1/2.
    images = torch.randn(1, 2, 10, 12)
    shifted = F.interpolate(images, scale_factor=3, mode="bicubic", antialias=True)
    torch.testing.assert_close(
        bicubic(images, 3)[..., 6:-9, 6:-9], shifted[..., 7:-8, 7:-8], atol=1e-5, rtol=1e-5
    )


def test_bicubic_keeps_constants_and_works_on_volumes():
    volume = torch.full((1, 2, 3, 4, 5), -0.7)
    torch.testing.assert_close(bicubic(volume, 2), torch.full((1, 2, 6, 8, 10), -0.7))


def test_bicubic_repeats_the_border_and_does_not_wrap_around():
    step = torch.zeros(1, 1, 8, 8)
    step[..., -2:, :] = 1
    large = bicubic(step, 4)
    assert large[..., :16, :].abs().max() == 0
    torch.testing.assert_close(large[..., -4:, :], torch.ones(1, 1, 4, 32))


def test_an_aligned_enlargement_is_nearer_than_a_shifted_one():
    torch.manual_seed(0)
    images = zero_fill(torch.randn(4, 1, 8, 8), 8)  # smooth
    low = kspace_crop(images, 4)
    shifted = F.interpolate(low, scale_factor=4, mode="bicubic")
    assert (bicubic(low, 4) - images).square().mean() < 0.5 * (shifted - images).square().mean()


def test_one_is_the_identity_and_gradients_pass():
    images = torch.randn(1, 1, 9, 9, dtype=torch.double)
    torch.testing.assert_close(bicubic(images, 1), images)
    small = torch.randn(1, 1, 6, 6, dtype=torch.double, requires_grad=True)
    assert torch.autograd.gradcheck(lambda x: bicubic(x, 2), small)


@pytest.mark.parametrize(("shape", "factor"), [((2, 3, 8, 6), 2), ((1, 1, 9, 6), 3), ((1, 1, 4, 6, 8), 2)])
def test_without_blur_a_coarse_pixel_is_the_mean_of_its_block(shape, factor):
    images = torch.randn(shape, dtype=torch.double)
    low = area_sampled(images, factor, fwhm=0)
    block = (0, 0, *[slice(factor, 2 * factor)] * (len(shape) - 2))
    torch.testing.assert_close(low[(0, 0, *[1] * (len(shape) - 2))], images[block].mean())
    blurred = area_sampled(images, factor, fwhm=3)
    torch.testing.assert_close(blurred.mean(), images.mean())


def test_a_blurred_wave_is_as_weak_as_its_gaussian_and_its_pixels_say():
    r"""cos(w (i + 1/2)) times e^{-sigma^2 w^2 / 2} times sin(w s / 2) / (s sin(w / 2))."""
    n, s, fwhm = 64, 4, 3.0
    omega = 2 * math.pi * 5 / n
    i = torch.arange(n, dtype=torch.double) + 0.5
    low = area_sampled(torch.cos(omega * i).expand(1, 1, 4, n), s, fwhm=fwhm)[0, 0, 0]
    strength = math.exp(-((fwhm / 2.354820045 * omega) ** 2) / 2)
    strength *= math.sin(omega * s / 2) / (s * math.sin(omega / 2))
    centres = s * torch.arange(n // s, dtype=torch.double) + s / 2
    torch.testing.assert_close(low, strength * torch.cos(omega * centres))


def test_the_borders_of_area_samples_are_aligned():
    smooth = zero_fill(torch.randn(2, 1, 6, 6, generator=torch.Generator().manual_seed(0)), 8)
    low = area_sampled(smooth, 2, fwhm=0)
    inside = (..., slice(6, -6), slice(6, -6))

    def error(large):
        return (large - smooth)[inside].square().mean()

    aligned = F.interpolate(low, scale_factor=2, mode="bicubic", antialias=True, align_corners=False)
    assert error(aligned) < 0.1 * error(bicubic(low, 2))


def test_photon_noise_grows_with_the_root_of_the_light():
    noise = torch.randn(2, 1, 200, 200, generator=torch.Generator().manual_seed(0))
    grey = torch.tensor([0.5, -0.5]).view(2, 1, 1, 1)  # 3/4 and 1/4 of the light
    y = photon_noise(grey.expand_as(noise), noise, counts=100)
    torch.testing.assert_close(y.mean(dim=(1, 2, 3)), grey.flatten(), atol=2e-3, rtol=0)
    # Var = (2 / c)^2 c x = 4 x / c
    torch.testing.assert_close(y.var(dim=(1, 2, 3)), torch.tensor([0.03, 0.01]), rtol=0.02, atol=0)
    assert (photon_noise(torch.full_like(noise, -1.2), noise, counts=100) == -1).all()


def test_no_counts_show_nothing():
    with pytest.raises(CourseError, match="positive number of counts"):
        photon_noise(torch.zeros(1, 1, 4, 4), torch.zeros(1, 1, 4, 4), counts=0)
