from itertools import combinations

import numpy as np
import pytest
import torch

from medgan_course.errors import CourseError
from medgan_course.losses.structure import (
    gradient_correlation,
    gradient_difference,
    mind,
    mind_descriptor,
    ssim,
    ssim_map,
    ssim_parts,
)

MODES = ("signed", "abs", "magnitude")


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


@in_2d_and_3d
def test_the_ssim_loss_is_one_minus_the_mean_and_prefers_likeness(shape):
    x, y = pair(*shape)
    assert ssim(x, x, data_range=2.0).item() == pytest.approx(0, abs=1e-6)
    torch.testing.assert_close(ssim(x, y, data_range=2.0), 1 - ssim_map(x, y, data_range=2.0).mean())
    y.requires_grad_()
    before = ssim(x, y, data_range=2.0)
    before.backward()
    assert ssim(x, y - 0.1 * y.grad / y.grad.norm(), data_range=2.0) < before


def test_gradient_difference_by_hand():
    x = torch.tensor([[[[0.0, 1.0, -1.0], [2.0, 0.0, 0.0]]]])
    y = torch.tensor([[[[0.0, -3.0, -3.0], [0.0, 0.0, 0.0]]]])
    # Steps down the columns |2|, |-1|, |1| against 0, 3, 3; along the rows 1, 2, 2, 0 against 3, 0, 0, 0.
    expected = (4 + 4 + 4) / 3 + (4 + 4 + 4 + 0) / 4
    assert gradient_difference(x, y).item() == pytest.approx(expected)
    volume = [torch.stack([image, image], dim=2) for image in (x, y)]
    assert gradient_difference(*volume).item() == pytest.approx(expected)
    volume[0][:, :, 1] += 0.5
    assert gradient_difference(*volume).item() == pytest.approx(expected + 0.25)


@in_2d_and_3d
def test_gradient_difference_is_blind_to_sign_and_level_but_not_to_height(shape):
    x, _ = pair(*shape)
    assert gradient_difference(x, -x).item() == pytest.approx(0, abs=1e-12)
    assert gradient_difference(x, x + 0.3).item() == pytest.approx(0, abs=1e-12)
    assert gradient_difference(x, 2 * x) > 0.01


def correlation(x, y):
    """Return the Pearson correlation of all numbers of two arrays."""
    return np.corrcoef(x.numpy().ravel(), y.numpy().ravel())[0, 1]


@in_2d_and_3d
def test_gradient_correlation_is_the_mean_pearson_correlation_of_the_gradients(shape):
    x, y = pair(*shape)
    axes = range(2, x.ndim)
    each = [
        [correlation(x[n, c].diff(dim=a - 2), y[n, c].diff(dim=a - 2)) for a in axes]
        for n in range(shape[0])
        for c in range(shape[1])
    ]
    assert gradient_correlation(x, y, mode="signed").item() == pytest.approx(1 - np.mean(each), abs=1e-5)
    of_sizes = [
        [correlation(x[n, c].diff(dim=a - 2).abs(), y[n, c].diff(dim=a - 2).abs()) for a in axes]
        for n in range(shape[0])
        for c in range(shape[1])
    ]
    assert gradient_correlation(x, y, mode="magnitude").item() == pytest.approx(
        1 - np.mean(of_sizes), abs=1e-5
    )


def test_where_contrast_inverts_only_the_signed_correlation_pulls_the_wrong_way():
    bone = torch.zeros(1, 1, 16, 16)
    bone[..., 4:12, 5:11] = 1.0
    bright, dark = bone + 0.1 * noise(1, 1, 16, 16), 0.5 - 0.7 * bone
    losses = {mode: gradient_correlation(dark, bright, mode=mode).item() for mode in MODES}
    assert losses["signed"] > 1.5
    assert losses["abs"] < 0.5
    assert losses["magnitude"] < 0.5
    # To lower the signed loss is to darken the bone of a CT that is right; the others make it clearer.
    for mode, sign in (("signed", 1), ("abs", -1), ("magnitude", -1)):
        ct = bright.clone().requires_grad_()
        gradient_correlation(dark, ct, mode=mode).backward()
        assert sign * (ct.grad * bone).sum() > 1e-3, mode
    # An inversion of one half only: "abs" sees two opposite correlations cancel.
    half = torch.cat([bright[..., :8], 1 - bright[..., 8:]], dim=3)
    halves = {mode: gradient_correlation(bright, half, mode=mode).item() for mode in MODES}
    assert halves["magnitude"] < 0.2 < halves["abs"]


def test_gradient_correlation_ignores_level_and_contrast_and_survives_flat_images():
    x, y = pair(1, 1, 12, 12)
    for mode in MODES:
        torch.testing.assert_close(
            gradient_correlation(x, y, mode=mode), gradient_correlation(0.1 * x + 0.4, y, mode=mode)
        )
        flat = torch.zeros(1, 1, 12, 12, requires_grad=True)
        value = gradient_correlation(x, flat, mode=mode)
        value.backward()
        assert value.item() == 1
        assert flat.grad.isfinite().all()
    with pytest.raises(CourseError, match="no mode 'sign'"):
        gradient_correlation(x, y, mode="sign")


def mind_by_hand(image, region, patch, sigma):
    """Describe one 2-D image by the formula, pixel by pixel."""
    reach, half = region // 2, patch // 2
    steps = range(-reach, reach + 1)
    padded = np.pad(image, reach + half, mode="edge")
    q = np.arange(-half, half + 1)
    weights = np.exp(-(q[:, None] ** 2 + q[None] ** 2) / (2 * sigma**2))
    weights /= weights.sum()
    offsets = [(i, j) for i in steps for j in steps if (i, j) != (0, 0)]
    distances = np.empty((len(offsets), *image.shape))
    for number, (i, j) in enumerate(offsets):
        for row, column in np.ndindex(image.shape):
            r, c = row + reach, column + reach
            here = padded[r : r + patch, c : c + patch]
            there = padded[r + i : r + i + patch, c + j : c + j + patch]
            distances[number, row, column] = (weights * (here - there) ** 2).sum()
    nearest = [number for number, (i, j) in enumerate(offsets) if abs(i) + abs(j) == 1]
    assert len(nearest) == 4
    variance = distances[nearest].mean(0)
    variance = np.clip(variance, 0.001 * variance.mean(), 1000 * variance.mean())
    entries = np.exp(-distances / variance)
    return entries / entries.max(0)


def test_mind_follows_its_formula():
    image = noise(1, 1, 7, 12)
    image[..., 6:] *= 1e-3  # nearly flat: there V is at its lower bound
    got = mind_descriptor(image, region=5, patch=3, sigma=0.8)
    assert got.shape == (1, 1, 24, 7, 12)
    np.testing.assert_allclose(got[0, 0], mind_by_hand(image[0, 0].double().numpy(), 5, 3, 0.8), atol=1e-5)


@pytest.mark.parametrize("shape", [(2, 2, 12, 10), (1, 1, 7, 6, 8)], ids=["2-D", "3-D"])
def test_mind_does_not_feel_affine_changes_of_intensity_even_in_a_mostly_flat_image(shape):
    x = noise(*shape)
    x[:, :, 3:] = 0.0  # flat: there an absolute floor would show
    described = mind_descriptor(x, region=3)
    assert described.shape == (*shape[:2], 3 ** (len(shape) - 2) - 1, *shape[2:])
    assert described.amax(2).min() == 1
    for factor, offset in ((0.5, 0.3), (1e-3, 0.0), (-1e3, 20.0)):
        changed = (factor * x.double() + offset).to(x.dtype if abs(offset) < 1 else torch.float64)
        torch.testing.assert_close(mind_descriptor(changed, region=3).float(), described, atol=1e-4, rtol=0)


def test_mind_compares_structure_across_contrasts_and_notices_a_shift_and_a_flip():
    t1 = torch.zeros(1, 1, 20, 20)
    t1[..., 5:14, 4:11] = 1.0
    t1 += 0.02 * noise(1, 1, 20, 20)
    ct = 0.3 - 0.8 * t1
    assert mind(t1, ct).item() == pytest.approx(0, abs=1e-4)
    assert mind(t1, ct.roll(2, dims=3)) > 0.05
    assert mind(t1, ct.flip(3)) > 0.05
    # As a plain difference the inverted image is far off, and the flipped one hardly worse.
    assert (t1 - ct).abs().mean() > 0.3


def test_mind_of_an_image_without_contrast_is_1_with_finite_gradients():
    flat = torch.full((1, 1, 9, 9), 0.2, requires_grad=True)
    assert mind_descriptor(flat).unique().tolist() == [1]
    value = mind(flat, noise(1, 1, 9, 9))
    value.backward()
    assert value.isfinite()
    assert flat.grad.isfinite().all()
    half = torch.cat([torch.zeros(1, 1, 9, 4), noise(1, 1, 9, 5)], dim=3).requires_grad_()
    mind(half, noise(1, 1, 9, 9, seed=1)).backward()
    assert half.grad.isfinite().all()
    assert half.grad.abs().max() > 0


def test_mind_refuses_even_windows():
    with pytest.raises(CourseError, match="region=4 and patch=7"):
        mind_descriptor(noise(1, 1, 9, 9), region=4)


LOSSES = {
    "ssim": lambda x, y: ssim(x, y, data_range=2.0),
    "gradient_difference": gradient_difference,
    "mind": mind,
} | {mode: lambda x, y, mode=mode: gradient_correlation(x, y, mode=mode) for mode in MODES}


@pytest.mark.parametrize("loss", LOSSES.values(), ids=LOSSES)
def test_every_structure_loss_is_0_for_equal_images_symmetric_and_differentiable(loss):
    x, y = (each.double() for each in pair(1, 1, 12, 11))
    assert loss(x, x).item() == pytest.approx(0, abs=1e-9)
    torch.testing.assert_close(loss(x, y), loss(y, x))
    y.requires_grad_()
    (slope,) = torch.autograd.grad(loss(x, y), y)
    direction = noise(1, 1, 12, 11, seed=5).double()
    numeric = (loss(x, y + 1e-6 * direction) - loss(x, y - 1e-6 * direction)) / 2e-6
    torch.testing.assert_close(numeric, (slope * direction).sum(), rtol=1e-3, atol=1e-7)


@pytest.mark.parametrize("loss", LOSSES.values(), ids=LOSSES)
def test_every_structure_loss_stays_finite_for_huge_values_and_half_precision(loss):
    x = (noise(1, 1, 12, 12).sign() * 1e4).requires_grad_()
    y = noise(1, 1, 12, 12, seed=1)
    value = loss(x, y)
    value.backward()
    assert value.isfinite()
    assert x.grad.isfinite().all()
    assert loss(x.detach().bfloat16(), y.bfloat16()).dtype == torch.float32
    with pytest.raises(CourseError, match="one shape"):
        loss(y, y[:, :, :1])


def test_no_two_structure_losses_are_the_same():
    x, y = pair(1, 1, 12, 12)
    values = [loss(x, -y).item() for loss in LOSSES.values()]
    assert min(abs(a - b) for a, b in combinations(values, 2)) > 1e-3
