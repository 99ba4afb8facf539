"""The checks of chapter 06, CycleGAN: a pool, a wrong pair without a cost, a gain, albums that are even."""

from collections import Counter
from collections.abc import Callable
from functools import partial
from typing import Any

import torch
from torch import Tensor

from medgan_course.exercises.answer import Answer, CheckFailed, Exercise, compare, kind
from medgan_course.exercises.divided import divisions, people
from medgan_course.losses.pixel import l1

Translator = Callable[[Tensor], Tensor]

# 6.1: a pool of old images -----------------------------------------------------------------------------

CALLS = 600


def _check_pool(answer: Answer) -> str:
    function = answer.function("shown")
    shares = [
        _check_one_pool(answer, function, size, shape) for size, shape in ((10, (4, 1, 2, 3)), (7, (5,)))
    ]
    return (
        f"{shares[0]:.0%} of the images are shown at once, the others later, and none is lost or shown twice."
    )


def _numbered(first: int, shape: tuple[int, ...]) -> Tensor:
    """Return images that are known by their grey value: ``first``, ``first + 1``, ..."""
    numbers = torch.arange(first, first + shape[0], dtype=torch.float32)
    return numbers.view(-1, *[1] * (len(shape) - 1)).expand(shape).clone()


def _number_of(image: Tensor) -> float | None:
    """Return the grey value by which an image is known, or None if it has several."""
    values = image.unique()
    return values.item() if len(values) == 1 else None


def _kept(pool: list[Any], pixels: int) -> list[float | None]:
    for image in pool:
        if not isinstance(image, Tensor) or image.numel() != pixels:
            what = f"shape {tuple(image.shape)}" if isinstance(image, Tensor) else kind(image)
            raise CheckFailed(f"The pool keeps single images, one tensor each; an entry of yours is {what}.")
    return [_number_of(image) for image in pool]


def _check_one_pool(answer: Answer, function: Callable[..., Any], size: int, shape: tuple[int, ...]) -> float:
    """Show a pool many batches; return the share of images that it showed at once."""
    n, pixels = shape[0], _numbered(1, shape)[0].numel()
    pool: list[Any] = []
    at_once: list[int] = []  # of each batch, how many
    ranks: Counter[int] = Counter()  # 0: the oldest of the pool
    ends: Counter[str] = Counter()
    for call in range(CALLS):
        images = _numbered(1 + n * call, shape)
        new, before = [_number_of(image) for image in images], _kept(pool, pixels)
        found = answer.tensor(f"shown(pool, images, {size})", function, pool, images, size, shape=shape)
        shown, after = [_number_of(image) for image in found], _kept(pool, pixels)
        _check_kept(size, n * (call + 1), len(after))
        if not set(shown) <= {*before, *new}:
            raise CheckFailed("An image is shown that has neither just arrived nor been in the pool.")
        if len(before) + n <= size and shown != new:
            raise CheckFailed(
                "While the pool is being filled, the new images are shown as they are, in their order."
            )
        if len(before) == size:
            _check_exchange(before, new, shown, after)
            at_once.append(sum(one == other for one, other in zip(shown, new, strict=True)))
            order = sorted(number for number in before if number is not None)
            ranks.update(order.index(number) for number in shown if number in order)
            for number in shown:
                if number in order:
                    ends.update(["oldest"] * (number == order[0]) + ["newest"] * (number == order[-1]))
                    order.remove(number)
    share = sum(at_once) / (n * len(at_once))
    _check_coin(share, at_once, n)
    _check_places(ranks, ends, size)
    return share


def _check_kept(size: int, seen: int, kept: int) -> None:
    if kept > size:
        raise CheckFailed(
            f"After {seen} images the pool keeps {kept}, but its size is {size}: "
            "for each image ask anew whether there is room."
        )
    if kept == 0:
        raise CheckFailed(
            "The list that was handed in is still empty: keep the images in this very list; "
            "another list of that name is forgotten when the function returns."
        )
    if kept < min(seen, size):
        raise CheckFailed(
            f"After {seen} images the pool keeps {kept} and has room for {size}: "
            "until it is full it keeps every image, and what leaves later is replaced."
        )


def _check_exchange(
    before: list[float | None],
    new: list[float | None],
    shown: list[float | None],
    after: list[float | None],
) -> None:
    both = set(shown) & set(after)
    if both & set(new):
        raise CheckFailed(
            "The pool is full, and a new image is both shown and kept: D would soon see it again, "
            "and one that it never saw has left the pool unseen."
        )
    if both:
        raise CheckFailed(
            "An old image is shown and stays in the pool as well: it leaves, and the new one takes its place."
        )
    if Counter(before) + Counter(new) != Counter(shown) + Counter(after):
        raise CheckFailed(
            "An image is lost, or shown twice: what arrives is either shown or kept, "
            "and what leaves the pool is shown once."
        )


def _check_coin(share: float, at_once: list[int], n: int) -> None:
    if share > 0.98:
        raise CheckFailed(
            "Once the pool is full every image is shown at once: the pool is filled and never used."
        )
    if share < 0.02:
        raise CheckFailed(
            "Once the pool is full no image is shown at once: D would see only old ones, "
            "and learn too late what G does now."
        )
    if sum(count in (0, n) for count in at_once) > 0.9 * len(at_once):
        raise CheckFailed("One coin is tossed for the whole batch: every image needs its own.")
    if abs(share - 0.5) > 0.05:  # five standard deviations
        raise CheckFailed(
            f"Of the images {share:.0%} are shown at once, where a fair coin shows half: look at the toss."
        )


def _check_places(ranks: Counter[int], ends: Counter[str], size: int) -> None:
    leave = ranks.total()
    for which, count in ends.items():
        if count > 0.9 * leave:
            raise CheckFailed(
                f"It is always the {which} image that leaves the pool: chance decides, or D's memory is "
                "either a queue or one image."
            )
    if any(abs(ranks[rank] - leave / size) > 5 * (leave / size) ** 0.5 for rank in range(size)):
        raise CheckFailed(
            "Some images of the pool leave more often than others: each place needs the same chance, "
            "so look at the ends of the range that you draw from."
        )


# 6.2: wrong, at no cost --------------------------------------------------------------------------------


def scanner(images: Tensor, exponent: float) -> Tensor:
    r"""Return images as a second scanner shows them: :math:`2\,((x+1)/2)^{\text{exponent}} - 1`.

    Parameters
    ----------
    images : Tensor
        In [-1, 1].
    exponent : float
        Above 0. The curve with ``1 / exponent`` undoes it.
    """
    return 2 * ((images + 1) / 2) ** exponent - 1


def _check_wrong_pair(answer: Answer) -> str:
    function = answer.function("wrong")
    errors = [
        _check_one_pair(answer, function, side, exponent) for side, exponent in ((12, 0.7), (15, 1.0), (9, 2))
    ]
    return f"both cycles cost nothing, and the mean error on noise is {errors[1]:.2f}."


def _check_one_pair(answer: Answer, function: Callable[..., Any], side: int, exponent: float) -> float:
    """Hold a pair of translators against the right one; return its mean absolute error."""
    right, back = partial(scanner, exponent=exponent), partial(scanner, exponent=1 / exponent)
    found = answer.several("wrong(G, F)", ("G2", "F2"), function, right, back)
    for one in found:
        if not callable(one):
            raise CheckFailed(
                f"A translator is a function from images to images; one of yours is {kind(one)}."
            )
    there, home = (partial(answer.tensor, name, one) for name, one in zip(("G2", "F2"), found, strict=True))
    shape = (3, 1, side, side)
    a, others, b = (2 * torch.rand(shape) - 1 for _ in range(3))
    fake = there(a, shape=shape)
    _check_translator(fake, there, a)
    there(others, shape=shape)  # who remembers the last images has the wrong ones now
    once = l1(home(fake, shape=shape), a).item()
    if once > 1e-3:
        raise CheckFailed(
            f"F2(G2(a)) is not a: the loss is {once:.3f}. F2 has to undo each step of G2, the last one first."
        )
    error = _check_error(a, fake, right(a))
    again = l1(there(home(b, shape=shape), shape=shape), b).item()
    if again > 1e-3:
        raise CheckFailed(
            f"From a to b and back nothing is lost, but from b to a and back: the loss is {again:.3f}. "
            "There are two cycles, and F2 must be right about images that G2 never made."
        )
    return error


def _check_translator(fake: Tensor, there: Callable[..., Tensor], a: Tensor) -> None:
    if any(l1(there(a, shape=a.shape), fake) > 1e-5 for _ in range(4)):
        raise CheckFailed(
            "G2 answers the same image differently from call to call: what is drawn anew cannot be undone."
        )
    alone = torch.cat([there(image[None], shape=image[None].shape) for image in a])
    if l1(alone, fake) > 1e-5:
        raise CheckFailed(
            "G2's answer depends on who else is in the batch: a translator answers each image by itself."
        )


def _check_error(a: Tensor, fake: Tensor, truth: Tensor) -> float:
    error = l1(fake, truth).item()
    if error < 0.01:
        raise CheckFailed("This pair is right: G2(a) is G(a). Wanted is one that is wrong at no cost.")
    if l1(fake, truth.flip(-1)) < 1e-3:
        raise CheckFailed("This is the mirror, which the chapter has shown: find another way to be wrong.")
    if l1(fake, a) < 1e-3 and l1(truth, a) > 1e-3:
        raise CheckFailed(
            "G2 leaves the image as it is: the cycle has nothing against it, but D_B would see "
            "grey values that its album does not have."
        )
    ordered = (images.flatten(1).sort(dim=1).values for images in (fake, truth))
    if l1(*ordered) > 1e-3:
        raise CheckFailed(
            "Each answer must have the grey values of the right one, or D_B would notice: "
            "leave the grey values to G, and be wrong about the places."
        )
    return error


# 6.3: a hidden signal ----------------------------------------------------------------------------------


def hidden(images: Tensor, cover: Tensor, g: float) -> Tensor:
    """Return the chapter's constructed G: ``images``, g times fainter, on the ``cover`` rounded to 4 / g."""
    return _rounded(cover, g) + images / g


def revealed(images: Tensor, g: float) -> Tensor:
    """Return the chapter's constructed F: what rounding leaves, g times stronger."""
    return g * (images - _rounded(images, g))


def _rounded(images: Tensor, g: float) -> Tensor:
    return (images * g / 4).round() * 4 / g


def _check_gain(answer: Answer) -> str:
    function = answer.function("gain")
    for g, shape in ((16.0, (3, 1, 6, 6)), (50.0, (2, 2, 5, 4))):
        a, cover = (2 * torch.rand(shape) - 1 for _ in range(2))
        noise = (torch.rand(shape) - 0.5) / g  # less than what the grid leaves free
        _check_one_gain(answer, function, partial(revealed, g=g), hidden(a, cover, g), noise)
    # A reader with another gain for every image, and large noise: no two mistakes agree.
    images = torch.randn(4, 1, 2, 3, 3) * torch.tensor([0.3, 0.6, 1.0, 1.5]).view(-1, 1, 1, 1, 1)
    noise = torch.randn_like(images) * torch.tensor([0.8, 0.1, 0.4, 0.2]).view(-1, 1, 1, 1, 1)
    _check_one_gain(answer, function, lambda x: 2 * x**3 + x**2, images, noise)
    return "16 and 50 for the readers that were built so, and every image by itself."


def _check_one_gain(
    answer: Answer, function: Callable[..., Any], read: Translator, images: Tensor, noise: Tensor
) -> None:
    n = len(images)
    result = answer.tensor("gain(read, images, noise)", function, read, images, noise)
    if result.numel() == 1:
        raise CheckFailed(
            f"gain returns one number for a batch of {n} images: take the norm of each image by itself."
        )
    if result.shape != (n,):
        raise CheckFailed(
            f"gain must return shape ({n},), a number for each image, but returns {tuple(result.shape)}: "
            "the norm goes over all axes but the first."
        )
    noisy, clean = read(images + noise), read(images)
    change = noisy - clean

    def norm(each: Tensor) -> Tensor:
        return each.flatten(1).norm(dim=1)

    right = norm(change) / norm(noise)
    compare(
        result,
        right,
        {
            "the norm goes over the whole batch, where each image has its own": (
                change.norm() / noise.norm()
            ).expand(n),
            "the mean over the images stands for each": right.mean().expand(n),
            "squared norms are divided: a root is missing": right**2,
            "it is upside down": 1 / right,
            "it is not divided by the noise": norm(change),
            "the noisy answer is compared with the image that was read, where both are answers": (
                norm(noisy - images) / norm(noise)
            ),
            "it is divided by the images, where the noise belongs": norm(change) / norm(images),
            "it is divided by the answer without noise: that is no gain, but a relative error": (
                norm(change) / norm(clean)
            ),
            "absolute values are added up, where a norm adds squares": (
                change.abs().flatten(1).sum(1) / noise.abs().flatten(1).sum(1)
            ),
            "only the pixel that changed most is counted": (
                change.abs().flatten(1).amax(1) / noise.abs().flatten(1).amax(1)
            ),
            "the ratio is taken pixel by pixel, and its mean is governed by pixels with hardly any noise": (
                (change / noise).abs().flatten(1).mean(1)
            ),
            "the norms of the two answers are subtracted, where the answers are": (
                (norm(noisy) - norm(clean)).abs() / norm(noise)
            ),
            "the reader is given the noise alone, without the image": norm(read(noise)) / norm(noise),
            "the noisy images are clipped to [-1, 1], which takes noise away": (
                norm(read((images + noise).clamp(-1, 1)) - clean) / norm(noise)
            ),
            "the answers are clipped to [-1, 1] before they are compared": (
                norm(noisy.clamp(-1, 1) - clean.clamp(-1, 1)) / norm(noise)
            ),
        },
        seen=f"On images of shape {tuple(images.shape)}, ",
        otherwise="Write down, for one image, which two answers are compared and what divides them.",
    )


# 6.4: even albums --------------------------------------------------------------------------------------


def _check_albums(answer: Answer) -> str:
    function = answer.function("albums")
    for n, ill_people in ((20, 8), (31, 15), (12, 2)):
        subject, ill = people(n, ill_people)
        for albums in divisions(
            answer, "albums(subject, ill, seed)", function, (subject, ill), names=("A", "B")
        ):
            _check_even(albums, subject, ill)
    return "nobody is in both albums, everybody is in one, and the ill are shared out evenly."


def _check_even(albums: list[list[int]], subject: Tensor, ill: Tensor) -> None:
    state = dict(zip(subject.tolist(), ill.tolist(), strict=True))
    members = [{int(subject[i]) for i in album} for album in albums]
    for wanted, word in ((True, "ill"), (False, "well")):
        in_a, in_b = (sum(state[person] == wanted for person in album) for album in members)
        if abs(in_a - in_b) > 1:
            raise CheckFailed(
                f"Album A has {in_a} {word} people among its {len(members[0])}, "
                f"album B {in_b} among its {len(members[1])}: "
                "share out the ill and the well separately, and count people, not images."
            )


EXERCISES = {
    "06.1": Exercise(
        _check_pool,
        hints=(
            "Take one image after the other. There are three things that can happen to it: which?",
            "Room left: keep it and show it. No room: toss a coin for this image; it is shown, or it is "
            "exchanged for a random one of the pool, which is then shown.",
            "`pool.append` and `pool[place] = image` change the list that you were given. Collect what is "
            "shown in a list of your own, and `torch.stack` it at the end.",
        ),
    ),
    "06.2": Exercise(
        _check_wrong_pair,
        hints=(
            "What can be done to an image that loses nothing, and that you could exactly undo?",
            "Let G do the grey values, and then move pixels. F2 gets the moved image: in which order does it "
            "have to move them back and ask F?",
            "`torch.roll`, `torch.rot90` and an index with a fixed permutation all have an inverse. Define "
            "two small functions inside `wrong` and return both of them.",
        ),
    ),
    "06.3": Exercise(
        _check_gain,
        hints=(
            "The gain compares two answers of the reader. Of which two images?",
            "Above the line is the norm of a difference of answers, below it the norm of the noise; each "
            "image has its own.",
            "`flatten(1)` makes one long row of each image, whatever its axes, and `.norm(dim=1)` takes the "
            "norm of each row.",
        ),
    ),
    "06.4": Exercise(
        _check_albums,
        hints=(
            "Who is divided between the albums, images or people? Make a list of those first.",
            "Make two lists of people, the ill and the well. Shuffle each with a generator of the given seed "
            "and cut it in the middle.",
            "`subject.unique()` lists the people, `torch.isin(subject, chosen)` marks the images of some, "
            "and `.nonzero()` turns that into positions.",
        ),
    ),
}
