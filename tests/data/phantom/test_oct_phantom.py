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
    # Oedema fills the pit and thickens what is around it, of everyone.
    swollen = 1 - conditions[1].tissues[:, inner].sum(dim=1).mean(dim=1)
    assert (swollen >= thickness - 1e-6).all()
    assert (swollen[:, 16:48].mean(dim=1) > thickness[:, 16:48].mean(dim=1)).all()


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


def test_the_table_has_full_widths_and_centres_of_all():
    """A druse alone: the rise of the epithelium is half of its height half its width from its centre."""
    made = oct.phantoms(range(8), size=256, seed=0, labels=[2] * 8, contrasts=())
    raised = made.share("drusen")[:, 0].sum(dim=1) / 256
    checked = 0
    for i in range(8):
        rows = made.lesions[i][made.lesions[i, :, 0] == 1]
        for row in rows:
            x, y = row[1].item() + 0.5, row[2].item() + 0.5
            width, height = 2 * row[3].item(), 2 * row[4].item()
            others = [abs(x - 0.5 - o) for o in rows[:, 1].tolist() if o != row[1].item()]
            if min(others, default=1) < 0.15 or not 0.1 < x < 0.9:
                continue
            top, left, right = (raised[i, int(256 * p)].item() for p in (x, x - width / 2, x + width / 2))
            # The epithelium itself is 0.017 thick and hides the lowest part.
            assert top + 0.009 == pytest.approx(height, abs=0.006)
            assert (left + right) / 2 + 0.009 == pytest.approx(height / 2, abs=0.006)
            column = made.share("drusen")[i, 0, :, int(256 * x)]
            middle = (column * (torch.arange(256) + 0.5)).sum() / column.sum() / 256
            assert y == pytest.approx(middle.item(), abs=0.01)
            checked += 1
    assert checked >= 3


@pytest.mark.parametrize(
    ("wrong", "said"),
    [
        ({"contrasts": ("OCT",)}, "no contrast 'OCT': did you mean 'oct'"),
        ({"size": 8}, "size is 8"),
        ({"subjects": []}, "no subjects"),
        ({"labels": [4]}, "Label 4 is no class"),
        ({"labels": [-1]}, "Label -1 is no class"),
        ({"labels": [0.5]}, "not a whole number"),
        ({"labels": [0, 1]}, "1 subjects but 2 labels"),
    ],
)
def test_mistakes_are_named(wrong, said):
    with pytest.raises(CourseError, match=said):
        oct.phantoms(**({"subjects": [0], "size": 32, "seed": 0} | wrong))


@pytest.mark.parametrize("wrong", [[99], [-1], [0.5], []])
def test_the_stand_in_has_no_other_classes(wrong):
    with pytest.raises(CourseError):
        oct.render(wrong, size=28, seed=0)


def test_subjects_may_come_one_by_one():
    made = oct.phantoms((i for i in range(2)), size=16, seed=0, labels=iter([1, 2]))
    assert made.subject.tolist() == [0, 1]
