from functools import partial
from math import log, pi

import pytest
import torch
from mechanics import check_checkpoint, check_every_weight_learns, check_seed, experiment_on_noise, reach

from medgan_course.data.batches import Batches
from medgan_course.systems import infogan as system

IMAGES = torch.rand(12, 1, 16, 16, generator=torch.Generator().manual_seed(0)) * 2 - 1
BATCHES = Batches(IMAGES, torch.zeros(12, dtype=torch.long), 6)
small = partial(system.infogan, 16, base=4)


def test_which_term_moves_whom():
    assert reach(small(), BATCHES[0]) == {
        "D.real": "D",
        "D.fake": "D",
        "D.category": "D",
        "D.numbers": "D",
        "G.adversarial": "G",
        "G.category": "G",
        "G.numbers": "G",
    }
    check_every_weight_learns(small(), BATCHES[0])


def test_with_weight_zero_no_code_moves_anybody():
    reached = reach(small(categorical=0.0, continuous=0.0), BATCHES[0])
    assert {term for term, players in reached.items() if not players} == {
        "D.category",
        "D.numbers",
        "G.category",
        "G.numbers",
    }


def test_seed_and_checkpoint(tmp_path):
    check_seed(small)
    z = torch.randn(3, 70)
    check_checkpoint(small, BATCHES, tmp_path / "infogan.safetensors", lambda game: system.sampler(game)(z))


def test_codes_are_uniform_and_enter_beside_the_noise():
    torch.manual_seed(0)
    codes = system.draw(3000)
    assert codes.category.bincount(minlength=6).tolist() == [
        n for n in codes.category.bincount().tolist() if 400 < n < 600
    ]
    assert codes.numbers.shape == (3000, 2)
    assert codes.numbers.min() >= -1
    assert codes.numbers.max() < 1
    torch.testing.assert_close(codes.numbers.var(0), torch.full((2,), 1 / 3), atol=0.03, rtol=0)
    noise = torch.randn(3000, 62)
    z = system.joined(noise, codes)
    assert z.shape == (3000, 70)
    assert torch.equal(z[:, :62], noise)
    assert torch.equal(z[:, 62:68].argmax(1), codes.category)
    assert (z[:, 62:68].sum(1) == 1).all()
    assert torch.equal(z[:, 68:], codes.numbers)


def test_q_guesses_the_codes_that_the_images_were_made_from():
    game = small(categorical=1.0, continuous=0.1)
    inputs, outputs = [], []
    game["G"].register_forward_pre_hook(lambda module, args: inputs.append(args[0]))
    game["D"].register_forward_hook(lambda module, args, output: outputs.append(output))
    terms = game.take(game.turns[1], BATCHES[0])
    (z,), (guess,) = inputs, outputs
    category, numbers = z[:, 62:68].argmax(1), z[:, 68:]
    certainty = guess["category"].softmax(1)[torch.arange(6), category].log().mean() + log(6)
    torch.testing.assert_close(terms["G.category"], -certainty.detach())
    variance = guess["log_variance"].exp()
    density = -((numbers - guess["mean"]) ** 2 / variance + (2 * pi * variance).log()) / 2
    bound = (density.mean(0) + log(2)).sum()
    torch.testing.assert_close(terms["G.numbers"], -0.1 * bound.detach())


def test_the_sampler_leaves_the_global_state():
    before = torch.get_rng_state()
    net = system.sampler(small())
    assert torch.equal(torch.get_rng_state(), before)
    assert not net.training


def test_factors_are_measured_on_the_image():
    images = torch.full((3, 1, 9, 9), -1.0)
    images[0, 0, 4, 8] = 1  # right, in the middle row
    images[1, 0, 8, 4] = 1  # at the bottom, in the middle column
    images[2] = 0.5
    mean, deviation, share, across, down = system.factors(images).T
    torch.testing.assert_close(mean, torch.tensor([1 / 81, 1 / 81, 0.75]))
    torch.testing.assert_close(share, torch.tensor([1 / 81, 1 / 81, 1.0]))
    torch.testing.assert_close(across, torch.tensor([1.0, 0.0, 0.0]), atol=1e-6, rtol=0)
    torch.testing.assert_close(down, torch.tensor([0.0, 1.0, 0.0]), atol=1e-6, rtol=0)
    assert deviation[2] == 0


def test_the_strongest_correlation_is_between_a_number_and_a_factor():
    n = torch.linspace(-1, 1, 50)
    other = torch.rand(50, generator=torch.Generator().manual_seed(0))
    numbers = torch.stack((n, n), 1)  # equal to each other, which must not count
    factors = torch.stack([other, -(n**3), *[other] * 3], 1)
    assert system.strongest({"numbers": numbers, "factors": factors}) == pytest.approx(1)
    factors[:, 1] = other
    assert system.strongest({"numbers": numbers, "factors": factors}) < 0.5


def test_the_experiment(monkeypatch, tmp_path):
    card = experiment_on_noise("S09", monkeypatch, tmp_path)
    alone, against, read = card.claims
    assert set(read["values"]) == {"InfoGAN", "weight 0"}
    assert all(0 <= value <= 1 for each in read["values"].values() for value in each)
    assert alone["values"]["InfoGAN"] == against["values"]["InfoGAN"]
    assert set(against["values"]) == {"InfoGAN", "weight 0", "codes of other images"}
    assert (against["margin"], against["fails"]) == (0.25, 0.1)
