import base64
import io
import re

import numpy as np
import pytest
import torch
from PIL import Image

from medgan_course.errors import CourseError
from medgan_course.viz import playable

WORDS = {"alt": 'A "ramp" <grey>', "label": "To play", "caption": "Left & right"}


def test_the_still_is_the_picture_and_its_words_are_escaped():
    ramp = torch.linspace(-1, 1, 32).expand(1, 24, 32)
    markup = playable("explorer", ramp, **WORDS)._repr_html_()
    source = re.search(r"data:image/webp;base64,([^\"]+)", markup)
    assert source is not None
    shown = np.asarray(Image.open(io.BytesIO(base64.b64decode(source[1]))).convert("L"), dtype=float)
    assert shown.shape == (24, 32)
    assert np.abs(shown - (ramp[0].numpy() + 1) * 127.5).max() < 8  # WebP
    assert 'alt="A &quot;ramp&quot; &lt;grey&gt;"' in markup
    assert "<figcaption>Left &amp; right</figcaption>" in markup
    assert 'width="32" height="24"' in markup, "its room is known before it is decoded"
    assert "_static/generators/explorer.js" in markup


def test_only_one_grey_picture_is_a_still():
    with pytest.raises(CourseError, match="one grey picture"):
        playable("explorer", torch.zeros(3, 8, 8), **WORDS)
    with pytest.raises(CourseError, match="one grey picture"):
        playable("explorer", torch.zeros(1, 1, 8, 8), **WORDS)
