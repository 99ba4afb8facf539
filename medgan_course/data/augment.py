"""Augmentations that gradients pass through."""

import torch
from torch import Tensor
from torch.nn.functional import pad

from medgan_course import draws


def diff_augment(
    images: Tensor, *, shift: float = 0.06, brightness: float = 0.1, contrast: float = 0.15
) -> Tensor:
    """Shift and re-grade every image by its own random amounts (DiffAugment, Zhao et al. 2020).

    Applied to real *and* generated images before the discriminator, it keeps a discriminator from memorising
    a few thousand training images, and the augmentation itself does not leak into the generator.

    Parameters
    ----------
    images : Tensor
        ``(N, C, H, W)`` in [-1, 1].
    shift : float
        Largest displacement along each axis, as a share of the image side; the border is repeated.
    brightness : float
        Largest grey offset, uniform on both sides of zero.
    contrast : float
        Largest relative change of the contrast about the image's mean.

    Returns
    -------
    Tensor
        Same shape; values may leave [-1, 1] slightly.
    """
    n, _, height, width = images.shape

    def uniform(limit: float) -> Tensor:
        return draws.uniform(n, 1, 1, 1, low=-limit, high=limit, device=images.device)

    mean = images.mean(dim=(1, 2, 3), keepdim=True)
    images = (images - mean) * (1 + uniform(contrast)) + mean + uniform(brightness)

    dy, dx = round(shift * height), round(shift * width)
    padded = pad(images, (dx, dx, dy, dy), mode="replicate")

    def window(side: int, limit: int) -> Tensor:
        start = draws.integers(2 * limit + 1, n, 1, device=images.device)
        return start + torch.arange(side, device=images.device)

    rows, columns = window(height, dy), window(width, dx)
    each = torch.arange(n, device=images.device)[:, None, None]
    # Advanced indices around the channel slice move it last: (N, H, W, C).
    return padded[each, :, rows[:, :, None], columns[:, None, :]].movedim(-1, 1)
