"""Augmentations move and re-grade every image by its own amounts, and let gradients through."""

import pytest
import torch

from medgan_course.data.augment import diff_augment


@pytest.fixture(autouse=True)
def seeded():
    torch.manual_seed(0)


def test_zero_amounts_change_nothing():
    images = torch.rand(4, 2, 7, 9) * 2 - 1
    same = diff_augment(images, shift=0, brightness=0, contrast=0)
    torch.testing.assert_close(same, images, atol=1e-6, rtol=0)


def test_the_gradient_passes():
    images = torch.rand(4, 1, 16, 16, requires_grad=True)
    weights = torch.rand(4, 1, 16, 16)
    (diff_augment(images, shift=0, contrast=0) * weights).sum().backward()
    torch.testing.assert_close(images.grad, weights)


def test_the_gradient_of_a_shift_loses_nothing():
    """Every output pixel is one input pixel, so the gradient of the sum adds up to the number of pixels."""
    images = torch.rand(8, 1, 20, 20, requires_grad=True)
    diff_augment(images, shift=0.2, brightness=0, contrast=0).sum().backward()
    torch.testing.assert_close(images.grad.sum(dim=(1, 2, 3)), torch.full((8,), 400.0))


def test_a_shift_moves_by_whole_pixels_up_to_its_limit():
    images = torch.zeros(400, 1, 20, 20)
    images[:, :, 10, 10] = 1
    moved = diff_augment(images, shift=0.1, brightness=0, contrast=0)
    assert torch.equal(moved.sum(dim=(1, 2, 3)).round(), torch.ones(400))
    _, _, rows, columns = (moved > 0.5).nonzero(as_tuple=True)
    assert set((rows - 10).tolist()) == set((columns - 10).tolist()) == {-2, -1, 0, 1, 2}
    # The two axes are drawn apart.
    assert len(set(zip(rows.tolist(), columns.tolist(), strict=True))) == 25


def test_the_border_is_repeated():
    ramp = torch.linspace(-1, 1, 20).expand(50, 1, 20, 20)
    moved = diff_augment(ramp, shift=0.2, brightness=0, contrast=0)
    assert (moved.diff(dim=-1) > -1e-5).all()
    torch.testing.assert_close(moved.amin(), torch.tensor(-1.0))


def test_every_image_gets_its_own_amounts():
    images = (torch.rand(1, 1, 16, 16) * 2 - 1).expand(32, 1, 16, 16)
    for amounts in (
        {"shift": 0.2, "brightness": 0, "contrast": 0},
        {"shift": 0, "brightness": 0.2, "contrast": 0},
        {"shift": 0, "brightness": 0, "contrast": 0.2},
    ):
        changed = diff_augment(images, **amounts)
        assert len(torch.unique(changed.flatten(1), dim=0)) > 16


def test_brightness_and_contrast_keep_to_their_limits():
    images = torch.rand(500, 1, 8, 8) * 2 - 1
    brighter = diff_augment(images, shift=0, brightness=0.1, contrast=0) - images
    assert (brighter.amax(dim=(1, 2, 3)) - brighter.amin(dim=(1, 2, 3))).max() < 1e-5
    assert 0.09 < brighter.max() <= 0.1 + 1e-5
    assert -0.1 - 1e-5 <= brighter.min() < -0.09
    steeper = diff_augment(images, shift=0, brightness=0, contrast=0.15)
    torch.testing.assert_close(steeper.mean(dim=(1, 2, 3)), images.mean(dim=(1, 2, 3)), atol=1e-5, rtol=0)
    ratio = steeper.std(dim=(1, 2, 3)) / images.std(dim=(1, 2, 3))
    assert 0.85 - 1e-4 <= ratio.min() < 0.87
    assert 1.13 < ratio.max() <= 1.15 + 1e-4


def test_the_input_is_left_alone():
    images = torch.rand(2, 1, 8, 8)
    before = images.clone()
    diff_augment(images)
    assert torch.equal(images, before)
