"""A set of 13 images, as a card and as a file, so that loading can be tested in milliseconds."""

import hashlib
import importlib.util
from pathlib import Path
from types import SimpleNamespace

import numpy as np
import pytest

from medgan_course.data import catalogue, surrogate

CARD = """\
title = "TinyMNIST"
modality = "X-ray"
organ = "chest"
task = "binary classification"
class_names = ["well", "ill"]
channels = {channels}
phantom = "chest"
licence = "CC0"
source = "this test"
homepage = "https://tiny.invalid"
citation = ["Nobody (2026)"]
faults = ["It does not exist."]
intended = "Tests."
unsuitable = "All else."
[counts]
train = [2, 4]
val = [1, 2]
test = [3, 1]
[files.28]
name = "tinymnist.npz"
md5 = "{md5}"
url = "{url}"
"""


def write_npz(path: Path, **changes: np.ndarray | None) -> None:
    """Write a correct file of the set, but for ``changes``; None leaves an array out."""
    rng = np.random.default_rng(0)
    arrays = {}
    for split, labels in {"train": [0, 1, 1, 0, 1, 1], "val": [1, 0, 1], "test": [0, 0, 1, 0]}.items():
        arrays[f"{split}_images"] = rng.integers(0, 256, (len(labels), 28, 28), dtype=np.uint8)
        arrays[f"{split}_labels"] = np.array(labels, np.uint8)[:, None]
    arrays |= changes
    path.parent.mkdir(parents=True, exist_ok=True)
    np.savez_compressed(path, **{key: value for key, value in arrays.items() if value is not None})


@pytest.fixture
def tiny(tmp_path, monkeypatch):
    """Put the tiny set's card in the place of all others.

    Returns a namespace with ``official``, the bytes of the official file, ``write(path, **changes)``, which
    writes another one, and ``describe(url=, channels=)``, which rewrites the card.
    """
    cards = tmp_path / "cards"
    cards.mkdir()
    monkeypatch.setattr(catalogue, "FOLDER", cards)
    surrogate.arrays.cache_clear()
    master = tmp_path / "master" / "tinymnist.npz"
    write_npz(master)
    official = master.read_bytes()

    def describe(url="https://tiny.invalid/tinymnist.npz", channels=1):
        text = CARD.format(md5=hashlib.md5(official).hexdigest(), url=url, channels=channels)
        (cards / "tinymnist.toml").write_text(text)

    describe()
    yield SimpleNamespace(official=official, write=write_npz, describe=describe)
    surrogate.arrays.cache_clear()


@pytest.fixture
def published(empty_home):
    """Return medmnist's own table, without the seconds that importing all of medmnist takes."""
    package = importlib.util.find_spec("medmnist")
    if package is None:
        pytest.skip("medmnist is not installed")
    spec = importlib.util.spec_from_file_location("info", f"{package.submodule_search_locations[0]}/info.py")
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    return module.INFO
