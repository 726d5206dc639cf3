"""Figure of what a model calls the test images of each class."""

from __future__ import annotations

from typing import Any

import numpy as np
import pandas as pd
from matplotlib.axes import Axes
from matplotlib.figure import Figure
from matplotlib.image import AxesImage

from heteroscope.figures.style import HEAT, INK, MISSING, styled

MOST_VALUES = 12  # classes up to which a heat map can show its values
DARK = 0.6  # share beyond which white text is read better
LONGEST = 20  # letters of a class's name that are shown
UPRIGHT = 10  # letters up to which names stand side by side


@styled
def draw_confusion(table: pd.DataFrame, *, title: str = "What the pooled head calls each class") -> Figure:
    """Heat map of what the test images of each class (rows) are called (columns).

    The colour is the share of the class; the number is that of images, a mean over seeds.

    Args:
        table: `confusions.confusions` of one model.
        title: what is drawn.
    """
    names = list(dict.fromkeys(table["class"].astype(str)))
    side = float(np.clip(0.95 * len(names), 2.6, 12))
    figure = Figure(figsize=(side + 2.6, side + 1.4), layout="constrained")
    axis = figure.subplots()
    image = draw_cells(axis, table)
    shown = [name if len(name) <= LONGEST else f"{name[: LONGEST - 1]}…" for name in names]
    slant: dict[str, Any] = {"rotation": 30, "ha": "right"} if max(map(len, shown)) > UPRIGHT else {}
    axis.set_xticks(range(len(names)), shown, **slant)
    counts = table.groupby("class", sort=False)["images"].sum()
    tested = [f"{name}\nn = {count:.0f}" for name, count in zip(shown, counts, strict=True)]
    axis.set_yticks(range(len(names)), tested)
    axis.set_xlabel("called")
    axis.set_ylabel("class (n: test images)")
    axis.set_title(title, pad=18)
    axis.annotate("images, a mean over seeds, and share of the class", (0, 1), xytext=(0, 5), fontsize=8,
                  xycoords="axes fraction", textcoords="offset points")  # fmt: skip
    bar = figure.colorbar(image, ax=axis, shrink=0.8, label="share of the class")
    bar.outline.set_visible(False)  # type: ignore[operator]
    return figure


def draw_cells(axis: Axes, table: pd.DataFrame, *, font: float = 8.5) -> AxesImage:
    """The heat map alone, with the number and share of each cell where they fit.

    Args:
        axis: where to.
        table: `confusions.confusions` of one model.
        font: size of the numbers.
    """
    classes = table["class"].nunique()
    images, share = (table[name].to_numpy().reshape(classes, -1) for name in ("images", "share"))
    axis.set_facecolor(MISSING)
    if classes <= MOST_VALUES:
        for (row, column), value in np.ndenumerate(share):
            percent = f"{value:.1%}" if np.isfinite(value) else "–"
            axis.text(
                column, row, f"{_count(float(images[row, column]))}\n{percent}", ha="center", va="center",
                fontsize=font, color="white" if value > DARK else INK,
            )  # fmt: skip
    axis.tick_params(length=0)
    axis.spines[:].set_visible(False)
    return axis.imshow(np.ma.masked_invalid(share), cmap=HEAT, vmin=0, vmax=1)


def _count(images: float) -> str:
    """A mean number of images: parts of one only where they matter."""
    return f"{images:.0f}" if images >= 100 else f"{images:.3g}"
