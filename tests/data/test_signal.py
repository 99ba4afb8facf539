"""Signal equations against closed forms and special cases worked out by hand."""

import math

import pytest
import torch

from medgan_course.data import signal


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


def test_hounsfield_units_of_air_water_and_twice_water():
    mu = torch.tensor([0.0, 0.206, 0.412])
    torch.testing.assert_close(signal.hounsfield(mu, mu_water=0.206), torch.tensor([-1000.0, 0.0, 1000.0]))


def test_window_there_and_back():
    hu = torch.tensor([-1000.0, 40.0, 80.0, 3000.0])
    shown = signal.window(hu, -160, 240)
    torch.testing.assert_close(shown, torch.tensor([-1.0, 0.0, 0.2, 1.0]))
    back = signal.unwindow(shown, -160, 240)
    torch.testing.assert_close(back, torch.tensor([-160.0, 40.0, 80.0, 240.0]))


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
