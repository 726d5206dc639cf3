"""Which panels a clustering's scatter plots have, and which rows its figures show."""

from __future__ import annotations

from types import SimpleNamespace

import numpy as np
import pandas as pd
import pytest
from sklearn.decomposition import PCA

from heteroscope.clustering import projections
from heteroscope.clustering.partition import partition_samples
from heteroscope.clustering.projections import pca_projection
from heteroscope.config import Clustering
from heteroscope.embedding.samples import Samples
from heteroscope.figures import partition as figures
from heteroscope.figures.partition import _panels
from heteroscope.figures.scatter import Panel


def test_an_attribute_that_restates_the_patient_has_no_panel() -> None:
    names = np.array([*"abcdefghijkl"], dtype=object)
    group = np.array([f"p{row // 3}" for row in range(12)], dtype=object)
    samples = Samples(
        np.zeros((12, 1)), names, np.zeros(12, int), np.full(12, "train"), np.arange(12) % 2, group, ["x", "y"], {}
    )
    partition = SimpleNamespace(cluster=np.arange(12) % 2, clusters=SimpleNamespace(centroids=np.zeros((2, 1))))
    images = pd.DataFrame(
        {
            "group": group,
            "attr_patient": group,
            "attr_site": [*"uuuvvvuuuvvv"],
            "attr_age": np.repeat([1.5, 2, 3, 4], 3),
        },
        index=names,
    )
    assert [panel.title for panel in _panels(samples, partition, images)] == ["cluster", "label", "site", "age"]


def test_figures_of_many_rows_show_a_sample_and_say_so(monkeypatch: pytest.MonkeyPatch) -> None:
    generator = np.random.default_rng(0)
    names = np.array([f"i{row}" for row in range(90)], dtype=object)
    part = np.array(["train", "train", "test"], dtype=object)[np.arange(90) % 3]
    features = generator.normal(size=(90, 6)).astype(np.float32)
    samples = Samples(features, names, np.zeros(90, int), part, np.arange(90) % 2, names, ["x", "y"], {})
    found = partition_samples(samples, Clustering(k=2))
    panels = [Panel("row", np.arange(90.0)), Panel("unknown", np.full(90, np.nan))]

    whole = figures._pca_figure(samples, found, panels[:1], pca_projection(found, 3))
    assert whole.get_suptitle() == "Principal components, fitted on 60 training rows; all 90 rows"
    shares = PCA(2).fit(features[part == "train"]).explained_variance_ratio_
    named = (whole.axes[0].get_xlabel(), whole.axes[0].get_ylabel())
    assert named == (f"component 1 ({shares[0]:.1%} of variance)", f"component 2 ({shares[1]:.1%})")
    monkeypatch.setattr(projections, "PCA_ROWS", 30)
    monkeypatch.setattr(figures, "DENDROGRAM_ROWS", 20)
    some = figures._pca_figure(samples, found, panels, pca_projection(found, 3))
    assert some.get_suptitle().endswith("; 30 of 90 rows drawn at random")
    rows = np.sort(np.random.default_rng(3).choice(90, 30, replace=False))
    [axis] = [axis for axis in some.axes if axis.get_title(loc="left")]
    shown = np.concatenate([collection.get_offsets() for collection in axis.collections])
    np.testing.assert_allclose(np.sort(shown, axis=0), np.sort(found.coordinates[rows, :2], axis=0))
    tree = figures._dendrogram_figure(samples, found, 3)
    assert tree.axes[0].get_title(loc="left") == "Ward dendrogram of 20 of 60 training rows, drawn at random"
