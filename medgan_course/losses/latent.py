r"""Losses on latent codes: the KL divergence of a VAE and InfoGAN's bounds on mutual information.

:math:`n` runs over the batch and :math:`j` over the entries of a code. Sums over :math:`j`, means over
:math:`n`: a mean over :math:`j` would silently divide the weight by the length of the code.
"""

from math import log, tau

from torch import Tensor
from torch.nn import functional as F

from medgan_course.losses.checks import full, same_shape


def kl_normal(*, mean: Tensor, log_variance: Tensor) -> Tensor:
    r"""Return the KL divergence of a diagonal normal from N(0, I) in nats (Kingma & Welling 2014, app. B).

    .. math::
        \mathbb E_n\,\mathrm{KL}\bigl(\mathcal N(\mu,s^2)\,\|\,\mathcal N(0,1)\bigr)
        = \mathbb E_n\,\tfrac12\sum_j\bigl(\mu_{nj}^2+s_{nj}^2-\log s_{nj}^2-1\bigr)

    Parameters
    ----------
    mean, log_variance : Tensor
        :math:`\mu` and :math:`\log s^2`, ``(N, ...)``.
    """
    same_shape("kl_normal", mean=mean, log_variance=log_variance)
    mean, log_variance = full(mean), full(log_variance)
    return 0.5 * (mean.square() + log_variance.exp() - log_variance - 1).flatten(1).sum(1).mean()


def categorical_information(*, logits: Tensor, code: Tensor) -> Tensor:
    r"""Return minus InfoGAN's bound on the information about a categorical code (Chen et al. 2016, eq. 5).

    For a code :math:`c` drawn uniformly from :math:`K` values, with entropy :math:`H(c)=\log K`,

    .. math:: -L_I = -H(c)-\mathbb E_n\log Q(c_n\mid x_n) \;\ge\; -I(c;G(z,c)), \qquad Q=\mathrm{softmax}

    in nats: 0 where Q guesses, :math:`-\log K` where the image shows its code with certainty.

    Parameters
    ----------
    logits : Tensor
        Of the head Q for generated images, ``(N, K)``.
    code : Tensor
        The codes that these were generated from, int64 ``(N,)``.
    """
    return F.cross_entropy(full(logits), code) - log(logits.shape[1])


def gaussian_information(*, mean: Tensor, log_variance: Tensor, code: Tensor) -> Tensor:
    r"""Return minus InfoGAN's bound on the information about continuous codes, Q being normal.

    For codes :math:`c_j` drawn uniformly from [-1, 1), with entropy :math:`\log 2` each,

    .. math::
        -L_I = \sum_j\Bigl(-\log2+\mathbb E_n\tfrac12\Bigl[\log(2\pi s_{nj}^2)
        +\frac{(c_{nj}-\mu_{nj})^2}{s_{nj}^2}\Bigr]\Bigr)

    in nats. A constant :math:`s` leaves a squared error. :math:`\log s^2` counts as 10 above 10 and as
    -10 below -10, without a gradient: a variance shall neither overflow nor vanish.

    Parameters
    ----------
    mean, log_variance : Tensor
        :math:`\mu` and :math:`\log s^2` of the head Q for generated images, ``(N, J)``.
    code : Tensor
        The codes that these were generated from, ``(N, J)``.
    """
    same_shape("gaussian_information", mean=mean, log_variance=log_variance, code=code)
    mean, log_variance = full(mean), full(log_variance)
    # Not torch's gaussian_nll_loss: it waits for the device to see that no variance is negative.
    log_variance = log_variance.clamp(-10, 10)
    nll = 0.5 * (log(tau) + log_variance + (code - mean).square() * (-log_variance).exp())
    return (nll - log(2)).sum(1).mean()
