r"""Formulas of pages and slides as MathML, made with them: there with the text, also without scripts.

Temml translates them (``_static/vendor/temml``), in an engine that Python brings along; the browser sets
them, in the font that ``_static/course.css`` names.
"""

import atexit
import json
import re
from functools import cache
from pathlib import Path

from docutils import nodes
from py_mini_racer import JSEvalException, MiniRacer
from sphinx.application import Sphinx
from sphinx.errors import SphinxError
from sphinx.util.math import get_node_equation_number
from sphinx.writers.html5 import HTML5Translator

from medgan_course.errors import CourseError

TEMML = Path(__file__).parent / "_static" / "vendor" / "temml" / "temml.min.js"


@cache
def _engine() -> MiniRacer:
    engine = MiniRacer()
    engine.eval(TEMML.read_text("utf-8"))
    atexit.register(engine.close)  # or now and then the interpreter never ends
    return engine


@cache
def mathml(tex: str, *, display: bool = False) -> str:
    r"""Return a formula as a ``math`` element.

    Parameters
    ----------
    tex : str
        LaTeX without dollars. Lines that end in ``\\`` are aligned at ``&``, unless in an environment.
    display : bool
        On a line of its own.

    Raises
    ------
    CourseError
        If it is not LaTeX that Temml knows.
    """
    tex = tex.strip()
    if r"\\" in tex and not tex.startswith(r"\begin"):
        tex = rf"\begin{{aligned}}{tex}\end{{aligned}}"
    options = {"displayMode": display, "throwOnError": True}
    try:
        made = _engine().eval(f"temml.renderToString({json.dumps(tex)}, {json.dumps(options)})")
    except JSEvalException as error:
        found = re.search(r"ParseError: *(.*)", str(error))
        reason = found[1] if found else str(error)
        raise CourseError(f"This formula cannot be set: {tex}\n{reason}") from None
    # An operator that begins a column stands between two operands all the same.
    first = r'(<mtd[^>]*>(?:<mrow>)*<mo)(?: form="prefix" stretchy="false")?(?=>[=+−≤≥])'
    return re.sub(first, r'\1 form="infix"', str(made))


def _inline(self: HTML5Translator, node: nodes.math) -> None:
    self.body.append(_or_stop(node, display=False))
    raise nodes.SkipNode


def _block(self: HTML5Translator, node: nodes.math_block) -> None:
    self.body.append(self.starttag(node, "div", CLASS="math"))
    self.body.append(_or_stop(node, display=True))
    if node["number"]:
        self.body.append(f'<span class="eqno">({get_node_equation_number(self, node)})')
        self.add_permalink_ref(node, "Link to this equation")
        self.body.append("</span>")
    self.body.append("</div>\n")
    raise nodes.SkipNode


def _or_stop(node: nodes.Element, *, display: bool) -> str:
    try:
        return mathml(node.astext(), display=display)
    except CourseError as error:
        raise SphinxError(f"{node.source}: {error}") from None


def setup(app: Sphinx) -> dict[str, bool]:
    """Let Sphinx write formulas so."""
    app.add_html_math_renderer("temml", (_inline, None), (_block, None))
    return {"parallel_read_safe": True, "parallel_write_safe": True}
