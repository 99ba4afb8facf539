"""The checks of chapter 03, metrics: a range to find out, a floor, false alarms, a copier."""

import math
from collections.abc import Callable
from typing import Any

import torch
from torch import Tensor

from medgan_course.exercises.answer import Answer, CheckFailed, Exercise, compare, kind, names, returns
from medgan_course.metrics.distribution import frechet_distance

Function = Callable[..., Any]


# 3.1: the range behind a number ------------------------------------------------------------------------


def reported(x: Tensor, y: Tensor) -> dict[str, Tensor]:
    """Return PSNR as three reports give it, of the same images: each supposes a data range of its own.

    Parameters
    ----------
    x, y : Tensor
        Answers and their truths, ``(N, C, H, W)`` in [-1, 1].

    Returns
    -------
    dict of str to Tensor
        Name of the report, and PSNR in dB, ``(N,)``.
    """
    values = y.flatten(1)
    ranges = {
        "A": torch.full((len(y),), 255.0),
        "B": values.amax(1) - values.amin(1),
        "C": torch.ones(len(y)),
    }
    return {name: _psnr(_mse(x, y), used) for name, used in ranges.items()}


def _mse(x: Tensor, y: Tensor) -> Tensor:
    return (x - y).flatten(1).square().mean(1)


def _psnr(mse: Tensor, used: float | Tensor) -> Tensor:
    return 10 * (used**2 / mse).log10()


def _one_each(what: str, name: str, found: Any, n: int) -> Tensor:
    """Return ``found`` as a float tensor ``(n,)``, from whatever holds as many numbers."""
    try:
        values = torch.as_tensor(found).detach().double()
    except (TypeError, ValueError, RuntimeError):
        raise CheckFailed(f"{what}: {name} must be numbers, one for each image, not {kind(found)}.") from None
    if tuple(values.shape) != (n,):
        whole = " That is one number for all of them." if values.numel() == 1 else ""
        raise CheckFailed(
            f"{what}: {name} must have shape ({n},), one value each, but has {tuple(values.shape)}.{whole}"
        )
    if not values.isfinite().all():
        raise CheckFailed(f"{what}: {name} is not finite: look for a log or a division by 0.")
    return values


def _check_audit(answer: Answer) -> str:
    function = answer.function("audit")
    for shape in ((4, 1, 6, 8), (3, 2, 5, 5), (7, 1, 9, 4)):
        _check_one_audit(answer, function, shape)
    return "the value at the range that images can have, and the range that a report has used instead."


def _check_one_audit(answer: Answer, function: Function, shape: tuple[int, ...]) -> None:
    n = shape[0]
    # Every truth has a range, a largest value and an error of its own, so that no two mistakes agree.
    y = (2 * torch.rand(shape) - 1) * torch.linspace(0.3, 0.8, n).view(-1, 1, 1, 1) - 0.1
    x = y + torch.randn(shape) * torch.linspace(0.2, 0.02, n).view(-1, 1, 1, 1)
    x, y = x.double(), y.double()
    mse, used = _mse(x, y), torch.linspace(0.7, 9.1, n, dtype=torch.float64).flip(0).square()
    report = _psnr(mse, used)
    what = "audit(x, y, report)"
    given = (x.float(), y.float(), report.float())
    value, found = answer.several(what, ("PSNR", "the range used"), function, *given)
    value = _one_each(what, "PSNR", value, n)
    found = _one_each(what, "the range", found, n)
    flat = y.flatten(1)
    largest, own = flat.amax(1), flat.amax(1) - flat.amin(1)
    right = _psnr(mse, 2)
    seen = f"On {n} images of shape {shape[1:]}, "
    compare(
        value,
        right,
        {
            "the error is averaged over the whole batch, where each image has its own": (
                _psnr(mse.mean(), 2).expand(n)
            ),
            "the factor is 20, which belongs to the root of the mean square error": 2 * right,
            "the factor is 10 on a root, where the formula has squares inside the logarithm": right / 2,
            "the range is not squared": 10 * (2 / mse).log10(),
            "the natural logarithm is taken": 10 * (4 / mse).log(),
            "the sign is turned: a smaller error must give more decibels": -right,
            "the squared errors are added up over the image, where a mean is wanted": (
                _psnr(mse * math.prod(shape[1:]), 2)
            ),
            "the absolute error stands where the squared one belongs": _psnr(
                (x - y).abs().flatten(1).mean(1), 2
            ),
            "the range is 1, as if images could have values from 0 to 1 only": _psnr(mse, 1),
            "the range is 255, but these images are not bytes": _psnr(mse, 255),
            "the range is that of the truth at hand, which differs from image to image": _psnr(mse, own),
            "the range is the largest value of the truth at hand": _psnr(mse, largest),
            "the range is the largest value of all truths, where it has to be fixed beforehand": (
                _psnr(mse, largest.max())
            ),
            "the range is what these truths happen to span, where it has to be fixed beforehand": (
                _psnr(mse, flat.max() - flat.min())
            ),
            "the report is returned as it was": report,
        },
        seen=f"{seen}PSNR: ",
        otherwise="Check by hand what an error of 0.2 in every pixel should give: 20 dB.",
    )
    root = mse.sqrt()
    compare(
        found,
        used,
        {
            "what is returned as range is its square: a root is missing": used**2,
            "10 stands where the root needs 20: decibels are about squares": root * 10 ** (report / 10),
            "the root of the error is missing": mse * 10 ** (report / 20),
            "the exponential has base e, where decibels have base 10": root * (report / 20).exp(),
            "the range is given as a multiple of 2, where the range itself is asked for": used / 2,
            "the difference to the right value is taken with its sign turned": 4 / used,
            "the error is averaged over the whole batch, where each image has its own": (
                mse.mean().sqrt() * 10 ** (report / 20)
            ),
            "it is the range of the truth; the report need not have used that one": own,
            "it is the range that should have been used; asked for is what the report has used": (
                torch.full_like(used, 2)
            ),
            "the difference in decibels is returned, not the range that explains it": report - right,
            "the difference in decibels is returned, not the range that explains it, and with its sign "
            "turned": right - report,
        },
        seen=f"{seen}the range used: ",
        otherwise="Solve the formula of PSNR for R, with the report in the place of PSNR.",
    )


# 3.2: a floor ------------------------------------------------------------------------------------------

SPLITS = 20


class _Counter:
    """A distance that costs nothing and remembers which rows it was shown."""

    def __init__(self) -> None:
        self.draws: dict[int, list[tuple[list[int], list[int]]]] = {}
        self.values: dict[int, list[float]] = {}

    def __call__(self, a: Any, b: Any) -> float:
        for each in (a, b):
            if not isinstance(each, Tensor) or each.ndim != 2 or each.shape[1] != 3:
                raise ValueError("a distance takes two sets of features (n, d), rows of those it was given")
        n = len(a)
        # Skewed, so that a median is no mean.
        value = float(5 * torch.rand(()) ** 3 + 20 / n)
        self.draws.setdefault(n, []).append((a[:, 0].int().tolist(), b[:, 0].int().tolist()))
        self.values.setdefault(n, []).append(value)
        return value


def _check_floor(answer: Answer) -> str:
    function = answer.function("floor")
    for sizes, pool in (([10, 30, 60], 140), ([45, 8], 100)):
        _check_draws(answer, function, sizes, pool)
    features = torch.randn(400, 3) * torch.tensor([1.0, 2.0, 3.0])
    sizes = [25, 50, 100, 200]
    what = f"floor(features, {sizes}, frechet_distance)"
    means, _ = answer.several(what, ("the means", "c"), function, features, sizes, frechet_distance)
    means = _one_each(what, "the means", means, len(sizes))
    return (
        f"the mean falls with n: {', '.join(f'{m:.2g} at {n}' for n, m in zip(sizes, means, strict=True))}."
    )


def _check_draws(answer: Answer, function: Function, sizes: list[int], pool: int) -> None:
    features = torch.randn(pool, 3)
    features[:, 0] = torch.arange(pool)
    counter, given = _Counter(), list(sizes)
    what = f"floor(features, {sizes}, distance)"
    means, c = answer.several(what, ("the means", "c"), function, features, given, counter)
    if not counter.draws:
        raise CheckFailed("The distance is never called: the floor is what it says of real against real.")
    _check_sets(counter, sizes, pool)
    means = _one_each(what, "the means", means, len(sizes))
    values = [torch.tensor(counter.values[n], dtype=torch.float64) for n in sizes]
    right = torch.stack([v.mean() for v in values])
    compare(
        means,
        right,
        {
            "only one split is returned for each size": torch.stack([v[-1] for v in values]),
            "only the first split is returned for each size": torch.stack([v[0] for v in values]),
            "the median of the splits is taken, where the law is about their mean": torch.stack(
                [v.quantile(0.5) for v in values]
            ),
            "the median (torch's, the lower middle) is taken, where the law is about the mean": torch.stack(
                [v.median() for v in values]
            ),
            "the smallest of the splits is returned: a floor is what is usual, not what was lucky": (
                torch.stack([v.min() for v in values])
            ),
            "the splits' values are added up, where a mean is wanted": torch.stack([v.sum() for v in values]),
            "the spread of the splits is returned, where their mean is wanted": torch.stack(
                [v.std() for v in values]
            ),
            "the means are in another order than the sizes": right.flip(0),
        },
        seen=f"For sizes {sizes}, ",
        otherwise="For each size, average what the distance returned.",
    )
    n = torch.tensor(sizes, dtype=torch.float64)
    inverse = 1 / n
    slope, intercept = _line(inverse, right)
    found_c = answer.number("c, the second thing that floor returns,", lambda: c)
    compare(
        found_c,
        (right * inverse).sum() / inverse.square().sum(),
        {
            "the line has an intercept: c/n goes to zero": slope,
            "it is the intercept of a line, where the factor of 1/n is asked for": intercept,
            "it fits c·n, which grows with n": (right * n).sum() / n.square().sum(),
            "it is a line against n; the law is about 1/n": _line(n, right)[0],
            "n times the mean is averaged over the sizes; least squares gives small n, where the floor is "
            "large, more weight": (n * right).mean(),
            "only the first size is used": n[0] * right[0],
            "only the last size is used": n[-1] * right[-1],
            "it is the exponent of a power of n, where the factor is asked for": _line(n.log(), right.log())[
                0
            ],
            "the logarithms are fitted, where least squares are of the means themselves": (
                (right.log() + n.log()).mean().exp()
            ),
            "the sum of squares that c is divided by is missing": (right * inverse).sum(),
        },
        seen=f"For sizes {sizes}, c: ",
        otherwise="Set the derivative of the sum of squares in c to zero.",
    )


def _line(x: Tensor, y: Tensor) -> tuple[Tensor, Tensor]:
    """Return slope and intercept of the least-squares line."""
    centred = x - x.mean()
    slope = (centred * y).sum() / centred.square().sum()
    return slope, y.mean() - slope * x.mean()


def _check_sets(counter: _Counter, sizes: list[int], pool: int) -> None:
    """Hold every set that the distance was shown against what a split is."""
    for n, draws in counter.draws.items():
        if n not in sizes or any(len(b) != n for _, b in draws):
            raise CheckFailed(
                f"For sizes {sizes} the distance was shown sets of {n} and {len(draws[0][1])}: "
                "both halves of a split have n rows."
            )
        if any(set(a) & set(b) for a, b in draws):
            raise CheckFailed(
                "The two sets of a split share rows, and what they share lies at distance zero: "
                "the floor needs two disjoint draws."
            )
        if any(len(set(each)) < n for pair in draws for each in pair):
            raise CheckFailed("A set holds the same row more than once: draw without replacement.")
        if len(draws) < SPLITS:
            raise CheckFailed(
                f"Size {n} has {len(draws)} split{'s' * (len(draws) > 1)}, and {SPLITS} are wanted: "
                "a single one need not fall with n, their mean does."
            )
        if len({tuple(sorted(a)) for a, _ in draws}) < len(draws) / 2:
            raise CheckFailed(
                f"The splits of size {n} are the same again and again: draw anew for each, and do not set "
                "the seed inside the loop."
            )
        if max(max(a + b) for a, b in draws) < 2 * n < pool or all(
            max(each) - min(each) == n - 1 for pair in draws for each in pair
        ):
            raise CheckFailed(
                "The sets are neighbours in the list, or never come from its end: sets are often sorted, "
                "so draw from all rows."
            )
    missing = [n for n in sizes if n not in counter.draws]
    if missing:
        raise CheckFailed(f"The distance was never asked about sets of {missing[0]}, one of the sizes.")


# 3.3: false alarms -------------------------------------------------------------------------------------

WORLDS, TESTS, IMAGES = 60, 20, 80
Statistics = dict[str, Tensor]


def pairs(*, differing: int, seed: int, worlds: int = WORLDS) -> list[tuple[Statistics, Statistics]]:
    """Return pairs of sets of images, each image described by twenty statistics.

    Parameters
    ----------
    differing : int
        In so many statistics, from the first on, the two sets differ, and clearly; in the rest not at all.
    seed : int
        Seed of the draws.
    worlds : int
        How many pairs.

    Returns
    -------
    list of pairs of dict of str to Tensor
        For each pair the real and the generated images: names of the statistics, and values ``(80,)``.
    """
    draw = torch.Generator().manual_seed(seed)
    values = torch.randn(worlds, 2, TESTS, IMAGES, generator=draw)
    values[:, 1, :differing] += 1.5
    every = [f"statistic {k + 1}" for k in range(TESTS)]
    return [
        (dict(zip(every, real, strict=True)), dict(zip(every, fake, strict=True))) for real, fake in values
    ]


def _check_differing(answer: Answer) -> str:
    function = answer.function("differing")

    def named(real: Statistics, fake: Statistics) -> set[str]:
        copies = [{key: value.clone() for key, value in each.items()} for each in (real, fake)]
        what = "differing(real, fake)"
        return names(what, answer.call(what, function, *copies), real, "the statistics that differ")

    _check_power(named)
    alarms = sum(bool(named(*pair)) for pair in pairs(differing=0, seed=33))
    if alarms > WORLDS / 10:
        raise CheckFailed(
            f"In {alarms} of {WORLDS} pairs of sets that do not differ in any of {TESTS} statistics, some "
            "statistic was named. One pair in twenty is allowed: of twenty tests, each at 0.05, one passes "
            "by chance more often than not."
        )
    clear = {f"statistic {k + 1}" for k in range(TESTS // 2)}
    false = 0
    for pair in pairs(differing=TESTS // 2, seed=31):
        found = named(*pair)
        if not clear <= found:
            raise CheckFailed(
                f"Where ten of {TESTS} statistics differ clearly, {len(found & clear)} of them were named: "
                "each statistic has its own verdict."
            )
        false += bool(found - clear)
    if false > WORLDS / 10:
        raise CheckFailed(
            f"Where ten of {TESTS} statistics differ clearly, one that does not was named too, in {false} of "
            f"{WORLDS} pairs. What limits the *share* of false alarms does not limit whether there is any: "
            "look for a correction that does."
        )
    return f"some statistic was falsely named in {alarms} and {false} of {WORLDS} pairs, and none was missed."


def _check_power(named: Callable[[Statistics, Statistics], set[str]]) -> None:
    """Hold the answer against two sets whose p-values are known."""
    m = 200
    even = (torch.arange(m) + 0.5) / m
    centred = 2 * even - 1
    real = {name: even.clone() for name in ("equal", "higher", "lower")} | {"wider": centred.clone()}
    # A shift of evenly spaced values by d makes D = d: 0.19 of 200 against 200 has p = 0.001.
    fake = {"equal": even + 0.025, "higher": even + 0.19, "lower": even - 0.19, "wider": 2 * centred}
    found = named(real, fake)
    if found == {"equal"}:
        raise CheckFailed(
            "The statistic that hardly differs was named, and no other: a small p speaks for a difference."
        )
    if "equal" in found:
        raise CheckFailed(
            "A statistic was named that differs by D = 0.025 only, p = 1: each statistic needs a test of "
            "its own values, and a verdict from its own p."
        )
    if not found:
        raise CheckFailed(
            "No statistic was named, though three of four differ with p below 0.002: the correction is for "
            "the number of tests, here four, not for the number of images."
        )
    if "wider" not in found:
        raise CheckFailed(
            "A statistic with equal mean, but twice the spread, was not named: the Kolmogorov-Smirnov test "
            "compares whole distributions, so look whether yours compares means."
        )
    missed = sorted({"higher", "lower"} - found)
    if len(missed) == 2:
        raise CheckFailed(
            "Two statistics with p = 0.001 were not named, though one with a smaller p was: every statistic "
            "has its own verdict, and the correction is for the number of tests, here four."
        )
    if missed:
        raise CheckFailed(
            f"A statistic that is {missed[0]} in the generated images was not named, its opposite was: a "
            "difference may have either sign, so the test is two-sided."
        )


# 3.4: a copier -----------------------------------------------------------------------------------------


class _World:
    """Images that lie near a plane, as images of one anatomy do, in a size and unit of their own."""

    def __init__(self, shape: tuple[int, ...], *, unit: float, planes: int = 6) -> None:
        self.shape, self.unit = shape, unit
        self.directions = torch.randn(planes, math.prod(shape))

    def draw(self, n: int) -> Tensor:
        flat = torch.randn(n, len(self.directions)) @ self.directions
        return self.unit * (flat + 0.5 * torch.randn_like(flat)).view(n, *self.shape)

    def copies(self, train: Tensor, n: int, *, noise: float) -> Tensor:
        some = train[torch.randint(len(train), (n,))]
        return some + noise * self.unit * torch.randn_like(some)


def _check_copies(answer: Answer) -> str:
    function = answer.function("copies")

    def verdict(who: str, *arguments: Tensor) -> bool:
        what = f"copies(generated, train, held_out), with {who},"
        found = answer.call(what, function, *arguments)
        if isinstance(found, Tensor) and found.numel() == 1:
            found = found.item()
        if getattr(found, "shape", None) == () and hasattr(found, "item"):
            found = found.item()
        if not isinstance(found, bool):
            each = " One verdict is wanted for the whole set." if hasattr(found, "shape") else ""
            raise CheckFailed(f"{what} must return True or False, but {returns(found)}{each}")
        return found

    worlds = [
        _World((1, 8, 8), unit=0.2),
        _World((1, 6, 10), unit=30.0),
        _World((3, 5, 5), unit=0.01),
    ]
    for world in worlds:
        train, held_out = world.draw(300), world.draw(120)
        unit = f"in a set of images with a spread of {train.std():.2g}"
        if not verdict("exact copies", world.copies(train, 100, noise=0), train, held_out):
            raise CheckFailed(
                f"A generator that hands out its training images was not flagged, {unit}: compare each "
                "generated image with its nearest training image."
            )
        if not verdict("noisy copies", world.copies(train, 100, noise=0.2), train, held_out):
            raise CheckFailed(
                f"Copies with a little noise were not flagged, {unit}: whoever looks for equal pixels, or "
                "for distances below a fixed number, is evaded by a grain. What distance is usual, held-out "
                "images tell."
            )
        for _ in range(3):
            if verdict("an honest generator", world.draw(100), train, held_out):
                raise CheckFailed(
                    f"An honest generator was flagged, {unit}: its images are new draws from the same "
                    "population, as near to the training images as held-out ones are, but for chance. How "
                    "much nearer can chance make them?"
                )
        if verdict("images of other patients", held_out.clone(), train, held_out):
            raise CheckFailed(
                "A generator whose images lie near held-out ones was flagged: these it has never seen, so "
                "only nearness to the training images is copying."
            )
        mixed = torch.cat([world.copies(train, 35, noise=0.2), world.draw(65)])
        if not verdict("copies among honest images", mixed[torch.randperm(100)], train, held_out):
            raise CheckFailed(
                f"A generator was not flagged of whose images one in three is a noisy copy, {unit}: a mean "
                "or a median over all images looks past them, so ask how many are nearer than held-out "
                "images usually are."
            )
    return "exact, noisy and mixed-in copies are flagged, and the honest pass, in three units of grey."


EXERCISES = {
    "03.1": Exercise(
        _check_audit,
        hints=(
            "Two numbers are in PSNR: the range, and the mean square error of one image. The error is the "
            "same for everybody; so what can a report have done differently?",
            "Average the squared differences over all axes but the first. For the second answer, write down "
            "PSNR with an unknown R, set it equal to the report, and solve for R.",
            "Ten times the logarithm of a square is twenty times the logarithm of what is squared. So a "
            "report divided by 20 is the logarithm, with base 10, of R over the root of the error.",
        ),
    ),
    "03.2": Exercise(
        _check_floor,
        hints=(
            "A split is a shuffled list of row numbers, of which you take the first n and the next n.",
            "`torch.randperm(len(features))` gives such a list; ask for a new one in every split. Keep the "
            "distances of one size together and average them before you fit.",
            "With m the means and u = 1/n, the sum over sizes of (m - c u)² is a parabola in c. Its lowest "
            "point is where the sum of u (m - c u) is zero.",
        ),
    ),
    "03.3": Exercise(
        _check_differing,
        hints=(
            "First get one p for each statistic, with `ks_2samp(a, b).pvalue`. How small must the smallest "
            "of twenty be to be a surprise?",
            "The chance that any of k tests gives a false alarm is at most k times that of one. So what does "
            "one test have to be held to, if the whole may have 0.05?",
            "k is the number of statistics in the dictionaries. Either hold every p against a stricter "
            "level, or make every p larger and keep the level; Holm's way steps down from the smallest p.",
        ),
    ),
    "03.4": Exercise(
        _check_copies,
        hints=(
            "Which number says how near an image lies to the training set? And which images show what is "
            "usual for that number, without copying?",
            "For generated and for held-out images, find the distance to the nearest training image "
            "(`torch.cdist` on flattened images, or `nearest` of the library). Now there are two lists.",
            "Count generated images nearer than nearly all held-out ones, such as below their 10 % quantile. "
            "An honest generator has a few of these; choose how many are too many for chance.",
        ),
    ),
}
