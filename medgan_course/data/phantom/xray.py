r"""XRAY2D: a child's forearm and wrist, X-rayed with and without a cast, and all that is true of it.

Thicknesses along every ray are exact for bodies of elliptical cross-section. Of a tube along y with semi-axes
:math:`a` and :math:`b`, turned by :math:`\varphi` about its axis at :math:`x_c`, a ray at :math:`x` meets

.. math:: s(x) = \frac{2ab}{w}\sqrt{1 - \Bigl(\frac{x - x_c}{w}\Bigr)^2},\qquad
    w^2 = a^2\cos^2\varphi + b^2\sin^2\varphi ,

and bone is the difference of two such tubes, filled with spongy bone. The detector counts what the law of
Beer and Lambert lets pass, and scatter,

.. math:: N \sim \mathrm{Poisson}\bigl(N_0\,(T + \beta\,\bar T)\bigr),\qquad T = e^{-\sum_k \mu_k s_k},

with :math:`\bar T` a wide Gaussian mean of :math:`T` and :math:`\beta` the ratio of scatter to primary
photons. The image is :math:`-\ln(N/N_0(1 + \beta))`: bright means dense, as on film.

Bones ripen: with the bone age the growth plates narrow and close, the epiphyses widen and the bones of the
wrist appear one after the other. A fracture is transverse, oblique, or a buckle of the cortex; between it and
the wrist the bone is bent. A cast of plaster or fibreglass is a second image of the same subject.

Positions are in mm before pose: x towards the little finger, y down to the elbow, from the middle of the
wrist joint. No result on it says anything about patients.
"""

import math
from collections.abc import Iterable, Sequence

import torch
from torch import Tensor
from torch.nn.functional import avg_pool2d

from medgan_course.data.phantom.common import (
    Phantoms,
    Subjects,
    bump,
    checked,
    fineness,
    grid,
    lesion_rows,
    one_each,
    outline_columns,
    outlined,
    tissue_table,
)
from medgan_course.data.scale import Scale

CLASSES = ("no fracture", "fracture")
CONTRASTS = ("xray", "xray_cast")
XRAY_SCALE = Scale(0.0, 3.4, "optical depth")
FOV = 112.0  # mm, the side of the image
ENERGY = 40  # keV
SHOWN = 0.3  # mm of bone that a ray must meet
LESION_COLUMNS = (*outline_columns(2), "bone", "kind", "displacement", "angle")
KINDS = ("transverse", "oblique", "buckle")
TISSUES = ("air", "soft tissue", "radius", "ulna", "hand")
MATERIALS = ("fat", "muscle", "spongy bone", "bone")
CASTS = ("plaster", "fibreglass")

PHOTONS = 9_000.0  # per pixel at 64 px, before the patient
CHUNK = 16  # subjects at a time
FINE = 128  # the least side of the grid on which thicknesses are computed

# The bones of a grown wrist: x, y, z (mm; z towards the back of the hand), semi-axes along x, y, z, turn in
# the plane, and when they appear, as a share of growth (after Greulich & Pyle; to be confirmed).
CARPALS = (
    (-9.5, -8.5, -1.0, 6.2, 8.8, 5.0, 0.6, 0.22),  # scaphoid
    (1.0, -7.0, 0.0, 6.6, 5.6, 6.5, 0.0, 0.15),  # lunate
    (11.0, -9.5, 1.0, 5.6, 5.2, 5.0, 0.5, 0.08),  # triquetrum
    (12.5, -10.0, -8.0, 3.8, 4.2, 3.6, 0.0, 0.5),  # pisiform
    (-15.0, -17.5, -3.0, 6.2, 5.6, 5.6, 0.3, 0.24),  # trapezium
    (-8.0, -20.0, 0.0, 4.6, 5.0, 5.4, 0.0, 0.25),  # trapezoid
    (0.5, -18.5, 0.0, 6.0, 9.0, 6.5, 0.1, -0.2),  # capitate
    (9.5, -19.5, -1.0, 6.2, 7.2, 6.0, -0.3, -0.15),  # hamate
)
# The bones of the palm: x, y, z of the base, direction seen from behind and from the side (rad from upwards),
# half width and length.
METACARPALS = (
    (-19.0, -22.0, -9.0, -0.62, -0.42, 4.6, 40.0),
    (-9.5, -27.0, 1.0, -0.13, -0.05, 4.3, 60.0),
    (-0.5, -28.5, 2.0, 0.0, 0.02, 4.2, 60.0),
    (6.8, -27.5, 1.0, 0.13, 0.05, 3.8, 56.0),
    (13.0, -26.0, -2.0, 0.26, -0.1, 3.6, 52.0),
)


def attenuation(energy: int) -> dict[str, float]:
    r"""Return the linear attenuation coefficient :math:`\mu` (1/cm) of every material at 40 or 60 keV."""
    return {name: row["density"] * row[f"mu{energy}"] for name, row in tissue_table("xray").items()}


def transmission(depth: Tensor) -> Tensor:
    r"""Return the share of photons that passes, :math:`I/I_0 = e^{-\int\mu\,ds}` (Beer and Lambert)."""
    return torch.exp(-depth)


def ellipsoid(x: Tensor, y: Tensor, a: Tensor | float, b: Tensor | float, depth: Tensor | float) -> Tensor:
    r"""Return the chord, in the unit of ``depth``, of rays through an ellipsoid centred at the origin.

    With in-plane semi-axes a and b and semi-axis ``depth`` along the ray the chord is
    :math:`2\,\mathrm{depth}\sqrt{1-(x/a)^2-(y/b)^2}`, and 0 outside.
    """
    return 2 * depth * (1 - (x / a) ** 2 - (y / b) ** 2).clamp_min_(0).sqrt_()


def tube(x: Tensor, a: Tensor, b: Tensor, turn: Tensor) -> Tensor:
    """Return the chord, in the unit of ``a``, of rays at ``x`` from the axis of an elliptical tube.

    Parameters
    ----------
    x : Tensor
        Distance from the axis, in the image.
    a, b : Tensor
        Semi-axes, along x and along the ray before the ``turn``; no chord where they are not positive.
    turn : Tensor
        Rotation about the axis (rad).
    """
    a, b = a.clamp_min(0), b.clamp_min(0)
    width = ((a * turn.cos()) ** 2 + (b * turn.sin()) ** 2).sqrt().clamp_min(1e-6)
    return 2 * a * b / width * (1 - (x / width) ** 2).clamp_min_(0).sqrt_()


def phantoms(
    subjects: Iterable[int],
    *,
    size: int,
    seed: int,
    labels: Iterable[int] | None = None,
    contrasts: Sequence[str] = CONTRASTS,
    device: torch.device | str | None = None,
    severity: float | Iterable[float] | None = None,
) -> Phantoms:
    """Compute an X-ray of every subject's forearm, :data:`FOV` wide.

    A fracture, the cast and the bone age change nothing else about them.

    Parameters
    ----------
    subjects, size, seed, labels, contrasts, device
        As of all families; see :mod:`medgan_course.data.phantom.common`.
    severity : float, or one for each subject, optional
        How far the bones have ripened, in [0, 1]. Left out, everyone has their own.

    Returns
    -------
    Phantoms
        Optical depth on the scale :data:`XRAY_SCALE`. A pixel's tissue is the first bone that its ray meets
        (radius, ulna, hand), else soft tissue or air. The lesion table gives the fracture, its bone
        (0 radius, 1 ulna), kind (a position in :data:`KINDS`), the displacement of its edges (mm) and the
        angle between its parts (rad). Facts: ``"bone_age"`` in years (2 to 18); ``"growth_plate"``, the width
        of the radius's growth plate (mm); ``"view"`` (0 from behind, 1 from the side); ``"turn"`` (rad);
        ``"cast"`` (a position in :data:`CASTS`); ``"thickness"`` ``(N, 4, size, size)``, that of each of
        :data:`MATERIALS` along every ray without the cast (cm); ``"cast_thickness"`` ``(N, 1, size, size)``.
    """
    asked = checked(
        "forearm", subjects, size=size, seed=seed, labels=labels, classes=CLASSES,
        contrasts=contrasts, known=CONTRASTS, device=device,
    )  # fmt: skip
    ripe = None if severity is None else one_each("severity", severity, len(asked), 0, 1)
    return asked.phantoms(_part, CHUNK, ripe)


def _part(
    own: Subjects, labels: Tensor, severity: Tensor | None, size: int, contrasts: Sequence[str]
) -> Phantoms:
    device, n = own.device, len(own)
    factor = fineness(size, FINE)
    side = size * factor
    u, v = grid(side, FOV, device=device)
    drawn = own.uniform(0, 1)
    ripe = drawn if severity is None else severity.view(-1, 1, 1)

    # Pose: in the plane, and about the axis of the forearm.
    mirror = torch.where(own.uniform(0, 1) < 0.5, -1.0, 1.0)
    angle = own.uniform(-1, 1) ** 3 * 0.4
    right, down = own.uniform(-7, 7), own.uniform(-20, -2)
    u, v = u - right, v - down
    grown = (0.72 + 0.3 * ripe) * own.uniform(0.94, 1.06)
    x = mirror * (u * angle.cos() + v * angle.sin()) / grown
    y = (v * angle.cos() - u * angle.sin()) / grown
    lateral = own.uniform(0, 1) < 0.3
    turn = own.uniform(-1, 1) ** 3 * 0.35 + torch.where(lateral, math.pi / 2, 0.0)

    bones, fractures, plate = _bones(own, x, y, turn, ripe, labels)
    cortical = sum(bone[0] for bone in bones) * grown / 10
    spongy = sum(bone[1] for bone in bones) * grown / 10
    outer, inner, body = _body(own, x, y, turn)
    grain = 0.16 * own.field(1, 1.4, side, FOV)[:, 0] + 0.07 * own.field(1, 5.0, side, FOV)[:, 0]
    # A coarse net of struts carries some of the load of spongy bone.
    cortical = cortical + 0.06 * spongy * (1 + 3 * grain).clamp_min(0)
    spongy = spongy * 0.94 * (1 + grain).clamp_min(0)
    fat = (outer - inner).clamp_min(0) * grown / 10
    muscle = (inner * grown / 10 - cortical - spongy).clamp_min(0)
    muscle = muscle * (1 + 0.03 * own.field(1, 12.0, side, FOV)[:, 0])
    thick = torch.stack([fat, muscle, spongy, cortical], dim=1)

    mu = attenuation(ENERGY)
    depth = torch.einsum("k,nkhw->nhw", torch.tensor([mu[name] for name in MATERIALS], device=device), thick)
    gypsum = own.uniform(0, 1) < 0.55
    wrapped = _cast(own.stream(1), x, y, turn, body, gypsum, side) * grown / 10
    harder = depth + torch.where(gypsum, mu["plaster"], mu["fibreglass"]) * wrapped
    images = {}
    for stream, (name, along) in enumerate({"xray": depth, "xray_cast": harder}.items()):
        if name in contrasts:
            images[name] = _film(own.stream(2 + stream), along, factor)

    shown = torch.stack([bone[0] + bone[1] > SHOWN for bone in bones], dim=1)
    shown = torch.stack(
        [shown[:, 0], shown[:, 1] & ~shown[:, 0], shown[:, 2] & ~shown[:, :2].any(dim=1)], dim=1
    )
    soft = (outer > 0) & ~shown.any(dim=1)
    regions = torch.cat([(~soft & ~shown.any(dim=1))[:, None], soft[:, None], shown], dim=1).float()
    broken = torch.stack([near for near, _ in fractures], dim=1)
    near = (broken & shown[:, :2]).any(dim=1, keepdim=True)
    pooled = {
        name: avg_pool2d(value, factor)
        for name, value in (
            ("regions", regions),
            ("near", near.float()),
            ("thick", thick),
            ("cast", wrapped[:, None]),
        )
    }
    return Phantoms(
        images=images,
        scales={name: XRAY_SCALE for name in images},
        tissue_names=TISSUES,
        tissues=pooled["regions"],
        lesion=pooled["near"] >= 0.5,
        lesion_columns=LESION_COLUMNS,
        lesions=torch.cat([lesion_rows(*outlined(near, FOV), *told) for near, told in fractures], dim=1),
        labels=labels,
        severity=ripe.view(n),
        subject=own.numbers,
        seed=own.seed,
        facts={
            "bone_age": 2 + 16 * ripe.view(n),
            "growth_plate": (plate * grown).view(n),
            "view": lateral.view(n).long(),
            "turn": turn.view(n),
            "cast": (~gypsum).view(n).long(),
            "thickness": pooled["thick"],
            "cast_thickness": pooled["cast"],
        },
    )


def _film(own: Subjects, depth: Tensor, factor: int) -> Tensor:
    """Return images ``(n, 1, size, size)`` of optical depths ``(n, fine, fine)``."""
    primary = avg_pool2d(transmission(depth)[:, None], factor)
    size = primary.shape[-1]
    # Scatter comes from everywhere around: a mean over a sixth of the image, twice.
    width = max(3, size // 6) // 2 * 2 + 1
    spread = primary
    for _ in range(2):
        spread = avg_pool2d(spread, width, stride=1, padding=width // 2, count_include_pad=False)
    share = own.uniform(0.06, 0.16)[:, None]
    photons = PHOTONS * (64 / size) ** 2 * own.uniform(0.5, 1.5)[:, None]
    mean = photons * (primary + share * spread)
    # Poisson counts, which are nearly Gaussian at hundreds of photons a pixel.
    counts = (mean + mean.sqrt() * own.normal(1, size, size)).clamp_min(1)
    return XRAY_SCALE.normalised(-torch.log(counts / (photons * (1 + share))))


# Anatomy
# ------------------------------------------------------------------------------------------------------


def _body(own: Subjects, x: Tensor, y: Tensor, turn: Tensor) -> tuple[Tensor, Tensor, tuple[Tensor, ...]]:
    """Return chords (mm) through the whole limb and through what is under the fat, and the limb's outline."""
    fine = own.field(1, 18.0, x.shape[-1], FOV)[:, 0]
    fat = own.uniform(1.6, 4.2)
    wrist, swell, palm = own.uniform(24, 28), own.uniform(5, 13), own.uniform(3, 7)
    half = wrist + swell * torch.sigmoid((y - 38) / 16) + palm * torch.sigmoid((-14 - y) / 7)
    flat = own.uniform(0.64, 0.78) - 0.2 * torch.sigmoid((-14 - y) / 9) + 0.14 * torch.sigmoid((y - 40) / 18)
    centre = 3.0 * torch.sigmoid((-14 - y) / 6) * turn.cos() + 0.6 * fine
    a, b = half, half * flat
    along, across = _axis(x, y, turn, METACARPALS[0])
    about = 11.5 * torch.sigmoid((along + 9) / 5)
    thumb = [tube(across, about - less, about - less, turn) for less in (torch.zeros_like(fat), fat)]
    outer = torch.maximum(tube(x - centre, a, b, turn), thumb[0])
    inner = torch.maximum(tube(x - centre, a - fat, b - fat, turn), thumb[1])
    return outer, inner, (centre, a, b)


def _axis(x: Tensor, y: Tensor, turn: Tensor, bone: Sequence[float]) -> tuple[Tensor, Tensor]:
    """Return positions along and across a bone of the palm (mm): a row of :data:`METACARPALS`."""
    x0, y0, z0, behind, aside, *_ = bone
    fan = behind * turn.cos() + aside * turn.sin()
    dx, dy = x - x0 * turn.cos() - z0 * turn.sin(), y - y0
    return dx * fan.sin() - dy * fan.cos(), dx * fan.cos() + dy * fan.sin()


def _cast(
    own: Subjects,
    x: Tensor,
    y: Tensor,
    turn: Tensor,
    body: tuple[Tensor, ...],
    gypsum: Tensor,
    side: int,
) -> Tensor:
    """Return the cast's thickness along every ray (mm), twice a textured shell around the padding."""
    centre, a, b = body
    padding, shell = (
        own.uniform(2.5, 5.5),
        torch.where(gypsum, own.uniform(4, 7.5), own.uniform(2.2, 4)),
    )
    inside = tube(x - centre, a + padding, b + padding, turn)
    around = tube(x - centre, a + padding + shell, b + padding + shell, turn) - inside
    lumps = own.field(3, 9.0, side, FOV)
    crumbs = own.field(2, 2.2, side, FOV)
    layers = torch.zeros_like(inside)
    for face in (-1, 1):
        # Turns of the bandage overlap: a step in thickness along a slanting edge.
        slant, pitch = face * own.uniform(0.12, 0.5), own.uniform(18, 34)
        along = (y + slant * x + 2.5 * lumps[:, 0]) / pitch + own.uniform(0, 1)
        step = torch.sigmoid((along.remainder(1) - 0.5) * 26) - torch.sigmoid(
            (along.remainder(1) - 0.96) * 50
        )
        # Plaster is smeared; fibreglass is knitted, with holes between the threads.
        mesh = own.uniform(1.9, 2.6)
        knit = torch.cos(math.tau * (x + 0.35 * y) / mesh) * torch.cos(
            math.tau * (y - 0.2 * x) / (1.5 * mesh)
        )
        smeared = (
            1
            + 0.3 * (step - 0.5)
            + 0.14 * lumps[:, 1 if face < 0 else 2]
            + 0.1 * crumbs[:, 0 if face < 0 else 1]
        )
        knitted = 1 + 0.45 * (step - 0.5) + 0.5 * knit
        layers = layers + 0.5 * torch.where(gypsum, smeared, knitted).clamp_min(0.2)
    rim = own.uniform(-42, -24) + 1.2 * lumps[:, 0] + own.uniform(-0.25, 0.25) * x
    return around * layers * torch.sigmoid((y - rim) / 0.8)


def _bones(
    own: Subjects, x: Tensor, y: Tensor, turn: Tensor, ripe: Tensor, label: Tensor
) -> tuple[list[tuple[Tensor, Tensor]], list[tuple[Tensor, list[Tensor]]], Tensor]:
    """Return cortical and spongy chords (mm) of radius, ulna and hand, the fractures, and the growth plate.

    Of the fractures of radius and ulna: where they are, and what the table says of them besides.
    """
    slim = own.uniform(0.88, 1.12)
    plate = (own.uniform(2.2, 3.6) * (1 - ripe / own.uniform(0.82, 0.97))).clamp_min(0)
    bow, spread, tilt = own.uniform(-2, 2), own.uniform(-1, 1), own.uniform(0.2, 0.36)
    short = own.uniform(-1.5, 3.0)  # how much the ulna ends before the radius
    cos = turn.cos()

    # The fracture: of the radius, sometimes of the ulna too.
    n = len(own)
    draw = own.each(8, 0, 1).view(n, 8, 1, 1).unbind(1)
    ill = (label == 1).view(-1, 1, 1)
    kind = (draw[0] > 0.3).long() + (draw[0] > 0.6).long()
    buckle = kind == 2
    signs = torch.where(draw[1] < 0.5, -1.0, 1.0)
    shift = torch.where(buckle, 0.0, 0.4 + 4.6 * draw[2] ** 1.5) * signs
    lean = torch.where(kind == 1, 0.5 + 0.5 * draw[3], 0.12 * (draw[3] - 0.5)) * signs
    both = ill & (draw[4] < 0.35)
    places = torch.where(buckle, 19 + 9 * draw[5], 17 + 30 * draw[5]), 15 + 34 * draw[6]

    parts, fractures = [], []
    for bone in range(2):
        base = -9.5 if bone == 0 else 13.0
        centre = (base - (3 if bone == 0 else -1) * ((y - 10) / 60).clamp(0, 1) * (1 + spread)) * cos
        centre = centre + bow * (((y - 45) / 45).clamp(-1, 1) ** 2 - 1) + (1.5 if bone else -1.0) * turn.sin()
        place = places[bone]
        line = y - place + lean * (x - centre) + 0.5 * torch.sin(2.1 * (x - centre) + 6 * draw[7])
        hurt = ill if bone == 0 else both
        # Between the joint and the fracture the bone leans over; the rest stays.
        bent = shift * (y / place).clamp(0, 1) * (line < 0) * hurt
        gap = 0.75 * bump(line / 0.9) * (hurt & ~buckle)
        bulge = 1.5 * bump((y - place) / 2.6) * (hurt & buckle)
        cortical, spongy = _long(x - centre - bent, y, turn, ripe, plate, slim, bulge, tilt, short, bone)
        dense = 0.6 * bump((y - place) / 1.5) * (hurt & buckle)
        parts.append(((cortical + 0.25 * dense * spongy) * (1 - gap), spongy * (1 - gap)))
        reach = torch.where(buckle, 4.0, 2.5)
        near = (line.abs() < reach) & hurt & (parts[-1][0] + parts[-1][1] > SHOWN)
        told = torch.full_like(shift, bone), kind, shift.abs(), (shift / place).abs().atan()
        fractures.append((near, [each.flatten(1) for each in told]))
    parts.append(_hand(own, x, y, turn, ripe, slim))
    return parts, fractures, plate


def _long(
    x: Tensor, y: Tensor, turn: Tensor, ripe: Tensor, plate: Tensor, slim: Tensor, bulge: Tensor,
    tilt: Tensor, short: Tensor, bone: int,
) -> tuple[Tensor, Tensor]:  # fmt: skip
    """Return cortical and spongy chords (mm) of the radius (bone 0) or the ulna (1), ``x`` from its axis."""
    flare, narrow, depth = ((12.5, 6.6, 0.74), (8.0, 5.4, 0.95))[bone]
    epiphysis = 9.5 if bone == 0 else 7.0
    y = y if bone == 0 else y - 3 - short
    start = epiphysis + plate
    # The shaft: wide with a thin cortex at the growth plate, narrow with a thick one beyond.
    beyond = (y - start).clamp_min(0)
    decay = torch.exp(-beyond / 15)
    corner = (1 - (1 - (beyond / 2.0).clamp_max(1)) ** 2).sqrt() * (y > start)
    a = slim * (narrow + 0.012 * beyond + (flare - narrow) * decay)
    b = a * (depth + (1 - depth) * (1 - decay) * 0.6) * corner
    a = (a + bulge) * (0.86 + 0.14 * corner) * (y > start)
    cortex = slim * (0.9 + (1.9 + 0.5 * ripe) * (1 - torch.exp(-beyond / 22))) + 0.25 * bulge
    whole, core = tube(x, a, b, turn), tube(x, a - cortex, b - cortex, turn)
    # The marrow cavity holds little bone far from the joint: there part of it is marrow, as muscle.
    spongy = core * (0.08 + 0.92 * torch.exp(-beyond / 18))
    # The zone of provisional calcification, a bright line at the plate.
    line = 0.28 * bump((beyond - 0.8) / 0.8) * (y > start)
    cortical = whole - core + line * spongy
    # The epiphysis: small and oval at first, a cap with a slanting joint surface in the end.
    ripening = (ripe * 1.5 + (0.35 if bone == 0 else -0.05)).clamp(0.0, 1.05)
    wide = flare * slim * (0.25 + 0.75 * ripening)
    upper = epiphysis - (1.0 if bone == 0 else 0.8) * epiphysis * (0.45 + 0.55 * ripening.clamp_max(1))
    upper = upper + tilt * x * ripening * turn.cos() * (1 if bone == 0 else -0.5)
    half = (epiphysis - upper).clamp_min(0.5) / 2
    level = ((y - epiphysis + half) / half).abs()
    round_ = (1 - level.clamp_max(1) ** 3).clamp_min(0).sqrt()
    there = ripening > 0.02
    shell = 0.9
    cap = tube(x, wide * round_, wide * depth * round_, turn) * there
    inner_level = ((y - epiphysis + half) / (half - shell).clamp_min(0.1)).abs()
    inner_round = (1 - inner_level.clamp_max(1) ** 3).clamp_min(0).sqrt()
    heart = tube(x, (wide - shell) * inner_round, (wide * depth - shell) * inner_round, turn) * there
    heart = torch.minimum(heart, cap)
    return torch.maximum(cortical, cap - heart), torch.where(cap > 0, heart, spongy)


def _hand(
    own: Subjects, x: Tensor, y: Tensor, turn: Tensor, ripe: Tensor, slim: Tensor
) -> tuple[Tensor, Tensor]:
    """Return cortical and spongy chords (mm) of the bones of wrist and palm."""
    cortical, spongy = torch.zeros_like(x), torch.zeros_like(x)
    cos, sin = turn.cos(), turn.sin()
    bending = own.uniform(-0.22, 0.22)  # of the hand against the forearm
    x, y = x * bending.cos() + y * bending.sin(), y * bending.cos() - x * bending.sin()
    for x0, y0, z0, a, b, c, tilt, born in CARPALS:
        vary = own.each(4, -1, 1).view(len(own), 4, 1, 1).unbind(1)
        full = ((ripe - born - 0.03 * vary[0]) / 0.5).clamp(0, 1) ** 0.7
        size = full * (0.97 + 0.06 * vary[1]) * slim
        dx, dy = x - (x0 + 0.5 * vary[2]) * cos - z0 * sin, y - y0 - 0.5 * vary[3]
        # Out of the plane a bone's tilt is not seen.
        lean = tilt * cos
        dx, dy = dx * lean.cos() + dy * lean.sin(), dy * lean.cos() - dx * lean.sin()
        width = ((a * cos) ** 2 + (c * sin) ** 2).sqrt()
        shell = 0.9
        solid = [
            ellipsoid(dx, dy, (size * width - less).clamp_min(0.1), (size * b - less).clamp_min(0.1),
                      (size * a * c / width - less).clamp_min(0.1)) * (size * b > 1.2)
            for less in (0.0, shell)
        ]  # fmt: skip
        cortical, spongy = cortical + solid[0] - solid[1], spongy + solid[1]
    for bone in METACARPALS:
        half, length = bone[5:]
        along, across = _axis(x, y, turn, bone)
        across = across + 1.2 * own.uniform(-1, 1) * (along / 20)
        far = length - along
        flare = 1 + 0.45 * (torch.exp(-along.clamp_min(0) / 4) + torch.exp(-far.clamp_min(0) / 5))
        end = (1 - (1 - (torch.minimum(along, far) / 2.5).clamp(0, 1)) ** 2).sqrt()
        wide = half * slim * flare * end * (0.8 + 0.2 * ripe)
        cortex = 0.8 + 1.1 * (1 - torch.exp(-along.clamp_min(0) / 8))
        whole = tube(across, wide, wide, turn)
        core = tube(across, wide - cortex, wide - cortex, turn)
        cortical, spongy = cortical + whole - core, spongy + 0.6 * core
    return cortical, spongy
