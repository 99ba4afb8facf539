r"""NODULE2D and NODULE3D: a nodule in a piece of lung, CT in Hounsfield units, and all that is true of it.

Vessels branch through the lung, some with an airway beside them; some pieces hold a fissure, some a part of
the chest wall with ribs and a nodule at the pleura. Everything is laid out in three dimensions, and a
two-dimensional image is the plane through the middle of the nodule: a vessel is a tube where it lies in the
plane and a dot where it crosses. A vessel of radius :math:`r` divides into two of radius :math:`r'` with

.. math:: r^3 = 2 r'^3

(Murray 1926, The physiological principle of minimum work, PNAS 12(3), 207-214).

A benign nodule is round and smooth, some with a calcification; a malignant one is larger on average,
lobulated, and spicules run from it into the lung. Both can be solid, part-solid or of ground glass. Sizes and
densities overlap, and a few malignant nodules are nearly smooth.

Positions are in mm from the middle of the image: x to the right, y down, z up. No result on it says anything
about patients.
"""

import math
from collections.abc import Iterable, Sequence

import torch
from torch import Tensor
from torch.nn.functional import conv1d, normalize

from medgan_course.data.phantom.common import (
    Phantoms,
    Subjects,
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

CLASSES = ("benign", "malignant")
CONTRASTS = ("ct",)
CT_SCALE = Scale(-1000.0, 400.0, "HU")
FOV = 64.0  # mm, the side of the image
LESION_COLUMNS = ("present", "x", "y", "z", "radius", "spiculation", "density", "calcified")
DENSITIES = ("solid", "part-solid", "ground glass")

PSF = 0.45  # mm, standard deviation of the scanner's blurring
CHUNK = {2: 16, 3: 4}  # subjects at a time
FINE = {2: 128, 3: 56}  # the least side of the grid on which tissues are painted
TREES = 10
BRANCHINGS = 4
BENT = 4.5  # mm, at most, that fields bend what is drawn straight
LOBES = 6
SPICULES = 22


TISSUES = tuple(tissue_table("lung"))
(
    MARROW, BONE, FAT, MUSCLE, CALCIFICATION, SOLID, LUMEN, VESSEL, GROUND_GLASS, FISSURE, LUNG,
) = range(len(TISSUES))  # fmt: skip


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
) -> Phantoms:
    """Compute a nodule in its surroundings for every subject.

    Parameters are those of all families (:mod:`medgan_course.data.phantom.common`), ``fov`` from 16 mm to
    :data:`FOV`. Lung and vessels are the same, and the nodule is in the same place, whatever the label; a
    chest wall that touches it is as far away as its size demands.

    Returns
    -------
    Phantoms
        CT on the scale :data:`CT_SCALE`. The lesion table gives the nodule's centre and radius (mm, of its
        body without the spicules), spiculation in [0, 1], density (a position in :data:`DENSITIES`) and
        whether it is calcified. ``severity`` is the spiculation. Facts: ``"wall"``, whether the
        chest wall is in the piece.
    """
    asked = checked(
        "nodule", subjects, size=size, seed=seed, labels=labels, classes=CLASSES,
        contrasts=contrasts, known=CONTRASTS, dim=dim, device=device,
    )  # fmt: skip
    fov = within("fov", fov, 16, FOV, "mm")
    return asked.phantoms(_part, CHUNK[dim], fov=fov)


def render(labels: Sequence[int], *, size: int, seed: int, first: int = 0) -> Tensor:
    """Compute what stands in for NoduleMNIST3D: a cube of 28 mm around a nodule, 0 benign, 1 malignant.

    -1000 HU is 0 and 400 HU is 255. The window and the side of the real set's cubes are to be confirmed.
    """
    made = phantoms(numbered(labels, first), size=size, seed=seed, labels=labels, dim=3, fov=28.0)
    return bytes_of(made.images["ct"])


def _part(own: Subjects, labels: Tensor, size: int, contrasts: Sequence[str], fov: float) -> Phantoms:
    dim, device = own.dim, own.device
    factor = fineness(size, FINE[dim])
    nodule = _nodule(own, labels)
    painted, inside, wall = _painted(own, nodule, size * factor, fov)
    tissues = shares(painted, len(TISSUES), factor)
    lesion = shares(inside.view(torch.uint8), 2, factor)[:, 1:] >= 0.5
    hu, spread = columns("lung", "hu", "spread", device=device)
    hu = hu + spread * own.stream(1).normal(len(TISSUES)).clamp(-2, 2)
    images = {}
    if "ct" in contrasts:
        measured = own.stream(2)
        mean = mixed(hu, tissues)
        aired = tissues[:, [LUNG, GROUND_GLASS]].sum(dim=1, keepdim=True)
        fine, broad = (measured.field(1, scale, size, fov, FOV) for scale in (3.0, 14.0))
        texture = 16 * fine + 14 * broad
        noise = measured.uniform(18, 42)[:, None] * measured.normal(1, *[size] * dim)
        images["ct"] = CT_SCALE.normalised(blurred(mean + aired * texture + noise, PSF * size / fov))
    return Phantoms(
        images=images,
        scales={name: CT_SCALE for name in images},
        tissue_names=TISSUES,
        tissues=tissues,
        lesion=lesion,
        lesion_columns=LESION_COLUMNS,
        lesions=nodule["table"],
        labels=labels,
        severity=nodule["table"][:, 0, 5],
        subject=own.numbers,
        seed=own.seed,
        facts={"wall": wall},
    )


def _nodule(own: Subjects, label: Tensor) -> dict[str, Tensor]:
    """Return the table of lesions, and of what balls (``lobes`` (n, k, 4)) and cones the nodule is made."""
    n, malignant = len(label), label == 1
    draw = own.each(12, 0, 1).unbind(1)

    def between(u: Tensor, benign: tuple[float, float], other: tuple[float, float]) -> Tensor:
        low, high = (torch.where(malignant, other[i], benign[i]) for i in (0, 1))
        return low + (high - low) * u

    diameter = between(draw[0] ** 1.4, (4.0, 22.0), (7.0, 30.0))
    spiculation = between(draw[1].sqrt(), (0.0, 0.12), (0.15, 1.0)) * torch.where(malignant, 1.0, draw[1])
    density = (draw[2] > torch.where(malignant, 0.6, 0.75)).long()
    density = density + (draw[2] > 0.85).long()
    calcified = (~malignant & (density == 0) & (draw[3] < 0.4)) | (
        malignant & (density == 0) & (draw[3] < 0.06)
    )
    centre = own.normal(3).clamp(-1.5, 1.5) * 1.5
    centre[:, 2] = 0
    radius = diameter[:, None] / 2
    # Balls on an ellipsoid: few and deep ones make a lobulated outline.
    lumps = between(draw[4], (0.02, 0.18), (0.15, 0.5))[:, None, None]
    stretch = 1 + 0.14 * own.normal(1, 3).clamp(-1.6, 1.6)
    towards = normalize(own.normal(LOBES, 3), dim=-1)
    sized = 1 - lumps[..., 0] * own.each(LOBES, 0.6, 1.6)
    off = (radius * (1 - sized) * 1.25)[..., None] * towards
    lobes = torch.cat([centre[:, None] + off, (radius * sized)[..., None]], dim=-1)
    lobes = torch.cat(
        [torch.cat([centre, 0.96 * radius * (1 - lumps[..., 0] * 0.5)], dim=1)[:, None], lobes], dim=1
    )
    # Spicules lie close to the plane z = 0 more often than chance has it, so that a slice shows them.
    along = own.normal(SPICULES, 3) * torch.tensor([1.0, 1.0, 0.35 if own.dim == 2 else 1.0])
    along = normalize(along.to(centre), dim=-1)
    reach = own.each(SPICULES, 0.1, 1.0) ** 1.5 * spiculation[:, None] * (3.5 + 0.8 * radius)
    base = own.each(SPICULES, 0.6, 1.2) * (0.5 + 0.045 * radius) * spiculation[:, None].sqrt()
    thickness = torch.stack([base * 1.8, base * 0.35], dim=-1)
    start = centre[:, None] + 0.8 * radius[..., None] * along
    end = centre[:, None] + (radius + reach)[..., None] * along
    # The solid core of a part-solid nodule; the calcification of a solid one: central, or popcorn.
    core = torch.cat([centre + 0.2 * radius * towards[:, 0], radius * (0.35 + 0.3 * draw[5][:, None])], dim=1)
    popcorn = (draw[6] < 0.4)[:, None, None]
    grains = torch.where(
        popcorn, 0.55 * radius[..., None] * towards[:, :3], 0.08 * radius[..., None] * towards[:, :3]
    )
    grains = torch.cat(
        [
            centre[:, None] + grains,
            (radius * torch.where(popcorn[..., 0], 0.24, 0.36)).expand(n, 3)[..., None],
        ],
        dim=-1,
    )
    return {
        "table": lesion_rows(
            torch.ones_like(radius), *centre.unbind(1), diameter / 2, spiculation, density, calcified
        ),
        "lobes": lobes, "stretch": stretch, "core": core, "grains": grains,
        "start": start, "end": end, "thickness": thickness,
    }  # fmt: skip


def _painted(
    own: Subjects, nodule: dict[str, Tensor], side: int, fov: float
) -> tuple[Tensor, Tensor, Tensor]:
    """Return the tissue map (uint8), the nodule (bool), each ``(n, *fine)``, and whether there is a wall."""
    dim = own.dim
    x, y, *rest = grid(side, fov, dim=dim, device=own.device)
    z = rest[0] if rest else torch.zeros_like(x)
    bend = own.field(4, 18.0, side, fov, FOV)
    fine = own.field(2, 3.5, side, fov, FOV)
    centre, radius_of = nodule["table"][:, 0, 1:4], nodule["table"][:, 0, 4]

    def each(values: Tensor) -> Tensor:
        return values.view(-1, *[1] * dim)

    # The lung, what branches through it, and a fissure.
    painted = torch.full((len(own), *[side] * dim), LUNG, dtype=torch.uint8, device=own.device)
    bent = (
        x + (1.6 * bend[:, 0]).clamp(-BENT, BENT),
        y + (1.6 * bend[:, 1]).clamp(-BENT, BENT),
        z.expand_as(bend[:, 0]),
    )
    start, end, radius = _trees(own)
    paint(painted, tubes(bent, start, end, radius, fov), VESSEL)
    # An airway beside the first tree, wider than its vessels, with a wall.
    beside = 2.6 * radius[:, :1, :1] * normalize(own.normal(1, 3), dim=-1)
    first = slice(0, 2**BRANCHINGS - 1)
    airway = start[:, first] + beside, end[:, first] + beside
    paint(painted, tubes(bent, *airway, 0.2 + radius[:, first], fov), VESSEL)
    paint(painted, tubes(bent, *airway, 0.72 * radius[:, first], fov), LUMEN)
    angle, tilt, apart = own.uniform(0, math.pi), own.uniform(-0.6, 0.6), own.uniform(-1, 1)
    across = (x * angle.cos() + y * angle.sin()) * tilt.cos() + z * tilt.sin() + 2.0 * bend[:, 2]
    gap = across + torch.where(apart > 0, 6 + 14 * apart, -6 + 14 * apart)
    paint(painted, (gap.abs() < 0.3) & (own.uniform(0, 1) < 0.3), FISSURE)

    # The chest wall: pleura, muscle with ribs in it, fat.
    wall = own.uniform(0, 1) < 0.35
    angle, close = own.uniform(-math.pi, math.pi), own.uniform(-0.8, 0.45)
    near = torch.where(own.uniform(0, 1) < 0.6, each(radius_of) * (0.75 - close), own.uniform(12, 22))
    out = x * angle.cos() + y * angle.sin()
    along = y * angle.cos() - x * angle.sin()
    ends = each(centre[:, 0]) * angle.cos() + each(centre[:, 1]) * angle.sin()
    depth = out - ends - near + (along**2 + z**2) / own.uniform(120, 260) + 0.7 * bend[:, 3]
    thick, slant = own.uniform(7, 15), own.uniform(0.25, 0.7)
    rib = (along * slant.sin() + z * slant.cos() + own.uniform(0, 30)).remainder(30) - 15
    flat = ((depth - 5.2) / 3.4) ** 2 + (rib / 6.5) ** 2
    paint(painted, (flat < 1) & wall, BONE)
    paint(painted, (flat < 0.45 + 0.06 * fine[:, 0]) & wall, MARROW)
    layers = (depth - 2.5).remainder(9.0) < 1.3 + 0.9 * fine[:, 1]
    fat = (depth > thick + bend[:, 0]) | (depth > 3.2) & layers & (own.uniform(0, 1) < 0.6)
    paint(painted, fat & wall & (depth > 0), FAT)
    paint(painted, (depth > 0) & wall, MUSCLE)

    # The nodule, slightly uneven.
    uneven = (x + 0.3 * fine[:, 0], y + 0.3 * fine[:, 1], z.expand_as(bend[:, 0]))
    body = balls(uneven, nodule["lobes"], nodule["stretch"], centre)
    inside = body | tubes(uneven, nodule["start"], nodule["end"], nodule["thickness"], fov)
    density, calcified = each(nodule["table"][:, 0, 6]), each(nodule["table"][:, 0, 7]) == 1
    paint(painted, inside & (density == 0), SOLID)
    paint(painted, inside, GROUND_GLASS)
    paint(painted, balls(uneven, nodule["core"][:, None]) & body & (density == 1), SOLID)
    paint(painted, balls(uneven, nodule["grains"]) & body & calcified, CALCIFICATION)
    return painted, inside & ~((depth > 0) & wall), wall.flatten()


def _trees(own: Subjects) -> tuple[Tensor, Tensor, Tensor]:
    """Return starts and ends ``(n, m, 3)`` and radii at both ends ``(n, m, 2)`` of vessels, in mm."""
    n = len(own)
    hilum = normalize(own.normal(1, 3), dim=-1)
    begin = (own.each(TREES * 3, -0.5, 0.5).view(n, TREES, 3) - 0.45 * hilum) * FOV
    # Many vessels run in the planes in which lungs are seen; a plane alone shows only what is close to it.
    flat = torch.tensor([1.0, 1.0, 0.25 if own.dim == 2 else 0.6], device=own.device)
    begin[..., 2] *= 0.25 if own.dim == 2 else 0.7
    heading = normalize((hilum + 0.6 * own.normal(TREES, 3)) * flat, dim=-1)
    radius = 0.55 + 1.3 * own.each(TREES, 0, 1) ** 2
    starts, ends, radii = [], [], []
    for branching in range(BRANCHINGS):
        count = TREES * 2**branching
        length = own.each(count, 8, 17) * 0.85**branching
        end = begin + length[..., None] * heading
        starts.append(begin.view(n, TREES, -1, 3))
        ends.append(end.view(n, TREES, -1, 3))
        radii.append(torch.stack([radius, 0.9 * radius], dim=-1).view(n, TREES, -1, 2))
        begin = end.repeat_interleave(2, dim=1)
        spread = 0.5 * own.normal(count, 3) * flat
        heading = torch.stack([heading + spread, heading - spread], dim=2).flatten(1, 2)
        heading = normalize(heading + 0.15 * own.normal(2 * count, 3), dim=-1)
        radius = radius.repeat_interleave(2, dim=1) / 2 ** (1 / 3)
    start, end, radius = (torch.cat(parts, dim=2).flatten(1, 2) for parts in (starts, ends, radii))
    return start, end, radius


def tubes(position: tuple[Tensor, ...], start: Tensor, end: Tensor, radius: Tensor, fov: float) -> Tensor:
    r"""Return where a position is in one of ``m`` tapering tubes with round ends, bool ``(n, *fine)``.

    With :math:`t` the place along a tube's axis :math:`\mathbf a + t(\mathbf b-\mathbf a)` that is nearest to
    :math:`\mathbf p`, clipped to [0, 1],

    .. math:: \|\mathbf p - \mathbf a - t(\mathbf b-\mathbf a)\| < (1-t)\,r_a + t\,r_b .

    Positions may be bent by up to :data:`BENT` mm against the grid.
    """
    where = torch.zeros(position[0].shape, dtype=torch.bool, device=position[0].device)
    side, axes = where.shape[-1], where.ndim - 1
    # A tube fills little of the image: each is looked for in the box around it only.
    reach = radius.amax(dim=-1, keepdim=True) + BENT
    low, high = torch.minimum(start, end) - reach, torch.maximum(start, end) + reach
    met = (low < fov / 2).all(dim=-1) & (high > -fov / 2).all(dim=-1)
    if axes == 2:
        met &= (low[..., 2] < 0) & (high[..., 2] > 0)
    flip = torch.tensor([1.0, 1.0, -1.0], device=low.device)  # z is largest in the first plane
    low, high = torch.minimum(low * flip, high * flip), torch.maximum(low * flip, high * flip)
    first = ((low / fov + 0.5) * side).floor().long().clamp(0, side).tolist()
    last = ((high / fov + 0.5) * side).ceil().long().clamp(0, side).tolist()
    for i, m in met.nonzero().tolist():
        box = tuple(slice(first[i][m][axis], last[i][m][axis]) for axis in reversed(range(axes)))
        origin, axis = start[i, m], end[i, m] - start[i, m]
        offset = torch.stack([p[i][box] for p in position], dim=-1) - origin
        t = (offset @ (axis / (axis @ axis))).clamp_(0, 1)
        away = (offset - t[..., None] * axis).square_().sum(dim=-1)
        where[i][box] |= away < torch.lerp(radius[i, m, 0], radius[i, m, 1], t).square_()
    return where


def balls(
    position: tuple[Tensor, ...], spheres: Tensor, stretch: Tensor | None = None, centre: Tensor | None = None
) -> Tensor:
    """Return where a position is in one of the balls ``(n, k, 4)``: centre, radius; bool ``(n, *fine)``.

    ``stretch`` ``(n, 1, 3)`` makes them ellipsoids, and moves them apart from ``centre`` alike.
    """
    shape = (-1, *[1] * (position[0].ndim - 1))
    if stretch is not None and centre is not None:
        position = tuple(
            centre[:, i].view(shape) + (p - centre[:, i].view(shape)) / stretch[:, 0, i].view(shape)
            for i, p in enumerate(position)
        )
    where = torch.zeros(position[0].shape, dtype=torch.bool, device=position[0].device)
    for k in range(spheres.shape[1]):
        away = sum((p - spheres[:, k, i].view(shape)) ** 2 for i, p in enumerate(position))
        where |= away < spheres[:, k, 3].view(shape) ** 2
    return where


def blurred(images: Tensor, sigma: float) -> Tensor:
    """Return images ``(n, 1, *space)`` after a Gaussian of ``sigma`` pixels along each axis."""
    reach = max(1, round(3 * sigma))
    kernel = torch.exp(-0.5 * (torch.arange(-reach, reach + 1, device=images.device) / sigma) ** 2)
    kernel = (kernel / kernel.sum()).view(1, 1, -1)
    for axis in range(2, images.ndim):
        lines = images.movedim(axis, -1)
        edge = torch.cat([lines[..., :1].expand(*lines.shape[:-1], reach), lines,
                          lines[..., -1:].expand(*lines.shape[:-1], reach)], dim=-1)  # fmt: skip
        images = conv1d(edge.reshape(-1, 1, edge.shape[-1]), kernel).view(lines.shape).movedim(-1, axis)
    return images.contiguous()
