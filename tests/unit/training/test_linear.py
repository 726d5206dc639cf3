"""A stored head calls images as the trained one did, on the embedding as it is stored."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest

from heteroscope.config import Head
from heteroscope.embedding.samples import Samples
from heteroscope.training.arms import train_baseline
from heteroscope.training.linear import linear_head, read_head, write_head


def make_samples(classes: int) -> Samples:
    generator = np.random.default_rng(0)
    label = np.arange(60) % classes
    # far from the origin and of very different spreads, as features of real networks are
    features = (label[:, None] + generator.normal(size=(60, 5))) * [1, 100, 0.01, 5, 0] + [3, -500, 0.2, 0, 7]
    image_id = np.array([f"{row:016x}" for row in range(60)], dtype=object)
    part = np.array(["train"] * 40 + ["validation"] * 10 + ["test"] * 10, dtype=object)
    names = [f"class {number}" for number in range(classes)]
    return Samples(features.astype(np.float32), image_id, np.zeros(60, int), part, label, image_id, names, {})


@pytest.mark.parametrize("classes", [2, 3])
@pytest.mark.parametrize("standardize", [True, False])
def test_a_stored_head_gives_the_trained_heads_probabilities_of_stored_features(
    tmp_path: Path, classes: int, standardize: bool
) -> None:
    stored = make_samples(classes)
    seen = stored.standardized() if standardize else stored
    head = Head(standardize=standardize, epochs=2, seeds=2)
    trained = train_baseline(seen, head, threads=1)
    write_head(linear_head(trained.weight[:, 0], seen), tmp_path / "head.h5")
    read = read_head(tmp_path / "head.h5")
    expected = trained.probabilities(seen.features)[:, 0]
    assert np.ptp(expected) > 0.1
    for seed in range(2):
        np.testing.assert_allclose(read.probabilities(stored.features, seed), expected[seed], atol=1e-4)


@pytest.mark.parametrize("classes", [2, 3])
def test_a_direction_raises_its_class_against_the_others(classes: int) -> None:
    """By finite differences of log(p_c / p_0), whose gradient is the difference of two logits'."""
    samples = make_samples(classes)
    trained = train_baseline(samples, Head(standardize=False, epochs=1, seeds=1), threads=1)
    head = linear_head(trained.weight[:, 0], samples)
    direction = head.directions(np.arange(classes), 0)
    step = 1e-6
    odds = np.log(head.probabilities(np.vstack([np.zeros(5), step * np.eye(5)]), 0))
    odds -= odds[:, :1]
    slope = ((odds[1:] - odds[0]) / step).T  # (classes, d)
    expected = direction - direction[0] if classes > 2 else np.stack([np.zeros(5), direction[1]])
    np.testing.assert_allclose(expected, slope, atol=1e-5)
    if classes == 2:
        np.testing.assert_array_equal(direction[0], -direction[1])
