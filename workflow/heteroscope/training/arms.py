"""The arms of the experiment: which rows and labels each head is trained on, and what it predicts."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
import pandas as pd

from heteroscope.config import Controls, Head
from heteroscope.embedding.samples import Samples
from heteroscope.evaluation.controls import make_blocks, random_partition
from heteroscope.evaluation.runs import ArmRuns
from heteroscope.training.heads import Group, TrainedHeads, train_heads

# the pooled head's stream of initialisations and orders: beyond any cluster's number
POOLED = 1_000_000


def selection_rows(samples: Samples, head: Head) -> np.ndarray:
    """The rows that choose the epoch: validation, or test in the published, optimistic protocol."""
    return samples.rows(head.selection)


def train_baseline(samples: Samples, head: Head, *, threads: int) -> TrainedHeads:
    """The pooled head on all training rows, once a seed: groups are seeds, one member each."""
    groups = seed_groups(samples.rows("train"), POOLED, head)
    return train_stack(samples, samples.label[None], groups, selection_rows(samples, head), head, threads)


def retrain_cluster(samples: Samples, cluster: np.ndarray, number: int, head: Head, *, threads: int) -> ArmRuns:
    """The observation: a head on the members of one cluster."""
    return _run_parts(samples, [members(samples, cluster, number)], number, head, threads)


def retrain_random(
    samples: Samples,
    cluster: np.ndarray,
    number: int,
    head: Head,
    controls: Controls,
    *,
    balanced: bool,
    folds: bool = False,
    threads: int,
) -> ArmRuns:
    """Heads on part `number` of random partitions of the training rows into the clusters' sizes.

    Args:
        samples: all rows.
        cluster: (n,) int, of every row.
        number: the cluster whose size, or class counts, the part has.
        head: how heads are trained.
        controls: repeats, seed, what a block is.
        balanced: the part has the cluster's counts within each class (arm `balanced`), not only its size.
        folds: the samples are those of one fold. Partitions are then drawn of all images, as the clusters are of all,
            so that a part is the same one in every fold; views go with their image.
        threads: of the numerical work.
    """
    train = samples.rows("train")
    drawn, place = _drawn_rows(samples, folds)
    block = make_blocks(samples.group[drawn], cluster[drawn], together=controls.views == "with-image")
    if balanced:
        # a block of mixed labels is one block in each class
        block = np.unique(np.column_stack([block, samples.label[drawn]]), axis=0, return_inverse=True)[1].ravel()
    stratum = samples.label[drawn] if balanced else None
    partitions = (
        random_partition(cluster[drawn], block, seed=controls.seed, repeat=repeat, stratum=stratum)
        for repeat in range(1, controls.repeats + 1)
    )
    parts = [train[part[place] == number] for part in partitions]
    return _run_parts(samples, parts, number, head, threads)


def _drawn_rows(samples: Samples, folds: bool) -> tuple[np.ndarray, np.ndarray]:
    """The rows that a random partition divides, and for every training row its place among them."""
    train = samples.rows("train")
    if not folds:
        return train, np.arange(len(train))
    originals = np.flatnonzero(samples.view == 0)
    return originals, pd.Index(samples.image_id[originals]).get_indexer(pd.Index(samples.image_id[train]))


def seed_groups(rows: np.ndarray, stream: int, head: Head) -> list[Group]:
    """The same training once a seed."""
    return [Group(rows, seed, stream) for seed in range(head.seeds)]


def members(samples: Samples, cluster: np.ndarray, number: int) -> np.ndarray:
    """The training rows of a cluster."""
    return np.flatnonzero((samples.part == "train") & (cluster == number))


def _run_parts(samples: Samples, parts: Sequence[np.ndarray], number: int, head: Head, threads: int) -> ArmRuns:
    groups = [group for part in parts for group in seed_groups(part, number, head)]
    # clusters and random parts are compared on the common test set: the common selection rows choose their epochs
    trained = train_stack(samples, samples.label[None], groups, selection_rows(samples, head), head, threads)
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


def train_stack(
    samples: Samples, labels: np.ndarray, groups: Sequence[Group], selection: np.ndarray, head: Head, threads: int
) -> TrainedHeads:
    """Heads for every group and every labelling (members, n) of all rows; see `train_heads`."""
    return train_heads(
        samples.in_memory(),
        labels,
        groups,
        selection=selection,
        spec=head,
        classes=len(samples.class_names),
        threads=threads,
    )
