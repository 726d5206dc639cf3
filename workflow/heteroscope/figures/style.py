"""The look of all figures, and how they are saved.

Figures are made as `matplotlib.figure.Figure` inside a function marked `@styled`, without pyplot: no window, no
global state. The same data gives the same bytes.
"""

from __future__ import annotations

import textwrap
from collections.abc import Callable
from pathlib import Path
from typing import Any, ParamSpec, TypeVar

import matplotlib as mpl
from cycler import cycler
from matplotlib.colors import to_hex
from matplotlib.figure import Figure
from matplotlib.layout_engine import ConstrainedLayoutEngine
from matplotlib.ticker import LogFormatter

from heteroscope.atomic import atomic_path

# Okabe and Ito's palette, told apart with all common kinds of colour vision; ordered so that neighbours contrast.
PALETTE = ("#0072B2", "#E69F00", "#009E73", "#CC79A7", "#56B4E9", "#D55E00", "#B8A800", "#4D4D4D")
# Labels look unlike clusters: the negative class is grey.
LABEL_PALETTE = ("#6E6E6E", "#B2182B", "#5E3C99", "#01665E", "#8C510A", "#DE77AE", "#3690C0", "#A6BD4B")
MISSING = "#C9C9C9"
NEUTRAL = "#8A8A8A"
INK = "#222222"
SEQUENTIAL = "viridis"
HEAT = "YlGnBu"
WIDTH = 7.2  # inches, a text column of a page
DPI = 150

SETTINGS: Any = {
    "font.family": "DejaVu Sans",
    "font.size": 9,
    "axes.titlesize": 10,
    "axes.titlelocation": "left",
    "axes.titleweight": "bold",
    "axes.labelsize": 9,
    "axes.labelcolor": INK,
    "axes.edgecolor": NEUTRAL,
    "axes.linewidth": 0.8,
    "axes.spines.top": False,
    "axes.spines.right": False,
    "axes.axisbelow": True,
    "axes.prop_cycle": cycler(color=PALETTE),
    "figure.titlesize": 11,
    "figure.facecolor": "white",
    "grid.color": "#E6E6E6",
    "grid.linewidth": 0.6,
    "legend.fontsize": 8,
    "legend.frameon": False,
    "text.color": INK,
    "text.hinting": "none",
    "text.parse_math": False,  # names of classes and attributes may hold dollars
    "xtick.color": INK,
    "ytick.color": INK,
    "xtick.labelsize": 8,
    "ytick.labelsize": 8,
    "lines.linewidth": 1.4,
}

Arguments = ParamSpec("Arguments")
Result = TypeVar("Result")


def styled(function: Callable[Arguments, Result]) -> Callable[Arguments, Result]:
    """Run a function that draws with this module's settings."""
    return mpl.rc_context(SETTINGS)(function)


def colors(number: int) -> list[str]:
    """Distinct colours for clusters and other categories; too many for the palette are taken along a colour map."""
    return _take(PALETTE, number)


def label_colors(number: int) -> list[str]:
    """Distinct colours for labels, unlike those of clusters; the negative class is grey."""
    return _take(LABEL_PALETTE, number)


def _take(palette: tuple[str, ...], number: int) -> list[str]:
    if number <= len(palette):
        return list(palette[:number])
    scale = mpl.colormaps["turbo"]
    return [to_hex(scale(0.05 + 0.9 * index / (number - 1))) for index in range(number)]


class PlainLogFormatter(LogFormatter):
    """Numbers of a logarithmic axis without powers, such as 0.02, where Matplotlib would put any."""

    def __call__(self, x: float, pos: int | None = None) -> str:
        """The text at a tick; empty where there is none."""
        return f"{x:g}" if super().__call__(x, pos) else ""


def roomy(inches: float) -> ConstrainedLayoutEngine:
    """Constrained layout with this much room around each of the axes."""
    return ConstrainedLayoutEngine(w_pad=inches, h_pad=inches)


@styled
def sentence(text: str) -> Figure:
    """A figure's place where there is nothing to draw."""
    figure = Figure(figsize=(WIDTH, 1.2), layout="constrained")
    axis = figure.subplots()
    axis.axis("off")
    axis.text(0.5, 0.5, text, ha="center", va="center", fontsize=12, wrap=True)
    return figure


@styled
def save_figure(figure: Figure, path: Path, *, footer: str = "") -> None:
    """Write a figure as PNG, atomically; its metadata hold neither date nor version, so equal data give equal bytes.

    Args:
        figure: what to write.
        path: where to.
        footer: what the figure stands on, in small letters below it.
    """
    if footer:
        width = int(figure.get_figwidth() * 14)  # letters that fit at this size
        text = "\n".join(textwrap.wrap(footer, width))
        figure.draw_without_rendering()  # legends outside the axes find their places
        figure.set_layout_engine("none")
        _pin_legends(figure)
        lowest = min(figure.get_tightbbox().y0 / figure.get_figheight(), 0.0)
        figure.text(0.0, lowest - 0.01, text, ha="left", va="top", fontsize=7, color="0.45")
    with atomic_path(path) as temporary:
        figure.savefig(
            temporary, format="png", dpi=DPI, bbox_inches="tight", pad_inches=0.12, metadata={"Software": None}
        )


def _pin_legends(figure: Figure) -> None:
    """Keep the figure's own legends where they stand: at its edge they would follow it, over the footer."""
    for legend in figure.legends:
        place = figure.transFigure.inverted().transform(legend.get_window_extent().p0)
        legend.borderaxespad = 0
        legend.set_loc("lower left")
        legend.set_bbox_to_anchor(tuple(place), transform=figure.transFigure)
