"""Scores of every class and average against scikit-learn, and their intervals against resampling by hand."""

from __future__ import annotations

import numpy as np
import pandas as pd
import pytest
import sklearn.metrics as reference

from heteroscope.evaluation.intervals import (
    BOOTSTRAPS,
    mean_interval,
    percentile_interval,
    resample_weights,
    weighted_auc,
    weighted_counts,
)
from heteroscope.evaluation.metrics import METRICS
from heteroscope.evaluation.scores import patient_hits, recognition_rates, score_table, study_scores

SEEDS = 3
SCORES = {"precision": reference.precision_score, "recall": reference.recall_score, "f1": reference.f1_score}


def world(classes: int, *, seed: int = 0, patients: int = 20) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    """Probabilities, labels and patients of one to four images each, in any order; scores tie."""
    generator = np.random.default_rng([classes, seed])
    group = generator.permutation(np.repeat(np.arange(patients), 1 + np.arange(patients) % 4))
    label = np.where(generator.random(len(group)) < 0.1, generator.integers(0, classes, len(group)), group % classes)
    value = generator.dirichlet(np.full(classes, 0.6), (SEEDS, len(group)))
    value[:, np.arange(len(group)), label] += 0.4
    value = np.round(value * 16) / 16
    return value / value.sum(axis=-1, keepdims=True), label, np.array([f"p{number}" for number in group])


def table_of(probability: np.ndarray, label: np.ndarray, group: np.ndarray) -> pd.DataFrame:
    names = [f"class {c}" for c in range(probability.shape[-1])]
    return score_table(probability, label, group, names).set_index(["average", "class", "metric"])


def expected(average: str, value: int, metric: str, probability: np.ndarray, label: np.ndarray) -> float:
    """One head's score by scikit-learn; `value` is the class of the averages `class` and `binary`."""
    classes = probability.shape[-1]
    predicted, truth = probability.argmax(axis=1), np.eye(classes)[label]
    one = average in ("class", "binary")
    if metric == "accuracy":
        return reference.accuracy_score(label, predicted)
    if metric == "auc":
        # of two classes scikit-learn ranks by the second one alone
        return (
            reference.roc_auc_score(label == value, probability[:, value])
            if one
            else reference.roc_auc_score(truth, probability, average=average)
        )
    if metric == "specificity":
        if average == "micro":
            return reference.recall_score(1 - truth.ravel(), 1 - np.eye(classes)[predicted].ravel())
        values = [reference.recall_score(label != c, predicted != c) for c in range(classes)]
        shares = np.bincount(label, minlength=classes) / len(label)
        return values[value] if one else float(np.mean(values) if average == "macro" else values @ shares)
    score = SCORES["recall" if metric == "sensitivity" else metric]
    if one:
        return score(label == value, predicted == value, zero_division=0)
    return score(label, predicted, average=average, labels=range(classes), zero_division=0)


@pytest.mark.parametrize("classes", [2, 3, 4])
def test_each_class_and_average_is_that_of_scikit_learn(classes: int) -> None:
    probability, label, group = world(classes)
    table = table_of(probability, label, group)
    averages = {average for average, _, _ in table.index}
    assert averages == {"overall", "macro", "micro", "weighted", "class"} | ({"binary"} if classes == 2 else set())
    checked = 0
    for (average, name, metric), row in table.iterrows():
        if metric in ("patient_accuracy", "recognition_rate"):
            continue
        value = int(name.split()[1]) if name else -1
        seeds = [expected(average, value, metric, one, label) for one in probability]
        np.testing.assert_allclose(row["mean"], np.mean(seeds), atol=1e-9, err_msg=f"{average} {name} {metric}")
        np.testing.assert_allclose(row["sd"], np.std(seeds, ddof=1), atol=1e-9)
        checked += 1
    assert checked == 1 + 6 * (3 + classes + (classes == 2))


@pytest.mark.parametrize("classes", [2, 3, 4])
def test_the_studys_own_values_are_those_of_many_models(classes: int) -> None:
    probability, label, group = world(classes)
    found = study_scores(score_table(probability, label, group, list("abcd"[:classes])))
    assert set(found) == {*METRICS, "patient_accuracy", "recognition_rate"}
    for name, metric in METRICS.items():
        np.testing.assert_allclose(found[name]["mean"], metric(probability, label).mean(), err_msg=name)


# ------------------------------------------------------------------------------------- intervals


def resamples_by_hand(group: np.ndarray) -> list[np.ndarray]:
    """Rows of every resample, patient by patient."""
    names = np.unique(group)
    weights = resample_weights(len(names))
    return [
        np.concatenate([np.flatnonzero(group == name) for name, times in zip(names, drawn, strict=True)
                        for _ in range(times)])
        for drawn in weights
    ]  # fmt: skip


@pytest.mark.parametrize("classes", [2, 3])
def test_intervals_are_those_of_resampling_patients_by_hand(classes: int) -> None:
    probability, label, group = world(classes, patients=12)
    table = table_of(probability, label, group)
    resamples = resamples_by_hand(group)
    assert len(resamples) == BOOTSTRAPS
    for metric in ("accuracy", "auc", "specificity", "precision", "f1"):
        values = np.array([METRICS[metric](probability[:, rows], label[rows]).mean() for rows in resamples])
        average = "overall" if metric == "accuracy" else "binary" if classes == 2 else "macro"
        (row,) = table.xs((average, metric), level=("average", "metric")).to_dict("records")
        low, high = np.nanquantile(values, [0.025, 0.975])
        np.testing.assert_allclose([row["low"], row["high"]], [low, high], err_msg=metric)
    shares = recognition_rates(probability, label, np.unique(group, return_inverse=True)[1]).mean(axis=0)
    drawn = resample_weights(len(shares))
    row = table.loc[("overall", "", "recognition_rate")]
    np.testing.assert_allclose(
        [row["low"], row["high"]], np.quantile(drawn @ shares / len(shares), [0.025, 0.975]), atol=1e-12
    )


def test_patients_are_drawn_with_replacement() -> None:
    weights = resample_weights(30)
    assert weights.shape == (BOOTSTRAPS, 30)
    assert (weights.sum(axis=1) == 30).all()
    np.testing.assert_allclose((weights == 0).mean(), (29 / 30) ** 30, atol=0.01)
    np.testing.assert_array_equal(weights, resample_weights(30))
    assert (weights != resample_weights(30, seed=1)).any()


@pytest.mark.parametrize("blocks", [1, 7])
def test_a_resamples_auc_is_scikit_learns_with_weights(blocks: int, monkeypatch: pytest.MonkeyPatch) -> None:
    probability, label, group = world(2, seed=3)
    score, patient = probability[0, :, 1], np.unique(group, return_inverse=True)[1]
    monkeypatch.setattr("heteroscope.evaluation.intervals.CELLS", len(score) * blocks)
    weights = resample_weights(patient.max() + 1, bootstraps=20)
    assert len(np.unique(score)) < len(score), "scores that tie"
    areas = weighted_auc(score, label == 1, patient, weights)
    for area, weight in zip(areas, weights, strict=True):
        np.testing.assert_allclose(area, reference.roc_auc_score(label, score, sample_weight=weight[patient]))


def test_a_resamples_counts_are_those_of_scikit_learn() -> None:
    probability, label, group = world(3, seed=4)
    patient = np.unique(group, return_inverse=True)[1]
    weights = resample_weights(patient.max() + 1, bootstraps=5)
    counts = weighted_counts(probability, label, patient, weights)
    for (r, s), _ in np.ndenumerate(counts.tp[:, :, 0]):
        predicted = probability[s].argmax(axis=1)
        matrices = reference.multilabel_confusion_matrix(
            label, predicted, labels=range(3), sample_weight=weights[r][patient]
        )
        for c, ((tn, fp), (fn, tp)) in enumerate(matrices):
            assert [cells[r, s, c] for cells in counts] == [tp, fp, fn, tn]


def test_resamples_that_leave_a_value_undefined_do_not_count() -> None:
    values = np.arange(1000.0)
    values[:100] = np.nan
    assert percentile_interval(values) == (pytest.approx(100 + 0.025 * 899), pytest.approx(100 + 0.975 * 899))
    values[100] = np.nan
    assert np.isnan(percentile_interval(values)).all(), "more than a tenth are undefined"
    assert np.isnan(percentile_interval(np.full(10, np.nan))).all()


def test_a_class_of_one_patient_has_no_interval() -> None:
    probability, _, group = world(2)
    label = (group == "p3").astype(int)
    found = study_scores(score_table(probability, label, group, ["normal", "disease"]))
    assert np.isfinite(found["sensitivity"]["mean"])
    assert np.isnan([found[name][end] for name in ("sensitivity", "auc") for end in ("low", "high")]).all()
    assert np.isfinite([found["specificity"]["low"], found["accuracy"]["high"]]).all()


def test_an_absent_class_leaves_undefined_what_needs_it_and_no_weighted_mean() -> None:
    probability, label, group = world(3)
    table = table_of(probability, np.minimum(label, 1), group)["mean"]
    assert np.isnan(table[("macro", "", "sensitivity")])
    assert np.isnan(table[("class", "class 2", "auc")])
    predicted = probability.argmax(axis=2)
    right = np.mean([reference.accuracy_score(np.minimum(label, 1), one) for one in predicted])
    np.testing.assert_allclose(table[("weighted", "", "sensitivity")], right)
    assert np.isfinite(table[("weighted", "", "auc")])


def test_one_head_has_no_spread_but_an_interval() -> None:
    probability, label, group = world(2)
    found = study_scores(score_table(probability[:1], label, group, ["a", "b"]))["accuracy"]
    assert np.isnan(found["sd"])
    assert found["low"] < found["mean"] < found["high"]


# ------------------------------------------------------------------------------------ patients


def test_patients_of_one_image_each_score_as_images() -> None:
    probability, label, _ = world(3)
    found = study_scores(score_table(probability, label, np.arange(len(label)), list("abc")))
    assert found["patient_accuracy"] == pytest.approx(found["accuracy"])
    assert found["recognition_rate"] == pytest.approx(found["accuracy"])


def test_the_recognition_rate_is_a_mean_over_patients() -> None:
    """Two of three, none of one, one of one: (2/3 + 0 + 1) / 3, where the images' accuracy is 3/5."""
    right = np.array([1, 1, 0, 0, 1])
    label = np.array([0, 0, 0, 1, 1])
    positive = np.where(right == 1, label, 1 - label) * 0.8 + 0.1
    probability = np.stack([1 - positive, positive], axis=-1)[None]
    found = study_scores(score_table(probability, label, np.array(list("xxxyz")), ["a", "b"]))
    assert found["recognition_rate"]["mean"] == pytest.approx((2 / 3 + 0 + 1) / 3)
    assert found["accuracy"]["mean"] == pytest.approx(3 / 5)


def test_a_patient_is_called_by_the_mean_over_the_images() -> None:
    """Patient 0: one sure image outweighs two doubtful ones; patient 1 is wrong; patient 2's labels differ."""
    positive = np.array([0.45, 0.45, 0.95, 0.6, 0.3, 0.9, 0.9])
    label = np.array([1, 1, 1, 0, 0, 0, 1])
    patient = np.array([0, 0, 0, 1, 1, 2, 2])
    probability = np.stack([1 - positive, positive], axis=-1)[None]
    hits = patient_hits(probability, label, patient)
    np.testing.assert_array_equal(hits, [[1, 1, np.nan]])
    probability[0, 4] = [0.2, 0.8]
    np.testing.assert_array_equal(patient_hits(probability, label, patient), [[1, 0, np.nan]])
    found = study_scores(score_table(probability, label, patient, ["a", "b"]))
    assert found["patient_accuracy"]["mean"] == 0.5
    assert recognition_rates(probability, label, patient).tolist() == [[pytest.approx(1 / 3), 0, 0.5]]


def test_the_mean_interval_is_that_of_the_mean_over_patients() -> None:
    generator = np.random.default_rng(2)
    patients, images = 400, 3
    effect = np.repeat(generator.normal(size=patients), images)  # a patient's images agree
    group = np.repeat(np.arange(patients), images)
    shuffled = generator.permutation(len(group))
    low, high = mean_interval(0.3 + effect[shuffled], group[shuffled], seed=0, share=0.9)
    standard_error = effect.std() / np.sqrt(patients)
    np.testing.assert_allclose((low + high) / 2, 0.3 + effect.mean(), atol=0.1 * standard_error)
    np.testing.assert_allclose(high - low, 2 * 1.645 * standard_error, rtol=0.08)
    # images as patients of their own would be √3 too sure
    single = mean_interval(0.3 + effect, np.arange(len(effect)), seed=0, share=0.9)
    np.testing.assert_allclose(np.diff(single)[0] * np.sqrt(3), high - low, rtol=0.1)
    assert mean_interval(effect, group, seed=4) == mean_interval(effect, group, seed=4)


def test_the_bootstrap_weighs_patients_by_their_images() -> None:
    value, group = np.array([1.0, 1.0, 1.0, 0.0]), np.array(["a", "a", "a", "b"])
    # draws of two patients: aa → 1, ab → 3/4, bb → 0
    assert mean_interval(value, group, seed=0, share=0.99) == (0.0, 1.0)
    assert mean_interval(value, group, seed=0, share=0.2) == (0.75, 0.75)
    assert mean_interval(np.array([0.5]), np.array(["a"]), seed=0) == (0.5, 0.5)
