r"""S10, AdaIN and StyleGAN2 (Karras, Laine, Aittala, Hellsten, Lehtinen & Aila 2020).

*Analyzing and Improving the Image Quality of StyleGAN*, CVPR 2020, after Karras, Laine & Aila, *A Style-Based
Generator Architecture for Generative Adversarial Networks*, CVPR 2019, and Huang & Belongie, *Arbitrary Style
Transfer in Real-time with Adaptive Instance Normalization*, ICCV 2017.

The non-saturating loss and two lazy penalties, each a turn of its own, taken in every :math:`k`-th step and
weighed :math:`k`-fold there:

.. math::
    L_D = -\log\sigma(D(x)) - \log(1-\sigma(D(\hat x)))
        + \tfrac\gamma2\,\mathbb E\|\nabla_x D(x)\|_2^2 \quad(k=16), \qquad
    L_G = -\log\sigma(D(\hat x))
        + 2\,\mathbb E_{w,y}(\ell-a)^2 \quad(k=8),

with the path length :math:`\ell` of :func:`~medgan_course.losses.penalties.path_length`.

:math:`\gamma` is 10 at 1024 x 1024 pixels in the paper; ours is that times the share of the pixels, as the
authors have it later for CIFAR-10 (Karras et al. 2020, *Training Generative Adversarial Networks with Limited
Data*). The path length is taken of half a batch. 90 % of the images in training have two styles, which change
at a random layer (style mixing); the authors draw once for a batch, we for each image.

Adam with learning rate 2e-3 and betas (0, 0.99). Who moves :math:`k+1` times in :math:`k` steps has, with
:math:`c=k/(k+1)`, the learning rate :math:`c\cdot` 2e-3 and the betas :math:`(0, 0.99^c)` (appendix B).

.. code-block:: console

    medgan run stylegan2
"""

from collections.abc import Callable
from dataclasses import dataclass
from functools import partial
from itertools import pairwise
from typing import Any, Literal

import torch
from torch import Tensor
from torch.optim import Adam

from medgan_course import budgets, draws
from medgan_course.budgets import choose
from medgan_course.data.batches import Batch
from medgan_course.experiments import Claim, Domain, Experiment, Outcome, Run
from medgan_course.losses.adversarial import NonSaturating
from medgan_course.losses.penalties import path_length, r1_penalty
from medgan_course.metrics.coverage import precision, recall
from medgan_course.metrics.diversity import perceptual_path_length
from medgan_course.metrics.features import features
from medgan_course.nets.style import Discriminator, Generator
from medgan_course.train import Game, Player, Turn

R1_EVERY, PATH_EVERY = 16, 8
PATH_WEIGHT, MIXING = 2.0, 0.9
PSI = (1.0, 0.7, 0.3)


@dataclass(frozen=True)
class Budget(budgets.Budget):
    """What one training costs.

    Attributes
    ----------
    path_penalty : bool
        Whether the path length penalty is on. It costs a twentieth of the time, and is the generator's
        largest term in the first dozens of steps.
    ema : float
        Decay of the generator's moving average. It forgets the initial weights after some ``5 / (1 - ema)``
        steps.
    """

    path_penalty: bool
    ema: float


def budget() -> Budget:
    """Return what one training costs in the profile in force."""
    return choose(
        smoke=Budget(steps=4, size=28, base=4, batch_size=8, n_score=64, path_penalty=True, ema=0.5),
        cpu=Budget(steps=700, size=28, base=16, batch_size=16, n_score=1_000, path_penalty=False, ema=0.99),
        gpu=Budget(
            steps=12_000, size=64, base=32, batch_size=32, n_score=2_000, path_penalty=True, ema=0.998
        ),
    )


def stylegan2(
    size: int,
    *,
    base: int = 16,
    z_dim: int = 64,
    channels: int = 1,
    path_penalty: bool = True,
    ema: float = 0.998,
    seed: int = 0,
) -> Game:
    """Return the game.

    Parameters
    ----------
    size : {16, 28, 32, 64}
        Image side in pixels.
    base : int
        Width of both networks, see :func:`~medgan_course.nets.progressive.plan`.
    z_dim : int
        Length of latent vectors and styles.
    channels : int
        Image channels; 1 for grey.
    path_penalty : bool
        Whether the generator pays for uneven path lengths.
    ema : float
        Decay of the moving average of the generator's weights: half of it is forgotten after 10 000 images in
        the paper, which is 0.998 for batches of 32.
    seed : int
        Seed of the initial weights.
    """
    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(seed)
        generator = Generator(size, z_dim, base, channels)
        discriminator = Discriminator(size, base, channels)
    gamma = 10 * (size / 1024) ** 2

    def r1_cost(game: Game, batch: Batch) -> dict[str, Tensor]:
        return {"R1": R1_EVERY * gamma * r1_penalty(game["D"], real=batch.images)}

    turns = [Turn("D", discriminator_cost), Turn("D", r1_cost, every=R1_EVERY), Turn("G", generator_cost)]
    if path_penalty:
        turns.append(Turn("G", path_cost, every=PATH_EVERY))
    return Game(
        players={
            "G": Player(generator, optimiser=lazy_adam(PATH_EVERY if path_penalty else None), ema=ema),
            "D": Player(discriminator, optimiser=lazy_adam(R1_EVERY)),
        },
        turns=turns,
    )


def lazy_adam(every: int | None) -> Callable[[Any], Adam]:
    """Return Adam for a player with another move in every ``every``-th step, or without one."""
    c = 1.0 if every is None else every / (every + 1)
    return partial(Adam, lr=c * 2e-3, betas=(0.0, 0.99**c), fused=True)


def generated(game: Game, batch: Batch) -> Tensor:
    """Return as many new images as the batch has, most of them of two styles."""
    generator, n, device = game["G"], len(batch.images), batch.images.device
    first, second = (generator.mapping(generator.latent(n)) for _ in range(2))
    layer = 1 + draws.integers(generator.n_styles - 1, n, device=device)
    crossover = torch.where(draws.uniform(n, device=device) < MIXING, layer, generator.n_styles)
    return generator.synthesis(generator.mixed(first, second, crossover))


def discriminator_cost(game: Game, batch: Batch) -> dict[str, Tensor]:
    """Return the non-saturating loss of the discriminator."""
    return NonSaturating.d_loss(real=game["D"](batch.images), fake=game["D"](generated(game, batch)))


def generator_cost(game: Game, batch: Batch) -> dict[str, Tensor]:
    """Return the non-saturating loss of the generator."""
    return NonSaturating.g_loss(fake=game["D"](generated(game, batch)))


def path_cost(game: Game, batch: Batch) -> dict[str, Tensor]:
    """Return the path length penalty of half a batch, with its weight and for the steps it is left out."""
    generator = game["G"]
    w = generator.mapping(generator.latent((len(batch.images) + 1) // 2))
    styles = w[:, None].expand(-1, generator.n_styles, -1)
    penalty = path_length(generator.synthesis, styles, average=generator.path_length)
    return {"path length": PATH_EVERY * PATH_WEIGHT * penalty}


def experiment(budget: Budget, *, dataset: str = "pneumoniamnist") -> Experiment:
    """Truncate one trained generator more and more, and compare paths between styles and between latents.

    The straight line between two styles is shorter than the image of an arc, whatever the mapping network has
    learned. What it has learned is the difference to the rows of a generator that has not been trained.
    """
    domain = Domain(dataset, budget.size, budget.n_score)

    def new_game(run: Run) -> Game:
        return stylegan2(
            budget.size,
            base=budget.base,
            channels=domain.shape[0],
            path_penalty=budget.path_penalty,
            ema=budget.ema,
            seed=run.seed,
        )

    def trained(run: Run) -> Generator:
        game = new_game(run)
        batches = domain.train.batches(budget.batch_size, seed=run.seed)
        run.fit(game, batches, budget.steps, name="StyleGAN2")
        return game.averaged("G")

    def truncated_arm(run: Run, *, psi: float) -> Outcome:
        generator = trained(run)
        with torch.no_grad():
            images = generator(generator.latent(domain.n, seed=run.seed), psi)
        return {"features": features(domain.net, images.cpu())}

    def path_arm(run: Run, *, space: Literal["w", "z"], untrained: bool = False) -> Outcome:
        generator = new_game(run).averaged("G") if untrained else trained(run)
        return {"PPL": perceptual_path_length(generator, domain.net, domain.n, space=space, seed=run.seed)}

    def share(of: Callable[..., float]) -> Callable[[Outcome], float]:
        return lambda outcome: of(domain.real, outcome["features"])

    truncated = {psi: f"psi = {psi}" for psi in PSI}
    steps = list(pairwise(truncated.values()))
    return Experiment(
        data=[domain.train, domain.held_out],
        arms={
            **{name: partial(truncated_arm, psi=psi) for psi, name in truncated.items()},
            "paths in W": partial(path_arm, space="w"),
            "paths in Z": partial(path_arm, space="z"),
            "paths in W, untrained": partial(path_arm, space="w", untrained=True),
            "paths in Z, untrained": partial(path_arm, space="z", untrained=True),
            **domain.references,
        },
        claims=[
            *(
                Claim(
                    f"Truncation from {before} to {after} raises precision.",
                    metric="precision",
                    score=share(precision),
                    variant=after,
                    baseline=before,
                    better="higher",
                    references=list(domain.references),
                )
                for before, after in steps
            ),
            *(
                Claim(
                    f"Truncation from {before} to {after} lowers recall.",
                    metric="recall",
                    score=share(recall),
                    variant=after,
                    baseline=before,
                    better="lower",
                    references=list(domain.references),
                )
                for before, after in steps
            ),
            Claim(
                "Images change less along lines between styles than along arcs between latent vectors.",
                metric="PPL",
                variant="paths in W",
                baseline="paths in Z",
                better="lower",
                references=["paths in W, untrained", "paths in Z, untrained"],
            ),
        ],
    )
