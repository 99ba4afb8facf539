"""What a page of the built book costs a reader: bytes, requests, time until it can be read, what moves.

python tests/book/weight.py            # a table of all pages

A page's own figures are counted apart, those written into its HTML too. So is what is fetched only when
somebody has scrolled to it: widgets, their networks, figures further down. Times are those of this machine
with its processor slowed down to a quarter; they are for a human to look at, no test asserts them.
"""

import re
from dataclasses import dataclass
from pathlib import Path

from browser import HEIGHT, WIDTHS, built_book, chromium, pages, served
from playwright.sync_api import Page, Request

OTHER, FIGURES = "other", "figures"
SLOWER = 4
STRIDE = 1.8  # windows a scroll: what is fetched when it is 400 pixels away is met

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
    """Of all that a page has fetched."""

    bytes: dict[str, int]
    requests: int


class Scales:
    """Weighs a page that is about to be opened, and what its workers fetch."""

    def __init__(self, page: Page, *, slower: int = 1) -> None:
        page.add_init_script(WATCH)
        self.arrived: list[Request] = []
        page.on("requestfinished", lambda request: self.arrived.append(request))
        if slower > 1:
            page.context.new_cdp_session(page).send("Emulation.setCPUThrottlingRate", {"rate": slower})

    def read(self, file: Path) -> Weight:
        """Return what has arrived so far; ``file`` is the page's HTML."""
        total = {OTHER: 0, FIGURES: 0}
        fetched = [request for request in self.arrived if not request.url.startswith(("data:", "blob:"))]
        for request in fetched:
            sizes = request.sizes()
            kind = FIGURES if request.resource_type == "image" else OTHER
            total[kind] += sizes["responseHeadersSize"] + sizes["responseBodySize"]
        inside = sum(map(len, re.findall(r"data:image/[^\"')\s]+", file.read_text("utf-8"))))
        return Weight({OTHER: total[OTHER] - inside, FIGURES: total[FIGURES] + inside}, len(fetched))


def moved(page: Page, stride: float = 3) -> float:
    """Return how far what is seen has moved by itself, also while somebody went through the page.

    ``stride`` is in heights of the window.
    """
    page.evaluate(
        """async (stride) => {
          const next = () => new Promise(done => requestAnimationFrame(() => setTimeout(done, 15)));
          for (let y = 0; y < document.body.scrollHeight; y += stride * innerHeight) {
            scrollTo(0, y);
            await next();
          }
          scrollTo(0, 0);
          await next();
        }""",
        stride,
    )
    return float(page.evaluate("window.moved"))


def arrive(page: Page) -> None:
    """Wait for every widget and figure that somebody who went through the page has met."""
    page.wait_for_function(
        """() => [...document.images].every((image) => image.complete || !image.getClientRects().length)
          && [...document.querySelectorAll(".game, .studio, .turing")].every((it) => it.dataset.state)""",
        timeout=300_000,
    )


def main() -> None:
    """Print the table."""
    with served(built_book()) as home, chromium() as browser:
        print(
            f"{'page':40} {'kB':>6} {'figures':>8} {'requests':>9} {'readable':>9}   {'scrolled: kB':>12} "
            f"{'requests':>9} {'moved':>7}"
        )
        for name in pages():
            context = browser.new_context(viewport={"width": WIDTHS["desktop"], "height": HEIGHT})
            page = context.new_page()
            scales = Scales(page, slower=SLOWER)
            page.goto(f"{home}/{name}", wait_until="networkidle")
            opened = scales.read(built_book() / name)
            readable = page.evaluate("window.readable")
            moved(page, STRIDE)
            arrive(page)
            seen = scales.read(built_book() / name)
            more = sum(seen.bytes.values()) - sum(opened.bytes.values())
            print(
                f"{name:40} {opened.bytes[OTHER] / 1000:6.0f} {opened.bytes[FIGURES] / 1000:8.0f} "
                f"{opened.requests:9} {readable / 1000:7.2f} s   {more / 1000:12.0f} "
                f"{seen.requests - opened.requests:9} {page.evaluate('window.moved'):7.4f}",
                flush=True,
            )
            context.close()


if __name__ == "__main__":
    main()
