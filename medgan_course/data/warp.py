r"""Displacement fields: smooth random deformations, their inverses, and pairs that do not quite match.

A field :math:`\mathbf u`, ``(N, d, *space)``, says for every pixel where its value comes from,

.. math:: y(\mathbf r) = x\bigl(\mathbf r + \mathbf u(\mathbf r)\bigr),

in pixels along the d axes of space in their order, (y, x) or (z, y, x): divide mm by the pixel spacing.
A misaligned pair with a known field is ``Paired(source, apply(target, field))``; train on it and score
against ``target``. MONAI's and TorchIO's elastic transforms draw one image's field at a time and do not tell
whether it folds, nor give its inverse.
"""

from itertools import product

import torch
from torch import Tensor
from torch.nn.functional import grid_sample

from medgan_course.data.signal import gaussian_psf
from medgan_course.errors import CourseError


def random_field(noise: Tensor, *, rms: float, width: float) -> Tensor:
    r"""Return smooth random fields that do not fold.

    White noise blurred by a Gaussian of full width ``width`` at half maximum, times a factor that makes
    :func:`root_mean_square` exactly ``rms`` for every field. For the same field at every image size scale
    :meth:`medgan_course.data.phantom.common.Subjects.field` with :func:`scaled`.

    Parameters
    ----------
    noise : Tensor
        ``(N, d, *space)`` from N(0, 1).
    rms : float
        Root mean square length of the displacement, pixels. A mean displacement is part of it.
    width : float
        pixels. Above about 10 ``rms`` hardly any field folds.

    Raises
    ------
    CourseError
        If a field folds: it is too strong for its width.
    """
    _check(noise)
    return scaled(gaussian_psf(noise, fwhm=width, spacing=1.0), rms)


def scaled(field: Tensor, rms: float) -> Tensor:
    """Return fields times a factor each, so that their root mean square is ``rms`` pixels.

    Raises
    ------
    CourseError
        If one of them folds then.
    """
    _check(field)
    if not 0 <= rms < float("inf"):
        raise CourseError(f"rms={rms} px is no length: give 0 or more.")
    now = root_mean_square(field).view(-1, *[1] * (field.ndim - 1))
    field = torch.where(now > 0, field / now * rms, 0.0)
    if (folded := folds(field).nonzero().flatten()).numel():
        raise CourseError(
            f"{len(folded)} of {len(field)} fields of {rms} px fold, number {folded[0].item()} first: "
            "make them smoother, or weaker."
        )
    return field


def root_mean_square(field: Tensor) -> Tensor:
    r"""Return how far pixels move, :math:`\sqrt{\operatorname{mean}_{\mathbf r}|\mathbf u|^2}`, ``(N,)``."""
    return field.square().sum(dim=1).flatten(1).mean(dim=1).sqrt()


def apply(images: Tensor, field: Tensor, *, nearest: bool = False) -> Tensor:
    """Return warped images.

    Parameters
    ----------
    images : Tensor
        ``(N, C, *space)``. Outside of them their border is repeated.
    field : Tensor
        ``(N, d, *space)`` pixels.
    nearest : bool
        Take the nearest pixel, for label maps of any type; otherwise interpolate linearly.
    """
    _check(field)
    if images.shape[2:] != field.shape[2:] or len(images) != len(field):
        raise CourseError(
            f"A field {tuple(field.shape)} does not fit images {tuple(images.shape)}: give as many, as large."
        )
    sides = torch.tensor(images.shape[2:], dtype=field.dtype, device=field.device)
    places = (_pixels(field) + field).movedim(1, -1)
    grid = ((2 * places + 1) / sides - 1).flip(-1)  # grid_sample wants x first
    if nearest:
        # Index by index, so that labels of any type stay what they are.
        index = [
            axis.round().long().clamp(0, n - 1)
            for axis, n in zip(places.unbind(-1), images.shape[2:], strict=True)
        ]
        sample = torch.arange(len(images), device=images.device).view(-1, *[1] * (images.ndim - 2))
        return images.movedim(1, -1)[(sample, *index)].movedim(-1, 1).contiguous()
    if not images.is_floating_point():
        raise CourseError(
            f"Images of {images.dtype} cannot be interpolated: take nearest=True, or .float() first."
        )
    return grid_sample(images, grid.to(images), "bilinear", padding_mode="border", align_corners=False)


def composed(first: Tensor, second: Tensor) -> Tensor:
    r"""Return the field of applying ``first`` and then ``second``.

    .. math::
        \mathbf w(\mathbf r) = \mathbf v(\mathbf r) + \mathbf u\bigl(\mathbf r + \mathbf v(\mathbf r)\bigr)

    for :math:`\mathbf u` first and :math:`\mathbf v` second: one interpolation instead of two.
    """
    return second + apply(first, second)


def inverse(field: Tensor, *, tolerance: float = 0.01) -> Tensor:
    r"""Return the field that undoes ``field``, by fixed-point iteration.

    .. math:: \mathbf v_{k+1}(\mathbf r) = -\mathbf u\bigl(\mathbf r + \mathbf v_k(\mathbf r)\bigr)

    (Chen, Lu, Chen and Ruchala 2008, *A simple fixed-point approach to invert a deformation field*, Medical
    Physics 35(1)), until nothing moves by more than ``tolerance`` pixels. It converges where neighbouring
    pixels' displacements differ by less than a pixel. Outside of the image the field continues as at its
    border.

    Raises
    ------
    CourseError
        If a field folds, or so nearly that the iteration does not converge.
    """
    if folds(field).any():
        raise CourseError("A field that folds has no inverse: make it smoother, or weaker.")
    back = -field
    for _ in range(100):
        previous, back = back, -apply(field, back)
        if (back - previous).abs().max() <= tolerance:
            return back
    raise CourseError("The inverse of this field is not found: it nearly folds. Make it smoother, or weaker.")


def jacobian(field: Tensor) -> Tensor:
    r"""Return by how much the mapping stretches area or volume.

    .. math:: \det\Bigl(I + \frac{\partial\mathbf u}{\partial\mathbf r}\Bigr)

    ``(N, 1, *space)`` by central differences, one-sided at the border; 1 where nothing is stretched, 0 or
    less where it folds.
    """
    _check(field)
    axes = tuple(range(2, field.ndim))
    return _determinant(torch.stack(torch.gradient(field, dim=axes), dim=2))


def folds(field: Tensor) -> Tensor:
    """Return which fields fold, bool ``(N,)``.

    A field is linear between pixels, so its derivative differs from corner to corner of a cell. In 2-D the
    determinant is positive in the whole cell if it is at its four corners. In 3-D the eight corners do not
    quite decide, but a fold between them needs derivatives far from those of a smooth field.
    """
    _check(field)
    dim = field.shape[1]
    corners = [slice(None, -1), slice(1, None)]
    folded = torch.zeros(len(field), dtype=torch.bool, device=field.device)
    for at in product(corners, repeat=dim):
        # The differences along an axis are those of the cell's edge that starts or ends in the corner.
        slopes = [
            field.diff(dim=2 + axis)[
                (slice(None), slice(None), *[at[i] if i != axis else slice(None) for i in range(dim)])
            ]
            for axis in range(dim)
        ]
        folded |= (_determinant(torch.stack(slopes, dim=2)) <= 0).flatten(1).any(dim=1)
    return folded


def _determinant(slopes: Tensor) -> Tensor:
    """Return det(I + slopes), ``(N, 1, *space)``, of derivatives ``(N, d, d, *space)``."""
    identity = torch.eye(slopes.shape[1], dtype=slopes.dtype, device=slopes.device)
    return torch.linalg.det(slopes.movedim((1, 2), (-2, -1)) + identity)[:, None]


def _pixels(field: Tensor) -> Tensor:
    """Return every pixel's own place, ``(1, d, *space)``."""
    axes = [torch.arange(side, dtype=field.dtype, device=field.device) for side in field.shape[2:]]
    return torch.stack(torch.meshgrid(axes, indexing="ij"))[None]


def _check(field: Tensor) -> None:
    if field.ndim not in (4, 5) or field.shape[1] != field.ndim - 2 or min(field.shape[2:]) < 2:
        raise CourseError(
            "A displacement field is (N, 2, H, W) or (N, 3, D, H, W), at least 2 pixels a side, "
            f"not {tuple(field.shape)}."
        )
