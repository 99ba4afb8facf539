r"""Patches at random positions, and tiles on a regular grid that are put together again without a seam.

MONAI's ``sliding_window_inference`` runs a network over tiles in one call: right where nothing but the
result is wanted. Here the tiles themselves are needed, to train on and to compare. MONAI's ``GridPatch``
cuts tiles too, but of one image at a time and without the way back; its ``RandSpatialCrop`` draws from a
random state that keeps changing, so that no step can be had again.
"""

from collections.abc import Sequence
from dataclasses import dataclass
from functools import reduce
from itertools import product
from typing import Any, NamedTuple

import torch
from torch import Tensor
from torch.nn.functional import pad

from medgan_course.data.batches import seeded
from medgan_course.errors import CourseError


class Patches(NamedTuple):
    """Patches of images.

    Attributes
    ----------
    pixels : Tensor
        ``(n, C, *side)``.
    image : Tensor
        int64 ``(n,)``: the image that each is from.
    corner : Tensor
        int64 ``(n, dims)``: the first pixel of each, along every axis.
    """

    pixels: Tensor
    image: Tensor
    corner: Tensor


def random_patches(images: Tensor, side: int | Sequence[int], *, each: int = 1, seed: int = 0) -> Patches:
    """Cut patches at random positions, all equally likely and wholly inside the image.

    Parameters
    ----------
    images : Tensor
        ``(N, C, H, W)`` or ``(N, C, D, H, W)``.
    side : int or sequence of int
        Side of a patch, or one for every axis.
    each : int
        Patches from every image.
    seed : int
        Seed of the positions, which depend on nothing else: in a training, the number of the step.

    Returns
    -------
    Patches
        ``N * each`` of them, those of one image after another.

    Raises
    ------
    CourseError
        If a patch is larger than the image, or nothing is asked for.
    """
    sides = _sides(images, side)
    room = torch.tensor(images.shape[2:]) - torch.tensor(sides) + 1
    if (room < 1).any() or each < 1:
        raise CourseError(
            f"{each} patches of {_times(sides)} cannot be cut from images of {_times(images.shape[2:])}: "
            "they must be at least one, and no larger than the images."
        )
    n = len(images) * each
    drawn = torch.rand(n, len(sides), generator=seeded("patches", seed), dtype=torch.float64)
    corner = (drawn * room).long().to(images.device)
    image = torch.arange(len(images), device=images.device).repeat_interleave(each)
    # Every patch there is, as a view: indexing copies those that are wanted.
    windows = reduce(lambda view, axis: view.unfold(2 + axis, sides[axis], 1), range(len(sides)), images)
    chosen: tuple[Any, ...] = (image, slice(None), *corner.unbind(1))
    return Patches(windows[chosen], image, corner)


@dataclass(frozen=True)
class Tiling:
    r"""Equal tiles that cover an image, and the way back.

    Tiles start every :math:`s - o` pixels, :math:`s` their side and :math:`o` the overlap; the last one ends
    at the image's edge, so it may overlap more. Put together, a pixel is the mean of the tiles :math:`j`
    that cover it, weighted by how far it lies inside each:

    .. math::

        y(\mathbf r) = \frac{\sum_j w(\mathbf r - \mathbf c_j)\, y_j(\mathbf r - \mathbf c_j)}
                            {\sum_j w(\mathbf r - \mathbf c_j)}, \qquad
        w(\mathbf u) = \prod_a \min(u_a + 1,\; s_a - u_a,\; o + 1),

    with :math:`\mathbf c_j` the corner of tile :math:`j` and :math:`u_a = 0, \dots, s_a - 1` the place in it
    along axis :math:`a`. The weights of a pixel sum to 1, so tiles that agree give back what they were cut
    from.

    An image narrower than a tile is continued by its edge pixels, which are left out again.

    Attributes
    ----------
    shape : tuple of int
        ``(H, W)`` or ``(D, H, W)`` of the image.
    side : tuple of int
        Sides :math:`s_a` of a tile, in the same order.
    overlap : int
        Pixels :math:`o` that neighbours share, from 0 to below the shortest side.

    Raises
    ------
    CourseError
        If the sides are not as many as the axes, or the overlap is not below them.
    """

    shape: tuple[int, ...]
    side: tuple[int, ...]
    overlap: int = 0

    def __post_init__(self) -> None:
        if len(self.shape) not in (2, 3) or len(self.side) != len(self.shape) or min(self.shape) < 1:
            raise CourseError(
                f"Tiles of {_times(self.side)} do not fit images of {_times(self.shape)}: give two or "
                "three sides for both, height and width last."
            )
        if not 0 <= self.overlap < min(self.side):
            raise CourseError(
                f"An overlap of {self.overlap} is impossible for tiles of {_times(self.side)}: it must be at "
                "least 0 and below every side."
            )

    @property
    def corners(self) -> list[tuple[int, ...]]:
        """The first pixel of every tile."""
        return list(product(*self._starts))

    @property
    def _starts(self) -> list[list[int]]:
        """Where tiles start along every axis."""
        last = [max(length - side, 0) for length, side in zip(self.shape, self.side, strict=True)]
        return [[*range(0, n, s - self.overlap), n] for n, s in zip(last, self.side, strict=True)]

    def cut(self, images: Tensor) -> Tensor:
        """Return the tiles of images ``(N, C, *shape)`` as ``(N * tiles, C, *side)``, image after image.

        Raises
        ------
        CourseError
            If the images have another shape.
        """
        if tuple(images.shape[2:]) != self.shape:
            raise CourseError(
                f"These tiles are for images (N, C, {', '.join(map(str, self.shape))}), "
                f"not {tuple(images.shape)}."
            )
        lacking = [max(s - n, 0) for n, s in zip(self.shape, self.side, strict=True)]
        if any(lacking):
            plain = images.byte() if images.dtype == torch.bool else images  # torch pads no bool
            padded = pad(plain, [x for n in reversed(lacking) for x in (0, n)], mode="replicate")
            images = padded.to(images.dtype)
        windows: list[tuple[Any, ...]] = [
            (..., *(slice(first, first + s) for first, s in zip(corner, self.side, strict=True)))
            for corner in self.corners
        ]
        return torch.stack([images[window] for window in windows], dim=1).flatten(0, 1)

    def stitch(self, tiles: Tensor) -> Tensor:
        """Put tiles ``(N * tiles, C, *side)`` together, in the order of :meth:`cut`, as ``(N, C, *shape)``.

        C may differ from that of the images: the tiles may have been through a network. Tiles of whole
        numbers or bool are label maps, which have no mean: where they overlap, the last one counts.

        Raises
        ------
        CourseError
            If they are no tiles of this grid.
        """
        each = len(self.corners)
        if tuple(tiles.shape[2:]) != self.side or not len(tiles) or len(tiles) % each:
            raise CourseError(
                f"{tuple(tiles.shape)} are no tiles of this grid: for every image it has {each} of "
                f"(C, {', '.join(map(str, self.side))})."
            )
        if not tiles.is_floating_point():
            return self._labels(tiles)
        dims = len(self.shape)
        joined = tiles.unflatten(0, (-1, *map(len, self._starts)))
        # One axis after another: the grid is regular, so the weights of the axes multiply.
        for axis, (starts, side) in reversed(list(enumerate(zip(self._starts, self.side, strict=True)))):
            place = torch.arange(side, device=tiles.device, dtype=tiles.dtype)
            ramp = torch.minimum(place + 1, side - place).clamp(max=self.overlap + 1)
            total = tiles.new_zeros(starts[-1] + side)
            for first in starts:
                total[first : first + side] += ramp
            pieces = joined.unbind(1 + axis)
            shape = list(pieces[0].shape)
            shape[axis - dims] = len(total)
            joined = tiles.new_zeros(shape)
            for first, piece in zip(starts, pieces, strict=True):
                share = ramp / total[first : first + side]
                joined.narrow(axis - dims, first, side).add_(
                    piece * share.reshape(-1, *[1] * (dims - 1 - axis))
                )
        whole: tuple[Any, ...] = (..., *(slice(n) for n in self.shape))
        return joined[whole]

    def _labels(self, tiles: Tensor) -> Tensor:
        """Put label maps together: each pixel from the last tile that has it, for labels have no mean."""
        own = tiles.unflatten(0, (-1, len(self.corners)))
        sides = [starts[-1] + side for starts, side in zip(self._starts, self.side, strict=True)]
        joined = tiles.new_zeros(len(own), tiles.shape[1], *sides)
        for tile, corner in zip(own.unbind(1), self.corners, strict=True):
            place = (slice(first, first + side) for first, side in zip(corner, self.side, strict=True))
            window: tuple[Any, ...] = (..., *place)
            joined[window] = tile
        whole: tuple[Any, ...] = (..., *(slice(n) for n in self.shape))
        return joined[whole]


def _sides(images: Tensor, side: int | Sequence[int]) -> tuple[int, ...]:
    dims = images.ndim - 2
    sides = (side,) * dims if isinstance(side, int) else tuple(side)
    if dims not in (2, 3) or len(sides) != dims or min(sides) < 1:
        raise CourseError(
            f"Patches of {_times(sides)} do not fit images {tuple(images.shape)}: images are (N, C, H, W) or "
            "(N, C, D, H, W), and a patch has one side or one for each axis."
        )
    return sides


def _times(sides: Sequence[int]) -> str:
    return " x ".join(map(str, sides)) or "nothing"
