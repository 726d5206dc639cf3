"""Sheet of an image search: queries and the images nearest to them."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
from matplotlib.axes import Axes
from matplotlib.figure import Figure
from matplotlib.patches import Patch

from heteroscope.figures.style import label_colors, roomy, styled

SHEET_NEAREST = 8
FRAME = 3.0  # points
THUMBNAIL = 0.98  # inches


@dataclass(frozen=True)
class Shown:
    """An image on the sheet.

    Attributes:
        picture: (size, size, 3) or (size, size) uint8.
        label: an index into the names of the classes.
        similarity: to the query; NaN of the query itself.
    """

    picture: np.ndarray
    label: int
    similarity: float = np.nan


@styled
def retrieval_figure(rows: Sequence[Sequence[Shown]], class_names: list[str], *, title: str) -> Figure:
    """A row a query: itself, then the images found, the nearest first, framed in the colours of their classes.

    Args:
        rows: of each query itself and at most `SHEET_NEAREST` found images.
        class_names: in the order of labels.
        title: above the sheet.
    """
    columns = max(map(len, rows))
    figure = Figure(figsize=(THUMBNAIL * (columns + 0.35), 1.17 * THUMBNAIL * len(rows) + 0.9), layout=roomy(0.03))
    # an empty column between queries and what they find
    grid = figure.subplots(len(rows), columns + 1, squeeze=False, width_ratios=[1, 0.35, *[1] * (columns - 1)])
    palette = label_colors(len(class_names))
    for number, (axes, row) in enumerate(zip(grid, rows, strict=True)):
        places = [axes[0], *axes[2:]]
        axes[1].axis("off")
        for axis in places[len(row) :]:
            axis.axis("off")
        for rank, (axis, shown) in enumerate(zip(places, row, strict=False)):
            _draw(axis, shown, palette[shown.label], wrong=shown.label != row[0].label)
            if number == 0:
                axis.set_title("query" if rank == 0 else str(rank), fontsize=8, loc="center")
    figure.suptitle(title, x=0.01, ha="left", fontweight="bold")
    handles = [Patch(facecolor=color, label=name) for name, color in zip(class_names, palette, strict=True)]
    figure.legend(handles=handles, loc="outside lower left", ncol=min(len(handles), 6), handlelength=0.9,
                  title="frame: class. Below: cosine similarity, × of another class than the query",
                  alignment="left", title_fontsize=8)  # fmt: skip
    return figure


def _draw(axis: Axes, shown: Shown, color: str, *, wrong: bool) -> None:
    axis.imshow(shown.picture, cmap="gray", vmin=0, vmax=255, interpolation="antialiased")
    axis.set_xticks([])
    axis.set_yticks([])
    axis.spines[:].set(visible=True, color=color, linewidth=FRAME)
    if np.isfinite(shown.similarity):
        axis.set_xlabel(f"{shown.similarity:.3f}{' ×' if wrong else ''}", fontsize=7, labelpad=3, color=color)
