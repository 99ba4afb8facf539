"""Spectra of waves and noise whose power is known, histograms by hand."""

import math

import pytest
import torch
from torch.nn.functional import avg_pool2d

from medgan_course.errors import CourseError
from medgan_course.metrics.spectrum import (
    fine_spectrum,
    high_frequency_ratio,
    histogram_overlap,
    radial_spectrum,
    spectrum_error,
)


def noise(n, *shape, seed=0):
    return torch.randn(n, *shape, generator=torch.Generator().manual_seed(seed))


@pytest.mark.parametrize("sides", [(32, 32), (32, 48), (16, 16, 16)])
def test_white_noise_has_its_variance_at_every_frequency(sides):
    power = radial_spectrum(3 * noise(60, 1, *sides)).mean(0)
    assert len(power) == min(sides) // 2 + 1
    assert power[2:].tolist() == pytest.approx([9.0] * (len(power) - 2), rel=0.15)


def test_a_wave_has_power_at_its_own_ring_alone():
    x = torch.arange(16.0)
    wave = torch.cos(2 * math.pi * 3 * x / 16).expand(1, 1, 16, 16)
    power = radial_spectrum(wave)[0]
    # Two coefficients of size n / 2 on a ring of 16 points (2.5 <= r < 3.5 by hand: 3,0 3,1 2,2 and mirrors).
    assert power[3] == pytest.approx(2 * (256 / 2) ** 2 / 256 / 16)
    assert power.sum() == pytest.approx(float(power[3]))


def test_an_oblong_image_is_measured_in_cycles_per_pixel():
    wave = torch.cos(2 * math.pi * torch.arange(64.0) / 8)  # 1/8 cycle per pixel along the long side
    power = radial_spectrum(wave.expand(1, 1, 16, 64))[0]
    assert power.argmax() == 2  # 1/8 of a cycle per pixel is 2 cycles per 16 pixels


def test_channels_are_averaged_and_the_mean_grey_value_is_ring_zero():
    image = torch.stack([torch.full((8, 8), 1.0), torch.full((8, 8), 3.0)])[None]
    power = radial_spectrum(image)[0]
    assert power[0] == pytest.approx((64**2 + 192**2) / 2 / 64)
    assert power[1:].abs().max() < 1e-9


def test_the_ratio_is_below_one_for_blur_and_the_square_of_the_contrast():
    real = noise(40, 1, 16, 16)
    assert high_frequency_ratio(real / 2, real).value == pytest.approx(0.25)
    assert high_frequency_ratio(avg_pool2d(real, 3, 1, 1), real).high < 0.3
    assert high_frequency_ratio(real + noise(40, 1, 16, 16, seed=1), real).low > 1.7


def test_only_what_lies_above_half_nyquist_counts():
    x = torch.arange(32.0)
    real = noise(10, 1, 32, 32)
    for cycles, counts in ((8, False), (9, True)):
        surplus = 3 * torch.cos(2 * math.pi * cycles * x / 32).expand(10, 1, 32, 32)
        assert (high_frequency_ratio(real + surplus, real).value > 1.05) == counts
        assert (spectrum_error(real + surplus, real).value > 0.05) == counts


@pytest.mark.parametrize(("side", "first"), [(28, 8), (30, 8), (32, 9)])
def test_the_fine_spectrum_begins_above_half_nyquist(side, first):
    # Nyquist is 14, 15 and 16 cycles per side; 7 and 8 cycles are just half of it, 7.5 is no ring.
    images = noise(2, 1, side, side)
    assert fine_spectrum(images).shape == (2, side // 2 + 1 - first)
    assert torch.equal(fine_spectrum(images)[:, 0], radial_spectrum(images)[:, first])


def test_the_error_of_missing_and_of_surplus_power_is_the_same():
    real = noise(20, 1, 16, 16)
    assert spectrum_error(real * 2**0.5, real).value == pytest.approx(math.log(2))
    assert spectrum_error(real / 2**0.5, real).value == pytest.approx(math.log(2))
    assert spectrum_error(real, real).value == pytest.approx(0)


def test_an_error_of_both_signs_does_not_cancel_in_the_spectrum():
    real = noise(200, 1, 16, 16)
    fourier = torch.fft.fft2(real)
    radius = torch.hypot(torch.fft.fftfreq(16)[:, None], torch.fft.fftfreq(16)[None])
    gain = torch.where(radius < 6.5 / 16, 0.8, 1.12)
    tilted = torch.fft.ifft2(fourier * gain).real
    assert high_frequency_ratio(tilted, real).value == pytest.approx(1, abs=0.15)
    assert spectrum_error(tilted, real).value > 0.25


def test_scores_say_how_many_images_they_are_from():
    real = noise(20, 1, 16, 16)
    for metric in (high_frequency_ratio, spectrum_error):
        score = metric(noise(12, 1, 16, 16, seed=2), real, seed=5)
        assert (score.n, score.seed) == (12, 5)
        assert score.low < score.high


def test_spectra_of_other_sizes_are_refused():
    with pytest.raises(CourseError, match="one size only"):
        spectrum_error(noise(4, 1, 16, 16), noise(4, 1, 32, 32))
    with pytest.raises(CourseError, match="A spectrum is of images"):
        radial_spectrum(noise(4, 16, 16))


def test_histogram_overlap_by_hand():
    x, y = torch.tensor([[-0.9, -0.9, 0.1, 0.9]]), torch.tensor([[-0.9, 0.1, 0.1, 0.1]])
    # Bins of width 1/2: shares 2, 0, 1, 1 and 1, 0, 3, 0 quarters; common 1 + 1 of 4
    assert histogram_overlap(x, y, bins=4) == pytest.approx(0.5)
    assert histogram_overlap(x, x, bins=4) == pytest.approx(1)
    assert histogram_overlap(x, x - 5, bins=4) == pytest.approx(0.5)  # all in the first bin


def test_histogram_overlap_of_two_regions_of_one_image():
    image = torch.tensor([[-0.5, -0.5, 0.5, 0.5]])
    first, last = torch.tensor([[True, True, False, False]]), torch.tensor([[False, False, True, True]])
    assert histogram_overlap(image, image, mask_x=first, mask_y=last) == 0
    assert histogram_overlap(image, image, mask_x=first, mask_y=first) == 1
    assert histogram_overlap(image, image, mask_x=first, mask_y=first & last).isnan()
    with pytest.raises(CourseError, match="shape of its images"):
        histogram_overlap(image, image, mask_x=first[0])
    with pytest.raises(CourseError, match="in pairs"):
        histogram_overlap(image, image.repeat(2, 1))
