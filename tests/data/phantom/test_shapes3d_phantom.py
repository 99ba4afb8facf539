"""Volumes in the place of MedMNIST's shapes, ribs and synapses: their subjects, and what the labels mean."""

import pytest
import torch
from scipy import ndimage

from medgan_course.data.phantom import shapes3d
from medgan_course.errors import CourseError

KINDS = (
    (shapes3d.render_adrenal, 2),
    (shapes3d.render_vessel, 2),
    (shapes3d.render_fracture, 3),
    (shapes3d.render_synapse, 2),
)


@pytest.mark.parametrize(("render", "classes"), KINDS)
def test_a_subject_is_the_same_in_every_batch(render, classes):
    labels = [i % classes for i in range(shapes3d.CHUNK + 2)]
    together = render(labels, size=28, seed=3)
    assert together.shape == (len(labels), 28, 28, 28)
    assert together.dtype == torch.uint8
    for i in (0, len(labels) - 1):
        # Rounding to grey levels may tip over; nothing else may differ.
        change = (render([labels[i]], size=28, seed=3, first=i)[0].int() - together[i].int()).abs()
        assert (change > 1).float().mean() < 1e-3
    assert not torch.equal(render([0], size=28, seed=4)[0], together[0])


def test_shapes_have_no_grey_levels():
    for render in (shapes3d.render_adrenal, shapes3d.render_vessel):
        assert render([0, 1], size=28, seed=0).unique().tolist() == [0, 255]


def test_a_gland_is_a_thin_thing_in_the_middle_and_hyperplasia_thickens_it():
    """The real glands fill 1.5 % (normal) and 1.9 % (hyperplasia) of the cube, the medians of the set."""
    normal, ill = (shapes3d.render_adrenal([label] * 12, size=28, seed=0) > 0 for label in (0, 1))
    share = [shape.float().mean(dim=(1, 2, 3)) for shape in (normal, ill)]
    assert 0.009 < share[0].median() < 0.021
    assert share[1].median() > 1.15 * share[0].median()
    for shape in normal:
        centre = shape.nonzero().float().mean(dim=0)
        assert (centre - 13.5).abs().max() < 5
        # Nothing is far inside: the largest ball that fits is a few millimetres wide.
        assert ndimage.distance_transform_edt(shape.numpy()).max() * 64 / 28 < 9


def test_a_vessel_is_one_piece_and_an_aneurysm_widens_it():
    vessel, aneurysm = (shapes3d.render_vessel([label] * 10, size=28, seed=0) > 0 for label in (0, 1))
    for shape in vessel:
        pieces, count = ndimage.label(shape.numpy(), ndimage.generate_binary_structure(3, 3))
        assert ndimage.sum_labels(shape.numpy(), pieces, range(1, count + 1)).max() > 0.9 * shape.sum()
    assert (aneurysm | vessel == aneurysm).all()
    widest = [
        torch.tensor([ndimage.distance_transform_edt(one.numpy()).max() for one in shapes])
        for shapes in (vessel, aneurysm)
    ]
    assert (widest[1] - widest[0]).mean() > 0.4


def test_fractures_change_the_middle_rib():
    buckle, crack, displaced = (
        shapes3d.render_fracture([label] * 6, size=28, seed=0).float() for label in (0, 1, 2)
    )
    # Air, muscle, bone: -850, 50 and above 400 HU of -1000 to 1000.
    for volumes in (buckle, crack, displaced):
        assert (volumes < 40).float().mean() > 0.1
        assert ((volumes - 134).abs() < 25).float().mean() > 0.3
        assert 0.01 < (volumes > 179).float().mean() < 0.2
    # The parts of a displaced rib lie elsewhere than those of a cracked one; the top and the bottom stay.
    moved = (displaced - crack).abs()
    assert moved[:, 9:19].mean() > 4 * moved[:, [0, 1, 26, 27]].mean()
    assert (displaced - crack).abs().mean() > (buckle - crack).abs().mean()


def test_an_excitatory_synapse_has_a_thicker_density():
    inhibitory, excitatory = (
        shapes3d.render_synapse([label] * 6, size=28, seed=0).float() for label in (0, 1)
    )
    middle = (slice(None), *[slice(11, 17)] * 3)
    assert excitatory[middle].mean() < inhibitory[middle].mean() - 5
    corner = (slice(None), *[slice(0, 6)] * 3)
    torch.testing.assert_close(excitatory[corner], inhibitory[corner])


@pytest.mark.parametrize(
    "render",
    [shapes3d.render_adrenal, shapes3d.render_vessel, shapes3d.render_fracture, shapes3d.render_synapse],
)
@pytest.mark.parametrize("wrong", [[99], [-1], [0.5], []])
def test_labels_that_are_none_are_refused(render, wrong):
    with pytest.raises(CourseError, match=r"no class|no subjects|not a whole number"):
        render(wrong, size=28, seed=0)
