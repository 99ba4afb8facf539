"""Stains: Beer and Lambert in numbers, and colour deconvolution as scikit-image does it."""

import numpy as np
import pytest
import torch

from medgan_course.data import stain
from medgan_course.errors import CourseError

HED = torch.tensor([stain.HAEMATOXYLIN, stain.EOSIN, stain.DAB])


def test_light_through_haematoxylin_by_hand():
    light = stain.absorb(torch.tensor([[[[1.0, 2.0, 0.0]]]]), HED[:1])
    # 10^-0.65 = 0.22387, 10^-0.70 = 0.19953, 10^-0.29 = 0.51286; twice the stain: the squares.
    once = torch.tensor([0.22387, 0.19953, 0.51286])
    assert torch.allclose(light[0, :, 0, 0], once, atol=1e-5)
    assert torch.allclose(light[0, :, 0, 1], once**2, atol=1e-5)
    assert torch.equal(light[0, :, 0, 2], torch.ones(3))


@pytest.mark.parametrize("space", [(5, 4), (3, 5, 4)])
@pytest.mark.parametrize("kinds", [1, 2, 3])
def test_unmixing_undoes_absorption(space, kinds):
    amounts = torch.rand(2, kinds, *space, dtype=torch.float64, generator=torch.Generator().manual_seed(0))
    back = stain.unmix(stain.absorb(amounts, HED[:kinds].double()), HED[:kinds].double())
    assert torch.allclose(back, amounts, atol=1e-5)


def test_every_image_may_have_vectors_of_its_own():
    amounts = torch.rand(2, 2, 3, 3, generator=torch.Generator().manual_seed(0))
    own = torch.stack([HED[:2], HED[1:]])
    together = stain.absorb(amounts, own)
    assert torch.allclose(together[1:], stain.absorb(amounts[1:], HED[1:]))
    assert torch.allclose(stain.unmix(together, own), amounts, atol=1e-4)


def test_two_stains_explain_three_channels_by_least_squares():
    light = torch.rand(1, 3, 2, 2, generator=torch.Generator().manual_seed(0)).double() * 0.8 + 0.1
    density = -np.log10(light[0].flatten(1).numpy())
    expected = np.linalg.lstsq(HED[:2].numpy().T.astype(float), density, rcond=None)[0]
    assert np.allclose(stain.unmix(light, HED[:2])[0].flatten(1).numpy(), expected, atol=1e-6)


def test_black_is_finite():
    assert stain.unmix(torch.zeros(1, 3, 2, 2), HED).isfinite().all()


def test_scikit_image_agrees():
    """It takes concentrations in units of 6 decades, log(10^-6), and cuts off negative ones."""
    color = pytest.importorskip("skimage.color")
    assert np.allclose(color.rgb_from_hed, HED.numpy())
    light = torch.rand(1, 3, 6, 6, generator=torch.Generator().manual_seed(0)).double() * 0.9 + 0.05
    ours = stain.unmix(light, HED.double()).clamp_min(0) / 6
    theirs = color.separate_stains(light[0].movedim(0, -1).numpy(), color.hed_from_rgb)
    assert np.allclose(ours[0].movedim(0, -1).numpy(), theirs, atol=1e-6)
    mixed = stain.absorb(6 * torch.from_numpy(theirs).movedim(-1, 0)[None], HED.double())
    assert np.allclose(
        mixed[0].movedim(0, -1).numpy().clip(0, 1),
        color.combine_stains(theirs, color.rgb_from_hed),
        atol=1e-6,
    )


def test_mistakes_are_named():
    with pytest.raises(CourseError, match="not by 1 channels"):
        stain.unmix(torch.ones(1, 1, 2, 2), HED)
    with pytest.raises(CourseError, match=r"do not fit 2 images of 2 concentrations"):
        stain.absorb(torch.ones(2, 2, 4, 4), HED)
    with pytest.raises(CourseError, match="do not fit"):
        stain.absorb(torch.ones(2, 3, 4, 4), HED.expand(3, -1, -1))
