from functools import partial

import pytest
import torch
from mechanics import (
    check_checkpoint,
    check_seed,
    experiment_on_noise,
    reach,
)

from medgan_course.data.batches import Batches
from medgan_course.losses.adversarial import Wasserstein
from medgan_course.nets.progressive import at_level
from medgan_course.systems import progressive_gan as system
from medgan_course.train import fit

IMAGES = torch.rand(24, 1, 16, 16, generator=torch.Generator().manual_seed(0)) * 2 - 1
BATCHES = Batches(IMAGES, torch.zeros(24, dtype=torch.long), 8)
small = partial(system.progressive_gan, 16, base=2, z_dim=5, ema=0.5)
both = pytest.mark.parametrize("phase", [None, 1])


def sample(game):
    net = game.averaged("G")
    return net(net.latent(3, seed=0))


def test_the_level_by_the_step():
    # Phases of 10: 0 alone, 1 fades in, 1 alone, 2 fades in, 2 alone and for ever.
    levels = {0: 0, 9: 0, 10: 0, 15: 0.5, 20: 1, 29: 1, 30: 1, 34: 1.4, 40: 2, 59: 2, 1000: 2}
    for step, level in levels.items():
        assert system.level_at(step, phase=10, top=2) == pytest.approx(level), step
    every = [system.level_at(step, phase=7, top=3) for step in range(60)]
    assert every == sorted(every)


@both
def test_which_term_moves_whom(phase):
    game = small(phase=phase)
    moved = {"D.real": "D", "D.fake": "D", "D.penalty": "D", "D.drift": "D", "G.adversarial": "G"}
    assert reach(game, BATCHES[0]) == moved


def test_every_weight_learns_at_the_level_it_is_for():
    game = small(phase=1)
    learned = set()
    for level in range(3):
        game.step = 2 * level  # the level alone
        for turn in game.turns:
            game.take(turn, BATCHES[0])
            for parameter in game.players[turn.movers].parameters:
                if parameter.grad is not None and parameter.grad.abs().sum() > 0:
                    learned.add(parameter)
    assert learned == {parameter for name in "GD" for parameter in game[name].parameters()}


@both
def test_seed_and_checkpoint(tmp_path, phase):
    check_seed(partial(small, phase=phase))
    check_checkpoint(partial(small, phase=phase), BATCHES, tmp_path / "progressive.safetensors", sample)


def test_a_training_resumed_while_a_block_fades_in_ends_where_an_uninterrupted_one_does(tmp_path):
    path = tmp_path / "cut.safetensors"
    fit(small(phase=2), BATCHES, 3, device="cpu", checkpoint=path)
    resumed, whole = small(phase=2, seed=1), small(phase=2)
    fit(resumed, BATCHES, 6, device="cpu", checkpoint=path)
    fit(whole, BATCHES, 6, device="cpu")
    assert torch.equal(sample(resumed), sample(whole))


def test_real_and_generated_images_grow_and_fade_alike():
    game = small(phase=2)
    seen, made = [], []
    judged = []

    def watch(module, args, kwargs, output):
        seen.append(args[0])
        judged.append(kwargs["level"] if kwargs else args[1])

    game["D"].register_forward_hook(watch, with_kwargs=True)
    game["G"].register_forward_hook(lambda module, args, out: made.append(args[1]))
    for step in range(9):
        seen.clear()
        made.clear()
        judged.clear()
        game.play([BATCHES[step]])
        level = system.level_at(step, phase=2, top=2)
        assert made == [level] * 2
        assert judged == [level] * 4
        assert torch.equal(seen[0], at_level(BATCHES[step].images, level, top=2))
        assert len(seen) == 4  # real, generated, between, generated
        assert {images.shape for images in seen} == {seen[0].shape}
    assert seen[0].shape == (8, 1, 16, 16)


def test_the_terms_are_those_of_wgan_gp_and_the_drift_of_real_logits():
    game = small(phase=None)
    logits = []
    game["D"].register_forward_hook(lambda module, args, out: logits.append(out.detach()))
    with torch.no_grad():
        game["D"].head.layers[-1].bias.fill_(3)
    terms = game.play([BATCHES[0]])
    real, fake, between, fooling = logits
    expected = {f"D.{k}": v for k, v in Wasserstein.d_loss(real=real, fake=fake).items()}
    assert {name: terms[name] for name in expected} == expected
    assert terms["D.drift"].item() == pytest.approx(1e-3 * real.square().mean().item())
    assert terms["G.adversarial"] == Wasserstein.g_loss(fake=fooling)["adversarial"]
    assert len(between) == 8


def test_the_penalty_is_ten_times_the_squared_distance_of_the_slope_from_1():
    game = small(phase=None)
    with torch.no_grad():
        for parameter in game["D"].parameters():
            parameter.zero_()
    assert game.take(game.turns[0], BATCHES[0])["D.penalty"] == 10


def test_the_players():
    game = small(phase=None)
    adam = game.players["D"].optimiser.defaults
    assert (adam["lr"], adam["betas"]) == (1e-3, (0.0, 0.99))
    assert game.players["G"].settings["ema"] == 0.5
    assert game.players["D"].average is None


def test_the_direct_training_does_the_same_arithmetic():
    settings = {"phase": 10, "size": 28, "base": 2}
    assert system.direct_steps(10**4, **settings) == pytest.approx(10**4, rel=0.01)
    assert system.direct_steps(100, phase=1, size=28, base=2) == pytest.approx(98, abs=1)
    # Steps 0-10 at 7 px, 11-30 at 14 px: cheaper, but not by the sixteenth and the quarter of the pixels.
    assert 19 + 11 / 16 + 20 / 4 < system.direct_steps(50, **settings) < 50
    # A block costs as much while it fades in as afterwards.
    small, fading, stable = (
        system.direct_steps(n * 1000 + 1, phase=1000, size=28, base=2) for n in (1, 2, 3)
    )
    assert stable - fading == pytest.approx(fading - small, abs=1)
    assert fading - small > 1.5 * small


def test_minibatch_std_can_be_left_out():
    with_it, without = small(phase=None), small(phase=None, minibatch_std=False)
    logits = [
        game["D"](torch.cat((IMAGES[:4], IMAGES[:1].expand(4, -1, -1, -1)))) for game in (with_it, without)
    ]
    # The image stands in both groups.
    assert logits[0][0] != logits[0][4]
    assert logits[1][0].item() == pytest.approx(logits[1][4].item())


def test_the_experiment(monkeypatch, tmp_path):
    card = experiment_on_noise("S07", monkeypatch, tmp_path, batch_size="8", phase="1", steps="3")
    distance, reached = card.claims
    assert set(distance["values"]) == {"progressive", "direct", "mean image and noise", "real images"}
    assert {"progressive", "progressive, no minibatch std"} < set(reached["values"])
    assert card.parameters["progressive"] == card.parameters["direct"]
    assert card.parameters["progressive"]["D"] > card.parameters["progressive, no minibatch std"]["D"]
