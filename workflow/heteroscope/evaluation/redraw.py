"""Drawing the label sets of the label arm, from rules fitted to all original images."""

from __future__ import annotations

import numpy as np

from heteroscope.clustering.reduction import fit_rule_basis
from heteroscope.config import Controls
from heteroscope.embedding.samples import Samples
from heteroscope.evaluation.controls import class_counts
from heteroscope.evaluation.interaction import interaction_test
from heteroscope.evaluation.label_rule import SharedRule, fit_shared_rule, redraw_labels, rotated_probability, rule_gap
from heteroscope.evaluation.label_sets import LabelSets

# between the rules of two sides of the clusters, in degrees, where the test's power is measured
ANGLES = (15, 30, 45, 60, 90)


def draw_label_sets(samples: Samples, cluster: np.ndarray, controls: Controls) -> LabelSets:
    """Fit the shared rules to all original images and draw label sets from them.

    Args:
        samples: all rows.
        cluster: (N,) int, of every row.
        controls: draws, label sets an angle, seed.
    """
    original = np.flatnonzero(samples.view == 0)
    observed, group, place = samples.label[original], samples.group[original], cluster[original]
    # the rule's space is its own: the heads' features, reduced alike for every clustering of them
    basis = fit_rule_basis(samples.features, samples.rows("train"), controls.seed)
    coordinates = basis.transform(samples.features[original])
    linear = fit_shared_rule(coordinates, place, observed, group, seed=controls.seed)
    quadratic = fit_shared_rule(coordinates, place, observed, group, seed=controls.seed, kind="quadratic")
    sets = [observed]
    for rule in [linear] if quadratic.is_linear else [linear, quadratic]:
        # the same random numbers for both: they differ by their rules alone
        sets += _redrawn(rule, observed, group, controls)
    counts = class_counts(place, observed, k=int(place.max()) + 1, classes=len(samples.class_names))
    enough = counts.min(axis=1) >= controls.min_class
    # what is at stake is counted where it is tested; with folds every image is
    tested = np.isin(samples.part[original], ["test"] if "test" in samples.part else ["train"]) & enough[place]
    turned, gaps = _rotated(linear, coordinates, place, observed, group, _sides(enough), tested, controls)
    return LabelSets(
        image_id=samples.image_id[original],
        label=np.stack([*sets, *turned]),
        draws=controls.draws,
        degrees=np.repeat(ANGLES, controls.power),
        gap=gaps,
        rules={"linear": linear.summary, "quadratic": quadratic.summary},
        interaction=interaction_test(coordinates, place, observed, group),
    )


def _redrawn(rule: SharedRule, label: np.ndarray, group: np.ndarray, controls: Controls) -> list[np.ndarray]:
    """A label set a draw, from (seed, draw) alone."""
    return [
        redraw_labels(rule.probability, label, group, np.random.default_rng([controls.seed, draw]))
        for draw in range(1, controls.draws + 1)
    ]


def _sides(enough: np.ndarray) -> np.ndarray:
    """(k,) +1 and −1 by turns over the clusters with enough images of every class, then over the others."""
    side = np.empty(len(enough), dtype=int)
    side[np.argsort(~enough, kind="stable")] = 1 - 2 * (np.arange(len(enough)) % 2)
    return side


def _rotated(
    rule: SharedRule,
    coordinates: np.ndarray,
    cluster: np.ndarray,
    label: np.ndarray,
    group: np.ndarray,
    side: np.ndarray,
    tested: np.ndarray,
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
            gaps.append(rule_gap(probability[tested], rule.probability[tested]) if tested.any() else np.nan)
    return sets, np.array(gaps)
