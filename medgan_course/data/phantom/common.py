r"""What all phantom families share: subjects' random numbers, smooth fields, painting, and the truth.

A family is a module with one public function,

    phantoms(subjects, *, size, seed, labels=None, contrasts=..., device=None, ...) -> Phantoms

which draws every subject's numbers with :class:`Subjects`, paints tissues on a grid finer than the image
(:func:`grid`, :func:`paint`), counts their :func:`shares` in each pixel and turns these into images by the
equations of :mod:`medgan_course.data.signal`. Lengths are in mm unless a family says otherwise; the last axis
is x, to the right of the image, the one before it y, downwards, and the first of a volume z, from the top
down.

Subject ``i`` of ``seed`` is the same whatever the batch, its order, the image size, the device (up to
rounding) and the contrasts asked for.
"""

from collections.abc import Iterable, Sequence
from dataclasses import dataclass, field, fields
from functools import cache
from typing import Any

import torch
from torch import Tensor

from medgan_course.data.scale import Scale
from medgan_course.errors import CourseError, did_you_mean


@dataclass(frozen=True, eq=False)
class Phantoms:
    """Images of computed subjects, and all that is true of them.

    Attributes
    ----------
    images : dict of str to Tensor
        float32 ``(N, C, *space)`` in [-1, 1] for every contrast.
    scales : dict of str to Scale
        What -1 and 1 stand for in every contrast: the same for all subjects, never an image's own range.
    tissue_names : tuple of str
        The ``K`` tissues.
    tissues : Tensor
        float32 ``(N, K, *space)``: the share of each tissue in every pixel; adds up to 1.
    lesion : Tensor
        bool ``(N, 1, *space)``: where at least half of the pixel is pathological.
    lesion_columns : tuple of str
        What the columns of ``lesions`` are; the first is ``"present"``.
    lesions : Tensor
        float32 ``(N, M, len(lesion_columns))``: a row for each lesion, zeros where there are fewer.
    labels : Tensor
        int64 ``(N,)``: the class of each subject.
    severity : Tensor
        float32 ``(N,)`` in [0, 1]: how ill, or how far along, whatever the family calls so.
    facts : dict of str to Tensor
        Whatever else is true, ``(N, ...)``: slice level, camera, bone age.
    subject : Tensor
        int64 ``(N,)``: the subjects' numbers.
    seed : int
        Seed of the population.
    """

    images: dict[str, Tensor]
    scales: dict[str, Scale]
    tissue_names: tuple[str, ...]
    tissues: Tensor
    lesion: Tensor
    lesion_columns: tuple[str, ...]
    lesions: Tensor
    labels: Tensor
    severity: Tensor
    subject: Tensor
    seed: int
    facts: dict[str, Tensor] = field(default_factory=dict)

    def __len__(self) -> int:
        return len(self.subject)

    @property
    def label_map(self) -> Tensor:
        """The tissue with the largest share, int64 ``(N, *space)``: a position in ``tissue_names``."""
        return self.tissues.argmax(dim=1)

    def share(self, *names: str) -> Tensor:
        """Return the share of some tissues together, float32 ``(N, 1, *space)``.

        Raises
        ------
        CourseError
            If there is no such tissue.
        """
        for name in names:
            if name not in self.tissue_names:
                raise CourseError(
                    f"This phantom has no tissue {name!r}: {did_you_mean(name, self.tissue_names)}"
                )
        return self.tissues[:, [self.tissue_names.index(name) for name in names]].sum(dim=1, keepdim=True)

    @staticmethod
    def joined(parts: Sequence["Phantoms"]) -> "Phantoms":
        """Return the subjects of several parts as one: families compute a few subjects at a time."""
        together: dict[str, Any] = {}
        for each in fields(Phantoms):
            values = [getattr(part, each.name) for part in parts]
            if isinstance(values[0], Tensor):
                together[each.name] = torch.cat(values)
            elif each.name in ("images", "facts"):
                together[each.name] = {key: torch.cat([value[key] for value in values]) for key in values[0]}
            else:
                together[each.name] = values[0]
        return Phantoms(**together)


class Subjects:
    """The random numbers of some subjects, one column after the other.

    Every subject has a generator of its own on the CPU, so nobody's numbers depend on who else is computed,
    nor on the device. The order of the calls decides which number is used for what: what a family draws for
    one purpose alone (the noise of a contrast) comes from a ``stream``, so that asking for less of it does
    not change the rest.

    Parameters
    ----------
    numbers : sequence of int
        The subjects, from 0.
    seed : int
        Seed of the population.
    dim : {2, 3}
        Axes of the images that the numbers are for.
    device : torch.device or str, optional
        Where the numbers are wanted. Default: the CPU.
    stream : int
        0 for the subject itself; from 1 on for what is drawn apart.

    Raises
    ------
    CourseError
        If there is nobody.
    """

    def __init__(
        self,
        numbers: Iterable[int],
        seed: int,
        *,
        dim: int = 2,
        device: torch.device | str | None = None,
        stream: int = 0,
    ) -> None:
        self.numbers = [int(number) for number in numbers]
        if not self.numbers:
            raise CourseError("There are no subjects to compute: give at least one number.")
        self.seed, self.dim, self.device = seed, dim, torch.device(device or "cpu")
        # Only the lower 32 bits of a generator's seed count.
        keys = [seed * 1_000_003 + number for number in self.numbers]
        self._generators = [
            torch.Generator().manual_seed(~key * 64 + stream if stream else key) for key in keys
        ]
        self._waiting = torch.empty(len(keys), 0, device=self.device)

    def __len__(self) -> int:
        return len(self.numbers)

    def stream(self, number: int) -> "Subjects":
        """Return the same subjects with other numbers: those of stream ``number``, from its start."""
        return Subjects(self.numbers, self.seed, dim=self.dim, device=self.device, stream=number)

    def uniform(self, low: float, high: float) -> Tensor:
        """Return one number each, ``(n, 1, 1)`` or in 3-D ``(n, 1, 1, 1)``, uniform in [low, high)."""
        return self.each(1, low, high).view(-1, *[1] * self.dim)

    def each(self, count: int, low: float, high: float) -> Tensor:
        """Return ``count`` numbers each, ``(n, count)``, uniform in [low, high)."""
        if self._waiting.shape[1] < count:
            # Many at a time, because a call costs more than the numbers.
            more = [torch.rand(max(count, 256), generator=own) for own in self._generators]
            self._waiting = torch.stack(more).to(self.device)
        drawn, self._waiting = self._waiting[:, :count], self._waiting[:, count:]
        return low + (high - low) * drawn

    def normal(self, *shape: int) -> Tensor:
        """Return ``(n, *shape)`` from N(0, 1)."""
        return torch.stack([torch.randn(*shape, generator=own) for own in self._generators]).to(self.device)

    def field(self, count: int, scale: float, side: int, fov: float) -> Tensor:
        """Return ``count`` smooth random fields each, ``(n, count, *space)``, of mean 0 and variance 1.

        Parameters
        ----------
        count : int
            Fields for each subject.
        scale : float
            Distance in mm between the points of the cubic spline: what varies varies over about twice that.
        side, fov : int, float
            Pixels a side, and mm a side: the same field is sampled more or less finely.
        """
        points = int(fov / scale) + 4
        return smooth(self.normal(count, *[points] * self.dim), side, fov, (points - 3) * scale)


def smooth(points: Tensor, side: int, fov: float, width: float) -> Tensor:
    """Return smooth fields ``(n, c, *space)`` of variance 1 from normal numbers ``(n, c, g, g[, g])``.

    Cubic B-splines through a grid of ``g`` points an axis, whose inner ``g - 3`` cells are ``width`` mm wide.
    """
    basis = _splines(points.shape[-1], side, fov, width).to(points)
    fields = points
    for axis in range(2, points.ndim):
        # The squared weights of a cubic B-spline add up to 151/315 on average, in each direction.
        fields = (fields.movedim(axis, -1) @ basis.T * (315 / 151) ** 0.5).movedim(-1, axis)
    return fields.contiguous()


@cache
def _splines(points: int, side: int, fov: float, width: float) -> Tensor:
    """Return cubic B-splines ``(side, points)`` at the pixel centres."""
    position = ((torch.arange(side) + 0.5) / side - 0.5) * fov / width * (points - 3) + (points - 1) / 2
    t = (position[:, None] - torch.arange(points)).abs()
    return torch.where(t < 1, 2 / 3 - t**2 + t**3 / 2, (2 - t).clamp_min(0) ** 3 / 6)


def grid(
    side: int, fov: float, *, dim: int = 2, device: torch.device | str | None = None
) -> tuple[Tensor, ...]:
    """Return the positions of the pixel centres in mm, ``(x, y)`` or ``(x, y, z)``, 0 in the middle.

    Each is ``(side, side)`` or ``(side, side, side)``; z is largest in the first plane.
    """
    centres = ((torch.arange(side, device=device) + 0.5) / side - 0.5) * fov
    axes = torch.meshgrid([centres] * dim, indexing="ij")[::-1]
    return axes if dim == 2 else (axes[0], axes[1], -axes[2])


def fineness(size: int, least: int) -> int:
    """Return how many times finer than the image tissues are painted, for at least ``least`` pixels."""
    return -(-least // size)


def bump(distance: Tensor) -> Tensor:
    r"""Return :math:`e^{-d^2}`: 1 at 0, nearly 0 beyond 2."""
    return torch.exp(-(distance**2).clamp_max(60))


def paint(painted: Tensor, where: Tensor, tissue: int) -> None:
    """Cover what is ``where`` (bool) with ``tissue``, in the uint8 map ``painted``, in place.

    Only over tissues of higher numbers: a family numbers its tissues in the order in which they hide each
    other, air first. (A minimum is many times faster than a masked fill.)
    """
    torch.minimum(painted, where.view(torch.uint8).sub(1).bitwise_or_(tissue), out=painted)


def shares(painted: Tensor, kinds: int, factor: int) -> Tensor:
    """Return the share of each of ``kinds`` tissues in every pixel, float32 ``(n, kinds, *space)``.

    Parameters
    ----------
    painted : Tensor
        uint8 ``(n, *fine)``: the tissue of every fine pixel.
    kinds : int
        Number of tissues.
    factor : int
        Fine pixels a pixel has along each axis.
    """
    n, *fine = painted.shape
    space = [side // factor for side in fine]
    cells = torch.arange(n * torch.Size(space).numel(), device=painted.device).view(n, *space) * kinds
    for axis in range(1, len(fine) + 1):
        cells = cells.repeat_interleave(factor, dim=axis)
    counts = torch.bincount((cells + painted).flatten(), minlength=n * torch.Size(space).numel() * kinds)
    return counts.view(n, *space, kinds).movedim(-1, 1).float().contiguous() / factor ** len(fine)
