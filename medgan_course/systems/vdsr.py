r"""S16, VDSR (Kim, Lee & Lee 2016).

*Accurate Image Super-Resolution Using Very Deep Convolutional Networks*, CVPR 2016. No adversary: a game of
one player.

The small image is enlarged by interpolation to :math:`x`; twenty convolutions estimate what is missing, of
several scales at once:

.. math:: L = \tfrac12\,\mathbb E\,\|y - (x + f(x))\|_2^2 ,

the norm being a sum over pixels, as in the paper. SGD with momentum 0.9, weight decay 1e-4 and the very high
learning rate :math:`\gamma=0.1`, divided by 10 after each quarter of the training. Each entry of the gradient
is clipped to :math:`[-\theta/\gamma,\theta/\gamma]`, so that a step of one weight, momentum apart, is at most
:math:`\theta` whatever :math:`\gamma` is. The paper does not print :math:`\theta`; see :func:`vdsr`.
"""

from collections.abc import Iterable
from functools import partial
from typing import Any

import torch
from torch import Tensor, nn
from torch.optim import SGD, Optimizer
from torch.optim.lr_scheduler import StepLR

from medgan_course import data
from medgan_course.budgets import Budget, choose
from medgan_course.data.batches import Paired, Stream
from medgan_course.data.degrade import bicubic
from medgan_course.data.kspace import kspace_crop, zero_fill
from medgan_course.experiments import Claim, Experiment, Outcome, Run
from medgan_course.metrics.fidelity import psnr
from medgan_course.nets.super_resolution import VDSR
from medgan_course.systems.pix2pix import translated
from medgan_course.train import Game, Player, Turn


def budget() -> Budget:
    """Return what one training costs in the profile in force."""
    return choose(
        smoke=Budget(steps=3, size=64, base=4, batch_size=2, n_score=8),
        cpu=Budget(steps=300, size=64, base=32, batch_size=16, n_score=200),
        gpu=Budget(steps=10_000, size=64, base=64, batch_size=64, n_score=624),
    )


def vdsr(
    steps: int,
    *,
    base: int = 64,
    depth: int = 20,
    channels: int = 1,
    residual: bool = True,
    theta: float = 1e-4,
    seed: int = 0,
) -> Game:
    r"""Return the game of one, on batches ``Paired(source=enlarged images, target=sharp ones)``.

    Parameters
    ----------
    steps : int
        Length of the training; the learning rate falls after each quarter.
    base, depth, channels, residual
        See :class:`~medgan_course.nets.super_resolution.VDSR`.
    theta : float
        :math:`\theta`. The paper gives no number; this one is ours, for images in [-1, 1]: of 1e-4 and 1e-3
        the better after 160 steps of a small network.
    seed : int
        Seed of the initial weights.
    """
    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(seed)
        net = VDSR(channels, base=base, depth=depth, residual=residual)

    def sgd(parameters: Iterable[nn.Parameter]) -> Optimizer:
        optimiser = SGD(parameters, lr=0.1, momentum=0.9, weight_decay=1e-4)
        optimiser.register_step_pre_hook(partial(clip_gradients, theta=theta))
        return optimiser

    def cost(game: Game, batch: Paired) -> dict[str, Tensor]:
        error = game["G"](batch.source) - batch.target
        return {"squares": error.square().flatten(1).sum(1).mean() / 2}

    quarter = max(1, steps // 4)
    player = Player(net, optimiser=sgd, schedule=lambda o: StepLR(o, quarter, gamma=0.1))
    return Game(players={"G": player}, turns=[Turn("G", cost)])


def clip_gradients(optimiser: Optimizer, args: Any, kwargs: Any, *, theta: float) -> None:
    """Clip every gradient entry to plus or minus theta over the learning rate; a hook before the step."""
    for group in optimiser.param_groups:
        for parameter in group["params"]:
            if parameter.grad is not None:
                parameter.grad.clamp_(-theta / group["lr"], theta / group["lr"])


def experiment(budget: Budget, *, dataset: str = "pneumoniamnist") -> Experiment:
    """Compare residual with direct output, and both with the two enlargements that learn nothing."""
    train, test = (data.load(dataset, size=budget.size, split=split) for split in ("train", "test"))
    factors, enlargements = (2, 4), ("bicubic", "zero-filled")
    sources = torch.cat([bicubic(kspace_crop(train.images, s), s) for s in factors])
    whole = Paired(sources, train.images.repeat(len(factors), 1, 1, 1))
    small = {s: kspace_crop(test.images[: budget.n_score], s) for s in factors}

    def outcome(enlarged: dict[int, Tensor]) -> Outcome:
        truth = test.images[: budget.n_score]
        return {
            f"PSNR (dB), factor {s}": psnr(images.clamp(-1, 1), truth, data_range=2)
            for s, images in enlarged.items()
        }

    def arm(run: Run, *, residual: bool) -> Outcome:
        game = vdsr(budget.steps, base=budget.base, depth=8, residual=residual, seed=run.seed)
        run.fit(game, Stream(whole, budget.batch_size, seed=run.seed), budget.steps)
        net = game.averaged("G")
        return outcome({s: translated(net, bicubic(images, s)) for s, images in small.items()})

    return Experiment(
        data=[train, test],
        arms={
            "VDSR": lambda run: arm(run, residual=True),
            "direct output": lambda run: arm(run, residual=False),
            "bicubic": lambda run: outcome({s: bicubic(images, s) for s, images in small.items()}),
            "zero-filled": lambda run: outcome({s: zero_fill(images, s) for s, images in small.items()}),
        },
        claims=[
            claim
            for s in factors
            for claim in (
                Claim(
                    f"Residual output is learnt faster than direct output, factor {s}.",
                    metric=f"PSNR (dB), factor {s}",
                    variant="VDSR",
                    baseline="direct output",
                    better="higher",
                    margin=0.5,
                    references=enlargements,
                ),
                *(
                    Claim(
                        f"VDSR is better by 1 dB than the {plain} image, factor {s}.",
                        metric=f"PSNR (dB), factor {s}",
                        variant="VDSR",
                        baseline=plain,
                        better="higher",
                        margin=1.0,
                        references=[other for other in enlargements if other != plain],
                    )
                    for plain in enlargements
                ),
            )
        ],
    )
