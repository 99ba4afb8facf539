import numpy as np
import pytest
import torch

from medgan_course.errors import CourseError
from medgan_course.losses.structure import ssim_map, ssim_parts


def noise(*shape, seed=0):
    return torch.rand(*shape, generator=torch.Generator().manual_seed(seed)) * 2 - 1


def pair(*shape):
    x = noise(*shape)
    return x, (0.7 * x + 0.3 * noise(*shape, seed=1)).clamp(-1, 1)


in_2d_and_3d = pytest.mark.parametrize("shape", [(2, 2, 20, 17), (2, 1, 13, 14, 12)])


@in_2d_and_3d
def test_ssim_agrees_with_scikit_image_at_every_pixel(shape):
    metrics = pytest.importorskip("skimage.metrics")
    x, y = pair(*shape)
    ours = ssim_map(x, y, data_range=2.0)
    inner = (slice(5, -5),) * (len(shape) - 2)
    for n in range(shape[0]):
        for c in range(shape[1]):
            mean, full = metrics.structural_similarity(
                x[n, c].numpy(),
                y[n, c].numpy(),
                data_range=2.0,
                gaussian_weights=True,
                sigma=1.5,
                use_sample_covariance=False,
                full=True,
            )
            assert ours[n, c].mean().item() == pytest.approx(mean, abs=1e-5)
            np.testing.assert_allclose(ours[n, c].numpy(), full[inner], atol=1e-5)


def test_ssim_of_two_flat_images_by_hand():
    # No variance: cs = C2/C2 = 1, and the luminance term alone remains.
    x, y = torch.full((1, 1, 11, 11), 0.5), torch.full((1, 1, 11, 11), -0.25)
    c1 = (0.01 * 2) ** 2
    expected = (2 * 0.5 * -0.25 + c1) / (0.25 + 0.0625 + c1)
    luminance, contrast_structure = ssim_parts(x, y, data_range=2.0)
    assert luminance.shape == (1, 1, 1, 1)
    assert luminance.item() == pytest.approx(expected, rel=1e-5)
    assert contrast_structure.item() == pytest.approx(1.0, rel=1e-5)


def test_ssim_needs_the_true_range_a_window_that_fits_and_equal_shapes():
    x = noise(1, 1, 12, 12)
    with pytest.raises(TypeError):
        ssim_map(x, x)
    with pytest.raises(CourseError, match="positive data range"):
        ssim_map(x, x, data_range=0)
    with pytest.raises(CourseError, match=r"window=11 does not fit \(8, 12\)"):
        ssim_map(x[:, :, :8], x[:, :, :8], data_range=2)
    with pytest.raises(CourseError, match=r"x \(1, 1, 12, 12\) and y \(1, 1, 1, 12\)"):
        ssim_map(x, x[:, :, :1], data_range=2)
    with pytest.raises(CourseError, match="volumes"):
        ssim_map(x[0], x[0], data_range=2)


def test_ssim_is_not_computed_in_half_precision():
    # In bfloat16, which autocast would multiply in, squares around 0.8 are known to 0.004: as much as C2.
    x, y = (0.9 + 0.01 * noise(1, 1, 16, 16, seed=seed) for seed in (0, 1))
    exact = ssim_map(x.double(), y.double(), data_range=2.0).float()
    with torch.autocast("cpu", torch.bfloat16):
        torch.testing.assert_close(ssim_map(x, y, data_range=2.0), exact, atol=1e-4, rtol=0)
    assert ssim_map(x.bfloat16(), y.bfloat16(), data_range=2.0).dtype == torch.float32
