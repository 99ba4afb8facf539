import pytest
import torch
from torch import nn

from medgan_course.errors import CourseError
from medgan_course.metrics.features import FeatureNet
from medgan_course.metrics.steering import (
    AIR,
    air,
    chest_properties,
    directions,
    lung_brightness,
    response,
)


def linear(seed: int = 0, n: int = 400, z_dim: int = 6) -> tuple[torch.Tensor, torch.Tensor, torch.Tensor]:
    """Return latent vectors, three slopes that are not orthogonal, and what is linear in them."""
    draw = torch.Generator().manual_seed(seed)
    z = torch.randn(n, z_dim, generator=draw)
    slopes = torch.randn(3, z_dim, generator=draw) + 1
    return z, slopes, z @ slopes.T + torch.tensor([3.0, -7.0, 0.1])


def test_a_direction_moves_its_own_property_and_none_of_the_others():
    z, slopes, properties = linear()
    change = slopes @ directions(z, properties).T  # by property, direction
    assert change.diagonal().min() > 0.1
    assert change - change.diagonal().diag() == pytest.approx(torch.zeros(3, 3), abs=1e-4)


def test_directions_are_of_length_one_and_indifferent_to_units():
    z, _, properties = linear()
    found = directions(z, properties)
    assert found.norm(dim=1) == pytest.approx(torch.ones(3), abs=1e-6)
    rescaled = directions(z, properties * torch.tensor([1e4, 1.0, 1e-3]))
    assert rescaled == pytest.approx(found, abs=1e-4)


def test_they_are_what_is_left_of_a_slope_without_its_parts_along_the_others():
    z, slopes, properties = linear()
    first, others = slopes[0], slopes[1:].T
    left = first - others @ torch.linalg.lstsq(others, first[:, None]).solution[:, 0]
    assert directions(z, properties)[0] == pytest.approx(left / left.norm(), abs=1e-4)


def test_a_single_property_keeps_its_slope():
    z, slopes, properties = linear()
    (found,) = directions(z, properties[:, :1])
    assert found == pytest.approx(slopes[0] / slopes[0].norm(), abs=1e-4)


@pytest.mark.parametrize("n", [5, 7])
def test_too_few_vectors_are_refused(n):
    z, _, properties = linear(n=n)
    with pytest.raises(CourseError, match="more than 7 of both"):
        directions(z, properties)


def test_properties_that_are_one_or_none_are_refused():
    z, _, properties = linear()
    twice = torch.cat([properties, 2 * properties[:, :1] - 5], 1)
    constant = torch.cat([properties, torch.ones(len(z), 1)], 1)
    for given in (twice, constant):
        with pytest.raises(CourseError, match="leave it out"):
            directions(z, given)


def test_response_measures_the_images_at_each_position():
    generator = nn.Linear(6, 4)
    z, slopes, _ = linear(n=300)
    direction, positions = slopes[0] / slopes[0].norm(), (-2.0, 0.0, 1.5)
    found = response(generator, lambda images: images[:, :2], z, direction, positions)
    assert found.shape == (3, 300, 2)
    for s, each in zip(positions, found, strict=True):
        assert each == pytest.approx(generator(z + s * direction)[:, :2].detach(), abs=1e-5)
    assert not found.requires_grad


def chest(side: int = 64) -> torch.Tensor:
    """Return one image of 0.5 with lungs of -0.2 in the two rectangles, as they are at 64 px."""
    image = torch.full((1, 1, side, side), 0.5)
    scale = side // 64
    for left, right in ((6, 24), (40, 58)):
        image[..., 16 * scale : 44 * scale, left * scale : right * scale] = -0.2
    return image


@pytest.mark.parametrize("side", [64, 128])
def test_lungs_are_where_the_page_says(side):
    assert lung_brightness(chest(side)) == pytest.approx(torch.tensor([-0.2]))
    # Two lungs of 18 x 28 in the inner 56 x 48 pixels.
    assert air(chest(side)) == pytest.approx(torch.tensor([2 * 18 * 28 / (56 * 48)]))


def test_air_is_what_is_darker_than_the_mediastinum_by_enough():
    image = chest()
    assert air(image + 0.4) == pytest.approx(air(image)), "an offset changes nothing"
    faint = torch.where(image < 0, 0.5 - AIR + 0.01, image)
    assert air(faint) == 0
    assert lung_brightness(torch.cat([image, faint])).tolist() == pytest.approx([-0.2, 0.5 - AIR + 0.01])


def test_chest_properties_are_log_odds_and_the_two():
    torch.manual_seed(0)
    witness = FeatureNet(64, 2).eval().requires_grad_(False)
    images = torch.cat([chest(), -chest()])
    found = chest_properties(witness)(images)
    likely = witness.label(witness(images)).softmax(1)
    assert found[:, 0] == pytest.approx((likely[:, 1] / likely[:, 0]).log(), abs=1e-5)
    assert found[:, 1] == pytest.approx(lung_brightness(images))
    assert found[:, 2] == pytest.approx(air(images))
