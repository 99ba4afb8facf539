from math import sqrt

import pytest
import torch

from medgan_course.errors import CourseError
from medgan_course.losses.cycle import cycle, identity
from medgan_course.losses.pixel import charbonnier, l1, total_variation


def row(*values):
    return torch.tensor([[[list(values)]]])


def test_l1_and_charbonnier_of_three_pixels():
    x, y = row(0.0, 1.0, -1.0), row(0.5, -1.0, -1.0)
    assert l1(x, y).item() == pytest.approx(2.5 / 3)
    expected = (sqrt(0.25 + 0.01) + sqrt(4 + 0.01) + 0.1) / 3
    assert charbonnier(x, y, epsilon=0.1).item() == pytest.approx(expected)
    # The square would be (1/4 + 4) / 3.
    assert l1(x, y).item() == pytest.approx(charbonnier(x, y, epsilon=1e-6).item(), abs=1e-5)


def test_l1_pulls_everywhere_alike_and_charbonnier_rounds_the_corner():
    x = row(0.0, 1e-4, 1.0, -1.0).requires_grad_()
    (of_l1,) = torch.autograd.grad(l1(x, torch.zeros_like(x)), x)
    assert of_l1.flatten().tolist() == pytest.approx([0, 0.25, 0.25, -0.25])
    (of_charbonnier,) = torch.autograd.grad(charbonnier(x, torch.zeros_like(x)), x)
    slope = 1e-4 / sqrt(1e-8 + 1e-6) / 4
    assert of_charbonnier.flatten().tolist() == pytest.approx([0, slope, 0.25, -0.25], rel=1e-4)


def test_total_variation_counts_the_height_of_every_step():
    # Along the columns |2| + |-3|, along the rows |1| + |1| + |1|, each by its number of neighbours.
    image = torch.tensor([[[[0.0, 2.0, -1.0], [1.0, 3.0, 0.0]]]])
    assert total_variation(image).item() == pytest.approx((2 + 3 + 2 + 3) / 4 + 3 / 3)
    # In depth, two equal slices add nothing.
    volume = torch.stack([image, image], dim=2)
    assert total_variation(volume).item() == pytest.approx(total_variation(image).item())
    volume[:, :, 1] += 0.5
    assert total_variation(volume).item() == pytest.approx(total_variation(image).item() + 0.5)
    with pytest.raises(CourseError, match="volumes"):
        total_variation(image[0])


@pytest.mark.parametrize("loss", [l1, charbonnier])
def test_different_shapes_are_refused_rather_than_broadcast(loss):
    with pytest.raises(CourseError, match=r"x \(2, 1, 4, 4\) and y \(1, 1, 4, 4\)"):
        loss(torch.zeros(2, 1, 4, 4), torch.zeros(1, 1, 4, 4))


@pytest.mark.parametrize("loss", [l1, charbonnier, lambda x, y: total_variation(x - y)])
def test_huge_values_stay_finite_with_finite_gradients(loss):
    x = torch.tensor([1e4, -1e4, 1e4, 0.0]).view(1, 1, 2, 2).requires_grad_()
    value = loss(x, torch.zeros_like(x))
    value.backward()
    assert value.isfinite()
    assert x.grad.isfinite().all()
    assert loss(x.detach().bfloat16(), torch.zeros_like(x).bfloat16()).dtype == torch.float32


A, B = row(0.0, 1.0), row(4.0, 8.0)


def to_b(x):
    return 2 * x + 3


def to_a(x):
    return x / 4 - 1


def test_cycle_goes_there_and_back_again():
    # A: (0, 1) -> (3, 5) -> (-1/4, 1/4), off by (1/4, 3/4). B: (4, 8) -> (0, 1) -> (3, 5), off by (1, 3).
    got = cycle(to_b, to_a, a=A, b=B, fake_a=to_a(B), fake_b=to_b(A))
    assert got.item() == pytest.approx(0.5 + 2.0)
    inverse = lambda x: (x - 3) / 2  # noqa: E731
    assert cycle(to_b, inverse, a=A, b=B, fake_a=inverse(B), fake_b=to_b(A)).item() == pytest.approx(0)


def test_identity_leaves_the_target_domain_alone():
    # To B, applied to B: (4, 8) -> (11, 19), off by (7, 11). To A, applied to A: (-1, -3/4), off by (1, 7/4).
    # Applied to the other domain, whose images they are meant to change, both would give another number.
    assert identity(to_b, to_a, a=A, b=B).item() == pytest.approx(9 + 1.375)
    assert identity(to_b, to_a, a=B, b=A).item() != pytest.approx(9 + 1.375)


def test_cycle_moves_both_generators_through_both_directions():
    scale = torch.tensor([2.0, 0.3], requires_grad=True)
    fakes = {"fake_b": scale[0] * A, "fake_a": scale[1] * B}
    cycle(lambda x: scale[0] * x, lambda x: scale[1] * x, a=A, b=B, **fakes).backward()
    # d/ds0 of |s1 s0 - 1| (E|A| + E|B|) = -s1 (0.5 + 6), and with the roles exchanged for s1.
    assert scale.grad.tolist() == pytest.approx([-0.3 * 6.5, -2.0 * 6.5])
