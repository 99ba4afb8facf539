"""Every system is in the atlas with its paper, its verdicts, and the section that explains it."""

import json
import re
from pathlib import Path

import pytest
import system_atlas
from chapter_text import Piece

from medgan_course.experiments.card import ResultsCard
from medgan_course.experiments.runner import titles

ROOT = Path(__file__).parents[2]


def piece(section: str, text: str = "", *, chapter: str = "02_x", code: bool = False) -> Piece:
    return Piece(chapter, "Title", section, section.lower(), text, code)


IMPORT = piece("Title", "from medgan_course.systems import gan, vae\nbudget = gan.budget()", code=True)


def test_a_heading_that_names_the_system_is_where_it_is_taught() -> None:
    found = [IMPORT, piece("Use", "vae.vae() {cite}`k2014`"), piece("WGAN-GP"), piece("A VAE, drawn")]
    assert system_atlas.taught("vae", "S02, VAE (Kingma & Welling 2014)", "k2014", found) == found[3]
    assert system_atlas.taught("wgan", "S04, WGAN (Arjovsky 2017)", "", found) is None


@pytest.mark.parametrize(
    "used",
    [
        piece("Play", "x = gan.duel()", code=True),
        piece("Play", "straight from `systems/gan.py`:"),
        piece("Play", 'ResultsCard.read(folder() / "gan-cpu.json")', code=True),
    ],
    ids=["code", "file", "card"],
)
def test_without_such_a_heading_it_is_where_the_imported_module_is_used(used: Piece) -> None:
    before = [
        piece("Earlier", "gan.duel()", chapter="01_x", code=True),  # nothing is imported there
        IMPORT,
        piece("Other", "dcgan.sampler(game), cyclegan.py, nets.gan.x", code=True),
    ]
    title = "S01, vanilla GAN (Goodfellow et al. 2014)"
    assert system_atlas.taught("gan", title, "", [*before, used]) == used
    assert system_atlas.taught("gan", title, "", before) == IMPORT


def test_where_its_paper_is_cited_a_system_is_introduced() -> None:
    cited = piece("Idea", "By Goodfellow {cite}`x2000,goodfellow2014` and others.")
    found = [piece("Before", cited.text, chapter="01_x"), IMPORT, piece("Use", "gan.duel()"), cited]
    title = "S01, vanilla GAN (Goodfellow et al. 2014)"
    assert system_atlas.taught("gan", title, "goodfellow2014", found) == cited
    assert system_atlas.taught("gan", title, "goodfellow20", found) == found[2]


def test_the_systems_of_the_chapters_are_found_in_them(atlas: str) -> None:
    home = {
        2: ["gan", "vae"],
        4: ["dcgan", "wgan", "wgan_gp", "lsgan"],
        5: ["infogan", "spade", "conditional_gan", "acgan", "pix2pix"],
        6: ["cyclegan"],
        7: ["vdsr", "edsr", "srgan"],
        8: ["ssgan", "triple_gan"],
    }
    for number, names in home.items():
        for name in names:
            assert f"Taught in [chapter {number}, " in entry(atlas, name), name


def test_a_system_that_nobody_imports_is_taught_where_its_card_is_read() -> None:
    read = piece("Stakes", 'ResultsCard.read(folder() / "wgan-cpu.json")', code=True)
    found = [piece("Before", '"wgan-cpu.json"'), piece("Other", '"wgan_gp-cpu.json"', code=True), read]
    assert system_atlas.taught("wgan", "S04, WGAN (Arjovsky 2017)", "", found) == read


@pytest.fixture
def root(tmp_path: Path) -> Path:
    """Return a book whose bibliography, chapters and cards are to be filled."""
    for folder in ("chapters", "results", "book"):
        (tmp_path / folder).mkdir()
    (tmp_path / "book" / "references.bib").write_text(
        "@misc{k2014, author={Kingma, D}, title={{Auto-Encoding} Variational {Bayes}}, year={2014}}"
        "@misc{g2014, author={Goodfellow, I}, title={Generative Adversarial Nets}, year={2014}}",
        "utf-8",
    )
    return tmp_path


@pytest.fixture(scope="module")
def atlas() -> str:
    """Return the page of this repository."""
    return system_atlas.page(ROOT)


def entry(page: str, name: str) -> str:
    return page.partition(f"(system-{name})=")[2].partition("(system-")[0]


def test_a_system_without_a_card_says_so_and_how_to_make_one(root: Path) -> None:
    page = system_atlas.page(root)
    assert "No card yet: `medgan run vae`." in entry(page, "vae")
    assert "Not in a chapter yet" in entry(page, "vae")
    for name in titles():
        assert f"<system-{name}>" in page.partition("(system-")[0]
        assert entry(page, name)


def test_a_paper_is_cited_where_the_bibliography_has_it(root: Path) -> None:
    page = system_atlas.page(root)
    assert "{cite:t}`k2014`" in entry(page, "vae")
    assert "{cite:t}`g2014`" in entry(page, "gan")
    assert "Mirza & Osindero 2014." in entry(
        page, "conditional_gan"
    )  # *Conditional Generative Adversarial Nets*
    assert "Radford, Metz & Chintala 2016." in entry(page, "dcgan")


def test_verdicts_are_those_of_the_cards_in_words(root: Path) -> None:
    card = (ROOT / "results" / "dcgan-cpu.json").read_text("utf-8")
    (root / "results" / "dcgan-cpu.json").write_text(card, "utf-8")
    page = system_atlas.page(root)
    text = entry(page, "dcgan")
    assert "No card yet" not in text
    for claim in json.loads(card)["claims"]:
        assert f"{claim['verdict']}` {claim['statement']}" in text
        numbers = [f"{value:.3g}".replace("-", "−") for value in (claim["mean"], *claim["interval"])]
        assert "**{}\N{NO-BREAK SPACE}[{},\N{NO-BREAK SPACE}{}]**".format(*numbers) in text
    assert "1 supported, 2 not shown at this scale\n" in page


@pytest.mark.parametrize(
    ("better", "kind", "margin", "side"),
    [
        ("higher", "difference", 2.0, (120, 120)),  # x = 10 + 220 (2 - 0) / 4
        ("lower", "difference", -2.0, (0, 120)),  # below 2: by -2 or more
        ("lower", "value", 2.0, (0, 120)),
    ],
)
def test_an_outcome_is_drawn_to_scale(
    better: str, kind: str, margin: float, side: tuple[float, float]
) -> None:
    claim = {
        "kind": kind,
        "better": better,
        "margin": margin,
        "fails": None,
        "interval": [1.0, 3.0],
        "quantities": [0.0, 2.0, 4.0],
    }
    text = system_atlas.outcome_drawn(claim)
    rect = re.search(r'<rect x="([\d.]+)" width="([\d.]+)"', text)
    assert rect
    assert (float(rect[1]), float(rect[2])) == side
    assert 'd="M65.0 10H175.0"' in text
    assert re.findall(r'cx="([\d.]+)"', text) == ["10.0", "120.0", "230.0"]


def test_what_contradicts_a_claim_is_drawn_where_it_is_not_its_margin() -> None:
    claim = {"kind": "value", "better": "lower", "margin": 1, "interval": [0, 1], "quantities": [0, 1, 4]}
    assert "wrong" not in system_atlas.outcome_drawn(claim | {"fails": None})
    assert '<path class="wrong" d="M120.0 0v20"/>' in system_atlas.outcome_drawn(claim | {"fails": 2})


def test_an_outcome_without_any_spread_is_drawn() -> None:
    claim = {"kind": "value", "better": "lower", "margin": 1, "fails": None}
    assert "nan" not in system_atlas.outcome_drawn(claim | {"interval": [1, 1], "quantities": [1, 1, 1]})


def test_every_committed_card_is_shown(atlas: str) -> None:
    for path in (ROOT / "results").glob("*.json"):
        card = ResultsCard.read(path)
        assert all(claim["statement"] in entry(atlas, card.system) for claim in card.claims)


@pytest.mark.parametrize(
    ("name", "words"),
    [
        ("dcgan", "The first 16 images of the committed network, trained on pneumoniamnist, 64 px"),
        ("conditional_gan", "The first 16 images of the committed network, trained on mednist, 64 px"),
        ("ssgan", "The first 16 images of the committed network, trained on pneumoniamnist, 28 px"),
        ("cyclegan", "below, the T2 that the committed network makes of each"),
        ("pix2pix", "below, the T2 that the committed network makes of each"),
        ("srgan", "at 1/4 of their size and, below, what the committed network makes of each"),
    ],
)
def test_a_committed_network_is_drawn_with_words_for_it(atlas: str, name: str, words: str) -> None:
    text = entry(atlas, name)
    assert f'{words}." src="data:image/webp;base64,' in text
    assert len(text) < 60_000  # bytes of a page that a phone loads


def test_what_is_implemented_ends_with_the_first_formula() -> None:
    doc = "T.\n\n*Paper*.\n\nWords:\n\n.. math::\n    a\n    + b\n\nafter.\n\n.. math:: c"
    assert system_atlas._idea(doc) == "*Paper*.\n\nWords:\n\n.. math::\n    a\n    + b"
    assert system_atlas._idea("T.\n\nOne.\n\nTwo.\n\n.. code-block:: console\n\n    run") == "One.\n\nTwo."
    assert system_atlas._idea("T.\n\nOne.\n\nTwo.") == "One.\n\nTwo."


def test_the_paper_of_every_system_of_a_chapter_is_in_the_bibliography(atlas: str) -> None:
    for name in titles():
        assert "Not in a chapter yet" in entry(atlas, name) or "{cite:t}`" in entry(atlas, name), name
