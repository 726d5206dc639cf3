"""Which features tell the classes apart, one by one, and which of them say the same."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any, Literal

import numpy as np
import pandas as pd
from scipy import stats
from scipy.cluster.hierarchy import fcluster, linkage
from scipy.spatial.distance import squareform

from heteroscope.errors import DataError
from heteroscope.evaluation.intervals import sums_by_patient

Test = Literal["mean", "rank"]
Unit = Literal["patient", "image"]
Part = Literal["train", "test"]
FEWEST = 2  # units of a class that a test needs
COLUMNS = ("test", "statistic", "p", "q", "effect", "measure")  # of the table of tests, between feature and means
MOST_CORRELATED = 4_096  # features whose correlations are held at once


@dataclass(frozen=True)
class Units:
    """What counts as one observation.

    Attributes:
        features: (m, d) float64.
        label: (m,) int.
    """

    features: np.ndarray
    label: np.ndarray


def units_of(features: np.ndarray, label: np.ndarray, group: np.ndarray, unit: Unit) -> Units:
    """Images, or the means of each patient's images of a class.

    Images of one patient are no independent observations: tests that take them for such find too much. A patient
    with images of several classes is one observation of each.

    Args:
        features: (n, d).
        label: (n,) int.
        group: (n,) patients.
        unit: what a test counts.
    """
    if unit == "image":
        return Units(features.astype(np.float64), label)
    pairs = pd.DataFrame({"group": group, "label": label})
    number = pairs.groupby(["group", "label"], sort=True).ngroup().to_numpy()
    first = pairs.groupby(number)["label"].first().to_numpy()
    sums = sums_by_patient(features.astype(np.float64), number, len(first))
    return Units(sums / np.bincount(number)[:, None], first)


def too_few(units: Units, class_names: Sequence[str]) -> str:
    """Which class has too few units for tests of features, in words; empty where every class has enough."""
    counts = {name: int((units.label == number).sum()) for number, name in enumerate(class_names)}
    few = [
        f"class {name}: {count} patients or images to test features on"
        for name, count in counts.items()
        if count < FEWEST
    ]
    return f"{few[0]}; a test needs {FEWEST}" if few else ""


def feature_table(units: Units, class_names: Sequence[str], test: Test = "mean") -> pd.DataFrame:
    """A test of every feature between the classes, the smallest p first.

    Two classes: Welch's t-test with Cohen's d, or the Mann–Whitney test with the rank-biserial correlation, both of
    the second class against the first. More: the analysis of variance with η², or the Kruskal–Wallis test with ε².

    Args:
        units: see `units_of`.
        class_names: in the order of labels.
        test: of means or of ranks.

    Returns:
        Columns feature (its number), test, statistic, p, q (Benjamini and Hochberg, 1995), effect, its name `measure`,
        and `mean_<class>`. A feature that never varies has no p, and no part in q.

    Raises:
        DataError: a class has fewer than two units.
    """
    if reason := too_few(units, class_names):
        raise DataError(f"{reason}: give this part of the split more patients, or take `features` out of the study")
    parts = [units.features[units.label == number] for number in range(len(class_names))]
    with np.errstate(divide="ignore", invalid="ignore"):
        found = _TESTS[test, len(parts) == 2](parts)
    varies = np.ptp(units.features, axis=0) > 0
    p = np.where(varies, found["p"], np.nan)
    table = pd.DataFrame({"feature": np.arange(len(p)), "test": found["test"], "statistic": found["statistic"], "p": p})
    known = np.isfinite(p)
    table["q"] = np.nan
    table.loc[known, "q"] = stats.false_discovery_control(p[known]) if known.any() else np.nan
    table["effect"], table["measure"] = found["effect"], found["measure"]
    table.loc[~varies, ["statistic", "effect"]] = np.nan
    means = {f"mean_{name}": part.mean(axis=0) for name, part in zip(class_names, parts, strict=True)}
    order = np.lexsort((np.arange(len(p)), -np.abs(np.nan_to_num(table["effect"])), p))
    return table.assign(**means).iloc[order].reset_index(drop=True)


def _welch(parts: Sequence[np.ndarray]) -> dict[str, Any]:
    """Cohen's d with the pooled spread (Cohen, 1988)."""
    first, second = parts
    found = stats.ttest_ind(second, first, axis=0, equal_var=False)
    degrees = len(first) + len(second) - 2
    pooled = ((len(first) - 1) * first.var(axis=0, ddof=1) + (len(second) - 1) * second.var(axis=0, ddof=1)) / degrees
    effect = (second.mean(axis=0) - first.mean(axis=0)) / np.sqrt(pooled)
    return {
        "test": "Welch's t",
        "statistic": found.statistic,
        "p": found.pvalue,
        "effect": effect,
        "measure": "Cohen's d",
    }


def _mann_whitney(parts: Sequence[np.ndarray]) -> dict[str, Any]:
    """The rank-biserial correlation, 2U / (n₁ n₂) − 1 (Wendt, 1972)."""
    first, second = parts
    found = stats.mannwhitneyu(second, first, axis=0)
    effect = 2 * found.statistic / (len(first) * len(second)) - 1
    measure = "rank-biserial correlation"
    return {
        "test": "Mann–Whitney U",
        "statistic": found.statistic,
        "p": found.pvalue,
        "effect": effect,
        "measure": measure,
    }


def _anova(parts: Sequence[np.ndarray]) -> dict[str, Any]:
    """η² = (k − 1) F / ((k − 1) F + n − k)."""
    found = stats.f_oneway(*parts, axis=0)
    between, within = len(parts) - 1, sum(map(len, parts)) - len(parts)
    effect = between * found.statistic / (between * found.statistic + within)
    return {"test": "ANOVA F", "statistic": found.statistic, "p": found.pvalue, "effect": effect, "measure": "η²"}


def _kruskal(parts: Sequence[np.ndarray]) -> dict[str, Any]:
    """ε² = H / (n − 1) (Kelley, 1935; Tomczak and Tomczak, 2014)."""
    found = stats.kruskal(*parts, axis=0)
    effect = found.statistic / (sum(map(len, parts)) - 1)
    return {
        "test": "Kruskal–Wallis H",
        "statistic": found.statistic,
        "p": found.pvalue,
        "effect": effect,
        "measure": "ε²",
    }


# test, whether there are two classes → the function
_TESTS = {("mean", True): _welch, ("rank", True): _mann_whitney, ("mean", False): _anova, ("rank", False): _kruskal}


@dataclass(frozen=True)
class Correlations:
    """How features go together.

    Attributes:
        feature: (f,) int, their numbers.
        r: (f, f) Pearson correlations.
        tree: their linkage, complete, over 1 − |r|.
        redundant: (f,) int from 1; in a group every pair has at least the threshold's |r|.
    """

    feature: np.ndarray
    r: np.ndarray
    tree: np.ndarray
    redundant: np.ndarray


def correlate(values: np.ndarray, feature: np.ndarray, threshold: float) -> Correlations:
    """The correlations of some features and the groups of redundant ones.

    Args:
        values: (m, d) of the units.
        feature: (f,) int, columns that vary, the most telling first; beyond `MOST_CORRELATED` they are left out.
        threshold: of |r|.
    """
    feature = feature[:MOST_CORRELATED]
    r = np.clip(np.atleast_2d(np.corrcoef(values[:, feature], rowvar=False)), -1, 1)
    if len(feature) < 2:
        return Correlations(feature, r, np.empty((0, 4)), np.ones(len(feature), dtype=int))
    distance = 1 - np.abs(r)
    np.fill_diagonal(distance, 0)
    tree = linkage(squareform(distance, checks=False), "complete")
    return Correlations(feature, r, tree, fcluster(tree, 1 - threshold + 1e-12, "distance"))


def redundancy_table(found: Correlations) -> pd.DataFrame:
    """A row a feature that goes with others: group, feature, the group's `representative` and r with it.

    The representative is the most telling feature of its group. Groups of one are left out; the largest comes first.
    """
    place = np.arange(len(found.feature))
    table = pd.DataFrame({"group": found.redundant, "place": place})
    first = table.groupby("group")["place"].transform("min").to_numpy()
    table = table.assign(feature=found.feature, representative=found.feature[first], r=found.r[place, first])
    table["features"] = table.groupby("group")["place"].transform("size")
    table = table[table["features"] > 1].sort_values(["features", "group", "place"], ascending=[False, True, True])
    table["group"] = pd.factorize(table["group"])[0] + 1
    return table[["group", "features", "representative", "feature", "r"]].reset_index(drop=True)
