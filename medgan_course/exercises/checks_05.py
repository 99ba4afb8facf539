"""The checks of chapter 05, conditional GANs: a deaf discriminator, a patch's view, SPADE, a sweep."""

from collections.abc import Callable, Sequence
from itertools import pairwise
from math import prod
from typing import Any

import torch
from torch import Tensor, nn
from torch.nn.functional import instance_norm, one_hot, softplus

from medgan_course.exercises.answer import (
    Answer,
    CheckFailed,
    Exercise,
    as_cost,
    close,
    compare,
    gradient_in,
    kind,
)

# 5.1: who is told the label ----------------------------------------------------------------------------

QUADRANTS = ("upper left", "upper right", "lower left", "lower right")
SIDE = 6
GAME_STEPS = 150

Costs = Callable[..., Any]


def spots(labels: Tensor) -> Tensor:
    """Draw one image ``(1, 6, 6)`` for each label: a bright spot in the quadrant of that number.

    Parameters
    ----------
    labels : Tensor
        int64 ``(N,)``, positions in :data:`QUADRANTS`.

    Returns
    -------
    Tensor
        ``(N, 1, 6, 6)`` in [-1, 1].
    """
    half = SIDE // 2
    spot = torch.tensor([[0.2, 0.5, 0.2], [0.5, 1.0, 0.5], [0.2, 0.5, 0.2]])
    images = torch.zeros(len(labels), 2, 2, half, half)
    images[torch.arange(len(labels)), labels // 2, labels % 2] = spot * (
        0.6 + 0.4 * torch.rand(len(labels), 1, 1)
    )
    whole = images.permute(0, 1, 3, 2, 4).reshape(-1, 1, SIDE, SIDE)
    return (2 * whole - 1 + 0.05 * torch.randn(whole.shape)).clamp(-1, 1)


def brightest(images: Tensor) -> Tensor:
    """Return the number of each image's brightest quadrant: a witness that needs no training."""
    return nn.functional.avg_pool2d(images, SIDE // 2).flatten(1).argmax(1)


class _Told(nn.Module):
    """Two fully connected layers that read a vector and a label."""

    def __init__(self, inputs: int, outputs: int) -> None:
        super().__init__()
        self.net = nn.Sequential(nn.Linear(inputs + 4, 64), nn.LeakyReLU(0.2), nn.Linear(64, outputs))

    def forward(self, x: Tensor, y: Tensor) -> Tensor:
        return self.net(torch.cat([x.flatten(1), one_hot(y, 4).float()], 1))


class _Drawer(_Told):
    def forward(self, x: Tensor, y: Tensor) -> Tensor:
        return super().forward(x, y).tanh().view(-1, 1, SIDE, SIDE)


class _Judge(_Told):
    def forward(self, x: Tensor, y: Tensor) -> Tensor:
        return super().forward(x, y)[:, 0]


def play(costs: Costs, *, seed: int = 0) -> tuple[Tensor, Tensor]:
    """Play a conditional GAN on :func:`spots` with the two ``costs`` of exercise 5.1.

    Returns
    -------
    images : Tensor
        ``(400, 1, 6, 6)``, drawn by the trained generator.
    labels : Tensor
        int64 ``(400,)``, what was asked for: 0, 1, 2, 3, 0, ...
    """
    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(seed)
        G, D = _Drawer(2, SIDE * SIDE), _Judge(SIDE * SIDE, 1)
        adam = torch.optim.Adam([*D.parameters(), *G.parameters()], lr=1e-2, betas=(0.0, 0.9))
        for _ in range(GAME_STEPS):
            y = torch.randint(4, (32,))
            both = costs(G, D, spots(y), y, torch.randn(32, 2))
            for net, cost in zip((D, G), both, strict=True):
                weights = list(net.parameters())
                gradients = torch.autograd.grad(cost, weights, retain_graph=True)
                for weight, gradient in zip(weights, gradients, strict=True):
                    weight.grad = gradient
            adam.step()
        asked = torch.arange(400) % 4
        with torch.no_grad():
            return G(torch.randn(400, 2), asked), asked


class _Witnessed(nn.Module):
    """A player that remembers which labels it was told."""

    def __init__(self, net: nn.Module) -> None:
        super().__init__()
        self.net = net
        self.told: list[Tensor] = []

    def forward(self, x: Tensor, y: Tensor) -> Tensor:
        if not isinstance(y, Tensor) or y.dtype != torch.int64 or y.shape != x.shape[:1]:
            raise ValueError(f"labels are int64 of shape ({len(x)},), one for each image")
        self.told.append(y.detach().clone())
        return self.net(x, y)


def _two_costs(answer: Answer, *arguments: Any) -> tuple[Tensor, Tensor]:
    d, g = answer.several("costs(G, D, x, y, z)", ("D's cost", "G's cost"), answer.value, *arguments)
    return as_cost("D's cost", d), as_cost("G's cost", g)


def _same(found: Tensor | None, wanted: Tensor | None) -> bool:
    return found is not None and wanted is not None and close(found, wanted)


def _check_costs(answer: Answer) -> str:
    answer.function("costs")
    for n in (7, 12):
        _check_two_costs(answer, n)
    images, labels = answer.call("A training with your costs", play, answer.value)
    right = (brightest(images) == labels).float().mean().item()
    return f"D and G are told the same, and {right:.0%} of the images drawn are what was asked for."


def _check_two_costs(answer: Answer, n: int) -> None:
    G, D = _Witnessed(_Drawer(4, SIDE * SIDE)), _Witnessed(_Judge(SIDE * SIDE, 1))
    y = torch.arange(n) % 4  # neighbours differ, so that a shift of one is no accident
    x, z = spots(y), torch.randn(n, 4)
    d, g = _two_costs(answer, G, D, x, y, z)
    told_d, told_g = list(D.told), list(G.told)
    fake = G(z, y)
    real_part, fake_part, deceived = (
        softplus(s * D(images, y)).mean() for s, images in ((-1, x), (1, fake), (-1, fake))
    )
    if not told_g:
        raise CheckFailed("G is never called: its images are those of z and y.")
    if not told_d:
        raise CheckFailed("D is never called: it judges x and G's images, each with a label.")
    for name, told in (("G", told_g), ("D", told_d)):
        for labels in told:
            _check_told(answer, name, labels, y)
    seen = f"On {n} images, "
    compare(
        d.detach(),
        real_part + fake_part,
        {
            "D's cost is G's, and the other way round": deceived,
            "D's cost has its signs turned: real images must raise the logit, generated ones lower it": (
                softplus(D(x, y)).mean() + deceived
            ),
            "generated images are missing from D's cost": real_part,
            "real images are missing from D's cost": fake_part,
            "D's two terms are averaged, where the formula adds them": (real_part + fake_part) / 2,
            "the values of the batch are added up, where a mean is wanted": n * (real_part + fake_part),
            "D's cost is a difference of mean logits, as of a Wasserstein critic; here every logit is a "
            "probability's": D(fake, y).mean() - D(x, y).mean(),
            "D's cost has the minus sign of V: D raises V, so its cost is -V": -(real_part + fake_part),
        },
        seen=f"{seen}D's cost: ",
        otherwise="Write down what D should say of a real pair and of a generated one, then the two terms.",
    )
    compare(
        g.detach(),
        deceived,
        {
            "G's cost is the saturating one; in practice G lowers the other logarithm": -fake_part,
            "G's cost has its sign turned: it would help D": fake_part,
            "real images are part of G's cost, but G cannot change them": deceived + softplus(D(x, y)).mean(),
            "the values of the batch are added up, where a mean is wanted": n * deceived,
            "G's cost has a sign too many": -deceived,
        },
        seen=f"{seen}G's cost: ",
        otherwise="G wants D to take its images, with the label they were asked for, as real.",
    )
    if gradient_in(d, G) is not None:
        raise CheckFailed(
            "The values are right, but D's cost has a gradient in G's weights: it lacks a detach."
        )
    found_d, found_g = gradient_in(d, D), gradient_in(g, G)
    if found_g is None:
        raise CheckFailed(
            "The values are right, but G's cost has no gradient in G's weights, so G would never learn: "
            "look for a detach or a no_grad on the way from G's weights to its cost."
        )
    wanted_d, wanted_g = gradient_in(real_part + fake_part, D), gradient_in(deceived, G)
    if not (_same(found_d, wanted_d) and _same(found_g, wanted_g)):
        raise CheckFailed(
            "The values are right, but a gradient is not: a part of a cost is cut off from its player; "
            "look for a detach or a no_grad too many."
        )


def _check_told(answer: Answer, name: str, told: Tensor, y: Tensor) -> None:
    """Hold the labels that a player was told against those of the images."""
    if len(told) % len(y) == 0 and (told.view(-1, len(y)) == y).all():
        return
    if name == "G":
        raise CheckFailed(
            "G is told other labels than y: the two halves of a batch need the same labels, "
            "or D can tell them apart by the labels alone."
        )
    images, labels = answer.call("A training with your costs", play, answer.value)
    share = f"{(brightest(images) == labels).float().mean():.0%}"
    after = (
        f"After a training with your costs {share} of the images are what was asked for; chance gives 25%."
    )
    if told.unique().numel() == 1:
        raise CheckFailed(f"D is told one and the same label for every image, so it can check none. {after}")
    raise CheckFailed(
        f"D is told labels that do not belong to the images beside them: follow y to every call of D. {after}"
    )


# 5.2: what a patch sees --------------------------------------------------------------------------------


def _check_receptive_field(answer: Answer) -> str:
    function = answer.function("receptive_field")
    cases: tuple[tuple[list[int], list[int]], ...] = (
        ([4, 3, 5], [2, 3, 2]),
        ([4, 4, 4, 4, 4], [2, 2, 2, 1, 1]),
        ([3], [7]),
        ([7, 3, 1, 2], [3, 2, 4, 1]),
        ([3] * 9, [1] * 9),
        ([], []),
    )
    for kernels, strides in cases:
        what = f"receptive_field({kernels}, {strides})"
        given = list(kernels), list(strides)
        found = answer.number(what, function, *given)
        if given != (kernels, strides):
            raise CheckFailed(f"{what} changed the lists it was given: the caller still needs them.")
        compare(
            found,
            1 + _steps(kernels, [prod(strides[:i]) for i in range(len(kernels))]),
            _receptive_mistakes(kernels, strides),
            seen=f"For kernels {kernels} and strides {strides} ",
            otherwise="Draw two layers of it: which pixels does one value of the last map see?",
        )
    return "70 px for the kernels and strides of the paper, and the rest as well."


def _steps(kernels: Sequence[int], jumps: Sequence[int]) -> int:
    return sum((k - 1) * jump for k, jump in zip(kernels, jumps, strict=True))


def _receptive_mistakes(kernels: list[int], strides: list[int]) -> dict[str, float]:
    before = [prod(strides[:i]) for i in range(len(kernels))]
    through = [prod(strides[: i + 1]) for i in range(len(kernels))]
    after = [prod(strides[i + 1 :]) for i in range(len(kernels))]
    previous = [1, *strides[:-1]][: len(kernels)]
    return {
        "the strides are left out: a step in a map after a stride of 2 is two pixels of the image": (
            1 + _steps(kernels, [1] * len(kernels))
        ),
        "a layer's own stride enlarges its own view; it counts for the layers after it only": (
            1 + _steps(kernels, through)
        ),
        "every layer is multiplied by the product of all strides": 1
        + _steps(kernels, through[-1:] * len(kernels)),
        "the list is read from the wrong end: kernels and strides are given from the image on": (
            1 + _steps(kernels, after)
        ),
        "each kernel counts in full; beside the pixel it starts from, a kernel adds one less": (
            1 + sum(k * jump for k, jump in zip(kernels, before, strict=True))
        ),
        "the pixel that a map without any layer sees is not counted": _steps(kernels, before),
        "only the stride of the layer before is used, where all strides before multiply": (
            1 + _steps(kernels, previous)
        ),
        "the kernels are added up": sum(kernels),
        "the kernels are multiplied": prod(kernels),
    }


# 5.3: SPADE --------------------------------------------------------------------------------------------


def _check_spade(answer: Answer) -> str:
    function = answer.function("spade")
    for shape in ((3, 2, 6, 7), (2, 5, 8, 4)):
        _check_modulation(answer, function, shape)
    _check_constant(answer, function)
    return (
        "on constant maps the norm alone gives the same for every label, exactly; with gain and shift from "
        "the map, every label differs."
    )


def _labels(n: int, height: int, width: int) -> Tensor:
    """Return random one-hot label maps ``(n, 4, height, width)``."""
    return one_hot(torch.randint(4, (n, height, width)), 4).permute(0, 3, 1, 2).float()


def _check_modulation(answer: Answer, function: Callable[..., Any], shape: tuple[int, ...]) -> None:
    n, width = shape[:2]
    # Every image and channel has a mean and a spread of its own, so that no two ways to average agree.
    h = torch.randn(shape) * (1 + torch.rand(n, width, 1, 1)) + torch.randn(n, width, 1, 1)
    m = _labels(n, *shape[2:])
    gamma, beta = (nn.Conv2d(4, width, 3, padding=1) for _ in range(2))
    what = "spade(h, m, gamma, beta)"
    found = answer.tensor(what, function, h, m, gamma, beta, shape=shape)
    gain, shift = gamma(m).detach(), beta(m).detach()

    def normed(axes: tuple[int, ...], *, correction: int = 0) -> Tensor:
        centred = h - h.mean(axes, keepdim=True)
        return centred / (h.var(axes, correction=correction, keepdim=True) + 1e-5).sqrt()

    def modulated(features: Tensor, one: float = 1.0, gain: Tensor = gain, shift: Tensor = shift) -> Tensor:
        return (one + gain) * features + shift

    plane = (2, 3)
    own = normed(plane)
    compare(
        found,
        modulated(own),
        {
            "the gain is γ itself, where the formula has 1 + γ": modulated(own, 0.0),
            "gain and shift are put in before the norm, which takes them out again": instance_norm(
                modulated(h)
            ),
            "nothing is normalised": modulated(h),
            "mean and deviation are taken over the whole batch, where each image has its own": modulated(
                normed((0, 2, 3))
            ),
            "mean and deviation are taken over all channels together, where each has its own": modulated(
                normed((1, 2, 3))
            ),
            "mean and deviation are taken across the channels of each pixel": modulated(normed((1,))),
            "mean and deviation are taken over each row": modulated(normed((3,))),
            "mean and deviation are taken over each column": modulated(normed((2,))),
            "the deviation divides by the number of pixels less one; the norm's divides by their number": (
                modulated(normed(plane, correction=1))
            ),
            "it is divided by the variance: a root is missing": modulated(
                (h - h.mean(plane, keepdim=True)) / (h.var(plane, correction=0, keepdim=True) + 1e-5)
            ),
            "the mean is not taken off": modulated(
                h / (h.var(plane, correction=0, keepdim=True) + 1e-5).sqrt()
            ),
            "it is not divided by the deviation": modulated(h - h.mean(plane, keepdim=True)),
            "γ and β have changed places": modulated(own, gain=shift, shift=gain),
            "the shift is missing": (1 + gain) * own,
            "the gain is missing": own + shift,
            "the map is not used: this is the norm alone": own,
            "gain and shift are averaged over the image, where every pixel has its own": modulated(
                own, gain=gain.mean(plane, keepdim=True), shift=shift.mean(plane, keepdim=True)
            ),
        },
        seen=f"On features of shape {shape}, ",
        otherwise="Check mean and deviation of the normalised features of one channel of one image first.",
    )
    for name, net in (("gamma", gamma), ("beta", beta)):
        if gradient_in(found.sum() if found.requires_grad else found, net) is None:
            raise CheckFailed(
                f"The values are right, but no gradient reaches the weights of {name}, so it would never "
                "learn: look for a detach or a no_grad."
            )


def _check_constant(answer: Answer, function: Callable[..., Any]) -> None:
    # What a convolution with reflected borders makes of a map that is one class everywhere.
    maps = torch.eye(4)[:, :, None, None].expand(-1, -1, 8, 8).contiguous()
    h = nn.Conv2d(4, 3, 3, padding=1, padding_mode="reflect")(maps).detach()
    # Constant, and its mean exact: what rounding leaves, a small epsilon would enlarge.
    h = (8 * h[:, :, :1, :1]).round().div(8).expand_as(h).contiguous()
    silent = nn.Conv2d(4, 3, 1).requires_grad_(False)
    for weight in silent.parameters():
        weight.zero_()
    what = "spade(h, m, gamma, beta), with h constant in every channel,"
    alone = answer.tensor(what, function, h, maps, silent, silent, shape=h.shape)
    if not close(alone, torch.zeros_like(alone)):
        raise CheckFailed(
            "Where h is constant and γ = β = 0, nothing may be left, but the largest value is "
            f"{alone.abs().max():.2g}: look at what the deviation is kept away from zero with."
        )
    told = nn.Conv2d(4, 3, 1)
    answers = answer.tensor(what, function, h, maps, told, told, shape=h.shape)
    if any(close(one, other) for one, other in pairwise(answers)):
        raise CheckFailed("Where h is constant, two labels give the same: the map does not reach the end.")


# 5.4: a sweep ------------------------------------------------------------------------------------------

PATIENTS = ("training", "validation", "test")


class _Laboratory:
    """Trainings that cost nothing and keep a protocol."""

    def __init__(self, weights: Sequence[float], seeds: Sequence[int]) -> None:
        self.weights, self.seeds = weights, seeds
        self.trained: list[tuple[float, int]] = []
        self.asked: list[tuple[object, str]] = []
        self._made: dict[int, tuple[object, float, int]] = {}
        # PSNR in dB; not monotone in the weight, as single runs are not.
        table = 24 + 2 * torch.rand(len(weights), len(seeds), len(PATIENTS), dtype=torch.float64)
        self.psnr = {
            (weight, seed, who): table[i, j, k].item()
            for i, weight in enumerate(weights)
            for j, seed in enumerate(seeds)
            for k, who in enumerate(PATIENTS)
        }

    def train(self, weight: float, seed: int) -> object:
        if weight not in self.weights or seed not in self.seeds:
            raise ValueError(f"there is no training with weight {weight!r} and seed {seed!r} in this sweep")
        self.trained.append((weight, seed))
        translator = object()
        self._made[id(translator)] = (translator, weight, seed)
        return translator

    def score(self, translator: object, who: str) -> float:
        if id(translator) not in self._made:
            raise ValueError("score takes what train returned, and this it did not")
        if who not in PATIENTS:
            raise ValueError(f"there are no patients {who!r}: choose one of {', '.join(PATIENTS)}")
        self.asked.append((translator, who))
        _, weight, seed = self._made[id(translator)]
        return self.psnr[weight, seed, who]

    def values(self, weight: float) -> list[float]:
        return [self.psnr[weight, seed, "validation"] for seed in self.seeds]


def _check_sweep(answer: Answer) -> str:
    function = answer.function("sweep")
    for weights, seeds in (((10.0, 100.0, 1.0, 30.0), (0, 1, 2)), ((3.0, 300.0, 0.3), (4, 7, 5, 6))):
        _check_one_sweep(answer, function, _Laboratory(weights, seeds))
    return "every weight with every seed, on validation patients, the ends compared seed by seed."


def _check_one_sweep(answer: Answer, function: Callable[..., Any], laboratory: _Laboratory) -> None:
    weights, seeds = laboratory.weights, laboratory.seeds
    values, differences = answer.several(
        "sweep(weights, seeds, train, score)",
        ("the values", "the differences"),
        function,
        weights,
        seeds,
        laboratory.train,
        laboratory.score,
    )
    for weight in weights:
        used = [seed for w, seed in laboratory.trained if w == weight]
        if set(used) != set(seeds):
            missing = ", ".join(str(seed) for seed in seeds if seed not in used)
            raise CheckFailed(
                f"λ = {weight:g} was never trained with seed {missing}: where weights have different seeds, "
                "their difference is partly that of the seeds."
            )
        if len(used) > len(seeds):
            raise CheckFailed(
                f"λ = {weight:g} was trained {len(used)} times for {len(seeds)} seeds: a training may take "
                "hours; keep what it returned."
            )
    for who in {who for _, who in laboratory.asked} - {"validation"}:
        raise CheckFailed(
            f"A translator was scored on {who} patients: "
            + (
                "whoever takes part in the choice of λ can no longer test it."
                if who == "test"
                else "it has seen those, and their score says how well it remembers."
            )
        )
    _check_values(laboratory, values)
    _check_differences(laboratory, differences)


def _numbers(values: Any, n: int) -> list[float] | None:
    """Return n values as floats, or None if that is not what they are."""
    try:
        listed = [float(value) for value in values]
    except (TypeError, ValueError):
        return None
    return listed if len(listed) == n else None


def _check_values(laboratory: _Laboratory, values: Any) -> None:
    if not isinstance(values, dict) or set(values) != set(laboratory.weights):
        raise CheckFailed(
            "The values are a dictionary with an entry for every weight, such as {10.0: [...], ...}; this is "
            + (
                f"one with the keys {', '.join(map(repr, values))}."
                if isinstance(values, dict)
                else f"{kind(values)}."
            )
        )
    n = len(laboratory.seeds)
    for weight, found in values.items():
        listed, right = _numbers(found, n), laboratory.values(weight)
        if listed is None:
            raise CheckFailed(
                f"The values of λ = {weight:g} are no list of {n} numbers, one for every seed: a mean or a "
                "best value alone hides how much the seed matters."
            )
        compare(
            torch.tensor(listed),
            torch.tensor(right),
            {
                "the best seed stands for all": torch.full((n,), max(right)),
                "the mean of the seeds stands for each": torch.full((n,), sum(right) / n),
                "the values are sorted: entry j belongs to seed j": torch.tensor(sorted(right)),
                "the values are sorted, best first: entry j belongs to seed j": torch.tensor(
                    sorted(right, reverse=True)
                ),
            },
            seen=f"For λ = {weight:g} ",
            otherwise="Entry j is what `score` says of the translator with seed j.",
        )


def _check_differences(laboratory: _Laboratory, differences: Any) -> None:
    n = len(laboratory.seeds)
    listed = _numbers(differences, n)
    if listed is None:
        raise CheckFailed(
            f"The differences are no list of {n} numbers: compare the two ends seed by seed, "
            "so that what a seed does to both cancels."
        )
    low, high = (torch.tensor(laboratory.values(end(laboratory.weights))) for end in (min, max))
    first, last = (torch.tensor(laboratory.values(laboratory.weights[i])) for i in (0, -1))
    compare(
        torch.tensor(listed),
        high - low,
        {
            "the ends are those of the list; they are the smallest and the largest weight": last - first,
            "the ends are those of the list, the first less the last": first - last,
            "the differences have their sign turned: the largest weight less the smallest": low - high,
            "both ends are sorted before they are compared, and the pairs are lost": (
                high.sort().values - low.sort().values
            ),
            "the mean difference stands for each": (high - low).mean().expand(n),
            "sizes of the differences are taken: the sign says which end is ahead": (high - low).abs(),
        },
        seen="The differences: ",
        otherwise="Entry j is the value of the largest weight less that of the smallest, both with seed j.",
    )


EXERCISES = {
    "05.1": Exercise(
        _check_costs,
        hints=(
            "Find every place where the formula has a y, and then each of them in the code.",
            "D's logit of an image is about a pair: an image and the label that belongs to it. Which label "
            "belongs to an image that G was asked for?",
            "Let G draw once from z and y. D judges x with y and that image with y; in D's cost the image "
            "comes detached, in G's cost it does not.",
        ),
        needs=("torch._dynamo",),  # an optimiser does
    ),
    "05.2": Exercise(
        _check_receptive_field,
        hints=(
            "One value of a map without any layer sees one pixel. What does one more layer add?",
            "A kernel of k reaches k - 1 steps further, and a step in its map is as many pixels of the image "
            "as the strides before it multiply to.",
            "Walk through both lists together and keep two numbers: the view so far, and the pixels in a "
            "step. Which of the two must be updated first?",
        ),
    ),
    "05.3": Exercise(
        _check_spade,
        hints=(
            "Two lines: one that does not know the map, and one that does. Which comes first?",
            "Each channel of each image has a mean and a deviation, over height and width. `keepdim=True` "
            "keeps them ready to be subtracted and divided by.",
            "The variance of a constant map is 0: add something like 1e-5 under the root. The gain is one "
            "more than what `gamma` says of the map.",
        ),
    ),
    "05.4": Exercise(
        _check_sweep,
        hints=(
            "Two loops, one inside the other: what does a fair comparison of two weights have in common?",
            "For each weight a list, for each seed in it a new training and one score. Which of the three "
            "groups of patients may take part in a choice?",
            "The ends are the smallest and the largest number among the weights, wherever they stand. Their "
            "lists have the seeds in the same order, so `zip` pairs them.",
        ),
    ),
}
