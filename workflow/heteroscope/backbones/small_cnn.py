"""Small convolutional networks: one that a CPU trains in seconds, and that of deep hybrid learning."""

from __future__ import annotations

from itertools import pairwise

import torch
from torch import nn

WIDTHS = (16, 32, 64, 64)
MOMENTUM = 0.3  # small data sets have few steps an epoch: running means must follow within one


class SmallCNN(nn.Module):
    """Four blocks of 3×3 convolution, batch norm, ReLU and 2×2 max pooling, then global average pooling.

    The penultimate activations have 64 values. Images of 32 pixels and more a side fit.
    """

    def __init__(self, num_classes: int = 1000) -> None:
        super().__init__()
        blocks: list[nn.Module] = []
        channels = 3
        for width in WIDTHS:
            blocks += [
                nn.Conv2d(channels, width, kernel_size=3, padding=1, bias=False),
                nn.BatchNorm2d(width, momentum=MOMENTUM),
                nn.ReLU(inplace=True),
                nn.MaxPool2d(2),
            ]
            channels = width
        self.features = nn.Sequential(*blocks)
        self.avgpool = nn.AdaptiveAvgPool2d(1)
        self.classifier = nn.Linear(channels, num_classes)
        for block in blocks:
            if isinstance(block, nn.Conv2d):  # activations keep their scale, also where weights stay random
                nn.init.kaiming_normal_(block.weight, nonlinearity="relu")

    def forward(self, images: torch.Tensor) -> torch.Tensor:
        """Class scores (n, num_classes) of normalised images (n, 3, height, width)."""
        scores: torch.Tensor = self.classifier(self.avgpool(self.features(images)).flatten(1))
        return scores


HYBRID_CHANNELS = (3, 16, 32, 64, 64)
HYBRID_SIDE = 11  # of the last feature map of images of 250 pixels
HYBRID_DENSE = (HYBRID_CHANNELS[-1] * HYBRID_SIDE**2, 128, 64)


class HybridCNN(nn.Module):
    """Four blocks of 5×5 convolution, ReLU, 2×2 max pooling and dropout, then dense layers of 128 and 64.

    The network of A. Bhattacharya, "Deep Hybrid Learning for Radiographic Image Analysis", whose flattened feature map
    (`pooling: flatten`: 64 × 11 × 11 values of images of 250 pixels) is the embedding, and whose dense layers serve its
    training alone. Images of other sizes, 76 pixels and more a side, are pooled to that map before the dense layers.
    """

    def __init__(self, num_classes: int = 1000) -> None:
        super().__init__()
        blocks: list[nn.Module] = []
        for before, after in pairwise(HYBRID_CHANNELS):
            blocks += [nn.Conv2d(before, after, kernel_size=5), nn.ReLU(), nn.MaxPool2d(2), nn.Dropout(0.25)]
        self.features = nn.Sequential(*blocks)
        self.avgpool = nn.AdaptiveAvgPool2d(HYBRID_SIDE)
        layers: list[nn.Module] = []
        for before, after in pairwise(HYBRID_DENSE):
            layers += [nn.Linear(before, after), nn.ReLU(), nn.Dropout(0.5)]
        self.classifier = nn.Sequential(*layers, nn.Linear(HYBRID_DENSE[-1], num_classes))
        for module in self.modules():
            if isinstance(module, nn.Conv2d | nn.Linear):  # as Keras begins, which the network was published in
                nn.init.xavier_uniform_(module.weight)
                nn.init.constant_(module.get_parameter("bias"), 0.0)

    def forward(self, images: torch.Tensor) -> torch.Tensor:
        """Class scores (n, num_classes) of images (n, 3, height, width) in 0 to 1."""
        scores: torch.Tensor = self.classifier(self.avgpool(self.features(images)).flatten(1))
        return scores
