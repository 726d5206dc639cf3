"""BreakHis: breast tumour sections at four magnifications, all of whose facts stand in the file names."""

from __future__ import annotations

import re
from collections.abc import Sequence
from pathlib import Path, PurePosixPath

import pandas as pd

from heteroscope.config import BREAKHIS_TUMOURS, BreakHisDataset
from heteroscope.data.listing import ListedFile
from heteroscope.data.tables import Columns, Locator, read_csv, source_rows
from heteroscope.errors import DataError

NAME = re.compile(
    r"SOB_(?P<tumour>[BM])_(?P<subtype>[A-Z]+)-(?P<year>\d\d)-(?P<slide>\w+)-(?P<magnification>\d+)-\d+\.\w+"
)
"""Biopsy procedure, tumour class, subtype, year, slide (the patient), magnification and number."""

TUMOUR_OF = {code: tumour for tumour, codes in BREAKHIS_TUMOURS.items() for code in codes}


def read_breakhis(spec: BreakHisDataset, root: Path, listing: Sequence[ListedFile]) -> pd.DataFrame:
    """BreakHis: every file whose name can be read, or the rows of a fold of its table, or of all folds.

    The label is `benign` or `malignant` where the classes use these words for it, else the subtype's
    code. A file of another name has no label. Rows of all folds stand by fold and name, whatever the
    order of the table.

    Raises:
        DataError: no name can be read, or the table lacks a column or the fold.
    """
    table = _listed(spec, listing) if spec.fold is None else _folds(spec, root, listing)
    frame = pd.concat([table, pd.DataFrame([_facts(path, spec) for path in table["path"]], index=table.index)], axis=1)
    if not (frame["label"] != "").any():
        example = f", e.g. not {table['path'].iloc[0]!r}" if len(table) else ""
        raise DataError(f"{root}: no file name is one of BreakHis{example}; set the dataset's `root` to its folder")
    rows = source_rows(frame, separator=None)
    rows["labels"] = [
        [TUMOUR_OF[code], code] if label else [""]
        for code, label in zip(rows["attr_subtype"], rows["label"], strict=True)
    ]
    return rows


def _facts(path: str, spec: BreakHisDataset) -> dict[str, object]:
    """What a file's name says; nothing where it is not one of BreakHis."""
    match = NAME.fullmatch(PurePosixPath(path).name)
    tumour = TUMOUR_OF.get(match["subtype"]) if match else None
    if match is None or tumour is None or tumour[0].upper() != match["tumour"]:
        return {"label": "", "group": "", "attr_subtype": None, "attr_magnification": None, "attr_year": None}
    words = {word for group in spec.classes.values() for word in group}
    return {
        "label": tumour if tumour in words else match["subtype"],
        "group": match["slide"],
        "attr_subtype": match["subtype"],
        "attr_magnification": match["magnification"],
        "attr_year": f"20{match['year']}",
    }


def _listed(spec: BreakHisDataset, listing: Sequence[ListedFile]) -> pd.DataFrame:
    """Paths of all files, of no given part."""
    return pd.DataFrame({"path": [file.path for file in listing if file.path not in spec.tables], "part": ""})


def _folds(spec: BreakHisDataset, root: Path, listing: Sequence[ListedFile]) -> pd.DataFrame:
    """Paths and parts as the table gives them: of one fold, or of all by fold and name."""
    assert spec.table is not None
    column = Columns(read_csv(root / spec.table), root / spec.table)
    # with folders before it or not: names alone tell the images apart, wherever they are
    name = column("filename", "path").map(lambda path: PurePosixPath(path).name)
    locate = Locator(listing)
    rows = pd.DataFrame({"path": [locate(file) for file in name], "part": column("grp"), "name": name})
    fold = pd.to_numeric(column("fold"), errors="coerce")
    if spec.fold == "all":
        rows["attr_fold"] = fold
        return rows.sort_values(["attr_fold", "name"], ignore_index=True).drop(columns="name")
    if not (fold == spec.fold).any():
        known = ", ".join(f"{value:g}" for value in sorted(fold.dropna().unique()))
        raise DataError(f"{root / spec.table}: no row of fold {spec.fold}; the folds there: {known or 'none'}")
    return rows[fold == spec.fold].drop(columns="name").reset_index(drop=True)
