"""Adapters: from a source's own files to one table of image rows.

An adapter is a function `(spec, root, listing) -> DataFrame` in `ADAPTERS`, under the name that the
config's `adapter` gives. Its rows stand in the source's order, with these columns:

- path: str, posix, below the root (whether or not there is such a file)
- label: str, the source's whole label; empty where it gives none
- labels: list of str, the label's single words
- group: str, the patient or source; empty where unknown
- part: str, the source's own split; empty where it gives none
- attr_*: number or str, whatever else the source knows; missing values are NaN or None
- lesion_x, lesion_y, lesion_radius: lists of float, only where the source knows the place of lesions;
  pixels from the left and upper edge of the stored image. They are no attributes
"""

from __future__ import annotations

import re
from collections.abc import Callable, Mapping, Sequence
from pathlib import Path, PurePosixPath
from typing import Any

import numpy as np
import pandas as pd

from heteroscope.config import (
    FolderDataset,
    LesionColumns,
    NihChestDataset,
    OdirDataset,
    PhantomDataset,
    TableDataset,
    UnionDataset,
)
from heteroscope.data.breakhis import read_breakhis
from heteroscope.data.conditions import PREFIX
from heteroscope.data.listing import ListedFile
from heteroscope.data.mammography import read_cbis_ddsm, read_inbreast, read_mammogram_masses, read_mias
from heteroscope.data.tables import LESIONS, Columns, Locator, read_csv, source_rows
from heteroscope.errors import DataError

FULL_WIDTH_COMMA = "，"
PHANTOM_TABLE = "phantom.csv"
ODIR_IMAGES = "preprocessed_images"
# a placeholder: 28 of 6,392 rows have it, all of women, some with age-related macular degeneration; the next age is 14
ODIR_UNKNOWN_AGE = "1"
YEARS_PER_UNIT = {"Y": 1.0, "M": 1 / 12, "W": 7 / 365.25, "D": 1 / 365.25}

Adapter = Callable[[Any, Path, Sequence[ListedFile]], pd.DataFrame]


def read_source(spec: Any, root: Path, listing: Sequence[ListedFile]) -> pd.DataFrame:
    """The rows of a dataset by its adapter; see the module's text for the columns.

    Raises:
        DataError: a table is missing or lacks a column.
    """
    return ADAPTERS[spec.adapter](spec, root, listing)


def tables_of(spec: Any) -> list[str]:
    """Paths below the root of the tables that an adapter reads."""
    return [PHANTOM_TABLE] if spec.adapter == "phantom" else list(spec.tables)


# ----------------------------------------------------------------------------------------- folder


def read_folder(spec: FolderDataset, root: Path, listing: Sequence[ListedFile]) -> pd.DataFrame:
    """A sub-folder a class; named groups of `pattern` fill columns. A path that it does not match has no label.

    Raises:
        DataError: `pattern` matches no path at all.
    """
    paths = [file.path for file in listing if file.path not in tables_of(spec)]
    found = [_named_groups(spec.pattern, path) for path in paths]
    if not any(match is not None for match in found):
        raise DataError(f"{root}: the dataset's `pattern` {spec.pattern!r} matches no path, e.g. not {paths[0]!r}")
    rows = []
    for path, match in zip(paths, found, strict=True):
        folder = PurePosixPath(path).parts[0] if "/" in path else ""
        named = dict(match or {})
        label = named.pop("label", folder) if match is not None else ""
        rows.append(
            {"path": path, "label": label, "group": named.pop("group", ""), "part": named.pop("part", "")}
            | {PREFIX + name: value for name, value in named.items()}
        )
    return source_rows(pd.DataFrame(rows), separator=None)


def _named_groups(pattern: str | None, path: str) -> dict[str, str] | None:
    """Named groups that took part in the match, or None where the pattern is not found."""
    if pattern is None:
        return {}
    match = re.search(pattern, path)
    return None if match is None else {name: value for name, value in match.groupdict().items() if value is not None}


# ------------------------------------------------------------------------------------------ table


def read_columns(spec: TableDataset, root: Path, listing: Sequence[ListedFile]) -> pd.DataFrame:  # noqa: ARG001
    """One row an image; columns as the config names them."""
    table = read_csv(root / spec.table)
    column = Columns(table, root / spec.table)
    frame = pd.DataFrame(
        {
            "path": [PurePosixPath(path).as_posix() if path else "" for path in column(spec.path, strip=False)],
            "label": column(spec.label),
            "group": column(spec.group) if spec.group else "",
            "part": column(spec.part) if spec.part else "",
        }
        | {PREFIX + name: column(header) for name, header in spec.attributes.items()}
        | (_lesions(spec.lesion, column) if spec.lesion else {})
    )
    return source_rows(frame, separator=spec.separator)


def _lesions(spec: LesionColumns, column: Columns) -> dict[str, list[list[float]]]:
    """The lesion of every row, one or none.

    Raises:
        DataError: a row gives its place in part, or not as numbers.
    """
    text = pd.DataFrame(
        {name: column(header) for name, header in zip(LESIONS, (spec.x, spec.y, spec.radius), strict=True)}
    )
    numbers = text.apply(pd.to_numeric, errors="coerce")
    known = numbers.notna().all(axis=1)
    if (wrong := ~known & (text != "").any(axis=1)).any():
        row = int(np.flatnonzero(wrong)[0])
        place = ", ".join(map(repr, text.iloc[row]))
        raise DataError(
            f"{column.path}: row {row + 1}: the lesion's place {place} is not three numbers; mend it, or leave all"
            " three empty"
        )
    return {
        name: [[value] if here else [] for value, here in zip(numbers[name], known, strict=True)] for name in LESIONS
    }


# ---------------------------------------------------------------------------------- medical sources


def read_odir(spec: OdirDataset, root: Path, listing: Sequence[ListedFile]) -> pd.DataFrame:
    """ODIR-5K: the left eyes of all rows, then the right eyes of all rows.

    The table has one row an eye image, so a patient with two images stands in two rows that name
    the same two files. An age of 1 stands where it is not known, and is read as missing.
    """
    table = read_csv(root / spec.table)
    column = Columns(table, root / spec.table)
    locate = Locator(listing, prefer=ODIR_IMAGES)
    age = column("Patient Age").replace(ODIR_UNKNOWN_AGE, "")
    eyes = [
        pd.DataFrame(
            {
                "path": [locate(name) for name in column(f"{eye}-Fundus")],
                "label": column(f"{eye}-Diagnostic Keywords"),
                "group": column("ID"),
                "part": "",
                "attr_age": age,
                "attr_sex": column("Patient Sex"),
                "attr_eye": eye.lower(),
            }
        )
        for eye in ("Left", "Right")
    ]
    return source_rows(pd.concat(eyes, ignore_index=True), separator=FULL_WIDTH_COMMA)


def read_nih_chest(spec: NihChestDataset, root: Path, listing: Sequence[ListedFile]) -> pd.DataFrame:
    """NIH ChestX-ray14, in its three published tables: 2017, 2017 v2020, and the 5,606-row sample.

    They differ in `Patient Gender`/`Patient Sex`, in ages (`58`, `058Y`) and in headers split by a
    stray `[`, which are not used.
    """
    table = read_csv(root / spec.table)
    column = Columns(table, root / spec.table)
    locate = Locator(listing)
    frame = pd.DataFrame(
        {
            "path": [locate(name) for name in column("Image Index")],
            "label": column("Finding Labels"),
            "group": column("Patient ID"),
            "part": "",
            "attr_age": [_years(age) for age in column("Patient Age")],
            "attr_sex": column("Patient Gender", "Patient Sex"),
            "attr_view": column("View Position"),
            "attr_follow_up": column("Follow-up #"),
        }
    )
    return source_rows(frame, separator="|")


def _years(age: str) -> float | None:
    """Years from `58`, `058Y`, `011M` or `013D`."""
    match = re.fullmatch(r"\s*(\d+)\s*([YMWD]?)\s*", age)
    return float(match[1]) * YEARS_PER_UNIT[match[2] or "Y"] if match else None


def read_phantom(spec: PhantomDataset, root: Path, listing: Sequence[ListedFile]) -> pd.DataFrame:  # noqa: ARG001
    """The phantom: the table that its generation wrote."""
    column = Columns(read_csv(root / PHANTOM_TABLE), root / PHANTOM_TABLE)
    frame = pd.DataFrame({"path": column("path"), "label": column("label"), "group": column("patient"), "part": ""})
    for name in ("site", "camera", "patient", "eye", *spec.attributes):
        frame[PREFIX + name] = column(name)
    return source_rows(frame, separator=None)


def read_union(spec: UnionDataset, members: Mapping[str, pd.DataFrame]) -> pd.DataFrame:
    """The usable images of several datasets, one after the other; `attr_dataset` names each one's dataset.

    Paths and groups carry the dataset's id in front, so that patients of two datasets stay apart. The
    columns sha256, width, height, mode and format come along: these images are known to be good.

    Args:
        spec: the union.
        members: dataset id → its images.parquet.

    Raises:
        DataError: a member is missing.
    """
    frames = []
    for name in spec.datasets:
        if name not in members:
            raise DataError(f"the union needs the images of dataset {name!r}; give --member {name}=…/images.parquet")
        images = members[name].drop(columns=["image_id", "content"])
        images = images.assign(attr_dataset=name, labels=images["label"].map(lambda label: [label]))
        for column in ("path", "group"):
            images[column] = [f"{name}/{value}" for value in images[column]]
        frames.append(images)
    rows = pd.concat(frames, ignore_index=True)
    for column in rows.columns.intersection(list(LESIONS)):  # a member may know of none
        rows[column] = [[] if value is None or np.ndim(value) == 0 else list(value) for value in rows[column]]
    return rows


ADAPTERS: dict[str, Adapter] = {
    "folder": read_folder,
    "table": read_columns,
    "odir5k": read_odir,
    "nih-cxr": read_nih_chest,
    "breakhis": read_breakhis,
    "mammogram-masses": read_mammogram_masses,
    "inbreast": read_inbreast,
    "mias": read_mias,
    "cbis-ddsm": read_cbis_ddsm,
    "phantom": read_phantom,
}
