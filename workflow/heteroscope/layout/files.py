"""The names of files that stages leave behind, and what stands among them."""

from __future__ import annotations

from typing import Any

CONTROLS_READ = {  # keys of a `controls` entry that a stage's results depend on
    "retrain": ("repeats", "seed", "views"),
    "redraw": ("draws", "power", "seed", "min_class"),
    "labels": ("min_class", "min_test"),
    "gaussian": ("repeats", "seed", "min_class", "min_test"),
}
END_TO_END = "end-to-end"  # stands among classifiers for a trained network with its own head
CLASSIFIER_FILES = {  # what a head or a hybrid leaves behind
    "predictions": "results/{}/predictions.parquet",
    "metrics": "results/{}/metrics.json",
    "times": "results/benchmarks/{}.json",  # of a run, not of its results
}
FEATURE_FILES = (
    "features.csv",
    "redundancy.csv",
    "retrieval.csv",
    "summary.json",
    "volcano.png",
    "correlations.png",
    "retrieval.png",
)
NETWORK_FILES = (  # what testing a trained network leaves behind
    "predictions.parquet",
    "metrics.json",
    "report.csv",
    "misclassified.csv",
    "curves.png",
    "confusion.png",
    "first.png",
    "wrong.png",
)
EXPLANATION_FILES = {
    "cams": "cams.csv",
    "summaries": "summary.json",
    "features": "features.csv",
    "sheets": "examples.png",
    "feature_sheets": "features.png",
}
REGRESSION_FILES = {"predictions": "predictions.parquet", "metrics": "metrics.json", "scatters": "scatter.png"}
SHOWN_OF_BRANCHES = {  # what a report shows beside the clusters: file → caption
    "models": {
        "models.png": "models",
        "models.csv": "models",
        "roc.png": "roc",
        "model-tests.csv": "model-tests",
    },
    "networks": {
        "curves.png": "network-curves",
        "report.csv": "network-report",
        "confusion.png": "network-confusion",
        "first.png": "network-first",
        "wrong.png": "network-wrong",
        "misclassified.csv": "network-misclassified",
    },
    "hybrids": {
        "hybrids.csv": "hybrids",
        "hybrid-classes.csv": "hybrid-classes",
        "hybrid-times.png": "hybrid-times",
        "hybrid-confusions.png": "hybrid-confusions",
        "hybrid-tests.csv": "hybrid-tests",
    },
    "regressions": {"regressions.csv": "regressions"},
    "scatters": {"scatter.png": "regression-scatter"},
    "features": {
        "volcano.png": "volcano",
        "features.csv": "features",
        "correlations.png": "correlations",
        "redundancy.csv": "redundancy",
        "retrieval.csv": "retrieval",
        "retrieval.png": "retrieval-sheet",
    },
    "explanations": {"explanations.csv": "explanations"},
    "examples": {"examples.png": "explain-examples", "features.png": "explain-features"},
}
FIGURES_OF_CLUSTERING = ("centroid-distances", "pca", "umap", "dendrogram", "exemplars")


def leaves(node: Any) -> list[str]:
    """All paths in nested mappings and lists."""
    if isinstance(node, str):
        return [node]
    children = node.values() if isinstance(node, dict) else node if isinstance(node, list) else []
    return [leaf for child in children for leaf in leaves(child)]
