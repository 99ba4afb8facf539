import math

import pytest
import torch

from medgan_course.errors import CourseError
from medgan_course.experiments.claim import Claim, _percentiles, interval, verdict

ONE_SEED_EACH = [{"x": torch.tensor([value])} for value in (1.0, 4.0, 2.0)]


def value_claim(**changes):
    return Claim(**{"statement": "So.", "metric": "x", "variant": "a", "better": "higher"} | changes)


def judged(ends, *, kind="difference", better="higher", margin=0.0, fails=None, seeds=3, profile="cpu"):
    return verdict(kind, better, margin, fails, ends, seeds=seeds, profile=profile)


@pytest.mark.parametrize(
    ("ends", "settings", "expected"),
    [
        ((0.1, 0.4), {}, "supported"),
        ((-0.1, 0.4), {}, "not shown at this scale"),
        ((-0.4, -0.1), {}, "contradicted"),
        ((-0.4, -0.1), {"better": "lower"}, "supported"),
        ((0.1, 0.4), {"better": "lower"}, "contradicted"),
        # A margin is an improvement in either direction; whatever lies wholly on its wrong side contradicts.
        ((0.1, 0.4), {"margin": 0.2}, "not shown at this scale"),
        ((0.3, 0.4), {"margin": 0.2}, "supported"),
        ((0.1, 0.3), {"margin": 1.0}, "contradicted"),
        ((0.1, 0.3), {"margin": 1.0, "fails": 0.0}, "not shown at this scale"),
        ((-0.1, -0.05), {"margin": 0.2}, "contradicted"),
        ((1.3, 1.4), {"kind": "ratio", "better": "lower", "margin": 1.2}, "contradicted"),
        ((1.1, 1.4), {"kind": "ratio", "better": "lower", "margin": 1.2}, "not shown at this scale"),
        ((1.1, 1.4), {"kind": "ratio", "margin": 1.2}, "not shown at this scale"),
        ((1.0, 1.1), {"kind": "ratio", "margin": 1.2}, "contradicted"),
        ((0.6, 0.8), {"kind": "value", "margin": 0.7}, "not shown at this scale"),
        ((-0.4, -0.3), {"margin": 0.2}, "contradicted"),
        ((-0.4, -0.3), {"margin": 0.2, "better": "lower"}, "supported"),
        ((-0.1, -0.05), {"margin": 0.2, "better": "lower"}, "contradicted"),
        ((-0.3, -0.1), {"margin": 0.2, "better": "lower"}, "not shown at this scale"),
        ((-0.1, -0.05), {"margin": 0.2, "fails": 0.0}, "contradicted"),
        # Within 1.2 times; worse than 1.5 times fails.
        ((1.0, 1.1), {"kind": "ratio", "better": "lower", "margin": 1.2, "fails": 1.5}, "supported"),
        (
            (1.1, 1.4),
            {"kind": "ratio", "better": "lower", "margin": 1.2, "fails": 1.5},
            "not shown at this scale",
        ),
        (
            (1.3, 1.4),
            {"kind": "ratio", "better": "lower", "margin": 1.2, "fails": 1.5},
            "not shown at this scale",
        ),
        ((1.6, 2.0), {"kind": "ratio", "better": "lower", "margin": 1.2, "fails": 1.5}, "contradicted"),
        # At least 0.7, fails below 0.5.
        ((0.71, 0.8), {"kind": "value", "margin": 0.7, "fails": 0.5}, "supported"),
        ((0.55, 0.6), {"kind": "value", "margin": 0.7, "fails": 0.5}, "not shown at this scale"),
        ((0.4, 0.45), {"kind": "value", "margin": 0.7, "fails": 0.5}, "contradicted"),
        ((0.4, 0.45), {"kind": "value", "margin": 0.7}, "contradicted"),
        # Neither a single training nor a smoke test shows anything.
        ((0.1, 0.4), {"seeds": 2}, "not shown at this scale"),
        ((0.1, 0.4), {"profile": "smoke"}, "not shown at this scale"),
        ((0.1, 0.4), {"profile": "gpu"}, "supported"),
        ((0.0, 0.0), {}, "not shown at this scale"),
    ],
)
def test_the_interval_against_both_thresholds(ends, settings, expected):
    assert judged(ends, **settings) == expected


def test_three_seeds_alone_give_their_range():
    # 1 of 27 resamples draws the smallest three times: more than 2.5 %.
    assert interval(value_claim(), {"a": ONE_SEED_EACH}) == pytest.approx((1.0, 4.0))


@pytest.mark.parametrize(("seeds", "expected"), [(3, 0.75), (5, 0.83), (10, 0.90)])
def test_such_a_range_covers_less_than_it_says(seeds, expected):
    """The numbers in the module's text: how often the interval holds the truth when only seeds vary."""
    draw = torch.Generator().manual_seed(0)
    experiments = torch.randn(400, seeds, generator=draw, dtype=torch.float64)
    ends = [_percentiles(values.expand(16, -1), draw) for values in experiments]
    assert sum(low <= 0 <= high for low, high in ends) / 400 == pytest.approx(expected, abs=0.04)


def test_images_stay_paired():
    images = torch.linspace(0, 100, 50)
    arms = {"a": [{"x": images + 1 + seed} for seed in (0, 0, 0)], "b": [{"x": images}] * 3}
    # One more for every image: no resampling of images can change that, if both arms have the same.
    assert interval(value_claim(baseline="b"), arms) == pytest.approx((1, 1))


def test_images_alone_as_the_normal_distribution_has_it():
    images = torch.randn(400, generator=torch.Generator().manual_seed(0))
    low, high = interval(value_claim(), {"a": [{"x": images}] * 3})
    half = 1.96 * float(images.std()) / math.sqrt(400)
    assert (low + high) / 2 == pytest.approx(float(images.mean()), abs=0.1 * half)
    assert (high - low) / 2 == pytest.approx(half, rel=0.12)


def test_seeds_and_images_both_widen():
    images = torch.randn(100, generator=torch.Generator().manual_seed(0))

    def width(shifts, images):
        low, high = interval(value_claim(), {"a": [{"x": images + shift} for shift in shifts]})
        return high - low

    of_images, of_seeds = width((0, 0, 0), images), width((-0.15, 0, 0.15), torch.zeros(1))
    both = width((-0.15, 0, 0.15), images)
    assert max(of_images, of_seeds) < both < of_images + of_seeds


def test_sets_resampled_with_replacement_do_not_shift_the_interval():
    # A score that repeated images lower: the share of different ones, 1 for the set itself, 0.63 resampled.
    claim = value_claim(score=lambda outcome: len(outcome["x"].unique()) / len(outcome["x"]))
    low, high = interval(claim, {"a": [{"x": torch.arange(200.0)}] * 3})
    assert low < 1 < high
    assert high - low < 0.2


def test_a_ratio_is_taken_seed_by_seed():
    claim = value_claim(baseline="b", compare="ratio", better="lower", margin=2.0)
    arms = {"a": ONE_SEED_EACH, "b": [{"x": torch.tensor([value])} for value in (2.0, 1.0, 4.0)]}
    assert claim.quantities(arms).tolist() == [0.5, 4.0, 0.5]
    assert interval(claim, arms) == pytest.approx((0.5, 4.0))


def test_the_seed_repeats_the_interval():
    arms = {"a": [{"x": torch.arange(20.0)}] * 3}
    first = interval(value_claim(), arms)
    assert interval(value_claim(), arms) == first
    assert interval(value_claim(), arms, seed=1) != first


def test_the_score_is_the_mean_unless_another_is_given():
    outcome = {"x": torch.tensor([1.0, 2.0, 6.0])}
    assert value_claim().of(outcome) == 3
    assert value_claim(score=lambda o: o["x"].max()).of(outcome) == 6


@pytest.mark.parametrize(
    ("changes", "sentence"),
    [
        ({"better": "more"}, "'more' is no direction"),
        ({"baseline": "b", "compare": "factor"}, "'factor'"),
        ({"baseline": "b", "margin": -0.1}, "the least improvement"),
        ({"margin": 0.5, "fails": 0.7}, "support and contradict"),
        ({"margin": 0.5, "fails": 0.3, "better": "lower"}, "support and contradict"),
        ({"baseline": "b", "margin": 0.1, "fails": 0.2}, "support and contradict"),
        ({"baseline": "b", "margin": 0.1, "fails": 0.2, "better": "lower"}, "support and contradict"),
    ],
)
def test_a_claim_that_makes_no_sense(changes, sentence):
    with pytest.raises(CourseError, match=sentence):
        value_claim(**changes)


def test_a_score_that_is_none():
    with pytest.raises(CourseError, match="no 'x', only y"):
        value_claim().of({"y": torch.ones(1)})
    with pytest.raises(CourseError, match="is nan"):
        value_claim(score=lambda outcome: math.nan).of({})


def test_the_arms_of_a_claim_are_in_order():
    assert value_claim(baseline="b", references=["floor"]).arms == ("a", "b", "floor")


def test_a_ratio_to_nothing_is_refused_also_when_only_a_resample_gives_it():
    claim = value_claim(baseline="b", compare="ratio")
    with pytest.raises(CourseError, match="x of b is 0, and no ratio"):
        claim.quantities({"a": ONE_SEED_EACH, "b": [{"x": torch.zeros(1)}] * 3})
    mostly_nothing = [{"x": torch.tensor([0.0, 0.0, 0.0, 1.0])}] * 3
    with pytest.raises(CourseError, match="x of b is 0, and no ratio"):
        interval(claim, {"a": ONE_SEED_EACH, "b": mostly_nothing})
