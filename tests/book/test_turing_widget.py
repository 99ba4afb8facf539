"""The reader test on the page of chapter 3, taken in a real browser from the chapter's own cell."""

import base64
import json
import math
import zlib
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import pytest
import torch
import turing_images
from browser import HASTY, HEIGHT, ROOT, WIDTHS, served
from markdown_it import MarkdownIt
from playwright.sync_api import Browser, Page, expect
from torch import Tensor

from medgan_course.metrics.observer import power, turing_test
from medgan_course.metrics.score import Score

ADDRESS = "/book/chapters/turing.html"  # beside book/_static as a chapter's page is beside _static
MODULES = "/book/_static/turing/"
STILL = '<div class="cell tag_turing-still"><div class="cell_output"><p>Twenty on one sheet.</p></div></div>'


# What the reader says to images of which some are real.
PATTERNS: dict[str, Callable[[Tensor], Tensor]] = {
    "all right": lambda is_real: is_real,
    "all wrong": lambda is_real: ~is_real,
    "all real": torch.ones_like,
    "all generated": torch.zeros_like,
    "right in half": lambda is_real: is_real ^ (torch.arange(len(is_real)) % 2 == 0),
    "right but for five": lambda is_real: is_real ^ (torch.arange(len(is_real)) < 5),
}


def cell(name: str) -> str:
    chapter = json.loads((ROOT / "chapters" / "03_metrics.ipynb").read_text(encoding="utf-8"))
    (source,) = ("".join(each["source"]) for each in chapter["cells"] if each["id"] == name)
    return source


@pytest.fixture(scope="module")
def project() -> Iterator[str]:
    with served(ROOT) as address:
        yield address


@pytest.fixture(scope="module")
def saved() -> dict[str, Any]:
    return turing_images.contents(*turing_images.twenty())


@pytest.fixture(params=WIDTHS)
def width(request: pytest.FixtureRequest) -> str:
    return request.param


@contextmanager
def reader_page(
    browser: Browser, saved: dict[str, Any] | str | None, *, width: str = "desktop", **context: Any
) -> Iterator[Page]:
    """Yield a tab in which :func:`arrive` finds the cell, and ``saved`` where the book's build puts it."""
    opened = browser.new_context(viewport={"width": WIDTHS[width], "height": HEIGHT}, **context)
    html = (
        '<!doctype html><html lang="en" data-theme="light"><head><title>The test</title>'
        '<meta charset="utf-8"><meta name="viewport" content="width=device-width">'
        '<link rel="stylesheet" href="../_static/course.css"></head>'
        '<body style="margin: 0 16px"><p style="height: 2000px">Above.</p><article style="max-width: 688px">'
        f"{STILL}{MarkdownIt('commonmark').render(cell('turing-test'))}</article>"
        '<p style="height: 2000px">Below.</p>'
    )
    opened.route(f"**{ADDRESS}", lambda route: route.fulfill(body=html, content_type="text/html"))
    if saved is None:
        opened.route("**/twenty.json", lambda route: route.abort())
    else:
        text = saved if isinstance(saved, str) else json.dumps(saved)
        opened.route("**/twenty.json", lambda route: route.fulfill(body=text))
    yield opened.new_page()
    opened.close()


@pytest.fixture
def page(browser: Browser, project: str, saved: dict[str, Any], width: str) -> Iterator[Page]:
    with reader_page(browser, saved, width=width) as tab:
        arrive(tab, project)
        yield tab


def arrive(tab: Page, project: str) -> None:
    """Open the page, scroll to the test and wait for it."""
    tab.goto(project + ADDRESS)
    tab.locator("#turing").scroll_into_view_if_needed()
    tab.wait_for_selector("#turing[data-state=ready]")


def truth(saved: dict[str, Any]) -> Tensor:
    return torch.tensor([bool(saved["truth"] >> i & 1) for i in range(saved["count"])])


def button(tab: Page, real: bool) -> Any:
    return tab.get_by_role("button", name="Real" if real else "Generated")


def take(tab: Page, called_real: Tensor) -> None:
    for real in called_real.tolist():
        button(tab, real).click()
    expect(tab.locator("#turing")).to_have_attribute("data-state", "done")


def count(tab: Page) -> str:
    return tab.locator(".turing-count").inner_text()


# The same numbers as the library's.


@pytest.mark.parametrize("pattern", PATTERNS)
def test_the_page_computes_what_the_library_computes(browser: Browser, project: str, pattern: str) -> None:
    is_real = torch.rand(20, generator=torch.Generator().manual_seed(1)) < 0.5
    said = PATTERNS[pattern](is_real)
    expected = turing_test(is_real, said)
    with reader_page(browser, None) as tab:
        tab.goto(project + ADDRESS)
        found = tab.evaluate(
            "async ([modules, ...answers]) => (await import(modules + 'statistics.js')).score(...answers)",
            [MODULES, is_real.tolist(), said.tolist()],
        )
    for name, score in {
        "accuracy": expected.accuracy,
        "dPrime": expected.d_prime,
        "criterion": expected.criterion,
    }.items():
        assert found[name] == pytest.approx([score.value, score.low, score.high], abs=1e-12)
    assert found["oneAnswer"] == expected.one_answer
    assert found["right"] == int((is_real == said).sum())
    assert (found["hits"], found["alarms"]) == (int(said[is_real].sum()), int(said[~is_real].sum()))


def test_the_page_s_power_is_the_library_s(browser: Browser, project: str) -> None:
    asked = [(0.7, 20), (0.5, 20), (0.7, 100), (1.0, 20), (0.3, 20)]
    with reader_page(browser, None) as tab:
        tab.goto(project + ADDRESS)
        found = tab.evaluate(
            "async ([modules, asked]) => { const { power } = await import(modules + 'statistics.js');"
            " return asked.map((each) => power(...each)); }",
            [MODULES, asked],
        )
    assert found == pytest.approx([power(*each) for each in asked], abs=1e-12)


def shown(score: Score, kind: str) -> str:
    """Return an interval as the page writes it."""

    def number(value: float) -> str:
        if kind == "%":
            return f"{math.floor(100 * value + 0.5)}\N{NO-BREAK SPACE}%"
        return f"{value:.2f}".replace("-", "\N{MINUS SIGN}")

    return f"{number(score.value)} [{number(score.low)}, {number(score.high)}]"


@pytest.mark.parametrize("pattern", PATTERNS)
def test_the_result_that_is_read_is_the_library_s(
    browser: Browser, project: str, saved: dict[str, Any], pattern: str
) -> None:
    is_real = truth(saved)
    said = PATTERNS[pattern](is_real)
    expected = turing_test(is_real, said)
    with reader_page(browser, saved) as tab:
        arrive(tab, project)
        take(tab, said)
        cells = [row.split("\t") for row in tab.locator("#turing table").inner_text().splitlines()]
        table = {row[0]: row[1] for row in cells if len(row) == 3}
        assert table == {
            "right": shown(expected.accuracy, "%"),
            "hits": f"{int(said[is_real].sum())} of {int(is_real.sum())}",
            "false alarms": f"{int(said[~is_real].sum())} of {int((~is_real).sum())}",
            "d\N{PRIME}": shown(expected.d_prime, "2"),
            "c": shown(expected.criterion, "2"),
        }
        verdict = tab.locator(".turing-verdict").inner_text()
        assert f"right in {int((is_real == said).sum())} of 20" in verdict
        words = {
            "all right": "above one half",
            "all wrong": "wrong way round",
            "all real": "one answer to all",
            "all generated": "one answer to all",
            "right in half": "is open",
            "right but for five": "above one half",
        }
        assert words[pattern] in verdict
        assert (
            f"only {round(100 * power(0.7, 20))}\N{NO-BREAK SPACE}%"
            in tab.locator(".turing-power").inner_text()
        )
        kinds = tab.locator(".turing-truth li").all_inner_texts()
        real = "phantom" if saved["surrogate"] else "real"
        assert [text.split() for text in kinds] == [
            [real if is_one else "generated", *("✓ right" if is_one == answer else "✗ wrong").split()]
            for is_one, answer in zip(is_real.tolist(), said.tolist(), strict=True)
        ]


# The test is fair.


def test_nothing_is_said_before_the_end(page: Page, saved: dict[str, Any]) -> None:
    words = page.locator("#turing").inner_text()
    markup = page.locator("#turing").inner_html()
    for i, real in enumerate(truth(saved).tolist()[:-1], 2):
        button(page, real).click()
        assert page.locator("#turing").inner_text() == words.replace("Image 1 of", f"Image {i} of")
        assert page.locator("#turing").inner_html() == markup.replace("1 of 20", f"{i} of 20")


def test_both_kinds_come_the_same_way_and_the_page_shows_these_very_pixels(
    browser: Browser, project: str, saved: dict[str, Any]
) -> None:
    images, is_real, _ = turing_images.twenty()
    assert torch.equal(truth(saved), is_real)
    grey = ((images[:, 0].clamp(-1, 1) + 1) * 127.5).round().to(torch.uint8)
    with reader_page(browser, saved) as tab:
        arrive(tab, project)
        for i, real in enumerate(is_real.tolist()):
            pixels = tab.locator(".turing-image").evaluate(
                "canvas => [...canvas.getContext('2d').getImageData(0, 0, 64, 64).data]"
            )
            assert torch.equal(torch.tensor(pixels, dtype=torch.uint8).view(64, 64, 4)[..., 0], grey[i])
            button(tab, real).click()


def test_the_file_has_one_picture_and_no_list_of_answers(saved: dict[str, Any]) -> None:
    assert set(saved) == {"made by", "seed", "surrogate", "source", "count", "truth", "checksum", "picture"}
    assert isinstance(saved["truth"], int)
    assert base64.b64decode(saved["picture"])[8:16] == b"WEBPVP8L", "compressed without loss"


def test_the_sheet_in_the_notebook_shows_the_same_twenty() -> None:
    images, is_real, test = turing_images.twenty()
    given: dict[str, Any] = {"test": test}
    code = cell("turing-twenty").partition("figure = ")[0]
    imports = cell("6ce33cd6").partition("started = ")[0]
    artist = 'artist = pretrained.load("dcgan_pneumoniamnist_64", Generator)\n'
    exec(imports + artist + code, given)
    assert torch.equal(given["twenty"], images)
    assert torch.equal(given["truth"], is_real)


def test_the_build_puts_the_file_beside_the_program(tmp_path: Path, saved: dict[str, Any]) -> None:
    app: Any = SimpleNamespace(outdir=tmp_path, builder=SimpleNamespace(format="html"))
    (tmp_path / "_static" / "turing").mkdir(parents=True)
    turing_images.write(app, RuntimeError("the build has failed"))
    assert not list(tmp_path.glob("_static/turing/*"))
    turing_images.write(app, None)
    written = json.loads((tmp_path / "_static" / "turing" / "twenty.json").read_text("utf-8"))
    assert written == saved


def test_phantoms_are_called_phantoms(browser: Browser, project: str, saved: dict[str, Any]) -> None:
    for surrogate in (True, False):
        with reader_page(browser, {**saved, "surrogate": surrogate}) as tab:
            arrive(tab, project)
            assert tab.get_by_text("SURROGATE DATA").count() == surrogate
            take(tab, torch.ones(20, dtype=torch.bool))
            assert tab.get_by_text("phantom", exact=True).count() == surrogate * int(truth(saved).sum())


# Answers are kept in the page.


def test_nothing_is_stored_or_sent(page: Page, saved: dict[str, Any]) -> None:
    asked: list[str] = []
    page.on("request", lambda request: asked.append(request.url))
    take(page, truth(saved))
    assert not asked
    assert page.evaluate("[localStorage.length, sessionStorage.length, document.cookie]") == [0, 0, ""]
    page.context.set_offline(True)
    expect(page.locator(".turing-truth li")).to_have_count(20)


def test_a_browser_that_forbids_storage_does_not_matter(
    browser: Browser, project: str, saved: dict[str, Any]
) -> None:
    with reader_page(browser, saved) as tab:
        tab.add_init_script(
            "Object.defineProperty(window, 'localStorage', { get() { throw new DOMException('no'); } })"
        )
        arrive(tab, project)
        take(tab, truth(saved))
        assert "20 of 20" in tab.locator(".turing-verdict").inner_text()


# By key, by mouse, by ear.


@pytest.mark.parametrize("keys", ["gr", "GR", ("ArrowLeft", "ArrowRight")])
def test_the_test_is_taken_by_keys_alone(page: Page, saved: dict[str, Any], keys: Any) -> None:
    page.locator("#turing").evaluate("figure => { figure.tabIndex = -1; figure.focus(); }")
    page.keyboard.press("Tab")
    assert page.evaluate("document.activeElement.textContent").startswith("Generated")
    top = page.evaluate("scrollX")
    for real in truth(saved).tolist():
        page.keyboard.press(keys[real])
    assert "20 of 20" in page.locator(".turing-verdict").inner_text()
    assert page.evaluate("document.activeElement.className") == "turing-verdict"
    assert page.evaluate("scrollX") == top


def test_a_key_held_down_or_a_double_click_is_one_answer(page: Page) -> None:
    button(page, True).dblclick()
    assert count(page) == "Image 2 of 20"
    for key, after in (("r", 3), ("Enter", 4)):
        page.keyboard.down(key)
        for _ in range(5):
            page.keyboard.down(key)
        page.keyboard.up(key)
        assert count(page) == f"Image {after} of 20"


def test_keys_elsewhere_on_the_page_or_with_control_are_not_answers(page: Page) -> None:
    page.keyboard.press("r")
    assert count(page) == "Image 1 of 20"
    button(page, True).focus()
    page.keyboard.press("Control+g")
    page.keyboard.press("x")
    assert count(page) == "Image 1 of 20"


def test_what_is_seen_has_a_name(page: Page, saved: dict[str, Any]) -> None:
    expect(page.get_by_role("figure", name="A reader test")).to_be_visible()
    expect(page.get_by_role("img", name="Chest X-ray 1 of 20")).to_be_visible()
    button(page, True).click()
    expect(page.get_by_role("img", name="Chest X-ray 2 of 20")).to_be_visible()
    expect(page.get_by_role("status")).to_have_text("Image 2 of 20")
    take(page, truth(saved)[1:])
    expect(page.get_by_role("img", name="Chest X-ray", exact=False)).to_have_count(20)
    expect(page.get_by_role("rowheader", name="false alarms")).to_be_visible()


# The page around it.


def test_a_reader_in_haste_is_not_missed(browser: Browser, project: str, saved: dict[str, Any]) -> None:
    with reader_page(browser, saved) as tab:
        tab.add_init_script(HASTY)
        arrive(tab, project)


def test_nothing_is_fetched_before_the_reader_comes_and_nothing_moves_when_it_arrives(
    browser: Browser, project: str, saved: dict[str, Any], width: str
) -> None:
    with reader_page(browser, saved, width=width) as tab:
        asked: list[str] = []
        tab.on("request", lambda request: asked.append(request.url))
        tab.goto(project + ADDRESS, wait_until="networkidle")
        assert not [url for url in asked if url.endswith((".js", ".json"))]
        expect(tab.get_by_text("Twenty on one sheet.")).to_be_hidden()
        before = tab.locator("#turing").bounding_box()
        tab.locator("#turing").scroll_into_view_if_needed()
        tab.wait_for_selector("#turing[data-state=ready]")
        after = tab.locator("#turing").bounding_box()
        assert before is not None
        assert after is not None
        assert (after["width"], after["height"]) == pytest.approx((before["width"], before["height"]), abs=1)
        assert all(url.startswith(project) for url in asked)
        sizes = [(ROOT / url.removeprefix(project + "/")) for url in asked if url.endswith(".js")]
        assert sum(path.stat().st_size for path in sizes) + len(json.dumps(saved)) < 100_000


def test_no_wider_than_the_page(page: Page, width: str, saved: dict[str, Any]) -> None:
    for _ in range(2):
        assert page.evaluate("document.documentElement.scrollWidth") <= WIDTHS[width]
        wide = page.locator("#turing *").evaluate_all(
            "all => all.filter(e => e.scrollWidth > e.clientWidth + 1 && e.clientWidth).map(e => e.className)"
        )
        assert not wide
        if page.locator("#turing").get_attribute("data-state") == "ready":
            take(page, truth(saved))


# Bad input: a sentence, and the still picture.


def test_without_scripts_and_on_paper_the_sheet_takes_its_place(
    browser: Browser, project: str, saved: dict[str, Any]
) -> None:
    with reader_page(browser, saved, java_script_enabled=False) as tab:
        tab.goto(project + ADDRESS)
        expect(tab.get_by_text("Twenty on one sheet.")).to_be_visible()
        expect(tab.locator("#turing")).to_be_hidden()
    with reader_page(browser, saved) as tab:
        arrive(tab, project)
        tab.emulate_media(media="print")
        expect(tab.get_by_text("Twenty on one sheet.")).to_be_visible()
        expect(tab.locator("#turing")).to_be_hidden()


def troubled(tab: Page, project: str) -> str:
    """Open a test that cannot be taken; return its sentence."""
    tab.goto(project + ADDRESS)
    tab.locator("#turing").scroll_into_view_if_needed()
    sentence = tab.get_by_role("alert")
    expect(sentence).to_be_visible()
    expect(tab.get_by_text("Twenty on one sheet.")).to_be_visible()
    return sentence.inner_text()


@pytest.mark.parametrize("missing", ["widget.js", "statistics.js", "twenty.json"])
def test_what_does_not_arrive_is_said(
    browser: Browser, project: str, saved: dict[str, Any], missing: str
) -> None:
    with reader_page(browser, None if missing == "twenty.json" else saved) as tab:
        if missing.endswith(".js"):
            tab.route(f"**/{missing}", lambda route: route.abort())
        what = "images" if missing == "twenty.json" else "program"
        assert f"{what} did not arrive" in troubled(tab, project)


@pytest.mark.parametrize(
    "change",
    [
        lambda saved: {**saved, "picture": "A" + saved["picture"][1:]},
        lambda saved: {**saved, "truth": saved["truth"] ^ 1},
        lambda saved: "{",
        lambda saved: "{}",
        lambda saved: json.dumps(saved)[:900],
    ],
)
def test_altered_images_are_refused(
    browser: Browser, project: str, saved: dict[str, Any], change: Callable[[dict[str, Any]], Any]
) -> None:
    with reader_page(browser, change(saved)) as tab:
        assert "altered" in troubled(tab, project)


def test_a_picture_that_cannot_be_read_is_said(browser: Browser, project: str, saved: dict[str, Any]) -> None:
    empty = {**saved, "picture": "", "checksum": zlib.crc32(f"{saved['truth']}".encode())}
    with reader_page(browser, empty) as tab:
        assert "cannot be shown" in troubled(tab, project)


def test_without_a_canvas_it_says_so(browser: Browser, project: str, saved: dict[str, Any]) -> None:
    with reader_page(browser, saved) as tab:
        tab.add_init_script("HTMLCanvasElement.prototype.getContext = () => null")
        assert "canvas" in troubled(tab, project)
