"""`snakemake --report` packs every result that a reader wants, with its caption."""

from __future__ import annotations

import zipfile
from collections.abc import Callable
from pathlib import Path
from typing import Any

ROOT = Path(__file__).parents[2]


def test_figures_and_tables_are_packed_as_they_stand(
    snakemake: Callable, finished: Path, unchanged_tiny: dict[str, Any], tmp_path: Path
) -> None:
    made = tmp_path / "report.zip"
    done = snakemake(finished, unchanged_tiny, "--cores", "1", "--report", str(made))
    assert done.returncode == 0, done.stdout + done.stderr
    with zipfile.ZipFile(made) as archive:
        packed = [archive.read(name) for name in archive.namelist() if "/raw/" in name]
        page = archive.read(next(name for name in archive.namelist() if name.endswith("report.html"))).decode()
    shown = [finished / f"results/compare/tiny/{name}" for name in ("clusters.csv", "gain.png", "baseline.csv")]
    shown += [finished / f"results/cluster/toy/small-cnn/holdout/none/kmeans-2/{name}.png" for name in ("pca", "umap")]
    shown += [finished / "results/split/toy/holdout.png"]
    assert all(path.read_bytes() in packed for path in shown)
    caption = (ROOT / "workflow/heteroscope/report/captions/clusters.rst").read_text(encoding="utf-8").strip()
    assert caption in page
    assert "Clusters" in page
