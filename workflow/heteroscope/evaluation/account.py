"""The verdict in words: warnings by name, one honest paragraph, and verdict.json."""

from __future__ import annotations

from dataclasses import asdict
from typing import Any

import numpy as np
import pandas as pd

from heteroscope.config import StudyContext
from heteroscope.evaluation import metrics
from heteroscope.evaluation.analysis import Analysis
from heteroscope.evaluation.by_eye import called_by_eye
from heteroscope.evaluation.comparison import label_gains, published_comparison
from heteroscope.evaluation.curve import curve_document, curve_sentence
from heteroscope.evaluation.verdict import LabelTest, clusters_that_gain, decide, leaked_images

FEW_TEST_IMAGES = 100
WEAKER_RULE = 0.1
MISCALIBRATION = 0.05  # beyond chance; as much as the margin that a study calls equivalent by default
SEPARABLE = 0.999


def verdict_document(
    context: StudyContext,
    analysis: Analysis,
    test: LabelTest | None,
    *,
    attributes: pd.DataFrame,
    sensitivity: pd.DataFrame,
    split: pd.DataFrame,
) -> dict[str, Any]:
    """The content of verdict.json.

    Args:
        context: the study.
        analysis: the primary one.
        test: of it.
        attributes: table of `attributes.attribute_table`.
        sensitivity: table of `sensitivity.sensitivity_table`.
        split: which image stands in which part.
    """
    study = context.study
    verdict, reason = decide(context, analysis.backbone, test, leaked=leaked_images(context, analysis.backbone, split))
    published = published_comparison(analysis, context.controls, study.metric)
    published["called_by_eye"] = called_by_eye(analysis, study.metric)
    warnings = warnings_of(context, analysis, split)
    return {
        "study": context.id,
        "title": study.title,
        "verdict": verdict,
        "reason": reason,
        "primary": {"backbone": analysis.backbone, "clustering": analysis.clustering},
        "level": study.level,
        "margin": study.margin,
        "test": _test_document(test),
        "rules": analysis.labels.rules if analysis.labels else None,
        "interaction": asdict(analysis.labels.interaction) if analysis.labels else None,
        "clusters_that_gain": [] if verdict == "not assessable" else clusters_that_gain(analysis, study.level),
        "published_comparison": published,
        "curve": curve_document(analysis.curve, study.metric),
        "sensitivity": sensitivity[~sensitivity["primary"]].to_dict("records"),
        "counts": _counts(analysis, split),
        "weights": analysis.summary["weights"],
        "arithmetic": {name: analysis.summary[name] for name in ("engine", "precision", "agreement")},
        "warnings": warnings,
        "paragraph": paragraph(context, analysis, test, verdict, reason, published, attributes),
    }


def _test_document(test: LabelTest | None) -> dict[str, Any] | None:
    if test is None:
        return None
    return {
        "gain": test.gain,
        "p": test.p,
        "p_interval_95": list(test.p_interval),
        "p_nonlinear": test.p_nonlinear,
        "draws": len(test.draws),
        "draw_mean": float(np.nanmean(test.draws)) if np.isfinite(test.draws).any() else None,
        "accuracy_gain": test.accuracy_gain,
        "accuracy_gain_interval_90": list(test.interval),
        "pooled_accuracy": test.pooled_accuracy,
        "majority_share": test.majority_share,
        "pooled_loss": test.pooled_loss,
        "prevalence_loss": test.prevalence_loss,
        "compared_clusters": test.eligible,
        "images": test.images,
        "patients": test.patients,
        "power": test.power.to_dict("records"),
        "detectable_gap": test.detectable,
    }


def _counts(analysis: Analysis, split: pd.DataFrame) -> dict[str, Any]:
    train = analysis.train
    tested = {"test": len(analysis.test)} if "fold" in split else {}  # beside training in the other folds
    return {
        "images": split["part"].value_counts().to_dict() | tested,
        "patients": split.groupby("part")["group"].nunique().to_dict(),
        "training_rows": len(train),
        "training_rows_by_class": {
            name: int((train["label"] == label).sum()) for label, name in enumerate(analysis.class_names)
        },
        "test_images_also_in_training": _overlap(split, "content"),
        "test_patients_also_in_training": _overlap(split, "group"),
    }


def _overlap(split: pd.DataFrame, column: str) -> int:
    """Test rows whose value of a column stands in training too, or in another fold."""
    if column not in split:
        return 0
    if "fold" in split:
        tested = split[split["fold"] > 0]
        return int((tested.groupby(column)["fold"].transform("nunique") > 1).sum())
    known = set(split.loc[split["part"] == "train", column])
    return int(split.loc[split["part"] == "test", column].isin(known).sum())


def warnings_of(context: StudyContext, analysis: Analysis, split: pd.DataFrame) -> list[str]:
    """What a reader must know before believing a number; each begins with its name."""
    found = []
    counts = _counts(analysis, split)
    tested = counts["images"].get("test", 0)
    if context.head.selection == "test":
        found.append(
            "selection on the test set: epochs were chosen by the test images' own labels; all metrics are optimistic"
        )
    if context.dataset.duplicates == "keep":
        found.append(
            f"duplicates: copies of one image count as images of their own; {counts['test_images_also_in_training']} of"
            f" {tested} test rows show an image that is also in training"
        )
    if context.split.group == "none" and counts["test_patients_also_in_training"]:
        found.append(
            f"patients: the split ignores them; {counts['test_patients_also_in_training']} of {tested} test rows"
            " belong to a patient who is also in training"
        )
    if context.controls.views == "samples":
        found.append("views: augmented copies are clustered and drawn as images of their own")
    if context.augmentation and context.augmentation.first:
        found.append(
            f"augmentation: only the first {context.augmentation.first} training rows have copies, which shifts the"
            " class shares"
        )
    found += _backbone_warnings(context)
    if analysis.approximate:
        found.append(f"approximate clustering: the data are too large for memory; {' and '.join(analysis.approximate)}")
    if analysis.labels is not None:
        found += _rule_warnings(context, analysis)
    if tested < FEW_TEST_IMAGES:
        found.append(f"small test set: {tested} images; gaps of several points lie within its noise")
    return found


def warning_names(warnings: list[str]) -> str:
    """The names of warnings, as tables and figures carry them."""
    return "; ".join(warning.split(":")[0] for warning in warnings)


def _rule_warnings(context: StudyContext, analysis: Analysis) -> list[str]:
    assert analysis.labels is not None
    found = []
    pooled = float(np.mean(metrics.auc(analysis.baseline, analysis.test["label"].to_numpy())))
    fit = analysis.labels.rules["linear"]
    rule = fit["cross_fitted_auc"]
    if rule < pooled - WEAKER_RULE:
        found.append(
            f"weak rule: the rule that labels were redrawn from tells the classes apart less well (AUC {rule:.2f},"
            f" cross-fitted) than the pooled head ({pooled:.2f}); a difference is then harder to show"
        )
    if rule >= SEPARABLE:
        found.append(
            f"separable labels: the shared rule tells the classes apart without error (AUC {rule:.4f}, cross-fitted),"
            " so that redrawn labels hardly vary; a difference can hardly be shown"
        )
    if fit["calibration_error"] > fit["calibration_noise"] + MISCALIBRATION:
        found.append(
            f"badly calibrated rule: its probabilities miss the observed shares by {fit['calibration_error']:.3f} on"
            f" average, where chance explains {fit['calibration_noise']:.3f}; redrawn labels are noisier or surer than"
            " the real ones, and p is as wrong"
        )
    runs = analysis.labels.linear
    smallest = len(runs.clusters) / len(runs.compared)
    if smallest > context.study.level:
        found.append(
            f"few draws: the smallest Holm-adjusted p of a cluster is {smallest:.3g}, above the level"
            f" {context.study.level:g}; no cluster can be named"
        )
    return found


def _backbone_warnings(context: StudyContext) -> list[str]:
    found = []
    for name, backbone in context.backbones.items():
        if backbone.weights == "random":
            found.append(
                f"random weights: {name} ({backbone.model}) was never trained; its numbers say nothing of a real one"
            )
        elif backbone.finetune and backbone.finetune.share == "train":
            found.append(f"trained on the training set: {name} has seen the labels that the test redraws")
        elif backbone.finetune:
            found.append(
                f"own weights: {name} ({backbone.model}) was trained on this study's share B, from"
                f" {backbone.finetune.initial} weights"
            )
    return found


def paragraph(
    context: StudyContext,
    analysis: Analysis,
    test: LabelTest | None,
    verdict: str,
    reason: str,
    published: dict[str, Any],
    attributes: pd.DataFrame,
) -> str:
    """One honest paragraph in plain words."""
    sentences = [_headline(verdict, reason)]
    if test is not None and np.isfinite(test.gain):
        sentences.append(_figures(test, context.split.folds))
        sentences += _largest_gain(analysis)
        sentences.append(_beside(analysis, test))
        gaining = clusters_that_gain(analysis, context.study.level)
        if gaining and verdict != "not assessable":
            named = ", ".join(map(str, gaining))
            clusters = "cluster" if len(gaining) == 1 else "clusters"
            sentences.append(f"Taken one by one (Holm-adjusted), the own head gains in {clusters} {named}.")
    sentences.append(curve_sentence(analysis.curve, context.study.metric))
    sentences.append(_published_sentence(published, classes=len(analysis.class_names)))
    if (correlate := _correlate(attributes, context.study.level)) is not None:
        sentences.append(correlate)
    if len(context.study.backbones) * len(context.study.clusterings) > 1:
        sentences.append(
            f"This rests on {analysis.backbone} and {analysis.clustering}; all else is sensitivity analysis."
        )
    return " ".join(sentences)


def _headline(verdict: str, reason: str) -> str:
    return {
        "different": "The clusters change what the head learns: heads of their own beat the pooled head by more than"
        " one shared rule explains",
        "nonlinear rule": "The clusters' heads differ, but by no more than one curved rule for all of them explains",
        "equivalent": "No difference was shown, and one as large as the margin is ruled out",
        "undecided": "Undecided",
        "not assessable": "This study cannot tell",
    }[verdict] + f" ({reason})."


def _figures(test: LabelTest, folds: int | None) -> str:
    low, high = test.interval
    draws = test.draws[np.isfinite(test.draws)]
    over = f", every image in one of {folds} folds" if folds else ""
    null = f"under one shared rule {_lower(draws.mean())} on average, {len(draws)} draws, " if len(draws) else ""
    return (
        f"On {_counted(test.images, 'test image')} of {_counted(test.patients, 'patient')} in"
        f" {_counted(len(test.eligible), 'compared cluster')}{over}, the own head's log loss is"
        f" {_lower(test.gain)} than the pooled head's ({null}{_p(test.p)}); accuracy changes by"
        f" {100 * test.accuracy_gain:+.1f} points (90 % interval {100 * low:+.1f} to {100 * high:+.1f}, over patients,"
        f" conditional on clusters and heads) from {test.pooled_accuracy:.1%}."
    )


def _largest_gain(analysis: Analysis) -> list[str]:
    """The cluster whose own head gains the most accuracy, where several are compared."""
    gains = label_gains(analysis)
    point, low, high = (100 * gains[name] for name in ("accuracy_gain", "accuracy_gain_low", "accuracy_gain_high"))
    if np.isfinite(point).sum() < 2:
        return []
    most = int(np.nanargmax(point))
    return [
        f"The largest change is that of cluster {most}: {point[most]:+.1f} points (90 % interval {low[most]:+.1f} to"
        f" {high[most]:+.1f}, of one cluster looked at alone)."
    ]


def _beside(analysis: Analysis, test: LabelTest) -> str:
    """The conventional test, and what this study could have found."""
    assert analysis.labels is not None
    interaction = analysis.labels.interaction
    answer = f"gives {_p(interaction.p)}" if np.isfinite(interaction.p) else f"is not defined ({interaction.note})"
    words = f"A logistic interaction test, the conventional answer, {answer}."
    if test.power.empty:
        return words
    if test.detectable is None:
        return f"{words} Even rules {test.power['degrees'].max():.0f} degrees apart would be found in fewer than 80 %."
    return (
        f"{words} With these images, rules of the clusters' own that are worth {100 * test.detectable:.1f} points of"
        " accuracy would be found in 80 %."
    )


def _lower(gain: float) -> str:
    return f"{'lower' if gain >= 0 else 'higher'} by {abs(gain):.3f}"


def _counted(number: int, noun: str) -> str:
    return f"{number} {noun}{'' if number == 1 else 's'}"


def _p(value: float) -> str:
    return f"p = {value:.3g}" if np.isfinite(value) else "p not defined"


def _published_sentence(published: dict[str, Any], *, classes: int) -> str:
    if not np.isfinite(published["T"]):
        return (
            "The published comparison of retrained models is not defined here: fewer than two clusters can be compared."
        )
    gaussian = ""
    if published["draws_gaussian"]:
        gaussian = (
            "; against whole data sets in which each class is one Gaussian cloud, clustered and trained alike,"
            f" {_p(published['p_gaussian'])}"
        )
    averaged = " (mean over classes)" if classes > 2 and published["metric"] != "accuracy" else ""
    return (
        f"As description only: spread of the retrained models' {published['metric']}{averaged} against random sets of"
        f" the same size, {_p(published['p_size'])}, and of the same class counts, {_p(published['p_balanced'])}"
        f"{gaussian}. Compact clusters may differ from random sets in any collection, and clusters with rules of their"
        " own may not."
    )


def _correlate(attributes: pd.DataFrame, level: float) -> str | None:
    shown = attributes[attributes["p_holm"] <= level]
    if shown.empty:
        return None
    first = shown.iloc[0]
    return (
        f"The clusters go most with {first['attribute']} ({first['measure']} {first['association']:.2f},"
        f" Holm-adjusted p = {first['p_holm']:.3g}): a correlate, not a cause."
    )
