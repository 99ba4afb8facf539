r"""How much of the real images a generator reaches, and how much of what it makes is like real ones.

A distance such as FID mixes two faults: bad images and missing ones. Here they are apart. Precision and
recall, density and coverage take balls around the points of one feature set :math:`y_1,\dots,y_m`,

.. math:: B_k(y_i)=\{x : \|x-y_i\|\le d_k(y_i)\},

with :math:`d_k(y_i)` the distance from :math:`y_i` to its k-th nearest neighbour in its own set, itself not
counted. All four are functions of ``(real, fake)`` for :func:`medgan_course.metrics.distribution.compare`,
which adds interval and floor; the floor is what real images reach. All depend on n and k: compare at equal
ones.

Classes and modes, where they are known, are counted.
"""

from functools import partial

import torch
from torch import Tensor

from medgan_course.errors import CourseError
from medgan_course.metrics.score import Score, bootstrap


def precision(real: Tensor, fake: Tensor, *, k: int = 3) -> float:
    r"""Return the share of generated images within the real set's balls (Kynkäänniemi et al. 2019, eq. 1-2).

    .. math:: \frac1n\sum_{j=1}^n\Bigl[x_j\in\bigcup_i B_k(r_i)\Bigr]

    for real features :math:`r_i` and generated ones :math:`x_j`. A single outlier among the real images has a
    ball that hides much: :func:`density` mends that.

    Parameters
    ----------
    real, fake : Tensor
        Features ``(m, d)`` and ``(n, d)``.
    k : int
        Which neighbour is a ball's radius.
    """
    distances, radii = _between(real, fake), _radii(real, k)
    return float((distances <= radii[:, None]).any(0).double().mean())


def recall(real: Tensor, fake: Tensor, *, k: int = 3) -> float:
    r"""Return the share of real images within the generated set's balls (Kynkäänniemi et al. 2019).

    .. math:: \frac1m\sum_{i=1}^m\Bigl[r_i\in\bigcup_j B_k(x_j)\Bigr]

    :func:`precision` with the sets swapped. Mode collapse lowers it; scattered outliers raise it.
    """
    return precision(fake, real, k=k)


def density(real: Tensor, fake: Tensor, *, k: int = 5) -> float:
    r"""Return in how many real balls a generated image lies, over k (Naeem et al. 2020, eq. 3).

    .. math:: \frac1{kn}\sum_{j=1}^n\sum_{i=1}^m\bigl[x_j\in B_k(r_i)\bigr]

    1 on average for equal distributions, more when the generated images crowd where real ones do.
    """
    distances, radii = _between(real, fake), _radii(real, k)
    return float((distances <= radii[:, None]).double().sum(0).mean() / k)


def coverage(real: Tensor, fake: Tensor, *, k: int = 5) -> float:
    r"""Return the share of real balls with a generated image inside (Naeem et al. 2020, eq. 4).

    .. math:: \frac1m\sum_{i=1}^m\bigl[\exists j : x_j\in B_k(r_i)\bigr]

    For equal distributions and :math:`m=n` it is about :math:`1-2^{-k}`. Unlike :func:`recall` it builds no
    ball on a generated outlier.
    """
    distances, radii = _between(real, fake), _radii(real, k)
    return float((distances <= radii[:, None]).any(1).double().mean())


def covered(labels: Tensor, *, n_classes: int, least: float = 0.01) -> Tensor:
    r"""Return how many classes make up at least a share ``least`` of the images.

    .. math:: \sum_{c=1}^{K}\Bigl[\frac1n\sum_i[y_i=c]\ge\text{least}\Bigr]

    Parameters
    ----------
    labels : Tensor
        Whole numbers ``(..., n)``; -1 belongs to no class.
    n_classes : int
        K.
    least : float
        1 % for the modes of a toy set.

    Returns
    -------
    Tensor
        ``(...)`` float64.
    """
    # Column 0 counts what belongs to no class.
    counts = labels.new_zeros(*labels.shape[:-1], n_classes + 1, dtype=torch.float64)
    counts.scatter_add_(-1, labels.long() + 1, torch.ones_like(labels, dtype=torch.float64))
    return (counts[..., 1:] / labels.shape[-1] >= least).double().sum(-1)


def class_coverage(
    labels: Tensor, real_labels: Tensor, *, n_classes: int, least: float = 0.01, seed: int = 0
) -> Score:
    """Score the number of classes that make up at least a share ``least`` of the images: :func:`covered`.

    Parameters
    ----------
    labels : Tensor
        int64 ``(n,)``: of generated images, the classes a domain classifier reads in them, or the modes of
        :func:`nearest_mode`; -1 belongs to none.
    real_labels : Tensor
        The same of real images, read by the same classifier; their count is the floor.
    n_classes : int
        K.
    least : float
        1 % for the modes of a toy set. A class that is rarer among real images than this counts nowhere.
    """
    for read in (labels, real_labels):
        if (
            read.ndim != 1
            or read.is_floating_point()
            or not -1 <= int(read.min()) <= int(read.max()) < n_classes
        ):
            raise CourseError(
                f"Class coverage needs whole-number labels (n,) from -1 to {n_classes - 1}, not "
                f"{tuple(read.shape)} {read.dtype}."
            )

    count = partial(covered, n_classes=n_classes, least=least)
    return bootstrap(labels, count, seed=seed, floor=bootstrap(real_labels, count, seed=seed))


def nearest_mode(points: Tensor, centres: Tensor, *, sigma: float) -> Tensor:
    r"""Return which mode each point of a mixture belongs to: the nearest centre's within 3 sigma, else -1.

    With ``covered(..., least=0.01)`` this counts the modes that have at least 1 % of the points within
    :math:`3\sigma`. Of a two-dimensional Gaussian's own points, :math:`e^{-9/2}` = 1.1 % lie outside.

    Parameters
    ----------
    points, centres : Tensor
        ``(n, d)`` and ``(K, d)``.
    sigma : float
        Standard deviation of a mode along each axis.
    """
    distance, mode = torch.cdist(points.double(), centres.double()).min(1)
    return torch.where(distance <= 3 * sigma, mode, -1)


def _between(a: Tensor, b: Tensor) -> Tensor:
    if a.ndim != 2 or b.ndim != 2 or a.shape[1] != b.shape[1]:
        raise CourseError(
            f"Two feature sets (m, d) and (n, d) are needed, not {tuple(a.shape)} and {tuple(b.shape)}."
        )
    # By differences, not by the expanded square: copies must come out at exactly zero.
    return torch.cdist(a.float(), b.float(), compute_mode="donot_use_mm_for_euclid_dist")


def _radii(points: Tensor, k: int) -> Tensor:
    if not 0 < k < len(points):
        raise CourseError(
            f"A neighbour number k = {k} needs more than {k} images, but there are {len(points)}."
        )
    # The nearest to each is itself, at zero.
    return _between(points, points).kthvalue(k + 1, dim=1).values
