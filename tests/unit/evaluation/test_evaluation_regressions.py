"""Errors of predicted numbers against scikit-learn, closed forms, and resampling of patients by hand."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
import pytest
import sklearn.metrics as reference
from matplotlib.collections import PathCollection

from heteroscope.config import Regression
from heteroscope.embedding.samples import Samples
from heteroscope.evaluation.intervals import resample_weights
from heteroscope.evaluation.leaks import seen_rows
from heteroscope.evaluation.regressions import error_scores, prediction_rows, regression_table, scores_of, summary
from heteroscope.figures.regressions import draw_predicted, stands_on
from heteroscope.store import write_json, write_table
from heteroscope.training.regression import train_regression

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
            "image_in_training": False,
            "patient_in_training": np.tile(group == "p7", seeds),
        }
    )


def test_folds_are_joined_and_each_keeps_its_own_training_mean(tmp_path: Path) -> None:
    whole = predictions()
    whole["training_mean"] = np.where(whole["group"].isin(["p1", "p2", "p3", "p4"]), 40.0, 58.0)
    entry = {"backbone": "net", "regression": "forest", "method": "random-forest", "predictions": [], "metrics": []}
    for fold, mean in enumerate((40.0, 58.0)):
        write_table(whole[whole["training_mean"] == mean], tmp_path / f"{fold}.parquet")
        document = {"target": "age", "unknown": {"test": fold + 2}, "weights": "random", "optimistic": False}
        write_json(document, tmp_path / f"{fold}.json")
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
    assert (row["few"], row["optimistic"]) == (False, False)
    # in both folds a patient counts once
    assert (row["test_images_in_training"], row["test_patients_in_training"]) == (0, 1)


@pytest.mark.parametrize(("patients", "few"), [(1, True), (9, True), (10, False)])
def test_few_patients_have_errors_without_intervals(patients: int, few: bool, tmp_path: Path) -> None:
    """Of one patient all resamples are alike: an interval of no width would be told."""
    rows = predictions()
    rows = rows[rows["group"].isin([f"p{number}" for number in range(patients)])]
    scores, baseline = scores_of(rows)
    for found in (scores, baseline):
        assert np.isfinite([found[name]["mean"] for name in ("rmse", "mae")]).all()
        assert np.isnan([found[name][end] for name in BY_SCIKIT_LEARN for end in ("low", "high")]).all() == few
    write_table(rows, tmp_path / "rows.parquet")
    write_json({"target": "age", "unknown": {"test": 0}, "weights": "random"}, tmp_path / "metrics.json")
    entry = {"backbone": "net", "regression": "forest", "method": "random-forest"}
    entry |= {"predictions": [str(tmp_path / "rows.parquet")], "metrics": [str(tmp_path / "metrics.json")]}
    [row] = regression_table([entry]).to_dict("records")
    assert row["few"] == few
    assert np.isnan(row["rmse_low"]) == few


def regressed(group: np.ndarray, part: np.ndarray, *, known: np.ndarray | None = None) -> dict[str, Any]:
    """metrics.json of a regression of a patient's fact on noise that is the patient's own, by the stage's own steps."""
    generator = np.random.default_rng(5)
    _, owner = np.unique(group, return_inverse=True)
    n = len(group)
    features = (generator.normal(size=(owner.max() + 1, 8))[owner] + 0.01 * generator.normal(size=(n, 8))).astype("f4")
    target = np.where(
        np.ones(n, bool) if known is None else known, generator.normal(60, 10, owner.max() + 1)[owner], np.nan
    )
    image_id = np.array([f"i{number}" for number in range(n)], dtype=object)
    samples = Samples(
        features, image_id, np.zeros(n, int), part, np.zeros(n, int), group, ["n"], {"weights": "random (seed 0)"}
    )
    split = pd.DataFrame({"image_id": image_id, "group": group, "part": part})
    images = pd.DataFrame({"image_id": image_id, "content": [f"c{number // 2}" for number in range(n)]})
    spec = Regression.model_validate({"target": "age", "regressor": {"method": "knn", "n_neighbors": 1}})
    trained = train_regression(samples, target, spec, dataset="eyes", threads=1)
    seen = seen_rows(split[np.isfinite(target)], images, ["train"])
    return summary(samples, trained, prediction_rows(samples, trained, seen), "age")


def test_what_leaks_is_counted_and_told() -> None:
    """Two images a patient, with the same bytes: divided by patient, and not."""
    group = np.repeat(np.array([f"p{number:02}" for number in range(40)], dtype=object), 2)
    halves = np.where(np.arange(80) < 40, "train", "test").astype(object)
    apart = regressed(group, halves)
    assert (apart["test_images_in_training"], apart["test_patients_in_training"]) == (0, 0)
    assert apart["metrics"]["r2"]["mean"] < 0
    assert stands_on(apart) == "knn; 95 % intervals; weights: random (seed 0)"
    both = regressed(group, np.tile(np.array(["train", "test"], dtype=object), 40))
    assert (both["test_images_in_training"], both["test_patients_in_training"]) == (40, 40)
    assert both["metrics"]["r2"]["mean"] > 0.9
    assert "40 of 40 test images also in training; 40 of 40 test patients also in training" in stands_on(both)
    assert (both["few"], both["optimistic"]) == (False, False)


def test_images_of_unknown_target_leak_nothing() -> None:
    group = np.repeat(np.array([f"p{number:02}" for number in range(12)], dtype=object), 2)
    known = np.ones(24, dtype=bool)
    known[[0, 3]] = False  # the training image of a patient, and the test image of another
    found = regressed(group, np.tile(np.array(["train", "test"], dtype=object), 12), known=known)
    assert (found["test_images_in_training"], found["test_patients_in_training"]) == (10, 10)


def test_few_test_patients_are_told_in_metrics_and_footer() -> None:
    group = np.repeat(np.array([f"p{number:02}" for number in range(12)], dtype=object), 2)
    found = regressed(group, np.where(np.arange(24) < 16, "train", "test").astype(object))
    assert found["few"]
    assert found["intervals"] == "none: fewer than 10 test patients"
    assert "; few test patients (4): no intervals; " in stands_on(found)


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
