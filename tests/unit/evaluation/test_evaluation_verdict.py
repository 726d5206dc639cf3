"""The verdict's test by brute force, and every way in which it can be decided."""

from __future__ import annotations

import re
from dataclasses import replace

import numpy as np
import pandas as pd
import pytest
import scipy.stats

from heteroscope import config
from heteroscope.evaluation.analysis import Analysis
from heteroscope.evaluation.runs import LabelRuns, Rotations
from heteroscope.evaluation.statistics import permutation_p
from heteroscope.evaluation.verdict import (
    LabelTest,
    clusters_that_gain,
    decide,
    detectable_gap,
    gains,
    label_test,
    leaked_images,
    not_assessable,
    power_table,
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
        nonlinear_draws=np.linspace(-0.1, 0.1, 99),
        p=0.46,
        p_interval=(0.36, 0.56),
        p_nonlinear=0.01,
        p_nonlinear_interval=(0.0, 0.05),
        accuracy_gain=0.01,
        interval=(-0.02, 0.08),
        pooled_accuracy=0.8,
        majority_share=0.6,
        pooled_loss=0.5,
        prevalence_loss=0.67,
        eligible=[0, 1],
        images=200,
        patients=150,
        power=pd.DataFrame(),
        detectable=None,
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
    accuracy = np.full((1 + draws, k), np.nan)
    runs = LabelRuns(pooled, own, pooled, own, accuracy, eligible[:, cluster], cluster)
    np.testing.assert_array_equal(runs.eligible, eligible)
    expected = []
    for draw in range(1 + draws):
        kept = [pooled[draw, i] - own[draw, i] for i in range(n) if eligible[draw, cluster[i]]]
        expected.append(np.mean(kept) if kept else np.nan)
    np.testing.assert_allclose(gains(runs), expected)
    assert np.isnan(gains(runs)[3])


def test_the_test_of_an_analysis(analysis: Analysis) -> None:
    test, runs = label_test(analysis, seed=0, level=0.05), analysis.labels.linear
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
    assert label_test(replace(analysis, labels=None), seed=0, level=0.05) is None


def test_without_an_eligible_cluster_nothing_is_defined(analysis: Analysis) -> None:
    assert analysis.labels is not None
    linear = analysis.labels.linear
    labels = replace(analysis.labels, linear=replace(linear, compared=np.zeros_like(linear.compared)), quadratic=None)
    test = label_test(replace(analysis, labels=labels), seed=0, level=0.05)
    assert test is not None
    assert test.images == test.patients == 0
    assert np.isnan([test.gain, test.p, test.accuracy_gain, test.pooled_accuracy, *test.interval]).all()
    assert decide(context(), "net", test)[0] == "not assessable"


def test_the_nonlinear_p_is_that_of_the_quadratic_draws(analysis: Analysis) -> None:
    assert analysis.labels is not None
    runs = analysis.labels.linear
    own = runs.own_loss.copy()
    own[1:13] -= 9.0
    found = label_test(
        replace(analysis, labels=replace(analysis.labels, quadratic=replace(runs, own_loss=own))), seed=0, level=0.05
    )
    assert found is not None
    assert (found.p, found.p_nonlinear) == (1 / 40, 13 / 40)
    assert decide(context(), "net", found)[0] == "nonlinear rule"
    alone = label_test(replace(analysis, labels=replace(analysis.labels, quadratic=None)), seed=0, level=0.05)
    assert alone is not None
    assert alone.p_nonlinear == alone.p
    exact = scipy.stats.binomtest(0, 39).proportion_ci(0.95, "exact")
    np.testing.assert_allclose(found.p_interval, (exact.low, exact.high))


# ------------------------------------------------------------------------------------------ power


@pytest.mark.parametrize("level", [0.05, 0.1])
def test_power_by_brute_force(level: float) -> None:
    generator = np.random.default_rng(3)
    degrees = generator.permutation(np.repeat([15, 45, 90], 30))
    gain = generator.normal(degrees / 40, 1)
    nulls = [np.append(generator.normal(size=39), np.nan), generator.normal(1.5, 1, size=39)]
    gain[:6] = np.append(nulls[0][:5], np.nan)  # ties with draws, and a label set without eligible clusters
    gap = generator.random(90)
    table = power_table(Rotations(degrees, gain, gap), nulls, level=level)
    assert table["degrees"].tolist() == [15, 45, 90]
    for row in table.itertuples():
        mine = [i for i in range(90) if degrees[i] == row.degrees]
        found = [all(permutation_p(gain[i], draws) <= level for draws in nulls) for i in mine]
        assert row.power == np.mean(found)
        assert row.label_sets == len(mine) == 30
        np.testing.assert_allclose(row.gap, gap[mine].mean())
        exact = scipy.stats.binomtest(sum(found), 30).proportion_ci(0.95, "exact")
        np.testing.assert_allclose((row.power_low, row.power_high), (exact.low, exact.high))
    assert 0 < table["power"].iloc[0] < table["power"].iloc[2]
    alone = power_table(Rotations(degrees, gain, gap), nulls[:1], level=level)
    assert (alone["power"] >= table["power"]).all()
    assert (alone["power"] > table["power"]).any(), "the second rule is never the harder one"


def test_power_without_label_sets_or_with_too_few_draws() -> None:
    nothing = Rotations(np.array([], dtype=int), np.array([]), np.array([]))
    empty = power_table(nothing, [np.zeros(99)], level=0.05)
    assert empty.empty
    assert detectable_gap(empty) is None
    few = power_table(Rotations(np.array([90] * 4), np.ones(4), np.ones(4)), [np.zeros(18)], level=0.05)
    assert few["power"].tolist() == [0.0]


@pytest.mark.parametrize(
    ("power", "expected"),
    [
        ([0.1, 0.6, 1.0], 0.06 + 0.5 * 0.09),  # half of the way from 0.6 to 1
        ([0.1, 0.8, 1.0], 0.06),
        ([0.9, 0.95, 1.0], 0.01),  # below the smallest angle nothing is known
        ([0.1, 0.2, 0.79], None),
        ([0.9, 0.5, 1.0], 0.06 + 0.1 / 0.3 * 0.09),  # 0.9 and 0.5 are 0.7 on average
    ],
)
def test_the_detectable_gap_by_hand(power: list[float], expected: float | None) -> None:
    found = detectable_gap(pd.DataFrame({"degrees": [15, 45, 90], "power": power, "gap": [0.01, 0.06, 0.15]}))
    assert found == (None if expected is None else pytest.approx(expected))


# ---------------------------------------------------------------------------------------- verdict


@pytest.mark.parametrize(
    ("changes", "verdict", "reason"),
    [
        ({"p": 0.05}, "different", "p = 0.05"),
        ({"p": 0.05, "p_nonlinear": 0.05}, "different", ""),
        ({"p": 0.05, "p_nonlinear": 0.0501}, "nonlinear rule", "p = 0.05 if .* linear, but 0.0501 if it may be curved"),
        ({"p": 0.01, "p_nonlinear": 0.4, "interval": (-0.01, 0.01)}, "nonlinear rule", ""),
        ({"p": 0.01, "p_nonlinear": 0.4, "pooled_accuracy": 0.995}, "nonlinear rule", ""),
        ({"p": 0.0501, "p_nonlinear": 0.01}, "undecided", ""),
        ({"p": 0.01, "nonlinear_draws": np.append(np.zeros(18), np.nan)}, "not assessable", "18 label draws"),
        ({"p": 0.0501}, "undecided", "-2.0 to .8.0 points, reaches beyond ± 5"),
        ({"interval": (-0.05, 0.05)}, "equivalent", "-5.0 to .5.0 points, lies within ± 5"),
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
    found, said = decide(context(), "net", outcome(**changes))
    assert found == verdict
    assert re.search(reason, said), said


def test_the_level_is_the_studys() -> None:
    few = {"draws": np.zeros(399), "nonlinear_draws": np.zeros(399)}
    assert decide(context(level=0.01), "net", outcome(p=0.02, **few))[0] == "undecided"
    assert (
        decide(context(level=0.01), "net", outcome(p=0.01, draws=np.zeros(98), nonlinear_draws=np.zeros(399)))[0]
        == "not assessable"
    )


def test_a_study_without_the_label_arm_cannot_tell() -> None:
    assert decide(context(), "net", None) == (
        "not assessable",
        "the study leaves out the arm `labels`, which alone can tell",
    )


def test_a_backbone_trained_on_the_training_set_cannot_tell() -> None:
    def tuned(share: str) -> config.Backbone:
        return backbone(weights="trained", finetune=config.Finetune(share=share))

    assert decide(context(backbones={"net": tuned("backbone")}), "net", outcome(p=0.01))[0] == "different"
    verdict, reason = decide(context(backbones={"net": tuned("train")}), "net", outcome(p=0.01))
    assert verdict == "not assessable"
    assert "trained on the images" in reason
    parts = {"net": backbone(), "tuned": tuned("train")}
    assert not_assessable(context(backbones=parts, primary="net+tuned"), "net+tuned", outcome()) is not None
    # a backbone of a sensitivity analysis does not touch the primary one
    assert not_assessable(context(backbones=parts), "net", outcome()) is None
    leaky = decide(context(backbones={"net": tuned("backbone")}), "net", outcome(p=0.01), leaked=3)
    assert leaky == ("not assessable", "the backbone was trained on patients or copies of 3 of the study's images")


def test_an_analysis_is_decided_by_its_own_backbone() -> None:
    nets = {"net": backbone(), "tuned": backbone(weights="trained", finetune=config.Finetune(share="train"))}
    study = context(backbones=nets)
    assert decide(study, "net", outcome(p=0.01))[0] == "different"
    assert decide(study, "tuned", outcome(p=0.01))[0] == "not assessable"


def test_images_that_a_backbone_has_seen_are_counted() -> None:
    nets = {"net": backbone(), "tuned": backbone(weights="trained", finetune=config.Finetune())}
    split = pd.DataFrame(
        {
            "part": ["backbone", "backbone", "train", "test", "test", "validation"],
            "group": ["p1", "p2", "p1", "p1", "p3", "p4"],
            "content": ["a", "b", "c", "d", "b", "e"],
        }
    )
    study = context(backbones=nets)
    assert [leaked_images(study, name, split) for name in ("net", "tuned", "net+tuned")] == [0, 3, 3]


def test_clusters_that_gain(analysis: Analysis) -> None:
    # the observed gain of both compared clusters is 0.1, far above what is drawn around −0.02
    assert clusters_that_gain(analysis, 0.05) == [0, 1]
    assert clusters_that_gain(analysis, 0.049) == []  # Holm over two clusters with 39 draws: 2 / 40
    assert clusters_that_gain(replace(analysis, labels=None), 0.05) == []
