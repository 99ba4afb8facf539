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
from weight import OTHER, Scales, Weight, moved

FILE_NAME = re.compile(r"\S+\.(png|jpe?g|gif|svg|webp)$", re.IGNORECASE)
AXE = ROOT / "book" / "_static" / "vendor" / "axe-core" / "axe.min.js"
LIGHT_ENOUGH = 600_000  # bytes, before anybody does anything
REPOSITORY = yaml.safe_load((ROOT / "_config.yml").read_text(encoding="utf-8"))["repository"]


@dataclass
class Reading:
    """A page as the browser has it, and everything that went wrong on the way."""

    page: Page
    name: str
    width: str
    home: str
    problems: list[str] = field(default_factory=list)
    weight: Weight = field(init=False)

    def open(self) -> None:
        scales = Scales(self.page)
        self.page.on(
            "console", lambda message: message.type == "error" and self.problems.append(message.text)
        )
        self.page.on("pageerror", lambda error: self.problems.append(str(error)))
        self.page.on("requestfailed", lambda request: self.problems.append(f"failed: {request.url}"))
        self.page.on("response", self._answered)
        self.page.on("request", self._asked)
        self.page.goto(f"{self.home}/{self.name}", wait_until="load")
        self.page.wait_for_load_state("networkidle")
        self.weight = scales.read(built_book() / self.name)

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
    context = browser.new_context(
        viewport={"width": WIDTHS[width], "height": HEIGHT}, reduced_motion="reduce", color_scheme="light"
    )
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


def test_weighs_little(reading: Reading) -> None:
    assert reading.weight.bytes[OTHER] <= LIGHT_ENOUGH


def test_nothing_moves_by_itself(reading: Reading) -> None:
    assert moved(reading.page) < 0.01


def test_no_column_of_a_first_long_table_waits_for_its_last_row(reading: Reading) -> None:
    """A browser draws a page before all of it is there; after how many rows, nobody can say."""
    whole, begun = reading.page.evaluate(
        """height => {
          scrollTo(0, 0);
          const tables = [...document.querySelectorAll("article table")]
            .filter(it => it.offsetHeight > height && it.getBoundingClientRect().top < height);
          const columns = () => tables.map(it => [...it.rows[0].cells].map(cell => cell.offsetLeft));
          const later = tables.flatMap(it => [...it.rows].slice(2));
          const whole = columns();
          for (const row of later) row.hidden = true;
          const begun = columns();
          for (const row of later) row.hidden = false;
          return [whole, begun];
        }""",
        HEIGHT,
    )
    assert begun == whole


def test_axe_finds_no_violation_in_light_or_dark(reading: Reading) -> None:
    if reading.width != "desktop":
        pytest.skip("the same page")
    reading.page.evaluate(AXE.read_text("utf-8"))
    assert violations(reading.page) == []
    reading.page.evaluate("document.documentElement.dataset.theme = 'dark'")
    in_the_dark = violations(reading.page, "color-contrast", "link-in-text-block")
    reading.page.evaluate("document.documentElement.dataset.theme = 'light'")
    assert in_the_dark == []


def violations(page: Page, *rules: str) -> list[str]:
    """Return what axe-core has against the page, by these rules or all, and where."""
    return page.evaluate(
        """async rules => {
          const only = rules.length ? {runOnly: {type: "rule", values: rules}} : {};
          const found = await axe.run(document, {resultTypes: ["violations"], ...only});
          return found.violations.flatMap(({id, nodes}) => nodes.map(
            ({target, any}) => `${id}: ${target.join(" ")} ${any.map(each => each.message).join(" ")}`));
        }""",
        list(rules),
    )


def test_has_a_title_and_one_heading(reading: Reading) -> None:
    assert reading.page.title().strip()
    assert reading.page.locator("article h1").count() == 1


def test_every_picture_loads_and_says_what_it_shows(reading: Reading) -> None:
    reading.page.evaluate(
        "() => Promise.allSettled([...document.images].map(i => { i.loading = 'eager'; return i.decode(); }))"
    )
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
    left = reading.page.locator("article :not(:is(pre, pre *, code, code *, script, style))").evaluate_all(
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


@pytest.fixture(scope="module")
def without_scripts(browser: Browser) -> Iterator[Page]:
    context = browser.new_context(
        viewport={"width": WIDTHS["phone"], "height": HEIGHT}, java_script_enabled=False
    )
    yield context.new_page()
    context.close()


@pytest.mark.parametrize("name", sorted({name for name, _ in views()}))
def test_can_be_read_from_a_folder_without_scripts(name: str, without_scripts: Page) -> None:
    page = without_scripts
    page.goto((built_book() / name).as_uri(), wait_until="load")
    assert page.locator("article h1").is_visible()
    assert page.locator("html").get_attribute("data-theme") == "light"
    assert not [each for each in page.locator(".pst-js-only").all() if each.is_visible()]
    written = [each.strip() for each in page.locator("article p, article li").all_inner_texts()]
    assert len("".join(written)) > 100
    for picture in page.locator("article img:not([loading])").all():
        assert picture.is_visible()


def test_search_finds_pages_from_a_folder(browser: Browser) -> None:
    page = browser.new_page()
    page.goto(f"{(built_book() / 'search.html').as_uri()}?q=discriminator")
    page.wait_for_selector("#search-results li a")
    assert page.locator("#search-results li a").first.get_attribute("href")
    page.wait_for_selector("#search-results p.context .highlighted")
    page.close()


def test_a_page_says_to_other_programs_what_it_is() -> None:
    html = built_book()
    config = yaml.safe_load((ROOT / "_config.yml").read_text("utf-8"))
    base = config["sphinx"]["config"]["html_baseurl"]
    listed = set(re.findall(r"<loc>([^<]+)</loc>", (html / "sitemap.xml").read_text("utf-8")))
    for name in pages():
        text = (html / name).read_text("utf-8")
        assert f"{base}{name}" in listed
        assert f'<link rel="canonical" href="{base}{name}"' in text
        assert f'<meta property="og:site_name" content="{config["title"]}"' in text
        assert re.search(r'<meta name="description" content="[^"]{15,}"', text), name
        picture = re.search(rf'<meta property="og:image" content="{re.escape(base)}([^"]+)"', text)
        assert picture
        assert (html / picture[1]).is_file()
        if name.startswith("chapters/"):
            assert Path(picture[1]).stem == Path(name).stem


def test_an_address_that_leads_nowhere_is_answered_kindly(browser: Browser, home: str) -> None:
    page = browser.new_page()
    page.goto(f"{home}/404.html")
    page.evaluate(AXE.read_text("utf-8"))
    assert violations(page) == []
    base = yaml.safe_load((ROOT / "_config.yml").read_text("utf-8"))["sphinx"]["config"]["html_baseurl"]
    assert page.get_by_role("link").get_attribute("href") == f"{base}index.html"
    page.close()
