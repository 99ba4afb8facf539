"""Seeds, diverged runs, and splits that keep subjects apart."""

import math

import pytest
import torch
from scipy import stats
from sklearn.neighbors import KNeighborsClassifier

from medgan_course.errors import CourseError
from medgan_course.metrics.score import Score
from medgan_course.metrics.stability import cross_validated, diverged, folds, over_seeds


def test_mean_and_spread_over_seeds_by_hand_and_by_scipy():
    chance = Score(0.5, 0.4, 0.6, 9)
    score, spread = over_seeds(torch.tensor([1.0, 2.0, 6.0]), floor=chance)
    assert (score.value, score.n, score.floor) == (3, 3, chance)
    assert spread == pytest.approx(7**0.5)
    theirs = stats.ttest_1samp([1.0, 2.0, 6.0], 0).confidence_interval(0.95)
    assert (score.low, score.high) == pytest.approx((theirs.low, theirs.high))


def test_diverged_runs_are_counted_and_none_of_five_proves_little():
    score = diverged(torch.tensor([0.1, math.nan, -math.inf, 40.0]), limit=10)
    assert (score.value, score.n) == (0.75, 4)
    assert diverged(torch.tensor([0.1, math.nan, math.inf, 40.0])).value == 0.5
    none = diverged(torch.zeros(5))
    # Wilson at k = 0: z^2 / (n + z^2)
    assert (none.value, none.low, none.high) == (0, 0, pytest.approx(1.96**2 / (5 + 1.96**2), rel=1e-4))


SUBJECTS = torch.tensor([7, 7, 3, 9, 9, 9, 1, 1, 12, 3, 12, 30])


@pytest.mark.parametrize("k", [2, 3, 6])
def test_no_subject_is_on_both_sides_and_each_row_is_tested_once_a_repeat(k):
    splits = list(folds(SUBJECTS, k, repeats=2, seed=1))
    assert len(splits) == 2 * k
    for half in (splits[:k], splits[k:]):
        assert torch.cat([test for _, test in half]).sort().values.tolist() == list(range(12))
    for train, test in splits:
        assert sorted([*train.tolist(), *test.tolist()]) == list(range(12))
        assert not set(SUBJECTS[train].tolist()) & set(SUBJECTS[test].tolist())
        assert len(SUBJECTS[test].unique()) in (6 // k, -(-6 // k))


def test_the_leaking_split_has_to_be_asked_for_and_leaks():
    splits = folds(SUBJECTS, 2, same_subject_in_train_and_test=True)
    assert any(set(SUBJECTS[train].tolist()) & set(SUBJECTS[test].tolist()) for train, test in splits)


def test_a_split_by_slice_inflates_the_score():
    # 40 subjects with 6 slices that hardly differ; the label is the subject's, and no image shows it.
    draw = torch.Generator().manual_seed(0)
    subjects = torch.arange(40).repeat_interleave(6)
    labels = torch.randint(2, (40,), generator=draw)[subjects]
    images = torch.randn(40, 5, generator=draw)[subjects] + 0.05 * torch.randn(240, 5, generator=draw)

    def accuracy(**settings):
        scores = []
        for train, test in folds(subjects, 5, repeats=2, **settings):
            model = KNeighborsClassifier(1).fit(images[train], labels[train])
            scores.append(model.score(images[test], labels[test]))
        return cross_validated(torch.tensor(scores), 5)

    honest, leaking = accuracy(), accuracy(same_subject_in_train_and_test=True)
    assert honest.low < 0.5 < honest.high
    assert leaking.low > 0.9


def test_the_same_seed_deals_the_same_folds_and_repeats_differ():
    def dealt(**settings):
        return [test.tolist() for _, test in folds(SUBJECTS, 3, **settings)]

    assert dealt(seed=4) == dealt(seed=4)
    assert dealt(seed=4) != dealt(seed=5)
    twice = dealt(seed=4, repeats=2)
    assert twice[:3] == dealt(seed=4) != twice[3:]


def test_the_corrected_interval_by_hand():
    score = cross_validated(torch.tensor([0.6, 0.8, 0.7, 0.9]), 2)
    # s^2 = (0.15^2 + 0.05^2 + 0.05^2 + 0.15^2) / 3, times 1/4 + 1/1; t(3) = 3.182446
    half = 3.182446 * (0.05 / 3 * 1.25) ** 0.5
    assert (score.value, score.low, score.high) == pytest.approx((0.75, 0.75 - half, 0.75 + half))
    assert score.n == 4


def test_repeating_does_not_make_the_interval_shrink_to_nothing():
    once = cross_validated(torch.tensor([0.6, 0.8, 0.7, 0.9, 0.5]), 5)
    often = cross_validated(torch.tensor([0.6, 0.8, 0.7, 0.9, 0.5]).repeat(200), 5)
    # The term 1 / (k - 1) remains: 1.96 s / 2, s being 0.1414 for so many.
    assert often.high - often.value == pytest.approx(1.96 * 0.02**0.5 / 2, rel=0.01)
    assert once.high - once.value > often.high - often.value


def test_wrong_arguments_are_refused():
    with pytest.raises(CourseError, match="two runs"):
        over_seeds(torch.tensor([1.0]))
    with pytest.raises(CourseError, match="diverged"):
        over_seeds(torch.tensor([1.0, math.nan]))
    with pytest.raises(CourseError, match="7 folds cannot be made of 6: choose k from 2 to 6"):
        next(folds(SUBJECTS, 7))
    with pytest.raises(CourseError, match="whole number for each image"):
        next(folds(SUBJECTS.double(), 2))
    for wrong in (torch.ones(5), torch.tensor([1.0, math.nan])):
        with pytest.raises(CourseError, match="gives 2 finite scores or a multiple"):
            cross_validated(wrong, 2)
