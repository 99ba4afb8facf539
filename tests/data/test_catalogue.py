"""The cards are complete, and say what the sets' publishers say."""

from html import escape

import pytest

from medgan_course import data
from medgan_course.data import catalogue, command


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
