"""Small versions of what `make calibrate` measures: exact tests, the verdict's errors, its power."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import replace

import numpy as np
import pytest
import torch
from scipy.stats import binom

from calibration.settings import Setting
from calibration.study import divide_randomly, simulate
from calibration.worlds import World, draw
from heteroscope.clustering.partition import partition_samples
from heteroscope.config import Clustering

SMALL = (150, 60, 120)


@pytest.fixture(autouse=True)
def _one_thread() -> Iterator[None]:
    before = torch.get_num_threads()
    torch.set_num_threads(1)
    yield
    torch.set_num_threads(before)


def found(setting: Setting) -> list[dict]:
    return [simulate(setting, seed) for seed in range(setting.studies)]


@pytest.mark.parametrize("skewed", [False, True])
def test_random_parts_have_their_sizes_and_are_no_draw_of_the_controls(skewed: bool) -> None:
    samples, _ = draw(World("gaussian", 0.7, rows=(300, 100, 200)), 0)
    clusters = partition_samples(samples, Clustering(k=3))
    one, other = (divide_randomly(samples, clusters, skewed=skewed, seed=seed) for seed in (0, 1))
    assert not np.array_equal(one.cluster, other.cluster)
    train = samples.rows("train")
    counts = np.zeros((3, 2))
    np.add.at(counts, (one.cluster[train], samples.label[train]), 1)
    shares = counts / counts.sum(axis=0)
    if skewed:
        np.testing.assert_allclose(shares.T, [[0.6, 0.25, 0.15], [0.25, 0.35, 0.4]], atol=0.01)
    else:
        np.testing.assert_array_equal(counts.sum(axis=1), [150, 90, 60])
        assert np.ptp(shares, axis=1).max() < 0.2
    np.testing.assert_array_equal(one.clusters.labels, one.cluster[train])


def test_tests_against_random_parts_are_exact_where_the_parts_are_random() -> None:
    """p is uniform over 1/40 … 1: its rejections at 0.2 and its mean lie where chance puts them."""
    setting = Setting("random", "", World("gaussian", 1.0, rows=SMALL, features=8), 3, "random", "controls", 30)
    studies = found(setting)
    low, high = binom.ppf([0.001, 0.999], setting.studies, 0.2)
    for test in ("p_size", "p_balanced"):
        p = np.array([study[test] for study in studies])
        assert low <= (p <= 0.2).sum() <= high
        assert abs(p.mean() - 0.5) < 3.3 * np.sqrt(1 / 12 / setting.studies)


def test_against_random_parts_clusters_differ_though_one_rule_made_the_labels() -> None:
    setting = Setting("published", "", World("prevalence", 1.0, rows=(300, 80, 150)), 4, "kmeans", "controls", 4)
    studies = found(setting)
    assert np.median([study["p_size"] for study in studies]) <= 0.1
    assert sum(study["by_eye"] for study in studies) >= 3


def test_the_verdict_finds_what_was_planted_and_little_else() -> None:
    planted = World("planted", 1.2, rows=(300, 80, 150), features=10, degrees=110)
    setting = Setting("power", "", planted, 2, "kmeans", "verdict", 4)
    studies = found(setting)
    assert min(study["strata_found"] for study in studies) > 0.9
    assert sum(study["verdict"] == "different" for study in studies) >= 3
    shared = found(replace(setting, world=replace(planted, degrees=0.0), studies=6))
    # a test that is right in 95 % calls three of six different twice in a thousand times
    assert sum(study["verdict"] == "different" for study in shared) <= 2


def test_heavy_tails_are_no_rules_of_each_cluster() -> None:
    setting = Setting("null", "", World("heavy tails", 0.9, 0.2, rows=(300, 80, 150)), 3, "kmeans", "verdict", 5)
    studies = found(setting)
    assert sum(study["verdict"] == "different" for study in studies) <= 2
