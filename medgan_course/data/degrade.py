r"""Images of low resolution as an MR scanner acquires them, and the two plain ways back.

A scanner that acquires less of k-space sees the same field of view with fewer, larger pixels. Of :math:`n`
samples along an axis, :math:`n/s` remain, and low-resolution sample :math:`j` lies where high-resolution
sample :math:`sj` lay. An enlargement that takes the images' borders for aligned, as
``interpolate(align_corners=False)`` does, puts it at :math:`sj+(s-1)/2` instead and is off by
:math:`(s-1)/2` px: a network trained to undo that would be praised for a shift.

All three functions are linear and work on images ``(N, C, H, W)`` and volumes ``(N, C, D, H, W)``. Sharp
edges ring (Gibbs), so values may leave [-1, 1] by a few per cent: they are not clamped, for then the measured
data could not be compared with.
"""

import torch
from torch import Tensor

from medgan_course.errors import CourseError


def _axes(images: Tensor, factor: int) -> tuple[int, ...]:
    if images.ndim not in (4, 5):
        raise CourseError(
            "Only images (N, C, H, W) and volumes (N, C, D, H, W) change resolution, "
            f"not {tuple(images.shape)}."
        )
    if factor < 1:
        raise CourseError(f"factor={factor!r} is no resolution: choose 2, 3, ... times fewer pixels a side.")
    return tuple(range(2, images.ndim))


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
    if any(side % factor for side in images.shape[2:]):
        raise CourseError(
            f"The sides of {tuple(images.shape)} cannot be divided by {factor}: crop or pad the images first."
        )
    frequencies = torch.fft.fftn(images, dim=axes, norm="forward")
    for axis in axes:
        kept = _frequencies(images.shape[axis] // factor, images.device)
        frequencies = frequencies.index_select(axis, kept % images.shape[axis])
    return _image(frequencies, [side // factor for side in images.shape[2:]])


def zero_fill(images: Tensor, factor: int) -> Tensor:
    """Return low-resolution images enlarged by zeros around their k-space, ``factor`` times more pixels.

    The band-limited interpolation: it passes through every low-resolution sample of :func:`kspace_crop`, and
    cropping it again gives the same image. It is the least-squares answer to what was measured, and it rings.

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
    for axis in _axes(images, factor):
        samples = images.shape[axis]
        position = torch.arange(samples * factor, dtype=images.dtype, device=images.device) / factor
        neighbours = position.floor().long()[:, None] + torch.arange(-1, 3, device=images.device)
        distance = (position[:, None] - neighbours).abs()
        weights = torch.where(
            distance <= 1,
            1.5 * distance**3 - 2.5 * distance**2 + 1,
            -0.5 * distance**3 + 2.5 * distance**2 - 4 * distance + 2,
        )
        matrix = images.new_zeros(samples * factor, samples)
        matrix.scatter_add_(1, neighbours.clamp(0, samples - 1), weights)
        images = (images.movedim(axis, -1) @ matrix.T).movedim(-1, axis)
    return images.contiguous()
