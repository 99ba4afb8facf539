r"""A breast ultrasound, computed: layers, speckle, and a mass that is smooth or ragged.

Every tissue has an echogenicity :math:`E` in dB, which attenuation :math:`\alpha` lowers with depth. Speckle
is the amplitude of many echoes that add up with random phases, so its power is exponentially distributed; a
pixel of the display is a mean of :math:`K` of them,

.. math::
    L = E(x, y) - \alpha y + 10\,\log_{10}\frac1K\sum_{k=1}^K\frac{n_{1k}^2 + n_{2k}^2}2,
    \qquad K = 4,

with :math:`n_{1k}, n_{2k} \sim N(0, 1)`, correlated across the beam (Wagner, Smith, Sandrik & Lopez 1983,
Statistics of speckle in ultrasound B-scans, IEEE Transactions on Sonics and Ultrasonics 30(3), 156-163). The
display shows a range of :math:`L` as grey.

Septa between lobules of fat (Cooper's ligaments), ducts in the gland and fasciae in the muscle are the sheets
on which a phase :math:`\phi` is whole. They reflect most where the beam, which comes from above, meets them
at right angles: with their half width :math:`w` in image sides,

.. math::
    \exp\Bigl(-\frac{(\phi-[\phi])^2}{w^2\,\lvert\nabla\phi\rvert^2}\Bigr)
    \Bigl(\frac{\partial\phi/\partial y}{\lvert\nabla\phi\rvert}\Bigr)^2 .

A benign mass is smooth, wider than tall, dark, and brighter below; a malignant one ragged, taller, and casts
a shadow. Echogenicities are plausible values without a source. The phantom has the layout of BreastMNIST
and BUSI, and nothing else of them: no result on it says anything about patients.

Positions are in image sides: x to the right, y down from the skin; in the table of lesions from the middle.
"""

import math
from collections.abc import Iterable, Sequence

import torch
from torch import Tensor
from torch.nn.functional import avg_pool2d, interpolate

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
    paint,
    shares,
)
from medgan_course.data.scale import GREY

CLASSES = ("normal", "benign", "malignant")
BREASTMNIST = ("malignant", "normal or benign")
CONTRASTS = ("us",)
TISSUES = ("mass", "skin", "muscle", "fat", "gland")
MASS, SKIN, MUSCLE, FAT, GLAND = range(len(TISSUES))
LESION_COLUMNS = ("present", "x", "y", "radius_x", "radius_y", "irregularity", "shadow")

CHUNK = 16  # subjects at a time
FINE = 112  # the least side of the grid on which echoes are computed
WAVES = 9  # of a mass's outline
ANGLES = 720  # at which it is computed
SHEET = 0.007  # image sides, half the width of a septum


def phantoms(
    subjects: Iterable[int],
    *,
    size: int,
    seed: int,
    labels: Iterable[int] | None = None,
    contrasts: Sequence[str] = CONTRASTS,
    device: torch.device | str | None = None,
) -> Phantoms:
    """Compute one ultrasound image of every subject.

    Parameters are those of all families (:mod:`medgan_course.data.phantom.common`).

    Returns
    -------
    Phantoms
        Grey levels. ``lesion`` is the mass, ``severity`` the irregularity of its outline; the lesion table
        gives its centre, semi-axes, irregularity in [0, 1], and what it adds to the echoes below it (dB).
    """
    asked = checked(
        "breast", subjects, size=size, seed=seed, labels=labels, classes=CLASSES,
        contrasts=contrasts, known=CONTRASTS, device=device,
    )  # fmt: skip
    return asked.phantoms(_part, CHUNK)


def render(labels: Sequence[int], *, size: int, seed: int, first: int = 0) -> Tensor:
    """Compute what stands in for BreastMNIST: an image for each label, 0 malignant, 1 normal or benign.

    Of the latter three in four are benign, as in the set.
    """
    asked = checked(
        "breast", numbered(labels, first), size=size, seed=seed, labels=labels, classes=BREASTMNIST
    )
    benign = Subjects(asked.numbers, seed).stream(3).each(1, 0, 1)[:, 0] < 437 / (437 + 133)
    kinds = [2 if label == 0 else int(well) for label, well in zip(asked.labels or (), benign, strict=True)]
    return render_masses(kinds, size=size, seed=seed, first=first)[0]


def render_masses(labels: Sequence[int], *, size: int, seed: int, first: int = 0) -> tuple[Tensor, Tensor]:
    """Compute what stands in for BUSI: an image for each label, 0 normal, 1 benign, 2 malignant.

    Returns
    -------
    images : Tensor
        uint8 ``(N, size, size)``.
    mask : Tensor
        bool ``(N, size, size)``: the mass.
    """
    made = phantoms(numbered(labels, first), size=size, seed=seed, labels=labels)
    return bytes_of(made.images["us"]), made.lesion[:, 0]


def _part(own: Subjects, labels: Tensor, size: int, contrasts: Sequence[str]) -> Phantoms:
    n, uniform, device = len(own), own.uniform, own.device
    factor = fineness(size, FINE)
    side = size * factor
    x, y = (place + 0.5 for place in grid(side, 1.0, device=device))
    folds = own.field(3, 0.22, side, 1.0)
    grains = own.field(2, 0.045, side, 1.0)
    lobes = own.field(2, 0.07, side, 1.0)
    streaks = interpolate(own.normal(3, 36, 7), (side, side), mode="bicubic", align_corners=False)

    # Layers from the skin down; lobules of fat in the gland.
    tilt = uniform(-0.1, 0.1)
    depth = y + 0.05 * folds[:, 0] + 0.008 * streaks[:, 1] + tilt * (x - 0.5)
    skin, gland, muscle = uniform(0.025, 0.06), uniform(0.1, 0.34), uniform(0.55, 0.95)
    bed = y + 0.035 * folds[:, 1] + uniform(-0.15, 0.15) * (x - 0.5)
    painted = torch.full((n, side, side), GLAND, dtype=torch.uint8, device=device)
    lobules, many = grains[:, 0] + 0.7 * streaks[:, 0] + 0.6 * folds[:, 2], uniform(0.6, 2.0)
    paint(painted, (depth < gland) | (lobules > many), FAT)
    paint(painted, bed > muscle, MUSCLE)
    paint(painted, y < skin, SKIN)

    # The mass.
    mass = _mass(own, labels, x, y, skin, lobes, grains[:, 1])
    paint(painted, mass["inside"], MASS)
    tissues = shares(painted, len(TISSUES), factor)
    lesion = tissues[:, MASS : MASS + 1] >= 0.5

    images = {}
    if "us" in contrasts:
        fatty = torch.maximum(torch.sigmoid((gland - depth) / 0.012), torch.sigmoid((lobules - many) / 0.3))
        echo = uniform(-13, -7) * fatty
        echo = torch.where(painted == MUSCLE, uniform(-15, -9), echo)
        echo = torch.where(painted == SKIN, uniform(2, 8), echo)
        echo = echo + 2.5 * streaks[:, 2] + 2.5 * folds[:, 2] + 2.0 * grains[:, 1]
        # Septa of fat hang between skin and gland; ducts and fasciae follow the layers.
        fat, flesh = painted == FAT, painted == MUSCLE
        rate = torch.where(fat, uniform(2.5, 5.5), torch.where(flesh, uniform(9, 17), uniform(7, 12)))
        wild = torch.where(fat, 0.6, torch.where(flesh, 0.14, 0.5))
        phase = rate * torch.where(flesh, bed, depth) + wild * (lobes[:, 0] + 0.6 * folds[:, 2])
        bright = torch.where(fat, uniform(9, 17), torch.where(flesh, uniform(8, 16), uniform(4, 12)))
        broken = (0.75 + 0.4 * streaks[:, 0] + 0.3 * lobes[:, 1]).clamp(0, 1.4)
        banded = torch.where(fat, 0.0, uniform(1, 5)) * torch.cos(torch.pi * phase)
        echo = echo + banded + bright * broken * _sheets(phase, side) * (y > skin)
        echo = echo + 10 * bump((bed - muscle) / 0.012) + 7 * bump((depth - gland) / 0.01)
        echo = (
            echo
            - uniform(14, 36) * y
            - uniform(0, 18) * torch.sigmoid((bed - muscle - uniform(0.02, 0.25)) / 0.06)
        )
        # Ligaments cast shadows of their own.
        shade = own.field(1, 0.1, side, 1.0)[:, 0, :1] * torch.sigmoid((y - 0.3) / 0.12)
        echo = echo - 5 * (shade - 0.8).clamp_min(0)
        echo = torch.lerp(echo, mass["echo"] + 2.0 * grains[:, 0] - 5 * y, mass["share"])
        echo = echo + mass["rim"] + mass["below"]
        apart = own.stream(1)
        parts = apart.normal(2, side + 1, side + 3)
        # Echoes blend over the width of the beam; a pixel of the display averages four of them.
        parts = avg_pool2d(parts, (1, 3), stride=1) * 3**0.5
        power = avg_pool2d(parts.square().sum(dim=1, keepdim=True) / 2, 2, stride=1)
        speckle = 10 * torch.log10(power[:, 0].clamp_min(1e-3))
        level = echo + speckle + uniform(29, 36)
        images["us"] = avg_pool2d((level / uniform(50, 58)).clamp(0, 1)[:, None], factor) * 2 - 1

    return Phantoms(
        images=images,
        scales={name: GREY for name in images},
        tissue_names=TISSUES,
        tissues=tissues,
        lesion=lesion,
        lesion_columns=LESION_COLUMNS,
        lesions=mass["table"],
        labels=labels,
        severity=mass["table"][:, 0, 5],
        subject=own.numbers,
        seed=own.seed,
    )


def _sheets(phase: Tensor, side: int) -> Tensor:
    """Return how much of thin sheets where ``phase`` is whole is seen, in [0, 1]: most of level ones."""
    down, across = torch.gradient(phase, spacing=1 / side, dim=(1, 2))
    steep = torch.addcmul(down.square(), across, across) + 1
    away = (phase - phase.round()).square()
    return torch.exp(-away / (SHEET**2 * steep)) * down.square() / steep


def _mass(
    own: Subjects, label: Tensor, x: Tensor, y: Tensor, skin: Tensor, bent: Tensor, grain: Tensor
) -> dict[str, Tensor]:
    """Return where the mass is, its echogenicity, what its rim and its shadow add (dB), and the table."""
    n, uniform = len(own), own.uniform
    present, malignant = (label > 0).view(n, 1, 1), (label == 2).view(n, 1, 1)
    wide = torch.where(malignant, uniform(0.11, 0.25), 0.06 + 0.17 * uniform(0, 1) ** 1.5)
    tall = wide * torch.where(malignant, uniform(0.7, 1.2), uniform(0.45, 0.8))
    x0, y0 = uniform(0.3, 0.7), uniform(0.26, 0.5)
    y0 = torch.maximum(y0, skin + 0.04 + 1.1 * tall)  # below the skin
    lean = uniform(-0.3, 0.3)
    u, v = x - x0, y - y0
    u, v = u * lean.cos() + v * lean.sin(), v * lean.cos() - u * lean.sin()
    ragged = torch.where(malignant, uniform(0.35, 1.0), uniform(0.0, 0.15))
    u, v = u + 0.16 * ragged * wide * bent[:, 0], v + 0.16 * ragged * tall * bent[:, 1]
    # An outline of a few waves; a ragged one has the higher ones too.
    turn = torch.atan2(v / tall, u / wide)
    # None of the waves is so strong that it alone makes the outline, which would be a square or a star.
    swing, phase = own.each(WAVES, -1.4, 1.4), own.each(WAVES, 0, math.tau)
    # Looked up by the angle: a wave for every pixel would cost more than all else.
    angles = torch.arange(ANGLES, device=x.device) * (math.tau / ANGLES)
    wave = torch.arange(WAVES, device=x.device)
    amount = (0.05 + 0.075 * ragged[:, 0]) / (wave + 1) ** 0.3
    amount = torch.where(wave == 0, 0.04, amount) * torch.where(malignant[:, 0] | (wave < 2), 1.0, 0.25)
    waves = torch.cos((wave[:, None] + 2) * angles + phase[..., None])
    table = ((amount * swing)[..., None] * waves).sum(dim=1)
    cell = (turn * (ANGLES / math.tau)).floor().long().remainder(ANGLES)
    outline = table.gather(1, cell.flatten(1)).view_as(turn)
    radius = (
        ((u / wide) ** 2 + (v / tall) ** 2).sqrt() + (0.02 + 0.07 * ragged) * grain - outline.clamp(-0.4, 0.6)
    )
    # What grows does not reach the skin.
    radius = radius + 2 * torch.sigmoid((skin + 0.02 - y) / 0.008)
    inside = (radius < 1) & present
    share = torch.sigmoid((1 - radius) / torch.where(malignant, uniform(0.05, 0.16), 0.025)) * present
    shadow = torch.where(malignant, uniform(-18, -3), uniform(1, 10))
    breadth = torch.sigmoid((0.85 - (u / wide).abs() + 0.1 * grain) / 0.08)
    below = shadow * breadth * torch.sigmoid((v / tall - 0.75) / 0.15) * ~inside * present
    # A capsule reflects where the beam meets it at right angles; a halo surrounds what grows into the tissue.
    capsule = uniform(2, 8) * bump((radius - 1.04) / 0.07) * (v / tall).clamp(-1, 1) ** 2
    halo = uniform(0, 7) * bump((radius - 1.15) / 0.22)
    rim = torch.where(malignant, halo, capsule) * present * ~inside
    echo = torch.where(
        malignant, uniform(-24, -17), torch.where(uniform(0, 1) < 0.5, -30.0, uniform(-25, -16))
    )
    echo = echo + torch.where(malignant, 3.5, 2.0) * grain
    table = lesion_rows(present, x0 - 0.5, y0 - 0.5, wide, tall, ragged, shadow)
    return {"inside": inside, "echo": echo, "share": share, "rim": rim, "below": below, "table": table}
