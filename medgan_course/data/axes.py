"""The axes of space of images and volumes, and what is done along each of them."""

from collections.abc import Iterable

from torch import Tensor

from medgan_course.errors import CourseError


def space_axes(images: Tensor) -> tuple[int, ...]:
    """Return the axes of space: (2, 3) of images ``(N, C, H, W)``, (2, 3, 4) of volumes ``(N, C, D, H, W)``.

    Raises
    ------
    CourseError
        If there are other axes than these.
    """
    if images.ndim not in (4, 5):
        raise CourseError(
            f"Images are (N, C, H, W) and volumes (N, C, D, H, W), not {tuple(images.shape)}: give "
            "the axes of samples and channels too."
        )
    return tuple(range(2, images.ndim))


def scaled_axes(images: Tensor, factor: int, *, smaller: bool) -> tuple[int, ...]:
    """Return the axes of space of images that get ``factor`` times fewer pixels a side, or more.

    Raises
    ------
    CourseError
        If the factor is no whole number from 1, or does not divide the sides of images that are to be
        smaller, or if they have other axes.
    """
    if not isinstance(factor, int) or factor < 1:
        raise CourseError(
            f"factor={factor!r} is no resolution: choose 2, 3, ... for as many times fewer, or more, pixels."
        )
    axes = space_axes(images)
    if smaller and any(images.shape[axis] % factor for axis in axes):
        raise CourseError(
            f"The sides of {tuple(images.shape)} cannot be divided by {factor}: crop or pad the images first."
        )
    return axes


def along_axes(images: Tensor, matrices: Iterable[Tensor]) -> Tensor:
    r"""Return images multiplied by a matrix along each axis of space.

    .. math:: y_{ij} = \sum_{kl} A^{(H)}_{ik} A^{(W)}_{jl}\, x_{kl}

    and with a third factor for the depth of a volume.

    Parameters
    ----------
    images : Tensor
        ``(N, C, H, W)`` or ``(N, C, D, H, W)``, of floating point or complex numbers.
    matrices : iterable of Tensor
        A for each axis in their order, ``(new side, side)``, real.

    Raises
    ------
    CourseError
        If the images have other axes, or whole numbers, which weighted sums would round down.
    """
    axes = space_axes(images)
    if not (images.is_floating_point() or images.is_complex()):
        raise CourseError(
            f"Weighted sums of {images.dtype} would be cut to whole numbers: convert it with .float() first."
        )
    for axis, matrix in zip(axes, matrices, strict=True):
        images = (images.movedim(axis, -1) @ matrix.to(images).T).movedim(-1, axis)
    return images.contiguous()
