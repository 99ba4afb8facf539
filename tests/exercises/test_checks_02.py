"""Chapter 02: right answers, however written, are accepted; the usual wrong ones are told what is wrong."""

import math

import torch
from torch import nn
from torch.distributions import Normal
from torch.nn import functional as F

from medgan_course.exercises import check

softplus = F.softplus


# 2.1 ---------------------------------------------------------------------------------------------------


def by_softplus(real, fake):
    return softplus(-real).mean() + softplus(fake).mean(), softplus(-fake).mean()


def by_cross_entropy(real, fake):
    bce = F.binary_cross_entropy_with_logits
    ones, zeros = torch.ones_like(fake), torch.zeros_like(fake)
    return [bce(real, torch.ones_like(real)) + bce(fake, zeros), bce(fake, ones)]


def by_logsigmoid(real, fake):
    value = F.logsigmoid(real).mean() + (F.logsigmoid(fake) - fake).mean()
    return -value.item(), -F.logsigmoid(fake).mean().item()


def one_by_one(real, fake):
    def log1pexp(a):
        return max(a, 0.0) + math.log1p(math.exp(-abs(a)))

    real, fake = real.flatten().tolist(), fake.flatten().tolist()
    on_real = sum(log1pexp(-a) for a in real) / len(real)
    on_fake = sum(log1pexp(a) for a in fake) / len(fake)
    return torch.tensor([on_real + on_fake, sum(log1pexp(-a) for a in fake) / len(fake)])


def with_probabilities(log=torch.log, halves=1.0, rejected=lambda p: 1 - p, mean=torch.mean):
    def costs(real, fake):
        p_real, p_fake = real.sigmoid(), fake.sigmoid()
        on_real, on_fake = -mean(log(p_real)), -mean(log(rejected(p_fake)))
        return halves * (on_real + on_fake), -mean(log(p_fake))

    return costs


def listing(real, fake):
    p_real, p_fake = real.sigmoid(), fake.sigmoid()
    on_g = -torch.log2(p_fake).mean()
    on_d = -(torch.log(p_real).mean() + torch.log(1 - p_fake).mean()) / 2
    return on_d + on_g


def only_d(change):
    return lambda real, fake: (change(real, fake), by_softplus(real, fake)[1])


def only_g(change):
    return lambda real, fake: (by_softplus(real, fake)[0], change(real, fake))


def clamped_cross_entropy(real, fake):
    p_real, p_fake = real.sigmoid(), fake.sigmoid()
    bce = F.binary_cross_entropy
    on_d = bce(p_real, torch.ones_like(real)) + bce(p_fake, torch.zeros_like(fake))
    return on_d, bce(p_fake, torch.ones_like(fake))


def together(real, fake):
    target = torch.cat([torch.ones_like(real), torch.zeros_like(fake)])
    return F.binary_cross_entropy_with_logits(torch.cat([real, fake]), target)


RIGHT_2_1 = {
    "softplus": by_softplus,
    "cross-entropy": by_cross_entropy,
    "logsigmoid, floats": by_logsigmoid,
    "one by one": one_by_one,
}
WRONG_2_1 = {
    "the listing": (listing, "one number, but two players"),
    "base 2": (with_probabilities(torch.log2), "in L_D, it looks as if the logarithm is to base 2"),
    "base 10": (with_probabilities(torch.log10), "in L_D, it looks as if the logarithm is to base 10"),
    "base 2 in G": (
        only_g(lambda r, f: -torch.log2(f.sigmoid()).mean()),
        "in L_G, it looks as if the logarithm is to base 2",
    ),
    "half": (with_probabilities(halves=0.5), "averaged where they are added"),
    "fakes as data": (with_probabilities(rejected=lambda p: p), "the fakes are to pass for data"),
    "labels swapped": (
        only_d(lambda r, f: softplus(r).mean() + softplus(-f).mean()),
        "in L_D, .* or their labels",
    ),
    "places swapped": (lambda r, f: by_softplus(f, r), "in L_D, .* have changed places"),
    "V": (only_d(lambda r, f: -by_softplus(r, f)[0]), "in L_D, .* the sign is turned"),
    "real only": (only_d(lambda r, f: softplus(-r).mean()), "the fakes' half is missing"),
    "fakes only": (only_d(lambda r, f: softplus(f).mean()), "the real images' half is missing"),
    "sums": (with_probabilities(mean=torch.sum), "in L_D, .* added up where a mean"),
    "thrown together": (only_d(together), "in one mean, but each has its own"),
    "thrown together, doubled": (
        only_d(lambda r, f: 2 * together(r, f)),
        "thrown together, but each has a mean of its own",
    ),
    "mean first": (
        only_d(lambda r, f: -(r.sigmoid().mean().log() + (1 - f.sigmoid().mean()).log())),
        "mean is taken before the logarithm",
    ),
    "logits averaged": (only_d(lambda r, f: by_softplus(r.mean(), f.mean())[0]), "logits are averaged first"),
    "sigmoid twice": (lambda r, f: by_softplus(r.sigmoid(), f.sigmoid()), "sigma is applied twice"),
    "no logarithm": (only_d(lambda r, f: (1 - r).mean() + f.mean()), "sigma is missing"),
    "critic": (only_d(lambda r, f: f.mean() - r.mean()), "Wasserstein critic"),
    "total": (only_d(lambda r, f: sum(by_softplus(r, f))), "holds G's cost as well"),
    "turned pair": (lambda r, f: by_softplus(r, f)[::-1], "the pair is in the wrong order"),
    "minimax": (only_g(lambda r, f: -softplus(f).mean()), "it is the minimax cost"),
    "detected": (only_g(lambda r, f: softplus(f).mean()), "paid for being detected"),
    "G's sign": (only_g(lambda r, f: -softplus(-f).mean()), "in L_G, .* the sign is turned"),
    "G on real images": (only_g(lambda r, f: softplus(-r).mean()), "made of the real images' logits"),
    "G with real images": (
        only_g(lambda r, f: softplus(-r).mean() + softplus(-f).mean()),
        "which G has no part in",
    ),
    "G with rejected real images": (
        only_g(lambda r, f: softplus(r).mean() + softplus(-f).mean()),
        "which G cannot change",
    ),
    "G's probability": (only_g(lambda r, f: (1 - f.sigmoid()).mean()), "it is a probability"),
    "G, a sum": (only_g(lambda r, f: softplus(-f).sum()), "in L_G, .* added up"),
    "G's total": (only_g(lambda r, f: sum(by_softplus(r, f))), "holds D's cost as well"),
    "G, mean first": (only_g(lambda r, f: -f.sigmoid().mean().log()), "in L_G, .* before the logarithm"),
    "G, logits averaged": (only_g(lambda r, f: softplus(-f.mean())), "in L_G, .* averaged first"),
    "G, sigmoid twice": (only_g(lambda r, f: softplus(-f.sigmoid()).mean()), "in L_G, .* applied twice"),
    "G against a critic": (only_g(lambda r, f: -f.mean()), "the mean logit"),
    "G, half": (only_g(lambda r, f: softplus(-f).mean() / 2), "in L_G, .* halved"),
    "G, base 10": (only_g(lambda r, f: -torch.log10(f.sigmoid()).mean()), "in L_G, .* base 10"),
    "probabilities": (with_probabilities(), "where D is sure .* is lost"),
    "a small number": (with_probabilities(lambda p: torch.log(p + 1e-8)), "where D is sure .* cut off"),
    "clamped": (clamped_cross_entropy, "where D is sure .* cut off"),
    "squares": (
        only_d(lambda r, f: ((1 - r.sigmoid()) ** 2).mean() + (f.sigmoid() ** 2).mean()),
        "in L_D, the result is .* Write down what D lowers",
    ),
    "squares in G": (
        only_g(lambda r, f: ((1 - f.sigmoid()) ** 2).mean()),
        "in L_G, the result is .* fakes' logits only",
    ),
    "for each image": (
        lambda r, f: (softplus(-r), softplus(-f)),
        "L_D in .* must return one number, but returns shape",
    ),
    "nothing": (lambda r, f: None, "return missing"),
    "three": (lambda r, f: (softplus(-r).mean(), softplus(f).mean(), softplus(-f).mean()), "the pair"),
    "in place": (lambda r, f: by_softplus(r.neg_().neg(), f), "in place"),
}


# 2.2 ---------------------------------------------------------------------------------------------------


def as_in_the_chapter(G, D, g_optimiser, d_optimiser, x, z):
    fake = G(z)
    d_optimiser.zero_grad()
    (softplus(-D(x)).mean() + softplus(D(fake.detach())).mean()).backward()
    d_optimiser.step()
    g_optimiser.zero_grad()
    softplus(-D(fake)).mean().backward()
    g_optimiser.step()


def twice_generated(G, D, g_optimiser, d_optimiser, x, z):
    bce = nn.BCEWithLogitsLoss()
    with torch.no_grad():
        fake = G(z)
    real_logit, fake_logit = D(x), D(fake)
    bce(real_logit, torch.ones_like(real_logit)).backward()
    bce(fake_logit, torch.zeros_like(fake_logit)).backward()
    d_optimiser.step()
    D.zero_grad()
    fake_logit = D(G(z))
    bce(fake_logit, torch.ones_like(fake_logit)).backward()
    g_optimiser.step()
    G.zero_grad(set_to_none=False)
    D.zero_grad()


def frozen(G, D, g_optimiser, d_optimiser, x, z):
    G.requires_grad_(False)
    cost = -(F.logsigmoid(D(x)).mean() + F.logsigmoid(-D(G(z))).mean())
    d_optimiser.zero_grad()
    cost.backward()
    d_optimiser.step()
    G.requires_grad_(True)
    D.requires_grad_(False)
    g_optimiser.zero_grad()
    (-F.logsigmoid(D(G(z)))).mean().backward()
    g_optimiser.step()
    D.requires_grad_(True)


def by_grad(G, D, g_optimiser, d_optimiser, x, z):
    def move(optimiser, cost, net):
        weights = list(net.parameters())
        for weight, gradient in zip(weights, torch.autograd.grad(cost, weights), strict=True):
            weight.grad = gradient
        optimiser.step()

    move(d_optimiser, softplus(-D(x)).mean() + softplus(D(G(z))).mean(), D)
    move(g_optimiser, softplus(-D(G(z))).mean(), G)


def listing_2_2(retain=True, d_first=False):
    def step(G, D, g_optimiser, d_optimiser, x, z):
        on_fake = D(G(z))
        loss_d = softplus(-D(x)).mean() + softplus(on_fake).mean()
        loss_g = softplus(-on_fake).mean()
        g_optimiser.zero_grad()
        d_optimiser.zero_grad()
        first, second = (loss_d, loss_g) if d_first else (loss_g, loss_d)
        first.backward(retain_graph=retain)
        second.backward()
        d_optimiser.step()
        g_optimiser.step()

    return step


def moved_too_early(G, D, g_optimiser, d_optimiser, x, z):
    on_fake = D(G(z))
    loss_d = softplus(-D(x)).mean() + softplus(on_fake).mean()
    d_optimiser.zero_grad()
    loss_d.backward(retain_graph=True)
    d_optimiser.step()
    g_optimiser.zero_grad()
    softplus(-on_fake).mean().backward()
    g_optimiser.step()


def not_detached(G, D, g_optimiser, d_optimiser, x, z):
    fake = G(z)
    d_optimiser.zero_grad()
    g_optimiser.zero_grad()
    (softplus(-D(x)).mean() + softplus(D(fake)).mean()).backward(retain_graph=True)
    d_optimiser.step()
    softplus(-D(fake)).mean().backward()
    g_optimiser.step()


def parts(
    *,
    d_cost=lambda D, x, fake: softplus(-D(x)).mean() + softplus(D(fake)).mean(),
    g_cost=lambda D, x, fake: softplus(-D(fake)).mean(),
    clear_d=True,
    clear_g=True,
    d_moves=True,
    noise=lambda z: z,
):
    """Return a step with exchangeable parts, to make mistakes with."""

    def step(G, D, g_optimiser, d_optimiser, x, z):
        fake = G(noise(z))
        if clear_d:
            d_optimiser.zero_grad()
        d_cost(D, x, fake.detach()).backward()
        if d_moves:
            d_optimiser.step()
        if clear_g:
            g_optimiser.zero_grad()
        g_cost(D, x, fake).backward()
        g_optimiser.step()

    return step


def cleared_between(G, D, g_optimiser, d_optimiser, x, z):
    fake = G(z)
    (softplus(-D(x)).mean() + softplus(D(fake.detach())).mean()).backward()
    d_optimiser.step()
    d_optimiser.zero_grad()
    g_optimiser.zero_grad()
    softplus(-D(fake)).mean().backward()
    g_optimiser.step()


def g_first(G, D, g_optimiser, d_optimiser, x, z):
    g_optimiser.zero_grad()
    softplus(-D(G(z))).mean().backward()
    g_optimiser.step()
    d_optimiser.zero_grad()
    (softplus(-D(x)).mean() + softplus(D(G(z).detach())).mean()).backward()
    d_optimiser.step()


def at_once(G, D, g_optimiser, d_optimiser, x, z):
    fake = G(z)
    g_optimiser.zero_grad()
    softplus(-D(fake)).mean().backward()
    d_optimiser.zero_grad()
    (softplus(-D(x)).mean() + softplus(D(fake.detach())).mean()).backward()
    d_optimiser.step()
    g_optimiser.step()


def left_frozen(G, D, g_optimiser, d_optimiser, x, z):
    as_in_the_chapter(G, D, g_optimiser, d_optimiser, x, z)
    D.requires_grad_(False)


def g_leaks_only(G, D, g_optimiser, d_optimiser, x, z):
    g_optimiser.zero_grad()
    d_optimiser.zero_grad()
    (softplus(-D(x)).mean() + softplus(D(G(z))).mean()).backward()
    d_optimiser.step()
    g_optimiser.step()


RIGHT_2_2 = {
    "as in the chapter": as_in_the_chapter,
    "generated twice": twice_generated,
    "frozen": frozen,
    "by grad": by_grad,
}
WRONG_2_2 = {
    "unrepaired": (listing_2_2(), "D's move: it looks as if G's cost pulls at D as well"),
    "D's cost first": (listing_2_2(d_first=True), "G's cost pulls at D as well"),
    "graph not kept": (listing_2_2(retain=False), "two backward passes run through one graph"),
    "moved too early": (moved_too_early, "a network moved between an answer and the backward pass"),
    "not detached": (not_detached, "G's move: it looks as if D's cost pulls at G as well"),
    "D's cost only": (g_leaks_only, "G's move: it looks as if only D's cost pulls at G"),
    "detached for both": (parts(g_cost=lambda D, x, f: softplus(-D(f.detach())).mean()), "G has not moved"),
    "D stands": (parts(d_moves=False), "D has not moved"),
    "D goes up": (
        parts(d_cost=lambda D, x, f: -softplus(-D(x)).mean() - softplus(D(f)).mean()),
        "D moved the wrong way",
    ),
    "D sees real only": (parts(d_cost=lambda D, x, f: softplus(-D(x)).mean()), "D has seen no fakes"),
    "D sees fakes only": (parts(d_cost=lambda D, x, f: softplus(D(f)).mean()), "D has seen fakes only"),
    "labels swapped": (
        parts(d_cost=lambda D, x, f: softplus(D(x)).mean() + softplus(-D(f)).mean()),
        "D's move: .* or their labels",
    ),
    "fakes are data": (
        parts(d_cost=lambda D, x, f: softplus(-D(x)).mean() + softplus(-D(f)).mean()),
        "D is to call fakes data",
    ),
    "D works for G": (parts(d_cost=lambda D, x, f: softplus(-D(f)).mean()), "only G's cost pulls at D"),
    "G moves on squares": (
        parts(g_cost=lambda D, x, f: (D(f) - 1).square().mean()),
        "G's move: the result is another .* its own cost alone",
    ),
    "halves averaged": (
        parts(d_cost=lambda D, x, f: (softplus(-D(x)).mean() + softplus(D(f)).mean()) / 2),
        "averaged where they are added",
    ),
    "D never cleared": (parts(clear_d=False), "In step 2, D's move: .* that of the step before"),
    "D cleared between": (cleared_between, "In step 2, D's move: .* what G's turn left"),
    "G never cleared": (parts(clear_g=False), "In step 2, G's move: .* that of the step before"),
    "G goes up": (parts(g_cost=lambda D, x, f: -softplus(-D(f)).mean()), "G moved the wrong way"),
    "G is detected": (parts(g_cost=lambda D, x, f: softplus(D(f)).mean()), "paid for being detected"),
    "minimax": (parts(g_cost=lambda D, x, f: -softplus(D(f)).mean()), "the minimax cost"),
    "G first": (g_first, "G has moved before D"),
    "at once": (at_once, "D as it was before D's turn"),
    "fresh noise": (parts(noise=torch.randn_like), "D's move: the result is another.*the fakes G"),
    "points only": (parts(noise=lambda z: torch.randn(len(z), 3)), "D's move: the result is another"),
    "left frozen": (left_frozen, "still frozen"),
    "D moves as well": (
        lambda G, D, g, d, x, z: (as_in_the_chapter(G, D, g, d, x, z), d.step()),
        "D's move: the result is another",
    ),
    "x in place": (
        lambda G, D, g, d, x, z: as_in_the_chapter(G, D, g, d, x.mul_(2), z),
        "changed its argument number 5 in place",
    ),
}


# 2.3 ---------------------------------------------------------------------------------------------------


def by_distributions(x, data, generated, real_per_fake):
    return Normal(*data).log_prob(x) - Normal(*generated).log_prob(x) + math.log(real_per_fake)


def by_hand(x, data, generated, real_per_fake):
    (m, s), (n, t) = data, generated
    return (x - n) ** 2 / (2 * t * t) - (x - m) ** 2 / (2 * s**2) + math.log(real_per_fake * t / s)


def by_shares(x, data, generated, real_per_fake):
    share = torch.tensor(real_per_fake / (1 + real_per_fake))
    log_p = Normal(*data).log_prob(x.double()) + share.log()
    log_q = Normal(*generated).log_prob(x.double()) + (1 - share).log()
    return log_p - log_q


def densities(join):
    def best_logit(x, data, generated, real_per_fake):
        return join(Normal(*data).log_prob(x).exp(), Normal(*generated).log_prob(x).exp(), real_per_fake)

    return best_logit


def logs(join):
    def best_logit(x, data, generated, real_per_fake):
        return join(Normal(*data).log_prob(x), Normal(*generated).log_prob(x), real_per_fake)

    return best_logit


def variances(x, data, generated, r):
    (m, v), (n, w) = data, generated
    return by_distributions(x, (m, v**0.5), (n, w**0.5), r)


def no_heights(x, data, generated, r):
    (m, s), (n, t) = data, generated
    return ((x - n) / t) ** 2 / 2 - ((x - m) / s) ** 2 / 2 + math.log(r)


def no_half(x, data, generated, r):
    (m, s), (n, t) = data, generated
    return ((x - n) / t) ** 2 - ((x - m) / s) ** 2 + math.log(t / s) + math.log(r)


RIGHT_2_3 = {"distributions": by_distributions, "by hand": by_hand, "shares, in double": by_shares}
WRONG_2_3 = {
    "a probability": (lambda *a: by_distributions(*a).sigmoid(), "it is the probability"),
    "a share": (densities(lambda p, q, r: r * p / (r * p + q)), "it is the probability"),
    "turned round": (lambda *a: -by_distributions(*a), "changed places"),
    "turned round, but r": (logs(lambda p, q, r: q - p + math.log(r)), "but not their numbers"),
    "one for one": (logs(lambda p, q, r: p - q), "the mixture is left out"),
    "r upside down": (logs(lambda p, q, r: p - q - math.log(r)), "mixture is the wrong way round"),
    "r added": (logs(lambda p, q, r: p - q + r), "what is added to a logit is a logarithm"),
    "r multiplied": (logs(lambda p, q, r: (p - q) * r), "the logit is multiplied"),
    "ratio": (densities(lambda p, q, r: r * p / q), "without its logarithm"),
    "difference": (densities(lambda p, q, r: r * p - q), "difference of the densities"),
    "variance": (variances, "taken for the variance"),
    "heights": (no_heights, "height of the bells"),
    "no half": (no_half, "one half in the exponent"),
    "base 2": (densities(lambda p, q, r: torch.log2(r * p / q)), "base 2"),
    "base 10": (densities(lambda p, q, r: torch.log10(r * p / q)), "base 10"),
    "data only": (logs(lambda p, q, r: p + math.log(r)), "only the density of the data"),
    "densities": (densities(lambda p, q, r: torch.log(r * p / q)), "Near the middle .* rounded to 0"),
    "cut off": (
        densities(lambda p, q, r: torch.log(r * p + 1e-12) - torch.log(q + 1e-12)),
        "Near the middle .* rounded to 0",
    ),
    "one number": (lambda *a: by_distributions(*a).mean(), r"must return shape \(7,\)"),
    "flat": (lambda *a: by_distributions(*a).flatten(), r"must return shape \(2, 1, 5\)"),
    "the chapter's pair": (
        lambda x, *a: by_distributions(x, (0.0, 1.0), (1.5, 0.7), a[2]),
        "another tensor .* At one x",
    ),
}


# 2.4 ---------------------------------------------------------------------------------------------------


def slopes(value, x, y):
    x, y = torch.tensor([x, y], dtype=torch.float64).requires_grad_().unbind()
    return [slope.item() for slope in torch.autograd.grad(value(x, y), (x, y))]


def played(move, slopes=slopes):
    def play(value, x, y, rate, steps, turns):
        path = [(x, y)]
        for _ in range(steps):
            x, y = move(lambda x, y: slopes(value, x, y), x, y, rate, turns == "simultaneous")
            path.append((x, y))
        return torch.tensor(path)

    return play


def rightly(slopes, x, y, rate, at_once):
    along_x, along_y = slopes(x, y)
    new = x - rate * along_x
    if not at_once:
        along_y = slopes(new, y)[1]
    return new, y + rate * along_y


def always(at_once):
    return lambda slopes, x, y, rate, _: rightly(slopes, x, y, rate, at_once)


def signs(s, t):
    def move(slopes, x, y, rate, at_once):
        along_x, along_y = slopes(x, y)
        new = x + s * rate * along_x
        return new, y + t * rate * (along_y if at_once else slopes(new, y)[1])

    return move


def sgd(value, x, y, rate, steps, turns):
    x, y = (torch.tensor(v, requires_grad=True, dtype=torch.float64) for v in (x, y))
    lowers = torch.optim.SGD([x], lr=rate)
    raises = torch.optim.SGD([y], lr=rate, maximize=True)
    path = [[x.item(), y.item()]]
    for _ in range(steps):
        for optimiser in (lowers, raises):
            if optimiser is lowers or turns == "alternating":
                x.grad = y.grad = None
                value(x, y).backward()
            optimiser.step()
        path.append([x.item(), y.item()])
    return torch.tensor(path)


def functional(value, x, y, rate, steps, turns):
    place = torch.tensor([x, y], dtype=torch.float64)
    field = torch.func.grad(lambda p: value(p[0], p[1]))
    path = place.repeat(steps + 1, 1)
    for n in range(steps):
        new = path[n] + rate * torch.tensor([-1.0, 0.0]) * field(path[n])
        seen = path[n] if turns == "simultaneous" else new
        path[n + 1] = new + rate * torch.tensor([0.0, 1.0]) * field(seen)
    return path


def y_first(slopes, x, y, rate, at_once):
    if at_once:
        return rightly(slopes, x, y, rate, at_once)
    y = y + rate * slopes(x, y)[1]
    return x - rate * slopes(x, y)[0], y


def crossed(slopes, x, y, rate, at_once):
    return rightly(lambda a, b: slopes(a, b)[::-1], x, y, rate, at_once)


def too_late(value, x, y, rate, steps, turns):
    path = played(rightly)(value, x, y, rate, steps, turns)
    return torch.cat([path[1:], path[-1:]])


RIGHT_2_4 = {"slopes": played(rightly), "optimisers": sgd, "functional": functional}
WRONG_2_4 = {
    "always alternating": (played(always(False)), "With simultaneous .* y has seen where x has gone"),
    "always at once": (played(always(True)), "With alternating .* y has not seen"),
    "names turned": (
        lambda v, x, y, rate, steps, turns: played(rightly)(
            v, x, y, rate, steps, "alternating" if turns == "simultaneous" else "simultaneous"
        ),
        "With simultaneous .* y has seen",
    ),
    "both down": (played(signs(-1, -1)), "y wants V high"),
    "both up": (played(signs(1, 1)), "x wants V low"),
    "turned": (played(signs(1, -1)), "wrong way for both"),
    "y first": (played(y_first), "With alternating .* y moves before x"),
    "crossed": (played(crossed), "the other's slope"),
    "no rate": (
        lambda v, x, y, rate, steps, turns: played(rightly)(v, x, y, 1.0, steps, turns),
        "rate is left out",
    ),
    "always xy": (
        played(rightly, slopes=lambda value, x, y: (y, x)),
        r"V = xy \+ 0.3x\^2 .* slopes are those of xy",
    ),
    "x stands": (played(signs(0, 1)), "x never moves"),
    "y stands": (played(signs(-1, 0)), "y never moves"),
    "start forgotten": (too_late, "begins after the first step"),
    "one short": (
        lambda *a: played(rightly)(*a)[1:],
        r"must return shape \(61, 2\), but returns \(60, 2\)",
    ),
    "two rows": (lambda *a: played(rightly)(*a).T, r"must return shape \(61, 2\)"),
    "the last place": (lambda *a: played(rightly)(*a)[-1], r"must return shape \(61, 2\)"),
    "a list": (lambda *a: played(rightly)(*a).tolist(), "must return a tensor, but returns a list"),
    "averaged": (
        lambda *a: played(rightly)(*a).cumsum(0) / torch.arange(1, a[4] + 2)[:, None],
        "another tensor .* first two steps by hand",
    ),
}


RIGHT = {"02.1": RIGHT_2_1, "02.2": RIGHT_2_2, "02.3": RIGHT_2_3, "02.4": RIGHT_2_4}
WRONG = {"02.1": WRONG_2_1, "02.2": WRONG_2_2, "02.3": WRONG_2_3, "02.4": WRONG_2_4}


def test_the_numbers_of_a_right_answer_are_those_of_the_closed_forms(capsys):
    check("02.1", by_softplus)
    check("02.4", played(rightly))
    said = capsys.readouterr().out
    # -ln 0.1 - ln(1 - 0.9) and -ln 0.9; each simultaneous step multiplies the radius by sqrt(1 + 0.3^2).
    assert f"L_D = {-2 * math.log(0.1):.4f} and L_G = {-math.log(0.9):.4f}" in said
    assert f"the radius is {1.09**30:.2f} with simultaneous" in said
