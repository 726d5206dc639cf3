"""Columns of a table of images, guessed from their names and values."""

from __future__ import annotations

import re
from collections import Counter
from pathlib import Path, PurePosixPath
from typing import TYPE_CHECKING, Any

from heteroscope.data.listing import IMAGE_ENDINGS, scan
from heteroscope.errors import DataError
from heteroscope.guess.folder import refuse_published
from heteroscope.guess.guesses import (
    FEWEST_PATIENTS,
    MOST_CLASSES,
    Guess,
    class_doubts,
    class_sentence,
    in_order,
    refuse_one_class,
    shown,
)

if TYPE_CHECKING:
    import pandas as pd

LABELS = re.compile(
    r"labels?|class|diagnos[a-z]*|dx|target|findings?|category|outcome|pathology|disease|grade", re.IGNORECASE
)
PATIENTS = re.compile(r"patient|subject|case|person|participant|individual|pid", re.IGNORECASE)
SPLITS = re.compile(r"split|part|partition|subset|set|fold|phase", re.IGNORECASE)
MOST_LEVELS = 50  # of an attribute of words
LEAST_FILLED = 0.5  # share of an attribute's rows


def guess_table(
    path: Path, *, path_column: str | None = None, label: str | None = None, patient: str | None = None
) -> Guess:
    """Guess which columns of a table name the image, the class, the patient and attributes.

    Args:
        path: the table, CSV or TSV; its folder, or one below, holds the images.
        path_column: the column with paths, where the guess would be wrong; likewise `label` and `patient`.

    Raises:
        DataError: the table cannot be read, or a column cannot be told; with what to do.
    """
    table = _read(path)
    refuse_published(path.parent)
    for name in filter(None, (path_column, label, patient)):
        if name not in table:
            raise DataError(f"{path}: no column {name!r}; the columns there: {', '.join(table.columns)}")
    images = path_column or _path_column(table, path)
    root, missing = _root(path, table[images].tolist())
    classes = label or _label_column(table.drop(columns=images), path)
    group = patient or _patient_column(table.drop(columns=[images, classes]))
    part = _split_column(table.drop(columns=[images, classes]))
    used = [column for column in (images, classes, group, part) if column]
    attributes = {_attribute(column): column for column in _names(table) if _is_attribute(table, column, classes, used)}
    words = Counter(word.strip() for word in table[classes] if word.strip())
    refuse_one_class(sorted(words), f"{path}: the column {classes!r} holds", "name another column by --label COLUMN")
    counts = {name: words[name] for name in in_order(words)}
    dataset: dict[str, Any] = {"adapter": "table", "root": root.as_posix(), "table": _table_below(path, root)}
    dataset |= {"path": images, "label": classes}
    dataset |= {key: column for key, column in (("group", group), ("part", part)) if column}
    dataset |= {"attributes": attributes} if attributes else {}
    parts = _parts(table[part]) if part else []
    return Guess(
        dataset | {"classes": {name: [name] for name in counts}},
        counts,
        tested=parts.count("test") if part else None,
        validated="validation" in parts,
        found={
            "images": f"column {images!r}: most of its values are image files; paths start from {root}",
            "classes": class_sentence(counts, f"the words of column {classes!r}"),
            **_found(table, group, part, attributes),
        },
        doubts=[*class_doubts(counts), *_doubts(table, missing, classes, group)],
    )


def _read(path: Path) -> pd.DataFrame:
    from heteroscope.data.tables import REPEATED, read_csv

    table = read_csv(path)
    if twice := sorted(table.attrs[REPEATED]):
        raise DataError(f"{path}: the column {twice[0]!r} stands there more than once; keep the one that is meant")
    if table.empty:
        raise DataError(f"{path}: no row below the line of column names; a study needs a row an image")
    return table


# ------------------------------------------------------------------------------------------ images


def _path_column(table: pd.DataFrame, path: Path) -> str:
    """The column most of whose values end like image files."""
    shares = {column: _share_of_images(table[column]) for column in _names(table)}
    best = max(shares, key=lambda column: shares[column])
    if shares[best] < 0.5:
        raise DataError(
            f"{path}: no column holds names of image files (endings: {' '.join(IMAGE_ENDINGS)}); the columns there:"
            f" {', '.join(table.columns)}. Add one with the path of each image, its ending included, as seen from the"
            " table's folder"
        )
    return best


def _share_of_images(values: pd.Series) -> float:
    return float(values.str.lower().str.strip().str.endswith(IMAGE_ENDINGS).mean())


def _root(path: Path, names: list[str]) -> tuple[Path, int]:
    """The folder that a table's paths start from, at or below its own, and how many of them name no file there.

    Raises:
        DataError: none of them names a file.
    """
    files = scan(path.parent, remedy="move the table to the folder that holds its images, or above it")
    wanted = {PurePosixPath(name).as_posix() for name in names if name}
    starts = Counter(
        file[: -len(tail)]
        for file in files
        for tail in ("/".join(PurePosixPath(file).parts[begin:]) for begin in range(len(PurePosixPath(file).parts)))
        if tail in wanted
    )
    if not starts:
        example = next(iter(sorted(wanted)), "")
        raise DataError(
            f"{path}: none of its {len(wanted)} paths, e.g. {example!r}, is that of an image below {path.parent}; write"
            " paths as seen from there, with / between folders, or move the table to the folder that they start from"
        )
    start, number = max(starts.items(), key=lambda item: (item[1], -len(item[0])))
    return path.parent / start, len(wanted) - number


def _table_below(path: Path, root: Path) -> str:
    """The table's path as seen from the images' folder, which may lie below the table's."""
    return "../" * len(root.relative_to(path.parent).parts) + path.name


# ----------------------------------------------------------------------------------------- columns


def _label_column(table: pd.DataFrame, path: Path) -> str:
    """The column whose name says class, or the only one of few words.

    Raises:
        DataError: there is none, or several might be meant.
    """
    named = [column for column in _names(table) if any(LABELS.fullmatch(word) for word in _words(column))]
    exact = [column for column in named if LABELS.fullmatch(column)]
    few = [column for column in _names(table) if _may_be_classes(table[column]) and not _is_role(column)]
    possible = exact or named or few
    if len(possible) == 1:
        return possible[0]
    if not possible:
        raise DataError(
            f"{path}: no column has between 2 and {MOST_CLASSES} different words, as classes would; the columns there:"
            f" {', '.join(table.columns)}. Name the one with the class by --label, or add it"
        )
    raise DataError(f"{path}: {shown(possible)} might each be the class; name the one that is meant by --label")


def _may_be_classes(values: pd.Series) -> bool:
    """Whether there are a few words, or a few whole numbers."""
    fractions = values.str.fullmatch(r"\s*-?\d*\.\d+\s*").any()
    return 2 <= values.nunique() <= MOST_CLASSES and not fractions


def _is_role(column: str) -> bool:
    return any(PATIENTS.fullmatch(word) or SPLITS.fullmatch(word) for word in _words(column))


def _names(table: pd.DataFrame) -> list[str]:
    return list(map(str, table.columns))


def _words(column: str) -> list[str]:
    """The words of a column's name: `PatientID`, `patient_id` and `Patient ID` have the same."""
    return re.findall(r"[A-Z]?[a-z]+|[A-Z]+(?![a-z])|\d+", column)


def _patient_column(table: pd.DataFrame) -> str | None:
    """The column whose name says patient; one without repeats would do no harm, and no good."""
    named = [column for column in _names(table) if any(PATIENTS.fullmatch(word) for word in _words(column))]
    shared = [column for column in named if FEWEST_PATIENTS <= table[column].nunique() < len(table)]
    # an id comes before what else is known of a patient, such as an age
    return min(shared, key=lambda column: ("id" not in column.lower(), -table[column].nunique()), default=None)


def _split_column(table: pd.DataFrame) -> str | None:
    from heteroscope.data.splits import SOURCE_PARTS

    for column in _names(table):
        words = set(table[column].str.strip().str.lower())
        named = any(SPLITS.fullmatch(word) for word in _words(column))
        if named and words <= set(SOURCE_PARTS) and len(words) > 1 and "test" in _parts(table[column]):
            return column
    return None


def _parts(values: pd.Series) -> list[str]:
    from heteroscope.data.splits import SOURCE_PARTS

    return [SOURCE_PARTS[word] for word in values.str.strip().str.lower()]


def _is_attribute(table: pd.DataFrame, column: str, label: str, used: list[str]) -> bool:
    """Whether a column may say what clusters are: a number or a few words, and not the class by another name."""
    import pandas as pd

    values = table[column].str.strip()
    filled = values[values != ""]
    if column in used or len(filled) < LEAST_FILLED * len(table) or filled.nunique() < 2:
        return False
    if table.groupby(column)[label].nunique().max() == 1 and table.groupby(label)[column].nunique().max() == 1:
        return False
    numeric = pd.to_numeric(filled, errors="coerce").notna().all()
    return filled.nunique() < len(filled) if numeric else filled.nunique() <= MOST_LEVELS


def _attribute(column: str) -> str:
    return re.sub(r"\W+", "_", column.strip().lower()).strip("_") or "column"


# ---------------------------------------------------------------------------------------- sentences


def _found(table: pd.DataFrame, group: str | None, part: str | None, attributes: dict[str, str]) -> dict[str, str]:
    found = {}
    if group:
        found["patients"] = f"{table[group].nunique()}, by column {group!r}: its name says so, and rows share values"
    else:
        found["patients"] = "none found: no column is named after a patient and has values that rows share"
    if attributes:
        found["attributes"] = f"{', '.join(attributes)}: the other columns of numbers or few words"
    if part:
        found["split"] = f"its own, by column {part!r}"
    return found


def _doubts(table: pd.DataFrame, missing: int, label: str, group: str | None) -> list[str]:
    doubts = [f"whether {label!r} is the class that the study is about; another column: --label COLUMN"]
    if group is None:
        doubts.append(
            "whether patients have several images: then name their column by --patient, or one patient may both train"
            " and test"
        )
    if missing:
        doubts.append(f"{missing} of {len(table)} paths name no file; these rows will be rejected as `missing`")
    if empty := int((table[label].str.strip() == "").sum()):
        doubts.append(f"{empty} rows have no word in {label!r}; they will be rejected as `unlabelled`")
    return doubts
