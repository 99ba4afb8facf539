"""Pages that load little, keep still while they load, and can be read aloud.

Runs when Sphinx has written all pages. What the theme ships and no page uses is left out: style rules, the
font of its icons, source maps. Icons are drawn into the page: in a style sheet each is a document of its own
to the browser, and together they are a good part of the first paint. What notebooks drew becomes WebP, pixel
for pixel, and every picture's size stands in its page.
"""

import re
from base64 import b64decode
from collections.abc import Iterator
from io import BytesIO
from pathlib import Path
from urllib.parse import unquote

import tinycss2
from PIL import Image
from sphinx.application import Sphinx
from tinycss2.ast import AtRule, Node, QualifiedRule

UNUSED = ("_static/**/*.map", "_static/scripts/*", "_static/vendor/fontawesome/**/*")
PRUNED = ("styles/*.css", "sphinx-design.min.css", "mystnb.*.css", "basic.css", "pygments.css")
# Paths of lines two wide, on 24 by 24.
ICONS = {
    "angle-left": '<path d="m15 5-7 7 7 7"/>',
    "angle-right": '<path d="m9 5 7 7-7 7"/>',
    "bars": '<path d="M4 6h16M4 12h16M4 18h16"/>',
    "chevron-down": '<path d="m6 9 6 6 6-6"/>',
    "circle-half-stroke": '<path d="M12 4a8 8 0 1 0 .1 0"/>'
    '<path fill="currentColor" d="M12 4a8 8 0 0 1 0 16z"/>',
    "download": '<path d="M12 4v11M7 11l5 5 5-5M4 20h16"/>',
    "github": '<path d="M8 5 3 12l5 7M16 5l5 7-5 7M13.5 4l-3 16"/>',
    "list": '<path d="M9 6h11M9 12h11M9 18h11M4 6h.1M4 12h.1M4 18h.1"/>',
    "magnifying-glass": '<path d="M10.5 4a6.5 6.5 0 1 0 .1 0M15.5 15.5 20 20"/>',
    "moon": '<path d="M20 14.5A8 8 0 1 1 9.5 4a6.5 6.5 0 0 0 10.5 10.5z"/>',
    "print": '<path d="M7 9V4h10v5M7 17H4V9h16v8h-3M7 14h10v6H7z"/>',
    "sun": '<path d="M12 8a4 4 0 1 0 .1 0M12 2v2M12 20v2M2 12h2M20 12h2M5 5l1.4 1.4M17.6 17.6 19 19'
    'M5 19l1.4-1.4M17.6 6.4 19 5"/>',
}
HASH = 64  # letters in the name of a picture that a notebook drew
_NAME = re.compile(r"[\w-]+")
_ICON = re.compile(r'(<(i|span) class="(?:[^"]* )?fa-(?:solid|brands) +fa-([\w-]+)[^>]*>)(?=</\2>)')


def pruned(css: str, words: set[str]) -> str:
    """Return the rules of a style sheet whose selectors name only classes and ids among ``words``."""
    return "".join(_kept(tinycss2.parse_stylesheet(css, skip_comments=True, skip_whitespace=True), words))


def _kept(rules: list[Node], words: set[str]) -> Iterator[str]:
    for rule in rules:
        if isinstance(rule, QualifiedRule):
            selectors = [each for each in _selectors(rule.prelude) if _names(each) <= words]
            if selectors and (body := " ".join(tinycss2.serialize(rule.content).split())):
                yield f"{','.join(selectors)}{{{body}}}\n"
        elif isinstance(rule, AtRule) and rule.lower_at_keyword in ("media", "supports") and rule.content:
            inner = "".join(_kept(tinycss2.parse_rule_list(rule.content, True, True), words))
            if inner:
                yield f"@{rule.at_keyword}{tinycss2.serialize(rule.prelude)}{{{inner}}}\n"
        elif isinstance(rule, AtRule) and not (
            rule.lower_at_keyword == "font-face" and "Font Awesome" in rule.serialize()
        ):
            yield f"{rule.serialize()}\n"


def _selectors(prelude: list[Node]) -> Iterator[str]:
    """Yield what stands between the commas of a rule's head; those inside brackets are part of one token."""
    part: list[Node] = []
    for token in prelude:
        if token == ",":
            yield tinycss2.serialize(part).strip()
            part = []
        else:
            part.append(token)
    yield tinycss2.serialize(part).strip()


def _names(selector: str) -> set[str]:
    """Return the classes and ids that an element must have; those in brackets, as of ``:not()``, need not."""
    outside = re.sub(r"\[[^\]]*\]|:[\w-]+\((?:[^()]|\([^()]*\))*\)", "", selector)
    return {name.replace("\\", "") for name in re.findall(r"[.#]((?:[\w-]|\\.)+)", outside)}


def still(page: str, folder: Path) -> str:
    """Return a page's HTML with the size of each picture, and without what says nothing.

    Parameters
    ----------
    page : str
        HTML.
    folder : Path
        Of the page, which addresses are relative to.
    """
    first = True

    def sized(tag: re.Match[str]) -> str:
        nonlocal first
        address = unquote(re.search(r'\bsrc="([^"]+)"', tag[0])[1])
        added = "" if first or " loading=" in tag[0] else ' loading="lazy"'
        first = first and "_images/" not in address  # the logo stands before it
        if " width=" not in tag[0] and (size := _size(address, folder)):
            added += f' width="{size[0]}" height="{size[1]}"'
        return f"{tag[1]}{added}{tag[2]}"

    page = page.replace(
        'data-theme="auto"', 'data-theme="light"', 1
    )  # until a script knows better, or for good
    page = re.sub(r"(<img\b[^>]*?)(\s*/?>)", sized, page)
    page = re.sub(r'<span class="pre">([^<]*)</span>', r"\1", page)
    page = page.replace('"docutils literal notranslate"', '"literal"')
    page = re.sub(r'<dt class="sig.*?</dt>', _signature, page, flags=re.DOTALL)
    return re.sub(r"(<math>(?:(?!</math>).)*</math>)([,.;:?!)]+)", r'<span class="held">\1\2</span>', page)


def _signature(found: re.Match[str]) -> str:
    """Return a signature in which only names, links and defaults are marked up."""
    plain = re.sub(r'<span class="[nopw]">([^<]*)</span>', r"\1", found[0])
    return re.sub(r'(<a class="reference internal" href="[^"]*") title="[^"]*"', r"\1", plain)


def drawn(page: str) -> str:
    """Return a page's HTML with its icons in it."""
    return _ICON.sub(
        lambda found: f'{found[1]}<svg viewBox="0 0 24 24" aria-hidden="true">{ICONS[found[3]]}</svg>', page
    )


def named(page: str) -> str:
    """Return a page's HTML in which what the theme forgot has a name for those who listen."""
    page = re.sub(
        r'(<a class="[^"]*reference internal" href="[^"]*">\s*([^<]*?)\s*</a><details[^>]*>)<summary>',
        r'\1<summary aria-label="What belongs to: \2">',
        page,
    )
    page = page.replace(' aria-label="Toggle hidden content"', "")  # its text says what it shows
    page = re.sub(r'(<button class="btn search-button-field[^>]*?) aria-label="[^"]*"', r"\1", page)
    page = page.replace(' role="doc-biblioentry"', "").replace(
        '<div role="list" class="citation-list">', "<div>"
    )
    page = page.replace('<th class="head"><p></p></th>', "<td></td>")
    page = page.replace(
        '<aside class="margin sidebar">\n<p class="sidebar-title"></p>', '<aside class="margin" role="note">'
    )
    return page.replace(
        '<div id="pst-primary-sidebar"',
        '<div id="pst-primary-sidebar" role="complementary" aria-label="The book"',
    )


def _size(address: str, folder: Path) -> tuple[int, int] | None:
    """Return width and height of a picture, or nothing of one that is elsewhere or has none of its own."""
    if address.startswith("data:image/"):
        return Image.open(BytesIO(b64decode(address.partition(",")[2]))).size
    path = folder / address
    return Image.open(path).size if path.is_file() and path.suffix != ".svg" else None


def _finish(app: Sphinx, error: Exception | None) -> None:
    if error or app.builder.name != "html":
        return
    html = Path(app.outdir)
    for pattern in UNUSED:
        for path in html.glob(pattern):
            if path.is_file():
                path.unlink()
    for path in (html / "_images").glob("*.png"):
        if len(path.stem) != HASH:
            continue
        Image.open(path).save(path.with_suffix(".webp"), lossless=True)
        path.unlink()
    words = {word for path in html.glob("_static/**/*.js") for word in _NAME.findall(_text(path))}
    for path in html.rglob("*.html"):
        page = path.read_text("utf-8")
        for name in set(re.findall(rf"_images/(\w{{{HASH}}})\.png", page)):
            page = page.replace(f"_images/{name}.png", f"_images/{name}.webp")
        path.write_text(page := drawn(named(still(page, path.parent))), "utf-8")
        words.update(
            word for names in re.findall(r'\b(?:class|id)="([^"]*)"', page) for word in names.split()
        )
    for pattern in PRUNED:
        for path in (html / "_static").glob(pattern):
            path.write_text(pruned(path.read_text("utf-8"), words), "utf-8")


def _text(path: Path) -> str:
    return path.read_text("utf-8") if path.is_file() else ""  # a folder may be called reveal.js


def setup(app: Sphinx) -> dict[str, bool]:
    """Let Sphinx do so at its end."""
    app.connect("build-finished", _finish, priority=900)
    return {"parallel_read_safe": True, "parallel_write_safe": True}
