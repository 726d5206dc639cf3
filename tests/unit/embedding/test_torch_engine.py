"""Torch's engine: order, pieces, memory and errors on any device; what needs a GPU runs where there is one.

A GPU's streams are simulated on the CPU in the least favourable order that their events allow, so that a
buffer that is filled too early, or read too early, gives wrong features.
"""

from __future__ import annotations

import logging
import weakref
from collections.abc import Callable, Iterator, Sequence
from contextlib import AbstractContextManager, contextmanager, nullcontext
from typing import Any

import numpy as np
import pytest
import torch
from torch import nn

from heteroscope.backbones.pooling import FeatureExtractor
from heteroscope.backbones.registry import build_backbone
from heteroscope.embedding.gpu import GpuReplica
from heteroscope.embedding.torch_engine import Feeder, TorchEngine, deal
from heteroscope.errors import DataError

SIZE = 32
CPU = torch.device("cpu")
needs_gpu = pytest.mark.skipif(not torch.cuda.is_available(), reason="needs a GPU")


def extractor(model: str = "small-cnn", pooling: str = "avg", layer: str | None = None) -> FeatureExtractor:
    backbone = build_backbone(model, seed=3)
    return FeatureExtractor(backbone, model=model, pooling=pooling, layer=layer).eval()  # type: ignore[arg-type]


def images(count: int, size: int = SIZE, channels: int = 3) -> np.ndarray:
    return np.random.default_rng(5).integers(0, 256, (count, channels, size, size), dtype=np.uint8)


def batches_of(pixels: np.ndarray, size: int) -> Iterator[np.ndarray]:
    """Batches in one array that is used again and again, as a reader with a buffer of its own gives them."""
    buffer = np.empty((size, *pixels.shape[1:]), dtype=np.uint8)
    for start in range(0, len(pixels), size):
        batch = pixels[start : start + size]
        buffer[: len(batch)] = batch
        yield buffer[: len(batch)]
        buffer[:] = 0


def plain(network: nn.Module, pixels: np.ndarray) -> np.ndarray:
    """Features of one image after the other."""
    with torch.inference_mode():
        return np.concatenate([network(torch.from_numpy(image[None])).numpy() for image in pixels])


def lowest_cosine(a: np.ndarray, b: np.ndarray) -> float:
    norms = np.linalg.norm(a, axis=1) * np.linalg.norm(b, axis=1)
    return float(((a.astype(float) * b).sum(axis=1) / norms).min())


def assert_close(features: np.ndarray, expected: np.ndarray) -> None:
    assert features.dtype == np.float32
    np.testing.assert_allclose(features, expected, rtol=1e-4, atol=1e-5)


# ------------------------------------------------------------------------------------- on the CPU


@pytest.mark.parametrize("devices", [1, 2, 3])
@pytest.mark.parametrize("batch_size", [1, 4, 32])
@pytest.mark.parametrize(("pooling", "layer"), [("avg", None), ("flatten", "features.3")])
def test_features_are_those_of_a_plain_loop(devices: int, batch_size: int, pooling: str, layer: str | None) -> None:
    network, pixels = extractor(pooling=pooling, layer=layer), images(11)
    engine = TorchEngine(network, threads=1, batch_size=batch_size, devices=[CPU] * devices)
    streamed = list(engine.stream(batches_of(pixels, batch_size)))
    assert [len(features) for features in streamed] == [len(batch) for batch in batches_of(pixels, batch_size)]
    assert_close(np.concatenate(streamed), plain(network, pixels))


def test_grey_images_and_a_second_stream_with_another_size() -> None:
    network = extractor()
    engine = TorchEngine(network, threads=1, batch_size=2, devices=[CPU])
    for pixels in (images(3, channels=1), images(3, size=48)):
        assert_close(np.concatenate(list(engine.stream(batches_of(pixels, 2)))), plain(network, pixels))


@pytest.mark.parametrize("precision", ["float32", "bfloat16"])
@pytest.mark.parametrize("model", ["small-cnn", "mobilenet_v3_small"])
def test_features_are_the_same_bits_whatever_an_image_comes_with(model: str, precision: str) -> None:
    pixels = images(23, size=48)
    engine = TorchEngine(extractor(model), precision=precision, threads=1, batch_size=8, devices=[CPU])  # type: ignore[arg-type]
    together = np.concatenate(list(engine.stream(batches_of(pixels, 8))))
    order = np.random.default_rng(1).permutation(23)
    for size in (1, 3, 8):
        shuffled = np.concatenate(list(engine.stream(batches_of(pixels[order], size))))
        np.testing.assert_array_equal(shuffled, together[order])


def test_the_given_extractor_stays_as_it_is() -> None:
    network = extractor().train()
    formats = [p.stride() for p in network.parameters()]
    list(TorchEngine(network, precision="bfloat16", threads=1).stream([images(2)]))
    assert network.training
    assert [p.stride() for p in network.parameters()] == formats
    assert all(p.requires_grad and p.dtype == torch.float32 for p in network.parameters())


def test_bfloat16_agrees_with_float32_but_is_not_the_same() -> None:
    network, pixels = extractor(), images(8)
    engine = TorchEngine(network, precision="bfloat16", threads=1, devices=[CPU])
    (reduced,) = engine.stream([pixels])
    expected = plain(network, pixels)
    assert reduced.dtype == np.float32
    assert lowest_cosine(reduced, expected) >= 0.999
    assert np.abs(reduced - expected).max() > 1e-4 * np.abs(expected).max()


def test_an_engine_describes_itself() -> None:
    engine = TorchEngine(extractor(), threads=1, devices=[CPU, CPU])
    assert (engine.name, engine.precision, engine.device, engine.batch_size) == ("torch", "float32", "2 × cpu", 16)
    assert TorchEngine(extractor(), threads=1, batch_size=5, devices=[CPU]).batch_size == 5


class Noting(nn.Module):
    """Sums of pixels; notes how many images came at once, and has memory for only so many."""

    seen: list[int]

    def __init__(self, affordable: int = 10**6) -> None:
        super().__init__()
        self.affordable = affordable

    def forward(self, pixels: torch.Tensor) -> torch.Tensor:
        type(self).seen.append(len(pixels))
        if len(pixels) > self.affordable:
            raise torch.OutOfMemoryError("no memory")
        return pixels.float().sum(dim=(2, 3))


def noting(network: Noting, **options: Any) -> TorchEngine:
    Noting.seen = []
    return TorchEngine(network, threads=1, **{"devices": [CPU]} | options)  # type: ignore[arg-type]


def sums(pixels: np.ndarray) -> np.ndarray:
    return pixels.sum(axis=(2, 3), dtype=np.float32)


@pytest.mark.parametrize(("size", "pieces"), [(32, [16] * 2), (224, [16] * 2), (256, [8] * 4), (512, [3] * 11)])
def test_without_a_batch_size_larger_images_run_fewer_at_once(size: int, pieces: list[int]) -> None:
    engine, pixels = noting(Noting()), images(32, size=size, channels=1)
    (features,) = engine.stream([pixels])
    assert Noting.seen == pieces
    np.testing.assert_allclose(features, sums(pixels), rtol=1e-6)


def test_a_given_batch_size_is_kept() -> None:
    list(noting(Noting(), batch_size=8).stream([images(8, size=512, channels=1)]))
    assert Noting.seen == [8]


def test_out_of_memory_halves_the_pieces_and_goes_on(caplog: pytest.LogCaptureFixture) -> None:
    engine, pixels = noting(Noting(affordable=3), batch_size=8), images(21)
    with caplog.at_level(logging.WARNING):
        streamed = list(engine.stream(batches_of(pixels, 8)))
    assert [len(features) for features in streamed] == [8, 8, 5]
    np.testing.assert_array_equal(np.concatenate(streamed), sums(pixels))
    assert Noting.seen == [8, 4] + [2] * 11
    assert [record.message for record in caplog.records] == [
        "cpu: out of memory with 8 images of 32×32 pixels at once; goes on with 4",
        "cpu: out of memory with 4 images of 32×32 pixels at once; goes on with 2",
    ]


def test_no_memory_for_one_image_is_an_error_with_a_remedy() -> None:
    engine = noting(Noting(affordable=0), batch_size=4)
    with pytest.raises(DataError, match=r"cpu has no memory for a single image of 48×32 pixels; .*`size`"):
        list(engine.stream([np.zeros((4, 3, 32, 48), dtype=np.uint8)]))


# --------------------------------------------------------------------------- on a simulated GPU


class Stream:
    """Work that is queued, and done when someone waits for it, or at once."""

    def __init__(self, at_once: bool) -> None:
        self.at_once = at_once
        self.queue: list[Callable[[], object]] = []
        self.finished = 0

    def add(self, work: Callable[[], object]) -> None:
        self.queue.append(work)
        if self.at_once:
            self.run(len(self.queue))

    def run(self, until: int) -> None:
        while self.finished < until:
            self.finished += 1
            work, self.queue[self.finished - 1] = self.queue[self.finished - 1], _done
            with torch.inference_mode():  # as when it was queued
                work()


def _done() -> None:
    raise AssertionError("work is done once")


class Event:
    def __init__(self, gpu: SimulatedGpu) -> None:
        self.gpu = gpu
        self.stream, self.position = Stream(at_once=True), 0

    def record(self) -> None:
        self.stream, self.position = self.gpu.current, len(self.gpu.current.queue)

    def wait(self) -> None:
        stream, position = self.stream, self.position  # as recorded now, not when the wait's turn comes
        self.gpu.current.add(lambda: stream.run(position))

    def synchronize(self) -> None:
        self.stream.run(self.position)


class SimulatedGpu:
    """A GPU in the CPU's memory; computes sums of pixels."""

    name = "simulated"

    def __init__(self, *, at_once: Sequence[bool] = (False, False), capturable: bool = True, memory: int = 99) -> None:
        self.at_once = iter(at_once)
        self.capturable, self.memory = capturable, memory
        self.current = Stream(at_once=True)
        self.streams: list[Stream] = []
        self.shapes: list[tuple[int, ...]] = []
        self.captures = self.forwards = 0
        self.buffers: list[weakref.ref[torch.Tensor]] = []
        self.held: list[int] = []

    def selected(self) -> AbstractContextManager[None]:
        return nullcontext()

    def stream(self) -> Stream:
        self.streams.append(Stream(next(self.at_once)))
        return self.streams[-1]

    @contextmanager
    def use(self, stream: Stream) -> Iterator[None]:
        before, self.current = self.current, stream
        yield
        self.current = before

    def event(self) -> Event:
        return Event(self)

    def empty(self, shape: Sequence[int], memory_format: torch.memory_format) -> torch.Tensor:
        buffer = torch.full(tuple(shape), 77, dtype=torch.uint8).contiguous(memory_format=memory_format)
        self.buffers.append(weakref.ref(buffer))
        return buffer

    def pinned(self, shape: Sequence[int], dtype: torch.dtype) -> torch.Tensor:
        return torch.zeros(tuple(shape), dtype=dtype)

    def copy(self, target: torch.Tensor, source: torch.Tensor) -> None:
        self.current.add(lambda: target.copy_(source))

    def capture(self, function: Callable[[], torch.Tensor]) -> Callable[[], torch.Tensor]:
        if not self.capturable:
            raise RuntimeError("operation not permitted when stream is capturing\nmore")
        self.captures += 1
        graph = Stream(at_once=False)
        with self.use(graph):
            output = function()

        def replay() -> torch.Tensor:
            for work in graph.queue:
                self.current.add(work)
            return output

        return replay

    def synchronize(self) -> None:
        for stream in self.streams:
            stream.run(len(stream.queue))

    def empty_cache(self) -> None:
        self.held.append(sum(buffer() is not None for buffer in self.buffers))

    def forward(self, pixels: torch.Tensor) -> torch.Tensor:
        self.forwards += 1
        if len(pixels) > self.memory:
            raise torch.OutOfMemoryError("no memory")
        self.shapes.append(tuple(pixels.shape))
        output = torch.full((len(pixels), pixels.shape[1]), torch.nan)
        self.current.add(lambda: output.copy_(pixels.float().sum(dim=(2, 3))))
        return output


def simulated(*gpus: SimulatedGpu) -> list[Feeder]:
    return [Feeder(GpuReplica(gpu.forward, gpu)) for gpu in gpus]  # type: ignore[arg-type]


@pytest.mark.parametrize("capturable", [True, False])
@pytest.mark.parametrize("at_once", [(False, False), (True, False), (False, True), (True, True)])
@pytest.mark.parametrize(("batch", "piece"), [(4, 4), (10, 4)])
@pytest.mark.parametrize("gpus", [1, 2])
def test_streams_may_run_as_late_as_their_events_allow(
    gpus: int, batch: int, piece: int, at_once: tuple[bool, bool], capturable: bool
) -> None:
    pixels = images(57)
    feeders = simulated(*(SimulatedGpu(at_once=at_once, capturable=capturable) for _ in range(gpus)))
    streamed = []
    for features in deal(batches_of(pixels, batch), feeders, lambda _: piece):
        streamed.append(features.copy())
        features[:] = -1  # the caller may do with them what it likes
    np.testing.assert_array_equal(np.concatenate(streamed), sums(pixels))


def test_a_network_is_captured_once_and_runs_in_one_shape() -> None:
    gpu = SimulatedGpu()
    feeders = simulated(gpu)
    for _ in range(2):
        list(deal(batches_of(images(23), 4), feeders, lambda _: 4))
    assert gpu.captures == 1
    assert set(gpu.shapes) == {(4, 3, SIZE, SIZE)}
    assert gpu.forwards < 6, "the network runs in the graph"


def test_a_network_that_cannot_be_captured_runs_without_a_graph(caplog: pytest.LogCaptureFixture) -> None:
    gpu, pixels = SimulatedGpu(capturable=False), images(23)
    with caplog.at_level(logging.WARNING):
        streamed = list(deal(batches_of(pixels, 4), simulated(gpu), lambda _: 4))
    np.testing.assert_array_equal(np.concatenate(streamed), sums(pixels))
    assert [record.message for record in caplog.records] == [
        "simulated: no CUDA graph of this network (operation not permitted when stream is capturing);"
        " it runs kernel by kernel"
    ]


@pytest.mark.parametrize("capturable", [True, False])
def test_a_gpu_that_runs_out_of_memory_halves_its_pieces(capturable: bool) -> None:
    small, large, pixels = SimulatedGpu(memory=3, capturable=capturable), SimulatedGpu(), images(57)
    streamed = list(deal(batches_of(pixels, 8), simulated(small, large), lambda _: 8))
    np.testing.assert_array_equal(np.concatenate(streamed), sums(pixels))
    assert {shape[0] for shape in small.shapes} == {2}
    assert {shape[0] for shape in large.shapes} == {8}


@pytest.mark.parametrize("failing", range(9))
def test_memory_that_runs_out_later_loses_and_repeats_no_image(failing: int) -> None:
    gpu, pixels = SimulatedGpu(capturable=False), images(57)

    def sometimes(batch: torch.Tensor) -> torch.Tensor:
        gpu.memory = 7 if gpu.forwards == 3 + failing else 99
        return gpu.forward(batch)

    feeder = Feeder(GpuReplica(sometimes, gpu))  # type: ignore[arg-type]
    streamed = list(deal(batches_of(pixels, 8), [feeder], lambda _: 8))
    np.testing.assert_array_equal(np.concatenate(streamed), sums(pixels))
    assert not any(gpu.held), "all memory is given back before smaller pieces are tried"
    assert {shape[0] for shape in gpu.shapes} == ({8, 4} if failing < 8 else {8})


def test_no_more_batches_are_in_flight_than_keep_the_devices_busy() -> None:
    asked = 0

    def reader() -> Iterator[np.ndarray]:
        nonlocal asked
        for batch in batches_of(images(60), 2):
            asked += 1
            yield batch

    for done, _ in enumerate(deal(reader(), simulated(SimulatedGpu(), SimulatedGpu()), lambda _: 2)):
        assert asked <= done + 2 * GpuReplica.depth
    assert asked == 30


def test_a_stream_left_early_does_not_disturb_the_next() -> None:
    feeders, pixels = simulated(SimulatedGpu()), images(40)
    next(iter(deal(batches_of(pixels[::-1], 4), feeders, lambda _: 4)))
    streamed = list(deal(batches_of(pixels, 4), feeders, lambda _: 4))
    np.testing.assert_array_equal(np.concatenate(streamed), sums(pixels))


@pytest.mark.parametrize("where", ["start", "finish"])
def test_an_error_names_its_device(where: str) -> None:
    healthy, broken = SimulatedGpu(), SimulatedGpu(capturable=False)
    broken.name = "cuda:1 (broken)"

    def fail() -> None:
        raise RuntimeError("an illegal memory access was encountered")

    def forward(pixels: torch.Tensor) -> torch.Tensor:
        if broken.forwards >= 5:
            fail() if where == "start" else broken.current.add(fail)
        return broken.forward(pixels)

    feeders = [*simulated(healthy), Feeder(GpuReplica(forward, broken))]  # type: ignore[arg-type]
    with pytest.raises(RuntimeError, match="illegal memory access") as caught:
        list(deal(batches_of(images(60), 4), feeders, lambda _: 4))
    assert caught.value.__notes__ == ["while embedding on cuda:1 (broken)"]


# --------------------------------------------------------------------------------- on a real GPU

NETWORKS = ["small-cnn", "efficientnet_b0", "resnet50", "densenet121", "vit_b_16", "swin_t"]


@needs_gpu
@pytest.mark.parametrize("model", NETWORKS)
def test_gpu_a_graph_gives_what_the_network_gives(model: str, caplog: pytest.LogCaptureFixture) -> None:
    network, pixels = extractor(model), images(45, size=224)
    engine = TorchEngine(network, threads=1, batch_size=8)
    streamed = list(engine.stream(batches_of(pixels, 8)))
    assert not caplog.records, "the network was not captured"
    features, expected = np.concatenate(streamed), plain(network, pixels)
    np.testing.assert_allclose(features, expected, rtol=1e-3, atol=1e-4 * np.abs(expected).max())
    assert lowest_cosine(features, expected) > 0.999999
    with torch.inference_mode():
        eager = engine._feeders[0]._replica._forward(torch.from_numpy(pixels[:8]).cuda())  # type: ignore[attr-defined]
    np.testing.assert_array_equal(streamed[0], eager.cpu().numpy())


@needs_gpu
@pytest.mark.parametrize("model", NETWORKS)
def test_gpu_bfloat16_agrees_with_float32(model: str) -> None:
    network, pixels = extractor(model), images(24, size=224)
    features = [
        np.concatenate(list(TorchEngine(network, precision=p, threads=1, batch_size=16).stream(batches_of(pixels, 16))))
        for p in ("float32", "bfloat16")
    ]
    assert lowest_cosine(*features) >= 0.999
    assert not np.array_equal(*features)


@needs_gpu
@pytest.mark.parametrize("precision", ["float32", "bfloat16"])
def test_gpu_features_do_not_depend_on_the_rest_of_the_batch(precision: str) -> None:
    network, pixels = extractor("efficientnet_b0"), images(40, size=64)
    engine = TorchEngine(network, precision=precision, threads=1, batch_size=8)  # type: ignore[arg-type]
    together = np.concatenate(list(engine.stream(batches_of(pixels, 8))))
    order = np.random.default_rng(1).permutation(40)
    shuffled = np.concatenate(list(engine.stream(batches_of(pixels[order], 7))))
    np.testing.assert_array_equal(shuffled, together[order])


@needs_gpu
def test_gpu_order_over_many_batches() -> None:
    pixels = images(4001)
    engine = TorchEngine(Noting(), threads=1, batch_size=64)  # type: ignore[arg-type]
    Noting.seen = []
    streamed = np.concatenate(list(engine.stream(batches_of(pixels, 64))))
    np.testing.assert_array_equal(streamed, sums(pixels))


@needs_gpu
def test_gpu_a_network_that_waits_for_the_gpu_runs_without_a_graph(caplog: pytest.LogCaptureFixture) -> None:
    class Branching(nn.Module):
        def forward(self, pixels: torch.Tensor) -> torch.Tensor:
            total = pixels.float().sum(dim=(2, 3))
            return total if total.max().item() > -1 else -total

    pixels = images(50)
    engine = TorchEngine(Branching(), threads=1, batch_size=8)  # type: ignore[arg-type]
    for _ in range(2):
        np.testing.assert_array_equal(np.concatenate(list(engine.stream(batches_of(pixels, 8)))), sums(pixels))
    assert "no CUDA graph" in caplog.text
    other, network = images(9, size=64), extractor()
    captured = np.concatenate(list(TorchEngine(network, threads=1, batch_size=4).stream(batches_of(other, 4))))
    assert_close(captured, plain(network, other))  # the failed capture left the GPU usable


@needs_gpu
def test_gpu_out_of_memory_goes_on_with_smaller_pieces(caplog: pytest.LogCaptureFixture) -> None:
    network, pixels = extractor("resnet50"), images(96, size=224)
    total = torch.cuda.get_device_properties(0).total_memory
    torch.cuda.empty_cache()
    torch.cuda.set_per_process_memory_fraction(min(1.0, (torch.cuda.memory_reserved() + 600 * 2**20) / total))
    try:
        engine = TorchEngine(network, threads=1, batch_size=96)
        (features,) = engine.stream([pixels])
    finally:
        torch.cuda.set_per_process_memory_fraction(1.0)
    assert "out of memory with 96 images" in caplog.text
    assert lowest_cosine(features, plain(network, pixels)) > 0.999999


@needs_gpu
def test_gpu_several_replicas_keep_the_order() -> None:
    devices = [torch.device("cuda", index) for index in range(torch.cuda.device_count())]
    devices = devices if len(devices) > 1 else devices * 2
    network, pixels = extractor(), images(301)
    engine = TorchEngine(network, threads=1, batch_size=8, devices=devices)
    assert_close(np.concatenate(list(engine.stream(batches_of(pixels, 8)))), plain(network, pixels))
