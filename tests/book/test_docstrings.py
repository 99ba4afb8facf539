"""The library's pages say what its docstrings say."""

import re

import pytest
from browser import built_book
from docstrings import apart, python


def test_attributes_get_an_entry_each() -> None:
    lines = [
        "Ends.",
        "",
        "Attributes",
        "----------",
        "low, high : float",
        "    Of it,",
        "",
        "    all.",
        "n : int",
    ]
    assert apart(lines) == [
        *lines[:4],
        "low : float",
        *lines[5:8],
        "high : float",
        *lines[5:8],
        "n : int",
    ]
    assert apart(["Attributes", "---", "a, b, c"]) == ["Attributes", "---", "a", "b", "c"]


def test_nothing_else_is_touched() -> None:
    for title in ("Parameters", "Notes"):
        lines = ["a, b : c", "", title, "-----", "low, high : float", "    Of it."]
        assert apart(lines) == lines
    lines = [
        "Attributes",
        "----------",
        "n : int",
        "    Low, high.",
        "",
        "Returns",
        "-------",
        "low, high : float",
    ]
    assert apart(lines) == lines


@pytest.mark.parametrize(
    ("signature", "read"),
    [
        ("(a: int = 3)", "(a: int = 3)"),
        ("(a: dict = <factory>, b=<factory>)", "(a: dict = ..., b=...)"),
        ("(f=<function Run.<lambda>>, g=<function a.b>)", "(f=..., g=...)"),
        ("(loss=<class 'medgan_course.losses.adversarial.Hinge'>)", "(loss=Hinge)"),
    ],
)
def test_defaults_are_python(signature: str, read: str) -> None:
    assert python(signature) == read


def test_every_page_was_read_as_it_was_written() -> None:
    written = sorted((built_book() / "book").glob("api-*.html"))
    assert written
    for path in written:
        page = path.read_text("utf-8")
        # A name taken for a type, what stands before a colon taken for one, a signature that was not read.
        for trap in (
            r"<em>,</em>\)",
            r'Type<span class="colon">',
            "~medgan_course",
            "~torch",
            "&lt;factory",
            "&lt;class",
            "&lt;function",
        ):
            assert not re.search(trap, page), f"{path.name}: {trap}"
