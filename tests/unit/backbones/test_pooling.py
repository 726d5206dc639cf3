"""From pixels to embeddings, against the whole networks."""

from __future__ import annotations

import pytest
import torch
from torch import nn
from torchvision.models import get_model
from torchvision.transforms.functional import normalize

from heteroscope.backbones.pooling import FeatureExtractor, embedding_width
from heteroscope.backbones.registry import build_backbone, build_network
from heteroscope.errors import ConfigError

SIZES = {
    "small-cnn": 32,
    "efficientnet_b0": 64,
    "resnet18": 64,
    "resnet50": 64,
    "densenet121": 64,
    "densenet201": 64,
    "convnext_tiny": 64,
    "vit_b_16": 224,
    "swin_t": 64,
    "squeezenet1_0": 64,
    "mobilenet_v3_small": 64,
    "googlenet": 96,
    "inception_v3": 96,
    "regnet_y_400mf": 64,
}
MEAN, STANDARD_DEVIATION = [0.485, 0.456, 0.406], [0.229, 0.224, 0.225]


def pixels(size: int, channels: int = 3, count: int = 2) -> torch.Tensor:
    generator = torch.Generator().manual_seed(1)
    return torch.randint(0, 256, (count, channels, size, size), dtype=torch.uint8, generator=generator)


def whole_network(model: str, seed: int) -> nn.Module:
    """The network with its head, of the same seed as the backbone."""
    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(seed)
        return build_network(model).eval()


def last_linear(network: nn.Module) -> nn.Linear:
    return [module for module in network.modules() if isinstance(module, nn.Linear)][-1]


def normalised(images: torch.Tensor) -> torch.Tensor:
    return normalize(images.float() / 255, MEAN, STANDARD_DEVIATION)


@torch.inference_mode()
@pytest.mark.parametrize("model", [model for model in SIZES if model != "squeezenet1_0"])
def test_penultimate_activations_times_the_head_are_the_networks_logits(model: str) -> None:
    images = pixels(SIZES[model])
    network = whole_network(model, seed=5)
    extractor = FeatureExtractor(build_backbone(model, seed=5), model=model, pooling="avg").eval()
    head = last_linear(network)
    features = extractor(images)
    assert features.shape == (2, head.in_features)
    torch.testing.assert_close(head(features), network(normalised(images)), rtol=1e-4, atol=1e-5)
    assert (features[0] - features[1]).abs().max() > 0


@torch.inference_mode()
@pytest.mark.parametrize("model", [model for model in SIZES if model not in ("vit_b_16", "convnext_tiny")])
def test_the_mean_of_the_last_feature_map_is_the_pooled_embedding(model: str) -> None:
    images = pixels(SIZES[model])
    backbone = build_backbone(model, seed=5)
    pooled = FeatureExtractor(backbone, model=model, pooling="avg").eval()(images)
    flat = FeatureExtractor(backbone, model=model, pooling="flatten").eval()(images)
    if model == "mobilenet_v3_small":  # a hidden layer stands between its pooling and its head
        pooled_map = flat.view(2, 576, -1).mean(-1)
        torch.testing.assert_close(backbone.classifier(pooled_map), pooled, rtol=1e-4, atol=1e-5)
    else:
        torch.testing.assert_close(flat.view(2, pooled.shape[1], -1).mean(-1), pooled, rtol=1e-4, atol=1e-5)


@torch.inference_mode()
def test_flattened_efficientnet_at_224_has_the_published_width_in_the_order_channel_y_x() -> None:
    images = pixels(224, count=1)
    extractor = FeatureExtractor(build_backbone("efficientnet_b0", seed=5), model="efficientnet_b0", pooling="flatten")
    flat = extractor.eval()(images)
    feature_map = whole_network("efficientnet_b0", seed=5).features(normalised(images))
    assert flat.shape == (1, 62_720)
    torch.testing.assert_close(flat.view(1, 1280, 7, 7), feature_map, rtol=1e-4, atol=1e-5)


@torch.inference_mode()
def test_a_named_layer_is_pooled_before_later_layers_change_it_in_place() -> None:
    network = get_model("resnet18", weights=None).eval()
    images = pixels(64)
    stem = network.bn1(network.conv1(normalised(images)))
    backbone = build_backbone("resnet18")
    backbone.load_state_dict({k: v for k, v in network.state_dict().items() if not k.startswith("fc.")})
    mean = FeatureExtractor(backbone, model="resnet18", pooling="avg", layer="bn1").eval()(images)
    torch.testing.assert_close(mean, stem.mean(dim=(2, 3)), rtol=1e-4, atol=1e-5)
    flat = FeatureExtractor(backbone, model="resnet18", pooling="flatten", layer="bn1").eval()(images)
    torch.testing.assert_close(flat, stem.flatten(1), rtol=1e-4, atol=1e-5)
    assert (stem < 0).any(), "the test would not notice the rectifier"


@torch.inference_mode()
def test_tokens_are_averaged_over_positions() -> None:
    backbone = build_backbone("vit_b_16", seed=5).eval()
    captured = []
    backbone.encoder.layers.encoder_layer_3.register_forward_hook(lambda module, args, output: captured.append(output))
    images = pixels(224, count=1)
    layer = "encoder.layers.encoder_layer_3"
    features = FeatureExtractor(backbone, model="vit_b_16", pooling="avg", layer=layer).eval()(images)
    assert features.shape == (1, 768)
    torch.testing.assert_close(features, captured[0].mean(dim=1))


@torch.inference_mode()
def test_swins_channels_stand_last_in_its_blocks() -> None:
    backbone = build_backbone("swin_t", seed=5)
    features = FeatureExtractor(backbone, model="swin_t", pooling="avg", layer="features.1").eval()(pixels(64))
    assert features.shape == (2, 96)


@torch.inference_mode()
def test_one_channel_stands_for_three_equal_ones() -> None:
    grey = pixels(32, channels=1)
    extractor = FeatureExtractor(build_backbone("small-cnn"), model="small-cnn", pooling="avg").eval()
    torch.testing.assert_close(extractor(grey), extractor(grey.repeat(1, 3, 1, 1)))


def test_an_unknown_layer_is_answered_with_close_names() -> None:
    with pytest.raises(ConfigError, match=r"'layer5'; did you mean .*layer4"):
        FeatureExtractor(build_backbone("resnet18"), model="resnet18", pooling="avg", layer="layer5")


def test_a_size_that_the_network_cannot_take_is_named() -> None:
    extractor = FeatureExtractor(build_backbone("vit_b_16"), model="vit_b_16", pooling="avg")
    with pytest.raises(ConfigError, match="cannot take images of 96×96 pixels"):
        embedding_width(extractor, channels=3, size=96)
    assert embedding_width(extractor, channels=3, size=224) == 768
    assert extractor.training, "the module's mode was changed"
