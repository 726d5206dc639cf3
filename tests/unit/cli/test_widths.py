"""Widths of embeddings that are told before a network is built are those of the network."""

from __future__ import annotations

import pytest
import torch

from heteroscope.backbones.registry import build_backbone
from heteroscope.cli.widths import POOLED_WIDTHS
from heteroscope.model_names import MODELS


def test_only_known_networks_are_listed() -> None:
    assert set(POOLED_WIDTHS) <= MODELS


@pytest.mark.parametrize("model", ["small-cnn", "resnet18", "densenet121", "efficientnet_b0", "mobilenet_v3_small"])
def test_the_width_is_the_networks(model: str) -> None:
    with torch.inference_mode():
        embedding = build_backbone(model).eval()(torch.zeros(1, 3, 64, 64))
    assert embedding.shape == (1, POOLED_WIDTHS[model])
