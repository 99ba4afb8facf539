"""The DCGAN networks (Radford, Metz & Chintala 2016), for images and volumes of 16, 28, 32 and 64 px a side.

The generator also serves as a decoder. The discriminator is a trunk, which turns an image into features, and
a head, which reads one logit off them; encoders and discriminators with several outputs put other heads on
the same trunk (:mod:`medgan_course.nets.heads`).

``dim=3`` puts 3-D convolutions in the place of the 2-D ones and changes nothing else.

MONAI's ``Generator`` and ``Discriminator`` are other networks: residual units with instance norm and PReLU
where the paper has batch norm, ReLU and LeakyReLU, and a discriminator that drops out units and ends in a
sigmoid.
"""

from math import log2

from torch import Tensor, nn, tensordot
from torch.nn.functional import fold
from torch.nn.utils.parametrizations import spectral_norm

from medgan_course.errors import CourseError
from medgan_course.nets import latent

# Side of the first feature map; doublings lead from it to the image side (7 -> 14 -> 28; 4 -> ... -> 64).
START = {16: 4, 28: 7, 32: 4, 64: 4}

CONVOLUTION = {2: nn.Conv2d, 3: nn.Conv3d}
TRANSPOSED = {2: nn.ConvTranspose2d, 3: nn.ConvTranspose3d}
BATCH_NORM = {2: nn.BatchNorm2d, 3: nn.BatchNorm3d}
BATCH_NORM = {2: nn.BatchNorm2d, 3: nn.BatchNorm3d}


class FoldedConvTranspose2d(nn.ConvTranspose2d):
    """A transposed convolution of one pixel or to one channel, in the form that is fast on a CPU.

    Every pixel of the input gives a patch, which is a matrix product, and where patches overlap they are
    summed. torch's own kernel, made for many pixels and channels, takes up to three times as long. On other
    devices this is torch's layer; weights and numbers are the same everywhere.
    """

    padding: tuple[int, int]
    stride: tuple[int, int]
    kernel_size: tuple[int, int]

    def forward(self, maps: Tensor, output_size: list[int] | None = None) -> Tensor:
        """Map ``(N, in_channels, H, W)`` to ``(N, out_channels, H', W')``."""
        if maps.device.type != "cpu":
            return super().forward(maps, output_size)
        if maps.shape[2:] == (1, 1) and self.padding == (0, 0):
            images = tensordot(maps.flatten(1), self.weight.movedim(1, -1), 1).movedim(-1, 1)
        else:
            patches = maps.movedim(1, -1).flatten(1, 2) @ self.weight.flatten(1)
            sides = zip(maps.shape[2:], self.kernel_size, self.stride, self.padding, strict=True)
            size = tuple((n - 1) * stride + kernel - 2 * padding for n, kernel, stride, padding in sides)
            images = fold(patches.mT, size, self.kernel_size, 1, self.padding, self.stride)
        return images if self.bias is None else images + self.bias[:, None, None]


# The first layer of a generator, and the last.
OUTER = {2: FoldedConvTranspose2d, 3: nn.ConvTranspose3d}

Weighted = nn.Conv2d | nn.Conv3d | nn.ConvTranspose2d | nn.ConvTranspose3d | nn.Linear


def _start_and_doublings(size: int, dim: int) -> tuple[int, int]:
    if size not in START:
        raise CourseError(f"A DCGAN of {size!r} px is not defined here: choose size 16, 28, 32 or 64.")
    if dim not in CONVOLUTION:
        raise CourseError(f"A DCGAN in {dim!r} dimensions is not defined here: choose dim=2 or dim=3.")
    return START[size], int(log2(size // START[size]))


def _check_norm(norm: str, known: tuple[str, ...], net: str) -> None:
    if norm not in known:
        choices = ", ".join(map(repr, known[:-1])) + f" or {known[-1]!r}"
        raise CourseError(f"norm={norm!r} is not known to the DCGAN {net}: choose {choices}.")


def init_dcgan(net: nn.Module) -> None:
    """Draw weights from N(0, 0.02) and batch-norm gains from N(1, 0.02), as in the paper."""
    for module in net.modules():
        if isinstance(module, Weighted):
            nn.init.normal_(module.weight, 0.0, 0.02)
        elif isinstance(module, nn.BatchNorm2d | nn.BatchNorm3d):
            nn.init.normal_(module.weight, 1.0, 0.02)


class Generator(nn.Module):
    """Noise to image: transposed convolutions, batch norm, ReLU, and tanh at the end.

    Parameters
    ----------
    size : {16, 28, 32, 64}
        Image side in pixels.
    z_dim : int
        Length of the latent vector.
    base : int
        Channels of the last hidden feature map; each earlier one has twice as many.
    channels : int
        Image channels; 1 for grey.
    norm : {"batch", "none"}
        ``"batch"`` is the paper's. ``"none"`` is for the comparison that shows what batch norm does.
    dim : {2, 3}
        2 for images, 3 for volumes.
    """

    def __init__(
        self,
        size: int,
        z_dim: int = 64,
        base: int = 32,
        channels: int = 1,
        norm: str = "batch",
        dim: int = 2,
    ) -> None:
        super().__init__()
        start, doublings = _start_and_doublings(size, dim)
        _check_norm(norm, ("batch", "none"), "generator")
        batch_norm = norm == "batch"
        self.z_dim, self.dim = z_dim, dim
        width = base * 2 ** (doublings - 1)
        layers: list[nn.Module] = [OUTER[dim](z_dim, width, start, bias=not batch_norm)]
        for _ in range(doublings - 1):
            layers += [BATCH_NORM[dim](width)] if batch_norm else []
            layers += [nn.ReLU(inplace=True)]
            layers += [TRANSPOSED[dim](width, width // 2, 4, stride=2, padding=1, bias=not batch_norm)]
            width //= 2
        layers += [BATCH_NORM[dim](width)] if batch_norm else []
        layers += [
            nn.ReLU(inplace=True),
            OUTER[dim](width, channels, 4, stride=2, padding=1),
            nn.Tanh(),
        ]
        self.layers = nn.Sequential(*layers)
        init_dcgan(self)

    def latent(self, n: int, *, seed: int | None = None) -> Tensor:
        """Draw latent vectors ``(n, z_dim)`` from N(0, I) on this net's device; a ``seed`` repeats them."""
        return latent.normal(self, n, self.z_dim, seed=seed)

    def forward(self, z: Tensor) -> Tensor:
        """Map ``z`` ``(N, z_dim)`` to images ``(N, channels, size, size)`` in [-1, 1], or to such volumes."""
        return self.layers(z[(..., *[None] * self.dim)])


class Trunk(nn.Module):
    """Image to features: strided convolutions, LeakyReLU(0.2), and batch norm except on the input.

    Parameters
    ----------
    size, base, channels, dim
        As for :class:`Generator`.
    norm : {"batch", "spectral", "none"}
        ``"batch"`` is the paper's. ``"spectral"`` has no batch norm and divides every weight by its largest
        singular value instead (Miyato et al. 2018), which keeps a long training stable. ``"none"`` is for
        critics under a gradient penalty: this acts on each image alone, which batch norm mixes.
    """

    def __init__(
        self, size: int, base: int = 32, channels: int = 1, norm: str = "batch", dim: int = 2
    ) -> None:
        super().__init__()
        start, doublings = _start_and_doublings(size, dim)
        _check_norm(norm, ("batch", "spectral", "none"), "discriminator")
        self.shape = (channels, *[size] * dim)
        self.norm = norm
        layers: list[nn.Module] = []
        width_in, width = channels, base
        for block in range(doublings):
            batch_norm = norm == "batch" and block > 0
            layers += [CONVOLUTION[dim](width_in, width, 4, stride=2, padding=1, bias=not batch_norm)]
            layers += [BATCH_NORM[dim](width)] if batch_norm else []
            layers += [nn.LeakyReLU(0.2, inplace=True)]
            width_in, width = width, width * 2
        self.layers = nn.Sequential(*layers)
        self.n_features = width_in * start**dim
        self._finish(self)

    def _finish(self, net: nn.Module) -> None:
        init_dcgan(net)
        if self.norm == "spectral":
            for module in list(net.modules()):
                if isinstance(module, Weighted):
                    spectral_norm(module)

    def head(self, outputs: int) -> nn.Linear:
        """Return a new linear layer, initialised and normed as the trunk, for ``outputs`` numbers."""
        linear = nn.Linear(self.n_features, outputs)
        self._finish(linear)
        return linear

    def forward(self, images: Tensor) -> Tensor:
        """Map images ``(N, channels, size, size)``, or volumes, to features ``(N, n_features)``.

        These are the last feature map, a quarter of the image's side or smaller, flattened pixel by pixel.
        """
        if images.shape[1:] != self.shape:
            expected = ", ".join(map(str, ("N", *self.shape)))
            raise CourseError(f"This network takes images ({expected}), not {tuple(images.shape)}.")
        # Channels last, as the map lies in memory in training: a copy each way is saved.
        return self.layers(images).movedim(1, -1).flatten(1)


class Discriminator(nn.Module):
    """Image to logit: the trunk, and a linear read-out.

    ``discriminator.trunk(images)`` are the features before the last layer.

    Parameters
    ----------
    size, base, channels, norm, dim
        As for :class:`Trunk`.
    """

    def __init__(
        self, size: int, base: int = 32, channels: int = 1, norm: str = "batch", dim: int = 2
    ) -> None:
        super().__init__()
        self.trunk = Trunk(size, base, channels, norm, dim)
        self.head = self.trunk.head(1)

    def forward(self, images: Tensor) -> Tensor:
        """Map images ``(N, channels, size, size)``, or volumes, to logits ``(N,)``; positive means "real"."""
        return self.head(self.trunk(images)).flatten()
