from functools import partial

import pytest
import torch
from mechanics import check_checkpoint, check_every_weight_learns, check_seed, experiment_on_noise, reach

from medgan_course import draws
from medgan_course.data.batches import Batch, Batches
from medgan_course.losses.adversarial import NonSaturating
from medgan_course.losses.penalties import r1_penalty
from medgan_course.systems import stylegan2 as system
from medgan_course.train import fit

IMAGES = torch.rand(24, 1, 16, 16, generator=torch.Generator().manual_seed(0)) * 2 - 1
BATCHES = Batches(IMAGES, torch.zeros(24, dtype=torch.long), 8)
small = partial(system.stylegan2, 16, base=2, z_dim=5, ema=0.5)


def sample(game):
    net = game.averaged("G")
    return net(net.latent(3, seed=0), 0.7)


def test_which_term_moves_whom():
    assert reach(small(), BATCHES[0]) == {
        "D.real": "D",
        "D.fake": "D",
        "D.R1": "D",
        "G.adversarial": "G",
        "G.path length": "G",
    }


def test_every_weight_learns_and_none_of_the_other_player():
    game = small(path_penalty=False)
    game.turns = tuple(turn for turn in game.turns if turn.every == 1)
    check_every_weight_learns(game, BATCHES[0])


def test_seed_and_checkpoint(tmp_path):
    check_seed(small)
    check_checkpoint(small, BATCHES, tmp_path / "stylegan2.safetensors", sample)


def test_the_checkpoint_has_the_average_path_length(tmp_path):
    game, other = small(), small(seed=1)
    fit(game, BATCHES, 1, device="cpu", checkpoint=tmp_path / "path.safetensors")
    assert game["G"].path_length > 0
    fit(other, BATCHES, 1, device="cpu", checkpoint=tmp_path / "path.safetensors")
    assert torch.equal(other["G"].path_length, game["G"].path_length)


def test_penalties_are_lazy_and_weigh_as_much_as_in_every_step():
    turns = [(turn.label, turn.every) for turn in small().turns]
    assert turns == [("D", 1), ("D", 16), ("G", 1), ("G", 8)]
    game = small()
    r1 = game.turns[1].cost(game, BATCHES[0])
    gamma = 10 * (16 / 1024) ** 2
    torch.testing.assert_close(r1["R1"], 16 * gamma * r1_penalty(game["D"], real=BATCHES[0].images))
    torch.manual_seed(0)
    path = game.turns[3].cost(game, BATCHES[0])["path length"]
    torch.manual_seed(0)
    # The length is a mean over the six layers that are told a style, each of which may have its own.
    g = game["G"]
    styles = g.mapping(draws.normal(4, 5))[:, None].repeat(1, 6, 1)
    images = g.synthesis(styles)
    noise = draws.normal(4, 1, 16, 16) / 16
    (gradient,) = torch.autograd.grad((images * noise).sum(), styles)
    lengths = gradient.square().sum(2).mean(1).sqrt()
    torch.testing.assert_close(path, 8 * 2 * (lengths - 0.01 * lengths.mean()).square().mean())


def test_adam_of_appendix_b():
    game = small()
    assert game.players["D"].optimiser.defaults["lr"] == pytest.approx(2e-3 * 16 / 17)
    assert game.players["D"].optimiser.defaults["betas"] == pytest.approx((0, 0.99 ** (16 / 17)))
    assert game.players["G"].optimiser.defaults["lr"] == pytest.approx(2e-3 * 8 / 9)
    assert small(path_penalty=False).players["G"].optimiser.defaults["lr"] == 2e-3
    assert [turn.every for turn in small(path_penalty=False).turns] == [1, 16, 1]


def test_the_terms_are_the_non_saturating_loss_of_the_logits():
    game = small(path_penalty=False)
    game.step = 1  # no penalty is due
    logits = []
    game["D"].register_forward_hook(lambda module, args, out: logits.append(out.detach()))
    terms = game.play([BATCHES[0]])
    real, fake, fooling = logits
    expected = {f"D.{k}": v for k, v in NonSaturating.d_loss(real=real, fake=fake).items()}
    expected |= {f"G.{k}": v for k, v in NonSaturating.g_loss(fake=fooling).items()}
    assert terms == expected


def test_nine_of_ten_images_have_two_styles():
    game = small()
    seen = []
    game["G"].synthesis = lambda styles: seen.append(styles) or styles
    torch.manual_seed(0)
    batch = Batch(torch.zeros(1000, 1, 16, 16), torch.zeros(1000))
    system.generated(game, batch)
    changes = (seen[0][:, 1:] != seen[0][:, :-1]).any(2).sum(1)
    assert changes.max() == 1
    assert changes.float().mean().item() == pytest.approx(0.9, abs=0.03)
    # Every place between two layers is as likely as any other.
    where = (seen[0][:, 1:] != seen[0][:, :-1]).any(2).float().mean(0)
    torch.testing.assert_close(where, torch.full((5,), 0.18), atol=0.04, rtol=0)


def test_the_experiment(monkeypatch, tmp_path):
    card = experiment_on_noise("S10", monkeypatch, tmp_path, batch_size="8")
    assert [claim["metric"] for claim in card.claims] == ["precision"] * 2 + ["recall"] * 2 + ["PPL"]
    assert set(card.claims[0]["values"]) == {"psi = 1.0", "psi = 0.7", "mean image and noise", "real images"}
    assert set(card.claims[-1]["values"]) == {
        f"paths in {space}{state}" for space in "WZ" for state in ("", ", untrained")
    }
