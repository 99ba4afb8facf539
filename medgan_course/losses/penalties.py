r"""Penalties on gradients: of the discriminator in the image, of the generator in its latent.

Each is differentiated a second time when its player moves, so it is computed in float32, outside autocast.
"""

from collections.abc import Callable

import torch
from torch import Tensor

from medgan_course import draws
from medgan_course.errors import CourseError
from medgan_course.losses.checks import full, same_shape


def gradient_penalty(critic: Callable[[Tensor], Tensor], *, real: Tensor, fake: Tensor) -> Tensor:
    r"""Return the gradient penalty of WGAN-GP (Gulrajani et al. 2017, eq. 3), without its factor lambda = 10.

    .. math::
        \mathbb E_{\tilde x}\bigl(\|\nabla_{\tilde x}D(\tilde x)\|_2-1\bigr)^2, \qquad
        \tilde x=\epsilon x+(1-\epsilon)\hat x, \qquad \epsilon\sim U[0,1],

    with one :math:`\epsilon` for each sample and the norm over all channels and pixels of a sample. A critic
    that gives several logits for an image (patches) counts as their mean, as it does in the loss.

    The penalty is about every single image, so the critic must treat images singly: no batch norm.

    Parameters
    ----------
    critic : callable
        Images to logits, ``(N, ...)`` to ``(N, ...)``. A condition goes in by closure:
        ``lambda images: net(images, labels)``.
    real, fake : Tensor
        Images of one shape, ``(N, C, H, W)`` or ``(N, C, D, H, W)``. No gradient flows back into them.
    """
    same_shape("gradient_penalty", real=real, fake=fake)
    real, fake = full(real), full(fake)
    epsilon = draws.uniform(len(real), *(1 for _ in real.shape[1:]), device=real.device)
    gradient = _image_gradient(critic, epsilon * real + (1 - epsilon) * fake)
    # The derivative of this norm is taken as 0 at 0; that of a square root of a sum would be NaN.
    return (torch.linalg.vector_norm(gradient, dim=1) - 1).square().mean()


def r1_penalty(discriminator: Callable[[Tensor], Tensor], *, real: Tensor) -> Tensor:
    r"""Return the R1 penalty of Mescheder, Geiger & Nowozin (2018, eq. 9), without its factor gamma.

    .. math:: \tfrac12\,\mathbb E_x\|\nabla_x D(x)\|_2^2

    the squared norm being the sum over all channels and pixels of a sample. StyleGAN2 computes it lazily, in
    every 16th step, and multiplies it by 16 there: a turn of its own with ``every=16``.

    Parameters
    ----------
    discriminator, real
        As for :func:`gradient_penalty`.
    """
    return _image_gradient(discriminator, full(real)).square().sum(1).mean() / 2


def path_length(synthesis: Callable[[Tensor], Tensor], w: Tensor, *, average: Tensor) -> Tensor:
    r"""Return the path length penalty of StyleGAN2 (Karras et al. 2020, eq. 4).

    .. math::
        \mathbb E_{w,y}(\ell-a)^2, \qquad
        \ell=\Bigl(\frac1L\sum_{l=1}^L\|J_l^\top y\|_2^2\Bigr)^{1/2}, \qquad
        J_l=\partial G(w_1,\dots,w_L)/\partial w_l,

    where :math:`w_l` is what layer :math:`l` is told, the same :math:`w` in all of :math:`L`, :math:`y` an
    image of noise from :math:`\mathcal N(0, 1/P)`, :math:`P` being its number of pixels, and :math:`a` the
    moving average of :math:`\ell` itself: the generator may choose how far a step in :math:`w` moves the
    image, but it shall be equally far everywhere. The paper has :math:`\|J_w^\top y\|_2` for :math:`\ell`.
    The mean over layers and the scale of :math:`y` are those of the authors' code, and their weight, 2, is
    for these; they take the penalty in every 8th step, and 8-fold there.

    Parameters
    ----------
    synthesis : callable
        Latents to images ``(N, C, ...)``.
    w : Tensor
        ``(N, L, d)``, or ``(N, d)`` for L = 1. Where they come from a mapping network, the penalty reaches
        that, too.
    average : Tensor
        :math:`a`, a scalar that is moved in place by 1 % of its distance to the mean length, before it is
        used. As a buffer of the generator it is in every checkpoint.
    """
    with torch.autocast(w.device.type, enabled=False):
        w = full(w)
        if not w.requires_grad:
            w = w.detach().requires_grad_()
        images = synthesis(w)
        noise = draws.normal(*images.shape, device=images.device) / images[0, 0].numel() ** 0.5
        (gradient,) = torch.autograd.grad((images * noise).sum(), w, create_graph=True)
    layers = gradient[0].numel() // gradient.shape[-1]
    length = torch.linalg.vector_norm(gradient.flatten(1), dim=1) / layers**0.5
    average.lerp_(length.detach().mean(), 0.01)
    return (length - average).square().mean()


def _image_gradient(critic: Callable[[Tensor], Tensor], images: Tensor) -> Tensor:
    """Return the gradient of each sample's mean logit in that sample, ``(N, C * H * W)``, differentiable."""
    images = images.detach().requires_grad_()
    with torch.autocast(images.device.type, enabled=False):
        logits = critic(images)
        if logits.ndim == 0 or len(logits) != len(images):
            raise CourseError(
                f"A gradient penalty needs the logits of each of {len(images)} images, "
                f"but the critic returned the shape {tuple(logits.shape)}."
            )
        (gradient,) = torch.autograd.grad(
            logits.reshape(len(images), -1).mean(1).sum(), images, create_graph=True
        )
    return gradient.flatten(1)
