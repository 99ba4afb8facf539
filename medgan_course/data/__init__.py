"""Real image sets, their cards, and the phantoms that stand in for them."""

from dataclasses import dataclass

import torch
from torch import Tensor

from medgan_course.data import files, surrogate
from medgan_course.data.batches import Batches
from medgan_course.data.catalogue import Card, card, names, table
from medgan_course.data.surrogate import surrogates_in_use

__all__ = ["Card", "Dataset", "card", "load", "names", "surrogates_in_use"]


@dataclass(frozen=True, eq=False, repr=False)
class Dataset:
    """One split of an image set, in memory.

    Attributes
    ----------
    card : Card
        What is known about the set.
    size : int
        Image side in pixels.
    split : str
        ``"train"``, ``"val"`` or ``"test"``.
    images : Tensor
        float32 ``(N, C, size, size)`` in [-1, 1].
    labels : Tensor
        int64 ``(N,)``, positions in ``class_names``.
    source : str
        One sentence that says where the images come from.
    is_surrogate : bool
        Whether they are phantoms.
    """

    card: Card
    size: int
    split: str
    images: Tensor
    labels: Tensor
    source: str
    is_surrogate: bool = False

    @property
    def name(self) -> str:
        """The set's name, as :func:`load` takes it."""
        return self.card.name

    @property
    def class_names(self) -> tuple[str, ...]:
        """Name of label 0, 1, ..."""
        return self.card.class_names

    def __len__(self) -> int:
        return len(self.images)

    def batches(self, batch_size: int, *, seed: int = 0) -> Batches:
        """Return the endless, shuffled stream of mini-batches that training takes its steps from."""
        return Batches(self.images, self.labels, batch_size, seed=seed)

    def _summary(self) -> dict[str, str]:
        counts = torch.bincount(self.labels, minlength=len(self.class_names)).tolist()
        return {
            "Images": f"{len(self):,} ({self.split}), {self.size} × {self.size} px, {self.card.content}",
            "Labels": ", ".join(
                f"{label} {name} ({n:,})"
                for label, (name, n) in enumerate(zip(self.class_names, counts, strict=True))
            ),
            "Source": self.source,
            "Licence": "none needed, computed" if self.is_surrogate else self.card.licence,
        }

    @property
    def _title(self) -> str:
        return f"Phantoms in the place of {self.card.title}" if self.is_surrogate else self.card.title

    def __repr__(self) -> str:
        return "\n".join([self._title, *(f"  {key:8} {value}" for key, value in self._summary().items())])

    def _repr_html_(self) -> str:
        return f"<strong>{self._title}</strong>{table(self._summary())}"


def load(name: str, *, size: int = 28, split: str = "train", download: bool = True) -> Dataset:
    """Load one split of an image set.

    The file is taken from the folder that the environment variable ``MEDGAN_DATA`` names, else from
    ``~/.medmnist``, else downloaded to there from the set's own server. If none of these has it, phantoms of
    the same shape, counts and labels take its place, and a notice says so.

    Parameters
    ----------
    name : str
        One of :func:`names`.
    size : int
        Image side in pixels.
    split : {"train", "val", "test"}
        Which part of the set.
    download : bool
        Whether a file may be fetched.

    Returns
    -------
    Dataset
        Images in [-1, 1] (grey level / 127.5 - 1), labels, card, and where they come from.

    Raises
    ------
    CourseError
        If there is no such set, size or split; if ``MEDGAN_DATA`` is not a readable folder; if a file is
        damaged or not the set's; if a download has the wrong checksum or finds no disk space. Existing files
        stay as they are.
    """
    described = card(name)
    file = described.file(size)
    described.count(split)
    found = files.find(file)
    if found is None:
        try:
            if not download:
                raise files.UnreachableError("download=False forbids to fetch it")
            found = files.download(file)
        except files.UnreachableError as error:
            reason = f"{file.name} is in no data folder of this machine and {error}"
            surrogate.announce(described, size, reason)
            grey, labels = surrogate.images_and_labels(name, size, split)
            source = f"Surrogate: computed phantoms, because {reason}."
            return Dataset(described, size, split, _scaled(grey), labels.clone(), source, is_surrogate=True)
    pixels, labels = files.read(found, described, size, split)
    return Dataset(
        described,
        size,
        split,
        _scaled(torch.from_numpy(pixels)),
        torch.from_numpy(labels),
        found.describe(file),
    )


def _scaled(grey: Tensor) -> Tensor:
    """Return uint8 ``(N, H, W)`` or ``(N, H, W, C)`` as float32 ``(N, C, H, W)`` in [-1, 1]."""
    images = grey[:, None] if grey.ndim == 3 else grey.movedim(-1, 1)
    return images.to(torch.float32, memory_format=torch.contiguous_format).div_(127.5).sub_(1)
