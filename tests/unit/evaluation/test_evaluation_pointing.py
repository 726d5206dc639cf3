"""The pointing game, by brute force."""

from __future__ import annotations

import numpy as np
import pandas as pd
import pytest

from heteroscope.config import Pixels
from heteroscope.data.places import Lesions, enlarged, lesions_in_pixels
from heteroscope.evaluation.pointing import peak, play, pointing_table


def make_lesions(*circles: tuple[float, float, float, float]) -> Lesions:
    return Lesions(*(np.array(values, dtype=float) for values in zip(*circles, strict=True)))


@pytest.mark.parametrize("tolerance", [0.0, 3.0])
def test_chance_is_what_all_pixels_would_hit(tolerance: float) -> None:
    lesions, size = make_lesions((20, 30, 8, 5), (24, 30, 9, 4), (62, 2, 6, 6)), 64
    hits = [
        any(
            ((x + 0.5 - cx) / (a + tolerance)) ** 2 + ((y + 0.5 - cy) / (d + tolerance)) ** 2 <= 1
            for cx, cy, a, d in zip(lesions.x, lesions.y, lesions.across, lesions.down, strict=True)
        )
        for y in range(size)
        for x in range(size)
    ]
    game = play(20.0, 30.0, lesions, size, tolerance)
    assert game["lesion_area"] == pytest.approx(np.mean(hits))
    assert game["lesions"] == 3
    assert game["hit"] == 1
    assert game["centre_hit"] == (tolerance > 0)  # 8 pixels from an ellipse of 9, 2 below its middle
    shots = [play(x + 0.5, y + 0.5, lesions, size, tolerance)["hit"] for x in range(0, 64, 9) for y in range(0, 64, 9)]
    assert shots == [hits[y * size + x] for x in range(0, 64, 9) for y in range(0, 64, 9)]


def test_no_peak_is_a_miss_and_no_lesion_no_game() -> None:
    assert play(np.nan, np.nan, make_lesions((5, 5, 3, 3)), 10, 0)["hit"] == 0
    outside = play(5, 5, make_lesions((-30, 5, 3, 3)), 10, 0)
    assert outside["lesions"] == 0
    assert np.isnan(outside["hit"])
    none = Lesions(*[np.empty(0)] * 4)
    assert np.isnan(play(5, 5, none, 10, 4)["hit"])


def test_a_peak_is_a_maximum_of_the_enlarged_map() -> None:
    cam = np.random.default_rng(0).random((7, 5))
    for place in [(3, 2), (0, 0), (6, 4), (0, 4)]:
        cam[place] = 2.0
        x, y = peak(cam, 210)
        whole = enlarged(cam[None], 210, 210)[0]
        assert whole[int(y), int(x)] == pytest.approx(whole.max(), rel=0.02)
        cam[place] = 0
    assert np.isnan(peak(np.zeros((7, 7)), 64)).all()


def test_scores_are_shares_with_patients_as_units() -> None:
    cams = pd.DataFrame(
        {
            "group": ["p", "p", "q", "r", "s"],
            "label": ["a", "b", "b", "b", "a"],
            "right": [True, False, True, True, True],
            "hit": [1.0, 0.0, 1.0, 1.0, np.nan],
            "lesion_area": [0.1, 0.2, 0.1, 0.2, np.nan],
            "centre_hit": [0.0, 0.0, 1.0, 1.0, np.nan],
        }
    )
    table = pointing_table(cams, ["a", "b"]).set_index("images")
    assert table["n"].to_dict() == {"all": 4, "called right": 3, "called wrong": 1, "of a": 1, "of b": 3}
    assert table.loc["all", ["patients", "hits", "share", "chance", "centre"]].tolist() == pytest.approx(
        [3, 3, 0.75, 0.15, 0.5]
    )
    assert table.loc["called wrong", "share"] == 0
    # patients p, q, r with shares 1 of 2, 1 of 1, 1 of 1: drawn thrice, p alone gives the lowest mean
    assert table.loc["all", "low"] == pytest.approx(0.5)
    assert table.loc["all", "high"] == pytest.approx(1.0)
    unknown = pointing_table(cams.assign(hit=np.nan), ["a", "b"])
    assert unknown["n"].tolist() == [0]


@pytest.mark.parametrize("resize", ["squash", "pad"])
def test_lesions_lie_where_the_pixels_show_them(resize: str) -> None:
    row = {"lesion_x": [100.0], "lesion_y": [50.0], "lesion_radius": [10.0], "width": 400, "height": 200, "path": "x"}
    found = lesions_in_pixels(row, Pixels(size=100, resize=resize), {})
    expected = {"squash": (25, 25, 2.5, 5), "pad": (25, 37.5, 2.5, 2.5)}[resize]
    assert [float(v[0]) for v in (found.x, found.y, found.across, found.down)] == pytest.approx(expected)
    assert (
        len(lesions_in_pixels(row | {"lesion_x": None, "lesion_y": None, "lesion_radius": None}, Pixels(), {}).x) == 0
    )
