"""Figures of predicted numbers."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import numpy as np
from matplotlib.figure import Figure

from heteroscope.evaluation.models import Scores
from heteroscope.evaluation.regressions import MEASURES
from heteroscope.figures.style import NEUTRAL, PALETTE, styled

SIDE = 4.4  # inches


@styled
def draw_predicted(predicted: np.ndarray, target: np.ndarray, scores: Scores, *, mean: float, name: str) -> Figure:
    """Predicted against true values of the test images, both on one scale, with the line where they are equal.

    Args:
        predicted: (n,), means over seeds.
        target: (n,).
        scores: `regressions.error_scores`.
        mean: of the training target.
        name: of the target.
    """
    figure = Figure(figsize=(SIDE, SIDE + 1.0), layout="constrained")
    axis = figure.subplots()
    both = np.concatenate([predicted, target])
    low, high = float(both.min()), float(both.max())
    room = 0.04 * (high - low or 1.0)
    limits = (low - room, high + room)
    axis.plot(limits, limits, color=NEUTRAL, linewidth=1.0, label="equal")
    axis.axhline(mean, color=PALETTE[5], linewidth=1.0, linestyle="--", label=f"training mean ({mean:.3g})")
    axis.scatter(target, predicted, s=16, color=PALETTE[0], alpha=0.6, linewidths=0)
    axis.set(xlim=limits, ylim=limits, aspect="equal", xlabel=f"true {name}", ylabel=f"predicted {name}")
    axis.grid()
    axis.set_title(f"Predicted and true {name}, {len(target)} test images")
    figure.legend(loc="outside lower left", ncols=2)
    text = "\n".join(_told(MEASURES[measure], score) for measure, score in scores.items())
    axis.text(0.03, 0.97, text, transform=axis.transAxes, va="top", fontsize=8,
              bbox={"facecolor": "white", "edgecolor": "none", "alpha": 0.8, "pad": 2})  # fmt: skip
    return figure


def stands_on(summary: Mapping[str, Any]) -> str:
    """The footer of `draw_predicted`: what must be known before its numbers are believed, from metrics.json."""
    few = f"few test patients ({summary['test_patients']}): no intervals"
    told = [
        summary["regressor"]["method"],
        few if summary["few"] else "95 % intervals",
        f"weights: {summary['weights']}",
    ]
    for name, total in (("images", summary["rows"]["test"]), ("patients", summary["test_patients"])):
        if seen := summary[f"test_{name}_in_training"]:
            told.append(f"{seen} of {total} test {name} also in training")
    return "; ".join(told)


def _told(name: str, score: dict[str, float]) -> str:
    """A score with its interval, where they are defined."""
    mean, low, high = (f"{score[key]:.3g}".replace("-", "−") for key in ("mean", "low", "high"))
    if np.isnan(score["mean"]):
        return f"{name} not defined"
    return f"{name} {mean}" if np.isnan(score["low"]) else f"{name} {mean} ({low} to {high})"
