"""Segments cover the area they should, wherever they are cut."""

import math

import torch

from medgan_course.data.phantom.strokes import strokes


def segment(x0, y0, x1, y1):
    return torch.tensor([[[x0, y0]]]), torch.tensor([[[x1, y1]]])


def test_a_line_along_an_axis_covers_its_width_exactly():
    start, end = segment(-30.0, 0.3, 30.0, 0.3)  # pixels are 1 mm; rows -1..0 and 0..1 lie around y = 0
    cover = strokes(start, end, torch.tensor([[0.9]]), side=16, fov=16.0)[0]
    # From y = -0.6 to y = 1.2: 0.6 of row 7, all of row 8, 0.2 of row 9.
    assert torch.allclose(cover[6:11, 5], torch.tensor([0.0, 0.6, 1.0, 0.2, 0.0]), atol=1e-5)
    assert torch.allclose(cover, cover[:, :1].expand_as(cover), atol=1e-5)


def test_what_is_thinner_than_a_pixel_fades():
    start, end = segment(-30.0, 0.5, 30.0, 0.5)
    cover = strokes(start, end, torch.tensor([[0.05]]), side=16, fov=16.0)
    assert abs(cover[0, 8, 3] - 0.1) < 1e-5
    assert strokes(start, end, torch.tensor([[0.0]]), side=16, fov=16.0).max() == 0


def test_area_of_a_disc_and_of_a_slanted_segment():
    start, end = segment(-3.2, -2.1, 4.3, 3.9)
    radius, pixel = 1.5, 20 / 160
    length = math.hypot(7.5, 6.0)
    disc = strokes(start, start, torch.tensor([[radius]]), side=160, fov=20.0).sum() * pixel**2
    assert abs(disc / (math.pi * radius**2) - 1) < 0.01
    both = strokes(start, end, torch.tensor([[radius]]), side=160, fov=20.0).sum() * pixel**2
    assert abs(both / (math.pi * radius**2 + 2 * radius * length) - 1) < 0.01


def test_subjects_are_apart_and_the_outside_is_left_out():
    start = torch.tensor([[[0.0, 0.0]], [[900.0, 0.0]], [[7.9, 7.9]]])
    cover = strokes(start, start + 0.01, torch.full((3, 1), 2.0), side=16, fov=16.0)
    assert cover[0].sum() > 10
    assert cover[1].sum() == 0
    assert 2 < cover[2].sum() < 5  # a quarter of a disc in the corner
    assert abs(cover[2, 15, 15] - 1) < 1e-5


def test_how_a_line_is_cut_does_not_matter():
    """One long segment is what its two halves are."""
    start, end = segment(-6.0, -5.0, 7.0, 2.0)
    whole = strokes(start, end, torch.tensor([[0.7]]), side=64, fov=16.0)
    half = (start + end) / 2
    halves = strokes(
        torch.cat([start, half], 1), torch.cat([half, end], 1), torch.full((1, 2), 0.7), side=64, fov=16.0
    )
    assert torch.allclose(whole, halves, atol=1e-4)
