"""Statistics of the comparison. Formulas and sources stand beside each."""

from __future__ import annotations

import numpy as np
from scipy.optimize import isotonic_regression
from scipy.stats import spearmanr
from statsmodels.stats.proportion import proportion_confint


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


def first_reached(at: np.ndarray, share: np.ndarray, wanted: float) -> float | None:
    """Where a share that rises with `at` reaches the wanted one, linear between two places; None if it does not.

    A share that falls by chance from one place to the next is averaged first (isotonic regression). Below the first
    place nothing is known: it is the answer where its share suffices.

    Args:
        at: (n,) rising.
        share: (n,) measured there.
        wanted: the share.
    """
    rising = isotonic_regression(share).x if len(share) else share
    reached = np.flatnonzero(rising >= wanted - 1e-9)
    if not len(reached):
        return None
    last = reached[0]
    return float(at[0] if last == 0 else np.interp(wanted, rising[last - 1 : last + 1], at[last - 1 : last + 1]))


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
