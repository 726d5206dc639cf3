"""Figures of backbones side by side: scores with their intervals, silhouettes, ROC curves."""

from __future__ import annotations

from collections.abc import Mapping

import numpy as np
import pandas as pd
from matplotlib.axes import Axes
from matplotlib.figure import Figure

from heteroscope.evaluation.models import ROC_GRID
from heteroscope.figures.style import INK, NEUTRAL, PALETTE, WIDTH, colors, sentence, styled
from heteroscope.metric_names import metric_name

SCORES = ("accuracy", "auc", "f1")
SILHOUETTES = {"silhouette_labels": ("o", "labels"), "silhouette_clusters": ("s", "clusters")}
MOST_COLUMNS = 3


@styled
def draw_models(table: pd.DataFrame) -> Figure:
    """Accuracy, AUC and F1 with their 95 % intervals over patients, and both silhouettes, a line a model.

    Args:
        table: `models.model_table` with `models.separability`.
    """
    names = _names(table)
    panels = len(SCORES) + 1
    figure = Figure(figsize=(WIDTH + 1.4, 0.42 * len(names) + 1.7), layout="constrained")
    axes = figure.subplots(1, panels, sharey=True)
    place = np.arange(len(names))
    for axis, metric in zip(axes, SCORES, strict=False):
        value, low, high = (table[f"{metric}{ending}"].to_numpy(dtype=float) for ending in ("", "_low", "_high"))
        axis.hlines(place, low, high, color=NEUTRAL, linewidth=1.6)
        axis.plot(value, place, "o", color=PALETTE[0], markersize=6)
        axis.set_title(metric_name(metric))
    _draw_silhouettes(axes[-1], table, place)
    for axis in axes:
        axis.grid(axis="x")
        axis.margins(x=0.12)
        axis.tick_params(axis="y", length=0)
    axes[0].set_yticks(place, names)
    axes[0].set_ylim(len(names) - 0.5, -0.5)
    figure.supxlabel(
        "scores: 95 % intervals over patients; AUC and F1: means over classes", x=0.01, ha="left", fontsize=8
    )
    return figure


def _draw_silhouettes(axis: Axes, table: pd.DataFrame, place: np.ndarray) -> None:
    for (column, (marker, words)), color in zip(SILHOUETTES.items(), PALETTE[1:], strict=False):
        axis.plot(table[column].to_numpy(dtype=float), place, marker, color=color, markersize=6, label=words)
    axis.axvline(0, color=NEUTRAL, linewidth=0.8)
    axis.set_title("silhouette of")
    axis.legend(loc="upper center", bbox_to_anchor=(0.5, -0.14), ncol=2, handletextpad=0.1, columnspacing=0.8)


@styled
def draw_roc(curves: Mapping[str, Mapping[str, np.ndarray]], table: pd.DataFrame) -> Figure:
    """ROC curves, a panel a class against the rest (of two classes the positive one alone), a line a model.

    Args:
        curves: class of `models.ranked_classes` → model → true positive rates at `ROC_GRID`.
        table: `models.model_table`, in the order of the models.
    """
    if not curves:
        return sentence("no curves: all test images are of one class")
    columns = min(len(curves), MOST_COLUMNS)
    rows = -(-len(curves) // columns)
    figure = Figure(figsize=(2.9 * columns + 2.6 if columns > 1 else WIDTH, (2.9 if columns > 1 else 4.2) * rows + 0.4),
                    layout="constrained")  # fmt: skip
    axes = figure.subplots(rows, columns, squeeze=False)
    names = _names(table)
    palette = colors(len(names))
    for axis, (class_name, lines) in zip(axes.flat, curves.items(), strict=False):
        axis.plot([0, 1], [0, 1], color=NEUTRAL, linewidth=0.8, linestyle="--")
        for true, color in zip(lines.values(), palette, strict=True):
            axis.plot(ROC_GRID, true, color=color)
        axis.set_title(class_name if len(curves) == 1 else f"{class_name} against the rest")
        axis.set_aspect("equal")
        axis.set_xlabel("false positive rate")
        axis.set_ylabel("true positive rate")
    for axis in list(axes.flat)[len(curves) :]:
        axis.set_visible(False)
    handles = list(axes.flat[0].get_lines()[1:])
    words = [
        f"{name}\n{row['auc']:.3f} ({row['auc_low']:.3f} to {row['auc_high']:.3f})"
        for name, row in zip(names, table.to_dict("records"), strict=True)
    ]
    legend = figure.legend(handles, words, loc="outside right upper", title="AUC (95 % interval)", labelspacing=0.9,
                           alignment="left")  # fmt: skip
    legend.get_title().set_color(INK)
    return figure


def _names(table: pd.DataFrame) -> list[str]:
    """Backbones, with the classifier where there are several."""
    if len(set(table["classifier"])) == 1:
        return table["backbone"].tolist()
    return [f"{row['backbone']}\n{row['classifier']}" for row in table.to_dict("records")]
