"""The curve over training size: the pooled head on nested random subsets of the training patients."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
import pandas as pd

from heteroscope.config import Head
from heteroscope.embedding.samples import Samples
from heteroscope.evaluation import metrics
from heteroscope.evaluation.controls import shuffled_middles
from heteroscope.training.arms import POOLED, seed_groups, selection_rows, train_baseline, train_stack
from heteroscope.training.heads import TrainedHeads

SHARES = (1 / 32, 1 / 16, 1 / 8, 1 / 4, 1 / 2)
REPEATS = 10
SMALLEST = 10  # training images, below which a size is left out
SEED = 0
STREAM = 2  # keeps these draws apart from the random partitions, which have no third number


@dataclass(frozen=True)
class Subset:
    """A part of the training rows.

    Attributes:
        share: of the training images that it was cut at; 1 is all of them.
        repeat: number of the random order from 1; 0 for all rows, of which there is only one set.
        rows: (n,) int, rows of the samples, ascending.
    """

    share: float
    repeat: int
    rows: np.ndarray


def training_curve(samples: Samples, head: Head, *, threads: int) -> pd.DataFrame:
    """Train the pooled head on nested random subsets and on all training rows, and score it on the test set.

    All heads choose their epoch on the same selection rows; the last size is the baseline itself.

    Args:
        samples: all rows; where they are standardized, by the whole training set.
        head: how heads are trained.
        threads: of the numerical work.

    Returns:
        A row a size, repeat and seed: share, repeat, seed, training_images, training_rows (views included), and
        every metric of `metrics.METRICS`.
    """
    whole = Subset(1.0, 0, samples.rows("train"))
    baseline = _scores(samples, [whole], train_baseline(samples, head, threads=threads))
    if not (subsets := nested_subsets(samples)):
        return baseline
    groups = [group for subset in subsets for group in seed_groups(subset.rows, POOLED, head)]
    trained = train_stack(samples, samples.label[None], groups, selection_rows(samples, head), head, threads)
    return pd.concat([_scores(samples, subsets, trained), baseline], ignore_index=True)


def nested_subsets(samples: Samples) -> list[Subset]:
    """The subsets of every size and repeat; in a repeat each holds all smaller ones.

    A size that has, in any repeat, fewer than `SMALLEST` images or not every class is left out of all.
    """
    train = samples.rows("train")
    orders = {repeat: patient_places(samples, repeat=repeat) for repeat in range(1, REPEATS + 1)}
    found = []
    for share in SHARES:
        subsets = [Subset(share, repeat, train[places <= share]) for repeat, places in orders.items()]
        if all(_usable(samples, subset) for subset in subsets):
            found += subsets
    return found


def patient_places(samples: Samples, *, repeat: int) -> np.ndarray:
    """The place of every training row's patient in one random order: (n,) float in (0, 1).

    The rows up to place s are a random share s of the training images. Patients are shuffled within the class of
    their images (patients of several classes are among themselves) and laid end to end; the place is where the
    middle of the patient lies. So each class misses its share by at most half a patient, and no patient is torn.
    The order depends on the training set and `repeat` alone.
    """
    train = samples.rows("train")
    label = samples.label[train]
    patients, patient = np.unique(samples.group[train], return_inverse=True)
    images = np.bincount(patient[samples.view[train] == 0], minlength=len(patients))
    first, last = np.full(len(patients), label.max()), np.zeros(len(patients), dtype=label.dtype)
    np.minimum.at(first, patient, label)
    np.maximum.at(last, patient, label)
    stratum = np.where(first == last, first, len(samples.class_names))
    generator = np.random.default_rng([SEED, repeat, STREAM])
    place = np.empty(len(patients))
    for value in np.unique(stratum):
        members = stratum == value
        place[members] = shuffled_middles(images[members], generator) / images[members].sum()
    return np.asarray(place[patient])


def _usable(samples: Samples, subset: Subset) -> bool:
    classes = np.unique(samples.label[samples.rows("train")])
    return _images(samples, subset) >= SMALLEST and len(np.unique(samples.label[subset.rows])) == len(classes)


def _images(samples: Samples, subset: Subset) -> int:
    return int((samples.view[subset.rows] == 0).sum())


def _scores(samples: Samples, subsets: Sequence[Subset], trained: TrainedHeads) -> pd.DataFrame:
    """Metrics on the test set of heads that were trained on subsets, as many a subset as there are seeds."""
    test = samples.rows("test")
    probability = trained.probabilities(samples.features[test])[:, 0]
    seeds = len(probability) // len(subsets)
    axes = [
        {
            "share": subset.share,
            "repeat": subset.repeat,
            "seed": seed,
            "training_images": _images(samples, subset),
            "training_rows": len(subset.rows),
        }
        for subset in subsets
        for seed in range(seeds)
    ]
    scores = {name: metric(probability, samples.label[test]) for name, metric in metrics.METRICS.items()}
    return pd.DataFrame(axes).assign(**scores)
