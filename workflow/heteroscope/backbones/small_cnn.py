"""A small convolutional network that a CPU trains in seconds."""

from __future__ import annotations

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
