"""The checks of chapter 08, semi-supervised GANs: K + 1 classes, a curve, a third player, kappa."""

import math
from collections.abc import Callable, Sequence
from typing import Any

import torch
from torch import Tensor, nn
from torch.nn.functional import cross_entropy, log_softmax, softplus

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

# 8.1: K classes and one more ---------------------------------------------------------------------------


def _check_one_more(answer: Answer) -> str:
    function = answer.function("d_cost")
    for k, n in ((4, (3, 7, 5)), (2, (6, 4, 9))):
        _check_terms(answer, function, k, n)
    _check_large(answer, function)
    return "equal to a softmax over K + 1 free logits, with large logits too, and every logit feels it."


def _check_terms(answer: Answer, function: Callable[..., Any], k: int, n: Sequence[int]) -> None:
    labelled, unlabelled, generated = ((1.5 * torch.randn(m, k) + torch.randn(k)).requires_grad_() for m in n)
    y = torch.arange(n[0]) % k
    what = "d_cost(labelled, y, unlabelled, generated)"
    found = as_cost(what, answer.tensor(what, function, labelled, y, unlabelled, generated))

    def with_fake(logits: Tensor) -> Tensor:
        """Return log probabilities of K + 1 classes, the last of them "fake"."""
        return log_softmax(torch.cat([logits, torch.zeros(len(logits), 1)], 1), 1)

    its_class = cross_entropy(labelled, y)
    real = -with_fake(unlabelled)[:, :-1].logsumexp(1).mean()
    fake = -with_fake(generated)[:, -1].mean()
    right = its_class + real + fake

    def judged_by(logit: Callable[[Tensor], Tensor]) -> Tensor:
        return its_class + softplus(-logit(unlabelled)).mean() + softplus(logit(generated)).mean()

    compare(
        found.detach(),
        right.detach(),
        {
            reason: value.detach()
            for reason, value in {
                "a labelled image has to be called real as well, which asks for its class among K + 1; the "
                "formula asks among K": (
                    cross_entropy(torch.cat([labelled, torch.zeros(n[0], 1)], 1), y) + real + fake
                ),
                "unlabelled and generated images have changed places": (
                    its_class
                    + softplus(unlabelled.logsumexp(1)).mean()
                    + softplus(-generated.logsumexp(1)).mean()
                ),
                "the labelled images are missing": real + fake,
                "the unlabelled images are missing": its_class + fake,
                "the generated images are missing": its_class + real,
                "the values of a batch are added up, where a mean is wanted": (
                    n[0] * its_class + n[1] * real + n[2] * fake
                ),
                "the two terms without a class count half; the chapter's formula adds them": (
                    its_class + (real + fake) / 2
                ),
                "the sign is turned: a cost is what D lowers": -right,
                "only the largest logit stands for real, where Z adds up all classes": judged_by(
                    lambda logits: logits.amax(1)
                ),
                "the logits are added up, where Z adds up their exponentials": judged_by(
                    lambda logits: logits.sum(1)
                ),
                "the logits are averaged, where Z adds up their exponentials": judged_by(
                    lambda logits: logits.mean(1)
                ),
                "Z is taken after a softmax, where it is always 1": judged_by(
                    lambda logits: log_softmax(logits, 1).logsumexp(1)
                ),
                "Z runs over the images of the batch, where it runs over the classes of an image": judged_by(
                    lambda logits: logits.logsumexp(0)
                ),
                "every class logit is judged by itself, where one logit stands for real": judged_by(
                    lambda logits: logits
                ),
                "Z itself is taken as a logit: a logarithm is missing": judged_by(
                    lambda logits: logits.exp().sum(1)
                ),
            }.items()
        },
        seen=f"With K = {k} and batches of {n[0]}, {n[1]} and {n[2]}, ",
        otherwise="Set two of the three batches to logits you can do by hand: one term at a time.",
    )
    inputs = (labelled, unlabelled, generated)
    wanted = torch.autograd.grad(right, inputs)
    for name, each, gradient in zip(("labelled", "unlabelled", "generated"), inputs, wanted, strict=True):
        reached = (
            torch.autograd.grad(found, each, retain_graph=True, allow_unused=True)[0]
            if found.requires_grad
            else None
        )
        if reached is None or not close(reached, gradient):
            raise CheckFailed(
                f"The value is right, but its gradient in the {name} logits is not: D would not learn from "
                "these images; look for a detach, a no_grad or an item()."
            )


def _check_large(answer: Answer, function: Callable[..., Any]) -> None:
    large = torch.tensor([[300.0, 0.0, -300.0], [0.0, 300.0, 0.0]])
    found = answer.call("d_cost, with logits of 300,", function, large, torch.tensor([0, 1]), large, -large)
    # The generated ones have a logit of 300 as well, and of 0: log Z is 300 and log 2.
    wanted = (300.0 + math.log(3)) / 2
    if not isinstance(found, Tensor) or not found.isfinite().all() or not close(found.squeeze(), wanted):
        raise CheckFailed(
            f"With logits of 300, which a sure network gives, the result is {found}: e to the 300 is larger "
            "than any 32-bit float; do not form Z, only its logarithm."
        )


# 8.2: a curve over label budgets -----------------------------------------------------------------------

METHODS = ("SSGAN", "baseline")


class _Archive:
    """Trainings that cost nothing and keep a protocol."""

    def __init__(self, y: Tensor) -> None:
        self.y = y
        self.scores: dict[str, dict[frozenset[int], float]] = {method: {} for method in METHODS}

    def score(self, method: str, few: Any) -> float:
        if method not in METHODS:
            raise ValueError(f"there is no method {method!r}: choose {' or '.join(map(repr, METHODS))}")
        positions = torch.as_tensor(few)
        if positions.ndim != 1 or positions.is_floating_point() or positions.dtype == torch.bool:
            raise ValueError("few holds the positions of the labelled images, whole numbers of shape (n,)")
        chosen = frozenset(positions.tolist())
        if len(chosen) != len(positions) or not chosen <= set(range(len(self.y))):
            raise ValueError(f"few must hold different positions between 0 and {len(self.y) - 1}")
        draw = torch.Generator().manual_seed(sum((i + 1) ** 2 for i in chosen) + 7 * METHODS.index(method))
        luck = torch.rand((), generator=draw, dtype=torch.float64).item()
        return self.scores[method].setdefault(chosen, 0.6 + 0.3 * luck)


def _check_curve(answer: Answer) -> str:
    function = answer.function("gains")
    for n, budgets, draws in ((90, (4, 10, 20), range(5)), (50, (12, 6), (8, 3, 5))):
        archive = _Archive((torch.arange(n) % 3 == 0).long()[torch.randperm(n)])
        what = "gains(y, budgets, draws, score)"
        found = answer.call(what, function, archive.y, list(budgets), list(draws), archive.score)
        _check_protocol(archive, budgets, len(draws))
        _check_intervals(archive, budgets, len(draws), found)
    return "balanced and nested budgets, the same labels for both methods, and an interval over the draws."


def _check_protocol(archive: _Archive, budgets: Sequence[int], m: int) -> None:
    new, old = (set(archive.scores[method]) for method in METHODS)
    if not new or not old:
        raise CheckFailed("Both methods must be scored, 'SSGAN' and 'baseline'.")
    for few in new | old:
        if len(few) not in budgets:
            raise CheckFailed(
                f"A training had {len(few)} labels, but the budgets are {', '.join(map(str, budgets))}: a "
                "budget counts the labels of both classes together."
            )
        ill = int(archive.y[sorted(few)].sum())
        if 2 * ill != len(few):
            raise CheckFailed(
                f"Of {len(few)} labels, {ill} are of class 1: half of a budget belongs to each class, or "
                "small budgets may lack a class altogether."
            )
    if new != old:
        raise CheckFailed(
            "The two methods were not given the same labelled images: which images are labelled moves the "
            "AUC more than the method does, and so it would not cancel."
        )
    drawn = {n: [few for few in new if len(few) == n] for n in budgets}
    for n, sets in drawn.items():
        if len(sets) < m:
            raise CheckFailed(
                f"With {n} labels, {m} draws were asked for but only {len(sets)} different sets of images "
                "were labelled: every draw is a new one, and each counts."
            )
        if len(sets) > m:
            raise CheckFailed(
                f"With {n} labels, {len(sets)} different sets of images were labelled in {m} draws: each "
                "draw labels one set."
            )
    for n, larger in zip(sorted(budgets), sorted(budgets)[1:], strict=False):
        if not all(any(few < more for more in drawn[larger]) for few in drawn[n]):
            raise CheckFailed(
                f"The {n} labelled images of a draw are not among its {larger}: a curve over budgets should "
                "add labels and never swap them."
            )


def _check_intervals(archive: _Archive, budgets: Sequence[int], m: int, found: Any) -> None:
    from scipy.stats import t as student

    if not isinstance(found, dict) or set(found) != set(budgets):
        keys = f"one with the keys {', '.join(map(repr, found))}" if isinstance(found, dict) else kind(found)
        raise CheckFailed(f"gains must return a dictionary with an entry for every budget, not {keys}.")
    for n, triple in found.items():
        try:
            values = torch.tensor([float(value) for value in triple])
        except (TypeError, ValueError):
            values = torch.empty(0)
        if len(values) != 3:
            raise CheckFailed(f"The entry of budget {n} must be three numbers: mean, lower end, upper end.")
        a, b = (
            torch.tensor([own[few] for few in archive.scores["SSGAN"] if len(few) == n], dtype=torch.float64)
            for own in (archive.scores[method] for method in METHODS)
        )
        q = a - b
        mean, deviation, root = q.mean(), q.std(), math.sqrt(m)

        def ends(half: Tensor | float, mean: Tensor = mean) -> Tensor:
            return torch.stack([mean, mean - half, mean + half])

        quantile = {df: float(student.ppf(0.975, df)) for df in (m - 1, m, 4)}
        right = ends(quantile[m - 1] * deviation / root)
        compare(
            values,
            right,
            {
                "the baseline's advantage is taken: SSGAN less the baseline is wanted": (
                    ends(quantile[m - 1] * deviation / root, -mean)
                ),
                "the normal distribution's 1.96 is used, which so few draws do not allow": (
                    ends(1.959964 * deviation / root)
                ),
                "the deviation divides by the number of draws; of a sample it divides by one less": (
                    ends(quantile[m - 1] * q.std(correction=0) / root)
                ),
                "the interval is that of a single draw: of a mean it is narrower by a root": (
                    ends(quantile[m - 1] * deviation)
                ),
                "the interval has no t in it: one standard error to each side": ends(deviation / root),
                "the interval is one standard deviation to each side": ends(deviation),
                "t is the 0.95 quantile, which leaves 5% on each side": (
                    ends(float(student.ppf(0.95, m - 1)) * deviation / root)
                ),
                "t has as many degrees of freedom as there are draws": ends(quantile[m] * deviation / root),
                "t is that of five draws, and here are others": ends(quantile[4] * deviation / root),
                "the two methods are taken as independent: the differences of the draws are not paired": (
                    ends(quantile[m - 1] * (a.var() + b.var()).sqrt() / root)
                ),
                "the ends are the least and the greatest draw": torch.stack([mean, q.min(), q.max()]),
                "the order is not mean, lower end, upper end": right[[1, 0, 2]],
            },
            seen=f"With {n} labels and {m} draws, ",
            otherwise="Take the difference of each draw first; then it is the formula for one mean.",
        )


# 8.3: whose gradient goes where ------------------------------------------------------------------------

CLASSES, PIXELS = 3, 16


class _Net(nn.Module):
    """Two layers from images ``(N, 1, 4, 4)`` to a logit for each class."""

    def __init__(self) -> None:
        super().__init__()
        self.net = nn.Sequential(nn.Flatten(), nn.Linear(PIXELS, 8), nn.Tanh(), nn.Linear(8, CLASSES))

    def forward(self, images: Tensor) -> Tensor:
        return 2 * self.net(images)


class _Maker(nn.Module):
    """A class and noise ``(N, 5)`` to images."""

    def __init__(self) -> None:
        super().__init__()
        self.of_class, self.of_noise = nn.Embedding(CLASSES, PIXELS), nn.Linear(5, PIXELS)

    def forward(self, k: Tensor, z: Tensor) -> Tensor:
        return (self.of_class(k) + self.of_noise(z)).tanh().view(-1, 1, 4, 4)


def _check_players(answer: Answer) -> str:
    function = answer.function("costs")
    for sizes in ((4, 7, 5), (9, 3, 6)):
        _check_three_costs(answer, function, sizes)
    return "three costs with the right values, and each is felt by its own player."


def _three_costs(answer: Answer, function: Callable[..., Any], *arguments: Any) -> list[Tensor]:
    wanted = [f"{name}'s cost" for name in "DCG"]
    found = answer.several("costs(C, G, D, x, y, u, k, z)", wanted, function, *arguments)
    return [as_cost(name, each) for name, each in zip(wanted, found, strict=True)]


def _check_three_costs(answer: Answer, function: Callable[..., Any], sizes: Sequence[int]) -> None:
    C, G, D = _Net(), _Maker(), _Net()
    nets = {"C": C, "G": G, "D": D}
    x, u = (torch.rand(n, 1, 4, 4) * 2 - 1 for n in sizes[:2])
    y, k = (torch.randint(CLASSES, (n,)) for n in (sizes[0], sizes[2]))
    z = torch.randn(sizes[2], 5)
    d, c, g = _three_costs(answer, function, C, G, D, x, y, u, k, z)
    for name, net in nets.items():
        if not all(weight.requires_grad for weight in net.parameters()):
            raise CheckFailed(
                f"costs leaves {name} frozen (requires_grad is False): its own turn would move nothing."
            )
        if any(weight.grad is not None for weight in net.parameters()):
            raise CheckFailed(
                f"costs leaves gradients in {name}'s weights: return the costs, and no backward."
            )

    p, a = C(u).softmax(1), D(u)
    fake = D(G(k, z)).gather(1, k[:, None])[:, 0]
    pairs = softplus(-D(x).gather(1, y[:, None])).mean()
    believed = C(u).argmax(1)
    rejected = (p.detach() * softplus(a)).sum(1).mean()
    made = softplus(fake).mean()
    wanted_d = pairs + (rejected + made) / 2
    seen = f"On {sizes[0]} labelled, {sizes[1]} unlabelled and {sizes[2]} generated images, "
    compare(
        d.detach(),
        wanted_d.detach(),
        {
            reason: value.detach()
            for reason, value in {
                "the suspicion is not split: α and 1 - α are missing": pairs + rejected + made,
                "α is missing before C's pairs": pairs + rejected + made / 2,
                "1 - α is missing before G's pairs": pairs + rejected / 2 + made,
                "C's most likely class is taken, where the formula adds up all classes": (
                    pairs + (softplus(a.gather(1, believed[:, None])).mean() + made) / 2
                ),
                "C's probabilities do not weigh the classes": pairs + (softplus(a).sum(1).mean() + made) / 2,
                "the classes are averaged, where C's probabilities weigh them": (
                    pairs + (softplus(a).mean() + made) / 2
                ),
                "C's logits weigh the classes, where its probabilities should": (
                    pairs + ((C(u) * softplus(a)).sum(1).mean() + made) / 2
                ),
                "C's pairs count as real ones": pairs + ((p * softplus(-a)).sum(1).mean() + made) / 2,
                "generated pairs count as real ones": pairs + (rejected + softplus(-fake).mean()) / 2,
                "the labelled pairs are missing": (rejected + made) / 2,
                "C's pairs are missing": pairs + made / 2,
                "the generated pairs are missing": pairs + rejected / 2,
            }.items()
        },
        seen=f"{seen}D's cost: ",
        otherwise="Three terms, for three kinds of pairs; look at one at a time.",
    )
    supervised = cross_entropy(C(x), y)
    judged = -(p * softplus(a.detach())).sum(1).mean() / 2
    wanted_c = supervised + judged
    compare(
        c.detach(),
        wanted_c.detach(),
        {
            reason: value.detach()
            for reason, value in {
                "the labelled images are missing": judged,
                "D's judgement is missing": supervised,
                "the sign before D's judgement is turned: C would help D": supervised - judged,
                "α is missing before D's judgement": supervised + 2 * judged,
                "the other logarithm is taken, G's; C lowers log(1 - D) itself": (
                    supervised + (p * softplus(-a)).sum(1).mean() / 2
                ),
                "C's most likely class is taken, through which no gradient passes": (
                    supervised - softplus(a.gather(1, believed[:, None])).mean() / 2
                ),
                "C's logits go through a softmax before the cross-entropy, which has one inside": (
                    cross_entropy(C(x).softmax(1), y) + judged
                ),
                "α weighs the labelled images as well": supervised / 2 + judged,
            }.items()
        },
        seen=f"{seen}C's cost: ",
        otherwise="The plain cross-entropy, and what C can change in D's cost, with the opposite sign.",
    )
    wanted_g = softplus(-fake).mean() / 2
    compare(
        g.detach(),
        wanted_g.detach(),
        {
            reason: value.detach()
            for reason, value in {
                "1 - α is missing": 2 * wanted_g,
                "it is the saturating one; in practice G lowers the other logarithm": -made / 2,
                "its sign is turned: G would help D": made / 2,
                "G is paid for any class, where it was asked for one": softplus(-D(G(k, z))).mean() / 2,
            }.items()
        },
        seen=f"{seen}G's cost: ",
        otherwise="G wants D to take its pairs as real.",
    )
    _check_reach({"D": d, "C": c, "G": g}, nets, {"D": wanted_d, "C": wanted_c, "G": wanted_g})


WHY_NOT = {
    ("D", "C"): "C's probabilities are weights here, and what D wants must not teach C to be judged badly.",
    ("D", "G"): "D's turn takes G's images as they are.",
    ("C", "D"): "C is judged by D without changing it; only the probabilities are C's to move.",
    ("C", "G"): "C learns nothing from G's images here.",
    ("G", "C"): "G's pairs have the class that was asked for, and C has no say in them.",
}


def _check_reach(costs: dict[str, Tensor], nets: dict[str, nn.Module], wanted: dict[str, Tensor]) -> None:
    """Hold whose weights feel which cost against the rules, and the movers' gradients too."""
    for (mover, other), why in WHY_NOT.items():
        if gradient_in(costs[mover], nets[other]) is not None:
            raise CheckFailed(
                f"The values are right, but {mover}'s cost has a gradient in {other}'s weights. {why}"
            )
    for mover, cost in costs.items():
        found, right = gradient_in(cost, nets[mover]), gradient_in(wanted[mover], nets[mover])
        if found is None:
            raise CheckFailed(
                f"The values are right, but {mover}'s cost has no gradient in {mover}'s own weights: look "
                "for a detach or a no_grad on the way."
            )
        if right is not None and not close(found, right):
            raise CheckFailed(
                f"The values are right, but not {mover}'s gradient: a part of its cost is cut off, or "
                "detached in the wrong place."
            )


# 8.4: agreement on grades ------------------------------------------------------------------------------


def _check_kappa(answer: Answer) -> str:
    function = answer.function("quadratic_kappa")
    some = torch.randint(5, (40,))
    cautious = torch.where(torch.rand(40) < 0.4, (some - 1).clamp(min=0), some)
    absent = torch.tensor([0, 4, 2, 1, 0, 4, 4, 2, 0])  # grade 3 is given by nobody
    also = torch.tensor([0, 2, 2, 1, 1, 4, 2, 4, 0])
    turned = torch.tensor([0, 1, 2, 3, 4, 4, 2])
    for a, b in ((some, cautious), (absent, also), (turned, turned.flip(0)), (some, some.clone())):
        what = "quadratic_kappa(a, b)"
        found = answer.number(what, function, a, b)
        right, mistakes = _kappas(a.double(), b.double())
        compare(
            found,
            right,
            mistakes,
            seen=f"For the grades {a.tolist()[:9]} and {b.tolist()[:9]}{' ...' if len(a) > 9 else ''} ",
            otherwise="Take three patients and do the two means by hand, the lower one over nine pairs.",
        )
    return "as the formula has it, also where a grade is missing, and below zero."


def _kappas(a: Tensor, b: Tensor) -> tuple[float, dict[str, float]]:
    """Return the weighted kappa of two lists of grades, and what mistakes give."""
    n, apart, crossed = len(a), a - b, a[:, None] - b[None]

    def beyond(cost: Callable[[Tensor], Tensor], apart: Tensor = apart, crossed: Tensor = crossed) -> float:
        return float(1 - cost(apart).mean() / cost(crossed).mean())

    grades, places = torch.cat([a, b]).unique(return_inverse=True)
    moved_a, moved_b = places.double().split(n)
    right = beyond(torch.square)
    mistakes = {
        "every error counts the same: this is the kappa without weights": beyond(lambda d: (d != 0).double()),
        "an error counts by its size; quadratic weights take the square": beyond(torch.abs),
        "the grades that nobody gave are left out, and those above them moved down": beyond(
            torch.square, moved_a - moved_b, moved_a[:, None] - moved_b[None]
        ),
        "it is the share of equal answers, without chance": float((apart == 0).double().mean()),
        "the ratio is not taken from 1": 1 - right,
        "the sums are not divided by their numbers of terms, n above and n² below": float(
            1 - apart.square().sum() / crossed.square().sum()
        ),
        "the fraction is upside down": float(1 - crossed.square().mean() / apart.square().mean()),
        "it is the correlation, which forgives a reader who is always one grade too low": float(
            torch.corrcoef(torch.stack([a, b]))[0, 1]
        ),
        "the error is set against the largest possible one, where chance is wanted": float(
            1 - apart.square().mean() / (grades.max() - grades.min()) ** 2
        ),
        "a root is taken that the formula does not have": float(
            1 - apart.square().mean().sqrt() / crossed.square().mean().sqrt()
        ),
    }
    return right, mistakes


EXERCISES = {
    "08.1": Exercise(
        _check_one_more,
        hints=(
            "Three batches, three terms. Which of them knows a class, and which only knows real or fake?",
            "The logit of real is log Z, and torch has one function for the logarithm of a sum of "
            "exponentials. The labelled term is the plain cross-entropy over K classes.",
            "With the logit a = log Z, the cost of saying real is softplus(-a), and that of saying fake is "
            "softplus(a). Take the mean of each batch by itself, then add.",
        ),
    ),
    "08.2": Exercise(
        _check_curve,
        hints=(
            "What must be the same for the two methods in one draw, and what must differ between draws?",
            "`label_budget(y, per_class, seed=draw)` of medgan_course.data.batches draws nested and balanced "
            "positions. A budget of n has n / 2 of each class.",
            "For every budget make the list of differences, one a draw. Their mean, their standard deviation "
            "with one less below, and `scipy.stats.t.ppf(0.975, m - 1)` give the interval.",
        ),
        needs=("scipy.stats",),
    ),
    "08.3": Exercise(
        _check_players,
        hints=(
            "For each of the three costs write down whose weights are in it, and strike out all but its own.",
            "In D's cost two things come from others: G's images, and C's probabilities. In C's cost D's "
            "logits come from another. In G's cost the way to G leads through D and must stay open.",
            "`D(u).detach()` belongs into C's cost, `C(u).softmax(1).detach()` and `G(k, z).detach()` into "
            "D's. `logits.gather(1, y[:, None])` picks the logit of one class for each image.",
        ),
    ),
    "08.4": Exercise(
        _check_kappa,
        hints=(
            "Two means of squared differences: one over the patients, and one over which pairs?",
            "Below stands what two readers would differ by if the answers of one were dealt to the other's "
            "patients at random: every grade of a against every grade of b.",
            "`a[:, None] - b[None, :]` holds all n² differences. Take both means of floats, not of integers.",
        ),
    ),
}
