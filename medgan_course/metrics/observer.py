r"""The visual Turing test: whether somebody can tell generated images from real ones (M09, S22).

A fair test decides by a coin what each image is, and tells the reader so. Failing to tell them apart does not
show that the distributions agree: a reader looks at one image at a time, and at what readers look at.
"""

from dataclasses import dataclass
from math import comb, pi
from statistics import NormalDist

import torch
from torch import Tensor
from torch.nn.functional import interpolate

from medgan_course.errors import CourseError
from medgan_course.metrics.classification import proportion
from medgan_course.metrics.score import Score


@dataclass(frozen=True)
class TuringTest:
    r"""What a reader's answers show.

    Attributes
    ----------
    accuracy : Score
        Share of right answers; 0.5 for guessing where half the images are real. Floor: the better of "all
        real" and "all generated".
    d_prime : Score
        Sensitivity :math:`d'`, free of the reader's leaning; 0 for guessing, 1 for 69 % right, 2 for 84 %.
        Floor: where it lies for guesses at so few images.
    criterion : Score
        The leaning :math:`c`: below 0 to "real", above 0 to "generated". Floor: as that of :math:`d'`.
    called_real : Score
        Share of images called real. Far from the true share, which stands as its floor, the reader leans to
        one answer, and accuracy says little.
    one_answer : bool
        Whether all answers were the same: then nothing was compared.
    """

    accuracy: Score
    d_prime: Score
    criterion: Score
    called_real: Score
    one_answer: bool


def blinded(real: Tensor, generated: Tensor, *, n: int = 20, seed: int = 0) -> tuple[Tensor, Tensor]:
    """Draw the images of a test: for each, a coin decides which kind it is, and chance which one.

    Were there exactly as many of either kind, a reader could count, and the last answer would follow from the
    others. With a coin the answers of one who guesses are independent, as Wilson's interval supposes.

    Parameters
    ----------
    real, generated : Tensor
        ``(N, ...)`` and ``(M, ...)``, images of one shape, at least ``n`` of each kind.
    n : int
        Images of the test.
    seed : int
        Seed of coin and choice.

    Returns
    -------
    images : Tensor
        ``(n, ...)``, no image twice.
    is_real : Tensor
        Boolean ``(n,)``.

    Raises
    ------
    CourseError
        If the kinds differ in shape, or there are fewer than ``n`` of one.
    """
    if real.shape[1:] != generated.shape[1:]:
        raise CourseError(
            f"A reader sees the shape: real images are {tuple(real.shape[1:])} and generated ones "
            f"{tuple(generated.shape[1:])}. Bring them to one shape in one way."
        )
    if n > min(len(real), len(generated)):
        raise CourseError(
            f"A test of {n} images needs {n} of each kind to choose from, not {len(real)} real and "
            f"{len(generated)} generated ones."
        )
    draw = torch.Generator().manual_seed(seed)
    is_real = torch.rand(n, generator=draw) < 0.5
    of_real, of_generated = (torch.randperm(len(kind), generator=draw)[:n] for kind in (real, generated))
    places = is_real.view(-1, *[1] * (real.ndim - 1))
    return torch.where(places, real[of_real], generated[of_generated]), is_real


def turing_test(is_real: Tensor, called_real: Tensor) -> TuringTest:
    r"""Score one reader's answers.

    Accuracy and the share called real have Wilson intervals. With :math:`h` of R real and :math:`f` of S
    generated images called real, :math:`\Phi` the standard normal distribution function and
    :math:`\varphi` its density,

    .. math::
        d'=\Phi^{-1}(H)-\Phi^{-1}(F), \quad c=-\tfrac12\bigl(\Phi^{-1}(H)+\Phi^{-1}(F)\bigr), \qquad
        H=\frac{h+\frac12}{R+1}, \quad F=\frac{f+\frac12}{S+1},

    the added halves keeping them finite (Hautus 1995), with the intervals :math:`d'\pm1.96\sqrt v` and
    :math:`c\pm1.96\sqrt v/2`,
    :math:`v=\frac{H(1-H)}{R\,\varphi(\Phi^{-1}H)^2}+\frac{F(1-F)}{S\,\varphi(\Phi^{-1}F)^2}` (Gourevitch &
    Galanter 1967). The floor of :math:`d'` is that for :math:`H=F=\frac12`, thus
    :math:`0\pm1.96\sqrt{\frac\pi2(\frac1R+\frac1S)}`, that of :math:`c` half as wide. Several
    readers' agreement: :func:`medgan_course.metrics.classification.cohen_kappa`.

    Parameters
    ----------
    is_real, called_real : Tensor
        Boolean ``(n,)``: what the images were, and what the reader said.
    """
    if is_real.dtype != torch.bool or called_real.dtype != torch.bool or is_real.shape != called_real.shape:
        raise CourseError(
            "Images and answers are boolean (n,), True for real, not "
            f"{is_real.dtype} {tuple(is_real.shape)} and {called_real.dtype} {tuple(called_real.shape)}."
        )
    if is_real.all() or not is_real.any():
        raise CourseError("A Turing test shows both real and generated images; these are all of one kind.")
    always = is_real if is_real.double().mean() >= 0.5 else ~is_real
    normal = NormalDist()
    z, variance = [], 0.0
    for shown in (called_real[is_real], called_real[~is_real]):
        rate = (int(shown.sum()) + 0.5) / (len(shown) + 1)
        z.append(normal.inv_cdf(rate))
        variance += rate * (1 - rate) / (len(shown) * normal.pdf(z[-1]) ** 2)
    half = normal.inv_cdf(0.975) * variance**0.5
    n, real = len(is_real), int(is_real.sum())
    guess = normal.inv_cdf(0.975) * (pi / 2 * (1 / real + 1 / (n - real))) ** 0.5
    d, c = z[0] - z[1], -(z[0] + z[1]) / 2
    return TuringTest(
        accuracy=proportion(is_real == called_real, floor=proportion(always)),
        d_prime=Score(d, d - half, d + half, n, floor=Score(0.0, -guess, guess, n)),
        criterion=Score(c, c - half / 2, c + half / 2, n, floor=Score(0.0, -guess / 2, guess / 2, n)),
        called_real=proportion(called_real, floor=proportion(is_real)),
        one_answer=bool(called_real.all() or not called_real.any()),
    )


def detail(images: Tensor, side: int) -> Tensor:
    r"""Return what each image loses when it is shrunk to ``side`` pixels and enlarged again.

    With D the bicubic reduction, U the bicubic enlargement and :math:`\bar x` the mean of image x,

    .. math:: \frac{\lVert x-U(D(x))\rVert}{\lVert x-\bar x\rVert}.

    Near 0, the image is the enlargement of a smaller one, and known by its blur whatever it shows: a test in
    which some images of one kind are such tests something else.

    Parameters
    ----------
    images : Tensor
        ``(N, C, H, W)``, none of them constant.
    side : int
        1 to the images' side.

    Returns
    -------
    Tensor
        ``(N,)``, 0 to about 1.

    Raises
    ------
    CourseError
        If ``side`` is larger than the images, or 0.
    """
    if not 1 <= side <= min(images.shape[2:]):
        raise CourseError(f"Images of {tuple(images.shape[2:])} pixels cannot be shrunk to {side}.")
    small = interpolate(images, (side, side), mode="bicubic", antialias=True)
    lost = images - interpolate(small, images.shape[2:], mode="bicubic")
    varied = images - images.mean((1, 2, 3), keepdim=True)
    return lost.flatten(1).norm(dim=1) / varied.flatten(1).norm(dim=1)


def power(share: float, n: int) -> float:
    r"""Return how often a test of ``n`` images finds out a reader who is right in ``share`` of all cases.

    Found out means that Wilson's interval of the accuracy lies above one half. With :math:`p` the share and
    :math:`k_0` the fewest right answers of n for which it does,

    .. math:: \sum_{k=k_0}^{n}\binom nk p^k(1-p)^{n-k}.

    Parameters
    ----------
    share : float
        0 to 1; at 0.5, who is found out is a guesser in luck.
    n : int
        Images of the test.

    Returns
    -------
    float
        0 to 1.

    Raises
    ------
    CourseError
        If ``share`` is no share.
    """
    if not 0 <= share <= 1:
        raise CourseError(f"A share of right answers lies between 0 and 1, not at {share}.")
    found = (k for k in range(n + 1) if proportion(torch.arange(n) < k).low > 0.5)
    return sum(comb(n, k) * share**k * (1 - share) ** (n - k) for k in found)


def scripted_observer(
    is_real: Tensor, *, d_prime: float = 0.0, criterion: float = 0.0, seed: int = 0
) -> Tensor:
    r"""Answer as an observer of known ability does, to try a test before people take it.

    Each image gives evidence :math:`e\sim\mathcal N(\pm d'/2,\,1)`, plus for real ones; the observer says
    "real" where :math:`e>c` (Green & Swets 1966).

    Parameters
    ----------
    is_real : Tensor
        Boolean ``(n,)``.
    d_prime : float
        0 guesses, ``inf`` is never wrong.
    criterion : float
        :math:`c`; 0 has no leaning, ``-inf`` calls everything real.
    seed : int
        Seed of the noise.

    Returns
    -------
    Tensor
        Boolean ``(n,)``, True for "real".
    """
    noise = torch.randn(len(is_real), generator=torch.Generator().manual_seed(seed), dtype=torch.float64)
    return noise + torch.where(is_real.cpu(), d_prime / 2, -d_prime / 2) > criterion
