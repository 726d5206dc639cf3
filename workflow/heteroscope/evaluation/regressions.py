"""Errors of predicted numbers: RMSE, MAE and R², with intervals over patients, beside those of the training mean."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import asdict
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np
import pandas as pd

from heteroscope.embedding.samples import Samples
from heteroscope.evaluation.baseline import EMBEDDING
from heteroscope.evaluation.intervals import BOOTSTRAPS, resample_weights, sums_by_patient
from heteroscope.evaluation.models import Scores, score_columns
from heteroscope.evaluation.scores import estimate
from heteroscope.store import read_json, read_table

if TYPE_CHECKING:
    from heteroscope.training.regression import Regressed

MEASURES = ("rmse", "mae", "r2")
INTERVALS = f"95 %, percentiles of {BOOTSTRAPS} bootstraps of patients, conditional on the trained regressors"


def error_scores(predicted: np.ndarray, target: np.ndarray, group: np.ndarray) -> Scores:
    """RMSE, MAE and R²: mean and sd over seeds, and the ends of the 95 % interval over patients.

    R² is one minus the mean squared error over the variance of the target among the same images: what always says their
    mean has 0, and what is worse than that less. It is not defined where the target does not vary.

    Args:
        predicted: (seeds, n).
        target: (n,).
        group: (n,) patients.
    """
    _, patient = np.unique(group, return_inverse=True)
    patients = int(patient.max()) + 1
    weight = np.vstack([np.ones((1, patients), dtype=np.int64), resample_weights(patients)])
    error = predicted - target
    centred = target - target.mean()  # sums of squares then keep their digits

    def means(values: np.ndarray) -> np.ndarray:
        """Of values (seeds, n), in every resample: (resamples, seeds)."""
        sums = sums_by_patient(np.column_stack([values.T, np.ones(len(target))]), patient, patients)
        drawn = weight @ sums
        return np.asarray(drawn[:, :-1] / drawn[:, -1:])

    squared = means(error**2)
    variance = means(centred[None] ** 2) - means(centred[None]) ** 2
    # of one value again and again only the noise of rounding is left
    variance[variance <= 1e-12 * (centred**2).max()] = np.nan
    values = {"rmse": np.sqrt(squared), "mae": means(np.abs(error)), "r2": 1 - squared / variance}
    return {name: estimate(values[name]) for name in MEASURES}


def prediction_rows(samples: Samples, trained: Regressed) -> pd.DataFrame:
    """One row a seed and test image: the target, what is predicted, and the training mean beside it."""
    seeds = len(trained.predicted)
    return pd.DataFrame(
        {
            "seed": np.repeat(np.arange(seeds), len(trained.test)),
            "image_id": np.tile(samples.image_id[trained.test], seeds),
            "group": np.tile(samples.group[trained.test], seeds),
            "target": np.tile(trained.target, seeds),
            "predicted": trained.predicted.ravel(),
            "training_mean": trained.mean,
        }
    )


def scores_of(predictions: pd.DataFrame) -> tuple[Scores, Scores]:
    """The scores of the regressor and of the training mean, from `prediction_rows` of one or of all folds."""
    ordered = predictions.sort_values("seed", kind="stable")
    first = ordered[ordered["seed"] == 0]
    target, group = first["target"].to_numpy(), first["group"].to_numpy()
    predicted = ordered["predicted"].to_numpy().reshape(-1, len(first))
    return error_scores(predicted, target, group), error_scores(first["training_mean"].to_numpy()[None], target, group)


def summary(samples: Samples, trained: Regressed, predictions: pd.DataFrame, target: str) -> dict[str, Any]:
    """What `metrics.json` of a regression holds: errors, those of the training mean, and what they stand on."""
    scores, baseline = scores_of(predictions)
    return {
        "target": target,
        "metrics": scores,
        "baseline": baseline,
        "intervals": INTERVALS,
        "training_mean": trained.mean,
        "regressor": trained.spec.regressor.model_dump(mode="json"),
        "tuned": [asdict(candidate) for candidate in trained.candidates],
        "rows": {"train": trained.trained, "test": len(trained.test)},
        "unknown": trained.unknown,
        "test_patients": len(np.unique(samples.group[trained.test])),
        "features": samples.features.shape[1],
        "seeds": len(trained.predicted),
        **{name: str(samples.embedding.get(name, "")) for name in EMBEDDING},
    }


def regression_table(regressed: Sequence[Mapping[str, Any]]) -> pd.DataFrame:
    """A row a backbone and regression, all folds together.

    Args:
        regressed: `Layout.regressed`: names, and the files of every fold.

    Raises:
        StoreError: a file is missing or damaged.
    """
    rows = []
    for entry in regressed:
        predictions = pd.concat([read_table(Path(path)) for path in entry["predictions"]], ignore_index=True)
        summaries = [read_json(Path(path)) for path in entry["metrics"]]
        scores, baseline = scores_of(predictions)
        first = predictions[predictions["seed"] == 0]
        rows.append(
            {
                "backbone": entry["backbone"],
                "regression": entry["regression"],
                "target": summaries[0]["target"],
                "method": entry["method"],
                "seeds": predictions["seed"].nunique(),
                "images": len(first),
                "patients": first["group"].nunique(),
                "unknown": sum(fold["unknown"]["test"] for fold in summaries),
            }
            | score_columns(scores)
            | {f"{name}_of_mean": baseline[name]["mean"] for name in MEASURES}
            | {"weights": summaries[0]["weights"]}
        )
    return pd.DataFrame(rows)
