"""The chest phantom: its subjects, its findings, and the truth about them."""

import pytest
import torch

from medgan_course.data.phantom import chest
from medgan_course.errors import CourseError


@pytest.mark.parametrize("size", [28, 64])
def test_a_subject_is_the_same_in_every_batch(size):
    labels = [0, 1] * 11  # more than one chunk, and the last one not full
    together = chest.render(labels, size=size, seed=3)
    assert together.shape == (22, size, size)
    assert together.dtype == torch.uint8
    for i in (0, 1, 15, 16, 21):
        alone = chest.render([labels[i]], size=size, seed=3, first=i)
        assert (alone[0].int() - together[i].int()).abs().max() <= 1  # rounding


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


def with_finding(*names, n=6, size=64):
    rows = [[int(name in names) for name in chest.FINDINGS]] * n
    return chest.phantoms(range(n), size=size, seed=0, findings=rows)


def test_truth_is_consistent_with_the_image():
    truth = chest.phantoms(range(8), size=64, seed=0, labels=[0, 1] * 4)
    assert truth.labels.tolist() == [0, 1] * 4
    torch.testing.assert_close(truth.tissues.sum(dim=1), torch.ones(8, 64, 64))
    grey = truth.images["xray"]
    for i in range(8):
        lung = truth.share("lung")[i] > 0.99
        assert grey[i][lung].mean() < grey[i][truth.share("heart")[i] > 0.99].mean() - 0.2
        assert 0.1 < lung.float().mean() < 0.5
    assert torch.equal(truth.severity > 0, truth.labels == 1)
    assert not truth.lesion[::2].any()
    assert truth.lesion[1::2].any(dim=3).any(dim=2).all()
    assert not (truth.lesion & (truth.share("lung") == 0)).any()


def test_the_film_is_the_line_integral():
    """Without photon noise grey is a growing function of the optical depth, the same one all over it."""
    truth = chest.phantoms(range(4), size=64, seed=0, labels=[0] * 4)
    soft, lung, bone = truth.facts["thickness"].unbind(1)
    depth = (0.2171 * soft + 0.0534 * lung + 0.6044 * bone).flatten(1)
    film = torch.logit((truth.images["xray"].flatten(1) + 1) / 2, eps=1e-4)
    for one, other in zip(depth, film, strict=True):
        assert torch.corrcoef(torch.stack([one, other]))[0, 1] > 0.99


def test_findings_change_what_they_should():
    well = with_finding()
    assert not well.facts["findings"].any()
    lung = well.share("lung") > 0.99
    for name in ("effusion", "infiltration", "mass", "nodule", "pneumonia", "consolidation", "edema"):
        ill = with_finding(name)
        change = ill.images["xray"] - well.images["xray"]
        assert (change.flatten(1).amax(dim=1) > 0.08).all(), name
        assert change[lung].mean() > 2 * change[~lung].mean().abs(), name
        assert (ill.facts["opacity"].amax(dim=(1, 2, 3)) > 0.15).all(), name
    heart = [truth.share("heart").sum(dim=(1, 2, 3)) for truth in (well, with_finding("cardiomegaly"))]
    assert (heart[1] > 1.1 * heart[0]).all()
    air = [truth.facts["thickness"][:, 1] for truth in (well, with_finding("pneumothorax"))]
    assert ((air[1] - air[0]).amax(dim=(1, 2)) > 0.3).all()  # cm: beside the lung
    assert ((air[1] - air[0]).amin(dim=(1, 2)) < -0.8).all()  # in the collapsed lung
    lungs = [truth.share("lung").sum(dim=(1, 2, 3)) for truth in (well, with_finding("emphysema"))]
    assert (lungs[1] > 1.03 * lungs[0]).all()
    for name in ("atelectasis", "fibrosis", "pleural", "hernia"):
        assert torch.equal(with_finding(name).images["xray"], well.images["xray"]), name
    assert not with_finding("hernia", "mass").labels.any()  # class 1 is pneumonia
    assert with_finding("hernia", "pneumonia").labels.all()


def test_surrogate_of_many_findings():
    rows = [[0] * 14, [0, 1] * 7]
    grey = chest.render_findings(rows, size=28, seed=0, first=3)
    assert grey.shape == (2, 28, 28)
    assert grey.dtype == torch.uint8
    assert (grey[0].int() - chest.render([0], size=28, seed=0, first=3)[0].int()).abs().max() <= 1


def test_labels_left_out_belong_to_the_subject():
    labels = chest.phantoms(range(24), size=16, seed=0, contrasts=()).labels
    backwards = chest.phantoms(range(23, -1, -1), size=16, seed=0, contrasts=()).labels
    assert torch.equal(labels, backwards.flip(0))
    assert torch.bincount(labels, minlength=2).min() >= 2


@pytest.mark.parametrize(
    ("wrong", "said"),
    [
        ({"contrasts": ("ct",)}, "no contrast 'ct'"),
        ({"size": 8}, "size is 8"),
        ({"subjects": []}, "no subjects"),
        ({"labels": [2]}, "Label 2 is no class"),
        ({"labels": [0.5]}, "not a whole number"),
        ({"findings": [[1, 0]]}, "each with 14 zeros or ones"),
        ({"findings": [[7] * 14]}, "each with 14 zeros or ones"),
        ({"findings": [[0.5] * 14]}, "not a whole number"),
        ({"findings": [[0] * 14], "labels": [0]}, "leave one of them out"),
    ],
)
def test_mistakes_are_named(wrong, said):
    with pytest.raises(CourseError, match=said):
        chest.phantoms(**({"subjects": [0], "size": 32, "seed": 0} | wrong))


@pytest.mark.parametrize("wrong", [[99], [-1], [0.5], []])
def test_the_stand_in_has_no_other_classes(wrong):
    with pytest.raises(CourseError):
        chest.render(wrong, size=28, seed=0)
