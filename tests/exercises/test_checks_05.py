"""Right answers, however written, are accepted; the usual wrong ones are rejected with the fitting reason."""

import math

import pytest
import torch
from torch.nn import functional as F

from medgan_course.exercises import CheckFailed, check
from medgan_course.exercises.checks_05 import brightest, play, spots
from medgan_course.nets.norm import norm_layer


def bce(logits, target):
    return F.binary_cross_entropy_with_logits(logits, torch.full_like(logits, target))


def costs(
    *,
    told=lambda y: y,
    told_fake=None,
    drawn=lambda y: y,
    detach=True,
    end_d=lambda real, fake: F.softplus(-real).mean() + F.softplus(fake).mean(),
    end_g=lambda fake, real: F.softplus(-fake).mean(),
):
    """Return the costs of exercise 5.1 with exchangeable parts, to make mistakes with."""

    def both(G, D, x, y, z):
        fake = G(z, drawn(y))
        label_fake = (told_fake or told)(y)
        d = end_d(D(x, told(y)), D(fake.detach() if detach else fake, label_fake))
        return d, end_g(D(fake, label_fake), D(x, told(y)))

    return both


def by_bce(G, D, x, y, z):
    with torch.no_grad():
        fixed = G(z, y)
    d = bce(D(x, y), 1.0) + bce(D(fixed, y), 0.0)
    return [d, bce(D(G(z, y), y), 1.0)]


def in_one_batch(G, D, x, y, z):
    fake = G(z, y)
    logits = D(torch.cat([x, fake.detach()]), torch.cat([y, y]))
    real, made = logits.chunk(2)
    d = -F.logsigmoid(real).mean() - F.logsigmoid(-made).mean()
    return d.view(1), (-F.logsigmoid(D(fake, y))).sum() / len(y)


def frozen(G, D, x, y, z):
    for weight in D.parameters():
        weight.requires_grad_(False)
    g = F.softplus(-D(G(z, y), y)).mean()
    for weight in D.parameters():
        weight.requires_grad_(True)
    return costs()(G, D, x, y, z)[0], g


def without_label(G, D, x, y, z):
    return F.softplus(-D(x)).mean(), None


def half_cut(G, D, x, y, z):
    real = D(x, y)
    with torch.no_grad():
        made = F.softplus(D(G(z, y), y)).mean()
    return F.softplus(-real).mean() + made, F.softplus(-D(G(z, y), y)).mean()


def cut_g(G, D, x, y, z):
    d, _ = costs()(G, D, x, y, z)
    return d, F.softplus(-D(G(z, y).detach(), y)).mean()


def brightened(G, D, x, y, z):
    x.clamp_(min=0)
    return costs()(G, D, x, y, z)


RIGHT_5_1 = {
    "softplus": costs(),
    "cross-entropy": by_bce,
    "one batch for D": in_one_batch,
    "D frozen for G": frozen,
}
WRONG_5_1 = {
    "deaf": (costs(told=torch.zeros_like), r"one and the same label.*costs \d+% of the images"),
    "deaf to generated images": (costs(told_fake=torch.zeros_like), "one and the same label"),
    "shuffled": (costs(told=lambda y: y[torch.randperm(len(y))]), "do not belong to the images beside them"),
    "shifted": (costs(told_fake=lambda y: y.roll(1)), "do not belong to the images beside them"),
    "G asked for other labels": (costs(drawn=lambda y: torch.randint_like(y, 4)), "G is told other labels"),
    "labels left out": (without_label, r"raised TypeError.*'y'"),
    "label as a number": (costs(told=lambda y: y.float()), "labels are int64"),
    "no detach": (costs(detach=False), "lacks a detach"),
    "detached for G": (cut_g, "G would never learn"),
    "half cut off": (half_cut, "cut off from its player"),
    "turned signs": (
        costs(end_d=lambda r, f: F.softplus(r).mean() + F.softplus(-f).mean()),
        "signs turned",
    ),
    "swapped": (lambda *a: costs()(*a)[::-1], "D's cost is G's"),
    "halves": (
        costs(end_d=lambda r, f: (F.softplus(-r).mean() + F.softplus(f).mean()) / 2),
        "averaged, where the formula adds",
    ),
    "sum": (costs(end_d=lambda r, f: F.softplus(-r).sum() + F.softplus(f).sum()), "added up"),
    "V as cost": (
        costs(end_d=lambda r, f: F.logsigmoid(r).mean() + F.logsigmoid(-f).mean()),
        "D raises V, so its cost is -V",
    ),
    "only real": (costs(end_d=lambda r, f: F.softplus(-r).mean()), "generated images are missing"),
    "only generated": (costs(end_d=lambda r, f: F.softplus(f).mean()), "real images are missing"),
    "hinge": (costs(end_d=lambda r, f: F.relu(1 - r).mean() + F.relu(1 + f).mean()), "D's cost: the result"),
    "saturating": (costs(end_g=lambda f, r: F.logsigmoid(-f).mean()), "saturating"),
    "helps D": (costs(end_g=lambda f, r: F.softplus(f).mean()), "it would help D"),
    "real in G's cost": (
        costs(end_g=lambda f, r: F.softplus(-f).mean() + F.softplus(r).mean()),
        "G cannot change them",
    ),
    "sum for G": (costs(end_g=lambda f, r: F.softplus(-f).sum()), "G's cost: .*added up"),
    "log sigma for G": (costs(end_g=lambda f, r: F.logsigmoid(f).mean()), "sign too many"),
    "each": (costs(end_d=lambda r, f: F.softplus(-r) + F.softplus(f)), r"D's cost has shape \(7,\)"),
    "number": (costs(end_g=lambda f, r: F.softplus(-f).mean().item()), "G's cost is a float"),
    "integers": (lambda *a: (torch.tensor(1), torch.tensor(1)), "tensor of floats"),
    "one cost": (lambda *a: sum(costs()(*a)), "must return D's cost and G's cost, but returns a Tensor"),
    "mean logits": (
        lambda G, D, x, y, z: (D(G(z, y).detach(), y).mean() - D(x, y).mean(), -D(G(z, y), y).mean()),
        "D's cost: it looks as if .* Wasserstein critic",
    ),
    "no return": (lambda *a: None, "return missing"),
    "in place": (brightened, "changed its argument number 3 in place"),
    "no G": (lambda G, D, x, y, z: (D(x, y).mean(), D(x, y).mean()), "G is never called"),
    "no D": (lambda G, D, x, y, z: (G(z, y).mean(), G(z, y).mean()), "D is never called"),
}


def forwards(kernels, strides):
    view, step = 1, 1
    for kernel, stride in zip(kernels, strides, strict=True):
        view += (kernel - 1) * step
        step *= stride
    return view


def backwards(kernels, strides):
    view = 1
    for kernel, stride in zip(reversed(kernels), reversed(strides), strict=True):
        view = (view - 1) * stride + kernel
    return view


def recursive(kernels, strides):
    if not kernels:
        return torch.tensor(1)
    return kernels[0] + strides[0] * (recursive(kernels[1:], strides[1:]) - 1)


def by_formula(kernels, strides):
    return 1 + sum((kernel - 1) * math.prod(strides[:i]) for i, kernel in enumerate(kernels))


def popping(kernels, strides):
    view, step = 1, 1
    while kernels:
        view += (kernels.pop(0) - 1) * step
        step *= strides.pop(0)
    return view


def own_stride_first(kernels, strides):
    view, step = 1, 1
    for kernel, stride in zip(kernels, strides, strict=True):
        step *= stride
        view += (kernel - 1) * step
    return view


RIGHT_5_2 = {"forwards": forwards, "backwards": backwards, "recursive": recursive, "formula": by_formula}
WRONG_5_2 = {
    "no strides": (lambda k, s: forwards(k, [1] * len(k)), "strides are left out"),
    "own stride": (own_stride_first, "own stride enlarges"),
    "wrong end": (lambda k, s: forwards(k[::-1], s[::-1]), "wrong end"),
    "all strides": (
        lambda k, s: 1 + sum((kernel - 1) * math.prod(s) for kernel in k),
        "product of all strides",
    ),
    "whole kernels": (
        lambda k, s: 1 + sum(kernel * math.prod(s[:i]) for i, kernel in enumerate(k)),
        "adds one less",
    ),
    "no one": (lambda k, s: forwards(k, s) - 1, "is not counted"),
    "last stride only": (
        lambda k, s: 1 + sum((kernel - 1) * ([1, *s][i]) for i, kernel in enumerate(k)),
        "all strides before multiply",
    ),
    "sum of kernels": (lambda k, s: sum(k), "kernels are added up"),
    "product of kernels": (lambda k, s: math.prod(k), "kernels are multiplied"),
    "seventy": (lambda k, s: 70, r"the result is 70, which is not right\. Draw two layers"),
    "paper's only": (
        lambda k, s: forwards(k, s) if s == [2, 2, 2, 1, 1] else 32,
        r"For kernels \[3\] and strides \[7\]",
    ),
    "no empty list": (lambda k, s: backwards(k, s) if k else k[0], "raised IndexError"),
    "emptied": (popping, "changed the lists"),
    "no return": (lambda k, s: None, "return missing"),
    "a list": (lambda k, s: [forwards(k, s)], "must return a number"),
}


def spade(*, norm=lambda h: F.instance_norm(h), end=lambda h, gamma, beta: (1 + gamma) * h + beta, eps=None):
    """Return SPADE with exchangeable parts, to make mistakes with."""

    def modulate(h, m, gamma, beta):
        return end(norm(h), gamma(m), beta(m))

    return modulate


def standard(axes, *, unbiased=False, root=True):
    def norm(h):
        variance = h.var(axes, unbiased=unbiased, keepdim=True) + 1e-5
        return (h - h.mean(axes, keepdim=True)) / (variance.sqrt() if root else variance)

    return norm


def by_hand(h, m, gamma, beta):
    mean = h.mean((-2, -1), keepdim=True)
    std = h.std((2, 3), keepdim=True, correction=0)
    return (h - mean) / (std + 1e-6) * (gamma(m) + 1.0) + beta(m)


def by_reshaping(h, m, gamma, beta):
    flat = h.reshape(h.shape[0], h.shape[1], -1)
    flat = F.layer_norm(flat, flat.shape[-1:])
    own = flat.reshape(h.shape)
    return torch.addcmul(beta(m) + own, own, gamma(m))


def by_layer(h, m, gamma, beta):
    own = norm_layer("instance", h.shape[1], 2)(h)
    return own + own * gamma(m) + beta(m)


def without_eps(h, m, gamma, beta):
    centred = h - h.mean((2, 3), keepdim=True)
    return centred / h.std((2, 3), keepdim=True, correction=0) * (1 + gamma(m)) + beta(m)


def in_place(h, m, gamma, beta):
    h -= h.mean((2, 3), keepdim=True)
    return F.instance_norm(h) * (1 + gamma(m)) + beta(m)


def lost_where_flat(h, m, gamma, beta):
    out = spade()(h, m, gamma, beta)
    return out * (h.std((2, 3), keepdim=True) > 0)


def fallback(h, m, gamma, beta):
    flat = h.std((2, 3), keepdim=True) == 0
    return torch.where(flat, h + beta(m), spade()(h, m, gamma, beta))


def unlearned(name):
    def modulate(h, m, gamma, beta):
        parts = {"gamma": gamma(m), "beta": beta(m)}
        parts[name] = parts[name].detach()
        return F.instance_norm(h) * (1 + parts["gamma"]) + parts["beta"]

    return modulate


RIGHT_5_3 = {"library": spade(), "by hand": by_hand, "layer norm": by_reshaping, "instance layer": by_layer}
WRONG_5_3 = {
    "gamma alone": (spade(end=lambda h, g, b: g * h + b), r"formula has 1 \+ γ"),
    "before the norm": (
        lambda h, m, g, b: F.instance_norm((1 + g(m)) * h + b(m)),
        "before the norm, which takes them out",
    ),
    "no norm": (spade(norm=lambda h: h), "nothing is normalised"),
    "batch norm": (spade(norm=standard((0, 2, 3))), "over the whole batch"),
    "layer norm": (spade(norm=standard((1, 2, 3))), "all channels together"),
    "across channels": (spade(norm=standard((1,))), "across the channels"),
    "rows": (spade(norm=standard((3,))), "over each row"),
    "columns": (spade(norm=standard((2,))), "over each column"),
    "n - 1": (spade(norm=standard((2, 3), unbiased=True)), "less one"),
    "variance": (spade(norm=standard((2, 3), root=False)), "root is missing"),
    "no mean": (
        spade(norm=lambda h: h / (h.var((2, 3), correction=0, keepdim=True) + 1e-5).sqrt()),
        "mean is not taken off",
    ),
    "no deviation": (spade(norm=lambda h: h - h.mean((2, 3), keepdim=True)), "not divided by the deviation"),
    "changed places": (lambda h, m, g, b: spade()(h, m, b, g), "changed places"),
    "no shift": (spade(end=lambda h, g, b: (1 + g) * h), "shift is missing"),
    "no gain": (spade(end=lambda h, g, b: h + b), "gain is missing"),
    "norm alone": (spade(end=lambda h, g, b: h), "norm alone"),
    "one gain an image": (
        spade(end=lambda h, g, b: (1 + g.mean((2, 3), keepdim=True)) * h + b.mean((2, 3), keepdim=True)),
        "every pixel has its own",
    ),
    "from the features": (lambda h, m, g, b: spade()(h, h, g, b), "raised RuntimeError"),
    "no epsilon": (without_eps, "not finite"),
    "in place": (in_place, "changed its argument number 1 in place"),
    "nothing where flat": (lost_where_flat, "two labels give the same"),
    "h where flat": (fallback, "nothing may be left"),
    "gamma cut off": (unlearned("gamma"), "weights of gamma"),
    "beta cut off": (unlearned("beta"), "weights of beta"),
    "one channel": (lambda h, m, g, b: spade()(h, m, g, b)[:, :1], "must return shape"),
    "no return": (lambda h, m, g, b: None, "return missing"),
    "negative": (spade(end=lambda h, g, b: -h), "Check mean and deviation"),
}


def sweep(
    *,
    seeds_of=lambda weights, seeds: {weight: list(seeds) for weight in weights},
    who="validation",
    kept=lambda values: values,
    ends=lambda weights: (min(weights), max(weights)),
    compared=lambda low, high: [h - lo for lo, h in zip(low, high, strict=True)],
):
    """Return a sweep with exchangeable parts, to make mistakes with."""

    def run(weights, seeds, train, score):
        values = {
            weight: [score(train(weight, seed), who) for seed in own]
            for weight, own in seeds_of(weights, seeds).items()
        }
        low, high = ends(weights)
        return {w: kept(v) for w, v in values.items()}, compared(values[low], values[high])

    return run


def seed_by_seed(weights, seeds, train, score):
    values = {weight: [] for weight in weights}
    for seed in seeds:
        for weight in sorted(weights):
            values[weight].append(score(train(weight, seed), "validation"))
    ordered = sorted(values)
    return values, [values[ordered[-1]][i] - values[ordered[0]][i] for i in range(len(seeds))]


def tensors(weights, seeds, train, score):
    table = torch.tensor(
        [[score(train(w, s), "validation") for s in seeds] for w in weights], dtype=torch.float64
    )
    at = torch.tensor(weights)
    return dict(zip(weights, table, strict=True)), table[at.argmax()] - table[at.argmin()]


def trains_twice(weights, seeds, train, score):
    values, _ = sweep()(weights, seeds, train, score)
    low, high = min(weights), max(weights)
    return values, [score(train(high, s), "validation") - score(train(low, s), "validation") for s in seeds]


def peeks(weights, seeds, train, score):
    values, differences = {}, []
    for weight in weights:
        nets = [train(weight, seed) for seed in seeds]
        values[weight] = [score(net, "validation") for net in nets]
        score(nets[0], "test")
    return values, differences


def scores_the_weight(weights, seeds, train, score):
    return {weight: [score(weight, "validation")] for weight in weights}, []


RIGHT_5_4 = {"two loops": sweep(), "seed by seed": seed_by_seed, "tensors": tensors}
WRONG_5_4 = {
    "one seed": (sweep(seeds_of=lambda w, s: {each: s[:1] for each in w}), "never trained with seed 1, 2"),
    "a seed a weight": (
        sweep(seeds_of=lambda w, s: {each: [s[i % len(s)]] for i, each in enumerate(w)}),
        "different seeds",
    ),
    "foreign seeds": (
        sweep(seeds_of=lambda w, s: {each: range(90, 90 + len(s)) for each in w}),
        "no training with weight 10.0 and seed 90",
    ),
    "trained twice": (trains_twice, "was trained 6 times for 3 seeds"),
    "test patients": (sweep(who="test"), "can no longer test it"),
    "a look at the test": (peeks, "can no longer test it"),
    "training patients": (sweep(who="training"), "how well it remembers"),
    "unknown patients": (sweep(who="val"), "no patients 'val'"),
    "the weight scored": (scores_the_weight, "what train returned"),
    "best seed": (sweep(kept=lambda v: [max(v)] * len(v)), "best seed stands for all"),
    "only the best": (sweep(kept=max), "no list of 3 numbers"),
    "only the mean": (sweep(kept=lambda v: sum(v) / len(v)), "no list of 3 numbers"),
    "mean for each": (sweep(kept=lambda v: [sum(v) / len(v)] * len(v)), "mean of the seeds"),
    "sorted": (sweep(kept=sorted), "sorted: entry j"),
    "sorted, best first": (sweep(kept=lambda v: sorted(v, reverse=True)), "best first"),
    "text": (sweep(kept=lambda v: [f"{each:.2f} dB" for each in v]), "no list of 3 numbers"),
    "rounded to nothing": (sweep(kept=lambda v: [0.0] * len(v)), "another tensor than it should be"),
    "ends of the list": (sweep(ends=lambda w: (w[0], w[-1])), "ends are those of the list"),
    "ends of the list, turned": (sweep(ends=lambda w: (w[-1], w[0])), "first less the last"),
    "sign": (sweep(compared=lambda lo, hi: [a - b for a, b in zip(lo, hi, strict=True)]), "sign turned"),
    "unpaired": (
        sweep(compared=lambda lo, hi: [b - a for a, b in zip(sorted(lo), sorted(hi), strict=True)]),
        "pairs are lost",
    ),
    "mean difference for each": (
        sweep(compared=lambda lo, hi: [(sum(hi) - sum(lo)) / len(lo)] * len(lo)),
        "mean difference stands for each",
    ),
    "mean difference": (sweep(compared=lambda lo, hi: sum(hi) - sum(lo)), "seed by seed"),
    "sizes": (
        sweep(compared=lambda lo, hi: [abs(b - a) for a, b in zip(lo, hi, strict=True)]),
        "which end is ahead",
    ),
    "ratio": (
        sweep(compared=lambda lo, hi: [b / a for a, b in zip(lo, hi, strict=True)]),
        "value of the largest weight less",
    ),
    "weights left out": (
        lambda w, *a: sweep()((min(w), max(w)), *a),
        r"λ = 10 was never trained",
    ),
    "values only": (lambda *a: sweep()(*a)[0], "values and the differences"),
    "no return": (lambda *a: None, "return missing"),
}

RIGHT = {"05.1": RIGHT_5_1, "05.2": RIGHT_5_2, "05.3": RIGHT_5_3, "05.4": RIGHT_5_4}
WRONG = {"05.1": WRONG_5_1, "05.2": WRONG_5_2, "05.3": WRONG_5_3, "05.4": WRONG_5_4}


def test_a_values_list_without_its_weights_is_no_dictionary():
    def run(*arguments):
        values, differences = sweep()(*arguments)
        return list(values.values()), differences

    with pytest.raises(CheckFailed, match=r"The values are a dictionary .* this is a list"):
        check("05.4", run)


def test_the_witness_reads_every_spot():
    labels = torch.arange(40) % 4
    images = spots(labels)
    assert images.shape == (40, 1, 6, 6)
    assert -1 <= images.min() < images.max() <= 1
    assert torch.equal(brightest(images), labels)
    corners = images[:4].mean((1,))
    # The faintest spot has the mean 2 * 0.6 * 3.8 / 9 - 1; its nine pixels have noise of 0.05 each.
    faintest = 2 * 0.6 * 3.8 / 9 - 1 - 5 * 0.05 / 3
    assert [
        corners[k][rows, columns].mean() > faintest
        for k, (rows, columns) in enumerate(
            (
                (slice(3), slice(3)),
                (slice(3), slice(3, 6)),
                (slice(3, 6), slice(3)),
                (slice(3, 6), slice(3, 6)),
            )
        )
    ] == [True] * 4


def test_a_generator_obeys_only_where_d_is_told():
    accuracy = {}
    for name, answer in {"told": costs(), "deaf": costs(told=torch.zeros_like)}.items():
        images, labels = play(answer)
        accuracy[name] = (brightest(images) == labels).float().mean().item()
    assert accuracy["told"] > 0.9
    assert accuracy["deaf"] < 0.5


def test_playing_repeats_itself_and_leaves_the_random_state():
    torch.manual_seed(3)
    expected = torch.rand(2)
    torch.manual_seed(3)
    first, _ = play(costs(), seed=1)
    assert torch.equal(torch.rand(2), expected)
    assert torch.equal(play(costs(), seed=1)[0], first)
