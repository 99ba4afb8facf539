"""Write down which files a process depends on; ``book/execute.py`` puts this folder on ``PYTHONPATH``.

Python imports ``sitecustomize`` before anything else, so imports are seen too; child processes inherit it.
``BOOK_TRACE`` holds, as JSON, the ``log`` to append to, the ``roots`` below which files are of interest and
folders to ``skip`` there. Each line of the log is a JSON list: ``"read"``, ``"list"`` or ``"write"``, the
path, and at that moment a file's modification time (ns) and size, or null for a folder or nothing at all. A
library that opens files without Python (C++, Rust) goes unseen, unless Python looks at the file first.
"""

import importlib.util
import json
import os
import sys
from stat import S_ISDIR

LISTINGS = ("os.listdir", "os.scandir")
_stat = os.stat


def _start(log: str, roots: list[str], skip: list[str]) -> None:
    inside = tuple(os.path.join(root, "") for root in roots)
    outside = tuple(os.path.join(folder, "") for folder in skip)
    descriptor = os.open(log, os.O_WRONLY | os.O_APPEND | os.O_CREAT, 0o644)
    seen = set()

    def note(what: str, path: object) -> None:
        if not isinstance(path, str | bytes | os.PathLike):
            return  # an open file descriptor
        path = os.path.realpath(os.fsdecode(path))
        if path.endswith(".pyc"):
            try:
                path = importlib.util.source_from_cache(path)
            except ValueError:
                return  # compiled code that stands alone
        if not path.startswith(inside) or path.startswith(outside):
            return
        try:
            status = _stat(path)
            stamp = None if S_ISDIR(status.st_mode) else [status.st_mtime_ns, status.st_size]
        except OSError:
            stamp = None
        line = json.dumps([what, path, stamp]) + "\n"
        if line not in seen:
            seen.add(line)
            os.write(descriptor, line.encode())

    def hook(event: str, arguments: tuple) -> None:
        if event == "open":
            path, _, flags = arguments
            note("write" if flags & (os.O_WRONLY | os.O_RDWR) else "read", path)
        elif event == "os.rename":
            note("write", arguments[1])
        # The import system lists every package it looks into; the modules it then takes are seen as reads.
        elif event in LISTINGS and "importlib" not in sys._getframe(1).f_code.co_filename:
            note("list", arguments[0] or ".")

    def stat(path, *, dir_fd=None, follow_symlinks=True):
        # No audit event tells of Path.exists(), yet a data file that appears must be noticed.
        if dir_fd is None:
            note("read", path)
        return _stat(path, dir_fd=dir_fd, follow_symlinks=follow_symlinks)

    os.stat = stat
    for functions in (os.supports_dir_fd, os.supports_fd, os.supports_follow_symlinks):
        functions.add(stat)  # shutil asks whether os.stat is a member
    sys.addaudithook(hook)


if "BOOK_TRACE" in os.environ:
    _start(**json.loads(os.environ["BOOK_TRACE"]))
