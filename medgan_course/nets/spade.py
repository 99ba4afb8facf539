r"""The SPADE generator (Park et al. 2019): a label map modulates every normalisation.

Where a network reads a label map at its input only, instance norm erases it: a convolution with reflected
borders makes a constant map of each class constant in every channel, and subtracting the mean leaves zero,
whatever the class. SPADE normalises first and brings the labels in afterwards.

MONAI's ``SPADE`` block differs in a way that matters: its :math:`\gamma` and :math:`\beta` come from
``Convolution``, which by default adds instance norm. So their mean over the image is zero whatever the labels
are, and a class that fills the image is again erased, but for what the border gives away.
"""

from math import log2

import torch
from torch import Tensor, nn
from torch.nn import functional as F
from torch.nn.utils.parametrizations import spectral_norm

from medgan_course.errors import CourseError
from medgan_course.nets import latent
from medgan_course.nets.dcgan import CONVOLUTION
from medgan_course.nets.norm import check_dim, norm_layer


class SPADE(nn.Module):
    r"""Spatially-adaptive normalisation (eq. 1): a gain and a shift for every pixel, from the label map.

    .. math::
        \mathrm{SPADE}(h,m)_{c,p} = \bigl(1+\gamma_{c,p}(m)\bigr)\,\frac{h_{c,p}-\mu_c}{\sigma_c}
        + \beta_{c,p}(m)

    at channel :math:`c` and pixel :math:`p`. :math:`\gamma` and :math:`\beta` are convolutions 3 of a shared
    hidden map, itself ReLU of a convolution 3 of the label map :math:`m`. The paper writes :math:`\gamma` for
    our :math:`1+\gamma`, which is how its code has it: at small weights the block starts near the plain
    normalisation.

    Parameters
    ----------
    width : int
        Channels of the features :math:`h`.
    classes : int
        Channels of the label map.
    hidden : int
        Channels of the hidden map; the paper's 128.
    norm : {"batch", "instance"}
        What :math:`\mu_c` and :math:`\sigma_c` are taken over. The paper's is batch norm without gain and
        shift of its own, synchronised between GPUs.
    dim : {2, 3}
        2 for images, 3 for volumes.
    """

    def __init__(
        self, width: int, classes: int, *, hidden: int = 128, norm: str = "batch", dim: int = 2
    ) -> None:
        super().__init__()
        self.norm = norm_layer(norm, width, dim)
        if norm == "batch":
            self.norm.register_parameter("weight", None)
            self.norm.register_parameter("bias", None)
        self.hidden = nn.Sequential(CONVOLUTION[dim](classes, hidden, 3, padding=1), nn.ReLU())
        self.gamma = CONVOLUTION[dim](hidden, width, 3, padding=1)
        self.beta = CONVOLUTION[dim](hidden, width, 3, padding=1)

    def forward(self, features: Tensor, labels: Tensor) -> Tensor:
        """Modulate ``(N, width, ...)`` by a one-hot map ``(N, classes, ...)``, resized to its pixels."""
        hidden = self.hidden(F.interpolate(labels, size=features.shape[2:], mode="nearest"))
        return self.norm(features) * (1 + self.gamma(hidden)) + self.beta(hidden)


class SPADEBlock(nn.Module):
    """Twice SPADE, LeakyReLU(0.2) and a convolution 3, added to a shortcut (figure 4).

    The shortcut is a SPADE and a convolution 1 where the width changes. Convolutions have spectral norm.
    """

    def __init__(self, width_in: int, width: int, classes: int, *, hidden: int, norm: str, dim: int) -> None:
        super().__init__()
        middle = min(width_in, width)

        def modulated(features: int) -> SPADE:
            return SPADE(features, classes, hidden=hidden, norm=norm, dim=dim)

        self.first, self.second = modulated(width_in), modulated(middle)
        self.first_convolution = spectral_norm(CONVOLUTION[dim](width_in, middle, 3, padding=1))
        self.second_convolution = spectral_norm(CONVOLUTION[dim](middle, width, 3, padding=1))
        self.changes = width_in != width
        if self.changes:
            self.shortcut = modulated(width_in)
            self.shortcut_convolution = spectral_norm(CONVOLUTION[dim](width_in, width, 1, bias=False))

    def forward(self, features: Tensor, labels: Tensor) -> Tensor:
        residual = self.first_convolution(F.leaky_relu(self.first(features, labels), 0.2))
        residual = self.second_convolution(F.leaky_relu(self.second(residual, labels), 0.2))
        if self.changes:
            features = self.shortcut_convolution(self.shortcut(features, labels))
        return features + residual


class SPADEGenerator(nn.Module):
    r"""Label map to image: SPADE blocks from 4 px up, each doubling repeats pixels; tanh at the end.

    Without style vectors the first map is a convolution of the shrunken label map; with ``z_dim`` it is a
    linear map of a style :math:`z`. Drawn from N(0, I) this gives different images of one layout; to take
    the style of an image, train an encoder beside the generator as a VAE does, such as
    ``Heads(Trunk(64), mean=z_dim, log_variance=z_dim)`` of :mod:`medgan_course.nets.heads`.

    Parameters
    ----------
    size : int
        Side of image and label map: 8, 16, 32, ... pixels.
    classes : int
        Channels of the one-hot label map.
    base : int
        Channels at full resolution; each coarser level has twice as many, at most 16 times. The paper's 64.
    channels : int
        Image channels; 1 for grey.
    z_dim : int
        Length of the style vector; 0 for none.
    hidden, norm, dim
        As for :class:`SPADE`.
    """

    def __init__(
        self,
        size: int,
        classes: int,
        *,
        base: int = 64,
        channels: int = 1,
        z_dim: int = 0,
        hidden: int = 128,
        norm: str = "batch",
        dim: int = 2,
    ) -> None:
        super().__init__()
        check_dim(dim)
        if size < 8 or size & (size - 1):
            raise CourseError(f"A SPADE generator of {size!r} px is not possible: choose 8, 16, 32, 64, ...")
        self.shape, self.z_dim, self.start = (classes, *[size] * dim), z_dim, (4,) * dim
        widths = [base * min(2**level, 16) for level in reversed(range(int(log2(size // 4)) + 1))]
        self.first: nn.Module
        if z_dim:
            self.first = nn.Linear(z_dim, widths[0] * 4**dim)
        else:
            self.first = CONVOLUTION[dim](classes, widths[0], 3, padding=1)
        self.blocks = nn.ModuleList(
            SPADEBlock(width_in, width, classes, hidden=hidden, norm=norm, dim=dim)
            for width_in, width in zip([widths[0], *widths], widths, strict=False)
        )
        self.last = CONVOLUTION[dim](widths[-1], channels, 3, padding=1)
        for module in (self.first, self.last):
            nn.init.xavier_normal_(module.weight)

    def latent(self, n: int, *, seed: int | None = None) -> Tensor:
        """Draw styles ``(n, z_dim)`` from N(0, I) on this net's device; a ``seed`` repeats them."""
        return latent.normal(self, n, self.z_dim, seed=seed)

    def forward(self, labels: Tensor, z: Tensor | None = None) -> Tensor:
        """Map one-hot labels ``(N, classes, H, W)``, and styles ``(N, z_dim)``, to images in [-1, 1].

        Raises
        ------
        CourseError
            If the labels have another shape, or styles are missing or not asked for.
        """
        if labels.shape[1:] != self.shape:
            expected = ", ".join(map(str, ("N", *self.shape)))
            raise CourseError(f"This generator takes label maps ({expected}), not {tuple(labels.shape)}.")
        if (z is None) != (self.z_dim == 0):
            raise CourseError(
                f"This generator has z_dim={self.z_dim} and takes {'no' if z is not None else 'a'} style z."
            )
        if z is None:
            features = self.first(F.interpolate(labels, size=self.start, mode="nearest"))
        else:
            features = self.first(z).unflatten(1, (-1, *self.start))
        for number, block in enumerate(self.blocks):
            if number:
                features = F.interpolate(features, scale_factor=2.0, mode="nearest")
            features = block(features, labels)
        return torch.tanh(self.last(F.leaky_relu(features, 0.2)))
