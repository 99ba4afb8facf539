"""Six kinds of pictures that nobody mistakes for each other, in the place of MedNIST: shapes, not anatomy.

Each kind is a few ellipses and bars of random size, place and tilt with the grey levels that the kind has in
MedNIST. No result on them says anything about patients.

Positions are in half image sides: x to the right, y down, the image from -1 to 1.
"""

import math
from collections.abc import Callable, Sequence

import torch
from torch import Tensor
from torch.nn.functional import avg_pool2d

DRAWS = 48  # random numbers a picture may use
CHUNK = 64

Uniform = Callable[[float, float], Tensor]


def render(labels: Sequence[int], *, size: int, seed: int, first: int = 0) -> Tensor:
    """Compute one picture for every label.

    Subject ``first + i`` of ``seed`` is the same picture whatever the batch or the order of calls.

    Parameters
    ----------
    labels : sequence of int
        0 abdominal CT, 1 breast MR, 2 chest X-ray, 3 chest CT, 4 hand, 5 head CT, one a subject.
    size : int
        Image side in pixels.
    seed : int
        Seed of the population.
    first : int
        Number of the first subject.

    Returns
    -------
    Tensor
        uint8 ``(N, size, size)``.
    """
    kinds = torch.tensor(labels)
    images = torch.empty(len(labels), size, size, dtype=torch.uint8)
    for kind in kinds.unique().tolist():
        draw = (_abdomen, _breasts, _chest, _chest_ct, _hand, _head)[kind]
        for members in (kinds == kind).nonzero()[:, 0].split(CHUNK):
            # Only the lower 32 bits of a generator's seed count.
            generators = [
                torch.Generator().manual_seed(seed * 1_000_003 + first + i) for i in members.tolist()
            ]
            columns = torch.stack([torch.rand(DRAWS, generator=g) for g in generators])
            noise = torch.stack([torch.randn(size, size, generator=g) for g in generators])
            grey = avg_pool2d(_drawn(draw, columns, 2 * size)[:, None], 2)[:, 0]
            sigma = 0.06 if draw is _chest_ct else 0.015
            images[members] = ((grey + sigma * noise).clamp(0, 1) * 255).round().byte()
    return images


def _drawn(draw: Callable[[Uniform, Tensor, Tensor], Tensor], columns: Tensor, side: int) -> Tensor:
    draws = iter(columns.T)

    def uniform(low: float, high: float) -> Tensor:
        return (low + (high - low) * next(draws))[:, None, None]

    centres = (torch.arange(side) + 0.5) * 2 / side - 1
    v, u = torch.meshgrid(centres, centres, indexing="ij")
    angle, scale = uniform(-0.12, 0.12), uniform(0.9, 1.1)
    u, v = u * scale + uniform(-0.06, 0.06), v * scale + uniform(-0.06, 0.06)
    return draw(uniform, u * angle.cos() - v * angle.sin(), u * angle.sin() + v * angle.cos())


def _inside(x: Tensor, y: Tensor, a: Tensor | float, b: Tensor | float) -> Tensor:
    """Return 1 inside an ellipse and 0 outside, with a soft edge."""
    return torch.sigmoid((1 - ((x / a) ** 2 + (y / b) ** 2).sqrt()) / 0.04)


def _abdomen(uniform: Uniform, x: Tensor, y: Tensor) -> Tensor:
    grey = 0.4 + 0.05 * _inside(x, y, uniform(0.75, 0.92), uniform(0.5, 0.66))
    for side in (-1, 1):
        grey = grey + uniform(0.08, 0.16) * _inside(
            x - side * uniform(0.3, 0.42), y - uniform(0.05, 0.2), 0.14, 0.18
        )
    grey = grey + 0.1 * _inside(x + uniform(0.3, 0.45), y + uniform(0.05, 0.2), uniform(0.25, 0.35), 0.25)
    return grey + 0.45 * _inside(x, y - uniform(0.3, 0.4), 0.12, uniform(0.1, 0.16))


def _breasts(uniform: Uniform, x: Tensor, y: Tensor) -> Tensor:
    grey, apart = torch.zeros_like(x), uniform(0.36, 0.46)
    for side in (-1, 1):
        grey = grey + uniform(0.65, 0.95) * _inside(
            x - side * apart, y - 0.25, uniform(0.24, 0.34), uniform(0.45, 0.85)
        )
        grey = grey - uniform(0.2, 0.5) * _inside(x - side * apart, y - uniform(-0.2, 0.1), 0.12, 0.2)
    thorax = _inside(x, y - 0.75, uniform(0.7, 0.85), 0.55)
    return (grey * (1 - thorax) + 0.08 * thorax).clamp(0, 1) * torch.sigmoid((0.85 - y) / 0.02)


def _chest(uniform: Uniform, x: Tensor, y: Tensor) -> Tensor:
    grey = uniform(0.7, 0.85) * _inside(x, y - 0.5, uniform(0.95, 1.1), uniform(1.2, 1.5))
    ribs = 0.06 * torch.cos(uniform(22, 30) * (y + 0.3 * x.abs()))
    for side in (-1, 1):
        lung = _inside(
            x - side * uniform(0.38, 0.46), y + uniform(0.0, 0.15), uniform(0.26, 0.34), uniform(0.55, 0.7)
        )
        grey = grey * (1 - lung) + lung * (uniform(0.2, 0.35) + ribs)
    heart = _inside(x - uniform(0.08, 0.18), y - uniform(0.15, 0.3), uniform(0.25, 0.36), 0.3)
    return grey + 0.3 * heart * (1 - grey)


def _chest_ct(uniform: Uniform, x: Tensor, y: Tensor) -> Tensor:
    a, b = uniform(0.8, 0.92), uniform(0.6, 0.72)
    ring = _inside(x, y, a, b) - _inside(x, y, a - 0.07, b - 0.07)
    dots = (torch.sin(uniform(40, 70) * torch.atan2(y, x)) > 0.2) * ring
    return 0.5 + 0.4 * dots + 0.3 * _inside(x, y - uniform(0.3, 0.42), 0.1, 0.1)


def _hand(uniform: Uniform, x: Tensor, y: Tensor) -> Tensor:
    palm = _inside(x, y - 0.25, uniform(0.27, 0.34), uniform(0.3, 0.38))
    hand = torch.maximum(palm, _inside(x, y - 0.85, uniform(0.17, 0.22), 0.55))
    spread = uniform(0.14, 0.26)
    for finger, (start, length) in enumerate(((-0.26, 0.36), (-0.12, 0.46), (0.03, 0.5), (0.17, 0.44))):
        angle = (finger - 1.5) * spread
        u, v = x - start, y
        u, v = u * angle.cos() + v * angle.sin(), v * angle.cos() - u * angle.sin()
        hand = torch.maximum(hand, _inside(u, v + length * 0.8, 0.075, length * uniform(0.95, 1.1)))
    thumb = uniform(0.7, 1.1)
    u, v = x - 0.35, y - 0.1
    u, v = u * thumb.cos() + v * thumb.sin(), v * thumb.cos() - u * thumb.sin()
    hand = torch.maximum(hand, _inside(u, v + 0.12, 0.08, 0.36))
    return hand * (uniform(0.5, 0.75) + 0.15 * torch.cos(14 * math.pi * y / 2))


def _head(uniform: Uniform, x: Tensor, y: Tensor) -> Tensor:
    a, b = uniform(0.46, 0.56), uniform(0.56, 0.68)
    grey = 0.1 + 0.9 * _inside(x, y, a, b)
    brain = _inside(x, y, a - 0.08, b - 0.08)
    grey = grey * (1 - brain) + brain * uniform(0.42, 0.55)
    for side in (-1, 1):
        grey = grey - 0.15 * _inside(x - side * uniform(0.07, 0.11), y, 0.05, uniform(0.12, 0.24))
    table = (x / 0.8) ** 2 + ((y - 0.4) / 0.75) ** 2
    return grey + 0.6 * torch.exp(-(((table - 1) / 0.04) ** 2).clamp_max(60)) * (y > 0.6)
