r"""Whether a result holds again: over seeds, over diverged runs, over other subjects."""

from collections.abc import Iterator

import torch
from scipy.stats import t as student
from torch import Tensor

from medgan_course.errors import CourseError
from medgan_course.metrics.classification import proportion
from medgan_course.metrics.score import Score


def over_seeds(values: Tensor, *, floor: Score | None = None) -> tuple[Score, float]:
    r"""Score the mean of a metric over trainings that differ in their seed, and return their spread beside.

    .. math:: \bar v=\frac1S\sum_s v_s, \qquad
        s=\sqrt{\frac1{S-1}\sum_s(v_s-\bar v)^2}, \qquad
        \bar v\pm t_{0.975,\,S-1}\,\frac s{\sqrt S}

    with the quantile :math:`t` of Student's distribution (4.3 for three seeds), which supposes roughly normal
    values. The interval is that of the mean; a single further training lies within about :math:`\pm2s`.

    Parameters
    ----------
    values : Tensor
        ``(S,)``, one number a seed; leave diverged runs out and report them by :func:`diverged`.
    floor : Score, optional
        Kept in the result.

    Returns
    -------
    mean : Score
        ``n`` counts seeds.
    spread : float
        s.
    """
    _runs(values)
    if not values.isfinite().all():
        raise CourseError(
            "A run without a finite value has no place in a mean: report it by diverged(values)."
        )
    mean, spread = float(values.double().mean()), float(values.double().std())
    half = float(student.ppf(0.975, len(values) - 1)) * spread / len(values) ** 0.5
    return Score(mean, mean - half, mean + half, len(values), floor=floor), spread


def diverged(values: Tensor, *, limit: float = float("inf")) -> Score:
    """Score the fraction of runs that ended without a finite value, or with one beyond ``limit``.

    The interval is Wilson's: none of five diverged still leaves up to 43 %. It has no floor: 0 is asked for.

    Parameters
    ----------
    values : Tensor
        ``(S,)``, the final loss or distance of each run; nan or inf where there is none.
    limit : float
        Largest size of a value that counts as converged, declared beforehand.
    """
    _runs(values)
    return proportion(~(values.abs() <= limit) | ~values.isfinite())


def folds(
    subjects: Tensor,
    k: int,
    *,
    repeats: int = 1,
    seed: int = 0,
    same_subject_in_train_and_test: bool = False,
) -> Iterator[tuple[Tensor, Tensor]]:
    """Yield the rows to train on and the rows to test on, for k-fold cross-validation by subject.

    Subjects, in random order, are dealt to k folds, each the test set once; all images of a subject go the
    same way. Slices of one volume are nearly copies of each other: with a subject on both sides a network is
    tested on what it has seen, and scores too well.

    Parameters
    ----------
    subjects : Tensor
        ``(N,)``, whole numbers: whose image each row is.
    k : int
        Folds, from 2 to the number of subjects.
    repeats : int
        How often all of it is done, dealt anew; k * repeats splits are yielded.
    seed : int
        Seed of the order.
    same_subject_in_train_and_test : bool
        The error that this function is there to prevent, for showing what it does to a score: deals rows.
    """
    if subjects.ndim != 1 or subjects.is_floating_point():
        raise CourseError(
            f"folds needs a whole number for each image that says whose it is, not {tuple(subjects.shape)} "
            f"{subjects.dtype}."
        )
    rows = len(subjects)
    if same_subject_in_train_and_test:
        dealt, units = torch.arange(rows), rows
    else:
        dealt = subjects.cpu().unique(return_inverse=True)[1]
        units = int(dealt.max()) + 1
    if not 2 <= k <= units:
        raise CourseError(f"{k} folds cannot be made of {units}: choose k from 2 to {units}.")
    draw = torch.Generator().manual_seed(seed)
    for _ in range(repeats):
        fold = torch.empty(units, dtype=torch.long)
        fold[torch.randperm(units, generator=draw)] = torch.arange(units) % k
        for test in range(k):
            inside = fold[dealt] == test
            yield (~inside).nonzero().flatten(), inside.nonzero().flatten()


def cross_validated(scores: Tensor, k: int, *, floor: Score | None = None) -> Score:
    r"""Score the mean over the splits of (repeated) k-fold cross-validation.

    The splits share training data, so their scores :math:`v_1,\dots,v_J` are no independent experiments and
    :math:`s/\sqrt J` is too small. Nadeau & Bengio (2003) put

    .. math:: \bar v\pm t_{0.975,\,J-1}\;s\,\sqrt{\frac1J+\frac{1}{k-1}}

    in its place, :math:`1/(k-1)` being the ratio of test to training set. Repeating narrows the first term
    only: more repeats are no more subjects.

    Parameters
    ----------
    scores : Tensor
        ``(J,)``, one finite number for each split of :func:`folds`; J is a multiple of k.
    k : int
        Folds.
    floor : Score, optional
        Kept in the result.

    Returns
    -------
    Score
        ``n`` counts splits.
    """
    _runs(scores)
    if len(scores) % k or k < 2 or not scores.isfinite().all():
        raise CourseError(
            f"Cross-validation with {k} folds gives {k} finite scores or a multiple, not {len(scores)}."
        )
    splits = len(scores)
    mean, spread = float(scores.double().mean()), float(scores.double().std())
    half = float(student.ppf(0.975, splits - 1)) * spread * (1 / splits + 1 / (k - 1)) ** 0.5
    return Score(mean, mean - half, mean + half, splits, floor=floor)


def _runs(values: Tensor) -> None:
    if values.ndim != 1 or len(values) < 2:
        raise CourseError(f"At least two runs, one number each (S,), are needed, not {tuple(values.shape)}.")
