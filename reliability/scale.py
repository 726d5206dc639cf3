"""`python -m reliability.scale`: plan and schedule a study of 10,000 jobs, read a manifest of a million rows.

Every measurement is kept as it is made: a stopped run goes on. The workflow that is measured is a copy
made at the start, so that the working tree may change meanwhile.
"""

from __future__ import annotations

import argparse
import json
import os
import re
import shutil
import sys
import time
from collections.abc import Callable, Sequence
from dataclasses import asdict, replace
from functools import partial
from pathlib import Path
from typing import Any

import yaml
from PIL import Image

from benchmarks.machine import ROOT, commit, facts
from heteroscope.atomic import atomic_path
from reliability import manifest
from reliability.cost import Cost, cost_of
from reliability.workflow import copy_workflow

RESULTS = ROOT / "results/reliability/scale"
PAGE = ROOT / "docs/reliability/scale.md"
SHARES = {"1/16": (5, 1), "1/8": (10, 1), "1/4": (10, 2), "1/2": (10, 4), "1": (10, 8)}
"""Share of the whole study: its datasets and backbones. Clusterings, clusters and splits are always all."""
CLUSTERINGS, CLUSTERS, SPLITS = 5, 8, 2
STAGE = """#!/bin/sh
# stands for `python` in jobs: makes the files that the command line names, and those planned in a folder that it names
made() { while read -r file; do [ -e "$file" ] || : > "$file"; done; }
for word; do
  case $word in
    results/*.*)
      if [ ! -e "$word" ]; then
        : > "$word"
        case $word in *.h5) grep -xF "$word.digest" planned | made ;; esac
      fi ;;
    results/compare/*) grep "^$word/" planned | made ;;
    results/cluster/*) grep "^$word/.*png$" planned | made ;;
  esac
done
"""


def main(argv: Sequence[str] | None = None) -> None:
    """Measure what is missing, then write the page; `--page` only writes."""
    arguments = argparse.ArgumentParser(prog="python -m reliability.scale", description=__doc__)
    arguments.add_argument("--only", help="parts, separated by commas: plan, manifest")
    arguments.add_argument("--page", action="store_true", help="measure nothing, write the page from what there is")
    arguments.add_argument("--largest", type=int, default=0, help="manifests of at most so many rows")
    args = arguments.parse_args(argv)
    parts = args.only.split(",") if args.only else ["plan", "manifest"]
    if unknown := sorted(set(parts) - {"plan", "manifest"}):
        raise SystemExit(f"error: --only: no such part: {', '.join(unknown)}; there are plan, manifest")
    if not args.page:
        RESULTS.mkdir(parents=True, exist_ok=True)
        if "plan" in parts:
            for share in SHARES:
                _once(f"plan-{share.replace('/', '-')}", partial(plan, share))
        if "manifest" in parts:
            for rows in manifest.ROWS:
                if not args.largest or rows <= args.largest:
                    _once(f"manifest-{rows}", partial(manifest.measure, RESULTS / "manifest", rows))
    from reliability.scale_page import write_page

    write_page(RESULTS, PAGE)


def _once(name: str, measure: Callable[[], list[Cost]]) -> None:
    """Keep what is measured as JSON, with the commit and the machine; what is there is not measured again."""
    path = RESULTS / f"{name}.json"
    if path.is_file():
        return
    print(f"{time.strftime('%H:%M:%S')} {name}", file=sys.stderr, flush=True)
    found = {"commit": commit(), "machine": facts(), "steps": [asdict(step) for step in measure()]}
    with atomic_path(path) as temporary:
        temporary.write_text(json.dumps(found, indent=1), encoding="utf-8")


# ------------------------------------------------------------------------------------------ a plan


def study(datasets: int, backbones: int) -> dict[str, Any]:
    """A configuration of two studies a dataset; every study has all backbones and clusterings."""
    networks = {
        f"network-{n}": {"model": "small-cnn", "weights": "random", "pixels": "small", "seed": n}
        for n in range(backbones)
    }
    clusterings = {f"kmeans-{CLUSTERS}-{seed}": {"k": CLUSTERS, "seed": seed} for seed in range(CLUSTERINGS)}
    splits = {f"holdout-{letter}": {"seed": seed} for seed, letter in enumerate("ab"[:SPLITS])}
    asked = {
        "backbones": list(networks),
        "clusterings": list(clusterings),
        "head": "linear",
        "controls": "all",
        "primary": {"backbone": "network-0", "clustering": next(iter(clusterings))},
    }
    classes = {"normal": ["normal"], "ill": ["ill"]}
    return {
        "data_root": "raw",
        "threads": 1,
        "datasets": {
            f"set-{n}": {"adapter": "folder", "root": f"set-{n}", "classes": classes} for n in range(datasets)
        },
        "pixels": {"small": {"size": 32}},
        "splits": splits,
        "backbones": networks,
        "clusterings": clusterings,
        "heads": {"linear": {}},
        "controls": {"all": {}},
        "studies": {
            f"set-{n}-{split}": {"dataset": f"set-{n}", "split": split} | asked
            for n in range(datasets)
            for split in splits
        },
    }


def plan(share: str) -> list[Cost]:
    """Plan a study, run it with stages that only make their outputs, and plan it once more, with nothing to do."""
    folder, workflow = RESULTS / "study", RESULTS / "workflow"
    shutil.rmtree(folder, ignore_errors=True)
    shutil.rmtree(workflow, ignore_errors=True)
    copy_workflow(workflow)
    datasets, backbones = SHARES[share]
    _make_images(folder / "raw", datasets)
    (folder / "study.yaml").write_text(yaml.safe_dump(study(datasets, backbones), sort_keys=False), encoding="utf-8")
    stage = folder / "bin/python"
    stage.parent.mkdir()
    stage.write_text(STAGE, encoding="ascii")
    stage.chmod(0o755)

    planned, said = _snakemake(folder, workflow, "plan", "--dry-run")
    outputs = re.findall(r"^    output: (.*)$", said, re.M)
    (folder / "planned").write_text("\n".join(", ".join(outputs).split(", ")) + "\n", encoding="ascii")
    ran, said = _snakemake(folder, workflow, "run with empty stages", "--cores", "2", path=stage.parent)
    jobs = int(re.findall(r"(\d+) of \d+ steps \(100%\) done", said)[-1])
    again, said = _snakemake(folder, workflow, "plan when all is there", "--dry-run")
    if "Nothing to be done" not in said:
        raise RuntimeError(f"{folder}: a second plan has something to do")
    shutil.rmtree(folder)
    return [replace(step, size=jobs) for step in (planned, ran, again)]


def _make_images(folder: Path, datasets: int) -> None:
    for number in range(datasets):
        for name in ("normal", "ill"):
            (folder / f"set-{number}" / name).mkdir(parents=True)
            Image.new("L", (8, 8)).save(folder / f"set-{number}" / name / "1.png")


def _snakemake(folder: Path, workflow: Path, name: str, *arguments: str, path: Path | None = None) -> tuple[Cost, str]:
    words = [sys.executable, "-m", "snakemake", "--snakefile", str(workflow / "Snakefile"), "--directory", str(folder)]
    environment = os.environ | {"PYTHONPATH": str(workflow / "workflow")}
    if path:
        environment["PATH"] = f"{path}{os.pathsep}{environment['PATH']}"
    return cost_of(name, 0, [*words, "--configfile", str(folder / "study.yaml"), *arguments], environment)


if __name__ == "__main__":
    main()
