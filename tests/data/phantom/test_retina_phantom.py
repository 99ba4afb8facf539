"""RET2D: every subject is their own, the truth is where the picture says, and grades are counted."""

import pytest
import torch
from torch.nn.functional import avg_pool2d, max_pool2d

from medgan_course.data.phantom import retina
from medgan_course.errors import CourseError


def test_a_subject_is_the_same_in_every_batch_and_order():
    together = retina.phantoms(range(retina.CHUNK + 2), size=32, seed=3)
    other = retina.phantoms([retina.CHUNK, 5], size=32, seed=3)
    for here, there in ((retina.CHUNK, 0), (5, 1)):
        assert torch.equal(together.images["rgb"][here], other.images["rgb"][there])
        assert torch.equal(together.tissues[here], other.tissues[there])
        assert torch.equal(together.lesions[here], other.lesions[there])
    assert together.images["rgb"].shape == (retina.CHUNK + 2, 3, 32, 32)
    assert together.images["rgb"].abs().max() <= 1
    assert not torch.equal(retina.phantoms([5], size=32, seed=4).images["rgb"][0], together.images["rgb"][5])


def test_the_grades_of_others_do_not_matter():
    together = retina.phantoms(range(5), size=32, seed=0, labels=range(5)).images["rgb"]
    for label in range(5):
        alone = retina.phantoms([label], size=32, seed=0, labels=[label]).images["rgb"]
        assert torch.equal(together[label], alone[0])


def test_a_subject_is_the_same_at_every_size():
    small = retina.phantoms(range(6), size=32, seed=0).images["rgb"]
    large = avg_pool2d(retina.phantoms(range(6), size=128, seed=0).images["rgb"], 4)
    assert (small - large).abs().mean() < 0.03


def test_a_grade_changes_nothing_but_the_lesions():
    well = retina.phantoms(range(4), size=64, seed=0, labels=[0] * 4)
    ill = retina.phantoms(range(4), size=64, seed=0, labels=[3] * 4)
    same = (ill.share("exudate", "haemorrhage", "microaneurysm") == 0) & (
        well.share("cup", "disc") == ill.share("cup", "disc")
    )
    difference = (well.images["rgb"] - ill.images["rgb"]).abs().amax(dim=1, keepdim=True)
    assert difference[same].median() < 0.01
    assert not well.lesion.any()
    assert ill.lesion.flatten(1).any(dim=1).all()


def test_grades_follow_from_counts():
    counts = torch.tensor(
        [[0, 0, 0, 0], [1, 0, 0, 0], [24, 0, 0, 0], [0, 1, 0, 0],
         [2, 0, 1, 0], [2, 11, 9, 0], [2, 12, 0, 0], [0, 0, 0, 1]]
    )  # fmt: skip
    assert retina.grade(counts).tolist() == [0, 1, 1, 2, 2, 2, 3, 4]
    every = torch.cartesian_prod(*(torch.arange(k + 1) for k in (3, 28, 3, 1)))
    for kind in range(4):
        more = every.clone()
        more[:, kind] += 1
        assert (retina.grade(more) >= retina.grade(every)).all()


def test_labels_are_the_grades_asked_for_and_severity_is_their_order():
    wanted = [i % 5 for i in range(20)]
    made = retina.phantoms(range(20), size=16, seed=1, labels=wanted)
    assert made.labels.tolist() == wanted
    assert torch.equal((made.severity * 5).long(), made.labels)
    assert torch.equal(retina.grade(made.facts["counts"]), made.labels)
    kinds = made.lesions[:, :, 4][made.lesions[:, :, 0] > 0]
    assert torch.equal(kinds.long().bincount(minlength=4), made.facts["counts"].sum(dim=0))
    free = retina.phantoms(range(40), size=16, seed=1).labels.bincount(minlength=5)
    assert free.min() > 2


def test_the_well_have_no_severity():
    assert retina.phantoms(range(8), size=16, seed=1, labels=[0] * 8).severity.max() == 0
    assert retina.phantoms(range(8), size=16, seed=1, labels=[1] * 8).severity.min() > 0.2


def test_no_sign_alone_tells_the_worst_grade():
    """Blood in front of the retina: some, large and small, anywhere; new vessels at the disc or elsewhere."""
    made = retina.phantoms(range(60), size=16, seed=2, labels=[4] * 60, contrasts=())
    present, x, y, radius = made.facts["preretinal"].unbind(1)
    assert 0.25 < present.mean() < 0.55
    there = present > 0
    assert radius[there].max() > 3 * radius[there].min()
    assert torch.stack([x[there], y[there]]).std(dim=1).min() > 1.5
    from_disc = (made.lesions[:, -1, 1:3] - made.facts["disc"]).norm(dim=1)
    assert 0.3 < (from_disc < 0.1).float().mean() < 0.7
    assert from_disc[from_disc > 0.1].min() > 2.4
    others = retina.phantoms(range(20), size=16, seed=2, labels=[3] * 20, contrasts=())
    assert not others.facts["preretinal"].any()


def test_new_vessels_are_where_the_table_says():
    ill, well = (retina.phantoms(range(12), size=128, seed=2, labels=[k] * 12, contrasts=()) for k in (4, 3))
    x, y = retina.grid(128, 45 * retina.MM_PER_DEGREE)
    new = (ill.share("vein") > well.share("vein"))[:, 0]
    row = ill.lesions[:, -1, :, None, None]
    away = ((x - row[:, 1]) ** 2 + (y - row[:, 2]) ** 2).sqrt()
    assert (new & (away < 3.2 * row[:, 3])).sum() > 0.95 * new.sum()


def test_seen_is_whether_the_mask_has_any_lesion():
    made = retina.phantoms(range(30), size=64, seed=1, labels=[1] * 30)
    assert torch.equal(made.facts["seen"], made.lesion.flatten(1).any(dim=1))
    assert 0 < made.facts["seen"].float().mean() < 0.6


@pytest.mark.parametrize(("name", "blood"), [("artery", "ARTERIAL"), ("vein", "VENOUS")])
def test_every_vessel_absorbs_as_its_blood_does(name, blood, monkeypatch):
    """The same eyes with blood that absorbs nothing: the vessels are what differs.

    Light that passes blood of the amount a falls by exp(-absorbance * a). A pixel of a vessel is at least
    half covered, and the thinnest branches count 0.6: a > 0.3. A camera out of focus mixes in at most 0.8 of
    a mean of 5 x 5 pixels, of which the vessel itself has about a quarter: 0.4 of the contrast is left; the
    veil of the lens leaves 0.9 of that: in every eye at least 0.108 of the absorbance.
    """
    given = {"size": 128, "seed": 1, "labels": [0] * 8}
    absorbed = getattr(retina, blood)
    full = retina.phantoms(range(8), **given)
    monkeypatch.setattr(retina, blood, (0.0, 0.0, 0.0))
    bare = retina.phantoms(range(8), **given)
    light, without = (((made.images["rgb"] + 1) / 2).clamp_min(1e-3).log() for made in (full, bare))
    here = (full.share(name) > 0.8).expand(-1, 3, -1, -1)
    inside = ((light - without) * here).sum(dim=(2, 3)) / here.sum(dim=(2, 3))
    assert (inside[:, 1] < -0.108 * absorbed[1]).all()
    # No more than all of it, and where no vessel is near, nothing.
    assert (inside > -torch.tensor(absorbed)).all()
    far = max_pool2d(full.share("artery", "vein"), 15, 1, 7) == 0
    assert (light - without)[far.expand_as(light)].abs().mean() < 0.02 * absorbed[1]


def test_the_picture_shows_the_truth():
    made = retina.phantoms(range(12), size=128, seed=0, labels=[3] * 12)
    green = made.images["rgb"][:, 1]
    plain = made.share("retina") > 0.99

    def contrast(*names):
        """Return how much brighter some tissue is than the retina beside it."""
        here = made.share(*names) > 0.8
        near = (max_pool2d(here.float(), 9, 1, 4) > 0) & plain
        parts = [(green[i][here[i, 0]], green[i][near[i, 0]]) for i in range(12)]
        return torch.stack([a.mean() - b.mean() for a, b in parts if len(a) and len(b)]).mean()

    assert contrast("vein") < contrast("artery") < 0
    assert contrast("haemorrhage") < -0.15
    assert contrast("exudate") > 0.15
    assert contrast("cup", "disc") > 0.15
    assert contrast("cup") > contrast("disc")
    far = max_pool2d(1 - made.share("outside"), 7, 1, 3) == 0
    assert (made.images["rgb"].amax(dim=1, keepdim=True)[far] < -0.9).all()
    assert made.share("vein").sum() > made.share("artery").sum()


def around(made, field, size, centre, least, most):
    """Return where pixels are between two distances from a point in mm."""
    x, y = retina.grid(size, field * retina.MM_PER_DEGREE)
    at = made.facts[centre]
    distance = ((x - at[:, :1, None]) ** 2 + (y - at[:, 1:, None]) ** 2).sqrt()
    return (distance >= least) & (distance < most)


def test_no_vessel_crosses_the_fovea():
    made = retina.phantoms(range(12), size=128, seed=5, labels=[0] * 12, field=22.0)
    vessels = made.share("artery", "vein")[:, 0]
    assert vessels[around(made, 22.0, 128, "fovea", 0, 0.5)].max() == 0
    assert 0 < vessels[around(made, 22.0, 128, "fovea", 0.7, 1.5)].mean() < 0.03
    assert vessels[around(made, 22.0, 128, "fovea", 1.8, 2.6)].mean() > 0.02


def test_the_fovea_is_dark_and_temporal():
    made = retina.phantoms(range(16), size=64, seed=5, labels=[0] * 16)
    green = made.images["rgb"][:, 1]
    near, beside = around(made, 45.0, 64, "fovea", 0, 0.5), around(made, 45.0, 64, "fovea", 1.8, 2.4)
    for i in range(16):
        assert green[i][near[i]].mean() < green[i][beside[i]].mean()
    # In a left eye the fovea lies to the right of the disc, in a right eye to the left.
    apart = made.facts["fovea"] - made.facts["disc"]
    assert torch.equal(apart[:, 0] < 0, made.facts["eye"] == 1)
    assert 0 < made.facts["eye"].sum() < 16
    assert (apart.norm(dim=1) - 4.5).abs().max() < 0.6


def test_low_resolution_is_the_mean_of_pixels():
    made = retina.phantoms(range(2), size=64, seed=0, contrasts=("rgb", "low"))
    assert torch.equal(made.images["low"], avg_pool2d(made.images["rgb"], retina.LOW))


def test_surrogates_have_the_layout_of_the_sets():
    images = retina.render([0, 4, 2], size=28, seed=0, first=7)
    assert images.shape == (3, 28, 28, 3)
    assert images.dtype == torch.uint8
    assert torch.equal(images[1], retina.render([4], size=28, seed=0, first=8)[0])
    photographs, first, second, child = retina.render_vessels([0, 0, 1, 1], size=96, seed=0, first=20)
    assert photographs.shape == (4, 96, 96, 3)
    assert child.tolist() == [10, 11, 10, 11]
    assert first.dtype == second.dtype == torch.bool
    assert (first | second).equal(first)
    assert 0.04 < first.float().mean() < 0.14  # CHASE_DB1: 0.06 to 0.09


def test_subjects_differ():
    pictures = retina.phantoms(range(12), size=32, seed=0, labels=[0] * 12).images["rgb"].flatten(1)
    assert (torch.cdist(pictures, pictures) + 1e9 * torch.eye(12)).min() > 5


@pytest.mark.parametrize(
    ("wrong", "said"),
    [
        ({"contrasts": ("rbg",)}, "did you mean 'rgb'"),
        ({"centre": "lens"}, "macula"),
        ({"labels": [5]}, "Label 5 is no class"),
        ({"labels": [-1]}, "Label -1 is no class"),
        ({"labels": [0.5]}, "not a whole number"),
        ({"labels": [1, 2]}, "give one for each"),
        ({"eyes": [0, 1]}, "1 subjects but 2 of eyes"),
        ({"eyes": [2]}, "from 0 to 1"),
        ({"eyes": [0.5]}, "whole numbers from 0 to 1"),
        ({"field": 0}, "field is 0"),
        ({"size": 0}, "size is 0"),
        ({"subjects": []}, "no subjects"),
        ({"size": 8}, "at least 16"),
        ({"size": 30, "contrasts": ("low",)}, "multiple of 4"),
    ],
)
def test_mistakes_are_named(wrong, said):
    with pytest.raises(CourseError, match=said):
        retina.phantoms(**({"subjects": [0], "size": 32, "seed": 0} | wrong))


@pytest.mark.parametrize("render", [retina.render, retina.render_vessels])
@pytest.mark.parametrize("wrong", [[99], [-1], [0.5], []])
def test_stand_ins_have_no_other_classes(render, wrong):
    with pytest.raises(CourseError):
        render(wrong, size=28, seed=0)


def test_subjects_may_come_one_by_one():
    made = retina.phantoms((i for i in range(2)), size=16, seed=0, labels=iter([1, 2]))
    assert made.subject.tolist() == [0, 1]
    assert "linear" in made.scales["rgb"].unit
