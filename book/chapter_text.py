"""The chapters' text and code, piece by piece, for the pages that are made from them."""

from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

import nbformat
from markdown_it import MarkdownIt
from markdown_it.tree import SyntaxTreeNode
from myst_parser.mdit_to_docutils.base import compute_unique_slug

CHAPTERS = "chapters"  # folder of the notebooks, beside book/


@dataclass(frozen=True)
class Piece:
    """A code cell, or what a text cell says below one heading.

    Attributes
    ----------
    chapter, title : str
        Name of the notebook without its suffix, and its first heading.
    section, slug : str
        The heading above the piece, and its anchor.
    text : str
        Source of the piece, without the heading.
    code : bool
        Whether it is a code cell.
    """

    chapter: str
    title: str
    section: str
    slug: str
    text: str
    code: bool

    @property
    def number(self) -> int:
        """The chapter's."""
        return int(self.chapter[:2])

    @property
    def place(self) -> str:
        """Return where a reader finds the piece, as in "Chapter 4, How it fails"."""
        return f"Chapter {self.number}, {self.section}"

    @property
    def address(self) -> str:
        """Return what a page in ``book/`` links to."""
        return f"../{CHAPTERS}/{self.chapter}.ipynb#{self.slug}"


def pieces(root: Path, folder: str = CHAPTERS) -> list[Piece]:
    """Return the pieces of all chapters, or of all notebooks in another folder, in the reader's order."""
    return [piece for path in sorted((root / folder).glob("[0-9]*.ipynb")) for piece in _pieces(path)]


def _pieces(path: Path) -> Iterator[Piece]:
    title = section = slug = ""
    slugs: set[str] = set()
    for cell in nbformat.read(path, as_version=4).cells:
        if cell.cell_type == "code":
            yield Piece(path.stem, title, section, slug, cell.source, code=True)
            continue
        lines, above = cell.source.splitlines(keepends=True), 0
        for node in SyntaxTreeNode(MarkdownIt().parse(cell.source)).children:
            if node.type == "heading" and node.map:
                first, last = node.map
                yield Piece(path.stem, title, section, slug, "".join(lines[above:first]), code=False)
                section, above = node.children[0].content, last
                title = title or section
                slug = compute_unique_slug(node, slugs)
                slugs.add(slug)
        yield Piece(path.stem, title, section, slug, "".join(lines[above:]), code=False)
