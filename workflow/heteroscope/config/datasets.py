"""The schema of datasets: where images and labels come from."""

from __future__ import annotations

import re
from typing import Annotated, Literal, Self

from pydantic import AfterValidator, Field, field_validator, model_validator

from heteroscope.config.base import Closed, Identifier, Positive, Seed, Where, did_you_mean, distinct


class Balance(Closed):
    """Cut every class down to the smallest one."""

    by: str | None = Field(None, description="attribute within whose levels the classes are balanced")
    order: Literal["random", "first"] = Field("random", description="which images of the larger class stay")
    seed: Seed = Field(0, description="of the random order")


class DatasetBase(Closed):
    """What all adapters share."""

    classes: dict[str, list[str]] = Field(
        description="class name → the source's words for it; the negative class first"
    )
    match: Literal["exact", "any"] = Field(
        "exact", description="exact: the whole label is one of the words; any: one of an image's several labels is"
    )
    filter: Where = Field(
        default_factory=dict, description="attribute → allowed values or range; other rows are rejected"
    )
    duplicates: Literal["drop", "keep"] = Field("drop", description="keep only to repeat a published protocol")
    balance: Balance | None = Field(
        None, description="cut larger classes down to the smallest; without it all images stay"
    )
    scatter: Annotated[int, Field(ge=1, le=1000)] = Field(
        1, description="jobs that divide the embedding among them, for several GPUs or nodes; part of no result"
    )

    @field_validator("classes")
    @classmethod
    def _at_least_two_disjoint_classes(cls, classes: dict[str, list[str]]) -> dict[str, list[str]]:
        if len(classes) < 2:
            raise ValueError("at least two classes are needed")
        words = [word for group in classes.values() for word in group]
        if any(not group for group in classes.values()):
            raise ValueError("every class needs at least one word of the source")
        if repeated := sorted({word for word in words if words.count(word) > 1}):
            raise ValueError(f"words that stand in two classes: {', '.join(repeated)}")
        return classes

    @property
    def class_names(self) -> list[str]:
        """Class names in order; the index of a name is its integer label."""
        return list(self.classes)

    @property
    def numbers(self) -> list[str] | None:
        """Attributes of its images that may be numbers, where the entry tells; None where the source alone does."""
        return None

    @property
    def tables(self) -> list[str]:
        """Paths below the root of the tables that the adapter reads."""
        table: str | list[str] | None = getattr(self, "table", None)
        return [] if table is None else [table] if isinstance(table, str) else table


class FolderDataset(DatasetBase):
    """A sub-folder a class; the class word is the first folder under the root unless `pattern` says otherwise."""

    adapter: Literal["folder"] = Field(description="a sub-folder a class")
    root: str = Field(description="the folder, below `data_root`")
    pattern: str | None = Field(
        None,
        description="regular expression searched in the path below the root; its named groups `label`, `group` and"
        " `part` fill those columns, any other named group becomes an attribute",
    )

    @field_validator("pattern")
    @classmethod
    def _compiles(cls, pattern: str | None) -> str | None:
        try:
            re.compile(pattern or "")
        except re.error as error:
            raise ValueError(f"not a regular expression: {error}") from None
        return pattern

    @property
    def numbers(self) -> list[str]:
        """Named groups of `pattern` that become attributes."""
        return [name for name in re.compile(self.pattern or "").groupindex if name not in ("label", "group", "part")]


class LesionColumns(Closed):
    """Columns of a table with the place of an image's lesion, in pixels from the image's left and upper edge."""

    x: str = Field(description="column with the centre's distance from the left edge")
    y: str = Field(description="column with the centre's distance from the upper edge")
    radius: str = Field(description="column with the radius of a circle about the lesion")


class TableDataset(DatasetBase):
    """A CSV or TSV file with one row an image."""

    adapter: Literal["table"] = Field(description="a CSV or TSV with a row an image")
    root: str = Field(description="the folder, below `data_root`")
    table: str = Field(description="the table's path below the root")
    path: str = Field(description="column with the image's path below the root")
    label: str = Field(description="column with the label")
    group: str | None = Field(None, description="column with the patient or source")
    part: str | None = Field(None, description="column with the source's own split: train, validation or test")
    separator: str | None = Field(None, description="between several labels of one image")
    attributes: dict[str, str] = Field(default_factory=dict, description="attribute name → column")
    lesion: LesionColumns | None = Field(None, description="columns with the place of the image's lesion")

    @property
    def numbers(self) -> list[str]:
        """The attributes, and how many lesions an image has where their place is known."""
        return [*self.attributes, *(["lesions"] if self.lesion else [])]


class OdirDataset(DatasetBase):
    """ODIR-5K: `full_df.csv` and the fundus photographs; both eyes of every row."""

    adapter: Literal["odir5k"] = Field(description="ODIR-5K")
    root: str = Field(description="the folder, below `data_root`")
    table: str = Field("full_df.csv", description="its table, below the root")
    group: Literal["patient"] = Field("patient", description="what must not stand on two sides of a split")

    @property
    def numbers(self) -> list[str]:
        """What its table knows of every image that is a number."""
        return ["age"]


class NihChestDataset(DatasetBase):
    """NIH ChestX-ray14: its table of findings and the PNG files."""

    adapter: Literal["nih-cxr"] = Field(description="NIH ChestX-ray14")
    root: str = Field(description="the folder, below `data_root`")
    table: str = Field("Data_Entry_2017.csv", description="its table, below the root")
    group: Literal["patient"] = Field("patient", description="what must not stand on two sides of a split")

    @property
    def numbers(self) -> list[str]:
        """What its table knows of every image that is a number."""
        return ["age", "follow_up"]


BREAKHIS_TUMOURS = {"benign": ("A", "F", "PT", "TA"), "malignant": ("DC", "LC", "MC", "PC")}
"""The two classes of BreakHis and the codes of their subtypes, as they stand in its file names."""


class BreakHisDataset(DatasetBase):
    """BreakHis: breast tumour sections; class, subtype, patient and magnification are read from the file names."""

    adapter: Literal["breakhis"] = Field(description="BreakHis")
    root: str = Field(description="the folder, below `data_root`: the published tree, or all files in one folder")
    table: str | None = Field(None, description="`Folds.csv`, below the root; needed for `fold`")
    fold: Positive | Literal["all"] | None = Field(
        None,
        description="number of a fold of the table, whose training and test images a split with `test: source` takes;"
        " all: every row of the table is an image of its own, only to repeat a published protocol",
    )

    @model_validator(mode="after")
    def _words_and_folds(self) -> Self:
        known = {word: {word} for codes in BREAKHIS_TUMOURS.values() for word in codes}
        known |= {name: set(codes) for name, codes in BREAKHIS_TUMOURS.items()}
        words = [word for group in self.classes.values() for word in group]
        if unknown := [word for word in words if word not in known]:
            hint = did_you_mean(unknown[0], list(known))
            raise ValueError(f"classes: unknown word {unknown[0]!r}{hint}; known: {', '.join(known)}")
        subtypes = [code for word in words for code in sorted(known[word])]
        if twice := sorted({code for code in subtypes if subtypes.count(code) > 1}):
            raise ValueError(f"classes: {', '.join(twice)}: named twice, by the code and by benign or malignant")
        if (self.fold is None) != (self.table is None):
            raise ValueError("`fold` and `table` need each other: the table says which images a fold has")
        if self.fold == "all" and self.duplicates == "drop":
            raise ValueError("`fold: all` repeats a published protocol: it needs `duplicates: keep`")
        return self


class MammogramMassesDataset(DatasetBase):
    """The Mendeley collection of masses out of INbreast, MIAS and DDSM: folders "Benign Masses", "Malignant Masses"."""

    adapter: Literal["mammogram-masses"] = Field(description="the Mendeley collection of masses")
    root: str = Field(description="the folder, below `data_root`")


class InBreastDataset(DatasetBase):
    """INbreast: DICOM files and its table; the label is the BI-RADS category (`1` … `6`, `4a` …)."""

    adapter: Literal["inbreast"] = Field(description="INbreast")
    root: str = Field(description="the folder, below `data_root`")
    table: str = Field("INbreast.csv", description="its table, below the root")
    outlines: Annotated[list[str], AfterValidator(distinct)] = Field(
        default=[],
        description="names of the outlines in its XML files that are lesions, such as `Mass`; without any, places of"
        " lesions are not read",
    )

    @property
    def tables(self) -> list[str]:
        """The table, and the XML files where outlines are read."""
        return [self.table, *(["*.xml"] if self.outlines else [])]


class MiasDataset(DatasetBase):
    """MIAS: PGM files and `Info.txt`; the label is `normal`, `benign` or `malignant`."""

    adapter: Literal["mias"] = Field(description="MIAS")
    root: str = Field(description="the folder, below `data_root`")
    table: str = Field("Info.txt", description="its list of abnormalities, below the root")


class CbisDdsmDataset(DatasetBase):
    """CBIS-DDSM: DICOM files and tables of cases; the label is the pathology in the tables' words."""

    adapter: Literal["cbis-ddsm"] = Field(description="CBIS-DDSM")
    root: str = Field(description="the folder, below `data_root`")
    table: Annotated[list[str], Field(min_length=1), AfterValidator(distinct)] = Field(
        ["mass_case_description_train_set.csv", "mass_case_description_test_set.csv"],
        description="its tables, below the root, one after the other",
    )
    images: Literal["full", "cropped"] = Field(
        "full", description="full: whole mammograms, one image a view; cropped: one image an abnormality"
    )
    places: bool = Field(
        False, description="read the places of lesions on whole mammograms from their masks, which takes minutes"
    )

    @model_validator(mode="after")
    def _places_are_of_whole_mammograms(self) -> Self:
        if self.places and self.images == "cropped":
            raise ValueError("places: they are those of whole mammograms; set `images: full`, or leave `places` out")
        return self


class PhantomDataset(DatasetBase):
    """Generated fundus-like photographs with a known truth."""

    adapter: Literal["phantom"] = Field(description="generated photographs")
    classes: dict[str, list[str]] = Field(
        default_factory=lambda: {"normal": ["normal"], "disease": ["disease"]},
        description="class name → the phantom's words",
    )
    group: Literal["patient"] = Field("patient", description="what must not stand on two sides of a split")
    truth: Literal["homogeneous", "benign", "planted"] = Field(
        description="homogeneous: one site; benign: sites that look different; planted: the class cue differs too"
    )
    patients: Annotated[int, Field(ge=8)] = Field(400, description="number of patients, two images each")
    sites: Annotated[int, Field(ge=2, le=4)] = Field(2, description="number of simulated sites")
    size: Annotated[int, Field(ge=32, le=1024)] = Field(96, description="width and height of an image in pixels")
    seed: Seed = Field(0, description="of everything that is drawn")
    attributes: Annotated[list[Literal["exudates", "haemorrhages", "age"]], AfterValidator(distinct)] = Field(
        default=[],
        description="numbers that are told of every image: 1 where such lesions are drawn, else 0; the patient's age,"
        " which no image shows",
    )

    @property
    def numbers(self) -> list[str]:
        """The attributes that are numbers; site, camera, patient and eye are words."""
        return list(self.attributes)


class UnionDataset(DatasetBase):
    """The images of several datasets together, for external validation; `attr_dataset` names the source."""

    adapter: Literal["union"] = Field(description="several datasets together")
    datasets: Annotated[list[Identifier], Field(min_length=2), AfterValidator(distinct)] = Field(
        description="ids of the datasets; none may be a union itself"
    )


Dataset = Annotated[
    FolderDataset
    | TableDataset
    | OdirDataset
    | NihChestDataset
    | BreakHisDataset
    | MammogramMassesDataset
    | InBreastDataset
    | MiasDataset
    | CbisDdsmDataset
    | PhantomDataset
    | UnionDataset,
    Field(discriminator="adapter"),
]
