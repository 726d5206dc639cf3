"""The arm `gaussian`: what is drawn, that it goes the way of the observed images, and what it rejects."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
from sklearn.metrics import f1_score, roc_auc_score

from heteroscope.clustering.partition import partition_samples
from heteroscope.config import Clustering, Controls, Head, Reduction
from heteroscope.embedding.samples import Samples
from heteroscope.errors import StoreError
from heteroscope.evaluation.gaussian import GaussianRuns, read_gaussian, write_gaussian
from heteroscope.evaluation.statistics import permutation_p
from heteroscope.training import gaussian_arm
from heteroscope.training.gaussian_arm import draw_images, fit_cloud, reduced_images, retrain_on_gaussian
from heteroscope.training.heads import Group, train_heads
from tests.unit.training.worlds import make_samples, with_views

HEAD = Head(learning_rate=0.05, batch_size=16, epochs=6, patience=3, monitor="loss", seeds=2)
CONTROLS = Controls(repeats=3, min_class=3, min_test=5, seed=11)
PLAIN = Clustering(k=2)


def run(
    samples: Samples, clustering: Clustering = PLAIN, head: Head = HEAD, controls: Controls = CONTROLS
) -> GaussianRuns:
    return retrain_on_gaussian(samples, clustering, head, controls, threads=1)


def assert_same(left: GaussianRuns, right: GaussianRuns, rows: slice = slice(None)) -> None:
    for name in ("size", "class_counts", "eligible"):
        np.testing.assert_array_equal(getattr(left, name)[rows], getattr(right, name)[rows])
    for name, values in left.metric.items():
        np.testing.assert_allclose(values[rows], right.metric[name][rows], atol=1e-6)


# ------------------------------------------------------------------------------------- the draws


def test_a_cloud_has_the_mean_variances_and_correlations_of_many_points() -> None:
    generator = np.random.default_rng(0)
    mixing = generator.normal(size=(3, 3)) * [[1], [10], [0.1]]
    points = generator.normal(size=(20_000, 3)) @ mixing.T + [5, -2, 0]
    drawn = fit_cloud(points.astype(np.float32)).draw(40_000, np.random.default_rng(1))
    np.testing.assert_allclose(drawn.mean(axis=0), points.mean(axis=0), atol=4 * points.std(axis=0).max() / 200)
    np.testing.assert_allclose(drawn.std(axis=0), points.std(axis=0), rtol=0.02)
    np.testing.assert_allclose(np.corrcoef(drawn.T), np.corrcoef(points.T), atol=0.02)


def test_few_points_in_many_dimensions_keep_their_variances_and_lose_correlation() -> None:
    generator = np.random.default_rng(0)
    points = generator.normal(size=(15, 40)) * np.geomspace(10, 0.1, 40)
    cloud = fit_cloud(points)
    covariance = cloud.root @ cloud.root.T
    np.testing.assert_allclose(np.diag(covariance), points.var(axis=0), rtol=1e-9)
    assert np.linalg.eigvalsh(covariance).min() > 0  # fifteen points span fourteen dimensions
    spread = points.std(axis=0)
    shrunk = np.abs(covariance / np.outer(spread, spread))[~np.eye(40, dtype=bool)]
    assert shrunk.mean() < 0.5 * np.abs(np.corrcoef(points.T))[~np.eye(40, dtype=bool)].mean()


def test_constant_features_stay_constant() -> None:
    points = np.column_stack([np.arange(10.0), np.full(10, 3.0)])
    drawn = fit_cloud(points).draw(5, np.random.default_rng(0))
    np.testing.assert_array_equal(drawn[:, 1], 3.0)
    assert np.ptp(drawn[:, 0]) > 0


def test_every_image_is_drawn_from_its_class_from_seed_and_number_alone() -> None:
    images, _ = make_samples("shared", n=4000, d=3)
    clouds = [gaussian_arm.Cloud(np.full(3, 10.0 * c), np.eye(3) * (1 + c)) for c in range(2)]
    first = draw_images(images, clouds, seed=3, draw=1)
    np.testing.assert_array_equal(first.label, images.label)
    np.testing.assert_array_equal(first.part, images.part)
    for label in range(2):
        mine = first.features[images.label == label]
        np.testing.assert_allclose(mine.mean(axis=0), 10 * label, atol=0.2)
        np.testing.assert_allclose(mine.std(axis=0), 1 + label, atol=0.1)
    np.testing.assert_array_equal(draw_images(images, clouds, seed=3, draw=1).features, first.features)
    for seed, draw in ((3, 2), (4, 1)):
        assert not np.array_equal(draw_images(images, clouds, seed=seed, draw=draw).features, first.features)


# -------------------------------------------------------------------------------------- the arm


@pytest.mark.parametrize("draw", [0, 2])
def test_a_data_set_goes_the_way_of_the_study(draw: int) -> None:
    """The observed one, in the reduced space, and a drawn one: clustered, standardized, trained, selected, tested."""
    samples, _ = make_samples("shared", n=300, d=6)
    clustering = Clustering(k=2, reduce=Reduction(method="pca", components=3))
    head = HEAD.model_copy(update={"learning_rate": 0.5})  # heads overshoot: which rows choose the epoch matters
    runs = run(samples, clustering, head)
    images = replace(samples, features=partition_samples(samples, clustering).points)
    if draw:
        clouds = [fit_cloud(images.features[samples.label == c]) for c in range(2)]
        images = draw_images(images, clouds, seed=CONTROLS.seed, draw=draw)
    partition = partition_samples(images, PLAIN)
    train, test, label = samples.rows("train"), samples.rows("test"), samples.label
    np.testing.assert_array_equal(runs.size[draw], partition.clusters.sizes)
    points = images.features
    points = ((points - points[train].mean(axis=0)) / points[train].std(axis=0)).astype(np.float32)
    for c in range(2):
        rows = train[partition.cluster[train] == c]
        np.testing.assert_array_equal(runs.class_counts[draw, c], np.bincount(label[rows]))
        groups = [Group(rows, seed, c) for seed in range(head.seeds)]
        options = {"selection": samples.rows("validation"), "spec": head, "classes": 2, "threads": 1}
        score = train_heads(points, label[None], groups, **options).probabilities(points[test])[:, 0, :, 1]
        area = np.mean([roc_auc_score(label[test], s) for s in score])
        np.testing.assert_allclose(runs.metric["auc"][draw, c], area, atol=1e-4)
        f1 = np.mean([f1_score(label[test], s > 0.5) for s in score])
        np.testing.assert_allclose(runs.metric["f1"][draw, c], f1, atol=1e-6)


def test_an_unreduced_clustering_is_drawn_in_the_space_of_the_label_rule() -> None:
    samples, _ = make_samples("shared", n=200, d=80)
    assert reduced_images(samples, PLAIN).features.shape[1] == 50
    reduced = Clustering(k=2, reduce=Reduction(method="pca", components=7))
    assert reduced_images(samples, reduced).features.shape[1] == 7


def test_copies_are_left_out_of_all_data_sets() -> None:
    samples, _ = with_views(*make_samples("shared"))
    runs = run(samples)
    assert set(runs.size.sum(axis=1)) == {((samples.part == "train") & (samples.view == 0)).sum()}


def test_every_data_set_has_as_many_images_of_every_part_and_class() -> None:
    samples, _ = make_samples("shared")
    runs = run(samples)
    train = samples.rows("train")
    for counts in runs.class_counts:
        np.testing.assert_array_equal(counts.sum(axis=0), np.bincount(samples.label[train]))
    np.testing.assert_array_equal(runs.class_counts.sum(axis=2), runs.size)
    assert len(np.unique(runs.size[:, 0])) > 1


def test_a_draw_is_the_same_whichever_others_are_made(monkeypatch: pytest.MonkeyPatch) -> None:
    samples, _ = make_samples("shared")
    runs = run(samples)
    assert_same(run(samples, controls=CONTROLS.model_copy(update={"repeats": 2})), runs, slice(3))
    monkeypatch.setattr(gaussian_arm, "BLOCK_BYTES", 1)  # one data set at a time
    assert_same(run(samples), runs)


def test_a_data_set_that_cannot_be_clustered_counts_for_nothing(monkeypatch: pytest.MonkeyPatch) -> None:
    samples, _ = make_samples("shared")
    whole, fit, calls = run(samples), gaussian_arm.fit_clusters, []

    def fails_once(*arguments: object) -> object:
        calls.append(1)
        if len(calls) == 3:
            raise gaussian_arm.DataError("no")
        return fit(*arguments)  # type: ignore[arg-type]

    monkeypatch.setattr(gaussian_arm, "fit_clusters", fails_once)
    runs = run(samples)
    assert np.isnan(runs.omnibus("accuracy")).tolist() == [False, False, True, False]
    assert not runs.eligible[2].any()
    assert_same(runs, whole, slice(2))
    assert_same(runs, whole, slice(3, 4))


def test_t_is_over_the_compared_clusters_of_each_data_set() -> None:
    metric = np.array([[0.9, 0.7, 0.2], [0.8, 0.8, 0.1], [0.5, 0.6, 0.7]])
    size = np.array([[30, 10, 5], [20, 20, 5], [15, 15, 15]])
    eligible = np.array([[True, True, False], [True, True, True], [False, True, False]])
    runs = GaussianRuns({"accuracy": metric}, size, np.zeros((3, 3, 2)), eligible)
    first = 0.75 * (0.9 - 0.85) ** 2 + 0.25 * (0.7 - 0.85) ** 2
    mean = (20 * 0.8 + 20 * 0.8 + 5 * 0.1) / 45
    second = (40 * (0.8 - mean) ** 2 + 5 * (0.1 - mean) ** 2) / 45
    np.testing.assert_allclose(runs.omnibus("accuracy"), [first, second, np.nan])


def test_files_give_back_what_was_written(tmp_path: Path) -> None:
    samples, _ = make_samples("shared")
    runs, path = run(samples), tmp_path / "gaussian.h5"
    write_gaussian(path, runs)
    again = read_gaussian(path)
    assert again.metric.keys() == runs.metric.keys()
    assert_same(again, runs)
    with pytest.raises(StoreError, match="no such file"):
        read_gaussian(tmp_path / "other.h5")


# ----------------------------------------------------------------------------------- what it finds


def clumps(share: list[float], *, seed: int, apart: float, n: int = 700, d: int = 8) -> Samples:
    """One linear rule over all images; clumps of these shares."""
    generator = np.random.default_rng(seed)
    samples, _ = make_samples("shared", n=n, d=d, seed=seed)
    clump = generator.choice(len(share), n, p=share)
    centre = np.random.default_rng(99).normal(size=(len(share), d)) * apart
    features = centre[clump] + generator.normal(size=(n, d))
    slope = np.random.default_rng(98).normal(size=d)
    logit = (features - centre.T @ share) @ slope
    label = (generator.random(n) < 1 / (1 + np.exp(-logit))).astype(int)
    return replace(samples, features=features.astype(np.float32), label=label)


@pytest.mark.parametrize(("share", "apart", "often"), [([1.0], 0.0, False), ([0.55, 0.25, 0.15, 0.05], 3.0, True)])
def test_one_cloud_is_rarely_rejected_and_unequal_clumps_with_one_rule_often_are(
    share: list[float], apart: float, often: bool
) -> None:
    """The second is why the verdict does not rest on it: it says that the clouds are not Gaussian, no more."""
    head = Head(learning_rate=0.05, batch_size=32, epochs=6, patience=3, monitor="loss", seeds=1)
    controls = Controls(repeats=19, min_class=3, min_test=5)
    found = 0
    for seed in range(8):
        spread = run(clumps(share, seed=seed, apart=apart), Clustering(k=4), head, controls).omnibus("auc")
        found += permutation_p(spread[0], spread[1:]) <= 0.1
    assert found >= 4 if often else found <= 2
