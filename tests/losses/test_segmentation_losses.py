from math import log

import pytest
import torch

from medgan_course.errors import CourseError
from medgan_course.losses.segmentation import dice, dice_bce, focal_tversky

# Probabilities 0.8, 0.5, 0.2, 0.5 where the truth is 1, 1, 0, 0: TP = 1.3, FP = 0.7, FN = 0.7.
P = torch.tensor([0.8, 0.5, 0.2, 0.5]).view(1, 1, 2, 2)
LOGITS = torch.logit(P)
TARGET = torch.tensor([1.0, 1.0, 0.0, 0.0]).view(1, 1, 2, 2)
EVERY = {"dice": dice, "dice_bce": dice_bce, "focal_tversky": focal_tversky}
every = pytest.mark.parametrize("loss", EVERY.values(), ids=EVERY)


def certain(mask):
    return (2 * mask.float() - 1) * 1e4


def test_dice_and_bce_of_four_pixels():
    expected = 1 - (2 * 1.3 + 2) / (2 * 1.3 + 0.7 + 0.7 + 2)
    assert dice(logits=LOGITS, target=TARGET).item() == pytest.approx(expected)
    bce = -(log(0.8) + log(0.5) + log(0.8) + log(0.5)) / 4
    assert dice_bce(logits=LOGITS, target=TARGET).item() == pytest.approx(expected + bce)
    unsmoothed = 1 - 2.6 / 4.0
    assert dice(logits=LOGITS, target=TARGET, smooth=0).item() == pytest.approx(unsmoothed)


def test_the_focal_tversky_exponent_is_one_over_gamma():
    index = (1.3 + 1) / (1.3 + 0.3 * 0.7 + 0.7 * 0.7 + 1)
    assert focal_tversky(logits=LOGITS, target=TARGET).item() == pytest.approx((1 - index) ** 0.75)
    assert focal_tversky(logits=LOGITS, target=TARGET, gamma=0.5).item() == pytest.approx((1 - index) ** 2)


def test_alpha_weighs_false_positives_and_beta_false_negatives():
    all_on, all_off = certain(torch.ones(1, 1, 2, 2)), certain(torch.zeros(1, 1, 2, 2))
    settings = {"gamma": 1.0, "smooth": 0.5}
    # Everything on: TP 2, FP 2, FN 0. Everything off: TP 0, FP 0, FN 2.
    for alpha, beta in ((0.3, 0.7), (0.7, 0.3)):
        on, off = (
            focal_tversky(logits=logits, target=TARGET, alpha=alpha, beta=beta, **settings).item()
            for logits in (all_on, all_off)
        )
        assert on == pytest.approx(1 - 2.5 / (2.5 + 2 * alpha))
        assert off == pytest.approx(1 - 0.5 / (0.5 + 2 * beta))
    # On false-alarm and miss exchanged, exchanging the weights gives the same.
    missed = torch.tensor([1.0, 0.0, 0.0, 0.0]).view(1, 1, 2, 2)
    alarm = torch.tensor([1.0, 1.0, 0.0, 0.0]).view(1, 1, 2, 2)
    one = focal_tversky(logits=certain(missed), target=alarm, alpha=0.2, beta=0.9)
    other = focal_tversky(logits=certain(alarm), target=missed, alpha=0.9, beta=0.2)
    torch.testing.assert_close(one, other)


def test_focal_tversky_reduces_to_soft_dice_with_the_same_smoothing():
    torch.manual_seed(0)
    logits, target = torch.randn(3, 2, 4, 4, 4), (torch.rand(3, 2, 4, 4, 4) < 0.3).float()
    got = focal_tversky(logits=logits, target=target, alpha=0.5, beta=0.5, gamma=1.0)
    torch.testing.assert_close(got, dice(logits=logits, target=target))


def test_dice_and_tversky_agree_with_monai():
    losses = pytest.importorskip("monai.losses")
    torch.manual_seed(0)
    for shape in ((3, 2, 6, 5), (2, 1, 4, 4, 4)):
        logits, target = torch.randn(shape), (torch.rand(shape) < 0.3).float()
        # Our smoothing counts for TP, theirs for twice TP.
        theirs = losses.DiceLoss(sigmoid=True, smooth_nr=2.0, smooth_dr=2.0)(logits, target)
        torch.testing.assert_close(dice(logits=logits, target=target), theirs)
        theirs = losses.TverskyLoss(sigmoid=True, alpha=0.3, beta=0.7, smooth_nr=1.0, smooth_dr=1.0)
        torch.testing.assert_close(
            focal_tversky(logits=logits, target=target, gamma=1.0), theirs(logits, target)
        )


@every
def test_a_perfect_mask_costs_nothing_an_empty_one_too_and_the_opposite_much(loss):
    empty = torch.zeros_like(TARGET)
    for truth in (TARGET, empty):
        assert loss(logits=certain(truth), target=truth).item() == pytest.approx(0, abs=1e-5)
    assert loss(logits=certain(1 - TARGET), target=TARGET) > 0.5


@every
def test_logits_rise_where_the_mask_is_and_fall_elsewhere(loss):
    logits = LOGITS.clone().requires_grad_()
    loss(logits=logits, target=TARGET).backward()
    assert (logits.grad[TARGET == 1] < 0).all()
    assert (logits.grad[TARGET == 0] > 0).all()


@every
@pytest.mark.parametrize("sign", [1, -1])
def test_huge_logits_stay_finite_with_finite_gradients(loss, sign):
    # A perfect mask is the corner of the focal loss, whose root has an infinite slope there.
    logits = (sign * certain(TARGET)).requires_grad_()
    value = loss(logits=logits, target=TARGET)
    value.backward()
    assert value.isfinite()
    assert logits.grad.isfinite().all()


@every
def test_every_sample_and_channel_counts_alike(loss):
    logits = torch.stack([LOGITS[0], certain(TARGET)[0]])
    target = torch.cat([TARGET, TARGET])
    pooled = torch.stack([loss(logits=a[None], target=b[None]) for a, b in zip(logits, target, strict=True)])
    torch.testing.assert_close(loss(logits=logits, target=target), pooled.mean())
    channels = loss(logits=logits.transpose(0, 1), target=target.transpose(0, 1))
    torch.testing.assert_close(channels, pooled.mean())
    assert loss(logits=LOGITS.bfloat16(), target=TARGET.bool()).dtype == torch.float32
    with pytest.raises(CourseError, match="one shape"):
        loss(logits=logits, target=TARGET)
