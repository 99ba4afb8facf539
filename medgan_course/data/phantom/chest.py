"""A child's chest X-ray, computed.

Thicknesses of soft tissue, lung and bone along every ray (cm) give the transmitted share by the law of Beer
and Lambert, photon noise is added, and the film's characteristic curve turns log exposure into grey levels.
Every subject has its own anatomy, pose and exposure; label 1 adds opacities inside the lungs. The phantom has
the layout and the grey levels of PneumoniaMNIST, and nothing else of it: no result on it says anything about
patients.

Positions are in half fields of view before pose (x to the right of the image, which is the patient's left; y
down), depths and path lengths in cm.
"""

import math
from collections.abc import Callable, Sequence

import torch
from torch import Tensor
from torch.nn.functional import avg_pool2d, interpolate

# Linear attenuation at 60 keV, 1/cm: NIST (Hubbell & Seltzer) mass coefficients times ICRU-44 densities.
MU_SOFT = 0.217
MU_LUNG = 0.053
MU_BONE = 0.604

PHOTONS = 20_000.0  # per pixel at 64 px, before the patient
DRAWS = 128  # random numbers an anatomy may use
CHUNK = 16  # subjects at a time: the maps of one chunk stay in a core's cache


def render(labels: Sequence[int], *, size: int, seed: int, first: int = 0) -> Tensor:
    """Compute one X-ray for every label.

    Subject ``first + i`` of ``seed`` is the same child whatever the size, the batch or the order of calls.

    Parameters
    ----------
    labels : sequence of int
        0 normal, 1 pneumonia, one a subject.
    size : int
        Image side in pixels.
    seed : int
        Seed of the population.
    first : int
        Number of the first subject.

    Returns
    -------
    Tensor
        uint8 ``(N, size, size)``; bright means dense, as on film.
    """
    # Ribs are thinner than a pixel of a small image: it is the average of a finer one, as on a detector.
    fine = size if size >= 48 else 2 * size
    images = torch.empty(len(labels), size, size, dtype=torch.uint8)
    for start in range(0, len(labels), CHUNK):
        chunk = labels[start : start + CHUNK]
        # Only the lower 32 bits of a generator's seed count.
        numbers = range(first + start, first + start + len(chunk))
        generators = [torch.Generator().manual_seed(seed * 1_000_003 + number) for number in numbers]
        columns = torch.stack([torch.rand(DRAWS, generator=g) for g in generators])
        textures = torch.stack([torch.randn(2, 16, 16, generator=g) for g in generators])
        noise = torch.stack([torch.randn(fine, fine, generator=g) for g in generators])
        grey = _film(columns, textures, noise, torch.tensor(chunk))
        if fine != size:
            grey = avg_pool2d(grey[:, None], fine // size)[:, 0]
        images[start : start + CHUNK] = (grey * 255).round().to(torch.uint8)
    return images


def optical_depth(soft: Tensor, lung: Tensor, bone: Tensor) -> Tensor:
    r"""Return the line integral :math:`\int \mu\,ds` of path lengths (cm) through the three tissues."""
    return MU_SOFT * soft + MU_LUNG * lung + MU_BONE * bone


def transmission(depth: Tensor) -> Tensor:
    r"""Return the share of photons that passes, :math:`I/I_0 = e^{-\int\mu\,ds}` (Beer and Lambert)."""
    return torch.exp(-depth)


def ellipsoid(x: Tensor, y: Tensor, a: Tensor | float, b: Tensor | float, depth: Tensor | float) -> Tensor:
    r"""Return the chord, in the unit of ``depth``, of rays through an ellipsoid centred at the origin.

    With in-plane semi-axes a and b and semi-axis ``depth`` along the ray the chord is
    :math:`2\,\mathrm{depth}\sqrt{1-(x/a)^2-(y/b)^2}`, and 0 outside.
    """
    return 2 * depth * (1 - (x / a) ** 2 - (y / b) ** 2).clamp_min_(0).sqrt_()


def _bump(distance: Tensor) -> Tensor:
    # Below e^-60 the products would become subnormal numbers, which processors handle many times slower.
    return torch.exp(-(distance**2).clamp_max(60))


def _film(columns: Tensor, textures: Tensor, noise: Tensor, labels: Tensor) -> Tensor:
    """Return grey levels in [0, 1] ``(n, s, s)`` of the subjects drawn in ``columns``."""
    draws = iter(columns.T)

    def uniform(low: float, high: float) -> Tensor:
        return (low + (high - low) * next(draws))[:, None, None]

    side = noise.shape[-1]
    x, y = _pose(uniform, side)
    soft, lung, bone = _paths(uniform, x, y, textures, labels)
    counts = PHOTONS * (64 / side) ** 2 * transmission(optical_depth(soft, lung, bone))
    # Poisson counts, which are nearly Gaussian at hundreds of photons a pixel.
    counts = (counts + counts.sqrt() * noise).clamp_min_(1)
    exposed = torch.log(PHOTONS * (64 / side) ** 2 / counts)
    return torch.sigmoid((exposed - uniform(1.55, 2.15)) * uniform(0.85, 1.6))


def _pose(uniform: Callable[[float, float], Tensor], side: int) -> tuple[Tensor, Tensor]:
    """Return patient coordinates x, y of the pixel centres for random field of view, shift and rotation."""
    centres = (torch.arange(side) + 0.5) * 2 / side - 1
    v, u = torch.meshgrid(centres, centres, indexing="ij")
    angle, scale = uniform(-1, 1) ** 3 * 0.16, uniform(0.86, 1.1)
    u, v = u * scale + uniform(-0.09, 0.09), v * scale + uniform(-0.1, 0.1)
    return u * angle.cos() - v * angle.sin(), u * angle.sin() + v * angle.cos()


def _paths(
    uniform: Callable[[float, float], Tensor], x: Tensor, y: Tensor, textures: Tensor, labels: Tensor
) -> tuple[Tensor, Tensor, Tensor]:
    """Return path lengths in cm through soft tissue, lung and bone, each ``(n, s, s)``."""
    side = x.shape[-1]
    fine, coarse = interpolate(textures, size=(side, side), mode="bicubic", align_corners=False).unbind(1)
    x = x + uniform(-0.05, 0.05) * (y + 0.3)  # the spine is never quite straight
    across = x.abs()
    left = x > 0  # the patient's left, on the right of the image

    # The chest cavity: apex, lateral wall, and the domes of the diaphragm, each side its own.
    apex = torch.where(left, uniform(-0.74, -0.6), uniform(-0.74, -0.6))
    base = torch.where(left, uniform(0.42, 0.66), uniform(0.38, 0.6))
    wall = torch.where(left, uniform(0.8, 0.96), uniform(0.8, 0.96))
    tau = (y - apex) / (0.6 - apex)
    lateral = 0.3 + (wall - 0.3) * (1 - (1 - tau.clamp(0, 1)) ** uniform(2.0, 2.8))
    medial = 0.3 * (1 - (tau / 0.22).clamp(0, 1)) ** 2
    q = (across - medial) / (lateral - medial)
    rounded = (1 - (1 - (tau / 0.2).clamp(0, 1)) ** 2).sqrt()
    dome = base + uniform(0.5, 1.2) * (across - uniform(0.3, 0.45)) ** 2
    above = torch.sigmoid((dome - y) / 0.022)
    cavity = uniform(9.5, 12.0) * (1 - q.clamp(0, 1) ** 3.2).clamp_min(0).sqrt() * rounded * above
    cavity = cavity * (0.75 + 0.25 * (tau * 2).clamp(0, 1))

    # What fills it beside the lungs: heart, mediastinum with the thymus, hila.
    tilt = uniform(0.35, 0.8)
    hx, hy = x - uniform(0.1, 0.2), y - base + uniform(0.17, 0.27)
    heart = ellipsoid(
        hx * tilt.cos() + hy * tilt.sin(),
        hy * tilt.cos() - hx * tilt.sin(),
        uniform(0.34, 0.47),
        uniform(0.25, 0.33),
        uniform(3.8, 5.4),
    )
    half = uniform(0.12, 0.19) + uniform(0, 0.09) * _bump((y + 0.45) / 0.22)
    mediastinum = 14 * torch.sigmoid((half - (x - uniform(-0.03, 0.03)).abs()) / 0.035)
    hila = uniform(2, 4.5) * _bump((across - 0.24) / 0.1) * _bump((y + uniform(-0.02, 0.12)) / 0.17)
    air = (cavity - heart - mediastinum - hila).clamp_min(0)
    vessels = (0.1 * fine + 0.06 * coarse) * torch.exp(-across / 0.9)
    air = air * (1 - vessels - uniform(0.0, 0.12)).clamp(0, 1)
    air = air * (1 - _opacity(uniform, q, tau, left, coarse, labels))

    # Bone: spine, ribs from behind and from the front, clavicles, shoulder joints.
    spine = torch.sigmoid((0.085 - across) / 0.02)
    spine = spine * uniform(0.5, 2.0) * (1 + uniform(0.05, 0.25) * torch.cos(y * uniform(42, 50)))
    period, sag = uniform(0.118, 0.142), uniform(0.25, 0.5)
    rim = torch.sigmoid((lateral + 0.02 - across) / 0.02) * torch.sigmoid((tau + 0.06) / 0.03)
    rim = rim * torch.sigmoid((0.95 + 0.35 * across - tau) / 0.06) * (0.5 + 0.5 * above)
    behind = torch.cos(2 * math.pi * (y + 0.05 * across - sag * across**2 + uniform(0, 0.13)) / period)
    front = torch.cos(2 * math.pi * (y + uniform(0.3, 0.5) * across + uniform(0, 0.13)) / (period * 1.25))
    tangent = 1 + 1.2 * q.clamp(0, 1) ** 6
    ribs = (
        uniform(0.4, 0.85) * torch.exp(1.5 * (behind - 1)) * tangent * torch.sigmoid((across - 0.07) / 0.02)
    )
    ribs = ribs + uniform(0.15, 0.4) * torch.exp(2.5 * (front - 1)) * torch.sigmoid((across - 0.4) / 0.06)
    collar = y + uniform(0.58, 0.72) + uniform(0.05, 0.2) * across - 0.05 * torch.sin(6 * across)
    clavicles = uniform(0.5, 1.0) * _bump(collar / 0.03) * torch.sigmoid((across - 0.1) / 0.02)
    clavicles = clavicles * torch.sigmoid((0.7 - across) / 0.04)
    joints = 0.7 * _bump((across - uniform(0.86, 0.98)) / 0.1) * _bump((y + uniform(0.62, 0.74)) / 0.13)
    bone = spine + ribs * rim + clavicles + joints

    # The body around it: trunk with shoulders, arms, neck with windpipe, chin, stomach gas.
    shoulder = torch.sigmoid((y + uniform(0.92, 1.15) - 0.15 * (across - 0.4)) / 0.05)
    trunk_half = 0.3 + (uniform(0.98, 1.2) - 0.3) * shoulder
    trunk = (
        2
        * uniform(6.2, 7.2)
        * (1 - (across / trunk_half) ** 2.4).clamp_min(0).sqrt()
        * (0.62 + 0.38 * torch.sigmoid((y + 0.55) / 0.2))
    )
    arms = uniform(1, 5) * _bump((across - uniform(1.0, 1.25)) / 0.2) * _bump((y + 0.9) / 0.8)
    chin = ellipsoid(x - uniform(-0.1, 0.1), y + uniform(1.08, 1.55), uniform(0.34, 0.45), 0.36, 4.0)
    windpipe = 1.1 * _bump(x / 0.045) * torch.sigmoid((uniform(-0.3, -0.2) - y) / 0.03)
    gas = ellipsoid(
        x - uniform(0.3, 0.55),
        y - base - uniform(0.12, 0.3),
        uniform(0.14, 0.3),
        0.16,
        uniform(-3, 2).clamp_min(0),
    )
    soft = (trunk + arms + chin - air - windpipe - gas - bone).clamp_min(0)
    return soft, air, bone


def _opacity(
    uniform: Callable[[float, float], Tensor],
    q: Tensor,
    tau: Tensor,
    left: Tensor,
    texture: Tensor,
    labels: Tensor,
) -> Tensor:
    """Return the share of lung filled with fluid: one lobe, scattered patches or a haze; 0 for label 0."""
    kind = uniform(0, 1)
    lobar, patchy = kind < 0.35, (kind >= 0.35) & (kind < 0.75)
    clear = 1 - torch.where(lobar, 0.25, torch.where(patchy, 0.35, 0.6)) * uniform(0.3, 1.0)
    for patch in range(5):
        present = ~lobar if patch else torch.ones_like(lobar)
        on_left = uniform(0, 1) > 0.5
        radius = torch.where(lobar, uniform(0.3, 0.55), uniform(0.12, 0.26))
        dense = torch.where(lobar, uniform(0.6, 0.95), uniform(0.35, 0.8)) * present
        distance = ((q - uniform(0.3, 0.9)) ** 2 + (tau - uniform(0.2, 0.95)) ** 2).sqrt() / radius
        edge = uniform(0.12, 0.45)
        clear = clear * (
            1 - dense * (left == on_left) * torch.sigmoid((1 + 0.25 * texture - distance) / edge)
        )
    return (1 - clear) * (labels == 1)[:, None, None]
