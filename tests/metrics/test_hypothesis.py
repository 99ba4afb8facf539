"""Kolmogorov-Smirnov with correction: SciPy, corrections by hand, simulation where nothing differs."""

import pytest
import torch
from scipy.stats import ks_2samp, kstest, norm

from medgan_course.errors import CourseError
from medgan_course.metrics.hypothesis import bonferroni, holm, ks_two_sample


def normal(n, seed, mean=0.0):
    return torch.randn(n, generator=torch.Generator().manual_seed(seed)) + mean


def test_effect_and_p_agree_with_scipy_with_and_without_ties():
    for a, b in (
        (normal(50, 0), normal(70, 1, 0.4)),
        (normal(50, 2).round(), normal(40, 3, 0.5).round()),
    ):
        theirs = ks_2samp(a.double().numpy(), b.double().numpy())
        found = ks_two_sample({"t": a}, {"t": b})["t"]
        assert found.effect.value == pytest.approx(theirs.statistic, abs=1e-12)
        assert found.p == pytest.approx(theirs.pvalue, abs=1e-12)
        assert found.adjusted == found.p
        assert found.effect.n == min(len(a), len(b))


def test_the_interval_of_separate_sets_by_hand():
    effect = ks_two_sample({"t": normal(50, 4)}, {"t": normal(25, 5, 50)})["t"].effect
    assert (effect.value, effect.high, effect.n) == (1, 1, 25)
    # Critical value of the 5 % level from the tables, 1.358, times sqrt(1/50 + 1/25)
    assert effect.low == pytest.approx(1 - 1.358 * 0.06**0.5, abs=1e-3)


def test_corrections_by_hand():
    p = [0.01, 0.04, 0.03, 0.005]
    assert bonferroni(p) == pytest.approx([0.04, 0.16, 0.12, 0.02])
    # In order: 4 x 0.005, 3 x 0.01, 2 x 0.03, then 1 x 0.04 raised to the one before.
    assert holm(p) == pytest.approx([0.03, 0.06, 0.06, 0.02])
    assert holm([0.6, 0.7]) == [1, 1]
    assert holm([]) == []


def test_holm_is_applied_over_statistics_and_bonferroni_on_request():
    real = {name: normal(60, s) for s, name in enumerate("abc")}
    fake = {name: normal(60, 10 + s, 0.3 * s) for s, name in enumerate("abc")}
    plain = [ks_two_sample({k: real[k]}, {k: fake[k]})[k].p for k in "abc"]
    for correction, adjust in (("holm", holm), ("bonferroni", bonferroni)):
        found = ks_two_sample(real, fake, correction=correction)
        assert list(found) == ["a", "b", "c"]
        assert [each.adjusted for each in found.values()] == adjust(plain)


def test_p_is_uniform_and_the_floor_covers_d_when_nothing_differs():
    found = [ks_two_sample({"t": normal(40, 2 * i)}, {"t": normal(41, 2 * i + 1)})["t"] for i in range(500)]
    # 40 and 41 have no common divisor: D, and so p, takes many values.
    assert kstest([each.p for each in found], "uniform").pvalue > 0.01
    inside = [each.effect.floor.low <= each.effect.value <= each.effect.floor.high for each in found]
    # The floor is that of large sets; 40 images stay below its lower end a little too often.
    assert 0.89 < sum(inside) / 500 < 0.98
    assert sum(each.effect.value > each.effect.floor.high for each in found) / 500 < 0.04
    assert all(each.effect.low == 0 for each in found if each.p > 0.05)


def test_correction_keeps_the_family_from_erring_where_single_tests_do():
    plain = corrected = 0
    for i in range(60):
        real = {str(k): normal(60, 1000 * i + k) for k in range(10)}
        fake = {str(k): normal(60, 1000 * i + 500 + k) for k in range(10)}
        found = ks_two_sample(real, fake).values()
        plain += any(each.p < 0.05 for each in found)
        corrected += any(each.adjusted < 0.05 for each in found)
    assert plain > 12  # 1 - 0.95^10 = 40 % of 60, less for discrete p
    assert corrected <= 9  # 5 %: 3, plus four standard errors


def test_the_interval_of_a_real_difference_covers_it_and_its_floor_lies_below():
    # Normal distributions a shift s apart have D = 2 Phi(s / 2) - 1.
    true = 2 * norm.cdf(0.4) - 1
    effects = [
        ks_two_sample({"t": normal(100, 2 * i)}, {"t": normal(100, 2 * i + 1, 0.8)})["t"].effect
        for i in range(100)
    ]
    assert sum(e.low <= true <= e.high for e in effects) >= 95
    assert sum(e.value > e.floor.high for e in effects) > 90


def test_with_many_images_a_trivial_difference_is_significant_and_small():
    found = ks_two_sample({"t": normal(9000, 6)}, {"t": normal(9000, 7, 0.05)})["t"]
    assert found.p < 0.01
    assert found.effect.value < 0.05


def test_wrong_arguments_are_refused():
    good = {"area": normal(9, 8)}
    with pytest.raises(CourseError, match="not area of the real and mean of the generated"):
        ks_two_sample(good, {"mean": normal(9, 8)})
    with pytest.raises(CourseError, match="choose 'holm' or 'bonferroni'"):
        ks_two_sample(good, good, correction="none")
    for wrong in (torch.ones(3), torch.ones(9, 2), torch.full((9,), torch.nan)):
        with pytest.raises(CourseError, match="area needs at least 8 finite values"):
            ks_two_sample(good, {"area": wrong})
