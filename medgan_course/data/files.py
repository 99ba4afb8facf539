"""The files of the sets: where they lie, how they come here, and what is in them."""

import errno
import hashlib
import os
from collections.abc import Iterator
from dataclasses import dataclass
from io import BytesIO
from pathlib import Path
from typing import NamedTuple
from urllib.parse import urlsplit

import numpy as np
import torch
from torch import Tensor

from medgan_course.data.catalogue import Card, File
from medgan_course.errors import CourseError

TIMEOUT = 30.0  # seconds without an answer
MIN_BRAIN = 6000  # pixels of 1 mm2 that a slice must have to be used

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


class Arrays(NamedTuple):
    """One split as it lies in a file.

    Attributes
    ----------
    pixels : Tensor
        uint8 ``(N, side, side)``, with a last axis of channels where there are several.
    labels : Tensor
        int64 ``(N,)``.
    mask : Tensor or None
        bool ``(N, side, side)``.
    subject : Tensor or None
        int64 ``(N,)``.
    """

    pixels: Tensor
    labels: Tensor
    mask: Tensor | None = None
    subject: Tensor | None = None


def read(found: Found, card: Card, size: int, split: str) -> Arrays:
    """Return one split of an npz file: in MedMNIST's layout, or slices in several contrasts.

    Raises
    ------
    CourseError
        If the file is damaged, or its arrays are not those that the card describes.
    """
    # One array of contrasts would be a copy of all; they are stacked for the split alone.
    names = (
        (*card.contrasts, "lesion", "subject") if card.contrasts else (f"{split}_images", f"{split}_labels")
    )
    try:
        with np.load(BytesIO(found.content), allow_pickle=False) as file:
            arrays = [file[name] for name in names]
    except KeyError as error:
        raise _unusable(found, f"has no array {' or '.join(names)}") from error
    except Exception as error:  # the readers of zip, deflate and npy stumble over damage in many ways
        raise _unusable(found, "is truncated, altered or no npz file at all") from error
    side = card.file(size).side
    read_layout = _slices if card.contrasts else _medmnist
    return read_layout(found, card, side, split, arrays)


def _medmnist(found: Found, card: Card, side: int, split: str, arrays: list[np.ndarray]) -> Arrays:
    images, labels = arrays
    expected = card.count(split)
    shape = (sum(expected), side, side) + ((card.channels,) if card.channels > 1 else ())
    if images.dtype != np.uint8 or images.shape != shape:
        raise _unusable(found, f"holds {split} images {images.shape} {images.dtype}, not {shape} uint8")
    if labels.dtype.kind not in "iu" or labels.size != len(images):
        raise _unusable(
            found, f"holds {split} labels {labels.shape} {labels.dtype}, not one integer an image"
        )
    labels = labels.reshape(-1).astype(np.int64)
    _check_labels(found, card, split, labels)
    return Arrays(torch.from_numpy(images), torch.from_numpy(labels))


def _slices(found: Found, card: Card, side: int, split: str, arrays: list[np.ndarray]) -> Arrays:
    """Choose the split's subjects and the slices with at least 60 cm2 of brain, and make them square."""
    *contrasts, lesion, subject = arrays
    for image in (*contrasts, lesion):
        if (
            image.dtype != np.uint8
            or image.ndim != 3
            or image.shape != lesion.shape
            or max(image.shape[1:]) > side
        ):
            raise _unusable(found, f"holds slices {image.shape} {image.dtype}, not {lesion.shape} uint8")
    if subject.dtype.kind not in "iu" or subject.shape != (len(lesion),):
        raise _unusable(found, f"holds subjects {subject.shape} {subject.dtype}, not one integer a slice")
    brain = (contrasts[0] > 0).sum(axis=(1, 2)) >= MIN_BRAIN
    chosen = np.isin(subject, card.subjects[split]) & brain
    labels = lesion[chosen].any(axis=(1, 2)).astype(np.int64)
    _check_labels(found, card, split, labels)
    height, width = lesion.shape[1:]
    top, left = (side - height) // 2, (side - width) // 2
    margins = ((0, 0), (top, side - height - top), (left, side - width - left))
    pixels = np.stack([np.pad(image[chosen], margins) for image in contrasts], axis=-1)
    return Arrays(
        torch.from_numpy(pixels),
        torch.from_numpy(labels),
        torch.from_numpy(np.pad(lesion[chosen] > 0, margins)),
        torch.from_numpy(subject[chosen].astype(np.int64)),
    )


def _check_labels(found: Found, card: Card, split: str, labels: np.ndarray) -> None:
    expected = card.count(split)
    if (
        labels.size == 0
        or labels.min() < 0
        or tuple(np.bincount(labels, minlength=len(expected))) != expected
    ):
        raise _unusable(found, f"does not hold the {split} labels of {card.title} ({expected} of each class)")


def _unusable(found: Found, fault: str) -> CourseError:
    return CourseError(f"{found.path} {fault}: replace it, or delete it and load again.")
