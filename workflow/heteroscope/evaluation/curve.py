"""What the curve over training size says: values by size, folds merged, the gain of the last doubling."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import asdict, dataclass
from typing import Any

import numpy as np
import pandas as pd
from scipy.stats import t as student

AXES = ["share", "repeat", "seed"]
SIZES = ["training_images", "training_rows"]
EXPECTED = 0.95  # share of random subsets that the band is meant to hold
HARDLY = 0.01  # a gain that is not worth more images


@dataclass(frozen=True)
class Doubling:
    """From random halves of the training images to all of them.

    Attributes:
        gain: of the metric.
        interval_95: of the gain, if the full set's value varies as the halves' values do.
    """

    gain: float
    interval_95: tuple[float, float]


def merge_folds(curves: Sequence[pd.DataFrame]) -> pd.DataFrame:
    """The curve of a cross-validation: means over folds of every size, random order and seed.

    Sizes that a fold lacks are left out; the images of folds, which may differ by a few, are means too.

    Args:
        curves: one a fold, as `training.curve.training_curve` makes them.
    """
    shares = set.intersection(*(set(curve["share"]) for curve in curves))
    whole = pd.concat([curve[curve["share"].isin(shares)] for curve in curves])
    return whole.groupby(AXES, as_index=False).mean()


def points(curve: pd.DataFrame, metric: str) -> pd.DataFrame:
    """A metric by size: a row a share, the full set last.

    A subset's value is its mean over seeds; `mean`, `sd` and the quartiles `q25` and `q75` are over the `subsets` of a
    size. A further random subset is expected between `low` and `high` in 95 %: mean ± t₀.₉₇₅ · sd · √(1 + 1 / subsets),
    the prediction interval of a normal variable. Of the full set there is one: it has no spread, and low and high are
    its value.
    """
    by_subset = curve.groupby(["share", "repeat"])[[*SIZES, metric]].mean()
    by_share = by_subset.groupby("share")
    value = by_share[metric]
    table = by_share[SIZES].mean().assign(subsets=value.count(), mean=value.mean(), sd=value.std(ddof=1))
    table = table.assign(q25=value.quantile(0.25), q75=value.quantile(0.75))
    width = prediction_width(table["sd"].to_numpy(), table["subsets"].to_numpy())
    return table.assign(low=table["mean"] - width, high=table["mean"] + width).reset_index()


def prediction_width(sd: np.ndarray, number: np.ndarray) -> np.ndarray:
    """Half the width of the interval that a further value is expected in: (n,), 0 where there is a single value."""
    single = number < 2
    freedom = np.where(single, 1, number - 1)
    width = student.ppf((1 + EXPECTED) / 2, freedom) * sd * np.sqrt(1 + 1 / number)
    return np.where(single, 0.0, width)


def last_doubling(curve: pd.DataFrame, metric: str) -> Doubling | None:
    """What the second half of the training images adds; None where half of them are too few to train on."""
    if curve["share"].nunique() < 2:
        return None
    half, full = points(curve, metric).iloc[-2:].to_dict("records")
    gain, width = full["mean"] - half["mean"], half["high"] - half["mean"]
    return Doubling(gain, (gain - width, gain + width))


def curve_document(curve: pd.DataFrame, metric: str) -> dict[str, Any]:
    """The curve as verdict.json has it."""
    shown = points(curve, metric)[["share", "training_images", "subsets", "mean", "sd"]]
    doubling = last_doubling(curve, metric)
    return {
        "metric": metric,
        "sizes": shown.to_dict("records"),
        "last_doubling": asdict(doubling) if doubling else None,
    }


def curve_sentence(curve: pd.DataFrame, metric: str) -> str:
    """What more images would do, in plain words."""
    doubling = last_doubling(curve, metric)
    if doubling is None:
        return "The training set is too small for a curve over its size."
    half, full = points(curve, metric).iloc[-2:].to_dict("records")
    low, high = doubling.interval_95
    if low > 0:
        answer = "more images would probably help"
    elif high < 0:
        answer = "the second half of the images did harm"
    elif high < HARDLY:
        answer = "more images would hardly help"
    else:
        answer = "halves differ as much by chance, so that this study cannot tell whether more images would help"
    return (
        f"With {half['training_images']:.0f} of the {full['training_images']:.0f} training images (mean of"
        f" {half['subsets']} random subsets) the pooled head's {metric} is {half['mean']:.1%}, with all of them"
        f" {full['mean']:.1%} ({100 * doubling.gain:+.1f} points, 95 % interval {100 * low:+.1f} to {100 * high:+.1f},"
        f" from the spread of the halves): {answer}."
    )
