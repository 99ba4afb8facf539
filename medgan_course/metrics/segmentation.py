r"""How well each mask fits its truth: overlap, distance and agreement of boundaries.

Every metric compares boolean masks :math:`X` (result) and :math:`Y` (truth) of one structure, ``(N, 1, H,
W)`` or ``(N, 1, D, H, W)``, and returns one number for each image, ``(N,)`` float64. Of a label map pass
``labels == k``.

*Empty masks.* Where neither holds a pixel the result is right: Dice, Jaccard and boundary F1 are 1, the
distance 0. Where one of the two is empty, they are 0 and the distance is infinite. Other programs leave such
images out, which hides every structure that was missed altogether; MONAI's Dice leaves out empty truths.

No value has a floor of its own: score one mask for all images in the result's place, and pass that as
``floor``.
"""

import numpy as np
import torch
from scipy import ndimage
from torch import Tensor

from medgan_course.errors import CourseError


def dice(x: Tensor, y: Tensor) -> Tensor:
    r"""Return the Dice coefficient, :math:`\frac{2|X\cap Y|}{|X|+|Y|}`, in [0, 1] (Dice 1945)."""
    both, size_x, size_y = _sizes(x, y)
    return torch.where(size_x + size_y == 0, 1.0, 2 * both / (size_x + size_y))


def jaccard(x: Tensor, y: Tensor) -> Tensor:
    r"""Return the Jaccard index, :math:`\frac{|X\cap Y|}{|X\cup Y|}`, in [0, 1] (Jaccard 1901).

    It ranks results as Dice :math:`d` does, being :math:`d/(2-d)`.
    """
    both, size_x, size_y = _sizes(x, y)
    union = size_x + size_y - both
    return torch.where(union == 0, 1.0, both / union)


def pixel_accuracy(x: Tensor, y: Tensor) -> Tensor:
    r"""Return the share of pixels that are labelled right, as a warning.

    Where a lesion fills 1 % of the image, an empty mask has 0.99. Quote :func:`dice` instead.
    """
    x, y = _masks(x, y)
    return (x == y).flatten(1).double().mean(1)


def hd95(x: Tensor, y: Tensor, *, spacing: float | tuple[float, ...] = 1.0) -> Tensor:
    r"""Return the 95 % Hausdorff distance between the boundaries, in the unit of ``spacing``.

    With :math:`\partial X` the pixels of X that have a neighbour (across a side) outside it or outside the
    image, and :math:`Q` the quantile,

    .. math::
        \max\Bigl(Q_{0.95}\bigl\{\min_{q\in\partial Y}\|p-q\|_2: p\in\partial X\bigr\},\;
        Q_{0.95}\bigl\{\min_{p\in\partial X}\|p-q\|_2: q\in\partial Y\bigr\}\Bigr).

    The plain maximum would be decided by a single stray pixel. As in MONAI the larger of the two directed
    quantiles is taken; some programs take the quantile of both sets together, which is smaller.

    Parameters
    ----------
    spacing : float or tuple of float
        Size of a pixel along each axis, in millimetres, say. One number for all axes.
    """
    distances = [_surface_distances(*pair, spacing) for pair in _pairs(x, y)]
    return torch.tensor([max(_quantile(there), _quantile(back)) for there, back in distances]).double()


def boundary_f1(
    x: Tensor, y: Tensor, *, tolerance: float, spacing: float | tuple[float, ...] = 1.0
) -> Tensor:
    r"""Return the F1 of the boundary within a tolerance (Csurka et al. 2013).

    .. math::
        F=\frac{2PR}{P+R}, \quad P=\frac{|\{p\in\partial X: d(p,\partial Y)\le t\}|}{|\partial X|}, \quad
        R=\frac{|\{q\in\partial Y: d(q,\partial X)\le t\}|}{|\partial Y|}

    with boundaries and distances as in :func:`hd95`. Dice hardly sees the boundary of a large organ; this
    does.

    Parameters
    ----------
    tolerance : float
        :math:`t`, in the unit of ``spacing``: how far two careful readers' boundaries lie apart.
    """
    values = []
    for pair in _pairs(x, y):
        there, back = _surface_distances(*pair, spacing)
        if not len(there) or not len(back):
            values.append(float(len(there) == len(back)))
            continue
        precision, recall = (there <= tolerance).mean(), (back <= tolerance).mean()
        values.append(2 * precision * recall / (precision + recall) if precision + recall else 0.0)
    return torch.tensor(values, dtype=torch.float64)


def _surface_distances(
    x: np.ndarray, y: np.ndarray, spacing: float | tuple[float, ...]
) -> tuple[np.ndarray, np.ndarray]:
    """Return each boundary's distances to the other one; infinite to an empty one."""
    edges = [mask & ~ndimage.binary_erosion(mask) for mask in (x, y)]
    to_x, to_y = (
        ndimage.distance_transform_edt(~edge, sampling=spacing) if edge.any() else np.full(x.shape, np.inf)
        for edge in edges
    )
    return to_y[edges[0]], to_x[edges[1]]


def _quantile(distances: np.ndarray) -> float:
    if not len(distances):
        return 0.0
    return float(np.inf if np.isinf(distances[0]) else np.quantile(distances, 0.95))


def _pairs(x: Tensor, y: Tensor) -> list[tuple[np.ndarray, np.ndarray]]:
    x, y = _masks(x, y)
    return list(zip(x[:, 0].cpu().numpy(), y[:, 0].cpu().numpy(), strict=True))


def _sizes(x: Tensor, y: Tensor) -> tuple[Tensor, Tensor, Tensor]:
    x, y = _masks(x, y)
    both, size_x, size_y = (mask.flatten(1).sum(1).double() for mask in (x & y, x, y))
    return both, size_x, size_y


def _masks(x: Tensor, y: Tensor) -> tuple[Tensor, Tensor]:
    for mask in (x, y):
        if mask.dtype != torch.bool or mask.ndim not in (4, 5) or mask.shape != x.shape or mask.shape[1] != 1:
            raise CourseError(
                "Masks are boolean and of one shape, (N, 1, H, W) or (N, 1, D, H, W), not "
                f"{x.dtype} {tuple(x.shape)} and {y.dtype} {tuple(y.shape)}; of a label map pass labels == k."
            )
    return x, y
