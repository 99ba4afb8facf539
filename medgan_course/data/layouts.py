"""What lies in the files of the sets: their arrays, checked against the card."""

from io import BytesIO
from typing import NamedTuple

import numpy as np
import torch
from torch import Tensor

from medgan_course.data.catalogue import Card
from medgan_course.data.files import Found
from medgan_course.errors import CourseError

MIN_BRAIN = 6000  # pixels of 1 mm2 that a slice must have to be used


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
