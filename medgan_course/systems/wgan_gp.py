r"""S05, WGAN-GP (Gulrajani et al. 2017).

Gulrajani, Ahmed, Arjovsky, Dumoulin & Courville, *Improved Training of Wasserstein GANs*, NeurIPS 2017. It is
often cited as "WGAN", which is S04, another paper.

Instead of clipping weights, the critic pays for every slope that is not 1 between data and samples:

.. math::
    L_D = D(\hat x) - D(x)
        + \lambda\,\mathbb E_{\tilde x}\bigl(\|\nabla_{\tilde x}D(\tilde x)\|_2 - 1\bigr)^2, \qquad
    \tilde x = \epsilon x + (1-\epsilon)\hat x, \quad \epsilon\sim U[0, 1],

with :math:`\lambda = 10`, one :math:`\epsilon` for each sample, and the norm over all its pixels. The penalty
is about single images, so the critic has no batch norm, which would tie those of a batch together. The critic
moves several times a step; Adam with learning rate 1e-4 and betas (0, 0.9).

The penalty is soft. A critic of slope :math:`g` that separates the sets by :math:`g\hat W` gains
:math:`g\hat W - \lambda(g - 1)^2`, which is largest not at 1 but at

.. math:: g = 1 + \frac{\hat W}{2\lambda}, \qquad \hat W = \frac{\bar D(x) - \bar D(\hat x)}{g}.

A measured slope near 1 is therefore no test of an implementation; one near this value is.

.. code-block:: console

    medgan run wgan_gp
"""

from dataclasses import dataclass
from functools import partial

import torch
from torch import Tensor, nn
from torch.optim import Adam

from medgan_course import budgets
from medgan_course.budgets import choose
from medgan_course.data.batches import Batch
from medgan_course.experiments import Claim, Domain, Experiment, Outcome, Run
from medgan_course.losses.adversarial import Wasserstein
from medgan_course.losses.penalties import gradient_penalty
from medgan_course.systems.dcgan import dcgan, networks, sampler
from medgan_course.systems.gan import costs
from medgan_course.train import Game, Player, Turn

LAMBDA = 10.0


@dataclass(frozen=True)
class Budget(budgets.Budget):
    """What one training costs.

    Attributes
    ----------
    critic_steps : int
        Moves of the critic for one of the generator; the paper has five.
    """

    critic_steps: int


def budget() -> Budget:
    """Return what one training costs in the profile in force."""
    return choose(
        smoke=Budget(steps=4, size=28, base=8, batch_size=16, n_score=128, critic_steps=2),
        cpu=Budget(steps=400, size=28, base=32, batch_size=64, n_score=1_000, critic_steps=3),
        gpu=Budget(steps=12_000, size=64, base=64, batch_size=64, n_score=2_000, critic_steps=5),
    )


def wgan_gp(
    size: int,
    *,
    base: int = 32,
    z_dim: int = 64,
    channels: int = 1,
    batch_norm: bool = True,
    critic_steps: int = 5,
    seed: int = 0,
) -> Game:
    """Return the game.

    Parameters
    ----------
    size, base, z_dim, channels, seed
        As for :func:`~medgan_course.systems.dcgan.networks`.
    batch_norm : bool
        Whether the generator has it; the critic never has.
    critic_steps : int
        Moves of the critic for one of the generator.
    """
    generator, critic = networks(
        size,
        base=base,
        z_dim=z_dim,
        channels=channels,
        norms=("batch" if batch_norm else "none", "none"),
        seed=seed,
    )
    adam = partial(Adam, lr=1e-4, betas=(0.0, 0.9), fused=True)
    _, generator_cost = costs(Wasserstein)
    return Game(
        players={"G": Player(generator, optimiser=adam), "D": Player(critic, optimiser=adam)},
        turns=[Turn("D", critic_cost, times=critic_steps), Turn("G", generator_cost)],
    )


def critic_cost(game: Game, batch: Batch) -> dict[str, Tensor]:
    """Return the Wasserstein terms and, of the same generated images, the penalty times lambda."""
    critic, real = game["D"], batch.images
    fake = game["G"](game["G"].latent(len(real)))
    return {
        **Wasserstein.d_loss(real=critic(real), fake=critic(fake)),
        "penalty": LAMBDA * gradient_penalty(critic, real=real, fake=fake),
    }


def slope_error(critic: nn.Module, real: Tensor, fake: Tensor, *, seed: int = 0) -> float:
    """Return how far the mean slope between ``real`` and ``fake`` is from the one the penalty predicts.

    Parameters
    ----------
    critic : Module
        Images to logits.
    real, fake : Tensor
        ``(N, C, H, W)``.
    seed : int
        Of the points between them.
    """
    epsilon = torch.rand(len(real), 1, 1, 1, generator=torch.Generator().manual_seed(seed))
    between = (epsilon * real + (1 - epsilon) * fake).requires_grad_()
    (gradient,) = torch.autograd.grad(critic(between).sum(), between)
    slope = gradient.flatten(1).norm(dim=1).mean()
    with torch.no_grad():
        distance = (critic(real).mean() - critic(fake).mean()) / slope
    return float((slope - 1 - distance / (2 * LAMBDA)).abs())


def experiment(budget: Budget, *, dataset: str = "pneumoniamnist") -> Experiment:
    """Measure the slope, and train WGAN-GP and DCGAN with and without batch norm."""
    domain = Domain(dataset, budget.size, budget.n_score)
    plain = partial(dcgan, budget.size, base=budget.base, channels=domain.shape[0])
    penalised = partial(
        wgan_gp,
        budget.size,
        base=budget.base,
        channels=domain.shape[0],
        critic_steps=budget.critic_steps,
    )

    def fit(run: Run, game: Game) -> Outcome:
        run.fit(game, domain.train.batches(budget.batch_size, seed=run.seed), budget.steps)
        return {"features": domain.sample(sampler(game), run.seed)}

    def dcgan_arm(run: Run, *, batch_norm: bool) -> Outcome:
        return fit(run, plain(batch_norm=batch_norm, seed=run.seed))

    def wgan_gp_arm(run: Run, *, batch_norm: bool) -> Outcome:
        game = penalised(batch_norm=batch_norm, seed=run.seed)
        outcome = fit(run, game)
        # As the critic sees them in training: the generator in training mode, fresh noise.
        generator, critic = game["G"].cpu().train(), game["D"].cpu()
        real = domain.train.images[: domain.n]
        with torch.no_grad():
            fake = generator(generator.latent(len(real), seed=run.seed))
        return {**outcome, "error of the slope": torch.tensor([slope_error(critic, real, fake)])}

    with_it, without = "with batch norm in G only", "without batch norm"
    return Experiment(
        data=[domain.train, domain.held_out],
        arms={
            f"WGAN-GP {with_it}": partial(wgan_gp_arm, batch_norm=True),
            f"WGAN-GP {without}": partial(wgan_gp_arm, batch_norm=False),
            "DCGAN": partial(dcgan_arm, batch_norm=True),
            f"DCGAN {without}": partial(dcgan_arm, batch_norm=False),
            **domain.references,
        },
        claims=[
            Claim(
                "The slope between real and generated images is within 0.15 of 1 + W / (2 lambda).",
                metric="error of the slope",
                variant=f"WGAN-GP {with_it}",
                better="lower",
                margin=0.15,
                references=[f"WGAN-GP {without}"],
            ),
            Claim(
                "WGAN-GP trains without batch norm: its domain FID is within 1.5 times that with batch norm.",
                metric="domain FID",
                score=domain.fid,
                variant=f"WGAN-GP {without}",
                baseline=f"WGAN-GP {with_it}",
                compare="ratio",
                better="lower",
                margin=1.5,
                references=list(domain.references),
            ),
            Claim(
                "DCGAN does not: its domain FID without batch norm is more than twice that with it.",
                metric="domain FID",
                score=domain.fid,
                variant=f"DCGAN {without}",
                baseline="DCGAN",
                compare="ratio",
                better="higher",
                margin=2.0,
                fails=1.0,
                references=list(domain.references),
            ),
        ],
    )
