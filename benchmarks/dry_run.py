"""What the workflow's head process costs where nothing is to be done."""

from __future__ import annotations

import os
import sys
from pathlib import Path
from typing import Any

import yaml

from benchmarks.machine import ROOT
from benchmarks.measure import Result, at_most, in_turn, judged, quotients, say, spread
from benchmarks.workplace import Workplace, run


def finished_study(place: Workplace) -> Result:
    """A dry run of a finished study against `snakemake --version`."""
    folder = place.below("finished")
    config = folder / "study.yaml"
    config.write_text(yaml.safe_dump(small_demo(), sort_keys=False), encoding="utf-8")
    # jobs call `python`: it must be this one
    os.environ["PATH"] = f"{Path(sys.executable).parent}{os.pathsep}{os.environ['PATH']}"
    snakemake = [sys.executable, "-m", "snakemake"]
    whole = [
        *snakemake,
        "--snakefile",
        str(ROOT / "Snakefile"),
        "--configfile",
        str(config),
        "--cores",
        str(place.cores),
    ]
    say("  finishing a small study")
    run(whole, folder)

    def dry_run() -> None:
        said = run([*whole, "--dry-run"], folder)
        if "Nothing to be done" not in said:
            raise RuntimeError(f"the finished study is not finished:\n{said[-2000:]}")

    times = in_turn(
        {"dry run": dry_run, "version": lambda: run([*snakemake, "--version"], folder)}, place.sizes.rounds + 2
    )
    note = (
        f"Dry run: {spread(times['dry run'], ' s')} against {spread(times['version'], ' s')}, {place.sizes.rounds + 2}"
        " rounds, of the demo's study `planted` with 40 patients."
    )
    row = judged(
        "a dry run of a finished study",
        "`snakemake --version`",
        quotients(times["dry run"], times["version"]),
        at_most(3),
    )
    return Result([row], notes=[note])


def small_demo() -> dict[str, Any]:
    """One study of the demo, small enough to be finished in a minute."""
    config: dict[str, Any] = yaml.safe_load((ROOT / "config/config.yaml").read_text(encoding="utf-8"))
    config["datasets"] = {"planted": config["datasets"]["planted"] | {"patients": 40, "size": 48}}
    config["pixels"] = {name: spec | {"size": 48} for name, spec in config["pixels"].items()}
    for backbone in config["backbones"].values():
        backbone["finetune"] |= {"epochs": 1}
    config["heads"] = {name: spec | {"epochs": 2, "seeds": 1} for name, spec in config["heads"].items()}
    config["controls"] = {
        name: spec | {"repeats": 2, "draws": 19, "min_class": 2, "min_test": 2}
        for name, spec in config["controls"].items()
    }
    config["studies"] = {"planted": config["studies"]["planted"]}
    return config
