"""One simulated study through the product's own code: only this module calls it."""

from __future__ import annotations

from dataclasses import fields, replace
from typing import Any

import numpy as np
from sklearn.metrics import adjusted_rand_score

from calibration.settings import COMPONENTS, DRAWS, HEAD, Setting
from calibration.worlds import draw
from heteroscope.clustering.partition import Partition, assignments_table, distance_table, partition_samples
from heteroscope.config import (
    Backbone,
    Clustering,
    Controls,
    PhantomDataset,
    Primary,
    Reduction,
    Split,
    Study,
    StudyContext,
)
from heteroscope.embedding.samples import PARTS, Samples
from heteroscope.evaluation.analysis import Analysis
from heteroscope.evaluation.by_eye import called_by_eye
from heteroscope.evaluation.comparison import published_comparison
from heteroscope.evaluation.label_sets import label_arm
from heteroscope.evaluation.redraw import draw_label_sets
from heteroscope.evaluation.runs import ArmRuns, LabelArm
from heteroscope.evaluation.statistics import permutation_p
from heteroscope.evaluation.verdict import LabelTest, decide, label_test
from heteroscope.training.arms import retrain_cluster, retrain_random
from heteroscope.training.gaussian_arm import retrain_on_gaussian
from heteroscope.training.label_arm import train_on_label_sets

THREADS = 1
PARTS_STREAM = 2_000_000_002  # of random numbers: beyond any number of a draw
SHARES = (0.5, 0.3, 0.2)  # of random parts
SKEWED = ((0.6, 0.25, 0.15), (0.25, 0.35, 0.4))  # of random parts that differ in their class counts, a row a class


def analysis_of(
    samples: Samples, partition: Partition, *, labels: LabelArm | None, arms: dict[str, list[ArmRuns]]
) -> Analysis:
    """What the product's comparison reads; all that its tests do not read is None."""
    assignments = assignments_table(samples, partition)
    unread: dict[str, Any] = {field.name: None for field in fields(Analysis)}
    read = {
        "k": len(partition.clusters.centroids),
        "assignments": assignments,
        "distances": distance_table(samples, partition),
        "test": assignments[assignments["part"] == "test"].reset_index(drop=True),
        "arms": arms,
        "labels": labels,
        "class_names": samples.class_names,
    }
    return Analysis(**(unread | read))


def context_of(setting: Setting, seed: int) -> StudyContext:
    """A study that asks for the verdict with the settings' head and number of draws."""
    components = min(COMPONENTS, setting.world.features)
    clustering = Clustering(k=setting.k, reduce=Reduction(method="pca", components=components), seed=seed)
    return StudyContext(
        id="simulated",
        study=Study(
            dataset="simulated",
            split="holdout",
            backbones=["simulated"],
            clusterings=["kmeans"],
            head="linear",
            controls="few",
            primary=Primary(backbone="simulated", clustering="kmeans"),
        ),
        dataset=PhantomDataset(adapter="phantom", truth="homogeneous"),
        split=Split(),
        augmentation=None,
        backbones={"simulated": Backbone(model="small-cnn", weights="random", pixels="none")},
        clusterings={"kmeans": clustering},
        head=HEAD,
        controls=Controls(repeats=DRAWS, draws=DRAWS, power=0, seed=seed),
    )


def run_verdict(samples: Samples, partition: Partition, context: StudyContext) -> tuple[str, LabelTest, LabelArm]:
    """The verdict as a user gets it, its test, and the runs behind it."""
    scaled, cluster, controls = samples.standardized(), partition.cluster, context.controls
    sets = draw_label_sets(scaled, cluster, controls)
    runs = train_on_label_sets(scaled, cluster, sets.of(scaled, "label sets"), context.head, controls, threads=THREADS)
    arm = label_arm(sets, runs)
    test = label_test(analysis_of(samples, partition, labels=arm, arms={}), seed=0, level=context.study.level)
    assert test is not None
    return decide(context, context.study.primary.backbone, test)[0], test, arm


def run_controls(samples: Samples, partition: Partition, context: StudyContext) -> Analysis:
    """The arms of the published comparison: every cluster's model, and those of random parts."""
    scaled, cluster = samples.standardized(), partition.cluster
    numbers = range(len(partition.clusters.centroids))
    arms = {"cluster": [retrain_cluster(scaled, cluster, c, context.head, threads=THREADS) for c in numbers]}
    for arm in ("size", "balanced"):
        arms[arm] = [
            retrain_random(
                scaled, cluster, c, context.head, context.controls, balanced=arm == "balanced", threads=THREADS
            )
            for c in numbers
        ]
    return analysis_of(samples, partition, labels=None, arms=arms)


def divide_randomly(samples: Samples, partition: Partition, *, skewed: bool, seed: int) -> Partition:
    """The same rows, dealt to parts at random: sizes by `SHARES`, or by those of each class where `skewed`.

    Given the parts' sizes (and, where skewed, their class counts) all divisions of the training rows are equally
    likely, as they are in the draws of the controls.
    """
    generator = np.random.default_rng([seed, PARTS_STREAM])
    part = np.empty(len(samples), dtype=np.int64)
    for rows in _strata(samples, by_class=skewed):
        shares = SKEWED[samples.label[rows[0]]] if skewed else SHARES
        borders = np.round(np.cumsum(shares) * len(rows)).astype(int)
        part[generator.permutation(rows)] = np.searchsorted(borders, np.arange(len(rows)), side="right")
    train = samples.rows("train")
    centroids = np.stack([partition.points[train[part[train] == number]].mean(axis=0) for number in range(len(SHARES))])
    return replace(
        partition, cluster=part, clusters=replace(partition.clusters, labels=part[train], centroids=centroids)
    )


def _strata(samples: Samples, *, by_class: bool) -> list[np.ndarray]:
    """Rows of each part of the split, and of each class where asked."""
    parts = [samples.rows(name) for name in PARTS]
    if not by_class:
        return parts
    return [rows[samples.label[rows] == value] for rows in parts for value in (0, 1)]


def simulate(setting: Setting, seed: int) -> dict[str, Any]:
    """One study: what its tests found, as numbers and words that JSON holds."""
    samples, stratum = draw(setting.world, seed)
    context = context_of(setting, seed)
    partition = partition_samples(samples, context.clusterings["kmeans"])
    if setting.partition != "kmeans":
        partition = divide_randomly(samples, partition, skewed=setting.partition == "skewed", seed=seed)
    if setting.ask == "controls":
        found = _controls(samples, partition, context)
        return found if setting.partition != "kmeans" else found | {"p_gaussian": _gaussian_p(samples, context)}
    found = _verdict(samples, partition, context)
    return found | {"strata_found": float(adjusted_rand_score(stratum, partition.cluster))}


def _verdict(samples: Samples, partition: Partition, context: StudyContext) -> dict[str, Any]:
    verdict, test, arm = run_verdict(samples, partition, context)
    return {
        "verdict": verdict,
        "p": test.p,
        "p_nonlinear": test.p_nonlinear,
        "p_interaction": arm.interaction.p,
        "gain": test.gain,
        "accuracy_gain": test.accuracy_gain,
        "pooled_accuracy": test.pooled_accuracy,
        "compared": len(test.eligible),
    }


def _controls(samples: Samples, partition: Partition, context: StudyContext) -> dict[str, Any]:
    analysis, metric = run_controls(samples, partition, context), context.study.metric
    published = published_comparison(analysis, context.controls, metric)
    found = {name: published[name] for name in ("p_size", "p_balanced", "clusters")}
    return found | {"by_eye": bool(called_by_eye(analysis, metric))}


def _gaussian_p(samples: Samples, context: StudyContext) -> float:
    """p of T against data sets of one Gaussian a class, clustered and trained as the observed one is."""
    clustering = context.clusterings["kmeans"]
    runs = retrain_on_gaussian(samples, clustering, context.head, context.controls, threads=THREADS)
    spread = runs.omnibus(context.study.metric)
    return permutation_p(spread[0], spread[1:])
