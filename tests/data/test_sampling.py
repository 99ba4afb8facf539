"""Samples are drawn in the shares asked for, by the seed alone, and no subject lands on both sides."""

from itertools import pairwise

import numpy as np
import pytest
import torch
from scipy import ndimage

from medgan_course.data import warp
from medgan_course.data.batches import Paired, Stream
from medgan_course.data.sampling import (
    ClassRatio,
    Incomplete,
    available,
    class_balanced,
    hidden,
    kfold_by_subject,
    misaligned,
    stratified,
    with_counts,
)
from medgan_course.errors import CourseError

LABELS = torch.tensor([0] * 700 + [1] * 290 + [2] * 10)[
    torch.randperm(1000, generator=torch.Generator().manual_seed(3))
]
BUDGETS = (10, 50, 100, 500)


def shares(labels):
    return torch.bincount(labels, minlength=3)


def test_budgets_in_all_have_the_shares_of_the_whole_and_are_nested():
    drawn = [stratified(LABELS, n, seed=4) for n in BUDGETS]
    for n, few in zip(BUDGETS, drawn, strict=True):
        assert len(few) == len(few.unique()) == n
        assert few.tolist() == sorted(few.tolist())
        # The quotas; the seat that every class has beforehand may shift a share by one more.
        assert (shares(LABELS[few]) - n * torch.tensor([0.7, 0.29, 0.01])).abs().max() < 2
    for fewer, more in pairwise(drawn):
        assert set(fewer.tolist()) < set(more.tolist())


def test_budgets_worked_by_hand():
    """8 and 3 samples: keys 0, 3/16, 5/16, 7/16, 9/16, 11/16, 13/16, 15/16 and 0, 1/2, 5/6."""
    labels = torch.tensor([0] * 8 + [1] * 3)
    counts = [torch.bincount(labels[stratified(labels, n)]).tolist() for n in range(2, 12)]
    assert counts[:6] == [[1, 1], [2, 1], [3, 1], [4, 1], [4, 2], [5, 2]]
    assert counts[6:] == [[6, 2], [7, 2], [7, 3], [8, 3]]


def test_the_rarest_class_is_not_left_out():
    assert shares(LABELS[stratified(LABELS, 3)]).tolist() == [1, 1, 1]


def test_a_draw_depends_on_its_seed_alone():
    torch.manual_seed(0)
    before = torch.get_rng_state()
    for draw in (
        lambda seed: stratified(LABELS, 50, seed=seed),
        lambda seed: with_counts(LABELS, (9, 9, 2), seed=seed),
        lambda seed: available(50, 4, seed=seed),
        lambda seed: class_balanced(LABELS[:, None], LABELS, 6, seed=seed)[7].labels.new_tensor(
            class_balanced(torch.arange(1000)[:, None], LABELS, 6, seed=seed)[7].images.flatten().tolist()
        ),
        lambda seed: kfold_by_subject(torch.arange(1000) // 10, 5, labels=LABELS, seed=seed)[0].test,
    ):
        assert torch.equal(draw(1), draw(1))
        assert not torch.equal(draw(1), draw(2))
    assert torch.equal(torch.get_rng_state(), before)


@pytest.mark.parametrize(
    "draw",
    [
        lambda labels: stratified(labels, 100, seed=3),
        lambda labels: with_counts(labels, [100], seed=3),
        lambda labels: kfold_by_subject(torch.arange(1000), 10, seed=3)[0].test,
        lambda labels: kfold_by_subject(torch.arange(1000), 10, labels=labels, seed=3)[0].test,
    ],
)
def test_a_draw_repeats_no_numbers_of_a_training(draw):
    """As it would if torch's or NumPy's generator had the bare seed: both are the same Mersenne twister."""
    chosen = draw(torch.zeros(1000, dtype=torch.long)).tolist()
    order = torch.randperm(1000, generator=torch.Generator().manual_seed(3))
    numpy_order = np.arange(1000)
    np.random.RandomState(3).shuffle(numpy_order)
    suspects = [set(order[:100].tolist())]
    suspects += [set(places[i::10].tolist()) for places in (order.argsort(), numpy_order) for i in range(10)]
    for suspect in suspects:
        assert len(suspect.intersection(chosen)) < 30  # 10 by chance


@pytest.mark.parametrize("n", [0, -1, 1001])
def test_impossible_budget(n):
    with pytest.raises(CourseError, match=f"n is {n}, but must lie between 1 and the 1000 samples"):
        stratified(LABELS, n)


def test_counts_are_met_and_nested():
    few, more = with_counts(LABELS, (100, 5, 0), seed=1), with_counts(LABELS, (100, 50, 10), seed=1)
    assert shares(LABELS[few]).tolist() == [100, 5, 0]
    assert shares(LABELS[more]).tolist() == [100, 50, 10]
    assert set(few.tolist()) < set(more.tolist())


@pytest.mark.parametrize(
    ("counts", "message"),
    [
        ((1, 1, 11), "11 samples of class 2, but must lie between 0 and the 10"),
        ((-1, 1, 1), "-1 samples of class 0"),
        ((1, 1), "There are 2 counts for labels from 0 to 2"),
        ((0, 0, 0, 1), "1 samples of class 3, but must lie between 0 and the 0"),
    ],
)
def test_impossible_counts(counts, message):
    for draw in (with_counts, lambda labels, counts: ClassRatio(labels[:, None], labels, counts)):
        with pytest.raises(CourseError, match=message):
            draw(LABELS, counts)


def test_every_batch_has_the_ratio():
    stream = ClassRatio(LABELS[:, None], LABELS, (5, 2, 1), seed=2)
    assert isinstance(stream, Stream)  # what fit steps through and resumes
    for step in (0, 1, 17, 400):
        batch = stream[step]
        assert shares(batch.labels).tolist() == [5, 2, 1]
        assert torch.equal(batch.images[:, 0], batch.labels)


def test_any_step_can_be_had_without_those_before_and_anywhere():
    positions = torch.arange(1000)[:, None]
    forward = [class_balanced(positions, LABELS, 6, seed=5)[step].images for step in range(8)]
    moved = class_balanced(positions, LABELS, 6, seed=5).to("cpu")
    for step in reversed(range(8)):
        assert torch.equal(moved[step].images, forward[step])


def test_a_class_is_used_up_before_it_comes_again():
    stream = class_balanced(torch.arange(1000)[:, None], LABELS, 6, seed=5)
    rare = [p for step in range(5) for p in stream[step].images.flatten().tolist() if LABELS[p] == 2]
    assert len(rare) == len(set(rare)) == 10


def test_a_process_part_of_the_batch_is_mixed():
    stream = ClassRatio(LABELS[:, None], LABELS, (8, 4, 4))
    for part in stream[3].labels.chunk(4):
        assert shares(part)[0] == 2
    assert shares(stream[3].labels[:8]).tolist() == [4, 2, 2]


@pytest.mark.parametrize("size", [0, -3, 7])
def test_a_batch_that_cannot_be_balanced(size):
    with pytest.raises(CourseError, match=f"A batch of {size} cannot have equally many samples of 3 classes"):
        class_balanced(LABELS[:, None], LABELS, size)
    with pytest.raises(CourseError, match="at least one sample"):
        ClassRatio(LABELS[:, None], LABELS, (0, 0, 0))
    with pytest.raises(CourseError, match="of 0 classes"):
        class_balanced(LABELS[:0, None], LABELS[:0], 6)


def test_no_subject_is_on_both_sides_of_a_fold():
    subject = torch.arange(1000) // 8
    for labels in (None, LABELS):
        folds = kfold_by_subject(subject, 5, labels=labels, seed=1)
        assert torch.cat([fold.test for fold in folds]).sort().values.tolist() == list(range(1000))
        for fold in folds:
            assert not set(subject[fold.train].tolist()) & set(subject[fold.test].tolist())
            assert torch.cat(fold).sort().values.tolist() == list(range(1000))
            assert 150 < len(fold.test) < 250


def test_folds_are_stratified_as_far_as_whole_subjects_allow():
    # 30 subjects of one class and 20 of another, two samples each: a fifth of either is 6 and 4 subjects.
    subject = torch.arange(100) // 2
    labels = (subject >= 30).long()
    for fold in kfold_by_subject(subject, 5, labels=labels):
        assert torch.bincount(labels[fold.test]).tolist() == [12, 8]


@pytest.mark.filterwarnings("error")
def test_folds_without_labels_are_equally_large():
    """10 subjects with 1 to 10 samples, 55 in all: 5 folds of 11, for 10 + 1 = 9 + 2 = ... = 11."""
    subject = torch.repeat_interleave(torch.arange(10) * 7, torch.arange(1, 11))
    folds = kfold_by_subject(subject, 5, seed=3)
    assert [len(test) for _, test in folds] == [11] * 5
    assert torch.cat([test for _, test in folds]).sort().values.tolist() == list(range(55))


def test_subjects_alike_go_together_by_the_seed():
    subject = torch.arange(40).repeat_interleave(3)
    first, again, other = (
        [set(subject[test].tolist()) for _, test in kfold_by_subject(subject, 4, seed=seed)]
        for seed in (0, 0, 1)
    )
    assert first == again != other
    assert all(len(part) == 10 for part in first)


@pytest.mark.parametrize("labels", [torch.zeros(6, 2).long(), torch.zeros(6, 1).long(), torch.zeros(6)])
def test_not_one_label_a_sample(labels):
    images = torch.zeros(6, 1, 2, 2)
    for draw in (
        lambda: stratified(labels, 2),
        lambda: with_counts(labels, [2]),
        lambda: class_balanced(images, labels, 2),
        lambda: ClassRatio(images, labels, [2]),
        lambda: kfold_by_subject(torch.arange(6), 2, labels=labels),
    ):
        with pytest.raises(CourseError, match=r"labels are .* but must be whole numbers"):
            draw()
    with pytest.raises(CourseError, match="subject are"):
        kfold_by_subject(labels, 2)


@pytest.mark.parametrize("n", [0, 5, 7])
def test_not_as_many_labels_as_images(n):
    images, labels = torch.zeros(6, 1, 2, 2), torch.zeros(n).long()
    for draw in (lambda: class_balanced(images, labels, 2), lambda: ClassRatio(images, labels, [2])):
        with pytest.raises(CourseError, match=r"must be whole numbers \(6,\)"):
            draw()


def test_subjects_that_a_set_does_not_tell():
    with pytest.raises(
        CourseError, match=r"subject is None, but must be whole numbers \(N,\): this set does not say"
    ):
        kfold_by_subject(None, 2)


def test_a_class_of_fewer_samples_than_folds_is_no_noise():
    kfold_by_subject(torch.arange(20), 5, labels=torch.tensor([0] * 18 + [1] * 2))


@pytest.mark.parametrize(
    ("folds", "labels", "message"),
    [
        (1, None, "folds is 1, but must lie between 2 and the 4 subjects"),
        (5, None, "folds is 5"),
        (2, torch.zeros(7), r"\(7,\), but must be whole numbers \(8,\)"),
        (3, torch.arange(8) // 2, "None of the 4 classes has 3 samples"),
    ],
)
def test_impossible_folds(folds, labels, message):
    with pytest.raises(CourseError, match=message):
        kfold_by_subject(torch.arange(8) // 2, folds, labels=labels)


@pytest.mark.parametrize(("contrasts", "p"), [(4, 0.5), (4, 0.2), (2, 0.9), (1, 0.7)])
def test_contrasts_are_missing_as_often_as_said(contrasts, p):
    n = 20_000
    present = available(n, contrasts, missing=p, seed=6)
    assert present.shape == (n, contrasts)
    assert present.any(1).all()
    expected = (1 - p) / (1 - p**contrasts)
    # Five standard errors of a proportion.
    assert (present.double().mean(0) - expected).abs().max() <= 5 * (
        expected * (1 - expected) / n
    ) ** 0.5 + 1e-12


def test_every_combination_is_equally_likely_at_one_half():
    code = (available(14_000, 3, seed=7) * torch.tensor([1, 2, 4])).sum(1)
    assert torch.bincount(code, minlength=8)[0] == 0
    # 14 000 / 7 = 2 000 each; five standard deviations are 207.
    assert (torch.bincount(code)[1:] - 2000).abs().max() < 207


def test_nothing_is_missing_at_zero():
    assert available(100, 4, missing=0).all()


def test_hidden_contrasts_are_blank_and_the_others_untouched():
    for space in ((5, 6), (3, 5, 6)):
        images = torch.rand(8, 3, *space)
        present = available(8, 3, seed=1)
        seen = hidden(images, present)
        assert isinstance(seen, Incomplete)
        assert torch.equal(seen.images[present], images[present])
        assert (seen.images[~present] == -1).all()
    assert (hidden(images, present, fill=0.0).images[~present] == 0).all()
    assert Stream(hidden(images, present), 4)[0].present.shape == (4, 3)


@pytest.mark.parametrize(
    ("n", "contrasts", "p"), [(0, 3, 0.5), (3, 0, 0.5), (3, 3, 1.0), (3, 3, -0.1), (3, 3, float("nan"))]
)
def test_impossible_dropout(n, contrasts, p):
    with pytest.raises(CourseError, match="cannot be drawn"):
        available(n, contrasts, missing=p)


def test_masks_of_another_shape():
    with pytest.raises(CourseError, match=r"present is \(2, 4\), but the images have \(2, 3\)"):
        hidden(torch.zeros(2, 3, 4, 4), torch.ones(2, 4, dtype=torch.bool))


@pytest.mark.parametrize("space", [(24, 20), (12, 14, 16)])
def test_a_misaligned_pair_knows_its_warp(space):
    generator = torch.Generator().manual_seed(0)
    pairs = Paired(*torch.rand(2, 3, 1, *space, generator=generator))
    warped = misaligned(pairs, rms=0.5, width=8, seed=1)
    assert torch.equal(warped.source, pairs.source)
    assert torch.equal(warped.aligned, pairs.target)
    assert warped.field.shape == (3, len(space), *space)
    torch.testing.assert_close(warped.field.square().sum(1).flatten(1).mean(1).sqrt(), torch.full((3,), 0.5))
    # SciPy samples the target where the field says: the oracle of the direction of the warp.
    places = np.indices(space) + warped.field[1].numpy()
    expected = ndimage.map_coordinates(pairs.target[1, 0].numpy(), places, order=1, mode="nearest")
    np.testing.assert_allclose(warped.target[1, 0].numpy(), expected, atol=1e-5)


def test_a_field_belongs_to_its_sample():
    images = torch.rand(5, 1, 16, 16, generator=torch.Generator().manual_seed(0))
    many, few = (misaligned(Paired(x, x), rms=0.5, width=8, seed=3) for x in (images, images[:2]))
    torch.testing.assert_close(many.field[:2], few.field)
    other = misaligned(Paired(images, images), rms=0.5, width=8, seed=4)
    assert not torch.equal(other.field[0], many.field[0])
    assert not torch.equal(other.field[0], many.field[1])
    batch = Stream(many, 2, seed=1)[3]
    torch.testing.assert_close(batch.target, warp.apply(batch.aligned, batch.field))


def test_no_displacement_leaves_pairs_as_they_are():
    images = torch.rand(2, 1, 16, 16)
    torch.testing.assert_close(misaligned(Paired(images, images), rms=0, width=8).target, images)


def test_pairs_that_are_none():
    with pytest.raises(CourseError, match="are no pairs"):
        misaligned(Paired(torch.zeros(2, 1, 8, 8), torch.zeros(2, 1, 8, 9)), rms=1, width=8)
    with pytest.raises(CourseError, match="fold"):
        misaligned(Paired(torch.zeros(2, 1, 16, 16), torch.zeros(2, 1, 16, 16)), rms=8, width=2)
