"""The notebook of docs/notebooks, executed on a finished study: what it shows is what the study's tables say."""

from __future__ import annotations

import re
from pathlib import Path

import h5py
import nbformat
import numpy as np
import pandas as pd
import pytest
from nbclient import NotebookClient

ROOT = Path(__file__).parents[2]


def distance_of_means(folder: Path) -> float:
    """Of the clusters' mean embeddings, summed up row by row."""
    found = pd.read_parquet(next(folder.glob("results/cluster/**/assignments.parquet")))
    cluster = dict(zip(found["image_id"], found["cluster"], strict=True))
    with h5py.File(folder / "results/embed/toy/small-cnn/embeddings.h5") as file:
        rows = [(cluster[name.decode()], row) for name, row in zip(file["image_id"], file["features"], strict=True)]
    means = [np.mean([row for place, row in rows if place == number], axis=0) for number in (0, 1)]
    return float(np.sqrt(sum((a - b) ** 2 for a, b in zip(*means, strict=True))))


def test_the_notebook_runs_on_the_files_of_any_study(finished: Path) -> None:
    notebook = nbformat.read(ROOT / "docs/notebooks/embeddings.ipynb", as_version=4)
    code = [cell for cell in notebook.cells if cell.cell_type == "code"]
    assert "error" not in {output.output_type for cell in code for output in cell.outputs}
    for cell in code:
        cell.outputs = []
    NotebookClient(notebook, timeout=120, resources={"metadata": {"path": str(finished)}}).execute()
    counts, distance, accuracy = (cell.outputs[-1].data["text/plain"] for cell in code)
    clusters = pd.read_csv(finished / "results/compare/tiny/clusters.csv")
    images = pd.read_parquet(finished / "results/dataset/toy/images.parquet")
    counted = [int(number) for line in counts.splitlines()[2:] for number in line.split()[1:]]
    assert sum(counted) == len(images)
    assert sorted(sum(counted[column::2]) for column in (0, 1)) == sorted(images["label"].value_counts())
    assert float(re.sub(r".*\(|\)", "", distance)) == pytest.approx(distance_of_means(finished), rel=1e-4)
    mean = re.search(r"mean +([\d.]+) +([\d.]+)", accuracy)
    assert [float(mean[1]), float(mean[2])] == pytest.approx(
        clusters.loc[0, ["accuracy", "accuracy_size"]].tolist(), abs=6e-4
    )
