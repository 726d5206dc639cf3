"""The label arm: heads on the observed labels, and on labels redrawn from a rule that all clusters share."""

from __future__ import annotations

import numpy as np
import pandas as pd

from heteroscope.clustering.reduction import fit_rule_basis
from heteroscope.config import Controls, Head
from heteroscope.embedding.samples import Samples
from heteroscope.evaluation import metrics
from heteroscope.evaluation.controls import eligible_clusters
from heteroscope.evaluation.label_rule import fit_shared_rule, redraw_labels
from heteroscope.evaluation.runs import LabelRuns
from heteroscope.training.arms import POOLED, members, seed_groups, selection_rows, train_stack
from heteroscope.training.heads import TrainedHeads

# fewest validation images of a cluster that choose its own head's epoch; below it all validation images do
OWN_SELECTION = 10


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
    basis = fit_rule_basis(samples.features, samples.rows("train"), controls.seed)
    coordinates = basis.transform(samples.features[original])
    rule = fit_shared_rule(coordinates, cluster[original], observed, group, seed=controls.seed)
    drawn = [
        redraw_labels(rule, observed, group, seed=controls.seed, draw=draw) for draw in range(1, controls.draws + 1)
    ]
    # a view has its image's label
    image = pd.Index(samples.image_id[original]).get_indexer(pd.Index(samples.image_id))
    labels = np.stack([observed, *drawn])[:, image]
    test, chosen_by = samples.rows("test"), selection_rows(samples, head)
    pooled = train_stack(samples, labels, seed_groups(samples.rows("train"), POOLED, head), chosen_by, head, threads)
    pooled_loss, pooled_correct = _scores(pooled, samples, test, labels)
    own_loss, own_correct = np.full_like(pooled_loss, np.nan), np.full_like(pooled_correct, np.nan)
    for number in _comparable(samples, cluster, k, controls):
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


def _scores(
    heads: TrainedHeads, samples: Samples, rows: np.ndarray, labels: np.ndarray
) -> tuple[np.ndarray, np.ndarray]:
    """Log loss and hits of heads (seeds, draws) on rows, each a mean over seeds: (draws, rows)."""
    probability, label = heads.probabilities(samples.features[rows]), labels[:, rows]
    return metrics.log_losses(probability, label).mean(axis=0), metrics.correct(probability, label).mean(axis=0)


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
