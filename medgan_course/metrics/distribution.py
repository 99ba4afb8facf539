"""Distances between two sets of feature vectors, and what sampling does to them."""

from collections.abc import Callable

import torch
from torch import Tensor

from medgan_course.errors import CourseError
from medgan_course.metrics.score import Score, bootstrap, repeated

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
    a, b = a.float(), b.float()
    one = a.new_ones(())

    def total(x: Tensor, y: Tensor) -> Tensor:
        # Blocks that stay in a processor's cache, added up in double precision.
        blocks = (torch.addmm(one, rows, y.T, alpha=1 / x.shape[1]) for rows in x.split(128))
        return torch.stack([(k * k).mul_(k).sum(1).sum(dtype=torch.float64) for k in blocks]).sum()

    def mean_off_diagonal(x: Tensor) -> Tensor:
        diagonal = (x.double().square().mean(1) + 1).pow(3).sum()
        return (total(x, x) - diagonal) / (len(x) * (len(x) - 1))

    return float(mean_off_diagonal(a) + mean_off_diagonal(b) - 2 * total(a, b) / (len(a) * len(b)))


def sliced_wasserstein(a: Tensor, b: Tensor, *, projections: int = 128, seed: int = 0) -> float:
    r"""Return the sliced 2-Wasserstein distance of two feature sets (Rabin et al. 2012; Bonneel et al. 2015).

    .. math:: \Bigl(\frac1P\sum_{p=1}^{P}\frac1n\sum_{i=1}^{n}
        \bigl((a\,\theta_p)_{(i)}-(b\,\theta_p)_{(i)}\bigr)^2\Bigr)^{1/2}

    with directions :math:`\theta_p` uniform on the unit sphere and :math:`(\cdot)_{(i)}` the i-th smallest:
    on a line the cheapest transport keeps the order. It sees every difference between distributions, not
    only those of mean and covariance. Like FID it is biased upwards by small n.

    Parameters
    ----------
    a, b : Tensor
        ``(n, d)`` both, in the features' unit.
    projections : int
        P; the error of this average falls as :math:`P^{-1/2}`.
    seed : int
        Seed of the directions, the same in every comparison.
    """
    _check(a, b)
    if len(a) != len(b):
        raise CourseError(
            f"The sliced Wasserstein distance needs sets of equal size, not {len(a)} and {len(b)}."
        )
    draw = torch.Generator().manual_seed(seed)
    directions = torch.randn(a.shape[1], projections, generator=draw, dtype=torch.float64)
    directions = directions / directions.norm(dim=0)
    sorted_a, sorted_b = ((x.double() @ directions).sort(dim=0).values for x in (a, b))
    return float((sorted_a - sorted_b).square().mean().sqrt())


def inception_score(probabilities: Tensor, real: Tensor, *, repeats: int = 1000, seed: int = 0) -> Score:
    r"""Score images by how certain and how varied their predicted classes are (Salimans et al. 2016).

    .. math:: \exp\,\frac1n\sum_i\sum_k p_{ik}\log\frac{p_{ik}}{\bar p_k}, \qquad
        \bar p_k=\frac1n\sum_i p_{ik}

    From 1 to the number of classes K. It never looks at real images: one perfect image a class, repeated, has
    the best score, K. Barratt & Sharma (2018) list what else it overlooks. With a domain classifier the
    numbers compare with nothing published.

    Parameters
    ----------
    probabilities : Tensor
        ``(n, K)``, of the generated images: ``net.label(features(net, images)).softmax(1)``.
    real : Tensor
        ``(m, K)``, of real images. Their score stands beside as the floor; here it is no lower limit.
    """

    def score(p: Tensor) -> Tensor:
        information = torch.special.entr(p.mean(1)).sum(1) - torch.special.entr(p).sum(2).mean(1)
        return information.exp()

    for p in (probabilities, real):
        if p.ndim != 2 or (p < 0).any() or ((p.sum(1) - 1).abs() > 1e-3).any():
            raise CourseError(
                "The Inception Score needs probabilities (n, classes) that sum to 1 for each image: "
                "use logits.softmax(1)."
            )
    beside = bootstrap(real, score, repeats=repeats, seed=seed)
    return bootstrap(probabilities, score, repeats=repeats, seed=seed, floor=beside)


def compare(
    distance: Distance, real: Tensor, fake: Tensor, *, n: int, repeats: int = 40, seed: int = 0
) -> Score:
    """Score ``fake`` against ``real``: the distance between ``n`` of each, drawn anew ``repeats`` times.

    Draws of n from a pool of N share images, so they vary less than independent ones, by the factor sqrt(1 -
    n/N) of sampling without replacement. The interval is widened by that factor for the smaller pool. The
    result's ``floor`` is that of :func:`floor` at the same n, repeats and seed.

    Parameters
    ----------
    distance : callable
        ``distance(real, fake)`` of two feature sets: :func:`frechet_distance`, :func:`kernel_distance`,
        :func:`sliced_wasserstein`; or :func:`medgan_course.metrics.coverage.recall` and its kin, for which
        the floor is what real images reach.
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

    values = [distance(some(real), some(fake)) for _ in range(repeats)]
    beside = floor(distance, real, n=n, repeats=repeats, seed=seed)
    return repeated(values, n, seed=seed, widen=(1 - n / pool) ** -0.5, floor=beside)


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
    return repeated(values, n, seed=seed)


def _symmetric_root(matrix: Tensor) -> Tensor:
    values, vectors = torch.linalg.eigh(matrix)
    return vectors * values.clamp_min(0).sqrt() @ vectors.T


def _check(a: Tensor, b: Tensor) -> None:
    if a.ndim != 2 or b.ndim != 2 or a.shape[1] != b.shape[1] or min(len(a), len(b)) < 2:
        raise CourseError(
            "Two feature sets (n, d) and (m, d) with at least two rows are needed, "
            f"not {tuple(a.shape)} and {tuple(b.shape)}."
        )
