"""The trunk phantom: truth and image agree, lesions differ as classes do, breathing is a known field."""

import math

import pytest
import torch

from medgan_course.data import warp
from medgan_course.data.phantom import abdomen
from medgan_course.errors import CourseError


@pytest.fixture(scope="module")
def bellies():
    return abdomen.phantoms(range(16), size=96, seed=0, labels=[i % 4 for i in range(16)])


def hu(phantoms):
    return phantoms.scales["ct"].restored(phantoms.images["ct"])


def pure(phantoms, *names):
    return phantoms.share(*names) > 0.999


def test_shapes_types_and_ranges(bellies):
    assert list(bellies.images) == ["ct", "t1", "t2"]
    for image in bellies.images.values():
        assert image.shape == (16, 1, 96, 96)
        assert image.dtype == torch.float32
        assert image.min() >= -1
        assert image.max() <= 1
    torch.testing.assert_close(bellies.tissues.sum(dim=1), torch.ones(16, 96, 96))
    assert bellies.lesion.dtype == torch.bool
    assert bellies.labels.tolist() == [0, 1, 2, 3] * 4


@pytest.mark.parametrize("region", ["abdomen", "pelvis"])
def test_a_subject_is_the_same_in_every_batch(region):
    """Also when the others' slices lie elsewhere, so that other organs are computed for them."""
    together = abdomen.phantoms(range(10), size=32, seed=4, region=region)
    backwards = abdomen.phantoms(range(9, -1, -1), size=32, seed=4, region=region)
    for name in abdomen.CONTRASTS:
        assert torch.equal(backwards.images[name].flip(0), together.images[name])
    for i in range(10):
        alone = abdomen.phantoms([i], size=32, seed=4, region=region, contrasts=("t1",))
        assert torch.equal(alone.images["t1"][0], together.images["t1"][i])
        assert torch.equal(alone.tissues[0], together.tissues[i])
        assert torch.equal(alone.lesions[0], together.lesions[i])
        assert alone.labels[0] == together.labels[i]


def test_a_volume_is_the_same_in_every_batch():
    together = abdomen.phantoms(range(2), size=16, seed=4, dim=3)
    alone = abdomen.phantoms([1], size=16, seed=4, dim=3)
    assert torch.equal(alone.images["ct"][0], together.images["ct"][1])


def test_seeds_and_subjects_are_other_people():
    one, other = (abdomen.phantoms(range(2), size=32, seed=seed).images["ct"] for seed in (0, 1))
    assert (one - other).abs().mean() > 0.05
    assert (one[0] - one[1]).abs().mean() > 0.05


def test_the_same_person_at_two_sizes():
    small, large = (abdomen.phantoms(range(4), size=size, seed=0).tissues for size in (48, 96))
    shrunk = torch.nn.functional.avg_pool2d(large, 2)
    assert (small - shrunk).abs().sum(dim=1).mean() < 0.1
    assert (small - shrunk.roll(1, 0)).abs().sum(dim=1).mean() > 0.5


@pytest.mark.parametrize(
    ("name", "plain", "gain"),
    [("liver", 57, 55), ("spleen", 47, 73), ("muscle", 50, 10), ("fat", -98, 0), ("vein", 45, 115)],
)
def test_ct_has_the_table_of_tissues_and_the_dose(bellies, name, plain, gain):
    """HU without agent and what the usual dose adds, as the table has them; texture averages out."""
    off = []
    for i in range(16):
        where = pure(bellies, name)[i]
        expected = plain + gain * bellies.facts["enhancement"][i]
        if where.sum() > 30:
            off.append((hu(bellies)[i][where].mean() - expected).item())
    assert len(off) >= 8
    assert sum(off) / len(off) == pytest.approx(0, abs=2.5)
    assert max(map(abs, off)) < 10


def test_bone_is_white_and_gas_black(bellies):
    assert bellies.images["ct"][pure(bellies, "bone")].min() == 1
    assert bellies.images["ct"][pure(bellies, "gas") | pure(bellies, "air")].max() < -0.99


def test_t2_of_the_liver_by_hand(bellies):
    """0.85 (1 - e^(-3500/586)) e^(-80/46) against bile's 1.15 (1 - e^(-3500/1500)) e^(-80/350)."""
    liver = 0.85 * (1 - math.exp(-5.97270)) * math.exp(-1.73913)
    top = 1.15 * (1 - math.exp(-2.33333)) * math.exp(-0.228571)
    assert abdomen.maximum("t2").high == pytest.approx(top, rel=1e-4)
    seen = (bellies.images["t2"][pure(bellies, "liver")].mean().item() + 1) / 2
    assert seen == pytest.approx(liver / top, rel=0.08)


def test_mr_orders_the_tissues(bellies):
    def mean(name, tissue):
        return bellies.images[name][pure(bellies, tissue)].mean()

    assert mean("t1", "fat") > mean("t1", "liver") + 0.2 > mean("t1", "spleen") + 0.3
    assert mean("t2", "spleen") > mean("t2", "liver") + 0.2 > mean("t2", "muscle") + 0.3
    # Blood that flows leaves no echo, and nothing is so bright that it is clipped.
    assert max(mean("t2", "blood"), mean("t2", "vein")) < mean("t2", "liver")
    assert mean("t2", "bile") > 0.6
    assert (bellies.images["t2"] == 1).float().mean() < 0.001


def test_lesions_differ_in_level_rim_texture_and_margin(bellies):
    values = {
        name: hu(bellies)[pure(bellies, name)]
        for name in ("cyst", "metastasis", "infiltrated", "haemangioma", "pool", "liver")
    }
    level = {name: value.mean() for name, value in values.items()}
    assert 0 <= level["cyst"] <= 15
    assert level["cyst"] + 30 < level["metastasis"] < level["infiltrated"] - 15 < level["liver"] - 30
    assert level["pool"] > level["liver"] + 30 > level["haemangioma"] + 60
    # A haemangioma is uneven, a cyst is not; only a metastasis has a margin between it and the liver.
    assert hu(bellies)[(bellies.lesion) & (bellies.labels == 3)[:, None, None, None]].std() > 35
    assert values["cyst"].std() < 20
    assert bellies.share("infiltrated")[bellies.labels != 2].sum() == 0
    assert bellies.share("infiltrated")[bellies.labels == 2].sum() > 20
    t2 = {
        name: bellies.images["t2"][pure(bellies, name)].mean()
        for name in ("cyst", "haemangioma", "metastasis", "liver")
    }
    assert t2["cyst"] > t2["haemangioma"] + 0.2 > t2["metastasis"] + 0.4 > t2["liver"] + 0.6
    assert bellies.images["t2"][pure(bellies, "cyst")].max() < 1


def test_the_table_says_where_lesions_are(bellies):
    rows, columns = torch.meshgrid(torch.arange(96), torch.arange(96), indexing="ij")
    x, y = ((each + 0.5) / 96 * 360 - 180 for each in (columns, rows))
    for i in range(16):
        present = bellies.lesions[i][bellies.lesions[i, :, 0] == 1]
        assert len(present) > 0 or i % 4 == 0
        assert (bellies.severity[i] > 0) == (i % 4 > 0)
        if not len(present):
            assert not bellies.lesion[i].any()
            continue
        assert bellies.lesion[i].any()
        far = torch.stack(
            [((x - lx) ** 2 + (y - ly) ** 2).sqrt() / radius for _, lx, ly, _, radius, _ in present]
        )
        assert far.amin(dim=0)[bellies.lesion[i, 0]].max() < 2.1
        first = bellies.lesion[i, 0][far[0] < 0.5]
        assert first.float().mean() > 0.6  # the rest: vessels and kidney


def test_lesions_change_nothing_but_the_liver():
    well, ill = (abdomen.phantoms(range(6), size=48, seed=2, labels=[kind] * 6) for kind in (0, 2))
    kept = [k for k, name in enumerate(abdomen.TISSUES) if name not in (*abdomen.PATHOLOGY, "liver", "vein")]
    assert torch.equal(well.tissues[:, kept], ill.tissues[:, kept])
    untouched = ill.share(*abdomen.PATHOLOGY) == 0
    for name in abdomen.CONTRASTS:
        torch.testing.assert_close(well.images[name][untouched], ill.images[name][untouched])


@pytest.mark.parametrize("dim", [2, 3])
def test_breathing_is_its_field(dim):
    """What the field takes from the trunk at rest is the trunk that breathes; bent back, it is at rest."""
    size = 64 if dim == 2 else 32
    rest, deep = (
        abdomen.phantoms(
            range(2), size=size, seed=1, dim=dim, breathing=amplitude, labels=[0, 1], contrasts=()
        )
        for amplitude in (0.0, 25.0)
    )
    field = deep.facts["displacement"]
    assert not rest.facts["displacement"].any()
    assert not warp.folds(field.contiguous()).any()

    def off(one, other):
        return (one - other).abs().sum(dim=1).mean()

    moved = warp.apply(rest.tissues, field)
    assert off(moved, deep.tissues) < 0.55 * off(rest.tissues, deep.tissues)
    back = warp.apply(deep.tissues, warp.inverse(field.contiguous()))
    assert off(back, rest.tissues) < 0.65 * off(rest.tissues, deep.tissues)


def test_the_field_of_breathing_by_hand():
    """64 px of 5.625 mm, a = 20 mm. Row 31, column 40: x = 47.8125, y = -2.8125, s = 1/(1 + e^-0.5125)."""
    field = abdomen.phantoms([0], size=64, seed=0, breathing=20.0, contrasts=()).facts["displacement"][0]
    strength = 1 / (1 + math.exp(-0.5125))
    assert field[0, 31, 40].item() == pytest.approx(20 * strength / 5.625, rel=1e-4)
    assert field[1, 31, 40].item() == pytest.approx(-6 * strength * 47.8125 / 150 / 5.625, rel=1e-4)


def test_the_widest_breath_does_not_fold():
    for dim, size in ((2, 64), (3, 24)):
        made = abdomen.phantoms(
            [0], size=size, seed=0, dim=dim, breathing=abdomen.MAX_BREATHING, contrasts=()
        )
        assert not warp.folds(made.facts["displacement"].contiguous()).any()


def test_a_pelvis_has_hips_a_bladder_and_a_sex():
    made = abdomen.phantoms(range(8), size=64, seed=0, region="pelvis", labels=[0, 1] * 4)
    assert (made.share("bone", "marrow").sum(dim=(1, 2, 3)) > 30).all()
    assert (made.share("urine").sum(dim=(1, 2, 3)) > 10).all()
    assert made.share("prostate")[1::2].sum() == made.share("uterus")[::2].sum() == 0
    assert made.share("prostate")[::2].sum() > 0
    assert made.share("uterus")[1::2].sum() > 0
    assert torch.equal(made.facts["sex"], made.labels)
    # Muscles overlap: their means are nearer to each other than the noise is wide.
    ct = made.scales["ct"].restored(made.images["ct"])
    lean, muscle = ct[made.share("lean") > 0.999], ct[made.share("muscle") > 0.999]
    assert 3 < lean.mean() - muscle.mean() < 1.5 * muscle.std()


def test_whoever_is_left_to_themselves_has_one_sex():
    made = abdomen.phantoms(range(12), size=16, seed=0, region="pelvis", contrasts=())
    belly = abdomen.phantoms(range(12), size=16, seed=0, contrasts=())
    assert torch.equal(made.facts["sex"], belly.facts["sex"])
    assert made.labels.unique().tolist() == [0, 1]


def test_a_volume_resembles_its_slices():
    """The volume's middle planes, at 12 to 18 mm, and slices at 5 to 25 mm have the same tissues."""
    volume = abdomen.phantoms(range(3), size=32, seed=0, dim=3, labels=[0] * 3, contrasts=("ct",))
    plane = volume.tissues[:, :, 15:17].mean(dim=(0, 2, 3, 4))
    # A quarter of the slices: 25 of 100, with a standard deviation of 4.
    slices = abdomen.phantoms(range(100), size=32, seed=0, labels=[0] * 100, contrasts=())
    near = (slices.facts["level"] - 15).abs() < 10
    assert near.sum() > 6
    flat = slices.tissues[near].mean(dim=(0, 2, 3))
    for name, tolerance in (("air", 0.06), ("fat", 0.06), ("liver", 0.03), ("bone", 0.015), ("muscle", 0.03)):
        k = abdomen.TISSUES.index(name)
        assert plane[k].item() == pytest.approx(flat[k].item(), abs=tolerance)
        assert flat[k] > 0.01
    liver = hu(volume)[volume.share("liver") > 0.999].mean()
    assert liver.item() == pytest.approx(57 + 55 * volume.facts["enhancement"].mean().item(), abs=6)


def test_planes_of_a_volume_differ():
    """Lung above, no lung below; kidneys in the middle."""
    volume = abdomen.phantoms(range(2), size=32, seed=0, dim=3, contrasts=())
    lung, kidney = (
        volume.share(*names).sum(dim=(0, 1, 3, 4)) for names in (("lung",), ("cortex", "medulla"))
    )
    assert lung[:4].min() > 40
    assert lung[20:].sum() == 0
    assert kidney[:4].sum() == 0
    assert kidney[18:24].min() > 5


def test_organs_are_where_their_crops_are():
    for plane in ("axial", "coronal", "sagittal"):
        labels = list(range(11))
        made = abdomen.render_organs(labels, size=28, seed=0, first=50, plane=plane)
        assert made.shape == (11, 28, 28)
        assert made.dtype == torch.uint8
        again = abdomen.render_organs(labels[4:7], size=28, seed=0, first=54, plane=plane)
        assert torch.equal(again, made[4:7])
    by = {
        name: abdomen.render_organs([kind] * 5, size=28, seed=1)[:, 9:19, 9:19].float().quantile(0.7)
        for kind, name in enumerate(abdomen.CLASSES_2D)
    }
    assert 60 < by["bladder"] < by["liver"] < by["kidney-left"]
    assert by["femur-left"] == by["femur-right"] == 255
    for kind in (7, 8):
        lungs = abdomen.render_organs([kind] * 5, size=28, seed=1)[:, 9:19, 9:19]
        assert (lungs < 10).float().mean() > 0.5


def test_left_and_right_are_mirrored():
    """The left kidney, at the right of the image, has the spine to its left."""
    left, right = (abdomen.render_organs([k] * 12, size=28, seed=0).float().mean(dim=0) for k in (4, 5))
    third = slice(12, 24), slice(0, 5)
    assert left[third].mean() > left.flip(1)[third].mean()
    assert right[third].mean() < right.flip(1)[third].mean()


def test_volumes_of_organs_have_their_own_order_of_classes():
    made = abdomen.render_organs([7, 0], size=16, seed=0, dim=3)
    assert made.shape == (2, 16, 16, 16)
    assert abdomen.CLASSES_3D[7] == "lung-right"
    assert made[0, 6:10, 6:10, 6:10].float().mean() < made[1, 6:10, 6:10, 6:10].float().mean() - 60


def test_classes_are_medmnists():
    medmnist = pytest.importorskip("medmnist")
    for flag, classes in (("organamnist", abdomen.CLASSES_2D), ("organmnist3d", abdomen.CLASSES_3D)):
        names = medmnist.INFO[flag]["label"]
        assert tuple(names[str(k)] for k in range(11)) == classes


@pytest.mark.parametrize(
    ("asked", "said"),
    [
        ({"contrasts": ("t3",)}, "no contrast 't3'"),
        ({"region": "pelvic"}, "pelvis"),
        ({"dim": 4}, "dim is 4"),
        ({"size": 8}, "at least 16"),
        ({"breathing": 60.0}, "0 to 40 mm"),
        ({"labels": [4]}, "3 .haemangioma."),
        ({"labels": [0, 1]}, "1 subjects but 2 labels"),
        ({"labels": [2], "region": "pelvis"}, "1 .female."),
        ({"fov": 0.0}, "fov is 0.0"),
        ({"fov": 900.0}, "fov is 900.0"),
    ],
)
def test_mistakes_are_said(asked, said):
    with pytest.raises(CourseError, match=said):
        abdomen.phantoms([0], **{"size": 32, "seed": 0} | asked)


def test_unknown_planes_are_said():
    with pytest.raises(CourseError, match="axial"):
        abdomen.render_organs([0], size=28, seed=0, plane="axal")


@pytest.mark.parametrize("render", [abdomen.render_organs, abdomen.render_levels])
@pytest.mark.parametrize("labels", [[], [0, -1], [99], 3])
def test_surrogates_refuse_what_is_no_label(render, labels):
    with pytest.raises(CourseError):
        render(labels, size=28, seed=0)


@pytest.mark.parametrize("dim", [2, 3])
def test_a_field_of_view_is_a_part_of_the_same_picture(dim, monkeypatch):
    """Painted on pixels of 7.5 mm; 24 planes and 16 span the same height, painted on 48 in both."""
    monkeypatch.setattr(abdomen, "FINE", {2: 1, 3: 1})
    made = []
    for size, thin, fov in ((24, 2, 360.0), (16, 3, 240.0)):
        monkeypatch.setattr(abdomen, "THIN", thin)
        got = abdomen.phantoms([0, 1], size=size, seed=0, contrasts=(), dim=dim, labels=[0, 2], fov=fov)
        made.append(got.tissues)
    wide = made[0][..., 4:20, 4:20]
    if dim == 3:
        wide, made[1] = (each.unflatten(2, (8, -1)).mean(dim=3) for each in (wide, made[1]))
    assert (wide - made[1]).abs().sum(dim=1).mean() < 0.003


def test_a_plane_of_a_volume_is_a_mean_along_z():
    """At the lowest planes of the lung, shares along z are finer than the one half of a single sample."""
    made = abdomen.phantoms([0], size=48, seed=0, dim=3, contrasts=(), labels=[0])
    # 48 pixels are painted with 2 x 2 pixels in 2 planes: shares are eighths.
    eighths = made.tissues * 8
    torch.testing.assert_close(eighths, eighths.round())
    assert (eighths.round() % 2 == 1).any()
