"""The tables of a study: clusters against controls, the baseline by cluster, transfer."""

from __future__ import annotations

from typing import Any

import numpy as np
import pandas as pd

from heteroscope.config import Controls
from heteroscope.evaluation import metrics
from heteroscope.evaluation.analysis import CONTROL_ARMS, Analysis
from heteroscope.evaluation.curve import SIZES, points
from heteroscope.evaluation.intervals import mean_interval
from heteroscope.evaluation.runs import LabelArm, LabelRuns
from heteroscope.evaluation.scores import ESTIMATES, PATIENT_METRICS, score_table, study_scores
from heteroscope.evaluation.statistics import (
    compared_omnibus,
    holm,
    p_interval,
    permutation_p,
    spearman,
    two_sided_permutation_p,
)

SEED = 0  # of bootstraps and permutations
INTERVAL_SHARE = 0.9  # of accuracy gains: its ends are those of two one-sided tests at 5 %, as equivalence asks
FEW_IMAGES = 10
FEWEST_FOR_RHO = 5  # compared clusters from which on a p of the rank correlation means something


def cluster_table(analysis: Analysis, controls: Controls, metric: str) -> pd.DataFrame:
    """One row a cluster: the published columns, spreads, gaps to both controls and their permutation p.

    The metrics are the published ones and the study's own. `<metric>` is the mean over seeds of the
    cluster's model on the whole test set, `<metric>_<arm>` the mean over the control's draws,
    `<metric>_<arm>_gap` their difference.
    """
    train, k = analysis.train, analysis.k
    within = analysis.distances.query("cluster == other").set_index("cluster")["distance"]
    table = pd.DataFrame({"backbone": analysis.backbone, "clustering": analysis.clustering, "cluster": range(k)})
    table["size"] = np.bincount(train["cluster"], minlength=k)
    table["within_distance"] = within.reindex(range(k)).to_numpy()
    table["jaccard"] = [cluster["jaccard"] for cluster in analysis.stability["clusters"]]
    for label, name in enumerate(analysis.class_names):
        table[f"n_{name}"] = np.bincount(train.loc[train["label"] == label, "cluster"], minlength=k)
    table["test_size"] = np.bincount(analysis.test["cluster"], minlength=k)
    table["compared"] = analysis.eligible(controls)
    for shown in _with_published(metric):
        for name, values in _against_controls(analysis, shown).items():
            table[name] = values
    for name, values in label_gains(analysis).items():
        table[name] = values
    return table.assign(**provenance_of(analysis))


def _with_published(metric: str) -> list[str]:
    return list(dict.fromkeys([*metrics.PUBLISHED, metric]))


def _against_controls(analysis: Analysis, metric: str) -> dict[str, np.ndarray]:
    label = analysis.test["label"].to_numpy()
    by_seed = np.stack([metrics.METRICS[metric](runs.probability, label)[0] for runs in analysis.arms["cluster"]])
    observed = by_seed.mean(axis=1)
    columns = {metric: observed, f"{metric}_sd": _spread(by_seed, axis=1)}
    for arm in CONTROL_ARMS:
        draws = analysis.metric_of_draws(metric, arm)
        centre = draws.mean(axis=0)
        columns |= {
            f"{metric}_{arm}": centre,
            f"{metric}_{arm}_sd": _spread(draws, axis=0),
            f"{metric}_{arm}_gap": observed - centre,
            f"{metric}_{arm}_p": np.array(
                [two_sided_permutation_p(observed[c], draws[:, c]) for c in range(analysis.k)]
            ),
        }
    return columns


def label_gains(analysis: Analysis) -> dict[str, np.ndarray]:
    """Per cluster: the log-loss gain of its own head over the pooled head within it, p from redrawn labels, Holm.

    The p is the larger one of the linear and the quadratic rule, as the verdict must reject both; `gain_p_low` and
    `gain_p_high` are its 95 % interval, of the p that endless draws would give. Beside them the accuracy gain with its
    90 % interval, over patients, conditional on clusters and heads.
    """
    names = ["gain", "gain_p", "gain_p_low", "gain_p_high", "gain_p_holm"]
    names += ["accuracy_gain", "accuracy_gain_low", "accuracy_gain_high"]
    if analysis.labels is None:
        return dict.fromkeys(names, np.full(analysis.k, np.nan))
    gains = [_gains_by_cluster(runs, analysis.k) for runs in _runs_by_rule(analysis.labels)]
    p = np.array([np.max([permutation_p(gain[0, c], gain[1:, c]) for gain in gains]) for c in range(analysis.k)])
    draws = np.min([np.isfinite(gain[1:]).sum(axis=0) for gain in gains], axis=0)
    intervals = [p_interval(*one) for one in zip(p, draws, strict=True)]
    accuracy = [_accuracy_gain(analysis, c) for c in range(analysis.k)]
    return dict(zip(names, [gains[0][0], p, *np.array(intervals).T, holm(p), *np.array(accuracy).T], strict=True))


def _accuracy_gain(analysis: Analysis, number: int) -> tuple[float, float, float]:
    """The accuracy gain on a cluster's test images, with its interval; NaN where the cluster is not compared."""
    assert analysis.labels is not None
    runs = analysis.labels.linear
    rows = runs.compared[0] & (runs.cluster == number)
    if not rows.any():
        return np.nan, np.nan, np.nan
    difference = (runs.own_correct - runs.pooled_correct)[0, rows]
    group = analysis.test["group"].to_numpy()[rows]
    return float(difference.mean()), *mean_interval(difference, group, seed=SEED, share=INTERVAL_SHARE)


def _gains_by_cluster(runs: LabelRuns, k: int) -> np.ndarray:
    """(1 + draws, k): the mean over a cluster's test images; NaN where it is not compared."""
    difference = np.where(runs.compared, runs.pooled_loss - runs.own_loss, 0.0)
    member = np.eye(k)[runs.cluster]
    images = runs.compared @ member
    return np.where(images > 0, (difference @ member) / np.maximum(images, 1), np.nan)


def baseline_table(analysis: Analysis, metric: str) -> pd.DataFrame:
    """The pooled head on the whole test set and on the test members of each cluster (the published Tables 1 and 2).

    The metrics are the published ones, the study's own and those of patients, of whom a cluster's row sees the images
    in it alone. Beside each stand its spread over seeds and its 95 % interval over patients.
    """
    cluster, label = analysis.test["cluster"].to_numpy(), analysis.test["label"].to_numpy()
    group = analysis.test["group"].to_numpy()
    rows = []
    for name, members in [
        ("all", np.ones(len(label), dtype=bool)),
        *((str(c), cluster == c) for c in range(analysis.k)),
    ]:
        row: dict[str, Any] = {"backbone": analysis.backbone, "clustering": analysis.clustering, "cluster": name}
        row["test_size"] = int(members.sum())
        row |= {f"test_{c}": int((label[members] == i).sum()) for i, c in enumerate(analysis.class_names)}
        row["patients"] = len(np.unique(group[members]))
        rows.append(row | _scores(analysis, members, [*_with_published(metric), *PATIENT_METRICS]))
    return pd.DataFrame(rows).assign(**provenance_of(analysis))


def _scores(analysis: Analysis, members: np.ndarray, shown: list[str]) -> dict[str, float]:
    """The pooled head's scores on some test images (n,) bool: a metric's mean under its name, then `{metric}_sd` …"""
    found: dict[str, dict[str, float]] = {}
    if members.any():
        test = analysis.test[members]
        label, group = test["label"].to_numpy(), test["group"].to_numpy()
        found = study_scores(score_table(analysis.baseline[:, members], label, group, analysis.class_names))
    row: dict[str, float] = {}
    for metric in shown:
        score = found.get(metric, dict.fromkeys(ESTIMATES, np.nan))
        row |= {metric: score["mean"]} | {f"{metric}_{name}": score[name] for name in ESTIMATES[1:]}
    return row


def curve_table(analysis: Analysis, metric: str) -> pd.DataFrame:
    """The pooled head by training size, a row a size: mean, spread and quartiles over random subsets (means of seeds).

    The metrics are the published ones and the study's own.
    """
    shown = {name: points(analysis.curve, name) for name in _with_published(metric)}
    table = shown[metric][["share", "subsets", *SIZES]]
    for name, values in shown.items():
        table = table.assign(
            **{name: values["mean"], **{f"{name}_{column}": values[column] for column in ("sd", "q25", "q75")}}
        )
    table.insert(0, "backbone", analysis.backbone)
    return table.assign(**provenance_of(analysis))


def transfer_table(analysis: Analysis, metric: str) -> pd.DataFrame:
    """The metric of each cluster's model on the test images of each cluster, a row a pair; few images are marked."""
    cluster, label = analysis.test["cluster"].to_numpy(), analysis.test["label"].to_numpy()
    rows = []
    for i, runs in enumerate(analysis.arms["cluster"]):
        for j in range(analysis.k):
            members = cluster == j
            n = int(members.sum())
            value = metrics.METRICS[metric](runs.probability[0][:, members], label[members]).mean() if n else np.nan
            rows.append({"model": i, "tested_on": j, "images": n, "few": n < FEW_IMAGES, metric: value})
    axes = {"backbone": analysis.backbone, "clustering": analysis.clustering}
    return pd.DataFrame([axes | row for row in rows]).assign(**provenance_of(analysis))


def published_comparison(analysis: Analysis, controls: Controls, metric: str) -> dict[str, Any]:
    """T over the compared clusters against its controls, and ρ of distances: description, never the verdict.

    In every draw, parts with too few training rows of a class are left out as clusters are. Against data sets of one
    Gaussian a class, T is that of the observed images in the reduced space.
    """
    eligible = analysis.eligible(controls)
    observed = _omnibus(analysis, "cluster", metric, eligible, controls)[0]
    result: dict[str, Any] = {"metric": metric, "T": observed, "clusters": int(eligible.sum())}
    for arm in CONTROL_ARMS:
        draws = _omnibus(analysis, arm, metric, eligible, controls)
        result |= _with_interval(f"p_{arm}", observed, draws) | {f"draws_{arm}": int(np.isfinite(draws).sum())}
    # every fold is clustered anew in every data set: its clusters are those of no other fold, but T is a number
    spreads = (
        np.mean([fold.omnibus(metric) for fold in analysis.gaussian], axis=0) if analysis.gaussian else np.empty(0)
    )
    result |= _with_interval("p_gaussian", spreads[0] if len(spreads) else float("nan"), spreads[1:])
    result["draws_gaussian"] = int(np.isfinite(spreads[1:]).sum())
    value = analysis.metric_of_draws(metric, "cluster")[0]
    result["distance_rho"] = _distance_correlation(_pairs(analysis), value, eligible)
    return result | _distance_test(analysis)


def _with_interval(name: str, observed: float, draws: np.ndarray) -> dict[str, Any]:
    """A permutation p and the 95 % interval of the p that endless draws would give."""
    p = permutation_p(observed, draws)
    return {name: p, f"{name}_interval_95": list(p_interval(p, int(np.isfinite(draws).sum())))}


def _omnibus(analysis: Analysis, arm: str, metric: str, eligible: np.ndarray, controls: Controls) -> np.ndarray:
    values, sizes = analysis.metric_of_draws(metric, arm), analysis.sizes(arm)
    counts = np.stack([runs.class_counts for runs in analysis.arms[arm]], axis=1)
    return compared_omnibus(values, sizes, eligible & (counts.min(axis=2) >= controls.min_class))


def _distance_test(analysis: Analysis) -> dict[str, Any]:
    """ρ of the accuracies of the clusters' own heads, and how often redrawn labels give one as large.

    One-sided: clusters that lie further apart would have heads that differ more. The p is the larger one of the linear
    and the quadratic rule. NaN with fewer than `FEWEST_FOR_RHO` compared clusters: the ranks of six pairs or fewer
    take few orders, and any of them comes by chance.
    """
    if analysis.labels is None or analysis.labels.linear.eligible[0].sum() < FEWEST_FOR_RHO:
        return {"distance_rho_accuracy": float("nan")} | _with_interval("distance_p", float("nan"), np.empty(0))
    pairs = _pairs(analysis)
    rhos = [
        np.array([_distance_correlation(pairs, *one) for one in zip(runs.own_accuracy, compared, strict=True)])
        for runs in _runs_by_rule(analysis.labels)
        for compared in [runs.eligible]
    ]
    tests = [_with_interval("distance_p", rho[0], rho[1:]) for rho in rhos]
    larger = max(tests, key=lambda test: np.nan_to_num(test["distance_p"], nan=np.inf))
    return {"distance_rho_accuracy": float(rhos[0][0])} | larger


def _pairs(analysis: Analysis) -> pd.DataFrame:
    return analysis.distances.query("cluster < other")


def _distance_correlation(pairs: pd.DataFrame, value: np.ndarray, eligible: np.ndarray) -> float:
    """ρ of centroid distances and |m̄(c) − m̄(c′)| over pairs of compared clusters."""
    first, second = pairs["cluster"].to_numpy(), pairs["other"].to_numpy()
    both = eligible[first] & eligible[second]
    return spearman(pairs["distance"].to_numpy()[both], np.abs(value[first] - value[second])[both])


def _runs_by_rule(labels: LabelArm) -> list[LabelRuns]:
    """Draws from the linear rule, and from the quadratic one where it is another."""
    return [runs for runs in (labels.linear, labels.quadratic) if runs is not None]


def _spread(values: np.ndarray, *, axis: int) -> np.ndarray:
    """The standard deviation of a sample; NaN of a single value."""
    # not np.full: a cell of a table takes a number, but no array without dimensions
    spread: np.ndarray = values.std(axis=axis, ddof=1) if values.shape[axis] > 1 else np.nan * values.mean(axis=axis)
    return spread


def provenance_of(analysis: Analysis) -> dict[str, Any]:
    """Columns that mark every row with what its analysis stands on."""
    summary = analysis.summary
    return {"weights": summary["weights"], "selection": summary["selection"], "optimistic": summary["optimistic"]}
