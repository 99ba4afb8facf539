r"""S01, vanilla GAN (Goodfellow et al. 2014).

Goodfellow, Pouget-Abadie, Mirza, Xu, Warde-Farley, Ozair, Courville & Bengio, *Generative Adversarial Nets*,
NeurIPS 2014.

A generator :math:`G` turns noise :math:`z\sim\mathcal N(0, I)` into samples, a discriminator with logit
:math:`D` and probability :math:`\sigma(D)` tells them from data :math:`x\sim p`:

.. math::
    \min_G\max_D V = \mathbb E_x\log\sigma(D(x)) + \mathbb E_z\log(1-\sigma(D(G(z)))).

For a fixed generator with density :math:`q` the best discriminator is :math:`\sigma(D^*) = p/(p+q)`, that is
:math:`D^* = \log p - \log q`, and :math:`V(D^*) = -\log 4 + 2\,\mathrm{JSD}(p, q)`. A discriminator that is
sure of itself leaves :math:`\log(1-\sigma(a))` a gradient of :math:`-\sigma(a)\approx 0` in the logit
:math:`a` of a fake; so the paper lowers :math:`-\log\sigma(a)` instead, with gradient :math:`-(1-\sigma(a))`.

All networks are fully connected. Three games use them: :func:`gan` on images, the baseline for the
convolutions of S03; :func:`duel` on eight Gaussians, against a discriminator far ahead; and :func:`judge`, a
discriminator alone, in one dimension, where :math:`D^*` is known.
"""

from collections.abc import Callable, Sequence
from functools import partial
from math import cos, sin, tau

import torch
from torch import Tensor
from torch.distributions import Distribution
from torch.optim import SGD, Adam, Optimizer
from torch.optim.lr_scheduler import LambdaLR

from medgan_course import draws
from medgan_course.budgets import Budget, choose
from medgan_course.data.batches import Batch
from medgan_course.errors import CourseError
from medgan_course.losses.adversarial import Adversarial, NonSaturating
from medgan_course.nets.mlp import Discriminator, Generator
from medgan_course.train import Game, Player, Turn
from medgan_course.train.game import Cost

# Eight centres on a circle of radius 2, and the standard deviation around each.
RING = torch.tensor([(2 * cos(tau * k / 8), 2 * sin(tau * k / 8)) for k in range(8)])
SIGMA = 0.2


def budget() -> Budget:
    """Return what one training on images costs in the profile in force; ``base`` is the width of a layer."""
    return choose(
        smoke=Budget(steps=12, size=28, base=16, batch_size=16, n_score=64),
        cpu=Budget(steps=1_000, size=28, base=256, batch_size=64, n_score=1_000),
        gpu=Budget(steps=10_000, size=28, base=256, batch_size=64, n_score=2_000),
    )


def gan(
    shape: Sequence[int],
    *,
    z_dim: int = 64,
    width: int = 256,
    loss: Adversarial = NonSaturating,
    seed: int = 0,
) -> Game:
    """Return the game on images or points: both players have two hidden layers and Adam.

    Parameters
    ----------
    shape : int, ...
        Shape of one sample: ``(1, 28, 28)`` for images, ``(2,)`` for points.
    z_dim : int
        Length of the latent vector.
    width : int
        Units of each hidden layer.
    loss : Adversarial
        The adversarial loss.
    seed : int
        Seed of the initial weights.
    """
    generator, discriminator = _networks(shape, z_dim, width, seed)
    discriminator_cost, generator_cost = costs(loss)
    return Game(
        players={"G": generator, "D": discriminator},
        turns=[Turn("D", discriminator_cost), Turn("G", generator_cost)],
    )


def duel(loss: Adversarial, *, lead: int = 100, learning_rate: float = 0.05, seed: int = 0) -> Game:
    """Return a game on points in which the discriminator is far ahead of a generator with plain SGD.

    The discriminator has Adam and moves five times a step; the generator stands still for the first ``lead``
    steps. It must not have Adam too, which divides a small gradient by its own size: a loss whose gradient
    vanishes would not be seen to fail.
    """
    generator, discriminator = _networks((2,), z_dim=2, width=64, seed=seed)
    discriminator_cost, generator_cost = costs(loss)

    def after_the_lead(optimiser: Optimizer) -> LambdaLR:
        return LambdaLR(optimiser, lambda step: float(step >= lead))

    return Game(
        players={
            "G": Player(generator, optimiser=partial(SGD, lr=learning_rate), schedule=after_the_lead),
            "D": Player(discriminator, optimiser=partial(Adam, lr=1e-3)),
        },
        turns=[Turn("D", discriminator_cost, times=5), Turn("G", generator_cost)],
    )


def judge(fake: Distribution, *, seed: int = 0) -> Game:
    """Return a game of the discriminator alone, on numbers, against fakes from a normal distribution."""
    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(seed)
        discriminator = Discriminator((1,), width=32)

    def cost(game: Game, batch: Batch) -> dict[str, Tensor]:
        noise = draws.normal(len(batch.images), 1, device=batch.images.device)
        return NonSaturating.d_loss(
            real=game["D"](batch.images), fake=game["D"](fake.mean + fake.stddev * noise)
        )

    return Game({"D": Player(discriminator, optimiser=partial(Adam, lr=1e-3))}, [Turn("D", cost)])


def costs(
    loss: Adversarial = NonSaturating, seen: Callable[[Tensor], Tensor] = lambda images: images
) -> tuple[Cost, Cost]:
    """Return the discriminator's and the generator's cost of any GAN without a condition.

    Parameters
    ----------
    loss : Adversarial
        The adversarial loss.
    seen : callable
        What happens to samples, real and generated alike, before the discriminator sees them.
    """

    def generated(game: Game, batch: Batch) -> Tensor:
        return game["G"](game["G"].latent(len(batch.images)))

    def discriminator_cost(game: Game, batch: Batch) -> dict[str, Tensor]:
        return loss.d_loss(real=game["D"](seen(batch.images)), fake=game["D"](seen(generated(game, batch))))

    def generator_cost(game: Game, batch: Batch) -> dict[str, Tensor]:
        return loss.g_loss(fake=game["D"](seen(generated(game, batch))))

    return discriminator_cost, generator_cost


def mixture(centres: Tensor, sigma: float, n: int, *, seed: int) -> Batch:
    """Draw ``n`` points ``(n, 2)`` around equally likely centres ``(K, 2)``; the labels say which."""
    generator = torch.Generator().manual_seed(seed)
    which = torch.randint(len(centres), (n,), generator=generator)
    return Batch(centres[which] + sigma * torch.randn(n, 2, generator=generator), which)


def modes(points: Tensor, centres: Tensor, sigma: float) -> Tensor:
    """Return the share of points within three standard deviations of each centre, ``(K,)``.

    A mode counts as covered from a share of 0.01 on.
    """
    if points.ndim != 2 or points.shape[1:] != centres.shape[1:]:
        raise CourseError(f"Modes are counted in points (N, {centres.shape[1]}), not {tuple(points.shape)}.")
    return (torch.cdist(points, centres) < 3 * sigma).float().mean(0)


def _networks(shape: Sequence[int], z_dim: int, width: int, seed: int) -> tuple[Generator, Discriminator]:
    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(seed)
        return Generator(shape, z_dim, width), Discriminator(shape, width)
