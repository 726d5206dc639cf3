"""The analysis of an embedding's features: which are tested on which images, what the search asks, what is summed up.

Features are tested on the training images, so that what is chosen by them can be judged on others: the same effects on
the test images stand beside. A backbone that was trained on the training images has seen their labels: its features are
tested on the test images alone. With folds there are no images that all folds leave out: all are tested, and each is
searched for among all.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import numpy as np
import pandas as pd

from heteroscope.clustering.quality import SILHOUETTE_ROWS, silhouette
from heteroscope.config import Features
from heteroscope.data.attributes import telling_attributes
from heteroscope.embedding.blocks import drawn_rows
from heteroscope.embedding.samples import Samples
from heteroscope.errors import DataError
from heteroscope.evaluation.baseline import EMBEDDING
from heteroscope.evaluation.feature_tests import FEWEST, Correlations, Part, Units, feature_table, units_of
from heteroscope.evaluation.retrieval import Neighbours, nearest, precision_table

MOST_LEVELS = 20  # of an attribute whose silhouette says something
SEED = 0


@dataclass(frozen=True)
class Tested:
    """Features and their tests.

    Attributes:
        part: the images that they are tested on.
        units: these images, or their patients.
        held_out: the same of the other images; None where none are left, or too few of a class.
        table: `feature_tests.feature_table` with `held_out_effect` and `held_out_p`.
    """

    part: Part
    units: Units
    held_out: Units | None
    table: pd.DataFrame

    def telling(self) -> np.ndarray:
        """Numbers of the features that vary, the most telling first."""
        return self.table.loc[self.table["p"].notna(), "feature"].to_numpy()


def run_tests(samples: Samples, spec: Features, part: Part) -> Tested:
    """Test every feature between the classes.

    Raises:
        DataError: a class has fewer than two patients or images, or fewer than two features vary.
    """
    units = _units(samples, spec, part)
    table = feature_table(units, samples.class_names, spec.test)
    if table["p"].notna().sum() < 2:
        raise DataError(
            "fewer than two features of the embedding vary over the images; check the weights and the layer of the"
            " backbone"
        )
    others = _units(samples, spec, "test") if part == "train" else None
    held_out = others if others and _counts(others, samples.class_names).min() >= FEWEST else None
    again = pd.DataFrame({"effect": np.nan, "p": np.nan}, index=table["feature"])
    if held_out:
        again = feature_table(held_out, samples.class_names, spec.test).set_index("feature")
    for name in ("effect", "p"):
        table[f"held_out_{name}"] = again.loc[table["feature"], name].to_numpy()
    return Tested(part, units, held_out, table)


def _units(samples: Samples, spec: Features, part: Part) -> Units:
    rows = samples.rows(part)
    return units_of(samples.features[rows], samples.label[rows], samples.group[rows], spec.unit)


def _counts(units: Units, class_names: list[str]) -> np.ndarray:
    return np.bincount(units.label, minlength=len(class_names))


@dataclass(frozen=True)
class Search:
    """A search of images.

    Attributes:
        query: (q,) rows of the samples: the test images, or all where there are none.
        gallery: (g,) rows of the samples: the training images.
        found: for each query.
    """

    query: np.ndarray
    gallery: np.ndarray
    found: Neighbours


def search(samples: Samples, spec: Features) -> Search:
    """The training images nearest to each test image, by as many as `retrieval.at` asks at most."""
    gallery, test = samples.rows("train"), samples.rows("test")
    query = test if len(test) else gallery
    found = nearest(
        samples.features[query],
        samples.features[gallery],
        samples.group[query],
        samples.group[gallery],
        k=max(spec.retrieval.at),
    )
    return Search(query, gallery, found)


def retrieval_table(samples: Samples, spec: Features, found: Search) -> pd.DataFrame:
    """Precision at every k of `retrieval.at`, see `precision_table`."""
    query, gallery = found.query, found.gallery
    return precision_table(
        found.found,
        samples.label[query],
        samples.label[gallery],
        samples.group[query],
        samples.class_names,
        spec.retrieval.at,
    )


def sheet_queries(samples: Samples, spec: Features, found: Search) -> np.ndarray:
    """Places of some queries, (m,) int: drawn at random, one a patient, as many of each class; classes in order."""
    order = np.random.default_rng(spec.retrieval.seed).permutation(len(found.query))
    order = order[found.found.row[order, 0] >= 0]
    drawn = pd.DataFrame({"place": order, "group": samples.group[found.query[order]]})
    drawn["label"] = samples.label[found.query[order]]
    drawn = drawn.drop_duplicates("group")
    drawn["turn"] = drawn.groupby("label").cumcount()
    chosen = drawn.sort_values(["turn", "label"], kind="stable").head(spec.retrieval.queries)
    return chosen.sort_values(["label", "turn"])["place"].to_numpy()


def silhouettes(samples: Samples, images: pd.DataFrame, part: Part) -> dict[str, Any]:
    """Silhouettes of the labels, of the patients and of the source's attributes, over the embeddings as they are.

    An attribute takes part where it has 2 to `MOST_LEVELS` levels; images of which it is not known are left out.

    Args:
        samples: embeddings.
        images: images.parquet.
        part: which images.
    """
    rows = samples.rows(part)
    rows = rows[drawn_rows(len(rows), SILHOUETTE_ROWS, SEED)]
    points = samples.features[rows]
    attributes = telling_attributes(images.set_index("image_id").loc[samples.image_id[rows]])
    found = {}
    for name, values in attributes.items():
        known = values.notna().to_numpy() & (values.astype(str) != "").to_numpy()
        if 2 <= values[known].nunique() <= MOST_LEVELS:
            found[str(name)] = silhouette(points[known], pd.factorize(values[known])[0])
    return {
        "images": len(rows),
        "labels": silhouette(points, samples.label[rows]),
        "patients": silhouette(points, pd.factorize(samples.group[rows])[0]),
        "attributes": found,
    }


def summary(
    samples: Samples, spec: Features, tested: Tested, groups: pd.DataFrame, correlated: Correlations, found: Search
) -> dict[str, Any]:
    """What `summary.json` holds beside the silhouettes: how many features tell the classes apart, on what.

    Args:
        samples: embeddings.
        spec: what was asked.
        tested: tests.
        groups: `redundancy_table`.
        correlated: what it was made of.
        found: search.
    """
    table = tested.table
    significant = table["q"] <= spec.level
    first = table.iloc[0]
    return {
        "features": len(table),
        "constant": int(table["p"].isna().sum()),
        "test": first["test"],
        "unit": spec.unit,
        "tested_on": {"part": tested.part} | _counted(tested.units, samples.class_names),
        "level": spec.level,
        "significant": int(significant.sum()),
        "strongest": {name: first[name] for name in ("feature", "effect", "measure", "q", "held_out_effect")},
        "held_out": _held_out(tested, significant, spec.level, samples.class_names),
        "redundancy": {
            "threshold": spec.correlation,
            "correlated": len(correlated.feature),
            "groups": int(groups["group"].nunique()),
            "features": len(groups),
        },
        "search": {"queries": len(found.query), "gallery": len(found.gallery)},
        **{name: str(samples.embedding.get(name, "")) for name in EMBEDDING},
    }


def _counted(units: Units, class_names: list[str]) -> dict[str, Any]:
    return {"units": dict(zip(class_names, _counts(units, class_names).tolist(), strict=True))}


def _held_out(tested: Tested, significant: pd.Series, level: float, class_names: list[str]) -> dict[str, Any] | None:
    """How many significant features have a p below the level on images that had no part in finding them."""
    if tested.held_out is None:
        return None
    table = tested.table[significant]
    same_side = np.sign(table["effect"]) == np.sign(table["held_out_effect"])
    again = (table["held_out_p"] <= level) & same_side
    return _counted(tested.held_out, class_names) | {"significant_again": int(again.sum())}
