import pytest
import torch
from torch.nn.functional import cross_entropy, softplus

from medgan_course import data
from medgan_course.data.batches import Batch, SemiSupervised, semi_supervised
from medgan_course.experiments import claim, run
from medgan_course.systems import ssgan
from medgan_course.systems import triple_gan as system
from medgan_course.train import fit

IMAGES = torch.rand(24, 1, 28, 28, generator=torch.Generator().manual_seed(0)) * 2 - 1
LABELS = torch.arange(24) % 3
BATCH = SemiSupervised(Batch(IMAGES[:4], LABELS[:4]), IMAGES[4:10])
STREAM = semi_supervised(IMAGES, LABELS, 6, per_class=2)
TERMS = {"D": ["real", "classified", "fake"], "C": ["class", "adversarial"], "G": ["adversarial"]}


def triple_gan(**settings):
    return system.triple_gan(28, 3, base=4, z_dim=8, **settings)


def gradients(term, net):
    """Return the gradients that reach the net, of which a frozen one has none."""
    parameters = [p for p in net.parameters() if p.requires_grad]
    found = torch.autograd.grad(term, parameters, allow_unused=True, retain_graph=True) if parameters else []
    return [gradient for gradient in found if gradient is not None]


@pytest.mark.parametrize("mover", TERMS)
def test_every_term_moves_its_own_net_and_no_turn_the_others(mover):
    game = triple_gan()
    turn = next(turn for turn in game.turns if turn.names == (mover,))
    others = [name for name in TERMS if name != mover]
    with game.moving(turn.names):
        terms = turn.cost(game, BATCH)
        assert list(terms) == TERMS[mover]
        for name, term in terms.items():
            assert term.shape == (), name
            assert term.isfinite(), name
            assert sum(g.abs().sum() for g in gradients(term, game[mover])) > 0, name
            assert not any(gradients(term, game[other]) for other in others), name
    before = {name: [p.detach().clone() for p in game[name].parameters()] for name in others}
    game.take(turn, BATCH)
    for name in others:
        assert all(torch.equal(p, old) for p, old in zip(game[name].parameters(), before[name], strict=True))


def test_the_terms_are_those_of_the_paper():
    # Computed again with one call of D for every class, instead of one pass for all.
    game = triple_gan()
    d_cost, c_cost, g_cost = system.costs(3, 0.3, seen=lambda images: images)
    asked = []
    game["G"].register_forward_hook(lambda module, args, output: asked.append((output, args[1])))
    game["D"].eval()
    game["C"].eval()
    d, c, g = d_cost(game, BATCH), c_cost(game, BATCH), g_cost(game, BATCH)
    taken, defended = BATCH.unlabelled[0::2], BATCH.unlabelled[1::2]
    judge, classes = game["D"], game["C"](defended)["label"].softmax(1)

    real = torch.cat([judge(*BATCH.labelled), judge(taken, game["C"](taken)["label"].argmax(1))])
    torch.testing.assert_close(d["real"], softplus(-real).mean())
    each = torch.stack([judge(defended, torch.full((3,), k)) for k in range(3)], dim=1)
    rejection = (classes * softplus(each)).sum(1).mean()
    torch.testing.assert_close(d["classified"], 0.3 * rejection)
    torch.testing.assert_close(c["adversarial"], -0.3 * rejection)
    torch.testing.assert_close(c["class"], cross_entropy(game["C"](IMAGES[:4])["label"], LABELS[:4]))
    (fake, labels), (fooling, its_labels) = asked
    torch.testing.assert_close(d["fake"], 0.7 * softplus(judge(fake, labels)).mean())
    torch.testing.assert_close(g["adversarial"], 0.7 * softplus(-judge(fooling, its_labels)).mean())
    # Judged with another class than it was drawn for, an image gets another logit.
    assert not torch.allclose(judge(fake, labels), judge(fake, (labels + 1) % 3))


def test_all_images_are_augmented_before_d_or_c_sees_them():
    game = triple_gan()
    seen, shown = [], {"D": 0, "C": 0}
    for name, trunk in (("D", game["D"].heads.trunk), ("C", game["C"].trunk)):
        trunk.register_forward_pre_hook(lambda module, args, name=name: seen.append((name, args[0].detach())))
    made = []
    game["G"].register_forward_hook(lambda module, args, output: made.append(output.detach()))
    for turn in game.turns:
        game.take(turn, BATCH)
    plain = torch.cat([BATCH.labelled.images, BATCH.unlabelled, *made])
    for name, images in seen:
        shown[name] += len(images)
        assert not any(torch.equal(image, other) for image in images for other in plain)
    # D: 4 labelled, 3 + 3 unlabelled, 6 generated; the 3 that C defends; 6 generated. C: 3 + 3; 4 + 3.
    assert shown == {"D": 16 + 3 + 6, "C": 6 + 7}


def test_the_settings_of_the_paper_and_the_classifier_of_the_other_arms():
    game = triple_gan(seed=3)
    assert [turn.names for turn in game.turns] == [("D",), ("C",), ("G",)]
    for player in game.players.values():
        assert player.optimiser.defaults["lr"] == 3e-4
        assert player.optimiser.defaults["betas"] == (0.5, 0.999)
    baseline = ssgan.supervised(28, 3, base=4, seed=3)
    for ours, theirs in zip(game["C"].parameters(), baseline["C"].parameters(), strict=True):
        assert torch.equal(ours, theirs)
    assert system.budget() == ssgan.budget()


def test_the_seed_decides_the_weights_and_the_global_state_stays():
    before = torch.get_rng_state()
    a, b, c = triple_gan(seed=1), triple_gan(seed=1), triple_gan(seed=2)
    assert torch.equal(torch.get_rng_state(), before)
    for name in TERMS:
        weights = [torch.cat([p.flatten() for p in each[name].parameters()]) for each in (a, b, c)]
        assert torch.equal(weights[0], weights[1])
        assert not torch.equal(weights[0], weights[2])


def test_a_few_steps_run_and_a_checkpoint_gives_the_same_answers(tmp_path):
    game = triple_gan()
    history = fit(game, STREAM, 3, device="cpu", checkpoint=tmp_path / "a.safetensors")
    assert {name: len(values) for name, values in history.items()} == {
        f"{player}.{term}": 3 for player, terms in TERMS.items() for term in terms
    }
    answers = ssgan.probabilities(game.averaged("C"), IMAGES)
    assert answers.shape == (24, 3)
    again = triple_gan(seed=5)
    fit(again, STREAM, 3, device="cpu", checkpoint=tmp_path / "a.safetensors")
    assert torch.equal(ssgan.probabilities(again.averaged("C"), IMAGES), answers)
    # It draws each class on demand, the other nets cannot.
    generators = [each.averaged("G") for each in (game, again)]
    z = generators[0].latent(3, seed=0)
    one, other = (generator(z, torch.tensor([0, 1, 2])) for generator in generators)
    assert torch.equal(one, other)
    assert one.shape == (3, 1, 28, 28)
    assert z.shape == (3, 8)  # without the label's embedding, as in S12
    assert not torch.allclose(one, generators[0](z, torch.tensor([1, 2, 0])))


class Tiny:
    """A data set as the experiment uses it."""

    name, size, split, source, is_surrogate = "noise", 28, "train", "Noise, for a test.", True
    class_names, images, labels = ("a", "b", "c"), IMAGES, LABELS

    def __len__(self):
        return len(self.images)


def test_the_experiment_runs_every_arm_and_judges_the_claims(tmp_path, monkeypatch):
    monkeypatch.setattr(data, "load", lambda name, **settings: Tiny())
    monkeypatch.setattr(claim, "RESAMPLES", 5)
    settings = {"few": "1", "steps": "1", "base": "2", "batch_size": "4", "n_score": "12"}
    card = run("S48", profile="smoke", seeds=[1], settings=settings, out=tmp_path, runs=tmp_path)
    areas, obeyed, commonest = (each["values"]["Triple-GAN"] for each in card.claims)
    assert all(0 <= value <= 1 for value in areas)
    # Twelve images, four of each class: a judge of one step knows nothing, but counts in twelfths.
    assert all((12 * value) % 1 == pytest.approx(0, abs=0.01) or (12 * value) % 1 > 0.99 for value in obeyed)
    assert all(1 / 3 <= value <= 1 for value in commonest)
    references = card.claims[1]["values"]
    assert set(references) == {"Triple-GAN", "real images", "deaf"}
    assert references["deaf"] == pytest.approx([1 / 3], abs=1e-3)
    assert all(0 <= value <= 1 for value in references["real images"])
    assert card.parameters["Triple-GAN"].keys() == {"C", "G", "D"}
    assert card.parameters["Triple-GAN"]["C"] == card.parameters["supervised"]["C"]
    assert card.parameters["Triple-GAN"]["D"] != card.parameters["SSGAN"]["D"]
