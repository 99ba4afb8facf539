import pytest
import torch
from torch import nn

from medgan_course.data.batches import Batch
from medgan_course.systems import wgan_gp as system
from medgan_course.systems.wgan_gp import critic_cost, slope_error, wgan_gp

IMAGES = torch.rand(8, 1, 28, 28, generator=torch.Generator().manual_seed(0)) * 2 - 1
BATCH = Batch(IMAGES, torch.zeros(8))


class Linear(nn.Module):
    """A critic whose slope is known: slope times the first pixel."""

    def __init__(self, slope):
        super().__init__()
        self.slope = nn.Parameter(torch.tensor(float(slope)))

    def forward(self, images):
        return self.slope * images[:, 0, 0, 0]


def test_the_penalty_of_a_critic_whose_slope_is_known():
    game = wgan_gp(28, base=4)
    game.players["D"].net = Linear(3)
    assert float(critic_cost(game, BATCH)["penalty"].detach()) == pytest.approx(10 * (3 - 1) ** 2)


def test_the_critic_is_to_score_real_images_higher():
    game = wgan_gp(28, base=4)
    game.players["D"].net = Linear(1)
    terms = critic_cost(game, Batch(torch.ones(8, 1, 28, 28), torch.zeros(8)))
    assert terms["real"].item() == -1  # minus the mean score of real images
    assert terms["fake"].item() < 1


def test_the_predicted_slope():
    real, fake = torch.zeros(4, 1, 2, 2), torch.zeros(4, 1, 2, 2)
    real[:, 0, 0, 0], fake[:, 0, 0, 0] = 3.0, -1.0
    # W = 3 - (-1) = 4, so the penalty wants 1 + 4 / 20 = 1.2.
    assert slope_error(Linear(1.2), real, fake) == pytest.approx(0, abs=1e-6)
    assert slope_error(Linear(1.0), real, fake) == pytest.approx(0.2, abs=1e-6)
    assert slope_error(Linear(2.0), real, fake) == pytest.approx(0.8, abs=1e-6)


def test_the_papers_settings():
    game = wgan_gp(28, base=4)
    for name in "GD":
        assert game.players[name].optimiser.defaults["lr"] == 1e-4
        assert game.players[name].optimiser.defaults["betas"] == (0.0, 0.9)
    assert [(turn.names, turn.times) for turn in game.turns] == [(("D",), 5), (("G",), 1)]
    assert wgan_gp(28, base=4, critic_steps=3).turns[0].times == 3
    assert system.LAMBDA == 10


@pytest.mark.parametrize("batch_norm", [True, False])
def test_the_critic_never_has_batch_norm_and_the_generator_if_asked(batch_norm):
    game = wgan_gp(28, base=4, batch_norm=batch_norm)
    found = {name: any(isinstance(m, nn.BatchNorm2d) for m in game[name].modules()) for name in "GD"}
    assert found == {"G": batch_norm, "D": False}


def test_every_profile_has_a_budget(monkeypatch):
    moves = []
    for profile in ("smoke", "cpu", "gpu"):
        monkeypatch.setenv("MEDGAN_PROFILE", profile)
        moves.append(system.budget().critic_steps)
    assert moves == [2, 3, 5]
