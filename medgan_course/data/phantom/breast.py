"""A breast ultrasound, computed: layers, speckle, and a mass that is smooth or ragged.

Echogenicity and attenuation set the mean brightness at every depth, a Rayleigh-distributed amplitude with
lateral correlation makes the speckle, and the logarithm compresses it as the scanner's display does. Label 0
is a malignant mass: ragged, taller than wide, with a shadow below. Label 1 is, half and half, a benign one
(smooth, wider than tall, brighter below) or none. The phantom has the layout of BreastMNIST, and nothing else
of it: no result on it says anything about patients.

Positions are in image sides: x to the right, y down from the skin.
"""

import math
from collections.abc import Sequence

import torch
from torch import Tensor
from torch.nn.functional import avg_pool2d, interpolate

DRAWS = 32  # random numbers an anatomy may use
CHUNK = 32
SPIKES = 16  # that a ragged edge may have


def render(labels: Sequence[int], *, size: int, seed: int, first: int = 0) -> Tensor:
    """Compute one ultrasound image for every label.

    Subject ``first + i`` of ``seed`` is the same breast whatever the batch or the order of calls.

    Parameters
    ----------
    labels : sequence of int
        0 malignant, 1 normal or benign, one a subject.
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
    fine = size if size >= 48 else 2 * size
    images = torch.empty(len(labels), size, size, dtype=torch.uint8)
    for start in range(0, len(labels), CHUNK):
        chunk = labels[start : start + CHUNK]
        numbers = range(first + start, first + start + len(chunk))
        # Only the lower 32 bits of a generator's seed count.
        generators = [torch.Generator().manual_seed(seed * 1_000_003 + number) for number in numbers]
        columns = torch.stack([torch.rand(DRAWS, generator=g) for g in generators])
        layers = torch.stack([torch.randn(2, 20, 6, generator=g) for g in generators])
        edges = torch.stack([torch.randn(SPIKES, generator=g) for g in generators])
        speckle = torch.stack([torch.randn(2, 3 * fine, 2 * fine, generator=g) for g in generators])
        grey = _image(columns, layers, edges, speckle, torch.tensor(chunk), fine)
        images[start : start + CHUNK] = (avg_pool2d(grey[:, None], fine // size)[:, 0] * 255).round().byte()
    return images


def _image(
    columns: Tensor, layers: Tensor, edges: Tensor, speckle: Tensor, labels: Tensor, side: int
) -> Tensor:
    draws = iter(columns.T)

    def uniform(low: float, high: float) -> Tensor:
        return (low + (high - low) * next(draws))[:, None, None]

    centres = (torch.arange(side) + 0.5) / side
    y, x = torch.meshgrid(centres, centres, indexing="ij")
    streaks, folds = interpolate(layers, size=(side, side), mode="bicubic", align_corners=False).unbind(1)
    depth = y + 0.03 * folds + uniform(-0.08, 0.08) * (x - 0.5)

    # Echogenicity in dB: skin, fat, glandular tissue with streaks, muscle.
    gland, muscle = uniform(0.15, 0.32), uniform(0.62, 1.05)
    echo = -14 + uniform(2, 6) * torch.sigmoid((depth - gland) / 0.03) + 6 * streaks
    echo = echo - uniform(4, 10) * torch.sigmoid((depth - muscle) / 0.04)
    echo = echo + 10 * torch.exp(-(((depth - muscle) / 0.02) ** 2).clamp_max(60))
    echo = echo + 9 * torch.exp(-((y / 0.05) ** 2).clamp_max(60)) - uniform(8, 24) * y

    # The mass.
    malignant = (labels == 0)[:, None, None]
    present = malignant | (uniform(0, 1) < 0.5)
    wide = torch.where(malignant, uniform(0.1, 0.22), uniform(0.09, 0.24))
    tall = wide * torch.where(malignant, uniform(0.8, 1.3), uniform(0.45, 0.75))
    across, along = (x - uniform(0.3, 0.7)) / wide, (y - uniform(0.3, 0.55)) / tall
    turn = (torch.atan2(along, across) / (2 * math.pi) + 0.5) * SPIKES
    cell = turn.long().clamp_max(SPIKES - 1)
    spikes = edges.gather(1, cell.flatten(1)).view_as(turn) * torch.sin(math.pi * (turn - cell))
    radius = (across**2 + along**2).sqrt() - torch.where(malignant, 0.25, 0.03) * spikes
    mass = torch.sigmoid((1 - radius) / torch.where(malignant, 0.1, 0.05)) * present
    below = torch.sigmoid((along - 0.7) / 0.2) * torch.sigmoid((0.9 - across.abs()) / 0.15) * present
    echo = echo * (1 - mass) + mass * torch.where(malignant, uniform(-29, -23), uniform(-34, -25))
    echo = echo + below * torch.where(malignant, uniform(-12, -4), uniform(2, 6))

    # Speckle: the amplitude of two Gaussian components, coarser across the beam than along it.
    real, imaginary = avg_pool2d(speckle, (1, 3), stride=1, padding=(0, 1)).unbind(1)
    # A pixel of a small image is the mean of several of the scanner's.
    amplitude = avg_pool2d((real**2 + imaginary**2).sqrt()[:, None], (3, 2))[:, 0] * 1.38
    return ((echo + 20 * torch.log10(amplitude) + uniform(34, 41)) / uniform(46, 54)).clamp(0, 1)
