"""From pixels to an embedding: normalisation, network and pooling as one module."""

from __future__ import annotations

from typing import Literal

import torch
from torch import nn

from heteroscope.backbones.registry import GREY_ADAPTER, feature_map_name, normalisation
from heteroscope.errors import ConfigError
from heteroscope.model_names import unknown_name

Pooling = Literal["avg", "flatten"]


class FeatureExtractor(nn.Module):
    """Pixels (n, 1 or 3, size, size) uint8 → embedding (n, d) float32.

    Normalisation is part of the module, so that an engine can fuse it with the network. So is the adapter of a
    backbone that has one (`registry.add_grey_adapter`); it takes one channel alone.
    """

    mean: torch.Tensor
    standard_deviation: torch.Tensor

    def __init__(self, backbone: nn.Module, *, model: str, pooling: Pooling, layer: str | None = None) -> None:
        """Wrap a backbone.

        Args:
            backbone: a network without its head, as `registry.build_backbone` makes it.
            model: its name; it decides the normalisation.
            pooling: `avg`: penultimate activations, or the mean over a layer's positions or tokens;
                `flatten`: the last feature map, or a layer's whole output, in the order channel, y, x.
            layer: a named module instead of the last one.

        Raises:
            ConfigError: no such layer.
        """
        super().__init__()
        mean, standard_deviation = normalisation(model)
        self.register_buffer("mean", torch.tensor(mean).view(1, 3, 1, 1), persistent=False)
        self.register_buffer("standard_deviation", torch.tensor(standard_deviation).view(1, 3, 1, 1), persistent=False)
        self.backbone = backbone
        self.adapted = hasattr(backbone, GREY_ADAPTER)
        self.flatten = pooling == "flatten"
        self.layer = layer or (feature_map_name(backbone) if self.flatten else None)
        # DenseNet rectifies its last map by a function, which no module stands for.
        self.rectify = layer is None and model.startswith("densenet")
        # Swin's blocks give (n, y, x, channel).
        self.channels_last = model.startswith("swin") and (layer or "").startswith(("features", "norm"))
        self._captured: torch.Tensor | None = None
        if self.layer:
            _module(backbone, self.layer).register_forward_hook(self._capture)

    def forward(self, pixels: torch.Tensor) -> torch.Tensor:
        """The embedding (n, d) of pixels (n, 1 or 3, size, size) in 0 to 255."""
        images = pixels.float() / 255
        if self.adapted:
            images = self.backbone.get_submodule(GREY_ADAPTER)(images)
        images = (images - self.mean) / self.standard_deviation  # one channel becomes three
        output = self.backbone(images)
        if self.layer is None:
            last: torch.Tensor = output[0] if isinstance(output, tuple) else output  # auxiliary heads while training
            return last.flatten(1)
        captured, self._captured = self._captured, None
        if captured is None:
            raise ConfigError(f"layer {self.layer!r} is not used when the network runs; name another")
        return captured

    def _capture(self, _module: nn.Module, _inputs: object, output: object) -> None:
        """Pool a layer's output at once: later layers may change it in place."""
        tensor = output[0] if isinstance(output, tuple) else output
        if not isinstance(tensor, torch.Tensor) or tensor.ndim < 2:
            raise ConfigError(f"layer {self.layer!r} does not give one array an image; name another")
        if self.channels_last and tensor.ndim == 4:
            tensor = tensor.permute(0, 3, 1, 2)
        if self.rectify:
            tensor = torch.relu(tensor)
        self._captured = self._pool(tensor)

    def _pool(self, tensor: torch.Tensor) -> torch.Tensor:
        if self.flatten or tensor.ndim == 2:
            return tensor.flatten(1).clone()
        return tensor.mean(dim=1) if tensor.ndim == 3 else tensor.mean(dim=tuple(range(2, tensor.ndim)))


def embedding_width(extractor: FeatureExtractor, *, channels: int, size: int) -> int:
    """Number of values of an embedding of images of the given size.

    Raises:
        ConfigError: the network cannot take this size.
    """
    training = extractor.training
    device = extractor.mean.device
    try:
        with torch.inference_mode():
            probe = torch.zeros(1, channels, size, size, dtype=torch.uint8, device=device)
            return int(extractor.eval()(probe).shape[1])
    except (RuntimeError, AssertionError, ValueError) as error:
        raise ConfigError(
            f"the network cannot take images of {size}×{size} pixels ({error}); change `size` of the backbone's pixels"
        ) from None
    finally:
        extractor.train(training)


def _module(backbone: nn.Module, name: str) -> nn.Module:
    names = [known for known, _ in backbone.named_modules() if known]
    if name not in names:
        raise ConfigError(f"backbones: {unknown_name('layer', name, names)}")
    return backbone.get_submodule(name)
