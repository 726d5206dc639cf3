"""The rows of an experiment: embeddings joined with the split, in one fixed order."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, replace
from pathlib import Path

import numpy as np
import pandas as pd

from heteroscope.errors import StoreError
from heteroscope.store import read_embeddings, read_table

PARTS = ("train", "validation", "test")


@dataclass(frozen=True)
class Samples:
    """Training, validation and test rows: originals in the split's order, then the views of training images.

    Attributes:
        features: (n, d) float32.
        image_id: (n,) str.
        view: (n,) int, 0 for originals.
        part: (n,) str: train, validation or test.
        label: (n,) int, an index into `class_names`.
        group: (n,) str, the patient.
        class_names: the negative class first.
        embedding: attributes of the embedding (model, weights, engine, precision …).
    """

    features: np.ndarray
    image_id: np.ndarray
    view: np.ndarray
    part: np.ndarray
    label: np.ndarray
    group: np.ndarray
    class_names: list[str]
    embedding: dict[str, object]

    def rows(self, part: str) -> np.ndarray:
        """Row numbers of a part of the split."""
        return np.flatnonzero(self.part == part)

    def standardized(self) -> Samples:
        """The same rows with every feature of mean 0 and spread 1 over the original training images."""
        train = self.features[(self.part == "train") & (self.view == 0)]
        mean, spread = train.mean(axis=0, dtype=np.float64), train.std(axis=0, dtype=np.float64)
        spread[spread < 1e-8 * max(spread.max(), 1e-30)] = 1.0  # a constant feature stays constant
        return replace(self, features=((self.features - mean) / spread).astype(np.float32))

    def __len__(self) -> int:
        return len(self.image_id)


def load_samples(embeddings: Sequence[Path], views: Sequence[Path], split: Path) -> Samples:
    """Join embeddings (several files: a fusion) and their views with a split.

    Images of the backbone's own share B are left out.

    Raises:
        StoreError: a file is damaged, misses an image of the split, or holds views of one that does not train.
    """
    table = read_table(split)
    classes = table[["label", "class"]].drop_duplicates().sort_values("label")["class"]
    table = table[table["part"].isin(PARTS)].reset_index(drop=True)
    originals = read_embeddings(embeddings)
    features = [originals.features[originals.rows(table["image_id"].tolist())]]
    rows = [table.assign(view=0)]
    if views:
        copies = read_embeddings(views, "views")
        frame = pd.DataFrame({"image_id": copies.image_id, "view": copies.view}).reset_index(names="row")
        order = table[table["part"] == "train"].reset_index(names="order")
        stray = ~frame["image_id"].isin(order["image_id"])
        if stray.any():
            raise StoreError(
                f"{views[0]}: views of image {frame.loc[stray, 'image_id'].iloc[0]}, which is not a training image of"
                f" {split}; delete it and run the workflow again"
            )
        joined = frame.merge(order, on="image_id").sort_values(["order", "view"], kind="stable")
        features.append(copies.features[joined["row"].to_numpy()])
        rows.append(joined)
    whole = pd.concat(rows, ignore_index=True)
    return Samples(
        features=np.concatenate(features),
        image_id=whole["image_id"].to_numpy(dtype=object),
        view=whole["view"].to_numpy(dtype=np.int64),
        part=whole["part"].to_numpy(dtype=object),
        label=whole["label"].to_numpy(dtype=np.int64),
        group=whole["group"].to_numpy(dtype=object),
        class_names=classes.tolist(),
        embedding=originals.attributes,
    )


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
