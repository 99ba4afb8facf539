"""The nodule phantom: its layout, its Hounsfield units, and what the labels mean."""

import pytest
import torch

from medgan_course.data.phantom import nodule
from medgan_course.data.phantom.common import tissue_table
from medgan_course.errors import CourseError


@pytest.fixture(scope="module")
def pairs():
    """Return the same 24 pieces of lung with a benign and with a malignant nodule."""
    return tuple(nodule.phantoms(range(24), size=64, seed=0, labels=[label] * 24) for label in (0, 1))


@pytest.mark.parametrize(("dim", "size"), [(2, 32), (3, 16)])
def test_a_subject_is_the_same_in_every_batch(dim, size):
    numbers = list(range(nodule.CHUNK[dim] + 2))
    together = nodule.phantoms(numbers, size=size, seed=3, dim=dim)
    assert together.images["ct"].shape == (len(numbers), 1, *[size] * dim)
    assert together.tissues.shape == (len(numbers), len(nodule.TISSUES), *[size] * dim)
    backwards = nodule.phantoms(numbers[::-1], size=size, seed=3, dim=dim)
    alone = nodule.phantoms([numbers[-1]], size=size, seed=3, dim=dim)
    for name in ("tissues", "lesion", "lesions", "labels", "severity"):
        assert torch.equal(getattr(together, name), getattr(backwards, name).flip(0))
        assert torch.equal(getattr(together, name)[-1:], getattr(alone, name))
    torch.testing.assert_close(together.images["ct"], backwards.images["ct"].flip(0))
    assert (together.images["ct"][0] - together.images["ct"][1]).abs().mean() > 0.02


def test_the_same_subject_at_two_sizes(pairs):
    large = nodule.phantoms(range(8), size=128, seed=0, labels=[1] * 8).tissues
    shrunk = torch.nn.functional.avg_pool2d(large, 2)
    small = pairs[1].tissues[:8]
    assert torch.equal(small, shrunk)  # both are painted with 128 fine pixels a side


def test_truth_is_consistent(pairs):
    for truth in pairs:
        torch.testing.assert_close(truth.tissues.sum(dim=1), torch.ones(24, 64, 64))
        shown = truth.share("solid", "ground glass", "calcification") >= 0.5
        assert (shown & ~truth.lesion).sum() == 0
        # Vessels and airways through ground glass belong to the lesion too; in a solid nodule there are none.
        assert (
            truth.share("solid", "ground glass", "calcification", "vessel", "lumen")[truth.lesion] >= 0.5
        ).all()
        solid = truth.lesions[:, 0, 6] == 0
        assert torch.equal(truth.lesion[solid], shown[solid])
        assert truth.lesion_columns[0] == "present"
        assert torch.equal(truth.severity, truth.lesions[:, 0, 5])
        assert truth.lesions[:, 0, 4].min() >= 2
        assert truth.lesions[:, 0, 4].max() <= 15


def test_a_label_changes_the_nodule_and_nothing_far_from_it(pairs):
    benign, malignant = pairs
    x, y = nodule.grid(64, nodule.FOV)
    reach = 2 * torch.maximum(benign.lesions[:, 0, 4], malignant.lesions[:, 0, 4])[:, None, None]
    away = ((x**2 + y**2).sqrt() > 1.4 * reach + 8) & ~malignant.facts["wall"][:, None, None]
    assert away.sum() > 10_000
    change = (benign.images["ct"] - malignant.images["ct"]).abs()[:, 0]
    assert change[away].max() < 1e-4
    assert change[~away].max() > 0.5


def test_the_table_gives_the_radius():
    """A benign solid nodule away from the wall fills about the area of a circle of its radius."""
    truth = nodule.phantoms(range(30), size=64, seed=1, labels=[0] * 30)
    free = ~truth.facts["wall"] & (truth.lesions[:, 0, 4] > 4)
    area = truth.lesion[free].sum(dim=(1, 2, 3)).float()
    measured = (area / torch.pi).sqrt()
    assert free.sum() > 6
    assert (measured / truth.lesions[free, 0, 4] - 1).abs().max() < 0.3
    assert (measured / truth.lesions[free, 0, 4]).mean() == pytest.approx(1, abs=0.12)


def test_malignant_outlines_are_irregular(pairs):
    """Perimeter squared over 4 pi area: near 1 (on a pixel grid about 1.2) for a disc, more with spicules."""
    ratios = []
    for truth in pairs:
        inside = truth.lesion[:, 0].float()
        free = ~truth.facts["wall"] & (inside.sum(dim=(1, 2)) > 40)
        edge = (inside.diff(dim=1).abs().sum(dim=(1, 2)) + inside.diff(dim=2).abs().sum(dim=(1, 2))) * 0.785
        ratios.append((edge**2 / (4 * torch.pi * inside.sum(dim=(1, 2))))[free])
    assert ratios[0].mean() < 1.2
    assert ratios[1].mean() > ratios[0].mean() + 0.3
    assert pairs[0].severity.max() <= 0.12


def test_ct_is_in_hounsfield_units(pairs):
    truth = pairs[0]
    hu = truth.scales["ct"].restored(truth.images["ct"])
    for tissue, expected, within in (("lung", -865, 40), ("fat", -100, 20), ("muscle", 52, 20)):
        pure = truth.share(tissue) > 0.99
        inner = -torch.nn.functional.max_pool2d(-pure.float(), 3, stride=1, padding=1) > 0.5
        assert hu[inner].mean() == pytest.approx(expected, abs=within)
    bone = truth.share("bone") > 0.99
    assert hu[bone].mean() > 300  # beyond the window
    grains = truth.share("calcification") > 0.99
    assert hu[grains].mean() > 250


def test_density_and_calcification_are_what_the_table_says():
    truth = nodule.phantoms(range(64), size=32, seed=0, contrasts=())
    density, calcified = truth.lesions[:, 0, 6], truth.lesions[:, 0, 7] == 1
    amount = {
        name: truth.share(name).sum(dim=(1, 2, 3)) for name in ("solid", "ground glass", "calcification")
    }
    assert (amount["ground glass"][density == 0] == 0).all()
    assert (amount["solid"][density == 2] == 0).all()
    assert (amount["calcification"][~calcified] == 0).all()
    assert (amount["calcification"][calcified] > 0).float().mean() > 0.8  # some lie in the chest wall
    assert truth.images == {}
    for kind in (0, 1, 2):
        assert (density == kind).sum() > 3
    assert 18 < truth.labels.sum() < 46


def test_a_cube_holds_the_nodule_in_its_middle():
    truth = nodule.phantoms(range(4), size=28, seed=0, dim=3, fov=28.0, labels=[0] * 4)
    assert truth.images["ct"].shape == (4, 1, 28, 28, 28)
    volume = truth.lesion.sum(dim=(1, 2, 3, 4)).float()
    expected = torch.pi * 4 / 3 * truth.lesions[:, 0, 4] ** 3
    free = ~truth.facts["wall"] & (truth.lesions[:, 0, 4] < 9)
    assert free.any()
    assert (volume[free] / expected[free]).mean() == pytest.approx(1, abs=0.4)


def test_surrogate_cubes():
    cubes = nodule.render([0, 1, 1], size=16, seed=0, first=7)
    assert cubes.shape == (3, 16, 16, 16)
    assert cubes.dtype == torch.uint8
    assert torch.equal(nodule.render([1], size=16, seed=0, first=9)[0], cubes[2])


def test_wrong_arguments():
    with pytest.raises(CourseError, match="no contrast 'CT': did you mean 'ct'"):
        nodule.phantoms([0], size=64, seed=0, contrasts=("CT",))
    with pytest.raises(CourseError, match="size is 8"):
        nodule.phantoms([0], size=8, seed=0)
    with pytest.raises(CourseError, match="dim is 4"):
        nodule.phantoms([0], size=32, seed=0, dim=4)
    for fov in (0, -5.0, 1000.0):
        with pytest.raises(CourseError, match="fov is"):
            nodule.phantoms([0], size=32, seed=0, fov=fov)
    for labels in ([], [99], [-1]):
        with pytest.raises(CourseError):
            nodule.render(labels, size=16, seed=0)
    with pytest.raises(CourseError, match="no subjects"):
        nodule.phantoms([], size=32, seed=0)
    with pytest.raises(CourseError, match=r"Label 2 .* 0 .benign., 1 .malignant."):
        nodule.phantoms([0], size=32, seed=0, labels=[2])


def test_every_number_of_the_table_has_a_source():
    for name, tissue in tissue_table("lung").items():
        assert set(tissue) == {"hu", "spread", "source"}, name


@pytest.mark.parametrize("dim", [2, 3])
def test_a_field_of_view_is_a_part_of_the_same_picture(dim, monkeypatch):
    """Painted on pixels of 2 or 4 mm."""
    monkeypatch.setattr(nodule, "FINE", {2: 1, 3: 1})
    size = 32 if dim == 2 else 24
    wide = nodule.phantoms(range(3), size=size, seed=0, contrasts=(), dim=dim, fov=64.0).tissues
    near = nodule.phantoms(range(3), size=size * 3 // 4, seed=0, contrasts=(), dim=dim, fov=48.0).tissues
    inner = slice(size // 8, size * 7 // 8)
    assert (wide[(..., *[inner] * dim)] - near).abs().sum(dim=1).mean() < 0.003
