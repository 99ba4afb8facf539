"""Figures show the grey values they are given, and say when the data are a surrogate."""

import matplotlib.pyplot as plt
import numpy as np
import pytest
import torch

from medgan_course import viz
from medgan_course.errors import CourseError
from medgan_course.viz import style
from medgan_course.viz.figures import tile


def test_tiles_are_laid_out_in_rows_on_one_scale():
    images = torch.stack([torch.full((1, 2, 3), value) for value in (-1.0, 0.0, 1.0)])
    canvas = tile(images, columns=2)
    assert canvas.shape == (2 * 2 + 1, 2 * 3 + 1)
    assert (canvas[:2, :3] == 0).all()
    assert (canvas[:2, 4:] == 0.5).all()
    assert (canvas[3:, :3] == 1).all()
    assert (canvas[2] == 1).all(), "the gap is white"


def test_values_out_of_range_are_clipped_not_rescaled():
    assert tile(torch.tensor([-3.0, 3.0]).view(1, 1, 1, 2), columns=1).tolist() == [[0.0, 1.0]]


def test_colours_stay_colours():
    red = torch.full((2, 3, 2, 2), -1.0)
    red[:, 0] = 1.0
    canvas = tile(red, columns=2)
    assert canvas.shape == (2, 5, 3)
    assert canvas[0, 0].tolist() == [1.0, 0.0, 0.0]
    assert canvas[0, 2].tolist() == [1.0, 1.0, 1.0]  # the gap
    assert viz.sample_grid(red).axes[0].images[0].get_array().shape == (2, 23, 3)


@pytest.mark.parametrize("shape", [(2, 2, 4, 4), (2, 1, 4, 4, 4), (4, 4)])
def test_what_is_neither_grey_nor_colour_cannot_be_tiled(shape):
    with pytest.raises(CourseError, match="to draw a grid"):
        tile(torch.zeros(shape), columns=2)


def test_every_panel_has_the_same_fixed_grey_scale():
    figure = viz.side_by_side(
        {"dark": torch.full((4, 1, 4, 4), -0.9), "bright": torch.ones(4, 1, 4, 4)}, columns=2
    )
    assert [axes.get_title() for axes in figure.axes] == ["dark", "bright"]
    assert {axes.images[0].get_clim() for axes in figure.axes} == {(0, 1)}


def test_a_finished_figure_is_not_shown_twice():
    plt.close("all")
    viz.sample_grid(torch.zeros(2, 1, 4, 4))
    assert plt.get_fignums() == []


def test_figures_of_surrogate_data_say_so(monkeypatch):
    monkeypatch.setattr(style.data, "surrogates_in_use", frozenset)
    assert viz.sample_grid(torch.zeros(2, 1, 4, 4)).get_supxlabel() == ""
    monkeypatch.setattr(style.data, "surrogates_in_use", lambda: frozenset({"pneumoniamnist"}))
    assert "SURROGATE" in viz.sample_grid(torch.zeros(2, 1, 4, 4)).get_supxlabel()
    assert "pneumoniamnist" in viz.curves({"D.real": [1.0, 2.0]}).get_supxlabel()


def test_curves_draw_raw_values_and_a_running_mean_centred_on_its_window():
    figure = viz.curves({"D.real": list(range(8))}, smooth=2, equilibrium=True)
    raw, mean, equilibrium = figure.axes[0].lines
    assert raw.get_ydata().tolist() == list(range(8))
    assert mean.get_xdata().tolist() == mean.get_ydata().tolist() == [i + 0.5 for i in range(7)]
    assert equilibrium.get_ydata()[0] == pytest.approx(np.log(2))
