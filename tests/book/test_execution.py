"""Which notebooks are executed again, on a toy book: a library of two modules and a data folder."""

import json
import os
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import nbformat
import pytest
from execute import Page, Place, cache_of, execute_changed, why_execute
from nbformat.v4 import new_code_cell, new_notebook

READER = "chapters/reader.ipynb"
READ = """
import os
from pathlib import Path
import toy.used
file = Path(os.environ["MEDGAN_DATA"]) / "set.txt"
print(toy.used.GREETING, file.read_text() if file.exists() else "a surrogate")
"""


def write(path: Path, *sources: str) -> None:
    kernel = {"kernelspec": {"name": "python3", "display_name": "Python 3", "language": "python"}}
    nbformat.write(new_notebook(cells=[new_code_cell(source) for source in sources], metadata=kernel), path)


def run(place: Place, name: str) -> Page:
    (page,) = execute_changed([name], place)
    return page


def shown(place: Place) -> str:
    """Return what the book would show below the reader's cell."""
    match = cache_of(place).match_cache_notebook(nbformat.read(place.root / READER, as_version=4))
    return cache_of(place).get_cache_bundle(match.pk).nb.cells[0].outputs[0].text.strip()


@contextmanager
def holding(path: Path, text: str) -> Iterator[None]:
    """Let ``path`` hold ``text`` for a moment."""
    before = path.read_text() if path.exists() else None
    path.write_text(text)
    yield
    if before is None:
        path.unlink()
    else:
        path.write_text(before)


@pytest.fixture(scope="module")
def place(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Place]:
    root = tmp_path_factory.mktemp("toy_book").resolve()
    for folder in ("chapters", "toy", "data", "home"):
        (root / folder).mkdir()
    (root / "toy" / "__init__.py").touch()
    (root / "toy" / "used.py").write_text("GREETING = 'hello'\n")
    (root / "toy" / "unused.py").write_text("X = 1\n")
    (root / "requirements.lock").write_text("nothing==1\n")
    write(root / READER, READ)
    with pytest.MonkeyPatch.context() as patch:
        patch.setenv("PYTHONPATH", str(root))
        patch.setenv("MEDGAN_DATA", str(root / "data"))
        patch.setenv("HOME", str(root / "home"))
        yield Place(root, root / "_build" / "smoke", "smoke")


@pytest.fixture(scope="module")
def executed(place: Place) -> Place:
    """Return the toy book after its reader was executed, without the data file."""
    page = run(place, READER)
    assert (page.reason, page.error) == ("not executed before", "")
    assert shown(place) == "hello a surrogate"
    return place


def test_nothing_changed(executed: Place) -> None:
    assert run(executed, READER).reason == ""


def test_same_text_written_again_is_no_change(executed: Place) -> None:
    used = executed.root / "toy" / "used.py"
    used.write_text(used.read_text())
    assert why_execute(READER, executed)[0] == ""


def test_imported_module_changed(executed: Place) -> None:
    with holding(executed.root / "toy" / "used.py", "GREETING = 'good day'\n"):
        assert why_execute(READER, executed)[0] == "toy/used.py changed"


def test_package_of_the_imported_module_changed(executed: Place) -> None:
    with holding(executed.root / "toy" / "__init__.py", "VERSION = 2\n"):
        assert why_execute(READER, executed)[0] == "toy/__init__.py changed"


def test_module_that_is_not_imported_changed(executed: Place) -> None:
    with (
        holding(executed.root / "toy" / "unused.py", "X = 2\n"),
        holding(executed.root / "toy" / "new.py", ""),
    ):
        assert why_execute(READER, executed)[0] == ""


def test_code_changed(executed: Place) -> None:
    notebook = executed.root / READER
    with holding(notebook, notebook.read_text().replace("a surrogate", "nothing")):
        assert why_execute(READER, executed)[0] == "its code changed"


@pytest.mark.parametrize(
    ("variable", "value"), [("MEDGAN_DATA", "elsewhere"), ("MEDGAN_DATA", None)], ids=["elsewhere", "unset"]
)
def test_data_root_changed(
    executed: Place, monkeypatch: pytest.MonkeyPatch, variable: str, value: str | None
) -> None:
    monkeypatch.setenv(variable, value) if value else monkeypatch.delenv(variable)
    assert why_execute(READER, executed)[0] == "MEDGAN_DATA changed"


def test_data_root_may_be_below_home_or_relative(executed: Place, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("HOME", str(executed.root))
    monkeypatch.setenv("MEDGAN_DATA", "~/data")
    assert why_execute(READER, executed)[0] == ""
    monkeypatch.chdir(executed.root)
    monkeypatch.setenv("MEDGAN_DATA", "data")
    assert why_execute(READER, executed)[0] == ""


@pytest.mark.parametrize(
    "text", ["", "{", "[]", "{}", '{"settings": {}, "seconds": 1, "files": [["read", "x"]]}', '{"files": 1}']
)
def test_damaged_or_old_record_is_none(executed: Place, text: str) -> None:
    with holding(executed.record(READER), text):
        assert why_execute(READER, executed) == ("not executed before", 0.0)


def test_lock_changed(executed: Place) -> None:
    with holding(executed.root / "requirements.lock", "nothing==2\n"):
        assert why_execute(READER, executed)[0] == "requirements.lock changed"


def test_another_profile_has_its_own_outputs(executed: Place) -> None:
    other = Place(executed.root, executed.root / "_build" / "cpu", "cpu")
    assert why_execute(READER, other)[0] == "not executed before"


def test_data_file_appears_changes_and_goes(executed: Place) -> None:
    file = executed.root / "data" / "set.txt"
    with holding(file, "real data"):
        assert why_execute(READER, executed)[0] == "data/set.txt changed"
        run(executed, READER)
        assert shown(executed) == "hello real data"
        with holding(file, "other data"):
            assert why_execute(READER, executed)[0] == "data/set.txt changed"
        assert why_execute(READER, executed)[0] == ""
    assert why_execute(READER, executed)[0] == "data/set.txt changed"


def test_module_edited_while_a_notebook_runs(place: Place) -> None:
    used = place.root / "toy" / "used.py"
    with holding(used, used.read_text()):
        # By a process that the trace knows nothing of, as a person's editor is.
        write(
            place.root / "chapters" / "editor.ipynb",
            "import os, subprocess, sys\nimport toy.used",
            "clean = {k: v for k, v in os.environ.items() if k != 'BOOK_TRACE'}",
            "code = \"open(sys.argv[1], 'a').write('# edited')\"",
            "command = [sys.executable, '-c', 'import sys;' + code, toy.used.__file__]",
            "subprocess.run(command, env=clean, check=True)",
        )
        assert run(place, "chapters/editor.ipynb").error == ""
        assert why_execute("chapters/editor.ipynb", place)[0] == "toy/used.py changed"


def test_file_that_a_notebook_itself_writes_does_not_execute_it_for_ever(place: Place) -> None:
    write(
        place.root / "chapters" / "writer.ipynb",
        "from pathlib import Path\nlog = Path('log.txt')\nlog.exists()\nlog.write_text('one line')",
    )
    run(place, "chapters/writer.ipynb")
    assert why_execute("chapters/writer.ipynb", place)[0] == ""


def test_failing_cell_is_named_and_nothing_is_kept(place: Place) -> None:
    write(
        place.root / "chapters" / "fails.ipynb",
        "x = 1",
        "raise ValueError('first line\\nlast line')",
        "x = 2",
    )
    page = run(place, "chapters/fails.ipynb")
    assert page.error == "code cell 2: ValueError: last line"
    assert why_execute("chapters/fails.ipynb", place)[0] == "not executed before"


def test_the_work_of_a_kernel_is_counted(place: Place) -> None:
    work = "import time\nwhile time.process_time() < 2:\n    pass"
    write(place.root / "chapters" / "works.ipynb", work)
    assert run(place, "chapters/works.ipynb").cpu_seconds >= 2


def test_dying_kernel_is_reported(place: Place) -> None:
    write(place.root / "chapters" / "dies.ipynb", "x = 1", "import os; os._exit(1)")
    assert run(place, "chapters/dies.ipynb").error == "code cell 2: the kernel died"


@pytest.mark.parametrize("program", ["false", "no-such-program"])
def test_kernel_that_cannot_start_is_reported_in_one_line(
    place: Place, monkeypatch: pytest.MonkeyPatch, program: str
) -> None:
    spec = place.root / "jupyter" / "kernels" / "python3" / "kernel.json"
    spec.parent.mkdir(parents=True, exist_ok=True)
    text = json.dumps({"argv": [program], "display_name": "Python 3", "language": "python"})
    spec.write_text(text, encoding="utf-8")
    monkeypatch.setenv("JUPYTER_PATH", str(place.root / "jupyter"))
    write(place.root / "chapters" / "unstarted.ipynb", "x = 1")
    error = run(place, "chapters/unstarted.ipynb").error
    assert error.startswith("its kernel did not start: ")
    assert "\n" not in error


def test_kernel_has_the_profile_few_threads_and_no_progress_bars(
    place: Place, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.delenv("OMP_NUM_THREADS", raising=False)
    names = ("MEDGAN_PROFILE", "TQDM_DISABLE", "OMP_NUM_THREADS")
    checks = [
        f"import os; {names[0]}, {names[1]}, threads = (os.environ[name] for name in {names})",
        "assert (MEDGAN_PROFILE, TQDM_DISABLE) == ('smoke', '1')",
        f"assert 1 <= int(threads) <= max(1, {os.cpu_count()} // 2)",
    ]
    write(place.root / "chapters" / "environment.ipynb", *checks)
    assert run(place, "chapters/environment.ipynb").error == ""
