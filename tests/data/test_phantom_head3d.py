"""The whole head: one anatomy in three dimensions, with the contrasts and the truth of the slices."""

import pytest
import torch

from medgan_course.data.phantom import head


@pytest.fixture(scope="module")
def population():
    return head.phantoms(range(3), size=24, seed=0, labels=[0, 1, 1], contrasts=head.CONTRASTS, dim=3)


def test_shapes_and_ranges(population):
    for name, image in population.images.items():
        assert image.shape == (3, 1, 24, 24, 24)
        assert -1 <= image.min() < image.max() <= 1, name
    torch.testing.assert_close(population.tissues.sum(dim=1), torch.ones(3, 24, 24, 24))
    assert population.lesions.shape == (3, head.MAX_LESIONS + 1, len(population.lesion_columns))
    assert population.lesion_columns == (
        "present", "x", "y", "z", "radius_x", "radius_y", "radius_z", "kind", "strength",
    )  # fmt: skip
    assert population.facts["tumour"].shape == (3, 8)


def test_a_subject_is_the_same_in_every_batch(population):
    alone = head.phantoms([2], size=24, seed=0, labels=[1], contrasts=("fdg", "t1"), dim=3)
    for name in ("fdg", "t1"):
        assert torch.equal(alone.images[name][0], population.images[name][2])
    assert torch.equal(alone.tissues[0], population.tissues[2])


def test_it_is_one_body_and_no_stack_of_slices(population):
    """The map changes as little from slice to slice as from row to row or column to column."""
    whole = population.label_map
    changes = [(whole.diff(dim=axis) != 0).float().mean() for axis in (1, 2, 3)]
    assert max(changes) < 1.5 * min(changes)


def test_it_stands_upright(population):
    """Air above the vertex, the neck at the bottom; ventricles above the brain stem; cerebellum behind it."""
    whole = population.label_map
    assert (whole[:, 0] == head.AIR).all()
    # Through the neck: of what is not air, muscle has the most.
    neck = population.tissues[:, 1:, -1].sum(dim=(0, 2, 3))
    assert neck.argmax() + 1 == head.MUSCLE
    height = torch.arange(24.0).view(1, -1, 1, 1)
    back = torch.arange(24.0).view(1, 1, -1, 1)
    brain = population.share("grey", "white")[:, 0]
    ventricle = population.share("ventricle")[:, 0]
    lowest = brain * (
        height > (brain * height).sum((1, 2, 3)).div(brain.sum((1, 2, 3))).view(-1, 1, 1, 1) + 5
    )
    assert ((ventricle * height).sum((1, 2, 3)) / ventricle.sum((1, 2, 3)) < 15).all()
    behind = (lowest * back).sum((1, 2, 3)) / lowest.sum((1, 2, 3))
    assert (behind > (brain * back).sum((1, 2, 3)) / brain.sum((1, 2, 3)) + 1).all()


def test_volumes_are_those_of_heads(population):
    """The brain has 0.85 to 1.25 l, half of it grey, the ventricles 5 to 100 ml."""
    ml = population.tissues.sum(dim=(2, 3, 4)) * (head.FOV / 24) ** 3 / 1000
    grey, white = ml[:, head.GREY] + ml[:, head.NUCLEI], ml[:, head.WHITE] + ml[:, head.LESION]
    assert ((grey + white > 850) & (grey + white < 1250)).all()
    assert ((grey / (grey + white) > 0.35) & (grey / (grey + white) < 0.65)).all()
    assert ((ml[:, head.VENTRICLE] > 5) & (ml[:, head.VENTRICLE] < 100)).all()


def test_illness_leaves_the_rest_of_the_anatomy(population):
    well = head.phantoms([1], size=24, seed=0, contrasts=(), dim=3, labels=[0])
    others = [k for k in range(len(head.TISSUES)) if k not in (head.WHITE, head.LESION)]
    assert torch.equal(well.tissues[0, others], population.tissues[1, others])
    assert population.tissues[1, head.LESION].sum() > 0.5
    assert not well.lesion.any()


def test_a_tumour_enhances_and_pushes_in_three_dimensions():
    well, ill = (
        head.phantoms([4], size=24, seed=0, contrasts=("t1gd",), tumour=flag, dim=3) for flag in (False, True)
    )
    assert ill.share("tumour", "necrosis", "oedema").sum() > 5
    x, y, z, radius = ill.facts["tumour"][0, 1:5].tolist()
    side, centre = head.FOV / 24, (head.FOV - head.FOV / 24) / 2
    sick = ill.share("tumour", "necrosis")[0, 0] > 0.3
    found = (sick.nonzero().float() * side - centre).mean(dim=0)
    assert abs(found[2].item() - x) < 15
    assert abs(found[1].item() - y) < 15
    assert abs(-found[0].item() - z) < 20
    assert sick.sum() * side**3 == pytest.approx(4.19 * radius**3, rel=0.7)
    assert (ill.tissues[:, head.VENTRICLE] != well.tissues[:, head.VENTRICLE]).any()


def test_severity_widens_the_ventricles_step_by_step():
    subjects = [
        head.phantoms([0], size=16, seed=0, contrasts=(), severity=[s], dim=3) for s in (0.0, 0.5, 1.0)
    ]
    for names in (("ventricle",), ("ventricle", "csf")):
        amounts = torch.stack([each.share(*names).sum() for each in subjects])
        assert (amounts.diff() > 0.1 * amounts[0]).all()


def test_ears_stand_off_the_head_at_the_height_of_the_eyes():
    """On a line inwards through the back of an ear: air, skin, air, skin; higher up only once skin."""
    size = 48
    made = head.phantoms([1], size=size, seed=0, labels=[0], contrasts=(), dim=3).label_map
    height = (torch.arange(size) + 0.5) / size * -head.FOV + head.FOV / 2

    def most(low, high):
        """Return how often, at most, a line from the left to the middle goes from air into the head."""
        planes = made[:, (height > low) & (height < high), :, : size // 2] != head.AIR
        return (
            planes.int()
            .diff(dim=-1)
            .clamp_min(0)
            .sum(dim=-1)[..., int(0.41 * size) : int(0.81 * size)]
            .amax()
        )

    assert most(-60, -40) == 2
    assert most(20, 60) == 1


def test_the_fourth_ventricle_lies_behind_the_stem_and_eyes_are_water(monkeypatch):
    seen = {}

    class Seen(head._Below):
        def __init__(self, *given):
            super().__init__(*given)
            seen["below"], seen["z"] = self, given[3]

    def counted(painted, kinds, factor):
        seen.setdefault("painted", painted)
        return shares(painted, kinds, factor)

    shares = head.shares
    monkeypatch.setattr(head, "_Below", Seen)
    monkeypatch.setattr(head, "shares", counted)
    head.phantoms([0], size=32, seed=0, dim=3, contrasts=(), severity=1.0)
    painted, below = seen["painted"], seen["below"]
    ventricle = painted == head.VENTRICLE
    assert not (ventricle & (below.stem > 0)).any()
    assert (ventricle & (seen["z"] < -28)).sum() > 20
    eyes = painted[below.eyes]
    assert (eyes == head.CSF).float().mean() > 0.9
    assert (painted[below.orbits & ~below.eyes] == head.FAT).float().mean() > 0.4
    neck = painted[below.marrow]
    assert (neck == head.MARROW).float().mean() > 0.8
