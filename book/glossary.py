"""The terms of ``glossary.toml`` as a page: a glossary in English and an index from Chinese to it.

As a Sphinx extension it puts both into ``book/glossary.md``, in the place of the comments ``% terms`` and
``% index``, when Sphinx reads that page.
"""

import tomllib
import unicodedata
from collections.abc import Iterator
from dataclasses import dataclass
from itertools import groupby
from pathlib import Path

from sphinx.application import Sphinx


@dataclass(frozen=True)
class Term:
    """A term: its English forms, its Chinese ones with their pinyin, what it is, and the page about it."""

    english: list[str]
    chinese: dict[str, str]
    definition: str
    page: str | None = None


def read() -> list[Term]:
    """Return the terms in the order of the file."""
    text = Path(__file__).with_suffix(".toml").read_text("utf-8")
    return [Term(**each) for each in tomllib.loads(text)["term"]]


def glossary(terms: list[Term]) -> Iterator[str]:
    """Yield the lines of a MyST glossary; every English form of a term can be linked to."""
    yield "````{glossary}\n:sorted:\n"
    for term in terms:
        yield from term.english
        yield f"  {term.definition}\n"
        page = f"; {{doc}}`/{term.page}`" if term.page else ""
        yield f"  {_chinese('、'.join(term.chinese))}{page}\n"
    yield "````"


def index(terms: list[Term]) -> Iterator[str]:
    """Yield a list from every Chinese form to its term, in the order of the pinyin, letter by letter."""
    forms = sorted(
        (_key(pinyin), form, pinyin, term) for term in terms for form, pinyin in term.chinese.items()
    )
    for letter, entries in groupby(forms, key=lambda entry: entry[0][0].upper()):
        yield f"**{letter}**\n"
        for _, form, pinyin, term in entries:
            yield f"- {_chinese(form)} ({pinyin}): {{term}}`{term.english[0]}`"
        yield ""


def _chinese(text: str) -> str:
    return f'<span lang="zh-Hans">{text}</span>'  # so that browsers choose its font, and readers its voice


def _key(pinyin: str) -> str:
    """Return the bare letters: tones are accents that Unicode can take off."""
    return "".join(each for each in unicodedata.normalize("NFD", pinyin.lower()) if each.isalnum())


def setup(app: Sphinx) -> dict[str, bool]:
    """Let Sphinx read the page with the terms in it."""

    def fill(app: Sphinx, page: str, source: list[str]) -> None:
        if page == "book/glossary":
            for place, lines in {"% terms": glossary, "% index": index}.items():
                source[0] = source[0].replace(place, "\n".join(lines(read())))

    app.connect("source-read", fill)
    return {"parallel_read_safe": True, "parallel_write_safe": True}
