r"""What all phantom families share: subjects' random numbers, smooth fields, painting, and the truth.

A family is a module with one function::

    phantoms(subjects, *, size, seed, labels=None, contrasts=..., device=None, ...) -> Phantoms

which draws every subject's numbers with :class:`Subjects`, paints tissues on a grid finer than the image
(:func:`grid`, :func:`paint`), counts their :func:`shares` in each pixel and turns these into images by the
equations of :mod:`medgan_course.data.signal`. Subject ``i`` of ``seed`` is the same whatever the image size,
the label and the contrasts asked for, and, up to the rounding of sums, whatever the batch, its order and the
device. These parameters mean the same in all families, which name only what they add:

subjects : iterable of int
    Numbers of the subjects, from 0.
size : int
    Image side in pixels, at least 16.
seed : int
    Seed of the population, from 0.
labels : iterable of int, optional
    The class of each subject, a position in the family's ``CLASSES``. It changes only what makes the class.
    Left out, everyone has their own, all classes equally often.
contrasts : sequence of str
    Some of the family's ``CONTRASTS``, or none for the truth alone.
dim : {2, 3}
    Slices or volumes.
fov : float
    Side of the image in mm: it shows more or less of the same subject.
device : torch.device or str, optional
    Where to compute. Default: the CPU.

A family that stands in for a real set also has a function ::

    render(labels, *, size, seed, first=0) -> Tensor, or a tuple of tensors

which computes subjects ``first``, ``first + 1``, ... with one image for each of ``labels``, uint8
``(N, *space)`` or, in colour, ``(N, *space, 3)``, as the set's files store them.

Both raise :class:`~medgan_course.errors.CourseError` where what is asked for cannot be; see :func:`checked`.

The first column of a table of lesions is "present": 1 for whatever is drawn, also where other tissue hides
it. Then come its centre "x" and "y", in volumes and where planes have a height also "z", from the middle of
the image, and "radius", or "radius_x", "radius_y" and "radius_z", the semi-axes; then what only this family
tells, "kind" being a position in its ``KINDS`` or ``CLASSES``. Centre and semi-axes are those that it is
drawn with, or, of shapes that follow the anatomy, those of the drawn shape, see :func:`outlined`.

x goes to the right of the image, along its last axis; y down, along the one before it; z up, against the
first axis of a volume. Lengths are in mm, of sections in micrometres; breast, chest and OCT have no scale:
their unit is the image's side.
"""

import hashlib
import math
import operator
import tomllib
from collections.abc import Callable, Iterable, Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass, field, fields
from functools import cache
from pathlib import Path
from typing import Any, TypeVar

import numpy as np
import torch
from torch import Tensor

from medgan_course.data.scale import Scale
from medgan_course.errors import CourseError, did_you_mean

LEAST = 16  # pixels a side
LABELS = -1  # the stream of random numbers from which classes are drawn
THREADS = 8  # at most: beyond, they wait for each other's Python

Part = TypeVar("Part")


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
        """Position in ``tissue_names`` of the tissue with the largest share, int64 ``(N, *space)``."""
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


# What the families are asked
# --------------------------------------------------------------------------------------


@dataclass(frozen=True)
class Asked:
    """What a family was asked for, made sure of by :func:`checked`.

    Attributes
    ----------
    numbers : list of int
        The subjects.
    size : int
        Image side in pixels.
    seed : int
        Seed of the population.
    labels : list of int
        The class of each; empty if there are no classes.
    contrasts : tuple of str
        The contrasts.
    dim : int
        Axes of the images: 2 or 3.
    device : torch.device or str, optional
        Where to compute.
    """

    numbers: list[int]
    size: int
    seed: int
    labels: list[int]
    contrasts: tuple[str, ...]
    dim: int
    device: torch.device | str | None

    def __len__(self) -> int:
        return len(self.numbers)

    def phantoms(
        self, draw: Callable[..., Phantoms], count: int, *others: Tensor | None, **options: Any
    ) -> Phantoms:
        """Return what :meth:`in_parts` gives as one, with size and contrasts among the ``options``."""
        parts = self.in_parts(draw, count, *others, size=self.size, contrasts=self.contrasts, **options)
        return Phantoms.joined(parts)

    def in_parts(
        self, draw: Callable[..., Part], count: int, *others: Tensor | None, **options: Any
    ) -> list[Part]:
        """Return ``draw(own, labels, *others, **options)`` of every ``count`` subjects, in their order.

        A few at a time, because their maps then stay in a core's cache. These are too small to be shared out
        among threads; where PyTorch has several on the CPU, each computes parts of its own.

        Parameters
        ----------
        draw : callable
            Takes the numbers of some subjects, their labels int64 ``(n,)`` and their rows of ``others``.
        count : int
            Subjects at a time.
        others : Tensor or None
            A row for each subject; what is None stays None.
        options
            What holds for all of them.
        """
        rows = (torch.tensor(self.labels), *others)

        def part(start: int) -> Part:
            few = slice(start, start + count)
            own = Subjects(self.numbers[few], self.seed, dim=self.dim, device=self.device)
            return draw(own, *(None if one is None else one[few].to(own.device) for one in rows), **options)

        starts = range(0, len(self), count)
        if torch.device(self.device or "cpu").type != "cpu":
            return [part(start) for start in starts]
        threads = torch.get_num_threads()
        at_once = min(threads, len(starts), THREADS)
        try:
            torch.set_num_threads(1)
            if at_once == 1:
                return [part(start) for start in starts]
            with ThreadPoolExecutor(at_once, initializer=torch.set_num_threads, initargs=(1,)) as pool:
                return list(pool.map(part, starts))
        finally:
            torch.set_num_threads(threads)


def checked(
    what: str,
    subjects: Iterable[int],
    *,
    size: int,
    seed: int,
    labels: Iterable[int] | None = None,
    classes: Sequence[str] = (),
    contrasts: Iterable[str] = (),
    known: Sequence[str] = (),
    dim: int = 2,
    device: torch.device | str | None = None,
) -> Asked:
    """Return what a family is asked for, or say in one sentence what is wrong with it.

    Parameters
    ----------
    what : str
        The family, as in "a head needs at least 16 pixels".
    subjects : iterable of int
        Numbers of the subjects, from 0.
    size : int
        Image side in pixels, at least 16.
    seed : int
        Seed of the population, from 0.
    labels : iterable of int, optional
        A position in ``classes`` for every subject; left out, drawn.
    classes : sequence of str
        The family's classes.
    contrasts, known : iterable of str
        What is asked for, and all that the family has.
    dim : int
        Axes of the images: 2 or 3.
    device : torch.device or str, optional
        Where to compute.

    Raises
    ------
    CourseError
        If any of it cannot be.
    """
    if dim not in (2, 3):
        raise CourseError(f"dim is {dim!r}, but a {what} comes as slices, dim=2, or as volumes, dim=3.")
    if whole("size", size) < LEAST:
        raise CourseError(f"size is {size}, but a {what} needs at least {LEAST} pixels.")
    if whole("seed", seed) < 0:
        raise CourseError(f"seed is {seed}: choose a whole number from 0.")
    numbers = [whole("Subject", number) for number in _listed("subjects", subjects)]
    if not numbers:
        raise CourseError("There are no subjects to compute: give at least one number.")
    for number in numbers:
        if not 0 <= number < 2**63:
            raise CourseError(f"Subject {number} is none: they count from 0 to {2**63 - 1}.")
    if labels is None:
        drawn = Subjects(numbers, seed, stream=LABELS).each(1, 0, len(classes))[:, 0].long()
        kinds = drawn.clamp_max(len(classes) - 1).tolist() if classes else []
    else:
        kinds = [whole("Label", label) for label in _listed("labels", labels)]
        if len(kinds) != len(numbers):
            raise CourseError(
                f"There are {len(numbers)} subjects but {len(kinds)} labels: give one for each."
            )
    for kind in kinds:
        if not 0 <= kind < len(classes):
            meant = ", ".join(f"{i} ({name})" for i, name in enumerate(classes))
            raise CourseError(f"Label {kind} is no class of this {what} phantom: choose from {meant}.")
    if isinstance(contrasts, str):
        raise CourseError(f"contrasts is {contrasts!r}: give a tuple of names, ({contrasts!r},).")
    chosen = tuple(contrasts)
    for name in chosen:
        if name not in known:
            raise CourseError(
                f"The {what} phantom has no contrast {name!r}: {did_you_mean(str(name), known)}"
            )
    return Asked(numbers, size, seed, kinds, chosen, dim, device)


def numbered(labels: Sequence[Any], first: int) -> range:
    """Return the numbers of the subjects that a ``render`` computes: one for each label, from ``first``.

    Raises
    ------
    CourseError
        If there is no list of labels, or ``first`` is no whole number.
    """
    begin = whole("first", first)
    return range(begin, begin + len(_listed("labels", labels)))


def whole(name: str, value: int) -> int:
    """Return ``value`` if it is a whole number of any integer type, not a string, a fraction or a list.

    Raises
    ------
    CourseError
        If it is not.
    """
    try:
        return operator.index(value)
    except (TypeError, ValueError):
        raise CourseError(f"{name} {value!r} is not a whole number: give one, such as 0 or 64.") from None


def within(name: str, value: float, low: float, high: float, unit: str = "") -> float:
    """Return ``value`` if it is a number from ``low`` to ``high``.

    Raises
    ------
    CourseError
        If it is not.
    """
    try:
        number = float("nan") if isinstance(value, str) else float(value)
    except (TypeError, ValueError):
        number = float("nan")
    if not low <= number <= high:
        raise CourseError(
            f"{name} is {value!r}: choose a number from {low:g} to {high:g}{unit and ' ' + unit}."
        )
    return number


def one_each(name: str, value: float | Iterable[float], n: int, low: float, high: float) -> Tensor:
    """Return float32 ``(n,)``: ``value`` for everyone if it is one number, else one for each, in [low, high].

    Raises
    ------
    CourseError
        If there are more or fewer than ``n``, or one is out of range.
    """
    listed = value.tolist() if isinstance(value, Tensor) else value
    values = list(listed) if isinstance(listed, Iterable) and not isinstance(listed, str) else [listed] * n
    if len(values) != n:
        raise CourseError(f"There are {n} subjects but {len(values)} of {name}: give one for each.")
    return torch.tensor([within(name, one, low, high) for one in values], dtype=torch.float32)


def _listed(name: str, values: Iterable[Any]) -> list[Any]:
    if not isinstance(values, Iterable):
        raise CourseError(f"{name} is {values!r}: give a list of whole numbers.")
    return list(values)


def one_of(name: str, value: int | Iterable[int] | None, n: int, choices: Sequence[Any]) -> Tensor | None:
    """Return int64 ``(n,)`` as :func:`one_each`: positions in ``choices``; None if ``value`` is.

    Raises
    ------
    CourseError
        If there are more or fewer than ``n``, or one is no position.
    """
    if value is None:
        return None
    chosen = one_each(name, value, n, 0, len(choices) - 1)
    if (chosen != chosen.round()).any():
        raise CourseError(f"{name} are whole numbers from 0 to {len(choices) - 1}.")
    return chosen.long()


def divisible(size: int, contrast: str, contrasts: Sequence[str], by: int) -> None:
    """Make sure that the pixels of a coarser ``contrast``, if it is asked for, are whole ones.

    Raises
    ------
    CourseError
        If they are not.
    """
    if contrast in contrasts and size % by:
        raise CourseError(f'size is {size}, but "{contrast}" needs a multiple of {by}.')


def bytes_of(images: Tensor) -> Tensor:
    """Return images ``(N, C, *space)`` in [-1, 1] as uint8, as files store them: -1 is 0 and 1 is 255.

    Channels come last; a single one has no axis.
    """
    return ((images + 1) * 127.5).round().to(torch.uint8).movedim(1, -1).squeeze(-1)


# Tissues
# --------------------------------------------------------------------------------------


@cache
def tissue_table(name: str) -> dict[str, dict[str, Any]]:
    """Return the values of every tissue in the data file ``tissues_<name>.toml``, with their sources.

    The order is that in which tissues cover each other.
    """
    with open(Path(__file__).parent.parent / f"tissues_{name}.toml", "rb") as file:
        return tomllib.load(file)


def columns(
    table: str,
    *names: str,
    tissues: Iterable[str] | None = None,
    device: torch.device | str | None = None,
) -> list[Tensor]:
    """Return values of ``tissues``, or of all in a table: ``(K,)`` for each name; 0 where there is none."""
    rows = tissue_table(table)
    chosen = [rows[tissue] for tissue in (rows if tissues is None else tissues)]
    return [torch.tensor([float(row.get(name, 0.0)) for row in chosen], device=device) for name in names]


def mixed(values: Tensor, tissues: Tensor) -> Tensor:
    """Return what pixels have of ``values``, ``(n, K)`` or ``(K,)``: the mean over their shares of tissues.

    Parameters
    ----------
    values : Tensor
        Of each of ``K`` tissues, of each subject or of all.
    tissues : Tensor
        ``(n, K, *space)``: the shares.

    Returns
    -------
    Tensor
        ``(n, 1, *space)``.
    """
    return torch.einsum("nk,nk...->n...", values.expand(len(tissues), -1), tissues)[:, None]


def lesion_rows(present: Tensor, *columns: Tensor) -> Tensor:
    """Return a table of lesions, float32 ``(n, M, 1 + len(columns))``: what is not present is a row of zeros.

    Parameters
    ----------
    present : Tensor
        bool ``(n, M)``; of one lesion each ``(n, 1)``, with more axes of length 1 as they come.
    columns : Tensor
        What the table says of them: of the same shape, or ``(n, 1)`` for all lesions of a subject.
    """
    n = len(present)
    rows = [column.reshape(n, -1).float() for column in (present, *columns)]
    return torch.stack(torch.broadcast_tensors(*rows), dim=-1) * rows[0][..., None]


def outline_columns(dim: int) -> tuple[str, ...]:
    """Return what :func:`outlined` tells of a lesion in an image of ``dim`` axes, as columns of a table."""
    return ("present", *"xyz"[:dim], *(f"radius_{axis}" for axis in "xyz"[:dim]))


def outlined(
    where: Tensor, fov: float | Sequence[float], middle: Sequence[float] = (0.0, 0.0, 0.0)
) -> tuple[Tensor, ...]:
    r"""Return whether anything is drawn, its centre and its semi-axes, each ``(n, 1)``.

    The semi-axes along those of the image are the ellipse's, or ellipsoid's, of the same second moments,

    .. math:: r_i = \sqrt{(d + 2)\,\mathrm{Var}(x_i)}

    with the variance of the coordinate :math:`x_i` over the drawn shape, in d dimensions.

    Parameters
    ----------
    where : Tensor
        bool ``(n, *fine)``: the drawn shape, on the grid that tissues are painted on.
    fov : float, or one for each axis
        Side of the image, or of the part of it that is given.
    middle : sequence of float
        Where the middle of that part is: x, y[, z].
    """
    dim = where.ndim - 1
    fovs = [fov] * dim if isinstance(fov, float | int) else fov
    filled = where.float()  # which adds up faster, and as exactly, below 2^24 pixels
    count = filled.flatten(1).sum(dim=1, keepdim=True)
    centres, radii = [], []
    for axis in range(dim, 0, -1):  # x first
        side, pixel = where.shape[axis], fovs[axis - 1] / where.shape[axis]
        at = (torch.arange(side, device=where.device) + 0.5 - side / 2) * pixel
        at = -at if axis == dim - 2 else at
        share = filled.sum(dim=[other for other in range(1, dim + 1) if other != axis]) / count.clamp_min(1)
        centre = (share * at).sum(dim=1, keepdim=True)
        variance = (share * (at - centre) ** 2).sum(dim=1, keepdim=True) + pixel**2 / 12  # and in a pixel
        centres.append(centre + middle[dim - axis])
        radii.append(((dim + 2) * variance).sqrt())
    return count > 0, *centres, *radii


# Random numbers, fields, and painting
# --------------------------------------------------------------------------------------


class Subjects:
    """The random numbers of some subjects, one column after the other.

    Every subject has a generator of its own on the CPU, so nobody's numbers depend on who else is computed,
    nor on the device. Its key is 128 bits of the SHA-256 of seed, subject and stream: PyTorch's own generator
    takes in 32 bits of a seed, of which two among 80,000 subjects are as likely as not to have the same.
    The order of the calls decides which number is used for what: what a family draws for one purpose alone
    (the noise of a contrast) comes from a ``stream``, so that asking for less of it does not change the rest.

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
        0 for the subject itself; any other for what is drawn apart.

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
        self._numbers = [int(number) for number in numbers]
        if not self._numbers:
            raise CourseError("There are no subjects to compute: give at least one number.")
        self.seed, self.dim, self.device = seed, dim, torch.device(device or "cpu")
        self._generators = [_generator(seed, number, stream) for number in self._numbers]
        self._waiting = np.empty((len(self), 0), dtype=np.float32)

    def __len__(self) -> int:
        return len(self._numbers)

    @property
    def numbers(self) -> Tensor:
        """The subjects, int64 ``(n,)``."""
        return torch.tensor(self._numbers, device=self.device)

    def stream(self, number: int) -> "Subjects":
        """Return the same subjects with other numbers: those of stream ``number``, from its start."""
        return Subjects(self._numbers, self.seed, dim=self.dim, device=self.device, stream=number)

    def uniform(self, low: float, high: float) -> Tensor:
        """Return one number each, ``(n, 1, 1)`` or in 3-D ``(n, 1, 1, 1)``, uniform in [low, high)."""
        return self.each(1, low, high).view(-1, *[1] * self.dim)

    def each(self, count: int, low: float, high: float) -> Tensor:
        """Return ``count`` numbers each, ``(n, count)``, uniform in [low, high)."""
        if self._waiting.shape[1] < count:
            # Many at a time, because a call costs more than the numbers.
            self._waiting = np.stack(
                [own.random(max(count, 256), dtype=np.float32) for own in self._generators]
            )
        drawn, self._waiting = self._waiting[:, :count], self._waiting[:, count:]
        # NumPy's arithmetic, because a call of PyTorch's costs more than a few numbers do.
        return torch.from_numpy(low + (high - low) * drawn).to(self.device)

    def normal(self, *shape: int) -> Tensor:
        """Return ``(n, *shape)`` from N(0, 1)."""
        drawn = [own.standard_normal(shape, dtype=np.float32) for own in self._generators]
        return torch.from_numpy(np.stack(drawn)).to(self.device)

    def field(
        self,
        count: int,
        scale: float,
        side: int | Sequence[int],
        fov: float | Sequence[float],
        extent: float | None = None,
    ) -> Tensor:
        """Return ``count`` smooth random fields each, ``(n, count, *space)``, of mean 0 and variance 1.

        Parameters
        ----------
        count : int
            Fields for each subject.
        scale : float
            Distance in mm between the points of the cubic spline: what varies varies over about twice that.
        side, fov : int, float, or one for each axis
            Pixels a side, and mm a side: the same field is sampled more or less finely.
        extent : float, optional
            Mm that the field covers, at least ``fov``: with the same extent, fields of view show parts of one
            field. Default: the widest of ``fov``.
        """
        if extent is None:
            extent = fov if isinstance(fov, float | int) else max(fov)
        points = int(extent / scale) + 4
        return smooth(self.normal(count, *[points] * self.dim), side, fov, (points - 3) * scale)


def _generator(*purpose: int) -> np.random.Generator:
    digest = hashlib.sha256("/".join(map(str, ("phantom", *purpose))).encode()).digest()
    return np.random.Generator(np.random.Philox(key=int.from_bytes(digest[:16], "little")))


def smooth(points: Tensor, side: int | Sequence[int], fov: float | Sequence[float], width: float) -> Tensor:
    """Return smooth fields ``(n, c, *space)`` of variance 1 from normal numbers ``(n, c, g, g[, g])``.

    Cubic B-splines through a grid of ``g`` points an axis, whose inner ``g - 3`` cells are ``width`` mm wide,
    sampled at ``side`` pixels of ``fov`` mm, or one of each for every axis.
    """
    dim = points.ndim - 2
    sides = [side] * dim if isinstance(side, int) else side
    fovs = [fov] * dim if isinstance(fov, float | int) else fov
    fields = points
    for axis, pixels, mm in zip(range(2, points.ndim), sides, fovs, strict=True):
        basis = _splines(points.shape[-1], pixels, mm, width).to(points)
        # The squared weights of a cubic B-spline add up to 151/315 on average, in each direction.
        fields = (fields.movedim(axis, -1) @ basis.T).mul_((315 / 151) ** 0.5).movedim(-1, axis)
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


def shares(painted: Tensor, kinds: int, factor: int | Sequence[int]) -> Tensor:
    """Return the share of each of ``kinds`` tissues in every pixel, float32 ``(n, kinds, *space)``.

    Parameters
    ----------
    painted : Tensor
        uint8 ``(n, *fine)``: the tissue of every fine pixel.
    kinds : int
        Number of tissues.
    factor : int, or one for each axis
        Fine pixels a pixel has along the axes.
    """
    n, *fine = painted.shape
    factors = [factor] * len(fine) if isinstance(factor, int) else list(factor)
    space = [side // times for side, times in zip(fine, factors, strict=True)]
    cells = torch.arange(n * torch.Size(space).numel(), device=painted.device).view(n, *space) * kinds
    for axis, times in enumerate(factors, 1):
        cells = cells.repeat_interleave(times, dim=axis)
    counts = torch.bincount((cells + painted).flatten(), minlength=n * torch.Size(space).numel() * kinds)
    counted = counts.view(n, *space, kinds).movedim(-1, 1)
    # In one pass, to numbers that lie in their order.
    return counted.to(torch.float32, memory_format=torch.contiguous_format).div_(math.prod(factors))
