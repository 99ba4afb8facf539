"""Right answers, however written, are accepted; the usual wrong ones are rejected with the fitting reason."""

import random

import numpy as np
import pytest
import torch

from medgan_course.exercises import CheckFailed
from medgan_course.exercises.checks_06 import hidden, revealed, scanner
from medgan_course.exercises.divided import parts, people

# 6.1: a pool of old images


def pooled(
    *,
    place=lambda size: random.randrange(size),
    coin=lambda: random.random() < 0.5,
    keep=lambda pool, place, image: pool.__setitem__(place, image),
    pick=lambda pool, place: pool[place],
    afterwards=None,
):
    """Return the function of exercise 6.1 with exchangeable parts, to make mistakes with."""

    def shown(pool, images, size):
        out = []
        for image in images:
            if len(pool) < size:
                pool.append(image)
            elif coin():
                where = place(size)
                old = pick(pool, where)
                keep(pool, where, image)
                image = old
            elif afterwards:
                afterwards(pool, place(size), image)
            out.append(image)
        return torch.stack(out)

    return shown


def with_numpy(pool, images, size):
    out = images.clone()
    for i in range(len(images)):
        if len(pool) < size:
            pool.append(images[i].clone())
        elif np.random.rand() >= 0.5:  # noqa: NPY002
            k = np.random.randint(size)  # noqa: NPY002
            out[i], pool[k] = pool[k].clone(), images[i].clone()
    return out


def with_torch_at_once(pool, images, size):
    room = max(0, size - len(pool))
    pool.extend(images[:room])
    rest = images[room:]
    swapped = torch.rand(len(rest)) < 0.5
    places = torch.randperm(size)[: len(rest)].tolist()
    out = list(images[:room])
    for image, swap, k in zip(rest, swapped, places, strict=False):
        if swap:
            image, pool[k] = pool[k], image
        out.append(image)
    return torch.stack(out)


def popping(pool, images, size):
    out = []
    for image in images:
        pool.append(image)
        if len(pool) <= size or torch.randint(2, ()):
            out.append(image)
            if len(pool) > size:
                pool.pop()
        else:
            out.append(pool.pop(random.randrange(len(pool) - 1)))
    return torch.stack(out)


def rebound(pool, images, size):
    pool = pool + list(images)
    return images


def overfull(pool, images, size):
    if len(pool) < size:
        pool.extend(images)
        return images
    return pooled()(pool, images, size)


def one_coin(pool, images, size):
    tossed = random.random() < 0.5
    return pooled(coin=lambda: tossed)(pool, images, size)


def batches_kept(pool, images, size):
    pool.append(images)
    return images


def in_one_go(pool, images, size):
    if len(pool) < size:
        return pooled()(pool, images, size)
    places = torch.randint(size, (len(images),))  # may repeat
    old = torch.stack([pool[k] for k in places])
    for k, image in zip(places, images, strict=True):
        pool[k] = image
    return old


def starved(pool, images, size):
    if len(pool) < size:
        pool.append(images[0])
        return images
    return pooled()(pool, images, size)


def turned_round(pool, images, size):
    return pooled()(pool, images, size).flip(0) if len(pool) >= size else pooled()(pool, images.flip(0), size)


def overwriting(pool, images, size):
    for i in range(len(images)):
        if len(pool) < size:
            pool.append(images[i].clone())
        elif random.random() < 0.5:
            k = random.randrange(size)
            old, pool[k] = pool[k], images[i].clone()
            images[i] = old
    return images


RIGHT_6_1 = {
    "random": pooled(),
    "numpy": with_numpy,
    "torch, a batch at once": with_torch_at_once,
    "popping": popping,
}
WRONG_6_1 = {
    "another list": (rebound, "is still empty: keep the images in this very list"),
    "overfull": (overfull, "keeps 12, but its size is 10.*ask anew"),
    "no limit": (lambda p, x, s: (p.extend(x), x)[1], "keeps 12, but its size is 10"),
    "starved": (starved, "keeps 1 and has room for 10"),
    "whole batches kept": (batches_kept, r"single images.*is shape \(4, 1, 2, 3\)"),
    "numbers kept": (lambda p, x, s: (p.extend(x.flatten().tolist()), x)[1], "entry of yours is a float"),
    "never used": (pooled(coin=lambda: False), "filled and never used"),
    "always exchanged": (pooled(coin=lambda: True), "no image is shown at once"),
    "one coin": (one_coin, "One coin is tossed for the whole batch"),
    "unfair": (pooled(coin=lambda: random.random() < 0.3), r"Of the images [67]\d% are shown at once"),
    "copied out": (
        pooled(keep=lambda pool, place, image: None),
        "An old image is shown and stays in the pool",
    ),
    "shown and kept": (
        pooled(pick=lambda pool, place: pool[place], afterwards=lambda p, k, x: p.__setitem__(k, x)),
        "a new image is both shown and kept",
    ),
    "exchanged after the exchange": (
        pooled(
            keep=lambda p, k, x: p.__setitem__(k, x),
            pick=lambda p, k: p[(k + 1) % len(p)],
        ),
        "An old image is shown and stays in the pool",
    ),
    "lost": (in_one_go, "An image is lost, or shown twice"),
    "the oldest": (
        pooled(
            place=lambda size: 0,
            keep=lambda p, k, x: (p.pop(0), p.append(x)),
        ),
        "always the oldest image that leaves.*queue",
    ),
    "one place": (pooled(place=lambda size: 0), "always the newest image that leaves"),
    "last place left out": (pooled(place=lambda size: random.randrange(size - 1)), "ends of the range"),
    "first place left out": (pooled(place=lambda size: random.randint(1, size - 1)), "ends of the range"),
    "one place too many": (pooled(place=lambda size: random.randint(0, size)), "raised IndexError"),
    "mixed": (
        pooled(pick=lambda p, k: (p[k] + p[0]) / 2 + 0.25, place=lambda s: random.randrange(1, s)),
        "neither just arrived nor been in the pool",
    ),
    "another order": (turned_round, "in their order"),
    "in place": (overwriting, "changed its argument number 2 in place"),
    "a list": (lambda p, x, s: list(pooled()(p, x, s)), "must return a tensor, but returns a list"),
    "no return": (lambda p, x, s: None, "return missing"),
    "one image": (lambda p, x, s: pooled()(p, x, s)[:1], r"must return shape \(4, 1, 2, 3\)"),
}

# 6.2: wrong, at no cost


def moved(there, home):
    """Return a wrong pair that moves pixels after G and moves them home before F."""
    return lambda G, F: (lambda a: there(G(a)), lambda b: F(home(b)))


def upside_down(G, F):
    def wrong_there(a):
        return G(a.flip(2))

    def wrong_home(b):
        return F(b).flip(2)

    return [wrong_there, wrong_home]


def shuffled(G, F):
    def order(x):
        return torch.randperm(x[0].numel(), generator=torch.Generator().manual_seed(x.shape[-1]))

    def there(a):
        return G(a.flatten(1)[:, order(a)].view_as(a))

    def home(b):
        return F(b).flatten(1)[:, order(b).argsort()].view_as(b)

    return there, home


class Turned:
    def __init__(self, net, turns):
        self.net, self.turns = net, turns

    def __call__(self, images):
        return self.net(torch.rot90(images, self.turns, (2, 3)))


def remembering(G, F):
    last = []

    def there(a):
        last.append(a)
        return G(a).roll(3, -1)

    return there, lambda b: last[-1]


def one_way(G, F):
    # F2 leaves alone what no G2 of the check's images would have: found by the second cycle only.
    seen = []

    def there(a):
        fake = G(a).roll(2, -1)
        seen.extend(fake)
        return fake

    def home(b):
        if all(any(torch.allclose(image, known, atol=1e-5) for known in seen) for image in b):
            return F(b.roll(-2, -1))
        return F(b)

    return there, home


RIGHT_6_2 = {
    "rolled": moved(lambda x: x.roll(2, -1), lambda x: x.roll(-2, -1)),
    "upside down, moved first": upside_down,
    "turned": lambda G, F: (Turned(G, 1), lambda b: torch.rot90(F(b), -1, (2, 3))),
    "transposed": moved(lambda x: x.mT, lambda x: x.mT),
    "every pixel elsewhere": shuffled,
    "mirrored and rolled": moved(lambda x: x.flip(-1).roll(3, -1), lambda x: x.roll(-3, -1).flip(-1)),
}
WRONG_6_2 = {
    "the right pair": (lambda G, F: (G, F), "This pair is right"),
    "the mirror": (moved(lambda x: x.flip(-1), lambda x: x.flip(-1)), "This is the mirror"),
    "identity": (lambda G, F: (lambda x: x, lambda x: x), "leaves the image as it is"),
    "scaled": (moved(lambda x: x / 2, lambda x: x * 2), "must have the grey values of the right one"),
    "negative": (moved(lambda x: -x, lambda x: -x), "must have the grey values of the right one"),
    "not undone": (lambda G, F: (lambda a: G(a).roll(2, -1), F), r"F2\(G2\(a\)\) is not a: the loss is 0\."),
    "undone in the wrong order": (
        moved(lambda x: x.flip(-1).roll(3, -1), lambda x: x.flip(-1).roll(-3, -1)),
        "undo each step of G2, the last one first",
    ),
    "moved the same way twice": (moved(lambda x: x.roll(2, -1), lambda x: x.roll(2, -1)), "is not a"),
    "information lost": (moved(lambda x: x.round(), lambda x: x), "is not a"),
    "drawn anew": (
        moved(lambda x: x.roll(random.randrange(1, 9), -1), lambda x: x.roll(-1, -1)),
        "differently from call to call",
    ),
    "somebody else's": (moved(lambda x: x.roll(1, 0), lambda x: x.roll(-1, 0)), "who else is in the batch"),
    "remembering": (remembering, "is not a"),
    "one way": (one_way, "but from b to a and back: the loss is 0"),
    "images": (lambda G, F: (G(torch.zeros(1, 1, 4, 4)), F(torch.zeros(1, 1, 4, 4))), "of yours is a Tensor"),
    "one translator": (
        lambda G, F: lambda a: G(a).roll(2, -1),
        "must return G2 and F2, but returns a f",
    ),
    "no return": (lambda G, F: None, "return missing"),
    "cropped": (moved(lambda x: x[..., 1:], lambda x: x), r"must return shape \(3, 1, 12, 12\)"),
    "fails": (lambda G, F: (lambda a: G(a).rol(2), F), "G2 raised AttributeError"),
}

# 6.3: a hidden signal


def ratio(
    *,
    change=lambda read, x, e: read(x + e) - read(x),
    size=lambda x: x.flatten(1).norm(dim=1),
    end=lambda change, e, x: change / e,
):
    """Return the gain of exercise 6.3 with exchangeable parts, to make mistakes with."""
    return lambda read, images, noise: end(size(change(read, images, noise)), size(noise), size(images))


def one_by_one(read, images, noise):
    gains = []
    for image, e in zip(images, noise, strict=True):
        clean, noisy = read(image[None]), read((image + e)[None])
        gains.append((noisy - clean).square().sum().sqrt() / e.square().sum().sqrt())
    return torch.stack(gains)


def by_root_mean_square(read, images, noise):
    axes = tuple(range(1, images.ndim))
    both = read(torch.cat([images, images + noise]))
    change = both[len(images) :] - both[: len(images)]
    return (change.pow(2).mean(axes) / noise.pow(2).mean(axes)).sqrt()


def by_linalg(read, images, noise):
    with torch.no_grad():
        change = (read(images) - read(images + noise)).reshape(len(images), -1)
    return torch.linalg.vector_norm(change, dim=1) / torch.linalg.vector_norm(
        noise.reshape(len(images), -1), dim=1
    )


def noisier(read, images, noise):
    images += noise
    return ratio()(read, images, noise)


def summed(x):
    return x.abs().flatten(1).sum(1)


RIGHT_6_3 = {
    "norms": ratio(),
    "one by one": one_by_one,
    "root mean square": by_root_mean_square,
    "linalg": by_linalg,
}
WRONG_6_3 = {
    "one number": (ratio(size=lambda x: x.norm()), "one number for a batch of 3 images"),
    "by channel": (
        ratio(size=lambda x: x.flatten(2).norm(dim=2)),
        r"but returns \(3, 1\): the norm goes over",
    ),
    "whole batch, repeated": (
        ratio(size=lambda x: x.norm().expand(len(x))),
        "the norm goes over the whole batch",
    ),
    "mean repeated": (
        lambda *a: ratio()(*a).mean().expand(len(a[1])),
        "the mean over the images stands for each",
    ),
    "squared": (ratio(size=lambda x: x.flatten(1).square().sum(1)), "squared norms are divided"),
    "upside down": (ratio(end=lambda c, e, x: e / c), "upside down"),
    "not divided": (ratio(end=lambda c, e, x: c), "not divided by the noise"),
    "divided by the image": (ratio(end=lambda c, e, x: c / x), "divided by the images"),
    "against the image": (
        ratio(change=lambda read, x, e: read(x + e) - x),
        "compared with the image that was",
    ),
    "relative": (
        lambda read, x, e: (read(x + e) - read(x)).flatten(1).norm(dim=1) / read(x).flatten(1).norm(dim=1),
        "no gain, but a relative error",
    ),
    "absolute values": (ratio(size=summed), "absolute values are added up"),
    "largest pixel": (ratio(size=lambda x: x.abs().flatten(1).amax(1)), "only the pixel that changed most"),
    "pixel by pixel": (
        lambda read, x, e: ((read(x + e) - read(x)) / e).abs().flatten(1).mean(1),
        "pixel by pixel",
    ),
    "norms subtracted": (
        lambda read, x, e: (
            (read(x + e).flatten(1).norm(dim=1) - read(x).flatten(1).norm(dim=1)).abs()
            / e.flatten(1).norm(dim=1)
        ),
        "norms of the two answers are subtracted",
    ),
    "noise alone": (ratio(change=lambda read, x, e: read(e)), "given the noise alone"),
    "clipped": (
        ratio(change=lambda read, x, e: read((x + e).clamp(-1, 1)) - read(x)),
        r"noisy images are clipped",
    ),
    "answers clipped": (
        ratio(change=lambda read, x, e: read(x + e).clamp(-1, 1) - read(x).clamp(-1, 1)),
        "answers are clipped",
    ),
    "noise of its own": (
        ratio(change=lambda read, x, e: read(x + torch.randn_like(x)) - read(x)),
        "which is not right. Write down, for one image",
    ),
    "in place": (noisier, "changed its argument number 2 in place"),
    "no return": (lambda *a: None, "return missing"),
}

# 6.4: even albums


def albums(subject, ill, seed):
    draw = torch.Generator().manual_seed(seed)
    in_a = torch.zeros(len(subject), dtype=torch.bool)
    for group in (subject[ill].unique(), subject[~ill].unique()):
        order = torch.randperm(len(group), generator=draw)
        in_a |= torch.isin(subject, group[order[: len(group) // 2]])
    return in_a.nonzero().flatten(), (~in_a).nonzero().flatten()


def as_masks(subject, ill, seed):
    a, _ = albums(subject, ill, seed)
    in_a = torch.isin(torch.arange(len(subject)), a)
    return in_a, ~in_a


def dealt_like_cards(subject, ill, seed):
    draw = random.Random(seed)
    state = dict(zip(subject.tolist(), ill.tolist(), strict=True))
    deck = sorted(state)
    draw.shuffle(deck)
    deck.sort(key=state.get)  # stable, so each half stays shuffled
    hands = set(deck[::2]), set(deck[1::2])
    return tuple([i for i, person in enumerate(subject.tolist()) if person in hand] for hand in hands)


def with_numpy_albums(subject, ill, seed):
    rng = np.random.default_rng(seed)
    numbers, sick = subject.numpy(), ill.numpy()
    first = np.concatenate(
        [np.array_split(rng.permutation(np.unique(numbers[sick == flag])), 2)[0] for flag in (True, False)]
    )
    return np.flatnonzero(np.isin(numbers, first)), np.flatnonzero(~np.isin(numbers, first))


def by_image(subject, ill, seed):
    order = torch.randperm(len(subject), generator=torch.Generator().manual_seed(seed))
    return order[: len(order) // 2], order[len(order) // 2 :]


def by_people_alone(subject, ill, seed):
    who = subject.unique()
    order = torch.randperm(len(who), generator=torch.Generator().manual_seed(seed))
    in_a = torch.isin(subject, who[order[: len(who) // 2]])
    return in_a.nonzero().flatten(), (~in_a).nonzero().flatten()


def ill_here_well_there(subject, ill, seed):
    return ill.nonzero().flatten(), (~ill).nonzero().flatten()


def unseeded(subject, ill, seed):
    return albums(subject, ill, random.randrange(10**6))


def the_people(subject, ill, seed):
    return tuple(subject[part].unique() for part in albums(subject, ill, seed))


def first_images_only(subject, ill, seed):
    def thinned(part):
        seen = set()
        return [i for i in part.tolist() if not (subject[i].item() in seen or seen.add(subject[i].item()))]

    return tuple(thinned(part) for part in albums(subject, ill, seed))


def only_the_ill_even(subject, ill, seed):
    a, b = albums(subject, ill, seed)
    stays = ill[b]
    return torch.cat([a, b[~stays]]), b[stays]


RIGHT_6_4 = {
    "positions": albums,
    "masks": as_masks,
    "dealt": dealt_like_cards,
    "numpy": with_numpy_albums,
}
WRONG_6_4 = {
    "by image": (by_image, r"\d+ of the 20 people have images in A and in B: divide the people first"),
    "in the file's order": (
        lambda s, i, seed: (range(len(s) // 2), range(len(s) // 2, len(s))),
        "have images in A and in B",
    ),
    "uneven": (by_people_alone, r"Album A has \d+ ill people among its 10, album B \d+"),
    "ill here, well there": (ill_here_well_there, "Album A has 8 ill people among its 8, album B 0"),
    "the well all here": (only_the_ill_even, r"Album A has 12 well people among its 16, album B 0"),
    "unseeded": (unseeded, "Two calls with seed 0 divide differently"),
    "seed ignored": (lambda s, i, seed: albums(s, i, 0), "all divide alike"),
    "the people": (the_people, "lists the numbers of people"),
    "an image each": (first_images_only, r"\d+ of the \d+ images are in none of the parts"),
    "twice": (lambda *a: (albums(*a)[0].repeat(2), albums(*a)[1]), "A has an image more than once"),
    "counted from one": (lambda *a: tuple(part + 1 for part in albums(*a)), "outside of 0 to"),
    "floats": (lambda *a: tuple(part.float() for part in albums(*a)), "positions are whole numbers"),
    "words": (lambda *a: ("some", "others"), "A is no list of positions, but a str"),
    "one album": (lambda *a: albums(*a)[0].tolist(), r"must return A and B, but returns a list of \d"),
    "no return": (lambda *a: None, "return missing"),
}

RIGHT = {"06.1": RIGHT_6_1, "06.2": RIGHT_6_2, "06.3": RIGHT_6_3, "06.4": RIGHT_6_4}
WRONG = {"06.1": WRONG_6_1, "06.2": WRONG_6_2, "06.3": WRONG_6_3, "06.4": WRONG_6_4}


def test_the_second_scanner_is_undone_by_the_inverse_exponent():
    images = torch.linspace(-1, 1, 9)
    assert torch.allclose(scanner(images, 1.0), images, atol=1e-6)
    assert scanner(torch.tensor([0.0]), 2.0).item() == pytest.approx(-0.5)  # 2 / 4 - 1
    assert torch.allclose(scanner(scanner(images, 0.7), 1 / 0.7), images, atol=1e-5)


def test_what_is_hidden_is_found_and_its_gain_is_g():
    a, cover = torch.rand(2, 3, 1, 8, 8) * 2 - 1
    assert torch.allclose(revealed(hidden(a, cover, 32.0), 32.0), a, atol=1e-4)
    assert (hidden(a, cover, 32.0) - cover).abs().max() <= 3 / 32 + 1e-6  # half a width and a signal
    e = torch.full_like(a, 0.01)
    assert torch.allclose(revealed(hidden(0 * a, cover, 32.0) + e, 32.0), 32 * e, atol=1e-4)


def test_people_have_one_state_each_and_mixed_up_images():
    torch.manual_seed(0)
    subject, ill = people(20, 8)
    state = {(s, i) for s, i in zip(subject.tolist(), ill.tolist(), strict=True)}
    assert len(state) == len(subject.unique()) == 20
    assert sum(i for _, i in state) == 8
    assert not torch.equal(subject, subject.sort().values)


def test_parts_are_returned_as_positions_and_may_be_empty():
    subject = torch.tensor([5, 5, 7])
    assert parts(([2], torch.tensor([0, 1])), subject, names=("A", "B")) == [[2], [0, 1]]
    mask = torch.tensor([True, True, False])
    assert parts((mask, ~mask, []), subject, names=("A", "B", "C")) == [[0, 1], [2], []]
    with pytest.raises(CheckFailed, match="1 of the 2 people have images in A and in C"):
        parts(([0], [2], [1]), subject, names=("A", "B", "C"))
