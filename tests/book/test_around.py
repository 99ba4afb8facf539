"""A chapter's head, what comes next, and what other programs read of a page."""

import pages
import pytest
from docutils import nodes
from docutils.utils import new_document
from myst_nb.sphinx_ import HideCodeCellNode
from PIL import Image
from times import Time

TITLES = {
    "chapters/00_a": "A",
    "chapters/01_b": "B",
    "exercises/00_a": "Exercises: A",
    "solutions/00_a": "Solutions: A",
    "book/progress": "What you have done",
}


def document(*texts: str) -> nodes.document:
    page = new_document("")
    page += [nodes.paragraph("", text) for text in texts]
    return page


@pytest.mark.parametrize(
    ("page", "after"),
    [
        ("chapters/00_a", ["exercises/00_a", "chapters/01_b"]),
        ("exercises/00_a", ["chapters/00_a", "solutions/00_a", "chapters/01_b"]),
        ("solutions/00_a", ["chapters/01_b"]),
        ("chapters/01_b", ["book/progress"]),
        ("book/progress", []),
    ],
)
def test_what_comes_next(page: str, after: list[str]) -> None:
    assert [to for to, _ in pages.steps(page, TITLES)] == after


def test_head_says_what_it_takes_to_read_and_to_compute() -> None:
    page = new_document("")
    page += nodes.paragraph(
        "", "You need tensors. ", nodes.strong("", "It takes"), nodes.Text(" an hour and a half; more.")
    )
    page[0].insert(0, nodes.Text("You need tensors. "))
    seconds = {"smoke": Time(12.3, 9.8, "A processor", 1, "2026-01-01", "0.1")}
    head = pages.head(page, seconds)
    assert "<b>Reading</b> an hour and a half</span>" in head
    assert "<b>Computing</b> smoke 12 s (A processor, 1 thread); cpu, gpu not measured yet</span>" in head


def test_what_a_folded_cell_drew_comes_before_its_code() -> None:
    page = new_document("")
    page += nodes.container("", HideCodeCellNode(), nodes.image(), nb_element="cell_code")
    page += nodes.container("", nodes.container(), nodes.image(), nb_element="cell_code")
    pages._picture_first(None, page, "a")
    assert [type(each) for each in page[0]] == [nodes.image, HideCodeCellNode]
    assert isinstance(page[1][1], nodes.image)


def test_description_is_the_first_real_text_and_short() -> None:
    long = "Two networks play against each other, and this is what the course is about. " * 6
    found = pages.description(document("Too short.", long))
    assert found.startswith("Two networks play")
    assert found.endswith("…")
    assert len(found) <= pages.LONGEST
    assert pages.description(document("Too short.", "This too.")) == "Too short."
    assert pages.description(document()) == ""


def test_what_search_quotes_is_the_text_of_paragraphs() -> None:
    script = pages.quoted({"a/b": "<h1>No</h1><p>One &lt; <b>two</b>.</p>\n<div><p>\n  Three.</p></div>"})
    assert script.startswith('const texts = {"a/b": "One &lt; two. Three."};')


@pytest.mark.parametrize("picture", [None, Image.new("L", (800, 200)), Image.new("L", (90, 900))])
def test_preview_has_the_size_that_is_asked_for_and_holds_long_titles(picture: Image.Image | None) -> None:
    card = pages.preview("Measuring generated images of abdominal organs, once more", "Chapter 3", picture)
    assert card.size == pages.PREVIEW_SIZE
    below = card.crop((0, 470, 560, 520)).getcolors()  # between the title and the course's name
    assert below is not None
    assert len(below) == 1
