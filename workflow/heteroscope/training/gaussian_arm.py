"""The arm `gaussian`: the study repeated on whole data sets drawn from one Gaussian a class.

A data set has the observed one's images in number: as many of every part and class. It is drawn in the space that the
clustering reduces to, or, where it reduces nothing, in the label rule's. Its training images are clustered as the
study's are, its other images assigned, and heads trained in every cluster. The observed images go the same way in the
same space, so that both differ in nothing but their distribution.

Drawn images are independent: neither patients nor augmented copies are imitated, and copies are left out of the
observed data set too.
"""

from __future__ import annotations

import logging
from collections.abc import Mapping
from dataclasses import dataclass, replace

import numpy as np
from sklearn.covariance import ledoit_wolf

from heteroscope.clustering.clusters import fit_clusters
from heteroscope.clustering.reduction import fit_reduction, fit_rule_basis
from heteroscope.config import Clustering, Controls, Head, Reduction
from heteroscope.embedding.samples import Samples
from heteroscope.errors import DataError
from heteroscope.evaluation import metrics
from heteroscope.evaluation.controls import class_counts, eligible_clusters
from heteroscope.evaluation.gaussian import GaussianRuns
from heteroscope.training.arms import members, seed_groups, selection_rows
from heteroscope.training.heads import TrainedHeads, train_heads

logger = logging.getLogger(__name__)

# of random numbers: a third number beyond the angles that the label arm draws with
STREAM = 1000
BLOCK_BYTES = 256 * 1024**2


@dataclass(frozen=True)
class Cloud:
    """A Gaussian.

    Attributes:
        mean: (d,) float64.
        root: (d, d) float64; root rootᵀ is the covariance.
    """

    mean: np.ndarray
    root: np.ndarray

    def draw(self, number: int, generator: np.random.Generator) -> np.ndarray:
        """(number, d) independent points."""
        points: np.ndarray = self.mean + generator.standard_normal((number, len(self.mean))) @ self.root.T
        return points


def fit_cloud(points: np.ndarray) -> Cloud:
    """The Gaussian of (n, d) points: their mean and variances, and their correlations after Ledoit and Wolf (2004).

    Correlations are shrunk and not covariances: principal components have very different variances, which shrinking
    towards their mean would level. The fewer points beside dimensions, the more is shrunk.
    """
    centred = points - points.mean(axis=0, dtype=np.float64)
    spread = centred.std(axis=0)
    correlation, _ = ledoit_wolf(centred / np.where(spread > 0, spread, 1), assume_centered=True)
    value, vector = np.linalg.eigh(correlation)
    return Cloud(points.mean(axis=0, dtype=np.float64), spread[:, None] * vector * np.sqrt(np.maximum(value, 0)))


def retrain_on_gaussian(
    samples: Samples, clustering: Clustering, head: Head, controls: Controls, *, threads: int
) -> GaussianRuns:
    """Draw, cluster and train `controls.repeats` data sets; draw r depends on (seed, r) alone.

    The Gaussians are fitted on all images, as the label rule is: they stand for the population that training,
    validation and test images come from alike, and predict nothing.

    Args:
        samples: all rows, as they were clustered (not standardized: heads' features are, data set by data set).
        clustering: how training images are clustered.
        head: how heads are trained.
        controls: repeats, seed, which clusters are compared.
        threads: of the numerical work.
    """
    images = reduced_images(samples, clustering)
    clouds = [fit_cloud(images.features[images.label == c]) for c in range(len(images.class_names))]
    in_space = clustering.model_copy(update={"reduce": Reduction()})
    runs = _undefined(1 + controls.repeats, clustering.k, len(images.class_names))
    for block in _blocks(images, clustering.k, head, 1 + controls.repeats):
        logger.info("data sets %d to %d of %d (0: the observed images)", block[0], block[-1], controls.repeats)
        sets = {
            draw: images if draw == 0 else draw_images(images, clouds, seed=controls.seed, draw=draw) for draw in block
        }
        clusters = {draw: found for draw in block if (found := _clusters(sets[draw], in_space, draw)) is not None}
        for draw, cluster in clusters.items():
            _describe(runs, draw, images, cluster, controls)
        if clusters:
            _train(runs, sets, clusters, head, threads)
    return runs


def reduced_images(samples: Samples, clustering: Clustering) -> Samples:
    """The original images in the space of the clustering, or of the label rule where that reduces nothing."""
    train = samples.rows("train")
    if clustering.reduce.method == "none":
        reducer = fit_rule_basis(samples.features, train, clustering.seed)
    else:
        reducer = fit_reduction(samples.features, train, clustering.reduce, clustering.seed)
    original = samples.view == 0
    columns = {name: getattr(samples, name)[original] for name in ("image_id", "view", "part", "label", "group")}
    return replace(samples, features=reducer.transform(samples.features)[original], **columns)


def draw_images(images: Samples, clouds: list[Cloud], *, seed: int, draw: int) -> Samples:
    """The same images, each with features drawn from the cloud of its class."""
    generator = np.random.default_rng([seed, draw, STREAM])
    features = np.empty(images.features.shape, dtype=np.float32)
    for label, cloud in enumerate(clouds):
        rows = np.flatnonzero(images.label == label)
        features[rows] = cloud.draw(len(rows), generator)
    return replace(images, features=features)


def _clusters(images: Samples, spec: Clustering, draw: int) -> np.ndarray | None:
    """(n,) int, of every image; None where the training images cannot be clustered."""
    train, others = images.rows("train"), np.flatnonzero(images.part != "train")
    try:
        clusters = fit_clusters(images.features, train, spec)
    except DataError as error:
        logger.warning("data set %d is left out: %s", draw, error)
        return None
    cluster = np.empty(len(images), dtype=np.int64)
    cluster[train], cluster[others] = clusters.labels, clusters.assign(images.features, others)
    return cluster


def _describe(runs: GaussianRuns, draw: int, images: Samples, cluster: np.ndarray, controls: Controls) -> None:
    """Fill in what a data set's clusters hold."""
    train, test = images.rows("train"), images.rows("test")
    k, classes = runs.class_counts.shape[1:]
    runs.class_counts[draw] = class_counts(cluster[train], images.label[train], k=k, classes=classes)
    runs.size[draw] = runs.class_counts[draw].sum(axis=1)
    runs.eligible[draw] = eligible_clusters(
        cluster[train],
        images.label[train],
        cluster[test],
        k=k,
        classes=classes,
        min_class=controls.min_class,
        min_test=controls.min_test,
    )


def _train(
    runs: GaussianRuns, sets: Mapping[int, Samples], clusters: Mapping[int, np.ndarray], head: Head, threads: int
) -> None:
    """Train the heads of some data sets in one stack, and fill in their metrics on each set's test images."""
    k, shown = runs.size.shape[1], [sets[draw].standardized() if head.standardize else sets[draw] for draw in clusters]
    first = shown[0]
    groups, chosen_by = [], []
    for place, (images, cluster) in enumerate(zip(shown, clusters.values(), strict=True)):
        start = place * len(first)  # the data sets' rows stand one after another
        for number in range(k):
            groups += seed_groups(start + members(images, cluster, number), number, head)
        chosen_by += [start + selection_rows(images, head)] * (k * head.seeds)
    trained = train_heads(
        np.concatenate([images.features for images in shown]),
        np.tile(first.label, len(shown))[None],
        groups,
        selection=np.stack(chosen_by),
        spec=head,
        classes=len(first.class_names),
        threads=threads,
    )
    for place, draw in enumerate(clusters):
        of_set = slice(place * k * head.seeds, (place + 1) * k * head.seeds)
        _score(runs, draw, replace(trained, weight=trained.weight[of_set]), shown[place])


def _score(runs: GaussianRuns, draw: int, heads: TrainedHeads, images: Samples) -> None:
    test = images.rows("test")
    probability = heads.probabilities(images.features[test])[:, 0]
    for name, metric in metrics.METRICS.items():
        runs.metric[name][draw] = metric(probability, images.label[test]).reshape(runs.size.shape[1], -1).mean(axis=1)


def _undefined(sets: int, k: int, classes: int) -> GaussianRuns:
    """Runs to be filled in; a data set that is not stays NaN and without clusters."""
    return GaussianRuns(
        metric={name: np.full((sets, k), np.nan) for name in metrics.METRICS},
        size=np.zeros((sets, k), dtype=np.int64),
        class_counts=np.zeros((sets, k, classes), dtype=np.int64),
        eligible=np.zeros((sets, k), dtype=bool),
    )


def _blocks(images: Samples, k: int, head: Head, sets: int) -> list[np.ndarray]:
    """Numbers of the data sets that are held and trained at a time: their features, and those that choose epochs."""
    rows = max(len(images), k * head.seeds * len(selection_rows(images, head)))
    at_once = max(1, BLOCK_BYTES // (4 * rows * images.features.shape[1]))
    return np.array_split(np.arange(sets), -(-sets // at_once))
