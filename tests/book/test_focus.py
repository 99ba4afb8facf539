"""The Tab key leads through a page in the order in which it is read, and the reader sees where they are."""

import re
from itertools import pairwise
from typing import Any

import pytest
from browser import HEIGHT, WIDTHS
from playwright.sync_api import Browser, Page

# What can be operated, without what is hidden; of radio buttons only the one that stands for its group.
OPERABLE = """() => [...document.querySelectorAll(
    "a[href], button, input, select, textarea, summary, [tabindex='0']")]
  .filter(e => !e.disabled && e.tabIndex >= 0 && e.checkVisibility({visibilityProperty: true}))
  .filter(e => !e.closest("[inert], dialog:not([open])") && !(e.type === "radio" && !e.checked))"""

# Where the reader is: its number among OPERABLE, its part of the page, its place there, and what is wrong.
STOP = """() => {
  const e = document.activeElement;
  if (!e || e === document.body) return null;
  const part = e.closest(".bd-header-article, .bd-sidebar-primary, .bd-sidebar-secondary, main, body");
  const seen = [e, ...e.children].find(each => each.getClientRects()[0]?.height) ?? e;
  const box = seen.getClientRects()[0] ?? new DOMRect();
  const y = (Math.max(box.top, 0) + Math.min(box.bottom, innerHeight)) / 2;
  const above = document.elementFromPoint(box.left + Math.min(box.width / 2, 40), y);
  const {outlineStyle, outlineWidth} = getComputedStyle(seen);
  const wrong = [];
  if (!box.height || !above || !(e.contains(above) || above.contains(e))) wrong.push("is hidden");
  if (outlineStyle === "none" || parseFloat(outlineWidth) < 2) wrong.push("is not marked");
  const [left, top] = [part.scrollLeft - part.getBoundingClientRect().left,
                       part.scrollTop - part.getBoundingClientRect().top];
  return {
    number: window.operable.indexOf(e), part: part.className, wrong: wrong.join(", "),
    left: box.left + left, right: box.right + left, top: box.top + top, bottom: box.bottom + top,
    name: `${e.tagName} ${(e.textContent.trim() || e.ariaLabel || e.className).slice(0, 40)}`,
  };
}"""


def opened(browser: Browser, address: str, width: str) -> Page:
    page = browser.new_page(viewport={"width": WIDTHS[width], "height": HEIGHT}, reduced_motion="reduce")
    page.goto(address, wait_until="networkidle")
    for game in page.locator("#game").all():
        game.scroll_into_view_if_needed()
        page.wait_for_selector("#game[data-state=ready]")
    page.evaluate("scrollTo(0, 0)")
    page.evaluate(f"() => {{ window.operable = ({OPERABLE})(); }}")
    return page


def walked(page: Page) -> list[dict[str, Any]]:
    """Press Tab until the page ends, and return the stops."""
    stops: list[dict[str, Any]] = []
    while len(stops) <= page.evaluate("window.operable.length"):
        page.keyboard.press("Tab")
        stop = page.evaluate(STOP)
        if stop is None:
            return stops
        stops.append(stop)
    pytest.fail(f"a trap: {[stop['name'] for stop in stops[-5:]]}")


def problems(stops: list[dict[str, Any]]) -> list[str]:
    """Return the stops that are hidden or not marked, and those that are above the one before."""
    found = [f"{stop['name']} {stop['wrong']}" for stop in stops if stop["wrong"]]
    for before, after in pairwise(stops):
        back = after["bottom"] <= before["top"] and after["left"] < before["right"]
        if back and after["part"] == before["part"]:
            found.append(f"{after['name']} comes after {before['name']}")
    return found


@pytest.mark.parametrize("width", WIDTHS)
def test_the_whole_of_the_first_page_is_walked_through(browser: Browser, home: str, width: str) -> None:
    page = opened(browser, f"{home}/book/welcome.html", width)
    stops = walked(page)
    assert re.match("A Skip to main content", stops[0]["name"])
    assert problems(stops) == []
    names = page.evaluate("window.operable.map(e => `${e.tagName} ${e.textContent.trim().slice(0, 40)}`)")
    reached = {stop["number"] for stop in stops}
    assert [name for number, name in enumerate(names) if number not in reached] == []
    page.close()


@pytest.mark.parametrize("width", WIDTHS)
@pytest.mark.parametrize("name", ["chapters/02_game", "exercises/03_metrics"])
def test_the_text_is_walked_through(browser: Browser, home: str, name: str, width: str) -> None:
    page = opened(browser, f"{home}/{name}.html", width)
    page.keyboard.press("Tab")
    page.keyboard.press("Enter")  # past what every page begins with
    stops = walked(page)
    assert problems(stops) == []
    reached = {stop["number"] for stop in stops}
    behind = page.evaluate(
        """window.operable.map((e, n) => [n, e.textContent.trim().slice(0, 40), e])
          .filter(([, , e]) => document.querySelector("#main-content").compareDocumentPosition(e) & 4)
          .map(([n, name]) => [n, name])"""
    )
    assert [name for number, name in behind if number not in reached] == []
    page.close()
