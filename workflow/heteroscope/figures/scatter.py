"""Scatter plots of a two-dimensional layout, one panel for each way to colour its points."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, field

import numpy as np
import pandas as pd
from matplotlib.axes import Axes
from matplotlib.cm import ScalarMappable
from matplotlib.colors import Normalize, to_rgba
from matplotlib.figure import Figure
from matplotlib.lines import Line2D

from heteroscope.data.conditions import is_number
from heteroscope.figures.style import INK, MISSING, NEUTRAL, SEQUENTIAL, colors, label_colors, roomy, styled

MARKERS = {"train": "o", "validation": "s", "test": "^"}
PART_NAMES = {"train": "training", "validation": "validation", "test": "test"}
MOST_ATTRIBUTES = 6
MOST_LEVELS = 8
MOST_LETTERS = 18
PANEL_INCHES = 3.3
CLUSTER = "cluster"  # title of the panel of clusters
LARGEST_POINT = 26  # square points (of 1/72 inch)


@dataclass(frozen=True)
class Panel:
    """One way to colour the points.

    Attributes:
        title: above the panel.
        data: (n,) float for a colour bar, or (n,) int codes of `names`; NaN or −1 where the value is not known.
        names: the categories in order, or None for a colour bar.
        palette: a colour for each name.
    """

    title: str
    data: np.ndarray
    names: list[str] | None = None
    palette: list[str] = field(default_factory=list)


def cluster_panel(cluster: np.ndarray, k: int) -> Panel:
    """Points coloured by (n,) int cluster."""
    return Panel(CLUSTER, cluster, [str(number) for number in range(k)], colors(k))


def label_panel(label: np.ndarray, class_names: list[str]) -> Panel:
    """Points coloured by (n,) int label."""
    return Panel("label", label, class_names, label_colors(len(class_names)))


def attribute_panels(attributes: pd.DataFrame) -> list[Panel]:
    """A panel for each attribute that tells images apart, at most `MOST_ATTRIBUTES` of them.

    Numbers get a colour bar. Of words, the most frequent ones get colours and the rest share one; a column of words
    that is constant, or different in nearly every row (a name of the image), is left out.

    Args:
        attributes: n rows, a column an attribute.
    """
    panels = [_attribute_panel(str(name), column) for name, column in attributes.items()]
    return [panel for panel in panels if panel is not None][:MOST_ATTRIBUTES]


def _attribute_panel(title: str, column: pd.Series) -> Panel | None:
    known = column.dropna()
    if known.nunique() < 2:
        return None
    if is_number(column):
        return Panel(title, column.to_numpy(dtype=np.float64, na_value=np.nan))
    counts = known.astype(str).value_counts()
    if len(counts) > len(known) / 2:
        return None
    frequent = sorted(counts.index, key=lambda name: (-counts[name], name))
    named = sorted(frequent if len(frequent) <= MOST_LEVELS else frequent[: MOST_LEVELS - 1])
    codes = pd.Categorical(column.astype(str).where(column.notna()), categories=named).codes.astype(np.int64)
    if len(named) < len(frequent):
        codes[(codes < 0) & column.notna().to_numpy()] = len(named)
        named = [*named, f"{len(frequent) - len(named)} others"]
    return Panel(title, codes, named, colors(len(named)))


@styled
def scatter_figure(
    layout: np.ndarray, part: np.ndarray, panels: Sequence[Panel], *, title: str, axes: tuple[str, str]
) -> Figure:
    """The same points in every panel, coloured differently; the part of the split gives the marker.

    Args:
        layout: (n, 2) float.
        part: (n,) str: train, validation or test.
        panels: at least one.
        title: of the figure.
        axes: names of the two axes.
    """
    columns = len(panels) if len(panels) <= 3 else 2 if len(panels) == 4 else 3
    rows = -(-len(panels) // columns)
    figure = Figure(figsize=(PANEL_INCHES * columns, (PANEL_INCHES + 0.45) * rows + 0.8), layout=roomy(0.08))
    grid = figure.subplots(rows, columns, squeeze=False)
    for position, axis in enumerate(grid.ravel()):
        if position >= len(panels):
            axis.set_visible(False)
            continue
        _draw_panel(figure, axis, layout, part, panels[position])
        axis.set_xlabel(axes[0])
        axis.set_ylabel(axes[1] if position % columns == 0 else "")
    figure.suptitle(title, x=0.01, ha="left", fontweight="bold")
    handles = [
        Line2D([], [], linestyle="", marker=MARKERS[name], markerfacecolor=NEUTRAL, markeredgecolor=INK,
               markeredgewidth=0.4, markersize=5, label=f"{PART_NAMES[name]} ({int((part == name).sum())})")
        for name in MARKERS if (part == name).any()
    ]  # fmt: skip
    figure.legend(handles=handles, loc="outside lower left", ncol=len(handles), handletextpad=0.2)
    return figure


def _draw_panel(figure: Figure, axis: Axes, layout: np.ndarray, part: np.ndarray, panel: Panel) -> None:
    axis.set_title(panel.title)
    axis.tick_params(labelbottom=False, labelleft=False, length=0)
    known = np.isfinite(panel.data) if panel.names is None else panel.data >= 0
    # A random order keeps a class that stands last in the table from covering the others.
    order = np.random.default_rng(0).permutation(len(layout))
    order = np.concatenate([order[~known[order]], order[known[order]]])
    face = _face_colors(panel, known)
    size = float(np.clip(9000 / len(layout), 4, LARGEST_POINT))
    for name, marker in MARKERS.items():
        rows = order[part[order] == name]
        axis.scatter(
            layout[rows, 0],
            layout[rows, 1],
            s=size if name == "train" else 1.2 * size,
            c=face[rows],
            marker=marker,
            linewidths=(0.2 if name == "train" else 0.4) * size / LARGEST_POINT,
            edgecolors="white" if name == "train" else INK,
        )
    if panel.names is None:
        _color_bar(figure, axis, panel, known)
    else:
        _category_legend(axis, panel, known)


def _face_colors(panel: Panel, known: np.ndarray) -> np.ndarray:
    """(n, 4) colours; values that are not known are grey."""
    face = np.tile(to_rgba(MISSING), (len(known), 1))
    if panel.names is None:
        face[known] = _scale(panel, known).to_rgba(panel.data[known])
    else:
        palette = np.array([to_rgba(color) for color in panel.palette])
        face[known] = palette[panel.data[known].astype(np.int64)]
    return face


def _scale(panel: Panel, known: np.ndarray) -> ScalarMappable:
    values = panel.data[known]
    return ScalarMappable(Normalize(values.min(), values.max()), SEQUENTIAL)


def _color_bar(figure: Figure, axis: Axes, panel: Panel, known: np.ndarray) -> None:
    bar = figure.colorbar(
        _scale(panel, known),
        cax=axis.inset_axes((0.1, -0.14, 0.8, 0.03)),
        orientation="horizontal",
        format="{x:g}",
    )
    bar.outline.set_visible(False)  # type: ignore[operator]
    bar.ax.tick_params(length=2)
    if not known.all():
        bar.set_label(f"grey: not known ({int((~known).sum())})", fontsize=8)


def _category_legend(axis: Axes, panel: Panel, known: np.ndarray) -> None:
    assert panel.names is not None
    entries = list(zip(panel.names, panel.palette, strict=True))
    if not known.all():
        entries.append((f"not known ({int((~known).sum())})", MISSING))
    handles = [
        Line2D([], [], linestyle="", marker="o", color=color, markersize=5, label=_short(name))
        for name, color in entries
    ]
    longest = max(len(_short(name)) for name, _ in entries)
    axis.legend(
        handles=handles,
        loc="upper center",
        bbox_to_anchor=(0.5, -0.07),
        ncol=min(len(handles), 2 if longest > 11 else 3 if longest > 6 else 6),
        handletextpad=0.1,
        columnspacing=0.9,
    )


def _short(name: str) -> str:
    return name if len(name) <= MOST_LETTERS else f"{name[: MOST_LETTERS - 1]}…"
