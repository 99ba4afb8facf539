"""A picture that the chapter's page brings to life: a widget there, a still everywhere else."""

import base64
import html
import io

import numpy as np
from PIL import Image
from torch import Tensor

from medgan_course.errors import CourseError
from medgan_course.viz.style import surrogate_stamp

# Run by the page, where the book's files are; in a notebook the picture stands still. The panel takes its
# room at once, so that nothing moves when the widget, fetched only when it is scrolled to, arrives.
_SCRIPT = """{
  const figure = document.currentScript.previousElementSibling;
  const root = document.documentElement.dataset.content_root;
  if (root !== undefined) {
    const panel = document.createElement("div");
    panel.className = "studio-panel";
    figure.append(panel);
    const trouble = ({ message }) => {
      panel.innerHTML = '<p class="studio-trouble" role="alert"></p>';
      panel.firstChild.textContent = `This cannot be tried here, so its picture stands still. ${message}`;
    };
    const lost = () => Promise.reject(Error("Its program did not arrive: load the page again. "
      + "A book on your own disk must be served: make serve."));
    const program = new URL(`${root}_static/generators/NAME.js`, location);
    const begin = () => import(program).catch(lost).then(({ start }) => start(figure)).catch(trouble);
    const seen = (all, observer) => all.at(-1).isIntersecting && (observer.disconnect(), begin());
    new IntersectionObserver(seen, { rootMargin: "400px" }).observe(figure);
  }
}"""


class Playable:
    """What :func:`playable` returns; a notebook shows it."""

    def __init__(self, markup: str) -> None:
        self._markup = markup

    def _repr_html_(self) -> str:
        return self._markup


def playable(name: str, still: Tensor, *, alt: str, label: str, caption: str) -> Playable:
    """Show ``still``, in whose place the built page puts the widget ``_static/generators/<name>.js``.

    Without JavaScript, in print and in a notebook the still is what one sees.

    Parameters
    ----------
    name : str
        The widget's module, without its ending.
    still : Tensor
        What the widget opens on, ``(1, H, W)`` in [-1, 1].
    alt : str
        What the still shows, for those who do not see it.
    label : str
        What the widget is called.
    caption : str
        What is where in it, below still and widget.

    Raises
    ------
    CourseError
        If ``still`` is not one grey picture.
    """
    if still.ndim != 3 or still.shape[0] != 1:
        raise CourseError(f"A still is one grey picture (1, H, W), not {tuple(still.shape)}.")
    pixels = ((still[0].clamp(-1, 1) + 1) * 127.5).round().numpy().astype(np.uint8)
    buffer = io.BytesIO()
    Image.fromarray(pixels).save(buffer, "WEBP", quality=88, method=6)
    source = "data:image/webp;base64," + base64.b64encode(buffer.getvalue()).decode()
    stamp = html.escape(surrogate_stamp())
    notice = f'<p style="color:#B00020;margin:.2rem 0">{stamp}</p>' if stamp else ""
    height, width = pixels.shape
    return Playable(
        '<link rel="stylesheet" href="../_static/generators/generators.css">'
        f'<figure class="studio studio-{name}" aria-label="{html.escape(label, quote=True)}">'
        f'<div class="studio-stage"><img src="{source}" width="{width}" height="{height}" '
        f'alt="{html.escape(alt, quote=True)}"></div><figcaption>{html.escape(caption)}</figcaption></figure>'
        f"<script>{_SCRIPT.replace('NAME', name)}</script>{notice}"
        '<p class="studio-elsewhere">In a notebook this picture stands still. On the chapter\'s page, in the '
        "built book, it can be played with.</p>"
    )
