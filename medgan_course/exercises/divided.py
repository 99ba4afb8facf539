"""People divided into parts: what the exercises on splits and on albums ask in common."""

from collections.abc import Callable, Iterator, Sequence
from itertools import combinations
from typing import Any

import torch
from torch import Tensor

from medgan_course.exercises.answer import Answer, CheckFailed, kind

SEEDS = range(6)


def people(n: int, ill: int) -> tuple[Tensor, Tensor]:
    """Make up whose image each one of a set is, in no order.

    Parameters
    ----------
    n, ill : int
        People, and how many of them are ill. Everybody has one to nine images.

    Returns
    -------
    subject : Tensor
        int64 ``(N,)``, a number from 0 to 999 for each of the people.
    ill : Tensor
        bool ``(N,)``.
    """
    who = torch.randperm(1_000)[:n]
    images = torch.randint(1, 10, (n,))
    order = torch.randperm(int(images.sum()))
    return who.repeat_interleave(images)[order], (torch.arange(n) < ill).repeat_interleave(images)[order]


def parts(found: Sequence[Any], subject: Tensor, *, names: tuple[str, ...]) -> list[list[int]]:
    """Return a division of images as lists of positions.

    Parameters
    ----------
    found : sequence
        For each part, positions or a mask.
    subject : Tensor
        int64 ``(N,)``, whose image each one is.
    names : tuple of str
        Of the parts, for the sentences.

    Raises
    ------
    CheckFailed
        If a part is something else, somebody is in two parts, or an image is twice in one or in none.
    """
    lists = [_positions(part, subject, name) for name, part in zip(names, found, strict=True)]
    whose = [{int(subject[i]) for i in part} for part in lists]
    for i, j in combinations(range(len(names)), 2):
        if twice := whose[i] & whose[j]:
            raise CheckFailed(
                f"{len(twice)} of the {len(subject.unique())} people have images in {names[i]} and in "
                f"{names[j]}: divide the people first, and then look up their images."
            )
    if missing := len(subject) - sum(map(len, lists)):
        raise CheckFailed(
            f"{missing} of the {len(subject)} images are in none of the parts: everybody's images all count."
        )
    return lists


def _positions(part: Any, subject: Tensor, name: str) -> list[int]:
    try:
        listed = torch.as_tensor(part)
    except (TypeError, ValueError, RuntimeError):
        raise CheckFailed(f"{name} is no list of positions, but {kind(part)}.") from None
    if listed.dtype == torch.bool and listed.shape == subject.shape:
        listed = listed.nonzero()
    # An empty list has no whole numbers to tell its type by.
    if listed.numel() and (listed.dtype == torch.bool or listed.is_floating_point() or listed.is_complex()):
        raise CheckFailed(f"{name} has entries of type {listed.dtype}: positions are whole numbers.")
    positions = [int(i) for i in listed.flatten().tolist()]
    if any(not 0 <= i < len(subject) for i in positions):
        whom = set(positions) <= set(subject.tolist())
        raise CheckFailed(
            f"{name} lists the numbers of people: wanted are the positions of their images."
            if whom
            else f"{name} has positions outside of 0 to {len(subject) - 1}."
        )
    if len(set(positions)) < len(positions):
        raise CheckFailed(f"{name} has an image more than once.")
    return positions


def divisions(
    answer: Answer,
    what: str,
    function: Callable[..., Any],
    arguments: tuple[Tensor, ...],
    *,
    names: tuple[str, ...],
) -> Iterator[list[list[int]]]:
    """Yield the division of images that ``function(*arguments, seed)`` returns, for several seeds.

    Parameters
    ----------
    what : str
        How the reader would write the call.
    arguments : tuple of Tensor
        The first one says whose image each one is.
    names : tuple of str
        Of the parts.

    Raises
    ------
    CheckFailed
        As :func:`parts`; or if one seed gives two divisions, or all seeds give one.
    """
    seen = []
    for seed in SEEDS:
        first, again = (
            parts(answer.several(what, names, function, *arguments, seed), arguments[0], names=names)
            for _ in range(2)
        )
        yield first
        if [set(part) for part in first] != [set(part) for part in again]:
            raise CheckFailed(
                f"Two calls with seed {seed} divide differently: "
                "draw from a generator that starts at this seed in every call."
            )
        seen.append(frozenset(first[0]))
    if len(set(seen)) == 1:
        raise CheckFailed(
            f"Seeds {SEEDS[0]} to {SEEDS[-1]} all divide alike: the seed decides who is in which part."
        )
