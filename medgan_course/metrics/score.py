r"""The one result of every metric: a value with its interval, sample size, seed and floor.

A metric with one value for each image (PSNR, Dice) gets its interval from :func:`bootstrap`, a comparison of
two methods on the same images from :func:`paired_difference`, and a distance between sets of images, which
resampling with replacement would bias, from :func:`medgan_course.metrics.distribution.compare`.
"""

from collections.abc import Callable, Sequence
from dataclasses import dataclass

import torch
from torch import Tensor

from medgan_course.errors import CourseError

Statistic = Callable[[Tensor], Tensor]
"""Maps samples ``(R, n, ...)`` to one number each, ``(R,)``."""


@dataclass(frozen=True)
class Score:
    """A measured value with its 95 % interval.

    Attributes
    ----------
    value : float
        The estimate. For distances between sets the mean over repeated draws.
    low, high : float
        95 % interval for another, independent sample of n images and for these very networks. The spread over
        training seeds, usually the larger one, is not in it.
    n : int
        Images, or image pairs, that one value is made of; in a distance, images on each side.
    seed : int, optional
        Seed of the draws or resamples; None where nothing was drawn.
    floor : Score, optional
        What the same metric says of an answer that is known: of other real images in the place of the
        generated ones, of a trivial baseline, of chance. Absent in a floor itself, and where nobody gave one.
    """

    value: float
    low: float
    high: float
    n: int
    seed: int | None = None
    floor: "Score | None" = None

    def __str__(self) -> str:
        """Value and interval with three significant digits; a narrow column breaks between the two."""
        return f"{self.value:.3g} [{self.low:.3g},\N{NO-BREAK SPACE}{self.high:.3g}]"


def mean(samples: Tensor) -> Tensor:
    """Return the mean of each sample ``(R, n)``: the statistic of nearly every metric."""
    return samples.mean(1)


def bootstrap(
    values: Tensor,
    statistic: Statistic = mean,
    *,
    subjects: Tensor | None = None,
    repeats: int = 2000,
    seed: int = 0,
    floor: Score | None = None,
) -> Score:
    r"""Score a statistic of per-image values with its percentile bootstrap interval (Efron 1979).

    From n values :math:`v`, n are drawn with replacement, R times; with :math:`\theta(v)` the statistic and
    :math:`Q_q` the quantile,

    .. math:: \hat\theta=\theta(v), \qquad
        [\,Q_{0.025},\,Q_{0.975}\,]\ \text{of}\ \theta(v^{(1)}),\dots,\theta(v^{(R)}).

    For means of 20 values or fewer it covers the truth a little less often than in 95 % of cases.

    Parameters
    ----------
    values : Tensor
        ``(n, ...)``, finite, one row an image; a row is drawn as a whole.
    statistic : callable
        Maps ``(R, n, ...)`` to ``(R,)``.
    subjects : Tensor, optional
        ``(n,)``, whose image each row is. Images of one subject are alike: whole subjects are then drawn,
        with all their images, which makes the interval as wide as it should be.
    repeats : int
        R.
    seed : int
        Seed of the resampling.
    floor : Score, optional
        Kept in the result.

    Raises
    ------
    CourseError
        If there are fewer than two rows or subjects, or a value is not finite.
    """
    values = values.detach().double().cpu()
    if values.ndim == 0 or len(values) < 2:
        raise CourseError(f"An interval needs at least two values, not {tuple(values.shape)}.")
    bad = (~values.flatten(1).isfinite().all(1) if values.ndim > 1 else ~values.isfinite()).nonzero()
    if len(bad):
        raise CourseError(
            f"Value {int(bad[0])} of {len(values)} is {values[bad[0]].flatten().tolist()}: "
            "leave it out, or say what it counts as, before it is averaged."
        )
    draw = torch.Generator().manual_seed(seed)
    if subjects is None:
        n = len(values)
        at_once = max(1, 2**22 // values.numel())
        drawn = torch.cat(
            [
                statistic(values[torch.randint(n, (rows, n), generator=draw)])
                for rows in _parts(repeats, at_once)
            ]
        )
    else:
        drawn = _by_subject(values, statistic, subjects, repeats, draw)
    low, high = _central(drawn)
    return Score(float(statistic(values[None])), low, high, len(values), seed, floor)


def paired_difference(
    a: Tensor,
    b: Tensor,
    statistic: Statistic = mean,
    *,
    subjects: Tensor | None = None,
    repeats: int = 2000,
    seed: int = 0,
) -> Score:
    r"""Score :math:`\theta(a)-\theta(b)` of two methods on the same images; see :func:`bootstrap`.

    Both are resampled at the same positions, so what makes an image hard for both cancels. The two intervals
    of a and b may overlap and the difference still be clear of zero.

    Parameters
    ----------
    a, b : Tensor
        ``(n, ...)``, row i of both belonging to image i.
    """
    if a.shape != b.shape:
        raise CourseError(
            f"A paired difference needs the values of the same images, not {tuple(a.shape)} and "
            f"{tuple(b.shape)}."
        )
    return bootstrap(
        torch.stack([a, b], dim=1),
        lambda samples: statistic(samples[:, :, 0]) - statistic(samples[:, :, 1]),
        subjects=subjects,
        repeats=repeats,
        seed=seed,
    )


def repeated(
    values: Sequence[float], n: int, *, seed: int | None, widen: float = 1.0, floor: Score | None = None
) -> Score:
    """Score the mean of values from repeated draws of n; the interval is where single draws lie.

    Parameters
    ----------
    values : sequence of float
        The metric of every draw.
    n : int
        Images of a draw.
    seed : int, optional
        Seed of the draws.
    widen : float
        What to stretch the interval by, about the mean, where the draws depend on one another.
    floor : Score, optional
        Kept in the result.
    """
    drawn = torch.tensor(values, dtype=torch.float64)
    middle = float(drawn.mean())
    low, high = (middle + widen * (end - middle) for end in _central(drawn))
    return Score(middle, low, high, n, seed, floor)


def _central(drawn: Tensor) -> tuple[float, float]:
    low, high = torch.quantile(drawn, torch.tensor([0.025, 0.975], dtype=drawn.dtype)).tolist()
    return low, high


def _by_subject(
    values: Tensor, statistic: Statistic, subjects: Tensor, repeats: int, draw: torch.Generator
) -> Tensor:
    if subjects.shape != values.shape[:1]:
        raise CourseError(
            f"subjects must name whose image each of the {len(values)} values is, "
            f"not {tuple(subjects.shape)}."
        )
    order = subjects.cpu().argsort(stable=True)
    rows = order.split(subjects.cpu().unique(return_counts=True)[1].tolist())
    if len(rows) < 2:
        raise CourseError("An interval needs at least two subjects; all values belong to one.")
    # Subjects have different numbers of images: the samples differ in length and cannot be stacked.
    return torch.cat(
        [
            statistic(
                values[torch.cat([rows[i] for i in torch.randint(len(rows), (len(rows),), generator=draw)])][
                    None
                ]
            )
            for _ in range(repeats)
        ]
    )


def _parts(total: int, at_once: int) -> list[int]:
    return [min(at_once, total - start) for start in range(0, total, at_once)]
