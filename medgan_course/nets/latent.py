"""Latent vectors: what a generator starts from."""

import torch
from torch import Tensor, nn

from medgan_course import draws


def normal(net: nn.Module, n: int, z_dim: int, *, seed: int | None = None) -> Tensor:
    """Draw ``n`` latent vectors from N(0, I) on the device of a network.

    Parameters
    ----------
    net : nn.Module
        The generator they are for.
    n : int
        Number of vectors.
    z_dim : int
        Length of each.
    seed : int, optional
        Repeats them, and leaves the global random state alone. Without it they come from
        :mod:`~medgan_course.draws`, as everything that a training draws.

    Returns
    -------
    Tensor
        float32 ``(n, z_dim)``.
    """
    device = next(net.parameters()).device
    if seed is None:
        return draws.normal(n, z_dim, device=device)
    # Drawn on the CPU, so that a seed means the same images on every device.
    return torch.randn(n, z_dim, generator=torch.Generator().manual_seed(seed)).to(device)
