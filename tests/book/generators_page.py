"""The cells of chapters 4 to 7 that hold the generators, each as a page of its own."""

import functools
import json
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import torch
from browser import HEIGHT, ROOT, WIDTHS
from playwright.sync_api import Browser, Page

from medgan_course import data, pretrained, viz
from medgan_course.data.degrade import bicubic
from medgan_course.data.kspace import kspace_crop
from medgan_course.nets.dcgan import Generator
from medgan_course.systems import conditional_gan, cyclegan, pix2pix, srgan
from medgan_course.systems.pix2pix import translated

CHAPTERS = {
    "explorer": "04_dcgan",
    "classes": "05_conditional",
    "lesion": "05_conditional",
    "cycle": "06_cyclegan",
    "loupe": "07_sr",
}
ADDRESS = "/book/chapters/generators.html"  # beside book/_static as a chapter's page is beside _static
MADE = "/book/_static/generators/made/"


@functools.cache
def markup(widget: str) -> str:
    """Run the cell of a widget with what its chapter has at that point, and return what it shows."""
    chapter = json.loads((ROOT / "chapters" / f"{CHAPTERS[widget]}.ipynb").read_text(encoding="utf-8"))
    (source,) = ("".join(cell["source"]) for cell in chapter["cells"] if cell["id"] == f"{widget}-to-play")
    patient = data.load("openms", size=64, split="test")
    names: dict[str, Any] = {
        "torch": torch,
        "viz": viz,
        "artist": pretrained.load("dcgan_pneumoniamnist_64", Generator),
        "patient_G": pretrained.load("conditional_gan_mednist_64", conditional_gan.labelled_generator),
        "generator": pretrained.load("pix2pix_openms_64", pix2pix.generator),
        "pix2pix": pix2pix,
        "kept": pretrained.load("cyclegan_head2d_64", cyclegan.generators),
        "strangers": data.load("head2d", size=64, split="val"),
        "translated": translated,
        "on_arc": on_arc,
        "question": patient.contrast("t1"),
        "truth": patient.contrast("t2"),
        "K": 6,
        **answers(),
    }
    statements, _, last = source.rpartition("\n\n")
    exec(statements, names)
    return eval(last, names)._repr_html_()


@torch.no_grad()
def answers() -> dict[str, Any]:
    """Return what chapter 7 has of its first patient."""
    kept = pretrained.load("srgan_pneumoniamnist_64", srgan.generators)
    chests = data.load("pneumoniamnist", size=64, split="test").images[:1]
    small = kspace_crop(chests, 4)
    patient = {"bicubic": bicubic(small, 4), **{name: net(small) for name, net in kept.items()}}
    return {"patient": patient, "chests": chests}


def on_arc(a: torch.Tensor, b: torch.Tensor, t: torch.Tensor) -> torch.Tensor:
    """As chapter 4 defines it."""
    angle = torch.acos(torch.cosine_similarity(a, b)).unsqueeze(1)
    return (torch.sin((1 - t) * angle) * a + torch.sin(t * angle) * b) / torch.sin(angle)


@contextmanager
def generator_page(
    browser: Browser, home: str, widget: str, made: Path, *, width: str = "desktop", **context: Any
) -> Iterator[Page]:
    """Yield a tab for ``home + ADDRESS``, the widget far down a page; ``home`` serves the project.

    ``made`` is the folder that ``book/generators.py`` has written.
    """
    opened = browser.new_context(viewport={"width": WIDTHS[width], "height": HEIGHT}, **context)
    html = (
        '<!doctype html><html lang="en" data-theme="light" data-content_root="../"><head>'
        '<meta charset="utf-8"><meta name="viewport" content="width=device-width">'
        '<title>Generators</title><link rel="stylesheet" href="../_static/course.css"></head>'
        '<body style="margin: 0 16px"><p style="height: 2000px">Above.</p>'
        f'<article style="max-width: 688px">{markup(widget)}</article><p style="height: 2000px">Below.</p>'
    )
    opened.route(f"**{ADDRESS}", lambda route: route.fulfill(body=html, content_type="text/html"))
    opened.route(f"**{MADE}*", lambda route: route.fulfill(path=made / route.request.url.rsplit("/", 1)[1]))
    yield opened.new_page()
    opened.close()
