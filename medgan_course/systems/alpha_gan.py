r"""S08, alpha-GAN (Rosca et al. 2017).

Rosca, Lakshminarayanan, Warde-Farley & Mohamed, *Variational Approaches for Auto-Encoding Generative
Adversarial Networks*, arXiv 2017.

A VAE whose KL divergence is replaced by a discriminator of codes, :math:`C`, and whose likelihood is joined
by a discriminator of images, :math:`D`. With the code :math:`\hat z = E(x)`, the reconstruction
:math:`\hat x = G(\hat z)`, the sample :math:`x_g = G(z)`, and logits :math:`D, C`,

.. math::
    L_E &= \lambda\|x-\hat x\|_1 + r_D(\hat x) + r_C(\hat z), \\
    L_G &= \lambda\|x-\hat x\|_1 + r_D(\hat x) + r_D(x_g), \\
    L_D &= -\log\sigma(D(x)) - \log(1-\sigma(D(\hat x))) - \log(1-\sigma(D(x_g))), \\
    L_C &= -\log\sigma(C(z)) - \log(1-\sigma(C(\hat z))),

where

.. math:: r_D(u) = -\log\sigma(D(u)) + \log(1-\sigma(D(u))) = -D(u),

likewise :math:`r_C = -C`, and the norm is a mean over pixels. For the code discriminator the prior's
:math:`z` is what is real; a public re-implementation reports that version 1 of the paper has the two swapped.

Who gets which term is the following reading, for the paper leaves room: the encoder is charged for how its
reconstruction looks, :math:`r_D(\hat x)`, too. Encoder and generator move in one turn on

.. math:: \lambda\|x-\hat x\|_1 + r_D(\hat x) + r_D(x_g) + r_C(\hat z).

Each gets the gradient of its own cost and no other, since :math:`x_g` does not depend on :math:`E`, nor
:math:`\hat z` on :math:`G`. The authors, by the same report, update the four networks one after the other.
The weight :math:`\lambda`, about 1 to 40 depending on the data set, could not be checked against the paper.
"""

from typing import Any

import torch
from torch import Tensor, nn

from medgan_course import data, pretrained
from medgan_course.budgets import Budget, choose
from medgan_course.data.batches import Batch, Batches
from medgan_course.experiments import Claim, Experiment, Outcome, Run
from medgan_course.losses.adversarial import NonSaturating, Wasserstein
from medgan_course.losses.pixel import l1
from medgan_course.metrics.coverage import covered, nearest_mode
from medgan_course.metrics.features import FeatureNet, features
from medgan_course.nets import mlp
from medgan_course.nets.dcgan import Discriminator, Generator, Trunk
from medgan_course.systems.dcgan import dcgan, sampler
from medgan_course.systems.gan import gan, mixture
from medgan_course.train import Game, Turn

__all__ = ["alpha_gan", "budget", "experiment", "on_images", "on_points", "sampler"]

# Twenty-five centres two apart, and the standard deviation around each.
GRID = 2.0 * torch.cartesian_prod(torch.arange(-2, 3), torch.arange(-2, 3))
SIGMA = 0.1


def budget() -> Budget:
    """Return what one training on images costs in the profile in force."""
    return choose(
        smoke=Budget(steps=12, size=28, base=8, batch_size=16, n_score=64),
        cpu=Budget(steps=500, size=28, base=32, batch_size=64, n_score=1_000),
        gpu=Budget(steps=12_000, size=28, base=64, batch_size=64, n_score=2_000),
    )


def alpha_gan(
    encoder: nn.Module,
    generator: Generator | mlp.Generator,
    discriminator: nn.Module,
    code_discriminator: nn.Module,
    *,
    weight: float = 10.0,
) -> Game:
    r"""Return the game of the four networks.

    Parameters
    ----------
    encoder : nn.Module
        Maps samples to codes ``(N, z_dim)``.
    generator : nn.Module
        Maps codes to samples, and draws codes.
    discriminator, code_discriminator : nn.Module
        Map samples and codes to logits. Without batch norm in the latter, whose two batches would otherwise
        be told apart by their statistics.
    weight : float
        :math:`\lambda`.
    """

    def sampled(game: Game, batch: Batch) -> tuple[Tensor, Tensor]:
        return game["E"](batch.images), game["G"].latent(len(batch.images))

    def discriminator_cost(game: Game, batch: Batch) -> dict[str, Tensor]:
        coded, z = sampled(game, batch)
        terms = NonSaturating.d_loss(real=game["D"](batch.images), fake=game["D"](game["G"](z)))
        # Cross-entropy of "fake" for the reconstructions; their "real" is counted above.
        rebuilt = game["D"](game["G"](coded))
        return terms | {"reconstructed": NonSaturating.d_loss(real=rebuilt, fake=rebuilt)["fake"]}

    def code_cost(game: Game, batch: Batch) -> dict[str, Tensor]:
        coded, z = sampled(game, batch)
        return NonSaturating.d_loss(real=game["C"](z), fake=game["C"](coded))

    def autoencoder_cost(game: Game, batch: Batch) -> dict[str, Tensor]:
        coded, z = sampled(game, batch)
        rebuilt, generated = game["G"](coded), game["G"](z)
        return {
            "reconstruction": weight * l1(batch.images, rebuilt),
            "reconstructed": Wasserstein.g_loss(fake=game["D"](rebuilt))["adversarial"],
            "generated": Wasserstein.g_loss(fake=game["D"](generated))["adversarial"],
            "code": Wasserstein.g_loss(fake=game["C"](coded))["adversarial"],
        }

    return Game(
        players={"E": encoder, "G": generator, "D": discriminator, "C": code_discriminator},
        turns=[
            Turn("D", discriminator_cost),
            Turn("C", code_cost),
            Turn(("E", "G"), autoencoder_cost),
        ],
    )


def on_images(
    size: int,
    *,
    base: int = 32,
    z_dim: int = 64,
    channels: int = 1,
    weight: float = 10.0,
    seed: int = 0,
) -> Game:
    """Return the game on images: the networks of S03, its trunk with a linear head as the encoder."""
    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(seed)
        trunk = Trunk(size, base, channels)
        return alpha_gan(
            nn.Sequential(trunk, trunk.head(z_dim)),
            Generator(size, z_dim, base, channels),
            Discriminator(size, base, channels),
            mlp.Discriminator((z_dim,)),
            weight=weight,
        )


def on_points(*, z_dim: int = 2, width: int = 128, weight: float = 10.0, seed: int = 0) -> Game:
    """Return the game on points in the plane, all networks fully connected."""
    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(seed)
        return alpha_gan(
            mlp.Generator((z_dim,), 2, width),  # maps two numbers to z_dim numbers, as an encoder does
            mlp.Generator((2,), z_dim, width),
            mlp.Discriminator((2,), width),
            mlp.Discriminator((z_dim,), width),
            weight=weight,
        )


def experiment(budget: Budget, *, dataset: str = "mednist") -> Experiment:
    """Ask whether an encoder keeps more of the distribution: classes of images, and modes of a mixture.

    A domain classifier that has seen only real images counts the classes. Points are cheap: they get ten
    times the steps.
    """
    train, val = (data.load(dataset, size=budget.size, split=split) for split in ("train", "val"))
    domain = pretrained.load(f"features_{dataset}_{budget.size}", FeatureNet)
    nets: dict[str, Any] = {"base": budget.base, "channels": train.images.shape[1]}
    n_classes = len(train.class_names)

    def classes(images: Tensor) -> Tensor:
        return domain.label(features(domain, images)).argmax(1)

    def frequencies(read: Tensor) -> Tensor:
        return read.bincount(minlength=n_classes) / len(read)

    real = frequencies(classes(train.images))

    def image_arm(run: Run, game: Game) -> Outcome:
        run.fit(game, train.batches(budget.batch_size, seed=run.seed), budget.steps)
        generator = sampler(game)
        with torch.no_grad():
            made = [generator(z).cpu() for z in generator.latent(budget.n_score, seed=run.seed).split(256)]
        return {"classes": classes(torch.cat(made))}

    def point_arm(run: Run, game: Game) -> Outcome:
        points = mixture(GRID, SIGMA, n=20_000, seed=run.seed)
        batches = Batches(points.images, points.labels, 256, seed=run.seed)
        run.fit(game, batches, 10 * budget.steps)
        generator = game.averaged("G")
        with torch.no_grad():
            made = generator(generator.latent(5_000, seed=run.seed)).cpu()
        return {"modes": nearest_mode(made, GRID, sigma=SIGMA)}

    return Experiment(
        data=[train, val],
        arms={
            "alpha-GAN": lambda run: image_arm(run, on_images(budget.size, **nets, seed=run.seed)),
            "DCGAN": lambda run: image_arm(run, dcgan(budget.size, **nets, seed=run.seed)),
            "real images": lambda run: {"classes": classes(val.images)},
            "alpha-GAN on points": lambda run: point_arm(run, on_points(seed=run.seed)),
            "GAN on points": lambda run: point_arm(run, gan((2,), z_dim=2, width=128, seed=run.seed)),
            "real points": lambda run: {
                "modes": nearest_mode(
                    mixture(GRID, SIGMA, 5_000, seed=1_000 + run.seed).images, GRID, sigma=SIGMA
                )
            },
        },
        claims=[
            Claim(
                "The classes of alpha-GAN's images are closer to the real frequencies than those of DCGAN's.",
                metric="total variation of the class frequencies",
                score=lambda outcome: float((frequencies(outcome["classes"]) - real).abs().sum() / 2),
                variant="alpha-GAN",
                baseline="DCGAN",
                better="lower",
                references=["real images"],
            ),
            Claim(
                "Alpha-GAN covers more of 25 Gaussians than a GAN with the same generator and discriminator.",
                metric="share of modes covered",
                score=lambda outcome: float(covered(outcome["modes"], n_classes=len(GRID))) / len(GRID),
                variant="alpha-GAN on points",
                baseline="GAN on points",
                better="higher",
                references=["real points"],
            ),
        ],
    )
