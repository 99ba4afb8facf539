"""Where a set comes from, in which order, and what is said about it."""

import os
import sys
from dataclasses import replace

import numpy as np
import pytest
import torch

from medgan_course import data
from medgan_course.data import catalogue, files, layouts, originals
from medgan_course.data.scale import Scale
from medgan_course.errors import CourseError


@pytest.fixture
def root(tmp_path, monkeypatch, empty_home):
    """Name an empty data folder by MEDGAN_DATA."""
    folder = tmp_path / "root"
    folder.mkdir()
    monkeypatch.setenv("MEDGAN_DATA", str(folder))
    return folder


@pytest.mark.parametrize("below", ["medmnist/tinymnist.npz", "tinymnist.npz"])
def test_official_file_in_the_chosen_root(tiny, root, below):
    path = root / below
    path.parent.mkdir(exist_ok=True)
    path.write_bytes(tiny.official)
    train = data.load("tinymnist")
    assert "in MEDGAN_DATA, the official bytes" in train.source
    assert str(root) not in train.source
    assert not train.is_surrogate
    assert data.surrogates_in_use() == frozenset()


def test_values_are_the_files(tiny, root):
    grey = np.zeros((6, 28, 28), np.uint8)
    grey[0, 0, 0], grey[0, 0, 1], grey[0, 1, 0] = 255, 127, 128
    tiny.write(root / "tinymnist.npz", train_images=grey)
    train = data.load("tinymnist", split="train")
    assert train.images.shape == (6, 1, 28, 28)
    assert train.images.dtype == torch.float32
    assert train.images.is_contiguous()
    expected = torch.tensor([[1.0, -0.5 / 127.5], [0.5 / 127.5, -1.0]])
    torch.testing.assert_close(train.images[0, 0, :2, :2], expected)
    assert train.labels.dtype == torch.int64
    assert train.labels.tolist() == [0, 1, 1, 0, 1, 1]
    assert (len(train), train.name, train.size, train.split) == (6, "tinymnist", 28, "train")
    assert train.class_names == ("well", "ill")


def test_values_can_be_turned_back(tiny, root):
    tiny.write(root / "tinymnist.npz")
    train = data.load("tinymnist")
    assert train.scale == Scale(0, 255, "grey level")
    with np.load(root / "tinymnist.npz") as file:
        torch.testing.assert_close(
            train.restored()[:, 0], torch.from_numpy(file["train_images"]).float(), atol=1e-4, rtol=0
        )
    assert "-1 is 0 and 1 is 255 grey level" in repr(train)


def test_values_have_the_scale_of_the_card(tiny, root):
    card = catalogue.FOLDER / "tinymnist.toml"
    card.write_text(card.read_text() + '[scale]\nlow = -1000.0\nhigh = 500.0\nunit = "HU"\n')
    grey = np.zeros((6, 28, 28), np.uint8)
    grey[0, 0, 0] = 255
    tiny.write(root / "tinymnist.npz", train_images=grey)
    train = data.load("tinymnist")
    assert train.scale.unit == "HU"
    assert train.restored()[0, 0, 0, :2].tolist() == [500, -1000]
    assert "-1 is -1000 and 1 is 500 HU" in train._repr_html_()


def test_values_that_are_not_8_bit_are_in_the_unit_of_the_scale(tiny):
    card = replace(data.card("tinymnist"), scale=Scale(-1000, 500, "HU"))
    scaled = data._scaled(torch.tensor([[[-1000, -250, 500, 3000, -2000]]], dtype=torch.int16), card)
    assert scaled.tolist() == [[[[-1, 0, 1, 1, -1]]]]


def test_contrasts_of_different_scales():
    two = data.Dataset(
        card=replace(data.card("head2d"), contrasts=("rgb", "ct"), channels=6),
        size=1,
        split="train",
        images=torch.tensor([0.0, 0.5, 1, 0, -1, 1]).view(1, 6, 1, 1),
        labels=torch.zeros(1, dtype=torch.int64),
        source="this test",
        scales=(Scale(0, 2, "share"), Scale(-1000, 500, "HU")),
    )
    assert two.contrast("ct").flatten().tolist() == [0, -1, 1]
    assert two.contrast("ct", "rgb").flatten().tolist() == [0, -1, 1, 0, 0.5, 1]
    assert two.restored("rgb").flatten().tolist() == [1, 1.5, 2]
    assert two.restored().flatten().tolist() == [1, 1.5, 2, -250, -1000, 500]
    with pytest.raises(CourseError, match="scales of their own"):
        two.scale  # noqa: B018
    assert "ct -1 is -1000 and 1 is 500 HU" in repr(two)


def test_subjects_in_several_splits_only_if_asked(empty_home, no_network, monkeypatch):
    """Two subjects train and one tests; four images of each."""

    def arrays(name, size, split):
        subject = torch.tensor({"train": [7] * 4 + [19] * 4, "test": [26] * 4}[split])
        pixels = subject.to(torch.uint8).view(-1, 1, 1, 1).expand(-1, size, size, 4)
        return layouts.Arrays(pixels, subject % 2, pixels[..., 0] > 20, subject)

    monkeypatch.setattr(data.surrogate, "arrays", arrays)
    wanted = {"size": 48, "download": False}
    right = {split: data.load("openms", split=split, **wanted) for split in ("train", "test")}
    wrong = {
        split: data.load("openms", split=split, subjects_in_several_splits=True, **wanted) for split in right
    }
    assert set(right["train"].subject.tolist()) == {7, 19}
    assert set(right["test"].subject.tolist()) == {26}
    assert set(wrong["train"].subject.tolist()) & set(wrong["test"].subject.tolist())
    assert torch.cat([part.subject for part in wrong.values()]).bincount()[[7, 19, 26]].tolist() == [4, 4, 4]
    for split, part in wrong.items():
        assert len(part) == len(right[split])
        assert "subjects are in several splits" in part.source
        assert "several splits" not in right[split].source
        # An image keeps its label, its mask and its subject.
        assert torch.equal(part.images[:, 0, 0, 0], part.subject / 127.5 - 1)
        assert torch.equal(part.labels, part.subject % 2)
        assert torch.equal(part.mask[:, 0, 0, 0], part.subject > 20)


def test_no_subjects_to_be_in_several_splits(tiny, root):
    tiny.write(root / "tinymnist.npz")
    with pytest.raises(CourseError, match="does not say whose image is whose"):
        data.load("tinymnist", subjects_in_several_splits=True)


def test_phantoms_are_never_in_several_splits():
    with pytest.raises(CourseError, match="one image a subject"):
        data.load("head2d", subjects_in_several_splits=True)


def test_volumes_are_averaged_along_every_axis():
    corner = torch.zeros(1, 1, 4, 4, 4)
    corner[0, 0, 0, 0, 2] = 1
    shrunk = data._shrunk(corner, 2)
    assert shrunk.shape == (1, 1, 2, 2, 2)
    assert shrunk[0, 0, 0, 0, 1] == 1 / 8
    assert shrunk.sum() == 1 / 8


def test_few_images_at_a_time_are_floats_that_are_made_smaller(monkeypatch):
    monkeypatch.setattr(data, "BLOCK", 3)
    pixels = torch.arange(7 * 64).view(7, 8, 8).to(torch.uint8)
    lengths = []

    def change(some):
        lengths.append(len(some))
        return data._shrunk(some[:, None].float(), 4)

    small = data._in_blocks(change, pixels, 4)
    assert lengths == [3, 3, 1]
    expected = pixels.double().view(7, 4, 2, 4, 2).mean(dim=(2, 4))
    torch.testing.assert_close(small[:, 0].double(), expected)
    lengths.clear()
    data._in_blocks(lambda some: lengths.append(len(some)), pixels, 8)  # large as they are: no copy
    assert lengths == [7]


def test_objects_keep_their_numbers():
    objects = torch.arange(36, dtype=torch.int32).view(1, 1, 6, 6)
    assert data._nearest(objects, 2).flatten().tolist() == [7, 10, 25, 28]
    assert data._nearest(objects, 3)[0, 0].tolist() == [[7, 9, 11], [19, 21, 23], [31, 33, 35]]
    assert data._nearest(objects, 6).equal(objects)


def test_more_than_half_of_the_free_memory_is_refused_before_the_file_is_read(tiny, root, monkeypatch):
    """6 images of 28 x 28 float32 are 18,816 bytes."""
    tiny.write(root / "tinymnist.npz")
    monkeypatch.setattr(data, "_free_memory", lambda: 2 * 18_816)
    assert len(data.load("tinymnist")) == 6
    monkeypatch.setattr(data, "_free_memory", lambda: 2 * 18_816 - 1)
    monkeypatch.setattr(files, "find", lambda file: pytest.fail("read"))
    with pytest.raises(CourseError, match="use a machine that has more"):
        data.load("tinymnist")
    card = catalogue.FOLDER / "tinymnist.toml"
    card.write_text(card.read_text() + '[files.14]\nname = "tinymnist.npz"\nside = 28\n')
    with pytest.raises(CourseError, match="choose size 14"):
        data.load("tinymnist")


def test_the_free_memory_is_a_size():
    assert data._free_memory() > 1e6


def test_each_split_is_its_own(tiny, root):
    tiny.write(root / "tinymnist.npz")
    assert [len(data.load("tinymnist", split=split)) for split in ("train", "val", "test")] == [6, 3, 4]


def test_colour_images_get_their_channels_first(tiny, root):
    tiny.describe(channels=3)
    colour = np.zeros((6, 28, 28, 3), np.uint8)
    colour[..., 1] = 255
    tiny.write(root / "tinymnist.npz", train_images=colour)
    images = data.load("tinymnist").images
    assert images.shape == (6, 3, 28, 28)
    assert images[:, 1].min() == 1
    assert images[:, 0].max() == images[:, 2].max() == -1


def test_other_bytes_are_called_a_rebuilt_copy(tiny, root):
    tiny.write(root / "tinymnist.npz", train_images=np.zeros((6, 28, 28), np.uint8))
    assert "a rebuilt copy: not the official bytes" in data.load("tinymnist").source


def test_the_chosen_root_comes_before_home(tiny, root, empty_home):
    tiny.write(empty_home / ".medmnist" / "tinymnist.npz")
    assert "~/.medmnist" in data.load("tinymnist").source
    tiny.write(root / "tinymnist.npz")
    assert "MEDGAN_DATA" in data.load("tinymnist").source


def test_absent_files_are_tried_by_opening_them(tiny, root, no_network):
    opened = []
    recording = True

    def record(event, arguments):
        if recording and event == "open":
            opened.append(str(arguments[0]))

    sys.addaudithook(record)
    data.load("tinymnist", download=False)
    recording = False
    assert str(root / "medmnist" / "tinymnist.npz") in opened
    assert str(root / "tinymnist.npz") in opened


@pytest.mark.parametrize(
    ("arguments", "hint"),
    [
        ({"name": "tinimnist"}, "did you mean 'tinymnist'"),
        ({"name": "TinyMNIST"}, "did you mean 'tinymnist'"),
        ({"name": "x"}, "there are tinymnist"),
        ({"name": "../tinymnist"}, "did you mean 'tinymnist'"),
        ({"size": 64}, "choose size 28"),
        ({"size": "28"}, "size='28'"),
        ({"split": "training"}, "did you mean 'train'"),
        ({"split": "x"}, "there are train, val, test"),
    ],
)
def test_wrong_arguments(tiny, empty_home, arguments, hint):
    with pytest.raises(CourseError, match=hint):
        data.load(**{"name": "tinymnist", "download": False} | arguments)


def test_root_that_is_absent(tiny, empty_home, monkeypatch, tmp_path):
    monkeypatch.setenv("MEDGAN_DATA", str(tmp_path / "absent"))
    with pytest.raises(CourseError, match=r"MEDGAN_DATA is '.*absent', .* \(No such file or directory\)"):
        data.load("tinymnist")


def test_root_that_is_a_file(tiny, empty_home, monkeypatch, tmp_path):
    (tmp_path / "file").touch()
    monkeypatch.setenv("MEDGAN_DATA", str(tmp_path / "file"))
    with pytest.raises(CourseError, match=r"MEDGAN_DATA .* \(Not a directory\)"):
        data.load("tinymnist")


def test_root_that_may_not_be_read(tiny, root, monkeypatch):
    # Permissions do not stop an administrator, so the refusal is played.
    def refuse(path):
        raise PermissionError(13, "Permission denied")

    monkeypatch.setattr(files.os, "listdir", refuse)
    with pytest.raises(CourseError, match=r"MEDGAN_DATA .* \(Permission denied\)"):
        data.load("tinymnist")


def test_empty_variable_is_no_root(tiny, empty_home, monkeypatch, tmp_path):
    monkeypatch.chdir(tmp_path)
    monkeypatch.setenv("MEDGAN_DATA", "")
    tiny.write(tmp_path / "tinymnist.npz")
    tiny.write(empty_home / ".medmnist" / "tinymnist.npz")
    assert "in ~/.medmnist" in data.load("tinymnist").source


def test_displays_say_what_it_is(tiny, root, empty_home, no_network):
    tiny.write(root / "tinymnist.npz")
    real = data.load("tinymnist")
    for text in (repr(real), real._repr_html_()):
        assert "TinyMNIST" in text
        assert real.source in text
        assert "1 ill (4)" in text
        assert "hantom" not in text
    (root / "tinymnist.npz").unlink()
    phantoms = data.load("tinymnist", download=False)
    for text in (repr(phantoms), phantoms._repr_html_()):
        assert "Phantoms in the place of TinyMNIST" in text


@pytest.mark.skipif(not os.environ.get("MEDGAN_DATA"), reason="needs the real files")
class TestRealFiles:
    @pytest.mark.parametrize("split", ["train", "val", "test"])
    @pytest.mark.parametrize("size", [28, 64])
    def test_they_are_what_the_card_says(self, size, split):
        loaded = data.load("pneumoniamnist", size=size, split=split, download=False)
        if loaded.is_surrogate:
            pytest.skip("the data root lacks this file")
        assert loaded.images.shape == (sum(loaded.card.counts[split]), 1, size, size)
        assert -1 <= loaded.images.min() < -0.9
        assert 0.9 < loaded.images.max() <= 1

    def test_the_known_duplicates(self):
        train, val = (data.load("pneumoniamnist", split=split, download=False) for split in ("train", "val"))
        if train.is_surrogate:
            pytest.skip("the data root lacks this file")
        seen = {image.numpy().tobytes() for image in train.images}
        assert len(train) - len(seen) == 18
        assert sum(image.numpy().tobytes() in seen for image in val.images) == 8

    def test_the_phantom_has_its_grey_levels(self):
        from medgan_course.data.surrogate import arrays

        real = data.load("pneumoniamnist", split="val", download=False)
        if real.is_surrogate:
            pytest.skip("the data root lacks this file")
        grey = arrays("pneumoniamnist", 28, "val")[0] / 127.5 - 1
        assert abs(grey.mean() - real.images.mean()) < 0.1
        assert abs(grey.std() - real.images.std()) < 0.1
        # The layout as well: mean images agree, pixel by pixel.
        both = torch.stack([grey.mean(0).flatten(), real.images.mean(0).flatten()])
        assert torch.corrcoef(both)[0, 1] > 0.8


def test_a_file_that_the_course_can_make_is_made_once(tiny, empty_home, monkeypatch):
    """The original is downloaded and prepared by the first call; the second finds the file."""
    made = []
    card = catalogue.FOLDER / "tinymnist.toml"
    card.write_text("\n".join(x for x in card.read_text().splitlines() if not x.startswith(("md5", "url"))))

    def prepare(name, source, into):
        made.append((name, source))
        tiny.write(into / "tinymnist.npz")
        return into / "tinymnist.npz"

    monkeypatch.setattr(originals, "prepare", prepare)
    assert data.load("tinymnist").is_surrogate
    monkeypatch.setattr(originals, "AUTOMATIC", ("tinymnist",))
    assert data.load("tinymnist", download=False).is_surrogate
    assert made == []
    first, second = data.load("tinymnist"), data.load("tinymnist", split="val")
    assert not first.is_surrogate
    assert "made from its original in ~/.medmnist" in first.source
    assert "in ~/.medmnist" in second.source
    assert made == [("tinymnist", None)]
    assert sorted(path.name for path in (empty_home / ".medmnist").iterdir()) == ["tinymnist.npz"]


@pytest.mark.parametrize(
    ("name", "size", "remedy"),
    [
        ("breastmnist", 64, "run medgan data fetch breastmnist --size 64, or set MEDGAN_DATA to a folder"),
        ("hippocampus", 32, "run medgan data fetch hippocampus --size 32, or set"),
        ("busi", 32, "run medgan data prepare busi --from ORIGINAL (medgan data show busi says where"),
    ],
)
def test_the_notice_names_the_command_that_helps(empty_home, capsys, name, size, remedy):
    data.surrogate.announce(data.card(name), size, "of this test")
    assert remedy in capsys.readouterr().err
