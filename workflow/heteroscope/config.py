"""The one schema of the configuration.

Every object is closed: an unknown key is an error. `load` turns the raw mapping that Snakemake
read into a `Config`, or raises `ConfigError` with one line a problem, each naming the key's path,
the value and what is allowed. A stage receives one entry as JSON and parses it with the same model.
"""

from __future__ import annotations

import difflib
import json
import re
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Annotated, Any, Literal, Self, TypeVar

from pydantic import (
    AfterValidator,
    BaseModel,
    ConfigDict,
    Field,
    TypeAdapter,
    ValidationError,
    field_validator,
    model_validator,
)

from heteroscope.errors import ConfigError
from heteroscope.model_names import MODELS, SMALL_CNN, TORCHVISION_WEIGHTS, unknown_name

NO_AUGMENTATION = "none"
FUSION = "+"

Identifier = Annotated[str, Field(pattern=r"^[a-z0-9][a-z0-9-]*$")]
FusionIdentifier = Annotated[str, Field(pattern=r"^[a-z0-9][a-z0-9-]*(\+[a-z0-9][a-z0-9-]*)*$")]
Fraction = Annotated[float, Field(ge=0, lt=1)]
Seed = Annotated[int, Field(ge=0, lt=2**32)]
Positive = Annotated[int, Field(ge=1)]


class Closed(BaseModel):
    """A configuration object that refuses unknown keys and changes."""

    model_config = ConfigDict(extra="forbid", frozen=True, protected_namespaces=(), allow_inf_nan=False)

    @model_validator(mode="before")
    @classmethod
    def _a_truth_value_is_no_number(cls, raw: Any) -> Any:
        # YAML reads `on` and `yes` as true, which Python would take for 1
        for key, value in raw.items() if isinstance(raw, Mapping) else ():
            if isinstance(value, bool) and key in cls.model_fields and cls.model_fields[key].annotation is not bool:
                raise ValueError(f"{key}: {value}: this key takes no truth value (YAML reads on, yes, off, no as such)")
        return raw


def _distinct(values: list[str]) -> list[str]:
    if repeated := sorted({value for value in values if values.count(value) > 1}):
        raise ValueError(f"named twice: {', '.join(repeated)}")
    return values


# --------------------------------------------------------------------------------------- datasets


class Range(Closed):
    """A closed interval of a numeric attribute; a missing end is open."""

    min: float | None = Field(None, description="smallest allowed value")
    max: float | None = Field(None, description="largest allowed value")

    @model_validator(mode="after")
    def _not_empty(self) -> Self:
        if self.min is not None and self.max is not None and self.min > self.max:
            raise ValueError(f"no value lies between min: {self.min:g} and max: {self.max:g}")
        return self


Condition = Annotated[list[str | int | float], Field(min_length=1)] | Range
Where = dict[str, Condition]


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


class OdirDataset(DatasetBase):
    """ODIR-5K: `full_df.csv` and the fundus photographs; both eyes of every row."""

    adapter: Literal["odir5k"] = Field(description="ODIR-5K")
    root: str = Field(description="the folder, below `data_root`")
    table: str = Field("full_df.csv", description="its table, below the root")
    group: Literal["patient"] = Field("patient", description="what must not stand on two sides of a split")


class NihChestDataset(DatasetBase):
    """NIH ChestX-ray14: its table of findings and the PNG files."""

    adapter: Literal["nih-cxr"] = Field(description="NIH ChestX-ray14")
    root: str = Field(description="the folder, below `data_root`")
    table: str = Field("Data_Entry_2017.csv", description="its table, below the root")
    group: Literal["patient"] = Field("patient", description="what must not stand on two sides of a split")


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


class UnionDataset(DatasetBase):
    """The images of several datasets together, for external validation; `attr_dataset` names the source."""

    adapter: Literal["union"] = Field(description="several datasets together")
    datasets: Annotated[list[Identifier], Field(min_length=2), AfterValidator(_distinct)] = Field(
        description="ids of the datasets; none may be a union itself"
    )


Dataset = Annotated[
    FolderDataset | TableDataset | OdirDataset | NihChestDataset | PhantomDataset | UnionDataset,
    Field(discriminator="adapter"),
]


# ------------------------------------------------------------------------- pixels, splits, views


class Pixels(Closed):
    """How an image file becomes an array."""

    size: Annotated[int, Field(ge=8, le=4096)] = Field(224, description="width and height in pixels")
    resize: Literal["squash", "pad", "crop"] = Field(
        "squash", description="squash: to a square, ratio lost; pad: with black; crop: the middle square"
    )
    channels: Literal[1, 3] = Field(3, description="3 for colour, 1 for grey")
    dtype: Literal["uint8"] = Field("uint8", description="how a value is stored")
    channel_order: Literal["rgb", "bgr"] = Field("rgb", description="bgr only to repeat a published protocol")


class TestWhere(Closed):
    """The test set is every image that meets a condition on attributes."""

    __test__ = False  # not a test class for pytest
    where: Where = Field(description="attribute → allowed values or range of the images that test")


class Shuffle(Closed):
    """The published order of rows: positive class first, then by attribute, shuffled by pandas."""

    by: str = Field(description="attribute that orders the rows within a class")
    seed: Seed = Field(description="of the shuffle")


class Split(Closed):
    """Which images train, select, test, and train the backbone. Shares are of all images."""

    test: Annotated[float, Field(gt=0, lt=1)] | TestWhere | Literal["source"] | None = Field(
        0.2, description="a share, a condition (`where`), or `source`: the split that the source gives"
    )
    folds: Annotated[int, Field(ge=2, le=50)] | None = Field(None, description="k-fold instead of `test`: ids {id}-1 …")
    validation: Fraction = Field(0.15, description="share that selects the epoch")
    backbone: Fraction = Field(0.0, description="share B on which a study trains its own backbone")
    stratify: Literal["label", "none"] = Field("label", description="label: the same class shares in every part")
    group: Literal["patient", "none"] = Field("patient", description="patient: no patient stands in two parts")
    seed: Seed = Field(0, description="of the division")
    shuffle: Shuffle | None = Field(None, description="only to repeat a published protocol; needs group: none")

    @model_validator(mode="after")
    def _consistent(self) -> Self:
        if (self.folds is None) == (self.test is None):
            raise ValueError("exactly one of `test` and `folds` is needed (set `test: null` beside `folds`)")
        share = (self.test if isinstance(self.test, float) else 0) + self.validation + self.backbone
        if self.folds:
            share += 1 / self.folds
        if share >= 1:
            raise ValueError(f"test, validation and backbone leave nothing to train on (their shares sum to {share:g})")
        if self.shuffle and (self.group != "none" or not isinstance(self.test, float)):
            raise ValueError("`shuffle` repeats a published split: it needs `group: none` and a share for `test`")
        return self


class Augmentation(Closed):
    """Augmented copies (views) of training images, each seeded by image and view."""

    copies: Positive = Field(1, description="augmented copies of an image")
    first: Positive | None = Field(
        None, description="only the first so many training rows, positive class first (a published protocol)"
    )
    rotation: Annotated[float, Field(ge=0, le=180)] = Field(0.0, description="degrees, drawn from ±")
    shift: Fraction = Field(0.0, description="share of width and height, drawn from ±")
    shear: Annotated[float, Field(ge=0, lt=90)] = Field(0.0, description="degrees, drawn from ±")
    zoom: Fraction = Field(0.0, description="factor drawn from 1 ± zoom")
    flip: bool = Field(False, description="mirror left and right with probability one half")
    fill: Literal["nearest", "reflect", "black"] = Field("nearest", description="what stands beyond the image's edge")
    seed: Seed = Field(0, description="with image and view, of what is drawn")


# -------------------------------------------------------------------------------------- backbones


class Finetune(Closed):
    """How a study trains its own backbone before it is used as a frozen one."""

    share: Literal["backbone", "train"] = Field(
        "backbone", description="the split's share B; `train` makes the verdict not assessable"
    )
    initial: str = Field("random", description="weights to start from: random, a torchvision weight name, or a file")
    augmentation: str = Field(NO_AUGMENTATION, description="id of an augmentation drawn anew each epoch, or none")
    optimizer: Literal["adam", "sgd"] = Field("adam", description="optimizer")
    learning_rate: Annotated[float, Field(gt=0)] = Field(0.001, description="its learning rate")
    weight_decay: Annotated[float, Field(ge=0)] = Field(0.0, description="its weight decay")
    batch_size: Positive = Field(32, description="images a step")
    epochs: Positive = Field(10, description="most epochs")
    patience: Positive = Field(3, description="epochs without improvement before it stops")
    held_out: Annotated[float, Field(gt=0, lt=1)] = Field(
        0.2, description="share of the patients that selects the epoch"
    )
    seed: Seed = Field(0, description="of initialisation, order and held-out patients")


class Backbone(Closed):
    """A network that turns pixels into an embedding."""

    model: str = Field(description="a torchvision classification model's name, or small-cnn")
    weights: str = Field(description="a torchvision weight name, a file, `random`, or `trained` (needs `finetune`)")
    pooling: Literal["avg", "flatten"] = Field(
        "avg", description="avg: penultimate activations; flatten: last feature map"
    )
    layer: str | None = Field(None, description="a named module instead of the last one")
    pixels: Identifier = Field(description="id of the decoding that the network sees")
    finetune: Finetune | None = Field(None, description="how the study trains it; only with `weights: trained`")
    seed: Seed = Field(0, description="of random weights")
    batch_size: Positive = Field(32, description="images a step of embedding")

    @field_validator("model")
    @classmethod
    def _known_model(cls, model: str) -> str:
        if model not in MODELS:
            raise ValueError(unknown_name("model", model, MODELS))
        return model

    @model_validator(mode="after")
    def _trained_has_a_recipe(self) -> Self:
        if (self.weights == "trained") != (self.finetune is not None):
            raise ValueError("`weights: trained` and a `finetune` recipe go together")
        if self.finetune and self.finetune.initial == "trained":
            raise ValueError("finetune.initial: training starts from random, a published weight name, or a file")
        key = "finetune.initial" if self.finetune else "weights"
        _check_weights(self.model, key, self.finetune.initial if self.finetune else self.weights)
        return self


def _check_weights(model: str, key: str, weights: str) -> None:
    """Refuse what is written like a published weight name and is none; which model has it, torchvision knows."""
    if re.fullmatch(r"IMAGENET\w*|DEFAULT", weights, re.IGNORECASE) is None:
        return
    if weights not in TORCHVISION_WEIGHTS:
        raise ValueError(f"{key}: {unknown_name('published weights', weights, TORCHVISION_WEIGHTS)}")
    if model == SMALL_CNN:
        raise ValueError(f"{key}: {weights!r}: {SMALL_CNN} has no published weights; use random, trained, or a file")


# ------------------------------------------------------------------------------------- experiment


class Reduction(Closed):
    """What happens to embeddings before they are clustered; fitted on training rows."""

    method: Literal["pca", "none"] = Field("none", description="pca or none")
    components: Positive | None = Field(None, description="number of principal components")
    variance: Annotated[float, Field(gt=0, lt=1)] | None = Field(None, description="share of variance to keep")

    @model_validator(mode="after")
    def _pca_has_one_size(self) -> Self:
        if self.method == "pca" and (self.components is None) == (self.variance is None):
            raise ValueError("pca needs exactly one of `components` and `variance`")
        if self.method == "none" and (self.components or self.variance):
            raise ValueError("`components` and `variance` belong to method pca")
        return self


class Clustering(Closed):
    """How training embeddings are clustered."""

    method: Literal["kmeans", "ward", "gmm"] = Field("kmeans", description="kmeans, ward or gmm (Gaussian mixture)")
    k: Annotated[int, Field(ge=2, le=100)] = Field(description="number of clusters")
    reduce: Reduction = Field(Reduction(), description="what happens to embeddings before")
    seed: Seed = Field(0, description="of the starting points")


class Head(Closed):
    """The classifier that is trained on an embedding."""

    trainable: Literal["head"] = Field("head", description="what is trained: the classifier on a frozen backbone")
    standardize: bool = Field(
        True,
        description="give every feature mean 0 and spread 1 over the training rows, so that the heads of small"
        " clusters, which take fewer steps, converge too; the published protocol did not",
    )
    optimizer: Literal["adam", "sgd"] = Field("adam", description="optimizer")
    learning_rate: Annotated[float, Field(gt=0)] = Field(0.001, description="its learning rate")
    weight_decay: Annotated[float, Field(ge=0)] = Field(0.0, description="its weight decay")
    batch_size: Positive = Field(8, description="images a step")
    epochs: Positive = Field(10, description="most epochs")
    patience: Positive = Field(3, description="epochs without improvement before it stops")
    monitor: Literal["accuracy", "auc", "loss"] = Field("accuracy", description="what selects the epoch")
    selection: Literal["validation", "test"] = Field(
        "validation", description="which images choose the epoch; `test` is the published, optimistic protocol"
    )
    seeds: Positive = Field(5, description="trainings a draw; metrics are their means")


Arm = Literal["size", "balanced", "labels"]


class Controls(Closed):
    """The random arms that the clusters are compared with."""

    arms: Annotated[list[Arm], AfterValidator(_distinct)] = Field(
        default=["size", "balanced", "labels"], description="which controls are run; the verdict needs `labels`"
    )
    repeats: Positive = Field(200, description="random partitions of the arms size and balanced")
    draws: Positive = Field(399, description="redrawn label sets of the arm labels")
    seed: Seed = Field(0, description="of everything that is drawn")
    views: Literal["with-image", "samples"] = Field(
        "with-image", description="samples: an augmented copy is drawn as an image of its own (a published protocol)"
    )
    min_class: Positive = Field(10, description="fewest training images of each class in a cluster that is compared")
    min_test: Positive = Field(10, description="fewest test images in a cluster that is compared")

    @field_validator("arms")
    @classmethod
    def _complete(cls, arms: list[Arm]) -> list[Arm]:
        if missing := {"size", "balanced"} - set(arms):
            raise ValueError(
                f"{', '.join(sorted(missing))}: every cluster's job runs this arm; list it (labels is optional)"
            )
        return arms


Metric = Literal["accuracy", "auc", "sensitivity", "specificity", "precision", "recall", "f1"]


class Primary(Closed):
    """The one backbone and clustering that the verdict rests on."""

    backbone: FusionIdentifier = Field(description="one of the study's backbones")
    clustering: Identifier = Field(description="one of the study's clusterings")


class Study(Closed):
    """One question: do the clusters of this dataset change what a head learns?"""

    title: str = Field("", description="heading of the report")
    dataset: Identifier = Field(description="id of a dataset")
    split: Identifier = Field(description="id of a split; with folds `{id}-1` …")
    augmentation: Identifier = Field(
        NO_AUGMENTATION, description="id of an augmentation of the training images, or none"
    )
    backbones: Annotated[list[FusionIdentifier], Field(min_length=1), AfterValidator(_distinct)] = Field(
        description="ids of backbones; `a+b` joins the embeddings of two"
    )
    clusterings: Annotated[list[Identifier], Field(min_length=1), AfterValidator(_distinct)] = Field(
        description="ids of clusterings"
    )
    head: Identifier = Field(description="id of a head")
    controls: Identifier = Field(description="id of controls")
    metric: Metric = Field("accuracy", description="metric of the published comparison")
    level: Annotated[float, Field(gt=0, lt=0.5)] = Field(
        0.05, description="the verdict's level: different where p is at most this"
    )
    margin: Annotated[float, Field(gt=0, lt=1)] = Field(0.05, description="accuracy gain that would not matter")
    primary: Primary = Field(
        description="the one analysis that the verdict rests on; all others are sensitivity analyses"
    )

    @model_validator(mode="after")
    def _primary_is_one_of_them(self) -> Self:
        for axis, value, known in (
            ("backbone", self.primary.backbone, self.backbones),
            ("clustering", self.primary.clustering, self.clusterings),
        ):
            if value not in known:
                raise ValueError(f"primary.{axis}: {value!r} is not one of this study's {axis}s: {', '.join(known)}")
        return self


class StudyContext(Closed):
    """A study with every entry that it names, as the comparison and the report receive it."""

    id: Identifier
    study: Study
    dataset: Dataset
    split: Split
    augmentation: Augmentation | None
    backbones: dict[Identifier, Backbone]
    clusterings: dict[Identifier, Clustering]
    head: Head
    controls: Controls


# ------------------------------------------------------------------------------------------ whole


class Config(Closed):
    """A whole configuration: the axes by id, and the studies that combine them."""

    data_root: str = Field(".", description="dataset roots are relative to it")
    threads: Positive = Field(2, description="threads of numerical work; part of the result, so never the machine's")
    datasets: dict[Identifier, Dataset] = Field(description="where images and labels come from")
    pixels: dict[Identifier, Pixels] = Field(description="how images are decoded")
    splits: dict[Identifier, Split] = Field(description="which images train, select and test")
    augmentations: dict[Identifier, Augmentation] = Field(
        default_factory=dict, description="augmented copies of training images"
    )
    backbones: dict[Identifier, Backbone] = Field(description="networks that embed")
    clusterings: dict[Identifier, Clustering] = Field(description="how embeddings are clustered")
    heads: dict[Identifier, Head] = Field(description="classifiers on embeddings")
    controls: dict[Identifier, Controls] = Field(description="random arms")
    studies: dict[Identifier, Study] = Field(description="what is asked; a report each")

    @model_validator(mode="after")
    def _references_exist(self) -> Self:
        if problems := [
            *_unknown_references(self),
            *_union_problems(self),
            *_split_problems(self),
            *_protocol_problems(self),
        ]:
            raise ValueError("\n".join(problems))
        return self

    def splits_by_id(self) -> dict[str, tuple[Split, int | None]]:
        """Split id as it stands in paths → the split and its fold (from 1), or None without folds."""
        expanded: dict[str, tuple[Split, int | None]] = {}
        for name, split in self.splits.items():
            if split.folds is None:
                expanded[name] = (split, None)
            else:
                expanded.update({f"{name}-{fold}": (split, fold) for fold in range(1, split.folds + 1)})
        return expanded


def _references(config: Config) -> Iterator[tuple[str, str, list[str]]]:
    """Every place that names an id: (key path, id, allowed ids)."""
    augmentations = [*config.augmentations, NO_AUGMENTATION]
    for name, backbone in config.backbones.items():
        yield f"backbones.{name}.pixels", backbone.pixels, list(config.pixels)
        if backbone.finetune:
            yield f"backbones.{name}.finetune.augmentation", backbone.finetune.augmentation, augmentations
    for name, dataset in config.datasets.items():
        if isinstance(dataset, UnionDataset):
            for index, member in enumerate(dataset.datasets):
                yield f"datasets.{name}.datasets.{index}", member, list(config.datasets)
    for name, study in config.studies.items():
        yield f"studies.{name}.dataset", study.dataset, list(config.datasets)
        yield f"studies.{name}.split", study.split, list(config.splits_by_id())
        yield f"studies.{name}.augmentation", study.augmentation, augmentations
        yield f"studies.{name}.head", study.head, list(config.heads)
        yield f"studies.{name}.controls", study.controls, list(config.controls)
        for index, fused in enumerate(study.backbones):
            for part in fused.split(FUSION):
                yield f"studies.{name}.backbones.{index}", part, list(config.backbones)
        for index, clustering in enumerate(study.clusterings):
            yield f"studies.{name}.clusterings.{index}", clustering, list(config.clusterings)


def _unknown_references(config: Config) -> list[str]:
    return [
        f"{path}: unknown id {value!r}{_did_you_mean(value, allowed)}; known: {', '.join(allowed) or 'none'}"
        for path, value, allowed in _references(config)
        if value not in allowed
    ]


def _union_problems(config: Config) -> list[str]:
    return [
        f"datasets.{name}.datasets.{index}: {member!r} is a union itself; name its datasets instead"
        for name, dataset in config.datasets.items()
        if isinstance(dataset, UnionDataset)
        for index, member in enumerate(dataset.datasets)
        if isinstance(config.datasets.get(member), UnionDataset)
    ]


def _split_problems(config: Config) -> list[str]:
    """Names that two splits would share once folds are expanded, and the reserved id of no augmentation."""
    problems = []
    if NO_AUGMENTATION in config.augmentations:
        problems.append(f"augmentations.{NO_AUGMENTATION}: this id is reserved for no augmentation")
    for name, split in config.splits.items():
        problems += [
            f"splits.{other}: collides with the folds of splits.{name} ({name}-1 …)"
            for other in config.splits
            if split.folds and re.fullmatch(rf"{re.escape(name)}-\d+", other)
        ]
    return problems


def _protocol_problems(config: Config) -> list[str]:
    """Combinations of a study that cannot run."""
    problems = []
    splits = config.splits_by_id()
    for name, study in config.studies.items():
        if study.split not in splits or study.head not in config.heads:
            continue
        split, head = splits[study.split][0], config.heads[study.head]
        if head.selection == "validation" and split.validation == 0:
            problems.append(
                f"studies.{name}: head {study.head!r} selects on validation images, but split {study.split!r} has"
                " validation: 0; give the split a validation share (or the head selection: test, which is optimistic)"
            )
        for part in (part for fused in study.backbones for part in fused.split(FUSION)):
            backbone = config.backbones.get(part)
            if backbone and backbone.finetune and backbone.finetune.share == "backbone" and split.backbone == 0:
                problems.append(
                    f"studies.{name}: backbone {part!r} is trained on the split's backbone share, but split"
                    f" {study.split!r} has backbone: 0"
                )
    return problems


# ---------------------------------------------------------------------------------------- parsing

Model = TypeVar("Model")


def load(raw: Mapping[str, Any]) -> Config:
    """Check a raw configuration.

    Raises:
        ConfigError: with one line a problem: key path, value, what is allowed.
    """
    return _validate(
        TypeAdapter(Config), dict(raw) if isinstance(raw, Mapping) else raw, "the configuration cannot be used"
    )


def parse(kind: Any, text: str) -> Any:
    """One configuration entry from the JSON text that a stage receives.

    Raises:
        ConfigError: with one line a problem.
    """
    try:
        raw = json.loads(text)
    except json.JSONDecodeError as error:
        raise ConfigError(f"not JSON: {error}: {text[:80]!r}") from None
    return _validate(TypeAdapter(kind), raw, "the specification cannot be used")


def dump(entry: BaseModel | None) -> str:
    """The JSON text of a configuration entry, with every default written out; the order of classes is kept."""
    return json.dumps(entry.model_dump(mode="json") if entry else None)


def _validate(adapter: TypeAdapter[Model], raw: Any, headline: str) -> Model:
    try:
        return adapter.validate_python(raw)
    except ValidationError as error:
        problems = _without_other_kinds([Problem.of(dict(details), raw) for details in error.errors()])
        lines = [line for problem in problems for line in problem.explain()]
        raise ConfigError("\n".join([f"{headline}:", *(f"  {line}" for line in lines)])) from None


@dataclass(frozen=True)
class Problem:
    """One pydantic error.

    Attributes:
        location: keys and list positions that lead to it in the file.
        kind: pydantic's name of it.
        message: pydantic's sentence.
        value: what stands there.
    """

    location: tuple[str, ...]
    kind: str
    message: str
    value: Any

    @classmethod
    def of(cls, details: dict[str, Any], raw: Any) -> Self:
        """From one entry of `ValidationError.errors()` on a raw value."""
        location = tuple(str(part) for part in _real_path(details["loc"], raw, missing=details["type"] == "missing"))
        # a key of a mapping that is no text: pydantic says so in two ways
        kind = (
            "invalid_key" if (details["loc"][-1:], details["type"]) == (("[key]",), "string_type") else details["type"]
        )
        return cls(location, kind, str(details["msg"]).removeprefix("Value error, "), details["input"])

    def explain(self) -> list[str]:
        """Lines that name the key's path, the value and what is allowed."""
        path = ".".join(self.location)
        if self.kind == "extra_forbidden":
            return [f"{path}: unknown key{_did_you_mean(self.location[-1], _known_keys(list(self.location[:-1])))}"]
        if self.kind == "missing":
            return [f"{path}: this key is required"]
        if self.kind == "value_error":
            return [f"{path}{self._joint(line)}{line}" for line in self.message.split("\n")]
        message = f"{self.message[0].lower()}{self.message[1:]}"
        if self.kind == "string_pattern_mismatch":
            message = "an id holds lower-case letters, digits and hyphens only"
        if self.kind == "invalid_key":
            message = "a key is text: put what YAML reads as a number or a truth value (on, yes) in quotes"
        return [f"{path or 'the whole'}: {_shown(self.value)}: {message}"]

    def _joint(self, line: str) -> str:
        """What stands between the path and a line: a dot where the line goes on with a key of the object."""
        if not self.location:
            return ""
        key = re.match(r"(\w+)[\w.]*: ", line)
        return "." if key and key[1] in _known_keys(list(self.location)) else ": "


OTHER_KINDS = re.compile(r"(list|dict|model|model_attributes|float|int|string|bool)_(type|parsing)|literal_error")


def _without_other_kinds(problems: list[Problem]) -> list[Problem]:
    """Without the complaints of those members of a union that another member understood better."""
    understood = [problem.location for problem in problems if not OTHER_KINDS.fullmatch(problem.kind)]
    return [
        problem
        for problem in problems
        if not OTHER_KINDS.fullmatch(problem.kind)
        or not any(location[: len(problem.location)] == problem.location for location in understood)
    ]


def _real_path(location: tuple[Any, ...], raw: Any, *, missing: bool) -> Iterator[Any]:
    """The location without the names of union members, which stand in no file."""
    node = raw
    for index, part in enumerate(location):
        if isinstance(node, list) and isinstance(part, int):
            yield part
            node = node[part] if part < len(node) else None
        # pydantic names the keys true, false and null 1, 0 and "None"
        elif isinstance(node, Mapping) and (keys := [key for key in node if key == part or str(key) == part]):
            yield keys[0]
            node = node[keys[0]]
        elif missing and index == len(location) - 1:
            yield part


def _known_keys(location: list[str]) -> list[str]:
    """Keys that the object at a location may have, for a suggestion."""
    sections: dict[str, list[type[BaseModel]]] = {
        "datasets": [
            FolderDataset,
            TableDataset,
            OdirDataset,
            NihChestDataset,
            PhantomDataset,
            UnionDataset,
            Balance,
            Range,
        ],
        "pixels": [Pixels],
        "splits": [Split, TestWhere, Shuffle, Range],
        "augmentations": [Augmentation],
        "backbones": [Backbone, Finetune],
        "clusterings": [Clustering, Reduction],
        "heads": [Head],
        "controls": [Controls],
        "studies": [Study, Primary],
    }
    models: list[type[BaseModel]] = sections.get(location[0], []) if location else [Config]
    return sorted({key for model in models for key in model.model_fields})


def _did_you_mean(value: str, allowed: list[str]) -> str:
    close = difflib.get_close_matches(value, allowed, n=1)
    return f" (did you mean {close[0]!r}?)" if close else ""


def _shown(value: Any) -> str:
    text = repr(value)
    return text if len(text) <= 80 else f"{text[:77]}..."


def dataset_root(config: Config, dataset: str) -> Path | None:
    """The folder of a dataset's files, or None where it is generated or made of other datasets."""
    root = getattr(config.datasets[dataset], "root", None)
    return None if root is None else Path(config.data_root) / root
