"""Embeddings with a planted or a shared rule, for the tests of training."""

from __future__ import annotations

from dataclasses import replace

import numpy as np

from heteroscope.config import Controls, Head
from heteroscope.embedding.samples import Samples
from heteroscope.evaluation.label_sets import label_arm
from heteroscope.evaluation.redraw import draw_label_sets
from heteroscope.evaluation.runs import LabelArm
from heteroscope.training.label_arm import train_on_label_sets


def make_samples(
    truth: str, *, n: int = 240, d: int = 4, patients: int | None = None, seed: int = 0, slope: float = 2.5
) -> tuple[Samples, np.ndarray]:
    """Two far clusters; `planted`: the rule turns by 90 degrees between them, `shared`: it does not."""
    generator = np.random.default_rng(seed)
    cluster = generator.integers(0, 2, n)
    features = generator.normal(size=(n, d))
    axis = cluster if truth == "planted" else np.zeros(n, dtype=int)
    label = (generator.random(n) < 1 / (1 + np.exp(-slope * features[np.arange(n), axis]))).astype(int)
    features[:, -1] += 12 * cluster
    part = generator.choice(["train", "validation", "test"], n, p=[0.5, 0.15, 0.35])
    group = np.arange(n) if patients is None else generator.integers(0, patients, n)
    samples = Samples(
        features=features.astype(np.float32),
        image_id=np.array([f"i{row:04d}" for row in range(n)], dtype=object),
        view=np.zeros(n, dtype=np.int64),
        part=part.astype(object),
        label=label,
        group=np.array([f"p{number}" for number in group], dtype=object),
        class_names=["normal", "disease"],
        embedding={},
    )
    return samples, cluster


def with_views(samples: Samples, cluster: np.ndarray) -> tuple[Samples, np.ndarray]:
    """Two views of every training image, in its cluster."""
    rows = np.repeat(samples.rows("train"), 2)
    whole = np.concatenate([np.arange(len(samples)), rows])
    view = np.concatenate([samples.view, np.tile([1, 2], len(rows) // 2)])
    columns = {name: getattr(samples, name)[whole] for name in ("features", "image_id", "part", "label", "group")}
    return replace(samples, view=view, **columns), cluster[whole]


def run_labels(samples: Samples, cluster: np.ndarray, head: Head, controls: Controls) -> LabelArm:
    """The whole label arm, as the stages `redraw`, `labels` and `compare` put it together."""
    sets = draw_label_sets(samples, cluster, controls)
    runs = train_on_label_sets(samples, cluster, sets.of(samples, "label sets"), head, controls, threads=1)
    return label_arm(sets, runs)
