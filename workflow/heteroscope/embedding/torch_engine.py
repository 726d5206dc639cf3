"""The reference engine: torch, on the GPUs where there are any."""

from __future__ import annotations

import copy
import logging
from collections import Counter, deque
from collections.abc import Callable, Iterable, Iterator, Sequence
from contextlib import contextmanager
from typing import Literal, Protocol

import numpy as np
import torch

from heteroscope.backbones.pooling import FeatureExtractor
from heteroscope.errors import DataError

CPU_BATCH, GPU_BATCH = 16, 256  # images of REFERENCE_SIDE pixels a side that run at once
REFERENCE_SIDE = 224

log = logging.getLogger(__name__)


class TorchEngine:
    """Torch in float32, or in bfloat16 by autocast, on the CPU or on every GPU of the machine.

    Float32 is exact: no TF32, deterministic convolutions. Batches are dealt to the devices in turn.
    One thread feeds them all, as a GPU takes its work without waiting for it; see `gpu`.
    """

    name = "torch"

    def __init__(
        self,
        extractor: FeatureExtractor,
        *,
        precision: Literal["float32", "bfloat16"] = "float32",
        threads: int,
        batch_size: int | None = None,
        devices: Sequence[torch.device] | None = None,
    ) -> None:
        """Copy the extractor to its devices.

        Args:
            extractor: from pixels to features; it stays as it is.
            precision: of the arithmetic.
            threads: fixes the CPU's order of summation.
            batch_size: images that run at once on one device. None: 16 on a CPU, 256 on a GPU, and
                proportionally fewer of images larger than 224×224, in equal parts of a batch.
            devices: None is every GPU, or the CPU where there is none.
        """
        torch.set_num_threads(threads)
        torch.backends.cuda.matmul.allow_tf32 = False
        devices = devices or _all_devices()
        self.precision = precision
        self.device = _in_words(devices)
        self.batch_size = batch_size or (GPU_BATCH if devices[0].type == "cuda" else CPU_BATCH)
        self._scaled = batch_size is None
        self._feeders = [Feeder(_replica(extractor, precision, device)) for device in devices]

    def stream(self, batches: Iterable[np.ndarray]) -> Iterator[np.ndarray]:
        """Embed batches in their order; see `Engine`.

        A batch's array may be used again as soon as the next batch is asked for.

        Raises:
            DataError: a device has no memory for a single image.
        """
        return deal(batches, self._feeders, self._at_once)

    def _at_once(self, pixels: np.ndarray) -> int:
        """How many images of a batch may run at once."""
        parts = -(-pixels.shape[-2] * pixels.shape[-1] // REFERENCE_SIDE**2) if self._scaled else 1
        return -(-self.batch_size // parts)


class Forward:
    """A copy of the network on one device: pixels (n, channels, size, size) uint8 → (n, d) float32."""

    def __init__(self, extractor: FeatureExtractor, precision: str, device: torch.device) -> None:
        # without gradients autocast keeps no casts of the weights, which a captured graph could outlive
        extractor = copy.deepcopy(extractor).eval().requires_grad_(False)
        self._extractor = extractor.to(device).to(memory_format=torch.channels_last)
        self._device_type, self._reduced = device.type, precision == "bfloat16"

    def __call__(self, pixels: torch.Tensor) -> torch.Tensor:
        """Features of pixels on the device."""
        autocast = torch.autocast(self._device_type, dtype=torch.bfloat16, enabled=self._reduced)
        exact = torch.backends.cudnn.flags(enabled=True, benchmark=False, deterministic=True, allow_tf32=False)
        with torch.inference_mode(), exact, autocast:
            features: torch.Tensor = self._extractor(pixels.contiguous(memory_format=torch.channels_last))
        return features.float().contiguous()


# ---------------------------------------------------------------------------- pieces on the devices


class Replica(Protocol):
    """The network on one device.

    Attributes:
        name: of the device, in words.
        depth: how many pieces may be in flight.
    """

    name: str
    depth: int

    def start(self, pixels: np.ndarray, capacity: int) -> Callable[[], np.ndarray]:
        """Begin to embed at most `capacity` images; `pixels` may be overwritten after the call.

        The network sees exactly `capacity` images, some of them padding: libraries choose how to sum
        by the shape, and an image must have the same features, bit for bit, whatever it comes with.

        Returns:
            A function that waits for the features (n, d). It must be called before the piece
            that follows `depth` pieces later is started.

        Raises:
            torch.OutOfMemoryError: the device has no memory for this capacity.
        """
        ...

    def release(self) -> None:
        """Give back all memory but the weights'; nothing is in flight."""
        ...


class CpuReplica:
    """Computes as soon as it is asked to."""

    depth = 1

    def __init__(self, forward: Callable[[torch.Tensor], torch.Tensor]) -> None:
        self.name = "cpu"
        self._forward = forward

    def start(self, pixels: np.ndarray, capacity: int) -> Callable[[], np.ndarray]:
        """Embed images; see `Replica`."""
        padded = np.pad(pixels, [(0, capacity - len(pixels)), (0, 0), (0, 0), (0, 0)])
        features: np.ndarray = self._forward(torch.from_numpy(padded))[: len(pixels)].numpy()
        return lambda: features

    def release(self) -> None:
        """Nothing is held."""


class Piece:
    """A part of a batch, in flight or done."""

    def __init__(self, finish: Callable[[], np.ndarray]) -> None:
        self._finish: Callable[[], np.ndarray] | None = finish
        self._features = np.empty(0)

    def wait(self) -> np.ndarray:
        """Its features (n, d)."""
        if self._finish is not None:
            self._features, self._finish = self._finish(), None
        return self._features


class Feeder:
    """Cuts batches into pieces that fit a device's memory, and keeps some in flight.

    Where memory runs out, pieces become half as large from then on; batches stay as they are.
    """

    def __init__(self, replica: Replica) -> None:
        self._replica = replica
        self._flight: deque[Piece] = deque()
        self._affordable: int | None = None

    @property
    def depth(self) -> int:
        """How many batches keep the device busy."""
        return self._replica.depth

    def submit(self, pixels: np.ndarray, at_once: int) -> list[Piece]:
        """Begin a batch.

        Args:
            pixels: (n, channels, size, size) uint8; may be overwritten after the call.
            at_once: the largest piece.
        """
        pieces: list[Piece] = []
        start = 0
        while start < len(pixels):
            capacity = min(at_once, self._affordable or at_once)
            piece = self._begin(pixels[start : start + capacity], capacity)
            if piece is None:
                self._halve(capacity, pixels)
            else:
                pieces.append(piece)
                start += capacity
        return pieces

    def _begin(self, pixels: np.ndarray, capacity: int) -> Piece | None:
        """Begin a piece; None where there is no memory for it."""
        if len(self._flight) == self._replica.depth:
            self._flight.popleft().wait()
        try:
            piece = Piece(self._replica.start(pixels, capacity))
        except torch.OutOfMemoryError:
            return None  # nothing is mended in here: the error's traceback holds what is to be freed
        self._flight.append(piece)
        return piece

    def _halve(self, capacity: int, pixels: np.ndarray) -> None:
        while self._flight:
            self._flight.popleft().wait()
        self._replica.release()
        height, width = pixels.shape[-2:]
        if capacity == 1:
            raise DataError(
                f"{self._replica.name} has no memory for a single image of {width}×{height} pixels; "
                "free its memory, choose a smaller `size` of the backbone's pixels, or a smaller network"
            )
        self._affordable = capacity // 2
        log.warning(
            "%s: out of memory with %d images of %d×%d pixels at once; goes on with %d",
            *(self._replica.name, capacity, width, height, self._affordable),
        )

    @contextmanager
    def naming(self) -> Iterator[None]:
        """Say of any error on which device it arose."""
        try:
            yield
        except Exception as error:
            error.add_note(f"while embedding on {self._replica.name}")
            raise


def deal(
    batches: Iterable[np.ndarray], feeders: Sequence[Feeder], at_once: Callable[[np.ndarray], int]
) -> Iterator[np.ndarray]:
    """Embed batches on several devices in turn.

    No more batches are in flight than keep the devices busy, so memory stays flat.

    Args:
        batches: pixels (n, channels, size, size) uint8.
        feeders: one a device.
        at_once: how many images of a batch may run at once.

    Returns:
        Features (n, d) float32, in the order of the batches.
    """
    flight: deque[tuple[Feeder, list[Piece]]] = deque()
    most = sum(feeder.depth for feeder in feeders)
    for number, pixels in enumerate(batches):
        feeder = feeders[number % len(feeders)]
        with feeder.naming():
            flight.append((feeder, feeder.submit(pixels, at_once(pixels))))
        if len(flight) == most:
            yield _collect(*flight.popleft())
    while flight:
        yield _collect(*flight.popleft())


def _collect(feeder: Feeder, pieces: list[Piece]) -> np.ndarray:
    with feeder.naming():
        return np.concatenate([piece.wait() for piece in pieces])


def _replica(extractor: FeatureExtractor, precision: str, device: torch.device) -> Replica:
    forward = Forward(extractor, precision, device)
    if device.type != "cuda":
        return CpuReplica(forward)
    from heteroscope.embedding.gpu import Gpu, GpuReplica

    return GpuReplica(forward, Gpu(device))


def _all_devices() -> list[torch.device]:
    gpus = [torch.device("cuda", index) for index in range(torch.cuda.device_count())]
    return gpus or [torch.device("cpu")]


def _in_words(devices: Sequence[torch.device]) -> str:
    names = Counter(torch.cuda.get_device_name(device) if device.type == "cuda" else "cpu" for device in devices)
    return ", ".join(f"{count} × {name}" if count > 1 else name for name, count in names.items())
