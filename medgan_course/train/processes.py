"""Several processes that share every batch, through Hugging Face Accelerate.

``torchrun``, or on GPUs ``accelerate launch``, starts a recipe several times and says so in the environment;
:func:`~medgan_course.train.engine.fit` notices. (On CPUs ``accelerate launch`` starts one process,
whatever it is asked for, unless there is MPI.) Each process takes its rows of every batch and draws its rows
of every random number (:mod:`medgan_course.draws`); gradients, logged terms and buffers are averaged, so all
processes stay in one state. It is that of a single process on the whole batch, up to rounding, where terms
are means over samples and the draws of a cost are for as many samples as the batch has. It is not where a
network or a loss looks across the batch: batch norm on the CPU takes the statistics of each process's rows
(on CUDA it is synchronised), and relativistic averages or feature moments are those of these rows. Dropout
masks repeat from process to process.
"""

import os
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from typing import Any

import torch
from torch import Tensor

from medgan_course import draws
from medgan_course.errors import CourseError


@contextmanager
def joined(device: torch.device) -> Iterator[torch.device]:
    """Join the other processes, if there are any, and yield the device of this one.

    Raises
    ------
    CourseError
        If there are others, but no Accelerate.
    """
    if int(os.environ.get("WORLD_SIZE", "1")) == 1:
        yield device
        return
    try:
        from accelerate import PartialState
    except ImportError as error:
        raise CourseError(
            "Training in several processes needs Accelerate: pip install accelerate, or start one process."
        ) from error
    state = PartialState(cpu=device.type == "cpu")
    with draws.share(state.process_index, state.num_processes):
        yield state.device
        # Whoever reads the checkpoint after this must find it written.
        state.wait_for_everyone()


def rows(batch: Any) -> Any:
    """Return this process's part of every tensor in ``batch``, which may be nested.

    Raises
    ------
    CourseError
        If the processes cannot have equal parts.
    """
    rank, processes = draws.shared()
    if processes == 1:
        return batch
    if isinstance(batch, dict):
        return {key: rows(value) for key, value in batch.items()}
    if isinstance(batch, list | tuple):
        parts = [rows(value) for value in batch]
        return type(batch)(*parts) if hasattr(batch, "_fields") else type(batch)(parts)
    if not isinstance(batch, Tensor) or batch.ndim == 0:
        return batch
    n, left = divmod(len(batch), processes)
    if left:
        raise CourseError(
            f"A batch of {len(batch)} cannot be shared equally by {processes} processes: "
            f"choose a batch size that {processes} divides."
        )
    return batch[rank * n : (rank + 1) * n]


def average(tensors: Sequence[Tensor]) -> None:
    """Replace each tensor by its mean over all processes."""
    if draws.shared()[1] == 1 or not tensors:
        return
    from accelerate.utils import reduce

    # One message for all of them.
    flat = reduce(torch.cat([tensor.detach().reshape(-1) for tensor in tensors]), reduction="mean")
    for tensor, mean in zip(tensors, flat.split([tensor.numel() for tensor in tensors]), strict=True):
        tensor.detach().copy_(mean.view(tensor.shape))


def gathered(tensor: Tensor) -> Tensor:
    """Return the rows of all processes in the order of the whole batch."""
    if draws.shared()[1] == 1:
        return tensor
    from accelerate.utils import gather

    return gather(tensor.contiguous())
