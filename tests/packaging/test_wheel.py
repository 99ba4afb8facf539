"""A wheel holds what a checkout has beside the package: weights, results, their cards, recorded trainings."""

import os
import subprocess
import sys
import zipfile
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[2]


@pytest.fixture(scope="module")
def wheel(tmp_path_factory):
    folder = tmp_path_factory.mktemp("wheel")
    command = [sys.executable, "-m", "hatchling", "build", "-t", "wheel", "-d", str(folder)]
    subprocess.run(command, cwd=ROOT, check=True, capture_output=True, env=os.environ | {"NO_COLOR": "1"})
    (path,) = folder.glob("*.whl")
    with zipfile.ZipFile(path) as archive:
        yield archive


def test_it_holds_every_checkpoint_with_its_card(wheel):
    inside = {
        name.removeprefix("medgan_course/checkpoints/")
        for name in wheel.namelist()
        if "/checkpoints/" in name
    }
    weights = {path.name for path in (ROOT / "checkpoints").glob("*.safetensors")}
    assert weights
    assert weights <= inside
    assert {Path(name).with_suffix(".json").name for name in weights} <= inside


def test_it_holds_every_results_card(wheel):
    cards = {f"medgan_course/results/{path.name}" for path in (ROOT / "results").glob("*.json")}
    assert cards
    assert cards <= set(wheel.namelist())


def test_it_holds_every_file_of_the_package(wheel):
    package = {
        path.relative_to(ROOT).as_posix()
        for path in (ROOT / "medgan_course").rglob("*")
        if path.is_file() and "__pycache__" not in path.parts and path.suffix != ".partial"
    }
    assert {"medgan_course/exercises/runs_04.npz", "medgan_course/exercises/runs_04.json"} <= package
    assert package <= set(wheel.namelist())


def test_it_holds_both_licences_and_nothing_else_of_the_repository(wheel):
    tops = {name.split("/")[0] for name in wheel.namelist()}
    (info,) = (name for name in tops if name.endswith(".dist-info"))
    assert tops == {"medgan_course", info}
    assert {f"{info}/licenses/LICENSE", f"{info}/licenses/LICENSE-text"} <= set(wheel.namelist())
