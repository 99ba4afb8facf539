"""The files of the sets: where they lie and how they come here."""

import errno
import hashlib
import os
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from urllib.parse import urlsplit

from medgan_course.data.catalogue import File
from medgan_course.errors import CourseError

TIMEOUT = 30.0  # seconds without an answer

# Asked once in a process: a set must not turn from phantoms to real images between two calls of one notebook.
_unreachable: dict[str, str] = {}


class UnreachableError(Exception):
    """Why a file cannot be had, as a clause to go after "because"."""


class UnreadableError(CourseError):
    """A file that is there, but cannot be read."""


@dataclass(frozen=True)
class Found:
    """A file's path and bytes, and in words that hold on any machine where it was found."""

    path: Path
    content: bytes
    where: str

    def describe(self, file: File) -> str:
        """Return one sentence: which file, where, and whether it is the official one."""
        md5 = hashlib.md5(self.content, usedforsecurity=False).hexdigest()
        if file.md5 is None:
            return f"{file.name} {self.where} (MD5 {md5[:8]}; no official file to compare with)."
        kind = (
            "the official bytes"
            if md5 == file.md5
            else f"a rebuilt copy: not the official bytes (MD5 {md5[:8]})"
        )
        return f"{file.name} {self.where}, {kind}."


def own_folder() -> Path:
    """Return the folder that downloads go to."""
    return Path.home() / ".medmnist"


def roots() -> Iterator[tuple[Path, str]]:
    """Yield the folders that may hold files, in the order in which they are asked, and each in words.

    Raises
    ------
    CourseError
        If MEDGAN_DATA is not a readable folder.
    """
    chosen = os.environ.get("MEDGAN_DATA")
    if chosen:
        root = Path(chosen).expanduser()
        try:
            os.listdir(root)
        except OSError as error:
            raise CourseError(
                f"MEDGAN_DATA is {chosen!r}, which cannot be used as a folder ({error.strerror}): "
                "set it to the folder that holds the data, or unset it."
            ) from error
        yield root, "in MEDGAN_DATA"
    yield own_folder(), "in ~/.medmnist"


def folders(root: Path) -> tuple[Path, ...]:
    """Return the folders of a data root that may hold files, in the order in which they are asked."""
    return root / "medmnist", root / "sets", root


def locate(file: File) -> Path | None:
    """Return where ``file`` lies: in the first data root that has it, or in ``medmnist`` or ``sets`` there.

    Files are opened, never looked for: whoever records the calls of ``open`` sees what a result depends on,
    also the files that were not there.

    Raises
    ------
    CourseError
        If MEDGAN_DATA is not a readable folder.
    UnreadableError
        If the file is there but cannot be read.
    """
    for root, _ in roots():
        for path in (folder / file.name for folder in folders(root)):
            try:
                with open(path, "rb"):
                    return path
            except (FileNotFoundError, NotADirectoryError):
                continue
            except OSError as error:
                raise UnreadableError(
                    f"{path} cannot be read ({error.strerror}): mend or remove it."
                ) from error
    return None


def find(file: File) -> Found | None:
    """Return the path and the bytes of ``file``, or None; raises what :func:`locate` does."""
    path = locate(file)
    if path is None:
        return None
    where = next(words for root, words in roots() if path.parent in folders(root))
    try:
        return Found(path, path.read_bytes(), where)
    except OSError as error:
        raise UnreadableError(f"{path} cannot be read ({error.strerror}): mend or remove it.") from error


def download(file: File) -> Found:
    """Fetch ``file`` into ``~/.medmnist``; it appears there complete and checked, or not at all.

    Raises
    ------
    UnreachableError
        If the server cannot be reached or does not deliver, or the folder cannot be written.
    CourseError
        If the disk is full, or what came is not what the card describes.
    """
    if file.url is None or file.md5 is None:
        raise UnreachableError("it is not published as such a file")
    if file.url in _unreachable:
        raise UnreachableError(_unreachable[file.url])
    path = own_folder() / file.name
    try:
        fetch(file.url, path, file.md5)
        with open(path, "rb") as stream:
            return Found(path, stream.read(), f"downloaded from {urlsplit(file.url).hostname} to ~/.medmnist")
    except UnreachableError as error:
        _unreachable[file.url] = str(error)
        raise
    except OSError as error:
        _unreachable[file.url] = "~/.medmnist cannot be written"
        raise UnreachableError(_unreachable[file.url]) from error


def fetch(url: str, path: Path, md5: str) -> None:
    """Download ``url`` to ``path``, which appears complete and checked, or not at all.

    Of several processes that want the same file one downloads it and the others wait for it. A transfer that
    broke off leaves ``path`` with ``.part`` behind, and the next call takes it up there if the server can.

    Parameters
    ----------
    url : str
        Address.
    path : Path
        Where the file shall be; missing folders are made.
    md5 : str
        Checksum, in hexadecimal digits.

    Raises
    ------
    UnreachableError
        If the server cannot be reached or does not deliver.
    CourseError
        If the disk is full, or what came has another checksum; it is not kept.
    OSError
        If the folder cannot be written.
    """
    import requests  # half a second that most calls do not need

    host = urlsplit(url).hostname
    partial = path.with_name(f"{path.name}.part")
    if path.is_dir():
        raise UnreadableError(f"{path} cannot be read (Is a directory): mend or remove it.")
    try:
        with alone(path):
            if path.is_file():
                return
            _transfer(url, partial)
            with open(partial, "rb") as stream:
                delivered = hashlib.file_digest(stream, "md5").hexdigest()
            if delivered != md5:
                partial.unlink()
                raise CourseError(
                    f"What {url} delivered does not have the checksum of {path.name} and was not kept: "
                    f"try again, or download it by other means into {path.parent.name}."
                )
            os.replace(partial, path)
    except requests.Timeout as error:
        raise UnreachableError(f"{host} did not answer within {TIMEOUT:g} s") from error
    except requests.HTTPError as error:
        raise UnreachableError(
            f"{host} answered {error.response.status_code} {error.response.reason}"
        ) from error
    except requests.exceptions.ChunkedEncodingError as error:
        raise UnreachableError(f"the transfer from {host} broke off") from error
    except requests.RequestException as error:
        raise UnreachableError(f"there is no connection to {host}") from error
    except OSError as error:
        if error.errno not in (errno.ENOSPC, errno.EDQUOT):
            raise
        partial.unlink(missing_ok=True)
        raise CourseError(
            f"There is no space left for {path.name} in {path.parent}, and nothing was kept: "
            "free some and try again."
        ) from error


@contextmanager
def alone(path: Path) -> Iterator[None]:
    """Let one process at a time make ``path``; the others wait, and should then look whether it is there.

    Raises
    ------
    OSError
        If the folder cannot be written.
    """
    import filelock

    path.parent.mkdir(parents=True, exist_ok=True)
    # Hidden, and gone with the process that holds it, whatever happens to that.
    lock = filelock.FileLock(path.with_name(f".{path.name}.lock"))
    try:
        try:
            lock.acquire(timeout=0)
        except filelock.Timeout:
            print(f"Another process is downloading {path.name}: waiting for it.", file=sys.stderr)
            lock.acquire()
        yield
    finally:
        if lock.is_locked:
            lock.release()
            Path(lock.lock_file).unlink(missing_ok=True)


def _transfer(url: str, partial: Path) -> None:
    """Append to ``partial`` what is still missing of ``url``, or start afresh if the server cannot go on."""
    import requests
    from tqdm import tqdm

    have = partial.stat().st_size if partial.exists() else 0
    wanted = {"Range": f"bytes={have}-"} if have else {}
    # Compressed on the way, a file would have another length than the server says.
    headers = {"Accept-Encoding": "identity", **wanted}
    with requests.get(url, headers=headers, stream=True, timeout=TIMEOUT) as answer:
        if answer.status_code == requests.codes.requested_range_not_satisfiable:
            partial.unlink()
            return _transfer(url, partial)
        answer.raise_for_status()
        resumed = answer.status_code == requests.codes.partial_content
        length = answer.headers.get("Content-Length")
        start = have if resumed else 0
        with (
            open(partial, "ab" if resumed else "wb") as stream,
            tqdm(
                total=start + int(length) if length else None,
                initial=start,
                unit="B",
                unit_scale=True,
                leave=False,
            ) as bar,
        ):
            for piece in answer.iter_content(2**16):
                bar.update(stream.write(piece))
    return None
