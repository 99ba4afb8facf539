"""The heart phantom: the ventricle is the shape it is said to be, and the images are its signals."""

import math

import pytest
import torch

from medgan_course.data.phantom import heart
from medgan_course.errors import CourseError


@pytest.fixture(scope="module")
def hearts():
    return heart.phantoms(
        range(16), size=96, seed=0, labels=[i % 4 for i in range(16)], contrasts=heart.CONTRASTS
    )


def at(level, *, phase=0.0, labels=0, n=6, size=96, contrasts=()):
    """Return subjects at one level and phase, all of one class."""
    return heart.phantoms(
        range(n), size=size, seed=0, labels=[labels] * n, level=level, phase=phase, contrasts=contrasts
    )


def left_ventricle(made):
    """Return the area of the cavity in mm²: blood and muscle inside the ellipse, without the aorta."""
    side = made.tissues.shape[-1]
    pixel = (heart.FOV / side) ** 2
    blood = made.share("blood")[:, 0].clone()
    blood[:, int(0.68 * side) :] = 0  # the aorta lies below
    return blood.sum(dim=(1, 2)) * pixel


def test_shapes_types_and_ranges(hearts):
    assert hearts.images["mr"].shape == hearts.images["ct"].shape == (16, 1, 96, 96)
    assert hearts.images["mr_low"].shape == (16, 1, 48, 48)
    for image in hearts.images.values():
        assert image.dtype == torch.float32
        assert image.min() >= -1
        assert image.max() <= 1
    torch.testing.assert_close(hearts.tissues.sum(dim=1), torch.ones(16, 96, 96))
    assert torch.equal(hearts.lesion, hearts.share("scar") >= 0.5)


def test_a_subject_is_the_same_in_every_batch():
    together = heart.phantoms(range(10), size=32, seed=4, contrasts=heart.CONTRASTS)
    backwards = heart.phantoms(range(9, -1, -1), size=32, seed=4, contrasts=heart.CONTRASTS)
    for name in heart.CONTRASTS:
        assert torch.equal(backwards.images[name].flip(0), together.images[name])
    for i in (0, 5, 9):
        alone = heart.phantoms([i], size=32, seed=4, contrasts=("ct",))
        assert torch.equal(alone.images["ct"][0], together.images["ct"][i])
        assert torch.equal(alone.tissues[0], together.tissues[i])
        assert alone.labels[0] == together.labels[i]
    volumes = heart.phantoms(range(2), size=16, seed=4, dim=3)
    assert torch.equal(heart.phantoms([1], size=16, seed=4, dim=3).images["mr"][0], volumes.images["mr"][1])


def test_the_same_person_at_two_sizes():
    small, large = (heart.phantoms(range(4), size=size, seed=0, contrasts=()).tissues for size in (48, 96))
    shrunk = torch.nn.functional.avg_pool2d(large, 2)
    assert (small - shrunk).abs().sum(dim=1).mean() < 0.1
    assert (small - shrunk.roll(1, 0)).abs().sum(dim=1).mean() > 0.3


def test_the_cavity_widens_from_apex_to_base():
    areas = [left_ventricle(at(level)) for level in (0.15, 0.4, 0.95)]
    assert (areas[0] < 0.8 * areas[1]).all()
    assert (areas[1] < areas[2]).all()


def test_the_cavity_is_the_ellipse_of_the_facts():
    """At the base papillary muscles are few; the field and the oval change the area by a few per cent."""
    for level, phase in ((0.95, 0.0), (0.95, 1.0), (0.25, 0.0)):
        made = at(level, phase=phase)
        by_hand = (
            math.pi
            * (made.facts["radius"] * (1 - made.facts["contraction"] * phase)) ** 2
            * (1 - (1 - level) ** 2)
        )
        torch.testing.assert_close(made.facts["cavity"], by_hand)
        assert left_ventricle(made).mean() / by_hand.mean() == pytest.approx(1, abs=0.1)


def test_muscle_keeps_its_area_while_the_cavity_narrows():
    """At the valves' plane, where b² - a² does not change; papillary muscles lie lower."""
    relaxed, contracted = (at(1.0, phase=phase, n=8) for phase in (0.0, 1.0))
    near = torch.zeros(96, 96, dtype=torch.bool)
    near[:, 55:] = True  # the free wall: the right ventricle is elsewhere

    def muscle(made):
        return (made.share("myocardium")[:, 0] * near).sum(dim=(1, 2)).mean()

    assert left_ventricle(contracted).mean() < 0.6 * left_ventricle(relaxed).mean()
    assert muscle(contracted) == pytest.approx(muscle(relaxed).item(), rel=0.15)


def test_diseases_change_the_left_ventricle_as_their_names_say():
    well, thick, wide = (at(0.8, labels=kind, n=8) for kind in (0, 2, 3))
    assert (thick.facts["wall"] > well.facts["wall"] * 1.1).all()
    assert (thick.share("myocardium").sum(dim=(1, 2, 3)) > well.share("myocardium").sum(dim=(1, 2, 3))).all()
    assert (left_ventricle(wide) > 1.05 * left_ventricle(well)).all()
    assert (wide.facts["wall"] < well.facts["wall"]).all()
    assert (wide.facts["contraction"] < well.facts["contraction"]).all()
    assert (well.severity == 0).all()
    assert ((thick.severity > 0.1) & (wide.severity > 0.1)).all()
    far = well.share("air", "skin", "bone")
    assert torch.equal(far, thick.share("air", "skin", "bone"))


def test_scars_lie_where_the_table_says():
    made = at(0.5, labels=1, n=8, contrasts=("ct",))
    well = at(0.5, labels=0, n=8)
    assert not well.lesion.any()
    assert not well.lesions.any()
    assert (made.lesions[:, 0, 0] == 1).all()
    found = 0
    for i in range(8):
        rows, columns = made.lesion[i, 0].nonzero().unbind(1)
        if len(rows) < 6:
            continue
        found += 1
        inside = made.share("blood")[i, 0].clone()
        inside[65:] = 0
        y, x = (inside.sum(dim=axis) @ torch.arange(96.0) / inside.sum() for axis in (1, 0))
        angle = torch.atan2((rows - y).mean(), (columns - x).mean())
        away = torch.remainder(angle - made.facts["scar"][i, 1] + math.pi, 2 * math.pi) - math.pi
        assert away.abs() < 0.5
    assert found >= 5
    ct = made.scales["ct"].restored(made.images["ct"])
    scar, muscle = (ct[made.share(name) > 0.999].mean() for name in ("scar", "myocardium"))
    assert 15 < muscle - scar < 70  # 105 against 64 HU at the usual dose


def test_balanced_by_hand():
    """Blood: (1 - 0.997782) / (1 - 0.008756 * 0.573576 - 0.986832) = 0.2723; times sin, density, decay."""
    value = heart.balanced(torch.tensor(0.95), torch.tensor(1441.0), torch.tensor(290.0), **heart.MR)
    assert value.item() == pytest.approx(0.2723 * 0.819152 * 0.95 * 0.994498, rel=1e-3)


def test_balanced_is_largest_at_the_known_angle():
    """For TR much shorter than T1 and T2: cos α = (T1/T2 - 1) / (T1/T2 + 1), S = ρ/2 sqrt(T2/T1)."""
    t1, t2 = 1000.0, 250.0
    best = math.acos((t1 / t2 - 1) / (t1 / t2 + 1))
    signals = [
        heart.balanced(
            torch.tensor(1.0, dtype=torch.float64),
            torch.tensor(t1, dtype=torch.float64),
            torch.tensor(t2, dtype=torch.float64),
            tr=0.01,
            te=0.0,
            flip=best + off,
        ).item()
        for off in (-0.05, 0.0, 0.05)
    ]
    assert signals[1] == max(signals)
    assert signals[1] == pytest.approx(0.5 * math.sqrt(t2 / t1), rel=1e-3)


def test_blood_is_bright_and_muscle_dark(hearts):
    def mean(name, tissue):
        return hearts.images[name][hearts.share(tissue) > 0.999].mean()

    assert mean("mr", "blood") > mean("mr", "myocardium") + 0.8
    assert mean("mr", "lung") < -0.7
    ct = hearts.scales["ct"].restored(hearts.images["ct"])
    # 45 + 310 c and 45 + 60 c HU, c being 1 on average
    assert ct[hearts.share("blood") > 0.999].mean().item() == pytest.approx(355, abs=25)
    assert ct[hearts.share("myocardium") > 0.999].mean().item() == pytest.approx(105, abs=10)


def test_low_resolution_is_the_same_heart(hearts):
    """A pixel j of the small image lies on pixel 2j of the large one."""
    low, high = hearts.images["mr_low"], hearts.images["mr"]
    blurred = torch.nn.functional.avg_pool2d(high, 3, stride=1, padding=1)[..., ::2, ::2]
    shifted = blurred.roll(1, -1)
    assert (low - blurred).abs().mean() < 0.1
    assert (low - blurred).abs().mean() < 0.5 * (low - shifted).abs().mean()


def test_thick_slices_of_a_volume():
    made = heart.phantoms([0], size=32, seed=0, dim=3, contrasts=("mr", "mr_low"))
    assert made.images["mr_low"].shape == (1, 1, 8, 32, 32)
    thick = made.images["mr"].unflatten(2, (8, 4)).mean(dim=3)
    assert (thick - made.images["mr_low"]).abs().mean() < 0.06


def test_a_volume_resembles_its_slices():
    """The plane of the volume at half the length, and the slices there, have the same shares of tissues."""
    volume = heart.phantoms(range(6), size=32, seed=0, labels=[0] * 6, phase=0.0, dim=3, contrasts=())
    middle = volume.tissues[:, :, 15:17].mean(dim=(0, 2, 3, 4))
    slices = at(0.5, n=16, size=32).tissues.mean(dim=(0, 2, 3))
    for name, tolerance in (
        ("blood", 0.02), ("myocardium", 0.015), ("lung", 0.06), ("fat", 0.06), ("muscle", 0.03),
        ("vein", 0.02),
    ):  # fmt: skip
        k = heart.TISSUES.index(name)
        assert middle[k].item() == pytest.approx(slices[k].item(), abs=tolerance)
        assert slices[k] > 0.015


def test_a_volume_has_its_apex_below():
    volume = heart.phantoms(range(2), size=32, seed=0, dim=3, labels=[0, 0], phase=0.0, contrasts=())
    muscle = volume.share("myocardium").sum(dim=(0, 1, 3, 4))
    assert muscle[8:12].min() > 20
    assert muscle[8:12].mean() > 2 * muscle[24:28].mean()
    assert muscle[31] == 0


@pytest.mark.parametrize(
    ("asked", "said"),
    [
        ({"contrasts": ("mri",)}, "no contrast 'mri'"),
        ({"dim": 1}, "dim is 1"),
        ({"size": 8}, "at least 16"),
        ({"size": 30, "contrasts": ("mr_low",)}, "multiple of 4"),
        ({"level": 1.2}, "level is 1.2"),
        ({"phase": -0.1}, "phase is -0.1"),
        ({"fov": 0}, "fov is 0"),
        ({"labels": [0, 0]}, "1 subjects but 2"),
        ({"labels": [4]}, "3 .dilatation."),
    ],
)
def test_mistakes_are_said(asked, said):
    with pytest.raises(CourseError, match=said):
        heart.phantoms([0], **{"size": 32, "seed": 0} | asked)


def test_late_enhancement_by_hand():
    """Healthy myocardium has 1/T1 = 1/1030 + 0.0045 * 0.25, 477.1 ms, and is nulled at TI = 314.33 ms.

    Scar: 1/T1 = 1/1250 + 0.0045 * 0.65, T1 = 268.456 ms: 0.85 (1 - 2 e^(-TI/T1) + e^(-1600/T1)) e^(-3/55).
    """
    rho, t1, t2, gadolinium = (
        torch.tensor(each) for each in ([0.88, 0.85], [1030.0, 1250.0], [40.0, 55.0], [0.25, 0.65])
    )
    muscle, scar = heart.late(rho, t1, t2, gadolinium).tolist()
    assert muscle == pytest.approx(0, abs=1e-5)
    assert scar == pytest.approx(
        0.85 * (1 - 2 * math.exp(-1.17088) + math.exp(-5.96001)) * math.exp(-0.054545), rel=2e-3
    )


def test_a_scar_is_white_where_the_wall_is_black():
    made = at(0.5, labels=1, n=8, contrasts=("late",)).images["late"], at(0.5, labels=1, n=8)
    grey = {name: made[0][made[1].share(name) > 0.999].mean() for name in ("scar", "blood", "myocardium")}
    assert grey["scar"] > grey["blood"] + 0.4 > grey["myocardium"] + 0.8


def test_it_is_said_whether_the_scar_is_in_the_slice():
    made = heart.phantoms(range(24), size=32, seed=0, labels=[1] * 24, contrasts=())
    assert torch.equal(made.facts["seen"], made.lesion.flatten(1).any(1))
    assert 0 < made.facts["seen"].sum() < 24


@pytest.mark.parametrize("dim", [2, 3])
def test_a_field_of_view_is_a_part_of_the_same_picture(dim, monkeypatch):
    """24 planes and 16 span the same height, painted on 48 in both."""
    monkeypatch.setattr(heart, "FINE", {2: 1, 3: 1})
    made = []
    for size, thin, fov in ((24, 2, 180.0), (16, 3, 120.0)):
        monkeypatch.setattr(heart, "THIN", thin)
        got = heart.phantoms([0, 1], size=size, seed=0, contrasts=(), dim=dim, labels=[0, 1], fov=fov)
        made.append(got.tissues)
    wide = made[0][..., 4:20, 4:20]
    if dim == 3:
        wide, made[1] = (each.unflatten(2, (8, -1)).mean(dim=3) for each in (wide, made[1]))
    assert (wide - made[1]).abs().sum(dim=1).mean() < 0.003
