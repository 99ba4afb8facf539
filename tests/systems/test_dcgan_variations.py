"""What DCGAN, WGAN, WGAN-GP and LSGAN have in common: the mechanics of a game of two networks."""

import pytest
import torch
from mechanics import experiment_on_noise

from medgan_course.data.batches import Batch, Batches
from medgan_course.systems import wgan as wgan_module
from medgan_course.systems.dcgan import dcgan
from medgan_course.systems.lsgan import lsgan
from medgan_course.systems.wgan import wgan
from medgan_course.systems.wgan_gp import wgan_gp
from medgan_course.train import fit

IMAGES = torch.rand(24, 1, 28, 28, generator=torch.Generator().manual_seed(0)) * 2 - 1
BATCH = Batch(IMAGES[:8], torch.zeros(8, dtype=torch.long))
every_system = pytest.mark.parametrize("system", [dcgan, wgan, wgan_gp, lsgan])


def batches():
    return Batches(IMAGES, torch.zeros(24, dtype=torch.long), 8)


@every_system
@pytest.mark.parametrize(("size", "channels"), [(16, 3), (28, 1)])
def test_images_have_the_size_and_channels_asked_for(system, size, channels):
    game = system(size, base=4, z_dim=6, channels=channels)
    images = game["G"](game["G"].latent(5))
    assert images.shape == (5, channels, size, size)
    assert images.abs().max() <= 1
    assert game["D"](images).shape == (5,)


@every_system
def test_each_cost_moves_its_own_player_alone(system):
    game = system(28, base=4, z_dim=6)
    for turn in game.turns:
        before = {name: [p.clone() for p in game[name].parameters()] for name in "GD"}
        terms = game.take(turn, BATCH)
        assert all(term.isfinite() for term in terms.values())
        (mover,) = turn.names
        for name in "GD":
            same = [torch.equal(*pair) for pair in zip(before[name], game[name].parameters(), strict=True)]
            assert not all(same) if name == mover else all(same)


@every_system
def test_the_costs_themselves_reach_the_right_network(system):
    game = system(28, base=4, z_dim=6)
    for turn in game.turns:
        with game.moving(turn.names):
            sum(turn.cost(game, BATCH).values()).backward()
        (mover,) = turn.names
        for name in "GD":
            gradients = [p.grad for p in game[name].parameters()]
            assert all(g is not None and g.isfinite().all() for g in gradients) == (name == mover)
            assert name == mover or not any(g is not None for g in gradients)
            game[name].zero_grad()


@every_system
def test_a_checkpoint_gives_the_same_images(system, tmp_path):
    path = tmp_path / "game.safetensors"
    trained = system(28, base=4, z_dim=6)
    fit(trained, batches(), 2, device="cpu", checkpoint=path)
    loaded = system(28, base=4, z_dim=6, seed=1)
    fit(loaded, batches(), 2, device="cpu", checkpoint=path)
    z = torch.randn(3, 6)
    assert torch.equal(trained.averaged("G")(z), loaded.averaged("G")(z))
    assert torch.equal(trained.averaged("D")(IMAGES[:3]), loaded.averaged("D")(IMAGES[:3]))


@every_system
def test_the_seed_decides_the_weights(system):
    a, b, c = (system(28, base=4, z_dim=6, seed=seed) for seed in (1, 1, 2))
    for name in "GD":
        weights = [torch.cat([p.flatten() for p in game[name].parameters()]) for game in (a, b, c)]
        assert torch.equal(weights[0], weights[1])
        assert not torch.equal(weights[0], weights[2])


@pytest.mark.parametrize(
    ("number", "settings", "values"),
    [
        (
            "S03",
            {},
            [
                {"DCGAN", "MLP-GAN", "mean image and noise", "real images"},
                {"DCGAN", "raw pixels", "untrained D"},
                {"DCGAN", "raw pixels", "untrained D"},
            ],
        ),
        (
            "S04",
            {"steps": "3"},
            [
                {"WGAN", "WGAN from N(0, 0.02)"},
                {"WGAN", "DCGAN", "WGAN from N(0, 0.02)"},
                {"WGAN", "WGAN from N(0, 0.02)"},
            ],
        ),
        (
            "S05",
            {"critic_steps": "1"},
            [
                {"WGAN-GP with batch norm in G only", "WGAN-GP without batch norm"},
                {
                    "WGAN-GP without batch norm",
                    "WGAN-GP with batch norm in G only",
                    "mean image and noise",
                    "real images",
                },
                {"DCGAN without batch norm", "DCGAN", "mean image and noise", "real images"},
            ],
        ),
        ("S06", {"steps": "4"}, [{"LSGAN", "DCGAN", "mean image and noise", "real images"}] * 4),
    ],
)
def test_the_experiments(number, settings, values, monkeypatch, tmp_path):
    monkeypatch.setattr(wgan_module, "STAGES", 3)
    card = experiment_on_noise(number, monkeypatch, tmp_path, **settings)
    assert [set(claim["values"]) for claim in card.claims] == values
    arms = card.parameters
    if number == "S03":
        assert all(arms["MLP-GAN"][net] >= arms["DCGAN"][net] for net in "GD")
    if number == "S06":
        assert arms["LSGAN"] == arms["DCGAN"]
        assert [claim["metric"] for claim in card.claims][::3] == [
            "domain FID after 1 steps",
            "domain FID after 4 steps",
        ]
