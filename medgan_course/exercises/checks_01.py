"""The checks of chapter 01, images: FLAIR, Rician noise, folded k-space, one picture of several contrasts."""

import math
from collections.abc import Callable

import torch
from torch import Tensor
from torch.nn.functional import normalize

from medgan_course.data import signal
from medgan_course.exercises.answer import Answer, CheckFailed, Exercise, compare

# 1.1: FLAIR -------------------------------------------------------------------------------------------

FLAIR = "flair(rho, t1, t2, tr, te, t1_fluid)"


def _check_flair(answer: Answer) -> str:
    function = answer.function("flair")
    # White and grey matter, fluid, and something slower than fluid, whose magnetisation is still upside down.
    rho, t1, t2 = torch.tensor([[0.77, 0.86, 1.0, 0.9], [500, 833, 2569, 4000], [70, 83, 329, 250.0]])
    for tr, te, t1_fluid in ((9000.0, 100.0, 2569.0), (5000.0, 140.0, 4000.0), (7000.0, 30.0, 833.0)):
        for axes in ((4,), (2, 1, 2)):
            a, b, c = (values.reshape(axes) for values in (rho, t1, t2))
            found = answer.tensor(FLAIR, function, a, b, c, tr, te, t1_fluid, shape=axes)
            compare(
                found,
                _flair(a, b, c, tr, te, signal.null_time(t1_fluid, tr)),
                _flair_mistakes(a, b, c, tr, te, t1_fluid),
                seen=f"With TR = {tr:.0f}, TE = {te:.0f} and a fluid of T1 = {t1_fluid:.0f} ms ",
                otherwise="Follow one tissue: its magnetisation from the inversion to TI, then the decay to "
                "the echo.",
            )
    left = answer.tensor(FLAIR, function, rho, t1, t2, 9000.0, 100.0, 2569.0, shape=(4,))[2]
    return f"fluid keeps {left:.2%} of the signal of water, and every other tissue its own."


def _flair(rho: Tensor, t1: Tensor, t2: Tensor, tr: float, te: float, ti: float | Tensor) -> Tensor:
    return rho * (1 - 2 * torch.exp(-ti / t1) + torch.exp(-tr / t1)).abs() * torch.exp(-te / t2)


def _flair_mistakes(
    rho: Tensor, t1: Tensor, t2: Tensor, tr: float, te: float, t1_fluid: float
) -> dict[str, float | Tensor]:
    ti, echo = signal.null_time(t1_fluid, tr), torch.exp(-te / t2)
    at_ti, at_tr = torch.exp(-ti / t1), torch.exp(-tr / t1)

    def at(wrong: float | Tensor) -> Tensor:
        return _flair(rho, t1, t2, tr, te, wrong)

    return {
        "TI is T1 ln 2, which nulls the fluid only if TR is endless": at(t1_fluid * math.log(2)),
        "TI is T1, but magnetisation that was inverted passes zero before that": at(t1_fluid),
        "the term of TR in TI has the wrong sign": at(
            t1_fluid * (math.log(2) - math.log1p(-math.exp(-tr / t1_fluid)))
        ),
        "TI comes from logarithms to base 10": at(
            t1_fluid * (math.log10(2) - math.log10(1 + math.exp(-tr / t1_fluid)))
        ),
        "every tissue has a TI of its own, and all vanish": torch.zeros_like(rho),
        "the magnitude is missing: what is still upside down has become negative": rho
        * (1 - 2 * at_ti + at_tr)
        * echo,
        "the pulse only erases and does not invert: a 2 is missing": rho * (1 - at_ti).abs() * echo,
        "the pulse only erases and does not invert: a 2 is missing, though TR is there": rho
        * (1 - at_ti + at_tr).abs()
        * echo,
        "the term of TR in the signal is missing": rho * (1 - 2 * at_ti).abs() * echo,
        "the term of TR in the signal has the wrong sign": rho * (1 - 2 * at_ti - at_tr).abs() * echo,
        "it is a spin echo without the inversion": rho * (1 - at_tr) * echo,
        "the echo is taken at once: the decay with T2 is missing": rho * (1 - 2 * at_ti + at_tr).abs(),
        "the signal grows until the echo": rho * (1 - 2 * at_ti + at_tr).abs() / echo,
        "the signal decays with T1 where it should with T2": rho
        * (1 - 2 * at_ti + at_tr).abs()
        * torch.exp(-te / t1),
        "proton density is left out": (1 - 2 * at_ti + at_tr).abs() * echo,
    }


# 1.2: noise that is never negative --------------------------------------------------------------------


def _check_rician(answer: Answer) -> str:
    function = answer.function("rician")
    what, mean = "rician(signal, sigma)", 0.0
    answer.tensor(what, function, torch.full((2, 1, 5, 7), 3.0), 0.5, shape=(2, 1, 5, 7))
    for sigma, snr in ((0.2, 0.0), (0.2, 10.0), (3.0, 0.0), (3.0, 10.0), (3.0, 1.5)):
        truth = torch.full((300, 1, 20, 20), snr * sigma)
        found = answer.tensor(what, function, truth, sigma, shape=truth.shape)
        if (found < 0).any():
            raise CheckFailed("Some values are negative, which no magnitude is.")
        if found.std(dim=(1, 2, 3)).mean() < 1e-6 * sigma:
            raise CheckFailed(
                "Every pixel of an image has the same noise: each needs numbers of its own, so look at the "
                "shape in which they are drawn."
            )
        spread = found.std()
        if found.mean(dim=(1, 2, 3)).std() > 3 * spread / 20 or found.mean(0).std() > 3 * spread / 300**0.5:
            raise CheckFailed(
                "The noise of different pixels is not independent: each pixel of each image needs numbers of "
                "its own."
            )
        moments = torch.stack([found.mean(), spread]).double() / sigma
        right = _moments(_magnitude, snr, sigma)
        wrong = {reason: _moments(made, snr, sigma) for reason, made in RICIAN_MISTAKES.items()}
        wrong |= {
            reason: _moments(_magnitude, snr, sigma, taken(sigma))
            for reason, taken in TAKEN_FOR_SIGMA.items()
        }
        # A mean over 120,000 pixels is right to within 0.3 % of sigma.
        near = next((m for m in (right, *wrong.values()) if (m - moments).abs().max() < 0.02), moments)
        compare(
            near,
            right,
            wrong,
            seen=f"At signal {snr * sigma:g} and sigma {sigma:g}, from the mean and the spread, ",
            otherwise="Write down mean and spread at signal 0 and at a signal of ten sigma, as the chapter "
            "gives them, and compare with your own.",
        )
        mean = moments[0].item() if snr == 0 else mean
    return f"air has a mean of {mean:.3f} sigma; sqrt(pi / 2) is {math.sqrt(math.pi / 2):.3f}."


Noisy = Callable[[Tensor, Tensor, Tensor], Tensor]

# What is made of signal and two Gaussian noises, all of one standard deviation sigma.
RICIAN_MISTAKES: dict[str, Noisy] = {
    "only the real part has noise": lambda s, a, b: (s + a).abs(),
    "both parts have the same noise": lambda s, a, b: ((s + a) ** 2 + a**2).sqrt(),
    "sigma is shared out between the two parts, but each has all of it": lambda s, a, b: (
        (s + a / 2**0.5) ** 2 + b**2 / 2
    ).sqrt(),
    "the signal is in both parts": lambda s, a, b: ((s + a) ** 2 + (s + b) ** 2).sqrt(),
    "the noise is added after the magnitude": lambda s, a, b: s + (a**2 + b**2).sqrt(),
    "negative values are cut off, as if noise were Gaussian": lambda s, a, b: (s + a).clamp(min=0),
}
TAKEN_FOR_SIGMA: dict[str, Callable[[float], float]] = {
    "sigma is taken for the variance": math.sqrt,
    "sigma is squared": lambda sigma: sigma**2,
    "sigma is left out": lambda sigma: 1.0,
}


def _magnitude(signal: Tensor, a: Tensor, b: Tensor) -> Tensor:
    return ((signal + a) ** 2 + b**2).sqrt()


def _moments(made: Noisy, snr: float, sigma: float, taken: float | None = None) -> Tensor:
    """Return mean and standard deviation in sigma, over quantiles of noise of ``sigma`` or ``taken``."""
    middles = (torch.arange(400, dtype=torch.float64) + 0.5) / 400
    noise = (sigma if taken is None else taken) * torch.special.ndtri(middles)
    values = made(torch.tensor(snr * sigma, dtype=torch.float64), noise[:, None], noise[None])
    values = values.expand(400, 400) / sigma
    return torch.stack([values.mean(), values.std()])


# 1.3: folded over itself ------------------------------------------------------------------------------


def _check_folded(answer: Answer) -> str:
    function = answer.function("folded")
    for shape, every in (((2, 1, 60, 12), 4), ((1, 1, 45, 20), 3), ((3, 1, 32, 32), 2)):
        images = torch.rand(shape)
        found = answer.tensor(f"folded(images, {every})", function, images, every)
        rows = shape[2] // every
        if found.shape == (*shape[:2], rows, shape[3]):
            raise CheckFailed(
                f"folded(images, {every}) returns {rows} rows of {shape[2]}: a line that is not read is "
                "missing from k-space, but its place is not; leave a zero there."
            )
        if found.shape != shape:
            raise CheckFailed(
                f"folded(images, {every}) must return shape {shape}, but returns {tuple(found.shape)}."
            )
        right = torch.stack([images.roll(rows * k, dims=2) for k in range(every)]).mean(0)
        compare(
            found,
            right,
            _folded_mistakes(images, every, right),
            seen=f"With {shape[2]} rows and every {_ordinal(every)} line ",
            otherwise="Try one bright point in row 20 of 60: where does it appear, and how bright?",
        )
    point = torch.zeros(1, 1, 96, 96)
    point[0, 0, 20, 48] = 1
    found = answer.tensor("folded(point, 3)", function, point, 3, shape=point.shape)
    seen_in = (found[0, 0, :, 48] > 0.3).nonzero().flatten().tolist()
    return f"with every third of 96 lines a point of row 20 appears in rows {seen_in}."


def _ordinal(number: int) -> str:
    return {2: "second", 3: "third"}.get(number, f"{number}th")


def _folded_mistakes(images: Tensor, every: int, right: Tensor) -> dict[str, float | Tensor]:
    lines, columns = images.shape[-2:]
    k, line = torch.fft.fft2(images), torch.arange(lines)

    def read(mask: Tensor) -> Tensor:
        return torch.fft.ifft2(k * mask[:, None]).abs()

    other_axis = torch.fft.ifft2(k * (torch.arange(columns) % every == 0)).abs()
    frequency = (line + lines // 2) % lines - lines // 2
    return {
        "it is left as bright as if all lines had been read": right * every,
        "the columns are thinned out, but lines are rows of k-space": other_axis,
        "the lines that were read are thrown away and the others kept": images - right,
        "the lines that were read are thrown away and the others kept, with their magnitude": (
            images - right
        ).abs(),
        "frequency 0 is not among the lines that were read: look at where it lies in your k-space": read(
            (line - lines // 2) % every == 0
        ),
        "the lines begin at the second: frequency 0 is not among them": read(line % every == 1),
        "only the centre of k-space is kept, which blurs and does not fold": read(
            frequency.abs() <= lines // every // 2
        ),
        "the first rows of the picture are thinned out, not those of k-space": images
        * (line % every == 0)[:, None],
        "nothing is left out": images,
        "there are two copies, whatever the number of lines left out": (
            images + images.roll(lines // 2, dims=2)
        )
        / 2,
    }


# 1.4: one picture of several contrasts ----------------------------------------------------------------

Criterion = Callable[[Tensor, Tensor, Tensor], Tensor]


def _check_combination(answer: Answer) -> str:
    function = answer.function("weights")
    what = "weights(tissues)"
    for contrasts, tissues in ((3, 3), (2, 2), (4, 3), (3, 4)):
        groups = _groups(contrasts, tissues)
        before = [group.clone() for group in groups]
        found = answer.tensor(what, function, groups, shape=(contrasts,)).double()
        if any(not torch.equal(group, copy) for group, copy in zip(groups, before, strict=True)):
            raise CheckFailed(f"{what} changed the pixels it was given: compute new tensors instead.")
        if found.norm() == 0:
            raise CheckFailed("All weights are zero, which makes every pixel the same grey.")
        _judge(groups, found.detach())
    return "in every set of tissues the weakest pair is as far apart as it can be, within 5 %."


def _groups(contrasts: int, tissues: int) -> list[Tensor]:
    """Return pixels of each tissue, with noise that the contrasts share, as a bias field makes it."""
    shared = torch.randn(contrasts)
    mixing = [0.3 * torch.eye(contrasts) + 0.12 * torch.randn(contrasts, contrasts) for _ in range(tissues)]
    return [
        torch.randn(contrasts)
        + torch.randn(500 + 100 * k, contrasts) @ mix
        + 0.3 * torch.randn(500 + 100 * k, 1) * shared
        for k, mix in enumerate(mixing)
    ]


def _judge(groups: list[Tensor], weights: Tensor) -> None:
    """Hold the smallest Fisher ratio of ``weights`` against the best, and say what else was made large."""
    apart, spread = _pairs(groups)
    best = _largest(_smallest_ratio, apart, spread)
    single = _smallest_ratio(torch.eye(len(weights), dtype=torch.double), apart, spread).max().item()
    reached = _smallest_ratio(weights[None], apart, spread).item()
    if reached > 0.95 * best:
        return
    seen = f"For {len(groups)} tissues in {len(weights)} contrasts the smallest ratio is {reached:.2f}, "
    made = {
        reason: criterion(weights[None], apart, spread).item() / _largest(criterion, apart, spread)
        for reason, criterion in CRITERIA.items()
    }
    reason, share = max(made.items(), key=lambda each: each[1])
    if share > 0.97:
        raise CheckFailed(f"{seen}where {best:.2f} can be had: it looks as if {reason}.")
    if reached < 0.99 * single:
        raise CheckFailed(
            f"{seen}but the best single contrast has {single:.2f}, and is one of the weights to choose from: "
            "compute the ratio for every pair, and look at the smallest."
        )
    raise CheckFailed(f"{seen}where {best:.2f} can be had: search longer, or in more directions.")


def _pairs(groups: list[Tensor]) -> tuple[Tensor, Tensor]:
    """Return differences of means (P, K) and sums of covariances (P, K, K) of all pairs of tissues."""
    means = [group.double().mean(0) for group in groups]
    covariances = [group.double().T.cov() for group in groups]
    pairs = [(a, b) for a in range(len(groups)) for b in range(a)]
    return (
        torch.stack([means[a] - means[b] for a, b in pairs]),
        torch.stack([covariances[a] + covariances[b] for a, b in pairs]),
    )


def _ratios(weights: Tensor, apart: Tensor, spread: Tensor) -> Tensor:
    """Return the Fisher ratios (M, P) of rows of weights (M, K)."""
    return (weights @ apart.T).abs() / torch.einsum("mk,pkl,ml->mp", weights, spread, weights).sqrt()


def _smallest_ratio(weights: Tensor, apart: Tensor, spread: Tensor) -> Tensor:
    return _ratios(weights, apart, spread).amin(1)


def _only_variances(spread: Tensor) -> Tensor:
    return torch.diag_embed(spread.diagonal(dim1=1, dim2=2))


CRITERIA: dict[str, Criterion] = {
    "the mean of the ratios is made large, but the weakest link counts": lambda w, a, s: _ratios(
        w, a, s
    ).mean(1),
    "the largest ratio is made larger, but the weakest link counts": lambda w, a, s: _ratios(w, a, s).amax(1),
    "only the distances of the means are looked at, and not the spread": lambda w, a, s: (
        (w @ a.T).abs().amin(1) / w.norm(dim=1)
    ),
    "the contrasts' variances are there, but not how they vary together": lambda w, a, s: _smallest_ratio(
        w, a, _only_variances(s)
    ),
}


def _largest(criterion: Criterion, apart: Tensor, spread: Tensor) -> float:
    """Return the largest value over all directions: a random search, ever nearer to the best."""
    draw = torch.Generator().manual_seed(0)
    contrasts = apart.shape[1]
    best = torch.eye(contrasts, dtype=torch.double)[:1]
    for reach in (10.0, 0.3, 0.1, 0.03, 0.01):
        noise = torch.randn(2_000, contrasts, generator=draw, dtype=torch.double)
        tried = normalize(torch.cat([best, best + reach * noise]))
        best = tried[criterion(tried, apart, spread).argmax()][None]
    return criterion(best, apart, spread).item()


EXERCISES = {
    "01.1": Exercise(
        _check_flair,
        hints=(
            "Two things are asked for: the time at which fluid passes zero, then the signal of every tissue "
            "at that one time.",
            "TI follows from the T1 of the fluid and from TR, and from nothing else; the chapter has the "
            "formula. Does yours still use TR?",
            "Inversion makes the 2, a finite TR adds its own exponential, the picture is a magnitude, and "
            "the echo takes its share with T2. Four factors and terms: tick them off one by one.",
        ),
    ),
    "01.2": Exercise(
        _check_rician,
        hints=(
            "The scanner measures two numbers for each pixel. In which of them is the signal, and in which "
            "the noise?",
            "Both parts have noise, independent of each other and of every other pixel, and each has the "
            "full sigma. `torch.randn_like` draws one number for each pixel.",
            "If you draw complex numbers: torch gives them a variance of 1 in all, one half in each part.",
        ),
    ),
    "01.3": Exercise(
        _check_folded,
        hints=(
            "There are two ways: do what the scanner does, or use what the chapter says comes of it. Try one "
            "bright point first.",
            "By the scanner's way: transform, zero the lines that are not read, transform back, magnitude. "
            "Where in the transformed array is frequency 0, and is that line among those you keep?",
            "By the other way: R copies, 1/R of the field of view apart, each with 1/R of the brightness. "
            "`torch.roll` shifts and lets what leaves on one side come in on the other.",
        ),
    ),
    "01.4": Exercise(
        _check_combination,
        hints=(
            "Begin with a function that returns the smallest Fisher ratio for given weights, and try it on "
            "each contrast alone.",
            "The ratio needs means and covariance matrices (`torch.cov` wants one row for each contrast), "
            "for every pair of tissues. Then take the smallest over pairs.",
            "For a handful of contrasts a search is enough: thousands of random directions, and the one "
            "whose smallest ratio is largest. Searching again near the best one helps.",
        ),
    ),
}
