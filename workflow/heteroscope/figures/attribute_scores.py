"""Figure: how well the head does in each level of each attribute of the test images."""

from __future__ import annotations

from typing import Any

import numpy as np
import pandas as pd
from matplotlib.axes import Axes
from matplotlib.figure import Figure

from heteroscope.evaluation.intervals import FEWEST_PATIENTS
from heteroscope.figures.style import INK, NEUTRAL, PALETTE, WIDTH, label_colors, sentence, styled
from heteroscope.metric_names import metric_name

ROW = 0.24  # inches
BETWEEN = 1.3  # rows, between attributes: the name of the next one stands there
MOST_ROWS = 40
MOST_CLASSES = 4  # whose sensitivities can be told apart
SPREAD = 0.44  # of a row, that the classes of a level take
LONGEST = 24  # letters of a level that are shown


@styled
def draw_attribute_scores(table: pd.DataFrame, metric: str) -> Figure:
    """A row a level: the study's metric and each class's sensitivity, with 95 % intervals beside the whole test set.

    Attributes beyond `MOST_ROWS` rows are left to the table, and named.

    Args:
        table: `attribute_scores.attribute_scores` of one backbone.
        metric: the study's.
    """
    of_all = table["class"].isna()
    by_metric, by_class = (
        {str(name): rows.reset_index(drop=True) for name, rows in table[chosen].groupby(column, sort=False)}
        for chosen, column in ((of_all, "metric"), (~of_all, "class"))
    )
    levels = by_metric["accuracy"].iloc[1:]  # the first row is the whole test set
    shown, left_out = _that_fit(levels)
    if shown.empty:
        return sentence("no attribute has two levels among the test images")
    place = _places(shown)
    panels = 2 if len(by_class) <= MOST_CLASSES else 1
    figure = Figure(figsize=(WIDTH + 0.4, 1.3 + ROW * (place.max() + 2)), layout="constrained")
    axes = figure.subplots(1, panels, sharey=True, squeeze=False)[0]
    _draw(axes[0], shown, {metric: by_metric[metric]}, place, [PALETTE[0]])
    axes[0].set_xlabel(f"{metric_name(metric)}, 95 % interval over patients")
    if panels == 2:
        _draw(axes[1], shown, by_class, place, label_colors(len(by_class)))
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


def _draw(
    axis: Axes, levels: pd.DataFrame, scores: dict[str, pd.DataFrame], place: np.ndarray, palette: list[str]
) -> None:
    """Dots with intervals, one a level and score; where a level has none, why.

    Args:
        axis: where to.
        levels: the rows of accuracy that are shown.
        scores: name → its rows, with the index of `levels`; the first one is the whole test set.
        place: (n,) heights of the levels.
        palette: a colour a score.
    """
    offsets = np.linspace(-SPREAD / 2, SPREAD / 2, len(scores)) if len(scores) > 1 else np.zeros(1)
    missing = np.ones(len(levels), dtype=bool)
    for (name, rows), color, offset in zip(scores.items(), palette, offsets, strict=True):
        of_levels = rows.loc[levels.index, ["value", "low", "high"]]
        value, low, high = of_levels.to_numpy(dtype=float).T
        axis.axvline(rows["value"].iloc[0], color=color, linewidth=1, linestyle="--", alpha=0.7, zorder=1)
        axis.hlines(place + offset, low, high, color=color, linewidth=1.4, gid=f"interval {name}")
        axis.plot(value, place + offset, "o", color=color, markersize=5, markeredgecolor="white", label=name,
                  gid=name)  # fmt: skip
        missing &= np.isnan(value)
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
