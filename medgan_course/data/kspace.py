r"""k-space: how an MR scanner samples it, what is lost when it samples less, and what motion does.

An image :math:`x` has the k-space

.. math::
    k_{\vec\kappa} = (\mathcal F x)_{\vec\kappa}
        = \frac1{\sqrt n} \sum_{\mathbf r} x_{\mathbf r}\,
          e^{-2\pi\mathrm i \sum_a (\kappa_a - c_a)(r_a - c_a)/n_a}, \qquad c_a = \lfloor n_a/2\rfloor

of :math:`n=\prod_a n_a` numbers, with frequency 0 in the middle; :math:`\mathcal F` is unitary. A Cartesian
scan reads one *line* after the other, each along the last axis at once. The lines are counted along the axis
before it, the phase-encode axis (of a volume too), so a sampling mask is one bool for each line.

A shorter scan reads less: every second line, some at random, or the centre alone, which shows the same field
of view with fewer, larger pixels (:func:`kspace_crop`). Sharp edges ring then (Gibbs), so values may leave
[-1, 1] by a few per cent: they are not clamped, for then the measured data could not be compared with.

All functions take images ``(N, C, H, W)`` and volumes ``(N, C, D, H, W)``, real or complex where nothing else
is said. Signals are at least 0: bring images in [-1, 1] to [0, 1] before taking magnitudes. MONAI's and
TorchIO's k-space transforms work on one image at a time with random numbers of their own; these are batched,
differentiable and exact about which line saw what.
"""

import math

import torch
from torch import Tensor
from torch.nn.functional import affine_grid, grid_sample

from medgan_course.data.axes import scaled_axes, space_axes
from medgan_course.errors import CourseError


def fft(images: Tensor) -> Tensor:
    """Return the k-space of images, complex, of the same shape."""
    axes = space_axes(images)
    return torch.fft.fftshift(torch.fft.fftn(torch.fft.ifftshift(images, axes), dim=axes, norm="ortho"), axes)


def ifft(k: Tensor) -> Tensor:
    """Return the complex images of a k-space: the inverse, and the adjoint, of :func:`fft`."""
    axes = space_axes(k)
    return torch.fft.fftshift(torch.fft.ifftn(torch.fft.ifftshift(k, axes), dim=axes, norm="ortho"), axes)


# Which lines are read
# ------------------------------------------------------------------------------------------------------


def equispaced_mask(lines: int, acceleration: int, *, centre: int = 0) -> Tensor:
    r"""Return which lines are read: every ``acceleration``-th, frequency 0 among them, and the centre.

    Without a centre, the image of every R-th line is the sum of R copies, each shifted by 1/R of the field of
    view along the phase-encode axis and divided by R (where R divides the number of lines).

    Parameters
    ----------
    lines : int
        Number of lines in all.
    acceleration : int
        R; 1 reads all.
    centre : int
        How many lines around frequency 0 are read besides.

    Returns
    -------
    Tensor
        bool ``(lines,)``.
    """
    _check_mask(lines, acceleration, centre)
    if acceleration != int(acceleration):
        raise CourseError(
            f"Every {acceleration!r}-th line cannot be read: give a whole number, or draw a random_mask."
        )
    line = torch.arange(lines) - lines // 2
    return (line % acceleration == 0) | _central(lines, centre)


def random_mask(uniform: Tensor, acceleration: float, *, centre: int, power: float = 2.0) -> Tensor:
    r"""Return which lines are read: the centre, and others at random, the denser the nearer to it.

    Of :math:`n` lines exactly :math:`m=\operatorname{round}(n/R)` are read: ``centre`` of them for certain,
    the others drawn one after the other without replacement with probabilities in proportion to

    .. math:: w_j = \bigl(1 - |j - c|/(c+1)\bigr)^p, \qquad c = \lfloor n/2\rfloor,

    the density of Lustig, Donoho and Pauly 2007 (*Sparse MRI*, MRM 58(6)). That is the same as taking the
    largest :math:`u_j^{1/w_j}` (Efraimidis and Spirakis 2006).

    Parameters
    ----------
    uniform : Tensor
        :math:`u`, ``(lines,)`` or ``(N, lines)`` for a mask of each image's own, uniform in [0, 1): see
        :meth:`medgan_course.data.phantom.common.Subjects.each`.
    acceleration : float
        R.
    centre : int
        Lines around frequency 0 that are always read.
    power : float
        p; 0 draws all lines alike.

    Returns
    -------
    Tensor
        bool, of the shape of ``uniform``.
    """
    lines = uniform.shape[-1]
    read = round(lines / acceleration)
    _check_mask(lines, acceleration, centre)
    if read < max(centre, 1):
        raise CourseError(
            f"An acceleration of {acceleration} leaves {read} of {lines} lines, fewer than the "
            f"{max(centre, 1)} that must be read: accelerate less, or ask for a smaller centre."
        )
    distance = (torch.arange(lines, dtype=torch.float64, device=uniform.device) - lines // 2).abs()
    weight = (1 - distance / (lines // 2 + 1)) ** power
    key = uniform.double().clamp_min(1e-300).log() / weight
    key = key.masked_fill(_central(lines, centre).to(uniform.device), math.inf)
    chosen = key.topk(read, dim=-1).indices
    return torch.zeros_like(uniform, dtype=torch.bool).scatter(-1, chosen, True)


def _check_mask(lines: int, acceleration: float, centre: int) -> None:
    if acceleration < 1 or not 0 <= centre <= lines:
        raise CourseError(
            f"acceleration={acceleration} with {centre} central lines of {lines} is no scan: the first is at "
            "least 1, and the centre no more than all lines."
        )


def _central(lines: int, centre: int) -> Tensor:
    """Return the ``centre`` lines around frequency 0; of an even number one more lies below it."""
    first = lines // 2 - centre // 2
    line = torch.arange(lines)
    return (line >= first) & (line < first + centre)


def _broadcast(mask: Tensor, images: Tensor) -> Tensor:
    """Return a mask ``(lines,)`` or ``(N, lines)`` with axes of 1 where images have others."""
    if (
        mask.dtype != torch.bool
        or mask.ndim not in (1, 2)
        or mask.shape[-1] != images.shape[-2]
        or (mask.ndim == 2 and len(mask) not in (1, len(images)))
    ):
        raise CourseError(
            f"A mask {tuple(mask.shape)} {mask.dtype} does not fit images {tuple(images.shape)}: it has one "
            f"bool for each of the {images.shape[-2]} lines, (lines,) or (N, lines)."
        )
    return mask.to(images.device).reshape(-1, *[1] * (images.ndim - 3), mask.shape[-1], 1)


# The measurement, its adjoint, and consistency with it
# ------------------------------------------------------------------------------------------------------


def measure(images: Tensor, mask: Tensor) -> Tensor:
    r"""Return the lines that were read, :math:`M\odot\mathcal F x`: complex, 0 where nothing was read.

    The operator for :func:`medgan_course.metrics.safety.measurement_consistency`, as
    ``lambda images: measure(images, mask)``.

    Parameters
    ----------
    images : Tensor
        :math:`x`, real or complex.
    mask : Tensor
        :math:`M`, bool ``(lines,)`` or ``(N, lines)``.
    """
    return fft(images) * _broadcast(mask, images)


def zero_filled(k: Tensor, mask: Tensor) -> Tensor:
    r"""Return the complex images of what was read, :math:`\mathcal F^{-1}(M\odot k)`.

    The adjoint of :func:`measure`; for images that are real, its real part is. Of all images that fit the
    measurement it is the one with the least energy; unread lines make it blurred, or folded over itself.
    """
    return ifft(k * _broadcast(mask, k))


def consistent(images: Tensor, k: Tensor, mask: Tensor) -> Tensor:
    r"""Return the nearest images that fit what was measured: hard data consistency.

    Complex images simply get the lines that were read,

    .. math:: \mathcal F^{-1}\bigl((1-M)\odot\mathcal F x + M\odot k\bigr).

    A real image's lines :math:`\kappa` and :math:`-\kappa` are each other's conjugates, so a line that was
    read determines the other as well:

    .. math:: x + 2\operatorname{Re}\mathcal F^{-1}\frac{M\odot(k-\mathcal F x)}{M+M^-}

    with the mirrored mask :math:`M^-`. (Taking the real part of the first formula would spoil the lines
    again whenever :math:`M\ne M^-`.) Where noise makes both lines contradict each other, their mean is taken:
    the least-squares answer among real images.

    Parameters
    ----------
    images : Tensor
        :math:`x`, a network's reconstruction, real or complex.
    k : Tensor
        What was measured, complex, of the images' shape.
    mask : Tensor
        :math:`M`, bool ``(lines,)`` or ``(N, lines)``.
    """
    read = _broadcast(mask, images)
    missing = torch.where(read, k - fft(images), 0)
    if images.is_complex():
        return images + ifft(missing)
    mirrored = read.flip(-2)
    if read.shape[-2] % 2 == 0:
        mirrored = mirrored.roll(1, -2)  # line 0 is -n/2, which is its own mirror image
    return images + 2 * ifft(missing / (read.float() + mirrored.float()).clamp_min(1)).real


# A smaller part of k-space: fewer, larger pixels
# ------------------------------------------------------------------------------------------------------


def kspace_crop(images: Tensor, factor: int) -> Tensor:
    r"""Return the real image of the centre of k-space, with ``factor`` times fewer pixels a side.

    .. math::
        x_j = \sum_{|k|<m/2}\hat X_k\,e^{2\pi\mathrm i\,jk/m}, \qquad
        \hat X_k = \frac1n\sum_{i=0}^{n-1} X_i\,e^{-2\pi\mathrm i\,ik/n}, \qquad m = n/s

    along each axis: the ideal low-pass of :math:`X`, sampled at the pixels :math:`sj`. The mean is kept. For
    an even :math:`m` the frequency :math:`-m/2` has no partner :math:`+m/2`, which a real image would need,
    and is left out. Sample :math:`j` lies where pixel :math:`sj` lay.

    Parameters
    ----------
    images : Tensor
        High-resolution images :math:`X`, real, of any range.
    factor : int
        The factor :math:`s`; it must divide every side.
    """
    axes = scaled_axes(images, factor, smaller=True)
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
        Low-resolution images, real.
    factor : int
        How many times more pixels a side.
    """
    axes = scaled_axes(images, factor, smaller=False)
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


# Motion
# ------------------------------------------------------------------------------------------------------


def translated(k: Tensor, shifts: Tensor) -> Tensor:
    r"""Return the k-space of a body that moved from line to line.

    .. math:: k'_j = k_j\,e^{-2\pi\mathrm i\,\vec\nu_j\cdot\mathbf t_j}

    with the frequencies :math:`\vec\nu_j` (cycles per pixel) of line j and the body's displacement
    :math:`\mathbf t_j` while it was read. What leaves the field of view comes in on the other side.

    Parameters
    ----------
    k : Tensor
        k-space of the body at rest.
    shifts : Tensor
        :math:`\mathbf t`, ``(N, lines, d)`` in pixels, along the d axes of space in their order: (y, x) or
        (z, y, x).
    """
    axes = space_axes(k)
    if shifts.shape != (len(k), k.shape[-2], len(axes)):
        raise CourseError(
            f"Shifts are (N, lines, axes) = {(len(k), k.shape[-2], len(axes))}, not {tuple(shifts.shape)}."
        )
    turns = torch.zeros_like(k.real[:1])
    for number, axis in enumerate(axes):
        side = k.shape[axis]
        nu = (torch.arange(side, dtype=turns.dtype, device=k.device) - side // 2) / side
        moved = shifts[..., number].reshape(len(k), *[1] * (k.ndim - 3), -1, 1)
        turns = turns + nu.view(-1, *[1] * (k.ndim - 1 - axis)) * moved
    return k * torch.polar(torch.ones_like(turns), -2 * math.pi * turns)


def rotated(images: Tensor, angles: Tensor) -> Tensor:
    """Return images turned about their middle (pixel :math:`c`) in the plane of the last two axes.

    Cubic interpolation of the rows and columns; what comes in from outside repeats the border.

    Parameters
    ----------
    images : Tensor
        Real images or volumes.
    angles : Tensor
        ``(N,)`` in radians; positive turns x towards y, which is clockwise on the screen.
    """
    space_axes(images)
    if angles.shape != (len(images),):
        raise CourseError(f"{len(images)} images need as many angles, not {tuple(angles.shape)}.")
    *_, height, width = images.shape
    cos, sin = angles.cos(), angles.sin()
    # Positions in [-1, 1] about (side - 1) / 2, the turn about side // 2.
    cx, cy = (2 * (side // 2) + 1 - side for side in (width, height))
    row = torch.stack((cos, sin * height / width, (cx - cos * cx - sin * cy) / width), dim=-1)
    column = torch.stack((-sin * width / height, cos, (cy + sin * cx - cos * cy) / height), dim=-1)
    planes = images.reshape(len(images), -1, height, width)
    grid = affine_grid(torch.stack((row, column), dim=1).to(images), list(planes.shape), align_corners=False)
    turned = grid_sample(planes, grid, mode="bicubic", padding_mode="border", align_corners=False)
    return turned.view_as(images)


def moved(images: Tensor, shifts: Tensor, angles: Tensor, pose: Tensor) -> Tensor:
    r"""Return the k-space of a body that held P poses while it was read.

    .. math:: k_j = \bigl(\mathcal F R_{\alpha_{p(j)}} x\bigr)_j\,
              e^{-2\pi\mathrm i\,\vec\nu_j\cdot\mathbf t_{p(j)}}

    Line j is taken from the k-space of the image turned by the angle of pose p(j), and then translated. The
    image of it, ``ifft(moved(...)).abs()``, shows ghosts along the phase-encode axis.

    Parameters
    ----------
    images : Tensor
        The signal at rest, real, at least 0.
    shifts, angles : Tensor
        Displacements ``(N, P, d)`` in pixels, as in :func:`translated`, and turns ``(N, P)`` in radians, as
        in :func:`rotated`, of every pose.
    pose : Tensor
        int64 ``(N, lines)``: the pose, from 0, in which each line was read.
    """
    k = torch.zeros_like(fft(images))
    if pose.shape != (len(images), images.shape[-2]) or not 0 <= pose.min() <= pose.max() < angles.shape[1]:
        raise CourseError(
            f"Poses are (N, lines) = {(len(images), images.shape[-2])} numbers from 0 to "
            f"{angles.shape[1] - 1}, one for each line; these are {tuple(pose.shape)}, from "
            f"{pose.min().item()} to {pose.max().item()}."
        )
    for number in range(angles.shape[1]):
        read = _broadcast(pose == number, images)
        k = torch.where(read, fft(rotated(images, angles[:, number])), k)
    each = pose[..., None].expand(*pose.shape, shifts.shape[-1])
    return translated(k, shifts.gather(1, each))
