"""Figure: how many images of each class and attribute level stand in each part of a split."""

from __future__ import annotations

from pathlib import Path

import matplotlib as mpl

mpl.use("Agg")

import matplotlib.pyplot as plt
import numpy as np
import pandas as pd
from matplotlib.axes import Axes

from heteroscope.atomic import atomic_path

PART_COLOURS = {"train": "#0072B2", "validation": "#E69F00", "test": "#009E73", "backbone": "#CC79A7"}
"""Okabe and Ito's colours, told apart by colour-blind readers."""
MOST_LEVELS = 12
PANEL_HEIGHT = 0.45


def draw_counts(counts: pd.DataFrame, path: Path) -> None:
    """Draw one panel a variable (class first, then attributes): for every level the share of each part.

    Variables of more than `MOST_LEVELS` levels (patients) are left out: their bars say nothing.

    Args:
        counts: columns variable, level, part, images (`splits.part_counts`).
        path: the PNG file.
    """
    variables = [
        name for name, rows in counts.groupby("variable", sort=False) if rows["level"].nunique() <= MOST_LEVELS
    ]
    heights = [counts.loc[counts["variable"] == name, "level"].nunique() + 1.2 for name in variables]
    figure, axes = plt.subplots(
        len(variables),
        1,
        figsize=(7.5, PANEL_HEIGHT * sum(heights) + 0.9),
        height_ratios=heights,
        squeeze=False,
        layout="constrained",
    )
    parts = [part for part in PART_COLOURS if part in set(counts["part"])]
    for name, axis in zip(variables, axes[:, 0], strict=True):
        _panel(axis, counts[counts["variable"] == name], str(name), parts)
    axes[-1, 0].set_xlabel("images")
    handles, labels = axes[0, 0].get_legend_handles_labels()
    figure.legend(handles, labels, loc="outside upper center", ncols=len(parts), frameon=False)
    with atomic_path(path) as temporary:
        figure.savefig(temporary, format="png", dpi=150, metadata={"Software": None})
    plt.close(figure)


def _panel(axis: Axes, rows: pd.DataFrame, name: str, parts: list[str]) -> None:
    table = rows.pivot_table(index="level", columns="part", values="images", aggfunc="sum", sort=False, fill_value=0)
    left = np.zeros(len(table))
    for part in parts:
        width = table[part].to_numpy() if part in table else np.zeros(len(table))
        bars = axis.barh(table.index.astype(str), width, left=left, color=PART_COLOURS[part], label=part, height=0.7)
        room = table.sum(axis=1).max() * 0.045
        text = [f"{value:d}" if value >= room else "" for value in width.astype(int)]
        axis.bar_label(bars, text, label_type="center", color="white", fontsize=8)
        left += width
    axis.set_title(name.replace("_", " "), loc="left", fontsize=10, fontweight="bold")
    axis.invert_yaxis()
    axis.spines[["top", "right"]].set_visible(False)
    axis.margins(y=0.02)
