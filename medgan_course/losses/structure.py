r"""Losses that compare structure rather than single pixels, for images and volumes alike.

Everywhere :math:`x, y` are batches ``(N, C, H, W)`` or ``(N, C, D, H, W)``, :math:`p` runs over their pixels
(or voxels) and :math:`a` over the spatial axes.
"""

import torch
from torch import Tensor

from medgan_course.errors import CourseError
from medgan_course.losses.checks import full, same_shape, spatial_axes


def ssim_parts(
    x: Tensor, y: Tensor, *, data_range: float, window: int = 11, sigma: float = 1.5
) -> tuple[Tensor, Tensor]:
    r"""Return the two factors of the structural similarity at every pixel (Wang et al. 2004).

    With means, variances and covariance under a Gaussian window :math:`w` around the pixel,
    :math:`\mu_x=\sum_p w_p x_p`, :math:`\sigma_x^2=\sum_p w_p x_p^2-\mu_x^2`,
    :math:`\sigma_{xy}=\sum_p w_p x_p y_p-\mu_x\mu_y`, and the constants :math:`C_1=(0.01L)^2`,
    :math:`C_2=(0.03L)^2` of the data range :math:`L`,

    .. math::
        l = \frac{2\mu_x\mu_y+C_1}{\mu_x^2+\mu_y^2+C_1}, \qquad
        cs = \frac{2\sigma_{xy}+C_2}{\sigma_x^2+\sigma_y^2+C_2}.

    Multi-scale SSIM needs them apart (Wang, Simoncelli & Bovik 2003); :func:`ssim_map` is their product.

    Parameters
    ----------
    x, y : Tensor
        Images or volumes of the same shape.
    data_range : float
        :math:`L`, the distance between the smallest and the largest possible value: 2 for images in [-1, 1].
        Never an image's own maximum, which would make scores of different images incomparable.
    window : int
        Side of the Gaussian window, odd.
    sigma : float
        Its standard deviation, in pixels.

    Returns
    -------
    luminance, contrast_structure : Tensor
        Maps ``(N, C, ...)`` of the pixels whose window lies inside the image: each side is shorter by
        ``window - 1``, and no border is made up.
    """
    same_shape("ssim", x=x, y=y)
    sides = [x.shape[axis] for axis in spatial_axes("ssim", x)]
    if window % 2 == 0 or window > min(sides):
        raise CourseError(
            f"SSIM needs an odd window no larger than the image: window={window} does not fit {tuple(sides)}."
        )
    if data_range <= 0:
        raise CourseError(f"SSIM needs a positive data range, not {data_range}: 2 for images in [-1, 1].")
    x, y = full(x), full(y)
    moments = torch.stack((x, y, x * x, y * y, x * y)).flatten(0, 1)
    mean_x, mean_y, square_x, square_y, product = _gaussian(moments, window, sigma).unflatten(0, (5, -1))
    c1, c2 = (0.01 * data_range) ** 2, (0.03 * data_range) ** 2
    luminance = (2 * mean_x * mean_y + c1) / (mean_x**2 + mean_y**2 + c1)
    covariance = product - mean_x * mean_y
    variances = square_x - mean_x**2 + square_y - mean_y**2
    return luminance, (2 * covariance + c2) / (variances + c2)


def ssim_map(x: Tensor, y: Tensor, *, data_range: float, window: int = 11, sigma: float = 1.5) -> Tensor:
    r"""Return the structural similarity :math:`l\cdot cs` at every pixel, see :func:`ssim_parts`.

    Its mean over an image is the image's SSIM, 1 for equal images, in agreement with scikit-image's
    ``structural_similarity(gaussian_weights=True, sigma=1.5, use_sample_covariance=False)``.
    """
    luminance, contrast_structure = ssim_parts(x, y, data_range=data_range, window=window, sigma=sigma)
    return luminance * contrast_structure


def _gaussian(images: Tensor, window: int, sigma: float) -> Tensor:
    """Weigh the neighbours of every pixel whose window lies inside the image by a normalised Gaussian.

    One axis after the other, each as a product with a banded matrix: many times faster than a convolution.
    """
    offsets = torch.arange(window, dtype=images.dtype, device=images.device) - (window - 1) / 2
    weights = torch.exp(-(offsets**2) / (2 * sigma**2))
    weights = weights / weights.sum()
    # Autocast would multiply in half precision.
    with torch.autocast(images.device.type, enabled=False):
        for axis in range(2, images.ndim):
            side = torch.eye(images.shape[axis], dtype=images.dtype, device=images.device)
            band = side.unfold(0, window, 1) @ weights
            images = (images.movedim(axis, -1) @ band.T).movedim(-1, axis)
    return images
