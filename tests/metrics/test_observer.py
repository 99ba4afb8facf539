"""Observers whose ability is known, scored."""

import math
from statistics import NormalDist

import pytest
import torch
from scipy.stats import binom, norm

from medgan_course.errors import CourseError
from medgan_course.metrics.classification import cohen_kappa
from medgan_course.metrics.observer import blinded, detail, power, scripted_observer, turing_test

shown = torch.arange(40) % 2 == 0


def test_an_ideal_observer_is_always_right():
    found = turing_test(shown, scripted_observer(shown, d_prime=math.inf))
    assert found.accuracy.value == 1
    assert found.accuracy.low > 0.9
    # Hits 20.5 / 21 and false alarms 0.5 / 21
    assert found.d_prime.value == pytest.approx(2 * NormalDist().inv_cdf(20.5 / 21))
    assert found.d_prime.low > 2
    assert not found.one_answer


def test_the_intervals_of_a_random_observer_cover_chance_in_about_95_percent_of_cases():
    tests = [turing_test(shown, scripted_observer(shown, seed=seed)) for seed in range(1000)]
    accuracy = sum(test.accuracy.low <= 0.5 <= test.accuracy.high for test in tests) / 1000
    sensitivity = sum(test.d_prime.low <= 0 <= test.d_prime.high for test in tests) / 1000
    assert 0.93 <= accuracy <= 0.98
    assert 0.93 <= sensitivity <= 0.98


def test_a_random_observer_lies_within_the_floor_in_about_95_percent_of_cases():
    many = torch.arange(240) % 3 == 0
    tests = [turing_test(many, scripted_observer(many, seed=seed)).d_prime for seed in range(500)]
    assert 0.92 <= sum(d.floor.low <= d.value <= d.floor.high for d in tests) / 500 <= 0.98
    assert turing_test(many, ~many).called_real.floor.value == pytest.approx(1 / 3)


def test_the_interval_of_d_prime_covers_the_ability_of_an_able_observer():
    many = torch.arange(200) % 2 == 0
    tests = [turing_test(many, scripted_observer(many, d_prime=1.0, seed=seed)) for seed in range(500)]
    assert 0.92 <= sum(test.d_prime.low <= 1 <= test.d_prime.high for test in tests) / 500 <= 0.98
    # Right in Phi(d' / 2) of all cases
    assert sum(test.accuracy.value for test in tests) / 500 == pytest.approx(NormalDist().cdf(0.5), abs=0.01)


def test_an_observer_of_one_answer_is_found_out():
    found = turing_test(shown, scripted_observer(shown, criterion=-math.inf))
    assert found.one_answer
    assert (found.accuracy.value, found.accuracy.floor.value) == (0.5, 0.5)
    assert found.d_prime.value == pytest.approx(0)
    assert found.called_real.value == 1


def test_where_most_are_real_saying_so_is_no_achievement():
    mostly = torch.arange(40) % 10 != 0
    found = turing_test(mostly, torch.ones(40, dtype=torch.bool))
    assert found.accuracy.value == found.accuracy.floor.value == pytest.approx(0.9)
    assert found.d_prime.low < 0 < found.d_prime.high


def test_d_prime_is_free_of_the_leaning_that_accuracy_suffers_from():
    many = torch.arange(4000) % 2 == 0
    fair, leaning = (turing_test(many, scripted_observer(many, d_prime=2.0, criterion=c)) for c in (0.0, 1.5))
    assert leaning.accuracy.high < fair.accuracy.low
    assert leaning.d_prime.value == pytest.approx(fair.d_prime.value, abs=0.25)
    assert leaning.called_real.high < 0.5


def test_d_prime_by_hand():
    said = torch.tensor([True] * 15 + [False] * 5 + [True] * 4 + [False] * 16)
    found = turing_test(torch.arange(40) < 20, said)
    normal = NormalDist()
    h, f = 15.5 / 21, 4.5 / 21
    z = normal.inv_cdf(h), normal.inv_cdf(f)
    variance = h * (1 - h) / (20 * normal.pdf(z[0]) ** 2) + f * (1 - f) / (20 * normal.pdf(z[1]) ** 2)
    assert found.d_prime.value == pytest.approx(z[0] - z[1])
    assert found.d_prime.high - found.d_prime.value == pytest.approx(1.959964 * variance**0.5, rel=1e-6)
    assert found.accuracy.value == pytest.approx(31 / 40)


def test_the_criterion_by_hand():
    said = torch.tensor([True] * 15 + [False] * 5 + [True] * 4 + [False] * 16)
    found = turing_test(torch.arange(40) < 20, said)
    h, f = 15.5 / 21, 4.5 / 21
    assert found.criterion.value == pytest.approx(-(norm.ppf(h) + norm.ppf(f)) / 2)
    half = (found.d_prime.high - found.d_prime.value) / 2
    assert found.criterion.high - found.criterion.value == pytest.approx(half)
    assert found.criterion.floor.high == pytest.approx(found.d_prime.floor.high / 2)


@pytest.mark.parametrize("criterion", [-0.5, 0.0, 0.5])
def test_the_criterion_is_the_one_that_the_observer_has(criterion):
    many = torch.arange(200) % 2 == 0
    tests = [
        turing_test(many, scripted_observer(many, d_prime=1.0, criterion=criterion, seed=seed))
        for seed in range(300)
    ]
    covered = sum(test.criterion.low <= criterion <= test.criterion.high for test in tests) / 300
    assert 0.91 <= covered <= 0.99


def test_a_blinded_test_has_its_images_from_where_it_says_and_none_twice():
    real, generated = torch.arange(30.0).view(-1, 1, 1, 1), torch.arange(100.0, 120).view(-1, 1, 1, 1)
    images, is_real = blinded(real, generated, n=20, seed=3)
    assert images.shape == (20, 1, 1, 1)
    assert is_real.dtype == torch.bool
    assert torch.equal(images.flatten() < 100, is_real)
    assert len(images.unique()) == 20
    again, truth = blinded(real, generated, n=20, seed=3)
    assert torch.equal(images, again)
    assert torch.equal(is_real, truth)


def test_the_coin_is_fair_and_every_image_has_the_same_chance():
    real, generated = torch.arange(8.0), torch.arange(100.0, 108)
    drawn = [blinded(real, generated, n=6, seed=seed) for seed in range(2000)]
    tosses = torch.cat([is_real for _, is_real in drawn]).double()
    assert tosses.mean() == pytest.approx(0.5, abs=0.02)
    # With as many of either kind, the last would follow from the others.
    assert len({int(is_real.sum()) for _, is_real in drawn}) > 3
    counts = torch.cat([images for images, _ in drawn]).unique(return_counts=True)[1]
    assert len(counts) == 16
    assert counts.min() > 0.8 * 12000 / 16


def test_an_enlargement_is_known_by_what_it_does_not_lose():
    noise = torch.randn(4, 1, 64, 64, generator=torch.Generator().manual_seed(0))
    small = torch.nn.functional.interpolate(noise, 28, mode="bicubic", antialias=True)
    enlarged = torch.nn.functional.interpolate(small, 64, mode="bicubic")
    assert (detail(noise, 28) > 0.8).all(), "of white noise four fifths of the power lie above 28 pixels"
    assert (detail(enlarged, 28) < 0.5 * detail(noise, 28)).all()
    y, x = torch.meshgrid(torch.linspace(0, 1, 64), torch.linspace(0, 2, 64), indexing="ij")
    smooth = torch.cos(3 * x + 2 * y)[None, None]
    assert detail(smooth, 28).item() < 0.02, "all but what the border does"
    stripes = torch.ones(1, 1, 64, 64)
    stripes[..., ::2] = -1
    assert detail(stripes, 28).item() == pytest.approx(1, abs=0.02), "finer than 28 pixels can hold"
    assert detail(3 * smooth - 1, 28).item() == pytest.approx(detail(smooth, 28).item(), rel=1e-3)
    assert torch.equal(detail(noise, 64), torch.zeros(4))


def test_the_power_of_a_test_by_hand():
    # 15 of 20 is the fewest whose Wilson interval, 0.531 to 0.888, lies above one half
    assert power(0.7, 20) == pytest.approx(binom.sf(14, 20, 0.7))
    assert power(0.5, 20) == pytest.approx(binom.sf(14, 20, 0.5))
    assert power(1.0, 20) == 1
    assert power(0.7, 3) == 0, "three right answers show nothing"
    assert power(0.7, 200) > 0.99


def test_the_power_is_the_share_of_simulated_readers_who_are_found_out():
    right = torch.rand(1000, 20, generator=torch.Generator().manual_seed(0)) < 0.7
    shown = torch.arange(20) % 2 == 0
    found = [turing_test(shown, shown == answers).accuracy.low > 0.5 for answers in right]
    assert sum(found) / 1000 == pytest.approx(power(0.7, 20), abs=0.04)


def test_guessing_readers_agree_by_chance_and_able_ones_beyond_it():
    many = torch.arange(300) % 2 == 0

    def agreement(d_prime):
        return cohen_kappa(*(scripted_observer(many, d_prime=d_prime, seed=seed) for seed in (1, 2)))

    guessing, able = agreement(0.0), agreement(3.0)
    assert guessing.low < 0 < guessing.high
    assert able.low > 0.5


def test_what_is_no_turing_test_is_refused():
    with pytest.raises(CourseError, match="boolean"):
        turing_test(shown, shown.long())
    with pytest.raises(CourseError, match="both real and generated"):
        turing_test(torch.ones(5, dtype=torch.bool), torch.ones(5, dtype=torch.bool))
    with pytest.raises(CourseError, match="A reader sees the shape"):
        blinded(torch.zeros(30, 1, 4, 4), torch.zeros(30, 1, 5, 5))
    with pytest.raises(CourseError, match="needs 20 of each kind"):
        blinded(torch.zeros(30, 4), torch.zeros(19, 4))
    with pytest.raises(CourseError, match="between 0 and 1"):
        power(70, 20)
    with pytest.raises(CourseError, match="cannot be shrunk to 80"):
        detail(torch.rand(2, 1, 64, 64), 80)
