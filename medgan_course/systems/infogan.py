r"""S09, InfoGAN (Chen et al. 2016).

Chen, Duan, Houthooft, Schulman, Sutskever & Abbeel, *InfoGAN: Interpretable Representation Learning by
Information Maximizing Generative Adversarial Nets*, NeurIPS 2016.

The generator gets codes :math:`c` beside the noise :math:`z`: one of :math:`K` categories, and numbers
uniform on [-1, 1). That the image shows them is asked for by a lower bound on their mutual information, with
a network :math:`Q` that guesses the codes:

.. math::
    \min_{G,Q}\max_D\; V - \lambda L_I, \qquad
    L_I = \mathbb E_{c,\,x\sim G(z,c)}\log Q(c\mid x) + H(c) \le I(c; G(z, c)).

:math:`Q` is a softmax for the category and a normal distribution, with mean and variance of its own, for
each number. It shares the trunk of :math:`D`. The formula leaves open whose the trunk is; as in the authors'
code, the discriminator's turn lowers :math:`-\lambda L_I` too, over trunk and heads, and the generator's turn
lowers it over :math:`G`. Their :math:`Q` has one more hidden layer than ours, which is a linear head.
"""

from typing import NamedTuple

import torch
from torch import Tensor
from torch.nn.functional import one_hot

from medgan_course import data, draws
from medgan_course.budgets import Budget, choose
from medgan_course.data.batches import Batch
from medgan_course.experiments import Claim, Experiment, Outcome, Run
from medgan_course.losses.adversarial import NonSaturating
from medgan_course.losses.latent import categorical_information, gaussian_information
from medgan_course.metrics.downstream import rank_correlation
from medgan_course.nets import latent
from medgan_course.nets.dcgan import Generator, Trunk
from medgan_course.nets.heads import Heads
from medgan_course.train import Game, Turn

CATEGORIES, NUMBERS, NOISE = 6, 2, 62


class Codes(NamedTuple):
    """Category, int64 ``(N,)``, and numbers in [-1, 1), ``(N, 2)``, that generated images are to show."""

    category: Tensor
    numbers: Tensor


def budget() -> Budget:
    """Return what one training costs in the profile in force."""
    return choose(
        smoke=Budget(steps=12, size=28, base=8, batch_size=16, n_score=64),
        cpu=Budget(steps=1_000, size=28, base=32, batch_size=64, n_score=500),
        gpu=Budget(steps=12_000, size=64, base=64, batch_size=64, n_score=2_000),
    )


def infogan(
    size: int,
    *,
    base: int = 32,
    channels: int = 1,
    categorical: float = 1.0,
    continuous: float = 0.1,
    seed: int = 0,
) -> Game:
    r"""Return the game of generator and discriminator, the latter with the heads of Q.

    Parameters
    ----------
    size : {16, 28, 32, 64}
        Image side in pixels.
    base : int
        Width of both networks, see :class:`~medgan_course.nets.dcgan.Generator`.
    channels : int
        Image channels; 1 for grey.
    categorical, continuous : float
        :math:`\lambda` for the category and for the numbers. 0 for both: a GAN whose codes are more noise.
    seed : int
        Seed of the initial weights.
    """
    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(seed)
        generator = Generator(size, NOISE + CATEGORIES + NUMBERS, base, channels)
        discriminator = Heads(
            Trunk(size, base, channels), source=1, category=CATEGORIES, mean=NUMBERS, log_variance=NUMBERS
        )

    def generated(game: Game, batch: Batch) -> tuple[dict[str, Tensor], Codes]:
        codes = draw(len(batch.images), batch.images.device)
        noise = latent.normal(game["G"], len(batch.images), NOISE)
        return game["D"](game["G"](joined(noise, codes))), codes

    def information(guessed: dict[str, Tensor], codes: Codes) -> dict[str, Tensor]:
        category = categorical_information(logits=guessed["category"], code=codes.category)
        numbers = gaussian_information(
            mean=guessed["mean"], log_variance=guessed["log_variance"], code=codes.numbers
        )
        return {"category": categorical * category, "numbers": continuous * numbers}

    def discriminator_cost(game: Game, batch: Batch) -> dict[str, Tensor]:
        fake, codes = generated(game, batch)
        real = game["D"](batch.images)
        return NonSaturating.d_loss(real=real["source"], fake=fake["source"]) | information(fake, codes)

    def generator_cost(game: Game, batch: Batch) -> dict[str, Tensor]:
        fake, codes = generated(game, batch)
        return NonSaturating.g_loss(fake=fake["source"]) | information(fake, codes)

    return Game(
        players={"G": generator, "D": discriminator},
        turns=[Turn("D", discriminator_cost), Turn("G", generator_cost)],
    )


def draw(n: int, device: torch.device | str | None = None) -> Codes:
    """Draw the codes of ``n`` images."""
    return Codes(
        draws.integers(CATEGORIES, n, device=device),
        draws.uniform(n, NUMBERS, low=-1, high=1, device=device),
    )


def joined(noise: Tensor, codes: Codes) -> Tensor:
    """Return the generator's input ``(N, 70)``: noise ``(N, 62)``, the category as six bits, the numbers."""
    return torch.cat((noise, one_hot(codes.category, CATEGORIES), codes.numbers), 1)


def sampler(game: Game) -> Generator:
    """Return the generator to sample from, in evaluation mode: ``net(joined(noise, codes))``."""
    device = next(game["G"].parameters()).device
    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(0)
        inputs = [joined(draws.normal(256, NOISE), draw(256)).to(device) for _ in range(4)]
    return game.averaged("G", inputs=inputs)


def factors(images: Tensor) -> Tensor:
    """Return what can be measured on an image, ``(N, 5)``.

    Mean, standard deviation, share of bright pixels, and the centre of brightness across and down.
    """
    bright = (images.mean(1) + 1) / 2
    axis = torch.linspace(-1, 1, images.shape[-1])
    mass = bright.sum((1, 2)).clamp_min(1e-6)
    across, down = (bright.sum(1) * axis).sum(1) / mass, (bright.sum(2) * axis).sum(1) / mass
    share = (bright > 0.5).float().mean((1, 2))
    return torch.stack((bright.mean((1, 2)), bright.std((1, 2)), share, across, down), 1)


def strongest(outcome: Outcome) -> float:
    """Return the largest absolute rank correlation between a number and a factor."""
    return float(rank_correlation(outcome["numbers"], outcome["factors"]).abs().max())


def experiment(budget: Budget, *, dataset: str = "pneumoniamnist") -> Experiment:
    """Ask whether one of the numbers steers something that can be measured on the images.

    Real images come without factors of variation, so simple ones are measured on what is generated. The
    largest of ten correlations is above 0 by chance: codes that belong to other images show by how much. The
    third claim is a check of the machinery: whether the codes are in the images at all, in whatever way.
    """
    train = data.load(dataset, size=budget.size, split="train")

    def arm(run: Run, **weights: float) -> Outcome:
        game = infogan(
            budget.size, base=budget.base, channels=train.images.shape[1], seed=run.seed, **weights
        )
        run.fit(game, train.batches(budget.batch_size, seed=run.seed), budget.steps)
        net, codes = sampler(game).cpu(), draw(budget.n_score)
        with torch.no_grad():
            made = net(joined(latent.normal(net, budget.n_score, NOISE, seed=run.seed), codes))
            guessed = game.averaged("D").cpu()(made)["category"].argmax(1)
        read = (guessed == codes.category).float()
        return {"numbers": codes.numbers, "factors": factors(made), "category read": read}

    def chance_arm(run: Run) -> Outcome:
        some = torch.randperm(len(train))[: budget.n_score]
        return {"numbers": draw(len(some)).numbers, "factors": factors(train.images[some])}

    statement = "A number of InfoGAN's code steers something measurable on the image"
    metric = "largest |Spearman correlation| of a number and a factor"
    return Experiment(
        data=[train],
        arms={
            "InfoGAN": arm,
            "weight 0": lambda run: arm(run, categorical=0.0, continuous=0.0),
            "codes of other images": chance_arm,
        },
        claims=[
            Claim(
                f"{statement}: a rank correlation of at least 0.5.",
                metric=metric,
                score=strongest,
                variant="InfoGAN",
                better="higher",
                margin=0.5,
                references=["codes of other images"],
            ),
            Claim(
                f"{statement}, by 0.25 more than when nothing asks for it.",
                metric=metric,
                score=strongest,
                variant="InfoGAN",
                baseline="weight 0",
                better="higher",
                margin=0.25,
                fails=0.1,
                references=["codes of other images"],
            ),
            Claim(
                "The category is in the image: Q reads nine of ten, or more.",
                metric="category read",
                variant="InfoGAN",
                better="higher",
                margin=0.9,
                references=["weight 0"],
            ),
        ],
    )
