"""The verdict: does a head of one's own beat the pooled head by more than redrawn labels explain?"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
import pandas as pd
from statsmodels.stats.proportion import proportion_confint

from heteroscope.config import FUSION, StudyContext
from heteroscope.evaluation.analysis import Analysis
from heteroscope.evaluation.comparison import INTERVAL_SHARE, label_gains
from heteroscope.evaluation.intervals import mean_interval
from heteroscope.evaluation.runs import Rotations, gains
from heteroscope.evaluation.statistics import first_reached, p_interval, permutation_p

CEILING = 0.99
POWER = 0.8


@dataclass(frozen=True)
class LabelTest:
    """The test of one backbone and clustering.

    Attributes:
        gain: G of the observed labels; NaN without eligible clusters.
        draws: (draws,) G of the labels redrawn from the linear rule.
        nonlinear_draws: (draws,) the same of the quadratic rule; `draws` where it predicts no better than the linear.
        p: one-sided, (1 + #{G_r ≥ G}) / (R + 1).
        p_interval: 95 %, of the p that endless draws would give (Clopper and Pearson).
        p_nonlinear: the same as p, from the quadratic rule's draws.
        p_nonlinear_interval: the same as p_interval, of p_nonlinear.
        accuracy_gain: own minus pooled accuracy on the test images of eligible clusters.
        interval: of the accuracy gain, 90 %, by bootstrap of patients, conditional on clusters and heads.
        pooled_accuracy: on the same images.
        majority_share: of the most frequent class among them.
        pooled_loss: log loss of the pooled head on them.
        prevalence_loss: log loss of always giving the classes their shares among them.
        eligible: numbers of the compared clusters.
        images, patients: tested.
        power: an angle a row, see `power_table`; empty where the study leaves it out.
        detectable: see `detectable_gap`.
    """

    gain: float
    draws: np.ndarray
    nonlinear_draws: np.ndarray
    p: float
    p_interval: tuple[float, float]
    p_nonlinear: float
    p_nonlinear_interval: tuple[float, float]
    accuracy_gain: float
    interval: tuple[float, float]
    pooled_accuracy: float
    majority_share: float
    pooled_loss: float
    prevalence_loss: float
    eligible: list[int]
    images: int
    patients: int
    power: pd.DataFrame
    detectable: float | None

    @property
    def detectable_is_bound(self) -> bool:
        """Whether the smallest angle is found in 80 % already, so that a smaller gap may be found as well."""
        return self.detectable is not None and bool(self.detectable <= self.power["gap"].iloc[0])


def label_test(analysis: Analysis, *, seed: int, level: float) -> LabelTest | None:
    """The verdict's test of one analysis, or None where the label arm was left out."""
    arm = analysis.labels
    if arm is None:
        return None
    runs = arm.linear
    gain = gains(runs)
    p = permutation_p(gain[0], gain[1:])
    nonlinear = gains(arm.quadratic)[1:] if arm.quadratic else gain[1:]
    p_nonlinear = permutation_p(gain[0], nonlinear)
    power = power_table(arm.rotations, [gain[1:], nonlinear], level=level)
    counted = runs.compared[0]
    difference = (runs.own_correct - runs.pooled_correct)[0, counted]
    group = analysis.test["group"].to_numpy()[counted]
    shares = analysis.test["label"][counted].value_counts(normalize=True)
    some = len(group) > 0
    return LabelTest(
        gain=float(gain[0]),
        draws=gain[1:],
        nonlinear_draws=nonlinear,
        p=p,
        p_interval=p_interval(p, int(np.isfinite(gain[1:]).sum())),
        p_nonlinear=p_nonlinear,
        p_nonlinear_interval=p_interval(p_nonlinear, int(np.isfinite(nonlinear).sum())),
        accuracy_gain=float(difference.mean()) if some else float("nan"),
        interval=mean_interval(difference, group, seed=seed, share=INTERVAL_SHARE) if some else (np.nan, np.nan),
        pooled_accuracy=float(runs.pooled_correct[0, counted].mean()) if some else float("nan"),
        majority_share=float(shares.max()) if some else float("nan"),
        pooled_loss=float(runs.pooled_loss[0, counted].mean()) if some else float("nan"),
        prevalence_loss=float(-(shares * np.log(shares)).sum()) if some else float("nan"),
        eligible=runs.clusters,
        images=int(counted.sum()),
        patients=len(np.unique(group)),
        power=power,
        detectable=detectable_gap(power),
    )


def power_table(rotations: Rotations, nulls: list[np.ndarray], *, level: float) -> pd.DataFrame:
    """How often rules that differ by an angle between clusters are called `different`.

    It is an approximation: each label set is held against the draws of the observed labels' rules, where a study of
    these labels would fit rules of its own and draw again.

    Args:
        rotations: label sets of such rules.
        nulls: G of redrawn labels, of every rule that the verdict must reject.
        level: of the verdict.

    Returns:
        A row an angle: degrees, label_sets, power with its 95 % interval power_low and power_high (Clopper and
        Pearson), and gap, the mean accuracy at stake (see `Rotations`).
    """
    found = [all(permutation_p(gain, draws) <= level for draws in nulls) for gain in rotations.gain]
    table = pd.DataFrame({"degrees": rotations.degrees, "found": np.array(found, dtype=bool), "gap": rotations.gap})
    table = table.groupby("degrees", as_index=False).agg(
        label_sets=("found", "size"), found=("found", "sum"), power=("found", "mean"), gap=("gap", "mean")
    )
    low, high = proportion_confint(table.pop("found"), table["label_sets"], alpha=0.05, method="beta")
    return table.assign(power_low=low, power_high=high)


def detectable_gap(power: pd.DataFrame) -> float | None:
    """The smallest accuracy at stake that is found in 80 % (see `first_reached`), from a `power_table`."""
    return first_reached(power["gap"].to_numpy(), power["power"].to_numpy(), POWER)


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
    draws = min(np.isfinite(test.draws).sum(), np.isfinite(test.nonlinear_draws).sum())
    floor = 1 / (draws + 1)
    if floor > context.study.level:
        return f"{draws} label draws cannot reach the level {context.study.level:g} (smallest p {floor:.3g})"
    return None


def leaked_images(context: StudyContext, backbone: str, split: pd.DataFrame) -> int:
    """Images of the study that show a patient, or a copy of an image, of the share B that trained a backbone."""
    if not any(context.backbones[part].finetune for part in backbone.split(FUSION)):
        return 0
    share, rest = split[split["part"] == "backbone"], split[split["part"] != "backbone"]
    return int((rest["group"].isin(share["group"]) | rest["content"].isin(share["content"])).sum())


def decide(context: StudyContext, backbone: str, test: LabelTest | None, *, leaked: int = 0) -> tuple[str, str]:
    """The verdict and its reason: different, nonlinear rule, equivalent, undecided, or not assessable.

    The arguments are those of `not_assessable`.
    """
    if reason := not_assessable(context, backbone, test, leaked=leaked):
        return "not assessable", reason
    assert test is not None
    level = context.study.level
    if test.p <= level and test.p_nonlinear <= level:
        return "different", f"p = {test.p:.3g} is at most the level {level:g}"
    if test.p <= level:
        return "nonlinear rule", (
            f"p = {test.p:.3g} if the shared rule is linear, but {test.p_nonlinear:.3g} if it may be curved: one curved"
            " rule would look like this too"
        )
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
    low, high = (100 * bound for bound in test.interval)
    margin = 100 * context.study.margin
    found = f"p = {test.p:.3g}; the 90 % interval of the accuracy gain, {low:+.1f} to {high:+.1f} points,"
    if max(abs(low), abs(high)) <= margin:
        return "equivalent", f"{found} lies within ± {margin:g}"
    return "undecided", f"{found} reaches beyond ± {margin:g}"


def clusters_that_gain(analysis: Analysis, level: float) -> list[int]:
    """Clusters whose own head beats the pooled one, Holm-adjusted."""
    return np.flatnonzero(label_gains(analysis)["gain_p_holm"] <= level).tolist()
