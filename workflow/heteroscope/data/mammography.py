"""Mammograms: the Mendeley collection of masses, INbreast, MIAS and CBIS-DDSM.

Where several lines of a table are about one image, it has one row: its label holds the words of all
lines, joined by `|` where they differ, so that `match: exact` leaves a breast with benign and malignant
lesions out. Lesions whose place is known stand in the columns `LESIONS`, lists with an entry a lesion:
pixels of the stored image, from its left and upper edge.
"""

from __future__ import annotations

import re
from collections.abc import Iterable, Sequence
from pathlib import Path, PurePosixPath
from typing import Any

import pandas as pd

from heteroscope.config import CbisDdsmDataset, InBreastDataset, MammogramMassesDataset, MiasDataset
from heteroscope.data.listing import ListedFile, is_image
from heteroscope.data.outlines import Circle, image_size, masked, outlined
from heteroscope.data.tables import LESIONS, Columns, Locator, read_csv, read_lines, source_rows
from heteroscope.errors import DataError

BOTH = "|"
MASS_FOLDERS = ("Benign Masses", "Malignant Masses")
COPY = re.compile(r"\s*\(\d+\)$")
"""The number of an augmented copy at the end of a file's stem, as the Mendeley collection writes it."""
SOURCE_OF_STEM = {
    "INbreast": re.compile(r"\d{8}(?=\D|$)"),
    "MIAS": re.compile(r"mdb\d{3}", re.I),
    "DDSM": re.compile(r"(?:\w+_)?[A-D]_\d{4}_\d(?=\D|$)"),
}
INBREAST_FINDINGS = ("Mass", "Micros", "Distortion", "Asymmetry")
MIAS_LINE = re.compile(
    r"(?P<image>mdb\d{3})\w*\s+(?P<tissue>[FGD])\s+(?P<kind>[A-Z]+)"
    r"(?:\s+(?P<severity>[BM])(?:\s+(?P<x>\d+)\s+(?P<y>\d+)\s+(?P<radius>\d+))?)?(?:\s*\*.*)?",
    re.I,
)
TISSUES = {"F": "fatty", "G": "glandular", "D": "dense"}
SEVERITIES = {"B": "benign", "M": "malignant", None: "normal"}


# --------------------------------------------------------------------------------------- Mendeley


def read_mammogram_masses(
    spec: MammogramMassesDataset,  # noqa: ARG001
    root: Path,
    listing: Sequence[ListedFile],
) -> pd.DataFrame:
    """The Mendeley collection: the label is the name of the folder, `Benign Masses` or `Malignant Masses`.

    Its files are augmented copies of masses cut out of three other collections. `attr_source` is the
    collection, where the file's name or a folder tells it. All copies of an image are one group, as
    are the two films of a patient of MIAS and the films of a case of DDSM.

    Raises:
        DataError: no image stands in a folder of these names.
    """
    rows = []
    for path in map(PurePosixPath, (file.path for file in listing)):
        label = next((name for name in MASS_FOLDERS if name in path.parts), "")
        image = COPY.sub("", path.stem)
        source, patient = _source_of_mass(image, path.parts)
        rows.append({"path": str(path), "label": label, "group": patient, "part": "", "attr_source": source})
    if not any(row["label"] for row in rows):
        raise DataError(
            f"{root}: no image stands in a folder {' or '.join(map(repr, MASS_FOLDERS))}; set the dataset's `root` to"
            " the collection's folder"
        )
    return source_rows(pd.DataFrame(rows), separator=None)


def _source_of_mass(image: str, folders: Sequence[str]) -> tuple[str | None, str]:
    """The collection that an image comes from, None where it cannot be told, and its patient."""
    for source, pattern in SOURCE_OF_STEM.items():
        if match := pattern.match(image):
            return source, _mias_patient(match[0]) if source == "MIAS" else match[0]
    named = {source for source in SOURCE_OF_STEM for folder in folders if folder == f"{source} Dataset"}
    return (named.pop() if len(named) == 1 else None), image


# --------------------------------------------------------------------------------------- INbreast


def read_inbreast(spec: InBreastDataset, root: Path, listing: Sequence[ListedFile]) -> pd.DataFrame:
    """INbreast: a row a line of its table; the label is the BI-RADS category as it stands there.

    A file's name begins with the number that the table gives, then the patient's: the published table
    has `removed` in place of patients. An image's outlines stand in the XML file of its number.

    Raises:
        DataError: an XML file cannot be read, or none has an outline of a name that `outlines` asks for.
    """
    column = Columns(read_csv(root / spec.table), root / spec.table)
    # spreadsheets write whole numbers as 22678622.0
    number, category = (column(name).str.removesuffix(".0") for name in ("File Name", "Bi-Rads"))
    images, outlines = (
        Locator([file for file in listing if is_image(file.path) == wanted], key=_inbreast_number)
        for wanted in (True, False)
    )
    paths = [images(value) for value in number]
    frame = pd.DataFrame(
        {
            "path": paths,
            "label": category,
            "group": [_inbreast_patient(*pair) for pair in zip(column("Patient ID"), paths, strict=True)],
            "part": "",
            "attr_density": column("ACR").str.removesuffix(".0"),
            "attr_laterality": column("Laterality"),
            "attr_view": column("View"),
        }
    )
    for name in INBREAST_FINDINGS:
        if name in column.table:
            frame[f"attr_{name.lower()}"] = column(name).map(lambda mark: "yes" if mark else "no")
    if spec.outlines:
        circles = _inbreast_circles(spec, root, [outlines(value) for value in number])
        for place, name in enumerate(LESIONS):
            frame[name] = [[circle[place] for circle in some] for some in circles]
    return source_rows(frame, separator=None)


def _inbreast_circles(spec: InBreastDataset, root: Path, files: Sequence[str]) -> list[list[Circle]]:
    """The circles about each image's lesions, of the file with its outlines; none where that is no XML file."""
    circles: list[list[Circle]] = []
    there: set[str] = set()
    for file in files:
        found, names = outlined(root / file, spec.outlines) if file.lower().endswith(".xml") else ([], set())
        circles.append(found)
        there |= names
    absent = [name for name in spec.outlines if name.lower() not in {known.lower() for known in there}]
    if absent:
        raise DataError(
            f"{root}: no XML file of an image in {spec.table} has outlines named {', '.join(map(repr, absent))}; names"
            f" there: {', '.join(sorted(there)) or 'none'}; correct the dataset's `outlines`"
        )
    return circles


def _inbreast_number(name: str) -> str:
    """The number of an image that a file's name begins with."""
    return name.split(".")[0].split("_")[0]


def _inbreast_patient(told: str, path: str) -> str:
    """The patient by the table or else by the file's name; empty where neither tells."""
    if told and told.lower() != "removed":
        return told
    parts = PurePosixPath(path).stem.split("_")
    return parts[1] if len(parts) > 2 else ""


# ------------------------------------------------------------------------------------------- MIAS


def read_mias(spec: MiasDataset, root: Path, listing: Sequence[ListedFile]) -> pd.DataFrame:
    """MIAS: a row an image of `Info.txt`; the label is `normal`, `benign` or `malignant`.

    Two consecutive numbers are the films of one patient. Circles about lesions are given from the lower
    left corner and turned to count from the upper one.

    Raises:
        DataError: a line that begins as an image cannot be read, or there is none.
    """
    lines = pd.DataFrame(_mias_lines(root / spec.table))
    locate = Locator(listing, key=lambda name: name.split(".")[0].lower())
    lines["path"] = lines["image"].map(locate)
    rows = _one_row_an_image(lines, joined=["label", "attr_abnormality"], listed=LESIONS)
    # of an image that cannot be read, as decoding will find out, no place is known
    heights = [(image_size(root / path) or (0, 0))[1] for path in rows["path"]]
    for name in LESIONS:
        rows[name] = [values if height else [] for values, height in zip(rows[name], heights, strict=True)]
    rows["lesion_y"] = [[height - y for y in values] for values, height in zip(rows["lesion_y"], heights, strict=True)]
    return source_rows(rows.drop(columns="image"), separator=BOTH)


def _mias_lines(path: Path) -> Iterable[dict[str, object]]:
    """The lines of `Info.txt` that are about an image; the explanations around them are passed over."""
    found = 0
    for number, line in enumerate(read_lines(path), 1):
        if not re.match(r"mdb\d", line, re.I):
            continue
        match = MIAS_LINE.fullmatch(line.strip())
        kind = match["kind"].upper() if match else ""
        if match is None or (kind == "NORM") != (match["severity"] is None):
            raise DataError(
                f"{path}: line {number} cannot be read: {line.strip()!r}; expected image, tissue (F, G, D),"
                " abnormality, severity (B, M), x, y, radius"
            )
        found += 1
        severity = match["severity"] and match["severity"].upper()
        image = match["image"].lower()
        yield {
            "image": image,
            "label": SEVERITIES[severity],
            "group": _mias_patient(image),
            "part": "",
            "attr_density": TISSUES[match["tissue"].upper()],
            "attr_abnormality": None if kind == "NORM" else kind,
            "attr_laterality": "right" if int(image[3:]) % 2 else "left",
        } | {name: _number(match[name.removeprefix("lesion_")]) for name in LESIONS}
    if not found:
        raise DataError(f"{path}: no line begins with an image of MIAS (mdb001 …); name its list in `table`")


def _mias_patient(image: str) -> str:
    """The pair of films, left and right, that an image belongs to."""
    first = (int(image[3:]) - 1) // 2 * 2 + 1
    return f"mdb{first:03d}-{first + 1:03d}"


def _number(text: str | None) -> float | None:
    return None if text is None else float(text)


# -------------------------------------------------------------------------------------- CBIS-DDSM


def read_cbis_ddsm(spec: CbisDdsmDataset, root: Path, listing: Sequence[ListedFile]) -> pd.DataFrame:
    """CBIS-DDSM: a row a mammogram, or a row a cropped abnormality; the label is the pathology in its words.

    A file is found by the first folder of the path that the table gives, such as
    `Mass-Training_P_00001_LEFT_CC`, since programs that fetch the collection name the rest differently.
    A folder of an abnormality holds its crop and its mask, which some lines confuse: the crop is the
    smaller file. Places of lesions are those of the masks that are as large as their mammogram.
    """
    below = _by_folder(listing)
    lines = pd.concat([_cbis_lines(spec, root, table, below) for table in spec.table], ignore_index=True)
    if spec.images == "full":
        lines = _one_row_an_image(lines, joined=["label", "attr_abnormality"], listed=LESIONS if spec.places else ())
    return source_rows(lines, separator=BOTH)


def _cbis_lines(spec: CbisDdsmDataset, root: Path, table: str, below: dict[str, list[ListedFile]]) -> pd.DataFrame:
    column = Columns(read_csv(root / table), root / table)
    named = column("image file path" if spec.images == "full" else "cropped image file path")
    folders = [PurePosixPath(path).parts[0] if path else "" for path in named]
    found = [min(below.get(folder, []), key=lambda file: (file.size, file.path), default=None) for folder in folders]
    lines = pd.DataFrame(
        {
            "path": [file.path if file else name for file, name in zip(found, named, strict=True)],
            "label": column("pathology"),
            "group": column("patient_id"),
            "part": ["test" if "-Test_" in folder else "train" for folder in folders],
            "attr_density": column("breast_density", "breast density"),
            "attr_laterality": column("left or right breast"),
            "attr_view": column("image view"),
            "attr_abnormality": column("abnormality type"),
        }
    )
    if spec.places:
        masks = [_mask(path, below) for path in column("ROI mask file path")]
        pairs = zip(masks, lines["path"], strict=True)
        circles = [masked(root / mask, root / path) if mask else None for mask, path in pairs]
        for place, name in enumerate(LESIONS):
            lines[name] = [None if circle is None else circle[place] for circle in circles]
    return lines


def _mask(named: str, below: dict[str, list[ListedFile]]) -> str:
    """The larger file in the folder of an abnormality; empty where there is none."""
    files = below.get(PurePosixPath(named).parts[0], []) if named else []
    return max(files, key=lambda file: (file.size, file.path)).path if files else ""


def _by_folder(listing: Sequence[ListedFile]) -> dict[str, list[ListedFile]]:
    """Name of a folder → the files below all folders of that name."""
    below: dict[str, list[ListedFile]] = {}
    for file in listing:
        for folder in PurePosixPath(file.path).parts[:-1]:
            below.setdefault(folder, []).append(file)
    return below


# ----------------------------------------------------------------------------------------- shared


def _one_row_an_image(lines: pd.DataFrame, *, joined: Sequence[str], listed: Sequence[str]) -> pd.DataFrame:
    """The lines of an image as one row, in the order of the first ones.

    Args:
        lines: with a column `path`.
        joined: columns whose different words stand side by side.
        listed: columns whose numbers become a list; of all others the first line's value stays.
    """
    how: dict[str, Any] = dict.fromkeys(lines.columns.drop("path"), "first")
    how |= dict.fromkeys(joined, _side_by_side) | dict.fromkeys(listed, lambda values: values.dropna().tolist())
    return lines.groupby("path", sort=False, as_index=False).agg(how)


def _side_by_side(words: pd.Series) -> str | None:
    return BOTH.join(sorted(set(words.dropna()))) or None
