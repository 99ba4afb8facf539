from itertools import combinations
from math import exp, log

import pytest
import torch
from torch.nn.functional import binary_cross_entropy_with_logits as bce

from medgan_course.errors import CourseError
from medgan_course.losses.adversarial import (
    Adversarial,
    Hinge,
    LeastSquares,
    Minimax,
    NonSaturating,
    RelativisticAverage,
    Wasserstein,
)

REAL = (2.0, -1.0, 0.0, 0.5)
FAKE = (-2.0, 1.0, 0.0, 3.0)
MEAN_REAL, MEAN_FAKE = 0.375, 0.5
TERMS = ["real", "fake", "adversarial"]


def sigma(a: float) -> float:
    return 1 / (1 + exp(-a))


def mean(values) -> float:
    values = list(values)
    return sum(values) / len(values)


# The three terms for the logits above, written with log and sigma where the code has softplus.
VALUES = {
    NonSaturating: (
        mean(-log(sigma(a)) for a in REAL),
        mean(-log(1 - sigma(a)) for a in FAKE),
        mean(-log(sigma(a)) for a in FAKE),
    ),
    Minimax: (
        mean(-log(sigma(a)) for a in REAL),
        mean(-log(1 - sigma(a)) for a in FAKE),
        mean(log(1 - sigma(a)) for a in FAKE),
    ),
    # (1 + 4 + 1 + 1/4) / 8, (4 + 1 + 0 + 9) / 8, (9 + 0 + 1 + 4) / 8
    LeastSquares: (0.78125, 1.75, 1.75),
    # max(0, -1, 2, 1, 0.5) and max(0, -1, 2, 1, 4): the first image of either kind is beyond the margin.
    Hinge: (3.5 / 4, 7 / 4, -0.5),
    Wasserstein: (-0.375, 0.5, -0.5),
    RelativisticAverage: (
        mean(-log(sigma(a - MEAN_FAKE)) for a in REAL),
        mean(-log(1 - sigma(a - MEAN_REAL)) for a in FAKE),
        mean(-log(sigma(a - MEAN_REAL)) for a in FAKE) + mean(-log(1 - sigma(a - MEAN_FAKE)) for a in REAL),
    ),
}
every_loss = pytest.mark.parametrize("loss", VALUES, ids=lambda loss: loss.__name__)


def terms(loss: Adversarial, real, fake) -> dict[str, torch.Tensor]:
    return loss.d_loss(real=real, fake=fake) | loss.g_loss(fake=fake, real=real)


def gradients(loss, real=REAL, fake=FAKE) -> dict[str, list[float]]:
    """Return the gradient of D's cost in both kinds of logits, and of G's cost in those of fakes."""
    real, fake = (torch.tensor(a, dtype=torch.float64, requires_grad=True) for a in (real, fake))
    of_d = torch.autograd.grad(sum(loss.d_loss(real=real, fake=fake).values()), [real, fake])
    of_g = torch.autograd.grad(sum(loss.g_loss(fake=fake, real=real).values()), fake)
    return dict(zip(TERMS, (each.tolist() for each in of_d + of_g), strict=True))


@every_loss
def test_values_for_four_logits(loss):
    got = terms(loss, torch.tensor(REAL), torch.tensor(FAKE))
    assert list(got) == TERMS
    assert [t.item() for t in got.values()] == pytest.approx(VALUES[loss], rel=1e-6)


def test_the_values_tell_every_two_losses_apart():
    # So a loss that is swapped for its neighbour fails above: minimax in G's term, hinge in D's.
    for one, other in combinations(VALUES.values(), 2):
        assert max(abs(a - b) for a, b in zip(one, other, strict=True)) > 0.1


@pytest.mark.parametrize(
    ("loss", "real", "fake", "adversarial"),
    [
        (NonSaturating, lambda a: sigma(a) - 1, sigma, lambda a: sigma(a) - 1),
        (Minimax, lambda a: sigma(a) - 1, sigma, lambda a: -sigma(a)),
        (LeastSquares, lambda a: a - 1, lambda a: a, lambda a: a - 1),
        (Hinge, lambda a: -float(a < 1), lambda a: float(a > -1), lambda a: -1),
        (Wasserstein, lambda a: -1, lambda a: 1, lambda a: -1),
    ],
)
def test_gradients_have_their_closed_form(loss, real, fake, adversarial):
    got = gradients(loss)
    assert got["real"] == pytest.approx([real(a) / 4 for a in REAL])
    assert got["fake"] == pytest.approx([fake(a) / 4 for a in FAKE])
    assert got["adversarial"] == pytest.approx([adversarial(a) / 4 for a in FAKE])


@every_loss
def test_d_raises_real_logits_and_lowers_fake_ones_and_g_raises_them(loss):
    # Near indecision every loss agrees; training G towards "fake" would turn the last sign round.
    got = gradients(loss, real=(0.2, -0.3), fake=(0.4, 0.3))
    assert max(got["real"]) < 0 < min(got["fake"])
    assert max(got["adversarial"]) < 0


def test_who_leaves_the_generator_a_gradient_when_its_fakes_are_rejected_and_when_they_are_accepted():
    rejected = {loss: gradients(loss, fake=(-20.0,))["adversarial"][0] for loss in VALUES}
    accepted = {loss: gradients(loss, fake=(20.0,))["adversarial"][0] for loss in VALUES}
    assert rejected[Minimax] == pytest.approx(0, abs=1e-8)
    assert rejected[NonSaturating] == pytest.approx(-1)
    assert rejected[LeastSquares] == pytest.approx(-21)
    assert accepted[NonSaturating] == pytest.approx(0, abs=1e-8)
    # Only least squares pulls back what is too real.
    assert accepted[LeastSquares] == pytest.approx(19)
    # At sigma = 0.01 the gradients of the two losses of 2014 differ by a factor of 99.
    a = log(0.01 / 0.99)
    ratio = [gradients(loss, fake=(a,))["adversarial"][0] for loss in (NonSaturating, Minimax)]
    assert ratio[0] / ratio[1] == pytest.approx(99)


def test_a_worked_example_in_natural_logarithms():
    # D(x) = 0.1 and D(G(z)) = 0.9, a discriminator worse than chance.
    real, fake = torch.tensor([log(0.1 / 0.9)]), torch.tensor([log(0.9 / 0.1)])
    got = terms(NonSaturating, real, fake)
    assert (got["real"] + got["fake"]).item() == pytest.approx(4.6052, abs=5e-5)
    assert got["adversarial"].item() == pytest.approx(0.1054, abs=5e-5)
    undecided = terms(NonSaturating, torch.zeros(5), torch.zeros(5))
    assert [t.item() for t in undecided.values()] == pytest.approx([log(2)] * 3)


def test_the_non_saturating_loss_is_binary_cross_entropy_and_g_aims_at_real():
    real, fake = torch.tensor(REAL), torch.tensor(FAKE)
    got = terms(NonSaturating, real, fake)
    torch.testing.assert_close(got["real"], bce(real, torch.ones(4)))
    torch.testing.assert_close(got["fake"], bce(fake, torch.zeros(4)))
    torch.testing.assert_close(got["adversarial"], bce(fake, torch.ones(4)))


def test_the_sum_of_both_costs_is_a_cooperative_problem():
    # Minimised over both nets at once, a fake's logit settles at 0, so D stops rejecting: its gradient in the
    # sum is 2 sigma(a) - 1, where the two players' own gradients never vanish together.
    got = gradients(NonSaturating, fake=(-2.0, 0.0, 3.0))
    both = [3 * (d + g) for d, g in zip(got["fake"], got["adversarial"], strict=True)]
    assert both == pytest.approx([2 * sigma(a) - 1 for a in (-2.0, 0.0, 3.0)])
    assert both[1] == 0 != got["fake"][1]


def test_the_minimax_value_is_minus_the_discriminators_cost():
    real, fake = torch.tensor(REAL), torch.tensor(FAKE)
    value = torch.sigmoid(real).log().mean() + (1 - torch.sigmoid(fake)).log().mean()
    torch.testing.assert_close(sum(Minimax.d_loss(real=real, fake=fake).values()), -value)


def test_relativistic_logits_feel_only_differences():
    real, fake = torch.tensor(REAL), torch.tensor(FAKE)
    one, other = terms(RelativisticAverage, real, fake), terms(RelativisticAverage, real + 7, fake + 7)
    for name in TERMS:
        torch.testing.assert_close(one[name], other[name])
    # A logit is moved by its own term and by its part in the mean.
    alone = gradients(RelativisticAverage, real=(0.0,), fake=(0.0,))
    assert alone["adversarial"] == pytest.approx([-0.5 - 0.5])
    assert alone["real"] == pytest.approx([-0.5 - 0.5])
    assert alone["fake"] == pytest.approx([0.5 + 0.5])


def test_the_relativistic_generator_needs_real_logits():
    with pytest.raises(CourseError, match="fake= and real="):
        RelativisticAverage.g_loss(fake=torch.zeros(2))


@every_loss
@pytest.mark.parametrize("real_logit", [1e4, -1e4])
@pytest.mark.parametrize("fake_logit", [1e4, -1e4])
def test_huge_logits_stay_finite_with_finite_gradients(loss, real_logit, fake_logit):
    real = torch.full((3,), real_logit, requires_grad=True)
    fake = torch.full((3,), fake_logit, requires_grad=True)
    losses = terms(loss, real, fake)
    sum(losses.values()).backward()
    assert all(term.isfinite() for term in losses.values())
    assert real.grad.isfinite().all()
    assert fake.grad.isfinite().all()


@every_loss
def test_half_precision_logits_lose_nothing_more(loss):
    # 300 squared is beyond float16, and a mean of bfloat16 numbers keeps three digits of it.
    for dtype in (torch.float16, torch.bfloat16):
        real, fake = (torch.tensor(a).to(dtype) * 100 for a in (REAL, FAKE))
        for name, term in terms(loss, real, fake).items():
            assert term.dtype == torch.float32
            torch.testing.assert_close(term, terms(loss, real.float(), fake.float())[name])


@every_loss
def test_a_patch_map_counts_as_so_many_logits(loss):
    for shape in ((2, 1, 3, 5), (2, 1, 3, 2, 4)):
        patches = torch.randn(shape, generator=torch.Generator().manual_seed(0))
        for name, value in terms(loss, patches, 2 * patches).items():
            torch.testing.assert_close(value, terms(loss, patches.flatten(), 2 * patches.flatten())[name])
            assert value.shape == ()


@every_loss
def test_logits_are_named_never_positional(loss):
    with pytest.raises(TypeError):
        loss.d_loss(torch.zeros(1), torch.zeros(1))
    with pytest.raises(TypeError):
        loss.g_loss(torch.zeros(1))


def test_the_hinge_loss_of_monai_never_hinges():
    # What the book says of MONAI's PatchAdversarialLoss: it squashes the logits by tanh first. All then
    # lie within the margin, so the discriminator goes on being pushed where the hinge loss has let go.
    losses = pytest.importorskip("monai.losses")
    theirs = losses.PatchAdversarialLoss(criterion="hinge")
    logits = torch.tensor([[3.0], [5.0]], requires_grad=True)
    theirs(logits, target_is_real=True, for_discriminator=True).backward()
    assert (logits.grad < 0).all()
    assert gradients(Hinge, real=(3.0, 5.0))["real"] == [0, 0]
    # Its value is that of the hinge loss of tanh(logits).
    value = theirs(logits.detach(), target_is_real=True, for_discriminator=True)
    expected = Hinge.d_loss(real=logits.detach().tanh(), fake=logits.detach())["real"]
    torch.testing.assert_close(value, expected)
