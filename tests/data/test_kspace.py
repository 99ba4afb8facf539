"""k-space against closed forms: unitarity, folding, shifts, and exact consistency."""

import math

import pytest
import torch

from medgan_course.data import kspace
from medgan_course.errors import CourseError
from medgan_course.metrics.safety import measurement_consistency

SHAPES = [(2, 3, 12, 16), (2, 1, 9, 11), (1, 2, 6, 8, 7), (2, 1, 5, 7, 10)]


def random(*shape, seed=0, dtype=torch.double):
    return torch.randn(shape, generator=torch.Generator().manual_seed(seed), dtype=dtype)


def wave(n, k, phase=0.3):
    """Return ``cos(2 pi k i / n + phase)``, ``(1, 1, n, n)``, along the last axis."""
    i = torch.arange(n, dtype=torch.double)
    return torch.cos(2 * math.pi * k * i / n + phase).expand(1, 1, n, n)


@pytest.mark.parametrize("shape", SHAPES)
def test_parseval_and_inverse(shape):
    x, y = random(*shape), random(*shape, seed=1, dtype=torch.cdouble)
    k = kspace.fft(x)
    assert (k.abs() ** 2).sum().item() == pytest.approx((x**2).sum().item())
    torch.testing.assert_close(kspace.ifft(k).real, x)
    # <F x, y> = <x, F^-1 y>
    torch.testing.assert_close((k.conj() * y).sum(), (x * kspace.ifft(y)).sum())


@pytest.mark.parametrize("shape", SHAPES)
def test_frequency_and_place_0_are_in_the_middle(shape):
    n = math.prod(shape[2:])
    middle = (..., *[side // 2 for side in shape[2:]])
    k = kspace.fft(torch.ones(shape, dtype=torch.double))
    torch.testing.assert_close(k[middle].real, torch.full(shape[:2], math.sqrt(n), dtype=torch.double))
    assert (k.abs() > 1e-9).sum() == shape[0] * shape[1]
    point = torch.zeros(shape, dtype=torch.double)
    point[middle] = 1
    flat = torch.full(shape, n**-0.5, dtype=torch.cdouble)
    torch.testing.assert_close(kspace.fft(point), flat)


def test_a_wave_is_a_point_at_its_frequency():
    """cos(2 pi 3 (i - 8) / 16) along y has its two points 3 lines away from line 8."""
    i = torch.arange(16, dtype=torch.double) - 8
    k = kspace.fft(torch.cos(2 * math.pi * 3 * i / 16)[None, None, :, None].expand(1, 1, 16, 6))
    points = (k[0, 0].abs() > 1e-9).nonzero().tolist()
    assert points == [[5, 3], [11, 3]]


@pytest.mark.parametrize(("shape", "r"), [((1, 1, 24, 10), 2), ((1, 1, 24, 10), 4), ((1, 1, 4, 24, 5), 3)])
def test_every_rth_line_folds_copies_at_the_field_of_view_over_r(shape, r):
    x = random(*shape)
    mask = kspace.equispaced_mask(24, r)
    assert mask.sum() == 24 // r
    folded = kspace.zero_filled(kspace.measure(x, mask), mask).real
    copies = sum(x.roll(24 // r * copy, -2) for copy in range(r)) / r
    torch.testing.assert_close(folded, copies)


def test_equispaced_lines_by_hand():
    mask = kspace.equispaced_mask(10, 4, centre=3)
    assert mask.nonzero().flatten().tolist() == [1, 4, 5, 6, 9]
    assert kspace.equispaced_mask(7, 1).all()


def test_random_lines_are_as_many_as_asked_and_denser_in_the_middle():
    uniform = torch.rand(2000, 64, generator=torch.Generator().manual_seed(0))
    masks = kspace.random_mask(uniform, 4, centre=4)
    assert (masks.sum(1) == 16).all()
    assert masks[:, 30:34].all()
    density = masks.double().mean(0)
    assert density[34:40].mean() > 2 * density[50:56].mean() > 0.05
    alike = kspace.random_mask(uniform, 4, centre=0, power=0).double().mean(0)
    assert (alike - 0.25).abs().max() < 0.05
    torch.testing.assert_close(kspace.random_mask(uniform[7], 4, centre=4), masks[7])


def test_the_first_line_drawn_has_the_probability_of_its_weight():
    """5 lines, p = 1: weights 1/3, 2/3, 1, 2/3, 1/3."""
    uniform = torch.rand(40_000, 5, generator=torch.Generator().manual_seed(1))
    share = kspace.random_mask(uniform, 5, centre=0, power=1).double().mean(0)
    expected = torch.tensor([1, 2, 3, 2, 1], dtype=torch.double) / 9
    torch.testing.assert_close(share, expected, atol=0.01, rtol=0)


@pytest.mark.parametrize("shape", SHAPES)
def test_zero_filling_is_the_adjoint_and_keeps_what_was_read(shape):
    x, k = random(*shape), random(*shape, seed=1, dtype=torch.cdouble)
    uniform = torch.rand(shape[0], shape[-2], generator=torch.Generator().manual_seed(2))
    mask = kspace.random_mask(uniform, 2, centre=1)
    measured = kspace.measure(x, mask)
    torch.testing.assert_close((measured.conj() * k).sum().real, (x * kspace.zero_filled(k, mask).real).sum())
    torch.testing.assert_close(kspace.measure(kspace.zero_filled(measured, mask), mask), measured)


@pytest.mark.parametrize("shape", SHAPES)
def test_consistent_images_are_the_nearest_that_fit(shape):
    x, guess = random(*shape), random(*shape, seed=1)
    uniform = torch.rand(shape[0], shape[-2], generator=torch.Generator().manual_seed(2))
    mask = kspace.random_mask(uniform, 2, centre=1)
    mask[:, [1, -2]] = torch.tensor([True, False])  # not its own mirror image
    measured = kspace.measure(x, mask)
    fits = kspace.consistent(guess, measured, mask)
    error = measurement_consistency(fits, measured, lambda images: kspace.measure(images, mask))
    assert error.max() < 1e-12
    # An orthogonal projection: the step is orthogonal to the way on to any other image that fits.
    assert abs(((guess - fits) * (x - fits)).sum()) < 1e-9
    torch.testing.assert_close(kspace.consistent(fits, measured, mask), fits)
    full = torch.ones(shape[-2], dtype=torch.bool)
    torch.testing.assert_close(kspace.consistent(guess, kspace.fft(x), full), x)


def test_consistency_of_complex_images_replaces_the_lines():
    x, guess = random(1, 1, 8, 6, dtype=torch.cdouble), random(1, 1, 8, 6, seed=1, dtype=torch.cdouble)
    mask = kspace.equispaced_mask(8, 3, centre=2)
    k = kspace.fft(kspace.consistent(guess, kspace.fft(x), mask))
    torch.testing.assert_close(k[:, :, mask], kspace.fft(x)[:, :, mask])
    torch.testing.assert_close(k[:, :, ~mask], kspace.fft(guess)[:, :, ~mask])


@pytest.mark.parametrize("shape", SHAPES)
def test_a_constant_shift_by_whole_pixels_rolls_the_image(shape):
    x = random(*shape)
    shift = [2, -3, 1][: len(shape) - 2]
    lines = torch.tensor(shift, dtype=torch.double).expand(shape[0], shape[-2], -1)
    back = kspace.ifft(kspace.translated(kspace.fft(x), lines))
    torch.testing.assert_close(back.real, x.roll(shift, tuple(range(2, len(shape)))))


def test_a_shift_of_alternate_lines_makes_a_ghost_at_half_the_field_of_view():
    r"""Odd lines with opposite sign: a point at y = 8 of 16 goes to y = 0 as a whole."""
    x = torch.zeros(1, 1, 16, 16, dtype=torch.double)
    x[0, 0, 8, 5] = 1
    k = kspace.fft(x)
    k[:, :, 1::2] *= -1
    ghost = kspace.ifft(k).abs()
    assert ghost[0, 0, 0, 5].item() == pytest.approx(1)
    # Only the odd lines see the point 3 px to the right.
    lines = torch.zeros(1, 16, 2, dtype=torch.double)
    lines[:, 1::2, 1] = 3
    image = kspace.ifft(kspace.translated(kspace.fft(x), lines)).abs()[0, 0]
    for y, column in ((8, 5), (0, 5), (8, 8), (0, 8)):  # half at rest, half moved, each with its ghost
        assert image[y, column].item() == pytest.approx(0.5)


@pytest.mark.parametrize("shape", [(2, 1, 16, 16), (1, 2, 15, 15), (1, 1, 3, 15, 15)])
def test_a_quarter_turn_takes_x_to_y(shape):
    x = random(*shape)
    turned = kspace.rotated(x, torch.full((shape[0],), math.pi / 2, dtype=torch.double))
    c = shape[-1] // 2
    for y, column in ((c, c + 3), (c - 2, c + 1)):
        dy, dx = y - c, column - c
        torch.testing.assert_close(turned[..., c + dx, c - dy], x[..., y, column])


def test_rotation_agrees_with_scipy():
    ndimage = pytest.importorskip("scipy.ndimage")
    x = torch.from_numpy(ndimage.gaussian_filter(random(33, 33).numpy(), 3))
    turned = kspace.rotated(x[None, None], torch.tensor([0.3], dtype=torch.double))[0, 0]
    oracle = torch.from_numpy(ndimage.rotate(x.numpy(), -math.degrees(0.3), reshape=False, order=3))
    inside = slice(8, 25)
    assert (turned - oracle)[inside, inside].abs().max() < 0.02 * x.abs().max()


def test_lines_come_from_the_pose_in_which_they_were_read():
    x = random(2, 1, 16, 12)
    shifts, angles = random(2, 3, 2, seed=1), 0.2 * random(2, 3, seed=2)
    pose = torch.randint(3, (2, 16), generator=torch.Generator().manual_seed(0))
    k = kspace.moved(x, shifts, angles, pose)
    for image in range(2):
        for line in (0, 5, 8, 15):
            p = pose[image, line]
            turned = kspace.fft(kspace.rotated(x[image : image + 1], angles[image, p][None]))
            whole = kspace.translated(turned, shifts[image, p].expand(1, 16, 2))
            torch.testing.assert_close(k[image, :, line], whole[0, :, line])


def test_no_motion_changes_nothing_and_gradients_pass():
    x = random(1, 1, 6, 5).requires_grad_()
    still = kspace.moved(x, torch.zeros(1, 2, 2), torch.zeros(1, 2), torch.tensor([[0, 1, 0, 1, 1, 0]]))
    torch.testing.assert_close(kspace.ifft(still).real, x)
    mask = kspace.equispaced_mask(6, 2)
    k = kspace.measure(random(1, 1, 6, 5, seed=3), mask)
    assert torch.autograd.gradcheck(lambda x: kspace.consistent(x, k, mask), x)


@pytest.mark.parametrize("factor", [2, 4])
def test_low_frequencies_are_sampled_at_multiples_of_the_factor(factor):
    n = 32
    for k in range(n // factor // 2):
        low = kspace.kspace_crop(wave(n, k), factor)
        torch.testing.assert_close(low, wave(n, k)[..., ::factor, ::factor])
        torch.testing.assert_close(kspace.zero_fill(low, factor), wave(n, k))


@pytest.mark.parametrize("factor", [2, 4])
def test_high_frequencies_vanish_instead_of_folding(factor):
    n = 32
    for k in range(n // factor // 2, n // 2 + 1):
        assert kspace.kspace_crop(wave(n, k), factor).abs().max() < 1e-12


@pytest.mark.parametrize("shape", [(2, 1, 16, 24), (1, 2, 8, 12, 16), (1, 1, 18, 30)])
def test_the_mean_stays_and_cropping_undoes_zero_filling(shape):
    torch.manual_seed(0)
    images = torch.rand(shape, dtype=torch.double) * 2 - 1
    low = kspace.kspace_crop(images, 2)
    assert low.shape == (*shape[:2], *(side // 2 for side in shape[2:]))
    axes = tuple(range(2, len(shape)))
    torch.testing.assert_close(low.mean(axes), images.mean(axes))
    filled = kspace.zero_fill(low, 2)
    assert filled.shape == shape
    torch.testing.assert_close(kspace.kspace_crop(filled, 2), low)
    every_other = (..., *[slice(None, None, 2)] * len(axes))
    torch.testing.assert_close(filled[every_other], low)


def test_zero_filling_is_the_nearest_image_with_these_measurements():
    # An orthogonal projection: the error is orthogonal to every image that the low resolution can hold.
    torch.manual_seed(0)
    images, other = torch.randn(2, 1, 1, 16, 16, dtype=torch.double)
    error = images - kspace.zero_fill(kspace.kspace_crop(images, 2), 2)
    assert abs((error * kspace.zero_fill(kspace.kspace_crop(other, 2), 2)).sum()) < 1e-10


def test_an_odd_number_of_samples_is_resampled_as_scipy_does():
    signal = pytest.importorskip("scipy.signal")
    images = torch.randn(1, 1, 9, 15, dtype=torch.double)
    resampled = signal.resample(signal.resample(images.numpy(), 18, axis=2), 30, axis=3)
    torch.testing.assert_close(kspace.zero_fill(images, 2), torch.from_numpy(resampled))
    resampled = signal.resample(signal.resample(images.numpy(), 3, axis=2), 5, axis=3)
    torch.testing.assert_close(kspace.kspace_crop(images, 3), torch.from_numpy(resampled))


@pytest.mark.parametrize("function", [kspace.kspace_crop, kspace.zero_fill])
def test_a_factor_of_one_is_the_identity_and_gradients_pass(function):
    images = random(1, 1, 9, 9)
    torch.testing.assert_close(function(images, 1), images)
    assert torch.autograd.gradcheck(lambda x: function(x, 2), random(1, 1, 6, 6).requires_grad_())


def test_mistakes_are_sentences():
    with pytest.raises(CourseError, match=r"not \(8, 8\)"):
        kspace.fft(torch.zeros(8, 8))
    with pytest.raises(CourseError, match="is no scan"):
        kspace.equispaced_mask(8, 0)
    with pytest.raises(CourseError, match="leaves 2 of 8 lines"):
        kspace.random_mask(torch.rand(8), 4, centre=3)
    with pytest.raises(CourseError, match="does not fit"):
        kspace.measure(torch.zeros(2, 1, 8, 4), torch.ones(4, dtype=torch.bool))
    with pytest.raises(CourseError, match=r"\(1, 8, 2\), not \(1, 8, 3\)"):
        kspace.translated(torch.zeros(1, 1, 8, 4), torch.zeros(1, 8, 3))


IMAGES = torch.zeros(2, 1, 8, 6)


@pytest.mark.parametrize(
    ("wrong", "sentence"),
    [
        (lambda: kspace.random_mask(torch.rand(8), 40, centre=0), "at least|must be read"),
        (lambda: kspace.equispaced_mask(12, 2.5), "whole number"),
        (lambda: kspace.measure(IMAGES, torch.ones(8)), "one bool"),
        (lambda: kspace.measure(IMAGES[:1], torch.ones(1, 3, 8, dtype=torch.bool)), "one bool"),
        (lambda: kspace.rotated(IMAGES, torch.zeros(3)), "as many angles"),
        (
            lambda: kspace.moved(IMAGES, torch.zeros(2, 1, 2), torch.zeros(2, 1), torch.ones(2, 8).long()),
            "from 0 to 0",
        ),
        (
            lambda: kspace.moved(IMAGES, torch.zeros(2, 1, 2), torch.zeros(2, 1), torch.zeros(8).long()),
            "one for each line",
        ),
    ],
)
def test_what_no_scanner_does_is_a_sentence(wrong, sentence):
    with pytest.raises(CourseError, match=sentence):
        wrong()
