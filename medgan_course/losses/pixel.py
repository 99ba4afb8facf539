r"""Losses of single pixels and of neighbours, for images ``(N, C, H, W)`` and volumes ``(N, C, D, H, W)``.

:math:`\mathbb E` is the mean over samples, channels and pixels: a weight copied from a paper that sums must
be multiplied by the number of pixels.
"""

import torch
from torch import Tensor
from torch.nn import functional as F

from medgan_course.losses.checks import full, same_shape, spatial_axes


def l1(x: Tensor, y: Tensor) -> Tensor:
    r"""Return the mean absolute difference :math:`\mathbb E|x-y|`, the fidelity term of pix2pix.

    What minimises it, where several :math:`y` are possible, is their median; for the square it is their mean.
    """
    same_shape("l1", x=x, y=y)
    return F.l1_loss(full(x), full(y))


def charbonnier(x: Tensor, y: Tensor, *, epsilon: float = 1e-3) -> Tensor:
    r"""Return the Charbonnier loss, :math:`\mathbb E\sqrt{(x-y)^2+\epsilon^2}` (Lai et al. 2017).

    The absolute value with its corner rounded off: quadratic for differences well below :math:`\epsilon`,
    :math:`|x-y|` well above, and :math:`\epsilon` where the images agree.
    """
    same_shape("charbonnier", x=x, y=y)
    return ((full(x) - full(y)).square() + epsilon**2).sqrt().mean()


def total_variation(images: Tensor) -> Tensor:
    r"""Return the anisotropic total variation (Rudin, Osher & Fatemi 1992), a mean for each axis.

    .. math:: \sum_a\mathbb E\,|\nabla_a x|, \qquad (\nabla_a x)_p = x_{p+e_a}-x_p,

    with :math:`e_a` one step along the spatial axis :math:`a`; the mean is over the pixels that have such a
    neighbour.
    """
    axes = spatial_axes("total_variation", images)
    return torch.stack([full(images).diff(dim=axis).abs().mean() for axis in axes]).sum()
