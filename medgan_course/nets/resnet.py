"""The residual generator of CycleGAN (Zhu et al. 2017, section 7.2; Johnson et al. 2016)."""

from torch import Tensor, nn

from medgan_course.errors import CourseError
from medgan_course.nets.dcgan import CONVOLUTION
from medgan_course.nets.norm import check_dim, init_translation, norm_layer


def _convolution(width_in: int, width: int, kernel: int, dim: int, *, stride: int = 1) -> list[nn.Module]:
    """Return a convolution with reflected borders and instance norm, which makes a bias useless."""
    layer = CONVOLUTION[dim](
        width_in, width, kernel, stride, padding=kernel // 2, padding_mode="reflect", bias=False
    )
    return [layer, norm_layer("instance", width, dim)]


class ResidualBlock(nn.Module):
    r"""The block :math:`h + f(h)`, where :math:`f` is convolution 3, instance norm, ReLU, and both again."""

    def __init__(self, width: int, dim: int = 2) -> None:
        super().__init__()
        self.layers = nn.Sequential(
            *_convolution(width, width, 3, dim), nn.ReLU(), *_convolution(width, width, 3, dim)
        )

    def forward(self, features: Tensor) -> Tensor:
        return features + self.layers(features)


class ResNetGenerator(nn.Module):
    r"""Image to image: a few halvings, residual blocks at low resolution, as many doublings, tanh.

    In the paper's notation, with ``base`` 64 and two ``halvings``, c7s1-64, d128, d256, R256 (``blocks``
    times), u128, u64, c7s1-1. Borders are reflected, so that none shows; the statistics of instance norm are
    those of each image alone.

    The paper's way up, a transposed convolution with kernel 3 and stride 2, gives neighbouring pixels 1, 2, 2
    and 4 contributions: the pattern shows as a fine checkerboard (Odena, Dumoulin & Olah 2016), which in a
    medical image reads as texture. Here each doubling repeats pixels and convolves: every pixel has nine
    contributions, and a constant map stays constant, at four times the multiplications of that layer. The
    parameters are as many as the paper's.

    Parameters
    ----------
    in_channels, out_channels : int
        Channels of the image that goes in and of that which comes out.
    base : int
        Channels at full resolution; each halving doubles them.
    blocks : int
        Number of residual blocks: the paper's 6 for 128 px, 9 for 256 px.
    halvings : int
        Number of stride-2 convolutions; the paper's 2.
    dim : {2, 3}
        2 for images, 3 for volumes.
    """

    def __init__(
        self,
        in_channels: int = 1,
        out_channels: int = 1,
        *,
        base: int = 64,
        blocks: int = 9,
        halvings: int = 2,
        dim: int = 2,
    ) -> None:
        super().__init__()
        check_dim(dim)
        self.divisor, self.dim = 2**halvings, dim
        layers = [*_convolution(in_channels, base, 7, dim), nn.ReLU()]
        width = base
        for _ in range(halvings):
            layers += [*_convolution(width, 2 * width, 3, dim, stride=2), nn.ReLU()]
            width *= 2
        layers += [ResidualBlock(width, dim) for _ in range(blocks)]
        for _ in range(halvings):
            layers += [nn.Upsample(scale_factor=2), *_convolution(width, width // 2, 3, dim), nn.ReLU()]
            width //= 2
        layers += [CONVOLUTION[dim](base, out_channels, 7, padding=3, padding_mode="reflect"), nn.Tanh()]
        self.layers = nn.Sequential(*layers)
        init_translation(self)

    def forward(self, images: Tensor) -> Tensor:
        """Map ``(N, in_channels, H, W)`` or ``(N, in_channels, D, H, W)`` to as many pixels in [-1, 1].

        Raises
        ------
        CourseError
            If a side is not divisible by ``2 ** halvings``, or too short to be reflected.
        """
        shortest = max(4, 2 * self.divisor)
        sides = images.shape[2:]
        if images.ndim != self.dim + 2 or any(s % self.divisor or s < shortest for s in sides):
            raise CourseError(
                f"This generator takes {self.dim}-D images (N, C, ...) whose sides are divisible by "
                f"{self.divisor} and at least {shortest}, not {tuple(images.shape)}: pad them."
            )
        return self.layers(images)
