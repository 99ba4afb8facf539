"""Formulas become MathML when the book is built."""

import pytest
from maths import mathml

from medgan_course.errors import CourseError


def test_inline_and_displayed() -> None:
    assert mathml("x_2") == "<math><msub><mi>x</mi><mn>2</mn></msub></math>"
    assert mathml("x_2", display=True).startswith('<math display="block"')


def test_lines_are_aligned_with_or_without_an_environment() -> None:
    lines = r"L_D &= 1\\ L_G &= 2"
    made = mathml(lines, display=True)
    assert made == mathml(rf"\begin{{aligned}}{lines}\end{{aligned}}", display=True)
    assert made.count("<mtr>") == 2
    assert made.count('<mo form="infix">=</mo>') == 2  # or nothing is left between L and =


def test_a_sign_that_begins_a_continued_line_stands_between_two_terms() -> None:
    made = mathml(r"L = {}& a\\ &+ b", display=True)
    assert '<mo form="infix">+</mo>' in made


def test_cases_inside_lines() -> None:
    made = mathml(r"a &= \begin{cases} 1 & x \\ 2 & y \end{cases}\\ b &= 3")
    assert made.count("<mtable") == 2


def test_what_is_no_formula_is_named() -> None:
    with pytest.raises(CourseError, match=r"(?s)cannot be set: \\brackets\{x\n.*\\brackets"):
        mathml(r"\brackets{x")
