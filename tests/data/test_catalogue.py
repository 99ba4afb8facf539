"""The cards are complete, and say what the sets' publishers say."""

import tomllib
from html import escape

import pytest

from medgan_course import data
from medgan_course.data import catalogue, command
from medgan_course.errors import CourseError


def medmnist_names():
    return [name for name in data.names() if data.card(name).homepage == catalogue.MEDMNIST_HOMEPAGE]


def test_all_sets_of_medmnist_have_a_card(published):
    assert sorted(published) == medmnist_names()


@pytest.mark.parametrize("name", medmnist_names())
def test_card_agrees_with_medmnist(published, name):
    ours, theirs = data.card(name), published[name]
    assert ours.title == theirs["python_class"]
    assert list(ours.class_names) == list(theirs["label"].values())
    assert ours.channels == theirs["n_channels"]
    assert ours.licence == theirs["license"]
    assert ours.images == theirs["n_samples"]
    assert ours.multi_label == theirs["task"].startswith("multi-label")
    assert ours.dim == (3 if name.endswith("3d") else 2)
    for split, counts in ours.counts.items():
        if ours.multi_label:
            assert max(counts) < ours.images[split]
        else:
            assert sum(counts) == ours.images[split]
    assert list(ours.files) == [28] + [int(key[4:]) for key in theirs if key.startswith("MD5_")]
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
        assert escape(text) in page


def test_ordered_and_reversed_labels_say_so():
    assert "ordinal" in data.card("retinamnist").task
    assert data.card("breastmnist").class_names[0] == "malignant"
    assert "NC" in data.card("dermamnist").licence


def test_classes_of_the_sources_add_up():
    """What MedMNIST drew from a published table cannot exceed it, and all of it was used."""
    whole = {  # HAM10000 (Tschandl et al. 2018, table 1), Acevedo et al. (2020, table 1)
        "dermamnist": (327, 514, 1099, 115, 1113, 6705, 142),
        "bloodmnist": (1218, 3117, 1551, 2895, 1214, 1420, 3329, 2348),
    }
    for name, expected in whole.items():
        counts = data.card(name).counts
        assert tuple(map(sum, zip(*counts.values(), strict=True))) == expected


def test_unconfirmed_balance_is_said():
    for name in medmnist_names():
        card = data.card(name)
        assert ("class balance to be confirmed" in card._repr_html_()) is not card.balance_confirmed


def test_another_set_is_another_card(tiny):
    assert data.names() == ["tinymnist"]
    assert data.card("tinymnist").counts == {"train": (2, 4), "val": (1, 2), "test": (3, 1)}


def test_what_cards_share_lies_in_one_file(tiny):
    (catalogue.FOLDER / "_all.toml").write_text('licence = "CC0"\nfaults = ["It is invented."]')
    (catalogue.FOLDER / "_some.toml").write_text(
        'shares = "_all"\norgan = "knee"\ntask = "none"\nfaults = ["It is small."]'
    )
    path = catalogue.FOLDER / "tinymnist.toml"
    lines = [line for line in path.read_text().splitlines() if not line.startswith(("licence", "organ"))]
    path.write_text("\n".join(['shares = "_some"', *lines]))
    card = data.card("tinymnist")
    assert (card.licence, card.organ) == ("CC0", "knee")
    assert card.task == "binary classification"  # its own
    assert card.faults == ("It does not exist.", "It is small.", "It is invented.")
    assert card.citation == ("Nobody (2026)",)
    assert data.names() == ["tinymnist"]
    with pytest.raises(CourseError, match="no image set '_all'"):
        data.card("_all")


def test_what_several_cards_say_is_written_once():
    """Two cards that have one sentence in common and no more are left alone."""
    found = {}
    for path in sorted(catalogue.FOLDER.glob("*.toml")):
        fields = tomllib.loads(path.read_text("utf-8"))
        own = [fields.get(key, "") for key in ("source", "intended", "homepage")] + fields.get("faults", [])
        for sentence in filter(None, own):
            found.setdefault(sentence, []).append(path.stem)
    assert {sentence: files for sentence, files in found.items() if len(files) > 2} == {}


def test_cards_cannot_be_changed(tiny):
    with pytest.raises(AttributeError):
        data.card("tinymnist").title = "mine"


def test_shares_of_classes_that_are_invented_are_called_so():
    """Several classes of one size, to within one image, are a placeholder unless the balance is confirmed."""
    for card in map(catalogue.card, catalogue.names()):
        equal = any(len(n) > 2 and max(n) - min(n) <= 1 for n in card.counts.values())
        # OCTMNIST's test split is known to be 4 x 250: its source says so.
        invented = equal and not card.balance_confirmed and card.name != "octmnist"
        assert ("class balance is invented" in " ".join(card.faults)) is invented


def test_one_place_says_what_a_card_says():
    card = catalogue.card("busi")
    shown = command.rows(card)
    assert list(shown)[-1] == "Files"
    assert {title: shown[title] for title in card.rows} == card.rows
    page = card._repr_html_()
    for title in card.rows:
        assert title in page
