"""Scores by attribute: planted differences come back level by level, and few patients have none."""

from __future__ import annotations

from dataclasses import replace

import numpy as np
import pandas as pd
import pytest
from sklearn.metrics import accuracy_score, f1_score, recall_score, roc_auc_score

from heteroscope.evaluation.analysis import Analysis
from heteroscope.evaluation.attribute_scores import attribute_scores
from heteroscope.evaluation.attributes import attribute_table
from heteroscope.evaluation.intervals import FEWEST_PATIENTS, mean_interval
from heteroscope.figures.attribute_scores import draw_attribute_scores
from heteroscope.report.tables import attribute_scores_table

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


def of(table: pd.DataFrame, attribute: str, metric: str = "accuracy", class_name: str | None = None) -> pd.DataFrame:
    """The rows of one score, by level."""
    of_class = table["class"].isna() if class_name is None else table["class"] == class_name
    return table[(table["attribute"] == attribute) & (table["metric"] == metric) & of_class].set_index("level")


def test_planted_accuracies_of_levels_come_back_within_their_intervals(table: pd.DataFrame) -> None:
    sites = of(table, "site")
    for name, accuracy in SITES.items():
        row = sites.loc[name]
        assert row["low"] <= accuracy <= row["high"]
        assert row["value"] == pytest.approx(accuracy, abs=0.08)
    assert sites.loc["north", "high"] < sites.loc["east", "low"]


def test_scores_are_those_of_scikit_learn_on_the_levels_images(
    planted: tuple[Analysis, pd.DataFrame], table: pd.DataFrame
) -> None:
    analysis, images = planted
    site = analysis.test["image_id"].map(images.set_index("image_id")["attr_site"])
    rows, f1 = of(table, "site"), of(table, "site", "f1")
    sensitivity = {name: of(table, "site", "sensitivity", name) for name in ("normal", "disease")}
    for name in SITES:
        members = (site == name).to_numpy()
        label, called = analysis.test["label"].to_numpy()[members], analysis.baseline[:, members].argmax(axis=2)
        row = rows.loc[name]
        assert row["images"] == members.sum() == sum(rows.loc[name, "images"] for rows in sensitivity.values())
        assert row["patients"] == analysis.test["group"][members].nunique()
        assert row["value"] == pytest.approx(np.mean([accuracy_score(label, seed) for seed in called]))
        assert f1.loc[name, "value"] == pytest.approx(np.mean([f1_score(label, seed) for seed in called]))
        for value, of_class in ((0, "normal"), (1, "disease")):
            expected = np.mean([recall_score(label, seed, pos_label=value) for seed in called])
            assert sensitivity[of_class].loc[name, "value"] == pytest.approx(expected)
            patients = analysis.test["group"][members & (analysis.test["label"] == value).to_numpy()].nunique()
            assert sensitivity[of_class].loc[name, "patients"] == patients
        low, high = mean_interval(
            (called == label).mean(axis=0), analysis.test["group"].to_numpy()[members], seed=3, bootstraps=4000
        )
        assert [row["low"], row["high"]] == pytest.approx([low, high], abs=0.012)
    area = of(attribute_scores(analysis, images, "auc"), "all", "auc").loc["all", "value"]
    label = analysis.test["label"]
    assert area == pytest.approx(np.mean([roc_auc_score(label, seed[:, 1]) for seed in analysis.baseline]))


def test_too_few_patients_have_no_number(table: pd.DataFrame) -> None:
    sites = of(table, "site")
    assert sites.loc["island", "patients"] == 8 < FEWEST_PATIENTS
    assert sites["few"].to_dict() == {"east": False, "island": True, "north": False, "west": False}
    of_sites = table[table["attribute"] == "site"]
    no_value = of_sites[["value", "low", "high"]].isna()
    assert (no_value.all(axis=1) == (of_sites["level"] == "island")).all()
    assert (no_value.all(axis=1) == no_value.any(axis=1)).all()


def test_patients_of_a_class_count_and_not_their_images(table: pd.DataFrame) -> None:
    ward = table[(table["attribute"] == "ward") & (table["level"] == "ward")].set_index(["metric", "class"])
    counts = ward[["images", "patients", "few"]].apply(tuple, axis=1).to_dict()
    assert counts.pop(("sensitivity", "normal")) == (28, 14, False)
    assert counts.pop(("sensitivity", "disease")) == (12, 6, True)
    assert set(counts.values()) == {(40, 20, False), (40, 20, True)}
    assert (ward["value"].isna() == ward["few"]).all()
    assert ward["few"].to_numpy().tolist() == [True, False, False, True]  # F1, accuracy, both sensitivities


def test_a_level_of_one_class_has_accuracy_and_that_classs_sensitivity(table: pd.DataFrame) -> None:
    ill = table[(table["attribute"] == "rare") & (table["level"] == "ill")].set_index(["metric", "class"])["value"]
    assert not of(table, "rare").loc["ill", "few"]
    found = ill.dropna()
    assert found.index.get_level_values("metric").tolist() == ["accuracy", "sensitivity"]
    assert found.index.get_level_values("class").tolist()[1] == "disease"
    assert found.iloc[0] == found.iloc[1]


def test_classes_may_be_named_like_the_ends_of_intervals(planted: tuple[Analysis, pd.DataFrame]) -> None:
    """Their sensitivities and intervals are those of classes of other names, in the report and the figure too."""
    analysis, images = planted
    plain = attribute_scores(analysis, images, "sensitivity")
    for names in (["low", "high"], ["risk", "risk_low"]):
        named = attribute_scores(replace(analysis, class_names=names), images, "sensitivity")
        back = dict(zip(names, ["normal", "disease"], strict=True))
        pd.testing.assert_frame_equal(named.replace({"class": back}), plain)
        told = attribute_scores_table(named, analysis.backbone)
        assert told["rows"] == attribute_scores_table(plain, analysis.backbone)["rows"]
        assert [column["text"] for column in told["head"]][-2:] == [f"sensitivity of {name}" for name in names]
        legend = draw_attribute_scores(named, "sensitivity").axes[1].get_legend()
        assert legend is not None
        assert [text.get_text() for text in legend.get_texts()] == names


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


def test_an_attribute_of_an_image_propertys_name_stays_apart(planted: tuple[Analysis, pd.DataFrame]) -> None:
    analysis, images = planted
    images = images.assign(attr_width=images["attr_site"])
    table = attribute_scores(analysis, images, "accuracy")
    assert of(table, "width").index.tolist() == ["640", "800"]
    assert of(table, "width (attribute)").index.tolist() == ["east", "island", "north", "west"]
    assignments = analysis.test[["image_id"]].assign(view=0, cluster=np.arange(len(analysis.test)) // 2 % 2)
    associated = attribute_table(images, assignments, seed=0)["attribute"].tolist()
    assert sorted(associated) == sorted({*associated, "width", "width (attribute)"})


def test_without_attributes_the_whole_test_set_stands_alone(planted: tuple[Analysis, pd.DataFrame]) -> None:
    analysis, images = planted
    table = attribute_scores(analysis, images[["image_id", "group"]], "accuracy")
    expected = [["accuracy", "all", "all", 480], *[["sensitivity", "all", "all", 240]] * 2]
    assert table[["metric", "attribute", "level", "images"]].to_numpy().tolist() == expected
    assert table.columns.is_unique
