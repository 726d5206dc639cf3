"""Figure: how many images of each class and attribute level stand in each part of a split."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pandas as pd
from matplotlib.axes import Axes
from matplotlib.figure import Figure

from heteroscope.figures.style import INK, PALETTE, WIDTH, colors, save_figure, styled

PART_COLORS = dict(zip(("train", "validation", "test", "backbone"), PALETTE, strict=False))
DARK = ("#0072B2", "#009E73", "#D55E00", "#4D4D4D")  # on which white is read
BAR_HEIGHT = 0.28  # inches
PANEL_EXTRA = 1.9  # of a panel's title and axis, in bars


def draw_counts(counts: pd.DataFrame, path: Path) -> None:
    """Draw one panel a variable (class first, then attributes): a bar a level, divided into parts.

    Args:
        counts: columns variable, level, part, images (`data.counts.part_counts`).
        path: the PNG file.
    """
    save_figure(counts_figure(counts), path)


@styled
def counts_figure(counts: pd.DataFrame) -> Figure:
    """The figure of `draw_counts`."""
    panels = {str(name): rows for name, rows in counts.groupby("variable", sort=False)}
    bars = [rows["level"].nunique() + PANEL_EXTRA for rows in panels.values()]
    figure = Figure(figsize=(WIDTH, BAR_HEIGHT * sum(bars) + 0.5), layout="constrained")
    axes = figure.subplots(len(panels), 1, squeeze=False, sharex=True, height_ratios=bars)[:, 0]
    part_colors = _part_colors(set(counts["part"]))
    longest = counts.groupby(["variable", "level"])["images"].sum().max()
    for axis, (name, rows) in zip(axes, panels.items(), strict=True):
        _panel(axis, rows, name, part_colors, smallest_written=0.028 * longest)
    axes[-1].set_xlabel("images")
    handles, labels = axes[0].get_legend_handles_labels()
    figure.legend(handles, labels, loc="outside upper center", ncols=min(len(labels), 6))
    return figure


def _part_colors(parts: set[str]) -> dict[str, str]:
    """Part → colour, in the order in which they are drawn; folds by their number."""
    folds = sorted(parts - set(PART_COLORS), key=lambda part: int(part.removeprefix("fold ")))
    known = {part: color for part, color in PART_COLORS.items() if part in parts}
    return dict(zip(folds, colors(len(folds) + 1), strict=False)) | known if folds else known


def _panel(axis: Axes, rows: pd.DataFrame, name: str, part_colors: dict[str, str], *, smallest_written: float) -> None:
    parts = list(part_colors)
    table = rows.pivot_table(index="level", columns="part", values="images", aggfunc="sum", sort=False, fill_value=0)
    table = table.reindex(columns=parts, fill_value=0)
    left = np.zeros(len(table))
    for part in parts:
        width = table[part].to_numpy()
        bars = axis.barh(table.index.astype(str), width, left=left, color=part_colors[part], label=part, height=0.75)
        text = [f"{value:d}" if value >= smallest_written else "" for value in width]
        color = "white" if part_colors[part] in DARK else INK
        axis.bar_label(bars, text, label_type="center", color=color, fontsize=7)
        left += width
    axis.set_title(name.replace("_", " "))
    axis.invert_yaxis()
    axis.tick_params(axis="y", length=0)
    axis.grid(axis="x")
