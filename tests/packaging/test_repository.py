"""The repository's address has one home, and one command moves it everywhere."""

import re
import shutil
import subprocess
import tomllib
from pathlib import Path

import pytest
from click.testing import CliRunner

from medgan_course.cli import main, move_repository
from medgan_course.errors import CourseError

ROOT = Path(__file__).parents[2]
ADDRESS = tomllib.loads((ROOT / "pyproject.toml").read_text("utf-8"))["project"]["urls"]["Repository"]
OWNER, NAME = ADDRESS.removeprefix("https://github.com/").split("/")
# In two parts, or this file would hold the new address before the move.
NEW_OWNER, NEW_NAME = "Some-Owner", "other.course"
NEW = f"https://github.com/{NEW_OWNER}/{NEW_NAME}"


@pytest.fixture(autouse=True)
def git_is_there():
    if shutil.which("git") is None:
        pytest.skip("git is not installed")


needs_checkout = pytest.mark.skipif(not (ROOT / ".git").exists(), reason="not a git checkout")


def git(root, *arguments):
    return subprocess.run(["git", *arguments], cwd=root, check=True, capture_output=True).stdout


def tracked(root):
    return [root / name for name in git(root, "ls-files", "-z").decode().split("\0") if name]


@pytest.fixture
def tree(tmp_path):
    """Return a copy of the tracked files, as a checkout of its own."""
    for path in tracked(ROOT):
        if path.is_file():
            copy = tmp_path / path.relative_to(ROOT)
            copy.parent.mkdir(parents=True, exist_ok=True)
            shutil.copy2(path, copy)
    git(tmp_path, "init", "-q")
    git(tmp_path, "add", "--all")
    return tmp_path


@pytest.fixture
def small(tmp_path):
    """Return a checkout that holds the address in its pyproject.toml and a page."""
    (tmp_path / "pyproject.toml").write_text(f'[project]\n[project.urls]\nRepository = "{ADDRESS}"\n')
    (tmp_path / "page.md").write_text(f"See {ADDRESS}.")
    git(tmp_path, "init", "-q")
    git(tmp_path, "add", "--all")
    return tmp_path


def contents(root):
    return {path: path.read_bytes() for path in tracked(root) if path.is_file()}


def addresses(root, owner, name):
    """Return how often any form of an address stands in which file."""
    forms = re.compile(
        rf"(?:github\.com/|/github/){owner}/{name}\b|{owner}\.github\.io/{name}\b".encode(), re.I
    )
    found = {
        path.relative_to(root).as_posix(): len(forms.findall(text))
        for path, text in contents(root).items()
        if name.encode() in text
    }
    return {path: count for path, count in found.items() if count}


@needs_checkout
def test_all_addresses_in_the_tree_agree():
    # Whatever GitHub owner the course's name is under anywhere, it is this one.
    owners = re.compile(rf"(?:github\.com/|/github/)([\w-]+)/{NAME}\b".encode())
    for path, text in contents(ROOT).items():
        if NAME.encode() in text:
            assert set(owners.findall(text)) <= {OWNER.encode()}, path
    for must in ("pyproject.toml", "README.md", "CITATION.cff", "_config.yml", "solutions/04_dcgan.ipynb"):
        assert ADDRESS in (ROOT / must).read_text("utf-8"), must


@needs_checkout
def test_one_command_moves_it_everywhere_and_back(tree, monkeypatch):
    original = contents(tree)
    before = addresses(tree, OWNER, NAME)
    modes = {path: path.stat().st_mode for path in original}
    monkeypatch.chdir(tree)
    result = CliRunner().invoke(main, ["repository", NEW])
    assert result.exit_code == 0, result.output
    assert addresses(tree, OWNER, NAME) == {}
    assert addresses(tree, NEW_OWNER, NEW_NAME) == before
    assert tomllib.loads((tree / "pyproject.toml").read_text("utf-8"))["project"]["urls"]["Repository"] == NEW
    assert {path: path.stat().st_mode for path in original} == modes
    assert not list(tree.rglob("*.partial"))

    assert move_repository(tree, ADDRESS) == len(before)
    assert contents(tree) == original


def test_all_forms_move_and_other_addresses_stay(small):
    page, binary, untracked = small / "page.md", small / "binary.dat", small / "untracked.md"
    page.write_text(
        f"{ADDRESS} {ADDRESS}.git {ADDRESS}/tree/main, {ADDRESS}. "
        f"https://colab.research.google.com/github/{OWNER}/{NAME}/blob/main/x.ipynb "
        f"https://{OWNER}.github.io/{NAME}/ "
        f"{ADDRESS}-data {ADDRESS}.old https://github.com/{OWNER}/elsewhere {NAME}"
    )
    binary.write_bytes(b"\0" + ADDRESS.encode())
    git(small, "add", "binary.dat")
    untracked.write_text(ADDRESS)
    assert move_repository(small, NEW) == 2
    assert page.read_text() == (
        f"{NEW} {NEW}.git {NEW}/tree/main, {NEW}. "
        f"https://colab.research.google.com/github/{NEW_OWNER}/{NEW_NAME}/blob/main/x.ipynb "
        f"https://{NEW_OWNER.lower()}.github.io/{NEW_NAME}/ "
        f"{ADDRESS}-data {ADDRESS}.old https://github.com/{OWNER}/elsewhere {NAME}"
    )
    assert binary.read_bytes() == b"\0" + ADDRESS.encode()
    assert untracked.read_text() == ADDRESS
    assert move_repository(small, NEW) == 0


@pytest.mark.parametrize(
    "url",
    [
        "",
        "medgan",
        "github.com/a/b",
        "http://github.com/a/b",
        "https://github.com/a",
        "https://github.com/a/b/",
        "https://github.com/a/b.git",
        "https://github.com/a/b/c",
        "https://github.com/a/b c",
        "https://github.com/-a/b",
        "https://gitlab.com/a/b",
        "https://github.com/a/..",
        "https://github.com/a/b\n",
    ],
)
def test_what_is_no_address_is_one_sentence_and_changes_nothing(small, url, monkeypatch):
    before = contents(small)
    monkeypatch.chdir(small)
    result = CliRunner().invoke(main, ["repository", "--", url])
    assert result.exit_code == 1
    assert result.stderr.strip().endswith("write it as https://github.com/OWNER/NAME.")
    assert "Traceback" not in result.output
    assert contents(small) == before


def test_outside_a_checkout_it_says_so(tmp_path):
    with pytest.raises(CourseError, match="is no git checkout of the course"):
        move_repository(tmp_path, NEW)


def test_a_failure_while_writing_changes_nothing(small, monkeypatch):
    before = contents(small)
    monkeypatch.setattr(
        shutil, "copymode", lambda source, target: (_ for _ in ()).throw(OSError("disk full"))
    )
    with pytest.raises(CourseError, match="disk full"):
        move_repository(small, NEW)
    assert contents(small) == before
    assert not list(small.rglob("*.partial"))
