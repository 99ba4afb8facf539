import pytest
import torch
from torch import nn

from medgan_course.nets.norm import norm_layer

ORDERS = [torch.contiguous_format, torch.channels_last]


@pytest.mark.parametrize("order", ORDERS)
def test_instance_norm_is_torchs_own_and_answers_in_the_memory_order_of_its_input(order):
    images = torch.randn(2, 3, 5, 4).contiguous(memory_format=order)
    weights = torch.randn(2, 3, 5, 4)
    answers, gradients = [], []
    for layer in (norm_layer("instance", 3, 2), nn.InstanceNorm2d(3)):
        x = images.clone(memory_format=order).requires_grad_()
        answer = layer(x)
        (weights * answer).sum().backward()
        answers.append(answer)
        gradients.append(x.grad)
    assert torch.equal(*answers)
    assert torch.equal(*gradients)
    assert answers[0].stride() == images.stride()


def test_instance_norm_by_hand():
    # Mean 3 and variance 4: (1, 1, 5, 5) becomes (-1, -1, 1, 1), but for the 1e-5 beside the variance.
    image = torch.tensor([1.0, 1.0, 5.0, 5.0]).view(1, 1, 2, 2)
    expected = torch.tensor([-1.0, -1.0, 1.0, 1.0]).view(1, 1, 2, 2) * 2 / 4.00001**0.5
    torch.testing.assert_close(norm_layer("instance", 1, 2)(image), expected)
