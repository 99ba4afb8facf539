"""Every reference says why to read it, what the pages cite is there, and the list says who cites what."""

import re
import subprocess
import sys
from pathlib import Path

import nbformat
import pytest
from pybtex.database import BibliographyData, parse_file

ROOT = Path(__file__).resolve().parents[2]


@pytest.fixture(scope="module")
def references() -> BibliographyData:
    return parse_file(ROOT / "book" / "references.bib")


def test_every_entry_is_complete_and_says_why_to_read_it(references: BibliographyData) -> None:
    for key, entry in references.entries.items():
        fields = entry.fields
        assert entry.persons["author"], key
        assert {"title", "year", "annote"} <= set(fields), key
        assert fields["annote"].endswith("."), key
        assert "journal" in fields or "booktitle" in fields or "publisher" in fields or "eprint" in fields, (
            key
        )


def test_identifiers_are_well_formed_and_belong_to_one_entry(references: BibliographyData) -> None:
    for name, form in {"doi": r"10\.\d{4,9}/\S+", "eprint": r"\d{4}\.\d{4,5}"}.items():
        found = [entry.fields[name] for entry in references.entries.values() if name in entry.fields]
        assert all(re.fullmatch(form, each) for each in found)
        assert len(found) == len(set(found))


def test_a_preprint_is_not_younger_than_what_was_published(references: BibliographyData) -> None:
    for key, entry in references.entries.items():
        if "eprint" in entry.fields:
            # arXiv's number begins with year and month; a paper may be posted after its conference.
            assert 2000 + int(entry.fields["eprint"][:2]) <= int(entry.fields["year"]) + 1, key


def test_what_the_pages_cite_is_in_the_list(references: BibliographyData) -> None:
    texts = [path.read_text("utf-8") for path in (ROOT / "book").glob("*.md")]
    for folder in ("chapters", "solutions"):
        for path in (ROOT / folder).glob("*.ipynb"):
            texts += [cell.source for cell in nbformat.read(path, 4).cells if cell.cell_type == "markdown"]
    cited = {
        key.strip()
        for text in texts
        for keys in re.findall(r"\{cite(?::\w+)?\}`([^`]+)`", text)
        for key in keys.split(",")
    }
    assert len(cited) > 40
    assert cited <= set(references.entries)


def test_the_list_shows_annotations_and_citing_pages(tmp_path: Path) -> None:
    (tmp_path / "some.bib").write_text(
        "@misc{one, author={Some, Ann}, title={A {GAN}}, year={2014},"
        " annote={Why {GANs} matter to B{\\'e}zout, isn't it.}}\n"
        "@misc{two, author={Other, Bob}, title={Nobody Cites It}, year={2015}}\n"
    )
    (tmp_path / "chapter.md").write_text("# A chapter\n\n{cite}`one`, and again {cite:t}`one`.\n")
    (tmp_path / "index.md").write_text("# Home\n\n```{toctree}\nchapter\nlist\n```\n")
    (tmp_path / "list.md").write_text("# References\n\nSee {cite}`one`.\n\n```{bibliography}\n:all:\n```\n")
    (tmp_path / "conf.py").write_text(
        "import sys\n"
        f"sys.path.insert(0, {str(ROOT / 'book')!r})\n"
        "extensions = ['myst_parser', 'sphinxcontrib.bibtex', 'bibliography']\n"
        "bibtex_bibfiles = ['some.bib']\n"
    )
    subprocess.run([sys.executable, "-m", "sphinx", "-qW", tmp_path, tmp_path / "html"], check=True)
    page = (tmp_path / "html" / "list.html").read_text("utf-8")
    entries = page.split('<div class="citation"')[1:]
    assert len(entries) == 2
    uncited, cited = entries  # sorted by author
    assert "<p>Why GANs matter to Bézout, isn’t it.</p>" in cited
    assert re.search(r'<p>Cited in <a [^>]*href="chapter\.html">A chapter</a></p>', cited)
    assert "Cited in" not in uncited
