r"""HEAD2D: an axial slice through a head, computed, with everything that is true of it.

Every subject has its own size, shape, folding, slice level, atrophy and texture; some have lesions like those
of multiple sclerosis, some a tumour. Tissues are painted on a grid finer than the image, their shares in
every pixel are counted, and the signal equations of :mod:`medgan_course.data.signal` turn the shares into T1,
T1 with gadolinium, T2, PD, FLAIR and CT. Coil sensitivity and noise come last.

The folded cortex is built from distances. A sulcus is a line from the surface inwards; with :math:`p` the
distance to the nearest of surface and sulci, less half the width of the sulcus,

.. math:: p < 0: \text{fluid},\qquad 0 \le p < t: \text{grey matter},\qquad p \ge t: \text{white matter},

so the grey ribbon has the same thickness :math:`t` along every fold, as in a brain, and atrophy widens sulci
and ventricles and thins the ribbon. The lines are bent by random fields.

Positions are in mm: x to the right of the image, which is the patient's left; y down, towards the back of the
head. No result on it says anything about patients.
"""

import math
import tomllib
from collections.abc import Sequence
from dataclasses import dataclass
from functools import cache
from pathlib import Path

import torch
from torch import Tensor

from medgan_course.data import signal
from medgan_course.errors import CourseError, did_you_mean

FOV = 220.0  # mm, the side of the image
CONTRASTS = ("t1", "t2", "pd", "flair", "ct")
CT_WINDOW = (-1000.0, 1500.0)  # HU that become -1 and 1
RELAXIVITY = 4.5e-3  # of gadolinium at 1.5 T, l / (mmol ms); to be confirmed
MAX_LESIONS = 10

DRAWS = 384  # random numbers an anatomy may use
CHUNK = 8  # subjects at a time: the maps of one chunk stay in a core's cache
FINE = 160  # the least side of the grid on which tissues are painted

T1 = {
    "tr": 2000.0,
    "te": 4.0,
    "ti": 900.0,
}  # inversion recovery, as the usual three-dimensional T1 images of brains
T1GD = {"tr": 450.0, "te": 10.0}  # spin echo
T2 = {"tr": 4000.0, "te": 100.0}
PD = {"tr": 3000.0, "te": 15.0}
FLAIR = {"tr": 9000.0, "te": 100.0}  # TI: the null of cerebrospinal fluid


@dataclass(frozen=True, eq=False)
class Heads:
    """Slices through heads, and all that is true of them.

    Attributes
    ----------
    images : dict of str to Tensor
        float32 ``(N, 1, size, size)`` in [-1, 1] for each contrast. MR: no signal is -1, :func:`maximum` is
        1, for all subjects. CT: the ends of :data:`CT_WINDOW` are -1 and 1.
    tissues : Tensor
        float32 ``(N, K, size, size)``: the share of each of :data:`TISSUES` in every pixel; adds up to 1.
    label : Tensor
        int64 ``(N, size, size)``: the tissue with the largest share.
    lesion : Tensor
        bool ``(N, 1, size, size)``: where at least half of the pixel is lesion, tumour, necrosis or oedema.
    lesions : Tensor
        float32 ``(N, MAX_LESIONS, 7)``, a row for each lesion: 1 if present, side (1 right of the image, -1
        left), its centre's distance outwards from the midline of the lateral ventricle and its y, its
        semi-axes in these two directions (mm), and its strength in [0, 1], the share of white matter that is
        changed. Only the part in white matter is seen.
    severity : Tensor
        float32 ``(N,)``: atrophy in [0, 1].
    level : Tensor
        float32 ``(N,)``: 0 at the basal ganglia, 1 above the ventricles.
    subject : Tensor
        int64 ``(N,)``: the subjects' numbers.
    seed : int
        Seed of the population.
    """

    images: dict[str, Tensor]
    tissues: Tensor
    label: Tensor
    lesion: Tensor
    lesions: Tensor
    severity: Tensor
    level: Tensor
    subject: Tensor
    seed: int


@cache
def table() -> dict[str, dict[str, float]]:
    """Return proton density, T1, T2 (ms), HU and uptake of gadolinium (mmol/l) of every tissue."""
    with open(Path(__file__).parent.parent / "tissues.toml", "rb") as file:
        return tomllib.load(file)


TISSUES = tuple(table())
(
    AIR, SKIN, FAT, MUSCLE, MARROW, BONE, NECROSIS, TUMOUR, OEDEMA, LESION, VENTRICLE, CSF, NUCLEI, GREY,
    WHITE,
) = range(len(TISSUES))  # fmt: skip
PATHOLOGY = (LESION, TUMOUR, NECROSIS, OEDEMA)
HEALTHY_BRAIN = (CSF, VENTRICLE, GREY, NUCLEI, WHITE)


def heads(
    subjects: Sequence[int],
    *,
    size: int,
    seed: int,
    contrasts: Sequence[str] = CONTRASTS,
    lesions: Sequence[bool] | bool = False,
    tumour: Sequence[bool] | bool = False,
    severity: Sequence[float] | None = None,
    stripped: bool = False,
    fov: float = FOV,
) -> Heads:
    """Compute one slice of every subject.

    Subject ``i`` of ``seed`` is the same person whatever the size, the batch, the order of calls or the
    contrasts; lesions, tumour and severity change nothing else about them, so a subject can be had ill and
    well.

    Parameters
    ----------
    subjects : sequence of int
        Numbers of the subjects, from 0.
    size : int
        Image side in pixels, at least 16.
    seed : int
        Seed of the population.
    contrasts : sequence of str
        Some of "t1", "t1gd", "t2", "pd", "flair", "ct".
    lesions : bool, or one for each subject
        Whether there are lesions like those of multiple sclerosis.
    tumour : bool, or one for each subject
        Whether there is a tumour with oedema, which pushes its surroundings away.
    severity : sequence of float, optional
        Atrophy of each subject in [0, 1]; left out, everyone has their own.
    stripped : bool
        Leave out all that is not brain or fluid around it, and scale MR by the brain's strongest tissue.
    fov : float
        Side of the image in mm.

    Returns
    -------
    Heads
        Images and truth.

    Raises
    ------
    CourseError
        If there is no such contrast, the size is too small, or there is nobody.
    """
    for name in contrasts:
        if name not in (*_MR, "ct"):
            raise CourseError(
                f"The head phantom has no contrast {name!r}: {did_you_mean(name, (*_MR, 'ct'))}"
            )
    if size < 16:
        raise CourseError(f"size is {size}, but a head needs at least 16 pixels.")
    numbers = torch.as_tensor(list(subjects), dtype=torch.int64)
    n = len(numbers)
    if n == 0:
        raise CourseError("There are no subjects to compute: give at least one number.")
    ill, swollen = (
        torch.as_tensor([flag] * n if isinstance(flag, bool) else list(flag), dtype=torch.bool)
        for flag in (lesions, tumour)
    )
    given = None if severity is None else torch.as_tensor(list(severity), dtype=torch.float32)
    chunks = []
    for start in range(0, n, CHUNK):
        part = slice(start, start + CHUNK)
        own = None if given is None else given[part]
        chunks.append(
            _render(numbers[part], ill[part], swollen[part], own, size, seed, contrasts, stripped, fov)
        )
    images = {name: torch.cat([chunk.images[name] for chunk in chunks]) for name in contrasts}
    truth = ("tissues", "label", "lesion", "lesions", "severity", "level", "subject")
    joined = {name: torch.cat([getattr(chunk, name) for chunk in chunks]) for name in truth}
    return Heads(images=images, seed=seed, **joined)


def render(labels: Sequence[int], *, size: int, seed: int, first: int = 0) -> tuple[Tensor, Tensor]:
    """Compute what stands in for slices of skull-stripped brains: one subject for every label.

    Parameters
    ----------
    labels : sequence of int
        1 for a brain with lesions, 0 for one without.
    size : int
        Image side in pixels, of 192 mm.
    seed : int
        Seed of the population.
    first : int
        Number of the first subject.

    Returns
    -------
    images : Tensor
        uint8 ``(N, size, size, 4)``: T1, T1 with gadolinium, T2, FLAIR.
    lesion : Tensor
        bool ``(N, size, size)``.
    """
    made = heads(
        range(first, first + len(labels)),
        size=size,
        seed=seed,
        contrasts=("t1", "t1gd", "t2", "flair"),
        lesions=[label == 1 for label in labels],
        stripped=True,
        fov=192.0,
    )
    grey = torch.cat(list(made.images.values()), dim=1).movedim(1, -1)
    return ((grey + 1) * 127.5).round().to(torch.uint8), made.lesion[:, 0]


# Tissue shares to signal
# --------------------------------------------------------------------------------------


def _columns(*names: str) -> list[Tensor]:
    return [torch.tensor([tissue.get(name, 0.0) for tissue in table().values()]) for name in names]


def _t1(rho: Tensor, t1: Tensor, t2: Tensor) -> Tensor:
    return signal.inversion_recovery(rho, t1, t2, **T1)


def _t1gd(rho: Tensor, t1: Tensor, t2: Tensor) -> Tensor:
    (uptake,) = _columns("uptake")
    return signal.spin_echo(rho, signal.enhanced_t1(t1, uptake, relaxivity=RELAXIVITY), t2, **T1GD)


def _t2(rho: Tensor, t1: Tensor, t2: Tensor) -> Tensor:
    return signal.spin_echo(rho, t1, t2, **T2)


def _pd(rho: Tensor, t1: Tensor, t2: Tensor) -> Tensor:
    return signal.spin_echo(rho, t1, t2, **PD)


def _flair(rho: Tensor, t1: Tensor, t2: Tensor) -> Tensor:
    ti = signal.null_time(table()["csf"]["t1"], FLAIR["tr"])
    return signal.inversion_recovery(rho, t1, t2, ti=ti, **FLAIR)


_MR = {"t1": _t1, "t1gd": _t1gd, "t2": _t2, "pd": _pd, "flair": _flair}


@cache
def maximum(contrast: str, *, stripped: bool = False) -> float:
    """Return the MR signal that becomes 1: that of the strongest tissue.

    Images of the brain alone are scaled by healthy tissue, or by a tumour that takes up gadolinium, with a
    tenth to spare; a lesion may be brighter than that and is clipped, as in the scans they stand in for.
    """
    strength = _MR[contrast](*_columns("pd", "t1", "t2"))
    if stripped:
        return 1.1 * strength[[*HEALTHY_BRAIN, *([TUMOUR] if contrast == "t1gd" else [])]].max().item()
    return strength.max().item()


def _render(
    numbers: Tensor,
    ill: Tensor,
    swollen: Tensor,
    severity: Tensor | None,
    size: int,
    seed: int,
    contrasts: Sequence[str],
    stripped: bool,
    fov: float,
) -> Heads:
    n, factor = len(numbers), -(-FINE // size)
    # Only the lower 32 bits of a generator's seed count.
    keys = [seed * 1_000_003 + number for number in numbers.tolist()]
    generators = [torch.Generator().manual_seed(key) for key in keys]

    def drawn(*shape: int) -> Tensor:
        return torch.stack([torch.randn(*shape, generator=generator) for generator in generators])

    uniform = _Uniform(torch.stack([torch.rand(DRAWS, generator=generator) for generator in generators]))
    fields = _Fields(drawn(2, 7, 7), drawn(3, 17, 17), drawn(2, 26, 26), size * factor, fov)
    varied = drawn(3, len(TISSUES))
    texture, coil = (_smooth(drawn(len(_MR) + 1, g, g), size, fov).split(1, dim=1) for g in (14, 4))
    sigma = uniform(0.008, 0.02)[:, None]

    own = uniform(0, 1)
    severity = own if severity is None else severity[:, None, None]
    level = uniform(0, 1)
    lesions = _lesions(uniform, ill)
    painted, inside = _anatomy(uniform, fields, severity, level, lesions, swollen, size * factor, fov)

    kinds = len(TISSUES)
    pixel = torch.arange(n * size * size).view(n, size, 1, size, 1)
    index = pixel * kinds + painted.view(n, size, factor, size, factor)
    counts = torch.bincount(index.flatten(), minlength=n * size * size * kinds).view(n, size, size, kinds)
    tissues = counts.movedim(-1, 1).to(torch.float32, memory_format=torch.contiguous_format) / factor**2
    brain = inside.view(n, 1, size, factor, size, factor).float().mean(dim=(3, 5))

    # A lesion is partly still white matter.
    strength = lesions[:, :1, 6, None]
    seen = tissues.clone()
    seen[:, WHITE] += (1 - strength) * tissues[:, LESION]
    seen[:, LESION] *= strength

    images = {}
    for stream, name in enumerate((*_MR, "ct")):
        if name not in contrasts:
            continue
        # Every contrast has a generator of its own, so its noise does not depend on which others are wanted.
        own_noise = [torch.Generator().manual_seed(~key * 8 + stream) for key in keys]
        noise = torch.stack([torch.randn(2, 1, size, size, generator=g) for g in own_noise], dim=1)
        if name == "ct":
            images[name] = _ct(seen, brain, texture[stream], noise[0], stripped)
            continue
        rho, t1, t2 = _columns("pd", "t1", "t2")
        rho = rho * torch.exp(0.01 * varied[:, 0])
        t1, t2 = t1 * torch.exp(0.03 * varied[:, 1]), t2 * torch.exp(0.03 * varied[:, 2])
        clean = torch.einsum("nk,nkhw->nhw", _MR[name](rho, t1, t2), seen)[:, None]
        clean = clean * (1 + 0.025 * texture[stream]) / maximum(name, stripped=stripped)
        measured = signal.rician(signal.biased(clean, 0.05 * coil[stream]), noise, sigma=sigma)
        images[name] = signal.window(measured * brain if stripped else measured, 0, 1)

    return Heads(
        images=images,
        tissues=tissues,
        label=counts.argmax(dim=-1),
        lesion=tissues[:, PATHOLOGY].sum(dim=1, keepdim=True) >= 0.5,
        lesions=lesions,
        severity=severity[:, 0, 0],
        level=level[:, 0, 0],
        subject=numbers,
        seed=seed,
    )


def _ct(tissues: Tensor, brain: Tensor, texture: Tensor, noise: Tensor, stripped: bool) -> Tensor:
    (hu,) = _columns("hu")
    values = torch.einsum("k,nkhw->nhw", hu, tissues)[:, None] + 1.5 * brain * texture + 6 * noise
    return signal.window(brain * (values + 1000) - 1000 if stripped else values, *CT_WINDOW)


# Anatomy
# ------------------------------------------------------------------------------------------------------


@cache
def _splines(points: int, side: int, fov: float) -> Tensor:
    """Return cubic B-splines ``(side, points)`` at the pixel centres; the grid of points is 250 mm wide."""
    position = ((torch.arange(side) + 0.5) / side - 0.5) * fov / 250 * (points - 3) + (points - 1) / 2
    t = (position[:, None] - torch.arange(points)).abs()
    return torch.where(t < 1, 2 / 3 - t**2 + t**3 / 2, (2 - t).clamp_min(0) ** 3 / 6)


def _smooth(grid: Tensor, side: int, fov: float) -> Tensor:
    """Return smooth fields ``(n, c, side, side)`` of variance 1 from normal numbers ``(n, c, g, g)``."""
    basis = _splines(grid.shape[-1], side, fov)
    # The squared weights of a cubic B-spline add up to 151/315 on average, in each direction.
    return basis @ (grid * (315 / 151)) @ basis.T


class _Uniform:
    """A subject's random numbers, one column after the other: ``uniform(low, high)`` is ``(n, 1, 1)``."""

    def __init__(self, columns: Tensor) -> None:
        self.columns, self.used = columns, 0

    def __call__(self, low: float, high: float) -> Tensor:
        return self.each(1, low, high)[:, :, None]

    def each(self, count: int, low: float, high: float) -> Tensor:
        """Return ``(n, count)``."""
        self.used += count
        return low + (high - low) * self.columns[:, self.used - count : self.used]


class _Fields:
    """Random fields of each subject: two that vary over 60 mm, three over 25 mm, two over 12 mm."""

    def __init__(self, broad: Tensor, middle: Tensor, fine: Tensor, side: int, fov: float) -> None:
        self.broad = _smooth(broad, side, fov).unbind(1)
        self.middle = _smooth(middle, side, fov).unbind(1)
        self.fine = _smooth(fine, side, fov).unbind(1)


def _bump(distance: Tensor) -> Tensor:
    return torch.exp(-(distance**2).clamp_max(60))


def _paint(painted: Tensor, where: Tensor, tissue: int) -> None:
    """Cover what is ``where`` with ``tissue``, in place; many times faster than a masked fill."""
    torch.minimum(painted, where.view(torch.uint8).sub(1).bitwise_or_(tissue), out=painted)


def _sum(start: Tensor, *terms: tuple[float, Tensor]) -> Tensor:
    """Return start + a b + ... in one pass over the pixels for each term."""
    for factor, field in terms:
        start = torch.add(start, field, alpha=factor)
    return start


def _square(x: Tensor, y: Tensor) -> Tensor:
    return torch.addcmul(x * x, y, y)


def _ellipse(x: Tensor, y: Tensor, a: Tensor, b: Tensor, tilt: float) -> Tensor:
    """Return the squared radius in semi-axes: below 1 inside."""
    c, s = math.cos(tilt), math.sin(tilt)
    return _square(torch.add(x * c, y, alpha=s) / a, torch.add(y * c, x, alpha=-s) / b)


def _lesions(uniform: _Uniform, ill: Tensor) -> Tensor:
    """Return the table ``(n, MAX_LESIONS, 7)`` of :class:`Heads`; whoever is ill has at least one."""
    load, strength = uniform(0.25, 1.0), uniform(0.55, 1.0)
    rows = []
    for number in range(MAX_LESIONS):
        present = ((uniform(0, 1) < load) | (number == 0)) & ill[:, None, None]
        side = torch.where(uniform(0, 1) < 0.5, -1.0, 1.0)
        place, shape = (2 + 22 * uniform(0, 1) ** 2, uniform(-36, 44)), (uniform(2.5, 8.5), uniform(2.0, 5.0))
        rows.append(torch.stack([present.float(), side, *place, *shape, strength], dim=-1)[:, 0, 0])
    return torch.stack(rows, dim=1)


def _anatomy(
    uniform: _Uniform, fields: _Fields, severity: Tensor, level: Tensor,
    lesions: Tensor, swollen: Tensor, side: int, fov: float,
) -> tuple[Tensor, Tensor]:  # fmt: skip
    """Return the tissue of every fine pixel ``(n, side, side)``, and where the brain and its fluid are."""
    centres = ((torch.arange(side) + 0.5) / side - 0.5) * fov
    v, u = torch.meshgrid(centres, centres, indexing="ij")
    angle = uniform(-1, 1) ** 3 * 0.15
    u, v = u + uniform(-4, 4), v + uniform(-4, 4)
    x, y = u * angle.cos() - v * angle.sin(), u * angle.sin() + v * angle.cos()

    # A tumour pushes the anatomy away: what is at a point was nearer to the tumour's centre before.
    radius = uniform(9, 19)
    tx, ty = torch.where(uniform(0, 1) < 0.5, -1.0, 1.0) * uniform(22, 38), uniform(-38, 40)
    give = uniform(0.15, 0.4)
    if swollen.any():
        dx, dy = x - tx, y - ty
        from_tumour = (dx**2 + dy**2).sqrt()
        push = (
            give * radius * _bump(from_tumour / (2.2 * radius)) * swollen[:, None, None] / (from_tumour + 3)
        )
        x, y = x - push * dx, y - push * dy

    broad_x, broad_y = fields.broad
    fine_x, fine_y, other = fields.middle
    rough, rougher = fields.fine
    x, y = _sum(x, (2.4, broad_x), (0.7, fine_y)), _sum(y, (2.4, broad_y), (0.7, fine_x))

    # The surface of the brain: an egg, blunter behind, smaller in higher slices; d is the depth below it.
    a = uniform(59, 67) * (1 - 0.2 * level**2)
    b = uniform(74, 84) * (1 - 0.17 * level**2)
    along = y / b
    egg = x / (a * (1 + uniform(0.03, 0.11) * along))
    r = (x**2 + y**2).sqrt() + 1e-3
    d = r / (egg**2 + along**2).sqrt().clamp_min(1e-3) - r

    pial = _pial_distance(uniform, x, y, r, d, fine_x, fine_y, rough, rougher, severity, level)
    thickness = _sum(uniform(2.8, 3.5) - 0.5 * severity, (0.35, rough))
    painted = torch.full(pial.shape, WHITE, dtype=torch.uint8)
    _paint(painted, pial < thickness, GREY)

    ventricle, middle = _ventricles(uniform, _sum(x, (0.8, fine_x)), _sum(y, (0.8, fine_y)), severity, level)
    # Deep grey matter beside the ventricles, in low slices.
    low = (1.15 - 2.2 * level).clamp(0, 1)
    across = _sum(x.abs(), (1.2, rough))
    growth = 1 + 0.25 * other
    wide = low.sqrt()
    # Thalamus, caudate nucleus, putamen: centre, semi-axes, tilt.
    for cx, cy, sa, sb, tilt in ((12, 8, 7.5, 12, 0.35), (12, -19, 4.6, 9, -0.3), (25, -4, 5.5, 15, -0.22)):
        inside = _ellipse(
            across - cx * uniform(0.95, 1.05) - 3 * severity,
            y - cy * uniform(0.9, 1.1),
            sa * wide,
            sb * wide,
            tilt,
        )
        _paint(painted, (inside < growth) & (low > 0.05), NUCLEI)
    _paint(painted, pial < 0, CSF)
    _paint(painted, ventricle, VENTRICLE)

    # Lesions beside the ventricles, in white matter only, with ragged edges.
    if lesions[:, :, 0].any():
        found = torch.zeros_like(ventricle)
        # Distance outwards from the ventricle, the sides 200 mm apart so that a lesion is on one of them.
        outwards = x.abs() - middle + 100
        outwards = torch.where(x > 0, outwards, -outwards)
        edge = _sum(0.35 * rough + 1, (0.25, other))
        for row in lesions.unbind(1):
            present, half, lx, ly, la, lb, _ = row[:, :, None, None].unbind(1)
            near = ((outwards - half * (lx + 100)) / la).square_().add_(((y - ly) / lb).square_())
            found |= (near < edge).logical_and_(present > 0)
        _paint(painted, found.logical_and_(painted == WHITE), LESION)

    # A tumour: dead centre, living rim, and oedema that spreads along white matter.
    soak, core = uniform(1.4, 2.1), uniform(0.3, 0.75)
    if swollen.any():
        near = from_tumour / radius + 0.1 * rough + 0.08 * fine_x
        affected = swollen[:, None, None] & (pial > 0) & ~ventricle
        _paint(painted, affected & (painted == WHITE) & (near < soak + 0.25 * other), OEDEMA)
        _paint(painted, affected & (near < 1), TUMOUR)
        _paint(painted, affected & (near < core), NECROSIS)

    # Around the brain: fluid, skull with marrow between its tables, muscle at the temples, fat, skin.
    gap = _sum(uniform(1.2, 2.6) + 2.0 * severity**1.5, (0.4, fine_y))
    skull = gap + uniform(5, 7.5) + 0.5 * broad_x.abs()
    table_thickness = uniform(1.6, 2.2)
    temple = (
        uniform(5, 11) * (1 - 1.4 * level).clamp_min(0) * _bump((y + 20) / 26) * (x.abs() / a).clamp_max(1)
    )
    muscle = skull + temple
    fat = muscle + uniform(2.5, 6.5) * (1 + 0.12 * other).clamp_min(0.3)
    out = -d
    _paint(painted, out > gap, BONE)
    spongy = (out > gap + table_thickness) & (out < skull - table_thickness + 0.5 * rough)
    _paint(painted, spongy, MARROW)
    _paint(painted, out > skull, MUSCLE)
    _paint(painted, out > muscle, FAT)
    _paint(painted, out > fat, SKIN)
    _paint(painted, out > fat + 1.9, AIR)
    return painted, out < 0.3


def _pial_distance(
    uniform: _Uniform, x: Tensor, y: Tensor, r: Tensor, d: Tensor,
    fine_x: Tensor, fine_y: Tensor, rough: Tensor, rougher: Tensor, severity: Tensor, level: Tensor,
) -> Tensor:  # fmt: skip
    """Return the distance in mm to the nearest of surface, sulci and fissures, less half their width."""
    # The folds: sulci wander by a centimetre, and their walls are uneven.
    bent_x, bent_y = _sum(x, (3.8, fine_x), (1.3, rough)), _sum(y, (3.8, fine_y), (1.3, rougher))

    def of(values: Tensor, cell: Tensor) -> Tensor:
        return values.gather(1, cell.flatten(1)).view_as(cell)

    # Two rings of sulci that run inwards, the second between the sulci of the first and shallower.
    ring = 22
    turn = torch.atan2(bent_y, bent_x) / (2 * math.pi) * ring
    lines = torch.full_like(x, 99.0)
    for shift, low, high in ((0.0, 9.0, 27.0), (0.5, -4.0, 13.0)):
        position = torch.remainder(turn + shift, ring)
        cell = position.long().clamp_max(ring - 1)
        sideways = (
            (position - cell - 0.5 - of(uniform.each(ring, -0.16, 0.16), cell)) * (2 * math.pi / ring) * r
        )
        end = of(uniform.each(ring, low, high), cell)
        lines = torch.minimum(lines, _square(sideways, (d - end).clamp_min_(0)))
        # Some fork: an arc along the surface, part of the way down.
        fork = of(uniform.each(ring, 6, 24), cell)
        slope = of(uniform.each(ring, -0.9, 0.9), cell)
        aside = sideways.abs()
        # A fork below the end of its sulcus is none.
        down = torch.addcmul(d - torch.where(fork > end + 1, -99.0, fork), slope, aside).add_(fine_y)
        lines = torch.minimum(lines, _square(down, (aside - uniform(3, 6)).clamp_min_(0)))

    # The fissure between the hemispheres, in front of and behind the corpus callosum, above it everywhere.
    callosum = uniform(36, 42) * (1 - ((level - 0.62) / 0.14).clamp(0, 1))
    below = (callosum - (y + uniform(-4, 4)).abs()).clamp_min(0)
    midline = _sum(x, (0.8, fine_x), (0.4, rough))
    lines = torch.minimum(lines, _square(midline, below))
    # Sulci that leave it sideways.
    spacing, rows = 15.0, 14
    position = ((bent_y + torch.where(x > 0, uniform(0, 15), uniform(0, 15))) / spacing + rows / 2).clamp(
        0, rows - 1e-3
    )
    cell = position.long()
    sideways = (position - cell - 0.5) * spacing
    cell = cell + rows * (x > 0)
    beyond = (x.abs() - of(uniform.each(2 * rows, -5, 13), cell)).clamp_min(0)
    lines = torch.minimum(lines, _square(sideways, beyond).add_(below * below))

    # The lateral fissure and the insula behind it, in low slices.
    reach = uniform(19, 25)
    absent = 60 * (level - 0.42).clamp_min(0)
    stem = (bent_y + uniform(8, 16)) ** 2 + (d - reach).clamp_min(0) ** 2
    along = ((bent_y - uniform(-4, 2)).abs() - uniform(12, 17)).clamp_min(0)
    insula = (d - reach + 1.2 * fine_x) ** 2 + along**2
    lines = torch.minimum(lines, torch.minimum(stem, insula) + absent**2)

    half_width = uniform(0.35, 0.8) + 1.0 * severity**1.5 + (1.1 + severity) * torch.exp(-d.clamp_min(0) / 3)
    return torch.minimum(d, lines.sqrt() - half_width)


def _ventricles(
    uniform: _Uniform, x: Tensor, y: Tensor, severity: Tensor, level: Tensor
) -> tuple[Tensor, Tensor]:
    """Return where the lateral and third ventricles are, and the lateral ones' midline |x|."""
    wide = uniform(0.75, 1.1) * (1 + 1.3 * severity)
    body = (1 - (level - 0.45).abs() / 0.3).clamp(0, 1)
    front, back = (1 - level / 0.7).clamp(0, 1).sqrt(), (1 - level / 0.6).clamp(0, 1).sqrt()
    width = torch.maximum(
        torch.maximum(
            uniform(3.0, 4.2) * front * _bump((y + uniform(19, 23)) / uniform(10, 13)),
            uniform(4.0, 5.6) * back * _bump((y - uniform(27, 34)) / uniform(10, 14)),
        ),
        uniform(4.5, 5.8) * body * torch.sigmoid((30 - (y - 2).abs()) / 3),
    )
    width = wide * width * torch.where(x > 0, uniform(0.85, 1.15), uniform(0.85, 1.15)) - 0.8
    middle = (
        3.2
        + 2.6 * wide
        + uniform(7, 11) * ((-y - 8) / 24).clamp_min(0) ** 2
        + uniform(9, 15) * ((y - 4) / 32).clamp_min(0) ** 2 * (1.2 - 0.5 * level)
    )
    lateral = (x.abs() - middle).abs() < width
    third = (x.abs() < (0.8 + 1.3 * wide) * (1 - ((y - 4) / 12) ** 2)) & (level < 0.26)
    return (lateral & (width > 0.8)) | third, middle
