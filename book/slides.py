"""Slides of every chapter, from its notebook as the book has executed it, by nbconvert's export to reveal.

    python book/slides.py        # again those of MEDGAN_PROFILE, or cpu, in _build/cpu/html/slides

A cell is on a slide if its metadata say so: ``"slideshow": {"slide_type": "slide"}``, ``"-"`` to go on with
the slide before it, ``"notes"`` for the speaker alone; all others are left out. A heading or a box inside a
cell begins a slide of its own. Of a paragraph that is too long to be read while somebody talks the first
sentence is shown, and the whole text stands in the speaker's notes (key S). Code that is long, or draws, is
left out, not what it draws or prints; and of the quiz all but the first questions.
"""

import argparse
import os
import re
import sys
from collections.abc import Iterator
from html import escape
from itertools import pairwise
from pathlib import Path

import nbformat
from execute import Place, cache_of, execute_changed
from maths import mathml
from nbconvert import SlidesExporter
from nbconvert.filters.markdown_mistune import IPythonRenderer, MarkdownWithMath
from nbformat import NotebookNode
from nbformat.v4 import new_markdown_cell
from pybtex.database import parse_file
from pybtex.richtext import Text
from traitlets.config import Config

from medgan_course.budgets import profile
from medgan_course.errors import CourseError

LINES = 16  # of code that a slide shows
LONG, ALONE = 180, 400  # characters of a paragraph or list item that a slide shows, and of one that is alone
QUESTIONS = 2  # of the quiz; the others are for those who read
UNSHOWN = "## What we did not show"
HIDE = "hide-input"  # the tag of cells whose code the book folds away

_BOX = re.compile(
    r"^```\{admonition\} (?P<title>.+)\n(?P<options>(?::.*\n)*)(?P<body>(?:.*\n)*?)```$", re.MULTILINE
)
_QUESTION = re.compile(r"^\*\*(?P<number>\d+)\. (?P<text>.+?)\*\*$", re.MULTILINE)
_OPTION = re.compile(
    r"<details class=\"option\">\n<summary>(?P<text>[^\n]+)</summary>\n\n(?P<reason>.+?)\n\n</details>",
    re.DOTALL,
)
_BLOCK = re.compile(r"^```(?s:.*?)^```$|^\$\$(?s:.*?)\$\$$|(?:^.+(?:\n|$))+", re.MULTILINE)
_SENTENCE = re.compile(r"(?s:.{25,}?)(?:[.!?:][*_\"”)]*(?=\s+[A-Z*\"“$`(])|\Z)")


def deck(notebook: NotebookNode, root: Path) -> NotebookNode:
    """Return the notebook of a chapter's slides, without cells if it chooses none.

    Parameters
    ----------
    notebook : NotebookNode
        A chapter, with outputs.
    root : Path
        The repository, for the titles that links lead to and the names behind citations.
    """
    plain = _Plain(root)
    cells: list[NotebookNode] = []
    section = ""
    for cell in notebook.cells:
        if cell.cell_type == "markdown":
            section = ([section, *re.findall(r"^##+ .+", cell.source, re.MULTILINE)])[-1]
        place = cell.metadata.get("slideshow", {}).get("slide_type", "skip")
        if place == "skip":
            continue
        if cell.cell_type == "code":
            shown = [_code(cell)]
        elif place == "notes":
            shown = [_notes(plain(cell.source))]
        elif "quiz" in cell.metadata.get("tags", []):
            shown = list(_questions(plain(cell.source)))
        else:
            shown = list(_pieces(plain(cell.source)))
        first = next((each for each in shown if not each.metadata.get("notes")), None)
        titled = first and first.cell_type == "markdown" and first.source.startswith(("#", "<div"))
        if first and section and place == "slide" and not titled:
            first.metadata.below = True
            shown.insert(0, new_markdown_cell(section))
        for number, each in enumerate(shown):
            on = "slide" if number else place
            if each.metadata.get("notes"):
                on = "notes"
            elif each.metadata.get("below"):
                on = "-"
            each.metadata.slideshow = {"slide_type": on}
            cells.append(each)
    (title,) = re.findall(r"\A# (.+)", notebook.cells[0].source)
    return nbformat.v4.new_notebook(cells=cells, metadata=notebook.metadata | {"title": title})


def write(place: Place, html: Path) -> list[Path]:
    """Write the slides of all executed chapters that choose any to ``html/slides``; return their files."""
    exporter = SlidesExporter(
        Config({"TagRemovePreprocessor": {"enabled": True, "remove_input_tags": {HIDE}}}),
        extra_template_basedirs=[str(Path(__file__).parent)],
        template_name="slides",
        exclude_input_prompt=True,
        exclude_output_prompt=True,
        filters={"markdown2html": _html},
    )
    written = []
    for path in sorted((place.root / "chapters").glob("[0-9]*.ipynb")):
        try:
            _, executed = cache_of(place).merge_match_into_notebook(nbformat.read(path, as_version=4))
        except KeyError:  # no page of the book
            continue
        slides = deck(executed, place.root)
        if not slides.cells:
            continue
        page, _ = exporter.from_notebook_node(slides)
        target = html / "slides" / f"{path.stem}.html"
        target.parent.mkdir(exist_ok=True)
        target.write_text(page, "utf-8")
        written.append(target)
    return written


class _Formulas(IPythonRenderer):
    """nbconvert's Markdown with formulas as the pages have them."""

    def inline_math(self, body: str) -> str:
        return mathml(body)

    def block_math(self, body: str) -> str:
        return mathml(body, display=True)


def _html(text: str) -> str:
    return str(MarkdownWithMath(renderer=_Formulas(escape=False, exclude_anchor_links=True)).render(text))


class _Plain:
    """MyST to the Markdown that nbconvert reads: citations by name, links to other pages by their titles."""

    def __init__(self, root: Path) -> None:
        self.root = root
        self.works = parse_file(str(root / "book" / "references.bib")).entries

    def __call__(self, text: str) -> str:
        text = re.sub(r"^\([\w-]+\)=\n|^:::.*\n?", "", text, flags=re.MULTILINE)
        text = re.sub(r"^```\{math\}\n(?::.*\n)*((?:.*\n)*?)```$", r"$$\n\1$$", text, flags=re.MULTILINE)
        text = re.sub(r"\{cite\}`([^`]+)`", lambda found: f"({'; '.join(self._cited(found[1]))})", text)
        text = re.sub(
            r"\{cite:t\}`([^`]+)`", lambda found: ", ".join(self._cited(found[1], in_text=True)), text
        )
        text = re.sub(r"\{term\}`([^<`]+?)(?:\s*<[^`]*)?`", r"\1", text)
        text = re.sub(r"Equation \{eq\}`[^`]+`", "The equation", text)
        text = re.sub(r"(?:equation )?\{eq\}`[^`]+`", "the equation", text)
        return re.sub(
            r"\[([^\]]*)\]\((?!http)([^)#]+)[^)]*\)", lambda found: found[1] or self._title(found[2]), text
        )

    def _cited(self, keys: str, in_text: bool = False) -> Iterator[str]:
        for key in keys.split(","):
            work = self.works[key.strip()]
            names = [
                str(Text.from_latex(" ".join([*person.prelast_names, *person.last_names])))
                for person in work.persons["author"]
            ]
            who = f"{names[0]} et al." if len(names) > 2 else " and ".join(names)
            year = work.fields["year"]
            yield f"{who} ({year})" if in_text else f"{who} {year}"

    def _title(self, link: str) -> str:
        path = self.root / "chapters" / link
        if path.suffix == ".ipynb":
            text = nbformat.read(path, as_version=4).cells[0].source
        else:
            text = path.read_text("utf-8")
        return next(re.finditer(r"^# (.+)", text, re.MULTILINE))[1]


def _pieces(text: str) -> Iterator[NotebookNode]:
    """Yield a cell for each heading and box, and after it one with the whole text if any was shortened.

    What stands before the first heading comments what was shown before, and is for the speaker; what stands
    after a box goes on below it.
    """
    boxes = list(_BOX.finditer(text))
    headings = [found.start() for found in re.finditer(r"^#+ ", text, re.MULTILINE)]
    edges = sorted({0, len(text), *headings, *(edge for box in boxes for edge in box.span())})
    heading, after_box = "", False
    for start, end in pairwise(edges):
        whole = text[start:end].strip()
        if not whole or whole.startswith(UNSHOWN):
            continue
        if re.fullmatch(r"#+ .+", whole) and end < len(text):  # stands above the box that follows
            heading, after_box = f"{whole}\n\n", False
            continue
        box = _BOX.fullmatch(whole)
        if box:
            title, body = f'<p class="admonition-title">{box["title"]}</p>', _short(box["body"])
            yield new_markdown_cell(f'{heading}<div class="admonition">\n{title}\n\n{body}\n\n</div>')
            whole, heading = box["body"].strip(), ""
        elif not whole.startswith("#") and headings and start < headings[0]:
            yield _notes(whole)
            continue
        else:
            yield new_markdown_cell(
                _short(whole), metadata={"below": after_box and not whole.startswith("#")}
            )
        after_box = bool(box)
        if _short(whole) != whole:
            yield _notes(whole)


def _short(text: str) -> str:
    """Return ``text`` with the first sentences of each paragraph and list item that is long."""
    found = [block[0].strip() for block in _BLOCK.finditer(text.strip())]
    room = ALONE if sum(not re.match(r"```|\$\$|#", block) for block in found) == 1 else LONG
    blocks = []
    for block in found:
        if re.match(r"- |\d+\. ", block):
            items = re.split(r"\n(?=- |\d+\. )", block)
            blocks.append("\n".join(_lead(item, LONG) for item in items))
        elif re.match(r"```|\$\$|#|\||<", block):
            blocks.append(block)
        else:
            blocks.append(_lead(block, room))
    return "\n\n".join(blocks)


def _lead(text: str, room: int) -> str:
    """Return the first sentence, and those after it that end within ``room`` characters."""
    end = 0
    for sentence in _SENTENCE.finditer(text):
        if end and sentence.end() > room:
            break
        end = sentence.end()
    return text[:end] or text


def _questions(text: str) -> Iterator[NotebookNode]:
    """Yield a cell for each question of a quiz with its options, and one with the reasons for the speaker."""
    for part in re.split(r"(?=^\*\*\d+\. )", text, flags=re.MULTILINE)[1 : QUESTIONS + 1]:
        question = next(_QUESTION.finditer(part))
        options = list(_OPTION.finditer(part))
        items = "\n".join(f"<li>\n\n{option['text']}\n\n</li>" for option in options)
        yield new_markdown_cell(
            f'## Question {question["number"]}\n\n{question["text"]}\n\n<ol class="options">\n{items}\n</ol>'
        )
        yield _notes(
            "\n\n".join(f"{letter}. {each['reason']}" for letter, each in zip("ABCDE", options, strict=False))
        )


def _notes(text: str) -> NotebookNode:
    return new_markdown_cell(text, metadata={"notes": True})


def _code(cell: NotebookNode) -> NotebookNode:
    """Return a copy of the cell without code that is long or draws, and with words for its pictures."""
    cell = nbformat.from_dict(cell)
    drawn = any({"text/html", "image/png"} & set(output.get("data", {})) for output in cell.outputs)
    if drawn or len(cell.source.splitlines()) > LINES:
        cell.metadata.tags = sorted({*cell.metadata.get("tags", []), HIDE})
    alt = cell.metadata.get("mystnb", {}).get("image", {}).get("alt")
    for output in cell.outputs:
        if alt and "image/png" in output.get("data", {}):
            picture = output.data.pop("image/png").replace("\n", "")
            output.data["text/html"] = f'<img src="data:image/png;base64,{picture}" alt="{escape(alt)}">'
    cell.outputs = [each for each in cell.outputs if each.get("name") != "stderr"]
    return cell


if __name__ == "__main__":
    parser = argparse.ArgumentParser(description=__doc__.partition("\n")[0])
    parser.parse_args()
    root = Path(__file__).resolve().parents[1]
    os.environ.setdefault("MEDGAN_PROFILE", "cpu")
    place = Place(root, root / "_build" / profile(), profile())
    try:
        if not (place.build / "html" / "index.html").is_file():
            raise CourseError("There is no book yet, which the slides are a part of: run make book first.")
        chapters = [f"chapters/{path.name}" for path in sorted((root / "chapters").glob("[0-9]*.ipynb"))]
        for page in execute_changed(chapters, place):
            if page.error:
                raise CourseError(f"{page.notebook}, {page.error}")
        for written in write(place, place.build / "html"):
            print(os.path.relpath(written))
    except CourseError as error:
        sys.exit(f"{error}")
