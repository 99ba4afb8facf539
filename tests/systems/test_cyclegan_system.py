from functools import partial

import pytest
import torch
from mechanics import check_checkpoint, check_every_weight_learns, check_seed, reach
from truths import eight_heads, experiment_on, judged, use

from medgan_course.budgets import Budget
from medgan_course.data.batches import Paired, Stream, Unpaired
from medgan_course.systems import cyclegan as system
from medgan_course.train import fit

DRAW = torch.Generator().manual_seed(0)
IMAGES = Unpaired(*(torch.rand(n, 1, 16, 16, generator=DRAW) * 2 - 1 for n in (7, 5)))
STREAM = Stream(IMAGES, 2, apart=True)
small = partial(system.cyclegan, 4, base=2, blocks=1)


def test_which_term_moves_whom():
    g, d = "G_ab+G_ba", "D_a+D_b"
    assert reach(small(identity_weight=5.0), STREAM[0]) == {
        f"{g}.adversarial_b": "G_ab",
        f"{g}.adversarial_a": "G_ba",
        f"{g}.cycle": g,
        f"{g}.identity": g,
        f"{d}.real_a": "D_a",
        f"{d}.fake_a": "D_a",
        f"{d}.real_b": "D_b",
        f"{d}.fake_b": "D_b",
    }
    check_every_weight_learns(small(), STREAM[0])


def test_terms_of_no_weight_are_left_out():
    names = [name.partition(".")[2] for name in reach(small(cycle_weight=0), STREAM[0])]
    assert names[:2] == ["adversarial_b", "adversarial_a"]
    assert not {"cycle", "identity"} & set(names)


def test_seed_and_checkpoint(tmp_path):
    check_seed(small)

    def sample(game):
        return game.averaged("G_ab")(IMAGES.a)

    check_checkpoint(small, STREAM, tmp_path / "cyclegan.safetensors", sample)


def test_the_terms_are_those_of_the_paper():
    game, batch = small(cycle_weight=3.0, identity_weight=1.5), STREAM[0]
    # Of the weights before the step; while the buffer fills, the replayed images are the new ones.
    g, f, d_a, d_b = (game[name] for name in ("G_ab", "G_ba", "D_a", "D_b"))
    generators, discriminators = (turn.cost(game, batch) for turn in game.turns)
    a, b, fake_a, fake_b = batch.a, batch.b, f(batch.b), g(batch.a)
    expected = {
        "adversarial_b": (d_b(fake_b) - 1).square().mean(),
        "adversarial_a": (d_a(fake_a) - 1).square().mean(),
        "cycle": 3 * ((f(fake_b) - a).abs().mean() + (g(fake_a) - b).abs().mean()),
        "identity": 1.5 * ((g(b) - b).abs().mean() + (f(a) - a).abs().mean()),
    }
    assert generators.keys() == expected.keys()
    for name, term in expected.items():
        torch.testing.assert_close(generators[name], term)
    expected = {
        "real_a": (d_a(a) - 1).square().mean() / 2,
        "fake_a": d_a(fake_a).square().mean() / 2,
        "real_b": (d_b(b) - 1).square().mean() / 2,
        "fake_b": d_b(fake_b).square().mean() / 2,
    }
    assert discriminators.keys() == expected.keys()
    for name, term in expected.items():
        torch.testing.assert_close(discriminators[name], term)


def test_discriminators_see_past_images_and_generators_are_judged_on_new_ones():
    game, batch = small(), STREAM[0]
    game.players["G_ab"].replay = 2
    marked = torch.full((2, 1, 16, 16), 0.25)
    game.players["G_ab"].past = marked.clone()
    game.players["G_ba"].past = None
    seen = []
    game["D_b"].register_forward_pre_hook(lambda module, args: seen.append(args[0].detach()))
    torch.manual_seed(3)
    for _ in range(4):
        for turn in game.turns:
            turn.cost(game, batch)
    # In the generators' turn what was made, in the discriminators' real images and what is shown.
    made, shown = torch.cat(seen[::3]), torch.cat(seen[2::3])
    assert (shown == 0.25).flatten(1).all(1).any()
    assert not (made == 0.25).any()


def test_the_papers_schedule_and_optimiser():
    game = system.cyclegan(8, base=2, blocks=1)
    assert all(p.optimiser.defaults["betas"] == (0.5, 0.999) for p in game.players.values())
    rates = []
    for _ in range(8):
        rates.append({p.optimiser.param_groups[0]["lr"] for p in game.players.values()})
        game.play([STREAM[game.step]])
    assert [rate for (rate,) in rates] == pytest.approx([2e-4] * 5 + [1.5e-4, 1e-4, 0.5e-4])
    assert [game.players[name].replay for name in game.players] == [50, 50, None, None]


def test_no_gradient_descends_through_the_replayed_images():
    game, batch = small(), STREAM[0]
    game.turns[0].cost(game, batch)
    game.take(game.turns[1], batch)
    assert all(p.grad is None for name in ("G_ab", "G_ba") for p in game[name].parameters())


def test_generators_work_once_a_step():
    game, calls = small(), []
    game["G_ab"].register_forward_hook(lambda module, args, out: calls.append(1))
    game.play([STREAM[0]])
    assert len(calls) == 2  # of a, and of what the other made of b


def test_domains_of_different_channels_and_volumes():
    game = system.cyclegan(4, base=2, blocks=1, channels=(2, 1))
    game.play([Unpaired(torch.rand(2, 2, 16, 16), torch.rand(2, 1, 16, 16))])
    volumes = system.cyclegan(4, base=2, blocks=1, dim=3)
    stream = Stream(Unpaired(torch.rand(2, 1, 8, 8, 8), torch.rand(2, 1, 8, 8, 8)), 1, apart=True)
    history = fit(volumes, stream, 1, device="cpu")
    assert all(len(values) == 1 for values in history.values())


def test_the_experiment(monkeypatch, tmp_path):
    card, trained = experiment_on(eight_heads, "S15", monkeypatch, tmp_path)
    trained = {arm: each for (arm, _), each in trained.items()}
    assert "G_ab+G_ba.cycle" in trained["CycleGAN"].terms
    assert "G_ab+G_ba.cycle" not in trained["GAN only"].terms
    # Nobody but the oracle is given anyone in both contrasts.
    train, test = eight_heads("train"), eight_heads("test")
    assert isinstance(trained["pix2pix"].whole, Paired)
    assert isinstance(trained["pix2pix, same G"].whole, Paired)
    weights = card.parameters
    assert weights["pix2pix, same G"]["G"] == weights["CycleGAN"]["G_ab"] != weights["pix2pix"]["G"]
    # A favourite with a rate of its own would be compared with a baseline that nobody tuned.
    players = [player for each in trained.values() for player in each.game.players.values()]
    assert len({player.optimiser.defaults["lr"] for player in players}) == 1
    for arm in ("CycleGAN", "GAN only"):
        a, b = (
            {int(i) for image in images for i in (train.contrast(name) == image).flatten(1).all(1).nonzero()}
            for images, name in zip(trained[arm].whole, ("t1", "t2"), strict=True)
        )
        assert len(a) == len(b) == 4
        assert not a & b
    t1, t2 = (test.contrast(name)[:6].double() for name in ("t1", "t2"))
    whole, _, lesions = (each["values"] for each in card.claims)
    assert whole["identity"] == [pytest.approx((t1 - t2).abs().mean().item())]
    assert lesions["identity"] == [pytest.approx((t1 - t2).abs()[test.mask[:6]].mean().item())]


def test_the_claims_rank_the_arms(monkeypatch):
    use(eight_heads, monkeypatch)
    claims = system.experiment(Budget(steps=1, size=32, base=2, batch_size=4, n_score=6)).claims

    def outcome(error, lesion_errors):
        # Of all lesion pixels together: one subject has ten, one has none.
        lesions = {"lesion error": torch.tensor([lesion_errors, 0.0]), "lesion pixels": torch.tensor([10, 0])}
        return {"MAE": torch.tensor([error, error + 0.2])} | lesions

    arms = {
        "pix2pix": outcome(0.1, 1.0),
        "CycleGAN": outcome(0.2, 2.0),
        "GAN only": outcome(0.35, 5.0),
        "identity": outcome(0.4, 9.0),
    }
    assert judged(claims, arms) == [(-0.2, "supported"), (-0.1, "supported"), (-0.3, "supported")]
    reverse = dict(zip(arms, reversed(arms.values()), strict=True))
    assert judged(claims, reverse) == [(0.25, "contradicted"), (0.05, "contradicted"), (0.3, "contradicted")]


def test_an_average_of_the_generators_is_kept_where_it_is_asked_for():
    averaging, plain = small(ema=0.5), small()
    for game in (averaging, plain):
        fit(game, STREAM, 2, device="cpu")
    for name in ("G_ab", "G_ba"):
        last = averaging[name].state_dict()
        assert all(torch.equal(value, plain[name].state_dict()[key]) for key, value in last.items())
        average = averaging.averaged(name).state_dict()
        assert any(not torch.equal(value, last[key]) for key, value in average.items())
        assert all(
            torch.equal(v, plain[name].state_dict()[k]) for k, v in plain.averaged(name).state_dict().items()
        )
