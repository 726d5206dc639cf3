"""Figures of a clustering: centroid distances, Ward dendrogram, and the images nearest to each centroid."""

from __future__ import annotations

from collections.abc import Callable, Sequence

import numpy as np
import pandas as pd
from matplotlib.axes import Axes
from matplotlib.figure import Figure
from matplotlib.patches import Patch, Rectangle
from scipy.cluster.hierarchy import dendrogram, leaves_list, linkage

from heteroscope.figures.style import HEAT, INK, NEUTRAL, WIDTH, colors, label_colors, roomy, styled

DENDROGRAM_LEAVES = 30
PURITY = 0.8
SHEET_COLUMNS = 8
SHEET_CLUSTERS = 20
MOST_VALUES = 20  # clusters up to which a heat map can show its values


@styled
def distance_figure(distances: pd.DataFrame, sizes: Sequence[int]) -> Figure:
    """Heat map of the distance table: between centroids off the diagonal, within clusters on it.

    Args:
        distances: columns cluster, other, distance; k × k rows.
        sizes: (k,) training rows a cluster.
    """
    matrix = distances.pivot_table(index="cluster", columns="other", values="distance", dropna=False).to_numpy()
    k = len(matrix)
    side = float(np.clip(0.85 * k, 3.2, 12))
    figure = Figure(figsize=(side + 1.9, side + 1.2), layout="constrained")
    axis = figure.subplots()
    image = axis.imshow(np.ma.masked_invalid(matrix), cmap=HEAT, vmin=0)
    names = [f"{number}\nn = {size}" if k <= MOST_VALUES else str(number) for number, size in enumerate(sizes)]
    axis.set_xticks(range(k), names)
    axis.set_yticks(range(k), names)
    axis.tick_params(length=0)
    axis.spines[:].set_visible(False)
    axis.set_xlabel("cluster (n: training rows)")
    axis.set_ylabel("cluster")
    if k <= MOST_VALUES:
        _write_values(axis, matrix)
    for number in range(k):
        axis.add_patch(Rectangle((number - 0.48, number - 0.48), 0.96, 0.96, fill=False, edgecolor=INK, linewidth=1.2))
    bar = figure.colorbar(image, ax=axis, shrink=0.8, label="Euclidean distance")
    bar.outline.set_visible(False)  # type: ignore[operator]
    axis.set_title("Distances of the centroids", pad=18)
    axis.annotate(
        "framed: mean distance of all pairs within the cluster",
        (0, 1),
        (0, 5),
        xycoords="axes fraction",
        textcoords="offset points",
        fontsize=8,
    )
    return figure


def _write_values(axis: Axes, matrix: np.ndarray) -> None:
    middle = np.nanmax(matrix) / 2
    for (row, column), value in np.ndenumerate(matrix):
        known = np.isfinite(value)
        axis.text(
            column,
            row,
            _three_digits(value) if known else "one row",
            ha="center",
            va="center",
            fontsize=9 if len(matrix) <= 10 else 7,
            fontweight="bold" if row == column else "normal",
            color="white" if known and value > middle * 1.1 else INK,
        )


def _three_digits(value: float) -> str:
    return f"{value:.0f}" if value >= 100 else f"{value:#.3g}"


@styled
def dendrogram_figure(
    points: np.ndarray, cluster: np.ndarray, k: int, label: np.ndarray, class_names: list[str], *, of: int
) -> Figure:
    """The top of the Ward tree of training rows, with what each branch holds.

    A link has a cluster's colour where at least `PURITY` of its rows are in that cluster. Below each branch stand
    its number of rows and its shares of clusters and labels.

    Args:
        points: (n, d) training rows, or a sample of them, in the space that was clustered.
        cluster: (n,) int, below k.
        k: number of clusters.
        label: (n,) int, an index into `class_names`.
        class_names: in order.
        of: number of all training rows.
    """
    note = f"{of} training rows" if len(points) == of else f"{len(points)} of {of} training rows, drawn at random"
    tree = linkage(points, "ward")
    members = _members(tree)
    palette = colors(k)
    figure = Figure(figsize=(WIDTH + 1, 5.2), layout="constrained")
    top, by_cluster, by_label = figure.subplots(3, 1, sharex=True, height_ratios=[7, 1, 1])

    def link_color(node: int) -> str:
        counts = np.bincount(cluster[members(node)], minlength=k)
        return palette[int(counts.argmax())] if counts.max() >= PURITY * counts.sum() else NEUTRAL

    drawn = dendrogram(
        tree, p=DENDROGRAM_LEAVES, truncate_mode="lastp", link_color_func=link_color, no_labels=True, ax=top
    )
    leaves: list[int] = drawn["leaves"] or []
    top.set_title(f"Ward dendrogram of {note}", pad=10)
    top.set_ylabel("Ward distance")
    top.spines["bottom"].set_visible(False)
    top.tick_params(bottom=False)
    branches = [members(leaf) for leaf in leaves]
    _draw_shares(by_cluster, [np.bincount(cluster[rows], minlength=k) for rows in branches], palette)
    class_colors = label_colors(len(class_names))
    _draw_shares(by_label, [np.bincount(label[rows], minlength=len(class_names)) for rows in branches], class_colors)
    by_cluster.set_ylabel("cluster", rotation=0, ha="right", va="center")
    by_label.set_ylabel("label", rotation=0, ha="right", va="center")
    by_label.set_xticks([5 + 10 * number for number in range(len(leaves))], [str(len(rows)) for rows in branches])
    by_label.tick_params(axis="x", length=0, labelsize=7, labelrotation=90 if len(points) > 999 else 0)
    by_label.set_xlabel("training rows a branch")
    _legend(by_cluster, [str(number) for number in range(k)], palette)
    _legend(by_label, class_names, class_colors)
    return figure


def _draw_shares(axis: Axes, counts: list[np.ndarray], palette: list[str]) -> None:
    """Stacked bars below the leaves, which scipy draws at 5, 15, 25 …"""
    shares = np.array([count / count.sum() for count in counts])
    bottoms = np.cumsum(shares, axis=1) - shares
    places = 5 + 10 * np.arange(len(shares))
    for number, color in enumerate(palette):
        axis.bar(places, shares[:, number], bottom=bottoms[:, number], width=8.4, color=color)
    axis.set_ylim(0, 1)
    axis.set_yticks([])
    axis.spines[:].set_visible(False)
    axis.tick_params(axis="x", length=0)


def _legend(axis: Axes, names: list[str], palette: list[str]) -> None:
    handles = [Patch(color=color, label=name) for name, color in zip(names, palette, strict=True)]
    axis.legend(
        handles=handles, loc="center left", bbox_to_anchor=(1.005, 0.5), ncol=-(-len(handles) // 4), handlelength=0.9,
        handleheight=0.9, labelspacing=0.2, columnspacing=0.8, borderaxespad=0,
    )  # fmt: skip


def _members(tree: np.ndarray) -> Callable[[int], np.ndarray]:
    """A function from a node of a linkage to its rows: each node holds neighbours in the order of leaves."""
    rows = len(tree) + 1
    order = leaves_list(tree)
    start = np.empty(2 * rows - 1, dtype=np.int64)
    start[order] = np.arange(rows)
    size = np.concatenate([np.ones(rows, dtype=np.int64), tree[:, 3].astype(np.int64)])
    for number, (left, right) in enumerate(tree[:, :2].astype(np.int64)):
        start[rows + number] = min(start[left], start[right])
    return lambda node: order[start[node] : start[node] + size[node]]


@styled
def exemplar_figure(
    rows: Sequence[Sequence[tuple[np.ndarray, int]]], class_names: list[str], sizes: Sequence[int]
) -> Figure:
    """A row of thumbnails for each cluster, the nearest to the centroid first.

    Args:
        rows: for each cluster at most `SHEET_COLUMNS` pairs of a (size, size, 3) or (size, size) uint8 picture and the
            label, an index into `class_names`.
        class_names: in order.
        sizes: (k,) training rows a cluster.
    """
    shown = min(len(rows), SHEET_CLUSTERS)
    title = "Training images nearest to each centroid"
    if shown < len(rows):
        title += f" (the {shown} largest of {len(rows)} clusters)"
    figure = Figure(figsize=(WIDTH + 1.6, 1.12 * shown + 0.5), layout=roomy(0.03))
    figure.suptitle(title, x=0.01, ha="left", fontweight="bold")
    grid = figure.subplots(shown, SHEET_COLUMNS + 1, squeeze=False)
    palette = label_colors(len(class_names))
    for cluster, axes in enumerate(grid):
        _draw_row_name(axes[0], cluster, sizes[cluster], colors(len(rows))[cluster])
        for position, axis in enumerate(axes[1:]):
            if position < len(rows[cluster]):
                picture, label = rows[cluster][position]
                _draw_thumbnail(axis, picture, class_names[label], palette[label])
            else:
                axis.axis("off")
    return figure


def _draw_row_name(axis: Axes, cluster: int, size: int, color: str) -> None:
    axis.axis("off")
    axis.add_patch(Rectangle((0.02, 0.32), 0.06, 0.38, color=color, transform=axis.transAxes))
    axis.text(0.16, 0.59, f"cluster {cluster}", va="center", fontweight="bold")
    axis.text(0.16, 0.42, f"n = {size}", va="center", fontsize=8)


def _draw_thumbnail(axis: Axes, picture: np.ndarray, label: str, color: str) -> None:
    axis.imshow(picture, cmap="gray", vmin=0, vmax=255, interpolation="antialiased")
    axis.set_xticks([])
    axis.set_yticks([])
    axis.spines[:].set_visible(False)
    shown = label if len(label) <= 16 else f"{label[:15]}…"
    axis.set_xlabel(shown, fontsize=7, labelpad=2, color=color)
