"""Whether a generator repeats its training images."""

from dataclasses import dataclass

import torch
from torch import Tensor


def nearest(query: Tensor, bank: Tensor) -> tuple[Tensor, Tensor]:
    """Return for each query its Euclidean distance to the nearest row of ``bank``, and that row's index.

    Parameters
    ----------
    query, bank : Tensor
        ``(n, ...)`` and ``(m, ...)``; images or features, flattened to vectors here.
    """
    query, bank = query.flatten(1), bank.flatten(1)
    index = torch.cat([torch.cdist(part, bank).argmin(1) for part in query.split(256)])
    # cdist expands the square, which is fast but rounds; of the pair it finds, a copy must come out at
    # exactly zero.
    return (query - bank[index]).norm(dim=1), index


@dataclass(frozen=True)
class Memorisation:
    """Distances to the nearest training image, of generated and of held-out real images.

    Attributes
    ----------
    generated, held_out : Tensor
        Nearest-neighbour distances, ``(n,)`` and ``(m,)``.
    neighbour : Tensor
        Index of each generated image's nearest training image, ``(n,)``.
    """

    generated: Tensor
    held_out: Tensor
    neighbour: Tensor

    @property
    def closer(self) -> float:
        """Probability that a generated image lies closer to the training set than a held-out real one does.

        One half for a perfect generator, 1 for a copier; ties count one half (the Mann-Whitney statistic).
        Smooth images lie close to everything in pixel space, so a value above one half is a question, not a
        verdict.
        """
        generated, held_out = self.generated[:, None], self.held_out[None]
        return float((generated < held_out).double().mean() + (generated == held_out).double().mean() / 2)

    @property
    def suspicious(self) -> float:
        """Share of generated images closer to the training set than 99 % of held-out ones; 0.01 by chance."""
        return float((self.generated < torch.quantile(self.held_out, 0.01)).double().mean())


def memorisation(generated: Tensor, train: Tensor, held_out: Tensor) -> Memorisation:
    """Compare generated images with the training set, by the yardstick of real images held out from it.

    Parameters
    ----------
    generated, train, held_out : Tensor
        Images ``(n, C, H, W)`` or features ``(n, d)``, all alike.
    """
    distances, neighbour = nearest(generated, train)
    return Memorisation(distances, nearest(held_out, train)[0], neighbour)
