r"""The visual Turing test: whether somebody can tell generated images from real ones (M09, S22).

A fair test shows as many real as generated images in random order, to a reader who knows the share and not
the order. Failing to tell them apart does not show that the distributions agree: a reader looks at one
image at a time, and at what readers look at.
"""

from dataclasses import dataclass
from math import pi
from statistics import NormalDist

import torch
from torch import Tensor

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
    called_real : Score
        Share of images called real. Far from the true share, which stands as its floor, the reader leans to
        one answer, and accuracy says little.
    one_answer : bool
        Whether all answers were the same: then nothing was compared.
    """

    accuracy: Score
    d_prime: Score
    called_real: Score
    one_answer: bool


def turing_test(is_real: Tensor, called_real: Tensor) -> TuringTest:
    r"""Score one reader's answers.

    Accuracy and the share called real have Wilson intervals. With :math:`h` of R real and :math:`f` of S
    generated images called real, :math:`\Phi` the standard normal distribution function and
    :math:`\varphi` its density,

    .. math::
        d'=\Phi^{-1}(H)-\Phi^{-1}(F), \qquad H=\frac{h+\frac12}{R+1}, \quad F=\frac{f+\frac12}{S+1},

    the added halves keeping it finite (Hautus 1995), with the interval :math:`d'\pm1.96\sqrt v`,
    :math:`v=\frac{H(1-H)}{R\,\varphi(\Phi^{-1}H)^2}+\frac{F(1-F)}{S\,\varphi(\Phi^{-1}F)^2}` (Gourevitch &
    Galanter 1967). The floor is that for :math:`H=F=\frac12`, thus
    :math:`0\pm1.96\sqrt{\frac\pi2(\frac1R+\frac1S)}`. Several readers' agreement:
    :func:`medgan_course.metrics.classification.cohen_kappa`.

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
        n = len(shown)
        rate = (int(shown.sum()) + 0.5) / (n + 1)
        z.append(normal.inv_cdf(rate))
        variance += rate * (1 - rate) / (n * normal.pdf(z[-1]) ** 2)
    d, half = z[0] - z[1], normal.inv_cdf(0.975) * variance**0.5
    real = int(is_real.sum())
    guess = normal.inv_cdf(0.975) * (pi / 2 * (1 / real + 1 / (len(is_real) - real))) ** 0.5
    return TuringTest(
        accuracy=proportion(is_real == called_real, floor=proportion(always)),
        d_prime=Score(d, d - half, d + half, len(is_real), floor=Score(0.0, -guess, guess, len(is_real))),
        called_real=proportion(called_real, floor=proportion(is_real)),
        one_answer=bool(called_real.all() or not called_real.any()),
    )


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
