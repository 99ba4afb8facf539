"""The DCGAN generator and discriminator (Radford, Metz & Chintala 2016) for 28, 32 and 64 pixels."""

from math import log2

import torch
from torch import Tensor, nn
from torch.nn.utils.parametrizations import spectral_norm

from medgan_course.errors import CourseError

# Side of the first feature map; doublings lead from it to the image side (7 -> 14 -> 28; 4 -> ... -> 64).
START = {28: 7, 32: 4, 64: 4}


def _start_and_doublings(size: int) -> tuple[int, int]:
    if size not in START:
        raise CourseError(f"A DCGAN of {size!r} px is not defined here: choose size 28, 32 or 64.")
    return START[size], int(log2(size // START[size]))


def init_dcgan(net: nn.Module) -> None:
    """Draw convolution weights from N(0, 0.02) and batch-norm gains from N(1, 0.02), as in the paper."""
    for module in net.modules():
        if isinstance(module, nn.Conv2d | nn.ConvTranspose2d):
            nn.init.normal_(module.weight, 0.0, 0.02)
        elif isinstance(module, nn.BatchNorm2d):
            nn.init.normal_(module.weight, 1.0, 0.02)


class Generator(nn.Module):
    """Noise to image: transposed convolutions, batch norm, ReLU, and tanh at the end.

    Parameters
    ----------
    size : {28, 32, 64}
        Image side in pixels.
    z_dim : int
        Length of the latent vector.
    base : int
        Channels of the last hidden feature map; each earlier one has twice as many.
    channels : int
        Image channels; 1 for grey.
    """

    def __init__(self, size: int, z_dim: int = 64, base: int = 32, channels: int = 1) -> None:
        super().__init__()
        start, doublings = _start_and_doublings(size)
        self.z_dim = z_dim
        width = base * 2 ** (doublings - 1)
        layers = [nn.ConvTranspose2d(z_dim, width, start, bias=False), nn.BatchNorm2d(width), nn.ReLU()]
        for _ in range(doublings - 1):
            layers += [nn.ConvTranspose2d(width, width // 2, 4, stride=2, padding=1, bias=False)]
            layers += [nn.BatchNorm2d(width // 2), nn.ReLU()]
            width //= 2
        layers += [nn.ConvTranspose2d(width, channels, 4, stride=2, padding=1), nn.Tanh()]
        self.layers = nn.Sequential(*layers)
        init_dcgan(self)

    def latent(self, n: int, *, seed: int | None = None) -> Tensor:
        """Draw latent vectors ``(n, z_dim)`` from N(0, I) on this net's device; a ``seed`` repeats them."""
        device = next(self.parameters()).device
        if seed is None:
            return torch.randn(n, self.z_dim, device=device)
        # Drawn on the CPU, so that a seed means the same images on every device.
        return torch.randn(n, self.z_dim, generator=torch.Generator().manual_seed(seed)).to(device)

    def forward(self, z: Tensor) -> Tensor:
        """Map ``z`` ``(N, z_dim)`` to images ``(N, channels, size, size)`` in [-1, 1]."""
        return self.layers(z[:, :, None, None])


class Discriminator(nn.Module):
    """Image to logit: strided convolutions, LeakyReLU(0.2), and batch norm except on the input.

    Parameters
    ----------
    size, base, channels
        As for :class:`Generator`.
    norm : {"batch", "spectral"}
        ``"batch"`` is the paper's. ``"spectral"`` has no batch norm and divides every weight by its largest
        singular value instead (Miyato et al. 2018), which keeps a long training stable.
    """

    def __init__(self, size: int, base: int = 32, channels: int = 1, norm: str = "batch") -> None:
        super().__init__()
        if norm not in ("batch", "spectral"):
            raise CourseError(
                f"norm={norm!r} is not known to the DCGAN discriminator: choose 'batch' or 'spectral'."
            )
        start, doublings = _start_and_doublings(size)
        self.shape = (channels, size, size)
        layers: list[nn.Module] = []
        width_in, width = channels, base
        for block in range(doublings):
            batch_norm = norm == "batch" and block > 0
            layers.append(nn.Conv2d(width_in, width, 4, stride=2, padding=1, bias=not batch_norm))
            if batch_norm:
                layers.append(nn.BatchNorm2d(width))
            layers.append(nn.LeakyReLU(0.2))
            width_in, width = width, width * 2
        layers.append(nn.Conv2d(width_in, 1, start))
        self.layers = nn.Sequential(*layers)
        init_dcgan(self)
        if norm == "spectral":
            for module in self.layers:
                if isinstance(module, nn.Conv2d):
                    spectral_norm(module)

    def forward(self, images: Tensor) -> Tensor:
        """Map images ``(N, channels, size, size)`` to logits ``(N,)``; positive means "real"."""
        if images.shape[1:] != self.shape:
            expected = ", ".join(map(str, ("N", *self.shape)))
            raise CourseError(f"This discriminator takes images ({expected}), not {tuple(images.shape)}.")
        return self.layers(images).flatten()
