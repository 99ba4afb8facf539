"""The cards are complete, and say what the sets' publishers say."""

import importlib.util

import pytest

from medgan_course import data
from medgan_course.data import catalogue


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


@pytest.mark.parametrize(
    "name", [name for name in data.names() if data.card(name).homepage.endswith("medmnist.com")]
)
def test_card_agrees_with_medmnist(published, name):
    ours, theirs = data.card(name), published[name]
    assert ours.title == theirs["python_class"]
    assert list(ours.class_names) == list(theirs["label"].values())
    assert ours.channels == theirs["n_channels"]
    assert ours.licence == theirs["license"]
    assert {split: sum(count) for split, count in ours.counts.items()} == theirs["n_samples"]
    assert all(len(count) == len(theirs["label"]) for count in ours.counts.values())
    for size, file in ours.files.items():
        suffix = "" if size == 28 else f"_{size}"
        assert file == catalogue.File(
            f"{name}{suffix}.npz", size, theirs[f"MD5{suffix}"], theirs[f"url{suffix}"]
        )


@pytest.mark.parametrize("name", data.names())
def test_card_is_shown_whole(name):
    card = data.card(name)
    page = card._repr_html_()
    for text in (card.title, card.licence, card.source, *card.class_names, *card.faults, card.unsuitable):
        assert text.replace("'", "&#x27;") in page


def test_another_set_is_another_card(tiny):
    assert data.names() == ["tinymnist"]
    assert data.card("tinymnist").counts == {"train": (2, 4), "val": (1, 2), "test": (3, 1)}


def test_cards_cannot_be_changed(tiny):
    with pytest.raises(AttributeError):
        data.card("tinymnist").title = "mine"
