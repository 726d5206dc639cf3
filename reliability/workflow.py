"""The workflow and its results, as other modules of this package copy and compare them."""

from __future__ import annotations

import hashlib
import shutil
from pathlib import Path

from benchmarks.machine import ROOT

PARTS = ("Snakefile", "rules", "config", "envs", "profiles", "workflow")
TABLES = {".csv", ".json", ".md", ".tex"}
OF_A_RUN = {"benchmarks", "logs"}  # folders of what no two runs share


def copy_workflow(folder: Path) -> None:
    """Copy all that a run needs, so that the working tree may change meanwhile; what stands there is written over."""
    folder.mkdir(parents=True, exist_ok=True)
    for part in PARTS:
        if (ROOT / part).is_dir():
            shutil.copytree(ROOT / part, folder / part, dirs_exist_ok=True)
        else:
            shutil.copy(ROOT / part, folder)


def tables(results: Path) -> dict[str, str]:
    """The tables of a run: path below its `results` → SHA-256 of the bytes."""
    found = sorted(path for path in results.rglob("*") if path.suffix in TABLES and path.is_file())
    own = [path for path in found if path.relative_to(results).parts[0] not in OF_A_RUN]
    return {str(path.relative_to(results)): hashlib.sha256(path.read_bytes()).hexdigest() for path in own}
