"""Classifiers trained on what is known to teach them something, or nothing."""

import pytest
import torch
from sklearn.linear_model import LogisticRegression
from torch import nn

from medgan_course.data.batches import Batch
from medgan_course.errors import CourseError
from medgan_course.metrics.classification import accuracy
from medgan_course.metrics.downstream import (
    classify,
    downstream,
    factor_correlation,
    linear_probe,
    rank_correlation,
    small_classifier,
)


def lesions(n, seed, *, dim=2, contrast=1.5):
    """Noise, and for label 1 a bright square in it."""
    draw = torch.Generator().manual_seed(seed)
    labels = torch.arange(n) % 2
    images = 0.2 * torch.randn(n, 1, *[8] * dim, generator=draw)
    images[(labels == 1, slice(None), *[slice(2, 6)] * dim)] += contrast
    return Batch(images - 0.5, labels)


def test_useful_images_teach_and_shuffled_labels_do_not():
    test = lesions(80, 2)
    answers = downstream(lesions(40, 0), lesions(80, 1), test, steps=15)
    assert list(answers) == ["real", "synthetic", "real + synthetic", "shuffled"]
    scores = {arm: accuracy(test.labels, p.argmax(1)) for arm, p in answers.items()}
    for arm in ("real", "synthetic", "real + synthetic"):
        assert scores[arm].low > 0.9
    # Permuted labels leave nothing to tell the two kinds of image apart by.
    gap = {arm: p[test.labels == 1, 1].mean() - p[test.labels == 0, 1].mean() for arm, p in answers.items()}
    assert abs(gap["shuffled"]) < 0.5 * gap["synthetic"]
    assert torch.allclose(answers["real"].sum(1), torch.ones(80))


def test_useless_images_do_not_teach():
    test, useless = lesions(80, 2), lesions(80, 1, contrast=0)
    answers = downstream(lesions(40, 0), useless, test, steps=15)
    assert accuracy(test.labels, answers["synthetic"].argmax(1)).value < 0.75
    assert accuracy(test.labels, answers["real"].argmax(1)).value > 0.9


def test_the_same_seed_gives_the_same_answers_and_the_callers_draws_go_on():
    sets = lesions(20, 0), lesions(20, 1), lesions(10, 2)
    state = torch.get_rng_state()
    first = downstream(*sets, steps=3, seed=1)
    assert torch.equal(torch.get_rng_state(), state)
    again, other = downstream(*sets, steps=3, seed=1), downstream(*sets, steps=3, seed=2)
    assert torch.equal(first["synthetic"], again["synthetic"])
    assert not torch.equal(first["synthetic"], other["synthetic"])


def test_volumes_and_a_classifier_of_ones_own():
    sets = [lesions(12, seed, dim=3) for seed in range(3)]
    assert downstream(*sets, steps=2)["real"].shape == (12, 2)
    own = downstream(*sets, steps=2, classifier=lambda: nn.Sequential(nn.Flatten(), nn.Linear(512, 5)))
    assert own["real"].shape == (12, 5)


def test_images_of_different_shapes_are_refused():
    with pytest.raises(CourseError, match="of one shape"):
        downstream(lesions(4, 0), lesions(4, 1, dim=3), lesions(4, 2))


def test_classifying_leaves_the_network_as_it_was():
    net = small_classifier(3).train()
    before = {name: value.clone() for name, value in net.state_dict().items()}
    first = classify(net, torch.randn(5, 1, 16, 16))
    assert first.shape == (5, 3)
    assert net.training
    assert all(torch.equal(value, before[name]) for name, value in net.state_dict().items())


def test_conditional_accuracy_is_one_for_obedience_and_chance_for_a_generator_that_does_not_listen():
    def reader(images):
        return nn.functional.one_hot(images.flatten(1).argmax(1), 4).float() * 10

    net = nn.Module()
    net.forward = reader
    asked = torch.arange(80) % 4
    shown = nn.functional.one_hot(asked, 4).float().view(80, 1, 2, 2)
    assert accuracy(asked, classify(net, shown).argmax(1)).value == 1
    order = torch.randperm(80, generator=torch.Generator().manual_seed(0))
    deaf = accuracy(asked, classify(net, shown[order]).argmax(1))
    assert deaf.low < 0.25 < deaf.high
    assert deaf.floor.value == 0.25


def test_the_probe_is_standardised_with_the_training_split_only():
    draw = torch.Generator().manual_seed(0)
    labels = torch.arange(60) % 3
    features = torch.randn(60, 4, generator=draw) * torch.tensor([1.0, 100.0, 0.01, 1.0]) + labels[:, None]
    test = torch.randn(10, 4, generator=draw) + 3
    mean, sd = features.double().mean(0), features.double().std(0, correction=0)
    oracle = LogisticRegression(max_iter=2000).fit(((features - mean) / sd).numpy(), labels.numpy())
    expected = oracle.predict_proba(((test - mean) / sd).numpy())
    found = linear_probe(features, labels, test)
    assert torch.allclose(found, torch.from_numpy(expected), atol=1e-4)
    # One test image at a time gives the same answer: nothing is learnt from the test split.
    assert torch.allclose(linear_probe(features, labels, test[:1]), found[:1])


def test_the_columns_of_the_probe_are_the_classes():
    features = torch.tensor([[0.0], [0.1], [5.0], [5.1]])
    found = linear_probe(features, torch.tensor([0, 0, 2, 2]), torch.tensor([[0.0], [5.0]]))
    assert found.shape == (2, 3)
    assert found.argmax(1).tolist() == [0, 2]
    assert found[:, 1].tolist() == [0, 0]


def test_rank_correlation_by_hand():
    codes = torch.tensor([[1.0, 9.0], [2.0, 9.0], [3.0, 9.0], [4.0, 9.0]])
    factors = torch.tensor([[1.0, 4.0, 1.0], [8.0, 3.0, 2.0], [27.0, 2.0, 4.0], [64.0, 1.0, 3.0]])
    # Rising, falling, and with d = 0, 0, 1, 1: 1 - 6 * 2 / (4 * 15) = 0.8; nothing for a flat code.
    found = rank_correlation(codes, factors)
    assert found[0].tolist() == pytest.approx([1, -1, 0.8])
    assert found[1].tolist() == [0, 0, 0]


def test_the_strongest_link_stands_beside_what_chance_gives():
    draw = torch.Generator().manual_seed(0)
    codes, factors = torch.randn(60, 3, generator=draw), torch.randn(60, 4, generator=draw)
    by_chance = factor_correlation(codes, factors)
    assert by_chance.floor.low < by_chance.value < by_chance.floor.high
    assert by_chance.floor.value > 0.15
    factors[:, 2] = -codes[:, 1].exp() + 0.1 * factors[:, 2]
    linked = factor_correlation(codes, factors)
    assert linked.value == pytest.approx(float(rank_correlation(codes, factors).abs().max()))
    assert linked.low > 0.9 > linked.floor.high
    with pytest.raises(CourseError, match="same n images"):
        factor_correlation(codes[:5], factors)
