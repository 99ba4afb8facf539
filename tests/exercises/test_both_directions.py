"""Both directions: a stub raises in its own check and nowhere else, and every solution passes."""

import json
import re
from pathlib import Path

import nbformat
import pytest
from nbclient import NotebookClient

from medgan_course.exercises.generate import build

ROOT = Path(__file__).parents[2]
EXERCISES = sorted(path.name for path in (ROOT / "exercises").glob("*.ipynb"))


def executed(path, monkeypatch):
    """Return the notebook after an execution that does not stop at errors, without real data."""
    monkeypatch.setenv("MEDGAN_PROFILE", "smoke")
    monkeypatch.setenv("OMP_NUM_THREADS", "1")
    monkeypatch.setenv("TQDM_DISABLE", "1")
    monkeypatch.delenv("MEDGAN_DATA", raising=False)
    notebook = nbformat.read(path, as_version=4)
    NotebookClient(notebook, timeout=120, kernel_name="python3", allow_errors=True).execute(cwd=path.parent)
    return notebook


def errors(notebook):
    return {
        cell.id: output
        for cell in notebook.cells
        if cell.cell_type == "code"
        for output in cell.outputs
        if output.output_type == "error"
    }


def test_every_exercise_notebook_is_in_step_with_its_solution():
    assert EXERCISES
    assert build(ROOT, check=True) == []


@pytest.mark.parametrize("name", EXERCISES)
def test_stubs_raise_in_their_checks_and_nowhere_else(name, monkeypatch):
    notebook = executed(ROOT / "exercises" / name, monkeypatch)
    tagged = [cell.id for cell in notebook.cells if "raises-exception" in cell.metadata.get("tags", [])]
    assert len(tagged) >= 3
    found = errors(notebook)
    assert list(found) == tagged
    for error in found.values():
        assert error.ename == "CheckFailed"
        assert re.match(r"Exercise \d+\.\d is still to do: \w", error.evalue)


@pytest.mark.parametrize("name", EXERCISES)
def test_solutions_pass(name, monkeypatch):
    notebook = executed(ROOT / "solutions" / name, monkeypatch)
    assert errors(notebook) == {}
    printed = json.dumps([cell.get("outputs", []) for cell in notebook.cells])
    checks = sum(cell.source.count("\ncheck(") for cell in notebook.cells)
    assert printed.count("Right. Exercise") == checks >= 3
