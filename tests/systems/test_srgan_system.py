from copy import deepcopy
from functools import partial

import pytest
import torch
from mechanics import check_checkpoint, check_every_weight_learns, check_seed, reach
from truths import STRIPES_DB, decibels, experiment_on, judged, stripes, use

from medgan_course import pretrained
from medgan_course.budgets import Budget
from medgan_course.data.batches import Paired, Stream
from medgan_course.data.degrade import bicubic
from medgan_course.data.kspace import kspace_crop
from medgan_course.metrics.features import FeatureNet
from medgan_course.systems import srgan as system
from medgan_course.train import fit

DRAW = torch.Generator().manual_seed(0)
PAIRS = Paired(*(torch.rand(8, 1, n, n, generator=DRAW) * 2 - 1 for n in (8, 16)))
STREAM = Stream(PAIRS, 4)
first = partial(system.srresnet, 2, base=4, blocks=1)


def second(seed=0, **settings):
    return system.srgan(first(seed=seed)["G"], 16, 4, base=4, seed=seed, **settings)


def test_which_term_moves_whom():
    torch.manual_seed(0)
    assert reach(first(), STREAM[0]) == {"G.mse": "G"}
    moved = {"D.real": "D", "D.fake": "D", "G.content": "G", "G.adversarial": "G"}
    assert reach(second(), STREAM[0]) == moved
    assert reach(second(features=FeatureNet(16, 2).eval()), STREAM[0]) == moved
    check_every_weight_learns(first(), STREAM[0])
    check_every_weight_learns(second(), STREAM[0])


def test_seed_and_checkpoint(tmp_path):
    def sample(game):
        return game.averaged("G")(PAIRS.source)

    for name, new_game in (("first", first), ("second", second)):
        check_seed(new_game)
        check_checkpoint(new_game, STREAM, tmp_path / f"{name}.safetensors", sample)


def test_the_terms_are_those_of_the_paper():
    net = FeatureNet(16, 2).eval()
    for features in (None, net):
        game, batch = second(features=features), STREAM[0]
        made, judged = [], []
        game["G"].register_forward_hook(lambda module, args, output, made=made: made.append(output))
        game["D"].register_forward_hook(lambda module, args, output, judged=judged: judged.append(output))
        terms = game.turns[1].cost(game, batch)
        x, y = ([i] if features is None else net.maps(i) for i in (made[0], batch.target))
        content = torch.stack([(a - b).square().mean() for a, b in zip(x, y, strict=True)]).mean()
        torch.testing.assert_close(terms["content"], content)
        torch.testing.assert_close(terms["adversarial"], -1e-3 * judged[0].sigmoid().log().mean())


def test_the_fixed_features_stand_still():
    net = FeatureNet(16, 2).eval()
    before = deepcopy(net.state_dict())
    fit(second(features=net), STREAM, 2, device="cpu")
    assert all(torch.equal(net.state_dict()[name], kept) for name, kept in before.items())
    assert all(weight.grad is None for weight in net.parameters())


def test_the_second_game_goes_on_with_the_generator_of_the_first():
    game = first()
    fit(game, STREAM, 1, device="cpu")
    weights = [p.detach().clone() for p in game["G"].parameters()]
    joined = system.srgan(game["G"], 16, 4, base=4)
    assert all(torch.equal(a, b) for a, b in zip(weights, joined["G"].parameters(), strict=True))


def test_the_rate_falls_to_a_tenth_in_the_second_half():
    game, rates = second(), []
    for _ in range(4):
        rates.append({p.optimiser.param_groups[0]["lr"] for p in game.players.values()})
        game.play([STREAM[game.step]])
    assert [round(rate, 9) for (rate,) in rates] == [1e-4, 1e-4, 1e-5, 1e-5]
    assert game.players["G"].optimiser.defaults["betas"] == (0.9, 0.999)


def test_without_a_weight_the_second_game_is_the_same_but_for_the_adversary():
    game = second(weight=0)
    assert list(game.players) == ["G"]
    assert reach(game, STREAM[0]) == {"G.content": "G"}
    torch.testing.assert_close(
        game.turns[0].cost(game, STREAM[0])["content"],
        second().turns[1].cost(second(), STREAM[0])["content"],
    )
    rates = []
    for _ in range(4):
        rates.append(game.players["G"].optimiser.param_groups[0]["lr"])
        game.play([STREAM[game.step]])
    assert rates == pytest.approx([1e-4, 1e-4, 1e-5, 1e-5])


@pytest.fixture
def domain(monkeypatch):
    torch.manual_seed(0)
    net = FeatureNet(32, 2).eval()
    monkeypatch.setattr(pretrained, "load", lambda name, kind: net)
    return net


def test_the_experiment(domain, monkeypatch, tmp_path):
    card, trained = experiment_on(stripes, "S18", monkeypatch, tmp_path, steps="2")
    assert set(trained) == {(arm, name) for arm in ("SRGAN", "SRResNet") for name in (arm, "pre-training")}
    assert list(card.parameters["SRGAN"]) == ["G", "D"]
    assert list(card.parameters["SRResNet"]) == ["G"]
    # Both begin with the same two updates, and have had four when they are judged.
    assert {each.game.step for each in trained.values()} == {2}
    first = [trained[arm, "pre-training"].terms["G.mse"] for arm in ("SRGAN", "SRResNet")]
    assert first[0] == first[1]
    # Then one phase of the same rates and, before the adversary has moved anything, the same content.
    second = [trained[arm, arm] for arm in ("SRGAN", "SRResNet")]
    rates = [[g["lr"] for g in each.game.players["G"].optimiser.param_groups] for each in second]
    assert rates[0] == rates[1]
    assert second[0].terms["G.content"][0] == second[1].terms["G.content"][0]
    assert list(second[1].terms) == ["G.content"]
    nets = {arm: trained[arm, arm].game["G"].eval() for arm in ("SRGAN", "SRResNet")}
    truth = stripes("test").images[:6]
    small = kspace_crop(truth, 4)
    fidelity, fid, spectrum = (each["values"] for each in card.claims)
    with torch.no_grad():
        for arm, net in nets.items():
            assert fidelity[arm] == [pytest.approx(decibels(net(small), truth))]
    assert fidelity["zero-filled"] == [pytest.approx(STRIPES_DB, abs=0.01)]
    assert fidelity["bicubic"] == [pytest.approx(decibels(bicubic(small, 4), truth))]
    assert fid.keys() == fidelity.keys()
    assert spectrum.keys() == fidelity.keys() | {"halves of the real images"}


def test_the_claims_are_those_of_a_trade(domain, monkeypatch):
    use(stripes, monkeypatch)
    experiment = system.experiment(Budget(steps=1, size=32, base=2, batch_size=4, n_score=8))
    real = system.domain_features(domain, stripes("test").images)

    def outcome(db, shift, deficit):
        # The distance of a set to itself, shifted, is the square of the shift.
        power = torch.full((8, 8), -deficit).exp()
        features = real + shift * torch.eye(64)[5]
        seen = {"features": features, "power": power, "real power": torch.ones(8, 8)}
        return {"PSNR (dB)": torch.tensor([db - 1, db + 1])} | seen

    sharp, blurred = outcome(24.0, 1.0, 0.5), outcome(27.0, 2.0, 3.0)
    shown = judged(experiment.claims, {"SRGAN": sharp, "SRResNet": blurred})
    assert [q for q, _ in shown] == pytest.approx([3, -3, -2.5], abs=1e-3)
    assert [verdict for _, verdict in shown] == ["supported"] * 3
    shown = judged(experiment.claims, {"SRGAN": blurred, "SRResNet": sharp})
    assert [q for q, _ in shown] == pytest.approx([-3, 3, 2.5], abs=1e-3)
    assert [verdict for _, verdict in shown] == ["contradicted"] * 3
