"""Record the three trainings that exercise 4.4 asks to diagnose.

.. code-block:: console

    python -m medgan_course.exercises.record_runs

takes about ten minutes on one thread and needs the real PneumoniaMNIST.
"""

import json
import platform
from collections.abc import Callable
from dataclasses import asdict, dataclass
from datetime import UTC, datetime
from typing import Any

import click
import numpy as np
import torch

import medgan_course
from medgan_course import data
from medgan_course.errors import CourseError
from medgan_course.exercises.recorded_runs import FILE, TERMS
from medgan_course.metrics.diversity import spread
from medgan_course.nets.dcgan import Discriminator, Generator
from medgan_course.systems import dcgan
from medgan_course.train import Game, Player, Turn, fit
from medgan_course.writing import replacing

STEPS, BATCH_SIZE, SEED = 1_000, 64, 0
WATCH_EVERY = 20
SAMPLED_AT = (0, 100, 400, 1_000)
N_SAMPLES = 16


@dataclass(frozen=True)
class Settings:
    """What one of the three runs does; everything else is the same in all."""

    label: str
    lr_g: float
    lr_d: float
    beta1: float = 0.5
    g_turns: int = 1
    d_turns: int = 1
    norm: str = "batch"


# Found by trying: the usual setting; a generator that runs away from a slow discriminator; the reverse.
SETTINGS = {
    "A": Settings("discriminator too strong", lr_g=2e-5, lr_d=5e-4, d_turns=3),
    "B": Settings("healthy", lr_g=2e-4, lr_d=2e-4),
    "C": Settings("mode collapse", lr_g=1e-3, lr_d=2e-4, beta1=0.9, g_turns=3, norm="spectral"),
}


def play(settings: Settings, train: data.Dataset) -> dict[str, np.ndarray]:
    """Train one run and return its curves and its samples, the latter as uint8."""

    def adam(lr: float) -> Callable[..., torch.optim.Optimizer]:
        return lambda parameters: torch.optim.Adam(
            parameters, lr=lr, betas=(settings.beta1, 0.999), fused=True
        )

    discriminator_cost, generator_cost = dcgan.costs()
    torch.manual_seed(SEED)
    generator, discriminator = Generator(train.size), Discriminator(train.size, norm=settings.norm)
    game = Game(
        players={
            "G": Player(generator, optimiser=adam(settings.lr_g)),
            "D": Player(discriminator, optimiser=adam(settings.lr_d)),
        },
        turns=[Turn("D", discriminator_cost)] * settings.d_turns
        + [Turn("G", generator_cost)] * settings.g_turns,
    )
    z = generator.latent(256, seed=SEED)
    spreads: list[float] = []
    samples: list[np.ndarray] = []

    def watch(game: Game) -> None:
        with torch.no_grad():
            images = game["G"](z)
        spreads.append(spread(images, train.images))
        if game.step in SAMPLED_AT:
            samples.append(((images[:N_SAMPLES] + 1) * 127.5).round().byte().numpy())

    history = fit(
        game,
        train.batches(BATCH_SIZE, seed=SEED),
        STEPS,
        seed=SEED,
        device="cpu",
        watch=watch,
        watch_every=WATCH_EVERY,
    )
    curves = {**history, "spread": spreads}
    return {term: np.array(curves[term], dtype=np.float32) for term in TERMS} | {"samples": np.stack(samples)}


def write(arrays: dict[str, np.ndarray], facts: dict[str, Any]) -> None:
    """Write the runs and their card, or neither."""
    with replacing(FILE) as runs, replacing(FILE.with_suffix(".json")) as card:
        np.savez_compressed(runs, allow_pickle=False, **arrays)
        card.write_text(json.dumps(facts, indent=2) + "\n", "utf-8")


@click.command(help=__doc__.partition("\n")[0])
def main() -> None:
    torch.set_num_threads(1)
    train = data.load("pneumoniamnist", size=28, split="train")
    if train.is_surrogate:
        raise CourseError(
            "The runs are of real images: set MEDGAN_DATA to a folder that holds PneumoniaMNIST."
        )
    arrays: dict[str, np.ndarray] = {}
    for name, settings in SETTINGS.items():
        click.echo(f"{name}: {settings}")
        arrays |= {f"{name}/{key}": array for key, array in play(settings, train).items()}
    facts = {
        "runs": {name: asdict(settings) for name, settings in SETTINGS.items()},
        "data": {
            "name": train.name,
            "split": train.split,
            "size": train.size,
            "n": len(train),
            "source": train.source,
        },
        "system": "S03 DCGAN",
        "steps": STEPS,
        "batch_size": BATCH_SIZE,
        "seed": SEED,
        "watch_every": WATCH_EVERY,
        "sampled_at": list(SAMPLED_AT),
        "command": "python -m medgan_course.exercises.record_runs",
        "made": datetime.now(UTC).date().isoformat(),
        "medgan_course": medgan_course.__version__,
        "torch": torch.__version__,
        "python": platform.python_version(),
    }
    write(arrays, facts)
    click.echo(f"Wrote {FILE} and its card.")


if __name__ == "__main__":
    main()
