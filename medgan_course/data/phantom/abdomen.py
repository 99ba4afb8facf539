r"""ABD and PELVIS: slices and volumes of a trunk, computed, with everything that is true of it.

One trunk reaches from the lungs to the thighs; an image is where a plane, or a stack of planes, cuts it.
Skin, fat and muscle wall lie at depths below the surface

.. math:: \left|\frac{x}{A(z)}\right|^{5/2} + \left|\frac{y}{B(z)}\right|^{5/2} = 1

and organs are ellipsoids and tubes, bent by random fields, cut off by each other and by the wall. Size, sex,
fat, the slice's level, the organs' shape, the bowel's course and contents are every subject's own. Livers
have lesions of one class, or none: cysts (water, sharp, homogeneous), metastases (darker than the liver, no
sharp edge), haemangiomas (bright nodules along the rim on CT, bright all over in T2).

CT is that of the portal venous phase. With the dose :math:`c` of contrast agent relative to the usual one,

.. math:: HU = \sum_k w_k\,(h_k + c\,g_k)

where :math:`w_k` are the tissues' shares in a pixel and :math:`h_k, g_k` their values in
``tissues_body.toml``. T1 is a spoiled gradient echo, T2 a spin echo, whose signal is
weakened in blood, which flows out of the slice between its two pulses (``outflow`` in the table).

Breathing moves the anatomy by a known field :math:`u`: what is at :math:`r` in the image was at
:math:`r + u(r)` at rest. With the amplitude :math:`a`, the front of the body moves by :math:`a` towards the
front and its sides by about :math:`0.3\,a` outwards; in a volume the organs also move by :math:`a`
downwards:

.. math::
    u_y = a\,s(r), \quad u_x = -0.3\,a\,s(r)\,\frac{x}{150}, \quad u_z = a\,s(r)\,e^{-(x^2+y^2)/150^2}, \quad
    s(r) = \frac{1}{1 + e^{(y - 10)/25}}

Positions are in mm: x to the right of the image, which is the patient's left; y down, towards the back; z up,
0 at the first lumbar vertebra. No result on it says anything about patients.
"""

import math
from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass, replace
from functools import cache

import torch
from torch import Tensor

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
    paint,
    shares,
    tissue_table,
    within,
)
from medgan_course.data.scale import Scale
from medgan_course.errors import CourseError, did_you_mean

FOV = 360.0  # mm, the side of a slice
HEIGHT = 200.0  # mm, that the planes of a volume span from top to bottom
REGIONS = {"abdomen": (-25.0, 55.0), "pelvis": (-238.0, -192.0)}  # mm, the slices' levels
CONTRASTS = ("ct", "t1", "t2")
CT_SCALE = Scale(-160.0, 240.0, "HU")  # the usual abdominal window: level 40, width 400
SEXES = ("male", "female")  # the classes of the pelvis
CLASSES = ("no lesion", "cyst", "metastasis", "haemangioma")
LESION_COLUMNS = ("present", "x", "y", "z", "radius", "kind")
MAX_LESIONS = 4
MAX_BREATHING = 40.0  # mm, beyond which the field would fold

T1 = {"tr": 140.0, "te": 4.6, "flip": math.radians(70)}  # spoiled gradient echo; T2* is taken to be T2
T2 = {"tr": 3500.0, "te": 80.0}  # spin echo

CHUNK = {2: 8, 3: 1}  # subjects at a time: their maps stay in a core's cache
FINE = {2: 128, 3: 48}  # the least side of the grid on which tissues are painted
THIN = 2  # planes painted for each plane of a volume
SLAB = 64  # of them at a time: what is not at their height is not computed


TISSUES = tuple(tissue_table("body"))
(
    AIR, GAS, SKIN, BONE, MARROW, CANAL, DISC, LUNG, POOL, HAEMANGIOMA, METASTASIS, INFILTRATED, CYST, BLOOD,
    VEIN, BILE, CORTEX, MEDULLA, LIVER, SPLEEN, PANCREAS, SCAR, MYOCARDIUM, URINE, CHYME, FAECES, BOWEL,
    PROSTATE, UTERUS, LEAN, MUSCLE, FAT,
) = range(len(TISSUES))  # fmt: skip
PATHOLOGY = ("pool", "haemangioma", "metastasis", "infiltrated", "cyst")


def phantoms(
    subjects: Iterable[int],
    *,
    size: int,
    seed: int,
    labels: Iterable[int] | None = None,
    contrasts: Sequence[str] = CONTRASTS,
    dim: int = 2,
    fov: float = FOV,
    device: torch.device | str | None = None,
    region: str = "abdomen",
    breathing: float = 0.0,
) -> Phantoms:
    """Compute an axial slice, or a volume of planes that span :data:`HEIGHT` mm, of every subject.

    A subject has one trunk: their abdomen and pelvis belong together, and lesions and breathing change
    nothing else about them.

    Parameters
    ----------
    subjects, size, seed, contrasts, dim, device
        As of all families; see :mod:`medgan_course.data.phantom.common`.
    labels : iterable of int, optional
        In the abdomen a position in :data:`CLASSES` for every subject, in the pelvis the sex, 0 male and 1
        female. Left out, everyone has their own.
    fov : float
        Side of a slice in mm, from 40 to :data:`FOV`.
    region : {"abdomen", "pelvis"}
        Where the slice is, or the middle of the volume.
    breathing : float
        Amplitude in mm of the deformation, from 0 to 40.

    Returns
    -------
    Phantoms
        Images and truth. ``severity`` is the size of the lesions, 0 where there are none. ``lesions`` has
        the places at rest. ``facts`` has
        "level" (mm), "sex" (0 male, 1 female), "stature" (relative), "fat" (mm below the skin), "enhancement"
        (dose of contrast agent, relative) and "displacement" ``(N, dim, *space)``, the field of breathing in
        pixels along the image's axes, as :func:`medgan_course.data.warp.apply` takes it.
    """
    if region not in REGIONS:
        raise CourseError(f"The trunk has no region {region!r}: {did_you_mean(region, list(REGIONS))}")
    classes = SEXES if region == "pelvis" else CLASSES
    asked = checked(
        "trunk", subjects, size=size, seed=seed, labels=labels, classes=classes,
        contrasts=contrasts, known=CONTRASTS, dim=dim, device=device,
    )  # fmt: skip
    breathing = within("breathing", breathing, 0, MAX_BREATHING, "mm, beyond which the field would fold")
    fov = within("fov", fov, 40, FOV, "mm")
    return asked.phantoms(
        _part, CHUNK[dim], fov=fov, region=region, breathing=breathing, sexed=labels is not None
    )


def _part(
    own: Subjects, labels: Tensor, size: int, contrasts: Sequence[str],
    fov: float, region: str, breathing: float, sexed: bool,
) -> Phantoms:  # fmt: skip
    dim, span = own.dim, (HEIGHT, fov, fov)[-own.dim :]
    side = size * max(2, fineness(size, FINE[dim]))
    pelvis = region == "pelvis"
    person = _person(own, labels if pelvis and sexed else None)
    kind = person.female.flatten().long() if pelvis else labels
    low, high = REGIONS[region]
    level = own.stream(2).uniform(low, high) if dim == 2 else torch.full_like(person.size, (low + high) / 2)
    planes = size if dim == 3 else 1
    x, y, z = _positions(side, planes * (THIN if dim == 3 else 1), fov, HEIGHT, own.device)
    shift = _breathed(x, y, breathing, dim)
    x, y, z = x + shift[0], y + shift[1], level + (z if dim == 3 else 0.0)
    z = z + shift[2] if dim == 3 else z
    lesions, size_of = _lesions(own.stream(3), person, level, kind, not pelvis)
    painted = _trunk(own, person, x, y, z, lesions, side, span)
    tissues = _shares(painted, size)
    table = lesions.clone()
    table[:, :, 3] -= table[:, :, 0] * level.flatten(1)[:, :1]
    at_rest = _positions(size, planes, fov, HEIGHT, own.device)
    # In pixels, along the image's axes: planes go down, rows go down, columns to the right.
    wide = fov / size
    steps = (wide, wide, -HEIGHT / size)
    along = _breathed(at_rest[0], at_rest[1], breathing, dim)
    moved = torch.stack([u / step for u, step in zip(along, steps, strict=False)][::-1])
    moved = moved.view(dim, *[1] * (dim - 2), size, size).expand(len(own), dim, *[size] * dim)
    return Phantoms(
        images=_images(own, person, tissues, contrasts, size, span),
        scales={name: CT_SCALE if name == "ct" else maximum(name) for name in contrasts},
        tissue_names=TISSUES,
        tissues=tissues,
        lesion=tissues[:, POOL : CYST + 1].sum(dim=1, keepdim=True) >= 0.5,
        lesion_columns=LESION_COLUMNS,
        lesions=table,
        labels=kind,
        severity=size_of,
        facts={
            "level": level.flatten(),
            "sex": person.female.flatten().long(),
            "stature": person.size.flatten(),
            "fat": person.fat.flatten(),
            "enhancement": person.dose.flatten(),
            "displacement": moved,
        },
        subject=own.numbers,
        seed=own.seed,
    )


# Crops around one organ, for the Organ sets of MedMNIST
# ------------------------------------------------------------------------------------------------------

# Centre (mm; left organs, those at the right of the image, have x > 0) and the side of the crop.
ORGANS: dict[str, tuple[tuple[float, float, float], float]] = {
    "bladder": ((0, -30, -212), 120),
    "femur-left": ((100, 5, -240), 125),
    "femur-right": ((-100, 5, -240), 125),
    "heart": ((22, -36, 118), 150),
    "kidney-left": ((60, 36, 0), 115),
    "kidney-right": ((-60, 36, -14), 115),
    "liver": ((-55, -8, 22), 205),
    "lung-left": ((75, 0, 125), 205),
    "lung-right": ((-75, 0, 125), 205),
    "pancreas": ((18, -12, 2), 125),
    "spleen": ((92, 28, 34), 125),
}
# The order of the classes differs between the sets of slices and the set of volumes.
CLASSES_2D = tuple(ORGANS)
CLASSES_3D = (
    "liver", "kidney-right", "kidney-left", "femur-right", "femur-left", "bladder", "heart", "lung-right",
    "lung-left", "spleen", "pancreas",
)  # fmt: skip


def render_organs(
    labels: Sequence[int], *, size: int, seed: int, first: int = 0, dim: int = 2, plane: str = "axial"
) -> Tensor:
    """Compute CT crops around one organ each: what stands in for OrganA-, C-, S- and OrganMNIST3D.

    A label is a position in :data:`CLASSES_2D`, or in :data:`CLASSES_3D` for volumes; slices are those of the
    ``plane`` "axial", "coronal" or "sagittal".
    """
    if plane not in ("axial", "coronal", "sagittal"):
        raise CourseError(
            f"There is no plane {plane!r}: {did_you_mean(plane, ('axial', 'coronal', 'sagittal'))}"
        )
    classes = CLASSES_2D if dim == 2 else CLASSES_3D
    asked = checked(
        "trunk", numbered(labels, first), size=size, seed=seed, labels=labels, classes=classes, dim=dim
    )
    return torch.cat(asked.in_parts(_crops, CHUNK[dim], size=size, classes=classes, plane=plane))


def _crops(own: Subjects, labels: Tensor, size: int, classes: Sequence[str], plane: str) -> Tensor:
    dim, fov = own.dim, 200.0
    side = size * max(2 if dim == 2 else 1, fineness(size, 84 if dim == 2 else 28))
    span = (fov,) * dim
    chunk = [classes[kind] for kind in labels.tolist()]
    person = _person(own, None)
    place = own.stream(2)
    shape = (-1, *[1] * dim)
    centre = [torch.tensor([ORGANS[name][0][axis] for name in chunk]).view(shape) for axis in range(3)]
    zoom = torch.tensor([ORGANS[name][1] / fov for name in chunk]).view(shape) * place.uniform(0.85, 1.2)
    # Slices lie anywhere near the organ's middle.
    cx, cy, cz = ((at + place.uniform(-12, 12)) * person.size for at in centre)
    across, down, deep = _positions(side, size, fov, fov, None)
    if dim == 3:
        x, y, z = cx + zoom * across, cy + zoom * down, cz + zoom * deep
    elif plane == "axial":
        x, y, z = cx + zoom * across, cy + zoom * down, cz
    elif plane == "coronal":
        x, y, z = cx + zoom * across, cy, cz - zoom * down
    else:
        x, y, z = cx, cy + zoom * across, cz - zoom * down
    none = torch.zeros(len(own), MAX_LESIONS, len(LESION_COLUMNS))
    painted = _trunk(own, person, x, y, z, none, side, span, zoom=zoom)
    tissues = _shares(painted, size)
    return bytes_of(_images(own, person, tissues, ("ct",), size, span)["ct"])


AGENT = ("without contrast medium", "with contrast medium")


def render_levels(labels: Sequence[int], *, size: int, seed: int, first: int = 0) -> tuple[Tensor, Tensor]:
    """Compute CT slices of trunks from the lungs to the kidneys: what stands in for the TCGA lung CT.

    0 is without contrast medium, 1 with it.

    Returns
    -------
    images : Tensor
        int16 ``(N, size, size)``, in HU, at least -1024.
    spacing : Tensor
        float32 ``(N, 2)``: mm from one pixel to the next; fields of view are 320 to 440 mm wide.
    """
    asked = checked("trunk", numbered(labels, first), size=size, seed=seed, labels=labels, classes=AGENT)
    images, spacing = zip(*asked.in_parts(_levels, CHUNK[2], size=size), strict=True)
    return torch.cat(images), torch.cat(spacing)


def _levels(own: Subjects, labels: Tensor, size: int) -> tuple[Tensor, Tensor]:
    widest = 440.0
    side = size * max(2, fineness(size, FINE[2]))
    person = _person(own, None)
    place = own.stream(2)
    # Three in four show the lungs.
    level = torch.where(place.uniform(0, 1) < 0.75, place.uniform(85, 165), place.uniform(-20, 85))
    zoom = place.uniform(320, widest) / widest
    x, y, _ = _positions(side, 1, widest, HEIGHT, None)
    none = torch.zeros(len(own), MAX_LESIONS, len(LESION_COLUMNS))
    painted = _trunk(own, person, zoom * x, zoom * y, level, none, side, (widest, widest), zoom=zoom)
    tissues = _shares(painted, size)
    dose = person.dose * labels.view(-1, 1, 1)
    hu = _hounsfield(own.stream(40), dose, tissues, size, (widest, widest))[:, 0]
    # The couch below the back: two shells of a curved board.
    x, y, _ = _positions(size, 1, widest, HEIGHT, None)
    x, y, outside = zoom * x, zoom * y, tissues[:, AIR]
    lowest = torch.where(outside < 0.5, y, -widest).amax(dim=(1, 2), keepdim=True)
    below = y - lowest - place.uniform(2, 10) + place.uniform(20, 70) * (x / 200) ** 2
    thick = place.uniform(18, 40)
    board = bump(below / 2.5) + bump((below - thick) / 2.5)
    hu = hu + place.uniform(300, 900) * board * outside * (x.abs() < 210)
    spacing = (zoom * widest / size).view(-1, 1).expand(-1, 2)
    return hu.round().clamp(-1024, 3071).to(torch.int16), spacing


# Tissue shares to signal
# ------------------------------------------------------------------------------------------------------


def _shares(painted: Tensor, size: int) -> Tensor:
    """Return the tissues' shares in pixels; a volume is painted less finely from plane to plane."""
    return shares(painted, len(TISSUES), [fine // size for fine in painted.shape[1:]])


def _mr(name: str, rho: Tensor, t1: Tensor, t2: Tensor) -> Tensor:
    if name == "t1":
        return signal.gradient_echo(rho, t1, t2, **T1)
    (outflow,) = columns("body", "outflow", device=rho.device)
    return (1 - outflow) * signal.spin_echo(rho, t1, t2, **T2)


@cache
def maximum(contrast: str) -> Scale:
    """Return the scale of an MR contrast: no signal is -1, 1.15 times that of the strongest tissue is 1."""
    strength = _mr(contrast, *columns("body", "pd", "t1", "t2"))
    return Scale(0.0, 1.15 * strength.max().item(), "of the signal of water at equilibrium")


def _images(
    own: Subjects,
    person: "_Person",
    tissues: Tensor,
    contrasts: Sequence[str],
    size: int,
    span: tuple[float, ...],
) -> dict[str, Tensor]:
    images = {}
    for number, name in enumerate(CONTRASTS):
        if name not in contrasts:
            continue
        # Every contrast has numbers of its own, so its noise does not depend on which others are wanted.
        apart = own.stream(40 + number)
        if name == "ct":
            images[name] = CT_SCALE.normalised(_hounsfield(apart, person.dose, tissues, size, span))
            continue
        texture = _texture(apart, size, span)
        varied = apart.normal(3, len(TISSUES))
        sigma = apart.uniform(0.5, 1.0)[:, None]
        space = [size] * own.dim
        rho, t1, t2 = columns("body", "pd", "t1", "t2", device=own.device)
        rho = rho * torch.exp(0.01 * varied[:, 0])
        t1, t2 = t1 * torch.exp(0.04 * varied[:, 1]), t2 * torch.exp(0.04 * varied[:, 2])
        clean = mixed(_mr(name, rho, t1, t2), tissues)
        scale = maximum(name)
        clean = clean * (1 + 0.05 * texture)
        coil = apart.field(1, 160.0, size, span, _extent(span))
        noise = torch.stack([apart.normal(1, *space), apart.normal(1, *space)])
        seen = signal.rician(signal.biased(clean, 0.08 * coil), noise, sigma=0.025 * scale.high * sigma)
        images[name] = scale.normalised(seen)
    return images


def _extent(span: tuple[float, ...]) -> float:
    """Return what random fields cover (mm), so that a subject is the same in every field of view."""
    return max(FOV, *span)


def _texture(apart: Subjects, size: int, span: tuple[float, ...]) -> Tensor:
    fine, broad = (apart.field(1, scale, size, span, _extent(span)) for scale in (9.0, 30.0))
    return 0.8 * fine + 0.6 * broad


def _hounsfield(apart: Subjects, dose: Tensor, tissues: Tensor, size: int, span: tuple[float, ...]) -> Tensor:
    """Return noisy CT in HU, ``(n, 1, *space)``, after a relative dose of contrast agent."""
    texture = _texture(apart, size, span) * (1 - tissues[:, AIR : AIR + 1])
    apart.normal(3, len(TISSUES))  # what MR takes for its tissues, in the same order
    sigma = apart.uniform(0.5, 1.0)[:, None]
    hu, gain = columns("body", "hu", "gain", device=apart.device)
    clean = mixed(hu + dose.view(-1, 1) * gain, tissues)
    return clean + 5 * texture + 11 * sigma * apart.normal(1, *[size] * apart.dim)


# Anatomy
# ------------------------------------------------------------------------------------------------------


@dataclass(frozen=True, eq=False)
class _Person:
    """What holds for the whole of a subject: each ``(n, 1, 1)``, or ``(n, 1, 1, 1)`` in 3-D."""

    female: Tensor  # bool
    size: Tensor  # relative stature
    fat: Tensor  # mm below the skin
    inner: Tensor  # fat between the organs: widens the trunk's front
    dose: Tensor  # of contrast agent, relative
    shift: tuple[Tensor, Tensor]
    turn: Tensor


@dataclass(frozen=True, eq=False)
class _Body:
    """A trunk in the making: positions in the frame of a standard body, fields, and what is painted."""

    x: Tensor
    y: Tensor
    z: Tensor
    depth: Tensor  # below the surface of the muscles
    wall: Tensor  # thickness of the muscles
    mid: tuple[Tensor, ...]  # fields that vary over 50 mm
    fine: tuple[Tensor, ...]  # over 18 mm
    painted: Tensor

    def fill(self, where: Tensor, tissue: int) -> None:
        paint(self.painted, where, tissue)

    def ball(
        self, at: Sequence[Tensor | float], axes: Sequence[Tensor | float], *, mirrored: bool = False
    ) -> Tensor:
        """Return the squared radius in semi-axes: below 1 inside; ``mirrored``, one on each side."""
        up = (self.z - at[2]) / axes[2]
        return torch.addcmul(self.column(at, axes, mirrored=mirrored), up, up)

    def column(
        self, at: Sequence[Tensor | float], axes: Sequence[Tensor | float], *, mirrored: bool = False
    ) -> Tensor:
        """Return the squared radius in semi-axes of an elliptic cylinder along z."""
        x = self.x.abs() if mirrored else self.x
        across, along = (x - at[0]).div_(axes[0]), (self.y - at[1]).div_(axes[1])
        return across.square_().addcmul_(along, along)

    def tube(
        self,
        start: Sequence[float],
        end: Sequence[float],
        radius: Sequence[Tensor | float],
        *,
        mirrored: bool = False,
    ) -> Tensor:
        """Return the distance from a line in radii, which go from the first to the second."""
        x = self.x.abs() if mirrored else self.x
        way = [b - a for a, b in zip(start, end, strict=True)]
        length = math.fsum(w * w for w in way)
        offsets = [p - a for p, a in zip((x, self.y, self.z), start, strict=True)]
        along = torch.zeros_like(self.depth)
        for offset, step in zip(offsets, way, strict=True):
            along.add_(offset, alpha=step / length)
        along.clamp_(0, 1)
        gap = torch.zeros_like(along)
        for offset, step in zip(offsets, way, strict=True):
            off = torch.sub(offset, along, alpha=step)
            gap.addcmul_(off, off)
        return gap.sqrt_().div_(radius[0] + (radius[1] - radius[0]) * along)


def _positions(
    side: int, planes: int, fov: float, height: float, device: torch.device | None
) -> tuple[Tensor, Tensor, Tensor]:
    """Return x and y of the pixels, ``(side, side)``, and z of the planes from top to bottom."""
    x, y = grid(side, fov, device=device)
    z = (0.5 - (torch.arange(planes, device=device) + 0.5) / planes) * height
    return x, y, z[:, None, None]


def _breathed(x: Tensor, y: Tensor, amplitude: float, dim: int) -> list[Tensor]:
    front = amplitude * torch.sigmoid((10 - y) / 25)
    moved = [-0.3 * front * x / 150, front]
    return moved + ([front * torch.exp(-(x**2 + y**2) / 150**2)] if dim == 3 else [])


def _person(own: Subjects, sex: Tensor | None) -> _Person:
    female = own.uniform(0, 1) < 0.5
    if sex is not None:
        female = (sex == 1).view(female.shape)
    fat = 7 + 26 * own.uniform(0, 1) ** 1.6 + 4 * female
    return _Person(
        female=female,
        size=own.uniform(0.94, 1.1) - 0.07 * female,
        fat=fat,
        inner=(0.92 + fat / 130 + own.uniform(-0.06, 0.1)).clamp(0.93, 1.25),
        dose=own.uniform(0.8, 1.2),
        shift=(own.uniform(-8, 8), own.uniform(-8, 8)),
        turn=own.uniform(-1, 1) ** 3 * 0.12,
    )


def _lesions(
    own: Subjects, person: _Person, level: Tensor, labels: Tensor, wanted: bool
) -> tuple[Tensor, Tensor]:
    """Return the table of lesions and their size in [0, 1]; whoever is ill has one in the right lobe."""
    own_size, count = own.each(1, 0, 1)[:, 0], own.each(1, 0, MAX_LESIONS - 0.5)[:, 0]
    ill = (labels > 0) & wanted
    rows = []
    for number in range(MAX_LESIONS):
        present = ill & ((count > number) | (number == 0))
        spread = 16.0 if number == 0 else 42.0
        x = -86 + own.each(1, -spread, spread)[:, 0]
        y = -6 + own.each(1, -spread, spread)[:, 0]
        radius = 8 + 15 * own_size if number == 0 else own.each(1, 5, 13)[:, 0]
        # A slice cuts lesions near their middle; in a volume they are at any height.
        z = level.flatten() + own.each(1, -0.4, 0.4)[:, 0] * (radius if own.dim == 2 else 60)
        scale, turn = person.size.flatten(), person.turn.flatten()
        at = (
            scale * (x * turn.cos() - y * turn.sin()) - person.shift[0].flatten(),
            scale * (x * turn.sin() + y * turn.cos()) - person.shift[1].flatten(),
            z,
        )
        rows.append(lesion_rows(present, *at, radius, labels))
    return torch.cat(rows, dim=1), own_size * ill


def _trunk(
    own: Subjects,
    person: _Person,
    x: Tensor,
    y: Tensor,
    z: Tensor,
    lesions: Tensor,
    side: int,
    span: tuple[float, ...],
    zoom: Tensor | float = 1.0,
) -> Tensor:
    """Return the tissue of every fine pixel, uint8 ``(n, *fine)``, at the positions x, y, z in mm."""
    sides = (z.shape[-3], side, side) if own.dim == 3 else (side, side)

    def fields(scale: float) -> tuple[Tensor, ...]:
        return own.field(3, scale, sides, span, _extent(span)).unbind(1)

    broad, mid, fine = tuple(field * zoom for field in fields(60.0)), fields(25.0), fields(9.0)
    frame = own.uniform(0.95, 1.05), own.uniform(0.95, 1.05), own.uniform(6, 9), own.uniform(3, 7)
    if own.dim == 2:
        return _painted(own, person, frame, (x, y, z), broad, mid, fine, lesions, zoom)
    slabs = []
    for start in range(0, sides[0], SLAB):
        slab = slice(start, start + SLAB)
        at = (x, y, z[..., slab, :, :])
        here = [tuple(field[:, slab] for field in each) for each in (broad, mid, fine)]
        slabs.append(_painted(own, person, frame, at, here[0], here[1], here[2], lesions, zoom))
    return torch.cat(slabs, dim=1)


def _painted(
    own: Subjects,
    person: _Person,
    frame: tuple[Tensor, ...],
    at: tuple[Tensor, ...],
    broad: tuple[Tensor, ...],
    mid: tuple[Tensor, ...],
    fine: tuple[Tensor, ...],
    lesions: Tensor,
    zoom: Tensor | float,
) -> Tensor:
    """Return the tissue of every fine pixel of a slice, or of some planes of a volume."""
    x, y, z = at
    x, y = x + person.shift[0], y + person.shift[1]
    x, y = x * person.turn.cos() + y * person.turn.sin(), y * person.turn.cos() - x * person.turn.sin()
    x = x / person.size + 3.0 * broad[0] + 1.0 * zoom * mid[0]
    y = y / person.size + 3.0 * broad[1] + 1.0 * zoom * mid[1]

    low, high = z.min().item(), z.max().item()
    wide = (140 + 27 * bump((z + 225) / 75) + 6 * bump((z - 110) / 70)) * frame[0]
    thick = (98 + 9 * bump((z - 110) / 70) + 4 * bump((z + 220) / 60)) * frame[1]
    front = y < 0
    thick = torch.where(front, thick * person.inner, thick)
    across, along = (x / wide).abs(), (y / thick).abs()
    level = across.square() * across.sqrt() + along.square() * along.sqrt()
    radius = (x.square() + y.square()).sqrt()
    depth = radius / level.clamp_min(1e-4).pow(0.4) - radius
    wall = frame[2] + frame[3] * across.clamp_max(1) + 0.8 * mid[2]
    painted = torch.full(
        torch.broadcast_shapes(depth.shape, wall.shape), FAT, dtype=torch.uint8, device=x.device
    )
    # Fat inside the trunk lies in front; the organs' frame is stretched with the wall.
    body = _Body(x, torch.where(front, y / person.inner, y), z, depth, wall, mid, fine, painted)
    hips = bump((z + 215) / 80)
    fat = person.fat / person.size * (0.75 + 0.3 * across.clamp_max(1) + 0.5 * hips) * (1 + 0.13 * broad[2])
    fat = fat * (1 - 0.45 * bump(x / 30) * (y > 0)) + 2  # little over the spine
    # Below the iliac crests the flanks have no wall of their own.
    flank = torch.sigmoid((y + 50) / 8) * torch.sigmoid((-165 - z) / 10)
    body.fill((depth > 0) & (depth < wall * (1 - 1.1 * flank)), MUSCLE)
    body.fill(depth < 2.6 - fat, SKIN)
    body.fill(depth < -fat, AIR)
    # Around the body nothing more is painted.
    rows, columns = ((depth >= -fat).flatten(0, -3).any(dim=axis).nonzero() for axis in ((0, 2), (0, 1)))
    if not len(rows):
        return painted
    body, lesion_at = _cropped(body, at, rows, columns)
    x, y, z, depth, wall = body.x, body.y, body.z, body.depth, body.wall
    _spine(own.stream(4), body)
    if high > -70:
        _ribs(own.stream(5), body)
    inside = depth > wall
    if high > 15:
        inside = inside & ~_thorax(own.stream(6), body, inside)
    if low < -90:
        _pelvis(own.stream(7), body, person.female)
    if high > -130:
        kidneys = _kidneys(own.stream(8), body)
        liver = _liver(own.stream(9), body, inside, kidneys)
        _upper(own.stream(10), body, inside, kidneys)
        _spots(body, lesion_at, lesions, liver)
    _vessels(own.stream(11), body)
    if low < 60:
        _bowel(own.stream(12), body, inside)
    return painted


def _cropped(
    body: _Body, at: tuple[Tensor, ...], rows: Tensor, columns: Tensor
) -> tuple[_Body, tuple[Tensor, ...]]:
    """Return what of the body and of the positions lies from the first to the last of rows and columns."""
    down, across = (slice(int(each.min()), int(each.max()) + 1) for each in (rows, columns))

    def part(whole: Tensor) -> Tensor:
        whole = whole[..., down, :] if whole.shape[-2] > 1 else whole
        return whole[..., across] if whole.shape[-1] > 1 else whole

    inner = replace(
        body, x=part(body.x), y=part(body.y), z=part(body.z), depth=part(body.depth), wall=part(body.wall),
        mid=tuple(part(field) for field in body.mid), fine=tuple(part(field) for field in body.fine),
        painted=part(body.painted),
    )  # fmt: skip
    return inner, tuple(part(each) for each in at)


def _spine(own: Subjects, body: _Body) -> None:
    rough = body.fine[0]
    x, aside, y, z = body.x, body.x.abs(), body.y - own.uniform(-3, 3), body.z
    near = (torch.remainder(z + own.uniform(-17, 17), 35.0) - 17.5).abs()  # from the middle of a vertebra
    grown = 1 - 0.0012 * (z + 20)  # lumbar vertebrae are larger
    upper = z > -135  # above the sacrum
    vertebra = ((x / (21 * grown)) ** 2 + ((y - 36) / (16.5 * grown)) ** 2).sqrt() + 0.03 * rough
    inside = (vertebra < 1) & upper
    body.fill(inside & (near > 13.5), DISC)
    solid = inside & (near <= 13.5)
    body.fill(solid, MARROW)
    body.fill(solid & ((vertebra > 0.88) | (near > 12.3)), BONE)
    canal = ((x / 9.5) ** 2 + ((y - 59) / 7.5) ** 2).sqrt()
    body.fill((canal < 1) & upper, CANAL)
    ring = (canal > 1) & (canal < 1.55 + 0.1 * rough)
    spine = (aside < 3.4 + 0.6 * rough) & (y > 66) & (y < 88) & (near > 3)
    body.fill((ring | spine) & (near < 13) & upper, BONE)
    wings = ((y - 54 - 0.2 * aside).abs() < 3.6) & (aside > 9) & (aside < 36) & (near < 6.5)
    body.fill(wings & upper, BONE)
    # Muscles of the back and beside the spine, with fat between their bundles.
    wide, gaps = own.uniform(0.9, 1.1), 0.22 * body.fine[2] + 0.15 * body.mid[2]
    back = torch.minimum(
        body.column((25.0, 76.0), (21 * wide, 17 * wide), mirrored=True),
        body.column((50.0, 69.0), (18 * wide, 13 * wide), mirrored=True),
    )
    body.fill((back < 1 + gaps) & (body.depth > 0) & (z > -190), MUSCLE)
    down = (25 - z).clamp(0, 200)
    thick = 5 + 0.16 * down.clamp_max(110)
    psoas = body.column(
        (25 + 0.13 * down, 40 - 0.35 * (down - 110).clamp_min(0)), (thick, thick * 1.1), mirrored=True
    )
    body.fill((psoas < 1 + 0.5 * gaps) & (down > 0), LEAN)
    quadratus = body.column((60.0, 60.0), (19.0, 9.0), mirrored=True)
    body.fill((quadratus < 1 + gaps) & (z < 5) & (z > -120) & (body.depth > 0), MUSCLE)


def _ribs(own: Subjects, body: _Body) -> None:
    # Ribs descend from the spine to the front; the free margin rises towards the breastbone.
    turn = torch.atan2(body.x.abs(), body.y - 10) / math.pi  # 0 behind, 1 in front
    phase = body.z + 150 * turn + own.uniform(0, 27) + own.uniform(-5, 5) * body.x.sign()
    along = torch.remainder(phase, 27.0) - 13.5
    deep = body.depth - 0.42 * body.wall
    rib = (along / (6.2 + 0.6 * body.mid[0])) ** 2 + (deep / 4.2) ** 2
    margin = -45 + 150 * (turn - 0.45).clamp_min(0)
    present = (body.z > margin) & (turn > 0.13)
    body.fill((rib < 1) & present, MARROW)
    body.fill((rib < 1) & (rib > 0.3) & present, BONE)


def _thorax(own: Subjects, body: _Body, inside: Tensor) -> Tensor:
    """Paint lungs and heart; return where they are."""
    x, y, z = body.x, body.y, body.z
    deep = torch.where(y < -10, 150.0, 105.0)
    side = (x.abs() - 70) / torch.where(x.abs() < 70, 110.0, 75.0)
    dome = torch.where(x < 0, own.uniform(86, 102), own.uniform(76, 90)) - 62 * (
        side**2 + ((y + 10) / deep) ** 2
    )
    big = own.uniform(0.9, 1.15)
    at = (own.uniform(22, 32), own.uniform(-40, -32), 118.0)
    heart = body.ball(at, (54 * big, 44 * big, 50 * big)) + 0.08 * body.mid[0]
    middle = x.abs() < 22 + 0.25 * (y + 10).abs().clamp_max(40)
    above = (z > dome + 2 * body.mid[1]) & inside
    beside = (body.column((0.0, 40.0), (36.0, 34.0)) > 1) & ~middle & (heart > 1.12)
    lung = above & beside & (z > 15)
    # Vessels of the lung, denser towards its root; lung does not hide them.
    root = body.ball((55.0, 5.0, 130.0), (65.0, 65.0, 75.0), mirrored=True)
    vessels = lung & (body.fine[0] + 0.5 * body.fine[1] > 1.9 + 0.5 * root.clamp_max(2))
    body.fill(lung & ~vessels, LUNG)
    body.fill(vessels, VEIN)
    body.fill((heart < 1) & above, MYOCARDIUM)
    left = body.ball((at[0] + 16 * big, at[1] + 2, 112.0), (20 * big, 20 * big, 32.0))
    right = body.ball((at[0] - 12, at[1] - 20 * big, 112.0), (26 * big, 14 * big, 34.0))
    atria = body.ball((at[0] - 24, at[1] + 16, 138.0), (34 * big, 24 * big, 26.0))
    body.fill(
        (torch.minimum(torch.minimum(left, right), atria) < 1 + 0.15 * body.mid[1]) & (heart < 0.86) & above,
        BLOOD,
    )
    root = body.column((own.uniform(-4, 6), -22.0), (15.0, 15.0))
    body.fill((root < 1) & (z > 150), BLOOD)
    body.fill((body.column((24.0, -20.0), (13.0, 14.0)) < 1) & (z > 155), BLOOD)
    return above & (lung | (heart < 1))


def _kidneys(own: Subjects, body: _Body) -> Tensor:
    """Paint the kidneys; return the squared radius in semi-axes of the nearer one."""
    nearest = torch.full_like(body.depth, 9.0)
    for side in (-1.0, 1.0):
        low = own.uniform(-24, -6) if side < 0 else own.uniform(-10, 8)
        size, turn = own.uniform(0.88, 1.1), own.uniform(0.35, 0.8)
        z = body.z - low
        u = side * body.x - own.uniform(58, 66) + 0.18 * z
        v = body.y - own.uniform(34, 42) - 0.08 * z
        u, v = u * turn.cos() + v * turn.sin(), v * turn.cos() - u * turn.sin()
        tall = (z / (54 * size)) ** 2
        kidney = (u / (29 * size)) ** 2 + (v / (25 * size)) ** 2 + tall + 0.05 * body.mid[0]
        sinus = ((u + 20) / (22 * size)) ** 2 + (v / (9 * size)) ** 2 + (z / 27) ** 2 + 0.2 * body.fine[1]
        whole = (kidney < 1) & (sinus > 1) & (body.depth > body.wall)
        body.fill(whole, CORTEX)
        pyramids = torch.cos(7 * torch.atan2(v, u + 14) + z / 8) > -0.35
        body.fill(whole & (kidney < 0.58) & pyramids, MEDULLA)
        # The renal pelvis and vein inside the sinus.
        body.fill((sinus < 0.3 + 0.1 * body.fine[2]) & (kidney < 1), URINE)
        vein = ((u + 34) / 22) ** 2 + ((v + 4) / 4.5) ** 2 + ((z - 4) / 6) ** 2
        body.fill(vein < 1, VEIN)
        nearest = torch.minimum(nearest, kidney)
    return nearest


def _liver(own: Subjects, body: _Body, inside: Tensor, kidneys: Tensor) -> Tensor:
    """Paint liver, gallbladder and the liver's vessels; return where the liver is."""
    rough, big = body.mid[0], own.uniform(0.92, 1.1)
    right = body.ball((-78, -4, 24), (78 * big, 92 * big, 88 * big))
    left = body.ball(
        (own.uniform(-5, 15), own.uniform(-52, -42), own.uniform(42, 52)),
        (own.uniform(62, 92), own.uniform(34, 44), own.uniform(40, 54)),
    )
    gall = body.ball(
        (own.uniform(-58, -42), own.uniform(-50, -38), own.uniform(-22, -8)),
        (own.uniform(11, 18), own.uniform(13, 22), own.uniform(26, 34)),
    )
    near = 14 * torch.sigmoid((25 - body.z) / 8)
    spine = body.column((0.0, 42.0), (34 + near, 34 + near))
    # The fissure of the falciform ligament is wide in front and ends before the hilum.
    deep = (body.y + own.uniform(64, 82)) / own.uniform(18, 34)
    fissure = (
        (body.x + own.uniform(4, 20) - 0.35 * (body.y + 60) + 4 * rough) / (4.2 - 2.6 * deep).clamp_min(0.4)
    ).abs()
    fissure = torch.where((deep < 1) & (body.z < own.uniform(20, 60)), fissure, 9.0)
    liver = (torch.minimum(right, left) < 1 + 0.1 * rough) & inside & (kidneys > 1.28)
    liver &= (spine > 1) & (fissure > 1) & (gall > 1.12) & (body.depth > body.wall + 1.5)
    body.fill(liver, LIVER)
    body.fill((gall < 1) & inside, BILE)
    wide = own.uniform(0.85, 1.2)
    porta, bend = (-26.0, -14.0, 16.0), (-58.0, -12.0, 26.0)
    vessels = [
        (porta, bend, 7.5, 6.0),
        (bend, (-112.0, -44.0, 44.0), 5.5, 2.2), (bend, (-112.0, 26.0, 20.0), 5.5, 2.2),
        (bend, (-98.0, 4.0, -30.0), 5.0, 2.0), (porta, (2.0, -44.0, 44.0), 6.0, 2.5),
        ((-22.0, 4.0, 80.0), (-108.0, 8.0, 42.0), 6.0, 2.2),
        ((-22.0, 0.0, 80.0), (-70.0, -66.0, 36.0), 5.5, 2.2),
        ((-20.0, -2.0, 80.0), (20.0, -52.0, 46.0), 5.0, 2.0),
    ]  # fmt: skip
    nearest = body.tube(*vessels[0][:2], vessels[0][2:])
    for start, end, thick, thin in vessels[1:]:
        nearest = torch.minimum(nearest, body.tube(start, end, (thick, thin)))
    body.fill((nearest < wide) & liver, VEIN)
    body.fill((liver & (body.fine[0] + 0.4 * body.fine[2] > 2.35)), VEIN)
    return liver


def _upper(own: Subjects, body: _Body, inside: Tensor, kidneys: Tensor) -> None:
    """Paint stomach, spleen and pancreas."""
    big = own.uniform(0.75, 1.12)
    stomach = body.tube((60.0, 2.0, 70.0), (60.0, -28.0, 40.0), (38 * big, 30 * big))
    stomach = torch.minimum(stomach, body.tube((60.0, -28.0, 40.0), (38.0, -58.0, 0.0), (30 * big, 23 * big)))
    stomach = torch.minimum(
        stomach, body.tube((38.0, -58.0, 0.0), (-20.0, -42.0, -12.0), (21 * big, 13 * big))
    )
    stomach = stomach + 0.07 * body.mid[1]
    free = inside & (body.depth > body.wall + 2) & (body.painted == FAT)
    body.fill((stomach < 1) & free, BOWEL)
    hollow = (stomach < 0.86) & free
    body.fill(hollow, CHYME)
    body.fill(hollow & (body.fine[1] + 0.7 * body.mid[2] > own.uniform(0.9, 2.5)), FAECES)
    body.fill(hollow & (body.y < own.uniform(-80, -25)), GAS)
    size = own.uniform(0.85, 1.18)
    u = body.x - 96 + 0.25 * (body.y - 26)
    spleen = (u / (27 * size)) ** 2 + ((body.y - 26) / (50 * size)) ** 2
    spleen = spleen + ((body.z - own.uniform(26, 44)) / (48 * size)) ** 2 + 0.12 * body.mid[0]
    body.fill((spleen < 1) & free & (kidneys > 1.3) & (stomach > 1.12), SPLEEN)
    pancreas = body.ball((-24.0, -8.0, -16.0), (16.0, 14.0, 22.0)).sqrt()
    pancreas = torch.minimum(pancreas, body.tube((-20.0, -12.0, -8.0), (14.0, -22.0, 4.0), (10.0, 9.5)))
    tail = body.tube((14.0, -22.0, 4.0), (74.0, 14.0, 26.0), (9.5, 8.5))
    pancreas = torch.minimum(pancreas, tail) + 0.16 * body.fine[0]
    body.fill((pancreas < 1) & free & (kidneys > 1.25) & (stomach > 1), PANCREAS)
    splenic = body.tube((-14.0, -6.0, 6.0), (70.0, 20.0, 28.0), (4.2, 3.6))
    body.fill((splenic < 1) & free & (kidneys > 1.1), VEIN)


def _spots(body: _Body, seen: tuple[Tensor, ...], lesions: Tensor, liver: Tensor) -> None:
    """Paint lesions where the table says; they are in the liver only."""
    if not lesions[:, :, 0].any():
        return
    rough, smooth = body.fine[0], body.mid[1]
    column = [1] * (liver.ndim - 1)
    for row in lesions.unbind(1):
        present, lx, ly, lz, radius, kind = (value.view(-1, *column) for value in row.unbind(1))
        if not present.any():
            continue
        away = [p - at for p, at in zip(seen, (lx, ly, lz), strict=True)]
        far = (away[0] ** 2 + away[1] ** 2 + away[2] ** 2).sqrt() / radius.clamp_min(1)
        here = liver & (present > 0)
        body.fill(here & (kind == 1) & (far < 1 + 0.03 * smooth), CYST)
        body.fill(here & (kind == 2) & (far < 1.3 + 0.25 * rough), INFILTRATED)
        body.fill(here & (kind == 2) & (far < 0.9 + 0.12 * rough + 0.06 * smooth), METASTASIS)
        lobed = far - 0.08 * smooth
        body.fill(here & (kind == 3) & (lobed < 1), HAEMANGIOMA)
        body.fill(here & (kind == 3) & (lobed < 1) & (lobed > 0.62 - 0.1 * rough) & (rough > -0.25), POOL)


def _vessels(own: Subjects, body: _Body) -> None:
    z, aorta = body.z, own.uniform(8.5, 12)
    down = (-105 - z).clamp_min(0)
    trunk = body.column((own.uniform(5, 11), 8 + 0.08 * (z - 40).clamp_min(0)), (aorta, aorta))
    body.fill((trunk < 1) & (down == 0), BLOOD)
    wide, flat = own.uniform(9, 13), own.uniform(6.5, 10)
    cava = body.column((own.uniform(-24, -18), 10 - 0.14 * (z - 20).clamp(0, 70)), (wide, flat))
    body.fill((cava < 1) & (z > -105) & (z < 105), VEIN)
    forward = 0.42 * (down - 40).clamp_min(0)
    body.fill(
        (body.column((12 + 0.62 * down, 12 - forward), (6.5, 6.0), mirrored=True) < 1) & (down > 0), BLOOD
    )
    body.fill(
        (body.column((20 + 0.56 * down, 20 - forward), (7.5, 6.5), mirrored=True) < 1) & (down > 0), VEIN
    )
    body.fill((body.column((4.0, -13.0), (3.8, 3.8)) < 1) & (z < 10) & (z > -60), BLOOD)
    body.fill((body.column((-9.0, -14.0), (5.5, 5.5)) < 1) & (z < 6) & (z > -60), VEIN)


def _bowel(own: Subjects, body: _Body, inside: Tensor) -> None:
    rough = body.fine[0]
    free = inside & (body.depth > body.wall + 2) & (body.painted == FAT)
    width = own.uniform(0.75, 1.15)
    colon = body.tube((-98.0, 4.0, -130.0), (-94.0, -6.0, -20.0), (25 * width, 21 * width))
    for start, end, thick, thin in (
        ((104.0, 24.0, 20.0), (100.0, 14.0, -130.0), 17, 15),
        ((100.0, 14.0, -130.0), (35.0, 25.0, -180.0), 15, 14),
        ((35.0, 25.0, -180.0), (0.0, 50.0, -200.0), 14, 14),
        ((-92.0, -32.0, -16.0), (-5.0, -72.0, -42.0), 18, 19),
        ((-5.0, -72.0, -42.0), (96.0, -26.0, 22.0), 19, 17),
    ):  # fmt: skip
        colon = torch.minimum(colon, body.tube(start, end, (thick * width, thin * width)))
    colon = colon + 0.09 * body.mid[1] + 0.04 * rough
    body.fill((colon < 1) & free, BOWEL)
    hollow = (colon < 0.84) & free
    body.fill(hollow, FAECES)
    full = own.uniform(0.2, 1.6)
    body.fill(hollow & (body.fine[1] + 0.6 * body.mid[2] - 0.012 * body.y > full), GAS)
    # Loops of small bowel wind downwards; where two touch there is a wall between them.
    first = torch.full_like(body.depth, 9.0)
    second = first
    top = own.uniform(-12, 12)
    there = 1e-3 + torch.sigmoid((top - body.z) / 6) * torch.sigmoid((body.z + 192) / 6)
    for row in range(3):
        for column in range(5):
            at = (-66 + 34 * column + 9 * (row % 2) + own.uniform(-9, 9), -70 + 27 * row + own.uniform(-7, 7))
            turn = body.z / own.uniform(16, 26) + own.uniform(0, 6.3)
            radius = own.uniform(10, 17) * there
            place = (at[0] + 12 * turn.sin(), at[1] + 9 * (1.3 * turn).cos())
            loop = body.column(place, (radius * own.uniform(0.9, 1.5), radius))
            second = torch.minimum(second, torch.maximum(first, loop))
            first = torch.minimum(first, loop, out=loop)
    uneven = 0.16 * rough + 0.2 * body.mid[1]
    first, second = first + uneven, second + uneven
    free = free & (colon > 1.05) & (body.column((0.0, 36.0), (40.0, 42.0)) > 1)
    body.fill((first < 1) & free, BOWEL)
    hollow = (first < 0.66) & (second - first > 0.35) & free
    body.fill(hollow, CHYME)
    body.fill(hollow & (body.fine[1] - 0.02 * (body.y + 40) > own.uniform(1.2, 2.6)), GAS)
    # Vessels of the mesentery.
    fold = free & (body.z < 20) & (body.z > -180) & (body.y < 15) & (body.x.abs() < 80)
    body.fill(fold & (body.fine[2] + 0.3 * rough > 1.75), VEIN)


def _pelvis(own: Subjects, body: _Body, female: Tensor) -> None:
    x, aside, y, z = body.x, body.x.abs(), body.y, body.z
    rough, gaps = body.fine[0], 0.2 * body.fine[2] + 0.15 * body.mid[2]
    wide = own.uniform(0.95, 1.05) + 0.04 * female
    under = body.depth > 0

    def bone(where: Tensor, core: Tensor) -> None:
        body.fill(where & under, MARROW)
        body.fill(where & ~core & under, BONE)

    # Sacrum and coccyx: a curved wedge.
    drop = (-135 - z).clamp(0, 110)
    arc = 48 + 20 * torch.sin(drop / 110 * 2.6)
    half = (46 - 0.36 * drop).clamp_min(5)
    sacrum = (x / half) ** 2 + ((y - arc - 0.12 * aside) / (15 - 0.07 * drop)) ** 2 + 0.1 * rough
    bone((sacrum < 1) & (z < -130) & (z > -238), sacrum < 0.62)
    # Wings of the ilium: plates from the sacrum outwards and to the front.
    reach = ((z + 95) / -75).clamp(0, 1)
    along = ((52 * wide - aside) * -0.62 + (58 - y) * 0.78) / (100 * (1 - 0.62 * reach) + 1)
    off = (aside - 52 * wide) * 0.78 + (y - 58) * 0.62 - (16 * (along - 0.5) ** 2 - 4) * 2
    thick = 5.5 + 5 * (along - 0.9).clamp_min(0) * 4 + 3 * reach
    plate = (off / thick.clamp(4, 12)) ** 2 + 0.12 * rough
    wing = (plate < 1) & (along > 0) & (along < 1) & (z < -98) & (z > -205)
    bone(wing, plate < 0.42)
    # Hip: head of the femur in its socket, neck, trochanter, shaft.
    hip = (90 * wide, -4.0, -222.0)
    head = body.ball(hip, (24.0, 24.0, 24.0), mirrored=True).sqrt()
    medial = (aside - hip[0]) * -0.8 + (y.abs() - 4) * 0.25 + (z - hip[2]) * 0.5
    socket = (head > 1.1) & (head < 1.46 + 0.06 * rough) & (medial > -4)
    bone(socket, (head > 1.2) & (head < 1.38))
    neck = body.tube((92.0, -2.0, -224.0), (126.0, 8.0, -242.0), (16.0, 17.0), mirrored=True)
    shaft = body.tube((127.0, 10.0, -246.0), (112.0, 2.0, -400.0), (18.0, 15.0), mirrored=True)
    femur = torch.minimum(torch.minimum(head, neck), shaft)
    bone(femur < 1, (femur < 0.86) & ((shaft < 0.55) | (z > -270)))
    body.fill((head > 1) & (head < 1.1) & (medial > -4) & under, DISC)
    # Pubis in front, ischium behind.
    pubis = body.tube((78.0, -28.0, -224.0), (9.0, -52.0, -244.0), (9.0, 11.0), mirrored=True) + 0.05 * rough
    ischium = (
        body.tube((74.0, 22.0, -226.0), (54.0, 26.0, -268.0), (11.0, 14.0), mirrored=True) + 0.05 * rough
    )
    hips = torch.minimum(pubis, ischium)
    bone((hips < 1) & (head > 1.08), hips < 0.75)

    # Muscles, with fat between them.
    muscles: list[tuple[Callable[..., Tensor], tuple[float, ...], tuple[float, ...], int]] = [
        (body.ball, (74.0, 74.0, -205.0), (62.0, 34.0, 85.0), MUSCLE),  # gluteus maximus
        (body.ball, (124.0, 24.0, -178.0), (25.0, 44.0, 62.0), LEAN),  # gluteus medius
        (body.ball, (128.0, -28.0, -190.0), (17.0, 27.0, 60.0), MUSCLE),  # tensor, minimus
        (body.ball, (92.0, -42.0, -215.0), (22.0, 17.0, 90.0), LEAN),  # iliopsoas
        (body.ball, (60.0, 8.0, -222.0), (7.0, 32.0, 24.0), LEAN),  # obturator internus
        (body.ball, (62.0, 58.0, -196.0), (34.0, 9.0, 20.0), MUSCLE),  # piriformis
        (body.ball, (108.0, -70.0, -250.0), (17.0, 13.0, 60.0), LEAN),  # sartorius, rectus femoris
        (body.ball, (64.0, -46.0, -262.0), (26.0, 15.0, 26.0), MUSCLE),  # pectineus
        (body.ball, (62.0, -10.0, -262.0), (22.0, 24.0, 24.0), LEAN),  # obturator externus, adductors
        (body.ball, (104.0, 40.0, -246.0), (26.0, 16.0, 26.0), MUSCLE),  # quadratus femoris
        (body.ball, (112.0, 0.0, -340.0), (56.0, 62.0, 85.0), LEAN),  # thigh
    ]
    first = torch.full_like(body.depth, 9.0)
    second, kind = first, torch.zeros_like(body.painted)
    for make, at, axes, tissue in muscles:
        muscle = make((at[0] * wide, at[1] + own.uniform(-3, 3), at[2]), axes, mirrored=True)
        kind = torch.where(muscle < first, tissue, kind)
        first, second = torch.minimum(first, muscle), torch.minimum(second, torch.maximum(first, muscle))
    meat = (first < 1 + gaps) & (second - first > 0.12) & under
    body.fill(meat & (kind == LEAN), LEAN)
    body.fill(meat & (kind == MUSCLE), MUSCLE)

    # Bladder, rectum, prostate or uterus.
    full = own.uniform(0.7, 1.15)
    bladder = (
        body.ball(
            (own.uniform(-5, 5), -36 + 6 * (1 - full), -214 - 8 * (1 - full)),
            (42 * full, 30 * full, 32 * full),
        )
        + 0.08 * body.mid[0]
    )
    body.fill(bladder < 1, URINE)
    body.fill(bladder < (1 + 0.16 / full) ** 2, BOWEL)
    wall = own.uniform(14, 22)
    rectum = (
        ((x - own.uniform(-6, 6)) / wall) ** 2
        + ((y - 34 - 0.1 * drop) / (0.85 * wall)) ** 2
        + 0.12 * body.mid[1]
    )
    low = (z < -165) & (sacrum > 1.05)
    body.fill((rectum < 1) & low, BOWEL)
    body.fill((rectum < 0.55) & low, FAECES)
    body.fill((rectum < 0.5) & low & (body.fine[1] > own.uniform(-0.5, 1.5)), GAS)
    swollen = own.uniform(0.85, 1.25)
    prostate = body.ball((0.0, -6.0, -240.0), (22 * swollen, 17 * swollen, 16 * swollen))
    seminal = body.ball((0.0, 6.0, -216.0), (30.0, 6.0, 10.0)) + 0.25 * rough
    body.fill((torch.minimum(prostate, seminal) < 1) & ~female, PROSTATE)
    uterus = body.ball((own.uniform(-10, 10), 0.0, -200.0), (27 * swollen, 19 * swollen, 24.0))
    vagina = body.ball((0.0, 8.0, -236.0), (18.0, 6.0, 24.0))
    body.fill((torch.minimum(uterus, vagina) < 1 + 0.08 * body.mid[2]) & female, UTERUS)
