"""Save every page of the built book at every width to ``_build/screenshots``, for a human to look at.

python tests/book/screenshots.py
"""

import shutil

from browser import HEIGHT, ROOT, WIDTHS, built_book, chromium, pages, served

# Goes down the page, so that pictures and widgets which wait to be seen are there.
SEEN = """async () => {
  const height = document.documentElement.scrollHeight;
  for (let y = 0; y < height; y += innerHeight) {
    scrollTo(0, y);
    await new Promise(done => requestAnimationFrame(() => setTimeout(done, 50)));
  }
  scrollTo(0, 0);
  await Promise.allSettled([...document.images].map(i => (i.loading = "eager", i.decode())));
}"""


def main() -> None:
    """Replace the folder's pictures by new ones, in light and dark mode."""
    target = ROOT / "_build" / "screenshots"
    shutil.rmtree(target, ignore_errors=True)
    with served(built_book()) as home, chromium() as browser:
        for width, pixels in WIDTHS.items():
            for scheme in ("light", "dark"):
                page = browser.new_page(viewport={"width": pixels, "height": HEIGHT}, color_scheme=scheme)
                for name in pages():
                    page.goto(f"{home}/{name}", wait_until="networkidle")
                    page.evaluate(SEEN)
                    page.wait_for_load_state("networkidle")
                    path = target / f"{name.removesuffix('.html').replace('/', '_')}-{width}-{scheme}.png"
                    page.screenshot(path=path, full_page=True)
                    print(path.relative_to(ROOT))


if __name__ == "__main__":
    main()
