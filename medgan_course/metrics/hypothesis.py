"""Tests of one-dimensional statistics of images: which of them differ, by how much, and how surely."""

import math
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Literal

from scipy.special import kolmogi
from scipy.stats import ks_2samp
from torch import Tensor

from medgan_course.errors import CourseError
from medgan_course.metrics.score import Score


@dataclass(frozen=True)
class KolmogorovSmirnov:
    """One statistic, compared between real and generated images.

    Attributes
    ----------
    effect : Score
        D, the largest gap between the two distribution functions, from 0 to 1, with its interval; the floor
        is the D that equal distributions give at these numbers of images.
    p : float
        Probability of a D as large or larger if the distributions were equal.
    adjusted : float
        The same, corrected for the number of statistics tested together.
    """

    effect: Score
    p: float
    adjusted: float


def ks_two_sample(
    real: Mapping[str, Tensor],
    fake: Mapping[str, Tensor],
    *,
    correction: Literal["holm", "bonferroni"] = "holm",
) -> dict[str, KolmogorovSmirnov]:
    r"""Test statistic by statistic whether generated images are distributed as real ones.

    .. math:: D=\sup_t|F_r(t)-F_g(t)|

    with the empirical distribution functions :math:`F` (Smirnov 1939). D is the effect and p the evidence:
    with thousands of images p rejects differences too small to matter, and it says nothing of diversity. p is
    SciPy's ``ks_2samp``, two-sided. It supposes independent images: pass one value a subject.

    The 95 % interval holds for any two distributions: D is off by at most

    .. math:: \sup_t|(\hat F_r-F_r)(t)-(\hat F_g-F_g)(t)|,

    which for m real and n generated values exceeds

    .. math:: c=K_{0.95}\sqrt{\tfrac1m+\tfrac1n}, \qquad K_{0.95}=1.358

    in 5 % of cases if the distributions are equal and in fewer if not, for large m and n. So
    :math:`D\pm c` is on the safe side. A bootstrap of D is not: D is biased upwards.

    Parameters
    ----------
    real, fake : mapping of str to Tensor
        The same names in both, each with finite values ``(m,)`` and ``(n,)``, at least 8: mean grey level,
        organ area, largest correlation with a training image.
    correction : {"holm", "bonferroni"}
        See :func:`holm` and :func:`bonferroni`. Holm's rejects all that Bonferroni's does, and more.

    Returns
    -------
    dict of str to KolmogorovSmirnov
        In the order of ``real``.
    """
    if real.keys() != fake.keys() or not real:
        raise CourseError(
            f"The same statistics are needed of both sets, not {', '.join(real) or 'none'} of the real and "
            f"{', '.join(fake) or 'none'} of the generated images."
        )
    if correction not in CORRECTIONS:
        raise CourseError(f"correction={correction!r} is not known: choose 'holm' or 'bonferroni'.")
    found = {}
    for name in real:
        a, b = (values[name].double().cpu() for values in (real, fake))
        for values in (a, b):
            if values.ndim != 1 or len(values) < 8 or not values.isfinite().all():
                raise CourseError(f"{name} needs at least 8 finite values (n,), not {tuple(values.shape)}.")
        test = ks_2samp(a.numpy(), b.numpy())
        found[name] = _effect(float(test.statistic), len(a), len(b)), float(test.pvalue)
    adjusted = CORRECTIONS[correction]([p for _, p in found.values()])
    return {
        name: KolmogorovSmirnov(effect, p, after)
        for (name, (effect, p)), after in zip(found.items(), adjusted, strict=True)
    }


def bonferroni(p: list[float]) -> list[float]:
    r"""Return :math:`\min(1, k\,p_i)` for k tests.

    If nothing differs, the chance that any of them falls below 0.05 is at most 0.05.
    """
    return [min(1.0, len(p) * each) for each in p]


def holm(p: list[float]) -> list[float]:
    r"""Return Holm's (1979) adjusted p-values, which control the same error as Bonferroni's and reject more.

    .. math:: \tilde p_{(i)}=\max_{j\le i}\,\min\bigl(1,(k-j+1)\,p_{(j)}\bigr)

    with :math:`p_{(1)}\le\dots\le p_{(k)}` the p-values in order.
    """
    adjusted, largest = [0.0] * len(p), 0.0
    for place, i in enumerate(sorted(range(len(p)), key=p.__getitem__)):
        largest = max(largest, min(1.0, (len(p) - place) * p[i]))
        adjusted[i] = largest
    return adjusted


CORRECTIONS = {"holm": holm, "bonferroni": bonferroni}


def _effect(distance: float, m: int, n: int) -> Score:
    scale = (1 / m + 1 / n) ** 0.5
    # Of Kolmogorov's distribution the 0.95 quantile, and the mean with the central 95 %.
    reach = float(kolmogi(0.05)) * scale
    fewer = min(m, n)
    middle = math.sqrt(math.pi / 2) * math.log(2)
    floor = Score(middle * scale, float(kolmogi(0.975)) * scale, float(kolmogi(0.025)) * scale, fewer)
    return Score(distance, max(0.0, distance - reach), min(1.0, distance + reach), fewer, floor=floor)
