r"""The Laplacian pyramid: an image as bands of detail, from fine to coarse, and back without loss.

Burt and Adelson 1983 (*The Laplacian pyramid as a compact image code*, IEEE Trans. Commun. 31(4)):

.. math::
    G_0 = x, \qquad G_{l+1} = R\,G_l, \qquad L_l = G_l - E\,G_{l+1}, \qquad
    x = L_0 + E\bigl(L_1 + E(\dots + E\,G_K)\bigr)

with, along each axis, the weights :math:`w = (1, 4, 6, 4, 1)/16`,

.. math::
    (R\,g)_j = \sum_{m=-2}^{2} w_m\,g_{2j+m}, \qquad (E\,g)_i = 2\sum_{i-m\text{ even}} w_m\,g_{(i-m)/2}.

The image is mirrored at its border pixels. Coarse sample j lies where fine sample 2j lay, as in
:func:`medgan_course.data.kspace.kspace_crop`. (scikit-image's
``pyramid_laplacian`` subtracts a Gaussian blur at each size instead, one NumPy image at a time, and has no
inverse.)
"""

from collections.abc import Sequence
from functools import cache

import torch
from torch import Tensor

from medgan_course.data.axes import along_axes, space_axes
from medgan_course.errors import CourseError

_WEIGHTS = (1 / 16, 4 / 16, 6 / 16, 4 / 16, 1 / 16)


def split(images: Tensor, levels: int) -> list[Tensor]:
    """Return the bands :math:`L_0, ..., L_{K-1}` and the coarse image :math:`G_K` that is left.

    Parameters
    ----------
    images : Tensor
        Floating ``(N, C, H, W)`` or ``(N, C, D, H, W)``, of any sides.
    levels : int
        K, at least 0: each halves the sides, rounded up. The bands are zero-mean by and large, the coarse
        image has the range of the images.
    """
    smallest = min(images.shape[axis] for axis in space_axes(images))
    if not 0 <= levels <= max(smallest - 1, 0).bit_length():
        raise CourseError(
            f"Images {tuple(images.shape)} have no pyramid of {levels} levels: choose 0 or more, and no more "
            "than their smallest side can be halved."
        )
    bands = []
    for _ in range(levels):
        coarse = reduce(images)
        bands.append(images - expand(coarse, images.shape[2:]))
        images = coarse
    return [*bands, images]


def merge(bands: Sequence[Tensor]) -> Tensor:
    """Return the images whose bands :func:`split` gave: exactly, but for rounding."""
    if not len(bands):
        raise CourseError("No bands are no images: give those of split, the coarse image last.")
    *finer, images = bands
    for band in reversed(finer):
        images = band + expand(images, band.shape[2:])
    return images


def reduce(images: Tensor) -> Tensor:
    r"""Return images blurred and with every other pixel, :math:`R\,g`: sides halved and rounded up."""
    return along_axes(images, (_reduction(side) for side in images.shape[2:]))


def expand(images: Tensor, space: Sequence[int]) -> Tensor:
    r"""Return images enlarged, :math:`E\,g`, to ``space``: twice as many pixels a side, or one less."""
    space_axes(images)
    if tuple(images.shape[2:]) != tuple((side + 1) // 2 for side in space):
        raise CourseError(
            f"Images {tuple(images.shape)} are not half of {tuple(space)} along every axis, so they are "
            "not the next level of that pyramid."
        )
    return along_axes(images, (_expansion(side) for side in space))


@cache
def _reduction(side: int) -> Tensor:
    """Return R, ``((side + 1) // 2, side)``."""
    matrix = torch.zeros((side + 1) // 2, side, dtype=torch.float64)
    rows = torch.arange(len(matrix))
    for offset, weight in enumerate(_WEIGHTS, start=-2):
        matrix.index_put_(
            (rows, _mirrored(2 * rows + offset, side)), matrix.new_tensor(weight), accumulate=True
        )
    return matrix


@cache
def _expansion(side: int) -> Tensor:
    """Return E, ``(side, (side + 1) // 2)``."""
    coarse = (side + 1) // 2
    matrix = torch.zeros(side, coarse, dtype=torch.float64)
    rows = torch.arange(side)
    for offset, weight in enumerate(_WEIGHTS, start=-2):
        own = rows[(rows - offset) % 2 == 0]
        column = _mirrored((own - offset) // 2, coarse)
        matrix.index_put_((own, column), matrix.new_tensor(2 * weight), accumulate=True)
    return matrix


def _mirrored(index: Tensor, side: int) -> Tensor:
    """Return indices reflected at the first and the last pixel, which are not repeated."""
    if side == 1:
        return torch.zeros_like(index)
    index = index.abs() % (2 * side - 2)
    return torch.minimum(index, 2 * side - 2 - index)
