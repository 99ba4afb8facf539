"""FSIM against values of another implementation, and phase congruency against what defines it."""

import pytest
import torch
from torch.nn.functional import avg_pool2d

from medgan_course.errors import CourseError
from medgan_course.metrics.fsim import fsim, phase_congruency

rows, columns = torch.meshgrid(torch.arange(64.0), torch.arange(64.0), indexing="ij")
disc = torch.where((columns - 32) ** 2 + (rows - 30) ** 2 < 400, 0.5, -1.0)
truth = (disc + torch.where((columns - 40) ** 2 + (rows - 30) ** 2 < 16, 0.4, 0.0))[None, None]


def blurred(images, width):
    return avg_pool2d(images, width, 1, width // 2)


def test_values_of_piq():
    # piq 0.8.0, fsim(..., chromatic=False) and chromatic=True, computed once from the same images.
    results = torch.cat([blurred(truth, 5), truth.roll(2, -1)])
    assert fsim(results, truth.repeat(2, 1, 1, 1)).tolist() == pytest.approx([0.63175, 0.82720], abs=1e-4)
    tint = torch.tensor([1.0, 0.5, 0.2])[None, :, None, None]
    colour = fsim(results * tint, truth.repeat(2, 3, 1, 1))
    assert colour.tolist() == pytest.approx([0.59954, 0.71582], abs=1e-4)


def test_equal_images_have_one_and_blur_lowers_it_step_by_step():
    images = torch.cat([truth, *(blurred(truth, width) for width in (3, 5, 9))])
    values = fsim(images, truth.repeat(4, 1, 1, 1)).tolist()
    assert values[0] == pytest.approx(1)
    assert values == sorted(values, reverse=True)
    assert values[3] < 0.8


def test_it_is_symmetric_and_each_image_has_its_own_value():
    x, y = blurred(truth, 5), truth.roll(1, -2)
    assert fsim(x, y) == pytest.approx(float(fsim(y, x)))
    together = fsim(torch.cat((x, y, truth)), truth.repeat(3, 1, 1, 1))
    assert together.tolist() == pytest.approx([float(fsim(part, truth)) for part in (x, y, truth)], abs=1e-6)


def test_phase_congruency_ignores_brightness_and_contrast_and_marks_the_edge():
    phase = phase_congruency(truth[0])
    assert torch.allclose(phase_congruency(0.1 * truth[0] + 7), phase, atol=1e-3)
    assert phase.min() >= 0
    assert phase.max() <= 1
    edge = ((columns - 32) ** 2 + (rows - 30) ** 2).sqrt().sub(20).abs() < 1.5
    far = ((columns - 32) ** 2 + (rows - 30) ** 2).sqrt().sub(20) > 6
    assert phase[0][edge].mean() > 1.5 * phase[0][far].mean()


def test_phase_congruency_turns_with_the_image():
    # Odd sides: then the grid of frequencies turns into itself.
    image = truth[0, :, :63, :63]
    turned = phase_congruency(torch.rot90(image, 1, (1, 2)))
    assert torch.allclose(turned, torch.rot90(phase_congruency(image), 1, (1, 2)), atol=0.02)


def test_contrast_counts_through_the_gradient():
    assert 0.5 < fsim(0.5 * truth, truth) < 0.99


def test_chroma_counts_only_in_colour():
    tint = torch.tensor([0.3, 0.3, 0.3])[None, :, None, None]
    # The same luminance 0.299 r + 0.587 g + 0.114 b, another colour.
    shift = torch.tensor([0.587, -0.299, 0.0])[None, :, None, None] * 0.5
    grey = truth * tint
    assert fsim(grey + shift, grey) < 0.999
    assert fsim(grey, grey) == pytest.approx(1)


def test_flat_images_have_no_features_to_compare():
    flat = torch.full((1, 1, 32, 32), 0.3)
    assert phase_congruency(flat[0]).max() == 0
    assert fsim(flat, flat).isnan()


@pytest.mark.parametrize("shape", [(1, 2, 32, 32), (1, 1, 8, 32), (1, 1, 32, 32, 32)])
def test_what_it_cannot_compare_is_refused(shape):
    with pytest.raises(CourseError, match="slice by slice"):
        fsim(torch.zeros(shape), torch.zeros(shape))


def test_images_of_another_scale_are_refused():
    with pytest.raises(CourseError, match=r"images in \[-1, 1\], not -128 to 115"):
        fsim(truth * 127.5, truth * 127.5)
