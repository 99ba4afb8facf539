"""Six kinds of pictures that nobody mistakes for each other, in the place of MedNIST.

Abdomen, chest X-ray and head come from their own families, in the grey levels that they have in MedNIST. The
hand is a few line integrals; breast MR and chest CT are shapes, not anatomy. No result on them says anything
about patients.

Positions are in half image sides: x to the right, y down, the image from -1 to 1.
"""

from collections.abc import Sequence

import torch
from torch import Tensor
from torch.nn.functional import avg_pool2d

from medgan_course.data.phantom import abdomen, chest, head
from medgan_course.data.phantom.common import Subjects, bump, checked, grid, numbered

CHUNK = 32
CLASSES = ("abdominal CT", "breast MR", "chest X-ray", "chest CT", "hand", "head CT")


def render(labels: Sequence[int], *, size: int, seed: int, first: int = 0) -> Tensor:
    """Compute what stands in for MedNIST: a picture for each label."""
    asked = checked("body", numbered(labels, first), size=size, seed=seed, labels=labels, classes=CLASSES)
    kinds = torch.tensor(asked.labels)
    images = torch.empty(len(asked), size, size, dtype=torch.uint8)
    for kind in kinds.unique().tolist():
        draw = (_abdomen, _breasts, _chest, _chest_ct, _hand, _head)[kind]
        for members in (kinds == kind).nonzero()[:, 0].split(CHUNK):
            grey = draw(Subjects([asked.numbers[i] for i in members.tolist()], seed), size)
            images[members] = (grey.clamp(0, 1) * 255).round().byte()
    return images


def _abdomen(own: Subjects, size: int) -> Tensor:
    made = abdomen.phantoms(own.numbers.tolist(), size=size, seed=own.seed, contrasts=("ct",))
    shown = (made.images["ct"][:, 0] + 1) / 2
    # A wide window in which air and fat are nearly alike and only bone is white.
    return 0.4 + 0.1 * shown + 0.5 * shown**6


def _chest(own: Subjects, size: int) -> Tensor:
    made = chest.phantoms(own.numbers.tolist(), size=size, seed=own.seed, labels=[0] * len(own))
    return (made.images["xray"][:, 0] + 1) / 2


def _head(own: Subjects, size: int) -> Tensor:
    made = head.phantoms(
        own.numbers.tolist(), size=size, seed=own.seed, labels=[0] * len(own),
        contrasts=("ct",), fov=250.0,
    )  # fmt: skip
    brain = 0.42 + 0.0045 * (made.scales["ct"].restored(made.images["ct"][:, 0]) - 20)
    # The headrest, below the head.
    x, y = grid(size, 2.0)
    rest = (x / own.uniform(0.7, 0.85)) ** 2 + ((y - own.uniform(0.2, 0.4)) / 0.62) ** 2
    return torch.maximum(brain.clamp(0.11, 1), 0.55 * bump((rest - 1) / 0.06) * (y > 0.55))


def _posed(own: Subjects, size: int) -> tuple[Tensor, Tensor]:
    """Return turned, shifted and scaled positions ``(n, 2 size, 2 size)``."""
    u, v = grid(2 * size, 2.0)
    angle, scale = own.uniform(-0.12, 0.12), own.uniform(0.9, 1.1)
    u, v = u * scale + own.uniform(-0.06, 0.06), v * scale + own.uniform(-0.06, 0.06)
    return u * angle.cos() - v * angle.sin(), u * angle.sin() + v * angle.cos()


def _pooled(own: Subjects, grey: Tensor, sigma: float) -> Tensor:
    """Return pictures of half the side, with noise."""
    pooled = avg_pool2d(grey[:, None], 2)[:, 0]
    return pooled + sigma * own.normal(*pooled.shape[1:])


def _inside(x: Tensor, y: Tensor, a: Tensor | float, b: Tensor | float) -> Tensor:
    """Return 1 inside an ellipse and 0 outside, with a soft edge."""
    return torch.sigmoid((1 - ((x / a) ** 2 + (y / b) ** 2).sqrt()) / 0.04)


def _breasts(own: Subjects, size: int) -> Tensor:
    x, y = _posed(own, size)
    tissue = own.field(2, 0.16, 2 * size, 2.0)
    grey, apart = torch.zeros_like(x), own.uniform(0.36, 0.48)
    heights = own.uniform(0.35, 0.9), own.uniform(0.9, 1.1)
    for side in (-1, 1):
        height = heights[0] * (1 if side < 0 else heights[1])
        wide = own.uniform(0.26, 0.38)
        grey = torch.maximum(grey, _inside(x - side * apart, y - 0.3, wide, height))
        # Glandular tissue behind the nipple, dark in fat.
        dense = _inside(x - side * apart, y - 0.2 + 0.5 * height, 0.6 * wide, 0.45 * height)
        grey = (
            grey
            - own.uniform(0.0, 0.75)
            * dense
            * torch.sigmoid((tissue[:, 0] - own.uniform(-1, 0.8)) / 0.15)
            * grey
        )
    fat = torch.maximum(grey, _inside(x, y - 0.75, own.uniform(0.8, 0.92), 0.66))
    thorax = _inside(x, y - 0.82, own.uniform(0.66, 0.8), 0.6)
    flesh = 0.07 + 0.04 * tissue[:, 1] + 0.18 * bump(tissue[:, 0] / 0.12)
    shown = own.uniform(0.65, 0.95) * (fat * (1 + 0.05 * tissue[:, 1]) * (1 - thorax)) + flesh * thorax
    return _pooled(own, shown * torch.sigmoid((own.uniform(0.75, 0.9) - y) / 0.02), 0.015)


def _chest_ct(own: Subjects, size: int) -> Tensor:
    x, y = _posed(own, size)
    a, b = own.uniform(0.72, 0.9), own.uniform(0.55, 0.72)
    ring = _inside(x, y, a, b) - _inside(x, y, a - 0.1, b - 0.1)
    spine = _inside(x, y - 0.72 * b, 0.16, 0.14)
    heart = _inside(x - own.uniform(-0.05, 0.2), y + own.uniform(-0.05, 0.15), 0.26, 0.24)
    # Grey levels that ran over are white, here and there.
    often = own.uniform(0.5, 1.4) * ring + 1.4 * spine + own.uniform(0.0, 0.8) * heart
    white = own.normal(2 * size, 2 * size) > 2.6 - 1.5 * often
    return _pooled(own, 0.5 + 0.09 * heart * own.uniform(0, 1) + 0.5 * white * (often > 0.2), 0.008)


def _hand(own: Subjects, size: int) -> Tensor:
    x, y = _posed(own, size)
    y = y - 0.02
    mirror = torch.where(own.uniform(0, 1) < 0.5, -1.0, 1.0)
    x = x * mirror
    soft = torch.maximum(
        _chord(x + 0.02, y - 0.3, own.uniform(0.27, 0.33), own.uniform(0.34, 0.4), 0.9),
        _chord(x, y - 1.0, own.uniform(0.18, 0.23), 0.7, 0.95),
    )
    bone = _bone(x + 0.075, 1.12 - y, 0.5, 0.075, ()) + _bone(x - 0.08, 1.12 - y, 0.49, 0.055, ())
    for _ in range(7):
        where = own.uniform(-0.13, 0.13), own.uniform(0.46, 0.58)
        bone = torch.maximum(bone, 0.8 * _chord(x - where[0], y - where[1], 0.06, 0.055, 1.0))
    spread = own.uniform(0.12, 0.24)
    fingers = ((-0.13, 0.93, -1.5), (-0.045, 1.1, -0.5), (0.045, 1.16, 0.5), (0.13, 1.06, 1.5))
    for start, length, place in fingers:
        angle, reach = place * spread + 0.05 * own.uniform(-1, 1), length * own.uniform(0.94, 1.06)
        u, v = x - start, 0.42 - y
        u, v = u * angle.cos() - v * angle.sin(), u * angle.sin() + v * angle.cos()
        soft = torch.maximum(soft, _chord(u, v - 0.5 * reach - 0.05, 0.082, 0.56 * reach, 0.7))
        bone = torch.maximum(bone, _bone(u, v, reach, 0.036, (0.42, 0.7, 0.87)))
    angle = -own.uniform(0.75, 1.1)
    u, v = x + 0.13, 0.5 - y
    u, v = u * angle.cos() - v * angle.sin(), u * angle.sin() + v * angle.cos()
    soft = torch.maximum(soft, _chord(u, v - 0.33, 0.09, 0.42, 0.7))
    bone = torch.maximum(bone, _bone(u, v, 0.68, 0.042, (0.42, 0.74)))
    exposure, contrast = own.uniform(0.3, 0.5), own.uniform(0.4, 0.6)
    grain = 1 + 0.12 * own.field(1, 0.06, 2 * size, 2.0)[:, 0]
    return _pooled(own, exposure * soft.clamp_min(0) + contrast * bone * grain, 0.012)


def _chord(x: Tensor, y: Tensor, a: Tensor | float, b: Tensor | float, depth: float) -> Tensor:
    """Return the thickness along every ray of a flat body of elliptical outline; ``depth`` in the middle."""
    return depth * (1 - (x / a) ** 2 - (y / b) ** 4).clamp_min(0).sqrt()


def _bone(x: Tensor, along: Tensor, length: Tensor | float, half: float, joints: tuple[float, ...]) -> Tensor:
    """Return the thickness of a chain of bones from ``along`` = 0 to ``length``, with gaps at the joints."""
    share = along / length
    ends = torch.stack([(share - joint).abs() for joint in (0.0, *joints, 1.0)]).amin(dim=0)
    near = (ends * length / 0.05).clamp(0, 3)
    width = half * (1 - 0.45 * share.clamp(0, 1)) * (1 + 0.5 * torch.exp(-near))
    round_ = (x / width).abs()
    # A dense cortex around marrow.
    shown = (1 - round_**2).clamp_min(0).sqrt() * 0.75 + 0.3 * bump((round_ - 0.85) / 0.2)
    return shown * ((share > 0) & (share < 1)) * torch.sigmoid((near - 0.3) / 0.06)
