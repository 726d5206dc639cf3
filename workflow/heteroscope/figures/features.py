"""Figures of single features: their effects and significance, and how they go together."""

from __future__ import annotations

from itertools import pairwise
from typing import Any

import numpy as np
import pandas as pd
from matplotlib.axes import Axes
from matplotlib.figure import Figure
from matplotlib.lines import Line2D
from matplotlib.patches import Rectangle
from scipy.cluster.hierarchy import dendrogram

from heteroscope.evaluation.feature_tests import Correlations
from heteroscope.figures.style import INK, MISSING, NEUTRAL, WIDTH, label_colors, styled

NAMED = 12  # features at most whose numbers stand in the volcano
ROOM = (0.06, 0.04)  # of a number, as shares of the axes
LARGEST_LOG = 300.0  # of 1/q: below it a q is no longer told from zero
MOST_NUMBERS = 60  # features up to which a heat map can show their numbers
SIGNED = "RdBu_r"


@styled
def draw_volcano(table: pd.DataFrame, class_names: list[str], level: float, unit: str) -> Figure:
    """Effect size of every feature against −log10 of its q; significant ones have the colour of their largest mean.

    Args:
        table: `feature_tests.feature_table`.
        class_names: in the order of labels.
        level: of q.
        unit: what was counted: patient or image.
    """
    shown = table[table["q"].notna()]
    effect = shown["effect"].to_numpy()
    height = -np.log10(shown["q"].clip(lower=10**-LARGEST_LOG).to_numpy())
    significant = (shown["q"] <= level).to_numpy()
    highest = shown[[f"mean_{name}" for name in class_names]].to_numpy().argmax(axis=1)
    figure = Figure(figsize=(WIDTH, 4.6), layout="constrained")
    axis = figure.subplots()
    axis.scatter(effect[~significant], height[~significant], s=12, c=MISSING, linewidths=0)
    palette = label_colors(len(class_names))
    for number, color in enumerate(palette):
        rows = significant & (highest == number)
        axis.scatter(effect[rows], height[rows], s=16, c=color, linewidths=0.3, edgecolors="white")
    axis.axhline(-np.log10(level), color=NEUTRAL, linewidth=0.8, linestyle="--")
    axis.set_ylim(bottom=0, top=max(height.max(), -np.log10(level)) * 1.08)
    if (effect < 0).any():  # measures of two classes have a side
        side = np.abs(effect).max() * 1.12
        axis.set_xlim(-side, side)
        axis.axvline(0, color=NEUTRAL, linewidth=0.8)
    else:
        axis.set_xlim(0, effect.max() * 1.12)
    _name_points(axis, shown["feature"].to_numpy(), effect, height)
    first = shown.iloc[0]
    axis.set_xlabel(_sided(str(first["measure"]), class_names))
    axis.set_ylabel("−log₁₀ q (Benjamini–Hochberg)")
    axis.set_title(f"{significant.sum()} of {len(table)} features differ between classes ({first['test']}, by {unit})")
    entries = [(color, f"highest in {name}") for name, color in zip(class_names, palette, strict=True)]
    entries.append((MISSING, f"q > {level:g}"))
    handles = [Line2D([], [], linestyle="", marker="o", markersize=5, color=c, label=word) for c, word in entries]
    figure.legend(handles=handles, loc="outside lower left", ncol=min(len(handles), 4), handletextpad=0.1)
    return figure


def _sided(measure: str, class_names: list[str]) -> str:
    return (
        f"{measure}, {class_names[1]} minus {class_names[0]}" if len(class_names) == 2 else f"{measure} of the classes"
    )


def _name_points(axis: Axes, feature: np.ndarray, effect: np.ndarray, height: np.ndarray) -> None:
    """The numbers of the most telling features, outwards of their points; one that would cover another is left out."""
    widths = np.ptp([axis.get_xlim(), axis.get_ylim()], axis=1)
    taken: list[np.ndarray] = []
    for number, x, y in zip(feature[:NAMED], effect, height, strict=False):
        place = np.array([x, y]) / widths
        if any((np.abs(place - other) < ROOM).all() for other in taken):
            continue
        taken.append(place)
        axis.annotate(
            str(number), (x, y), xytext=(5 if x >= 0 else -5, 0), textcoords="offset points", fontsize=7,
            ha="left" if x >= 0 else "right", va="center",
        )  # fmt: skip


@styled
def draw_correlations(found: Correlations, table: pd.DataFrame, class_names: list[str], threshold: float) -> Figure:
    """Heat map of the correlations of features in the order of their tree; redundant groups are framed.

    Args:
        found: of the features to show.
        table: `feature_tests.feature_table`, for the class in which a feature is highest.
        class_names: in the order of labels.
        threshold: of the groups.
    """
    count = len(found.feature)
    side = float(np.clip(0.14 * count, 4.2, 9.0))
    figure = Figure(figsize=(side + 2.2, side + 1.5), layout="constrained")
    tree, strip, heat = figure.subplots(1, 3, width_ratios=[1.1, 0.16, side])
    drawn = dendrogram(found.tree, ax=tree, orientation="left", no_labels=True, link_color_func=lambda _: NEUTRAL)
    order = np.array(drawn["leaves"])
    tree.set_ylim(10 * count, 0)
    tree.axis("off")
    image = heat.imshow(found.r[np.ix_(order, order)], cmap=SIGNED, vmin=-1, vmax=1, interpolation="nearest")
    for begin, end in _runs(found.redundant[order]):
        heat.add_patch(
            Rectangle((begin - 0.5, begin - 0.5), end - begin, end - begin, fill=False, edgecolor=INK, linewidth=1.6)
        )
    heat.set_aspect("auto")
    strip.set_aspect("auto")
    _draw_strip(strip, _highest(table, found.feature[order], class_names), len(class_names))
    numbers = [str(number) for number in found.feature[order]] if count <= MOST_NUMBERS else []
    places = range(len(numbers))
    heat.set_yticks([])
    heat.set_xticks(places, numbers, rotation=90, fontsize=6)
    strip.set_yticks([])
    heat.yaxis.tick_right()
    heat.set_yticks(places, numbers, fontsize=6)
    heat.tick_params(length=0)
    heat.spines[:].set_visible(False)
    heat.set_xlabel("feature")
    figure.suptitle(f"Correlations of the {count} most telling features", x=0.01, ha="left", fontweight="bold")
    bar = figure.colorbar(image, ax=heat, shrink=0.6, label="Pearson correlation", pad=0.08)
    bar.outline.set_visible(False)  # type: ignore[operator]
    entries = zip(label_colors(len(class_names)), class_names, strict=True)
    handles: list[Any] = [Rectangle((0, 0), 1, 1, color=color, label=f"highest in {name}") for color, name in entries]
    handles.append(Rectangle((0, 0), 1, 1, fill=False, edgecolor=INK, label=f"redundant: all |r| ≥ {threshold:g}"))
    figure.legend(handles=handles, loc="outside lower left", ncol=3, handlelength=0.9, handleheight=0.9)
    return figure


def _highest(table: pd.DataFrame, feature: np.ndarray, class_names: list[str]) -> np.ndarray:
    """The class in which each feature has its largest mean."""
    means = table.set_index("feature").loc[feature, [f"mean_{name}" for name in class_names]]
    return np.asarray(means.to_numpy().argmax(axis=1))


def _draw_strip(axis: Axes, highest: np.ndarray, classes: int) -> None:
    palette = label_colors(classes)
    axis.barh(range(len(highest)), 1, height=1, color=[palette[number] for number in highest])
    axis.set_ylim(len(highest) - 0.5, -0.5)
    axis.set_xlim(0, 1)
    axis.axis("off")


def _runs(groups: np.ndarray) -> list[tuple[int, int]]:
    """Where equal neighbours of more than one begin and end."""
    edges = np.flatnonzero(np.diff(groups)) + 1
    bounds = np.concatenate([[0], edges, [len(groups)]])
    return [(int(a), int(b)) for a, b in pairwise(bounds) if b - a > 1]
