from functools import partial

import pytest
import torch
from mechanics import check_checkpoint, check_every_weight_learns, check_seed, reach

from medgan_course.data.batches import Batches
from medgan_course.losses.adversarial import NonSaturating
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
