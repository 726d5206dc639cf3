"""Figures of a trained network: its training curves, and sheets of what it calls test images."""

from __future__ import annotations

from collections.abc import Hashable, Mapping, Sequence
from typing import Any

import numpy as np
import pandas as pd
from matplotlib.axes import Axes
from matplotlib.figure import Figure
from matplotlib.patches import Patch
from matplotlib.ticker import MaxNLocator

from heteroscope.figures.style import NEUTRAL, PALETTE, WIDTH, label_colors, roomy, styled

COLUMNS = 6
THUMBNAIL = 1.2  # inches
FRAME = 3.0  # points
LONGEST = 16  # letters of a class's name that are shown
SHARES = ("accuracy", "held out,\nmean over classes")
PANELS = {  # name → label → column, colour, marker
    "loss": {
        "training": ("training_loss", PALETTE[0], "o"),
        "held out": ("held_out_loss", PALETTE[5], "s"),
    },
    SHARES[0]: {
        "training": ("training_accuracy", PALETTE[0], "o"),
        "held out": ("held_out_accuracy", PALETTE[5], "s"),
    },
    SHARES[1]: {
        "precision": ("held_out_precision", PALETTE[1], "^"),
        "recall": ("held_out_recall", PALETTE[2], "v"),
        "F1": ("held_out_f1", PALETTE[3], "D"),
    },
    "learning rate\nat the epoch's end": {"": ("learning_rate", PALETTE[0], "o")},
}


@styled
def draw_curves(history: pd.DataFrame) -> Figure:
    """Loss, accuracy, held-out means over classes and learning rate by epoch, and the epoch whose weights are kept.

    Args:
        history: as `training.finetune` gives it.
    """
    figure = Figure(figsize=(WIDTH, 7.0), layout="constrained")
    axes = figure.subplots(len(PANELS), 1, sharex=True, height_ratios=[3, 3, 3, 2])
    epoch = history["epoch"]
    kept = int(epoch[history["selected"] == 1].iloc[0])
    for axis, (name, lines) in zip(axes, PANELS.items(), strict=True):
        axis.axvline(kept, color=NEUTRAL, linewidth=1, linestyle="--", label=f"kept: epoch {kept}", zorder=1)
        for label, (column, color, marker) in lines.items():
            axis.plot(epoch, history[column], color=color, marker=marker, markersize=3.5, label=label or None)
        axis.set_ylabel(name)
        axis.grid(axis="y")
        if name in SHARES:
            axis.set_ylim(top=min(1.02, axis.get_ylim()[1]))
    axes[-1].set_ylim(bottom=0)
    axes[-1].ticklabel_format(axis="y", style="sci", scilimits=(-2, 3))
    axes[-1].set_xlabel("epoch")
    axes[-1].xaxis.set_major_locator(MaxNLocator(integer=True, min_n_ticks=1))
    axes[0].set_title("Training by epoch")
    axes[0].legend(loc="lower right", bbox_to_anchor=(1, 1), ncols=3, borderaxespad=0.2)
    means = [line for line in axes[2].lines if line.get_label() in PANELS[SHARES[1]]]
    axes[2].legend(handles=means, loc="lower right", bbox_to_anchor=(1, 1), ncols=3, borderaxespad=0.2)
    return figure


@styled
def draw_called(
    called: pd.DataFrame, pictures: Mapping[str, np.ndarray], class_names: Sequence[str], *, title: str
) -> Figure:
    """A sheet of images with their class, what they are called and how surely; the frame is the class.

    Args:
        called: rows of `evaluation.networks.called_table`, one a place; none gives an empty sheet.
        pictures: image id → (size, size, 3) or (size, size) uint8.
        class_names: in the order of labels.
        title: above the sheet.
    """
    rows = max(-(-len(called) // COLUMNS), 1)
    figure = Figure(figsize=(THUMBNAIL * COLUMNS, 1.24 * THUMBNAIL * rows + 0.9), layout=roomy(0.03))
    grid = figure.subplots(rows, COLUMNS, squeeze=False)
    color = dict(zip(class_names, label_colors(len(class_names)), strict=True))
    for axis, row in zip(grid.flat, called.to_dict("records"), strict=False):
        _draw_image(axis, pictures[row["image_id"]], row, color)
    for axis in list(grid.flat)[len(called) :]:
        axis.axis("off")
    figure.suptitle(title, x=0.01, ha="left", fontweight="bold")
    handles = [Patch(facecolor=color[name], label=name) for name in class_names]
    figure.legend(handles=handles, loc="outside lower left", ncol=min(len(handles), 6), handlelength=0.9,
                  title="frame: class. Below: what it is called, probability; × where that is wrong",
                  alignment="left", title_fontsize=8)  # fmt: skip
    return figure


def _draw_image(axis: Axes, picture: np.ndarray, row: Mapping[Hashable, Any], color: Mapping[str, str]) -> None:
    axis.imshow(picture, cmap="gray", vmin=0, vmax=255, interpolation="antialiased")
    axis.set_xticks([])
    axis.set_yticks([])
    axis.spines[:].set(visible=True, color=color[str(row["class"])], linewidth=FRAME)
    name = str(row["called"])
    name = name if len(name) <= LONGEST else f"{name[: LONGEST - 1]}…"
    wrong = " ×" if row["called"] != row["class"] else ""
    axis.set_xlabel(f"{name}\n{row['probability']:.2f}{wrong}", fontsize=7, labelpad=3, color=color[str(row["called"])])
