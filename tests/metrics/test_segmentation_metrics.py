"""Overlap and boundaries of known shapes, empty masks, and MONAI."""

import math

import pytest
import torch

from medgan_course.errors import CourseError
from medgan_course.metrics.segmentation import boundary_f1, dice, hd95, jaccard, pixel_accuracy


def box(top, left, height, width, side=32):
    mask = torch.zeros(1, 1, side, side, dtype=torch.bool)
    mask[..., top : top + height, left : left + width] = True
    return mask


EMPTY = box(0, 0, 0, 0)


def blobs(n, side, seed):
    noise = torch.randn(n, 1, side, side, generator=torch.Generator().manual_seed(seed))
    return torch.nn.functional.avg_pool2d(noise, 9, 1, 4) > 0.05


def test_overlap_of_two_boxes_by_hand():
    x, y = box(4, 4, 4, 6), box(4, 7, 4, 6)  # 24 pixels each, 12 common
    assert dice(x, y) == pytest.approx(0.5)
    assert jaccard(x, y) == pytest.approx(1 / 3)
    assert pixel_accuracy(x, y) == pytest.approx(1 - 24 / 1024)


def test_empty_masks():
    lesion = box(4, 4, 4, 4)
    x, y = torch.cat((EMPTY, EMPTY, lesion)), torch.cat((EMPTY, lesion, EMPTY))
    assert dice(x, y).tolist() == [1, 0, 0]
    assert jaccard(x, y).tolist() == [1, 0, 0]
    assert boundary_f1(x, y, tolerance=1).tolist() == [1, 0, 0]
    assert hd95(x, y).tolist() == [0, math.inf, math.inf]


def test_pixel_accuracy_praises_a_lesion_missed_altogether():
    lesion = box(4, 4, 3, 3)
    assert pixel_accuracy(EMPTY, lesion) > 0.99
    assert dice(EMPTY, lesion) == 0


def test_the_distance_of_a_shifted_box_is_the_shift_in_millimetres():
    x, y = box(8, 8, 10, 10), box(8, 13, 10, 10)
    assert hd95(x, y) == 5
    assert hd95(x, y, spacing=(1.0, 0.4)) == pytest.approx(2)
    assert hd95(x, y, spacing=2.0) == 10
    assert hd95(x, x) == 0


def test_one_stray_pixel_does_not_decide_the_distance():
    x = box(8, 8, 10, 10)
    stray = x | box(30, 30, 1, 1)
    assert hd95(stray, x) == 0
    assert hd95(stray | box(8, 25, 10, 1), x) > 5


def test_the_distance_counts_what_either_side_lacks():
    both, one = box(2, 2, 6, 6) | box(20, 20, 6, 6), box(2, 2, 6, 6)
    assert hd95(one, both) == hd95(both, one) > 10


def test_boundary_f1_of_shifted_boxes():
    x, y = box(8, 8, 10, 10), box(8, 9, 10, 10)
    assert boundary_f1(x, y, tolerance=1) == 1
    # Within 0: the boundary has 36 pixels, of which the two rows share 9 columns each; the sides have none.
    assert boundary_f1(x, y, tolerance=0) == pytest.approx(18 / 36)
    assert boundary_f1(x, y, tolerance=1, spacing=2.0) == pytest.approx(18 / 36)
    assert boundary_f1(x, box(25, 25, 3, 3), tolerance=1) == 0


def test_boundary_f1_sees_a_rim_that_dice_does_not():
    x, y = box(2, 2, 28, 28), box(5, 5, 22, 22)
    assert dice(x, y) > 0.7
    assert boundary_f1(x, y, tolerance=1) == 0


def test_boundary_f1_is_the_harmonic_mean():
    whole, half = box(2, 2, 6, 6) | box(20, 20, 6, 6), box(2, 2, 6, 6)
    # Precision 1, recall 1/2
    assert boundary_f1(half, whole, tolerance=0) == pytest.approx(2 / 3)


def test_volumes_have_faces():
    x = torch.zeros(1, 1, 12, 12, 12, dtype=torch.bool)
    x[..., 2:8, 2:8, 2:8] = True
    y = x.roll(2, 2)
    assert hd95(x, y, spacing=(2.5, 1.0, 1.0)) == pytest.approx(5)
    assert dice(x, y) == pytest.approx(4 / 6)


def test_overlap_and_distance_agree_with_monai():
    monai = pytest.importorskip("monai.metrics")
    x, y = blobs(4, 32, 0), blobs(4, 32, 1)
    assert dice(x, y).tolist() == pytest.approx(monai.compute_dice(x, y).flatten().tolist(), abs=1e-6)
    assert jaccard(x, y).tolist() == pytest.approx(monai.compute_iou(x, y).flatten().tolist(), abs=1e-6)
    options = {"include_background": True, "percentile": 95}
    expected = monai.compute_hausdorff_distance(x.float(), y.float(), **options).flatten()
    assert hd95(x, y).tolist() == pytest.approx(expected.tolist(), abs=1e-4)
    spaced = monai.compute_hausdorff_distance(x.float(), y.float(), spacing=(2.0, 0.5), **options).flatten()
    assert hd95(x, y, spacing=(2.0, 0.5)).tolist() == pytest.approx(spaced.tolist(), abs=1e-4)


def test_what_is_no_pair_of_masks_is_refused():
    mask = box(1, 1, 2, 2)
    for wrong in (mask.long(), mask[0], mask[..., :4], mask.repeat(1, 2, 1, 1)):
        with pytest.raises(CourseError, match="labels == k"):
            dice(mask, wrong)
