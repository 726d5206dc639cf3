"""The interactive part of a report: every image as a point, with its picture and what is known of it."""

from __future__ import annotations

import base64
import io
import json
from collections.abc import Sequence
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
from PIL import Image

from heteroscope.data.attributes import telling_attributes
from heteroscope.embedding.blocks import drawn_rows
from heteroscope.figures.pictures import each_picture
from heteroscope.figures.scatter import CLUSTER, PART_NAMES, Panel, attribute_panels, cluster_panel, label_panel
from heteroscope.store import read_table

PROJECTIONS = {"pca": "PCA", "umap": "UMAP"}
MOST_POINTS = 120_000  # of all projections together: those of later analyses are left out
STEPS = 10_000  # a projection's larger side is divided into so many
PICTURE_BYTES = 6_000_000  # of all pictures together at most, as they stand in the page
FEWEST_BYTES = 1_000_000  # of all pictures, however full the page is
PICTURE_SIDES = (96, 72, 56, 40)  # pixels: the largest whose pictures find room
PICTURE_QUALITY = 70
TRIED = 40  # pictures that tell how large the others will be
ANSWER = "answer of the pooled head"
ANSWERS = ("called right", "called wrong")
ANSWER_COLORS = ("#56B4E9", "#D55E00")
PART_COLORS = ("#8A8A8A", "#CC79A7", "#0072B2")


def explorer_data(
    plan: Sequence[dict[str, Any]], class_names: list[str], *, images: Path, pixels: Path, room: int
) -> dict[str, Any]:
    """What the page's script draws, as plain data; lists have an entry an image, codes are −1 where nothing is known.

    Args:
        plan: `Layout.analyses`, the primary one first; backbone, clustering, k, assignments, projections and the
            folds' predictions are read.
        class_names: in the order of labels.
        images: images.parquet.
        pixels: pixels.h5, for the pictures.
        room: bytes that the page has left for all of this.

    Raises:
        StoreError: a file is missing or damaged.
    """
    shown, left_out = _within_budget(plan)
    tables = [read_table(Path(entry["projections"])).set_index("image_id") for entry in shown]
    names = np.array(list(dict.fromkeys(name for table in tables for name in table.index)), dtype=object)
    known = read_table(images).set_index("image_id").loc[names]
    first = read_table(Path(shown[0]["assignments"]))
    rows = first[first["view"] == 0].set_index("image_id").loc[names]
    panels = _common_panels(rows, known, class_names)
    data = {
        "id": names.tolist(),
        "path": known["path"].tolist(),
        "patient": rows["group"].astype(str).tolist(),
        "part": _codes(rows["part"], list(PART_NAMES)).tolist(),
        "colourings": [_coloring(panel) for panel in panels],
        "analyses": [_analysis(entry, table, names) for entry, table in zip(shown, tables, strict=True)],
        "left_out": left_out,
    }
    left = max(room - len(json.dumps(data)), FEWEST_BYTES)
    return data | {"pictures": pictures(pixels, names, min(left, PICTURE_BYTES))}


def _within_budget(plan: Sequence[dict[str, Any]]) -> tuple[list[dict[str, Any]], int]:
    """The analyses whose points find room in the page, the first one always, and how many do not."""
    shown: list[dict[str, Any]] = []
    points = 0
    for entry in plan:
        points += len(read_table(Path(entry["projections"])))
        if shown and points > MOST_POINTS:
            break
        shown.append(entry)
    return shown, len(plan) - len(shown)


def _common_panels(rows: pd.DataFrame, known: pd.DataFrame, class_names: list[str]) -> list[Panel]:
    """What is known of the images whatever the analysis: label, part (in folds there is none) and attributes."""
    own = [label_panel(rows["label"].to_numpy(), class_names)]
    if len(set(rows["part"])) > 1:
        codes = _codes(rows["part"], list(PART_NAMES))
        own.append(Panel("part of the split", codes, list(PART_NAMES.values()), list(PART_COLORS)))
    # a reader chooses by title: an attribute may have the name of a colouring that every page has
    taken = {CLUSTER, ANSWER, *(panel.title for panel in own)}
    return own + [
        replace(panel, title=f"{panel.title} (attribute)") if panel.title in taken else panel
        for panel in attribute_panels(telling_attributes(known))
    ]


def _analysis(entry: dict[str, Any], table: pd.DataFrame, names: np.ndarray) -> dict[str, Any]:
    """The projections of one backbone and clustering, and the colourings that are its own."""
    assignments = read_table(Path(entry["assignments"]))
    originals = assignments[assignments["view"] == 0].set_index("image_id")
    cluster = originals["cluster"].reindex(names).fillna(-1).to_numpy(dtype=np.int64)
    answers = Panel(ANSWER, _answers(entry, names), list(ANSWERS), list(ANSWER_COLORS))
    return {
        "name": f"{entry['backbone']}, {entry['clustering']}",
        "projections": {
            title: _places(table, name, names) for name, title in PROJECTIONS.items() if f"{name}_1" in table
        },
        "colourings": [_coloring(cluster_panel(cluster, entry["k"])), _coloring(answers, unknown="not tested")],
    }


def _answers(entry: dict[str, Any], names: np.ndarray) -> np.ndarray:
    """(n,) int: 0 where the mean over seeds calls a test image right, 1 where wrong, −1 where it was not tested."""
    right: dict[str, bool] = {}
    for fold in entry["folds"]:
        predictions = read_table(Path(fold["predictions"]))
        columns = [name for name in predictions.columns if name.startswith("probability_")]
        mean = predictions.groupby("image_id")[["label", *columns]].mean()
        right |= (mean[columns].to_numpy().argmax(axis=1) == mean["label"]).to_dict()
    return np.array([int(not right[name]) if name in right else -1 for name in names])


def _places(table: pd.DataFrame, name: str, names: np.ndarray) -> dict[str, list[int | None]]:
    """x and y of every image in whole steps, None where it is not shown; both axes have the same scale."""
    points = table[[f"{name}_1", f"{name}_2"]].reindex(names).to_numpy(dtype=np.float64)
    lowest = np.nanmin(points, axis=0)
    side = (np.nanmax(points, axis=0) - lowest).max()
    steps = np.round((points - lowest) / (side or 1.0) * STEPS)
    x, y = ([None if np.isnan(value) else int(value) for value in axis] for axis in steps.T)
    return {"x": x, "y": y}


def _coloring(panel: Panel, *, unknown: str = "not known") -> dict[str, Any]:
    """A panel as plain data: codes of categories with a colour each, or numbers; and what is said of no value."""
    told = {"title": panel.title, "unknown": "no value" if unknown in (panel.names or []) else unknown}
    if panel.names is not None:
        codes = panel.data.astype(np.int64).tolist()
        return told | {"names": panel.names, "palette": panel.palette, "codes": codes}
    values = [float(f"{value:.6g}") if np.isfinite(value) else None for value in panel.data]
    return told | {"values": values}


def _codes(values: pd.Series, categories: list[str]) -> np.ndarray:
    return pd.Categorical(values, categories=categories).codes.astype(np.int64)


# ---------------------------------------------------------------------------------------- pictures


def pictures(pixels: Path, names: np.ndarray, room: int) -> list[str | None]:
    """A small WebP of each image in base64, as large as there is room (bytes) for all of them.

    Where even the smallest ones find no room, as many as do are drawn at random and the others are None.
    """
    tried = [picture for _, picture in each_picture(pixels, names[drawn_rows(len(names), TRIED, 0)])]
    for side in PICTURE_SIDES:
        size = float(np.mean([len(_webp(picture, side)) for picture in tried]))
        if size * len(names) <= room:
            break
    rows = drawn_rows(len(names), int(room / size), 0)
    made: list[str | None] = [None] * len(names)
    for row, (_, picture) in zip(rows, each_picture(pixels, names[rows]), strict=True):
        made[row] = _webp(picture, side)
    return made


def _webp(picture: np.ndarray, side: int) -> str:
    image = Image.fromarray(picture)
    image.thumbnail((side, side))
    with io.BytesIO() as file:
        image.save(file, format="WEBP", quality=PICTURE_QUALITY)
        return base64.b64encode(file.getvalue()).decode()
