from functools import partial

import pytest
import torch
from mechanics import check_checkpoint, check_every_weight_learns, check_seed, reach
from truths import decibels, eight_heads, experiment_on, judged, use

from medgan_course.budgets import Budget
from medgan_course.data.batches import Paired, Stream
from medgan_course.losses.adversarial import LeastSquares, NonSaturating
from medgan_course.metrics import spectrum
from medgan_course.systems import pix2pix as system

DRAW = torch.Generator().manual_seed(0)
PAIRS = Paired(*(torch.rand(8, 1, 16, 16, generator=DRAW) * 2 - 1 for _ in range(2)))
STREAM = Stream(PAIRS, 4)
small = partial(system.pix2pix, base=4, depth=3)


def test_which_term_moves_whom():
    torch.manual_seed(0)
    assert reach(small(), STREAM[0]) == {"D.real": "D", "D.fake": "D", "G.adversarial": "G", "G.l1": "G"}
    check_every_weight_learns(small(), STREAM[0])


def test_l1_alone_is_a_game_of_one():
    game = small(loss=None)
    assert reach(game, STREAM[0]) == {"G.l1": "G"}
    assert list(game.players) == ["G"]
    # Beside an opponent or not, the generator starts from the same weights.
    for alone, opposed in zip(game["G"].parameters(), small()["G"].parameters(), strict=True):
        assert torch.equal(alone, opposed)


def test_seed_and_checkpoint(tmp_path):
    check_seed(small)

    def sample(game):
        return system.translated(game.averaged("G"), PAIRS.source)

    check_checkpoint(small, STREAM, tmp_path / "pix2pix.safetensors", sample)


@pytest.mark.parametrize("loss", [NonSaturating, LeastSquares])
def test_the_terms_are_those_of_the_paper(loss):
    game = small(loss=loss)
    made, judged, seen = [], [], []
    game["G"].register_forward_hook(lambda module, args, output: made.append(output.detach()))
    game["D"].register_forward_pre_hook(lambda module, args: seen.append(args[0].detach()))
    game["D"].register_forward_hook(lambda module, args, output: judged.append(output.detach()))
    batch = STREAM[0]
    terms = game.play([batch])
    (image,) = made  # once a step, for both players
    for expected, shown in zip((image, batch.target, image), seen, strict=True):
        assert torch.equal(shown, torch.cat([batch.source, expected], 1))
    fooling, real, fake = judged
    for name, term in loss.d_loss(real=real, fake=fake).items():
        torch.testing.assert_close(terms[f"D.{name}"], 0.5 * term)
    torch.testing.assert_close(terms["G.adversarial"], loss.g_loss(fake=fooling)["adversarial"])
    torch.testing.assert_close(terms["G.l1"], 100 * (image - batch.target).abs().mean())


def test_chance_enters_by_dropout():
    net = small()["G"]
    assert not torch.equal(net(STREAM[0].source), net(STREAM[0].source))


def test_any_network_may_be_the_generator():
    net = torch.nn.Conv2d(1, 1, 1)
    game = system.pix2pix(net=net, base=2)
    before = net.weight.detach().clone()
    game.play([STREAM[0]])
    assert game["G"] is net
    assert not torch.equal(net.weight, before)


def test_the_papers_optimiser():
    for player in small().players.values():
        assert player.optimiser.defaults["lr"] == 2e-4
        assert player.optimiser.defaults["betas"] == (0.5, 0.999)


def test_each_player_learns_at_its_own_rate():
    rates = {"G": 1e-3, "D": 5e-4}
    both = system.pix2pix(base=2, depth=2, lr=(1e-3, 5e-4))
    assert {name: player.optimiser.defaults["lr"] for name, player in both.players.items()} == rates
    alone = system.pix2pix(base=2, depth=2, lr=(1e-3, 5e-4), loss=None)
    assert [player.optimiser.defaults["lr"] for player in alone.players.values()] == [1e-3]


def test_volumes_and_several_channels():
    game = system.pix2pix(base=2, depth=2, channels=(2, 1), dim=3)
    volumes = Paired(torch.rand(2, 2, 8, 8, 8), torch.rand(2, 1, 8, 8, 8))
    assert game.play([volumes])["G.l1"].isfinite()


def test_a_translation_repeats_with_its_seed_in_any_parts_and_leaves_the_global_state():
    net = small().averaged("G")
    before = torch.get_rng_state()
    images = system.translated(net, PAIRS.source, seed=3)
    assert torch.equal(torch.get_rng_state(), before)
    assert torch.equal(images, system.translated(net, PAIRS.source, seed=3))
    assert not torch.equal(images, system.translated(net, PAIRS.source, seed=4))
    assert images.abs().max() <= 1
    assert not images.requires_grad


def test_a_translation_is_made_where_the_network_is_and_comes_back():
    net, seen = torch.nn.Linear(1, 1, device="meta"), []

    def forward(images):
        seen.append(images.device.type)
        return torch.zeros(images.shape)  # what is on the meta device cannot come back

    net.forward = forward
    assert system.translated(net, PAIRS.source, batch_size=5).device.type == "cpu"
    assert seen == ["meta", "meta"]


def test_the_spectrum_error_of_an_outcome_is_the_metric_s():
    images, truth = (torch.rand(4, 1, 30, 30, generator=DRAW) for _ in range(2))
    outcome = {"power": system.fine_spectrum(images), "real power": system.fine_spectrum(truth)}
    assert system.spectrum_error(outcome) == pytest.approx(spectrum.spectrum_error(images, truth).value)


def test_the_experiment(monkeypatch, tmp_path):
    card, trained = experiment_on(eight_heads, "S14", monkeypatch, tmp_path)
    assert list(trained["L1 + cGAN", "L1 + cGAN"].game.players) == ["G", "D"]
    assert list(trained["L1", "L1"].game.players) == ["G"]
    for each in trained.values():
        assert torch.equal(each.whole.target, eight_heads("train").contrast("t2"))
    values, fidelity = (each["values"] for each in card.claims)
    t1, t2 = (eight_heads("test").contrast(name)[:6] for name in ("t1", "t2"))
    assert fidelity["identity"] == [pytest.approx(decibels(t1, t2))]
    # Of 17 rings those of index 9 to 16 count.
    for arm, pair in {"identity": (t1, t2), "halves of the real images": (t2[::2], t2[1::2])}.items():
        power = [spectrum.radial_spectrum(images).mean(0)[9:] for images in pair]
        assert values[arm] == [pytest.approx((power[0] / power[1]).log().abs().mean().item())]


def test_the_claims_are_those_of_a_trade_off(monkeypatch):
    use(eight_heads, monkeypatch)
    claims = system.experiment(Budget(steps=1, size=32, base=2, batch_size=4, n_score=6)).claims

    def outcome(db, surplus):
        power = torch.full((2, 8), surplus).exp()
        return {"PSNR (dB)": torch.tensor(db), "power": power, "real power": torch.ones(2, 8)}

    sharp, blurred = outcome([23.0, 25.0], 0.5), outcome([25.0, 27.0], -2.0)
    assert judged(claims, {"L1 + cGAN": sharp, "L1": blurred}) == [(-1.5, "supported"), (2, "supported")]
    assert judged(claims, {"L1 + cGAN": blurred, "L1": sharp}) == [
        (1.5, "contradicted"),
        (-2, "contradicted"),
    ]
