"""How much work a run may do: the only place where steps and sizes differ between machines.

``MEDGAN_PROFILE`` chooses one of three profiles: ``smoke`` (continuous integration, seconds), ``cpu`` (a
laptop with two cores, minutes) and ``gpu`` (Colab or better). Without it, a machine with a CUDA device gets
``gpu`` and any other ``cpu``.
"""

import os
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass, fields
from typing import TypeVar

from medgan_course.errors import CourseError, did_you_mean

# Each profile with the seeds of its experiments.
PROFILES = {"smoke": (0,), "cpu": (0, 1, 2), "gpu": (0, 1, 2)}

Choice = TypeVar("Choice")


def profile() -> str:
    """Return the profile in force.

    Raises
    ------
    CourseError
        If ``MEDGAN_PROFILE`` names no profile.
    """
    name = os.environ.get("MEDGAN_PROFILE", "")
    if not name:
        import torch  # here, because a program that only asks for a named profile need not wait for it

        return "gpu" if torch.cuda.is_available() else "cpu"
    if name not in PROFILES:
        raise CourseError(
            f"MEDGAN_PROFILE is {name!r}, which is no profile ({did_you_mean(name, PROFILES)}): "
            f"set it to one of {', '.join(PROFILES)}, or unset it."
        )
    return name


@contextmanager
def using(name: str) -> Iterator[None]:
    """Put profile ``name`` in force for as long as the context lasts, in this process and those it starts."""
    before = os.environ.get("MEDGAN_PROFILE")
    os.environ["MEDGAN_PROFILE"] = name
    try:
        yield
    finally:
        if before is None:
            del os.environ["MEDGAN_PROFILE"]
        else:
            os.environ["MEDGAN_PROFILE"] = before


def seeds() -> tuple[int, ...]:
    """Return the seeds of an experiment in the profile in force."""
    return PROFILES[profile()]


@dataclass(frozen=True)
class Budget:
    """The numbers that a run takes from its profile.

    A system that needs another one declares it in a dataclass of its own that starts from this one.

    Attributes
    ----------
    steps : int
        Generator updates.
    size : int
        Image side in pixels.
    base : int
        Channels of the widest-resolution feature map; the nets' width scales with it.
    batch_size : int
        Images a step.
    n_score : int
        Images in each set that a distribution metric compares, 2 or more: one alone has no spread.

    Raises
    ------
    CourseError
        If a whole number among them is less than 1, or ``n_score`` less than 2.
    """

    steps: int
    size: int
    base: int
    batch_size: int
    n_score: int

    def __post_init__(self) -> None:
        for field in fields(self):
            value, least = getattr(self, field.name), 2 if field.name == "n_score" else 1
            if isinstance(value, int) and not isinstance(value, bool) and value < least:
                raise CourseError(f"The budget's {field.name} is {value}: it must be {least} or more.")


def choose(**budgets: Choice) -> Choice:
    """Return the budget of the profile in force, from ``smoke=``, ``cpu=`` and ``gpu=``."""
    return budgets[profile()]
