from pathlib import Path

import pandas as pd
from matplotlib.patches import Rectangle

from heteroscope.figures.counts import PART_COLORS, counts_figure, draw_counts

COUNTS = pd.DataFrame(
    [
        ("class", "normal", "train", 60, 30),
        ("class", "normal", "test", 20, 10),
        ("class", "disease", "train", 30, 15),
        ("class", "disease", "test", 1, 1),
        ("sex", "F", "train", 90, 45),
        ("sex", "F", "test", 21, 11),
    ],
    columns=["variable", "level", "part", "images", "groups"],
)


def test_bars_have_the_counts_lengths_and_colours() -> None:
    axes = counts_figure(COUNTS).axes
    assert [axis.get_title(loc="left") for axis in axes] == ["class", "sex"]
    bars = [patch for patch in axes[0].patches if isinstance(patch, Rectangle)]
    assert sorted(bar.get_width() for bar in bars) == [1, 20, 30, 60]
    assert [text.get_text() for text in axes[0].texts if text.get_text()] == ["60", "30", "20"]  # 1 has no room
    assert [label.get_text() for label in axes[0].get_yticklabels()] == ["normal", "disease"]
    test = [bar for bar in bars if bar.get_width() == 20]
    assert test[0].get_x() == 60
    assert len(set(PART_COLORS.values())) == 4


def test_folds_are_drawn_in_their_order() -> None:
    counts = pd.DataFrame(
        [("class", "normal", f"fold {number}", 10 * number, 5) for number in (10, 2, 1)]
        + [("class", "normal", "backbone", 7, 3)],
        columns=["variable", "level", "part", "images", "groups"],
    )
    figure = counts_figure(counts)
    assert [text.get_text() for text in figure.legends[0].get_texts()] == ["fold 1", "fold 2", "fold 10", "backbone"]
    bars = [patch for patch in figure.axes[0].patches if isinstance(patch, Rectangle)]
    assert [bar.get_width() for bar in bars] == [10, 20, 100, 7]
    assert len({bar.get_facecolor() for bar in bars}) == 4


def test_same_counts_same_bytes(tmp_path: Path) -> None:
    draw_counts(COUNTS, tmp_path / "a.png")
    draw_counts(COUNTS, tmp_path / "b.png")
    assert (tmp_path / "a.png").read_bytes() == (tmp_path / "b.png").read_bytes()
