"""Networks that are told a label: into any generator, and into a discriminator in two ways."""

import torch
from torch import Tensor, nn

from medgan_course.errors import CourseError
from medgan_course.nets import mlp
from medgan_course.nets.dcgan import Discriminator, Generator, Trunk
from medgan_course.nets.heads import Heads


def _check(labels: Tensor, n: int) -> None:
    """Refuse labels ``(N, 1)`` above all: every label would be paired with every image."""
    if labels.shape != (n,):
        raise CourseError(f"{n} samples need labels of shape ({n},), not {tuple(labels.shape)}.")


class LabelledGenerator(nn.Module):
    r"""A generator that is told which class to draw: :math:`G(z, y)`.

    The label's embedding, a vector learned for each class, is appended to the latent vector.

    Parameters
    ----------
    generator : Generator
        Takes vectors of length ``generator.z_dim``, of which ``embedding`` are the label's.
    n_classes : int
        Number of labels.
    embedding : int
        Length of the embedding.
    """

    def __init__(self, generator: Generator | mlp.Generator, n_classes: int, embedding: int = 16) -> None:
        super().__init__()
        self.generator = generator
        self.embedding = nn.Embedding(n_classes, embedding)

    def latent(self, n: int, *, seed: int | None = None) -> Tensor:
        """Draw latent vectors from N(0, I), without the label's part; a ``seed`` repeats them."""
        z = self.generator.latent(n, seed=seed)
        return z[:, : z.shape[1] - self.embedding.embedding_dim]

    def joined(self, z: Tensor, labels: Tensor) -> Tensor:
        """Return what the generator inside gets: ``z`` of :meth:`latent`, then the labels' embeddings."""
        _check(labels, len(z))
        return torch.cat((z, self.embedding(labels)), 1)

    def forward(self, z: Tensor, labels: Tensor) -> Tensor:
        """Map ``z`` of :meth:`latent` and labels ``(N,)`` to images."""
        return self.generator(self.joined(z, labels))


class LabelMap(nn.Module):
    r"""A discriminator that sees the label beside the image: :math:`D(x, y)` of Mirza & Osindero (2014).

    The label's embedding has as many entries as the image has pixels and is its additional channel.

    Parameters
    ----------
    discriminator : Discriminator
        For images with one channel more than those to be judged.
    n_classes : int
        Number of labels.
    """

    def __init__(self, discriminator: Discriminator, n_classes: int) -> None:
        super().__init__()
        self.discriminator = discriminator
        self.shape = (1, *discriminator.trunk.shape[1:])
        self.embedding = nn.Embedding(n_classes, torch.Size(self.shape).numel())

    def forward(self, images: Tensor, labels: Tensor) -> Tensor:
        """Map images and labels ``(N,)`` to logits ``(N,)``; positive means "a real image of this class"."""
        _check(labels, len(images))
        channel = self.embedding(labels).unflatten(1, self.shape)
        return self.discriminator(torch.cat((images, channel), 1))


class Projection(nn.Module):
    r"""The projection discriminator of Miyato & Koyama (2018).

    With the trunk's features :math:`\phi(x)`, the logit is

    .. math::
        D(x, y) = w^\top\phi(x) + b + v_y^\top\phi(x) + b_y,

    the sum of an unconditional logit and of the class logit of :math:`y`. So this is the network of an ACGAN,
    read differently. The paper has no :math:`b_y` and takes for :math:`\phi` the sum of the last feature map
    over its pixels, where ours is the map itself.

    Parameters
    ----------
    trunk : Trunk
        Maps images to features.
    n_classes : int
        Number of labels.
    """

    def __init__(self, trunk: Trunk, n_classes: int) -> None:
        super().__init__()
        self.heads = Heads(trunk, source=1, label=n_classes)

    def forward(self, images: Tensor, labels: Tensor) -> Tensor:
        """Map images and labels ``(N,)`` to logits ``(N,)``; positive means "a real image of this class"."""
        _check(labels, len(images))
        outputs = self.heads(images)
        return (outputs["source"] + outputs["label"].gather(1, labels[:, None])).flatten()
