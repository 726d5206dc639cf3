"""Incremental embeddings: what is computed, what is copied, what is written."""

from __future__ import annotations

import json
import logging
import sys
from collections.abc import Callable
from pathlib import Path
from types import FrameType

import h5py
import numpy as np
import pandas as pd
import pytest
import torch

from heteroscope.backbones.weights import initial_weights, read_weights, write_weights
from heteroscope.config import Augmentation, dump
from heteroscope.embedding import embed
from heteroscope.errors import ConfigError, StoreError
from heteroscope.stages import embed as stage
from heteroscope.store import create_h5, digest_path, open_h5, read_embeddings, write_strings, write_table

SIZE = 32
SHIFTED = Augmentation(copies=2, shift=0.3, flip=True, seed=4)


def image(number: int) -> np.ndarray:
    return np.random.default_rng(number).integers(0, 256, (3, SIZE, SIZE), dtype=np.uint8)


def name(number: int) -> str:
    return f"{number:016x}"


def write_pixels(path: Path, numbers: list[int]) -> Path:
    with create_h5(path, "pixels", {"spec": {"size": SIZE}}) as file:
        pixels = np.stack([image(number) for number in numbers])
        file.create_dataset("pixels", data=pixels, chunks=(1, 3, SIZE, SIZE), fletcher32=True)
        write_strings(file, "image_id", [name(number) for number in numbers])
        write_strings(file, "key", [f"key of {number}" for number in numbers])
    return path


class Study:
    """A folder with pixels and weights, and the embed stage as a user calls it."""

    def __init__(self, folder: Path) -> None:
        self.folder = folder
        self.pixels = write_pixels(folder / "pixels.h5", list(range(10)))
        self.output = folder / "embeddings.h5"
        self.reseed(0)

    def reseed(self, seed: int) -> None:
        made = initial_weights("small-cnn", "random", seed=seed, downloads=self.folder, key="weights")
        write_weights(made, self.folder / "weights.pt")

    def embed(self, *flags: str, output: Path | None = None, **spec: object) -> dict[str, object]:
        """Run the stage; returns the attributes of the file."""
        backbone = {"model": "small-cnn", "weights": "random", "pixels": "p", "batch_size": 4} | spec
        output = output or self.output
        stage.main(
            [
                *("--spec", json.dumps(backbone), "--pixels", str(self.pixels), "--threads", "1"),
                *("--weights", str(self.folder / "weights.pt"), "--output", str(output), *flags),
            ]
        )
        with h5py.File(output) as file:
            return dict(file.attrs)

    def views(self, augmentation: Augmentation, *flags: str) -> dict[str, object]:
        split = self.folder / "split.parquet"
        rows = [(name(number), ["train", "test"][number > 4], number % 2, name(number)) for number in range(10)]
        frame = pd.DataFrame(rows, columns=["image_id", "part", "label", "group"])
        write_table(frame.assign(**{"class": frame["label"].map({0: "a", 1: "b"})}), split)
        output = self.folder / "views.h5"
        return self.embed("--split", str(split), "--augmentation", dump(augmentation), *flags, output=output)


@pytest.fixture
def study(tmp_path: Path) -> Study:
    return Study(tmp_path)


def counts(attributes: dict[str, object]) -> tuple[object, object]:
    return attributes["computed"], attributes["reused"]


def reference(study: Study, pixels: np.ndarray) -> np.ndarray:
    """The penultimate activations, computed without the extractor and the engine."""
    network = read_weights(study.folder / "weights.pt", model="small-cnn").network.eval()
    mean, deviation = np.array([0.485, 0.456, 0.406]), np.array([0.229, 0.224, 0.225])
    scaled = (pixels / 255 - mean[:, None, None]) / deviation[:, None, None]
    with torch.inference_mode():
        return network(torch.tensor(scaled, dtype=torch.float32)).numpy()


def test_rows_are_the_networks_activations_in_the_order_of_the_pixels(study: Study) -> None:
    attributes = study.embed()
    embeddings = read_embeddings([study.output])
    expected = reference(study, np.stack([image(number) for number in range(10)]))
    np.testing.assert_allclose(embeddings.features, expected, rtol=1e-4, atol=1e-5)
    assert embeddings.features.dtype == np.float32
    assert list(embeddings.image_id) == [name(number) for number in range(10)]
    assert (attributes["weights"], attributes["engine"], attributes["precision"]) == (
        "random (seed 0)",
        "torch",
        "float32",
    )
    assert counts(attributes) == (10, 0)


def test_a_second_run_computes_nothing_and_changes_no_row(study: Study) -> None:
    study.embed()
    before, digest = read_embeddings([study.output]).features, digest_path(study.output).read_bytes()
    assert counts(study.embed()) == (0, 10)
    np.testing.assert_array_equal(read_embeddings([study.output]).features, before)
    assert digest_path(study.output).read_bytes() == digest


def test_one_more_image_costs_one_more_and_order_follows_the_pixels(study: Study) -> None:
    study.embed()
    digest = digest_path(study.output).read_bytes()
    order = [7, 3, 11, 0, 1, 2, 4, 5, 6, 8, 9]
    write_pixels(study.pixels, order)
    assert counts(study.embed()) == (1, 10)
    embeddings = read_embeddings([study.output])
    assert list(embeddings.image_id) == [name(number) for number in order]
    expected = reference(study, np.stack([image(number) for number in order]))
    np.testing.assert_allclose(embeddings.features, expected, rtol=1e-4, atol=1e-5)
    assert digest_path(study.output).read_bytes() != digest


def test_a_removed_image_costs_nothing(study: Study) -> None:
    study.embed()
    write_pixels(study.pixels, [0, 2, 4])
    assert counts(study.embed()) == (0, 3)


@pytest.mark.parametrize("change", [{"pooling": "flatten"}, {"layer": "features.3"}, {"weights": "other"}])
def test_what_changes_the_values_makes_every_row_new(study: Study, change: dict[str, str]) -> None:
    study.embed()
    before = read_embeddings([study.output]).features
    if "weights" in change:
        study.reseed(1)
        change = {}
    assert counts(study.embed(**change)) == (10, 0)
    after = read_embeddings([study.output]).features
    assert after.shape != before.shape or not np.allclose(after, before)


def test_what_does_not_change_the_values_keeps_every_row(study: Study) -> None:
    study.embed()
    assert counts(study.embed(batch_size=3, pixels="another-id", seed=9)) == (0, 10)


def test_changed_bytes_of_an_image_change_its_row_alone(study: Study) -> None:
    study.embed()
    with h5py.File(study.pixels, "r+") as file:
        key = file["key"][:]
        key[4] = b"changed"
        file["key"][:] = key
    assert counts(study.embed()) == (1, 9)


def test_rows_of_other_files_are_reused(study: Study) -> None:
    study.embed()
    other = study.folder / "other.h5"
    write_pixels(study.pixels, [8, 9, 10, 11])
    assert counts(study.embed("--reuse", str(study.output), str(study.folder / "none.h5"), output=other)) == (2, 2)


def test_a_flipped_bit_in_the_old_file_is_noticed_and_mended(
    study: Study, caplog: pytest.LogCaptureFixture, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(embed, "BLOCK_BYTES", 3 * 64 * 4)  # three rows a chunk
    study.embed()
    good = read_embeddings([study.output]).features
    with h5py.File(study.output) as file:
        offset = file["features"].id.get_chunk_info(1).byte_offset
    content = bytearray(study.output.read_bytes())
    content[offset + 5] ^= 1
    study.output.write_bytes(content)
    with pytest.raises(StoreError, match=r"embeddings\.h5: damaged"):
        read_embeddings([study.output])
    with caplog.at_level(logging.WARNING):
        assert counts(study.embed()) == (3, 7)
    assert "3 of its rows are computed anew" in caplog.text
    np.testing.assert_allclose(read_embeddings([study.output]).features, good, rtol=1e-5, atol=1e-6)


def test_damaged_keys_are_computed_anew(study: Study) -> None:
    study.embed()
    with h5py.File(study.output, "r+") as file:
        keys = file["key"][:]
        keys[0] = b"\xff\xfe"
        file["key"][:] = keys
    assert counts(study.embed()) == (10, 0)


@pytest.mark.parametrize("kept", [0, 100, 3000])
def test_a_truncated_old_file_is_computed_anew(study: Study, kept: int) -> None:
    study.embed()
    study.output.write_bytes(study.output.read_bytes()[:kept])
    assert counts(study.embed()) == (10, 0)


def test_features_are_checksummed_and_chunked(study: Study) -> None:
    study.embed()
    with open_h5(study.output, "embeddings") as file:
        assert file["features"].fletcher32
        assert file["features"].chunks[1] == 64


def test_views_are_embeddings_of_augmented_training_images(study: Study) -> None:
    from heteroscope.data.augmentation import augment

    study.embed()
    assert counts(study.views(SHIFTED)) == (10, 0)
    copies = read_embeddings([study.folder / "views.h5"], "views")
    pairs = list(zip(copies.image_id, copies.view.tolist(), strict=True))
    assert sorted(pairs) == [(name(number), view) for number in range(5) for view in (1, 2)]
    pixels = np.stack([augment(image(int(key, 16)), SHIFTED, key, view) for key, view in pairs])
    np.testing.assert_allclose(copies.features, reference(study, pixels), rtol=1e-4, atol=1e-5)
    assert counts(study.views(SHIFTED)) == (0, 10)
    assert counts(study.views(SHIFTED.model_copy(update={"shift": 0.2}))) == (10, 0)


def test_copies_of_an_image_share_their_row_but_not_their_views(study: Study) -> None:
    """As with `duplicates: keep`: two ids, one image, and so one key of its pixels."""
    with h5py.File(study.pixels, "r+") as file:
        file["pixels"][1], keys = file["pixels"][0], file["key"][:]
        keys[1] = keys[0]
        file["key"][:] = keys
    assert (counts(study.embed()), counts(study.embed())) == ((10, 0), (0, 10))
    originals = read_embeddings([study.output]).features
    np.testing.assert_allclose(originals[0], originals[1], rtol=1e-5, atol=1e-6)
    assert counts(study.views(SHIFTED)) == (10, 0)
    drawn = read_embeddings([study.folder / "views.h5"], "views")
    of_copies = drawn.features[np.isin(drawn.image_id, [name(0), name(1)])]
    assert len(np.unique(of_copies.round(4), axis=0)) == len(of_copies) == 4
    assert counts(study.views(SHIFTED)) == (0, 10)
    np.testing.assert_array_equal(read_embeddings([study.folder / "views.h5"], "views").features, drawn.features)


PASSES_ROWS_ON = {"heteroscope.embedding.embed", "heteroscope.store", "heteroscope.atomic", "heteroscope.provenance"}
CHECKS_WEIGHTS = {"heteroscope.backbones.weights"}  # a key holds the digest of the tensors instead
READS_FLAGS = {"heteroscope.stages.embed", "heteroscope.stages.command", "heteroscope.config", "heteroscope.errors"}


def modules_run(call: Callable[[], object]) -> set[str]:
    """Modules of the package whose functions run in a call."""
    seen: set[str] = set()

    def note(frame: FrameType, event: str, _: object) -> None:
        if event == "call":
            seen.add(str(frame.f_globals.get("__name__")))

    sys.setprofile(note)
    try:
        call()
    finally:
        sys.setprofile(None)
    return {module for module in seen if module.startswith("heteroscope.")}


def test_keys_hold_the_code_of_every_module_that_values_pass_through(study: Study) -> None:
    others = PASSES_ROWS_ON | CHECKS_WEIGHTS | READS_FLAGS
    assert modules_run(study.embed) - others == set(embed.EMBEDDING_CODE)
    run = modules_run(lambda: study.views(SHIFTED))
    assert run - others == {*embed.EMBEDDING_CODE, *embed.AUGMENTATION_CODE}


def test_fusion_puts_two_embeddings_side_by_side(study: Study) -> None:
    study.embed()
    second = study.folder / "second.h5"
    write_pixels(study.pixels, list(range(9, -1, -1)))  # another order of rows
    study.embed(output=second, layer="features.3")
    fused = read_embeddings([study.output, second])
    alone = read_embeddings([second]).features
    np.testing.assert_array_equal(fused.features, np.hstack([read_embeddings([study.output]).features, alone[::-1]]))


def test_weights_that_overflow_are_refused_and_leave_no_file(study: Study) -> None:
    weights = read_weights(study.folder / "weights.pt", model="small-cnn")
    weights.network.features[0].weight.data[0] = torch.inf
    torch.save(weights.network.state_dict(), study.folder / "broken.pth")
    broken = initial_weights("small-cnn", str(study.folder / "broken.pth"), seed=0, downloads=study.folder, key="w")
    write_weights(broken, study.folder / "weights.pt")
    with pytest.raises(StoreError, match=f"image {name(0)} is not finite"):
        study.embed()
    assert not study.output.exists()


def test_a_layer_that_is_not_there_is_refused(study: Study) -> None:
    with pytest.raises(ConfigError, match=r"unknown layer 'features\.30'; did you mean features\.3"):
        study.embed(layer="features.30")


def test_views_need_a_split_and_an_augmentation(study: Study, capsys: pytest.CaptureFixture[str]) -> None:
    with pytest.raises(SystemExit):
        study.embed("--split", "split.parquet")
    assert "go together" in capsys.readouterr().err
