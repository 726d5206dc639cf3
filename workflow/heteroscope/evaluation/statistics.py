"""Statistics of the comparison. Formulas and sources stand beside each."""

from __future__ import annotations

import numpy as np
import pandas as pd
from scipy.stats import spearmanr
from statsmodels.stats.proportion import proportion_confint

BOOTSTRAPS = 2000


def permutation_p(observed: float, draws: np.ndarray) -> float:
    """(1 + #{draws ≥ observed}) / (draws + 1); NaN draws do not count (Phipson and Smyth, 2010)."""
    valid = draws[np.isfinite(draws)]
    if not np.isfinite(observed) or len(valid) == 0:
        return float("nan")
    return float((1 + (valid >= observed - 1e-12).sum()) / (len(valid) + 1))


def critical_gain(draws: np.ndarray, level: float) -> float | None:
    """The draw that must be exceeded for `permutation_p` ≤ level; None where the draws are too few for the level."""
    allowed = int(np.floor(level * (len(draws) + 1) + 1e-9))
    return float(np.sort(draws)[-allowed]) if allowed >= 1 else None


def p_interval(p: float, draws: int, *, share: float = 0.95) -> tuple[float, float]:
    """Where the p of endless draws lies: the interval of Clopper and Pearson (1934) for the share of draws ≥ observed.

    Args:
        p: of `permutation_p`.
        draws: how many it rests on.
        share: of the intervals that hold the true value, at least.
    """
    if not np.isfinite(p) or draws == 0:
        return float("nan"), float("nan")
    low, high = proportion_confint(round(p * (draws + 1)) - 1, draws, alpha=1 - share, method="beta")
    return float(low), float(high)


def two_sided_permutation_p(observed: float, draws: np.ndarray) -> float:
    """p of |value − centre|; the centre is the mean of the draws with the observed one among them."""
    centre = np.nanmean(np.append(draws, observed))
    return permutation_p(abs(observed - centre), np.abs(draws - centre))


def holm(p: np.ndarray) -> np.ndarray:
    """Holm-adjusted p-values; NaN stays NaN and does not count.

    Step by step from the smallest (Holm, 1979); statsmodels' function collects garbage at every call, which takes far
    longer than the adjustment.
    """
    adjusted = np.full(len(p), np.nan)
    rising = np.argsort(p)[: np.isfinite(p).sum()]
    adjusted[rising] = np.minimum(np.maximum.accumulate(p[rising] * np.arange(len(rising), 0, -1)), 1.0)
    return adjusted


def omnibus(metric: np.ndarray, size: np.ndarray) -> np.ndarray:
    """T = Σ_c (n_c / n) (m̄(c) − m̄)², m̄ the weighted mean; over the last axis, NaN parts left out.

    Args:
        metric: (..., k) metric of each part's model.
        size: (..., k) training rows of each part.
    """
    weight = np.where(np.isfinite(metric), size, 0.0)
    with np.errstate(invalid="ignore"):  # without any part T is NaN
        weight = weight / weight.sum(axis=-1, keepdims=True)
    filled = np.nan_to_num(metric)
    mean = (weight * filled).sum(axis=-1, keepdims=True)
    return np.asarray((weight * (filled - mean) ** 2).sum(axis=-1))


def compared_omnibus(metric: np.ndarray, size: np.ndarray, compared: np.ndarray) -> np.ndarray:
    """T over the compared parts alone, (..., k) bool; NaN where fewer than two have a metric."""
    metric = np.where(compared, metric, np.nan)
    return np.where(np.isfinite(metric).sum(axis=-1) >= 2, omnibus(metric, size), np.nan)


def bootstrap_interval(
    value: np.ndarray, group: np.ndarray, *, seed: int, share: float = 0.9, bootstraps: int = BOOTSTRAPS
) -> tuple[float, float]:
    """A percentile interval of the mean of `value` (n,), resampling whole patients with replacement.

    It is conditional on clusters and heads: neither is drawn again.
    """
    sums = pd.DataFrame({"value": value, "one": 1.0}).groupby(pd.factorize(group)[0]).sum().to_numpy()
    generator = np.random.default_rng(seed)
    weight = generator.multinomial(len(sums), np.full(len(sums), 1 / len(sums)), size=bootstraps)
    means = (weight @ sums[:, 0]) / (weight @ sums[:, 1])
    low, high = np.quantile(means, [(1 - share) / 2, (1 + share) / 2])
    return float(low), float(high)


def spearman(x: np.ndarray, y: np.ndarray) -> float:
    """Spearman's ρ; NaN where a side is constant or fewer than three pairs are finite."""
    valid = np.isfinite(x) & np.isfinite(y)
    if valid.sum() < 3 or np.ptp(x[valid]) == 0 or np.ptp(y[valid]) == 0:
        return float("nan")
    return float(spearmanr(x[valid], y[valid]).statistic)


def cramers_v(a: np.ndarray, b: np.ndarray) -> float:
    """Cramér's V of two labellings: √(χ² / (n · (min(rows, columns) − 1))), without bias correction."""
    (rows, a), (columns, b) = (np.unique(side, return_inverse=True) for side in (a, b))
    shape = (len(rows), len(columns))
    if min(shape) < 2:
        return float("nan")
    table = np.bincount(a * shape[1] + b, minlength=shape[0] * shape[1]).reshape(shape).astype(float)
    n = table.sum()
    expected = table.sum(axis=1, keepdims=True) * table.sum(axis=0, keepdims=True) / n
    return float(np.sqrt(((table - expected) ** 2 / expected).sum() / (n * (min(shape) - 1))))


def eta_squared(value: np.ndarray, label: np.ndarray) -> float:
    """η²: the share of the variance of `value` that lies between the groups of `label`."""
    if np.ptp(value) == 0:
        return float("nan")
    centred = value - value.mean()
    total = (centred**2).sum()
    _, label = np.unique(label, return_inverse=True)
    size = np.bincount(label)
    return float((np.bincount(label, weights=centred) ** 2 / size).sum() / total)
