"""Every set has a stand-in that is like it: shapes, labels, their order, masks, objects, subjects, units."""

import math

import pytest
import torch
from torch.nn.functional import avg_pool2d

from medgan_course import data
from medgan_course.data import command, surrogate
from medgan_course.data.phantom import (
    abdomen,
    cells,
    chest,
    head,
    histology,
    oct,
    retina,
    shapes3d,
    skin,
)

SETS = [name for name in data.names() if data.card(name).files]
MASKS = {"busi": 1, "chase": 2, "hippocampus": 2, "nuclei": 1, "openms": 1, "openms3d": 1}


@pytest.fixture
def few(monkeypatch):
    """Make stand-ins of a dozen images or two volumes, or as many as there are classes."""
    monkeypatch.setattr(surrogate, "MOST", {2: 12, 3: 2})
    surrogate.arrays.cache_clear()
    yield
    surrogate.arrays.cache_clear()


def smallest(name):
    card = data.card(name)
    return min(card.files), min(card.images, key=card.images.__getitem__)


@pytest.mark.usefixtures("few", "empty_home", "no_network")
@pytest.mark.parametrize("name", SETS)
def test_stand_in_is_what_the_card_says(name, capsys):
    card = data.card(name)
    size, split = smallest(name)
    made = data.load(name, size=size, split=split, download=False)
    assert made.is_surrogate
    assert "computed phantoms" in made.source
    assert "SURROGATE DATA" in capsys.readouterr().err
    n, classes, real = len(made), len(card.class_names), card.images[split]
    assert n == min(max(12 if card.dim == 2 else 2, 1 if card.multi_label else classes), real)
    assert (f"{n:,} for {real:,} images" in made.source) is (n < real)
    space = [size] * card.dim
    assert made.images.shape == (n, card.channels, *space)
    assert made.images.dtype == torch.float32
    assert made.images.abs().max() <= 1
    assert made.images.flatten(1).std(dim=1).min() > 0.02  # none is empty
    assert made.scale == card.scale

    assert made.labels.dtype == torch.int64
    shares = torch.tensor(card.counts[split]) / real
    if card.multi_label:
        assert made.labels.shape == (n, classes)
        found = made.labels.sum(dim=0)
    else:
        found = made.labels.bincount(minlength=classes)
    assert found.min() >= 1
    # A class that would have none takes its one from the others.
    rare = (shares * n < 1).sum()
    assert ((found - shares * n).abs() <= 1 + rare).all()

    assert (0 if made.mask is None else made.mask.shape[1]) == MASKS.get(name, 0)
    if made.mask is not None:
        assert made.mask.dtype == torch.bool
        assert made.mask.shape[2:] == made.images.shape[2:]
        assert made.mask.any()
    assert (made.instances is not None) is (name == "nuclei")
    if made.instances is not None:
        assert made.instances.dtype == torch.int32
        assert (made.instances > 0).equal(made.mask)
        assert made.instances.flatten(1).amax(dim=1).min() > 1
    assert (made.spacing is not None) is (name == "tcga_lung_ct")
    assert made.subject.dtype == torch.int64
    assert len(made.subject.unique()) == (math.ceil(n / 2) if name == "chase" else n)


@pytest.mark.usefixtures("few")
@pytest.mark.parametrize("name", SETS)
def test_stand_in_is_like_the_real_set(name):
    """Whatever a loaded file has, the stand-in has, in the same form."""
    size, split = smallest(name)
    card = data.card(name)
    if command.locate(card.file(size)) is None:
        pytest.skip(f"{card.title} is not on this machine")
    real = data.load(name, size=size, split=split, download=False)
    made = surrogate.arrays(name, size, split)
    assert made.labels.unique().equal(real.labels.unique())
    for field in ("mask", "instances", "spacing"):
        theirs, ours = getattr(real, field), getattr(made, field)
        assert (theirs is None) is (ours is None), field
        if theirs is not None:
            assert theirs.dtype == ours.dtype
            channels = theirs.shape[1] if field == "mask" and theirs.shape[1] > 1 else None
            assert channels in (None, ours.shape[1])
    assert real.subject is None or made.subject is not None


def test_what_a_phantom_returns_is_told_apart_by_its_type(monkeypatch):
    objects = torch.tensor([[[0, 1], [2, 2]]], dtype=torch.int32)
    pixels, spacing, whose = torch.zeros(1, 2, 2), torch.ones(1, 2), torch.tensor([7])
    drawn = pixels.byte(), spacing, objects, whose
    monkeypatch.setattr(histology, "render_nuclei", lambda labels, **rest: drawn)
    made = surrogate.render(data.card("nuclei"), 2, torch.tensor([0]))
    assert made.mask.tolist() == [[[False, True], [True, True]]]
    assert made.instances is objects
    assert made.spacing is spacing
    assert made.subject is whose
    first, second = torch.tensor([[[True]]]), torch.tensor([[[False]]])
    monkeypatch.setattr(histology, "render_nuclei", lambda labels, **rest: (pixels, first, second))
    made = surrogate.render(data.card("nuclei"), 1, torch.tensor([0]), first=5)
    assert made.mask.tolist() == [[[[True]], [[False]]]]
    assert made.subject.tolist() == [5]
    assert made.instances is made.spacing is None


@pytest.mark.usefixtures("empty_home", "no_network")
def test_two_eyes_of_a_child_are_one_subject(monkeypatch):
    monkeypatch.setattr(retina, "FINE", 16)
    children = []
    for split in ("train", "test"):
        eyes = data.load("chase", size=64, split=split, download=False)
        for child in eyes.subject.unique():
            assert sorted(eyes.labels[eyes.subject == child].tolist()) == [0, 1]
        children.append(set(eyes.subject.tolist()))
    assert [len(each) for each in children] == [10, 4]
    assert not children[0] & children[1]


@pytest.mark.parametrize(
    ("size", "dim", "most"),
    [(28, 2, 2000), (64, 2, 2000), (128, 2, 500), (256, 2, 125), (64, 3, 200), (128, 3, 25)],
)
def test_large_images_are_fewer(size, dim, most, monkeypatch):
    asked = []
    monkeypatch.setattr(surrogate, "population", lambda card, split, n: (asked.append(n), 0))
    monkeypatch.setattr(surrogate, "render", lambda *arguments, first: None)
    surrogate.arrays.cache_clear()
    surrogate.arrays("pathmnist" if dim == 2 else "synapsemnist3d", size, "train")
    surrogate.arrays.cache_clear()
    assert asked == [most]


def test_every_class_has_one_even_of_fewer_than_classes():
    labels, _ = surrogate.population(data.card("organamnist"), "train", most=3)
    assert sorted(labels.tolist()) == list(range(11))


def test_shares_of_classes_by_largest_remainder():
    """Of 70, 20 and 10 in 100, 15 are 10.5, 3 and 1.5: 10, 3 and 1, and one more for the first half."""
    assert surrogate._shared((70, 20, 10), 100, 15) == [11, 3, 1]
    assert surrogate._shared((97, 2, 1), 100, 10) == [8, 1, 1]  # of 9.7, 0.2 and 0.1
    assert surrogate._shared((5, 0), 5, 2) == [2, 0]


class TestLabelOrder:
    """What a label means in the phantoms is what MedMNIST's own table says that it means."""

    @pytest.fixture
    def names(self, published):
        return {name: list(entry["label"].values()) for name, entry in published.items()}

    def test_lists_of_names(self, names):
        assert list(oct.CLASSES) == names["octmnist"]
        assert list(chest.FINDINGS) == names["chestmnist"]
        assert list(chest.CLASSES) == names["pneumoniamnist"]
        assert (
            list(abdomen.CLASSES_2D) == names["organamnist"] == names["organcmnist"] == names["organsmnist"]
        )
        assert list(abdomen.CLASSES_3D) == names["organmnist3d"]

    def test_tissues_of_the_colon(self, names):
        ours = {
            "normal mucosa": "normal colon mucosa",
            "tumour epithelium": "colorectal adenocarcinoma epithelium",
        }
        assert [ours.get(kind, kind) for kind in histology.CLASSES] == names["pathmnist"]

    def test_lesions_of_the_skin(self, names):
        ours = {
            "actinic keratosis": "actinic keratoses and intraepithelial carcinoma",
            "basal cell carcinoma": "basal cell carcinoma",
            "seborrhoeic keratosis": "benign keratosis-like lesions",
            "dermatofibroma": "dermatofibroma",
            "melanoma": "melanoma",
            "naevus": "melanocytic nevi",
            "vascular lesion": "vascular lesions",
        }
        assert [ours[skin.CLASSES[kind]] for kind in skin.DERMAMNIST] == names["dermamnist"]

    def test_blood_cells(self, names):
        """By what each is known for: granules, lobes of the nucleus, size."""
        kinds = dict(zip(names["bloodmnist"], cells.BLOOD, strict=True))

        def most(what):
            return max(kinds, key=lambda name: what(kinds[name]))

        assert most(lambda kind: kind.red_granules) == "eosinophil"
        assert most(lambda kind: kind.purple_granules) == "basophil"
        assert most(lambda kind: kind.lobes[1]) == "neutrophil"
        assert most(lambda kind: kind.radius) == "monocyte"
        assert most(lambda kind: -kind.radius) == "platelet"
        assert most(lambda kind: kind.lobe / kind.radius if kind.lobes == (1, 1) else 0) == "lymphocyte"
        assert most(lambda kind: kind.nucleus) == "erythroblast"  # the densest nucleus
        (rest,) = (name for name in kinds if name.startswith("immature granulocytes"))
        assert kinds[rest].radius > kinds["neutrophil"].radius
        assert 0 < kinds[rest].purple_granules < kinds["basophil"].purple_granules

    def test_nuclei_of_the_kidney(self, names):
        kinds = dict(zip(names["tissuemnist"], cells.KIDNEY, strict=True))
        assert {name for name, kind in kinds.items() if kind.tubule} == {
            "Collecting Duct, Connecting Tubule",
            "Distal Convoluted Tubule",
            "Proximal Tubule Segments",
            "Thick Ascending Limb",
        }
        assert max(kinds, key=lambda name: kinds[name].tubule) == "Proximal Tubule Segments"
        assert max(kinds, key=lambda name: kinds[name].taken) == "Distal Convoluted Tubule"
        assert max(kinds, key=lambda name: kinds[name].bright) == "Leukocytes"
        thin = sorted(kinds, key=lambda name: kinds[name].long / kinds[name].short)
        assert thin[-2:] == ["Glomerular endothelial cells", "Interstitial endothelial cells"]


class TestLevels:
    """Slices in the place of the lung CT."""

    def test_units(self):
        hu, spacing = abdomen.render_levels([0, 1] * 4, size=64, seed=0)
        assert hu.dtype == torch.int16
        assert hu.min() >= -1024
        assert ((spacing * 64 >= 320) & (spacing * 64 <= 440)).all()
        corners = hu[:, :3, :3].float()  # air, with noise of 5 to 11 HU
        torch.testing.assert_close(corners.mean(), torch.tensor(-1000.0), atol=5, rtol=0)
        assert hu.amax(dim=(1, 2)).min() > 400  # bone

    def test_contrast_medium_brightens_blood_and_leaves_air_alone(self):
        without, _ = abdomen.render_levels([0] * 8, size=64, seed=0)
        given, _ = abdomen.render_levels([1] * 8, size=64, seed=0)
        gained = (given - without).float()
        assert gained[without < -950].abs().max() == 0
        assert 60 < gained.flatten(1).amax(dim=1).max() <= 150 * 1.2 + 1  # at most the cortex of the kidney

    def test_a_subject_is_the_same_in_every_batch(self):
        together, spacing = abdomen.render_levels([0, 1] * 5, size=32, seed=3)
        alone, own = abdomen.render_levels([1], size=32, seed=3, first=9)
        assert torch.equal(alone[0], together[9])
        assert torch.equal(own[0], spacing[9])

    def test_lungs_have_vessels(self):
        hu, _ = abdomen.render_levels([1] * 4, size=128, seed=0)
        lung = ((hu > -950) & (hu < -780)).float()[:, None]
        around = avg_pool2d(lung, 7, stride=1, padding=3)[:, 0] > 0.6
        spots = ((hu > -500) & around).flatten(1).sum(dim=1)
        assert spots.max() > 10


class TestHippocampus:
    def test_two_parts_darker_than_the_white_matter_around(self):
        images, anterior, posterior = shapes3d.render_hippocampus([0] * 6, size=32, seed=0)
        assert images.shape == anterior.shape == posterior.shape == (6, 32, 32, 32)
        assert images.dtype == torch.uint8
        assert not (anterior & posterior).any()
        for image, front, back in zip(images, anterior, posterior, strict=True):
            place = [part.nonzero().float().mean(dim=0) for part in (front, back)]
            assert place[0][1] < place[1][1] - 4  # axes go up, back, left
            assert place[0][0] < place[1][0]
            # In mm3; the real ones have 1,300 to 2,200 each.
            assert 600 < 8 * front.sum() < 3500
            assert 600 < 8 * back.sum() < 3500
            inside = image[front | back].float().mean()
            assert inside < image[image > 0].float().quantile(0.75)
            assert not image[0].any()  # black around its box
            assert not image[:, :, -1].any()

    def test_a_subject_is_the_same_in_every_batch(self):
        together = shapes3d.render_hippocampus([0] * 3, size=32, seed=3)
        alone = shapes3d.render_hippocampus([0], size=32, seed=3, first=2)
        assert all(torch.equal(one[0], many[2]) for one, many in zip(alone, together, strict=True))


def test_volumes_of_heads_go_up_and_all_are_ill():
    images, lesion = head.render_volumes([0], size=32, seed=0, first=5)
    made = head.phantoms(
        [5], size=32, seed=0, labels=[1], contrasts=("flair",), stripped=True, fov=192.0, dim=3
    )
    flair = ((made.images["flair"][0, 0] + 1) * 127.5).round().to(torch.uint8)
    assert torch.equal(images[0, :, :, :, 3], flair.flip(0))
    assert torch.equal(lesion[0], made.lesion[0, 0].flip(0))
    assert images.shape == (1, 32, 32, 32, 4)
