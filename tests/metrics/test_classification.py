"""Rates, rankings, agreement, calibration: by hand, against scikit-learn, and how often intervals cover."""

import math

import numpy as np
import pytest
import sklearn.metrics as reference
import torch

from medgan_course.errors import CourseError
from medgan_course.metrics.classification import (
    accuracy,
    auc,
    auprc,
    brier,
    calibration_error,
    cohen_kappa,
    f1,
    macro_auc,
    predictive_value,
    proportion,
    quadratic_kappa,
    reliability,
    sensitivity,
    specificity,
)
from medgan_course.metrics.score import Score


def draws(seed=0):
    return torch.Generator().manual_seed(seed)


def patients(n, shift, seed, share=0.3):
    """Labels, and scores rounded so that some are equal."""
    labels = (torch.rand(n, generator=draws(seed)) < share).long()
    labels[:2] = torch.tensor([0, 1])
    scores = torch.randn(n, generator=draws(seed + 1)) + shift * labels
    return labels, (scores * 5).round() / 5


def test_wilson_by_hand():
    score = proportion(torch.tensor([True] * 8 + [False] * 2))
    # (0.8 + 0.19207) / 1.38415 and 1.95996 * sqrt(0.016 + 0.0096037) / 1.38415 with z^2 = 3.84146
    assert score.value == pytest.approx(0.8)
    assert (score.low, score.high) == pytest.approx((0.49016, 0.94331), abs=1e-4)
    assert score.n == 10


def test_wilson_is_sure_of_nothing_when_all_answers_are_alike():
    score = proportion(torch.ones(10, dtype=torch.bool))
    # 1 / (1 + z^2 / n)
    assert (score.low, score.high) == pytest.approx((1 / 1.384146, 1.0), abs=1e-5)


def test_answers_about_the_same_subject_are_not_new_evidence():
    hits = torch.tensor([True, False, True, True, False, True]).repeat_interleave(20)
    alone, together = proportion(hits), proportion(hits, subjects=torch.arange(6).repeat_interleave(20))
    assert together.high - together.low > 2 * (alone.high - alone.low)


def test_nobody_is_ill_has_95_percent_accuracy_and_finds_nobody():
    labels = torch.tensor([1] * 5 + [0] * 95)
    healthy, scores = torch.zeros(100, dtype=torch.long), torch.zeros(100)
    score = accuracy(labels, healthy)
    assert (score.value, score.floor.value) == (0.95, 0.95)
    assert sensitivity(labels, healthy).value == 0
    assert specificity(labels, healthy).value == 1
    assert f1(labels, healthy).value == 0
    assert auc(labels, scores).value == 0.5
    assert cohen_kappa(labels, healthy).value == pytest.approx(0, abs=1e-12)
    assert auprc(labels, scores).value == pytest.approx(0.05)
    assert math.isnan(
        predictive_value(sensitivity(labels, healthy), specificity(labels, healthy), 0.05).value
    )


def test_rates_by_hand():
    labels, predicted = torch.tensor([1, 1, 1, 0, 0]), torch.tensor([1, 1, 0, 1, 0])
    assert sensitivity(labels, predicted).value == pytest.approx(2 / 3)
    assert (sensitivity(labels, predicted).n, specificity(labels, predicted).n) == (3, 2)
    assert specificity(labels, predicted).value == pytest.approx(1 / 2)
    assert accuracy(labels, predicted).value == pytest.approx(3 / 5)
    assert f1(labels, predicted).value == pytest.approx(reference.f1_score(labels, predicted))


def test_the_predictive_value_depends_on_the_prevalence():
    rate = Score(0.9, 0.8, 0.95, 100)
    assert predictive_value(rate, rate, 0.5).value == pytest.approx(0.9)
    rare = predictive_value(rate, rate, 0.01)
    assert rare.value == pytest.approx(0.009 / (0.009 + 0.099))
    assert rare.low == pytest.approx(0.008 / (0.008 + 0.198))
    assert rare.high == pytest.approx(0.0095 / (0.0095 + 0.0495))
    with pytest.raises(CourseError, match="Prevalence"):
        predictive_value(rate, rate, 5)


def test_rankings_agree_with_scikit_learn_also_with_ties():
    for seed in range(3):
        labels, scores = patients(80, 1.0, 10 * seed)
        assert auc(labels, scores).value == pytest.approx(reference.roc_auc_score(labels, scores), abs=1e-12)
        expected = reference.average_precision_score(labels, scores)
        assert auprc(labels, scores).value == pytest.approx(expected, abs=1e-12)
    by_subject = auc(labels, scores, subjects=torch.arange(80) // 2)
    assert by_subject.value == pytest.approx(auc(labels, scores).value, abs=1e-12)
    assert by_subject.low < by_subject.value < by_subject.high


def test_delong_by_hand():
    labels, scores = torch.tensor([1, 1, 0, 0]), torch.tensor([3.0, 1.0, 2.0, 0.0])
    # Placements of the diseased 1, 1/2 and of the healthy 1/2, 1: variance 1/8 / 2 + 1/8 / 2 = 1/8; A = 3/4.
    half = 1.959964 * math.sqrt(1 / 8) / (3 / 16)
    logit = math.log(3)
    score = auc(labels, scores)
    assert score.value == 0.75
    ends = [1 / (1 + math.exp(-(logit + sign * half))) for sign in (-1, 1)]
    assert (score.low, score.high) == pytest.approx(ends, rel=1e-5)


def test_what_chance_gives_stands_beside_every_score():
    labels, scores = torch.tensor([1, 1, 1, 0, 0]), torch.tensor([0.3, 0.9, 0.2, 0.1, 0.4])
    # Half a width of 1.96 sqrt(6 / (12 * 3 * 2)) = 0.566: five images exclude nothing.
    for score in (auc(labels, scores), auc(labels, scores, subjects=torch.arange(5)), auc(labels, labels)):
        floor = score.floor
        assert (floor.value, floor.low, floor.high, floor.n) == (0.5, 0, 1, 5)
    many = auc(labels.repeat(10), scores.repeat(10)).floor
    half = 1.959964 * math.sqrt(51 / (12 * 30 * 20))
    assert (many.low, many.high) == pytest.approx((0.5 - half, 0.5 + half), rel=1e-6)
    # Calling everybody diseased: precision 3/5, recall 1.
    assert f1(labels, torch.tensor([0, 0, 1, 0, 0])).floor.value == pytest.approx(2 * 0.6 / 1.6)
    rate = Score(0.9, 0.8, 0.95, 100)
    assert predictive_value(rate, rate, 0.05).floor.value == 0.05
    a = torch.randint(5, (60,), generator=draws(1))
    for kappa in (cohen_kappa, quadratic_kappa):
        score = kappa(a, (a + torch.randint(2, (60,), generator=draws(2))).clamp(0, 4))
        assert abs(score.floor.value) < 0.03
        assert -0.4 < score.floor.low < -0.05 < 0.05 < score.floor.high < score.low


def test_the_mean_area_over_classes():
    # Of two classes: three of the four pairs of a positive and a negative are in order.
    p = torch.tensor([0.1, 0.6, 0.4, 0.8])
    labels = torch.tensor([0, 0, 1, 1])
    assert macro_auc(labels, torch.stack([1 - p, p], 1)) == 0.75
    # Of three, of which one is absent: class 0 against the rest 1, class 2 against the rest 0.5.
    three = torch.tensor([[0.8, 0.1, 0.1], [0.2, 0.7, 0.1], [0.1, 0.8, 0.1]])
    assert macro_auc(torch.tensor([0, 2, 2]), three) == 0.75
    labels = torch.randint(4, (80,), generator=draws(3))
    p = torch.randn(80, 4, generator=draws(4), dtype=torch.float64).softmax(1)
    expected = reference.roc_auc_score(labels, p, multi_class="ovr", average="macro")
    assert macro_auc(labels, p) == pytest.approx(expected, abs=1e-12)
    with pytest.raises(CourseError, match="of two classes or more"):
        macro_auc(torch.zeros(80, dtype=torch.long), p)


def test_delong_covers_the_truth_in_about_95_percent_of_cases():
    for shift in (0.0, 1.5):
        truth = 0.5 * (1 + math.erf(shift / 2))  # two unit normals: Phi(shift / sqrt(2))
        inside = 0
        for seed in range(400):
            scores = torch.randn(70, generator=draws(seed))
            labels = (torch.arange(70) < 30).long()
            score = auc(labels, scores + shift * labels)
            inside += score.low <= truth <= score.high
        assert 0.92 <= inside / 400 <= 0.98


def test_a_perfect_ranking_of_few_proves_little():
    score = auc(torch.tensor([1, 1, 1, 0, 0]), torch.tensor([5.0, 4.0, 3.0, 2.0, 1.0]))
    assert (score.value, score.high) == (1.0, 1.0)
    assert score.low == pytest.approx(1 / (1 + 3.84146 / 2), abs=1e-5)
    assert auc(torch.tensor([0, 1]), torch.tensor([5.0, 4.0])).value == 0


def test_auc_ignores_prevalence_and_auprc_does_not():
    labels, scores = patients(200, 1.0, 5)
    twice = labels == 0
    more_labels, more_scores = torch.cat((labels, labels[twice])), torch.cat((scores, scores[twice]))
    assert auc(more_labels, more_scores).value == pytest.approx(auc(labels, scores).value)
    assert auprc(more_labels, more_scores).value < auprc(labels, scores).value - 0.05
    assert auprc(labels, scores).floor.value == pytest.approx(float(labels.double().mean()))


def test_kappas_agree_with_scikit_learn():
    a = torch.randint(5, (60,), generator=draws(1))
    b = (a + torch.randint(-1, 2, (60,), generator=draws(2))).clamp(0, 4)
    assert cohen_kappa(a, b).value == pytest.approx(reference.cohen_kappa_score(a, b), abs=1e-12)
    expected = reference.cohen_kappa_score(a, b, weights="quadratic")
    assert quadratic_kappa(a, b).value == pytest.approx(expected, abs=1e-12)


def test_a_near_miss_costs_quadratic_kappa_less_than_a_far_one():
    truth = torch.tensor([0, 1, 2, 3, 4] * 4)
    near, far = truth.clone(), truth.clone()
    near[0], far[0] = 1, 4
    assert quadratic_kappa(truth, near).value > quadratic_kappa(truth, far).value + 0.1
    assert cohen_kappa(truth, near).value == pytest.approx(cohen_kappa(truth, far).value, abs=0.01)


def test_raters_who_always_say_the_same_agree_by_chance():
    same = torch.ones(10, dtype=torch.long)
    for kappa in (cohen_kappa, quadratic_kappa):
        assert kappa(same, same).value == 0
        assert kappa(torch.arange(10), torch.arange(10)).value == 1


def test_brier_by_hand_and_against_scikit_learn():
    labels, p = torch.tensor([1, 0, 1]), torch.tensor([0.9, 0.2, 0.4])
    assert brier(labels, p).tolist() == pytest.approx([0.01, 0.04, 0.36])
    assert float(brier(labels, p).mean()) == pytest.approx(reference.brier_score_loss(labels, p), abs=1e-7)


def test_reliability_bins():
    labels, p = torch.tensor([0, 1, 1, 1]), torch.tensor([0.1, 0.15, 0.62, 1.0])
    found = reliability(labels, p, bins=5)
    assert found.n.tolist() == [2, 1, 1]
    assert found.forecast.tolist() == pytest.approx([0.125, 0.62, 1.0])
    assert found.frequency.tolist() == [0.5, 1, 1]
    # gaps 0.375 of two images, 0.38, 0
    assert calibration_error(labels, p, bins=5).value == pytest.approx((2 * 0.375 + 0.38) / 4)


def test_the_calibration_error_of_a_calibrated_classifier_is_at_its_floor_and_not_zero():
    p = torch.rand(300, generator=draws(3))
    labels = (torch.rand(300, generator=draws(5)) < p).long()
    honest = calibration_error(labels, p)
    assert honest.floor.low < honest.value < honest.floor.high
    assert honest.floor.value > 0.02
    bold = calibration_error(labels, (p > 0.5).float() * 0.98 + 0.01)
    assert bold.value > 2 * bold.floor.high


def test_logits_are_no_probabilities():
    with pytest.raises(CourseError, match="apply a sigmoid"):
        brier(torch.tensor([0, 1]), torch.tensor([-2.0, 3.0]))


def test_several_classes_or_one_are_refused_where_two_are_meant():
    for labels in (torch.tensor([0, 1, 2]), torch.tensor([1, 1, 1])):
        for metric in (auc, auprc, sensitivity):
            with pytest.raises(CourseError, match="labels == k"):
                metric(labels, torch.tensor([0, 1, 1]))
    with pytest.raises(CourseError, match="One answer belongs to each label"):
        accuracy(torch.zeros(4), torch.zeros(4, 1))
    with pytest.raises(CourseError, match="boolean"):
        proportion(torch.tensor([0, 1]))


def test_one_class_among_several_as_booleans():
    labels, scores = torch.tensor([0, 1, 2, 2, 1]), torch.tensor([0.1, 0.2, 0.9, 0.3, 0.4])
    expected = reference.roc_auc_score(np.array([0, 0, 1, 1, 0]), scores)
    assert auc(labels == 2, scores).value == pytest.approx(expected)
