"""The arms: what each head is trained on, and what its scores are held against."""

from __future__ import annotations

from dataclasses import replace

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from sklearn.metrics import log_loss, roc_auc_score

from heteroscope.config import Controls, Head
from heteroscope.embedding.samples import Samples
from heteroscope.evaluation.controls import make_blocks, random_partition
from heteroscope.evaluation.statistics import permutation_p
from heteroscope.evaluation.verdict import gains
from heteroscope.training import arms, label_arm
from heteroscope.training.heads import Group, train_heads

HEAD = Head(learning_rate=0.05, batch_size=16, epochs=6, patience=3, monitor="loss", seeds=2)
CONTROLS = Controls(repeats=4, draws=3, min_class=3, min_test=5, seed=11)


def make_samples(
    truth: str, *, n: int = 240, d: int = 4, patients: int | None = None, seed: int = 0, slope: float = 2.5
) -> tuple[Samples, np.ndarray]:
    """Two far clusters; `planted`: the rule turns by 90 degrees between them, `shared`: it does not."""
    generator = np.random.default_rng(seed)
    cluster = generator.integers(0, 2, n)
    features = generator.normal(size=(n, d))
    axis = cluster if truth == "planted" else np.zeros(n, dtype=int)
    label = (generator.random(n) < 1 / (1 + np.exp(-slope * features[np.arange(n), axis]))).astype(int)
    features[:, -1] += 12 * cluster
    part = generator.choice(["train", "validation", "test"], n, p=[0.5, 0.15, 0.35])
    group = np.arange(n) if patients is None else generator.integers(0, patients, n)
    samples = Samples(
        features=features.astype(np.float32),
        image_id=np.array([f"i{row:04d}" for row in range(n)], dtype=object),
        view=np.zeros(n, dtype=np.int64),
        part=part.astype(object),
        label=label,
        group=np.array([f"p{number}" for number in group], dtype=object),
        class_names=["normal", "disease"],
        embedding={},
    )
    return samples, cluster


def with_views(samples: Samples, cluster: np.ndarray) -> tuple[Samples, np.ndarray]:
    """Two views of every training image, in its cluster."""
    rows = np.repeat(samples.rows("train"), 2)
    whole = np.concatenate([np.arange(len(samples)), rows])
    view = np.concatenate([samples.view, np.tile([1, 2], len(rows) // 2)])
    columns = {name: getattr(samples, name)[whole] for name in ("features", "image_id", "part", "label", "group")}
    return replace(samples, view=view, **columns), cluster[whole]


def parts_of(samples: Samples, cluster: np.ndarray, controls: Controls, *, balanced: bool) -> list[list[np.ndarray]]:
    """The training rows of every cluster's job and repeat, caught on their way into training."""
    caught: list[list[np.ndarray]] = []

    def catch(_samples: Samples, parts: list[np.ndarray], *_: object) -> None:
        caught.append(list(parts))

    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(arms, "_run_parts", catch)
        for number in range(int(cluster.max()) + 1):
            arms.retrain_random(samples, cluster, number, HEAD, controls, balanced=balanced, threads=1)
    return caught


# ------------------------------------------------------------------------------- cluster, pooled


def test_the_cluster_arm_trains_on_members_alone() -> None:
    samples, cluster = make_samples("planted")
    runs = arms.retrain_cluster(samples, cluster, 1, HEAD, threads=1)
    members = np.flatnonzero((samples.part == "train") & (cluster == 1))
    test = samples.rows("test")
    assert runs.probability.shape == (1, HEAD.seeds, len(test), 2)
    for seed in range(HEAD.seeds):
        alone = train_heads(
            samples.features,
            samples.label[None],
            [Group(members, seed, 1)],
            selection=samples.rows("validation"),
            spec=HEAD,
            classes=2,
            threads=1,
        )
        np.testing.assert_allclose(
            runs.probability[0, seed], alone.probabilities(samples.features[test])[0, 0], atol=1e-5
        )
        assert runs.best_epoch[0, seed] == alone.best_epoch[0, 0]
    assert runs.size.tolist() == [len(members)]
    assert runs.class_counts.tolist() == [np.bincount(samples.label[members]).tolist()]
    # what the other cluster holds changes nothing
    changed = samples.features.copy()
    changed[(samples.part == "train") & (cluster == 0)] += 5
    again = arms.retrain_cluster(replace(samples, features=changed), cluster, 1, HEAD, threads=1)
    np.testing.assert_array_equal(again.probability, runs.probability)


def test_the_published_protocol_selects_on_the_test_set() -> None:
    samples, _ = make_samples("shared")
    assert arms.selection_rows(samples, HEAD).tolist() == samples.rows("validation").tolist()
    published = HEAD.model_copy(update={"selection": "test"})
    assert arms.selection_rows(samples, published).tolist() == samples.rows("test").tolist()


# ----------------------------------------------------------------------------- size and balanced


def test_parts_have_the_clusters_sizes_and_all_jobs_draw_the_same() -> None:
    samples, cluster = make_samples("shared")
    train = samples.rows("train")
    jobs = parts_of(samples, cluster, CONTROLS, balanced=False)
    for first, second in zip(*jobs, strict=True):
        assert len(first) == (cluster[train] == 0).sum()
        assert len(second) == (cluster[train] == 1).sum()
        assert sorted([*first, *second]) == train.tolist()
    drawn = {tuple(part) for part in jobs[0]}
    assert len(drawn) == CONTROLS.repeats, "repeats are the same"


def test_balanced_parts_have_the_clusters_class_counts() -> None:
    samples, cluster = make_samples("shared")
    train = samples.rows("train")
    jobs = parts_of(samples, cluster, CONTROLS, balanced=True)
    for number, job in enumerate(jobs):
        expected = np.bincount(samples.label[train[cluster[train] == number]], minlength=2)
        for part in job:
            np.testing.assert_array_equal(np.bincount(samples.label[part], minlength=2), expected)
    for first, second in zip(*jobs, strict=True):
        assert sorted([*first, *second]) == train.tolist()
    sizes = parts_of(samples, cluster, CONTROLS, balanced=False)
    counts = {tuple(np.bincount(samples.label[part], minlength=2)) for part in sizes[0]}
    assert len(counts) > 1, "the arm `size` is balanced too: the test shows nothing"


@pytest.mark.parametrize("balanced", [False, True])
def test_patients_are_not_torn_and_views_go_with_their_image(balanced: bool) -> None:
    samples, cluster = with_views(*make_samples("shared", patients=60))
    # a patient's images in one cluster have one label here, so that a class does not divide them
    label = np.array([hash_of(name) for name in samples.group])
    samples = replace(samples, label=label)
    jobs = parts_of(samples, cluster, CONTROLS, balanced=balanced)
    for parts in zip(*jobs, strict=True):
        owner = np.full(len(samples), -1)
        for number, part in enumerate(parts):
            owner[part] = number
        for row in samples.rows("train"):
            mates = (samples.part == "train") & (samples.group == samples.group[row]) & (cluster == cluster[row])
            assert len(set(owner[mates])) == 1
        largest = 3 * max(np.unique(samples.group, return_counts=True)[1])
        sizes = [len(part) for part in parts]
        assert np.abs(np.array(sizes) - np.bincount(cluster[samples.rows("train")])).max() <= largest


def hash_of(name: str) -> int:
    return int(name[1:]) % 2


def test_views_count_as_samples_where_the_protocol_says_so() -> None:
    samples, cluster = with_views(*make_samples("shared"))
    controls = CONTROLS.model_copy(update={"views": "samples"})
    [first, *_], _ = parts_of(samples, cluster, controls, balanced=False)
    counts = np.unique(samples.image_id[first], return_counts=True)[1]
    assert set(counts) == {1, 2, 3}
    [together, *_], _ = parts_of(samples, cluster, CONTROLS, balanced=False)
    assert set(np.unique(samples.image_id[together], return_counts=True)[1]) == {3}


def test_random_runs_are_trained_on_their_parts() -> None:
    samples, cluster = make_samples("shared")
    runs = arms.retrain_random(samples, cluster, 0, HEAD, CONTROLS, balanced=False, threads=1)
    parts = parts_of(samples, cluster, CONTROLS, balanced=False)[0]
    test = samples.rows("test")
    assert runs.probability.shape == (CONTROLS.repeats, HEAD.seeds, len(test), 2)
    for repeat, seed in ((0, 1), (3, 0)):
        alone = train_heads(
            samples.features,
            samples.label[None],
            [Group(parts[repeat], seed, 0)],
            selection=samples.rows("validation"),
            spec=HEAD,
            classes=2,
            threads=1,
        )
        np.testing.assert_allclose(
            runs.probability[repeat, seed], alone.probabilities(samples.features[test])[0, 0], atol=1e-5
        )
        assert runs.class_counts[repeat].tolist() == np.bincount(samples.label[parts[repeat]]).tolist()


@settings(max_examples=60, deadline=None)
@given(
    cluster=st.lists(st.integers(0, 4), min_size=1, max_size=60),
    patients=st.integers(1, 30),
    seed=st.integers(0, 99),
    repeat=st.integers(1, 9),
    classes=st.integers(1, 3),
)
def test_any_partition_covers_and_repeats(
    cluster: list[int], patients: int, seed: int, repeat: int, classes: int
) -> None:
    generator = np.random.default_rng(seed)
    clusters = np.array(cluster)
    n = len(clusters)
    group, stratum = generator.integers(0, patients, n), generator.integers(0, classes, n)
    block = make_blocks(group, clusters, together=True)
    part = random_partition(clusters, block, seed=seed, repeat=repeat)
    np.testing.assert_array_equal(part, random_partition(clusters, block, seed=seed, repeat=repeat))
    assert set(part) <= set(cluster)
    for value in np.unique(block):
        assert len(set(part[block == value])) == 1
        assert len(set(group[block == value])) == len(set(clusters[block == value])) == 1
    # every border of the cumulated sizes is missed by at most half a block
    largest = np.bincount(block).max()
    k = clusters.max() + 1
    missed = np.cumsum(np.bincount(part, minlength=k)) - np.cumsum(np.bincount(clusters, minlength=k))
    assert np.abs(missed).max() <= largest / 2
    single = make_blocks(group, clusters, together=False)
    exact = random_partition(clusters, single, seed=seed, repeat=repeat, stratum=stratum)
    for value in range(classes):
        rows = stratum == value
        np.testing.assert_array_equal(np.bincount(exact[rows], minlength=k), np.bincount(clusters[rows], minlength=k))


# ---------------------------------------------------------------------------------------- labels


def run_labels(samples: Samples, cluster: np.ndarray, head: Head, controls: Controls) -> label_arm.LabelRuns:
    return label_arm.retrain_on_redrawn_labels(samples, cluster, head, controls, threads=1)


def test_the_first_row_is_the_observation() -> None:
    samples, cluster = with_views(*make_samples("shared"))
    runs = run_labels(samples, cluster, HEAD, CONTROLS)
    test = samples.rows("test")
    assert runs.pooled_loss.shape == runs.own_correct.shape == (1 + CONTROLS.draws, len(test))
    baseline = arms.train_baseline(samples, HEAD, threads=1).probabilities(samples.features[test])[:, 0]
    label = samples.label[test]
    expected = np.mean([log_loss(label, seed[:, 1]) for seed in baseline])
    np.testing.assert_allclose(runs.pooled_loss[0].mean(), expected, atol=1e-5)
    np.testing.assert_allclose(runs.pooled_correct[0], ((baseline[..., 1] > 0.5) == label).mean(axis=0))
    # the own head of a cluster: trained on its members, its epoch chosen by its validation images
    mine = samples.rows("validation")
    members = np.flatnonzero((samples.part == "train") & (cluster == 1))
    own = train_heads(
        samples.features,
        samples.label[None],
        [Group(members, seed, 1) for seed in range(HEAD.seeds)],
        selection=mine[cluster[mine] == 1],
        spec=HEAD,
        classes=2,
        threads=1,
    )
    inside = cluster[test] == 1
    probability = own.probabilities(samples.features[test[inside]])[:, 0]
    expected = np.mean([-np.log(seed[np.arange(inside.sum()), label[inside]]) for seed in probability], axis=0)
    np.testing.assert_allclose(runs.own_loss[0, inside], expected, atol=1e-5)
    np.testing.assert_array_equal(runs.cluster, cluster[test])
    assert runs.eligible.all()


def test_the_rule_is_sought_where_the_heads_look() -> None:
    """The class is written in features of little variance, which a clustering's few components would not hold."""
    samples, cluster = make_samples("shared", n=600)
    generator = np.random.default_rng(5)
    loud = generator.normal(size=(len(samples), 4)) * 50
    samples = replace(samples, features=np.hstack([loud, samples.features]).astype(np.float32)).standardized()
    runs = run_labels(samples, cluster, HEAD, CONTROLS)
    test = samples.rows("test")
    baseline = arms.train_baseline(samples, HEAD, threads=1).probabilities(samples.features[test])[:, 0]
    pooled = np.mean([roc_auc_score(samples.label[test], seed[:, 1]) for seed in baseline])
    assert pooled > 0.7
    assert runs.rule["cross_fitted_auc"] > pooled - 0.1


def test_few_validation_images_leave_the_epoch_to_all_of_them() -> None:
    samples, cluster = make_samples("shared")
    controls = CONTROLS.model_copy(update={"min_test": 2})  # the number for test images is another one
    part = samples.part.copy()
    part[np.flatnonzero((part == "validation") & (cluster == 1))[9:]] = "backbone"
    samples = replace(samples, part=part)
    runs = run_labels(samples, cluster, HEAD, controls)
    validation, test = samples.rows("validation"), samples.rows("test")
    members = np.flatnonzero((samples.part == "train") & (cluster == 1))
    own = train_heads(
        samples.features,
        samples.label[None],
        [Group(members, seed, 1) for seed in range(HEAD.seeds)],
        selection=validation,
        spec=HEAD,
        classes=2,
        threads=1,
    )
    inside = test[cluster[test] == 1]
    probability = own.probabilities(samples.features[inside])[:, 0]
    expected = np.mean([-np.log(seed[np.arange(len(inside)), samples.label[inside]]) for seed in probability], axis=0)
    np.testing.assert_allclose(runs.own_loss[0, cluster[test] == 1], expected, atol=1e-5)


def test_clusters_that_can_never_be_compared_have_no_own_head() -> None:
    samples, cluster = make_samples("shared", n=300)
    cluster = cluster.copy()
    few = samples.rows("test")[:4]
    many = samples.rows("train")[:30]
    cluster[few] = cluster[many] = 2  # enough to train, four test images
    runs = run_labels(samples, cluster, HEAD, CONTROLS)
    lost = runs.cluster == 2
    assert lost.sum() == 4
    assert np.isnan(runs.own_loss[:, lost]).all()
    assert np.isnan(runs.own_correct[:, lost]).all()
    assert np.isfinite(runs.own_loss[:, ~lost]).all()
    assert np.isfinite(runs.pooled_loss).all()
    assert runs.eligible.tolist() == [[True, True, False]] * (1 + CONTROLS.draws)
    assert np.isfinite(gains(runs)).all()


@pytest.mark.parametrize(("truth", "rejected"), [("planted", True), ("shared", False)])
def test_a_planted_rotation_is_found_and_a_shared_rule_is_not(truth: str, rejected: bool) -> None:
    samples, cluster = make_samples(truth, n=700, seed=2)
    controls = Controls(draws=19, min_class=5, min_test=10, seed=3)
    head = Head(learning_rate=0.02, batch_size=16, epochs=15, patience=4, monitor="loss", seeds=1)
    gain = gains(run_labels(samples, cluster, head, controls))
    p = permutation_p(gain[0], gain[1:])
    assert (p <= 0.05) == rejected
    if rejected:
        assert gain[0] > 0.05
