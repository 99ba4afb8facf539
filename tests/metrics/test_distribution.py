"""Fréchet and kernel distance against closed forms, and what sampling adds to them."""

import numpy as np
import pytest
import scipy.linalg
import torch

from medgan_course.errors import CourseError
from medgan_course.metrics.distribution import Score, compare, floor, frechet_distance, kernel_distance


def gaussian(n, d, seed):
    return torch.randn(n, d, generator=torch.Generator().manual_seed(seed))


def test_frechet_in_one_dimension_is_the_difference_of_means_and_standard_deviations():
    a, b = torch.tensor([[0.0], [2.0], [4.0]]), torch.tensor([[1.0], [7.0]])
    # means 2 and 4, standard deviations 2 and sqrt(18), all by hand
    assert frechet_distance(a, b) == pytest.approx((2 - 4) ** 2 + (2 - 18**0.5) ** 2)


def test_frechet_of_a_shift_is_its_squared_length_and_of_a_doubling_the_trace():
    a = gaussian(50, 3, 0)
    assert frechet_distance(a, a + torch.tensor([1.0, -2.0, 3.0])) == pytest.approx(14, rel=1e-5)
    centred = a - a.mean(0)
    assert frechet_distance(centred, 2 * centred) == pytest.approx(float(torch.cov(a.T).trace()), rel=1e-5)


def test_frechet_with_covariances_that_do_not_commute_equals_the_matrix_square_root():
    a, b = gaussian(40, 4, 1) @ gaussian(4, 4, 2), gaussian(60, 4, 3) @ gaussian(4, 4, 4) + 0.5
    s_a, s_b = np.cov(a.double().numpy().T), np.cov(b.double().numpy().T)
    means = float((a.double().mean(0) - b.double().mean(0)).square().sum())
    expected = means + np.trace(s_a + s_b - 2 * scipy.linalg.sqrtm(s_a @ s_b).real)
    assert frechet_distance(a, b) == pytest.approx(expected, rel=1e-6)


def test_frechet_is_symmetric_and_zero_for_equal_sets_even_when_features_are_constant():
    a, b = gaussian(30, 5, 5), gaussian(30, 5, 6)
    assert frechet_distance(a, b) == pytest.approx(frechet_distance(b, a))
    a[:, 2:] = 1.0
    assert frechet_distance(a, a) == pytest.approx(0, abs=1e-9)


def test_kernel_distance_of_two_pairs_by_hand():
    a, b = torch.tensor([[0.0], [1.0]]), torch.tensor([[1.0], [2.0]])
    # k(x, y) = (xy + 1)^3: k(0, 1) = 1; k(1, 2) = 27; the cross terms are 1, 1, 8, 27 with mean 37 / 4
    assert kernel_distance(a, b) == pytest.approx(1 + 27 - 2 * 37 / 4)


def test_kernel_distance_is_unbiased_where_frechet_is_not():
    kernel, frechet = (
        [distance(gaussian(20, 4, 2 * i), gaussian(20, 4, 2 * i + 1)) for i in range(300)]
        for distance in (kernel_distance, frechet_distance)
    )
    standard_error = np.std(kernel) / len(kernel) ** 0.5
    assert abs(np.mean(kernel)) < 4 * standard_error
    assert np.mean(frechet) > 10 * np.std(frechet) / len(frechet) ** 0.5


@pytest.mark.parametrize("distance", [frechet_distance, kernel_distance])
@pytest.mark.parametrize("shapes", [((5, 3), (5, 4)), ((1, 3), (5, 3)), ((5, 3, 2), (5, 3, 2))])
def test_features_of_the_wrong_shape_are_refused(distance, shapes):
    with pytest.raises(CourseError, match=r"at least two rows"):
        distance(*[torch.zeros(shape) for shape in shapes])


def test_the_floor_draws_two_disjoint_sets():
    drawn = []

    def record(a, b):
        drawn.append((set(a[:, 0].tolist()), set(b[:, 0].tolist())))
        return 0.0

    floor(record, torch.arange(10.0)[:, None], n=5, repeats=8)
    assert all(len(a) == len(b) == 5 and not a & b for a, b in drawn)
    assert len({frozenset(a) for a, _ in drawn}) > 1


def test_compare_draws_n_of_each_without_replacement_and_summarises_the_draws():
    values = iter([3.0, 1.0, 2.0, 4.0])

    def record(a, b):
        assert len(set(a[:, 0].tolist())) == len(set(b[:, 0].tolist())) == 3
        return next(values)

    score = compare(record, torch.arange(9.0)[:, None], torch.arange(6.0)[:, None], n=3, repeats=4)
    assert (score.value, score.n) == (2.5, 3)
    # Quantiles by interpolation: 1 + 0.025 * 3 and 4 - 0.025 * 3, 1.425 from the mean, times sqrt(2).
    assert (score.low, score.high) == pytest.approx((2.5 - 1.425 * 2**0.5, 2.5 + 1.425 * 2**0.5))


@pytest.mark.parametrize("pool", [100, 400])
def test_the_intervals_are_as_wide_as_those_of_independent_draws(pool):
    def difference_of_means(a, b):
        return float(a.mean() - b.mean())

    # For standard normal numbers the difference of two means of 50 has standard deviation sqrt(2 / 50).
    independent = 2 * 1.96 * (2 / 50) ** 0.5
    sets = [(gaussian(pool, 1, 2 * i), gaussian(pool, 1, 2 * i + 1)) for i in range(40)]
    widths = [compare(difference_of_means, a, b, n=50, repeats=100) for a, b in sets]
    floors = [floor(difference_of_means, a, n=50, repeats=100) for a, _ in sets]
    for scores in (widths, floors):
        assert np.mean([s.high - s.low for s in scores]) == pytest.approx(independent, rel=0.1)


def test_the_same_seed_gives_the_same_score_and_another_seed_another():
    real, fake = gaussian(60, 3, 7), gaussian(60, 3, 8) + 1
    first, again, other = (compare(frechet_distance, real, fake, n=30, seed=s) for s in (0, 0, 1))
    assert first == again != other


def test_a_shifted_set_scores_above_the_floor():
    real, fake = gaussian(400, 4, 9), gaussian(400, 4, 10) + 1
    assert compare(frechet_distance, real, fake, n=150).low > floor(frechet_distance, real, n=150).high


def test_asking_for_more_images_than_there_are_is_refused():
    with pytest.raises(CourseError, match=r"pools of 6 .* 9 real and 5 generated"):
        compare(frechet_distance, gaussian(9, 2, 0), gaussian(5, 2, 0), n=3)
    with pytest.raises(CourseError, match="two disjoint sets of n = 3"):
        floor(frechet_distance, gaussian(5, 2, 0), n=3)


def test_a_score_prints_value_and_interval_with_a_single_place_to_break_the_line():
    text = str(Score(1.2345, 0.9, 1.5678, 250))
    assert text.split(" ") == ["1.23", "[0.9,\N{NO-BREAK SPACE}1.57]"]
