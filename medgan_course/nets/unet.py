"""The U-Net of pix2pix (Isola et al. 2017, section 6.1.1), for images and volumes.

MONAI's ``UNet`` is another network: kernels of 3 with PReLU instead of kernels of 4 with LeakyReLU and ReLU,
normalisation at the innermost map too, and dropout that stops in evaluation mode.
"""

import torch
from torch import Tensor, nn

from medgan_course import draws
from medgan_course.errors import CourseError
from medgan_course.nets.dcgan import CONVOLUTION, OUTER, TRANSPOSED
from medgan_course.nets.norm import check_dim, init_translation, norm_layer


class Noise(nn.Module):
    r"""Dropout that never stops, pix2pix's only source of chance.

    .. math:: h \mapsto \frac{m\odot h}{1-p}, \qquad m \sim \mathrm{Bernoulli}(1-p)

    with a mask :math:`m` for every number of every sample. The paper keeps it at test time, which a model in
    evaluation mode would not do with torch's ``Dropout``.
    """

    def __init__(self, p: float) -> None:
        super().__init__()
        self.p = p

    def forward(self, features: Tensor) -> Tensor:
        mask = draws.uniform(len(features), *features.shape[1:], device=features.device) >= self.p
        return features * mask / (1 - self.p)


class UNet(nn.Module):
    r"""Image to image: halved ``depth`` times, doubled as often, with skips between maps of one size.

    Down: convolution 4, stride 2; normalisation, but not after the first and the last; LeakyReLU(0.2). Up:
    ReLU; transposed convolution 4, stride 2; normalisation; dropout in the innermost levels. The kernel is a
    multiple of the stride, so every output pixel gets equally many contributions. Widths are
    ``base`` :math:`\cdot\min(2^i,8)` at level :math:`i=0,\dots,` ``depth`` :math:`-1`. The paper has
    ``base=64`` and ``depth=8``, which takes 256 px down to one.

    The last layer is linear: a generator of images in [-1, 1] adds ``nn.Tanh()``, a segmentor reads the
    outputs as logits.

    Parameters
    ----------
    in_channels, out_channels : int
        Channels of the image that goes in and of that which comes out.
    base : int
        Channels of the first feature map.
    depth : int
        Number of halvings, at least 2; every side of the image must be divisible by ``2 ** depth``.
    norm : {"instance", "batch", "none"}
        The paper's is batch norm in batches of one image, in training and at test time, which it calls
        instance normalisation, with a learned gain and shift that ``"instance"`` lacks. Whatever the batch,
        ``"instance"`` treats an image alike whether it is trained on or tested.
    skips : bool
        False leaves the skips out: an encoder-decoder (FCN), all of whose information passes the innermost
        map.
    dropout : float
        Share of features that :class:`Noise` sets to zero, in the first (at most three) levels of the way up
        that are followed by another; the paper's 0.5. 0 gives a deterministic network.
    dim : {2, 3}
        2 for images, 3 for volumes.
    """

    def __init__(
        self,
        in_channels: int = 1,
        out_channels: int = 1,
        *,
        base: int = 64,
        depth: int = 8,
        norm: str = "instance",
        skips: bool = True,
        dropout: float = 0.5,
        dim: int = 2,
    ) -> None:
        super().__init__()
        check_dim(dim)
        if depth < 2:
            raise CourseError(f"A U-Net of depth {depth!r} has no inner level: choose 2 or more.")
        self.divisor, self.skips, self.dim = 2**depth, skips, dim
        widths = [base * min(2**level, 8) for level in range(depth)]
        bias = norm == "none"  # a norm that follows would take it away again
        down: list[nn.Module] = []
        for level, width in enumerate(widths):
            normed = 0 < level < depth - 1
            layers: list[nn.Module] = [nn.LeakyReLU(0.2)] if level else []
            before = widths[level - 1] if level else in_channels
            layers += [CONVOLUTION[dim](before, width, 4, stride=2, padding=1, bias=bias or not normed)]
            # The innermost map may be a single pixel: normalised on its own it would be zero.
            layers += [norm_layer(norm, width, dim)] if normed else []
            down += [nn.Sequential(*layers)]
        up: list[nn.Module] = []
        for level in reversed(range(1, depth)):
            before = widths[level] * (2 if skips and level < depth - 1 else 1)
            width = widths[level - 1]
            layers = [nn.ReLU(), TRANSPOSED[dim](before, width, 4, stride=2, padding=1, bias=bias)]
            layers += [norm_layer(norm, width, dim)]
            layers += [Noise(dropout)] if dropout and len(up) < min(3, depth - 2) else []
            up += [nn.Sequential(*layers)]
        self.down, self.up = nn.ModuleList(down), nn.ModuleList(up)
        last = OUTER[dim](base * (2 if skips else 1), out_channels, 4, stride=2, padding=1)
        self.last = nn.Sequential(nn.ReLU(), last)
        init_translation(self)

    def forward(self, images: Tensor) -> Tensor:
        """Map ``(N, in_channels, H, W)`` or ``(N, in_channels, D, H, W)`` to as many pixels.

        Raises
        ------
        CourseError
            If a side is not divisible by ``2 ** depth``.
        """
        if images.ndim != self.dim + 2 or any(side % self.divisor for side in images.shape[2:]):
            raise CourseError(
                f"This U-Net takes {self.dim}-D images (N, C, ...) whose sides are divisible by "
                f"{self.divisor}, not {tuple(images.shape)}: pad them, or lower depth."
            )
        maps = []
        for down in self.down:
            images = down(images)
            maps.append(images)
        images = maps.pop()
        for up in self.up:
            images = up(images)
            skipped = maps.pop()
            if self.skips:
                images = torch.cat([skipped, images], 1)
        return self.last(images)
