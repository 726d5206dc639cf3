"""Test images and patients that stand on the training side too: a split that leaks has some."""

from __future__ import annotations

from collections.abc import Collection

import pandas as pd


def seen_rows(split: pd.DataFrame, images: pd.DataFrame, parts: Collection[str]) -> pd.DataFrame:
    """Which test images, and whose patients, are in other parts of the split too.

    Args:
        split: columns image_id, group, part.
        images: columns image_id and content, which is the same of images with the same bytes.
        parts: what is trained on.

    Returns:
        A row a test image: columns image_id, group, image_in_training, patient_in_training.
    """
    rows = split.assign(content=split["image_id"].map(images.set_index("image_id")["content"]))
    training, test = rows[rows["part"].isin(parts)], rows[rows["part"] == "test"]
    return test[["image_id", "group"]].assign(
        image_in_training=test["content"].isin(training["content"]),
        patient_in_training=test["group"].isin(training["group"]),
    )


def seen_counts(rows: pd.DataFrame) -> dict[str, int]:
    """How many test images, and how many patients, `seen_rows` marks."""
    return {
        "test_images_in_training": int(rows["image_in_training"].sum()),
        "test_patients_in_training": rows.loc[rows["patient_in_training"], "group"].nunique(),
    }
