"""The label sets of the label arm: the observed labels, redrawn ones, and ones of rules that differ between clusters.

They are drawn once for all images (`evaluation.redraw`), so that a draw covers all folds of a split.
"""

from __future__ import annotations

import json
from dataclasses import asdict, dataclass
from pathlib import Path

import numpy as np
import pandas as pd

from heteroscope.embedding.samples import Samples
from heteroscope.errors import StoreError
from heteroscope.evaluation.runs import InteractionTest, LabelArm, LabelRuns, Rotations, gains
from heteroscope.store import create_h5, open_h5, read_strings, write_strings


@dataclass(frozen=True)
class LabelSets:
    """Labels of all original images.

    Attributes:
        image_id: (n,) str.
        label: (sets, n) int: the observed ones; the draws of the linear rule; those of the quadratic rule, unless it
            predicts no better than the linear one, whose draws it would share; and those of rotated rules.
        draws: of each rule.
        degrees: (m,) the angle of every rotated set.
        gap: (m,) accuracy at stake there: what the clusters' own true rules have before the unturned one (`rule_gap`).
        rules: linear and quadratic → how the rule fits (see `SharedRule.summary`).
        interaction: the conventional test beside the verdict.
    """

    image_id: np.ndarray
    label: np.ndarray
    draws: int
    degrees: np.ndarray
    gap: np.ndarray
    rules: dict[str, dict[str, float]]
    interaction: InteractionTest

    @property
    def linear(self) -> slice:
        """The observed labels and the draws of the linear rule."""
        return slice(1 + self.draws)

    @property
    def quadratic(self) -> list[int] | None:
        """The same of the quadratic rule, or None where it has no draws of its own."""
        first, last = 1 + self.draws, len(self.label) - len(self.degrees)
        return [0, *range(first, last)] if last > first else None

    @property
    def rotated(self) -> slice:
        """The sets of rotated rules."""
        return slice(len(self.label) - len(self.degrees), None)

    def of(self, samples: Samples, source: Path | str) -> np.ndarray:
        """The labels of all rows, (sets, N) int; a view has its image's.

        Raises:
            StoreError: an image has no labels here; it names the image and the source.
        """
        image = pd.Index(self.image_id).get_indexer(pd.Index(samples.image_id))
        if (image < 0).any():
            missing = samples.image_id[image < 0][0]
            raise StoreError(f"{source}: no labels of image {missing}; delete it and run the workflow again")
        return np.asarray(self.label[:, image])


def label_arm(sets: LabelSets, runs: LabelRuns) -> LabelArm:
    """What the heads that were trained on the label sets yield, by the rule that drew them."""
    return LabelArm(
        linear=runs.take(sets.linear),
        quadratic=None if sets.quadratic is None else runs.take(sets.quadratic),
        rotations=Rotations(sets.degrees, gains(runs)[sets.rotated], sets.gap),
        rules=sets.rules,
        interaction=sets.interaction,
    )


def write_label_sets(path: Path, sets: LabelSets) -> None:
    """Write the label sets."""
    attributes = {"draws": sets.draws, "rules": sets.rules, "interaction": asdict(sets.interaction)}
    with create_h5(path, "label sets", attributes) as file:
        file.create_dataset(
            "label", data=sets.label.astype(np.int16), compression="gzip", shuffle=True, fletcher32=True
        )
        for name in ("degrees", "gap"):
            file.create_dataset(name, data=getattr(sets, name))
        write_strings(file, "image_id", sets.image_id.tolist())


def read_label_sets(path: Path) -> LabelSets:
    """Read the label sets.

    Raises:
        StoreError: the file is missing or damaged.
    """
    with open_h5(path, "label sets") as file:
        return LabelSets(
            image_id=read_strings(file, "image_id"),
            label=file["label"][:].astype(np.int64),
            draws=int(file.attrs["draws"]),
            degrees=file["degrees"][:],
            gap=file["gap"][:],
            rules=json.loads(file.attrs["rules"]),
            interaction=InteractionTest(**json.loads(file.attrs["interaction"])),
        )
