"""Every box about an error in circulation is on the page once, in the order of the errors' numbers."""

import re
from pathlib import Path

import bug_gallery
import pytest
from nbformat import read, write
from nbformat.v4 import new_markdown_cell, new_notebook

from medgan_course.errors import CourseError

ROOT = Path(__file__).parents[2]


def box(title: str, name: str = ":class: warning", body: str = "Wrong.", fence: str = "```") -> str:
    return f"{fence}{{admonition}} {title}\n{name}\n{body}\n{fence}"


def book(root: Path, **chapters: str) -> Path:
    (root / "chapters").mkdir()
    for name, text in chapters.items():
        notebook = new_notebook(cells=[new_markdown_cell("# Title\n\n## Losses\n"), new_markdown_cell(text)])
        write(notebook, root / "chapters" / f"{name.removeprefix('c')}.ipynb")
    return root


def test_boxes_stand_in_the_order_of_their_numbers_each_below_its_part(tmp_path: Path) -> None:
    book(
        tmp_path,
        c02_a=box("In circulation: late", ":name: E37\n")
        + "\n\nText.\n\n"
        + box("Spot the bug: a", ":name: E02"),
        c01_b=box("In circulation: “sums”", ":name: E03", fence=":::"),
    )
    headings = re.findall("^#+ .*", bug_gallery.page(tmp_path), re.MULTILINE)
    assert headings == [
        "## Loss, game and theory",
        "### E02 · A",
        "### E03 · “sums”",
        "## Metrics, data and remedies",
        "### E37 · Late",
    ]


def test_an_entry_quotes_the_box_and_links_to_it_and_to_what_it_links_to(tmp_path: Path) -> None:
    body = "First $a$.\n\nSee [chapter 4](04_dcgan.ipynb) and [the page](../book/using.md)."
    book(tmp_path, c05_x=box("In circulation: this", ":class: warning\n:name: E20 E21", body))
    assert bug_gallery.page(tmp_path) == (
        "## Code\n\n### E20, E21 · This\n\n"
        "First $a$.\n\nSee [chapter 4](../chapters/04_dcgan.ipynb) and [the page](../book/using.md).\n\n"
        "{ref}`Chapter 5, Losses <e20 e21>`\n"
    )


@pytest.mark.parametrize(
    ("name", "shown"), [("E66 E67 E68", "E66–E68"), ("E66 E67", "E66, E67"), ("E66 E68 E69", "E66, E68, E69")]
)
def test_a_box_about_many_errors_names_the_first_and_the_last(tmp_path: Path, name: str, shown: str) -> None:
    book(tmp_path, c00_x=box("In circulation: much", f":name: {name}"))
    assert f"### {shown} · Much\n" in bug_gallery.page(tmp_path)


def test_other_boxes_are_left_where_they_are(tmp_path: Path) -> None:
    book(
        tmp_path,
        c05_x=box("A score is not a clinical statement", "")
        + "\n\n"
        + box("In circulation: x", ":name: E01\n"),
    )
    assert [box.title for box in bug_gallery.boxes(tmp_path)] == ["x"]


def test_a_title_with_code_makes_no_box_since_markdown_would_not(tmp_path: Path) -> None:
    book(tmp_path, c05_x=box("Spot the bug: `x`", ":name: E22"))
    assert bug_gallery.boxes(tmp_path) == []


@pytest.mark.parametrize("name", [":class: warning", ":name: 21", ":name: E1", ":name: E21x2"])
def test_a_box_without_a_number_is_refused_with_what_to_write(tmp_path: Path, name: str) -> None:
    book(tmp_path, c05_x=box("In circulation: that", name))
    with pytest.raises(CourseError, match=r"'that' in chapters/05_x.ipynb has no number: write :name: Exx"):
        bug_gallery.boxes(tmp_path)


def test_one_number_is_for_one_box(tmp_path: Path) -> None:
    book(
        tmp_path,
        c01_a=box("In circulation: one", ":name: E01 E02"),
        c02_b=box("In circulation: two", ":name: E02"),
    )
    with pytest.raises(CourseError, match=r"'two' in chapters/02_b.ipynb is E02, as is that in 01_a.ipynb"):
        bug_gallery.boxes(tmp_path)


def test_no_box_of_the_chapters_is_missed() -> None:
    sources = [
        cell.source
        for path in (ROOT / "chapters").glob("*.ipynb")
        for cell in read(path, as_version=4).cells
        if cell.cell_type == "markdown"
    ]
    meant = sum(
        len(re.findall(r"\{admonition\} *(?:In circulation|Spot the bug)", text, re.I)) for text in sources
    )
    assert len(bug_gallery.boxes(ROOT)) == meant > 0
