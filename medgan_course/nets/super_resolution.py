r"""Networks for super-resolution: VDSR, EDSR, SRResNet, and the discriminator of SRGAN.

EDSR and SRResNet see the small image and end in pixel shuffles (Shi et al. 2016), torch's ``PixelShuffle``:
of :math:`Cs^2` channels at :math:`H\times W` they make :math:`C` channels at :math:`sH\times sW`,

.. math:: y_{c,\;si+a,\;sj+b} = h_{cs^2+as+b,\;i,\;j}, \qquad 0\le a,b<s .

Their outputs are linear: clamp to [-1, 1] where an image is needed.
"""

from itertools import pairwise
from typing import cast

from torch import Tensor, nn

from medgan_course.errors import CourseError
from medgan_course.nets.dcgan import init_dcgan


class VDSR(nn.Module):
    r"""Enlarged image to sharp image: plain convolutions 3 with ReLU (Kim, Lee & Lee 2016).

    .. math:: \hat y = x + f(x),

    where :math:`x` is the small image, already enlarged by interpolation. The network only has to add what is
    missing, mostly zero. Weights are drawn as He et al. (2015) for ReLU, biases are zero.

    Parameters
    ----------
    channels : int
        Image channels; 1 for grey.
    base : int
        Channels of every hidden map; the paper's 64.
    depth : int
        Number of convolutions; the paper's 20, with a receptive field of 41 px.
    residual : bool
        False gives :math:`\hat y=f(x)`, against which the paper compares (section 4.2).
    """

    def __init__(self, channels: int = 1, *, base: int = 64, depth: int = 20, residual: bool = True) -> None:
        super().__init__()
        if depth < 2:
            raise CourseError(f"A VDSR of depth {depth!r} has no hidden layer: choose 2 or more.")
        widths = [channels, *[base] * (depth - 1), channels]
        layers: list[nn.Module] = []
        for width_in, width in pairwise(widths):
            layers += [nn.Conv2d(width_in, width, 3, padding=1), nn.ReLU()]
        self.layers = nn.Sequential(*layers[:-1])
        self.residual = residual
        for layer in self.layers:
            if isinstance(layer, nn.Conv2d):
                nn.init.kaiming_normal_(layer.weight, nonlinearity="relu")
                nn.init.zeros_(cast(Tensor, layer.bias))

    def forward(self, images: Tensor) -> Tensor:
        """Map enlarged images ``(N, channels, H, W)`` to sharp ones of the same shape."""
        return images + self.layers(images) if self.residual else self.layers(images)


class _Block(nn.Module):
    """A residual block of two convolutions 3, with batch norm after each (SRResNet) or without (EDSR)."""

    def __init__(self, base: int, *, batch_norm: bool, activation: type[nn.Module]) -> None:
        super().__init__()

        def convolution() -> list[nn.Module]:
            norm = [nn.BatchNorm2d(base)] if batch_norm else []
            return [nn.Conv2d(base, base, 3, padding=1, bias=not batch_norm), *norm]

        self.layers = nn.Sequential(*convolution(), activation(), *convolution())

    def forward(self, features: Tensor) -> Tensor:
        return features + self.layers(features)


class ResidualSR(nn.Module):
    """Small image to large image: a head, residual blocks under one long skip, and pixel shuffles.

    Made by :func:`edsr` and :func:`srresnet`.

    Parameters
    ----------
    head : nn.Module
        Image to features.
    body : nn.Module
        Features to features, added to those it was given.
    tail : nn.Module
        Features to the large image.
    """

    def __init__(self, head: nn.Module, body: nn.Module, tail: nn.Module) -> None:
        super().__init__()
        self.head, self.body, self.tail = head, body, tail

    def forward(self, images: Tensor) -> Tensor:
        """Map small images ``(N, channels, h, w)`` to large ones ``(N, channels, s h, s w)``."""
        features = self.head(images)
        return self.tail(features + self.body(features))


def edsr(
    factor: int, *, base: int = 64, blocks: int = 16, channels: int = 1, batch_norm: bool = False
) -> ResidualSR:
    """Return the baseline network of EDSR (Lim et al. 2017, section 3): SRResNet without batch norm.

    Batch norm makes the output of an image depend on others' statistics and takes away the range of its
    values, which a regression needs. Kernels are 3 throughout, with ReLU. The factor 0.1 on the residuals
    belongs to the paper's 256-channel model alone and is left out.

    Parameters
    ----------
    factor : {2, 3, 4}
        Enlargement of each side.
    base : int
        Channels of the features; the paper's baseline has 64.
    blocks : int
        Residual blocks; the paper's baseline has 16.
    channels : int
        Image channels; 1 for grey.
    batch_norm : bool
        True puts batch norm back in and changes nothing else: the control of the paper's main claim.
    """
    blocks_ = [_Block(base, batch_norm=batch_norm, activation=nn.ReLU) for _ in range(blocks)]
    return ResidualSR(
        nn.Conv2d(channels, base, 3, padding=1),
        nn.Sequential(*blocks_, nn.Conv2d(base, base, 3, padding=1)),
        nn.Sequential(*_enlarged(base, factor), nn.Conv2d(base, channels, 3, padding=1)),
    )


def srresnet(factor: int, *, base: int = 64, blocks: int = 16, channels: int = 1) -> ResidualSR:
    """Return SRResNet, the generator of SRGAN (Ledig et al. 2017, figure 4).

    Unlike :func:`edsr` it has batch norm, PReLU, and kernels of 9 at either end.

    Parameters
    ----------
    factor, base, blocks, channels
        As for :func:`edsr`.
    """
    blocks_ = [_Block(base, batch_norm=True, activation=nn.PReLU) for _ in range(blocks)]
    last = [nn.Conv2d(base, base, 3, padding=1, bias=False), nn.BatchNorm2d(base)]
    return ResidualSR(
        nn.Sequential(nn.Conv2d(channels, base, 9, padding=4), nn.PReLU()),
        nn.Sequential(*blocks_, *last),
        nn.Sequential(*_enlarged(base, factor, nn.PReLU), nn.Conv2d(base, channels, 9, padding=4)),
    )


def _enlarged(base: int, factor: int, activation: type[nn.Module] | None = None) -> list[nn.Module]:
    """Return convolutions and pixel shuffles: one of 2 or of 3, or two of 2 for a factor of 4."""
    if factor not in (2, 3, 4):
        raise CourseError(f"An enlargement by {factor!r} is not defined here: choose 2, 3 or 4.")
    layers: list[nn.Module] = []
    for step in (2, 2) if factor == 4 else (factor,):
        layers += [nn.Conv2d(base, base * step**2, 3, padding=1), nn.PixelShuffle(step)]
        layers += [activation()] if activation else []
    return layers


class SRDiscriminator(nn.Module):
    """Image to logit: eight convolutions 3 and two dense layers (Ledig et al. 2017, figure 4).

    Strides alternate between 1 and 2, widths double from ``base`` to ``8 * base``, with LeakyReLU(0.2) and,
    but for the first, batch norm. The paper ends in a sigmoid; here the logit is returned.

    Parameters
    ----------
    size : int
        Side of the large image, divisible by 16.
    base : int
        Channels of the first feature map; the paper's 64.
    channels : int
        Image channels; 1 for grey.
    """

    def __init__(self, size: int, *, base: int = 64, channels: int = 1) -> None:
        super().__init__()
        if size < 16 or size % 16:
            raise CourseError(
                f"The SRGAN discriminator of {size!r} px is not possible: choose 16, 32, 48, ..."
            )
        self.shape = (channels, size, size)
        layers: list[nn.Module] = [nn.Conv2d(channels, base, 3, padding=1), nn.LeakyReLU(0.2)]
        width_in = base
        for width, stride in ((1, 2), (2, 1), (2, 2), (4, 1), (4, 2), (8, 1), (8, 2)):
            layers += [nn.Conv2d(width_in, width * base, 3, stride, padding=1, bias=False)]
            layers += [nn.BatchNorm2d(width * base), nn.LeakyReLU(0.2)]
            width_in = width * base
        hidden = nn.Linear(width_in * (size // 16) ** 2, 16 * base)
        layers += [nn.Flatten(), hidden, nn.LeakyReLU(0.2), nn.Linear(16 * base, 1)]
        self.layers = nn.Sequential(*layers)
        init_dcgan(self)

    def forward(self, images: Tensor) -> Tensor:
        """Map images ``(N, channels, size, size)`` to logits ``(N,)``; positive means "real"."""
        if images.shape[1:] != self.shape:
            expected = ", ".join(map(str, ("N", *self.shape)))
            raise CourseError(f"This discriminator takes images ({expected}), not {tuple(images.shape)}.")
        return self.layers(images).flatten()
