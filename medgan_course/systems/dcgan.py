"""S03, DCGAN (Radford, Metz & Chintala 2016).

*Unsupervised Representation Learning with Deep Convolutional Generative Adversarial Networks*, ICLR 2016.

All-convolutional networks, batch norm in both, ReLU in the generator and LeakyReLU(0.2) in the discriminator,
weights from N(0, 0.02), Adam with learning rate 2e-4 and beta_1 = 0.5, the non-saturating loss, images in
[-1, 1].

.. code-block:: console

    medgan run dcgan

compares it with fully connected networks, and

.. code-block:: console

    python -m medgan_course.systems.dcgan --help

trains one generator to keep.
"""

import time
from collections.abc import Callable
from functools import partial
from pathlib import Path

import click
import torch
from sklearn.linear_model import LogisticRegression
from sklearn.pipeline import make_pipeline
from sklearn.preprocessing import StandardScaler
from torch import Tensor
from torch.optim import Adam

from medgan_course import data, pretrained
from medgan_course.budgets import Budget, choose
from medgan_course.data.augment import diff_augment
from medgan_course.experiments import Claim, Domain, Experiment, Outcome, Run
from medgan_course.experiments.runner import weights
from medgan_course.losses.adversarial import Adversarial, NonSaturating
from medgan_course.nets.dcgan import Discriminator, Generator
from medgan_course.systems.gan import costs, gan
from medgan_course.train import Game, Player, Turn, fit
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
    optimiser = partial(Adam, lr=2e-4, betas=(0.5, 0.99), fused=True) if stabilised else dcgan_adam
    return Game(
        players={
            "G": Player(generator, optimiser=optimiser, ema=0.999 if stabilised else None),
            "D": Player(discriminator, optimiser=optimiser),
        },
        turns=[Turn("G", generator_cost), Turn("D", discriminator_cost)],
    )


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


@click.command(help=__doc__.partition("\n")[0])
@click.option("--data", "dataset", default="pneumoniamnist", show_default=True)
@click.option("--size", default=64, show_default=True, type=int)
@click.option("--base", default=24, show_default=True, type=int)
@click.option("--steps", default=17_000, show_default=True, type=click.IntRange(min=1))
@click.option("--batch-size", default=64, show_default=True, type=int)
@click.option("--stabilised/--plain", default=True, show_default=True)
@click.option("--seed", default=0, show_default=True, type=int)
@click.option("--threads", default=1, show_default=True, type=int)
@click.option("--out", required=True, type=click.Path(path_type=Path), help="The .safetensors file to write.")
def main(
    dataset: str,
    size: int,
    base: int,
    steps: int,
    batch_size: int,
    stabilised: bool,
    seed: int,
    threads: int,
    out: Path,
) -> None:
    torch.set_num_threads(threads)
    torch.set_flush_denormal(True)
    train = data.load(dataset, size=size, split="train")
    game = dcgan(size, base=base, stabilised=stabilised, seed=seed)
    # An interrupted training goes on from here; one with other settings does not.
    settings = f"{dataset}-{size}-{base}-{batch_size}-{'stabilised' if stabilised else 'plain'}-{seed}"
    running = Path("runs") / f"dcgan-{settings}.safetensors"
    started = time.perf_counter()
    history = fit(game, train.batches(batch_size, seed=seed), steps, seed=seed, checkpoint=running)
    generator = sampler(game)
    pretrained.save(
        generator,
        out,
        config={"size": size, "z_dim": generator.z_dim, "base": base},
        system="S03 DCGAN" + (", stabilised" if stabilised else ""),
        data={"name": dataset, "split": "train", "size": size, "n": len(train), "source": train.source},
        surrogate=train.is_surrogate,
        steps=steps,
        batch_size=batch_size,
        seed=seed,
        device=torch.cuda.get_device_name() if torch.cuda.is_available() else f"CPU, {threads} thread(s)",
        seconds=round(time.perf_counter() - started),
        final_losses={
            name: round(sum(values[-500:]) / len(values[-500:]), 3) for name, values in history.items()
        },
    )
    running.unlink(missing_ok=True)
    click.echo(f"Wrote {out} and its card.")


if __name__ == "__main__":
    main()
