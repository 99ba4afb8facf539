from math import e, log, pi

import pytest
import torch
from torch.distributions import Normal, kl_divergence

from medgan_course.errors import CourseError
from medgan_course.losses.latent import categorical_information, gaussian_information, kl_normal


def test_the_kl_divergence_by_hand_and_as_torch_has_it():
    mean = torch.tensor([[1.0, 0.0], [0.0, -2.0]])
    log_variance = torch.tensor([[0.0, 1.0], [0.0, 0.0]])
    # Entries 1/2, (e - 2)/2, 0, 2: summed over the code, averaged over the two samples.
    assert kl_normal(mean=mean, log_variance=log_variance).item() == pytest.approx(
        (0.5 + (e - 2) / 2 + 2) / 2
    )
    torch.manual_seed(0)
    mean, log_variance = torch.randn(6, 5), torch.randn(6, 5)
    theirs = kl_divergence(Normal(mean, (log_variance / 2).exp()), Normal(0.0, 1.0)).sum(1).mean()
    torch.testing.assert_close(kl_normal(mean=mean, log_variance=log_variance), theirs)
    assert kl_normal(mean=torch.zeros(3, 4), log_variance=torch.zeros(3, 4)).item() == 0


def test_the_kl_divergence_is_a_sum_over_the_code_and_pulls_to_the_standard_normal():
    one = kl_normal(mean=torch.ones(2, 1), log_variance=torch.zeros(2, 1))
    torch.testing.assert_close(kl_normal(mean=torch.ones(2, 7), log_variance=torch.zeros(2, 7)), 7 * one)
    mean = torch.tensor([[1.5, -0.5]], requires_grad=True)
    log_variance = torch.tensor([[1.0, -1.0]], requires_grad=True)
    kl_normal(mean=mean, log_variance=log_variance).backward()
    assert mean.grad[0].tolist() == pytest.approx([1.5, -0.5])
    assert log_variance.grad[0].tolist() == pytest.approx([(e - 1) / 2, (1 / e - 1) / 2])


def test_categorical_information_is_0_for_a_guess_and_minus_log_k_for_certainty():
    code = torch.tensor([0, 2, 1])
    guess = torch.zeros(3, 4)
    certain = 1e4 * torch.nn.functional.one_hot(code, 4).float()
    assert categorical_information(logits=guess, code=code).item() == pytest.approx(0, abs=1e-6)
    assert categorical_information(logits=certain, code=code).item() == pytest.approx(-log(4))
    half = torch.tensor([[0.0, log(3.0)]])
    assert categorical_information(logits=half, code=torch.tensor([1])).item() == pytest.approx(
        -log(0.75) - log(2)
    )


def test_minus_the_categorical_bound_never_exceeds_the_mutual_information():
    # A channel that keeps one of four codes with probability 0.7, and Q the true posterior: a tight bound.
    torch.manual_seed(0)
    code = torch.randint(4, (200_000,))
    shown = torch.where(torch.rand(200_000) < 0.7, code, torch.randint(4, (200_000,)))
    p = 0.7 + 0.3 / 4
    q = 0.3 / 4
    information = log(4) + p * log(p) + 3 * q * log(q)
    posterior = torch.full((4, 4), q).fill_diagonal_(p).log()
    tight = -categorical_information(logits=posterior[shown], code=code).item()
    assert tight == pytest.approx(information, abs=0.01)
    loose = -categorical_information(logits=2 * posterior[shown], code=code).item()
    assert loose < tight


def test_gaussian_information_by_hand():
    code, mean = torch.tensor([[0.5, -1.0]]), torch.tensor([[0.0, -1.0]])
    log_variance = torch.tensor([[0.0, log(0.25)]])
    nll = [0.5 * (log(2 * pi) + 0.25), 0.5 * log(2 * pi * 0.25)]
    got = gaussian_information(mean=mean, log_variance=log_variance, code=code)
    assert got.item() == pytest.approx(sum(nll) - 2 * log(2))
    theirs = -Normal(mean, (log_variance / 2).exp()).log_prob(code).sum() - 2 * log(2)
    torch.testing.assert_close(got, theirs)


def test_gaussian_information_pulls_the_mean_to_the_code_and_the_variance_to_the_error():
    code = torch.tensor([[0.5], [-0.5]])
    mean, log_variance = torch.zeros(2, 1, requires_grad=True), torch.zeros(2, 1, requires_grad=True)
    gaussian_information(mean=mean, log_variance=log_variance, code=code).backward()
    assert mean.grad.flatten().tolist() == pytest.approx([-0.25, 0.25])
    assert log_variance.grad.flatten().tolist() == pytest.approx([(1 - 0.25) / 4] * 2)
    # A guess of the code's own mean and variance is no information: of order 0, from above.
    codes = torch.rand(100_000, 1) * 2 - 1
    zero = torch.zeros_like(codes)
    assert 0 < gaussian_information(mean=zero, log_variance=zero + log(1 / 3), code=codes) < 0.2


def test_codes_and_moments_of_other_shapes_are_refused():
    with pytest.raises(CourseError, match="kl_normal"):
        kl_normal(mean=torch.zeros(2, 3), log_variance=torch.zeros(2, 1))
    with pytest.raises(CourseError, match="gaussian_information"):
        gaussian_information(mean=torch.zeros(2, 1), log_variance=torch.zeros(2, 1), code=torch.zeros(2))


def test_huge_logits_and_means_stay_finite_with_finite_gradients():
    huge = torch.tensor([[1e4, -1e4, 0.0]], requires_grad=True)
    zero = torch.zeros(1, 3)
    for loss in (
        categorical_information(logits=huge, code=torch.tensor([1])),
        kl_normal(mean=huge, log_variance=zero),
        gaussian_information(mean=huge, log_variance=zero, code=zero),
        gaussian_information(mean=zero, log_variance=huge, code=zero),
        gaussian_information(mean=huge, log_variance=huge, code=zero),
    ):
        loss.backward()
        assert loss.isfinite()
        assert huge.grad.isfinite().all()
    assert kl_normal(mean=zero.bfloat16(), log_variance=zero.bfloat16()).dtype == torch.float32
