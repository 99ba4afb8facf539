"""Real image sets, their cards, and the phantoms that stand in for them."""

from dataclasses import dataclass
from functools import lru_cache

import torch
from torch import Tensor

from medgan_course.data import files, layouts, surrogate
from medgan_course.data.batches import Batches, Paired, Unpaired
from medgan_course.data.catalogue import Card, card, names, table
from medgan_course.data.phantom.head import Heads, heads
from medgan_course.data.resize import area
from medgan_course.data.surrogate import surrogates_in_use
from medgan_course.errors import CourseError, did_you_mean

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
        Whether they are phantoms in the place of real images.
    mask : Tensor or None
        bool ``(N, 1, size, size)``: the lesions, where the set has them drawn.
    subject : Tensor or None
        int64 ``(N,)``: whose image it is, where that is known. No subject is in two splits.
    truth : Heads or None
        All that is true of the images of a computed set: tissues, lesions, severity.
    """

    card: Card
    size: int
    split: str
    images: Tensor
    labels: Tensor
    source: str
    is_surrogate: bool = False
    mask: Tensor | None = None
    subject: Tensor | None = None
    truth: Heads | None = None

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

    def contrast(self, *names: str) -> Tensor:
        """Return the channels called ``names``, ``(N, len(names), size, size)`` in [-1, 1].

        Raises
        ------
        CourseError
            If there is no such contrast.
        """
        known = self.card.contrasts
        for name in names:
            if name not in known:
                raise CourseError(f"{self.card.title} has no contrast {name!r}: {did_you_mean(name, known)}")
        return self.images[:, [known.index(name) for name in names]]

    def paired(self, source: str, target: str) -> Paired:
        """Return every slice in two contrasts: a whole for :class:`~medgan_course.data.batches.Stream`."""
        return Paired(self.contrast(source), self.contrast(target))

    def unpaired(self, a: str, b: str, *, seed: int = 0) -> Unpaired:
        """Return contrast ``a`` of one half of the subjects and contrast ``b`` of the other half.

        Parameters
        ----------
        a, b : str
            Contrasts.
        seed : int
            Which subjects are in which half.

        Returns
        -------
        Unpaired
            A whole for ``Stream(..., apart=True)``. No subject is in both.

        Raises
        ------
        CourseError
            If there is no such contrast, or the subjects are fewer than two or not known.
        """
        everybody = torch.empty(0) if self.subject is None else self.subject.unique()
        if self.subject is None or len(everybody) < 2:
            raise CourseError(
                f"The {self.split} split of {self.card.title} has {len(everybody)} known subjects; unpaired "
                "contrasts need at least two, so that nobody is in both."
            )
        order = torch.randperm(len(everybody), generator=torch.Generator().manual_seed(seed))
        first = torch.isin(self.subject, everybody[order[: len(order) // 2]])
        return Unpaired(self.contrast(a)[first], self.contrast(b)[~first])

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
    the same shape, counts and labels take its place, and a notice says so. A set that is computed, such as
    ``"head2d"``, needs none of this.

    Parameters
    ----------
    name : str
        One of :func:`names`.
    size : int
        Image side in pixels: one of those on the card; for a computed set any from 16.
    split : {"train", "val", "test"}
        Which part of the set; some have fewer.
    download : bool
        Whether a file may be fetched.

    Returns
    -------
    Dataset
        Images in [-1, 1] (of a file: grey level / 127.5 - 1), labels, card, and where they come from.

    Raises
    ------
    CourseError
        If there is no such set, size or split; if ``MEDGAN_DATA`` is not a readable folder; if a file is
        damaged or not the set's; if a download has the wrong checksum or finds no disk space. Existing files
        stay as they are.
    """
    described = card(name)
    described.count(split)
    if not described.files:
        return _computed(described, size, split)
    file = described.file(size)
    found = files.find(file)
    reason = ""
    if found is None:
        try:
            if not download:
                raise files.UnreachableError("download=False forbids to fetch it")
            found = files.download(file)
        except files.UnreachableError as error:
            reason = f"{file.name} is in no data folder of this machine and {error}"
            surrogate.announce(described, size, reason)
    if found is None:
        arrays, source = (
            surrogate.arrays(name, size, split),
            f"Surrogate: computed phantoms, because {reason}.",
        )
    else:
        arrays, source = layouts.read(found, described, size, split), found.describe(file)
    mask = None if arrays.mask is None else _shrunk(arrays.mask[:, None].float(), size) >= 0.5
    return Dataset(
        described,
        size,
        split,
        _shrunk(_scaled(arrays.pixels), size),
        arrays.labels.clone(),
        source,
        is_surrogate=found is None,
        mask=mask,
        subject=None if arrays.subject is None else arrays.subject.clone(),
    )


def _computed(described: Card, size: int, split: str) -> Dataset:
    labels, first = surrogate.population(described, split)
    truth = _heads(described.name, size, split)
    return Dataset(
        described,
        size,
        split,
        torch.cat([truth.images[name] for name in described.contrasts], dim=1),
        labels,
        f"Computed phantoms, subjects {first} to {first + len(labels) - 1} of seed {truth.seed}.",
        mask=truth.lesion.clone(),
        subject=truth.subject.clone(),
        truth=truth,
    )


@lru_cache(maxsize=4)
def _heads(name: str, size: int, split: str) -> Heads:
    labels, first = surrogate.population(card(name), split)
    # Another seed than that of surrogates: nobody is in both.
    return heads(
        range(first, first + len(labels)),
        size=size,
        seed=surrogate.SEED + 1,
        contrasts=card(name).contrasts,
        lesions=(labels == 1).tolist(),
    )


def _shrunk(images: Tensor, size: int) -> Tensor:
    return images if images.shape[-1] == size else area(images, size)


def _scaled(grey: Tensor) -> Tensor:
    """Return uint8 ``(N, H, W)`` or ``(N, H, W, C)`` as float32 ``(N, C, H, W)`` in [-1, 1]."""
    images = grey[:, None] if grey.ndim == 3 else grey.movedim(-1, 1)
    return images.to(torch.float32, memory_format=torch.contiguous_format).div_(127.5).sub_(1)
