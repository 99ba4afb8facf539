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
from torch.distributions import Normal
from torch.optim import SGD, Adam, Optimizer
from torch.optim.lr_scheduler import LambdaLR

from medgan_course import draws
from medgan_course.budgets import Budget, choose
from medgan_course.data.batches import Batch, Batches
from medgan_course.experiments import Claim, Experiment, Outcome, Run
from medgan_course.losses.adversarial import Adversarial, Minimax, NonSaturating
from medgan_course.metrics.coverage import covered, nearest_mode
from medgan_course.nets.mlp import Discriminator, Generator
from medgan_course.train import Game, Player, Turn
from medgan_course.train.game import Cost

# Eight centres on a circle of radius 2, and the standard deviation around each.
RING = torch.tensor([(2 * cos(tau * k / 8), 2 * sin(tau * k / 8)) for k in range(8)])
SIGMA = 0.2


def budget() -> Budget:
    """Return what one duel costs in the profile in force: ``size`` 2 is the plane, ``base`` units a layer."""
    return choose(
        smoke=Budget(steps=4, size=2, base=16, batch_size=32, n_score=128),
        cpu=Budget(steps=200, size=2, base=64, batch_size=256, n_score=4_000),
        gpu=Budget(steps=200, size=2, base=64, batch_size=256, n_score=10_000),
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
        turns=[Turn("G", generator_cost), Turn("D", discriminator_cost)],
    )


def duel(
    loss: Adversarial, *, width: int = 64, lead: int = 100, learning_rate: float = 0.05, seed: int = 0
) -> Game:
    """Return a game on points in which the discriminator is far ahead of a generator with plain SGD.

    The discriminator has Adam and moves five times a step; the generator stands still for the first ``lead``
    steps. It must not have Adam too, which divides a small gradient by its own size: a loss whose gradient
    vanishes would not be seen to fail.
    """
    generator, discriminator = _networks((2,), z_dim=2, width=width, seed=seed)
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


def judge(fake: Normal, *, seed: int = 0) -> Game:
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

    Where the generator's turn comes first in a step, its samples are kept and serve the discriminator too:
    the same game, begun half a step later, and cheaper. Where it comes last, or the discriminator moves
    again, new samples are made.

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
        fake = game.kept.pop("fake", None)
        if fake is None:
            fake = generated(game, batch)
        return loss.d_loss(real=game["D"](seen(batch.images)), fake=game["D"](seen(fake)))

    def generator_cost(game: Game, batch: Batch) -> dict[str, Tensor]:
        fake = generated(game, batch)
        game.kept["fake"] = fake.detach()
        return loss.g_loss(fake=game["D"](seen(fake)))

    return discriminator_cost, generator_cost


def mixture(centres: Tensor, sigma: float, n: int, *, seed: int) -> Batch:
    """Draw ``n`` points ``(n, 2)`` around equally likely centres ``(K, 2)``; the labels say which."""
    generator = torch.Generator().manual_seed(seed)
    which = torch.randint(len(centres), (n,), generator=generator)
    return Batch(centres[which] + sigma * torch.randn(n, 2, generator=generator), which)


def experiment(budget: Budget) -> Experiment:
    """Hold a trained discriminator against the best one, and two generator losses against each other."""
    real, fake = Normal(0.0, 1.0), Normal(1.5, 0.7)
    lead = max(1, budget.steps // 2)

    def numbers(n: int, seed: int) -> Batches:
        drawn = torch.randn(n, 1, generator=torch.Generator().manual_seed(seed))
        return Batches(drawn, torch.zeros(n, dtype=torch.long), budget.batch_size, seed=seed)

    def error(logits: Callable[[Tensor], Tensor], seed: int) -> Outcome:
        """Compare probabilities at points drawn from both densities alike."""
        noise = torch.randn(budget.n_score, 1, generator=torch.Generator().manual_seed(1_000 + seed))
        points = torch.cat((noise[::2], fake.mean + fake.stddev * noise[1::2]))
        best = (real.log_prob(points) - fake.log_prob(points)).flatten()
        with torch.no_grad():
            return {"error of D": (logits(points).flatten().sigmoid() - best.sigmoid()).abs()}

    def judge_arm(run: Run) -> Outcome:
        game = judge(fake, seed=run.seed)
        run.fit(game, numbers(20_000, run.seed), 10 * budget.steps)
        return error(game.averaged("D").cpu(), run.seed)

    def duel_arm(loss: Adversarial, run: Run) -> Outcome:
        game = duel(loss, width=budget.base, lead=lead, seed=run.seed)
        points = mixture(RING, SIGMA, 20_000, seed=run.seed)
        batches = Batches(points.images, points.labels, budget.batch_size, seed=run.seed)
        run.fit(game, batches, lead + budget.steps)
        generator = game.averaged("G")
        with torch.no_grad():
            made = generator(generator.latent(budget.n_score, seed=run.seed)).cpu()
        return {"modes": nearest_mode(made, RING, sigma=SIGMA)}

    points = {"name": "eight Gaussians on a ring", "split": "train", "size": None, "n": 20_000}
    return Experiment(
        data=[points | {"source": "Drawn by medgan_course.systems.gan.mixture.", "surrogate": False}],
        arms={
            "trained D": judge_arm,
            "D = 1/2 everywhere": lambda run: error(torch.zeros_like, run.seed),
            "non-saturating": partial(duel_arm, NonSaturating),
            "minimax": partial(duel_arm, Minimax),
            "real points": lambda run: {
                "modes": nearest_mode(
                    mixture(RING, SIGMA, budget.n_score, seed=1_000 + run.seed).images, RING, sigma=SIGMA
                )
            },
        },
        claims=[
            Claim(
                "The probability that D learns is within 0.05 of p / (p + q), averaged over both densities.",
                metric="error of D",
                variant="trained D",
                better="lower",
                margin=0.05,
                fails=0.1,
                references=["D = 1/2 everywhere"],
            ),
            Claim(
                "Against a strong discriminator, the non-saturating loss reaches more modes than minimax.",
                metric="share of modes covered",
                score=lambda outcome: float(covered(outcome["modes"], n_classes=len(RING))) / len(RING),
                variant="non-saturating",
                baseline="minimax",
                better="higher",
                references=["real points"],
            ),
        ],
    )


def _networks(shape: Sequence[int], z_dim: int, width: int, seed: int) -> tuple[Generator, Discriminator]:
    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(seed)
        return Generator(shape, z_dim, width), Discriminator(shape, width)
