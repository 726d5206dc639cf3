"""The rows of an experiment: embeddings joined with the split, in one fixed order."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, replace
from pathlib import Path

import numpy as np
import pandas as pd

from heteroscope.embedding.blocks import FeatureBlocks, Matrix, is_large, row_blocks
from heteroscope.errors import StoreError
from heteroscope.store import read_embeddings, read_table

PARTS = ("train", "validation", "test")
COLUMN_BLOCK = 64


@dataclass(frozen=True)
class Samples:
    """Training, validation and test rows: originals in the split's order, then the views of training images.

    Attributes:
        features: (n, d) float32, in memory or left in their files.
        image_id: (n,) str.
        view: (n,) int, 0 for originals.
        part: (n,) str: train, validation or test.
        label: (n,) int, an index into `class_names`.
        group: (n,) str, the patient.
        class_names: the negative class first.
        embedding: attributes of the embedding (model, weights, engine, precision …).
        center: (d,) float64, what was taken from the features to standardise them; None where they are as stored.
        spread: (d,) float64, what they were divided by then.
    """

    features: Matrix
    image_id: np.ndarray
    view: np.ndarray
    part: np.ndarray
    label: np.ndarray
    group: np.ndarray
    class_names: list[str]
    embedding: dict[str, object]
    center: np.ndarray | None = None
    spread: np.ndarray | None = None

    def rows(self, part: str) -> np.ndarray:
        """Row numbers of a part of the split."""
        return np.flatnonzero(self.part == part)

    def in_memory(self) -> np.ndarray:
        """All features, (n, d) float32, as a head needs them."""
        return self.features.in_memory() if isinstance(self.features, FeatureBlocks) else self.features

    def standardized(self) -> Samples:
        """The same rows with every feature of mean 0 and spread 1 over the original training images."""
        features = self.in_memory()
        train = np.flatnonzero((self.part == "train") & (self.view == 0))
        mean, spread = _moments(features, train)
        spread[spread < 1e-8 * max(spread.max(), 1e-30)] = 1.0  # a constant feature stays constant
        scaled = np.empty_like(features)
        for rows in row_blocks(features, np.arange(len(features))):
            scaled[rows] = (features[rows] - mean) / spread
        return replace(self, features=scaled, center=mean, spread=spread)

    def __len__(self) -> int:
        return len(self.image_id)


def _moments(features: np.ndarray, rows: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """Mean and spread of every column over some rows, (d,) float64 each; few columns at a time, for their copies."""
    mean, spread = np.empty(features.shape[1]), np.empty(features.shape[1])
    for columns in np.array_split(np.arange(len(mean)), -(-len(mean) // COLUMN_BLOCK)):
        part = features[rows, columns[0] : columns[-1] + 1]
        mean[columns], spread[columns] = part.mean(axis=0, dtype=np.float64), part.std(axis=0, dtype=np.float64)
    return mean, spread


def load_samples(
    embeddings: Sequence[Path],
    views: Sequence[Path],
    split: Path,
    *,
    standardize: bool = False,
    in_memory: bool = True,
) -> Samples:
    """Join embeddings (several files: a fusion) and their views with a split.

    Images of the backbone's own share B are left out.

    Args:
        embeddings: embeddings.h5; several are a fusion.
        views: views.h5 of each, in the same order, or none.
        split: split.parquet.
        standardize: the features, as the heads want them (see `Samples.standardized`).
        in_memory: read all features; else those of more than `IN_MEMORY_VALUES` values stay in their files.

    Raises:
        StoreError: a file is damaged, or misses an image of the split.
    """
    table = read_table(split)
    classes = table[["label", "class"]].drop_duplicates().sort_values("label")["class"]
    table = table[table["part"].isin(PARTS)].reset_index(drop=True)
    originals = read_embeddings(embeddings)
    strips = [(originals, originals.rows(table["image_id"].tolist()))]
    rows = [table.assign(view=0)]
    if views:
        copies = read_embeddings(views, "views")
        frame = pd.DataFrame({"image_id": copies.image_id, "view": copies.view}).reset_index(names="row")
        # the views of all folds stand in one file: a fold takes those of the images that it trains on
        order = table[table["part"] == "train"].reset_index(names="order")
        joined = frame.merge(order, on="image_id").sort_values(["order", "view"], kind="stable")
        strips.append((copies, joined["row"].to_numpy()))
        rows.append(joined)
    whole = pd.concat(rows, ignore_index=True)
    features = FeatureBlocks(strips)
    samples = Samples(
        features=features.in_memory() if in_memory or not is_large(features.shape) else features,
        image_id=whole["image_id"].to_numpy(dtype=object),
        view=whole["view"].to_numpy(dtype=np.int64),
        part=whole["part"].to_numpy(dtype=object),
        label=whole["label"].to_numpy(dtype=np.int64),
        group=whole["group"].to_numpy(dtype=object),
        class_names=classes.tolist(),
        embedding=originals.attributes,
    )
    return samples.standardized() if standardize else samples


def rows_by_patient(group: np.ndarray) -> list[np.ndarray]:
    """The row numbers of every patient of (n,) groups, patients in the order of their names."""
    _, patient, count = np.unique(group, return_inverse=True, return_counts=True)
    return np.split(np.argsort(patient, kind="stable"), np.cumsum(count)[:-1])


def clusters_of(samples: Samples, assignments: Path) -> np.ndarray:
    """The cluster of each sample, (n,) int, from assignments.parquet.

    Raises:
        StoreError: the file is damaged or misses a sample.
    """
    return align(samples, read_table(assignments), assignments)["cluster"].to_numpy()


def align(samples: Samples, table: pd.DataFrame, source: Path) -> pd.DataFrame:
    """The rows of a table keyed by image_id and view, in the order of the samples.

    Raises:
        StoreError: the table misses a sample; it names the first one and the file.
    """
    keys = pd.MultiIndex.from_arrays([samples.image_id, samples.view])
    found = table.set_index(["image_id", "view"])
    missing = ~keys.isin(found.index)
    if missing.any():
        raise StoreError(
            f"{source}: no row for image and view {keys[missing][0]}; delete it and run the workflow again"
        )
    return found.loc[keys].reset_index()
