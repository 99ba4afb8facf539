"""Mini-batches by step number."""

from typing import NamedTuple

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


class Batches:
    """Batch number ``step`` of an endless, freshly shuffled stream, as ``batches[step]``.

    The order depends on the seed and the step alone, so a resumed training sees the batches it would have
    seen, and two arms of a comparison see the same ones. The tensors stay where they are: put them on the GPU
    once and no loader is needed. The last images of an epoch that do not fill a batch are left out of that
    epoch.
    """

    def __init__(self, images: Tensor, labels: Tensor, batch_size: int, *, seed: int = 0) -> None:
        if not 0 < batch_size <= len(images):
            raise CourseError(
                f"batch_size is {batch_size}, but must lie between 1 and the {len(images)} images there are."
            )
        self.images, self.labels = images, labels
        self.batch_size, self.seed = batch_size, seed
        self.per_epoch = len(images) // batch_size
        self._epoch: int | None = None
        self._order = torch.empty(0)

    def to(self, device: torch.device | str) -> "Batches":
        """Return the same stream with its tensors on ``device``."""
        return Batches(self.images.to(device), self.labels.to(device), self.batch_size, seed=self.seed)

    def __getitem__(self, step: int) -> Batch:
        epoch, position = divmod(step, self.per_epoch)
        if epoch != self._epoch:
            # A generator an epoch: any epoch's order can be had without drawing those before it. Only the
            # lower 32 bits of a generator's seed count, so seed and epoch must both reach these.
            shuffle = torch.Generator().manual_seed(self.seed * 1_000_003 + epoch)
            self._order = torch.randperm(len(self.images), generator=shuffle).to(self.images.device)
            self._epoch = epoch
        chosen = self._order[position * self.batch_size : (position + 1) * self.batch_size]
        return Batch(self.images[chosen], self.labels[chosen])
