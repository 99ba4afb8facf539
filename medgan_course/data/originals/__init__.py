"""From a set's public original to the file the course reads: one module a set.

``prepare(name, source, into)`` makes the file that the card of ``name`` lists, in ``into``, and returns its
path:

- ``source`` is the archive or the folder as its publisher hands it out. ``None`` downloads it, which works
  for the sets in :data:`AUTOMATIC`, whose checksums were verified; :data:`BY_HAND` says where to get the
  others.
- The file appears complete or not at all. A download that is complete is not repeated at the next call.
- Archives are read, never unpacked, see :mod:`medgan_course.data.originals.archive`.

The names are those of the cards. ``"openms"`` gives the slices and ``"openms3d"`` the volumes. Each module
has a function that takes the files of the original, path and bytes, and returns the arrays.
"""

import errno
from collections.abc import Callable, Iterator
from pathlib import Path

import numpy as np

from medgan_course.data import files
from medgan_course.data.catalogue import Card, File, card
from medgan_course.data.originals import (
    bccd,
    busi,
    chase,
    hippocampus,
    mednist,
    nuclei,
    openms,
    tcga_lung_ct,
)
from medgan_course.data.originals.archive import Members, members
from medgan_course.errors import CourseError, did_you_mean
from medgan_course.writing import replacing

_MAKERS: dict[str, Callable[[Members], dict[str, np.ndarray]]] = {
    "bccd": bccd.arrays,
    "busi": busi.arrays,
    "chase": chase.arrays,
    "hippocampus": hippocampus.arrays,
    "mednist": mednist.arrays,
    "nuclei": nuclei.arrays,
    "openms": openms.slices,
    "openms3d": openms.volumes,
    "tcga_lung_ct": tcga_lung_ct.arrays,
}

_DOWNLOADS: dict[str, tuple[File, ...]] = {
    "hippocampus": hippocampus.DOWNLOADS,
    "mednist": mednist.DOWNLOADS,
    "openms": openms.DOWNLOADS,
    "openms3d": openms.DOWNLOADS,
}

AUTOMATIC = tuple(_DOWNLOADS)

BY_HAND = {
    "bccd": bccd.BY_HAND,
    "busi": busi.BY_HAND,
    "chase": chase.BY_HAND,
    "nuclei": nuclei.BY_HAND,
    "tcga_lung_ct": tcga_lung_ct.BY_HAND,
}


def prepare(name: str, source: Path | None, into: Path) -> Path:
    """Make the file of set ``name`` from its original, and return its path.

    Parameters
    ----------
    name : str
        One of the sets whose file the course makes: those of :data:`AUTOMATIC` and :data:`BY_HAND`.
    source : Path or None
        The archive or folder of the original; None to download it to where downloads go.
    into : Path
        Folder for the file.

    Raises
    ------
    CourseError
        If there is no such set, it must be got by hand, what lies in ``source`` is not its original, or the
        file cannot be written. Existing files stay as they are.
    UnreachableError
        If it cannot be downloaded now.
    """
    from tqdm import tqdm

    if name not in _MAKERS:
        raise CourseError(f"No original is known for {name!r}: {did_you_mean(name, _MAKERS)}")
    if source is None and name in BY_HAND:
        title = card(name).title
        raise CourseError(f"The original of {title} cannot be downloaded by itself: {BY_HAND[name]}")
    original = _downloaded(name) if source is None else members(source)
    with tqdm(original, desc=card(name).title, unit=" files", delay=1) as progress:
        arrays = _MAKERS[name](progress)
    sizes = card(name).files
    path = into / sizes[max(sizes)].name
    try:
        with replacing(path) as partial:
            np.savez_compressed(partial, allow_pickle=False, **arrays)
    except OSError as error:
        full = error.errno in (errno.ENOSPC, errno.EDQUOT)
        raise CourseError(
            f"{path} cannot be written ({error.strerror}): "
            + ("free some space and try again." if full else "choose another folder.")
        ) from error
    return path


def bring(described: Card, file: File) -> files.Found:
    """Bring a set's file to where downloads go, from its publisher or made from its original, once.

    Of several processes that want the same file one makes it and the others wait for it.

    Raises
    ------
    UnreachableError
        If it cannot be downloaded now, or never by itself, or the folder cannot be written.
    CourseError
        If the disk is full, or what came is not what the card describes.
    """
    if file.url is not None:
        return files.download(file)
    if described.name not in AUTOMATIC:
        raise files.UnreachableError("the course cannot download its original")
    path = files.own_folder() / file.name
    try:
        with files.alone(path):
            if not path.is_file():
                prepare(described.name, None, path.parent)
        return files.Found(path, path.read_bytes(), "made from its original in ~/.medmnist")
    except OSError as error:
        raise files.UnreachableError("~/.medmnist cannot be written") from error


def _downloaded(name: str) -> Iterator[tuple[str, bytes]]:
    for file in _DOWNLOADS[name]:
        found = files.download(file)
        if file.name.endswith((".tar", ".tar.gz")):
            yield from members(found.path)
        else:
            yield file.name, found.content
