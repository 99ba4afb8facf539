r"""S04, WGAN (Arjovsky, Chintala & Bottou 2017).

*Wasserstein Generative Adversarial Networks*, ICML 2017 (the preprint is called *Wasserstein GAN*).

The distance of data :math:`p` and samples :math:`q` that is lowered is the earth mover's,

.. math::
    W_1 = \sup_{\|f\|_L\le 1}\mathbb E_{x\sim p}f(x) - \mathbb E_{\hat x\sim q}f(\hat x), \qquad
    L_D = D(\hat x) - D(x), \qquad L_G = -D(\hat x),

so that :math:`-L_D` estimates it, up to the critic's Lipschitz constant, and :math:`D` is a critic: no
probability, no sigmoid. The constant is bounded by clipping every weight to :math:`[-c, c]`,
:math:`c = 0.01`, after each of the critic's moves. The critic moves five times a step; both players have
RMSprop with learning rate 5e-5, because momentum made the training unstable.

The critic has no batch norm here and starts inside the box, uniform in :math:`\pm c/2`. From DCGAN's
:math:`\mathcal N(0, 0.02)`, two thirds of the weights would be clipped to the edge by the first move, and
what clipping does during training would be hidden.

.. code-block:: console

    medgan run wgan
"""

from functools import partial

import torch
from scipy.stats import spearmanr
from torch import Tensor, nn
from torch.optim import Optimizer, RMSprop

from medgan_course.budgets import Budget, choose
from medgan_course.experiments import Claim, Domain, Experiment, Outcome, Run
from medgan_course.losses.adversarial import Wasserstein
from medgan_course.systems.dcgan import dcgan, networks, sampler
from medgan_course.systems.gan import costs
from medgan_course.train import Game, Player, Turn

CLIP = 0.01
STAGES = 12  # at which critic loss and FID are compared


def budget() -> Budget:
    """Return what one training costs in the profile in force."""
    return choose(
        smoke=Budget(steps=STAGES, size=28, base=8, batch_size=16, n_score=128),
        cpu=Budget(steps=300, size=28, base=32, batch_size=64, n_score=1_000),
        gpu=Budget(steps=12_000, size=64, base=64, batch_size=64, n_score=2_000),
    )


def wgan(
    size: int,
    *,
    base: int = 32,
    z_dim: int = 64,
    channels: int = 1,
    inside: bool = True,
    seed: int = 0,
) -> Game:
    """Return the game.

    Parameters
    ----------
    size, base, z_dim, channels, seed
        As for :func:`~medgan_course.systems.dcgan.networks`.
    inside : bool
        Whether the critic starts inside the box, or from DCGAN's weights.
    """
    generator, critic = networks(
        size, base=base, z_dim=z_dim, channels=channels, norms=("batch", "none"), seed=seed
    )
    if inside:
        draw = torch.Generator().manual_seed(seed)
        for weights in critic.parameters():
            nn.init.uniform_(weights, -CLIP / 2, CLIP / 2, generator=draw)
    critic_cost, generator_cost = costs(Wasserstein)
    return Game(
        players={
            "G": Player(generator, optimiser=partial(RMSprop, lr=5e-5)),
            "D": Player(critic, optimiser=clipping_rmsprop),
        },
        turns=[Turn("D", critic_cost, times=5), Turn("G", generator_cost)],
    )


def clipping_rmsprop(parameters: list[nn.Parameter]) -> RMSprop:
    """Return RMSprop with learning rate 5e-5 that clips the weights after each of its steps."""
    optimiser = RMSprop(parameters, lr=5e-5)
    optimiser.register_step_post_hook(clip)
    return optimiser


@torch.no_grad()
def clip(optimiser: Optimizer, *_: object) -> None:
    """Clip every weight that ``optimiser`` moves to [-c, c]."""
    for group in optimiser.param_groups:
        for weights in group["params"]:
            weights.clamp_(-CLIP, CLIP)


def share_at_edge(critic: nn.Module) -> Tensor:
    """Return the share of weights within 1 % of the edge of the box, a scalar."""
    weights = torch.cat([each.detach().flatten() for each in critic.parameters()])
    return (weights.abs() >= 0.99 * CLIP).float().mean()


def experiment(budget: Budget, *, dataset: str = "pneumoniamnist") -> Experiment:
    """Ask whether the critic's loss follows the quality of the images, and where clipping leaves weights."""
    domain = Domain(dataset, budget.size, budget.n_score)
    clipped, plain = (
        partial(game, budget.size, base=budget.base, channels=domain.shape[0]) for game in (wgan, dcgan)
    )
    correlation, rise = "rank correlation with domain FID", "rise of the share of weights at the edge"

    def follow(run: Run, game: Game) -> Outcome:
        """Return the discriminator's mean loss and the FID at every stage."""
        losses, distances, read = [], [], 0
        batches = domain.train.batches(budget.batch_size, seed=run.seed)
        for _ in run.stages(game, batches, budget.steps, STAGES):
            total = torch.tensor(game.history["D.real"]) + torch.tensor(game.history["D.fake"])
            losses.append(float(total[read:].mean()))
            distances.append(domain.distance(domain.sample(sampler(game), run.seed)))
            read = len(total)
        return {"loss": torch.tensor([losses]), "domain FID": torch.tensor([distances])}

    def wgan_arm(run: Run, *, inside: bool) -> Outcome:
        game = clipped(inside=inside, seed=run.seed)
        before = share_at_edge(game["D"])
        followed = follow(run, game)
        ranks = spearmanr(-followed["loss"][0], followed["domain FID"][0]).statistic
        after = share_at_edge(game["D"]).cpu()
        return {**followed, correlation: torch.tensor([ranks]), rise: (after - before)[None]}

    def dcgan_arm(run: Run) -> Outcome:
        followed = follow(run, plain(seed=run.seed))
        ranks = spearmanr(followed["loss"][0], followed["domain FID"][0]).statistic
        return {**followed, correlation: torch.tensor([abs(ranks)])}

    return Experiment(
        data=[domain.train, domain.held_out],
        arms={
            "WGAN": partial(wgan_arm, inside=True),
            "DCGAN": dcgan_arm,
            "WGAN from N(0, 0.02)": partial(wgan_arm, inside=False),
        },
        claims=[
            Claim(
                "Over a training, minus the critic's loss follows the domain FID: rank correlation over 0.6.",
                metric=correlation,
                variant="WGAN",
                better="higher",
                margin=0.6,
                fails=0.0,
                references=["WGAN from N(0, 0.02)"],
            ),
            Claim(
                "It does so more closely than the loss of DCGAN's discriminator, whichever sign that has.",
                metric=correlation,
                variant="WGAN",
                baseline="DCGAN",
                better="higher",
                references=["WGAN from N(0, 0.02)"],
            ),
            Claim(
                "Clipping drives at least 40 % of the critic's weights to the edge of the box.",
                metric=rise,
                variant="WGAN",
                better="higher",
                margin=0.4,
                fails=0.0,
                references=["WGAN from N(0, 0.02)"],
            ),
        ],
    )
