"""The files of an original, read out of a folder or an archive; nothing is ever unpacked to the disk."""

import stat
import tarfile
import zipfile
from collections.abc import Iterable, Iterator
from io import BytesIO
from pathlib import Path
from typing import IO, TYPE_CHECKING

from medgan_course.errors import CourseError

if TYPE_CHECKING:
    from PIL.Image import Image

LARGEST = 2**28  # bytes of one file: five times the largest of any set
TOTAL = 2**32  # bytes of all files
MOST = 200_000  # files

Members = Iterable[tuple[str, bytes]]


def members(source: Path) -> Iterator[tuple[str, bytes]]:
    """Yield the path, with ``/``, and the bytes of every regular file in ``source``, one after the other.

    Links, devices and the like are passed over and never followed. Since nothing is written, no path can lead
    anywhere.

    Parameters
    ----------
    source : Path
        A folder, or a zip or tar archive, compressed or not.

    Raises
    ------
    CourseError
        If ``source`` is neither, is damaged, or holds more than :data:`LARGEST`, :data:`TOTAL` or
        :data:`MOST` allow.
    """
    if source.is_dir():
        return _counted(source, _of_folder(source))
    try:
        if zipfile.is_zipfile(source):
            return _counted(source, _of_zip(source))
        if tarfile.is_tarfile(source):
            return _counted(source, _of_tar(source))
    except OSError as error:
        raise CourseError(f"{source} cannot be read ({error.strerror}).") from error
    raise CourseError(f"{source} is neither a folder nor a zip or tar archive, or it is damaged.")


def _counted(source: Path, files: Iterator[tuple[str, bytes]]) -> Iterator[tuple[str, bytes]]:
    number = total = 0
    try:
        for name, content in files:
            number, total = number + 1, total + len(content)
            if len(content) > LARGEST or total > TOTAL or number > MOST:
                raise CourseError(
                    f"{source} holds more than any original does ({name} was the last file read): "
                    "it may be an archive that grows without end."
                )
            yield name, content
    except CourseError:
        raise
    except Exception as error:  # the readers of zip, tar, gzip and lzma stumble over damage in many ways
        raise CourseError(f"{source} is truncated or damaged ({error}): download it once more.") from error


def _start(stream: IO[bytes]) -> bytes:
    return stream.read(LARGEST + 1)


def _of_folder(source: Path) -> Iterator[tuple[str, bytes]]:
    for path in sorted(source.rglob("*")):
        if path.is_file() and not path.is_symlink():
            with open(path, "rb") as stream:
                yield path.relative_to(source).as_posix(), _start(stream)


def _of_zip(source: Path) -> Iterator[tuple[str, bytes]]:
    with zipfile.ZipFile(source) as archive:
        for entry in archive.infolist():
            if entry.is_dir() or stat.S_ISLNK(entry.external_attr >> 16):
                continue
            with archive.open(entry) as stream:
                yield entry.filename, _start(stream)


def _of_tar(source: Path) -> Iterator[tuple[str, bytes]]:
    with tarfile.open(source, "r|*") as archive:
        for entry in archive:
            stream = archive.extractfile(entry) if entry.isreg() else None
            if stream is not None:
                yield entry.name, _start(stream)


def picture(name: str, content: bytes, mode: str) -> "Image":
    """Return a PNG, JPEG or TIFF file as a Pillow image of ``mode``: ``"L"`` grey, ``"RGB"`` colour.

    Raises
    ------
    CourseError
        If it is damaged, or no such image.
    """
    from PIL import Image

    try:
        with Image.open(BytesIO(content), formats=("PNG", "JPEG", "TIFF", "BMP")) as image:
            return image.convert(mode)
    except (OSError, SyntaxError, ValueError, Image.DecompressionBombError) as error:
        raise CourseError(f"{name} is damaged or no image: get the original once more.") from error


def lacks(title: str, what: str) -> CourseError:
    """Return the error for an original that is not the expected one."""
    return CourseError(
        f"This is not the original of {title}, or only a part of it: {what}. Give the archive as its "
        "publisher hands it out."
    )
