import pytest
import torch
from torch import nn

from medgan_course.errors import CourseError
from medgan_course.nets.patch import receptive_field
from medgan_course.nets.super_resolution import VDSR, SRDiscriminator, edsr, srresnet


@pytest.mark.parametrize("net", [edsr, srresnet])
@pytest.mark.parametrize("factor", [2, 3, 4])
def test_enlargements(net, factor):
    made = net(factor, base=4, blocks=2, channels=2)
    images = made(torch.randn(2, 2, 5, 6))
    assert images.shape == (2, 2, 5 * factor, 6 * factor)
    images.square().mean().backward()
    assert all(p.grad.abs().sum() > 0 for p in made.parameters())


def test_pixel_shuffle_is_the_formula():
    s = 3
    h = torch.randn(2, 2 * s * s, 4, 5)
    y = nn.PixelShuffle(s)(h)
    for c, i, j, a, b in ((0, 0, 0, 0, 0), (1, 3, 4, 2, 1), (0, 2, 1, 1, 2)):
        assert torch.equal(y[:, c, s * i + a, s * j + b], h[:, c * s * s + a * s + b, i, j])


def test_edsr_is_srresnet_without_batch_norm():
    def kinds(net):
        return {type(module) for module in net.modules()}

    assert nn.BatchNorm2d not in kinds(edsr(2, base=4, blocks=1))
    assert nn.BatchNorm2d in kinds(edsr(2, base=4, blocks=1, batch_norm=True))
    assert {nn.BatchNorm2d, nn.PReLU} <= kinds(srresnet(2, base=4, blocks=1))
    assert nn.PReLU not in kinds(edsr(2, base=4, blocks=1, batch_norm=True))


def test_the_control_of_edsr_differs_in_the_norms_alone():
    def convolutions(net):
        return [tuple(m.weight.shape) for m in net.modules() if isinstance(m, nn.Conv2d)]

    assert convolutions(edsr(4, base=4, blocks=3)) == convolutions(edsr(4, base=4, blocks=3, batch_norm=True))


@pytest.mark.parametrize(("net", "millions"), [(edsr, 1.5), (srresnet, 1.5)])
def test_the_papers_baselines_have_one_and_a_half_million_parameters(net, millions):
    with torch.device("meta"):
        n = sum(p.numel() for p in net(4, channels=3).parameters())
    assert round(n / 1e6, 1) == millions


def test_edsr_parameters_counted_by_hand():
    def convolution(width_in, width):
        return 9 * width_in * width + width

    n = convolution(1, 8) + 5 * convolution(8, 8) + 2 * convolution(8, 32) + convolution(8, 1)
    assert sum(p.numel() for p in edsr(4, base=8, blocks=2).parameters()) == n


def test_the_long_skip_passes_the_features_by_the_blocks():
    net = edsr(2, base=4, blocks=2)
    features, images = torch.randn(1, 4, 5, 5), torch.randn(1, 1, 5, 5)
    block = net.body[0]
    torch.testing.assert_close(block(features), features + block.layers(features))
    nn.init.zeros_(net.body[-1].weight)
    nn.init.zeros_(net.body[-1].bias)
    assert torch.equal(net(images), net.tail(net.head(images)))


def test_vdsr_adds_a_residual_and_its_control_does_not():
    torch.manual_seed(0)
    images = torch.randn(2, 1, 8, 8)
    net, direct = VDSR(base=4, depth=3), VDSR(base=4, depth=3, residual=False)
    direct.load_state_dict(net.state_dict())
    torch.testing.assert_close(net(images), images + direct(images))
    for parameter in net.parameters():
        nn.init.zeros_(parameter)
    assert torch.equal(net(images), images)


def test_vdsr_has_twenty_convolutions_and_sees_41_pixels():
    net = VDSR()
    convolutions = [layer for layer in net.layers if isinstance(layer, nn.Conv2d)]
    assert len(convolutions) == 20
    assert isinstance(net.layers[-1], nn.Conv2d)
    assert receptive_field((c.kernel_size[0], c.stride[0]) for c in convolutions) == 41
    # He et al.: variance 2 / (9 * 64), so that the activations keep their size through the layers.
    n = convolutions[5].weight.numel()
    assert convolutions[5].weight.std().item() == pytest.approx((2 / 576) ** 0.5, rel=5 / (2 * n) ** 0.5)


def test_the_discriminator_gives_one_logit_an_image():
    net = SRDiscriminator(32, base=4, channels=2)
    logits = net(torch.randn(3, 2, 32, 32))
    assert logits.shape == (3,)
    logits.square().mean().backward()
    assert all(p.grad.abs().sum() > 0 for p in net.parameters())
    strides = [m.stride[0] for m in net.modules() if isinstance(m, nn.Conv2d)]
    widths = [m.out_channels // 4 for m in net.modules() if isinstance(m, nn.Conv2d)]
    assert strides == [1, 2, 1, 2, 1, 2, 1, 2]
    assert widths == [1, 1, 2, 2, 4, 4, 8, 8]


def test_mistakes_are_sentences():
    with pytest.raises(CourseError, match="enlargement by 8 is not defined"):
        edsr(8)
    with pytest.raises(CourseError, match="discriminator of 40 px is not possible"):
        SRDiscriminator(40)
    with pytest.raises(CourseError, match=r"takes images \(N, 1, 32, 32\), not \(1, 1, 16, 16\)"):
        SRDiscriminator(32, base=4)(torch.zeros(1, 1, 16, 16))
    with pytest.raises(CourseError, match="depth 1 has no hidden layer"):
        VDSR(depth=1)
