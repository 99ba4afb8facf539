"""How much work a run may do: the only place where steps and sizes differ between machines.

``MEDGAN_PROFILE`` chooses one of three profiles: ``smoke`` (continuous integration, seconds), ``cpu`` (a
laptop with two cores, minutes) and ``gpu`` (Colab or better). Without it, a machine with a CUDA device gets
``gpu`` and any other ``cpu``.
"""

import os
from dataclasses import dataclass
from difflib import get_close_matches

from medgan_course.errors import CourseError

PROFILES = ("smoke", "cpu", "gpu")


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
        near = get_close_matches(name.lower(), PROFILES, n=1)
        hint = f" (did you mean {near[0]!r}?)" if near else ""
        raise CourseError(
            f"MEDGAN_PROFILE is {name!r}, which is no profile{hint}: "
            f"set it to one of {', '.join(PROFILES)}, or unset it."
        )
    return name


@dataclass(frozen=True)
class Budget:
    """The numbers that a run takes from its profile.

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
        Images in each set that a distribution metric compares.
    """

    steps: int
    size: int
    base: int
    batch_size: int
    n_score: int


def choose(**budgets: Budget) -> Budget:
    """Return the budget of the profile in force, from ``smoke=``, ``cpu=`` and ``gpu=``."""
    return budgets[profile()]
