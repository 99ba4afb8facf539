"""What every page has around its text: a chapter's head and what comes next, and what other programs read.

These are the description and the picture that are shown where somebody shares a page, ``sitemap.xml`` and
the page for addresses that lead nowhere (``_templates/404.html``). They need the address under which the book
is published, ``html_baseurl`` in ``_config.yml``.
"""

import json
import re
import textwrap
from collections.abc import Iterator
from html import escape
from pathlib import Path
from typing import Any

from docutils import nodes
from matplotlib.font_manager import FontProperties, findfont
from myst_nb.sphinx_ import HideCodeCellNode
from PIL import Image, ImageDraw, ImageFont
from sphinx.application import Sphinx
from times import Time, line, read

CHAPTERS, EXERCISES, SOLUTIONS = "chapters", "exercises", "solutions"
PREVIEWS = "_images/previews"
PREVIEW_SIZE = (1200, 630)  # which those who show previews ask for
LONGEST = 220  # characters of a description
QUOTED = """const texts = {texts};
window.fetch = async (address) => {{
  const page = address.replace(/^\\.\\/|\\.html$/g, "");
  return new Response(`<p role="main">${{texts[page]}}</p>`);
}};
"""
INK, PAPER, MUTED, REAL, GENERATED = "#22303a", "#fdfcfa", "#56646e", "#00568a", "#b34700"  # as in course.css


def description(document: nodes.document) -> str:
    """Return how a page's text begins: with its first paragraph of more than a few words, if there is one."""
    found = [
        " ".join(paragraph.astext().split())
        for paragraph in document.findall(nodes.paragraph)
        if not isinstance(paragraph.parent, nodes.Admonition | nodes.list_item)
    ]
    text = next((each for each in found if len(each) > 40), "".join(found[:1]))
    return textwrap.shorten(text, LONGEST, placeholder=" …")


def head(document: nodes.document, times: dict[str, Time]) -> str:
    """Return what stands below a chapter's title: how long it takes to read, and to compute.

    Parameters
    ----------
    document : nodes.document
        The chapter, which says in its text what it takes.
    times : dict of str to Time
        Of its computation, by profile.
    """
    takes = next(strong for strong in document.findall(nodes.strong) if strong.astext() == "It takes")
    after = takes.parent.astext().partition("It takes ")[2]
    reading = re.split(r"[.;]|, | to read", after)[0]
    return (
        f'<p class="chapter-facts"><span><b>Reading</b> {escape(reading)}</span> '
        f"<span><b>Computing</b> {escape(line(times).removesuffix('.'))}</span></p>"
    )


def steps(page: str, titles: dict[str, str]) -> Iterator[tuple[str, str]]:
    """Yield the pages to go on with after a chapter, its exercises or solutions, and what to do there.

    Parameters
    ----------
    page : str
        Name of the page.
    titles : dict of str to str
        Of all pages, by name.
    """
    folder, _, name = page.partition("/")
    chapters = sorted(each for each in titles if each.startswith(f"{CHAPTERS}/"))
    if f"{CHAPTERS}/{name}" not in chapters:
        return
    if folder == CHAPTERS and f"{EXERCISES}/{name}" in titles:
        yield f"{EXERCISES}/{name}", "Try it"
    if folder == EXERCISES:
        yield f"{CHAPTERS}/{name}", "Read again"
    if folder == EXERCISES and f"{SOLUTIONS}/{name}" in titles:
        yield f"{SOLUTIONS}/{name}", "Compare"
    following = chapters[chapters.index(f"{CHAPTERS}/{name}") + 1 :]
    yield (following[0], "Go on") if following else ("book/progress", "Look back")


def preview(title: str, above: str, picture: Image.Image | None) -> Image.Image:
    """Return what is shown beside a link to a page: its title and, if there is one, its picture."""
    card = Image.new("RGB", PREVIEW_SIZE, PAPER)
    draw = ImageDraw.Draw(card)
    width, height = PREVIEW_SIZE
    room = width // 2 - 100 if picture else width - 160
    if picture:
        picture = picture.convert("RGB")
        picture.thumbnail((width // 2, height - 120), Image.Resampling.LANCZOS)
        scale = min(width / 2 / picture.width, (height - 120) / picture.height)
        picture = picture.resize((round(picture.width * scale), round(picture.height * scale)))
        card.paste(picture, (width - picture.width - 40, (height - picture.height) // 2))
    draw.rectangle((0, 0, width // 2, 14), fill=REAL)
    draw.rectangle((width // 2, 0, width, 14), fill=GENERATED)
    draw.text((60, 80), above, font=_font(28), fill=MUTED)
    size = 60
    while (lines := _wrapped(title, _font(size, bold=True), room)) and len(lines) * size > height - 320:
        size -= 4
    draw.multiline_text((60, 140), "\n".join(lines), font=_font(size, bold=True), fill=INK, spacing=size // 4)
    draw.text((60, height - 90), "GANs for medical imaging", font=_font(30), fill=REAL)
    return card


def _font(size: int, *, bold: bool = False) -> ImageFont.FreeTypeFont:
    found = findfont(FontProperties(family="DejaVu Sans", weight="bold" if bold else "normal"))
    return ImageFont.truetype(found, size)


def _wrapped(text: str, font: ImageFont.FreeTypeFont, room: int) -> list[str]:
    lines = [""]
    for word in text.split():
        longer = f"{lines[-1]} {word}".strip()
        if font.getlength(longer) <= room or not lines[-1]:
            lines[-1] = longer
        else:
            lines.append(word)
    return lines


def _picture_first(app: Sphinx, document: nodes.document, page: str) -> None:
    """Put what a cell drew before its code, where that is folded away."""
    for cell in document.findall(nodes.container):
        if cell.get("nb_element") == "cell_code" and isinstance(cell.next_node(), HideCodeCellNode):
            cell.append(cell.pop(0))


def _around(
    app: Sphinx, page: str, template: str, context: dict[str, Any], document: nodes.document | None
) -> None:
    """Put a chapter's head and what comes next into a page's text, and the rest where templates find it."""
    base = str(app.config.html_baseurl)
    context["baseurl"] = base
    context["math"] = bool(document and next(document.findall(nodes.math), None))
    theirs = "scripts/sphinx-book-theme.js"  # ours is page.js
    context["script_files"] = [each for each in context["script_files"] if theirs not in str(each.filename)]
    for script in context["script_files"]:
        if "documentation_options" not in str(script.filename) and str(script.filename).startswith("_static"):
            script.attributes.setdefault("defer", "defer")
    if document is None:
        return
    titles = {name: title.astext() for name, title in app.env.titles.items()}
    folder, _, name = page.partition("/")
    context["description"] = description(document)
    context["preview"] = f"{base}{PREVIEWS}/{name if folder == CHAPTERS else 'welcome'}.jpg"
    if str(app.env.doc2path(page)).endswith(".ipynb"):
        where = str(app.config.html_theme_options["repository_url"]).partition("github.com/")[2]
        branch = app.config.html_theme_options["repository_branch"]
        context["colab"] = f"https://colab.research.google.com/github/{where}/blob/{branch}/{page}.ipynb"
    body = context["body"]
    if folder == CHAPTERS:
        body = body.replace("<h1>", f'<p class="chapter-number">Chapter {int(name[:2])}</p>\n<h1>', 1)
        body = body.replace("</h1>", f"</h1>\n{head(document, read().get(page, {}))}", 1)
    links = "\n".join(
        f'<a href="{context["pathto"](to)}"><span>{what}</span> {escape(titles[to])}</a>'
        for to, what in steps(page, titles)
    )
    if links:
        context["prev"] = context["next"] = None  # which would say the same again
        body += f'<nav class="next-steps" aria-label="Where to go from here">\n{links}\n</nav>'
    context["body"] = body


def quoted(pages: dict[str, str]) -> str:
    """Return a script with the text of pages, for search results that cannot read the pages themselves.

    So it is where a browser has opened the book from a folder (``_templates/search.html``).

    Parameters
    ----------
    pages : dict of str to str
        HTML, by name.
    """
    found = {name: " ".join(re.findall(r"<p>(.*?)</p>", page, re.DOTALL)) for name, page in pages.items()}
    texts = {name: " ".join(re.sub(r"<[^>]+>", "", text).split()) for name, text in found.items()}
    return QUOTED.format(texts=json.dumps(texts))


def _publish(app: Sphinx, error: Exception | None) -> None:
    """Write the sitemap, what search quotes, and a preview of each chapter from its page's first picture."""
    if error or app.builder.name != "html":
        return
    html = Path(app.outdir)
    addresses = "\n".join(
        f"<url><loc>{app.config.html_baseurl}{page}.html</loc></url>" for page in sorted(app.env.found_docs)
    )
    (html / "sitemap.xml").write_text(
        '<?xml version="1.0" encoding="utf-8"?>\n'
        f'<urlset xmlns="http://www.sitemaps.org/schemas/sitemap/0.9">\n{addresses}\n</urlset>\n',
        "utf-8",
    )
    pages = {page: (html / f"{page}.html").read_text("utf-8") for page in sorted(app.env.found_docs)}
    (html / "searchtexts.js").write_text(quoted(pages), "utf-8")
    (html / PREVIEWS).mkdir(parents=True, exist_ok=True)
    for page, title in app.env.titles.items():
        folder, _, name = page.partition("/")
        if folder != CHAPTERS and page != "book/welcome":
            continue
        found = re.search(r'<img[^>]*src="\.\./(_images/[^"]+)"', pages[page])
        picture = Image.open(html / found[1]) if found else None
        above = f"Chapter {int(name[:2])}" if folder == CHAPTERS else "A course that can be played with"
        preview(title.astext(), above, picture).save(html / PREVIEWS / f"{name}.jpg", quality=85)


def setup(app: Sphinx) -> dict[str, bool]:
    """Let Sphinx do so for every page, and at its end."""
    app.connect("doctree-resolved", _picture_first)
    app.connect("html-page-context", _around, priority=900)
    app.add_js_file("page.js", loading_method="defer")
    app.connect("build-finished", _publish)
    return {"parallel_read_safe": True, "parallel_write_safe": True}
