"""What a run would do, how large its large files would be, and how long it may take, each with what that rests on."""

from __future__ import annotations

import json
import os
import re
import subprocess
import sys
from collections.abc import Iterator, Mapping, Sequence
from pathlib import Path
from statistics import mean

from heteroscope.cli.widths import POOLED_WIDTHS
from heteroscope.config import PhantomDataset
from heteroscope.data.listing import is_image, scan
from heteroscope.errors import ConfigError
from heteroscope.layout import Layout
from heteroscope.provenance import ROOT

SNAKEFILE = ROOT.parents[1] / "Snakefile"
FIGURES = ROOT.parents[1] / "benchmarks/results.json"
TARGETS = {"all", "total"}
BYTES = 4  # of a value of an embedding
SAID = "how long    "


# -------------------------------------------------------------------------------------------- jobs


def planned_jobs(config: Path, values: Sequence[str]) -> dict[str, int]:
    """Rule → jobs that `snakemake` would run in the current folder, by its own dry run.

    Raises:
        ConfigError: it cannot plan; with its last lines.
    """
    command = [sys.executable, "-m", "snakemake", "--snakefile", str(SNAKEFILE), "--directory", ".", "--cores", "1"]
    command += ["--dry-run", "--nolock", "--configfile", str(config)]
    command += ["--config", *values] if values else []
    path = f"{ROOT.parent}{os.pathsep}{os.environ.get('PYTHONPATH', '')}"
    done = subprocess.run(
        command, capture_output=True, text=True, check=False, env=os.environ | {"PYTHONPATH": path.rstrip(os.pathsep)}
    )
    output = done.stdout + done.stderr
    if done.returncode:
        raise ConfigError("snakemake cannot plan a run:\n  " + "\n  ".join(output.strip().splitlines()[-5:]))
    table = output.partition("Job stats:")[2].partition("\n\n")[0]
    jobs = {rule: int(count) for rule, count in re.findall(r"^(\w+) +(\d+)$", table, re.M)}
    return {rule: count for rule, count in jobs.items() if rule not in TARGETS}


def plan_lines(layout: Layout, jobs: Mapping[str, int]) -> Iterator[str]:
    """What would run, how large and how long, in words."""
    if not jobs:
        yield "would run   nothing: all results are up to date"
        return
    named = ", ".join(f"{count} {rule}" for rule, count in sorted(jobs.items()))
    yield f"would run   {sum(jobs.values())} jobs: {named}"
    yield from size_lines(layout)
    yield from time_lines(layout, jobs)


# -------------------------------------------------------------------------------------------- size


def size_lines(layout: Layout) -> Iterator[str]:
    """Bytes of the large files of all studies when they are finished, whether or not they are there already."""
    images = {name: image_count(layout, name) for name in _datasets(layout)}
    pixels: dict[str, int] = {}
    features: dict[str, int] = {}
    unknown: set[str] = set()
    for spec in layout.config.studies.values():
        augmentation = layout.config.augmentations.get(spec.augmentation)
        for backbone in (part for fused in spec.backbones for part in layout.parts(fused)):
            for dataset in (spec.dataset, *layout.members(spec.dataset)):
                decoded = layout.pixels_spec(backbone)
                pixels[layout.pixels_of(dataset, backbone)[0]] = images[dataset] * decoded.channels * decoded.size**2
                width = _width(layout, backbone)
                if width is None:
                    unknown.add(backbone)
                    continue
                copies = 1 + (augmentation.copies if augmentation and dataset == spec.dataset else 0)
                key = f"{layout.embeddings(dataset, layout.network(backbone, spec.split))} {spec.augmentation}"
                features[key] = images[dataset] * copies * width * BYTES
    large = {"pixels.h5": sum(pixels.values()), "embeddings": sum(features.values())}
    told = ", ".join(f"{name} {_bytes(size)}" for name, size in large.items() if size)
    read = all(Path(layout.images(name)).is_file() for name in images)
    what = "images" if read else "files, of which some may be rejected"
    yield (
        f"how large   {told}, for {sum(images.values()):,} {what};"
        " all else is small, but a file that is written anew stands there twice"
    )
    if unknown:
        yield f"            not counted: embeddings of {', '.join(sorted(unknown))}, whose width shows when they run"


def _datasets(layout: Layout) -> list[str]:
    named = [spec.dataset for spec in layout.config.studies.values()]
    return list(dict.fromkeys(name for dataset in named for name in (dataset, *layout.members(dataset))))


def image_count(layout: Layout, dataset: str) -> int:
    """Usable images of a dataset that was read before; else the files below its root, of which some may be rejected."""
    table = Path(layout.images(dataset))
    if table.is_file():
        from pyarrow.parquet import read_metadata

        return int(read_metadata(table).num_rows)
    if members := layout.members(dataset):
        return sum(image_count(layout, member) for member in members)
    spec = layout.config.datasets[dataset]
    if isinstance(spec, PhantomDataset):
        return 2 * spec.patients
    root, tables = layout.scanned()[dataset]
    return sum(map(is_image, scan(root, tables)))


def _width(layout: Layout, backbone: str) -> int | None:
    """Values of an embedding, where that is known before the network is built."""
    spec = layout.config.backbones[backbone]
    return POOLED_WIDTHS.get(spec.model) if spec.pooling == "avg" and spec.layer is None else None


def _bytes(number: int) -> str:
    for unit in ("B", "kB", "MB", "GB"):
        if number < 1000:
            break
        number, unit = round(number / 1000), {"B": "kB", "kB": "MB", "MB": "GB", "GB": "TB"}[unit]
    return f"{number:,} {unit}"


# -------------------------------------------------------------------------------------------- time


def time_lines(layout: Layout, jobs: Mapping[str, int]) -> Iterator[str]:
    """A rough time by earlier jobs of the same rules in this folder; without any, figures of another machine."""
    measured = earlier_jobs()
    known = {rule: count for rule, count in jobs.items() if rule in measured}
    if known:
        seconds = sum(count * mean(measured[rule]) for rule, count in known.items())
        basis = sum(len(measured[rule]) for rule in known)
        yield (
            f"{SAID}roughly {_time(seconds)} of jobs, less where several run at once: by the mean of {basis} earlier"
            f" jobs of these rules in results/benchmarks, whatever data they had"
        )
    else:
        yield f"{SAID}not known: no such job has run in this folder before"
        yield from comparison_lines(layout)
    if known and (unknown := sorted(set(jobs) - set(known))):
        yield f"{' ' * len(SAID)}not counted: {', '.join(unknown)}, which have not run here before"


def earlier_jobs() -> dict[str, list[float]]:
    """Rule → seconds of its jobs that have run in this folder."""
    from heteroscope.benchmarked import job_times  # pandas: not for what only plans

    return {str(rule): walls.tolist() for rule, walls in job_times().groupby("rule")["wall"]}


def comparison_lines(layout: Layout) -> Iterator[str]:
    """Measured figures of another machine, named as that; none where they are not at hand."""
    indent = " " * len(SAID)
    if not FIGURES.is_file():
        return
    figures = json.loads(FIGURES.read_text(encoding="utf-8"))
    tests, machine = figures["statistics"]["result"]["rows"], figures["statistics"]["machine"]
    spent = ", ".join(f"{row['measured']} ({row['what'].rpartition(', ')[2]})" for row in tests)
    yield f"{indent}for comparison, on {machine['cores']} cores of {machine['processor']} (benchmarks/results.md):"
    yield f"{indent}all tests of one backbone with 4 clusters, 200 repeats and 399 draws: {spent}"
    models = {layout.config.backbones[part].model for part in _backbones(layout)}
    if "efficientnet_b0" in models:
        phases = {row[0]: float(row[1].split()[0]) for row in figures["profile"]["result"]["tables"][0]["cells"]}
        images = sum(image_count(layout, name) for name in _datasets(layout))
        each = phases["pixels"] + phases["embed"]
        yield (
            f"{indent}decoding JPEGs of 512×512 and embedding by efficientnet_b0 in bfloat16: {each:.1f} ms an image,"
            f" {_time(images * each / 1000)} for {images:,} images, its start and the choice of an engine not counted"
        )


def _backbones(layout: Layout) -> set[str]:
    studies = layout.config.studies.values()
    return {part for study in studies for fused in study.backbones for part in layout.parts(fused)}


def _time(seconds: float) -> str:
    if seconds < 100:
        return f"{max(seconds, 1):.0f} s"
    return f"{seconds / 60:.0f} min" if seconds < 6000 else f"{seconds / 3600:.1f} h"
