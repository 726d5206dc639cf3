"""Figures of classical classifiers beside the network's own last layer."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import numpy as np
import pandas as pd
from matplotlib.axes import Axes
from matplotlib.figure import Figure
from matplotlib.lines import Line2D

from heteroscope.figures.confusion import draw_cells
from heteroscope.figures.style import INK, NEUTRAL, WIDTH, PlainLogFormatter, colors, roomy, styled

MARKERS = "osD^vP*X"
COSTS = {"training_s": "training (s)", "ms_per_image": "prediction (ms an image)"}
PANEL = 1.75  # inches of one confusion matrix
MOST_COLUMNS = 4
LONGEST = 12  # letters of a class's name that are shown


@styled
def draw_costs(times: pd.DataFrame) -> Figure:
    """Accuracy with its 95 % interval against the time of training and of prediction, both on a log scale.

    The colour is the classifier, the marker the backbone.

    Args:
        times: `hybrids.time_table`.
    """
    classifiers, backbones = (list(dict.fromkeys(times[name])) for name in ("classifier", "backbone"))
    color = dict(zip(classifiers, colors(len(classifiers)), strict=True))
    marker = {name: MARKERS[number % len(MARKERS)] for number, name in enumerate(backbones)}
    figure = Figure(figsize=(WIDTH, 3.6), layout="constrained")
    axes = figure.subplots(1, len(COSTS), sharey=True)
    for axis, (cost, words) in zip(axes, COSTS.items(), strict=True):
        for row in times.to_dict("records"):
            ends = np.abs([[row["accuracy"] - row["accuracy_low"]], [row["accuracy_high"] - row["accuracy"]]])
            axis.errorbar(
                row[cost], row["accuracy"], yerr=ends, fmt=marker[row["backbone"]], color=color[row["classifier"]],
                ecolor=NEUTRAL, elinewidth=0.8, markersize=6,
            )  # fmt: skip
        axis.set_xscale("log")
        axis.xaxis.set_major_formatter(PlainLogFormatter())
        axis.xaxis.set_minor_formatter(PlainLogFormatter())
        axis.margins(x=0.12)
        axis.set_xlabel(words)
        axis.grid(axis="y")
    axes[0].set_ylabel("accuracy, 95 % interval over patients")
    axes[0].set_title("Accuracy and what it costs")
    handles = [Line2D([], [], linestyle="", marker="o", color=color[name], label=name) for name in classifiers]
    if len(backbones) > 1:
        handles += [Line2D([], [], linestyle="", marker=marker[b], color=INK, label=b) for b in backbones]
    figure.legend(handles=handles, loc="outside right center")
    return figure


@styled
def draw_all_confusions(tables: Mapping[str, pd.DataFrame]) -> Figure:
    """What each model calls the test images of each class, a heat map a model.

    Args:
        tables: model → `confusions.confusions`.
    """
    columns = min(len(tables), MOST_COLUMNS)
    rows = -(-len(tables) // columns)
    classes = list(dict.fromkeys(next(iter(tables.values()))["class"].astype(str)))
    side = PANEL + 0.25 * max(len(classes) - 2, 0)
    figure = Figure(figsize=(side * columns + 0.9, (side + 0.45) * rows + 0.5), layout=roomy(0.06))
    axes = figure.subplots(rows, columns, squeeze=False)
    for place, (axis, (name, table)) in enumerate(zip(axes.flat, tables.items(), strict=False)):
        draw_cells(axis, table, font=max(5.0, 8.0 - 0.5 * max(len(classes) - 2, 0)))
        axis.set_title(name.replace(" ", "\n", 1), fontsize=8)
        _name_classes(axis, classes, left=place % columns == 0, below=place + columns >= len(tables))
    for axis in list(axes.flat)[len(tables) :]:
        axis.set_visible(False)
    figure.suptitle("Test images of each class (rows) by what they are called (columns)", x=0.01, ha="left")
    return figure


def _name_classes(axis: Axes, classes: list[str], *, left: bool, below: bool) -> None:
    """At the left and below, where no other heat map stands."""
    shown = [name if len(name) <= LONGEST else f"{name[: LONGEST - 1]}…" for name in classes]
    slant: dict[str, Any] = {} if len(classes) <= 2 else {"rotation": 45, "ha": "right"}
    axis.set_xticks(range(len(classes)), shown if below else [""] * len(shown), fontsize=7, **slant)
    axis.set_yticks(range(len(classes)), shown if left else [""] * len(shown), fontsize=7)
