"""The slider works in a bare HTML page, with every frame and caption in it."""

import base64
import io
import re

import numpy as np
import pytest
import torch
from PIL import Image

from medgan_course import viz
from medgan_course.errors import CourseError


def frames(*values):
    return [torch.full((2, 1, 8, 8), value) for value in values]


def test_one_image_holds_all_frames_from_top_to_bottom():
    markup = viz.scrubber(frames(-1.0, 0.0, 1.0), ["a", "b", "c"], alt="grey", columns=2)._repr_html_()
    encoded = re.search(r"data:image/webp;base64,([A-Za-z0-9+/=]+)", markup)[1]
    sheet = np.asarray(Image.open(io.BytesIO(base64.b64decode(encoded))).convert("L"), dtype=float)
    assert sheet.shape == (3 * 8, 2 * 8 + 1)
    assert [sheet[8 * i + 4, 4] for i in range(3)] == pytest.approx([0, 128, 255], abs=6)


def test_it_starts_at_the_frame_that_says_most_and_can_reach_every_other():
    markup = viz.scrubber(frames(-1.0, 0.0, 1.0), ["a", "b", "c"], alt="grey", start=1)._repr_html_()
    assert 'min="0" max="2" value="1"' in markup
    assert "0 50.0%/100% 300%" in markup
    assert '<figcaption aria-live="polite">b</figcaption>' in markup


def test_what_readers_do_not_see_is_written_and_escaped():
    markup = viz.scrubber(frames(0.0), ["<b>"], alt='a "b" <c>')._repr_html_()
    assert 'aria-label="a &quot;b&quot; &lt;c&gt;"' in markup
    assert "<b>" not in markup


def test_nothing_is_loaded_from_elsewhere():
    markup = viz.scrubber(frames(0.0, 1.0), ["a", "b"], alt="grey")._repr_html_()
    assert "http" not in markup
    assert "<script" not in markup


def test_the_same_frames_give_the_same_markup():
    first, second = (viz.scrubber(frames(0.0, 1.0), ["a", "b"], alt="grey")._repr_html_() for _ in range(2))
    assert first == second


def test_a_surrogate_is_marked(monkeypatch):
    monkeypatch.setattr("medgan_course.data.surrogates_in_use", lambda: frozenset({"x"}))
    assert "SURROGATE" in viz.scrubber(frames(0.0), ["a"], alt="grey")._repr_html_()


def test_captions_must_match_and_a_sheet_has_a_limit():
    with pytest.raises(CourseError, match="not 1 for 2 frames"):
        viz.scrubber(frames(0.0, 1.0), ["a"], alt="grey")
    with pytest.raises(CourseError, match="show fewer"):
        viz.scrubber([torch.zeros(1, 1, 600, 8)] * 28, ["a"] * 28, alt="grey")
