"""Networks by name."""

from __future__ import annotations

import pytest
import torch
from torchvision import models

from heteroscope.backbones.pooling import FeatureExtractor
from heteroscope.backbones.registry import build_backbone, build_network, feature_map_name, normalisation
from heteroscope.errors import ConfigError
from heteroscope.model_names import TORCHVISION_MODELS, TORCHVISION_WEIGHTS


def test_the_known_names_are_those_of_torchvision() -> None:
    assert set(models.list_models(module=models)) == TORCHVISION_MODELS
    weights = {name for model in TORCHVISION_MODELS for name in models.get_model_weights(model).__members__}
    assert weights == TORCHVISION_WEIGHTS | {"IMAGENET1K_FEATURES"}


def test_every_published_file_is_named_by_its_digest() -> None:
    for model in TORCHVISION_MODELS:
        for weights in models.get_model_weights(model):
            digest = weights.url.rsplit("/", 1)[-1].removesuffix(".pth").rsplit("-", 1)[-1]
            assert len(digest) >= 8
            int(digest, 16)


def test_normalisation_is_the_one_each_model_was_published_with() -> None:
    for model in TORCHVISION_MODELS:
        for weights in models.get_model_weights(model):
            published = weights.transforms()
            if weights.name in TORCHVISION_WEIGHTS:
                assert normalisation(model) == (tuple(published.mean), tuple(published.std)), weights


def test_an_unknown_model_is_answered_with_close_names() -> None:
    with pytest.raises(ConfigError, match="'resnet51'; did you mean resnet50"):
        build_backbone("resnet51")


def test_random_weights_hang_on_the_seed_alone() -> None:
    state = torch.random.get_rng_state()
    first = build_backbone("small-cnn", seed=3).state_dict()
    assert torch.equal(state, torch.random.get_rng_state()), "the global random state was moved"
    torch.rand(5)
    again, other = (build_backbone("small-cnn", seed=seed).state_dict() for seed in (3, 4))
    assert all(torch.equal(first[name], again[name]) for name in first)
    assert not torch.equal(first["features.0.weight"], other["features.0.weight"])


def test_the_network_of_deep_hybrid_learning_is_the_published_one() -> None:
    """Numbers of parameters and values by hand, from its text: 5×5 convolutions without padding of 250 pixels."""
    network = build_network("hybrid-cnn")
    layers = [module for module in network.modules() if not [*module.children()]]
    parameters = [sum(p.numel() for p in layer.parameters()) for layer in layers]
    dense = [11 * 11 * 64 * 128 + 128, 128 * 64 + 64, 64 * 1000 + 1000]
    assert [n for n in parameters if n] == [1216, 12832, 51264, 102464, *dense]
    backbone = build_backbone("hybrid-cnn").eval()
    pixels = torch.randint(0, 256, (2, 3, 250, 250), dtype=torch.uint8)
    cut = FeatureExtractor(backbone, model="hybrid-cnn", pooling="flatten")(pixels)
    assert cut.shape == (2, 11 * 11 * 64)
    torch.testing.assert_close(cut, backbone.features(pixels / 255).flatten(1))  # divided by 255, nothing else
    assert FeatureExtractor(backbone, model="hybrid-cnn", pooling="avg")(pixels).shape == (2, 64)
    drops = [module.p for module in network.modules() if isinstance(module, torch.nn.Dropout)]
    assert drops == [0.25] * 4 + [0.5] * 2
    assert backbone(torch.rand(1, 3, 76, 76)).shape == (1, 64)


@pytest.mark.parametrize(("size", "height", "width"), [(32, 32, 32), (96, 96, 96), (65, 65, 33)])
def test_the_small_cnn_takes_any_size_from_32(size: int, height: int, width: int) -> None:
    network = build_backbone("small-cnn").eval()
    assert network(torch.rand(2, 3, height, width)).shape == (2, 64)


def test_a_network_without_a_known_feature_map_asks_for_a_layer() -> None:
    with pytest.raises(ConfigError, match="name it by `layer`"):
        feature_map_name(torch.nn.Sequential(torch.nn.Conv2d(3, 4, 3)))
