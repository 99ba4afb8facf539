"""Draw the welcome page's picture with the shipped generator: the first images it draws, none selected.

python book/images.py
"""

from pathlib import Path

import numpy as np
import torch
from PIL import Image

from medgan_course import pretrained
from medgan_course.nets.dcgan import Generator

ROWS, COLUMNS, GAP, ENLARGED = 3, 8, 6, 2
TARGET = Path(__file__).resolve().parent / "_static" / "images" / "welcome.webp"


def mosaic(images: torch.Tensor) -> Image.Image:
    """Return images ``(ROWS * COLUMNS, 1, H, W)`` in [-1, 1] side by side on black, each enlarged."""
    side = images.shape[-1] * ENLARGED
    canvas = Image.new("L", (COLUMNS * (side + GAP) - GAP, ROWS * (side + GAP) - GAP))
    grey = ((images[:, 0].clamp(-1, 1) + 1) * 127.5).round().numpy().astype(np.uint8)
    for index, pixels in enumerate(grey):
        row, column = divmod(index, COLUMNS)
        tile = Image.fromarray(pixels).resize((side, side), Image.Resampling.BICUBIC)
        canvas.paste(tile, (column * (side + GAP), row * (side + GAP)))
    return canvas


def welcome() -> Image.Image:
    """Return the first images that the shipped generator draws from seed 0."""
    generator = pretrained.load("dcgan_pneumoniamnist_64", Generator)
    with torch.random.fork_rng(devices=[]), torch.no_grad():
        torch.manual_seed(0)
        return mosaic(generator(generator.latent(ROWS * COLUMNS)))


if __name__ == "__main__":
    TARGET.parent.mkdir(parents=True, exist_ok=True)
    picture = welcome()
    picture.save(TARGET, quality=90)
    print(f"Wrote {TARGET.name}, {picture.width} x {picture.height} px, {TARGET.stat().st_size // 1000} kB.")
