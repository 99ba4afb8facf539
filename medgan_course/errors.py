"""The one exception a user's mistake raises: a sentence, never a traceback."""

import click


class CourseError(click.ClickException):
    """What is wrong, where, and what to do, in one sentence.

    Being click's own exception, the command line prints the sentence and exits with status 1; a notebook
    shows it without the traceback, which would say nothing to the person who mistyped a name.
    """

    def _render_traceback_(self) -> list[str]:
        # IPython asks an exception for this before it formats a traceback of its own.
        return [f"{type(self).__name__}: {self}"]
