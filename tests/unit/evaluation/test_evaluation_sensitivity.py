"""Every analysis of a study in one table: what each would answer, and how far their clusters agree."""

from __future__ import annotations

from dataclasses import replace
from itertools import combinations
from typing import Any

import numpy as np
import pandas as pd
import pytest
from statsmodels.stats.multitest import multipletests

from heteroscope import config
from heteroscope.evaluation.analysis import Analysis
from heteroscope.evaluation.sensitivity import agreement, sensitivity_table
from heteroscope.evaluation.verdict import LabelTest, label_test

KEPT = [("a", "k3"), ("a", "k4"), ("b", "k3"), ("b", "k4"), ("c", "k3"), ("c", "k4")]


def study_context(controls: config.Controls) -> config.StudyContext:
    """Backbone c was trained on T, whose labels are redrawn."""
    net = config.Backbone(model="small-cnn", weights="net.pt", pixels="square")
    tuned = net.model_copy(update={"weights": "trained", "finetune": config.Finetune(share="train")})
    return config.StudyContext(
        id="tiny",
        study=config.Study(
            dataset="eyes",
            split="holdout",
            backbones=["a", "b", "c"],
            clusterings=["k3", "k4"],
            head="linear",
            controls="few",
            primary=config.Primary(backbone="a", clustering="k4"),
        ),
        dataset=config.FolderDataset(adapter="folder", root="eyes", classes={"normal": ["n"], "disease": ["d"]}),
        split=config.Split(),
        augmentation=None,
        backbones={"a": net, "b": net, "c": tuned},
        clusterings={"k3": config.Clustering(k=3, seed=1), "k4": config.Clustering(method="ward", k=4)},
        head=config.Head(),
        controls=controls,
    )


def split_of(analysis: Analysis) -> pd.DataFrame:
    rows = analysis.assignments
    return rows[["image_id", "group", "part"]].assign(content=rows["image_id"])


@pytest.fixture(scope="module")
def analyses(analysis: Analysis) -> list[Analysis]:
    """Each with clusters of its own, and a view, which counts nowhere."""
    generator = np.random.default_rng(1)
    found = []
    for number, (backbone, clustering) in enumerate(KEPT):
        rows = analysis.assignments.sample(frac=1, random_state=number)
        moved = generator.random(len(rows)) < 0.1 * number
        rows = rows.assign(cluster=np.where(moved, generator.integers(0, 3, len(rows)), rows["cluster"]))
        view = rows.head(5).assign(view=1, cluster=2)
        seeds = analysis.stability["seeds"] if clustering == "k3" else None
        stability = analysis.stability | {"seeds": seeds}
        changes: dict[str, Any] = {"backbone": backbone, "clustering": clustering, "stability": stability}
        found.append(replace(analysis, assignments=pd.concat([view, rows]), **changes))
    return found


@pytest.fixture(scope="module")
def tests(analysis: Analysis) -> list[LabelTest | None]:
    observed = label_test(analysis, seed=0, level=0.05)
    assert observed is not None
    changes: list[dict[str, Any]] = [
        {"p": 0.04, "p_nonlinear": 0.2},
        {"p": 0.01, "p_nonlinear": 0.01},  # the primary one
        {"p": 0.02, "p_nonlinear": 0.03},
        {"p": 0.6, "interval": (-0.01, 0.02)},
        {"p": 0.001},  # of the trained backbone
    ]
    return [*(replace(observed, **change) for change in changes), None]


@pytest.fixture(scope="module")
def table(
    analyses: list[Analysis], tests: list[LabelTest | None], controls: config.Controls, analysis: Analysis
) -> pd.DataFrame:
    return sensitivity_table(study_context(controls), analyses, tests, split_of(analysis))


def rand_by_pairs(one: pd.Series, two: pd.Series) -> float:
    """The adjusted Rand index from every pair of images (Hubert and Arabie, 1985)."""
    pairs = [(one[i] == one[j], two[i] == two[j]) for i, j in combinations(one.index, 2)]
    both, first, second = (sum(map(f, pairs)) for f in (all, lambda p: p[0], lambda p: p[1]))
    expected = first * second / len(pairs)
    return float((both - expected) / ((first + second) / 2 - expected))


def test_a_row_an_analysis_with_the_verdict_that_it_would_give(table: pd.DataFrame) -> None:
    assert list(zip(table["backbone"], table["clustering"], strict=True)) == KEPT
    assert table["primary"].tolist() == [False, True, False, False, False, False]
    assert table["verdict"].tolist() == [
        "nonlinear rule",
        "different",
        "different",
        "equivalent",
        "not assessable",
        "not assessable",
    ]
    assert table["method"].tolist() == ["kmeans", "ward"] * 3
    assert table["k"].tolist() == [3, 4] * 3
    assert table["compared_clusters"].tolist() == [2, 2, 2, 2, 2, 0]
    assert table["images"].tolist() == [58, 58, 58, 58, 58, 0]


def test_p_is_adjusted_over_all_that_can_answer_but_the_primary(table: pd.DataFrame) -> None:
    expected = multipletests([0.2, 0.03, 0.6], method="holm")[1]
    np.testing.assert_allclose(table["p_holm"], [expected[0], np.nan, expected[1], expected[2], np.nan, np.nan])
    np.testing.assert_allclose(table["p"], [0.04, 0.01, 0.02, 0.6, np.nan, np.nan])
    numbers = ["gain", "p_nonlinear", "accuracy_gain", "accuracy_gain_low", "accuracy_gain_high"]
    assert table.loc[:3, numbers].notna().to_numpy().all()
    assert table.loc[4:, numbers].isna().to_numpy().all()
    assert table.loc[3, ["accuracy_gain_low", "accuracy_gain_high"]].tolist() == [-0.01, 0.02]


def test_stability_stands_in_its_row(table: pd.DataFrame) -> None:
    np.testing.assert_allclose(table["silhouette"], 0.314159)
    np.testing.assert_allclose(table["ari_bootstraps"], 0.8765)
    assert table["failed_bootstraps"].tolist() == [1] * 6
    np.testing.assert_allclose(table["ari_seeds"], [0.9432, np.nan] * 3)


def test_agreement_by_counting_pairs_of_images(table: pd.DataFrame, analyses: list[Analysis]) -> None:
    clusters = [a.assignments[a.assignments["view"] == 0].set_index("image_id")["cluster"] for a in analyses]
    with_primary = [rand_by_pairs(clusters[1], other) for other in clusters]
    np.testing.assert_allclose(table["ari_with_primary"], with_primary)
    assert with_primary[1] == 1
    for row, others in enumerate([(2, 4), (3, 5), (0, 4), (1, 5), (0, 2), (1, 3)]):
        expected = np.mean([rand_by_pairs(clusters[row], clusters[other]) for other in others])
        assert table.loc[row, "ari_backbones"] == pytest.approx(expected)


def test_names_of_clusters_do_not_matter(analysis: Analysis) -> None:
    rows = analysis.assignments
    assert agreement(analysis, replace(analysis, assignments=rows.assign(cluster=2 - rows["cluster"]))) == 1
    shuffled = np.random.default_rng(0).permutation(rows["cluster"])
    assert abs(agreement(analysis, replace(analysis, assignments=rows.assign(cluster=shuffled)))) < 0.1


def test_one_analysis_alone_has_nothing_to_agree_with(analyses: list[Analysis], controls: config.Controls) -> None:
    found = sensitivity_table(study_context(controls), [analyses[1]], [None], split_of(analyses[1]))
    [row] = found.to_dict("records")
    assert (row["primary"], row["verdict"], row["ari_with_primary"]) == (True, "not assessable", 1)
    assert np.isnan([row["ari_backbones"], row["p"], row["p_holm"]]).all()
