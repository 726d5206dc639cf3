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
from heteroscope.evaluation.intervals import BOOTSTRAPS, FEWEST_PATIENTS, resample_weights, sums_by_patient
from heteroscope.evaluation.leaks import seen_counts
from heteroscope.evaluation.models import Scores, origin_of, score_columns
from heteroscope.evaluation.scores import estimate
from heteroscope.store import read_json, read_table

if TYPE_CHECKING:
    from heteroscope.training.regression import Regressed

MEASURES = {"rmse": "RMSE", "mae": "MAE", "r2": "R²"}
INTERVALS = f"95 %, percentiles of {BOOTSTRAPS} bootstraps of patients, conditional on the trained regressors"
NO_INTERVALS = f"none: fewer than {FEWEST_PATIENTS} test patients"


def error_scores(predicted: np.ndarray, target: np.ndarray, group: np.ndarray) -> Scores:
    """RMSE, MAE and R²: mean and sd over seeds, and the ends of the 95 % interval over patients.

    Of fewer than `FEWEST_PATIENTS` patients there is no interval: its ends are NaN.

    R² is one minus the mean squared error over the variance of the target among the same images: what always says their
    mean has 0, and what is worse than that less. It is not defined where the target does not vary.

    Args:
        predicted: (seeds, n).
        target: (n,).
        group: (n,) patients.
    """
    _, patient = np.unique(group, return_inverse=True)
    patients = int(patient.max()) + 1
    observed = np.ones((1, patients), dtype=np.int64)
    weight = observed if patients < FEWEST_PATIENTS else np.vstack([observed, resample_weights(patients)])
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


def prediction_rows(samples: Samples, trained: Regressed, seen: pd.DataFrame) -> pd.DataFrame:
    """One row a seed and test image: the target, what is predicted, the training mean beside it, and what leaks.

    Args:
        samples: all rows.
        trained: the regressor.
        seen: `leaks.seen_rows`.
    """
    seeds = len(trained.predicted)
    rows = pd.DataFrame(
        {
            "seed": np.repeat(np.arange(seeds), len(trained.test)),
            "image_id": np.tile(samples.image_id[trained.test], seeds),
            "group": np.tile(samples.group[trained.test], seeds),
            "target": np.tile(trained.target, seeds),
            "predicted": trained.predicted.ravel(),
            "training_mean": trained.mean,
        }
    )
    return rows.merge(seen.drop(columns="group"), on="image_id", how="left", validate="many_to_one")


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
    patients = predictions["group"].nunique()
    return {
        "target": target,
        "metrics": scores,
        "baseline": baseline,
        "intervals": NO_INTERVALS if patients < FEWEST_PATIENTS else INTERVALS,
        "training_mean": trained.mean,
        "regressor": trained.spec.regressor.model_dump(mode="json"),
        "tuned": [asdict(candidate) for candidate in trained.candidates],
        "rows": {"train": trained.trained, "test": len(trained.test)},
        "unknown": trained.unknown,
        "test_patients": patients,
        "few": patients < FEWEST_PATIENTS,
        "optimistic": False,  # training rows alone choose hyper-parameters
        **seen_counts(predictions[predictions["seed"] == 0]),
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
                "few": first["group"].nunique() < FEWEST_PATIENTS,
                "unknown": sum(fold["unknown"]["test"] for fold in summaries),
            }
            | score_columns(scores)
            | {f"{name}_of_mean": baseline[name]["mean"] for name in MEASURES}
            | seen_counts(first)
            | origin_of(summaries[0])
        )
    return pd.DataFrame(rows)
