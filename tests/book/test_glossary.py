"""The glossary and its Chinese index are one list of terms, and every term can be linked to."""

import re
import subprocess
import sys
from pathlib import Path

import glossary
import pytest
from glossary import Term

ROOT = Path(__file__).resolve().parents[2]


@pytest.fixture(scope="module")
def terms() -> list[Term]:
    return glossary.read()


def test_no_form_is_listed_twice(terms: list[Term]) -> None:
    english = [form.lower() for term in terms for form in term.english]
    assert len(english) == len(set(english))
    assert len(terms) >= 118
    chinese = [form for term in terms for form in term.chinese]
    assert len(chinese) == len(set(chinese))


def test_every_term_has_chinese_with_pinyin_and_a_definition(terms: list[Term]) -> None:
    for term in terms:
        assert term.definition.endswith((".", ".)")), term.english
        assert term.chinese, term.english
        for form, pinyin in term.chinese.items():
            signs = re.findall(r"[\u4e00-\u9fff]", form)
            assert signs, form
            assert not re.search(r"[\u4e00-\u9fff]", pinyin), form
            # A syllable has a vowel, so there are at least as many vowels as signs.
            vowels = re.findall(r"[aeiou]", glossary._key(pinyin))
            assert len(vowels) >= len(signs), form


def test_a_page_that_is_named_is_a_page_of_the_book(terms: list[Term]) -> None:
    for term in terms:
        if term.page is not None:
            assert any((ROOT / f"{term.page}{ending}").is_file() for ending in (".md", ".ipynb")), term


def test_the_index_is_sorted_by_pinyin_without_its_tones() -> None:
    terms = [
        Term(["calibration"], {"校准": "jiàozhǔn"}, "A."),
        Term(["phantom"], {"体模": "tǐmó", "仿真体": "fǎngzhēn tǐ"}, "B."),
        Term(["mode collapse"], {"模式崩溃": "móshì bēngkuì"}, "C."),
        Term(["alternating optimisation"], {"交替优化": "jiāotì yōuhuà"}, "D."),
    ]
    lines = "\n".join(glossary.index(terms))
    assert re.findall(r"\*\*(.)\*\*", lines) == ["F", "J", "M", "T"]
    # By their code points, jiào would stand before jiāo.
    assert re.findall(r"\((.+?)\): \{term\}`(.+?)`", lines) == [
        ("fǎngzhēn tǐ", "phantom"),
        ("jiāotì yōuhuà", "alternating optimisation"),
        ("jiàozhǔn", "calibration"),
        ("móshì bēngkuì", "mode collapse"),
        ("tǐmó", "phantom"),
    ]


def test_sphinx_links_terms_from_both_lists_and_from_other_pages(tmp_path: Path) -> None:
    book = tmp_path / "book"
    book.mkdir()
    (book / "glossary.md").write_text((ROOT / "book" / "glossary.md").read_text("utf-8"), "utf-8")
    (tmp_path / "index.md").write_text(
        "# Home\n\nA {term}`generator`, {term}`phantoms <phantom>`, an {term}`MRI`.\n\n"
        "```{toctree}\nbook/glossary\n```\n",
        "utf-8",
    )
    (tmp_path / "conf.py").write_text(
        "import sys\n"
        f"sys.path.insert(0, {str(ROOT / 'book')!r})\n"
        "extensions = ['myst_parser', 'glossary']\n"
        "myst_enable_extensions = ['dollarmath', 'smartquotes']\n"
        "myst_heading_anchors = 2\n"
        "nitpicky = True\n"
        "suppress_warnings = ['ref.doc']\n",  # the chapters are not here
        "utf-8",
    )
    ran = subprocess.run(
        [sys.executable, "-m", "sphinx", "-q", "-b", "html", tmp_path, tmp_path / "html"],
        capture_output=True,
        text=True,
        check=True,
    )
    warnings = [line for line in ran.stderr.splitlines() if "unknown document" not in line]
    assert warnings == []
    home = (tmp_path / "html" / "index.html").read_text("utf-8")
    for name in ("generator", "phantom", "MRI"):
        assert f'href="book/glossary.html#term-{name}"' in home
    page = (tmp_path / "html" / "book" / "glossary.html").read_text("utf-8")
    assert page.count('<span lang="zh-Hans">体模</span>') == 1  # in the index
    assert '<span lang="zh-Hans">体模、仿真体</span>' in page  # in the glossary
    assert "% terms" not in page
    assert "% index" not in page
