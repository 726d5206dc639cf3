"""The arms of the experiment: which rows and labels each head is trained on, and what it predicts."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
import pandas as pd

from heteroscope.clustering.reduction import fit_rule_basis
from heteroscope.config import Controls, Head
from heteroscope.embedding.samples import Samples
from heteroscope.evaluation import metrics
from heteroscope.evaluation.controls import eligible_clusters, make_blocks, random_partition
from heteroscope.evaluation.label_rule import fit_shared_rule, redraw_labels
from heteroscope.evaluation.runs import ArmRuns, LabelRuns
from heteroscope.training.heads import Group, TrainedHeads, train_heads

# the pooled head's stream of initialisations and orders: beyond any cluster's number
POOLED = 1_000_000
# fewest validation images of a cluster that choose its own head's epoch; below it all validation images do
OWN_SELECTION = 10


def selection_rows(samples: Samples, head: Head) -> np.ndarray:
    """The rows that choose the epoch: validation, or test in the published, optimistic protocol."""
    return samples.rows(head.selection)


def train_baseline(samples: Samples, head: Head, *, threads: int) -> TrainedHeads:
    """The pooled head on all training rows, once a seed: groups are seeds, one member each."""
    groups = _seeds(samples.rows("train"), POOLED, head)
    return _train(samples, samples.label[None], groups, selection_rows(samples, head), head, threads)


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
    samples: Samples, cluster: np.ndarray, head: Head, controls: Controls, *, threads: int
) -> LabelRuns:
    """The label arm: the pooled head and every cluster's own head, on the observed and on redrawn labels.

    Args:
        samples: all rows.
        cluster: (n,) int, of every row.
        head: how heads are trained, early stopping included.
        controls: draws, seed, which clusters are compared.
        threads: of the numerical work.
    """
    k = int(cluster.max()) + 1
    original = np.flatnonzero(samples.view == 0)
    observed, group = samples.label[original], samples.group[original]
    # the rule's space is its own: the heads' features, reduced alike for every clustering of them
    basis = fit_rule_basis(samples.features[samples.rows("train")], controls.seed)
    coordinates = basis.transform(samples.features[original])
    rule = fit_shared_rule(coordinates, cluster[original], observed, group, seed=controls.seed)
    drawn = [
        redraw_labels(rule, observed, group, seed=controls.seed, draw=draw) for draw in range(1, controls.draws + 1)
    ]
    # a view has its image's label
    image = pd.Index(samples.image_id[original]).get_indexer(pd.Index(samples.image_id))
    labels = np.stack([observed, *drawn])[:, image]
    test, chosen_by = samples.rows("test"), selection_rows(samples, head)
    pooled = _train(samples, labels, _seeds(samples.rows("train"), POOLED, head), chosen_by, head, threads)
    pooled_loss, pooled_correct = _scores(pooled, samples, test, labels)
    own_loss, own_correct = np.full_like(pooled_loss, np.nan), np.full_like(pooled_correct, np.nan)
    for number in _comparable(samples, cluster, k, controls):
        # the head of a cluster is for its images: they choose its epoch, where there are enough of them
        mine = chosen_by[cluster[chosen_by] == number]
        own = _train(
            samples,
            labels,
            _seeds(_members(samples, cluster, number), number, head),
            mine if len(mine) >= OWN_SELECTION else chosen_by,
            head,
            threads,
        )
        columns = np.flatnonzero(cluster[test] == number)
        own_loss[:, columns], own_correct[:, columns] = _scores(own, samples, test[columns], labels)
    return LabelRuns(
        pooled_loss=pooled_loss,
        own_loss=own_loss,
        pooled_correct=pooled_correct,
        own_correct=own_correct,
        eligible=np.stack([_eligible(samples, cluster, label, k, controls) for label in labels]),
        cluster=cluster[test],
        rule={
            "penalty": rule.penalty,
            "temperature": rule.temperature,
            "cross_fitted_auc": rule.cross_fitted_auc,
            "cross_fitted_log_loss": rule.cross_fitted_log_loss,
        },
    )


def _seeds(rows: np.ndarray, stream: int, head: Head) -> list[Group]:
    """The same training once a seed."""
    return [Group(rows, seed, stream) for seed in range(head.seeds)]


def _scores(
    heads: TrainedHeads, samples: Samples, rows: np.ndarray, labels: np.ndarray
) -> tuple[np.ndarray, np.ndarray]:
    """Log loss and hits of heads (seeds, draws) on rows, each a mean over seeds: (draws, rows)."""
    probability, label = heads.probabilities(samples.features[rows]), labels[:, rows]
    return metrics.log_losses(probability, label).mean(axis=0), metrics.correct(probability, label).mean(axis=0)


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
    groups = [group for part in parts for group in _seeds(part, number, head)]
    # clusters and random parts are compared on the common test set: the common selection rows choose their epochs
    trained = _train(samples, samples.label[None], groups, selection_rows(samples, head), head, threads)
    probability = trained.probabilities(samples.features[samples.rows("test")])[:, 0]
    classes = len(samples.class_names)
    return ArmRuns(
        probability=probability.reshape(len(parts), head.seeds, *probability.shape[1:]),
        size=np.array([len(part) for part in parts]),
        class_counts=np.stack(
            [np.bincount(samples.label[part[samples.view[part] == 0]], minlength=classes) for part in parts]
        ),
        best_epoch=trained.best_epoch.reshape(len(parts), head.seeds),
    )


def _train(
    samples: Samples, labels: np.ndarray, groups: Sequence[Group], selection: np.ndarray, head: Head, threads: int
) -> TrainedHeads:
    return train_heads(
        samples.features,
        labels,
        groups,
        selection=selection,
        spec=head,
        classes=len(samples.class_names),
        threads=threads,
    )
