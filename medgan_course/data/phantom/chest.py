"""A child's chest X-ray, computed.

Thicknesses of soft tissue, lung and bone along every ray (cm) give the transmitted share by the law of Beer
and Lambert, photon noise is added, and the film's characteristic curve turns log exposure into grey levels.
Every subject has its own anatomy, pose and exposure; label 1 adds the opacities of pneumonia inside the
lungs. The phantom has the layout and the grey levels of PneumoniaMNIST, and nothing else of it. For
ChestMNIST, whose X-rays are of adults, it draws other findings too. No result on it says anything about
patients.

Positions are in half fields of view before pose (x to the right of the image, which is the patient's left; y
down), depths and path lengths in cm.
"""

import math
from collections.abc import Callable, Iterable, Sequence
from dataclasses import replace

import torch
from torch import Tensor
from torch.nn.functional import avg_pool2d

from medgan_course.data.phantom.common import (
    Phantoms,
    Subjects,
    bump,
    bytes_of,
    checked,
    grid,
    lesion_rows,
    numbered,
    outline_columns,
    outlined,
    whole,
)
from medgan_course.data.phantom.xray import attenuation, ellipsoid, transmission
from medgan_course.data.scale import GREY
from medgan_course.errors import CourseError

CLASSES = ("normal", "pneumonia")
CONTRASTS = ("xray",)
TISSUES = ("air", "body", "lung", "heart")
LESION_COLUMNS = (*outline_columns(2), "kind")
# Those of ChestMNIST. Atelectasis, fibrosis, pleural thickening and hernia leave no trace in the image.
FINDINGS = (
    "atelectasis", "cardiomegaly", "effusion", "infiltration", "mass", "nodule", "pneumonia", "pneumothorax",
    "consolidation", "edema", "emphysema", "fibrosis", "pleural", "hernia",
)  # fmt: skip
PNEUMONIA = FINDINGS.index("pneumonia")

ENERGY = 60  # keV
PHOTONS = 20_000.0  # per pixel at 64 px, before the patient
CHUNK = 16  # subjects at a time: the maps of one chunk stay in a core's cache


def phantoms(
    subjects: Iterable[int],
    *,
    size: int,
    seed: int,
    labels: Iterable[int] | None = None,
    contrasts: Sequence[str] = CONTRASTS,
    device: torch.device | str | None = None,
    findings: Iterable[Iterable[int]] | None = None,
) -> Phantoms:
    """Compute a chest X-ray of every subject.

    Parameters
    ----------
    subjects, size, seed, labels, contrasts, device
        As of all families; see :mod:`medgan_course.data.phantom.common`.
    findings : sequence of sequence of int, optional
        Instead of ``labels``, 1 or 0 for each of :data:`FINDINGS`, a row for each subject. Atelectasis,
        fibrosis, pleural thickening and hernia leave no trace; cardiomegaly, pneumothorax and emphysema
        change the anatomy but fill no lung; the others do.

    Returns
    -------
    Phantoms
        Labels are 1 with pneumonia, whatever else is found; all findings are in the facts.
        Grey levels of a film with an exposure of its own, bright where dense. A pixel's tissue is heart (with
        the mediastinum), else lung, else body or air. ``lesion`` is lung of which a fifth or more is filled.
        The table has a row for every shadow with a place: each patch of a pneumonia, an infiltration or a
        consolidation, each wing of an edema, nodule, mass and effusion; kind is a position in
        :data:`FINDINGS`. ``severity`` is the mean share of the lungs that is filled.
        Facts: ``"findings"`` ``(N, 14)``, ``"opacity"`` ``(N, 1, size, size)``, the filled share of the lung
        along a ray, and ``"thickness"`` ``(N, 3, size, size)`` of soft tissue, lung and bone (cm).
    """
    asked = checked(
        "chest", subjects, size=size, seed=seed, labels=labels, classes=CLASSES,
        contrasts=contrasts, known=CONTRASTS, device=device,
    )  # fmt: skip
    if labels is not None and findings is not None:
        raise CourseError("Both labels and findings are given: leave one of them out.")
    if findings is None:
        rows = torch.zeros(len(asked), len(FINDINGS), dtype=torch.long)
        rows[:, PNEUMONIA] = torch.tensor(asked.labels)
    else:
        rows = _rows(findings, len(asked))
        asked = replace(asked, labels=rows[:, PNEUMONIA].tolist())
    return asked.phantoms(_part, CHUNK, rows)


def _rows(findings: Iterable[Iterable[int]], n: int) -> Tensor:
    """Return findings as int64 ``(n, 14)``."""
    rows = [[whole("Finding", one) for one in row] for row in findings]
    if len(rows) != n or any(len(row) != len(FINDINGS) or not set(row) <= {0, 1} for row in rows):
        raise CourseError(
            f"{n} subjects need as many rows of findings, each with {len(FINDINGS)} zeros or ones."
        )
    return torch.tensor(rows)


def render(labels: Sequence[int], *, size: int, seed: int, first: int = 0) -> Tensor:
    """Compute what stands in for PneumoniaMNIST: an X-ray for each label, 0 normal, 1 pneumonia."""
    made = phantoms(numbered(labels, first), size=size, seed=seed, labels=labels)
    return bytes_of(made.images["xray"])


def render_findings(labels: Sequence[Sequence[int]], *, size: int, seed: int, first: int = 0) -> Tensor:
    """Compute what stands in for ChestMNIST: an X-ray for each row of 0 and 1, one for each finding."""
    made = phantoms(numbered(labels, first), size=size, seed=seed, findings=labels)
    return bytes_of(made.images["xray"])


def _part(own: Subjects, labels: Tensor, findings: Tensor, size: int, contrasts: Sequence[str]) -> Phantoms:
    n, uniform, device = len(own), own.uniform, own.device
    # Ribs are thinner than a pixel of a small image: it is the average of a finer one, as on a detector.
    factor = 1 if size >= 48 else 2
    side = size * factor
    present = findings.float()

    def has(name: str) -> Tensor:
        return present[:, FINDINGS.index(name)].view(n, 1, 1)

    u, v = grid(side, 2.0, device=device)
    angle, scale = uniform(-1, 1) ** 3 * 0.16, uniform(0.86, 1.1)
    u, v = u * scale + uniform(-0.09, 0.09), v * scale + uniform(-0.1, 0.1)
    x, y = u * angle.cos() - v * angle.sin(), u * angle.sin() + v * angle.cos()
    fine, coarse = own.field(2, 0.12, side, 2.0).mul(0.85).unbind(1)
    centre, slope = uniform(1.55, 2.15), uniform(0.85, 1.6)
    paths, opacity, lungs, heart, body, shadows = _anatomy(uniform, x, y, fine, coarse, has)

    images = {}
    if "xray" in contrasts:
        mu = torch.tensor(
            [attenuation(ENERGY)[name] for name in ("soft tissue", "lung", "bone")], device=device
        )
        photons = PHOTONS * (64 / side) ** 2
        counts = photons * transmission(torch.einsum("k,nkhw->nhw", mu, paths))
        # Poisson counts, which are nearly Gaussian at hundreds of photons a pixel.
        counts = (counts + counts.sqrt() * own.stream(1).normal(side, side)).clamp_min_(1)
        film = torch.sigmoid((torch.log(photons / counts) - centre) * slope)
        images["xray"] = avg_pool2d(film[:, None], factor) * 2 - 1

    inside = (body > 0) | lungs | heart
    regions = torch.stack([~inside, inside & ~lungs & ~heart, lungs, heart], dim=1).float()
    regions, opacity, paths = (avg_pool2d(maps, factor) for maps in (regions, opacity[:, None], paths))
    lesion = opacity >= 0.2
    table = [
        lesion_rows(*outlined(where & lungs, 1.0), labels.new_full((n, 1), kind)) for kind, where in shadows
    ]
    lung = regions[:, 2].sum(dim=(1, 2)).clamp_min(1)
    return Phantoms(
        images=images,
        scales={name: GREY for name in images},
        tissue_names=TISSUES,
        tissues=regions,
        lesion=lesion,
        lesion_columns=LESION_COLUMNS,
        lesions=torch.cat(table, dim=1),
        labels=labels,
        severity=(opacity[:, 0].sum(dim=(1, 2)) / lung).clamp(0, 1),
        subject=own.numbers,
        seed=own.seed,
        facts={"findings": findings, "opacity": opacity, "thickness": paths},
    )


def _anatomy(
    uniform: Callable[[float, float], Tensor],
    x: Tensor,
    y: Tensor,
    fine: Tensor,
    coarse: Tensor,
    has: Callable[[str], Tensor],
) -> tuple[Tensor, Tensor, Tensor, Tensor, Tensor, list[tuple[int, Tensor]]]:
    """Return path lengths (cm) through soft tissue, lung and bone ``(n, 3, s, s)``, and maps ``(n, s, s)``.

    The maps: the share of lung that is filled, where lungs and heart are seen, the body's depth, and for
    every shadow its finding and where it is drawn.
    """
    emphysema = has("emphysema")
    x = x + uniform(-0.05, 0.05) * (y + 0.3)  # the spine is never quite straight
    across = x.abs()
    left = x > 0  # the patient's left, on the right of the image

    # The chest cavity: apex, lateral wall, and the domes of the diaphragm, each side its own.
    apex = torch.where(left, uniform(-0.74, -0.6), uniform(-0.74, -0.6))
    base = torch.where(left, uniform(0.42, 0.66), uniform(0.38, 0.6)) + 0.12 * emphysema
    wall = torch.where(left, uniform(0.8, 0.96), uniform(0.8, 0.96))
    tau = (y - apex) / (0.6 - apex)
    lateral = 0.3 + (wall - 0.3) * (1 - (1 - tau.clamp(0, 1)) ** uniform(2.0, 2.8))
    medial = 0.3 * (1 - (tau / 0.22).clamp(0, 1)) ** 2
    q = (across - medial) / (lateral - medial)
    rounded = (1 - (1 - (tau / 0.2).clamp(0, 1)) ** 2).sqrt()
    dome = base + uniform(0.5, 1.2) * (1 - 0.7 * emphysema) * (across - uniform(0.3, 0.45)) ** 2
    above = torch.sigmoid((dome - y) / 0.022)
    cavity = uniform(9.5, 12.0) * (1 - q.clamp(0, 1) ** 3.2).clamp_min(0).sqrt() * rounded * above
    cavity = cavity * (0.75 + 0.25 * (tau * 2).clamp(0, 1))

    # What fills it beside the lungs: heart, mediastinum with the thymus, hila.
    tilt, large = uniform(0.35, 0.8), 1 + uniform(0.22, 0.5) * has("cardiomegaly")
    hx, hy = x - uniform(0.1, 0.2), y - base + uniform(0.17, 0.27)
    heart = ellipsoid(
        hx * tilt.cos() + hy * tilt.sin(),
        hy * tilt.cos() - hx * tilt.sin(),
        uniform(0.34, 0.47) * large,
        uniform(0.25, 0.33) * large,
        uniform(3.8, 5.4),
    )
    half = uniform(0.12, 0.19) + uniform(0, 0.09) * bump((y + 0.45) / 0.22)
    mediastinum = 14 * torch.sigmoid((half - (x - uniform(-0.03, 0.03)).abs()) / 0.035)
    hila = uniform(2, 4.5) * bump((across - 0.24) / 0.1) * bump((y + uniform(-0.02, 0.12)) / 0.17)
    air = (cavity - heart - mediastinum - hila).clamp_min(0)
    lung_field = cavity > heart + mediastinum + 0.8
    vessels = (0.1 * fine + 0.06 * coarse) * torch.exp(-across / 0.9)
    aerated = (1 - vessels - uniform(0.0, 0.12) * (1 - emphysema)).clamp(0, 1)
    # Air beside a collapsed lung: no vessels in it, and the pleura a fine line.
    side, width = uniform(0, 1) < 0.5, uniform(0.25, 0.5)
    edge = q - (1 - width * (1.25 - tau.clamp(0, 1.2)).sqrt()) + 0.03 * coarse
    free = torch.sigmoid(edge / 0.015) * (left == side) * has("pneumothorax") * (q > 0)
    line = 0.12 * bump(edge / 0.03) * (left == side) * has("pneumothorax") * lung_field
    aerated = aerated + (1 - aerated) * free - 0.22 * (1 - free) * (left == side) * has("pneumothorax")
    opacity, shadows = _opacity(uniform, q, tau, x, y, left, dome, coarse, has)
    opacity = torch.where(lung_field, opacity * (1 - free), 0.0)
    air = air * (aerated * (1 - opacity) - line).clamp(0, 1)

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
    clavicles = uniform(0.5, 1.0) * bump(collar / 0.03) * torch.sigmoid((across - 0.1) / 0.02)
    clavicles = clavicles * torch.sigmoid((0.7 - across) / 0.04)
    joints = 0.7 * bump((across - uniform(0.86, 0.98)) / 0.1) * bump((y + uniform(0.62, 0.74)) / 0.13)
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
    arms = uniform(1, 5) * bump((across - uniform(1.0, 1.25)) / 0.2) * bump((y + 0.9) / 0.8)
    chin = ellipsoid(x - uniform(-0.1, 0.1), y + uniform(1.08, 1.55), uniform(0.34, 0.45), 0.36, 4.0)
    windpipe = 1.1 * bump(x / 0.045) * torch.sigmoid((uniform(-0.3, -0.2) - y) / 0.03)
    gas = ellipsoid(
        x - uniform(0.3, 0.55),
        y - base - uniform(0.12, 0.3),
        uniform(0.14, 0.3),
        0.16,
        uniform(-3, 2).clamp_min(0),
    )
    soft = (trunk + arms + chin - air - windpipe - gas - bone).clamp_min(0)
    heart = (heart > 0.5) | (mediastinum > 4) & (y < base)
    lungs = lung_field & ~heart
    return (
        torch.stack([soft, air, bone], dim=1),
        torch.where(lungs, opacity, 0.0),
        lungs,
        heart,
        trunk + arms + chin,
        [(kind, where & (free < 0.5)) for kind, where in shadows],
    )


def _opacity(
    uniform: Callable[[float, float], Tensor],
    q: Tensor,
    tau: Tensor,
    x: Tensor,
    y: Tensor,
    left: Tensor,
    dome: Tensor,
    texture: Tensor,
    has: Callable[[str], Tensor],
) -> tuple[Tensor, list[tuple[int, Tensor]]]:
    """Return the share of lung filled with fluid or tissue, 0 without findings, and the shadows' outlines."""
    shadows: list[tuple[int, Tensor]] = []

    def shadow(name: str, inside: Tensor) -> None:
        shadows.append((FINDINGS.index(name), inside & (has(name) > 0)))

    def patches(name: str, count: int, radius: Tensor, dense: Tensor, edges: tuple[float, float]) -> Tensor:
        clear = torch.ones_like(q)
        for _ in range(count):
            on_left = uniform(0, 1) > 0.5
            away = ((q - uniform(0.3, 0.9)) ** 2 + (tau - uniform(0.2, 0.95)) ** 2).sqrt() / radius
            spot = torch.sigmoid((1 + 0.25 * texture - away) / uniform(*edges))
            clear = clear * (1 - dense * (left == on_left) * spot)
            shadow(name, (left == on_left) & (spot > 0.5) & (dense > 0))
        return 1 - clear

    # Pneumonia: one lobe, scattered patches or a haze.
    kind = uniform(0, 1)
    lobar, patchy = kind < 0.35, (kind >= 0.35) & (kind < 0.75)
    haze = torch.where(lobar, 0.25, torch.where(patchy, 0.35, 0.6)) * uniform(0.3, 1.0)
    lobe = patches(
        "pneumonia",
        1,
        torch.where(lobar, uniform(0.3, 0.55), 0.2),
        torch.where(lobar, uniform(0.6, 0.95), 0.5),
        (0.12, 0.45),
    )
    spots = patches("pneumonia", 4, uniform(0.12, 0.26), uniform(0.35, 0.8) * ~lobar, (0.12, 0.45))
    clear = 1 - (1 - (1 - haze) * (1 - lobe) * (1 - spots)) * has("pneumonia")

    name = "infiltration"
    clear = clear * (1 - patches(name, 4, uniform(0.15, 0.3), uniform(0.2, 0.5), (0.25, 0.5)) * has(name))
    name = "consolidation"
    clear = clear * (1 - patches(name, 1, uniform(0.3, 0.5), uniform(0.75, 0.97), (0.08, 0.2)) * has(name))
    wings = bump((q - 0.32) / 0.33) * bump((tau - 0.6) / 0.45) * (0.75 + 0.25 * texture).clamp(0, 1)
    clear = clear * (1 - uniform(0.4, 0.75) * wings * has("edema"))
    for side in (left, ~left):
        shadow("edema", side & (wings > 0.5))
    # A round shadow fills the share of the lung's depth that the ball takes of it.
    for name, low, high in (("nodule", 0.04, 0.075), ("mass", 0.11, 0.22)):
        sign = torch.where(uniform(0, 1) < 0.5, -1.0, 1.0)
        radius = uniform(low, high)
        ball = ellipsoid(x - sign * uniform(0.32, 0.62), y - uniform(-0.35, 0.25), radius, radius, 0.5)
        clear = clear * (1 - (0.35 + 2 * radius).clamp_max(0.7) * ball * has(name))
        shadow(name, ball > 0)
    # Fluid gathers at the base and climbs the wall.
    lower, level = uniform(0, 1) < 0.5, uniform(0.06, 0.4)
    meniscus = y - dome + level + 0.3 * q.clamp(0, 1) ** 4
    fluid = torch.sigmoid(meniscus / 0.025) * (left == lower)
    shadow("effusion", fluid > 0.5)
    return 1 - clear * (1 - 0.96 * fluid * has("effusion")), shadows
