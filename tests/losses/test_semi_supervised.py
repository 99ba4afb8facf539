from math import exp, log

import pytest
import torch
from torch.nn.functional import cross_entropy, one_hot

from medgan_course.errors import CourseError
from medgan_course.losses.adversarial import NonSaturating
from medgan_course.losses.semi_supervised import TripleGAN, source_logit


def logits(*shape, seed=0):
    return torch.randn(shape, generator=torch.Generator().manual_seed(seed))


def test_the_source_logit_is_that_of_a_classifier_with_a_class_fake_at_logit_0():
    classes = logits(5, 3)
    extended = torch.cat([classes, torch.zeros(5, 1)], dim=1).softmax(1)
    torch.testing.assert_close(source_logit(classes).sigmoid(), 1 - extended[:, 3])
    # Given that it is real, the class has the probability softmax(l).
    torch.testing.assert_close(extended[:, :3] / (1 - extended[:, 3:]), classes.softmax(1))


def test_the_unsupervised_cost_is_k_plus_1_cross_entropy():
    real, fake = logits(5, 3), logits(5, 3, seed=1)
    got = NonSaturating.d_loss(real=source_logit(real), fake=source_logit(fake))
    extended = torch.cat([fake, torch.zeros(5, 1)], dim=1)
    torch.testing.assert_close(got["fake"], cross_entropy(extended, torch.full((5,), 3)))
    z = real.exp().sum(1)
    torch.testing.assert_close(got["real"], -(z / (z + 1)).log().mean())
    # Two classes at logit 0: Z = 2, so an undecided classifier calls an image real with probability 2/3.
    undecided = NonSaturating.d_loss(
        real=source_logit(torch.zeros(1, 2)), fake=source_logit(torch.zeros(1, 2))
    )
    assert [t.item() for t in undecided.values()] == pytest.approx([-log(2 / 3), -log(1 / 3)])


def test_the_unsupervised_cost_moves_all_class_logits_by_their_share():
    real = logits(1, 3).requires_grad_()
    NonSaturating.d_loss(real=source_logit(real), fake=torch.zeros(1))["real"].backward()
    z = real.exp().sum().item()
    expected = [-(1 - z / (z + 1)) * exp(a) / z for a in real[0].tolist()]
    assert real.grad[0].tolist() == pytest.approx(expected)


A, A_FAKE = torch.tensor([1.0, -1.0]), torch.tensor([0.5])
PAIRS = torch.tensor([[2.0, -1.0]])
CLASSES = torch.tensor([[0.0, log(3.0)]])  # C says 1/4 and 3/4


def sigma(a):
    return 1 / (1 + exp(-a))


def test_the_three_costs_of_triple_gan_by_hand():
    d = TripleGAN.d_loss(real=A, classified=PAIRS, class_logits=CLASSES, fake=A_FAKE, alpha=0.3)
    rejection = -(log(1 - sigma(2)) + 3 * log(1 - sigma(-1))) / 4
    assert d["real"].item() == pytest.approx(-(log(sigma(1)) + log(sigma(-1))) / 2)
    assert d["classified"].item() == pytest.approx(0.3 * rejection)
    assert d["fake"].item() == pytest.approx(-0.7 * log(1 - sigma(0.5)))
    c = TripleGAN.c_loss(classified=PAIRS, class_logits=CLASSES, alpha=0.3)
    assert c["adversarial"].item() == pytest.approx(-0.3 * rejection)
    g = TripleGAN.g_loss(fake=A_FAKE, alpha=0.3)
    assert g["adversarial"].item() == pytest.approx(-0.7 * log(sigma(0.5)))


def test_the_expected_cost_is_what_drawn_classes_cost_on_average():
    pairs, classes = logits(4, 3), logits(4, 3, seed=1)
    torch.manual_seed(0)
    drawn = torch.multinomial(classes.softmax(1), 50_000, replacement=True)
    costs = -torch.nn.functional.logsigmoid(-pairs).gather(1, drawn).mean()
    got = TripleGAN.d_loss(real=A, classified=pairs, class_logits=classes, fake=A_FAKE, alpha=1.0)
    torch.testing.assert_close(got["classified"], costs, rtol=0.01, atol=0)


def test_the_classifier_moves_towards_the_class_that_d_believes_and_d_rejects_it():
    classes, pairs = torch.zeros(1, 2, requires_grad=True), PAIRS.clone().requires_grad_()
    TripleGAN.c_loss(classified=pairs.detach(), class_logits=classes)["adversarial"].backward()
    assert classes.grad[0, 0] < 0 < classes.grad[0, 1]
    terms = TripleGAN.d_loss(real=A, classified=pairs, class_logits=classes.detach(), fake=A_FAKE)
    terms["classified"].backward()
    assert (pairs.grad > 0).all()
    fake = A_FAKE.clone().requires_grad_()
    TripleGAN.g_loss(fake=fake)["adversarial"].backward()
    assert fake.grad.item() < 0


def test_a_certain_classifier_makes_ordinary_pairs_of_its_images():
    pairs, code = logits(4, 3), torch.tensor([0, 2, 1, 1])
    got = TripleGAN.d_loss(
        real=A, classified=pairs, class_logits=1e4 * one_hot(code, 3), fake=A_FAKE, alpha=1
    )
    expected = NonSaturating.d_loss(real=A, fake=pairs[torch.arange(4), code])["fake"]
    torch.testing.assert_close(got["classified"], expected)


@pytest.mark.parametrize("sign", [1, -1])
def test_huge_logits_stay_finite_with_finite_gradients(sign):
    huge = (sign * torch.tensor([[1e4, -1e4], [1e4, 1e4], [-1e4, -1e4]])).requires_grad_()
    for loss in (
        NonSaturating.d_loss(real=source_logit(huge), fake=source_logit(huge)),
        TripleGAN.d_loss(real=huge, classified=huge, class_logits=huge, fake=huge),
        TripleGAN.c_loss(classified=huge, class_logits=huge),
        TripleGAN.g_loss(fake=huge),
    ):
        huge.grad = None
        total = sum(loss.values())
        total.backward()
        assert total.isfinite()
        assert huge.grad.isfinite().all()
        assert total.dtype == torch.float32
    assert source_logit(huge.bfloat16()).dtype == torch.float32


def test_a_logit_for_each_class_is_needed():
    with pytest.raises(CourseError, match=r"classified \(4, 1\) and class_logits \(4, 3\)"):
        TripleGAN.c_loss(classified=logits(4, 1), class_logits=logits(4, 3))
