import pytest
import torch
from torch import nn

from medgan_course.errors import CourseError
from medgan_course.losses.feature import feature_matching, moment_matching, perceptual

REAL = [torch.tensor([[[0.0, 2.0]]]), torch.tensor([[1.0], [3.0]])]
FAKE = [torch.tensor([[[1.0, -1.0]]]), torch.tensor([[1.0], [0.0]])]


def with_gradients(maps):
    return [each.clone().requires_grad_() for each in maps]


def test_feature_matching_is_the_sum_over_layers_of_mean_absolute_differences():
    # (1 + 3) / 2 and (0 + 3) / 2; squares would give 5 + 4.5, a mean over layers half of it.
    assert feature_matching(real=REAL, fake=FAKE).item() == pytest.approx(2 + 1.5)


def test_perceptual_is_the_mean_over_layers_of_mean_squared_differences():
    images = {"real": torch.zeros(1, 1, 2, 2), "fake": torch.ones(1, 1, 2, 2)}
    maps = {0.0: REAL, 1.0: FAKE}
    got = perceptual(lambda x: maps[x.mean().item()], **images)
    assert got.item() == pytest.approx(((1 + 9) / 2 + (0 + 9) / 2) / 2)


def test_moment_matching_compares_mean_features_not_images_in_pairs():
    real = torch.tensor([[0.0, 1.0], [2.0, 5.0]])  # mean (1, 3)
    fake = torch.tensor([[3.0, 3.0], [1.0, 1.0], [2.0, 2.0]])  # mean (2, 2)
    assert moment_matching(real=real, fake=fake).item() == pytest.approx((1 + 1) / 2)
    # Another order of the same images is the same batch; paired losses would differ.
    assert moment_matching(real=real, fake=real.flip(0)).item() == 0
    assert feature_matching(real=[real], fake=[real.flip(0)]) > 0
    maps = torch.arange(24.0).view(3, 2, 2, 2)
    assert moment_matching(real=maps, fake=maps + 2).item() == pytest.approx(4)


def test_the_gradient_reaches_the_fakes_only_and_draws_them_to_the_real_ones():
    real, fake = with_gradients(REAL), with_gradients(FAKE)
    feature_matching(real=real, fake=fake).backward()
    assert [each.grad for each in real] == [None, None]
    assert fake[0].grad.flatten().tolist() == [0.5, -0.5]
    assert fake[1].grad.flatten().tolist() == [0, -0.5]

    real, fake = with_gradients([torch.ones(2, 3), torch.zeros(2, 3)])
    moment_matching(real=real, fake=fake).backward()
    assert real.grad is None
    assert fake.grad.flatten().tolist() == pytest.approx([-2 / 3 / 2] * 6)


def test_perceptual_reaches_the_fake_image_through_the_network_and_the_real_image_not():
    torch.manual_seed(0)
    layers = nn.ModuleList([nn.Conv2d(1, 3, 3), nn.Conv2d(3, 2, 3)]).requires_grad_(False)

    def features(x):
        first = layers[0](x)
        return [first, layers[1](first.relu())]

    real = torch.randn(2, 1, 8, 8, requires_grad=True)
    fake = torch.randn(2, 1, 8, 8, requires_grad=True)
    value = perceptual(features, real=real, fake=fake)
    value.backward()
    assert real.grad is None
    assert fake.grad.abs().sum() > 0
    assert perceptual(features, real=real, fake=fake - 0.1 * fake.grad) < value
    assert perceptual(features, real=real, fake=real).item() == 0


def test_volumes_half_precision_and_huge_features():
    maps = [torch.randn(2, 3, 4, 4, 4), torch.randn(2, 5)]
    huge = with_gradients([each.sign() * 1e4 for each in maps])
    for loss in (
        feature_matching(real=maps, fake=huge),
        moment_matching(real=maps[0], fake=huge[0]),
        perceptual(lambda x: [x * 1.0], real=maps[0], fake=huge[0]),
    ):
        loss.backward()
        assert loss.isfinite()
    assert all(each.grad.isfinite().all() for each in huge)
    half = [each.bfloat16() for each in maps]
    assert feature_matching(real=half, fake=half).dtype == torch.float32
    assert moment_matching(real=half[0], fake=half[0]).dtype == torch.float32


def test_lists_that_do_not_belong_together_are_refused():
    with pytest.raises(CourseError, match="list of 2 and list of 1"):
        feature_matching(real=REAL, fake=FAKE[:1])
    with pytest.raises(CourseError, match="list of 0"):
        feature_matching(real=[], fake=[])
    with pytest.raises(CourseError, match=r"layer 1, .* real \(2, 1\) and fake \(1, 1\)"):
        feature_matching(real=REAL, fake=[FAKE[0], FAKE[1][:1]])
    with pytest.raises(CourseError, match="Tensor of 2"):
        perceptual(lambda x: x, real=torch.zeros(2, 1, 4, 4), fake=torch.zeros(2, 1, 4, 4))
    with pytest.raises(CourseError, match=r"real \(4,\) and fake \(1,\)"):
        moment_matching(real=torch.zeros(2, 4), fake=torch.zeros(2, 1))
