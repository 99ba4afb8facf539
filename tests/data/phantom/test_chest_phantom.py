"""The chest phantom: its physics against closed forms, and its subjects."""

import math

import pytest
import torch

from medgan_course.data.phantom import chest


def test_beer_lambert_through_three_slabs():
    """Optical depths add: e^-(0.217 x 10 + 0.053 x 8 + 0.604 x 1.5)."""
    soft, lung, bone = torch.tensor([10.0]), torch.tensor([8.0]), torch.tensor([1.5])
    passed = chest.transmission(chest.optical_depth(soft, lung, bone))
    assert passed.item() == pytest.approx(math.exp(-(2.17 + 0.424 + 0.906)), rel=1e-5)


def test_half_value_layer_of_water():
    """At 60 keV about 3.4 cm of water (0.206 per cm) halve the beam; soft tissue is 5 % denser."""
    zero = torch.zeros(1)
    halved = chest.transmission(chest.optical_depth(torch.tensor([math.log(2) / 0.206]), zero, zero))
    assert halved.item() == pytest.approx(0.5, abs=0.02)


def test_chord_and_volume_of_an_ellipsoid():
    side, a, b, depth = 400, 0.8, 0.5, 3.0
    centres = (torch.arange(side) + 0.5) * 2 / side - 1
    y, x = torch.meshgrid(centres, centres, indexing="ij")
    chord = chest.ellipsoid(x, y, a, b, depth)
    assert chord.max().item() == pytest.approx(2 * depth, rel=1e-4)
    assert chord[(x / a) ** 2 + (y / b) ** 2 > 1].abs().max() == 0
    volume = chord.sum().item() * (2 / side) ** 2
    assert volume == pytest.approx(4 / 3 * math.pi * a * b * depth, rel=1e-3)


@pytest.mark.parametrize("size", [28, 64])
def test_a_subject_is_the_same_in_every_batch(size):
    labels = [0, 1] * 11  # more than one chunk, and the last one not full
    together = chest.render(labels, size=size, seed=3)
    assert together.shape == (22, size, size)
    assert together.dtype == torch.uint8
    for i in (0, 1, 15, 16, 21):
        alone = chest.render([labels[i]], size=size, seed=3, first=i)
        assert torch.equal(alone[0], together[i])


def test_seeds_are_other_children():
    one, other = (chest.render([0], size=28, seed=seed).int() for seed in (0, 1))
    assert (one - other).abs().float().mean() > 5


def test_the_same_child_at_both_sizes():
    small = chest.render([0, 1, 0, 1], size=28, seed=0).float()
    large = chest.render([0, 1, 0, 1], size=64, seed=0).float()
    shrunk = torch.nn.functional.interpolate(large[:, None], (28, 28), mode="bilinear", antialias=True)[:, 0]
    both = torch.cat([small.flatten(1), shrunk.flatten(1)])
    alike = torch.corrcoef(both)[:4, 4:]
    assert alike.diag().min() > 0.97
    assert (alike - 2 * torch.eye(4)).max() < alike.diag().min()


def test_pneumonia_only_adds_density_and_only_in_the_lungs():
    """The same child well and ill: brighter where air was, the abdomen unchanged."""
    well = chest.render([0] * 16, size=64, seed=0).int()
    ill = chest.render([1] * 16, size=64, seed=0).int()
    change = (ill - well).float()
    assert (change.mean(dim=(1, 2)) > 2).all()
    assert change.min() > -10  # photon noise
    assert change[:, -4:, 20:44].abs().max() < 10
    dark = well.float() < well.flatten(1).float().quantile(0.3, dim=1)[:, None, None]
    assert change[dark].mean() > 2 * change[~dark].mean()


def test_it_is_laid_out_like_a_chest():
    """Lungs are darker than midline and abdomen, and the heart lies on the patient's left."""
    mean = chest.render([0] * 64, size=64, seed=0).float().mean(0)
    right_lung, left_lung = mean[24:40, 12:22].mean(), mean[24:40, 44:54].mean()
    spine, abdomen = mean[24:40, 30:34].mean(), mean[56:, 16:48].mean()
    assert max(right_lung, left_lung) + 40 < min(spine, abdomen)
    assert mean[36:44, 40:44].mean() > mean[36:44, 20:24].mean() + 20
