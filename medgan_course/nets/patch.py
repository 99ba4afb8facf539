r"""The PatchGAN discriminator (Isola et al. 2017, section 3.2.2), of one scale or several (Wang et al. 2018).

Each logit judges one patch of the image, as wide as its receptive field. Of :math:`L` convolutions with
kernels :math:`k_i` and strides :math:`s_i`, one after the other, this is

.. math:: r = 1 + \sum_{i=1}^L (k_i-1)\prod_{j<i}s_j .

The paper's network has kernels of 4 and strides 2, 2, 2, 1, 1: 1 + 3 (1 + 2 + 4 + 8 + 8) = 70 px. At smaller
images choose a receptive field of a quarter to half of the side.

MONAI's ``PatchDiscriminator`` is the paper's network too, but its forward pass returns a list of all maps, of
which the last are the logits: a loss given the list as it is would treat features as logits.
"""

from collections.abc import Iterable
from math import prod
from typing import cast

from torch import Tensor, nn
from torch.nn import functional as F
from torch.nn.utils.parametrizations import spectral_norm as spectrally_normalised

from medgan_course.errors import CourseError
from medgan_course.nets.dcgan import CONVOLUTION
from medgan_course.nets.norm import check_dim, init_translation, norm_layer


def receptive_field(convolutions: Iterable[tuple[int, int]]) -> int:
    """Return the side in pixels of what one output depends on; see the formula above.

    Parameters
    ----------
    convolutions : iterable of (int, int)
        Kernel and stride of each convolution, from the image on.
    """
    layers = list(convolutions)
    strides = [stride for _, stride in layers]
    return 1 + sum((kernel - 1) * prod(strides[:i]) for i, (kernel, _) in enumerate(layers))


class PatchDiscriminator(nn.Module):
    r"""Image to a map of logits, one for each patch.

    ``n_layers`` convolutions of stride 2 and two of stride 1, all with kernel 4 and LeakyReLU(0.2) between
    them, normalised but for the first and the last. Widths are ``base`` :math:`\cdot\min(2^i,8)`.

    A conditional discriminator sees condition and image as channels of one: ``D(torch.cat([x, y], 1))``.

    Parameters
    ----------
    in_channels : int
        Channels of what is judged.
    base : int
        Channels of the first feature map.
    n_layers : int
        Convolutions with stride 2: 1, 2, 3 give a receptive field of 16, 34, 70 px.
    norm : {"batch", "instance", "none"}
        pix2pix has ``"batch"``, CycleGAN and SPADE ``"instance"``. Through the statistics of either every
        logit also depends a little on the whole image: the receptive field is that of the convolutions.
    spectral_norm : bool
        Divide every weight by its largest singular value (Miyato et al. 2018), besides ``norm``, as SPADE
        does.
    dim : {2, 3}
        2 for images, 3 for volumes.
    """

    def __init__(
        self,
        in_channels: int = 1,
        *,
        base: int = 64,
        n_layers: int = 3,
        norm: str = "instance",
        spectral_norm: bool = False,
        dim: int = 2,
    ) -> None:
        super().__init__()
        check_dim(dim)
        if n_layers < 1:
            raise CourseError(f"n_layers={n_layers!r} is no patch discriminator: choose 1 or more.")
        self.in_channels, self.dim = in_channels, dim
        strides = [2] * n_layers + [1]
        self.receptive_field = receptive_field([(4, stride) for stride in (*strides, 1)])
        blocks: list[nn.Module] = []
        width_in = in_channels
        for level, stride in enumerate(strides):
            width, normed = base * min(2**level, 8), norm != "none" and level > 0
            block: list[nn.Module] = [
                CONVOLUTION[dim](width_in, width, 4, stride, padding=1, bias=not normed)
            ]
            block += [norm_layer(norm, width, dim)] if normed else []
            blocks += [nn.Sequential(*block, nn.LeakyReLU(0.2))]
            width_in = width
        blocks += [CONVOLUTION[dim](width_in, 1, 4, padding=1)]
        self.blocks = nn.ModuleList(blocks)
        # What is left of a side after the strides, less one pixel for each of the last two convolutions.
        self.shortest = 3 * 2**n_layers
        init_translation(self)
        if spectral_norm:
            for module in self.modules():
                if isinstance(module, nn.Conv2d | nn.Conv3d):
                    spectrally_normalised(module)

    def forward(self, images: Tensor) -> Tensor:
        """Map ``(N, in_channels, H, W)`` or ``(N, in_channels, D, H, W)`` to logits ``(N, 1, h, w)``."""
        return self.judge(images)[0]

    def judge(self, images: Tensor) -> tuple[Tensor, list[Tensor]]:
        """Return the logits and the feature maps before them, from fine to coarse, for feature matching.

        Raises
        ------
        CourseError
            If the images have other channels or dimensions, or are too small for a single patch.
        """
        if (
            images.ndim != self.dim + 2
            or images.shape[1] != self.in_channels
            or min(images.shape[2:]) < self.shortest
        ):
            raise CourseError(
                f"This patch discriminator takes {self.dim}-D images (N, {self.in_channels}, ...) of at "
                f"least {self.shortest} px a side, not {tuple(images.shape)}: lower n_layers for small ones."
            )
        maps = []
        for block in self.blocks:
            images = block(images)
            maps.append(images)
        return maps[-1], maps[:-1]


class MultiScaleDiscriminator(nn.Module):
    """Several patch discriminators, each on the image at half the resolution of the one before.

    With logit maps of different sizes, a loss is taken of each map and then averaged over the scales, so that
    the coarse judgement counts as much as the fine one.

    Parameters
    ----------
    scales : int
        Number of scales: pix2pixHD has 3, SPADE 2.
    in_channels, base, n_layers, norm, spectral_norm, dim
        As for :class:`PatchDiscriminator`.
    """

    def __init__(
        self,
        scales: int,
        in_channels: int = 1,
        *,
        base: int = 64,
        n_layers: int = 3,
        norm: str = "instance",
        spectral_norm: bool = False,
        dim: int = 2,
    ) -> None:
        super().__init__()
        if scales < 1:
            raise CourseError(f"scales={scales!r} leaves no discriminator: choose 1 or more.")
        self.shrink = F.avg_pool2d if dim == 2 else F.avg_pool3d
        self.scales = nn.ModuleList(
            PatchDiscriminator(
                in_channels, base=base, n_layers=n_layers, norm=norm, spectral_norm=spectral_norm, dim=dim
            )
            for _ in range(scales)
        )

    def forward(self, images: Tensor) -> list[Tensor]:
        """Map images to a map of logits for each scale, from fine to coarse."""
        return self.judge(images)[0]

    def judge(self, images: Tensor) -> tuple[list[Tensor], list[Tensor]]:
        """Return the logits of each scale, and the feature maps of all scales in one list."""
        logits, features = [], []
        for number, discriminator in enumerate(self.scales):
            if number:
                # Zeros beyond the border are no part of the image and do not count in the mean.
                images = self.shrink(images, 3, stride=2, padding=1, count_include_pad=False)
            judged, maps = cast(PatchDiscriminator, discriminator).judge(images)
            logits.append(judged)
            features += maps
        return logits, features
