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
