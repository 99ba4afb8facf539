import pytest
import torch
from torch import nn
from torch.nn.utils.parametrize import is_parametrized

from medgan_course.errors import CourseError
from medgan_course.nets.patch import MultiScaleDiscriminator, PatchDiscriminator, receptive_field


@pytest.mark.parametrize(
    ("convolutions", "side"),
    [
        ([(3, 1)], 3),
        ([(3, 1), (3, 1)], 5),  # one pixel more on either side
        ([(3, 2), (3, 1)], 7),  # two outputs of the first are two pixels apart
        ([(4, 2)] * 3 + [(4, 1)] * 2, 70),  # the paper's
        ([(3, 1)] * 20, 41),  # VDSR's
    ],
)
def test_receptive_fields_counted_by_hand(convolutions, side):
    assert receptive_field(convolutions) == side


@pytest.mark.parametrize(("n_layers", "side"), [(1, 16), (2, 34), (3, 70)])
def test_the_receptive_field_is_the_gradient_s_support(n_layers, side):
    net = PatchDiscriminator(base=2, n_layers=n_layers, norm="none")
    assert net.receptive_field == side
    images = torch.randn(1, 1, side + 42, side + 42, requires_grad=True)
    logits = net(images)
    middle = logits.shape[-1] // 2
    logits[0, 0, middle, middle].backward()
    for axis in (-1, -2):
        (touched,) = images.grad[0, 0].abs().sum(axis).nonzero(as_tuple=True)
        assert touched[-1] - touched[0] + 1 == side


def test_with_instance_norm_a_logit_sees_the_whole_image():
    net = PatchDiscriminator(base=2, n_layers=1)
    images = torch.randn(1, 1, 40, 40, requires_grad=True)
    net(images)[0, 0, 10, 10].backward()
    assert (images.grad != 0).float().mean() > 0.99


@pytest.mark.parametrize(("dim", "sides"), [(2, (16, 20)), (3, (12, 16, 12))])
@pytest.mark.parametrize("norm", ["batch", "instance", "none"])
@pytest.mark.parametrize("spectral_norm", [False, True])
def test_one_logit_a_patch_and_the_features_before_it(dim, sides, norm, spectral_norm):
    net = PatchDiscriminator(2, base=4, n_layers=2, norm=norm, spectral_norm=spectral_norm, dim=dim)
    images = torch.randn(2, 2, *sides)
    logits, features = net.eval().judge(images)
    assert logits.shape == (2, 1, *(side // 4 - 2 for side in sides))
    assert [f.shape[1] for f in features] == [4, 8, 16]
    assert torch.equal(net(images), logits)
    assert torch.equal(net.blocks[-1](features[-1]), logits)
    logits.square().mean().backward()
    assert all(p.grad.abs().sum() > 0 for p in net.parameters())


def test_the_paper_s_network_by_its_parameters():
    with torch.device("meta"):
        net = PatchDiscriminator(6, norm="batch")
    convolutions = 16 * (6 * 64 + 64 * 128 + 128 * 256 + 256 * 512 + 512)
    assert sum(p.numel() for p in net.parameters()) == convolutions + 64 + 1 + 2 * (128 + 256 + 512)


def test_the_width_stops_at_eight_times_the_base():
    features = PatchDiscriminator(base=1, n_layers=5, norm="none").judge(torch.randn(1, 1, 96, 96))[1]
    assert [f.shape[1] for f in features] == [1, 2, 4, 8, 8, 8]


def test_monai_s_is_the_same_network_with_the_logits_last():
    monai = pytest.importorskip("monai.networks.nets")
    theirs = monai.PatchDiscriminator(2, channels=4, in_channels=2, norm="instance", padding=1)
    ours = PatchDiscriminator(2, base=4)
    for mine, other in zip(ours.parameters(), theirs.parameters(), strict=True):
        mine.data.copy_(other.data)
    images = torch.randn(2, 2, 32, 32)
    logits, features = ours.judge(images)
    for mine, other in zip([*features, logits], theirs(images), strict=True):
        torch.testing.assert_close(mine, other)


def test_spectral_norm_reaches_every_convolution():
    torch.manual_seed(0)
    net = PatchDiscriminator(base=4, n_layers=2, spectral_norm=True)
    images = torch.randn(1, 1, 16, 16)
    with torch.no_grad():
        for _ in range(100):
            net(images)
    convolutions = [module for module in net.modules() if isinstance(module, nn.Conv2d)]
    assert len(convolutions) == 4
    for convolution in convolutions:
        assert is_parametrized(convolution, "weight")
        largest = torch.linalg.matrix_norm(convolution.weight.detach().flatten(1), ord=2)
        assert largest.item() == pytest.approx(1, abs=0.01)
    assert not any(is_parametrized(module) for module in PatchDiscriminator(base=4).modules())


@pytest.mark.parametrize(("dim", "sides"), [(2, (48, 56)), (3, (24, 24, 24))])
def test_every_scale_judges_half_the_resolution_of_the_one_before(dim, sides):
    net = MultiScaleDiscriminator(3 if dim == 2 else 2, 1, base=2, n_layers=2 if dim == 2 else 1, dim=dim)
    seen = []
    for discriminator in net.scales:
        discriminator.blocks[0].register_forward_pre_hook(lambda module, args: seen.append(args[0]))
    images = torch.randn(1, 1, *sides)
    logits, features = net.judge(images)
    assert len(logits) == len(net.scales)
    assert len(features) == sum(len(discriminator.blocks) - 1 for discriminator in net.scales)
    assert torch.equal(seen[0], images)
    assert [tuple(each.shape[2:]) for each in seen] == [
        tuple(side // 2**scale for side in sides) for scale in range(len(net.scales))
    ]
    for expected, got in zip(logits, net(images), strict=True):
        torch.testing.assert_close(got, expected)


def test_the_smaller_images_have_no_dark_border():
    net = MultiScaleDiscriminator(2, base=2, n_layers=1)
    seen = []
    net.scales[1].blocks[0].register_forward_pre_hook(lambda module, args: seen.append(args[0]))
    net(torch.full((1, 1, 16, 16), -1.0))
    torch.testing.assert_close(seen[0], torch.full((1, 1, 8, 8), -1.0))


@pytest.mark.parametrize("shape", [(1, 1, 23, 30), (1, 2, 32, 32), (1, 1, 32, 32, 32), (1, 32, 32)])
def test_other_images_are_refused_in_a_sentence(shape):
    with pytest.raises(CourseError, match=r"takes 2-D images \(N, 1, \.\.\.\) of at least 24 px a side, not"):
        PatchDiscriminator(base=2)(torch.zeros(shape))


@pytest.mark.parametrize("n_layers", [1, 2, 3])
@pytest.mark.parametrize("norm", ["batch", "instance"])
def test_the_smallest_image_that_is_promised_works(n_layers, norm):
    net = PatchDiscriminator(base=2, n_layers=n_layers, norm=norm)
    assert net(torch.randn(1, 1, net.shortest, net.shortest)).shape == (1, 1, 1, 1)


def test_other_settings_are_refused_in_a_sentence():
    with pytest.raises(CourseError, match="n_layers=0 is no patch discriminator"):
        PatchDiscriminator(n_layers=0)
    with pytest.raises(CourseError, match="scales=0 leaves no discriminator"):
        MultiScaleDiscriminator(0)
    with pytest.raises(CourseError, match="no normalisation 'spectral'"):
        PatchDiscriminator(norm="spectral")
