"""Files that are old or new, never half of each."""

import os
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path


@contextmanager
def replacing(path: Path) -> Iterator[Path]:
    """Yield a name beside ``path`` to write to; that file becomes ``path`` when the block ends without error.

    Whoever reads ``path``, at any moment, finds the old file or the new one, complete. Missing folders are
    made.

    Raises
    ------
    OSError
        If it cannot be written; ``path`` is then as it was. Callers say what to do about it.
    """
    # A name for each process, so that two that write the same file cannot mix; the suffix stays last, because
    # some writers add their own where it is missing.
    partial = path.with_name(f"{path.stem}.{os.getpid()}.partial{path.suffix}")
    path.parent.mkdir(parents=True, exist_ok=True)
    try:
        yield partial
        os.replace(partial, path)
    finally:
        partial.unlink(missing_ok=True)
