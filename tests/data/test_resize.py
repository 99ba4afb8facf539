"""Area means."""

import pytest
import torch
from torch.nn.functional import avg_pool2d, avg_pool3d

from medgan_course.data.resize import area
from medgan_course.errors import CourseError


def test_whole_blocks_are_block_means():
    images = torch.rand(3, 2, 12, 12)
    torch.testing.assert_close(area(images, 4), avg_pool2d(images, 3))


def test_volumes_are_averaged_along_all_axes():
    volumes = torch.rand(2, 1, 6, 12, 9)
    torch.testing.assert_close(area(volumes, 3), avg_pool3d(volumes, (2, 4, 3)))


def test_a_pixel_in_two_counts_by_its_share():
    """3 pixels to 2: (x0 + x1/2) / 1.5 and (x1/2 + x2) / 1.5, where adaptive pooling gives (x0 + x1) / 2."""
    row = torch.tensor([6.0, 3.0, 9.0]).expand(1, 1, 3, 3)
    torch.testing.assert_close(area(row, 2)[0, 0, 0], torch.tensor([5.0, 7.0]))


def test_the_mean_stays():
    images = torch.rand(2, 1, 64, 64)
    torch.testing.assert_close(area(images, 28).mean(dim=(2, 3)), images.mean(dim=(2, 3)))


def test_the_axes_are_not_mixed_up():
    tall = torch.arange(4.0)[:, None].expand(1, 1, 4, 8)
    torch.testing.assert_close(area(tall, 2)[0, 0], torch.tensor([[0.5, 0.5], [2.5, 2.5]]))


def test_64_to_28_is_a_block_mean_on_their_common_grid():
    """Every pixel as 7 x 7 copies makes 448 a side, which is 28 blocks of 16."""
    images = torch.rand(2, 1, 64, 64)
    copies = images.repeat_interleave(7, dim=2).repeat_interleave(7, dim=3)
    torch.testing.assert_close(area(images, 28), avg_pool2d(copies, 16), atol=1e-5, rtol=0)


def test_no_pixels():
    with pytest.raises(CourseError, match="size=0 have no pixels"):
        area(torch.rand(1, 1, 4, 4), 0)
