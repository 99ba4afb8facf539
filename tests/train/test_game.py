from copy import deepcopy

import pytest
import torch
from torch import nn
from torch.nn.utils.parametrizations import spectral_norm

from medgan_course.errors import CourseError
from medgan_course.train import Game, Player, Turn


def sgd(parameters):
    return torch.optim.SGD(parameters, lr=0.1)


def player(*layers, **settings):
    return Player(nn.Sequential(*layers), optimiser=sgd, **settings)


def three_players(*turns):
    torch.manual_seed(0)
    return Game({name: player(nn.Linear(3, 3)) for name in "ABC"}, turns)


def weights(game):
    return {name: [p.detach().clone() for p in game[name].parameters()] for name in game.players}


def who_moved(game, before):
    now = weights(game)
    return {
        name
        for name in game.players
        if not all(torch.equal(old, new) for old, new in zip(before[name], now[name], strict=True))
    }


def through_everyone(game, x):
    """Return a deliberately wrong cost: nothing is detached, so its graph runs through every player."""
    return {"wrong": game["A"](game["B"](game["C"](x))).square().mean()}


X = torch.linspace(-1, 1, 12).reshape(4, 3)


@pytest.mark.parametrize("movers", ["A", "B", "C", ("A", "C"), ("C", "B", "A")])
def test_only_movers_move_whatever_the_cost_touches(movers):
    game = three_players(Turn(movers, through_everyone))
    before = weights(game)
    game.take(game.turns[0], X)
    assert who_moved(game, before) == set(movers)
    for name in game.players:
        assert all((p.grad is not None) == (name in movers) for p in game[name].parameters())


def test_movers_step_along_the_gradient_of_the_sum_of_terms():
    def cost(game, x):
        y = game["A"](x)
        return {"first": y.square().mean(), "second": 3 * y.abs().mean()}

    game = three_players(Turn("A", cost))
    copy = deepcopy(game["A"])
    y = copy(X)
    (y.square().mean() + 3 * y.abs().mean()).backward()
    expected = [p - 0.1 * p.grad for p in copy.parameters()]
    terms = game.take(game.turns[0], X)
    for parameter, value in zip(game["A"].parameters(), expected, strict=True):
        torch.testing.assert_close(parameter, value)
    assert terms.keys() == {"A.first", "A.second"}
    torch.testing.assert_close(terms["A.first"], y.square().mean().detach())
    assert not any(term.requires_grad for term in terms.values())


def test_gradients_of_an_earlier_turn_are_not_added():
    game = three_players(Turn("A", through_everyone), Turn("B", through_everyone))
    for turn in game.turns * 2:
        game.take(turn, X)
    lone = three_players(Turn("A", through_everyone), Turn("B", through_everyone))
    for turn in lone.turns * 2:
        for name in "ABC":
            lone[name].zero_grad()
        lone.take(turn, X)
    for got, expected in zip(weights(game).values(), weights(lone).values(), strict=True):
        torch.testing.assert_close(got, expected)


def test_a_graph_from_an_earlier_turn_carries_no_gradient_to_its_maker():
    kept = []

    def a_cost(game, x):
        kept.append(game["A"](x))
        return {"a": game["A"](x).square().mean()}

    def b_cost(game, x):
        return {"b": game["B"](kept[-1]).square().mean()}

    game = three_players(Turn("A", a_cost), Turn("B", b_cost))
    game.take(game.turns[0], X)
    gradients = [p.grad.clone() for p in game["A"].parameters()]
    game.take(game.turns[1], X)
    for parameter, gradient in zip(game["A"].parameters(), gradients, strict=True):
        assert torch.equal(parameter.grad, gradient)


def test_a_shared_part_moves_with_each_of_its_owners():
    torch.manual_seed(0)
    shared = nn.Linear(3, 3)
    game = Game(
        {name: player(nn.Linear(3, 3), shared) for name in "AB"},
        [
            Turn("A", lambda game, x: {"a": game["A"](game["B"](x)).square().mean()}),
            Turn("B", lambda game, x: {"b": game["A"](game["B"](x)).square().mean()}),
        ],
    )
    for turn, other in zip(game.turns, "BA", strict=True):
        before, own = shared.weight.clone(), weights(game)[other][:2]
        game.take(turn, X)
        assert not torch.equal(shared.weight, before)
        assert all(torch.equal(old, new) for old, new in zip(own, weights(game)[other][:2], strict=True))


def test_frozen_parameters_stay_frozen():
    backbone = nn.Linear(3, 3).requires_grad_(False)
    game = Game({"A": player(backbone, nn.Linear(3, 1))}, [Turn("A", lambda g, x: {"a": g["A"](x).mean()})])
    before = backbone.weight.clone()
    game.take(game.turns[0], X)
    assert torch.equal(backbone.weight, before)
    assert not backbone.weight.requires_grad
    assert game["A"][1].weight.requires_grad

    game["A"][1].bias.requires_grad_(False)  # later on, as in progressive unfreezing
    bias = game["A"][1].bias.clone()
    game.take(game.turns[0], X)
    assert torch.equal(game["A"][1].bias, bias)
    assert not game["A"][1].bias.requires_grad


def test_what_is_frozen_in_a_player_who_waits_stays_frozen():
    game = three_players(Turn("A", through_everyone))
    game["B"][0].bias.requires_grad_(False)
    game.take(game.turns[0], X)
    assert not game["B"][0].bias.requires_grad
    assert game["B"][0].weight.requires_grad


def test_no_gradient_gathers_in_a_network_that_is_no_player():
    critic = nn.Linear(3, 3)
    game = three_players(Turn("A", lambda game, x: {"a": critic(game["A"](x)).square().mean()}))
    before = weights(game)
    game.take(game.turns[0], X)
    assert who_moved(game, before) == {"A"}
    assert critic.weight.grad is None


def test_players_can_move_again_after_a_cost_has_failed():
    def fails(game, x):
        assert not any(p.requires_grad for name in "BC" for p in game[name].parameters())
        raise ZeroDivisionError

    game = three_players(Turn("A", fails))
    with pytest.raises(ZeroDivisionError):
        game.take(game.turns[0], X)
    assert all(p.requires_grad for name in game.players for p in game[name].parameters())


def test_several_movers_name_their_terms_together():
    game = three_players(Turn(("A", "B"), through_everyone))
    assert game.take(game.turns[0], X).keys() == {"A+B.wrong"}


def test_the_average_has_its_closed_form():
    decay, steps = 0.9, 5
    torch.manual_seed(0)
    game = Game(
        {"A": player(nn.Linear(3, 2), nn.BatchNorm1d(2), ema=decay)},
        [Turn("A", lambda game, x: {"a": game["A"](x).pow(3).mean()})],
    )
    states = [deepcopy(game["A"].state_dict())]
    for step in range(steps):
        game.take(game.turns[0], X * (step + 1))
        states.append(deepcopy(game["A"].state_dict()))
    average = game.players["A"].average.state_dict()
    assert not torch.equal(states[-1]["0.weight"], states[0]["0.weight"])
    for key in ("0.weight", "0.bias", "1.weight", "1.bias"):
        expected = decay**steps * states[0][key]
        for k in range(1, steps + 1):
            expected = expected + (1 - decay) * decay ** (steps - k) * states[k][key]
        torch.testing.assert_close(average[key], expected)
    for key in ("1.running_mean", "1.running_var", "1.num_batches_tracked"):
        assert torch.equal(average[key], states[-1][key])


def test_averaged_is_a_frozen_copy_to_look_at():
    game = Game(
        {"A": player(nn.Linear(3, 2), nn.BatchNorm1d(2), ema=0.5), "B": player(nn.Linear(3, 2))},
        [Turn("A", lambda game, x: {"a": game["A"](x).pow(3).mean()})],
    )
    game.take(game.turns[0], X)
    for name, source in (("A", game.players["A"].average), ("B", game["B"])):
        copy = game.averaged(name)
        assert not any(module.training for module in copy.modules())
        assert not any(p.requires_grad for p in copy.parameters())
        for ours, theirs in zip(copy.parameters(), source.parameters(), strict=True):
            assert torch.equal(ours, theirs)
            assert ours.data_ptr() != theirs.data_ptr()
    assert game["A"].training
    assert not torch.equal(game.averaged("A")[0].weight, game["A"][0].weight)
    # Images from the average can be optimised towards, as a latent search does.
    x = X.clone().requires_grad_()
    game.averaged("A")(x).sum().backward()
    assert x.grad is not None


def test_the_average_of_a_spectrally_normalised_net():
    torch.manual_seed(0)
    game = Game(
        {"A": player(spectral_norm(nn.Linear(3, 2)), ema=0.8)},
        [Turn("A", lambda game, x: {"a": game["A"](x).square().mean()})],
    )
    for _ in range(50):
        game.take(game.turns[0], X)
    copy = game.averaged("A")
    original = game.players["A"].average[0].parametrizations.weight.original
    assert torch.equal(copy[0].parametrizations.weight.original, original)
    assert torch.linalg.matrix_norm(copy[0].weight, ord=2).item() == pytest.approx(1, abs=0.02)
    assert game["A"][0].parametrizations.weight.original.requires_grad


def test_statistics_of_the_average_can_be_computed_anew():
    torch.manual_seed(0)
    game = Game(
        {"A": player(nn.Linear(3, 2), nn.BatchNorm1d(2), ema=0.5)},
        [Turn("A", lambda game, x: {"a": game["A"](x).pow(3).mean()})],
    )
    for _ in range(3):
        game.take(game.turns[0], X)
    before = deepcopy(game.players["A"].average.state_dict())
    seen = torch.randn(8, 3), torch.randn(8, 3)
    copy = game.averaged("A", inputs=seen)
    with torch.no_grad():
        hidden = [copy[0](x) for x in seen]
    torch.testing.assert_close(copy[1].running_mean, sum(h.mean(0) for h in hidden) / 2)
    torch.testing.assert_close(copy[1].running_var, sum(h.var(0) for h in hidden) / 2)
    assert not any(module.training for module in copy.modules())
    for key, value in game.players["A"].average.state_dict().items():
        assert torch.equal(value, before[key])


@pytest.mark.parametrize("ask", [lambda g: g["Z"], lambda g: g.averaged("Z")])
def test_an_unknown_player_is_named(ask):
    with pytest.raises(CourseError, match="No player is called 'Z': the players are 'A', 'B', 'C'"):
        ask(three_players())


@pytest.mark.parametrize("movers", ["Z", ("A", "Z")])
def test_an_unknown_mover_is_named(movers):
    with pytest.raises(CourseError, match="No player is called 'Z': the players are 'A', 'B', 'C'"):
        three_players(Turn(movers, through_everyone))


@pytest.mark.parametrize("every", [0, -1])
def test_every_is_at_least_one(every):
    with pytest.raises(CourseError, match=f"turn of A is taken every {every} steps"):
        three_players(Turn("A", through_everyone, every=every))


@pytest.mark.parametrize(
    ("cost", "sentence"),
    [
        (lambda g, x: g["A"](x).mean(), "cost of A returned Tensor"),
        (lambda g, x: None, "cost of A returned NoneType"),
        (lambda g, x: {}, "cost of A returned dict"),
        (lambda g, x: {"a": g["A"](x)}, r"term A\.a is no scalar tensor"),
        (lambda g, x: {"a": g["A"](x).mean(), "b": 0.0}, r"term A\.b is no scalar tensor"),
        (lambda g, x: {"a": g["A"](x).detach().mean()}, r"does not depend on A: look for a detach\(\)"),
        (lambda g, x: {"a": g["B"](x).mean()}, "does not depend on A"),
    ],
)
def test_a_cost_that_is_none_is_explained_and_moves_nobody(cost, sentence):
    game = three_players(Turn("A", cost))
    before = weights(game)
    with pytest.raises(CourseError, match=sentence):
        game.take(game.turns[0], X)
    assert not who_moved(game, before)


def test_moments_keep_the_layout_of_their_weights():
    torch.manual_seed(0)
    convolution = nn.Conv2d(3, 5, 4)
    game = Game({"A": convolution}, [Turn("A", lambda game, x: {"a": game["A"](x).square().mean()})])
    twin = Game({"A": deepcopy(convolution)}, game.turns)
    x = torch.randn(2, 3, 6, 6)
    for each in (game, twin):
        each.take(each.turns[0], x)
    twin.to("cpu")  # after the first moments were made
    assert twin["A"].weight.is_contiguous(memory_format=torch.channels_last)
    for each in (game, twin):
        each.take(each.turns[0], x)
    moments = twin.players["A"].optimiser.state[twin["A"].weight]["exp_avg"]
    assert moments.stride() == twin["A"].weight.stride()
    torch.testing.assert_close(game["A"].weight, twin["A"].weight)


@pytest.mark.skipif(not torch.cuda.is_available(), reason="needs a CUDA device")
def test_a_game_goes_on_after_it_changed_devices():
    game = Game(
        {"A": Player(nn.Linear(3, 1), ema=0.9)}, [Turn("A", lambda game, x: {"a": game["A"](x).mean()})]
    )
    for device in ("cpu", "cuda", "cpu"):
        game.to(device).take(game.turns[0], X.to(device))
    assert all(step.item() == 3 for step in (s["step"] for s in game.players["A"].optimiser.state.values()))
