"""S03, DCGAN (Radford, Metz & Chintala 2016).

*Unsupervised Representation Learning with Deep Convolutional Generative Adversarial Networks*, ICLR 2016.

All-convolutional networks, batch norm in both, ReLU in the generator and LeakyReLU(0.2) in the discriminator,
weights from N(0, 0.02), Adam with learning rate 2e-4 and beta_1 = 0.5, the non-saturating loss, images in
[-1, 1].

.. code-block:: console

    medgan run dcgan

compares it with fully connected networks, and

.. code-block:: console

    medgan train dcgan

trains the generator that the course ships.
"""

from collections.abc import Callable
from functools import partial

import torch
from sklearn.linear_model import LogisticRegression
from sklearn.pipeline import make_pipeline
from sklearn.preprocessing import StandardScaler
from torch import Tensor
from torch.optim import Adam

from medgan_course import data
from medgan_course.budgets import Budget, choose
from medgan_course.data.augment import diff_augment
from medgan_course.experiments import Claim, Domain, Experiment, Outcome, Run, Trained
from medgan_course.experiments.runner import weights
from medgan_course.losses.adversarial import Adversarial, NonSaturating
from medgan_course.nets.dcgan import Discriminator, Generator
from medgan_course.systems.gan import costs, gan
from medgan_course.train import Game, Player, Turn
from medgan_course.train.game import dcgan_adam


def budget() -> Budget:
    """Return what one training costs in the profile in force."""
    return choose(
        smoke=Budget(steps=12, size=28, base=8, batch_size=16, n_score=64),
        cpu=Budget(steps=1_000, size=28, base=32, batch_size=64, n_score=1_000),
        gpu=Budget(steps=12_000, size=64, base=64, batch_size=64, n_score=2_000),
    )


def networks(
    size: int,
    *,
    base: int = 32,
    z_dim: int = 64,
    channels: int = 1,
    norms: tuple[str, str] = ("batch", "batch"),
    seed: int = 0,
) -> tuple[Generator, Discriminator]:
    """Return generator and discriminator.

    Parameters
    ----------
    size : {16, 28, 32, 64}
        Image side in pixels.
    base : int
        Width of both networks, see :class:`~medgan_course.nets.dcgan.Generator`.
    z_dim : int
        Length of the latent vector.
    channels : int
        Image channels; 1 for grey.
    norms : tuple of str
        The generator's and the discriminator's ``norm``.
    seed : int
        Seed of the initial weights.
    """
    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(seed)
        return (
            Generator(size, z_dim, base, channels, norm=norms[0]),
            Discriminator(size, base, channels, norm=norms[1]),
        )


def dcgan(
    size: int,
    *,
    base: int = 32,
    z_dim: int = 64,
    channels: int = 1,
    loss: Adversarial = NonSaturating,
    batch_norm: bool = True,
    stabilised: bool = False,
    seed: int = 0,
) -> Game:
    """Return the game of the paper, or its stabilised variant for long trainings.

    Parameters
    ----------
    size, base, z_dim, channels, seed
        As for :func:`networks`.
    loss : Adversarial
        The adversarial loss.
    batch_norm : bool
        False leaves it out of both networks, for the comparison that shows what it does.
    stabilised : bool
        Three later ideas that keep thousands of steps on a few thousand images stable: spectral norm instead
        of batch norm in D (Miyato et al. 2018), differentiable augmentation before D (Zhao et al. 2020), and
        samples from a moving average of G's weights; beta_2 = 0.99.
    """
    norm = "batch" if batch_norm else "none"
    generator, discriminator = networks(
        size,
        base=base,
        z_dim=z_dim,
        channels=channels,
        norms=(norm, "spectral" if stabilised else norm),
        seed=seed,
    )
    discriminator_cost, generator_cost = costs(loss, diff_augment) if stabilised else costs(loss)
    optimiser = stabilised_adam if stabilised else dcgan_adam
    return Game(
        players={
            "G": Player(generator, optimiser=optimiser, ema=0.999 if stabilised else None),
            "D": Player(discriminator, optimiser=optimiser),
        },
        turns=[Turn("G", generator_cost), Turn("D", discriminator_cost)],
    )


stabilised_adam = partial(Adam, lr=2e-4, betas=(0.5, 0.99), fused=True)


def sampler(game: Game) -> Generator:
    """Return the generator to sample from: the moving average where there is one, in evaluation mode."""
    return game.averaged("G", inputs=[game["G"].latent(256, seed=seed) for seed in range(4)])


def experiment(budget: Budget, *, dataset: str = "pneumoniamnist") -> Experiment:
    """Compare DCGAN with an MLP-GAN that has at least its weights, in both networks, at equal steps.

    And ask a linear classifier what the discriminator's features are worth, beside the pixels themselves and
    a discriminator that has not been trained.
    """
    domain = Domain(dataset, budget.size, budget.n_score)
    train, test = domain.train, data.load(dataset, size=budget.size, split="test")

    def plain(seed: int) -> Game:
        return dcgan(budget.size, base=budget.base, channels=domain.shape[0], seed=seed)

    def probe(trunk: Callable[[Tensor], Tensor]) -> Tensor:
        """Return for each test image whether a linear classifier on features of ``train`` is right.

        Its penalty is a hundred times that of :func:`~medgan_course.metrics.downstream.linear_probe`, under
        which the pixels themselves, the baseline, would do worse.
        """
        with torch.no_grad():
            seen, asked = (trunk(images).flatten(1) for images in (train.images, test.images))
        classifier = make_pipeline(StandardScaler(), LogisticRegression(C=1e-2, max_iter=1_000))
        guessed = classifier.fit(seen, train.labels).predict(asked)
        return (torch.from_numpy(guessed) == test.labels).float()

    def dcgan_arm(run: Run) -> Outcome:
        game = plain(run.seed)
        run.fit(game, train.batches(budget.batch_size, seed=run.seed), budget.steps)
        return {
            "features": domain.sample(sampler(game), run.seed),
            "probe accuracy": probe(game.averaged("D").cpu().trunk),
        }

    def mlp_arm(run: Run) -> Outcome:
        game = gan(domain.shape, width=width, seed=run.seed)
        run.fit(game, train.batches(budget.batch_size, seed=run.seed), budget.steps)
        return {"features": domain.sample(game.averaged("G"), run.seed)}

    width, least = 64, weights(plain(0))
    while any(n < least[net] for net, n in weights(gan(domain.shape, width=width)).items()):
        width *= 2
    statement = "A linear probe on the discriminator's features beats one on "
    return Experiment(
        data=[train, domain.held_out, test],
        arms={
            "DCGAN": dcgan_arm,
            "MLP-GAN": mlp_arm,
            **domain.references,
            "raw pixels": lambda run: {"probe accuracy": probe(lambda images: images)},
            "untrained D": lambda run: {"probe accuracy": probe(plain(run.seed).averaged("D").trunk)},
        },
        claims=[
            Claim(
                "DCGAN's images are closer to real ones than those of an MLP-GAN with at least its weights.",
                metric="domain FID",
                score=domain.fid,
                variant="DCGAN",
                baseline="MLP-GAN",
                better="lower",
                references=list(domain.references),
            ),
            *(
                Claim(
                    statement + what,
                    metric="probe accuracy",
                    variant="DCGAN",
                    baseline=baseline,
                    better="higher",
                    references=[other],
                )
                for baseline, other, what in (
                    ("raw pixels", "untrained D", "the pixels themselves."),
                    ("untrained D", "raw pixels", "those of a discriminator that has not been trained."),
                )
            ),
        ],
    )


def training(
    run: Run,
    *,
    dataset: str = "pneumoniamnist",
    size: int = 64,
    base: int = 24,
    steps: int = 17_000,
    batch_size: int = 64,
) -> Trained:
    """Train the stabilised generator, to be kept."""
    train = data.load(dataset, size=size, split="train")
    channels = train.images.shape[1]
    game = dcgan(size, base=base, channels=channels, stabilised=True, seed=run.seed)
    history = run.fit(game, train.batches(batch_size, seed=run.seed), steps)
    net = sampler(game)
    config = {"size": size, "z_dim": net.z_dim, "base": base, "channels": channels}
    return Trained(net, Generator, config, train, history)
