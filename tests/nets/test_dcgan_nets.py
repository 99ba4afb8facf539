from itertools import pairwise

import pytest
import torch
from torch import nn
from torch.nn.utils.parametrize import is_parametrized

from medgan_course import draws, pretrained
from medgan_course.errors import CourseError
from medgan_course.nets.dcgan import Discriminator, FoldedConvTranspose2d, Generator, Trunk

SIZES = {16: (4, 2), 28: (7, 2), 32: (4, 3), 64: (4, 4)}  # image side: first feature map, doublings


@pytest.mark.parametrize("size", SIZES)
@pytest.mark.parametrize("channels", [1, 3])
@pytest.mark.parametrize("norm", ["batch", "spectral", "none"])
def test_shapes_and_range(size, channels, norm):
    in_generator = "batch" if norm == "batch" else "none"
    generator = Generator(size, z_dim=10, base=4, channels=channels, norm=in_generator)
    images = generator(20 * torch.randn(3, 10))
    assert images.shape == (3, channels, size, size)
    assert images.abs().max() <= 1
    logits = Discriminator(size, base=4, channels=channels, norm=norm)(images)
    assert logits.shape == (3,)


@pytest.mark.parametrize("size", [16, 28, 32])
def test_volumes(size):
    volumes = Generator(size, z_dim=6, base=2, dim=3)(torch.randn(2, 6))
    assert volumes.shape == (2, 1, size, size, size)
    discriminator = Discriminator(size, base=2, norm="none", dim=3)
    assert discriminator(volumes).shape == (2,)
    with pytest.raises(CourseError, match=rf"takes images \(N, 1, {size}, {size}, {size}\), not "):
        discriminator(volumes[:, :, 0])


def test_a_volume_net_uses_all_three_axes():
    # Two convolutions of kernel 4 and stride 2 carry plane o from planes 4o - 3 to 4o + 6: plane 4 reaches
    # o = 0 and 1. A 2-D net on slices would reach one.
    torch.manual_seed(0)
    trunk = Trunk(16, base=2, norm="none", dim=3)
    volume = torch.zeros(1, 1, 16, 16, 16)
    changed = volume.clone()
    changed[0, 0, 4, 8, 8] = 1
    shape = (4, 4, 4, 4)  # depth, height, width, channels
    difference = (trunk(volume) - trunk(changed)).view(shape).abs().amax(dim=(1, 2, 3))
    assert (difference > 0).tolist() == [True, True, False, False]


def test_the_shipped_generator_still_loads_and_draws():
    generator = pretrained.load("dcgan_pneumoniamnist_64", Generator)
    assert generator(generator.latent(2, seed=0)).std() > 0.1


def test_the_discriminator_is_a_linear_read_out_of_its_features():
    discriminator = Discriminator(28, base=4)
    images = torch.randn(3, 1, 28, 28)
    features = discriminator.trunk(images)
    assert features.shape == (3, discriminator.trunk.n_features) == (3, 8 * 7 * 7)
    weight, bias = discriminator.head.weight, discriminator.head.bias
    torch.testing.assert_close(discriminator(images), features @ weight[0] + bias)


def test_the_generator_ends_in_tanh():
    generator = Generator(28, z_dim=10, base=4)
    before = []
    generator.layers[-2].register_forward_hook(lambda module, args, output: before.append(output))
    torch.testing.assert_close(generator(torch.randn(2, 10)), torch.tanh(before[0]))


@pytest.mark.parametrize("size", SIZES)
def test_parameter_counts(size):
    base, z_dim, channels = 8, 10, 3
    start, doublings = SIZES[size]
    widths = [base * 2**i for i in range(doublings)]
    between = sum(16 * narrow * wide for narrow, wide in pairwise(widths))

    first = z_dim * widths[-1] * start**2
    batch_norms = sum(2 * width for width in widths)
    last = 16 * base * channels + channels
    generator = Generator(size, z_dim, base, channels)
    assert sum(p.numel() for p in generator.parameters()) == first + between + batch_norms + last

    first = 16 * channels * base + base
    batch_norms = sum(2 * width for width in widths[1:])
    last = widths[-1] * start**2 + 1
    discriminator = Discriminator(size, base, channels)
    assert sum(p.numel() for p in discriminator.parameters()) == first + between + batch_norms + last

    biases = sum(widths[1:])  # where batch norm's shifts were
    discriminator = Discriminator(size, base, channels, norm="spectral")
    assert sum(p.numel() for p in discriminator.parameters()) == first + between + biases + last


@pytest.mark.parametrize("net", [Generator, Discriminator])
def test_initial_weights(net):
    torch.manual_seed(0)
    convolutions, gains = [], []
    for module in net(64, base=32).modules():
        if isinstance(module, nn.Conv2d | nn.ConvTranspose2d | nn.Linear):
            convolutions.append(module.weight.flatten())
        elif isinstance(module, nn.BatchNorm2d):
            gains.append(module.weight)
            assert module.bias.abs().max() == 0
    for weights, mean in ((torch.cat(convolutions), 0.0), (torch.cat(gains), 1.0)):
        n = len(weights)
        # Five standard errors of a mean and of a standard deviation.
        assert weights.mean().item() == pytest.approx(mean, abs=5 * 0.02 / n**0.5)
        assert weights.std().item() == pytest.approx(0.02, abs=5 * 0.02 / (2 * n) ** 0.5)


def test_batch_norm_everywhere_but_at_the_image():
    layers = Trunk(64).layers
    kinds = [type(layer).__name__ for layer in layers]
    block = ["Conv2d", "BatchNorm2d", "LeakyReLU"]
    assert kinds == ["Conv2d", "LeakyReLU", *block * 3]
    assert {layer.negative_slope for layer in layers if isinstance(layer, nn.LeakyReLU)} == {0.2}
    assert [type(layer).__name__ for layer in Generator(64).layers[-2:]] == ["FoldedConvTranspose2d", "Tanh"]
    for net in (Trunk(64, norm="spectral"), Trunk(64, norm="none"), Generator(64, norm="none")):
        assert not [layer for layer in net.layers if isinstance(layer, nn.BatchNorm2d)]


def test_without_batch_norm_a_logit_does_not_depend_on_the_other_images():
    images = torch.randn(4, 1, 28, 28)
    for norm in ("batch", "none"):
        discriminator = Discriminator(28, base=4, norm=norm)
        alone, beside = discriminator(images[:2])[0], discriminator(images)[0]
        assert torch.isclose(alone, beside, rtol=1e-5) == (norm == "none")


def test_spectral_norm_makes_every_largest_singular_value_one():
    torch.manual_seed(0)
    discriminator = Discriminator(28, base=4, norm="spectral")
    images = torch.rand(2, 1, 28, 28) * 2 - 1
    with torch.no_grad():
        for _ in range(100):
            discriminator(images)
    layers = [layer for layer in discriminator.modules() if isinstance(layer, nn.Conv2d | nn.Linear)]
    assert len(layers) == 3
    for layer in layers:
        assert is_parametrized(layer, "weight")
        largest = torch.linalg.matrix_norm(layer.weight.detach().flatten(1), ord=2)
        assert largest.item() == pytest.approx(1, abs=0.01)


def test_a_seed_repeats_the_latent_and_leaves_the_global_state():
    generator = Generator(28, z_dim=5, base=4)
    before = torch.get_rng_state()
    z = generator.latent(4, seed=3)
    assert torch.equal(torch.get_rng_state(), before)
    assert z.shape == (4, 5)
    assert torch.equal(z, generator.latent(4, seed=3))
    assert not torch.equal(z, generator.latent(4, seed=4))


def test_without_a_seed_the_latent_comes_from_the_global_state():
    generator = Generator(28, z_dim=5, base=4)
    torch.manual_seed(8)
    first, second = generator.latent(4), generator.latent(4)
    assert not torch.equal(first, second)
    torch.manual_seed(8)
    assert torch.equal(first, generator.latent(4))


def test_processes_that_share_a_batch_draw_the_latents_of_one():
    generator = Generator(28, z_dim=5, base=4)
    torch.manual_seed(8)
    whole = generator.latent(6)
    for rank in range(2):
        torch.manual_seed(8)
        with draws.share(rank, 2):
            assert torch.equal(generator.latent(3), whole[3 * rank : 3 * rank + 3])


def test_the_latent_is_standard_normal():
    z = Generator(28, z_dim=50, base=4).latent(2000, seed=0)
    assert z.mean().item() == pytest.approx(0, abs=5 / 1e5**0.5)
    assert z.var().item() == pytest.approx(1, abs=5 * (2 / 1e5) ** 0.5)


@pytest.mark.skipif(not torch.cuda.is_available(), reason="needs a CUDA device")
def test_a_seed_means_the_same_latent_on_every_device():
    generator = Generator(28, base=4)
    on_cpu = generator.latent(4, seed=3)
    on_gpu = generator.cuda().latent(4, seed=3)
    assert on_gpu.is_cuda
    assert torch.equal(on_cpu, on_gpu.cpu())


@pytest.mark.parametrize("net", [Generator, Discriminator])
def test_four_dimensions_are_refused_in_a_sentence(net):
    with pytest.raises(CourseError, match=r"4 dimensions .* choose dim=2 or dim=3\.$"):
        net(28, dim=4)


@pytest.mark.parametrize("net", [Generator, Discriminator])
@pytest.mark.parametrize("size", [0, 27, 128, "64"])
def test_other_sizes_are_refused_in_a_sentence(net, size):
    with pytest.raises(CourseError, match=r"choose size 16, 28, 32 or 64\.$"):
        net(size)


def test_other_norms_are_refused_in_a_sentence():
    with pytest.raises(CourseError, match=r"norm='instance'.*'batch', 'spectral' or 'none'"):
        Discriminator(28, norm="instance")
    with pytest.raises(CourseError, match=r"norm='spectral'.*generator.*'batch' or 'none'"):
        Generator(28, norm="spectral")


@pytest.mark.parametrize("shape", [(2, 1, 32, 32), (2, 3, 28, 28), (1, 28, 28)])
def test_images_of_another_shape_are_refused_in_a_sentence(shape):
    with pytest.raises(CourseError, match=r"takes images \(N, 1, 28, 28\), not "):
        Discriminator(28, base=4)(torch.zeros(shape))


@pytest.mark.parametrize(
    ("side", "channels", "options"),
    [
        (1, (5, 3), {"kernel_size": 4, "bias": False}),
        (1, (5, 3), {"kernel_size": 4, "stride": 2, "padding": 1}),
        (6, (5, 1), {"kernel_size": 4, "stride": 2, "padding": 1}),
        (6, (4, 2), {"kernel_size": (3, 5), "stride": (1, 2), "padding": (0, 2)}),
    ],
)
def test_folded_transposed_convolution_is_torchs(side, channels, options):
    torch.manual_seed(0)
    ours = FoldedConvTranspose2d(*channels, **options)
    theirs = nn.ConvTranspose2d(*channels, **options)
    theirs.load_state_dict(ours.state_dict())
    made, upstream = [], None
    for layer in (ours, theirs):
        torch.manual_seed(1)
        maps = torch.randn(3, channels[0], side, side + (side > 1), requires_grad=True)
        images = layer(maps)
        upstream = torch.randn_like(images) if upstream is None else upstream
        made.append([images, *torch.autograd.grad(images, [maps, *layer.parameters()], upstream)])
    for own, torchs in zip(*made, strict=True):
        assert own.shape == torchs.shape
        assert torch.allclose(own, torchs, atol=1e-5)
