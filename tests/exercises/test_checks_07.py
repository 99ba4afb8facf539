"""Right answers, however written, are accepted; the usual wrong ones are rejected with the fitting reason."""

import itertools
import math

import numpy as np
import torch
from torch.nn import functional as F

from medgan_course.data.degrade import area_sampled
from medgan_course.data.kspace import fft, kspace_crop
from medgan_course.exercises.checks_07 import TABLES, undominated


def by_blocks(h, s):
    n, channels, *space = h.shape
    d = len(space)
    blocks = h.view(n, channels // s**d, *[s] * d, *space)
    order = list(itertools.chain.from_iterable((2 + d + k, 2 + k) for k in range(d)))
    return blocks.permute(0, 1, *order).reshape(n, channels // s**d, *[s * side for side in space])


def by_slices(h, s):
    n, channels, *space = h.shape
    c = channels // s ** len(space)
    y = torch.zeros(n, c, *[s * side for side in space])
    for place, offsets in enumerate(itertools.product(range(s), repeat=len(space))):
        y[(..., *(slice(o, None, s) for o in offsets))] = h[:, place :: s ** len(space)]
    return y


def by_torch(h, s):
    if h.ndim == 4:
        return F.pixel_shuffle(h, s)
    n, channels, depth, height, width = h.shape
    c = channels // s**3
    flat = h.reshape(n, c, s, s * s, depth, height, width).permute(0, 1, 2, 4, 3, 5, 6)
    planes = F.pixel_shuffle(flat.reshape(-1, s * s, height, width), s)
    slabs = planes.reshape(n, c, s, depth, s * height, s * width).transpose(2, 3)
    return slabs.reshape(n, c, s * depth, s * height, s * width)


def by_transposed_convolution(h, s):
    d = h.ndim - 2
    c = h.shape[1] // s**d
    weight = torch.eye(s**d).view(s**d, 1, *[s] * d).repeat(c, 1, 1, *[1] * (d - 1))
    convolve = F.conv_transpose2d if d == 2 else F.conv_transpose3d
    return convolve(h, weight, stride=s, groups=c)


def reordered(order, *, last=False):
    """Shuffle images only, with exchangeable order of axes (n, c, a, b, i, j)."""

    def shuffle(h, s):
        n, channels, height, width = h.shape
        c = channels // s**2
        if last:
            blocks = h.view(n, s, s, c, height, width).permute(0, 3, 1, 2, 4, 5)
        else:
            blocks = h.view(n, c, s, s, height, width)
        return blocks.permute(0, 1, *order).reshape(n, c, s * height, s * width)

    return shuffle


RIGHT_7_1 = {
    "blocks": by_blocks,
    "slices": by_slices,
    "torch": by_torch,
    "convolution": by_transposed_convolution,
}
WRONG_7_1 = {
    "view": (
        lambda h, s: h.reshape(len(h), h.shape[1] // s ** (h.ndim - 2), *(s * n for n in h.shape[2:])),
        "without changing their order",
    ),
    "offsets swapped": (reordered((4, 3, 5, 2)), "offsets in a block have changed places"),
    "channel last": (reordered((4, 2, 5, 3), last=True), "image's channel slowest"),
    "both": (reordered((4, 3, 5, 2), last=True), "have changed places as well"),
    "tiles": (reordered((2, 4, 3, 5)), "whole maps stand side by side"),
    "enlarged": (
        lambda h, s: F.interpolate(h[:, :: s ** (h.ndim - 2)], scale_factor=s),
        "one channel was enlarged",
    ),
    "averaged": (
        lambda h, s: F.interpolate(
            h.unflatten(1, (-1, s ** (h.ndim - 2))).mean(2),
            scale_factor=s,
        ),
        "channels of a block are averaged",
    ),
    "turned": (lambda h, s: by_blocks(h, s).flip(-1), "Number the values"),
    "transposed": (lambda h, s: by_blocks(h, s).transpose(-1, -2), r"must return shape \(2, 2, 12, 15\)"),
    "images only": (F.pixel_shuffle, r"h of shape \(1, 8, 2, 2, 2\), raised RuntimeError"),
    "factor 2 only": (lambda h, s: by_blocks(h, 2), "raised RuntimeError"),
    "inverse": (F.pixel_unshuffle, "raised RuntimeError"),
    "no return": (lambda h, s: None, "return missing"),
    "numpy": (lambda h, s: by_blocks(h, s).numpy(), "must return a tensor"),
    "in place": (lambda h, s: by_blocks(h.mul_(1.5), s), "in place"),
}


def centre(side, s):
    first = side // 2 - (side // s) // 2
    return slice(first, first + side // s)


def by_shifts(X, s):
    k = torch.fft.fftshift(torch.fft.fft2(X, norm="forward"), dim=(-2, -1))
    k = k[..., centre(X.shape[-2], s), centre(X.shape[-1], s)]
    return torch.fft.ifft2(torch.fft.ifftshift(k, dim=(-2, -1)), norm="forward").real


def by_filter(X, s):
    """Take out what is too fine, and only then every s-th pixel."""
    k = torch.fft.fft2(X)
    for axis in (-2, -1):
        nu = torch.fft.fftfreq(X.shape[axis]).abs()
        keep = (nu < 0.5 / s - 1e-6).float()
        k = k * (keep if axis == -1 else keep[:, None])
    return torch.fft.ifft2(k).real[..., ::s, ::s]


def by_numpy(X, s):
    k = np.fft.rfft2(X.numpy())
    height, width = X.shape[-2] // s, X.shape[-1] // s
    rows = [*range((height + 1) // 2), *range(-(height // 2), 0)]
    k = k[..., rows, : width // 2 + 1]
    return torch.from_numpy(np.fft.irfft2(k, s=(height, width)) / s**2).float()


def by_matrix(X, s):
    def down(n):
        m = n // s
        j, i = torch.arange(m)[:, None] * s, torch.arange(n)[None]
        highest = (m - 1) // 2
        k = torch.arange(-highest, highest + 1)[:, None, None]
        return torch.cos(2 * math.pi * k * (j - i) / n).sum(0) / n

    return down(X.shape[-2]) @ X @ down(X.shape[-1]).T


def cropped(*, into="shifted", back="ifftshift", scale=1.0, end=lambda image: image.real):
    """Crop k-space with exchangeable parts, to make mistakes with."""

    def small(X, s):
        k = torch.fft.fft2(X)
        if into == "shifted":
            k = torch.fft.fftshift(k, dim=(-2, -1))
        if into == "corner":
            k = k[..., : X.shape[-2] // s, : X.shape[-1] // s]
        else:
            k = k[..., centre(X.shape[-2], s), centre(X.shape[-1], s)]
        if back == "ifftshift":
            k = torch.fft.ifftshift(k, dim=(-2, -1))
        return end(torch.fft.ifft2(k)) * (s**-2 if scale is None else scale)

    return small


def blurred(X, s):
    return kspace_crop(X, s) * 0.5 + kspace_crop(X.roll(1, -1), s) * 0.5


RIGHT_7_2 = {
    "library": kspace_crop,
    "shifts": by_shifts,
    "filter": by_filter,
    "numpy": by_numpy,
    "matrix": by_matrix,
}
WRONG_7_2 = {
    "striding": (lambda X, s: X[..., ::s, ::s], "th pixel was taken: fine structure comes out"),
    "average": (F.avg_pool2d, "each block of 4x4 pixels was averaged"),
    "not scaled": (cropped(), "values are 16 times too large"),
    "scaled twice": (lambda X, s: by_shifts(X, s) / s**2, "values are 16 times too small"),
    "scaled by s": (lambda X, s: by_shifts(X, s) / s, "values are 4 times too small"),
    "orthonormal": (lambda X, s: by_shifts(X, s) * s, "values are 4 times too large"),
    "magnitude": (cropped(scale=None, end=torch.abs), "magnitude"),
    "middle of the image": (
        lambda X, s: X[..., centre(X.shape[-2], s), centre(X.shape[-1], s)],
        "middle of the image was cut out",
    ),
    "corner": (cropped(into="corner", back="", scale=None), "a corner of k-space was kept; where"),
    "corner, not scaled": (cropped(into="corner", back=""), "corner of k-space was kept, and the values"),
    "highest": (cropped(into="", back="", scale=None), "those are the highest ones"),
    "highest, not scaled": (cropped(into="", back=""), "highest frequencies were kept"),
    "not shifted back": (cropped(back="", scale=None), "frequency 0 was not moved back"),
    "complex": (cropped(scale=None, end=lambda image: image), "its numbers are complex"),
    "bilinear": (
        lambda X, s: F.interpolate(X, scale_factor=1 / s, mode="bilinear"),
        r"arrives, \d+\.\d% of the small image's variance. That is aliasing",
    ),
    "antialiased": (
        lambda X, s: F.interpolate(X, scale_factor=1 / s, mode="bicubic", antialias=True),
        "That is aliasing",
    ),
    "blurred first": (lambda X, s: area_sampled(X, s, fwhm=s), "That is aliasing"),
    "softened": (blurred, "coarse structure, .* arrives changed"),
    "half a pixel": (lambda X, s: kspace_crop(X.roll((1, 1), (-2, -1)), s), "pixel j must show what stood"),
    "k-space": (lambda X, s: fft(X)[..., ::s, ::s].abs(), "That is aliasing"),
    "large": (lambda X, s: by_filter(X, 1), "must return shape"),
    "no return": (lambda X, s: None, "return missing"),
}


def plain(x, down, up, steps):
    X = up(x)
    for _ in range(steps):
        X = X + up(x - down(X))
    return X


def by_recursion(x, down, up, steps):
    if steps == 0:
        return up(x)
    before = by_recursion(x, down, up, steps - 1)
    return before - up(down(before) - x)


def by_residual(x, down, up, steps):
    """Both operators are linear: follow what is missing, and add up."""
    X, missing = up(x), x - down(up(x))
    for _ in range(steps):
        X = X + up(missing)
        missing = missing - down(up(missing))
    return X


def by_sum(x, down, up, steps):
    terms = [x]
    for _ in range(steps):
        terms.append(terms[-1] - down(up(terms[-1])))
    return sum(up(term) for term in terms)


def projected(*, start=lambda x, up: up(x), step=lambda X, x, down, up: X + up(x - down(X)), n=lambda n: n):
    """Back-project with exchangeable parts, to make mistakes with."""

    def back_project(x, down, up, steps):
        X = start(x, up)
        for _ in range(n(steps)):
            X = step(X, x, down, up)
        return X

    return back_project


def once(x, down, up, steps):
    missing = up(x - down(up(x)))
    return up(x) + steps * missing


def in_place(x, down, up, steps):
    return plain(x.mul_(0.5), down, up, steps)


RIGHT_7_3 = {"plain": plain, "recursion": by_recursion, "residual": by_residual, "series": by_sum}
WRONG_7_3 = {
    "from nothing": (projected(start=lambda x, up: 0 * up(x)), "one step too few"),
    "one fewer": (projected(n=lambda n: max(n - 1, 0)), "one step too few"),
    "one more": (projected(n=lambda n: n + 1), "one step too many"),
    "turned": (projected(step=lambda X, x, down, up: X - up(x - down(X))), "sign turned"),
    "turned inside": (projected(step=lambda X, x, down, up: X + up(down(X) - x)), "sign turned"),
    "once": (once, "measured once"),
    "replaced": (projected(step=lambda X, x, down, up: up(x - down(X))), "replaces the answer"),
    "one step": (projected(n=lambda n: 1), "only one is made"),
    "clipped": (
        projected(step=lambda X, x, down, up: (X + up(x - down(X))).clamp(-1, 1)),
        "values are clipped",
    ),
    "half": (projected(step=lambda X, x, down, up: X + up(x - down(X)) / 2), "half of what is missing"),
    "nothing": (lambda x, down, up, steps: up(x), "steps change nothing"),
    "missing returned": (
        lambda x, down, up, steps: up(x - down(plain(x, down, up, steps))),
        "still missing, enlarged",
    ),
    "small returned": (lambda x, down, up, steps: down(plain(x, down, up, steps)), "size of the scan"),
    "added twice": (
        projected(step=lambda X, x, down, up: X + 2 * up(x - down(X))),
        "Follow one step by hand",
    ),
    "not enlarged": (
        projected(step=lambda X, x, down, up: X + (x - down(X))),
        "raised RuntimeError",
    ),
    "random": (projected(start=lambda x, up: torch.randn_like(up(x))), "Follow one step by hand"),
    "no return": (lambda x, down, up, steps: None, "return missing"),
    "in place": (in_place, "in place"),
}


def by_definition(table):
    def beats(a, b):
        return a[0] >= b[0] and a[1] <= b[1] and (a[0] > b[0] or a[1] < b[1])

    return [n for n, mine in table.items() if not any(beats(other, mine) for other in table.values())]


def by_sorting(table):
    """Go from the highest PSNR down, and keep whoever comes nearer to real images than all before."""
    found, nearest = set(), math.inf
    for psnr in sorted({p for p, _ in table.values()}, reverse=True):
        best = min(d for p, d in table.values() if p == psnr)
        if best < nearest:
            found |= {name for name, value in table.items() if value == (psnr, best)}
            nearest = best
    return found


def by_numpy_table(table):
    values = np.array(list(table.values())) * [1, -1]
    as_good = (values[None] >= values[:, None]).all(2)
    better = (values[None] > values[:, None]).any(2)
    return tuple(n for n, beaten in zip(table, (as_good & better).any(1), strict=True) if not beaten)


def strictly(table):
    return {n for n, (p, d) in table.items() if not any(q > p and e < d for q, e in table.values())}


def equals_beat(table):
    return {
        n
        for n, (p, d) in table.items()
        if not any(m != n and q >= p and e <= d for m, (q, e) in table.items())
    }


def turned(a, b):
    return lambda table: undominated({n: (a * p, b * d) for n, (p, d) in table.items()})


def weighted(table):
    """Try every weight of a sum: that finds the corners of the hull only."""
    found = set()
    for weight in np.linspace(0.001, 20, 4000):
        found.add(max(table, key=lambda n: table[n][0] - weight * table[n][1]))
    return found | {n for n in table if table[n] in [table[m] for m in found]}


def emptied(table):
    found = by_definition(table)
    table.clear()
    return found


def best_psnr(table):
    return [max(table, key=lambda n: table[n][0])]


def best_distance(table):
    return [min(table, key=lambda n: table[n][1])]


RIGHT_7_4 = {"definition": by_definition, "sorting": by_sorting, "numpy": by_numpy_table}
WRONG_7_4 = {
    "beaten": (lambda table: set(table) - set(by_definition(table)), "the beaten ones are returned"),
    "distance turned": (turned(1, -1), "larger distance is taken for better"),
    "PSNR turned": (turned(-1, 1), "less PSNR is taken for better"),
    "both turned": (turned(-1, -1), "wrong way round"),
    "best PSNR": (best_psnr, "only the winner by PSNR"),
    "best distance": (best_distance, "only the winner by distance"),
    "winners": (lambda table: best_psnr(table) + best_distance(table), "who lies between may be unbeaten"),
    "hull": (weighted, "D is missing, and no other"),
    "strictly": (strictly, "(P|S) is beaten: .*equal in one number"),
    "equals beat": (equals_beat, "(Q|T) is missing, .*equal methods"),
    "all": (lambda table: list(table), "is beaten: some other"),
    "none": (lambda table: [], "is missing"),
    "ranking": (
        lambda table: dict(sorted(table.items(), key=lambda item: item[1])),
        "as a list or a set, but returns a dict",
    ),
    "values": (lambda table: [table[n] for n in by_definition(table)], "its answer holds a tuple"),
    "changed": (emptied, "changed the table"),
    "no return": (lambda table: None, "return missing"),
}


RIGHT = {"07.1": RIGHT_7_1, "07.2": RIGHT_7_2, "07.3": RIGHT_7_3, "07.4": RIGHT_7_4}
WRONG = {"07.1": WRONG_7_1, "07.2": WRONG_7_2, "07.3": WRONG_7_3, "07.4": WRONG_7_4}


def test_who_is_beaten_in_the_tables_was_worked_out_by_hand():
    assert [undominated(table) for table in TABLES] == [
        {"A", "B", "D", "G"},
        {"Q", "R", "T", "V"},
        {"b"},
        {"alone"},
    ]
