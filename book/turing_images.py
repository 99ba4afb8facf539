"""Put the twenty images of chapter 3's reader test, and which of them are real, into the built pages.

The chapter's cell draws the same twenty for those who read without a browser's scripts. On the page they are
shown by ``book/_static/turing/``. Every image, real or generated, goes through :func:`packed`, and only
through it: rounded to the same 256 grey levels, compressed without loss in one picture.

As a Sphinx extension this module writes them when the pages are there; nothing of it is committed.
"""

import base64
import io
import json
import zlib
from pathlib import Path
from typing import Any

import torch
from PIL import Image
from sphinx.application import Sphinx
from torch import Tensor

from medgan_course import data, pretrained
from medgan_course.data import Dataset
from medgan_course.metrics.observer import blinded, detail
from medgan_course.nets.dcgan import Generator
from medgan_course.writing import replacing

N, SEED = 20, 20


def twenty() -> tuple[Tensor, Tensor, Dataset]:
    """Return the images ``(20, 1, 64, 64)`` in [-1, 1], which are real, and the set of the real ones."""
    test = data.load("pneumoniamnist", size=64, split="test", download=False)
    artist = pretrained.load("dcgan_pneumoniamnist_64", Generator)
    with torch.no_grad():
        drawn = artist(artist.latent(2 * N, seed=SEED))
    kinds = [images[detail(images, 28) > 0.08] for images in (test.images, drawn)]
    images, is_real = blinded(*kinds, n=N, seed=SEED)
    return images, is_real, test


def packed(images: Tensor) -> bytes:
    """Return images ``(N, 1, H, W)`` in [-1, 1] as one picture, each below the one before it."""
    grey = ((images.clamp(-1, 1) + 1) * 127.5).round().byte().flatten(0, 2).numpy()
    file = io.BytesIO()
    Image.fromarray(grey).save(file, "webp", lossless=True)
    return file.getvalue()


def contents(images: Tensor, is_real: Tensor, test: Dataset) -> dict[str, Any]:
    """Return what the page's file holds."""
    picture = base64.b64encode(packed(images)).decode()
    source = test.source
    if not test.is_surrogate:
        source = f"Real images: test split of {test.card.title}, {test.card.licence}; {source}"
    truth = sum(2**i for i, real in enumerate(is_real.tolist()) if real)
    return {
        "made by": "book/turing_images.py",
        "seed": SEED,
        "surrogate": test.is_surrogate,
        "source": source,
        "count": len(images),
        "truth": truth,
        "checksum": zlib.crc32(f"{truth}{picture}".encode()),
        "picture": picture,
    }


def write(app: Sphinx, failed: Exception | None) -> None:
    """Write the file beside the program that shows it."""
    if failed is None and app.builder.format == "html":
        with replacing(Path(app.outdir) / "_static" / "turing" / "twenty.json") as path:
            path.write_text(json.dumps(contents(*twenty())) + "\n", encoding="utf-8")


def setup(app: Sphinx) -> dict[str, bool]:
    """Write when all pages are there."""
    app.connect("build-finished", write)
    return {"parallel_read_safe": True, "parallel_write_safe": True}
