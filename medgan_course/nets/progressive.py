r"""Growing networks (Karras, Aila, Laine & Lehtinen 2018) and the parts that StyleGAN took over from them.

Generator and discriminator are built for the full size and used up to a *level*, a number from 0 to ``top``.
At a whole level :math:`l` images have the side :math:`s\,2^l`, with :math:`s` the side of the first feature
map. Between two of them, :math:`l+\alpha` with :math:`0<\alpha<1`, the blocks of level :math:`l+1` are faded
in, images have the side of level :math:`l+1`, and

.. math::
    G(z) = (1-\alpha)\,\mathrm{up}\bigl(\mathrm{toImage}_l(h_l)\bigr)
         + \alpha\,\mathrm{toImage}_{l+1}(h_{l+1}),

:math:`h_l` being the features of level :math:`l` and :math:`\mathrm{up}` the repetition of each pixel in a
2 x 2 block. The discriminator mirrors it with the mean of each 2 x 2 block. So nothing jumps when a block is
added: at :math:`\alpha=0` the networks compute what they did before.

The generator's output is linear, as in the paper. In evaluation mode it is cut off at -1 and 1.
"""

from itertools import pairwise
from math import ceil, log2
from typing import TypeVar

import torch
from torch import Tensor, nn
from torch.nn import functional as F
from torch.nn.utils.parametrize import register_parametrization

from medgan_course.errors import CourseError
from medgan_course.nets import latent
from medgan_course.nets.dcgan import START

Layer = TypeVar("Layer", nn.Conv2d, nn.Linear)


class _Scaled(nn.Module):
    def __init__(self, factor: float) -> None:
        super().__init__()
        self.factor = factor

    def forward(self, weight: Tensor) -> Tensor:
        return self.factor * weight


def equalised(layer: Layer, *, gain: float = 2.0, rate: float = 1.0) -> Layer:
    r"""Give a layer an equalised learning rate (section 4.1), in place, and return it.

    .. math:: \hat W = r\sqrt{g/n}\;W, \qquad W\sim\mathcal N(0, r^{-2}), \qquad \hat b = r\,b,\quad b = 0

    at the start, with :math:`n` the fan-in, the number of inputs of one output. The layer computes with
    :math:`\hat W`, of He's (2015) size; the optimiser moves :math:`W`. Adam's step does not depend on the
    size of a gradient, so a step of :math:`W` is the same share of every layer's weights, however wide.

    Parameters
    ----------
    layer : Conv2d or Linear
        ``layer.weight`` becomes :math:`\hat W`; the parameter is ``layer.parametrizations.weight.original``.
    gain : float
        :math:`g`: 2 before a ReLU or LeakyReLU, 1 before anything that halves no variance.
    rate : float
        :math:`r`, a learning rate relative to that of the other layers.
    """
    nn.init.normal_(layer.weight, std=1 / rate)
    fan_in = layer.weight[0].numel()
    register_parametrization(layer, "weight", _Scaled(rate * (gain / fan_in) ** 0.5))
    if layer.bias is not None:
        nn.init.zeros_(layer.bias)
        if rate != 1:
            register_parametrization(layer, "bias", _Scaled(rate))
    return layer


class PixelNorm(nn.Module):
    r"""Pixelwise feature normalisation (section 4.2): each pixel's channels have the mean square 1.

    .. math:: b_c = a_c \Big/ \sqrt{\tfrac1C\textstyle\sum_{c'} a_{c'}^2 + 10^{-8}}

    for ``(N, C, ...)``; of a latent vector ``(N, C)`` it makes a point on the sphere of radius
    :math:`\sqrt C`. Generator and critic cannot outbid each other in the size of features.
    """

    def forward(self, features: Tensor) -> Tensor:
        """Return the same shape."""
        return features * (features.square().mean(1, keepdim=True) + 1e-8).rsqrt()


def minibatch_std(features: Tensor, *, group: int = 4) -> Tensor:
    r"""Append a channel that says how much the images of a group differ (section 3).

    .. math:: s = \frac1{CHW}\sum_{c,p}\sqrt{\tfrac1G\textstyle\sum_{i=1}^{G}
                  \bigl(h_{icp}-\bar h_{cp}\bigr)^2 + 10^{-8}}

    with :math:`\bar h_{cp}` the mean of channel :math:`c` at pixel :math:`p` over the group's :math:`G`
    images. A discriminator that reads :math:`s` sees a collapse in every single image. The paper's group is
    the batch, the authors' code has 4; so, too, images do not depend on how many processes share the batch.

    Parameters
    ----------
    features : Tensor
        ``(N, C, H, W)``; the first ``group`` images are the first group, and so on.
    group : int
        :math:`G`, of which N must be a multiple.

    Returns
    -------
    Tensor
        ``(N, C + 1, H, W)``.
    """
    n, _, height, width = features.shape
    if n % group:
        raise CourseError(
            f"Minibatch std compares images in groups of {group}, which {n} images do not fill."
        )
    variance = features.unflatten(0, (-1, group)).var(1, unbiased=False)
    deviation = (variance + 1e-8).sqrt().mean((1, 2, 3)).repeat_interleave(group)
    return torch.cat((features, deviation.view(n, 1, 1, 1).expand(-1, -1, height, width)), 1)


def plan(size: int, base: int) -> tuple[int, list[int]]:
    """Return the side of the first feature map and the channels of every level, ``base`` at the last.

    Each level has twice the channels of the next one, but at most ``8 * base``.
    """
    if size not in START:
        raise CourseError(f"A network of {size!r} px is not defined here: choose size 16, 28, 32 or 64.")
    top = int(log2(size // START[size]))
    return START[size], [base * min(2**above, 8) for above in range(top, -1, -1)]


def up(images: Tensor) -> Tensor:
    """Repeat every pixel in a 2 x 2 block."""
    return F.interpolate(images, scale_factor=2, mode="nearest")


def at_level(images: Tensor, level: float, *, top: int) -> Tensor:
    r"""Return full-size images as the networks have them at a level.

    .. math:: (1-\alpha)\,\mathrm{up}\bigl(\mathrm{down}(x)\bigr) + \alpha\,x

    for :math:`\alpha` = the fraction of ``level`` and :math:`x` the image averaged to the side of the level
    above; at whole levels :math:`x` itself. Real images must be faded as generated ones are, or the
    discriminator tells them apart by their sharpness.

    Parameters
    ----------
    images : Tensor
        ``(N, C, H, W)``.
    level : float
        From 0 to ``top``.
    top : int
        The level of ``images``.
    """
    whole, alpha = _split(level, top)
    images = F.avg_pool2d(images, 2 ** (top - whole))
    return images if alpha == 1 else (1 - alpha) * up(F.avg_pool2d(images, 2)) + alpha * images


def _split(level: float | None, top: int) -> tuple[int, float]:
    """Return the level of the images, and how far it is faded in."""
    if level is None:
        return top, 1.0
    if not 0 <= level <= top:
        raise CourseError(f"There is no level {level}: the networks have levels from 0 to {top}.")
    return ceil(level), level % 1 or 1.0


def _convolution(width_in: int, width: int) -> list[nn.Module]:
    return [equalised(nn.Conv2d(width_in, width, 3, padding=1)), nn.LeakyReLU(0.2)]


class Generator(nn.Module):
    """Noise to image: at each level, doubled sides and twice a convolution 3, LeakyReLU(0.2), pixel norm.

    Parameters
    ----------
    size : {16, 28, 32, 64}
        Image side in pixels at the highest level; the first feature map has 4, or 7 for 28.
    z_dim : int
        Length of the latent vector.
    base : int
        Channels of the highest level, see :func:`plan`.
    channels : int
        Image channels; 1 for grey.
    """

    def __init__(self, size: int, z_dim: int = 64, base: int = 16, channels: int = 1) -> None:
        super().__init__()
        start, widths = plan(size, base)
        self.z_dim, self.top = z_dim, len(widths) - 1
        self.first = nn.Sequential(
            PixelNorm(),
            equalised(nn.Linear(z_dim, widths[0] * start**2)),
            nn.Unflatten(1, (widths[0], start, start)),
            nn.LeakyReLU(0.2),
            PixelNorm(),
            *_convolution(widths[0], widths[0]),
            PixelNorm(),
        )
        self.blocks = nn.ModuleList(
            nn.Sequential(
                nn.Upsample(scale_factor=2),
                *_convolution(before, width),
                PixelNorm(),
                *_convolution(width, width),
                PixelNorm(),
            )
            for before, width in pairwise(widths)
        )
        self.to_image = nn.ModuleList(equalised(nn.Conv2d(width, channels, 1), gain=1) for width in widths)

    def latent(self, n: int, *, seed: int | None = None) -> Tensor:
        """Draw latent vectors ``(n, z_dim)`` from N(0, I) on this net's device; a ``seed`` repeats them."""
        return latent.normal(self, n, self.z_dim, seed=seed)

    def forward(self, z: Tensor, level: float | None = None) -> Tensor:
        """Map ``z`` ``(N, z_dim)`` to images ``(N, channels, H, W)`` of a level, by default the highest."""
        whole, alpha = _split(level, self.top)
        features = [self.first(z)]
        for block in self.blocks[:whole]:
            features.append(block(features[-1]))
        images = self.to_image[whole](features[-1])
        if alpha < 1:
            images = (1 - alpha) * up(self.to_image[whole - 1](features[-2])) + alpha * images
        return images if self.training else images.clamp(-1, 1)


class Discriminator(nn.Module):
    """Image to logit, the generator's mirror without pixel norm.

    Minibatch std ties the images of a group together: a gradient penalty, which is about single images, then
    also counts what an image does to the logits of its group. The authors have it so.

    Parameters
    ----------
    size, base, channels
        As for :class:`Generator`.
    minibatch_std : bool
        False leaves the additional channel out, for the comparison that shows what it does.
    """

    def __init__(self, size: int, base: int = 16, channels: int = 1, *, minibatch_std: bool = True) -> None:
        super().__init__()
        start, widths = plan(size, base)
        self.top, self.shape = len(widths) - 1, (channels, size, size)
        self.from_image = nn.ModuleList(
            nn.Sequential(equalised(nn.Conv2d(channels, width, 1)), nn.LeakyReLU(0.2)) for width in widths
        )
        self.blocks = nn.ModuleList(
            nn.Sequential(*_convolution(width, width), *_convolution(width, below), nn.AvgPool2d(2))
            for below, width in pairwise(widths)
        )
        self.head = Head(widths[0], start, minibatch_std=minibatch_std)

    def forward(self, images: Tensor, level: float | None = None) -> Tensor:
        """Map images of a level, by default the highest, to logits ``(N,)``; positive means "real"."""
        whole, alpha = _split(level, self.top)
        side = self.shape[-1] >> (self.top - whole)
        if images.shape[1:] != (self.shape[0], side, side):
            raise CourseError(
                f"At level {self.top if level is None else level} this network takes images "
                f"(N, {self.shape[0]}, {side}, {side}), not {tuple(images.shape)}."
            )
        features = self.from_image[whole](images)
        for index in reversed(range(whole)):
            features = self.blocks[index](features)
            if index == whole - 1 and alpha < 1:
                below = self.from_image[index](F.avg_pool2d(images, 2))
                features = (1 - alpha) * below + alpha * features
        return self.head(features)


class Head(nn.Module):
    """The end of a discriminator: minibatch std, a convolution 3, one over the whole map, a linear layer.

    Parameters
    ----------
    width : int
        Channels that come in.
    side : int
        Side of the feature maps that come in, in pixels.
    minibatch_std : bool
        Whether :func:`minibatch_std` comes first.
    """

    def __init__(self, width: int, side: int, *, minibatch_std: bool = True) -> None:
        super().__init__()
        self.minibatch_std = minibatch_std
        self.layers = nn.Sequential(
            *_convolution(width + minibatch_std, width),
            equalised(nn.Conv2d(width, width, side)),
            nn.LeakyReLU(0.2),
            nn.Flatten(),
            equalised(nn.Linear(width, 1), gain=1),
        )

    def forward(self, features: Tensor) -> Tensor:
        """Map ``(N, width, side, side)`` to logits ``(N,)``."""
        return self.layers(minibatch_std(features) if self.minibatch_std else features).flatten()
