r"""Feature similarity: images alike where phase congruency and gradient are.

A feature that the eye marks, an edge or a line, is where the Fourier components agree in phase. That is
:func:`phase_congruency`, which does not depend on contrast; the gradient brings contrast back.

Constants are those of Zhang et al. (2011) and of the phase congruency code they used (Kovesi 1999), for 8-bit
grey values. The authors' Matlab was not at hand: values agree with the Python package ``piq`` (see the
tests), which follows it, except that for opposite colours it takes a modulus in place of the real part.
"""

import math

import torch
from torch import Tensor
from torch.nn.functional import avg_pool2d, conv2d

from medgan_course.errors import CourseError

_ORIENTATIONS = 4
_SCALES = 4


def fsim(x: Tensor, y: Tensor) -> Tensor:
    r"""Return the feature similarity of each image (Zhang, Zhang, Mou & Zhang 2011), FSIMc for colour.

    With phase congruency :math:`P` and gradient magnitude :math:`G` (Scharr) of the grey image, on the 8-bit
    scale,

    .. math::
        S_P=\frac{2P_xP_y+T_1}{P_x^2+P_y^2+T_1}, \quad S_G=\frac{2G_xG_y+T_2}{G_x^2+G_y^2+T_2}, \quad
        \mathrm{FSIM}=\frac{\sum_p S_P\,S_G\,P_m}{\sum_p P_m}, \quad P_m=\max(P_x,P_y),

    :math:`T_1=0.85, T_2=160`. Of a colour image the grey one is Y of YIQ, and each pixel's similarity is
    multiplied by :math:`\mathrm{Re}\,(S_IS_Q)^{0.03}`, where :math:`S_I, S_Q` are similarities of the chroma
    channels with :math:`T_3=T_4=200`. Images of 384 pixels or more are first averaged to about 256.

    Parameters
    ----------
    x, y : Tensor
        Results and truths ``(N, C, H, W)`` in [-1, 1], C = 1 or 3, sides of 16 pixels or more.

    Returns
    -------
    Tensor
        ``(N,)``, 1 for equal images. NaN where neither image has any feature, as for two flat ones.
    """
    if x.shape != y.shape or x.ndim != 4 or x.shape[1] not in (1, 3) or min(x.shape[2:]) < 16:
        raise CourseError(
            "FSIM compares images (N, 1 or 3, H, W) of 16 pixels or more with truths of the same shape, "
            f"not {tuple(x.shape)} with {tuple(y.shape)}; a volume goes slice by slice."
        )
    pair = (torch.cat((x, y)).double() + 1) * 127.5
    if pair.min() < -0.5 or pair.max() > 255.5:
        raise CourseError(
            "FSIM's constants belong to one scale, so it takes images in [-1, 1], "
            f"not {float(pair.min()) / 127.5 - 1:.3g} to {float(pair.max()) / 127.5 - 1:.3g}."
        )
    pair = avg_pool2d(pair, max(1, round(min(x.shape[2:]) / 256)))
    colour = x.shape[1] == 3
    channels = torch.einsum("kc,nchw->knhw", pair.new_tensor(_YIQ), pair) if colour else pair[:, 0][None]
    phase = phase_congruency(channels[0])
    strongest = torch.maximum(*phase.chunk(2))
    similar = _similarity(phase, 0.85) * _similarity(_gradient(channels[0]), 160)
    if colour:
        chroma = _similarity(channels[1], 200) * _similarity(channels[2], 200)
        # The real part of a negative number's power.
        similar = similar * chroma.abs() ** 0.03 * torch.where(chroma < 0, math.cos(0.03 * math.pi), 1.0)
    return (similar * strongest).sum((1, 2)) / strongest.sum((1, 2))


def phase_congruency(grey: Tensor) -> Tensor:
    r"""Return how far the frequencies of an image agree in phase, at every pixel (Kovesi 1999).

    With responses :math:`e_{no}+\mathrm i\,f_{no}` to log-Gabor filters of wavelength
    :math:`\lambda_n=6, 12, 24, 48` pixels and orientation :math:`o=0, 45, 90, 135` degrees, amplitude
    :math:`A_{no}`, and the unit vector :math:`(\bar e_o,\bar f_o)` along
    :math:`\sum_n(e_{no},f_{no})`,

    .. math::
        P=\frac{\sum_o\bigl[\sum_n (e_{no}\bar e_o+f_{no}\bar f_o)
        -|e_{no}\bar f_o-f_{no}\bar e_o| - T_o\bigr]_+}{\sum_o\sum_n A_{no}}.

    The filters are :math:`\exp\frac{-\ln^2(\rho\lambda_n)}{2\ln^2 0.55}\,\exp\frac{-\theta_o^2}{2s^2}` at
    frequency :math:`\rho` cycles per pixel and angle :math:`\theta_o` from the orientation,
    :math:`s=\pi/4.8`. :math:`T_o` is what noise alone would give, its power taken from the median response
    of the finest filter.

    Parameters
    ----------
    grey : Tensor
        ``(N, H, W)``, in any unit: the measure does not change with brightness or contrast.

    Returns
    -------
    Tensor
        ``(N, H, W)`` in [0, 1]; 0 for a flat image.
    """
    centred = grey.double() - grey.double().mean((1, 2), keepdim=True)
    # What is smaller than this is rounding; a flat image has no features.
    floors = 1e-6 * grey.abs().amax((1, 2), keepdim=True).float() + 1e-12
    filters = _log_gabor(grey.shape[-2], grey.shape[-1]).float().to(grey.device)
    # Few at a time stay in the processor's cache: several times faster than all at once.
    parts = zip(centred.float().split(8), floors.split(8), strict=True)
    return torch.cat([_congruency(part, floor, filters) for part, floor in parts])


def _congruency(grey: Tensor, floor: Tensor, filters: Tensor) -> Tensor:
    energies, amplitudes = torch.zeros_like(grey), torch.zeros_like(grey)
    spectrum = torch.fft.fft2(grey)[:, None]
    for bank in filters:
        response = torch.fft.ifft2(spectrum * bank)
        amplitude = response.abs()
        total = response.sum(1, keepdim=True)
        # In the frame of the mean phase the real part is the agreement, the imaginary part the deviation.
        aligned = response * (total / (total.abs() + floor[:, None])).conj()
        energy = (aligned.real - aligned.imag.abs()).sum(1)
        energies += (energy - _noise(amplitude[:, 0], bank)).clamp_min(0)
        amplitudes += amplitude.sum(1)
    return energies / (amplitudes + floor)


def _noise(finest: Tensor, bank: Tensor) -> Tensor:
    """Return the energy that noise alone would reach: mean plus two standard deviations of a Rayleigh law.

    The 1.7 is the authors' empirical correction of this estimate.
    """
    power = finest.square().flatten(1).median(1).values / math.log(2) / bank[0].square().sum()
    kernels = torch.fft.ifft2(bank).real * math.sqrt(bank[0].numel())
    # Sum of squares plus twice the products of all pairs: the square of the sum.
    tau = (power * kernels.sum(0).square().sum()).sqrt()
    return (tau * (math.sqrt(math.pi / 2) + 2 * math.sqrt(2 - math.pi / 2)) / 1.7)[:, None, None]


def _log_gabor(height: int, width: int) -> Tensor:
    """Return the filters ``(orientations, scales, H, W)``, zero frequency in the corner."""
    v = torch.fft.fftfreq(height, dtype=torch.float64)[:, None].expand(height, width)
    u = torch.fft.fftfreq(width, dtype=torch.float64)[None].expand(height, width)
    radius, angle = torch.hypot(u, v), torch.atan2(-v, u)
    # Frequencies in the corners of the spectrum have no partner at other orientations.
    low_pass = 1 / (1 + (radius / 0.45) ** 30)
    bands = []
    for scale in range(_SCALES):
        wavelength = 6 * 2**scale
        band = torch.exp(-((radius.clamp_min(1e-12) * wavelength).log() ** 2) / (2 * math.log(0.55) ** 2))
        band[0, 0] = 0
        bands.append(band * low_pass)
    spread = math.pi / _ORIENTATIONS / 1.2
    sectors = []
    for orientation in range(_ORIENTATIONS):
        away = angle - orientation * math.pi / _ORIENTATIONS
        away = torch.atan2(away.sin(), away.cos())
        sectors.append(torch.exp(-(away**2) / (2 * spread**2)))
    return torch.stack(sectors)[:, None] * torch.stack(bands)


def _gradient(grey: Tensor) -> Tensor:
    scharr = grey.new_tensor([[3, 0, -3], [10, 0, -10], [3, 0, -3]]) / 16
    across, along = conv2d(grey[:, None], torch.stack((scharr, scharr.T))[:, None], padding=1).unbind(1)
    return torch.hypot(across, along)


def _similarity(pair: Tensor, constant: float) -> Tensor:
    x, y = pair.chunk(2)
    return (2 * x * y + constant) / (x**2 + y**2 + constant)


_YIQ = ((0.299, 0.587, 0.114), (0.596, -0.274, -0.322), (0.211, -0.523, 0.312))
