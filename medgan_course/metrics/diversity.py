"""How much images differ from one another, and how fast they change along a path."""

from typing import Literal

import torch
from torch import Tensor
from torch.nn.functional import avg_pool2d, avg_pool3d

from medgan_course.errors import CourseError
from medgan_course.metrics.features import FeatureNet, features
from medgan_course.metrics.fidelity import ms_ssim
from medgan_course.metrics.score import Score, bootstrap
from medgan_course.nets.style import Generator


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


@torch.no_grad()
def perceptual_path_length(
    generator: Generator, net: FeatureNet, n: int, *, space: Literal["w", "z"], seed: int = 0
) -> Tensor:
    r"""Return how fast images change along a path, of ``n`` paths (Karras, Laine & Aila 2019, section 4.1).

    .. math:: \frac1{\epsilon^2}\bigl\|\phi(G(p(t+\epsilon))) - \phi(G(p(t)))\bigr\|_2^2, \qquad
              t\sim U[0,1],

    with :math:`p` the straight line between two styles, or the arc between two latent vectors on their
    sphere. :math:`\phi` are the 64 features of a domain network, where the paper has those of VGG (LPIPS), so
    values do not compare with published ones; :math:`\epsilon=10^{-3}`, the paper's 1e-4 being at the end of
    what float32 resolves.

    Parameters
    ----------
    generator : Generator
        In evaluation mode, so that its noise stands still.
    net : FeatureNet
        In evaluation mode.
    n : int
        Number of paths.
    space : {"w", "z"}
        Where the path lies. The same seed gives the same end points and :math:`t` in both.
    seed : int
        Of the paths.

    Returns
    -------
    Tensor
        ``(n,)``. Its floor, that of a generator that has not been trained, is not 0: measure it beside.
    """
    epsilon = 1e-3
    start, end = generator.latent(2 * n, seed=seed).chunk(2)
    t = torch.rand(n, 1, generator=torch.Generator().manual_seed(seed)).to(start.device)
    if space == "w":
        start, end = generator.mapping(start), generator.mapping(end)
        images = [generator.synthesis(start.lerp(end, at)) for at in (t, t + epsilon)]
    else:
        images = [generator(arc(start, end, at)) for at in (t, t + epsilon)]
    before, after = (features(net, each.cpu()) for each in images)
    return ((after - before) / epsilon).square().sum(1)


def arc(start: Tensor, end: Tensor, t: Tensor) -> Tensor:
    r"""Return the points at ``t`` of the arcs between directions of vectors ``(N, d)`` (Shoemake 1985).

    .. math:: \frac{\sin((1-t)\omega)}{\sin\omega}\,\hat a + \frac{\sin(t\omega)}{\sin\omega}\,\hat b,
              \qquad \cos\omega = \hat a\cdot\hat b
    """
    a, b = (vector / vector.norm(dim=1, keepdim=True) for vector in (start, end))
    omega = (a * b).sum(1, keepdim=True).acos()
    return (((1 - t) * omega).sin() * a + (t * omega).sin() * b) / omega.sin()


def _deviation(images: Tensor) -> Tensor:
    pool = avg_pool2d if images.ndim == 4 else avg_pool3d
    return pool(images, 4).std(dim=0).mean()
