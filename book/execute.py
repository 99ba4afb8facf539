"""Execute exactly those notebooks that something they depend on has changed for.

Jupyter Book's own cache knows a notebook's code and nothing else: after a change in ``medgan_course`` or in
the data it would show old outputs. Here a kernel writes down every file it reads
(``trace/sitecustomize.py``), and a record of what those files held is kept beside the cache. A notebook is
executed again when its code, one of those files, or one of the :func:`settings` differs from the record.
"""

import hashlib
import json
import os
import platform
import sys
import tempfile
import time
from collections.abc import Iterator
from concurrent.futures import ProcessPoolExecutor, as_completed
from dataclasses import dataclass
from functools import cache
from pathlib import Path

import nbformat
from jupyter_cache import get_cache
from jupyter_cache.base import CacheBundleIn
from jupyter_client.kernelspec import NoSuchKernel
from nbclient import NotebookClient
from nbclient.exceptions import CellExecutionError, CellTimeoutError, DeadKernelError

TOGETHER = 2  # notebooks executed at the same time
CELL_TIMEOUT = 600  # seconds
TRACE = Path(__file__).resolve().parent / "trace"


@dataclass(frozen=True)
class Place:
    """Where the notebooks are and where what is made of them goes.

    Attributes
    ----------
    root : Path
        The repository: notebooks are named relative to it. Absolute and free of symbolic links.
    build : Path
        Holds the cache (``jupyter_cache/``) and the records (``deps/``) of one profile.
    profile : str
        ``MEDGAN_PROFILE`` of the kernels.
    """

    root: Path
    build: Path
    profile: str

    def record(self, notebook: str) -> Path:
        """Return the file that says what ``notebook`` depended on."""
        return self.build / "deps" / f"{notebook}.json"


@dataclass(frozen=True)
class Page:
    """What became of one notebook: seconds of its last execution, why it was executed now, how it failed.

    ``cpu_seconds`` is what its kernel computed, if it was executed now.
    """

    notebook: str
    seconds: float
    reason: str = ""
    error: str = ""
    cpu_seconds: float = 0.0


def execute_changed(notebooks: list[str], place: Place) -> Iterator[Page]:
    """Execute what has changed, two notebooks at a time, and yield every notebook's :class:`Page`.

    Outputs go to the cache only if every cell ran.
    """
    cache_of(place)  # two processes must not create its database at once
    changed = {}
    for notebook in notebooks:
        reason, seconds = why_execute(notebook, place)
        if reason:
            changed[notebook] = reason
        else:
            yield Page(notebook, seconds)
    for notebook, reason in changed.items():
        print(f"{notebook} will be executed: {reason}", flush=True)
    with ProcessPoolExecutor(TOGETHER) as pool:
        running = [pool.submit(execute, notebook, reason, place) for notebook, reason in changed.items()]
        for page in as_completed(running):
            yield page.result()


def why_execute(notebook: str, place: Place) -> tuple[str, float]:
    """Return what has changed since ``notebook`` was executed, or "", and the seconds that it took."""
    try:
        record = json.loads(place.record(notebook).read_text(encoding="utf-8"))
        known, seconds = dict(record["settings"]), float(record["seconds"])
        files = [(what, path, contents) for what, path, contents in record["files"]]
    except (FileNotFoundError, ValueError, KeyError, TypeError):  # none, damaged, or old
        return "not executed before", 0.0
    for name, value in settings(notebook, place).items():
        if known.get(name) != value:
            return f"{name} changed", seconds
    for what, path, contents in files:
        if contents != _contents(what, path):
            return f"{os.path.relpath(path, place.root)} changed", seconds
    try:
        cache_of(place).match_cache_notebook(_read(notebook, place))
    except KeyError:
        return "its outputs are gone", seconds
    return "", seconds


def settings(notebook: str, place: Place) -> dict[str, str]:
    """Return everything but files that a notebook's outputs depend on."""
    _, code = cache_of(place).create_hashed_notebook(_read(notebook, place))
    return {
        "its code": code,
        "MEDGAN_PROFILE": place.profile,
        "MEDGAN_DATA": _data_root(),
        "requirements.lock": _contents("read", str(place.root / "requirements.lock")),
        "Python": platform.python_version(),
    }


def cache_of(place: Place):
    """Return the cache that ``book/build.py`` hands to Jupyter Book."""
    return get_cache(place.build / "jupyter_cache")


def execute(notebook: str, reason: str, place: Place) -> Page:
    """Execute ``notebook`` for ``reason``; if every cell ran, keep its outputs and what they depend on."""
    place.record(notebook).unlink(missing_ok=True)
    nb = _read(notebook, place)
    known = settings(notebook, place)
    reached = []
    client = NotebookClient(
        nb,
        timeout=CELL_TIMEOUT,
        kernel_name="python3",
        record_timing=False,  # the cache would take the cells' new metadata for another notebook
        extra_arguments=["--log-level=ERROR"],
        on_cell_execute=lambda cell, cell_index: reached.append(cell),
        resources={"metadata": {"path": str((place.root / notebook).parent)}},
    )
    with tempfile.TemporaryDirectory() as scratch:
        log = Path(scratch) / "trace"
        began, before = time.perf_counter(), _cpu_seconds_of_kernels()
        try:
            client.execute(env=_environment(place, log))
        except (CellExecutionError, NoSuchKernel, RuntimeError, OSError) as error:
            return Page(notebook, time.perf_counter() - began, reason, _report(len(reached), error))
        seconds, cpu_seconds = time.perf_counter() - began, _cpu_seconds_of_kernels() - before
        files = _dependencies(log)

    bundle = CacheBundleIn(nb, str(place.root / notebook), data={"execution_seconds": seconds})
    cache_of(place).cache_notebook_bundle(bundle, check_validity=False, overwrite=True)
    record = place.record(notebook)
    record.parent.mkdir(parents=True, exist_ok=True)
    unfinished = record.with_suffix(".partial")
    contents = json.dumps({"settings": known, "seconds": seconds, "files": files}, indent=1)
    unfinished.write_text(contents, encoding="utf-8")
    os.replace(unfinished, record)
    return Page(notebook, seconds, reason, cpu_seconds=cpu_seconds)


def threads() -> str:
    """Return ``OMP_NUM_THREADS`` of a kernel: more threads than free cores make PyTorch many times slower."""
    return os.environ.get("OMP_NUM_THREADS", str(max(1, (os.cpu_count() or 1) // TOGETHER)))


def _cpu_seconds_of_kernels() -> float:
    """Return what the processes that this one has started and seen end have computed."""
    spent = os.times()
    return spent.children_user + spent.children_system


def _environment(place: Place, log: Path) -> dict[str, str]:
    data = {"MEDGAN_DATA": _data_root()} if _data_root() else {}
    environment = Path(sys.prefix).resolve()
    trace = {
        "log": str(log),
        "roots": [os.path.realpath(root) for root in (place.root, Path.home() / ".medmnist", *data.values())],
        "skip": [str(place.root / name) for name in ("_build", ".git", "book/trace")],
    }
    if place.root in environment.parents:
        trace["skip"].append(str(environment))
    return (
        os.environ
        | data
        | {
            "BOOK_TRACE": json.dumps(trace),
            "PYTHONPATH": os.pathsep.join(filter(None, (str(TRACE), os.environ.get("PYTHONPATH")))),
            "MEDGAN_PROFILE": place.profile,
            "OMP_NUM_THREADS": threads(),
            "TQDM_DISABLE": "1",
        }
    )


def _data_root() -> str:
    # A relative path is meant from here, not from the notebook's folder.
    given = os.environ.get("MEDGAN_DATA")
    return os.path.abspath(os.path.expanduser(given)) if given else ""


def _dependencies(log: Path) -> list[tuple[str, str, str]]:
    """Return ``(what, path, contents)`` of everything in the log, to compare with later contents."""
    last, written = {}, set()
    for what, path, seen in map(json.loads, log.read_text(encoding="utf-8").splitlines()):
        if what == "write":
            written.add(path)
        else:
            last[what, path] = seen
    return [
        # Changed by somebody else after the notebook read it: the next build must execute it again.
        (what, path, "another" if seen != stamp(path) and path not in written else _contents(what, path))
        for (what, path), seen in last.items()
    ]


def stamp(path: str) -> list[int] | None:
    """Return when a file was changed and its size, or None if it is none."""
    if not os.path.isfile(path):
        return None
    status = os.stat(path)
    return [status.st_mtime_ns, status.st_size]


def _contents(what: str, path: str) -> str:
    """Return the hash of a file, the names in a folder that was listed, or else whether there is anything."""
    if os.path.isdir(path):
        return "/".join(sorted(set(os.listdir(path)) - {"__pycache__"})) if what == "list" else "a folder"
    seen = stamp(path)
    return _sha256(path, *seen) if seen else "absent"


@cache
def _sha256(path: str, modified: int, size: int) -> str:
    with open(path, "rb") as file:
        return hashlib.file_digest(file, "sha256").hexdigest()


def _read(notebook: str, place: Place) -> nbformat.NotebookNode:
    return nbformat.read(place.root / notebook, as_version=4)


def _report(cell: int, error: Exception) -> str:
    """Return where and why execution stopped, in one line."""
    if not cell:
        return f"its kernel did not start: {_last_line(str(error))}"
    if isinstance(error, CellTimeoutError):
        return f"code cell {cell}: took longer than {CELL_TIMEOUT} s"
    if isinstance(error, DeadKernelError):
        return f"code cell {cell}: the kernel died"
    if isinstance(error, CellExecutionError):
        return f"code cell {cell}: {error.ename}: {_last_line(error.evalue)}"
    return f"code cell {cell}: {_last_line(str(error))}"


def _last_line(text: str) -> str:
    return (text.strip().splitlines() or [""])[-1]
