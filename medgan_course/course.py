r"""A course for nbgrader, made from the solutions, and a class graded in one go.

``medgan course init`` writes what nbgrader calls the source of an assignment: the solution without what only
its readers see. Each cell that calls ``check`` is a locked test of one point, and ends with a hidden one,
which asks the same check again with other random numbers. nbgrader does the rest, ``nbgrader
generate_assignment`` to ``nbgrader export``, with the :func:`settings` of this module.

``medgan course grade`` does what ``nbgrader autograde`` does, with nbgrader's own steps and into the same
gradebook, for a whole class: each submission has a process, and its kernel another, both forked from one that
has imported all that the notebook imports. It needs Linux or macOS.
"""

import ast
import json
import logging
import multiprocessing
import os
import re
import secrets
import signal
import sys
import threading
import time
import warnings
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor, as_completed
from dataclasses import dataclass
from glob import glob
from io import StringIO
from multiprocessing.connection import Connection
from multiprocessing.process import BaseProcess
from pathlib import Path
from typing import Any, ClassVar, NamedTuple

from medgan_course.errors import CourseError, did_you_mean
from medgan_course.exercises.generate import (
    CHECKED,
    Notebook,
    as_text,
    handed_out,
    student_version,
    without_solutions,
)

try:
    from jupyter_client import AsyncKernelManager
    from jupyter_client.provisioning import LocalProvisioner
    from nbclient.exceptions import CellTimeoutError, DeadKernelError
    from nbgrader import preprocessors, utils
    from nbgrader.api import Gradebook, MissingEntry
    from nbgrader.converters import Autograde, GenerateAssignment
    from nbgrader.coursedir import CourseDirectory
    from traitlets import Bool, Float
    from traitlets.config import Config, ConfigFileNotFound, PyFileConfigLoader
except ImportError as error:
    raise CourseError(
        f"Grading needs nbgrader ({error}): install it with pip install 'medgan-course[grade]'."
    ) from error

REPOSITORY = "https://github.com/medgan-course/medgan-course"
POINTS = 1  # of each check
MARGIN = 60.0  # seconds that nbgrader itself may take for a submission
UNFINISHED = ".grading"  # a folder, so that what lies in nbgrader's own is whole
PRINTED, SHOWN = 100_000, 100  # characters, and outputs of other kinds, that are kept of a cell

log = logging.getLogger(__name__)  # what was done to a submission that its author should know
processes = multiprocessing.get_context("forkserver")

_CONFIG = '''"""nbgrader reads this in the folder it is called in."""

from medgan_course.course import settings

c = get_config()  # noqa: F821
c.merge(settings())
c.CourseDirectory.course_id = "medgan"
# Where students fetch and submit: a folder that all of them can write to.
# c.Exchange.root = "/srv/nbgrader/exchange"
'''

_NO_MEMORY = re.compile(r"\bMemoryError\b|DefaultCPUAllocator")  # Python's and NumPy's, PyTorch's
_HINT = re.compile(r"(# hint\(.*\))\n")
_HIDDEN = """
### BEGIN HIDDEN TESTS
import sys as _sys

# Anew from the files, whatever the notebook has made of the name or of the module.
for _module in [name for name in _sys.modules if name.startswith("medgan_course.exercises")]:
    del _sys.modules[_module]
from medgan_course.exercises import check

{checks}
### END HIDDEN TESTS
"""


# A course -------------------------------------------------------------------------------------------------


def init(root: Path, folder: Path) -> list[str]:
    """Write an nbgrader course with one assignment for each solution, and return the assignments' names.

    Parameters
    ----------
    root : Path
        The repository; holds ``solutions/``.
    folder : Path
        Where to; it must not exist, or be empty.

    Raises
    ------
    CourseError
        If there are no solutions or one of them is malformed, or something is in ``folder``; nothing is
        written then.
    """
    solutions = sorted((root / "solutions").glob("*.ipynb"))
    if not solutions:
        raise CourseError(
            f"There are no solutions/*.ipynb in {root.resolve()}: run this in the course's repository."
        )
    if folder.exists() and (not folder.is_dir() or any(folder.iterdir())):
        raise CourseError(f"{folder} is not empty: name a folder that a new course may fill.")
    sources = {path.stem: source(path) for path in solutions}
    for name, text in sources.items():
        (folder / "source" / name).mkdir(parents=True)
        (folder / "source" / name / f"{name}.ipynb").write_text(text, "utf-8", newline="\n")
    (folder / "nbgrader_config.py").write_text(_CONFIG, "utf-8")
    # To make a gradebook nbgrader calls alembic, which lies beside python though no PATH may lead there.
    os.environ["PATH"] = os.pathsep.join((str(Path(sys.executable).parent), os.environ.get("PATH", "")))
    with _gradebook(CourseDirectory(config=_config(folder))) as gradebook:
        for name in sources:
            gradebook.update_or_create_assignment(name)
    return list(sources)


def source(path: Path) -> str:
    """Return the text of the assignment's source notebook for the solution at ``path``.

    The hidden tests' seeds are drawn anew each time.

    Raises
    ------
    CourseError
        If it is no notebook or has malformed markers.
    """
    student_version(path)  # reads every marker
    notebook: Notebook = handed_out(path)
    cells = []
    for cell in notebook["cells"]:
        if cell["cell_type"] != "code":
            cell["source"] = cell["source"].replace("](../chapters/", f"]({REPOSITORY}/blob/main/chapters/")
        elif "### BEGIN SOLUTION" in cell["source"]:
            cell["metadata"]["nbgrader"] = _role(cell, solution=True)
        elif CHECKED.search(cell["source"]):
            hint = _HINT.match(cell["source"])
            if hint is not None:  # the student removes the #, which a locked cell does not allow
                cells.append(cell | {"id": f"{cell['id']}-hint", "metadata": {}, "source": hint[1]})
                cell["source"] = cell["source"][hint.end() :]
            cell["metadata"]["nbgrader"] = _role(cell, grade=True, locked=True) | {"points": POINTS}
            cell["source"] += _HIDDEN.format(checks="\n".join(_again(cell["source"]))).rstrip()
        cells.append(cell)
    return as_text(notebook | {"cells": cells})


def _role(cell: Notebook, *, grade: bool = False, solution: bool = False, locked: bool = False) -> Notebook:
    """Return a cell's metadata for nbgrader."""
    role = {"grade": grade, "solution": solution, "locked": locked, "task": False}
    return role | {"schema_version": 3, "grade_id": cell["id"], "cell_type": "code"}


def _again(source: str) -> list[str]:
    """Return the cell's calls of ``check``, each with a seed of its own."""
    calls = []
    for line in ast.parse(source).body:
        call = line.value if isinstance(line, ast.Expr) else None
        if isinstance(call, ast.Call) and isinstance(call.func, ast.Name) and call.func.id == "check":
            call.keywords.append(ast.keyword("seed", ast.Constant(1 + secrets.randbelow(2**31))))
            calls.append(ast.unparse(call))
    return calls


def settings() -> Config:
    """Return what ``nbgrader_config.py`` sets: stubs that say the task, and an execution that is fair.

    nbgrader's own steps are kept but for three: :class:`Stubs`, :class:`Restore` and :class:`Execute`.
    """
    # A kernel reads it: the exercises do not depend on how long their examples train.
    os.environ.setdefault("MEDGAN_PROFILE", "smoke")
    os.environ.setdefault("TQDM_DISABLE", "1")  # what goes to stderr costs a test its points
    ours = {
        preprocessors.ClearSolutions: Stubs,
        preprocessors.OverwriteCells: Restore,
        preprocessors.Execute: Execute,
    }
    config = Config()
    config.Execute.timeout = 60  # seconds for a cell
    autograde = Autograde()
    for section, name, steps in (
        (config.GenerateAssignment, "preprocessors", GenerateAssignment().preprocessors),
        (config.Autograde, "sanitize_preprocessors", autograde.sanitize_preprocessors),
        (config.Autograde, "autograde_preprocessors", autograde.autograde_preprocessors),
    ):
        section[name] = [ours.get(step, step) for step in steps]
    return config


def _config(folder: Path) -> Config:
    """Return the settings of the course in ``folder``."""
    try:
        config = PyFileConfigLoader("nbgrader_config.py", str(folder)).load_config()
    except ConfigFileNotFound as error:
        raise CourseError(
            f"{folder} is no nbgrader course: medgan course init {folder} makes one."
        ) from error
    config.CourseDirectory.root = str(folder.resolve())
    if "db_url" not in config.CourseDirectory:
        # Several processes write: wait for one another longer than SQLite's five seconds.
        config.CourseDirectory.db_url = f"sqlite:///{folder.resolve() / 'gradebook.db'}?timeout=60"
    return config


class Stubs(preprocessors.base.NbGraderPreprocessor):
    """Replaces a solution by a stub that raises, and whose message is the task."""

    def preprocess_cell(self, cell: Any, resources: Any, cell_index: int) -> tuple[Any, Any]:
        """Empty one cell."""
        if utils.is_solution(cell):
            cell.source, _ = without_solutions(cell.source, f"cell {cell.metadata.nbgrader['grade_id']}")
        return cell, resources


# Grading one submission -----------------------------------------------------------------------------------


class Restore(preprocessors.OverwriteCells):
    """Overwrites the locked cells, and puts back those that were deleted.

    nbgrader's own way to put one back stops where the cell before it was deleted as well.
    """

    add_missing_cells = True

    def add_missing_grade_cells(self, nb: Any, resources: Any) -> tuple[Any, Any]:
        """Put each missing test behind the cell that it followed, as far as that is there."""
        source = self.gradebook.find_notebook(self.notebook_id, self.assignment_id)
        points = {cell.name: cell.max_score for cell in source.grade_cells}
        place = 0
        for cell in source.source_cells:
            there = [each.metadata.get("nbgrader", {}).get("grade_id") for each in nb.cells]
            if cell.name in there:
                place = there.index(cell.name) + 1
            elif cell.name in points:
                nb.cells.insert(place, self.missing_cell_transform(cell, points[cell.name]))
                place += 1
                log.warning("%s was deleted, and put back", cell.name)
        return nb, resources


class _OutOfMemory(Exception):
    """A cell got no more memory."""


class Execute(preprocessors.Execute):
    """Executes a notebook to its end, whatever a cell does to its kernel.

    A cell that does not stop, takes all memory or ends the kernel is left out: it fails, and all others are
    executed again in a new kernel. When the time is up all that has not been executed fails. To nbgrader a
    cell without output is a passed test.
    """

    seconds = Float(300, help="Time for the whole notebook.").tag(config=True)
    warm = Bool(False, help="Fork kernels instead of starting them.").tag(config=True)

    def preprocess(self, nb: Any, resources: Any, km: Any = None) -> tuple[Any, Any]:
        """Execute the notebook."""
        self.interrupt_on_timeout = False  # who catches the interruption would run on beside the rest
        self.shutdown_kernel = "immediate"
        self.startup_timeout = 300  # on a busy machine
        end = time.monotonic() + self.seconds
        limit = self.timeout
        self.timeout_func = lambda cell: max(1, min(limit, round(end - time.monotonic())))
        self.left_out: dict[int, str] = {}
        while True:
            self.current = -1
            try:
                return super().preprocess(nb, resources, km)
            except DeadKernelError:
                if self.current < 0:
                    raise
                self._leave_out("ended its kernel")
            except CellTimeoutError:
                self._leave_out("did not end in time")
            except _OutOfMemory:  # what it holds is missing in the cells after it
                self._leave_out("ran out of memory")
            if time.monotonic() > end:
                for index in range(self.current + 1, len(nb.cells)):
                    self.left_out[index] = "was not reached in time"
                for index in self.left_out:
                    self.preprocess_cell(nb.cells[index], resources, index)
                return nb, resources

    def _leave_out(self, reason: str) -> None:
        cell = self.nb.cells[self.current]
        name = cell.metadata.get("nbgrader", {}).get("grade_id") or f"cell {self.current + 1}"
        log.warning("%s %s", name, reason)
        self.left_out[self.current] = reason

    def preprocess_cell(self, cell: Any, resources: Any, index: int) -> tuple[Any, Any]:
        """Execute one cell, unless it is left out."""
        self.current, self.printed = index, 0
        if index not in self.left_out:
            super().preprocess_cell(cell, resources, index)
            errors = (each for each in cell.get("outputs", []) if each.output_type == "error")
            if any(_NO_MEMORY.search(f"{each.ename} {each.evalue}") for each in errors):
                raise _OutOfMemory
            return cell, resources
        if cell.cell_type == "code":
            said = f"This cell {self.left_out[index]}."
            failure = {"ename": "LeftOut", "evalue": said, "traceback": [said]}
            cell.outputs = [utils.NotebookNode(output_type="error", **failure)]
        return cell, resources

    def output(self, outs: Any, msg: Any, display_id: Any, cell_index: int) -> Any:
        """Keep an output, but of floods only the beginning and the errors."""
        content = msg["content"]
        if msg["msg_type"] == "stream":
            if utils.is_grade(self.nb.cells[cell_index]):
                content["name"] = "stdout"  # nbgrader gives no point to a test that warns
            room = max(0, PRINTED - self.printed)
            self.printed += len(content["text"])
            content["text"] = content["text"][:room]
            if not room:
                return None
        elif msg["msg_type"] != "error" and len(outs) > SHOWN:
            return None
        return super().output(outs, msg, display_id, cell_index)

    def create_kernel_manager(self) -> Any:
        """Return the manager of a kernel that is not started yet."""
        if self.warm:
            self.km = WarmManager(config=self.config)
            return self.km
        return super().create_kernel_manager()


class Wanted(NamedTuple):
    """A kernel that a grader asks for: the arguments of :func:`_kernel`."""

    connection_file: str
    cwd: str
    environment: dict[str, str]
    memory: float


class _Forked:
    """Another process's child, as far as ``LocalProvisioner`` asks a ``subprocess.Popen``."""

    stdin = stdout = stderr = None

    def __init__(self, pid: int) -> None:
        self.pid = pid

    def poll(self) -> int | None:
        try:
            os.kill(self.pid, 0)
        except ProcessLookupError:
            return 1
        return None

    def wait(self) -> int | None:
        while self.poll() is None:
            time.sleep(0.01)
        return self.poll()

    def send_signal(self, number: int) -> None:
        os.kill(self.pid, number)


class _WarmProvisioner(LocalProvisioner):
    """Has a kernel forked from the process that has imported everything."""

    parent: Any
    process: Any

    async def launch_kernel(self, cmd: list[str], **kwargs: Any) -> Any:
        host = WarmManager.host
        host.send(Wanted(self.parent.connection_file, kwargs["cwd"], kwargs["env"], self.parent.memory))
        self.pid = self.pgid = host.recv()
        self.process = _Forked(self.pid)
        return self.connection_info


class WarmManager(AsyncKernelManager):
    """Manages a forked kernel."""

    # Who forks kernels. A grader, itself forked, cannot: it would begin with a process that is not warm.
    host: ClassVar[Connection]
    memory = Float(4, help="GiB for the kernel, beside what it shares; on Linux only.").tag(config=True)

    def __init__(self, **kwargs: Any) -> None:
        super().__init__(**kwargs)
        self.provisioner = _WarmProvisioner(kernel_spec=self.kernel_spec, parent=self)


def _kernel(connection_file: str, cwd: str, environment: dict[str, str], memory: float) -> None:
    """Be a kernel, in a forked process."""
    import resource  # not on Windows

    from ipykernel.kernelapp import IPKernelApp

    os.setsid()  # so that whatever the kernel starts ends with it
    parent = multiprocessing.parent_process()
    assert parent is not None

    def follow() -> None:
        parent.join()
        os.killpg(0, signal.SIGKILL)

    threading.Thread(target=follow, daemon=True).start()
    os.chdir(cwd)
    os.environ.update(environment)
    statm = Path("/proc/self/statm")
    if statm.exists():
        there = int(statm.read_text().split()[0]) * resource.getpagesize()
        most = there + int(memory * 2**30)
        resource.setrlimit(resource.RLIMIT_AS, (most, most))
    IPKernelApp.launch_instance(
        ["-f", connection_file, "--HistoryManager.hist_file=:memory:", "--log-level=CRITICAL"]
    )


# Grading a class ------------------------------------------------------------------------------------------


@dataclass(frozen=True)
class Graded:
    """What became of one submission.

    Attributes
    ----------
    student : str
    score, most : float
        Points, as the gradebook has them, and how many there are.
    said : tuple of str
        What happened to it that its author should know.
    failed : bool
        Whether it could not be graded: what it says is why, and it is tried again next time.
    seconds : float
        Of the clock.
    """

    student: str
    score: float
    most: float
    said: tuple[str, ...]
    failed: bool
    seconds: float

    def __str__(self) -> str:
        what = f"{self.student}: {self.score:g} of {self.most:g} ({self.seconds:.1f} s)"
        return "; ".join((what, *self.said))


def grade(
    folder: Path,
    assignment: str,
    *,
    workers: int = 2,
    memory: float = 4.0,
    again: bool = False,
    say: Callable[[str], None] = print,
) -> list[Graded]:
    """Grade the submissions of an assignment that have not been graded, several at a time.

    Parameters
    ----------
    folder : Path
        The course.
    assignment : str
        Such as ``"04_dcgan"``.
    workers : int
        Submissions that are graded at the same time.
    memory : float
        GiB that a kernel may take beside what all share; on Linux only.
    again : bool
        Grade also what has been graded.
    say : callable
        Is told each submission's result in a line.

    Raises
    ------
    CourseError
        If there is no such course or assignment, or nothing was submitted.
    """
    if "forkserver" not in multiprocessing.get_all_start_methods():
        raise CourseError("Windows cannot fork kernels: use nbgrader autograde, or grade in WSL.")
    coursedir = CourseDirectory(config=_config(folder), assignment_id=assignment)
    notebooks = sorted(
        Path(coursedir.format_path(coursedir.source_directory, ".", assignment)).glob("*.ipynb")
    )
    if not notebooks:
        there = [path.parent.name for path in sorted((folder / coursedir.source_directory).glob("*/*.ipynb"))]
        raise CourseError(f"{folder} has no assignment {assignment!r}: {did_you_mean(assignment, there)}")
    students = _students(coursedir)
    if not students:
        where = coursedir.format_path(coursedir.submitted_directory, "STUDENT", assignment)
        raise CourseError(f"Nothing was submitted: nbgrader collect puts what was into {where}.")
    with _gradebook(coursedir) as gradebook:
        try:
            gradebook.find_notebook(notebooks[0].stem, assignment)
        except MissingEntry as error:
            raise CourseError(
                f"{assignment} was never released: run nbgrader generate_assignment {assignment}."
            ) from error
    waiting = [name for name in students if again or not _is_graded(coursedir, name)]
    if len(waiting) < len(students):
        say(f"{len(students) - len(waiting)} of {len(students)} submissions are graded already.")

    # Inherited by the process that all others are forked from, which starts with the first of them.
    os.environ.setdefault("OMP_NUM_THREADS", str(max(1, (os.cpu_count() or 1) // workers)))
    os.environ.setdefault("MPLBACKEND", "module://matplotlib_inline.backend_inline")
    processes.set_forkserver_preload([__name__, "ipykernel.kernelapp", *_imported(notebooks)])
    warnings.filterwarnings("ignore", module=r"nbgrader\.api")  # of its database, to nbgrader's authors
    results = []
    with ThreadPoolExecutor(workers) as pool:
        jobs = [pool.submit(_graded, folder, assignment, name, memory) for name in waiting]
        try:
            for job in as_completed(jobs):
                results.append(job.result())
                say(str(results[-1]))
        except BaseException:
            pool.shutdown(cancel_futures=True)
            raise
    return results


def _students(coursedir: CourseDirectory) -> list[str]:
    """Return who submitted something."""
    what = coursedir.submitted_directory, "(.*)", coursedir.assignment_id
    pattern = coursedir.format_path(*what, escape=True)
    folders = glob(coursedir.format_path(what[0], "*", what[2]))
    return sorted(match[1] for each in folders if (match := re.fullmatch(pattern, each)))


def _is_graded(coursedir: CourseDirectory, student: str) -> bool:
    """Say whether what a student submitted last has been graded."""
    submitted, graded = (
        coursedir.format_path(step, student, coursedir.assignment_id)
        for step in (coursedir.submitted_directory, coursedir.autograded_directory)
    )
    times = [coursedir.get_existing_timestamp(each) for each in (submitted, graded)]
    return Path(graded).is_dir() and (None in times or times[0] <= times[1])


def _gradebook(coursedir: CourseDirectory) -> Gradebook:
    return Gradebook(coursedir.db_url, coursedir.course_id)


def _imported(notebooks: list[Path]) -> list[str]:
    """Return the modules that notebooks import."""
    names: set[str] = set()
    for path in notebooks:
        for cell in json.loads(path.read_text("utf-8"))["cells"]:
            lines = "".join(cell["source"]) if cell["cell_type"] == "code" else ""
            names |= {match[1] for match in re.finditer(r"^(?:from|import) ([\w.]+)", lines, re.MULTILINE)}
    return sorted(names)


def _graded(folder: Path, assignment: str, student: str, memory: float) -> Graded:
    """Grade one submission in a process of its own, and wait for it, but not for ever."""
    start = time.monotonic()
    coursedir = CourseDirectory(config=_config(folder), assignment_id=assignment)
    host, there = processes.Pipe()
    process = processes.Process(target=_grade_one, args=(folder, assignment, student, memory, there))
    process.start()
    there.close()
    kernels: list[BaseProcess] = []
    said: tuple[str, ...]
    failure: str | None
    seconds = Execute(config=_config(folder)).seconds + MARGIN
    try:
        while True:
            if not host.poll(max(0, start + seconds - time.monotonic())):
                said, failure = (), f"took longer than {seconds:g} s"
                break
            answer = host.recv()
            if not isinstance(answer, Wanted):
                said, failure = answer
                break
            kernels.append(processes.Process(target=_kernel, args=answer, daemon=True))
            kernels[-1].start()
            host.send(kernels[-1].pid)
    except EOFError:
        process.join()
        said, failure = (), f"its grader was stopped (exit status {process.exitcode})"
    process.kill()
    process.join()
    for kernel in kernels:
        if kernel.is_alive() and kernel.pid is not None:
            os.killpg(kernel.pid, signal.SIGKILL)  # and what it has started
        kernel.join()
    with _gradebook(coursedir) as gradebook:
        gradebook.update_or_create_student(student)
        submission = gradebook.update_or_create_submission(assignment, student)
        if failure:
            for grade in (grade for notebook in submission.notebooks for grade in notebook.grades):
                if grade.auto_score is None:
                    grade.auto_score = 0
            gradebook.db.commit()
        said = (*said, f"not graded: {failure}") if failure else said
        seconds = time.monotonic() - start
        return Graded(student, submission.score, submission.max_score, said, bool(failure), seconds)


def _missing(coursedir: CourseDirectory) -> str | None:
    """Say which notebook is not there or cannot be read."""
    where = coursedir.assignment_id
    for path in sorted(Path(coursedir.format_path(coursedir.source_directory, ".", where)).glob("*.ipynb")):
        name, folder = path.name, coursedir.submitted_directory
        handed_in = Path(coursedir.format_path(folder, coursedir.student_id, where), name)
        if not handed_in.is_file():
            return f"there is no {name}"
        try:
            json.loads(handed_in.read_text("utf-8"))["cells"]
        except (ValueError, KeyError, TypeError):
            return f"{name} is no notebook"
    return None


def _why(report: str) -> str:
    """Return the error that nbgrader's report begins with: the others follow from it."""
    errors = re.findall(r"^\s*((?:\w+\.)*\w+(?:Error|Exception|Entry)\b.*)", report, re.MULTILINE)
    return (errors or ["nbgrader does not say why"])[0][:300]


def _grade_one(folder: Path, assignment: str, student: str, memory: float, host: Connection) -> None:
    """Let nbgrader grade one submission; answer with what was done to it, and why it failed if it did."""
    config = _config(folder)
    WarmManager.host = host
    config.Execute.warm = True
    config.WarmManager.memory = memory
    coursedir = CourseDirectory(config=config, assignment_id=assignment, student_id=student)
    final = Path(coursedir.format_path(coursedir.autograded_directory, student, assignment))
    coursedir.autograded_directory = UNFINISHED
    made = Path(coursedir.format_path(coursedir.autograded_directory, student, assignment))
    said = StringIO()
    log.addHandler(logging.StreamHandler(said))
    log.propagate = False
    warnings.filterwarnings("ignore", module=r"nbgrader\.api")
    logging.getLogger("asyncio").setLevel(logging.CRITICAL)  # of a killed kernel's channels
    autograde = Autograde(coursedir=coursedir, config=config, force=True)
    found = utils.capture_log(autograde)
    failure = None
    if found["success"]:
        if final.exists():
            utils.rmtree(str(final))
        final.parent.mkdir(parents=True, exist_ok=True)
        os.replace(made, final)
    else:
        failure = _missing(coursedir) or _why(found.get("log", "") + found["error"])
    host.send((tuple(dict.fromkeys(said.getvalue().splitlines())), failure))
