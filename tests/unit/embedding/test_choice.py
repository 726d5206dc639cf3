"""Which engine and precision are chosen, when an older choice is kept, and what the two stages do with it."""

from __future__ import annotations

import json
import logging
import subprocess
import sys
from collections.abc import Callable, Iterable, Iterator
from pathlib import Path

import numpy as np
import pytest
import torch

from heteroscope.backbones.weights import describe, initial_weights, read_weights, write_weights
from heteroscope.config import Backbone
from heteroscope.embedding import agreement, choice, openvino_engine
from heteroscope.embedding.choice import Machine, candidates, choose, kept, obstacle
from heteroscope.embedding.engine import Engine
from heteroscope.embedding.openvino_engine import UnfitNetworkError
from heteroscope.embedding.recipe import Precision, Recipe, read_recipe, write_recipe
from heteroscope.errors import ConfigError, StoreError
from heteroscope.stages import embed as embed_stage
from heteroscope.stages import engine as engine_stage
from heteroscope.store import create_h5, read_embeddings, write_strings
from tests.unit.embedding.sums import RECIPE

SIZE = 32
BOTH: frozenset[str] = frozenset({"openvino", "torch"})
CPU = Machine(gpu=False, openvino=True, bfloat16=BOTH)  # type: ignore[arg-type]
OLD_CPU = Machine(gpu=False, openvino=True, bfloat16=frozenset())
BARE_CPU = Machine(gpu=False, openvino=False, bfloat16=frozenset())
GPU = Machine(gpu=True, openvino=True, bfloat16=BOTH)  # type: ignore[arg-type]


def backbone(**keys: object) -> Backbone:
    return Backbone.model_validate({"model": "small-cnn", "weights": "random", "pixels": "p"} | keys)


def write_pixels(path: Path, count: int = 50, size: int = SIZE, seed: int = 0) -> Path:
    pixels = np.random.default_rng(seed).integers(0, 256, (count, 3, size, size), dtype=np.uint8)
    with create_h5(path, "pixels", {"spec": {"size": size}}) as file:
        file.create_dataset("pixels", data=pixels, chunks=(1, 3, size, size), fletcher32=True)
        write_strings(file, "image_id", [f"{number:08x}{0:08x}" for number in range(count)])
        write_strings(file, "key", [f"key of {number}" for number in range(count)])
    return path


@pytest.fixture
def pixels(tmp_path: Path) -> Path:
    return write_pixels(tmp_path / "pixels.h5")


REFERENCE = RECIPE.model_copy(
    update={"width": 2, "agreement": 1.0, "compared": 0, "note": "", "device": "", "versions": {}}
)


class Turned:
    """An engine whose embeddings, pairs of values, are turned away from (1, 0) by an angle of known cosine."""

    batch_size = 5

    def __init__(self, name: str, precision: Precision, cosine: float) -> None:
        self.name, self.precision, self.device = name, precision, f"the device of {name}"
        self.cosine = cosine

    def stream(self, batches: Iterable[np.ndarray]) -> Iterator[np.ndarray]:
        for batch in batches:
            assert len(batch) <= self.batch_size
            turned = np.array([self.cosine, np.sqrt(1 - self.cosine**2)], dtype=np.float32)
            yield (1 + batch.reshape(len(batch), -1)[:, :1].astype(np.float32)) * turned


def engines(**cosines: float) -> Callable[[Recipe], Engine]:
    """Engines by name and first letter of precision: openvino_b=0.9995; those not named cannot run the network."""

    def make(recipe: Recipe) -> Engine:
        key = f"{recipe.engine}_{recipe.precision[0]}"
        if key == "torch_f":
            return Turned("torch", "float32", 1.0)
        if key not in cosines:
            raise UnfitNetworkError("openvino cannot run this network (no such operation)")
        return Turned(recipe.engine, recipe.precision, cosines[key])

    return make


# ------------------------------------------------------------------------------------- the order of trial


@pytest.mark.parametrize(
    ("keys", "machine", "expected"),
    [
        ({}, CPU, ["openvino bfloat16", "openvino float32", "torch float32"]),
        ({}, OLD_CPU, ["openvino float32", "torch float32"]),
        ({}, BARE_CPU, ["torch float32"]),
        ({}, GPU, ["torch bfloat16", "torch float32"]),
        ({"precision": "float32"}, CPU, ["openvino float32", "torch float32"]),
        ({"precision": "float32"}, GPU, ["torch float32"]),
        ({"engine": "torch"}, CPU, ["torch float32"]),  # bfloat16 gains little there
        ({"engine": "torch", "precision": "bfloat16"}, CPU, ["torch bfloat16", "torch float32"]),
        ({"engine": "openvino"}, GPU, ["openvino bfloat16", "openvino float32"]),
        (
            {"precision": "bfloat16"},
            CPU,
            ["openvino bfloat16", "openvino float32", "torch bfloat16", "torch float32"],
        ),
    ],
)
def test_what_is_tried_in_which_order(keys: dict[str, str], machine: Machine, expected: list[str]) -> None:
    assert [" ".join(pair) for pair in candidates(backbone(**keys), machine)[0]] == expected


@pytest.mark.parametrize(
    ("keys", "machine", "message"),
    [
        ({"engine": "openvino"}, BARE_CPU, "engine: openvino: it is not installed; install .* or set `engine: auto`"),
        ({"precision": "bfloat16"}, OLD_CPU, "precision: bfloat16: .* set `precision: float32`"),
    ],
)
def test_what_the_machine_does_not_have_is_refused(keys: dict[str, str], machine: Machine, message: str) -> None:
    with pytest.raises(ConfigError, match=message):
        candidates(backbone(**keys), machine)


# --------------------------------------------------------------------------------------- the comparison


@pytest.mark.parametrize(
    ("cosines", "expected", "note"),
    [
        ({"openvino_b": 0.9995}, ("openvino", "bfloat16", 0.9995), "the fastest"),
        (
            {"openvino_b": 0.9985, "openvino_f": 0.99995},
            ("openvino", "float32", 0.99995),
            "openvino in bfloat16 disagrees with torch in float32: lowest cosine similarity 0.998500 over 32 images",
        ),
        (
            {"openvino_b": 0.5, "openvino_f": 0.9998},
            ("torch", "float32", 1.0),
            "openvino in float32 disagrees with torch in float32: lowest cosine similarity 0.999800",
        ),
        ({}, ("torch", "float32", 1.0), "openvino cannot run this network"),
    ],
)
def test_the_first_that_agrees_is_chosen(
    cosines: dict[str, float], expected: tuple[str, str, float], note: str, pixels: Path
) -> None:
    made = choose(backbone(), REFERENCE, pixels, engines(**cosines), CPU)
    assert (made.engine, made.precision) == expected[:2]
    assert made.agreement == pytest.approx(expected[2], abs=1e-6)
    assert note in made.note
    assert (made.compared, made.device) == (32, f"the device of {made.engine}")


def test_bfloat16_that_is_asked_for_and_disagrees_gives_way_aloud(
    pixels: Path, caplog: pytest.LogCaptureFixture
) -> None:
    asked = backbone(engine="openvino", precision="bfloat16")
    with caplog.at_level(logging.WARNING):
        made = choose(asked, REFERENCE, pixels, engines(openvino_b=0.99, openvino_f=1.0), CPU)
    assert (made.engine, made.precision, made.requested_precision) == ("openvino", "float32", "bfloat16")
    for text in (made.note, caplog.text):
        assert "openvino in bfloat16 disagrees with torch in float32: lowest cosine similarity 0.990000" in text


def test_an_engine_that_is_asked_for_and_cannot_serve_is_refused(pixels: Path) -> None:
    asked = backbone(engine="openvino")
    with pytest.raises(UnfitNetworkError, match="cannot run this network"):
        choose(asked, REFERENCE, pixels, engines(), CPU)
    with pytest.raises(ConfigError, match=r"openvino in float32 disagrees .* set `engine: torch`"):
        choose(asked, REFERENCE, pixels, engines(openvino_b=0.5, openvino_f=0.5), CPU)


def test_the_sample_is_spread_over_the_file_and_follows_the_ids_alone(tmp_path: Path) -> None:
    image_id, images = agreement.sample(write_pixels(tmp_path / "many.h5", 400))
    numbers = np.array([int(name[:8], 16) for name in image_id])
    assert len(set(numbers)) == len(images) == 32
    assert (np.diff(numbers) > 0).all()
    assert all(((numbers >= start) & (numbers < start + 100)).any() for start in range(0, 400, 100))
    whole = np.random.default_rng(0).integers(0, 256, (400, 3, SIZE, SIZE), dtype=np.uint8)
    np.testing.assert_array_equal(images, whole[numbers])
    again = agreement.sample(write_pixels(tmp_path / "fewer.h5", 300))[0]
    shared = {name for name in image_id if int(name[:8], 16) < 300}
    assert shared <= set(again)
    assert len(agreement.sample(write_pixels(tmp_path / "few.h5", 3))[0]) == 3


@pytest.mark.parametrize(
    ("values", "expected"),
    [
        ([[1, 0], [3, 4]], 1.0),
        ([[2, 0], [6, 8]], 1.0),
        ([[1, 0], [4, 3]], 24 / 25),
        ([[-1, 0], [3, 4]], -1.0),
        ([[0, 0], [3, 4]], 0.0),
        ([[1, 0], [np.nan, 4]], -1.0),
        ([[1, 0], [np.inf, 4]], -1.0),
    ],
)
def test_lowest_cosine(values: list[list[float]], expected: float) -> None:
    other = np.array([[1, 0], [3, 4]], dtype=np.float32)
    assert agreement.lowest_cosine(np.array(values, dtype=np.float32), other) == pytest.approx(expected, abs=1e-7)
    assert agreement.lowest_cosine(np.zeros((2, 2), np.float32), np.zeros((2, 2), np.float32)) == 1.0


@pytest.mark.parametrize(
    ("line", "expected"),
    [
        ("flags\t\t: fpu avx512f avx512_bf16 amx_tile", True),
        ("flags\t\t: fpu avx512f amx_bf16", True),
        ("Features\t: fp asimd bf16 i8mm", True),
        ("flags\t\t: fpu avx512f avx512_vnni amx_int8", False),
        ("model name\t: bf16 avx512_bf16", False),
    ],
)
def test_whether_a_cpu_has_bfloat16(line: str, expected: bool, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    (tmp_path / "cpuinfo").write_text(f"processor\t: 0\n{line}\n")
    monkeypatch.setattr(choice, "CPU_INFO", tmp_path / "cpuinfo")
    assert choice.cpu_has_bfloat16() is expected
    monkeypatch.setattr(choice, "CPU_INFO", tmp_path / "nowhere")
    assert choice.cpu_has_bfloat16() is False


@pytest.mark.parametrize("generation", [7, 8])
def test_a_gpu_that_only_emulates_bfloat16_does_without(generation: int, monkeypatch: pytest.MonkeyPatch) -> None:
    class Properties:
        major = generation

    monkeypatch.setattr(torch.version, "hip", None)
    for name, answer in {
        "is_available": True,
        "current_device": 0,
        "get_device_properties": Properties,
        "_check_bf16_tensor_supported": True,  # such tensors can be made on any GPU
    }.items():
        monkeypatch.setattr(torch.cuda, name, lambda *_, answer=answer: answer)
    assert ("torch" in Machine.here().bfloat16) is (generation == 8)


# -------------------------------------------------------------------------------------- an older choice


@pytest.fixture
def weights(tmp_path: Path) -> Path:
    path = tmp_path / "weights.pt"
    write_weights(initial_weights("small-cnn", "random", seed=0, downloads=tmp_path, key="weights"), path)
    return path


@pytest.fixture
def old(tmp_path: Path, weights: Path) -> Path:
    """A choice of OpenVINO in float32, of a configuration that left both open."""
    recipe = REFERENCE.model_copy(update={"engine": "openvino", "agreement": 0.9999, "note": "an old choice"})
    recipe = recipe.model_copy(update={"weights_file_sha256": choice.file_sha256(weights)})
    write_recipe(recipe, tmp_path / "engine.json")
    return tmp_path / "engine.json"


@pytest.mark.parametrize(
    ("keys", "holds"),
    [
        ({}, True),
        ({"engine": "openvino"}, True),
        ({"precision": "float32"}, True),
        ({"batch_size": 3}, True),
        ({"pixels": "another-id", "seed": 3, "weights": "other.pt"}, True),
        ({"engine": "torch"}, False),
        ({"precision": "bfloat16"}, False),
        ({"pooling": "flatten"}, False),
        ({"layer": "features.5"}, False),
        ({"model": "resnet18"}, False),
    ],
)
def test_a_choice_is_kept_until_the_configuration_changes_it(
    keys: dict[str, object], holds: bool, old: Path, weights: Path
) -> None:
    current = backbone(**keys)
    found = kept(old, current, weights=weights, shape=(3, SIZE))
    assert (found is not None) == holds
    if found:
        assert (found.note, found.batch_size) == ("an old choice", current.batch_size)
        assert (found.requested_engine, found.requested_precision) == (current.engine, current.precision)


def test_a_choice_that_was_asked_for_is_made_anew_when_it_is_left_open(old: Path, weights: Path) -> None:
    write_recipe(read_recipe(old).model_copy(update={"requested_precision": "float32"}), old)
    assert kept(old, backbone(precision="float32"), weights=weights, shape=(3, SIZE))
    assert kept(old, backbone(), weights=weights, shape=(3, SIZE)) is None


def test_a_fallback_is_kept_while_the_same_is_asked_for(old: Path, weights: Path) -> None:
    write_recipe(read_recipe(old).model_copy(update={"requested_precision": "bfloat16"}), old)
    found = kept(old, backbone(precision="bfloat16"), weights=weights, shape=(3, SIZE))
    assert found is not None
    assert found.precision == "float32"


def test_other_images_weights_or_machine_need_a_new_choice(
    old: Path, weights: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    assert kept(old, backbone(), weights=weights, shape=(1, SIZE)) is None
    assert kept(old, backbone(), weights=weights, shape=(3, 64)) is None
    assert kept(old, backbone(), weights=tmp_path / "missing.pt", shape=(3, SIZE)) is None
    monkeypatch.setattr(openvino_engine, "installed", lambda: False)
    with caplog.at_level(logging.WARNING):
        assert kept(old, backbone(), weights=weights, shape=(3, SIZE)) is None
    assert "openvino is not installed here; chosen anew" in caplog.text
    monkeypatch.undo()
    write_weights(initial_weights("small-cnn", "random", seed=1, downloads=tmp_path, key="weights"), weights)
    assert kept(old, backbone(), weights=weights, shape=(3, SIZE)) is None


def test_a_damaged_choice_is_made_anew_and_told_of(old: Path, weights: Path, caplog: pytest.LogCaptureFixture) -> None:
    for damage in ("{", json.dumps({"engine": "abacus"})):
        old.write_text(damage)
        with pytest.raises(StoreError, match=str(old)):
            read_recipe(old)
        with caplog.at_level(logging.WARNING):
            assert kept(old, backbone(), weights=weights, shape=(3, SIZE)) is None
        assert str(old) in caplog.text
        caplog.clear()


@pytest.mark.parametrize("engine", ["openvino", "torch"])
def test_bfloat16_without_the_hardware_is_an_obstacle(
    engine: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(choice, "CPU_INFO", tmp_path / "nowhere")
    monkeypatch.setattr(torch.cuda, "is_available", lambda: False)
    recipe = REFERENCE.model_copy(update={"engine": engine})
    assert obstacle(recipe) is None
    assert obstacle(recipe.model_copy(update={"precision": "bfloat16"})) == "this machine has no bfloat16"


# --------------------------------------------------------------------------------------------- the stages


class Study:
    """A folder with pixels and weights, and the stages as a user calls them."""

    def __init__(self, folder: Path, pixels: Path, weights: Path) -> None:
        self.folder, self.pixels, self.weights = folder, pixels, weights
        self.recipe, self.output, self.cache = folder / "engine.json", folder / "embeddings.h5", folder / "cache"

    def files(self) -> list[str]:
        return ["--pixels", str(self.pixels), "--weights", str(self.weights), "--cache", str(self.cache)]

    def choose(self, **keys: object) -> Recipe:
        spec = backbone(**keys).model_dump_json()
        engine_stage.main([*self.files(), "--spec", spec, "--output", str(self.recipe), "--threads", "1"])
        return read_recipe(self.recipe)

    def embed_flags(self, *flags: str) -> list[str]:
        return [*self.files(), "--recipe", str(self.recipe), "--output", str(self.output), "--threads", "1", *flags]

    def embed(self, *flags: str) -> np.ndarray:
        embed_stage.main(self.embed_flags(*flags))
        return read_embeddings([self.output]).features

    def expected(self) -> np.ndarray:
        """The penultimate activations, without extractor and engine."""
        network = read_weights(self.weights, model="small-cnn").network.eval()
        mean, deviation = np.array([0.485, 0.456, 0.406]), np.array([0.229, 0.224, 0.225])
        images = np.random.default_rng(0).integers(0, 256, (50, 3, SIZE, SIZE), dtype=np.uint8)
        scaled = (images / 255 - mean[:, None, None]) / deviation[:, None, None]
        with torch.inference_mode():
            return network(torch.tensor(scaled, dtype=torch.float32)).numpy()


@pytest.fixture
def study(tmp_path: Path, pixels: Path, weights: Path) -> Study:
    return Study(tmp_path, pixels, weights)


@pytest.mark.parametrize("engine", ["openvino", "torch"])
def test_float32_of_each_engine_gives_the_networks_activations(engine: str, study: Study) -> None:
    made = study.choose(engine=engine, precision="float32")
    assert (made.engine, made.precision, made.width, made.compared) == (engine, "float32", 64, 32)
    assert made.agreement >= 0.99999
    assert made.weights_file_sha256 == choice.file_sha256(study.weights)
    np.testing.assert_allclose(study.embed("--workers", "2"), study.expected(), rtol=1e-3, atol=1e-4)
    attributes = read_embeddings([study.output]).attributes
    assert (attributes["engine"], attributes["precision"]) == (engine, "float32")


def test_auto_takes_openvino_on_a_cpu(study: Study) -> None:
    if torch.cuda.is_available():
        pytest.skip("has a GPU")
    made = study.choose()
    assert made.engine == "openvino"
    assert made.precision == ("bfloat16" if choice.cpu_has_bfloat16() else "float32")
    assert agreement.lowest_cosine(study.embed(), study.expected()) >= 0.999


def test_no_value_depends_on_the_number_of_workers(study: Study) -> None:
    study.choose(engine="openvino")
    one = study.embed("--workers", "1")
    study.output.unlink()
    np.testing.assert_array_equal(study.embed("--workers", "3"), one)


def test_a_kept_choice_leaves_the_file_as_it_is(study: Study) -> None:
    study.choose()
    before = study.recipe.read_bytes()
    study.choose()
    assert study.recipe.read_bytes() == before


def test_neither_stage_imports_torch_once_the_network_is_converted(study: Study) -> None:
    study.choose(engine="openvino")
    spec = backbone(engine="openvino").model_dump_json()
    flags = [*study.files(), "--spec", spec, "--output", str(study.recipe)]
    code = f"""
import sys
from heteroscope.stages import embed, engine
engine.main({flags!r})
embed.main({study.embed_flags()!r})
assert "torch" not in sys.modules
"""
    subprocess.run([sys.executable, "-c", code], check=True)
    assert read_embeddings([study.output]).attributes["computed"] == 50


def test_the_engine_is_not_made_where_nothing_is_to_be_computed(study: Study, monkeypatch: pytest.MonkeyPatch) -> None:
    study.choose()
    before = study.embed()
    monkeypatch.setattr(choice, "make_engine", None)
    np.testing.assert_array_equal(study.embed(), before)


def test_shards_are_parts_of_the_whole(study: Study) -> None:
    study.choose(engine="torch")
    whole = study.embed()
    study.output.unlink()
    parts = [study.embed("--shard", f"{number}/3") for number in (1, 2, 3)]
    numbers = np.arange(50)
    for number, part in zip((1, 2, 3), parts, strict=True):
        np.testing.assert_allclose(part, whole[numbers % 3 + 1 == number], rtol=1e-4, atol=1e-5)


@pytest.mark.parametrize("shard", ["0/3", "4/3", "1", "a/b", "1/0"])
def test_a_shard_that_is_none_is_refused(shard: str, study: Study, capsys: pytest.CaptureFixture[str]) -> None:
    with pytest.raises(SystemExit):
        embed_stage.main(study.embed_flags("--shard", shard))
    assert "such as 2/4" in capsys.readouterr().err


def test_a_machine_that_cannot_run_the_choice_is_told_what_to_set(
    study: Study, monkeypatch: pytest.MonkeyPatch
) -> None:
    study.choose(engine="openvino", precision="float32")
    monkeypatch.setattr(openvino_engine, "installed", lambda: False)
    with pytest.raises(ConfigError, match=rf"{study.recipe}: .* openvino is not installed here; .*`engine: torch`"):
        study.embed()
    assert not study.output.exists()


def test_files_that_the_choice_was_not_made_for_are_refused(study: Study) -> None:
    study.choose(engine="torch")
    write_pixels(study.pixels, size=48)
    with pytest.raises(StoreError, match=rf"{study.pixels}: images of another form"):
        study.embed()
    write_pixels(study.pixels)
    made = initial_weights("small-cnn", "random", seed=1, downloads=study.folder, key="weights")
    write_weights(made, study.weights)
    with pytest.raises(StoreError, match=rf"{study.weights}: other weights"):
        study.embed()


def test_weights_that_are_not_finite_are_refused(study: Study) -> None:
    network = read_weights(study.weights, model="small-cnn").network
    network.features[0].weight.data[0] = float("nan")
    write_weights(describe(network, "small-cnn", "broken"), study.weights)
    with pytest.raises(StoreError, match=r"the embedding of image 0\w+ is not finite; check the backbone's weights"):
        study.choose()
