r"""Losses that compare structure rather than single pixels, for images and volumes alike.

Everywhere :math:`x, y` are batches ``(N, C, H, W)`` or ``(N, C, D, H, W)``, :math:`p` runs over their pixels
(or voxels) and :math:`a` over the spatial axes.
"""

from itertools import product
from typing import Literal

import torch
from torch import Tensor
from torch.nn import functional as F

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


def ssim(x: Tensor, y: Tensor, *, data_range: float, window: int = 11, sigma: float = 1.5) -> Tensor:
    r"""Return one minus the mean of :func:`ssim_map`: 0 for equal images, at most 2."""
    return 1 - ssim_map(x, y, data_range=data_range, window=window, sigma=sigma).mean()


def gradient_difference(x: Tensor, y: Tensor) -> Tensor:
    r"""Return the gradient difference loss (Mathieu, Couprie & LeCun 2016; Nie et al. 2017).

    .. math:: \sum_a\mathbb E\bigl(|\nabla_a x|-|\nabla_a y|\bigr)^2, \qquad (\nabla_a x)_p=x_{p+e_a}-x_p

    A mean for each axis where Nie et al. sum. It asks for edges of the same height and is blind to their
    sign.
    """
    same_shape("gradient_difference", x=x, y=y)
    gradients = zip(_gradients("gradient_difference", x), _gradients("gradient_difference", y), strict=True)
    return torch.stack([(u.abs() - v.abs()).square().mean() for u, v in gradients]).sum()


def gradient_correlation(x: Tensor, y: Tensor, *, mode: Literal["signed", "abs", "magnitude"]) -> Tensor:
    r"""Return one minus the correlation of the images' gradients (Hiasa et al. 2018).

    .. math:: 1-\frac1A\sum_{a=1}^A\mathrm{NCC}(\nabla_a x,\nabla_a y), \qquad
        \mathrm{NCC}(u,v)=\frac{\sum_p(u_p-\bar u)(v_p-\bar v)}
        {\sqrt{\sum_p(u_p-\bar u)^2\,\sum_p(v_p-\bar v)^2}}

    for every sample and channel, of which the mean is taken. The paper's is ``"signed"``: an edge that rises
    in one image shall rise in the other. Between MR and CT it does not, bone being dark in the one and bright
    in the other. There ``"abs"`` takes :math:`|\mathrm{NCC}|`, which allows all edges to be inverted at once,
    and ``"magnitude"`` takes :math:`\mathrm{NCC}(|\nabla_a x|,|\nabla_a y|)`, which allows each edge either
    sign.

    Parameters
    ----------
    x, y : Tensor
        Images or volumes of one shape, in [-1, 1]. A gradient whose standard deviation is below 1e-4 counts
        as flat: its correlation goes to 0.
    mode : {"signed", "abs", "magnitude"}
        What happens to the sign. There is no default, since the wrong one pulls edges the wrong way.
    """
    if mode not in ("signed", "abs", "magnitude"):
        raise CourseError(
            f"gradient_correlation has no mode {mode!r}: choose 'signed', 'abs' or 'magnitude'."
        )
    same_shape("gradient_correlation", x=x, y=y)
    correlations = []
    gradients = zip(_gradients("gradient_correlation", x), _gradients("gradient_correlation", y), strict=True)
    for u, v in gradients:
        if mode == "magnitude":
            u, v = u.abs(), v.abs()
        ncc = (_standardised(u) * _standardised(v)).mean(2)
        correlations.append(ncc.abs() if mode == "abs" else ncc)
    return 1 - torch.stack(correlations).mean()


def mind_descriptor(images: Tensor, *, region: int = 9, patch: int = 7, sigma: float = 2.0) -> Tensor:
    r"""Return the modality independent neighbourhood descriptor (Heinrich et al. 2012).

    What surrounds a pixel is described by how much its patch resembles the patches nearby. For an offset
    :math:`r` and Gaussian weights :math:`k_\sigma` over a patch,

    .. math::
        M_r(x)_p=\frac1{n_p}\exp\Bigl(-\frac{D_r(x)_p}{V(x)_p}\Bigr), \qquad
        D_r(x)_p=\sum_q k_\sigma(q)\bigl(x_{p+q}-x_{p+q+r}\bigr)^2,

    :math:`V_p` being the mean of :math:`D_r` over the nearest offsets (4 in images, 6 in volumes), and
    :math:`n_p` such that the largest :math:`M_r` at a pixel is 1. :math:`V_p` is kept between 0.001 and 1000
    times its mean over the image. That bound is relative on purpose: so the descriptor of
    :math:`\alpha x+\beta` is that of :math:`x` for any :math:`\alpha\ne0`, which a small constant in the
    denominator would spoil.

    Parameters
    ----------
    images : Tensor
        ``(N, C, H, W)`` or ``(N, C, D, H, W)``, each channel described by itself. Beyond the border its
        pixels are repeated.
    region : int
        Side of the neighbourhood, odd; its offsets are all but the centre: 80 in an image, 728 in a volume,
        where 3 is a better choice.
    patch : int
        Side of the patches, odd.
    sigma : float
        Standard deviation of the weights in a patch, in pixels. Region, patch and weights are our reading of
        Yang et al. (2018).

    Returns
    -------
    Tensor
        ``(N, C, R, ...)`` with R = region^d - 1 offsets, values in (0, 1].
    """
    axes = spatial_axes("mind", images)
    if region % 2 == 0 or patch % 2 == 0 or region < 3:
        raise CourseError(
            f"MIND needs an odd region of 3 or more and an odd patch, not region={region} and patch={patch}."
        )
    images = full(images)
    reach = region // 2
    margin = reach + patch // 2
    padded = F.pad(images, [margin] * (2 * len(axes)), mode="replicate")
    # The pixels of every patch around a pixel of the image; they end `reach` before the padding does.
    sides = [images.shape[axis] + patch - 1 for axis in axes]

    def shifted(offset: tuple[int, ...]) -> Tensor:
        view = padded
        for axis, step, side in zip(axes, offset, sides, strict=True):
            view = view.narrow(axis, reach + step, side)
        return view

    centre = shifted((0,) * len(axes))
    offsets = [offset for offset in product(range(-reach, reach + 1), repeat=len(axes)) if any(offset)]
    distances = torch.stack(
        [_gaussian((centre - shifted(offset)).square(), patch, sigma) for offset in offsets], dim=2
    )
    nearest = [i for i, offset in enumerate(offsets) if sum(map(abs, offset)) == 1]
    variance = distances[:, :, nearest].mean(2, keepdim=True)
    typical = variance.flatten(2).mean(2).view(*variance.shape[:2], *(1 for _ in variance.shape[2:]))
    variance = variance.clamp(0.001 * typical, 1000 * typical)
    # In an image without any contrast every patch resembles every other: all entries are 1.
    variance = variance.clamp_min(torch.finfo(variance.dtype).tiny)
    return torch.exp((distances.amin(2, keepdim=True) - distances) / variance)


def mind(x: Tensor, y: Tensor, *, region: int = 9, patch: int = 7, sigma: float = 2.0) -> Tensor:
    r"""Return the structure loss of Yang et al. (2018): the mean absolute difference of MIND descriptors.

    .. math:: \mathbb E_{p,r}\,|M_r(x)_p-M_r(y)_p|

    It compares images of different modalities. See :func:`mind_descriptor` for :math:`M_r` and the
    parameters.
    """
    same_shape("mind", x=x, y=y)
    descriptors = [mind_descriptor(each, region=region, patch=patch, sigma=sigma) for each in (x, y)]
    return (descriptors[0] - descriptors[1]).abs().mean()


def _gradients(loss: str, images: Tensor) -> list[Tensor]:
    """Return the forward differences along each spatial axis."""
    return [full(images).diff(dim=axis) for axis in spatial_axes(loss, images)]


def _standardised(values: Tensor) -> Tensor:
    """Flatten every channel and scale it to mean 0 and standard deviation 1, unless that is nearly 0."""
    values = values.flatten(2)
    values = values - values.mean(2, keepdim=True)
    deviation = torch.linalg.vector_norm(values, dim=2, keepdim=True) / values.shape[2] ** 0.5
    return values / deviation.clamp_min(1e-4)
