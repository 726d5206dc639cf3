"""What a change to a finished study makes again: exactly these jobs, and the results of a run from scratch.

The study: two images of each of 40 patients in a folder with a table, one frozen backbone, k-means with two clusters.
"""

from __future__ import annotations

import copy
import os
import shutil
import subprocess
import sys
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pytest
import yaml

from tests.e2e import raw_folder
from tests.e2e.raw_folder import on_the_folder
from tests.plans import jobs_of, reasons_of

ROOT = Path(__file__).parents[2]
PIXELS = "dataset/toy/square-32/pixels.h5"
EMBED = "embed/toy/small-cnn"
CLUSTER = "cluster/toy/small-cnn/holdout/none/kmeans-2"


@dataclass
class Finished:
    """A copy of the folder of a finished study, for one change; the change may replace all but the folder."""

    folder: Path
    config: Any
    package: Path | None = None
    targets: tuple[str, ...] = ()
    cores: int = 2

    def jobs(self, snakemake: Callable, *options: str) -> tuple[dict[str, int], set[str]]:
        """What a run does, or with `--dry-run` would do: number of jobs by rule, and why they are stale."""
        arguments = [*self.targets, "--cores", str(self.cores), *options]
        done = snakemake(self.folder, self.config, *arguments, package=self.package)
        assert done.returncode == 0, done.stdout + done.stderr
        return jobs_of(done.stdout + done.stderr), reasons_of(done.stdout + done.stderr)


Change = Callable[[Finished], Any]


def nothing(study: Finished) -> None:
    pass


def several(*changes: Change) -> Change:
    return lambda study: [change(study) for change in changes]


# ------------------------------------------------------------------------------- of the configuration


def ask(*targets: str) -> Change:
    """Name files, or give options, on the command line."""
    return lambda study: setattr(study, "targets", targets)


def cores(number: int) -> Change:
    return lambda study: setattr(study, "cores", number)


def entry(section: str, name: str, **values: Any) -> Change:
    """Change keys of an entry of the configuration, or add the entry."""
    return lambda study: study.config[section].setdefault(name, {}).update(values)


def write_config_again(study: Finished) -> None:
    """The same configuration with another time, another layout and a comment."""
    path = study.folder / "again.yaml"
    path.write_text("# a comment\n" + yaml.safe_dump(study.config, sort_keys=False, default_flow_style=True))
    study.config = path


def add_clustering(study: Finished) -> None:
    study.config["clusterings"]["kmeans-3"] = study.config["clusterings"]["kmeans-2"] | {"k": 3}
    study.config["studies"]["tiny"]["clusterings"] = ["kmeans-2", "kmeans-3"]


def add_backbone(study: Finished) -> None:
    study.config["backbones"]["other"] = study.config["backbones"]["small-cnn"] | {"seed": 1}
    study.config["studies"]["tiny"]["backbones"] = ["small-cnn", "other"]


def add_features(study: Finished) -> None:
    study.config["features"] = {"welch": {}}
    study.config["studies"]["tiny"]["features"] = ["welch"]


def add_regressions(study: Finished) -> None:
    study.config["regressions"] = {"ridge": {"target": "age", "regressor": {"method": "linear"}}}
    study.config["studies"]["tiny"]["regressions"] = ["ridge"]


def add_study(study: Finished) -> None:
    study.config["heads"]["other"] = {"epochs": 2, "seeds": 1}
    study.config["studies"]["second"] = study.config["studies"]["tiny"] | {"head": "other"}


# -------------------------------------------------------------------------------------- of the package


def package_of(study: Finished) -> Path:
    """A copy of the package that the change may edit."""
    if study.package is None:
        study.package = study.folder / "package"
        ignore = shutil.ignore_patterns("__pycache__")
        shutil.copytree(ROOT / "workflow/heteroscope", study.package / "heteroscope", ignore=ignore)
    return study.package / "heteroscope"


def code(module: str, old: str, new: str) -> Change:
    """Edit a module of the package."""

    def change(study: Finished) -> None:
        path = package_of(study) / module
        text = path.read_text()
        assert old in text
        path.write_text(text.replace(old, new, 1))

    return change


def touch_package(study: Finished) -> None:
    for path in package_of(study).rglob("*.py"):
        path.touch()


def comment_package(study: Finished) -> None:
    """A comment at the end of every module, and another docstring at its beginning."""
    for path in package_of(study).rglob("*.py"):
        text = path.read_text() + "\n# another comment\n"
        path.write_text(text.replace('"""', '"""Say more. ', 1) if text.startswith('"""') else text)


def upgrade_library(study: Finished) -> None:
    """Another version of scikit-learn, as Python's metadata tell."""
    metadata = package_of(study).parent / "scikit_learn-99.0.dist-info/METADATA"
    metadata.parent.mkdir()
    metadata.write_text("Metadata-Version: 2.1\nName: scikit-learn\nVersion: 99.0\n")
    look = "from heteroscope.provenance import versions; print(versions('scikit-learn'))"
    environment = os.environ | {"PYTHONPATH": str(study.package)}
    seen = subprocess.run([sys.executable, "-c", look], env=environment, capture_output=True, text=True, check=True)
    assert seen.stdout == "{'scikit-learn': '99.0'}\n"


# ---------------------------------------------------------------------------------- of files and folders


def images(change: Callable[[Path], None]) -> Change:
    return lambda study: change(study.folder / "raw")


def touch(pattern: str) -> Change:
    """Give files another time."""

    def change(study: Finished) -> None:
        found = list(study.folder.glob(pattern))
        assert found
        for path in found:
            os.utime(path)

    return change


def delete(*names: str) -> Change:
    """Delete files or folders below results/."""

    def change(study: Finished) -> None:
        for name in names:
            path = study.folder / "results" / name
            shutil.rmtree(path) if path.is_dir() else path.unlink()

    return change


def move_images(study: Finished) -> None:
    """Another place, other times."""
    shutil.copytree(study.folder / "raw", study.folder / "elsewhere/raw", copy_function=shutil.copy)
    shutil.rmtree(study.folder / "raw")
    study.config["data_root"] = str(study.folder / "elsewhere")


def add_notes(root: Path) -> None:
    """A file that is neither an image nor the table."""
    (root / "notes.txt").write_text("about these images")


# ------------------------------------------------------------------------------------------- the table

ARMS = "retrain×2 redraw labels gaussian"
BEHIND = f"cluster stability train curve {ARMS} compare overview report"
EVERYTHING = f"dataset split pixels engine embed {BEHIND}"
LARGE = (f"results/{PIXELS}", f"results/{EMBED}/embeddings.h5")  # here small enough to be compared by content
learning_rate = entry("heads", "linear", learning_rate=0.01)
HEADS = "train curve retrain×2 labels gaussian compare overview report"

TABLE: dict[str, tuple[Change, str, str]] = {
    # what no result depends on
    "nothing": (nothing, "", ""),
    "number-of-cores": (cores(1), "", ""),
    "config-file-touched": (write_config_again, "", ""),
    "package-files-touched": (touch_package, "", ""),
    "images-touched": (several(touch("raw/*.png"), touch("raw/table.csv")), "", ""),
    "images-moved": (move_images, "", ""),
    "notes-beside-the-images": (images(add_notes), "", ""),
    "large-files-touched": (several(*map(touch, LARGE), ask("--max-checksum-file-size", "0")), "", ""),
    "comments-and-docstrings": (comment_package, "", ""),
    # code
    "function-of-the-clustering": (
        code("clustering/distances.py", ".argmin(axis=1)", ".argmin(1)"),
        "code",
        f"cluster stability {ARMS} compare overview report",
    ),
    "function-of-the-decoding": (code("data/decoding.py", "\ndef ", "\nADDED = 1\n\n\ndef "), "code", EVERYTHING),
    "stage-of-the-training": (
        code("stages/train.py", "fix_threads(args.threads)", "fix_threads(int(args.threads))"),
        "code",
        "train compare overview report",
    ),
    "library-upgraded": (upgrade_library, "", ""),
    # images
    "image-added": (images(raw_folder.add), "input", EVERYTHING),
    "image-removed": (images(raw_folder.remove), "input", EVERYTHING),
    "images-and-labels": (
        several(*map(images, (raw_folder.replace, raw_folder.add, raw_folder.remove, raw_folder.relabel))),
        "input",
        EVERYTHING,
    ),
    "image-lost": (images(raw_folder.lose), "input", EVERYTHING),
    "image-replaced": (images(raw_folder.replace), "input", EVERYTHING),
    "label-changed": (images(raw_folder.relabel), "input", EVERYTHING),
    # configuration
    "title": (entry("studies", "tiny", title="Another title"), "parameters", "compare overview report"),
    "learning-rate": (learning_rate, "parameters", HEADS),
    "draws": (entry("controls", "few", draws=29), "parameters", "redraw labels compare overview report"),
    "repeats": (entry("controls", "few", repeats=6), "parameters", "retrain×2 gaussian compare overview report"),
    "smallest-test-part": (
        entry("controls", "few", min_test=3),
        "parameters",
        "labels gaussian compare overview report",
    ),
    "share-of-test-images": (entry("splits", "holdout", test=0.25), "parameters", f"split {BEHIND}"),
    "size-of-pixels": (entry("pixels", "square-32", size=40), "parameters", f"pixels engine embed {BEHIND}"),
    "seed-of-weights": (entry("backbones", "small-cnn", seed=1), "parameters", f"weights engine embed {BEHIND}"),
    "clustering-added": (
        add_clustering,
        "missing input parameters",
        "cluster stability retrain×3 redraw labels gaussian compare overview report",
    ),
    "backbone-added": (add_backbone, "missing input parameters", f"weights engine embed {BEHIND} models"),
    "features-added": (add_features, "missing input parameters", "features report"),
    "regressions-added": (add_regressions, "missing input parameters", "regress regressions report"),
    "second-study": (add_study, "missing input", f"train curve {ARMS} compare overview report"),
    "threads": (lambda study: study.config.update(threads=2), "parameters", f"weights {EVERYTHING}"),
    # results
    "deleted-caches": (delete(PIXELS, f"{EMBED}/embeddings.h5", f"{EMBED}/engine.json"), "", ""),
    "deleted-embeddings-that-a-change-needs": (
        several(delete(f"{EMBED}/embeddings.h5"), learning_rate),
        "missing parameters",
        f"embed {BEHIND}",
    ),
    "deleted-assignments": (delete(f"{CLUSTER}/assignments.parquet"), "", ""),
    "deleted-assignments-that-a-change-needs": (
        several(delete(f"{CLUSTER}/assignments.parquet"), entry("controls", "few", draws=29)),
        "missing parameters",
        "cluster stability retrain×2 redraw labels compare overview report",
    ),
    "deleted-checksums": (delete("checksums"), "", ""),
    "deleted-figure-of-the-clusters": (delete(f"{CLUSTER}/pca.png"), "", ""),
    "deleted-figure-asked-for": (
        several(delete(f"{CLUSTER}/pca.png"), ask(f"results/{CLUSTER}/pca.png")),
        "missing",
        "cluster",
    ),
    "deleted-table": (delete("compare/tiny/clusters.tex"), "missing", "compare overview report"),
    "deleted-verdict": (delete("compare/tiny/verdict.json"), "missing", "compare overview report"),
    "deleted-report": (delete("report/tiny/index.html"), "missing", "report"),
}

RUN = [
    "images-and-labels",
    "deleted-assignments-that-a-change-needs",
    "learning-rate",
    "stage-of-the-training",
    "clustering-added",
]
"""Changes that differ in kind, made one after another: none makes again all that the ones before it made, so that the
comparison at the end sees the work of each."""


def counted(jobs: str) -> dict[str, int]:
    """`train retrain×2` → {train: 1, retrain: 2}."""
    return {name: int(count or 1) for name, _, count in (job.partition("×") for job in jobs.split())}


@pytest.mark.parametrize("change", [change for change in TABLE if change not in RUN])
def test_a_change_makes_again(snakemake: Callable, folder: Path, config: dict[str, Any], change: str) -> None:
    happened, why, jobs = TABLE[change]
    study = Finished(folder, config)
    happened(study)
    assert study.jobs(snakemake, "--dry-run") == (counted(jobs), set(why.split()))


@pytest.fixture(scope="module")
def changed(run_once: Path, unchanged_tiny: dict[str, Any], tmp_path_factory: pytest.TempPathFactory) -> Finished:
    """A copy of the folder of the finished study, for one change after another."""
    folder = shutil.copytree(run_once, tmp_path_factory.mktemp("changed") / "copy")
    return Finished(folder, on_the_folder(copy.deepcopy(unchanged_tiny)))


@pytest.mark.parametrize("change", RUN)
def test_one_change_after_another_makes_again(snakemake: Callable, changed: Finished, change: str) -> None:
    happened, why, jobs = TABLE[change]
    happened(changed)
    assert changed.jobs(snakemake) == (counted(jobs), set(why.split()))
    assert changed.jobs(snakemake, "--dry-run") == ({}, set())


def test_after_all_changes_the_results_are_those_of_a_run_from_scratch(
    snakemake: Callable, changed: Finished, tmp_path: Path
) -> None:
    """That run is divided among two jobs that embed. Attributes of the two caches count what was computed, and the
    report tells what the jobs took.
    """
    shutil.copytree(changed.folder / "raw", tmp_path / "raw")
    config = copy.deepcopy(changed.config)
    config["datasets"]["toy"]["scatter"] = 2
    Finished(tmp_path, config, package=changed.package).jobs(snakemake)
    first, second = (checksums(place) for place in (changed.folder, tmp_path))
    assert len(first) > 70
    assert [name for name in first if first[name] != second[name]] == [
        f"{PIXELS}.sha256",
        f"{EMBED}/embeddings.h5.sha256",
        "report/tiny/index.html.sha256",
    ]


def checksums(folder: Path) -> dict[str, str]:
    """Of every result: file of the checksum → its line."""
    records = folder / "results/checksums"
    return {str(path.relative_to(records)): path.read_text() for path in sorted(records.rglob("*.sha256"))}


def test_lost_photographs_of_a_phantom_come_back_where_they_are_needed(
    ran: Callable, planned: Callable, finished: Path, tiny: dict[str, Any], tmp_path: Path
) -> None:
    folder = shutil.copytree(finished, tmp_path / "copy")
    photographs = folder / "results/phantom/toy/site-1"
    before = {path.name: path.read_bytes() for path in photographs.iterdir()}
    shutil.rmtree(photographs)
    assert planned(folder, tiny) == {}  # all that is made of them stands
    tiny["pixels"]["square-32"]["size"] = 40
    assert planned(folder, tiny) == counted(f"phantom dataset split pixels engine embed {BEHIND}")
    ran(folder, tiny, "results/dataset/toy/square-32/pixels.h5")
    assert {path.name: path.read_bytes() for path in photographs.iterdir()} == before
    assert "phantom" not in planned(folder, tiny)
