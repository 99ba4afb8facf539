"""Pictures of images and of trainings. Values are shown from -1 (black) to 1 (white), never stretched."""

from collections.abc import Mapping, Sequence
from itertools import cycle

import matplotlib.pyplot as plt
import numpy as np
import torch
from matplotlib.axes import Axes
from matplotlib.figure import Figure
from torch import Tensor

from medgan_course.errors import CourseError
from medgan_course.train.game import History
from medgan_course.viz.style import COLOURS, WIDTH, finished


def tile(images: Tensor, columns: int) -> np.ndarray:
    """Lay out images in rows with a white gap, as an array in [0, 1] of shape ``(H, W)`` or ``(H, W, 3)``.

    Parameters
    ----------
    images : Tensor
        ``(N, 1, H, W)``, grey, or ``(N, 3, H, W)``, colour, in [-1, 1].
    columns : int
        Images in a row.
    """
    if images.ndim != 4 or images.shape[1] not in (1, 3):
        raise CourseError(
            f"Images (N, 1, H, W) or (N, 3, H, W) are needed to draw a grid, not {tuple(images.shape)}; "
            "of a volume, choose a slice."
        )
    shown = (images.detach().float().cpu().clamp(-1, 1).movedim(1, -1) + 1) / 2
    n, height, width, channels = shown.shape
    rows = -(-n // columns)
    canvas = torch.ones(rows * (height + 1) - 1, columns * (width + 1) - 1, channels)
    for index, image in enumerate(shown):
        top, left = index // columns * (height + 1), index % columns * (width + 1)
        canvas[top : top + height, left : left + width] = image
    return canvas.squeeze(-1).numpy()


def sample_grid(images: Tensor, *, columns: int = 8, title: str | None = None) -> Figure:
    """Draw images in [-1, 1], grey ``(N, 1, H, W)`` or colour ``(N, 3, H, W)``, as a grid on one scale."""
    canvas = tile(images, columns)
    figure, axes = plt.subplots(
        figsize=(WIDTH, WIDTH * canvas.shape[0] / canvas.shape[1] + (0.3 if title else 0))
    )
    _show(axes, canvas, title)
    return finished(figure)


def side_by_side(groups: Mapping[str, Tensor], *, columns: int = 4) -> Figure:
    """Draw several titled grids next to each other, of images as for :func:`sample_grid`, on one scale."""
    canvases = {title: tile(images, columns) for title, images in groups.items()}
    height, width = next(iter(canvases.values())).shape[:2]
    panel = WIDTH / len(canvases)
    figure, axes = plt.subplots(
        1, len(canvases), figsize=(WIDTH, panel * height / width + 0.35), squeeze=False
    )
    for ax, (title, canvas) in zip(axes[0], canvases.items(), strict=True):
        _show(ax, canvas, title)
    return finished(figure)


def curves(history: Mapping[str, Sequence[float]], *, smooth: int = 25, equilibrium: bool = True) -> Figure:
    """Plot the terms of a training against steps.

    Parameters
    ----------
    history : mapping
        What :func:`~medgan_course.train.engine.fit` returns; each term is drawn at its own steps. The values
        of a plain dict are drawn at steps 0, 1, 2, ...
    smooth : int
        Window of the running mean drawn over the faint raw values.
    equilibrium : bool
        The terms are those of the non-saturating loss: write their formulas, and mark ln 2, the value of each
        when the discriminator cannot tell real from generated.
    """
    if not history:
        raise CourseError("The history is empty: there is nothing to draw before the first step.")
    # A line of the legend for each term, above the axes.
    figure, axes = plt.subplots(figsize=(WIDTH, 2.05 + 0.25 * len(history)))
    labels = {
        "D.real": r"D, real: $-\log\sigma(D(x))$",
        "D.fake": r"D, generated: $-\log(1-\sigma(D(G(z))))$",
        "G.adversarial": r"G: $-\log\sigma(D(G(z)))$",
    }
    steps = history.steps if isinstance(history, History) else {}
    # More terms than colours: the dashes tell them apart. The last colour, grey, is that of ln 2.
    strokes = [(colour, dashes) for dashes in ("-", "--", ":") for colour in list(COLOURS.values())[:-1]]
    for (name, values), (colour, dashes) in zip(history.items(), cycle(strokes), strict=False):
        at = steps.get(name, range(len(values)))
        window = max(1, min(smooth, len(values) // 4))
        mean, middle = (np.convolve(each, np.ones(window) / window, mode="valid") for each in (values, at))
        axes.plot(at, values, color=colour, alpha=0.15, linewidth=0.6)
        label = labels.get(name, name) if equilibrium else name
        axes.plot(middle, mean, color=colour, linestyle=dashes, label=label)
    if equilibrium:
        axes.axhline(np.log(2), color=COLOURS["grey"], linestyle=":", linewidth=1)
        # Beside the axes, where no curve runs through it.
        axes.annotate(
            "ln 2",
            (1, np.log(2)),
            xycoords=("axes fraction", "data"),
            xytext=(4, 0),
            textcoords="offset points",
            va="center",
        )
    axes.set(xlabel="step", ylabel="cost (nats)" if equilibrium else "cost")
    if min(map(min, history.values())) >= 0:
        axes.set_ylim(bottom=0)
    figure.legend(loc="outside upper left", ncols=1)
    return finished(figure)


def _show(axes: Axes, canvas: np.ndarray, title: str | None) -> None:
    axes.imshow(canvas, cmap="gray", vmin=0, vmax=1, interpolation="nearest")
    axes.set_axis_off()
    if title:
        axes.set_title(title)
