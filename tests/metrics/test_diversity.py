"""Spread against values by hand."""

import pytest
import torch

from medgan_course.metrics.diversity import spread


def grey(*values):
    return torch.tensor(values)[:, None, None, None].expand(-1, 1, 8, 8)


def test_one_image_repeated_has_no_spread_and_the_real_ones_have_one():
    real = grey(-1.0, 0.0, 1.0)
    assert spread(grey(0.5, 0.5, 0.5), real) == 0
    assert spread(real, real) == 1


def test_half_the_contrast_between_images_is_half_the_spread():
    # Standard deviations of (0, 1) and (-1, 1): sqrt(1/2) and sqrt(2)
    assert spread(grey(0.0, 1.0), grey(-1.0, 1.0)) == pytest.approx(0.5)


def test_blocks_are_compared_at_the_same_place():
    left, right = torch.zeros(2, 1, 1, 8, 8)
    left[..., :4], right[..., 4:] = 1.0, 1.0
    # Every block is 0 in one image and 1 in the other, though both images have the same mean.
    assert spread(torch.cat([left, right]), grey(0.0, 1.0)) == pytest.approx(1)


def test_chequered_noise_within_blocks_is_no_variety():
    board = torch.ones(8, 8)
    board[::2, ::2] = board[1::2, 1::2] = -1
    assert spread(torch.stack([board, -board])[:, None], grey(-1.0, 1.0)) == pytest.approx(0, abs=1e-7)
