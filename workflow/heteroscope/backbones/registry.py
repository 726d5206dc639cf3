"""Networks by name: torchvision's classification models by their own names, and two small ones."""

from __future__ import annotations

from typing import Any

import torch
from torch import nn

from heteroscope.errors import ConfigError
from heteroscope.model_names import HYBRID_CNN, MODELS, SMALL_CNN, unknown_name

# Both models were trained on inputs in [-1, 1] and rescale ImageNet-normalised ones by themselves if told so.
_ARGUMENTS: dict[str, dict[str, Any]] = {
    "googlenet": {"transform_input": True, "init_weights": True},
    "inception_v3": {"transform_input": True, "init_weights": True},
}

_IMAGENET = ((0.485, 0.456, 0.406), (0.229, 0.224, 0.225))
_CENTRED = ((0.5, 0.5, 0.5), (0.5, 0.5, 0.5))
_NOTHING = ((0.0, 0.0, 0.0), (1.0, 1.0, 1.0))
_PUBLISHED = {"efficientnet_v2_l": _CENTRED, HYBRID_CNN: _NOTHING}

GREY_ADAPTER = "grey_adapter"

# The first name that a network has is the module whose output is its last feature map.
_FEATURE_MAPS = (
    "permute",  # swin
    "features",
    "layer4",  # resnet
    "trunk_output",  # regnet
    "conv5",  # shufflenet
    "layers",  # mnasnet
    "inception5b",  # googlenet
    "Mixed_7c",  # inception_v3
    "blocks.3",  # maxvit
    "encoder",  # vit: tokens
)


def build_network(model: str) -> nn.Module:
    """A freshly initialised network with torchvision's head of 1,000 classes.

    Raises:
        ConfigError: no such model.
    """
    if model not in MODELS:
        raise ConfigError(f"backbones: {unknown_name('model', model, MODELS)}")
    if model == SMALL_CNN:
        from heteroscope.backbones.small_cnn import SmallCNN

        return SmallCNN()
    if model == HYBRID_CNN:
        from heteroscope.backbones.small_cnn import HybridCNN

        return HybridCNN()
    from torchvision.models import get_model  # costs a second or more: only where it is needed

    network: nn.Module = get_model(model, weights=None, **_ARGUMENTS.get(model, {}))
    return network


def build_backbone(model: str, *, seed: int = 0) -> nn.Module:
    """A network without its head, so that its output is the penultimate activations (n, d).

    Initial weights depend on the seed alone; the global random state is left as it was.

    Raises:
        ConfigError: no such model.
    """
    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(seed)
        network = build_network(model)
    linear = [name for name, module in network.named_modules() if isinstance(module, nn.Linear)]
    if not linear:  # squeezenet ends in a convolution, classifier.1: what is averaged before it is penultimate
        network.classifier = nn.Sequential(nn.AdaptiveAvgPool2d(1), RemovedHead())
        return network
    parent, _, child = linear[-1].rpartition(".")
    setattr(network.get_submodule(parent), child, RemovedHead())
    return network


class RemovedHead(nn.Identity):
    """Stands where a network's classification head was."""


def head_prefix(backbone: nn.Module) -> str:
    """What the names of the removed head's parameters begin with in files of whole networks."""
    return next(f"{name}." for name, module in backbone.named_modules() if isinstance(module, RemovedHead))


def feature_map_name(network: nn.Module) -> str:
    """Name of the module whose output is the last feature map before global pooling.

    Raises:
        ConfigError: the network has none of the known ones.
    """
    modules = dict(network.named_modules())
    for name in _FEATURE_MAPS:
        if name in modules:
            return name
    raise ConfigError("pooling: flatten: this network's last feature map is not known; name it by `layer`")


_STAGES = {  # feature map → what holds the stages, where the map is not one of them
    "features": "features",
    "permute": "features",
    "trunk_output": "trunk_output",
    "layers": "layers",
    "encoder": "encoder.layers",
}


def behind_frozen(network: nn.Module) -> list[str]:
    """Names of the modules of a network's last stage that convolves or attends, and of all that are behind it.

    Raises:
        ConfigError: the network's stages are not known.
    """
    name = feature_map_name(network)
    if name in _STAGES:
        stages = network.get_submodule(_STAGES[name]).named_children()
        name = f"{_STAGES[name]}.{[stage for stage, module in stages if _has_matrices(module)][-1]}"
    names = [name for name, _ in network.named_modules()]
    return names[names.index(name) :]


def _has_matrices(module: nn.Module) -> bool:
    """Whether a module convolves, attends or mixes channels, and does not scale them alone."""
    return any(parameter.ndim > 1 for parameter in module.parameters())


def add_grey_adapter(backbone: nn.Module) -> None:
    """Give a backbone a trainable 3×3 convolution from one to three channels, which stands before its normalisation.

    It begins as what a network without one does with grey images: three equal channels.
    """
    adapter = nn.Conv2d(1, 3, kernel_size=3, padding=1)
    nn.init.zeros_(adapter.weight)
    nn.init.zeros_(adapter.get_parameter("bias"))
    with torch.no_grad():
        adapter.weight[:, :, 1, 1] = 1.0
    backbone.add_module(GREY_ADAPTER, adapter)


def normalisation(model: str) -> tuple[tuple[float, ...], tuple[float, ...]]:
    """Mean and standard deviation of each channel, for pixels in [0, 1], that the model was published with."""
    return _PUBLISHED.get(model, _IMAGENET)
