"""Fréchet and kernel distance against closed forms, and what sampling adds to them."""

import functools

import numpy as np
import pytest
import scipy.linalg
import torch
from sklearn.metrics.pairwise import polynomial_kernel

from medgan_course.errors import CourseError
from medgan_course.metrics.distribution import (
    compare,
    floor,
    frechet_distance,
    inception_score,
    kernel_distance,
    sliced_wasserstein,
)


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
    values = iter([3.0, 1.0, 2.0, 4.0, *[0.5] * 4])

    def record(a, b):
        assert len(set(a[:, 0].tolist())) == len(set(b[:, 0].tolist())) == 3
        return next(values)

    score = compare(record, torch.arange(9.0)[:, None], torch.arange(6.0)[:, None], n=3, repeats=4)
    assert (score.value, score.n) == (2.5, 3)
    # Quantiles by interpolation: 1 + 0.025 * 3 and 4 - 0.025 * 3, 1.425 from the mean, times sqrt(2).
    assert (score.low, score.high) == pytest.approx((2.5 - 1.425 * 2**0.5, 2.5 + 1.425 * 2**0.5))
    assert (score.floor.value, score.floor.n, score.floor.floor) == (0.5, 3, None)


def test_the_floor_within_a_score_is_the_floor_by_itself():
    real, fake = gaussian(60, 3, 11), gaussian(60, 3, 12) + 1
    score = compare(frechet_distance, real, fake, n=20, repeats=5, seed=4)
    assert score.floor == floor(frechet_distance, real, n=20, repeats=5, seed=4)
    assert score.seed == score.floor.seed == 4


def test_the_floor_of_frechet_falls_as_one_over_n_and_that_of_the_kernel_distance_stays_at_zero():
    real = gaussian(1500, 8, 13)
    few, many = (floor(frechet_distance, real, n=n, repeats=20).value for n in (100, 400))
    assert few / many == pytest.approx(4, rel=0.15)
    kernel = floor(kernel_distance, real, n=100)
    assert kernel.low < 0 < kernel.high


def test_every_distance_sees_a_dropped_mode():
    mode = torch.arange(600) % 3
    real = gaussian(600, 4, 14) + 4 * torch.nn.functional.one_hot(mode, 4)
    for distance in (frechet_distance, kernel_distance, sliced_wasserstein):
        beyond = compare(distance, real, real[mode != 2], n=200, repeats=6)
        assert beyond.low > beyond.floor.high


def test_sliced_wasserstein_of_a_shift_is_its_length_over_root_d():
    a = gaussian(200, 3, 15)
    shift = torch.tensor([1.0, -2.0, 2.0])
    # E (theta . shift)^2 = |shift|^2 / d on the unit sphere
    assert sliced_wasserstein(a, a + shift, projections=5000) == pytest.approx(3 / 3**0.5, rel=0.03)


def test_sliced_wasserstein_in_one_dimension_matches_sorted_values_whatever_their_order():
    a, b = torch.tensor([[0.0], [5.0], [1.0]]), torch.tensor([[7.0], [1.0], [0.0]])
    # sorted: 0, 1, 5 and 0, 1, 7
    assert sliced_wasserstein(a, b) == pytest.approx((4 / 3) ** 0.5)


def test_sliced_wasserstein_sees_what_mean_and_covariance_do_not():
    normal, coins = gaussian(4000, 1, 16), torch.tensor([[-1.0], [1.0]]).repeat(2000, 1)
    normal, coins = ((x - x.mean()) / x.std() for x in (normal, coins))
    assert frechet_distance(normal, coins) == pytest.approx(0, abs=1e-6)
    # E (|Z| - 1)^2 = 2 - 2 sqrt(2 / pi)
    assert sliced_wasserstein(normal, coins) == pytest.approx((2 - 2 * (2 / np.pi) ** 0.5) ** 0.5, rel=0.03)
    with pytest.raises(CourseError, match="equal size, not 4000 and 3"):
        sliced_wasserstein(normal, coins[:3])


def test_one_perfect_image_per_class_repeated_has_inception_score_k():
    certain = torch.eye(5).repeat(40, 1)
    score = inception_score(certain, torch.full((50, 5), 0.2), repeats=200)
    assert score.value == pytest.approx(5)
    assert score.high <= 5 + 1e-9
    assert score.floor.value == pytest.approx(1)
    assert (score.n, score.floor.n) == (200, 50)


def test_inception_score_by_hand_and_against_torch_fidelity():
    p = torch.tensor([[0.8, 0.2], [0.4, 0.6]])
    # marginal (0.6, 0.4): half the sum of the two divergences
    by_hand = 0.5 * (0.8 * np.log(0.8 / 0.6) + 0.2 * np.log(0.2 / 0.4))
    by_hand += 0.5 * (0.4 * np.log(0.4 / 0.6) + 0.6 * np.log(0.6 / 0.4))
    assert inception_score(p, p).value == pytest.approx(np.exp(by_hand), rel=1e-6)
    metric = pytest.importorskip("torch_fidelity.metric_isc")
    logits = gaussian(300, 7, 18) * 2
    theirs = metric.isc_features_to_metric(logits, splits=1)["inception_score_mean"]
    p = logits.softmax(1)
    assert inception_score(p, p, repeats=10).value == pytest.approx(theirs, rel=1e-5)


def test_logits_in_the_place_of_probabilities_are_refused():
    p = torch.full((4, 2), 0.5)
    for wrong in (torch.tensor([[2.0, -1.0]]), torch.ones(3, 2), torch.ones(4)):
        with pytest.raises(CourseError, match="sum to 1"):
            inception_score(wrong, p)


def test_frechet_and_kernel_distance_agree_with_torch_fidelity():
    fid = pytest.importorskip("torch_fidelity.metric_fid")
    kid = pytest.importorskip("torch_fidelity.metric_kid")
    a, b = gaussian(500, 16, 19).relu(), (1.2 * gaussian(400, 16, 20)).relu()
    theirs = fid.fid_statistics_to_metric(
        *[{"mu": x.double().mean(0).numpy(), "sigma": np.cov(x.double().numpy().T)} for x in (a, b)],
        verbose=False,
    )["frechet_inception_distance"]
    assert frechet_distance(a, b) == pytest.approx(theirs, rel=1e-6)
    kernel = functools.partial(polynomial_kernel, degree=3, coef0=1)  # gamma is 1 / d
    x, y = a[:400].double().numpy(), b.double().numpy()
    theirs = kid.mmd2(kernel(x, x), kernel(x, y), kernel(y, y))
    assert kernel_distance(a[:400], b) == pytest.approx(theirs, rel=1e-4)


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
