"""Warnings stand where their cause is, counts are right, and the paragraph says the figures."""

from __future__ import annotations

import warnings
from dataclasses import replace
from typing import Any

import numpy as np
import pandas as pd
import pytest
from sklearn.metrics import roc_auc_score

from heteroscope import config
from heteroscope.evaluation.account import account, verdict_document, warnings_of
from heteroscope.evaluation.analysis import Analysis
from heteroscope.evaluation.comparison import SEED
from heteroscope.evaluation.runs import InteractionTest
from heteroscope.evaluation.verdict import label_test

CLASSES = {"normal": ["n"], "disease": ["d"]}
NO_OTHERS = pd.DataFrame({"primary": [True]})
NO_ATTRIBUTES = pd.DataFrame(columns=["attribute", "measure", "association", "p", "p_holm"])


def document_of(study: config.StudyContext, analysis: Analysis, split: pd.DataFrame) -> dict[str, Any]:
    test = label_test(analysis, seed=SEED, level=study.study.level)
    return verdict_document(study, analysis, test, attributes=NO_ATTRIBUTES, sensitivity=NO_OTHERS, split=split)


def context(controls: config.Controls, **changes: object) -> config.StudyContext:
    net = config.Backbone(model="small-cnn", weights="net.pt", pixels="square")
    study = config.Study(
        title="Tiny",
        dataset="eyes",
        split="holdout",
        backbones=["small-cnn"],
        clusterings=["kmeans-3"],
        head="linear",
        controls="few",
        primary=config.Primary(backbone="small-cnn", clustering="kmeans-3"),
    )
    fields: dict[str, object] = {
        "id": "tiny",
        "study": study,
        "dataset": config.FolderDataset(adapter="folder", root="eyes", classes=CLASSES),
        "split": config.Split(),
        "augmentation": None,
        "backbones": {"small-cnn": net},
        "clusterings": {"kmeans-3": config.Clustering(k=3)},
        "head": config.Head(),
        "controls": controls,
    }
    return config.StudyContext(**fields | changes)


@pytest.fixture
def split() -> pd.DataFrame:
    """200 training, 120 test, 30 validation images; no patient and no image on two sides."""
    part = ["train"] * 200 + ["test"] * 120 + ["validation"] * 30
    return pd.DataFrame(
        {"part": part, "group": [f"p{row // 2}" for row in range(350)], "content": [f"c{row}" for row in range(350)]}
    )


def names(found: list[str]) -> list[str]:
    return [text.split(":")[0] for text in found]


def test_a_sound_study_has_no_warnings(analysis: Analysis, controls: config.Controls, split: pd.DataFrame) -> None:
    assert warnings_of(context(controls), analysis, split) == []


def network(**changes: object) -> dict[str, object]:
    return {"backbones": {"small-cnn": config.Backbone(model="small-cnn", pixels="square", **changes)}}


@pytest.mark.parametrize(
    ("changes", "name", "says"),
    [
        ({"head": config.Head(selection="test")}, "selection on the test set", "optimistic"),
        (
            {"dataset": config.FolderDataset(adapter="folder", root="e", classes=CLASSES, duplicates="keep")},
            "duplicates",
            "0 of 120 test rows",
        ),
        ({"augmentation": config.Augmentation(first=600)}, "augmentation", "first 600 training rows"),
        (network(weights="random"), "random weights", "small-cnn"),
        (network(weights="trained", finetune=config.Finetune(share="train")), "trained on the training set", "redraws"),
        (network(weights="trained", finetune=config.Finetune(initial="a.pt")), "own weights", "from a.pt weights"),
    ],
)
def test_each_warning_has_its_cause(
    analysis: Analysis, controls: config.Controls, split: pd.DataFrame, changes: dict[str, object], name: str, says: str
) -> None:
    found = warnings_of(context(controls, **changes), analysis, split)
    assert names(found) == [name]
    assert says in found[0]


def test_views_as_samples_are_warned_of(analysis: Analysis, controls: config.Controls, split: pd.DataFrame) -> None:
    loose = controls.model_copy(update={"views": "samples"})
    assert names(warnings_of(context(loose), analysis, split)) == ["views"]
    every = config.Augmentation()  # copies of all training rows shift no shares
    assert warnings_of(context(controls, augmentation=every), analysis, split) == []


def test_patients_and_images_on_both_sides_are_counted(
    analysis: Analysis, controls: config.Controls, split: pd.DataFrame
) -> None:
    loose = context(controls, split=config.Split(group="none"))
    assert warnings_of(loose, analysis, split) == [], "no patient is on two sides after all"
    split.loc[200:206, "group"] = "p3"
    split.loc[[210, 211], "content"] = "c7"
    split.loc[340, "content"] = "c8"  # validation is no test
    [found] = warnings_of(loose, analysis, split)
    assert found.startswith("patients: ")
    assert "7 of 120 test rows" in found
    copies = config.FolderDataset(adapter="folder", root="e", classes=CLASSES, duplicates="keep")
    [found] = warnings_of(context(controls, dataset=copies), analysis, split)
    assert "2 of 120 test rows" in found


def test_a_small_test_set_is_warned_of(analysis: Analysis, controls: config.Controls, split: pd.DataFrame) -> None:
    assert names(warnings_of(context(controls), analysis, split.drop(index=range(200, 221)))) == ["small test set"]
    assert warnings_of(context(controls), analysis, split.drop(index=range(200, 220))) == []


def test_a_clustering_in_blocks_is_warned_of(
    analysis: Analysis, controls: config.Controls, split: pd.DataFrame
) -> None:
    parts = ["principal components were fitted in blocks of rows", "k-means ran in mini-batches"]
    [found] = warnings_of(context(controls), replace(analysis, approximate=parts), split)
    assert found == f"approximate clustering: the data are too large for memory; {parts[0]} and {parts[1]}"


def test_a_rule_weaker_than_the_pooled_head_is_warned_of(
    analysis: Analysis, controls: config.Controls, split: pd.DataFrame
) -> None:
    assert analysis.labels is not None
    label = analysis.test["label"]
    pooled = np.mean([roc_auc_score(label, seed[:, 1]) for seed in analysis.baseline])
    for auc, warned in ((pooled - 0.11, ["weak rule"]), (pooled - 0.09, [])):
        assert names(warnings_of(context(controls), with_rule(analysis, cross_fitted_auc=auc), split)) == warned


def with_rule(analysis: Analysis, **changes: float) -> Analysis:
    assert analysis.labels is not None
    rules = analysis.labels.rules
    labels = replace(analysis.labels, rules=rules | {"linear": rules["linear"] | changes})
    return replace(analysis, labels=labels)


def test_a_rule_that_misses_the_shares_or_leaves_no_chance_is_warned_of(
    analysis: Analysis, controls: config.Controls, split: pd.DataFrame
) -> None:
    def warned(**changes: float) -> list[str]:
        return warnings_of(context(controls), with_rule(analysis, **changes), split)

    assert warned(calibration_error=0.0699, calibration_noise=0.02) == []
    [found] = warned(calibration_error=0.0701, calibration_noise=0.02)
    assert found.startswith("badly calibrated rule: its probabilities miss the observed shares by 0.070 on average")
    assert warned(calibration_error=0.0701, calibration_noise=0.03) == []
    assert warned(cross_fitted_auc=0.9989) == []
    [found] = warned(cross_fitted_auc=0.999)
    assert found.startswith("separable labels: ")


def test_draws_too_few_to_name_a_cluster_are_warned_of(
    analysis: Analysis, controls: config.Controls, split: pd.DataFrame
) -> None:
    strict = context(controls)
    strict = strict.model_copy(update={"study": strict.study.model_copy(update={"level": 0.049})})
    [found] = warnings_of(strict, analysis, split)  # two clusters, 39 draws: 2 / 40
    assert found.startswith("few draws: the smallest Holm-adjusted p of a cluster is 0.05")


def test_a_backbone_that_saw_patients_or_copies_cannot_tell(
    analysis: Analysis, controls: config.Controls, split: pd.DataFrame
) -> None:
    tuned = context(controls, **network(weights="trained", finetune=config.Finetune()))
    share = pd.DataFrame({"part": "backbone", "group": ["b0", "b1"], "content": ["x0", "x1"]})
    whole = pd.concat([split, share], ignore_index=True)
    assert document_of(tuned, analysis, whole)["verdict"] == "different"
    whole.loc[350, "group"] = "p3"  # two training images of this patient
    whole.loc[351, "content"] = "c210"
    document = document_of(tuned, analysis, whole)
    assert document["verdict"] == "not assessable"
    assert "patients or copies of 3 of the study's images" in document["reason"]
    assert document["clusters_that_gain"] == []
    assert "own head gains" not in document["paragraph"]


def test_the_document(analysis: Analysis, controls: config.Controls, split: pd.DataFrame) -> None:
    document = document_of(context(controls), analysis, split)
    test = label_test(analysis, seed=SEED, level=0.05)
    assert test is not None
    assert document["verdict"] == "different"
    assert document["test"]["gain"] == test.gain
    assert document["test"]["p"] == test.p == 1 / 40
    assert document["test"]["draws"] == 39
    np.testing.assert_allclose(document["test"]["draw_mean"], np.mean(test.draws))
    assert document["counts"]["images"] == {"train": 200, "test": 120, "validation": 30}
    assert document["counts"]["patients"] == {"train": 100, "test": 60, "validation": 15}
    assert document["counts"]["training_rows_by_class"] == {"normal": 47, "disease": 43}
    assert document["clusters_that_gain"] == [0, 1]
    assert document["sensitivity"] == []
    assert document["published_comparison"]["clusters"] == 2
    without = document_of(context(controls), replace(analysis, labels=None), split)
    assert [without[name] for name in ("verdict", "test", "rules", "interaction")] == [
        "not assessable",
        None,
        None,
        None,
    ]


def test_with_folds_the_tested_images_and_patients_are_counted(
    analysis: Analysis, controls: config.Controls, split: pd.DataFrame
) -> None:
    folds = split.assign(part="train", fold=1)
    counts = document_of(context(controls), analysis, folds)["counts"]
    assert counts["images"] == {"train": 350, "test": len(analysis.test)}
    assert counts["patients"] == {"train": 175, "test": analysis.test["group"].nunique()}
    assert counts["patients"]["test"] > 0


def test_the_document_holds_power_and_both_rules(
    analysis: Analysis, controls: config.Controls, split: pd.DataFrame
) -> None:
    document = document_of(context(controls), analysis, split)
    test, labels = label_test(analysis, seed=SEED, level=0.05), analysis.labels
    assert test is not None
    assert labels is not None
    found = document["test"]
    assert found["p_nonlinear"] == 1 / 40
    assert found["p_interval_95"][0] <= found["p"] <= found["p_interval_95"][1]
    assert [row["degrees"] for row in found["power"]] == [30, 90]
    assert set(found["power"][0]) == {"degrees", "label_sets", "power", "power_low", "power_high", "gap"}
    assert found["detectable_gap"] == test.detectable
    assert document["rules"] == labels.rules
    assert document["interaction"] == {"p": 0.02, "components": 10, "note": ""}


# -------------------------------------------------------------------------------------- paragraph

PUBLISHED = {"metric": "auc", "T": 0.01, "p_size": 0.0123, "p_balanced": 0.4, "draws_gaussian": 0,
             "draws_size": 50, "draws_balanced": 49}  # fmt: skip


def told(*arguments: Any) -> str:
    return " ".join(part["text"] for part in account(*arguments))


def say(
    analysis: Analysis, controls: config.Controls, *, published: dict[str, object] = PUBLISHED, **test: object
) -> str:
    found = label_test(analysis, seed=0, level=0.05)
    assert found is not None
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        return told(
            context(controls), analysis, replace(found, **test), "undecided", "a reason", published, NO_ATTRIBUTES,
            NO_OTHERS,
        )  # fmt: skip


def test_the_paragraph_names_its_figures(analysis: Analysis, controls: config.Controls) -> None:
    said = say(analysis, controls, gain=0.1234, p=0.025, p_nonlinear=0.05,
               p_nonlinear_interval=(0.006, 0.17), draws=np.full(39, -0.021), images=58, patients=30,
               accuracy_gain=0.0456, interval=(-0.0123, 0.1), pooled_accuracy=0.8765)  # fmt: skip
    for part in (
        "Undecided (a reason).",
        "58 test images of 30 patients in 2 compared clusters",
        "the own head's log loss is lower by 0.123 than the pooled head's",
        "(heads trained on 90 images of 45 patients)",
        "where one shared rule makes it higher by 0.021 on average of 39 draws: p = 0.025 for a linear rule,",
        "p = 0.05 for one that may be curved (endless draws would give 0.006 to 0.17, 95 %)",
        "accuracy changes by +4.6 points",
        "90 % interval -1.2 to +10.0",
        "from 87.6%",
        "lets it in clusters 0, 1.",
        "auc against random sets of the same size, p = 0.0123 (50 draws),",
        "and of the same class counts, p = 0.4 (49 draws).",
    ):
        assert part in said, said
    assert "other analyses" not in said


def test_a_loss_is_said_to_be_higher(analysis: Analysis, controls: config.Controls) -> None:
    said = say(analysis, controls, gain=-0.0172, draws=np.full(9, 0.004), eligible=[1], images=1, patients=1)
    assert "log loss is higher by 0.017 than" in said
    assert "one shared rule makes it lower by 0.004 on average of 9 draws" in said
    assert "On 1 test image of 1 patient in 1 compared cluster (heads" in said
    assert "-0.0" not in said


def test_one_cluster_that_gains_is_singular(analysis: Analysis, controls: config.Controls) -> None:
    assert analysis.labels is not None
    runs = analysis.labels.linear
    own = runs.own_loss.copy()
    own[0, runs.cluster == 0] += 5
    said = say(replace(analysis, labels=replace(analysis.labels, linear=replace(runs, own_loss=own))), controls)
    assert "lets it in cluster 1." in said


def test_what_is_not_defined_is_not_printed_as_nan(analysis: Analysis, controls: config.Controls) -> None:
    undefined = PUBLISHED | {"p_size": np.nan}
    said = say(analysis, controls, published=undefined, draws=np.full(9, np.nan), p=np.nan)
    assert "nan" not in said
    assert "the same size, p not defined" in said
    said = say(analysis, controls, published=PUBLISHED | {"T": np.nan})
    assert "not defined here: fewer than two clusters" in said


def test_a_correlate_is_named_where_it_is_shown(analysis: Analysis, controls: config.Controls) -> None:
    table = pd.DataFrame(
        {"attribute": ["site", "age"], "measure": ["Cramér's V", "eta squared"], "association": [0.9, 0.2],
         "p": [0.3, 0.001], "p_holm": [0.3, 0.002]}
    )  # fmt: skip
    test = label_test(analysis, seed=0, level=0.05)
    said = told(context(controls), analysis, test, "different", "r", PUBLISHED, table, NO_OTHERS)
    assert "go most with age (eta squared 0.20, Holm-adjusted p = 0.002): a correlate, not a cause." in said
    said = told(context(controls), analysis, test, "different", "r", PUBLISHED, table.assign(p_holm=0.06), NO_OTHERS)
    assert "No known attribute goes with the clusters (2 tested; the smallest Holm-adjusted p is 0.06)." in said


def test_other_analyses_are_counted_by_their_verdict(analysis: Analysis, controls: config.Controls) -> None:
    others = pd.DataFrame(
        {"primary": [False, True, False, False], "verdict": ["different", "different", "undecided", "different"]}
    )
    said = told(context(controls), analysis, None, "not assessable", "r", PUBLISHED, NO_ATTRIBUTES, others)
    assert (
        "rests on small-cnn and kmeans-3. Of 3 other analyses, which show how far that choice matters, 2 would" in said
    )


def test_a_test_that_cannot_answer_is_not_told_of(
    analysis: Analysis, controls: config.Controls, split: pd.DataFrame
) -> None:
    net = config.Backbone(
        model="small-cnn", weights="trained", pixels="square", finetune=config.Finetune(share="train")
    )
    document = document_of(context(controls, backbones={"small-cnn": net}), analysis, split)
    assert document["verdict"] == "not assessable"
    assert document["test"]["p"] <= 0.05
    assert "log loss" not in document["paragraph"]
    assert "log loss" in document_of(context(controls), analysis, split)["paragraph"]


def test_every_verdict_has_a_headline(analysis: Analysis, controls: config.Controls) -> None:
    heads = {
        told(context(controls), analysis, None, verdict, "why", PUBLISHED, NO_ATTRIBUTES, NO_OTHERS).split("(why)")[0]
        for verdict in ("different", "nonlinear rule", "equivalent", "undecided", "not assessable")
    }
    assert len(heads) == 5


def test_numbers_of_a_test_without_clusters(analysis: Analysis, controls: config.Controls, split: pd.DataFrame) -> None:
    empty = label_test(without_clusters(analysis), seed=0, level=0.05)
    said = told(context(controls), analysis, empty, "not assessable", "r", PUBLISHED, NO_ATTRIBUTES, NO_OTHERS)
    assert "nan" not in said


def without_clusters(analysis: Analysis) -> Analysis:
    assert analysis.labels is not None
    runs = analysis.labels.linear
    runs = replace(runs, compared=np.zeros_like(runs.compared))
    return replace(analysis, labels=replace(analysis.labels, linear=runs, quadratic=None))


def test_the_conventional_answer_and_the_power_are_said(analysis: Analysis, controls: config.Controls) -> None:
    said = say(analysis, controls, detectable=0.0734)
    assert "A logistic interaction test gives p = 0.02, but it rejects" in said
    assert "worth 7.3 points of accuracy would be found in about 80 %; smaller differences often stay" in said
    least = label_test(analysis, seed=0, level=0.05)
    assert least is not None
    said = say(analysis, controls, detectable=float(least.power["gap"].iloc[0]))
    assert "points of accuracy, the smallest that were tried, would be found in 80 % or more." in said
    said = say(analysis, controls, detectable=None)
    assert "Even rules 90 degrees apart would be found in fewer than 80 %." in said
    said = say(analysis, controls, power=pd.DataFrame())
    assert "80 %" not in said
    assert "was not measured (power: 0)" in said
    assert analysis.labels is not None
    missing = replace(analysis.labels, interaction=InteractionTest(np.nan, 0, "too few"))
    assert "is not defined (too few)." in say(replace(analysis, labels=missing), controls)


def test_the_cluster_that_changes_most_is_named_with_its_interval(
    analysis: Analysis, controls: config.Controls
) -> None:
    assert analysis.labels is not None
    runs = analysis.labels.linear
    better = np.where(runs.cluster == 1, 1.0, runs.own_correct)
    changed = replace(analysis, labels=replace(analysis.labels, linear=replace(runs, own_correct=better)))
    rows = runs.cluster == 1
    gain = 100 * (1 - runs.pooled_correct[0, rows].mean())
    assert f"The largest gain is that of cluster 1, {gain:+.1f} points (90 % interval" in say(changed, controls)
    worse = replace(runs, own_correct=runs.pooled_correct - np.where(rows, 0.02, 0.08))
    changed = replace(analysis, labels=replace(analysis.labels, linear=worse))
    assert "No cluster's own head gains accuracy; that of cluster 1 comes nearest, -2.0 points" in say(
        changed, controls
    )
    alone = replace(runs, compared=runs.compared & (runs.cluster == 0))
    assert "largest gain" not in say(replace(analysis, labels=replace(analysis.labels, linear=alone)), controls)
