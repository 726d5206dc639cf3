"""What adapters share: reading a source's tables, finding the files that they name, and the form of the rows."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from pathlib import Path, PurePosixPath
from typing import Any

import pandas as pd

from heteroscope.data.conditions import PREFIX
from heteroscope.data.listing import ListedFile
from heteroscope.errors import DataError

REPEATED = "repeated"
"""Attribute of a table: names that several of its columns have."""
LESIONS = ("lesion_x", "lesion_y", "lesion_radius")
"""Columns of an image's lesions, lists of as many numbers each: centre from the left and upper edge, and radius."""


def read_csv(path: Path) -> pd.DataFrame:
    """A CSV or TSV (.tsv, .tab) file with every value as text; nothing is taken for a missing value.

    Semicolons separate the values of a CSV whose first line has no comma.

    Raises:
        DataError: the file is missing or no such table.
    """
    try:
        table, first = _read_text(path, index_col=False), _read_text(path, header=None, nrows=1)
    except FileNotFoundError:
        raise DataError(f"{path}: no such table; put it there or name another one in the dataset's `table`") from None
    except (ValueError, OSError) as error:  # pandas' parser and encoding errors are ValueErrors
        raise DataError(f"{path}: cannot be read as a table ({error}); save it as CSV in UTF-8") from None
    table.columns = table.columns.str.strip()
    names = first.iloc[0].str.strip()
    table.attrs[REPEATED] = set(names[names.duplicated()])  # pandas gives all but the first other names
    return table


def _read_text(path: Path, **options: Any) -> pd.DataFrame:
    table: pd.DataFrame = pd.read_csv(
        path, sep=_separator(path), dtype=str, keep_default_na=False, encoding="utf-8-sig", **options
    )
    return table


def _separator(path: Path) -> str:
    if path.suffix.lower() in (".tsv", ".tab"):
        return "\t"
    with path.open(encoding="utf-8-sig", errors="replace") as stream:
        header = stream.readline()
    return ";" if ";" in header and "," not in header else ","


def read_lines(path: Path) -> list[str]:
    """The lines of a text in any encoding that holds ASCII.

    Raises:
        DataError: the file is missing or cannot be read.
    """
    try:
        return path.read_text(encoding="latin-1").splitlines()
    except OSError as error:
        raise DataError(
            f"{path}: cannot be read ({error.strerror}); name another one in the dataset's `table`"
        ) from None


class Columns:
    """Columns of a table by name; an unknown one is an error that says what is there."""

    def __init__(self, table: pd.DataFrame, path: Path) -> None:
        self.table = table
        self.path = path

    def __call__(self, *names: str, strip: bool = True) -> pd.Series:
        """The first of the named columns that the table has; file names may begin or end with a space.

        Raises:
            DataError: it has none of them, or one more than once.
        """
        for name in names:
            if name in self.table.attrs.get(REPEATED, ()):
                raise DataError(
                    f"{self.path}: the column {name!r} stands there more than once; keep the one that is meant"
                )
            if name in self.table:
                return self.table[name].str.strip() if strip else self.table[name]
        wanted = " or ".join(map(repr, names))
        raise DataError(f"{self.path}: no column {wanted}; the columns there: {', '.join(self.table.columns)}")


class Locator:
    """Finds a file that a table names without its folder, or by a part of its name."""

    def __init__(
        self, listing: Sequence[ListedFile], *, prefer: str | None = None, key: Callable[[str], str] = str
    ) -> None:
        """Look through the files below a root.

        Args:
            listing: these files.
            prefer: files below a folder of this name are taken where there are others.
            key: what tables name, of a file's name.
        """
        self.found: dict[str, list[ListedFile]] = {}
        for file in listing:
            self.found.setdefault(key(PurePosixPath(file.path).name), []).append(file)
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


def source_rows(frame: pd.DataFrame, *, separator: str | None) -> pd.DataFrame:
    """The frame with `labels`, the number of lesions, and attributes that hold only numbers as numbers."""
    frame = frame.fillna({"label": "", "group": "", "part": ""})
    if set(LESIONS) <= set(frame):
        frame[PREFIX + "lesions"] = frame[LESIONS[0]].map(len)
    # rows of one label share its list of words: a source may have a million rows
    words = {
        label: [word.strip() for word in (label.split(separator) if separator else [label])]
        for label in frame["label"].unique()
    }
    frame["labels"] = frame["label"].map(words)
    for name in frame.columns[frame.columns.str.startswith(PREFIX)]:
        frame[name] = _numbers_or_words(frame[name])
    return frame


def _numbers_or_words(values: pd.Series) -> pd.Series:
    """Numbers where every value is one, else words; empty values are missing."""
    present = values.astype(object).where(values.notna() & (values.astype(object) != ""), None)
    numbers = pd.to_numeric(present, errors="coerce")
    return numbers if numbers.notna().sum() == present.notna().sum() and numbers.notna().any() else present
