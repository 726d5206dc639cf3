"""The verdict's test by brute force, and every way in which it can be decided."""

from __future__ import annotations

import re
from dataclasses import replace

import numpy as np
import pytest
import scipy.stats

from heteroscope import config
from heteroscope.evaluation.analysis import Analysis
from heteroscope.evaluation.runs import LabelRuns
from heteroscope.evaluation.verdict import (
    LabelTest,
    clusters_that_gain,
    decide,
    gains,
    label_test,
    not_assessable,
    sensitivity,
)


def backbone(**changes: object) -> config.Backbone:
    return config.Backbone(**{"model": "small-cnn", "weights": "random", "pixels": "square"} | changes)


def context(
    *, backbones: dict[str, config.Backbone] | None = None, primary: str = "net", level: float = 0.05
) -> config.StudyContext:
    backbones = backbones or {"net": backbone()}
    return config.StudyContext(
        id="tiny",
        study=config.Study(
            dataset="eyes",
            split="holdout",
            backbones=[primary],
            clusterings=["kmeans-3"],
            head="linear",
            controls="few",
            level=level,
            margin=0.05,
            primary=config.Primary(backbone=primary, clustering="kmeans-3"),
        ),
        dataset=config.FolderDataset(adapter="folder", root="eyes", classes={"normal": ["n"], "disease": ["d"]}),
        split=config.Split(),
        augmentation=None,
        backbones=backbones,
        clusterings={"kmeans-3": config.Clustering(k=3)},
        head=config.Head(),
        controls=config.Controls(),
    )


def outcome(**changes: object) -> LabelTest:
    """A test whose answer is `undecided` but for the changes."""
    found = LabelTest(
        gain=0.01,
        draws=np.linspace(-0.1, 0.1, 99),
        p=0.46,
        accuracy_gain=0.01,
        interval=(-0.02, 0.08),
        pooled_accuracy=0.8,
        majority_share=0.6,
        pooled_loss=0.5,
        prevalence_loss=0.67,
        eligible=[0, 1],
        images=200,
        patients=150,
    )
    return replace(found, **changes)


# ------------------------------------------------------------------------------------------ gains


def test_gains_by_brute_force() -> None:
    generator = np.random.default_rng(0)
    draws, n, k = 6, 40, 4
    cluster = generator.integers(0, k, n)
    eligible = generator.random((1 + draws, k)) < 0.6
    eligible[3] = False
    pooled, own = generator.random((2, 1 + draws, n))
    own[:, cluster == 2] = np.nan
    eligible[:, 2] = False
    runs = LabelRuns(pooled, own, pooled, own, eligible, cluster, {})
    expected = []
    for draw in range(1 + draws):
        kept = [pooled[draw, i] - own[draw, i] for i in range(n) if eligible[draw, cluster[i]]]
        expected.append(np.mean(kept) if kept else np.nan)
    np.testing.assert_allclose(gains(runs), expected)
    assert np.isnan(gains(runs)[3])


def test_the_test_of_an_analysis(analysis: Analysis) -> None:
    test, runs = label_test(analysis, seed=0), analysis.labels
    assert test is not None
    assert runs is not None
    inside = np.isin(runs.cluster, [0, 1])
    expected = [np.mean(p[inside] - o[inside]) for p, o in zip(runs.pooled_loss, runs.own_loss, strict=True)]
    np.testing.assert_allclose(test.gain, expected[0])
    np.testing.assert_allclose(test.draws, expected[1:])
    assert test.p == (1 + sum(value >= expected[0] for value in expected[1:])) / 40
    np.testing.assert_allclose(test.pooled_accuracy, runs.pooled_correct[0, inside].mean())
    gain = runs.own_correct[0, inside] - runs.pooled_correct[0, inside]
    np.testing.assert_allclose(test.accuracy_gain, gain.mean())
    assert test.interval[0] < test.accuracy_gain < test.interval[1]
    assert test.eligible == [0, 1]
    assert test.images == 58
    assert test.patients == analysis.test["group"][inside].nunique()
    share = analysis.test["label"][inside].mean()
    np.testing.assert_allclose(test.majority_share, max(share, 1 - share))
    np.testing.assert_allclose(test.prevalence_loss, scipy.stats.entropy([share, 1 - share]))
    np.testing.assert_allclose(test.pooled_loss, runs.pooled_loss[0, inside].mean())
    assert label_test(replace(analysis, labels=None), seed=0) is None


def test_without_an_eligible_cluster_nothing_is_defined(analysis: Analysis) -> None:
    assert analysis.labels is not None
    labels = replace(analysis.labels, eligible=np.zeros_like(analysis.labels.eligible))
    test = label_test(replace(analysis, labels=labels), seed=0)
    assert test is not None
    assert test.images == test.patients == 0
    assert np.isnan([test.gain, test.p, test.accuracy_gain, test.pooled_accuracy, *test.interval]).all()
    assert decide(context(), test)[0] == "not assessable"


# ---------------------------------------------------------------------------------------- verdict


@pytest.mark.parametrize(
    ("changes", "verdict", "reason"),
    [
        ({"p": 0.05}, "different", "p = 0.05"),
        ({"p": 0.0501}, "undecided", "none of the size of the margin"),
        ({"interval": (-0.05, 0.05)}, "equivalent", "± 0.05"),
        ({"interval": (-0.0501, 0.02)}, "undecided", ""),
        ({"interval": (0.01, 0.0501)}, "undecided", ""),
        ({"p": 0.01, "interval": (-0.01, 0.01)}, "different", ""),
        ({"pooled_accuracy": 0.99, "interval": (-0.01, 0.01)}, "not assessable", "no room"),
        ({"pooled_accuracy": 0.995, "p": 0.01}, "different", ""),
        ({"pooled_accuracy": 0.6, "pooled_loss": 0.67, "interval": (-0.01, 0.01)}, "not assessable", "60.0%"),
        ({"pooled_accuracy": 0.6, "interval": (-0.01, 0.01)}, "equivalent", ""),  # it ranks, if it names no class
        ({"pooled_loss": 0.7, "interval": (-0.01, 0.01)}, "equivalent", ""),
        ({"eligible": [2], "p": 0.01}, "not assessable", "only one of the clusters has"),
        ({"eligible": [], "p": np.nan}, "not assessable", "none of the clusters has"),
        ({"draws": np.zeros(18), "p": 0.04}, "not assessable", "18 label draws.*smallest p 0.0526"),
        ({"draws": np.zeros(19), "p": 0.05}, "different", ""),
        ({"draws": np.append(np.zeros(18), [np.nan] * 50)}, "not assessable", "18 label draws"),
    ],
)
def test_every_decision(changes: dict[str, object], verdict: str, reason: str) -> None:
    found, said = decide(context(), outcome(**changes))
    assert found == verdict
    assert re.search(reason, said), said


def test_the_level_is_the_studys() -> None:
    assert decide(context(level=0.01), outcome(p=0.02, draws=np.zeros(399)))[0] == "undecided"
    assert decide(context(level=0.01), outcome(p=0.01, draws=np.zeros(98)))[0] == "not assessable"


def test_a_study_without_the_label_arm_cannot_tell() -> None:
    assert decide(context(), None) == ("not assessable", "the study leaves out the arm `labels`, which alone can tell")


def test_a_backbone_trained_on_the_training_set_cannot_tell() -> None:
    def tuned(share: str) -> config.Backbone:
        return backbone(weights="trained", finetune=config.Finetune(share=share))

    assert decide(context(backbones={"net": tuned("backbone")}), outcome(p=0.01))[0] == "different"
    verdict, reason = decide(context(backbones={"net": tuned("train")}), outcome(p=0.01))
    assert verdict == "not assessable"
    assert "trained on the images" in reason
    parts = {"net": backbone(), "tuned": tuned("train")}
    assert not_assessable(context(backbones=parts, primary="net+tuned"), "net+tuned", outcome()) is not None
    # a backbone of a sensitivity analysis does not touch the primary one
    assert not_assessable(context(backbones=parts), "net", outcome()) is None
    leaky = decide(context(backbones={"net": tuned("backbone")}), outcome(p=0.01), leaked=3)
    assert leaky == ("not assessable", "the backbone was trained on patients or copies of 3 of the study's images")


def test_sensitivity_is_adjusted_over_all_but_the_primary() -> None:
    tests = {
        ("a", "k4"): outcome(p=0.001),
        ("a", "k6"): outcome(p=0.01, eligible=[0, 2, 3]),
        ("b", "k4"): outcome(p=0.04),
        ("b", "k6"): outcome(p=0.03),
        ("c", "k4"): None,
        ("c", "k6"): outcome(p=0.5, eligible=[1]),  # one cluster cannot be compared
        ("d", "k4"): outcome(p=0.01),  # trained on T: it cannot tell
    }
    nets = {name: backbone() for name in "abc"}
    nets["d"] = backbone(weights="trained", finetune=config.Finetune(share="train"))
    found = sensitivity(context(backbones=nets), tests, ("a", "k4"))
    assert [(row["backbone"], row["clustering"]) for row in found] == [
        ("a", "k6"),
        ("b", "k4"),
        ("b", "k6"),
    ]
    np.testing.assert_allclose([row["p_holm"] for row in found], [0.03, 0.06, 0.06])
    assert found[0]["compared_clusters"] == 3
    assert sensitivity(context(backbones=nets), {("a", "k4"): outcome()}, ("a", "k4")) == []


def test_clusters_that_gain(analysis: Analysis) -> None:
    # the observed gain of both compared clusters is 0.1, far above what is drawn around −0.02
    assert clusters_that_gain(analysis, 0.05) == [0, 1]
    assert clusters_that_gain(analysis, 0.049) == []  # Holm over two clusters with 39 draws: 2 / 40
    assert clusters_that_gain(replace(analysis, labels=None), 0.05) == []
