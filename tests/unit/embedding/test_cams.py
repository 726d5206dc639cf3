"""Maps against closed forms, derivatives by hand, and a network that can only look at a blob."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest
import torch
from torch import nn
from torch.nn import functional

from heteroscope.backbones.pooling import FeatureExtractor
from heteroscope.backbones.registry import build_backbone
from heteroscope.backbones.weights import describe, write_weights
from heteroscope.embedding.cams import ActivationMaps, Branch, read_branch, sum_of_maps
from heteroscope.embedding.recipe import Recipe
from heteroscope.errors import ConfigError
from heteroscope.evaluation.pointing import peak

SIZE = 64


def written_branch(
    folder: Path, model: str, *, seed: int = 0, pooling: str = "avg", layer: str | None = None, width: int, **shown: str
) -> Branch:
    """A random network by way of its weights file, as a job reads it."""
    path = folder / f"{model}-{seed}.pt"
    if not path.is_file():
        write_weights(describe(build_backbone(model, seed=seed), model, "random"), path)
    recipe = Recipe.model_construct(model=model, pooling=pooling, layer=layer, width=width)
    return read_branch(recipe, path, shown.get("layer_shown"))


def some_pixels(count: int = 3) -> np.ndarray:
    return np.random.default_rng(0).integers(0, 255, (count, 3, SIZE, SIZE), dtype=np.uint8)


def extractor_of(folder: Path, model: str, *, seed: int = 0, pooling: str = "avg") -> FeatureExtractor:
    network = build_backbone(model, seed=seed)
    return FeatureExtractor(network, model=model, pooling=pooling).eval()  # type: ignore[arg-type]


@pytest.mark.parametrize(("model", "width"), [("small-cnn", 64), ("densenet121", 1024)])
@pytest.mark.parametrize("pooling", ["avg", "flatten"])
def test_the_network_that_is_looked_at_gives_the_same_embedding(
    tmp_path: Path, model: str, width: int, pooling: str
) -> None:
    pixels = some_pixels(2)
    with torch.no_grad():
        expected = extractor_of(tmp_path, model, pooling=pooling)(torch.from_numpy(pixels)).numpy()
    branch = written_branch(tmp_path, model, pooling=pooling, width=expected.shape[1])
    found = ActivationMaps([branch], "grad-cam")(pixels, np.ones((2, expected.shape[1])))
    np.testing.assert_allclose(found.features, expected, rtol=1e-4, atol=1e-5)


@pytest.mark.parametrize(("model", "width"), [("small-cnn", 64), ("densenet121", 1024)])
def test_after_average_pooling_a_map_is_the_weighted_sum_of_channels(tmp_path: Path, model: str, width: int) -> None:
    """CAM in closed form (Zhou et al., 2016), over the number of places; with signs it adds up to the function."""
    pixels, direction = some_pixels(), np.random.default_rng(1).normal(size=(3, width))
    network = build_backbone(model).eval()
    extractor = FeatureExtractor(network, model=model, pooling="avg").eval()
    with torch.no_grad():
        images = (torch.from_numpy(pixels) / 255 - extractor.mean) / extractor.standard_deviation
        channels = functional.relu(network.get_submodule("features")(images)).numpy()
    expected = np.einsum("nk,nkyx->nyx", direction, channels) / channels[0, 0].size
    found = ActivationMaps([written_branch(tmp_path, model, width=width)], "grad-cam")(pixels, direction)
    np.testing.assert_allclose(found.branches[0], expected, rtol=1e-3, atol=1e-4 * np.abs(expected).max())
    values = np.einsum("nd,nd->n", found.features, direction)
    np.testing.assert_allclose(found.branches[0].sum(axis=(1, 2)), values, rtol=1e-3, atol=1e-4 * np.abs(values).max())
    assert (found.joint() >= 0).all()


@pytest.mark.parametrize("pooling", ["avg", "flatten"])
def test_maps_of_a_fusion_are_derivatives_of_the_joint_decision(tmp_path: Path, pooling: str) -> None:
    """Grad-CAM by torch.autograd alone; the branches are alike in shape, so that a mix-up would not be noticed."""
    width = 64 * (SIZE // 16) ** 2 if pooling == "flatten" else 64
    pixels, direction = some_pixels(2), np.random.default_rng(1).normal(size=(2, 2 * width))
    expected = []
    for seed in (0, 1):
        extractor = extractor_of(tmp_path, "small-cnn", seed=seed)
        images = (torch.from_numpy(pixels) / 255 - extractor.mean) / extractor.standard_deviation
        channels = extractor.backbone.get_submodule("features")(images).detach().requires_grad_()
        pooled = channels.flatten(1) if pooling == "flatten" else channels.mean(dim=(2, 3))
        own = torch.from_numpy(direction[:, seed * width : (seed + 1) * width]).float()
        [gradient] = torch.autograd.grad((pooled * own).sum(), channels)
        expected.append((gradient.mean(dim=(2, 3), keepdim=True) * channels).sum(dim=1).detach().numpy())
    branches = [written_branch(tmp_path, "small-cnn", seed=seed, pooling=pooling, width=width) for seed in (0, 1)]
    found = ActivationMaps(branches, "grad-cam")(pixels, direction)
    for one, by_hand in zip(found.branches, expected, strict=True):
        np.testing.assert_allclose(one, by_hand, rtol=1e-3, atol=1e-5)
    np.testing.assert_allclose(found.joint(), np.maximum(expected[0] + expected[1], 0), rtol=1e-3, atol=1e-5)


class BlobSeer(nn.Module):
    """Its one feature is the mean of what is brighter than everything but a blob."""

    def __init__(self) -> None:
        super().__init__()
        self.features = nn.Sequential(nn.Conv2d(3, 2, 1), nn.ReLU(), nn.AvgPool2d(8))
        weight, bias = self.features[0].weight, self.features[0].bias
        nn.init.zeros_(weight)
        weight.data[0, 0], weight.data[1, 0] = 1.0, -1.0
        bias.data[:] = torch.tensor([-1.0, 2.0])  # brighter than one standard deviation; and all that is darker

    def forward(self, images: torch.Tensor) -> torch.Tensor:
        return self.features(images).mean(dim=(2, 3))


@pytest.mark.parametrize("method", ["grad-cam", "grad-cam++", "xgrad-cam", "hires-cam", "layer-cam"])
@pytest.mark.parametrize("place", [(12, 44), (52, 8)])
def test_a_map_peaks_at_the_blob_that_decides(method: str, place: tuple[int, int]) -> None:
    pixels = np.full((1, 3, SIZE, SIZE), 90, dtype=np.uint8)
    pixels[..., place[0] - 4 : place[0] + 4, place[1] - 4 : place[1] + 4] = 255
    extractor = FeatureExtractor(BlobSeer(), model="small-cnn", pooling="avg").eval()
    found = ActivationMaps([Branch(extractor, "features", 2)], method)(pixels, np.array([[1.0, 0.0]]))
    x, y = peak(found.joint()[0], SIZE)
    assert abs(x - place[1]) <= 4
    assert abs(y - place[0]) <= 4


def test_a_named_layer_is_looked_at_and_what_is_no_map_is_refused(tmp_path: Path) -> None:
    pixels, direction = some_pixels(1), np.ones((1, 64))
    earlier = written_branch(tmp_path, "small-cnn", width=64, layer_shown="features.6")
    [found] = ActivationMaps([earlier], "grad-cam")(pixels, direction).branches
    assert found.shape == (1, SIZE // 2, SIZE // 2)
    assert np.ptp(found) > 0
    pooled = ActivationMaps([written_branch(tmp_path, "small-cnn", width=64, layer_shown="avgpool")], "grad-cam")
    with pytest.raises(ConfigError, match="'avgpool' gives no map"):
        pooled(pixels, direction)
    with pytest.raises(ConfigError, match="'feature': small-cnn has no such module"):
        written_branch(tmp_path, "small-cnn", width=64, layer_shown="feature")
    behind = written_branch(tmp_path, "small-cnn", width=32, layer="features.4", layer_shown="features.8")
    unused = ActivationMaps([behind], "grad-cam")
    with pytest.raises(ConfigError, match="does not depend on layer"):
        unused(pixels, np.ones((1, 32)))


def test_maps_of_different_grids_add_up_to_the_sum_of_both() -> None:
    coarse, fine = np.full((1, 2, 2), 4.0), np.full((1, 4, 4), 0.5)
    joint = sum_of_maps([coarse, fine])
    assert joint.shape == (1, 4, 4)
    np.testing.assert_allclose(joint, 4.0 / 4 + 0.5)
