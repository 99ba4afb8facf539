"""Copies are found, strangers are not."""

import pytest
import torch

from medgan_course.metrics.memorisation import Memorisation, memorisation, nearest


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
