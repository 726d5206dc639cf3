"""Figure: how well the head does in each level of each attribute of the test images."""

from __future__ import annotations

from typing import Any

import numpy as np
import pandas as pd
from matplotlib.axes import Axes
from matplotlib.figure import Figure

from heteroscope.evaluation.intervals import FEWEST_PATIENTS
from heteroscope.figures.style import INK, NEUTRAL, PALETTE, WIDTH, label_colors, sentence, styled

ROW = 0.24  # inches
BETWEEN = 1.3  # rows, between attributes: the name of the next one stands there
MOST_ROWS = 40
MOST_CLASSES = 4  # whose sensitivities can be told apart
SPREAD = 0.44  # of a row, that the classes of a level take
LONGEST = 24  # letters of a level that are shown
NAMES = {"auc": "AUC", "f1": "F1"}


@styled
def draw_attribute_scores(table: pd.DataFrame, metric: str) -> Figure:
    """A row a level: the study's metric and each class's sensitivity, with 95 % intervals beside the whole test set.

    Attributes beyond `MOST_ROWS` rows are left to the table, and named.

    Args:
        table: `attribute_scores.attribute_scores` of one backbone.
        metric: the study's.
    """
    whole, levels = table.iloc[0], table.iloc[1:]
    shown, left_out = _that_fit(levels)
    if shown.empty:
        return sentence("no attribute has two levels among the test images")
    place = _places(shown)
    classes = [name.removeprefix("test_") for name in table.columns if name.startswith("test_")]
    panels = 2 if len(classes) <= MOST_CLASSES else 1
    figure = Figure(figsize=(WIDTH + 0.4, 1.3 + ROW * (place.max() + 2)), layout="constrained")
    axes = figure.subplots(1, panels, sharey=True, squeeze=False)[0]
    _draw(axes[0], shown, whole, place, {metric: PALETTE[0]})
    axes[0].set_xlabel(f"{NAMES.get(metric, metric)}, 95 % interval over patients")
    if panels == 2:
        colors = dict(zip((f"sensitivity_{name}" for name in classes), label_colors(len(classes)), strict=True))
        _draw(axes[1], shown, whole, place, colors)
        axes[1].set_xlabel("sensitivity: share of a class that is found")
        axes[1].legend(loc="lower right", bbox_to_anchor=(1, 1), ncols=2, borderaxespad=0.2, handletextpad=0.1)
    _name_levels(axes[0], shown, place)
    _count(axes[-1], shown, place)
    axes[0].set_title("The head by attribute (dashed: all test images)")
    if left_out:
        figure.supxlabel(f"in the table alone: {', '.join(left_out)}", x=0.01, ha="left", fontsize=8)
    return figure


def _that_fit(levels: pd.DataFrame) -> tuple[pd.DataFrame, list[str]]:
    """The rows of the first attributes that have room, and the names of the others."""
    ends = levels.groupby("attribute", sort=False).size().cumsum()
    fit = set(ends.index[ends <= MOST_ROWS])
    return levels[levels["attribute"].isin(fit)], [name for name in ends.index if name not in fit]


def _places(levels: pd.DataFrame) -> np.ndarray:
    """(n,) heights from the top, those of one attribute together."""
    begins = (levels["attribute"] != levels["attribute"].shift()).cumsum().to_numpy() - 1
    return np.asarray(np.arange(len(levels)) + BETWEEN * begins)


def _draw(axis: Axes, levels: pd.DataFrame, whole: pd.Series, place: np.ndarray, colors: dict[str, str]) -> None:
    """Dots with intervals, one a level and column; where a level has none, why."""
    offsets = np.linspace(-SPREAD / 2, SPREAD / 2, len(colors)) if len(colors) > 1 else np.zeros(1)
    for (column, color), offset in zip(colors.items(), offsets, strict=True):
        value, low, high = (levels[f"{column}{end}"].to_numpy(dtype=float) for end in ("", "_low", "_high"))
        axis.axvline(whole[column], color=color, linewidth=1, linestyle="--", alpha=0.7, zorder=1)
        axis.hlines(place + offset, low, high, color=color, linewidth=1.4, gid=f"interval {column}")
        axis.plot(value, place + offset, "o", color=color, markersize=5, markeredgecolor="white",
                  label=column.removeprefix("sensitivity_"), gid=column)  # fmt: skip
    missing = levels[list(colors)].isna().all(axis=1).to_numpy()
    if missing.all():
        axis.set_xlim(0, 1)
    for y, few in zip(place[missing], levels["few"].to_numpy()[missing], strict=True):
        text = f"fewer than {FEWEST_PATIENTS} patients" + ("" if few else " of a class")
        axis.text(0.5, y, text, transform=axis.get_yaxis_transform(), ha="center", va="center", fontsize=7,
                  color=NEUTRAL, bbox={"facecolor": "white", "edgecolor": "none", "pad": 1})  # fmt: skip
    axis.grid(axis="x")
    axis.margins(x=0.05)
    axis.tick_params(axis="y", length=0)


def _name_levels(axis: Axes, levels: pd.DataFrame, place: np.ndarray) -> None:
    axis.set_yticks(place, [_short(str(level)) for level in levels["level"]])
    axis.set_ylim(place.max() + 0.7, place.min() - 1.4)
    first = levels.assign(place=place).groupby("attribute", sort=False)["place"].first()
    for name, y in first.items():
        axis.annotate(str(name).replace("_", " "), (0, y - 0.85), xycoords=("axes fraction", "data"), xytext=(-6, 0),
                      textcoords="offset points", ha="right", va="center", fontsize=8.5, fontweight="bold",
                      color=INK)  # fmt: skip


def _count(axis: Axes, levels: pd.DataFrame, place: np.ndarray) -> None:
    """Images and patients of each level, right of the last panel."""
    heads: list[tuple[float, Any, Any]] = [(place.min() - 0.85, "images", "patients")]
    for y, images, patients in heads + list(zip(place, levels["images"], levels["patients"], strict=True)):
        for x, text in ((0.14, images), (0.28, patients)):
            axis.annotate(str(text), (1, y), xycoords=("axes fraction", "data"), xytext=(280 * x, 0),
                          textcoords="offset points", ha="right", va="center", fontsize=7)  # fmt: skip


def _short(name: str) -> str:
    return name if len(name) <= LONGEST else f"{name[: LONGEST - 1]}…"
