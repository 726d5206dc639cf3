"""Image search: the nearest images of a query by embedding, and how often they are of its class."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
import pandas as pd

from heteroscope.evaluation.intervals import mean_interval

SEED = 0
QUERIES = 256  # that are compared with the gallery at once


@dataclass(frozen=True)
class Neighbours:
    """What a search found.

    Attributes:
        row: (q, k) int, rows of the gallery, the nearest first; −1 where it holds fewer images of other patients.
        similarity: (q, k) cosine; NaN there.
    """

    row: np.ndarray
    similarity: np.ndarray


def nearest(
    query: np.ndarray, gallery: np.ndarray, query_group: np.ndarray, gallery_group: np.ndarray, *, k: int
) -> Neighbours:
    """The images of the gallery nearest to each query by cosine similarity; a query's own patient is left out.

    Args:
        query: (q, d) features.
        gallery: (g, d) features.
        query_group: (q,) patients: another image of the patient is no finding.
        gallery_group: (g,) patients.
        k: how many a query.
    """
    query, gallery = _unit(query), _unit(gallery)
    known = pd.Index(np.unique(np.concatenate([query_group.astype(str), gallery_group.astype(str)])))
    mine, theirs = known.get_indexer(query_group.astype(str)), known.get_indexer(gallery_group.astype(str))
    row, similarity = np.full((len(query), k), -1), np.full((len(query), k), np.nan)
    for start in range(0, len(query), QUERIES):
        some = slice(start, start + QUERIES)
        cosine = np.where(mine[some, None] == theirs, -np.inf, query[some] @ gallery.T)
        order = np.argsort(-cosine, axis=1, kind="stable")[:, :k]
        value = np.take_along_axis(cosine, order, axis=1)
        found = np.isfinite(value)
        row[some, : order.shape[1]] = np.where(found, order, -1)
        similarity[some, : order.shape[1]] = np.where(found, value, np.nan)
    return Neighbours(row, similarity)


def _unit(features: np.ndarray) -> np.ndarray:
    """Rows of length 1 (n, d); a row of zeros stays one, and is like none."""
    features = features.astype(np.float64)
    length = np.linalg.norm(features, axis=1, keepdims=True)
    return np.asarray(features / np.where(length > 0, length, 1))


def precision_table(
    found: Neighbours,
    query_label: np.ndarray,
    gallery_label: np.ndarray,
    query_group: np.ndarray,
    class_names: Sequence[str],
    at: Sequence[int],
) -> pd.DataFrame:
    """Precision at k: the share of a query's k nearest that have its class, a row a k and class of query.

    Args:
        found: of every query.
        query_label: (q,) int.
        gallery_label: (g,) int.
        query_group: (q,) patients.
        class_names: in the order of labels.
        at: the k, each at most as large as the search's.

    Returns:
        Columns k, query (`all` or a class), queries, precision with its 95 % interval low and high over patients, and
        chance: the share of the gallery that has the query's class. A query with fewer neighbours counts those.
    """
    hit = np.where(found.row >= 0, gallery_label[found.row] == query_label[:, None], np.nan)
    chance = (np.bincount(gallery_label, minlength=len(class_names)) / len(gallery_label))[query_label]
    rows = []
    for k in at:
        some = found.row[:, 0] >= 0
        precision = np.full(len(hit), np.nan)
        precision[some] = np.nanmean(hit[some, :k], axis=1)
        for number, name in enumerate(["all", *class_names]):
            members = some & ((number == 0) | (query_label == number - 1))
            low, high = np.nan, np.nan
            if members.any():
                low, high = mean_interval(precision[members], query_group[members], seed=SEED)
            rows.append(
                {
                    "k": k,
                    "query": name,
                    "queries": int(members.sum()),
                    "precision": precision[members].mean() if members.any() else np.nan,
                    "low": low,
                    "high": high,
                    "chance": chance[members].mean() if members.any() else np.nan,
                }
            )
    return pd.DataFrame(rows)
