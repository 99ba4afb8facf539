import pytest
import torch
from torch import nn

from medgan_course.errors import CourseError
from medgan_course.nets.resnet import ResidualBlock, ResNetGenerator


@pytest.mark.parametrize(("dim", "sides"), [(2, (16, 20)), (3, (8, 12, 8))])
def test_shapes_range_and_gradients(dim, sides):
    net = ResNetGenerator(2, 3, base=4, blocks=1, dim=dim)
    images = net(20 * torch.randn(2, 2, *sides))
    assert images.shape == (2, 3, *sides)
    assert images.abs().max() <= 1
    images.square().mean().backward()
    assert all(p.grad.abs().sum() > 0 for p in net.parameters())


def test_the_paper_s_network_by_its_parameters():
    with torch.device("meta"):
        net = ResNetGenerator(3, 3)
    ends, down_and_up = 2 * 49 * 3 * 64 + 3, 2 * 9 * (64 * 128 + 128 * 256)
    assert sum(p.numel() for p in net.parameters()) == ends + down_and_up + 9 * 2 * 9 * 256**2


def test_a_block_adds_to_what_it_is_given():
    block = ResidualBlock(4)
    features = torch.randn(2, 4, 6, 6)
    torch.testing.assert_close(block(features) - features, block.layers(features))
    nn.init.zeros_(block.layers[-2].weight)
    assert torch.equal(block(features), features)


def test_it_ends_in_tanh():
    net = ResNetGenerator(base=4, blocks=1)
    nn.init.constant_(net.layers[-2].bias, 0.5)
    nn.init.zeros_(net.layers[-2].weight)
    torch.testing.assert_close(net(torch.randn(1, 1, 8, 8)), torch.full((1, 1, 8, 8), 0.5).tanh())


def without_norm(net):
    """Return the generator's layers before tanh without instance norm, which would hide a pattern."""
    return nn.Sequential(*(layer for layer in net.layers[:-1] if not isinstance(layer, nn.InstanceNorm2d)))


def test_a_constant_image_shows_neither_borders_nor_a_checkerboard():
    torch.manual_seed(0)
    layers = without_norm(ResNetGenerator(base=4, blocks=0)).double()
    with torch.no_grad():
        out = layers(torch.full((1, 1, 16, 16), 0.5, dtype=torch.double))
        assert (out - out.mean()).abs().max() < 1e-12
        # The paper's way up fails the same test: kernel 3 is no multiple of stride 2.
        up = nn.ConvTranspose2d(1, 1, 3, stride=2, padding=1, output_padding=1, bias=False)
        inside = up(torch.ones(1, 1, 8, 8))[..., 2:-2, 2:-2]
        assert (inside[..., ::2, ::2] - inside[..., 1::2, 1::2]).abs().min() > 1e-3


def test_statistics_are_those_of_each_image_alone():
    net = ResNetGenerator(base=4, blocks=1)
    a, b = torch.randn(2, 1, 1, 8, 8)
    torch.testing.assert_close(net(torch.cat([a, b]))[:1], net(a))


@pytest.mark.parametrize("shape", [(1, 1, 18, 16), (1, 1, 4, 16), (1, 1, 8, 8, 8), (1, 8, 8)])
def test_other_sizes_are_refused_in_a_sentence(shape):
    with pytest.raises(CourseError, match=r"2-D images .* divisible by 4 and at least 8, not \("):
        ResNetGenerator(base=4, blocks=1)(torch.zeros(shape))


def test_the_smallest_image_that_is_promised_works():
    assert ResNetGenerator(base=4, blocks=1)(torch.randn(1, 1, 8, 8)).shape == (1, 1, 8, 8)
    assert ResNetGenerator(base=4, blocks=1, halvings=1)(torch.randn(1, 1, 4, 4)).shape == (1, 1, 4, 4)
