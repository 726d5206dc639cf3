"""Heads on cached embeddings are the same mathematics as a network with a frozen backbone."""

from __future__ import annotations

import copy

import numpy as np
import pytest
import torch
from torch import nn
from torch.nn.functional import cross_entropy

from heteroscope.backbones.pooling import FeatureExtractor
from heteroscope.backbones.registry import build_backbone
from heteroscope.config import Head
from heteroscope.embedding.torch_engine import TorchEngine
from heteroscope.training import heads
from heteroscope.training.heads import Batches, Group, train_heads

TRAINING, SELECTION = np.arange(45), np.arange(45, 65)


def images_and_labels(classes: int) -> tuple[np.ndarray, np.ndarray]:
    """65 images whose brightness hints at the class, so that training takes some epochs."""
    generator = np.random.default_rng(7)
    labels = generator.integers(0, classes, 65)
    brightness = 60 * labels + generator.normal(60, 20, 65)
    pixels = generator.normal(brightness, 20, (3, 32, 32, 65)).clip(0, 255)
    return np.ascontiguousarray(np.moveaxis(pixels, -1, 0)).astype(np.uint8), labels


def extractor() -> FeatureExtractor:
    return FeatureExtractor(build_backbone("small-cnn", seed=3), model="small-cnn", pooling="avg").eval()


class WholeNetwork(nn.Module):
    """The frozen backbone and a linear head, run from pixels at every step."""

    def __init__(self, initial: np.ndarray, classes: int) -> None:
        super().__init__()
        self.extractor = extractor().requires_grad_(False)
        self.head = nn.Linear(initial.shape[1] - 1, len(initial))
        self.classes = classes
        with torch.no_grad():
            self.head.weight.copy_(torch.from_numpy(initial[:, :-1]))
            self.head.bias.copy_(torch.from_numpy(initial[:, -1]))

    def forward(self, pixels: np.ndarray) -> torch.Tensor:
        logits = self.head(self.extractor(torch.from_numpy(pixels)))
        return nn.functional.pad(logits, (1, 0)) if self.classes == 2 else logits


def train_whole_network(
    pixels: np.ndarray, labels: np.ndarray, group: Group, spec: Head, classes: int
) -> tuple[WholeNetwork, int]:
    """One training in plain torch with early stopping; the network at its best epoch, and that epoch."""
    outputs = 1 if classes == 2 else classes
    network = WholeNetwork(heads._initial(group, outputs, 65), classes)
    batches = Batches([group], np.array([0]), spec.batch_size)  # the same order of images
    kind = torch.optim.Adam if spec.optimizer == "adam" else torch.optim.SGD
    optimizer = kind(network.head.parameters(), lr=spec.learning_rate, weight_decay=spec.weight_decay)
    targets = torch.from_numpy(labels)
    best_loss, best_epoch, best = np.inf, 0, copy.deepcopy(network)
    for epoch in range(1, spec.epochs + 1):
        for rows, share in batches:
            chosen = rows[0][share[0] > 0]
            optimizer.zero_grad()
            cross_entropy(network(pixels[chosen.numpy()]), targets[chosen]).backward()
            optimizer.step()
        with torch.no_grad():
            loss = cross_entropy(network(pixels[SELECTION]), targets[SELECTION]).item()
        if loss < best_loss:
            best_loss, best_epoch, best = loss, epoch, copy.deepcopy(network)
        elif epoch - best_epoch >= spec.patience:
            break
    return best, best_epoch


@pytest.mark.parametrize(
    ("classes", "optimizer", "learning_rate"), [(2, "adam", 0.01), (2, "sgd", 0.02), (3, "adam", 0.05)]
)
def test_cached_embeddings_give_the_logits_of_the_frozen_network(
    classes: int, optimizer: str, learning_rate: float
) -> None:
    pixels, labels = images_and_labels(classes)
    spec = Head(
        optimizer=optimizer,
        learning_rate=learning_rate,
        batch_size=8,
        epochs=12,
        patience=3,
        monitor="loss",
        weight_decay=0.01,
    )
    group = Group(rows=TRAINING, seed=1, stream=2)
    engine = TorchEngine(extractor(), threads=1)
    features = np.concatenate(list(engine.stream(pixels[start : start + 16] for start in range(0, 65, 16))))
    trained = train_heads(features, labels[None], [group], selection=SELECTION, spec=spec, classes=classes, threads=1)
    network, best_epoch = train_whole_network(pixels, labels, group, spec, classes)
    with torch.no_grad():
        expected = network(pixels).numpy()
    weight = trained.weight[0, 0]
    logits = features @ weight[:, :-1].T + weight[:, -1]
    logits = np.hstack([np.zeros((65, 1), dtype=np.float32), logits]) if classes == 2 else logits
    assert trained.best_epoch[0, 0] == best_epoch > 1
    np.testing.assert_allclose(logits, expected, atol=1e-4)
    initial = WholeNetwork(heads._initial(group, len(weight), 65), classes)
    assert np.abs(initial(pixels).detach().numpy() - expected).max() > 0.01, "training moved nothing"
