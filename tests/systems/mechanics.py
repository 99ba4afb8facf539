"""What every game of a published system is asked."""

import torch

from medgan_course import data, pretrained
from medgan_course.data.batches import Batches
from medgan_course.experiments import claim, run
from medgan_course.metrics.features import FeatureNet
from medgan_course.train import fit


class Tiny:
    """Thirty images of three classes, each brighter than the one before, as experiments use a data set."""

    name, size, split, source, is_surrogate = "noise", 28, "train", "Noise, for a test.", True
    class_names = ("a", "b", "c")
    labels = torch.arange(30) % 3
    noise = torch.rand(30, 1, 28, 28, generator=torch.Generator().manual_seed(0))
    images = noise - 0.9 + labels.view(-1, 1, 1, 1) / 4

    def __len__(self):
        return len(self.images)

    def batches(self, batch_size, *, seed=0):
        return Batches(self.images, self.labels, batch_size, seed=seed)


def use_noise(monkeypatch):
    """Let experiments load noise, whatever set they ask for, and a feature network that knows nothing."""
    torch.manual_seed(0)
    domain = FeatureNet(28, 3).eval()
    monkeypatch.setattr(data, "load", lambda name, **settings: Tiny())
    monkeypatch.setattr(pretrained, "load", lambda name, net: domain)


def experiment_on_noise(name, monkeypatch, folder, **settings):
    """Run a whole experiment with the least of everything and return its card."""
    use_noise(monkeypatch)
    monkeypatch.setattr(claim, "RESAMPLES", 3)
    least = {"steps": "1", "base": "2", "batch_size": "6", "n_score": "12"} | settings
    return run(name, profile="smoke", seeds=[1], settings=least, out=folder, runs=folder)


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
