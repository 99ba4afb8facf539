r"""Power spectra and grey-value histograms: what images lack as a set, without comparing pixel by pixel.

A mean absolute or squared error rewards blur where it is uncertain. The spectrum shows it.
"""

import torch
from torch import Tensor

from medgan_course.errors import CourseError
from medgan_course.metrics.score import Score, bootstrap


def radial_spectrum(images: Tensor) -> Tensor:
    r"""Return the radially averaged power spectrum of each image or volume.

    With the discrete Fourier transform :math:`F` over :math:`n` pixels and the frequency :math:`\rho` in
    cycles per pixel, the mean over ring k of the channels' power

    .. math::
        P_k = \operatorname*{mean}_{|s\rho-k|\le 1/2}\frac{|F(\rho)|^2}{n},
        \qquad k=0,\dots,\lfloor s/2\rfloor,

    where :math:`s` is the shortest side: ring k holds k cycles per shortest side, the last one the Nyquist
    frequency. The corners of the spectrum beyond it are left out. White noise of variance :math:`\sigma^2`
    has :math:`P_k=\sigma^2` for every k > 0. Nothing is tapered: an image whose opposite borders differ has
    power at all frequencies from that step, so compare images of one framing only.

    Parameters
    ----------
    images : Tensor
        ``(N, C, H, W)`` or ``(N, C, D, H, W)``.

    Returns
    -------
    Tensor
        ``(N, s // 2 + 1)`` float64.
    """
    if images.ndim not in (4, 5):
        raise CourseError(f"A spectrum is of images (N, C, H, W) or volumes, not {tuple(images.shape)}.")
    sides = images.shape[2:]
    side = min(sides)
    axes = torch.meshgrid(
        *(torch.fft.fftfreq(n, dtype=torch.float64, device=images.device) for n in sides), indexing="ij"
    )
    ring = (torch.stack(axes).square().sum(0).sqrt() * side).round().long().flatten()
    kept = ring <= side // 2
    power = torch.fft.fftn(images.double(), dim=tuple(range(2, images.ndim))).abs().square().mean(1)
    power = power.flatten(1)[:, kept] / ring.numel()
    sums = power.new_zeros(len(images), side // 2 + 1).index_add_(1, ring[kept], power)
    return sums / ring[kept].bincount()


def fine_spectrum(images: Tensor) -> Tensor:
    r"""Return the rings of :func:`radial_spectrum` above half the Nyquist frequency.

    .. math:: P_k, \qquad k=\lfloor K/2\rfloor+1,\dots,K, \qquad K=\lfloor s/2\rfloor

    Parameters
    ----------
    images : Tensor
        ``(N, C, H, W)`` or ``(N, C, D, H, W)``.

    Returns
    -------
    Tensor
        ``(N, K - K // 2)`` float64.
    """
    rings = radial_spectrum(images)
    return rings[:, (rings.shape[1] - 1) // 2 + 1 :]


def high_frequency_ratio(
    images: Tensor, real: Tensor, *, subjects: Tensor | None = None, seed: int = 0
) -> Score:
    r"""Score the power above half the Nyquist frequency, relative to that of ``real`` images.

    .. math:: \frac{\sum_{k>K/2}\bar P_k}{\sum_{k>K/2}\bar R_k}

    with the mean spectra :math:`\bar P, \bar R` of the two sets and K the Nyquist ring
    (:func:`fine_spectrum`). Below 1 for blur, above for noise and chequerboards. The interval is over
    ``images``; those of ``real`` count as given.

    Parameters
    ----------
    images, real : Tensor
        Sets of images of one size; their numbers may differ.
    """
    fake, reference = _high(images, real)
    return bootstrap(fake.sum(1) / reference.sum(), subjects=subjects, seed=seed)


def spectrum_error(images: Tensor, real: Tensor, *, subjects: Tensor | None = None, seed: int = 0) -> Score:
    r"""Score the mean absolute log ratio of two sets' mean spectra above half the Nyquist frequency.

    .. math:: \operatorname*{mean}_{k>K/2}\Bigl|\ln\frac{\bar P_k}{\bar R_k}\Bigr|

    Symbols as in :func:`high_frequency_ratio`. 0 for equal spectra; missing and surplus power count alike:
    :math:`\ln 2 = 0.69` for half the power as for twice. Few images deviate by chance alone, and resampling
    adds as much again, so judge it beside the same error between two sets of real images.
    """
    fake, reference = _high(images, real)
    logarithm = reference.log()
    return bootstrap(
        fake, lambda samples: (samples.mean(1).log() - logarithm).abs().mean(1), subjects=subjects, seed=seed
    )


def histogram_overlap(
    x: Tensor,
    y: Tensor,
    *,
    mask_x: Tensor | None = None,
    mask_y: Tensor | None = None,
    low: float = -1.0,
    high: float = 1.0,
    bins: int = 64,
) -> Tensor:
    r"""Return for each pair of images the common area of their grey-value histograms.

    .. math:: \sum_b \min(h^x_b, h^y_b), \qquad \textstyle\sum_b h_b=1

    1 for equal histograms, 0 for separate ones. Two tissues of one image (``x`` and ``y`` the same, masks
    different) that overlap little can be told apart by their grey value.

    Parameters
    ----------
    x, y : Tensor
        ``(N, ...)``.
    mask_x, mask_y : Tensor, optional
        Boolean, shaped like the images: the pixels that count. Where none does, the result is NaN.
    low, high : float
        Fixed ends of the histogram; values outside count in the first or last bin.
    bins : int
        More bins give smaller overlaps of small regions: compare at equal number.

    Returns
    -------
    Tensor
        ``(N,)`` float64.
    """
    if len(x) != len(y):
        raise CourseError(f"Histograms are compared in pairs: {len(x)} images do not fit {len(y)}.")
    parts = [_histogram(*part, low, high, bins) for part in ((x, mask_x), (y, mask_y))]
    return torch.minimum(*parts).sum(1)


def _histogram(images: Tensor, mask: Tensor | None, low: float, high: float, bins: int) -> Tensor:
    if mask is not None and mask.shape != images.shape:
        raise CourseError(
            f"A histogram's mask has the shape of its images, {tuple(images.shape)}, not {tuple(mask.shape)}."
        )
    index = ((images.double() - low) / (high - low) * bins).floor().clamp(0, bins - 1).long().flatten(1)
    weights = torch.ones_like(images) if mask is None else mask
    counts = torch.zeros(len(images), bins, dtype=torch.float64, device=images.device)
    counts.scatter_add_(1, index, weights.double().flatten(1))
    return counts / counts.sum(1, keepdim=True)


def _high(images: Tensor, real: Tensor) -> tuple[Tensor, Tensor]:
    """Return spectra of images ``(N, k)`` and the mean one of the real ``(k,)`` above half Nyquist."""
    if images.shape[1:] != real.shape[1:]:
        raise CourseError(
            f"Spectra compare at one size only, not {tuple(images.shape[1:])} with {tuple(real.shape[1:])}."
        )
    return fine_spectrum(images), fine_spectrum(real).mean(0)
