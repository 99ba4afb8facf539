import pytest
import torch
from torch import nn
from torch.nn import functional as F

from medgan_course.errors import CourseError
from medgan_course.nets.spade import SPADE, SPADEGenerator


def constant_map(label, classes=4, side=16):
    """Return a label map ``(1, classes, side, side)`` that is of one class everywhere."""
    return F.one_hot(torch.full((1, side, side), label), classes).movedim(-1, 1).float()


def test_instance_norm_erases_a_constant_label_map_and_spade_does_not():
    torch.manual_seed(0)
    for dim, side in ((2, 16), (3, 8)):
        convolution = (nn.Conv2d, nn.Conv3d)[dim - 2](4, 8, 3, padding=1, padding_mode="reflect")
        instance_norm = (nn.InstanceNorm2d, nn.InstanceNorm3d)[dim - 2](8)
        spade = SPADE(8, 4, hidden=6, norm="instance", dim=dim)
        features = torch.randn(1, 8, *[side] * dim)
        maps = [F.one_hot(torch.full((1, *[side] * dim), k), 4).movedim(-1, 1).float() for k in range(4)]
        with torch.no_grad():
            erased = [instance_norm(convolution(each)) for each in maps]
            kept = [spade(features, each) for each in maps]
        assert max(each.abs().max() for each in erased) < 1e-3
        assert min((kept[i] - kept[j]).abs().max() for i in range(4) for j in range(i)) > 0.01


def test_with_zero_padding_the_border_gives_the_class_away():
    torch.manual_seed(0)
    convolution, instance_norm = nn.Conv2d(4, 8, 3, padding=1), nn.InstanceNorm2d(8)
    with torch.no_grad():
        a, b = (instance_norm(convolution(constant_map(label))) for label in (0, 1))
    assert (a - b).abs().max() > 1


def test_the_formula():
    torch.manual_seed(0)
    spade = SPADE(3, 2, hidden=5, norm="batch").double()
    features, labels = torch.randn(2, 3, 4, 4).double(), torch.rand(2, 2, 8, 8).double()
    shrunk = labels[..., ::2, ::2]
    hidden = F.conv2d(shrunk, spade.hidden[0].weight, spade.hidden[0].bias, padding=1).clamp(min=0)
    gamma = F.conv2d(hidden, spade.gamma.weight, spade.gamma.bias, padding=1)
    beta = F.conv2d(hidden, spade.beta.weight, spade.beta.bias, padding=1)
    mean = features.mean((0, 2, 3), keepdim=True)
    variance = features.var((0, 2, 3), keepdim=True, unbiased=False)
    expected = (1 + gamma) * (features - mean) / (variance + 1e-5).sqrt() + beta
    torch.testing.assert_close(spade(features, labels), expected)


def test_the_normalisation_has_no_gain_of_its_own():
    for norm in ("batch", "instance"):
        assert not list(SPADE(3, 2, norm=norm).norm.parameters())


def test_monai_s_block_normalises_gamma_and_beta_away():
    monai = pytest.importorskip("monai.networks.blocks")
    torch.manual_seed(0)
    ours, theirs = SPADE(8, 4, hidden=6), monai.SPADE(4, 8, hidden_channels=6)
    with torch.no_grad():
        for label in range(4):
            labels = constant_map(label)
            assert theirs.mlp_gamma(theirs.mlp_shared(labels)).mean((2, 3)).abs().max() < 1e-5
            assert ours.gamma(ours.hidden(labels)).mean((2, 3)).abs().max() > 0.05


@pytest.mark.parametrize("dim", [2, 3])
@pytest.mark.parametrize("z_dim", [0, 3])
def test_shapes_range_and_gradients(dim, z_dim):
    torch.manual_seed(0)
    net = SPADEGenerator(16, 5, base=2, z_dim=z_dim, hidden=4, dim=dim)
    labels = F.one_hot(torch.randint(5, (2, *[16] * dim)), 5).movedim(-1, 1).float()
    images = net(labels, net.latent(2, seed=0)) if z_dim else net(labels)
    assert images.shape == (2, 1, *[16] * dim)
    assert images.abs().max() <= 1
    images.square().mean().backward()
    without = [name for name, p in net.named_parameters() if p.grad is None or p.grad.abs().sum() == 0]
    # Of a convolution that a batch norm follows, the bias has no effect.
    assert all(name.endswith("first_convolution.bias") or name == "first.bias" for name in without)


@pytest.mark.parametrize(
    ("size", "widths"), [(8, [4, 2]), (64, [32, 16, 8, 4, 2]), (256, [32, 32, 32, 16, 8, 4, 2])]
)
def test_every_doubling_halves_the_width_up_to_sixteen_times_the_base(size, widths):
    net = SPADEGenerator(size, 2, base=2, hidden=2)
    assert [block.second_convolution.out_channels for block in net.blocks] == widths


def test_the_style_changes_the_image_of_one_layout_and_a_seed_repeats_it():
    torch.manual_seed(0)
    net = SPADEGenerator(8, 2, base=4, z_dim=3, hidden=4).eval()
    labels = constant_map(1, 2, 8).expand(2, -1, -1, -1)
    z = net.latent(2, seed=5)
    assert torch.equal(z, net.latent(2, seed=5))
    a, b = net(labels, z)
    assert (a - b).abs().max() > 1e-4


def test_mistakes_are_sentences():
    with pytest.raises(CourseError, match="SPADE generator of 24 px is not possible"):
        SPADEGenerator(24, 2)
    with pytest.raises(CourseError, match=r"takes label maps \(N, 2, 8, 8\), not \(1, 3, 8, 8\)"):
        SPADEGenerator(8, 2, base=2)(torch.zeros(1, 3, 8, 8))
    with pytest.raises(CourseError, match="z_dim=3 and takes a style z"):
        SPADEGenerator(8, 2, base=2, z_dim=3)(torch.zeros(1, 2, 8, 8))
    with pytest.raises(CourseError, match="z_dim=0 and takes no style z"):
        SPADEGenerator(8, 2, base=2)(torch.zeros(1, 2, 8, 8), torch.zeros(1, 3))
