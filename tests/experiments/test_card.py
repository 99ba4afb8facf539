import copy
import json
from dataclasses import asdict
from pathlib import Path

import pytest

from medgan_course.errors import CourseError
from medgan_course.experiments import card as cards
from medgan_course.experiments.card import SCHEMA, ResultsCard, table

CLAIM = {
    "statement": "A is lower than B.",
    "metric": "error",
    "kind": "difference",
    "better": "lower",
    "variant": "A",
    "baseline": "B",
    "margin": 0.1,
    "fails": None,
    "values": {"A": [1.0, 1.1, 1.2], "B": [2.0, 2.0, 2.0], "floor": [0.0, 0.0, 0.0]},
    "quantities": [-1.0, -0.9, -0.8],
    "mean": -0.9,
    "interval": [-1.0, -0.8],
    "verdict": "supported",
}
CARD = {
    "system": "toy",
    "title": "S90, toy (Nobody 2000)",
    "profile": "cpu",
    "seeds": [0, 1, 2],
    "claims": [CLAIM],
    "data": [
        {"name": "numbers", "split": "all", "size": 8, "n": 1234, "source": "Counted.", "surrogate": False}
    ],
    "settings": {"steps": 10, "word": "x", "flag": True, "rate": 0.5},
    "parameters": {"A": {"G": 12345}, "B": {}},
    "seconds": {"A": [1.0, 2.0, 3.0], "B": [0.1, 0.1, 0.1]},
    "device": "CPU, 1 thread(s)",
    "versions": {"torch": "2.0"},
    "command": "medgan run toy",
    "made": "2026-01-01",
}


def changed(path, value):
    """Return the card with ``value`` at ``path``; None as a value removes."""
    card = copy.deepcopy(CARD)
    *parents, last = path
    inner = card
    for key in parents:
        inner = inner[key]
    if value is None:
        del inner[last]
    else:
        inner[last] = value
    return card


def test_written_and_read_it_is_the_same(tmp_path):
    card = ResultsCard(**CARD)
    card.write(tmp_path / "new" / "toy-cpu.json")
    assert ResultsCard.read(tmp_path / "new" / "toy-cpu.json") == card
    assert asdict(card) == CARD


@pytest.mark.parametrize(
    ("path", "value", "sentence"),
    [
        (("claims", 0, "verdict"), "contradicted", "say 'supported', not 'contradicted'"),
        (("claims", 0, "verdict"), "not shown at this scale", "say 'supported'"),
        (("claims", 0, "margin"), 0.9, "say 'not shown at this scale'"),
        (("claims", 0, "margin"), 1.5, "say 'contradicted'"),
        (("claims", 0, "interval"), [-1.0, 0.2], "say 'not shown at this scale'"),
        (("claims", 0, "interval"), [-0.8, -1.0], "upside down"),
        (("claims", 0, "better"), "higher", "say 'contradicted'"),
        (("claims", 0, "values", "A"), [1.0, 1.1, 1.3], "give the difference"),
        (("claims", 0, "quantities"), [-1.0, -0.9, -0.9], "give the difference"),
        (("claims", 0, "mean"), -0.95, "the mean is -0.9"),
        (("claims", 0, "values", "floor"), [0.0], "one value for each of the 3 seeds"),
        (("seeds",), [0, 1], "one value for each of the 2 seeds"),
        (("profile",), "smoke", "say 'not shown at this scale'"),
        (("claims", 0, "kind"), "value", "missing"),
        (("claims", 0, "baseline"), "C", "missing"),
    ],
)
def test_a_number_or_verdict_changed_by_hand_is_found(tmp_path, path, value, sentence):
    (tmp_path / "card.json").write_text(json.dumps(changed(path, value)))
    with pytest.raises(CourseError, match="contradicts itself in 'A is lower") as caught:
        ResultsCard.read(tmp_path / "card.json")
    assert sentence in str(caught.value)


INVALID = [
    (("profile",), "tpu", "card.profile is 'tpu', not one of"),
    (("seeds",), [], "card.seeds has 0 entries"),
    (("seeds",), [0, True, 2], "card.seeds[1] is True, not integer"),
    (("claims", 0, "margin"), "0.1", "card.claims[0].margin is '0.1', not number"),
    (("claims", 0, "interval"), [1.0], "card.claims[0].interval has 1 entries"),
    (("claims", 0, "verdict"), None, "card.claims[0].verdict is missing"),
    (("claims", 0, "mood"), "good", "card.claims[0].mood is unknown"),
    (("claims", 0, "values", "A"), 3, "card.claims[0].values.A is 3, not array"),
    (("data", 0, "surrogate"), 0, "card.data[0].surrogate is 0, not boolean"),
    (("settings", "list"), [1], "card.settings.list is [1], not string or number or boolean"),
]


@pytest.mark.parametrize(("path", "value", "sentence"), INVALID)
def test_what_the_schema_forbids(path, value, sentence):
    with pytest.raises(CourseError, match="not valid") as caught:
        ResultsCard(**changed(path, value))
    assert sentence in str(caught.value)


def test_numbers_that_json_has_not():
    with pytest.raises(CourseError, match=r"card.claims\[0\].mean is nan"):
        ResultsCard(**changed(("claims", 0, "mean"), float("nan")))


def test_our_reading_of_the_schema_is_that_of_a_json_schema_library():
    jsonschema = pytest.importorskip("jsonschema")
    jsonschema.Draft202012Validator.check_schema(SCHEMA)
    validator = jsonschema.Draft202012Validator(SCHEMA)
    cases = [CARD, *(changed(path, value) for path, value, _ in INVALID)]
    for case in cases:
        ours = list(cards._problems(case, SCHEMA, "card"))
        assert len(ours) == len(list(validator.iter_errors(case))), ours
    assert not list(cards._problems(CARD, SCHEMA, "card"))
    assert SCHEMA["properties"].keys() == ResultsCard.__dataclass_fields__.keys()


@pytest.mark.parametrize(
    ("content", "sentence"),
    [
        ("{", "no readable results card"),
        ("[]", "no object"),
        (json.dumps(CARD | {"mood": "good"}), "mood"),
        (json.dumps({key: value for key, value in CARD.items() if key != "made"}), "made"),
    ],
)
def test_no_card_at_all(tmp_path, content, sentence):
    (tmp_path / "card.json").write_text(content)
    with pytest.raises(CourseError, match="make it again") as caught:
        ResultsCard.read(tmp_path / "card.json")
    assert sentence in str(caught.value)


def test_a_card_that_cannot_be_written(tmp_path):
    (tmp_path / "file").touch()
    with pytest.raises(CourseError, match="cannot be written"):
        ResultsCard(**CARD).write(tmp_path / "file" / "card.json")


def test_the_report_says_what_a_reader_needs():
    report = str(ResultsCard(**CARD))
    for part in (
        "SUPPORTED: A is lower than B.",
        "A minus B",
        "95 % interval of A minus B: [-1, -0.8]; the claim says below -0.1.",
        "floor",
        "covers the truth in 75 %",
        "1,234 images of 8 px: Counted",
        "A: G 12,345 weights, 2.0 s a seed",
        "B: 0.1 s a seed",
        "profile cpu on CPU, 1 thread(s); torch 2.0",
        "medgan run toy",
    ):
        assert part in report


def test_a_page_shows_the_same_report():
    card = ResultsCard(**changed(("claims", 0, "statement"), "A < B & less."))
    page = card._repr_html_()
    assert "A &lt; B &amp; less." in page
    for part in ("<strong>supported</strong>", "A minus B", "[-1, -0.8]", "floor", "75 %", "medgan run toy"):
        assert part in page
    assert "SURROGATE" not in page
    assert "SURROGATE" in ResultsCard(**changed(("data", 0, "surrogate"), True))._repr_html_()


def test_a_surrogate_is_said_wherever_the_numbers_are():
    card = ResultsCard(**changed(("data", 0, "surrogate"), True))
    assert card.is_surrogate
    assert "SURROGATE" in str(card)
    assert "SURROGATE" in str(table([card]))
    assert "SURROGATE" not in str(table([ResultsCard(**CARD)]))


def test_a_value_is_reported_once():
    claim = CLAIM | {
        "kind": "value",
        "baseline": None,
        "quantities": CLAIM["values"]["A"],
        "mean": 1.1,
        "interval": [1.0, 1.2],
        "margin": 1.5,
    }
    report = str(ResultsCard(**changed(("claims", 0), claim)))
    assert [line.split()[0] for line in report.splitlines() if "1.2 " in line and "%" not in line] == ["A"]


@pytest.mark.parametrize(("seeds", "sentence"), [(2, "2 of the 3 seeds"), (5, None)])
def test_what_the_number_of_seeds_allows(seeds, sentence):
    claim = CLAIM | {
        "values": {"A": [1.0] * seeds, "B": [2.0] * seeds},
        "quantities": [-1.0] * seeds,
        "mean": -1.0,
        "interval": [-1.0, -1.0],
        "verdict": "supported" if seeds > 2 else "not shown at this scale",
    }
    seconds = {"A": [1.0] * seeds, "B": [1.0] * seeds}
    report = str(ResultsCard(**CARD | {"claims": [claim], "seeds": list(range(seeds)), "seconds": seconds}))
    assert ("nothing can be shown" in report) == (sentence is not None)
    assert sentence is None or sentence in report
    assert "little more than their range" not in report


def test_the_table_has_a_row_for_each_claim():
    shown = str(table([ResultsCard(**CARD)]))
    for part in (
        "S90, toy",
        "error",
        "A minus B",
        "-0.9 [-1, -0.8]",
        "below -0.1",
        "supported",
        "cpu, 3 seeds",
    ):
        assert part in shown


def test_points_are_no_images_and_one_seed_no_seeds():
    assert "1,234 points: Counted" in str(
        ResultsCard(**changed(("data", 0), CARD["data"][0] | {"size": None}))
    )
    one = CLAIM | {
        "values": {"A": [1.0], "B": [2.0]},
        "quantities": [-1.0],
        "mean": -1.0,
        "verdict": "not shown at this scale",
    }
    shown = str(table([ResultsCard(**CARD | {"claims": [one], "seeds": [0]})]))
    assert "cpu, 1 seed" in shown
    assert "seeds" not in shown


def test_the_committed_cards_are_valid():
    paths = list((Path(__file__).parents[2] / "results").glob("*.json"))
    assert paths
    for path in paths:
        ResultsCard.read(path)
