"""Engines turn batches of pixels into embeddings. This one is the reference: torch, float32."""

from __future__ import annotations

from typing import Protocol

import numpy as np
import torch

from heteroscope.backbones.pooling import FeatureExtractor


class Engine(Protocol):
    """What the embedding stage asks of an engine.

    Attributes:
        name: which engine, resolved; part of a row's key.
        precision: of its arithmetic, such as "float32"; part of a row's key.
        device: what it ran on, in words.
    """

    name: str
    precision: str
    device: str

    def __call__(self, pixels: np.ndarray) -> np.ndarray:
        """Embed a batch: pixels (n, channels, size, size) uint8 → features (n, d) float32."""
        ...


class TorchEngine:
    """The reference: eager torch in float32, on the GPU where there is one."""

    name = "torch"
    precision = "float32"

    def __init__(self, extractor: FeatureExtractor, *, threads: int) -> None:
        """Move the extractor to its device; `threads` fixes the CPU's order of summation."""
        torch.set_num_threads(threads)
        self._device = torch.device("cuda" if torch.cuda.is_available() else "cpu")
        self._extractor = extractor.eval().to(memory_format=torch.channels_last).to(self._device)
        self.device = torch.cuda.get_device_name() if self._device.type == "cuda" else "cpu"

    def __call__(self, pixels: np.ndarray) -> np.ndarray:
        """Embed a batch: pixels (n, channels, size, size) uint8 → features (n, d) float32."""
        batch = torch.from_numpy(pixels).to(self._device).contiguous(memory_format=torch.channels_last)
        exact = torch.backends.cudnn.flags(enabled=True, benchmark=False, deterministic=True, allow_tf32=False)
        with torch.inference_mode(), exact:
            features: np.ndarray = self._extractor(batch).cpu().numpy()
        return features
