"""The checks of chapter 07, super-resolution: a shuffle, an honest small image, back-projection, a plane."""

from collections.abc import Callable, Mapping
from functools import partial
from typing import Any

import torch
from torch import Tensor
from torch.nn.functional import avg_pool2d, interpolate

from medgan_course.data.degrade import area_sampled
from medgan_course.data.kspace import kspace_crop, zero_fill
from medgan_course.exercises.answer import Answer, CheckFailed, Exercise, compare, names

Function = Callable[..., Any]


# 7.1: pixel shuffle ------------------------------------------------------------------------------------


def _check_shuffle(answer: Answer) -> str:
    function = answer.function("shuffle")
    for shape, s in (
        ((2, 18, 4, 5), 3),
        ((3, 32, 2, 3), 4),
        ((1, 8, 2, 2, 2), 2),
        ((2, 16, 3, 4, 5), 2),
        ((1, 54, 2, 3, 1), 3),
    ):
        h = torch.randn(shape)
        space = tuple(s * side for side in shape[2:])
        what = f"shuffle(h, {s}), with h of shape {shape},"
        wanted = (shape[0], shape[1] // s ** len(space), *space)
        compare(
            answer.tensor(what, function, h, s, shape=wanted),
            _laid_out(h, s),
            _shuffle_mistakes(h, s),
            seen=f"With h of shape {shape} and s = {s}, ",
            otherwise="Number the values of a small h and see where each has gone.",
        )
    return "images as torch lays them out, and volumes by the same rule."


def _laid_out(h: Tensor, s: int, *, channel_last: bool = False, turned: bool = False) -> Tensor:
    """Return ``h`` with its channels laid out as blocks of ``s`` values along each axis of space."""
    n, channels, *space = h.shape
    d = len(space)
    c = channels // s**d
    if channel_last:
        blocks = h.reshape(n, *[s] * d, c, *space).movedim(d + 1, 1)
    else:
        blocks = h.reshape(n, c, *[s] * d, *space)
    offsets = list(range(2, 2 + d))
    if turned:
        offsets.reverse()
    order = [axis for k in range(d) for axis in (2 + d + k, offsets[k])]
    return blocks.permute(0, 1, *order).reshape(n, c, *[s * side for side in space])


def _shuffle_mistakes(h: Tensor, s: int) -> dict[str, Tensor]:
    n, channels, *space = h.shape
    d = len(space)
    c = channels // s**d
    large = [s * side for side in space]
    blocks = h.reshape(n, c, *[s] * d, *space)
    tiles = blocks.permute(0, 1, *(axis for k in range(d) for axis in (2 + k, 2 + d + k)))
    first = blocks.flatten(2, 1 + d)[:, :, 0]
    return {
        "the numbers were only read in another shape (view or reshape), without changing their order": (
            h.reshape(n, c, *large)
        ),
        "the offsets in a block have changed places: the last one runs fastest, along the last axis": (
            _laid_out(h, s, turned=True)
        ),
        "neighbouring channels belong to different channels of the image; here the offsets run fastest, and "
        "the image's channel slowest": _laid_out(h, s, channel_last=True),
        "the image's channel runs fastest, and the offsets have changed places as well": (
            _laid_out(h, s, channel_last=True, turned=True)
        ),
        "whole maps stand side by side, where each pixel has to become a block": tiles.reshape(n, c, *large),
        "one channel was enlarged, and the others are not used": interpolate(first, scale_factor=s),
        "the channels of a block are averaged, where each has a place of its own": interpolate(
            blocks.mean(tuple(range(2, 2 + d))), scale_factor=s
        ),
    }


# 7.2: an honest small image ----------------------------------------------------------------------------


def _check_small(answer: Answer) -> str:
    function = answer.function("small")
    for shape, s in (((2, 1, 24, 24), 4), ((1, 2, 18, 30), 3), ((3, 1, 20, 16), 2), ((1, 1, 28, 36), 4)):
        _check_one_small(answer, function, shape, s)
    return "nothing of the fine structure arrives, and all of the coarse one, where it was."


def _without_middle(images: Tensor, s: int) -> Tensor:
    """Return images without the frequencies on the edge of the crop, of which it is a matter of taste."""
    k = torch.fft.fft2(images)
    for axis in (-2, -1):
        frequency = torch.fft.fftfreq(images.shape[axis], 1 / images.shape[axis]).abs()
        keep = (frequency - images.shape[axis] / (2 * s)).abs() > 0.1
        k = k * (keep if axis == -1 else keep[:, None])
    return torch.fft.ifft2(k).real


def _check_one_small(answer: Answer, function: Function, shape: tuple[int, ...], s: int) -> None:
    fine = torch.randn(shape)
    fine = _without_middle(fine - zero_fill(kspace_crop(fine, s), s), s)
    coarse = zero_fill(kspace_crop(_without_middle(0.5 + torch.randn(shape), s), s), s)
    wanted = (*shape[:2], shape[2] // s, shape[3] // s)
    what = f"small(X, {s}), with X of shape {shape},"

    def asked(images: Tensor) -> Tensor:
        return answer.tensor(what, function, images.clone(), s, shape=wanted).detach().double()

    images = coarse + fine
    found, right = asked(images), kspace_crop(images, s).double()
    compare(
        found,
        right,
        _small_mistakes(images.double(), right, s),
        seen=f"With X of shape {shape} and s = {s}, ",
        otherwise=_advice(asked, coarse, fine, s),
    )


def _small_mistakes(images: Tensor, right: Tensor, s: int) -> dict[str, Tensor]:
    height, width = right.shape[-2:]
    top, left = (images.shape[-2] - height) // 2, (images.shape[-1] - width) // 2
    k = torch.fft.fft2(images)
    corner = torch.fft.ifft2(k[..., :height, :width]).real
    middle = torch.fft.ifft2(k[..., top : top + height, left : left + width]).real
    shifted = torch.fft.fftshift(k, (-2, -1))[..., top : top + height, left : left + width]
    return {
        f"every {s}th pixel was taken: fine structure comes out as coarse": images[..., ::s, ::s],
        f"each block of {s}x{s} pixels was averaged: a detector does that, a cropped k-space does not": (
            avg_pool2d(images, s)
        ),
        f"the values are {s * s} times too small: a transform back of fewer numbers divides by another "
        "number of pixels": right / s**2,
        f"the values are {s * s} times too large: a transform back of fewer numbers divides by another "
        "number of pixels": right * s**2,
        f"the values are {s} times too large: look at how the transforms are scaled": right * s,
        f"the values are {s} times too small: look at how the transforms are scaled": right / s,
        "the magnitude was returned, so that dark (negative) pixels have become bright": right.abs(),
        "the middle of the image was cut out, where the middle of k-space is meant": (
            images[..., top : top + height, left : left + width]
        ),
        "a corner of k-space was kept; where frequency 0 stands there, half of the low ones are elsewhere": (
            corner / s**2
        ),
        "a corner of k-space was kept, and the values are not scaled": corner,
        "the middle of k-space was kept while frequency 0 stood in its corner: those are the highest ones": (
            middle / s**2
        ),
        "the highest frequencies were kept, and the values are not scaled": middle,
        "frequency 0 was not moved back into the corner before the transform back, which turns the sign of "
        "every other pixel": torch.fft.ifft2(shifted).real / s**2,
    }


def _advice(asked: Callable[[Tensor], Tensor], coarse: Tensor, fine: Tensor, s: int) -> str:
    """Say which half of the task an unknown operator fails at, measured on images that show only that."""
    variance = asked(coarse).var()
    arrived = asked(fine).square().mean() / variance
    if arrived > 1e-3:
        return (
            f"Of an image that has nothing but fine structure something arrives, {arrived:.1%} of the small "
            "image's variance. That is aliasing: frequencies that it cannot hold have to be taken out before."
        )
    return (
        "No aliasing, but coarse structure, which the small image can hold, arrives changed: it must keep "
        f"its strength, and pixel j must show what stood at pixel {s}j."
    )


# 7.3: back-projection ----------------------------------------------------------------------------------


def _check_back_projection(answer: Answer) -> str:
    function = answer.function("back_project")
    pairs: tuple[tuple[Function, Function, tuple[int, ...]], ...] = (
        (partial(_averaged, 2), partial(_repeated, 2, 0.6), (2, 1, 5, 4)),
        (
            lambda X: area_sampled(X, 4, fwhm=4),
            lambda x: interpolate(x, scale_factor=4, mode="bicubic"),
            (3, 1, 6, 6),
        ),
        (partial(_averaged, 3), partial(_repeated, 3, 1.4), (1, 2, 3, 4)),
    )
    for down, up, shape in pairs:
        x = torch.rand(shape) * 2 - 1
        for steps in (4, 1, 0, 7):
            _check_steps(answer, function, x, down, up, steps)
    down, up, shape = pairs[0]
    x = torch.rand(shape)
    what = "back_project(x, down, up, 12)"
    left = (x - down(answer.tensor(what, function, x, down, up, 12))).abs().max().item()
    return f"after 12 steps the answer contradicts the scan by {left:.0e}."


def _averaged(s: int, images: Tensor) -> Tensor:
    return avg_pool2d(images, s)


def _repeated(s: int, factor: float, images: Tensor) -> Tensor:
    return factor * interpolate(images, scale_factor=s)


def _projected(
    x: Tensor,
    down: Function,
    up: Function,
    steps: int,
    *,
    sign: float = 1.0,
    kept: float = 1.0,
    fresh: bool = True,
    bounded: bool = False,
) -> Tensor:
    """Return the back-projection, or with another number what a mistake makes of it."""
    answer = up(x)
    missing = x - down(answer)
    for _ in range(steps):
        if fresh:
            missing = x - down(answer)
        answer = kept * answer + sign * up(missing)
        if bounded:
            answer = answer.clamp(-1, 1)
    return answer


def _check_steps(
    answer: Answer, function: Function, x: Tensor, down: Function, up: Function, steps: int
) -> None:
    large = up(x)
    what = f"back_project(x, down, up, {steps})"
    given = x.clone()
    found = answer.call(what, function, given, down, up, steps)
    if isinstance(found, Tensor) and found.shape == x.shape:
        raise CheckFailed(
            f"{what} returns an image of the size of the scan: the answer is large, and only what is missing "
            "is compared in small."
        )
    found = answer.tensor(what, lambda: found, shape=large.shape)
    projected = partial(_projected, x, down, up)
    mistakes = {
        "there is one step too few: it begins with the enlarged scan, which is not yet a step": projected(
            max(steps - 1, 0)
        ),
        "there is one step too many": projected(steps + 1),
        "what is missing was added with its sign turned, so every step makes it worse": projected(
            steps, sign=-1.0
        ),
        "what is missing was measured once, before the first step; it changes with every step": projected(
            steps, fresh=False
        ),
        "each step replaces the answer by what is missing, where it should add that": projected(
            steps, kept=0.0
        ),
        "the number of steps is not used, only one is made": projected(1),
        "values are clipped to [-1, 1] in every step, which was not asked for": projected(
            steps, bounded=True
        ),
        "half of what is missing is added": projected(steps, sign=0.5),
        "the steps change nothing: this is the enlarged scan": large,
        "it is what is still missing, enlarged, and not the answer": up(x - down(projected(steps))),
    }
    compare(
        found,
        projected(steps),
        mistakes,
        seen=f"After {steps} step{'s' * (steps != 1)}, ",
        otherwise="Follow one step by hand: measure the answer, compare with x, enlarge that, add it.",
    )


# 7.4: the plane ----------------------------------------------------------------------------------------

Plane = Mapping[str, tuple[float, float]]

TABLES: tuple[dict[str, tuple[float, float]], ...] = (
    # D is not beaten, and no weighing of the two numbers would find it.
    {
        "A": (30.0, 0.9),
        "B": (24.0, 0.1),
        "C": (29.0, 1.0),
        "D": (25.0, 0.25),
        "E": (23.0, 0.7),
        "F": (22.0, 1.2),
        "G": (28.0, 0.4),
    },
    # Ties in one number: the one that is worse in the other is beaten. Equals do not beat each other.
    {
        "P": (25.0, 0.5),
        "Q": (25.0, 0.4),
        "R": (27.0, 0.8),
        "S": (26.0, 0.8),
        "T": (25.0, 0.4),
        "V": (28.0, 1.0),
    },
    # The one and only: best in both.
    {"a": (20.0, 0.3), "b": (22.0, 0.2), "c": (21.0, 0.2)},
    {"alone": (18.0, 2.0)},
)


def undominated(table: Plane) -> set[str]:
    """Return the methods that no other beats: none is as good in both numbers and better in one.

    Parameters
    ----------
    table : mapping of str to pair of float
        For each method PSNR (more is better) and a distance to real images (less is better).
    """
    return {
        name
        for name, (psnr, distance) in table.items()
        if not any(p >= psnr and d <= distance and (p, d) != (psnr, distance) for p, d in table.values())
    }


def _check_plane(answer: Answer) -> str:
    function = answer.function("undominated")
    drawn = torch.rand(3, 9, 2, dtype=torch.float64)
    random = [
        {f"method {k + 1}": (20 + 10 * p, d) for k, (p, d) in enumerate(each.tolist())} for each in drawn
    ]
    for table in (*TABLES, *random):
        _check_table(answer, function, table)
    n = len(TABLES) + len(random)
    return f"in {n} tables, also where methods are equal and where all but one are beaten."


def _check_table(answer: Answer, function: Function, table: dict[str, tuple[float, float]]) -> None:
    what = "undominated(table)"
    given = dict(table)
    found = names(what, answer.call(what, function, given), table, "the methods that no other beats")
    if given != table:
        raise CheckFailed(f"{what} changed the table it was given: the caller still needs it.")
    right = undominated(table)
    if found == right:
        return
    shown = ", ".join(f"{name} ({p:.4g} dB, {d:.2g})" for name, (p, d) in table.items())

    def turned(a: int, b: int) -> set[str]:
        return undominated({name: (a * p, b * d) for name, (p, d) in table.items()})

    reasons = {
        "the beaten ones are returned, not those that nobody beats": set(table) - right,
        "a larger distance is taken for better; the distance is to real images, so less is better": (
            turned(1, -1)
        ),
        "less PSNR is taken for better; it is decibels of agreement with the truth": turned(-1, 1),
        "both numbers are read the wrong way round": turned(-1, -1),
        "only the winner by PSNR is returned, but others may not be beaten either": {
            max(table, key=lambda name: table[name][0])
        },
        "only the winner by distance is returned, but others may not be beaten either": {
            min(table, key=lambda name: table[name][1])
        },
        "only the winners in one number or the other are returned; who lies between may be unbeaten": {
            max(table, key=lambda name: table[name][0]),
            min(table, key=lambda name: table[name][1]),
        },
    }
    reason = next((reason for reason, wrong in reasons.items() if wrong == found), None)
    if reason is not None:
        raise CheckFailed(f"Of {shown}: it looks as if {reason}.")
    if missing := sorted(right - found):
        raise CheckFailed(
            f"Of {shown}: {missing[0]} is missing, and no other method is as good as it in both numbers and "
            "better in one. Look at equal methods, and at those between the winners."
        )
    extra = sorted(found - right)[0]
    raise CheckFailed(
        f"Of {shown}: {extra} is beaten: some other is at least as good in both numbers, and better in one. "
        "Look at those that are equal in one number."
    )


EXERCISES = {
    "07.1": Exercise(
        _check_shuffle,
        hints=(
            "Write the formula's index down for s = 2: which four channels of h make the block of pixel "
            "(i, j), and in which order?",
            "Split the channel axis into the image's channel and one offset for each axis of space. Then "
            "bring every offset behind the axis of space that it belongs to, and join the two.",
            "`view`, `permute`, `reshape`, in this order; reading in another shape alone moves nothing. For "
            "any number of axes, make the permutation in a loop. Strided slices of the large image, such as "
            "y[:, :, a::s, b::s], are another way.",
        ),
    ),
    "07.2": Exercise(
        _check_small,
        hints=(
            "A small image with m pixels a side holds the frequencies below m/2. What does taking every s-th "
            "pixel do with the others?",
            "Transform, keep the frequencies around 0, transform back. After `torch.fft.fft2` frequency 0 "
            "stands in the corner; `torch.fft.fftshift` with dim=(-2, -1) moves it to index n // 2.",
            "Cut so that frequency 0 comes to index m // 2, undo the shift with ifftshift before ifft2, and "
            "hold the mean of the small image against that of the large one: it must be kept.",
        ),
    ),
    "07.3": Exercise(
        _check_back_projection,
        hints=(
            "Begin with the enlarged scan. What would the scanner have measured of this answer, and how does "
            "that differ from x?",
            "The difference is small, the answer is large: enlarge the difference before you add it.",
            "In each step: `down` of the present answer, x less that, `up` of the difference, and a new "
            "answer. Nothing of it can be computed before the loop.",
        ),
    ),
    "07.4": Exercise(
        _check_plane,
        hints=(
            "Take one method. What would another have to be like, for nobody to choose the first any more?",
            "At least as good in both, better in one. In which direction is each number better?",
            "For each method ask whether *any* other beats it; with equal numbers, neither beats the other.",
        ),
    ),
}
