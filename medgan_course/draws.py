"""Random numbers for the samples of a batch: noise, mixing weights, augmentations.

When several processes share a batch, each draws the numbers of the whole batch and keeps those of its own
samples. So a training gives the same result however many processes it is spread over. Everything that costs
draw for each sample comes from here.
"""

from collections.abc import Callable, Iterator
from contextlib import contextmanager
from contextvars import ContextVar

import torch
from torch import Tensor

_share: ContextVar[tuple[int, int]] = ContextVar("share", default=(0, 1))


@contextmanager
def share(rank: int, processes: int) -> Iterator[None]:
    """Draw the part of process ``rank`` of ``processes`` for as long as the context lasts."""
    token = _share.set((rank, processes))
    try:
        yield
    finally:
        _share.reset(token)


def shared() -> tuple[int, int]:
    """Return the part that is drawn, as rank and number of processes: ``(0, 1)`` outside :func:`share`."""
    return _share.get()


def normal(n: int, *shape: int, device: torch.device | str | None = None) -> Tensor:
    """Draw ``(n, *shape)`` from N(0, 1)."""
    return _own(n, lambda total: torch.randn(total, *shape, device=device))


def uniform(
    n: int, *shape: int, low: float = 0.0, high: float = 1.0, device: torch.device | str | None = None
) -> Tensor:
    """Draw ``(n, *shape)`` uniformly from [low, high)."""
    return _own(n, lambda total: torch.rand(total, *shape, device=device) * (high - low) + low)


def integers(high: int, n: int, *shape: int, device: torch.device | str | None = None) -> Tensor:
    """Draw int64 ``(n, *shape)`` from 0, 1, ..., high - 1."""
    return _own(n, lambda total: torch.randint(high, (total, *shape), device=device))


def _own(n: int, draw: Callable[[int], Tensor]) -> Tensor:
    rank, processes = _share.get()
    return draw(n * processes)[rank * n : (rank + 1) * n]
