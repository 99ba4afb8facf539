"""The instructor's page against what is there: chapters, exercises, commands, sets, weights."""

import re
from pathlib import Path

import click
import pytest

from medgan_course.cli import main
from medgan_course.data import catalogue, command
from medgan_course.exercises import EXERCISES

ROOT = Path(__file__).parents[2]
PAGE = (ROOT / "book" / "instructors.md").read_text("utf-8")
CHAPTERS = {path.stem for path in (ROOT / "chapters").glob("[0-9]*.ipynb")}
NUMBERS = [name.removeprefix("0") for name in EXERCISES]  # as in "exercise 1.2"
BLOCKS = re.findall(r"```bash\n(.*?)```", PAGE, re.DOTALL)
MAKEFILE = (ROOT / "Makefile").read_text("utf-8")


def rows(heading: str) -> list[list[str]]:
    """Return the cells of the first table below ``heading``, without its head."""
    below = PAGE.partition(f"\n## {heading}\n")[2].partition("\n## ")[0]
    (lines, *_) = re.findall(r"(?:^\|.*\|\n)+", below, re.MULTILINE)
    return [[cell.strip() for cell in line.strip("|").split("|")] for line in lines.splitlines()[2:]]


def exercises(cells: list[str]) -> list[str]:
    return [name for cell in cells for name in re.findall(r"\b\d\.\d\b", cell)]


@pytest.mark.parametrize("weeks", [6, 14])
def test_a_syllabus_counts_its_weeks_and_links_chapters(weeks: int) -> None:
    table = rows(f"A syllabus for {weeks} weeks")
    assert [int(row[0]) for row in table] == list(range(1, weeks + 1))
    assert {name for row in table for name in re.findall(r"chapters/(\w+)\.ipynb", row[1])} == CHAPTERS


def test_fourteen_weeks_give_every_exercise_once_in_the_week_of_its_chapter() -> None:
    table = rows("A syllabus for 14 weeks")
    assert sorted(exercises([cell for row in table for cell in row[3:5]])) == sorted(NUMBERS)
    for row in table:
        given = {name[0] for name in exercises(row[3:5])}
        assert given <= {str(int(name[:2])) for name in re.findall(r"chapters/(\w+)\.ipynb", row[1])}


def test_six_weeks_give_every_exercise_of_the_chapters_that_all_read() -> None:
    given = exercises([cell for row in rows("A syllabus for 6 weeks") for cell in row[3:5]])
    assert sorted(given) == sorted(name for name in NUMBERS if int(name[0]) <= 5)


def test_the_parts_of_a_mark_add_up() -> None:
    marks, rubric = re.findall(r"(?:^\|.*\|\n)+", PAGE.partition("\n## Marks\n")[2], re.MULTILINE)[:2]
    for column in zip(*(re.findall(r"(\d+) %", line) for line in marks.splitlines()[2:]), strict=True):
        assert sum(map(int, column)) == 100
    assert sum(int(line.split("|")[2].strip(" *%")) for line in rubric.splitlines()[2:]) == 100


def test_every_command_is_one() -> None:
    lines = [line.partition("#")[0].split() for block in BLOCKS for line in block.splitlines()]
    lines += [found.split() for found in re.findall(r"`((?:medgan|make) [^`]+)`", PAGE)]
    tried = 0
    for line in filter(None, lines):
        program, *words = line
        if program == "make":
            assert re.search(rf"^{words[0]}:", MAKEFILE, re.MULTILINE), line
        elif program.endswith("medgan"):
            found: click.Command = main
            while isinstance(found, click.Group):
                name = words.pop(0)
                assert name in found.commands, line
                found = found.commands[name]
            known = {option for parameter in found.params for option in parameter.opts}
            assert {word for word in words if word.startswith("--")} <= known, line
        else:
            continue
        tried += 1
    assert tried > 10


def test_nbval_is_called_as_in_the_makefile() -> None:
    def options(text: str) -> list[str]:
        (call,) = re.findall(r"pytest (-n 2 --dist loadfile(?:.|\\\n)*?exercises)\n", text)
        return [word for word in call.replace("-p no:cacheprovider", "").split() if word != "\\"]

    (block,) = (block for block in BLOCKS if "nbval" in block)
    assert options(block) == options(MAKEFILE.partition("\nnotebooks:")[2])


def test_the_sets_that_no_machine_can_fetch_are_named() -> None:
    loaded = {name for name, _ in command.wanted_by(sorted(CHAPTERS))}
    by_hand = {
        name for name in loaded if catalogue.card(name).files and not command.fetchable(catalogue.card(name))
    }
    paragraph = PAGE.partition("Three sets no publisher")[2].partition("\n\n")[0]
    assert by_hand == set(re.findall(r"`(\w+)`", paragraph))
    assert len(by_hand) == 3
