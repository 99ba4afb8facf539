"""The OCT phantom: its layers, its speckle, and what the four conditions do."""

import pytest
import torch

from medgan_course.data.phantom import oct
from medgan_course.errors import CourseError


@pytest.fixture(scope="module")
def conditions():
    """Return the same 8 eyes in each of the four conditions."""
    return [oct.phantoms(range(8), size=64, seed=0, labels=[label] * 8) for label in range(4)]


@pytest.mark.parametrize("size", [28, 64])
def test_a_subject_is_the_same_in_every_batch(size):
    labels = [i % 4 for i in range(oct.CHUNK + 2)]
    together = oct.render(labels, size=size, seed=3)
    assert together.shape == (len(labels), size, size)
    assert together.dtype == torch.uint8
    for i in (0, 5, oct.CHUNK + 1):
        alone = oct.render([labels[i]], size=size, seed=3, first=i)
        assert (alone[0].int() - together[i].int()).abs().float().mean() < 0.1  # rounding
    assert not torch.equal(oct.render([0], size=size, seed=4)[0], together[0])


def test_truth_is_consistent(conditions):
    for label, truth in enumerate(conditions):
        torch.testing.assert_close(truth.tissues.sum(dim=1), torch.ones(8, 64, 64))
        assert (truth.labels == label).all()
        present = truth.lesions[..., 0] == 1
        assert torch.equal(present.any(dim=1), torch.full((8,), label < 3))
        assert not truth.lesions[~present].any()
    assert not conditions[3].lesion.any()
    assert not conditions[3].severity.any()


def test_layers_lie_in_their_order(conditions):
    """Down a column at the edge of a well eye: vitreous, fibres, plexiform, nuclear, ..., choroid."""
    order = (oct.VITREOUS, oct.FIBRES, oct.PLEXIFORM, oct.NUCLEAR, oct.OUTER_PLEXIFORM, oct.OUTER_NUCLEAR,
             oct.ELLIPSOID, oct.INTERDIGITATION, oct.EPITHELIUM, oct.CHOROID)  # fmt: skip
    column = conditions[3].tissues[:, :, :, 3]
    rows = torch.arange(64.0)
    centres = torch.stack([(column[:, k] * rows).sum(dim=1) / column[:, k].sum(dim=1) for k in order])
    assert (centres.diff(dim=0) > 0).all()


def test_bright_layers_are_bright(conditions):
    truth = conditions[3]
    grey = {
        name: truth.images["oct"][truth.share(name) > 0.95].mean()
        for name in ("vitreous", "outer nuclear", "inner plexiform")
    }
    epithelium = truth.images["oct"][truth.share("pigment epithelium") > 0.6].mean()
    assert grey["vitreous"] < -0.8
    assert grey["vitreous"] < grey["outer nuclear"] - 0.1 < grey["inner plexiform"] - 0.2 < epithelium - 0.3


def test_the_pit_is_where_the_retina_is_thin(conditions):
    inner = [oct.VITREOUS, oct.CHOROID, oct.EPITHELIUM]
    thickness = 1 - conditions[3].tissues[:, inner].sum(dim=1).mean(dim=1)  # (8, 64), in image sides
    edge, least = thickness[:, [2, 61]].mean(dim=1), thickness[:, 16:48].amin(dim=1)
    assert (least < 0.75 * edge).all()
    swollen = 1 - conditions[1].tissues[:, inner].sum(dim=1).mean(dim=1)
    assert (swollen.amax(dim=1) > thickness.amax(dim=1)).float().mean() > 0.8


def test_each_condition_has_what_names_it(conditions):
    amount = {
        name: [truth.share(name).sum(dim=(1, 2, 3)) for truth in conditions]
        for name in ("membrane", "fluid", "drusen")
    }
    assert (amount["membrane"][0] > 10).all()
    assert (amount["fluid"][1] > 5).all()
    assert (amount["drusen"][2] > 1).all()
    assert not any(amount["membrane"][k].any() for k in (1, 2, 3))
    assert not any(amount["drusen"][k].any() for k in (0, 1, 3))
    assert not any(amount["fluid"][k].any() for k in (2, 3))


def test_labels_left_out_belong_to_the_subject():
    labels = oct.phantoms(range(24), size=16, seed=0, contrasts=()).labels
    backwards = oct.phantoms(range(23, -1, -1), size=16, seed=0, contrasts=()).labels
    assert torch.equal(labels, backwards.flip(0))
    assert torch.bincount(labels, minlength=4).min() >= 2


def test_wrong_arguments():
    with pytest.raises(CourseError, match="no contrast 'OCT': did you mean 'oct'"):
        oct.phantoms([0], size=64, seed=0, contrasts=("OCT",))
    with pytest.raises(CourseError, match="size is 8"):
        oct.phantoms([0], size=8, seed=0)
    with pytest.raises(CourseError, match="no subjects"):
        oct.phantoms([], size=64, seed=0)
    with pytest.raises(CourseError, match="1 subjects need as many labels"):
        oct.phantoms([0], size=64, seed=0, labels=[4])
