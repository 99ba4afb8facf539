"""One arm in one fresh process: images per second between two steps, and peak memory."""

import json
import os
import platform
import resource
import subprocess
import sys
import time
from collections.abc import Callable, Iterator, Mapping
from datetime import UTC, datetime
from importlib.metadata import PackageNotFoundError, version
from pathlib import Path
from typing import Any

import torch
from torch import Tensor
from torch.utils.data import DataLoader

from medgan_course.data import files
from medgan_course.data.catalogue import File
from medgan_course.errors import CourseError
from medgan_course.writing import replacing

LIBRARIES = ("medgan-course", "torch", "torchvision", "monai", "medmnist", "accelerate", "lightning")

Tick = Callable[[int], None]  # an arm calls tick(step) once for each step it has completed


class Stopwatch:
    """Time from step ``warm_up`` to step ``warm_up + timed``, and the memory before the first step."""

    def __init__(self, warm_up: int, timed: int, device: torch.device) -> None:
        self.first, self.last, self.device = warm_up, warm_up + timed, device
        self.started = self.seconds = 0.0
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


def alone(module: str, options: Mapping[str, Any], threads: int, **environment: str) -> dict[str, float]:
    """Return the JSON that ``python -m module --options`` prints last, in a process of its own.

    Raises
    ------
    CourseError
        If it fails.
    """
    command = [sys.executable, "-m", module, *(f"--{name}={value}" for name, value in options.items())]
    everywhere = os.environ | {"OMP_NUM_THREADS": str(threads), "TQDM_DISABLE": "1"} | environment
    done = subprocess.run(command, env=everywhere, capture_output=True, text=True, check=False)
    if done.returncode:
        what = " ".join(map(str, options.values()))
        raise CourseError(f"{what} could not be measured: {done.stderr.strip()}")
    return json.loads(done.stdout.splitlines()[-1])


def keep(out: Path, module: str, device: str, facts: Mapping[str, Any]) -> None:
    """Write what was measured, where, with what and how, to the JSON file ``out``."""
    how = {
        "device": torch.cuda.get_device_name() if device == "cuda" else _processor(),
        "versions": {name: _version(name) for name in LIBRARIES},
        "python": platform.python_version(),
        "made": datetime.now(UTC).date().isoformat(),
        "command": f"python -m {module} " + " ".join(sys.argv[1:]),
    }
    with replacing(out) as partial:
        partial.write_text(json.dumps({**facts, **how}, indent=1) + "\n", encoding="utf-8")


def _version(name: str) -> str | None:
    try:
        return version(name)
    except PackageNotFoundError:
        return None


def _processor() -> str:
    lines = Path("/proc/cpuinfo").read_text().splitlines() if Path("/proc/cpuinfo").exists() else []
    names = [line.partition(":")[2].strip() for line in lines if line.startswith("model name")]
    return f"{names[0] if names else platform.processor()}, {os.cpu_count()} cores"


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
