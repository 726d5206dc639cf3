"""Scores by attribute: planted differences come back level by level, and few patients have none."""

from __future__ import annotations

from dataclasses import replace

import numpy as np
import pandas as pd
import pytest
from sklearn.metrics import accuracy_score, f1_score, recall_score, roc_auc_score

from heteroscope.evaluation.analysis import Analysis
from heteroscope.evaluation.attribute_scores import attribute_scores
from heteroscope.evaluation.intervals import FEWEST_PATIENTS
from heteroscope.evaluation.intervals import mean_interval

SEEDS = 2
SITES = {"east": 0.95, "north": 0.6, "west": 0.8}  # accuracy of the head, planted


@pytest.fixture(scope="module")
def planted(analysis: Analysis) -> tuple[Analysis, pd.DataFrame]:
    """A study of 240 patients; the head errs by site alone. Two images of every patient, of one class."""
    generator = np.random.default_rng(0)
    patient = np.repeat(np.arange(240), 2)
    label = patient % 2
    site = np.array(list(SITES))[patient // 2 % 3].astype(object)
    site[patient >= 232] = "island"  # eight patients
    right = generator.random((SEEDS, len(patient))) < np.array([SITES.get(name, 0.5) for name in site])
    called = np.where(right, label, 1 - label)
    sure = generator.uniform(0.55, 0.95, called.shape)
    probability = np.stack([np.where(called == 0, sure, 1 - sure), np.where(called == 1, sure, 1 - sure)], axis=2)
    test = pd.DataFrame(
        {"image_id": [f"i{row}" for row in range(len(patient))], "label": label, "group": [f"p{p}" for p in patient]}
    )
    images = pd.DataFrame(
        {
            "image_id": [*test["image_id"], "training"],
            "group": [*test["group"], "p-training"],
            "width": [*np.where(patient < 100, 640, 800), 1024],
            "mode": "RGB",
            "attr_site": [*site, "nowhere"],
            "attr_age": [*generator.integers(20, 80, 240)[patient], 19],
            "attr_patient": [*test["group"], "p-training"],
            "attr_note": [*(f"note {number}" for number in range(len(patient))), "last"],
            "attr_rare": [*np.where(label == 1, "ill", "well"), "well"],
            # of the ward's 20 patients 6 are ill, with 12 images
            "attr_ward": [*np.where(patient < np.where(label == 1, 12, 28), "ward", "elsewhere"), "ward"],
        }
    ).sample(frac=1, random_state=1)  # the table has an order of its own
    images.loc[images["attr_age"] == 33, "attr_age"] = np.nan
    return replace(analysis, test=test, baseline=probability, class_names=["normal", "disease"]), images


@pytest.fixture(scope="module")
def table(planted: tuple[Analysis, pd.DataFrame]) -> pd.DataFrame:
    return attribute_scores(*planted, "f1")


def of(table: pd.DataFrame, attribute: str) -> pd.DataFrame:
    return table[table["attribute"] == attribute].set_index("level")


def test_planted_accuracies_of_levels_come_back_within_their_intervals(table: pd.DataFrame) -> None:
    sites = of(table, "site")
    for name, accuracy in SITES.items():
        row = sites.loc[name]
        assert row["accuracy_low"] <= accuracy <= row["accuracy_high"]
        assert row["accuracy"] == pytest.approx(accuracy, abs=0.08)
    assert sites.loc["north", "accuracy_high"] < sites.loc["east", "accuracy_low"]


def test_scores_are_those_of_scikit_learn_on_the_levels_images(
    planted: tuple[Analysis, pd.DataFrame], table: pd.DataFrame
) -> None:
    analysis, images = planted
    site = analysis.test["image_id"].map(images.set_index("image_id")["attr_site"])
    rows = of(table, "site")
    for name in SITES:
        members = (site == name).to_numpy()
        label, called = analysis.test["label"].to_numpy()[members], analysis.baseline[:, members].argmax(axis=2)
        row = rows.loc[name]
        assert row["images"] == members.sum() == row["test_normal"] + row["test_disease"]
        assert row["patients"] == analysis.test["group"][members].nunique()
        assert row["accuracy"] == pytest.approx(np.mean([accuracy_score(label, seed) for seed in called]))
        assert row["f1"] == pytest.approx(np.mean([f1_score(label, seed) for seed in called]))
        for value, of_class in ((0, "normal"), (1, "disease")):
            expected = np.mean([recall_score(label, seed, pos_label=value) for seed in called])
            assert row[f"sensitivity_{of_class}"] == pytest.approx(expected)
        low, high = mean_interval(
            (called == label).mean(axis=0), analysis.test["group"].to_numpy()[members], seed=3, bootstraps=4000
        )
        assert [row["accuracy_low"], row["accuracy_high"]] == pytest.approx([low, high], abs=0.012)
    area = attribute_scores(analysis, images, "auc").iloc[0]
    label = analysis.test["label"]
    assert area["auc"] == pytest.approx(np.mean([roc_auc_score(label, seed[:, 1]) for seed in analysis.baseline]))


def test_too_few_patients_have_no_number(table: pd.DataFrame) -> None:
    sites = of(table, "site")
    assert sites.loc["island", "patients"] == 8 < FEWEST_PATIENTS
    assert sites["few"].to_dict() == {"east": False, "island": True, "north": False, "west": False}
    scores = [name for name in table.columns if name.startswith(("accuracy", "f1", "sensitivity"))]
    assert sites.loc["island", scores].isna().all()
    assert sites.drop(index="island")[scores].notna().all(axis=None)


def test_patients_of_a_class_count_and_not_their_images(table: pd.DataFrame) -> None:
    ward = of(table, "ward").loc["ward"]
    assert (ward["patients"], ward["test_normal"], ward["test_disease"]) == (20, 28, 12)
    assert np.isfinite(ward[["accuracy", "sensitivity_normal"]].to_numpy(dtype=float)).all()
    assert np.isnan(ward[["f1", "sensitivity_disease"]].to_numpy(dtype=float)).all()


def test_a_level_of_one_class_has_accuracy_and_that_classs_sensitivity(table: pd.DataFrame) -> None:
    ill = of(table, "rare").loc["ill"]
    assert not ill["few"]
    assert ill["accuracy"] == pytest.approx(ill["sensitivity_disease"])
    assert np.isnan(ill["f1"])
    assert np.isnan(ill["sensitivity_normal"])


def test_which_attributes_and_levels_are_looked_at(table: pd.DataFrame) -> None:
    """Not: what restates the patient, words of many values, what is the same for all, levels without test images."""
    assert list(dict.fromkeys(table["attribute"])) == ["all", "width", "site", "age", "rare", "ward"]
    assert of(table, "width").index.tolist() == ["640", "800"]
    assert of(table, "site").index.tolist() == ["east", "island", "north", "west"]
    age = of(table, "age")
    assert age.index[-1] == "missing"
    assert len(age) == 5
    assert age["images"].sum() == table.loc[0, "images"] == 480
    assert set(table["weights"]) == {"trained (sha256 0123abcd)"}


def test_without_attributes_the_whole_test_set_stands_alone(planted: tuple[Analysis, pd.DataFrame]) -> None:
    analysis, images = planted
    table = attribute_scores(analysis, images[["image_id", "group"]], "accuracy")
    assert table[["attribute", "level", "images"]].to_numpy().tolist() == [["all", "all", 480]]
    assert table.columns.is_unique
