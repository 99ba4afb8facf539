"""The files of the sets, each in its own layout: axes, masks, subjects, and splits that share nobody."""

import hashlib
import os
from dataclasses import replace
from io import BytesIO
from pathlib import Path

import numpy as np
import pytest
import torch

from medgan_course import data
from medgan_course.data import files, layouts, originals
from medgan_course.data.catalogue import File
from medgan_course.errors import CourseError


def found(**arrays):
    stream = BytesIO()
    np.savez_compressed(stream, **{name: array for name, array in arrays.items() if array is not None})
    return files.Found(Path("set.npz"), stream.getvalue(), "here")


def like(name, side, counts, **changes):
    """Return the card of set ``name`` with other counts, for images of another size."""
    images = {split: sum(count) for split, count in counts.items()}
    return replace(
        data.card(name),
        counts=counts,
        **({"images": images, "files": {side: File("set.npz", side)}} | changes),
    )


def noise(*shape, kind=np.uint8, high=256):
    return np.random.default_rng(0).integers(0, high, shape, dtype=kind)


class TestMedMNIST:
    @pytest.mark.parametrize(
        ("name", "shape"), [("adrenalmnist3d", (3, 4, 4, 4)), ("bloodmnist", (3, 4, 4, 3))]
    )
    def test_volumes_and_colours(self, name, shape):
        classes = len(data.card(name).class_names)
        card = like(name, 4, {"val": (1, 2) + (0,) * (classes - 2)})
        images, labels = noise(*shape), np.array([[1], [0], [1]], np.uint8)
        read = layouts.read(found(val_images=images, val_labels=labels), card, 4, "val")
        assert torch.equal(read.pixels, torch.from_numpy(images))
        assert read.labels.tolist() == [1, 0, 1]
        with pytest.raises(CourseError, match=r"holds val images \(3, 4, 4\) uint8"):
            layouts.read(found(val_images=images[..., 0], val_labels=labels), card, 4, "val")

    def test_several_labels(self):
        counts = (2, 1) + (0,) * 12
        card = like("chestmnist", 4, {"test": counts}, images={"test": 3})
        labels = np.zeros((3, 14), np.uint8)
        labels[[0, 2], 0] = labels[0, 1] = 1
        read = layouts.read(found(test_images=noise(3, 4, 4), test_labels=labels), card, 4, "test")
        assert torch.equal(read.labels, torch.from_numpy(labels).long())
        for wrong in (labels * 2, 1 - labels):
            with pytest.raises(CourseError, match="does not hold the test labels of ChestMNIST"):
                layouts.read(found(test_images=noise(3, 4, 4), test_labels=wrong), card, 4, "test")
        with pytest.raises(CourseError, match="not one integer an image and finding"):
            layouts.read(found(test_images=noise(3, 4, 4), test_labels=labels[:, :1]), card, 4, "test")

    def test_a_balance_that_nobody_confirmed_is_not_demanded(self):
        card = like("breastmnist", 4, {"val": (1, 2)}, balance_confirmed=False)
        labels = np.zeros((3, 1), np.uint8)
        assert (
            layouts.read(found(val_images=noise(3, 4, 4), val_labels=labels), card, 4, "val").labels.sum()
            == 0
        )
        with pytest.raises(CourseError, match="does not hold the val labels"):
            layouts.read(found(val_images=noise(3, 4, 4), val_labels=labels + 2), card, 4, "val")

    def test_a_zip_bomb(self):
        card = like("breastmnist", 4, {"val": (1, 2)})
        bomb = found(val_images=np.zeros((3, 4, 4), np.uint8), val_labels=np.zeros(3 * 2**20, np.uint8))
        assert len(bomb.content) < 10_000
        with pytest.raises(
            CourseError,
            match=r"set\.npz unpacks to more than 1 MiB, many times what the set holds: replace it",
        ):
            layouts.read(bomb, card, 4, "val")


def test_openms_volumes_are_turned_and_made_cubes():
    card = like("openms3d", 8, {"train": (1,), "test": (1,)}, subjects={"train": (4,), "test": (9,)})
    contrasts = {name: noise(2, 4, 6, 8) for name in card.contrasts}
    contrasts["t2"][1, 0, 5, 0] = 77
    lesion = np.zeros((2, 4, 6, 8), np.uint8)
    lesion[1, 0, 5, 0] = 1
    file = found(**contrasts, lesion=lesion, subject=np.array([4, 9], np.uint8))
    read = layouts.read(file, card, 8, "test")
    assert read.pixels.shape == (1, 8, 8, 8, 4)
    assert read.subject.tolist() == [9]
    # The right, front, lowest voxel: first z, first y after a margin of 1, first x after a margin of 2.
    assert read.mask.nonzero().tolist() == [[0, 0, 1, 2]]
    assert read.pixels[0, 0, 1, 2, card.contrasts.index("t2")] == 77


def test_hippocampus_has_two_masks():
    counts = {"train": (7,), "val": (1,), "test": (2,)}
    card = like("hippocampus", 8, counts)
    parts = np.zeros((10, 4, 8, 6), np.uint8)
    parts[:, 0, 7, 0], parts[:, 3, 0, 5] = 1, 2
    file = found(images=noise(10, 4, 8, 6), labels=parts, names=np.array([f"h_{i}" for i in range(10)]))
    read = layouts.read(file, card, 8, "test")
    assert read.mask.shape == (2, 2, 8, 8, 8)
    # Right, front, lowest is last x (after a margin of 2), first y, first z (after a margin of 1).
    assert read.mask[1].nonzero().tolist() == [[0, 1, 0, 5], [1, 6, 7, 2]]
    everything = [layouts.read(file, card, 8, split).pixels for split in counts]
    assert len({image.numpy().tobytes() for part in everything for image in part}) == 10
    with pytest.raises(CourseError, match="which is not what the set has"):
        layouts.read(file, like("hippocampus", 7, counts), 7, "test")


def test_busi_keeps_near_duplicates_together():
    pictures = noise(10, 32, 32)
    images = np.repeat(pictures, 3, axis=0)
    images[1::3] = images[1::3] // 2 + 20  # another gain
    images[2::3, 0, 0] ^= 255
    order = np.random.default_rng(1).permutation(30)
    labels = np.zeros(30, np.uint8)
    counts = {"train": (21, 0, 0), "val": (3, 0, 0), "test": (6, 0, 0)}
    card = like("busi", 32, counts)
    masks = (images[order] > 128).astype(np.uint8)
    file = found(images=images[order], masks=masks, labels=labels)
    parts = {split: layouts.read(file, card, 32, split) for split in counts}
    groups = [set(part.subject.tolist()) for part in parts.values()]
    assert [len(group) for group in groups] == [7, 1, 2]
    assert len(set.union(*groups)) == 10
    assert torch.equal(parts["val"].mask, parts["val"].pixels > 128)


def test_alike_joins_chains():
    """Patterns p, q without a mean, at right angles: cos(a) p + sin(a) q correlate as cos(a - b)."""
    p = np.repeat([1.0, -1.0], 8)[:, None] * np.ones(16)
    q = p.T

    def picture(angle):
        return np.rint(128 + 85 * (np.cos(angle) * p + np.sin(angle) * q)).astype(np.uint8)

    # cos 0.28 = 0.961, cos 0.56 = 0.847, cos 0.35 = 0.939.
    flat = np.full((16, 16), 9, np.uint8)
    images = np.stack([flat, picture(0.56), picture(0), picture(0.28), picture(-0.35), flat])
    assert layouts.alike(images).tolist() == [0, 1, 1, 1, 4, 5]
    assert layouts.alike(images.repeat(2, axis=1).repeat(2, axis=2)).tolist() == [0, 1, 1, 1, 4, 5]


def test_ct_by_patient_in_hounsfield_units():
    card = like("tcga_lung_ct", 4, {"train": (1, 1), "test": (0, 1)}, subjects={"train": (1,), "test": (0,)})
    images = noise(3, 4, 4, kind=np.int16, high=4000) - 1024
    arrays = {
        "images_hu": images,
        "patient": np.array(["TCGA-B", "TCGA-A", "TCGA-B"]),
        "contrast": np.array([True, True, False]),
        "spacing_mm": np.array([[1, 1], [2, 2], [1, 1]], np.float32),
    }
    train, test = (layouts.read(found(**arrays), card, 4, split) for split in ("train", "test"))
    assert torch.equal(train.pixels, torch.from_numpy(images[[0, 2]]))
    assert train.pixels.dtype == torch.int16
    assert (train.labels.tolist(), train.subject.tolist()) == ([1, 0], [1, 1])
    assert test.spacing.tolist() == [[2, 2]]
    for changes in (
        {"images_hu": images.astype(np.uint8)},
        {"images_hu": images[:, :3]},
        {"patient": np.arange(3)},
        {"spacing_mm": arrays["spacing_mm"][:2]},
    ):
        with pytest.raises(CourseError, match="which is not what the set has"):
            layouts.read(found(**(arrays | changes)), card, 4, "train")


def eyes(side=4):
    vessels = noise(4, side, side, high=2)
    return {
        "images": noise(4, side, side, 3),
        "vessels_1st": vessels,
        "vessels_2nd": 1 - vessels,
        "names": np.array(["Image_01L", "Image_01R", "Image_02L", "Image_02R"]),
    }


def test_chase_by_child_with_two_experts():
    card = like("chase", 4, {"train": (1, 1), "test": (1, 1)}, subjects={"train": (1,), "test": (2,)})
    read = layouts.read(found(**eyes()), card, 4, "test")
    assert (read.labels.tolist(), read.subject.tolist()) == ([0, 1], [2, 2])
    assert torch.equal(read.pixels, torch.from_numpy(eyes()["images"][2:]))
    assert torch.equal(read.mask[:, 0], torch.from_numpy(eyes()["vessels_1st"][2:] == 1))
    assert torch.equal(read.mask[:, 1], ~read.mask[:, 0])
    with pytest.raises(CourseError, match="does not name its images"):
        layouts.read(found(**(eyes() | {"names": np.array(["a", "b", "c", "d"])})), card, 4, "test")
    for wrong in (noise(4, 4, 4, 4), noise(4, 4, 4)):
        with pytest.raises(CourseError, match="which is not what the set has"):
            layouts.read(found(**(eyes() | {"images": wrong})), card, 4, "test")
    with pytest.raises(CourseError, match="has no array images or vessels_1st"):
        layouts.read(found(**(eyes() | {"vessels_2nd": None})), card, 4, "test")


@pytest.mark.parametrize(
    ("name", "wrong"),
    [
        ("busi", {"labels": np.full(3, 0.5, np.float32)}),
        ("busi", {"masks": np.full((3, 4, 4), 0.5, np.float32)}),
        ("busi", {"masks": np.zeros((3, 4, 4), bool)}),
        ("openms3d", {"subject": np.array([4.0, 4, 9])}),
        ("openms3d", {"flair": np.zeros((3, 4, 4, 4), bool)}),
        ("openms3d", {"lesion": np.zeros((3, 4, 4, 4), np.float32)}),
        ("hippocampus", {"labels": np.zeros((3, 4, 4, 4), np.float32)}),
        ("tcga_lung_ct", {"contrast": np.zeros(3, np.float32)}),
        ("tcga_lung_ct", {"spacing_mm": np.ones((3, 2), np.uint8)}),
    ],
)
def test_numbers_of_another_kind(name, wrong):
    """Labels are whole numbers and masks whole numbers or bool: a half is neither."""
    cube, square = (3, 4, 4, 4), (3, 4, 4)
    arrays = {
        "busi": {"images": noise(*square), "masks": noise(*square, high=2), "labels": noise(3, high=1)},
        "openms3d": {name: noise(*cube) for name in ("t1", "t1gd", "t2", "flair")}
        | {"lesion": noise(*cube, high=2), "subject": np.array([4, 4, 9])},
        "hippocampus": {"images": noise(*cube), "labels": noise(*cube, high=3), "names": np.array(["a"] * 3)},
        "tcga_lung_ct": {
            "images_hu": noise(*square, kind=np.int16),
            "patient": np.array(["a"] * 3),
            "contrast": np.zeros(3, bool),
            "spacing_mm": np.ones((3, 2), np.float32),
        },
    }[name]
    axes = {key: array.ndim for key, array in (arrays | wrong).items()}
    card, file = data.card(name), files.Found(Path("set.npz"), b"", "here")
    layouts._check_shapes(file, card, arrays, axes, 4)
    if wrong.get("masks") is not None and wrong["masks"].dtype == bool:
        layouts._check_shapes(file, card, arrays | wrong, axes, 4)
        return
    with pytest.raises(CourseError, match="which is not what the set has"):
        layouts._check_shapes(file, card, arrays | wrong, axes, 4)


def test_nuclei_are_counted_one_by_one():
    counts = {"train": (7,), "val": (1,), "test": (2,)}
    instances = noise(10, 4, 4, kind=np.uint16, high=300)
    file = found(images=noise(10, 4, 4, 3), instances=instances, names=np.array(list("abcdefghij")))
    parts = [layouts.read(file, like("nuclei", 4, counts), 4, split) for split in counts]
    assert sorted(x.sum().item() for part in parts for x in part.instances) == sorted(
        instances.sum(axis=(1, 2)).tolist()
    )
    assert parts[0].instances.dtype == torch.int32
    assert torch.equal(parts[0].mask, parts[0].instances > 0)


def test_bccd_is_split_in_runs():
    counts = {"train": (2, 1, 0), "val": (0, 1, 0), "test": (0, 0, 2)}
    labels = np.array([0, 1, 0, 1, 2, 2], np.uint8)
    images = noise(6, 4, 4, 3)
    read = layouts.read(found(images=images, labels=labels), like("bccd", 4, counts), 4, "test")
    assert torch.equal(read.pixels, torch.from_numpy(images[4:]))
    with pytest.raises(CourseError, match="does not hold the train labels"):
        layouts.read(found(images=images, labels=labels[::-1]), like("bccd", 4, counts), 4, "train")


@pytest.mark.skipif(not os.environ.get("MEDGAN_DATA"), reason="needs the real files")
@pytest.mark.parametrize("name", ["bccd", "busi", "chase", "nuclei", "openms3d", "tcga_lung_ct"])
def test_the_real_files_are_what_the_cards_say(name):
    card = data.card(name)
    size = max(card.files)
    file = files.find(card.file(size))
    if file is None:
        pytest.skip("the data root lacks this file")
    parts = [layouts.read(file, card, size, split) for split in card.counts]
    if parts[0].subject is not None:
        everybody = [set(part.subject.tolist()) for part in parts]
        assert len(set.union(*everybody)) == sum(map(len, everybody))
    if name == "busi":
        assert len(set.union(*everybody)) == 595
    if name == "tcga_lung_ct":
        assert len(set.union(*everybody)) == 54
        assert parts[0].pixels.min() == -1024


def test_the_digest_is_of_the_arrays_not_of_the_file():
    card = like("bccd", 4, {"train": (6, 0, 0)})
    images, labels = noise(6, 4, 4, 3), np.zeros(6, np.uint8)
    stream = BytesIO()
    np.savez(stream, labels=labels, images=images, more=np.ones(3))
    loose = files.Found(Path("set.npz"), stream.getvalue(), "here")
    text = b"images |u1 (6, 4, 4, 3)\n" + images.tobytes() + b"labels |u1 (6,)\n" + labels.tobytes()
    expected = hashlib.md5(text).hexdigest()
    assert layouts.digest(loose, card, 4) == expected
    assert layouts.digest(found(images=images, labels=labels), card, 4) == expected
    images[5, 3, 3, 2] ^= 1
    assert layouts.digest(found(images=images, labels=labels), card, 4) != expected


def test_the_digest_of_medmnist_s_layout_is_of_all_splits():
    card = like("mednist", 4, {"train": (2, 1), "test": (1, 1)})
    arrays = {
        "train_images": noise(3, 4, 4),
        "train_labels": np.zeros((3, 1), np.uint8),
        "test_images": noise(2, 4, 4),
        "test_labels": np.ones((2, 1), np.uint8),
    }
    shapes = ["(3, 4, 4)", "(3, 1)", "(2, 4, 4)", "(2, 1)"]
    text = b"".join(
        f"{name} |u1 {shape}\n".encode() + array.tobytes()
        for (name, array), shape in zip(arrays.items(), shapes, strict=True)
    )
    assert layouts.digest(found(**arrays), card, 4) == hashlib.md5(text).hexdigest()


@pytest.mark.skipif(not os.environ.get("MEDGAN_DATA"), reason="needs the real files")
@pytest.mark.parametrize("name", [*originals.AUTOMATIC, *originals.BY_HAND])
def test_the_real_files_are_as_prepared(name):
    card = data.card(name)
    size = max(card.files)
    file = files.find(card.file(size))
    if file is None:
        pytest.skip("the data root lacks this file")
    assert layouts.digest(file, card, size) == card.prepared
