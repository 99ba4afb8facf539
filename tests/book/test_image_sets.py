"""Every set has a page with its card and pictures; what is shown is what the page says it is."""

import re
from pathlib import Path

import image_sets
import numpy as np
import pytest
import torch
from PIL import Image

from medgan_course.data import catalogue
from medgan_course.data.command import rows


@pytest.fixture
def only(monkeypatch: pytest.MonkeyPatch):
    """Let there be one set."""

    def choose(name: str) -> catalogue.Card:
        monkeypatch.setattr(catalogue, "names", lambda: [name])
        return catalogue.card(name)

    return choose


@pytest.fixture(autouse=True)
def without_data(empty_home: Path, no_network: None) -> None:
    """Find no file on this machine."""


def test_a_page_is_the_card_with_pictures(only, tmp_path: Path) -> None:
    card = only("breastmnist")
    image_sets.write(tmp_path)
    page = (tmp_path / "breastmnist.md").read_text("utf-8")
    assert page.count("# BreastMNIST\n") == 1
    for content in rows(card).values():
        for item in [content] if isinstance(content, str) else content:
            assert image_sets._linked(item) in page
    pictures = re.findall(r"```\{image\} (\S+)\n:alt: (.+)\n", page)
    assert len(pictures) == 2
    for (path, alt), name in zip(pictures, card.class_names, strict=True):
        assert alt == f"16 phantoms of BreastMNIST, 8 in a row: {name}."
        with Image.open(tmp_path / path) as picture:
            assert picture.size == (8 * 64 + 7, 2 * 64 + 1)
        assert (tmp_path / path).stat().st_size < 60_000


def test_phantoms_in_the_place_of_a_set_are_called_so(only, tmp_path: Path) -> None:
    only("breastmnist")
    image_sets.write(tmp_path)
    page = (tmp_path / "breastmnist.md").read_text("utf-8")
    assert 'class="surrogate-data" role="alert"' in page
    assert "none selected" not in page
    only("head2d")
    image_sets.write(tmp_path)
    assert "surrogate-data" not in (tmp_path / "head2d.md").read_text("utf-8")  # phantoms are what it is


def test_real_images_are_shown_where_the_file_is(tmp_path: Path, monkeypatch, empty_home: Path, only) -> None:
    card = only("breastmnist")
    levels = {"train": 10, "val": 200, "test": 90}
    arrays = {}
    for split, counts in card.counts.items():
        arrays[f"{split}_images"] = np.full((sum(counts), 64, 64), levels[split], np.uint8)
        arrays[f"{split}_labels"] = np.repeat([0, 1], counts)[:, None]
    (empty_home / ".medmnist").mkdir()
    np.savez(empty_home / ".medmnist" / "breastmnist_64.npz", **arrays)
    image_sets.write(tmp_path)
    page = (tmp_path / "breastmnist.md").read_text("utf-8")
    assert "surrogate-data" not in page
    assert "none selected. breastmnist_64.npz in ~/.medmnist, a rebuilt copy" in page
    assert "BreastMNIST, CC BY 4.0: Al-Dhabyani" in page  # the attribution that the licence asks for
    with Image.open(tmp_path / "images" / "breastmnist-0.webp") as picture:
        assert (
            abs(picture.convert("L").getpixel((30, 30)) - 200) < 4
        )  # val, the smallest split with 16 of each class


def test_a_licence_against_commerce_keeps_the_images_off_the_page() -> None:
    assert "NC" in catalogue.card("dermamnist").licence
    assert not image_sets.shows_real_images(catalogue.card("dermamnist"))


def test_contrasts_are_shown_of_the_same_slices_each_in_its_window(only, tmp_path: Path) -> None:
    only("head2d")
    shown, source = image_sets.sheets(catalogue.card("head2d"))
    assert [sheet.title for sheet in shown][:4] == ["T1", "T2", "PD", "FLAIR"]
    assert {sheet.title: sheet.scale.unit for sheet in shown}["CT"] == "HU"
    assert source == "Computed phantoms."
    assert all(len(sheet.images) == 8 for sheet in shown)


def test_a_page_is_made_anew_only_when_something_has_changed(only, tmp_path: Path, monkeypatch) -> None:
    only("breastmnist")
    image_sets.write(tmp_path)
    monkeypatch.setattr(image_sets, "sheets", lambda card: pytest.fail("drawn again"))
    image_sets.write(tmp_path)
    monkeypatch.setattr(image_sets, "_fingerprint", lambda card: "another")
    with pytest.raises(pytest.fail.Exception, match="drawn again"):
        image_sets.write(tmp_path)


def test_the_page_of_a_set_that_is_gone_goes(only, tmp_path: Path) -> None:
    folder = tmp_path / "data"
    folder.mkdir()
    (folder / "gone.md").touch()
    only("breastmnist")
    image_sets.write(folder)
    assert sorted(path.name for path in folder.iterdir()) == ["breastmnist.md", "images", "table.txt"]


def test_the_table_links_to_every_page() -> None:
    table = "\n".join(image_sets._table())
    assert re.findall(r'href="data/(\w+)\.html"', table) == catalogue.names()


def test_the_table_scrolls_by_itself_on_a_phone() -> None:
    lines = list(image_sets._table())
    assert lines[0] == '<div style="overflow-x:auto" tabindex="0" role="region" aria-label="The image sets">'
    assert lines[-1] == "</tbody></table></div>"


def test_positions_are_spread_over_all_there_are() -> None:
    assert image_sets._evenly(torch.arange(0, 100, 10), 4).tolist() == [0, 30, 60, 90]
    assert image_sets._evenly(torch.tensor([5, 9]), 8).tolist() == [5, 9]
    assert image_sets._evenly(torch.tensor([], dtype=torch.long), 8).tolist() == []
