"""The arms of the experiment: which rows and labels each head is trained on, and what it predicts."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
import pandas as pd

from heteroscope.config import Controls, Head
from heteroscope.embedding.samples import Samples
from heteroscope.evaluation import metrics
from heteroscope.evaluation.controls import eligible_clusters, make_blocks, random_partition
from heteroscope.evaluation.label_rule import fit_shared_rule, redraw_labels
from heteroscope.evaluation.runs import ArmRuns, LabelRuns
from heteroscope.training.heads import Group, TrainedHeads, train_heads


# the pooled head's stream of initialisations and orders: beyond any cluster's number
POOLED = 1_000_000


def selection_rows(samples: Samples, head: Head) -> np.ndarray:
    """The rows that choose the epoch: validation, or test in the published, optimistic protocol."""
    return samples.rows(head.selection)


def train_baseline(samples: Samples, head: Head, *, threads: int) -> TrainedHeads:
    """The pooled head on all training rows, once a seed: groups are seeds, one member each."""
    groups = [Group(samples.rows("train"), seed, POOLED) for seed in range(head.seeds)]
    return _train(samples, samples.label[None], groups, head, threads)


def retrain_cluster(samples: Samples, cluster: np.ndarray, number: int, head: Head, *, threads: int) -> ArmRuns:
    """The observation: a head on the members of one cluster."""
    return _run_parts(samples, [_members(samples, cluster, number)], number, head, threads)


def retrain_random(
    samples: Samples, cluster: np.ndarray, number: int, head: Head, controls: Controls, *, balanced: bool, threads: int
) -> ArmRuns:
    """Heads on part `number` of random partitions of the training rows into the clusters' sizes.

    Args:
        samples: all rows.
        cluster: (n,) int, of every row.
        number: the cluster whose size, or class counts, the part has.
        head: how heads are trained.
        controls: repeats, seed, what a block is.
        balanced: the part has the cluster's counts within each class (arm `balanced`), not only its size.
        threads: of the numerical work.
    """
    train = samples.rows("train")
    block = make_blocks(samples.group[train], cluster[train], together=controls.views == "with-image")
    if balanced:
        # a block of mixed labels is one block in each class
        block = np.unique(np.column_stack([block, samples.label[train]]), axis=0, return_inverse=True)[1].ravel()
    stratum = samples.label[train] if balanced else None
    parts = [
        train[random_partition(cluster[train], block, seed=controls.seed, repeat=repeat, stratum=stratum) == number]
        for repeat in range(1, controls.repeats + 1)
    ]
    return _run_parts(samples, parts, number, head, threads)


def retrain_on_redrawn_labels(
    samples: Samples, cluster: np.ndarray, coordinates: np.ndarray, head: Head, controls: Controls, *, threads: int
) -> LabelRuns:
    """The label arm: the pooled head and every cluster's own head, on the observed and on redrawn labels.

    Args:
        samples: all rows.
        cluster: (n,) int, of every row.
        coordinates: (n, d) the space in which the shared rule is fitted.
        head: how heads are trained, early stopping included.
        controls: draws, seed, which clusters are compared.
        threads: of the numerical work.
    """
    k = int(cluster.max()) + 1
    original = np.flatnonzero(samples.view == 0)
    observed, group = samples.label[original], samples.group[original]
    rule = fit_shared_rule(coordinates[original], cluster[original], observed, group, seed=controls.seed)
    drawn = [
        redraw_labels(rule, observed, group, seed=controls.seed, draw=draw) for draw in range(1, controls.draws + 1)
    ]
    # a view has its image's label
    image = pd.Index(samples.image_id[original]).get_indexer(pd.Index(samples.image_id))
    labels = np.stack([observed, *drawn])[:, image]
    test = samples.rows("test")
    compared = _comparable(samples, cluster, k, controls)
    streams = [*compared, POOLED]
    rows = {c: _members(samples, cluster, c) for c in compared} | {POOLED: samples.rows("train")}
    groups = [Group(rows[stream], seed, stream) for stream in streams for seed in range(head.seeds)]
    trained = _train(samples, labels, groups, head, threads)
    losses = np.full((len(streams), len(labels), len(test)), np.nan)
    hits = losses.copy()
    for place, stream in enumerate(streams):
        mine = np.arange(len(test)) if stream == POOLED else np.flatnonzero(cluster[test] == stream)
        heads = trained.take(slice(place * head.seeds, (place + 1) * head.seeds))
        probability = heads.probabilities(samples.features[test[mine]])
        losses[place][:, mine] = metrics.log_losses(probability, labels[:, test[mine]]).mean(axis=0)
        hits[place][:, mine] = metrics.correct(probability, labels[:, test[mine]]).mean(axis=0)
    return LabelRuns(
        pooled_loss=losses[-1],
        own_loss=_merge(losses[:-1]),
        pooled_correct=hits[-1],
        own_correct=_merge(hits[:-1]),
        eligible=np.stack([_eligible(samples, cluster, label, k, controls) for label in labels]),
        cluster=cluster[test],
        rule={
            "penalty": rule.penalty,
            "temperature": rule.temperature,
            "cross_fitted_auc": rule.cross_fitted_auc,
            "cross_fitted_log_loss": rule.cross_fitted_log_loss,
        },
    )


def _merge(values: np.ndarray) -> np.ndarray:
    """The one cluster's value that each test image has: (clusters, draws, n) → (draws, n)."""
    known = np.isfinite(values)
    return np.where(known.any(axis=0), np.where(known, values, 0.0).sum(axis=0), np.nan)


def _members(samples: Samples, cluster: np.ndarray, number: int) -> np.ndarray:
    return np.flatnonzero((samples.part == "train") & (cluster == number))


def _comparable(samples: Samples, cluster: np.ndarray, k: int, controls: Controls) -> list[int]:
    """Clusters that some labelling could make eligible; the others need no heads."""
    train, test = cluster[samples.part == "train"], cluster[samples.part == "test"]
    needed = controls.min_class * len(samples.class_names)
    return [c for c in range(k) if (train == c).sum() >= needed and (test == c).sum() >= controls.min_test]


def _eligible(samples: Samples, cluster: np.ndarray, label: np.ndarray, k: int, controls: Controls) -> np.ndarray:
    # images count, not their views
    train = np.flatnonzero((samples.part == "train") & (samples.view == 0))
    return eligible_clusters(
        cluster[train],
        label[train],
        cluster[samples.rows("test")],
        k=k,
        classes=len(samples.class_names),
        min_class=controls.min_class,
        min_test=controls.min_test,
    )


def _run_parts(samples: Samples, parts: Sequence[np.ndarray], number: int, head: Head, threads: int) -> ArmRuns:
    groups = [Group(part, seed, number) for part in parts for seed in range(head.seeds)]
    trained = _train(samples, samples.label[None], groups, head, threads)
    probability = trained.probabilities(samples.features[samples.rows("test")])[:, 0]
    classes = len(samples.class_names)
    return ArmRuns(
        probability=probability.reshape(len(parts), head.seeds, *probability.shape[1:]),
        size=np.array([len(part) for part in parts]),
        class_counts=np.stack([np.bincount(samples.label[part], minlength=classes) for part in parts]),
        best_epoch=trained.best_epoch.reshape(len(parts), head.seeds),
    )


def _train(samples: Samples, labels: np.ndarray, groups: Sequence[Group], head: Head, threads: int) -> TrainedHeads:
    return train_heads(
        samples.features,
        labels,
        groups,
        selection=selection_rows(samples, head),
        spec=head,
        classes=len(samples.class_names),
        threads=threads,
    )
