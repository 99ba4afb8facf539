"""Copies are found, strangers are not."""

import numpy as np
import pytest
import torch

from medgan_course.errors import CourseError
from medgan_course.metrics.memorisation import (
    Memorisation,
    max_ncc,
    membership_inference,
    memorisation,
    nearest,
    standardised,
)


def test_nearest_returns_exact_distances_and_indices():
    bank = torch.tensor([[0.0, 0.0], [3.0, 4.0], [10.0, 0.0]])
    distance, index = nearest(torch.tensor([[3.0, 4.0], [0.0, 1.0], [9.0, 0.0]]), bank)
    assert distance.tolist() == [0.0, 1.0, 1.0]
    assert index.tolist() == [1, 0, 2]


def test_a_copied_image_lies_at_distance_zero_among_thousands():
    bank = torch.rand(1000, 1, 28, 28, generator=torch.Generator().manual_seed(0)) * 2 - 1
    distance, index = nearest(bank[[7, 999]], bank)
    assert distance.tolist() == [0.0, 0.0]
    assert index.tolist() == [7, 999]


def test_closer_is_the_probability_with_ties_counted_half():
    found = Memorisation(torch.tensor([1.0, 2.0]), torch.tensor([2.0, 3.0]), torch.tensor([0, 0]))
    # pairs: 1<2, 1<3, 2=2 (one half), 2<3
    assert found.closer == pytest.approx(3.5 / 4)


def test_a_copier_is_caught_and_an_honest_generator_is_not():
    draw = torch.Generator().manual_seed(0)
    train, held_out, honest = (torch.randn(300, 8, generator=draw) for _ in range(3))
    copier = train[:200] + 0.01 * torch.randn(200, 8, generator=draw)
    caught, passed = memorisation(copier, train, held_out), memorisation(honest, train, held_out)
    assert caught.closer > 0.99
    assert caught.suspicious > 0.95
    assert caught.neighbour.tolist() == list(range(200))
    # One half, give or take four standard errors of a Mann-Whitney statistic: 4 / sqrt(12 * 150)
    assert passed.closer == pytest.approx(0.5, abs=0.095)
    assert passed.suspicious < 0.05


def normal(*shape, seed):
    return torch.randn(*shape, generator=torch.Generator().manual_seed(seed))


def test_ncc_is_the_correlation_coefficient():
    a, b = normal(6, 1, 5, 5, seed=1), normal(9, 1, 5, 5, seed=2)
    table = np.corrcoef(a.flatten(1).double(), b.flatten(1).double())[:6, 6:]
    ncc, index = max_ncc(a, b)
    np.testing.assert_allclose(ncc, table.max(1), atol=1e-6)
    np.testing.assert_array_equal(index, table.argmax(1))
    gaps = torch.cdist(standardised(a), standardised(b))
    np.testing.assert_allclose(gaps.square(), 2 - 2 * table, atol=1e-5)


def test_a_paler_copy_is_found_by_ncc_and_hidden_from_pixels():
    bank = normal(100, 1, 8, 8, seed=3)
    paler = 0.3 * bank[:10] + 0.9
    assert nearest(paler, bank)[0].min() > 1
    ncc, index = max_ncc(paler, bank)
    assert index.tolist() == list(range(10))
    assert ncc.min() > 0.9999
    found = memorisation(*map(standardised, (paler, bank, normal(50, 1, 8, 8, seed=4))))
    assert found.closer == 1


def test_a_constant_image_correlates_with_nothing():
    constant = torch.full((1, 1, 8, 8), 0.3)
    assert standardised(constant).abs().max() == 0
    assert max_ncc(constant, normal(5, 1, 8, 8, seed=5))[0].item() == 0


def test_images_of_another_shape_are_refused():
    for compare in (nearest, max_ncc):
        with pytest.raises(CourseError, match=r"\(2, 4\) with \(2, 5\)"):
            compare(torch.zeros(2, 4), torch.zeros(2, 5))


def test_closer_carries_interval_and_chance():
    found = Memorisation(torch.tensor([1.0, 2.0]), torch.tensor([2.0, 3.0]), torch.tensor([0, 0]))
    assert found.score.value == found.closer == 3.5 / 4
    assert found.score.n == 4
    half = 1.96 * (5 / 48) ** 0.5  # sqrt((m + n + 1) / (12 m n))
    assert (found.score.floor.low, found.score.floor.high) == pytest.approx(
        (max(0, 0.5 - half), min(1, 0.5 + half))
    )


def test_chance_covers_a_generator_without_memory_in_95_of_100_cases():
    inside = 0
    for i in range(300):
        score = Memorisation(normal(60, seed=2 * i), normal(50, seed=2 * i + 1), torch.zeros(60)).score
        inside += score.floor.low <= score.value <= score.floor.high
    assert 0.92 < inside / 300 < 0.98


def test_membership_is_inferred_from_a_copier_and_not_from_an_honest_generator():
    members, others, honest = (normal(n, 6, seed=s) for n, s in ((200, 8), (120, 9), (400, 10)))
    copier = members[:150] + 0.05 * normal(150, 6, seed=11)
    leak, none = membership_inference(copier, members, others), membership_inference(honest, members, others)
    assert leak.low > 0.75  # three of four members were copied
    assert leak.low > leak.floor.high
    assert none.low < 0.5 < none.high
    assert (leak.n, leak.seed) == (240, 0)


def test_the_attack_finds_nothing_where_there_is_nothing():
    inside = 0
    for i in range(100):
        members, others, generated = (normal(40, 3, seed=1000 * k + i) for k in (1, 2, 3))
        score = membership_inference(generated, members, others, seed=i)
        inside += score.low <= 0.5 <= score.high
    # 95 give or take 4 standard errors would be 86; the attack's cases share the generated images.
    assert inside >= 88
