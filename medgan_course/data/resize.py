"""Smaller images by averaging."""

import torch
from torch import Tensor


def area(images: Tensor, size: int) -> Tensor:
    r"""Return images whose pixels are the means of the areas they cover.

    .. math:: y_{ij} = \sum_{kl} A^{(H)}_{ik} A^{(W)}_{jl}\, x_{kl}, \qquad
              A^{(n)}_{ik} = \tfrac{s}{n}\,\bigl|[i\tfrac{n}{s}, (i+1)\tfrac{n}{s}] \cap [k, k+1]\bigr|

    with ``n`` pixels before, :math:`s` after. An input pixel that lies in two output pixels counts in each by
    its share, so the mean of the image stays; torch's ``interpolate(mode="area")`` counts it fully in both.

    Parameters
    ----------
    images : Tensor
        ``(N, C, H, W)`` or ``(N, C, D, H, W)``; a volume has a third factor for its depth.
    size : int
        Side of the result, at most that of the images.

    Returns
    -------
    Tensor
        ``(N, C, size, size)`` or ``(N, C, size, size, size)``, in the images' range.
    """
    for axis in range(2, images.ndim):
        shares = _shares(images.shape[axis], size).to(images)
        images = (images.movedim(axis, -1) @ shares.T).movedim(-1, axis)
    return images.contiguous()


def _shares(n: int, size: int) -> Tensor:
    edges = torch.arange(size + 1, dtype=torch.float64) * n / size
    pixel = torch.arange(n, dtype=torch.float64)
    overlap = torch.minimum(edges[1:, None], pixel + 1) - torch.maximum(edges[:-1, None], pixel)
    return overlap.clamp_min(0) * size / n
