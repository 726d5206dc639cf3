"""Figures of a comparison: clusters among their controls, the gain among redrawn labels, power, transfer, baseline."""

from __future__ import annotations

import textwrap

import numpy as np
import pandas as pd
from matplotlib.axes import Axes
from matplotlib.figure import Figure
from matplotlib.lines import Line2D
from matplotlib.patches import Rectangle
from matplotlib.ticker import MaxNLocator

from heteroscope.config import Controls
from heteroscope.evaluation.analysis import CONTROL_ARMS, Analysis
from heteroscope.evaluation.statistics import critical_gain
from heteroscope.evaluation.verdict import POWER, LabelTest
from heteroscope.figures.style import HEAT, INK, MISSING, NEUTRAL, PALETTE, WIDTH, sentence, styled
from heteroscope.metric_names import metric_name

ARM_COLORS = {"size": PALETTE[4], "balanced": PALETTE[1]}
ARM_NAMES = {"size": "random sets of the same size", "balanced": "random sets with the same class counts"}
ARM_PLACES = {"size": -0.2, "balanced": 0.2}
HALF_WIDTH = 0.13  # of a cloud of control points, in clusters
MOST_CLASSES = 4  # whose counts find room below a cluster
DARK_SHARE = 0.6  # of the colour scale, beyond which white text is read better
HIGHEST = 1.02  # upper end of an axis of metrics
MOST_VALUES = 16  # clusters up to which a heat map can show its values
LOW_POWER = 0.08  # below which an angle is written above its point


@styled
def draw_retraining(analysis: Analysis, controls: Controls, metric: str) -> Figure:
    """Each cluster's own model among the models of its controls, on the whole test set.

    A point is one random draw, the mean over its seeds; the diamond is the cluster. Clusters that are not compared are
    grey, with the reason below them. The axis spans what is compared; a grey diamond beyond it is written at its end.

    Args:
        analysis: the runs of one backbone and clustering.
        controls: which clusters are compared.
        metric: a name of `metrics.METRICS`.
    """
    observed = analysis.metric_of_draws(metric, "cluster")[0]
    reasons = reasons_against(analysis, controls)
    figure = Figure(figsize=(_width(analysis.k), 4.6), layout="constrained")
    axis = figure.subplots()
    draws = {arm: analysis.metric_of_draws(metric, arm) for arm in CONTROL_ARMS}
    for arm in CONTROL_ARMS:
        _draw_clouds(axis, draws[arm], ARM_PLACES[arm], ARM_COLORS[arm], reasons)
    for cluster, value in enumerate(observed):
        color = NEUTRAL if reasons[cluster] else INK
        axis.plot(cluster, value, "D", color=color, markersize=7, markeredgecolor="white", gid=f"cluster-{cluster}")
    _frame_compared(axis, np.vstack([observed, *draws.values()])[:, [not reason for reason in reasons]])
    for cluster, value in enumerate(observed):
        _write_unseen(axis, cluster, value)
    axis.set_xticks(range(analysis.k), _cluster_labels(analysis, reasons))
    for tick, reason in zip(axis.get_xticklabels(), reasons, strict=True):
        tick.set_color(NEUTRAL if reason else INK)
    axis.set_xlim(-0.55, analysis.k - 0.45)
    axis.tick_params(axis="x", length=0)
    axis.grid(axis="y")
    axis.set_ylabel(f"{metric_name(metric)} on the whole test set")
    axis.set_xlabel("cluster")
    axis.set_title("Models retrained on clusters and on random sets", pad=38)
    _retraining_legend(axis)
    return figure


def _frame_compared(axis: Axes, values: np.ndarray) -> None:
    """Fit the axis to these values; where there are none, it stays as it is."""
    known = values[np.isfinite(values)]
    if len(known):
        margin = max(0.08 * np.ptp(known), 0.01)
        axis.set_ylim(known.min() - margin, known.max() + margin)


def _write_unseen(axis: Axes, cluster: int, value: float) -> None:
    """In words what no mark shows: a value that is not defined or lies beyond the axis."""
    low, high = axis.get_ylim()
    if low <= value <= high:
        return
    place, alignment, arrow = (0.02, "bottom", "↓ ") if value < low else (0.98, "top", "↑ ")
    text = f"{arrow}{value:.3f}" if np.isfinite(value) else "not defined"
    axis.text(cluster, place, text, transform=axis.get_xaxis_transform(), ha="center", va=alignment, color=NEUTRAL)


def reasons_against(analysis: Analysis, controls: Controls) -> list[str]:
    """Why each cluster is not compared; an empty text for one that is. Images count, not their views."""
    train = analysis.train[analysis.train["view"] == 0]
    reasons = []
    for cluster, eligible in enumerate(analysis.eligible(controls)):
        if eligible:
            reasons.append("")
            continue
        label = train.loc[train["cluster"] == cluster, "label"]
        counts = np.bincount(label, minlength=len(analysis.class_names))
        rarest = int(counts.argmin())
        if counts[rarest] < controls.min_class:
            reasons.append(
                f"{counts[rarest]} training images of {analysis.class_names[rarest]} ({controls.min_class} needed)"
            )
        else:
            tested = int((analysis.test["cluster"] == cluster).sum())
            reasons.append(f"{tested} test images ({controls.min_test} needed)")
    return reasons


def _width(k: int) -> float:
    """A figure's width in inches that leaves room for the text below every cluster."""
    return float(np.clip(1.2 + 1.35 * k, WIDTH, 40))


def _draw_clouds(axis: Axes, draws: np.ndarray, place: float, color: str, reasons: list[str]) -> None:
    """One cloud of points a cluster, spread evenly in the order of the draws, and a bar at its mean."""
    repeats, k = draws.shape
    spread = (np.arange(repeats) * 0.618034 % 1 - 0.5) * 2 * HALF_WIDTH  # the golden ratio keeps neighbours apart
    for cluster in range(k):
        shown = MISSING if reasons[cluster] else color
        axis.plot(
            cluster + place + spread, draws[:, cluster], "o", color=shown, markersize=3.5, alpha=0.55,
            markeredgewidth=0, zorder=1,
        )  # fmt: skip
        if np.isfinite(draws[:, cluster]).any():
            mean = np.nanmean(draws[:, cluster])
            ends = [cluster + place - HALF_WIDTH, cluster + place + HALF_WIDTH]
            axis.plot(ends, [mean, mean], color=NEUTRAL if reasons[cluster] else INK, linewidth=1.2)


def _cluster_labels(analysis: Analysis, reasons: list[str]) -> list[str]:
    """The text below each cluster: number, sizes, class counts, and why it is not compared."""
    labels = []
    for cluster in range(analysis.k):
        label = analysis.train.loc[analysis.train["cluster"] == cluster, "label"]
        counts = np.bincount(label, minlength=len(analysis.class_names))
        tested = int((analysis.test["cluster"] == cluster).sum())
        lines = [str(cluster), f"{counts.sum()} train, {tested} test"]
        if len(counts) <= MOST_CLASSES:
            lines += [f"{count} {_short(name, 16)}" for count, name in zip(counts, analysis.class_names, strict=True)]
        if reasons[cluster]:
            lines += ["not compared:", *_wrapped(reasons[cluster])]
        labels.append("\n".join(lines))
    return labels


def _wrapped(text: str, width: int = 20) -> list[str]:
    return textwrap.wrap(text, width)


def _short(name: str, length: int) -> str:
    return name if len(name) <= length else f"{name[: length - 1]}…"


def _retraining_legend(axis: Axes) -> None:
    handles = [
        Line2D([], [], marker="D", linestyle="", color=INK, markersize=6, label="the cluster's own model"),
        *(
            Line2D([], [], marker="o", linestyle="", color=ARM_COLORS[arm], markersize=5, label=ARM_NAMES[arm])
            for arm in CONTROL_ARMS
        ),
        Line2D([], [], color=INK, linewidth=1.2, label="their mean"),
    ]
    axis.legend(handles=handles, loc="lower left", bbox_to_anchor=(0, 1), ncols=2, borderaxespad=0.2, handletextpad=0.4,
                columnspacing=1.2)  # fmt: skip


@styled
def draw_gain(test: LabelTest | None, verdict: str, level: float) -> Figure:
    """The observed gain G among the gains under redrawn labels; a plain text where there is no test.

    The bars are the draws of the linear rule. The outline is those of the curved rule, where it predicts better: the
    verdict must then reject both, so that G must exceed both critical lines.

    Args:
        test: the verdict's test.
        verdict: in words.
        level: at which the test rejects.
    """
    if test is None or not np.isfinite(test.gain) or not np.isfinite(test.draws).any():
        missing = "the study leaves the arm “labels” out" if test is None else "no cluster can be compared"
        return sentence(f"{verdict}\nno test: {missing}")
    figure = Figure(figsize=(WIDTH, 3.6), layout="constrained")
    axis = figure.subplots()
    linear, curved = (draws[np.isfinite(draws)] for draws in (test.draws, test.nonlinear_draws))
    both = not np.array_equal(linear, curved)
    bins = np.histogram_bin_edges(np.concatenate([linear, curved]), bins=_bins(linear)).tolist()
    axis.hist(linear, bins=bins, color=PALETTE[4], edgecolor="white", linewidth=0.5,
              label=f"{len(linear)} label sets of the linear rule")  # fmt: skip
    if both:
        axis.hist(curved, bins=bins, histtype="step", color=INK, linewidth=1.2, gid="curved",
                  label=f"{len(curved)} of the curved rule")  # fmt: skip
    for name, draws, color in [("linear", linear, PALETTE[0]), ("curved", curved, INK)][: 1 + both]:
        if (needed := critical_gain(draws, level)) is not None:
            axis.axvline(needed, color=color, linewidth=1, linestyle="--", gid=f"critical-{name}",
                         label=f"to be exceeded at level {level:g}")  # fmt: skip
    axis.axvline(test.gain, color=PALETTE[5], linewidth=2.2, label=f"observed: {test.gain:.3g}", gid="observed")
    axis.margins(x=0.06)
    axis.yaxis.set_major_locator(MaxNLocator(integer=True))
    axis.set_ylabel("label sets")
    axis.set_xlabel("gain G of the clusters' own heads over the pooled head (log loss an image)")
    p = f"p = {test.p:.3g}" + f" (linear rule), {test.p_nonlinear:.3g} (curved rule)" * both
    axis.set_title(f"{verdict}: {p}", pad=22 + 13 * both)
    axis.legend(loc="lower left", bbox_to_anchor=(0, 1), ncols=3, borderaxespad=0.2, columnspacing=1.2)
    return figure


def _bins(draws: np.ndarray) -> int:
    return int(np.clip(np.sqrt(len(draws)) * 1.5, 8, 40))


@styled
def draw_power(test: LabelTest | None, level: float) -> Figure:
    """How often rules of the clusters' own would be found, over the accuracy at stake; a plain text where unknown.

    Args:
        test: the verdict's test.
        level: at which the test rejects, which is what equal rules would be found in.
    """
    if test is None or test.power.empty:
        missing = "leaves the arm “labels” out" if test is None else "sets “power” to 0"
        return sentence(f"power not measured:\nthe study {missing}")
    figure = Figure(figsize=(WIDTH, 3.6), layout="constrained")
    axis = figure.subplots()
    table, points = test.power, 100 * test.power["gap"].to_numpy()
    power, low, high = (table[name].to_numpy() for name in ("power", "power_low", "power_high"))
    axis.errorbar(points, power, yerr=[power - low, high - power], fmt="o-", color=PALETTE[0], markersize=6, capsize=3,
                  label="found (95 % interval)", gid="power")  # fmt: skip
    for point, share, degrees in zip(points, power, table["degrees"], strict=True):
        place = (5, -11 if share > LOW_POWER else 5)  # not over the axis
        axis.annotate(f"{degrees}°", (point, share), xytext=place, textcoords="offset points", fontsize=8)
    axis.axhline(POWER, color=INK, linewidth=1, linestyle="--", label=f"{POWER:.0%}", gid="wanted")
    axis.axhline(level, color=NEUTRAL, linewidth=1, linestyle=":", label=f"level {level:g}", gid="level")
    if test.detectable is not None:
        axis.axvline(100 * test.detectable, color=PALETTE[5], linewidth=1.6, gid="detectable",
                     label=f"found in {POWER:.0%}: {100 * test.detectable:.1f} points")  # fmt: skip
    axis.set_ylim(-0.03, 1.03)
    axis.set_xlim(left=0)
    axis.set_ylabel("share of label sets that are found")
    axis.set_xlabel("accuracy at stake, in points (and the angle between the clusters' rules)")
    axis.set_title("What this study could find", pad=22)
    axis.legend(loc="lower left", bbox_to_anchor=(0, 1), ncols=4, borderaxespad=0.2, columnspacing=1.2)
    return figure


@styled
def draw_transfer(table: pd.DataFrame, metric: str) -> Figure:
    """Heat map of each cluster's model (rows) on each cluster's test images (columns); few images are hatched.

    Args:
        table: `comparison.transfer_table` of one backbone and clustering.
        metric: the name of its column of values.
    """
    table = table.sort_values(["model", "tested_on"])
    k = table["model"].nunique()
    value, images, few = (table[name].to_numpy().reshape(k, k) for name in (metric, "images", "few"))
    side = float(np.clip(0.85 * k, 3.0, 12))
    figure = Figure(figsize=(side + 2.1, side + 1.1), layout="constrained")
    axis = figure.subplots()
    axis.set_facecolor(MISSING)
    known = value[np.isfinite(value)]
    lowest = min(0.9, np.floor(known.min() * 10) / 10) if len(known) else 0.0
    image = axis.imshow(np.ma.masked_invalid(value), cmap=HEAT, vmin=lowest, vmax=1)
    for (row, column), number in np.ndenumerate(value):
        if few[row, column]:
            axis.add_patch(Rectangle((column - 0.5, row - 0.5), 1, 1, fill=False, hatch="///", edgecolor=NEUTRAL,
                                     linewidth=0))  # fmt: skip
        if k <= MOST_VALUES:
            _write_cell(
                axis,
                row,
                column,
                number,
                int(images[row, column]),
                dark=number > lowest + DARK_SHARE * (1 - lowest),
                boxed=bool(few[row, column]),
            )
    axis.set_xticks(range(k))
    axis.set_yticks(range(k))
    axis.tick_params(length=0)
    axis.spines[:].set_visible(False)
    axis.set_xlabel("tested on the test images of cluster")
    axis.set_ylabel("model of cluster")
    axis.set_title(f"Transfer: {metric_name(metric)} of each cluster's model\n", pad=4)
    axis.text(0, 1.015, _transfer_note(few), transform=axis.transAxes, fontsize=8, va="bottom")
    bar = figure.colorbar(image, ax=axis, shrink=0.8, label=metric_name(metric))
    bar.outline.set_visible(False)  # type: ignore[operator]
    return figure


def _write_cell(axis: Axes, row: int, column: int, value: float, images: int, *, dark: bool, boxed: bool) -> None:
    """Value and number of test images; in a box where lines would cross them."""
    text = f"{value:.3f}" if np.isfinite(value) else "–"
    axis.text(
        column, row, f"{text}\nn = {images}", ha="center", va="center", fontsize=8.5,
        color="white" if dark and not boxed else INK,
        bbox={"facecolor": "white", "edgecolor": "none", "pad": 2} if boxed else None,
    )  # fmt: skip


def _transfer_note(few: np.ndarray) -> str:
    return "n: test images; hatched: too few to say anything" if few.any() else "n: test images"


@styled
def draw_baseline(table: pd.DataFrame, metric: str) -> Figure:
    """The pooled head on each cluster's test images, with the whole test set as a line; bars are 95 % intervals.

    Args:
        table: `comparison.baseline_table` of one backbone and clustering.
        metric: the name of its column of values.
    """
    whole = table[table["cluster"] == "all"].iloc[0]
    clusters = table[table["cluster"] != "all"].reset_index(drop=True)
    figure = Figure(figsize=(_width(len(clusters)), 3.6), layout="constrained")
    axis = figure.subplots()
    axis.axhline(whole[metric], color=NEUTRAL, linestyle="--", label=f"whole test set: {whole[metric]:.3f}"
                 f" (n = {whole['test_size']})", gid="whole")  # fmt: skip
    axis.vlines(clusters.index, clusters[f"{metric}_low"], clusters[f"{metric}_high"], color=PALETTE[0],
                label="95 % interval over patients", gid="intervals")  # fmt: skip
    axis.plot(clusters.index, clusters[metric], "o", color=PALETTE[0], markersize=7, label="the cluster's test images")
    for place, value in clusters[metric].items():
        if np.isfinite(value):
            axis.annotate(f"{value:.3f}", (float(str(place)), value), xytext=(8, 0), textcoords="offset points",
                          va="center", fontsize=8)  # fmt: skip
        else:
            axis.text(float(str(place)), 0.5, "not defined", transform=axis.get_xaxis_transform(), ha="center",
                      color=NEUTRAL)  # fmt: skip
    names = [f"{row.cluster}\nn = {row.test_size}" for row in clusters.itertuples()]
    axis.set_xticks(clusters.index, names)
    axis.tick_params(axis="x", length=0)
    axis.set_xlim(-0.5, len(clusters) - 0.5)
    axis.margins(y=0.15)
    axis.set_ylim(top=min(axis.get_ylim()[1], HIGHEST))
    axis.grid(axis="y")
    axis.set_xlabel("cluster (n: test images)")
    axis.set_ylabel(metric_name(metric))
    axis.set_title("The head trained on all clusters, tested on each", pad=22)
    axis.legend(loc="lower left", bbox_to_anchor=(0, 1), ncols=3, borderaxespad=0.2, columnspacing=1.2)
    return figure
