from functools import partial

import torch
from mechanics import check_checkpoint, check_every_weight_learns, check_seed, reach

from medgan_course import draws
from medgan_course.data.batches import Batches
from medgan_course.systems import vae as system

IMAGES = torch.rand(12, 1, 16, 16, generator=torch.Generator().manual_seed(0)) * 2 - 1
BATCHES = Batches(IMAGES, torch.zeros(12, dtype=torch.long), 6)
small = partial(system.vae, 16, base=4, z_dim=3)


def test_which_term_moves_whom():
    assert reach(small(), BATCHES[0]) == {"E+G.reconstruction": "E+G", "E+G.kl": "E"}
    check_every_weight_learns(small(), BATCHES[0])


def test_seed_and_checkpoint(tmp_path):
    check_seed(small)
    check_checkpoint(
        small, BATCHES, tmp_path / "vae.safetensors", lambda game: system.reconstruct(game, IMAGES[:2])
    )


def test_the_cost_is_minus_the_evidence_lower_bound_without_its_constant():
    sigma, beta = 0.25, 2.0
    game = small(sigma=sigma, beta=beta)
    images = IMAGES[:6]
    torch.manual_seed(5)
    terms = game.take(game.turns[0], BATCHES[0]._replace(images=images))

    again = small(sigma=sigma, beta=beta)
    code = again["E"](images)
    torch.manual_seed(5)
    z = code["mean"] + code["log_variance"].exp().sqrt() * draws.normal(6, 3)
    likelihood = torch.distributions.Normal(again["G"](z), sigma).log_prob(images).sum(dim=(1, 2, 3)).mean()
    constant = 256 * torch.tensor(2 * torch.pi * sigma**2).log() / 2
    torch.testing.assert_close(terms["E+G.reconstruction"], -likelihood - constant)
    posterior = torch.distributions.Normal(code["mean"], (code["log_variance"] / 2).exp())
    prior = torch.distributions.Normal(0, 1)
    divergence = torch.distributions.kl_divergence(posterior, prior).sum(1).mean()
    torch.testing.assert_close(terms["E+G.kl"], beta * divergence)


def test_reconstructions_are_of_the_mean_and_do_not_move_the_game():
    game = small()
    before = game["E"].trunk.layers[3].running_mean.clone()
    first, second = system.reconstruct(game, IMAGES), system.reconstruct(game, IMAGES)
    assert torch.equal(first, second)
    assert first.shape == IMAGES.shape
    assert torch.equal(game["E"].trunk.layers[3].running_mean, before)
