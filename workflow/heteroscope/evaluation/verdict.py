"""The verdict: does a head of one's own beat the pooled head by more than redrawn labels explain?"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import numpy as np

from heteroscope.config import FUSION, StudyContext
from heteroscope.evaluation.analysis import Analysis
from heteroscope.evaluation.comparison import label_gains
from heteroscope.evaluation.runs import LabelRuns
from heteroscope.evaluation.statistics import bootstrap_interval, holm, permutation_p

CEILING = 0.99
INTERVAL_SHARE = 0.9


@dataclass(frozen=True)
class LabelTest:
    """The test of one backbone and clustering.

    Attributes:
        gain: G of the observed labels; NaN without eligible clusters.
        draws: (draws,) G of the redrawn labels.
        p: one-sided, (1 + #{G_r ≥ G}) / (R + 1).
        accuracy_gain: own minus pooled accuracy on the test images of eligible clusters.
        interval: of the accuracy gain, 90 %, by bootstrap of patients, conditional on clusters and heads.
        pooled_accuracy: on the same images.
        majority_share: of the most frequent class among them.
        pooled_loss: log loss of the pooled head on them.
        prevalence_loss: log loss of always giving the classes their shares among them.
        eligible: numbers of the compared clusters.
        images, patients: tested.
    """

    gain: float
    draws: np.ndarray
    p: float
    accuracy_gain: float
    interval: tuple[float, float]
    pooled_accuracy: float
    majority_share: float
    pooled_loss: float
    prevalence_loss: float
    eligible: list[int]
    images: int
    patients: int


def gains(runs: LabelRuns) -> np.ndarray:
    """G of every draw, the observed first: mean log loss of the pooled minus of the own head, over test images.

    Images of clusters that are not eligible in a draw are left out of it; NaN where none is left.
    """
    counted = runs.eligible.astype(bool)[:, runs.cluster]
    difference = np.where(counted, runs.pooled_loss - runs.own_loss, 0.0)
    images = counted.sum(axis=1)
    return np.where(images > 0, difference.sum(axis=1) / np.maximum(images, 1), np.nan)


def label_test(analysis: Analysis, *, seed: int) -> LabelTest | None:
    """The verdict's test of one analysis, or None where the label arm was left out."""
    runs = analysis.labels
    if runs is None:
        return None
    gain = gains(runs)
    counted = runs.eligible[0].astype(bool)[runs.cluster]
    difference = (runs.own_correct - runs.pooled_correct)[0, counted]
    group = analysis.test["group"].to_numpy()[counted]
    shares = analysis.test["label"][counted].value_counts(normalize=True)
    some = len(group) > 0
    return LabelTest(
        gain=float(gain[0]),
        draws=gain[1:],
        p=permutation_p(gain[0], gain[1:]),
        accuracy_gain=float(difference.mean()) if some else float("nan"),
        interval=bootstrap_interval(difference, group, seed=seed, share=INTERVAL_SHARE) if some else (np.nan, np.nan),
        pooled_accuracy=float(runs.pooled_correct[0, counted].mean()) if some else float("nan"),
        majority_share=float(shares.max()) if some else float("nan"),
        pooled_loss=float(runs.pooled_loss[0, counted].mean()) if some else float("nan"),
        prevalence_loss=float(-(shares * np.log(shares)).sum()) if some else float("nan"),
        eligible=np.flatnonzero(runs.eligible[0]).tolist(),
        images=int(counted.sum()),
        patients=len(np.unique(group)),
    )


def not_assessable(context: StudyContext, backbone: str, test: LabelTest | None, *, leaked: int = 0) -> str | None:
    """Why an analysis cannot answer at all, or None.

    Args:
        context: the study.
        backbone: of the analysis.
        test: of the analysis.
        leaked: images of the study that show a patient, or a copy of an image, that the backbone was trained on.
    """
    backbones = [context.backbones[part] for part in backbone.split(FUSION)]
    if any(backbone.finetune and backbone.finetune.share == "train" for backbone in backbones):
        return "the backbone was trained on the images whose labels the test redraws"
    if leaked:
        return f"the backbone was trained on patients or copies of {leaked} of the study's images"
    if test is None:
        return "the study leaves out the arm `labels`, which alone can tell"
    if len(test.eligible) < 2:
        number = "only one" if test.eligible else "none"
        return f"{number} of the clusters has enough images of every class to be compared"
    draws = np.isfinite(test.draws).sum()
    floor = 1 / (draws + 1)
    if floor > context.study.level:
        return f"{draws} label draws cannot reach the level {context.study.level:g} (smallest p {floor:.3g})"
    return None


def decide(context: StudyContext, test: LabelTest | None, *, leaked: int = 0) -> tuple[str, str]:
    """The verdict (different, equivalent, undecided, not assessable) and its reason; see `not_assessable`."""
    if reason := not_assessable(context, context.study.primary.backbone, test, leaked=leaked):
        return "not assessable", reason
    assert test is not None
    if test.p <= context.study.level:
        return "different", f"p = {test.p:.3g} is at most the level {context.study.level:g}"
    if test.pooled_accuracy >= CEILING:
        return (
            "not assessable",
            f"the pooled head is right on {test.pooled_accuracy:.1%} of the images: no room for a gain",
        )
    if test.pooled_accuracy <= test.majority_share and test.pooled_loss >= test.prevalence_loss:
        return "not assessable", (
            f"the pooled head is right on {test.pooled_accuracy:.1%} of the images, no more than always naming the most"
            f" frequent class ({test.majority_share:.1%}): it learnt no rule that could differ"
        )
    if max(abs(bound) for bound in test.interval) <= context.study.margin:
        return "equivalent", f"the accuracy gain lies within ± {context.study.margin:g}"
    return "undecided", "no difference was shown, and none of the size of the margin was ruled out"


def sensitivity(
    context: StudyContext, tests: dict[tuple[str, str], LabelTest | None], primary: tuple[str, str]
) -> list[dict[str, Any]]:
    """All assessable analyses but the primary one, with Holm-adjusted p."""
    others = [
        (axes, test)
        for axes, test in tests.items()
        if axes != primary and test is not None and not_assessable(context, axes[0], test) is None
    ]
    adjusted = holm(np.array([test.p for _, test in others]))
    return [
        {"backbone": backbone, "clustering": clustering, "gain": test.gain, "p": test.p, "p_holm": p_holm,
         "accuracy_gain": test.accuracy_gain, "compared_clusters": len(test.eligible)}
        for ((backbone, clustering), test), p_holm in zip(others, adjusted, strict=True)
    ]  # fmt: skip


def clusters_that_gain(analysis: Analysis, level: float) -> list[int]:
    """Clusters whose own head beats the pooled one, Holm-adjusted."""
    return np.flatnonzero(label_gains(analysis)["gain_p_holm"] <= level).tolist()
