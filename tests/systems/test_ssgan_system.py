import pytest
import torch
from torch.nn.functional import cross_entropy

from medgan_course import data
from medgan_course.data.batches import Batch, SemiSupervised, semi_supervised
from medgan_course.experiments import claim, run
from medgan_course.losses.adversarial import NonSaturating
from medgan_course.nets.dcgan import Generator
from medgan_course.systems import ssgan as system
from medgan_course.train import fit

IMAGES = torch.rand(24, 1, 28, 28, generator=torch.Generator().manual_seed(0)) * 2 - 1
LABELS = torch.arange(24) % 3
BATCH = SemiSupervised(Batch(IMAGES[:4], LABELS[:4]), IMAGES[4:10])
STREAM = semi_supervised(IMAGES, LABELS, 6, per_class=2)


def ssgan(**settings):
    return system.ssgan(28, 3, base=4, z_dim=6, **settings)


def turn_of(game, mover):
    return next(turn for turn in game.turns if turn.names == (mover,))


def gradients(term, net):
    """Return the gradients that reach the net, of which a frozen one has none."""
    parameters = [p for p in net.parameters() if p.requires_grad]
    found = torch.autograd.grad(term, parameters, allow_unused=True, retain_graph=True) if parameters else []
    return [gradient for gradient in found if gradient is not None]


@pytest.mark.parametrize(("mover", "other"), [("D", "G"), ("G", "D")])
def test_every_term_moves_its_own_net_and_no_turn_the_other(mover, other):
    game = ssgan()
    turn = turn_of(game, mover)
    with game.moving(turn.names):
        terms = turn.cost(game, BATCH)
        for name, term in terms.items():
            assert term.shape == (), name
            assert term.isfinite(), name
            moved = gradients(term, game[mover])
            assert moved, name
            assert all(g.abs().sum() > 0 for g in moved), name
            assert not gradients(term, game[other]), name
    before = [p.detach().clone() for p in game[other].parameters()]
    game.take(turn, BATCH)
    assert all(torch.equal(p, old) for p, old in zip(game[other].parameters(), before, strict=True))


def test_the_terms_are_those_of_the_paper():
    # Without augmentation, the class logits of labelled, unlabelled and generated images say everything.
    game = ssgan()
    d_cost, g_cost = system.costs(seen=lambda images: images)
    made = []
    game["G"].register_forward_hook(lambda module, args, output: made.append(output.detach()))
    game["D"].eval()
    terms = d_cost(game, BATCH)
    assert list(terms) == ["class", "real", "fake"]
    labelled, unlabelled, fake = (
        game["D"](images)["label"] for images in (BATCH.labelled.images, BATCH.unlabelled, made[0])
    )
    torch.testing.assert_close(terms["class"], cross_entropy(labelled, LABELS[:4]))
    z, z_fake = unlabelled.exp().sum(1), fake.exp().sum(1)
    torch.testing.assert_close(terms["real"], -(z / (z + 1)).log().mean())
    torch.testing.assert_close(terms["fake"], -(1 / (z_fake + 1)).log().mean())
    matching = g_cost(game, BATCH)["features"]
    real, fake = (game["D"].trunk(images).mean(0) for images in (BATCH.unlabelled, made[1]))
    torch.testing.assert_close(matching, (real - fake).square().mean())
    # Not the non-saturating cost, the neighbour.
    neighbour = NonSaturating.g_loss(fake=game["D"](made[1])["label"].logsumexp(1))["adversarial"]
    assert (matching - neighbour).abs() > 0.1


def test_all_images_are_augmented_before_d_sees_them():
    game = ssgan()
    seen, made = [], []
    game["D"].trunk.register_forward_pre_hook(lambda module, args: seen.append(args[0].detach()))
    game["G"].register_forward_hook(lambda module, args, output: made.append(output.detach()))
    for turn in game.turns:
        game.take(turn, BATCH)
    images = [BATCH.unlabelled, made[0], BATCH.labelled.images, BATCH.unlabelled, made[1]]
    for shown, image in zip(seen, images, strict=True):
        assert shown.shape == image.shape
        assert not torch.equal(shown, image)


def test_the_settings_of_the_paper():
    game = ssgan()
    assert [turn.names for turn in game.turns] == [("D",), ("G",)]
    for player in game.players.values():
        assert player.optimiser.defaults["lr"] == 3e-4
        assert player.optimiser.defaults["betas"] == (0.5, 0.999)
    assert not any("BatchNorm" in type(module).__name__ for module in game["D"].modules())


def test_the_supervised_arm_starts_from_the_same_classifier_and_sees_labelled_images_only():
    game, baseline = ssgan(seed=3), system.supervised(28, 3, base=4, seed=3)
    for ours, theirs in zip(game["D"].parameters(), baseline["C"].parameters(), strict=True):
        assert torch.equal(ours, theirs)
    sizes = []
    baseline["C"].trunk.register_forward_pre_hook(lambda module, args: sizes.append(len(args[0])))
    assert fit(baseline, STREAM, 2, device="cpu").keys() == {"C.class"}
    assert sizes == [6, 6]


def test_the_seed_decides_the_weights_and_the_global_state_stays():
    before = torch.get_rng_state()
    a, b, c = ssgan(seed=1), ssgan(seed=1), ssgan(seed=2)
    assert torch.equal(torch.get_rng_state(), before)
    for name in "GD":
        weights = [torch.cat([p.flatten() for p in each[name].parameters()]) for each in (a, b, c)]
        assert torch.equal(weights[0], weights[1])
        assert not torch.equal(weights[0], weights[2])


def test_a_few_steps_run_and_a_checkpoint_gives_the_same_answers(tmp_path):
    game = ssgan()
    history = fit(game, STREAM, 3, device="cpu", checkpoint=tmp_path / "a.safetensors")
    assert {name: len(values) for name, values in history.items()} == dict.fromkeys(
        ["D.class", "D.real", "D.fake", "G.features"], 3
    )
    answers = system.probabilities(game.averaged("D"), IMAGES)
    assert answers.shape == (24, 3)
    torch.testing.assert_close(answers.sum(1), torch.ones(24))
    # An image's answer does not depend on those beside it.
    torch.testing.assert_close(system.probabilities(game.averaged("D"), IMAGES[:2]), answers[:2])
    again = ssgan(seed=5)
    fit(again, STREAM, 3, device="cpu", checkpoint=tmp_path / "a.safetensors")
    assert torch.equal(system.probabilities(again.averaged("D"), IMAGES), answers)
    images = game["G"](game["G"].latent(2, seed=0))
    assert torch.equal(again["G"](again["G"].latent(2, seed=0)), images)
    assert images.shape == (2, 1, 28, 28)


def test_every_profile_has_a_budget_that_builds(monkeypatch):
    steps = []
    for profile in ("smoke", "cpu", "gpu"):
        monkeypatch.setenv("MEDGAN_PROFILE", profile)
        budget = system.budget()
        Generator(budget.size, base=budget.base)
        steps.append(budget.steps)
    assert steps == sorted(steps)


def test_pseudo_labels_count_for_certain_images_only():
    game = system.supervised(28, 3, base=4, pseudo_labels=True)
    with torch.no_grad():
        game["C"].heads["label"].bias.zero_()
    assert game.take(game.turns[0], BATCH)["C.pseudo"] == 0  # an untrained net is sure of nothing
    with torch.no_grad():
        game["C"].heads["label"].bias.copy_(torch.tensor([9.0, 0.0, 0.0]))
    terms = game.take(game.turns[0], BATCH)
    assert 0 < terms["C.pseudo"] < 0.05
    assert "C.pseudo" not in fit(system.supervised(28, 3, base=4), STREAM, 1, device="cpu")


class Tiny:
    """A data set as the experiments use it."""

    name, size, split, source, is_surrogate = "noise", 28, "train", "Noise, for a test.", True
    class_names, images, labels = ("a", "b", "c"), IMAGES, LABELS

    def __len__(self):
        return len(self.images)


def test_the_experiment_runs_every_arm_and_judges_the_claims(tmp_path, monkeypatch):
    monkeypatch.setattr(data, "load", lambda name, **settings: Tiny())
    settings = {"few": "1", "many": "3", "steps": "1", "base": "2", "batch_size": "4", "n_score": "12"}
    monkeypatch.setattr(claim, "RESAMPLES", 5)
    card = run("S47", profile="smoke", seeds=[1], settings=settings, out=tmp_path, runs=tmp_path)
    assert [each["variant"] for each in card.claims] == ["SSGAN"] * 3
    values = [each["values"] for each in card.claims]
    for arm in ("SSGAN", "supervised", "pseudo-labels", "logistic regression on pixels", "all labels"):
        for few, many, difference in zip(*(each[arm] for each in values), strict=True):
            assert difference == pytest.approx(few - many, abs=1e-3)
    assert values[2]["all labels"] == [0]
    # Both arms have the same classifier; the label draw is the seed.
    assert card.parameters["SSGAN"]["D"] == card.parameters["supervised"]["C"]
    assert {each["verdict"] for each in card.claims} == {"not shown at this scale"}
