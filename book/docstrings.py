"""Docstrings and signatures as the library's pages (``book/api-*.md``) show them.

Sphinx takes the first of two attributes, ``low, high : float``, for the type of the second: each becomes an
entry of its own, as parameters do anyway. And a default that is not Python, such as a dataclass's
``<factory>``, would leave a whole signature unread, without links.
"""

import re
from typing import Any

from sphinx.application import Sphinx

_SEVERAL = re.compile(r"(\w+(?:, \w+)+)( : .*)?")
_DEFAULT = re.compile(r"<factory>|<function [\w.]+(?:<lambda>)?>|<class '(?:\w+\.)*(\w+)'>")


def apart(lines: list[str]) -> list[str]:
    """Return a docstring's lines with an entry for each attribute."""
    made, attributes, at = [], False, 0
    while at < len(lines):
        line, after = lines[at], at + 1
        if after < len(lines) and re.fullmatch("-{3,}", lines[after]):
            attributes = line == "Attributes"
        if not attributes or not (several := _SEVERAL.fullmatch(line)):
            made.append(line)
        else:
            while after < len(lines) and (not lines[after] or lines[after].startswith(" ")):
                after += 1
            for name in several[1].split(", "):
                made += [name + (several[2] or ""), *lines[at + 1 : after]]
        at = after
    return made


def python(signature: str) -> str:
    """Return a signature whose defaults are Python."""
    return _DEFAULT.sub(lambda found: found[1] or "...", signature)


def _docstring(app: Sphinx, what: str, name: str, obj: object, options: Any, lines: list[str]) -> None:
    lines[:] = apart(lines)


def _signature(
    app: Sphinx, what: str, name: str, obj: object, options: Any, signature: str | None, returned: str | None
) -> tuple[str | None, str | None]:
    return signature and python(signature), returned


def setup(app: Sphinx) -> dict[str, bool]:
    """Do so before napoleon reads them."""
    app.connect("autodoc-process-docstring", _docstring, priority=400)
    app.connect("autodoc-process-signature", _signature)
    return {"parallel_read_safe": True, "parallel_write_safe": True}
