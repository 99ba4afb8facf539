"""Make ``exercises/`` from ``solutions/``: one source, so that the two cannot drift apart.

The markers are nbgrader's. In a code cell::

    ### BEGIN SOLUTION 4.1: write the generator
    return ...
    ### END SOLUTION

becomes ``raise NotImplementedError("Exercise 4.1: write the generator")`` at the same indentation, and what
stands between ``### BEGIN HIDDEN TESTS`` and ``### END HIDDEN TESTS`` disappears. Cells tagged
``solution-only`` are left out, and the title "Solutions ..." becomes "Exercises ...". After a stub, a cell
that calls ``check`` must fail, and is tagged ``raises-exception`` so that nbval and the book accept it.
"""

import json
import re
from pathlib import Path
from typing import Any

from medgan_course.errors import CourseError
from medgan_course.writing import replacing

Notebook = dict[str, Any]

CHECKED = re.compile(r"^check\(", re.MULTILINE)
_MARKER = re.compile(r"^(?P<indent>\s*)### (?P<what>BEGIN|END) (?P<block>SOLUTION|HIDDEN TESTS)(?P<task>.*)$")
_TASK = re.compile(r"^\s*(?P<number>\d+\.\d+): (?P<text>\S.*)$")


def build(root: Path, *, check: bool = False) -> list[Path]:
    """Write every student notebook below ``root`` that is not in step, and return those.

    Parameters
    ----------
    root : Path
        The repository; holds ``solutions/``.
    check : bool
        Write nothing.

    Raises
    ------
    CourseError
        If a solution is no notebook or has malformed markers; nothing is written then. With ``check``, if a
        student notebook is missing, differs from what would be generated, or has no solution.
    """
    solutions = sorted((root / "solutions").glob("*.ipynb"))
    if not solutions:
        raise CourseError(
            f"There are no solutions/*.ipynb in {root.resolve()}: run this in the course's repository."
        )
    wanted = {root / "exercises" / path.name: student_version(path) for path in solutions}
    stale = [path for path, text in wanted.items() if not path.is_file() or path.read_text("utf-8") != text]
    orphans = [path for path in sorted((root / "exercises").glob("*.ipynb")) if path not in wanted]
    if orphans:
        raise CourseError(f"{_listed(orphans)} has no solution of that name: write one, or delete it.")
    if check:
        if stale:
            raise CourseError(
                f"{_listed(stale)} is not in step with its solution: run `medgan exercises build`."
            )
        return []
    for path in stale:
        with replacing(path) as partial:
            partial.write_text(wanted[path], "utf-8", newline="\n")
    return stale


def student_version(path: Path) -> str:
    """Return the student's notebook, as the text of its file, for the solution at ``path``.

    Raises
    ------
    CourseError
        If it is no notebook or has malformed markers; the message names the notebook and the cell.
    """
    notebook = handed_out(path)
    open_stubs = False
    for cell in notebook["cells"]:
        if cell["cell_type"] == "code":
            where = f"{path.parent.name}/{path.name}, cell {cell.get('id', 'without an id')}"
            cell["source"], emptied = without_solutions(cell["source"], where)
            open_stubs |= emptied
            if open_stubs and CHECKED.search(cell["source"]):
                cell["metadata"]["tags"] = [*cell["metadata"].get("tags", []), "raises-exception"]
    notebook["cells"].append(
        {
            "cell_type": "markdown",
            "id": "to-the-solutions",
            "metadata": {},
            "source": f"When you have tried: [the solutions](../solutions/{path.name}).",
        }
    )
    return as_text(notebook)


def handed_out(path: Path) -> Notebook:
    """Return the cells of the solution at ``path`` that students get as well, before any is emptied.

    Raises
    ------
    CourseError
        If it is no notebook.
    """
    try:
        notebook: Notebook = json.loads(path.read_text("utf-8"))
        cells = [
            cell | {"source": "".join(cell["source"]), "metadata": dict(cell["metadata"])}
            for cell in notebook["cells"]
            if "solution-only" not in cell["metadata"].get("tags", [])
        ]
    except (ValueError, KeyError, TypeError, AttributeError) as error:
        raise CourseError(
            f"{path} is no notebook that can be read ({error!r}): restore it with git."
        ) from error
    for cell in cells:
        if cell["cell_type"] == "code":
            cell |= {"outputs": [], "execution_count": None}
        if cell["cell_type"] == "markdown":
            cell["source"] = re.sub(r"\A# Solutions\b", "# Exercises", cell["source"])
    return notebook | {"cells": cells}


def as_text(notebook: Notebook) -> str:
    """Return the text of a notebook's file, as Jupyter saves it: opening and saving change nothing."""
    cells = [cell | {"source": cell["source"].splitlines(keepends=True)} for cell in notebook["cells"]]
    return json.dumps(notebook | {"cells": cells}, indent=1, sort_keys=True, ensure_ascii=False) + "\n"


def without_solutions(source: str, where: str) -> tuple[str, bool]:
    """Return a code cell without solutions and hidden tests, and whether a solution was taken out.

    Raises
    ------
    CourseError
        If a marker is malformed; the message starts with ``where``.
    """
    lines: list[str] = []
    inside: str | None = None
    emptied = False
    for line in source.splitlines():
        marker = _MARKER.match(line)
        if marker is None:
            if re.search(r"#\s*(BEGIN|END)\s+(SOLUTION|HIDDEN)", line):
                raise CourseError(
                    f"{where}: {line.strip()!r} is no marker; write it exactly as '### BEGIN SOLUTION ...'."
                )
            if inside is None:
                lines.append(line)
            continue
        block = marker["block"]
        if marker["what"] == "END":
            if inside != block:
                raise CourseError(f"{where}: '### END {block}' without its '### BEGIN {block}'.")
            inside = None
            continue
        if inside is not None:
            raise CourseError(f"{where}: '### BEGIN {block}' inside a block of {inside} that has not ended.")
        inside = block
        if block == "SOLUTION":
            task = _TASK.match(marker["task"])
            if task is None:
                raise CourseError(
                    f"{where}: '### BEGIN SOLUTION' must be followed by number and task, as in "
                    "'### BEGIN SOLUTION 4.1: write the generator'."
                )
            message = f"Exercise {task['number']}: {task['text']}"
            lines.append(
                f"{marker['indent']}raise NotImplementedError({json.dumps(message, ensure_ascii=False)})"
            )
            emptied = True
    if inside is not None:
        raise CourseError(f"{where}: '### BEGIN {inside}' without its '### END {inside}'.")
    return "\n".join(lines).rstrip("\n"), emptied


def _listed(paths: list[Path]) -> str:
    return ", ".join(f"{path.parent.name}/{path.name}" for path in paths)
