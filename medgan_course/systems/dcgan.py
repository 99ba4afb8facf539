"""S03, DCGAN (Radford, Metz & Chintala 2016).

*Unsupervised Representation Learning with Deep Convolutional Generative Adversarial Networks*, ICLR 2016.

All-convolutional networks, batch norm in both, ReLU in the generator and LeakyReLU(0.2) in the discriminator,
weights from N(0, 0.02), Adam with learning rate 2e-4 and beta_1 = 0.5, the non-saturating loss, images in
[-1, 1].

    python -m medgan_course.systems.dcgan --help

trains one from the command line.
"""

import time
from collections.abc import Callable
from pathlib import Path

import click
import torch
from torch import Tensor

from medgan_course import data, pretrained
from medgan_course.budgets import Budget, choose
from medgan_course.data.augment import diff_augment
from medgan_course.data.batches import Batch
from medgan_course.losses.adversarial import NonSaturating
from medgan_course.nets.dcgan import Discriminator, Generator
from medgan_course.train import Game, Player, Turn, fit
from medgan_course.train.game import Cost


def budget() -> Budget:
    """Return what one training costs in the profile in force."""
    return choose(
        smoke=Budget(steps=12, size=28, base=8, batch_size=16, n_score=64),
        cpu=Budget(steps=1_000, size=28, base=32, batch_size=64, n_score=1_000),
        gpu=Budget(steps=12_000, size=64, base=64, batch_size=64, n_score=2_000),
    )


def dcgan(size: int, *, base: int = 32, z_dim: int = 64, stabilised: bool = False, seed: int = 0) -> Game:
    """Return the game of the paper, or its stabilised variant for long trainings.

    Parameters
    ----------
    size : {28, 32, 64}
        Image side in pixels.
    base : int
        Width of both networks, see :class:`~medgan_course.nets.dcgan.Generator`.
    z_dim : int
        Length of the latent vector.
    stabilised : bool
        Three later ideas that keep thousands of steps on a few thousand images stable: spectral norm instead
        of batch norm in D (Miyato et al. 2018), differentiable augmentation before D (Zhao et al. 2020), and
        samples from a moving average of G's weights; beta_2 = 0.99.
    seed : int
        Seed of the initial weights.
    """
    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(seed)
        generator = Generator(size, z_dim, base)
        discriminator = Discriminator(size, base, norm="spectral" if stabilised else "batch")

    discriminator_cost, generator_cost = costs(diff_augment) if stabilised else costs()

    def adam(parameters):
        return torch.optim.Adam(parameters, lr=2e-4, betas=(0.5, 0.99 if stabilised else 0.999), fused=True)

    return Game(
        players={
            "G": Player(generator, optimiser=adam, ema=0.999 if stabilised else None),
            "D": Player(discriminator, optimiser=adam),
        },
        turns=[Turn("D", discriminator_cost), Turn("G", generator_cost)],
    )


def costs(seen: Callable[[Tensor], Tensor] = lambda images: images) -> tuple[Cost, Cost]:
    """Return the discriminator's and the generator's cost: the non-saturating loss.

    Parameters
    ----------
    seen : callable
        What happens to images ``(N, C, H, W)``, real and generated alike, before the discriminator sees them.
    """

    def generated(game: Game, batch: Batch) -> Tensor:
        return game["G"](game["G"].latent(len(batch.images)))

    def discriminator_cost(game: Game, batch: Batch) -> dict[str, Tensor]:
        return NonSaturating.d_loss(
            real=game["D"](seen(batch.images)), fake=game["D"](seen(generated(game, batch)))
        )

    def generator_cost(game: Game, batch: Batch) -> dict[str, Tensor]:
        return NonSaturating.g_loss(fake=game["D"](seen(generated(game, batch))))

    return discriminator_cost, generator_cost


def sampler(game: Game) -> Generator:
    """Return the generator to sample from: the moving average where there is one, in evaluation mode."""
    return game.averaged("G", inputs=[game["G"].latent(256, seed=seed) for seed in range(4)])


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
