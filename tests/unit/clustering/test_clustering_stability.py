"""Stability against counting pairs by hand, on clusters that are there and on noise."""

from dataclasses import replace
from itertools import combinations

import numpy as np
import pytest
from sklearn.metrics import adjusted_rand_score

from heteroscope.clustering import stability as module
from heteroscope.clustering.clusters import fit_clusters
from heteroscope.clustering.partition import partition_samples
from heteroscope.clustering.reduction import fit_reduction
from heteroscope.clustering.stability import jaccard_similarity, stability
from heteroscope.config import Clustering, Reduction
from heteroscope.embedding.samples import Samples
from heteroscope.errors import DataError

PCA = Reduction(method="pca", components=4)


def samples(gap: float = 20.0, rows: int = 90, columns: int = 6, a_patient: int = 2, seed: int = 0) -> Samples:
    """Three clumps, `gap` apart; every fifth patient tests; a patient has neighbouring rows."""
    generator = np.random.default_rng(seed)
    clump = np.arange(rows) // a_patient % 3
    part = np.where(np.arange(rows) // a_patient % 5 == 4, "test", "train").astype(object)
    return Samples(
        features=(gap * np.eye(3, columns)[clump] + generator.normal(size=(rows, columns))).astype(np.float32),
        image_id=np.array([f"{row:016x}" for row in range(rows)], dtype=object),
        view=np.zeros(rows, dtype=np.int64),
        part=part,
        label=generator.integers(0, 2, rows),
        group=np.array([f"p{row // a_patient}" for row in range(rows)], dtype=object),
        class_names=["normal", "cataract"],
        embedding={},
    )


def measured(rows: Samples, spec: Clustering, **options: int) -> dict:
    return stability(rows, partition_samples(rows, spec).cluster, spec, **options)


def rand_by_pairs(one: np.ndarray, two: np.ndarray) -> float:
    """The adjusted Rand index from every pair of rows (Hubert and Arabie, 1985)."""
    pairs = [(one[i] == one[j], two[i] == two[j]) for i, j in combinations(range(len(one)), 2)]
    both, first, second = (sum(map(f, pairs)) for f in (all, lambda p: p[0], lambda p: p[1]))
    expected = first * second / len(pairs)
    return (both - expected) / ((first + second) / 2 - expected)


def by_hand(rows: Samples, fitted: np.ndarray, spec: Clustering, bootstraps: int) -> tuple[list[float], np.ndarray]:
    """Index and Jaccard similarities of every bootstrap, patient by patient and set by set."""
    train = np.flatnonzero(rows.part == "train")
    patients = sorted(set(rows.group[train]))
    draws = np.random.default_rng(spec.seed).integers(len(patients), size=(bootstraps, len(patients)))
    indices, similarities = [], []
    original = [row for row in train if rows.view[row] == 0]
    for draw in draws:
        sample = np.array([row for number in draw for row in train if rows.group[row] == patients[number]])
        points = fit_reduction(rows.features[train], np.searchsorted(train, sample), spec.reduce, spec.seed).transform(
            rows.features
        )
        clusters = fit_clusters(points, sample, spec)
        found = dict(zip(train, clusters.assign(points, train), strict=True))
        found |= dict(zip(sample, clusters.labels, strict=True))
        indices.append(rand_by_pairs(fitted[original], np.array([found[row] for row in original])))
        ours = [{row for row in original if fitted[row] == c} for c in range(spec.k)]
        theirs = [{row for row in original if found[row] == c} for c in range(spec.k)]
        similarities.append([max(len(a & b) / len(a | b) for b in theirs) for a in ours])
    return indices, np.mean(similarities, axis=0)


@pytest.mark.parametrize("method", ["kmeans", "ward", "gmm"])
def test_clumps_that_are_there_are_found_every_time(method: str) -> None:
    found = measured(samples(), Clustering(method=method, k=3, reduce=PCA), bootstraps=8, seeds=3)
    assert found["bootstraps"] == {"number": 8, "failed": 0, "mean": 1.0, "sd": 0.0, "quartiles": [1.0, 1.0, 1.0]}
    assert [cluster["jaccard"] for cluster in found["clusters"]] == [1.0, 1.0, 1.0]
    if method == "ward":
        assert found["seeds"] is None
    else:
        assert (found["seeds"]["number"], found["seeds"]["mean"]) == (3, 1.0)


def test_parts_of_one_cloud_are_not() -> None:
    found = measured(samples(gap=0.0), Clustering(k=3), bootstraps=20, seeds=3)
    assert found["bootstraps"]["mean"] < 0.5
    assert all(cluster["jaccard"] < 0.75 for cluster in found["clusters"])  # Hennig's mark of a stable cluster


@pytest.mark.parametrize(
    ("method", "gap", "columns", "reduce"),
    [
        ("kmeans", 1.5, 6, PCA),
        ("ward", 3.0, 6, PCA),
        ("kmeans", 4.0, 300, Reduction()),  # more values than rows: the points are turned first
        ("ward", 4.0, 300, Reduction(method="pca", components=20)),
    ],
)
def test_a_bootstrap_by_hand(method: str, gap: float, columns: int, reduce: Reduction) -> None:
    rows, spec = samples(gap=gap, columns=columns), Clustering(method=method, k=3, reduce=reduce, seed=5)
    partition = partition_samples(rows, spec)
    found = stability(rows, partition.cluster, spec, bootstraps=6, seeds=0)
    indices, similarity = by_hand(rows, partition.cluster, spec, 6)
    assert np.std(indices) > 0
    assert found["bootstraps"]["mean"] == pytest.approx(np.mean(indices))
    assert found["bootstraps"]["sd"] == pytest.approx(np.std(indices, ddof=1))
    assert found["bootstraps"]["quartiles"] == pytest.approx(np.percentile(indices, [25, 50, 75]).tolist())
    assert [cluster["jaccard"] for cluster in found["clusters"]] == pytest.approx(similarity.tolist())


def test_other_seeds_by_hand() -> None:
    rows, spec = samples(gap=0.0, rows=60, columns=12), Clustering(method="gmm", k=2, reduce=PCA, seed=2**32 - 2)
    found = measured(rows, spec, bootstraps=0, seeds=3)["seeds"]
    train = rows.part == "train"
    one, *others = (
        partition_samples(rows, spec.model_copy(update={"seed": seed})).cluster[train]
        for seed in (2**32 - 2, 2**32 - 1, 0, 1)
    )
    expected = [adjusted_rand_score(one, other) for other in others]
    assert min(expected) < 1
    assert found["mean"] == pytest.approx(np.mean(expected))


def test_a_patient_is_drawn_with_all_rows() -> None:
    """Two patients a clump: one sample in four lacks a clump, which rows drawn one by one never would."""
    rows = samples(a_patient=16, rows=6 * 16)
    rows = replace(rows, part=np.full(len(rows), "train", dtype=object))
    whole = measured(rows, Clustering(k=3), bootstraps=20, seeds=0)
    assert (whole["patients"], whole["rows"]) == (6, 96)
    assert whole["bootstraps"]["mean"] < 1.0
    alone = replace(rows, group=rows.image_id)
    assert measured(alone, Clustering(k=3), bootstraps=20, seeds=0)["bootstraps"]["mean"] == 1.0


def test_views_are_fitted_with_their_image_but_only_originals_are_compared() -> None:
    rows = samples()
    train = np.flatnonzero(rows.part == "train")
    copies = {
        name: np.concatenate([getattr(rows, name), getattr(rows, name)[train]])
        for name in ("features", "image_id", "part", "label", "group")
    }
    view = np.concatenate([rows.view, np.ones(len(train), dtype=np.int64)])
    spec = Clustering(k=3)
    found = measured(replace(rows, view=view, **copies), spec, bootstraps=4, seeds=1)
    plain = measured(rows, spec, bootstraps=4, seeds=1)
    assert found["rows"] == 2 * plain["rows"] == 2 * len(train)
    assert [cluster["rows"] for cluster in found["clusters"]] == [cluster["rows"] for cluster in plain["clusters"]]


def test_a_sample_that_cannot_be_clustered_is_counted() -> None:
    """Four patients, of whom three have equal images: a sample may lack two distinct rows."""
    rows = samples(rows=8)
    features = np.zeros((8, 6), dtype=np.float32)
    features[:2] = 1.0
    rows = replace(rows, features=features, part=np.full(8, "train", dtype=object))
    found = measured(rows, Clustering(k=2), bootstraps=40, seeds=2)
    draws = np.random.default_rng(0).integers(4, size=(40, 4))
    expected = sum(not 0 < (draw == 0).sum() < 4 for draw in draws)
    assert 0 < expected == found["bootstraps"]["failed"] < found["bootstraps"]["number"] == 40
    assert "only 1 of the 8 training rows are distinct" in found["bootstraps"]["failure"]
    assert found["bootstraps"]["mean"] == 1.0
    assert found["seeds"]["failed"] == 0


def test_without_any_fit_nothing_is_defined() -> None:
    rows, spec = samples(rows=12), Clustering(k=3, reduce=Reduction(method="pca", components=6))
    cluster = np.arange(12) % 3
    wide = replace(rows, part=np.array(["train"] * 6 + ["test"] * 6, dtype=object))
    found = stability(wide, cluster, spec, bootstraps=3, seeds=2)
    assert found["bootstraps"]["failed"] == 3
    assert "components are asked for" in found["bootstraps"]["failure"]
    assert np.isnan([found["bootstraps"]["mean"], *found["bootstraps"]["quartiles"], found["seeds"]["mean"]]).all()
    assert np.isnan([each["jaccard"] for each in found["clusters"]]).all()
    with pytest.raises(DataError, match="no training rows"):
        stability(replace(rows, part=np.full(12, "test", dtype=object)), cluster, spec)


def test_large_data_are_sampled_by_patient(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(module, "STABILITY_ROWS", 31)
    found = measured(samples(), Clustering(k=3), bootstraps=3, seeds=1)
    assert (found["rows"], found["patients"], found["of_rows"]) == (30, 15, 72)
    assert sum(cluster["rows"] for cluster in found["clusters"]) == 30
    assert found["bootstraps"]["mean"] == 1.0
    monkeypatch.setattr(module, "STABILITY_ROWS", 1)
    assert measured(samples(), Clustering(k=2), bootstraps=1, seeds=0)["rows"] == 2


def test_the_same_twice_and_another_with_another_seed() -> None:
    rows, spec = samples(gap=1.0), Clustering(k=3, reduce=PCA)
    one, two = (measured(rows, spec, bootstraps=5, seeds=2) for _ in range(2))
    assert one == two
    other = stability(rows, partition_samples(rows, spec).cluster, spec.model_copy(update={"seed": 1}), bootstraps=5)
    assert other["bootstraps"]["quartiles"] != one["bootstraps"]["quartiles"]


def test_the_similarity_of_sets_by_hand() -> None:
    fitted, found = np.array([0, 0, 0, 0, 2, 2]), np.array([7, 7, 7, 8, 8, 8])
    np.testing.assert_allclose(jaccard_similarity(fitted, found, 3), [3 / 4, np.nan, 2 / 3])
