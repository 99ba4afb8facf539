"""Bootstrap intervals: by hand, by simulation, paired, by subject."""

import pytest
import torch

from medgan_course.errors import CourseError
from medgan_course.metrics.score import Score, bootstrap, paired_difference, repeated


def normal(*shape, seed):
    return torch.randn(*shape, generator=torch.Generator().manual_seed(seed))


def test_a_score_prints_value_and_interval_with_a_single_place_to_break_the_line():
    text = str(Score(1.2345, 0.9, 1.5678, 250))
    assert text.split(" ") == ["1.23", "[0.9,\N{NO-BREAK SPACE}1.57]"]


def test_the_result_holds_value_n_seed_and_floor():
    chance = Score(0.5, 0.4, 0.6, 4)
    score = bootstrap(torch.tensor([0.0, 0.0, 1.0, 3.0]), seed=7, floor=chance)
    assert (score.value, score.n, score.seed, score.floor) == (1.0, 4, 7, chance)


def test_the_interval_of_two_values_is_known_exactly():
    # Resamples of {0, 1}: means 0, 1/2, 1 with probabilities 1/4, 1/2, 1/4; both ends beyond 2.5 %.
    score = bootstrap(torch.tensor([0.0, 1.0]))
    assert (score.low, score.value, score.high) == (0, 0.5, 1)


def test_the_interval_of_a_mean_has_the_width_of_the_standard_error():
    values = normal(400, seed=0) * 3
    score = bootstrap(values, repeats=4000)
    half = 1.96 * float(values.std(correction=0)) / 20
    # 2.5 % quantiles of 4000 draws scatter by about 2 % of the width.
    assert score.high - score.value == pytest.approx(half, rel=0.08)
    assert score.value - score.low == pytest.approx(half, rel=0.08)


def test_the_interval_covers_the_truth_in_about_95_of_100_experiments():
    # Skewed values, exponential with mean 1, n = 60.
    draws = -torch.rand(300, 60, generator=torch.Generator().manual_seed(1)).log()
    inside = [s.low <= 1 <= s.high for s in (bootstrap(v, repeats=300, seed=i) for i, v in enumerate(draws))]
    # Standard error of the share: sqrt(0.95 * 0.05 / 300) = 0.013; skewness costs about 0.02.
    assert 0.89 < sum(inside) / 300 < 0.98


def test_a_statistic_may_be_any_function_of_rows():
    rows = torch.tensor([[1.0, 2.0], [2.0, 4.0], [3.0, 6.0]])
    ratio = bootstrap(rows, lambda s: s[..., 1].sum(1) / s[..., 0].sum(1))
    # Rows stay whole: the ratio is 2 in every resample.
    assert (ratio.low, ratio.value, ratio.high) == (2, 2, 2)
    median = bootstrap(torch.tensor([0.0, 1.0, 50.0]), lambda s: s.median(1).values)
    assert median.value == 1


def test_pairing_removes_what_both_methods_share():
    hard = 10 * normal(100, seed=2)
    a, b = hard + 0.5 + 0.1 * normal(100, seed=3), hard
    paired = paired_difference(a, b)
    assert paired.value == pytest.approx(float((a - b).mean()), abs=1e-6)
    assert 0.4 < paired.low < paired.high < 0.6
    assert bootstrap(a).low < bootstrap(b).value < bootstrap(a).high  # alone, nothing is seen
    assert paired_difference(b, a).value == pytest.approx(-paired.value)


def test_drawing_subjects_widens_the_interval_by_what_their_images_share():
    # 50 subjects with 8 images each that are all alike: as many independent values as subjects.
    subjects = torch.arange(50).repeat_interleave(8)[
        torch.randperm(400, generator=torch.Generator().manual_seed(0))
    ]
    values = normal(50, seed=4)[subjects]
    images, by_subject = bootstrap(values), bootstrap(values, subjects=subjects)
    assert by_subject.value == images.value
    assert (by_subject.high - by_subject.low) / (images.high - images.low) == pytest.approx(8**0.5, rel=0.12)


def test_subjects_of_one_image_each_are_the_plain_bootstrap():
    values = normal(40, seed=5)
    plain, alone = bootstrap(values), bootstrap(values, subjects=torch.arange(40), seed=1)
    assert (alone.low, alone.high) == pytest.approx((plain.low, plain.high), abs=0.06)


def test_many_values_are_resampled_in_parts():
    values = normal(3000, 4, seed=6)
    score = bootstrap(values, lambda s: s.mean((1, 2)), repeats=1000)
    half = 1.96 * float(values.std()) / 12000**0.5
    assert score.high - score.low == pytest.approx(2 * half, rel=0.15)


def test_the_same_seed_gives_the_same_interval_and_leaves_the_global_state_alone():
    values, before = normal(30, seed=7), torch.get_rng_state()
    first, again, other = (bootstrap(values, seed=s) for s in (0, 0, 1))
    assert first == again
    assert first.low != other.low
    assert torch.equal(torch.get_rng_state(), before)


def test_repeated_draws_are_summarised_by_mean_and_quantiles():
    score = repeated([3.0, 1.0, 2.0, 4.0], 5, seed=3, widen=2.0)
    # Quantiles by interpolation: 1 + 0.025 * 3 and 4 - 0.025 * 3, 1.425 from the mean, times 2.
    assert (score.value, score.n, score.seed) == (2.5, 5, 3)
    assert (score.low, score.high) == pytest.approx((2.5 - 2.85, 2.5 + 2.85))


def test_what_has_no_interval_is_refused():
    with pytest.raises(CourseError, match=r"at least two values, not \(1,\)"):
        bootstrap(torch.ones(1))
    with pytest.raises(CourseError, match=r"Value 2 of 3 is \[nan\]"):
        bootstrap(torch.tensor([0.0, 1.0, float("nan")]))
    with pytest.raises(CourseError, match=r"\(3,\) and \(4,\)"):
        paired_difference(torch.ones(3), torch.ones(4))
    with pytest.raises(CourseError, match=r"each of the 3 values is, not \(2,\)"):
        bootstrap(torch.ones(3), subjects=torch.arange(2))
    with pytest.raises(CourseError, match="at least two subjects"):
        bootstrap(torch.ones(3), subjects=torch.zeros(3))
