"""Spread against values by hand."""

import pytest
import torch
from torch import nn

from medgan_course.errors import CourseError
from medgan_course.metrics import diversity
from medgan_course.metrics.diversity import arc, pairwise_ms_ssim, perceptual_path_length, spread
from medgan_course.metrics.features import FeatureNet
from medgan_course.nets.style import Generator


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


def test_volumes_have_spread_too():
    volumes = torch.tensor([0.0, 1.0])[:, None, None, None, None].expand(-1, 1, 8, 8, 8)
    assert spread(volumes, 2 * volumes) == pytest.approx(0.5)
    flat = volumes.clone()
    flat[:, :, ::2] *= -1  # within blocks of 4 the planes cancel
    assert spread(flat, volumes) == pytest.approx(0, abs=1e-6)


def blobs(n, seed, side=28):
    """Return images of one bright blob each, at a random place."""
    draw = torch.Generator().manual_seed(seed)
    place = torch.rand(n, 2, generator=draw) * side
    grid = torch.arange(side)
    rows, columns = ((grid - place[:, i, None]).square() / 18 for i in (0, 1))
    return (2 * torch.exp(-(rows[:, :, None] + columns[:, None]))[:, None] - 1).clamp(-1, 1)


def test_mode_collapse_raises_the_similarity_of_pairs_to_one():
    real, collapsed = blobs(60, 0), blobs(1, 1).expand(40, -1, -1, -1)
    score = pairwise_ms_ssim(collapsed, real)
    assert score.value == pytest.approx(1)
    assert (score.n, score.floor.n) == (20, 30)
    assert score.floor.high < 0.9
    same = pairwise_ms_ssim(blobs(60, 2), real)
    assert same.low < same.floor.value < same.high


def test_pairs_are_disjoint_and_an_odd_image_is_left_over(monkeypatch):
    seen = []

    def record(a, b, **settings):
        seen.append((a[:, 0, 0, 0].tolist(), b[:, 0, 0, 0].tolist()))
        return torch.linspace(0, 1, len(a))

    monkeypatch.setattr(diversity, "ms_ssim", record)
    images = torch.arange(7.0)[:, None, None, None].expand(-1, 1, 8, 8)
    assert pairwise_ms_ssim(images, images, seed=3).n == 3
    for first, second in seen:
        assert len({*first, *second}) == 6
    assert seen[0] == seen[1]


def test_pairs_of_volumes_and_too_few_images():
    volumes = torch.rand(6, 1, 12, 12, 12, generator=torch.Generator().manual_seed(0)) * 2 - 1
    assert pairwise_ms_ssim(volumes, volumes).high < 0.5
    with pytest.raises(CourseError, match=r"at least four images"):
        pairwise_ms_ssim(volumes[:3], volumes)
    with pytest.raises(CourseError, match=r"of the same shape"):
        pairwise_ms_ssim(volumes, volumes[:, :, 0])


class Straight(nn.Module):
    """Images are ``w`` in the corner of nothing, ``w`` three times the direction of ``z``."""

    def latent(self, n, *, seed=None):
        return torch.randn(n, 5, generator=torch.Generator().manual_seed(seed))

    def mapping(self, z):
        return 3 * z / z.norm(dim=1, keepdim=True)

    def synthesis(self, w):
        return w[:, None, None]

    def forward(self, z):
        return self.synthesis(self.mapping(z))


def test_path_lengths_of_chords_and_arcs(monkeypatch):
    monkeypatch.setattr(diversity, "features", lambda net, images: images.flatten(1))
    net = Straight()
    chords, arcs = (perceptual_path_length(net, None, 400, space=space, seed=1) for space in "wz")
    a, b = net.mapping(net.latent(800, seed=1)).chunk(2)
    torch.testing.assert_close(chords, (a - b).square().sum(1), rtol=1e-2, atol=1e-3)
    # An arc of radius 3 and angle omega.
    omega = torch.nn.functional.cosine_similarity(a, b).acos()
    torch.testing.assert_close(arcs, (3 * omega).square(), rtol=1e-2, atol=1e-3)
    assert (arcs > chords).all()


def test_an_arc_by_hand():
    east, north = torch.tensor([[2.0, 0.0]]), torch.tensor([[0.0, 5.0]])
    for t in (0.0, 1 / 3, 1.0):
        angle = torch.tensor(t * torch.pi / 2)
        expected = torch.stack((angle.cos(), angle.sin()))[None]
        torch.testing.assert_close(arc(east, north, torch.tensor([[t]])), expected)


def test_paths_of_a_real_generator_are_repeatable():
    g, net = Generator(16, z_dim=5, base=2).eval(), FeatureNet(16, 2).eval()
    first = perceptual_path_length(g, net, 4, space="w")
    assert first.shape == (4,)
    assert torch.equal(perceptual_path_length(g, net, 4, space="w"), first)
    assert not torch.equal(perceptual_path_length(g, net, 4, space="z"), first)
