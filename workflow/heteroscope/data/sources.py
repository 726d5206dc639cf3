"""Adapters: from a source's own files to one table of image rows.

An adapter is a function `(spec, root, listing) -> DataFrame` in `ADAPTERS`, under the name that the
config's `adapter` gives. Its rows stand in the source's order, with these columns:

- path: str, posix, below the root (whether or not there is such a file)
- label: str, the source's whole label; empty where it gives none
- labels: list of str, the label's single words
- group: str, the patient or source; empty where unknown
- part: str, the source's own split; empty where it gives none
- attr_*: number or str, whatever else the source knows; missing values are NaN or None
"""

from __future__ import annotations

import re
from collections.abc import Callable, Mapping, Sequence
from pathlib import Path, PurePosixPath
from typing import Any

import pandas as pd

from heteroscope.config import FolderDataset, NihChestDataset, OdirDataset, PhantomDataset, TableDataset, UnionDataset
from heteroscope.data.conditions import PREFIX
from heteroscope.data.listing import ListedFile
from heteroscope.errors import DataError

FULL_WIDTH_COMMA = "，"
PHANTOM_TABLE = "phantom.csv"
ODIR_IMAGES = "preprocessed_images"
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
    if spec.adapter == "phantom":
        return [PHANTOM_TABLE]
    return [spec.table] if hasattr(spec, "table") else []


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
    return _rows(pd.DataFrame(rows), separator=None)


def _named_groups(pattern: str | None, path: str) -> dict[str, str] | None:
    """Named groups that took part in the match, or None where the pattern is not found."""
    if pattern is None:
        return {}
    match = re.search(pattern, path)
    return None if match is None else {name: value for name, value in match.groupdict().items() if value is not None}


# ------------------------------------------------------------------------------------------ table


def read_columns(spec: TableDataset, root: Path, listing: Sequence[ListedFile]) -> pd.DataFrame:  # noqa: ARG001
    """One row an image; columns as the config names them."""
    table = _read_csv(root / spec.table)
    column = _Columns(table, root / spec.table)
    frame = pd.DataFrame(
        {
            "path": [PurePosixPath(path).as_posix() if path else "" for path in column(spec.path, strip=False)],
            "label": column(spec.label),
            "group": column(spec.group) if spec.group else "",
            "part": column(spec.part) if spec.part else "",
        }
        | {PREFIX + name: column(header) for name, header in spec.attributes.items()}
    )
    return _rows(frame, separator=spec.separator)


# ---------------------------------------------------------------------------------- medical sources


def read_odir(spec: OdirDataset, root: Path, listing: Sequence[ListedFile]) -> pd.DataFrame:
    """ODIR-5K: the left eyes of all rows, then the right eyes of all rows.

    The table has one row an eye image, so a patient with two images stands in two rows that name
    the same two files.
    """
    table = _read_csv(root / spec.table)
    column = _Columns(table, root / spec.table)
    locate = _Locator(listing, prefer=ODIR_IMAGES)
    eyes = [
        pd.DataFrame(
            {
                "path": [locate(name) for name in column(f"{eye}-Fundus")],
                "label": column(f"{eye}-Diagnostic Keywords"),
                "group": column("ID"),
                "part": "",
                "attr_age": column("Patient Age"),
                "attr_sex": column("Patient Sex"),
                "attr_eye": eye.lower(),
            }
        )
        for eye in ("Left", "Right")
    ]
    return _rows(pd.concat(eyes, ignore_index=True), separator=FULL_WIDTH_COMMA)


def read_nih_chest(spec: NihChestDataset, root: Path, listing: Sequence[ListedFile]) -> pd.DataFrame:
    """NIH ChestX-ray14, in its three published tables: 2017, 2017 v2020, and the 5,606-row sample.

    They differ in `Patient Gender`/`Patient Sex`, in ages (`58`, `058Y`) and in headers split by a
    stray `[`, which are not used.
    """
    table = _read_csv(root / spec.table)
    column = _Columns(table, root / spec.table)
    locate = _Locator(listing)
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
    return _rows(frame, separator="|")


def _years(age: str) -> float | None:
    """Years from `58`, `058Y`, `011M` or `013D`."""
    match = re.fullmatch(r"\s*(\d+)\s*([YMWD]?)\s*", age)
    return float(match[1]) * YEARS_PER_UNIT[match[2] or "Y"] if match else None


def read_phantom(spec: PhantomDataset, root: Path, listing: Sequence[ListedFile]) -> pd.DataFrame:  # noqa: ARG001
    """The phantom: the table that its generation wrote."""
    column = _Columns(_read_csv(root / PHANTOM_TABLE), root / PHANTOM_TABLE)
    frame = pd.DataFrame({"path": column("path"), "label": column("label"), "group": column("patient"), "part": ""})
    for name in ("site", "camera", "patient", "eye"):
        frame[PREFIX + name] = column(name)
    return _rows(frame, separator=None)


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
    return pd.concat(frames, ignore_index=True)


ADAPTERS: dict[str, Adapter] = {
    "folder": read_folder,
    "table": read_columns,
    "odir5k": read_odir,
    "nih-cxr": read_nih_chest,
    "phantom": read_phantom,
}


# ----------------------------------------------------------------------------------------- shared


def _read_csv(path: Path) -> pd.DataFrame:
    """A CSV or TSV (.tsv, .tab) file with every value as text; nothing is taken for a missing value."""
    separator = "\t" if path.suffix.lower() in (".tsv", ".tab") else ","
    try:
        table = pd.read_csv(
            path, sep=separator, dtype=str, keep_default_na=False, index_col=False, encoding="utf-8-sig"
        )
    except FileNotFoundError:
        raise DataError(f"{path}: no such table; put it there or name another one in the dataset's `table`") from None
    except (ValueError, OSError) as error:  # pandas' parser and encoding errors are ValueErrors
        raise DataError(f"{path}: cannot be read as a table ({error}); save it as CSV in UTF-8") from None
    table.columns = table.columns.str.strip()
    return table


class _Columns:
    """Columns of a table by name; an unknown one is an error that says what is there."""

    def __init__(self, table: pd.DataFrame, path: Path) -> None:
        self.table = table
        self.path = path

    def __call__(self, *names: str, strip: bool = True) -> pd.Series:
        """The first of the named columns that the table has; file names may begin or end with a space."""
        for name in names:
            if name in self.table:
                return self.table[name].str.strip() if strip else self.table[name]
        wanted = " or ".join(map(repr, names))
        raise DataError(f"{self.path}: no column {wanted}; the columns there: {', '.join(self.table.columns)}")


class _Locator:
    """Finds a file that a table names without its folder."""

    def __init__(self, listing: Sequence[ListedFile], prefer: str | None = None) -> None:
        self.found: dict[str, list[ListedFile]] = {}
        for file in listing:
            self.found.setdefault(PurePosixPath(file.path).name, []).append(file)
        self.prefer = prefer

    def __call__(self, name: str) -> str:
        """Path below the root, or the name itself where no file has it.

        Raises:
            DataError: two different files have the name.
        """
        files = self.found.get(name, [])
        preferred = [file for file in files if self.prefer in PurePosixPath(file.path).parts] or files
        if len({file.sha256 for file in preferred}) > 1:
            paths = " and ".join(file.path for file in preferred[:2])
            raise DataError(f"{name}: two different files have this name, {paths}; move one out of the dataset's root")
        return preferred[0].path if preferred else name


def _rows(frame: pd.DataFrame, *, separator: str | None) -> pd.DataFrame:
    """The frame with `labels`, and attributes that hold only numbers as numbers."""
    frame = frame.fillna({"label": "", "group": "", "part": ""})
    frame["labels"] = [
        [word.strip() for word in (label.split(separator) if separator else [label])] for label in frame["label"]
    ]
    for name in frame.columns[frame.columns.str.startswith(PREFIX)]:
        frame[name] = _numbers_or_words(frame[name])
    return frame


def _numbers_or_words(values: pd.Series) -> pd.Series:
    """Numbers where every value is one, else words; empty values are missing."""
    present = values.astype(object).where(values.notna() & (values.astype(object) != ""), None)
    numbers = pd.to_numeric(present, errors="coerce")
    return numbers if numbers.notna().sum() == present.notna().sum() and numbers.notna().any() else present
