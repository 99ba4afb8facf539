"""What must be said where the images are shown: that they are phantoms, and what their licence forbids."""

import sys
from html import escape

from medgan_course.data.catalogue import Card

# Styled here as well as in the book, so that it is as loud in Jupyter and on Colab.
LOUD = "background:#b00020;color:#fff;padding:0.8em 1em;margin:0.5em 0;border:4px solid #000;font-size:1.1em"
QUIET = "color:#4a4a4a;background:#f3f3f3;padding:0.3em 0.8em;margin:0.5em 0;border-left:4px solid #7a7a7a"

_licences: set[str] = set()


def show(title: str, text: str, *, css_class: str, style: str, role: str) -> None:
    """Show a notice on the page if a notebook is running, else print it to stderr."""
    if not _show_in_notebook(title, text, css_class, style, role):
        print(f"{title}: {text}", file=sys.stderr)


def licence(card: Card) -> None:
    """Say what the licence of ``card`` forbids, if anything, once in a process."""
    if not card.restrictions or card.name in _licences:
        return
    _licences.add(card.name)
    text = f"{card.title} is {card.licence}: {card.restrictions}."
    show("Licence", text, css_class="licence-notice", style=QUIET, role="note")


def _show_in_notebook(title: str, text: str, css_class: str, style: str, role: str) -> bool:
    # A kernel is running only if somebody has imported ipykernel; the library itself does without IPython.
    if "ipykernel" not in sys.modules:
        return False
    from IPython import get_ipython
    from IPython.display import display

    if get_ipython() is None:
        return False
    body = f"<strong>{escape(title)}</strong> {escape(text)}"
    html = f'<div class="{css_class}" role="{role}" style="{style}">{body}</div>'
    display({"text/html": html, "text/plain": f"{title}: {text}"}, raw=True)
    return True
