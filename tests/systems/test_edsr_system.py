from functools import partial

import pytest
import torch
from mechanics import check_checkpoint, check_every_weight_learns, check_seed, reach

from medgan_course.data.batches import Paired, Stream
from medgan_course.systems import edsr as system
from medgan_course.systems.edsr import self_ensemble, turned, turned_back

DRAW = torch.Generator().manual_seed(0)
PAIRS = Paired(*(torch.rand(8, 1, n, n, generator=DRAW) * 2 - 1 for n in (4, 8)))
STREAM = Stream(PAIRS, 4)
small = partial(system.edsr, 3, 2, base=4, blocks=1)


def test_a_game_of_one():
    torch.manual_seed(0)
    assert reach(small(), STREAM[0]) == {"G.l1": "G"}
    check_every_weight_learns(small(), STREAM[0])
    assert reach(small(batch_norm=True), STREAM[0]) == {"G.l1": "G"}


def test_seed_and_checkpoint(tmp_path):
    check_seed(small)
    check_checkpoint(
        small, STREAM, tmp_path / "edsr.safetensors", lambda game: game.averaged("G")(PAIRS.source)
    )


def test_source_and_target_are_turned_alike():
    game, batch = small(), STREAM[0]
    seen = []
    game["G"].register_forward_hook(lambda module, args, output: seen.append((args[0], output)))
    views = set()
    for seed in range(30):
        torch.manual_seed(seed)
        term = game.turns[0].cost(game, batch)["l1"]
        shown, output = seen[-1]
        (view,) = [view for view in range(8) if torch.equal(shown, turned(batch.source, view))]
        torch.testing.assert_close(term, (output - turned(batch.target, view)).abs().mean())
        views.add(view)
    assert views == set(range(8))


def test_the_eight_views_differ_and_can_be_undone():
    image = torch.arange(6.0).reshape(1, 1, 2, 3)
    views = [turned(image, view) for view in range(8)]
    assert len({(tuple(view.shape), tuple(view.flatten().tolist())) for view in views}) == 8
    for number, view in enumerate(views):
        assert torch.equal(turned_back(view, number), image)


def test_the_ensemble_of_a_network_that_ignores_orientation_changes_nothing():
    images = torch.rand(2, 1, 4, 6)

    def enlarged(x):
        return x.repeat_interleave(2, -1).repeat_interleave(2, -2)

    torch.testing.assert_close(self_ensemble(enlarged, images), enlarged(images))


def test_the_ensemble_averages_a_preferred_direction_out():
    # A network that adds a ramp from left to right: its mean over all symmetries is the ramp's mean.
    ramp = torch.linspace(-1, 1, 5).expand(1, 1, 5, 5)
    images = torch.rand(2, 1, 5, 5)
    torch.testing.assert_close(self_ensemble(lambda x: x + ramp, images), images, atol=1e-6, rtol=0)


def test_the_ensemble_is_no_worse_than_the_views_on_average():
    torch.manual_seed(0)
    net = small()["G"]
    with torch.no_grad():
        views = [turned_back(net(turned(PAIRS.source, view)), view) for view in range(8)]
        mean = torch.stack([(view - PAIRS.target).square().mean() for view in views]).mean()
        assert (self_ensemble(net, PAIRS.source) - PAIRS.target).square().mean() < mean


def test_the_papers_optimiser_and_schedule():
    game = small()
    assert game.players["G"].optimiser.defaults["betas"] == (0.9, 0.999)
    rates = []
    for _ in range(3):
        rates.append(game.players["G"].optimiser.param_groups[0]["lr"])
        game.play([STREAM[game.step]])
    assert rates == pytest.approx([1e-4, 1e-4, 0.5e-4])
