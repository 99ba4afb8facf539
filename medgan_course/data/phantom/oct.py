r"""OCT of the back of the eye, computed: the layers of the retina around the fovea, well and ill.

Layers lie between the inner limiting membrane, at height :math:`y_i(x)`, and the pigment epithelium, at
:math:`y_r(x)`, at fixed shares of the distance between them; in the foveal pit the inner layers give way.
Drusen lift the epithelium in small bumps, a neovascular membrane in a large uneven one with fluid beside it;
in diabetic macular oedema the retina is swollen and full of cysts. Every layer has a reflectivity :math:`E`
in dB, speckle is the mean of three exponentially distributed powers, and the display is logarithmic:

.. math:: L = 10\,\log_{10}\bigl(10^{E/10} + \epsilon\bigr) + 10\,\log_{10}\frac{1}{6}\sum_{k=1}^6 n_k^2,
    \qquad n_k \sim N(0, 1),

with the detector's noise power :math:`\epsilon`. Vessels cast shadows.

Reflectivities are plausible values without a source. The phantom has the layout of OCTMNIST, and nothing else
of it: no result on it says anything about patients.

Positions are in image sides: x to the right, y down; in the table of lesions from the middle.
"""

import math
from collections.abc import Iterable, Sequence

import torch
from torch import Tensor
from torch.nn.functional import avg_pool2d

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

CLASSES = ("choroidal neovascularization", "diabetic macular edema", "drusen", "normal")
CONTRASTS = ("oct",)
LESION_COLUMNS = ("present", "x", "y", "radius_x", "radius_y")
# Reflectivity in dB, in the order in which tissues cover each other.
ECHO = {
    "exudate": -4.0, "fluid": -33.0, "membrane": -13.0, "drusen": -15.0, "pigment epithelium": 0.0,
    "ellipsoid zone": -4.0, "nerve fibres": -4.0, "inner plexiform": -11.0, "inner nuclear": -17.0,
    "outer plexiform": -10.0, "outer nuclear": -20.0, "interdigitation": -12.0, "choroid": -13.0,
    "vitreous": -36.0,
}  # fmt: skip
TISSUES = tuple(ECHO)
(
    EXUDATE, FLUID, MEMBRANE, DRUSEN, EPITHELIUM, ELLIPSOID, FIBRES, PLEXIFORM, NUCLEAR, OUTER_PLEXIFORM,
    OUTER_NUCLEAR, INTERDIGITATION, CHOROID, VITREOUS,
) = range(len(TISSUES))  # fmt: skip

CHUNK = 16  # subjects at a time
FINE = 128  # the least side of the grid on which layers are painted
BUMPS = 9
HALF = 2 * math.log(2) ** 0.5  # full width at half of the height of a bump, in its 1/e half widths
CYSTS = 14


def phantoms(
    subjects: Iterable[int],
    *,
    size: int,
    seed: int,
    labels: Iterable[int] | None = None,
    contrasts: Sequence[str] = CONTRASTS,
    device: torch.device | str | None = None,
) -> Phantoms:
    """Compute one scan of every subject.

    Parameters are those of all families (:mod:`medgan_course.data.phantom.common`).

    Returns
    -------
    Phantoms
        Grey levels. ``lesion`` is drusen, membrane, fluid and exudates; the lesion table gives the centre and
        the semi-axes of every druse, membrane or cyst, of the first two half the width at half their height;
        ``severity`` is drawn for the ill and 0 for the well.
    """
    asked = checked(
        "eye", subjects, size=size, seed=seed, labels=labels, classes=CLASSES,
        contrasts=contrasts, known=CONTRASTS, device=device,
    )  # fmt: skip
    return asked.phantoms(_part, CHUNK)


def render(labels: Sequence[int], *, size: int, seed: int, first: int = 0) -> Tensor:
    """Compute what stands in for OCTMNIST: a scan for each label."""
    return bytes_of(phantoms(numbered(labels, first), size=size, seed=seed, labels=labels).images["oct"])


def _part(own: Subjects, labels: Tensor, size: int, contrasts: Sequence[str]) -> Phantoms:
    n, uniform, device = len(own), own.uniform, own.device
    factor = fineness(size, FINE)
    side = size * factor
    x, y = (place + 0.5 for place in grid(side, 1.0, device=device))
    neovascular, oedema, drusen = ((labels == k).view(n, 1, 1) for k in range(3))
    severity = uniform(0.15, 1.0)
    coarse, fine = own.field(3, 0.25, side, 1.0), own.field(2, 0.035, side, 1.0)

    # The surfaces: Bruch's membrane, the pigment epithelium on it, and the inner limiting membrane.
    bruch = uniform(0.56, 0.74) + uniform(-0.16, 0.16) * (x - 0.5) + uniform(-0.1, 0.25) * (x - 0.5) ** 2
    bruch = bruch + 0.006 * coarse[:, 0, :1]
    fovea, pit = uniform(0.35, 0.65), uniform(0.8, 1.0)
    pit = pit * bump((x - fovea) / uniform(0.08, 0.13))
    raised, rows = torch.zeros_like(bruch), []
    for k in range(BUMPS):
        place, width = uniform(0.1, 0.9), uniform(0.014, 0.036)
        height = (
            uniform(0.018, 0.036)
            * (0.5 + severity)
            * (drusen & (uniform(0, 1) < 0.3 + 0.7 * severity) | drusen & (k < 3))
        )
        raised = torch.maximum(raised, height * bump((x - place) / width))
        rows.append([height > 0, place, _height(bruch, place) - height / 2, HALF * width, height])
    place, width = fovea + uniform(-0.15, 0.15), uniform(0.07, 0.17)
    height = uniform(0.05, 0.13) * (0.5 + 0.6 * severity) * neovascular
    uneven = (1 + 0.35 * coarse[:, 1, :1] + 0.12 * fine[:, 0, :1]).clamp_min(0)
    raised = torch.maximum(raised, height * bump((x - place) / width) * uneven)
    rows[0] = [torch.where(neovascular, new, old) for new, old in zip(
        (neovascular, place, _height(bruch, place) - height / 2, HALF * width, height), rows[0],
        strict=True)]  # fmt: skip
    epithelium = bruch - raised
    # Fluid under the retina, beside a membrane or in oedema.
    wet = torch.where(neovascular, (uniform(0, 1) < 0.7).float(), (uniform(0, 1) < 0.3).float() * oedema)
    at = torch.where(neovascular, place + torch.where(uniform(0, 1) < 0.5, -1.0, 1.0) * width * 1.5, fovea)
    pool = wet * severity * uniform(0.03, 0.085) * bump((x - at) / uniform(0.09, 0.18)) ** 0.7
    floor = epithelium - pool
    thick = uniform(0.2, 0.29) * (1 + 0.05 * coarse[:, 2, :1])
    swollen = 1 + severity * (uniform(0.15, 0.9) * oedema + uniform(0.0, 0.3) * neovascular) * bump(
        (x - fovea) / uniform(0.2, 0.4)
    )
    open_ = pit * (
        1 - torch.where(oedema | neovascular, severity * uniform(0.5, 1.0), torch.zeros_like(severity))
    )
    # The retina gives way a little to what is under it.
    yielding = raised * torch.where(drusen, uniform(0.5, 0.8), uniform(0.05, 0.35))
    inner = floor + yielding - thick * swollen * (1 - 0.5 * open_)
    share = (y - inner) / (floor - inner)
    share = share + 0.012 * fine[:, 1]

    painted = torch.full((n, side, side), VITREOUS, dtype=torch.uint8, device=device)
    paint(painted, y > epithelium, CHOROID)
    spread = 1 - 0.8 * open_
    retina = (y > inner) & (y < floor)
    for below, tissue in (
        (0.11 * spread * (1 - 0.5 * (x - 0.5).abs()), FIBRES), (0.33 * spread, PLEXIFORM),
        (0.45 * spread, NUCLEAR),
        (0.51 * spread, OUTER_PLEXIFORM), (torch.full_like(spread, 0.8), OUTER_NUCLEAR),
    ):  # fmt: skip
        paint(painted, retina & (share < below), tissue)
    paint(painted, retina & (share > 0.8) & (share < 0.86), ELLIPSOID)
    paint(painted, retina & (share >= 0.86), INTERDIGITATION)
    paint(painted, (y > epithelium - 0.008) & (y < epithelium + uniform(0.012, 0.02)), EPITHELIUM)
    under = (y > epithelium + 0.009) & (y < bruch)
    paint(painted, under & drusen, DRUSEN)
    paint(painted, under & neovascular, MEMBRANE)
    paint(painted, (y >= floor) & (y < epithelium - 0.008), FLUID)
    cysts = []
    for k in range(CYSTS):
        there = (
            oedema & (uniform(0, 1) < 0.3 + 0.7 * severity)
            | oedema & (k < 3)
            | neovascular & (uniform(0, 1) < 0.2)
        )
        cx, level = fovea + 0.2 * uniform(-1, 1), uniform(0.25, 0.72)
        a = uniform(0.014, 0.055) * (0.5 + 0.7 * severity)
        b = a * uniform(0.7, 1.5)
        near = (y - inner - level * (floor - inner)) / b
        cyst = there & (((x - cx) / a) ** 2 + near**2 < 1) & retina & (share > 0.1) & (share < 0.8)
        paint(painted, cyst, FLUID)
        cysts.append([there, cx, _height(inner + level * (floor - inner), cx), 2 * a, 2 * b])
    spots = retina & (fine[:, 0] > 2.2) & (share > 0.3) & (share < 0.78)
    paint(painted, spots & (oedema | neovascular) & ((x - fovea).abs() < 0.35), EXUDATE)
    tissues = shares(painted, len(TISSUES), factor)

    images = {}
    if "oct" in contrasts:
        echo = torch.tensor(list(ECHO.values()), device=device)[painted.long()]
        # The choroid: vessels in it, and light that fades out below.
        under = (y - epithelium).clamp_min(0)
        deep = painted == CHOROID
        echo = echo + deep * (5 * (fine[:, 1] + 0.7 * coarse[:, 2]).clamp(-1.5, 1) - under * uniform(45, 110))
        echo = echo - 7 * (painted == VITREOUS) * (0.5 + 0.5 * coarse[:, 1]).clamp(0, 1)
        light = torch.zeros_like(x)
        for _ in range(4):
            vessel = bump((x - uniform(0, 1)) / uniform(0.008, 0.02)) * torch.sigmoid(
                (y - inner - 0.03) / 0.01
            )
            light = light - uniform(2, 9) * vessel * (1 - pit)
        light = light + 2.0 * coarse[:, 0, :1] - 8 * (1.2 * raised + 0.6 * pool) * (y > epithelium)
        apart = own.stream(1)
        parts = apart.normal(6, side, side)
        speckle = 10 * torch.log10(parts.square().mean(dim=1).clamp_min(1e-3))
        # Light blurs the layers a little; the detector adds its own noise.
        power = avg_pool2d(
            (10 ** ((echo + light) / 10))[:, None], 3, stride=1, padding=1, count_include_pad=False
        )
        level = 10 * torch.log10(power[:, 0] + 10 ** (-apart.uniform(2.7, 3.3))) + speckle
        shown = (level + uniform(28, 31)) / uniform(29, 35)
        images["oct"] = avg_pool2d(shown.clamp(0, 1)[:, None], factor) * 2 - 1

    table = torch.cat(
        [
            lesion_rows(present, x0 - 0.5, y0 - 0.5, width / 2, height / 2)
            for present, x0, y0, width, height in rows + cysts
        ],
        dim=1,
    )
    diseased = tissues[:, [EXUDATE, FLUID, MEMBRANE, DRUSEN]].sum(dim=1, keepdim=True)
    return Phantoms(
        images=images,
        scales={name: GREY for name in images},
        tissue_names=TISSUES,
        tissues=tissues,
        lesion=diseased >= 0.5,
        lesion_columns=LESION_COLUMNS,
        lesions=table,
        labels=labels,
        severity=severity.view(n) * (labels < 3),
        subject=own.numbers,
        seed=own.seed,
    )


def _height(surface: Tensor, place: Tensor) -> Tensor:
    """Return the height ``(n, 1, 1)`` of a surface ``(n, 1 or s, s)`` at x = ``place``."""
    side = surface.shape[-1]
    column = (place * side).long().clamp(0, side - 1)
    return surface[:, :1].gather(2, column.expand(-1, 1, 1))
