"""What a figure stands on is written below all else."""

from __future__ import annotations

from pathlib import Path

from matplotlib.figure import Figure

from heteroscope.figures.style import save_figure


def test_the_footer_covers_no_legend_below_the_axes(tmp_path: Path) -> None:
    figure = Figure(layout="constrained")
    figure.subplots().plot([0, 1], label="a line")
    legend = figure.legend(loc="upper left", bbox_to_anchor=(0, 0))
    save_figure(figure, tmp_path / "figure.png", footer="weights: random")
    [footer] = figure.texts
    assert footer.get_window_extent().y1 <= legend.get_window_extent().y0
