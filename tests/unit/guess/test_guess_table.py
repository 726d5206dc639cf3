"""What `heteroscope init` guesses about tables: read by the adapter, it gives back what was planted."""

from __future__ import annotations

import re
from pathlib import Path
from typing import Any

import pandas as pd
import pytest
import yaml

from heteroscope.config import TableDataset, load
from heteroscope.data.listing import read_listing, update_listing
from heteroscope.data.sources import read_source
from heteroscope.errors import DataError
from heteroscope.guess import guess_table, sketch
from heteroscope.guess.guesses import Guess

ROWS = 60


def planted() -> pd.DataFrame:
    numbers = range(ROWS)
    return pd.DataFrame(
        {
            "row": numbers,
            "filename": [f"images/{n}.png" for n in numbers],
            "Diagnosis": ["normal" if n % 3 else "glaucoma" for n in numbers],
            "diagnosis_code": [0 if n % 3 else 1 for n in numbers],
            "PatientID": [f"P{n // 2}" for n in numbers],
            "Patient Age": [40 + n // 2 for n in numbers],
            "Sex": ["F" if n % 4 else "M" for n in numbers],
            "comment": [f"seen on day {n}" for n in numbers],
        }
    )


def write(table: pd.DataFrame, path: Path, images: list[str] | None = None) -> Path:
    for name in planted()["filename"] if images is None else images:
        (path.parent / name).parent.mkdir(parents=True, exist_ok=True)
        (path.parent / name).touch()
    path.parent.mkdir(exist_ok=True)
    table.to_csv(path, index=False, sep="\t" if path.suffix == ".tsv" else ",")
    return path


def read(guess: Guess, table: Path) -> pd.DataFrame:
    """The adapter's rows, by a configuration that was written and loaded."""
    spec: Any = load(yaml.safe_load(sketch(guess, study="mine", source=table, target=table))).datasets["mine"]
    assert isinstance(spec, TableDataset)
    listing = table.parent / "listing.tsv"
    update_listing(Path(spec.root), listing, spec.tables)
    return read_source(spec, Path(spec.root), read_listing(listing))


@pytest.mark.parametrize("name", ["labels.csv", "labels.tsv"])
def test_the_columns_of_a_table_are_found(name: str, tmp_path: Path) -> None:
    guess = guess_table(write(planted(), tmp_path / "raw" / name))
    rows, truth = read(guess, tmp_path / "raw" / name), planted()
    assert rows["label"].tolist() == truth["Diagnosis"].tolist()
    assert rows["group"].tolist() == truth["PatientID"].tolist()
    # neither a number of its own in every row, nor free text, nor the class by another name
    assert [column for column in rows if column.startswith("attr_")] == ["attr_patient_age", "attr_sex"]
    assert list(guess.counts.items()) == [("normal", 40), ("glaucoma", 20)]
    assert guess.doubts[0].startswith("'normal', 'glaucoma': fewer than 150 images")


def test_names_without_their_folder_are_found_in_it(tmp_path: Path) -> None:
    table = planted().assign(filename=[f"{n}.png" for n in range(ROWS)])
    path = write(table, tmp_path / "raw/labels.csv")
    guess = guess_table(path)
    assert guess.dataset["root"] == str(tmp_path / "raw/images")
    assert {str((tmp_path / "raw/images" / name).resolve()) for name in read(guess, path)["path"]} == {
        str((tmp_path / "raw" / name).resolve()) for name in planted()["filename"]
    }


def test_a_split_of_the_table_is_used(tmp_path: Path) -> None:
    parts = ["train", "Test", "val"] * (ROWS // 3)
    guess = guess_table(write(planted().assign(split=parts), tmp_path / "raw/labels.csv"))
    assert (guess.dataset["part"], guess.tested, guess.validated) == ("split", ROWS // 3, True)


def test_columns_that_are_named_come_before_guesses(tmp_path: Path) -> None:
    path = write(planted(), tmp_path / "raw/labels.csv")
    guess = guess_table(path, label="Sex", patient="row")
    assert (guess.dataset["label"], guess.dataset["group"]) == ("Sex", "row")
    with pytest.raises(DataError, match="no column 'sex'; the columns there: row, filename"):
        guess_table(path, label="sex")


def test_missing_images_and_labels_are_told(tmp_path: Path) -> None:
    table = planted()
    table.loc[3, "Diagnosis"] = ""
    path = write(table, tmp_path / "raw/labels.csv")
    (tmp_path / "raw/images/5.png").unlink()
    doubts = guess_table(path).doubts
    assert "1 of 60 paths name no file; these rows will be rejected as `missing`" in doubts
    assert "1 rows have no word in 'Diagnosis'; they will be rejected as `unlabelled`" in doubts


def without(*columns: str) -> pd.DataFrame:
    return planted().drop(columns=list(columns))


CLASSES = ["Diagnosis", "diagnosis_code", "Sex"]
REFUSED = {
    "no paths": (without("filename"), "no column holds names of image files"),
    "paths of elsewhere": (
        planted().assign(filename=[f"C:\\{n}.png" for n in range(ROWS)]),
        "none of its 60 paths, e.g. 'C:\\\\0.png', is that of an image below",
    ),
    "no class": (without(*CLASSES), "no column has between 2 and 20 different words"),
    "several classes": (
        without(*CLASSES).assign(x=["a", "b"] * 30, y=["c", "d"] * 30),
        "'x', 'y' might each be the class; name the one that is meant by --label",
    ),
    "one class": (planted().assign(Diagnosis="normal"), "the column 'Diagnosis' holds 'normal' alone; a study"),
    "too many": (
        without("diagnosis_code").assign(Diagnosis=[f"a|{n}" for n in range(ROWS)]),
        "60 in all: too many for classes (at most 20 are guessed); join them by hand",
    ),
    "no rows": (planted().head(0), "no row below the line of column names"),
}


@pytest.mark.parametrize("kind", REFUSED)
def test_a_table_that_cannot_be_used_is_refused_with_the_remedy(kind: str, tmp_path: Path) -> None:
    table, words = REFUSED[kind]
    with pytest.raises(DataError, match=re.escape(words)):
        guess_table(write(table, tmp_path / "raw/labels.csv"))


def test_a_spreadsheet_is_refused_with_the_remedy(tmp_path: Path) -> None:
    path = write(planted(), tmp_path / "raw/labels.csv")
    path.write_bytes(b"PK\x03\x04\xff\xfe" * 50)
    with pytest.raises(DataError, match="save it as CSV in UTF-8"):
        guess_table(path)
