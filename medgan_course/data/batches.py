"""Mini-batches by step number: labelled images, pairs, unpaired sets, few labels among many images."""

import hashlib
from collections.abc import Callable, Sequence
from typing import Any, Generic, NamedTuple, TypeVar, cast

import torch
from torch import Tensor

from medgan_course.errors import CourseError


class Batch(NamedTuple):
    """Images ``(N, C, H, W)`` in [-1, 1] and labels ``(N,)``."""

    images: Tensor
    labels: Tensor

    def to(self, device: torch.device | str) -> "Batch":
        """Return the batch on ``device``."""
        return Batch(*(tensor.to(device, non_blocking=True) for tensor in self))


class Paired(NamedTuple):
    """Images ``(N, C, H, W)`` of the same things: ``source[i]`` is to become ``target[i]``."""

    source: Tensor
    target: Tensor


class Unpaired(NamedTuple):
    """Images of two kinds that do not belong together: ``a[i]`` and ``b[i]`` are drawn apart."""

    a: Tensor
    b: Tensor


class SemiSupervised(NamedTuple):
    """A few labelled images, and images ``(N, C, H, W)`` without labels."""

    labelled: Batch
    unlabelled: Tensor


T = TypeVar("T", bound=tuple)


def seeded(*purpose: object) -> torch.Generator:
    r"""Return a CPU generator whose numbers belong to one purpose alone.

    Its seed is the first 32 bits, lowest first, of the SHA-256 of the parts of ``purpose`` joined by "/".
    With the bare seed a draw would repeat the numbers with which a training of that seed starts its networks,
    and with a sum, step 1 of one seed would be step 0 of the next.

    Parameters
    ----------
    *purpose : object
        What is drawn, with which seed, and at which step, where there are steps: words and whole numbers.
    """
    digest = hashlib.sha256("/".join(map(str, purpose)).encode()).digest()
    # PyTorch's generator on the CPU takes in no more bits than these.
    return torch.Generator().manual_seed(int.from_bytes(digest[:4], "little"))


class Stream(Generic[T]):
    """Batch number ``step`` of an endless, freshly shuffled stream, as ``stream[step]``.

    The order depends on the seed and the step alone, so a resumed training sees the batches it would have
    seen, and two arms of a comparison see the same ones. The tensors stay where they are: put them on the GPU
    once and no loader is needed. The last samples of an epoch that do not fill a batch are left out of that
    epoch.

    Parameters
    ----------
    whole : NamedTuple of Tensor
        All there is, samples along the first axis; a batch is the same type, with fewer samples. A field may
        itself be a NamedTuple of tensors.
    batch_size : int or sequence of int
        Samples in a batch; with ``apart``, one number for each field may be given.
    seed : int
        Seed of the order.
    apart : bool
        False: the fields are drawn together, sample ``i`` of one with sample ``i`` of the others, and so have
        equally many. True: each field has an order, a length and epochs of its own.

    Raises
    ------
    CourseError
        If a batch is larger than the set, or fields drawn together differ in length.
    """

    def __init__(
        self, whole: T, batch_size: int | Sequence[int], *, seed: int = 0, apart: bool = False
    ) -> None:
        self.whole, self.batch_size, self.seed, self.apart = whole, batch_size, seed, apart
        parts: Sequence[Any] = whole if apart else (whole,)
        sizes = [batch_size] * len(parts) if isinstance(batch_size, int) else batch_size
        # A seed for each order: in one order, two parts of equal length would be pairs in disguise.
        self._orders = [
            _Order(_length(part), size, (seed, number))
            for number, (part, size) in enumerate(zip(parts, sizes, strict=True))
        ]

    def to(self, device: torch.device | str) -> "Stream[T]":
        """Return the same stream with its tensors on ``device``."""
        whole = cast(T, _map(lambda tensor: tensor.to(device), self.whole))
        return Stream(whole, self.batch_size, seed=self.seed, apart=self.apart)

    def __getitem__(self, step: int) -> T:
        if not self.apart:
            return cast(T, _chosen(self.whole, self._orders[0], step))
        parts = zip(self.whole, self._orders, strict=True)
        return type(self.whole)(*(_chosen(part, order, step) for part, order in parts))


class Batches(Stream[Batch]):
    """The stream of labelled images that most trainings take their steps from."""

    def __init__(self, images: Tensor, labels: Tensor, batch_size: int, *, seed: int = 0) -> None:
        super().__init__(Batch(images, labels), batch_size, seed=seed)


def check_numbers(numbers: Tensor | None, samples: int | None = None, *, name: str = "labels") -> None:
    """Refuse labels or subjects that are not one whole number for each sample.

    Raises
    ------
    CourseError
        If they are not, or not as many as ``samples``, or None, as a set has them that does not say.
    """
    wanted = "(N,)" if samples is None else f"({samples},)"
    if numbers is None:
        raise CourseError(
            f"{name} is None, but must be whole numbers {wanted}: this set does not say it, so take another."
        )
    if numbers.ndim != 1 or numbers.is_floating_point() or samples not in (None, len(numbers)):
        raise CourseError(
            f"{name} are {numbers.dtype} {tuple(numbers.shape)}, but must be whole numbers {wanted}: give "
            "one for each sample."
        )


def label_budget(labels: Tensor, per_class: int, *, seed: int = 0) -> Tensor:
    """Draw the few samples whose labels may be used.

    Parameters
    ----------
    labels : Tensor
        int64 ``(N,)``.
    per_class : int
        Samples to draw of every class.
    seed : int
        Seed of the draw. With one seed the draws are nested: the samples of a smaller budget are among those
        of a larger one, so a curve over budgets adds labels and never swaps them.

    Returns
    -------
    Tensor
        int64 ``(K * per_class,)``, the samples' positions, in ascending order.

    Raises
    ------
    CourseError
        If a class has fewer samples than that, or there are several labels for a sample.
    """
    check_numbers(labels)
    order = torch.randperm(len(labels), generator=seeded("label budget", seed))
    drawn = []
    for label in labels.unique().tolist():
        positions = order[labels.cpu()[order] == label]
        if not 0 < per_class <= len(positions):
            raise CourseError(
                f"per_class is {per_class}, but must lie between 1 and the {len(positions)} images "
                f"that class {label} has."
            )
        drawn.append(positions[:per_class])
    return torch.cat(drawn).sort().values


def semi_supervised(
    images: Tensor, labels: Tensor, batch_size: int, *, per_class: int, draw: int = 0, seed: int = 0
) -> Stream[SemiSupervised]:
    """Return a stream in which ``per_class`` images of each class have labels and all others have none.

    Parameters
    ----------
    images, labels : Tensor
        ``(N, C, H, W)`` and int64 ``(N,)``.
    batch_size : int
        Unlabelled images a step; and labelled ones, or all of them where there are fewer.
    per_class : int
        Labelled images of every class.
    draw : int
        Seed of :func:`label_budget`: which images have labels.
    seed : int
        Seed of the order of the batches.

    Returns
    -------
    Stream of SemiSupervised
        No image is in both parts.
    """
    few = label_budget(labels, per_class, seed=draw)
    rest = torch.ones(len(labels), dtype=torch.bool)
    rest[few] = False
    whole = SemiSupervised(Batch(images[few], labels[few]), images[rest])
    return Stream(whole, (min(batch_size, len(few)), batch_size), seed=seed, apart=True)


class _Order:
    """Which of ``n`` samples are in the batch at a step."""

    def __init__(self, n: int, batch_size: int, purpose: tuple[int, int]) -> None:
        if not 0 < batch_size <= n:
            raise CourseError(
                f"batch_size is {batch_size}, but must lie between 1 and the {n} images there are."
            )
        self.n, self.batch_size, self.purpose = n, batch_size, purpose
        self.per_epoch = n // batch_size
        self._epoch: int | None = None
        self._order = torch.empty(0)

    def at(self, step: int, device: torch.device) -> Tensor:
        epoch, position = divmod(step, self.per_epoch)
        if epoch != self._epoch:
            # A generator an epoch: any epoch's order can be had without drawing those before it.
            self._order = torch.randperm(self.n, generator=seeded(*self.purpose, epoch)).to(device)
            self._epoch = epoch
        return self._order[position * self.batch_size : (position + 1) * self.batch_size]


def _map(function: Callable[[Tensor], Tensor], part: Any) -> Any:
    """Return a tensor, or each tensor of a NamedTuple, after ``function``."""
    return function(part) if isinstance(part, Tensor) else type(part)(*(_map(function, x) for x in part))


def _leaves(part: Any) -> list[Tensor]:
    return [part] if isinstance(part, Tensor) else [leaf for x in part for leaf in _leaves(x)]


def _length(part: Any) -> int:
    lengths = {len(leaf) for leaf in _leaves(part)}
    if len(lengths) > 1:
        raise CourseError(
            f"A batch cannot be drawn from tensors of {' and '.join(map(str, sorted(lengths)))} samples: "
            "what belongs together has one entry for every sample."
        )
    return lengths.pop()


def _chosen(part: Any, order: _Order, step: int) -> Any:
    index = order.at(step, _leaves(part)[0].device)
    return _map(lambda tensor: tensor[index], part)
