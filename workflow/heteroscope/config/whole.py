"""The whole configuration, and what must hold between its entries."""

from __future__ import annotations

import re
from collections.abc import Iterator
from pathlib import Path
from typing import Self

from pydantic import Field, model_validator

from heteroscope.config.base import FUSION, NO_AUGMENTATION, Closed, Identifier, Positive, did_you_mean
from heteroscope.config.branches import Hybrid
from heteroscope.config.data import Augmentation, Pixels, Split
from heteroscope.config.datasets import Dataset, UnionDataset
from heteroscope.config.experiment import Clustering, Controls, Head, Study
from heteroscope.config.explanations import CALLED, TRUE, Explanation
from heteroscope.config.features import Features
from heteroscope.config.networks import Backbone
from heteroscope.config.regressions import Regression


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
    hybrids: dict[Identifier, Hybrid] = Field(
        default_factory=dict, description="classical classifiers on embeddings, in place of heads"
    )
    regressions: dict[Identifier, Regression] = Field(
        default_factory=dict, description="attributes that are numbers, predicted from embeddings"
    )
    features: dict[Identifier, Features] = Field(
        default_factory=dict, description="tests of single features, and image search"
    )
    explanations: dict[Identifier, Explanation] = Field(
        default_factory=dict, description="maps of where in an image a decision comes from"
    )
    studies: dict[Identifier, Study] = Field(description="what is asked; a report each")

    @model_validator(mode="after")
    def _references_exist(self) -> Self:
        if problems := [
            *_unknown_references(self),
            *_primary_problems(self),
            *_union_problems(self),
            *_split_problems(self),
            *_protocol_problems(self),
            *_explanation_problems(self),
            *_adapter_problems(self),
            *_regression_problems(self),
        ]:
            raise ValueError("\n".join(problems))
        return self

    def folds(self, split: str) -> list[str]:
        """The ids under which a split's divisions stand in paths: one a fold, or its own without folds."""
        folds = self.splits[split].folds
        return [split] if folds is None else [f"{split}-{fold}" for fold in range(1, folds + 1)]


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
        yield f"studies.{name}.split", study.split, list(config.splits)
        yield f"studies.{name}.augmentation", study.augmentation, augmentations
        yield f"studies.{name}.head", study.head, list(config.heads)
        yield f"studies.{name}.controls", study.controls, list(config.controls)
        for index, fused in enumerate(study.backbones):
            for part in fused.split(FUSION):
                yield f"studies.{name}.backbones.{index}", part, list(config.backbones)
        for index, clustering in enumerate(study.clusterings):
            yield f"studies.{name}.clusterings.{index}", clustering, list(config.clusterings)
        for index, hybrid in enumerate(study.hybrids):
            yield f"studies.{name}.hybrids.{index}", hybrid, list(config.hybrids)
        for index, regression in enumerate(study.regressions):
            yield f"studies.{name}.regressions.{index}", regression, list(config.regressions)
        for index, explanation in enumerate(study.explanations):
            yield f"studies.{name}.explanations.{index}", explanation, list(config.explanations)
        for index, features in enumerate(study.features):
            yield f"studies.{name}.features.{index}", features, list(config.features)
    for name, explained in config.explanations.items():
        for layered in explained.layers:
            yield f"explanations.{name}.layers", layered, list(config.backbones)


def _unknown_references(config: Config) -> list[str]:
    return [
        f"{path}: unknown id {value!r}{did_you_mean(value, allowed)}; known: {', '.join(allowed) or 'none'}"
        for path, value, allowed in _references(config)
        if value not in allowed
    ]


def _primary_problems(config: Config) -> list[str]:
    axes = [
        (name, axis, value, known)
        for name, study in config.studies.items()
        for axis, value, known in (
            ("backbone", study.primary.backbone, study.backbones),
            ("clustering", study.primary.clustering, study.clusterings),
        )
    ]
    return [
        f"studies.{name}.primary.{axis}: {value!r} is not one of this study's {axis}s: {', '.join(known)}"
        for name, axis, value, known in axes
        if value not in known
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
    for name, study in config.studies.items():
        if study.split not in config.splits or study.head not in config.heads:
            continue
        split, head = config.splits[study.split], config.heads[study.head]
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
            if backbone and backbone.finetune and backbone.finetune.share == "train" and split.folds:
                problems.append(
                    f"studies.{name}: backbone {part!r} would be trained on images that a fold of {study.split!r}"
                    " tests; set finetune.share: backbone and a backbone share of the split, or choose another split"
                )
    return problems


def _adapter_problems(config: Config) -> list[str]:
    """Adapters that would see three channels."""
    return [
        f"backbones.{name}.finetune.trainable: adapter makes three channels of one, but pixels {backbone.pixels!r} have"
        " three; name pixels with `channels: 1`"
        for name, backbone in config.backbones.items()
        if backbone.finetune and backbone.finetune.trainable == "adapter"
        if backbone.pixels in config.pixels and config.pixels[backbone.pixels].channels != 1
    ]


def _explanation_problems(config: Config) -> list[str]:
    """Explanations of decisions that are not made, and of fusions whose maps do not lie over each other."""
    problems = []
    for name, study in config.studies.items():
        for fused in study.backbones if study.explanations else ():
            seen = {config.backbones[part].pixels for part in fused.split(FUSION) if part in config.backbones}
            if len(seen) > 1:
                problems.append(
                    f"studies.{name}: explanations lay the maps of {fused!r} over one image, but its parts look at"
                    f" different pixels ({', '.join(sorted(seen))}); give them the same"
                )
        known = [config.explanations[one] for one in study.explanations if one in config.explanations]
        for explained in (explanation.explained for explanation in known):
            classes = config.datasets[study.dataset].class_names if study.dataset in config.datasets else [explained]
            if explained not in (CALLED, TRUE, *classes):
                problems.append(
                    f"studies.{name}: an explanation is of {explained!r}, which is no class of {study.dataset!r}; name"
                    f" {CALLED}, {TRUE}, or one of {', '.join(classes)}"
                )
    return problems


def _regression_problems(config: Config) -> list[str]:
    """Targets that the images of a study's dataset cannot have."""
    problems = []
    for name, study in config.studies.items():
        dataset = config.datasets.get(study.dataset)
        known = dataset.numbers if dataset else None
        for index, regression in enumerate(study.regressions):
            target = config.regressions[regression].target if regression in config.regressions else None
            if dataset and known is not None and target is not None and target not in known:
                key = {"folder": "pattern", "table": "attributes", "phantom": "attributes"}.get(dataset.adapter)
                problems.append(
                    f"studies.{name}.regressions.{index}: the target {target!r} of {regression!r} is no number that is"
                    f" known of the images{did_you_mean(target, known)}; known: {', '.join(known) or 'none'}; name"
                    f" {f'it in datasets.{study.dataset}.{key}, or ' if key else ''}another one in"
                    f" regressions.{regression}.target"
                )
    return problems


def dataset_root(config: Config, dataset: str) -> Path | None:
    """The folder of a dataset's files, or None where it is generated or made of other datasets."""
    root = getattr(config.datasets[dataset], "root", None)
    return None if root is None else Path(config.data_root) / root
