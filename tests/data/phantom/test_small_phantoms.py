"""The pictures in the place of MedNIST: their subjects, and what their labels mean."""

import pytest
import torch

from medgan_course.data.phantom import bodyparts


@pytest.mark.parametrize("size", [28, 64])
def test_a_subject_is_the_same_in_every_batch(size):
    labels = [i % 6 for i in range(bodyparts.CHUNK + 7)]
    together = bodyparts.render(labels, size=size, seed=3)
    assert together.shape == (len(labels), size, size)
    assert together.dtype == torch.uint8
    for i in (0, 5, bodyparts.CHUNK, bodyparts.CHUNK + 6):
        assert torch.equal(bodyparts.render([labels[i]], size=size, seed=3, first=i)[0], together[i])
    assert not torch.equal(bodyparts.render([0], size=size, seed=4)[0], together[0])


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
