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
        ``(N, C, H, W)``.
    size : int
        Side of the result, at most that of the images.

    Returns
    -------
    Tensor
        ``(N, C, size, size)``, in the images' range.
    """
    rows, columns = (_shares(n, size) for n in images.shape[-2:])
    return (rows @ images @ columns.T).contiguous()


def _shares(n: int, size: int) -> Tensor:
    edges = torch.arange(size + 1, dtype=torch.float64) * n / size
    pixel = torch.arange(n, dtype=torch.float64)
    overlap = torch.minimum(edges[1:, None], pixel + 1) - torch.maximum(edges[:-1, None], pixel)
    return (overlap.clamp_min(0) * size / n).float()
