r"""What a classifier's answers are worth: rates, rankings, agreement, calibration.

Everywhere ``labels`` ``(n,)`` are true classes 0, 1, ..., ``predicted`` ``(n,)`` the classes given and
``scores`` or ``probabilities`` ``(n,)`` belong to class 1, the disease. With ``subjects`` ``(n,)``, whose
image each is, intervals come from drawing whole subjects (:func:`medgan_course.metrics.score.bootstrap`).

Accuracy and predictive values depend on how common the disease is in the test set. Sensitivity, specificity
and AUC do not.
"""

from typing import NamedTuple

import torch
from torch import Tensor

from medgan_course.errors import CourseError
from medgan_course.metrics.score import Score, Statistic, bootstrap, repeated

_Z = 1.959963984540054  # 0.975 quantile of the standard normal distribution


def proportion(hits: Tensor, *, subjects: Tensor | None = None, floor: Score | None = None) -> Score:
    r"""Score a share of yes answers with Wilson's interval (Wilson 1927).

    With k of n and :math:`\hat p=k/n`, :math:`z=1.96`,

    .. math::
        \frac{\hat p+\frac{z^2}{2n}\pm z\sqrt{\frac{\hat p(1-\hat p)}{n}+\frac{z^2}{4n^2}}}
        {1+\frac{z^2}{n}}.

    It keeps its width when all answers are alike, where :math:`\hat p\pm z\sqrt{\hat p(1-\hat p)/n}` and the
    bootstrap shrink to a point.

    Parameters
    ----------
    hits : Tensor
        Boolean ``(n,)``.
    subjects : Tensor, optional
        Answers about one subject are not independent: their interval comes from the bootstrap by subject.
    floor : Score, optional
        Kept in the result.
    """
    if hits.dtype != torch.bool or hits.ndim != 1 or not len(hits):
        raise CourseError(
            f"A share is taken of at least one boolean answer (n,), not of {hits.dtype} {tuple(hits.shape)}."
        )
    if subjects is not None:
        return bootstrap(hits.double(), subjects=subjects, floor=floor)
    n, p = len(hits), float(hits.double().mean())
    centre = (p + _Z**2 / (2 * n)) / (1 + _Z**2 / n)
    half = _Z * (p * (1 - p) / n + _Z**2 / (4 * n**2)) ** 0.5 / (1 + _Z**2 / n)
    return Score(p, max(0.0, centre - half), min(1.0, centre + half), n, floor=floor)


def accuracy(labels: Tensor, predicted: Tensor, *, subjects: Tensor | None = None) -> Score:
    """Score the share of right answers; its floor is always answering the most common class.

    With 95 % healthy images, "all healthy" has 0.95 and finds nobody.
    """
    _same_length(labels, predicted)
    majority = labels == labels.mode().values
    return proportion(predicted == labels, subjects=subjects, floor=proportion(majority, subjects=subjects))


def sensitivity(labels: Tensor, predicted: Tensor, *, subjects: Tensor | None = None) -> Score:
    """Score the share of diseased images called diseased; n counts the diseased ones.

    Alone it has no floor, for calling everybody diseased gives 1: read it beside :func:`specificity`.
    """
    return _share(labels, predicted, of=labels == 1, subjects=subjects)


def specificity(labels: Tensor, predicted: Tensor, *, subjects: Tensor | None = None) -> Score:
    """Score the share of healthy images called healthy; n counts the healthy ones.

    No floor, as for :func:`sensitivity`.
    """
    return _share(labels, predicted, of=labels == 0, subjects=subjects)


def predictive_value(sensitivity: Score, specificity: Score, prevalence: float) -> Score:
    r"""Score the positive predictive value at a stated prevalence, by Bayes' rule.

    .. math:: \mathrm{PPV}=\frac{\mathrm{se}\cdot\pi}{\mathrm{se}\cdot\pi+(1-\mathrm{sp})(1-\pi)}

    The test set's own prevalence is that of its collection, seldom that of the clinic: at se = sp = 0.9 the
    PPV is 0.90 at :math:`\pi` = 0.5 and 0.08 at 0.01. PPV rises with both rates, so the ends of the interval
    take both at their lower and both at their upper ends; it is wider than need be. NaN if nothing is ever
    called positive. The floor is the prevalence: what calling at random gives.
    """
    if not 0 < prevalence < 1:
        raise CourseError(f"Prevalence is the share of diseased people, between 0 and 1, not {prevalence}.")

    def at(se: float, sp: float) -> float:
        called = se * prevalence + (1 - sp) * (1 - prevalence)
        return se * prevalence / called if called else float("nan")

    return Score(
        at(sensitivity.value, specificity.value),
        at(sensitivity.low, specificity.low),
        at(sensitivity.high, specificity.high),
        sensitivity.n + specificity.n,
        floor=Score(prevalence, prevalence, prevalence, sensitivity.n + specificity.n),
    )


def f1(labels: Tensor, predicted: Tensor, *, subjects: Tensor | None = None, seed: int = 0) -> Score:
    r"""Score the harmonic mean of sensitivity and predictive value in the test set.

    .. math:: F_1=\frac{2\,\mathrm{TP}}{2\,\mathrm{TP}+\mathrm{FP}+\mathrm{FN}}

    of class 1, with true positives TP, false positives FP and false negatives FN. Healthy images called
    healthy do not count. 0 where there is neither a positive label nor a positive answer. The floor is
    that of calling everybody diseased, :math:`2\pi/(1+\pi)` with the share :math:`\pi` of diseased images.
    """
    _same_length(labels, predicted)

    def statistic(samples: Tensor) -> Tensor:
        hits = samples.prod(2).sum(1)
        return 2 * hits / samples.sum((1, 2)).clamp_min(1)

    def score(positive: Tensor, floor: Score | None = None) -> Score:
        pairs = torch.stack((labels == 1, positive), 1).double()
        return bootstrap(pairs, statistic, subjects=subjects, seed=seed, floor=floor)

    return score(predicted == 1, score(torch.ones_like(labels, dtype=torch.bool)))


def auc(labels: Tensor, scores: Tensor, *, subjects: Tensor | None = None, seed: int = 0) -> Score:
    r"""Score the area under the ROC curve with DeLong's interval (DeLong, DeLong & Clarke-Pearson 1988).

    .. math:: A=\frac1{mn}\sum_{i,j}\Bigl([s_i>t_j]+\tfrac12[s_i=t_j]\Bigr)

    for scores :math:`s_1..s_m` of diseased and :math:`t_1..t_n` of healthy images: the probability that a
    diseased one gets the higher score. With the placements :math:`V_i` (share of healthy below
    :math:`s_i`) and :math:`W_j` (share of diseased above :math:`t_j`), :math:`\mathrm{var}A\approx
    \mathrm{var}(V)/m+\mathrm{var}(W)/n`; the interval is symmetric for :math:`\ln\frac{A}{1-A}`, which keeps
    it inside [0, 1]. For a perfect ranking that variance is zero and proves nothing: the end is then
    Wilson's, for min(m, n) out of min(m, n). With ``subjects`` the interval is that of the bootstrap.

    The floor is chance: one half, and where scores of equal distributions without ties lie with so few
    images, :math:`\tfrac12\pm1.96\sqrt{(m+n+1)/(12mn)}` (Mann & Whitney 1947). It takes images as
    independent, also with ``subjects``.
    """
    _same_length(labels, scores)
    _both_classes(labels)
    m, n = int((labels == 1).sum()), int((labels != 1).sum())
    half = _Z * ((m + n + 1) / (12 * m * n)) ** 0.5
    chance = Score(0.5, max(0.0, 0.5 - half), min(1.0, 0.5 + half), m + n)
    if subjects is not None:
        ranked = torch.stack((labels == 1, scores), 1)
        return bootstrap(ranked, _auc, subjects=subjects, seed=seed, floor=chance)
    diseased, healthy = scores[labels == 1].double(), scores[labels != 1].double()
    above, below = _placements(diseased, healthy), 1 - _placements(healthy, diseased)
    area = float(above.mean())
    variance = sum(float(v.var()) / len(v) if len(v) > 1 else float("inf") for v in (above, below))
    if area in (0.0, 1.0):
        end = proportion(torch.full((min(m, n),), bool(area)))
        return Score(area, end.low, end.high, m + n, floor=chance)
    logit = torch.tensor(area).double().logit()
    half = _Z * variance**0.5 / (area * (1 - area))
    low, high = torch.stack((logit - half, logit + half)).sigmoid().tolist()
    return Score(area, low, high, m + n, floor=chance)


def macro_auc(labels: Tensor, probabilities: Tensor) -> float:
    r"""Return the mean area under the ROC curve, each class against the rest; 0.5 by chance.

    .. math:: \frac1K\sum_{k=1}^{K}A_k

    with :math:`A_k` the area of :func:`auc` for the score :math:`p_k` and the answer :math:`y=k`, over the
    classes that are present. A plain number, so without interval and floor: the score of a claim, which
    resamples it. :func:`auc` gives both for one class.

    Parameters
    ----------
    labels : Tensor
        Classes ``(n,)``, at least two of them present.
    probabilities : Tensor
        ``(n, K)``. Of K = 2 classes that sum to 1 either has the same area.
    """
    present = labels.unique().tolist()
    if probabilities.ndim != 2 or len(probabilities) != len(labels) or len(present) < 2:
        raise CourseError(
            "Areas of each class against the rest need labels (n,) of two classes or more, and probabilities "
            f"(n, classes), not {len(present)} and {tuple(probabilities.shape)}."
        )
    areas = []
    for k in present:
        own, rest = (probabilities[part, k].double() for part in (labels == k, labels != k))
        areas.append(_placements(own, rest).mean())
    return float(torch.stack(areas).mean())


def auprc(labels: Tensor, scores: Tensor, *, subjects: Tensor | None = None, seed: int = 0) -> Score:
    r"""Score the area under the precision-recall curve, as average precision.

    .. math:: \sum_k (R_k-R_{k-1})\,P_k

    over the thresholds k, recall :math:`R` and precision :math:`P`; scikit-learn's definition. Its floor,
    what random scores have, is the prevalence; so it compares only on one test set. A resample without a
    positive image counts as 0.
    """
    _same_length(labels, scores)
    _both_classes(labels)
    return bootstrap(
        torch.stack((labels == 1, scores), 1),
        _average_precision,
        subjects=subjects,
        seed=seed,
        floor=proportion(labels == 1, subjects=subjects),
    )


def cohen_kappa(a: Tensor, b: Tensor, *, subjects: Tensor | None = None, seed: int = 0) -> Score:
    r"""Score the agreement of two raters beyond chance (Cohen 1960).

    .. math:: \kappa=1-\frac{\Pr(a\ne b)}{1-\sum_k\Pr(a=k)\Pr(b=k)}

    1 for equal answers, 0 for independent ones and, by our convention, where both always give one and the
    same answer (0/0), which chance would do as well. The floor is what is left when the answers of one are
    permuted among the images, 200 times.

    Parameters
    ----------
    a, b : Tensor
        Classes ``(n,)`` that the two gave to the same n images.
    """
    _same_length(a, b)
    classes = torch.cat((a, b)).unique().double().cpu()

    def statistic(samples: Tensor) -> Tensor:
        disagree = (samples[..., 0] != samples[..., 1]).double().mean(1)
        expected = torch.ones_like(disagree)
        for k in classes:
            expected = expected - (samples == k).double().mean(1).prod(1)
        return _kappa(disagree, expected)

    floor = _permuted(a, b, statistic, seed)
    return bootstrap(torch.stack((a, b), 1), statistic, subjects=subjects, seed=seed, floor=floor)


def quadratic_kappa(a: Tensor, b: Tensor, *, subjects: Tensor | None = None, seed: int = 0) -> Score:
    r"""Score the agreement of ordinal grades beyond chance, near misses counting less (Cohen 1968).

    .. math:: \kappa_w=1-\frac{\frac1n\sum_i(a_i-b_i)^2}{\frac1{n^2}\sum_{i,j}(a_i-b_j)^2}

    Grade 0 taken for 4 costs sixteen times as much as 0 for 1. The floor is as for :func:`cohen_kappa`.

    Parameters
    ----------
    a, b : Tensor
        Integer grades ``(n,)``.
    """
    _same_length(a, b)

    def statistic(samples: Tensor) -> Tensor:
        observed = (samples[..., 0] - samples[..., 1]).square().mean(1)
        expected = samples.square().mean(1).sum(1) - 2 * samples.mean(1).prod(1)
        return _kappa(observed, expected)

    floor = _permuted(a, b, statistic, seed)
    return bootstrap(torch.stack((a, b), 1), statistic, subjects=subjects, seed=seed, floor=floor)


def brier(labels: Tensor, probabilities: Tensor) -> Tensor:
    r"""Return the Brier score :math:`(p_i-y_i)^2` of each image, ``(n,)`` in [0, 1] (Brier 1950).

    Its mean is least for the true probabilities. :math:`y_i` is 1 for class 1, else 0. Who always says the
    share :math:`\pi` of class 1 has :math:`\pi(1-\pi)`: report that beside the mean.
    """
    _probabilities(labels, probabilities)
    return (probabilities.double() - (labels == 1).double()).square()


class Reliability(NamedTuple):
    """Forecast and outcome by bins of the forecast: on the diagonal for a calibrated classifier.

    Attributes
    ----------
    forecast, frequency : Tensor
        Mean probability and share of class 1 in each bin that is not empty, ``(bins,)`` or fewer.
    n : Tensor
        Images in it.
    """

    forecast: Tensor
    frequency: Tensor
    n: Tensor


def reliability(labels: Tensor, probabilities: Tensor, *, bins: int = 10) -> Reliability:
    """Sort images into ``bins`` of equal width by their probability, for a reliability diagram."""
    _probabilities(labels, probabilities)
    index = _bin(probabilities, bins)
    count = index.bincount(minlength=bins)
    forecast, frequency = (
        index.bincount(value.double(), minlength=bins)[count > 0] / count[count > 0]
        for value in (probabilities, labels == 1)
    )
    return Reliability(forecast, frequency, count[count > 0])


def calibration_error(
    labels: Tensor, probabilities: Tensor, *, bins: int = 10, subjects: Tensor | None = None, seed: int = 0
) -> Score:
    r"""Score the expected calibration error (Naeini, Cooper & Hauskrecht 2015).

    .. math:: \sum_b\frac{n_b}{n}\Bigl|\frac1{n_b}\sum_{i\in b}(y_i-p_i)\Bigr|

    over bins b of equal width in :math:`p`. It is biased upwards, the more so the fewer images a bin holds,
    and resampling adds to that: the interval is biased upwards, too. So the floor is what a perfectly
    calibrated classifier with these very probabilities would get: outcomes drawn from them 200 times. For
    several classes pass whether the answer was right as ``labels`` and the highest probability.
    """
    _probabilities(labels, probabilities)

    def statistic(samples: Tensor) -> Tensor:
        gaps = samples[..., 0] - samples[..., 1]
        sums = torch.zeros(len(samples), bins, dtype=gaps.dtype).scatter_add(
            1, _bin(samples[..., 1], bins), gaps
        )
        return sums.abs().sum(1) / samples.shape[1]

    p = probabilities.double().cpu()
    draw = torch.Generator().manual_seed(seed)
    outcomes = torch.rand(200, len(p), generator=draw, dtype=torch.float64) < p
    calibrated = statistic(torch.stack((outcomes, p.expand(200, -1)), 2)).tolist()
    return bootstrap(
        torch.stack(((labels == 1).cpu(), p), 1),
        statistic,
        subjects=subjects,
        seed=seed,
        floor=repeated(calibrated, len(p), seed=seed),
    )


def _placements(values: Tensor, others: Tensor) -> Tensor:
    """Return the share of ``others`` below each value, ties counting one half."""
    others = others.sort().values
    below, upto = torch.searchsorted(others, values), torch.searchsorted(others, values, right=True)
    return (below + upto).double() / (2 * len(others))


def _auc(samples: Tensor) -> Tensor:
    positive, scores = (part.contiguous() for part in samples.unbind(2))
    ordered = scores.sort(1).values
    # Rank of a score, equal ones sharing the mean of their places (Mann & Whitney 1947).
    below, upto = torch.searchsorted(ordered, scores), torch.searchsorted(ordered, scores, right=True)
    m = positive.sum(1)
    ranks = (positive * (below + upto + 1) / 2).sum(1)
    area = (ranks - m * (m + 1) / 2) / (m * (positive.shape[1] - m))
    return area.nan_to_num(0.5)


def _average_precision(samples: Tensor) -> Tensor:
    positive, cost = samples[..., 0], -samples[..., 1]
    cost, order = cost.sort(1)
    hits = positive.gather(1, order)
    # All images of one score are called positive together: precision is that at the last of them.
    called = torch.searchsorted(cost, cost, right=True)
    precision = hits.cumsum(1).gather(1, called - 1) / called
    return (hits * precision).sum(1) / hits.sum(1).clamp_min(1)


def _permuted(a: Tensor, b: Tensor, statistic: Statistic, seed: int) -> Score:
    """Score the agreement that is left when b's answers are dealt to the images at random, 200 times."""
    draw = torch.Generator().manual_seed(seed)
    a, b = a.double().cpu(), b.double().cpu()
    dealt = torch.stack([torch.stack((a, b[torch.randperm(len(b), generator=draw)]), 1) for _ in range(200)])
    return repeated(statistic(dealt).tolist(), len(a), seed=seed)


def _kappa(observed: Tensor, expected: Tensor) -> Tensor:
    by_chance = expected <= 1e-12
    return torch.where(by_chance, 0.0, 1 - observed / expected.masked_fill(by_chance, 1.0))


def _bin(probabilities: Tensor, bins: int) -> Tensor:
    return (probabilities.double() * bins).long().clamp(max=bins - 1)


def _share(labels: Tensor, predicted: Tensor, *, of: Tensor, subjects: Tensor | None) -> Score:
    _same_length(labels, predicted)
    _both_classes(labels)
    right = (predicted == labels)[of]
    return proportion(right, subjects=None if subjects is None else subjects[of])


def _same_length(a: Tensor, b: Tensor) -> None:
    if a.ndim != 1 or a.shape != b.shape:
        raise CourseError(
            "One answer belongs to each label: shapes (n,) and (n,), not "
            f"{tuple(a.shape)} and {tuple(b.shape)}."
        )


def _both_classes(labels: Tensor) -> None:
    found = labels.unique().tolist()
    if found != [0, 1]:
        raise CourseError(
            f"This metric is about classes 0 and 1, both present in the test set; the labels are {found}: "
            "for one class among several pass labels == k."
        )


def _probabilities(labels: Tensor, probabilities: Tensor) -> None:
    _same_length(labels, probabilities)
    if probabilities.min() < 0 or probabilities.max() > 1:
        raise CourseError(
            "Calibration is about probabilities in [0, 1], but the values reach from "
            f"{float(probabilities.min()):.3g} to {float(probabilities.max()):.3g}: "
            "apply a sigmoid to logits."
        )
