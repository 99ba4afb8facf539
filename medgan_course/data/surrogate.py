"""Phantoms in the place of a set that cannot be had, and the notice that nobody can overlook."""

from functools import lru_cache
from importlib import import_module

import torch
from torch import Tensor

from medgan_course.data import notices
from medgan_course.data.catalogue import Card, card
from medgan_course.data.layouts import Arrays

SEED = 0
# Images and volumes in a split; a larger set gets a smaller stand-in with the same shares of classes.
MOST = {2: 5000, 3: 500}

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
    n = card.images[split] if most is None else min(most, card.images[split])
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
    """Return the counts among ``n`` images instead of ``images``; the largest takes what rounding leaves."""
    if n == images:
        return list(counts)
    shared = [max(1, round(count * n / images)) for count in counts]
    shared[shared.index(max(shared))] += round(sum(counts) * n / images) - sum(shared)
    return shared


@lru_cache(maxsize=4)
def arrays(name: str, size: int, split: str) -> Arrays:
    """Compute a split of phantoms, at most :data:`MOST`, with the labels of the real one.

    Nobody is in two splits. Every image is a subject of its own, also where the real set has several images
    of one. Where an image may have several labels, the phantom is ill if any of them says so, and which it is
    cannot be seen.
    """
    described = card(name)
    labels, first = population(described, split, MOST[described.dim])
    module, _, function = described.phantom.partition(".")
    render = getattr(import_module(f"medgan_course.data.phantom.{module}"), function or "render")
    shown = labels.any(dim=1).long() if described.multi_label else labels
    rendered = render(shown.tolist(), size=size, seed=SEED, first=first, **described.knobs)
    pixels, *drawn = rendered if isinstance(rendered, tuple) else (rendered,)
    masks = [one for one in drawn if one.dtype == torch.bool]
    return Arrays(
        pixels,
        labels,
        mask=torch.stack(masks, dim=1) if len(masks) > 1 else masks[0] if masks else None,
        subject=first + torch.arange(len(labels)),
        instances=next((one for one in drawn if one.dtype == torch.int32), None),
    )


def announce(card: Card, size: int, reason: str) -> None:
    """Say that phantoms stand in for ``card``, and why: once in a process for every set and size."""
    if (card.name, size) in _announced:
        return
    _announced.add((card.name, size))
    file = card.file(size)
    remedy = f"set MEDGAN_DATA to a folder that holds {file.name}" + (
        ", or allow the download, and start again" if file.url else " and start again"
    )
    text = (
        f"These are computed phantoms, not patients' images, because {reason}. "
        f"Pictures and numbers below describe the phantoms, not {card.title}. For real images "
        f"{remedy}."
    )
    notices.show("SURROGATE DATA", text, css_class="surrogate-data", style=notices.LOUD, role="alert")
