"""Learning rates follow the steps of the game, whatever a player does in them."""

import pytest
import torch
from torch import nn
from torch.optim import SGD, Adam
from torch.optim import lr_scheduler as torch_schedules

from medgan_course.errors import CourseError
from medgan_course.train import Game, Player, Turn, fit, linear_decay

ONES = [torch.ones(1, 1)]


def game(schedule, *, rates=None, optimiser=lambda p: SGD(p, lr=0.5), **turn):
    net = nn.Linear(1, 1, bias=False)
    nn.init.ones_(net.weight)

    def cost(game, x):
        if rates is not None:
            rates.append(game.players["A"].optimiser.param_groups[0]["lr"])
        return {"a": game["A"](x).square().mean() / 100}

    return Game({"A": Player(net, optimiser=optimiser, schedule=schedule)}, [Turn("A", cost, **turn)])


def test_constant_then_linear_to_zero():
    rates = []
    fit(game(linear_decay(3, 7), rates=rates), ONES, 9, device="cpu")
    assert rates == pytest.approx([0.5, 0.5, 0.5, 0.5, 0.375, 0.25, 0.125, 0, 0])


@pytest.mark.parametrize(("start", "end"), [(5, 5), (7, 3), (-1, 4)])
def test_a_decay_that_never_falls_is_a_sentence(start, end):
    with pytest.raises(CourseError, match="start must come before end"):
        linear_decay(start, end)


@pytest.mark.parametrize(("turn", "moves"), [({"times": 3}, 3), ({"every": 2}, None)])
def test_it_advances_once_a_step(turn, moves):
    rates = []
    fit(game(linear_decay(0, 4), rates=rates, **turn), ONES, 4, device="cpu")
    expected = [0.5, 0.375, 0.25, 0.125]
    assert rates == ([rate for rate in expected for _ in range(moves)] if moves else expected[::2])


def test_two_time_scales_keep_their_ratio():
    nets = {
        name: Player(nn.Linear(1, 1), optimiser=lambda p, lr=lr: Adam(p, lr=lr), schedule=linear_decay(2, 9))
        for name, lr in (("G", 1e-4), ("D", 4e-4))
    }
    a_game = Game(nets, [Turn(name, lambda g, x, n=name: {"a": g[n](x).mean()}) for name in "GD"])
    fit(a_game, ONES, 6, device="cpu")
    g, d = (a_game.players[name].optimiser.param_groups[0]["lr"] for name in "GD")
    assert d == pytest.approx(4 * g)
    assert g == pytest.approx(1e-4 * 3 / 7)


@pytest.mark.parametrize(
    "schedule",
    [
        linear_decay(2, 9),
        lambda o: torch_schedules.LinearLR(o, 1, 0, 8),
        lambda o: torch_schedules.MultiStepLR(o, [2, 5]),
        lambda o: torch_schedules.CosineAnnealingLR(o, 8),
        lambda o: torch_schedules.SequentialLR(
            o, [torch_schedules.ConstantLR(o, 1), torch_schedules.ExponentialLR(o, 0.9)], [4]
        ),
    ],
)
def test_it_resumes_where_it_was(schedule, tmp_path):
    whole, first, second = [], [], []
    a, c = game(schedule, rates=whole), game(schedule, rates=second)
    fit(a, ONES, 8, device="cpu")
    fit(game(schedule, rates=first), ONES, 4, device="cpu", checkpoint=tmp_path / "game")
    fit(c, ONES, 8, device="cpu", checkpoint=tmp_path / "game")
    assert first + second == whole
    assert len(set(whole)) > 2
    assert torch.equal(a["A"].weight, c["A"].weight)


def test_no_warning_when_a_players_first_move_is_late(recwarn):
    a_game = game(linear_decay(2, 9), every=5)
    a_game.step = 1
    fit(a_game, ONES, 4, device="cpu")
    assert not recwarn.list
