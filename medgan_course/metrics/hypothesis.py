"""Tests of one-dimensional statistics of images: which of them differ, by how much, and how surely."""

import math
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Literal

import torch
from scipy.special import kolmogi
from scipy.stats import ks_2samp
from torch import Tensor

from medgan_course.errors import CourseError
from medgan_course.metrics.score import Score, central

HALVES = 200


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
    seed: int = 0,
) -> dict[str, KolmogorovSmirnov]:
    r"""Test statistic by statistic whether generated images are distributed as real ones.

    .. math:: D=\sup_t|F_r(t)-F_g(t)|

    with the empirical distribution functions :math:`F` (Smirnov 1939). D is the effect and p the evidence:
    with thousands of images p rejects differences too small to matter, and it says nothing of diversity. p is
    SciPy's ``ks_2samp``, two-sided. It supposes independent images: pass one value a subject.

    The interval of D is that of half-sampling (McCarthy 1969): halves drawn without replacement from both
    sets scatter about their mean as the D of new sets of the full size would. Where D is no larger than its
    floor it is not to be read, since D cannot fall below zero.

    Parameters
    ----------
    real, fake : mapping of str to Tensor
        The same names in both, each with finite values ``(m,)`` and ``(n,)``, at least 8: mean grey level,
        organ area, largest correlation with a training image.
    correction : {"holm", "bonferroni"}
        See :func:`holm` and :func:`bonferroni`. Holm's rejects all that Bonferroni's does, and more.
    seed : int
        Seed of the halves.

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
    effects, p = [], []
    for name, a in real.items():
        b = fake[name]
        for values in (a, b):
            if values.ndim != 1 or len(values) < 8 or not values.isfinite().all():
                raise CourseError(f"{name} needs at least 8 finite values (n,), not {tuple(values.shape)}.")
        effects.append(_effect(a.double().cpu(), b.double().cpu(), seed))
        p.append(float(ks_2samp(a.double().cpu().numpy(), b.double().cpu().numpy()).pvalue))
    adjusted = CORRECTIONS[correction](p)
    return {
        name: KolmogorovSmirnov(*found)
        for name, *found in zip(real, effects, p, adjusted, strict=True)  # type: ignore[misc]
    }


def bonferroni(p: list[float]) -> list[float]:
    r"""Return :math:`\min(1, k\,p_i)` for k tests: rejecting below 5 % any error has at most 5 %."""
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


def _effect(a: Tensor, b: Tensor, seed: int) -> Score:
    draw = torch.Generator().manual_seed(seed)
    value = float(_gap(a[None], b[None]))

    def halves(values: Tensor) -> Tensor:
        order = torch.rand(HALVES, len(values), generator=draw).argsort(1)
        return values[order[:, : len(values) // 2]]

    drawn = _gap(halves(a), halves(b))
    low, high = (min(1.0, max(0.0, value + end - float(drawn.mean()))) for end in central(drawn))
    # Equal continuous distributions: sqrt(mn / (m + n)) D follows Kolmogorov's distribution (large m, n).
    scale = (1 / len(a) + 1 / len(b)) ** 0.5
    mean = math.sqrt(math.pi / 2) * math.log(2)
    chance = [float(each) * scale for each in (mean, kolmogi(0.975), kolmogi(0.025))]
    n = min(len(a), len(b))
    return Score(value, low, high, n, seed, Score(*chance, n))


def _gap(a: Tensor, b: Tensor) -> Tensor:
    """Return D for each row of ``(R, m)`` and ``(R, n)``."""
    a, b = a.sort(1).values, b.sort(1).values
    at = torch.cat([a, b], dim=1)
    below = [torch.searchsorted(x, at, right=True).double() / x.shape[1] for x in (a, b)]
    return (below[0] - below[1]).abs().amax(1)
