"""What every loss on images checks and prepares before it computes."""

import torch
from torch import Tensor

from medgan_course.errors import CourseError


def same_shape(loss: str, **tensors: Tensor) -> None:
    """Refuse tensors of different shapes: broadcasting them would give a number without a meaning.

    Parameters
    ----------
    loss : str
        The loss that asks, for the message.
    **tensors : Tensor
        The tensors by their argument names.
    """
    if len({tensor.shape for tensor in tensors.values()}) > 1:
        shapes = " and ".join(f"{name} {tuple(tensor.shape)}" for name, tensor in tensors.items())
        raise CourseError(f"The loss {loss} needs tensors of one shape, but got {shapes}.")


def spatial_axes(loss: str, images: Tensor) -> tuple[int, ...]:
    """Return the spatial axes, ``(2, 3)`` or ``(2, 3, 4)``, of a batch of images or volumes."""
    if images.ndim not in (4, 5):
        raise CourseError(
            f"The loss {loss} needs images (N, C, H, W) or volumes (N, C, D, H, W), "
            f"not {tuple(images.shape)}."
        )
    return tuple(range(2, images.ndim))


def full(tensor: Tensor) -> Tensor:
    """Return a half-precision tensor as float32, any other as it is.

    Variances and gradients are small differences of large numbers: bfloat16's eight bits lose them.
    """
    return tensor.to(torch.promote_types(tensor.dtype, torch.float32))
