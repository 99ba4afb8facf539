from functools import partial
from math import log, pi

import torch
from mechanics import check_checkpoint, check_every_weight_learns, check_seed, reach

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
