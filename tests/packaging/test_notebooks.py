"""Every notebook is clean, opens anywhere, and starts with the cell that installs the library on Colab."""

import re
import tomllib
from pathlib import Path

import nbformat
import pytest

ROOT = Path(__file__).parents[2]
ADDRESS = tomllib.loads((ROOT / "pyproject.toml").read_text("utf-8"))["project"]["urls"]["Repository"]
NOTEBOOKS = sorted(
    path.relative_to(ROOT).as_posix()
    for folder in ("chapters", "exercises", "solutions")
    for path in (ROOT / folder).glob("*.ipynb")
)

FIRST_CELL = f"""\
try:
    import medgan_course
except ImportError:  # Colab: install beside what is there, changing nothing
    %pip install -q "medgan-course @ git+{ADDRESS}\""""

# Folders of one machine, in a POSIX or a Windows path.
ABSOLUTE = re.compile(r"(?<![\w.:/])/(?:home|Users|root|tmp|work|content|mnt|var|opt)/|\b[A-Z]:\\\\?\w")


@pytest.fixture(params=NOTEBOOKS)
def notebook(request):
    return nbformat.read(ROOT / request.param, as_version=4)


def code_cells(notebook):
    return [cell for cell in notebook.cells if cell.cell_type == "code"]


def test_there_are_notebooks():
    assert {name.split("/")[0] for name in NOTEBOOKS} == {"chapters", "exercises", "solutions"}


def test_it_is_valid_and_its_cells_have_unique_ids(notebook):
    nbformat.validate(notebook)
    assert (notebook.nbformat, notebook.nbformat_minor) >= (4, 5)
    ids = [cell["id"] for cell in notebook.cells]
    assert len(set(ids)) == len(ids)


def test_it_runs_in_any_python_kernel(notebook):
    assert notebook.metadata.kernelspec.name == "python3"


def test_outputs_are_stored_only_where_they_are_compared(notebook):
    for cell in code_cells(notebook):
        if "nbval-check-output" in cell.metadata.get("tags", []):
            # nbval takes any output for right if none was stored, or the cell never counted as executed.
            stored = cell.outputs and cell.execution_count
            assert stored, f"cell {cell.id} is to be compared, but has no output"
        else:
            assert not cell.outputs, f"cell {cell.id} has outputs: strip them with nbstripout"
            assert cell.execution_count is None


def test_it_names_no_folder_of_one_machine(notebook):
    text = nbformat.writes(notebook)
    assert not ABSOLUTE.search(text), ABSOLUTE.search(text)


def test_the_first_code_cell_is_the_agreed_one(notebook):
    assert code_cells(notebook)[0].source == FIRST_CELL


def test_figures_have_alt_texts_that_are_sentences(notebook):
    for cell in code_cells(notebook):
        if re.search(
            r"^plt\.show\(\)", cell.source, re.MULTILINE
        ):  # not where a function that shows is defined
            assert cell.metadata["mystnb"]["image"]["alt"].endswith("."), cell.id
