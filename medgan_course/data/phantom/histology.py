r"""HISTO2D: a section of tissue stained with haematoxylin and eosin, computed, with every nucleus known.

Cells, glands and fat cells are points of jittered lattices with a shape each; a pixel belongs to the nearest
in the shape's own metric,

.. math::
    i(\mathbf r) = \arg\min_i d_i(\mathbf r), \qquad
    d_i(\mathbf r)^2 = \Bigl(\frac{\cos\varphi_i\,x + \sin\varphi_i\,y}{a_i}\Bigr)^2
    + \Bigl(\frac{\cos\varphi_i\,y - \sin\varphi_i\,x}{b_i}\Bigr)^2, \qquad (x, y) = \mathbf r - \mathbf r_i,

and to its nucleus if :math:`d < 1`; where two cells touch, the nearer one wins, so instances never overlap.
Concentrations of the two stains become colour by the law of Beer and Lambert
(:mod:`medgan_course.data.stain`), with the vectors, strengths and white light of one of several labs.

The nine kinds of tissue are those of NCT-CRC-HE (Kather et al. 2019, PLoS Medicine 16(1), e1002730), from
which PathMNIST was made. Lengths are in micrometres. No result on it says anything about patients.
"""

import math
from collections.abc import Iterable, Sequence
from typing import NamedTuple

import torch
from torch import Tensor
from torch.nn.functional import avg_pool2d

from medgan_course.data import stain
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
    one_each,
    one_of,
    outline_columns,
    outlined,
    paint,
    shares,
)
from medgan_course.data.scale import Scale

CONTRASTS = ("rgb", "low")
USUAL = ("rgb",)
RGB_SCALE = Scale(0.0, 1.0, "of the incident light")
LOW = 4  # pixels of "rgb" that a pixel of "low" is wide
FOV = 112.0  # micrometres, as PathMNIST's patches
CLASSES = (
    "adipose", "background", "debris", "lymphocytes", "mucus", "smooth muscle", "normal mucosa",
    "cancer-associated stroma", "tumour epithelium",
)  # fmt: skip
ADIPOSE, BACKGROUND, DEBRIS, LYMPHOCYTES, MUCUS, MUSCLE, MUCOSA, STROMA, TUMOUR = range(len(CLASSES))

TISSUES = (
    "background", "epithelial nucleus", "lymphoid nucleus", "spindle nucleus", "lumen", "fat", "epithelium",
    "connective tissue", "mucus", "debris",
)  # fmt: skip
VOID, EPITHELIAL, LYMPHOID, SPINDLE, LUMEN, FAT, EPITHELIUM, CONNECTIVE, SLIME, WASTE = range(len(TISSUES))
NUCLEI = (EPITHELIAL, LYMPHOID, SPINDLE)
LESION_COLUMNS = outline_columns(2)


class Lab(NamedTuple):
    """A laboratory: stain vectors, how strongly it stains, and the white of its scanner."""

    haematoxylin: tuple[float, float, float]
    eosin: tuple[float, float, float]
    strength: tuple[float, float]
    white: tuple[float, float, float]


# The first has the vectors of Ruifrok & Johnston (2001), the second those of Macenko et al. (2009), ISBI,
# 1107-1110, as in their published code (to be confirmed); the others lie around them, without a source.
LABS = (
    Lab(stain.HAEMATOXYLIN, stain.EOSIN, (1.0, 0.75), (0.97, 0.96, 0.97)),
    Lab((0.5626, 0.7201, 0.4062), (0.2159, 0.8012, 0.5581), (1.05, 0.7), (0.95, 0.94, 0.96)),
    Lab((0.60, 0.74, 0.31), (0.13, 0.95, 0.28), (0.8, 1.0), (0.98, 0.95, 0.95)),
    Lab((0.72, 0.66, 0.22), (0.10, 0.93, 0.20), (1.25, 0.6), (0.93, 0.94, 0.97)),
    Lab((0.60, 0.76, 0.22), (0.36, 0.50, 0.18), (0.9, 0.4), (0.86, 0.80, 0.91)),
    Lab((0.50, 0.82, 0.28), (0.20, 0.30, 0.20), (0.9, 0.25), (0.88, 0.89, 0.88)),
)
H_AND_E = 4  # of them; the last two stain little but nuclei

CHUNK = 8  # subjects at a time
FINE = 112  # the least side of the grid on which tissues are painted
PLACES = 24  # places for cells a side, in every subject


def phantoms(
    subjects: Iterable[int],
    *,
    size: int,
    seed: int,
    labels: Iterable[int] | None = None,
    contrasts: Sequence[str] = USUAL,
    device: torch.device | str | None = None,
    labs: int | Iterable[int] | None = None,
    magnified: float | Iterable[float] = 1.0,
) -> Phantoms:
    """Compute one field of a section of every subject.

    Parameters
    ----------
    subjects, size, seed, labels, device
        As of all families; see :mod:`medgan_course.data.phantom.common`.
    contrasts : sequence of str
        "rgb" and "low", the same with pixels four times as wide, ``(N, 3, size / 4, size / 4)``.
    labs : int, or iterable of int, optional
        The lab of all or of each, a position in :data:`LABS`; left out, drawn from the first four. It
        changes colours only.
    magnified : float, or iterable of float
        How many times narrower than :data:`FOV` the field of all or of each is, 1 to 16.

    Returns
    -------
    Phantoms
        ``lesion`` is the tumour's epithelium. Severity is how irregular the tumour's nuclei are, 0 without
        one. ``facts``: ``lab``, and ``instances``, int64 ``(N, size, size)``: the number of the nucleus that
        has at least half of the pixel, 0 for none.
    """
    asked = checked(
        "section", subjects, size=size, seed=seed, labels=labels, classes=CLASSES,
        contrasts=contrasts, known=CONTRASTS, device=device,
    )  # fmt: skip
    divisible(size, "low", asked.contrasts, LOW)
    used = one_of("labs", labs, len(asked), LABS)
    zoomed = one_each("magnified", magnified, len(asked), 1, 16)
    return asked.phantoms(_part, CHUNK, used, zoomed)


def render(labels: Sequence[int], *, size: int, seed: int, first: int = 0) -> Tensor:
    """Compute what stands in for PathMNIST: a field for each kind of tissue.

    All come from one lab, as PathMNIST's colours are normalised.
    """
    made = phantoms(numbered(labels, first), size=size, seed=seed, labels=labels, labs=1)
    return bytes_of(made.images["rgb"])


def render_nuclei(labels: Sequence[int], *, size: int, seed: int, first: int = 0) -> tuple[Tensor, Tensor]:
    """Compute what stands in for the stained nuclei of the 2018 Data Science Bowl.

    Fields of several kinds of tissue and magnifications, most of them violet on lilac or on white.

    Returns
    -------
    images : Tensor
        uint8 ``(N, size, size, 3)``.
    instances : Tensor
        int32 ``(N, size, size)``: a number for every nucleus, 0 for none.
    """
    numbers = checked("section", numbered(labels, first), size=size, seed=seed).numbers
    # A stream of its own, because these choices are the set's, not the tissue's.
    drawn = Subjects(numbers, seed, stream=9).each(3, 0, 1)
    kinds = [(LYMPHOCYTES, STROMA, TUMOUR, MUCOSA)[int(share * 4)] for share in drawn[:, 0]]
    labs = [4 if share < 0.5 else 5 if share < 0.92 else 0 for share in drawn[:, 2]]
    made = phantoms(
        numbers, size=size, seed=seed, labels=kinds,
        magnified=(1 + 2.0 * drawn[:, 1] ** 2).tolist(), labs=labs,
    )  # fmt: skip
    return bytes_of(made.images["rgb"]), made.facts["instances"].int()


# Cells on jittered lattices
# ------------------------------------------------------------------------------------------------------


def _nearest(x: Tensor, y: Tensor, pitch: Tensor, cells: Tensor) -> tuple[Tensor, Tensor, Tensor]:
    """Return the distance to the nearest and to the second nearest of some cells, and which it is.

    Parameters
    ----------
    x, y : Tensor
        ``(n, *space)``: positions.
    pitch : Tensor
        ``(n, 1, 1)``: width of a place of the lattice.
    cells : Tensor
        ``(n, places**2, 6)``: positions, and the matrix of the metric, row by row.
    """
    n = len(x)
    places = math.isqrt(cells.shape[1])
    column = (x / pitch).floor().long() + places // 2
    row = (y / pitch).floor().long() + places // 2
    flat = cells.flatten(0, 1)
    base = (torch.arange(n, device=x.device) * places**2).view(n, 1, 1)
    best, second = torch.full_like(x, 1e6), torch.full_like(x, 1e6)
    which = torch.zeros_like(column)
    for down in (-1, 0, 1):
        for across in (-1, 0, 1):
            cell = (row + down).clamp(0, places - 1) * places + (column + across).clamp(0, places - 1)
            at_x, at_y, xx, xy, yx, yy = flat[base + cell].unbind(-1)
            dx, dy = x - at_x, y - at_y
            distance = (dx * xx + dy * xy).square_().add_((dx * yx + dy * yy).square_())
            nearer = distance < best
            second = torch.where(nearer, best, torch.minimum(second, distance))
            best = torch.minimum(best, distance)
            which = torch.where(nearer, cell, which)
    return best.sqrt_(), second.sqrt_(), which


def _lattice(own: Subjects, places: int, pitch: Tensor, jitter: float) -> Tensor:
    """Return the positions ``(n, places**2, 2)`` of the cells."""
    index = torch.arange(places, device=own.device) - places // 2 + 0.5
    row, column = torch.meshgrid(index, index, indexing="ij")
    at = torch.stack([column.flatten(), row.flatten()], dim=-1)
    moved = torch.stack([own.each(places**2, -jitter, jitter), own.each(places**2, -jitter, jitter)], dim=-1)
    return (at + moved) * pitch


def _shaped(at: Tensor, a: Tensor, b: Tensor, angle: Tensor) -> Tensor:
    """Return ``(n, m, 6)`` for :func:`_nearest`: ellipses of semi-axes a and b, turned by an angle."""
    c, s = angle.cos(), angle.sin()
    return torch.stack([at[..., 0], at[..., 1], c / a, s / a, -s / b, c / b], dim=-1)


# For each kind of tissue: distance of cells, share of places with a nucleus, its semi-axes; haematoxylin and
# eosin of what is between; how much of it is fibres.
_PLAN = torch.tensor(
    [  # pitch, share, a, b, H, E, fibres
        [14.0, 0.40, 4.2, 1.3, 0.05, 0.45, 0.2],
        [16.0, 0.00, 3.0, 3.0, 0.00, 0.00, 0.0],
        [9.5, 0.30, 2.6, 1.6, 0.12, 0.30, 0.5],
        [7.4, 0.92, 3.1, 2.8, 0.14, 0.20, 0.1],
        [16.0, 0.10, 3.0, 2.2, 0.10, 0.06, 0.6],
        [13.0, 0.42, 8.0, 1.7, 0.06, 0.62, 0.5],
        [6.4, 0.36, 3.0, 2.5, 0.07, 0.30, 0.3],
        [11.5, 0.40, 6.2, 1.8, 0.06, 0.40, 0.9],
        [9.6, 0.62, 3.0, 2.4, 0.06, 0.36, 0.6],
    ]
)


def _part(
    own: Subjects, labels: Tensor, labs: Tensor | None, magnified: Tensor,
    size: int, contrasts: Sequence[str],
) -> Phantoms:  # fmt: skip
    n, factor = len(own), fineness(size, FINE)
    side = size * factor
    drawn = own.each(1, 0, H_AND_E)[:, 0].long()
    lab = drawn if labs is None else labs
    zoom = magnified.view(n, 1, 1)

    def only(*kinds: int) -> Tensor:
        return torch.isin(labels, torch.tensor(kinds, device=own.device)).view(n, 1, 1)

    # Textures belong to the image: a magnified one shows finer ones.
    broad, middle, fine, grain = (
        own.field(count, scale, side, FOV) for count, scale in ((3, 30.0), (3, 10.0), (3, 3.5), (2, 1.3))
    )
    x, y = (each / zoom for each in grid(side, FOV, device=own.device))
    bent_x, bent_y = x + 2.2 * middle[:, 0] + 4 * broad[:, 0], y + 2.2 * middle[:, 1] + 4 * broad[:, 1]

    # Fibres: waves along a direction, bent and beaded.
    direction = own.uniform(0, math.pi)
    across = bent_y * direction.cos() - bent_x * direction.sin()
    fibres = torch.zeros_like(across)
    for wave in (13.0, 7.0, 4.1, 2.6):
        shift = own.uniform(0, 2 * math.pi) + 1.3 * middle[:, 2]
        length = own.uniform(0.8, 1.25) * wave
        fibres = fibres + torch.sin(2 * math.pi * across / length + shift) * (0.6 + 0.4 * broad[:, 2]) / 2.2

    # Glands, and fat cells, on a wide lattice.
    adipose, glandular, cancer = only(ADIPOSE), only(MUCOSA, TUMOUR), only(TUMOUR)
    wide = torch.where(glandular, own.uniform(50, 64), own.uniform(36, 50))
    at = _lattice(own, 7, wide, 0.2) + own.each(2, -20, 20)[:, None]
    stretch, lie = own.each(49, 0.82, 1.2), own.each(49, 0, math.pi)
    big = (
        wide * torch.where(cancer, own.uniform(0.50, 0.66), torch.where(adipose, 0.5, own.uniform(0.43, 0.5)))
    )[:, 0]
    glands = _shaped(at, big * stretch, big / stretch, lie)
    ragged = torch.where(cancer, 1.0, torch.where(adipose, 0.35, 0.4))

    def gland(px: Tensor, py: Tensor, rough_x: Tensor, rough_y: Tensor) -> tuple[Tensor, Tensor, Tensor]:
        return _nearest(px + ragged * rough_x, py + ragged * rough_y, wide, glands)

    depth, next_depth, which_gland = gland(
        x, y, 4 * broad[:, 0] + 2 * middle[:, 0], 4 * broad[:, 1] + 2 * middle[:, 1]
    )
    hollow = torch.where(cancer, own.uniform(0.0, 0.45), own.uniform(0.25, 0.42)) + 0.07 * middle[:, 2]
    in_gland = glandular & (depth < 1)
    lumen = in_gland & (depth < hollow)
    # A tumour's nests are like a sieve.
    lumen = lumen | (cancer & in_gland & (middle[:, 2] + 0.4 * fine[:, 2] > own.uniform(1.5, 3.0)))

    # Nuclei.
    plan = _PLAN.to(own.device)[labels]
    pitch, share, long_axis, short_axis = (plan[:, column].view(n, 1) for column in range(4))
    crowd = own.each(1, 0.85, 1.15)
    pitch = pitch * own.each(1, 0.93, 1.08)
    atypia = own.each(1, 0, 1)
    cell_at = _lattice(own, PLACES, pitch[:, :, None], 0.36)
    total = PLACES**2
    chance, turn, plump, slender = (own.each(total, 0, 1) for _ in range(4))
    texture_of, dark = own.each(total, 0, 1), own.each(total, 0, 1)
    # What the cell lies in: looked up at its middle.
    pixel = ((cell_at * zoom / FOV + 0.5) * side).floor().long().clamp(0, side - 1)
    pixel = pixel[..., 1] * side + pixel[..., 0]

    def there(values: Tensor) -> Tensor:
        return values.expand(n, side, side).flatten(1).gather(1, pixel)

    cell_depth = there(depth)
    gx, gy = (cell_at - at[torch.arange(n, device=own.device)[:, None], there(which_gland)]).unbind(-1)
    radial = torch.atan2(gy, gx)
    glandular_, cancer_ = glandular[:, 0], cancer[:, 0]
    inside = glandular_ & (cell_depth < 1.0)
    lining = inside & torch.where(
        cancer_, (cell_depth > there(hollow) + 0.12) & ~there(lumen), (cell_depth > 0.7) & (cell_depth < 0.94)
    )
    lymphoid = ~lining & (
        only(LYMPHOCYTES)[:, 0]
        | ((texture_of < torch.where(glandular_, 0.6, 0.3)) & only(MUCOSA, STROMA, TUMOUR, MUCUS)[:, 0])
    )
    share = torch.where(lining, torch.where(cancer_, 0.95, 0.98), share * crowd)
    # Clumps: more where a field is high.
    share = torch.where(lining, share, share * (1 + 0.45 * there(broad[:, 2]).clamp(-1.5, 1.5)))
    share = torch.where(inside & ~lining, torch.where(cancer_, 0.0, 0.03), share)
    # Those of fat cells lie in their walls.
    share = torch.where(adipose[:, 0] & (there(next_depth) - cell_depth > 0.12), 0.0, share)
    epithelial_a = torch.where(cancer_, 4.5 + 2.0 * atypia + (1 + atypia) * (plump - 0.5), 4.0 + 0.4 * plump)
    epithelial_b = torch.where(cancer_, 3.2 + 1.2 * atypia, 2.1)
    a = torch.where(lining, epithelial_a, torch.where(lymphoid, 3.0, long_axis)) * (0.8 + 0.4 * plump)
    b = torch.where(lining, epithelial_b, torch.where(lymphoid, 2.7, short_axis)) * (0.8 + 0.45 * slender)
    b = torch.minimum(a, b)
    angle = direction[:, 0] + 0.9 * (turn - 0.5)
    angle = torch.where(lining, radial + torch.where(cancer_, 1.6, 0.5) * (turn - 0.5), angle)
    angle = torch.where(lymphoid | only(DEBRIS)[:, 0], 2 * math.pi * turn, angle)
    present = chance < share
    cells = _shaped(torch.where(present[..., None], cell_at, 1e4), a, b, angle)
    # Outlines are never quite elliptic.
    wobble = 0.35 + 0.9 * (cancer | only(DEBRIS))
    cell_distance, _, which = _nearest(
        x + 0.5 * wobble * fine[:, 0], y + 0.5 * wobble * fine[:, 1], pitch[..., None], cells
    )
    nucleus = cell_distance < 1

    def of(values: Tensor) -> Tensor:
        return values.gather(1, which.flatten(1)).view_as(which)

    # Where there is no section: an edge in some fields.
    margin = torch.where(own.uniform(0, 1) < 0.14, own.uniform(0.1, 0.45), 2.0) * FOV
    outward = own.uniform(0, 2 * math.pi)
    void = (bent_x * outward.cos() + bent_y * outward.sin() > margin) | only(BACKGROUND)

    # Paint the truth.
    wall = own.uniform(0.025, 0.06)
    fat = adipose & (next_depth - depth > wall * (1 + 0.5 * fine[:, 2])) & ~nucleus
    painted = torch.full((n, side, side), WASTE, dtype=torch.uint8, device=own.device)
    paint(painted, only(MUCUS).expand_as(x), SLIME)
    paint(painted, only(ADIPOSE, LYMPHOCYTES, MUSCLE, MUCOSA, STROMA, TUMOUR).expand_as(x), CONNECTIVE)
    paint(painted, in_gland, EPITHELIUM)
    paint(painted, fat, FAT)
    paint(painted, lumen, LUMEN)
    spindle = nucleus & ~of(lining) & ~of(lymphoid)
    paint(painted, spindle, SPINDLE)
    paint(painted, nucleus & of(lymphoid), LYMPHOID)
    paint(painted, nucleus & of(lining), EPITHELIAL)
    paint(painted, void, VOID)
    tissues = shares(painted, len(TISSUES), factor)
    instances = _instances(torch.where(void, 9.0, cell_distance), which + 1, factor)

    # How much of each stain there is.
    haem, eos, fibrous = (plan[:, column].view(n, 1, 1) for column in (4, 5, 6))
    haem, eos = haem * own.uniform(0.75, 1.3), eos * own.uniform(0.75, 1.3)
    h = haem * (1 + 0.25 * middle[:, 0] + 0.15 * fine[:, 2])
    e = eos * (1 + fibrous * 0.45 * fibres + 0.12 * middle[:, 1] + 0.10 * fine[:, 1] + 0.06 * grain[:, 0])
    gaps = fibrous * torch.sigmoid((-fibres - own.uniform(0.5, 1.1)) / 0.12)
    e, h = e * (1 - 0.7 * gaps), h * (1 - 0.6 * gaps)
    clumps = only(DEBRIS) * torch.sigmoid((middle[:, 2] + 0.7 * fine[:, 2] + 0.6 * grain[:, 1] - 0.9) / 0.5)
    h, e = h + 0.30 * clumps, e + 0.12 * clumps
    # Epithelium: bluish cytoplasm in a tumour; goblet cells full of pale mucus in normal mucosa.
    plasma_h = torch.where(cancer, own.uniform(0.14, 0.28), own.uniform(0.06, 0.13))
    plasma_e = torch.where(cancer, own.uniform(0.22, 0.34), own.uniform(0.25, 0.36))
    goblet = ~cancer * torch.sigmoid((0.74 - depth) / 0.05) * torch.sigmoid((fine[:, 1] + 0.6) / 0.25)
    plasma_h = plasma_h * (1 + 0.25 * fine[:, 2]) * (1 - 0.2 * goblet)
    plasma_e = plasma_e * (1 + 0.2 * fine[:, 0]) * (1 - 0.75 * goblet)
    h, e = torch.where(in_gland, plasma_h, h), torch.where(in_gland, plasma_e, e)
    secreted = own.uniform(0, 0.12) * (1 + 0.6 * middle[:, 0])
    h, e = torch.where(lumen, 0.3 * secreted, h), torch.where(lumen, secreted, e)
    h, e = torch.where(fat, 0.005, h), torch.where(fat, 0.012, e)
    # Chromatin: clumped in lymphocytes, open with a dark rim and nucleoli in the tumour.
    vesicular = torch.where(of(lining) & cancer, 0.55 + 0.45 * atypia[..., None], 0.15)
    rim = bump((cell_distance - 0.9) / 0.2)
    nucleolus = bump((cell_distance - 0.1) / 0.22) * (of(texture_of) > 0.45)
    level = torch.where(of(lymphoid), 0.88, torch.where(of(lining), 0.68, 0.62)) * (0.72 + 0.55 * of(dark))
    smudged = torch.where(only(DEBRIS), 0.75, 1.0)
    chromatin = level * smudged * (1 + 0.22 * grain[:, 1] + vesicular * (0.5 * rim + 0.4 * nucleolus - 0.35))
    soft = torch.sigmoid((1 - cell_distance) / 0.09)
    h = torch.lerp(h, chromatin.clamp_min(0.1), soft)
    e = torch.lerp(e, e * 0.35 + 0.05, soft)
    dust = 0.006 * (1 + broad[:, 0]).clamp_min(0) + 0.25 * (fine[:, 0] * fine[:, 2] - 5.5).clamp_min(0)
    h, e = torch.where(void, dust, h), torch.where(void, 0.5 * dust, e)

    # The lab.
    chosen = [LABS[int(each)] for each in lab]
    vectors = torch.tensor([[each.haematoxylin, each.eosin] for each in chosen], device=own.device)
    strength = torch.tensor([each.strength for each in chosen], device=own.device)
    white = torch.tensor([each.white for each in chosen], device=own.device)[..., None, None]
    thickness = torch.exp(own.each(2, -0.16, 0.16)) * strength
    amounts = torch.stack([h, e], dim=1).clamp_min(0) * thickness[..., None, None]
    light = avg_pool2d(white * stain.absorb(amounts, vectors), factor)
    noise = own.stream(1).normal(3, size, size) * 0.008 * (size / 64) ** 0.5
    section = (2 * (light + noise) - 1).clamp(-1, 1)

    images = {}
    if "rgb" in contrasts:
        images["rgb"] = section
    if "low" in contrasts:
        images["low"] = avg_pool2d(section, LOW)
    tumour = (labels == TUMOUR).float()
    cells = (painted == EPITHELIAL) | (painted == EPITHELIUM)
    present, *outline = outlined(cells & only(TUMOUR), FOV)
    epithelium = tissues[:, [EPITHELIAL, EPITHELIUM]].sum(dim=1, keepdim=True)
    return Phantoms(
        images=images,
        scales={name: RGB_SCALE for name in images},
        tissue_names=TISSUES,
        tissues=tissues,
        lesion=(epithelium >= 0.5) & (labels == TUMOUR).view(n, 1, 1, 1),
        lesion_columns=LESION_COLUMNS,
        lesions=lesion_rows(present, *(each / zoom[:, 0] for each in outline)),
        labels=labels,
        severity=atypia[:, 0] * tumour,
        subject=own.numbers,
        seed=own.seed,
        facts={"lab": lab, "instances": instances},
    )


def _instances(distance: Tensor, number: Tensor, factor: int) -> Tensor:
    """Return the nucleus ``(n, size, size)`` of every pixel of which nuclei have half, else 0."""
    n, side = distance.shape[:2]
    size = side // factor

    def blocks(values: Tensor) -> Tensor:
        return values.view(n, size, factor, size, factor).transpose(2, 3).flatten(3)

    near = blocks(distance)
    # The one that is deepest there.
    deepest = blocks(number).gather(-1, near.argmin(dim=-1, keepdim=True))[..., 0]
    return deepest * ((near < 1).float().mean(dim=-1) >= 0.5)
