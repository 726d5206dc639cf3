"""Which panels a clustering's scatter plots have."""

from __future__ import annotations

from types import SimpleNamespace

import numpy as np
import pandas as pd

from heteroscope.embedding.samples import Samples
from heteroscope.figures.partition import _panels


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
