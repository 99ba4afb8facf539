import pytest
import torch
from torch.nn.utils.parametrize import is_parametrized

from medgan_course.nets.dcgan import Discriminator, Trunk
from medgan_course.nets.heads import Heads


@pytest.mark.parametrize("dim", [2, 3])
def test_every_head_reads_the_same_features(dim):
    net = Heads(Trunk(16, base=2, dim=dim), source=1, label=5, mean=3)
    images = torch.randn(4, 1, *[16] * dim)
    outputs = net(images)
    assert {name: value.shape for name, value in outputs.items()} == {
        "source": (4, 1),
        "label": (4, 5),
        "mean": (4, 3),
    }
    features = net.trunk(images)
    for name, value in outputs.items():
        torch.testing.assert_close(value, net.heads[name](features))


def test_the_trunk_is_run_once():
    net = Heads(Trunk(16, base=2), a=1, b=1)
    runs = []
    net.trunk.register_forward_hook(lambda *_: runs.append(1))
    net(torch.randn(2, 1, 16, 16))
    assert len(runs) == 1


def test_a_head_has_the_norm_and_the_first_weights_of_the_trunk():
    torch.manual_seed(0)
    plain = Heads(Trunk(28, base=32), label=10)
    assert plain.heads["label"].weight.std().item() == pytest.approx(0.02, rel=0.05)
    assert is_parametrized(Heads(Trunk(28, base=2, norm="spectral"), label=2).heads["label"], "weight")
    assert not is_parametrized(Heads(Trunk(28, base=2), label=2).heads["label"], "weight")


def test_one_head_is_the_discriminator():
    torch.manual_seed(0)
    discriminator = Discriminator(28, base=4)
    torch.manual_seed(0)
    net = Heads(Trunk(28, base=4), source=1)
    images = torch.randn(3, 1, 28, 28)
    assert torch.equal(net(images)["source"].flatten(), discriminator(images))


def test_each_output_has_a_gradient_to_its_head_and_to_the_trunk():
    net = Heads(Trunk(16, base=2), source=1, label=2)
    net(torch.randn(4, 1, 16, 16))["label"].square().sum().backward()
    assert all(p.grad.abs().sum() > 0 for p in net.trunk.parameters())
    assert all(p.grad.abs().sum() > 0 for p in net.heads["label"].parameters())
    assert all(p.grad is None for p in net.heads["source"].parameters())
