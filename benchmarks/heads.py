"""Many repeats of the controls against few: heads of one job are trained together."""

from __future__ import annotations

import re
from pathlib import Path

import numpy as np
import pandas as pd
import yaml

from benchmarks.machine import ROOT
from benchmarks.measure import Result, at_most, in_turn, judged, quotients, spread, told
from benchmarks.workplace import Workplace, stage
from heteroscope.config import Config, dump, load
from heteroscope.store import create_h5, write_strings, write_table

CLUSTERS = 4
TEST_SHARE = 0.25  # of the training rows, as in the published study


def shipped(study: str) -> Config:
    """The configuration of a study that the workflow ships."""
    return load(yaml.safe_load((ROOT / f"config/studies/{study}.yaml").read_text(encoding="utf-8")))


def repeats(place: Workplace) -> Result:
    """The stage `retrain` of every cluster, as processes, with many repeats and with few."""
    sizes = place.sizes
    files = _samples(place.below("heads"), sizes.rows, sizes.width)
    config = shipped("cataract-published")
    head, controls = config.heads["published"], config.controls["published"]
    logs: dict[int, str] = {}

    def retrain(number: int) -> None:
        spec = controls.model_copy(update={"repeats": number})
        logs[number] = "".join(
            stage(
                "retrain",
                threads=place.cores,
                **files,
                head=dump(head),
                controls=dump(spec),
                cluster=cluster,
                **{f"{arm}_runs": place.folder / "heads" / f"{arm}.h5" for arm in ("cluster", "size", "balanced")},
            )
            for cluster in range(CLUSTERS)
        )

    many, few = f"{sizes.many} repeats", f"{sizes.few} repeats"
    times = in_turn({many: lambda: retrain(sizes.many), few: lambda: retrain(sizes.few)}, sizes.rounds, warm_up=False)
    what = f"{sizes.many} repeats × {CLUSTERS} clusters of heads"
    row = judged(what, few, quotients(times[many], times[few]), at_most(4))
    alone = training_seconds(logs[sizes.many]) / max(training_seconds(logs[sizes.few]), 1e-3)
    training = told("of it, training alone", few, spread([alone]))
    note = (
        f"Heads: jobs of the stage `retrain`, start included, one after the other; {sizes.rows} training and"
        f" {round(sizes.rows * TEST_SHARE)} test rows of {sizes.width} drawn values; the published head (batch"
        f" {head.batch_size}, {head.epochs} epochs, one seed). A repeat is two heads a cluster, size and balanced."
        f" {many}: {spread(times[many], ' s')}; {few}: {spread(times[few], ' s')}. Training alone is of the last round."
    )
    return Result([row, training], notes=[note])


def training_seconds(log: str) -> float:
    """Seconds of training that the stages tell of."""
    return sum(float(value) for value in re.findall(r"heads on \d+ values: ([\d.]+) s", log))


def _samples(folder: Path, rows: int, width: int) -> dict[str, Path]:
    """Embeddings, split and assignments of drawn rows: clusters of unequal size, labels that the values tell of."""
    generator = np.random.default_rng(0)
    part = np.repeat(["train", "test"], [rows, round(rows * TEST_SHARE)])
    count = len(part)
    cluster = generator.choice(CLUSTERS, size=count, p=[0.4, 0.3, 0.2, 0.1])
    label = generator.integers(0, 2, count)
    centre, direction = generator.normal(size=(CLUSTERS, width)), generator.normal(size=width)
    features = centre[cluster] + np.outer(label - 0.5, 0.3 * direction) + generator.normal(size=(count, width))
    names = [f"{number:016x}" for number in range(count)]
    with create_h5(folder / "embeddings.h5", "embeddings", {"model": "drawn", "weights": "drawn"}) as file:
        file.create_dataset("features", data=features.astype(np.float32))
        write_strings(file, "image_id", names)
        write_strings(file, "key", names)
    table = pd.DataFrame({"image_id": names, "label": label, "group": names, "part": part})
    write_table(table.assign(**{"class": np.where(label == 1, "disease", "normal")}), folder / "split.parquet")
    write_table(table.assign(view=0, cluster=cluster, distance=1.0), folder / "assignments.parquet")
    return {name.split(".")[0]: folder / name for name in ("embeddings.h5", "split.parquet", "assignments.parquet")}
