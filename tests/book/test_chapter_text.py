"""Chapters are cut at their headings, and every piece knows the anchor that a link to it needs."""

from collections.abc import Callable
from pathlib import Path

import pytest
from chapter_text import pieces
from nbformat import write
from nbformat.v4 import new_code_cell, new_markdown_cell, new_notebook

Chapter = Callable[..., None]


@pytest.fixture
def chapter(tmp_path: Path) -> Chapter:
    """Write a notebook from its cells; what begins with ``>>>`` is code."""
    (tmp_path / "chapters").mkdir()

    def make(name: str, *cells: str) -> None:
        made = [
            new_code_cell(cell[3:].strip()) if cell.startswith(">>>") else new_markdown_cell(cell)
            for cell in cells
        ]
        write(new_notebook(cells=made), tmp_path / "chapters" / f"{name}.ipynb")

    return make


def test_a_piece_is_what_stands_below_a_heading(chapter: Chapter, tmp_path: Path) -> None:
    chapter("03_x", "# The title\n\nOne.", ">>> a = 1", "Two.\n\n## How *it* fails\nThree.")
    found = [(piece.section, piece.text.strip(), piece.code) for piece in pieces(tmp_path) if piece.text]
    assert found == [
        ("The title", "One.", False),
        ("The title", "a = 1", True),
        ("The title", "Two.", False),
        ("How *it* fails", "Three.", False),
    ]
    last = pieces(tmp_path)[-1]
    assert (last.number, last.title) == (3, "The title")
    assert last.address == "../chapters/03_x.ipynb#how-it-fails"


def test_headings_of_one_name_have_anchors_of_their_own(chapter: Chapter, tmp_path: Path) -> None:
    chapter("03_x", "# From scratch", "## From scratch\n\nText.", "## From scratch\n\nMore.")
    anchors = [piece.slug for piece in pieces(tmp_path) if piece.text.strip()]
    assert anchors == ["from-scratch-1", "from-scratch-1-2"]  # as myst_parser counts


def test_a_comment_in_a_listing_is_no_heading(chapter: Chapter, tmp_path: Path) -> None:
    chapter("03_x", "# Title", "```python\n# a comment\n```")
    assert {piece.section for piece in pieces(tmp_path) if piece.text} == {"Title"}


def test_chapters_come_in_the_order_of_their_numbers_and_nothing_else_does(
    chapter: Chapter, tmp_path: Path
) -> None:
    for name in ("10_b", "02_a", "notes"):
        chapter(name, "# T\n\ntext")
    assert list(dict.fromkeys(piece.chapter for piece in pieces(tmp_path))) == ["02_a", "10_b"]
