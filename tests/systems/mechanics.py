"""What every game of a published system is asked."""

import torch

from medgan_course.train import fit


def reach(game, batch) -> dict[str, str]:
    """Return which players each named term moves, as ``{"D.real": "D", "E+G.code": "E"}``."""
    reached = {}
    for turn in game.turns:
        with game.moving(turn.names):
            for name, term in turn.cost(game, batch).items():
                assert term.isfinite(), name
                moved = []
                for player, entry in game.players.items():
                    parameters = [p for p in entry.parameters if p.requires_grad]
                    gradients = (
                        torch.autograd.grad(term, parameters, allow_unused=True, retain_graph=True)
                        if parameters
                        else ()
                    )
                    if any(g is not None and g.abs().sum() > 0 for g in gradients):
                        moved.append(player)
                reached[f"{turn.label}.{name}"] = "+".join(moved)
    return reached


def check_every_weight_learns(game, batch):
    """Take every turn once: all weights of the movers get a gradient, no other weight does."""
    for turn in game.turns:
        for player in game.players.values():
            player.net.zero_grad(set_to_none=True)
        game.take(turn, batch)
        for name, player in game.players.items():
            for parameter_name, parameter in player.net.named_parameters():
                learns = parameter.grad is not None and bool(parameter.grad.abs().sum() > 0)
                assert learns == (name in turn.names), (turn.label, name, parameter_name)


def check_checkpoint(new_game, batches, path, sample):
    """Train, then continue from the checkpoint with a game of other weights: the samples are the same."""
    trained, other = new_game(seed=0), new_game(seed=1)
    fit(trained, batches, 2, device="cpu", checkpoint=path)
    assert not torch.equal(sample(trained), sample(other))
    fit(other, batches, 2, device="cpu", checkpoint=path)
    assert torch.equal(sample(trained), sample(other))


def check_seed(new_game):
    """Expect that the seed decides the weights and that the global random state is left alone."""
    before = torch.get_rng_state()
    a, b, c = new_game(seed=1), new_game(seed=1), new_game(seed=2)
    assert torch.equal(torch.get_rng_state(), before)
    for name in a.players:
        weights = [torch.cat([p.flatten() for p in game[name].parameters()]) for game in (a, b, c)]
        assert torch.equal(weights[0], weights[1])
        assert not torch.equal(weights[0], weights[2])
