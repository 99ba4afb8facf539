"""How much images differ from one another."""

from torch import Tensor
from torch.nn.functional import avg_pool2d


def spread(images: Tensor, real: Tensor) -> float:
    r"""Return how much ``images`` differ from one another, relative to ``real`` ones.

    .. math:: \frac{\sum_b \mathrm{sd}_i(\bar x_{ib})}{\sum_b \mathrm{sd}_j(\bar r_{jb})}

    with :math:`\bar x_{ib}` the mean of image :math:`i` in block :math:`b` of 4 x 4 pixels: a difference in
    pixel noise alone is no variety. 0 for the same image again and again (mode collapse), 1 for the variety
    of the real ones; whether the images are any good, it does not say.

    Parameters
    ----------
    images, real : Tensor
        ``(N, C, H, W)`` and ``(M, C, H, W)``, N and M at least 2.
    """
    return float(_deviation(images) / _deviation(real))


def _deviation(images: Tensor) -> Tensor:
    return avg_pool2d(images, 4).std(dim=0).mean()
