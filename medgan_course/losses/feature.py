r"""Losses between feature maps: of a fixed network (perceptual) or of the discriminator (feature matching).

Real features are constants here (detached): the generator is drawn to them, never they to it.
"""

from collections.abc import Callable, Sequence

import torch
from torch import Tensor

from medgan_course.errors import CourseError
from medgan_course.losses.checks import full, same_shape


def perceptual(features: Callable[[Tensor], Sequence[Tensor]], *, real: Tensor, fake: Tensor) -> Tensor:
    r"""Return the perceptual (content) loss of SRGAN (Ledig et al. 2017, eq. 5), a mean over layers.

    .. math:: \frac1L\sum_{l=1}^L\mathbb E\bigl(\phi_l(\hat x)-\phi_l(x)\bigr)^2

    :math:`\mathbb E` is the mean over samples, channels and positions of the map :math:`\phi_l`. The maps are
    compared as the network gives them, without rescaling: a weight belongs to one network. For medical images
    choose features of the domain, not those of photographs.

    Parameters
    ----------
    features : callable
        Images to a list of feature maps. It should be fixed and in evaluation mode.
    real, fake : Tensor
        Images of one shape, :math:`x` and :math:`\hat x`; the gradient flows into ``fake`` only.
    """
    same_shape("perceptual", real=real, fake=fake)
    with torch.no_grad():
        wanted = features(real)
    return _over_layers("perceptual", wanted, features(fake), torch.square) / len(wanted)


def feature_matching(*, real: Sequence[Tensor], fake: Sequence[Tensor]) -> Tensor:
    r"""Return the feature matching loss of pix2pixHD (Wang et al. 2018, eq. 4), which SPADE took over.

    .. math:: \sum_{l=1}^L\mathbb E\,|f_l(\hat x)-f_l(x)|

    where :math:`f_l` are the discriminator's feature maps, of all its scales, and :math:`\mathbb E` is the
    mean over a map. Both papers weight the sum by 10; SPADE's code divides it by the number of scales
    besides.

    Parameters
    ----------
    real, fake : sequence of Tensor
        The maps :math:`f_l(x)` and :math:`f_l(\hat x)`, the latter with a gradient.
    """
    return _over_layers("feature_matching", real, fake, torch.abs)


def moment_matching(*, real: Tensor, fake: Tensor) -> Tensor:
    r"""Return the feature matching loss of Salimans et al. (2016, section 3.1): mean features shall agree.

    .. math:: \frac1d\,\bigl\|\,\overline{f(x)}-\overline{f(\hat x)}\,\bigr\|_2^2

    The bar is the mean over the batch, :math:`d` the number of features. Unlike :func:`feature_matching` it
    does not pair a generated image with a real one. With several processes each takes the mean of its own
    samples.

    Parameters
    ----------
    real, fake : Tensor
        Features ``(N, ...)`` and ``(M, ...)`` of real and of generated images.
    """
    same_shape("moment_matching", real=real[0], fake=fake[0])
    return (full(fake).mean(0) - full(real).detach().mean(0)).square().mean()


def _over_layers(
    loss: str, real: Sequence[Tensor], fake: Sequence[Tensor], distance: Callable[[Tensor], Tensor]
) -> Tensor:
    if isinstance(real, Tensor) or len(real) != len(fake) or not len(real):
        raise CourseError(
            f"The loss {loss} compares two lists with the same number of feature maps, "
            f"but got {type(real).__name__} of {len(real)} and {type(fake).__name__} of {len(fake)}."
        )
    terms = []
    for layer, (wanted, got) in enumerate(zip(real, fake, strict=True)):
        same_shape(f"{loss}, layer {layer},", real=wanted, fake=got)
        terms.append(distance(full(got) - full(wanted).detach()).mean())
    return torch.stack(terms).sum()
