"""What lies in the files of the sets: their arrays, checked against the card, and who is in which split.

Every set that is not MedMNIST's has a layout of its own, described at its function. Where several images are
of one subject, or nearly alike, all of them are in one split: the card lists the subjects of each, or else
subjects are ordered by the MD5 of their name and shared out 70 : 10 : 20, which needs no list and no
generator of random numbers that may change.
"""

import hashlib
import zipfile
from collections.abc import Callable
from io import BytesIO
from typing import NamedTuple

import numpy as np
import torch
from torch import Tensor

from medgan_course.data import duplicates
from medgan_course.data.catalogue import Card
from medgan_course.data.files import Found
from medgan_course.data.scale import GREY
from medgan_course.errors import CourseError

MIN_BRAIN = 6000  # pixels of 1 mm2 that a slice must have to be used
SHARES = {"train": 0.7, "val": 0.8, "test": 1.0}  # of the subjects, up to the end of each split
ALIKE = 0.95  # correlation from which two ultrasounds count as near-duplicates

_DAMAGED = "is truncated, altered or no npz file at all"

Contents = dict[str, np.ndarray]


class Arrays(NamedTuple):
    """One split as it lies in a file; the first axis of every tensor counts the images.

    Attributes
    ----------
    pixels : Tensor
        ``(N, side, side)`` or ``(N, side, side, side)``, with a last axis of channels where there are
        several: uint8 grey levels, or int16 in the unit of the card's scale.
    labels : Tensor
        int64 ``(N,)``; ``(N, K)`` of 0 and 1 where an image may have several of K labels.
    mask : Tensor or None
        bool, as ``pixels`` without channels; ``(N, M, ...)`` where the set has M masks of every image, as two
        experts draw them or two parts of an organ need them.
    subject : Tensor or None
        int64 ``(N,)``: whose image it is.
    instances : Tensor or None
        int32, as ``pixels`` without channels: 0 is background, 1, 2, ... are the objects one by one.
    spacing : Tensor or None
        float32 ``(N, axes)``: millimetres from one pixel to the next.
    """

    pixels: Tensor
    labels: Tensor
    mask: Tensor | None = None
    subject: Tensor | None = None
    instances: Tensor | None = None
    spacing: Tensor | None = None


def read(found: Found, card: Card, size: int, split: str) -> Arrays:
    """Return one split of a set's npz file.

    Raises
    ------
    CourseError
        If the file is damaged, or its arrays are not those that the card describes.
    """
    names, layout = _layout(card, split)
    side = card.file(size).side
    contents = _contents(found, card, side, names)
    return layout(found, card, side, split, contents)


def digest(found: Found, card: Card, size: int) -> str:
    """Return the MD5 of the arrays of a file, whatever way they were compressed.

    Of each array that :func:`read` reads, in the order of the splits, its name, type, shape and bytes count.
    Raises what :func:`read` does.
    """
    names = tuple(dict.fromkeys(name for split in card.counts for name in _layout(card, split)[0]))
    md5 = hashlib.md5(usedforsecurity=False)
    for name, array in _contents(found, card, card.file(size).side, names).items():
        md5.update(f"{name} {array.dtype.str} {array.shape}\n".encode() + array.tobytes())
    return md5.hexdigest()


def _layout(card: Card, split: str) -> "tuple[tuple[str, ...], Layout]":
    if card.name in _OWN:
        return _OWN[card.name]
    if card.contrasts:
        # One array of contrasts would be a copy of all; they are stacked for the split alone.
        return (*card.contrasts, "lesion", "subject"), _volumes if card.dim == 3 else _slices
    return (f"{split}_images", f"{split}_labels"), _medmnist


def _contents(found: Found, card: Card, side: int, names: tuple[str, ...]) -> Contents:
    # Sixteen times what the pixels need leaves room for masks and for wider numbers, and none for a zip bomb.
    limit = 2**20 + 16 * sum(card.images.values()) * side**card.dim * card.channels
    try:
        with zipfile.ZipFile(BytesIO(found.content)) as archive:
            sizes = {entry.filename: entry.file_size for entry in archive.infolist()}
        # NumPy would also take a member without the suffix, and unpack it whole.
        if sum(sizes[f"{name}.npy"] for name in names) > limit:
            raise _unusable(found, f"unpacks to more than {limit >> 20} MiB, many times what the set holds")
        with np.load(BytesIO(found.content), allow_pickle=False) as file:
            return {name: file[name] for name in names}
    except CourseError:
        raise
    except KeyError as error:
        raise _unusable(found, f"has no array {' or '.join(names)}") from error
    except Exception as error:  # the readers of zip, deflate and npy stumble over damage in many ways
        pickled = "allow_pickle" in str(error)  # what NumPy says of objects that it was told not to unpickle
        fault = "holds Python objects, which may run anything and are not read" if pickled else _DAMAGED
        raise _unusable(found, fault) from error


def _medmnist(found: Found, card: Card, side: int, split: str, contents: Contents) -> Arrays:
    """MedMNIST's own: ``{split}_images`` and ``{split}_labels``."""
    images, labels = contents[f"{split}_images"], contents[f"{split}_labels"]
    shape = (card.images[split], *[side] * card.dim) + ((card.channels,) if card.channels > 1 else ())
    if images.dtype != np.uint8 or images.shape != shape:
        raise _unusable(found, f"holds {split} images {images.shape} {images.dtype}, not {shape} uint8")
    width = len(card.class_names) if card.multi_label else 1
    if labels.dtype.kind not in "iu" or labels.size != len(images) * width:
        raise _unusable(
            found,
            f"holds {split} labels {labels.shape} {labels.dtype}, not one integer an image"
            + (" and finding" if card.multi_label else ""),
        )
    labels = labels.reshape((-1, width) if card.multi_label else -1).astype(np.int64)
    _check_labels(found, card, split, labels)
    return Arrays(torch.from_numpy(images), torch.from_numpy(labels))


def _slices(found: Found, card: Card, side: int, split: str, contents: Contents) -> Arrays:
    """Choose the split's subjects and the slices with at least 60 cm2 of brain, and make them square."""
    *contrasts, lesion, subject = contents.values()
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
    pixels = np.stack([_padded(image[chosen], side, 2) for image in contrasts], axis=-1)
    return Arrays(
        torch.from_numpy(pixels),
        torch.from_numpy(labels),
        torch.from_numpy(_padded(lesion[chosen] > 0, side, 2)),
        torch.from_numpy(subject[chosen].astype(np.int64)),
    )


def _volumes(found: Found, card: Card, side: int, split: str, contents: Contents) -> Arrays:
    """Turn the split's volumes, stored as (left, front, up), into (up, back, left), and make them cubes."""
    *contrasts, lesion, subject = contents.values()
    _check_shapes(found, card, contents, {name: 4 for name in contents} | {"subject": 1}, side)
    chosen = np.isin(subject, card.subjects[split])
    labels = np.zeros(chosen.sum(), np.int64)
    _check_labels(found, card, split, labels)

    def turned(volumes: np.ndarray) -> np.ndarray:
        return _padded(volumes[chosen].transpose(0, 3, 2, 1)[:, :, ::-1], side, 3)

    return Arrays(
        torch.from_numpy(np.stack([turned(volume) for volume in contrasts], axis=-1)),
        torch.from_numpy(labels),
        torch.from_numpy(turned(lesion > 0)),
        torch.from_numpy(subject[chosen].astype(np.int64)),
    )


def _busi(found: Found, card: Card, side: int, split: str, contents: Contents) -> Arrays:
    """Ultrasounds with the lesion's mask; near-duplicates, see :func:`alike`, stay together."""
    _check_shapes(found, card, contents, {"images": 3, "masks": 3, "labels": 1}, side)
    group = alike(contents["images"])
    chosen = _in_split(card, split, group.astype(str), group)
    labels = contents["labels"][chosen].astype(np.int64)
    _check_labels(found, card, split, labels)
    return Arrays(
        torch.from_numpy(contents["images"][chosen]),
        torch.from_numpy(labels),
        torch.from_numpy(contents["masks"][chosen] > 0),
        torch.from_numpy(group[chosen]),
    )


def _tcga_lung_ct(found: Found, card: Card, side: int, split: str, contents: Contents) -> Arrays:
    """Slices in Hounsfield units, int16, with their patient: subjects are patients in order of name."""
    _check_shapes(found, card, contents, {"images_hu": 3, "patient": 1, "contrast": 1, "spacing_mm": 2}, side)
    subject = np.unique(contents["patient"], return_inverse=True)[1].astype(np.int64)
    chosen = _in_split(card, split, contents["patient"], subject)
    labels = contents["contrast"][chosen].astype(np.int64)
    _check_labels(found, card, split, labels)
    return Arrays(
        torch.from_numpy(contents["images_hu"][chosen].astype(np.int16)),
        torch.from_numpy(labels),
        subject=torch.from_numpy(subject[chosen]),
        spacing=torch.from_numpy(contents["spacing_mm"][chosen].astype(np.float32)),
    )


def _hippocampus(found: Found, card: Card, side: int, split: str, contents: Contents) -> Arrays:
    """Volumes with 1 anterior and 2 posterior, stored as (right, front, up): turned, and made cubes."""
    _check_shapes(found, card, contents, {"images": 4, "labels": 4, "names": 1}, side)
    chosen = _in_split(card, split, contents["names"], np.arange(len(contents["names"])))
    labels = np.zeros(chosen.sum(), np.int64)
    _check_labels(found, card, split, labels)

    def turned(volumes: np.ndarray) -> np.ndarray:
        return _padded(volumes[chosen].transpose(0, 3, 2, 1)[:, :, ::-1, ::-1], side, 3)

    parts = turned(contents["labels"])
    return Arrays(
        torch.from_numpy(turned(contents["images"])),
        torch.from_numpy(labels),
        torch.from_numpy(np.stack([parts == 1, parts == 2], axis=1)),
    )


def _chase(found: Found, card: Card, side: int, split: str, contents: Contents) -> Arrays:
    """Photographs of both eyes of a child, ``Image_01L`` and ``01R``, with the vessels two experts drew."""
    shapes = {"images": 4, "vessels_1st": 3, "vessels_2nd": 3, "names": 1}
    _check_shapes(found, card, contents, shapes, side)
    eyes = [str(name) for name in contents["names"]]
    if any(len(eye) != 9 or not eye[6:8].isdigit() or eye[8] not in "LR" for eye in eyes):
        raise _unusable(found, "does not name its images Image_01L, Image_01R and so on")
    child = np.array([int(eye[6:8]) for eye in eyes])
    chosen = _in_split(card, split, child.astype(str), child)
    labels = np.array([int(eye[8] == "R") for eye in eyes])[chosen]
    _check_labels(found, card, split, labels)
    experts = [contents[name][chosen] > 0 for name in ("vessels_1st", "vessels_2nd")]
    return Arrays(
        torch.from_numpy(contents["images"][chosen]),
        torch.from_numpy(labels),
        torch.from_numpy(np.stack(experts, axis=1)),
        torch.from_numpy(child[chosen]),
    )


def _nuclei(found: Found, card: Card, side: int, split: str, contents: Contents) -> Arrays:
    """Stained tissue with every nucleus numbered."""
    _check_shapes(found, card, contents, {"images": 4, "instances": 3, "names": 1}, side)
    chosen = _in_split(card, split, contents["names"], np.arange(len(contents["names"])))
    labels = np.zeros(chosen.sum(), np.int64)
    _check_labels(found, card, split, labels)
    instances = contents["instances"][chosen].astype(np.int32)
    return Arrays(
        torch.from_numpy(contents["images"][chosen]),
        torch.from_numpy(labels),
        torch.from_numpy(instances > 0),
        instances=torch.from_numpy(instances),
    )


def _bccd(found: Found, card: Card, side: int, split: str, contents: Contents) -> Arrays:
    """Cells in the order of the smears they come from: three runs of them, cut between two smears."""
    _check_shapes(found, card, contents, {"images": 4, "labels": 1}, side)
    first = sum(card.images[earlier] for earlier in list(card.images)[: list(card.images).index(split)])
    chosen = slice(first, first + card.images[split])
    labels = contents["labels"][chosen].astype(np.int64)
    _check_labels(found, card, split, labels)
    return Arrays(torch.from_numpy(contents["images"][chosen]), torch.from_numpy(labels))


Layout = Callable[[Found, Card, int, str, Contents], Arrays]

_OWN: dict[str, tuple[tuple[str, ...], Layout]] = {
    "bccd": (("images", "labels"), _bccd),
    "busi": (("images", "masks", "labels"), _busi),
    "chase": (("images", "vessels_1st", "vessels_2nd", "names"), _chase),
    "hippocampus": (("images", "labels", "names"), _hippocampus),
    "nuclei": (("images", "instances", "names"), _nuclei),
    "tcga_lung_ct": (("images_hu", "patient", "contrast", "spacing_mm"), _tcga_lung_ct),
}


def alike(images: np.ndarray) -> np.ndarray:
    r"""Find the groups of images that are nearly the same picture.

    Two images are alike if the Pearson correlation of their 16 x 16 area means is at least :data:`ALIKE`, and
    in one group if a chain of alike images joins them. BUSI holds pictures of one lesion a moment or a
    centimetre apart, and copies with callipers drawn in.

    Parameters
    ----------
    images : ndarray
        ``(N, side, side)``, the side a multiple of 16.

    Returns
    -------
    ndarray
        int64 ``(N,)``: the first image of each one's group.
    """
    pairs = duplicates.near(torch.from_numpy(images)[:, None].float(), ALIKE, side=16)
    return duplicates.groups(list(pairs), len(images))


def _in_split(card: Card, split: str, names: np.ndarray, subject: np.ndarray) -> np.ndarray:
    """Return which images are in ``split``, by the subjects on the card or else by the order of their MD5."""
    if card.subjects:
        return np.isin(subject, card.subjects[split])
    order = sorted(
        {str(name) for name in names},
        key=lambda name: hashlib.md5(name.encode(), usedforsecurity=False).digest(),
    )
    ends = {part: round(share * len(order)) for part, share in SHARES.items()}
    first = {"train": 0, "val": ends["train"], "test": ends["val"]}[split]
    return np.isin(names, order[first : ends[split]])


def _padded(images: np.ndarray, side: int, dim: int) -> np.ndarray:
    margins = [((side - n) // 2, side - n - (side - n) // 2) for n in images.shape[1 : 1 + dim]]
    return np.pad(images, [(0, 0), *margins])


def _check_shapes(found: Found, card: Card, contents: Contents, axes: dict[str, int], side: int) -> None:
    """Refuse arrays that do not belong together: all of one length, images of the right kind and size."""
    first = next(iter(contents))
    space = contents[first].shape[1 : 1 + card.dim]
    text, numbers = ("names", "patient"), ("labels", "subject", "instances")
    for name, array in contents.items():
        if name == first or name in card.contrasts:
            kinds = "u" if card.scale == GREY else "i"
        elif name == "spacing_mm":
            kinds = "f"
        else:  # what is neither text nor a number is a mask
            kinds = "U" if name in text else "iu" if name in numbers else "iub"
        wrong = (
            array.ndim != axes[name] or len(array) != len(contents[first]) or array.dtype.kind not in kinds
        )
        if axes[name] > card.dim:
            wrong = wrong or array.shape[1 : 1 + card.dim] != space or max(space) > side
            wrong = wrong or array.shape[1 + card.dim :] not in ((), (card.channels,))
        if wrong or (card.dim == 2 and space != (side, side)):
            raise _unusable(found, f"holds {name} {array.shape} {array.dtype}, which is not what the set has")


def _check_labels(found: Found, card: Card, split: str, labels: np.ndarray) -> None:
    expected = card.count(split)
    classes = len(card.class_names)
    top = 1 if card.multi_label else classes - 1
    wrong = labels.size == 0 or labels.min() < 0 or labels.max() > top or len(labels) != card.images[split]
    if not wrong and card.balance_confirmed:
        found_counts = labels.sum(axis=0) if card.multi_label else np.bincount(labels, minlength=classes)
        wrong = tuple(found_counts) != expected
    if wrong:
        raise _unusable(found, f"does not hold the {split} labels of {card.title} ({expected} of each class)")


def _unusable(found: Found, fault: str) -> CourseError:
    return CourseError(f"{found.path} {fault}: replace it, or delete it and load again.")
