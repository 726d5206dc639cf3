"""Write the page of the real studies: their verdicts, what they cost, an attribute's part, and one factor at a time."""

from __future__ import annotations

import argparse
from collections.abc import Sequence
from dataclasses import dataclass
from functools import cached_property
from pathlib import Path
from typing import Any

import pandas as pd
import yaml

from heteroscope.atomic import atomic_path
from heteroscope.benchmarked import job_times, jobs_of
from heteroscope.config import BESIDE, FUSION, Study, load
from heteroscope.layout import Layout
from heteroscope.stages.command import run
from heteroscope.store import read_json, read_table
from heteroscope.summary import commit, markdown, verdict_file

RANDOM = "random weights"
FACTORS_CAPTION = (
    "Every study differs from the first one of its table in what its name says, one or two keys of the"
    " configuration, and in nothing else (`tests/unit/core/test_core_factors.py` lists the keys). Training rows"
    " count augmented copies. Accuracy is the pooled head's on all test rows, with a 95 % interval over patients."
    " T is the spread of the clusters' models around their mean accuracy; its two p come from random sets of the"
    " clusters' sizes, and of their class counts. “By eye” names the clusters that the published reading calls:"
    " one model lies more than two standard deviations of five random sets of its size from their mean. The"
    " verdict and its p rest on redrawn labels. A dash: not defined, because fewer than two clusters have enough"
    " images of every class; or a p of a study that cannot tell."
)


@dataclass(frozen=True)
class Finished:
    """A study of a configuration file, and what its run left behind.

    Attributes:
        layout: of the configuration.
        id: the study's.
    """

    layout: Layout
    id: str

    @property
    def study(self) -> Study:
        """What the configuration says of it."""
        return self.layout.config.studies[self.id]

    @cached_property
    def verdict(self) -> dict[str, Any]:
        """verdict.json; empty where the study has not run."""
        path = verdict_file(self.id)
        return dict(read_json(path)) if path.is_file() else {}

    @property
    def accuracy(self) -> dict[str, float]:
        """The pooled head's mean accuracy, and the low and high end of its interval; of all folds together."""
        table = read_table(verdict_file(self.id).with_name("metrics.csv"))
        row = (table["average"] == "overall") & (table["metric"] == "accuracy")
        row &= table["backbone"] == self.study.primary.backbone
        return {name: float(table.loc[row, name].item()) for name in ("mean", "low", "high")}

    @property
    def ids(self) -> set[str]:
        """Every id that the study's paths may hold."""
        study = self.study
        parts = [part for backbone in study.backbones for part in (backbone, *backbone.split(FUSION))]
        pixels = [self.layout.config.backbones[part].pixels for part in parts if FUSION not in part]
        axes = (self.id, study.dataset, study.split, study.augmentation, study.head, study.controls)
        beside = (name for key in BESIDE for name in getattr(study, key))
        return {*axes, *parts, *pixels, *study.clusterings, *beside}

    @property
    def subjects(self) -> set[str]:
        """The ids that a path must hold one of to be of this study: others are shared with studies of other images."""
        return {self.id, self.study.dataset}


def main(argv: Sequence[str] | None = None) -> None:
    """Write the page from what stands in results/."""
    arguments = argparse.ArgumentParser(description=__doc__)
    add = arguments.add_argument
    add("--configs", type=Path, nargs="+", required=True, help="configuration files of the studies")
    add("--factors", type=Path, required=True, help="configuration file of studies that differ by one factor each")
    add("--hidden", default="pneumonia=view", help="study=attribute: a stratum that is known but was not told")
    add("--seconds", type=int, help="what the run took, by the clock")
    add("--made-by", default="make studies", help="the command that makes the page, for its second line")
    add("--page", type=Path, required=True, help="output: the Markdown page")
    args = arguments.parse_args(argv)
    text = page(
        [finished for path in args.configs for finished in finished_studies(path)],
        finished_studies(args.factors),
        hidden=tuple(args.hidden.split("=", 1)),
        seconds=args.seconds,
        made_by=args.made_by,
    )
    with atomic_path(args.page) as temporary:
        temporary.write_text(text, encoding="utf-8")


def finished_studies(path: Path) -> list[Finished]:
    """The studies of a configuration file, in its order."""
    layout = Layout(load(yaml.safe_load(path.read_text(encoding="utf-8"))))
    return [Finished(layout, study) for study in layout.config.studies]


def page(
    studies: Sequence[Finished],
    factors: Sequence[Finished],
    *,
    hidden: tuple[str, ...],
    seconds: int | None,
    made_by: str,
) -> str:
    """The page in Markdown; what has not run is named as such."""
    parts = [f"# Real studies\n\nMade by `{made_by}` at commit {commit()}. {_marked([*studies, *factors])}"]
    parts += ["## What they find", *(paragraph_of(finished) for finished in studies)]
    parts += [f"## {hidden[0]}: what goes with the clusters", attribute_words(*hidden)]
    parts += ["## One factor at a time", f"{FACTORS_CAPTION} {_marked(factors)}", *factor_tables(factors)]
    ran = [finished for finished in (*studies, *factors) if finished.verdict]
    parts += ["## What they cost", total_time(seconds), markdown(cost_table(ran))]
    return "\n\n".join(parts) + "\n"


def paragraph_of(finished: Finished) -> str:
    """A study's verdict in words, with the warnings of its numbers."""
    found = finished.verdict
    heading = f"### {finished.id}: {finished.study.title}"
    if not found:
        return f"{heading}\n\n{not_run(finished)}"
    warnings = "\n".join(f"- warning: {warning}" for warning in found["warnings"]) or "No warnings."
    return f"{heading}\n\n**{found['verdict']}**. {found['paragraph']}\n\n{warnings}"


def not_run(finished: Finished) -> str:
    """What stands in the place of a study that has no results."""
    return f"Not run here: it reads images in `{finished.layout.root(finished.study.dataset)}` below the data root."


def attribute_words(study: str, attribute: str) -> str:
    """Whether the clusters of a study go with an attribute, and the whole table of attributes."""
    path = verdict_file(study).with_name("attributes.csv")
    if not path.is_file():
        return "Not run."
    table = read_table(path)
    table = table[[column for column in table.columns if column not in ("weights", "warnings")]]
    row = table.set_index("attribute").loc[attribute]
    found = read_json(verdict_file(study))
    goes = "go" if row["p_holm"] <= found["level"] else "do not go"
    sentence = (
        f"The clusters of {found['primary']['clustering']} {goes} with `{attribute}`: {row['measure']}"
        f" {row['association']:.3f} over {row['images']:.0f} images, p = {row['p']:.3g}, Holm-adjusted over all"
        f" attributes {row['p_holm']:.3g} (patients exchanged). Weights: {found['weights']}."
    )
    return f"{sentence}\n\n{markdown(table)}"


def factor_tables(factors: Sequence[Finished]) -> list[str]:
    """A table a base: the studies whose ids begin with its own, the base first."""
    bases = list(dict.fromkeys(finished.id.partition("-")[0] for finished in factors))
    parts = []
    for base in bases:
        ran = [finished for finished in factors if finished.id.partition("-")[0] == base and finished.verdict]
        parts.append(f"### {base}")
        parts.append(markdown(pd.DataFrame([factor_row(finished) for finished in ran])) if ran else "Not run.")
        parts += [f"Weights: {weights}." for weights in dict.fromkeys(finished.verdict["weights"] for finished in ran)]
    return parts


def factor_row(finished: Finished) -> dict[str, Any]:
    """What one study of a factor found."""
    found, accuracy = finished.verdict, finished.accuracy
    counts, published, test = found["counts"], found["published_comparison"], found["test"] or {}
    called = published["called_by_eye"]
    return {
        "study": finished.study.title,
        "training rows": counts["training_rows"],
        "test rows": counts["images"]["test"],
        "also in training": counts["test_images_also_in_training"],
        "of patients in training": counts["test_patients_also_in_training"],
        "accuracy": with_interval(accuracy["mean"], accuracy["low"], accuracy["high"]),
        "clusters compared": published["clusters"],
        "T": None if published["T"] is None else f"{published['T']:.2g}",
        "p size": published["p_size"],
        "p class counts": published["p_balanced"],
        "by eye": None if called is None else ", ".join(map(str, called)) or "none",
        "verdict": found["verdict"],
        # a p that cannot answer is in verdict.json, and shown nowhere
        "p": None if found["verdict"] == "not assessable" else test.get("p"),
    }


def with_interval(mean: float | None, low: float | None, high: float | None) -> str:
    """A score and the ends of its interval; dashes where they are not defined."""
    first, *ends = ("–" if pd.isna(value) else f"{value:.3f}" for value in (mean, low, high))
    return f"{first} ({' to '.join(ends)})"


def cost_table(studies: Sequence[Finished]) -> pd.DataFrame:
    """A row a study: its jobs, and their minutes one after another and of CPU time."""
    times = job_times()
    named = {name for finished in studies for name in finished.ids}
    rows = []
    for finished in studies:
        jobs = jobs_of(times, finished.subjects, foreign=named - finished.ids)
        minutes = {"wall (min)": jobs["wall"].sum() / 60, "CPU (min)": jobs["cpu"].sum() / 60}
        rows.append({"study": finished.id, "jobs": len(jobs)} | minutes)
    return pd.DataFrame(rows, columns=["study", "jobs", "wall (min)", "CPU (min)"])


def total_time(seconds: int | None) -> str:
    """What a run took by the clock, and what `cost_table` counts."""
    shared = (
        "Minutes of a study's jobs as Snakemake measured them, one after another and of CPU time; a job that several"
        " studies share is counted in each."
    )
    if seconds is None:
        return shared
    return (
        f"This run took {seconds / 60:.0f} minutes by the clock; what stood there before was not made again. {shared}"
    )


def _marked(studies: Sequence[Finished]) -> str:
    """What a reader must know of the weights before any number."""
    ran = [finished for finished in studies if finished.verdict]
    blind = [finished.id for finished in ran if any(w.startswith(RANDOM) for w in finished.verdict["warnings"])]
    if not blind:
        return ""
    which = "All studies" if len(blind) == len(ran) else f"The studies {', '.join(blind)}"
    return (
        f"**{which} stand on random weights**: that network was never trained; its numbers say nothing of a real one."
    )


if __name__ == "__main__":
    run(main)
