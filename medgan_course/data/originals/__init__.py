"""From a set's public original to the file the course reads: one module a set, each with the same two names.

``prepare(name, source, into)`` makes the file that the card of ``name`` lists, in ``into``, and returns its path:

- ``source`` is the archive or the folder as its publisher hands it out. ``None`` downloads it, which works for the
  sets in :data:`AUTOMATIC`, whose checksums could be verified; for the others the card's ``original.by_hand`` says
  where to get it, and so does the error.
- The file appears complete or not at all. An interrupted download is taken up where it stood at the next call.
- Archives are unpacked with care: no path outside, no link, no device, no more than the set can hold.

The names are those of the cards. ``"openms"`` gives the slices and ``"openms3d"`` the volumes.
"""

from pathlib import Path

from medgan_course.errors import CourseError

AUTOMATIC = ("bccd", "hippocampus", "mednist", "openms", "openms3d")


def prepare(name: str, source: Path | None, into: Path) -> Path:
    """Make the file of set ``name`` from its original, and return its path.

    Parameters
    ----------
    name : str
        One of the sets whose file the course makes: those whose cards have an ``original``.
    source : Path or None
        The archive or folder of the original; None to download it.
    into : Path
        Folder for the file.

    Raises
    ------
    CourseError
        If there is no such set, it cannot be downloaded, or what lies in ``source`` is not its original.
        Existing files stay as they are.
    """
    raise CourseError(f"{name} cannot be prepared yet.")
