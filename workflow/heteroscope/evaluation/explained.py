"""Explain decisions on test images: by maps of the whole decision, of the parts of a fusion, and of single features."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd

from heteroscope.config import Explanation
from heteroscope.data.places import Lesions
from heteroscope.embedding.cams import ActivationMaps, Branch, Maps
from heteroscope.embedding.recipe import pixels_shape
from heteroscope.embedding.samples import Samples
from heteroscope.evaluation.baseline import EMBEDDING
from heteroscope.evaluation.explanations import (
    Alone,
    Decisions,
    alone,
    cam_table,
    example_rows,
    require_the_reported_network,
    telling_features,
)
from heteroscope.evaluation.feature_tests import Part
from heteroscope.evaluation.pointing import pointing_table
from heteroscope.training.linear import LinearHead

MOST_IMAGES = 5  # beside single features


@dataclass(frozen=True)
class Explained:
    """What was found, for figures and tables.

    Attributes:
        spec: what was asked.
        backbones: ids of the branches.
        layers: name of each one's map.
        samples: of the study.
        decisions: on all its test images.
        rows: (n,) int, the explained test images; the examples first.
        examples: how many of them are shown.
        maps: of the decisions on all of them.
        table: see `explanations.cam_table`.
        lesions: of each of them.
        alone: what the parts of a fusion decide by themselves on the examples; None without a fusion.
        alone_maps: of these decisions.
        features: the features that are shown; see `explanations.telling_features`.
        untested: why no features are shown; empty where some are.
        feature_rows: (i,) int, the test images that they are shown on.
        feature_maps: (i, h, w) of every feature.
        difference: see `explanations.require_the_reported_network`.
    """

    spec: Explanation
    backbones: list[str]
    layers: list[str]
    samples: Samples
    decisions: Decisions
    rows: np.ndarray
    examples: int
    maps: Maps
    table: pd.DataFrame
    lesions: list[Lesions]
    alone: Alone | None
    alone_maps: Maps | None
    features: pd.DataFrame
    untested: str
    feature_rows: np.ndarray
    feature_maps: list[np.ndarray]
    difference: dict[str, float]

    def image_ids(self, rows: np.ndarray) -> np.ndarray:
        """Ids of test images by their row."""
        return np.asarray(self.samples.image_id[self.samples.rows("test")][rows])


@dataclass(frozen=True)
class Network:
    """What is explained.

    Attributes:
        backbones: ids of the branches.
        branches: their networks.
        head: trained on all their features.
        part_heads: trained on each one's features; empty without a fusion.
        pixels: the file that all of them look at.
        precision: in which they embedded.
        tested: the part of the split that features are tested on, whose labels no branch was trained on.
    """

    backbones: list[str]
    branches: list[Branch]
    head: LinearHead
    part_heads: list[LinearHead]
    pixels: Path
    precision: str
    tested: Part


def explain(
    network: Network, samples: Samples, made: Decisions, lesions: Sequence[Lesions], spec: Explanation
) -> Explained:
    """Explain decisions on the examples, and on all other test images whose lesions are known.

    Args:
        network: what decides.
        samples: of the study.
        made: the decisions.
        lesions: of every test image, in its decoded pixels.
        spec: what is asked.

    Raises:
        ConfigError: a layer gives no map.
        StoreError: files do not belong together.
    """
    maps_of, test = ActivationMaps(network.branches, spec.method), samples.rows("test")
    shown = example_rows(made, spec.examples)
    rows = np.array([*shown, *(row for row in range(len(test)) if len(lesions[row].x) and row not in set(shown))])
    direction = network.head.directions(made.explained[rows], spec.seed)
    maps = maps_of.of_images(network.pixels, samples.image_id[test][rows], direction)
    difference = require_the_reported_network(
        network.head.probabilities(maps.features, spec.seed),
        made.probability[rows],
        precision=network.precision,
        where=network.pixels,
    )
    own = [lesions[row] for row in rows]
    size = pixels_shape(network.pixels)[1]
    table = cam_table(samples, made, rows, maps.joint(), own, size=size, tolerance=spec.tolerance)
    by_parts = alone_maps = None
    if network.part_heads:
        features = samples.in_memory()[test][shown]
        by_parts = alone(network.part_heads, features, made.label[shown], samples.class_names, spec)
        alone_maps = maps_of.of_images(network.pixels, samples.image_id[test][shown], by_parts.direction)
    telling, untested = telling_features(samples, spec.features, network.tested)
    pictured = np.array(_first_of_classes(made, shown)[:MOST_IMAGES], dtype=np.int64)
    return Explained(
        spec=spec,
        backbones=network.backbones,
        layers=[branch.layer for branch in network.branches],
        samples=samples,
        decisions=made,
        rows=rows,
        examples=len(shown),
        maps=maps,
        table=table.assign(example=np.arange(len(rows)) < len(shown)),
        lesions=own,
        alone=by_parts,
        alone_maps=alone_maps,
        features=_named(telling, network).assign(tested_on=network.tested),
        untested=untested,
        feature_rows=pictured,
        feature_maps=_feature_maps(maps_of, network, samples.image_id[test][pictured], telling["feature"].to_numpy()),
        difference=difference,
    )


def summary(found: Explained) -> dict[str, Any]:
    """What was explained, how, and the score of the pointing game where lesions are known."""
    names, table = found.samples.class_names, found.table
    return {
        "method": found.spec.method,
        "layers": dict(zip(found.backbones, found.layers, strict=True)),
        "explained": found.spec.explained,
        "seed": found.spec.seed,
        "class_names": names,
        "images": len(table),
        "without_a_peak": int(table["peak_x"].isna().sum()),
        "tolerance": found.spec.tolerance,
        "pointing": pointing_table(table, names).to_dict("records") if table["hit"].notna().any() else None,
        "probability_difference": found.difference,
        **{name: str(found.samples.embedding.get(name, "")) for name in EMBEDDING},
    }


def _first_of_classes(made: Decisions, shown: np.ndarray) -> list[int]:
    """The first example of each class."""
    return [int(shown[made.label[shown] == label][0]) for label in dict.fromkeys(made.label[shown].tolist())]


def _feature_maps(
    maps_of: ActivationMaps, network: Network, image_id: np.ndarray, features: np.ndarray
) -> list[np.ndarray]:
    """The maps (i, h, w) of single features over images (i,): of the branch that each belongs to."""
    place = np.searchsorted(_edges(network), features, side="right")
    found = []
    for feature, branch in zip(features, place, strict=True):
        direction = np.zeros((len(image_id), network.head.weight.shape[-1]))
        direction[:, feature] = 1
        found.append(maps_of.of_images(network.pixels, image_id, direction).of_branch(int(branch)))
    return found


def _named(features: pd.DataFrame, network: Network) -> pd.DataFrame:
    """The table of features with the branch that each belongs to, and its number there."""
    edges = np.array([0, *_edges(network)])
    place = np.searchsorted(edges[1:], features["feature"], side="right")
    named = features.assign(
        backbone=np.array(network.backbones, dtype=object)[place], number=features["feature"] - edges[place]
    )
    first = ["feature", "backbone", "number"]
    return named[first + [name for name in features.columns if name not in first]]


def _edges(network: Network) -> np.ndarray:
    """Where the features of all branches but the first begin."""
    return np.cumsum([branch.width for branch in network.branches])[:-1]
