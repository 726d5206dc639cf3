"""The schema of clusterings, heads, controls and studies."""

from __future__ import annotations

from typing import Annotated, Literal, Self

from pydantic import AfterValidator, Field, field_validator, model_validator

from heteroscope.config.base import NO_AUGMENTATION, Closed, FusionIdentifier, Identifier, Positive, Seed, distinct
from heteroscope.config.data import Augmentation, Split
from heteroscope.config.datasets import Dataset
from heteroscope.config.networks import Backbone


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
    loss: Literal["cross-entropy", "focal"] = Field(
        "cross-entropy", description="focal: images that are called right already count less"
    )
    gamma: Annotated[float, Field(ge=0)] = Field(2.0, description="of the focal loss; 0 is cross-entropy")
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


Arm = Literal["size", "balanced", "labels", "gaussian"]


class Controls(Closed):
    """The random arms that the clusters are compared with."""

    arms: Annotated[list[Arm], AfterValidator(distinct)] = Field(
        default=["size", "balanced", "labels", "gaussian"],
        description="which controls are run; the verdict needs `labels`",
    )
    repeats: Positive = Field(
        200, description="random partitions of the arms size and balanced, and data sets of gaussian"
    )
    draws: Positive = Field(399, description="redrawn label sets of the arm labels")
    power: Annotated[int, Field(ge=0)] = Field(
        40,
        description="label sets an angle from rules that differ between clusters; they tell which gap would be found",
    )
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
                f"{', '.join(sorted(missing))}: every cluster's job runs this arm; list it (labels and gaussian are"
                " optional)"
            )
        return arms


Metric = Literal["accuracy", "auc", "sensitivity", "specificity", "precision", "recall", "f1"]


class Primary(Closed):
    """The one backbone and clustering that the verdict rests on."""

    backbone: FusionIdentifier = Field(description="one of the study's backbones")
    clustering: Identifier = Field(description="one of the study's clusterings")


BESIDE = ("features", "hybrids", "regressions", "explanations")
"""Keys of a study that list what has comparisons of its own, beside the clusters."""


class Study(Closed):
    """One question: do the clusters of this dataset change what a head learns?"""

    title: str = Field("", description="heading of the report")
    dataset: Identifier = Field(description="id of a dataset")
    split: Identifier = Field(description="id of a split; one with folds tests every image once")
    augmentation: Identifier = Field(
        NO_AUGMENTATION, description="id of an augmentation of the training images, or none"
    )
    backbones: Annotated[list[FusionIdentifier], Field(min_length=1), AfterValidator(distinct)] = Field(
        description="ids of backbones; `a+b` joins the embeddings of two"
    )
    clusterings: Annotated[list[Identifier], Field(min_length=1), AfterValidator(distinct)] = Field(
        description="ids of clusterings"
    )
    head: Identifier = Field(description="id of a head")
    controls: Identifier = Field(description="id of controls")
    metric: Metric = Field(
        "accuracy", description="metric of the published comparison; of more than two classes the mean over classes"
    )
    level: Annotated[float, Field(gt=0, lt=0.5)] = Field(
        0.05, description="the verdict's level: different where p is at most this"
    )
    margin: Annotated[float, Field(gt=0, lt=1)] = Field(0.05, description="accuracy gain that would not matter")
    hybrids: Annotated[list[Identifier], AfterValidator(distinct)] = Field(
        default=[], description="ids of hybrids, compared with the head on every backbone"
    )
    regressions: Annotated[list[Identifier], AfterValidator(distinct)] = Field(
        default=[], description="ids of regressions, made on every backbone"
    )
    explanations: Annotated[list[Identifier], AfterValidator(distinct)] = Field(
        default=[], description="ids of explanations of the head's decisions, made of every backbone"
    )
    features: Annotated[list[Identifier], AfterValidator(distinct)] = Field(
        default=[], description="ids of feature analyses, made of every backbone"
    )
    primary: Primary = Field(
        description="the one analysis that the verdict rests on; all others are sensitivity analyses"
    )


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
