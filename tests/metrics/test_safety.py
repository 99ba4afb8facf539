"""Measurement consistency of the truth, and lesions added and dropped on purpose."""

import pytest
import torch
from torch.nn.functional import avg_pool2d

from medgan_course.data.scale import Scale
from medgan_course.errors import CourseError
from medgan_course.metrics.fidelity import bias, mae
from medgan_course.metrics.safety import lesion_errors, measurement_consistency


def halved(images):
    return avg_pool2d(images, 2)


def images(n, seed=0):
    return torch.randn(n, 1, 16, 16, generator=torch.Generator().manual_seed(seed)) * 0.1


def test_the_truth_gives_zero_without_noise_and_the_noise_level_with_it():
    truth = images(50)
    measured = halved(truth)
    assert measurement_consistency(truth, measured, halved).max() == 0
    noisy = measured + 0.05 * torch.randn(measured.shape, generator=torch.Generator().manual_seed(1))
    assert float(measurement_consistency(truth, noisy, halved).mean()) == pytest.approx(0.05, rel=0.05)


def test_only_what_was_measured_counts():
    truth = images(2)
    detail = torch.tensor([[1.0, -1.0], [-1.0, 1.0]]).repeat(8, 8)
    assert measurement_consistency(truth + detail, halved(truth), halved).max() < 1e-6
    shifted = measurement_consistency(
        truth + torch.tensor([0.0, 0.3]).view(2, 1, 1, 1), halved(truth), halved
    )
    assert shifted.tolist() == pytest.approx([0, 0.3], abs=1e-6)


def test_complex_measurements():
    truth = images(2)
    k = torch.fft.fft2(truth)
    assert measurement_consistency(truth, k + (3 + 4j), torch.fft.fft2).tolist() == pytest.approx(
        [5, 5], rel=1e-4
    )


def test_a_measurement_of_another_shape_is_refused():
    with pytest.raises(CourseError, match="what was measured is"):
        measurement_consistency(images(2), halved(images(2))[:1], halved)


def test_errors_in_hounsfield_units():
    x, scale = torch.tensor([[[[-1.0, 0.0, 1.0]]]]), Scale(-1000, 2000, "HU")
    hu, shifted = scale.restored(x), scale.restored(x + 0.01)
    assert bias(shifted, hu) == pytest.approx(15, rel=1e-4)
    assert mae(hu, shifted) == pytest.approx(15, rel=1e-4)


def spots(n, *places, value=1.0):
    shown = torch.zeros(n, 1, 16, 16)
    for i, row, column in places:
        shown[i, 0, row : row + 2, column : column + 2] = value
    return shown


def bright(shown):
    return shown > 0.5


def test_added_and_dropped_lesions_are_counted():
    truth = spots(4, (0, 2, 2), (0, 10, 10), (1, 2, 2))
    # Image 0 loses one of its two, image 2 gains two, image 1 keeps its own moved by one pixel.
    result = spots(4, (0, 2, 2), (1, 3, 3), (2, 2, 2), (2, 10, 10))
    found = lesion_errors(bright, result, truth, bright(truth))
    assert found.hallucinated.value == pytest.approx(2 / 4)
    assert found.omitted.value == pytest.approx(1 / 3)
    assert (found.hallucinated.floor.value, found.omitted.floor.value) == (0, 0)
    assert found.hallucinated.n == 4


def test_the_detectors_own_errors_are_the_floor():
    truth = spots(4, (0, 2, 2), (1, 2, 2)) + spots(4, (2, 8, 8), value=0.7) + spots(4, (3, 8, 8), value=0.3)
    lesions = bright(spots(4, (0, 2, 2), (1, 2, 2), (3, 8, 8)))
    found = lesion_errors(bright, truth, truth, lesions)
    assert found.hallucinated.value == found.hallucinated.floor.value == pytest.approx(1 / 4)
    assert found.omitted.value == found.omitted.floor.value == pytest.approx(1 / 3)


def test_touching_corners_make_one_lesion_and_one_detection_may_cover_two():
    truth = spots(2, (0, 2, 2), (0, 4, 4), (1, 8, 2), (1, 8, 6))
    covering = truth.clone()
    covering[1, 0, 8:10, 2:8] = 1
    found = lesion_errors(bright, covering, truth, bright(truth))
    assert (found.hallucinated.value, found.omitted.value) == (0, 0)
    nothing = lesion_errors(bright, torch.zeros_like(truth), truth, bright(truth))
    assert nothing.omitted.value == 1
    half = covering * 0
    half[1] = truth[1]
    # Of three lesions the first, whose squares touch at a corner, is lost.
    assert lesion_errors(bright, half, truth, bright(truth)).omitted.value == pytest.approx(1 / 3)


def test_without_lesions_every_detection_is_hallucinated_and_nothing_can_be_omitted():
    truth = spots(3)
    found = lesion_errors(bright, spots(3, (1, 4, 4)), truth, bright(truth))
    assert found.hallucinated.value == pytest.approx(1 / 3)
    assert found.omitted is None


def test_a_detector_of_probabilities_is_refused():
    with pytest.raises(CourseError, match="boolean masks"):
        lesion_errors(lambda shown: shown, spots(2), spots(2), bright(spots(2)))
