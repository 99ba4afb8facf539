"""One look for every figure."""

import matplotlib as mpl
import matplotlib.pyplot as plt
from matplotlib.figure import Figure

from medgan_course import data

# Okabe & Ito (2008): told apart by readers with any colour vision, and in grey.
COLOURS = {
    "blue": "#0072B2",
    "orange": "#E69F00",
    "green": "#009E73",
    "red": "#D55E00",
    "purple": "#CC79A7",
    "grey": "#666666",
}

# Inches: on a phone 360 px wide the 10 pt labels still come out at ten pixels.
WIDTH = 4.5


def use_style() -> None:
    """Set the course's matplotlib style for the rest of the process."""
    mpl.rcParams.update(
        {
            "figure.figsize": (WIDTH, 2.8),
            "figure.dpi": 180,
            "figure.constrained_layout.use": True,
            "font.size": 10,
            "axes.titlesize": 10,
            "axes.labelsize": 10,
            "axes.spines.top": False,
            "axes.spines.right": False,
            "axes.prop_cycle": mpl.rcsetup.cycler(color=list(COLOURS.values())),
            "axes.grid": True,
            "grid.alpha": 0.25,
            "legend.frameon": False,
            "lines.linewidth": 1.4,
            "image.cmap": "gray",
            "figure.facecolor": "white",
            "savefig.facecolor": "white",
        }
    )


def surrogate_stamp() -> str:
    """Return what a picture must say when any data loaded in this process are a surrogate, else ""."""
    names = ", ".join(sorted(data.surrogates_in_use()))
    return f"SURROGATE DATA on this page: phantoms in place of {names}" if names else ""


def finished(figure: Figure) -> Figure:
    """Return ``figure`` for display, with the surrogate stamp if one is due.

    It is taken out of pyplot's hands, or a notebook would show it twice: as the cell's value and as an open
    figure.
    """
    plt.close(figure)
    if surrogate_stamp():
        figure.supxlabel(surrogate_stamp(), color="#B00020", fontsize=9)
    return figure
