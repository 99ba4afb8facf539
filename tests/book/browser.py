"""A built book served on the loopback interface, and a headless Chromium to read it with."""

import os
import shutil
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from functools import partial
from http.server import SimpleHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path

from playwright.sync_api import Browser, sync_playwright

ROOT = Path(__file__).resolve().parents[2]
WIDTHS = {"desktop": 1280, "phone": 360}
HEIGHT = 900

# Resolves when what was asked for before has been drawn and observers have been told.
NEXT_FRAME = (
    "new Promise((done) => requestAnimationFrame(() => requestAnimationFrame(() => setTimeout(done))))"
)

# An observer on a busy machine: that something is out of sight and that it is in sight is told in one go.
HASTY = """
  window.IntersectionObserver = class {
    constructor(tell) { this.tell = tell; }
    observe() {
      const both = [{ isIntersecting: false }, { isIntersecting: true }];
      this.timer = setInterval(() => this.tell(both, this), 20);
    }
    disconnect() { clearInterval(this.timer); }
  };
"""


def built_book() -> Path:
    """Return the folder of the built pages: ``BOOK_HTML``, or the smoke profile's."""
    html = Path(os.environ.get("BOOK_HTML", ROOT / "_build" / "smoke" / "html"))
    if not (html / "index.html").is_file():
        raise FileNotFoundError(
            f"There is no built book in {html}: run MEDGAN_PROFILE=smoke make book first."
        )
    return html


def pages() -> list[str]:
    """Return every page that somebody wrote, relative to the book; not slides, indices, library sources."""
    html = built_book()
    generated = {"404.html", "index.html", "genindex.html", "py-modindex.html", "search.html"}
    found = (path.relative_to(html) for path in html.rglob("*.html"))
    return sorted(
        str(path)
        for path in found
        if path.parts[0] not in ("_static", "_modules", "slides") and str(path) not in generated
    )


class _Quiet(SimpleHTTPRequestHandler):
    def log_message(self, *_: object) -> None:
        """Say nothing: the browser judges every request."""


@contextmanager
def served(html: Path) -> Iterator[str]:
    """Serve ``html`` on a free port of the loopback interface and yield its address."""
    with ThreadingHTTPServer(("127.0.0.1", 0), partial(_Quiet, directory=html)) as server:
        threading.Thread(target=server.serve_forever, daemon=True).start()
        yield f"http://127.0.0.1:{server.server_port}"
        server.shutdown()


@contextmanager
def chromium() -> Iterator[Browser]:
    """Launch the system's Chromium."""
    names = (os.environ.get("CHROMIUM"), "chromium", "chromium-browser", "google-chrome")
    executable = next(filter(None, (shutil.which(name) for name in names if name)), None)
    if executable is None:
        raise FileNotFoundError(
            "No Chromium to read the book with: install Debian's chromium package, or set CHROMIUM to one."
        )
    with sync_playwright() as playwright:
        browser = playwright.chromium.launch(executable_path=executable, args=["--no-sandbox"])
        yield browser
        browser.close()
