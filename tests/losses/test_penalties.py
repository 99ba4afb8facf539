import pytest
import torch
from torch import nn

from medgan_course import draws
from medgan_course.errors import CourseError
from medgan_course.losses.adversarial import Wasserstein
from medgan_course.losses.penalties import gradient_penalty, path_length, r1_penalty

shapes = pytest.mark.parametrize("shape", [(4, 2, 5, 3), (4, 1, 3, 2, 4)], ids=["2-D", "3-D"])


def images(*shape, seed=0):
    return torch.randn(shape, generator=torch.Generator().manual_seed(seed))


def linear(shape, seed=7):
    weight = images(*shape[1:], seed=seed)
    return weight, lambda x: (x * weight).flatten(1).sum(1)


@shapes
def test_the_gradient_penalty_of_a_linear_critic_is_its_slope_minus_one_squared(shape):
    weight, critic = linear(shape)
    got = gradient_penalty(critic, real=images(*shape), fake=images(*shape, seed=1))
    # A norm over the whole batch would give (2 |w| - 1)^2 here, a norm for each channel less.
    torch.testing.assert_close(got, (weight.square().sum().sqrt() - 1) ** 2)


@shapes
def test_the_r1_penalty_of_a_quadratic_discriminator_in_closed_form(shape):
    # D = c |x|^2 / 2 has the gradient c x, so R1 = c^2 E|x|^2 / 2. The gradient penalty would subtract 1.
    real = images(*shape)
    got = r1_penalty(lambda x: 3 * x.square().flatten(1).sum(1) / 2, real=real)
    torch.testing.assert_close(got, 9 * real.square().sum() / 4 / 2)


def test_each_sample_has_a_mixing_weight_of_its_own_that_all_its_pixels_share():
    seen = []

    def critic(x):
        seen.append(x.detach())
        return x.flatten(1).sum(1)

    gradient_penalty(critic, real=torch.ones(64, 1, 2, 3), fake=torch.zeros(64, 1, 2, 3))
    mixed = seen[0].flatten(1)
    assert torch.equal(mixed, mixed[:, :1].expand(-1, 6))
    assert len(mixed[:, 0].unique()) == 64
    assert mixed.min() >= 0
    assert mixed.max() < 1
    assert 0.3 < mixed.mean() < 0.7
    gradient_penalty(critic, real=torch.full((2, 1, 1, 1), 5.0), fake=torch.full((2, 1, 1, 1), 5.0))
    torch.testing.assert_close(seen[1], torch.full((2, 1, 1, 1), 5.0))


def test_two_processes_together_penalise_what_one_would():
    real, fake = images(6, 1, 4, 4), images(6, 1, 4, 4, seed=1)

    def critic(x):
        return x.pow(3).flatten(1).sum(1)

    torch.manual_seed(0)
    whole = gradient_penalty(critic, real=real, fake=fake)
    parts = []
    for rank in range(2):
        own = slice(3 * rank, 3 * rank + 3)
        with draws.share(rank, 2):
            torch.manual_seed(0)
            parts.append(gradient_penalty(critic, real=real[own], fake=fake[own]))
    torch.testing.assert_close(sum(parts) / 2, whole)


def test_a_patch_critic_counts_as_the_mean_of_its_logits():
    shape = (3, 1, 6, 6)
    torch.manual_seed(0)
    net = nn.Conv2d(1, 1, 2, bias=False)
    real, fake = images(*shape), images(*shape, seed=1)
    for penalty in (lambda c: gradient_penalty(c, real=real, fake=fake), lambda c: r1_penalty(c, real=real)):
        got, mean = penalty(net), penalty(lambda x: net(x).mean((1, 2, 3)))
        torch.testing.assert_close(got, mean)
        torch.testing.assert_close(got, penalty(lambda x: net(x).flatten(1)))


@pytest.mark.parametrize("factor", [1.0, 0.0], ids=["a critic", "a critic without slope"])
def test_the_penalty_moves_the_critic_and_stays_finite_where_the_slope_is_0(factor):
    torch.manual_seed(0)
    critic = nn.Sequential(nn.Flatten(), nn.Linear(12, 8), nn.Softplus(), nn.Linear(8, 1))
    with torch.no_grad():
        critic[-1].weight.mul_(factor)
    fake = images(5, 1, 3, 4, seed=1).requires_grad_()
    (10 * gradient_penalty(critic, real=images(5, 1, 3, 4), fake=fake)).backward()
    assert fake.grad is None  # mixed images are constants
    assert all(p.grad.isfinite().all() for p in critic.parameters() if p.grad is not None)
    if factor:
        assert critic[1].weight.grad.abs().sum() > 0


def test_the_gradient_of_the_penalties_agrees_with_finite_differences():
    real, fake = images(3, 1, 2, 2).double(), images(3, 1, 2, 2, seed=1).double()
    weights = images(4, 4, seed=2).double().requires_grad_()

    def penalties(weights):
        def critic(x):
            return torch.tanh(x.flatten(1) @ weights).sum(1)

        torch.manual_seed(1)  # the same mixing weights every time
        return gradient_penalty(critic, real=real, fake=fake), r1_penalty(critic, real=real)

    assert torch.autograd.gradcheck(penalties, weights)


def test_the_soft_penalty_settles_at_a_slope_above_1():
    # D(x) = g x on real images at 3 and fake ones at 0: -3 g + 10 (g - 1)^2 is least at g = 1 + 3 / 20.
    slope = torch.tensor(1 + 3 / 20, requires_grad=True)
    real, fake = torch.full((4, 1, 1, 1), 3.0), torch.zeros(4, 1, 1, 1)

    def critic(x):
        return slope * x.flatten()

    loss = sum(Wasserstein.d_loss(real=critic(real), fake=critic(fake)).values())
    (loss + 10 * gradient_penalty(critic, real=real, fake=fake)).backward()
    assert slope.grad.item() == pytest.approx(0, abs=1e-5)


@pytest.mark.parametrize("wrong", [lambda x: x.mean(), lambda x: x.flatten(1).sum(1)[:2]])
def test_a_critic_that_mixes_images_into_one_number_is_refused(wrong):
    with pytest.raises(CourseError, match="logits of each of 4 images"):
        r1_penalty(wrong, real=images(4, 1, 2, 2))


def test_images_of_two_shapes_are_refused():
    with pytest.raises(CourseError, match=r"real \(2, 1, 4, 4\) and fake \(1, 1, 4, 4\)"):
        gradient_penalty(torch.sum, real=images(2, 1, 4, 4), fake=images(1, 1, 4, 4))


def test_penalties_are_computed_in_full_precision():
    torch.manual_seed(0)
    net = nn.Sequential(nn.Conv2d(1, 4, 3), nn.LeakyReLU(0.2), nn.Conv2d(4, 1, 3))
    real, fake = images(4, 1, 8, 8), images(4, 1, 8, 8, seed=1)
    average = torch.zeros(())

    def penalties():
        torch.manual_seed(0)
        return torch.stack(
            [
                gradient_penalty(net, real=real, fake=fake),
                r1_penalty(net, real=real),
                path_length(net, real, average=average.zero_()),
            ]
        )

    exact = penalties()
    with torch.autocast("cpu", torch.bfloat16):
        assert torch.equal(penalties(), exact)
        # Half-precision images, as a generator gives them under autocast, are taken as they are.
        assert r1_penalty(net, real=real.bfloat16()).dtype == torch.float32


def test_path_length_of_a_linear_generator():
    # G(w) = A w: the lengths |A^T y| follow from the same noise, drawn again.
    matrix = images(12, 3, seed=3).requires_grad_()
    average = torch.tensor(2.0)
    torch.manual_seed(0)
    got = path_length(lambda w: (w @ matrix.T).view(-1, 1, 3, 4), images(5, 3), average=average)
    torch.manual_seed(0)
    noise = torch.randn(5, 1, 3, 4).flatten(1) / 12**0.5
    lengths = (noise @ matrix).square().sum(1).sqrt()
    moved = 2.0 + 0.01 * (lengths.mean().item() - 2.0)
    assert average.item() == pytest.approx(moved)
    expected = (lengths - moved).square().mean()
    torch.testing.assert_close(got, expected)
    # The average is a constant to the gradient.
    for ours, theirs in zip(*(torch.autograd.grad(loss, matrix) for loss in (got, expected)), strict=True):
        torch.testing.assert_close(ours, theirs)


def test_path_length_is_a_mean_over_layers():
    # G(w) = A (w_1 + ... + w_6): each layer has the gradient A^T y, and so has their mean square.
    matrix = images(12, 3, seed=3)

    def penalty(w):
        torch.manual_seed(0)
        return path_length(lambda w: (w.sum(1) @ matrix.T).view(-1, 1, 3, 4), w, average=torch.tensor(2.0))

    torch.testing.assert_close(penalty(images(5, 6, 3)), penalty(images(5, 1, 3)))


def test_path_length_is_about_unevenness_not_about_size():
    # G(w) = 3 w on 64 x 64 pixels: every length is 3, up to the noise in |y|, however large that is.
    average = torch.tensor(0.0)
    w = torch.zeros(2, 64 * 64)
    torch.manual_seed(0)
    for _ in range(500):
        even = path_length(lambda w: 3 * w.view(-1, 1, 64, 64), w, average=average)
    assert average.item() == pytest.approx(3, rel=0.02)
    assert even < 0.02
    # Lengths of 1 and 5 have the same mean.
    slopes = torch.tensor([[1.0], [5.0]])
    uneven = path_length(lambda w: (slopes * w).view(-1, 1, 64, 64), w, average=average)
    assert uneven.item() == pytest.approx(4, rel=0.1)


def test_path_length_reaches_the_mapping_network_and_bears_a_generator_without_slope():
    torch.manual_seed(0)
    mapping, synthesis = nn.Linear(3, 3), nn.Linear(3, 4)

    def make(w):
        return torch.tanh(synthesis(w)).view(-1, 1, 2, 2)

    path_length(make, mapping(images(5, 3)), average=torch.zeros(())).backward()
    assert mapping.weight.grad.abs().sum() > 0
    assert synthesis.weight.grad.abs().sum() > 0
    nn.init.zeros_(synthesis.weight)
    synthesis.weight.grad = None
    path_length(make, images(5, 3), average=torch.ones(())).backward()
    assert synthesis.weight.grad.isfinite().all()
