"""What a page of the built book costs a reader: bytes, requests, time until it can be read, what moves.

python tests/book/weight.py            # a table of all pages

A page's own figures are counted apart, those written into its HTML too. Times are those of this machine with
its processor slowed down to a quarter; they are for a human to look at, no test asserts them.
"""

import re
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from browser import HEIGHT, WIDTHS, built_book, chromium, pages, served
from playwright.sync_api import CDPSession, Page

OTHER, FIGURES = "other", "figures"
SLOWER = 4

# Time at which a paragraph of the article has been drawn, and how far what was drawn has moved since.
WATCH = """
  window.moved = 0;
  new PerformanceObserver(list => {
    for (const shift of list.getEntries()) if (!shift.hadRecentInput) window.moved += shift.value;
  }).observe({type: "layout-shift", buffered: true});
  const drawn = () => document.querySelector("article p")
    ? requestAnimationFrame(() => { window.readable = performance.now(); })
    : requestAnimationFrame(drawn);
  requestAnimationFrame(drawn);
"""


@dataclass
class Weight:
    """Of a page as it was opened, before anybody did anything."""

    bytes: dict[str, int]
    requests: int


class Scales:
    """Weighs a page that is about to be opened."""

    def __init__(self, page: Page, *, slower: int = 1) -> None:
        page.add_init_script(WATCH)
        self.page = page
        self.kinds: dict[str, str] = {}
        self.lengths: dict[str, int] = {}
        self.session: CDPSession = page.context.new_cdp_session(page)
        self.session.on("Network.responseReceived", self._answered)
        self.session.on("Network.loadingFinished", self._arrived)
        self.session.send("Network.enable")
        if slower > 1:
            self.session.send("Emulation.setCPUThrottlingRate", {"rate": slower})

    def _answered(self, event: dict[str, Any]) -> None:
        if not event["response"]["url"].startswith("data:"):
            picture = event["type"] == "Image"
            self.kinds[event["requestId"]] = FIGURES if picture else OTHER

    def _arrived(self, event: dict[str, Any]) -> None:
        self.lengths[event["requestId"]] = event["encodedDataLength"]

    def read(self, file: Path) -> Weight:
        """Return what has arrived since; ``file`` is the page's HTML."""
        total = {OTHER: 0, FIGURES: 0}
        for request, kind in self.kinds.items():
            total[kind] += int(self.lengths.get(request, 0))
        inside = sum(map(len, re.findall(r"data:image/[^\"')\s]+", file.read_text("utf-8"))))
        return Weight({OTHER: total[OTHER] - inside, FIGURES: total[FIGURES] + inside}, len(self.kinds))


def moved(page: Page) -> float:
    """Return how far what is seen has moved by itself, also while somebody went through the page."""
    page.evaluate(
        """async () => {
          const next = () => new Promise(done => requestAnimationFrame(() => setTimeout(done, 15)));
          for (let y = 0; y < document.body.scrollHeight; y += 3 * innerHeight) {
            scrollTo(0, y);
            await next();
          }
          scrollTo(0, 0);
          await next();
        }"""
    )
    return float(page.evaluate("window.moved"))


def main() -> None:
    """Print the table."""
    with served(built_book()) as home, chromium() as browser:
        print(f"{'page':40} {'kB':>6} {'figures':>8} {'requests':>9} {'readable':>9} {'moved':>7}")
        for name in pages():
            context = browser.new_context(viewport={"width": WIDTHS["desktop"], "height": HEIGHT})
            page = context.new_page()
            scales = Scales(page, slower=SLOWER)
            page.goto(f"{home}/{name}", wait_until="networkidle")
            weight = scales.read(built_book() / name)
            readable = page.evaluate("window.readable")
            print(
                f"{name:40} {weight.bytes[OTHER] / 1000:6.0f} {weight.bytes[FIGURES] / 1000:8.0f} "
                f"{weight.requests:9} {readable / 1000:7.2f} s {moved(page):7.4f}",
                flush=True,
            )
            context.close()


if __name__ == "__main__":
    main()
