"""Volumes, colour, several labels, masks: every kind of set through the one call, file or phantom."""

from dataclasses import replace

import numpy as np
import pytest
import torch

from medgan_course import data
from medgan_course.data import catalogue, surrogate
from medgan_course.errors import CourseError

COUNTS = {"train": 6, "val": 3, "test": 4}


@pytest.fixture
def kind(tiny, empty_home, monkeypatch):
    """Return a function that makes the tiny set one of another kind, and writes its file."""
    monkeypatch.delenv("MEDGAN_DATA", raising=False)
    path = empty_home / ".medmnist" / "tinymnist.npz"

    def make(fields="", space=(28, 28), labels=None, file=True, **arrays):
        card = catalogue.FOLDER / "tinymnist.toml"
        tables = card.read_text().index("[counts]")
        text = card.read_text()
        card.write_text(text[:tables].replace("channels = 1\n", "") + fields + "\n" + text[tables:])
        rng = np.random.default_rng(1)
        changes = {
            f"{split}_images": rng.integers(0, 256, (n, *space), np.uint8) for split, n in COUNTS.items()
        }
        if file:
            tiny.write(path, **changes | (labels or {}) | arrays)
        return changes

    return make


def test_volumes(kind):
    stored = kind("channels = 1\ndim = 3", space=(28, 28, 28))
    train = data.load("tinymnist")
    assert train.images.shape == (6, 1, 28, 28, 28)
    expected = torch.from_numpy(stored["train_images"]).float()
    torch.testing.assert_close(train.restored()[:, 0], expected, atol=1e-4, rtol=0)
    assert "28 × 28 × 28 voxels" in repr(train)


def test_colour_volumes(kind):
    stored = kind("channels = 3\ndim = 3", space=(28, 28, 28, 3))
    images = data.load("tinymnist").restored()
    assert images.shape == (6, 3, 28, 28, 28)
    expected = torch.from_numpy(stored["train_images"]).float().movedim(-1, 1)
    torch.testing.assert_close(images, expected, atol=1e-4, rtol=0)


@pytest.mark.parametrize(
    ("fields", "space"), [("channels = 1", (28, 28, 28)), ("channels = 1\ndim = 3", (28, 28))]
)
def test_the_other_number_of_dimensions(kind, fields, space):
    kind(fields, space=space)
    with pytest.raises(CourseError, match=r"holds train images .* uint8, not \(6, 28, 28"):
        data.load("tinymnist")


@pytest.mark.parametrize(("channels", "space"), [(1, (28, 28, 3)), (3, (28, 28))])
def test_grey_and_colour_are_not_confused(kind, channels, space):
    kind(f"channels = {channels}", space=space)
    with pytest.raises(CourseError, match="holds train images"):
        data.load("tinymnist")


def several(split, n):
    labels = np.zeros((n, 2), np.uint8)
    first, second = {"train": (2, 4), "val": (1, 2), "test": (3, 1)}[split]
    labels[:first, 0] = labels[-second:, 1] = 1
    return labels


MULTI = "channels = 1\nmulti_label = true\nimages = {train = 6, val = 3, test = 4}"


def test_several_labels(kind):
    kind(MULTI, labels={f"{split}_labels": several(split, n) for split, n in COUNTS.items()})
    train = data.load("tinymnist")
    assert train.labels.dtype == torch.int64
    assert train.labels.tolist() == several("train", 6).tolist()
    assert "0 well (2), 1 ill (4); any number of them" in repr(train)
    assert next(iter(train.batches(2))).labels.shape == (2, 2)


def test_several_labels_with_a_wrong_number_of_them(kind):
    labels = {f"{split}_labels": several(split, n) for split, n in COUNTS.items()}
    labels["train_labels"][0, 0] = 0
    kind(MULTI, labels=labels)
    with pytest.raises(CourseError, match="does not hold the train labels"):
        data.load("tinymnist")


def test_a_balance_that_nobody_confirmed_is_not_insisted_on(kind):
    labels = np.array([0, 0, 0, 0, 0, 1], np.uint8)[:, None]
    kind("channels = 1\nbalance_confirmed = false", train_labels=labels)
    assert data.load("tinymnist").labels.bincount().tolist() == [5, 1]


def test_phantoms_with_several_labels(kind, no_network, monkeypatch):
    """The phantom is given the whole row of each image."""

    def render(labels, *, size, seed, first):
        rows = torch.tensor(labels)
        assert rows.sum(dim=0).tolist() == [2, 4]
        return torch.zeros(len(rows), size, size, dtype=torch.uint8)

    monkeypatch.setattr("medgan_course.data.phantom.chest.render", render)
    kind(MULTI, file=False)
    phantoms = data.load("tinymnist", download=False)
    assert phantoms.is_surrogate
    assert phantoms.images.shape == (6, 1, 28, 28)
    assert phantoms.labels.sum(dim=0).tolist() == [2, 4]


@pytest.mark.parametrize("masks", [1, 2])
def test_phantoms_with_masks(kind, no_network, monkeypatch, masks):
    """Two experts draw two masks, which are channels; one has an axis for channels all the same."""

    def render(labels, *, size, seed, first, plane):
        assert plane == "axial"
        pixels = torch.zeros(len(labels), size, size, 3, dtype=torch.uint8)
        return pixels, *[torch.full(pixels.shape[:3], bool(expert)) for expert in range(masks)]

    monkeypatch.setattr("medgan_course.data.phantom.chest.drawn", render, raising=False)
    kind('channels = 3\nknobs = {plane = "axial"}', file=False)
    card = catalogue.FOLDER / "tinymnist.toml"
    card.write_text(card.read_text().replace('phantom = "chest"', 'phantom = "chest.drawn"'))
    phantoms = data.load("tinymnist", download=False)
    assert phantoms.images.shape == (6, 3, 28, 28)
    assert phantoms.mask.shape == (6, masks, 28, 28)
    assert phantoms.mask[:, -1].all() == (masks == 2)
    assert phantoms.subject.tolist() == [0, 1, 2, 3, 4, 5]


def test_phantoms_with_objects(kind, no_network, monkeypatch):
    def render(labels, *, size, seed, first):
        objects = torch.arange(len(labels), dtype=torch.int32).view(-1, 1, 1).expand(-1, size, size)
        return torch.zeros(len(labels), size, size, dtype=torch.uint8), objects > 0, objects

    monkeypatch.setattr("medgan_course.data.phantom.chest.render", render)
    kind("channels = 1", file=False)
    phantoms = data.load("tinymnist", download=False)
    assert phantoms.instances.shape == phantoms.mask.shape == (6, 1, 28, 28)
    assert phantoms.instances[:, 0, 0, 0].tolist() == [0, 1, 2, 3, 4, 5]
    surrogate.arrays.cache_clear()


@pytest.mark.parametrize("name", [name for name in data.names() if not data.card(name).files])
def test_computed_sets_are_what_their_cards_say(name, monkeypatch):
    """A few subjects of every family: shape, contrasts, labels, scales and truth."""
    card = data.card(name)
    few = {split: tuple(min(n, 1) for n in counts) for split, counts in card.counts.items()}
    images = {split: sum(counts) for split, counts in few.items()}
    fewer = replace(card, counts=few, images=images)
    monkeypatch.setattr(data, "card", lambda name: fewer)
    data._phantoms.cache_clear()
    loaded = data.load(name, size=16)
    data._phantoms.cache_clear()
    n = images["train"]
    assert loaded.images.shape == (n, card.channels, *[16] * card.dim)
    assert loaded.labels.bincount().tolist() == [1] * len(card.class_names)
    assert loaded.images.min() >= -1
    assert loaded.images.max() <= 1
    assert loaded.mask.shape == (n, 1, *[16] * card.dim)
    assert not loaded.is_surrogate
    assert len(loaded.scales) == len(card.contrasts)
    for contrast in card.contrasts:
        assert loaded.contrast(contrast).equal(loaded.truth.images[contrast])
    assert loaded.restored().shape == loaded.images.shape
    torch.testing.assert_close(loaded.truth.tissues.sum(dim=1), torch.ones(n, *[16] * card.dim))
