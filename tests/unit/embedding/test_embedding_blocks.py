"""Features on disk: the same values as in memory, whatever the files' order, a block at a time."""

from __future__ import annotations

import tracemalloc
from pathlib import Path

import h5py
import numpy as np
import pandas as pd
import pytest

from heteroscope.embedding import blocks
from heteroscope.embedding.blocks import FeatureBlocks, drawn_rows, is_large, row_blocks
from heteroscope.embedding.samples import Samples, load_samples
from heteroscope.errors import StoreError
from heteroscope.store import create_h5, read_embeddings, write_strings, write_table

NAMES = np.array([f"{number:016x}" for number in range(50)], dtype=object)
PLANTED = np.random.default_rng(0).normal(size=(50, 3, 5)).astype(np.float32)  # image, view, column


def write(path: Path, image: np.ndarray, view: np.ndarray, columns: slice, *, kind: str) -> Path:
    with create_h5(path, kind, {"model": path.stem}) as file:
        file.create_dataset("features", data=PLANTED[image, view, columns], chunks=True, fletcher32=True)
        write_strings(file, "image_id", NAMES[image].tolist())
        if kind == "views":
            file.create_dataset("view", data=view)
    return path


@pytest.fixture
def files(tmp_path: Path) -> tuple[list[Path], list[Path], Path]:
    """A fusion of 3 and 2 columns with two views of 20 images, each file in an order of its own, and a split."""
    generator = np.random.default_rng(1)
    originals, views = [], []
    for name, columns in (("one", slice(0, 3)), ("two", slice(3, 5))):
        image = generator.permutation(50)
        originals.append(write(tmp_path / f"{name}.h5", image, 0 * image, columns, kind="embeddings"))
        order = generator.permutation(40)
        views.append(write(tmp_path / f"{name}-views.h5", order % 20, 1 + order // 20, columns, kind="views"))
    part = np.array(["train"] * 25 + ["test"] * 15 + ["validation"] * 5 + ["backbone"] * 5)
    table = pd.DataFrame({"image_id": NAMES, "class": "a", "label": 0, "group": NAMES, "part": part})
    write_table(table.sample(frac=1, random_state=2), tmp_path / "split.parquet")
    return originals, views, tmp_path / "split.parquet"


def planted(samples: Samples) -> np.ndarray:
    """What was written for each sample."""
    return PLANTED[[int(name, 16) for name in samples.image_id], samples.view]


@pytest.fixture
def small_memory(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(blocks, "IN_MEMORY_VALUES", 10)
    monkeypatch.setattr(blocks, "BLOCK_VALUES", 35)


@pytest.mark.usefixtures("small_memory")
def test_features_on_disk_are_those_of_the_files_by_image_and_view(
    files: tuple[list[Path], list[Path], Path],
) -> None:
    samples = load_samples(*files, in_memory=False)
    assert isinstance(samples.features, FeatureBlocks)
    assert samples.features.shape == (85, 5)
    for rows in ([3], [84, 0, 60, 0, 44], np.arange(85), np.random.default_rng(3).permutation(85), []):
        rows = np.asarray(rows, dtype=np.int64)
        np.testing.assert_array_equal(samples.features[rows], planted(samples)[rows])
    whole = load_samples(*files)
    assert isinstance(whole.features, np.ndarray)
    np.testing.assert_array_equal(whole.features, planted(samples))
    np.testing.assert_array_equal(samples.in_memory(), whole.features)
    np.testing.assert_array_equal(samples.image_id, whole.image_id)


def test_only_features_above_the_limit_stay_on_disk(
    files: tuple[list[Path], list[Path], Path], monkeypatch: pytest.MonkeyPatch
) -> None:
    for limit, large in ((85 * 5, False), (85 * 5 - 1, True)):
        monkeypatch.setattr(blocks, "IN_MEMORY_VALUES", limit)
        assert is_large((85, 5)) == large
        assert isinstance(load_samples(*files, in_memory=False).features, FeatureBlocks) == large


@pytest.mark.usefixtures("small_memory")
def test_blocks_hold_every_row_once_and_follow_the_files(files: tuple[list[Path], list[Path], Path]) -> None:
    features = load_samples(*files, in_memory=False).features
    rows = np.random.default_rng(4).permutation(85)[:60]
    pieces = list(row_blocks(features, rows))
    assert [len(piece) for piece in pieces] == [7] * 8 + [4]
    order = np.concatenate(pieces)
    assert sorted(order) == sorted(rows)
    samples = load_samples(*files)
    stored = [
        (embeddings.image_id[row], embeddings.view[row])
        for embeddings in (read_embeddings([files[0][0]]), read_embeddings([files[1][0]], "views"))
        for row in range(len(embeddings.image_id))
    ]
    places = [stored.index((samples.image_id[row], samples.view[row])) for row in order]
    assert places == sorted(places)
    assert [piece.tolist() for piece in row_blocks(np.zeros((9, 5)), np.array([5, 1, 3]), size=2)] == [[5, 1], [3]]


@pytest.mark.usefixtures("small_memory")
def test_damage_is_met_where_it_stands(files: tuple[list[Path], list[Path], Path]) -> None:
    features = load_samples(*files, in_memory=False).features
    image = int(load_samples(*files).image_id[7], 16)
    with h5py.File(files[0][1], "r+") as file:
        place = [int(name, 16) for name in file["image_id"][:]].index(image)
        file["features"][place, 1] = np.nan
    with pytest.raises(StoreError, match=rf"two\.h5: the embedding of image {NAMES[image]} is not finite"):
        _ = features[np.arange(5, 10)]
    np.testing.assert_array_equal(features[np.array([8, 60])].shape, (2, 5))
    files[0][1].unlink()
    with pytest.raises(StoreError, match=r"two\.h5: no such file"):
        _ = features[np.array([8])]


def test_memory_is_that_of_the_rows_asked_for(tmp_path: Path) -> None:
    with create_h5(tmp_path / "e.h5", "embeddings") as file:
        file.create_dataset("features", shape=(20_000, 64), dtype="float32", chunks=(500, 64))
        write_strings(file, "image_id", [str(number) for number in range(20_000)])
    embeddings = read_embeddings([tmp_path / "e.h5"])
    features = FeatureBlocks([(embeddings, np.arange(20_000)[::-1])])
    for rows in (np.arange(100), np.arange(0, 20_000, 200)):
        tracemalloc.start()
        _ = features[rows]
        peak = tracemalloc.get_traced_memory()[1]
        tracemalloc.stop()
        assert peak < 10 * 100 * 64 * 4 < 20_000 * 64 * 4 / 10


def test_drawn_rows_are_all_or_a_seeded_sample() -> None:
    assert drawn_rows(10, 10, seed=0).tolist() == list(range(10))
    rows = drawn_rows(100, 10, seed=0)
    assert len(set(rows.tolist())) == 10
    assert rows.tolist() == sorted(rows.tolist())
    np.testing.assert_array_equal(rows, drawn_rows(100, 10, seed=0))
    assert rows.tolist() != drawn_rows(100, 10, seed=1).tolist()
