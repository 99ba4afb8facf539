"""Chapter 01: right answers, however written, are accepted; the usual wrong ones are told what is wrong."""

import math

import numpy as np
import torch

# 1.1 ---------------------------------------------------------------------------------------------------


def null(t1, tr):
    return t1 * (math.log(2) - math.log(1 + math.exp(-tr / t1)))


def flair(
    *,
    ti=null,
    recovery=lambda t1, tr, ti: (1 - 2 * torch.exp(-ti / t1) + torch.exp(-tr / t1)).abs(),
    echo=lambda t1, t2, te: torch.exp(-te / t2),
    density=lambda rho: rho,
):
    """Return a FLAIR signal with exchangeable parts, to make mistakes with."""

    def function(rho, t1, t2, tr, te, t1_fluid):
        return density(rho) * recovery(t1, tr, ti(t1_fluid, tr)) * echo(t1, t2, te)

    return function


def by_rates(rho, t1, t2, tr, te, t1_fluid):
    fluid_at_tr = torch.exp(torch.tensor(-tr / t1_fluid))
    ti = -t1_fluid * torch.log((1 + fluid_at_tr) / 2)
    upside_down = 1 + torch.expm1(-tr / t1) + 1 - 2 * (-ti / t1).exp()
    return rho * torch.maximum(upside_down, -upside_down) * torch.pow(math.e, -te / t2)


def by_bisection(rho, t1, t2, tr, te, t1_fluid):
    low, high = 0.0, tr
    for _ in range(60):
        middle = (low + high) / 2
        left = 1 - 2 * math.exp(-middle / t1_fluid) + math.exp(-tr / t1_fluid)
        low, high = (middle, high) if left < 0 else (low, middle)
    at_end = 1 - 2 * torch.exp(-low / t1.double()) + torch.exp(-tr / t1.double())
    return (rho * at_end * torch.exp(-te / t2)).square().sqrt()


def spin_echo(rho, t1, t2, tr, te, t1_fluid):
    return rho * (1 - torch.exp(-tr / t1)) * torch.exp(-te / t2)


RIGHT_1_1 = {"by parts": flair(), "by rates": by_rates, "by bisection": by_bisection}
WRONG_1_1 = {
    "TR endless in TI": (flair(ti=lambda t1, tr: t1 * math.log(2)), "TI is T1 ln 2"),
    "TI is T1": (flair(ti=lambda t1, tr: t1), "TI is T1, but"),
    "sign in TI": (
        flair(ti=lambda t1, tr: t1 * (math.log(2) - math.log(1 - math.exp(-tr / t1)))),
        "term of TR in TI has the wrong sign",
    ),
    "base 10": (
        flair(ti=lambda t1, tr: t1 * math.log10(2 / (1 + math.exp(-tr / t1)))),
        "logarithms to base 10",
    ),
    "a TI for each": (
        lambda rho, t1, t2, tr, te, t1_fluid: flair(
            ti=lambda _, tr: t1 * (math.log(2) - torch.log1p(torch.exp(-tr / t1)))
        )(rho, t1, t2, tr, te, t1_fluid),
        "a TI of its own",
    ),
    "no magnitude": (
        flair(recovery=lambda t1, tr, ti: 1 - 2 * torch.exp(-ti / t1) + torch.exp(-tr / t1)),
        "the magnitude is missing",
    ),
    "saturation": (flair(recovery=lambda t1, tr, ti: 1 - torch.exp(-ti / t1)), "a 2 is missing\\."),
    "saturation with TR": (
        flair(recovery=lambda t1, tr, ti: 1 - torch.exp(-ti / t1) + torch.exp(-tr / t1)),
        "a 2 is missing, though TR is there",
    ),
    "no TR": (
        flair(recovery=lambda t1, tr, ti: (1 - 2 * torch.exp(-ti / t1)).abs()),
        "the term of TR in the signal is missing",
    ),
    "sign of TR": (
        flair(recovery=lambda t1, tr, ti: (1 - 2 * torch.exp(-ti / t1) - torch.exp(-tr / t1)).abs()),
        "the term of TR in the signal has the wrong sign",
    ),
    "spin echo": (spin_echo, "a spin echo without the inversion"),
    "no echo": (flair(echo=lambda t1, t2, te: 1), "the decay with T2 is missing"),
    "growing": (flair(echo=lambda t1, t2, te: torch.exp(te / t2)), "grows until the echo"),
    "T1 decay": (flair(echo=lambda t1, t2, te: torch.exp(-te / t1)), "decays with T1"),
    "no density": (flair(density=torch.ones_like), "proton density is left out"),
    "density squared": (flair(density=torch.square), "another tensor .* Follow one tissue"),
    "the fluid only": (
        lambda rho, t1, t2, tr, te, t1_fluid: torch.tensor(0.0),
        r"must return shape \(4,\), but returns \(\)",
    ),
    "one row": (lambda *a: flair()(*a).flatten(), r"must return shape \(2, 1, 2\)"),
    "the course's fluid": (flair(ti=lambda t1, tr: null(2569.0, tr)), "T1 = 4000 ms the result is another"),
    "in place": (lambda rho, *a: flair()(rho.mul_(2), *a), "argument number 1 in place"),
}

# 1.2 ---------------------------------------------------------------------------------------------------


def by_hypot(signal, sigma):
    return torch.hypot(signal + sigma * torch.randn_like(signal), sigma * torch.randn_like(signal))


def by_complex(signal, sigma):
    # Complex numbers of torch have a variance of 1 in all.
    return (signal + sigma * math.sqrt(2) * torch.randn(signal.shape, dtype=torch.cfloat)).abs()


def by_numpy(signal, sigma):
    draw = np.random.default_rng(3)
    noise = draw.normal(0, sigma, (2, *signal.shape))
    return torch.from_numpy(np.abs(signal.numpy() + noise[0] + 1j * noise[1])).float()


def by_angle(signal, sigma):
    # A Rayleigh radius at a uniform angle is a pair of normal numbers.
    radius = sigma * (-2 * torch.rand_like(signal).clamp_min(1e-12).log()).sqrt()
    return (signal**2 + radius**2 + 2 * signal * radius * (math.tau * torch.rand_like(signal)).cos()).sqrt()


def noisy(join):
    def rician(signal, sigma):
        a, b = sigma * torch.randn(2, *signal.shape)
        return join(signal, a, b)

    return rician


def drawn(shape):
    def rician(signal, sigma):
        a, b = sigma * torch.randn(2, *shape(signal))
        return ((signal + a) ** 2 + b**2).sqrt()

    return rician


RIGHT_1_2 = {"hypot": by_hypot, "complex": by_complex, "NumPy": by_numpy, "angle": by_angle}
WRONG_1_2 = {
    "real part only": (noisy(lambda s, a, b: (s + a).abs()), "only the real part"),
    "same noise twice": (noisy(lambda s, a, b: ((s + a) ** 2 + a**2).sqrt()), "have the same noise"),
    "complex noise of variance 1": (
        lambda s, sigma: (s + sigma * torch.randn(s.shape, dtype=torch.cfloat)).abs(),
        "shared out between the two parts",
    ),
    "signal in both": (noisy(lambda s, a, b: torch.hypot(s + a, s + b)), "the signal is in both parts"),
    "noise after": (noisy(lambda s, a, b: s + torch.hypot(a, b)), "after the magnitude"),
    "cut off": (noisy(lambda s, a, b: (s + a).clamp(min=0)), "negative values are cut off"),
    "Gaussian": (noisy(lambda s, a, b: s + a), "Some values are negative"),
    "none": (lambda s, sigma: s.clone(), "Every pixel of an image has the same noise"),
    "variance": (lambda s, sigma: by_hypot(s, sigma**0.5), "taken for the variance"),
    "squared": (lambda s, sigma: by_hypot(s, sigma**2), "sigma is squared"),
    "no sigma": (lambda s, sigma: by_hypot(s, 1.0), "sigma is left out"),
    "no root": (noisy(lambda s, a, b: (s + a) ** 2 + b**2), "mean and the spread, the result is another"),
    "uniform": (
        lambda s, sigma: torch.hypot(s + sigma * (torch.rand_like(s) - 0.5), sigma * torch.rand_like(s)),
        "mean and the spread, the result is another",
    ),
    "one for each image": (drawn(lambda s: (len(s), 1, 1, 1)), "Every pixel of an image has the same noise"),
    "one for all": (drawn(lambda s: (1,)), "Every pixel of an image has the same noise"),
    "one for each row": (drawn(lambda s: (*s.shape[:3], 1)), "not independent"),
    "one image for all": (drawn(lambda s: s.shape[1:]), "not independent"),
    "complex": (
        lambda s, sigma: s + sigma * math.sqrt(2) * torch.randn(s.shape, dtype=torch.cfloat),
        "its numbers are complex",
    ),
    "a number": (lambda s, sigma: by_hypot(s, sigma).mean(), r"must return shape \(2, 1, 5, 7\)"),
}

# 1.3 ---------------------------------------------------------------------------------------------------


def by_copies(images, every):
    rows = images.shape[-2] // every
    return sum(torch.roll(images, rows * n, dims=-2) for n in range(every)) / every


def by_the_scanner(images, every):
    k = torch.fft.fft2(images)
    read = torch.zeros_like(k)
    read[..., ::every, :] = k[..., ::every, :]
    return torch.fft.ifft2(read).abs()


def shifted(images, every):
    k = torch.fft.fftshift(torch.fft.fft2(images, norm="ortho"), dim=(-2, -1))
    line = torch.arange(k.shape[-2]) - k.shape[-2] // 2
    k = k * (line % every == 0).float()[:, None]
    return torch.fft.ifft2(torch.fft.ifftshift(k, dim=(-2, -1)), norm="ortho").real


def by_blocks(images, every):
    mean = images.unflatten(-2, (every, -1)).mean(-3)
    return mean.repeat(1, 1, every, 1)


def scanned(change):
    """Return what is seen of the lines that ``change(lines, every)`` chooses, frequency 0 at line 0."""

    def folded(images, every):
        mask = change(torch.arange(images.shape[-2]), every)
        return torch.fft.ifft2(torch.fft.fft2(images) * mask[:, None]).abs()

    return folded


def unshifted_mask(images, every):
    k = torch.fft.fftshift(torch.fft.fft2(images), dim=(-2, -1))
    k[..., torch.arange(k.shape[-2]) % every != 0, :] = 0
    return torch.fft.ifft2(torch.fft.ifftshift(k, dim=(-2, -1))).abs()


RIGHT_1_3 = {
    "copies": by_copies,
    "the scanner's way": by_the_scanner,
    "shifted": shifted,
    "blocks": by_blocks,
}
WRONG_1_3 = {
    "too bright": (lambda x, r: by_copies(x, r) * r, "as bright as if all lines"),
    "columns": (lambda x, r: by_the_scanner(x.mT, r).mT, "columns are thinned out"),
    "columns rolled": (
        lambda x, r: sum(x.roll(x.shape[3] // r * n, dims=3) for n in range(r)) / r,
        "columns are thinned out",
    ),
    "the others": (scanned(lambda line, r: line % r != 0), "the others kept"),
    "the others, real": (lambda x, r: x - by_copies(x, r), "the others kept"),
    "the second line": (scanned(lambda line, r: line % r == 1), "the lines begin at the second"),
    "not shifted": (unshifted_mask, "look at where it lies"),
    "centre": (
        scanned(lambda line, r: torch.minimum(line, len(line) - line) <= len(line) // r // 2),
        "blurs and does not fold",
    ),
    "rows of the picture": (
        lambda x, r: x * (torch.arange(x.shape[2]) % r == 0)[:, None],
        "rows of the picture are thinned",
    ),
    "nothing": (lambda x, r: x, "nothing is left out"),
    "two copies": (lambda x, r: (x + x.roll(x.shape[2] // 2, 2)) / 2, "two copies, whatever"),
    "random": (scanned(lambda line, r: torch.rand(len(line)) < 1 / r), "another tensor .* one bright point"),
    "cut": (
        lambda x, r: torch.fft.ifft2(torch.fft.fft2(x)[:, :, ::r]).abs(),
        "leave a zero there",
    ),
    "complex": (
        lambda x, r: torch.fft.ifft2(torch.fft.fft2(x) * (torch.arange(x.shape[2]) % r == 0)[:, None]),
        "its numbers are complex",
    ),
    "no channel": (lambda x, r: by_copies(x, r)[:, 0], r"must return shape \(2, 1, 60, 12\)"),
    "in place": (lambda x, r: by_copies(x.mul_(2), r) / 2, "in place"),
}

# 1.4 ---------------------------------------------------------------------------------------------------


def ratios(w, tissues):
    """Return the Fisher ratios of all pairs for one vector of weights, straight from the pixels."""
    grey = [pixels @ w for pixels in tissues]
    return torch.stack(
        [
            (grey[a].mean() - grey[b].mean()).abs() / (grey[a].var() + grey[b].var()).sqrt()
            for a in range(len(grey))
            for b in range(a)
        ]
    )


def searched(score, tries=600):
    def weights(tissues):
        draw = torch.Generator().manual_seed(1)
        best, most = None, -math.inf
        for n in range(tries):
            new = torch.randn(tissues[0].shape[1], generator=draw)
            w = new if n < tries // 3 else best + 0.1 * new
            w = w / w.norm()
            value = score(w, tissues)
            if value > most:
                best, most = w, value
        return best

    return weights


def by_simplex(tissues):
    from scipy.optimize import minimize

    def cost(w):
        return -ratios(torch.from_numpy(w), pixels).min().item()

    pixels = [t.double() for t in tissues]
    starts = sorted(np.random.default_rng(0).normal(size=(30, pixels[0].shape[1])), key=cost)
    found = [minimize(cost, start, method="Nelder-Mead", tol=1e-3) for start in starts[:4]]
    return torch.from_numpy(min(found, key=lambda each: each.fun).x)


def by_numpy_search(tissues):
    draw = np.random.default_rng(0)
    pixels = [t.numpy().astype(float) for t in tissues]
    tried = draw.normal(size=(20_000, pixels[0].shape[1]))
    worst = np.full(len(tried), np.inf)
    for a in range(len(pixels)):
        for b in range(a):
            step = tried @ (pixels[a].mean(0) - pixels[b].mean(0))
            both = np.cov(pixels[a].T) + np.cov(pixels[b].T)
            worst = np.minimum(worst, step**2 / ((tried @ both) * tried).sum(1))
    return torch.from_numpy(-7 * tried[worst.argmax()])


def without_covariances(w, tissues):
    return torch.stack(
        [
            (w @ (a.mean(0) - b.mean(0))).abs() / (w**2 @ (a.var(0) + b.var(0))).sqrt()
            for n, a in enumerate(tissues)
            for b in tissues[:n]
        ]
    ).amin()


def distance(w, tissues):
    means = torch.stack([t.mean(0) for t in tissues]) @ w
    return torch.stack([(a - b).abs() for n, a in enumerate(means) for b in means[:n]]).amin()


def first_contrast(tissues):
    return torch.eye(tissues[0].shape[1])[0]


def spoiling(tissues):
    tissues[0] -= 1
    return searched(lambda w, t: ratios(w, t).min(), tries=10)(tissues)


RIGHT_1_4 = {
    "search": searched(lambda w, tissues: ratios(w, tissues).min()),
    "simplex": by_simplex,
    "NumPy": by_numpy_search,
}
WRONG_1_4 = {
    "mean of ratios": (searched(lambda w, t: ratios(w, t).mean()), "the mean of the ratios is made large"),
    "largest ratio": (searched(lambda w, t: ratios(w, t).max()), "the largest ratio is made larger"),
    "distances": (searched(distance), "only the distances of the means"),
    "variances": (searched(without_covariances), "not how they vary together"),
    "smallest": (searched(lambda w, t: -ratios(w, t).min()), "and is one of the weights to choose"),
    "one contrast": (first_contrast, "best single contrast has .* look at the smallest"),
    "equal weights": (
        lambda tissues: torch.ones(tissues[0].shape[1]),
        "can be had: search longer|best single contrast has",
    ),
    "nothing": (lambda tissues: torch.zeros(tissues[0].shape[1]), "All weights are zero"),
    "one for each tissue": (lambda tissues: torch.ones(len(tissues) + 1), r"must return shape \(3,\)"),
    "the ratio": (lambda tissues: ratios(torch.ones(3), tissues).min(), r"must return shape \(3,\)"),
    "the picture": (lambda tissues: tissues[0] @ torch.ones(3), r"must return shape \(3,\)"),
    "spoiling": (spoiling, "changed the pixels it was given"),
}

RIGHT = {"01.1": RIGHT_1_1, "01.2": RIGHT_1_2, "01.3": RIGHT_1_3, "01.4": RIGHT_1_4}
WRONG = {"01.1": WRONG_1_1, "01.2": WRONG_1_2, "01.3": WRONG_1_3, "01.4": WRONG_1_4}
