"""The phantoms of breast ultrasound and of MedNIST: their subjects, and what their labels mean."""

import pytest
import torch

from medgan_course.data.phantom import bodyparts, breast


@pytest.mark.parametrize(("phantom", "classes"), [(breast, 2), (bodyparts, 6)])
@pytest.mark.parametrize("size", [28, 64])
def test_a_subject_is_the_same_in_every_batch(phantom, classes, size):
    labels = [i % classes for i in range(phantom.CHUNK + 7)]
    together = phantom.render(labels, size=size, seed=3)
    assert together.shape == (len(labels), size, size)
    assert together.dtype == torch.uint8
    for i in (0, 5, phantom.CHUNK, phantom.CHUNK + 6):
        assert torch.equal(phantom.render([labels[i]], size=size, seed=3, first=i)[0], together[i])
    assert not torch.equal(phantom.render([0], size=size, seed=4)[0], together[0])


def test_body_parts_are_told_apart_at_a_glance():
    """The nearest class mean of other pictures names nearly every one."""
    labels = torch.arange(6).repeat(20)
    first, second = (
        bodyparts.render(labels.tolist(), size=28, seed=0, first=start).float().flatten(1)
        for start in (0, 120)
    )
    means = torch.stack([first[labels == k].mean(dim=0) for k in range(6)])
    named = torch.cdist(second, means).argmin(dim=1)
    assert (named == labels).float().mean() > 0.98


def test_body_parts_differ_within_a_class():
    pictures = bodyparts.render([4] * 10, size=28, seed=0).float().flatten(1)
    assert (torch.cdist(pictures, pictures) + 1e9 * torch.eye(10)).min() > 200


def test_a_malignant_mass_is_darker_than_its_surroundings_and_casts_a_shadow():
    malignant = breast.render([0] * 60, size=64, seed=0).float()
    other = breast.render([1] * 60, size=64, seed=0).float()
    mass, below = (slice(22, 32), slice(24, 40)), (slice(42, 56), slice(24, 40))
    for rows, columns in (mass, below):
        assert malignant[:, rows, columns].mean() < other[:, rows, columns].mean() - 8


def test_breast_grey_levels_are_those_of_the_set():
    """BreastMNIST, all images: mean 84, standard deviation 55."""
    grey = breast.render([0, 1, 1, 1] * 10, size=28, seed=0).float()
    assert 65 < grey.mean() < 105
    assert 30 < grey.std() < 65
