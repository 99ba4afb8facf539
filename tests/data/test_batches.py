"""Mini-batches depend on the seed and the step, and on nothing else."""

import pytest
import torch

from medgan_course.data.batches import Batches
from medgan_course.errors import CourseError

IMAGES = torch.arange(10.0).reshape(10, 1, 1, 1)
LABELS = torch.arange(10) * 11


def order(batches, steps):
    return [batches[step].images.flatten().int().tolist() for step in steps]


def test_same_seed_same_order_other_seed_another():
    first, again, other = (Batches(IMAGES, LABELS, 3, seed=seed) for seed in (1, 1, 2))
    assert order(first, range(9)) == order(again, range(9))
    assert order(first, range(9)) != order(other, range(9))


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
