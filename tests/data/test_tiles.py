"""What is cut is part of the image, and what is stitched is the image again."""

from itertools import pairwise

import pytest
import torch
from torch import nn

from medgan_course.data.tiles import Tiling, random_patches
from medgan_course.errors import CourseError

GRIDS = [
    ((64, 64), (16, 16), 0),
    ((64, 64), (16, 16), 15),
    ((50, 37), (16, 16), 5),
    ((50, 37), (20, 7), 6),
    ((9, 40), (16, 16), 4),  # narrower than a tile
    ((1, 1), (3, 5), 2),
    ((12, 17, 9), (8, 8, 8), 3),
    ((5, 17, 9), (8, 4, 9), 1),
]


def images(shape, channels=2, seed=0):
    return torch.rand(2, channels, *shape, generator=torch.Generator().manual_seed(seed)) * 2 - 1


@pytest.mark.parametrize(("shape", "side", "overlap"), GRIDS)
def test_stitching_undoes_cutting(shape, side, overlap):
    grid, whole = Tiling(shape, side, overlap), images(shape)
    tiles = grid.cut(whole)
    assert tiles.shape == (2 * len(grid.corners), 2, *side)
    torch.testing.assert_close(grid.stitch(tiles), whole, rtol=0, atol=1e-6)


@pytest.mark.parametrize(("shape", "side", "overlap"), GRIDS)
def test_neighbours_overlap_by_at_least_what_was_asked(shape, side, overlap):
    for axis, (length, s) in enumerate(zip(shape, side, strict=True)):
        first = sorted({corner[axis] for corner in Tiling(shape, side, overlap).corners})
        assert first[0] == 0
        assert first[-1] == max(length - s, 0)
        assert all(0 < b - a <= s - overlap for a, b in pairwise(first))


def test_seams_are_blended_by_the_ramps():
    """Tiles of 0 and of 1, four wide, that share two pixels: the weights there are 2 to 1 and 1 to 2."""
    grid = Tiling((4, 6), (4, 4), 2)
    tiles = torch.cat([torch.zeros(1, 1, 4, 4), torch.ones(1, 1, 4, 4)])
    expected = torch.tensor([0, 0, 1 / 3, 2 / 3, 1, 1]).expand(1, 1, 4, 6)
    torch.testing.assert_close(grid.stitch(tiles), expected)


def test_more_channels_may_come_back_than_went():
    grid, whole = Tiling((20, 20), (8, 8), 2), images((20, 20))
    tripled = grid.stitch(grid.cut(whole).repeat(1, 3, 1, 1))
    torch.testing.assert_close(tripled, whole.repeat(1, 3, 1, 1), rtol=0, atol=1e-6)


def test_tiles_of_one_image_stay_together():
    grid, whole = Tiling((8, 8), (4, 4)), images((8, 8))
    tiles = grid.cut(whole)
    assert torch.equal(tiles[1], whole[0, :, :4, 4:])
    assert torch.equal(tiles[4 + 2], whole[1, :, 4:, :4])


@pytest.mark.parametrize("shape", [(32, 48), (8, 16, 24)])
def test_monai_agrees_where_tiles_do_not_overlap(shape):
    inferers = pytest.importorskip("monai.inferers")
    whole, dims = images(shape, 1), len(shape)
    net = (nn.Conv2d if dims == 2 else nn.Conv3d)(1, 3, 3, padding=1).requires_grad_(False)
    grid = Tiling(shape, (8,) * dims)
    theirs = inferers.sliding_window_inference(whole, (8,) * dims, 4, net, overlap=0)
    torch.testing.assert_close(grid.stitch(net(grid.cut(whole))), theirs, rtol=0, atol=1e-6)


def test_gradients_pass():
    grid, whole = Tiling((10, 10), (4, 4), 1), images((10, 10)).requires_grad_()
    grid.stitch(grid.cut(whole)).sum().backward()
    torch.testing.assert_close(whole.grad, torch.ones_like(whole))


@pytest.mark.parametrize(
    ("shape", "side", "overlap", "message"),
    [
        ((8, 8), (4, 4), 4, "overlap of 4 is impossible for tiles of 4 x 4"),
        ((8, 8), (4, 4), -1, "overlap of -1"),
        ((8, 8), (4, 4, 4), 0, "4 x 4 x 4 do not fit images of 8 x 8"),
        ((8,), (4,), 0, "two or three sides"),
        ((0, 8), (4, 4), 0, "do not fit images of 0 x 8"),
        ((8, 8), (4, 0), 0, "overlap of 0 is impossible"),
    ],
)
def test_impossible_grids(shape, side, overlap, message):
    with pytest.raises(CourseError, match=message):
        Tiling(shape, side, overlap)


def test_what_is_not_of_the_grid():
    grid = Tiling((8, 8), (4, 4))
    with pytest.raises(CourseError, match=r"for images \(N, C, 8, 8\), not \(1, 1, 8, 9\)"):
        grid.cut(torch.zeros(1, 1, 8, 9))
    for tiles in (torch.zeros(5, 1, 4, 4), torch.zeros(4, 1, 4, 5), torch.zeros(0, 1, 4, 4)):
        with pytest.raises(CourseError, match="no tiles of this grid: for every image it has 4"):
            grid.stitch(tiles)


@pytest.mark.parametrize(("shape", "side"), [((20, 30), 8), ((20, 30), (20, 3)), ((6, 20, 30), (6, 4, 5))])
def test_patches_are_where_they_say(shape, side):
    whole = images(shape)
    sides = (side,) * len(shape) if isinstance(side, int) else side
    patches = random_patches(whole, side, each=5, seed=3)
    assert patches.pixels.shape == (10, 2, *sides)
    assert patches.image.tolist() == [0] * 5 + [1] * 5
    for pixels, image, corner in zip(*patches, strict=True):
        window = tuple(slice(c, c + s) for c, s in zip(corner.tolist(), sides, strict=True))
        assert torch.equal(pixels, whole[(image, slice(None), *window)])


def test_every_position_is_equally_likely():
    corner = random_patches(torch.zeros(1, 1, 5, 6), 4, each=6000, seed=1).corner
    counts = torch.bincount(corner[:, 0] * 3 + corner[:, 1])
    assert len(counts) == 6
    # 1 000 each; five standard deviations are 144.
    assert (counts - 1000).abs().max() < 144


def test_positions_depend_on_the_seed_alone():
    whole = images((20, 20))
    first, again, other = (random_patches(whole, 8, seed=seed).corner for seed in (1, 1, 2))
    assert torch.equal(first, again)
    assert not torch.equal(first, other)


@pytest.mark.parametrize(
    ("side", "each", "message"),
    [
        (21, 1, "1 patches of 21 x 21 cannot be cut from images of 20 x 20"),
        (8, 0, "0 patches"),
        (0, 1, "do not fit"),
        ((4, 4, 4), 1, "4 x 4 x 4 do not fit"),
    ],
)
def test_impossible_patches(side, each, message):
    with pytest.raises(CourseError, match=message):
        random_patches(images((20, 20)), side, each=each)


@pytest.mark.parametrize("dtype", [torch.bool, torch.uint8, torch.int64])
@pytest.mark.parametrize(("shape", "side"), [((10, 11), (4, 5)), ((3, 10), (4, 4)), ((5, 6, 7), (4, 4, 4))])
def test_label_maps_come_back_exactly(dtype, shape, side):
    labels = (images(shape) * 50).to(dtype)
    grid = Tiling(shape, side, 2)
    back = grid.stitch(grid.cut(labels))
    assert back.dtype == dtype
    assert torch.equal(back, labels)
