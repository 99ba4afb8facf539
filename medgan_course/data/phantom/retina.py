r"""RET2D: a colour photograph of the fundus of the eye, computed, with everything that is true of it.

Two trees of vessels leave the optic disc, arteries and veins. A trunk bends with the distance :math:`s` from
the disc, from its first heading to its last, and winds a little,

.. math::
    \theta(s) = \theta_\infty + (\theta_0-\theta_\infty)\,e^{-s/\ell}
    + \sum_k a_k\sin(2\pi s/\lambda_k+\varphi_k), \qquad
    \mathbf p(s) = \mathbf p_0 + \int_0^s(\cos\theta,\ \sin\theta)\,\mathrm ds',

so the temporal ones arch around the macula; branches leave at 30 to 65 degrees, thinner than their parent,
and branch again. Near the fovea all fade. The colour follows the law of Beer and Lambert: light that comes
back from the fundus in channel :math:`c` is

.. math:: I_c = g_c\,L(\mathbf r)\,e^{-\sum_m\varepsilon_{mc}\,a_m(\mathbf r)}

with the camera's gain :math:`g`, the illumination :math:`L`, the amounts :math:`a` of pigment and blood and
their absorbances :math:`\varepsilon`.

Grades follow the International Clinical Diabetic Retinopathy scale (Wilkinson et al. 2003, Ophthalmology
110(9), 1677-1682) as far as lesions can be counted: see :func:`grade`.

Positions are in mm on the retina, of which a degree of the field of view is about 0.288 mm. Truth counts in
the frame of the image: x to the right, y down. No result on it says anything about patients.
"""

import math
from collections.abc import Callable, Iterable, Sequence

import torch
from torch import Tensor
from torch.nn.functional import avg_pool2d

from medgan_course.data.phantom.common import (
    Phantoms,
    Subjects,
    bump,
    bytes_of,
    checked,
    divisible,
    fineness,
    grid,
    lesion_rows,
    numbered,
    one_of,
    paint,
    shares,
    within,
)
from medgan_course.data.phantom.strokes import strokes
from medgan_course.data.scale import Scale
from medgan_course.errors import CourseError

CONTRASTS = ("rgb", "low")
USUAL = ("rgb",)
RGB_SCALE = Scale(0.0, 1.0, "of the camera's brightest, linear light")
LOW = 4  # pixels of "rgb" that a pixel of "low" is wide
MM_PER_DEGREE = 0.288  # of an average eye; to be confirmed
FIELD = 45.0  # degrees
EYES = ("left", "right")
CLASSES = ("none", "mild", "moderate", "severe", "proliferative")
SEVERE = 12  # haemorrhages from which a retinopathy is severe

TISSUES = ("outside", "exudate", "haemorrhage", "microaneurysm", "vein", "artery", "cup", "disc", "retina")
OUTSIDE, EXUDATE, HAEMORRHAGE, MICROANEURYSM, VEIN, ARTERY, CUP, DISC, RETINA = range(len(TISSUES))
KINDS = ("microaneurysm", "haemorrhage", "exudate", "proliferation")
LESION_COLUMNS = ("present", "x", "y", "radius", "kind")
MOST = (24, 28, 40, 1)  # lesions of each kind a subject may have

# Absorbances in red, green and blue. Blood takes green and blue away, deoxygenated blood more red than
# oxygenated; melanin takes more the shorter the wave, the macular pigment blue. Plausible values that give
# the colours of photographs, without a source.
ARTERIAL, VENOUS, SPILT = (0.07, 0.50, 0.42), (0.22, 0.78, 0.60), (0.42, 1.05, 0.8)
MELANIN, CHOROID, MACULAR = (0.28, 0.42, 0.45), (0.06, 0.30, 0.30), (0.16, 0.32, 0.55)
FUNDUS, RIM, PALE, YELLOW = (0.38, 1.12, 1.95), (0.12, 0.55, 1.25), (0.02, 0.26, 0.92), (0.10, 0.30, 1.1)

CHUNK = 16  # subjects at a time
FINE = 128  # the least side of the grid on which tissues are painted
TRUNKS = 7  # of each tree
_TURN = math.pi / 180


def phantoms(
    subjects: Iterable[int],
    *,
    size: int,
    seed: int,
    labels: Iterable[int] | None = None,
    contrasts: Sequence[str] = USUAL,
    device: torch.device | str | None = None,
    field: float = FIELD,
    centre: str = "macula",
    eyes: int | Iterable[int] | None = None,
) -> Phantoms:
    """Compute one photograph of every subject.

    Parameters
    ----------
    subjects, size, seed, labels, device
        As of all families; see :mod:`medgan_course.data.phantom.common`. Labels are grades.
    contrasts : sequence of str
        "rgb" and "low", the photograph with pixels four times as wide, ``(N, 3, size / 4, size / 4)``.
    field : float
        Field of view in degrees, 10 to 60.
    centre : {"macula", "disc"}
        What the camera looks at.
    eyes : int, or iterable of int, optional
        0 for a left eye, 1 for a right one; left out, drawn.

    Returns
    -------
    Phantoms
        Images are linear light, not sRGB. Labels are grades; ``severity`` grows with the grade and within it,
        0 for the well. Kinds of ``lesions`` are positions in :data:`KINDS`, x and y (mm, in the image) and
        radius (mm); that of a proliferation is a tangle of new vessels, at the disc or at a vein of an
        arcade, which are veins among the tissues. ``facts``: ``eye`` (0 left, 1 right), ``counts`` of each
        kind, ``cup_to_disc``, ``disc`` and ``fovea`` (x and y in mm), ``preretinal`` (present, x, y and
        radius in mm of blood in front of the retina, which two in five of grade 4 have), and ``seen``,
        whether any pixel is ``lesion``: microaneurysms are thinner than the pixels of a small image, and of
        64 pixels only a quarter of grade 1 shows one that takes half a pixel.
    """
    asked = checked(
        "retina", subjects, size=size, seed=seed, labels=labels, classes=CLASSES,
        contrasts=contrasts, known=CONTRASTS, device=device,
    )  # fmt: skip
    divisible(size, "low", asked.contrasts, LOW)
    if centre not in ("macula", "disc"):
        raise CourseError(f'centre={centre!r}: a camera looks at "macula" or "disc".')
    fov = within("field", field, 10.0, 60.0, "degrees") * MM_PER_DEGREE
    eyes = one_of("eyes", eyes, len(asked), EYES)
    return asked.phantoms(_part, CHUNK, eyes, fov=fov, centre=centre)


def grade(counts: Tensor) -> Tensor:
    """Return the grade of retinopathy from the lesions of each of :data:`KINDS`, int64 ``(n,)``.

    0 without lesions; 1 with microaneurysms only; 2 with haemorrhages or exudates too; 3 with at least
    :data:`SEVERE` haemorrhages (the scale asks for more than 20 in each of four quadrants, which no small
    image can show); 4 with any proliferation. No lesion more ever lowers it.

    Parameters
    ----------
    counts : Tensor
        ``(n, 4)``.
    """
    few, haemorrhages, exudates, proliferation = counts.unbind(1)
    graded = (few > 0).long()
    graded = torch.where((haemorrhages > 0) | (exudates > 0), 2, graded)
    graded = torch.where(haemorrhages >= SEVERE, 3, graded)
    return torch.where(proliferation > 0, 4, graded)


def render(labels: Sequence[int], *, size: int, seed: int, first: int = 0) -> Tensor:
    """Compute what stands in for RetinaMNIST: a photograph for each grade."""
    made = phantoms(numbered(labels, first), size=size, seed=seed, labels=labels)
    return bytes_of(made.images["rgb"])


def render_vessels(
    labels: Sequence[int], *, size: int, seed: int, first: int = 0
) -> tuple[Tensor, Tensor, Tensor, Tensor]:
    """Compute what stands in for CHASE_DB1: healthy eyes, 30 degrees wide with the disc in the middle.

    0 is a left eye, 1 a right one.

    Returns
    -------
    images : Tensor
        uint8 ``(N, size, size, 3)``.
    first_expert, second_expert : Tensor
        bool ``(N, size, size)``: a pixel that is half vessel, and one that is nearly all vessel: the second
        expert draws narrower and leaves out the finest.
    child : Tensor
        int64 ``(N,)``: the first left and the first right eye are of child ``first // 2``, and so on.
    """
    asked = checked("eye", numbered(labels, first), size=size, seed=seed, labels=labels, classes=EYES)
    made = phantoms(
        asked.numbers, size=size, seed=seed, labels=[0] * len(asked), field=30.0, centre="disc", eyes=labels
    )
    vessels = made.share("artery", "vein")[:, 0]
    right = made.facts["eye"]
    child = first // 2 - 1 + torch.where(right == 1, right.cumsum(0), (1 - right).cumsum(0))
    return bytes_of(made.images["rgb"]), vessels >= 0.5, vessels >= 0.8, child


def _part(
    own: Subjects, labels: Tensor, eyes: Tensor | None,
    size: int, contrasts: Sequence[str], fov: float, centre: str,
) -> Phantoms:  # fmt: skip
    n, factor = len(own), fineness(size, FINE)
    side = size * factor
    extent = own.each(1, 0, 1)[:, 0]
    severity = (labels + extent) / 5 * (labels > 0)  # grade and extent within it
    right = own.each(1, 0, 1)[:, 0] < 0.5
    right = right if eyes is None else eyes == 1

    # The eye's own frame: the disc in the middle, temporal to the right; then the camera's.
    fovea = torch.stack([own.uniform(4.1, 4.9), own.uniform(0.1, 0.8)], dim=-1)[:, 0, 0]
    share = 0.0 if centre == "disc" else 0.55
    look = share * fovea + torch.stack([own.uniform(-0.5, 0.5), own.uniform(-0.5, 0.5)], dim=-1)[:, 0, 0]
    tilt, mirror = own.uniform(-0.12, 0.12), torch.where(right, -1.0, 1.0)[:, None, None]
    c, s = tilt.cos(), tilt.sin()

    def seen(points: Tensor) -> Tensor:
        x, y = (points - look.view(n, *[1] * (points.ndim - 2), 2)).unbind(-1)
        shape = (n, *[1] * (x.ndim - 1))
        turned = x * c.view(shape) + y * s.view(shape), y * c.view(shape) - x * s.view(shape)
        return torch.stack([turned[0] * mirror.view(shape), turned[1]], dim=-1)

    image_x, image_y = grid(side, fov, device=own.device)
    px, py = image_x * mirror, image_y
    x = px * c - py * s + look[:, 0, None, None]
    y = px * s + py * c + look[:, 1, None, None]

    broad = own.field(3, 3.5, side, fov)
    middle = own.field(3, 0.9, side, fov)
    fine = own.field(2, 0.35, side, fov)

    # Disc and cup.
    tall, wide = own.uniform(0.82, 1.02), own.uniform(0.86, 0.98)
    ratio = own.uniform(0.25, 0.65)
    lean = own.uniform(-0.15, 0.15)
    dx, dy = (x + lean * y) / (tall * wide), y / tall
    disc_radius = (dx**2 + dy**2).sqrt() + 0.02 * middle[:, 0]
    cup_radius = ((dx - 0.12) ** 2 + (dy - 0.02) ** 2).sqrt() / ratio + 0.06 * middle[:, 1]

    artery, vein, arterial, venous = _trees(own, fovea, seen, side, fov)
    counts, table, micro, blots, hard, tangle = _lesions(own, labels, extent, fovea, seen, side, fov)
    sunk = _sunk(own, counts[:, 3] > 0, fovea, seen)
    boat = _boat(own, sunk, image_x, image_y, middle[:, 2]).float()
    new = _new_vessels(own, (counts[:, 3] > 0)[:, None, None], tangle, table[:, -1, 3], seen, side, fov)
    blood = torch.maximum(blots, boat)
    vein_truth = torch.maximum(vein, new)

    # The aperture: a disc on black, in some cameras cut at the top and the bottom.
    rim = own.uniform(0.478, 0.497) * fov
    cut = torch.where(own.uniform(0, 1) < 0.4, own.uniform(0.4, 0.46), 0.5) * fov
    if centre == "disc":
        cut = torch.full_like(cut, 0.5 * fov)
    from_middle = (image_x**2 + image_y**2).sqrt()
    edge = torch.minimum(rim - from_middle, cut - image_y.abs())

    painted = torch.full((n, side, side), RETINA, dtype=torch.uint8, device=own.device)
    paint(painted, disc_radius < 1, DISC)
    paint(painted, cup_radius < 1, CUP)
    paint(painted, artery >= 0.5, ARTERY)
    paint(painted, vein_truth >= 0.5, VEIN)
    paint(painted, micro >= 0.5, MICROANEURYSM)
    paint(painted, blood >= 0.5, HAEMORRHAGE)
    paint(painted, hard >= 0.5, EXUDATE)
    paint(painted, edge < 0, OUTSIDE)
    tissues = shares(painted, len(TISSUES), factor)

    # What absorbs. The choroid's vessels shine through between the pigment as a web of stripes.
    def absorbs(amount: Tensor, colour: tuple[float, ...]) -> Tensor:
        return amount[:, None] * torch.tensor(colour, device=own.device).view(3, 1, 1)

    tigroid = own.uniform(0, 1) ** 3
    web = bump((middle[:, 1] + 0.5 * fine[:, 0]) / 0.55)
    pigment = own.uniform(-0.35, 0.7) + 0.2 * broad[:, 0] + 0.07 * middle[:, 0] + 0.05 * fine[:, 1]
    pigment = pigment + tigroid * 0.5 * (0.4 - web)
    to_fovea = ((x - fovea[:, 0, None, None]) ** 2 + (y - fovea[:, 1, None, None]) ** 2).sqrt()
    macula = own.uniform(0.6, 1.3) * bump(to_fovea / own.uniform(1.0, 1.5)) + own.uniform(0.3, 0.7) * bump(
        to_fovea / own.uniform(0.35, 0.55)
    )
    cast = torch.cat([own.uniform(-0.1, 0.15), own.uniform(-0.2, 0.2), own.uniform(-0.5, 0.8)], dim=1)[
        ..., None
    ]
    fundus = torch.tensor(FUNDUS, device=own.device).view(3, 1, 1) + cast
    depth = fundus + absorbs(pigment, MELANIN) + absorbs(0.5 * web * (1 - tigroid), CHOROID)
    depth = depth + absorbs(macula, MACULAR)
    # Nerve fibres above and below the disc reflect in the young.
    fibres = own.uniform(0, 0.3) * bump(disc_radius / 2.6) * (0.3 + 0.7 * bump(dx / (0.6 + dy.abs())))
    depth = depth - absorbs(fibres * (1 + 0.3 * fine[:, 0]), (0.05, 0.5, 0.6))
    halo = torch.sigmoid((1.04 - disc_radius) / 0.045)
    crescent = own.uniform(0, 1) ** 2 * torch.sigmoid((1.16 - disc_radius) / 0.04) * torch.sigmoid(dx * 4)
    depth = depth - absorbs((0.5 * crescent * (1 - halo)).expand_as(x), (0.2, 0.5, 0.4))
    cup = torch.sigmoid((1 - cup_radius) / 0.14) * halo
    rosy = cast * 0.4 + absorbs(0.10 * fine[:, 1] - 0.16 * middle[:, 0] * cup + own.uniform(-0.1, 0.25), RIM)
    head = torch.tensor(RIM, device=own.device).view(3, 1, 1) * (1 - cup)[:, None]
    head = head + torch.tensor(PALE, device=own.device).view(3, 1, 1) * cup[:, None] + rosy
    depth = torch.lerp(depth, head, halo[:, None])
    dilution = 1 - 0.35 * cup
    depth = depth + absorbs(arterial * dilution, ARTERIAL) + absorbs(venous * dilution, VENOUS)
    depth = depth + absorbs(new, SPILT) + absorbs(0.8 * micro, SPILT)
    depth = depth + absorbs(torch.maximum(0.85 * blood, 1.1 * boat) * (1 + 0.15 * middle[:, 2]), SPILT)
    yellow = torch.tensor(YELLOW, device=own.device).view(3, 1, 1) + cast * 0.5
    depth = torch.lerp(depth, yellow.expand_as(depth), (0.85 * hard)[:, None])

    # What shines, and what the camera makes of it.
    lamp = 1 - own.uniform(0.1, 0.42) * (from_middle / (fov / 2)) ** 2 + 0.1 * broad[:, 1]
    lamp = lamp + own.uniform(-0.5, 0.5) * image_x / fov + own.uniform(-0.5, 0.5) * image_y / fov
    light = own.uniform(0.72, 1.12)[:, None] * lamp[:, None].clamp_min(0.1) * torch.exp(-depth)
    veil = torch.tensor((0.05, 0.045, 0.035), device=own.device).view(3, 1, 1) * own.uniform(0.1, 1)[:, None]
    light = (light + veil) * torch.sigmoid(edge / (0.003 * fov))[:, None]
    unsharp = own.uniform(0, 0.8)[:, None]
    light = avg_pool2d(light, factor)
    # A camera out of focus, or a cloudy lens: partly the mean over a disc of a sixth of a millimetre.
    width = 2 * round(0.17 * size / fov) + 1
    if width > 1:
        blurred = avg_pool2d(light, width, stride=1, padding=width // 2, count_include_pad=False)
        light = torch.lerp(light, blurred, unsharp)
    grain = own.stream(1).normal(3, size, size) * 0.008 * (size / 64) ** 0.5
    light = light * (1 + grain) + 0.3 * grain * (light > 0.02)
    photograph = (2 * light - 1).clamp(-1, 1)

    images = {}
    if "rgb" in contrasts:
        images["rgb"] = photograph
    if "low" in contrasts:
        images["low"] = avg_pool2d(photograph, LOW)
    lesion = tissues[:, [EXUDATE, HAEMORRHAGE, MICROANEURYSM]].sum(dim=1, keepdim=True) >= 0.5
    return Phantoms(
        images=images,
        scales={name: RGB_SCALE for name in images},
        tissue_names=TISSUES,
        tissues=tissues,
        lesion=lesion,
        lesion_columns=LESION_COLUMNS,
        lesions=table,
        labels=grade(counts),
        severity=severity,
        subject=own.numbers,
        seed=own.seed,
        facts={
            "eye": right.long(),
            "counts": counts,
            "cup_to_disc": ratio[:, 0, 0],
            "disc": seen(torch.zeros(n, 1, 2, device=own.device))[:, 0],
            "fovea": seen(fovea[:, None])[:, 0],
            "preretinal": sunk,
            "seen": lesion.flatten(1).any(dim=1),
        },
    )


# Vessels
# ------------------------------------------------------------------------------------------------------

# First and last heading of the trunks in degrees (0 temporal, 90 upwards), length in mm, share of the width.
_HEADINGS = (
    (96, 4, 11.0, 1.0), (-96, -4, 11.0, 1.0), (128, 148, 8.0, 0.8), (-122, -146, 8.0, 0.8),
    (172, 184, 6.0, 0.5), (36, -14, 5.4, 0.45), (-40, 8, 5.4, 0.45),
)  # fmt: skip


def _path(
    own: Subjects, start: Tensor, first: Tensor, last: Tensor, length: Tensor, bend: float, points: int,
    winding: float = 1.0,
) -> tuple[Tensor, Tensor]:  # fmt: skip
    """Return positions ``(n, b, points + 1, 2)`` and headings ``(n, b, points)`` of ``b`` vessels."""
    count = first.shape[1]
    s = (torch.arange(points, device=first.device) + 0.5) / points * length[..., None]
    heading = last[..., None] + (first - last)[..., None] * torch.exp(-s / bend)
    for wave, amplitude in ((2.4, 0.24), (0.9, 0.19)):
        stretch = own.each(count, 0.7, 1.4)[..., None] * wave
        phase = own.each(count, 0, 2 * math.pi)[..., None]
        heading = heading + winding * amplitude * own.each(count, 0.2, 1.0)[..., None] * torch.sin(
            2 * math.pi * s / stretch + phase
        )
    step = (length / points)[..., None, None] * torch.stack([heading.cos(), -heading.sin()], dim=-1)
    return torch.cat([start[:, :, None], start[:, :, None] + step.cumsum(dim=2)], dim=2), heading


def _branches(
    own: Subjects, path: Tensor, heading: Tensor, radius: Tensor, length: Tensor, per: int, points: int
) -> tuple[Tensor, Tensor, Tensor, Tensor]:
    """Return position, heading, half width and length of ``per`` branches of each of some vessels."""
    n, count, steps = heading.shape
    total = count * per
    # Spread along the parent, to the left and the right in turn.
    slot = torch.arange(total, device=path.device) % per
    at = (slot + 0.35 + own.each(total, 0, 1.0)) / (per + 0.6)
    index = (at * steps).long().clamp(1, steps - 1)
    parent = (torch.arange(total, device=path.device) // per).expand(n, -1)
    side = torch.where((slot % 2 == 0), 1.0, -1.0) * torch.where(
        own.each(count, 0, 1).repeat_interleave(per, 1) < 0.5, 1.0, -1.0
    )
    who = torch.arange(n, device=path.device)[:, None]
    start, old = path[who, parent, index], heading[who, parent, index]
    angle = side * own.each(total, 30 * _TURN, 65 * _TURN)
    thin = radius[who, parent, index] * own.each(total, 0.5, 0.78)
    long = length[who, parent] * own.each(total, 0.3, 0.6)
    branch, turned = _path(
        own, start, old + angle, old + angle * own.each(total, 0.2, 0.8), long, 1.5, points
    )
    return branch, turned, _taper(thin, points, 0.35), long


def _taper(radius: Tensor, points: int, left: float) -> Tensor:
    """Return half widths ``(n, b, points)`` that shrink along the vessel to the share ``left``."""
    along = torch.linspace(0, 1, points, device=radius.device)
    return radius[..., None] * (1 - (1 - left) * along)


def _trees(
    own: Subjects, fovea: Tensor, seen: Callable[[Tensor], Tensor], side: int, fov: float
) -> tuple[Tensor, Tensor, Tensor, Tensor]:
    """Return how much of every pixel arteries and veins cover, and the same weighted by their blood."""
    n = len(own)
    plan = torch.tensor(_HEADINGS, device=own.device).T
    away = torch.tensor([6.0, -5.0], device=own.device).repeat_interleave(
        TRUNKS
    )  # arteries beside their veins
    count = 2 * TRUNKS
    jitter = own.each(count, -12, 12)
    first = (plan[0].repeat(2) + away + jitter) * _TURN
    last = (plan[1].repeat(2) + away + 0.7 * jitter + own.each(count, -9, 9)) * _TURN
    long = plan[2].repeat(2) * own.each(count, 0.85, 1.15)
    width = torch.cat([own.each(1, 0.042, 0.055), own.each(1, 0.06, 0.078)], dim=1).repeat_interleave(
        TRUNKS, dim=1
    )
    width = width * plan[3].repeat(2) * own.each(count, 0.85, 1.12)
    start = torch.stack([own.each(count, -0.32, 0.05), own.each(count, -0.14, 0.14)], dim=-1)
    path, heading = _path(own, start, first, last, long, 3.2, 28)
    radius = _taper(width, 28, 0.45)
    cover, weighted = [], []
    for per, points, blood in ((5, 14, 1.0), (4, 9, 0.85), (0, 0, 0.6)):
        centre = (path[:, :, 1:] + path[:, :, :-1]) / 2
        gap = (centre - fovea[:, None, None]).norm(dim=-1)
        drawn = radius * ((gap - 0.45) / 0.8).clamp(0, 1)
        # Arteries and veins as if they were different subjects.
        ends = [
            seen(each).unflatten(1, (2, -1)).transpose(0, 1).flatten(2, 3).flatten(0, 1)
            for each in (path[:, :, :-1], path[:, :, 1:])
        ]
        half = drawn.unflatten(1, (2, -1)).transpose(0, 1).flatten(2, 3).flatten(0, 1)
        cover.append(strokes(ends[0], ends[1], half, side=side, fov=fov))
        weighted.append(blood * cover[-1])
        if per:
            path, heading, radius, long = _branches(own, path, heading, radius, long, per, points)
    covered, light = (torch.stack(each).amax(dim=0).view(2, n, side, side) for each in (cover, weighted))
    return covered[0], covered[1], light[0], light[1]


def _new_vessels(
    own: Subjects, proliferative: Tensor, centre: Tensor, reach: Tensor,
    seen: Callable[[Tensor], Tensor], side: int, fov: float,
) -> Tensor:  # fmt: skip
    """Return how much of every pixel a tangle of fine new vessels around ``centre`` ``(n, 2)`` covers."""
    count = 12
    where, turn = own.each(1, -2.5, 2.5) + own.each(count, -0.7, 0.7), own.each(count, -2.5, 2.5)
    start = own.each(count, 0.3, 1.0)[..., None] * torch.stack([where.cos(), -where.sin()], dim=-1)
    start = centre[:, None] + start * reach[:, None, None]
    long = own.each(count, 0.8, 2.0) * reach[:, None]
    path, _ = _path(own, start, where + turn, where - turn, long, 0.6, 20, winding=3.0)
    radius = own.each(count, 0.018, 0.034)[..., None].expand(-1, -1, 20) * proliferative
    ends = [seen(each).flatten(1, 2) for each in (path[:, :, :-1], path[:, :, 1:])]
    return strokes(ends[0], ends[1], radius.flatten(1), side=side, fov=fov)


# Lesions
# ------------------------------------------------------------------------------------------------------


def _lesions(
    own: Subjects, wanted: Tensor, within: Tensor, fovea: Tensor,
    seen: Callable[[Tensor], Tensor], side: int, fov: float,
) -> tuple[Tensor, ...]:  # fmt: skip
    """Return counts, the table, covers of all kinds but the last, and the place in the eye of that."""
    n = len(own)
    # The fewest and the most of each kind, for each grade.
    fewest = torch.tensor([[0, 0, 0, 0], [1, 0, 0, 0], [4, 1, 0, 0], [8, SEVERE, 0, 0], [6, 6, 0, 1]])
    most = torch.tensor(
        [[0, 0, 0, 0], [6, 0, 0, 0], [14, SEVERE - 1, 22, 0], [24, 26, 40, 0], [24, 28, 40, 1]]
    )
    fewest, most = fewest.to(own.device)[wanted], most.to(own.device)[wanted]
    # The further within a grade, the more; exudates vary freely.
    extent = torch.stack([within, within, own.each(1, -0.6, 1)[:, 0].clamp_min(0), within], dim=1)
    counts = (fewest + (extent * (most - fewest + 1)).long()).minimum(most)

    ahead, distance = own.each(sum(MOST), 0, 2 * math.pi), own.each(sum(MOST), 0, 1).sqrt()
    # Exudates lie in a few rings around leaking vessels, mostly near the macula.
    rings = slice(MOST[0] + MOST[1], sum(MOST) - 1)
    ring = (torch.arange(MOST[2], device=own.device) % 3).expand(n, -1)
    ring_at = torch.stack([own.each(3, -2.2, 2.8), own.each(3, -2.4, 2.4)], dim=-1)
    spread = torch.stack([distance * ahead.cos(), distance * ahead.sin()], dim=-1)
    place = fovea[:, None] + 5.0 * spread
    circle = (0.6 + 0.5 * spread[:, rings].norm(dim=-1, keepdim=True)) * spread[:, rings]
    place[:, rings] = fovea[:, None] + ring_at.gather(1, ring[..., None].expand(-1, -1, 2)) + circle
    on_disc = place.norm(dim=-1, keepdim=True) < 1.3
    place = place + on_disc * torch.tensor([2.6, 0.0], device=own.device)
    kind = torch.tensor([kind for kind, many in enumerate(MOST) for _ in range(many)], device=own.device)
    number = torch.tensor([number for many in MOST for number in range(many)], device=own.device)
    smallest = torch.tensor([0.045, 0.08, 0.04, 0.6], device=own.device)[kind]
    largest = torch.tensor([0.075, 0.24, 0.13, 1.3], device=own.device)[kind]
    radius = smallest + (largest - smallest) * own.each(sum(MOST), 0, 1) ** 1.5
    present = number < counts[:, kind]
    # New vessels grow at the disc or from a vein of the upper or lower arcade.
    turn = torch.where(own.each(1, 0, 1) < 0.5, 1.0, -1.0) * own.each(1, 0.6, 2.2)
    away = torch.where(own.each(1, 0, 1) < 0.5, 0.0, own.each(1, 2.5, 5.0))
    tangle = away * torch.cat([turn.cos(), -turn.sin()], dim=1)
    place[:, -1] = tangle
    place = seen(place)
    table = lesion_rows(present, *place.unbind(-1), radius, kind.expand(n, -1))

    radius = radius * present
    micro, spilt, hard = slice(0, MOST[0]), slice(MOST[0], MOST[0] + MOST[1]), rings
    first = strokes(place[:, micro], place[:, micro], radius[:, micro], side=side, fov=fov)
    # A haemorrhage is a blot of three lobes, or a flame along the nerve fibres, which leave the disc.
    out = place[:, spilt] - seen(torch.zeros(n, 1, 2, device=own.device))
    out = out / out.norm(dim=-1, keepdim=True).clamp_min(0.1)
    flame = (own.each(MOST[1], 0, 1) < 0.35)[:, :, None, None]
    lobes = torch.where(flame, 0.4, 0.6) * own.normal(MOST[1], 3, 2)
    reach = torch.where(flame, 1.7, 0.3) * out[:, :, None]
    size = radius[:, spilt, None]
    middle = place[:, spilt, None] + lobes * size[..., None]
    thick = (
        size
        * torch.where(flame[..., 0], 0.32, 0.6)
        * (1 + 0.25 * torch.tensor([-1.0, 0.0, 1.0], device=own.device))
    )
    half = reach * size[..., None]
    second = strokes(
        (middle - half).flatten(1, 2), (middle + half).flatten(1, 2), thick.flatten(1), side=side, fov=fov
    )
    third = strokes(
        place[:, hard], place[:, hard] + 0.5 * radius[:, hard, None], radius[:, hard], side=side, fov=fov
    )
    return counts, table, first, second, third, tangle


def _sunk(own: Subjects, may: Tensor, fovea: Tensor, seen: Callable[[Tensor], Tensor]) -> Tensor:
    """Return present, x, y and radius ``(n, 4)`` of blood in front of the retina: two in five who may."""
    present = may[:, None] & (own.each(1, 0, 1) < 0.4)
    angle, out = own.each(1, 0, 2 * math.pi), own.each(1, 0.5, 6.0)
    place = fovea + out * torch.cat([angle.cos(), angle.sin()], dim=1)
    radius = 0.3 + 1.5 * own.each(1, 0, 1) ** 2
    return torch.cat([torch.ones_like(radius), seen(place[:, None])[:, 0], radius], dim=1) * present


def _boat(own: Subjects, row: Tensor, x: Tensor, y: Tensor, rough: Tensor) -> Tensor:
    """Return where blood lies in front of the retina: it sinks, so its top is level; some is not yet sunk."""
    present, at_x, at_y, radius = row[:, :, None, None].unbind(1)
    dx, dy = (x - at_x) / radius.clamp_min(0.1), (y - at_y) / radius.clamp_min(0.1)
    full, wide = own.uniform(-0.9, 0.2), own.uniform(0.7, 1.3)
    below = dy > full + 0.15 * rough + own.uniform(-0.15, 0.15) * dx
    return ((dx / wide) ** 2 + (1.2 * dy) ** 2 < 1 + 0.25 * rough) & below & (present > 0)
