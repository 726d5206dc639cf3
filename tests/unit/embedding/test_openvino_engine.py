"""The CPU engine: values, order, the cache of converted networks, and silence towards its makers."""

from __future__ import annotations

import logging
import os
import signal
import subprocess
import sys
from collections.abc import Callable, Iterator
from pathlib import Path

import numpy as np
import pytest
import torch

from heteroscope.backbones.pooling import FeatureExtractor
from heteroscope.backbones.registry import build_backbone
from heteroscope.embedding.choice import cpu_has_bfloat16
from heteroscope.embedding.openvino_engine import OpenVinoEngine, UnfitNetworkError, converted, network_path
from heteroscope.embedding.recipe import Precision, Recipe
from tests.unit.embedding.sums import RECIPE

NETWORKS = [
    ("small-cnn", "avg", None, 32, 3),
    ("small-cnn", "flatten", None, 32, 1),
    ("small-cnn", "avg", "features.5", 48, 1),
    ("small-cnn", "flatten", "features.5", 32, 3),
    ("resnet18", "avg", None, 64, 3),
    ("densenet121", "flatten", None, 64, 3),  # a rectifier that no module stands for
    ("swin_t", "avg", "features.3", 64, 3),  # a layer that gives channels last
]


def recipe(model: str, pooling: str, layer: str | None, size: int, channels: int, batch_size: int | None) -> Recipe:
    network = {"model": model, "pooling": pooling, "layer": layer, "width": 1}
    form = {"size": size, "channels": channels, "batch_size": batch_size}
    return RECIPE.model_copy(update=network | form | {"engine": "openvino"})


SMALL = recipe("small-cnn", "avg", None, 32, 3, 4)


def extractor(made: Recipe) -> FeatureExtractor:
    return FeatureExtractor(
        build_backbone(made.model, seed=1), model=made.model, pooling=made.pooling, layer=made.layer
    ).eval()


def images(count: int, made: Recipe = SMALL) -> np.ndarray:
    """Smooth ones, as photographs are: on white noise deep random networks are chaotic."""
    generator = np.random.default_rng(count)
    coarse = generator.integers(0, 256, (count, made.channels, made.size // 8, made.size // 8))
    return coarse.repeat(8, axis=2).repeat(8, axis=3).astype(np.uint8)


def engine(cache: Path, made: Recipe = SMALL, precision: Precision = "float32", workers: int = 2) -> OpenVinoEngine:
    network = converted(made, lambda: extractor(made), cache=cache)
    return OpenVinoEngine(network, precision=precision, workers=workers)


def embed(made: OpenVinoEngine, pixels: np.ndarray) -> np.ndarray:
    size = made.batch_size
    return np.concatenate(list(made.stream(pixels[start : start + size] for start in range(0, len(pixels), size))))


def lowest_cosine(a: np.ndarray, b: np.ndarray) -> float:
    a, b = a.astype(np.float64), b.astype(np.float64)
    return float(((a * b).sum(axis=1) / np.linalg.norm(a, axis=1) / np.linalg.norm(b, axis=1)).min())


@pytest.mark.parametrize(("model", "pooling", "layer", "size", "channels"), NETWORKS)
def test_float32_agrees_with_torch(
    model: str, pooling: str, layer: str | None, size: int, channels: int, tmp_path: Path
) -> None:
    made = recipe(model, pooling, layer, size, channels, 8)
    pixels = images(11, made)
    with torch.inference_mode():
        expected = extractor(made)(torch.from_numpy(pixels)).numpy()
    found = embed(engine(tmp_path, made), pixels)
    assert (found.shape, found.dtype) == (expected.shape, np.float32)
    assert lowest_cosine(found, expected) >= 0.99999
    np.testing.assert_allclose(found, expected, rtol=1e-3, atol=1e-4 * np.abs(expected).max())


@pytest.mark.skipif(not cpu_has_bfloat16(), reason="needs a CPU with bfloat16")
def test_bfloat16_is_another_precision_that_agrees(tmp_path: Path) -> None:
    pixels = images(11)
    exact, reduced = (embed(engine(tmp_path, precision=p), pixels) for p in ("float32", "bfloat16"))
    assert 0.999 <= lowest_cosine(reduced, exact) < 1 - 1e-7


@pytest.mark.parametrize("precision", ["float32", "bfloat16"])
def test_an_image_has_the_same_bits_for_any_workers_place_and_neighbours(tmp_path: Path, precision: Precision) -> None:
    if precision == "bfloat16" and not cpu_has_bfloat16():
        pytest.skip("needs a CPU with bfloat16")
    made = recipe("efficientnet_b0", "avg", None, 64, 3, 4)
    pixels = images(13, made)
    expected = embed(engine(tmp_path, made, precision, workers=1), pixels)
    order = np.random.default_rng(0).permutation(13)[:10]
    for workers in (1, 2):
        np.testing.assert_array_equal(embed(engine(tmp_path, made, precision, workers), pixels[order]), expected[order])


def test_many_batches_in_flight_keep_their_order_while_their_arrays_are_used_again(tmp_path: Path) -> None:
    made = engine(tmp_path)
    pixels = images(203)
    buffer = np.empty((4, 3, 32, 32), dtype=np.uint8)

    def batches() -> Iterator[np.ndarray]:
        for start in range(0, len(pixels), 4):
            batch = buffer[: len(pixels[start : start + 4])]
            batch[:] = pixels[start : start + 4]
            yield batch
            buffer[:] = 0

    alone = np.concatenate([embed(made, image[None]) for image in pixels])
    found = list(made.stream(batches()))
    assert [len(part) for part in found] == [4] * 50 + [3]
    np.testing.assert_array_equal(np.concatenate(found), alone)
    assert len(np.unique(alone, axis=0)) == 203


def test_a_stream_that_is_left_does_not_disturb_the_next(tmp_path: Path) -> None:
    made = engine(tmp_path)
    pixels = images(40)
    expected = embed(made, pixels)
    left = made.stream(iter(pixels[::-1].reshape(10, 4, 3, 32, 32)))
    next(left)
    np.testing.assert_array_equal(embed(made, pixels), expected)
    assert list(made.stream(iter([]))) == []


@pytest.mark.skipif(not hasattr(signal, "SIGUSR1"), reason="needs signals of POSIX")
def test_signals_are_handled_after_engines_have_ended_in_any_order(tmp_path: Path) -> None:
    """OpenVINO's CPU plugin sets the stack on which signals are handled."""
    code = f"""
import os, signal, sys
sys.path.insert(0, {str(Path(__file__).parents[3])!r})
from pathlib import Path
from tests.unit.embedding import test_openvino_engine as t
first, second = (t.engine(Path({str(tmp_path)!r})) for _ in range(2))
del first
del second
signal.signal(signal.SIGUSR1, lambda *_: print("handled"))
os.kill(os.getpid(), signal.SIGUSR1)
"""
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=False)
    assert (done.returncode, done.stdout) == (0, "handled\n"), done.stderr


# ------------------------------------------------------------------------------ converted networks


def no_conversion() -> FeatureExtractor:
    raise AssertionError("converted again")


def test_a_network_is_converted_once(tmp_path: Path) -> None:
    expected = embed(engine(tmp_path), images(5))
    network = converted(SMALL, no_conversion, cache=tmp_path)
    found = embed(OpenVinoEngine(network, precision="float32", workers=1), images(5))
    np.testing.assert_array_equal(found, expected)
    assert [path.name for path in tmp_path.iterdir()] == [network_path(SMALL, tmp_path).name]


@pytest.mark.parametrize(
    "change",
    [
        {"weights_sha256": "other"},
        {"pooling": "flatten"},
        {"layer": "features.5"},
        {"size": 48},
        {"channels": 1},
        {"batch_size": 2},
    ],
)
def test_another_network_has_a_file_of_its_own(change: dict[str, object], tmp_path: Path) -> None:
    assert network_path(SMALL.model_copy(update=change), tmp_path) != network_path(SMALL, tmp_path)


def test_precision_needs_no_conversion_of_its_own(tmp_path: Path) -> None:
    same = SMALL.model_copy(update={"precision": "bfloat16", "note": "other", "weights_file_sha256": "other"})
    assert network_path(same, tmp_path) == network_path(SMALL, tmp_path)


def cut(whole: bytes) -> bytes:
    return whole[: len(whole) // 2]


def flip_a_bit_of_the_parameters(whole: bytes) -> bytes:
    position = len(whole) - len(whole) // 3
    return whole[:position] + bytes([whole[position] ^ 1]) + whole[position + 1 :]


@pytest.mark.parametrize("damage", [cut, flip_a_bit_of_the_parameters, lambda whole: b""])
def test_a_damaged_network_is_converted_anew(
    damage: Callable[[bytes], bytes], tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    expected = embed(engine(tmp_path), images(5))
    path = network_path(SMALL, tmp_path)
    path.write_bytes(damage(path.read_bytes()))
    with caplog.at_level(logging.WARNING):
        np.testing.assert_array_equal(embed(engine(tmp_path), images(5)), expected)
    assert f"{path}: damaged" in caplog.text
    converted(SMALL, no_conversion, cache=tmp_path)


def test_parameters_are_kept_in_float32(tmp_path: Path) -> None:
    engine(tmp_path)
    count = sum(parameter.numel() for parameter in extractor(SMALL).parameters())
    assert network_path(SMALL, tmp_path).stat().st_size > 4 * count * 0.9


def test_a_network_that_cannot_be_converted_is_named_with_the_remedy(tmp_path: Path) -> None:
    class Unknown(torch.nn.Module):
        def forward(self, pixels: torch.Tensor) -> torch.Tensor:
            return torch.linalg.eigvals(pixels.float()).real.flatten(1)

    before = (logging.getLogger().level, [*logging.getLogger().filters])
    with pytest.raises(UnfitNetworkError, match=r"openvino cannot run this network.*set `engine: torch`"):
        converted(SMALL, Unknown, cache=tmp_path)  # type: ignore[arg-type]
    assert list(tmp_path.iterdir()) == []
    assert (logging.getLogger().level, logging.getLogger().filters) == before  # warnings are still heard


def test_nothing_is_reported_over_the_network(tmp_path: Path) -> None:
    """Neither a connection is tried nor the folder of the reporting package made in the home directory."""
    watch = f"""
import logging, socket, sys
tried = []
socket.socket.connect = lambda self, address: tried.append(address)
socket.getaddrinfo = lambda *a, **k: tried.append(a)
sys.path.insert(0, {str(Path(__file__).parents[3])!r})
from pathlib import Path
logging.basicConfig(level=logging.INFO, format="%(message)s")
from tests.unit.embedding import test_openvino_engine as t
print(t.embed(t.engine(Path({str(tmp_path / "cache")!r})), t.images(5)).shape, tried)
assert [name for name in sys.modules if name.startswith("openvino_telemetry.")] == []
"""
    home = tmp_path / "home"
    home.mkdir()
    variables = {name: value for name, value in os.environ.items() if name != "CI"} | {"HOME": str(home)}
    done = subprocess.run([sys.executable, "-c", watch], env=variables, capture_output=True, text=True, check=False)
    assert (done.returncode, done.stdout) == (0, "(5, 64) []\n"), done.stderr
    assert done.stderr == "converting the network for OpenVINO\n"  # no warnings of tracing either
    assert not (home / "intel").exists()
