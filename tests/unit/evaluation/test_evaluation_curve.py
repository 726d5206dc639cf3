"""What is read from a curve over training size: points with their band, merged folds, and what more images would do."""

from __future__ import annotations

import numpy as np
import pandas as pd
import pytest
import statsmodels.api as sm

from heteroscope.evaluation.analysis import Analysis
from heteroscope.evaluation.comparison import curve_table
from heteroscope.evaluation.curve import curve_document, curve_sentence, last_doubling, merge_folds, points


def curve(halves: list[float], full: float, *, images: int = 200, seeds: int = 2) -> pd.DataFrame:
    """Random halves with these accuracies, means of seeds that lie apart, and the full set."""
    sets = [(0.5, repeat, value) for repeat, value in enumerate(halves, start=1)] + [(1.0, 0, full)]
    rows = [
        (share, repeat, seed, round(share * images), round(2 * share * images), value + (-0.03, 0.03)[seed])
        for share, repeat, value in sets
        for seed in range(seeds)
    ]
    return pd.DataFrame(rows, columns=["share", "repeat", "seed", "training_images", "training_rows", "accuracy"])


HALVES = [0.80, 0.82, 0.81, 0.83, 0.79]


def test_points_are_means_and_spreads_over_subsets_not_over_seeds() -> None:
    half, full = points(curve(HALVES, 0.9), "accuracy").to_dict("records")
    assert (half["subsets"], half["training_images"], half["training_rows"]) == (5, 100, 200)
    assert half["mean"] == pytest.approx(np.mean(HALVES))
    assert half["sd"] == pytest.approx(np.std(HALVES, ddof=1))
    assert (half["q25"], half["q75"]) == pytest.approx((0.80, 0.82))
    assert (full["subsets"], full["mean"], full["q25"]) == (1, pytest.approx(0.9), pytest.approx(0.9))
    assert np.isnan(full["sd"])
    assert full["low"] == full["high"] == full["mean"]


def test_the_band_is_the_prediction_interval_of_a_regression_on_nothing() -> None:
    half = points(curve(HALVES, 0.9), "accuracy").iloc[0]
    fitted = sm.OLS(HALVES, np.ones(len(HALVES))).fit()
    expected = fitted.get_prediction([[1.0]]).conf_int(obs=True, alpha=0.05)[0]
    np.testing.assert_allclose([half["low"], half["high"]], expected)


def test_the_band_holds_nineteen_of_twenty_further_subsets() -> None:
    generator = np.random.default_rng(0)
    inside = []
    for _ in range(400):
        *halves, further = generator.normal(0.8, 0.02, 11)
        half = points(curve(halves, 0.9), "accuracy").iloc[0]
        inside.append(half["low"] <= further <= half["high"])
    assert np.mean(inside) == pytest.approx(0.95, abs=0.03)


@pytest.mark.parametrize(
    ("full", "says"),
    [
        (0.90, "more images would probably help"),
        (0.82, "cannot tell whether more images would help"),
        (0.70, "did harm"),
    ],
)
def test_the_sentence_holds_the_last_doubling_against_the_spread_of_halves(full: float, says: str) -> None:
    sentence = curve_sentence(curve(HALVES, full), "accuracy")
    assert sentence.endswith(f"{says}.")
    assert "With 100 of the 200 training images (mean of 5 random subsets)" in sentence
    assert f"accuracy is 81.0%, with all of them {full:.1%} ({100 * (full - 0.81):+.1f} points" in sentence


def test_more_images_hardly_help_only_where_a_larger_gain_is_ruled_out() -> None:
    close = [0.810, 0.811, 0.809, 0.810, 0.812]
    assert "would hardly help" in curve_sentence(curve(close, 0.811), "accuracy")
    found = last_doubling(curve(close, 0.811), "accuracy")
    assert found is not None
    assert found.interval_95[0] < 0 < found.interval_95[1] < 0.01
    assert found.gain == pytest.approx(0.811 - np.mean(close))
    assert "would probably help" in curve_sentence(curve(close, 0.83), "accuracy")


def test_without_a_half_there_is_no_doubling() -> None:
    alone = curve(HALVES, 0.9).query("share == 1")
    assert last_doubling(alone, "accuracy") is None
    assert "too small for a curve" in curve_sentence(alone, "accuracy")
    document = curve_document(alone, "accuracy")
    assert document["last_doubling"] is None
    assert [size["training_images"] for size in document["sizes"]] == [200]


def test_the_document_holds_sizes_and_means() -> None:
    document = curve_document(curve(HALVES, 0.9), "accuracy")
    assert [(size["share"], size["training_images"], size["subsets"]) for size in document["sizes"]] == [
        (0.5, 100, 5),
        (1.0, 200, 1),
    ]
    assert document["last_doubling"]["gain"] == pytest.approx(0.09)


def test_folds_are_averaged_by_size_order_and_seed() -> None:
    first, second = curve(HALVES, 0.9, images=200), curve([value - 0.1 for value in HALVES], 0.7, images=202)
    small = first[first["share"] == 0.5].assign(share=0.25)
    merged = merge_folds([pd.concat([small, first]), second.sample(frac=1, random_state=0)])
    assert merged["share"].unique().tolist() == [0.5, 1.0], "a size that one fold lacks"
    assert len(merged) == len(first)
    for row in merged.to_dict("records"):
        key = f"share == {row['share']} and repeat == {row['repeat']} and seed == {row['seed']}"
        expected = [fold.query(key)["accuracy"].item() for fold in (first, second)]
        assert row["accuracy"] == pytest.approx(np.mean(expected))
    assert points(merged, "accuracy")["training_images"].tolist() == [100.5, 201]
    pd.testing.assert_frame_equal(merge_folds([first]), first, check_dtype=False)


def test_the_table_has_the_published_metrics_and_the_studys_own(analysis: Analysis) -> None:
    table = curve_table(analysis, "f1")
    assert table["share"].tolist() == [0.25, 0.5, 1.0]
    assert table["subsets"].tolist() == [10, 10, 1]
    for name in ("accuracy", "auc", "sensitivity", "specificity", "f1"):
        expected = analysis.curve.groupby(["share", "repeat"])[name].mean().groupby("share").agg(["mean", "std"])
        np.testing.assert_allclose(table[[name, f"{name}_sd"]], expected)
    assert table["selection"].unique().tolist() == ["validation"]
