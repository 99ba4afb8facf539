"""Phantoms in the place of a set that cannot be had, and the notice that nobody can overlook."""

from functools import lru_cache
from importlib import import_module

import torch
from torch import Tensor

from medgan_course.data import notices, originals
from medgan_course.data.catalogue import Card, card
from medgan_course.data.layouts import Arrays

SEED = 0
# Images and volumes in a split; a larger set gets a smaller stand-in with the same shares of classes, which
# at its smallest size takes one core 20 s at most. Of images larger than FULL pixels there are fewer still.
MOST = {2: 2000, 3: 200}
FULL = 64

_announced: set[tuple[str, int]] = set()


def surrogates_in_use() -> frozenset[str]:
    """Return the names of the sets that this process has replaced by phantoms."""
    return frozenset(name for name, _ in _announced)


def population(card: Card, split: str, most: int | None = None) -> tuple[Tensor, int]:
    """Return the labels of the subjects of ``split``, shuffled, and the number of the first of them.

    Parameters
    ----------
    card : Card
        The set.
    split : str
        The split; no subject is in two.
    most : int, optional
        If the split has more images, so many subjects, with its shares of classes and at least one of each.
        As many as there are classes, if that is more.

    Returns
    -------
    labels : Tensor
        int64 ``(n,)``; ``(n, K)`` of 0 and 1 if the set has several labels an image, each with its own share,
        independent of the others.
    first : int
        Number of the first subject.
    """
    position = list(card.counts).index(split)
    first = sum(list(card.images.values())[:position])
    n = card.images[split] if most is None else min(max(most, 1), card.images[split])
    counts = _shared(card.counts[split], card.images[split], n)
    generator = torch.Generator().manual_seed(SEED + position)
    if card.multi_label:
        ranks = [torch.randperm(n, generator=generator) for _ in counts]
        labels = torch.stack(
            [(rank < count).long() for rank, count in zip(ranks, counts, strict=True)], dim=1
        )
        return labels, first
    labels = torch.repeat_interleave(torch.arange(len(counts)), torch.tensor(counts))
    return labels[torch.randperm(len(labels), generator=generator)], first


def _shared(counts: tuple[int, ...], images: int, n: int) -> list[int]:
    """Return the counts among ``n`` images instead of ``images``, by largest remainder; none becomes 0."""
    quotas = [count * n / images for count in counts]
    shared = [max(min(count, 1), int(quota)) for count, quota in zip(counts, quotas, strict=True)]
    missing = max(round(sum(quotas)), sum(count > 0 for count in counts)) - sum(shared)
    for _ in range(abs(missing)):
        over = [have - quota for have, quota in zip(shared, quotas, strict=True)]
        if missing > 0:
            shared[over.index(min(over))] += 1
        else:
            shared[max((k for k, have in enumerate(shared) if have > 1), key=over.__getitem__)] -= 1
    return shared


def render(card: Card, size: int, labels: Tensor, *, first: int = 0) -> Arrays:
    """Compute an image of a set for each label.

    The function that the card names returns images, or images and then tensors that are told apart by their
    type: masks are bool, objects int32, whose image it is int64 and the spacing float32. Where it does not
    say whose images they are, every image is a subject of its own, also if the real set has several of one.

    Parameters
    ----------
    card : Card
        The set.
    size : int
        Image side in pixels.
    labels : Tensor
        As :func:`population` returns them.
    first : int
        Number of the first subject.

    Returns
    -------
    Arrays
        As a file has them.
    """
    module, _, function = card.phantom.partition(".")
    family = import_module(f"medgan_course.data.phantom.{module}")
    draw = getattr(family, function or "render")
    drawn = draw(labels.tolist(), size=size, seed=SEED, first=first, **card.knobs)
    pixels, *others = drawn if isinstance(drawn, tuple) else (drawn,)
    masks = [one for one in others if one.dtype == torch.bool]
    rest = {one.dtype: one for one in others}
    instances = rest.get(torch.int32)
    if not masks and instances is not None:
        masks = [instances > 0]
    return Arrays(
        pixels,
        labels,
        mask=torch.stack(masks, dim=1) if len(masks) > 1 else masks[0] if masks else None,
        subject=rest.get(torch.int64, first + torch.arange(len(labels))),
        instances=instances,
        spacing=rest.get(torch.float32),
    )


@lru_cache(maxsize=4)
def arrays(name: str, size: int, split: str) -> Arrays:
    """Compute a split with the labels of the real one, at most :data:`MOST`; nobody is in two splits."""
    described = card(name)
    most = int(MOST[described.dim] * min(1.0, (FULL / size) ** described.dim))
    labels, first = population(described, split, most)
    return render(described, size, labels, first=first)


def announce(card: Card, size: int, reason: str) -> None:
    """Say that phantoms stand in for ``card``, and why: once in a process for every set and size."""
    if (card.name, size) in _announced:
        return
    _announced.add((card.name, size))
    file = card.file(size)
    if file.url is not None or card.name in originals.AUTOMATIC:
        remedy = f"medgan data fetch {card.name} --size {size}"
    else:
        remedy = f"medgan data prepare {card.name} --from ORIGINAL"
        remedy += f" (medgan data show {card.name} says where the original is had)"
    text = (
        f"These are computed phantoms, not patients' images, because {reason}. "
        f"Pictures and numbers below describe the phantoms, not {card.title}. For real images "
        f"run {remedy}, or set MEDGAN_DATA to a folder that holds {file.name}; then start again."
    )
    notices.show("SURROGATE DATA", text, css_class="surrogate-data", style=notices.LOUD, role="alert")
