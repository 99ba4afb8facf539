from functools import partial

import torch
from mechanics import (
    check_checkpoint,
    check_every_weight_learns,
    check_seed,
    experiment_on_noise,
    reach,
    use_noise,
)

from medgan_course.budgets import Budget
from medgan_course.data.batches import Batches
from medgan_course.systems import acgan as system

LABELS = torch.arange(12) % 3
IMAGES = torch.rand(12, 1, 16, 16, generator=torch.Generator().manual_seed(0)) * 2 - 1
BATCHES = Batches(IMAGES, LABELS, 6)
small = partial(system.acgan, 16, 3, base=4, z_dim=5)


def test_which_term_moves_whom():
    assert reach(small(), BATCHES[0]) == {
        "D.real": "D",
        "D.fake": "D",
        "D.class_real": "D",
        "D.class_fake": "D",
        "G.adversarial": "G",
        "G.class": "G",
    }
    check_every_weight_learns(small(), BATCHES[0])


def test_seed_and_checkpoint(tmp_path):
    check_seed(small)

    def sample(game):
        net = system.sampler(game)
        return net(net.latent(6, seed=0), LABELS[:6])

    check_checkpoint(small, BATCHES, tmp_path / "acgan.safetensors", sample)


def test_the_class_terms_are_cross_entropies_of_real_and_of_generated_images():
    game = small(weight=0.5)
    outputs = []
    game["D"].register_forward_hook(lambda module, args, output: outputs.append(output))
    labels = BATCHES[0].labels
    terms = game.play([BATCHES[0]])
    for output, name in zip(outputs, ("D.class_real", "D.class_fake", "G.class"), strict=True):
        probability = output["label"].softmax(1)[torch.arange(6), labels]
        torch.testing.assert_close(terms[name], -0.5 * probability.log().mean().detach())
    torch.testing.assert_close(terms["G.adversarial"], -outputs[2]["source"].sigmoid().log().mean().detach())


def test_the_discriminator_is_not_told_the_label():
    game = small()
    images = []
    game["D"].register_forward_pre_hook(lambda module, args: images.append(args))
    game.play([BATCHES[0]])
    assert [len(args) for args in images] == [1, 1, 1]


def test_both_players_lower_the_same_class_term():
    # Gradients of the class term in the class logits have one sign for both: neither is an adversary here.
    game = small()
    outputs = []

    def keep(module, args, output):
        output["label"].retain_grad()
        outputs.append(output["label"])

    game["D"].register_forward_hook(keep)
    game.play([BATCHES[0]])
    right = torch.nn.functional.one_hot(BATCHES[0].labels, 3).bool()
    for logits in outputs:
        assert (logits.grad[right] < 0).all()
        assert (logits.grad[~right] > 0).all()


def test_the_class_head_may_learn_from_real_images_alone():
    reached = reach(small(from_fakes=False), BATCHES[0])
    assert reached == {
        name: whom for name, whom in reach(small(), BATCHES[0]).items() if name != "D.class_fake"
    }


def test_the_experiment(monkeypatch, tmp_path):
    card = experiment_on_noise("S13", monkeypatch, tmp_path)
    accuracy, pairs, content = card.claims
    everyone = {"ACGAN", "class of real images alone", "cGAN", "real images"}
    assert set(accuracy["values"]) == set(pairs["values"]) == everyone
    assert set(content["values"]) == {"ACGAN", "class of real images alone"}
    # MS-SSIM is high where images are alike: the claim that ACGAN is less varied is that it is higher.
    assert pairs["better"] == "higher"
    assert card.parameters["ACGAN"]["G"] == card.parameters["cGAN"]["G"]


def test_the_head_is_compared_with_the_witness(monkeypatch):
    use_noise(monkeypatch)
    *_, claim = system.experiment(Budget(steps=1, size=28, base=2, batch_size=6, n_score=12)).claims
    # The head is content with three of four images, the witness with one.
    assert claim.of({"own": torch.tensor([1.0, 1, 1, 0]), "accuracy": torch.tensor([0.0, 0, 1, 0])}) == 0.5
