"""Files that were cut or changed: noticed and named by whoever reads them, and never used."""

from __future__ import annotations

import multiprocessing
from collections.abc import Callable
from pathlib import Path
from typing import Any

import h5py
import numpy as np
import pandas as pd
import pytest

from heteroscope.backbones.weights import initial_weights, read_weights, write_weights
from heteroscope.errors import StoreError
from heteroscope.store import create_h5, open_h5, read_table, write_strings, write_table

ROWS, WIDTH = 40, 30


def write_h5(path: Path) -> None:
    """Attributes, names, a table in one piece, rows in checksummed chunks: all that the workflow's files hold."""
    values = np.random.default_rng(0).normal(size=(ROWS, WIDTH)).astype(np.float32)
    with create_h5(path, "embeddings", {"model": "small-cnn", "rules": {"penalty": 0.1}, "draws": 19}) as file:
        write_strings(file, "image_id", [f"{row:016x}" for row in range(ROWS)])
        file.create_dataset("label", data=np.arange(ROWS))
        file.create_dataset("features", data=values, chunks=(4, WIDTH), fletcher32=True)


def read_h5(path: Path) -> object:
    with open_h5(path, "embeddings") as file:
        return {name: str(file.attrs[name]) for name in file.attrs}, {name: file[name][:].tobytes() for name in file}


def write_parquet(path: Path) -> None:
    generator = np.random.default_rng(0)
    frame = pd.DataFrame({"image_id": [f"{row:016x}" for row in range(ROWS)], "distance": generator.normal(size=ROWS)})
    write_table(frame.assign(part="train", label=generator.integers(0, 2, ROWS)), path)


def write_checkpoint(path: Path) -> None:
    write_weights(initial_weights("small-cnn", "random", seed=0, downloads=path.parent, key="weights"), path)


def read_checkpoint(path: Path) -> object:
    weights = read_weights(path, model="small-cnn")
    return weights.description, weights.sha256


FILES: dict[str, tuple[Callable[[Path], None], Callable[[Path], object]]] = {
    "h5": (write_h5, read_h5),
    "parquet": (write_parquet, lambda path: read_table(path).to_dict("list")),
    "pt": (write_checkpoint, read_checkpoint),
}


def flipped(data: bytes, generator: np.random.Generator) -> bytes:
    changed = bytearray(data)
    changed[generator.integers(len(data))] ^= 1 << generator.integers(8)
    return bytes(changed)


def zeroed(data: bytes, generator: np.random.Generator) -> bytes:
    """A block of the size that a disk writes at once, lost."""
    changed = bytearray(data)
    start = int(generator.integers(len(data) // 512 + 1)) * 512
    changed[start : start + 512] = bytes(len(changed[start : start + 512]))
    return bytes(changed)


def cut(data: bytes, generator: np.random.Generator) -> bytes:
    return data[: generator.integers(len(data))]


def unnoticed(ending: str, damage: Callable, folder: Path, number: int, queue: Any) -> None:
    """Damage a file in many places, one at a time, and tell where a reader neither minded nor got what was written."""
    write, read = FILES[ending]
    path = folder / f"file.{ending}"
    write(path)
    data, whole, generator, missed = path.read_bytes(), read(path), np.random.default_rng(0), []
    for _ in range(number):
        damaged = damage(data, generator)
        if damaged == data:
            continue
        path.unlink()  # a new file each time: what was checked is not checked again
        path.write_bytes(damaged)
        try:
            if read(path) != whole:
                missed.append(f"{len(damaged)} of {len(data)} bytes")
        except StoreError as error:
            if str(path) not in str(error) or "run the workflow again" not in str(error):
                missed.append(str(error))
    queue.put(missed)


@pytest.mark.parametrize("damage", [flipped, zeroed, cut])
@pytest.mark.parametrize("ending", ["h5", "parquet", "pt"])
def test_no_damage_goes_unnoticed_and_none_hangs(ending: str, damage: Callable, tmp_path: Path) -> None:
    """In a process of its own, so that a reader that hangs or crashes fails the test and not the run."""
    context = multiprocessing.get_context("fork")
    queue = context.Queue()
    number = 40 if ending == "pt" else 200
    process = context.Process(target=unnoticed, args=(ending, damage, tmp_path, number, queue))
    process.start()
    try:
        assert queue.get(timeout=60) == []
    finally:
        process.kill()
        process.join()


def test_the_heap_that_hdf5_searches_for_ever_is_noticed(tmp_path: Path) -> None:
    """Texts of attributes stand in a heap; of zeros, HDF5 finds no end."""
    path = tmp_path / "file.h5"
    write_h5(path)
    data = bytearray(path.read_bytes())
    heap = data.index(b"GCOL")
    data[heap + 16 : heap + 4096] = bytes(len(data[heap + 16 : heap + 4096]))
    path.unlink()
    path.write_bytes(data)
    with pytest.raises(StoreError, match=r"file\.h5: damaged or incomplete"), open_h5(path, "embeddings"):
        pass


def test_the_words_beside_the_weights_are_checked_too(tmp_path: Path) -> None:
    """The digest is of the tensors; what the weights are is shown in every report."""
    path = tmp_path / "file.pt"
    write_checkpoint(path)
    path.write_bytes(path.read_bytes().replace(b"random (seed 0)", b"IMAGENET1K_V1 !", 1))
    with pytest.raises(StoreError, match=r"file\.pt: .*does not match its checksum.*delete it"):
        read_checkpoint(path)


def test_other_programs_read_what_carries_a_seal(tmp_path: Path) -> None:
    write_h5(tmp_path / "file.h5")
    write_parquet(tmp_path / "file.parquet")
    with h5py.File(tmp_path / "file.h5") as file:
        assert file["features"].shape == (ROWS, WIDTH)
    pd.testing.assert_frame_equal(pd.read_parquet(tmp_path / "file.parquet"), read_table(tmp_path / "file.parquet"))


READERS = {
    "results/dataset/toy/images.parquet": ["split", "pixels", "cluster", "regress", "compare"],
    "results/dataset/toy/square-32/pixels.h5": ["engine", "embed", "views", "finetune", "cluster"],
    "results/weights/small-cnn.pt": ["engine", "embed"],
    "results/weights/tuned.pt": ["finetune"],
    "results/embed/toy/small-cnn/embeddings.h5": [
        *("train", "curve", "hybrid", "cluster", "stability", "retrain", "redraw"),
    ],
    "results/split/toy/holdout.parquet": ["train", "retrain", "compare"],
    "results/cluster/toy/small-cnn/holdout/none/kmeans-2/assignments.parquet": ["stability", "labels", "compare"],
    "results/retrain/toy/small-cnn/holdout/none/kmeans-2/linear/few/label-sets.h5": ["labels", "compare"],
    "results/retrain/toy/small-cnn/holdout/none/kmeans-2/linear/few/labels.h5": ["compare"],
    "results/retrain/toy/small-cnn/holdout/none/kmeans-2/linear/few/gaussian.h5": ["compare"],
    "results/retrain/toy/small-cnn/holdout/none/kmeans-2/linear/few/cluster-0/size.h5": ["compare"],
    "results/train/toy/small-cnn/holdout/none/linear/predictions.parquet": ["compare"],
    "results/hybrid/toy/small-cnn/holdout/none/logistic/predictions.parquet": ["hybrids"],
    "results/regress/toy/small-cnn/holdout/none/ridge/predictions.parquet": ["regressions"],
    "results/train/toy/small-cnn/holdout/none/linear/curve.parquet": ["compare"],
}


@pytest.mark.parametrize(("name", "stage"), [(name, stage) for name, stages in READERS.items() for stage in stages])
def test_every_stage_names_a_damaged_input_and_changes_nothing(
    name: str, stage: str, jobs: dict, folder: Path, monkeypatch: pytest.MonkeyPatch, capsys: Any
) -> None:
    path = Path(name)
    data = bytearray(path.read_bytes())
    # in HDF5 a byte that no chunk holds: chunks are looked at by those who read their rows
    data[1000 if path.suffix == ".h5" else len(data) // 2] ^= 16
    path.unlink()
    path.write_bytes(data)
    if stage in ("engine", "embed"):  # what they hold already would be kept
        Path("results/embed/toy/small-cnn/embeddings.h5").unlink()
    if stage == "engine":
        Path("results/embed/toy/small-cnn/engine.json").unlink()
    before = contents()
    message = jobs[stage].fails(monkeypatch, capsys)
    assert name in message
    assert "again" in message
    assert contents() == before


def contents() -> dict[Path, bytes]:
    return {path: path.read_bytes() for path in Path("results").rglob("*") if path.is_file()}
