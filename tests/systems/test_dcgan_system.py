import pytest
import torch

from medgan_course.data.batches import Batch, Batches
from medgan_course.losses.adversarial import NonSaturating
from medgan_course.nets.dcgan import Generator
from medgan_course.systems import dcgan as system
from medgan_course.train import fit

IMAGES = torch.rand(24, 1, 28, 28, generator=torch.Generator().manual_seed(0)) * 2 - 1
BATCH = Batch(IMAGES[:6], torch.zeros(6, dtype=torch.long))
both = pytest.mark.parametrize("stabilised", [False, True])


def game(**settings):
    return system.dcgan(28, base=4, z_dim=6, **settings)


def turn_of(a_game, mover):
    return next(turn for turn in a_game.turns if turn.names == (mover,))


@both
@pytest.mark.parametrize(
    ("mover", "other", "terms"), [("D", "G", {"D.real", "D.fake"}), ("G", "D", {"G.adversarial"})]
)
def test_each_cost_moves_all_of_its_own_net_and_none_of_the_other(stabilised, mover, other, terms):
    a_game = game(stabilised=stabilised)
    before = [p.detach().clone() for p in a_game[other].parameters()]
    assert a_game.take(turn_of(a_game, mover), BATCH).keys() == terms
    assert all(p.grad.abs().sum() > 0 for p in a_game[mover].parameters())
    assert all(p.grad is None for p in a_game[other].parameters())
    assert all(torch.equal(p, old) for p, old in zip(a_game[other].parameters(), before, strict=True))


def test_the_terms_are_the_non_saturating_loss_of_the_nets_logits():
    a_game = game()
    logits = []
    a_game["D"].register_forward_hook(lambda module, args, output: logits.append(output.detach()))
    d_terms = a_game.take(turn_of(a_game, "D"), BATCH)
    g_terms = a_game.take(turn_of(a_game, "G"), BATCH)
    real, fake, fooling = logits
    assert d_terms == {f"D.{k}": v for k, v in NonSaturating.d_loss(real=real, fake=fake).items()}
    assert g_terms == {f"G.{k}": v for k, v in NonSaturating.g_loss(fake=fooling).items()}


@both
def test_d_sees_real_images_and_those_that_g_was_judged_by(stabilised):
    a_game = game(stabilised=stabilised)
    seen, made = [], []
    a_game["D"].register_forward_pre_hook(lambda module, args: seen.append(args[0].detach()))
    a_game["G"].register_forward_hook(lambda module, args, output: made.append(output.detach()))
    for turn in a_game.turns:
        a_game.take(turn, BATCH)
    assert len(seen) == 3
    assert len(made) == 1  # one batch of images serves both players
    for shown, images in zip(seen, (made[0], BATCH.images, made[0]), strict=True):
        assert torch.equal(shown, images) != stabilised  # only the stabilised game augments, and everything


def test_the_paper_and_the_stabilised_variant():
    plain, stabilised = game(), game(stabilised=True)
    for name in "GD":
        assert plain.players[name].optimiser.defaults["lr"] == 2e-4
        assert plain.players[name].optimiser.defaults["betas"] == (0.5, 0.999)
        assert stabilised.players[name].optimiser.defaults["betas"] == (0.5, 0.99)
        assert plain.players[name].average is None
    assert [turn.names for turn in plain.turns] == [("G",), ("D",)]
    assert stabilised.players["G"].average is not None
    assert any("parametrizations" in key for key in stabilised["D"].state_dict())


def test_the_seed_decides_the_weights_and_the_global_state_stays():
    before = torch.get_rng_state()
    a, b, c = game(seed=1), game(seed=1), game(seed=2)
    assert torch.equal(torch.get_rng_state(), before)
    for name in "GD":
        weights = [torch.cat([p.flatten() for p in each[name].parameters()]) for each in (a, b, c)]
        assert torch.equal(weights[0], weights[1])
        assert not torch.equal(weights[0], weights[2])


@both
def test_a_few_steps_run_and_can_be_sampled(stabilised):
    a_game = game(stabilised=stabilised)
    history = fit(a_game, Batches(IMAGES, torch.zeros(24, dtype=torch.long), 8), 3, device="cpu")
    assert {name: len(values) for name, values in history.items()} == {
        "D.real": 3,
        "D.fake": 3,
        "G.adversarial": 3,
    }
    state = torch.get_rng_state()
    generator = system.sampler(a_game)
    assert torch.equal(torch.get_rng_state(), state)
    images = generator(generator.latent(5, seed=0))
    assert images.shape == (5, 1, 28, 28)
    assert images.isfinite().all()
    # In evaluation mode an image does not depend on those beside it.
    torch.testing.assert_close(generator(generator.latent(5, seed=0)[:2]), images[:2])


def test_every_profile_has_a_budget_that_builds(monkeypatch):
    steps = []
    for profile in ("smoke", "cpu", "gpu"):
        monkeypatch.setenv("MEDGAN_PROFILE", profile)
        budget = system.budget()
        Generator(budget.size, base=budget.base)
        steps.append(budget.steps)
    assert steps == sorted(steps)
