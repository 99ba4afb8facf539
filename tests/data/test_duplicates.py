"""Duplicates are found, all of them, once each, and told from images that are merely alike."""

from dataclasses import replace

import numpy as np
import pytest
import torch

from medgan_course import data
from medgan_course.data import duplicates
from medgan_course.errors import CourseError


def part(split, images, labels=None, name="pneumoniamnist"):
    labels = torch.zeros(len(images), dtype=torch.int64) if labels is None else torch.tensor(labels)
    return data.Dataset(data.card(name), images.shape[-1], split, images, labels, "this test")


def noise(n, side=28, seed=0, dim=2):
    shape = (n, 1, *[side] * dim)
    return torch.rand(shape, generator=torch.Generator().manual_seed(seed)) * 2 - 1


def found(report):
    return [(*zip(pair.splits, pair.positions, strict=True), pair.exact) for pair in report.pairs]


def test_exact_duplicates_within_and_across():
    train, val = noise(6), noise(4, seed=1)
    train[5] = train[1]
    val[2] = train[0]
    report = duplicates.find(part("train", train, [0, 1, 0, 0, 0, 1]), part("val", val, [0, 0, 1, 0]))
    assert found(report) == [(("train", 1), ("train", 5), True), (("train", 0), ("val", 2), True)]
    assert [pair.same_label for pair in report.pairs] == [True, False]
    assert report.images("val", "train", exact=True) == 1
    assert report.images("train", "train", exact=True) == 1
    assert report.images("val", "val") == 0
    assert report.between("val", "train") == report.between("train", "val") == list(report.pairs[1:])


def test_three_of_a_kind_are_three_pairs_and_two_too_many():
    train = noise(5)
    train[2] = train[4] = train[0]
    report = duplicates.find(part("train", train))
    assert [(pair.positions, pair.exact) for pair in report.pairs] == [
        ((0, 2), True),
        ((0, 4), True),
        ((2, 4), True),
    ]
    assert report.images("train", "train") == 2


def test_a_chain_of_pairs_is_one_group():
    """In the plane of two uncorrelated patterns, correlation is the cosine of the angle between."""
    first = (torch.arange(784) < 392).float() - 0.5
    second = torch.tensor([1.0, -1.0] * 392) / 2
    angles = torch.deg2rad(torch.tensor([0.0, 30, 60]))[:, None]
    images = (angles.cos() * first + angles.sin() * second).view(3, 1, 28, 28)
    report = duplicates.find(part("train", images), threshold=0.8)
    assert sorted(pair.positions for pair in report.pairs) == [(0, 1), (1, 2)]
    for pair in report.pairs:
        assert abs(pair.correlation - 3**0.5 / 2) < 1e-5
    assert report.images("train", "train") == 2


@pytest.mark.parametrize(
    ("pairs", "too_many"), [([(0, 1), (0, 2), (0, 3)], 3), ([(0, 2), (1, 2)], 2), ([(0, 1), (2, 3)], 2)]
)
def test_how_many_are_too_many(pairs, too_many):
    """A star, a chain whose middle comes last, and two groups."""
    alike = tuple(duplicates.Pair(("train", "train"), pair, 0.99, False, True) for pair in pairs)
    assert duplicates.Report("A set", {"train": 4}, alike, 0.99).images("train", "train") == too_many


def test_brightness_and_contrast_do_not_hide_a_near_duplicate():
    train = noise(4)
    train[3] = 0.4 * train[1] - 0.3
    (pair,) = duplicates.find(part("train", train)).pairs
    assert (pair.positions, pair.exact) == ((1, 3), False)
    assert pair.correlation > 0.9999


@pytest.mark.parametrize(("threshold", "expected"), [(0.9, 1), (0.97, 0), (2, 0)])
def test_the_threshold_is_a_correlation(threshold, expected):
    """Noise: x + s y with independent x, y of equal variance correlates with x at 1 / sqrt(1 + s^2)."""
    train = noise(2, side=200)
    train[1] = train[0] + 0.4 * train[1]
    x, y = train[:, 0]
    train = torch.stack([x, y])[:, None]
    # Averaged to 28 pixels the noise of both shrinks alike.
    oracle = np.corrcoef(duplicates._standardised(train).numpy())[0, 1]
    assert abs(oracle - 1 / (1 + 0.4**2) ** 0.5) < 0.02
    assert len(duplicates.find(part("train", train), threshold=threshold).pairs) == expected


def test_against_numpy():
    train = noise(40)
    train[20:] = train[:20] + 0.7 * train[20:]
    expected = np.corrcoef(train.flatten(1).numpy())
    report = duplicates.find(part("train", train), threshold=0.5)
    i, j = np.nonzero(np.triu(expected >= 0.5, 1))
    assert {pair.positions for pair in report.pairs} == set(zip(i.tolist(), j.tolist(), strict=True))
    for pair in report.pairs:
        assert abs(pair.correlation - expected[pair.positions]) < 1e-5


def test_blocks_miss_nothing(monkeypatch):
    train = noise(11)
    train[10] = 0.5 * train[0]
    train[7] = 0.5 * train[6]
    monkeypatch.setattr(duplicates, "BLOCK", 3)
    report = duplicates.find(part("train", train), threshold=0.99)
    assert sorted(pair.positions for pair in report.pairs) == [(0, 10), (6, 7)]


def test_images_of_one_grey_level_are_alike_only_if_equal():
    train = torch.zeros(3, 1, 28, 28)
    train[1] += 0.5
    report = duplicates.find(part("train", train))
    assert found(report) == [(("train", 0), ("train", 2), True)]


def test_volumes():
    train = noise(3, side=6, dim=3)
    train[2] = train[0] * 0.5
    assert [pair.positions for pair in duplicates.find(part("train", train)).pairs] == [(0, 2)]


def test_several_labels():
    train = noise(2)
    train[1] = train[0]
    (pair,) = duplicates.find(part("train", train, [[0, 1], [1, 1]])).pairs
    assert not pair.same_label


def test_the_report_says_it():
    train = noise(6)
    train[5], train[4] = train[1], 0.5 * train[0]
    report = duplicates.find(part("train", train, [0, 1, 0, 0, 0, 0]))
    for text in (repr(report), report._repr_html_()):
        assert "Duplicates in PneumoniaMNIST; pairs: 2" in text
        assert "1 exact, 1 more from r = 0.99; pairs with different labels: 1" in text
    assert "more" not in repr(duplicates.find(part("train", train), threshold=2))


def test_the_report_in_one_sentence():
    train, val = noise(6), noise(4, seed=1)
    train[5], val[2], val[3] = train[1], train[0], 0.5 * train[2]
    report = duplicates.find(part("train", train), part("val", val))
    equal = "PneumoniaMNIST: 2 pairs of equal images, 1 of them in two splits"
    assert report.sentence == (
        f"{equal}; 1 pairs of nearly equal (r >= 0.99) images, 1 of them in two splits."
    )
    only_equal = duplicates.find(part("train", train), part("val", val), threshold=2)
    assert only_equal.sentence == f"{equal}."


def test_what_cannot_be_compared():
    train = part("train", noise(2))
    with pytest.raises(CourseError, match="nothing to compare"):
        duplicates.find()
    with pytest.raises(CourseError, match="different splits of one set"):
        duplicates.find(train, train)
    with pytest.raises(CourseError, match="size 28, pneumoniamnist val of size 30"):
        duplicates.find(train, part("val", noise(2, side=30)))
    with pytest.raises(CourseError, match="breastmnist val"):
        duplicates.find(train, replace(part("val", noise(2)), card=data.card("breastmnist")))


def test_the_real_set():
    splits = [data.load("pneumoniamnist", split=split, download=False) for split in ("train", "val", "test")]
    if splits[0].is_surrogate:
        pytest.skip("needs the real file")
    report = duplicates.find(*splits)
    assert report.images("train", "train", exact=True) == 18
    assert report.images("val", "train", exact=True) == 8
    assert report.images("test", "train", exact=True) == 0
