"""What a figure stands on is written below all else."""

from __future__ import annotations

from pathlib import Path

import matplotlib.image
import numpy as np
import pytest
from matplotlib.figure import Figure

from heteroscope.figures.style import save_figure


def test_the_footer_covers_no_legend_below_the_axes(tmp_path: Path) -> None:
    figure = Figure(layout="constrained")
    figure.subplots().plot([0, 1], label="a line")
    legend = figure.legend(loc="upper left", bbox_to_anchor=(0, 0))
    save_figure(figure, tmp_path / "figure.png", footer="weights: random")
    [footer] = figure.texts
    assert footer.get_window_extent().y1 <= legend.get_window_extent().y0


@pytest.mark.parametrize("footer", ["", "weights: random"])
def test_the_footer_stands_below_a_legend_at_the_figures_edge(tmp_path: Path, footer: str) -> None:
    figure = Figure(layout="constrained")
    figure.subplots().plot([0, 1], label="a line")
    figure.legend(loc="outside lower left", facecolor="red", framealpha=1)
    save_figure(figure, tmp_path / "figure.png", footer=footer)
    pixels = matplotlib.image.imread(tmp_path / "figure.png")[..., :3]
    lowest = np.flatnonzero((pixels == [1, 0, 0]).all(axis=2).any(axis=1)).max()
    frame = 8  # rows of pixels
    written = (pixels[lowest + frame :] < 0.9).any()
    assert written == bool(footer)
