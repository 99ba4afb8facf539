"""Phantoms stand in for a set with its shape and counts, and nobody can overlook it."""

import sys

import pytest
import torch

from medgan_course import data
from medgan_course.data import catalogue, surrogate

pytestmark = pytest.mark.usefixtures("no_network", "empty_home")


def test_shape_counts_and_values(tiny):
    for split, counts in {"train": [2, 4], "val": [1, 2], "test": [3, 1]}.items():
        phantoms = data.load("tinymnist", split=split)
        assert phantoms.is_surrogate
        assert phantoms.images.shape == (sum(counts), 1, 28, 28)
        assert phantoms.images.dtype == torch.float32
        assert phantoms.labels.dtype == torch.int64
        assert torch.bincount(phantoms.labels).tolist() == counts
        assert phantoms.images.min() >= -1
        assert phantoms.images.max() <= 1
        assert phantoms.images.std() > 0.15


def test_as_many_as_in_the_real_set():
    phantoms = data.load("pneumoniamnist", split="val", download=False)
    assert phantoms.images.shape == (524, 1, 28, 28)
    assert torch.bincount(phantoms.labels).tolist() == [135, 389]


def test_a_large_set_gets_a_smaller_stand_in_with_its_shares():
    labels, first = surrogate.population(data.card("dermamnist"), "val", most=500)
    assert torch.bincount(labels).tolist() == [
        16,
        26,
        55,
        6,
        55,
        335,
        7,
    ]  # of 33 52 110 12 111 671 14 in 1,003
    assert first == 7007  # whoever is in train, there or not
    assert len(surrogate.population(data.card("pathmnist"), "train", most=5000)[0]) == 5000


def test_fewer_phantoms_than_images_are_said(tiny, monkeypatch):
    assert "computed phantoms, because" in data.load("tinymnist").source
    monkeypatch.setattr(surrogate, "MOST", {2: 3})
    surrogate.arrays.cache_clear()
    phantoms = data.load("tinymnist")
    assert len(phantoms) == 3
    assert "computed phantoms, 3 for 6 images, because" in phantoms.source


MEDMNIST = [name for name in data.names() if data.card(name).homepage == catalogue.MEDMNIST_HOMEPAGE]


@pytest.mark.parametrize("name", MEDMNIST)
def test_every_set_of_medmnist_has_a_stand_in(name, monkeypatch):
    card = data.card(name)
    monkeypatch.setattr(surrogate, "MOST", {2: len(card.class_names), 3: 2})
    labels = torch.arange(len(card.class_names))[: 2 if card.dim == 3 else None]
    if not card.multi_label:
        monkeypatch.setattr(surrogate, "population", lambda *arguments: (labels, 0))
    surrogate.arrays.cache_clear()
    pixels, labels, *_ = surrogate.arrays(name, 28, "val")
    surrogate.arrays.cache_clear()
    assert pixels.dtype == torch.uint8
    assert pixels.shape == (len(labels), *[28] * card.dim, *([3] if card.channels == 3 else []))
    assert pixels.float().flatten(1).std(dim=1).min() > 2  # none is empty
    assert not pixels[0].equal(pixels[1])


def test_no_class_is_lost_in_a_smaller_stand_in():
    labels, _ = surrogate.population(data.card("dermamnist"), "test", most=20)
    assert torch.bincount(labels, minlength=7).min() == 1
    assert len(labels) == 20


def test_several_labels_an_image():
    labels, _ = surrogate.population(data.card("chestmnist"), "val")
    assert labels.shape == (11219, 14)
    assert labels.sum(dim=0).tolist() == list(data.card("chestmnist").counts["val"])
    none = (labels.sum(dim=1) == 0).float().mean()
    shares = torch.tensor(data.card("chestmnist").counts["val"]) / 11219
    torch.testing.assert_close(none, (1 - shares).prod(), atol=0.02, rtol=0)  # the labels are independent


def test_no_subject_is_in_two_splits(tiny):
    images = torch.cat([data.load("tinymnist", split=split).images for split in ("train", "val", "test")])
    apart = torch.cdist(images.flatten(1), images.flatten(1)) + 1e9 * torch.eye(len(images))
    assert apart.min() > 1


def test_again_the_same(tiny):
    first = data.load("tinymnist")
    surrogate.arrays.cache_clear()
    again = data.load("tinymnist")
    assert torch.equal(first.images, again.images)
    assert torch.equal(first.labels, again.labels)


def test_changing_one_copy_leaves_the_next_alone(tiny):
    first = data.load("tinymnist")
    before = first.labels.clone()
    first.images.zero_()
    first.labels.zero_()
    assert data.load("tinymnist").images.any()
    assert torch.equal(data.load("tinymnist").labels, before)


def test_one_line_on_stderr_once(tiny, capsys):
    data.load("tinymnist", split="train")
    data.load("tinymnist", split="val")
    out, err = capsys.readouterr()
    assert out == ""
    assert err.count("\n") == 1
    assert err.startswith("SURROGATE DATA: These are computed phantoms, not patients' images, because")
    assert "no connection to tiny.invalid" in err
    assert "MEDGAN_DATA" in err
    assert data.surrogates_in_use() == {"tinymnist"}


def test_nothing_is_said_of_real_files(tiny, empty_home, capsys):
    tiny.write(empty_home / ".medmnist" / "tinymnist.npz")
    data.load("tinymnist")
    assert capsys.readouterr().err == ""
    assert data.surrogates_in_use() == frozenset()


def test_banner_in_a_notebook(tiny, monkeypatch, capsys):
    pytest.importorskip("IPython")
    tiny.describe(url="https://<tiny>&.invalid/tinymnist.npz")
    shown = []
    monkeypatch.setitem(sys.modules, "ipykernel", sys)
    monkeypatch.setattr("IPython.get_ipython", object)
    monkeypatch.setattr("IPython.display.display", lambda bundle, raw: shown.append(bundle))
    data.load("tinymnist")
    data.load("tinymnist", split="test")
    assert len(shown) == 1
    banner = shown[0]["text/html"]
    assert banner.startswith('<div class="surrogate-data" role="alert"')
    assert "SURROGATE DATA" in banner
    assert "&lt;tiny&gt;&amp;.invalid" in banner
    assert shown[0]["text/plain"].startswith("SURROGATE DATA: ")
    assert capsys.readouterr().err == ""


def test_without_ipython(tiny, monkeypatch, capsys):
    monkeypatch.setitem(sys.modules, "IPython", None)  # importing it now fails
    monkeypatch.delitem(sys.modules, "ipykernel", raising=False)
    assert data.load("tinymnist").is_surrogate
    assert "SURROGATE DATA" in capsys.readouterr().err


def test_ipykernel_imported_but_no_kernel_running(tiny, monkeypatch, capsys):
    pytest.importorskip("IPython")
    monkeypatch.setitem(sys.modules, "ipykernel", sys)
    monkeypatch.setattr("IPython.get_ipython", lambda: None)
    data.load("tinymnist")
    assert "SURROGATE DATA" in capsys.readouterr().err
