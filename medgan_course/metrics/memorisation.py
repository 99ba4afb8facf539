"""Whether a generator repeats its training images."""

from dataclasses import dataclass, replace

import torch
from torch import Tensor

from medgan_course.errors import CourseError
from medgan_course.metrics.classification import auc
from medgan_course.metrics.score import Score


def nearest(query: Tensor, bank: Tensor) -> tuple[Tensor, Tensor]:
    """Return for each query its Euclidean distance to the nearest row of ``bank``, and that row's index.

    Parameters
    ----------
    query, bank : Tensor
        ``(n, ...)`` and ``(m, ...)``; images or features, flattened to vectors here.
    """
    _alike(query, bank)
    query, bank = query.flatten(1), bank.flatten(1)
    index = torch.cat([torch.cdist(part, bank).argmin(1) for part in query.split(256)])
    # cdist expands the square, which is fast but rounds; of the pair it finds, a copy must come out at
    # exactly zero.
    return (query - bank[index]).norm(dim=1), index


def standardised(images: Tensor) -> Tensor:
    r"""Return each image as a vector ``(N, d)`` of mean 0 and length 1: without grey offset and contrast.

    Products of these are normalised cross-correlations, and distances follow from them:

    .. math:: \hat x=\frac{x-\bar x}{\|x-\bar x\|}, \qquad
        \mathrm{NCC}(x,y)=\hat x^\top\hat y, \qquad \|\hat x-\hat y\|^2=2-2\,\mathrm{NCC}(x,y).

    ``memorisation(*map(standardised, (generated, train, held_out)))`` therefore finds copies that were made
    brighter or paler. A constant image becomes zero: it correlates with nothing.
    """
    vectors = images.flatten(1)
    vectors = vectors - vectors.mean(1, keepdim=True)
    length = vectors.norm(dim=1, keepdim=True)
    # What rounding leaves of a constant image is no structure.
    flat = length <= 1e-5 * images.flatten(1).norm(dim=1, keepdim=True)
    return torch.where(flat, 0.0, vectors / length)


def max_ncc(query: Tensor, bank: Tensor) -> tuple[Tensor, Tensor]:
    r"""Return each query's largest correlation with a row of ``bank``, in [-1, 1], and that row's index.

    .. math:: \max_j\,\mathrm{NCC}(x_i,y_j)

    for queries :math:`x_i` and rows :math:`y_j`, see :func:`standardised`. Images of one anatomy correlate
    highly without being copies: hold it against the value of held-out real images.
    """
    _alike(query, bank)
    bank = standardised(bank)
    found = [(standardised(part) @ bank.T).max(1) for part in query.split(256)]
    ncc = torch.cat([each.values for each in found])
    return ncc.clamp(-1, 1), torch.cat([each.indices for each in found])


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
        return self.score.value

    @property
    def score(self) -> Score:
        """:attr:`closer` as an AUC with DeLong's interval, beside chance."""
        labels = torch.cat([torch.ones(len(self.generated)), torch.zeros(len(self.held_out))])
        return auc(labels, -torch.cat([self.generated, self.held_out]).cpu())

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


def membership_inference(generated: Tensor, members: Tensor, others: Tensor, *, seed: int = 0) -> Score:
    r"""Score an attack that tells from generated images alone who was in the training set.

    The attacker holds a patient's image x and n published generated ones, :math:`g_j`, and guesses "member"
    the more confidently the nearer the nearest of them lies (GAN-Leaks, full black-box: Chen et al. 2020,
    with Euclidean distance):

    .. math:: s(x)=-\min_j\|x-g_j\|, \qquad \mathrm{AUC}=P\bigl(s(\text{member})>s(\text{other})\bigr)
        +\tfrac12P\bigl(s(\text{member})=s(\text{other})\bigr).

    One half: the attacker learns nothing by this attack, which does not exclude a better one. Of the larger
    group as many are drawn as there are in the smaller one. Members and others must be alike in all but
    membership: from one source, no subject in both.

    Parameters
    ----------
    generated, members, others : Tensor
        Images ``(n, C, H, W)`` or features ``(n, d)``: generated, trained on, and never seen in training. The
        more generated ones, the stronger the attack: state their number.
    seed : int
        Seed of the draw.

    Returns
    -------
    Score
        The AUC, its interval by DeLong, chance as the floor; n counts members and others together.
    """
    draw = torch.Generator().manual_seed(seed)
    each = min(len(members), len(others))
    asked = [group[torch.randperm(len(group), generator=draw)[:each]] for group in (members, others)]
    distance, _ = nearest(torch.cat(asked), generated)
    return replace(auc(torch.arange(2 * each) < each, -distance.cpu()), seed=seed)


def _alike(a: Tensor, b: Tensor) -> None:
    if a.shape[1:] != b.shape[1:]:
        raise CourseError(
            f"Images are compared with images alike, not {tuple(a.shape)} with {tuple(b.shape)}."
        )
