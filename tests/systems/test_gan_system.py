from functools import partial
from math import log

import pytest
import torch
from mechanics import check_checkpoint, check_every_weight_learns, check_seed, experiment_on_noise, reach
from torch.distributions import Normal

from medgan_course.data.batches import Batch, Batches
from medgan_course.experiments import claim
from medgan_course.losses.adversarial import Minimax, NonSaturating
from medgan_course.systems import gan as system
from medgan_course.train import fit

SHAPE = (1, 28, 28)
IMAGES = torch.rand(12, *SHAPE, generator=torch.Generator().manual_seed(0)) * 2 - 1
BATCHES = Batches(IMAGES, torch.zeros(12, dtype=torch.long), 6)
small = partial(system.gan, SHAPE, z_dim=4, width=8)


def test_which_term_moves_whom():
    assert reach(small(), BATCHES[0]) == {"D.real": "D", "D.fake": "D", "G.adversarial": "G"}
    check_every_weight_learns(small(), BATCHES[0])


def test_seed_and_checkpoint(tmp_path):
    check_seed(small)
    z = torch.randn(3, 4)
    check_checkpoint(small, BATCHES, tmp_path / "gan.safetensors", lambda game: game["G"](z))


@pytest.mark.parametrize("loss", [NonSaturating, Minimax])
def test_the_terms_are_those_of_the_loss(loss):
    game = small(loss=loss)
    logits = []
    game["D"].register_forward_hook(lambda module, args, output: logits.append(output.detach()))
    terms = game.play([BATCHES[0]])
    fooling, real, fake = logits
    expected = {f"D.{k}": v for k, v in loss.d_loss(real=real, fake=fake).items()}
    expected |= {f"G.{k}": v for k, v in loss.g_loss(fake=fooling).items()}
    assert terms == expected


def test_both_players_see_what_is_done_to_the_images():
    discriminator_cost, generator_cost = system.costs(seen=lambda images: images.new_full(images.shape, 0.5))
    game = small()
    seen = []
    game["D"].register_forward_pre_hook(lambda module, args: seen.append(args[0]))
    discriminator_cost(game, BATCHES[0])
    generator_cost(game, BATCHES[0])
    assert len(seen) == 3
    assert all((images == 0.5).all() for images in seen)


def test_samples_are_made_once_for_both_players_but_anew_for_every_further_move():
    game, made = small(), []
    game["G"].register_forward_hook(lambda module, args, output: made.append(output.detach()))
    judged = []
    game["D"].register_forward_pre_hook(lambda module, args: judged.append(args[0].detach()))
    generators, discriminators = game.turns
    for turn in (generators, discriminators, discriminators):
        game.take(turn, BATCHES[0])
    assert len(made) == 2
    for shown, images in zip(judged, (made[0], BATCHES[0].images, made[0]), strict=False):
        assert torch.equal(shown, images)
    assert torch.equal(judged[4], made[1])
    assert not torch.equal(*made)


def test_in_a_duel_the_generator_waits_and_then_moves_by_its_gradient_times_the_rate():
    points = system.mixture(system.RING, system.SIGMA, 64, seed=0)
    game = system.duel(NonSaturating, lead=2, learning_rate=0.5)
    moves = []
    for _ in range(4):
        weight = game["G"].layers[0].weight
        before = weight.detach().clone()
        game.play([points] * 5)
        moves.append((weight - before, weight.grad))
    assert [bool((move != 0).any()) for move, _ in moves] == [False, False, True, True]
    torch.testing.assert_close(moves[2][0], -0.5 * moves[2][1])  # Adam would divide by the gradient's size
    assert [turn.times for turn in game.turns] == [5, 1]


def test_a_lone_judge_learns_the_log_ratio_of_densities():
    real, fake = Normal(0.0, 1.0), Normal(1.5, 0.7)
    points = torch.randn(4096, 1, generator=torch.Generator().manual_seed(0))
    game = system.judge(fake)
    fit(game, Batches(points, torch.zeros(4096, dtype=torch.long), 128), 250, device="cpu")
    x = torch.tensor([[-1.0], [0.0], [0.75], [1.5]])
    # By hand: log p - log q = -x^2/2 + (x - 1.5)^2 / (2 * 0.49) + log 0.7.
    best = [-(v**2) / 2 + (v - 1.5) ** 2 / 0.98 + log(0.7) for v in x.flatten().tolist()]
    torch.testing.assert_close((real.log_prob(x) - fake.log_prob(x)).flatten(), torch.tensor(best))
    torch.testing.assert_close(
        game["D"](x).sigmoid().detach(), torch.tensor(best).sigmoid(), atol=0.1, rtol=0
    )


def test_a_mixture_has_its_centres_and_spread():
    batch = system.mixture(system.RING, 0.2, 8000, seed=3)
    torch.testing.assert_close(system.RING.norm(dim=1), torch.full((8,), 2.0))
    for k in range(8):
        own = batch.images[batch.labels == k]
        assert len(own) == pytest.approx(1000, abs=150)
        torch.testing.assert_close(own.mean(0), system.RING[k], atol=0.04, rtol=0)
        torch.testing.assert_close(own.std(0), torch.tensor([0.2, 0.2]), atol=0.03, rtol=0)
    assert torch.equal(batch.images, system.mixture(system.RING, 0.2, 8000, seed=3).images)


def test_a_batch_of_points_is_a_batch():
    assert isinstance(system.mixture(system.RING, 0.2, 4, seed=0), Batch)


def test_points_are_resampled_and_not_modes():
    modes = system.experiment(system.budget()).claims[1]
    half, quarter = (torch.arange(4000) % k for k in (4, 2))
    assert modes.of({"modes": half}) == 0.5
    outcomes = {"non-saturating": [{"modes": half}], "minimax": [{"modes": quarter}]}
    # Each mode has a quarter or half of the points, so another sample of them would cover the same.
    assert claim.interval(modes, outcomes) == (0.25, 0.25)


def test_the_experiment(monkeypatch, tmp_path):
    card = experiment_on_noise("S01", monkeypatch, tmp_path, n_score="40000")
    error, modes = (each["values"] for each in card.claims)
    # By hand: |1/2 - D*| has the mean TV(p, q) / 2 over the half-and-half mixture of p and q.
    x = torch.linspace(-8, 8, 16_001, dtype=torch.float64)
    p, q = (Normal(*each).log_prob(x).exp() for each in ((0.0, 1.0), (1.5, 0.7)))
    variation = ((p - q).abs().sum() / 2 * 0.001).item()
    assert error["D = 1/2 everywhere"] == pytest.approx([variation / 2], abs=0.004)
    assert modes["real points"] == [1.0]
    assert card.claims[1]["baseline"] == "minimax"
    assert card.parameters["non-saturating"] == card.parameters["minimax"]
