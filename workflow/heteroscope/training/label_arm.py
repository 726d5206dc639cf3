"""The label arm: the pooled and every cluster's own head, on the observed labels and on redrawn ones."""

from __future__ import annotations

import numpy as np
import pandas as pd

from heteroscope.clustering.reduction import fit_rule_basis
from heteroscope.config import Controls, Head
from heteroscope.embedding.samples import Samples
from heteroscope.evaluation import metrics
from heteroscope.evaluation.controls import eligible_clusters
from heteroscope.evaluation.interaction import interaction_test
from heteroscope.evaluation.label_rule import SharedRule, fit_shared_rule, redraw_labels, rotated_probability, rule_gap
from heteroscope.evaluation.runs import LabelArm, LabelRuns, Rotations, gains
from heteroscope.training.arms import POOLED, members, seed_groups, selection_rows, train_stack
from heteroscope.training.heads import TrainedHeads

# fewest validation images of a cluster that choose its own head's epoch; below it all validation images do
OWN_SELECTION = 10
# between the rules of two sides of the clusters, in degrees, where the test's power is measured
ANGLES = (15, 30, 45, 60, 90)


def retrain_on_redrawn_labels(
    samples: Samples, cluster: np.ndarray, head: Head, controls: Controls, *, threads: int
) -> LabelArm:
    """Redraw all labels from the linear, the quadratic and the rotated rules, and train all heads on each.

    Args:
        samples: all rows.
        cluster: (n,) int, of every row.
        head: how heads are trained, early stopping included.
        controls: draws, label sets an angle, seed, which clusters are compared.
        threads: of the numerical work.
    """
    original = np.flatnonzero(samples.view == 0)
    observed, group, place = samples.label[original], samples.group[original], cluster[original]
    # the rule's space is its own: the heads' features, reduced alike for every clustering of them
    basis = fit_rule_basis(samples.features, samples.rows("train"), controls.seed)
    coordinates = basis.transform(samples.features[original])
    linear = fit_shared_rule(coordinates, place, observed, group, seed=controls.seed)
    quadratic = fit_shared_rule(coordinates, place, observed, group, seed=controls.seed, kind="quadratic")
    rules = {"linear": linear} | ({} if quadratic.is_linear else {"quadratic": quadratic})
    sets = [observed]
    for rule in rules.values():  # the same random numbers for both: they differ by their rules alone
        sets += _redrawn(rule, observed, group, controls)
    side = _sides(_eligible(samples, cluster, samples.label, int(cluster.max()) + 1, controls))
    turned, gaps = _rotated(linear, coordinates, place, observed, group, side, controls)
    sets += turned
    # a view has its image's label
    image = pd.Index(samples.image_id[original]).get_indexer(pd.Index(samples.image_id))
    runs = _run_label_sets(samples, cluster, np.stack(sets)[:, image], head, controls, threads)
    return LabelArm(
        linear=runs.take(slice(1 + controls.draws)),
        quadratic=None if quadratic.is_linear else runs.take([0, *range(1 + controls.draws, 1 + 2 * controls.draws)]),
        rotations=Rotations(np.repeat(ANGLES, controls.power), gains(runs)[len(sets) - len(turned) :], gaps),
        rules={"linear": linear.summary, "quadratic": quadratic.summary},
        interaction=interaction_test(coordinates, place, observed, group),
    )


def _redrawn(rule: SharedRule, label: np.ndarray, group: np.ndarray, controls: Controls) -> list[np.ndarray]:
    """A label set a draw, from (seed, draw) alone."""
    return [
        redraw_labels(rule.probability, label, group, np.random.default_rng([controls.seed, draw]))
        for draw in range(1, controls.draws + 1)
    ]


def _sides(eligible: np.ndarray) -> np.ndarray:
    """(k,) +1 and −1 by turns over the compared clusters, then over the others."""
    side = np.empty(len(eligible), dtype=int)
    side[np.argsort(~eligible, kind="stable")] = 1 - 2 * (np.arange(len(eligible)) % 2)
    return side


def _rotated(
    rule: SharedRule,
    coordinates: np.ndarray,
    cluster: np.ndarray,
    label: np.ndarray,
    group: np.ndarray,
    side: np.ndarray,
    controls: Controls,
) -> tuple[list[np.ndarray], np.ndarray]:
    """Label sets of rules that differ between clusters, `controls.power` an angle, and each one's accuracy at stake."""
    sets, gaps = [], []
    for degrees in ANGLES:
        for draw in range(1, controls.power + 1):
            generator = np.random.default_rng([controls.seed, draw, degrees])
            probability = rotated_probability(
                rule, coordinates, cluster, label, side, degrees=degrees, generator=generator
            )
            sets.append(redraw_labels(probability, label, group, generator))
            gaps.append(rule_gap(probability, rule.probability))
    return sets, np.array(gaps)


def _run_label_sets(
    samples: Samples, cluster: np.ndarray, labels: np.ndarray, head: Head, controls: Controls, threads: int
) -> LabelRuns:
    """All heads on all label sets (sets, n), scored on the test images."""
    k = int(cluster.max()) + 1
    test, chosen_by = samples.rows("test"), selection_rows(samples, head)
    pooled = train_stack(samples, labels, seed_groups(samples.rows("train"), POOLED, head), chosen_by, head, threads)
    pooled_loss, pooled_correct = _scores(pooled, samples, test, labels)
    own_loss, own_correct = np.full_like(pooled_loss, np.nan), np.full_like(pooled_correct, np.nan)
    own_accuracy = np.full((len(labels), k), np.nan)
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
        loss, correct = _scores(own, samples, test, labels)
        own_loss[:, columns], own_correct[:, columns] = loss[:, columns], correct[:, columns]
        own_accuracy[:, number] = correct.mean(axis=1)
    return LabelRuns(
        pooled_loss=pooled_loss,
        own_loss=own_loss,
        pooled_correct=pooled_correct,
        own_correct=own_correct,
        own_accuracy=own_accuracy,
        eligible=np.stack([_eligible(samples, cluster, label, k, controls) for label in labels]),
        cluster=cluster[test],
    )


def _scores(
    heads: TrainedHeads, samples: Samples, rows: np.ndarray, labels: np.ndarray
) -> tuple[np.ndarray, np.ndarray]:
    """Log loss and hits of heads (seeds, sets) on rows, each a mean over seeds: (sets, rows)."""
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
