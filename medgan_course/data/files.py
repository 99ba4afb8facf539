"""The files of the sets: where they lie and how they come here."""

import errno
import hashlib
import os
from collections.abc import Iterator
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


def _own_folder() -> Path:
    return Path.home() / ".medmnist"


def _roots() -> Iterator[tuple[Path, str]]:
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
    yield _own_folder(), "in ~/.medmnist"


def find(file: File) -> Found | None:
    """Return ``file`` from the first data root that has it, or a folder ``medmnist`` or ``sets`` in it does.

    Files are opened, never looked for: whoever records the calls of ``open`` sees what a result depends on,
    also the files that were not there.

    Raises
    ------
    CourseError
        If MEDGAN_DATA is not a readable folder, or the file is there but cannot be read.
    """
    for root, where in _roots():
        for path in (root / "medmnist" / file.name, root / "sets" / file.name, root / file.name):
            try:
                with open(path, "rb") as stream:
                    return Found(path, stream.read(), where)
            except (FileNotFoundError, NotADirectoryError):
                continue
            except OSError as error:
                raise CourseError(f"{path} cannot be read ({error.strerror}): mend or remove it.") from error
    return None


def download(file: File) -> Found:
    """Fetch ``file`` into ``~/.medmnist``; it appears there complete and checked, or not at all.

    Raises
    ------
    UnreachableError
        If the server cannot be reached or does not deliver, or the folder cannot be written.
    CourseError
        If the disk is full, or what came is not what the card describes.
    """
    # Half a second of imports that most calls do not need.
    import pooch
    import requests

    if file.url is None:
        raise UnreachableError("the course cannot download this set yet")
    if file.url in _unreachable:
        raise UnreachableError(_unreachable[file.url])
    host = urlsplit(file.url).hostname
    # Its messages would print paths of this machine on the page.
    pooch.get_logger().setLevel("WARNING")
    try:
        path = pooch.retrieve(
            file.url,
            known_hash=f"md5:{file.md5}",
            fname=file.name,
            path=_own_folder(),
            downloader=pooch.HTTPDownloader(progressbar=True, timeout=TIMEOUT),
        )
        with open(path, "rb") as stream:
            return Found(Path(path), stream.read(), f"downloaded from {host} to ~/.medmnist")
    except requests.Timeout:
        reason = f"{host} did not answer within {TIMEOUT:g} s"
    except requests.HTTPError as error:
        reason = f"{host} answered {error.response.status_code} {error.response.reason}"
    except requests.exceptions.ChunkedEncodingError:
        reason = f"the transfer from {host} broke off"
    except requests.RequestException:
        reason = f"there is no connection to {host}"
    except ValueError as error:
        raise CourseError(
            f"What {file.url} delivered does not have the checksum of {file.name} and was not kept: "
            "try again, or download it by other means into ~/.medmnist."
        ) from error
    except OSError as error:
        if error.errno in (errno.ENOSPC, errno.EDQUOT):
            raise CourseError(
                f"There is no space left for {file.name} in {_own_folder()}, and nothing was kept: "
                "free some and try again."
            ) from error
        reason = "~/.medmnist cannot be written"
    _unreachable[file.url] = reason
    raise UnreachableError(reason)
