"""What the test images of each class are called."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
import pandas as pd
from sklearn.metrics import confusion_matrix

from heteroscope.evaluation.metrics import ratio


def confusions(probability: np.ndarray, label: np.ndarray, class_names: Sequence[str]) -> pd.DataFrame:
    """How many test images of each class are called what, a row a pair: class, predicted, images, share.

    Images are means over seeds, so that those of a class add up to its test images; share is of the class.

    Args:
        probability: (seeds, n, C).
        label: (n,) int.
        class_names: in the order of labels.
    """
    names, classes = list(class_names), range(len(class_names))
    images = np.mean([confusion_matrix(label, one.argmax(axis=1), labels=classes) for one in probability], axis=0)
    share = ratio(images, images.sum(axis=1, keepdims=True))
    pairs = {"class": np.repeat(names, len(names)), "predicted": np.tile(names, len(names))}
    return pd.DataFrame(pairs | {"images": images.ravel(), "share": share.ravel()})
