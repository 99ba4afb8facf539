"""The page that keeps what a reader has done: a box to tick for each chapter, quiz question and exercise.

The boxes are made when the book is built, from the notebooks. What is ticked stays in the reader's browser:
``_static/progress.js``.
"""

import re
from collections.abc import Iterator
from pathlib import Path

from chapter_text import CHAPTERS, pieces
from sphinx.application import Sphinx

MARK = "% boxes"  # the line of book/progress.md where they go
EXERCISES = "exercises"  # folder of the notebooks, beside book/
QUESTION = re.compile(r"^\*\*(\d+)\. ", re.MULTILINE)
HEADING = re.compile(r"Exercise (\d+)\.(\d+): (.+)")


def page(root: Path) -> str:
    """Return the boxes of all chapters in MyST."""
    chapters, notebooks = pieces(root), pieces(root, EXERCISES)
    lines: list[str] = []
    for name, title in {piece.chapter: piece.title for piece in chapters}.items():
        quiz = [piece.text for piece in chapters if piece.chapter == name and piece.section == "Quiz"]
        headings = {piece.section: piece.slug for piece in notebooks if piece.chapter == name}
        lines += _chapter(name, title, QUESTION.findall("\n".join(quiz)), headings)
    return "\n".join(lines)


def box(item: str, chapter: str, label: str) -> str:
    """Return a box that ``progress.js`` brings to life; until then nobody can tick it.

    Parameters
    ----------
    item : str
        What is done, as the browser keeps it: "02 read", "02 quiz 1", "02.1".
    chapter, label : str
        A screen reader says both, also to those who go from box to box; what is seen is the label.
    """
    ticked = f'<input type="checkbox" data-done="{item}" aria-label="{chapter}: {label}" disabled>'
    return f'<label class="done">{ticked} {label}</label>'


def _chapter(name: str, title: str, questions: list[str], headings: dict[str, str]) -> Iterator[str]:
    number, address = name[:2], f"../{CHAPTERS}/{name}.ipynb"
    chapter = f"Chapter {int(number)}"
    yield f"## {chapter}: [{title}]({address})\n"
    yield f"- {box(f'{number} read', chapter, 'Read')}"
    if questions:
        boxes = (box(f"{number} quiz {each}", chapter, f"question {each}") for each in questions)
        yield f"- [Quiz]({address}#quiz): {' '.join(boxes)}"
    for heading, slug in headings.items():
        if found := HEADING.fullmatch(heading):
            solved = box(f"{number}.{found[2]}", chapter, f"Exercise {found[1]}.{found[2]}")
            yield f"- {solved} [{found[3]}](../{EXERCISES}/{name}.ipynb#{slug})"
    yield ""


def _fill(app: Sphinx, docname: str, source: list[str]) -> None:
    if docname == "book/progress":
        source[0] = source[0].replace(MARK, page(Path(app.srcdir)))


def setup(app: Sphinx) -> dict[str, bool]:
    """Let Sphinx read the boxes where they are to stand, and every page load what keeps them."""
    app.connect("source-read", _fill)
    app.add_js_file("progress.js", loading_method="defer")
    return {"parallel_read_safe": True, "parallel_write_safe": True}
