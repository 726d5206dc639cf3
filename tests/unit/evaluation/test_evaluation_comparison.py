"""The tables of a study, recomputed by brute force from a hand-made analysis."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import fields, replace
from pathlib import Path
from typing import Any

import h5py
import numpy as np
import pandas as pd
import pytest
from scipy import stats
from sklearn.metrics import accuracy_score, f1_score, recall_score, roc_auc_score
from statsmodels.stats.proportion import proportion_confint

from heteroscope.config import Controls, Head
from heteroscope.embedding.samples import Samples
from heteroscope.errors import StoreError
from heteroscope.evaluation.analysis import Analysis, load_analysis
from heteroscope.evaluation.baseline import history_table, prediction_table, probabilities_of, summary
from heteroscope.evaluation.comparison import (
    baseline_table,
    cluster_table,
    published_comparison,
    transfer_table,
)
from heteroscope.evaluation.label_sets import label_arm, read_label_sets, write_label_sets
from heteroscope.evaluation.performance import confusion_table
from heteroscope.evaluation.runs import InteractionTest, read_arm, read_labels
from heteroscope.store import write_table


def score(name: str, probability: np.ndarray, label: np.ndarray) -> float:
    predicted = probability.argmax(axis=1)
    return {
        "accuracy": lambda: accuracy_score(label, predicted),
        "auc": lambda: roc_auc_score(label, probability[:, 1]),
        "sensitivity": lambda: recall_score(label, predicted),
        "specificity": lambda: recall_score(label, predicted, pos_label=0),
        "f1": lambda: f1_score(label, predicted),
    }[name]()


def mean_score(name: str, seeds: np.ndarray, label: np.ndarray) -> float:
    return float(np.mean([score(name, probability, label) for probability in seeds]))


Writer = Callable[[Path, Analysis], dict[str, Any]]
SHOWN = ("accuracy", "auc", "sensitivity", "specificity", "f1")


@pytest.fixture(scope="module")
def label(analysis: Analysis) -> np.ndarray:
    return analysis.test["label"].to_numpy()


def test_what_each_cluster_holds(analysis: Analysis, controls: Controls) -> None:
    table = cluster_table(analysis, controls, "f1")
    assert table["cluster"].tolist() == [0, 1, 2]
    assert table["size"].tolist() == [45, 35, 10]
    assert table["n_normal"].tolist() == [25, 15, 7]
    assert table["n_disease"].tolist() == [20, 20, 3]
    assert table["test_size"].tolist() == [33, 25, 2]
    assert table["within_distance"].tolist() == [2.0, 3.0, 4.0]
    assert table["compared"].tolist() == [True, True, False]
    assert set(table["weights"]) == {"trained (sha256 0123abcd)"}
    assert not table["optimistic"].any()


@pytest.mark.parametrize("metric", SHOWN)
def test_clusters_against_controls(analysis: Analysis, controls: Controls, label: np.ndarray, metric: str) -> None:
    table = cluster_table(analysis, controls, "f1")
    for c in range(3):
        row = table.loc[c]
        seeds = [score(metric, probability, label) for probability in analysis.arms["cluster"][c].probability[0]]
        np.testing.assert_allclose(row[metric], np.mean(seeds))
        np.testing.assert_allclose(row[f"{metric}_sd"], np.std(seeds, ddof=1))
        for arm in ("size", "balanced"):
            draws = np.array([mean_score(metric, seeds, label) for seeds in analysis.arms[arm][c].probability])
            np.testing.assert_allclose(row[f"{metric}_{arm}"], draws.mean())
            np.testing.assert_allclose(row[f"{metric}_{arm}_sd"], draws.std(ddof=1))
            np.testing.assert_allclose(row[f"{metric}_{arm}_gap"], row[metric] - draws.mean())
            centre = (draws.sum() + row[metric]) / (len(draws) + 1)
            as_far = sum(abs(draw - centre) >= abs(row[metric] - centre) - 1e-12 for draw in draws)
            np.testing.assert_allclose(row[f"{metric}_{arm}_p"], (1 + as_far) / (len(draws) + 1))


def test_the_studys_metric_stands_beside_the_published_ones_once(analysis: Analysis, controls: Controls) -> None:
    for table_of in (
        lambda metric: cluster_table(analysis, controls, metric),
        lambda metric: baseline_table(analysis, metric),
    ):
        plain, own = table_of("accuracy"), table_of("f1")
        assert plain.columns.is_unique
        assert "f1" not in plain
        assert {"f1", "f1_sd"} <= set(own.columns)
        pd.testing.assert_frame_equal(own[plain.columns], plain)


def test_gains_within_clusters(analysis: Analysis, controls: Controls) -> None:
    table, runs = cluster_table(analysis, controls, "accuracy"), analysis.labels.linear
    assert runs is not None
    p = []
    for c in (0, 1):
        inside = runs.cluster == c
        gain = [
            np.mean(pooled[inside] - own[inside]) for pooled, own in zip(runs.pooled_loss, runs.own_loss, strict=True)
        ]
        np.testing.assert_allclose(table.loc[c, "gain"], gain[0])
        p.append((1 + sum(value >= gain[0] for value in gain[1:])) / len(gain))
        np.testing.assert_allclose(table.loc[c, "gain_p"], p[c])
    np.testing.assert_allclose(table.loc[[0, 1], "gain_p_holm"], [min(1, 2 * value) for value in p], atol=1e-12)
    names = [name for name in table if name.startswith(("gain", "accuracy_gain"))]
    assert len(names) == 8
    for c in (0, 1):
        low, high = proportion_confint(round(40 * p[c]) - 1, 39, alpha=0.05, method="beta")
        np.testing.assert_allclose(table.loc[c, ["gain_p_low", "gain_p_high"]].to_numpy(dtype=float), [low, high])
    assert table.loc[2, names].isna().all()
    without = cluster_table(replace(analysis, labels=None), controls, "accuracy")
    assert without[names].isna().all(axis=None)


def test_accuracy_gains_within_clusters_and_their_intervals(analysis: Analysis, controls: Controls) -> None:
    """The interval holds the middle nine tenths of means over patients drawn with replacement."""
    table, runs = cluster_table(analysis, controls, "accuracy"), analysis.labels.linear
    generator = np.random.default_rng(5)
    for c in (0, 1):
        inside = runs.cluster == c
        gain = pd.Series((runs.own_correct - runs.pooled_correct)[0, inside])
        np.testing.assert_allclose(table.loc[c, "accuracy_gain"], gain.mean())
        of_patients = [values.to_numpy() for _, values in gain.groupby(analysis.test["group"].to_numpy()[inside])]
        means = [
            np.concatenate([of_patients[i] for i in generator.integers(0, len(of_patients), len(of_patients))]).mean()
            for _ in range(4000)
        ]
        found = table.loc[c, ["accuracy_gain_low", "accuracy_gain_high"]].to_numpy(dtype=float)
        np.testing.assert_allclose(found, np.quantile(means, [0.05, 0.95]), atol=0.004)


def test_a_gain_within_a_cluster_must_hold_against_both_rules(analysis: Analysis, controls: Controls) -> None:
    assert analysis.labels is not None
    runs = analysis.labels.linear
    own = runs.own_loss.copy()
    own[1:21] -= 9.0  # 20 of the quadratic rule's draws gain more than the observed labels
    labels = replace(analysis.labels, quadratic=replace(runs, own_loss=own))
    table = cluster_table(replace(analysis, labels=labels), controls, "accuracy")
    plain = cluster_table(replace(analysis, labels=replace(labels, quadratic=None)), controls, "accuracy")
    np.testing.assert_allclose(table.loc[[0, 1], "gain_p"], 21 / 40)
    assert (plain.loc[[0, 1], "gain_p"] < 0.1).all()
    np.testing.assert_array_equal(table["gain"], plain["gain"])


def test_a_draw_in_which_a_cluster_is_not_eligible_does_not_count(analysis: Analysis, controls: Controls) -> None:
    runs = analysis.labels.linear
    assert runs is not None
    compared = runs.compared.copy()
    compared[1:21, runs.cluster == 0] = False
    table = cluster_table(
        replace(analysis, labels=replace(analysis.labels, linear=replace(runs, compared=compared), quadratic=None)),
        controls,
        "accuracy",
    )
    inside = runs.cluster == 0
    gain = (runs.pooled_loss - runs.own_loss)[:, inside].mean(axis=1)
    np.testing.assert_allclose(table.loc[0, "gain_p"], (1 + (gain[21:] >= gain[0]).sum()) / 20)


@pytest.mark.parametrize("metric", SHOWN)
def test_the_baseline_by_cluster(analysis: Analysis, label: np.ndarray, metric: str) -> None:
    table = baseline_table(analysis, "f1").set_index("cluster")
    assert table.index.tolist() == ["all", "0", "1", "2"]
    assert table["test_size"].tolist() == [60, 33, 25, 2]
    for name in ("all", "0", "1", "2"):
        members = np.full(60, True) if name == "all" else analysis.test["cluster"].to_numpy() == int(name)
        seeds = [score(metric, probability[members], label[members]) for probability in analysis.baseline]
        np.testing.assert_allclose(table.loc[name, metric], np.mean(seeds))
        np.testing.assert_allclose(table.loc[name, f"{metric}_sd"], np.std(seeds, ddof=1))
        assert table.loc[name, "test_disease"] == label[members].sum()


def test_the_baseline_has_intervals_and_patients(analysis: Analysis, label: np.ndarray) -> None:
    table = baseline_table(analysis, "f1").set_index("cluster")
    group, cluster = analysis.test["group"].to_numpy(), analysis.test["cluster"].to_numpy()
    for name in ("all", "0", "1"):
        members = np.full(60, True) if name == "all" else cluster == int(name)
        patients = np.unique(group[members])
        assert table.loc[name, "patients"] == len(patients)
        shares = [
            np.mean([(one[rows].argmax(axis=1) == label[rows]).mean() for one in analysis.baseline])
            for rows in (members & (group == patient) for patient in patients)
        ]
        np.testing.assert_allclose(table.loc[name, "recognition_rate"], np.mean(shares))
        for metric in (*SHOWN, "recognition_rate"):
            low, high = table.loc[name, [f"{metric}_low", f"{metric}_high"]]
            assert low <= table.loc[name, metric] <= high, (name, metric)


def test_confusions_are_mean_counts_over_seeds(analysis: Analysis, label: np.ndarray) -> None:
    table = confusion_table(analysis)
    for row in table.to_dict("records"):
        truth, called = (analysis.class_names.index(row[name]) for name in ("class", "predicted"))
        counts = [((one.argmax(axis=1) == called) & (label == truth)).sum() for one in analysis.baseline]
        np.testing.assert_allclose(row["images"], np.mean(counts))
        np.testing.assert_allclose(row["share"], np.mean(counts) / 30)
    assert table.groupby("class")["images"].sum().to_dict() == {"normal": 30, "disease": 30}


def test_a_cluster_without_test_images_has_an_empty_row(analysis: Analysis) -> None:
    test = analysis.test.assign(cluster=analysis.test["cluster"].replace(2, 1))
    table = baseline_table(replace(analysis, test=test), "auc").set_index("cluster")
    assert table.loc["2", "test_size"] == 0
    assert table.loc["2", ["accuracy", "auc", "accuracy_sd"]].isna().all()
    transfer = transfer_table(replace(analysis, test=test), "auc")
    assert transfer.loc[transfer["tested_on"] == 2, "auc"].isna().all()


def test_transfer_by_brute_force(analysis: Analysis, label: np.ndarray) -> None:
    table = transfer_table(analysis, "sensitivity")
    assert len(table) == 9
    cluster = analysis.test["cluster"].to_numpy()
    for row in table.to_dict("records"):
        members = cluster == row["tested_on"]
        seeds = analysis.arms["cluster"][row["model"]].probability[0][:, members]
        np.testing.assert_allclose(row["sensitivity"], mean_score("sensitivity", seeds, label[members]))
        assert row["images"] == members.sum()
        assert row["few"] == (members.sum() < 10)
    assert table["few"].sum() == 3


# ------------------------------------------------------------------------- the published comparison


def omnibus_by_hand(analysis: Analysis, arm: str, repeat: int, label: np.ndarray, clusters: list[int]) -> float:
    values = [mean_score("accuracy", analysis.arms[arm][c].probability[repeat], label) for c in clusters]
    sizes = [analysis.arms[arm][c].size[repeat] for c in clusters]
    mean = np.average(values, weights=sizes)
    return float(np.average((np.array(values) - mean) ** 2, weights=sizes))


def test_the_published_comparison(analysis: Analysis, controls: Controls, label: np.ndarray) -> None:
    found = published_comparison(analysis, controls, "accuracy")
    observed = omnibus_by_hand(analysis, "cluster", 0, label, [0, 1])
    np.testing.assert_allclose(found["T"], observed)
    assert found["clusters"] == 2
    for arm in ("size", "balanced"):
        draws = [omnibus_by_hand(analysis, arm, r, label, [0, 1]) for r in range(20)]
        np.testing.assert_allclose(found[f"p_{arm}"], (1 + sum(draw >= observed for draw in draws)) / 21)
        assert found[f"draws_{arm}"] == 20
    assert np.isnan(found["distance_rho"]), "one pair of clusters has no rank correlation"


def test_draws_with_too_few_of_a_class_do_not_count(analysis: Analysis, controls: Controls, label: np.ndarray) -> None:
    runs = analysis.arms["size"][1]
    counts = runs.class_counts.copy()
    counts[:7, 0] = controls.min_class - 1
    arms = analysis.arms | {
        "size": [analysis.arms["size"][0], replace(runs, class_counts=counts), analysis.arms["size"][2]]
    }
    found = published_comparison(replace(analysis, arms=arms), controls, "accuracy")
    observed = omnibus_by_hand(analysis, "cluster", 0, label, [0, 1])
    draws = [omnibus_by_hand(analysis, "size", r, label, [0, 1]) for r in range(7, 20)]
    np.testing.assert_allclose(found["p_size"], (1 + sum(draw >= observed for draw in draws)) / 14)
    assert found["draws_size"] == 13


def test_distances_are_correlated_with_gaps(analysis: Analysis, controls: Controls, label: np.ndarray) -> None:
    every = controls.model_copy(update={"min_class": 1, "min_test": 1})
    found = published_comparison(analysis, every, "accuracy")
    value = [mean_score("accuracy", runs.probability[0], label) for runs in analysis.arms["cluster"]]
    pairs = [(0, 1), (0, 2), (1, 2)]
    expected = stats.spearmanr([5.5 + j - i for i, j in pairs], [abs(value[i] - value[j]) for i, j in pairs]).statistic
    np.testing.assert_allclose(found["distance_rho"], expected)
    assert found["clusters"] == 3


def test_one_cluster_leaves_the_published_comparison_undefined(analysis: Analysis, controls: Controls) -> None:
    strict = controls.model_copy(update={"min_class": 18})
    found = published_comparison(analysis, strict, "accuracy")
    assert found["clusters"] == 1
    assert np.isnan(found["T"])
    assert np.isnan(found["p_size"])


# ------------------------------------------------------------------------------------------ files


def test_an_analysis_is_read_as_it_was_written(
    analysis: Analysis, controls: Controls, tmp_path: Path, write_analysis: Writer
) -> None:
    files = write_analysis(tmp_path, analysis)
    # the order of assignments is not that of predictions
    shuffled = analysis.assignments.sample(frac=1, random_state=1)
    write_table(shuffled, tmp_path / "assignments.parquet")
    found = load_analysis(files)
    assert found.test["image_id"].tolist() == analysis.test["image_id"].tolist()
    assert found.class_names == analysis.class_names
    np.testing.assert_array_equal(found.baseline, analysis.baseline)
    pd.testing.assert_frame_equal(cluster_table(found, controls, "f1"), cluster_table(analysis, controls, "f1"))
    assert found.labels is not None
    assert analysis.labels is not None
    assert found.labels.rules == analysis.labels.rules
    assert found.labels.interaction == analysis.labels.interaction
    for name in ("degrees", "gain", "gap"):
        np.testing.assert_allclose(getattr(found.labels.rotations, name), getattr(analysis.labels.rotations, name))
    for kind in ("linear", "quadratic"):
        read, written = getattr(found.labels, kind), getattr(analysis.labels, kind)
        for field in fields(written):
            np.testing.assert_allclose(getattr(read, field.name), getattr(written, field.name), rtol=1e-12)
    assert not np.array_equal(found.labels.linear.own_loss, found.labels.quadratic.own_loss, equal_nan=True)
    assert load_analysis(files | {"label_sets": None}).labels is None


def test_label_sets_without_a_quadratic_rule_rotations_or_p(
    analysis: Analysis, tmp_path: Path, write_analysis: Writer
) -> None:
    write_analysis(tmp_path, analysis)
    sets = read_label_sets(tmp_path / "label-sets.h5")
    assert sets.quadratic is not None
    plain = replace(
        sets,
        label=sets.label[sets.linear],
        degrees=np.array([], dtype=int),
        gap=np.array([]),
        interaction=InteractionTest(np.nan, 0, "too few"),
    )
    write_label_sets(tmp_path / "plain.h5", plain)
    found = read_label_sets(tmp_path / "plain.h5")
    assert found.quadratic is None
    assert np.isnan(found.interaction.p)
    assert found.interaction.note == "too few"
    np.testing.assert_array_equal(found.label, plain.label)
    assert analysis.labels is not None
    arm = label_arm(found, analysis.labels.linear)
    assert arm.quadratic is None
    assert len(arm.rotations.degrees) == len(arm.rotations.gain) == 0
    np.testing.assert_array_equal(arm.linear.own_loss, analysis.labels.linear.own_loss)
    with h5py.File(tmp_path / "plain.h5", "a") as file:
        del file["label"]
    with pytest.raises(StoreError, match=r"plain\.h5.*label"):
        read_label_sets(tmp_path / "plain.h5")


def test_labels_of_other_sets_are_refused(analysis: Analysis, tmp_path: Path, write_analysis: Writer) -> None:
    files = write_analysis(tmp_path, analysis)
    sets = read_label_sets(tmp_path / "label-sets.h5")
    write_label_sets(tmp_path / "label-sets.h5", replace(sets, label=sets.label[:-1]))
    with pytest.raises(StoreError, match=r"labels\.h5 holds \d+ label sets.*label-sets\.h5"):
        load_analysis(files)


def test_files_of_different_test_images_are_refused(analysis: Analysis, tmp_path: Path, write_analysis: Writer) -> None:
    files = write_analysis(tmp_path, analysis)
    other = analysis.assignments.assign(
        part=analysis.assignments["part"].where(analysis.assignments.index != 95, "train")
    )
    write_table(other, tmp_path / "assignments.parquet")
    with pytest.raises(StoreError, match=r"predictions\.parquet.*assignments\.parquet.*different test images"):
        load_analysis(files)


def test_a_damaged_run_is_named(analysis: Analysis, tmp_path: Path, write_analysis: Writer) -> None:
    files = write_analysis(tmp_path, analysis)
    path = tmp_path / "cluster-1/size.h5"
    path.write_bytes(path.read_bytes()[:-500])
    with pytest.raises(StoreError, match=r"cluster-1/size\.h5"):
        load_analysis(files)
    with pytest.raises(StoreError, match=r"labels\.h5.*'labels'.*'runs'"):
        read_arm(tmp_path / "labels.h5", test_images=[])
    with pytest.raises(StoreError, match=r"no such file"):
        read_labels(tmp_path / "nowhere.h5", test_images=[])


def test_runs_of_other_test_images_are_refused(analysis: Analysis, tmp_path: Path, write_analysis: Writer) -> None:
    write_analysis(tmp_path, analysis)
    images = analysis.test["image_id"].tolist()
    read_labels(tmp_path / "labels.h5", test_images=images)
    with pytest.raises(StoreError, match=r"labels\.h5: made for other test images"):
        read_labels(tmp_path / "labels.h5", test_images=images[::-1])
    with pytest.raises(StoreError, match=r"cluster-1/size\.h5: made for other test images"):
        read_arm(tmp_path / "cluster-1/size.h5", test_images=images[1:])


def test_predictions_and_history_as_tables() -> None:
    history = np.array([[0.5, 0.1], [0.7, 0.3], [0.6, np.nan]])  # (epochs, seeds)
    table = history_table(history, np.array([2, 2]), "accuracy")
    assert table["selection_accuracy"].tolist() == [0.5, 0.7, 0.6, 0.1, 0.3]
    assert table["epoch"].tolist() == [1, 2, 3, 1, 2]
    assert table["seed"].tolist() == [0, 0, 0, 1, 1]
    assert table["selected"].tolist() == [False, True, False, False, True]


def test_a_table_of_predictions_gives_the_probabilities_back() -> None:
    part = np.array(["train", "test", "validation", "test", "test", "test"], dtype=object)
    names = np.array([*"abcdef"], dtype=object)
    samples = Samples(np.zeros((6, 1)), names, np.zeros(6, int), part, np.arange(6) % 3, names, ["x", "y", "z"], {})
    probability = np.random.default_rng(0).dirichlet([1, 1, 1], (3, 4))
    table = prediction_table(samples, probability)
    assert table["image_id"].tolist() == [*"bdef"] * 3
    assert table["seed"].tolist() == [0] * 4 + [1] * 4 + [2] * 4
    assert table["label"].tolist() == [1, 0, 1, 2] * 3
    assert table.loc[6, "probability_z"] == probability[1, 2, 2]
    np.testing.assert_array_equal(probabilities_of(table), probability)


def test_a_summary_of_the_baseline(analysis: Analysis, label: np.ndarray) -> None:
    test = analysis.test
    samples = Samples(
        features=np.zeros((60, 1)),
        image_id=test["image_id"].to_numpy(),
        view=np.zeros(60, int),
        part=np.full(60, "test", dtype=object),
        label=label,
        group=test["group"].to_numpy(),
        class_names=analysis.class_names,
        embedding={"model": "resnet18", "weights": "random", "precision": "bfloat16", "agreement": 0.9995},
    )
    found = summary(samples, analysis.baseline, Head(selection="test"))
    for metric in SHOWN:
        seeds = [score(metric, probability, label) for probability in analysis.baseline]
        np.testing.assert_allclose(found["metrics"][metric]["mean"], np.mean(seeds))
        np.testing.assert_allclose(found["metrics"][metric]["sd"], np.std(seeds, ddof=1))
    assert found["optimistic"]
    assert (found["model"], found["weights"], found["seeds"]) == ("resnet18", "random", 2)
    assert (found["precision"], found["agreement"], found["engine"]) == ("bfloat16", "0.9995", "")
    assert found["rows"] == {"train": 0, "validation": 0, "test": 60}
    assert found["test_patients"] == 30
    undefined = found["metrics"].pop("patient_accuracy")
    assert np.isnan(list(undefined.values())).all(), "every patient of this world has an image of each class"
    for values in found["metrics"].values():
        assert values["low"] <= values["mean"] <= values["high"]
    single = summary(samples, analysis.baseline[:1], Head())
    assert np.isnan(single["metrics"]["auc"]["sd"])
    assert not single["optimistic"]
