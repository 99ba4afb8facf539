"""One arm in one fresh process: images per second between two steps, and peak memory."""

import resource
import time
from collections.abc import Callable, Iterator
from pathlib import Path

import torch
from torch import Tensor
from torch.utils.data import DataLoader

from medgan_course.data import files
from medgan_course.data.catalogue import File
from medgan_course.errors import CourseError

Tick = Callable[[int], None]  # an arm calls tick(step) once for each step it has completed


class Stopwatch:
    """Time from step ``warm_up`` to step ``warm_up + timed``, and the memory before the first step."""

    def __init__(self, warm_up: int, timed: int, device: torch.device) -> None:
        self.first, self.last, self.device = warm_up, warm_up + timed, device
        self.seconds = 0.0
        self.memory_before: float | None = None

    def __call__(self, step: int) -> None:
        if self.memory_before is None:
            self.memory_before = memory()
        if step in (self.first, self.last):
            if self.device.type == "cuda":
                torch.cuda.synchronize()
            now = time.perf_counter()
            self.seconds = now - self.started if step == self.last else 0.0
            self.started = now


def memory() -> float:
    """Return the largest resident memory of this process so far, in MiB."""
    return resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 1024


def measure(
    arm: Callable[[torch.device, Tick, int], None], batch: int, warm_up: int, timed: int, device: torch.device
) -> dict[str, float]:
    """Play ``warm_up + timed`` steps and return images per second of the timed ones and memory in MiB."""
    tick = Stopwatch(warm_up, timed, device)
    arm(device, tick, warm_up + timed)
    if not tick.seconds:
        raise RuntimeError(f"the arm stopped before step {tick.last}")
    peak = torch.cuda.max_memory_allocated() / 2**20 if device.type == "cuda" else memory()
    return {
        "images_per_second": timed * batch / tick.seconds,
        "peak_mib": peak,
        "training_mib": peak if device.type == "cuda" else peak - (tick.memory_before or 0.0),
    }


def endless(loader: DataLoader, device: torch.device) -> Iterator[list[Tensor]]:
    """Yield batches on ``device``, epoch after epoch."""
    while True:
        for batch in loader:
            yield [tensor.to(device) for tensor in batch]


def medmnist_folder(name: str) -> Path:
    """Return the folder of a MedMNIST file, for loops that read it through ``medmnist``."""
    found = files.find(File(name, 28, None, None))
    if found is None:
        raise CourseError(f"The benchmark needs {name}: put it into the folder that MEDGAN_DATA names.")
    return found.path.parent
