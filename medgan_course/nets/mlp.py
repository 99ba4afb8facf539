"""Fully connected networks: points in the plane, latent codes, and images without convolutions.

The networks of the first GAN (Goodfellow et al. 2014) were of this kind. Their discriminator had maxout
units, ours has the LeakyReLU(0.2) that came later.
"""

from collections.abc import Sequence
from itertools import pairwise
from math import prod

from torch import Tensor, nn

from medgan_course.errors import CourseError
from medgan_course.nets import latent


def _layers(sizes: Sequence[int], activation: nn.Module) -> list[nn.Module]:
    """Return linear layers between the given numbers of units, the activation after each but the last."""
    layers: list[nn.Module] = []
    for width_in, width in pairwise(sizes):
        layers += [nn.Linear(width_in, width), activation]
    return layers[:-1]


class Generator(nn.Module):
    """Noise to points or images: linear layers and ReLU; images end in tanh, points are unbounded.

    Parameters
    ----------
    shape : int, ...
        Shape of one output: ``(2,)`` for points in the plane, ``(1, 28, 28)`` for images.
    z_dim : int
        Length of the latent vector.
    width : int
        Units of each hidden layer.
    hidden : int
        Number of hidden layers.
    """

    def __init__(self, shape: Sequence[int], z_dim: int = 64, width: int = 256, hidden: int = 2) -> None:
        super().__init__()
        self.shape, self.z_dim = tuple(shape), z_dim
        bound = [nn.Tanh()] if len(self.shape) > 1 else []
        self.layers = nn.Sequential(*_layers([z_dim, *[width] * hidden, prod(shape)], nn.ReLU()), *bound)

    def latent(self, n: int, *, seed: int | None = None) -> Tensor:
        """Draw latent vectors ``(n, z_dim)`` from N(0, I) on this net's device; a ``seed`` repeats them."""
        return latent.normal(self, n, self.z_dim, seed=seed)

    def forward(self, z: Tensor) -> Tensor:
        """Map ``z`` ``(N, z_dim)`` to ``(N, *shape)``."""
        return self.layers(z).unflatten(1, self.shape)


class Discriminator(nn.Module):
    """Points, codes or images to logits: linear layers and LeakyReLU(0.2).

    With ``shape=(z_dim,)`` it is a discriminator of latent codes, as an alpha-GAN has.

    Parameters
    ----------
    shape, width, hidden
        As for :class:`Generator`.
    """

    def __init__(self, shape: Sequence[int], width: int = 256, hidden: int = 2) -> None:
        super().__init__()
        self.shape = tuple(shape)
        self.layers = nn.Sequential(*_layers([prod(shape), *[width] * hidden, 1], nn.LeakyReLU(0.2)))

    def forward(self, x: Tensor) -> Tensor:
        """Map ``(N, *shape)`` to logits ``(N,)``; positive means "real"."""
        if x.shape[1:] != self.shape:
            expected = ", ".join(map(str, ("N", *self.shape)))
            raise CourseError(f"This discriminator takes ({expected}), not {tuple(x.shape)}.")
        return self.layers(x.flatten(1)).flatten()
