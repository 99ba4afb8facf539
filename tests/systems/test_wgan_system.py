import pytest
import torch
from torch import nn

from medgan_course.data.batches import Batch, Batches
from medgan_course.systems import wgan as system
from medgan_course.systems.wgan import CLIP, share_at_edge, wgan
from medgan_course.train import fit

IMAGES = torch.rand(24, 1, 28, 28, generator=torch.Generator().manual_seed(0)) * 2 - 1


def weights(game):
    return torch.cat([p.detach().flatten() for p in game["D"].parameters()])


def test_the_critic_starts_inside_the_box_and_never_leaves_it():
    game = wgan(28, base=4)
    assert weights(game).abs().max() <= 0.005
    assert weights(game).abs().max() > 0.0045
    assert share_at_edge(game["D"]) == 0
    fit(game, Batches(IMAGES, torch.zeros(24), 8), 3, device="cpu")
    assert weights(game).abs().max() <= 0.01
    assert share_at_edge(game["D"]) > 0


def test_from_dcgans_weights_two_thirds_are_clipped_at_once():
    game = wgan(28, base=16, inside=False)
    assert weights(game).abs().max() > 0.05
    game.take(game.turns[0], Batch(IMAGES[:8], torch.zeros(8)))
    assert share_at_edge(game["D"]) == pytest.approx(0.617, abs=0.05)  # P(|N(0, 0.02)| > 0.01)


def test_only_the_critic_is_clipped():
    game = wgan(28, base=4)
    game.take(game.turns[1], Batch(IMAGES[:8], torch.zeros(8)))
    assert max(p.abs().max() for p in game["G"].parameters()) > 0.05


def test_the_papers_settings():
    game = wgan(28, base=4)
    for name in "GD":
        optimiser = game.players[name].optimiser
        assert isinstance(optimiser, torch.optim.RMSprop)
        assert optimiser.defaults["lr"] == 5e-5
        assert optimiser.defaults["momentum"] == 0
    assert [(turn.names, turn.times) for turn in game.turns] == [(("D",), 5), (("G",), 1)]
    assert not any(isinstance(module, nn.BatchNorm2d) for module in game["D"].modules())
    assert any(isinstance(module, nn.BatchNorm2d) for module in game["G"].modules())


def test_the_loss_is_a_difference_of_scores_without_a_sigmoid():
    game = wgan(28, base=4)
    for p in game["D"].parameters():
        nn.init.zeros_(p)
    nn.init.constant_(game["D"].head.bias, 50.0)
    batch = Batch(IMAGES[:8], torch.zeros(8))
    assert {name: term.item() for name, term in game.turns[0].cost(game, batch).items()} == {
        "real": -50.0,
        "fake": 50.0,
    }
    assert game.turns[1].cost(game, batch)["adversarial"].item() == -50.0


def test_the_share_at_the_edge():
    layer = nn.Linear(4, 1, bias=False)
    layer.weight.data = torch.tensor([[CLIP, -CLIP, 0.98 * CLIP, 0.995 * CLIP]])
    assert share_at_edge(layer) == 0.75


def test_every_profile_has_a_budget_with_enough_stages(monkeypatch):
    for profile in ("smoke", "cpu", "gpu"):
        monkeypatch.setenv("MEDGAN_PROFILE", profile)
        assert system.budget().steps >= system.STAGES >= 10
