"""A chapter's times, measured or not yet, stand where the book says so."""

import json
from pathlib import Path
from types import SimpleNamespace

import pytest
import times
from execute import Page, Place
from nbformat import read

from medgan_course.errors import CourseError

ROOT = Path(__file__).parents[2]
CHAPTERS = [path.stem for path in sorted((ROOT / "chapters").glob("[0-9]*.ipynb"))]
QUIET = times.Time(12.4, 11.6, "A processor", 1, "2026-01-02", "0.1.0")
LONG = times.Time(125.0, 249.0, "A processor", 1, "2026-01-02", "0.1.0")
TITLES = {"01_a": "One", "02_b": "Second"}
GPU = times.Time(59.6, 50.0, "A GPU", 2, "2026-01-03", "0.2.0")


@pytest.mark.parametrize(
    ("seconds", "words"), [(0.4, "0 s"), (59.4, "59 s"), (59.6, "1 min 0 s"), (125, "2 min 5 s")]
)
def test_seconds_are_said_in_minutes(seconds: float, words: str) -> None:
    assert times.spoken(seconds) == words


def test_a_chapter_names_its_times_the_machines_and_what_is_missing() -> None:
    here = "smoke 12 s, cpu 2 min 5 s (A processor, 1 thread); "
    assert times.line({"cpu": LONG, "smoke": QUIET}) == here + "gpu not measured yet."
    assert times.line({"cpu": LONG, "smoke": QUIET, "gpu": GPU}) == here + "gpu 1 min 0 s (A GPU, 2 threads)."
    assert times.line({}) == "smoke, cpu, gpu not measured yet."


def test_the_table_has_a_row_a_chapter_and_says_where_it_was_measured() -> None:
    table = times.table(TITLES, {"chapters/01_a": {"smoke": QUIET, "gpu": GPU}})
    assert table.splitlines() == [
        "| chapter | `smoke` | `cpu` | `gpu` |",
        "|---|---|---|---|",
        "| [One](../chapters/01_a.ipynb) | 12 s (CPU 12 s) | not measured yet | 1 min 0 s (CPU 50 s) |",
        "| [Second](../chapters/02_b.ipynb) | not measured yet | not measured yet | not measured yet |",
        "",
        "- `gpu`: A GPU, 2 threads; medgan-course 0.2.0, 2026-01-03",
        "- `smoke`: A processor, 1 thread; medgan-course 0.1.0, 2026-01-02",
    ]


def test_what_ci_runs_has_a_column_a_folder_at_smoke_alone_and_a_sum() -> None:
    found = {"chapters/01_a": {"smoke": QUIET, "gpu": GPU}, "exercises/02_b": {"smoke": GPU}}
    assert times.table_for_ci(TITLES, found).splitlines() == [
        "| | chapter | solutions | exercises |",
        "|---|---|---|---|",
        "| [One](../chapters/01_a.ipynb) | 12 s (CPU 12 s) | not measured yet | not measured yet |",
        "| [Second](../chapters/02_b.ipynb) | not measured yet | not measured yet | 1 min 0 s (CPU 50 s) |",
        "",
        "All one after the other: 1 min 12 s (CPU 1 min 2 s), 4 not measured yet.",
        "",
        "- `smoke`: A GPU, 2 threads; medgan-course 0.2.0, 2026-01-03",
        "- `smoke`: A processor, 1 thread; medgan-course 0.1.0, 2026-01-02",
    ]
    assert "All one after the other: not measured yet." in times.table_for_ci(TITLES, {})


def test_a_measurement_is_added_to_those_of_other_chapters_and_profiles(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    file, place = tmp_path / "times.json", Place(tmp_path, tmp_path, "cpu")
    file.write_text(json.dumps({"chapters/01_a": {"smoke": vars(QUIET), "cpu": vars(GPU)}}), "utf-8")
    pages = {
        "chapters/01_a.ipynb": Page("chapters/01_a.ipynb", 3.04, "measured", cpu_seconds=2.06),
        "chapters/02_b.ipynb": Page("chapters/02_b.ipynb", 1.0, "measured", "code cell 1: no"),
    }
    monkeypatch.setattr(times, "execute", lambda notebook, reason, place: pages[notebook])
    monkeypatch.setenv("OMP_NUM_THREADS", "1")
    with pytest.raises(CourseError, match=r"chapters/02_b.ipynb, code cell 1: no"):
        times.measure(list(pages), place, file)
    found = times.read(file)
    assert found.keys() == {"chapters/01_a"}
    assert found["chapters/01_a"]["smoke"] == QUIET
    measured = found["chapters/01_a"]["cpu"]
    assert (measured.seconds, measured.cpu_seconds, measured.threads) == (3.0, 2.1, 1)
    assert measured.machine


@pytest.mark.parametrize("page", [times.USING, times.INSTRUCTORS])
def test_the_pages_have_a_place_for_their_table(page: str) -> None:
    assert (ROOT / f"{page}.md").read_text("utf-8").splitlines().count(times.MARK) == 1


@pytest.mark.parametrize(("page", "column"), [(times.USING, "`gpu`"), (times.INSTRUCTORS, "solutions")])
def test_each_page_gets_its_own(page: str, column: str) -> None:
    source = [f"before\n{times.MARK}\nafter"]
    times._fill(SimpleNamespace(srcdir=str(ROOT)), page, source)
    assert source[0].startswith("before\n|")
    assert column in source[0]
    assert times.MARK not in source[0]


def test_the_cost_of_grading_is_that_of_each_submission(tmp_path: Path) -> None:
    def some(n: int, clock: float, cpu: float) -> dict[str, float]:
        return {"n": n, "clock_seconds": clock, "cpu_seconds": cpu}

    facts = {"assignment": "04_a", "device": "A processor", "class": {"right": 9, "hangs": 1}, "workers": 2}
    pairs = {"plain": [some(4, 40, 20), some(4, 48, 20)], "warm": [some(4, 10, 6)]}
    file = tmp_path / "grading.json"
    file.write_text(
        json.dumps(facts | {"pairs": pairs, "whole": some(10, 25, 30) | {"points": {"ann": 0, "bob": 4}}}),
        "utf-8",
    )
    lines = times.grading(file).splitlines()
    assert lines[2].endswith("| 8 | 11.0 s | 5.0 s |")
    assert lines[3].endswith("1 worker | 4 | 2.5 s | 1.5 s |")
    assert lines[4].endswith("2 workers | 10 | 2.5 s | 3.0 s |")
    assert lines[-2].endswith("a class: 9 right, 1 hangs.")
    assert lines[-1] == "1 of the class got no points."


def test_the_instructors_page_has_a_place_for_the_cost_of_grading() -> None:
    source = [(ROOT / f"{times.INSTRUCTORS}.md").read_text("utf-8")]
    assert source[0].splitlines().count(times.GRADING) == 1
    times._fill(SimpleNamespace(srcdir=str(ROOT)), times.INSTRUCTORS, source)
    assert times.GRADING not in source[0]
    assert "`medgan course grade`, 1 worker" in source[0]


@pytest.mark.parametrize("chapter", CHAPTERS)
def test_every_chapter_is_measured_and_has_a_place_for_its_line(chapter: str) -> None:
    text = [cell.source for cell in read(ROOT / "chapters" / f"{chapter}.ipynb", as_version=4).cells]
    assert sum(cell.count("**It takes**") for cell in text) == 1
    measured = times.read().get(f"chapters/{chapter}", {})
    assert measured.keys() >= {"smoke", "cpu"}, "run make times on a quiet machine"


def test_no_times_are_kept_of_a_notebook_that_is_gone() -> None:
    assert all((ROOT / f"{name}.ipynb").is_file() for name in times.read())
