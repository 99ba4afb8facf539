r"""How far each image lies from its truth: errors, PSNR and SSIM, over the image, a mask or a boundary.

Every metric returns one number for each image, ``(N,)`` float64;
:func:`medgan_course.metrics.score.bootstrap` makes them a mean with its interval,
:func:`~medgan_course.metrics.score.paired_difference` compares two methods. :math:`x` is the result and
:math:`y` the truth, ``(N, C, H, W)`` or ``(N, C, D, H, W)``; :math:`p` runs over channels and pixels inside
the mask :math:`M`, or over all of them without one. A mask is ``(N, 1, ...)`` for all channels together or
``(N, C, ...)``. An image whose mask is empty has no value: NaN.

Background is easy. Where half of each image is air that every method gets right, an error over the whole
image is half as large and SSIM moves towards 1, so state the mask with the number. No value has a floor of
its own: score what took no effort, such as the input, in the result's place, and pass that as ``floor``.
"""

from itertools import product

import torch
from torch import Tensor
from torch.nn.functional import avg_pool2d, avg_pool3d

from medgan_course.errors import CourseError
from medgan_course.losses.structure import ssim_map, ssim_parts


def mae(x: Tensor, y: Tensor, *, mask: Tensor | None = None) -> Tensor:
    r"""Return the mean absolute error of each image, in the unit of the images.

    .. math:: \frac1{|M|}\sum_{p\in M}|x_p-y_p|

    Images in [-1, 1] give an error in [0, 2]; for Hounsfield units convert both first
    (:meth:`medgan_course.data.scale.Scale.restored`).
    """
    _check(x, y, mask)
    return _mean((x.double() - y.double()).abs(), mask)


def bias(x: Tensor, y: Tensor, *, mask: Tensor | None = None) -> Tensor:
    r"""Return the mean signed error of each image, :math:`\frac1{|M|}\sum_{p\in M}(x_p-y_p)`, in its unit.

    A mean absolute error does not tell a constant offset, which calibration would remove, from noise.
    """
    _check(x, y, mask)
    return _mean(x.double() - y.double(), mask)


def rmse(x: Tensor, y: Tensor, *, mask: Tensor | None = None) -> Tensor:
    r"""Return the root mean square error of each image, in the unit of the images.

    .. math:: \sqrt{\frac1{|M|}\sum_{p\in M}(x_p-y_p)^2}

    Never below :func:`mae`; far above it where a few pixels are very wrong.
    """
    _check(x, y, mask)
    return _mean((x.double() - y.double()).square(), mask).sqrt()


def nmae(x: Tensor, y: Tensor, *, data_range: float, mask: Tensor | None = None) -> Tensor:
    r"""Return the mean absolute error as a fraction of the data range :math:`R`, without a unit.

    .. math:: \frac1{R\,|M|}\sum_{p\in M}|x_p-y_p|

    Papers also normalise by the truth's own range or mean, which differs from image to image; we use the
    fixed range, as :func:`psnr` does.

    Parameters
    ----------
    data_range : float
        :math:`R`: 2 for images in [-1, 1].
    """
    check_range(y, data_range)
    return mae(x, y, mask=mask) / data_range


def psnr(x: Tensor, y: Tensor, *, data_range: float, mask: Tensor | None = None) -> Tensor:
    r"""Return the peak signal-to-noise ratio of each image, in decibels.

    .. math:: 10\log_{10}\frac{R^2}{\frac1{|M|}\sum_{p\in M}(x_p-y_p)^2}

    Halving every error adds 6.02 dB; equal images have infinity.

    Parameters
    ----------
    data_range : float
        :math:`R`, the distance between the smallest and the largest *possible* value: 2 for images in
        [-1, 1]. With an image's own maximum, darker images would score worse at the same error; with 255 on
        images in [-1, 1] all would gain 42 dB.
    """
    check_range(y, data_range)
    return 20 * torch.log10(data_range / rmse(x, y, mask=mask))


def ssim(x: Tensor, y: Tensor, *, data_range: float, window: int = 11, mask: Tensor | None = None) -> Tensor:
    r"""Return the structural similarity of each image (Wang et al. 2004).

    The mean of :func:`medgan_course.losses.structure.ssim_map` (Gaussian window of 11 pixels, :math:`\sigma`
    = 1.5, K = (0.01, 0.03)) over the pixels whose window lies inside the image and, with a mask, which
    themselves lie inside the mask. At most 1, which equal images have; about 0 without common structure.

    Parameters
    ----------
    data_range : float
        2 for images in [-1, 1]. It enters the constants that stabilise flat regions: a range that is too
        large makes everything look alike.
    window : int
        Side of the window, odd; smaller ones fit small volumes, but their values compare only with each
        other.
    """
    _check(x, y, mask)
    check_range(y, data_range)
    similarity = ssim_map(x, y, data_range=data_range, window=window)
    return _mean(similarity, None if mask is None else _inside(mask, window))


SCALE_WEIGHTS = (0.0448, 0.2856, 0.3001, 0.2363, 0.1333)
"""Exponents of the five scales, finest first, from the observers of Wang, Simoncelli & Bovik (2003)."""


def scales(shape: tuple[int, ...] | torch.Size, window: int = 11) -> int:
    """Return how many scales multi-scale SSIM has for images of a shape: 2 at 28 px, 3 at 64, 5 from 176.

    The window must fit at the coarsest one, after halving the side once for each further scale.
    """
    side = min(shape[2:])
    return next((n for n in range(len(SCALE_WEIGHTS), 0, -1) if side >> (n - 1) >= window), 0)


def ms_ssim(
    x: Tensor, y: Tensor, *, data_range: float, window: int = 11, mask: Tensor | None = None
) -> Tensor:
    r"""Return the multi-scale structural similarity of each image (Wang, Simoncelli & Bovik 2003).

    With the mean contrast-structure factor :math:`cs_j` and the mean SSIM :math:`s_j` at scale j, images
    being averaged over 2 x 2 pixels from one scale to the next,

    .. math:: s_m^{w_m}\prod_{j=1}^{m-1}cs_j^{w_j}, \qquad \sum_j w_j=1,

    for each channel, then averaged over channels. Five scales need images of 176 pixels; smaller ones have
    the first :math:`m` (:func:`scales`), with weights rescaled to sum to one, and their values compare only
    at the same size. A negative factor, whose power would not be a number, counts as 0.

    Parameters
    ----------
    data_range, window
        As in :func:`ssim`.
    mask : Tensor, optional
        At coarser scales a pixel counts by the share of it that lies inside.
    """
    _check(x, y, mask)
    check_range(y, data_range)
    if not (m := scales(x.shape, window)):
        raise CourseError(
            f"The window of {window} pixels does not fit images of {tuple(x.shape[2:])}: give a smaller one."
        )
    weights = torch.tensor(SCALE_WEIGHTS[:m], dtype=torch.float64, device=x.device)
    weights = weights / weights.sum()
    halve = avg_pool2d if x.ndim == 4 else avg_pool3d
    inside = None if mask is None else mask.to(x.dtype)
    similarity = torch.ones(x.shape[:2], dtype=torch.float64, device=x.device)
    for j, weight in enumerate(weights):
        luminance, contrast_structure = ssim_parts(x, y, data_range=data_range, window=window)
        factor = contrast_structure if j < m - 1 else luminance * contrast_structure
        seen = None if inside is None else _inside(inside, window).expand_as(factor).flatten(0, 1)
        # (N, C) as a batch of N * C images: one factor for each channel.
        mean = _mean(factor.flatten(0, 1)[:, None], None if seen is None else seen[:, None])
        similarity = similarity * mean.clamp_min(0).view_as(similarity) ** weight
        x, y = halve(x, 2), halve(y, 2)
        inside = None if inside is None else halve(inside, 2)
    return similarity.mean(1)


def region_mae(x: Tensor, y: Tensor, labels: Tensor) -> dict[int, Tensor]:
    """Return the mean absolute error of each image within each label: ``{label: (N,)}``.

    Parameters
    ----------
    labels : Tensor
        Integer label map ``(N, 1, ...)`` of the truth. An image without a label has NaN there.
    """
    return {int(label): mae(x, y, mask=labels == label) for label in labels.unique()}


def boundary_band(labels: Tensor, width: int) -> Tensor:
    r"""Return the pixels within ``width`` pixels of a label boundary, on both sides of it.

    Pixel :math:`p` belongs to the band if some :math:`q` with :math:`\|p-q\|_2\le` ``width`` has another
    label. Along a straight edge the band is ``2 * width`` pixels wide. Beyond the image nothing is assumed:
    its border is no boundary.

    Parameters
    ----------
    labels : Tensor
        Integer label map or boolean mask ``(N, 1, ...)``.
    width : int
        In pixels, at least 1.

    Returns
    -------
    Tensor
        Boolean, shaped like ``labels``; the mask for :func:`mae` that makes it an edge error.
    """
    if width < 1:
        raise CourseError(f"A boundary band is at least one pixel wide on either side, not {width}.")
    band = torch.zeros_like(labels, dtype=torch.bool)
    sides = labels.shape[2:]
    for offset in product(range(-width, width + 1), repeat=len(sides)):
        # Of an offset and its opposite one is enough: both ends of a differing pair belong to the band.
        if not 0 < sum(d * d for d in offset) <= width * width or offset < (0,) * len(sides):
            continue
        opposite = tuple(-d for d in offset)
        differ = _cut(labels, offset) != _cut(labels, opposite)
        for end in (offset, opposite):
            _cut(band, end).logical_or_(differ)  # what is cut out is a view of the band
    return band


def check_range(truth: Tensor, data_range: float) -> None:
    """Refuse a data range that cannot be that of the images: too small, or off by more than a hundredfold."""
    low, high = float(truth.min()), float(truth.max())
    span = high - low
    if not span * (1 - 1e-6) <= data_range <= (100 * span or float("inf")) or data_range <= 0:
        raise CourseError(
            f"data_range={data_range:g} is not the range of images with values from {low:.3g} to {high:.3g}: "
            "give the distance between the smallest and the largest possible value, 2 for images in [-1, 1]."
        )


def _cut(images: Tensor, offset: tuple[int, ...]) -> Tensor:
    """Return the pixels that still have a pixel at ``offset`` from them."""
    for axis, d in enumerate(offset, start=2):
        images = images.narrow(axis, max(0, -d), images.shape[axis] - abs(d))
    return images


def _inside(mask: Tensor, window: int) -> Tensor:
    """Cut a mask to the pixels whose window lies inside the image."""
    r = window // 2
    for axis in range(2, mask.ndim):
        mask = mask.narrow(axis, r, mask.shape[axis] - 2 * r)
    return mask


def _mean(values: Tensor, mask: Tensor | None) -> Tensor:
    values = values.double()
    if mask is None:
        return values.flatten(1).mean(1)
    weights = mask.to(values).expand_as(values).flatten(1)
    return (values.flatten(1) * weights).sum(1) / weights.sum(1)


def _check(x: Tensor, y: Tensor, mask: Tensor | None) -> None:
    if x.ndim not in (4, 5) or x.shape != y.shape:
        raise CourseError(
            "An image is compared with its truth of the same shape, (N, C, H, W) or (N, C, D, H, W), "
            f"not {tuple(x.shape)} with {tuple(y.shape)}."
        )
    if mask is not None and mask.shape not in (x.shape, (len(x), 1, *x.shape[2:])):
        raise CourseError(
            f"A mask for images {tuple(x.shape)} is {(len(x), 1, *x.shape[2:])}, not {tuple(mask.shape)}."
        )
