"""Damaged and wrong files are refused in one sentence and left as they are."""

import io
import zipfile

import numpy as np
import pytest

from medgan_course import data
from medgan_course.errors import CourseError


@pytest.fixture
def path(empty_home):
    folder = empty_home / ".medmnist"
    folder.mkdir()
    return folder / "tinymnist.npz"


def refused(path, match):
    """Load the file, expect the refusal, and check that the file was not touched."""
    before = path.read_bytes()
    with pytest.raises(CourseError, match=match) as refusal:
        data.load("tinymnist", download=False)
    assert str(path) in str(refusal.value)
    assert "delete it" in str(refusal.value)
    assert path.read_bytes() == before


@pytest.mark.parametrize("share", [0.0, 0.01, 0.5, 0.99])
def test_truncated(tiny, path, share):
    path.write_bytes(tiny.official[: int(share * len(tiny.official))])
    refused(path, "truncated, altered or no npz file")


def test_another_kind_of_file(tiny, path):
    path.write_text("<html>Please sign in to this wireless network</html>")
    refused(path, "no npz file")


def test_single_array_file(tiny, path):
    stream = io.BytesIO()
    np.save(stream, np.zeros(3))
    path.write_bytes(stream.getvalue())
    refused(path, "no npz file")


def test_altered_anywhere(tiny, path):
    """Whatever byte is changed, the answer is an image set or a sentence."""
    rng = np.random.default_rng(0)
    refusals = 0
    for position in rng.choice(len(tiny.official), 150, replace=False):
        altered = bytearray(tiny.official)
        altered[position] ^= 1 << int(rng.integers(8))
        path.write_bytes(altered)
        try:
            data.load("tinymnist", download=False)
        except CourseError:
            refusals += 1
    assert refusals > 10


def test_stored_bytes_altered(tiny, path):
    """Without compression only the checksum of the zip archive can tell."""
    with np.load(io.BytesIO(tiny.official)) as arrays:
        np.savez(path, **arrays)
    content = bytearray(path.read_bytes())
    with zipfile.ZipFile(path) as archive:
        start = archive.getinfo("train_images.npy").header_offset
    content[start + 1000] ^= 1
    path.write_bytes(content)
    refused(path, "truncated, altered")


def test_object_arrays_are_not_unpickled(tiny, path):
    tiny.write(path, train_images=np.array([{"a": 1}] * 6, dtype=object))
    refused(path, "holds Python objects, which may run anything and are not read: replace it")


@pytest.mark.parametrize("missing", ["train_images", "train_labels"])
def test_missing_array(tiny, path, missing):
    tiny.write(path, **{missing: None})
    refused(path, "has no array")


@pytest.mark.parametrize(
    ("changes", "match"),
    [
        ({"train_images": np.zeros((5, 28, 28), np.uint8)}, r"\(5, 28, 28\) uint8, not \(6, 28, 28\)"),
        ({"train_images": np.zeros((6, 32, 32), np.uint8)}, r"\(6, 32, 32\)"),
        ({"train_images": np.zeros((6, 28, 28, 3), np.uint8)}, r"\(6, 28, 28, 3\)"),
        ({"train_images": np.zeros((6, 28, 28), np.float64)}, "float64"),
        ({"train_labels": np.zeros((6, 1), np.float32)}, "float32"),
        ({"train_labels": np.zeros((5, 1), np.uint8)}, r"\(5, 1\)"),
        (
            {"train_labels": np.array([[1], [0], [0], [1], [0], [0]], np.uint8)},
            "does not hold the train labels",
        ),
        (
            {"train_labels": np.array([[0], [0], [1], [1], [1], [2]], np.uint8)},
            "does not hold the train labels",
        ),
        (
            {"train_labels": np.array([[0], [0], [1], [1], [1], [-1]], np.int8)},
            "does not hold the train labels",
        ),
    ],
)
def test_arrays_of_something_else(tiny, path, changes, match):
    tiny.write(path, **changes)
    refused(path, match)


def test_file_that_cannot_be_opened(tiny, path):
    path.mkdir()
    with pytest.raises(CourseError, match=r"tinymnist\.npz cannot be read \(Is a directory\)"):
        data.load("tinymnist", download=False)


def test_zip_bomb(tiny, path):
    """Two gigabytes in a small file are refused by the archive's table, before anything is unpacked."""
    tiny.write(path)
    content = bytearray(path.read_bytes())
    with zipfile.ZipFile(path) as archive:
        entry = archive.getinfo("train_images.npy")
    old, new = entry.file_size.to_bytes(4, "little"), (2**31).to_bytes(4, "little")
    table = content.rindex(b"PK\x01\x02", 0, content.rindex(b"train_images.npy"))
    at = content.index(old, table)
    content[at : at + 4] = new
    path.write_bytes(content)
    refused(path, "unpacks to more than")


def test_header_that_declares_terabytes(tiny, path):
    """Only the header of the array lies: no memory is taken for what is not there."""
    stream = io.BytesIO()
    np.lib.format.write_array_header_1_0(
        stream, {"descr": "|u1", "fortran_order": False, "shape": (2**45, 28, 28)}
    )
    tiny.write(path, train_images=None)
    with zipfile.ZipFile(path, "a") as archive:
        archive.writestr("train_images.npy", stream.getvalue() + bytes(1000))
    refused(path, "truncated, altered")


@pytest.mark.parametrize("name", ["train_images", "train_labels"])
def test_a_member_without_its_suffix_is_not_unpacked(tiny, path, name, monkeypatch):
    """NumPy reads ``train_images`` where ``train_images.npy`` is meant, whatever its size."""
    tiny.write(path, **{name: None})
    with zipfile.ZipFile(path, "a", zipfile.ZIP_DEFLATED) as archive:
        archive.writestr(name, bytes(2**22))
    monkeypatch.setattr(np, "load", lambda *_, **__: pytest.fail("unpacked"))
    refused(path, f"has no array .*{name}")
