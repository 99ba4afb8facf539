"""A picture one drags through: frames behind a slider, in plain HTML that needs no kernel."""

import base64
import html
import io
from collections.abc import Sequence

import numpy as np
from PIL import Image
from torch import Tensor

from medgan_course.errors import CourseError
from medgan_course.viz.figures import tile
from medgan_course.viz.style import surrogate_stamp


class Scrubber:
    """What :func:`scrubber` returns; a notebook shows it."""

    def __init__(self, markup: str) -> None:
        self._markup = markup

    def _repr_html_(self) -> str:
        return self._markup


def scrubber(
    frames: Sequence[Tensor],
    captions: Sequence[str],
    *,
    alt: str,
    columns: int = 8,
    start: int = -1,
    scale: int = 2,
) -> Scrubber:
    """Show ``frames`` one at a time, chosen by a slider.

    Without JavaScript, and in print, the frame ``start`` is what one sees: choose the one that says most.

    Parameters
    ----------
    frames : sequence of Tensor
        Each ``(N, 1, H, W)`` in [-1, 1], all of one shape, drawn as a grid on one grey scale.
    captions : sequence of str
        One for each frame.
    alt : str
        What the pictures show, for those who do not see them.
    columns : int
        Images in a row of the grid.
    start : int
        Frame shown first.
    scale : int
        Screen pixels for each image pixel at full width.
    """
    if len(frames) != len(captions) or not frames:
        raise CourseError(
            f"A scrubber needs a caption a frame, not {len(captions)} for {len(frames)} frames."
        )
    canvases = [tile(frame, columns) for frame in frames]
    height, width = canvases[0].shape
    if height * len(frames) > 16_383:
        raise CourseError(
            f"{len(frames)} frames of {height} px are more than one WebP image can hold: show fewer."
        )
    last, shown = len(frames) - 1, range(len(frames))[start]

    # All frames in one image, one below the other: a single decode, and sliding moves a background.
    sheet = Image.fromarray((np.concatenate(canvases) * 255).round().astype(np.uint8))
    buffer = io.BytesIO()
    sheet.save(buffer, "WEBP", quality=88, method=6)
    source = "data:image/webp;base64," + base64.b64encode(buffer.getvalue()).decode()

    caption = html.escape(captions[shown])
    stamp = html.escape(surrogate_stamp())
    notice = f'<p style="color:#B00020;margin:.2rem 0">{stamp}</p>' if stamp else ""
    # The captions travel in a data attribute and the handler is inline, so that no script block is needed.
    items = html.escape("\n".join(captions), quote=True)
    move = (
        "const f=this.closest('figure'),i=+this.value;"
        f"f.querySelector('[role=img]').style.backgroundPositionY=(i/{max(last, 1)}*100)+'%';"
        "const t=f.dataset.captions.split('\\n')[i];"
        "f.querySelector('figcaption').textContent=t;this.setAttribute('aria-valuetext',t)"
    )
    return Scrubber(
        f'<figure class="scrubber" data-captions="{items}" style="max-width:{width * scale}px;margin:1rem 0">'
        f'<div role="img" aria-label="{html.escape(alt, quote=True)}" '
        f'style="width:100%;aspect-ratio:{width}/{height};'
        f"background:url({source}) 0 {shown / max(last, 1) * 100}%/100% {len(frames) * 100}%;"
        'image-rendering:pixelated"></div>'
        f'<input type="range" min="0" max="{last}" value="{shown}" aria-label="Choose the frame" '
        f'aria-valuetext="{caption}" style="width:100%" oninput="{html.escape(move, quote=True)}">'
        f'<figcaption aria-live="polite">{caption}</figcaption>{notice}</figure>'
    )
