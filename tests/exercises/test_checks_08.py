"""Right answers, however written, are accepted; the usual wrong ones are rejected with the fitting reason."""

import math

import numpy as np
import pytest
import torch
from scipy import stats
from torch.nn import functional as F

from medgan_course.data.batches import label_budget
from medgan_course.exercises.checks_08 import _kappas
from medgan_course.losses.semi_supervised import source_logit


def d_cost(
    *,
    z=lambda logits: logits.logsumexp(1),
    its_class=F.cross_entropy,
    end=lambda own, real, fake: own + F.softplus(-real).mean() + F.softplus(fake).mean(),
):
    """Return the cost of exercise 8.1 with exchangeable parts, to make mistakes with."""

    def cost(labelled, y, unlabelled, generated):
        return end(its_class(labelled, y), z(unlabelled), z(generated))

    return cost


def with_zero(logits):
    return torch.cat([logits, logits.new_zeros(len(logits), 1)], 1)


def explicit(labelled, y, unlabelled, generated):
    k = labelled.shape[1]
    own = -F.log_softmax(labelled, 1)[torch.arange(len(y)), y].mean()
    real, fake = (F.log_softmax(with_zero(logits), 1) for logits in (unlabelled, generated))
    return own - torch.logsumexp(real[:, :k], 1).mean() - fake[:, k].mean()


def by_bce(labelled, y, unlabelled, generated):
    logits = torch.cat([source_logit(unlabelled), source_logit(generated)])
    ones, zeros = torch.ones(len(unlabelled)), torch.zeros(len(generated))
    each = F.binary_cross_entropy_with_logits(logits, torch.cat([ones, zeros]), reduction="none")
    real, fake = each.split([len(unlabelled), len(generated)])
    return (F.nll_loss(labelled.log_softmax(-1), y) + real.mean() + fake.mean()).view(1)


def shifted(labelled, y, unlabelled, generated):
    def log_z(logits):
        top = logits.max(dim=1, keepdim=True).values
        return (top + (logits - top).exp().sum(1, keepdim=True).log()).squeeze(1)

    return (
        F.cross_entropy(labelled, y)
        - F.logsigmoid(log_z(unlabelled)).mean()
        - F.logsigmoid(-log_z(generated)).mean()
    )


def naive(labelled, y, unlabelled, generated):
    real, fake = unlabelled.exp().sum(1), generated.exp().sum(1)
    return F.cross_entropy(labelled, y) - (real / (real + 1)).log().mean() - (1 / (fake + 1)).log().mean()


def also_real(labelled, y, unlabelled, generated):
    return d_cost()(labelled, y, unlabelled, generated) + F.softplus(-labelled.logsumexp(1)).mean()


def detached_generated(labelled, y, unlabelled, generated):
    return d_cost()(labelled, y, unlabelled, generated.detach())


RIGHT_8_1 = {"logsumexp": d_cost(), "explicit": explicit, "cross-entropies": by_bce, "by hand": shifted}
WRONG_8_1 = {
    "K + 1 for the labelled": (
        d_cost(its_class=lambda logits, y: F.cross_entropy(with_zero(logits), y)),
        r"asks for its class among K \+ 1",
    ),
    "labelled are real as well": (also_real, "called real as well"),
    "changed places": (lambda a, y, u, g: d_cost()(a, y, g, u), "changed places"),
    "no labelled": (d_cost(its_class=lambda logits, y: 0.0), "labelled images are missing"),
    "no unlabelled": (d_cost(end=lambda o, r, f: o + F.softplus(f).mean()), "unlabelled images are missing"),
    "no generated": (d_cost(end=lambda o, r, f: o + F.softplus(-r).mean()), "generated images are missing"),
    "sum": (
        d_cost(
            its_class=lambda logits, y: F.cross_entropy(logits, y, reduction="sum"),
            end=lambda o, r, f: o + F.softplus(-r).sum() + F.softplus(f).sum(),
        ),
        "added up, where a mean",
    ),
    "halves": (
        d_cost(end=lambda o, r, f: o + (F.softplus(-r).mean() + F.softplus(f).mean()) / 2),
        "count half",
    ),
    "sign": (lambda *a: -d_cost()(*a), "sign is turned"),
    "largest": (d_cost(z=lambda logits: logits.max(1).values), "only the largest logit"),
    "sum of logits": (d_cost(z=lambda logits: logits.sum(1)), "logits are added up"),
    "mean of logits": (d_cost(z=lambda logits: logits.mean(1)), "logits are averaged"),
    "after a softmax": (d_cost(z=lambda logits: logits.softmax(1).sum(1).log()), "always 1"),
    "over the batch": (d_cost(z=lambda logits: logits.logsumexp(0)), "over the images of the batch"),
    "each class": (d_cost(z=lambda logits: logits), "judged by itself"),
    "no logarithm": (d_cost(z=lambda logits: logits.exp().sum(1)), "a logarithm is missing"),
    "overflows": (naive, "do not form Z"),
    "generated cut off": (detached_generated, "gradient in the generated logits"),
    "a number": (lambda *a: d_cost()(*a).item(), "must return a tensor"),
    "complex": (lambda *a: d_cost()(*a).to(torch.complex64), "its numbers are complex"),
    "cut off": (lambda *a: d_cost()(*a).detach(), "gradient in the labelled logits"),
    "each image": (
        lambda a, y, u, g: F.softplus(-u.logsumexp(1)),
        r"has shape \(7,\)",
    ),
    "hinge": (
        d_cost(end=lambda o, r, f: o + F.relu(1 - r).mean() + F.relu(1 + f).mean()),
        "one term at a time",
    ),
    "no return": (lambda *a: None, "return missing"),
    "in place": (
        lambda a, y, u, g: d_cost()(a, y, u, g) + y.add_(0).sum() * 0 + y.fill_(0).sum(),
        "in place",
    ),
}


def interval(q):
    q = np.asarray(q)
    half = stats.t.ppf(0.975, len(q) - 1) * q.std(ddof=1) / math.sqrt(len(q))
    return q.mean(), q.mean() - half, q.mean() + half


def gains(
    *,
    few=lambda y, n, draw: label_budget(y, n // 2, seed=draw),
    few_old=None,
    summary=interval,
    sign=1,
    draws_of=lambda draws: draws,
):
    """Return the curve of exercise 8.2 with exchangeable parts, to make mistakes with."""

    def curve(y, budgets, draws, score):
        found = {}
        for n in budgets:
            q = []
            for draw in draws_of(draws):
                new = score("SSGAN", few(y, n, draw))
                q.append(sign * (new - score("baseline", (few_old or few)(y, n, draw))))
            found[n] = summary(q)
        return found

    return curve


def by_scipy(y, budgets, draws, score):
    q = np.zeros((len(draws), len(budgets)))
    for i, draw in enumerate(draws):
        order = np.random.default_rng(draw).permutation(len(y))
        for j, n in enumerate(budgets):
            few = np.concatenate([order[y.numpy()[order] == k][: n // 2] for k in (0, 1)])
            q[i, j] = score("SSGAN", few.tolist()) - score("baseline", few.tolist())
    ends = stats.ttest_1samp(q, 0).confidence_interval()
    return {n: (q[:, j].mean(), ends.low[j], ends.high[j]) for j, n in enumerate(budgets)}


def by_torch(y, budgets, draws, score):
    pools = {}
    for draw in draws:
        generator = torch.Generator().manual_seed(draw)
        order = torch.randperm(len(y), generator=generator)
        pools[draw] = [order[y[order] == k] for k in (0, 1)]
    found = {}
    for n in sorted(budgets):
        few = [torch.cat([part[: n // 2] for part in pools[draw]]) for draw in draws]
        new, old = (torch.tensor([score(m, f) for f in few]) for m in ("SSGAN", "baseline"))
        q = new - old
        half = stats.t(len(q) - 1).interval(0.95)[1] * q.std() / len(q) ** 0.5
        found[n] = torch.stack([q.mean(), q.mean() - half, q.mean() + half])
    return found


def ends(half):
    """Return a summary whose interval has the half width ``half(q)``."""

    def summary(q):
        q = torch.tensor(q, dtype=torch.float64)
        return q.mean(), q.mean() - half(q), q.mean() + half(q)

    return summary


def t95(q, df=None):
    return stats.t.ppf(0.975, len(q) - 1 if df is None else df)


def unpaired(y, budgets, draws, score):
    found = {}
    for n in budgets:
        few = [label_budget(y, n // 2, seed=draw) for draw in draws]
        a, b = (torch.tensor([score(m, f) for f in few]) for m in ("SSGAN", "baseline"))
        half = t95(a) * ((a.var() + b.var()) / len(a)).sqrt()
        mean = (a - b).mean()
        found[n] = mean, mean - half, mean + half
    return found


def two_draws_in_one(y, budgets, draws, score):
    found = gains()(y, budgets, draws, score)
    for n in budgets:
        for method in ("SSGAN", "baseline"):
            score(method, label_budget(y, n // 2, seed=99))
    return found


def same_method(y, budgets, draws, score):
    return {n: (score("SSGAN", label_budget(y, n // 2)), 0, 0) for n in budgets}


def random_few(y, n, draw):
    return torch.randperm(len(y), generator=torch.Generator().manual_seed(draw))[:n]


def swapping(y, n, draw):
    return label_budget(y, n // 2, seed=1_000 * draw + n)


RIGHT_8_2 = {"library": gains(), "by scipy": by_scipy, "by torch": by_torch}
WRONG_8_2 = {
    "n of each class": (
        gains(few=lambda y, n, draw: label_budget(y, n, seed=draw)),
        "both classes together",
    ),
    "unbalanced": (gains(few=random_few), "half of a budget belongs to each class"),
    "other labels": (
        gains(few_old=lambda y, n, draw: label_budget(y, n // 2, seed=draw + 50)),
        "not given the same labelled images",
    ),
    "not nested": (gains(few=swapping), "never swap them"),
    "one draw": (gains(few=lambda y, n, draw: label_budget(y, n // 2, seed=0)), "only 1 different sets"),
    "draws left out": (gains(draws_of=lambda draws: draws[:-1]), "only 4 different sets"),
    "more draws": (two_draws_in_one, "6 different sets"),
    "labels, not positions": (gains(few=lambda y, n, draw: y[:n].float()), "holds the positions"),
    "twice": (
        gains(few=lambda y, n, draw: label_budget(y, n // 4, seed=draw).repeat(2)),
        "different positions",
    ),
    "one method": (same_method, "Both methods"),
    "baseline first": (gains(sign=-1), "SSGAN less the baseline"),
    "normal": (gains(summary=ends(lambda q: 1.96 * q.std() / len(q) ** 0.5)), r"1\.96"),
    "n below": (
        gains(summary=ends(lambda q: t95(q) * q.std(correction=0) / len(q) ** 0.5)),
        "one less",
    ),
    "of one draw": (gains(summary=ends(lambda q: t95(q) * q.std())), "narrower by a root"),
    "standard error": (gains(summary=ends(lambda q: q.std() / len(q) ** 0.5)), "no t in it"),
    "standard deviation": (gains(summary=ends(lambda q: q.std())), "one standard deviation"),
    "one-sided": (
        gains(summary=ends(lambda q: stats.t.ppf(0.95, len(q) - 1) * q.std() / len(q) ** 0.5)),
        "5% on each side",
    ),
    "degrees of freedom": (
        gains(summary=ends(lambda q: t95(q, len(q)) * q.std() / len(q) ** 0.5)),
        "as many degrees of freedom",
    ),
    "t of five": (
        gains(summary=ends(lambda q: 2.776445 * q.std() / len(q) ** 0.5)),
        "t is that of five draws",
    ),
    "unpaired": (unpaired, "not paired"),
    "range": (gains(summary=lambda q: (sum(q) / len(q), min(q), max(q))), "least and the greatest"),
    "order": (gains(summary=lambda q: sorted(interval(q))), "order is not mean"),
    "mean only": (gains(summary=lambda q: sum(q) / len(q)), "must be three numbers"),
    "text": (gains(summary=lambda q: ["a", "b", "c"]), "must be three numbers"),
    "two ends": (gains(summary=lambda q: interval(q)[1:]), "must be three numbers"),
    "best draw": (gains(summary=lambda q: (max(q), max(q), max(q))), "difference of each draw first"),
    "a list": (
        lambda *a: list(gains()(*a).values()),
        "dictionary with an entry for every budget, not a list",
    ),
    "other keys": (
        lambda *a: {str(n): v for n, v in gains()(*a).items()},
        "not one with the keys '4'",
    ),
    "unknown method": (lambda y, b, d, score: score("ssgan", [0]), "there is no method 'ssgan'"),
    "no training": (lambda *a: {}, "Both methods"),
    "no return": (lambda *a: gains()(*a) and None, "not None"),
}


def players(
    *,
    hold_c=lambda p: p.detach(),
    hold_g=lambda fake: fake.detach(),
    hold_d=lambda a: a.detach(),
    d_end=lambda pairs, rejected, made: pairs + 0.5 * rejected + 0.5 * made,
    c_end=lambda own, rejected: own - 0.5 * rejected,
    g_end=lambda fake: 0.5 * F.softplus(-fake).mean(),
    weigh=lambda logits: logits.softmax(1),
    loss=F.softplus,
):
    """Return the three costs of exercise 8.3 with exchangeable parts, to make mistakes with."""

    def costs(C, G, D, x, y, u, k, z):
        def pair(logits, labels):
            return logits[torch.arange(len(labels)), labels]

        fake = G(k, z)
        p, a = weigh(C(u)), D(u)
        d = d_end(
            F.softplus(-pair(D(x), y)).mean(),
            (hold_c(p) * loss(a)).sum(1).mean(),
            F.softplus(pair(D(hold_g(fake)), k)).mean(),
        )
        c = c_end(F.cross_entropy(C(x), y), (p * F.softplus(hold_d(a))).sum(1).mean())
        return d, c, g_end(pair(D(fake), k))

    return costs


def without_gradients(C, G, D, x, y, u, k, z):
    with torch.no_grad():
        fixed, p, a = G(k, z), C(u).softmax(1), D(u)
    own = torch.nn.functional.one_hot(y, 3), torch.nn.functional.one_hot(k, 3)
    d = -F.logsigmoid((D(x) * own[0]).sum(1)).mean()
    d = d - 0.5 * (p * F.logsigmoid(-D(u))).sum() / len(u)
    d = d - 0.5 * F.logsigmoid(-(D(fixed) * own[1]).sum(1)).mean()
    c = F.nll_loss(C(x).log_softmax(1), y) + 0.5 * (C(u).softmax(1) * F.logsigmoid(-a)).sum(1).mean()
    g = -0.5 * F.logsigmoid((D(G(k, z)) * own[1]).sum(1)).mean()
    return [d, c, g]


def freezing(C, G, D, x, y, u, k, z):
    d, c, _ = players()(C, G, D, x, y, u, k, z)
    D.requires_grad_(False)
    g = players()(C, G, D, x, y, u, k, z)[2]
    D.requires_grad_(True)
    return d, c, g


def left_frozen(C, G, D, x, y, u, k, z):
    found = players()(C, G, D, x, y, u, k, z)
    D.requires_grad_(False)
    return found


def stepping(C, G, D, x, y, u, k, z):
    found = players()(C, G, D, x, y, u, k, z)
    found[0].backward(retain_graph=True)
    return found


def most_likely(for_d=False):
    def costs(C, G, D, x, y, u, k, z):
        d, c, g = players()(C, G, D, x, y, u, k, z)
        p = F.one_hot(C(u).argmax(1), 3)
        rejected = (p * F.softplus(D(u))).sum(1).mean()
        if for_d:
            return (
                players(weigh=lambda logits: F.one_hot(logits.argmax(1), 3).float())(C, G, D, x, y, u, k, z)[
                    0
                ],
                c,
                g,
            )
        return d, F.cross_entropy(C(x), y) - 0.5 * rejected.detach(), g

    return costs


def any_class(C, G, D, x, y, u, k, z):
    d, c, _ = players()(C, G, D, x, y, u, k, z)
    return d, c, 0.5 * F.softplus(-D(G(k, z))).mean()


def unheard(C, G, D, x, y, u, k, z):
    d, c, _ = players()(C, G, D, x, y, u, k, z)
    return d, c, 0.5 * F.softplus(-D(G(k, z).detach())[torch.arange(len(k)), k]).mean()


def twice_softmax(C, G, D, x, y, u, k, z):
    d, c, g = players()(C, G, D, x, y, u, k, z)
    return d, c - F.cross_entropy(C(x), y) + F.cross_entropy(C(x).softmax(1), y), g


def fakes_as_real(C, G, D, x, y, u, k, z):
    d, c, g = players()(C, G, D, x, y, u, k, z)
    logits = D(G(k, z).detach())[torch.arange(len(k)), k]
    return d - F.softplus(logits).mean() / 2 + F.softplus(-logits).mean() / 2, c, g


def swapped_detach(C, G, D, x, y, u, k, z):
    d, _, g = players()(C, G, D, x, y, u, k, z)
    p, a = C(u).softmax(1), D(u)
    return d, F.cross_entropy(C(x), y) - 0.5 * (p.detach() * F.softplus(a.detach())).sum(1).mean(), g


def other_log(C, G, D, x, y, u, k, z):
    d, _, g = players()(C, G, D, x, y, u, k, z)
    p, a = C(u).softmax(1), D(u).detach()
    return d, F.cross_entropy(C(x), y) + 0.5 * (p * F.softplus(-a)).sum(1).mean(), g


def cooperating(C, G, D, x, y, u, k, z):
    d, c, g = players()(C, G, D, x, y, u, k, z)
    return d, c, g + 0.0 * C(u).sum()


def taught_by_g(C, G, D, x, y, u, k, z):
    d, c, g = players()(C, G, D, x, y, u, k, z)
    return d, c + 0.0 * C(G(k, z)).sum(), g


RIGHT_8_3 = {"detached": players(), "without gradients": without_gradients, "freezing": freezing}
WRONG_8_3 = {
    "C in D's cost": (players(hold_c=lambda p: p), "D's cost has a gradient in C's weights"),
    "G in D's cost": (players(hold_g=lambda f: f), "D's cost has a gradient in G's weights"),
    "D in C's cost": (players(hold_d=lambda a: a), "C's cost has a gradient in D's weights"),
    "G in C's cost": (taught_by_g, "C's cost has a gradient in G's weights"),
    "C in G's cost": (cooperating, "G's cost has a gradient in C's weights"),
    "G unheard": (unheard, "no gradient in G's own weights"),
    "wrong one detached": (swapped_detach, "not C's gradient"),
    "D left frozen": (left_frozen, "leaves D frozen"),
    "backward": (stepping, "leaves gradients in D's weights"),
    "no alpha": (players(d_end=lambda p, r, m: p + r + m), "suspicion is not split"),
    "no alpha for C": (players(d_end=lambda p, r, m: p + r + m / 2), "α is missing before C's pairs"),
    "no alpha for G": (players(d_end=lambda p, r, m: p + r / 2 + m), "1 - α is missing before G's pairs"),
    "most likely in D": (most_likely(for_d=True), "D's cost: .*most likely class"),
    "most likely in C": (most_likely(), "C's cost: .*no gradient passes"),
    "not weighed": (players(hold_c=torch.ones_like), "do not weigh the classes"),
    "averaged": (players(hold_c=lambda p: torch.full_like(p, 1 / 3)), "classes are averaged"),
    "logits weigh": (
        lambda *a: (players(weigh=lambda logits: logits)(*a)[0], *players()(*a)[1:]),
        "C's logits weigh",
    ),
    "C's pairs real": (players(loss=lambda a: F.softplus(-a)), "C's pairs count as real"),
    "G's pairs real": (fakes_as_real, "generated pairs count as real"),
    "pairs missing": (players(d_end=lambda p, r, m: (r + m) / 2), "labelled pairs are missing"),
    "C's pairs missing": (players(d_end=lambda p, r, m: p + m / 2), "C's pairs are missing"),
    "G's pairs missing": (players(d_end=lambda p, r, m: p + r / 2), "generated pairs are missing"),
    "turned for D": (players(d_end=lambda p, r, m: -p - r / 2 - m / 2), "Three terms, for three kinds"),
    "no labels": (players(c_end=lambda own, r: -r / 2), "labelled images are missing"),
    "no judgement": (players(c_end=lambda own, r: own), "D's judgement is missing"),
    "C helps D": (players(c_end=lambda own, r: own + r / 2), "C would help D"),
    "no alpha in C": (players(c_end=lambda own, r: own - r), "α is missing before D's judgement"),
    "alpha for all": (players(c_end=lambda own, r: own / 2 - r / 2), "α weighs the labelled images"),
    "C's other logarithm": (other_log, "the other logarithm is taken, G's"),
    "softmax twice": (twice_softmax, "softmax before the cross-entropy"),
    "no alpha in G": (players(g_end=lambda f: F.softplus(-f).mean()), "G's cost: .*1 - α is missing"),
    "saturating": (players(g_end=lambda f: -0.5 * F.softplus(f).mean()), "saturating"),
    "G helps D": (players(g_end=lambda f: 0.5 * F.softplus(f).mean()), "G would help D"),
    "any class": (any_class, "paid for any class"),
    "each image": (players(g_end=lambda f: F.softplus(-f)), r"G's cost has shape \(5,\)"),
    "number": (lambda *a: [cost.item() for cost in players()(*a)], "D's cost is a float"),
    "two costs": (lambda *a: players()(*a)[:2], "D's cost, C's cost and G's cost, but returns a tuple of 2"),
    "no return": (lambda *a: None, "return missing"),
}


def kappa(*, cost=torch.square, end=lambda observed, expected: 1 - observed / expected):
    """Return the agreement of exercise 8.4 with exchangeable parts, to make mistakes with."""

    def weighted(a, b):
        a, b = a.double(), b.double()
        return end(cost(a - b).mean(), cost(a[:, None] - b).mean())

    return weighted


def by_table(a, b):
    k = int(max(a.max(), b.max())) + 1
    table = np.zeros((k, k))
    for i, j in zip(a.tolist(), b.tolist(), strict=True):
        table[i, j] += 1
    weights = (np.arange(k)[:, None] - np.arange(k)[None]) ** 2 / (k - 1) ** 2
    chance = np.outer(table.sum(1), table.sum(0)) / table.sum()
    return 1 - (weights * table).sum() / (weights * chance).sum()


def by_moments(a, b):
    a, b = a.float(), b.float()
    chance = a.var(unbiased=False) + b.var(unbiased=False) + (a.mean() - b.mean()) ** 2
    return (1 - ((a - b) ** 2).mean() / chance).view(1)


def by_loops(a, b):
    a, b = a.tolist(), b.tolist()
    above = sum((x - y) ** 2 for x, y in zip(a, b, strict=True)) / len(a)
    below = sum((x - y) ** 2 for x in a for y in b) / len(a) ** 2
    return 1 - above / below


def compressed(a, b):
    _, places = torch.cat([a, b]).unique(return_inverse=True)
    return kappa()(*places.split(len(a)))


def correlation(a, b):
    return np.corrcoef(a.numpy(), b.numpy())[0, 1]


def sums(a, b):
    return 1 - (a - b).square().sum() / (a[:, None] - b).square().sum()


RIGHT_8_4 = {"two means": kappa(), "table": by_table, "moments": by_moments, "loops": by_loops}
WRONG_8_4 = {
    "no weights": (kappa(cost=lambda d: (d != 0).double()), "kappa without weights"),
    "linear": (kappa(cost=torch.abs), "counts by its size"),
    "compressed": (compressed, "nobody gave are left out"),
    "accuracy": (lambda a, b: (a == b).double().mean(), "share of equal answers"),
    "ratio": (kappa(end=lambda o, e: o / e), "not taken from 1"),
    "sums": (sums, "numbers of terms"),
    "upside down": (kappa(end=lambda o, e: 1 - e / o), "upside down"),
    "correlation": (correlation, "it is the correlation"),
    "largest error": (
        lambda a, b: (
            1 - (a - b).double().square().mean() / (torch.cat([a, b]).max() - torch.cat([a, b]).min()) ** 2
        ),
        "where chance is wanted",
    ),
    "roots": (kappa(end=lambda o, e: 1 - o.sqrt() / e.sqrt()), "a root is taken"),
    "never below zero": (lambda a, b: kappa()(a, b).clamp(min=0), "is 0, which is not right"),
    "integers": (lambda a, b: (a - b).square().mean(), "raised .*floating point"),
    "constant": (lambda a, b: 0.5, "which is not right"),
    "table": (lambda a, b: kappa()(a, b).expand(5), r"shape \(5,\)"),
    "in place": (lambda a, b: kappa()(a.sub_(b), b), "in place"),
    "no return": (lambda a, b: None, "return missing"),
}

RIGHT = {"08.1": RIGHT_8_1, "08.2": RIGHT_8_2, "08.3": RIGHT_8_3, "08.4": RIGHT_8_4}
WRONG = {"08.1": WRONG_8_1, "08.2": WRONG_8_2, "08.3": WRONG_8_3, "08.4": WRONG_8_4}


@pytest.mark.parametrize("seed", range(4))
def test_the_weighted_kappa_is_that_of_scikit_learn(seed):
    cohen_kappa_score = pytest.importorskip("sklearn.metrics").cohen_kappa_score
    torch.manual_seed(seed)
    a = torch.randint(5, (30,))
    b = torch.where(torch.rand(30) < 0.5, a, torch.randint(5, (30,)))
    right, mistakes = _kappas(a.double(), b.double())
    assert right == pytest.approx(cohen_kappa_score(a, b, weights="quadratic"), abs=1e-12)
    unweighted, linear = list(mistakes.values())[:2]
    assert unweighted == pytest.approx(cohen_kappa_score(a, b), abs=1e-12)
    assert linear == pytest.approx(cohen_kappa_score(a, b, weights="linear"), abs=1e-12)
