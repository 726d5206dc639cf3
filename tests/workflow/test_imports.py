"""What a job loads before it can begin: of the packages that take long, those alone that it works with."""

from __future__ import annotations

import re
import subprocess
import sys
from pathlib import Path

import pytest

from heteroscope.provenance import ROOT as PACKAGE
from heteroscope.provenance import imported_modules, imports_of

ROOT = Path(__file__).parents[2]
SLOW = {
    "matplotlib",
    "numba",
    "openvino",
    "pytorch_lightning",
    "scipy",
    "scipy.stats",
    "sklearn",
    "statsmodels",
    "torch",
    "torchvision",
    "umap",
}
NETWORK = {"torch"}
HEADS = {"torch", "pytorch_lightning", "scipy", "scipy.stats"}
LOADED = {
    "weights": NETWORK,
    "phantom": {"scipy"},
    "dataset": set(),
    "pixels": set(),
    "split": {"matplotlib", "scipy"},
    "engine": NETWORK,
    "embed": NETWORK,
    "train": HEADS,
    "curve": HEADS,
    "cluster": {"matplotlib", "numba", "scipy", "scipy.stats", "sklearn", "umap"},
    "stability": {"scipy", "scipy.stats", "sklearn"},
    "retrain": HEADS,
    "redraw": {"scipy", "scipy.stats", "sklearn", "statsmodels"},
    "labels": HEADS,
    "gaussian": HEADS | {"sklearn", "statsmodels"},
    "compare": {"matplotlib", "scipy", "scipy.stats", "sklearn", "statsmodels"},
    "report": {"matplotlib"},
    "overview": set(),
}


@pytest.mark.parametrize("stage", LOADED)
def test_a_job_loads_no_more_than_it_works_with(finished: Path, stage: str) -> None:
    """The lists are those of the jobs of a whole study (tests/recorder)."""
    loaded = set((finished / "imports" / stage).read_text(encoding="utf-8").split())
    assert loaded & SLOW == LOADED[stage]


def test_no_job_of_a_study_goes_unseen(finished: Path) -> None:
    assert {path.name for path in (finished / "imports").iterdir()} == set(LOADED)


def test_no_stage_loads_numpy_before_it_fixes_the_number_of_threads() -> None:
    """Its linear algebra reads the number once, when it is loaded; sums depend on it."""
    stages = sorted(f"heteroscope.stages.{path.stem}" for path in (PACKAGE / "stages").glob("[a-z]*.py"))
    assert f"heteroscope.stages.{next(iter(LOADED))}" in stages
    code = f"import sys, {', '.join(stages)}; print('numpy' in sys.modules)"
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert done.stdout == "False\n"


def test_the_process_that_plans_loads_nothing_that_computes() -> None:
    """The workflow's own files are read at every start, dry or not, and by every remote job again."""
    text = "\n".join(path.read_text(encoding="utf-8") for path in [ROOT / "Snakefile", *ROOT.glob("rules/*.smk")])
    named = set(re.findall(r"^from (heteroscope[\w.]*) import", text, re.M))
    modules = {module for name in named for module in imported_modules(name)}
    assert {"heteroscope.layout", "heteroscope.provenance"} <= modules
    packages = {name.split(".")[0] for module in modules for name in imports_of(module)}
    assert not packages & (SLOW | {"h5py", "numpy", "pandas", "PIL", "pyarrow"})
