"""What one new image costs, and how much memory many images take."""

from __future__ import annotations

import json
import shutil
import sys
from pathlib import Path

import h5py

from benchmarks.data import SPEC, photographs
from benchmarks.measure import Result, Row, at_most, in_turn, judged, say, spread, told
from benchmarks.workplace import Workplace, command, run, stage
from heteroscope.data.listing import update_listing


class Pipeline:
    """The stages from a folder to embeddings, as the DAG calls them, with everything below one folder."""

    def __init__(self, place: Workplace, folder: Path, *, root: Path, model: str, side: int) -> None:
        self.folder, self.root = folder, root
        self.threads = {"threads": place.cores}
        self.workers = {"threads": place.cores, "workers": place.cores}
        self.pixels_spec = json.dumps({"size": side})
        self.backbone = json.dumps({"model": model, "weights": "random", "pixels": "any"})
        folder.mkdir(parents=True, exist_ok=True)
        self.weights = folder / "weights.pt"
        stage("weights", **self.threads, backbone_id="benchmark", spec=self.backbone, output=self.weights)

    def commands(self) -> dict[str, list[str]]:
        """The command line of every stage."""
        at = self.folder
        inputs = {"pixels": at / "pixels.h5", "weights": self.weights, "cache": at / "cache"}
        return {
            "dataset": command(
                "dataset",
                **self.workers,
                spec=SPEC,
                root=self.root,
                listing=at / "listing.tsv",
                images=at / "images.parquet",
                rejected=at / "rejected.csv",
                classes=at / "classes.csv",
            ),
            "pixels": command(
                "pixels",
                **self.workers,
                images=at / "images.parquet",
                root=self.root,
                spec=self.pixels_spec,
                pixels=at / "pixels.h5",
            ),
            "engine": command("engine", **self.workers, **inputs, spec=self.backbone, output=at / "engine.json"),
            "embed": command("embed", **self.workers, **inputs, recipe=at / "engine.json", output=at / "embeddings.h5"),
        }

    def __call__(self) -> None:
        """List the folder and run all stages."""
        update_listing(self.root, self.folder / "listing.tsv")
        for words in self.commands().values():
            run(words)

    def computed(self) -> dict[str, int]:
        """Rows that the last run computed, of either file."""
        found = {}
        for name in ("pixels.h5", "embeddings.h5"):
            with h5py.File(self.folder / name) as file:
                found[name] = int(file.attrs["computed"])
        return found


def one_new_image(place: Workplace) -> Result:
    """One more image where many are embedded already, against the same commands with nothing new."""
    sizes = place.sizes
    everything = photographs(place, sizes.known + sizes.rounds + 1, sizes.source)
    waiting = sorted(everything.rglob("*.jpg"))[sizes.known :]
    root = place.below("growing")
    for path in sorted(everything.rglob("*.jpg"))[: sizes.known]:
        _link(path, everything, root)
    pipeline = Pipeline(place, place.folder / "growing-results", root=root, model=sizes.models[0], side=sizes.side)
    say(f"  embedding the first {sizes.known} images")
    pipeline()
    most = {"pixels.h5": 0, "embeddings.h5": 0}

    def grow() -> None:
        _link(waiting.pop(), everything, root)
        pipeline()
        for name, count in pipeline.computed().items():
            most[name] = max(most[name], count)

    times = in_turn({"one new": grow, "nothing new": pipeline}, sizes.rounds)
    longer = [one - none for one, none in zip(times["one new"], times["nothing new"], strict=True)]
    what = f"1 new image among {sizes.known:,}"
    rows = [
        judged(what, "rows decoded", [most["pixels.h5"]], at_most(1, ""), digits=0),
        judged("the same", "rows embedded", [most["embeddings.h5"]], at_most(1, ""), digits=0),
        judged("the same", "the same commands with nothing new (difference)", longer, at_most(2, " s")),
    ]
    note = (
        f"One new image: {sizes.source}×{sizes.source} JPEGs, {sizes.models[0]} at {sizes.side}×{sizes.side}; the"
        " folder is listed and the stages dataset, pixels, engine and embed run as processes, one after the other:"
        f" {spread(times['one new'], ' s')}, with nothing new {spread(times['nothing new'], ' s')}."
    )
    return Result(rows, notes=[note])


def _link(path: Path, folder: Path, root: Path) -> None:
    target = root / path.relative_to(folder)
    target.parent.mkdir(exist_ok=True)
    target.symlink_to(path.resolve())


def peak_memory(place: Workplace) -> Result:
    """Peak memory of the stages at many images against few."""
    sizes = place.sizes
    peaks: dict[int, dict[str, float]] = {}
    for count in (sizes.small, sizes.large):
        root = photographs(place, count, 2 * sizes.memory_side)
        folder = place.folder / f"memory-{count}"
        pipeline = Pipeline(place, folder, root=root, model=sizes.models[0], side=sizes.memory_side)
        say(f"  {count} images")
        update_listing(root, folder / "listing.tsv")
        peaks[count] = {name: _peak(words) for name, words in pipeline.commands().items()}
        peaks[count]["cluster"] = _peak(_clustering(pipeline))
        shutil.rmtree(root)
    ratios = {name: peaks[sizes.large][name] / peaks[sizes.small][name] for name in peaks[sizes.small]}
    what = f"peak memory at {sizes.large:,} images"
    rows: list[Row] = [
        judged(f"{what}, stage {name}", f"at {sizes.small:,}", [ratios[name]], at_most(1.15))
        for name in ("pixels", "embed")
    ]
    rows += [
        told(f"{what}, stage {name}", f"at {sizes.small:,}", spread([ratios[name]])) for name in ("dataset", "cluster")
    ]
    shown = "; ".join(
        f"{name} {peaks[sizes.small][name]:.0f} → {peaks[sizes.large][name]:.0f} MiB" for name in peaks[sizes.small]
    )
    note = (
        f"Peak memory: one run each; resident memory of the stages' processes, JPEGs of"
        f" {2 * sizes.memory_side}×{2 * sizes.memory_side} decoded to {sizes.memory_side}×{sizes.memory_side},"
        f" {sizes.models[0]}. {shown}."
    )
    return Result(rows, notes=[note])


def _peak(words: list[str]) -> float:
    """Peak memory of a command in MiB."""
    return int(run([sys.executable, "-m", "benchmarks.peak", *words]).splitlines()[-1]) / 1024


def _clustering(pipeline: Pipeline) -> list[str]:
    """The command of the stage `cluster`, on a split that is made for it."""
    at = pipeline.folder
    stage(
        "split",
        **pipeline.threads,
        images=at / "images.parquet",
        spec=json.dumps({"group": "none", "validation": 0}),
        classes_order='["normal", "disease"]',
        split=at / "split.parquet",
        counts=at / "counts.csv",
        figure=at / "counts.png",
    )
    return command(
        "cluster",
        **pipeline.threads,
        embeddings=at / "embeddings.h5",
        split=at / "split.parquet",
        images=at / "images.parquet",
        pixels=at / "pixels.h5",
        spec=json.dumps({"k": 2, "reduce": {"method": "pca", "components": 5}}),
        assignments=at / "assignments.parquet",
        distances=at / "distances.csv",
        quality=at / "quality.json",
        figures=at / "figures",
    )
