from functools import partial

import pytest
import torch
from mechanics import check_checkpoint, check_every_weight_learns, check_seed, experiment_on_noise, reach
from torch.nn.functional import softplus

from medgan_course.data.batches import Batches
from medgan_course.metrics.coverage import covered, nearest_mode
from medgan_course.systems import alpha_gan as system
from medgan_course.systems.gan import mixture

IMAGES = torch.rand(12, 1, 16, 16, generator=torch.Generator().manual_seed(0)) * 2 - 1
POINTS = torch.randn(12, 2, generator=torch.Generator().manual_seed(0))
LABELS = torch.zeros(12, dtype=torch.long)
images = (partial(system.on_images, 16, base=4, z_dim=3), Batches(IMAGES, LABELS, 6))
points = (partial(system.on_points, z_dim=3, width=8), Batches(POINTS, LABELS, 6))
both = pytest.mark.parametrize(("small", "batches"), [images, points], ids=["images", "points"])


@both
def test_which_term_moves_whom(small, batches):
    assert reach(small(), batches[0]) == {
        "D.real": "D",
        "D.fake": "D",
        "D.reconstructed": "D",
        "C.real": "C",
        "C.fake": "C",
        "E+G.reconstruction": "E+G",
        "E+G.reconstructed": "E+G",
        "E+G.generated": "G",
        "E+G.code": "E",
    }
    check_every_weight_learns(small(), batches[0])


@both
def test_seed_and_checkpoint(tmp_path, small, batches):
    check_seed(small)

    def sample(game):
        net = system.sampler(game)
        return net(net.latent(4, seed=0))

    check_checkpoint(small, batches, tmp_path / "alpha.safetensors", sample)


def terms_and_calls(game, turn, batch):
    """Take a turn and note what D and C were shown and said."""
    calls = {name: [] for name in "DC"}
    hooks = [
        game[name].register_forward_hook(lambda module, args, output, name=name: calls[name].append(output))
        for name in "DC"
    ]
    terms = game.take(turn, batch)
    for hook in hooks:
        hook.remove()
    return terms, calls


def test_the_discriminators_cross_entropies():
    small, batches = points
    game = small()
    d_turn, c_turn, _ = game.turns
    terms, calls = terms_and_calls(game, d_turn, batches[0])
    real, generated, rebuilt = calls["D"]
    expected = {
        "D.real": softplus(-real).mean(),
        "D.fake": softplus(generated).mean(),
        "D.reconstructed": softplus(rebuilt).mean(),
    }
    torch.testing.assert_close(terms, {name: term.detach() for name, term in expected.items()})

    prior = []
    game["C"].register_forward_pre_hook(lambda module, args: prior.append(args[0]))
    terms, calls = terms_and_calls(game, c_turn, batches[0])
    real, fake = calls["C"]
    # What is real to C comes from the prior, what is fake from the encoder.
    torch.testing.assert_close(prior[1], game["E"](batches[0].images))
    torch.testing.assert_close(terms["C.real"], softplus(-real).mean().detach())
    torch.testing.assert_close(terms["C.fake"], softplus(fake).mean().detach())


def test_encoder_and_generator_get_the_gradients_of_their_own_costs():
    small, batches = points
    weight = 3.0
    game = small(weight=weight)
    x = batches[0].images
    torch.manual_seed(2)
    game.take(game.turns[2], batches[0])
    moved = {name: [p.grad.clone() for p in game[name].parameters()] for name in "EG"}

    alone = small(weight=weight)
    torch.manual_seed(2)
    z = alone["G"].latent(6)
    code = alone["E"](x)
    rebuilt, generated = alone["G"](code), alone["G"](z)
    fidelity = weight * (x - rebuilt).abs().mean()

    def ratio(logits):  # r_D as the paper writes it
        p = logits.double().sigmoid()
        return (-p.log() + (1 - p).log()).mean()

    own = {
        "E": fidelity + ratio(alone["D"](rebuilt)) + ratio(alone["C"](code)),
        "G": fidelity + ratio(alone["D"](rebuilt)) + ratio(alone["D"](generated)),
    }
    for name, cost in own.items():
        gradients = torch.autograd.grad(cost, list(alone[name].parameters()), retain_graph=True)
        for got, expected in zip(moved[name], gradients, strict=True):
            torch.testing.assert_close(got, expected, rtol=1e-4, atol=1e-6)


def test_the_code_discriminator_has_no_batch_norm():
    small, _ = images
    assert not [m for m in small()["C"].modules() if isinstance(m, torch.nn.modules.batchnorm._BatchNorm)]


def test_the_grid_has_25_modes():
    apart = torch.pdist(system.GRID)
    assert len(system.GRID) == 25
    assert apart.min() == 2  # no point is near two of them
    assert 6 * system.SIGMA < 2
    points = mixture(system.GRID, system.SIGMA, 5_000, seed=0).images
    modes = nearest_mode(points, system.GRID, sigma=system.SIGMA)
    assert covered(modes, n_classes=25) == 25


def test_the_experiment(monkeypatch, tmp_path):
    monkeypatch.setattr(
        system, "mixture", lambda centres, sigma, n, seed: mixture(centres, sigma, 256, seed=seed)
    )
    card = experiment_on_noise("S08", monkeypatch, tmp_path)
    classes, modes = card.claims
    assert classes["values"]["real images"] == [0]  # both splits are one here
    assert 0 <= classes["values"]["alpha-GAN"][0] <= 1
    assert set(modes["values"]) == {"alpha-GAN on points", "GAN on points", "real points"}
    for net in "GD":
        assert card.parameters["alpha-GAN on points"][net] == card.parameters["GAN on points"][net]
