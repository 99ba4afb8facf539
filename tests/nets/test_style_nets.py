import pytest
import torch
from torch.nn import functional as F

from medgan_course import draws
from medgan_course.errors import CourseError
from medgan_course.nets import style
from medgan_course.nets.style import Discriminator, Generator, Noise, adain, modulated_conv, moments


@pytest.fixture(autouse=True)
def _seed():
    torch.manual_seed(0)


@pytest.mark.parametrize("shape", [(3, 5, 8, 6), (3, 5, 4, 8, 6)], ids=["2-D", "3-D"])
def test_adain_gives_the_mean_and_deviation_of_the_style(shape):
    content, other = torch.randn(shape) * 4 + 2, torch.rand(shape) * torch.rand(3, 5, *[1] * (len(shape) - 2))
    mean, std = moments(other)
    out = adain(content, mean=mean, std=std)
    axes = tuple(range(2, len(shape)))
    torch.testing.assert_close(out.mean(axes), other.mean(axes), atol=1e-5, rtol=1e-4)
    torch.testing.assert_close(out.std(axes, unbiased=False), std, rtol=1e-4, atol=1e-5)
    # What is left of the content is its pattern.
    a, b = content.flatten(2), out.flatten(2)
    correlation = F.cosine_similarity(a - a.mean(2, keepdim=True), b - b.mean(2, keepdim=True), dim=2)
    torch.testing.assert_close(correlation, torch.ones(3, 5))


def test_adain_with_instance_norm_as_the_style_that_changes_nothing():
    content = torch.randn(2, 3, 6, 6) * 3 + 1
    out = adain(content, mean=torch.zeros(2, 3), std=torch.ones(2, 3))
    torch.testing.assert_close(out, F.instance_norm(content))


def test_adain_bears_constant_channels_and_refuses_what_would_broadcast():
    flat = torch.full((2, 3, 4, 4), 5.0, requires_grad=True)
    out = adain(flat, mean=torch.full((2, 3), 7.0), std=torch.ones(2, 3))
    torch.testing.assert_close(out, torch.full_like(out, 7.0))
    out.sum().backward()
    assert flat.grad.isfinite().all()
    with pytest.raises(CourseError, match=r"a std of shape \(2, 3\), not \(3,\)"):
        adain(flat, mean=torch.zeros(2, 3), std=torch.ones(3))


@pytest.mark.parametrize("demodulate", [True, False])
@pytest.mark.parametrize("kernel", [1, 3])
def test_modulated_convolution_sample_by_sample_and_as_one_grouped_convolution(demodulate, kernel):
    x, weight, s = torch.randn(3, 4, 6, 5), torch.randn(7, 4, kernel, kernel), torch.randn(3, 4)
    got = modulated_conv(x, weight, s, demodulate=demodulate, padding=kernel // 2)
    loop, kernels = [], []
    for image, scales in zip(x, s, strict=True):
        own = torch.stack([weight[:, i] * scales[i] for i in range(4)], 1)
        if demodulate:
            own = torch.stack([each / (each.pow(2).sum() + 1e-8).sqrt() for each in own])
        kernels.append(own)
        loop.append(F.conv2d(image[None], own, padding=kernel // 2)[0])
    torch.testing.assert_close(got, torch.stack(loop), atol=1e-5, rtol=1e-4)
    grouped = F.conv2d(x.reshape(1, 12, 6, 5), torch.cat(kernels), padding=kernel // 2, groups=3)
    torch.testing.assert_close(got, grouped.view(3, 7, 6, 5), atol=1e-5, rtol=1e-4)


@pytest.mark.parametrize(("side", "padding", "low"), [(4, 0, 0.9), (8, 1, 0.9), (32, 1, 0.9), (4, 1, 0.8)])
def test_white_noise_leaves_a_demodulated_convolution_with_deviation_1(side, padding, low):
    x, s = torch.randn(64, 16, side, side), torch.rand(64, 16) * 3 + 0.1
    weight = torch.randn(32, 16, 3, 3) * torch.rand(32, 1, 1, 1) * 5
    deviation = modulated_conv(x, weight, s, padding=padding).std().item()
    assert low < deviation < 1.1
    if (side, padding) == (4, 1):
        # Zeros at the border: of 9 weights, (2.5 / 3)^2 x 9 meet a pixel on average.
        assert deviation == pytest.approx(2.5 / 3, abs=0.02)
    # Without demodulation the style and the weights show.
    assert modulated_conv(x, weight, s, padding=padding, demodulate=False).std() > 10


def test_the_gradient_of_the_modulated_convolution_agrees_with_finite_differences():
    x, weight, s = (torch.randn(*shape).double() for shape in ((2, 2, 3, 3), (2, 2, 3, 3), (2, 2)))
    for tensor in (x, weight, s):
        tensor.requires_grad_()
    assert torch.autograd.gradcheck(lambda *args: modulated_conv(*args, padding=1), (x, weight, s))
    zero = torch.zeros(2, 2, requires_grad=True)
    modulated_conv(x.float(), weight.float(), zero).sum().backward()
    assert zero.grad.isfinite().all()
    with pytest.raises(CourseError, match=r"need a style of shape \(2, 2\), not \(1, 2\)"):
        modulated_conv(x, weight, s[:1])


def test_noise_is_new_for_each_sample_in_training_and_one_image_in_evaluation():
    noise, features = Noise(5), torch.randn(6, 3, 5, 5)
    assert torch.equal(noise(features), features)  # the strength starts at 0
    with torch.no_grad():
        noise.strength.fill_(2)
    added = (noise(features) - features) / 2
    torch.testing.assert_close(added[:, 0], added[:, 2])
    assert not torch.allclose(added[0], added[1], atol=0.1)
    assert added[:, 0].std().item() == pytest.approx(1, abs=0.25)
    torch.manual_seed(3)
    whole = noise(features)
    with draws.share(1, 2):
        torch.manual_seed(3)
        torch.testing.assert_close(noise(features[3:]), whole[3:])
    fixed = noise.eval()(features) - features
    torch.testing.assert_close(fixed, (2 * noise.fixed).expand_as(fixed))


@pytest.mark.parametrize(("size", "n_styles"), [(28, 6), (32, 8), (64, 10)])
def test_shapes(size, n_styles):
    g, d = Generator(size, 6, base=2), Discriminator(size, base=2)
    z = g.latent(4, seed=0)
    assert g.n_styles == n_styles
    assert g.mapping(z).shape == (4, 6)
    images = g(z)
    assert images.shape == (4, 1, size, size)
    assert d(images).shape == (4,)
    with pytest.raises(CourseError, match=rf"takes images \(N, 1, {size}, {size}\)"):
        d(images[..., 1:])


def test_styles_are_around_1_at_the_start():
    convolution = style.ModulatedConv(64, 2000, 3, 1, demodulate=False)
    styles = convolution.style(torch.randn(4, 64))
    assert styles.mean().item() == pytest.approx(1, abs=0.1)
    assert styles.std().item() == pytest.approx(1, abs=0.1)


def test_a_layer_keeps_the_size_of_its_input():
    layer = style.Layer(8, 32, 64, 16)
    out = layer(torch.randn(8, 32, 16, 16), torch.randn(8, 8))
    assert out.square().mean().item() == pytest.approx(1, abs=0.1)


def test_every_layer_has_a_style_of_its_own():
    g = Generator(16, 6, base=2)
    styles = g.mapping(g.latent(2, seed=0))[:, None].repeat(1, g.n_styles, 1)
    images = g.synthesis(styles)
    for index in range(g.n_styles):
        other = styles.clone()
        other[:, index] += 1
        assert not torch.allclose(g.synthesis(other), images, atol=1e-3), index


def test_the_image_is_the_sum_of_all_levels():
    g = Generator(16, 6, base=2)
    parts = []
    for layer in g.to_image:
        layer.register_forward_hook(lambda module, args, output: parts.append(output))
    images = g(g.latent(2, seed=0))
    summed = parts[0]
    for part in parts[1:]:
        summed = F.interpolate(summed, scale_factor=2, mode="bilinear") + part
    torch.testing.assert_close(images, summed)


def test_styles_change_at_the_crossover():
    g = Generator(16, 3, base=2)
    first, second = torch.zeros(3, 3), torch.ones(3, 3)
    mixed = g.mixed(first, second, torch.tensor([0, 2, g.n_styles]))
    assert mixed.shape == (3, 6, 3)
    assert mixed[..., 0].tolist() == [[1] * 6, [0, 0, 1, 1, 1, 1], [0] * 6]
    w = g.mapping(g.latent(3, seed=1))
    torch.testing.assert_close(g.eval().synthesis(g.mixed(w, w + 1, torch.full((3,), 6))), g.synthesis(w))
    with pytest.raises(CourseError, match=r"crossovers of shape \(3,\), not \(3, 1\)"):
        g.mixed(first, second, torch.zeros(3, 1))


def test_truncation_pulls_towards_the_mean_style():
    g = Generator(16, 3, base=2).eval()
    z = g.latent(4, seed=1)
    w, mean = g.mapping(z), g.mean_w()
    torch.testing.assert_close(mean, g.mapping(g.latent(4096, seed=0)).mean(0))
    torch.testing.assert_close(g(z, 1.0), g(z))
    torch.testing.assert_close(g(z, 0.3), g.synthesis(mean + 0.3 * (w - mean)))
    torch.testing.assert_close(g(z, 0.0), g.synthesis(mean[None]).expand(4, -1, -1, -1))


def test_the_mapping_network_sees_directions_and_learns_slowly():
    g = Generator(16, 3, base=2)
    z = g.latent(4, seed=1)
    torch.testing.assert_close(g.mapping(5 * z), g.mapping(z))
    # Adam's first step is the learning rate, which the mapping's weights see a hundredth of.
    linear, affine = g.mapping[1], g.layers[0].convolution.style
    before = [layer.weight.detach().clone() for layer in (linear, affine)]
    optimiser = torch.optim.Adam(g.parameters(), lr=1e-3)
    g(z).square().sum().backward()
    optimiser.step()
    moved = [(layer.weight - old).abs().max() for layer, old in zip((linear, affine), before, strict=True)]
    assert moved[0].item() == pytest.approx(1e-5 * (2 / 3) ** 0.5, rel=0.02)
    assert moved[1].item() == pytest.approx(1e-3 * (1 / 3) ** 0.5, rel=0.02)


def test_images_are_functions_of_z_in_evaluation_mode_within_the_range():
    g = Generator(16, 3, base=2)
    with torch.no_grad():
        g.to_image[-1].bias.fill_(3)
        for layer in g.layers:
            layer.noise.strength.fill_(1)
    z = g.latent(4, seed=1)
    assert not torch.allclose(g(z), g(z), atol=1e-3)
    assert g(z).max() > 1
    g.eval()
    assert torch.equal(g(z), g(z))
    assert g(z).max() == 1
    torch.testing.assert_close(g(z)[:1], g(z[:1]))


def test_a_residual_block_is_the_mean_of_powers_of_both_ways():
    block = style.Residual(4, 6)
    x = torch.randn(2, 4, 8, 8)
    assert block(x).shape == (2, 6, 4, 4)
    torch.testing.assert_close(block(x), (block.main(x) + block.shortcut(x)) / 2**0.5)
    with torch.no_grad():
        block.shortcut[1].parametrizations.weight.original.zero_()
    torch.testing.assert_close(block(x), block.main(x) / 2**0.5)
