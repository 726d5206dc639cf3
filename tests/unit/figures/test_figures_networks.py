"""Curves of a training, and sheets of what a network calls test images."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pandas as pd
import pytest

from heteroscope.evaluation.networks import called_table, misclassified
from heteroscope.figures.networks import draw_called, draw_curves
from heteroscope.figures.style import save_figure
from heteroscope.store import read_table, write_table

NAMES = ["benign", "malignant"]


def called_images(count: int, *, wrong: int) -> tuple[pd.DataFrame, dict[str, np.ndarray]]:
    """Rows of images, of which the first ones are called wrong, and their pictures."""
    label = np.arange(count) % 2
    said = np.where(np.arange(count) < wrong, 1 - label, label)
    predictions = pd.DataFrame(
        {
            "image_id": [f"i{number}" for number in range(count)],
            "group": "p",
            "label": label,
            "probability_benign": np.where(said == 0, 0.8, 0.2),
            "probability_malignant": np.where(said == 1, 0.8, 0.2),
        }
    )
    images = predictions[["image_id"]].assign(path="a.png")
    pictures = {name: np.full((8, 8), 99, dtype=np.uint8) for name in predictions["image_id"]}
    return called_table(predictions, images, NAMES), pictures


@pytest.mark.parametrize(("count", "wrong"), [(30, 9), (3, 0)])
def test_a_sheet_tells_the_class_what_it_is_called_and_whether_that_is_wrong(count: int, wrong: int) -> None:
    called, pictures = called_images(count, wrong=wrong)
    axes = [axis for axis in draw_called(called, pictures, NAMES, title="").axes if axis.axison]
    assert len(axes) == count
    texts = [axis.get_xlabel() for axis in axes]
    assert [text.split("\n")[0] for text in texts] == called["called"].tolist()
    assert [text.endswith("×") for text in texts] == [True] * wrong + [False] * (count - wrong)
    frames = {axis.spines["left"].get_edgecolor() for axis in axes[::2]}
    assert len(frames) == 1, "the frame is the class, which alternates"


def test_a_network_that_is_always_right_has_an_empty_sheet_and_table(tmp_path: Path) -> None:
    called, pictures = called_images(4, wrong=0)
    wrong = misclassified(called)
    save_figure(draw_called(wrong, pictures, NAMES, title="0 of 4"), tmp_path / "wrong.png")
    write_table(wrong, tmp_path / "wrong.csv")
    assert read_table(tmp_path / "wrong.csv").columns.tolist() == called.columns.tolist()


def test_the_curves_show_every_epoch_and_the_one_that_is_kept() -> None:
    values = {name: [0.3, 0.2, 0.4] for name in ("training_loss", "held_out_loss", "held_out_accuracy")}
    means = {"held_out_precision": [0.1, 0.2, 0.3], "held_out_recall": [0.4, 0.5, 0.6], "held_out_f1": [0.7, 0.8, 0.9]}
    history = pd.DataFrame({"epoch": [1, 2, 3]} | values | means | {"training_accuracy": [0.5, 0.6, 0.7]})
    history = history.assign(learning_rate=[0.1, 0.2, 0.1], selected=[0, 1, 0])
    losses, accuracies, over_classes, rates = draw_curves(history).axes
    for axis in (losses, accuracies, over_classes, rates):
        assert list(axis.lines[0].get_xdata()) == [2, 2]
    assert list(accuracies.lines[1].get_ydata()) == [0.5, 0.6, 0.7]
    drawn = {line.get_label(): list(line.get_ydata()) for line in over_classes.lines[1:]}
    assert drawn == dict(zip(("precision", "recall", "F1"), means.values(), strict=True))
    assert list(rates.lines[1].get_ydata()) == [0.1, 0.2, 0.1]
