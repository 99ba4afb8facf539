r"""Stains of a histological section: how they colour the light that passes, and how to tell them apart again.

Each stain absorbs red, green and blue in its own proportions, its stain vector, and by the law of Beer and
Lambert optical densities add up:

.. math::
    \mathrm{OD}_c = -\log_{10}\frac{I_c}{I_{0,c}} = \sum_s C_s M_{sc}

with the concentration :math:`C_s` of stain :math:`s` (times the thickness of the section), the stain vectors
as rows of :math:`M`, and the incident light :math:`I_0`. Brightness is therefore not linear in the stain,
and two stains together are darker than a mean of their colours.

Ruifrok & Johnston (2001), Quantification of histochemical staining by color deconvolution, Analytical and
Quantitative Cytology and Histology 23(4), 291-299; the numbers are those of scikit-image's ``rgb_from_hed``.
"""

import torch
from torch import Tensor

from medgan_course.errors import CourseError

HAEMATOXYLIN = (0.65, 0.70, 0.29)
EOSIN = (0.07, 0.99, 0.11)
DAB = (0.27, 0.57, 0.78)
DARKEST = 1e-6  # the share of light below which no concentration can be told


def absorb(concentrations: Tensor, stains: Tensor) -> Tensor:
    r"""Return the share of light that passes, :math:`I_c/I_{0,c} = 10^{-\sum_s C_s M_{sc}}`.

    Parameters
    ----------
    concentrations : Tensor
        ``(N, S, *space)``: :math:`C`, at least 0.
    stains : Tensor
        ``(S, 3)``, or ``(N, S, 3)`` for vectors that differ: :math:`M`.

    Returns
    -------
    Tensor
        ``(N, 3, *space)`` in (0, 1].
    """
    many = _many(stains, len(concentrations), concentrations.shape[1])
    density = torch.einsum("nsc,ns...->nc...", many.to(concentrations), concentrations)
    return torch.pow(10.0, -density)


def unmix(light: Tensor, stains: Tensor) -> Tensor:
    r"""Return the concentrations that explain the light, :math:`C = \mathrm{OD}\,M^{+}`.

    Colour deconvolution: with three stains the inverse of :math:`M`, with fewer its pseudo-inverse, which is
    the least-squares answer. Noise and other pigments make some negative.

    Parameters
    ----------
    light : Tensor
        ``(N, 3, *space)``: the share of light that passes; below :data:`DARKEST` it counts as that.
    stains : Tensor
        ``(S, 3)`` or ``(N, S, 3)``.

    Returns
    -------
    Tensor
        ``(N, S, *space)``.
    """
    if light.shape[1] != 3:
        raise CourseError(f"Stains are told apart by red, green and blue, not by {light.shape[1]} channels.")
    many = _many(stains, len(light), None)
    density = -torch.log10(light.clamp_min(DARKEST))
    return torch.einsum("ncs,nc...->ns...", torch.linalg.pinv(many.to(light)), density)


def _many(stains: Tensor, n: int, kinds: int | None) -> Tensor:
    """Return the stain vectors of every image ``(n, S, 3)``."""
    many = stains.expand(n, -1, -1) if stains.ndim == 2 else stains
    if many.ndim != 3 or len(many) != n or many.shape[2] != 3 or kinds not in (None, many.shape[1]):
        raise CourseError(
            f"Stain vectors {tuple(stains.shape)} do not fit {n} images"
            + (f" of {kinds} concentrations" if kinds else "")
            + ": give a row of red, green and blue for each stain, (S, 3) or (N, S, 3)."
        )
    return many
