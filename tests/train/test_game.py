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


def everyone(game, x):
    """Return a wrong cost with a second derivative: a penalty on the gradient through all players."""
    x = x.clone().requires_grad_()
    y = game["A"](game["B"](game["C"](x))).tanh().sum()
    (slope,) = torch.autograd.grad(y, x, create_graph=True)
    return {"value": y, "slope": slope.square().mean()}


@pytest.mark.parametrize("movers", ["A", "B", ("C", "A")])
def test_a_penalty_on_a_gradient_through_everyone_moves_the_movers_alone(movers):
    game = three_players(Turn(movers, everyone))
    copies = {name: deepcopy(game[name]) for name in "ABC"}
    total = sum(everyone(copies, X).values())
    expected = {
        name: torch.autograd.grad(total, list(copies[name].parameters()), retain_graph=True) for name in "ABC"
    }
    before = weights(game)
    game.take(game.turns[0], X)
    assert who_moved(game, before) == set(movers)
    for name in movers:
        for parameter, gradient in zip(game[name].parameters(), expected[name], strict=True):
            torch.testing.assert_close(parameter.grad, gradient)


def infogan(*movers):
    """Return a game in which D and Q share a trunk, as in InfoGAN (Chen et al. 2016)."""
    torch.manual_seed(0)
    trunk = nn.Linear(3, 3)
    nets = {"G": (nn.Linear(3, 3),), "D": (trunk, nn.Linear(3, 1)), "Q": (trunk, nn.Linear(3, 2))}

    def cost(game, x):
        fake = game["G"](x)
        return {"logit": game["D"](fake).square().mean(), "code": game["Q"](fake).square().mean()}

    return Game({name: player(*layers) for name, layers in nets.items()}, [Turn(movers, cost)])


@pytest.mark.parametrize("movers", [("D",), ("Q",), ("D", "Q"), ("Q", "D"), ("G", "Q"), ("G",)])
def test_a_shared_trunk_moves_once_and_with_its_owners_alone(movers):
    game = infogan(*movers)
    copy = deepcopy(game)
    terms = copy.turns[0].cost(copy, X)
    sum(terms.values()).backward()
    game.take(game.turns[0], X)
    owners = {"G": "G", "D": "DQ", "Q": "DQ"}
    for name in "GDQ":
        for index, (now, old) in enumerate(
            zip(game[name].parameters(), copy[name].parameters(), strict=True)
        ):
            may_move = set(owners[name] if index < 2 else name) & set(movers)
            torch.testing.assert_close(now, old - 0.1 * old.grad if may_move else old)


def test_the_first_named_mover_moves_what_two_share():
    game = infogan("D", "Q")
    for name, rate in (("D", 0.5), ("Q", 0.0)):
        game.players[name].optimiser.param_groups[0]["lr"] = rate
    trunk, old = game["D"][0].weight, game["D"][0].weight.detach().clone()
    game.take(game.turns[0], X)
    assert not torch.equal(trunk, old)


def segmented():
    """Return a game in which a segmentor, with batch norm, is part of a generator's cost and never moves."""
    torch.manual_seed(0)
    segmentor = nn.Sequential(nn.Linear(3, 3), nn.BatchNorm1d(3), nn.Dropout(0.5), nn.Linear(3, 1))
    return Game(
        {"G": player(nn.Linear(3, 3), nn.BatchNorm1d(3)), "S": player(*segmentor)},
        [Turn("G", lambda game, x: {"mask": game["S"](game["G"](x)).square().mean()})],
    )


def test_a_player_that_never_moves_stands_still_and_passes_the_gradient_on():
    game = segmented()
    state = deepcopy(game["S"].state_dict())
    before = weights(game)
    values = [game.take(game.turns[0], X)["G.mask"].item() for _ in range(30)]
    assert who_moved(game, before) == {"G"}
    assert all(torch.equal(value, state[key]) for key, value in game["S"].state_dict().items())
    assert values[-1] < 0.5 * values[0]
    assert game["G"].training


def test_what_a_resting_player_shares_with_a_mover_stays_in_training_mode():
    shared = nn.Sequential(nn.Linear(3, 3), nn.BatchNorm1d(3))
    game = Game(
        {"A": player(shared), "B": player(shared, nn.Dropout(0.5))},
        [Turn("A", lambda game, x: {"a": game["B"](x).mean()})],
    )
    assert all(module.training for module in game["A"].modules())
    assert not game["B"][1].training


def test_statistics_of_a_mover_follow_every_forward_pass():
    """Said in the docstring of Game: a waiting player's weights stand still, its batch norm goes on."""
    game = Game(
        {"A": player(nn.Linear(3, 3)), "B": player(nn.BatchNorm1d(3))},
        [
            Turn("A", lambda game, x: {"a": game["B"](game["A"](x)).pow(3).mean()}),
            Turn("B", lambda game, x: {"b": game["B"](x).pow(3).mean()}),
        ],
    )
    mean = game["B"][0].running_mean.clone()
    game.take(game.turns[0], X + 1)
    assert not torch.equal(game["B"][0].running_mean, mean)


def test_a_net_without_trainable_weights_may_play_but_not_move():
    frozen = nn.Linear(3, 3).requires_grad_(False)
    cost = through_everyone
    nets = {"A": player(nn.Linear(3, 3)), "B": Player(frozen), "C": Player(nn.Tanh(), ema=0.9)}
    game = Game(nets, [Turn("A", cost)])
    before = weights(game)
    game.to("cpu").take(game.turns[0], X)
    assert who_moved(game, before) == {"A"}
    with pytest.raises(CourseError, match="B cannot move, because none of its parameters requires a grad"):
        Game(nets, [Turn(("A", "B"), cost)])


def test_a_mover_frozen_later_is_explained_and_nobody_moves():
    game = three_players(Turn(("A", "B"), through_everyone))
    game["B"].requires_grad_(False)
    before = weights(game)
    with pytest.raises(CourseError, match="B cannot move, because none of its parameters"):
        game.take(game.turns[0], X)
    assert not who_moved(game, before)


@pytest.mark.parametrize(
    "cost",
    [
        lambda game, x: {"a": STRANGER(x).mean()},
        lambda game, x: {"a": STRANGER(game["A"](x).detach()).mean()},
        lambda game, x: {"a": game["B"](x).mean() + STRANGER(x).mean()},
    ],
)
def test_a_cost_that_depends_on_a_stranger_alone_is_explained_and_moves_nobody(cost):
    game = three_players(Turn("A", cost))
    before = weights(game)
    with pytest.raises(CourseError, match=r"cost of A does not depend on A: look for a detach\(\)"):
        game.take(game.turns[0], X)
    assert not who_moved(game, before)
    assert STRANGER.weight.grad is None


STRANGER = nn.Linear(3, 1)


def test_a_turn_repeated_sees_the_last_batches_of_the_step_and_logs_their_mean():
    seen = {"A": [], "B": [], "C": []}

    def cost_of(name):
        def cost(game, x):
            seen[name].append(x[0, 0].item())
            return {"x": game[name](x).mean() * 0 + x[0, 0]}

        return cost

    game = three_players(
        Turn("A", cost_of("A"), times=3), Turn("B", cost_of("B")), Turn("C", cost_of("C"), times=2)
    )
    assert game.batches_per_step == 3
    terms = game.play([torch.full((1, 3), float(i)) for i in (1, 2, 6)])
    assert seen == {"A": [1, 2, 6], "B": [6], "C": [2, 6]}
    assert {name: term.item() for name, term in terms.items()} == {"A.x": 3, "B.x": 6, "C.x": 4}
    assert game.step == 1


def test_times_moves_as_often_as_said():
    net = nn.Linear(1, 1, bias=False)
    nn.init.ones_(net.weight)
    game = Game(
        {"A": Player(net, optimiser=sgd)},
        [Turn("A", lambda game, x: {"a": game["A"](x).square().mean()}, times=4)],
    )
    game.play([torch.ones(1, 1)] * 4)
    assert net.weight.item() == pytest.approx(0.8**4)


def test_a_lazy_penalty_is_a_turn_of_its_own():
    slope = 2.0
    net = nn.Linear(1, 1, bias=False)
    nn.init.ones_(net.weight)
    game = Game(
        {"D": Player(net, optimiser=sgd)},
        [
            Turn("D", lambda game, x: {"loss": game["D"](x).mean()}),
            Turn("D", lambda game, x: {"lazy": 4 * slope * game["D"](x).mean()}, every=4),
        ],
    )
    taken = [sorted(game.play([torch.ones(1, 1)])) for _ in range(9)]
    assert [step for step, names in enumerate(taken) if "D.lazy" in names] == [0, 4, 8]
    assert net.weight.item() == pytest.approx(1 - 0.1 * (9 + 3 * 4 * slope), rel=1e-5)


def test_two_turns_that_call_a_term_the_same_are_explained():
    game = three_players(Turn("A", through_everyone), Turn("A", lambda g, x: {"wrong": g["A"](x).mean()}))
    with pytest.raises(CourseError, match=r"Two turns call a term A\.wrong: give it another name"):
        game.play([X])


def test_a_turn_listed_twice_is_one_turn_and_logs_its_mean():
    game = three_players(*[Turn("A", through_everyone)] * 2)
    twin = three_players(Turn("A", through_everyone))
    values = [twin.take(twin.turns[0], X)["A.wrong"] for _ in range(2)]
    assert game.play([X])["A.wrong"] == torch.stack(values).mean()


@pytest.mark.parametrize("times", [0, -1])
def test_times_is_at_least_one(times):
    with pytest.raises(CourseError, match=f"turn of A is taken {times} times: times must be 1 or more"):
        three_players(Turn("A", through_everyone, times=times))


@pytest.mark.parametrize(
    ("settings", "sentence"), [({"ema": 1.5}, "ema=1.5 is no decay"), ({"replay": 0}, "replay=0 keeps no")]
)
def test_impossible_settings_of_a_player_are_sentences(settings, sentence):
    with pytest.raises(CourseError, match=sentence):
        Player(nn.Linear(1, 1), **settings)


def test_a_term_that_is_not_finite_moves_nobody_on_the_cpu():
    def cost(game, x):
        return {"fine": game["A"](x).mean(), "bad": game["A"](x).mean() * float("inf")}

    game = three_players(Turn("A", cost))
    before = weights(game)
    with pytest.raises(CourseError, match=r"the term A\.bad became -?inf at step 0"):
        game.take(game.turns[0], X)
    assert not who_moved(game, before)


def test_channels_last_reaches_weights_of_one_channel_and_spares_volumes():
    nets = nn.Conv2d(1, 3, 4), nn.Conv2d(3, 1, 4), nn.Conv3d(1, 2, 3)
    game = Game({str(i): Player(net, ema=0.5) for i, net in enumerate(nets)}, []).to("cpu")
    assert [game[str(i)].weight.stride() for i in range(2)] == [(16, 1, 4, 1), (48, 1, 12, 3)]
    assert game.players["0"].average.weight.stride() == (16, 1, 4, 1)
    assert game["2"].weight.is_contiguous()


def test_what_a_turn_keeps_reaches_later_turns_of_its_step_and_no_later_step():
    seen = []

    def maker(game, x):
        seen.append(dict(game.kept))
        game.kept["made"] = game["A"](x)
        return {"a": game.kept["made"].square().mean()}

    def user(game, x):
        seen.append(dict(game.kept))
        return {"b": game["B"](game.kept["made"].detach()).square().mean()}

    game = three_players(Turn("A", maker), Turn("B", user))
    game.play([X])
    game.play([X])
    assert [list(kept) for kept in seen] == [[], ["made"], [], ["made"]]
    assert not torch.equal(seen[1]["made"], seen[3]["made"])


@pytest.mark.parametrize(
    "settings",
    [
        {"optimiser": torch.optim.LBFGS},
        {"optimiser": sgd, "schedule": torch.optim.lr_scheduler.ReduceLROnPlateau},
    ],
)
def test_what_needs_to_be_shown_a_loss_is_refused_at_once(settings):
    with pytest.raises(CourseError, match="need to be shown a loss"):
        Player(nn.Linear(1, 1), **settings)
