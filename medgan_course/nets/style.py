r"""Style-based networks: AdaIN (Huang & Belongie 2017), StyleGAN (Karras, Laine & Aila 2019) and StyleGAN2.

The generator is that of StyleGAN2 (Karras, Laine, Aittala, Hellsten, Lehtinen & Aila 2020): a mapping network
makes a style :math:`w` of a latent vector :math:`z`, and a synthesis network starts from a learned constant
and is told the style in every layer, by the size of its weights. Nothing grows: images of all levels are
summed (skip outputs), and the discriminator is residual.

Ours differ from the authors' in three details. Their filter [1, 3, 3, 1] comes after the convolution that
doubles the side, ours, bilinear interpolation, which has the same weights, before it. Their discriminator
halves the side with the same filter, ours by the mean of 2 x 2 pixels. And widths are those of
:func:`~medgan_course.nets.progressive.plan`.
"""

from itertools import pairwise

import torch
from torch import Tensor, nn
from torch.nn import functional as F

from medgan_course import draws
from medgan_course.errors import CourseError
from medgan_course.nets import latent
from medgan_course.nets.progressive import Head, PixelNorm, equalised, plan


def moments(features: Tensor) -> tuple[Tensor, Tensor]:
    r"""Return mean and standard deviation of each channel of each sample: what AdaIN calls its style.

    .. math:: \mu_c = \frac1P\sum_p h_{cp}, \qquad
              \sigma_c = \sqrt{\tfrac1P\textstyle\sum_p(h_{cp}-\mu_c)^2 + 10^{-5}}

    over the :math:`P` pixels or voxels of ``features`` ``(N, C, ...)``; both are ``(N, C)``.
    """
    flat = features.flatten(2)
    return flat.mean(2), (flat.var(2, unbiased=False) + 1e-5).sqrt()


def adain(features: Tensor, *, mean: Tensor, std: Tensor) -> Tensor:
    r"""Return features with the style's statistics (Huang & Belongie 2017, eq. 8).

    .. math:: \mathrm{AdaIN}(h,s)_{cp} = s_{\sigma,c}\,\frac{h_{cp}-\mu_c(h)}{\sigma_c(h)} + s_{\mu,c}

    Parameters
    ----------
    features : Tensor
        ``(N, C, H, W)`` or ``(N, C, D, H, W)``.
    mean, std : Tensor
        ``(N, C)``: :func:`moments` of another image's features, or what a network makes of a latent vector.
    """
    for name, value in (("mean", mean), ("std", std)):
        if value.shape != features.shape[:2]:
            raise CourseError(
                f"AdaIN of features {tuple(features.shape)} needs a {name} of shape "
                f"{tuple(features.shape[:2])}, not {tuple(value.shape)}."
            )
    own_mean, own_std = moments(features)
    flat = features.flatten(2)
    styled = (flat - own_mean[..., None]) * (std / own_std)[..., None] + mean[..., None]
    return styled.view_as(features)


def modulated_conv(
    features: Tensor, weight: Tensor, style: Tensor, *, demodulate: bool = True, padding: int = 0
) -> Tensor:
    r"""Convolve each sample with weights of its own style (Karras et al. 2020, eq. 1 and 3).

    .. math::
        w'_{ijk} = s_i\,w_{ijk}, \qquad
        w''_{ijk} = w'_{ijk} \Big/ \sqrt{\textstyle\sum_{i,k} w'^2_{ijk} + 10^{-8}}

    for input channel :math:`i`, output channel :math:`j` and position :math:`k` in the kernel. Demodulation
    replaces AdaIN's normalisation by what it would do to white input of standard deviation 1: the output has
    standard deviation 1 again, and no statistics of the actual features are taken, whose removal left
    droplets in StyleGAN's images.

    The authors fold the samples into the channels of one grouped convolution. Here the style multiplies the
    input, and the demodulation, which is constant over an output channel, the output. This is the same, for
    convolution is linear, with one set of weights in memory, and a little faster.

    Parameters
    ----------
    features : Tensor
        ``(N, I, H, W)``.
    weight : Tensor
        ``(J, I, k, k)``.
    style : Tensor
        :math:`s`, ``(N, I)``.
    demodulate : bool
        False stops at :math:`w'`: for the layers that make images, whose contrast the style may decide.
    padding : int
        Zeros on each side; they lower the output's standard deviation near the border.
    """
    if style.shape != features.shape[:2]:
        raise CourseError(
            f"Features {tuple(features.shape)} need a style of shape {tuple(features.shape[:2])}, "
            f"not {tuple(style.shape)}."
        )
    convolved = F.conv2d(features * style[:, :, None, None], weight, padding=padding)
    if not demodulate:
        return convolved
    squares = style.square() @ weight.square().sum((2, 3)).T
    return convolved * (squares + 1e-8).rsqrt()[:, :, None, None]


class ModulatedConv(nn.Module):
    """A convolution whose style is an affine function of ``w``, 1 for every channel at the start on average.

    Parameters
    ----------
    w_dim : int
        Length of ``w``.
    width_in, width : int
        Channels of input and output.
    kernel : int
        Side of the kernel, odd; the feature map keeps its side.
    demodulate : bool
        See :func:`modulated_conv`.
    """

    def __init__(self, w_dim: int, width_in: int, width: int, kernel: int, *, demodulate: bool) -> None:
        super().__init__()
        self.style = equalised(nn.Linear(w_dim, width_in), gain=1)
        nn.init.ones_(self.style.bias)
        self.weights = equalised(nn.Conv2d(width_in, width, kernel, bias=False), gain=1)
        self.demodulate, self.padding = demodulate, kernel // 2

    def forward(self, features: Tensor, w: Tensor) -> Tensor:
        """Map ``(N, width_in, H, W)`` and ``w`` ``(N, w_dim)`` to ``(N, width, H, W)``."""
        return modulated_conv(
            features,
            self.weights.weight,
            self.style(w),
            demodulate=self.demodulate,
            padding=self.padding,
        )


class Noise(nn.Module):
    r"""Noise injection: :math:`h_{cp} + a\,n_p` with :math:`n\sim\mathcal N(0,1)` and a learned :math:`a`.

    One noise image for all channels, drawn for each sample. It lets the network place details at random
    without spending :math:`z` on them. In evaluation mode the noise is one fixed image, so that an image is a
    function of its :math:`z`.

    Parameters
    ----------
    side : int
        Of the feature maps, in pixels.
    """

    fixed: Tensor

    def __init__(self, side: int) -> None:
        super().__init__()
        self.strength = nn.Parameter(torch.zeros(()))
        self.register_buffer("fixed", torch.randn(1, 1, side, side))

    def forward(self, features: Tensor) -> Tensor:
        """Return the same shape, ``(N, C, side, side)``."""
        shape = (len(features), 1, *features.shape[2:])
        noise = draws.normal(*shape, device=features.device) if self.training else self.fixed
        return features + self.strength * noise


class Layer(nn.Module):
    r"""One layer of the synthesis: modulated convolution 3, noise, bias, :math:`\sqrt2` LeakyReLU(0.2).

    The factor makes up for the half of the variance that the LeakyReLU takes away.
    """

    def __init__(self, w_dim: int, width_in: int, width: int, side: int) -> None:
        super().__init__()
        self.convolution = ModulatedConv(w_dim, width_in, width, 3, demodulate=True)
        self.noise = Noise(side)
        self.bias = nn.Parameter(torch.zeros(width, 1, 1))

    def forward(self, features: Tensor, w: Tensor) -> Tensor:
        """Map ``(N, width_in, side, side)`` and ``w`` ``(N, w_dim)`` to ``(N, width, side, side)``."""
        features = self.noise(self.convolution(features, w)) + self.bias
        return 2**0.5 * F.leaky_relu(features, 0.2)


class ToImage(nn.Module):
    """A modulated convolution 1 without demodulation, and a bias."""

    def __init__(self, w_dim: int, width: int, channels: int) -> None:
        super().__init__()
        self.convolution = ModulatedConv(w_dim, width, channels, 1, demodulate=False)
        self.bias = nn.Parameter(torch.zeros(channels, 1, 1))

    def forward(self, features: Tensor, w: Tensor) -> Tensor:
        """Map ``(N, width, H, W)`` and ``w`` ``(N, w_dim)`` to ``(N, channels, H, W)``."""
        return self.convolution(features, w) + self.bias


class Generator(nn.Module):
    r"""Noise to image by way of a style.

    .. math:: w = f(z), \qquad w_\psi = \bar w + \psi\,(w-\bar w), \qquad x = g(w_\psi)

    with mapping network :math:`f`, synthesis network :math:`g`, mean style :math:`\bar w=\mathbb E_z f(z)`
    and truncation :math:`\psi`: below 1, images are nearer to the mean one, better and less varied.

    The mapping network is a pixel norm and ``depth`` fully connected layers, with a hundredth of the learning
    rate of all others. The output is linear; in evaluation mode it is cut off at -1 and 1.

    Parameters
    ----------
    size : {16, 28, 32, 64}
        Image side in pixels; the constant has 4, or 7 for 28.
    z_dim : int
        Length of :math:`z` and of :math:`w`.
    base : int
        Channels of the full-size feature maps, see :func:`~medgan_course.nets.progressive.plan`.
    channels : int
        Image channels; 1 for grey.
    depth : int
        Layers of the mapping network.
    """

    path_length: Tensor

    def __init__(
        self, size: int, z_dim: int = 64, base: int = 16, channels: int = 1, *, depth: int = 8
    ) -> None:
        super().__init__()
        start, widths = plan(size, base)
        self.z_dim = z_dim
        self.mapping = nn.Sequential(PixelNorm())
        for _ in range(depth):
            self.mapping += nn.Sequential(equalised(nn.Linear(z_dim, z_dim), rate=0.01), nn.LeakyReLU(0.2))
        self.constant = nn.Parameter(torch.randn(1, widths[0], start, start))
        self.layers = nn.ModuleList([Layer(z_dim, widths[0], widths[0], start)])
        for level, (before, width) in enumerate(pairwise(widths), start=1):
            side = start * 2**level
            self.layers += [Layer(z_dim, before, width, side), Layer(z_dim, width, width, side)]
        self.to_image = nn.ModuleList(ToImage(z_dim, width, channels) for width in widths)
        # The moving average that the path length penalty needs: part of a training, so of its checkpoint.
        self.register_buffer("path_length", torch.zeros(()))

    @property
    def n_styles(self) -> int:
        """How many layers may have a style of their own; each image-making one has the next layer's."""
        return len(self.layers) + 1

    def latent(self, n: int, *, seed: int | None = None) -> Tensor:
        """Draw latent vectors ``(n, z_dim)`` from N(0, I) on this net's device; a ``seed`` repeats them."""
        return latent.normal(self, n, self.z_dim, seed=seed)

    @torch.no_grad()
    def mean_w(self, n: int = 4096) -> Tensor:
        r"""Return :math:`\bar w` ``(z_dim,)``, the mean style of ``n`` latent vectors, always the same."""
        return self.mapping(self.latent(n, seed=0)).mean(0)

    def mixed(self, first: Tensor, second: Tensor, crossover: Tensor) -> Tensor:
        """Return the styles ``first`` in the layers below ``crossover`` and ``second`` in the others.

        Parameters
        ----------
        first, second : Tensor
            ``w``, ``(N, z_dim)``.
        crossover : Tensor
            int64 ``(N,)`` from 0 (all ``second``) to ``n_styles`` (all ``first``).

        Returns
        -------
        Tensor
            ``(N, n_styles, z_dim)``, for :meth:`synthesis`.
        """
        if crossover.shape != first.shape[:1]:
            raise CourseError(
                f"{len(first)} styles need crossovers of shape ({len(first)},), not {tuple(crossover.shape)}."
            )
        below = torch.arange(self.n_styles, device=first.device) < crossover[:, None]
        return torch.where(below[..., None], first[:, None], second[:, None])

    def synthesis(self, w: Tensor) -> Tensor:
        """Map styles ``(N, z_dim)``, or one for each layer ``(N, n_styles, z_dim)``, to images."""
        styles = w[:, None].expand(-1, self.n_styles, -1) if w.ndim == 2 else w
        features = self.constant.expand(len(w), -1, -1, -1)
        features = self.layers[0](features, styles[:, 0])
        images = self.to_image[0](features, styles[:, 1])
        for level in range(1, len(self.to_image)):
            index = 2 * level - 1
            features, images = _up(features), _up(images)
            features = self.layers[index](features, styles[:, index])
            features = self.layers[index + 1](features, styles[:, index + 1])
            images = images + self.to_image[level](features, styles[:, index + 2])
        return images if self.training else images.clamp(-1, 1)

    def forward(self, z: Tensor, psi: float = 1.0) -> Tensor:
        """Map ``z`` ``(N, z_dim)`` to images ``(N, channels, size, size)``, with truncation ``psi``."""
        w = self.mapping(z)
        return self.synthesis(w if psi == 1 else self.mean_w().lerp(w, psi))


class Residual(nn.Module):
    r"""Half the side: two convolutions 3 and a shortcut, their sum divided by :math:`\sqrt2`."""

    def __init__(self, width_in: int, width: int) -> None:
        super().__init__()
        self.main = nn.Sequential(
            equalised(nn.Conv2d(width_in, width_in, 3, padding=1)),
            nn.LeakyReLU(0.2),
            equalised(nn.Conv2d(width_in, width, 3, padding=1)),
            nn.LeakyReLU(0.2),
            nn.AvgPool2d(2),
        )
        self.shortcut = nn.Sequential(
            nn.AvgPool2d(2), equalised(nn.Conv2d(width_in, width, 1, bias=False), gain=1)
        )

    def forward(self, features: Tensor) -> Tensor:
        """Map ``(N, width_in, H, W)`` to ``(N, width, H / 2, W / 2)``."""
        return (self.main(features) + self.shortcut(features)) / 2**0.5


class Discriminator(nn.Module):
    """Image to logit: residual blocks down to the side of the constant, and minibatch std.

    Parameters
    ----------
    size, base, channels
        As for :class:`Generator`.
    """

    def __init__(self, size: int, base: int = 16, channels: int = 1) -> None:
        super().__init__()
        start, widths = plan(size, base)
        self.shape = (channels, size, size)
        widths.reverse()
        self.layers = nn.Sequential(
            equalised(nn.Conv2d(channels, base, 1)),
            nn.LeakyReLU(0.2),
            *(Residual(width, below) for width, below in pairwise(widths)),
            Head(widths[-1], start),
        )

    def forward(self, images: Tensor) -> Tensor:
        """Map images ``(N, channels, size, size)`` to logits ``(N,)``; positive means "real"."""
        if images.shape[1:] != self.shape:
            expected = ", ".join(map(str, ("N", *self.shape)))
            raise CourseError(f"This network takes images ({expected}), not {tuple(images.shape)}.")
        return self.layers(images)


def _up(images: Tensor) -> Tensor:
    return F.interpolate(images, scale_factor=2, mode="bilinear")
