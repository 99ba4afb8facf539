"""Right answers, however written, are accepted; the usual wrong ones are rejected with the fitting reason."""

import random

import numpy as np
import pytest
import torch

from medgan_course import budgets
from medgan_course.data.batches import Batches
from medgan_course.data.scale import Scale
from medgan_course.exercises import check
from medgan_course.exercises.checks_00 import STEPS

# 0.1: the same curve twice


def seed_all(seed):
    torch.manual_seed(seed)
    random.seed(seed)


def drawn(images):
    return images[torch.randperm(len(images))[:16]]


def trained(
    *,
    before=seed_all,
    inside=lambda seed: None,
    draw=drawn,
    steps=lambda: STEPS[budgets.profile()],
    end=lambda costs: costs,
):
    """Return the function of exercise 0.1 with exchangeable parts, to make mistakes with."""

    def curve(images, start, step, seed):
        before(seed)
        net, costs = start(), []
        for _ in range(steps()):
            inside(seed)
            costs.append(step(net, draw(images)))
        return end(torch.tensor(costs))

    return curve


def with_python(images, start, step, seed):
    random.seed(seed)
    torch.manual_seed(seed)
    net = start()
    picked = (random.sample(range(len(images)), 16) for _ in range(STEPS[budgets.profile()]))
    return [step(net, images[few]) for few in picked]


def with_stream(images, start, step, seed):
    with torch.random.fork_rng():
        torch.manual_seed(seed + 100)
        net = start()
    random.seed(f"noise {seed}")
    batches = Batches(images, torch.zeros(len(images), dtype=torch.long), 16, seed=seed)
    return np.array([step(net, batches[i].images) for i in range(STEPS[budgets.profile()])])


def with_numpy(images, start, step, seed):
    seed_all(seed)
    rng = np.random.default_rng(seed)
    net = start()
    costs = torch.zeros(STEPS[budgets.profile()])
    for i in range(len(costs)):
        costs[i] = step(net, images[rng.choice(len(images), 16, replace=False)])
    return costs


def only_once(seed, done=[]):  # noqa: B006
    if not done:
        seed_all(seed)
        done.append(seed)


def new_net_each_step(images, start, step, seed):
    seed_all(seed)
    return torch.tensor([step(start(), drawn(images)) for _ in range(STEPS[budgets.profile()])])


def same_batch(images, start, step, seed):
    seed_all(seed)
    net, batch = start(), drawn(images)
    return torch.tensor([step(net, batch) for _ in range(STEPS[budgets.profile()])])


def noise_reseeded(seed):
    random.seed(seed)


def kept_net(images, start, step, seed, nets=[]):  # noqa: B006
    seed_all(seed)
    nets.append(start())
    return torch.tensor([step(nets[0], drawn(images)) for _ in range(STEPS[budgets.profile()])])


RIGHT_0_1 = {
    "torch": trained(),
    "Python's sample": with_python,
    "a stream": with_stream,
    "NumPy's choice": with_numpy,
}
WRONG_0_1 = {
    "no seed": (trained(before=lambda s: None), "begin with different weights"),
    "only Python's": (trained(before=random.seed), "begin with different weights"),
    "only torch's": (trained(before=torch.manual_seed), "same weights and images, but different noise"),
    "images by chance": (
        trained(draw=lambda x: x[np.random.permutation(len(x))[:16]]),  # noqa: NPY002
        "see different images: whose random numbers",
    ),
    "seeded once for all": (trained(before=only_once), "begin with different weights"),
    "seed ignored": (trained(before=lambda s: seed_all(0)), "seeds 3 and 4 begin with the same weights"),
    "noise has one seed": (
        trained(before=lambda s: (torch.manual_seed(s), random.seed(0))),
        "seeds 3 and 4 have the same noise",
    ),
    "order has one seed": (
        trained(
            draw=lambda x: x[torch.tensor(random.sample(range(len(x)), 16))],
            before=lambda s: (torch.manual_seed(s), random.seed(0)),
        ),
        "seeds 3 and 4 see the same images",
    ),
    "seeded in the loop": (trained(inside=seed_all), "Every step sees the same images.*inside the loop"),
    "one batch": (same_batch, "Every step sees the same images: they are drawn only once"),
    "noise seeded in the loop": (trained(inside=noise_reseeded), "Every step has the same noise"),
    "steps fixed": (trained(steps=lambda: 6), "In the profile 'cpu' there are 6 steps, where STEPS says 40"),
    "profile asked once": (
        trained(steps=lambda steps=STEPS["cpu"]: steps),
        "In the profile 'smoke' there are 40 steps, where STEPS says 6",
    ),
    "new network each step": (new_net_each_step, "start is called 6 times"),
    "an old network": (kept_net, "step trains a network that start has returned in this call"),
    "all images": (trained(draw=lambda x: x), r"takes a batch of shape \(16, 1, 2, 3\), and this is \(40,"),
    "with replacement": (
        trained(draw=lambda x: x[torch.randint(len(x), (16,))]),
        "An image is twice in one batch",
    ),
    "sorted": (trained(end=lambda c: c.sort().values), "the costs are sorted"),
    "backwards": (trained(end=lambda c: c.flip(0)), "in reverse order"),
    "added up": (trained(end=lambda c: c.cumsum(0)), "added up from step to step"),
    "a mean": (trained(end=lambda c: c.mean()), r"returns shape \(\)"),
    "mean for each": (trained(end=lambda c: c / len(c)), "divided by the number of steps"),
    "smoothed": (trained(end=lambda c: (c + c.roll(1)) / 2), "which is not right. Entry i"),
    "no return": (trained(end=lambda c: None), "return missing"),
    "no step": (lambda images, start, step, seed: torch.zeros(6), "step is never called"),
}

# 0.2: a loader


def loaded(
    *,
    line=lambda v, low, high: (2 * (v - low) / (high - low) - 1).clamp(-1, 1),
    axes=lambda t: t[:, None] if t.ndim == 3 else t.permute(0, 3, 1, 2),
    back=lambda x, low, high: (x + 1) / 2 * (high - low) + low,
    dtype=torch.float32,
):
    """Return the loader of exercise 0.2 with exchangeable parts, to make mistakes with."""

    def loader(levels, low, high):
        values = axes(torch.from_numpy(levels).to(torch.float64))
        return line(values, low, high).to(dtype), lambda images: back(images, low, high)

    return loader


def with_the_library(levels, low, high):
    scale = Scale(low, high, "whatever")
    whole = torch.as_tensor(levels)
    whole = whole.unsqueeze(1) if whole.ndim == 3 else whole.movedim(-1, 1)
    return scale.normalised(whole), scale.restored


def with_arrays(levels, low, high):
    middle, half = (low + high) / 2, (high - low) / 2
    values = (np.clip(levels, low, high).astype(np.float32) - middle) / half
    values = values[:, np.newaxis] if levels.ndim == 3 else np.moveaxis(values, 3, 1)
    return [torch.tensor(values), lambda x: x * half + middle]


class Back:
    def __init__(self, low, high):
        self.low, self.high = low, high

    def __call__(self, images):
        return torch.lerp(torch.tensor(float(self.low)), torch.tensor(float(self.high)), (images + 1) / 2)


def with_a_class(levels, low, high):
    return loaded()(levels, low, high)[0], Back(low, high)


def in_eight_bits(levels, low, high):
    whole = torch.from_numpy(levels)
    whole = whole[:, None] if whole.ndim == 3 else whole.permute(0, 3, 1, 2)
    x = (2 * (whole - low)).float() / (high - low) - 1
    return x, lambda images: (images + 1) / 2 * (high - low) + low


def own_range(axes):
    def line(v, low, high):
        least, most = v.amin(axes, keepdim=True), v.amax(axes, keepdim=True)
        return 2 * (v - least) / (most - least) - 1

    return line


def reshaped(t):
    return t[:, None] if t.ndim == 3 else t.reshape(t.shape[0], t.shape[3], *t.shape[1:3])


def in_place(levels, low, high):
    levels //= 2
    return loaded()(levels, low, high)


def last_levels(levels, low, high):
    x, _ = loaded()(levels, low, high)
    return x, torch.from_numpy(levels.astype(np.float32))


RIGHT_0_2 = {
    "by the formula": loaded(),
    "the library's scale": with_the_library,
    "in NumPy": with_arrays,
    "an object that goes back": with_a_class,
}
WRONG_0_2 = {
    "0 to 1": (loaded(line=lambda v, lo, hi: ((v - lo) / (hi - lo)).clamp(0, 1)), "run from 0 to 1"),
    "not clipped": (loaded(line=lambda v, lo, hi: 2 * (v - lo) / (hi - lo) - 1), "int16.*not clipped"),
    "image by image": (loaded(line=own_range((1, 2, 3))), "its own darkest and brightest value; a dark one"),
    "the whole set's range": (loaded(line=own_range((0, 1, 2, 3))), "the set is stretched"),
    "turned": (loaded(line=lambda v, lo, hi: -(2 * (v - lo) / (hi - lo) - 1)), "the sign is turned"),
    "eight bits": (in_eight_bits, "uint8.*whole numbers have run over"),
    "128": (loaded(line=lambda v, lo, hi: v / 128 - 1), "the middle is off"),
    "127.5 for all": (loaded(line=lambda v, lo, hi: (v / 127.5 - 1).clamp(-1, 1)), "int16.*one range only"),
    "1 not subtracted": (loaded(line=lambda v, lo, hi: 2 * (v - lo) / (hi - lo)), "the 1 is not subtracted"),
    "low left out": (
        loaded(line=lambda v, lo, hi: (2 * v / (hi - lo) - 1).clamp(-1, 1)),
        "low is left out",
    ),
    "standardised": (
        loaded(line=lambda v, lo, hi: (v - v.mean()) / v.std()),
        "mean and deviation of the set",
    ),
    "a square root": (
        loaded(line=lambda v, lo, hi: 2 * ((v - lo) / (hi - lo)).clamp(0, 1).sqrt() - 1),
        "which is not right. Which value becomes -1",
    ),
    "divided by nothing": (loaded(line=lambda v, lo, hi: (v - lo) / (lo - lo)), "some values are not finite"),
    "float64": (loaded(dtype=torch.float64), "torch.float64, and networks want torch.float32"),
    "no channel": (loaded(axes=lambda t: t), "the channel axis is missing"),
    "channels last": (
        loaded(axes=lambda t: t[:, None] if t.ndim == 3 else t),
        "files have the channels last",
    ),
    "reshaped": (loaded(axes=reshaped), "mixes pixels and colours"),
    "turned on its side": (
        loaded(axes=lambda t: t[:, None] if t.ndim == 3 else t.permute(0, 3, 2, 1)),
        r"shape \(3, 3, 5, 4\) should be \(3, 3, 4, 5\): follow the axes",
    ),
    "an array": (lambda *a: (loaded()(*a)[0].numpy(), loaded()(*a)[1]), "must be a tensor, but are"),
    "back rounds": (
        loaded(back=lambda x, lo, hi: ((x + 1) / 2 * (hi - lo) + lo).round()),
        "fractions are cut off or rounded",
    ),
    "back to bytes": (
        loaded(back=lambda x, lo, hi: ((x + 1) / 2 * (hi - lo) + lo).int()),
        "back, on images that a network has drawn: .*fractions are cut off",
    ),
    "back to 255": (loaded(back=lambda x, lo, hi: (x + 1) * 127.5), "range is 0 to 255"),
    "back without low": (loaded(back=lambda x, lo, hi: (x + 1) / 2 * (hi - lo)), "low is not added"),
    "back from 0 to 1": (loaded(back=lambda x, lo, hi: x * (hi - lo) + lo), "it expects numbers from 0 to 1"),
    "back does nothing": (loaded(back=lambda x, lo, hi: x), "nothing is undone"),
    "back is a tensor": (last_levels, "the second thing returned must be a function, but is a Tensor"),
    "back returns nothing": (loaded(back=lambda x, lo, hi: None), r"back\(images\) must return a tensor"),
    "in place": (in_place, "changed the array"),
    "only images": (
        lambda *a: loaded()(*a)[0],
        "images and a function, but returns a Tensor of shape",
    ),
    "no return": (lambda *a: None, "return missing"),
    "nothing but grey": (
        lambda levels, low, high: loaded()(levels.reshape(len(levels), *levels.shape[1:3]), low, high),
        "raised ValueError",
    ),
}

# 0.3: a split that does not leak


def split(subject, seed, *, shares=(0.7, 0.15)):
    who = subject.unique()
    who = who[torch.randperm(len(who), generator=torch.Generator().manual_seed(seed))]
    first, second = round(shares[0] * len(who)), round((shares[0] + shares[1]) * len(who))
    return tuple(
        torch.isin(subject, some).nonzero().flatten()
        for some in (who[:first], who[first:second], who[second:])
    )


def split_by_dictionary(subject, seed):
    where = {}
    for i, person in enumerate(subject.tolist()):
        where.setdefault(person, []).append(i)
    names = sorted(where)
    random.Random(seed).shuffle(names)
    few = len(names) * 15 // 100
    groups = names[2 * few :], names[:few], names[few : 2 * few]
    return [[i for name in group for i in where[name]] for group in groups]


def split_by_numpy(subject, seed):
    numbers = subject.numpy()
    rank = np.random.default_rng(seed).permutation(len(np.unique(numbers)))
    place = rank[np.unique(numbers, return_inverse=True)[1]] / len(rank)  # of each image's person, in [0, 1)
    return (
        np.flatnonzero(place < 0.7),
        np.flatnonzero((place >= 0.7) & (place < 0.85)),
        np.flatnonzero(place >= 0.85),
    )


def split_by_mask(subject, seed):
    return tuple(torch.isin(torch.arange(len(subject)), part) for part in split(subject, seed))


def images_shuffled(subject, seed):
    order = torch.randperm(len(subject), generator=torch.Generator().manual_seed(seed))
    return order.tensor_split([int(0.7 * len(order)), int(0.85 * len(order))])


def images_in_order(subject, seed):
    order = subject.sort().indices
    return order.tensor_split([int(0.7 * len(order)), int(0.85 * len(order))])


def test_leaks_into_val(subject, seed):
    train, val, test = split(subject, seed)
    return train, torch.cat([val, test[:1]]), test[1:]


test_leaks_into_val.__test__ = False


def one_image_each(subject, seed):
    seen = set()
    keep = [i for i, s in enumerate(subject.tolist()) if not (s in seen or seen.add(s))]
    return [[i for i in part.tolist() if i in keep] for part in split(subject, seed)]


RIGHT_0_3 = {
    "isin": split,
    "a dictionary": split_by_dictionary,
    "NumPy": split_by_numpy,
    "masks": split_by_mask,
}
WRONG_0_3 = {
    "images shuffled": (images_shuffled, "people have images in train and in val: divide the people first"),
    "images in order": (images_in_order, "1 of the 20 people have images in train and in val"),
    "a leak into val": (test_leaks_into_val, "1 of the 20 people have images in val and in test"),
    "other shares": (
        lambda s, seed: split(s, seed, shares=(0.5, 0.25)),
        r"train has 10 of 20 people, where 70% are 14",
    ),
    "no test": (lambda s, seed: split(s, seed, shares=(0.7, 0.3)), r"val has 6 of 20 people"),
    "seed ignored": (lambda s, seed: split(s, 0), "all divide alike"),
    "no seed": (
        lambda s, seed: split(s, random.randrange(10**6)),
        "Two calls with seed 0 divide differently",
    ),
    "people": (
        lambda s, seed: tuple(s[part].unique() for part in split(s, seed)),
        "lists the numbers of people",
    ),
    "one image each": (one_image_each, "are in none of the parts"),
    "two parts": (
        lambda s, seed: split(s, seed)[:2],
        "must return train, val and test, but returns a tuple of 2",
    ),
    "no return": (lambda s, seed: None, "return missing"),
}

RIGHT = {"00.1": RIGHT_0_1, "00.2": RIGHT_0_2, "00.3": RIGHT_0_3}
WRONG = {"00.1": WRONG_0_1, "00.2": WRONG_0_2, "00.3": WRONG_0_3}


@pytest.mark.parametrize("profile", budgets.PROFILES)
def test_the_profile_in_force_is_the_same_before_and_after(profile):
    with budgets.using(profile):
        check("00.1", trained())
        assert budgets.profile() == profile
