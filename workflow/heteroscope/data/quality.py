"""Quality control: which rows of a source become images, and why the others do not.

The order of work is match, filter, missing, decode, duplicates, balance. Every row of the source ends
in exactly one of two tables: the images, or the rejected with one reason of `REASONS`.
"""

from __future__ import annotations

import logging
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import astuple
from functools import cache
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
from tqdm import tqdm

from heteroscope.config import Balance
from heteroscope.data.ahead import map_ahead
from heteroscope.data.conditions import attribute, meets
from heteroscope.data.decoding import ImageError, Properties, verify_image
from heteroscope.data.listing import ListedFile
from heteroscope.data.tables import LESIONS
from heteroscope.errors import DataError
from heteroscope.provenance import digest

log = logging.getLogger(__name__)

REASONS = (
    "unlabelled",
    "filtered",
    "missing",
    "unreadable",
    "truncated",
    "unsupported",
    "conflicting-label",
    "duplicate",
    "balanced",
)
ID_DIGITS = 16
FIRST_COLUMNS = ["image_id", "content", "sha256", "path", "label", "group", "part", "width", "height", "mode", "format"]


class _Rows:
    """The rows of a source on their way: those that are still in, and the reasons of those that are out."""

    def __init__(self, source: pd.DataFrame) -> None:
        self.kept = source.reset_index(drop=True)
        self.total = len(source)
        self.rejected: list[pd.DataFrame] = []

    def reject(self, out: np.ndarray, reason: str | Sequence[str], detail: str | Sequence[str]) -> None:
        """Move rows out.

        Args:
            out: (n,) bool over the rows still in.
            reason: one for all, or one for each row that goes.
            detail: likewise.
        """
        gone = self.kept.loc[out, ["path", "source_label"]].rename(columns={"source_label": "label"})
        self.rejected.append(gone.assign(reason=reason, detail=detail))
        self.kept = self.kept[~out].reset_index(drop=True)

    def table_of_rejected(self) -> pd.DataFrame:
        """The rejected rows in the order of the steps; every row of the source is here or in `kept`."""
        table = pd.concat(self.rejected, ignore_index=True)
        assert len(table) + len(self.kept) == self.total, "a row of the source was lost"
        return table[["path", "label", "reason", "detail"]]


def curate(
    source: pd.DataFrame, spec: Any, *, root: Path, listing: Sequence[ListedFile], workers: int = 2
) -> tuple[pd.DataFrame, pd.DataFrame]:
    """Sort the rows of a source into usable images and rejected rows.

    Args:
        source: as `sources.read_source` or `sources.read_union` gives it.
        spec: the dataset's configuration.
        root: the folder that paths are relative to.
        listing: the files there with their SHA-256.
        workers: threads that decode images to verify them; no part of the result.

    Returns:
        The images (columns `FIRST_COLUMNS`, then attr_*, then lesions), in the source's order, and the rejected
        rows (path, label, reason, detail).

    Raises:
        DataError: a class has no image left, or a filter or balance names an unknown attribute.
    """
    rows = _asked_for(source, spec)
    if "sha256" not in source:  # the images of a union were verified by their own datasets
        _find(rows, root, {file.path: file.sha256 for file in listing})
        _decode(rows, root, workers)
    _drop_conflicts(rows)
    _drop_duplicates(rows, keep=spec.duplicates == "keep")
    if spec.balance:
        _balance(rows, spec.balance)
    rejected = rows.table_of_rejected()
    _require_classes(rows.kept, rejected, spec.class_names)
    return _as_images(rows.kept), rejected


def rejected_unopened(source: pd.DataFrame, spec: Any, *, root: Path, paths: Iterable[str]) -> pd.DataFrame:
    """The rejected rows of a source as far as they are known before any image is opened.

    Args:
        source: as `sources.read_source` gives it.
        spec: the dataset's configuration.
        root: the folder that paths are relative to.
        paths: the files there.

    Raises:
        DataError: a class has no image left, or a filter names an unknown attribute.
    """
    rows = _asked_for(source, spec)
    _find(rows, root, dict.fromkeys(paths, ""))
    rejected = rows.table_of_rejected()
    _require_classes(rows.kept, rejected, spec.class_names)
    return rejected


# ------------------------------------------------------------------------------------------ steps


def _asked_for(source: pd.DataFrame, spec: Any) -> _Rows:
    """The rows of a class that meet the filter; there must be some of each class before anything is opened in vain."""
    rows = _Rows(source.rename(columns={"label": "source_label"}))
    _match(rows, spec.classes, spec.match)
    rows.reject(~meets(rows.kept, spec.filter), "filtered", "does not meet the dataset's filter")
    _require_classes(rows.kept, rows.table_of_rejected(), spec.class_names)
    return rows


def _match(rows: _Rows, classes: Mapping[str, Sequence[str]], how: str) -> None:
    """Give every row its class; rows of no class, or of two, go."""
    class_of = {word: name for name, words in classes.items() for word in words}

    @cache  # rows share what a label gives: there may be a million
    def named(*words: str) -> list[str]:
        return sorted({class_of[word] for word in words if word in class_of})

    found = [named(*words) for words in rows.kept["labels"]] if how == "any" else rows.kept["source_label"].map(named)
    rows.kept["label"] = [names[0] if names else "" for names in found]
    number = np.array([len(names) for names in found], dtype=int)
    out = np.flatnonzero(number != 1)
    without = {
        row: "no class has this label" if label else "no label"
        for row, label in rows.kept["source_label"].iloc[out].items()
    }
    rows.reject(
        number != 1,
        ["conflicting-label" if found[row] else "unlabelled" for row in out],
        [f"labels of the classes {' and '.join(found[row])}" if found[row] else without[row] for row in out],
    )


def _find(rows: _Rows, root: Path, sha256: Mapping[str, str]) -> None:
    """Give every row the SHA-256 of its file; rows without a listed file go."""
    paths = rows.kept["path"]
    rows.kept["sha256"] = [sha256.get(path) for path in paths]
    absent = rows.kept["sha256"].isna().to_numpy()
    there = [bool(path) and (root / path).is_file() for path in paths[absent]]
    rows.reject(
        absent,
        ["unsupported" if found else "missing" for found in there],
        ["not a known image ending" if found else "no such file below the root" for found in there],
    )


def _decode(rows: _Rows, root: Path, workers: int) -> None:
    """Decode every distinct file once, to its end, for its properties; damaged ones go."""
    first = rows.kept.drop_duplicates("sha256")
    # what an image needs is not known before it is opened: as many are held as there are threads, and some results
    results = map_ahead(lambda path: _properties(root / path), first["path"], size=lambda _: 0, workers=workers)
    progress = tqdm(results, total=len(first), desc="verify", unit="image", mininterval=1)
    alike: dict[Properties, Properties] = {}  # most images of a source are, and one object does for all of them
    found = {
        sha256: result if isinstance(result, ImageError) else alike.setdefault(result, result)
        for sha256, result in zip(first["sha256"], progress, strict=True)
    }
    properties = [found[key] for key in rows.kept["sha256"]]
    rows.kept[["width", "height", "mode", "format"]] = [
        (0, 0, "", "") if isinstance(result, ImageError) else astuple(result) for result in properties
    ]
    errors = [result for result in properties if isinstance(result, ImageError)]
    damaged = np.array([isinstance(result, ImageError) for result in properties], dtype=bool)
    rows.reject(damaged, [error.reason for error in errors], [error.detail for error in errors])


def _properties(path: Path) -> Properties | ImageError:
    try:
        return verify_image(path)
    except ImageError as error:
        return error


def _drop_conflicts(rows: _Rows) -> None:
    """The same bytes under two classes: nobody knows which is right, so all of them go."""
    by_content = rows.kept.groupby("sha256")["label"]
    conflicting = (by_content.transform("nunique") > 1).to_numpy(dtype=bool)
    classes = rows.kept[conflicting].groupby("sha256")["label"].agg(lambda labels: " and ".join(sorted(set(labels))))
    details = [f"the same image under the classes {classes[key]}" for key in rows.kept.loc[conflicting, "sha256"]]
    rows.reject(conflicting, "conflicting-label", details)


def _drop_duplicates(rows: _Rows, *, keep: bool) -> None:
    """The first row of every content stays; `copy` counts the rows of a content from 1."""
    rows.kept["copy"] = rows.kept.groupby("sha256").cumcount() + 1
    if keep:
        return
    repeated = (rows.kept["copy"] > 1).to_numpy(dtype=bool)
    several = rows.kept["sha256"].isin(rows.kept.loc[repeated, "sha256"])
    first = rows.kept[several & ~repeated].set_index("sha256")["path"]
    rows.reject(repeated, "duplicate", [f"the same bytes as {first[key]}" for key in rows.kept.loc[repeated, "sha256"]])


def _balance(rows: _Rows, spec: Balance) -> None:
    """Cut every class to the smallest one, within each level of an attribute where one is named."""
    rng = np.random.default_rng(spec.seed)
    levels = (
        attribute(rows.kept, spec.by).fillna("missing").astype(str) if spec.by else pd.Series("all", rows.kept.index)
    )
    classes = sorted(rows.kept["label"].unique())
    out = np.zeros(len(rows.kept), dtype=bool)
    details = np.full(len(rows.kept), "", dtype=object)
    for level in sorted(levels.unique()):
        members = {name: np.flatnonzero((levels == level) & (rows.kept["label"] == name)) for name in classes}
        smallest = min(map(len, members.values()))
        for name, indices in members.items():
            stay = indices[:smallest] if spec.order == "first" else rng.permutation(indices)[:smallest]
            gone = np.setdiff1d(indices, stay)
            out[gone] = True
            details[gone] = f"{name} cut to {smallest}" + (f" within {spec.by} = {level}" if spec.by else "")
    rows.reject(out, "balanced", details[out].tolist())


# ----------------------------------------------------------------------------------------- result


def _require_classes(kept: pd.DataFrame, rejected: pd.DataFrame, class_names: Iterable[str]) -> None:
    empty = [name for name in class_names if not (kept["label"] == name).any()]
    if not empty:
        return
    labels = rejected.loc[rejected["reason"] == "unlabelled", "label"].value_counts().index[:8]
    hint = f" The commonest labels of no class: {', '.join(map(repr, labels))}." if len(labels) else ""
    hint += " Check the words under the dataset's `classes`, `match`, `filter` and `balance`"
    absent = rejected.loc[rejected["reason"] == "missing", "path"]
    if len(absent) > len(rejected) / 2:
        hint = (
            f" {len(absent)} rows name files that are not below the root, such as {absent.iloc[0]!r}: check the"
            " dataset's `root` and where its table names the files"
        )
    raise DataError(
        f"no image is left of class {', '.join(empty)} ({len(kept)} images kept; rejected:"
        f" {counted_reasons(rejected) or 'none'}).{hint}"
    )


def counted_reasons(rejected: pd.DataFrame) -> str:
    """How many rows are rejected for each reason, in words."""
    return ", ".join(f"{reason} {count}" for reason, count in rejected["reason"].value_counts().items())


def _as_images(kept: pd.DataFrame) -> pd.DataFrame:
    images = kept.drop(columns=["labels", "source_label"])
    images["content"] = images["sha256"].str[:ID_DIGITS]
    images["image_id"] = [
        sha256[:ID_DIGITS] if copy == 1 else digest(f"{sha256}:{copy}")[:ID_DIGITS]
        for sha256, copy in zip(images["sha256"], images["copy"], strict=True)
    ]
    images["group"] = images["group"].where(images["group"] != "", images["content"])
    attributes = sorted(column for column in images.columns if column.startswith("attr_"))
    return images[FIRST_COLUMNS + attributes + [column for column in LESIONS if column in images]]


def class_counts(images: pd.DataFrame, class_names: Sequence[str]) -> pd.DataFrame:
    """One row a class: its integer label, images, distinct contents, and groups (patients)."""
    of = images.groupby("label")
    return pd.DataFrame(
        {
            "class": class_names,
            "label": range(len(class_names)),
            "images": [int(of.size()[name]) for name in class_names],
            "distinct": [int(of["content"].nunique()[name]) for name in class_names],
            "groups": [int(of["group"].nunique()[name]) for name in class_names],
        }
    )
