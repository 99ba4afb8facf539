"""Precision, recall, density, coverage: by hand, against other implementations, and what each is blind to."""

import math

import pytest
import torch
from sklearn.neighbors import NearestNeighbors

from medgan_course.errors import CourseError
from medgan_course.metrics.coverage import (
    class_coverage,
    coverage,
    covered,
    density,
    nearest_mode,
    precision,
    recall,
)
from medgan_course.metrics.distribution import compare


def normal(*shape, seed):
    return torch.randn(*shape, generator=torch.Generator().manual_seed(seed))


def line(*values):
    return torch.tensor(values)[:, None]


def test_the_four_by_hand_on_a_line():
    # k = 1: real balls [-1, 1], [0, 2], [1, 5] ... of 0, 1, 3: radii 1, 1, 2; of 10, 11: radii 1, 1.
    real, fake = line(0.0, 1.0, 3.0), line(0.5, 4.5, 20.0, 20.5)
    assert precision(real, fake, k=1) == 2 / 4  # 0.5 and 4.5
    # 0.5 is in the balls of 0 and 1, 4.5 in that of 3
    assert density(real, fake, k=1) == 3 / 4
    assert coverage(real, fake, k=1) == 1
    assert coverage(real, fake[2:], k=1) == 0
    # fake radii 4, 4, 0.5, 0.5: 0, 1 and 3 within 4 of 0.5
    assert recall(real, fake, k=1) == 1
    assert recall(line(0.0, 1.0, 9.0), fake, k=1) == 2 / 3


def test_points_on_the_edge_are_inside_and_the_point_itself_is_no_neighbour():
    assert precision(line(0.0, 1.0), line(2.0, 2.1), k=1) == 0.5


def test_all_four_agree_with_scikit_learns_neighbours():
    real, fake = normal(80, 3, seed=0), 0.8 * normal(60, 3, seed=1) + 0.3
    for k in (1, 4):
        radius = {}
        for name, points in (("real", real), ("fake", fake)):
            found = NearestNeighbors(n_neighbors=k + 1).fit(points.numpy())
            radius[name] = found.kneighbors(points.numpy())[0][:, -1]
        gaps = (real[:, None] - fake[None]).norm(dim=2).numpy()
        in_real, in_fake = gaps <= radius["real"][:, None], gaps <= radius["fake"][None]
        assert precision(real, fake, k=k) == pytest.approx(in_real.any(0).mean())
        assert recall(real, fake, k=k) == pytest.approx(in_fake.any(1).mean())
        assert density(real, fake, k=k) == pytest.approx(in_real.sum(0).mean() / k)
        assert coverage(real, fake, k=k) == pytest.approx(in_real.any(1).mean())


def test_precision_and_recall_agree_with_torch_fidelity():
    prc = pytest.importorskip("torch_fidelity.metric_prc")
    real, fake = normal(90, 4, seed=2), 0.7 * normal(70, 4, seed=3) + 0.2
    theirs = prc.prc_features_to_metric(fake, real, prc_neighborhood=3, prc_batch_size=50, verbose=False)
    assert precision(real, fake) == pytest.approx(theirs["precision"], abs=1e-6)
    assert recall(real, fake) == pytest.approx(theirs["recall"], abs=1e-6)


def test_equal_distributions_have_density_one_and_coverage_as_published():
    pairs = [(normal(400, 2, seed=2 * i), normal(400, 2, seed=2 * i + 1)) for i in range(6)]
    assert sum(density(*p) for p in pairs) / 6 == pytest.approx(1, abs=0.05)
    # Naeem et al. 2020, lemma 2: 1 - (m-1)...(m-k) / (n+m-1)...(n+m-k)
    expected = 1.0
    for i in range(1, 6):
        expected *= (400 - i) / (800 - i)
    assert sum(coverage(*p) for p in pairs) / 6 == pytest.approx(1 - expected, abs=0.01)


def test_a_dropped_mode_lowers_recall_and_coverage_and_leaves_precision_and_density():
    centres = torch.tensor([[0.0, 0.0], [20.0, 0.0], [0.0, 20.0], [20.0, 20.0]])
    real, fake = (centres[torch.arange(800) % 4] + normal(800, 2, seed=s) for s in (4, 5))
    dropped = fake[torch.arange(800) % 4 != 3]
    for metric, falls in ((precision, False), (density, False), (recall, True), (coverage, True)):
        score = compare(metric, real, dropped, n=300, repeats=10)
        if falls:  # a quarter of the real images is missed
            assert score.value == pytest.approx(0.75 * score.floor.value, abs=0.05)
            assert score.high < score.floor.low
        else:
            assert score.low - 0.05 < score.floor.value < score.high + 0.3
            assert score.value > score.floor.value - 0.05


def test_noise_in_place_of_images_has_no_precision():
    real = normal(200, 4, seed=6)
    far = normal(200, 4, seed=7) + 30
    assert precision(real, far) == density(real, far) == coverage(real, far) == recall(real, far) == 0


def test_an_outlier_among_real_images_deceives_precision_more_than_density():
    real = torch.cat([normal(100, 2, seed=8), torch.tensor([[60.0, 0.0]])])
    fake = torch.rand(100, 2, generator=torch.Generator().manual_seed(9)) * 20 + torch.tensor([40.0, -10.0])
    assert precision(real, fake, k=5) > 0.9
    assert density(real, fake, k=5) < 0.25


@pytest.mark.parametrize("metric", [precision, recall, density, coverage])
def test_copies_are_inside_and_wrong_shapes_are_refused(metric):
    # Far from the origin, where the expanded square of a distance would round.
    real = normal(50, 8, seed=10) * 1e-3 + 100
    assert metric(real, real.clone(), k=1) >= 1
    with pytest.raises(CourseError, match=r"\(50, 8\) and \(50, 7\)|\(50, 7\) and \(50, 8\)"):
        metric(real, real[:, :7])
    with pytest.raises(CourseError, match=r"k = 9 needs more than 9 images, but there are 4"):
        metric(real[:4], real[:4], k=9)


def test_classes_are_counted_from_one_per_cent_on():
    labels = torch.tensor([0] * 90 + [1] * 109 + [2] * 1)
    real = torch.arange(4).repeat(50)
    score = class_coverage(labels, real, n_classes=4)
    assert (score.value, score.n, score.floor.value) == (2, 200, 4)
    assert class_coverage(labels, real, n_classes=4, least=1 / 200).value == 3
    assert (score.low, score.high) == (2, 3)  # a resample has two images of class 2 in a quarter of cases
    for wrong in (labels.double(), labels + 2, labels[:, None], labels - 2):
        with pytest.raises(CourseError, match="from -1 to 3"):
            class_coverage(wrong, real, n_classes=4)


def test_a_mode_is_covered_from_one_percent_on():
    centres = torch.tensor([[0.0, 0.0], [5.0, 5.0], [9.0, 9.0]])
    near = torch.tensor([[0.29, 0.0]]).repeat(2, 1)
    points = torch.cat([near, torch.tensor([[5.0, 5.0]]), torch.full((197, 2), 20.0)])
    modes = nearest_mode(points, centres, sigma=0.1)
    assert covered(modes, n_classes=3) == 1  # shares 0.01, 0.005, 0
    assert covered(nearest_mode(points, centres, sigma=0.09), n_classes=3) == 0  # 0.29 is beyond 3 sigma
    both = torch.stack([modes, torch.arange(200) % 3])
    assert covered(both, n_classes=3).tolist() == [1, 3]


def test_modes_of_the_ring_are_counted_and_stray_points_belong_to_none():
    angle = torch.arange(8) * torch.pi / 4
    centres = 2 * torch.stack([angle.cos(), angle.sin()], dim=1)
    real = centres[torch.arange(4000) % 8] + 0.2 * normal(4000, 2, seed=11)
    modes = nearest_mode(real, centres, sigma=0.2)
    assert (modes == -1).double().mean() == pytest.approx(math.exp(-4.5), abs=0.006)
    some = real[torch.arange(4000) % 8 < 5]
    stray = torch.cat([some, torch.zeros(500, 2)])
    found = nearest_mode(stray, centres, sigma=0.2)
    assert (found[-500:] == -1).all()
    assert class_coverage(found, modes, n_classes=8).value == 5
