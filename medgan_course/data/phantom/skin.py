r"""SKIN2D: a dermatoscopic photograph of a lesion of the skin, computed, with everything that is true of it.

Skin and lesion are amounts of melanin and blood; by the law of Beer and Lambert the light that comes back in
channel :math:`c` is

.. math::
    I_c = b_c\,e^{-\varepsilon^{\mathrm{mel}}_c m(\mathbf r) - \varepsilon^{\mathrm{blood}}_c h(\mathbf r)}

with the colour :math:`b` of skin without either. The melanin of the skin runs from very light to dark, so
that the individual typology angle,

.. math:: \mathrm{ITA} = \frac{180}{\pi}\arctan\frac{L^*-50}{b^*},

of the population covers all of its classes (Chardon, Cretois & Hourseau 1991, International Journal of
Cosmetic Science 13(4), 191-208): above 55 very light, 41 light, 28 intermediate, 10 tan, -30 brown, below
that dark. A camera adds its colour cast, vignette and resolution; which one is a fact, and can be tied to the
label to study what a classifier learns then.

Lengths are in mm: x to the right of the image, y down. No result on it says anything about patients.
"""

import math
from collections.abc import Iterable, Sequence
from typing import NamedTuple

import torch
from torch import Tensor
from torch.nn.functional import avg_pool2d

from medgan_course.data.phantom.common import (
    Phantoms,
    Subjects,
    bump,
    bytes_of,
    checked,
    fineness,
    grid,
    lesion_rows,
    numbered,
    one_of,
    paint,
    shares,
)
from medgan_course.data.phantom.strokes import strokes
from medgan_course.data.scale import Scale

FOV = 18.0
CONTRASTS = ("rgb",)
RGB_SCALE = Scale(0.0, 1.0, "of the camera's brightest, sRGB-encoded")
CLASSES = (
    "naevus", "melanoma", "seborrhoeic keratosis", "basal cell carcinoma", "actinic keratosis",
    "dermatofibroma", "vascular lesion",
)  # fmt: skip
NAEVUS, MELANOMA, KERATOSIS, CARCINOMA, ACTINIC, FIBROMA, VASCULAR = range(len(CLASSES))
DERMAMNIST = (ACTINIC, CARCINOMA, KERATOSIS, FIBROMA, MELANOMA, NAEVUS, VASCULAR)  # as its labels
TISSUES = ("ruler", "hair", "lesion", "skin")
RULER, HAIR, LESION, SKIN = range(len(TISSUES))
LESION_COLUMNS = ("present", "x", "y", "radius")

# Linear light of red, green and blue. Melanin absorbs more the shorter the wave, blood green and blue.
# Plausible values that give the colours of photographs, without a source.
BARE = (0.88, 0.66, 0.54)
MELANIN, BLOOD = (0.86, 1.24, 1.62), (0.16, 1.0, 0.80)
VEIL, SCALE_WHITE = (0.22, 0.22, 0.25), (0.80, 0.66, 0.45)


class Camera(NamedTuple):
    """A camera: gain of red, green and blue; how dark its corners are; aperture.

    ``blur`` is the share of the light that is spread over a third of a mm.
    """

    gain: tuple[float, float, float]
    vignette: float
    blur: float
    round: bool


CAMERAS = (
    Camera((1.0, 1.0, 1.0), 0.15, 0.0, False),
    Camera((1.04, 0.92, 1.05), 0.35, 0.3, True),
    Camera((0.90, 0.97, 0.80), 0.75, 0.9, False),
)

CHUNK = 16  # subjects at a time
FINE = 128  # the least side of the grid on which tissues are painted
HAIRS = 16

# Plausible values without a source, for each kind: least and largest radius in mm; melanin, blood; asymmetry
# and raggedness of the border as shares of the radius, its softness in mm; variety of colour, blue veil,
# white scale, network.
_PLAN = torch.tensor(
    [
        [2.0, 4.6, 0.75, 0.15, 0.06, 0.05, 0.40, 0.15, 0.00, 0.00, 0.6],
        [3.2, 6.6, 1.20, 0.25, 0.22, 0.17, 0.26, 0.60, 0.40, 0.10, 0.9],
        [2.8, 6.0, 0.70, 0.10, 0.12, 0.09, 0.08, 0.40, 0.00, 0.15, 0.2],
        [2.4, 5.4, 0.06, 0.55, 0.16, 0.10, 0.50, 0.15, 0.25, 0.25, 0.0],
        [2.8, 6.0, 0.12, 0.65, 0.20, 0.22, 0.80, 0.15, 0.00, 0.90, 0.0],
        [2.0, 3.8, 0.55, 0.20, 0.06, 0.06, 0.35, 0.10, 0.00, 0.00, 0.6],
        [1.6, 3.8, 0.05, 2.30, 0.10, 0.09, 0.18, 0.20, 0.20, 0.00, 0.0],
    ]
)


def phantoms(
    subjects: Iterable[int],
    *,
    size: int,
    seed: int,
    labels: Iterable[int] | None = None,
    contrasts: Sequence[str] = CONTRASTS,
    device: torch.device | str | None = None,
    cameras: int | Iterable[int] | None = None,
) -> Phantoms:
    """Compute one photograph of every subject.

    Parameters
    ----------
    subjects, size, seed, labels, contrasts, device
        As of all families; see :mod:`medgan_course.data.phantom.common`.
    cameras : int, or iterable of int, optional
        The camera of all or of each, a position in :data:`CAMERAS`; left out, drawn. It changes nothing else.

    Returns
    -------
    Phantoms
        Colours are sRGB-encoded, as files store them. ``lesion`` is the lesion also where hair covers it,
        ``tissues`` what is seen. Rows of ``lesions``:
        :data:`LESION_COLUMNS`. Severity is how irregular a melanoma is, 0 for all others. ``facts``:
        ``camera``, ``ita`` (degrees, of the bare skin before the camera), ``hairs``, ``ruler`` (0 or 1).
    """
    asked = checked(
        "skin", subjects, size=size, seed=seed, labels=labels, classes=CLASSES,
        contrasts=contrasts, known=CONTRASTS, device=device,
    )  # fmt: skip
    return asked.phantoms(_part, CHUNK, one_of("cameras", cameras, len(asked), CAMERAS))


def render(labels: Sequence[int], *, size: int, seed: int, first: int = 0) -> Tensor:
    """Compute what stands in for DermaMNIST: a lesion for each label, a position in :data:`DERMAMNIST`."""
    classes = [CLASSES[kind] for kind in DERMAMNIST]
    asked = checked("skin", numbered(labels, first), size=size, seed=seed, labels=labels, classes=classes)
    kinds = [DERMAMNIST[label] for label in asked.labels or ()]
    return bytes_of(phantoms(asked.numbers, size=size, seed=seed, labels=kinds).images["rgb"])


def typology_angle(light: Tensor) -> Tensor:
    r"""Return the individual typology angle in degrees of linear sRGB light ``(..., 3)``.

    .. math::
        L^* &= 116 f(Y) - 16, \qquad b^* = 200\,\bigl(f(Y) - f(Z/Z_n)\bigr), \\
        f(t) &= \begin{cases} t^{1/3} & t > (6/29)^3\\ t\,(29/6)^2/3 + 4/29 & \text{else,}\end{cases} \\
        Y &= 0.2126\,R + 0.7152\,G + 0.0722\,B, \\
        Z &= 0.0193\,R + 0.1192\,G + 0.9505\,B,

    and :math:`Z_n = 1.0888` of the white D65 (CIE 1976; IEC 61966-2-1).
    """
    y = light @ light.new_tensor([0.212671, 0.715160, 0.072169])
    z = light @ light.new_tensor([0.019334, 0.119193, 0.950227]) / 1.08883
    fy, fz = (
        torch.where(t > (6 / 29) ** 3, t.clamp_min(1e-9) ** (1 / 3), t * (29 / 6) ** 2 / 3 + 4 / 29)
        for t in (y, z)
    )
    return torch.rad2deg(torch.atan2(116 * fy - 66, 200 * (fy - fz)))


def _encoded(light: Tensor) -> Tensor:
    """Return sRGB values in [0, 1] of linear light (IEC 61966-2-1)."""
    light = light.clamp(0, 1)
    return torch.where(light <= 0.0031308, 12.92 * light, 1.055 * light.clamp_min(1e-6) ** (1 / 2.4) - 0.055)


def _part(
    own: Subjects, labels: Tensor, cameras: Tensor | None, size: int, contrasts: Sequence[str]
) -> Phantoms:
    n, factor = len(own), fineness(size, FINE)
    side = size * factor
    drawn = own.each(1, 0, len(CAMERAS))[:, 0].long()
    camera = drawn if cameras is None else cameras

    def only(*kinds: int) -> Tensor:
        return torch.isin(labels, torch.tensor(kinds, device=own.device)).view(n, 1, 1)

    def colour(values: tuple[float, ...]) -> Tensor:
        return torch.tensor(values, device=own.device).view(3, 1, 1)

    broad, middle, fine, grain = (
        own.field(count, scale, side, FOV) for count, scale in ((3, 5.0), (3, 1.8), (3, 0.7), (2, 0.32))
    )
    x, y = grid(side, FOV, device=own.device)
    plan = _PLAN.to(own.device)[labels]
    smallest, largest, brown, red, lopsided, ragged, soft, varied, blue, scaly, network = (
        plan[:, column].view(n, 1, 1) for column in range(plan.shape[1])
    )
    irregular = own.uniform(0.0, 1.0)
    severity = irregular * only(MELANOMA)
    wilder = torch.where(only(MELANOMA), 0.4 + 0.55 * irregular, own.uniform(0.6, 1.2))

    # The skin: tone, creases, redness.
    tone = own.uniform(0.03, 2.6)
    flush = own.uniform(0.1, 0.45)
    creases = bump(fine[:, 0] / 0.35) + bump(fine[:, 1] / 0.35)
    melanin = tone * (1 + 0.05 * broad[:, 0] + 0.03 * middle[:, 0]) + 0.05 * (creases - 0.6)
    blood = flush * (1 + 0.25 * broad[:, 1] + 0.15 * middle[:, 1])

    # The lesion: an ellipse with a lopsided and ragged border.
    at_x, at_y = own.uniform(-1.8, 1.8), own.uniform(-1.8, 1.8)
    radius = smallest + (largest - smallest) * own.uniform(0, 1)
    stretch, lie = own.uniform(1.0, 1.3), own.uniform(0, math.pi)
    dx, dy = x - at_x, y - at_y
    along, across = dx * lie.cos() + dy * lie.sin(), dy * lie.cos() - dx * lie.sin()
    border = ((along / stretch) ** 2 + (across * stretch) ** 2).sqrt() / radius
    border = border + wilder * (lopsided * broad[:, 2] + ragged * middle[:, 2] + 0.35 * ragged * fine[:, 2])
    inside = border < 1
    amount = torch.sigmoid((1 - border) * radius / (soft * own.uniform(0.7, 1.4)))

    # Its colours: shades of brown in patches, a network of lines, dots; red; a blue veil; white scale.
    patches = torch.sigmoid((broad[:, 0] + 0.5 * middle[:, 0] + own.uniform(-0.8, 0.8)) / 0.4) - 0.4
    lines = torch.maximum(bump(fine[:, 1] / 0.3), bump(fine[:, 2] / 0.3)) - 0.5
    dots = torch.sigmoid((grain[:, 0] - 1.6) / 0.2) * torch.sigmoid((middle[:, 1] - 0.1) / 0.3)
    shade = own.uniform(0.65, 1.4) * (1 + 0.12 * middle[:, 0] + 0.08 * fine[:, 0])
    shade = (
        shade * (1 + 1.5 * wilder * varied * patches) * (1 + 0.35 * network * own.uniform(0.2, 1.6) * lines)
    )
    shade = shade + 0.6 * dots * only(NAEVUS, MELANOMA) * own.uniform(0, 1)
    # A naevus is darker in its middle; a dermatofibroma is a pale scar in a ring of pigment.
    middle_of = bump(border / 0.5)
    ring = 0.5 + 0.9 * bump((border - 0.75) / 0.33) - 0.5 * middle_of
    shade = shade * (1 + only(NAEVUS) * own.uniform(-0.1, 0.6) * middle_of)
    shade = torch.where(only(FIBROMA), shade * ring, shade)
    # A keratosis has dark plugs and pale cysts; vascular lesions have lacunae with pale walls between.
    plugs = torch.sigmoid((fine[:, 0] - 1.4) / 0.25) * only(KERATOSIS)
    cysts = torch.sigmoid((grain[:, 1] + 1.1 * fine[:, 1] - own.uniform(2.9, 4.2)) / 0.35) * only(KERATOSIS)
    walls = only(VASCULAR) * bump(middle[:, 1] / 0.25)
    melanin = melanin + amount * (brown * shade.clamp_min(0.05) + 0.8 * plugs)
    blood = blood + amount * red * own.uniform(0.7, 1.3) * (
        1 + 0.25 * middle[:, 1] + 0.3 * only(CARCINOMA) * fine[:, 2]
    )
    blood = blood * (1 - 0.6 * amount * walls)
    vessels = _vessels(own, at_x, at_y, radius, side) * only(CARCINOMA) * amount
    blood = blood + 0.9 * vessels
    depth = melanin[:, None] * colour(MELANIN) + blood[:, None] * colour(BLOOD)
    light = colour(BARE) * torch.exp(-depth)
    bluish = blue * torch.sigmoid((middle[:, 1] + 0.5 * broad[:, 1] - own.uniform(0.3, 1.4)) / 0.4)
    bluish = bluish * torch.sigmoid((0.85 - border) / 0.12) * own.uniform(0.3, 1.0)
    bluish = bluish * (own.uniform(0, 1) < 1 / 3)  # a veil, or nests, in a third of those that may have it
    light = torch.lerp(
        light, colour(VEIL).expand_as(light) * torch.exp(-0.4 * tone)[:, None], bluish[:, None]
    )
    # Scale is fine and lies in some parts only.
    flakes = torch.sigmoid((grain[:, 1] + 0.5 * fine[:, 1] - own.uniform(0.6, 1.6)) / 0.5)
    flakes = scaly * flakes * torch.sigmoid((broad[:, 1] + middle[:, 0] - 0.2) / 0.4) * amount
    pale = torch.maximum(0.45 * flakes, 0.32 * cysts * amount)
    pale = torch.maximum(pale, 0.24 * only(FIBROMA) * middle_of * (1 + 0.2 * fine[:, 1]))
    light = torch.lerp(
        light, colour(SCALE_WHITE) * torch.exp(-0.45 * tone)[:, None], pale[:, None].clamp(0, 1)
    )
    light = light * (1 + 0.03 * grain[:, :1] + 0.03 * fine[:, :1])

    # What lies on it.
    hair, hairs = _hair(own, side)
    blond = own.uniform(0, 1) ** 2 * torch.exp(-tone)
    strand = colour((0.016, 0.012, 0.010)) + colour((0.38, 0.27, 0.15)) * blond[:, None]
    light = torch.lerp(light, strand.expand_as(light), (0.88 * hair)[:, None])
    ruler, ruled = _ruler(own, side)
    light = torch.lerp(light, torch.full_like(light, 0.02), (0.85 * ruler)[:, None])

    painted = torch.full((n, side, side), SKIN, dtype=torch.uint8, device=own.device)
    paint(painted, inside, LESION)
    paint(painted, hair >= 0.25, HAIR)  # hairs are thinner than a pixel
    paint(painted, ruler >= 0.5, RULER)

    # The camera.
    used = [CAMERAS[int(each)] for each in camera]
    gain = torch.tensor([each.gain for each in used], device=own.device)[..., None, None]
    vignette, blur = (
        torch.tensor([getattr(each, name) for each in used], device=own.device).view(n, 1, 1)
        for name in ("vignette", "blur")
    )
    circle = torch.tensor([each.round for each in used], device=own.device).view(n, 1, 1)
    from_middle = (x**2 + y**2).sqrt() / (FOV / 2)
    lamp = 1 - vignette * (from_middle / math.sqrt(2)) ** 3
    aperture = torch.where(circle, torch.sigmoid((own.uniform(1.0, 1.16) - from_middle) / 0.012), 1.0)
    light = gain * own.uniform(0.85, 1.12)[:, None] * (lamp * aperture)[:, None] * light
    light = avg_pool2d(light, factor)
    width = 2 * max(1, round(0.35 * size / FOV)) + 1
    blurred = avg_pool2d(light, width, stride=1, padding=width // 2, count_include_pad=False)
    light = torch.lerp(light, blurred, (blur * min(1.0, size / 64))[:, None])
    noise = own.stream(1).normal(3, size, size) * 0.008 * (size / 64) ** 0.5
    photograph = (2 * (_encoded(light) + noise) - 1).clamp(-1, 1)

    bare = colour(BARE) * torch.exp(-tone[:, None] * colour(MELANIN) - flush[:, None] * colour(BLOOD))
    return Phantoms(
        images={name: photograph for name in contrasts},
        scales={name: RGB_SCALE for name in contrasts},
        tissue_names=TISSUES,
        tissues=shares(painted, len(TISSUES), factor),
        lesion=avg_pool2d(inside[:, None].float(), factor) >= 0.5,
        lesion_columns=LESION_COLUMNS,
        lesions=lesion_rows(torch.ones_like(at_x), at_x, at_y, radius),
        labels=labels,
        severity=severity[:, 0, 0],
        subject=own.numbers,
        seed=own.seed,
        facts={"camera": camera, "ita": typology_angle(bare[..., 0, 0]), "hairs": hairs, "ruler": ruled},
    )


def _curve(
    own: Subjects, start: Tensor, heading: Tensor, length: Tensor, bend: float
) -> tuple[Tensor, Tensor]:
    """Return both ends ``(n, s, 2)`` of the segments of curves, twelve each."""
    count, pieces = heading.shape[1], 12
    s = torch.linspace(0, 1, pieces, device=heading.device)
    turn = heading[..., None] + own.each(count, -bend, bend)[..., None] * s
    turn = turn + own.each(count, -bend, bend)[..., None] * torch.sin(
        2 * math.pi * s + own.each(count, 0, 6)[..., None]
    )
    step = (length / pieces)[..., None, None] * torch.stack([turn.cos(), turn.sin()], dim=-1)
    ends = start[:, :, None] + step.cumsum(dim=2)
    return (ends - step).flatten(1, 2), ends.flatten(1, 2)


def _hair(own: Subjects, side: int) -> tuple[Tensor, Tensor]:
    """Return how much of every pixel hair covers, and how many hairs there are; half of all have none."""
    many = ((own.each(1, -1, 1)[:, 0]).clamp_min(0) * (HAIRS + 1)).long()
    lying = own.each(1, 0, 2 * math.pi) + own.each(HAIRS, -0.7, 0.7)
    start = torch.stack([own.each(HAIRS, -9, 9), own.each(HAIRS, -9, 9)], dim=-1)
    begin, end = _curve(own, start, lying, own.each(HAIRS, 4, 16), 0.8)
    thick = own.each(1, 0.03, 0.075) * own.each(HAIRS, 0.7, 1.2)
    thick = thick * (torch.arange(HAIRS, device=own.device) < many[:, None])
    return strokes(begin, end, thick.repeat_interleave(12, dim=1), side=side, fov=FOV), many


def _vessels(own: Subjects, at_x: Tensor, at_y: Tensor, radius: Tensor, side: int) -> Tensor:
    """Return how much of every pixel a few branching fine vessels over the lesion cover."""
    count = 7
    around = own.each(count, 0, 2 * math.pi)
    out = 0.9 * radius[..., 0] * own.each(count, 0.5, 1.1)
    start = torch.stack([at_x[..., 0] + out * around.cos(), at_y[..., 0] + out * around.sin()], dim=-1)
    begin, end = _curve(own, start, around + math.pi + own.each(count, -0.8, 0.8), out, 1.3)
    thick = own.each(count, 0.04, 0.09).repeat_interleave(12, dim=1)
    return strokes(begin, end, thick, side=side, fov=FOV)


def _ruler(own: Subjects, side: int) -> tuple[Tensor, Tensor]:
    """Return how much of every pixel the marks of a ruler cover, one each mm at an edge, and who has one."""
    ruled = own.each(1, 0, 1)[:, 0] < 0.12
    place, upright = own.each(1, 7.2, 8.6), own.each(1, 0, 1) < 0.5
    first = torch.where(own.each(1, 0, 1) < 0.5, -1.0, 1.0)
    mark = torch.arange(-9, 10, device=own.device).float() + own.each(1, -0.5, 0.5)
    long = torch.where(torch.arange(19, device=own.device) % 5 == 4, 1.3, 0.7).expand_as(mark)
    near, far = (first * place).expand_as(mark), first * (place - long)
    begin, end = (
        torch.where(upright[..., None], torch.stack([edge, mark], -1), torch.stack([mark, edge], -1))
        for edge in (near, far)
    )
    thick = torch.full_like(mark, 0.06) * ruled[:, None]
    return strokes(begin, end, thick, side=side, fov=FOV), ruled.long()
