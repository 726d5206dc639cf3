"""Which decisions are explained, the table of their maps, and the comparison of a study's explanations."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd

from heteroscope.config import Explanation
from heteroscope.config.explanations import CALLED, TRUE
from heteroscope.data.places import Lesions
from heteroscope.embedding.samples import Samples
from heteroscope.errors import ConfigError, StoreError
from heteroscope.evaluation.baseline import probabilities_of
from heteroscope.evaluation.feature_tests import COLUMNS, Part, feature_table, too_few, units_of
from heteroscope.evaluation.pointing import peak, play, pointing_table
from heteroscope.store import read_json, read_table
from heteroscope.training.linear import LinearHead

SAME = 1e-3  # largest difference between a probability and the one that the same head gave when it was trained
# mean difference between probabilities of the network here, in torch's float32, and of the one that embedded
NEAR = {"float32": 0.001, "bfloat16": 0.05}


@dataclass(frozen=True)
class Decisions:
    """What one training of a head says of the test images.

    Attributes:
        probability: (n, classes) as it was reported.
        label: (n,) int.
        explained: (n,) int, the class whose logit is explained.
    """

    probability: np.ndarray
    label: np.ndarray
    explained: np.ndarray

    @property
    def called(self) -> np.ndarray:
        """(n,) int, the most probable class."""
        return np.asarray(self.probability.argmax(axis=1))

    @property
    def right(self) -> np.ndarray:
        """(n,) bool."""
        return np.asarray(self.called == self.label)

    @property
    def sureness(self) -> np.ndarray:
        """(n,) the probability of the called class."""
        return np.asarray(self.probability.max(axis=1))


def decisions(samples: Samples, head: LinearHead, predictions: Path, spec: Explanation) -> Decisions:
    """The reported test predictions of one training, which the given head must reproduce.

    Raises:
        ConfigError: the head has no such training.
        StoreError: head, embedding and predictions do not belong together.
    """
    if spec.seed >= len(head.weight):
        raise ConfigError(
            f"explanations: seed: {spec.seed}: the head has {len(head.weight)} trainings, numbered from 0; name one of"
            " them, or give the head more `seeds`"
        )
    test = samples.rows("test")
    table = read_table(predictions)
    table = table[table["seed"] == spec.seed]
    if table["image_id"].tolist() != samples.image_id[test].tolist():
        raise StoreError(f"{predictions}: other test images than the split's; delete it and run the workflow again")
    reported = probabilities_of(table)[0]
    again = head.probabilities(samples.in_memory()[test], spec.seed)
    if np.abs(reported - again).max() > SAME:
        raise StoreError(
            f"{predictions}: the head beside it gives other probabilities (by up to"
            f" {np.abs(reported - again).max():.2g}); delete both and run the workflow again"
        )
    label = samples.label[test]
    return Decisions(reported, label, explained_classes(spec, reported.argmax(axis=1), label, samples.class_names))


def explained_classes(
    spec: Explanation, called: np.ndarray, label: np.ndarray, class_names: Sequence[str]
) -> np.ndarray:
    """The class whose logit is explained, (n,) int, of images that are called (n,) and belong to classes (n,).

    Raises:
        ConfigError: the named class does not exist.
    """
    if spec.explained in (CALLED, TRUE):
        return called if spec.explained == CALLED else label
    if spec.explained not in class_names:
        raise ConfigError(
            f"explanations: explained: {spec.explained!r}: no such class; name {CALLED}, {TRUE}, or one of"
            f" {', '.join(class_names)}"
        )
    return np.full(len(called), list(class_names).index(spec.explained))


def example_rows(made: Decisions, per_class: int) -> np.ndarray:
    """Test rows for the sheet: of each class those that are called right most surely, then those called wrong so."""
    chosen: list[int] = []
    for name in range(made.probability.shape[1]):
        for right in (True, False):
            rows = np.flatnonzero((made.label == name) & (made.right == right))
            chosen += rows[np.argsort(-made.sureness[rows], kind="stable")][:per_class].tolist()
    return np.array(chosen, dtype=np.int64)


@dataclass(frozen=True)
class Alone:
    """What the parts of a fusion decide each by itself.

    Attributes:
        direction: (n, d) of all features: in a part's columns what raises the logit of its own explained class.
        probability: (n, classes) of each part.
        explained: (n,) int, of each part.
    """

    direction: np.ndarray
    probability: list[np.ndarray]
    explained: list[np.ndarray]


def alone(
    heads: Sequence[LinearHead], features: np.ndarray, label: np.ndarray, class_names: Sequence[str], spec: Explanation
) -> Alone:
    """The decisions of a fusion's parts by heads of their own.

    Args:
        heads: one a part.
        features: (n, d) of the fusion, the parts side by side.
        label: (n,) int.
        class_names: in order.
        spec: which class is explained.
    """
    edges = np.cumsum([head.weight.shape[-1] for head in heads])[:-1]
    probability = [
        head.probabilities(own, spec.seed) for head, own in zip(heads, np.split(features, edges, axis=1), strict=True)
    ]
    explained = [explained_classes(spec, found.argmax(axis=1), label, class_names) for found in probability]
    directions = [head.directions(classes, spec.seed) for head, classes in zip(heads, explained, strict=True)]
    return Alone(np.hstack(directions), probability, explained)


def cam_table(
    samples: Samples,
    made: Decisions,
    rows: np.ndarray,
    cams: np.ndarray,
    lesions: Sequence[Lesions],
    *,
    size: int,
    tolerance: float,
) -> pd.DataFrame:
    """A row an explained image.

    Args:
        samples: of the study.
        made: decisions on its test images.
        rows: (n,) int, the explained ones among the test images.
        cams: (n, h, w), their maps.
        lesions: of each of them.
        size: of the decoded image; peaks are in its pixels.
        tolerance: of the pointing game, in its pixels.
    """
    test, names = samples.rows("test")[rows], np.array(samples.class_names, dtype=object)
    peaks = [peak(cam, size) for cam in cams]
    games = [play(*place, own, size, tolerance) for place, own in zip(peaks, lesions, strict=True)]
    columns = {
        "image_id": samples.image_id[test],
        "group": samples.group[test],
        "label": names[made.label[rows]],
        "called": names[made.called[rows]],
        "probability": made.sureness[rows],
        "right": made.right[rows],
        "explained": names[made.explained[rows]],
        "peak_x": [x for x, _ in peaks],
        "peak_y": [y for _, y in peaks],
    }
    return pd.DataFrame(columns).join(pd.DataFrame(games))


def telling_features(samples: Samples, count: int, part: Part) -> tuple[pd.DataFrame, str]:
    """The features that tell the classes of one part's images apart best, patients being the observations.

    Returns:
        The first rows of `feature_tests.feature_table`, and nothing; or an empty table, and why features are not
        tested.
    """
    rows = samples.rows(part)
    units = units_of(samples.in_memory()[rows], samples.label[rows], samples.group[rows], "patient")
    if reason := too_few(units, samples.class_names):
        columns = [*COLUMNS, *(f"mean_{name}" for name in samples.class_names)]
        return pd.DataFrame(columns=columns).assign(feature=np.empty(0, int))[["feature", *columns]], reason
    return feature_table(units, samples.class_names).head(count), ""


def require_the_reported_network(
    found: np.ndarray, reported: np.ndarray, *, precision: str, where: Path
) -> dict[str, float]:
    """Compare probabilities (n, classes) of the network that is looked at with those of the one that embedded.

    Returns:
        The mean and the largest difference.

    Raises:
        StoreError: the mean difference is more than the arithmetic can explain.
    """
    difference = np.abs(found - reported).max(axis=1)
    bound = NEAR["bfloat16" if "bfloat16" in precision else "float32"]
    if difference.mean() > bound:
        raise StoreError(
            f"{where}: the network in float32 does not give these predictions (they differ by {difference.mean():.2g}"
            f" in the mean, allowed {bound:g}; embedded in {precision}); set `precision: float32` of the backbone, or"
            " delete its embeddings and run the workflow again"
        )
    return {"mean": float(difference.mean()), "largest": float(difference.max())}


def study_table(plan: Sequence[dict[str, Any]]) -> pd.DataFrame:
    """The pointing game of every backbone and explanation of a study, folds together.

    Args:
        plan: `backbone`, `explanation`, and the files `cams` and `summaries`, one a fold.
    """
    parts = []
    for entry in plan:
        found = [read_json(Path(path)) for path in entry["summaries"]]
        cams = pd.concat([read_table(Path(path)) for path in entry["cams"]], ignore_index=True)
        table = pointing_table(cams, found[0]["class_names"])
        first = {"backbone": entry["backbone"], "explanation": entry["explanation"], "method": found[0]["method"]}
        parts.append(table.assign(**first)[[*first, *table.columns]].assign(weights=found[0]["weights"]))
    return pd.concat(parts, ignore_index=True)
