"""The head phantom: its layout, its physics, and that a subject is one person."""

import pytest
import torch

from medgan_course.data.phantom import head
from medgan_course.data.phantom.common import tissue_table
from medgan_course.errors import CourseError

ALL = head.CONTRASTS


@pytest.fixture(scope="module")
def population():
    return head.phantoms(range(24), size=64, seed=0, labels=[i % 2 for i in range(24)])


def mean_in(population, name, *tissues):
    """Return the mean of a contrast over the pixels that are nearly all one of ``tissues``."""
    pure = population.tissues[:, list(tissues)].sum(dim=1, keepdim=True) > 0.99
    return population.images[name][pure].mean().item()


def test_shapes_types_and_ranges(population):
    assert list(population.images) == list(head.USUAL)
    for image in population.images.values():
        assert image.shape == (24, 1, 64, 64)
        assert image.dtype == torch.float32
        assert image.min() >= -1
        assert image.max() <= 1
    assert population.label_map.shape == (24, 64, 64)
    assert population.lesion.shape == (24, 1, 64, 64)
    assert population.lesion.dtype == torch.bool
    torch.testing.assert_close(population.tissues.sum(dim=1), torch.ones(24, 64, 64))


def test_the_label_has_the_largest_share(population):
    share = population.tissues.gather(1, population.label_map[:, None])[:, 0]
    assert torch.equal(share, population.tissues.amax(dim=1))


def test_a_subject_is_the_same_in_every_batch():
    together = head.phantoms(range(11), size=32, seed=3, contrasts=ALL, labels=[1] * 11)
    for i in (0, 3, 4, 10):
        alone = head.phantoms([i], size=32, seed=3, contrasts=ALL, labels=[1])
        for name in ALL:
            assert torch.equal(alone.images[name][0], together.images[name][i])
        assert torch.equal(alone.label_map[0], together.label_map[i])
        torch.testing.assert_close(alone.lesions[0], together.lesions[i], rtol=0, atol=1e-4)  # mm
    backwards = head.phantoms(range(10, -1, -1), size=32, seed=3, contrasts=("t2",), labels=[1] * 11)
    assert torch.equal(backwards.images["t2"].flip(0), together.images["t2"])


def test_seeds_are_other_people():
    one, other = (head.phantoms([0], size=32, seed=seed, contrasts=("t1",)).images["t1"] for seed in (0, 1))
    assert (one - other).abs().mean() > 0.05


def test_the_same_person_at_two_sizes():
    small, large = (head.phantoms(range(4), size=size, seed=0).tissues for size in (32, 96))
    shrunk = torch.nn.functional.avg_pool2d(large, 3)
    assert (small - shrunk).abs().sum(dim=1).mean() < 0.1
    assert (small - shrunk.roll(1, 0)).abs().sum(dim=1).mean() > 0.3


def test_lesions_change_nothing_but_white_matter():
    well = head.phantoms(range(8), size=64, seed=0, labels=[0] * 8)
    ill = head.phantoms(range(8), size=64, seed=0, labels=[1] * 8)
    assert not well.lesion.any()
    assert ill.tissues[:, head.LESION].sum(dim=(1, 2)).gt(0).sum() >= 7
    others = [k for k in range(len(head.TISSUES)) if k not in (head.WHITE, head.LESION)]
    assert torch.equal(well.tissues[:, others], ill.tissues[:, others])
    untouched = (ill.tissues[:, head.LESION] == 0)[:, None]
    for name in head.USUAL:
        torch.testing.assert_close(well.images[name][untouched], ill.images[name][untouched])


def test_lesions_are_bright_in_t2_and_flair_and_dark_in_t1():
    well = head.phantoms(range(12), size=64, seed=0, labels=[0] * 12)
    ill = head.phantoms(range(12), size=64, seed=0, labels=[1] * 12)
    lesion = (ill.tissues[:, head.LESION] > 0.9)[:, None]
    for name, sign in {"t1": -1, "t2": 1, "flair": 1}.items():
        change = (ill.images[name] - well.images[name])[lesion]
        assert change.numel() > 30
        assert (change * sign).mean() > 0.08


def test_the_lesion_table_says_where(population):
    """Half of the pixel of a plaque is drawn as one; who is well has none.

    A plaque's edge is where the distance is 0.7 to 1.3 of its semi-axes, but for one in a hundred, and the
    head bends it by a sixth at most: nothing of it is two semi-axes and a pixel away.
    """
    present = population.lesions[:, :, 0]
    assert not present[::2].any()
    assert present[1::2, 0].all()
    assert not present[:, -1].any()  # no tumours
    strength = population.lesions[..., -1]
    assert torch.equal(strength > 0, present > 0)
    assert strength.max() <= 1
    x, y = head.grid(64, head.FOV)
    pixel = head.FOV / 64
    for i in range(1, 24, 2):
        table = population.lesions[i][present[i] == 1]
        here = population.lesion[i, 0]
        away = [
            ((x - row[1]) / (2 * row[3] + pixel)).abs().maximum(((y - row[2]) / (2 * row[4] + pixel)).abs())
            for row in table
        ]
        assert torch.stack(away).amin(dim=0)[here].max() < 1


def test_contrasts_order_the_tissues(population):
    """T1: white over grey over fluid; T2: the reverse; FLAIR: fluid black; CT: brain over fat over air."""
    t1, t2, flair, ct = (
        {
            tissue: mean_in(population, name, getattr(head, tissue))
            for tissue in ("WHITE", "GREY", "VENTRICLE", "FAT", "AIR")
        }
        for name in ("t1", "t2", "flair", "ct")
    )
    assert t1["WHITE"] > t1["GREY"] + 0.2 > t1["VENTRICLE"] + 0.4
    assert t1["FAT"] > t1["WHITE"]
    assert t2["VENTRICLE"] > t2["GREY"] + 0.5 > t2["WHITE"] + 0.5
    assert flair["VENTRICLE"] < -0.85
    assert flair["GREY"] > flair["WHITE"] > -0.4
    assert ct["AIR"] == pytest.approx(-1, abs=0.01)
    assert ct["FAT"] < ct["GREY"]


def test_ct_is_in_hounsfield_units(population):
    hu = {}
    for tissue in ("VENTRICLE", "WHITE", "FAT"):
        shown = torch.tensor(mean_in(population, "ct", getattr(head, tissue)))
        hu[tissue] = population.scales["ct"].restored(shown).item()
    assert hu["VENTRICLE"] == pytest.approx(8, abs=2)
    assert hu["WHITE"] == pytest.approx(28, abs=2)
    assert hu["FAT"] == pytest.approx(-90, abs=2)
    bone = population.images["ct"].amax(dim=(1, 2, 3))
    assert population.scales["ct"].restored(bone).min() > 800


def test_the_signal_of_white_matter_by_hand(population):
    """T2: 0.77 (1 - e^(-4000/500)) e^(-100/70) over the fluid's (1 - e^(-4000/2569)) e^(-100/329)."""
    white, fluid = 0.77 * 0.99966 * 0.23965, 0.78921 * 0.73790
    assert head.maximum("t2") == pytest.approx(fluid, rel=1e-3)
    assert (mean_in(population, "t2", head.WHITE) + 1) / 2 == pytest.approx(white / fluid, rel=0.06)


def test_one_scale_for_all():
    """Normalising each image by its own maximum would make all maxima 1, and wide ventricles dim the air.

    In gradient echoes a lesion is the brightest and fluid, the next, has 0.8 of it, or with half of the
    subjects' variation and four standard deviations of the noise, 0.95: nobody who is well reaches 1.
    """
    well = head.phantoms(range(12), size=32, seed=0, contrasts=("gre",), labels=[0] * 12).images["gre"]
    assert well.max() < 1
    dim = head.phantoms(range(6), size=32, seed=0, contrasts=("t2",), severity=[0.0] * 6).images["t2"]
    wide = head.phantoms(range(6), size=32, seed=0, contrasts=("t2",), severity=[1.0] * 6).images["t2"]
    assert torch.equal(dim[:, :, :2, :2], wide[:, :, :2, :2])  # air, and its noise


def test_severity_widens_fluid_and_thins_the_cortex():
    well, severe = (
        head.phantoms(range(10), size=64, seed=0, contrasts=(), severity=[value] * 10) for value in (0.0, 1.0)
    )
    amounts = [truth.tissues.sum(dim=(2, 3)) for truth in (well, severe)]
    low = well.facts["level"] < 0.6
    assert (amounts[1][low, head.VENTRICLE] > 1.5 * amounts[0][low, head.VENTRICLE]).all()
    assert (amounts[1][:, head.CSF] > 1.5 * amounts[0][:, head.CSF]).all()
    assert (amounts[1][:, head.GREY] < amounts[0][:, head.GREY]).float().mean() > 0.8
    assert torch.equal(severe.severity, torch.ones(10))
    # Not only around the brain: sulci open where there was brain before.
    inside = well.tissues[:, [head.GREY, head.WHITE]].sum(dim=1) > 0.5
    opened = (severe.tissues - well.tissues)[:, head.CSF] * inside
    assert (opened.sum(dim=(1, 2)) > 0.1 * inside.sum(dim=(1, 2))).all()


def test_it_is_laid_out_like_a_head(population):
    """From outside in: air, fat, bone, fluid, cortex; the share of tissues is that of a head."""
    assert (population.label_map[:, 0] == head.AIR).all()
    middle = population.tissues[:, :, 32, :32]
    order = (head.AIR, head.FAT, head.BONE, head.CSF, head.GREY)
    firsts = torch.stack([(middle[:, tissue] > 0.1).int().argmax(dim=1) for tissue in order])
    assert (firsts.diff(dim=0) >= 0).all()
    assert (firsts[1:].diff(dim=0).sum(dim=0) > 1).all()
    amount = population.tissues.sum(dim=(0, 2, 3))
    brain = amount[head.GREY] + amount[head.WHITE] + amount[head.NUCLEI]
    assert 0.35 < amount[head.GREY] / brain < 0.65
    width = (population.label_map != head.AIR).any(dim=1).sum(dim=1) * head.FOV / 64
    assert (width > 125).all()
    assert (width < 190).all()


def test_the_cortex_is_folded(population):
    """The border of grey and white matter is several times as long as a circle around the same area."""
    white = (population.label_map == head.WHITE).float()
    border = (white.diff(dim=1).abs().sum(dim=(1, 2)) + white.diff(dim=2).abs().sum(dim=(1, 2))) * 0.785
    circle = 2 * (torch.pi * white.sum(dim=(1, 2))).sqrt()
    assert (border / circle).mean() > 2


def test_people_differ(population):
    """No two subjects have the same anatomy: the nearest two differ in a tenth of the pixels."""
    labels = population.label_map.flatten(1)
    differ = (labels[:, None] != labels[None]).float().mean(dim=2) + torch.eye(24)
    assert differ.min() > 0.1


def test_a_tumour_enhances_and_pushes():
    well = head.phantoms(range(6), size=64, seed=0, contrasts=("t1", "t1gd"))
    tumour = head.phantoms(range(6), size=64, seed=0, contrasts=("t1", "t1gd"), tumour=True)
    rim = (tumour.tissues[:, head.TUMOUR] > 0.9)[:, None]
    assert rim.sum() > 20
    gain = [(truth.images["t1gd"] - truth.images["t1"])[rim].mean() for truth in (well, tumour)]
    assert gain[1] > gain[0] + 0.5
    assert (tumour.tissues[:, head.OEDEMA].sum(dim=(1, 2)) > 5).all()
    assert tumour.lesion.sum() > rim.sum()
    # Beside the tumour the anatomy has moved, on the other side of the head it has not.
    sick = tumour.tissues[:, head.PATHOLOGY].sum(dim=1) > 0
    columns = torch.arange(64).expand_as(sick)
    on_right = (columns * sick).sum(dim=(1, 2)) / sick.sum(dim=(1, 2)) > 32
    right = (columns > 32) == on_right[:, None, None]
    moved = (tumour.tissues - well.tissues).abs().sum(dim=1) > 0.3
    near, far = (moved & right & ~sick).sum(), (moved & ~right & ~sick).sum()
    assert near > 150
    assert near > 4 * far


def test_stripped_images_are_black_outside_the_brain():
    images = head.phantoms(range(4), size=64, seed=0, contrasts=("t1", "ct"), stripped=True, fov=192.0).images
    for image in images.values():
        assert torch.equal(image[:, :, 0], torch.full((4, 1, 64), -1.0))
        assert 0.2 < (image > -0.95).float().mean() < 0.6


def test_severity_widens_step_by_step():
    """From no atrophy to all of it, fluid grows with every step in everybody."""
    steps = [
        head.phantoms(range(8), size=32, seed=0, contrasts=(), severity=[value] * 8)
        for value in (0.0, 0.25, 0.5, 0.75, 1.0)
    ]
    fluid = torch.stack([each.share("ventricle", "csf").sum(dim=(1, 2, 3)) for each in steps])
    ventricle = torch.stack([each.share("ventricle").sum(dim=(1, 2, 3)) for each in steps])
    assert (fluid.diff(dim=0) > 0).all()
    assert ((ventricle.diff(dim=0) > 0) | (ventricle[-1] == 0)).all()  # some slices are above them


def test_severity_lowers_glucose_most_at_the_back():
    """By 12 percent in front and up to 47 behind and at the sides; thinner cortex is as thin everywhere."""
    x, y = torch.meshgrid(torch.arange(32) - 15.5, torch.arange(32) - 15.5, indexing="xy")
    behind, front = (y > 3) & (x.abs() > 5), y < -3
    share = []
    for value in (0.0, 1.0):
        made = head.phantoms(range(24), size=32, seed=0, contrasts=("fdg",), severity=[value] * 24)
        measured = made.scales["fdg"].restored(made.images["fdg"])
        cortex = made.share("grey") > 0.4
        share.append([measured[cortex & where].mean() for where in (behind, front)])
    (well_behind, well_front), (ill_behind, ill_front) = share
    assert ill_behind / well_behind < 0.85 * ill_front / well_front
    assert ill_front < 0.9 * well_front


def test_pet_by_hand():
    """Deep inside white matter FDG is a quarter of grey matter's uptake, myelin's tracer all of it."""
    population = head.phantoms(
        range(32), size=64, seed=0, contrasts=("fdg", "myelin", "gre"), labels=[0] * 32
    )
    eroded = -torch.nn.functional.max_pool2d(-population.share("white"), 5, stride=1, padding=2)
    deep = (eroded > 0.99) & (population.share("white") > 0.99)
    assert deep.sum() > 50
    measured = {
        name: population.scales[name].restored(population.images[name])[deep].mean().item()
        for name in ("fdg", "myelin")
    }
    assert measured["fdg"] == pytest.approx(0.25, rel=0.2)
    assert measured["myelin"] == pytest.approx(1.0, rel=0.12)
    # Gradient echo, 20 degrees: pd sin (1 - e^(-600/T1)) / (1 - cos e^(-600/T1))
    # e^(-40/T2*); a lesion is the brightest.
    white = 0.77 * 0.34202 * 0.69881 / (1 - 0.93969 * 0.30119) * 0.51905
    lesion = 0.76 * 0.34202 * 0.54969 / (1 - 0.93969 * 0.45031) * 0.82196
    assert head.maximum("gre") == pytest.approx(lesion, rel=1e-3)
    assert (mean_in(population, "gre", head.WHITE) + 1) / 2 == pytest.approx(white / lesion, rel=0.06)


def test_lesions_have_less_myelin():
    well, ill = (
        head.phantoms(range(12), size=64, seed=0, contrasts=("myelin",), labels=[label] * 12)
        for label in (0, 1)
    )
    lesion = ill.share("lesion") > 0.9
    assert lesion.sum() > 20
    change = (ill.images["myelin"] - well.images["myelin"])[lesion].mean()
    assert -0.4 < change < -0.03


def test_nobody_can_tell_two_seeds_apart():
    """A classifier on means, deviations and corners, trained on half of two seeds, stays at chance."""
    made = [head.phantoms(range(60), size=32, seed=seed, contrasts=("t1", "ct")) for seed in (0, 1)]
    grey = torch.cat([torch.cat([part.images["t1"], part.images["ct"]], dim=1) for part in made])
    features = torch.cat([grey.mean((2, 3)), grey.std((2, 3)), grey[:, :, 0, :2].flatten(1)], dim=1)
    features = (features - features.mean(0)) / features.std(0)
    seed = torch.arange(2).repeat_interleave(60) * 2.0 - 1
    learnt = torch.arange(120) % 2 == 0
    weights = torch.linalg.lstsq(features[learnt], seed[learnt, None]).solution
    right = ((features[~learnt] @ weights)[:, 0].sign() == seed[~learnt]).float().mean().item()
    # 60 tossed coins: within 3.2 standard deviations of one half.
    assert abs(right - 0.5) < 0.21


def test_a_field_of_view_shows_the_same_person():
    wide = head.phantoms(range(2), size=44, seed=0, contrasts=()).tissues
    near = head.phantoms(range(2), size=32, seed=0, contrasts=(), fov=160.0).tissues
    # Pixels of 5 mm in both, so the inner ones are the same up to the finer grid.
    assert (wide[:, :, 6:-6, 6:-6] - near).abs().sum(dim=1).mean() < 0.1
    assert (wide[:, :, 6:-6, 6:-6] - near.flip(0)).abs().sum(dim=1).mean() > 0.3


def test_facts_are_there(population):
    assert population.facts["level"].shape == (24,)
    assert population.facts["t2_star"].shape == (24, len(head.TISSUES))
    assert population.facts["tumour"].shape == (24, 7)
    assert not population.facts["tumour"][:, 0].any()
    assert torch.equal(population.labels, torch.arange(24) % 2)
    # The brain is what is neither skull nor scalp nor air, but for mixed pixels at its border.
    inside = population.share("csf", "ventricle", "grey", "white", "nuclei", "lesion")
    assert (population.facts["brain"] - inside).abs().mean() < 0.03


def test_surrogate_slices():
    grey, lesion = head.render([0, 1, 1], size=48, seed=0, first=5)
    assert grey.shape == (3, 48, 48, 4)
    assert grey.dtype == torch.uint8
    assert lesion.shape == (3, 48, 48)
    assert not lesion[0].any()


@pytest.mark.parametrize(
    ("wrong", "sentence"),
    [
        ({"contrasts": ("T1",)}, "no contrast 'T1': did you mean 't1'"),
        ({"size": 8}, "size is 8"),
        ({"subjects": []}, "no subjects"),
        ({"dim": 4}, "dim is 4"),
        ({"fov": 300.0}, "fov is 300"),
        ({"labels": [0, 1]}, "1 subjects but 2 labels"),
        ({"labels": [2]}, "0 .no lesions., 1 .lesions."),
        ({"severity": [1.5]}, "severity is 1.5"),
        ({"fov": 0}, "fov is 0"),
        ({"tumour": [True, False]}, "2 of tumour"),
    ],
)
def test_wrong_arguments(wrong, sentence):
    arguments = {"subjects": [0], "size": 64, "seed": 0} | wrong
    with pytest.raises(CourseError, match=sentence):
        head.phantoms(arguments.pop("subjects"), **arguments)


def test_every_number_of_the_table_has_a_source():
    for name, tissue in tissue_table("head").items():
        assert {"pd", "t1", "t2", "t2_star", "hu", "fdg", "myelin", "source"} <= set(tissue), name
        assert tissue["source"].startswith(("BrainWeb", "no signal", "to be confirmed"))


@pytest.mark.parametrize("render", [head.render, head.render_volumes])
@pytest.mark.parametrize("labels", [[], [0, -1], [99], 3])
def test_surrogates_refuse_what_is_no_label(render, labels):
    with pytest.raises(CourseError):
        render(labels, size=16, seed=0)


def test_lesions_and_tumours_that_are_absent_are_zero_rows():
    for dim, size in ((2, 32), (3, 16)):
        made = head.phantoms(
            range(3), size=size, seed=0, labels=[0, 1, 1], tumour=[True, False, True], dim=dim
        )
        assert not made.lesions[0, :-1].any()
        assert not made.lesions[1, -1].any()
        assert (made.lesions[[0, 2], -1] != 0).all()
        assert not made.lesions[made.lesions[:, :, 0] == 0].any()
        assert (made.lesions[1, 0, [0, 1, 2, -1]] != 0).all()
        assert not made.facts["tumour"][1].any()
        assert (made.facts["tumour"][0] != 0).all()


@pytest.mark.parametrize(("dim", "wide", "near"), [(2, 44, 32), (3, 22, 16)])
def test_a_field_of_view_is_a_part_of_the_same_picture(dim, wide, near, monkeypatch):
    """Pixels of 5 or 10 mm, painted twice as fine in both: the inner ones are the same."""
    monkeypatch.setattr(head, "FINE", {2: 1, 3: 1})
    one, other = (
        head.phantoms([0, 1], size=size, seed=0, contrasts=(), dim=dim, fov=fov, labels=[0, 1]).tissues
        for size, fov in ((wide, 220.0), (near, 160.0))
    )
    inner = slice((wide - near) // 2, (wide + near) // 2)
    common = one[(..., *[inner] * dim)]
    assert (common - other).abs().sum(dim=1).mean() < 0.003


def test_pet_counts_what_is_in_a_voxel(monkeypatch):
    """8 counts in a mm3: 5 mm pixels of a slice of 4 mm hold 800, voxels of 10 mm hold 8000."""
    asked = []

    def pet(activity, noise, **settings):
        asked.append(settings["counts"])
        return activity

    monkeypatch.setattr(head.signal, "pet", pet)
    head.phantoms([0], size=44, seed=0, contrasts=("fdg",))
    head.phantoms([0], size=22, seed=0, contrasts=("fdg",), dim=3)
    assert asked == pytest.approx([800, 8000])


def test_the_window_of_the_brain_is_the_same_scan():
    """Grey and white matter, 39 and 28 HU, are 11 of 80 HU apart: 0.275 of [-1, 1], not 0.009."""
    made = head.phantoms(range(8), size=64, seed=0, contrasts=("ct", "ct_brain"), labels=[1] * 8)
    wide, narrow = (made.scales[name].restored(made.images[name]) for name in ("ct", "ct_brain"))
    torch.testing.assert_close(wide.clamp(0, 80), narrow, rtol=0, atol=1e-3)
    grey, white = (made.images["ct_brain"][made.share(name) > 0.99].mean() for name in ("grey", "white"))
    assert (grey - white).item() == pytest.approx(0.275, abs=0.06)


def test_it_is_said_whether_lesions_are_in_the_slice():
    made = head.phantoms(range(40), size=32, seed=0, contrasts=(), labels=[i % 2 for i in range(40)])
    assert torch.equal(made.facts["seen"], made.lesion.flatten(1).any(1))
    assert not made.facts["seen"][::2].any()
    assert made.facts["seen"][1::2].any()
