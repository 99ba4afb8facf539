from functools import partial
from types import SimpleNamespace

import pytest
import torch
from mechanics import (
    Tiny,
    check_checkpoint,
    check_every_weight_learns,
    check_seed,
    experiment_on_noise,
    reach,
)

from medgan_course import data, draws
from medgan_course.budgets import Budget
from medgan_course.data.batches import Batches
from medgan_course.nets.dcgan import Generator
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


def test_reconstructions_are_made_where_the_networks_are_and_come_back():
    nets, seen = {name: torch.nn.Linear(1, 1, device="meta") for name in "EG"}, []

    def encoder(images):
        seen.append(images.device.type)
        return {"mean": torch.zeros(2, 3)}

    nets["E"].forward, nets["G"].forward = encoder, lambda z: torch.ones(2, 1, 16, 16)
    game = SimpleNamespace(averaged=nets.get)
    assert system.reconstruct(game, IMAGES[:2]).device.type == "cpu"
    assert seen == ["meta"]


def test_samples_are_compared_with_images_in_which_the_classes_have_their_shares_of_training(monkeypatch):
    splits = []

    def load(name, *, size, split):
        splits.append(split)
        return Tiny()

    monkeypatch.setattr(data, "load", load)
    system.experiment(Budget(steps=1, size=28, base=2, batch_size=6, n_score=12))
    assert splits == ["train", "val"]


def test_fine_power_tells_detail_from_blur():
    noise = torch.randn(4, 1, 28, 28, generator=torch.Generator().manual_seed(0))
    blurred = torch.nn.functional.avg_pool2d(noise, 3, stride=1, padding=1)
    assert (system.fine_power(blurred) < 0.2 * system.fine_power(noise)).all()
    x = torch.arange(28) * 2 * torch.pi / 28
    slow, fast = ((k * x).sin().expand(1, 1, 28, 28) for k in (7, 8))  # half Nyquist is 7 cycles
    assert system.fine_power(slow) < 1e-6
    assert system.fine_power(fast) > 1


def test_inversion_finds_what_the_generator_can_make():
    torch.manual_seed(0)
    generator = Generator(16, z_dim=2, base=2).eval().requires_grad_(False)
    for layer in generator.layers:
        if hasattr(layer, "weight"):
            layer.weight.mul_(10)  # so that images differ
    target = generator(0.5 + generator.latent(3, seed=0))
    found = system.inverted(generator, target, steps=60)
    start = generator(generator.latent(3, seed=0))
    assert (found - target).square().mean() < 0.1 * (start - target).square().mean()


def test_the_experiment(monkeypatch, tmp_path):
    monkeypatch.setattr(system, "inverted", partial(system.inverted, steps=2))
    card = experiment_on_noise("S02", monkeypatch, tmp_path)
    alone, against, psnr = (each["values"] for each in card.claims)
    assert alone["VAE"] == against["VAE"]
    assert alone["real images"] == pytest.approx([1], abs=1e-4)  # both splits are one here
    assert {"VAE", "DCGAN", "mean image"} == set(psnr)
    assert card.parameters["VAE"]["G"] == card.parameters["DCGAN"]["G"]
