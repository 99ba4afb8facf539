"""What a newcomer's first make says when it cannot go on."""

import shutil
import subprocess
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[2]


@pytest.fixture
def clone(tmp_path):
    """Return a folder with what make reads before it has an environment."""
    for name in ("Makefile", "requirements.lock", "pyproject.toml"):
        shutil.copy(ROOT / name, tmp_path)
    return tmp_path


def make(clone, *arguments):
    if shutil.which("make") is None:
        pytest.skip("make is not installed")
    return subprocess.run(
        ["make", "--no-print-directory", *arguments], cwd=clone, capture_output=True, text=True
    )


@pytest.mark.parametrize("target", ["book", "test", "env"])
def test_a_python_that_is_too_old_gets_one_sentence_and_no_environment(clone, target):
    old = clone / "python3.10"
    old.write_text("#!/bin/sh\nexit 1\n")  # what the version check of an older Python comes to
    old.chmod(0o755)
    done = make(clone, f"PYTHON={old}", target)
    assert done.returncode != 0
    assert "needs Python 3.11, 3.12 or 3.13" in done.stdout
    assert "Traceback" not in done.stdout + done.stderr
    assert not (clone / ".venv").exists()


def test_a_python_that_is_not_there_gets_the_same_sentence(clone):
    done = make(clone, "PYTHON=python-of-next-century", "book")
    assert done.returncode != 0
    assert "python-of-next-century is not" in done.stdout


@pytest.mark.parametrize("by", ["environment", "command line"])
@pytest.mark.parametrize("given", ["my data/set", "{here}/my data/set", "absent data"])
def test_the_data_folder_may_be_relative_and_hold_spaces(clone, monkeypatch, by, given):
    (clone / "my data" / "set").mkdir(parents=True)
    (clone / "show.mk").write_text("include Makefile\nshow:\n\t@printf '%s' \"$$MEDGAN_DATA\"\n", "utf-8")
    given = given.format(here=clone)
    monkeypatch.delenv("MEDGAN_DATA", raising=False)
    if by == "environment":
        monkeypatch.setenv("MEDGAN_DATA", given)
    done = make(clone, "-f", "show.mk", "show", *([f"MEDGAN_DATA={given}"] if by == "command line" else []))
    expected = given if given == "absent data" else str(clone / "my data" / "set")
    assert done.stdout == expected, done.stderr


@pytest.mark.parametrize(("profile", "folder"), [(None, "cpu"), ("gpu", "gpu")])
def test_serve_shows_the_profiles_book(clone, monkeypatch, profile, folder):
    monkeypatch.delenv("MEDGAN_PROFILE", raising=False)
    if profile:
        monkeypatch.setenv("MEDGAN_PROFILE", profile)
    (clone / "_build" / folder / "html").mkdir(parents=True)
    done = make(clone, "--dry-run", "serve")
    assert f"--directory _build/{folder}/html" in done.stdout


def test_serving_before_building_says_what_to_do(clone):
    done = make(clone, "serve")
    assert done.returncode != 0
    assert "run make book first" in done.stdout
