"""`heteroscope check` on a finished study: it compares every result, and sees what Snakemake does not."""

from __future__ import annotations

import os
import re
import shlex
import shutil
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path
from typing import Any

import h5py
import pytest
import yaml

CLUSTER = "cluster/toy/small-cnn/holdout/none/kmeans-2"
NO_RESULTS = {"benchmarks", "checksums", "logs"}


@pytest.fixture
def folder(finished: Path, unchanged_tiny: dict[str, Any], tmp_path: Path) -> Path:
    """A copy of the finished study, beside its own configuration: other tests have planned others there."""
    copy = shutil.copytree(finished, tmp_path / "copy")
    (copy / "study.yaml").write_text(yaml.safe_dump(unchanged_tiny, sort_keys=False))
    return copy


def check(folder: Path) -> tuple[int, str]:
    """Status and output; tests/e2e/test_plan.py looks at the plan."""
    command = [sys.executable, "-m", "heteroscope", "check", "--no-plan", "study.yaml"]
    done = subprocess.run(command, cwd=folder, capture_output=True, text=True, check=False)
    assert "Traceback" not in done.stderr
    return done.returncode, done.stdout


def results(folder: Path) -> set[str]:
    """Every file of a run that is no log, and no photograph that a listing already holds the SHA-256 of."""
    files = {path.relative_to(folder / "results") for path in (folder / "results").rglob("*") if path.is_file()}
    return {
        str(path)
        for path in files
        if path.parts[0] not in NO_RESULTS and path.name[0] != "." and not path.match("phantom/toy/site-*/*.png")
    }


def change_a_digit(path: Path) -> None:
    text = path.read_text()
    digit = re.search(r"\d(?=\D*$)", text)
    path.write_text(text[: digit.start()] + str((int(digit[0]) + 1) % 10) + text[digit.end() :])


def flip_a_bit(path: Path) -> None:
    content = bytearray(path.read_bytes())
    content[len(content) // 2] ^= 1
    path.write_bytes(content)


def change_a_feature(path: Path) -> None:
    """Through the library, so that HDF5's own checksums are right."""
    with h5py.File(path, "r+") as file:
        file["features"][0, 0] += 1


EDITS: dict[str, Callable[[Path], None]] = {
    "compare/tiny/verdict.json": change_a_digit,
    "compare/tiny/clusters.csv": change_a_digit,
    "compare/tiny/clusters.tex": change_a_digit,
    "compare/tiny/gain.png": flip_a_bit,
    f"{CLUSTER}/assignments.parquet": flip_a_bit,
    f"{CLUSTER}/stability.json": change_a_digit,
    "dataset/toy/classes.csv": change_a_digit,
    "dataset/toy/square-32/pixels.h5": flip_a_bit,
    "embed/toy/small-cnn/embeddings.h5": change_a_feature,
    "embed/toy/small-cnn/embeddings.h5.digest": change_a_digit,
    "report/tiny/index.html": change_a_digit,
    "retrain/toy/small-cnn/holdout/none/kmeans-2/linear/few/labels.h5": flip_a_bit,
    "split/toy/holdout.parquet": flip_a_bit,
    "train/toy/small-cnn/holdout/none/linear/history.csv": change_a_digit,
    "weights/small-cnn.pt": flip_a_bit,
}


def test_every_result_of_a_run_is_compared_and_stands(folder: Path) -> None:
    assert check(folder) == (0, f"as they were written: {len(results(folder))} results\n")


def test_edits_that_snakemake_does_not_see_are_named(planned: Callable, folder: Path, tiny: dict[str, Any]) -> None:
    """All keep the file's time, and all but one its size."""
    for name, edit in EDITS.items():
        path = folder / "results" / name
        before, content = path.stat(), path.read_bytes()
        edit(path)
        assert path.read_bytes() != content
        os.utime(path, ns=(before.st_atime_ns, before.st_mtime_ns))
        # h5py cuts off what stands behind the end of the file that it knows
        assert path.stat().st_size == before.st_size or edit is change_a_feature
    assert planned(folder, tiny) == {}
    status, output = check(folder)
    assert status == 1
    named = {line.split(":")[0] for line in output.splitlines() if "changed by hand or damaged" in line}
    assert named == {f"results/{name}" for name in EDITS}
    assert f"as they were written: {len(results(folder)) - len(EDITS)} results\n" in output


def test_the_printed_commands_mend_an_edited_table(folder: Path) -> None:
    table = folder / "results/compare/tiny/clusters.csv"
    before = table.read_bytes()
    change_a_digit(table)
    remove, run = [shlex.split(line) for line in check(folder)[1].splitlines()[-2:]]
    assert remove == ["rm", "-f", "results/compare/tiny/clusters.csv"]
    subprocess.run(remove, cwd=folder, check=True)
    root = Path(__file__).parents[2]
    snakemake = [sys.executable, "-m", *run, "--snakefile", str(root / "Snakefile")]
    path = f"{Path(sys.executable).parent}{os.pathsep}{os.environ['PATH']}"
    environment = os.environ | {"PATH": path}
    done = subprocess.run(snakemake, cwd=folder, check=True, capture_output=True, text=True, env=environment)
    assert table.read_bytes() == before
    assert check(folder)[0] == 0
    # a finished run says where the report is
    assert f"  report   {folder.resolve() / 'results/report/tiny/index.html'}\n" in done.stdout
