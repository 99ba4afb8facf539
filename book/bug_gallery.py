"""The bug gallery: the chapters' boxes about errors in circulation, collected when the book is built.

A box is an admonition whose title begins with *In circulation* or *Spot the bug*. Its ``:name:`` is the
number of the error, ``E03``; or of several that one box settles, ``E01 E02``. A second box about the same
error is ``E51b``. The page quotes the boxes in the order of their numbers and links to them.
"""

import re
from dataclasses import dataclass
from pathlib import Path

from chapter_text import Piece, pieces
from sphinx.application import Sphinx

from medgan_course.errors import CourseError

BOX = re.compile(
    r"^(?P<fence>`{3,}|:{3,})\{admonition\} (?:In circulation|Spot the bug): (?P<title>[^`\n]+)\n"
    r"(?P<options>(?::[\w-]+:.*\n)*)"
    r"(?P<body>(?s:.*?))\n(?P=fence)[ \t]*$",
    re.MULTILINE,
)
NAME = re.compile(r"^:name: (E\d\d[a-z]?(?: E\d\d[a-z]?)*) *$", re.MULTILINE)

# Each part of the gallery, and the number that it begins with.
PARTS = (
    (1, "Loss, game and theory"),
    (19, "Code"),
    (37, "Metrics, data and remedies"),
    (53, "Systems described wrongly"),
    (66, "Bibliography"),
    (78, "Found on the way"),
)


@dataclass(frozen=True)
class Box:
    """A box: its ``:name:``, what its title says, its text, and where it stands."""

    name: str
    title: str
    body: str
    piece: Piece

    @property
    def number(self) -> int:
        """The first error's."""
        return int(self.name[1:3])


def boxes(root: Path) -> list[Box]:
    """Return the boxes of all chapters below ``root``, in the order of their numbers.

    Raises
    ------
    CourseError
        If a box has no number, or two have the same.
    """
    found: dict[str, Box] = {}
    for piece in pieces(root):
        for box in BOX.finditer("" if piece.code else piece.text):
            where = f"The box {box['title']!r} in chapters/{piece.chapter}.ipynb"
            name = NAME.search(box["options"])
            if name is None:
                raise CourseError(f"{where} has no number: write :name: Exx below its title.")
            for number in name[1].split():
                if number in found:
                    raise CourseError(
                        f"{where} is {number}, as is that in {found[number].piece.chapter}.ipynb."
                    )
                found[number] = Box(name[1], box["title"], box["body"].strip("\n"), piece)
    return sorted(dict.fromkeys(found.values()), key=lambda box: box.name)


def page(root: Path) -> str:
    """Return the gallery in MyST."""
    lines: list[str] = []
    part = None
    for box in boxes(root):
        title = [title for first, title in PARTS if first <= box.number][-1]
        if title != part:
            part = title
            lines.append(f"## {part}\n")
        body = re.sub(r"\]\((?=[\w-]+\.ipynb)", "](../chapters/", box.body)
        lines += [
            f"### {_numbers(box.name)} · {box.title[0].upper()}{box.title[1:]}\n",
            f"{body}\n",
            f"{{ref}}`{box.piece.place} <{box.name.lower()}>`\n",
        ]
    return "\n".join(lines)


def _numbers(name: str) -> str:
    """Return "E66–E77" for all the numbers from one to the other, and otherwise each of them."""
    each = name.split()
    run = len(each) > 2 and int(each[-1][1:3]) - int(each[0][1:3]) == len(each) - 1
    return f"{each[0]}–{each[-1]}" if run else ", ".join(each)


def _fill(app: Sphinx, docname: str, source: list[str]) -> None:
    if docname == "book/bugs":
        source[0] += "\n" + page(Path(app.srcdir))


def setup(app: Sphinx) -> dict[str, bool]:
    """Let Sphinx read the boxes where the page ends."""
    app.connect("source-read", _fill)
    return {"parallel_read_safe": True, "parallel_write_safe": True}
