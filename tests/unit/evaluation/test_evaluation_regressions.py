"""Errors of predicted numbers against scikit-learn, closed forms, and resampling of patients by hand."""

from __future__ import annotations

import json
from pathlib import Path

import numpy as np
import pandas as pd
import pytest
import sklearn.metrics as reference
from matplotlib.collections import PathCollection

from heteroscope.evaluation.intervals import resample_weights
from heteroscope.evaluation.regressions import error_scores, regression_table, scores_of
from heteroscope.figures.regressions import draw_predicted
from heteroscope.store import write_json, write_table

BY_SCIKIT_LEARN = {
    "rmse": reference.root_mean_squared_error,
    "mae": reference.mean_absolute_error,
    "r2": reference.r2_score,
}


def world(seeds: int = 3, patients: int = 20) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    """Predictions of ages, ages, and patients of one to four images each, in any order."""
    generator = np.random.default_rng(0)
    group = generator.permutation(np.repeat(np.arange(patients), 1 + np.arange(patients) % 4))
    target = generator.normal(60, 10, patients)[group] + generator.normal(0, 3, len(group))
    predicted = target + generator.normal(0, 6, (seeds, len(group)))
    return predicted, target, np.array([f"p{number}" for number in group])


@pytest.mark.parametrize("measure", BY_SCIKIT_LEARN)
def test_errors_are_scikit_learns_and_their_intervals_those_of_patients_drawn_by_hand(measure: str) -> None:
    predicted, target, group = world()
    found = error_scores(predicted, target, group)[measure]
    score = BY_SCIKIT_LEARN[measure]
    each = [score(target, one) for one in predicted]
    assert found["mean"] == pytest.approx(np.mean(each))
    assert found["sd"] == pytest.approx(np.std(each, ddof=1))
    names = np.unique(group)
    drawn = []
    for counts in resample_weights(len(names)):
        rows = np.concatenate([np.repeat(np.flatnonzero(group == names[p]), count) for p, count in enumerate(counts)])
        drawn.append(np.mean([score(target[rows], one[rows]) for one in predicted]))
    assert (found["low"], found["high"]) == pytest.approx(tuple(np.quantile(drawn, [0.025, 0.975])))


def test_closed_forms() -> None:
    target, group = np.array([1.0, 2.0, 3.0, 4.0]), np.array(["a", "b", "c", "d"])
    scores = error_scores(np.stack([target + 2, target - 2]), target, group)
    assert {name: score["mean"] for name, score in scores.items()} == pytest.approx(
        {"rmse": 2.0, "mae": 2.0, "r2": 1 - 4 / 1.25}
    )
    assert error_scores(np.full((1, 4), 2.5), target, group)["r2"]["mean"] == pytest.approx(0)
    assert error_scores(target[None], target, group)["r2"]["mean"] == 1
    far = error_scores(np.full((1, 4), 2.5), target + 1e6, group)  # digits are kept
    assert far["mae"]["mean"] == pytest.approx(1e6)
    assert error_scores(target[None] + 1e6, target + 1e6, group)["r2"]["mean"] == 1


def test_r2_of_a_target_that_does_not_vary_is_not_defined() -> None:
    group = np.array(["a", "b", "c"])
    scores = error_scores(np.array([[60.1, 60.2, 60.3]]), np.full(3, 60.1), group)
    assert np.isnan([scores["r2"][name] for name in ("mean", "low", "high")]).all()
    assert scores["mae"]["mean"] == pytest.approx(0.1)


def predictions(seeds: int = 2) -> pd.DataFrame:
    predicted, target, group = world(seeds)
    n = len(target)
    return pd.DataFrame(
        {
            "seed": np.repeat(np.arange(seeds), n),
            "image_id": np.tile([f"{number:016x}" for number in range(n)], seeds),
            "group": np.tile(group, seeds),
            "target": np.tile(target, seeds),
            "predicted": predicted.ravel(),
            "training_mean": 58.0,
        }
    )


def test_folds_are_joined_and_each_keeps_its_own_training_mean(tmp_path: Path) -> None:
    whole = predictions()
    whole["training_mean"] = np.where(whole["group"].isin(["p1", "p2", "p3", "p4"]), 40.0, 58.0)
    entry = {"backbone": "net", "regression": "forest", "method": "random-forest", "predictions": [], "metrics": []}
    for fold, mean in enumerate((40.0, 58.0)):
        write_table(whole[whole["training_mean"] == mean], tmp_path / f"{fold}.parquet")
        write_json({"target": "age", "unknown": {"test": fold + 2}, "weights": "random"}, tmp_path / f"{fold}.json")
        entry["predictions"].append(str(tmp_path / f"{fold}.parquet"))
        entry["metrics"].append(str(tmp_path / f"{fold}.json"))
    [row] = regression_table(json.loads(json.dumps([entry]))).to_dict("records")
    scores, _ = scores_of(whole)
    assert row["rmse"] == pytest.approx(scores["rmse"]["mean"])
    assert row["r2_low"] == pytest.approx(scores["r2"]["low"])
    first = whole[whole["seed"] == 0]
    for name, score in BY_SCIKIT_LEARN.items():
        assert row[f"{name}_of_mean"] == pytest.approx(score(first["target"], first["training_mean"]))
    assert (row["seeds"], row["images"], row["patients"], row["unknown"]) == (2, len(first), 20, 5)
    assert (row["target"], row["method"], row["weights"]) == ("age", "random-forest", "random")


def test_the_figure_has_a_point_an_image_and_one_scale() -> None:
    predicted, target, group = world()
    figure = draw_predicted(
        predicted.mean(axis=0), target, error_scores(predicted, target, group), mean=58.0, name="age"
    )
    [axis] = figure.axes
    [points] = [drawn for drawn in axis.collections if isinstance(drawn, PathCollection)]
    np.testing.assert_allclose(points.get_offsets(), np.column_stack([target, predicted.mean(axis=0)]))
    assert axis.get_xlim() == axis.get_ylim()
    np.testing.assert_array_equal(*axis.lines[0].get_data())
    assert list(axis.lines[1].get_ydata()) == [58.0, 58.0]
    assert "RMSE" in axis.texts[0].get_text()


def test_the_figure_says_where_r2_is_not_defined() -> None:
    group = np.array(["a", "b", "c"])
    predicted, target = np.array([[60.1, 60.2, 60.3]]), np.full(3, 60.1)
    figure = draw_predicted(predicted[0], target, error_scores(predicted, target, group), mean=58.0, name="age")
    assert "R² not defined" in figure.axes[0].texts[0].get_text()
    assert "nan" not in figure.axes[0].texts[0].get_text()
