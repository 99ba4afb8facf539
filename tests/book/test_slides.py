"""What of a chapter goes on a slide, what becomes of its MyST there, and that a browser can show it."""

import re
import shutil
from collections.abc import Iterator
from pathlib import Path

import nbformat
import pytest
import slides
from browser import served
from execute import Place
from nbformat import NotebookNode
from nbformat.v4 import new_code_cell, new_markdown_cell, new_notebook, new_output
from playwright.sync_api import Browser, Page

ROOT = Path(__file__).parents[2]
CHAPTERS = sorted((ROOT / "chapters").glob("[0-9]*.ipynb"))
LONG = "The first sentence says what matters here. " + "The others say more about it, and at length. " * 12
RAW = re.compile(r"\{[a-z:]+\}`|```\{|^:::|^\([\w-]+\)=$", re.MULTILINE)


def on(kind: str, text: str, *, code: bool = False, tags: list[str] | None = None) -> NotebookNode:
    cell = (new_code_cell if code else new_markdown_cell)(text)
    cell.metadata = nbformat.from_dict({"slideshow": {"slide_type": kind}, "tags": tags or []})
    return cell


def made(*cells: NotebookNode) -> list[tuple[str, str]]:
    """Return slide type and text of what becomes of ``cells`` after a title."""
    deck = slides.deck(new_notebook(cells=[on("slide", "# Title"), *cells]), ROOT)
    return [(cell.metadata.slideshow.slide_type, cell.source) for cell in deck.cells][1:]


def text_of(*cells: NotebookNode) -> str:
    return "\n".join(text for _, text in made(*cells))


def test_only_what_is_chosen_is_shown() -> None:
    assert made(new_markdown_cell("Not chosen."), on("slide", "## Chosen"), on("notes", "Say this.")) == [
        ("slide", "## Chosen"),
        ("notes", "Say this."),
    ]


def test_a_long_paragraph_is_cut_after_its_first_sentences_and_is_whole_in_the_notes() -> None:
    (slide, shown), (notes, whole) = made(on("slide", f"## Head\n\n{LONG}\n\nShort."))
    assert (slide, notes) == ("slide", "notes")
    assert shown.startswith("## Head\n\nThe first sentence says what matters here.")
    assert len(shown) < 250
    assert shown.endswith("Short.")
    assert LONG.strip() in whole


def test_formulas_lists_tables_and_code_are_never_cut() -> None:
    kept = "$$\n" + "x + " * 80 + "y\n$$\n\n| a | b |\n|---|---|\n" + "| long | row |\n" * 20
    assert text_of(on("slide", f"## Head\n\n{kept}")) == f"## Head\n\n{kept}".strip()


def test_headings_and_boxes_begin_slides_and_what_is_before_the_first_heading_is_for_the_speaker() -> None:
    source = (
        "Back to the last picture.\n\n## One\n\nText.\n\n## Two\n\n"
        "```{admonition} A box\n:class: warning\n:name: E01\nIn it.\n```\n\nBelow it.\n\n"
        "## What we did not show\n\nMuch."
    )
    assert made(on("slide", source)) == [
        ("notes", "Back to the last picture."),
        ("slide", "## One\n\nText."),
        (
            "slide",
            '## Two\n\n<div class="admonition">\n<p class="admonition-title">A box</p>\n\nIn it.\n\n</div>',
        ),
        ("-", "Below it."),
    ]


def test_a_picture_stands_below_the_heading_of_its_section_and_without_its_code() -> None:
    picture = on("slide", "draw()", code=True)
    picture.metadata.mystnb = {"image": {"alt": 'Two "dots".'}}
    picture.outputs = [new_output("display_data", data={"image/png": "QUJD\n"})]
    deck = slides.deck(
        new_notebook(cells=[on("slide", "# Title"), new_markdown_cell("## Dots\n\nText."), picture]), ROOT
    )
    assert [(cell.metadata.slideshow.slide_type, cell.source) for cell in deck.cells[1:]] == [
        ("slide", "## Dots"),
        ("-", "draw()"),
    ]
    assert slides.HIDE in deck.cells[-1].metadata.tags
    assert deck.cells[-1].outputs[0].data == {
        "text/html": '<img src="data:image/png;base64,QUJD" alt="Two &quot;dots&quot;.">'
    }


def test_code_is_shown_unless_it_is_long() -> None:
    short, long = "x = 1", "x = 1\n" * (slides.LINES + 1)
    deck = slides.deck(
        new_notebook(
            cells=[on("slide", "# Title"), on("-", short, code=True), on("-", long.strip(), code=True)]
        ),
        ROOT,
    )
    assert [slides.HIDE in cell.metadata.get("tags", []) for cell in deck.cells] == [False, False, True]


def test_a_question_shows_its_options_and_the_speaker_has_the_reasons() -> None:
    option = '<details class="option">\n<summary>{}</summary>\n\n**{}.** Because.\n\n</details>\n\n'
    quiz = "## Quiz\n\n" + "".join(
        f"**{number}. Which {number}?**\n\n" + option.format("This", "Right") + option.format("That", "No")
        for number in range(1, 6)
    )
    shown = made(on("slide", quiz, tags=["quiz"]))
    assert [kind for kind, _ in shown] == ["slide", "notes"] * slides.QUESTIONS
    question, reasons = shown[0][1], shown[1][1]
    assert question.startswith("## Question 1\n\nWhich 1?")
    assert question.index("This") < question.index("That")
    assert "Because" not in question
    assert reasons == "A. **Right.** Because.\n\nB. **No.** Because."


def test_citations_are_names_and_links_are_titles() -> None:
    said = text_of(
        on(
            "slide",
            "## Head\n\n{cite:t}`goodfellow2014` play {cite}`zhu2017,kingma2014`, "
            "a {term}`walk <latent walk>`, a {term}`latent vector`, "
            "see [](../book/using.md), [there](02_game.ipynb) and [far](https://a.b/c).",
        )
    )
    assert (
        "Goodfellow et al. (2014) play (Zhu et al. 2017; Kingma and Welling 2014), a walk, a latent vector"
        in said
    )
    assert said.endswith("see How to use this book, there and [far](https://a.b/c).")


def test_names_have_their_accents() -> None:
    assert text_of(on("slide", "## Head\n\n{cite:t}`kynkaanniemi2019`")) == (
        "## Head\n\nKynkäänniemi et al. (2019)"
    )


def test_a_labelled_formula_is_a_formula() -> None:
    said = text_of(on("slide", "```{math}\n:label: cost\na \\\\\n= b\n```\n\nLook at {eq}`cost`."))
    assert said == "$$\na \\\\\n= b\n$$\n\nLook at the equation."


@pytest.mark.parametrize("path", CHAPTERS, ids=lambda path: path.stem)
def test_a_chapter_has_12_to_25_slides_without_raw_myst(path: Path) -> None:
    deck = slides.deck(nbformat.read(path, as_version=4), ROOT)
    shown = [cell for cell in deck.cells if cell.metadata.slideshow.slide_type != "notes"]
    assert 12 <= sum(cell.metadata.slideshow.slide_type == "slide" for cell in shown) <= 25
    assert shown[0].metadata.slideshow.slide_type == "slide"
    text = "\n".join(cell.source for cell in deck.cells if cell.cell_type == "markdown")
    assert not RAW.search(text), RAW.search(text)
    for must in ("## In short", "## Question 1", "$", 'class="admonition"'):
        assert must in text


def test_the_instructors_page_links_the_slides_of_every_chapter() -> None:
    page = (ROOT / "book" / "instructors.md").read_text("utf-8")
    linked = dict(re.findall(r'<a href="../slides/(\w+)\.html">(.+)</a>', page))
    titles = {path.stem: nbformat.read(path, as_version=4).cells[0].source for path in CHAPTERS}
    assert {name: f"# {title}" for name, title in linked.items()} == titles


@pytest.fixture(scope="module")
def shown(tmp_path_factory: pytest.TempPathFactory, browser: Browser) -> Iterator[tuple[Page, list[str]]]:
    """Yield slides in a browser, and the addresses of other hosts and the errors that it met."""
    root = tmp_path_factory.mktemp("course")
    (root / "chapters").mkdir()
    shutil.copytree(ROOT / "book" / "_static", root / "html" / "_static")
    shutil.copytree(ROOT / "book", root / "book", ignore=shutil.ignore_patterns("_static", "data"))
    wide = on("slide", "print(1)", code=True)
    svg = '<svg viewBox="0 0 900 900" width="1900" height="1900" role="img" aria-label="A square"></svg>'
    wide.outputs = [new_output("display_data", data={"text/html": svg})]
    full = "## Full\n\n$$x^2$$\n\n" + "\n".join(f"- item {number}, with some words" for number in range(16))
    cells = [on("slide", "# Title"), on("slide", full), new_markdown_cell("## Wide"), wide]
    chapter = new_notebook(cells=cells)
    nbformat.write(chapter, root / "chapters" / "00_a.ipynb")
    problems: list[str] = []
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(slides, "cache_of", lambda _: _Executed())
        slides.write(Place(root, root, "smoke"), root / "html")
    with served(root / "html") as home:
        page = browser.new_page(viewport={"width": 1280, "height": 720})
        page.on("console", lambda message: message.type == "error" and problems.append(message.text))
        page.on("pageerror", lambda error: problems.append(str(error)))
        page.on("request", lambda r: r.url.startswith(("data:", home)) or problems.append(r.url))
        page.goto(f"{home}/slides/00_a.html")
        page.wait_for_selector("body[data-ready]", state="attached")
        yield page, problems
        page.close()


class _Executed:
    """A cache in which every notebook is as it lies on the disk."""

    def merge_match_into_notebook(self, notebook: NotebookNode) -> tuple[int, NotebookNode]:
        return 0, notebook


def test_a_browser_shows_slides_that_fit_from_this_host_alone(shown: tuple[Page, list[str]]) -> None:
    page, problems = shown
    assert page.evaluate("Reveal.getTotalSlides()") == 3
    for number in range(3):
        page.evaluate(f"Reveal.slide({number})")
        height, size, right = page.evaluate(
            """() => {
              const slide = Reveal.getCurrentSlide();
              const edges = [...slide.querySelectorAll("*")].map(e => e.getBoundingClientRect().right);
              return [slide.scrollHeight, parseFloat(getComputedStyle(slide).fontSize), Math.max(...edges)];
            }"""
        )
        assert height <= 720
        assert size >= 17
        assert right <= 1280
    assert page.locator("math").count() == 1
    assert not problems


def test_every_slide_is_printed_on_a_page_of_its_own(shown: tuple[Page, list[str]]) -> None:
    page, _ = shown
    printed = page.context.browser.new_page()
    printed.goto(page.url.partition("#")[0] + "?print-pdf")
    printed.wait_for_selector("body[data-ready]", state="attached")
    pdf = printed.pdf(prefer_css_page_size=True)
    printed.close()
    assert len(re.findall(rb"/Type\s*/Page\b", pdf)) == 3
