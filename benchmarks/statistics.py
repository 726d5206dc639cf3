"""What all tests of one study cost: random partitions, redrawn labels, and the comparison that reads them."""

from __future__ import annotations

import os
import sys
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
import yaml
from matplotlib.figure import Figure
from PIL import Image

from benchmarks.data import CLASSES
from benchmarks.heads import training_seconds
from benchmarks.machine import ROOT
from benchmarks.measure import Result, Table, at_most, judged, say, told
from benchmarks.workplace import Workplace, run
from heteroscope.evaluation.label_sets import read_label_sets
from heteroscope.figures.style import colors, styled

FIGURE = "statistics.png"
SIDE = 32  # of the images: what the network makes of them is as wide as ever
LOOKS = ((60, 60, 160), (160, 60, 60), (60, 160, 60), (150, 150, 60))
SHARES = (0.35, 0.3, 0.2, 0.15)  # of the looks, so that clusters differ in size
VALIDATION, TEST = 0.15, 0.25  # of the training images
PARTS = ("size and balanced", "labels", "comparison")


def one_study(place: Workplace) -> Result:
    """The jobs of one study behind its embeddings, at two numbers of training images."""
    minutes, training, curved = {}, {}, {}
    for rows in place.sizes.studied:
        say(f"  {rows} training images")
        folder = place.below(f"statistics/{rows}")
        _run_study(place, folder, rows)
        minutes[rows] = {name: seconds / 60 for name, seconds in seconds_of(folder).items()}
        logs = [path.read_text(encoding="utf-8") for path in (folder / "results/logs/retrain").rglob("*.log")]
        training[rows] = sum(map(training_seconds, logs))
        curved[rows] = "yes" if _has_curved_draws(folder) else "no"
    place.page.mkdir(parents=True, exist_ok=True)
    draw_parts(minutes).savefig(place.page / FIGURE, metadata={"Software": None})
    few, *more = place.sizes.studied
    spec = study_config(place, few, place.folder)
    controls, head = spec["controls"]["standard"], spec["heads"]["linear"]
    what = (
        f"{controls['repeats']} partitions × 4 clusters × 2 arms × {head['seeds']} seeds, {controls['draws']} draws of"
        " labels × 5 heads × 5 seeds from each rule"
    )
    limit = at_most(5, " min")
    rows_of_page = [judged(f"all tests of one study, {few} training images", what, [sum(minutes[few].values())], limit)]
    rows_of_page += [
        told(f"the same, {rows} training images", what, f"{sum(minutes[rows].values()):.2f} min") for rows in more
    ]
    note = (
        f"All tests of a study: seconds of the jobs `retrain`, `redraw`, `labels` and `compare` as Snakemake tells"
        f" them, start included, one after the other on {place.cores} cores. `stability` and `curve`, on which no test"
        " rests, run too and are not counted, nor is what stands before: 1,280 values an image of an EfficientNetB0"
        " with random weights; 4 clusters by k-means;"
        f" heads of batch {head['batch_size']}, up to {head['epochs']} epochs, patience {head['patience']}. Labels are"
        " drawn from a linear rule, from a curved one where it predicts better"
        f" (here: {', '.join(f'{told_of} with {rows} images' for rows, told_of in curved.items())}), and from"
        " turned ones. Of it, training heads: "
        + ", ".join(f"{value / 60:.2f} min ({rows} images)" for rows, value in training.items())
        + f". One round. Load of the machine when it ended: {os.getloadavg()[0]:.1f}."
    )
    table = Table(
        "Where the time of a study's tests goes",
        ["training images", *PARTS],
        [[str(rows), *(f"{parts[name]:.2f} min" for name in PARTS)] for rows, parts in minutes.items()],
        f"![Minutes of each part]({FIGURE})",
    )
    return Result(rows_of_page, [table], [note])


def seconds_of(folder: Path) -> dict[str, float]:
    """Seconds of the jobs of each part, from the files that Snakemake writes of every job."""
    seconds = dict.fromkeys(PARTS, 0.0)
    benchmarks = folder / "results/benchmarks"
    for path in sorted([*(benchmarks / "retrain").rglob("*.tsv"), *(benchmarks / "compare").rglob("*.tsv")]):
        in_retrain = path.is_relative_to(benchmarks / "retrain")
        part = "comparison" if not in_retrain else PARTS[0] if path.name.startswith("cluster-") else "labels"
        seconds[part] += float(pd.read_csv(path, sep="\t")["s"].sum())
    return seconds


def _has_curved_draws(folder: Path) -> bool:
    """Whether the label arm of the study drew from the quadratic rule too."""
    return read_label_sets(next((folder / "results/retrain").rglob("label-sets.h5"))).quadratic is not None


def study_config(place: Workplace, rows: int, images: Path) -> dict[str, Any]:
    """The configuration of a study of `rows` training images."""
    whole, sizes = _images(rows), place.sizes
    return {
        "data_root": str(images),
        "threads": place.cores,
        "datasets": {"drawn": {"adapter": "folder", "root": ".", "classes": {name: [name] for name in CLASSES}}},
        "pixels": {"small": {"size": SIDE, "resize": "squash"}},
        "splits": {
            "holdout": {
                "test": round(TEST * rows) / whole,
                "validation": round(VALIDATION * rows) / whole,
                "group": "none",
                "stratify": "label",
                "seed": 0,
            }
        },
        "backbones": {
            "network": {
                "model": sizes.models[0],
                "weights": "random",
                "pooling": "avg",
                "pixels": "small",
                "engine": "torch",
                "precision": "float32",
            }
        },
        "clusterings": {
            "kmeans-4": {"method": "kmeans", "k": 4, "reduce": {"method": "pca", "components": 8}, "seed": 0}
        },
        "heads": {
            "linear": {
                "trainable": "head",
                "standardize": True,
                "optimizer": "adam",
                "learning_rate": 0.001,
                "batch_size": 8,
                "epochs": sizes.epochs,
                "patience": 3,
                "monitor": "accuracy",
                "selection": "validation",
                "seeds": 5,
            }
        },
        "controls": {
            "standard": {"arms": ["size", "balanced", "labels"], "repeats": sizes.many, "draws": 399, "seed": 0}
        },
        "studies": {
            "cost": {
                "dataset": "drawn",
                "split": "holdout",
                "augmentation": "none",
                "backbones": ["network"],
                "clusterings": ["kmeans-4"],
                "head": "linear",
                "controls": "standard",
                "metric": "accuracy",
                "level": 0.05,
                "margin": 0.05,
                "primary": {"backbone": "network", "clustering": "kmeans-4"},
            }
        },
    }


def _images(rows: int) -> int:
    return rows + round(VALIDATION * rows) + round(TEST * rows)


def _run_study(place: Workplace, folder: Path, rows: int) -> None:
    images = draw_images(folder / "images", _images(rows))
    config = folder / "study.yaml"
    config.write_text(yaml.safe_dump(study_config(place, rows, images), sort_keys=False), encoding="utf-8")
    # jobs call `python`: it must be this one
    os.environ["PATH"] = f"{Path(sys.executable).parent}{os.pathsep}{os.environ['PATH']}"
    words = ["--snakefile", str(ROOT / "Snakefile"), "--configfile", str(config), "--cores", str(place.cores)]
    run([sys.executable, "-m", "snakemake", "tables", *words], folder)


def draw_images(folder: Path, count: int) -> Path:
    """A folder of small PNGs a class: four looks, the disease brighter in one colour, noise."""
    generator = np.random.default_rng(0)
    for name in CLASSES:
        (folder / name).mkdir(parents=True, exist_ok=True)
    for number in range(count):
        label = number % len(CLASSES)
        colour = np.array(LOOKS[generator.choice(len(LOOKS), p=SHARES)], dtype=float)
        colour += generator.normal(0, 8, 3)
        colour[2] += 8 * label
        pixels = colour + generator.normal(0, 20, (SIDE, SIDE, 3))
        Image.fromarray(pixels.clip(0, 255).astype(np.uint8)).save(folder / CLASSES[label] / f"{number:05d}.png")
    return folder


@styled
def draw_parts(minutes: Mapping[int, Mapping[str, float]]) -> Figure:
    """Minutes of each part, a panel a number of training images."""
    figure = Figure(figsize=(7.2, 2.4), dpi=150, layout="constrained")
    axes = figure.subplots(1, len(minutes), squeeze=False)[0]
    for axis, (rows, parts) in zip(axes, minutes.items(), strict=True):
        names = list(parts)[::-1]
        values = [parts[name] for name in names]
        bars = axis.barh(names, values, color=colors(len(names))[::-1], height=0.6)
        axis.bar_label(bars, [f"{value:.2f}" for value in values], padding=3)
        axis.set(
            title=f"{rows:,} training images: {sum(values):.1f} min", xlabel="minutes", xlim=(0, 1.2 * max(values))
        )
        if axis is not axes[0]:
            axis.set_yticklabels([])
    return figure
