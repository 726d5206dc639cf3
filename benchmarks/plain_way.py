"""The plain way to embed images: Pillow, torchvision's transforms, a DataLoader, and torch in float32."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import Any

import numpy as np
import torch
from PIL import Image
from torch import nn
from torch.utils.data import DataLoader, Dataset
from torchvision import transforms

from heteroscope.backbones.registry import normalisation
from heteroscope.backbones.weights import read_weights

BATCH = 32
WORKERS = (0, 2)


class Photographs(Dataset):
    """Image files as normalised tensors."""

    def __init__(self, paths: Sequence[Path], *, model: str, side: int) -> None:
        self.paths = paths
        mean, standard_deviation = normalisation(model)
        self.transform = transforms.Compose(
            [transforms.Resize((side, side)), transforms.ToTensor(), transforms.Normalize(mean, standard_deviation)]
        )

    def __len__(self) -> int:
        return len(self.paths)

    def __getitem__(self, index: int) -> Any:
        with Image.open(self.paths[index]) as image:
            return self.transform(image.convert("RGB"))


def network(weights: Path, model: str, device: str = "cpu") -> nn.Module:
    """torchvision's network without its classifier, which leaves the averaged last feature map."""
    return read_weights(weights, model=model).network.eval().to(device)


def embed(
    network: nn.Module, paths: Sequence[Path], *, model: str, side: int, workers: int, threads: int
) -> np.ndarray:
    """Embeddings (n, d) float32 of image files, from the files on."""
    torch.set_num_threads(threads)
    loader = DataLoader(Photographs(paths, model=model, side=side), batch_size=BATCH, num_workers=workers)
    return np.concatenate(list(_features(network, loader)))


@torch.inference_mode()
def _features(network: nn.Module, loader: DataLoader) -> Iterator[np.ndarray]:
    device = next(network.parameters()).device
    for batch in loader:
        yield network(batch.to(device)).flatten(1).cpu().numpy()
