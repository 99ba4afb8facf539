"""The breast phantom: its subjects, its speckle, and what a mass does to the picture."""

import pytest
import torch

from medgan_course.data.phantom import breast
from medgan_course.errors import CourseError


@pytest.fixture(scope="module")
def population():
    """Return the same 16 breasts without a mass, with a benign and with a malignant one."""
    return tuple(breast.phantoms(range(16), size=64, seed=0, labels=[label] * 16) for label in (0, 1, 2))


@pytest.mark.parametrize("size", [28, 64])
def test_a_subject_is_the_same_in_every_batch(size):
    labels = [i % 3 for i in range(breast.CHUNK + 3)]
    together, mask = breast.render_masses(labels, size=size, seed=3)
    assert together.shape == mask.shape == (len(labels), size, size)
    assert together.dtype == torch.uint8
    assert mask.dtype == torch.bool
    for i in (0, 5, breast.CHUNK + 2):
        image, own = breast.render_masses([labels[i]], size=size, seed=3, first=i)
        assert (image[0].int() - together[i].int()).abs().max() <= 1  # rounding
        assert torch.equal(own[0], mask[i])
    assert not torch.equal(breast.render([0], size=size, seed=4)[0], together[0])


def test_truth_is_consistent(population):
    normal, benign, malignant = population
    for label, truth in enumerate(population):
        torch.testing.assert_close(truth.tissues.sum(dim=1), torch.ones(16, 64, 64))
        assert (truth.labels == label).all()
        assert torch.equal(truth.lesion.flatten(1).any(dim=1), truth.lesions[:, 0, 0] == 1)
        assert torch.equal(truth.lesion, truth.share("mass") >= 0.5)
    assert not normal.lesion.any()
    assert not normal.lesions.any()
    x, y = breast.grid(64, 1.0)
    for truth in (benign, malignant):
        area = truth.lesion.sum(dim=(2, 3))
        for place, column in ((x, 1), (y, 2)):
            centre = (truth.lesion * place).sum(dim=(2, 3)) / area
            assert (centre[:, 0] - truth.lesions[:, 0, column]).abs().max() < 0.08
        ellipse = torch.pi * truth.lesions[:, 0, 3] * truth.lesions[:, 0, 4]
        assert (area[:, 0] / 64**2 / ellipse).median() == pytest.approx(1, abs=0.25)


def test_a_mass_changes_itself_and_what_lies_below_it(population):
    normal, benign, malignant = population
    for truth in (benign, malignant):
        change = truth.images["us"] - normal.images["us"]
        assert change[truth.lesion].mean() < -0.2
        above = torch.arange(64).view(1, 1, 64, 1) / 64 < (truth.lesions[:, 0, 2] + 0.08).view(-1, 1, 1, 1)
        assert change[above.expand_as(change)].abs().max() < 0.02 if above.any() else True
    shadows = []
    for truth in (benign, malignant):
        row = truth.lesions[:, 0]
        x, y = breast.grid(64, 1.0)
        below = ((x - row[:, 1, None, None]).abs() < 0.5 * row[:, 3, None, None]) & (
            y > (row[:, 2] + 1.3 * row[:, 4])[:, None, None]
        )
        shadows.append((truth.images["us"] - normal.images["us"])[below[:, None]].mean())
    assert shadows[0] > 0.02
    assert shadows[1] < -0.1


def test_malignant_masses_are_ragged_and_tall(population):
    """Perimeter squared over 4 pi area: about 1 for a disc on a pixel grid, more for a ragged outline."""
    ratios, heights = [], []
    for truth in population[1:]:
        inside = truth.lesion[:, 0].float()
        edge = (inside.diff(dim=1).abs().sum(dim=(1, 2)) + inside.diff(dim=2).abs().sum(dim=(1, 2))) * 0.785
        ratios.append((edge**2 / (4 * torch.pi * inside.sum(dim=(1, 2)))).mean())
        heights.append((truth.lesions[:, 0, 4] / truth.lesions[:, 0, 3]).mean())
    assert ratios[1] > 1.3 * ratios[0]
    assert heights[1] > 1.2 * heights[0]
    assert population[2].severity.min() > population[1].severity.max()


def test_no_mass_reaches_the_skin():
    made = breast.phantoms(range(64), size=64, seed=3, labels=[1, 2] * 32, contrasts=())
    assert not made.lesion[:, :, :2].any()  # the skin is at least 1.6 pixels thick
    assert not (made.lesion & (made.share("skin") > 0.5)).any()


def test_no_wave_alone_makes_an_outline():
    """Squares, stars: one Fourier coefficient of the radius over the angle has most of the power."""
    made = breast.phantoms(range(64), size=128, seed=3, labels=[2] * 64, contrasts=())
    x, y = breast.grid(128, 1.0)
    shares = []
    for mask, row in zip(made.lesion[:, 0], made.lesions[:, 0], strict=True):
        dx, dy = x - row[1], y - row[2]
        turn = ((torch.atan2(dy / row[4], dx / row[3]) / (2 * torch.pi)).remainder(1) * 48).long()
        edge = torch.zeros(48).scatter_reduce(
            0, turn[mask], ((dx / row[3]) ** 2 + (dy / row[4]) ** 2).sqrt()[mask], "amax"
        )
        power = torch.fft.rfft(edge)[1:13].abs().square()
        shares.append(power[1:].max() / power.sum())
    assert max(shares) < 0.65


def test_sheets_are_seen_where_the_beam_meets_them_at_right_angles():
    """Level planes of slope c reflect c^2 / (c^2 + 1), where 1 keeps it finite; upright ones nothing."""
    x, y = breast.grid(64, 1.0)
    for phase, seen in ((16 * y + 0.125, 16**2 / (16**2 + 1)), (16 * x + 0.125, 0)):
        shown = breast._sheets(phase[None], 64)
        assert shown.max() == pytest.approx(seen, abs=0.01)
    # Half a sheet's width away along y: exp(-1).
    away = 16 * (y + 0.5 / 64) + 16 * breast.SHEET
    assert breast._sheets(away[None], 64).max() == pytest.approx(torch.e**-1, abs=0.02)


def test_gland_is_grained_not_peppered():
    """Logarithms of single powers have dark outliers, skewness -0.8 here; BUSI's images have 0.3."""
    made = breast.phantoms(range(12), size=128, seed=3, labels=[0] * 12)
    above = (made.share("gland") == 1) & (torch.arange(128).view(128, 1) < 60)
    grey = made.images["us"]
    fine = (grey - torch.nn.functional.avg_pool2d(grey, 5, 1, 2))[above]
    assert -0.3 < ((fine - fine.mean()) / fine.std()).pow(3).mean() < 0.6


def test_echoes_fade_with_depth():
    """Grey in the third quarter over that in the first: 0.46 in BUSI's images without a mass."""
    grey = (breast.phantoms(range(24), size=64, seed=3, labels=[0] * 24).images["us"] + 1) / 2
    assert grey[:, :, 32:48].mean() < 0.75 * grey[:, :, :16].mean()


def test_grey_levels_are_those_of_the_set():
    """BreastMNIST, all images: mean 84, standard deviation 55."""
    grey = breast.render([0, 1, 1, 1] * 10, size=28, seed=0).float()
    assert 65 < grey.mean() < 105
    assert 30 < grey.std() < 65


def test_label_1_of_breastmnist_is_normal_or_benign():
    """Malignant is 0 there; of the others three in four have a mass, as in the set."""
    numbers = range(40)
    wells = breast.render([1] * 40, size=28, seed=0)
    normal = breast.render_masses([0] * 40, size=28, seed=0)[0]
    unchanged = torch.tensor([torch.equal(wells[i], normal[i]) for i in numbers]).float().mean()
    assert 0.08 < unchanged < 0.42
    ill = breast.render([0] * 8, size=28, seed=0)
    assert torch.equal(ill, breast.render_masses([2] * 8, size=28, seed=0)[0])


def test_labels_left_out_belong_to_the_subject():
    labels = breast.phantoms(range(24), size=16, seed=0, contrasts=()).labels
    backwards = breast.phantoms(range(23, -1, -1), size=16, seed=0, contrasts=()).labels
    assert torch.equal(labels, backwards.flip(0))
    assert torch.bincount(labels, minlength=3).min() >= 2


@pytest.mark.parametrize(
    ("wrong", "said"),
    [
        ({"contrasts": ("US",)}, "no contrast 'US': did you mean 'us'"),
        ({"size": 8}, "size is 8"),
        ({"size": 0}, "size is 0"),
        ({"subjects": []}, "no subjects"),
        ({"labels": [3]}, "Label 3 is no class"),
        ({"labels": [-1]}, "Label -1 is no class"),
        ({"labels": [0.5]}, "not a whole number"),
        ({"labels": [0, 1]}, "1 subjects but 2 labels"),
    ],
)
def test_mistakes_are_named(wrong, said):
    with pytest.raises(CourseError, match=said):
        breast.phantoms(**({"subjects": [0], "size": 32, "seed": 0} | wrong))


@pytest.mark.parametrize("render", [breast.render, breast.render_masses])
@pytest.mark.parametrize("wrong", [[99], [-1], [0.5], []])
def test_stand_ins_have_no_other_classes(render, wrong):
    with pytest.raises(CourseError):
        render(wrong, size=28, seed=0)


def test_subjects_may_come_one_by_one():
    made = breast.phantoms((i for i in range(2)), size=16, seed=0, labels=iter([1, 2]))
    assert made.subject.tolist() == [0, 1]
