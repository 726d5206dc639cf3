"""A network on one GPU: images are copied to it while it computes on those before them.

Work on a GPU is queued in streams, and queueing returns at once. A piece of a batch passes through

    reader's array → pinned memory ═ copying stream ═► staged on the device
    staged ═ computing stream ═► input → network → features ═► pinned memory → caller

and each of a few slots holds the buffers of one piece, so that one piece can be filled by the CPU,
one copied and one computed at the same time. Events order the two streams; a slot's buffers are
filled again only after the CPU has waited for the event behind its features.

The piece's shape is fixed (a short one is padded with whatever the slot held: rows of a network in
evaluation mode do not see one another), so that the network is captured once as a CUDA graph and
replayed. An EfficientNet has some 250 small kernels, DenseNet121 more than 400; launched one by one
from Python they keep a fast GPU waiting. A graph holds the same kernels as the eager network, with
the same results, and takes a second; `torch.compile` would fuse some of them, but it compiles for a
minute or more, needs a C compiler on the machine, and rounds differently.
"""

from __future__ import annotations

import logging
from collections.abc import Callable, Iterator, Sequence
from contextlib import AbstractContextManager
from dataclasses import dataclass
from functools import partial
from itertools import cycle
from typing import Any

import numpy as np
import torch

WARM_UP_RUNS = 3  # as many as PyTorch's notes on CUDA graphs make before a capture

log = logging.getLogger(__name__)


class Gpu:
    """What a replica asks of a GPU; tests put a simulated one in its place."""

    def __init__(self, device: torch.device) -> None:
        self._device = device
        self.name = f"{device} ({torch.cuda.get_device_name(device)})"

    def selected(self) -> AbstractContextManager[Any]:
        """Make it the current device."""
        return torch.cuda.device(self._device)

    def stream(self) -> torch.cuda.Stream:
        """A new stream."""
        return torch.cuda.Stream(self._device)  # type: ignore[no-untyped-call]

    def use(self, stream: torch.cuda.Stream) -> AbstractContextManager[Any]:
        """Queue work, and take memory, in a stream."""
        return torch.cuda.stream(stream)

    def event(self) -> torch.cuda.Event:
        """A new event; the CPU sleeps while it waits for it, as other threads decode images."""
        return torch.cuda.Event(blocking=True)  # type: ignore[no-untyped-call]

    def empty(self, shape: Sequence[int], memory_format: torch.memory_format) -> torch.Tensor:
        """Bytes on the device, with any values: to set them would be work that streams must wait for."""
        return torch.empty(shape, dtype=torch.uint8, device=self._device, memory_format=memory_format)

    def pinned(self, shape: Sequence[int], dtype: torch.dtype) -> torch.Tensor:
        """Zeros in memory of the CPU that the GPU copies by itself."""
        return torch.zeros(shape, dtype=dtype, pin_memory=True)

    def copy(self, target: torch.Tensor, source: torch.Tensor) -> None:
        """Queue a copy."""
        target.copy_(source, non_blocking=True)

    def capture(self, function: Callable[[], torch.Tensor]) -> Callable[[], torch.Tensor]:
        """A function's kernels as one graph; its output is overwritten by the next replay.

        Raises:
            RuntimeError: it waits for the GPU, or does other things that a graph cannot hold.
        """
        graph = torch.cuda.CUDAGraph()
        # on a stream of its own: some versions leave the stream of a failed capture current, and unusable
        with torch.cuda.stream(torch.cuda.current_stream()), torch.cuda.graph(graph, stream=self.stream()):
            output = function()

        def replay() -> torch.Tensor:
            graph.replay()
            return output

        return replay

    def synchronize(self) -> None:
        """Wait for all work."""
        torch.cuda.synchronize(self._device)

    def empty_cache(self) -> None:
        """Give unused memory back."""
        torch.cuda.empty_cache()


@dataclass(frozen=True)
class Slot:
    """The buffers of one piece.

    Attributes:
        pixels: (capacity, channels, size, size) uint8, pinned.
        staged: the same on the device.
        features: (capacity, d) float32, pinned.
        copied: `staged` is filled.
        done: `features` is filled, so that all of the slot is free.
    """

    pixels: torch.Tensor
    staged: torch.Tensor
    features: torch.Tensor
    copied: torch.cuda.Event
    done: torch.cuda.Event

    def fetch(self, count: int) -> np.ndarray:
        """Wait for the first `count` features, and copy them out of the slot."""
        self.done.synchronize()
        return self.features[:count].numpy().copy()


class GpuReplica:
    """The network on one GPU, with copies and computation side by side; a `Replica`."""

    depth = 3  # one piece is filled, one copied, one computed

    def __init__(self, forward: Callable[[torch.Tensor], torch.Tensor], gpu: Gpu) -> None:
        """Take the network, and nothing yet of the GPU's memory.

        Args:
            forward: pixels on the GPU (n, channels, size, size) uint8 → features (n, d) float32.
            gpu: the device.
        """
        self.name = gpu.name
        self._forward = forward
        self._gpu = gpu
        self._copying, self._computing = gpu.stream(), gpu.stream()
        self.release()

    def start(self, pixels: np.ndarray, capacity: int) -> Callable[[], np.ndarray]:
        """Queue a piece; see `Replica`."""
        shape = (capacity, *pixels.shape[1:])
        with torch.inference_mode(), self._gpu.selected():
            if shape != self._shape:
                self.release()
                self._prepare(shape)
            return self._queue(pixels)

    def release(self) -> None:
        """Wait for all work, that of moving the weights too, and give back all memory but theirs."""
        self._gpu.synchronize()
        self._shape: tuple[int, ...] | None = None
        self._input: torch.Tensor | None = None
        self._run: Callable[[], torch.Tensor] | None = None
        self._slots: Iterator[Slot] = iter(())
        self._gpu.empty_cache()

    def _queue(self, pixels: np.ndarray) -> Callable[[], np.ndarray]:
        gpu, slot = self._gpu, next(self._slots)
        assert self._input is not None
        assert self._run is not None
        slot.pixels.numpy()[: len(pixels)] = pixels
        with gpu.use(self._copying):
            gpu.copy(slot.staged, slot.pixels)
            slot.copied.record()
        with gpu.use(self._computing):
            slot.copied.wait()
            gpu.copy(self._input, slot.staged)
            gpu.copy(slot.features, self._run())
            slot.done.record()
        return partial(slot.fetch, len(pixels))

    def _prepare(self, shape: tuple[int, ...]) -> None:
        """Take memory for pieces of one shape, and capture the network."""
        gpu = self._gpu
        with gpu.use(self._computing):
            self._input = gpu.empty(shape, torch.channels_last)
            run = partial(self._forward, self._input)
            for _ in range(WARM_UP_RUNS):
                width = run().shape[1]
        self._run = self._captured(run)
        self._slots = cycle([self._slot(shape, width) for _ in range(self.depth)])
        self._shape = shape

    def _captured(self, run: Callable[[], torch.Tensor]) -> Callable[[], torch.Tensor]:
        try:
            return self._gpu.capture(run)
        except RuntimeError as error:
            reason = str(error).partition("\n")[0]
            log.warning("%s: no CUDA graph of this network (%s); it runs kernel by kernel", self.name, reason)
            return run

    def _slot(self, shape: tuple[int, ...], width: int) -> Slot:
        gpu = self._gpu
        with gpu.use(self._copying):
            staged = gpu.empty(shape, torch.contiguous_format)
        pinned, features = gpu.pinned(shape, torch.uint8), gpu.pinned((shape[0], width), torch.float32)
        return Slot(pinned, staged, features, copied=gpu.event(), done=gpu.event())
