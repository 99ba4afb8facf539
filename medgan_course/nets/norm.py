"""What the image-to-image networks share: normalisation by name, and initial weights."""

import torch
from torch import Tensor, nn

from medgan_course.errors import CourseError, did_you_mean
from medgan_course.nets.dcgan import BATCH_NORM, init_dcgan


class InstanceNorm2d(nn.InstanceNorm2d):
    """Torch's instance norm, answering in the memory order of its input.

    Torch answers in the default order, whatever it was given. Between channels-last convolutions what
    follows is then copied, or has its gradient computed with one order against the other; on a CPU that is
    about a tenth of a training step of CycleGAN.
    """

    def forward(self, input: Tensor) -> Tensor:
        """Normalise ``(N, C, H, W)``."""
        normed = super().forward(input)
        last = input.is_contiguous(memory_format=torch.channels_last)
        return normed.contiguous(memory_format=torch.channels_last) if last else normed


INSTANCE_NORM = {2: InstanceNorm2d, 3: nn.InstanceNorm3d}


def check_dim(dim: int) -> None:
    """Refuse anything but 2 and 3 dimensions."""
    if dim not in INSTANCE_NORM:
        raise CourseError(f"dim={dim!r} is not possible: choose 2 for images or 3 for volumes.")


def norm_layer(norm: str, width: int, dim: int) -> nn.Module:
    r"""Return the layer that normalises ``width`` channels of images (``dim=2``) or volumes (``dim=3``).

    .. math:: \hat h_c = \frac{h_c-\mu_c}{\sqrt{\sigma_c^2+10^{-5}}}

    Mean :math:`\mu_c` and variance :math:`\sigma_c^2` of channel :math:`c` are taken over batch and pixels
    (``"batch"``, then times a gain plus a shift, both learned) or over the pixels of each image alone
    (``"instance"``, without gain and shift, as in the CycleGAN code). ``"none"`` returns its input.
    """
    if norm == "batch":
        return BATCH_NORM[dim](width)
    if norm == "instance":
        return INSTANCE_NORM[dim](width)
    if norm == "none":
        return nn.Identity()
    raise CourseError(
        f"There is no normalisation {norm!r}: {did_you_mean(norm, ('batch', 'instance', 'none'))}"
    )


def init_translation(net: nn.Module) -> None:
    """Draw weights as :func:`~medgan_course.nets.dcgan.init_dcgan`, and set every bias to zero.

    So have it the codes of pix2pix and CycleGAN. Torch's own biases would be larger than what weights of
    0.02 make of an image.
    """
    init_dcgan(net)
    for name, parameter in net.named_parameters():
        if name.endswith("bias"):
            nn.init.zeros_(parameter)
