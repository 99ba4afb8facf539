"""Single cells: every subject is its own, classes look as their cells do, layouts are those of the sets."""

import pytest
import torch

from medgan_course.data.phantom import cells
from medgan_course.errors import CourseError

FAMILIES = [(cells.render, 8, 3), (cells.render_smear, 3, 3), (cells.render_kidney, 8, 0)]


@pytest.mark.parametrize(("render", "classes", "channels"), FAMILIES)
@pytest.mark.parametrize("size", [28, 64])
def test_a_subject_is_the_same_in_every_batch(render, classes, channels, size):
    labels = [i % classes for i in range(cells.CHUNK + 3)]
    together = render(labels, size=size, seed=3)
    assert together.shape == (len(labels), size, size) + ((channels,) if channels else ())
    assert together.dtype == torch.uint8
    for i in (0, 5, cells.CHUNK, cells.CHUNK + 2):
        assert torch.equal(render([labels[i]], size=size, seed=3, first=i)[0], together[i])
    assert not torch.equal(render([0], size=size, seed=4)[0], together[0])


@pytest.mark.parametrize(("render", "classes", "channels"), FAMILIES)
def test_a_subject_is_the_same_at_every_size(render, classes, channels):
    labels = list(range(classes))
    small = render(labels, size=32, seed=0).float()
    large = render(labels, size=96, seed=0).float()
    coarse = large.unflatten(1, (32, 3)).unflatten(3, (32, 3)).mean(dim=(2, 4))
    assert (small - coarse).abs().mean() < 4


@pytest.mark.parametrize(("render", "classes", "channels"), FAMILIES)
def test_subjects_of_a_class_differ(render, classes, channels):
    pictures = render([classes - 1] * 10, size=28, seed=0).float().flatten(1)
    assert (torch.cdist(pictures, pictures) + 1e9 * torch.eye(10)).min() > 150


@pytest.mark.parametrize(
    ("render", "classes", "least"),
    [(cells.render, 8, 0.5), (cells.render_smear, 3, 0.8), (cells.render_kidney, 8, 0.28)],
)
def test_classes_are_told_apart(render, classes, least):
    """By the mean of each colour and its spread in the middle and around: chance is 1 in 8 or 3."""

    def features(first):
        pictures = render(labels.tolist(), size=28, seed=0, first=first).float().view(len(labels), 28, 28, -1)
        middle, inner = pictures[:, 7:21, 7:21].flatten(1, 2), pictures[:, 11:17, 11:17].flatten(1, 2)
        whole = pictures.flatten(1, 2)
        return torch.cat([each.mean(dim=1) for each in (middle, inner, whole)] + [middle.std(dim=1)], dim=1)

    labels = torch.arange(classes).repeat(8)
    known, new = features(0), features(len(labels))
    spread = known.std(dim=0)
    means = torch.stack([known[labels == k].mean(dim=0) for k in range(classes)])
    named = torch.cdist(new / spread, means / spread).argmin(dim=1)
    assert (named == labels).float().mean() > least


def test_blood_has_the_colours_of_its_stain():
    made = (
        cells.render([k for k in range(8) for _ in range(8)], size=64, seed=0).float().view(8, 8, 64, 64, 3)
    )
    nucleus = made[:, :, 27:37, 27:37].mean(dim=(1, 2, 3))
    background = made.flatten(2, 3).quantile(0.9, dim=2).mean(dim=1)
    for kind in range(7):
        red, green, blue = nucleus[kind].tolist()
        assert green < red < blue or green < blue  # violet
        assert (nucleus[kind] < background[kind]).all()
    # Granules of eosinophils are red, those of basophils violet.
    redness = (made[..., 0] - made[..., 2])[:, :, 20:44, 20:44].mean(dim=(1, 2, 3))
    assert redness[1] > redness[0] + 10
    violet = made[..., 2] - made[..., 1]
    wide = (violet > background[:, None, None, None, 2] - background[:, None, None, None, 1] + 12).float()
    area = wide.mean(dim=(1, 2, 3))
    assert area[5] > 1.5 * area[4]  # monocytes are larger than lymphocytes,
    assert area[4] > 3 * area[7]  # and these larger than platelets


def test_bccd_colours_are_those_of_the_set():
    """Mean red, green and blue of BCCD's red cells, white cells and platelets, measured."""
    measured = torch.tensor([[190.0, 178.0, 179.0], [178.0, 165.0, 194.0], [185.0, 184.0, 195.0]])
    made = cells.render_smear([0, 1, 2] * 20, size=48, seed=0).float().view(20, 3, -1, 3).mean(dim=(0, 2))
    assert (made - measured).abs().max() < 20


def test_kidney_nuclei_shine_in_the_middle():
    made = (
        cells.render_kidney([k for k in range(8) for _ in range(8)], size=28, seed=0)
        .float()
        .view(8, 8, 28, 28)
    )
    middle, corner = (
        made[:, :, 12:16, 12:16].mean(dim=(1, 2, 3)),
        made.flatten(2).quantile(0.1, dim=2).mean(dim=1),
    )
    assert (middle > corner + 30).all()
    # Interstitial nuclei are slender: less shines around their middle than in a proximal tubule's round ones.
    round_ = made[:, :, 9:19, 9:19].mean(dim=(1, 2, 3)) / middle
    assert round_[3] < 0.92 * round_[6]


@pytest.mark.parametrize(("render", "classes", "channels"), FAMILIES)
def test_labels_that_are_none_are_refused(render, classes, channels):
    for labels in ([], [classes], [-1]):
        with pytest.raises(CourseError, match=r"no class|no subjects|not a whole number"):
            render(labels, size=28, seed=0)
