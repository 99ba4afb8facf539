"""Pages without what nobody uses, and with the size of every picture."""

from base64 import b64encode
from io import BytesIO
from pathlib import Path

import pytest
from PIL import Image
from slim import ICONS, drawn, named, pruned, still


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    Image.new("L", (30, 20)).save(tmp_path / "seen.png")
    return tmp_path


def test_rules_for_what_no_page_has_are_left_out() -> None:
    css = ".used, .unused p { color: red } #gone { top: 0 } a:hover { left: 0 } p { }"
    assert pruned(css, {"used"}) == ".used{color: red}\na:hover{left: 0}\n"


def test_what_stands_in_brackets_is_no_condition() -> None:
    for kept in ("p:not(.absent)", "a[href='.x#y']", "p:is(.absent, .used)"):
        assert pruned(f"{kept}{{top:0}}", {"used"}), kept


def test_conditions_hold_rules_and_go_with_the_last() -> None:
    css = "@media print{.used{top:0}.unused{top:0}}@media screen{.unused{top:0}}@font-face{font-family:F}"
    assert pruned(css, {"used"}) == "@media print{.used{top:0}\n}\n@font-face{font-family:F}\n"


def test_pictures_get_their_size_and_all_but_the_first_wait(folder: Path) -> None:
    page = '<img src="_images/../seen.png"><img alt="2" src="seen.png"/><img src="seen.png" width="3">'
    (folder / "_images").mkdir()
    assert still(page, folder) == (
        '<img src="_images/../seen.png" width="30" height="20"><img alt="2" src="seen.png" loading="lazy" '
        'width="30" height="20"/><img src="seen.png" width="3" loading="lazy">'
    )


def test_a_picture_inside_the_page_has_a_size_too(folder: Path) -> None:
    file = BytesIO()
    Image.new("L", (5, 4)).save(file, "png")
    address = f"data:image/png;base64,{b64encode(file.getvalue()).decode()}"
    assert ' width="5" height="4"' in still(f'<img src="{address}">', folder)


def test_pictures_from_elsewhere_are_left_alone(folder: Path) -> None:
    for tag in ('<img src="logo.svg">', '<img src="https://example.org/a.png">'):
        assert "width" not in still(tag, folder)


def test_punctuation_stays_with_its_formula(folder: Path) -> None:
    assert still("<math>a</math> <math>b</math>?) c", folder) == (
        '<math>a</math> <span class="held"><math>b</math>?)</span> c'
    )


def test_signatures_are_marked_up_sparingly_and_nothing_else_is(folder: Path) -> None:
    name = '<span class="n">x</span><span class="p">:</span>'
    link = '<a class="reference internal" href="#y" title="a.y">y</a>'
    short = 'x:<a class="reference internal" href="#y">y</a>'
    assert still(f'<dt class="sig">{name}{link}</dt>{name}{link}', folder) == (
        f'<dt class="sig">{short}</dt>{name}{link}'
    )


def test_the_first_paint_has_colours(folder: Path) -> None:
    assert still('<html data-theme="auto">', folder) == '<html data-theme="light">'


def test_what_opens_has_the_name_of_what_it_belongs_to() -> None:
    link = '<a class="current reference internal" href="#">A game</a><details open="open">'
    assert named(f"{link}<summary>") == f'{link}<summary aria-label="What belongs to: A game">'


def test_no_name_hides_the_text_that_is_seen() -> None:
    assert named('<summary aria-label="Toggle hidden content">How') == "<summary>How"
    button = '<button class="btn search-button-field pst-js-only" title="Search"'
    assert named(f'{button} aria-label="Search">') == f"{button}>"


def test_roles_that_are_no_more_and_headings_of_nothing_go() -> None:
    assert named('<div class="citation" id="a" role="doc-biblioentry">') == '<div class="citation" id="a">'
    assert named('<tr><th class="head"><p></p></th></tr>') == "<tr><td></td></tr>"


def test_an_aside_is_a_note_and_no_landmark() -> None:
    aside = '<aside class="margin sidebar">\n<p class="sidebar-title"></p>\n<p>Elsewhere.</p></aside>'
    assert named(aside) == '<aside class="margin" role="note">\n<p>Elsewhere.</p></aside>'


@pytest.mark.parametrize("name", ICONS)
def test_icons_are_drawn_where_the_theme_has_a_letter(name: str) -> None:
    for tag, more in (("i", ""), ("span", ' data-mode="auto" title="As the system"')):
        for head in (
            f'{tag} class="fa-solid fa-{name}"',
            f'{tag} class="theme-switch fa-brands   fa-{name}  fa-lg"',
        ):
            page = drawn(f"<b><{head}{more}></{tag}></b>")
            shape = f'<svg viewBox="0 0 24 24" aria-hidden="true">{ICONS[name]}</svg>'
            assert page == f"<b><{head}{more}>{shape}</{tag}></b>"


def test_what_is_no_icon_is_left_alone() -> None:
    page = (
        '<i class="fallen fa-x"></i><span class="fa-solid fa-bars">text</span><em class="fa-solid fa-bars">'
    )
    assert drawn(page) == page


def test_an_icon_that_nobody_has_drawn_stops_the_build() -> None:
    with pytest.raises(KeyError, match="unicorn"):
        drawn('<i class="fa-solid fa-unicorn"></i>')
