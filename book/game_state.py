r"""Train what the game on the page of chapter 2 opens on, and play the same game as the page.

    python book/game_state.py

The page's game (``book/_static/game/``, plain JavaScript) is this one, number for number: the library's own
networks, losses, turns and :func:`~medgan_course.train.fit` in float64. ``tests/book/test_game_widget.py``
lets both play from one seed and compares what they come to.
"""

import base64
import json
import zlib
from collections.abc import Iterator
from contextlib import contextmanager
from functools import partial
from pathlib import Path
from typing import Any

import numpy as np
import torch
from torch.optim import Adam

from medgan_course.losses.adversarial import Adversarial, LeastSquares, Minimax, NonSaturating, Wasserstein
from medgan_course.nets.mlp import Discriminator, Generator
from medgan_course.systems import gan, wgan_gp
from medgan_course.train import Game, Player, Turn, fit
from medgan_course.train.game import History
from medgan_course.writing import replacing

TARGET = Path(__file__).resolve().parent / "_static" / "game" / "trained.json"
LOSSES: dict[str, Adversarial] = {
    "minimax": Minimax,
    "nonSaturating": NonSaturating,
    "leastSquares": LeastSquares,
    "wasserstein": Wasserstein,
}
BATCH, WIDTH = 128, 32
SETTINGS: dict[str, Any] = {"loss": "nonSaturating", "rateG": 1e-3, "rateD": 1e-3, "stepsD": 1}
STEPS, SHOWN = 6_000, 300  # played, and of these the last whose costs the page shows


@contextmanager
def float64() -> Iterator[None]:
    """Compute in JavaScript's precision."""
    torch.set_default_dtype(torch.float64)
    try:
        yield
    finally:
        torch.set_default_dtype(torch.float32)


def played(steps: int, *, loss: str, rateG: float, rateD: float, stepsD: int, seed: int = 0) -> Game:
    """Return the page's game on the ring after ``steps`` steps with the page's settings; call in float64."""
    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(seed)
        generator, discriminator = Generator((2,), z_dim=2, width=WIDTH), Discriminator((2,), width=WIDTH)
    discriminator_cost, generator_cost = gan.costs(LOSSES[loss])
    if loss == "wasserstein":
        discriminator_cost = wgan_gp.critic_cost
    adam = partial(Adam, betas=(0.5, 0.999))
    game = Game(
        players={
            "G": Player(generator, optimiser=partial(adam, lr=rateG)),
            "D": Player(discriminator, optimiser=partial(adam, lr=rateD)),
        },
        turns=[Turn("D", discriminator_cost, times=stepsD), Turn("G", generator_cost)],
    )
    batches = [gan.mixture(gan.RING, gan.SIGMA, BATCH, seed=seed) for seed in range(steps * stepsD)]
    fit(game, batches, steps, seed=seed, device="cpu", precision="float32")
    return game


def costs(history: History, player: str) -> list[float]:
    """Return what one player's terms add up to, step by step."""
    terms = (values for name, values in history.items() if name.startswith(f"{player}."))
    return [sum(step) for step in zip(*terms, strict=True)]


def state(game: Game) -> bytes:
    """Return weights and Adam's two moments of G, then of D, as little-endian float32."""
    tensors = []
    for player in game.players.values():
        adam = [player.optimiser.state[parameter] for parameter in player.parameters]
        moments = [entries[name] for name in ("exp_avg", "exp_avg_sq") for entries in adam]
        tensors += [*player.parameters, *moments]
    return b"".join(tensor.detach().numpy().astype("<f4").tobytes() for tensor in tensors)


def generator(saved: dict[str, Any]) -> Generator:
    """Return the trained generator that the page's file ``saved`` holds; call in float64."""
    net = Generator((2,), z_dim=2, width=WIDTH)
    numbers = torch.from_numpy(np.frombuffer(base64.b64decode(saved["weights"]), "<f4").astype(float))
    torch.nn.utils.vector_to_parameters(numbers[: sum(p.numel() for p in net.parameters())], net.parameters())
    return net


def trained() -> dict[str, Any]:
    """Train, and return what the page's file holds."""
    with float64():
        game = played(STEPS, **SETTINGS)
    weights = state(game)
    return {
        "made by": "python book/game_state.py",
        "settings": SETTINGS,
        "step": game.step,
        "costs": {p: np.round(costs(game.history, p)[-SHOWN:], 4).tolist() for p in ("D", "G")},
        "checksum": zlib.crc32(weights),
        "weights": base64.b64encode(weights).decode(),
    }


if __name__ == "__main__":
    with replacing(TARGET) as path:
        path.write_text(json.dumps(trained()) + "\n", encoding="utf-8")
    print(f"Wrote {TARGET.name}, {TARGET.stat().st_size // 1000} kB.")
