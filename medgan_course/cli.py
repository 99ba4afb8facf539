"""The command line, ``medgan``. A CourseError is one sentence on stderr and exit status 1, through click."""

import os
import re
import shutil
import subprocess
import tomllib
from pathlib import Path

import click

from medgan_course.errors import CourseError


@click.group()
@click.version_option(package_name="medgan-course")
def main() -> None:
    """Work on the course: its exercises and its address."""


@main.group()
def exercises() -> None:
    """Work on the students' notebooks."""


@exercises.command()
@click.option(
    "--check", is_flag=True, help="Write nothing; fail if exercises/ is not in step with solutions/."
)
def build(check: bool) -> None:
    """Generate exercises/ from solutions/ in the current directory."""
    from medgan_course.exercises.generate import (
        build as build_exercises,
    )  # imports torch, which --help need not

    written = build_exercises(Path(), check=check)
    for path in written:
        click.echo(f"Wrote {path}")
    if not written:
        click.echo("exercises/ is in step with solutions/.")


@main.command()
@click.argument("url")
def repository(url: str) -> None:
    """Change the repository's address to URL, https://github.com/OWNER/NAME, wherever it appears."""
    changed = move_repository(Path(), url)
    click.echo(f"{changed} files now say {url}." if changed else f"The address is {url} already.")


def move_repository(root: Path, url: str) -> int:
    """Rewrite the repository's address in every tracked text file below ``root``; return how many changed.

    The address in force is the one in ``pyproject.toml``. Its Colab and Pages forms follow it.

    Raises
    ------
    CourseError
        If ``url`` is no GitHub repository's address, or ``root`` is no checkout of the course; nothing is
        written then.
    """
    new = re.fullmatch(r"https://github\.com/([A-Za-z\d][A-Za-z\d-]*)/([\w.-]*[\w-])", url)
    if new is None or url.endswith(".git"):
        raise CourseError(f"{url!r} is no repository's address: write it as https://github.com/OWNER/NAME.")
    try:
        project = tomllib.loads((root / "pyproject.toml").read_text("utf-8"))["project"]
        listing = subprocess.run(["git", "ls-files", "-z"], cwd=root, capture_output=True, check=True).stdout
        old_owner, old_name = project["urls"]["Repository"].removeprefix("https://github.com/").split("/")
    except (OSError, KeyError, ValueError, subprocess.CalledProcessError) as error:
        raise CourseError(
            f"{root.resolve()} is no git checkout of the course: change to the folder of its pyproject.toml."
        ) from error

    end = rb"(?![\w-]|\.(?!git\b)\w)"  # so that the address of a longer name stays
    owner, name = (re.escape(part.encode()) for part in (old_owner, old_name))
    new_owner, new_name = (part.encode() for part in new.groups())
    pages = new_owner.lower() + b".github.io/" + new_name
    rewritten = {}
    for path in (root / os.fsdecode(entry) for entry in listing.split(b"\0") if entry):
        before = path.read_bytes() if path.is_file() else b""
        if b"\0" in before or old_name.encode() not in before:
            continue
        after = re.sub(
            rb"(github\.com/|/github/)" + owner + b"/" + name + end,
            rb"\g<1>" + new_owner + b"/" + new_name,
            before,
        )
        after = re.sub(rb"(?i:" + owner + rb")\.github\.io/" + name + end, pages, after)
        if after != before:
            rewritten[path] = after

    partials = {path: path.with_name(path.name + ".partial") for path in rewritten}
    try:
        for path, partial in partials.items():
            partial.write_bytes(rewritten[path])
            shutil.copymode(path, partial)
        for path, partial in partials.items():
            os.replace(partial, path)
    except OSError as error:
        raise CourseError(
            f"The address could not be changed everywhere ({error}): restore the files with git."
        ) from error
    finally:
        for partial in partials.values():
            partial.unlink(missing_ok=True)
    return len(rewritten)
