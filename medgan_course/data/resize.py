"""Smaller images by averaging."""

import torch
from torch import Tensor

from medgan_course.data.axes import along_axes
from medgan_course.errors import CourseError


def area(images: Tensor, size: int) -> Tensor:
    r"""Return images whose pixels are the means of the areas they cover.

    .. math:: y_{ij} = \sum_{kl} A^{(H)}_{ik} A^{(W)}_{jl}\, x_{kl}, \qquad
              A^{(n)}_{ik} = \tfrac{s}{n}\,\bigl|[i\tfrac{n}{s}, (i+1)\tfrac{n}{s}] \cap [k, k+1]\bigr|

    with ``n`` pixels before, :math:`s` after. An input pixel that lies in two output pixels counts in each by
    its share, so the mean of the image stays; torch's ``interpolate(mode="area")`` counts it fully in both.

    Parameters
    ----------
    images : Tensor
        Floating ``(N, C, H, W)`` or ``(N, C, D, H, W)``; a volume has a third factor for its depth.
    size : int
        Side of the result, at most that of the images.

    Returns
    -------
    Tensor
        ``(N, C, size, size)`` or ``(N, C, size, size, size)``, in the images' range.

    Raises
    ------
    CourseError
        If the images have other axes or whole numbers (convert them with ``.float()``), or for no pixels.
    """
    if size < 1:
        raise CourseError(f"Images of size={size!r} have no pixels: choose 1 or more.")
    return along_axes(images, (_shares(side, size) for side in images.shape[2:]))


def _shares(n: int, size: int) -> Tensor:
    edges = torch.arange(size + 1, dtype=torch.float64) * n / size
    pixel = torch.arange(n, dtype=torch.float64)
    overlap = torch.minimum(edges[1:, None], pixel + 1) - torch.maximum(edges[:-1, None], pixel)
    return overlap.clamp_min(0) * size / n
