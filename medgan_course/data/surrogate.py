"""Phantoms in the place of a set that cannot be had, and the notice that nobody can overlook."""

import sys
from functools import lru_cache
from html import escape
from importlib import import_module

import torch
from torch import Tensor

from medgan_course.data.catalogue import Card, card
from medgan_course.data.layouts import Arrays

SEED = 0

_announced: set[tuple[str, int]] = set()


def surrogates_in_use() -> frozenset[str]:
    """Return the names of the sets that this process has replaced by phantoms."""
    return frozenset(name for name, _ in _announced)


def population(card: Card, split: str) -> tuple[Tensor, int]:
    """Return the labels of the subjects of ``split``, shuffled, and the number of the first of them."""
    counts = card.counts
    position = list(counts).index(split)
    first = sum(sum(counts[earlier]) for earlier in list(counts)[:position])
    labels = torch.repeat_interleave(torch.arange(len(counts[split])), torch.tensor(counts[split]))
    shuffle = torch.randperm(len(labels), generator=torch.Generator().manual_seed(SEED + position))
    return labels[shuffle], first


@lru_cache(maxsize=4)
def arrays(name: str, size: int, split: str) -> Arrays:
    """Compute a split of phantoms with the counts of the real one; no subject is in two splits.

    Every image is a subject of its own, also where the real set has several images of one.
    """
    labels, first = population(card(name), split)
    phantom = import_module(f"medgan_course.data.phantom.{card(name).phantom}")
    rendered = phantom.render(labels.tolist(), size=size, seed=SEED, first=first)
    if not card(name).contrasts:
        return Arrays(rendered, labels)
    pixels, mask = rendered
    return Arrays(pixels, labels, mask, first + torch.arange(len(labels)))


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
    if not _show_in_notebook(text):
        print(f"SURROGATE DATA: {text}", file=sys.stderr)


def _show_in_notebook(text: str) -> bool:
    # A kernel is running only if somebody has imported ipykernel; the library itself does without IPython.
    if "ipykernel" not in sys.modules:
        return False
    from IPython import get_ipython
    from IPython.display import display

    if get_ipython() is None:
        return False
    # Styled here as well as in the book, so that it is as loud in Jupyter and on Colab.
    style = (
        "background:#b00020;color:#fff;padding:0.8em 1em;margin:0.5em 0;border:4px solid #000;font-size:1.1em"
    )
    title = "<strong>SURROGATE DATA</strong>"
    banner = f'<div class="surrogate-data" role="alert" style="{style}">{title} {escape(text)}</div>'
    display({"text/html": banner, "text/plain": f"SURROGATE DATA: {text}"}, raw=True)
    return True
