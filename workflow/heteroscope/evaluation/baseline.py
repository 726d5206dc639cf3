"""The baseline's outputs: predictions, metrics and history as tables."""

from __future__ import annotations

from typing import Any

import numpy as np
import pandas as pd

from heteroscope.config import Head
from heteroscope.embedding.samples import Samples
from heteroscope.evaluation.intervals import BOOTSTRAPS
from heteroscope.evaluation.scores import score_table, study_scores

EMBEDDING = ("model", "weights", "engine", "precision", "agreement")  # what is told of the embedding
INTERVALS = f"95 %, percentiles of {BOOTSTRAPS} bootstraps of patients, conditional on the trained heads"


def prediction_table(samples: Samples, probability: np.ndarray) -> pd.DataFrame:
    """One row a seed and test image, from probabilities (seeds, test rows, classes)."""
    test = samples.rows("test")
    seeds = len(probability)
    columns = {
        "seed": np.repeat(np.arange(seeds), len(test)),
        "image_id": np.tile(samples.image_id[test], seeds),
        "group": np.tile(samples.group[test], seeds),
        "label": np.tile(samples.label[test], seeds),
    }
    flat = probability.reshape(-1, probability.shape[-1])
    return pd.DataFrame(columns | {f"probability_{name}": flat[:, c] for c, name in enumerate(samples.class_names)})


def probabilities_of(predictions: pd.DataFrame) -> np.ndarray:
    """The inverse of `prediction_table`: probabilities (seeds, test rows, classes)."""
    columns = [name for name in predictions.columns if name.startswith("probability_")]
    return predictions[columns].to_numpy().reshape(predictions["seed"].nunique(), -1, len(columns))


def history_table(history: np.ndarray, best_epoch: np.ndarray, monitor: str) -> pd.DataFrame:
    """One row a seed and epoch, from monitored values (epochs, seeds); epochs after a stop are left out."""
    epochs, seeds = history.shape
    frame = pd.DataFrame(
        {
            "seed": np.repeat(np.arange(seeds), epochs),
            "epoch": np.tile(np.arange(1, epochs + 1), seeds),
            f"selection_{monitor}": history.T.ravel(),
            "selected": np.tile(np.arange(1, epochs + 1), seeds) == np.repeat(best_epoch, epochs),
        }
    )
    return frame.dropna().reset_index(drop=True)


def summary(samples: Samples, probability: np.ndarray, head: Head) -> dict[str, Any]:
    """Every metric of the study on the test set (see `scores.study_scores`), and what it stands on."""
    test = samples.rows("test")
    scores = score_table(probability, samples.label[test], samples.group[test], samples.class_names)
    return {
        "metrics": study_scores(scores),
        "intervals": INTERVALS,
        "rows": {part: int((samples.part == part).sum()) for part in ("train", "validation", "test")},
        "features": samples.features.shape[1],
        "test_patients": len(np.unique(samples.group[test])),
        "seeds": len(probability),
        "selection": head.selection,
        "optimistic": head.selection == "test",
        **{name: str(samples.embedding.get(name, "")) for name in EMBEDDING},
    }
