r"""S07, progressive GAN (Karras, Aila, Laine & Lehtinen 2018).

*Progressive Growing of GANs for Improved Quality, Stability, and Variation*, ICLR 2018.

Both networks start at 4 x 4 pixels (7 x 7 on the way to 28) and grow. With phases of :math:`p` steps, the
first level is trained for one phase; from then on one phase fades the next level in, one trains it. At step
:math:`t`, with :math:`u=(t/p-1)/2`, the level is

.. math:: l(t) = \min\bigl(\lfloor u\rfloor + \min(1,\,2\,(u-\lfloor u\rfloor)),\; l_\text{top}\bigr)
                 \quad\text{for } u\ge0, \qquad l(t) = 0 \quad\text{for } u<0.

Real images are averaged to the size of the level and faded alike. The cost is that of WGAN-GP with one move
of the critic a step and a term that keeps its logits from drifting, which the Wasserstein loss leaves free:

.. math:: L_D = D(\hat x) - D(x)
              + \lambda\,\mathbb E_{\tilde x}\bigl(\|\nabla_{\tilde x}D(\tilde x)\|_2-1\bigr)^2
              + 10^{-3}\,\mathbb E\,D(x)^2, \qquad L_G = -D(\hat x),

with :math:`\lambda=10`. Equalised learning rate in both networks, pixel norm in the generator, minibatch std
in the critic; Adam with learning rate 1e-3 and betas (0, 0.99), kept through all levels; images are sampled
from a moving average of the generator's weights, decay 0.999 in the paper.

A penalty near :math:`\lambda` means that the critic has lost its slope. With narrow networks (``base=8``,
batches of 16) its slope fell to a third or less in three of four trials at 32 px, which starts from 4 x 4,
while the second or third level faded in, with minibatch std and without it; in none of five at 28 px.

.. code-block:: console

    medgan run progressive_gan
"""

from dataclasses import dataclass
from functools import partial
from math import ceil, floor

import torch
from torch import Tensor
from torch.optim import Adam
from torch.utils.flop_counter import FlopCounterMode

from medgan_course import budgets
from medgan_course.budgets import choose
from medgan_course.data.batches import Batch
from medgan_course.experiments import Claim, Domain, Experiment, Outcome, Run
from medgan_course.losses.adversarial import Wasserstein
from medgan_course.losses.penalties import gradient_penalty
from medgan_course.metrics.coverage import recall
from medgan_course.nets.progressive import Discriminator, Generator, at_level
from medgan_course.train import Game, Player, Turn

LAMBDA, DRIFT = 10.0, 1e-3


@dataclass(frozen=True)
class Budget(budgets.Budget):
    """What one training costs.

    Attributes
    ----------
    phase : int
        Steps of a phase; the growth takes ``2 * top`` phases.
    ema : float
        Decay of the generator's moving average. The paper's 0.999 forgets the initial weights after some
        5 000 steps, ``5 / (1 - ema)``.
    """

    phase: int
    ema: float


def budget() -> Budget:
    """Return what one training costs in the profile in force."""
    return choose(
        smoke=Budget(steps=12, size=28, base=4, batch_size=8, n_score=64, phase=2, ema=0.5),
        cpu=Budget(steps=1_600, size=28, base=8, batch_size=16, n_score=1_000, phase=150, ema=0.99),
        gpu=Budget(steps=16_000, size=64, base=32, batch_size=32, n_score=2_000, phase=1_200, ema=0.999),
    )


def level_at(step: int, *, phase: int, top: int) -> float:
    """Return the level at a step: whole for one phase of steps, then growing by 1 during the next."""
    u = (step / phase - 1) / 2
    return 0.0 if u < 0 else min(floor(u) + min(1.0, 2 * (u - floor(u))), float(top))


def progressive_gan(
    size: int,
    *,
    base: int = 16,
    z_dim: int = 64,
    channels: int = 1,
    phase: int | None,
    minibatch_std: bool = True,
    ema: float = 0.999,
    seed: int = 0,
) -> Game:
    """Return the game.

    Parameters
    ----------
    size : {16, 28, 32, 64}
        Image side in pixels, when the networks are grown.
    base : int
        Width of both networks, see :func:`~medgan_course.nets.progressive.plan`.
    z_dim : int
        Length of the latent vector.
    channels : int
        Image channels; 1 for grey.
    phase : int or None
        Steps of a phase of growth; None trains the grown networks from the start.
    minibatch_std : bool
        Whether the critic sees how much the images of a group differ.
    ema : float
        Decay of the moving average of the generator's weights.
    seed : int
        Seed of the initial weights.
    """
    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(seed)
        generator = Generator(size, z_dim, base, channels)
        critic = Discriminator(size, base, channels, minibatch_std=minibatch_std)
    top = generator.top

    def level(game: Game) -> float:
        return top if phase is None else level_at(game.step, phase=phase, top=top)

    def generated(game: Game, batch: Batch) -> Tensor:
        return game["G"](game["G"].latent(len(batch.images)), level(game))

    def critic_cost(game: Game, batch: Batch) -> dict[str, Tensor]:
        judge = partial(game["D"], level=level(game))
        real, fake = at_level(batch.images, level(game), top=top), generated(game, batch)
        logits = judge(real)
        return {
            **Wasserstein.d_loss(real=logits, fake=judge(fake)),
            "penalty": LAMBDA * gradient_penalty(judge, real=real, fake=fake),
            "drift": DRIFT * logits.float().square().mean(),
        }

    def generator_cost(game: Game, batch: Batch) -> dict[str, Tensor]:
        return Wasserstein.g_loss(fake=game["D"](generated(game, batch), level(game)))

    adam = partial(Adam, lr=1e-3, betas=(0.0, 0.99), fused=True)
    return Game(
        players={"G": Player(generator, optimiser=adam, ema=ema), "D": Player(critic, optimiser=adam)},
        turns=[Turn("D", critic_cost), Turn("G", generator_cost)],
    )


def direct_steps(steps: int, *, phase: int, size: int, base: int) -> int:
    """Return in how many steps grown networks do the arithmetic of ``steps`` steps of growing ones.

    Counted are the floating-point operations of convolutions and matrix products in a forward pass of both
    networks; penalties and gradients cost a multiple of it. This is the same number on every machine, where
    equal time is not; small images use a processor less well, so by the clock growing takes longer.
    """
    generator, critic = Generator(size, base=base), Discriminator(size, base)
    work = []
    for level in range(generator.top + 1):
        with torch.no_grad(), FlopCounterMode(display=False) as counter:
            critic(generator(generator.latent(4, seed=0), level), level)
        work.append(counter.get_total_flops())
    levels = (level_at(step, phase=phase, top=generator.top) for step in range(steps))
    return round(sum(work[ceil(level)] for level in levels) / work[-1])


def experiment(budget: Budget, *, dataset: str = "pneumoniamnist") -> Experiment:
    """Compare growing with training at full size, at equal arithmetic, and with no minibatch std.

    The advantage of growing is expected to rise with the size: ``--set size=64`` asks for it.
    """
    domain = Domain(dataset, budget.size, budget.n_score)
    whole = direct_steps(budget.steps, phase=budget.phase, size=budget.size, base=budget.base)

    def arm(run: Run, *, steps: int, phase: int | None, minibatch_std: bool = True) -> Outcome:
        game = progressive_gan(
            budget.size,
            base=budget.base,
            channels=domain.shape[0],
            phase=phase,
            minibatch_std=minibatch_std,
            ema=budget.ema,
            seed=run.seed,
        )
        run.fit(game, domain.train.batches(budget.batch_size, seed=run.seed), steps)
        return {"features": domain.sample(game.averaged("G"), run.seed)}

    growing = partial(arm, steps=budget.steps, phase=budget.phase)
    return Experiment(
        data=[domain.train, domain.held_out],
        arms={
            "progressive": growing,
            "direct": partial(arm, steps=whole, phase=None),
            "progressive, no minibatch std": partial(growing, minibatch_std=False),
            **domain.references,
        },
        claims=[
            Claim(
                f"Growing gives images closer to real ones than full size all along ({whole} steps), at "
                "equal arithmetic.",
                metric="domain FID",
                score=domain.fid,
                variant="progressive",
                baseline="direct",
                better="lower",
                references=list(domain.references),
            ),
            Claim(
                "Minibatch std lets the generator reach more of the real images.",
                metric="recall",
                score=lambda outcome: recall(domain.real, outcome["features"]),
                variant="progressive",
                baseline="progressive, no minibatch std",
                better="higher",
                references=list(domain.references),
            ),
        ],
    )
