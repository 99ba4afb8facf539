import pytest
import torch
from torch import nn

from medgan_course import draws
from medgan_course.errors import CourseError
from medgan_course.nets.unet import Noise, UNet


@pytest.mark.parametrize(("dim", "sides"), [(2, (16, 24)), (3, (8, 16, 8))])
@pytest.mark.parametrize("norm", ["batch", "instance", "none"])
@pytest.mark.parametrize("skips", [True, False])
def test_any_size_that_can_be_halved(dim, sides, norm, skips):
    net = UNet(2, 3, base=4, depth=3, norm=norm, skips=skips, dim=dim)
    outputs = net(torch.randn(2, 2, *sides))
    assert outputs.shape == (2, 3, *sides)
    outputs.square().mean().backward()
    assert all(p.grad.abs().sum() > 0 for p in net.parameters())


def test_the_innermost_map_may_be_one_pixel():
    assert UNet(base=4, depth=3)(torch.randn(1, 1, 8, 8)).shape == (1, 1, 8, 8)


def test_the_paper_s_network_by_its_parameters():
    # 64 to 512 channels and back, kernels of 4; the twice wider decoder reads the skips.
    widths = [64, 128, 256, 512, 512, 512, 512, 512]
    down = sum(16 * a * b for a, b in zip([3, *widths], widths, strict=False))
    up = 16 * (512 * 512 + sum(2 * a * b for a, b in zip(widths[1:-1], widths[:-2], strict=True)) + 128 * 3)
    gains_and_shifts = 2 * (sum(widths[1:-1]) + sum(widths[:-1]))
    biases = widths[0] + widths[-1] + 3
    with torch.device("meta"):
        net = UNet(3, 3, base=64, depth=8, norm="batch")
    assert sum(p.numel() for p in net.parameters()) == down + up + gains_and_shifts + biases
    assert round((down + up) / 1e6, 1) == 54.4  # as the authors' code prints it


def test_skips_carry_what_the_innermost_map_lost():
    net, fcn = UNet(base=4, depth=3, dropout=0), UNet(base=4, depth=3, dropout=0, skips=False)
    images = torch.randn(1, 1, 16, 16)
    for each, survives in ((net, True), (fcn, False)):
        each.down[-1].register_forward_hook(lambda module, args, output: torch.zeros_like(output))
        assert (each(images) - each(-images)).abs().max().item() > 1e-9 or not survives
        if not survives:
            assert torch.equal(each(images), each(-images))


def test_outputs_are_linear_not_squashed():
    net = UNet(base=4, depth=2)
    nn.init.constant_(net.last[-1].bias, 7.0)
    assert net(torch.randn(1, 1, 8, 8)).mean().item() == pytest.approx(7, abs=0.5)


def test_the_noise_goes_on_in_evaluation_mode_and_can_be_left_out():
    images = torch.randn(2, 1, 16, 16)
    noisy, plain = UNet(base=8, depth=4).eval(), UNet(base=8, depth=4, dropout=0).eval()
    assert not torch.equal(noisy(images), noisy(images))
    assert torch.equal(plain(images), plain(images))
    assert sum(isinstance(module, Noise) for module in noisy.modules()) == 2


def test_the_paper_has_dropout_in_the_three_innermost_levels():
    with torch.device("meta"):
        net = UNet(base=64, depth=8)
    assert [any(isinstance(m, Noise) for m in up) for up in net.up] == [True] * 3 + [False] * 4


def test_noise_keeps_the_mean_and_the_share():
    torch.manual_seed(0)
    n = 200_000
    out = Noise(0.3)(torch.ones(2, n // 2))
    assert out.unique().tolist() == pytest.approx([0, 1 / 0.7])
    assert (out == 0).float().mean().item() == pytest.approx(0.3, abs=5 * (0.21 / n) ** 0.5)


def test_processes_that_share_a_batch_drop_what_one_would():
    features = torch.randn(4, 3, 5, 5)
    torch.manual_seed(3)
    whole = Noise(0.5)(features)
    parts = []
    for rank in range(2):
        torch.manual_seed(3)
        with draws.share(rank, 2):
            parts.append(Noise(0.5)(features[2 * rank : 2 * rank + 2]))
    assert torch.equal(torch.cat(parts), whole)


@pytest.mark.parametrize("shape", [(1, 1, 20, 16), (1, 1, 8, 8, 8), (1, 16, 16)])
def test_other_sizes_are_refused_in_a_sentence(shape):
    with pytest.raises(CourseError, match=r"2-D images .* divisible by 8, not \("):
        UNet(base=4, depth=3)(torch.zeros(shape))


def test_other_settings_are_refused_in_a_sentence():
    with pytest.raises(CourseError, match="did you mean 'batch'"):
        UNet(base=4, depth=3, norm="bacth")
    with pytest.raises(CourseError, match="depth 1 has no inner level"):
        UNet(base=4, depth=1)
    with pytest.raises(CourseError, match="dim=4 is not possible"):
        UNet(base=4, depth=3, dim=4)
