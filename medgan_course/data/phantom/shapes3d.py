"""Small volumes in the place of five sets: adrenal glands, vessels, rib fractures, synapses and hippocampi.

Adrenal glands and vessels are shapes without grey levels, 0 or 255: a gland is a bent ribbon with two limbs,
a vessel a winding tube that may branch. Rib fractures are CT around a rib between muscle and lung,
synapses electron micrographs of cells in contact, hippocampi T1-weighted MR. Each has the layout and the
labels of the set that it stands in for, and nothing else of it: no result on them says anything about
patients.

Positions are in mm (synapses: in sides of the cube) from the middle of the cube: x along the last axis, y
along the one before it, z against the first.
"""

import math
from collections.abc import Callable, Sequence

import torch
from torch import Tensor
from torch.nn.functional import avg_pool3d, normalize

from medgan_course.data.phantom.common import Subjects, bump, checked, fineness, grid, numbered
from medgan_course.data.phantom.nodule import balls, blurred, tubes

SIDE = 64.0  # mm, the side of the cubes of adrenal glands and ribs
CHUNK = 4  # subjects at a time
FINE = 56  # the least side of the grid on which shapes are painted
CT_WINDOW = (-1000.0, 1000.0)  # HU that become 0 and 255; to be confirmed

Uniform = Callable[[float, float], Tensor]


def render_adrenal(labels: Sequence[int], *, size: int, seed: int, first: int = 0) -> Tensor:
    """Compute what stands in for AdrenalMNIST3D: the shape of a gland for each label, 0 or 255.

    0 is normal, 1 hyperplasia: thicker limbs, or a nodule on one.
    """
    return _chunks(_adrenal, ("normal", "hyperplasia"), labels, size, seed, first)


def render_vessel(labels: Sequence[int], *, size: int, seed: int, first: int = 0) -> Tensor:
    """Compute what stands in for VesselMNIST3D: the shape of a piece of a brain's artery, 0 or 255.

    0 is a vessel, 1 one with an aneurysm.
    """
    return _chunks(_vessel, ("vessel", "aneurysm"), labels, size, seed, first)


def render_fracture(labels: Sequence[int], *, size: int, seed: int, first: int = 0) -> Tensor:
    """Compute what stands in for FractureMNIST3D: CT around a rib's fracture, :data:`CT_WINDOW` as 0 to 255.

    0 is a buckle, 1 a nondisplaced fracture, 2 a displaced one.
    """
    return _chunks(_fracture, ("buckle", "nondisplaced", "displaced"), labels, size, seed, first)


def render_synapse(labels: Sequence[int], *, size: int, seed: int, first: int = 0) -> Tensor:
    """Compute what stands in for SynapseMNIST3D: electron micrographs around a synapse for each label.

    0 is inhibitory: two thin membranes; 1 excitatory: a thick density behind one of them.
    """
    return _chunks(_synapse, ("inhibitory", "excitatory"), labels, size, seed, first)


def render_hippocampus(
    labels: Sequence[int], *, size: int, seed: int, first: int = 0
) -> tuple[Tensor, Tensor, Tensor]:
    """Compute what stands in for the MSD hippocampi, of one class: T1-weighted MR.

    Grey levels are drawn, not computed from relaxation times. As in the set, every volume is a box of its own
    size in a black cube.

    Returns
    -------
    images : Tensor
        uint8 ``(N, size, size, size)``; the axes go up, back and left, as in the file.
    anterior, posterior : Tensor
        bool ``(N, size, size, size)``: the two parts of the hippocampus.
    """
    asked = checked(
        "hippocampus", numbered(labels, first), size=size, seed=seed, labels=labels, classes=("hippocampus",),
        dim=3,
    )  # fmt: skip
    parts = asked.in_parts(lambda own, _: _hippocampus(own, size), 1)
    images, anterior, posterior = (torch.cat(part) for part in zip(*parts, strict=True))
    return (images.clamp(0, 1) * 255).round().byte(), anterior, posterior


def _chunks(
    draw: Callable[[Subjects, Tensor, int], Tensor],
    classes: Sequence[str],
    labels: Sequence[int],
    size: int,
    seed: int,
    first: int,
) -> Tensor:
    """Return uint8 volumes of what ``draw`` gives, ``(n, 1, *space)`` in [0, 1], a few at a time."""
    asked = checked(
        "volume", numbered(labels, first), size=size, seed=seed, labels=labels, classes=classes, dim=3
    )
    drawn = asked.in_parts(lambda own, kinds: draw(own, kinds.view(-1, 1, 1, 1), size)[:, 0], CHUNK)
    return (torch.cat(drawn).clamp(0, 1) * 255).round().byte()


def _shape(inside: Tensor, factor: int) -> Tensor:
    """Return 1 where at least half of a voxel is inside, else 0."""
    return (avg_pool3d(inside[:, None].float(), factor) >= 0.5).float()


def _adrenal(own: Subjects, label: Tensor, size: int) -> Tensor:
    factor = fineness(size, FINE)
    side = size * factor
    uniform = own.uniform
    x, y, z = grid(side, SIDE, dim=3)
    fine, coarse = own.field(1, 4.5, side, SIDE)[:, 0], own.field(2, 16.0, side, SIDE)
    # Outlines were drawn slice by slice.
    thick = uniform(0.8, 4.5)
    z = (z / thick).round() * thick
    angle = uniform(0.35, 1.05)
    x, y = x + 1.0 * coarse[:, 0], y + 1.0 * coarse[:, 1]
    along, across = x * angle.cos() + y * angle.sin(), y * angle.cos() - x * angle.sin()

    ill = label == 1
    nodular = ill & (uniform(0, 1) < 0.5)
    swollen = 1 + torch.where(ill, uniform(0.0, 0.4), uniform(-0.12, 0.12))
    length, height = uniform(15, 22) * swollen**0.4, uniform(8, 15) * swollen**0.3
    half = uniform(2.0, 3.4) * swollen
    bend, lean, curl = uniform(0.003, 0.02), uniform(-0.55, 0.55), uniform(-0.015, 0.015)
    across = across - bend * along**2 - lean * z - curl * z**2 + bend * 120
    # The body, and the limb that leaves it; both fade out towards top and bottom.
    part = (along - uniform(-9, 4)).clamp_min(0)
    split = across - uniform(0.35, 1.1) * part * (uniform(0, 1) < 0.7)
    wide = half * (1.0 + 0.25 * fine)
    skew = uniform(-0.5, 0.5) * z
    body = 1 - ((along + skew) / length).abs() ** 2.6 - (z / height).abs() ** 2.6 + 0.12 * coarse[:, 0]
    limb = 1 - (along / (length * uniform(0.65, 1.05))).abs() ** 3 - (z / height + uniform(-0.2, 0.3)) ** 2
    inside = across.abs() < wide * body.clamp_min(0) ** 0.6
    inside |= (split.abs() < 0.85 * wide * limb.clamp_min(0).sqrt()) & (part > 0)
    # A nodule sits on the ribbon.
    at = uniform(-0.5, 0.5) * length
    away = (along - at) ** 2 + across**2 + (z - uniform(-0.3, 0.3) * height) ** 2
    inside |= nodular & (away.sqrt() + 0.7 * fine < uniform(4.0, 7.5))
    return _shape(inside, factor)


def _vessel(own: Subjects, label: Tensor, size: int) -> Tensor:
    factor = fineness(size, FINE)
    n, side, steps = len(own), size * factor, 12
    heading = normalize(own.normal(1, 3), dim=-1)
    turning = own.normal(steps, 3)
    radius = own.each(1, 3.2, 6.5)
    length = own.each(1, 3.6, 6.0)[..., None]

    def path(start: Tensor, heading: Tensor, turning: Tensor, wild: float) -> Tensor:
        points = [start]
        swing = torch.zeros_like(heading)
        for step in range(turning.shape[1]):
            swing = 0.6 * swing + wild * turning[:, step : step + 1]
            heading = normalize(heading + swing, dim=-1)
            points.append(points[-1] + length * heading)
        return torch.cat(points, dim=1)

    # The vessel, winding, and up to two branches.
    trunk = path(torch.zeros(n, 1, 3), heading, turning, 0.3)
    lines = [(trunk, radius * (1 + 0.12 * own.normal(steps + 1)))]
    for chance in (0.75, 0.35):
        there = own.each(1, 0, 1) < chance
        at = (own.each(1, 2, 9)).long()
        origin = trunk.gather(1, at[..., None].expand(-1, 1, 3))
        away = normalize(own.normal(1, 3), dim=-1)
        branch = path(origin, away, own.normal(7, 3), 0.25)
        thin = radius * own.each(1, 0.45, 0.8) * there
        lines.append((branch, thin * torch.linspace(1, 0.8, 8)))
    start, end, radii = (
        torch.cat(parts, dim=1)
        for parts in zip(
            *((line[:, :-1], line[:, 1:], torch.stack([r[:, :-1], r[:, 1:]], dim=-1)) for line, r in lines),
            strict=True,
        )
    )
    # A piece is as large as its cube: the middle of its extent in the middle, the longest side along it.
    there = radii[..., :1] > 0
    ends = torch.cat([torch.where(there, start, trunk[:, :1]), torch.where(there, end, trunk[:, :1])], dim=1)
    low, high = ends.amin(dim=1, keepdim=True), ends.amax(dim=1, keepdim=True)
    zoom = 54 / ((high - low).amax(dim=-1, keepdim=True) + 2 * radius[..., None])
    start, end, radii = (start - (low + high) / 2) * zoom, (end - (low + high) / 2) * zoom, radii * zoom
    fields = 0.9 * own.field(3, 14.0, side, SIDE)
    position = tuple(p + f for p, f in zip(grid(side, SIDE, dim=3), fields.unbind(1), strict=True))
    inside = tubes(position, start, end, radii, SIDE)
    # An aneurysm bulges from the wall, a ball with a smaller one on it.
    at = own.each(1, 2, 9).long()[..., None].expand(-1, 1, 3)
    centre, out = start.gather(1, at), normalize(own.normal(1, 3), dim=-1)
    wide = (radius * zoom[..., 0])[..., None]
    large = wide * own.each(1, 1.25, 2.3)[..., None]
    middle = centre + out * (wide * 0.5 + large * 0.85)
    blebs = middle + 0.6 * large * normalize(out + 0.7 * own.normal(1, 3), dim=-1)
    sac = torch.cat([torch.cat([middle, large], dim=-1), torch.cat([blebs, 0.6 * large], dim=-1)], dim=1)
    inside |= balls(position, sac) & (label == 1)
    return _shape(inside, factor)


def _fracture(own: Subjects, label: Tensor, size: int) -> Tensor:
    factor = fineness(size, FINE)
    side = size * factor
    uniform = own.uniform
    x, y, z = grid(side, SIDE, dim=3)
    coarse, fine = own.field(2, 16.0, side, SIDE), own.field(1, 3.0, side, SIDE)[:, 0]
    # The chest wall is a part of a large cylinder; outwards is ``depth``, ``along`` runs around it.
    angle = uniform(-math.pi, math.pi)
    out, along = x * angle.cos() + y * angle.sin(), y * angle.cos() - x * angle.sin()
    depth = out + along**2 / uniform(90, 200) + 0.5 * coarse[:, 0]
    slant, period = uniform(-0.6, 0.6), uniform(22, 30)
    level = z - slant * along + 0.6 * coarse[:, 1]

    # The fracture of the middle rib, across it at ``along`` = 0.
    crack = along - uniform(-3, 3) + uniform(-0.5, 0.5) * level + 0.6 * fine
    beyond = crack > 0
    displaced, buckled = label == 2, label == 0
    offset, slip = uniform(2.5, 6.5) * torch.where(uniform(0, 1) < 0.5, -1.0, 1.0), uniform(-3, 3)
    hurt = level.abs() < period / 2
    here = hurt & beyond & displaced
    bent = uniform(1.2, 3.0) * bump(crack / 6) * buckled * hurt
    inward = depth - offset * here + bent
    height = torch.where(hurt, level - slip * here, (level + period / 2).remainder(period) - period / 2)
    a, b = uniform(3.0, 4.4), uniform(5.2, 7.2)
    bulge = 1 + 0.22 * bump(crack / 3.5) * buckled * hurt
    across = ((inward / a) ** 2 + (height / b) ** 2).sqrt() / bulge
    shell = 1 - uniform(1.3, 2.0) / a
    gap = uniform(0.5, 1.1) + displaced * uniform(0.0, 2.5)
    broken = hurt & ~buckled & ((crack - 0.5 * gap).abs() < gap)

    wall = depth + 1.0 * coarse[:, 0]
    lung, fat = uniform(-880, -800), uniform(-115, -85)
    skin = uniform(8, 20)
    muscle = uniform(40, 65) - 130 * ((fine + 0.5 * coarse[:, 1] > uniform(0.9, 1.8)) & (wall > -4))
    hu = torch.where(wall > skin, fat + 12 * fine, muscle + 0 * wall)
    hu = torch.where(wall < -uniform(5.0, 7.5), lung + 35 * fine + 700 * (fine * coarse[:, 0] > 2.2), hu)
    bone = torch.where(across < shell, uniform(120, 320) + 70 * fine, uniform(650, 1100) + 60 * fine)
    bone = torch.where(broken, uniform(30, 140), bone)
    # A buckle presses cortex and marrow together.
    bone = bone + 350 * bump(crack / 1.8) * buckled * hurt * (across < shell)
    hu = torch.where(across < 1, bone, hu)
    measured = avg_pool3d(hu[:, None], factor)
    measured = measured + uniform(15, 40)[:, None] * own.normal(1, size, size, size)
    low, high = CT_WINDOW
    return (blurred(measured, 0.9 * size / SIDE) - low) / (high - low)


def _synapse(own: Subjects, label: Tensor, size: int) -> Tensor:
    factor = fineness(size, FINE)
    side, cells = size * factor, 26
    uniform = own.uniform
    x, y, z = grid(side, 1.0, dim=3)
    fields = own.field(3, 0.14, side, 1.0)
    x, y, z = (p + 0.025 * f for p, f in zip((x, y, z), fields.unbind(1), strict=True))
    # Cells are nearer to their own point than to any other; two of them face each other in the middle.
    axis = normalize(own.normal(1, 3), dim=-1)
    apart = own.each(1, 0.13, 0.2)[..., None]
    others = own.each(3 * cells, -0.62, 0.62).view(-1, cells, 3)
    distance = others.norm(dim=-1, keepdim=True)
    others = others * (1 + (0.28 - distance).clamp_min(0) / distance)
    points = torch.cat([-apart * axis, apart * axis, others], dim=1)
    nearest = torch.full((len(own), side, side, side), 9.0)
    second, owner = nearest.clone(), torch.zeros_like(nearest)
    for k in range(points.shape[1]):
        px, py, pz = (points[:, k, i].view(-1, 1, 1, 1) for i in range(3))
        away = ((x - px) ** 2 + (y - py) ** 2 + (z - pz) ** 2).sqrt()
        second = torch.minimum(second, torch.maximum(nearest, away))
        owner = torch.where(away < nearest, float(k), owner)
        nearest = torch.minimum(nearest, away)
    edge = second - nearest
    tone = own.each(cells + 2, -0.1, 0.08).gather(1, owner.long().flatten(1)).view_as(owner)
    grey = uniform(0.64, 0.74) + tone + 0.03 * own.field(1, 0.05, side, 1.0)[:, 0]

    # Mitochondria with their folds, and round vesicles on the first side of the synapse.
    for cell in range(2, 6):
        mx, my, mz = (points[:, cell, i].view(-1, 1, 1, 1) for i in range(3))
        long = uniform(0.06, 0.15)
        inside = ((x - mx) / long) ** 2 + ((y - my) / 0.07) ** 2 + ((z - mz) / 0.08) ** 2 < 1
        inside &= uniform(0, 1) < 0.6
        folds = torch.sin(uniform(80, 120) * (x - mx + 0.5 * (y - my)))
        grey = torch.where(inside & (edge > 0.03), 0.42 + 0.09 * folds, grey)
    ax, ay, az = (axis[:, 0, i].view(-1, 1, 1, 1) for i in range(3))
    along = x * ax + y * ay + z * az
    aside = (x**2 + y**2 + z**2 - along**2).clamp_min(0).sqrt()
    # A lattice of vesicles, each shaken from its place, some missing.
    position = torch.stack([x, y, z], dim=1) / 0.055
    nearest_place = position.round()
    place = nearest_place.long().clamp(-10, 9) + 10
    lattice = own.normal(3, 20, 20, 20)
    which = ((place[:, 0] * 20 + place[:, 1]) * 20 + place[:, 2]).flatten(1)
    shaken = lattice.flatten(2).gather(2, which[:, None].expand(-1, 3, -1)).view_as(position)
    ball = (position - nearest_place - 0.2 * shaken).norm(dim=1)
    ring = bump((ball - 0.3) / 0.13) * (shaken.sum(dim=1) > -0.6)
    flat = torch.where(label == 0, 1.5, 1.0)  # those of inhibitory synapses are flatter
    cloud = (owner == 0) & ((along + 0.11) ** 2 + (aside / flat) ** 2 / 1.4 < uniform(0.09, 0.14) ** 2)
    grey = grey - 0.3 * ring * (cloud & (edge > 0.025))

    # Membranes; the density behind that of the receiving cell.
    grey = grey - 0.42 * bump((edge - 0.012) / 0.013)
    disc = torch.sigmoid((uniform(0.1, 0.17) - aside) / 0.012)
    contact = ((owner == 0) | (owner == 1)) & (edge < 0.12)
    depth = torch.where(owner == 1, edge, -edge)
    thick = torch.where(label == 1, uniform(0.045, 0.075), uniform(0.014, 0.026))
    density = torch.sigmoid((depth + 0.01) / 0.006) * torch.sigmoid((thick - depth) / 0.01)
    grey = grey - torch.where(label == 1, 0.5, 0.3) * density * disc * contact
    thin = bump((edge - 0.02) / 0.018) * disc * contact
    grey = grey - 0.15 * thin * (label == 0)
    measured = blurred(avg_pool3d(grey.clamp_min(0.08)[:, None], factor), 0.45)
    return measured + uniform(0.02, 0.05)[:, None] * own.normal(1, size, size, size)


def _hippocampus(own: Subjects, size: int) -> tuple[Tensor, Tensor, Tensor]:
    uniform = own.uniform
    x, y, z = grid(size, SIDE, dim=3)
    edges = (x, y, -z)
    coarse, fine = own.field(4, 9.0, size, SIDE), own.field(2, 3.0, size, SIDE)
    # The frame of the hippocampus, whose head lies in front, below and outwards of its tail.
    z = -z + uniform(-2, 2) + 1.5 * coarse[:, 0]
    x, y = x + uniform(-2, 2) + 1.5 * coarse[:, 1], y + uniform(-2, 2)
    large, lean, bend = uniform(0.88, 1.12), uniform(0.3, 0.55), uniform(0.006, 0.014)
    share = ((y / large + 18) / 36).clamp(0, 1)
    along = (share - 0.5) * 36 * large
    # The axis at ``along``: rising, and bent towards the midline (x < 0) at its end.
    rise = lean * along + 3 * bump((share - 1.0) / 0.25)
    aside = 3.5 - bend * (along - 4) ** 2 + 3 * (share - 0.3)
    u, v, w = (x - aside) / 1.15, y - along, (z - rise) * 1.25
    radius = large * (3.8 + 2.2 * bump((share - 0.18) / 0.27) + 0.5 * bump((share - 0.9) / 0.1))
    depth = (u**2 + v**2 + w**2).sqrt() - radius + 0.35 * fine[:, 0]
    inside = depth < 0

    # Grey levels: white matter with the folded cortex of the temporal lobe.
    white, grey, fluid = uniform(0.62, 0.74), uniform(0.34, 0.42), uniform(0.08, 0.16)
    folds = coarse[:, 2] + 0.35 * coarse[:, 3] + 0.035 * (x - 6) - 0.5
    shown = white + 0.0 * folds
    lateral = (u**2 + w**2).sqrt() > 12
    shown = torch.where((folds.abs() < 0.42) & lateral, grey, shown)
    shown = torch.where((folds.abs() < 0.12) & lateral, fluid, shown)
    # The parahippocampal gyrus below it, and the amygdala in front.
    below = ((x - aside + 5) ** 2 + (z - rise + 9) ** 2).sqrt() - 3.0 + 0.4 * fine[:, 1]
    shown = torch.where((below < 6.0) & (z < rise - 2), grey, shown)
    shown = torch.where((below > 5.2) & (below < 6.2) & (x < aside - 3), fluid, shown)
    shown = torch.where(below < 1.2, white, shown)
    amygdala = ((x - 1) ** 2 + (y + 21) ** 2 + (z + 1.0) ** 2).sqrt() < uniform(8, 10)
    shown = torch.where(amygdala, 1.12 * grey, shown)
    # The midbrain, with the fluid around it.
    stem = ((x + 22) ** 2 + (0.8 * (y - 4)) ** 2 + (0.45 * (z - 4)) ** 2).sqrt() - uniform(11, 14)
    stem = stem + 0.8 * coarse[:, 3]
    shown = torch.where(stem < uniform(1.0, 3.0) + 1.3 * coarse[:, 2], fluid, shown)
    shown = torch.where(stem < 0, 0.92 * white + 0.05 * coarse[:, 3], shown)
    # The temporal horn: a crescent over the outer side; the alveus between it and the hippocampus.
    over = (u - 1.3) ** 2 + v**2 + (w - uniform(1.0, 2.2)) ** 2
    shown = torch.where(over.sqrt() < radius + uniform(0.4, 1.6), fluid, shown)
    shown = torch.where((depth < 1.1) & (w > -1) & (u < 2), 0.9 * white, shown)
    # Inside, the darker bands of its folded layers.
    layers = 0.07 * torch.cos(2.1 * u + 1.2 * w + 2 * fine[:, 1])
    shown = torch.where(inside, 1.02 * grey + layers, shown)

    seen = blurred(shown[:, None], uniform(0.55, 0.9).item() * size / SIDE)[:, 0]
    seen = seen * (1 + 0.06 * own.field(1, 40.0, size, SIDE)[:, 0]) + 0.02 * fine[:, 1]
    noise = own.normal(2, size, size, size) * uniform(0.015, 0.035)[:, None]
    seen = ((seen + noise[:, 0]) ** 2 + noise[:, 1] ** 2).sqrt() * uniform(0.85, 1.35)
    halves = (uniform(17.5, 21), uniform(22, 26), uniform(13, 20))
    box = torch.ones_like(inside)
    for edge, half in zip(edges, halves, strict=True):
        box = box & (edge.abs() < half)
    inside = inside & box
    front = along < uniform(-3, 3)
    return seen * box, inside & front, inside & ~front
