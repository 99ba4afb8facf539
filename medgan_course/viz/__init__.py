"""Figures: one grey scale in each, readable on a phone, marked when the data behind them are a surrogate."""

from medgan_course.viz.figures import curves, sample_grid, side_by_side
from medgan_course.viz.playable import playable
from medgan_course.viz.scrubber import scrubber
from medgan_course.viz.style import use_style
from medgan_course.viz.table import Table

__all__ = ["Table", "curves", "playable", "sample_grid", "scrubber", "side_by_side", "use_style"]
