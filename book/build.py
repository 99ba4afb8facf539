"""Build one profile's book: execute what has changed, render pages and slides, mark those on surrogate data.

    python book/build.py            # MEDGAN_PROFILE, or cpu, to _build/cpu/html

Nothing is rendered unless every notebook ran, and the last complete book stays in place until a new one is
complete, or for good if nothing has changed since.
"""

import argparse
import hashlib
import json
import os
import re
import shutil
import sys
from pathlib import Path

from execute import Page, Place, execute_changed, stamp
from jupyter_book.sphinx import build_sphinx
from slides import write as write_slides
from sphinx_external_toc.parsing import parse_toc_yaml

from medgan_course.budgets import profile
from medgan_course.data.files import folders, roots
from medgan_course.errors import CourseError

SURROGATE = re.compile(r'class="[^"]*\bsurrogate-data\b')
BANNER = (
    '<div class="surrogate-banner" role="alert"><span><strong>SURROGATE DATA.</strong> '
    "This page was built without the real images: drawn phantoms take their place.</span></div>"
)


def build(place: Place) -> int:
    """Build the book in ``place``, print what was done, and return the exit status."""
    pages = []
    for page in execute_changed(notebooks(place.root), place):
        pages.append(page)
        if page.reason:
            print(f"{page.notebook} {'failed' if page.error else 'ran'} in {page.seconds:.0f} s", flush=True)
    failed = [page for page in pages if page.error]
    for page in failed:
        print(f"\n{page.notebook}, {page.error}", file=sys.stderr)
    if failed:
        print("\nThe book was not built: correct the cells named above.", file=sys.stderr)
        return 1
    write_timings(pages, place)

    unfinished, html, kept = (place.build / name for name in ("html.partial", "html", "rendered"))
    now = state(place)
    if html.is_dir() and kept.is_file() and kept.read_text(encoding="utf-8") == now:
        summarise(pages, html)
        return 0
    shutil.rmtree(unfinished, ignore_errors=True)
    if render(place, unfinished):
        print("\nThe book was not built: correct what the warnings above name.", file=sys.stderr)
        return 1
    write_slides(place, unfinished)
    mark_surrogates(unfinished)
    kept.unlink(missing_ok=True)  # whoever is stopped here renders again
    shutil.rmtree(html, ignore_errors=True)
    os.replace(unfinished, html)
    kept.write_text(now, encoding="utf-8")
    summarise(pages, html)
    return 0


def notebooks(root: Path) -> list[str]:
    """Return the notebooks of ``_toc.yml``, relative to ``root``."""
    names = (f"{name.removesuffix('.ipynb')}.ipynb" for name in parse_toc_yaml(root / "_toc.yml"))
    return [name for name in names if (root / name).is_file()]


def state(place: Place) -> str:
    """Return a digest of all that pages are rendered from: the repository, outputs, images and Python.

    Files count by size and time of change: if one was only touched, the pages are rendered again.
    """
    made = {place.root / name for name in (".coverage", ".git", "_build", "book/data", "runs")}
    given = [place.build / "deps", *(folder for root, _ in roots() for folder in folders(root))]
    found = [path for folder in given if folder.is_dir() for path in folder.rglob("*")]
    for folder, inside, names in os.walk(place.root):
        paths = [Path(folder, name) for name in inside]
        inside[:] = [
            path.name
            for path in paths
            if path not in made
            and not path.name.endswith(("_cache", "__pycache__"))
            and not (path / "pyvenv.cfg").is_file()
        ]
        found += [Path(folder, name) for name in names]
    files = sorted((str(path), stamp(str(path))) for path in set(found) - made)
    return hashlib.sha256(repr((sys.version, sys.prefix, files)).encode()).hexdigest()


def render(place: Place, html: Path) -> int:
    """Write the pages; anything but 0 is a failure, warnings included.

    Every page is read afresh: Sphinx would take a page whose outputs have changed for unchanged, and would
    not repeat the warnings of the pages it skips.
    """
    outcome = build_sphinx(
        place.root,
        html,
        doctreedir=place.build / "doctrees",
        noconfig=True,
        path_config=place.root / "_config.yml",
        confoverrides={
            "external_toc_path": str(place.root / "_toc.yml"),
            "nb_execution_cache_path": str(place.build / "jupyter_cache"),
            "latex_individualpages": False,
            "nitpicky": True,
        },
        freshenv=True,
        warningiserror=True,
        keep_going=True,
        quiet=True,
    )
    return outcome if isinstance(outcome, int) else 1


def mark_surrogates(html: Path) -> None:
    """Put a banner at the very top of every page whose outputs come from surrogate data."""
    for path in html.rglob("*.html"):
        text = path.read_text(encoding="utf-8")
        if SURROGATE.search(text):
            marked = re.sub(r"<body[^>]*>", lambda body: body[0] + BANNER, text, count=1)
            path.write_text(marked, encoding="utf-8")


def write_timings(pages: list[Page], place: Place) -> None:
    """Write each notebook's seconds to ``timings.json``."""
    seconds = {page.notebook: round(page.seconds, 1) for page in pages}
    (place.build / "timings.json").write_text(json.dumps(seconds, indent=1) + "\n", encoding="utf-8")


def summarise(pages: list[Page], html: Path) -> None:
    """Print which pages were executed, where the book is and how to read it."""
    print()
    for page in sorted(pages, key=lambda page: page.notebook):
        print(f"{'executed' if page.reason else 'reused  '} {page.seconds:6.1f} s  {page.notebook}")
    folder = os.path.relpath(html)
    print(f"\nThe book is in {folder}: open {html.joinpath('index.html').as_uri()}")
    print(f"or serve it: make serve, or python -m http.server --bind 127.0.0.1 --directory {folder} 8000")


if __name__ == "__main__":
    parser = argparse.ArgumentParser(description=__doc__.partition("\n")[0])
    parser.add_argument(
        "--root", type=Path, default=Path(__file__).parents[1], help="folder of _config.yml and _toc.yml"
    )
    root = parser.parse_args().root.resolve()
    os.environ.setdefault("MEDGAN_PROFILE", "cpu")
    try:
        sys.exit(build(Place(root, root / "_build" / profile(), profile())))
    except CourseError as error:
        sys.exit(f"{error}")
    except KeyboardInterrupt:
        sys.exit("\nStopped; the notebooks that had finished need not run again.")
