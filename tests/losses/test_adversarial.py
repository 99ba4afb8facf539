from math import exp, log

import pytest
import torch

from medgan_course.losses.adversarial import NonSaturating

REAL = (2.0, -1.0, 0.0, 0.5)
FAKE = (-2.0, 1.0, 0.0, 3.0)


def sigma(a: float) -> float:
    return 1 / (1 + exp(-a))


def terms(real, fake) -> dict[str, torch.Tensor]:
    return NonSaturating.d_loss(real=real, fake=fake) | NonSaturating.g_loss(fake=fake)


def test_values_for_four_logits():
    got = terms(torch.tensor(REAL), torch.tensor(FAKE))
    expected = {
        "real": sum(-log(sigma(a)) for a in REAL) / 4,
        "fake": sum(-log(1 - sigma(a)) for a in FAKE) / 4,
        "adversarial": sum(-log(sigma(a)) for a in FAKE) / 4,
    }
    assert got.keys() == expected.keys()
    for name, value in expected.items():
        assert got[name].item() == pytest.approx(value, rel=1e-6), name


def test_an_undecided_discriminator_costs_log_2_a_term():
    zero = torch.zeros(5)
    assert [t.item() for t in terms(zero, zero).values()] == pytest.approx([log(2)] * 3)


def test_gradients_have_their_closed_form():
    real = torch.tensor(REAL, dtype=torch.float64, requires_grad=True)
    fake = torch.tensor(FAKE, dtype=torch.float64, requires_grad=True)
    sum(NonSaturating.d_loss(real=real, fake=fake).values()).backward()
    assert real.grad.tolist() == pytest.approx([-(1 - sigma(a)) / 4 for a in REAL])
    assert fake.grad.tolist() == pytest.approx([sigma(a) / 4 for a in FAKE])

    fake.grad = None
    NonSaturating.g_loss(fake=fake)["adversarial"].backward()
    # The minimax cost log(1 - sigma(a)) would give -sigma(a) / 4 here.
    assert fake.grad.tolist() == pytest.approx([-(1 - sigma(a)) / 4 for a in FAKE])


def test_a_confident_discriminator_leaves_the_generator_its_gradient():
    fake = torch.tensor([-20.0], requires_grad=True)
    NonSaturating.g_loss(fake=fake)["adversarial"].backward()
    assert fake.grad.item() == pytest.approx(-1.0, abs=1e-6)


@pytest.mark.parametrize("logit", [1e4, -1e4])
def test_huge_logits_stay_finite_with_finite_gradients(logit):
    real = torch.full((3,), logit, requires_grad=True)
    fake = torch.full((3,), logit, requires_grad=True)
    losses = terms(real, fake)
    sum(losses.values()).backward()
    assert all(loss.isfinite() for loss in losses.values())
    assert real.grad.isfinite().all()
    assert fake.grad.isfinite().all()
    # One side is certain and right (cost 0), the other certain and wrong (cost |logit|).
    assert sorted(t.item() for t in NonSaturating.d_loss(real=real, fake=fake).values()) == [0.0, 1e4]


def test_a_patch_map_counts_as_so_many_logits():
    patches = torch.randn(2, 1, 3, 5, generator=torch.Generator().manual_seed(0))
    for name, value in terms(patches, 2 * patches).items():
        torch.testing.assert_close(value, terms(patches.flatten(), 2 * patches.flatten())[name])
        assert value.shape == ()


def test_logits_are_named_never_positional():
    with pytest.raises(TypeError):
        NonSaturating.d_loss(torch.zeros(1), torch.zeros(1))
