from functools import partial

import pytest
import torch
from mechanics import check_checkpoint, check_seed, reach
from torch.nn.functional import one_hot
from truths import eight_heads, experiment_on, judged, use

from medgan_course.budgets import Budget
from medgan_course.data.batches import Paired, Stream
from medgan_course.experiments import Run
from medgan_course.metrics.features import FeatureNet
from medgan_course.nets.spade import SPADEGenerator
from medgan_course.systems import spade as system

DRAW = torch.Generator().manual_seed(0)
LABELS = one_hot(torch.randint(3, (8, 16, 16), generator=DRAW), 3).movedim(-1, 1).float()
PAIRS = Paired(LABELS, torch.rand(8, 1, 16, 16, generator=DRAW) * 2 - 1)
STREAM = Stream(PAIRS, 4)
small = partial(system.spade, 16, 3, base=2)


def test_which_term_moves_whom():
    torch.manual_seed(0)
    moved = {"D.real": "D", "D.fake": "D", "G.adversarial": "G", "G.features": "G"}
    assert reach(small(), STREAM[0]) == moved
    assert reach(small(features=FeatureNet(16, 2).eval()), STREAM[0]) == moved | {"G.perceptual": "G"}


def test_with_a_style_the_encoder_moves_with_the_generator():
    torch.manual_seed(0)
    game = small(z_dim=3)
    reached = reach(game, STREAM[0])
    assert reached["G+E.kl"] == "E"
    assert reached["G+E.adversarial"] == reached["G+E.features"] == "G+E"
    assert reached["D.fake"] == "D"
    game.play([STREAM[0]])
    images = game.averaged("G")(LABELS[:2], game["G"].latent(2, seed=0))
    assert images.shape == (2, 1, 16, 16)


def test_seed_and_checkpoint(tmp_path):
    check_seed(small)

    def sample(game):
        return game.averaged("G")(PAIRS.source)

    check_checkpoint(small, STREAM, tmp_path / "spade.safetensors", sample)


def test_the_terms_are_those_of_the_paper():
    torch.manual_seed(0)
    net = FeatureNet(16, 2).eval()
    game, batch = small(features=net), STREAM[0]
    game["D"].eval()  # spectral norm's vectors stand still, so that a second look sees the same
    game["G"].eval()
    d_terms, g_terms = (turn.cost(game, batch) for turn in game.turns)
    fake = game["G"](batch.source)
    (real_logits, real_features), (logits, features) = (
        game["D"].judge(torch.cat([batch.source, images], 1)) for images in (batch.target, fake)
    )
    assert len(logits) == 2

    def over_scales(function, maps):
        return sum(function(each).mean() for each in maps) / 2

    torch.testing.assert_close(d_terms["real"], over_scales(lambda a: (1 - a).clamp(min=0), real_logits))
    torch.testing.assert_close(d_terms["fake"], over_scales(lambda a: (1 + a).clamp(min=0), logits))
    torch.testing.assert_close(g_terms["adversarial"], over_scales(lambda a: -a, logits))
    matching = sum((a - b).abs().mean() for a, b in zip(real_features, features, strict=True))
    torch.testing.assert_close(g_terms["features"], 10 * matching / 2)
    wanted, got = net.maps(batch.target), net.maps(fake)
    perceptual = sum((a - b).square().mean() for a, b in zip(wanted, got, strict=True)) / 5
    torch.testing.assert_close(g_terms["perceptual"], 10 * perceptual)


def test_two_time_scales():
    game = small(z_dim=2)
    rates = {name: player.optimiser.defaults["lr"] for name, player in game.players.items()}
    assert rates == {"G": 1e-4, "D": 4e-4, "E": 1e-4}
    assert game.players["G"].optimiser.defaults["betas"] == (0.0, 0.999)


def test_the_style_has_the_encoder_s_mean_and_deviation():
    game = small(z_dim=2)
    code = {"mean": torch.full((4, 2), 3.0), "log_variance": torch.full((4, 2), -40.0)}
    game["E"].register_forward_hook(lambda module, args, output: code)
    seen = []
    game["G"].register_forward_pre_hook(lambda module, args: seen.append(args[1]))
    terms = game.turns[1].cost(game, STREAM[0])
    torch.testing.assert_close(seen[0], code["mean"])
    # KL of N(3, e^-40) from N(0, 1), twice: (9 + e^-40 + 40 - 1) / 2 each, up to float32.
    assert terms["kl"].item() == pytest.approx(0.05 * 48)


def test_the_experiment(monkeypatch, tmp_path):
    card, trained = experiment_on(eight_heads, "S11", monkeypatch, tmp_path)
    assert isinstance(trained["SPADE", "SPADE"].game["G"], SPADEGenerator)
    assert not isinstance(trained["pix2pix", "pix2pix"].game["G"], SPADEGenerator)
    # All arms are judged by one segmentor, trained on real images of others.
    assert list(card.parameters["real images"]) == ["S"]
    judges = [trained[arm, "segmentor"].game["S"].state_dict() for arm in card.claims[0]["values"]]
    assert len(judges) == 3
    for judge in judges[1:]:
        assert all(torch.equal(judge[name], weight) for name, weight in judges[0].items())
    for each in trained.values():
        assert torch.equal(each.whole.target, eight_heads("train").contrast("t1"))
        assert torch.equal(each.whole.source.argmax(1), eight_heads("train").truth.label_map)


def test_the_score_is_the_mean_over_the_tissues_that_are_there(monkeypatch, tmp_path):
    truth = eight_heads("test").truth.label_map[:6]
    everything_air = one_hot(torch.zeros_like(truth), 15).movedim(-1, 1).float()
    perfect = one_hot(truth, 15).movedim(-1, 1).float()
    use(eight_heads, monkeypatch)
    monkeypatch.setattr(Run, "fit", lambda *args, **settings: {})
    experiment = system.experiment(Budget(steps=1, size=32, base=2, batch_size=4, n_score=6))
    scores = []
    for answer in (everything_air, perfect):
        monkeypatch.setattr(system, "translated", lambda net, images, answer=answer, **settings: answer)
        scores.append(experiment.arms["real images"](Run("real images", 0, tmp_path))["mIoU"])
    assert torch.equal(scores[1], torch.ones(6, dtype=torch.float64))
    # Air is right where there is air and wrong elsewhere, and every other tissue that is there is missed.
    expected = [(image == 0).double().mean().item() / len(image.unique()) for image in truth]
    assert scores[0].tolist() == pytest.approx(expected)
    assert min(len(image.unique()) for image in truth) < 15  # some tissue is absent
    (claim,) = experiment.claims
    for better, worse in (("SPADE", "pix2pix"), ("pix2pix", "SPADE")):
        shown = judged([claim], {better: {"mIoU": scores[1]}, worse: {"mIoU": scores[0]}})
        assert shown[0][1] == ("supported" if better == "SPADE" else "contradicted")


@pytest.mark.parametrize("base", [8, 32])
def test_both_generators_of_the_experiment_have_as_many_weights(base):
    spade = system.spade(64, 15, base=base)["G"]
    baseline = system.pix2pix(base=round(2.75 * base), channels=(15, 1))["G"]
    ours, theirs = (sum(p.numel() for p in net.parameters()) for net in (spade, baseline))
    assert theirs == pytest.approx(ours, rel=0.03)
