"""The checks of chapter 04, DCGAN: two generators to repair, the gradient penalty, three runs to diagnose."""

import math
from collections.abc import Iterator
from contextlib import contextmanager
from copy import deepcopy
from typing import Any

import torch
from torch import Tensor, nn

from medgan_course.exercises.answer import Answer, CheckFailed, Exercise, as_cost, compare, kind, returns
from medgan_course.exercises.recorded_runs import TERMS, recorded_runs

Z_DIM = 64
MOST_WEIGHTS = 1_000_000  # exercise 4.1


# 4.1 and 4.2: generators -------------------------------------------------------------------------------


def _network(answer: Answer, name: str, *arguments: Any) -> nn.Module:
    """Return the network that the student's function ``name`` builds, or the network handed in directly."""
    built = answer.value
    written = f"{name}({', '.join(map(str, arguments))})"
    if not isinstance(built, nn.Module):
        if not callable(built):
            raise CheckFailed(f"Hand in the function `{name}` itself; this is {kind(built)}.")
        built = answer.call(written, built, *arguments)
    if not isinstance(built, nn.Module):
        raise CheckFailed(f"{written} must return a network (an nn.Module), but {returns(built)}")
    # A copy, so that the check leaves the student's own network as it was.
    return answer.call("copy.deepcopy of the network", deepcopy, built)


def _weights(net: nn.Module) -> int:
    return sum(parameter.numel() for parameter in net.parameters())


def _check_images(answer: Answer, net: nn.Module, size: int) -> None:
    """Hold ``net`` to what a generator of grey ``size`` px images in [-1, 1] must do."""
    z = torch.randn(8, Z_DIM, 1, 1)
    with _watched(net) as layers:
        images = answer.call("the generator, on latents (8, 64, 1, 1),", net, z)
    if not isinstance(images, Tensor):
        raise CheckFailed(f"The generator must return a tensor of images, but returns {kind(images)}.")
    wanted = (8, 1, size, size)
    if images.shape != wanted:
        raise CheckFailed(_shape_advice(tuple(images.shape), wanted))
    for name, shape_in, shape_out in layers:
        if len(shape_in) == len(shape_out) == 4 and shape_out[-1] < shape_in[-1]:
            raise CheckFailed(
                f"A layer {name} makes its map smaller ({_by(shape_in)} to {_by(shape_out)}): a generator "
                "starts from one point and has nothing to compress, "
                "so look for a convolution that should go the other way."
            )
    if not layers or math.prod(layers[-1][2][1:]) < size * size:
        last = f"the last layer with weights gives {_by(layers[-1][2])}" if layers else "no layer has weights"
        raise CheckFailed(
            f"The shape is right but {last}, and the rest is enlargement: "
            f"detail at {size} px must come from weights that can learn it."
        )
    low, high = images.min().item(), images.max().item()
    # Large latents drive the last layer to its limits, whatever the initial weights.
    with torch.no_grad():
        extreme = answer.call("the generator, on large latents,", net, 1e3 * z)
        for module in net.modules():
            if isinstance(module, nn.BatchNorm2d | nn.BatchNorm1d):
                module.eval()
        extreme = torch.cat([extreme, answer.call("the generator, in evaluation mode,", net, 1e5 * z)])
    low, high = min(low, extreme.min().item()), max(high, extreme.max().item())
    if not low >= -1.001 or not high <= 1.001:
        raise CheckFailed(
            f"The images reach from {low:.3g} to {high:.3g}, but the training images lie in [-1, 1]: "
            "look at what the last layer lets through."
        )
    if low >= 0:
        raise CheckFailed(
            "The images are never negative, but the training images lie in [-1, 1]: "
            "the range of the last activation does not match the data."
        )
    if torch.equal(images[0], images[1]):
        raise CheckFailed("Two different latents give the same image: z does not reach the output.")
    if not images.requires_grad:
        raise CheckFailed("No gradient reaches the weights: look for a no_grad or a detach in the network.")
    answer.call("The backward pass from the images", images.square().mean().backward)
    idle = [name for name, p in net.named_parameters() if p.requires_grad and p.grad is None]
    if idle:
        raise CheckFailed(
            f"No gradient reaches the weights {idle[0]!r}: every layer must lie on the way from z to image."
        )


@contextmanager
def _watched(net: nn.Module) -> Iterator[list[tuple[str, tuple[int, ...], tuple[int, ...]]]]:
    """Collect class name, input shape and output shape of every layer with weights of its own, in order."""
    seen: list[tuple[str, tuple[int, ...], tuple[int, ...]]] = []

    def note(module: nn.Module, inputs: tuple[Any, ...], output: Any) -> None:
        if inputs and isinstance(inputs[0], Tensor) and isinstance(output, Tensor):
            seen.append((type(module).__name__, tuple(inputs[0].shape), tuple(output.shape)))

    leaves = [m for m in net.modules() if next(m.parameters(recurse=False), None) is not None]
    handles = [leaf.register_forward_hook(note) for leaf in leaves]
    try:
        yield seen
    finally:
        for handle in handles:
            handle.remove()


def _by(shape: tuple[int, ...]) -> str:
    return "x".join(map(str, shape[2:])) if len(shape) == 4 else f"{shape[-1]} numbers"


def _shape_advice(found: tuple[int, ...], wanted: tuple[int, ...]) -> str:
    message = f"G(z) has shape {found} but x has shape {wanted}"
    if len(found) != 4:
        return f"{message}: images are (N, C, H, W), and here the number of axes differs."
    if found[1] != wanted[1]:
        return f"{message}: the X-rays have one channel, so look at the last layer's output channels."
    side, size = found[-1], wanted[-1]
    if found[0] != wanted[0] or found[-2] != side:
        return f"{message}: one square image for each latent is wanted."
    if side < size and size % side == 0 and math.log2(size // side).is_integer():
        return f"{message}: follow the side of the map from layer to layer and count how often it doubles."
    if side > size and side % size == 0:
        return f"{message}: the map doubles too often, or starts too large."
    return f"{message}: no number of doublings leads from this start to {size}, so look at the first map too."


def _check_shape_mismatch(answer: Answer) -> str:
    net = _network(answer, "generator")
    _check_images(answer, net, 64)
    n = _weights(net)
    if n > MOST_WEIGHTS:
        raise CheckFailed(
            f"The shape is right, but the network has {n:,} weights and may have {MOST_WEIGHTS:,}: "
            "see which layer holds most of them, and how many channels it needs."
        )
    return f"G(z) and x are both 64x64, with {n:,} weights of at most {MOST_WEIGHTS:,}."


def _check_downsampling(answer: Answer) -> str:
    if isinstance(answer.value, nn.Module):
        raise CheckFailed(
            "Hand in the function `generator` itself, not one network: it is asked for several sizes."
        )
    nets = {size: _network(answer, "generator", size) for size in (32, 128, 64)}
    for size, net in nets.items():
        try:
            _check_images(answer, net, size)
        except CheckFailed as failure:
            raise CheckFailed(f"generator({size}): {failure}") from failure
    return "32, 64 and 128 px, and every layer makes the map larger or keeps it."


# 4.3: gradient penalty ---------------------------------------------------------------------------------


class _SlopeCritic(nn.Module):
    """``slope * <w, x>`` with ``|w| = 1``; an image's slope is its first pixel, where ``w`` is zero."""

    def __init__(self, shape: tuple[int, ...]) -> None:
        super().__init__()
        direction = torch.randn(shape)
        direction[:, 0, 0] = 0
        self.direction = nn.Parameter(direction / direction.norm())

    def forward(self, images: Tensor) -> Tensor:
        slope = images[:, 0, 0, 0].detach()
        return slope * (images * self.direction).sum(dim=(1, 2, 3))


class _Recorder(nn.Module):
    """A critic of slope 1 that remembers the images it was shown."""

    def __init__(self) -> None:
        super().__init__()
        self.scale = nn.Parameter(torch.ones(()))
        self.shown: list[Tensor] = []

    def forward(self, images: Tensor) -> Tensor:
        scores = self.scale * images.mean(dim=(1, 2, 3)) * math.sqrt(images[0].numel())
        self.shown.append(images.detach().clone())
        return scores


def _with_slopes(slopes: list[float], shape: tuple[int, ...]) -> tuple[Tensor, Tensor]:
    """Return real and fake images with the slope in the first pixel of both, hence of every mixture."""
    real, fake = torch.rand(2, len(slopes), *shape) * 2 - 1
    for images in (real, fake):
        images[:, :, 0, 0] = torch.tensor(slopes)[:, None]
    return real, fake


def _penalty(answer: Answer, critic: nn.Module, real: Tensor, fake: Tensor) -> Tensor:
    value = answer.call("gradient_penalty(critic, real, fake)", answer.value, critic, real, fake)
    if value is None:
        raise CheckFailed(f"gradient_penalty {returns(value)}")
    return as_cost("The penalty", value)


def _check_gradient_penalty(answer: Answer) -> str:
    answer.function("gradient_penalty")
    _check_mixing(answer)
    for shape in ((1, 8, 8), (3, 6, 9), (1, 28, 28)):
        _check_values(answer, shape)
    _check_reaches_weights(answer)
    return "0 at slope 1, 4 at slope 3, one share for each sample, and the critic's weights feel it."


def _check_mixing(answer: Answer) -> None:
    critic = _Recorder()
    # Real images are all 0 and fake ones all 1, so a mixture's pixels are the share of fake in it.
    _penalty(answer, critic, torch.zeros(256, 1, 4, 4), torch.ones(256, 1, 4, 4))
    if not critic.shown:
        raise CheckFailed("The critic is never called: the penalty is about the slope of its score.")
    share = torch.cat([images.flatten(1).amin(1) for images in critic.shown])
    if (torch.cat([images.flatten(1).amax(1) for images in critic.shown]) - share).max() > 1e-5:
        raise CheckFailed(
            "The pixels of one image are mixed with different shares of real and fake: "
            "a point on the line between two images has one share for the whole image."
        )
    between = share[(share > 1e-6) & (share < 1 - 1e-6)]
    if share.min() < -1e-5 or share.max() > 1 + 1e-5:
        raise CheckFailed(
            f"Some mixtures lie outside the line from real to fake (share {share.min():.2f} to "
            f"{share.max():.2f}): look at how the shares are drawn."
        )
    if len(between) == 0:
        raise CheckFailed(
            "The critic sees only real or only fake images, none between them, where the slope is wanted."
        )
    if between.std() < 1e-5:
        raise CheckFailed(
            "Every image of the batch is mixed with the same share: each sample needs a share of its own; "
            "look at the shape in which they are drawn."
        )
    if not (0.4 < between.mean() < 0.6 and between.std() > 0.2):
        raise CheckFailed(
            f"The shares have mean {between.mean():.2f} and standard deviation {between.std():.2f}: "
            "the paper draws them uniformly over the whole line."
        )


def _check_values(answer: Answer, shape: tuple[int, ...]) -> None:
    critic = _SlopeCritic(shape)
    slopes = [0.5, 4.0] * 3  # six images: no wrong factor below equals another
    value = _penalty(answer, critic, *_with_slopes(slopes, shape)).item()
    if any(p.grad is not None for p in critic.parameters()):
        raise CheckFailed(
            "The call left gradients in the critic's weights, which would be added to those of its cost: "
            "ask for the gradient with respect to the images only."
        )
    norms, direction = torch.tensor(slopes), critic.direction.detach()
    root = math.sqrt(math.prod(shape))
    each_pixel = norms[:, None, None, None] * direction.abs()
    compare(
        value,
        _mean_square(norms - 1),
        {
            "the norms are averaged before 1 is taken off and squared": (norms.mean() - 1).square(),
            "the norm runs over the whole batch and not over each sample": (norms.norm() - 1).square(),
            "the scores are averaged before they are differentiated, so every gradient is divided by the "
            "batch size": _mean_square(norms / len(slopes) - 1),
            "slopes below 1 cost nothing, but the penalty is two-sided": _mean_square(
                (norms - 1).clamp(min=0)
            ),
            "slope 1, and not slope 0, must cost nothing": _mean_square(norms),
            "the distance from 1 is not squared, but its size is taken": (norms - 1).abs().mean(),
            "the distance from 1 is not squared": (norms - 1).mean(),
            "the samples' penalties are added up and not averaged": (norms - 1).square().sum(),
            "it holds the weight 10, which belongs to the caller": 10 * _mean_square(norms - 1),
            "the norm is squared before 1 is taken off: a root is missing": _mean_square(norms.square() - 1),
            "the norm is a mean over the pixels where a sum is wanted": _mean_square(norms / root - 1),
            "every pixel has its own norm, but the norm runs over all pixels of a sample": _mean_square(
                each_pixel - 1
            ),
            "the norm runs over the channels only, but all pixels of a sample belong to it": _mean_square(
                each_pixel.norm(dim=1) - 1
            ),
            "the norm runs over one axis only, but all pixels of a sample belong to it": _mean_square(
                each_pixel.norm(dim=-1) - 1
            ),
            "the absolute values are added up, but the norm is Euclidean": _mean_square(
                norms * direction.abs().sum() - 1
            ),
        },
        seen=f"On {'x'.join(map(str, shape))} images, where half of the slopes are 0.5 and half are 4, ",
        otherwise="Check by hand what slope 1 and slope 3 should cost, then compare.",
    )


def _mean_square(values: Tensor) -> float:
    return values.square().mean().item()


def _check_reaches_weights(answer: Answer) -> None:
    shape = (1, 8, 8)
    critic = _SlopeCritic(shape)
    penalty = _penalty(answer, critic, *_with_slopes([3.0] * 4, shape))
    if penalty.requires_grad:
        (gradient,) = answer.call(
            "The penalty's gradient in the critic's weights",
            torch.autograd.grad,
            penalty,
            critic.direction,
            allow_unused=True,
        )
    if not penalty.requires_grad or gradient is None:
        raise CheckFailed(
            "The value is right, but no gradient of the penalty reaches the critic's weights, so it would "
            "change nothing: the gradient must itself stay differentiable."
        )
    # d/dw (3|w| - 1)^2 at |w| = 1.
    expected = 12 * critic.direction.detach()
    expected[:, 0, 0] = gradient[:, 0, 0]
    if not torch.allclose(gradient, expected, atol=1e-2):
        raise CheckFailed(
            "The value is right, but its gradient in the critic's weights is not: some part is cut off "
            "from the graph; look for a detach, a no_grad, or a new tensor made from numbers."
        )


# 4.4: diagnosis ----------------------------------------------------------------------------------------

LABELS = ("healthy", "mode collapse", "discriminator too strong")

# Where to look when a run is labelled wrongly: the term that tells, without the answer.
TELLING = {
    "healthy": (
        "look at where `spread` and both of D's terms end, beside the other two runs: is anything amiss?"
    ),
    "mode collapse": (
        "the losses alone do not tell; look at how `spread` ends, and at the samples of one moment."
    ),
    "discriminator too strong": (
        "look at `G.adversarial` from beginning to end, and at what D's own terms do meanwhile."
    ),
}


def _check_diagnosis(answer: Answer) -> str:
    runs = recorded_runs()
    given = answer.call("diagnosis()", answer.value) if callable(answer.value) else answer.value
    if not isinstance(given, dict):
        raise CheckFailed(
            f'A diagnosis is a dictionary such as {{"A": (label, term), ...}}; this is {kind(given)}.'
        )
    if set(given) != set(runs):
        raise CheckFailed(
            f"The runs are called {', '.join(runs)}; the diagnosis has "
            f"{', '.join(map(repr, given)) or 'none'}."
        )
    for name, verdict in given.items():
        if not isinstance(verdict, tuple | list) or len(verdict) != 2:
            raise CheckFailed(f"Run {name}: give a label and the term that shows it, as a pair.")
        label, term = verdict
        if not isinstance(label, str) or label not in LABELS:
            raise CheckFailed(
                f"Run {name}: {label!r} is no label here; choose one of {', '.join(map(repr, LABELS))}."
            )
        if term is not None and (not isinstance(term, str) or term not in TERMS):
            raise CheckFailed(
                f"Run {name}: {term!r} is no curve here; choose among {', '.join(map(repr, TERMS))}, None."
            )
    for name, (label, _) in given.items():
        true = runs[name].label
        if label != true:
            raise CheckFailed(f"Run {name} is not a case of {label!r}: {TELLING[true]}")
    (healthy,) = (run for run in runs.values() if run.label == "healthy")
    for name, (label, term) in given.items():
        if (term is None) != (runs[name] is healthy):
            raise CheckFailed(
                f"Run {name}: {label!r} is right, but the curve is not: "
                "an ill run departs from the healthy one on some curve, the healthy one on none."
            )
        if term is not None and not _stands_apart(runs[name].curves[term], healthy.curves[term]):
            raise CheckFailed(
                f"Run {name}: {label!r} is right, but `{term}` does not show it: "
                "over the last quarter it stays where the healthy run's also goes."
            )
    return "all three runs, and the curves that give the ill ones away."


def _stands_apart(curve: Tensor, other: Tensor) -> bool:
    """Say whether two curves' middle 80 % do not overlap over their last quarter."""
    (low, high), (other_low, other_high) = (
        torch.quantile(c[-len(c) // 4 :], torch.tensor([0.1, 0.9])).tolist() for c in (curve, other)
    )
    return high < other_low or other_high < low


EXERCISES = {
    "04.1": Exercise(
        _check_shape_mismatch,
        hints=(
            "Write down the side of the map after every layer of the listing, beside the side that D reads.",
            "A transposed convolution with kernel 4, stride 2 and padding 1 doubles the side. From which "
            "first side do whole doublings lead to 64, and how many of them?",
            "Start from 4x4 or 8x8 instead of 7x7, and let every later layer double. For the budget, halve "
            "the channels each time the side doubles: most weights sit in the first layers.",
        ),
    ),
    "04.2": Exercise(
        _check_downsampling,
        hints=(
            "What is left to halve in a map of 1x1? Look at what each layer of the listing does to its side.",
            "Turn the latent into a small map first (a transposed convolution with kernel 4 does), "
            "then only enlarge.",
            "The number of doublings depends on size: from 4 to 32 it is log2(32 / 4). Build them in a loop.",
        ),
    ),
    "04.3": Exercise(
        _check_gradient_penalty,
        hints=(
            "Three steps: mix real and fake, differentiate the critic's score there, compare its norm to 1.",
            "The shares need shape (N, 1, 1, 1), so that each image has one and all its pixels share it. "
            "`torch.autograd.grad` gives the gradient with respect to the mixture; sum the scores first.",
            "`create_graph=True` keeps the gradient differentiable. Flatten each sample's gradient before "
            "taking its norm; square the distance from 1, and only then take the mean.",
        ),
        needs=("torch._dynamo",),  # torch.func does
    ),
    "04.4": Exercise(
        _check_diagnosis,
        hints=(
            "Begin with the pictures: in which run are the samples of one moment different from one another?",
            "If D tells every image, both of its costs are near 0 and G's cost is large. If G makes one "
            "picture, D's costs need not be unusual at all: at ln 2 D merely cannot tell.",
            "Compare the columns within one row of each picture, then look for the curve that says the same.",
        ),
    ),
}
