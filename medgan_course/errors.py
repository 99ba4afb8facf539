"""The one exception a user's mistake raises: a sentence, never a traceback."""

from collections.abc import Iterable
from difflib import get_close_matches

import click


class CourseError(click.ClickException):
    """What is wrong, where, and what to do, in one sentence.

    Being click's own exception, the command line prints the sentence and exits with status 1; a notebook
    shows it without the traceback, which would say nothing to the person who mistyped a name.
    """

    def _render_traceback_(self) -> list[str]:
        # IPython asks an exception for this before it formats a traceback of its own.
        return [f"{type(self).__name__}: {self}"]


def did_you_mean(wrong: object, known: Iterable[str]) -> str:
    """Return ``"did you mean 'x'?"`` for the nearest of the ``known`` names, or else all of them."""
    known = list(known)
    near = get_close_matches(str(wrong).lower(), known, n=1)
    return f"did you mean {near[0]!r}?" if near else f"there are {', '.join(known) or 'none'}."
