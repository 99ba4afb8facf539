r"""Losses of segmentation masks, from logits.

Every channel is a mask of its own, :math:`p=\sigma(\text{logit})`; the target is 0 or 1, of the same shape.
With the sums over the pixels of one sample and channel,

.. math:: TP=\sum_i p_it_i, \qquad FP=\sum_i p_i(1-t_i), \qquad FN=\sum_i(1-p_i)t_i,

.. math:: TI=\frac{TP+s}{TP+\alpha\,FP+\beta\,FN+s}

is the Tversky index (Salehi, Erdogmus & Gholipour 2017), :math:`\alpha` weighing false positives and
:math:`\beta` false negatives. The smoothing :math:`s`, in pixels, makes an empty mask that is predicted empty
a perfect one instead of 0/0.
"""

import torch
from torch import Tensor
from torch.nn import functional as F

from medgan_course.losses.checks import full, same_shape


def dice(*, logits: Tensor, target: Tensor, smooth: float = 1.0) -> Tensor:
    r"""Return the soft Dice loss (Milletari, Navab & Ahmadi 2016), a mean over samples and channels.

    .. math:: 1-\frac{2\,TP+2s}{2\,TP+FP+FN+2s},

    which is :math:`1-TI` at :math:`\alpha=\beta=\tfrac12`.

    Parameters
    ----------
    logits, target : Tensor
        ``(N, C, ...)``; ``target`` holds 0 and 1.
    smooth : float
        :math:`s`, in pixels.
    """
    return _one_minus_tversky(logits, target, alpha=0.5, beta=0.5, smooth=smooth).mean()


def dice_bce(*, logits: Tensor, target: Tensor, smooth: float = 1.0) -> Tensor:
    r"""Return soft Dice plus binary cross-entropy: overlap of the whole mask and certainty of every pixel.

    .. math:: L_\text{Dice}+\mathbb E\bigl[-t\log p-(1-t)\log(1-p)\bigr]

    Parameters
    ----------
    logits, target, smooth
        As for :func:`dice`.
    """
    overlap = dice(logits=logits, target=target, smooth=smooth)
    logits = full(logits)
    return overlap + F.binary_cross_entropy_with_logits(logits, target.to(logits.dtype))


def focal_tversky(
    *,
    logits: Tensor,
    target: Tensor,
    alpha: float = 0.3,
    beta: float = 0.7,
    gamma: float = 4 / 3,
    smooth: float = 1.0,
) -> Tensor:
    r"""Return the focal Tversky loss (Abraham & Khan 2019), a mean over samples and channels.

    .. math:: (1-TI)^{1/\gamma}

    Mind the exponent: it is :math:`1/\gamma`, 3/4 by default. Abraham & Khan call the weight of false
    negatives :math:`\alpha`; here, as in Salehi et al. and in the SP Cycle-GAN's code, it is :math:`\beta`.

    Parameters
    ----------
    logits, target, smooth
        As for :func:`dice`.
    alpha, beta : float
        Weights of false positives and of false negatives; 0.3 and 0.7 favour finding a lesion.
    gamma : float
        Above 1 a mask that is nearly right keeps a larger gradient; 1 gives the Tversky loss.
    """
    loss = _one_minus_tversky(logits, target, alpha=alpha, beta=beta, smooth=smooth)
    # A root has no derivative at 0.
    return loss.clamp_min(1e-7).pow(1 / gamma).mean()


def _one_minus_tversky(logits: Tensor, target: Tensor, *, alpha: float, beta: float, smooth: float) -> Tensor:
    same_shape("segmentation", logits=logits, target=target)
    p = torch.sigmoid(full(logits)).flatten(2)
    t = target.to(p.dtype).flatten(2)
    missed = (alpha * p * (1 - t) + beta * (1 - p) * t).sum(2)
    return missed / ((p * t).sum(2) + missed + smooth)
