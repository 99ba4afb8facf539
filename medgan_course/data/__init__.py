"""Real image sets, their cards, and the phantoms that stand in for them."""

import math
from collections.abc import Callable
from dataclasses import dataclass
from functools import lru_cache
from importlib import import_module
from pathlib import Path

import torch
from torch import Tensor

from medgan_course.data import files, layouts, notices, originals, surrogate
from medgan_course.data.batches import Batches, Paired, Unpaired, seeded
from medgan_course.data.catalogue import Card, card, names, table
from medgan_course.data.layouts import Arrays
from medgan_course.data.phantom.common import Phantoms
from medgan_course.data.resize import area
from medgan_course.data.scale import GREY, Scale
from medgan_course.data.surrogate import surrogates_in_use
from medgan_course.errors import CourseError, did_you_mean

BLOCK = 32  # images that are made smaller at a time

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
        float32 ``(N, C, size, size)``, of volumes ``(N, C, size, size, size)``, in [-1, 1].
    labels : Tensor
        int64 ``(N,)``, positions in ``class_names``; where an image may have several, ``(N, K)`` of 0 and 1.
    source : str
        One sentence that says where the images come from.
    is_surrogate : bool
        Whether they are phantoms in the place of real images.
    scales : tuple of Scale
        What -1 and 1 stand for: one for all channels, or one for each contrast.
    mask : Tensor or None
        bool, as ``images`` with one channel: the lesions, where the set has them drawn; several channels
        where it has several masks, as two experts drew them.
    subject : Tensor or None
        int64 ``(N,)``: whose image it is, where that is known. No subject is in two splits, unless asked for.
    truth : Phantoms or None
        All that is true of the images of a computed set: tissues, lesions, severity.
    instances : Tensor or None
        int32, as ``images`` with one channel: 0 is background, 1, 2, ... are the objects one by one.
    spacing : Tensor or None
        float32 ``(N, axes)``: millimetres from one pixel to the next, where that is known.
    """

    card: Card
    size: int
    split: str
    images: Tensor
    labels: Tensor
    source: str
    is_surrogate: bool = False
    scales: tuple[Scale, ...] = (GREY,)
    mask: Tensor | None = None
    subject: Tensor | None = None
    truth: Phantoms | None = None
    instances: Tensor | None = None
    spacing: Tensor | None = None

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

    @property
    def scale(self) -> Scale:
        """What -1 and 1 stand for, in every channel.

        Raises
        ------
        CourseError
            If it is not the same in every contrast.
        """
        if len(set(self.scales)) > 1:
            raise CourseError(
                f"The contrasts of {self.card.title} have scales of their own: ask scales, or restored(...)."
            )
        return self.scales[0]

    def restored(self, *contrasts: str) -> Tensor:
        """Return the images in the unit of their scale: grey levels, Hounsfield units.

        Parameters
        ----------
        contrasts : str
            Those wanted; left out, all channels.

        Returns
        -------
        Tensor
            float32, as ``images``. What the scale clipped stays clipped.

        Raises
        ------
        CourseError
            If there is no such contrast.
        """
        if len(self.scales) == 1:
            return self.scales[0].restored(self.contrast(*contrasts) if contrasts else self.images)
        known = self.card.contrasts
        parts = {name: self.contrast(name) for name in contrasts or known}
        return torch.cat(
            [self.scales[known.index(name)].restored(images) for name, images in parts.items()], dim=1
        )

    def contrast(self, *names: str) -> Tensor:
        """Return the contrasts called ``names`` in [-1, 1], as ``images`` with the channels of these.

        Raises
        ------
        CourseError
            If there is no such contrast.
        """
        known = self.card.contrasts
        for name in names:
            if name not in known:
                raise CourseError(f"{self.card.title} has no contrast {name!r}: {did_you_mean(name, known)}")
        each = self.card.channels // len(known)
        return self.images[:, [each * known.index(name) + i for name in names for i in range(each)]]

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
        order = torch.randperm(len(everybody), generator=seeded("unpaired", seed))
        first = torch.isin(self.subject, everybody[order[: len(order) // 2]])
        return Unpaired(self.contrast(a)[first], self.contrast(b)[~first])

    def _summary(self) -> dict[str, str]:
        several = self.labels.ndim > 1
        counts = self.labels.sum(dim=0) if several else self.labels.bincount(minlength=len(self.class_names))
        spans = zip(self.card.contrasts if len(self.scales) > 1 else [""], self.scales, strict=True)
        return {
            "Images": f"{len(self):,} ({self.split}), {self.card.sides(self.size)}, {self.card.content}",
            "Labels": ", ".join(
                f"{label} {name} ({n:,})"
                for label, (name, n) in enumerate(zip(self.class_names, counts.tolist(), strict=True))
            )
            + ("; any number of them" if several else ""),
            "Scale": "; ".join(
                f"{name} -1 is {scale.low:g} and 1 is {scale.high:g} {scale.unit}".strip()
                for name, scale in spans
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


def load(
    name: str,
    *,
    size: int = 28,
    split: str = "train",
    download: bool = True,
    subjects_in_several_splits: bool = False,
) -> Dataset:
    """Load one split of an image set.

    The file is taken from the folder that the environment variable ``MEDGAN_DATA`` names, else from
    ``~/.medmnist``, else downloaded to there from the set's own server, or made there from the original that
    is downloaded. If none of these has it, phantoms of the same shape, counts and labels take its place, and
    a notice says so. A set that is computed, such as
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
    subjects_in_several_splits : bool
        Share out the images, not the subjects, so that a subject has some in every split: the usual mistake,
        to be shown, and to be measured against the right split. The splits are as large as the right ones.

    Returns
    -------
    Dataset
        Images in [-1, 1] (of 8 bit: grey level / 127.5 - 1), labels, card, and where they come from.

    Raises
    ------
    CourseError
        If there is no such set, size or split; if ``MEDGAN_DATA`` is not a readable folder; if a file is
        damaged or not the set's; if the images would take more than half of the free memory; if a download
        has the wrong checksum or finds no disk space; if subjects shall be in several splits of a set that
        does not number them. Existing files stay as they are.
    """
    described = card(name)
    described.count(split)
    if not described.files:
        if subjects_in_several_splits:
            raise CourseError(
                f"{described.title} has one image a subject: leave out subjects_in_several_splits."
            )
        return _computed(described, size, split)
    file = described.file(size)
    if files.locate(file) is not None:
        _check_memory(described, size, split)
    found = files.find(file)
    reason = ""
    if found is None:
        try:
            if not download:
                raise files.UnreachableError("download=False forbids to fetch it")
            found = originals.bring(described, file)
        except files.UnreachableError as error:
            reason = f"{file.name} is in no data folder of this machine and {error}"
            surrogate.announce(described, size, reason)

    def arrays(part: str) -> Arrays:
        if found is None:
            return surrogate.arrays(name, size, part)
        return layouts.read(found, described, size, part)

    if subjects_in_several_splits:
        taken = _mixed(described, {part: arrays(part) for part in described.counts}, split)
    else:
        taken = arrays(split)
    if found is None:
        n, real = len(taken.labels), described.images[split]
        fewer = f"{n:,} for {real:,} images, " if n < real else ""
        source = f"Surrogate: computed phantoms, {fewer}because {reason}."
    else:
        source = found.describe(file)
        notices.licence(described)
    if subjects_in_several_splits:
        source += " Split by image: subjects are in several splits, so scores say nothing about new subjects."
    side = taken.pixels.shape[1]
    return Dataset(
        described,
        size,
        split,
        _in_blocks(lambda some: _shrunk(_scaled(some, described), size), taken.pixels, size),
        taken.labels.clone(),
        source,
        is_surrogate=found is None,
        scales=(described.scale,),
        mask=None
        if taken.mask is None
        else _in_blocks(
            lambda some: _shrunk(some.float(), size) >= 0.5, _with_channels(taken.mask, described), size
        ),
        subject=None if taken.subject is None else taken.subject.clone(),
        instances=None if taken.instances is None else _nearest(taken.instances[:, None], size),
        spacing=None if taken.spacing is None else taken.spacing * side / size,
    )


def _check_memory(described: Card, size: int, split: str) -> None:
    """Refuse images that would take more than half of the memory that is free, before the system does."""
    needed = 4 * described.images[split] * described.channels * size**described.dim
    free = _free_memory()
    if needed <= free / 2:
        return
    smaller = [side for side in described.files if side < size]
    remedy = f"choose size {' or '.join(map(str, smaller))}" if smaller else "use a machine that has more"
    raise CourseError(
        f"The {described.images[split]:,} {split} images of {described.title} at size {size} take "
        f"{needed / 1e9:,.1f} GB as float32, more than half of the {free / 1e9:,.1f} GB of memory that are "
        f"free: {remedy}."
    )


def _free_memory() -> float:
    """Return the bytes that new arrays may take without swapping; infinity where the system does not say."""
    try:
        lines = Path("/proc/meminfo").read_text("ascii").splitlines()
        return 1024.0 * next(int(line.split()[1]) for line in lines if line.startswith("MemAvailable:"))
    except (OSError, StopIteration):  # only Linux says it in a file
        return math.inf


def _mixed(described: Card, parts: dict[str, Arrays], split: str) -> Arrays:
    """Share out the images of all splits anew, whosever they are."""
    if parts[split].subject is None:
        raise CourseError(
            f"{described.title} does not say whose image is whose: leave out subjects_in_several_splits."
        )
    sizes = [len(part.labels) for part in parts.values()]
    order = torch.randperm(sum(sizes), generator=seeded("split by image"))
    chosen = dict(zip(parts, order.split(sizes), strict=True))[split]
    whole = zip(*parts.values(), strict=True)
    return Arrays._make(None if one[0] is None else torch.cat(one)[chosen] for one in whole)


def _computed(described: Card, size: int, split: str) -> Dataset:
    truth = _phantoms(described.name, size, split)
    first, last = truth.subject[0], truth.subject[-1]
    return Dataset(
        described,
        size,
        split,
        torch.cat([truth.images[name] for name in described.contrasts], dim=1),
        truth.labels.clone(),
        f"Computed phantoms, subjects {first} to {last} of seed {truth.seed}.",
        scales=tuple(truth.scales[name] for name in described.contrasts),
        mask=truth.lesion.clone(),
        subject=truth.subject.clone(),
        truth=truth,
    )


@lru_cache(maxsize=4)
def _phantoms(name: str, size: int, split: str) -> Phantoms:
    described = card(name)
    labels, first = surrogate.population(described, split)
    family = import_module(f"medgan_course.data.phantom.{described.phantom}")
    # Another seed than that of surrogates: nobody is in both.
    return family.phantoms(
        range(first, first + len(labels)),
        size=size,
        seed=surrogate.SEED + 1,
        labels=labels.tolist(),
        contrasts=described.contrasts,
        **described.knobs,
    )


def _in_blocks(change: Callable[[Tensor], Tensor], images: Tensor, size: int) -> Tensor:
    """Apply ``change`` to some images at a time if it makes them smaller: as floats they need gigabytes."""
    if images.shape[2] == size or len(images) <= BLOCK:
        return change(images)
    return torch.cat([change(some) for some in images.split(BLOCK)])


def _shrunk(images: Tensor, size: int) -> Tensor:
    """Return images ``(N, C, *space)`` averaged to ``size``."""
    if images.shape[-1] == size:
        return images
    shrunk = area(images, size)
    # The third axis as the first two: an axis that has its size already stays as it is.
    return shrunk if images.ndim == 4 else area(shrunk.movedim(2, -1), size).movedim(-1, 2).contiguous()


def _nearest(objects: Tensor, size: int) -> Tensor:
    """Return the objects at the middle of the pixels of a smaller image: numbers have no mean."""
    side = objects.shape[-1]
    middle = ((torch.arange(size) + 0.5) * side / size).long()
    for axis in range(2, objects.ndim):
        objects = objects.index_select(axis, middle)
    return objects


def _with_channels(values: Tensor, described: Card) -> Tensor:
    return values[:, None] if values.ndim == 1 + described.dim else values


def _scaled(values: Tensor, described: Card) -> Tensor:
    """Return ``(N, *space)`` or ``(N, *space, C)`` as float32 ``(N, C, *space)`` in [-1, 1].

    The 256 levels of uint8 span the set's scale; other numbers are in its unit.
    """
    scale = GREY if values.dtype == torch.uint8 else described.scale
    images = values[:, None] if values.ndim == 1 + described.dim else values.movedim(-1, 1)
    images = images.to(torch.float32, memory_format=torch.contiguous_format)
    # As Scale.normalised, but in place: there are sets of gigabytes.
    return images.sub_(scale.low).mul_(2).div_(scale.high - scale.low).sub_(1).clamp_(-1, 1)
