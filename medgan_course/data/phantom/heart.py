r"""HEART: short-axis slices and volumes of a heart, computed, with everything that is true of it.

The left ventricle is half an ellipsoid that hangs from the plane of its valves; its wall lies between

.. math:: \frac{\rho^2}{a^2} + \frac{z^2}{L^2} = 1
    \qquad\text{and}\qquad \frac{\rho^2}{b^2} + \frac{z^2}{(L+t)^2} = 1,

:math:`\rho` being the distance from the long axis, :math:`t` the thickness of the wall and :math:`z \le 0`
the height. With the phase :math:`\phi`, 0 at the end of diastole and 1 at the end of systole, the cavity
narrows, and since muscle cannot be compressed the wall keeps its area and thickens:

.. math:: a(\phi) = a_0\,(1 - c\,\phi), \qquad b(\phi)^2 = a(\phi)^2 + (a_0 + t)^2 - a_0^2

Around it: papillary muscles, the right ventricle's crescent, epicardial fat, lungs, the diaphragm with liver,
spleen and stomach below, aorta, spine, and the chest wall with its ribs. An infarct leaves a scar: a sector
of the wall, from the inside outwards, thinner than the rest and with less contrast agent. Hypertrophy
thickens the wall; dilatation widens the cavity, thins the wall and weakens the contraction :math:`c`.

MR is a balanced steady-state free precession (:func:`balanced`), in which blood is bright and a scar looks
like muscle; late enhancement (:func:`late`) shows it white. CT is that of the
arterial phase of a contrast agent. Positions are in mm as the radiologist sees a short axis: x to the right,
y down, z up along the long axis, 0 at the valves. No result on it says anything about patients.
"""

import math
from collections.abc import Iterable, Sequence

import torch
from torch import Tensor

from medgan_course.data import signal
from medgan_course.data.kspace import kspace_crop
from medgan_course.data.phantom.common import (
    Phantoms,
    Subjects,
    bump,
    checked,
    columns,
    divisible,
    fineness,
    grid,
    lesion_rows,
    mixed,
    outline_columns,
    outlined,
    paint,
    shares,
    tissue_table,
    within,
)
from medgan_course.data.scale import Scale

FOV = 190.0  # mm, the side of a slice
HEIGHT = 112.0  # mm, that the planes of a volume span, from above the valves to below the apex
CONTRASTS = ("mr", "ct", "mr_low", "late")
USUAL = ("mr", "ct")
CT_SCALE = Scale(-250.0, 550.0, "HU")
CLASSES = ("normal", "infarct", "hypertrophy", "dilatation")
LESION_COLUMNS = {dim: (*outline_columns(dim), "transmurality") for dim in (2, 3)}

# In the order in which they cover each other, as in the table of tissues.
TISSUES = (
    "air", "gas", "skin", "bone", "marrow", "canal", "lung", "blood", "vein", "liver", "spleen", "scar",
    "myocardium", "chyme", "muscle", "fat",
)  # fmt: skip
(
    AIR, GAS, SKIN, BONE, MARROW, CANAL, LUNG, BLOOD, VEIN, LIVER, SPLEEN, SCAR, MYOCARDIUM, CHYME, MUSCLE,
    FAT,
) = range(len(TISSUES))  # fmt: skip

LATE = {"tr": 1600.0, "te": 3.0}  # every other heartbeat; TI: the null of healthy myocardium
RELAXIVITY = 4.5e-3  # of gadolinium at 1.5 T, l / (mmol ms); to be confirmed
MR = {"tr": 3.2, "te": 1.6, "flip": math.radians(55)}
CHUNK = {2: 8, 3: 1}
FINE = {2: 128, 3: 48}
THIN = 2  # planes painted for each plane of a volume


def balanced(rho: Tensor, t1: Tensor, t2: Tensor, *, tr: float, te: float, flip: float) -> Tensor:
    r"""Return the signal of a balanced steady-state free precession on resonance.

    .. math::
        S = \rho\,\sin\alpha\,\frac{1 - E_1}{1 - (E_1 - E_2)\cos\alpha - E_1 E_2}\,e^{-TE/T_2},
        \qquad E_{1,2} = e^{-TR/T_{1,2}}

    Scheffler & Lehnhardt 2003, Principles and applications of balanced SSFP techniques, European Radiology
    13, 2409-2418 (the equation is the textbook's; its number there is to be confirmed).

    Parameters
    ----------
    rho, t1, t2 : Tensor
        Proton density, relaxation times (ms).
    tr, te, flip : float
        Repetition and echo time (ms), flip angle (radians).
    """
    e1, e2 = torch.exp(-tr / t1), torch.exp(-tr / t2)
    steady = (1 - e1) / (1 - (e1 - e2) * math.cos(flip) - e1 * e2)
    return rho * math.sin(flip) * steady * torch.exp(-te / t2)


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
    level: float | None = None,
    phase: float | None = None,
) -> Phantoms:
    """Compute a short-axis slice, or a volume of planes that span :data:`HEIGHT` mm, of every subject.

    They are the same at all levels and phases; a disease changes nothing but the left ventricle.

    Parameters
    ----------
    subjects, size, seed, labels, dim, device
        As of all families; see :mod:`medgan_course.data.phantom.common`.
    contrasts : sequence of str
        Some of "mr", "ct", "late" and "mr_low". "late" is late enhancement, in which healthy myocardium is
        black and the scar white. "mr_low" is "mr" of lower resolution: in 2-D from the middle of k-space,
        ``(N, 1, size/2, size/2)``; in 3-D of slices four times as thick, ``(N, 1, size/4, size, size)``.
    fov : float
        Side of a slice in mm, from 40 to :data:`FOV`.
    level : float, optional
        Of all slices, 0 at the apex and 1 at the base; left out, everyone has their own.
    phase : float, optional
        Of all subjects, 0 at the end of diastole and 1 at the end of systole; left out, everyone has their
        own.

    Returns
    -------
    Phantoms
        Images and truth. ``severity`` says how far the disease has gone. ``lesions`` has one row, the scar in
        the image, zeros where the slice misses it: :data:`LESION_COLUMNS` of ``dim``, transmurality being the
        share of the wall, from inside, that it takes.
        ``facts`` has "scar", the whole of it: present, the angle of its middle (radians, 0 to the right of
        the image, growing downwards), the sector's width (radians), z of its middle above the valves, its
        height (mm), and its transmurality; "level", "phase", "wall" and "radius" (thickness of the wall and
        the cavity's radius at the base at the end of diastole, mm), "contraction" (:math:`c`), and "cavity",
        the area of the left ventricle's ellipse at the level (mm²), without papillary muscles; and "seen",
        whether any of the scar is in the image: a slice may miss it.
    """
    asked = checked(
        "heart", subjects, size=size, seed=seed, labels=labels, classes=CLASSES,
        contrasts=contrasts, known=CONTRASTS, dim=dim, device=device,
    )  # fmt: skip
    divisible(size, "mr_low", asked.contrasts, 4)
    fov = within("fov", fov, 40, FOV, "mm")
    level = None if level is None else within("level", level, 0, 1)
    phase = None if phase is None else within("phase", phase, 0, 1)
    return asked.phantoms(_part, CHUNK[dim], level=level, phase=phase, fov=fov)


def _part(
    own: Subjects, labels: Tensor, size: int, contrasts: Sequence[str],
    level: float | None, phase: float | None, fov: float,
) -> Phantoms:  # fmt: skip
    dim, apart = own.dim, own.stream(2)
    one = torch.ones(len(own), *[1] * dim, device=own.device)
    levels = apart.uniform(0.12, 0.97)
    levels = levels if level is None else level * one
    phases = apart.uniform(0, 1)
    phases = phases if phase is None else phase * one
    kind = labels.view(one.shape)
    severity = apart.uniform(0.15, 1) * (kind > 0)
    infarct, thick, dilated = (severity * (kind == number) for number in (1, 2, 3))

    length = own.uniform(68, 84)
    radius = own.uniform(21, 26) * (1 - 0.15 * thick) * (1 + 0.45 * dilated)
    wall = own.uniform(8, 10.5) * (1 + 0.9 * thick) * (1 - 0.25 * dilated)
    contraction = own.uniform(0.3, 0.4) * (1 - 0.6 * dilated) * (1 - 0.4 * infarct)
    scar = own.stream(3)
    # Where the anterior, lateral or inferior artery leads.
    angle = scar.uniform(-math.pi, math.pi)
    scars = lesion_rows(
        infarct > 0, angle, 0.7 + 1.3 * infarct, -length * scar.uniform(0.35, 0.65),
        length * (0.7 + 0.5 * infarct), 0.35 + 0.65 * infarct,
    )  # fmt: skip

    factor = fineness(size, FINE[dim]) if dim == 3 else max(2, fineness(size, FINE[dim]))
    planes = size * THIN if dim == 3 else 1
    heights = (0.5 - (torch.arange(planes, device=own.device) + 0.5) / planes) * HEIGHT
    plane = -(1 - levels) * length
    z = plane if dim == 2 else heights.view(1, planes, 1, 1) - 0.5 * length
    painted, scarred = _anatomy(
        own, z, length, radius, wall, contraction, phases, infarct, scars[:, 0], size * factor, fov, planes
    )
    tissues = shares(painted, len(TISSUES), [side // size for side in painted.shape[1:]])
    lesion = tissues[:, SCAR : SCAR + 1] >= 0.5
    narrowed = radius * (1 - contraction * phases)
    cavity = math.pi * narrowed**2 * (levels * (2 - levels))
    return Phantoms(
        images=_images(own, tissues, contrasts, size, fov),
        scales={name: CT_SCALE if name == "ct" else maximum(name) for name in contrasts},
        tissue_names=TISSUES,
        tissues=tissues,
        lesion=lesion,
        lesion_columns=LESION_COLUMNS[dim],
        lesions=lesion_rows(*outlined(scarred, (HEIGHT, fov, fov)[-dim:]), scars[:, :, 5]),
        labels=labels,
        severity=severity.flatten(),
        facts={
            "scar": scars[:, 0],
            "level": levels.flatten(),
            "phase": phases.flatten(),
            "wall": wall.flatten(),
            "radius": radius.flatten(),
            "contraction": contraction.flatten(),
            "cavity": cavity.flatten(),
            "seen": lesion.flatten(1).any(dim=1),
        },
        subject=own.numbers,
        seed=own.seed,
    )


# Tissue shares to signal
# ------------------------------------------------------------------------------------------------------


def late(rho: Tensor, t1: Tensor, t2: Tensor, gadolinium: Tensor) -> Tensor:
    """Return the signal of late enhancement: an inversion recovery at the null of healthy myocardium.

    Parameters
    ----------
    rho, t1, t2, gadolinium : Tensor
        ``(..., K)``: proton density, relaxation times without contrast agent (ms), and the agent's
        concentration ten minutes after the injection (mmol/l), of :data:`TISSUES`.
    """
    shortened = signal.enhanced_t1(t1, gadolinium, relaxivity=RELAXIVITY)
    healthy = tissue_table("body")["myocardium"]
    rate = 1 / healthy["t1"] + RELAXIVITY * healthy["gadolinium"]
    return signal.inversion_recovery(rho, shortened, t2, ti=signal.null_time(1 / rate, LATE["tr"]), **LATE)


def _mr(name: str, rho: Tensor, t1: Tensor, t2: Tensor) -> Tensor:
    if name == "late":
        return late(rho, t1, t2, _columns("gadolinium", device=rho.device)[0])
    return balanced(rho, t1, t2, **MR)


def _columns(*names: str, device: torch.device | None = None) -> list[Tensor]:
    return columns("body", *names, tissues=TISSUES, device=device)


def maximum(contrast: str) -> Scale:
    """Return the scale of MR: no signal is -1, a tenth above arterial blood, or above a scar, is 1."""
    strength = _mr(contrast, *_columns("pd", "t1", "t2"))
    strongest = strength[SCAR if contrast == "late" else BLOOD].item()
    return Scale(0.0, 1.1 * strongest, "of the signal of water at equilibrium")


def _images(
    own: Subjects, tissues: Tensor, contrasts: Sequence[str], size: int, fov: float
) -> dict[str, Tensor]:
    images = {}
    span = (HEIGHT, fov, fov)[-own.dim :]
    for number, name in enumerate(CONTRASTS):
        if name not in contrasts:
            continue
        # Every contrast has numbers of its own, so its noise does not depend on which others are wanted.
        apart = own.stream(40 + number)
        sigma = apart.uniform(0.5, 1.0)[:, None]
        if name == "ct":
            texture = _texture(apart, size, span)
            hu, gain = _columns("hu", "arterial", device=own.device)
            dose = apart.uniform(0.85, 1.15)
            clean = mixed(hu + dose.view(-1, 1) * gain, tissues)
            body = 1 - tissues[:, AIR : AIR + 1]
            noise = apart.normal(1, *clean.shape[2:])
            images[name] = CT_SCALE.normalised(clean + 8 * body * texture + 18 * sigma * noise)
            continue
        # All MR images see one heart: tissue and coil are the same, noise is not.
        shared = own.stream(40)
        shared.uniform(0, 1)
        texture = _texture(shared, size, span)
        coil = shared.field(1, 90.0, size, span, FOV)
        varied = shared.normal(3, len(TISSUES))
        rho, t1, t2 = _columns("pd", "t1", "t2", device=own.device)
        rho = rho * torch.exp(0.01 * varied[:, 0])
        t1, t2 = t1 * torch.exp(0.04 * varied[:, 1]), t2 * torch.exp(0.04 * varied[:, 2])
        clean = mixed(_mr(name, rho, t1, t2), tissues)
        clean = signal.biased(clean * (1 + 0.04 * texture), 0.12 * coil)
        if name == "mr_low":
            thin = clean.shape[2]
            clean = kspace_crop(clean, 2) if own.dim == 2 else clean.unflatten(2, (thin // 4, 4)).mean(dim=3)
        noise = torch.stack([apart.normal(1, *clean.shape[2:]), apart.normal(1, *clean.shape[2:])])
        top = maximum(name)
        images[name] = top.normalised(signal.rician(clean, noise, sigma=0.03 * top.high * sigma))
    return images


def _texture(apart: Subjects, size: int, span: tuple[float, ...]) -> Tensor:
    fine, broad = (apart.field(1, scale, size, span, FOV) for scale in (8.0, 25.0))
    return 0.8 * fine + 0.6 * broad


# Anatomy
# ------------------------------------------------------------------------------------------------------


def _anatomy(
    own: Subjects, z: Tensor, length: Tensor, radius: Tensor, wall: Tensor, contraction: Tensor,
    phase: Tensor, infarct: Tensor, scar: Tensor, side: int, fov: float, planes: int,
) -> tuple[Tensor, Tensor]:  # fmt: skip
    """Return the tissue of every fine pixel, uint8 ``(n, *fine)``, and where the scar is drawn."""
    sides = (planes, side, side)[-own.dim :]
    span = (HEIGHT, fov, fov)[-own.dim :]

    def fields(scale: float) -> tuple[Tensor, ...]:
        return own.field(3, scale, sides, span, FOV).unbind(1)

    broad, mid, fine = fields(45.0), fields(18.0), fields(6.0)
    u, v = grid(side, fov, device=own.device)
    u, v = u + own.uniform(-12, 2), v + own.uniform(-8, 6)
    x, y = u + 1.2 * broad[0] + 0.5 * mid[0], v + 1.2 * broad[1] + 0.5 * mid[1]
    painted = torch.full((x + z).shape, FAT, dtype=torch.uint8, device=own.device)

    def fill(where: Tensor, tissue: int) -> None:
        paint(painted, where, tissue)

    # The chest: depth below the inner surface of its wall.
    wide, tall = own.uniform(104, 118), own.uniform(84, 98)
    cx, cy = own.uniform(-24, -10), own.uniform(16, 30)
    px, py = x - cx, y - cy
    r = (px**2 + py**2).sqrt()
    depth = r / ((px / wide).abs() ** 2.5 + (py / tall).abs() ** 2.5).clamp_min(1e-4) ** 0.4 - r
    thick = own.uniform(11, 17) + 1.2 * broad[2]
    fat = own.uniform(5, 24)
    fill((depth < 0) & (depth > -thick) & (fine[2] + 0.6 * mid[1] < 1.9), MUSCLE)
    fill(depth < -thick - fat, SKIN)
    fill(depth < -thick - fat - 2.5, AIR)
    turn = torch.atan2(py, px)
    ribs = torch.remainder(turn * own.uniform(11, 14) + z / 8 + own.uniform(0, 6.3), 2 * math.pi) - math.pi
    rib = (ribs / 0.85) ** 2 + ((depth + 0.42 * thick) / 4.0) ** 2
    fill(rib < 1, MARROW)
    fill((rib < 1) & (rib > 0.35), BONE)

    # The heart. Everything about the left ventricle follows from two surfaces.
    turned = torch.atan2(y, x)
    oval = 1 + own.uniform(-0.07, 0.07) * torch.cos(2 * turned + own.uniform(0, 6.3))
    rho = (x**2 + y**2).sqrt() * oval + 0.35 * mid[1]
    inner = radius * (1 - contraction * phase)
    outer = (inner**2 + (radius + wall) ** 2 - radius**2).sqrt()
    high = (-z / length).clamp_min(0)
    # The scar's wall has become thinner, from outside.
    _, at, width, middle, height, share = (column.view(radius.shape) for column in scar.unbind(1))
    away = torch.remainder(turned - at + math.pi, 2 * math.pi) - math.pi
    sector = bump((away / (0.62 * width + 1e-3)) ** 2) * bump(((z - middle) / (0.5 * height + 1e-3)) ** 2)
    sector = sector * (infarct > 0)
    outer = outer - 0.45 * infarct * sector * (outer - inner)
    long = length + wall
    cavity = rho**2 / inner**2 + high**2
    heart = rho**2 / outer**2 + (-z / long).clamp_min(0) ** 2
    under = z < 4

    # Right ventricle: a crescent around the septum, as long as three quarters of the left one.
    lean = own.uniform(-0.35, 0.25)
    rx, ry = x * lean.cos() + y * lean.sin(), y * lean.cos() - x * lean.sin()
    shrink = 1 - 0.22 * phase
    down = (-z / (length * own.uniform(0.78, 0.92))).clamp_min(0) ** 2
    right = (
        ((rx + own.uniform(27, 33)) / (own.uniform(28, 36) * shrink)) ** 2
        + ((ry - 4) / (own.uniform(36, 44) * (0.9 + 0.1 * shrink))) ** 2
        + down
        + 0.05 * mid[0]
    )
    right_wall = (right.sqrt() - 1) * 31 < own.uniform(2.6, 4.0)
    body = torch.minimum(heart, right / 1.3)

    # Spine and descending aorta.
    sx, sy = x + own.uniform(46, 60), y - own.uniform(66, 78)
    spine = (sx / 19) ** 2 + (sy / 16) ** 2
    fill((spine < 1) & (sy > -30), MARROW)
    fill((spine < 1) & (spine > 0.78), BONE)
    fill((sx / 8) ** 2 + ((sy - 23) / 6.5) ** 2 < 1, CANAL)
    around = (spine < 2.8) & (depth > 0)
    fill(around & (sy > 8), MUSCLE)
    ax, ay, thickness = sx - own.uniform(24, 30), sy + own.uniform(4, 14), own.uniform(9.5, 12.5)
    fill(ax**2 + ay**2 < thickness**2, BLOOD)

    # Diaphragm: liver to the left of the image, spleen and stomach to the right.
    dome = own.uniform(48, 64) + 0.3 * z + 0.004 * (x + 10) ** 2 + 2 * mid[2] + 12 * torch.sigmoid(x / 15)
    near = (body.sqrt() - 1) * 33
    below = (y > dome) & (depth > 0) & (near > 4) & ~around & (ax**2 + ay**2 > (thickness + 2) ** 2)
    edge = own.uniform(0, 30) + 6 * broad[0]
    fill(below & (x < edge), LIVER)
    fill(below & (x < edge) & (fine[0] + 0.5 * mid[0] > 1.9), VEIN)
    fill(below & (x > edge + 38), SPLEEN)
    stomach = ((x - edge - 20) / 19) ** 2 + ((y - dome - 24) / 20) ** 2
    fill(below & (stomach < 1), MUSCLE)
    fill(below & (stomach < 0.75), CHYME)
    fill(below & (stomach < 0.75) & (y < dome + own.uniform(8, 30)), GAS)

    # Epicardial fat, thicker in the grooves; beyond it lung, and fat between heart and breastbone.
    groove = bump((right / 1.3 - heart) / 0.4)
    pad = own.uniform(0.5, 3) + 2 * broad[1] + 8 * groove * (near > 0)
    back = own.uniform(34, 50), own.uniform(46, 58)
    behind = ((x + back[0]) / 30) ** 2 + ((y - back[1]) / 34) ** 2 + 0.1 * mid[0]
    front = ((x + own.uniform(22, 44)) / own.uniform(36, 54)) ** 2 + ((y + own.uniform(54, 66)) / 27) ** 2
    front = front + 0.15 * mid[1] + 0.1 * mid[2]
    lung = (near > pad) & (depth > 1.5) & (y < dome - 2.5) & (behind > 1) & (front > 1) & ~around
    fill(lung, LUNG)
    fill(lung & (fine[1] + 0.4 * mid[0] > 2.1), VEIN)
    cava = own.uniform(8.5, 12.5)
    hole = (x + back[0] - 2) ** 2 + (y - back[1] + 8) ** 2
    fill((hole < cava**2 * (1 + 0.2 * mid[2])) & (near > 3), VEIN)

    fill((right < 1) & (heart > 1) & under, VEIN)
    fill(right_wall & (heart > 1) & under, MYOCARDIUM)
    # Above the valves: atria and the roots of the great vessels.
    above = z >= 4
    for at_x, at_y, wide_x, wide_y, tissue in (
        (8, 20, 27, 19, BLOOD), (-3, -6, 14, 14, BLOOD), (-44, 10, 20, 26, VEIN), (-28, -24, 15, 12, VEIN),
    ):  # fmt: skip
        chamber = ((x - at_x) / wide_x) ** 2 + ((y - at_y) / wide_y) ** 2 + 0.08 * mid[0]
        fill((chamber < 1) & above, tissue)
    # Trabeculae: muscle that reaches into the cavities.
    knots = 0.5 * fine[0] + 0.35 * fine[2]
    within = (cavity < 1 + 0.1 * knots) & under
    papillary = torch.zeros_like(within)
    for centre in (own.uniform(0.5, 1.1), own.uniform(-1.3, -0.5)):
        out = inner * (own.uniform(0.56, 0.68))
        size = own.uniform(3.6, 5.6) * bump((z + 0.45 * length) / (0.36 * length))
        spot = (x - out * centre.cos()) ** 2 + (y - out * centre.sin()) ** 2
        papillary |= spot < size**2 * (1 + 0.3 * mid[2])
    fill(within & ~papillary, BLOOD)
    muscle = (heart < 1) & under
    fill(muscle, MYOCARDIUM)
    through = (rho / torch.sqrt((1 - high**2).clamp_min(0.02)) - inner) / (outer - inner)
    scarred = muscle & ~within & (sector > 0.5) & (through < share + 0.08 * mid[0])
    fill(scarred, SCAR)
    return painted, scarred
