"""Every page of the built book, read in a real browser at desktop and phone width."""

import re
from collections.abc import Iterator
from dataclasses import dataclass, field
from functools import cache
from pathlib import Path
from urllib.parse import unquote, urldefrag, urljoin, urlsplit

import pytest
import yaml
from browser import HEIGHT, ROOT, WIDTHS, built_book, pages
from playwright.sync_api import Browser, Page, Request, Response

FILE_NAME = re.compile(r"\S+\.(png|jpe?g|gif|svg|webp)$", re.IGNORECASE)
REPOSITORY = yaml.safe_load((ROOT / "_config.yml").read_text(encoding="utf-8"))["repository"]


@dataclass
class Reading:
    """A page as the browser has it, and everything that went wrong on the way."""

    page: Page
    name: str
    width: str
    home: str
    problems: list[str] = field(default_factory=list)

    def open(self) -> None:
        self.page.on(
            "console", lambda message: message.type == "error" and self.problems.append(message.text)
        )
        self.page.on("pageerror", lambda error: self.problems.append(str(error)))
        self.page.on("requestfailed", lambda request: self.problems.append(f"failed: {request.url}"))
        self.page.on("response", self._answered)
        self.page.on("request", self._asked)
        self.page.goto(f"{self.home}/{self.name}", wait_until="load")
        self.page.wait_for_load_state("networkidle")

    def _answered(self, response: Response) -> None:
        if response.status >= 400:
            self.problems.append(f"{response.status}: {response.url}")

    def _asked(self, request: Request) -> None:
        if urlsplit(request.url).scheme not in ("data", "blob") and not request.url.startswith(self.home):
            self.problems.append(f"another host: {request.url}")


def views() -> list[tuple[str, str]]:
    """Return every page at every width; without a book one view that fails, so that other tests still run."""
    try:
        return [(name, width) for name in pages() for width in WIDTHS]
    except FileNotFoundError:
        return [("no book", "desktop")]


@pytest.fixture(scope="module", params=views(), ids="-".join)
def reading(request: pytest.FixtureRequest, browser: Browser, home: str) -> Iterator[Reading]:
    name, width = request.param
    context = browser.new_context(viewport={"width": WIDTHS[width], "height": HEIGHT})
    opened = Reading(context.new_page(), name, width, home)
    opened.open()
    yield opened
    context.close()


def source(name: str) -> Path | None:
    """Return the notebook or Markdown file that page ``name`` was made from."""
    candidates = (ROOT / Path(name).with_suffix(suffix) for suffix in (".ipynb", ".md"))
    return next((path for path in candidates if path.is_file()), None)


def test_loads_without_an_error_and_from_this_host_alone(reading: Reading) -> None:
    assert not reading.problems


def test_has_a_title_and_one_heading(reading: Reading) -> None:
    assert reading.page.title().strip()
    assert reading.page.locator("article h1").count() == 1


def test_every_picture_loads_and_says_what_it_shows(reading: Reading) -> None:
    pictures = reading.page.evaluate(
        "() => [...document.images].map(i => [i.alt, i.src.slice(0, 80), i.complete && i.naturalWidth > 0])"
    )
    mute = [src for alt, src, _ in pictures if not alt.strip() or FILE_NAME.search(alt) or alt in src]
    assert not mute
    drawn = reading.page.locator("article [role=img]").evaluate_all(
        "all => all.map(e => e.getAttribute('aria-label'))"
    )
    assert all(label and label.strip() for label in drawn)
    broken = [src for _, src, loaded in pictures if not loaded]
    assert not broken


def test_slider_is_moved_by_the_keyboard(reading: Reading) -> None:
    figure = reading.page.locator("figure.scrubber").first
    if figure.count() == 0:
        pytest.skip("no slider on this page")
    slider, picture, caption = (figure.locator(part) for part in ("input", "[role=img]", "figcaption"))

    def shown() -> tuple[str, str]:
        place = picture.evaluate("e => getComputedStyle(e).backgroundPositionY")
        return place, caption.inner_text()

    start = shown()
    slider.press("ArrowLeft")
    before = shown()
    slider.press("Home")
    first = shown()
    for earlier, later in ((start, before), (before, first)):
        assert earlier[0] != later[0]
        assert earlier[1] != later[1]
    assert first[0] == "0%"
    assert slider.get_attribute("aria-valuetext") == first[1]


def test_maths_is_typeset(reading: Reading) -> None:
    flat = "all => all.filter(e => e.checkVisibility() && !e.getBoundingClientRect().width).length"
    assert reading.page.locator("math").evaluate_all(flat) == 0
    left = reading.page.locator("article :not(:is(pre, code, script, style, math, math *))").evaluate_all(
        "all => all.flatMap(e => [...e.childNodes]).filter(n => n.nodeType === 3).map(n => n.data)"
    )
    assert not [text for text in left if re.search(r"\\[(\[a-zA-Z]|\$[^$]+\$", text)]


BEYOND_THE_EDGE = """() => {
  const scrolls = e => e && (/auto|scroll/.test(getComputedStyle(e).overflowX) || scrolls(e.parentElement));
  const seen = e => e.checkVisibility() && e.getBoundingClientRect().width > 1;
  return [...document.querySelectorAll("article *")]
    .filter(e => seen(e) && e.getBoundingClientRect().right > innerWidth + 1 && !scrolls(e.parentElement))
    .map(e => `${e.tagName} ${e.className}: ${e.textContent.trim().slice(0, 60)}`);
}"""


def test_nothing_is_cut_off_at_the_right_edge(reading: Reading) -> None:
    assert reading.page.evaluate("() => document.documentElement.scrollWidth") <= WIDTHS[reading.width]
    assert reading.page.evaluate(BEYOND_THE_EDGE) == []


def test_internal_links_and_anchors_resolve(reading: Reading) -> None:
    links = reading.page.evaluate("() => [...document.querySelectorAll('a[href]')].map(a => a.href)")
    here = f"{reading.home}/{reading.name}"
    broken = []
    for link in {urljoin(here, link) for link in links if link.startswith(reading.home)}:
        address, anchor = urldefrag(link)
        path = built_book() / unquote(urlsplit(address).path.lstrip("/") or "index.html")
        if not path.is_file() or (anchor and path.suffix == ".html" and unquote(anchor) not in anchors(path)):
            broken.append(link)
    assert not broken


@cache
def anchors(path: Path) -> set[str]:
    """Return every id in a page."""
    return set(re.findall(r'\b(?:id|name)="([^"]+)"', path.read_text(encoding="utf-8")))


def test_notebook_and_nothing_else_opens_in_colab(reading: Reading) -> None:
    links = reading.page.evaluate(
        "() => [...document.querySelectorAll('a[href*=\"colab.research\"]')].map(a => a.href)"
    )
    made_from = source(reading.name)
    if made_from is None or made_from.suffix != ".ipynb":
        assert not links
    else:
        repository = urlsplit(REPOSITORY["url"]).path
        path = f"/github{repository}/blob/{REPOSITORY['branch']}/{made_from.relative_to(ROOT)}"
        assert set(links) == {f"https://colab.research.google.com{path}"}


def test_surrogate_page_says_so_at_its_top_and_no_other_does(reading: Reading) -> None:
    notices = reading.page.locator(".surrogate-data").count()
    banner = reading.page.locator(".surrogate-banner")
    assert banner.count() == (1 if notices else 0)
    if notices:
        reading.page.evaluate("() => window.scrollTo(0, document.body.scrollHeight)")
        seen = banner.evaluate("b => b.contains(document.elementFromPoint(innerWidth / 2, 5))")
        assert seen, "the banner does not stay in sight"
