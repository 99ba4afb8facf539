"""Right answers, however written, are accepted; the usual wrong ones are rejected with the fitting reason."""

import math

import numpy as np
import pytest
import torch
from scipy.stats import ks_2samp, ttest_ind

from medgan_course.exercises.checks_03 import pairs, reported
from medgan_course.metrics.distribution import frechet_distance
from medgan_course.metrics.fidelity import psnr
from medgan_course.metrics.hypothesis import ks_two_sample
from medgan_course.metrics.memorisation import memorisation


def squares(x, y):
    return (x - y).square().mean((1, 2, 3))


def audit(
    *,
    error=squares,
    value=lambda mse, x, y, report: 10 * torch.log10(4 / mse),
    used=lambda mse, x, y, report: mse.sqrt() * 10 ** (report / 20),
):
    """Return an audit with exchangeable parts, to make mistakes with."""

    def both(x, y, report):
        mse = error(x, y)
        return value(mse, x, y, report), used(mse, x, y, report)

    return both


def by_library(x, y, report):
    right = psnr(x, y, data_range=2)
    return right, 2 * 10 ** ((report - right) / 20)


def by_numpy(x, y, report):
    mse = np.mean((x.numpy() - y.numpy()) ** 2, axis=(1, 2, 3))
    return 20 * np.log10(2) - 10 * np.log10(mse), np.sqrt(mse * 10 ** (report.numpy() / 10))


def one_by_one(x, y, report):
    right, used = [], []
    for a, b, r in zip(x, y, report, strict=True):
        error = torch.nn.functional.mse_loss(a, b).item()
        right.append(10 * math.log10(4 / error))
        used.append(math.sqrt(error * 10 ** (r.item() / 10)))
    return [right, used]


def value_is(function):
    return audit(value=lambda mse, x, y, report: function(mse, x, y))


def used_is(function):
    return audit(used=lambda mse, x, y, report: function(mse, report))


def own_range(y):
    return y.amax((1, 2, 3)) - y.amin((1, 2, 3))


RIGHT_3_1 = {"plain": audit(), "library": by_library, "numpy": by_numpy, "one by one": one_by_one}
WRONG_3_1 = {
    "batch": (
        audit(error=lambda x, y: squares(x, y).mean().expand(len(x))),
        "PSNR: .*averaged over the whole batch",
    ),
    "batch, one number": (audit(error=lambda x, y: squares(x, y).mean()), "one number for all of them"),
    "factor 20": (value_is(lambda m, x, y: 20 * (4 / m).log10()), "factor is 20"),
    "factor 10 on a root": (value_is(lambda m, x, y: 10 * (2 / m.sqrt()).log10()), "factor is 10 on a root"),
    "range not squared": (value_is(lambda m, x, y: 10 * (2 / m).log10()), "range is not squared"),
    "natural log": (value_is(lambda m, x, y: 10 * (4 / m).log()), "natural logarithm"),
    "turned": (value_is(lambda m, x, y: 10 * (m / 4).log10()), "sign is turned"),
    "sum": (audit(error=lambda x, y: (x - y).square().sum((1, 2, 3))), "added up over the image"),
    "absolute": (audit(error=lambda x, y: (x - y).abs().mean((1, 2, 3))), "absolute error"),
    "range 1": (value_is(lambda m, x, y: 10 * (1 / m).log10()), "range is 1"),
    "range 255": (value_is(lambda m, x, y: 10 * (255**2 / m).log10()), "range is 255"),
    "own range": (value_is(lambda m, x, y: 10 * (own_range(y) ** 2 / m).log10()), "truth at hand, which"),
    "own maximum": (
        value_is(lambda m, x, y: 10 * (y.amax((1, 2, 3)) ** 2 / m).log10()),
        "largest value of the truth at hand",
    ),
    "maximum": (value_is(lambda m, x, y: 10 * (y.max() ** 2 / m).log10()), "largest value of all truths"),
    "range of all": (
        value_is(lambda m, x, y: 10 * ((y.max() - y.min()) ** 2 / m).log10()),
        "happen to span",
    ),
    "report returned": (lambda x, y, r: (r, r), "report is returned as it was"),
    "squared range": (used_is(lambda m, r: m * 10 ** (r / 10)), "a root is missing"),
    "tenth": (used_is(lambda m, r: m.sqrt() * 10 ** (r / 10)), "10 stands where the root needs 20"),
    "root of error": (used_is(lambda m, r: m * 10 ** (r / 20)), "root of the error is missing"),
    "base e": (used_is(lambda m, r: m.sqrt() * (r / 20).exp()), "base e"),
    "multiple": (used_is(lambda m, r: m.sqrt() * 10 ** (r / 20) / 2), "multiple of 2"),
    "inverse": (used_is(lambda m, r: 4 / (m.sqrt() * 10 ** (r / 20))), "sign turned"),
    "batch in the range": (
        used_is(lambda m, r: m.mean().sqrt() * 10 ** (r / 20)),
        "range used: .*averaged over the whole batch",
    ),
    "truth's": (audit(used=lambda m, x, y, r: own_range(y)), "need not have used that one"),
    "two": (audit(used=lambda m, x, y, r: torch.full_like(m, 2)), "should have been used"),
    "decibels": (used_is(lambda m, r: r - 10 * (4 / m).log10()), "not the range that explains it"),
    "decibels turned": (used_is(lambda m, r: 10 * (4 / m).log10() - r), "and with its sign"),
    "infinite": (value_is(lambda m, x, y: m / 0), "PSNR is not finite"),
    "swapped": (lambda *a: audit()(*a)[::-1], r"PSNR: the result is another tensor.*20 dB"),
    "one thing": (
        lambda *a: audit()(*a)[0],
        "PSNR and the range used, but returns a Tensor",
    ),
    "words": (lambda *a: (audit()(*a)[0], "255"), "must be numbers"),
    "square images only": (
        audit(error=lambda x, y: (x - y).view(len(x), -1, 48).square().mean((1, 2))),
        "raised RuntimeError",
    ),
    "in place": (lambda x, y, r: audit()(x.sub_(y), y, r), "in place"),
}


def floor(
    *,
    splits=20,
    order=lambda features, n: torch.randperm(len(features)),
    halves=lambda rows, n: (rows[:n], rows[n : 2 * n]),
    average=lambda values: values.mean(),
    fit=lambda n, m: (m / n).sum() / (1 / n**2).sum(),
):
    """Return a floor with exchangeable parts, to make mistakes with."""

    def both(features, sizes, distance):
        means = []
        for n in sizes:
            values = []
            for _ in range(splits):
                a, b = halves(order(features, n), n)
                values.append(distance(features[a], features[b]))
            means.append(average(torch.tensor(values, dtype=torch.float64)))
        means = torch.stack(means)
        return means, fit(torch.tensor(sizes, dtype=torch.float64), means)

    return both


def by_lstsq(features, sizes, distance):
    draw = np.random.default_rng(3)
    table = np.zeros((25, len(sizes)))
    for row in table:
        for k, n in enumerate(sizes):
            chosen = draw.choice(len(features), 2 * n, replace=False)
            row[k] = distance(features[chosen[::2]], features[chosen[1::2]])
    means = table.mean(0)
    c = np.linalg.lstsq(1 / np.array(sizes)[:, None], means, rcond=None)[0]
    return list(means), c


def by_shuffling(features, sizes, distance):
    means = {}
    for n in sizes:
        total = 0.0
        for _ in range(30):
            shuffled = features[torch.randperm(len(features))]
            total += distance(shuffled[:n], shuffled[-n:])
        means[n] = total / 30
    c = sum(m / n for n, m in means.items()) / sum(n**-2 for n in means)
    return tuple(means[n] for n in sizes), c


def as_in_the_library(features, sizes, distance):
    from medgan_course.metrics.distribution import floor as library

    means = torch.tensor([library(distance, features, n=n).value for n in sizes])
    n = torch.tensor(sizes)
    return means, float((means / n).sum() / (n**-2.0).sum())


def first_rows(features, sizes, distance):
    return floor(order=lambda f, n: torch.randperm(2 * n))(features, sizes, distance)


def blocks(features, n):
    start = int(torch.randint(len(features) - 2 * n, ()))
    return torch.arange(start, start + 2 * n)


def reseeded(features, n):
    torch.manual_seed(0)
    return torch.randperm(len(features))


def polyfit(x, y):
    return np.polyfit(np.asarray(x), np.asarray(y), 1)


RIGHT_3_2 = {
    "plain": floor(),
    "more splits": floor(splits=31),
    "lstsq": by_lstsq,
    "shuffled": by_shuffling,
    "library": as_in_the_library,
}
WRONG_3_2 = {
    "one split": (floor(splits=1), "1 split, and 20 are wanted"),
    "five splits": (floor(splits=5), "5 splits, and 20 are wanted"),
    "overlapping": (
        floor(halves=lambda rows, n: (rows[:n], rows[torch.randperm(len(rows))][:n])),
        "share rows",
    ),
    "with itself": (floor(halves=lambda rows, n: (rows[:n], rows[:n])), "share rows"),
    "with replacement": (
        floor(order=lambda f, n: torch.randint(len(f), (2 * n,))),
        "share rows",
    ),
    "same row": (floor(halves=lambda rows, n: (rows[:1].repeat(n), rows[n : 2 * n])), "more than once"),
    "half sizes": (
        floor(halves=lambda rows, n: (rows[: n // 2], rows[n // 2 : n])),
        "both halves of a split",
    ),
    "against the rest": (floor(halves=lambda rows, n: (rows[:n], rows[n:])), "both halves of a split"),
    "seed in the loop": (floor(order=reseeded), "same again and again"),
    "first rows": (first_rows, "neighbours in the list, or never"),
    "blocks": (floor(order=blocks), "neighbours in the list"),
    "median": (floor(average=torch.median), "median"),
    "interpolated median": (floor(average=lambda v: v.quantile(0.5)), "median"),
    "smallest": (floor(average=torch.min), "smallest"),
    "sum": (floor(average=torch.sum), "added up"),
    "spread": (floor(average=torch.std), "spread"),
    "last": (floor(average=lambda v: v[-1]), "only one split"),
    "first": (floor(average=lambda v: v[0]), "only the first split"),
    "sorted sizes": (lambda f, s, d: floor()(f, sorted(s)[::-1], d), "another order"),
    "with intercept": (floor(fit=lambda n, m: polyfit(1 / n, m)[0]), "has an intercept"),
    "intercept": (floor(fit=lambda n, m: polyfit(1 / n, m)[1]), "it is the intercept"),
    "grows": (floor(fit=lambda n, m: (m * n).sum() / (n * n).sum()), "grows with n"),
    "against n": (floor(fit=lambda n, m: polyfit(n, m)[0]), "line against n"),
    "mean of n m": (floor(fit=lambda n, m: (n * m).mean()), "averaged over the sizes"),
    "first size": (floor(fit=lambda n, m: n[0] * m[0]), "only the first size"),
    "last size": (floor(fit=lambda n, m: n[-1] * m[-1]), "only the last size"),
    "exponent": (floor(fit=lambda n, m: polyfit(n.log(), m.log())[0]), "exponent"),
    "logarithms": (floor(fit=lambda n, m: (m * n).log().mean().exp()), "logarithms are fitted"),
    "no denominator": (floor(fit=lambda n, m: (m / n).sum()), "divided by is missing"),
    "made up": (floor(fit=lambda n, m: 7.0), r"c: the result is 7, .*derivative"),
    "no distance": (lambda f, s, d: ([1.0] * len(s), 1.0), "never called"),
    "own distance": (
        lambda f, s, d: floor()(f, s, lambda a, b: frechet_distance(a, b)),
        "distance is never called",
    ),
    "one size": (lambda f, s, d: floor()(f, s[:1], d), "never asked about sets of 30"),
    "one mean": (lambda f, s, d: (floor()(f, s, d)[0].mean(), 1.0), "must have shape"),
    "means only": (
        lambda f, s, d: floor()(f, s, d)[0].tolist(),
        "the means and c, but returns a list of",
    ),
    "no return": (lambda f, s, d: None, "return missing"),
}


def p_values(real, fake, test=ks_2samp):
    return {name: float(test(real[name].numpy(), fake[name].numpy()).pvalue) for name in real}


def at(level, test=ks_2samp):
    """Hold every p against ``level(number of tests, number of images)``."""

    def differing(real, fake):
        images = len(next(iter(real.values())))
        return {name for name, p in p_values(real, fake, test).items() if p < level(len(real), images)}

    return differing


def stepping_down(real, fake):
    found, p = [], p_values(real, fake)
    for place, name in enumerate(sorted(p, key=p.get)):
        if p[name] > 0.05 / (len(p) - place):
            break
        found.append(name)
    return found


def by_library_ks(real, fake):
    return tuple(name for name, each in ks_two_sample(real, fake).items() if each.adjusted < 0.05)


def stepping_up(real, fake):
    p = p_values(real, fake)
    ranked = sorted(p, key=p.get)
    last = max((i for i, name in enumerate(ranked, 1) if p[name] <= 0.05 * i / len(p)), default=0)
    return ranked[:last]


def smallest(real, fake):
    p = p_values(real, fake)
    name = min(p, key=p.get)
    return [name] if p[name] < 0.05 / len(p) else []


def pooled(real, fake):
    p = ks_2samp(torch.cat(list(real.values())), torch.cat(list(fake.values()))).pvalue
    return list(real) if p < 0.05 else []


def any_differs(real, fake):
    return list(real) if min(p_values(real, fake).values()) < 0.05 / len(real) else []


def one_sided(alternative):
    return lambda a, b: ks_2samp(a, b, alternative=alternative)


RIGHT_3_3 = {
    "Bonferroni": at(lambda tests, images: 0.05 / tests),
    "Holm": stepping_down,
    "library": by_library_ks,
    "Šidák": at(lambda tests, images: 1 - 0.95 ** (1 / tests)),
    "a generator": lambda real, fake: (name for name in stepping_down(real, fake)),
}
WRONG_3_3 = {
    "uncorrected": (at(lambda tests, images: 0.05), r"In \d+ of 60 pairs .* do not differ"),
    "stricter, not enough": (at(lambda tests, images: 0.01), r"In \d+ of 60 pairs"),
    "Benjamini and Hochberg": (stepping_up, "limits the .share. of false alarms"),
    "turned": (lambda r, f: set(r) - at(lambda t, n: 0.05)(r, f), "a small p speaks for a difference"),
    "multiplied level": (at(lambda tests, images: 0.05 * tests), r"In \d+ of 60 pairs"),
    "by images": (at(lambda tests, images: 0.05 / images / tests), "Two statistics with p = 0.001"),
    "far too strict": (at(lambda tests, images: 1e-9), "for the number of tests, here four, not"),
    "smallest only": (smallest, "every statistic has its own verdict"),
    "t test": (at(lambda tests, images: 0.05 / tests, ttest_ind), "compares means"),
    "less": (at(lambda tests, images: 0.05 / tests, one_sided("less")), "its opposite was"),
    "greater": (at(lambda tests, images: 0.05 / tests, one_sided("greater")), "its opposite was"),
    "pooled": (pooled, "from its own p"),
    "all if any": (any_differs, "a verdict from its own p"),
    "first three": (lambda r, f: stepping_down(r, f)[:3], "differ clearly, 3 of them were named"),
    "none": (lambda real, fake: [], "No statistic was named"),
    "p values": (lambda r, f: list(p_values(r, f).values()), "its answer holds a float"),
    "booleans": (lambda r, f: [p < 0.01 for p in p_values(r, f).values()], "its answer holds a bool"),
    "dictionary": (p_values, "as a list or a set, but returns a dict"),
    "one name": (lambda real, fake: "higher", "but returns a str"),
    "no return": (lambda real, fake: None, "return missing"),
    "another name": (lambda real, fake: ["brightness"], "holds brightness"),
}


def distances(images, bank):
    return torch.cdist(images.flatten(1), bank.flatten(1)).amin(1)


def by_quantile(generated, train, held_out):
    usual = torch.quantile(distances(held_out, train), 0.02)
    return bool((distances(generated, train) < usual).float().mean() > 0.15)


def by_memorisation(generated, train, held_out):
    return memorisation(generated, train, held_out).score.low > 0.5


def by_ks(generated, train, held_out):
    near, usual = distances(generated, train).numpy(), distances(held_out, train).numpy()
    return ks_2samp(near, usual, alternative="greater").pvalue < 1e-3


def by_neighbours_of_training(generated, train, held_out):
    between = torch.cdist(train.flatten(1), train.flatten(1)).fill_diagonal_(math.inf).amin(1)
    return torch.tensor(((distances(generated, train) < between.min()).sum() > 3).item())


RIGHT_3_4 = {
    "quantile": by_quantile,
    "memorisation": by_memorisation,
    "KS": by_ks,
    "among training images": by_neighbours_of_training,
}
WRONG_3_4 = {
    "equal pixels": (lambda g, t, h: bool((distances(g, t) < 1e-6).any()), "evaded by a grain"),
    "fixed number": (lambda g, t, h: bool((distances(g, t) < 1.0).any()), "evaded by a grain"),
    "always": (lambda g, t, h: True, "honest generator was flagged"),
    "never": (lambda g, t, h: False, "hands out its training images was not flagged"),
    "median": (
        lambda g, t, h: bool(distances(g, t).median() < distances(h, t).median()),
        "honest generator was flagged.*but for chance",
    ),
    "above one half": (lambda g, t, h: memorisation(g, t, h).closer > 0.5, "honest generator was flagged"),
    "any below the smallest": (
        lambda g, t, h: bool(distances(g, t).min() < distances(h, t).quantile(0.05)),
        "honest generator was flagged",
    ),
    "turned": (
        lambda g, t, h: bool(distances(g, t).median() > 2 * distances(h, t).median()),
        "hands out its training images was not flagged",
    ),
    "near held-out": (
        lambda g, t, h: bool((distances(g, h) < 1e-3 * h.std()).any() or by_quantile(g, t, h)),
        "near held-out ones was flagged",
    ),
    "means": (
        lambda g, t, h: bool(distances(g, t).mean() < 0.5 * distances(h, t).mean()),
        "one in three is a noisy copy",
    ),
    "nearly all": (lambda g, t, h: memorisation(g, t, h).closer > 0.9, "one in three is a noisy copy"),
    "mean of all distances": (
        lambda g, t, h: bool(
            torch.cdist(g.flatten(1), t.flatten(1)).mean()
            < 0.8 * torch.cdist(h.flatten(1), t.flatten(1)).mean()
        ),
        "nearest training image",
    ),
    "each image": (lambda g, t, h: distances(g, t) < 1, "One verdict is wanted for the whole set"),
    "number": (lambda g, t, h: memorisation(g, t, h).closer, "True or False, but returns a float"),
    "no return": (lambda g, t, h: None, "return missing"),
    "not flattened": (lambda g, t, h: bool((g - t).norm() < 1), "raised RuntimeError"),
    "in place": (lambda g, t, h: bool(g.sub_(g.mean()).max() > 9), "in place"),
}


RIGHT = {"03.1": RIGHT_3_1, "03.2": RIGHT_3_2, "03.3": RIGHT_3_3, "03.4": RIGHT_3_4}
WRONG = {"03.1": WRONG_3_1, "03.2": WRONG_3_2, "03.3": WRONG_3_3, "03.4": WRONG_3_4}


def test_the_reports_use_the_ranges_that_the_text_says():
    y = torch.tensor([-1.0, 0.0, 0.5, 1.0]).view(1, 1, 2, 2).repeat(2, 1, 1, 1)
    y[1] /= 2
    x = y + 0.1
    # An error of 0.1 everywhere: 20 dB and 20 times the logarithm of the range.
    expected = {"A": [255, 255], "B": [2, 1], "C": [1, 1]}
    for name, report in reported(x, y).items():
        wanted = [20 + 20 * math.log10(used) for used in expected[name]]
        assert report.tolist() == pytest.approx(wanted, abs=1e-4)


def test_pairs_differ_where_they_should_and_nowhere_else():
    real, fake = (
        torch.stack([torch.stack(list(p[k].values())) for p in pairs(differing=5, seed=0)]) for k in (0, 1)
    )
    assert real.shape == (60, 20, 80)
    shift = (fake - real).mean((0, 2))
    assert shift[:5].tolist() == pytest.approx([1.5] * 5, abs=0.2)
    assert shift[5:].tolist() == pytest.approx([0.0] * 15, abs=0.2)
