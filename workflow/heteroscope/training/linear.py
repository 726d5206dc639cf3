"""A trained head as what it is: a linear function of the stored embedding."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path

import numpy as np

from heteroscope.embedding.samples import Samples
from heteroscope.store import create_h5, open_h5

ENCODING = "head"


@dataclass(frozen=True)
class LinearHead:
    """The trainings of a head; standardisation, where it was used, is part of weight and bias.

    Attributes:
        weight: (seeds, outputs, d) float64; one output is the logit of class 1 against class 0.
        bias: (seeds, outputs) float64.
    """

    weight: np.ndarray
    bias: np.ndarray

    def probabilities(self, features: np.ndarray, seed: int) -> np.ndarray:
        """Class probabilities (n, classes) that one training gives features (n, d)."""
        logits = features.astype(np.float64) @ self.weight[seed].T + self.bias[seed]
        if logits.shape[1] == 1:
            logits = np.hstack([np.zeros_like(logits), logits])
        exponents = np.exp(logits - logits.max(axis=1, keepdims=True))
        return np.asarray(exponents / exponents.sum(axis=1, keepdims=True))

    def directions(self, classes: np.ndarray, seed: int) -> np.ndarray:
        """What raises the logit of each image's class, (n, d), for (n,) int classes: its gradient by the embedding."""
        weight = self.weight[seed]
        return np.asarray(np.where(classes[:, None] == 1, weight, -weight) if len(weight) == 1 else weight[classes])


def linear_head(weight: np.ndarray, samples: Samples) -> LinearHead:
    """Heads (seeds, outputs, d + 1) that were trained on samples, the bias in the last column."""
    slope, bias = weight[..., :-1].astype(np.float64), weight[..., -1].astype(np.float64)
    if samples.center is not None and samples.spread is not None:
        slope = slope / samples.spread
        bias = bias - slope @ samples.center
    return LinearHead(slope, bias)


def write_head(head: LinearHead, path: Path) -> None:
    """Write a head as HDF5, atomically."""
    with create_h5(path, ENCODING) as file:
        file.create_dataset("weight", data=head.weight)
        file.create_dataset("bias", data=head.bias)


def read_head(path: Path) -> LinearHead:
    """The head of a file.

    Raises:
        StoreError: the file is missing, damaged, or something else.
    """
    with open_h5(path, ENCODING) as file:
        return LinearHead(file["weight"][:], file["bias"][:])
