r"""HEAD2D and HEAD3D: an axial slice through a head, or the whole head, with all that is true of it.

Every subject has its own size, shape, folding, atrophy and texture, in 2-D also its own slice level; some
have lesions like those of multiple sclerosis, some a tumour. Tissues are painted on a grid finer than the
image, their shares in every pixel are counted, and the equations of :mod:`medgan_course.data.signal` turn
the shares into T1, T1 with gadolinium, T2, PD, FLAIR, gradient echo, CT and PET. Coil sensitivity and noise
come last.

The folded cortex is built from distances. A sulcus is a line (in 3-D a sheet) from the surface inwards; with
:math:`p` the distance to the nearest of surface and sulci, less half the width of the sulcus,

.. math:: p < 0: \text{fluid},\qquad 0 \le p < t: \text{grey matter},\qquad p \ge t: \text{white matter},

so the grey ribbon has the same thickness :math:`t` along every fold, as in a brain, and atrophy widens sulci
and ventricles and thins the ribbon. The depth below the surface :math:`\rho = 1` of the cerebrum is measured
towards its centre,

.. math::
    d = r\,(1/\rho - 1), \qquad
    \rho^2 = \Bigl(\frac x{a\,(1 + \epsilon y/b)}\Bigr)^2 + \Bigl(\frac yb\Bigr)^2 + \Bigl(\frac zc\Bigr)^2 ,

with the distance :math:`r` from the centre, semi-axes a, b, c and the egg's bluntness :math:`\epsilon`; a
slice is the plane of one z. Its sulci are rings of lines that fork. Those of the volume are the sheets on
which a random function f of the direction from the centre vanishes; to first order their
distance is :math:`|f| / |\nabla f|`.

Positions are in mm: x to the right of the image, which is the patient's left; y down, towards the back of
the head; z up, 0 at the basal ganglia. No result on it says anything about patients.
"""

import math
from collections.abc import Iterable, Sequence
from copy import copy
from dataclasses import dataclass
from functools import cache
from typing import TypeVar

import torch
from torch import Tensor
from torch.nn.functional import grid_sample

from medgan_course.data import signal
from medgan_course.data.phantom.common import (
    Phantoms,
    Subjects,
    bump,
    bytes_of,
    checked,
    columns,
    fineness,
    grid,
    lesion_rows,
    mixed,
    numbered,
    one_each,
    outline_columns,
    outlined,
    paint,
    shares,
    smooth,
    tissue_table,
    within,
)  # fmt: skip
from medgan_course.data.scale import Scale

Maps = TypeVar("Maps", "_Head", "_Below")

FOV = 220.0  # mm, the side of the image
USUAL = ("t1", "t2", "pd", "flair", "ct")
CT_SCALES = {"ct": Scale(-1000.0, 1500.0, "HU"), "ct_brain": Scale(0.0, 80.0, "HU")}
MR_SCALE = Scale(0.0, 1.0, "of the strongest tissue's signal")
PET_SCALE = Scale(0.0, 1.2, "of the strongest healthy tissue's uptake")
RELAXIVITY = 4.5e-3  # of gadolinium at 1.5 T, l / (mmol ms); to be confirmed
MAX_LESIONS = 10

EXTENT = 250.0  # mm, what the random fields cover, so that a subject is the same in every field of view
FOVS = (20.0, EXTENT)
CHUNK = {2: 8, 3: 1}  # subjects at a time: the maps of one chunk stay in a core's cache
FINE = {2: 160, 3: 64}  # the least side of the grid on which tissues are painted
SURFACE = 100  # voxels a side of the fields that the surface of the volume is looked up in
SLICES = 40.0  # mm from the lowest slice of HEAD2D, at the basal ganglia, to the highest

T1 = {
    "tr": 2000.0,
    "te": 4.0,
    "ti": 900.0,
}  # inversion recovery, as the usual three-dimensional T1 images of brains
T1GD = {"tr": 450.0, "te": 10.0}  # spin echo
T2 = {"tr": 4000.0, "te": 100.0}
PD = {"tr": 3000.0, "te": 15.0}
FLAIR = {"tr": 9000.0, "te": 100.0}  # TI: the null of cerebrospinal fluid
GRE = {"tr": 600.0, "te": 40.0, "flip": math.radians(20)}
PET = {"fwhm": 5.0, "counts": 8.0}  # mm; counts in a mm³ of activity 1
THICK = 4.0  # mm of head that a slice of PET counts


TISSUES = tuple(tissue_table("head"))
(
    AIR, SKIN, FAT, MUSCLE, MARROW, BONE, NECROSIS, TUMOUR, OEDEMA, LESION, VENTRICLE, CSF, NUCLEI, GREY,
    WHITE,
) = range(len(TISSUES))  # fmt: skip
PATHOLOGY = (LESION, TUMOUR, NECROSIS, OEDEMA)
HEALTHY_BRAIN = (CSF, VENTRICLE, GREY, NUCLEI, WHITE)
CLASSES = ("no lesions", "lesions")
KINDS = ("plaque", "tumour")
LESION_COLUMNS = {dim: (*outline_columns(dim), "kind", "strength") for dim in (2, 3)}


def phantoms(
    subjects: Iterable[int],
    *,
    size: int,
    seed: int,
    labels: Iterable[int] | None = None,
    contrasts: Sequence[str] = USUAL,
    dim: int = 2,
    fov: float = FOV,
    device: torch.device | str | None = None,
    tumour: Iterable[bool] | bool = False,
    severity: float | Iterable[float] | None = None,
    stripped: bool = False,
) -> Phantoms:
    """Compute one slice of every subject, or the whole head, which their slice is not one of.

    Lesions, tumour and severity change nothing else about a subject, so one can be had ill and well; nor does
    ``stripped``.

    Parameters
    ----------
    subjects, size, seed, labels, dim, device
        As of all families; see :mod:`medgan_course.data.phantom.common`.
    contrasts : sequence of str
        Some of "t1", "t1gd", "t2", "pd", "flair", "gre", "ct" (-1000 to 1500 HU), "ct_brain" (the same
        scan in the window of the brain, 0 to 80 HU), "fdg" (PET of the glucose that is used) and "myelin"
        (PET of a tracer that binds to myelin).
    fov : float
        Side of the image in mm, from 20 to 250.
    tumour : bool, or one for each subject
        Whether there is a tumour with oedema, which pushes its surroundings away.
    severity : float, or one for each subject, optional
        Atrophy in [0, 1], which also lowers the glucose used by the cortex, most at the back
        and sides; left out, everyone has their own.
    stripped : bool
        Leave out all that is not brain or fluid around it, and scale MR by the brain's strongest tissue.

    Returns
    -------
    Phantoms
        Images and truth. MR: no signal is -1, :func:`maximum` is 1. ``lesions`` has :data:`MAX_LESIONS` rows
        for plaques, of which only the part in white matter is seen, and a last one for the tumour without its
        oedema; their columns are :data:`LESION_COLUMNS` of ``dim``, kind being a position in :data:`KINDS`
        and strength the share of the tissue that is changed. ``severity`` is atrophy. ``facts``:
        ``brain``, the share of each pixel that is brain or the fluid around it ``(N, 1, *space)``; ``seen``,
        whether any lesion or tumour is in the image (a slice may miss them); ``level``
        of the slice, 0 at the basal ganglia to 1 above the ventricles (2-D); ``tumour``, a row of present,
        centre x, y[, z] before the pose of the head, radius, core (the share of the radius that is dead),
        soak (radii to which oedema reaches) and give (the push away from the centre in radii); ``pd``,
        ``t1``, ``t2``, ``t2_star`` of
        the subject's tissues ``(N, K)``; ``noise``, the standard deviation of the MR noise.
    """
    asked = checked(
        "head", subjects, size=size, seed=seed, labels=labels, classes=CLASSES,
        contrasts=contrasts, known=CONTRASTS, dim=dim, device=device,
    )  # fmt: skip
    fov, n = within("fov", fov, *FOVS, "mm"), len(asked)
    swollen = one_each("tumour", tumour, n, 0, 1).bool()
    atrophy = None if severity is None else one_each("severity", severity, n, 0, 1)
    return asked.phantoms(_part, CHUNK[dim], swollen, atrophy, stripped=stripped, fov=fov)


def render(labels: Sequence[int], *, size: int, seed: int, first: int = 0) -> tuple[Tensor, Tensor]:
    """Compute what stands in for slices of skull-stripped brains, 192 mm wide: 0 without lesions, 1 with.

    Returns
    -------
    images : Tensor
        uint8 ``(N, size, size, 4)``: T1, T1 with gadolinium, T2, FLAIR.
    lesion : Tensor
        bool ``(N, size, size)``.
    """
    return _stripped(labels, size, seed, first, 2)


def render_volumes(labels: Sequence[int], *, size: int, seed: int, first: int = 0) -> tuple[Tensor, Tensor]:
    """Compute what stands in for volumes of skull-stripped brains; whatever the label, all have lesions.

    Returns
    -------
    images : Tensor
        uint8 ``(N, size, size, size, 4)`` as those of :func:`render`; the first axis goes up, as in the file.
    lesion : Tensor
        bool ``(N, size, size, size)``.
    """
    checked("head", numbered(labels, first), labels=labels, classes=CLASSES, size=size, seed=seed)
    images, lesion = _stripped([1] * len(labels), size, seed, first, 3)
    return images.flip(1), lesion.flip(1)


def _stripped(labels: Sequence[int], size: int, seed: int, first: int, dim: int) -> tuple[Tensor, Tensor]:
    made = phantoms(
        numbered(labels, first), size=size, seed=seed, labels=labels,
        contrasts=("t1", "t1gd", "t2", "flair"), dim=dim, fov=192.0, stripped=True,
    )  # fmt: skip
    return bytes_of(torch.cat(list(made.images.values()), dim=1)), made.lesion[:, 0]


# Tissue shares to signal
# --------------------------------------------------------------------------------------


@cache
def _column(name: str, device: torch.device) -> Tensor:
    return columns("head", name, device=device)[0]


def _t1(rho: Tensor, t1: Tensor, t2: Tensor, t2_star: Tensor) -> Tensor:
    return signal.inversion_recovery(rho, t1, t2, **T1)


def _t1gd(rho: Tensor, t1: Tensor, t2: Tensor, t2_star: Tensor) -> Tensor:
    enhanced = signal.enhanced_t1(t1, _column("gadolinium", rho.device), relaxivity=RELAXIVITY)
    return signal.spin_echo(rho, enhanced, t2, **T1GD)


def _t2(rho: Tensor, t1: Tensor, t2: Tensor, t2_star: Tensor) -> Tensor:
    return signal.spin_echo(rho, t1, t2, **T2)


def _pd(rho: Tensor, t1: Tensor, t2: Tensor, t2_star: Tensor) -> Tensor:
    return signal.spin_echo(rho, t1, t2, **PD)


def _flair(rho: Tensor, t1: Tensor, t2: Tensor, t2_star: Tensor) -> Tensor:
    ti = signal.null_time(tissue_table("head")["csf"]["t1"], FLAIR["tr"])
    return signal.inversion_recovery(rho, t1, t2, ti=ti, **FLAIR)


def _gre(rho: Tensor, t1: Tensor, t2: Tensor, t2_star: Tensor) -> Tensor:
    return signal.gradient_echo(rho, t1, t2_star, **GRE)


_MR = {"t1": _t1, "t1gd": _t1gd, "t2": _t2, "pd": _pd, "flair": _flair, "gre": _gre}
_MR_PARAMETERS = ("pd", "t1", "t2", "t2_star")
CONTRASTS = (*_MR, "ct", "fdg", "myelin", "ct_brain")


@cache
def maximum(contrast: str, *, stripped: bool = False) -> float:
    """Return the MR signal that becomes 1: that of the strongest tissue.

    Images of the brain alone are scaled by healthy tissue, or by a tumour that takes up gadolinium, with a
    tenth to spare; a lesion may be brighter than that and is clipped, as in the scans they stand in for.
    """
    strength = _MR[contrast](*(_column(name, torch.device("cpu")) for name in _MR_PARAMETERS))
    if stripped:
        return 1.1 * strength[[*HEALTHY_BRAIN, *([TUMOUR] if contrast == "t1gd" else [])]].max().item()
    return strength.max().item()


def _part(
    own: Subjects, labels: Tensor, swollen: Tensor, severity: Tensor | None,
    size: int, contrasts: Sequence[str], stripped: bool, fov: float,
) -> Phantoms:  # fmt: skip
    dim, device = own.dim, own.device
    factor = max(fineness(size, FINE[dim]), 2)  # edges are never razor-sharp
    one = [1] * dim
    drawn = own.uniform(0, 1).flatten()
    severity = drawn if severity is None else severity
    sigma = own.uniform(0.008, 0.02)[:, None]
    varied = own.normal(4, len(TISSUES))
    plaques = _plaques(own, labels == 1)
    painted, inside, lesions, facts = _anatomy(
        own, severity.view(-1, *one), plaques, swollen, size * factor, fov
    )
    tissues = shares(painted, len(TISSUES), factor)
    brain = shares(inside.view(torch.uint8), 2, factor)[:, 1:]

    # A lesion is partly still white matter.
    strength = plaques[:, 0, 6].view(-1, *one)
    seen = tissues.clone()
    seen[:, WHITE] += (1 - strength) * tissues[:, LESION]
    seen[:, LESION] *= strength

    rho, t1, t2, t2_star = (_column(name, device) for name in _MR_PARAMETERS)
    rho, t1 = rho * torch.exp(0.01 * varied[:, 0]), t1 * torch.exp(0.03 * varied[:, 1])
    t2, t2_star = (each * torch.exp(0.03 * varied[:, 2]) for each in (t2, t2_star))

    ill = tissues[:, PATHOLOGY].sum(dim=1, keepdim=True) >= 0.5
    images, scales = {}, {}
    for name in contrasts:
        # Every contrast has numbers of its own, so its noise does not depend on which others are wanted.
        # The window of the brain is another view of the same CT.
        apart = own.stream(1 + CONTRASTS.index("ct" if name == "ct_brain" else name))
        texture = _fields(apart, 1, 23.0, size, fov)
        noise = apart.normal(2, 1, *[size] * dim).movedim(1, 0)
        if name in _MR:
            clean = mixed(_MR[name](rho, t1, t2, t2_star), seen) * (1 + 0.025 * texture)
            clean = clean / maximum(name, stripped=stripped)
            coil = _fields(apart, 1, EXTENT, size, fov)
            measured = signal.rician(signal.biased(clean, 0.05 * coil), noise, sigma=sigma)
            scales[name] = MR_SCALE
        elif name in CT_SCALES:
            measured = mixed(_column("hu", device), seen) + 1.5 * brain * texture + 3 * noise[0]
            measured = brain * (measured + 1000) - 1000 if stripped else measured
            scales[name] = CT_SCALES[name]
        else:
            uptake = _column(name, device) * torch.exp(0.05 * varied[:, 3])
            activity = mixed(uptake, seen) * (1 + 0.04 * texture)
            if name == "fdg":
                lost = _hypometabolism(severity, size, fov, dim, device)
                activity = activity - lost * uptake[:, GREY].view(-1, 1, *one) * seen[:, GREY, None]
            activity = activity / _column(name, device)[list(HEALTHY_BRAIN)].max()
            pixel = fov / size
            measured = signal.pet(
                activity.clamp_min(0),
                noise[0],
                counts=PET["counts"] * pixel**2 * (THICK if dim == 2 else pixel),
                fwhm=PET["fwhm"],
                spacing=pixel,
            )
            scales[name] = PET_SCALE
        if stripped and name not in CT_SCALES:
            measured = measured * brain
        images[name] = scales[name].normalised(measured)

    return Phantoms(
        images=images,
        scales=scales,
        tissue_names=TISSUES,
        tissues=tissues,
        lesion=ill,
        lesion_columns=LESION_COLUMNS[dim],
        lesions=lesions,
        labels=labels.long(),
        severity=severity,
        subject=own.numbers,
        seed=own.seed,
        facts=facts
        | {
            "brain": brain,
            "seen": ill.flatten(1).any(dim=1),
            "pd": rho,
            "t1": t1,
            "t2": t2,
            "t2_star": t2_star,
            "noise": sigma.flatten(),
        },
    )


def _hypometabolism(severity: Tensor, size: int, fov: float, dim: int, device: torch.device) -> Tensor:
    """Return the share of glucose use that cortex has lost, ``(n, 1, *space)``: most behind, at the sides."""
    x, y = grid(size, fov, dim=dim, device=device)[:2]
    region = torch.sigmoid((y - 5) / 12) * torch.sigmoid((x.abs() - 25) / 8)
    return severity.view(-1, *[1] * (dim + 1)) * (0.12 + 0.35 * region)


# Anatomy
# ------------------------------------------------------------------------------------------------------


def _fields(own: Subjects, count: int, scale: float, side: int, fov: float) -> Tensor:
    """Return smooth fields ``(n, count, *space)`` of variance 1, the same in every field of view."""
    cells = round(EXTENT / scale)
    return smooth(own.normal(count, *[cells + 3] * own.dim), side, fov, EXTENT)


def _sum(start: Tensor, *terms: tuple[float, Tensor]) -> Tensor:
    """Return start + a b + ... in one pass over the pixels for each term."""
    for factor, field in terms:
        start = torch.add(start, field, alpha=factor)
    return start


def _square(x: Tensor, y: Tensor) -> Tensor:
    return torch.addcmul(x * x, y, y)


def _turned(a: Tensor, b: Tensor, angle: Tensor) -> tuple[Tensor, Tensor]:
    return a * angle.cos() - b * angle.sin(), a * angle.sin() + b * angle.cos()


def _ellipse(x: Tensor, y: Tensor, a: Tensor, b: Tensor, tilt: float) -> Tensor:
    """Return the squared radius in semi-axes: below 1 inside."""
    c, s = math.cos(tilt), math.sin(tilt)
    return _square(torch.add(x * c, y, alpha=s) / a, torch.add(y * c, x, alpha=-s) / b)


def _plaques(own: Subjects, ill: Tensor) -> Tensor:
    """Return a row for each plaque, ``(n, MAX_LESIONS, 7 or 9)``; whoever is ill has at least one.

    Present; side (1 right of the image, -1 left); distance outwards from the midline of the lateral ventricle
    and y; the semi-axes in these two directions; strength; in 3-D also z and the semi-axis there.
    """
    load, strength = own.each(1, 0.25, 1.0), own.each(1, 0.55, 1.0)

    def each(low: float, high: float) -> Tensor:
        return own.each(MAX_LESIONS, low, high)

    present = each(0, 1) < load
    present[:, 0] = True
    side = torch.where(each(0, 1) < 0.5, -1.0, 1.0)
    rows = [side, 2 + 22 * each(0, 1) ** 2, each(-36, 44), each(2.5, 8.5), each(2, 5), strength]
    if own.dim == 3:
        rows += [each(-6, 34), each(2, 6)]
    return lesion_rows(present & ill[:, None], *rows)


def _anatomy(
    own: Subjects, severity: Tensor, plaques: Tensor, swollen: Tensor, side: int, fov: float
) -> tuple[Tensor, Tensor, Tensor, dict[str, Tensor]]:
    """Return the tissue of every fine pixel, where brain and fluid are, the table of lesions, the facts."""
    uniform, dim = own.uniform, own.dim
    x, y, *rest = grid(side, fov, dim=dim, device=own.device)
    angle = uniform(-1, 1) ** 3 * 0.15
    x, y = _turned(x + uniform(-4, 4), y + uniform(-4, 4), angle)
    if dim == 2:
        level = uniform(0, 1)
        z = SLICES * level
    else:
        y, z = _turned(y, rest[0] + uniform(0, 10), uniform(-0.12, 0.12))

    # A tumour pushes the anatomy away: what is at a point was nearer to the tumour's centre before.
    radius, give, soak, core = uniform(9, 19), uniform(0.15, 0.4), uniform(1.4, 2.1), uniform(0.3, 0.75)
    tx, ty = torch.where(uniform(0, 1) < 0.5, -1.0, 1.0) * uniform(22, 38), uniform(-38, 40)
    centre = [tx, ty] if dim == 2 else [tx, ty, uniform(-2, 38)]
    from_tumour = x
    if swollen.any():
        place = [x, y] if dim == 2 else [x, y, z]
        away = [each - middle for each, middle in zip(place, centre, strict=True)]
        from_tumour = torch.stack(torch.broadcast_tensors(*away)).norm(dim=0)
        there = swollen.view(-1, *[1] * dim)
        push = give * radius * bump(from_tumour / (2.2 * radius)) * there / (from_tumour + 3)
        x, y, *rest = (each - push * off for each, off in zip(place, away, strict=True))
        z = rest[0] if dim == 3 else z
    hidden = (radius.new_ones(radius.shape), *centre, radius, core, soak, give)
    row = torch.cat([each.flatten(1) for each in hidden], dim=1)
    facts = {"tumour": row * swollen[:, None]}
    if dim == 2:
        facts["level"] = level.flatten()

    broad_x, broad_y, *broad_z = _fields(own, dim, 62.5, side, fov).unbind(1)
    fine_x, fine_y, other, *fine_z = _fields(own, dim + 1, 17.9, side, fov).unbind(1)
    rough, rougher = _fields(own, 2, 10.9, side, fov).unbind(1)
    x, y = _sum(x, (2.4, broad_x), (0.7, fine_y)), _sum(y, (2.4, broad_y), (0.7, fine_x))
    if dim == 3:
        z = _sum(z, (2.4, broad_z[0]))

    # The surface of the cerebrum: an egg, blunter behind; d is the depth below it.
    a, b, c = uniform(59, 67), uniform(74, 84), uniform(70, 80)
    along = y / b
    egg = x / (a * (1 + uniform(0.03, 0.11) * along))
    up = z / (c if dim == 2 else torch.where(z > 0, c, 0.8 * c))
    r = torch.addcmul(_square(x, y), z, z).sqrt() + 1e-3
    rho = torch.addcmul(_square(egg, along), up, up).sqrt().clamp_min(1e-3)
    d = r / rho - r
    below = _Below(own, x, y, z, rougher) if dim == 3 else None
    if below:
        d = torch.minimum(d, below.above_floor)

    # The brain is painted in the box around it, which is half of a slice and less of a volume.
    bend_z = fine_z[0] if dim == 3 else z
    head = _Head(x, y, z, d, rho, fine_x, fine_y, bend_z, rough, rougher, other, from_tumour)
    d = below.joined(d) if below else d
    box, middle = _box(d > 0, fov / side)
    painted = torch.full(d.shape, CSF, dtype=torch.uint8, device=own.device)
    painted[box], table = _brain(
        own, _inside(head, box), below and _inside(below, box), severity, plaques, facts["tumour"],
        fov / side, middle,
    )  # fmt: skip

    # Around the brain: fluid, skull with marrow between its tables, muscle at the temples, fat, skin.
    gap = _sum(uniform(1.2, 2.6) + 2.0 * severity**1.5, (0.4, fine_y))
    skull = gap + uniform(5, 7.5) + 0.5 * broad_x.abs()
    inner = uniform(1.6, 2.2)
    high = (1 - 1.4 * (z / SLICES)).clamp(0, 1)
    temple = uniform(5, 11) * high * bump((y + 20) / 26) * (x.abs() / a).clamp_max(1)
    fat = uniform(2.5, 6.5) * (1 + 0.12 * other).clamp_min(0.3)
    out = -d
    beyond = out - skull - temple
    paint(painted, out > gap, BONE)
    paint(painted, (out > gap + inner) & (out < skull - inner + 0.5 * rough), MARROW)
    soft = out > skull
    if below:
        beyond = torch.minimum(beyond, below.face)
        soft &= ~below.bones
        paint(painted, soft & (other > 1.1), FAT)
    paint(painted, soft, MUSCLE)
    paint(painted, beyond > 0, FAT)
    paint(painted, beyond > fat, SKIN)
    outside = beyond > fat + 1.9
    if below:
        # Ears: flaps of skin that lie on the head in front and stand off behind.
        outside &= ~((beyond - fat - 1.9 - below.ear_off).abs() < 2.6) | ~below.ears
    paint(painted, outside, AIR)
    if below:
        paint(painted, below.marrow & below.bones, MARROW)
        paint(painted, below.orbits & soft & (beyond < 0), FAT)
        paint(painted, below.airways & soft, AIR)
        painted = torch.where(below.eyes & soft & (beyond < fat), CSF, painted)
    return painted, out < 0.3, table, facts


@dataclass
class _Head:
    r"""What is known of every fine pixel before its tissue is, each ``(n, *fine)``.

    Where it would be in mm if nothing had pushed or bent the head, the depth ``d`` below the surface of the
    cerebrum and its :math:`\rho`, smooth fields of variance 1 (the ``fine`` ones and ``other`` vary over
    36 mm, the ``rough`` over 22), and the distance from a tumour's centre, where there are tumours.
    """

    x: Tensor
    y: Tensor
    z: Tensor
    d: Tensor
    rho: Tensor
    fine_x: Tensor
    fine_y: Tensor
    fine_z: Tensor
    rough: Tensor
    rougher: Tensor
    other: Tensor
    from_tumour: Tensor


def _box(where: Tensor, pixel: float) -> tuple[tuple[slice, ...], list[float]]:
    """Return the box around what is ``where`` in anyone, and its middle in mm, x first.

    There is a pixel to spare on every side, for differences between neighbours.
    """
    box, middle = [slice(None)], list[float]()
    for axis in range(1, where.ndim):
        others = [other for other in range(where.ndim) if other != axis]
        found = where.any(dim=others).nonzero()
        side = where.shape[axis]
        start, stop = max(int(found[0]) - 1, 0), min(int(found[-1]) + 2, side)
        box.append(slice(start, stop))
        middle.insert(0, ((start + stop) / 2 - side / 2) * pixel)
    if where.ndim == 4:
        middle[2] *= -1  # z goes up
    return tuple(box), middle


def _inside(maps: Maps, box: tuple[slice, ...]) -> Maps:
    """Return the maps in a box; those that are one number a subject stay."""
    cut = copy(maps)
    for name, each in vars(maps).items():
        setattr(cut, name, each[box] if each.shape[-1] > 1 else each)
    return cut


def _brain(
    own: Subjects, head: _Head, below: "_Below | None", severity: Tensor, plaques: Tensor, tumours: Tensor,
    pixel: float, middle: list[float],
) -> tuple[Tensor, Tensor]:  # fmt: skip
    """Return the tissue of every fine pixel in the box around the brain, and the table of lesions."""
    uniform, dim = own.uniform, own.dim
    x, y, z, d, fine_x, fine_y = head.x, head.y, head.z, head.d, head.fine_x, head.fine_y
    rough, other, level = head.rough, head.other, head.z / SLICES
    if dim == 2:
        bent_x, bent_y = _sum(x, (3.8, fine_x), (1.3, rough)), _sum(y, (3.8, fine_y), (1.3, head.rougher))
        lines = _forking_lines(own, bent_x, bent_y, (x**2 + y**2).sqrt() + 1e-3, d, fine_y)
    else:
        bent_x, bent_y = _sum(x, (3.0, fine_x)), _sum(y, (3.0, fine_y))
        lines = _sheets(own, bent_x, bent_y, _sum(z, (3.0, head.fine_z)), head.rho, d, pixel)
    lines = torch.minimum(lines, _fissures(own, x, bent_y, y, d, fine_x, rough, level))
    half_width = uniform(0.35, 0.8) + 1.0 * severity**1.5 + (1.1 + severity) * torch.exp(-d.clamp_min(0) / 3)
    pial = torch.minimum(d, lines.sqrt() - half_width)
    thickness = _sum(uniform(3.2, 4.2) - 0.6 * severity, (0.35, rough))
    white = pial - thickness
    if below:
        pial, white = below.joined(pial), below.joined_white(white)

    painted = torch.full(pial.shape, WHITE, dtype=torch.uint8, device=own.device)
    paint(painted, white < 0, GREY)
    ventricle, midline = _ventricles(own, _sum(x, (0.8, fine_x)), _sum(y, (0.8, fine_y)), z, severity, level)
    # Deep grey matter beside the ventricles: thalamus, caudate nucleus, putamen (centre, semi-axes, tilt).
    low = torch.minimum(1.15 - 2.2 * level, 1.1 + 5 * level).clamp(0, 1)
    across = _sum(x.abs(), (1.2, rough))
    growth = 1 + 0.25 * other
    wide = low.sqrt()
    for cx, cy, sa, sb, tilt in ((12, 8, 7.5, 12, 0.35), (12, -19, 4.6, 9, -0.3), (25, -4, 5.5, 15, -0.22)):
        outwards = across - cx * uniform(0.95, 1.05) - 3 * severity
        nucleus = _ellipse(outwards, y - cy * uniform(0.9, 1.1), sa * wide, sb * wide, tilt)
        paint(painted, (nucleus < growth) & (low > 0.05), NUCLEI)
    paint(painted, pial < 0, CSF)
    if below:
        paint(painted, below.cistern, CSF)
        ventricle = ventricle & (below.stem <= 0)
    paint(painted, ventricle, VENTRICLE)

    # Plaques beside the ventricles, in white matter only, with ragged edges; then the mass of the tumour.
    drawn = torch.zeros(len(own), MAX_LESIONS + 1, *pial.shape[1:], dtype=torch.bool, device=own.device)
    if plaques[:, :, 0].any():
        # Distance outwards from the ventricle, the sides 200 mm apart so that a lesion is on one of them.
        outwards = (x.abs() - midline + 100) * torch.where(x > 0, 1.0, -1.0)
        edge = _sum(0.35 * rough + 1, (0.25, other))
        for number, row in enumerate(plaques.unbind(1)):
            if not row.any():
                continue
            present, half, lx, ly, la, lb, _, *high = row.view(*row.shape, *[1] * dim).unbind(1)
            near = _square((outwards - half * (lx + 100)).div_(la), (y - ly).div_(lb))
            if high:
                up = (z - high[0]).div_(high[1])
                near.addcmul_(up, up)
            torch.lt(near, edge * present, out=drawn[:, number])
        paint(painted, drawn.any(dim=1).logical_and_(painted == WHITE), LESION)

    # A tumour: dead centre, living rim, and oedema that spreads along white matter.
    there = (tumours[:, 0] == 1).view(-1, *[1] * dim)
    if there.any():
        radius, core, soak = tumours[:, -4:-1].view(-1, 3, *[1] * dim).unbind(1)
        near = head.from_tumour / radius + 0.1 * rough + 0.08 * fine_x
        affected = there & (pial > 0) & ~ventricle
        torch.logical_and(affected, near < 1, out=drawn[:, -1])
        paint(painted, affected & (painted == WHITE) & (near < soak + 0.25 * other), OEDEMA)
        paint(painted, drawn[:, -1], TUMOUR)
        paint(painted, affected & (near < core), NECROSIS)

    present, *outline = outlined(drawn.flatten(0, 1), [side * pixel for side in pial.shape[1:]], middle)
    of_all = [column.view(len(own), -1) for column in (present, *outline)]
    kind = torch.tensor([0.0] * MAX_LESIONS + [1.0], device=own.device).expand(len(own), -1)
    strength = torch.cat([plaques[:, :, 6], torch.ones_like(kind[:, :1])], dim=1)
    return painted, lesion_rows(*of_all, kind, strength)


def _forking_lines(own: Subjects, x: Tensor, y: Tensor, r: Tensor, d: Tensor, uneven: Tensor) -> Tensor:
    """Return the squared distance in mm to sulci of a slice: lines from the surface inwards; some fork."""
    ring = 22
    # Two rings of them, the second between the sulci of the first and shallower.
    turn = torch.atan2(y, x) / (2 * math.pi) * ring
    lines = torch.full_like(x, 99.0**2)
    for shift, low, high in ((0.0, 10.0, 28.0), (0.5, -2.0, 17.0)):
        position = torch.remainder(turn + shift, ring)
        cell = position.long().clamp_max(ring - 1)
        sideways = (position - cell - 0.5 - _of(own.each(ring, -0.16, 0.16), cell)) * (2 * math.pi / ring) * r
        end = _of(own.each(ring, low, high), cell)
        lines = torch.minimum(lines, _square(sideways, (d - end).clamp_min_(0)))
        # A fork is an arc along the surface, part of the way down; below the end of its sulcus it is none.
        fork = _of(own.each(ring, 6, 24), cell)
        slope = _of(own.each(ring, -0.9, 0.9), cell)
        aside = sideways.abs()
        down = torch.addcmul(d - torch.where(fork > end + 1, -99.0, fork), slope, aside).add_(uneven)
        lines = torch.minimum(lines, _square(down, (aside - own.uniform(3, 6)).clamp_min_(0)))
    return lines


def _of(values: Tensor, cell: Tensor) -> Tensor:
    """Return each pixel's own of ``values`` ``(n, cells)``."""
    return values.gather(1, cell.flatten(1)).view_as(cell)


def _sheets(own: Subjects, x: Tensor, y: Tensor, z: Tensor, rho: Tensor, d: Tensor, pixel: float) -> Tensor:
    """Return the squared distance in mm to sulci of a volume: sheets across the surface, of uneven depth."""
    # What a point's direction from the centre decides is looked up where it meets the surface.
    surface = torch.stack([x, y, -z], dim=-1) / (rho[..., None] * EXTENT / 2)
    random = torch.cat([_fields(own, 1, scale, SURFACE, EXTENT) for scale in (8.5, 20.0)], dim=1)
    f, depth = grid_sample(random, surface, align_corners=False, padding_mode="border").unbind(1)
    slopes = torch.gradient(f, spacing=pixel, dim=(1, 2, 3))
    steep = torch.addcmul(_square(slopes[0], slopes[1]), slopes[2], slopes[2]).sqrt()
    end = (16 + 7 * depth).clamp(4, 30)
    return _square(f / (steep + 0.01), (d - end).clamp_min(0))


def _fissures(
    own: Subjects, x: Tensor, bent_y: Tensor, y: Tensor, d: Tensor,
    fine_x: Tensor, rough: Tensor, level: Tensor,
) -> Tensor:  # fmt: skip
    """Return the squared distance in mm to the fissures, and to the sulci that leave the midline."""
    uniform = own.uniform
    # Between the hemispheres, in front of and behind the corpus callosum, above it everywhere.
    callosum = uniform(36, 42) * (1 - ((level - 0.62) / 0.14).clamp(0, 1))
    below = (callosum - (y + uniform(-4, 4)).abs()).clamp_min(0)
    lines = _square(_sum(x, (0.8, fine_x), (0.4, rough)), below)
    # Sulci that leave it sideways.
    spacing, rows = 15.0, 14
    shift = torch.where(x > 0, uniform(0, 15), uniform(0, 15))
    position = ((bent_y + shift) / spacing + rows / 2).clamp(0, rows - 1e-3)
    cell = position.long()
    sideways = (position - cell - 0.5) * spacing
    cell = cell + rows * (x > 0)
    beyond = (x.abs() - _of(own.each(2 * rows, -5, 13), cell)).clamp_min(0)
    lines = torch.minimum(lines, _square(sideways, beyond).add_(below * below))
    # The lateral fissure and the insula behind it, in low slices.
    reach = uniform(19, 25)
    absent = 60 * torch.maximum(level - 0.42, -0.35 - level).clamp_min(0)
    stem = (bent_y + uniform(8, 16)) ** 2 + (d - reach).clamp_min(0) ** 2
    along = ((bent_y - uniform(-4, 2)).abs() - uniform(12, 17)).clamp_min(0)
    insula = (d - reach + 1.2 * fine_x) ** 2 + along**2
    return torch.minimum(lines, torch.minimum(stem, insula) + absent**2)


def _ventricles(
    own: Subjects, x: Tensor, y: Tensor, z: Tensor, severity: Tensor, level: Tensor
) -> tuple[Tensor, Tensor]:
    """Return where the ventricles are, and the lateral ones' midline |x|."""
    uniform = own.uniform
    wide = uniform(0.75, 1.1) * (1 + 1.3 * severity)
    body = (1 - (level - 0.45).abs() / 0.3).clamp(0, 1)
    # The horns reach down to 10 mm below the lowest slice.
    floor = (1 + 4.5 * level).clamp(0, 1)
    front = ((1 - level / 0.7).clamp(0, 1) * floor).sqrt()
    back = ((1 - level / 0.6).clamp(0, 1) * floor).sqrt()
    width = torch.maximum(
        torch.maximum(
            uniform(3.0, 4.2) * front * bump((y + uniform(19, 23)) / uniform(10, 13)),
            uniform(4.0, 5.6) * back * bump((y - uniform(27, 34)) / uniform(10, 14)),
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
    third = (x.abs() < (0.8 + 1.3 * wide) * (1 - ((y - 4) / 12) ** 2)) & (level < 0.26) & (level > -0.25)
    found = (lateral & (width > 0.8)) | third
    if own.dim == 3:
        # The temporal horns come forward below, from where the lateral ventricles are widest; the fourth
        # ventricle lies between brain stem and cerebellum.
        height = -15 + 20 * torch.sigmoid((y - 24) / 4)
        horn = _square(x.abs() - uniform(25, 29) + 0.1 * y, z - height) < (1.2 + 1.3 * wide) ** 2
        found |= horn & (y > uniform(-14, -6)) & (y < 32)
        found |= _square(x / 7, (y - 30) / 5) + ((z + 34) / 10) ** 2 < 0.3 + 0.5 * wide
    return found, middle


class _Below:
    """What a volume has below the slices: cerebellum, brain stem, the base of the skull, face and neck.

    Attributes
    ----------
    above_floor : Tensor
        Height in mm above the floor that the cerebrum lies on.
    stem : Tensor
        Depth in mm below the surface of the brain stem and the cord.
    cistern, bones, marrow, airways, orbits, eyes : Tensor
        bool: fluid below the cerebrum, bones of face and neck and the marrow in them, air, the fat of the
        orbits, and the eyes, whose vitreous is as good as water.
    ears : Tensor
        bool: as high and as far back as ears are; they are ``ear_off`` mm off the skin.
    face : Tensor
        Distance in mm outwards from the surface of face and neck.
    """

    def __init__(self, own: Subjects, x: Tensor, y: Tensor, z: Tensor, rougher: Tensor) -> None:
        uniform, side = own.uniform, x.abs()
        temporal = (
            bump((side - 36) / uniform(15, 19)) * torch.sigmoid((26 - y) / 6) * torch.sigmoid((y + 40) / 4)
        )
        self.above_floor = z + uniform(16, 20) - 8 * torch.sigmoid((y - 20) / 6) + uniform(18, 24) * temporal
        q = (
            (side / uniform(43, 48)) ** 2
            + ((y - 35) / uniform(27, 31)) ** 2
            + ((z + 36) / uniform(21, 25)) ** 2
        )
        cleft = 4 * bump(x / 6) * torch.sigmoid((y - 44) / 4)
        self._cerebellum = 25 * (1 - q.sqrt()) - cleft
        # Its leaves are finer than the voxels: grey matter comes and goes with the angle around its root.
        leaves = torch.sin(uniform(15, 19) * torch.atan2(z + 37, y - 14) + 0.8 * rougher)
        self._leaf = 4 + 5 * (leaves + 0.4)
        pons = 5 * bump((z + 30) / 11)
        thick = uniform(8.5, 10.5) + pons - 4 * torch.sigmoid((-z - 52) / 4)
        self.stem = torch.minimum(thick - _square(x / 1.15, y - 13 + 0.6 * pons + 0.1 * z).sqrt(), -z - 2)
        self.cistern = _square(x / 9, (y + 4) / 8) + ((z + 19) / 6) ** 2 < 1
        neck = torch.sigmoid((-z - 78) / 5)
        width, length = uniform(50, 57) - 6 * neck, uniform(72, 80) - 24 * neck
        self.face = torch.maximum(50 * (_square(x / width, (y + 9 - 20 * neck) / length).sqrt() - 1), z + 8)
        # The palate, the teeth, and the vertebrae in front of the cord and around it.
        jaw = (_square(x / (width - 13), (y + 9) / (length - 13)).sqrt() - 1).abs() < 0.09
        palate = _square(side / 24, (y + 46) / 26) + ((z + 72) / 2.5) ** 2 < 1
        period = torch.remainder(z + uniform(0, 16), 16) - 8
        cord = y - 13 + 0.1 * z
        body = _square(x / 15, (cord + 20) / 10) + (period / 7) ** 4
        process = (_square(x / 3.5, (cord - 24) / 12) < 1) & (period.abs() < 5)
        lamina = (_square(x, cord) > 9**2) & (_square(x / 1.3, cord) < 13**2) & (period.abs() < 6)
        neck_bones = ((body < 1) | process | lamina) & (z < -58)
        self.bones = (jaw & (y < -28) & (z < -74) & (z > -98)) | palate | neck_bones
        self.marrow = (body < 0.6) & (z < -58)
        nose = _square((side - 6.5) / 5, (y + 50) / 24) + ((z + 48) / 20) ** 2 < 1
        throat = _square(x / 11, (y + 16) / 7) + ((z + 62).clamp_min(0) / 17) ** 2 < 1
        sinus = _square((side - 27) / 11, (y + 50) / 13) + ((z + 64) / 11) ** 2 < 1
        self.airways = nose | throat | sinus
        apart, ahead, globe = uniform(30, 33), uniform(56, 60), uniform(11.2, 12.4)
        up = z + 41
        self.eyes = _square(side - apart, y + ahead) + up**2 < globe**2
        ear_y, ear_z = y - uniform(4, 10), z + uniform(44, 50)
        self.ears = (_square(ear_y / 12, ear_z / uniform(25, 32)) < 1) & (side > 40)
        self.ear_off = uniform(0.1, 0.4) * (ear_y + 12).clamp_min(0)
        self.orbits = _square((side - apart + 4) / 17, (y + ahead - 9) / 26) + (up / 15) ** 2 < 1

    def joined(self, depth: Tensor) -> Tensor:
        """Return the depth in mm below a surface of the whole brain, from that below one of the cerebrum."""
        return torch.maximum(torch.maximum(depth, self._cerebellum), self.stem)

    def joined_white(self, depth: Tensor) -> Tensor:
        """Return the depth in mm in the white matter of the whole brain, from that in the cerebrum's."""
        return torch.maximum(torch.maximum(depth, self._cerebellum - self._leaf), self.stem - 0.3)
