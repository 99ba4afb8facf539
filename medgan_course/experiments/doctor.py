"""What this machine can do: one look at it, and a short training."""

import os
import platform
import shutil
import sys
import time
from collections.abc import Iterator
from importlib.metadata import PackageNotFoundError, version
from itertools import count
from pathlib import Path

import torch

import medgan_course
from medgan_course import budgets, data
from medgan_course.data import files
from medgan_course.data.files import UnreadableError
from medgan_course.errors import CourseError
from medgan_course.systems.dcgan import budget, dcgan
from medgan_course.train import fit
from medgan_course.train.engine import best_device

OPTIONAL = {"accelerate": "for several GPUs", "tensorboard": "for logs in TensorBoard"}
CHAPTER_STEPS = 4_000  # of a chapter with its ablations, in steps of a small DCGAN


def examine(*, seconds: float = 3.0) -> Iterator[tuple[str, str]]:
    """Yield what there is to say, as pairs of a short name and a sentence.

    Parameters
    ----------
    seconds : float
        How long to train for the measurement.
    """
    yield "Python", f"{platform.python_version()} on {platform.system()} {platform.machine()}"
    yield "Library", f"medgan-course {medgan_course.__version__}, torch {torch.__version__}"
    yield "Device", _device()
    yield "CPU", f"{_cores()} cores for this process, torch uses {torch.get_num_threads()} threads"
    if memory := _memory():
        yield "Memory", f"{memory:.1f} GiB"
    yield "Disk", f"{shutil.disk_usage(Path.cwd()).free / 2**30:.1f} GiB free here"
    yield from _data()
    for package, use in OPTIONAL.items():
        yield "Optional", f"{package} {_version(package)} ({use})"
    chosen = os.environ.get("MEDGAN_PROFILE")
    try:
        reason = "from MEDGAN_PROFILE" if chosen else "because of the device"
        yield "Profile", f"{budgets.profile()}, {reason}"
    except CourseError as error:
        yield "Profile", str(error)
    yield from _speed(seconds)


def _device() -> str:
    device = best_device()
    if device.type == "cuda":
        memory = torch.cuda.get_device_properties(0).total_memory / 2**30
        precision = "bf16" if torch.cuda.is_bf16_supported(including_emulation=False) else "fp16, no bf16"
        return f"{torch.cuda.device_count()} x {torch.cuda.get_device_name()}, {memory:.0f} GiB, {precision}"
    return "Apple's GPU (MPS)" if device.type == "mps" else "CPU only, no CUDA and no MPS"


def _cores() -> int:
    # A container may have fewer than the machine; only Linux tells.
    return len(os.sched_getaffinity(0)) if sys.platform == "linux" else os.cpu_count() or 1


def _memory() -> float | None:
    """Return the machine's memory in GiB, where the system tells."""
    if "SC_PHYS_PAGES" not in getattr(os, "sysconf_names", {}):
        return None
    return os.sysconf("SC_PHYS_PAGES") * os.sysconf("SC_PAGE_SIZE") / 2**30


def _data() -> Iterator[tuple[str, str]]:
    chosen = os.environ.get("MEDGAN_DATA")
    yield (
        "Data",
        f"MEDGAN_DATA is {chosen}" if chosen else "MEDGAN_DATA is not set; ~/.medmnist is looked into",
    )
    here, absent = [], 0
    for name in data.names():
        found: list[int] = []
        for size, file in data.card(name).files.items():
            try:
                found += [size] if files.locate(file) else []
            except UnreadableError as error:
                yield "Data", str(error)
            except CourseError as error:
                yield "Data", str(error)
                return
        if found:
            here.append(f"{name} ({', '.join(map(str, found))} px)")
        absent += bool(data.card(name).files) and not found
    yield "Data", f"here: {'; '.join(here) or 'no set'}"
    yield (
        "Data",
        f"not here: {absent} sets, for which phantoms stand in; medgan data list says how to get them",
    )


def _version(package: str) -> str:
    try:
        return version(package)
    except PackageNotFoundError:
        return "is not installed"


def _speed(seconds: float) -> Iterator[tuple[str, str]]:
    """Train the DCGAN of the ``cpu`` profile on noise, and say what its speed means."""
    with budgets.using("cpu"):
        small = budget()
    images = torch.rand(4 * small.batch_size, 1, small.size, small.size) * 2 - 1
    batches = data.Batches(images, torch.zeros(len(images), dtype=torch.long), small.batch_size)
    game = dcgan(small.size, base=small.base)
    fit(game, batches, 2)  # what only the first steps do
    started, warm = time.perf_counter(), game.step
    for steps in count(warm + 5, 5):
        fit(game, batches, steps)
        elapsed = time.perf_counter() - started
        if elapsed > seconds:
            break
    speed = (game.step - warm) / elapsed
    yield "Speed", f"{speed:.1f} steps a second of a DCGAN of {small.size} px, {small.batch_size} images each"
    minutes = CHAPTER_STEPS / speed / 60
    advice = (
        "the gpu profile is for this machine"
        if best_device().type == "cuda"
        else "the cpu profile is for this machine; borrow a GPU for the gpu profile"
    )
    yield (
        "So",
        f"{advice}. A chapter's {CHAPTER_STEPS:,} steps take about {max(1, round(minutes))} min "
        "in the cpu profile.",
    )
