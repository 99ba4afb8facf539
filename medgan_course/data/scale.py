"""What the values of an image in [-1, 1] stand for, so that they can be turned back."""

import math
from dataclasses import dataclass

from torch import Tensor

from medgan_course.errors import CourseError


@dataclass(frozen=True)
class Scale:
    """The values that -1 and 1 stand for.

    Attributes
    ----------
    low, high : float
        The value at -1 and that at 1.
    unit : str
        Their unit: ``"HU"``, ``"grey level"``, ``"of the strongest tissue"``.
    """

    low: float
    high: float
    unit: str

    def __post_init__(self) -> None:
        if not -math.inf < self.low < self.high < math.inf:
            raise CourseError(
                f"A scale from {self.low} to {self.high} {self.unit} is none: low must be below high."
            )

    def normalised(self, values: Tensor) -> Tensor:
        r"""Map [low, high] to [-1, 1] and clip what lies outside: :math:`2\,(v - low)/(high - low) - 1`.

        Whole numbers, as files store them, become float32.
        """
        values = values if values.is_floating_point() else values.float()
        return (2 * (values - self.low) / (self.high - self.low) - 1).clamp(-1, 1)

    def restored(self, images: Tensor) -> Tensor:
        """Return images in [-1, 1] in the unit; what :meth:`normalised` clipped stays clipped."""
        return (images + 1) / 2 * (self.high - self.low) + self.low


GREY = Scale(0.0, 255.0, "grey level")
