"""The verdict in words: warnings by name, one honest account, and verdict.json."""

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
from heteroscope.evaluation.verdict import LabelTest, clusters_that_gain, decide, leaked_images, not_assessable

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
    leaked = leaked_images(context, analysis.backbone, split)
    verdict, reason = decide(context, analysis.backbone, test, leaked=leaked)
    # numbers of a test that cannot answer stand in the file, and in no sentence
    told = None if not_assessable(context, analysis.backbone, test, leaked=leaked) else test
    published = published_comparison(analysis, context.controls, study.metric)
    published["called_by_eye"] = called_by_eye(analysis, study.metric)
    topics = account(context, analysis, told, verdict, reason, published, attributes, sensitivity)
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
        "warnings": warnings_of(context, analysis, split),
        "account": topics,
        "paragraph": " ".join(topic["text"] for topic in topics),
    }


def _test_document(test: LabelTest | None) -> dict[str, Any] | None:
    if test is None:
        return None
    return {
        "gain": test.gain,
        "p": test.p,
        "p_interval_95": list(test.p_interval),
        "p_nonlinear": test.p_nonlinear,
        "p_nonlinear_interval_95": list(test.p_nonlinear_interval),
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
        "detectable_gap_is_bound": test.detectable_is_bound,
    }


def _counts(analysis: Analysis, split: pd.DataFrame) -> dict[str, Any]:
    train = analysis.train
    # with folds every image is tested, beside training in the other folds
    tested = analysis.test if "fold" in split else None
    images = {} if tested is None else {"test": len(tested)}
    patients = {} if tested is None else {"test": tested["group"].nunique()}
    return {
        "images": split["part"].value_counts().to_dict() | images,
        "patients": split.groupby("part")["group"].nunique().to_dict() | patients,
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


def account(
    context: StudyContext,
    analysis: Analysis,
    test: LabelTest | None,
    verdict: str,
    reason: str,
    published: dict[str, Any],
    attributes: pd.DataFrame,
    sensitivity: pd.DataFrame,
) -> list[dict[str, str]]:
    """The honest account in plain words: a `topic` and its `text` each, in the order in which they are read.

    Args:
        context: the study.
        analysis: the primary one.
        test: of it; None where it cannot answer.
        verdict, reason: of `decide`.
        published: of `published_comparison`.
        attributes: of `attribute_table`.
        sensitivity: of `sensitivity_table`.
    """
    topics = {"The finding": [_headline(verdict, reason)]}
    if test is not None and np.isfinite(test.gain):
        gaining = [] if verdict == "not assessable" else clusters_that_gain(analysis, context.study.level)
        topics["The test"] = [_figures(analysis, test, context.split.folds), *_limit(verdict)]
        topics["The clusters"] = [*_largest_gain(analysis), *_one_by_one(gaining)]
        topics["What could be found"] = [_power(test)]
        topics["The conventional test"] = [_interaction(analysis)]
    topics["More images"] = [curve_sentence(analysis.curve, context.study.metric)]
    topics["What goes with the clusters"] = _correlate(attributes, context.study.level)
    topics["The published comparison"] = [_published_sentence(published, classes=len(analysis.class_names))]
    topics["Other analyses"] = _other_analyses(analysis, sensitivity)
    return [{"topic": topic, "text": " ".join(said)} for topic, said in topics.items() if said]


def _limit(verdict: str) -> list[str]:
    """What else `different` may come from; nothing with other verdicts."""
    if verdict != "different":
        return []
    return [
        "A strongly curved shared rule can look the same, above all one in which one feature turns the effect of"
        " another around (docs/calibration.md)."
    ]


def _one_by_one(gaining: list[int]) -> list[str]:
    """The clusters that gain each for itself; nothing where none does."""
    if not gaining:
        return []
    clusters = "cluster" if len(gaining) == 1 else "clusters"
    named = ", ".join(map(str, gaining))
    return [
        "Taken one by one (Holm-adjusted), the own head does better than one shared rule lets it in"
        f" {clusters} {named}."
    ]


def _other_analyses(analysis: Analysis, sensitivity: pd.DataFrame) -> list[str]:
    """How many of the other backbones and clusterings would say `different`; nothing where there are none."""
    others = sensitivity[~sensitivity["primary"].astype(bool)]
    if others.empty:
        return []
    return [
        f"This rests on {analysis.backbone} and {analysis.clustering}. Of {len(others)} other"
        f" {'analysis' if len(others) == 1 else 'analyses'}, which show how far that choice matters,"
        f" {(others['verdict'] == 'different').sum()} would say `different`."
    ]


def _headline(verdict: str, reason: str) -> str:
    return {
        "different": "The clusters change what the head learns: heads of their own do better, beside the pooled head,"
        " than one shared rule lets them",
        "nonlinear rule": "The clusters' heads differ, but by no more than one curved rule for all of them explains",
        "equivalent": "No difference was shown, and heads of the clusters' own are neither better nor worse by the"
        " margin, which is no proof of one rule",
        "undecided": "Undecided",
        "not assessable": "This study cannot tell",
    }[verdict] + f" ({reason})."


def _figures(analysis: Analysis, test: LabelTest, folds: int | None) -> str:
    images = analysis.train[analysis.train["view"] == 0]
    trained = f"{_counted(len(images), 'image')} of {_counted(images['group'].nunique(), 'patient')}"
    over = f"in {folds} folds, each trained on what it does not test of {trained}" if folds else f"trained on {trained}"
    low, high = test.interval
    return (
        f"On {_counted(test.images, 'test image')} of {_counted(test.patients, 'patient')} in"
        f" {_counted(len(test.eligible), 'compared cluster')} (heads {over}), the own head's log loss is"
        f" {_lower(test.gain)} than the pooled head's{_null(test)}; accuracy changes by"
        f" {100 * test.accuracy_gain:+.1f} points (90 % interval {100 * low:+.1f} to {100 * high:+.1f}, over patients,"
        f" conditional on clusters and heads) from {test.pooled_accuracy:.1%}."
    )


def _null(test: LabelTest) -> str:
    """What redrawn labels give, and both p with the interval of the larger one; empty without draws."""
    draws = test.draws[np.isfinite(test.draws)]
    if not len(draws):
        return ""
    larger = test.p_interval if test.p >= test.p_nonlinear else test.p_nonlinear_interval
    return (
        f", where one shared rule makes it {_lower(draws.mean())} on average of {len(draws)} draws: {_p(test.p)} for a"
        f" linear rule, {_p(test.p_nonlinear)} for one that may be curved (endless draws would give {larger[0]:.3g} to"
        f" {larger[1]:.3g}, 95 %)"
    )


def _largest_gain(analysis: Analysis) -> list[str]:
    """The cluster whose own head gains the most accuracy, where several are compared."""
    gains = label_gains(analysis)
    point, low, high = (100 * gains[name] for name in ("accuracy_gain", "accuracy_gain_low", "accuracy_gain_high"))
    if np.isfinite(point).sum() < 2:
        return []
    best = int(np.nanargmax(point))
    interval = f"{point[best]:+.1f} points (90 % interval {low[best]:+.1f} to {high[best]:+.1f}, of one cluster alone)"
    if point[best] > 0:
        return [f"The largest gain is that of cluster {best}, {interval}."]
    return [f"No cluster's own head gains accuracy; that of cluster {best} comes nearest, {interval}."]


def _interaction(analysis: Analysis) -> str:
    """What the conventional test says."""
    assert analysis.labels is not None
    interaction = analysis.labels.interaction
    answer = f"is not defined ({interaction.note})"
    if np.isfinite(interaction.p):
        answer = f"gives {_p(interaction.p)}, but it rejects too often in many simulations (docs/calibration.md)"
    return f"A logistic interaction test {answer}."


def _power(test: LabelTest) -> str:
    """Which difference this study could have found."""
    if test.power.empty:
        return "What difference this study could have found was not measured (power: 0)."
    if test.detectable is None:
        return f"Even rules {test.power['degrees'].max():.0f} degrees apart would be found in fewer than 80 %."
    worth = (
        f"With these images, rules of the clusters' own that are worth {100 * test.detectable:.1f} points of accuracy"
    )
    if test.detectable_is_bound:
        return f"{worth}, the smallest that were tried, would be found in 80 % or more."
    return f"{worth} would be found in about 80 %; smaller differences often stay hidden."


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
            f" {_p(published['p_gaussian'])} ({published['draws_gaussian']} draws)"
        )
    averaged = " (mean over classes)" if classes > 2 and published["metric"] != "accuracy" else ""
    return (
        f"As description only: spread of the retrained models' {published['metric']}{averaged} against random sets of"
        f" the same size, {_p(published['p_size'])} ({published['draws_size']} draws), and of the same class counts,"
        f" {_p(published['p_balanced'])} ({published['draws_balanced']} draws){gaussian}. Compact clusters may differ"
        " from random sets in any collection, and clusters with rules of their own may not."
    )


def _correlate(attributes: pd.DataFrame, level: float) -> list[str]:
    """The attribute that goes most with the clusters, or that none does; nothing where none is known."""
    tested = attributes[attributes["p_holm"].notna()]
    if tested.empty:
        return []
    shown = tested[tested["p_holm"] <= level]
    if shown.empty:
        return [
            f"No known attribute goes with the clusters ({len(tested)} tested; the smallest Holm-adjusted p is"
            f" {tested['p_holm'].min():.2g})."
        ]
    first = shown.iloc[0]
    return [
        f"The clusters go most with {first['attribute']} ({first['measure']} {first['association']:.2f},"
        f" Holm-adjusted p = {first['p_holm']:.3g}): a correlate, not a cause."
    ]
