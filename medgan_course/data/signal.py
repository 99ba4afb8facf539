r"""What a scanner makes of tissue: signal equations of MR and CT, and the faults of the measurement.

Times in ms. Proton density :math:`\rho` is relative to water. The functions take tensors of any shapes that
broadcast, and keep gradients.
"""

import math

import torch
from torch import Tensor


def spin_echo(rho: Tensor, t1: Tensor, t2: Tensor, *, tr: float, te: float) -> Tensor:
    r"""Return the spin-echo signal for repetition time ``tr`` and echo time ``te``.

    .. math:: S = \rho\,(1 - e^{-TR/T_1})\,e^{-TE/T_2}

    Parameters
    ----------
    rho, t1, t2 : Tensor
        Proton density, longitudinal and transverse relaxation time (ms).
    tr, te : float
        ms. Short TR and TE weight by :math:`T_1`, long ones by :math:`T_2`, long TR with short TE by density.
    """
    return rho * (1 - torch.exp(-tr / t1)) * torch.exp(-te / t2)


def gradient_echo(rho: Tensor, t1: Tensor, t2_star: Tensor, *, tr: float, te: float, flip: float) -> Tensor:
    r"""Return the signal of a spoiled gradient echo with flip angle ``flip`` (radians).

    .. math:: S = \rho\,\frac{\sin\alpha\,(1 - e^{-TR/T_1})}{1 - \cos\alpha\,e^{-TR/T_1}}\,e^{-TE/T_2^*}
    """
    decay = torch.exp(-tr / t1)
    return rho * math.sin(flip) * (1 - decay) / (1 - math.cos(flip) * decay) * torch.exp(-te / t2_star)


def inversion_recovery(rho: Tensor, t1: Tensor, t2: Tensor, *, tr: float, te: float, ti: float) -> Tensor:
    r"""Return the magnitude of a spin echo ``ti`` after an inversion.

    .. math:: S = \rho\,\bigl|1 - 2e^{-TI/T_1} + e^{-TR/T_1}\bigr|\,e^{-TE/T_2}

    With the :math:`TI` of :func:`null_time` for cerebrospinal fluid and a long TE this is FLAIR; with a
    shorter TI and a short TE it weights by :math:`T_1`, more strongly than :func:`spin_echo`.
    """
    return rho * (1 - 2 * torch.exp(-ti / t1) + torch.exp(-tr / t1)).abs() * torch.exp(-te / t2)


def null_time(t1: float, tr: float) -> float:
    r"""Return the inversion time (ms) at which tissue with this :math:`T_1` gives no signal.

    .. math:: TI_{null} = T_1\,\bigl[\ln 2 - \ln(1 + e^{-TR/T_1})\bigr]
    """
    return t1 * (math.log(2) - math.log1p(math.exp(-tr / t1)))


def enhanced_t1(t1: Tensor, concentration: Tensor, *, relaxivity: float) -> Tensor:
    r"""Return :math:`T_1` (ms) with ``concentration`` (mmol/l) of a contrast agent.

    .. math:: 1/T_1' = 1/T_1 + r_1 c

    ``relaxivity`` :math:`r_1` is in l / (mmol ms).
    """
    return 1 / (1 / t1 + relaxivity * concentration)


def hounsfield(mu: Tensor, *, mu_water: float) -> Tensor:
    r"""Return linear attenuation ``mu`` in Hounsfield units, :math:`HU = 1000\,(\mu - \mu_w)/\mu_w`."""
    return 1000 * (mu - mu_water) / mu_water


def window(values: Tensor, low: float, high: float) -> Tensor:
    r"""Map [low, high] to [-1, 1] and clip what lies outside: :math:`2\,(v - low)/(high - low) - 1`."""
    return (2 * (values - low) / (high - low) - 1).clamp(-1, 1)


def unwindow(images: Tensor, low: float, high: float) -> Tensor:
    """Return images in [-1, 1] in the unit that :func:`window` had; what it clipped stays clipped."""
    return (images + 1) / 2 * (high - low) + low


def biased(signal: Tensor, field: Tensor) -> Tensor:
    r"""Return the signal seen by a coil of uneven sensitivity, :math:`S_b = S\,e^{b(\mathbf r)}`."""
    return signal * torch.exp(field)


def rician(signal: Tensor, noise: Tensor, *, sigma: Tensor | float) -> Tensor:
    r"""Return the magnitude of a complex signal with Gaussian noise in both channels.

    .. math:: m = \sqrt{(S + \sigma n_1)^2 + (\sigma n_2)^2}

    Where there is no signal its mean is :math:`\sigma\sqrt{\pi/2}`, so air is not black.

    Parameters
    ----------
    signal : Tensor
        Any shape.
    noise : Tensor
        :math:`n_1, n_2 \sim N(0, 1)`, of the signal's shape with a first axis of 2.
    sigma : Tensor or float
        Standard deviation of the noise, in the signal's unit.
    """
    return ((signal + sigma * noise[0]) ** 2 + (sigma * noise[1]) ** 2).sqrt()
