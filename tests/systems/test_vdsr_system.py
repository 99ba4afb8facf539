from functools import partial

import pytest
import torch
from mechanics import check_checkpoint, check_every_weight_learns, check_seed, reach
from torch import nn
from truths import STRIPES_DB, decibels, experiment_on, judged, stripes, use

from medgan_course.budgets import Budget
from medgan_course.data.batches import Paired, Stream
from medgan_course.data.degrade import bicubic
from medgan_course.data.kspace import kspace_crop
from medgan_course.errors import CourseError
from medgan_course.systems import vdsr as system

DRAW = torch.Generator().manual_seed(0)
PAIRS = Paired(*(torch.rand(8, 1, 8, 8, generator=DRAW) * 2 - 1 for _ in range(2)))
STREAM = Stream(PAIRS, 4)
small = partial(system.vdsr, 4, base=4, depth=3)


def test_a_game_of_one():
    torch.manual_seed(0)
    assert reach(small(), STREAM[0]) == {"G.squares": "G"}
    check_every_weight_learns(small(base=8), STREAM[0])


def test_seed_and_checkpoint(tmp_path):
    check_seed(small)
    check_checkpoint(
        small, STREAM, tmp_path / "vdsr.safetensors", lambda game: game.averaged("G")(PAIRS.source)
    )


def test_the_loss_is_half_the_sum_of_squares_of_an_image():
    game, batch = small(), STREAM[0]
    expected = ((game["G"](batch.source) - batch.target) ** 2).sum() / 2 / 4
    torch.testing.assert_close(game.turns[0].cost(game, batch)["squares"], expected)


def test_gradients_are_clipped_entry_by_entry_to_theta_over_the_rate():
    weight = nn.Parameter(torch.zeros(3))
    optimiser = torch.optim.SGD([weight], lr=0.1)
    optimiser.register_step_pre_hook(partial(system.clip_gradients, theta=0.02))
    weight.grad = torch.tensor([1.0, -1.0, 0.05])
    optimiser.step()
    # 0.02 / 0.1 = 0.2 is the bound; times 0.1 a step of at most theta.
    torch.testing.assert_close(weight.grad, torch.tensor([0.2, -0.2, 0.05]))
    torch.testing.assert_close(weight.data, torch.tensor([-0.02, 0.02, -0.005]))
    optimiser.param_groups[0]["lr"] = 0.01
    weight.grad = torch.tensor([5.0, -1.0, 0.05])
    optimiser.step()
    torch.testing.assert_close(weight.grad, torch.tensor([2.0, -1.0, 0.05]))


def test_the_recipe_clips_and_its_rate_falls_by_ten_after_each_quarter():
    game = small(theta=1e-6)
    before = [p.detach().clone() for p in game["G"].parameters()]
    game.play([STREAM[0]])
    for old, new in zip(before, game["G"].parameters(), strict=True):
        # Weight decay comes after the hook: 0.1 * 1e-4 of the weight.
        assert (new - old).abs().max() <= 1.01e-6 + 1e-5 * old.abs().max()
    rates = []
    game = small()
    for _ in range(4):
        rates.append(game.players["G"].optimiser.param_groups[0]["lr"])
        game.play([STREAM[game.step]])
    assert rates == pytest.approx([0.1, 0.01, 0.001, 0.0001])
    assert game.players["G"].optimiser.defaults["momentum"] == 0.9
    assert game.players["G"].optimiser.defaults["weight_decay"] == 1e-4


def test_without_clipping_the_high_rate_diverges_and_with_it_the_loss_falls():
    def losses(theta):
        game = system.vdsr(40, base=8, depth=4, theta=theta)
        for step in range(10):
            game.play([STREAM[step]])
        return game.turns[0].cost(game, PAIRS)["squares"].item()

    start = small().turns[0].cost(system.vdsr(40, base=8, depth=4), PAIRS)["squares"].item()
    assert losses(1e-3) < start
    with pytest.raises(CourseError, match="diverged"):
        losses(1e9)


def test_direct_output_is_the_control():
    torch.manual_seed(0)
    with torch.no_grad():
        for residual in (True, False):
            net = small(residual=residual)["G"]
            wanted = PAIRS.source + net.layers(PAIRS.source) if residual else net.layers(PAIRS.source)
            assert torch.equal(net(PAIRS.source), wanted)


def test_the_experiment(monkeypatch, tmp_path):
    card, trained = experiment_on(stripes, "S16", monkeypatch, tmp_path)
    nets = {arm: each.game["G"].eval() for (arm, _), each in trained.items()}
    assert {arm: net.residual for arm, net in nets.items()} == {"VDSR": True, "direct output": False}
    # Both are trained on both factors, on the images of others.
    assert all(len(each.whole.source) == 16 for each in trained.values())
    assert all(torch.equal(each.whole.target[8:], stripes("train").images) for each in trained.values())
    truth, values = stripes("test").images[:6], [each["values"] for each in card.claims]
    for factor, (direct, cubic, zero) in {2: values[:3], 4: values[3:]}.items():
        enlarged = bicubic(kspace_crop(truth, factor), factor)
        assert zero["zero-filled"] == [pytest.approx(STRIPES_DB, abs=0.01)]
        assert cubic["bicubic"] == [pytest.approx(decibels(enlarged, truth))]
        for arm in nets:
            with torch.no_grad():
                assert direct[arm] == [pytest.approx(decibels(nets[arm](enlarged), truth))]
        assert direct["VDSR"] == cubic["VDSR"] == zero["VDSR"]
    assert values[4]["bicubic"][0] < values[1]["bicubic"][0] < STRIPES_DB


def test_the_claims_ask_for_their_margins(monkeypatch):
    use(stripes, monkeypatch)
    claims = system.experiment(Budget(steps=1, size=32, base=2, batch_size=4, n_score=6)).claims

    def outcome(two, four):
        return {f"PSNR (dB), factor {s}": torch.tensor([db, db]) for s, db in ((2, two), (4, four))}

    arms = {
        "VDSR": outcome(30.0, 25.0),
        "direct output": outcome(29.25, 26.0),
        "bicubic": outcome(28.75, 24.25),
        "zero-filled": outcome(31.5, 20.0),
    }
    shown = judged(claims, arms)
    assert shown[:3] == [(0.75, "supported"), (1.25, "supported"), (-1.5, "contradicted")]
    assert shown[3::2] == [(-1, "contradicted"), (5, "supported")]
    # Better, but not by 1 dB.
    quantity, verdict = shown[4]
    assert quantity == 0.75
    assert verdict != "supported"
