"""How the verdict depends on the clustering and on the backbone: every analysis of a study in one table."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import numpy as np
import pandas as pd
from sklearn.metrics import adjusted_rand_score

from heteroscope.config import StudyContext
from heteroscope.evaluation.analysis import Analysis
from heteroscope.evaluation.comparison import provenance_of
from heteroscope.evaluation.statistics import holm
from heteroscope.evaluation.verdict import LabelTest, decide, leaked_images, not_assessable


def sensitivity_table(
    context: StudyContext, analyses: Sequence[Analysis], tests: Sequence[LabelTest | None], split: pd.DataFrame
) -> pd.DataFrame:
    """One row a backbone and clustering, in the study's order.

    Args:
        context: the study.
        analyses: of the study.
        tests: of each analysis.
        split: which image stands in which part.

    Returns:
        backbone, clustering, method, k and whether it is the `primary` analysis; its silhouette; the adjusted Rand
        index over bootstraps (`ari_bootstraps`, without `failed_bootstraps`) and seeds (`ari_seeds`), of the same
        clustering with the other backbones, on average (`ari_backbones`), and of the primary analysis
        (`ari_with_primary`); the `verdict` that it would give if it were the primary one; compared clusters and tested
        images; G (`gain`), p, p_nonlinear, and the accuracy gain with its 90 % interval, which are NaN where the
        analysis cannot answer at all; `p_holm`, the larger p of both rules, adjusted over the rows but the primary; and
        what it stands on.
    """
    axes = context.study.primary
    primary = next(a for a in analyses if (a.backbone, a.clustering) == (axes.backbone, axes.clustering))
    rows = [
        {"backbone": analysis.backbone, "clustering": analysis.clustering}
        | _clustering(context, analysis)
        | {"primary": analysis is primary}
        | _agreements(analysis, analyses, primary)
        | _answer(context, analysis, test, leaked_images(context, analysis.backbone, split))
        | provenance_of(analysis)
        for analysis, test in zip(analyses, tests, strict=True)
    ]
    table = pd.DataFrame(rows)
    others = ~table["primary"].to_numpy(dtype=bool)
    table.loc[others, "p_holm"] = holm(table.loc[others, ["p", "p_nonlinear"]].max(axis=1).to_numpy(dtype=float))
    return table


def agreement(one: Analysis, other: Analysis) -> float:
    """The adjusted Rand index of the clusters that two analyses give to the original images."""
    clusters = [a.assignments[a.assignments["view"] == 0].set_index("image_id")["cluster"] for a in (one, other)]
    both = pd.concat(clusters, axis=1, join="inner").to_numpy()
    return float(adjusted_rand_score(both[:, 0], both[:, 1]))


def _clustering(context: StudyContext, analysis: Analysis) -> dict[str, Any]:
    spec, stability = context.clusterings[analysis.clustering], analysis.stability
    return {
        "method": spec.method,
        "k": spec.k,
        "silhouette": _number(analysis.silhouette),
        "ari_bootstraps": _number(stability["bootstraps"]["mean"]),
        "failed_bootstraps": stability["bootstraps"]["failed"],
        "ari_seeds": _number(stability["seeds"]["mean"] if stability["seeds"] else None),
    }


def _agreements(analysis: Analysis, analyses: Sequence[Analysis], primary: Analysis) -> dict[str, float]:
    others = [a for a in analyses if a.clustering == analysis.clustering and a is not analysis]
    return {
        "ari_backbones": float(np.mean([agreement(analysis, other) for other in others])) if others else np.nan,
        "ari_with_primary": agreement(analysis, primary),
    }


def _answer(context: StudyContext, analysis: Analysis, test: LabelTest | None, leaked: int) -> dict[str, Any]:
    """What an analysis would have answered as the primary one."""
    verdict, _ = decide(context, analysis.backbone, test, leaked=leaked)
    told = None if not_assessable(context, analysis.backbone, test, leaked=leaked) else test
    low, high = told.interval if told else (np.nan, np.nan)
    return {
        "verdict": verdict,
        "compared_clusters": len(test.eligible) if test else 0,
        "images": test.images if test else 0,
        "gain": told.gain if told else np.nan,
        "p": told.p if told else np.nan,
        "p_holm": np.nan,
        "p_nonlinear": told.p_nonlinear if told else np.nan,
        "accuracy_gain": told.accuracy_gain if told else np.nan,
        "accuracy_gain_low": low,
        "accuracy_gain_high": high,
    }


def _number(value: float | None) -> float:
    return np.nan if value is None else value
