"""The checks of chapter 00, orientation: a curve that repeats, a loader, and a split that does not leak."""

import random
from collections.abc import Callable
from typing import Any

import numpy as np
import torch
from torch import Tensor, nn

from medgan_course import budgets
from medgan_course.exercises.answer import Answer, CheckFailed, Exercise, compare, kind, returns
from medgan_course.exercises.divided import divisions, people

# 0.1: the same curve twice -----------------------------------------------------------------------------

STEPS = {"smoke": 6, "cpu": 40, "gpu": 40}  # of exercise 0.1, in each profile
BATCH = 16


class _Laboratory:
    """A training that keeps what was drawn for it: weights, images and noise."""

    def __init__(self, images: Tensor) -> None:
        self.images = images
        self.nets: list[nn.Module] = []
        self.weights: list[Tensor] = []
        self.seen: list[tuple[float, ...]] = []
        self.noise: list[float] = []
        self.costs: list[float] = []

    def start(self) -> nn.Module:
        net = nn.Linear(self.images[0].numel(), 1)
        self.nets.append(net)
        self.weights.append(net.weight.detach().clone())
        return net

    def step(self, net: nn.Module, batch: Tensor) -> float:
        if not any(net is one for one in self.nets):
            raise ValueError("step trains a network that start has returned in this call")
        wanted = (BATCH, *self.images.shape[1:])
        if not isinstance(batch, Tensor) or batch.shape != wanted:
            this = tuple(batch.shape) if isinstance(batch, Tensor) else kind(batch)
            raise ValueError(f"step takes a batch of shape {wanted}, and this is {this}")
        self.seen.append(tuple(batch.flatten(1)[:, 0].tolist()))
        self.noise.append(random.random())
        parameters = list(net.parameters())
        cost = (net(batch.flatten(1)) - self.noise[-1]).square().mean()
        for weight, gradient in zip(parameters, torch.autograd.grad(cost, parameters), strict=True):
            weight.data -= 0.05 * gradient
        self.costs.append(cost.item())
        return self.costs[-1]


def _check_curve(answer: Answer) -> str:
    function = answer.function("curve")
    for profile, n in (("smoke", 40), ("cpu", 55)):
        images = torch.linspace(-1, 1, n).view(-1, 1, 1, 1).expand(-1, 1, 2, 3).contiguous()
        with budgets.using(profile):
            first, again, other = (_check_run(answer, function, images, seed) for seed in (3, 3, 4))
        _check_repeats(first, again)
        _check_seed(first, other)
    return f"{STEPS['smoke']} steps or {STEPS['cpu']}, as the profile says, and not a bit differs."


def _check_run(answer: Answer, function: Callable[..., Any], images: Tensor, seed: int) -> _Laboratory:
    """Run one training, in whatever state the random numbers were left; return what was drawn for it."""
    laboratory = _Laboratory(images)
    found = answer.call(
        "curve(images, start, step, seed)", function, images, laboratory.start, laboratory.step, seed
    )
    # Whoever relies on what was drawn before finds it changed at the next call.
    random.random()
    torch.rand(1)
    np.random.random()  # noqa: NPY002
    if not laboratory.costs:
        raise CheckFailed("step is never called, so nothing is trained: it takes the network and a batch.")
    if len(laboratory.nets) > 1:
        raise CheckFailed(
            f"start is called {len(laboratory.nets)} times in one training: the steps train one network."
        )
    steps = STEPS[budgets.profile()]
    if len(laboratory.costs) != steps:
        raise CheckFailed(
            f"In the profile {budgets.profile()!r} there are {len(laboratory.costs)} steps, where STEPS says "
            f"{steps}: the profile in force has to be asked for in every call."
        )
    _check_batches(laboratory)
    try:
        costs = torch.as_tensor(found, dtype=torch.float64)
    except (TypeError, ValueError, RuntimeError):
        raise CheckFailed(f"curve must return the costs, but {returns(found)}") from None
    if costs.shape != (steps,):
        raise CheckFailed(
            f"curve must return {steps} costs, one for each step, but returns shape {tuple(costs.shape)}."
        )
    right = torch.tensor(laboratory.costs, dtype=torch.float64)
    compare(
        costs,
        right,
        {
            "the costs are sorted: entry i is that of step i": right.sort().values,
            "the costs are in reverse order": right.flip(0),
            "the costs are added up from step to step": right.cumsum(0),
            "the costs are divided by the number of steps": right / steps,
        },
        seen="The curve: ",
        otherwise="Entry i is what step i returned.",
    )
    return laboratory


def _check_batches(laboratory: _Laboratory) -> None:
    if any(len(set(batch)) < BATCH for batch in laboratory.seen):
        raise CheckFailed("An image is twice in one batch: draw 16 different ones.")
    again = "a seed that is set inside the loop starts the random numbers anew at every step"
    if len(set(laboratory.seen)) == 1:
        raise CheckFailed(f"Every step sees the same images: they are drawn only once, or {again}.")
    if len(set(laboratory.noise)) == 1:
        raise CheckFailed(f"Every step has the same noise: {again}.")


def _check_repeats(first: _Laboratory, again: _Laboratory) -> None:
    if not torch.equal(first.weights[0], again.weights[0]):
        raise CheckFailed(
            "Two trainings with one seed begin with different weights: `start` draws them from PyTorch's "
            "random numbers, in whatever state these are."
        )
    if first.seen != again.seen:
        raise CheckFailed(
            "Two trainings with one seed see different images: whose random numbers do you choose them with?"
        )
    if first.noise != again.noise:
        raise CheckFailed(
            "Two trainings with one seed have the same weights and images, but different noise: "
            "look at what `step` draws it with."
        )


def _check_seed(first: _Laboratory, other: _Laboratory) -> None:
    for what, same in (
        ("begin with the same weights", torch.equal(first.weights[0], other.weights[0])),
        ("see the same images", first.seen == other.seen),
        ("have the same noise", first.noise == other.noise),
    ):
        if same:
            raise CheckFailed(
                f"Trainings with seeds 3 and 4 {what}: the seed that is handed in must decide that."
            )


# 0.2: a loader -----------------------------------------------------------------------------------------


def _check_loader(answer: Answer) -> str:
    function = answer.function("loader")
    draw = np.random.default_rng(int(torch.randint(2**31, ())))
    grey = draw.integers(40, 200, (5, 6, 7)).astype(np.uint8)
    grey[0] //= 3  # a dark image
    grey[1, 0, :2] = 0, 255
    colour = draw.integers(0, 250, (3, 4, 5, 3)).astype(np.uint8)
    ct = draw.integers(-2000, 2000, (4, 6, 5)).astype(np.int16)
    ct[0] = np.clip(ct[0], -900, 100)
    for levels, low, high in ((grey, 0, 255), (colour, 0, 255), (ct, -1000, 400)):
        _check_one_set(answer, function, levels, low, high)
    return "grey levels, colours and Hounsfield units, there and back."


def _check_one_set(
    answer: Answer, function: Callable[..., Any], levels: np.ndarray, low: int, high: int
) -> None:
    seen = f"On {levels.dtype} of shape {levels.shape}, from {low} to {high}: "
    given = levels.copy()
    images, back = answer.several(
        f"loader(levels, {low}, {high})", ("images", "a function"), function, given, low, high
    )
    if not np.array_equal(given, levels):
        raise CheckFailed("loader changed the array that it was given: the file's values are still needed.")
    if not isinstance(images, Tensor):
        raise CheckFailed(f"{seen}the images must be a tensor, but are {kind(images)}.")
    _check_form(images, levels, seen)
    values = levels.astype(np.float64)
    right = _planes(2 * (values - low) / (high - low) - 1)
    compare(
        images,
        right.clamp(-1, 1),
        {
            reason: wrong if wrong.shape == right.shape else _planes(wrong.numpy())
            for reason, wrong in _loading_mistakes(levels, low, high).items()
        },
        seen=seen,
        otherwise="Which value becomes -1, which 1, and what becomes of the one half-way between them?",
    )
    _check_back(answer, back, images, right.clamp(-1, 1), low, high, seen)


def _planes(values: np.ndarray) -> Tensor:
    """Return (N, H, W) or (N, H, W, C) values as (N, C, H, W)."""
    whole = torch.from_numpy(values)
    return whole[:, None] if whole.ndim == 3 else whole.permute(0, 3, 1, 2)


def _check_form(images: Tensor, levels: np.ndarray, seen: str) -> None:
    wanted = _planes(levels).shape
    if images.shape != wanted:
        advice = "follow the axes from line to line"
        if images.shape == levels.shape:
            advice = "the channel axis is missing" if levels.ndim == 3 else "files have the channels last"
        raise CheckFailed(f"{seen}shape {tuple(images.shape)} should be {tuple(wanted)}: {advice}.")
    if images.dtype != torch.float32:
        raise CheckFailed(f"{seen}the images are {images.dtype}, and networks want torch.float32.")
    if not images.isfinite().all():
        raise CheckFailed(f"{seen}some values are not finite: look for a division by 0.")


def _loading_mistakes(levels: np.ndarray, low: int, high: int) -> dict[str, Tensor]:
    values = torch.from_numpy(levels.astype(np.float64))
    width = high - low
    right = (2 * (values - low) / width - 1).clamp(-1, 1)
    axes = tuple(range(1, values.ndim))
    darkest, brightest = values.amin(axes, keepdim=True), values.amax(axes, keepdim=True)
    # What whole numbers of this type make of it: 2 * 200 is 144 in eight bits.
    wrapped = torch.from_numpy((2 * (levels - np.array(low).astype(levels.dtype))).astype(np.float64))
    scrambled = right.reshape(_planes(levels).shape)
    return {
        "the numbers run from 0 to 1; networks that end in a tanh want -1 to 1": (right + 1) / 2,
        "values outside of low and high are not clipped": 2 * (values - low) / width - 1,
        "every image is stretched to its own darkest and brightest value; a dark one no longer is": (
            2 * (values - darkest) / (brightest - darkest).clamp_min(1) - 1
        ),
        "the set is stretched to its own darkest and brightest value, where low and high are given": (
            2 * (values - values.min()) / (values.max() - values.min()) - 1
        ),
        "the sign is turned: low should become -1": -right,
        "the whole numbers have run over: turn them into floats before you reckon": wrapped / width - 1,
        "the middle is off: half-way between low and high is 0": (values / 128 - 1).clamp(-1, 1),
        "the 1 is not subtracted": 2 * (values - low) / width,
        "mean and deviation of the set are used, where low and high are given": (
            (values - values.mean()) / values.std()
        ),
        "low is left out of the formula": (2 * values / width - 1).clamp(-1, 1),
        "everything is divided by 127.5, which fits one range only": (values / 127.5 - 1).clamp(-1, 1),
        "the axes are reshaped, which mixes pixels and colours; they have to be permuted": scrambled,
    }


def _check_back(
    answer: Answer, back: Any, images: Tensor, right: Tensor, low: int, high: int, seen: str
) -> None:
    if not callable(back):
        raise CheckFailed(f"{seen}the second thing returned must be a function, but is {kind(back)}.")
    others = 2 * torch.rand(2, images.shape[1], 3, 4) - 1
    for batch, exact, which in (
        (others, others, "images that a network has drawn"),
        (images, right, "its own"),
    ):
        levels = answer.tensor("back(images)", back, batch, shape=batch.shape)
        wanted = (exact.double() + 1) / 2 * (high - low) + low
        compare(
            levels,
            wanted,
            {
                "fractions are cut off or rounded; a drawn image has them": wanted.round(),
                "fractions are cut off": wanted.trunc(),
                "the range is 0 to 255, whatever low and high were": (exact.double() + 1) * 127.5,
                "low is not added": wanted - low,
                "it expects numbers from 0 to 1": exact.double() * (high - low) + low,
                "nothing is undone": exact.double(),
            },
            seen=f"{seen}back, on {which}: ",
            otherwise="Solve the formula of the loader for the level.",
        )


# 0.3: a split that does not leak -----------------------------------------------------------------------

SHARES = {"train": 0.7, "val": 0.15, "test": 0.15}


def _check_split(answer: Answer) -> str:
    function = answer.function("split")
    for n in (20, 60):
        subject, _ = people(n, 0)
        for found in divisions(answer, "split(subject, seed)", function, (subject,), names=tuple(SHARES)):
            for (name, share), part in zip(SHARES.items(), found, strict=True):
                _check_share(name, share, len({int(subject[i]) for i in part}), n)
    return "everybody is in exactly one of train, val and test, with all images."


def _check_share(name: str, share: float, have: int, n: int) -> None:
    if abs(have - share * n) > 1.5:
        raise CheckFailed(
            f"{name} has {have} of {n} people, where {share:.0%} are {share * n:g}: "
            "the shares are those of people."
        )


EXERCISES = {
    "00.1": Exercise(
        _check_curve,
        hints=(
            "Three things are drawn at random: the weights, the images of every batch, and what `step` draws "
            "itself. Who draws each of them?",
            "PyTorch, Python's `random` and NumPy have random numbers of their own, each with a seed of its "
            "own. Seed all that are used, once, at a place that every call passes.",
            "At the beginning of the function: a line for each kind. Then `start`, and a loop over "
            "`STEPS[budgets.profile()]` steps, which draws positions, calls `step` and keeps the cost.",
        ),
    ),
    "00.2": Exercise(
        _check_loader,
        hints=(
            "A straight line through two points: low becomes -1, high becomes 1.",
            "In this order: to a float tensor, to the axes (N, C, H, W), on the line, and clipped. The "
            "numbers of the line must not depend on the images.",
            "`torch.from_numpy(levels).float()`, then `[:, None]` or `.permute(...)`. A function defined "
            "inside `loader` still knows low and high when it is called later.",
        ),
    ),
    "00.3": Exercise(
        _check_split,
        hints=(
            "What must be shuffled so that nobody can be in two parts: the images, or something else?",
            "`subject.unique()` lists the people. Shuffle that list with a generator of the given seed, cut "
            "it in three.",
            "`torch.isin(subject, some_people)` marks the images of these people, and `.nonzero()` turns "
            "marks into positions.",
        ),
    ),
}
