"""The page of scale: its tables, its figures, and how fast a cost grows."""

from __future__ import annotations

import json
from collections.abc import Sequence
from pathlib import Path

import numpy as np
import pandas as pd
from matplotlib.axes import Axes
from matplotlib.figure import Figure
from matplotlib.ticker import FuncFormatter, NullFormatter
from numpy.typing import ArrayLike

from heteroscope.atomic import atomic_path
from heteroscope.figures.style import NEUTRAL, PALETTE, WIDTH, save_figure, styled
from heteroscope.summary import markdown

MARKERS = "os^D"
ABOUT = (
    "CPU time is of a process and all that it starts, so that other work on the machine hardly changes it; memory is "
    "the peak of the process itself. An exponent is the slope of a straight line through the logarithms over the "
    "three largest sizes: 1 is growth in proportion."
)
PLAN = (
    "A study of {jobs:,} jobs: 10 datasets × 8 backbones × 5 clusterings of 8 clusters × 2 splits, in 20 studies. "
    "Smaller ones have fewer backbones, the smallest fewer datasets. The workflow is the real one; in jobs, `python` "
    "is a shell script of a few lines that makes the files of its command line, so that what is left is Snakemake's "
    "own work and the workflow's: two shells, a `tee` and the recorded benchmark a job. *plan* is a dry run of an "
    "empty folder, *run with empty stages* every job on two cores, *plan when all is there* a dry run that finds "
    "nothing to do."
)
MANIFEST = (
    "A table of one row an image, and a real file for each: grey images of four pixels (15 bytes), no two alike, in "
    "1,000 folders; two images a patient. *scan* lists and hashes all files, *scan again* finds nothing changed (both"
    " are of the process that plans); *validate* is the stage `dataset`: it matches labels, opens and decodes every "
    "file, and looks for duplicates; *split* is the stage `split`, by patients, with its counts and figure. Larger "
    "images take longer to hash and decode, by their size alone, and no more memory a row. After each, every row "
    "stood in the images, each in one part, and no patient in two."
)


def read_costs(folder: Path, part: str) -> tuple[pd.DataFrame, list[str]]:
    """All costs of a part, a row each in order of size, and the commits that they were measured at."""
    entries = [json.loads(path.read_text(encoding="utf-8")) for path in folder.glob(f"{part}-*.json")]
    rows = [step for entry in entries for step in entry["steps"]]
    table = pd.DataFrame(rows, columns=["name", "size", "seconds", "processor", "mebibytes"])
    return table.sort_values("size", kind="stable"), sorted({entry["commit"] for entry in entries})


def exponent(sizes: ArrayLike, costs: ArrayLike) -> float:
    """The slope of a straight line through the logarithms: 1 where a cost grows in proportion, 2 with the square."""
    return float(np.polyfit(np.log(sizes), np.log(costs), 1)[0])


def growth(costs: pd.DataFrame, largest: int = 3) -> pd.DataFrame:
    """A row a step: its costs at the largest size, and exponents over the largest ones, where start-up is small."""
    rows = []
    for name, steps in costs.groupby("name", sort=False):
        top = steps.tail(largest)
        last = steps.iloc[-1]
        grows = {
            column: exponent(top["size"], top[column]) if len(top) > 1 else None
            for column in ("processor", "mebibytes")
        }
        rows.append(
            {
                "step": name,
                "largest": f"{last['size']:,}",
                "CPU time (s)": f"{last['processor']:.0f}",
                "CPU time each (ms)": f"{1000 * last['processor'] / last['size']:.2g}",
                "exponent of time": "–" if grows["processor"] is None else f"{grows['processor']:.2f}",
                "peak memory (MiB)": f"{last['mebibytes']:.0f}",
                "exponent of memory": "–" if grows["mebibytes"] is None else f"{grows['mebibytes']:.2f}",
            }
        )
    return pd.DataFrame(rows)


@styled
def draw_costs(costs: pd.DataFrame, unit: str) -> Figure:
    """CPU time and peak memory of every step over the size, on logarithmic axes."""
    figure = Figure(figsize=(WIDTH, 3.2), layout="constrained")
    left, right = figure.subplots(1, 2)
    for axis, column, label in ((left, "processor", "CPU time (s)"), (right, "mebibytes", "peak memory (MiB)")):
        for number, (name, steps) in enumerate(costs.groupby("name", sort=False)):
            axis.plot(
                steps["size"],
                steps[column],
                MARKERS[number] + "-",
                color=PALETTE[number],
                markersize=4,
                label=name,
                clip_on=False,
            )
        _logarithmic(axis, sorted(set(costs["size"])))
        axis.set_xlabel(unit)
        axis.set_ylabel(label)
    _proportion(left, costs)
    figure.legend(*left.get_legend_handles_labels(), loc="outside upper center", ncols=5)
    return figure


def _logarithmic(axis: Axes, sizes: Sequence[int]) -> None:
    axis.set_xscale("log")
    axis.set_yscale("log")
    axis.set_xticks(sizes, [f"{size:,}" for size in sizes])
    axis.xaxis.set_minor_formatter(NullFormatter())
    axis.tick_params(axis="x", which="minor", length=0)
    axis.yaxis.set_major_formatter(FuncFormatter(lambda value, _: f"{value:,.10g}"))
    low, high = axis.get_ylim()
    if high / low < 30:  # decades alone would leave the axis almost without numbers
        axis.yaxis.set_minor_formatter(
            FuncFormatter(lambda value, _: f"{value:,.10g}" if f"{value:e}"[0] in "25" else "")
        )
    axis.grid(visible=True, which="major")


def _proportion(axis: Axes, costs: pd.DataFrame) -> None:
    """A dotted line that grows in proportion, ending at the largest size of the costliest step."""
    last = costs[costs["size"] == costs["size"].max()]
    top, size = last["processor"].max(), last["size"].max()
    sizes = np.array([costs["size"].min(), size])
    axis.plot(sizes, top * sizes / size, ":", color=NEUTRAL, linewidth=1, label="in proportion")


def write_page(results: Path, page: Path) -> None:
    """Write the page and its figures from what was measured; a part that was not is named."""
    (plan, of_plan), (manifest, of_manifest) = (read_costs(results, part) for part in ("plan", "manifest"))
    commits = ", ".join(sorted({*of_plan, *of_manifest})) or "none"
    parts = [
        "# Scale",
        f"Written by `make scale`, measured at commit {commits}. {ABOUT}",
    ]
    for title, text, costs, unit in (
        ("Planning and scheduling", PLAN, plan, "jobs"),
        ("A manifest of a million rows", MANIFEST, manifest, "rows"),
    ):
        parts.append(f"## {title}")
        if costs.empty:
            parts.append("Not measured.")
            continue
        figure = f"scale-{unit}.png"
        save_figure(draw_costs(costs, unit), page.with_name(figure))
        parts += [text.format(jobs=costs["size"].max()), f"![Cost by number of {unit}]({figure})"]
        parts += [markdown(growth(costs)), markdown(_all(costs, unit))]
    if not (machine := _machine(results)).empty:
        parts += ["## The machine", markdown(machine)]
    with atomic_path(page) as temporary:
        temporary.write_text("\n\n".join(parts) + "\n", encoding="utf-8")


def _all(costs: pd.DataFrame, unit: str) -> pd.DataFrame:
    """Every measurement."""
    return pd.DataFrame(
        {
            unit: [f"{size:,}" for size in costs["size"]],
            "step": costs["name"],
            "CPU time (s)": [f"{value:.1f}" for value in costs["processor"]],
            "clock (s)": [f"{value:.1f}" for value in costs["seconds"]],
            "peak memory (MiB)": [f"{value:.0f}" for value in costs["mebibytes"]],
        }
    )


def _machine(results: Path) -> pd.DataFrame:
    entries = [json.loads(path.read_text(encoding="utf-8")) for path in sorted(results.glob("*.json"))]
    facts = entries[-1]["machine"] if entries else {}
    wanted = ("processor", "cores", "memory", "Python", "libraries")
    return pd.DataFrame([{"": name, " ": facts[name]} for name in wanted if name in facts], columns=["", " "])
