"""The figure of a study's analyses: accuracy gain and p of every backbone and clustering."""

from __future__ import annotations

from typing import Any

import numpy as np
import pandas as pd
from matplotlib.axes import Axes
from matplotlib.figure import Figure
from matplotlib.lines import Line2D
from matplotlib.patches import Patch
from matplotlib.ticker import FuncFormatter, NullFormatter

from heteroscope.figures.style import INK, MISSING, NEUTRAL, WIDTH, colors, styled

ROW = 0.3  # inches
LEGEND_COLUMNS = 3
BETWEEN = 0.6  # of a row, between clusterings
BELOW = 0.6  # of the smallest p, where its axis begins


@styled
def draw_sensitivity(table: pd.DataFrame, *, level: float, margin: float) -> Figure:
    """A row an analysis, by growing k: the accuracy gain with its interval, p of both rules, and the verdict.

    Args:
        table: `sensitivity.sensitivity_table`.
        level: of the verdict.
        margin: accuracy gain that would not matter.
    """
    table = table.sort_values(["k", "clustering"], kind="stable").reset_index(drop=True)
    backbones = list(dict.fromkeys(table["backbone"]))
    color = dict(zip(backbones, colors(len(backbones)), strict=True))
    place = _places(table)
    figure = Figure(figsize=(WIDTH + 1.2, 1.5 + ROW * (place.max() + 1)), layout="constrained")
    gains, ps = figure.subplots(1, 2, sharey=True, width_ratios=[3, 2])
    gains.axvspan(-100 * margin, 100 * margin, color=MISSING, alpha=0.35, linewidth=0, gid="margin")
    gains.axvline(0, color=NEUTRAL, linewidth=0.8)
    ps.axvline(level, color=INK, linewidth=1, linestyle="--", gid="level")
    for y, row in zip(place, table.to_dict("records"), strict=True):
        _draw_analysis(gains, ps, y, row, color[row["backbone"]])
    _name_clusterings(gains, place, table)
    _frame(gains, ps, np.nanmin([*table["p"], *table["p_nonlinear"], level]))
    handles = _handles(color, margin, level)
    lines = -(-len(handles) // LEGEND_COLUMNS)
    gains.set_title("How the verdict depends on k and on the backbone", pad=10 + 13 * lines)
    legend = gains.legend(handles=handles, loc="lower left", bbox_to_anchor=(0, 1), ncols=LEGEND_COLUMNS,
                          borderaxespad=0.2, columnspacing=1.4)  # fmt: skip
    legend.set_in_layout(False)  # it reaches over both axes; the title leaves it room
    return figure


def _places(table: pd.DataFrame) -> np.ndarray:
    """(n,) heights from the top, those of one clustering together."""
    begins = (table["clustering"] != table["clustering"].shift()).cumsum().to_numpy() - 1
    return np.asarray(np.arange(len(table)) + BETWEEN * begins)


def _draw_analysis(gains: Axes, ps: Axes, y: float, row: dict[Any, Any], color: str) -> None:
    name = f"{row['backbone']}/{row['clustering']}"
    mark = "D" if row["primary"] else "o"
    gain, low, high = (100 * row[f"accuracy_gain{end}"] for end in ("", "_low", "_high"))
    gains.plot([low, high], [y, y], color=color, linewidth=2.2, solid_capstyle="butt", gid=f"interval {name}")
    gains.plot(gain, y, mark, color=color, markersize=7, markeredgecolor="white", gid=f"gain {name}")
    ps.plot(row["p_nonlinear"], y, "o", color=color, markersize=7, fillstyle="none", gid=f"curved {name}")
    ps.plot(row["p"], y, mark, color=color, markersize=6, markeredgecolor="white", gid=f"p {name}")
    ps.plot(1.05, y, "s", color=color, markersize=5, transform=ps.get_yaxis_transform(), clip_on=False)
    ps.annotate(str(row["verdict"]), (1.05, y), xycoords=("axes fraction", "data"), xytext=(8, 0),
                textcoords="offset points", va="center", fontsize=8,
                fontweight="bold" if row["primary"] else "normal")  # fmt: skip


def _name_clusterings(axis: Axes, place: np.ndarray, table: pd.DataFrame) -> None:
    groups = table.assign(place=place).groupby("clustering", sort=False).agg(place=("place", "mean"), k=("k", "first"))
    axis.set_yticks(groups["place"], [f"{name}\n(k = {k})" for name, k in groups["k"].items()])
    axis.tick_params(axis="y", length=0)
    axis.set_ylim(place.max() + 0.7, -0.7)


def _frame(gains: Axes, ps: Axes, smallest: float) -> None:
    gains.set_xlabel("accuracy gain of the clusters' own heads, in points")
    gains.grid(axis="x")
    ps.set_xscale("log")
    ps.set_xlim(BELOW * smallest, 1.25)
    ps.xaxis.set_major_formatter(FuncFormatter(lambda value, _: f"{value:g}"))
    ps.xaxis.set_minor_formatter(NullFormatter())
    ps.tick_params(axis="y", length=0)
    ps.set_xlabel("p from redrawn labels")
    ps.grid(axis="x")


def _handles(color: dict[str, str], margin: float, level: float) -> list[Line2D | Patch]:
    return [
        *(Line2D([], [], color=shown, linewidth=2.2, label=backbone) for backbone, shown in color.items()),
        Line2D([], [], marker="D", linestyle="", color=INK, markersize=6, label="the primary analysis"),
        Line2D([], [], marker="o", linestyle="", color=INK, markersize=6, label="p, and gain with 90 % interval"),
        Line2D([], [], marker="o", linestyle="", color=INK, fillstyle="none", markersize=6,
               label="p if the shared rule may be curved"),
        Patch(color=MISSING, alpha=0.35, label=f"margin: ± {100 * margin:g} points"),
        Line2D([], [], color=INK, linewidth=1, linestyle="--", label=f"level {level:g}"),
    ]  # fmt: skip
