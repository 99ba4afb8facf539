"""Signal equations against closed forms and special cases worked out by hand."""

import math

import pytest
import torch

from medgan_course.data import signal
from medgan_course.errors import CourseError
from medgan_course.metrics.fidelity import psnr


def one(value):
    return torch.tensor([float(value)], dtype=torch.float64)


def test_spin_echo_by_hand():
    """TR = T1 ln 2 recovers half, TE = T2 ln 4 leaves a quarter: 0.8 x 1/2 x 1/4."""
    s = signal.spin_echo(one(0.8), one(600), one(80), tr=600 * math.log(2), te=80 * math.log(4))
    assert s.item() == pytest.approx(0.1)


def test_spin_echo_weighting():
    """Short times show T1 (the shorter is brighter), long ones T2 (the longer is brighter)."""
    t1, t2, rho = torch.tensor([500.0, 2500.0]), torch.tensor([70.0, 300.0]), torch.ones(2)
    short = signal.spin_echo(rho, t1, t2, tr=450, te=10)
    long = signal.spin_echo(rho, t1, t2, tr=4000, te=100)
    assert short[0] > short[1]
    assert long[0] < long[1]


def test_gradient_echo_is_a_spin_echo_at_90_degrees():
    t1, t2 = one(700), one(50)
    ninety = signal.gradient_echo(one(1), t1, t2, tr=300, te=12, flip=math.pi / 2)
    torch.testing.assert_close(ninety, signal.spin_echo(one(1), t1, t2, tr=300, te=12))


def test_gradient_echo_is_strongest_at_the_ernst_angle():
    r"""D S / d alpha vanishes at cos alpha = e^{-TR/T1}."""
    flip = torch.linspace(0.01, math.pi / 2, 5000).tolist()
    strength = [signal.gradient_echo(one(1), one(800), one(40), tr=30, te=5, flip=a).item() for a in flip]
    best = flip[max(range(len(flip)), key=strength.__getitem__)]
    assert best == pytest.approx(math.acos(math.exp(-30 / 800)), abs=1e-3)


@pytest.mark.parametrize("tr", [2500.0, 9000.0, 1e6])
def test_the_null_time_nulls(tr):
    ti = signal.null_time(2569.0, tr)
    fluid = signal.inversion_recovery(one(1), one(2569), one(329), tr=tr, te=100, ti=ti)
    white = signal.inversion_recovery(one(0.77), one(500), one(70), tr=tr, te=100, ti=ti)
    assert fluid.item() < 1e-12
    assert white.item() > 0.1
    if tr == 1e6:
        assert ti == pytest.approx(2569 * math.log(2))


def test_inversion_recovery_by_hand():
    """At TI = T1 ln 4 half of the inverted magnetisation is back, TR long: |1 - 2/4| = 1/2."""
    s = signal.inversion_recovery(one(1), one(500), one(1e9), tr=1e6, te=1, ti=500 * math.log(4))
    assert s.item() == pytest.approx(0.5)
    early = signal.inversion_recovery(one(1), one(500), one(1e9), tr=1e6, te=1, ti=0)
    assert early.item() == pytest.approx(1)  # magnitude of -1


def test_contrast_agent_shortens_t1():
    """1/1000 + 4.5e-3 x 0.5 = 3.25e-3 per ms."""
    t1 = signal.enhanced_t1(one(1000), one(0.5), relaxivity=4.5e-3)
    assert t1.item() == pytest.approx(1 / 3.25e-3)
    assert signal.enhanced_t1(one(1000), one(0), relaxivity=4.5e-3).item() == pytest.approx(1000)


def test_bias_is_a_factor():
    torch.testing.assert_close(signal.biased(one(3), one(math.log(2))), one(6))


def test_rician_noise():
    """In air the mean is sigma sqrt(pi/2) and the second moment 2 sigma^2; far from air it is Gaussian."""
    noise = torch.randn(2, 400_000, generator=torch.Generator().manual_seed(0))
    air = signal.rician(torch.zeros(400_000), noise, sigma=0.03)
    assert air.mean().item() == pytest.approx(0.03 * math.sqrt(math.pi / 2), rel=5e-3)
    assert (air**2).mean().item() == pytest.approx(2 * 0.03**2, rel=1e-2)
    tissue = signal.rician(torch.full((400_000,), 0.9), noise, sigma=0.03)
    assert tissue.mean().item() == pytest.approx(math.sqrt(0.9**2 + 0.03**2), rel=1e-3)
    assert tissue.std().item() == pytest.approx(0.03, rel=1e-2)


def test_the_gradient_of_no_signal_without_noise_is_0():
    still = torch.tensor([0.0, 2.0], requires_grad=True)
    shown = signal.rician(still, torch.randn(2, 2), sigma=0.0)
    shown.sum().backward()
    assert shown.tolist() == [0, 2]
    assert still.grad.tolist() == [0, 1]


def test_rician_agrees_with_scipy():
    stats = pytest.importorskip("scipy.stats")
    noise = torch.randn(2, 20_000, generator=torch.Generator().manual_seed(1))
    drawn = signal.rician(torch.full((20_000,), 1.5), noise, sigma=1.0)
    assert stats.kstest(drawn.numpy(), stats.rice(1.5).cdf).pvalue > 0.01
    assert stats.kstest(drawn.numpy(), stats.rice(1.6).cdf).pvalue < 0.01


def test_gradients_pass():
    t1 = torch.tensor([500.0], requires_grad=True)
    signal.spin_echo(torch.ones(1), t1, torch.full((1,), 70.0), tr=450, te=10).backward()
    assert t1.grad.item() < 0  # longer T1, less signal


def test_attenuation_of_air_water_and_twice_water():
    hu = torch.tensor([-1000.0, 0.0, 1000.0])
    torch.testing.assert_close(signal.attenuation(hu, mu_water=0.02), torch.tensor([0.0, 0.02, 0.04]))
    assert signal.attenuation(one(-1024), mu_water=0.02).item() == 0  # no less than nothing


def test_half_the_noise_is_six_decibels():
    r"""20 log10 2 = 6.0206 dB, where the signal is far above the noise."""
    noise = torch.randn(2, 4, 1, 128, 128, generator=torch.Generator().manual_seed(2), dtype=torch.double)
    clean = torch.full((4, 1, 128, 128), 0.8, dtype=torch.double)
    loud, quiet = (signal.rician(clean, noise, sigma=sigma) for sigma in (0.02, 0.01))
    gain = psnr(quiet, clean, data_range=1) - psnr(loud, clean, data_range=1)
    torch.testing.assert_close(gain, torch.full((4,), 6.0206, dtype=torch.double), atol=0.01, rtol=0)


def moments(x, spacing):
    """Return sum, and variance along each axis, of an image."""
    total, variances = x.sum(), []
    for axis, size in zip(range(2, x.ndim), spacing, strict=True):
        profile = x.sum(dim=[a for a in range(x.ndim) if a != axis]) / total
        r = torch.arange(len(profile), dtype=x.dtype) * size
        variances.append(((profile * r**2).sum() - (profile * r).sum() ** 2).item())
    return total.item(), variances


@pytest.mark.parametrize(("space", "spacing"), [((41, 61), (2.0, 1.0)), ((21, 31, 41), (2.0, 1.5, 1.0))])
@pytest.mark.parametrize("fwhm", [5.0, 7.0])
def test_a_point_becomes_a_gaussian(space, spacing, fwhm):
    """Its sum stays, and its variance is (FWHM / 2.3548)^2 mm^2 along each axis."""
    point = torch.zeros(1, 1, *space, dtype=torch.double)
    point[(0, 0, *[side // 2 for side in space])] = 3
    blurred = signal.gaussian_psf(point, fwhm=fwhm, spacing=spacing)
    total, variances = moments(blurred, spacing)
    assert total == pytest.approx(3)
    assert variances == pytest.approx([(fwhm / 2.354820045) ** 2] * len(space), rel=1e-2)


def test_half_maximum_is_half_a_width_away():
    point = torch.zeros(1, 1, 1, 201, dtype=torch.double)
    point[..., 100] = 1
    profile = signal.gaussian_psf(point, fwhm=(0.0, 20.0), spacing=0.5)[0, 0, 0]
    assert (profile[120] / profile[100]).item() == pytest.approx(0.5, rel=1e-3)


def test_the_psf_agrees_with_scipy_and_blurs_add_up():
    ndimage = pytest.importorskip("scipy.ndimage")
    x = torch.rand(1, 1, 40, 30, dtype=torch.double, generator=torch.Generator().manual_seed(0))
    blurred = signal.gaussian_psf(x, fwhm=2.354820045 * 2, spacing=1.0)
    oracle = torch.from_numpy(ndimage.gaussian_filter(x[0, 0].numpy(), 2, truncate=8))
    assert (blurred[0, 0] - oracle).abs().max() < 1e-6
    twice = signal.gaussian_psf(signal.gaussian_psf(x, fwhm=3, spacing=1.0), fwhm=4, spacing=1.0)
    torch.testing.assert_close(twice, signal.gaussian_psf(x, fwhm=5, spacing=1.0))
    torch.testing.assert_close(signal.gaussian_psf(x, fwhm=0, spacing=1.0), x)
    assert blurred.sum().item() == pytest.approx(x.sum().item())


@pytest.mark.parametrize("mean", [0.0, 0.3, 4.0, 9.9, 10.1, 30.0, 1e5])
def test_poisson_inverts_the_distribution_as_scipy_does(mean):
    stats = pytest.importorskip("scipy.stats")
    z = torch.randn(50_000, generator=torch.Generator().manual_seed(3), dtype=torch.double)
    counts = signal.poisson(torch.full_like(z, mean), z)
    oracle = torch.from_numpy(stats.poisson(mean).ppf(stats.norm.cdf(z.numpy()))).clamp_min(0)
    wrong = (counts - oracle).abs()
    assert wrong.max() <= (0 if mean < 10 else 1)
    assert wrong.mean() <= (1e-3 if mean < 20 else 2e-4)


def test_poisson_of_extreme_noise_and_of_nothing():
    z = torch.tensor([-40.0, 0.0, 6.0, 40.0])
    assert signal.poisson(torch.zeros(4), z).tolist() == [0, 0, 0, 0]
    few = signal.poisson(torch.full((4,), 2.0), z)
    assert few[:2].tolist() == [0, 2]
    assert 10 < few[2] < few[3] < 30
    assert signal.poisson(torch.full((4,), 1e4), z)[0] >= 0
    for wrong in (-0.1, math.nan):
        with pytest.raises(CourseError, match="0 or more"):
            signal.poisson(one(wrong), one(0))


def test_more_dose_gives_more_counts_of_the_same_noise():
    mean = torch.linspace(0, 60, 2001, dtype=torch.double)
    for z in (-2.0, 0.3, 2.5):
        assert (signal.poisson(mean, torch.full_like(mean, z)).diff() >= 0).all()


@pytest.mark.parametrize("space", [(64, 64), (16, 16, 16)])
def test_pet_noise_has_the_variance_of_its_mean_over_the_counts(space):
    noise = torch.randn(8, 1, *space, generator=torch.Generator().manual_seed(4))
    dose = torch.tensor([5.0, 50.0]).repeat(4).view(8, *[1] * (1 + len(space)))
    y = signal.pet(torch.full(noise.shape, 0.7), noise, counts=dose, fwhm=5, spacing=2)
    assert y.mean().item() == pytest.approx(0.7, rel=0.02)
    assert y[::2].var().item() == pytest.approx(0.7 / 5, rel=0.05)
    assert y[1::2].var().item() == pytest.approx(0.7 / 50, rel=0.05)
    torch.testing.assert_close(y * dose, (y * dose).round(), atol=1e-4, rtol=0)


def test_pet_partial_volume_in_the_limit_of_many_counts():
    r"""In the middle of a slab of width w a Gaussian leaves erf(w / (2 sqrt 2 sigma))."""
    slab = torch.zeros(1, 1, 1, 121)
    slab[..., 50:71] = 1  # 21 px of 1 mm
    y = signal.pet(slab, torch.zeros_like(slab), counts=1e7, fwhm=(0.0, 20.0), spacing=1.0)
    sigma = 20 / 2.354820045
    assert y[..., 60].item() == pytest.approx(math.erf(21 / (2 * math.sqrt(2) * sigma)), rel=2e-3)


def test_a_psf_narrower_than_a_pixel_leaves_no_negative_activity():
    edge = torch.zeros(1, 1, 16, 16)
    edge[..., 8:] = 1
    assert signal.gaussian_psf(edge, fwhm=1, spacing=2).min() < 0
    assert signal.pet(edge, torch.zeros_like(edge), counts=1000, fwhm=1, spacing=2).min() == 0


def test_a_psf_that_is_none_is_refused():
    images = torch.zeros(1, 1, 8, 8)
    with pytest.raises(CourseError, match="positive"):
        signal.gaussian_psf(images, fwhm=-1, spacing=1)
    with pytest.raises(CourseError, match="positive"):
        signal.gaussian_psf(images, fwhm=1, spacing=0)
    with pytest.raises(CourseError, match="3 numbers for 2 axes"):
        signal.gaussian_psf(images, fwhm=(1, 2, 3), spacing=1)


@pytest.mark.parametrize(
    ("wrong", "sentence"),
    [
        (lambda: signal.poisson(torch.ones(3), torch.zeros(2)), "noise of that shape"),
        (lambda: signal.poisson(torch.tensor([math.inf]), torch.zeros(1)), "finite"),
        (
            lambda: signal.pet(
                torch.ones(1, 1, 4, 4), torch.zeros(1, 1, 4, 4), counts=0.0, fwhm=1.0, spacing=1.0
            ),
            "positive number of counts",
        ),
    ],
)
def test_counts_that_cannot_be_are_a_sentence(wrong, sentence):
    with pytest.raises(CourseError, match=sentence):
        wrong()
