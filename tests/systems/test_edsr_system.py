from functools import partial

import pytest
import torch
from mechanics import check_checkpoint, check_every_weight_learns, check_seed, reach
from torch import nn
from truths import STRIPES_DB, decibels, experiment_on, judged, stripes, use

from medgan_course import draws
from medgan_course.budgets import Budget
from medgan_course.data.batches import Paired, Stream
from medgan_course.data.degrade import bicubic
from medgan_course.data.kspace import kspace_crop, zero_fill
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
    image = torch.arange(12.0).reshape(1, 1, 3, 4)
    views = [turned(image, view) for view in range(8)]
    assert len({(tuple(view.shape), tuple(view.flatten().tolist())) for view in views}) == 8
    for number, view in enumerate(views):
        assert torch.equal(turned_back(view, number), image)


@pytest.mark.parametrize("view", range(8))
@pytest.mark.parametrize("factor", [2, 4])
def test_a_turned_small_image_is_the_small_image_of_the_turned_one(view, factor):
    images = torch.rand(2, 1, 16, 24, generator=torch.Generator().manual_seed(1))
    small, wanted = kspace_crop(images, factor), kspace_crop(turned(images, view), factor)
    torch.testing.assert_close(turned(small, view), wanted, atol=1e-5, rtol=0)
    torch.testing.assert_close(turned_back(wanted, view), small, atol=1e-5, rtol=0)


def test_all_processes_of_a_training_turn_alike():
    game, batch, seen = small(), STREAM[0], []
    game["G"].register_forward_pre_hook(lambda module, args: seen.append(args[0]))
    for seed in range(8):
        for rank in range(2):
            torch.manual_seed(seed)
            with draws.share(rank, 2):
                game.turns[0].cost(game, batch)
        assert torch.equal(*seen[-2:])


def test_the_ensemble_of_a_network_that_ignores_orientation_changes_nothing():
    images = torch.rand(2, 1, 4, 6)
    plain = partial(zero_fill, factor=2)
    torch.testing.assert_close(self_ensemble(plain, images), plain(images))


def test_the_ensemble_averages_a_preferred_direction_out():
    # A network that adds a ramp, odd about sample 0: its mean over all symmetries is zero.
    ramp = torch.tensor([0, 0.5, 1, -1, -0.5]).expand(1, 1, 5, 5)
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


def test_the_experiment(monkeypatch, tmp_path):
    card, trained = experiment_on(stripes, "S17", monkeypatch, tmp_path)
    nets = {arm: each.game["G"].eval() for (arm, _), each in trained.items()}
    normed = {arm: any(isinstance(m, nn.BatchNorm2d) for m in net.modules()) for arm, net in nets.items()}
    assert normed == {"EDSR": False, "with batch norm": True, "EDSR+": False}
    assert all(torch.equal(each.whole.target, stripes("train").images) for each in trained.values())
    # The ensemble is of the network beside it, not of another one.
    assert set(trained) == {("EDSR", "EDSR"), ("with batch norm",) * 2, ("EDSR+", "EDSR")}
    weights = [nets[arm].state_dict() for arm in ("EDSR", "EDSR+")]
    assert all(torch.equal(weights[1][name], weight) for name, weight in weights[0].items())
    truth = stripes("test").images[:6]
    small = kspace_crop(truth, 4)
    alone, together = (each["values"] for each in card.claims)
    with torch.no_grad():
        for arm in ("EDSR", "with batch norm"):
            assert alone[arm] == [pytest.approx(decibels(nets[arm](small), truth))]
        mean = self_ensemble(nets["EDSR"], small)
    assert together["EDSR+"] == [pytest.approx(decibels(mean, truth))]
    assert together["EDSR"] == alone["EDSR"] != together["EDSR+"]
    assert alone["zero-filled"] == [pytest.approx(STRIPES_DB, abs=0.01)]
    assert alone["bicubic"] == [pytest.approx(decibels(bicubic(small, 4), truth))]


def test_the_claims_are_those_of_the_paper(monkeypatch):
    use(stripes, monkeypatch)
    claims = system.experiment(Budget(steps=1, size=32, base=2, batch_size=4, n_score=6)).claims
    arms = {"EDSR+": 30.5, "EDSR": 30.0, "with batch norm": 28.0}
    outcomes = {arm: {"PSNR (dB)": torch.tensor([db - 1, db + 1])} for arm, db in arms.items()}
    assert judged(claims, outcomes) == [(2, "supported"), (0.5, "supported")]
    reverse = dict(zip(outcomes, reversed(outcomes.values()), strict=True))
    assert judged(claims, reverse) == [(-0.5, "contradicted"), (-2, "contradicted")]
