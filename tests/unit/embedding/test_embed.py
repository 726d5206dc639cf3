"""Incremental embeddings: what is computed, what is copied, what is written."""

from __future__ import annotations

import importlib.metadata
import json
import logging
import os
import shutil
import signal
import subprocess
import sys
import threading
import time
import tracemalloc
from collections.abc import Callable, Iterable, Iterator, Sequence
from pathlib import Path
from types import FrameType
from typing import Any

import h5py
import numpy as np
import pandas as pd
import pytest
import torch

from heteroscope.backbones.pooling import FeatureExtractor, embedding_width
from heteroscope.backbones.weights import initial_weights, read_weights, write_weights
from heteroscope.config import Augmentation
from heteroscope.data.augmentation import augment
from heteroscope.embedding import embed, keys, reading
from heteroscope.embedding.engine import Engine
from heteroscope.embedding.journal import Journal, new_journal
from heteroscope.embedding.openvino_engine import OpenVinoEngine, converted
from heteroscope.embedding.recipe import EngineName
from heteroscope.embedding.torch_engine import TorchEngine
from heteroscope.errors import StoreError
from heteroscope.store import create_h5, digest_path, open_h5, read_embeddings, write_strings
from tests.unit.embedding.sums import RECIPE, SIZE, Sums, planted

SHIFTED = Augmentation(copies=2, shift=0.3, flip=True, seed=4)


def image(number: int, size: int = SIZE) -> np.ndarray:
    return np.random.default_rng(number).integers(0, 256, (3, size, size), dtype=np.uint8)


def name(number: int) -> str:
    return f"{number:08x}{0:08x}"


def number_of(image_id: str) -> int:
    return int(image_id[:8], 16)


def write_pixels(path: Path, numbers: Sequence[int], size: int = SIZE) -> Path:
    with create_h5(path, "pixels", {"spec": {"size": size, "decoding": "auto"}, "decoding": "reduced"}) as file:
        shape = (len(numbers), 3, size, size)
        limit = (None, *shape[1:])  # none may be there
        pixels = file.create_dataset(
            "pixels", shape, dtype="uint8", maxshape=limit, chunks=(1, *shape[1:]), fletcher32=True
        )
        for row, number in enumerate(numbers):
            pixels[row] = image(number, size)
        write_strings(file, "image_id", [name(number) for number in numbers])
        write_strings(file, "key", [f"key of {number}" for number in numbers])
    return path


class Study:
    """A folder with pixels, and files of embeddings."""

    def __init__(self, folder: Path) -> None:
        self.folder = folder
        self.pixels = write_pixels(folder / "pixels.h5", range(10))
        self.output = folder / "embeddings.h5"

    def embed(
        self,
        *,
        output: Path | None = None,
        reuse: Sequence[Path] = (),
        augmentation: Augmentation | None = None,
        runner: Engine | None = None,
        workers: int = 2,
        **changes: object,
    ) -> tuple[int, int]:
        """Embed all images, or views of the first five; returns how many rows were computed and reused."""
        output = output or (self.views if augmentation else self.output)
        if augmentation:
            numbers = [number for number in range(5) for _ in range(augmentation.copies)]
            rows = pd.DataFrame({"image_id": map(name, numbers), "view": [*range(1, augmentation.copies + 1)] * 5})
            target = keys.views(rows, augmentation)
        else:
            target = keys.originals(self.pixels)
        recipe = RECIPE.model_copy(update=changes)
        used = runner or Sums()
        embed.embed(target, recipe, lambda: used, pixels=self.pixels, output=output, reuse=reuse, workers=workers)
        with h5py.File(output) as file:
            computed, reused = int(file.attrs["computed"]), int(file.attrs["reused"])
        if isinstance(used, Sums):
            assert sum(used.batches) == computed
        return computed, reused

    @property
    def views(self) -> Path:
        return self.folder / "views.h5"

    def rename(self, number: int, key: bytes) -> None:
        """Give the pixels of an image another key."""
        with h5py.File(self.pixels, "r+") as file:
            file["key"][number] = key


@pytest.fixture
def study(tmp_path: Path) -> Study:
    return Study(tmp_path)


def content(path: Path) -> dict[str, bytes]:
    with h5py.File(path) as file:
        return {name: file[name][:].tobytes() for name in file}


def assert_as_from_scratch(study: Study) -> None:
    """The file holds what a run without any older file writes, bit for bit."""
    scratch = study.folder / "scratch" / "embeddings.h5"
    scratch.unlink(missing_ok=True)
    study.embed(output=scratch)
    assert content(study.output) == content(scratch)
    assert digest_path(study.output).read_bytes() == digest_path(scratch).read_bytes()


def leftovers(folder: Path) -> list[str]:
    return [path.name for path in folder.iterdir() if path.name.startswith(".")]


# ------------------------------------------------------------------------------------ incremental


def test_rows_stand_in_the_order_of_the_pixels_with_what_they_stand_on(study: Study) -> None:
    assert study.embed() == (10, 0)
    embeddings = read_embeddings([study.output])
    np.testing.assert_array_equal(embeddings.features, planted(np.stack([image(number) for number in range(10)])))
    assert embeddings.features.dtype == np.float32
    assert list(embeddings.image_id) == [name(number) for number in range(10)]
    found = {key: value for key, value in embeddings.attributes.items() if not key.startswith("encoding")}
    assert found == {
        "model": "small-cnn",
        "weights": "random (seed 0)",
        "weights_sha256": "0" * 64,
        "pooling": "last (avg)",
        "preprocessing": '{"decoding": "reduced", "size": 32}',
        "augmentation": "null",
        "engine": "torch",
        "precision": "float32",
        "agreement": 0.9995,
        "compared": 64,
        "computed_by": f'["torch {importlib.metadata.version("torch")} on a CPU"]',
        "computed": 10,
        "reused": 0,
    }
    assert leftovers(study.folder) == []


def test_what_computed_copied_rows_is_not_forgotten(study: Study) -> None:
    def computed_by() -> list[str]:
        with h5py.File(study.output) as file:
            return [origin.split(" on ")[1] for origin in json.loads(file.attrs["computed_by"])]

    study.embed()
    other = Sums()
    other.device = "a GPU"
    write_pixels(study.pixels, range(11))
    assert study.embed(runner=other) == (1, 10)
    assert computed_by() == ["a CPU", "a GPU"]
    write_pixels(study.pixels, [10])
    assert study.embed() == (0, 1)
    assert computed_by() == ["a CPU", "a GPU"]  # of the whole older file: its rows do not say it one by one


def test_a_second_run_makes_no_engine_and_changes_no_row(study: Study) -> None:
    study.embed()
    before, digest = content(study.output), digest_path(study.output).read_bytes()

    def no_engine() -> Engine:
        pytest.fail("an engine was made for nothing")

    embed.embed(keys.originals(study.pixels), RECIPE, no_engine, pixels=study.pixels, output=study.output)
    assert content(study.output) == before
    assert digest_path(study.output).read_bytes() == digest


@pytest.mark.parametrize(
    ("numbers", "expected"),
    [
        ([7, 3, 11, 0, 1, 2, 4, 5, 6, 8, 9], (1, 10)),  # one more, in another order
        ([0, 2, 4], (0, 3)),
        ([9, 8, 7, 6, 5, 4, 3, 2, 1, 0], (0, 10)),
        ([20, 0, 21, 1, 22], (3, 2)),
        ([], (0, 0)),
    ],
)
def test_only_new_images_are_computed(study: Study, numbers: list[int], expected: tuple[int, int]) -> None:
    study.embed()
    digest = digest_path(study.output).read_bytes()
    write_pixels(study.pixels, numbers)
    assert study.embed() == expected
    assert list(read_embeddings([study.output]).image_id) == [name(number) for number in numbers]
    assert_as_from_scratch(study)
    assert digest_path(study.output).read_bytes() != digest


def test_changed_bytes_of_an_image_change_its_row_alone(study: Study) -> None:
    study.embed()
    study.rename(4, b"changed")
    with h5py.File(study.pixels, "r+") as file:
        file["pixels"][4] = image(44)
    assert study.embed() == (1, 9)
    assert_as_from_scratch(study)


@pytest.mark.parametrize(
    "change",
    [
        {"model": "resnet18"},
        {"pooling": "flatten"},
        {"layer": "features.3"},
        {"weights_sha256": "2" * 64},
        {"engine": "openvino"},
        {"precision": "bfloat16"},
    ],
)
def test_what_changes_the_values_makes_every_row_new(study: Study, change: dict[str, str]) -> None:
    study.embed()
    assert study.embed(**change) == (10, 0)


def test_what_does_not_change_the_values_keeps_every_row(study: Study) -> None:
    study.embed()
    changes = {"batch_size": 3, "agreement": 0.9, "device": "another", "versions": {}, "weights_file_sha256": "3" * 64}
    assert study.embed(**changes, workers=5) == (0, 10)


def test_rows_of_other_files_are_reused(study: Study) -> None:
    study.embed()
    other = study.folder / "other.h5"
    write_pixels(study.pixels, [8, 10, 9, 11])
    assert study.embed(reuse=[study.folder / "none.h5", study.output], output=other) == (2, 2)
    study.output.unlink()
    assert study.embed(reuse=[other]) == (0, 4)
    assert_as_from_scratch(study)


def test_files_of_another_width_or_kind_are_not_reused(study: Study) -> None:
    study.embed()
    with h5py.File(study.output, "r+") as file:
        del file["features"]
        file["features"] = np.zeros((10, 6), dtype=np.float32)
    assert study.embed() == (10, 0)
    assert study.embed(reuse=[study.pixels], output=study.folder / "other.h5") == (10, 0)


def test_shards_hold_every_image_once_and_join_in_order(study: Study) -> None:
    whole = keys.originals(study.pixels)
    parts = [study.folder / f"{number}.h5" for number in (1, 2, 3)]
    for number, part in enumerate(parts, start=1):
        embed.embed(keys.shard(whole, number, 3), RECIPE, Sums, pixels=study.pixels, output=part)
    counts = [len(read_embeddings([part]).image_id) for part in parts]
    assert sum(counts) == 10
    assert min(counts) > 0
    assert study.embed(reuse=parts) == (0, 10)
    assert_as_from_scratch(study)


# -------------------------------------------------------------------------------------- damage


def test_a_flipped_bit_in_the_old_file_is_noticed_and_mended(
    study: Study, caplog: pytest.LogCaptureFixture, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(embed, "CHUNK_BYTES", 3 * 5 * 4)  # three rows a chunk
    study.embed()
    with h5py.File(study.output) as file:
        offset = file["features"].id.get_chunk_info(1).byte_offset
    damaged = bytearray(study.output.read_bytes())
    damaged[offset + 5] ^= 1
    study.output.write_bytes(damaged)
    with pytest.raises(StoreError, match=r"embeddings\.h5: damaged"):
        read_embeddings([study.output]).features  # noqa: B018
    with caplog.at_level(logging.WARNING):
        assert study.embed() == (3, 7)
    assert "embeddings.h5: damaged; 3 of its rows are computed anew" in caplog.text
    assert_as_from_scratch(study)


def test_a_damaged_key_costs_its_row_alone(study: Study) -> None:
    study.embed()
    with h5py.File(study.output, "r+") as file:
        file["key"][0] = b"\xff\xfe"
    assert study.embed() == (1, 9)


@pytest.mark.parametrize("kept", [0, 100, 3000])
def test_a_truncated_old_file_is_computed_anew(study: Study, kept: int, caplog: pytest.LogCaptureFixture) -> None:
    study.embed()
    study.output.write_bytes(study.output.read_bytes()[:kept])
    assert study.embed() == (10, 0)
    assert "its rows are computed anew" in caplog.text


def test_damaged_pixels_are_named(study: Study) -> None:
    with h5py.File(study.pixels) as file:
        offset = file["pixels"].id.get_chunk_info(6).byte_offset
    damaged = bytearray(study.pixels.read_bytes())
    damaged[offset + 5] ^= 1
    study.pixels.write_bytes(damaged)
    message = rf"pixels\.h5: the pixels of image {name(6)} are damaged .*; delete it and run the workflow again"
    with pytest.raises(StoreError, match=message):
        study.embed()
    assert not study.output.exists()


def test_an_image_without_pixels_is_named(study: Study) -> None:
    target = keys.Target(np.array([name(0), name(77)], dtype=object), np.zeros(2, dtype=np.int64))
    with pytest.raises(StoreError, match=rf"pixels\.h5: has no image '{name(77)}'"):
        embed.embed(target, RECIPE, Sums, pixels=study.pixels, output=study.output)


def test_values_that_are_not_finite_are_refused_and_leave_no_file(study: Study) -> None:
    class Overflowing(Sums):
        def stream(self, batches: Iterable[np.ndarray]) -> Iterator[np.ndarray]:
            for number, features in enumerate(super().stream(batches)):
                features[1, 3] = np.inf if number == 1 else 0
                yield features

    with pytest.raises(StoreError, match=f"image {name(5)} is not finite; check the backbone's weights"):
        study.embed(runner=Overflowing())
    assert not study.output.exists()


def test_features_are_checksummed_and_chunked(study: Study) -> None:
    study.embed()
    with open_h5(study.output, "embeddings") as file:
        assert file["features"].fletcher32
        assert file["features"].chunks == (10, 5)


# ----------------------------------------------------------------------------------- killed runs

KILLED = """
import sys, time
sys.path.insert(0, sys.argv[1])
from pathlib import Path
from heteroscope.embedding import embed, keys
from tests.unit.embedding.sums import RECIPE, Sums

class Slow(Sums):
    def stream(self, batches):
        for number, features in enumerate(super().stream(batches)):
            if number == 2:
                print("two batches are done", flush=True)
                time.sleep(600)
            yield features

pixels, output = Path(sys.argv[2]), Path(sys.argv[3])
embed.embed(keys.originals(pixels), RECIPE, Slow, pixels=pixels, output=output)
"""
RECORD = 32 + 5 * 4 + 4  # bytes of a key, its features and their checksum


def kill_after_two_batches(study: Study) -> Path:
    """Embed in a process of its own and kill it; returns its journal."""
    before = set(leftovers(study.folder))
    command = [sys.executable, "-c", KILLED, str(Path(__file__).parents[3]), str(study.pixels), str(study.output)]
    with subprocess.Popen(command, stdout=subprocess.PIPE, stderr=subprocess.DEVNULL, text=True) as process:
        assert process.stdout is not None
        assert process.stdout.readline() == "two batches are done\n"
        os.kill(process.pid, signal.SIGKILL)
    assert not study.output.exists()
    (left,) = set(leftovers(study.folder)) - before
    return study.folder / left


@pytest.fixture(scope="module")
def killed(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The journal of a run that was killed."""
    return kill_after_two_batches(Study(tmp_path_factory.mktemp("killed")))


@pytest.fixture
def journal(study: Study, killed: Path) -> Path:
    """The same beside the file that a study is to write."""
    return Path(shutil.copy(killed, study.folder))


@pytest.mark.parametrize(("lost_bytes", "known"), [(0, 8), (1, 7), (RECORD, 7), (RECORD + 1, 6), (8 * RECORD, 0)])
def test_a_killed_run_loses_no_row_that_was_whole(study: Study, journal: Path, lost_bytes: int, known: int) -> None:
    assert journal.stat().st_size == 8 * RECORD
    os.truncate(journal, journal.stat().st_size - lost_bytes)  # as if the kill had come in the middle of a record
    assert study.embed() == (10 - known, known)
    assert leftovers(study.folder) == []
    assert_as_from_scratch(study)


def test_runs_that_are_killed_again_and_again_get_to_the_end(study: Study, journal: Path) -> None:
    write_pixels(study.pixels, range(20))
    assert kill_after_two_batches(study) != journal
    assert study.embed() == (4, 16)
    assert leftovers(study.folder) == []
    assert_as_from_scratch(study)


def test_a_flipped_bit_in_a_journal_costs_its_row_alone(study: Study, journal: Path) -> None:
    damaged = bytearray(journal.read_bytes())
    damaged[3 * RECORD + 40] ^= 1
    journal.write_bytes(damaged)
    assert study.embed() == (3, 7)
    assert_as_from_scratch(study)


@pytest.mark.usefixtures("journal")
@pytest.mark.parametrize("change", [{"weights_sha256": "2" * 64}, {"pooling": "flatten"}])
def test_a_journal_of_other_rows_is_not_used(study: Study, change: dict[str, str]) -> None:
    assert study.embed(**change) == (10, 0)
    assert leftovers(study.folder) == []


def test_two_runs_at_once_do_not_share_a_journal(study: Study) -> None:
    with new_journal(study.output, 5) as one, new_journal(study.output, 5) as other:
        first, second = np.arange(5, dtype="f4")[None], np.ones((1, 5), "f4")
        one.append(np.array([b"a"]), first)
        other.append(np.array([b"b"]), second)
        assert study.embed() == (10, 0)  # a third one, which ends first
        one.append(np.array([b"c"]), first)
    assert study.embed() == (0, 10)


def test_a_disk_that_forgets_is_noticed(study: Study, monkeypatch: pytest.MonkeyPatch) -> None:
    append = Journal.append
    monkeypatch.setattr(Journal, "append", lambda journal, keys, rows: append(journal, keys[1:], rows[1:]))
    with pytest.raises(StoreError, match=r"embeddings\.h5\..*\.journal: not what was written to it; check the disk"):
        study.embed()
    assert not study.output.exists()


def test_an_error_keeps_what_was_computed(study: Study) -> None:
    class Failing(Sums):
        def stream(self, batches: Iterable[np.ndarray]) -> Iterator[np.ndarray]:
            for features in super().stream(batches):
                if len(self.batches) == 3:
                    raise RuntimeError("out of memory")
                yield features

    with pytest.raises(RuntimeError, match=r"^out of memory$"):
        study.embed(runner=Failing())
    assert study.embed() == (2, 8)
    assert_as_from_scratch(study)


# ------------------------------------------------------------------------------- reading ahead


def test_pixels_are_read_a_few_batches_ahead_and_no_further(tmp_path: Path) -> None:
    numbers = np.arange(200)
    pixels = write_pixels(tmp_path / "pixels.h5", numbers.tolist(), size=8)
    asked: list[int] = []

    def batches() -> Iterator[np.ndarray]:
        for start in range(0, 200, 4):
            asked.append(start)
            yield numbers[start : start + 4]

    rows = reading.PixelRows(pixels, keys.originals(pixels))
    read = rows.batches(batches(), batch_size=4, workers=3)
    next(read)
    assert 2 <= len(asked) <= 8
    before = len(asked)
    next(read)
    assert len(asked) == before + 1
    read.close()


def test_memory_does_not_grow_with_the_images(tmp_path: Path) -> None:
    peaks = []
    for count in (100, 400):
        study = Study(tmp_path)
        study.output.unlink(missing_ok=True)
        write_pixels(study.pixels, range(count), size=96)
        tracemalloc.start()
        assert study.embed() == (count, 0)
        peaks.append(tracemalloc.get_traced_memory()[1])
        tracemalloc.stop()
    an_image = 3 * 96 * 96
    assert peaks[0] > 4 * an_image
    assert (peaks[1] - peaks[0]) / 300 < an_image / 20


def test_views_are_made_by_threads_and_stand_in_order(study: Study, monkeypatch: pytest.MonkeyPatch) -> None:
    def slower_for_earlier(pixels: np.ndarray, spec: Augmentation, image_id: str, view: int) -> np.ndarray:
        time.sleep(0.02 * (5 - number_of(image_id)))
        return augment(pixels, spec, image_id, view)

    monkeypatch.setattr(reading, "PIECE", 1)
    monkeypatch.setattr("heteroscope.data.augmentation.augment", slower_for_earlier)
    assert study.embed(augmentation=SHIFTED, workers=4) == (10, 0)
    copies = read_embeddings([study.views], "views")
    pairs = list(zip(copies.image_id, copies.view.tolist(), strict=True))
    assert pairs == [(name(number), view) for number in range(5) for view in (1, 2)]
    pixels = np.stack([augment(image(number_of(key)), SHIFTED, key, view) for key, view in pairs])
    np.testing.assert_array_equal(copies.features, planted(pixels))


def test_more_views_cost_the_new_ones_only(study: Study) -> None:
    study.embed(augmentation=SHIFTED)
    before = read_embeddings([study.views], "views")
    values = before.features  # read now: the file is replaced
    more = SHIFTED.model_copy(update={"copies": 3, "first": 100})
    assert study.embed(augmentation=more) == (5, 10)
    after = read_embeddings([study.views], "views")
    np.testing.assert_array_equal(after.features[after.rows(list(before.image_id), list(before.view))], values)


@pytest.mark.parametrize("name", sorted(set(Augmentation.model_fields) - keys.WHICH_VIEWS))
def test_another_way_of_making_views_makes_every_view_anew(study: Study, name: str) -> None:
    other = {"flip": False, "fill": "black"}.get(name, 1 if name in ("seed", "rotation", "shear") else 0.2)
    study.embed(augmentation=SHIFTED)
    assert study.embed(augmentation=SHIFTED.model_copy(update={name: other})) == (10, 0)


def test_copies_of_an_image_share_their_row_but_not_their_views(study: Study) -> None:
    """As with `duplicates: keep`: two ids, one image, and so one key of its pixels."""
    with h5py.File(study.pixels, "r+") as file:
        file["pixels"][1] = file["pixels"][0]
        file["key"][1] = file["key"][0]
    assert (study.embed(), study.embed()) == ((9, 1), (0, 10))
    features = read_embeddings([study.output]).features
    np.testing.assert_array_equal(features, planted(np.stack([image(number) for number in [0, 0, *range(2, 10)]])))
    assert study.embed(augmentation=SHIFTED) == (10, 0)
    drawn = read_embeddings([study.views], "views")
    of_copies = drawn.features[np.isin(drawn.image_id, [name(0), name(1)])]
    assert len(np.unique(of_copies, axis=0)) == len(of_copies) == 4
    assert study.embed(augmentation=SHIFTED) == (0, 10)


# ---------------------------------------------------------------------------- networks and code


class Network:
    """A small network with random weights and the engines that run it."""

    def __init__(self, folder: Path, engine: EngineName) -> None:
        self.folder = folder
        made = initial_weights("small-cnn", "random", seed=0, downloads=folder, key="weights")
        write_weights(made, folder / "weights.pt")
        self.weights = read_weights(folder / "weights.pt", model="small-cnn")
        extractor = FeatureExtractor(self.weights.network, model="small-cnn", pooling="avg")
        width = embedding_width(extractor, channels=3, size=SIZE)
        values = {"weights_sha256": self.weights.sha256, "width": width, "engine": engine}
        self.recipe = RECIPE.model_copy(update=values)
        self._extractor = extractor

    def engine(self) -> Engine:
        if self.recipe.engine == "torch":
            return TorchEngine(self._extractor, precision="float32", threads=1, batch_size=4)
        network = converted(self.recipe, lambda: self._extractor, cache=self.folder)
        return OpenVinoEngine(network, precision="float32", workers=2)

    def reference(self, pixels: np.ndarray) -> np.ndarray:
        """The penultimate activations, computed without the extractor and the engine."""
        mean, deviation = np.array([0.485, 0.456, 0.406]), np.array([0.229, 0.224, 0.225])
        scaled = (pixels / 255 - mean[:, None, None]) / deviation[:, None, None]
        with torch.inference_mode():
            return self.weights.network.eval()(torch.tensor(scaled, dtype=torch.float32)).numpy()


@pytest.fixture(params=["torch", "openvino"])
def network(tmp_path: Path, request: pytest.FixtureRequest) -> Network:
    return Network(tmp_path, request.param)


def run(study: Study, network: Network, **more: Any) -> tuple[int, int]:
    return study.embed(runner=network.engine(), **network.recipe.model_dump(), **more)


def test_rows_are_the_networks_activations(study: Study, network: Network) -> None:
    assert run(study, network) == (10, 0)
    expected = network.reference(np.stack([image(number) for number in range(10)]))
    np.testing.assert_allclose(read_embeddings([study.output]).features, expected, rtol=1e-4, atol=1e-5)
    assert run(study, network, augmentation=SHIFTED) == (10, 0)
    copies = read_embeddings([study.views], "views")
    pairs = zip(copies.image_id, copies.view.tolist(), strict=True)
    pixels = np.stack([augment(image(number_of(key)), SHIFTED, key, view) for key, view in pairs])
    np.testing.assert_allclose(copies.features, network.reference(pixels), rtol=1e-4, atol=1e-5)


def test_rows_added_later_are_bit_for_bit_those_of_a_run_from_scratch(study: Study, network: Network) -> None:
    run(study, network)
    write_pixels(study.pixels, [11, 3, 5, 12, 0, 13, 14, 15])
    assert run(study, network) == (5, 3)
    scratch = study.folder / "scratch.h5"
    run(study, network, output=scratch)
    assert content(study.output) == content(scratch)


CHOOSES_ROWS = {f"heteroscope.embedding.{part}" for part in ("embed", "journal", "keys", "known", "reading", "recipe")}
STORES_ROWS = {f"heteroscope.{part}" for part in ("store", "atomic", "seals", "checksums", "provenance")}
CHECKS_WEIGHTS = {"heteroscope.backbones.weights", "heteroscope.model_names"}  # keys hold the tensors' digest
CHECKS_ROWS = {"heteroscope.embedding.agreement"}
READS_CONFIG = {
    "heteroscope.config.base",
    "heteroscope.config.parsing",
    "heteroscope.config.data",
    "heteroscope.errors",
}
ON_A_GPU = {"heteroscope.embedding.gpu"}


def modules_run(call: Callable[[], object]) -> set[str]:
    """Modules of the package whose functions run in a call."""
    seen: set[str] = set()

    def note(frame: FrameType, event: str, _: object) -> None:
        if event == "call":
            seen.add(str(frame.f_globals.get("__name__")))

    threading.setprofile(note)
    sys.setprofile(note)
    try:
        call()
    finally:
        sys.setprofile(None)
        threading.setprofile(None)
    return {module for module in seen if module.startswith("heteroscope.")}


@pytest.mark.parametrize("augmentation", [None, SHIFTED])
@pytest.mark.parametrize("engine", ["torch", "openvino"])
def test_keys_hold_the_code_of_every_module_that_values_pass_through(
    study: Study, tmp_path: Path, engine: EngineName, augmentation: Augmentation | None
) -> None:
    seen = modules_run(lambda: run(study, Network(tmp_path, engine), augmentation=augmentation))
    expected = {*keys.NETWORK_CODE, *keys.ENGINE_CODE[engine]} - ON_A_GPU
    if augmentation:
        expected |= {*keys.AUGMENTATION_CODE}
    assert seen - CHOOSES_ROWS - STORES_ROWS - READS_CONFIG - CHECKS_WEIGHTS - CHECKS_ROWS == expected


def test_fusion_puts_two_embeddings_side_by_side(study: Study) -> None:
    study.embed()
    second = study.folder / "second.h5"
    write_pixels(study.pixels, list(range(9, -1, -1)))  # another order of rows
    study.embed(output=second, layer="features.3")
    fused = read_embeddings([study.output, second])
    alone = read_embeddings([second]).features
    np.testing.assert_array_equal(fused.features, np.hstack([read_embeddings([study.output]).features, alone[::-1]]))
