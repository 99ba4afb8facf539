"""The forearm phantom: line integrals against closed forms; cast and fracture change only their own."""

import math

import pytest
import torch

from medgan_course.data.phantom import xray
from medgan_course.errors import CourseError


@pytest.fixture(scope="module")
def pair():
    """Return the same 16 forearms whole and broken."""
    return tuple(xray.phantoms(range(16), size=64, seed=0, labels=[label] * 16) for label in (0, 1))


def test_beer_lambert_through_three_slabs():
    """At 60 keV e^-(0.217 x 10 + 0.053 x 8 + 0.604 x 1.5): NIST's coefficients times ICRU's densities."""
    mu = xray.attenuation(60)
    passed = xray.transmission(torch.tensor(mu["soft tissue"] * 10 + mu["lung"] * 8 + mu["bone"] * 1.5))
    assert passed.item() == pytest.approx(math.exp(-(2.171 + 0.427 + 0.9066)), rel=1e-3)


def test_half_value_layer_of_water():
    """At 60 keV about 3.4 cm of water (0.206 per cm) halve the beam; soft tissue is 5 % denser."""
    halved = xray.transmission(torch.tensor(xray.attenuation(60)["soft tissue"] * math.log(2) / 0.206))
    assert halved.item() == pytest.approx(0.5, abs=0.02)


def test_bone_attenuates_more_at_40_keV_than_at_60():
    assert xray.attenuation(40)["bone"] / xray.attenuation(60)["bone"] == pytest.approx(2.114, rel=1e-3)


def test_chord_and_volume_of_an_ellipsoid():
    side, a, b, depth = 400, 0.8, 0.5, 3.0
    centres = (torch.arange(side) + 0.5) * 2 / side - 1
    y, x = torch.meshgrid(centres, centres, indexing="ij")
    chord = xray.ellipsoid(x, y, a, b, depth)
    assert chord.max().item() == pytest.approx(2 * depth, rel=1e-4)
    assert chord[(x / a) ** 2 + (y / b) ** 2 > 1].abs().max() == 0
    volume = chord.sum().item() * (2 / side) ** 2
    assert volume == pytest.approx(4 / 3 * math.pi * a * b * depth, rel=1e-3)


@pytest.mark.parametrize("turn", [0.0, 0.4, math.pi / 2])
def test_chord_of_a_turned_tube(turn):
    """Counted on a fine grid: the length of every line x = const inside a turned ellipse; area pi a b."""
    a, b, step = 5.0, 2.0, 0.01
    x = torch.linspace(-6, 6, 61)
    z = torch.arange(-6, 6, step)
    px, pz = torch.meshgrid(x, z, indexing="ij")
    along, across = px * math.cos(turn) - pz * math.sin(turn), px * math.sin(turn) + pz * math.cos(turn)
    counted = ((along / a) ** 2 + (across / b) ** 2 < 1).sum(dim=1) * step
    chord = xray.tube(x, torch.tensor(a), torch.tensor(b), torch.tensor(turn))
    assert (chord - counted).abs().max() < 0.03
    fine = torch.linspace(-6, 6, 6001)
    area = xray.tube(fine, torch.tensor(a), torch.tensor(b), torch.tensor(turn)).sum() * 12 / 6000
    assert area.item() == pytest.approx(math.pi * a * b, rel=1e-3)


def test_a_tube_of_no_width_has_no_chord():
    chord = xray.tube(torch.zeros(2), torch.tensor([-1.0, 0.0]), torch.tensor([3.0, 3.0]), torch.tensor(0.0))
    assert chord.tolist() == [0.0, 0.0]


def test_a_subject_is_the_same_in_every_batch(monkeypatch):
    monkeypatch.setattr(xray, "CHUNK", 4)
    numbers = list(range(6))
    together = xray.phantoms(numbers, size=32, seed=3)
    backwards = xray.phantoms(numbers[::-1], size=32, seed=3)
    alone = xray.phantoms(numbers[-1:], size=32, seed=3, contrasts=("xray_cast",))
    for name in ("tissues", "lesion", "lesions", "labels", "severity"):
        torch.testing.assert_close(getattr(together, name), getattr(backwards, name).flip(0))
        torch.testing.assert_close(getattr(together, name)[-1:], getattr(alone, name))
    for name in xray.CONTRASTS:
        torch.testing.assert_close(together.images[name], backwards.images[name].flip(0))
    torch.testing.assert_close(alone.images["xray_cast"], together.images["xray_cast"][-1:])
    assert (together.images["xray"][0] - together.images["xray"][1]).abs().mean() > 0.03


def test_the_same_forearm_at_two_sizes(pair):
    large = xray.phantoms(range(4), size=128, seed=0, labels=[1] * 4)
    for key in ("thickness", "cast_thickness"):
        shrunk = torch.nn.functional.avg_pool2d(large.facts[key], 2)
        torch.testing.assert_close(shrunk, pair[1].facts[key][:4], atol=1e-5, rtol=1e-4)


def test_truth_is_consistent_with_the_image(pair):
    for truth in pair:
        torch.testing.assert_close(truth.tissues.sum(dim=1), torch.ones(16, 64, 64))
        thick = truth.facts["thickness"]
        assert (thick >= 0).all()
        assert thick.sum(dim=1).max() < 9  # cm
        air = truth.share("air")[:, 0] == 1
        assert thick.sum(dim=1)[air].max() < 1e-3
        bone = truth.share("radius", "ulna", "hand")[:, 0]
        assert thick[:, 3][bone > 0.99].min() > 0.01
        assert thick[:, 2:].sum(dim=1)[bone == 0].max() < 0.031  # a tenth of the 0.3 mm that count as bone


def test_the_image_is_the_line_integral(pair):
    """Off the bones little varies within a pixel, so image and thickness agree up to noise and scatter."""
    truth = pair[0]
    mu = xray.attenuation(40)
    depth = sum(mu[name] * truth.facts["thickness"][:, k] for k, name in enumerate(xray.MATERIALS))
    measured = truth.scales["xray"].restored(truth.images["xray"])[:, 0]
    inner = (truth.share("soft tissue")[:, 0] == 1) & (depth > 0.4)
    assert torch.corrcoef(torch.stack([depth[inner], measured[inner]]))[0, 1] > 0.95
    # Scatter fogs the image: the measured depth lies below the true one, and by less than all of it.
    ratio = (measured[inner] / depth[inner]).median()
    assert 0.8 < ratio < 1.0
    air = truth.share("air")[:, 0] == 1
    assert measured[air].mean() < 0.1


def test_the_cast_adds_attenuation_where_it_is_and_nowhere_else(pair):
    truth = pair[0]
    cast = truth.facts["cast_thickness"]
    assert (cast >= 0).all()
    assert (cast.amax(dim=(1, 2, 3)) > 0.6).all()
    depths = [truth.scales[name].restored(truth.images[name]) for name in xray.CONTRASTS]
    added = depths[1] - depths[0]
    thick = cast > 0.3
    clipped = truth.images["xray_cast"] == 1
    assert (added[thick & ~clipped] > 0).float().mean() > 0.97  # noise
    away = cast == 0
    assert added[away].abs().mean() < 0.05
    # A thicker wall at the edges than in the middle, as of any hollow tube.
    for kind, name in enumerate(xray.CASTS):
        chosen = (truth.facts["cast"] == kind)[:, None, None, None] & thick & ~clipped
        mu = xray.attenuation(40)[name]
        assert (added[chosen] / cast[chosen]).median() == pytest.approx(mu, rel=0.2)


def test_a_fracture_changes_only_what_lies_between_it_and_the_wrist(pair):
    whole, broken = pair
    assert not whole.lesion.any()
    assert (broken.lesion.sum(dim=(1, 2, 3)) > 2).all()
    assert broken.lesions[:, 0, 0].all()
    # What is marked lies around the places of the table: half of a bone's width is at most 15 mm, an oblique
    # line rises as far, and 4 mm beyond it are marked: 25 mm.
    x, y = xray.grid(64, xray.FOV)
    for i in range(16):
        rows = broken.lesions[i][broken.lesions[i, :, 0] == 1]
        away = torch.stack([((x - row[1]) ** 2 + (y - row[2]) ** 2).sqrt() for row in rows]).amin(dim=0)
        assert away[broken.lesion[i, 0]].max() < 25
        assert away[broken.lesion[i, 0]].min() < 4
    change = (broken.facts["thickness"] - whole.facts["thickness"]).abs().sum(dim=1) > 0.02
    rows = torch.arange(64)[:, None].expand(64, 64)
    for i in range(16):
        place = broken.lesion[i, 0].nonzero()[:, 0].float()
        changed = rows[change[i]].float()
        assert len(changed) > 0
        # 4 px are 7 mm; above, up to the wrist and a little more for a tilted forearm.
        assert changed.max() < place.max() + 4
        assert changed.min() > place.min() - 34
    torch.testing.assert_close(whole.facts["cast_thickness"], broken.facts["cast_thickness"])
    buckle = broken.lesions[:, 0, broken.lesion_columns.index("kind")] == 2
    displaced = broken.lesions[:, 0, broken.lesion_columns.index("displacement")]
    assert (displaced[buckle] == 0).all()
    assert (displaced[~buckle] >= 0.4).all()


def test_growth_plates_close_with_bone_age():
    young, grown = (
        xray.phantoms(range(8), size=64, seed=0, severity=[age] * 8, contrasts=()) for age in (0, 1)
    )
    assert (young.facts["growth_plate"] > 1).all()
    assert (grown.facts["growth_plate"] == 0).all()
    assert (young.facts["bone_age"] == 2).all()
    assert (grown.facts["bone_age"] == 18).all()
    # Every bone of the wrist is there in the end, one or two in the beginning.
    assert (grown.share("hand").sum(dim=(1, 2, 3)) > 1.3 * young.share("hand").sum(dim=(1, 2, 3))).all()
    assert young.images == {}


def test_labels_left_out_are_half_and_half():
    labels = torch.cat([xray.phantoms([i], size=16, seed=0, contrasts=()).labels for i in range(24)])
    assert 6 < labels.sum() < 18


def test_wrong_arguments():
    with pytest.raises(CourseError, match="no contrast 'cast': did you mean"):
        xray.phantoms([0], size=64, seed=0, contrasts=("cast",))
    with pytest.raises(CourseError, match="size is 8"):
        xray.phantoms([0], size=8, seed=0)
    with pytest.raises(CourseError, match="no subjects"):
        xray.phantoms([], size=64, seed=0)
    with pytest.raises(CourseError, match=r"Label 2 .* 0 \(no fracture\), 1"):
        xray.phantoms([0], size=64, seed=0, labels=[2])
    with pytest.raises(CourseError, match=r"severity is 1\.5"):
        xray.phantoms([0, 1], size=64, seed=0, severity=[0.5, 1.5])
    with pytest.raises(CourseError, match="2 subjects but 1 of severity"):
        xray.phantoms([0, 1], size=64, seed=0, severity=[0.5])
