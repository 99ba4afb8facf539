"""The welcome page's picture shows what the shipped generator draws."""

import images
import numpy as np
from PIL import Image


def test_welcome_picture_comes_from_the_shipped_generator() -> None:
    with Image.open(images.TARGET) as file:
        shown = np.asarray(file.convert("L"), dtype=float)
    drawn = np.asarray(images.welcome(), dtype=float)
    assert shown.shape == drawn.shape
    # WebP is lossy: a few grey levels. Other images differ by dozens.
    assert np.abs(shown - drawn).mean() < 4, "the generator has changed: run make welcome"
