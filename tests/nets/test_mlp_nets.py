import pytest
import torch

from medgan_course.errors import CourseError
from medgan_course.nets.mlp import Discriminator, Generator


@pytest.mark.parametrize("shape", [(2,), (1, 28, 28), (1, 4, 5, 6)])
def test_shapes(shape):
    generator = Generator(shape, z_dim=3, width=8)
    samples = generator(generator.latent(5, seed=0))
    assert samples.shape == (5, *shape)
    assert Discriminator(shape, width=8)(samples).shape == (5,)


def count(net):
    return sum(p.numel() for p in net.parameters())


def test_parameter_counts_of_the_networks_in_the_comparison():
    # Two hidden layers: (in + 1) h + (h + 1) h + (h + 1) out.
    assert count(Generator((1, 28, 28), z_dim=64)) == 65 * 256 + 257 * 256 + 257 * 784  # 0.28 million
    assert count(Discriminator((1, 28, 28))) == 785 * 256 + 257 * 256 + 257  # 0.27 million
    assert count(Generator((2,), z_dim=2, width=64)) == 3 * 64 + 65 * 64 + 65 * 2
    assert count(Discriminator((2,), width=64, hidden=1)) == 3 * 64 + 65


def test_images_end_in_tanh_and_points_are_unbounded():
    torch.manual_seed(0)
    z = 1e3 * torch.randn(50, 4)
    assert Generator((1, 6, 6), z_dim=4)(z).abs().max() <= 1
    assert Generator((2,), z_dim=4)(z).abs().max() > 2


def test_the_nets_are_not_linear():
    torch.manual_seed(0)
    z = torch.randn(6, 4)
    for net in (Generator((2,), z_dim=4), Discriminator((4,))):
        bent = net(z) + net(-z) - 2 * net(torch.zeros(6, 4))
        assert bent.abs().max() > 1e-3


def test_points_of_another_shape_are_refused_in_a_sentence():
    with pytest.raises(CourseError, match=r"takes \(N, 2\), not \(5, 3\)"):
        Discriminator((2,))(torch.zeros(5, 3))
