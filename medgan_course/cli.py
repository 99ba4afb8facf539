"""The command line, ``medgan``. A CourseError is one sentence on stderr and exit status 1, through click."""

import os
import re
import shutil
import subprocess
import tomllib
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path

import click

from medgan_course import budgets
from medgan_course.errors import CourseError

# Most commands import torch when they run, not here: --help need not wait for it.


@click.group()
@click.version_option(package_name="medgan-course")
def main() -> None:
    """Run the course's experiments, read their results, and work on its exercises."""


class _ManySeeds(click.Command):
    """A command whose ``--seeds 0 1 2`` counts as ``--seeds 0 --seeds 1 --seeds 2``."""

    def parse_args(self, ctx: click.Context, args: list[str]) -> list[str]:
        spread, listing = [], False
        for arg in args:
            listing = arg == "--seeds" or (listing and arg.isdigit())
            spread += ["--seeds", arg] if listing and arg != "--seeds" else [] if listing else [arg]
        if "--seeds" in args and "--seeds" not in spread:
            raise click.UsageError("--seeds needs whole numbers, such as --seeds 0 1 2.", ctx)
        return super().parse_args(ctx, spread)


@main.command(cls=_ManySeeds)
@click.argument("system", required=False)
@click.option(
    "--profile", type=click.Choice(list(budgets.PROFILES)), help="Default: MEDGAN_PROFILE, or by device."
)
@click.option("--seeds", type=click.IntRange(min=0), multiple=True, help="Such as --seeds 0 1 2.")
@click.option("--set", "settings", multiple=True, metavar="NAME=VALUE", help="Change a setting; repeatable.")
@click.option(
    "--arm", "arms", multiple=True, help="Run only this arm; repeatable. No card until all have run."
)
@click.option(
    "--out",
    type=click.Path(path_type=Path, file_okay=False),
    default=Path("results"),
    show_default=True,
    help="Folder of the card.",
)
def run(
    system: str | None,
    profile: str | None,
    seeds: tuple[int, ...],
    settings: tuple[str, ...],
    arms: tuple[str, ...],
    out: Path,
) -> None:
    """Run the experiment of SYSTEM, such as S03 or dcgan, and write its results card.

    Without SYSTEM, list them all. An interrupted run goes on where it was when the same command is given
    again; what it needs for that lies in runs/.
    """
    import torch

    from medgan_course import experiments

    if system is None:
        _list_systems()
        return
    torch.set_flush_denormal(True)
    with _resumable() as say:
        experiments.run(
            system,
            profile=profile,
            seeds=seeds or None,
            settings=_settings(settings),
            arms=arms,
            out=out,
            say=say,
        )


@main.command()
@click.argument("system")
@click.option("--seed", type=click.IntRange(min=0), default=0, show_default=True)
@click.option("--set", "settings", multiple=True, metavar="NAME=VALUE", help="Change a setting; repeatable.")
@click.option(
    "--out",
    type=click.Path(path_type=Path, file_okay=False),
    default=Path("checkpoints"),
    show_default=True,
    help="Folder of the weights and their card.",
)
def train(system: str, seed: int, settings: tuple[str, ...], out: Path) -> None:
    """Train the network of SYSTEM that is kept, such as dcgan, and write its weights and their card.

    This takes long. An interrupted training goes on where it was when the same command is given again; what
    it needs for that lies in runs/.
    """
    import torch

    from medgan_course import experiments

    torch.set_flush_denormal(True)
    with _resumable() as say:
        say(f"Wrote {experiments.train(system, seed=seed, settings=_settings(settings), out=out)}.")


def _settings(given: tuple[str, ...]) -> dict[str, str]:
    """Return what ``--set NAME=VALUE`` has set."""
    changed = {}
    for setting in given:
        name, equals, value = setting.partition("=")
        if not equals:
            raise CourseError(f"--set {setting} gives no value: write --set {setting}=VALUE.")
        changed[name] = value
    return changed


@contextmanager
def _resumable() -> Iterator[Callable[[str], None]]:
    """Yield where to say something, which of several processes only the first does; explain Ctrl-C."""
    first = os.environ.get("RANK", "0") == "0"
    say: Callable[[str], None] = click.echo if first else lambda line: None
    try:
        yield say
    except KeyboardInterrupt:
        if first:
            click.echo("\nStopped. Give the same command again to go on from the last checkpoint.", err=True)
        raise SystemExit(130) from None


def _list_systems() -> None:
    from medgan_course.experiments import card, runner

    titles = runner.titles()
    width = max(map(len, titles))
    for name, title in titles.items():
        cards = [each for each in budgets.PROFILES if (card.folder() / f"{name}-{each}.json").is_file()]
        click.echo(f"{name:{width}}  {title}" + (f"  [card: {', '.join(cards)}]" if cards else ""))


@main.command()
@click.argument("system", required=False)
@click.option(
    "--from",
    "source",
    type=click.Path(path_type=Path, file_okay=False, exists=True),
    help="Folder of the cards. Default: results/ here, or those that came with the package.",
)
def results(system: str | None, source: Path | None) -> None:
    """Print a table of all results cards, or the full reports of SYSTEM.

    A file that is no valid card is named on stderr and left out.
    """
    from medgan_course.experiments import card, runner

    folder = source or card.folder()
    cards = []
    for path in sorted(folder.glob("*.json")):
        try:
            cards.append(card.ResultsCard.read(path))
        except CourseError as error:  # the others can still be read
            click.echo(f"Left out: {error}", err=True)
    if system is not None:
        name = runner.find(system)
        cards = [each for each in cards if each.system == name]
    if not cards:
        raise CourseError(
            f"There is no results card{f' of {system}' if system else ''} in {folder}: medgan run makes one."
        )
    click.echo(card.table(cards) if system is None else "\n\n\n".join(map(str, cards)))


@main.command()
def doctor() -> None:
    """Say what this machine can do, and how long a chapter takes on it."""
    from medgan_course.experiments.doctor import examine

    for name, sentence in examine():
        click.echo(f"{name:9} {sentence}")


@main.group()
def data() -> None:
    """List, fetch and check the image sets: for whoever prepares a room without a network.

    Files are looked for in the folder that the environment variable MEDGAN_DATA names, then in ~/.medmnist,
    which is where they are put. Copy that folder to where all machines of the room see it, and let
    MEDGAN_DATA name it there.
    """


@data.command("list")
def list_sets() -> None:
    """List the sets, and say which of their files are here."""
    from medgan_course.data import command

    for line in command.listing():
        click.echo(line)


@data.command()
@click.argument("name")
def show(name: str) -> None:
    """Show the card of set NAME: what it is, its licence and faults, what it is good for, whom to cite."""
    from medgan_course.data import command

    for line in command.description(name):
        click.echo(line)


@data.command()
@click.argument("names", nargs=-1, required=True, metavar="NAME...")
@click.option(
    "--all-for",
    "chapters",
    is_flag=True,
    help="The names are those of chapters, such as 04 or dcgan: fetch what they load.",
)
@click.option(
    "--size",
    "sizes",
    type=click.IntRange(min=1),
    multiple=True,
    help="Image side; repeatable. Default: the smallest of each set.",
)
def fetch(names: tuple[str, ...], chapters: bool, sizes: tuple[int, ...]) -> None:
    """Bring the files of sets NAME... here, and say at the end which came and which did not.

    Files that are here already stay as they are. Give the command again to go on after an interruption. The
    exit status is 1 if anything is missing.

    \b
    medgan data fetch breastmnist pneumoniamnist --size 64
    medgan data fetch --all-for 04
    """  # noqa: D301 (click wants the character itself)
    from medgan_course.data import command

    if chapters and sizes:
        raise click.UsageError("--size does not go with --all-for: a chapter knows the sizes that it loads.")
    wanted: list[tuple[str, int | None]]
    if chapters:
        wanted = [*command.wanted_by(names)]
    else:
        wanted = [(name, size) for name in names for size in sizes or (None,)]
    if not command.fetch(wanted, click.echo):
        raise SystemExit(1)


@data.command()
@click.argument("name")
@click.option(
    "--from",
    "source",
    type=click.Path(path_type=Path, exists=True),
    help="Archive or folder of the original, as its publisher hands it out. Default: download it.",
)
def prepare(name: str, source: Path | None) -> None:
    """Make the file of set NAME from its original, which some publishers hand out to persons only."""
    from medgan_course.data import command

    click.echo(f"Wrote {command.prepare(name, source)}.")


@data.command()
@click.argument("names", nargs=-1, metavar="[NAME]...")
def verify(names: tuple[str, ...]) -> None:
    """Compare files with their checksums and cards: those of sets NAME..., or all that are here.

    A file is official (the publisher's bytes), rebuilt (others, but what the card describes), as prepared
    (its arrays are those that the course makes), a known copy (its arrays are those of the copy that the
    course was written with), without a checksum, or damaged. Of a set that is named it
    also says how many images occur twice. The exit status is 1 if a file is damaged, or if no file of a set
    that is named is here.
    """
    from medgan_course.data import command

    if not command.verify(names, click.echo):
        raise SystemExit(1)


@data.command()
def where() -> None:
    """Say where files are looked for, and what lies there."""
    from medgan_course.data import command

    for line in command.where():
        click.echo(line)


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


@main.group()
def course() -> None:
    """Grade a class with nbgrader: medgan-course[grade] must be installed."""


@course.command("init")
@click.argument("folder", type=click.Path(path_type=Path))
def init_course(folder: Path) -> None:
    """Make an nbgrader course in FOLDER: one assignment for each of solutions/ in the current directory."""
    from medgan_course import course

    names = course.init(Path(), folder)
    click.echo(
        f"Made {folder} with {', '.join(names)}. Now: cd {folder}; nbgrader generate_assignment {names[0]}"
    )


@course.command("grade")
@click.argument("folder", type=click.Path(path_type=Path, file_okay=False, exists=True))
@click.argument("assignment")
@click.option("--workers", type=click.IntRange(min=1), default=2, show_default=True, help="At a time.")
@click.option(
    "--memory", type=click.FloatRange(min=0.1), default=4, show_default=True, help="GiB for each; on Linux."
)
@click.option("--again", is_flag=True, help="Also what is graded already.")
def grade_class(folder: Path, assignment: str, workers: int, memory: float, again: bool) -> None:
    """Grade all submissions of ASSIGNMENT in the course FOLDER, and say what happened to whom.

    This runs the students' code with your rights: read the instructor's page first. What is graded stays
    when this is stopped; the same command goes on with the rest. The exit status is 1 if a submission could
    not be graded.
    """
    from medgan_course import course

    try:
        graded = course.grade(folder, assignment, workers=workers, memory=memory, again=again, say=click.echo)
    except KeyboardInterrupt:
        click.echo("\nStopped. Give the same command again to grade the rest.", err=True)
        raise SystemExit(130) from None
    failed = [each.student for each in graded if each.failed]
    click.echo(f"Graded {len(graded) - len(failed)} submissions.")
    if failed:
        raise CourseError(f"{len(failed)} could not be graded, see above: {', '.join(failed)}.")


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


if __name__ == "__main__":
    main()  # python -m, and accelerate launch -m
