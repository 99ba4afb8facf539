"""Of every family: a subject is one person, however computed, and the table says where it is ill."""

import pytest
import torch
from torch.utils.data import DataLoader, Dataset

from medgan_course.data.phantom import (
    abdomen,
    breast,
    chest,
    common,
    head,
    heart,
    histology,
    nodule,
    oct,
    retina,
    skin,
    xray,
)

CHEST = [[int(name == found) for name in chest.FINDINGS] for found in ("consolidation", "mass", "effusion")]
FAMILIES = {
    "head": (head, 64, head.FOV, {"labels": [1] * 3, "tumour": [True, False, False]}),
    "head3d": (head, 24, head.FOV, {"labels": [1, 1], "tumour": [True, False], "dim": 3}),
    "abdomen": (abdomen, 64, abdomen.FOV, {"labels": [1, 2, 3]}),
    "abdomen3d": (abdomen, 24, (abdomen.HEIGHT, *[abdomen.FOV] * 2), {"labels": [3], "dim": 3}),
    "heart": (heart, 64, heart.FOV, {"labels": [1] * 4, "level": 0.5}),
    "heart3d": (heart, 24, (heart.HEIGHT, *[heart.FOV] * 2), {"labels": [1], "dim": 3}),
    "nodule": (nodule, 64, nodule.FOV, {"labels": [0, 1]}),
    "nodule3d": (nodule, 28, nodule.FOV, {"labels": [0, 1], "dim": 3}),
    "retina": (retina, 96, retina.FIELD * retina.MM_PER_DEGREE, {"labels": [3] * 2}),
    "skin": (skin, 48, skin.FOV, {"labels": [0, 1, 2]}),
    "chest": (chest, 64, 1.0, {"findings": CHEST}),
    "breast": (breast, 64, 1.0, {"labels": [1, 2]}),
    "oct": (oct, 64, 1.0, {"labels": [0, 2]}),
    "histology": (histology, 48, histology.FOV, {"labels": [histology.TUMOUR], "magnified": 2.0}),
    "xray": (xray, 64, xray.FOV, {"labels": [1] * 3}),
}  # fmt: skip


def one_by_one(monkeypatch, module):
    monkeypatch.setattr(module, "CHUNK", {2: 1, 3: 1} if isinstance(module.CHUNK, dict) else 1)


def alike(one, other, tolerance):
    """Assert that subjects, whatever their order, have the same images and the same truth."""
    for i, number in enumerate(one.subject.tolist()):
        (j,) = (other.subject == number).nonzero()[:, 0].tolist()
        assert one.labels[i] == other.labels[j]
        for name in one.images:
            assert (one.images[name][i] - other.images[name][j].cpu()).abs().max() <= tolerance
        for mine, theirs in ((one.tissues, other.tissues), (one.lesions, other.lesions)):
            torch.testing.assert_close(mine[i], theirs[j].cpu(), atol=1e-4, rtol=1e-4)


# Those of three axes take the same way.
@pytest.mark.parametrize("family", [name for name in FAMILIES if not name.endswith("3d")])
def test_a_subject_is_the_same_whatever_the_order_and_the_number_of_threads(family, monkeypatch):
    module = FAMILIES[family][0]
    one_by_one(monkeypatch, module)
    threads = torch.get_num_threads()
    try:
        torch.set_num_threads(1)
        alone = module.phantoms(range(3), size=16, seed=5)
        torch.set_num_threads(3)
        several = module.phantoms([2, 0, 1], size=16, seed=5)
    finally:
        torch.set_num_threads(threads)
    alike(alone, several, 0)


class Heads(Dataset):
    def __len__(self):
        return 4

    def __getitem__(self, number):
        return head.phantoms([number], size=16, seed=5, contrasts=("t1",)).images["t1"][0]


def test_a_subject_is_the_same_whatever_the_number_of_workers():
    here, there = (torch.cat(list(DataLoader(Heads(), num_workers=n, batch_size=2))) for n in (0, 2))
    assert torch.equal(here, there)


@pytest.mark.skipif(not torch.cuda.is_available(), reason="there is no GPU")
@pytest.mark.parametrize("family", [name for name in FAMILIES if not name.endswith("3d")])
def test_a_subject_is_the_same_on_a_gpu(family):
    """Up to rounding, which may decide to which tissue a fine pixel belongs."""
    module = FAMILIES[family][0]
    here, there = (module.phantoms(range(3), size=32, seed=5, device=device) for device in ("cpu", "cuda"))
    for name in here.images:
        away = (here.images[name] - there.images[name].cpu()).abs()
        assert away.mean() < 1e-3
        assert (away > 0.01).float().mean() < 0.01


@pytest.mark.parametrize("family", FAMILIES)
def test_what_is_marked_lies_where_the_table_says(family):
    module, size, fov, given = FAMILIES[family]
    n = len(next(iter(given.values())))
    made = module.phantoms(range(n), size=size, seed=0, contrasts=(), **given)
    dim = made.lesion.ndim - 2
    place = made.lesion_columns.index
    present, *centre = made.lesions[..., : 1 + dim].unbind(-1)
    round_ = "radius" in made.lesion_columns
    radii = [made.lesions[..., place("radius" if round_ else f"radius_{axis}")] for axis in "xyz"[:dim]]
    assert made.lesion_columns[: 1 + dim] == ("present", *"xyz"[:dim])
    assert set(present.unique().tolist()) <= {0, 1}
    assert not made.lesions[present == 0].any()
    assert present[:, 0].all() or family in ("chest", "retina", "oct")
    fovs = [fov] * dim if isinstance(fov, float) else fov
    share = float(given.get("magnified", 1.0))
    found = made.lesion.nonzero()
    assert len(found)
    offs = torch.zeros(len(found), made.lesions.shape[1])
    for axis in range(dim):
        side = fovs[dim - 1 - axis] / share
        at = ((found[:, -1 - axis] + 0.5) / size - 0.5) * side * (-1 if axis == 2 else 1)
        subject = found[:, 0]
        # Twice the semi-axes and a pixel: what a ragged edge or a round end may stand out.
        reach = 2 * radii[axis][subject] + side / size
        offs = torch.maximum(offs, (at[:, None] - centre[axis][subject]).abs() / reach)
    far = torch.where(present[found[:, 0]] > 0, offs, torch.inf).amin(dim=1)
    assert (far < 1).float().mean() > 0.95


@pytest.mark.parametrize("dim", [2, 3])
def test_the_outline_of_an_ellipsoid(dim):
    axes, centre = (20.0, 11.0, 14.0)[:dim], (3.0, -7.0, 10.0)[:dim]
    places = common.grid(64, 80.0, dim=dim)
    far = sum(((place - at) / half) ** 2 for place, at, half in zip(places, centre, axes, strict=True))
    present, *got = common.outlined(torch.stack([far < 1, far < 0]), 80.0)
    assert present.flatten().tolist() == [True, False]
    expected = torch.tensor([*centre, *axes])
    assert (torch.cat(got, dim=1)[0] - expected).abs().max() < 80.0 / 64 / 4  # a quarter of a pixel
    assert common.outline_columns(dim)[: 1 + dim] == ("present", *"xyz"[:dim])


def test_a_box_of_unequal_sides_is_exact():
    """The variance along a side of length s is s^2 / 12: in two dimensions the semi-axis is s / sqrt(3)."""
    where = torch.zeros(1, 10, 20, dtype=torch.bool)
    where[:, 2:6, 10:15] = True
    _, x, y, radius_x, radius_y = common.outlined(where, (50.0, 40.0))
    assert (x.item(), y.item()) == (pytest.approx(5.0), pytest.approx(-5.0))
    assert (radius_x.item(), radius_y.item()) == (pytest.approx(10 / 3**0.5), pytest.approx(20 / 3**0.5))
