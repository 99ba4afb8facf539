import pytest
import torch

from medgan_course.errors import CourseError
from medgan_course.nets import mlp
from medgan_course.nets.conditional import LabelledGenerator, LabelMap, Projection
from medgan_course.nets.dcgan import Discriminator, Generator, Trunk

LABELS = torch.tensor([0, 2, 1, 2])


def labelled(dim=2):
    return LabelledGenerator(Generator(16, z_dim=9, base=2, dim=dim), 3, embedding=4)


def map_in(dim=2):
    return LabelMap(Discriminator(16, base=2, channels=2, norm="none", dim=dim), 3)


def projection(dim=2):
    return Projection(Trunk(16, base=2, norm="none", dim=dim), 3)


both = pytest.mark.parametrize("discriminator", [map_in, projection])


@pytest.mark.parametrize("dim", [2, 3])
def test_shapes(dim):
    generator = labelled(dim)
    z = generator.latent(4, seed=0)
    assert z.shape == (4, 5)
    images = generator(z, LABELS)
    assert images.shape == (4, 1, *[16] * dim)
    assert map_in(dim)(images, LABELS).shape == (4,)
    assert projection(dim)(images, LABELS).shape == (4,)


def test_the_generator_sees_latent_then_embedding():
    generator = labelled()
    seen = []
    generator.generator.register_forward_pre_hook(lambda module, args: seen.append(args[0]))
    z = generator.latent(4, seed=0)
    generator(z, LABELS)
    assert torch.equal(seen[0][:, :5], z)
    assert torch.equal(seen[0][:, 5:], generator.embedding.weight[LABELS])


def test_any_generator_can_be_told_a_label():
    generator = LabelledGenerator(mlp.Generator((2,), z_dim=5), 3, embedding=2)
    assert generator(generator.latent(4), LABELS).shape == (4, 2)


@both
def test_the_logit_depends_on_the_label_beside_it_alone(discriminator):
    torch.manual_seed(0)
    net = discriminator()
    images = torch.randn(4, 1, 16, 16)
    others = torch.tensor([1, 2, 1, 2])
    changed = net(images, LABELS) != net(images, others)
    assert changed.tolist() == [True, False, False, False]


def test_the_label_is_one_channel_beside_the_image():
    net = map_in()
    seen = []
    net.discriminator.register_forward_pre_hook(lambda module, args: seen.append(args[0]))
    images = torch.randn(4, 1, 16, 16)
    net(images, LABELS)
    assert torch.equal(seen[0][:, :1], images)
    assert torch.equal(seen[0][1, 1], seen[0][3, 1])  # equal labels
    assert not torch.equal(seen[0][0, 1], seen[0][1, 1])


def test_the_projection_is_an_inner_product():
    net = projection()
    images = torch.randn(4, 1, 16, 16)
    features = net.heads.trunk(images)
    w, v = net.heads.heads["source"], net.heads.heads["label"]
    for i, label in enumerate(LABELS.tolist()):
        expected = features[i] @ (w.weight[0] + v.weight[label]) + w.bias[0] + v.bias[label]
        torch.testing.assert_close(net(images, LABELS)[i], expected)


@both
def test_labels_in_a_column_are_refused_in_a_sentence(discriminator):
    # MedMNIST stores them so, and they would pair every label with every image.
    images = torch.randn(4, 1, 16, 16)
    with pytest.raises(CourseError, match=r"4 samples need labels of shape \(4,\), not \(4, 1\)\."):
        discriminator()(images, LABELS[:, None])
    with pytest.raises(CourseError, match=r"4 samples need labels of shape \(4,\), not \(1,\)\."):
        discriminator()(images, LABELS[:1])
    with pytest.raises(CourseError, match="labels of shape"):
        labelled()(torch.randn(4, 5), LABELS[:, None])
