import pytest
import torch
from torch import nn
from torch.nn.functional import avg_pool2d

from medgan_course.errors import CourseError
from medgan_course.nets import progressive
from medgan_course.nets.progressive import Discriminator, Generator, PixelNorm, at_level, equalised

sizes = pytest.mark.parametrize(("size", "start", "top"), [(16, 4, 2), (28, 7, 2), (32, 4, 3), (64, 4, 4)])


@pytest.fixture(autouse=True)
def _seed():
    torch.manual_seed(0)


def test_a_layer_keeps_the_size_of_its_input_and_computes_with_scaled_weights():
    layer = equalised(nn.Conv2d(50, 400, 3))
    original = layer.parametrizations.weight.original
    assert original.std().item() == pytest.approx(1, rel=0.01)
    torch.testing.assert_close(layer.weight, original * (2 / 450) ** 0.5)
    assert not layer.bias.any()
    out = torch.relu(layer(torch.randn(8, 50, 5, 5)))
    # He's argument: half of the variance 2 is left after the ReLU.
    assert out.square().mean().item() == pytest.approx(1, rel=0.1)
    plain = equalised(nn.Linear(50, 400), gain=1)(torch.randn(100, 50))
    assert plain.std().item() == pytest.approx(1, rel=0.1)


@pytest.mark.parametrize(("layer", "fan_in"), [(nn.Linear(8, 3), 8), (nn.Conv2d(8, 3, 3), 72)])
def test_a_step_of_adam_moves_every_layer_by_the_same_share_of_its_weights(layer, fan_in):
    layer = equalised(layer)
    before = layer.weight.detach().clone()
    inputs = torch.randn(5, *([8] if fan_in == 8 else [8, 4, 4]))
    optimiser = torch.optim.Adam(layer.parameters(), lr=1e-3, betas=(0.0, 0.99))
    layer(inputs).square().sum().backward()
    optimiser.step()
    moved = (layer.weight - before).abs()
    torch.testing.assert_close(moved, torch.full_like(moved, 1e-3 * (2 / fan_in) ** 0.5), rtol=1e-2, atol=0)


def test_a_rate_slows_weights_and_bias_and_changes_nothing_at_the_start():
    torch.manual_seed(1)
    slow = equalised(nn.Linear(8, 3), rate=0.01)
    torch.manual_seed(1)
    usual = equalised(nn.Linear(8, 3))
    torch.testing.assert_close(slow.weight, usual.weight)
    before = [[p.detach().clone() for p in (net.weight, net.bias)] for net in (slow, usual)]
    x = torch.randn(5, 8)
    for net in (slow, usual):
        (net(x) - 3).square().sum().backward()
        torch.optim.Adam(net.parameters(), lr=1e-3).step()
    for index, name in enumerate(("weight", "bias")):
        slowly, quickly = (
            (getattr(net, name) - old[index]).abs() for net, old in zip((slow, usual), before, strict=True)
        )
        torch.testing.assert_close(slowly, quickly / 100, rtol=2e-2, atol=1e-8)


def test_pixel_norm_by_hand():
    features = torch.tensor([3.0, 4.0]).view(1, 2, 1, 1)
    # The mean square is 12.5, not the sum 25 of an L2 norm.
    expected = torch.tensor([3.0, 4.0]) / 12.5**0.5
    torch.testing.assert_close(PixelNorm()(features).flatten(), expected)
    norm = PixelNorm()(torch.randn(2, 6, 3, 5) * torch.rand(2, 1, 3, 5) * 1e4)
    torch.testing.assert_close(norm.square().mean(1), torch.ones(2, 3, 5))
    zero = torch.zeros(1, 4, requires_grad=True)
    PixelNorm()(zero).sum().backward()
    assert zero.grad.isfinite().all()


def test_minibatch_std_by_hand():
    # One pixel, two channels, two groups of two. Group 1: channel deviations 1 and 2; group 2: 0 and 0.
    features = torch.tensor([[0.0, 1.0], [2.0, 5.0], [7.0, 7.0], [7.0, 7.0]])[:, :, None, None]
    out = progressive.minibatch_std(features, group=2)
    assert torch.equal(out[:, :2], features)
    torch.testing.assert_close(out[:, 2].flatten(), torch.tensor([1.5, 1.5, 1e-4, 1e-4]))


def test_minibatch_std_is_one_number_for_all_pixels_of_a_group_of_four():
    features = torch.randn(8, 3, 5, 6)
    channel = progressive.minibatch_std(features)[:, 3]
    expected = features[4:].std(0, unbiased=False).mean()
    torch.testing.assert_close(channel[4:], expected.expand(4, 5, 6))
    # So a process with whole groups of the batch sees what one process would.
    torch.testing.assert_close(progressive.minibatch_std(features[4:])[:, 3], channel[4:])
    with pytest.raises(CourseError, match="groups of 4, which 6 images do not fill"):
        progressive.minibatch_std(features[:6])


def test_identical_images_leave_a_finite_gradient_in_minibatch_std():
    features = torch.ones(4, 2, 3, 3, requires_grad=True)
    progressive.minibatch_std(features)[:, 2].sum().backward()
    assert features.grad.isfinite().all()


@sizes
def test_sides_at_every_level(size, start, top):
    g, d = Generator(size, 5, base=2), Discriminator(size, base=2)
    assert g.top == d.top == top
    z = g.latent(4, seed=0)
    for level in (0, 0.5, 1, 1.25, top - 0.5, top, None):
        side = size if level is None else start * 2 ** -(-level // 1)
        images = g(z, level)
        assert images.shape == (4, 1, side, side)
        assert d(images, level).shape == (4,)


@pytest.mark.parametrize("level", [0, 1, 2])
def test_a_block_fades_in_without_a_jump(level):
    g, d = Generator(32, 5, base=4), Discriminator(32, base=4)
    z = g.latent(4, seed=0)
    old = g(z, level)
    torch.testing.assert_close(g(z, level + 1e-7), progressive.up(old), rtol=1e-5, atol=1e-5)
    images = torch.randn(4, 1, 8 * 2**level, 8 * 2**level)
    below = avg_pool2d(images, 2)
    torch.testing.assert_close(d(images, level + 1e-7), d(below, level), rtol=1e-5, atol=1e-5)
    real = torch.randn(4, 1, 32, 32)
    shown = at_level(real, level + 1e-7, top=3)
    torch.testing.assert_close(shown, progressive.up(at_level(real, level, top=3)), rtol=1e-5, atol=1e-5)
    # The new block has the last word at the end, and a quarter of it at 0.25.
    new = g(z, level + 1)
    assert not torch.allclose(new, progressive.up(old), atol=0.1)
    torch.testing.assert_close(g(z, level + 0.25), 0.75 * progressive.up(old) + 0.25 * new)
    near = at_level(real, level + 0.25, top=3)
    torch.testing.assert_close(
        near, 0.75 * progressive.up(avg_pool2d(near, 2)) + 0.25 * at_level(real, level + 1, top=3)
    )


def test_the_new_block_of_the_discriminator_is_weighed_by_alpha():
    d = Discriminator(16, base=2)
    seen = []
    d.head.register_forward_pre_hook(lambda module, args: seen.append(args[0]))
    images = torch.randn(4, 1, 8, 8)
    for level in (1e-7, 0.25, 1):
        d(images, level)
    torch.testing.assert_close(seen[1], 0.75 * seen[0] + 0.25 * seen[2])


def test_levels_that_are_not_reached_are_not_touched():
    g, d = Generator(32, 5, base=4), Discriminator(32, base=4)
    d(g(g.latent(4, seed=0), 1.5), 1.5).sum().backward()
    for net, ends in ((g, g.to_image), (d, d.from_image)):
        touched = [any(p.grad is not None for p in block.parameters()) for block in net.blocks]
        assert touched == [True, True, False]
        assert [any(p.grad is not None for p in end.parameters()) for end in ends] == [
            False,
            True,
            True,
            False,
        ]


def test_images_are_cut_off_in_evaluation_mode_only():
    g = Generator(16, 5, base=2)
    with torch.no_grad():
        g.to_image[-1].bias.fill_(3)
    z = g.latent(4, seed=0)
    images = g(z)
    assert images.max() > 1
    torch.testing.assert_close(g.eval()(z), images.clamp(-1, 1))


def test_an_image_of_the_generator_does_not_depend_on_its_batch_but_a_logit_does():
    g, d = Generator(16, 5, base=2), Discriminator(16, base=2)
    alone = Discriminator(16, base=2, minibatch_std=False)
    z = g.latent(4, seed=0)
    torch.testing.assert_close(g(z)[:1], g(z[:1]))
    images = torch.randn(4, 1, 16, 16)
    others = torch.cat((images[:1], torch.randn(3, 1, 16, 16) * 5))
    torch.testing.assert_close(alone(images)[0], alone(others)[0])
    assert not torch.allclose(d(images)[0], d(others)[0])


def test_widths_double_downwards_up_to_eight_times_the_base():
    assert progressive.plan(28, 16) == (7, [64, 32, 16])
    assert progressive.plan(64, 4) == (4, [32, 32, 16, 8, 4])


def test_colour_and_what_is_refused():
    assert Generator(16, 5, base=2, channels=3)(torch.randn(4, 5)).shape == (4, 3, 16, 16)
    assert Discriminator(16, base=2, channels=3)(torch.randn(4, 3, 16, 16)).shape == (4,)
    with pytest.raises(CourseError, match="choose size 16, 28, 32 or 64"):
        Generator(20)
    with pytest.raises(CourseError, match=r"no level 2\.5: the networks have levels from 0 to 2"):
        Generator(16, 5, base=2)(torch.randn(4, 5), 2.5)
    with pytest.raises(CourseError, match=r"At level 1.5 .* \(N, 1, 16, 16\), not \(4, 1, 8, 8\)"):
        Discriminator(16, base=2)(torch.randn(4, 1, 8, 8), 1.5)
    with pytest.raises(CourseError, match="At level 2 this network"):
        Discriminator(16, base=2)(torch.randn(4, 1, 8, 8))
