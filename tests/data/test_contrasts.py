"""Sets with several contrasts of one slice: in pairs, split by subject, nobody on both sides."""

import os

import numpy as np
import pytest
import torch

from medgan_course import data
from medgan_course.data import catalogue, files, layouts, originals, surrogate
from medgan_course.data.batches import Stream
from medgan_course.errors import CourseError

CARD = """\
title = "TinyMS"
modality = "MR"
organ = "brain"
task = "none"
class_names = ["no lesion", "lesion"]
channels = 2
contrasts = ["t1", "t2"]
phantom = "head"
licence = "CC0"
source = "this test"
homepage = "https://tiny.invalid"
citation = ["Nobody (2026)"]
faults = ["It does not exist."]
intended = "Tests."
unsuitable = "All else."
[counts]
train = [2, 1]
test = [1, 0]
[subjects]
train = [4, 9]
test = [5]
[files.16]
name = "tinyms.npz"
side = 32
[files.32]
name = "tinyms.npz"
"""


def arrays():
    """Return slices of subjects 4, 9, 4, 5, 9; the last one has hardly any brain."""
    rng = np.random.default_rng(0)
    t1, t2 = rng.integers(1, 256, (2, 5, 32, 24), dtype=np.uint8)
    t1[4] = 0
    t1[4, 0, :5] = 200
    lesion = np.zeros((5, 32, 24), np.uint8)
    lesion[2, 10:12, 6:8] = 1  # columns 10 and 11 once padded: one pixel of the small image, entirely
    lesion[2, 20, 6] = 1  # a quarter of one
    subject = np.array([4, 9, 4, 5, 9], np.uint8)
    return {"t1": t1, "t2": t2, "lesion": lesion, "subject": subject}


@pytest.fixture
def tinyms(tmp_path, monkeypatch, empty_home):
    """Return a writer of the set's file, whose card is the only one."""
    cards = tmp_path / "cards"
    cards.mkdir()
    (cards / "tinyms.toml").write_text(CARD)
    root = tmp_path / "root"
    (root / "sets").mkdir(parents=True)
    monkeypatch.setenv("MEDGAN_DATA", str(root))
    monkeypatch.setattr(catalogue, "FOLDER", cards)
    monkeypatch.setattr(layouts, "MIN_BRAIN", 6)
    surrogate.arrays.cache_clear()

    def write(**changes):
        content = {key: value for key, value in (arrays() | changes).items() if value is not None}
        np.savez_compressed(root / "sets" / "tinyms.npz", **content)

    yield write
    surrogate.arrays.cache_clear()


def test_contrasts_are_channels_padded_to_a_square(tinyms):
    tinyms()
    train = data.load("tinyms", size=32)
    assert train.images.shape == (3, 2, 32, 32)
    expected = torch.from_numpy(arrays()["t2"][[0, 1, 2]]).float() / 127.5 - 1
    torch.testing.assert_close(train.contrast("t2")[:, 0, :, 4:28], expected)
    assert (train.images[..., :4] == -1).all()
    assert (train.images[..., 28:] == -1).all()
    assert torch.equal(train.contrast("t2", "t1"), train.images.flip(1))


def test_small_images_are_area_means(tinyms):
    tinyms()
    large, small = (data.load("tinyms", size=size).images for size in (32, 16))
    torch.testing.assert_close(small, torch.nn.functional.avg_pool2d(large, 2), atol=1e-6, rtol=0)


def test_a_pixel_is_lesion_if_half_of_it_is(tinyms):
    tinyms()
    train = data.load("tinyms", size=16)
    assert train.mask.shape == (3, 1, 16, 16)
    assert train.mask.nonzero().tolist() == [[2, 0, 5, 5]]
    assert train.labels.tolist() == [0, 0, 1]
    assert data.load("tinyms", size=32).mask.sum() == 5


def test_subjects_are_split_and_empty_slices_left_out(tinyms):
    tinyms()
    assert data.load("tinyms", size=32).subject.tolist() == [4, 9, 4]
    assert data.load("tinyms", size=32, split="test").subject.tolist() == [5]


def test_pairs_are_of_one_slice(tinyms):
    tinyms()
    train = data.load("tinyms", size=32)
    pairs = train.paired("t1", "t2")
    assert torch.equal(pairs.source, train.images[:, :1])
    assert torch.equal(pairs.target, train.images[:, 1:])
    batch = Stream(pairs, 2)[0]
    for source, target in zip(batch.source, batch.target, strict=True):
        (number,) = (train.images[:, :1] == source).all(dim=(1, 2, 3)).nonzero()[0].tolist()
        assert torch.equal(target, train.images[number, 1:])


@pytest.mark.parametrize("seed", range(4))
def test_unpaired_contrasts_are_of_different_people(tinyms, seed):
    tinyms()
    train = data.load("tinyms", size=32)
    a, b = train.unpaired("t1", "t2", seed=seed)
    assert sorted([len(a), len(b)]) == [1, 2]
    people = [
        {
            int(train.subject[i])
            for i in range(3)
            for image in images
            if torch.equal(image, train.images[i, channel : channel + 1])
        }
        for images, channel in ((a, 0), (b, 1))
    ]
    assert people[0] | people[1] == {4, 9}
    assert not people[0] & people[1]


def test_unpaired_needs_two_people(tinyms):
    tinyms()
    with pytest.raises(CourseError, match="test split of TinyMS has 1 known subjects"):
        data.load("tinyms", size=32, split="test").unpaired("t1", "t2")


@pytest.mark.parametrize(
    ("action", "match"),
    [
        (
            lambda: data.load("tinyms", size=32).contrast("t3"),
            "TinyMS has no contrast 't3': (did you mean|there are)",
        ),
        (lambda: data.load("tinyms", size=32, split="val"), "no split 'val'"),
        (lambda: data.load("tinyms", size=64), "choose size 16 or 32"),
    ],
)
def test_wrong_arguments(tinyms, action, match):
    tinyms()
    with pytest.raises(CourseError, match=match):
        action()


@pytest.mark.parametrize(
    ("changes", "match"),
    [
        ({"t2": None}, "has no array t1 or t2 or lesion or subject"),
        ({"t2": np.zeros((4, 32, 24), np.uint8)}, r"\(4, 32, 24\) uint8"),
        ({"t2": np.zeros((5, 32, 24), np.float32)}, "float32"),
        ({"lesion": np.zeros((5, 768), np.uint8)}, r"\(5, 768\)"),
        ({"subject": np.array([4, 9, 4, 5], np.uint8)}, r"holds subjects \(4,\)"),
        ({"subject": np.array([5, 9, 4, 5, 9], np.uint8)}, "does not hold the train labels"),
        ({"subject": np.array([1, 1, 1, 1, 1], np.uint8)}, "does not hold the train labels"),
        ({"lesion": np.zeros((5, 32, 24), np.uint8)}, "does not hold the train labels"),
    ],
)
def test_files_of_something_else_are_refused(tinyms, changes, match):
    tinyms(**changes)
    with pytest.raises(CourseError, match=match):
        data.load("tinyms", size=32)


def test_pictures_too_large_for_the_card(tinyms):
    tinyms(**{name: np.zeros((5, 40, 24), np.uint8) for name in ("t1", "t2", "lesion")})
    with pytest.raises(CourseError, match=r"\(5, 40, 24\)"):
        data.load("tinyms", size=32)


def test_no_download_is_pretended(tinyms):
    card = data.card("tinyms")
    with pytest.raises(files.UnreachableError, match="the course cannot download its original"):
        originals.bring(card, card.file(32))


@pytest.mark.usefixtures("empty_home", "no_network")
class TestSurrogates:
    def test_openms(self, capsys, monkeypatch):
        monkeypatch.setattr(surrogate, "MOST", {2: 28, 3: 1})  # a third: all of them take seconds
        surrogate.arrays.cache_clear()
        test = data.load("openms", size=48, split="test")
        surrogate.arrays.cache_clear()
        said = capsys.readouterr().err
        assert "no connection to raw.githubusercontent.com" in said
        assert "run medgan data fetch openms --size 48, or set MEDGAN_DATA to a folder" in said
        assert test.is_surrogate
        assert test.images.shape == (28, 4, 48, 48)
        assert torch.bincount(test.labels).tolist() == [10, 18]  # of 30 and 54
        assert test.mask.shape == (28, 1, 48, 48)
        assert not test.mask[test.labels == 0].any()
        assert len(test.subject.unique()) == 28

    def test_no_subject_is_in_two_splits(self):
        numbers = [surrogate.population(data.card("openms"), split) for split in ("train", "test")]
        (train, first), (test, second) = ((len(labels), start) for labels, start in numbers)
        assert first + train <= second
        assert test == 84

    @pytest.mark.parametrize(("name", "size"), [("breastmnist", 28), ("busi", 32)])
    def test_the_others(self, name, size):
        loaded = data.load(name, size=size, split="val", download=False)
        assert loaded.is_surrogate
        assert loaded.images.shape == (sum(loaded.card.counts["val"]), 1, size, size)
        assert tuple(torch.bincount(loaded.labels).tolist()) == loaded.card.counts["val"]

    def test_every_class_is_as_large_as_in_the_set(self):
        for card in map(data.card, data.names()):
            for split in {} if card.multi_label else card.counts:
                labels, _ = surrogate.population(card, split)
                assert tuple(torch.bincount(labels).tolist()) == card.counts[split]


class TestHead2D:
    def test_it_is_computed_and_no_surrogate(self, empty_home, capsys):
        val = data.load("head2d", size=32, split="val")
        assert not val.is_surrogate
        assert capsys.readouterr().err == ""
        assert val.source == "Computed phantoms, subjects 600 to 699 of seed 1."
        assert val.images.shape == (100, 8, 32, 32)
        assert torch.bincount(val.labels).tolist() == [50, 50]
        assert torch.equal(val.contrast("ct"), val.truth.images["ct"])
        assert torch.equal(val.mask, val.truth.lesion)
        assert not val.mask[val.labels == 0].any()

    def test_no_subject_is_in_two_splits(self):
        people = []
        for split in ("train", "val", "test"):
            labels, first = surrogate.population(data.card("head2d"), split)
            people.append(set(range(first, first + len(labels))))
        assert not people[0] & people[1]
        assert not people[0] & people[2]
        assert not people[1] & people[2]

    def test_changing_one_copy_leaves_the_next_alone(self):
        first = data.load("head2d", size=32, split="val")
        before = first.images.clone()
        first.images.zero_()
        first.labels.zero_()
        assert torch.equal(data.load("head2d", size=32, split="val").images, before)
        assert data.load("head2d", size=32, split="val").labels.any()


@pytest.mark.skipif(not os.environ.get("MEDGAN_DATA"), reason="needs the real files")
class TestRealFiles:
    @pytest.mark.parametrize(
        ("name", "sizes"),
        [("breastmnist", (28, 64, 128, 224)), ("mednist", (28, 32, 64)), ("openms", (48, 64, 96, 128))],
    )
    def test_they_are_what_the_card_says(self, name, sizes):
        assert tuple(data.card(name).files) == sizes
        for split in data.card(name).counts:
            loaded = data.load(name, size=sizes[0], split=split, download=False)
            if loaded.is_surrogate:
                pytest.skip("the data root lacks this file")
            assert loaded.images.shape == (len(loaded), loaded.card.channels, sizes[0], sizes[0])
            assert -1 <= loaded.images.min() < -0.9
            assert 0.9 < loaded.images.max() <= 1

    def test_the_known_faults_of_mednist(self):
        train, val, test = (
            data.load("mednist", size=64, split=s, download=False) for s in ("train", "val", "test")
        )
        if train.is_surrogate:
            pytest.skip("the data root lacks this file")
        seen = {image.numpy().tobytes() for image in train.images}
        found = [sum(image.numpy().tobytes() in seen for image in part.images) for part in (val, test)]
        assert found == [2, 7]

    def test_openms_has_three_people(self):
        train, test = (
            data.load("openms", size=64, split=split, download=False) for split in ("train", "test")
        )
        if train.is_surrogate:
            pytest.skip("the data root lacks this file")
        assert train.subject.unique().tolist() == [7, 19]
        assert test.subject.unique().tolist() == [26]
        # White matter is bright in T1, lesions in FLAIR.
        assert test.contrast("flair")[test.mask].mean() > 0.5
        assert ((test.contrast("t1") > -0.9).float().mean(dim=(1, 2, 3)) * 192**2 > 5500).all()
