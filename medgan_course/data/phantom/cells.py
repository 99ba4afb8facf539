r"""Single cells, computed: blood smears in the place of BloodMNIST and BCCD, kidney nuclei in TissueMNIST's.

A blood cell is a cell body, a nucleus of lobes along an arc and granules; a red cell is thinner in its
middle. The dyes of a smear absorb by the law of Beer and Lambert (:func:`medgan_course.data.stain.absorb`).
Nuclei of the kidney fluoresce: the image is the sum of what shines, with the noise of counted photons.

The nucleus is where the distance to the nearest lobe or bridge between lobes,

.. math:: d(\mathbf r) = \min_k \bigl(\lvert\mathbf r - \mathbf c_k(\mathbf r)\rvert - r_k\bigr),

is negative; :math:`\mathbf c_k` is the nearest point of lobe :math:`k` (a point) or bridge :math:`k` (a
line). Lengths are in micrometres. Sizes and shapes are textbook ones, without a source. No result on these
images says anything about patients.
"""

import math
from collections.abc import Sequence
from dataclasses import replace
from typing import NamedTuple

import torch
from torch import Tensor
from torch.nn.functional import avg_pool2d

from medgan_course.data import stain
from medgan_course.data.phantom.common import Subjects, bump, checked, fineness, grid, numbered

CHUNK = 16  # subjects at a time
FINE = 96  # the least side of the grid on which cells are painted
WIDTH = 21.0  # micrometres of an image of a blood cell
LOBES, RED_CELLS, NEIGHBOURS = 5, 14, 14

# Optical densities in red, green and blue of a unit of nucleus, blue and pink cytoplasm, red and purple
# granules, haemoglobin. Plausible values that give the colours of smears, without a source.
DYES = torch.tensor(
    [
        [0.40, 0.56, 0.14], [0.34, 0.26, 0.05], [0.05, 0.21, 0.06],
        [0.08, 0.42, 0.22], [0.42, 0.60, 0.15], [0.03, 0.18, 0.185],
    ]
)  # fmt: skip


class Blood(NamedTuple):
    """A kind of blood cell.

    Radius of the cell; fewest and most lobes, the arc they lie on (angle and radius), radius of lobes and of
    bridges; amounts of nucleus, blue and pink cytoplasm, red and purple granules, granules over the nucleus.
    """

    radius: float
    lobes: tuple[int, int]
    arc: tuple[float, float]
    lobe: float
    bridge: float
    nucleus: float
    blue: float
    pink: float
    red_granules: float
    purple_granules: float
    over: float


# In the order of BloodMNIST's labels.
BLOOD = (
    Blood(6.0, (2, 3), (2.6, 1.9), 2.6, 1.9, 0.55, 0.22, 0.40, 0.0, 0.95, 0.9),  # basophil
    Blood(6.6, (2, 3), (2.4, 2.7), 2.4, 0.8, 0.85, 0.05, 0.45, 0.65, 0.0, 0.1),  # eosinophil
    Blood(4.7, (1, 1), (0.0, 0.4), 3.0, 3.0, 1.25, 0.35, 0.35, 0.0, 0.0, 0.0),  # erythroblast
    Blood(7.8, (2, 3), (1.3, 1.9), 3.9, 3.8, 0.72, 0.30, 0.25, 0.0, 0.40, 0.4),  # immature granulocyte
    Blood(5.1, (1, 1), (0.0, 0.5), 4.1, 4.1, 0.95, 0.55, 0.00, 0.0, 0.0, 0.0),  # lymphocyte
    Blood(8.0, (3, 4), (2.6, 2.6), 3.0, 2.8, 0.70, 0.42, 0.10, 0.0, 0.12, 0.2),  # monocyte
    Blood(6.4, (3, 5), (4.3, 3.0), 1.75, 0.6, 0.95, 0.05, 0.32, 0.10, 0.10, 0.0),  # neutrophil
    Blood(1.5, (0, 0), (0.0, 0.0), 0.0, 0.0, 0.00, 0.25, 0.25, 0.0, 0.75, 0.0),  # platelet
)
CLASSES = (
    "basophil", "eosinophil", "erythroblast", "immature granulocyte", "lymphocyte", "monocyte", "neutrophil",
    "platelet",
)  # fmt: skip
SMEARED = ("red", "white", "platelet")
NUCLEI = (
    "collecting duct", "distal tubule", "glomerular endothelium", "interstitial endothelium", "leukocyte",
    "podocyte", "proximal tubule", "thick ascending limb",
)  # fmt: skip
PLATELET, RED = 7, 8  # the second is none of BloodMNIST's
# How often each white cell is one of BCCD's: mostly neutrophils and lymphocytes.
_WHITE = (0.02, 0.18, 0.0, 0.0, 0.2, 0.1, 0.5)


class Renal(NamedTuple):
    """Nuclei of a part of the kidney.

    Semi-axes; brightness; radius of the tubule they line, or 0 if they lie anywhere; how many of the places
    around are taken; how uneven the chromatin is.
    """

    long: float
    short: float
    bright: float
    tubule: float
    taken: float
    uneven: float


# In the order of TissueMNIST's labels.
KIDNEY = (
    Renal(3.5, 3.2, 0.60, 9.0, 0.75, 0.15),  # collecting duct, connecting tubule
    Renal(3.3, 3.0, 0.72, 11.0, 0.90, 0.15),  # distal convoluted tubule
    Renal(3.6, 1.9, 0.62, 0.0, 0.85, 0.25),  # glomerular endothelium
    Renal(4.8, 1.4, 0.55, 0.0, 0.30, 0.20),  # interstitial endothelium
    Renal(2.5, 2.3, 1.00, 0.0, 0.55, 0.45),  # leukocyte
    Renal(4.2, 3.2, 0.48, 0.0, 0.70, 0.20),  # podocyte
    Renal(3.7, 3.5, 0.42, 15.0, 0.50, 0.12),  # proximal tubule
    Renal(3.1, 2.7, 0.58, 12.5, 0.80, 0.15),  # thick ascending limb
)


def render(labels: Sequence[int], *, size: int, seed: int, first: int = 0) -> Tensor:
    """Compute what stands in for BloodMNIST: a cell for each label."""
    asked = checked("cell", numbered(labels, first), size=size, seed=seed, labels=labels, classes=CLASSES)
    widths = torch.full((len(asked),), WIDTH)
    return torch.cat(asked.in_parts(_smear, CHUNK, widths, white=(0.97, 0.90, 0.86), size=size))


def render_smear(labels: Sequence[int], *, size: int, seed: int, first: int = 0) -> Tensor:
    """Compute what stands in for BCCD's cells: 0 red, 1 white, 2 platelet.

    Each is cut out along its outline, as BCCD's are, so sizes in pixels say nothing.
    """
    asked = checked("cell", numbered(labels, first), size=size, seed=seed, labels=labels, classes=SMEARED)
    drawn = Subjects(asked.numbers, seed, stream=9).each(2, 0, 1)
    kinds, widths = [], []
    edges = torch.tensor(_WHITE).cumsum(0)
    for label, (which, how) in zip(labels, drawn.tolist(), strict=True):
        kind = (RED, int((edges < which).sum()), PLATELET)[label]
        kinds.append(kind)
        widths.append((9.6, 2.5 * BLOOD[min(kind, PLATELET)].radius, 4.6)[label] * (0.92 + 0.22 * how))
    asked = replace(asked, labels=kinds)
    white = (0.82, 0.83, 0.81)
    return torch.cat(asked.in_parts(_smear, CHUNK, torch.tensor(widths), white=white, size=size))


def render_kidney(labels: Sequence[int], *, size: int, seed: int, first: int = 0) -> Tensor:
    """Compute what stands in for TissueMNIST: a nucleus for each label."""
    asked = checked("nucleus", numbered(labels, first), size=size, seed=seed, labels=labels, classes=NUCLEI)
    return torch.cat(asked.in_parts(_kidney, CHUNK, size=size))


def _soft(inside: Tensor, edge: Tensor | float) -> Tensor:
    """Return 1 where a signed distance is well above 0 and 0 where it is well below."""
    return torch.sigmoid(inside / edge)


def _smear(
    own: Subjects, kinds: Tensor, widths: Tensor, white: tuple[float, float, float], size: int
) -> Tensor:
    n, factor = len(own), fineness(size, FINE)
    side = size * factor
    # A red cell has none of what makes the others.
    plan = [BLOOD[min(kind, PLATELET)] for kind in kinds.tolist()]
    red, platelet = ((kinds == kind).view(n, 1, 1) for kind in (RED, PLATELET))

    def of(name: str) -> Tensor:
        return torch.tensor([float(getattr(each, name)) for each in plan]).view(n, 1, 1)

    # The grid is a frame of unit width; textures are drawn for it, lengths are of the cell.
    broad, middle, fine, grain = (own.field(2, scale, side, 1.0) for scale in (0.3, 0.12, 0.05, 0.025))
    width = widths.view(n, 1, 1)
    x, y = (each * width for each in grid(side, 1.0))
    x, y = x + own.uniform(-0.04, 0.04) * width, y + own.uniform(-0.04, 0.04) * width
    edge = 0.012 * width + 0.12

    # The cell's outline, seldom round.
    scale = own.uniform(0.88, 1.13)
    body = torch.where(red, 3.9, of("radius")) * scale
    long, lie = own.uniform(1.0, 1.14), own.uniform(0, math.pi)
    along, across = x * lie.cos() + y * lie.sin(), y * lie.cos() - x * lie.sin()
    outline = ((along / long) ** 2 + (across * long) ** 2).sqrt() * (
        1 + 0.035 * broad[:, 0] + 0.02 * middle[:, 0]
    )
    within = _soft(body - outline, edge) * ~red

    # The nucleus.
    apart = _nucleus(
        own, plan, x + 0.012 * width * middle[:, 1], y + 0.012 * width * middle[:, 0], scale, body
    )
    nucleus = _soft(-apart, 0.8 * edge) * within * ~platelet * ~red
    chromatin = of("nucleus") * own.uniform(0.8, 1.2) * (1 + 0.13 * fine[:, 0] + 0.10 * grain[:, 0])

    cytoplasm = within * (1 - 0.8 * nucleus) * (1 + 0.12 * middle[:, 0])
    speckled = within * torch.maximum(1 - nucleus, of("over"))
    red_dots, purple_dots = (
        _soft(dots - own.uniform(-0.3, 0.5), 0.35) * speckled
        for dots in (grain[:, 0] + 0.4 * fine[:, 0], grain[:, 1])
    )
    # Those of a platelet crowd in its middle and are too fine to be seen one by one.
    crowd = within * bump(outline / (0.9 * body)) * (0.75 + 0.3 * middle[:, 1]) * own.uniform(0.25, 0.9)
    purple_dots = torch.where(platelet, crowd, purple_dots)

    # Red cells around it, paler in the middle; they may overlap each other, and lie beside the cell.
    haemoglobin = torch.zeros_like(x)
    direction = own.each(RED_CELLS, 0, 2 * math.pi)
    distance = own.each(RED_CELLS, 0, 1)
    there = own.each(RED_CELLS, 0, 1) < own.each(1, 0.2, 0.7)
    tall, wide = own.each(RED_CELLS, 3.2, 4.1), own.each(RED_CELLS, 0.9, 1.12)
    pale, amount = own.each(RED_CELLS, 0.0, 0.75) * own.each(1, 0.3, 1.0), own.each(RED_CELLS, 0.8, 1.15)
    for number in range(RED_CELLS):
        a, b = tall[:, number, None, None], wide[:, number, None, None]
        least = torch.where(red, 0.6 * body + 2.4, body + 3.3)
        if number == 0:  # the red cell itself
            least = torch.where(red, 0.0, least)
        far = least + torch.where(red & (number == 0), 0.0, 12.0) * distance[:, number, None, None]
        turn = direction[:, number, None, None]
        dx, dy = x - far * turn.cos(), y - far * turn.sin()
        c, s = (2.3 * turn).cos(), (2.3 * turn).sin()
        r = (((dx * c + dy * s) / b) ** 2 + ((dy * c - dx * s) * b) ** 2).sqrt() * (1 + 0.05 * broad[:, 1])
        present = there[:, number, None, None] | (red & (number == 0))
        # Biconcave: thickest at two thirds of the radius.
        dip = 1 - pale[:, number, None, None] * bump(r / (0.5 * a))
        haemoglobin = haemoglobin + present * amount[:, number, None, None] * dip * _soft(a - r, 0.8 * edge)
    # Where several overlap, less dark than all of them: they are pressed flat.
    haemoglobin = 1.7 * torch.tanh(haemoglobin / 1.7) * (1 - within) * own.uniform(0.55, 1.0)

    amounts = torch.stack(
        [
            nucleus * chromatin,
            of("blue") * cytoplasm * own.uniform(0.7, 1.3),
            of("pink") * cytoplasm * own.uniform(0.7, 1.3),
            of("red_granules") * red_dots,
            of("purple_granules") * purple_dots * (1 - 0.4 * nucleus),
            haemoglobin,
        ],
        dim=1,
    )
    amounts = amounts * ~torch.stack([red] * 5 + [torch.zeros_like(red)], dim=1)
    cast = torch.cat([own.uniform(-0.018, 0.018) for _ in range(3)], dim=1)[..., None]
    plain = torch.tensor(white).view(3, 1, 1) * (1 + cast)
    lamp = own.uniform(0.9, 1.04) * (1 + 0.02 * broad[:, 1])
    light = avg_pool2d(plain * lamp[:, None] * stain.absorb(amounts.clamp_min(0), DYES), factor)
    noise = own.stream(1).normal(3, size, size) * 0.01 * (size / 64) ** 0.5
    return ((light + noise).clamp(0, 1) * 255).round().to(torch.uint8).movedim(1, -1)


def _nucleus(
    own: Subjects, plan: Sequence[Blood], x: Tensor, y: Tensor, scale: Tensor, body: Tensor
) -> Tensor:
    """Return the distance to the nucleus, negative inside."""
    lobes = torch.tensor([each.lobes for each in plan])
    many = lobes[:, :1] + (own.each(1, 0, 1) * (lobes[:, 1:] - lobes[:, :1] + 1)).long()
    arc = torch.tensor([each.arc for each in plan])
    radius = torch.tensor([each.lobe for each in plan])[:, None] * own.each(LOBES, 0.85, 1.15)
    bridge = torch.tensor([each.bridge for each in plan])[:, None] * own.each(LOBES, 0.85, 1.15)
    number = torch.arange(LOBES)
    share = number / (many - 1).clamp_min(1) - 0.5
    angle = own.each(1, 0, 2 * math.pi) + arc[:, :1] * (share + own.each(LOBES, -0.06, 0.06)) * own.each(
        1, 0.85, 1.15
    )
    out = arc[:, 1:] * own.each(LOBES, 0.8, 1.15)
    # The arc's middle is off the cell's, so that long arcs fit.
    shift = own.each(2, -0.1, 0.1) * body[:, 0]
    at_x, at_y = out * angle.cos() + shift[:, :1], out * angle.sin() + shift[:, 1:]
    apart = torch.full_like(x, 99.0)
    for k in range(LOBES):
        here = (k < many)[:, :, None]
        cx, cy = (scale[:, 0] * at[:, k : k + 1] for at in (at_x, at_y))
        dx, dy = x - cx[..., None], y - cy[..., None]
        lobe = (dx**2 + dy**2).sqrt() - (scale[:, 0] * radius[:, k : k + 1])[..., None]
        apart = torch.where(here, torch.minimum(apart, lobe), apart)
        if k + 1 == LOBES:
            break
        nx, ny = (scale[:, 0] * at[:, k + 1 : k + 2] for at in (at_x, at_y))
        vx, vy = (nx - cx)[..., None], (ny - cy)[..., None]
        t = ((dx * vx + dy * vy) / (vx**2 + vy**2).clamp_min(1e-6)).clamp(0, 1)
        link = ((dx - t * vx) ** 2 + (dy - t * vy) ** 2).sqrt() - (scale[:, 0] * bridge[:, k : k + 1])[
            ..., None
        ]
        apart = torch.where((k + 1 < many)[:, :, None], torch.minimum(apart, link), apart)
    return apart


def _kidney(own: Subjects, labels: Tensor, size: int) -> Tensor:
    n, factor = len(own), fineness(size, FINE // 2)
    side = size * factor
    plan = [KIDNEY[label] for label in labels.tolist()]

    def of(name: str) -> Tensor:
        return torch.tensor([getattr(each, name) for each in plan]).view(n, 1)

    width = 30.0
    broad, fine, grain = (own.field(1, scale, side, width)[:, 0] for scale in (8.0, 2.0, 0.9))
    x, y = grid(side, width)
    x, y = x + 0.5 * fine, y + 0.5 * fine.flip(-1)
    tubule = of("tubule")
    centre = own.each(1, 0, 2 * math.pi)
    # Around a tubule nuclei lie side by side on a ring through the middle one; otherwise on rings around it.
    spacing = 2.3 * of("long") * own.each(1, 0.9, 1.15)
    turn = (torch.arange(NEIGHBOURS) - NEIGHBOURS // 2) * spacing / tubule.clamp_min(1.0)
    turn = centre + turn + own.each(NEIGHBOURS, -0.12, 0.12)
    ring_x = tubule * (turn.cos() - centre.cos()) * own.each(NEIGHBOURS, 0.93, 1.07)
    ring_y = tubule * (turn.sin() - centre.sin()) * own.each(NEIGHBOURS, 0.93, 1.07)
    around, far = own.each(NEIGHBOURS, 0, 2 * math.pi), 2.2 * of("long") + 11 * own.each(NEIGHBOURS, 0, 1)
    lined = tubule > 0
    at_x = torch.where(lined, ring_x, far * around.cos())
    at_y = torch.where(lined, ring_y, far * around.sin())
    lie = torch.where(lined, turn, centre + own.each(NEIGHBOURS, -0.9, 0.9))
    present = own.each(NEIGHBOURS, 0, 1) < of("taken")
    bright = of("bright") * own.each(NEIGHBOURS, 0.35, 1.0) * present
    middle = NEIGHBOURS // 2
    at_x[:, middle], at_y[:, middle] = own.each(2, -0.8, 0.8).unbind(1)
    bright[:, middle] = of("bright")[:, 0] * own.each(1, 0.8, 1.2)[:, 0]
    long = of("long") * own.each(NEIGHBOURS, 0.8, 1.2)
    short = of("short") * own.each(NEIGHBOURS, 0.8, 1.2)
    # Above and below the focus light is spread more.
    blur = own.each(NEIGHBOURS, 0.12, 0.4)
    blur[:, middle] = 0.14
    shine = (0.05 + 0.02 * broad).clamp_min(0) * own.uniform(0.4, 1.6)
    for k in range(NEIGHBOURS):
        cx, cy, a, b, phi, level, soft = (
            each[:, k, None, None] for each in (at_x, at_y, long, short, lie, bright, blur)
        )
        dx, dy = x - cx, y - cy
        along, across = (dx * phi.cos() + dy * phi.sin()) / a, (dy * phi.cos() - dx * phi.sin()) / b
        shine = shine + level * _soft(1 - (along**2 + across**2).sqrt(), soft)
    shine = (
        shine
        * (1 + of("uneven")[..., None] * (0.6 * fine + 0.5 * grain)).clamp_min(0.1)
        * own.uniform(0.55, 1.1)
    )
    light = avg_pool2d(shine[:, None], factor)[:, 0]
    noise = own.stream(1).normal(size, size) * (0.03 * (light + 0.05).sqrt()) * (size / 64) ** 0.5
    return ((light + noise).clamp(0, 1) * 255).round().to(torch.uint8)
