"""The baseline's outputs: predictions, metrics and history as tables."""

from __future__ import annotations

from typing import Any

import numpy as np
import pandas as pd

from heteroscope.config import Head
from heteroscope.embedding.samples import Samples
from heteroscope.evaluation import metrics

EMBEDDING = ("model", "weights", "engine", "precision", "agreement")  # what is told of the embedding


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
    """Every metric's mean and standard deviation over seeds on the test set, and what they stand on."""
    label = samples.label[samples.rows("test")]
    values = {name: metric(probability, label) for name, metric in metrics.METRICS.items()}
    parts = {part: int((samples.part == part).sum()) for part in ("train", "validation", "test")}
    return {
        "metrics": {
            name: {"mean": value.mean(), "sd": value.std(ddof=1) if len(value) > 1 else None}
            for name, value in values.items()
        },
        "rows": parts,
        "seeds": len(probability),
        "selection": head.selection,
        "optimistic": head.selection == "test",
        **{name: str(samples.embedding.get(name, "")) for name in EMBEDDING},
    }
