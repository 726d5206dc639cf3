"""Class activation maps: which places of an image move a linear function of its embedding.

Heads are linear, and a single feature is a linear function too: what is explained is always a direction in the space
of embeddings. The maps of a fusion's branches are those of one function of all features together.
"""

from __future__ import annotations

from collections.abc import Sequence
from contextlib import closing
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import torch
from pytorch_grad_cam import GradCAM, GradCAMPlusPlus, HiResCAM, LayerCAM, XGradCAM
from pytorch_grad_cam.base_cam import BaseCAM
from torch import nn
from tqdm import tqdm

from heteroscope.backbones.pooling import FeatureExtractor
from heteroscope.backbones.registry import feature_map_name
from heteroscope.backbones.weights import read_weights
from heteroscope.data.places import enlarged
from heteroscope.embedding.keys import Target
from heteroscope.embedding.reading import PixelRows
from heteroscope.embedding.recipe import Recipe
from heteroscope.errors import ConfigError

METHODS: dict[str, type[BaseCAM]] = {
    "grad-cam": GradCAM,
    "grad-cam++": GradCAMPlusPlus,
    "xgrad-cam": XGradCAM,
    "hires-cam": HiResCAM,
    "layer-cam": LayerCAM,
}
LAST_MAP = "last_map"
BATCH = 8


@dataclass(frozen=True)
class Branch:
    """A network and its map.

    Attributes:
        extractor: from pixels to features.
        layer: name of the module whose output is the map.
        width: number of features.
    """

    extractor: FeatureExtractor
    layer: str
    width: int

    @property
    def module(self) -> nn.Module:
        """The module whose output is the map."""
        return self.extractor.backbone.get_submodule(self.layer)


@dataclass(frozen=True)
class Maps:
    """What `ActivationMaps` finds.

    Attributes:
        features: (n, d) float32, the embedding in torch's float32.
        branches: (n, h, w) of each branch, with signs; its share in the direction, by place.
    """

    features: np.ndarray
    branches: list[np.ndarray]

    def joint(self) -> np.ndarray:
        """The maps of all branches together, (n, h, w) of the finest of them, without what speaks against."""
        return np.asarray(np.maximum(sum_of_maps(self.branches), 0))

    def of_branch(self, number: int) -> np.ndarray:
        """One branch's part, (n, h, w), without what speaks against."""
        return np.asarray(np.maximum(self.branches[number], 0))


class ActivationMaps:
    """Maps of the branches of a fusion, or of one network."""

    def __init__(self, branches: Sequence[Branch], method: str) -> None:
        self._network = _Branches(branches)
        raw = type("Raw", (_RawMaps, METHODS[method]), {})
        # copies: a later layer may change what the library has seen in place
        self._cam = raw(self._network, [branch.module for branch in branches], reshape_transform=torch.clone)

    def of_images(self, pixels: Path, image_id: np.ndarray, directions: np.ndarray) -> Maps:
        """The maps of images (n,) of a pixels file for directions (n, d), with progress.

        Raises:
            ConfigError: a layer gives no map, or the embedding does not depend on it.
            StoreError: the pixels file is damaged or misses an image.
        """
        target = Target(image_id, np.zeros(len(image_id), dtype=np.int64))
        places = [np.arange(start, min(start + BATCH, len(image_id))) for start in range(0, len(image_id), BATCH)]
        read = PixelRows(pixels, target).batches(places, batch_size=BATCH, workers=1)
        found = []
        with closing(read), tqdm(total=len(image_id), unit="image", desc="explaining", mininterval=2) as progress:
            for rows, images in zip(places, read, strict=True):
                found.append(self(images, directions[rows]))
                progress.update(len(rows))
        branches = zip(*(maps.branches for maps in found), strict=True)
        return Maps(np.concatenate([maps.features for maps in found]), [np.concatenate(parts) for parts in branches])

    def __call__(self, pixels: np.ndarray, directions: np.ndarray) -> Maps:
        """The maps of images (n, channels, size, size) uint8 for directions (n, d), at once.

        Raises:
            ConfigError: a layer gives no map, or the embedding does not depend on it.
        """
        weights = torch.from_numpy(directions.astype(np.float32))
        maps = self._cam(torch.from_numpy(pixels), [_Along(weight) for weight in weights])
        return Maps(self._cam.outputs.detach().numpy(), maps)


@dataclass(frozen=True)
class _Along:
    """The projection of one image's features (d,) on a direction (d,)."""

    direction: torch.Tensor

    def __call__(self, features: torch.Tensor) -> torch.Tensor:
        return features @ self.direction


class _Branches(nn.Module):
    """The embeddings of several networks side by side, as functions of their maps alone."""

    def __init__(self, branches: Sequence[Branch]) -> None:
        super().__init__()
        self.branches = branches
        self.extractors = nn.ModuleList(branch.extractor for branch in branches)
        self.requires_grad_(False)
        for branch in branches:
            # before any other hook: they must see the map as it is made here
            branch.module.register_forward_hook(_MapHook(branch.layer), prepend=True)

    def forward(self, pixels: torch.Tensor) -> torch.Tensor:
        parts = [extractor(pixels) for extractor in self.extractors]
        for branch, part in zip(self.branches, parts, strict=True):
            if not part.requires_grad:
                raise ConfigError(
                    f"explanations: the embedding does not depend on layer {branch.layer!r}; name another"
                )
        return torch.cat(parts, dim=1)


@dataclass(frozen=True)
class _MapHook:
    """Begins the graph of gradients at a map: what is before it needs none, and its memory is not kept."""

    layer: str

    def __call__(self, _module: nn.Module, _inputs: Any, output: Any) -> torch.Tensor:
        if not isinstance(output, torch.Tensor) or output.ndim != 4 or min(output.shape[2:]) < 2:
            raise ConfigError(
                f"explanations: layer {self.layer!r} gives no map (images, channels, rows, columns) of several places;"
                " name a convolution in `layers`"
            )
        return output.detach().requires_grad_().clone()


class _RawMaps(BaseCAM):  # type: ignore[misc]  # the library has no types
    """The library's maps with signs and as the network gives them: of every layer, neither scaled nor enlarged."""

    def compute_cam_per_layer(self, input_tensor: torch.Tensor, targets: Any, eigen_smooth: bool) -> list[np.ndarray]:
        seen = self.activations_and_grads
        found = zip(self.target_layers, _numpy(seen.activations), _numpy(seen.gradients), strict=True)
        return [self.get_cam_image(input_tensor, layer, targets, *arrays, eigen_smooth) for layer, *arrays in found]

    def aggregate_multi_layers(self, cam_per_target_layer: list[np.ndarray]) -> list[np.ndarray]:
        return cam_per_target_layer


def _numpy(tensors: Sequence[torch.Tensor]) -> list[np.ndarray]:
    return [tensor.numpy() for tensor in tensors]


def read_branch(recipe: Recipe, weights: Path, layer: str | None) -> Branch:
    """The network of a weights file, and the map to look at.

    Args:
        recipe: how it embeds.
        weights: its weights.
        layer: name of the map's module; None for the one that the embedding is made of.

    Raises:
        ConfigError: the last map is not known, or there is no such layer.
    """
    network = read_weights(weights, model=recipe.model).network
    embedded = recipe.layer
    if embedded is None and recipe.model.startswith("densenet"):
        _rectify_by_a_module(network)
        embedded = LAST_MAP if recipe.pooling == "flatten" else None
        layer = layer or LAST_MAP
    extractor = FeatureExtractor(network, model=recipe.model, pooling=recipe.pooling, layer=embedded)
    layer = layer or recipe.layer or feature_map_name(network)
    if layer not in dict(network.named_modules()):
        raise ConfigError(f"explanations: layers: {layer!r}: {recipe.model} has no such module")
    if recipe.model.startswith("swin") and layer.startswith(("features", "norm")):
        raise ConfigError(f"explanations: layers: {layer!r}: swin's blocks hold channels last; leave it at the default")
    return Branch(extractor.eval(), layer, recipe.width)


def _rectify_by_a_module(network: nn.Module) -> None:
    """Let a module give DenseNet's last map, which a function rectifies in place where no hook can look."""
    network.add_module(LAST_MAP, nn.ReLU())
    features, last_map, classifier = (network.get_submodule(name) for name in ("features", LAST_MAP, "classifier"))
    network.forward = lambda images: classifier(last_map(features(images)).mean(dim=(2, 3)))


def sum_of_maps(maps: Sequence[np.ndarray]) -> np.ndarray:
    """The sum of maps (n, h, w) of one image by places, on the finest grid of them.

    A cell of a coarser map stands for a larger part of the image: what it says is spread over that.
    """
    finest = max(maps, key=lambda one: one.shape[1] * one.shape[2])
    height, width = finest.shape[1:]
    return np.asarray(sum(enlarged(one, width, height) * (one[0].size / finest[0].size) for one in maps))
