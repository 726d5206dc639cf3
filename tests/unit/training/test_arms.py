"""The arms: what each head is trained on, and what its scores are held against."""

from __future__ import annotations

from dataclasses import replace

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from heteroscope.config import Controls, Head
from heteroscope.embedding.samples import Samples
from heteroscope.evaluation.controls import make_blocks, random_partition
from heteroscope.training import arms
from heteroscope.training.heads import Group, train_heads
from tests.unit.training.worlds import make_samples, with_views

HEAD = Head(learning_rate=0.05, batch_size=16, epochs=6, patience=3, monitor="loss", seeds=2)
COLUMNS = ("features", "image_id", "view", "part", "label", "group")
CONTROLS = Controls(repeats=4, draws=3, min_class=3, min_test=5, seed=11)


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


def test_a_part_is_the_same_one_in_every_fold() -> None:
    """The partition is drawn of all images, as the clusters are of all; a fold trains on its share of a part."""
    samples, cluster = with_views(*make_samples("shared", patients=60))
    fold_of = {name: int(name[1:]) % 3 for name in np.unique(samples.group)}
    fold = np.array([fold_of[name] for name in samples.group])
    original = samples.view == 0
    expected = random_partition(
        cluster[original], make_blocks(samples.group[original], cluster[original], together=True), seed=11, repeat=1
    )
    part_of = dict(zip(samples.image_id[original], expected, strict=True))
    sizes = []
    for tested in range(3):
        inside = replace(samples, part=np.where(fold == tested, "test", "train").astype(object))
        kept = original | (inside.part == "train")  # no view of a test image
        columns = {name: getattr(inside, name)[kept] for name in COLUMNS}
        one = replace(inside, **columns)
        drawn, place = arms._drawn_rows(one, True)
        assert len(drawn) == original.sum()
        train = one.rows("train")
        block = make_blocks(one.group[drawn], cluster[kept][drawn], together=True)
        part = random_partition(cluster[kept][drawn], block, seed=11, repeat=1)[place]
        assert part.tolist() == [part_of[image] for image in one.image_id[train]]
        head = HEAD.model_copy(update={"selection": "test"})
        controls = CONTROLS.model_copy(update={"repeats": 1, "seed": 11})
        runs = arms.retrain_random(one, cluster[kept], 1, head, controls, balanced=False, folds=True, threads=1)
        sizes.append(int(runs.size[0]))
        assert runs.size[0] == (part == 1).sum()
    assert sum(sizes) == 2 * sum(part_of[image] == 1 for image in samples.image_id)
