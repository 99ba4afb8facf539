"""Distances between two sets of feature vectors, and what sampling does to them."""

from collections.abc import Callable
from dataclasses import dataclass

import torch
from torch import Tensor

from medgan_course.errors import CourseError

Distance = Callable[[Tensor, Tensor], float]


def frechet_distance(a: Tensor, b: Tensor) -> float:
    r"""Return the Fréchet distance between Gaussians fitted to two feature sets (Heusel et al. 2017).

    .. math:: \|\mu_a-\mu_b\|^2 + \mathrm{Tr}\bigl(\Sigma_a+\Sigma_b-2(\Sigma_a\Sigma_b)^{1/2}\bigr)

    With Inception features this is the FID. It is biased: fewer samples give a larger value, also between two
    halves of the same set, so compare only at equal n and beside a real-versus-real floor.

    Parameters
    ----------
    a, b : Tensor
        ``(n, d)`` and ``(m, d)``; n and m should be several times d.
    """
    _check(a, b)
    a, b = a.double(), b.double()
    covariance_a, covariance_b = (torch.atleast_2d(torch.cov(x.T)) for x in (a, b))
    # Tr (S_a S_b)^(1/2) from symmetric matrices alone: the eigenvalues of S_a^(1/2) S_b S_a^(1/2) are those
    # of S_a S_b.
    root_a = _symmetric_root(covariance_a)
    cross = torch.linalg.eigvalsh(root_a @ covariance_b @ root_a).clamp_min(0).sqrt().sum()
    means = (a.mean(0) - b.mean(0)).square().sum()
    return float(means + covariance_a.trace() + covariance_b.trace() - 2 * cross)


def kernel_distance(a: Tensor, b: Tensor) -> float:
    r"""Return the unbiased squared MMD of two feature sets (Bińkowski et al. 2018).

    .. math:: \mathbb E\,k(a,a')+\mathbb E\,k(b,b')-2\,\mathbb E\,k(a,b), \qquad k(x,y)=(x^\top y/d+1)^3

    With Inception features this is the KID. Its expectation does not depend on n, and it is zero for equal
    distributions, so single values can be negative.

    Parameters
    ----------
    a, b : Tensor
        ``(n, d)`` and ``(m, d)``, each with at least two rows.
    """
    _check(a, b)
    a, b = a.double(), b.double()

    def kernel(x: Tensor, y: Tensor) -> Tensor:
        base = x @ y.T / x.shape[1] + 1
        return base * base * base  # several times faster than a power

    def mean_off_diagonal(k: Tensor) -> Tensor:
        return (k.sum() - k.trace()) / (len(k) * (len(k) - 1))

    return float(mean_off_diagonal(kernel(a, a)) + mean_off_diagonal(kernel(b, b)) - 2 * kernel(a, b).mean())


@dataclass(frozen=True)
class Score:
    """A distance with its sampling interval.

    Attributes
    ----------
    value : float
        Mean over repeated draws.
    low, high : float
        Where the distance of another, independent draw of n images would lie in 95 % of cases, for these very
        networks. The spread over training seeds, usually the larger one, is not in it.
    n : int
        Images on each side of every draw.
    """

    value: float
    low: float
    high: float
    n: int

    def __str__(self) -> str:
        """Value and interval with three significant digits; a narrow column breaks between the two."""
        return f"{self.value:.3g} [{self.low:.3g},\N{NO-BREAK SPACE}{self.high:.3g}]"


def compare(
    distance: Distance, real: Tensor, fake: Tensor, *, n: int, repeats: int = 40, seed: int = 0
) -> Score:
    """Score ``fake`` against ``real``: the distance between ``n`` of each, drawn anew ``repeats`` times.

    Draws of n from a pool of N share images, so they vary less than independent ones, by the factor sqrt(1 -
    n/N) of sampling without replacement. The interval is widened by that factor for the smaller pool.

    Parameters
    ----------
    distance : callable
        :func:`frechet_distance` or :func:`kernel_distance`.
    real, fake : Tensor
        Feature pools ``(N, d)`` and ``(M, d)``, both at least twice as many as ``n``.
    """
    pool = min(len(real), len(fake))
    if 2 * n > pool:
        raise CourseError(
            f"To see how draws of n = {n} vary, pools of {2 * n} images are needed, "
            f"but there are {len(real)} real and {len(fake)} generated ones."
        )
    draw = torch.Generator().manual_seed(seed)

    def some(features: Tensor) -> Tensor:
        return features[torch.randperm(len(features), generator=draw)[:n]]

    return _score([distance(some(real), some(fake)) for _ in range(repeats)], n, widen=(1 - n / pool) ** -0.5)


def floor(distance: Distance, real: Tensor, *, n: int, repeats: int = 40, seed: int = 0) -> Score:
    """Score real images against other images of the same set: two disjoint draws of ``n``, ``repeats`` times.

    What remains is due to n alone. Disjoint draws from one pool differ as much as independent ones do: no
    widening.
    """
    if 2 * n > len(real):
        raise CourseError(
            f"The floor needs two disjoint sets of n = {n} images, but there are only {len(real)}."
        )
    draw = torch.Generator().manual_seed(seed)
    values = []
    for _ in range(repeats):
        order = torch.randperm(len(real), generator=draw)
        values.append(distance(real[order[:n]], real[order[n : 2 * n]]))
    return _score(values, n)


def _score(values: list[float], n: int, *, widen: float = 1.0) -> Score:
    drawn = torch.tensor(values, dtype=torch.float64)
    mean = drawn.mean()
    ends = torch.quantile(drawn, torch.tensor([0.025, 0.975], dtype=torch.float64))
    low, high = (mean + widen * (ends - mean)).tolist()
    return Score(float(mean), low, high, n)


def _symmetric_root(matrix: Tensor) -> Tensor:
    values, vectors = torch.linalg.eigh(matrix)
    return vectors * values.clamp_min(0).sqrt() @ vectors.T


def _check(a: Tensor, b: Tensor) -> None:
    if a.ndim != 2 or b.ndim != 2 or a.shape[1] != b.shape[1] or min(len(a), len(b)) < 2:
        raise CourseError(
            "Two feature sets (n, d) and (m, d) with at least two rows are needed, "
            f"not {tuple(a.shape)} and {tuple(b.shape)}."
        )
