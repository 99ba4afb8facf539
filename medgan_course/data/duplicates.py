r"""Which images occur twice: exactly, or nearly, within a split and across splits.

A duplicate within a split counts twice what is one image; across splits it lets a network be tested on what
it was trained on. Two images are exact duplicates if every pixel agrees, and near-duplicates if the Pearson
correlation of their pixels :math:`x` and :math:`y`, with means :math:`\bar x` and :math:`\bar y`,

.. math::
    r = \frac{\sum_i (x_i - \bar x)(y_i - \bar y)}
             {\sqrt{\sum_i (x_i - \bar x)^2} \sqrt{\sum_i (y_i - \bar y)^2}}

is at least a threshold. It does not see a change of brightness or contrast, but a shift, a turn or a mirror
image it does. How alike different images of a set are depends on the set: look at the pairs before believing
a threshold.
"""

from collections.abc import Collection, Iterator
from dataclasses import dataclass
from html import escape
from typing import TYPE_CHECKING

import numpy as np
import torch
from torch import Tensor

from medgan_course.data.catalogue import table
from medgan_course.data.resize import area
from medgan_course.errors import CourseError

if TYPE_CHECKING:
    from medgan_course.data import Dataset

SIDE = 28  # pixels: larger images are averaged to this before they are correlated
BLOCK = 2048  # images at a time, against as many


@dataclass(frozen=True)
class Pair:
    """Two images that are the same, or nearly.

    Attributes
    ----------
    splits : tuple of str
        Where they lie.
    positions : tuple of int
        Their positions in these splits.
    correlation : float
        1 for exact duplicates.
    exact : bool
        Whether every pixel agrees.
    same_label : bool
        Whether their labels agree.
    """

    splits: tuple[str, str]
    positions: tuple[int, int]
    correlation: float
    exact: bool
    same_label: bool


@dataclass(frozen=True, repr=False)
class Report:
    """What was found.

    Attributes
    ----------
    title : str
        The set.
    sizes : dict of str to int
        Images in each split.
    pairs : tuple of Pair
        Every pair once, the most alike first.
    threshold : float
        Correlation from which two images count as near-duplicates.
    """

    title: str
    sizes: dict[str, int]
    pairs: tuple[Pair, ...]
    threshold: float

    def between(self, first: str, second: str, *, exact: bool | None = None) -> list[Pair]:
        """Return the pairs of one image in ``first`` and one in ``second``, which may be the same split.

        Parameters
        ----------
        first, second : str
            Splits.
        exact : bool, optional
            Only exact ones, or only the others.
        """
        return [
            pair
            for pair in self.pairs
            if sorted(pair.splits) == sorted((first, second)) and exact in (None, pair.exact)
        ]

    def images(self, split: str, others: str, *, exact: bool | None = None) -> int:
        """Return how many images of ``split`` have a duplicate in ``others``.

        Within a split every image but the first of its group counts: so many would have to go.
        """
        pairs = self.between(split, others, exact=exact)
        if split != others:
            return len({pair.positions[pair.splits.index(split)] for pair in pairs})
        first = groups([pair.positions for pair in pairs], self.sizes[split])
        return int((first != np.arange(len(first))).sum())

    @property
    def sentence(self) -> str:
        """How many pairs there are, and how many of them lie in two splits."""
        counts = []
        for kind, exact in (("equal", True), (f"nearly equal (r >= {self.threshold:g})", False)):
            pairs = [pair for pair in self.pairs if pair.exact is exact]
            across = sum(len(set(pair.splits)) > 1 for pair in pairs)
            if exact or self.threshold <= 1:
                counts.append(f"{len(pairs):,} pairs of {kind} images, {across:,} of them in two splits")
        return f"{self.title}: {'; '.join(counts)}."

    def _rows(self) -> Iterator[tuple[str, str]]:
        splits = list(self.sizes)
        for i, first in enumerate(splits):
            for second in splits[i:]:
                where = f"twice in {first}" if first == second else f"of {second} that are in {first}"
                exact, all_ = (self.images(second, first, exact=only) for only in (True, None))
                near = f", {all_ - exact} more from r = {self.threshold:g}" if self.threshold <= 1 else ""
                crossed = sum(not pair.same_label for pair in self.between(first, second))
                labels = f"; pairs with different labels: {crossed}" if crossed else ""
                yield f"Images {where}", f"{exact} exact{near}{labels}"

    @property
    def _title(self) -> str:
        return f"Duplicates in {self.title}; pairs: {len(self.pairs)}"

    def __repr__(self) -> str:
        return "\n".join([self._title, *(f"  {where}: {what}" for where, what in self._rows())])

    def _repr_html_(self) -> str:
        return f"<strong>{escape(self._title)}</strong>{table(dict(self._rows()))}"


def find(*parts: "Dataset", threshold: float = 0.99) -> Report:
    """Compare every image with every other, within each split and across splits.

    Parameters
    ----------
    *parts : Dataset
        Splits of one set, of one size.
    threshold : float
        Least correlation of a near-duplicate, above 0; more than 1 finds exact ones only.

    Returns
    -------
    Report
        Pairs and counts.

    Raises
    ------
    CourseError
        If there are no splits, two have the same name, or they are of different sets or sizes.
    """
    if not parts:
        raise CourseError("There is nothing to compare: give at least one split of a set.")
    names = [part.split for part in parts]
    if len(set(names)) < len(names) or len({(part.name, part.size) for part in parts}) > 1:
        raise CourseError(
            "Duplicates are looked for in different splits of one set of one size, not in "
            + ", ".join(f"{part.name} {part.split} of size {part.size}" for part in parts)
            + "."
        )
    images = torch.cat([part.images for part in parts])
    labels = torch.cat([part.labels for part in parts])
    where = [(part.split, position) for part in parts for position in range(len(part))]
    exact = _exact(images)
    found = {pair: 1.0 for pair in exact} | (near(images, threshold) if threshold <= 1 else {})
    pairs = [
        Pair(
            splits=(where[i][0], where[j][0]),
            positions=(where[i][1], where[j][1]),
            correlation=1.0 if (i, j) in exact else found[i, j],
            exact=(i, j) in exact,
            same_label=bool((labels[i] == labels[j]).all()),
        )
        for i, j in found
    ]
    pairs.sort(key=lambda pair: (-pair.exact, -pair.correlation, pair.splits, pair.positions))
    sizes = {part.split: len(part) for part in parts}
    return Report(parts[0].card.title, sizes, tuple(pairs), threshold)


def _exact(images: Tensor) -> set[tuple[int, int]]:
    alike: dict[bytes, list[int]] = {}
    for position, image in enumerate(images):
        alike.setdefault(image.numpy().tobytes(), []).append(position)
    return {(a, b) for group in alike.values() for i, a in enumerate(group) for b in group[i + 1 :]}


def near(images: Tensor, threshold: float, *, side: int = SIDE) -> dict[tuple[int, int], float]:
    """Return the pairs ``i < j`` whose correlation is at least ``threshold``, block by block.

    Parameters
    ----------
    images : Tensor
        float32 ``(N, C, *space)``.
    threshold : float
        Least correlation, above 0.
    side : int
        Images (not volumes) that are larger are averaged to this.
    """
    flat = _standardised(images, side)
    found = {}
    for start in range(0, len(flat), BLOCK):
        for other in range(start, len(flat), BLOCK):
            r = flat[start : start + BLOCK] @ flat[other : other + BLOCK].T
            for i, j in (r >= threshold).nonzero().tolist():
                if start + i < other + j:
                    found[start + i, other + j] = r[i, j].item()
    return found


def _standardised(images: Tensor, side: int = SIDE) -> Tensor:
    """Return every image as a row of mean 0 and length 1; an image of one grey level is a row of zeros."""
    small = images
    if images.ndim == 4 and images.shape[-1] > side:
        small = torch.cat([area(some, side) for some in images.split(BLOCK)])
    flat = small.flatten(1)
    flat = flat - flat.mean(dim=1, keepdim=True)
    return flat / flat.norm(dim=1, keepdim=True).clamp_min(1e-4)


def groups(pairs: Collection[tuple[int, int]], n: int) -> np.ndarray:
    """Return for each of ``n`` images the first that a chain of pairs joins it to: int64 ``(n,)``."""
    from scipy.sparse import coo_array
    from scipy.sparse.csgraph import connected_components

    i, j = np.array(list(pairs), np.int64).reshape(-1, 2).T
    _, group = connected_components(coo_array((np.ones(len(i)), (i, j)), shape=(n, n)), directed=False)
    return np.unique(group, return_index=True)[1][group].astype(np.int64)
