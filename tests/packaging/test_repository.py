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
NEW = "https://github.com/Some-Owner/other.course"


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


def contents(root):
    return {path: path.read_bytes() for path in tracked(root)}


def addresses(root, owner, name):
    """Return where each form of an address stands: file name to the addresses in it."""
    forms = re.compile(
        rf"(?:github\.com/|/github/){owner}/{name}\b|{owner}\.github\.io/{name}\b".encode(), re.I
    )
    found = {path.relative_to(root).as_posix(): forms.findall(text) for path, text in contents(root).items()}
    return {path: hits for path, hits in found.items() if hits}


def test_all_addresses_in_the_tree_agree():
    # Whatever GitHub owner the course's name is under anywhere, it is this one.
    owners = re.compile(rf"(?:github\.com/|/github/)([\w-]+)/{NAME}\b".encode())
    for path in tracked(ROOT):
        if path.is_file() and path != Path(__file__):
            assert set(owners.findall(path.read_bytes())) <= {OWNER.encode()}, path
    for must in ("pyproject.toml", "README.md", "CITATION.cff", "_config.yml", "solutions/04_dcgan.ipynb"):
        assert ADDRESS in (ROOT / must).read_text("utf-8"), must


def test_one_command_moves_it_everywhere(tree, monkeypatch):
    before = addresses(tree, OWNER, NAME)
    modes = {path: path.stat().st_mode for path in tracked(tree)}
    monkeypatch.chdir(tree)
    result = CliRunner().invoke(main, ["repository", NEW])
    assert result.exit_code == 0, result.output
    assert addresses(tree, OWNER, NAME) == {}
    after = addresses(tree, "Some-Owner", "other.course")
    assert {path: len(hits) for path, hits in after.items()} == {
        path: len(hits) for path, hits in before.items()
    }
    assert tomllib.loads((tree / "pyproject.toml").read_text("utf-8"))["project"]["urls"]["Repository"] == NEW
    assert {path: path.stat().st_mode for path in tracked(tree)} == modes
    assert not list(tree.rglob("*.partial"))


def test_and_back_again_restores_every_byte(tree):
    before = contents(tree)
    assert move_repository(tree, NEW) > 0
    assert move_repository(tree, ADDRESS) > 0
    assert contents(tree) == before
    assert move_repository(tree, ADDRESS) == 0


def test_all_forms_move_and_other_addresses_stay(tree):
    page = tree / "page.md"
    page.write_text(
        f"{ADDRESS} {ADDRESS}.git {ADDRESS}/tree/main, {ADDRESS}. "
        f"https://colab.research.google.com/github/{OWNER}/{NAME}/blob/main/x.ipynb "
        f"https://{OWNER}.github.io/{NAME}/ "
        f"{ADDRESS}-data {ADDRESS}.old https://github.com/{OWNER}/elsewhere {NAME}"
    )
    untracked = tree / "untracked.md"
    git(tree, "add", "page.md")
    untracked.write_text(ADDRESS)
    binary = tree / "binary.dat"
    binary.write_bytes(b"\0" + ADDRESS.encode())
    git(tree, "add", "binary.dat")
    move_repository(tree, NEW)
    assert page.read_text() == (
        f"{NEW} {NEW}.git {NEW}/tree/main, {NEW}. "
        "https://colab.research.google.com/github/Some-Owner/other.course/blob/main/x.ipynb "
        "https://some-owner.github.io/other.course/ "
        f"{ADDRESS}-data {ADDRESS}.old https://github.com/{OWNER}/elsewhere {NAME}"
    )
    assert untracked.read_text() == ADDRESS
    assert binary.read_bytes() == b"\0" + ADDRESS.encode()


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
def test_what_is_no_address_is_one_sentence_and_changes_nothing(tree, url, monkeypatch):
    before = contents(tree)
    monkeypatch.chdir(tree)
    result = CliRunner().invoke(main, ["repository", "--", url])
    assert result.exit_code == 1
    assert result.stderr.strip().endswith("write it as https://github.com/OWNER/NAME.")
    assert "Traceback" not in result.output
    assert contents(tree) == before


def test_outside_a_checkout_it_says_so(tmp_path):
    with pytest.raises(CourseError, match="is no git checkout of the course"):
        move_repository(tmp_path, NEW)


def test_a_failure_while_writing_changes_nothing(tree, monkeypatch):
    before = contents(tree)
    monkeypatch.setattr(
        shutil, "copymode", lambda source, target: (_ for _ in ()).throw(OSError("disk full"))
    )
    with pytest.raises(CourseError, match="disk full"):
        move_repository(tree, NEW)
    assert contents(tree) == before
    assert not list(tree.rglob("*.partial"))
