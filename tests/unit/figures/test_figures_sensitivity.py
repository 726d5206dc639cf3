"""The figure of all analyses shows each at its own value, by growing k, and survives those that cannot answer."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pandas as pd
import pytest
from matplotlib.axes import Axes
from matplotlib.colors import to_hex

from heteroscope.figures.sensitivity import draw_sensitivity
from heteroscope.figures.style import PALETTE, save_figure


@pytest.fixture
def table() -> pd.DataFrame:
    """Two backbones and three clusterings; of the last analysis nothing is known."""
    generator = np.random.default_rng(0)
    rows = [
        {"backbone": backbone, "clustering": clustering, "k": k, "primary": (backbone, k) == ("a", 4)}
        for backbone in ("a", "b")
        for clustering, k in (("kmeans-4", 4), ("kmeans-2", 2), ("ward-4", 4))
    ]
    frame = pd.DataFrame(rows).assign(primary=lambda t: t["primary"] & (t["clustering"] == "kmeans-4"))
    gain = generator.normal(0, 0.03, 6)
    frame = frame.assign(
        verdict=["different", "nonlinear rule", "undecided", "equivalent", "undecided", "not assessable"],
        p=[0.0025, 0.01, 0.2, 0.5, 1.0, np.nan],
        p_nonlinear=[0.005, 0.3, 0.2, 0.4, 0.9, np.nan],
        accuracy_gain=gain,
        accuracy_gain_low=gain - 0.02,
        accuracy_gain_high=gain + 0.03,
    )
    frame.loc[5, [name for name in frame if str(name).startswith("accuracy_gain")]] = np.nan
    return frame


def marks(axis: Axes) -> dict[str, tuple[np.ndarray, float, str]]:
    """Name → x values, height and colour."""
    return {
        str(line.get_gid()): (np.asarray(line.get_xdata()), line.get_ydata()[0], to_hex(line.get_color()))
        for line in axis.lines
        if line.get_gid() and " " in str(line.get_gid())
    }


def test_each_analysis_stands_at_its_values_in_its_own_row(table: pd.DataFrame) -> None:
    gains, ps = draw_sensitivity(table, level=0.05, margin=0.03).axes
    shown = marks(gains) | marks(ps)
    heights = []
    for row in table.to_dict("records"):
        name = f"{row['backbone']}/{row['clustering']}"
        expected = {
            "gain": [100 * row["accuracy_gain"]],
            "interval": [100 * row["accuracy_gain_low"], 100 * row["accuracy_gain_high"]],
            "p": [row["p"]],
            "curved": [row["p_nonlinear"]],
        }
        for kind, values in expected.items():
            x, y, color = shown[f"{kind} {name}"]
            np.testing.assert_allclose(x, values)
            assert color == PALETTE[["a", "b"].index(row["backbone"])].lower()
            heights.append(y)
    assert len(set(heights)) == 6
    assert all(len(set(heights[row : row + 4])) == 1 for row in range(0, 24, 4))


def test_clusterings_stand_together_by_growing_k(table: pd.DataFrame) -> None:
    gains, ps = draw_sensitivity(table, level=0.05, margin=0.03).axes
    shown = marks(gains)
    names = sorted((name for name in shown if name.startswith("gain ")), key=lambda name: shown[name][1])
    assert [name.removeprefix("gain ") for name in names] == [
        f"{backbone}/{clustering}" for clustering in ("kmeans-2", "kmeans-4", "ward-4") for backbone in ("a", "b")
    ]
    low, high = gains.get_ylim()
    assert low > high, "the smallest k stands at the top"
    texts = [label.get_text() for label in gains.get_yticklabels()]
    assert texts == ["kmeans-2\n(k = 2)", "kmeans-4\n(k = 4)", "ward-4\n(k = 4)"]
    for text, tick in zip(texts, gains.get_yticks(), strict=True):
        both = [shown[f"gain {backbone}/{text.split()[0]}"][1] for backbone in "ab"]
        assert tick == pytest.approx(np.mean(both))
    verdicts = {round(text.xy[1], 6): text.get_text() for text in ps.texts}  # type: ignore[attr-defined]
    for row in table.to_dict("records"):
        height = shown[f"gain {row['backbone']}/{row['clustering']}"][1]
        assert verdicts[round(height, 6)] == row["verdict"]


def test_margin_level_and_every_p_are_in_sight(table: pd.DataFrame) -> None:
    gains, ps = draw_sensitivity(table, level=0.05, margin=0.03).axes
    [band] = [patch for patch in gains.patches if patch.get_gid() == "margin"]
    np.testing.assert_allclose(band.get_extents().transformed(gains.transData.inverted()).intervalx, [-3, 3])
    [line] = [line for line in ps.lines if line.get_gid() == "level"]
    assert list(line.get_xdata()) == [0.05, 0.05]
    low, high = ps.get_xlim()
    assert low < 0.0025
    assert high > 1


def test_one_analysis_and_none_that_can_answer(table: pd.DataFrame, tmp_path: Path) -> None:
    for name, frame in {"one": table.head(1), "none": table.tail(1)}.items():
        figure = draw_sensitivity(frame, level=0.05, margin=0.05)
        save_figure(figure, tmp_path / f"{name}.png", footer="weights: random")
        assert [text.get_text() for text in figure.axes[1].texts] == frame["verdict"].tolist()


def test_the_same_bytes_twice(table: pd.DataFrame, tmp_path: Path) -> None:
    for name in ("one", "two"):
        save_figure(draw_sensitivity(table, level=0.05, margin=0.05), tmp_path / f"{name}.png")
    assert (tmp_path / "one.png").read_bytes() == (tmp_path / "two.png").read_bytes()
