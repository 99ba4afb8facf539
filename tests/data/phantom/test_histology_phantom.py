"""HISTO2D: every section is its own, nuclei are where they are blue, and stains explain the colour."""

import pytest
import torch
from scipy import ndimage
from torch.nn.functional import avg_pool2d

from medgan_course.data import stain
from medgan_course.data.phantom import histology as h
from medgan_course.errors import CourseError


def test_a_subject_is_the_same_in_every_batch_and_order():
    together = h.phantoms(range(h.CHUNK + 2), size=32, seed=3)
    other = h.phantoms([h.CHUNK, 5], size=32, seed=3)
    for here, there in ((h.CHUNK, 0), (5, 1)):
        assert torch.equal(together.images["rgb"][here], other.images["rgb"][there])
        assert torch.equal(together.tissues[here], other.tissues[there])
        assert torch.equal(together.facts["instances"][here], other.facts["instances"][there])
    assert together.images["rgb"].shape == (h.CHUNK + 2, 3, 32, 32)
    assert not torch.equal(h.phantoms([5], size=32, seed=4).images["rgb"][0], together.images["rgb"][5])


def test_the_kinds_of_others_do_not_matter():
    together = h.phantoms(range(9), size=32, seed=0, labels=range(9)).images["rgb"]
    for kind in range(9):
        alone = h.phantoms([kind], size=32, seed=0, labels=[kind]).images["rgb"]
        assert torch.equal(together[kind], alone[0])


def test_a_subject_is_the_same_at_every_size():
    small = h.phantoms(range(9), size=32, seed=0, labels=range(9)).images["rgb"]
    large = avg_pool2d(h.phantoms(range(9), size=128, seed=0, labels=range(9)).images["rgb"], 4)
    assert (small - large).abs().mean() < 0.03


def test_a_lab_changes_colours_only():
    first = h.phantoms(range(4), size=64, seed=0, labels=[8] * 4, labs=[0] * 4)
    second = h.phantoms(range(4), size=64, seed=0, labels=[8] * 4, labs=[2] * 4)
    assert torch.equal(first.tissues, second.tissues)
    assert torch.equal(first.facts["instances"], second.facts["instances"])
    assert (first.images["rgb"] - second.images["rgb"]).abs().mean() > 0.05
    assert second.facts["lab"].tolist() == [2] * 4


def test_nuclei_are_darker_bluer_and_hold_the_haematoxylin():
    kinds = [h.LYMPHOCYTES, h.MUSCLE, h.MUCOSA, h.STROMA, h.TUMOUR]
    made = h.phantoms(range(5), size=128, seed=0, labels=kinds, labs=[0] * 5)
    nuclei = made.share(*(h.TISSUES[k] for k in h.NUCLEI))[:, 0]
    light = (made.images["rgb"] + 1) / 2
    red, _, blue = light.unbind(1)
    amounts = stain.unmix(light, torch.tensor([h.LABS[0].haematoxylin, h.LABS[0].eosin]))
    for i in range(5):
        within, without = nuclei[i] > 0.95, nuclei[i] < 0.05
        assert red[i][within].mean() < red[i][without].mean() - 0.2
        assert (blue - red)[i][within].mean() > (blue - red)[i][without].mean() + 0.05
        assert amounts[i, 0][within].mean() > 2 * amounts[i, 0][without].mean()


def test_instances_are_the_nuclei():
    made = h.phantoms(range(4), size=128, seed=1, labels=[h.LYMPHOCYTES, h.STROMA, h.TUMOUR, h.BACKGROUND])
    nuclei = made.share(*(h.TISSUES[k] for k in h.NUCLEI))[:, 0]
    instances = made.facts["instances"]
    assert torch.equal(instances > 0, nuclei >= 0.5)
    areas = [instances[i][instances[i] > 0].unique(return_counts=True)[1].float() for i in range(4)]
    assert len(areas[3]) == 0
    assert len(areas[0]) > 80
    assert len(areas[0]) > 2 * len(areas[1])
    assert areas[2].median() > 1.2 * areas[0].median()  # a tumour's nuclei are larger than lymphocytes
    # A nucleus is one piece.
    numbers = instances[0][instances[0] > 0].unique()
    pieces = [ndimage.label(instances[0].numpy() == number)[1] for number in numbers.tolist()]
    assert sum(count == 1 for count in pieces) > 0.95 * len(pieces)
    # A larger pixel has the number of a nucleus that lies in it.
    coarse = h.phantoms([0], size=64, seed=1, labels=[h.LYMPHOCYTES]).facts["instances"][0]
    within = instances[0].unflatten(0, (64, 2)).unflatten(2, (64, 2)).transpose(1, 2).flatten(2)
    assert ((within == coarse[..., None]).any(dim=-1) | (coarse == 0)).all()


def test_two_classes_of_nuclei_and_glands():
    made = h.phantoms(range(6), size=64, seed=0, labels=[h.MUCOSA] * 3 + [h.TUMOUR] * 3)
    shares = made.tissues.mean(dim=(0, 2, 3))
    for tissue in (h.EPITHELIAL, h.LYMPHOID, h.LUMEN, h.EPITHELIUM, h.CONNECTIVE):
        assert shares[tissue] > 0.01
    assert torch.allclose(made.tissues.sum(dim=1), torch.ones(6, 64, 64))
    white = made.images["rgb"].amin(dim=1)
    assert white[made.share("lumen")[:, 0] > 0.95].mean() > white[made.share("lumen")[:, 0] == 0].mean() + 0.4
    assert made.lesion[3:].flatten(1).any(dim=1).all()
    assert not made.lesion[:3].any()
    assert (made.severity > 0).tolist() == [False] * 3 + [True] * 3


def test_kinds_differ_and_subjects_differ():
    """The nearest mean colour and contrast of other sections names most kinds; no two sections are alike."""

    def features(pictures):
        flat = pictures.flatten(2)
        blurred = avg_pool2d(pictures, 4).flatten(2)
        return torch.cat([flat.mean(dim=2), flat.std(dim=2), blurred.std(dim=2)], dim=1)

    labels = torch.arange(9).repeat(4)
    known = features(
        h.phantoms(range(36), size=32, seed=0, labels=labels.tolist(), labs=[0] * 36).images["rgb"]
    )
    made = h.phantoms(range(36, 54), size=32, seed=0, labels=labels[:18].tolist(), labs=[0] * 18).images[
        "rgb"
    ]
    means = torch.stack([known[labels == k].mean(dim=0) for k in range(9)])
    named = torch.cdist(features(made), means).argmin(dim=1)
    assert (named == labels[:18]).float().mean() > 0.7
    pictures = made[labels[:18] == h.TUMOUR].flatten(1)
    assert torch.cdist(pictures, pictures)[0, 1] > 10


def test_surrogates_have_the_layout_of_the_sets():
    images = h.render([0, 8, 5], size=28, seed=0, first=7)
    assert images.shape == (3, 28, 28, 3)
    assert images.dtype == torch.uint8
    assert torch.equal(images[1], h.render([8], size=28, seed=0, first=8)[0])
    photographs, instances = h.render_nuclei([0] * 5, size=64, seed=0)
    assert photographs.shape == (5, 64, 64, 3)
    assert instances.shape == (5, 64, 64)
    assert torch.equal(h.render_nuclei([0], size=64, seed=0, first=3)[1][0], instances[3])
    red = photographs[..., 0].float()
    assert red[instances > 0].mean() < red[instances == 0].mean() - 30


@pytest.mark.parametrize(
    ("wrong", "said"),
    [
        ({"contrasts": ("rbg",)}, "did you mean 'rgb'"),
        ({"labels": [9]}, "Label 9 is no class"),
        ({"labs": [6]}, "labs is 6"),
        ({"labs": [0.5]}, "whole numbers"),
        ({"labs": [0, 1]}, "1 subjects but 2 of labs"),
        ({"labels": [-1]}, "Label -1 is no class"),
        ({"labels": [0.5]}, "not a whole number"),
        ({"magnified": [0.5]}, "from 1 to 16"),
        ({"magnified": [1, 2]}, "1 subjects but 2 of magnified"),
        ({"subjects": []}, "no subjects"),
        ({"size": 8}, "at least 16"),
    ],
)
def test_mistakes_are_named(wrong, said):
    with pytest.raises(CourseError, match=said):
        h.phantoms(**({"subjects": [0], "size": 32, "seed": 0} | wrong))


@pytest.mark.parametrize("wrong", [[99], [-1], [0.5], []])
def test_the_stand_in_has_no_other_classes(wrong):
    with pytest.raises(CourseError):
        h.render(wrong, size=28, seed=0)


def test_subjects_may_come_one_by_one():
    made = h.phantoms((i for i in range(2)), size=16, seed=0, labels=iter([1, 2]))
    assert made.subject.tolist() == [0, 1]
