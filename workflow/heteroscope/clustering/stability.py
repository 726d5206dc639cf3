"""How stable a clustering is: over bootstraps of the training patients, and over seeds.

Each time the reduction and the clustering are fitted anew, and the original training rows are assigned as the
workflow assigns rows: those that were fitted keep their label, the others are assigned by its rule. Views are fitted
with their image, but only originals are compared.
"""

from __future__ import annotations

import logging
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
from sklearn.metrics import adjusted_rand_score
from sklearn.metrics.cluster import contingency_matrix

from heteroscope.clustering.clusters import fit_clusters
from heteroscope.clustering.reduction import fit_reduction
from heteroscope.config import Clustering
from heteroscope.embedding.blocks import IN_MEMORY_VALUES
from heteroscope.embedding.samples import Samples, rows_by_patient
from heteroscope.errors import DataError

logger = logging.getLogger(__name__)

BOOTSTRAPS = 50
SEEDS = 10
STABILITY_ROWS = 10_000  # above it stability is of whole patients with at most so many training rows
UNSEEDED = ("ward",)
TOLD_EVERY = 10  # refits


def stability(
    samples: Samples, cluster: np.ndarray, spec: Clustering, *, bootstraps: int = BOOTSTRAPS, seeds: int = SEEDS
) -> dict[str, Any]:
    """The stability of a fitted clustering.

    Args:
        samples: all rows; only training rows are used.
        cluster: (n,) int, their clusters as fitted.
        spec: how they were clustered.
        bootstraps: times that patients are drawn with replacement, each with all their rows.
        seeds: number of seeds that follow the clustering's own.

    Returns:
        `rows` and `patients` that it rests on (`of_rows` where that is a sample), `bootstraps` and `seeds` (see
        `_summary`; `seeds` is None for Ward, which draws nothing), and for each cluster its original training rows and
        `jaccard`, its largest Jaccard similarity to a cluster of the bootstrap, mean over bootstraps (Hennig, 2007;
        over all original training rows, where Hennig looks at those drawn).

    Raises:
        DataError: there are no training rows.
    """
    train = samples.rows("train")
    if not len(train):
        raise DataError("the split has no training rows, so there is no clustering whose stability could be measured")
    generator = np.random.default_rng(spec.seed)
    most = max(min(STABILITY_ROWS, IN_MEMORY_VALUES // samples.features.shape[1]), 1)
    rows = _of_whole_patients(train, samples.group[train], most, generator)
    features, original = _narrow(samples.features[rows]), samples.view[rows] == 0
    fitted, everything = cluster[rows][original], np.arange(len(rows))
    drawn = _bootstraps(samples.group[rows], bootstraps, generator)
    resampled = _refits(features, original, [(sample, spec) for sample in drawn], "bootstraps")
    others = [] if spec.method in UNSEEDED else [_with_seed(spec, spec.seed + 1 + number) for number in range(seeds)]
    reseeded = _refits(features, original, [(everything, other) for other in others], "seeds")
    similarity = [jaccard_similarity(fitted, found, spec.k) for found in resampled.labels]
    mean = np.mean(similarity, axis=0) if similarity else np.full(spec.k, np.nan)
    return {
        "method": spec.method,
        "k": spec.k,
        "seed": spec.seed,
        "rows": len(rows),
        **({"of_rows": len(train)} if len(rows) < len(train) else {}),
        "patients": len(np.unique(samples.group[rows])),
        "bootstraps": _summary(fitted, resampled),
        "seeds": None if spec.method in UNSEEDED else _summary(fitted, reseeded),
        "clusters": [
            {"cluster": number, "rows": int((fitted == number).sum()), "jaccard": float(mean[number])}
            for number in range(spec.k)
        ],
    }


def jaccard_similarity(fitted: np.ndarray, found: np.ndarray, k: int) -> np.ndarray:
    """(k,) the largest Jaccard similarity of each fitted cluster to a found one; NaN for one without rows.

    Args:
        fitted: (n,) int, below k.
        found: (n,) int.
        k: number of fitted clusters.
    """
    shared = contingency_matrix(fitted, found)
    union = shared.sum(axis=1, keepdims=True) + shared.sum(axis=0) - shared
    similarity = np.full(k, np.nan)
    similarity[np.unique(fitted)] = (shared / union).max(axis=1)
    return similarity


@dataclass(frozen=True)
class _Refits:
    """Clusters of the original rows under other fits.

    Attributes:
        labels: (n,) int each, of the fits that could be made.
        failures: why the others could not.
    """

    labels: list[np.ndarray]
    failures: list[str]


def _refits(
    features: np.ndarray, original: np.ndarray, fits: Sequence[tuple[np.ndarray, Clustering]], what: str
) -> _Refits:
    """Cluster (n, d) features once for each pair of row numbers and clustering; `original` (n,) bool are compared."""
    refits = _Refits([], [])
    for done, (rows, spec) in enumerate(fits, 1):
        try:
            refits.labels.append(_refit(features, rows, spec)[original])
        except DataError as error:
            refits.failures.append(str(error))
        if done % TOLD_EVERY == 0:
            logger.info("%d of %d %s", done, len(fits), what)
    return refits


def _refit(features: np.ndarray, rows: np.ndarray, spec: Clustering) -> np.ndarray:
    """(n,) int clusters of all features, fitted on some rows, which may be there several times."""
    reducer = fit_reduction(features, rows, spec.reduce, spec.seed)
    points = reducer.transform(features)
    clusters = fit_clusters(points, rows, spec)
    labels = clusters.assign(points, np.arange(len(points)))
    labels[rows] = clusters.labels
    return labels


def _summary(fitted: np.ndarray, refits: _Refits) -> dict[str, Any]:
    """The adjusted Rand index of the fitted clusters and each refit (Hubert and Arabie, 1985).

    Returns:
        `number` of refits, how many `failed` (`failure` says why the first did), and `mean`, `sd` and `quartiles` of
        the others.
    """
    found = np.array([adjusted_rand_score(fitted, labels) for labels in refits.labels])
    failure = {"failure": refits.failures[0]} if refits.failures else {}
    return {
        "number": len(found) + len(refits.failures),
        "failed": len(refits.failures),
        **failure,
        "mean": float(found.mean()) if len(found) else float("nan"),
        "sd": float(found.std(ddof=1)) if len(found) > 1 else float("nan"),
        "quartiles": np.quantile(found, [0.25, 0.5, 0.75]).tolist() if len(found) else [float("nan")] * 3,
    }


def _of_whole_patients(rows: np.ndarray, group: np.ndarray, most: int, generator: np.random.Generator) -> np.ndarray:
    """All rows (m,), or those of patients drawn at random until these have so many rows; of one patient at least."""
    if len(rows) <= most:
        return rows
    patients = rows_by_patient(group)
    order = generator.permutation(len(patients))
    held = np.cumsum([len(patients[number]) for number in order]) <= most
    held[0] = True
    return np.sort(rows[np.concatenate([patients[number] for number in order[held]])])


def _bootstraps(group: np.ndarray, number: int, generator: np.random.Generator) -> list[np.ndarray]:
    """Row numbers of as many patients as there are, drawn with replacement, each with all rows."""
    patients = rows_by_patient(group)
    drawn = generator.integers(len(patients), size=(number, len(patients)))
    return [np.concatenate([patients[patient] for patient in sample]) for sample in drawn]


def _narrow(features: np.ndarray) -> np.ndarray:
    """The same points (n, d) in at most n coordinates: turning them changes no distance, and each fit costs less."""
    if features.shape[1] <= len(features):
        return features
    return np.ascontiguousarray(np.asarray(np.linalg.qr(features.T, mode="r")).T)


def _with_seed(spec: Clustering, seed: int) -> Clustering:
    return spec.model_copy(update={"seed": seed % 2**32})
