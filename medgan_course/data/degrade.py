r"""Images of low resolution as cameras acquire them, and the plain way back from those of MR scanners.

A detector of light, X-rays or photon pairs blurs and then adds up what falls on each of its pixels
(:func:`area_sampled`), and counts it (:func:`photon_noise`). Its sample j covers the pixels :math:`sj` to
:math:`sj+s-1`, so borders are aligned, and torch's ``interpolate(mode="bicubic", antialias=True)``, Keys's
cubic convolution too, is the plain way back.

An MR scanner that acquires less of k-space (:func:`medgan_course.data.kspace.kspace_crop`) has sample j
where high-resolution sample :math:`sj` lay. An enlargement that takes the images' borders for aligned, as
``interpolate(align_corners=False)`` does, puts it at :math:`sj+(s-1)/2` instead and is off by
:math:`(s-1)/2` px: a network trained to undo that would be praised for a shift. :func:`bicubic` and
:func:`medgan_course.data.kspace.zero_fill` put it where it was.

All but :func:`photon_noise` are linear, and work on images ``(N, C, H, W)`` and volumes
``(N, C, D, H, W)``. Few photons in CT are in :func:`medgan_course.data.tomography.low_dose`, PET in
:func:`medgan_course.data.signal.pet`.
"""

from functools import cache

import torch
from torch import Tensor
from torch.nn.functional import avg_pool2d, avg_pool3d

from medgan_course.data.axes import along_axes, scaled_axes
from medgan_course.data.signal import gaussian_psf, poisson
from medgan_course.errors import CourseError


def bicubic(images: Tensor, factor: int) -> Tensor:
    r"""Return images enlarged by cubic convolution (Keys 1981), aligned as the samples of an MR scanner.

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
    scaled_axes(images, factor, smaller=False)
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
    axes = scaled_axes(images, factor, smaller=True)
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
