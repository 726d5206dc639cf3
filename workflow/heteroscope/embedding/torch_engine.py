"""The reference engine: torch, on the GPU where there is one."""

from __future__ import annotations

from collections.abc import Iterable, Iterator

import numpy as np
import torch

from heteroscope.backbones.pooling import FeatureExtractor


class TorchEngine:
    """Eager torch in float32."""

    name = "torch"
    precision = "float32"

    def __init__(self, extractor: FeatureExtractor, *, threads: int, batch_size: int = 32) -> None:
        """Move the extractor to its device; `threads` fixes the CPU's order of summation."""
        torch.set_num_threads(threads)
        self.batch_size = batch_size
        self._device = torch.device("cuda" if torch.cuda.is_available() else "cpu")
        self._extractor = extractor.eval().to(memory_format=torch.channels_last).to(self._device)
        self.device = torch.cuda.get_device_name() if self._device.type == "cuda" else "cpu"

    def stream(self, batches: Iterable[np.ndarray]) -> Iterator[np.ndarray]:
        """Embed batches in their order; see `Engine`."""
        for pixels in batches:
            yield self._embed(pixels)

    def _embed(self, pixels: np.ndarray) -> np.ndarray:
        batch = torch.from_numpy(pixels).to(self._device).contiguous(memory_format=torch.channels_last)
        exact = torch.backends.cudnn.flags(enabled=True, benchmark=False, deterministic=True, allow_tf32=False)
        with torch.inference_mode(), exact:
            features: np.ndarray = self._extractor(batch).cpu().numpy()
        return features
