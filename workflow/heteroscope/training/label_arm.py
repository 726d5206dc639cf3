"""The label arm: the pooled and every cluster's own head, on the observed labels and on redrawn ones."""

from __future__ import annotations

import numpy as np

from heteroscope.config import Controls, Head
from heteroscope.embedding.samples import Samples
from heteroscope.evaluation import metrics
from heteroscope.evaluation.controls import eligible_clusters
from heteroscope.evaluation.runs import LabelRuns
from heteroscope.training.arms import POOLED, members, seed_groups, selection_rows, train_stack
from heteroscope.training.heads import TrainedHeads

# fewest validation images of a cluster that choose its own head's epoch; below it all validation images do
OWN_SELECTION = 10


def train_on_label_sets(
    samples: Samples,
    cluster: np.ndarray,
    labels: np.ndarray,
    head: Head,
    controls: Controls,
    *,
    folds: bool = False,
    threads: int,
) -> LabelRuns:
    """Train the pooled and the own heads on every label set, and score them on the test images.

    Args:
        samples: all rows; of a split with folds, those of one fold.
        cluster: (n,) int, of every row.
        labels: (sets, n) int.
        head: how heads are trained, early stopping included.
        controls: which clusters are compared.
        folds: the samples are those of one fold; all of them are tested in some fold, which counts as test images.
        threads: of the numerical work.
    """
    k = int(cluster.max()) + 1
    test, chosen_by = samples.rows("test"), selection_rows(samples, head)
    pooled = train_stack(samples, labels, seed_groups(samples.rows("train"), POOLED, head), chosen_by, head, threads)
    pooled_loss, pooled_correct = _scores(pooled, samples, test, labels)
    own_loss, own_correct = np.full_like(pooled_loss, np.nan), np.full_like(pooled_correct, np.nan)
    own_accuracy = np.full((len(labels), k), np.nan)
    # images, not their views; of folds together, every image is tested
    tested = np.flatnonzero(samples.view == 0) if folds else test
    for number in _comparable(samples, cluster, tested, k, controls):
        # the head of a cluster is for its images: they choose its epoch, where there are enough of them
        mine = chosen_by[cluster[chosen_by] == number]
        own = train_stack(
            samples,
            labels,
            seed_groups(members(samples, cluster, number), number, head),
            mine if len(mine) >= OWN_SELECTION else chosen_by,
            head,
            threads,
        )
        columns = np.flatnonzero(cluster[test] == number)
        loss, correct = _scores(own, samples, test, labels)
        own_loss[:, columns], own_correct[:, columns] = loss[:, columns], correct[:, columns]
        own_accuracy[:, number] = correct.mean(axis=1)
    return LabelRuns(
        pooled_loss=pooled_loss,
        own_loss=own_loss,
        pooled_correct=pooled_correct,
        own_correct=own_correct,
        own_accuracy=own_accuracy,
        compared=np.stack([_eligible(samples, cluster, label, tested, k, controls) for label in labels])[
            :, cluster[test]
        ],
        cluster=cluster[test],
    )


def _scores(
    heads: TrainedHeads, samples: Samples, rows: np.ndarray, labels: np.ndarray
) -> tuple[np.ndarray, np.ndarray]:
    """Log loss and hits of heads (seeds, sets) on rows, each a mean over seeds: (sets, rows)."""
    probability, label = heads.probabilities(samples.features[rows]), labels[:, rows]
    return metrics.log_losses(probability, label).mean(axis=0), metrics.correct(probability, label).mean(axis=0)


def _comparable(samples: Samples, cluster: np.ndarray, tested: np.ndarray, k: int, controls: Controls) -> list[int]:
    """Clusters that some labelling could make eligible; the others need no heads."""
    train = cluster[samples.part == "train"]
    needed = controls.min_class * len(samples.class_names)
    return [c for c in range(k) if (train == c).sum() >= needed and (cluster[tested] == c).sum() >= controls.min_test]


def _eligible(
    samples: Samples, cluster: np.ndarray, label: np.ndarray, tested: np.ndarray, k: int, controls: Controls
) -> np.ndarray:
    train = np.flatnonzero((samples.part == "train") & (samples.view == 0))
    return eligible_clusters(
        cluster[train],
        label[train],
        cluster[tested],
        k=k,
        classes=len(samples.class_names),
        min_class=controls.min_class,
        min_test=controls.min_test,
    )
