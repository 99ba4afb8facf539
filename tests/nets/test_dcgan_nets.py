from itertools import pairwise

import pytest
import torch
from torch import nn
from torch.nn.utils.parametrize import is_parametrized

from medgan_course.errors import CourseError
from medgan_course.nets.dcgan import Discriminator, Generator

SIZES = {28: (7, 2), 32: (4, 3), 64: (4, 4)}  # image side: first feature map, doublings


@pytest.mark.parametrize("size", SIZES)
@pytest.mark.parametrize("channels", [1, 3])
@pytest.mark.parametrize("norm", ["batch", "spectral"])
def test_shapes_and_range(size, channels, norm):
    generator = Generator(size, z_dim=10, base=4, channels=channels)
    images = generator(20 * torch.randn(3, 10))
    assert images.shape == (3, channels, size, size)
    assert images.abs().max() <= 1
    logits = Discriminator(size, base=4, channels=channels, norm=norm)(images)
    assert logits.shape == (3,)


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
        if isinstance(module, nn.Conv2d | nn.ConvTranspose2d):
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
    discriminator = Discriminator(64)
    kinds = [type(layer).__name__ for layer in discriminator.layers]
    block = ["Conv2d", "BatchNorm2d", "LeakyReLU"]
    assert kinds == ["Conv2d", "LeakyReLU", *block * 3, "Conv2d"]
    assert {layer.negative_slope for layer in discriminator.layers if isinstance(layer, nn.LeakyReLU)} == {
        0.2
    }
    assert [type(layer).__name__ for layer in Generator(64).layers[-2:]] == ["ConvTranspose2d", "Tanh"]
    assert "BatchNorm2d" not in [type(layer).__name__ for layer in Discriminator(64, norm="spectral").layers]


def test_spectral_norm_makes_every_largest_singular_value_one():
    torch.manual_seed(0)
    discriminator = Discriminator(28, base=8, norm="spectral")
    images = torch.rand(2, 1, 28, 28) * 2 - 1
    with torch.no_grad():
        for _ in range(100):
            discriminator(images)
    layers = [layer for layer in discriminator.layers if isinstance(layer, nn.Conv2d)]
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
@pytest.mark.parametrize("size", [0, 27, 128, "64"])
def test_other_sizes_are_refused_in_a_sentence(net, size):
    with pytest.raises(CourseError, match=r"choose size 28, 32 or 64\.$"):
        net(size)


def test_other_norms_are_refused_in_a_sentence():
    with pytest.raises(CourseError, match=r"norm='instance'.*'batch' or 'spectral'"):
        Discriminator(28, norm="instance")


@pytest.mark.parametrize("shape", [(2, 1, 32, 32), (2, 3, 28, 28), (1, 28, 28)])
def test_images_of_another_shape_are_refused_in_a_sentence(shape):
    with pytest.raises(CourseError, match=r"takes images \(N, 1, 28, 28\), not "):
        Discriminator(28, base=4)(torch.zeros(shape))
