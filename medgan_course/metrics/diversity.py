"""How much images differ from one another."""

import torch
from torch import Tensor
from torch.nn.functional import avg_pool2d, avg_pool3d

from medgan_course.errors import CourseError
from medgan_course.metrics.fidelity import ms_ssim
from medgan_course.metrics.score import Score, bootstrap


def spread(images: Tensor, real: Tensor) -> float:
    r"""Return how much ``images`` differ from one another, relative to ``real`` ones.

    .. math:: \frac{\sum_b \mathrm{sd}_i(\bar x_{ib})}{\sum_b \mathrm{sd}_j(\bar r_{jb})}

    with :math:`\bar x_{ib}` the mean of image :math:`i` in block :math:`b` of 4 x 4 pixels: a difference in
    pixel noise alone is no variety. 0 for the same image again and again (mode collapse), 1 for the variety
    of the real ones; whether the images are any good, it does not say. Cheap enough for every few steps of a
    training; :func:`pairwise_ms_ssim` is the metric to report.

    Parameters
    ----------
    images, real : Tensor
        ``(N, C, H, W)`` and ``(M, C, H, W)``, or volumes with blocks of 4 x 4 x 4; N and M at least 2.
    """
    return float(_deviation(images) / _deviation(real))


def pairwise_ms_ssim(
    images: Tensor, real: Tensor, *, data_range: float = 2.0, window: int = 11, seed: int = 0
) -> Score:
    r"""Score how alike two random images are, by MS-SSIM (Odena, Olah & Shlens 2017).

    .. math:: \frac1P\sum_{p=1}^{P}\text{MS-SSIM}(x_{\pi(2p-1)},x_{\pi(2p)}), \qquad
        P=\lfloor n/2\rfloor

    over disjoint pairs of one random order :math:`\pi` of the n images, so the pairs are independent and the
    interval of their mean is plain. 1 for mode collapse. Well *below* the real images' value the generated
    ones differ by something real ones do not have, noise for instance: aim for equal, not for low. Compute
    it within each class, since different classes look different. Scales depend on the size: 2 at 28 px
    (:func:`medgan_course.metrics.fidelity.ms_ssim`).

    Parameters
    ----------
    images, real : Tensor
        ``(n, C, H, W)`` and ``(m, C, H, W)``, or volumes, at least 4 of each. The real ones' score is the
        floor.
    data_range, window
        As in :func:`medgan_course.metrics.fidelity.ms_ssim`.
    seed : int
        Seed of the order and of the resampling.

    Returns
    -------
    Score
        ``n`` counts pairs.
    """
    if images.shape[1:] != real.shape[1:] or min(len(images), len(real)) < 4:
        raise CourseError(
            "Pairs need at least four images and four real ones of the same shape, not "
            f"{tuple(images.shape)} and {tuple(real.shape)}."
        )

    def alike(of: Tensor) -> Tensor:
        order = torch.randperm(len(of), generator=torch.Generator().manual_seed(seed))
        first, second = of[order[0 : len(of) // 2 * 2 : 2]], of[order[1::2]]
        parts = zip(first.split(256), second.split(256), strict=True)
        return torch.cat([ms_ssim(a, b, data_range=data_range, window=window) for a, b in parts])

    return bootstrap(alike(images), seed=seed, floor=bootstrap(alike(real), seed=seed))


def _deviation(images: Tensor) -> Tensor:
    pool = avg_pool2d if images.ndim == 4 else avg_pool3d
    return pool(images, 4).std(dim=0).mean()
