from functools import partial

import pytest
import torch
from mechanics import (
    Tiny,
    check_checkpoint,
    check_every_weight_learns,
    check_seed,
    experiment_on_noise,
    reach,
)

from medgan_course import data, pretrained
from medgan_course.budgets import Budget
from medgan_course.data.batches import Batches
from medgan_course.experiments import Run
from medgan_course.losses.adversarial import NonSaturating
from medgan_course.metrics.features import FeatureNet
from medgan_course.systems import conditional_gan as system

LABELS = torch.arange(12) % 3
IMAGES = torch.rand(12, 1, 16, 16, generator=torch.Generator().manual_seed(0)) * 2 - 1
BATCHES = Batches(IMAGES, LABELS, 6)
small = partial(system.conditional_gan, 16, 3, base=4, z_dim=5)
both = pytest.mark.parametrize("projection", [False, True])


@both
def test_which_term_moves_whom(projection):
    game = small(projection=projection)
    assert reach(game, BATCHES[0]) == {"D.real": "D", "D.fake": "D", "G.adversarial": "G"}
    check_every_weight_learns(game, BATCHES[0])


@both
def test_seed_and_checkpoint(tmp_path, projection):
    new_game = partial(small, projection=projection)
    check_seed(new_game)

    def sample(game):
        net = system.sampler(game)
        return net(net.latent(6, seed=0), LABELS[:6])

    check_checkpoint(new_game, BATCHES, tmp_path / "cgan.safetensors", sample)


@both
def test_both_players_are_told_the_labels_of_the_batch(projection):
    game = small(projection=projection)
    to_g, to_d = [], []
    game["G"].register_forward_pre_hook(lambda module, args: to_g.append(args[1]))
    game["D"].register_forward_pre_hook(lambda module, args: to_d.append(args[1]))
    game.play([BATCHES[0]])
    assert len(to_g) == 2
    assert len(to_d) == 3
    assert all(torch.equal(labels, BATCHES[0].labels) for labels in to_g + to_d)


def test_a_discriminator_that_is_not_told_sees_one_label_and_the_same_images():
    game = small(told=False)
    seen = []
    game["D"].register_forward_pre_hook(lambda module, args: seen.append(args))
    game.play([BATCHES[0]])
    assert torch.equal(seen[0][0], BATCHES[0].images)
    assert all((labels == 0).all() for _, labels in seen)


def test_the_terms_are_the_non_saturating_loss_of_the_logits():
    game = small()
    logits = []
    game["D"].register_forward_hook(lambda module, args, output: logits.append(output.detach()))
    terms = game.play([BATCHES[0]])
    real, fake, fooling = logits
    expected = {f"D.{k}": v for k, v in NonSaturating.d_loss(real=real, fake=fake).items()}
    expected |= {f"G.{k}": v for k, v in NonSaturating.g_loss(fake=fooling).items()}
    assert terms == expected


def test_samples_do_not_depend_on_those_beside_them_but_on_their_label():
    net = system.sampler(small())
    z = net.latent(6, seed=0)
    images = net(z, LABELS[:6])
    torch.testing.assert_close(net(z[:2], LABELS[:2]), images[:2])
    assert not torch.allclose(net(z[:2], LABELS[1:3]), images[:2])


def test_the_sampler_has_the_statistics_of_the_weights_it_has():
    game = small()
    net = system.sampler(game)
    layer = net.generator.layers[1]  # the first batch norm
    labels = torch.arange(256) % 3
    z = torch.cat([net.joined(net.latent(256, seed=seed), labels) for seed in range(4)])
    inputs = net.generator.layers[0](z[:, :, None, None])
    torch.testing.assert_close(layer.running_mean, inputs.mean(dim=(0, 2, 3)), atol=1e-5, rtol=1e-4)


def test_samples_are_asked_for_in_turn():
    net = system.sampler(small())
    images, labels = system.samples(net, 7, 3, seed=4)
    assert labels.tolist() == [0, 1, 2, 0, 1, 2, 0]
    torch.testing.assert_close(images, net(net.latent(7, seed=4), labels))


def test_the_experiment(monkeypatch, tmp_path):
    card = experiment_on_noise("S12", monkeypatch, tmp_path, n_score="30")
    told, untold, distance = card.claims
    assert {"cGAN", "cGAN, D not told", "projection", "real images"} == set(told["values"])
    assert untold["margin"] == pytest.approx(2 / 3)
    assert set(distance["values"]) == {"cGAN", "DCGAN, sorted", "projection", "real images"}
    assert card.parameters["cGAN"] == card.parameters["cGAN, D not told"]


def test_the_distance_within_classes_is_not_biased_by_their_few_images(monkeypatch):
    domain = FeatureNet(28, 3).eval()
    monkeypatch.setattr(data, "load", lambda name, **settings: Tiny())
    monkeypatch.setattr(pretrained, "load", lambda name, net: domain)
    seen = []
    monkeypatch.setattr(system, "features", lambda net, images: seen.append(images) or torch.randn(10, 64))
    torch.manual_seed(0)
    within = system.experiment(Budget(steps=1, size=28, base=2, batch_size=6, n_score=30)).claims[2]
    assert len(seen) == 3  # the real images of each class
    labels = torch.arange(30) % 3
    same = [within.of({"features": torch.randn(30, 64), "labels": labels}) for _ in range(200)]
    # Of one distribution, ten images against ten: around zero, where the Fréchet distance has 100.
    assert abs(sum(same) / 200) < 0.1
    assert min(same) < 0
    other = within.of({"features": torch.randn(30, 64) + labels[:, None], "labels": labels})
    assert other > max(same)


def test_dcgan_is_sorted_by_the_classifier(monkeypatch, tmp_path):
    # A classifier by brightness, and a generator whose images are dark or bright, never between.
    domain = FeatureNet(28, 3).eval()
    monkeypatch.setattr(domain, "forward", lambda images: images.mean((1, 2, 3))[:, None].repeat(1, 64))
    with torch.no_grad():
        domain.label.weight.copy_(torch.tensor([-1.0, 0.0, 1.0])[:, None].expand(3, 64))
        domain.label.bias.copy_(torch.tensor([0.0, 1.0, 0.0]))

    class TwoKinds(torch.nn.Module):
        def latent(self, n, seed):
            return torch.arange(n) % 4

        def forward(self, z):
            return torch.where(z == 0, 0.8, -0.8)[:, None, None, None].expand(-1, 1, 28, 28)

    monkeypatch.setattr(data, "load", lambda name, **settings: Tiny())
    monkeypatch.setattr(pretrained, "load", lambda name, net: domain)
    monkeypatch.setattr(system.dcgan, "sampler", lambda game: TwoKinds())
    budget = Budget(steps=1, size=28, base=2, batch_size=6, n_score=9)
    arm = system.experiment(budget).arms["DCGAN, sorted"]
    outcome = arm(Run("DCGAN, sorted", 0, tmp_path))
    assert outcome["labels"].tolist() == [0, 1, 2] * 3
    # Class 1 is never drawn: its places are filled with others, which count as wrong.
    assert outcome["accuracy"].tolist() == [1, 0, 1] * 3
