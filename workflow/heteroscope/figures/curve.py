"""The curve over training size, with every cluster's own model on it."""

from __future__ import annotations

import numpy as np
import pandas as pd
from matplotlib.axes import Axes
from matplotlib.figure import Figure
from matplotlib.lines import Line2D
from matplotlib.patches import Patch
from matplotlib.ticker import NullFormatter

from heteroscope.config import Controls
from heteroscope.evaluation.analysis import Analysis
from heteroscope.evaluation.curve import EXPECTED, points
from heteroscope.figures.style import INK, NEUTRAL, WIDTH, colors, styled
from heteroscope.metric_names import metric_name

CURVE = "#7A7A7A"  # grey: colours are the clusters'
BAND = "#E2E2E2"
ROOM = 1.4  # ratio of two sizes whose numbers find room beside each other
MARKER = 12  # points, so that a cluster's number finds room in it


@styled
def draw_curve(analysis: Analysis, controls: Controls, metric: str) -> Figure:
    """The pooled head on growing random subsets, and each cluster's own model at its number of images.

    All are scored on the whole test set. The band is where 95 % of random subsets of a size are expected; it ends
    before all images, of which there is one set. A cluster is a circle with its number in its colour, hollow where it
    is not compared. Its number of images counts an image once, in however many views it shows it.

    Args:
        analysis: the runs of one backbone and clustering.
        controls: which clusters are compared.
        metric: a name of `metrics.METRICS`.
    """
    figure = Figure(figsize=(WIDTH, 4.2), layout="constrained")
    axis = figure.subplots()
    sizes = points(analysis.curve, metric)
    images = sizes["training_images"].to_numpy()
    axis.set_xscale("log")
    spread = sizes[sizes["subsets"] > 1]  # of all images there is one set
    low, high = (spread[name].clip(0, 1) for name in ("low", "high"))
    axis.fill_between(spread["training_images"], low, high, color=BAND, linewidth=0, zorder=1, gid="band")
    _draw_subsets(axis, analysis.curve, metric)
    axis.plot(images, sizes["mean"], "-", color=CURVE, zorder=2, gid="mean")
    axis.plot(images[-1], sizes["mean"].iloc[-1], "s", color=INK, markersize=6, zorder=3, gid="all")
    _draw_clusters(axis, analysis, controls, metric)
    ticks = _sizes_to_name(*axis.dataLim.intervalx)
    axis.set_xticks(ticks, [f"{size:.0f}" for size in ticks])
    axis.xaxis.set_minor_formatter(NullFormatter())
    axis.margins(x=0.04)
    axis.grid(axis="y")
    axis.set_xlabel("training images")
    axis.set_ylabel(f"{metric_name(metric)} on the whole test set")
    axis.set_title("Too few images, or different ones?", pad=38)
    _legend(axis, subsets=int(sizes["subsets"].max()), images=images[-1])
    return figure


def _sizes_to_name(smallest: float, largest: float) -> list[float]:
    """The ends of the axis, and the round sizes between them that are far enough from both."""
    round_sizes = [digit * 10.0**power for power in range(7) for digit in (1, 2, 5)]
    return [smallest, *(size for size in round_sizes if ROOM * smallest < size < largest / ROOM), largest]


def _draw_subsets(axis: Axes, curve: pd.DataFrame, metric: str) -> None:
    """Every random subset, a mean over its seeds."""
    shown = curve[curve["share"] < 1].groupby(["share", "repeat"])[["training_images", metric]].mean()
    axis.plot(shown["training_images"], shown[metric], "o", color=CURVE, markersize=3, alpha=0.6, markeredgewidth=0,
              zorder=2, gid="subsets")  # fmt: skip


def _draw_clusters(axis: Axes, analysis: Analysis, controls: Controls, metric: str) -> None:
    images = [runs.class_counts[0].sum() for runs in analysis.arms["cluster"]]
    value, compared = analysis.metric_of_draws(metric, "cluster")[0], analysis.eligible(controls)
    palette = colors(analysis.k)
    for cluster in range(analysis.k):
        if not np.isfinite(value[cluster]):
            continue
        face, letters = (palette[cluster], "white") if compared[cluster] else ("white", palette[cluster])
        axis.plot(images[cluster], value[cluster], "o", markersize=MARKER, color=face, markeredgecolor=palette[cluster],
                  markeredgewidth=1.4, zorder=4, gid=f"cluster-{cluster}")  # fmt: skip
        axis.text(images[cluster], value[cluster], str(cluster), color=letters, fontsize=8, fontweight="bold",
                  ha="center", va="center_baseline", zorder=5)  # fmt: skip


def _legend(axis: Axes, *, subsets: int, images: float) -> None:
    def circle(face: str, label: str) -> Line2D:
        return Line2D([], [], marker="o", linestyle="", color=face, markeredgecolor=NEUTRAL, markersize=8, label=label)

    handles = [
        Line2D([], [], color=CURVE, marker="o", markersize=3, label=f"{subsets} random subsets and their mean"),
        Patch(color=BAND, label=f"where {EXPECTED:.0%} of random subsets are expected"),
        Line2D([], [], marker="s", linestyle="", color=INK, markersize=5, label=f"all {images:.0f} training images"),
        circle(NEUTRAL, "a cluster's own model"),
        circle("white", "one that is not compared"),
    ]
    axis.legend(handles=handles, loc="lower left", bbox_to_anchor=(0, 1), ncols=3, borderaxespad=0.2, handletextpad=0.5,
                columnspacing=1.2)  # fmt: skip
