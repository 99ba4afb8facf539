"""The cell of chapter 2 that holds the game, as a page of its own; run, it draws the game's still picture.

python tests/book/game_page.py
"""

import io
import json
from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any

from browser import HEIGHT, ROOT, WIDTHS, chromium, served
from markdown_it import MarkdownIt
from PIL import Image
from playwright.sync_api import Browser, Page

CELL = "the-game-to-play"
STILL = ROOT / "book" / "_static" / "game" / "still.webp"
ADDRESS = "/book/chapters/game.html"  # beside book/_static as a chapter's page is beside _static


def markup() -> str:
    """Return the cell as the book renders it."""
    chapter = json.loads((ROOT / "chapters" / "02_game.ipynb").read_text(encoding="utf-8"))
    (source,) = ("".join(cell["source"]) for cell in chapter["cells"] if cell["id"] == CELL)
    return MarkdownIt("commonmark").render(source).replace("../book/_static/", "../_static/")


@contextmanager
def game_page(browser: Browser, home: str, *, width: str = "desktop", **context: Any) -> Iterator[Page]:
    """Yield a tab for ``home + ADDRESS``, the cell far down a page; ``home`` serves the project."""
    opened = browser.new_context(viewport={"width": WIDTHS[width], "height": HEIGHT}, **context)
    html = (
        '<!doctype html><html lang="en" data-theme="light"><head><title>The game</title>'
        '<meta charset="utf-8"><meta name="viewport" content="width=device-width">'
        '<link rel="stylesheet" href="../_static/course.css"></head>'
        '<body style="margin: 0 16px"><p style="height: 2000px">Above.</p>'
        f'<article style="max-width: 688px">{markup()}</article><p style="height: 2000px">Below.</p>'
    )
    opened.route(f"**{ADDRESS}", lambda route: route.fulfill(body=html, content_type="text/html"))
    yield opened.new_page()
    opened.close()


def still(browser: Browser, home: str) -> Image.Image:
    """Return what the game shows on opening, without its controls."""
    with game_page(browser, home, device_scale_factor=2) as page:
        page.goto(home + ADDRESS)
        page.locator("#game").scroll_into_view_if_needed()
        page.wait_for_selector("#game[data-state=ready]")
        return Image.open(io.BytesIO(page.locator(".game-stage").screenshot())).convert("RGB")


if __name__ == "__main__":
    with served(ROOT) as address, chromium() as launched:
        still(launched, address).save(STILL, quality=85)
    print(f"Wrote {STILL.name}, {STILL.stat().st_size // 1000} kB.")
