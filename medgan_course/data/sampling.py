r"""Which samples: shares of classes, few labels, folds by subject, missing contrasts, misaligned pairs.

What is drawn once comes as positions in the set, to index with; what is drawn at every step is a
:class:`~medgan_course.data.batches.Stream`. Everything depends on its seed alone. Contrasts of the same
people, or of different ones, come from :meth:`medgan_course.data.Dataset.paired` and
:meth:`~medgan_course.data.Dataset.unpaired`.
"""

import warnings
from collections.abc import Sequence
from typing import Any, NamedTuple

import numpy as np
import torch
from sklearn.model_selection import GroupKFold, StratifiedGroupKFold
from torch import Tensor

from medgan_course.data import warp
from medgan_course.data.batches import Batch, Paired, Stream, check_numbers, seeded
from medgan_course.errors import CourseError


def stratified(labels: Tensor, n: int, *, seed: int = 0) -> Tensor:
    r"""Draw ``n`` samples in which the classes have the shares that they have in the whole.

    The samples of a class are shuffled, and the one at place :math:`r = 0, 1, \dots` of class :math:`k`,
    which has :math:`N_k` samples, gets the key

    .. math::

        t_{k,0} = 0, \qquad t_{k,r} = \frac{r + 1/2}{N_k} \quad (r > 0);

    the ``n`` smallest keys are drawn. This is the apportionment of Sainte-Laguë (1910), with the first seat
    of every class given beforehand: a rare class is not left out while :math:`n` is at least the number of
    classes.

    Parameters
    ----------
    labels : Tensor
        int64 ``(N,)``.
    n : int
        Samples in all, from 1 to N.
    seed : int
        Seed of the draw. With one seed the draws are nested: those of a smaller ``n`` are among those of a
        larger one, so a curve over budgets of labels adds labels and never swaps them.

    Returns
    -------
    Tensor
        int64 ``(n,)``, the samples' positions, in ascending order.

    Raises
    ------
    CourseError
        If there are no labels, fewer than ``n``, or several for a sample.

    See Also
    --------
    medgan_course.data.batches.label_budget : equally many of every class, whatever its share.
    """
    check_numbers(labels)
    if not 0 < n <= len(labels):
        raise CourseError(f"n is {n}, but must lie between 1 and the {len(labels)} samples there are.")
    order = torch.randperm(len(labels), generator=seeded("shares", seed))
    return order[_spread(labels.cpu()[order])[:n]].sort().values


def with_counts(labels: Tensor, counts: Sequence[int], *, seed: int = 0) -> Tensor:
    """Draw ``counts[k]`` samples of class ``k``: a set as imbalanced, or as balanced, as a study needs it.

    Parameters
    ----------
    labels : Tensor
        int64 ``(N,)``, from 0 to ``len(counts) - 1``.
    counts : sequence of int
        Samples to draw of class 0, 1, ...; 0 leaves a class out.
    seed : int
        Seed of the draw. With one seed the draws are nested: more of a class adds to those of fewer, and the
        samples of the other classes stay.

    Returns
    -------
    Tensor
        int64 ``(sum(counts),)``, the samples' positions, in ascending order.

    Raises
    ------
    CourseError
        If a class has fewer samples than that, there are labels without a count, or several for a sample.
    """
    check_numbers(labels)
    order = torch.randperm(len(labels), generator=seeded("counts", seed))
    classes = _classes(labels.cpu()[order], counts)
    return (
        torch.cat([order[positions[:n]] for positions, n in zip(classes, counts, strict=True)]).sort().values
    )


class ClassRatio(Stream[Batch]):
    """Batches with a fixed number of samples of every class, however many of them the set has.

    Each class is shuffled and used up in epochs of its own, so a rare one comes round more often. Classes
    alternate within a batch, so the part of it that one of several processes takes is mixed as the whole is.

    Parameters
    ----------
    images : Tensor
        ``(N, C, H, W)`` or ``(N, C, D, H, W)``.
    labels : Tensor
        int64 ``(N,)``, from 0 to ``len(counts) - 1``.
    counts : sequence of int
        Samples of class 0, 1, ... in a batch; 0 leaves a class out.
    seed : int
        Seed of the order.

    Raises
    ------
    CourseError
        If a class has fewer samples than that, there are labels without a count, several for a sample, or not
        as many as images.
    """

    def __init__(self, images: Tensor, labels: Tensor, counts: Sequence[int], *, seed: int = 0) -> None:
        check_numbers(labels, len(images))
        classes = _classes(labels.cpu(), counts)
        wanted = [(positions.to(images.device), n) for positions, n in zip(classes, counts, strict=True) if n]
        if not wanted:
            raise CourseError(f"counts are {list(counts)}: a batch needs at least one sample.")
        self.whole, self.batch_size, self.seed, self.apart = Batch(images, labels), tuple(counts), seed, False
        parts = _Parts(*(positions for positions, _ in wanted))
        self._positions: Stream[Any] = Stream(parts, [n for _, n in wanted], seed=seed, apart=True)
        self._mixed = _spread(torch.repeat_interleave(torch.tensor([n for _, n in wanted]))).to(images.device)

    def to(self, device: torch.device | str) -> "ClassRatio":
        """Return the same stream with its tensors on ``device``."""
        whole, counts = self.whole.to(device), self.batch_size
        assert not isinstance(counts, int)
        return ClassRatio(whole.images, whole.labels, counts, seed=self.seed)

    def __getitem__(self, step: int) -> Batch:
        chosen = torch.cat(list(self._positions[step]))[self._mixed]
        return Batch(self.whole.images[chosen], self.whole.labels[chosen])


def class_balanced(images: Tensor, labels: Tensor, batch_size: int, *, seed: int = 0) -> ClassRatio:
    """Return the stream of batches that have equally many samples of every class.

    Parameters
    ----------
    images, labels : Tensor
        ``(N, C, H, W)`` or ``(N, C, D, H, W)``, and int64 ``(N,)``.
    batch_size : int
        Samples in a batch, a multiple of the number of classes.
    seed : int
        Seed of the order.

    Raises
    ------
    CourseError
        If the batch cannot be shared out equally, a class has too few samples, or none, or there is not one
        label for each image.
    """
    check_numbers(labels, len(images))
    classes = int(labels.max()) + 1 if len(labels) else 0
    if not classes or batch_size < 1 or batch_size % classes:
        raise CourseError(
            f"A batch of {batch_size} cannot have equally many samples of {classes} classes: "
            "choose a multiple of their number."
        )
    return ClassRatio(images, labels, [batch_size // classes] * classes, seed=seed)


class Fold(NamedTuple):
    """Positions ``train`` and ``test``, int64, ascending: together all samples, with no subject in both."""

    train: Tensor
    test: Tensor


def kfold_by_subject(
    subject: Tensor, folds: int, *, labels: Tensor | None = None, seed: int = 0
) -> list[Fold]:
    """Divide the subjects into ``folds`` parts, each of which is the test set once.

    scikit-learn does it: ``StratifiedGroupKFold``, or without labels ``GroupKFold`` of the subjects in random
    order, which makes the folds as equally large as whole subjects allow.

    Parameters
    ----------
    subject : Tensor
        int64 ``(N,)``: whose sample it is.
    folds : int
        Parts, from 2 to the number of subjects.
    labels : Tensor or None
        int64 ``(N,)``: classes whose shares are to be alike in all folds, as far as whole subjects allow.
    seed : int
        Which subjects go together, among those that serve equally well.

    Returns
    -------
    list of Fold
        Every sample is in ``test`` once.

    Raises
    ------
    CourseError
        If there are fewer subjects than folds, if no class has a sample for every fold, or if there is not
        one subject, and one label, for each sample.
    """
    check_numbers(subject, name="subject")
    _, people_of = subject.cpu().unique(return_inverse=True)
    people = int(people_of.max()) + 1 if len(subject) else 0
    if not 2 <= folds <= people:
        raise CourseError(f"folds is {folds}, but must lie between 2 and the {people} subjects there are.")
    generator = seeded("folds", seed)
    if labels is None:
        # Of subjects with as many samples, their order decides.
        order = torch.randperm(people, generator=generator)
        parts = GroupKFold(folds).split(np.zeros(len(subject)), groups=order[people_of].numpy())
        return [Fold(torch.from_numpy(train), torch.from_numpy(test)) for train, test in parts]
    check_numbers(labels, len(subject))
    classes, most = labels.unique(return_counts=True)
    if most.max() < folds:
        raise CourseError(
            f"None of the {len(classes)} classes has {folds} samples: choose fewer folds, or leave the "
            "labels out."
        )
    splitter = StratifiedGroupKFold(folds, shuffle=True, random_state=generator.initial_seed())
    # It warns of a class with fewer samples than folds, which some folds then lack: as far as subjects allow.
    with warnings.catch_warnings():
        warnings.filterwarnings("ignore", message="The least populated class")
        parts = list(splitter.split(np.zeros(len(subject)), labels.cpu().numpy(), people_of.numpy()))
    return [Fold(torch.from_numpy(train), torch.from_numpy(test)) for train, test in parts]


class Incomplete(NamedTuple):
    """Images ``(N, M, ...)`` whose missing contrasts hold a constant, and bool ``(N, M)``: those present."""

    images: Tensor
    present: Tensor


def available(n: int, contrasts: int, *, missing: float = 0.5, seed: int = 0) -> Tensor:
    r"""Draw which contrasts each of ``n`` samples has; every sample has at least one.

    Each contrast is missing with probability :math:`p`, independently, given that not all :math:`M` are. So

    .. math::

        P(\text{contrast } m \text{ present}) = \frac{1 - p}{1 - p^M},

    and for :math:`p = 1/2` the :math:`2^M - 1` combinations are equally likely. Nothing is drawn twice: the
    first contrast that is present is number :math:`j = 0, \dots, M - 1` with probability
    :math:`p^j (1 - p)/(1 - p^M)`, and those after it are independent.

    Parameters
    ----------
    n, contrasts : int
        Samples, and contrasts :math:`M` of each. To drop contrasts of whole subjects, draw for the subjects
        and index with ``subject``.
    missing : float
        :math:`p`, from 0 (all are there) to below 1.
    seed : int
        Seed of the draw.

    Returns
    -------
    Tensor
        bool ``(n, contrasts)``, True where the contrast is there.

    Raises
    ------
    CourseError
        If a number is out of its range.
    """
    if n < 1 or contrasts < 1 or not 0 <= missing < 1:
        raise CourseError(
            f"{n} samples of {contrasts} contrasts, each missing with probability {missing:g}, cannot be "
            "drawn: both numbers must be 1 or more, and the probability at least 0 and below 1."
        )
    generator = seeded("available", seed)
    place = torch.arange(contrasts)
    first = torch.multinomial(missing ** place.double(), n, replacement=True, generator=generator)[:, None]
    others = torch.rand(n, contrasts, generator=generator) >= missing
    return (place == first) | ((place > first) & others)


def hidden(images: Tensor, present: Tensor, *, fill: float = -1.0) -> Incomplete:
    """Return ``images`` with ``fill``, black unless told otherwise, in contrasts that are not ``present``.

    Parameters
    ----------
    images : Tensor
        ``(N, M, H, W)`` or ``(N, M, D, H, W)`` in [-1, 1], a channel for each contrast.
    present : Tensor
        bool ``(N, M)``, as :func:`available` draws it.
    fill : float
        What a missing contrast holds. A network cannot tell -1 from an image without signal: give it
        ``present`` as well.

    Raises
    ------
    CourseError
        If the two do not have the same samples and contrasts.
    """
    if images.shape[:2] != present.shape:
        raise CourseError(
            f"present is {tuple(present.shape)}, but the images have {tuple(images.shape[:2])} samples and "
            "contrasts."
        )
    there = present.to(images.device)[(..., *[None] * (images.ndim - 2))]
    return Incomplete(images.where(there, fill), present)


class Misaligned(NamedTuple):
    """Pairs that do not quite match.

    Attributes
    ----------
    source, target : Tensor
        ``(N, C, *space)`` in [-1, 1]; ``target`` is warped.
    field : Tensor
        ``(N, d, *space)`` pixels: what the target was warped with, by :func:`medgan_course.data.warp.apply`.
    aligned : Tensor
        The target as it was: what a result is scored against, never trained on.
    """

    source: Tensor
    target: Tensor
    field: Tensor
    aligned: Tensor


def misaligned(pairs: Paired, *, rms: float, width: float, seed: int = 0) -> Misaligned:
    """Warp the targets of pairs by smooth random fields, one for each sample, that are known.

    Parameters
    ----------
    pairs : Paired
        Images ``(N, C, *space)``.
    rms : float
        Root mean square length of the displacement, pixels; 0 leaves the pairs as they are.
    width : float
        Full width at half maximum of the Gaussian that smooths the field, pixels. Above about 10 ``rms``
        hardly any field folds.
    seed : int
        Seed of the fields. That of sample ``i`` does not depend on how many there are.

    Returns
    -------
    Misaligned
        A whole for :class:`~medgan_course.data.batches.Stream`.

    Raises
    ------
    CourseError
        If source and target differ in their number or their sides, or a field folds.
    """
    source, target = pairs
    space = source.shape[2:]
    if len(source) != len(target) or space != target.shape[2:]:
        raise CourseError(
            f"Sources {tuple(source.shape)} and targets {tuple(target.shape)} are no pairs: both need "
            "as many images with the same sides."
        )
    noise = [
        torch.randn(len(space), *space, generator=seeded("misaligned", seed, i)) for i in range(len(source))
    ]
    field = warp.random_field(torch.stack(noise).to(target.device), rms=rms, width=width)
    return Misaligned(source, warp.apply(target, field), field, target)


class _Parts(tuple):
    """Tensors that are drawn apart, as a NamedTuple's fields would be, but as many as there are classes."""

    def __new__(cls, *parts: Tensor) -> "_Parts":
        return super().__new__(cls, parts)


def _spread(labels: Tensor) -> Tensor:
    """Return an order of samples in every beginning of which the classes have their shares."""
    keys = torch.empty(len(labels), dtype=torch.float64)
    for label in labels.unique():
        mine = labels == label
        n = int(mine.sum())
        keys[mine] = (torch.arange(n, dtype=torch.float64) + 0.5) / n
        keys[mine.nonzero()[0]] = 0
    return keys.argsort(stable=True)


def _classes(labels: Tensor, counts: Sequence[int]) -> list[Tensor]:
    """Return the positions of the samples of each class, after a check that each has as many as counted."""
    if len(labels) and not 0 <= int(labels.min()) <= int(labels.max()) < len(counts):
        raise CourseError(
            f"There are {len(counts)} counts for labels from {int(labels.min())} to {int(labels.max())}: "
            "give one for each class, 0 for a class that is left out."
        )
    classes = [(labels == label).nonzero()[:, 0] for label in range(len(counts))]
    for label, (positions, n) in enumerate(zip(classes, counts, strict=True)):
        if not 0 <= n <= len(positions):
            raise CourseError(
                f"counts asks for {n} samples of class {label}, but must lie between 0 and the "
                f"{len(positions)} there are."
            )
    return classes
