r"""Directions in latent space along which a property of the images changes, and how far it really does.

A generator's latent vector has no axis called "pneumonia". Linear regression finds one (Jahanian, Chai &
Isola 2020 and Shen et al. 2020 do the like): draw vectors :math:`z`, make the images, measure the property
:math:`y`, and fit

.. math:: y\approx b+w^\top z .

Along :math:`w` the property changes most, by the fit. What it really does is measured by :func:`response`.

The properties here are simple ones of frontal chest X-rays framed as in PneumoniaMNIST; any function from
images to numbers serves as well, a classifier's logit for instance.
"""

from collections.abc import Callable, Sequence

import torch
from torch import Tensor, nn

from medgan_course.errors import CourseError
from medgan_course.metrics.features import FeatureNet, features

# Parts of the frame, as shares of its height and width: (top, bottom, left, right).
LUNGS = ((0.25, 0.6875, 0.09375, 0.375), (0.25, 0.6875, 0.625, 0.90625))
MEDIASTINUM = (0.25, 0.6875, 0.421875, 0.578125)
CHEST = (0.125, 0.875, 0.0625, 0.9375)
AIR = 0.35  # this much darker than the mediastinum, in grey values of [-1, 1]


def _part(images: Tensor, place: tuple[float, float, float, float]) -> Tensor:
    height, width = images.shape[2:]
    top, bottom, left, right = place
    rows = slice(round(top * height), round(bottom * height))
    return images[:, 0, rows, round(left * width) : round(right * width)].flatten(1)


def lung_brightness(images: Tensor) -> Tensor:
    """Return the mean grey value of two rectangles in which the lungs mostly lie.

    Parameters
    ----------
    images : Tensor
        Frontal chest X-rays ``(N, 1, H, W)`` in [-1, 1].

    Returns
    -------
    Tensor
        ``(N,)`` in [-1, 1]; fluid brightens lungs, and so does exposure.
    """
    return torch.cat([_part(images, lung) for lung in LUNGS], 1).mean(1)


def air(images: Tensor) -> Tensor:
    r"""Return how much of the chest is dark: the size of the lung fields, as far as they hold air.

    .. math:: \frac{1}{|C|}\,\bigl|\{p\in C: x_p<\bar x_M-0.35\}\bigr|

    with the grey values :math:`x_p` of the frame's inner part :math:`C` and their mean :math:`\bar x_M` in
    the mediastinum, a rectangle between the lungs. An offset of all grey values changes nothing.

    Parameters
    ----------
    images : Tensor
        Frontal chest X-rays ``(N, 1, H, W)`` in [-1, 1].

    Returns
    -------
    Tensor
        ``(N,)`` in [0, 1].
    """
    between = _part(images, MEDIASTINUM).mean(1, keepdim=True)
    return (_part(images, CHEST) < between - AIR).float().mean(1)


def chest_properties(witness: FeatureNet) -> Callable[[Tensor], Tensor]:
    r"""Return the function from chest X-rays ``(N, 1, H, W)`` to three properties ``(N, 3)``.

    They are the witness's log-odds of its class 1 against its class 0, which in PneumoniaMNIST is pneumonia
    against none, :math:`\log\bigl(P(1\mid x)/P(0\mid x)\bigr)`; :func:`lung_brightness`; and :func:`air`.
    """

    def measure(images: Tensor) -> Tensor:
        normal, ill = witness.label(features(witness, images)).unbind(1)
        return torch.stack([ill - normal, lung_brightness(images), air(images)], 1)

    return measure


def directions(z: Tensor, properties: Tensor) -> Tensor:
    r"""Return for each property the direction that changes it and, by the fit, none of the others.

    With the slopes :math:`w_i` of the linear fits, that is what is left of :math:`w_i` when its parts along
    the other slopes are taken away (the conditional manipulation of Shen et al. 2020),

    .. math:: d_i=\frac{v_i}{\|v_i\|}, \qquad v_i=w_i-P_{\{w_j:\,j\ne i\}}\,w_i ,

    where :math:`P` projects on what the other slopes span. A single property keeps its slope.

    Parameters
    ----------
    z : Tensor
        Latent vectors ``(n, z_dim)`` of N(0, I), several times as many as they are long.
    properties : Tensor
        ``(n, k)``: what was measured on their images.

    Returns
    -------
    Tensor
        ``(k, z_dim)``, of length 1.

    Raises
    ------
    CourseError
        If there are too few vectors for a fit, or two properties that no direction tells apart.
    """
    n, z_dim = z.shape
    if n <= z_dim + 1 or len(properties) != n:
        raise CourseError(
            f"Directions in {z_dim} dimensions need as many rows of properties as vectors, and more than "
            f"{z_dim + 1} of both: not {len(properties)} and {n}."
        )
    # Each property in its own standard deviations, so that none is small beside another.
    spread = properties.std(0)
    scaled = (properties - properties.mean(0)) / spread.clamp_min(1e-12)
    design = torch.cat([z, z.new_ones(n, 1)], 1)
    slopes = torch.linalg.lstsq(design, scaled).solution[:-1].T
    if torch.linalg.matrix_rank(slopes, rtol=1e-4) < len(slopes):
        raise CourseError("Two of the properties are one, or one never changes: leave it out.")
    # Row i of the transposed pseudo-inverse is orthogonal to every slope but the i-th.
    found = torch.linalg.pinv(slopes).T
    return found / found.norm(dim=1, keepdim=True)


@torch.no_grad()
def response(
    generator: nn.Module,
    measure: Callable[[Tensor], Tensor],
    z: Tensor,
    direction: Tensor,
    positions: Sequence[float],
) -> Tensor:
    r"""Return what ``measure`` finds on the images :math:`G(z+s\,d)`, for each position :math:`s`.

    Parameters
    ----------
    generator : nn.Module
        Maps ``(n, z_dim)`` to images, in evaluation mode.
    measure : callable
        Maps images ``(n, C, H, W)`` to ``(n, k)``.
    z : Tensor
        Latent vectors ``(n, z_dim)``: others than those that the direction was found with.
    direction : Tensor
        :math:`d`, ``(z_dim,)``, of length 1, so that :math:`s` counts standard deviations of z.
    positions : sequence of float
        The values of :math:`s`.

    Returns
    -------
    Tensor
        ``(len(positions), n, k)``.
    """
    return torch.stack(
        [torch.cat([measure(generator(part)) for part in (z + s * direction).split(256)]) for s in positions]
    )
