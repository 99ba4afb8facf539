"""Mini-batches depend on the seed and the step, and on nothing else."""

from typing import NamedTuple

import pytest
import torch

from medgan_course.data.batches import (
    Batch,
    Batches,
    Paired,
    Stream,
    Unpaired,
    label_budget,
    seeded,
    semi_supervised,
)
from medgan_course.errors import CourseError

IMAGES = torch.arange(10.0).reshape(10, 1, 1, 1)
LABELS = torch.arange(10) * 11


def order(batches, steps):
    return [batches[step].images.flatten().int().tolist() for step in steps]


def test_same_seed_same_order_other_seed_another():
    first, again, other = (Batches(IMAGES, LABELS, 3, seed=seed) for seed in (1, 1, 2))
    assert order(first, range(9)) == order(again, range(9))
    assert order(first, range(9)) != order(other, range(9))


def test_no_epoch_of_one_seed_is_an_epoch_of_another():
    shuffles = Batch(torch.arange(100.0), torch.arange(100))
    epochs = [
        tuple(Stream(shuffles, 100, seed=seed)[e].labels.tolist()) for seed in range(3) for e in range(4)
    ]
    assert len(set(epochs)) == len(epochs)


def test_any_step_can_be_had_without_those_before():
    forward = order(Batches(IMAGES, LABELS, 3, seed=1), range(12))
    backward = order(Batches(IMAGES, LABELS, 3, seed=1), reversed(range(12)))
    assert forward == backward[::-1]
    assert order(Batches(IMAGES, LABELS, 3, seed=1), [7]) == forward[7:8]


def test_the_global_random_state_plays_no_part():
    torch.manual_seed(0)
    first = order(Batches(IMAGES, LABELS, 3), range(6))
    before = torch.get_rng_state()
    assert order(Batches(IMAGES, LABELS, 3), range(6)) == first
    assert torch.equal(torch.get_rng_state(), before)


def test_an_epoch_has_every_image_once():
    batches = Batches(IMAGES, LABELS, 5)
    steps = order(batches, range(6))
    epochs = [steps[i] + steps[i + 1] for i in (0, 2, 4)]
    assert all(sorted(epoch) == list(range(10)) for epoch in epochs)
    assert epochs[0] != epochs[1] != epochs[2]


def test_the_rest_of_an_epoch_is_left_out():
    first, second = order(Batches(IMAGES, LABELS, 4), (0, 1))
    assert len({*first, *second}) == 8


def test_labels_go_with_their_images():
    for step in range(4):
        images, labels = Batches(IMAGES, LABELS, 3)[step]
        assert torch.equal(labels, images.flatten().long() * 11)


def test_moving_keeps_the_order():
    there = Batches(IMAGES, LABELS, 3, seed=5).to("cpu")
    assert order(there, range(6)) == order(Batches(IMAGES, LABELS, 3, seed=5), range(6))


def test_steps_count_backwards_too():
    first, second = order(Batches(IMAGES, LABELS, 5), (-2, -1))
    assert sorted(first + second) == list(range(10))


@pytest.mark.parametrize("size", [0, -1, 11])
def test_impossible_batch_size(size):
    with pytest.raises(CourseError, match=f"batch_size is {size}, but must lie between 1 and the 10 images"):
        Batches(IMAGES, LABELS, size)


def test_any_tuple_of_tensors_is_drawn_together():
    class Cases(NamedTuple):
        scan: torch.Tensor
        pair: Paired

    whole = Cases(IMAGES, Paired(IMAGES * 2, IMAGES * 3))
    batch = Stream(whole, 4, seed=1)[5]
    assert isinstance(batch, Cases)
    assert batch.scan.shape == (4, 1, 1, 1)
    assert torch.equal(batch.pair.source, batch.scan * 2)
    assert torch.equal(batch.pair.target, batch.scan * 3)


def test_the_labelled_stream_is_the_general_one():
    general = Stream(Batch(IMAGES, LABELS), 3, seed=4)
    assert order(general, range(9)) == order(Batches(IMAGES, LABELS, 3, seed=4), range(9))


def test_unpaired_sets_are_never_paired():
    """Sets of equal length in one order would be pairs in disguise."""
    stream = Stream(Unpaired(IMAGES, IMAGES), 10, apart=True)
    meetings = sum((stream[step].a == stream[step].b).sum().item() for step in range(100))
    assert 60 < meetings < 140  # one in ten by chance, 1000 of 1000 if paired; one standard deviation is 10


def test_unpaired_sets_have_their_own_lengths_and_epochs():
    stream = Stream(Unpaired(IMAGES, 100 + IMAGES[:4]), 2, seed=3, apart=True)
    a = [value for step in range(5) for value in stream[step].a.flatten().int().tolist()]
    b = [value for step in range(4) for value in stream[step].b.flatten().int().tolist()]
    assert sorted(a) == list(range(10))
    assert sorted(b[:4]) == sorted(b[4:]) == [100, 101, 102, 103]
    again = Stream(Unpaired(IMAGES, 100 + IMAGES[:4]), 2, seed=3, apart=True).to("cpu")
    assert torch.equal(again[7].a, stream[7].a)
    assert torch.equal(again[7].b, stream[7].b)


def test_what_belongs_together_has_one_length():
    with pytest.raises(CourseError, match="tensors of 4 and 10 samples"):
        Stream(Paired(IMAGES, IMAGES[:4]), 2)


def test_a_budget_is_stratified_and_nested():
    labels = torch.tensor([0] * 40 + [1] * 8 + [2] * 20)
    budgets = [label_budget(labels, n, seed=5) for n in (1, 3, 8)]
    for n, few in zip((1, 3, 8), budgets, strict=True):
        assert torch.bincount(labels[few]).tolist() == [n, n, n]
        assert few.tolist() == sorted(few.tolist())
    assert set(budgets[0].tolist()) < set(budgets[1].tolist()) < set(budgets[2].tolist())
    assert not torch.equal(budgets[1], label_budget(labels, 3, seed=6))
    with pytest.raises(CourseError, match="between 1 and the 8 images that class 1 has"):
        label_budget(labels, 9)


def test_every_purpose_has_numbers_of_its_own():
    """Not those of a training with that seed, which starts from torch.manual_seed(seed)."""
    torch.manual_seed(7)
    purposes = [seeded("folds", 7), seeded("shares", 7), seeded("shares", 8), seeded("shares", 7, 1), None]
    drawn = [tuple(torch.rand(3, generator=generator).tolist()) for generator in purposes]
    assert len(set(drawn)) == len(drawn)
    assert tuple(torch.rand(3, generator=seeded("folds", 7)).tolist()) == drawn[0]


def test_the_seed_of_a_generator_is_a_sha256():
    # printf folds/7 | sha256sum
    assert seeded("folds", 7).initial_seed() == int.from_bytes(bytes.fromhex("48b59ff7"), "little")


def test_a_budget_needs_one_label_a_sample():
    with pytest.raises(
        CourseError, match=r"labels are torch.int64 \(5, 14\), but must be whole numbers \(N,\)"
    ):
        label_budget(torch.zeros(5, 14, dtype=torch.long), 3)


def test_a_budget_repeats_no_numbers_of_a_training():
    few = label_budget(torch.zeros(1000, dtype=torch.long), 100, seed=3)
    order = torch.randperm(1000, generator=torch.Generator().manual_seed(3))
    assert len(set(few.tolist()) & set(order[:100].tolist())) < 30  # 10 by chance


def test_labelled_and_unlabelled_images_are_different_ones():
    labels = torch.tensor([0, 1] * 5)
    stream = semi_supervised(IMAGES, labels, 4, per_class=1, draw=2)
    few = label_budget(labels, 1, seed=2).tolist()
    seen = set()
    for step in range(4):
        batch = stream[step]
        assert sorted(batch.labelled.images.flatten().int().tolist()) == few  # both of them, every step
        assert torch.equal(batch.labelled.labels, batch.labelled.images.flatten().long() % 2)
        assert batch.unlabelled.shape == (4, 1, 1, 1)
        seen |= set(batch.unlabelled.flatten().int().tolist())
    assert seen == set(range(10)) - set(few)
