r"""Images of low resolution as scanners and cameras acquire them, and the plain ways back.

An MR scanner that acquires less of k-space (:func:`kspace_crop`) sees the same field of view with fewer,
larger pixels. Of :math:`n` samples along an axis, :math:`n/s` remain, and low-resolution sample :math:`j`
lies where high-resolution sample :math:`sj` lay. An enlargement that takes the images' borders for aligned,
as ``interpolate(align_corners=False)`` does, puts it at :math:`sj+(s-1)/2` instead and is off by
:math:`(s-1)/2` px: a network trained to undo that would be praised for a shift. :func:`zero_fill` and
:func:`bicubic` put it where it was.

A detector of light, X-rays or photon pairs instead blurs and then adds up what falls on each of its pixels
(:func:`area_sampled`), and counts it (:func:`photon_noise`). Its sample j covers the pixels :math:`sj` to
:math:`sj+s-1`, so here borders *are* aligned, and torch's ``interpolate(mode="bicubic", antialias=True)``,
Keys's cubic convolution too, is the plain way back.

All but the last are linear, and work on images ``(N, C, H, W)`` and volumes ``(N, C, D, H, W)``. Sharp
edges ring in k-space (Gibbs), so values may leave [-1, 1] by a few per cent: they are not clamped, for then
the measured data could not be compared with. Few photons in CT are in
:func:`medgan_course.data.tomography.low_dose`, PET in :func:`medgan_course.data.signal.pet`, unread
lines and motion in :mod:`medgan_course.data.kspace`.
"""

from functools import cache

import torch
from torch import Tensor
from torch.nn.functional import avg_pool2d, avg_pool3d

from medgan_course.data.axes import along_axes, space_axes
from medgan_course.data.signal import gaussian_psf, poisson
from medgan_course.errors import CourseError


def _axes(images: Tensor, factor: int) -> tuple[int, ...]:
    if not isinstance(factor, int) or factor < 1:
        raise CourseError(f"factor={factor!r} is no resolution: choose 2, 3, ... times fewer pixels a side.")
    return space_axes(images)


def _check_divides(images: Tensor, factor: int) -> None:
    if any(side % factor for side in images.shape[2:]):
        raise CourseError(
            f"The sides of {tuple(images.shape)} cannot be divided by {factor}: crop or pad the images first."
        )


def kspace_crop(images: Tensor, factor: int) -> Tensor:
    r"""Return the image of the centre of k-space, with ``factor`` times fewer pixels a side.

    .. math::
        x_j = \sum_{|k|<m/2}\hat X_k\,e^{2\pi\mathrm i\,jk/m}, \qquad
        \hat X_k = \frac1n\sum_{i=0}^{n-1} X_i\,e^{-2\pi\mathrm i\,ik/n}, \qquad m = n/s

    along each axis: the ideal low-pass of :math:`X`, sampled at the pixels :math:`sj`. The mean is kept. For
    an even :math:`m` the frequency :math:`-m/2` has no partner :math:`+m/2`, which a real image would need,
    and is left out.

    Parameters
    ----------
    images : Tensor
        High-resolution images :math:`X`.
    factor : int
        The factor :math:`s`; it must divide every side.
    """
    axes = _axes(images, factor)
    _check_divides(images, factor)
    frequencies = torch.fft.fftn(images, dim=axes, norm="forward")
    for axis in axes:
        kept = _frequencies(images.shape[axis] // factor, images.device)
        frequencies = frequencies.index_select(axis, kept % images.shape[axis])
    return _image(frequencies, [side // factor for side in images.shape[2:]])


def zero_fill(images: Tensor, factor: int) -> Tensor:
    """Return low-resolution images enlarged by zeros around their k-space, ``factor`` times more pixels.

    The band-limited interpolation: it passes through every low-resolution sample of :func:`kspace_crop`, and
    cropping it again gives the same image, if that came from there: of others with an even side the frequency
    that has no partner is lost. It is the least-squares answer to what was measured, and it rings.

    Parameters
    ----------
    images : Tensor
        Low-resolution images.
    factor : int
        How many times more pixels a side.
    """
    axes = _axes(images, factor)
    frequencies = torch.fft.fftn(images, dim=axes, norm="forward")
    for axis in axes:
        kept = _frequencies(images.shape[axis], images.device)
        frequencies = frequencies.index_select(axis, kept % images.shape[axis])
    return _image(frequencies, [side * factor for side in images.shape[2:]])


def _frequencies(samples: int, device: torch.device) -> Tensor:
    """Return the frequencies k with ``|k| < samples / 2``."""
    highest = (samples - 1) // 2
    return torch.arange(-highest, highest + 1, device=device)


def _image(frequencies: Tensor, sides: list[int]) -> Tensor:
    """Return the image of the given sides from frequencies in the order of :func:`_frequencies`."""
    for axis, side in enumerate(sides, start=2):
        shape = list(frequencies.shape)
        highest, shape[axis] = shape[axis] // 2, side
        places = torch.arange(-highest, highest + 1, device=frequencies.device) % side
        frequencies = frequencies.new_zeros(shape).index_copy(axis, places, frequencies)
    return torch.fft.ifftn(frequencies, dim=tuple(range(2, frequencies.ndim)), norm="forward").real


def bicubic(images: Tensor, factor: int) -> Tensor:
    r"""Return images enlarged by cubic convolution (Keys 1981), aligned with :func:`kspace_crop`.

    High-resolution pixel :math:`i` lies at :math:`t=i/s` between the low-resolution samples,

    .. math::
        y_i = \sum_{j=\lfloor t\rfloor-1}^{\lfloor t\rfloor+2} w(t-j)\,x_j, \qquad
        w(u) = \begin{cases}
        \tfrac32|u|^3-\tfrac52u^2+1 & |u|\le1\\
        -\tfrac12|u|^3+\tfrac52u^2-4|u|+2 & 1<|u|\le2
        \end{cases}

    along each axis, with the border sample repeated. With Keys's :math:`a=-\tfrac12`, quadratics are
    reproduced exactly; torch's ``bicubic`` has :math:`a=-\tfrac34`, which is less accurate.

    Parameters
    ----------
    images : Tensor
        Low-resolution images.
    factor : int
        The factor :math:`s`, how many times more pixels a side.
    """
    _axes(images, factor)
    return along_axes(images, (_convolution(side, factor) for side in images.shape[2:]))


@cache
def _convolution(samples: int, factor: int) -> Tensor:
    """Return the weights of Keys's convolution, float64 ``(samples * factor, samples)``."""
    position = torch.arange(samples * factor, dtype=torch.float64) / factor
    neighbours = position.floor().long()[:, None] + torch.arange(-1, 3)
    distance = (position[:, None] - neighbours).abs()
    weights = torch.where(
        distance <= 1,
        1.5 * distance**3 - 2.5 * distance**2 + 1,
        -0.5 * distance**3 + 2.5 * distance**2 - 4 * distance + 2,
    )
    matrix = torch.zeros(samples * factor, samples, dtype=torch.float64)
    return matrix.scatter_add_(1, neighbours.clamp(0, samples - 1), weights)


def area_sampled(images: Tensor, factor: int, *, fwhm: float) -> Tensor:
    r"""Return images as a coarser detector sees them: blurred, then averaged over each of its pixels.

    .. math::
        x_{\mathbf j} = \frac1{s^d}\sum_{\mathbf i\in s\mathbf j+\{0,\dots,s-1\}^d}
        (X*\mathrm{PSF})_{\mathbf i}

    For :math:`d` axes. Averaging alone leaves frequencies above the new Nyquist frequency, which fold into
    the image, as in a real detector whose optics are too sharp for it. A PSF as wide as a new pixel leaves a
    quarter of a wave at the new Nyquist frequency, and a twentieth at 1.5 times that.

    Parameters
    ----------
    images : Tensor
        :math:`X`.
    factor : int
        :math:`s`; it must divide every side.
    fwhm : float
        Full width at half maximum of the point spread function
        (:func:`medgan_course.data.signal.gaussian_psf`), in pixels of ``images``.
    """
    axes = _axes(images, factor)
    _check_divides(images, factor)
    pool = avg_pool2d if len(axes) == 2 else avg_pool3d
    return pool(gaussian_psf(images, fwhm=fwhm, spacing=1.0), factor)


def photon_noise(images: Tensor, noise: Tensor, *, counts: float) -> Tensor:
    r"""Return images whose pixels counted their light.

    .. math:: y = \frac2c\,\mathrm{Poisson}\Bigl(c\,\frac{x+1}2\Bigr) - 1

    For photographs and micrographs, where -1 is black: the noise of a grey level grows as its square root.

    Parameters
    ----------
    images : Tensor
        :math:`x` in [-1, 1]; what lies below counts nothing.
    noise : Tensor
        Numbers from N(0, 1), of the same shape: see :func:`medgan_course.data.signal.poisson`.
    counts : float
        :math:`c`, photons of a white pixel.
    """
    if counts <= 0:
        raise CourseError(f"counts={counts} shows nothing: give a positive number of counts.")
    return 2 / counts * poisson(counts * ((images + 1) / 2).clamp_min(0), noise) - 1
