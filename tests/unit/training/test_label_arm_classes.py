"""The label arm of four classes: a planted difference is found, a shared rule is not called one."""

from __future__ import annotations

from dataclasses import replace

import numpy as np
import pytest

from heteroscope.config import Controls, Head
from heteroscope.embedding.samples import Samples
from heteroscope.evaluation.runs import gains
from heteroscope.evaluation.statistics import permutation_p
from tests.unit.training.worlds import make_samples, run_labels

CLASSES = 4
HEAD = Head(epochs=15, patience=15, batch_size=32, learning_rate=0.01, seeds=1, monitor="loss")
CONTROLS = Controls(draws=19, power=1, min_class=5, min_test=5)


def world(truth: str) -> tuple[Samples, np.ndarray]:
    """Two far clusters; classes lie at the corners of a square that is turned by 90 degrees where `planted`."""
    samples, cluster = make_samples("shared", n=480, d=4)
    generator = np.random.default_rng(1)
    corners = 1.5 * np.array([[1, 1], [-1, 1], [-1, -1], [1, -1]])
    turn = cluster if truth == "planted" else np.zeros_like(cluster)
    logits = np.stack([(samples.features[:, :2] * corners[(c + turn) % CLASSES]).sum(axis=1) for c in range(CLASSES)])
    label = (logits + generator.gumbel(size=logits.shape)).argmax(axis=0)
    return replace(samples, label=label, class_names=list("abcd")), cluster


@pytest.mark.parametrize(("truth", "found"), [("planted", True), ("shared", False)])
def test_four_classes(truth: str, found: bool) -> None:
    samples, cluster = world(truth)
    arm = run_labels(samples, cluster, HEAD, CONTROLS)
    gain = gains(arm.linear)
    assert arm.linear.eligible.shape == (20, 2)
    assert arm.linear.eligible[0].all()
    assert (permutation_p(gain[0], gain[1:]) <= 0.05) == found
    test = samples.rows("test")
    assert arm.linear.pooled_correct.shape == (20, len(test))
    assert 0.5 < arm.rules["linear"]["cross_fitted_auc"] <= 1
    assert 0 <= arm.interaction.p <= 1
    assert (arm.interaction.p < 0.05) == found
