"""SKIN2D: every lesion is its own, truth and picture agree, and a camera changes the photograph only."""

import pytest
import torch
from torch.nn.functional import avg_pool2d, max_pool2d

from medgan_course.data.phantom import skin
from medgan_course.errors import CourseError


def test_a_subject_is_the_same_in_every_batch_and_order():
    together = skin.phantoms(range(skin.CHUNK + 2), size=32, seed=3)
    other = skin.phantoms([skin.CHUNK, 5], size=32, seed=3)
    for here, there in ((skin.CHUNK, 0), (5, 1)):
        assert torch.equal(together.images["rgb"][here], other.images["rgb"][there])
        assert torch.equal(together.tissues[here], other.tissues[there])
        assert torch.equal(together.lesions[here], other.lesions[there])
    assert together.images["rgb"].shape == (skin.CHUNK + 2, 3, 32, 32)
    assert not torch.equal(skin.phantoms([5], size=32, seed=4).images["rgb"][0], together.images["rgb"][5])


def test_the_kinds_of_others_do_not_matter():
    together = skin.phantoms(range(7), size=32, seed=0, labels=range(7)).images["rgb"]
    for kind in range(7):
        alone = skin.phantoms([kind], size=32, seed=0, labels=[kind]).images["rgb"]
        assert torch.equal(together[kind], alone[0])


def test_a_subject_is_the_same_at_every_size():
    small = skin.phantoms(range(7), size=32, seed=0, labels=range(7)).images["rgb"]
    large = avg_pool2d(skin.phantoms(range(7), size=128, seed=0, labels=range(7)).images["rgb"], 4)
    assert (small - large).abs().mean() < 0.03


def test_a_camera_changes_the_photograph_only():
    made = [skin.phantoms(range(4), size=64, seed=0, cameras=[k] * 4) for k in range(3)]
    for other in made[1:]:
        assert torch.equal(made[0].tissues, other.tissues)
        assert torch.equal(made[0].facts["ita"], other.facts["ita"])
        assert (made[0].images["rgb"] - other.images["rgb"]).abs().mean() > 0.02
    assert made[1].images["rgb"][:, :, 0, 0].max() < -0.9  # a round aperture
    assert made[2].facts["camera"].tolist() == [2] * 4


def test_blur_spreads_its_share_of_the_light(monkeypatch):
    """Two cameras that differ in blur alone: what differs from the mean of 3 x 3 pixels loses 0.9 of itself.

    Of that difference d in the sharp photograph the noise has a known part, which does not change: white, of
    standard deviation 0.016, it has variance (1 - 1/9) 0.016² there. So the regression of the change on d has
    the slope -0.9 (1 - (8/9) 0.016² / var d). Means of encoded light are not the encoded means of light: 5 %.
    """
    plain = skin.CAMERAS[0]
    monkeypatch.setattr(skin, "CAMERAS", (plain, plain._replace(blur=0.9)))
    sharp, blurred = (skin.phantoms(range(8), size=64, seed=0, cameras=k).images["rgb"] for k in (0, 1))
    inner = (..., slice(1, -1), slice(1, -1))
    detail, change = (sharp - avg_pool2d(sharp, 3, 1, 1))[inner], (blurred - sharp)[inner]
    power = detail.square().mean()
    expected = -0.9 * (1 - 8 / 9 * 0.016**2 / power)
    assert (change * detail).mean() / power == pytest.approx(expected.item(), rel=0.05)


def test_a_label_changes_the_lesion_only():
    first = skin.phantoms(range(5), size=64, seed=0, labels=[skin.NAEVUS] * 5)
    second = skin.phantoms(range(5), size=64, seed=0, labels=[skin.VASCULAR] * 5)
    for fact in ("camera", "ita", "hairs", "ruler"):
        assert torch.equal(first.facts[fact], second.facts[fact])
    apart = (avg_pool2d((first.lesion | second.lesion).float(), 21, 1, 10) == 0).expand(-1, 3, -1, -1)
    assert apart.sum() > 1000
    assert (first.images["rgb"] - second.images["rgb"])[apart].abs().max() < 0.02


def test_lesions_show_where_they_are():
    made = skin.phantoms(range(21), size=64, seed=0, labels=[i // 3 for i in range(21)], cameras=[0] * 21)
    red, green, _ = made.images["rgb"].unbind(1)
    hidden = made.share("hair", "ruler")[:, 0] > 0.1
    for i, kind in enumerate(made.labels.tolist()):
        within, without = made.lesion[i, 0] & ~hidden[i], ~made.lesion[i, 0] & ~hidden[i]
        if kind in (skin.NAEVUS, skin.MELANOMA, skin.KERATOSIS, skin.VASCULAR):
            assert green[i][within].mean() < green[i][without].mean() - 0.02
        if kind == skin.VASCULAR:
            assert (red - green)[i][within].mean() > (red - green)[i][without].mean() + 0.05
        present, x, y, radius = made.lesions[i, 0].tolist()
        assert present == 1
        rows, columns = made.lesion[i, 0].nonzero(as_tuple=True)
        pixel = skin.FOV / 64
        assert abs((columns.float().mean() + 0.5) * pixel - skin.FOV / 2 - x) < 0.8 * radius
        assert abs((rows.float().mean() + 0.5) * pixel - skin.FOV / 2 - y) < 0.8 * radius


def test_hair_is_dark_on_light_skin_and_counted():
    made = skin.phantoms(range(120), size=64, seed=0, cameras=0)
    hair = made.share("hair")[:, 0]
    seen = hair.flatten(1).sum(dim=1) > 0
    assert not seen[made.facts["hairs"] == 0].any()
    assert seen[made.facts["hairs"] > 3].all()
    amount, hairs = hair.mean(dim=(1, 2)), made.facts["hairs"]
    assert amount[hairs > 10].mean() > 1.7 * amount[(hairs > 1) & (hairs < 6)].mean()
    # Half of a pixel is hair where two of its four fine ones are a quarter to wholly covered. On average that
    # is 0.6 of these two, 0.3 of the pixel, and 0.88 * 0.3 = 0.26 of its light; a hair sends a tenth of that
    # back. With 0.24 less light the code e of the grey level falls by (1 - 0.76^(1/2.4)) (e + 0.055), which
    # is 0.06 on fair skin, where e > 0.5, and 0.12 in [-1, 1]. Compared with the skin within three pixels.
    green, bare = made.images["rgb"][:, 1], made.share("skin")[:, 0] == 1
    contrasts = []
    for i in ((made.facts["ita"] > 30) & seen).nonzero()[:, 0]:
        here = (hair[i] >= 0.5) & (made.share("lesion")[i, 0] == 0)
        near = (max_pool2d(here[None, None].float(), 7, 1, 3)[0, 0] > 0) & bare[i]
        if here.sum() > 10:
            contrasts.append(green[i][here].mean() - green[i][near].mean())
    assert len(contrasts) > 3
    assert torch.stack(contrasts).mean() < -0.12
    assert torch.equal(made.share("ruler").flatten(1).sum(dim=1) > 0, made.facts["ruler"] == 1)


def test_some_have_hair_and_few_a_ruler(monkeypatch):
    """Hair 0.5 * 16 / 17 = 0.47, rulers 0.12: of 400, with standard deviations of 0.025 and 0.016."""
    monkeypatch.setattr(skin, "FINE", 16)
    facts = skin.phantoms(range(400), size=16, seed=0, contrasts=()).facts
    assert (facts["hairs"] > 0).float().mean() == pytest.approx(0.47, abs=0.1)
    assert facts["ruler"].float().mean() == pytest.approx(0.12, abs=0.065)


def test_melanomas_are_more_irregular_than_naevi():
    def facts(kind):
        made = skin.phantoms(range(20), size=64, seed=0, labels=[kind] * 20, cameras=[0] * 20)
        mask = made.lesion[:, 0].float()
        area = mask.sum(dim=(1, 2))
        edge = (mask[:, 1:] != mask[:, :-1]).sum(dim=(1, 2)) + (mask[:, :, 1:] != mask[:, :, :-1]).sum(
            dim=(1, 2)
        )
        spread = [made.images["rgb"][i, :, made.lesion[i, 0]].std(dim=1).mean() for i in range(20)]
        return (edge**2 / area).mean(), torch.stack(spread).mean(), made.severity

    smooth, plain, none = facts(skin.NAEVUS)
    ragged, coloured, severity = facts(skin.MELANOMA)
    assert ragged > 1.2 * smooth
    assert coloured > 1.2 * plain
    assert none.max() == 0
    assert severity.min() > 0
    assert severity.max() <= 1


def test_skin_has_every_tone():
    """The classes of Chardon et al. 1991: all six among sixty people."""
    ita = skin.phantoms(range(60), size=16, seed=0).facts["ita"]
    counts = torch.histogram(ita, torch.tensor([-90.0, -30.0, 10.0, 28.0, 41.0, 55.0, 90.0])).hist
    assert counts.min() >= 2
    assert counts.sum() == 60


def test_typology_angle():
    # Grey has b* = 0: above L* = 50 it is 90 degrees, below -90.
    assert abs(skin.typology_angle(torch.tensor([0.5, 0.5, 0.5])) - 90) < 0.1
    assert abs(skin.typology_angle(torch.tensor([0.05, 0.05, 0.05])) + 90) < 0.5
    color = pytest.importorskip("skimage.color")
    srgb = torch.rand(20, 3, generator=torch.Generator().manual_seed(0)).sort(dim=1, descending=True).values
    linear = torch.where(srgb <= 0.04045, srgb / 12.92, ((srgb + 0.055) / 1.055) ** 2.4)
    lightness, _, b = torch.from_numpy(color.rgb2lab(srgb.double().numpy())).unbind(1)
    assert torch.allclose(
        skin.typology_angle(linear).double(), torch.rad2deg(torch.atan2(lightness - 50, b)), atol=0.1
    )


def test_surrogate_has_the_layout_of_dermamnist():
    images = skin.render([5, 6, 4], size=28, seed=0, first=7)
    assert images.shape == (3, 28, 28, 3)
    assert images.dtype == torch.uint8
    assert torch.equal(images[1], skin.render([6], size=28, seed=0, first=8)[0])
    assert sorted(skin.DERMAMNIST) == list(range(7))


def test_subjects_differ():
    pictures = skin.phantoms(range(12), size=32, seed=0, labels=[0] * 12).images["rgb"].flatten(1)
    assert (torch.cdist(pictures, pictures) + 1e9 * torch.eye(12)).min() > 3


def violet(made):
    """Return for each subject the share of its lesion that is more blue than green."""
    _, green, blue = made.images["rgb"].unbind(1)
    within = made.lesion[:, 0] & (made.share("lesion")[:, 0] == 1)
    return ((blue > green) & within).sum(dim=(1, 2)) / within.sum(dim=(1, 2)).clamp_min(1)


def test_a_third_of_melanomas_has_a_veil():
    share = violet(skin.phantoms(range(48), size=64, seed=0, labels=[1] * 48, cameras=0))
    assert 0.02 < (share > 0.03).float().mean() < 0.4
    assert share.max() < 0.7
    assert violet(skin.phantoms(range(24), size=64, seed=0, labels=[0] * 24, cameras=0)).max() == 0


def test_a_dermatofibroma_has_a_ring_of_pigment():
    """Around its pale middle it is darker than there, and than the skin."""
    made = skin.phantoms(range(24), size=128, seed=0, labels=[5] * 24, cameras=0)
    x, y = skin.grid(128, skin.FOV)
    green, clear = made.images["rgb"][:, 1], made.share("hair", "ruler")[:, 0] == 0
    row = made.lesions[:, 0, :, None, None]
    from_middle = ((x - row[:, 1]) ** 2 + (y - row[:, 2]) ** 2).sqrt() / row[:, 3]

    def mean(least, most):
        where = (from_middle >= least) & (from_middle < most) & clear
        return (green * where).sum(dim=(1, 2)) / where.sum(dim=(1, 2))

    middle, ring, skin_around = mean(0, 0.25), mean(0.65, 0.9), mean(1.5, 1.8)
    assert (middle > ring + 0.05).float().mean() > 0.8
    assert (ring < skin_around - 0.02).float().mean() > 0.9


def test_pale_cysts_are_few():
    made = skin.phantoms(range(24), size=128, seed=0, labels=[2] * 24, cameras=0)
    green = made.images["rgb"][:, 1]
    within = made.lesion[:, 0] & (made.share("hair", "ruler")[:, 0] == 0)
    spots = [
        (green[i][within[i]] > green[i][within[i]].median() + 0.25).float().mean().item() for i in range(24)
    ]
    assert sum(spots) / 24 < 0.02


@pytest.mark.parametrize(
    ("wrong", "said"),
    [
        ({"contrasts": ("low",)}, "no contrast 'low'"),
        ({"labels": [7]}, "Label 7 is no class"),
        ({"labels": [-1]}, "Label -1 is no class"),
        ({"labels": [0.5]}, "not a whole number"),
        ({"cameras": [0, 1]}, "1 subjects but 2 of cameras"),
        ({"cameras": [3]}, "from 0 to 2"),
        ({"cameras": [0.5]}, "whole numbers from 0 to 2"),
        ({"size": 8}, "at least 16"),
        ({"size": -1}, "size is -1"),
        ({"subjects": []}, "no subjects"),
    ],
)
def test_mistakes_are_named(wrong, said):
    with pytest.raises(CourseError, match=said):
        skin.phantoms(**({"subjects": [0], "size": 32, "seed": 0} | wrong))


@pytest.mark.parametrize("wrong", [[99], [-1], [0.5], []])
def test_the_stand_in_has_no_other_classes(wrong):
    with pytest.raises(CourseError):
        skin.render(wrong, size=28, seed=0)


def test_subjects_may_come_one_by_one():
    made = skin.phantoms((i for i in range(2)), size=16, seed=0, labels=iter([1, 2]))
    assert made.subject.tolist() == [0, 1]
    assert "sRGB" in made.scales["rgb"].unit
