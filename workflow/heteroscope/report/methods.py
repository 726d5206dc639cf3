"""A study's methods in the words of a paper, ready to paste."""

from __future__ import annotations

from typing import Any

from heteroscope.config import Backbone, Clustering, Head, Reduction, Split, StudyContext, TestPerClass, TestWhere
from heteroscope.metric_names import metric_name
from heteroscope.provenance import versions

CLUSTERINGS = {"kmeans": "k-means", "ward": "Ward's method", "gmm": "a Gaussian mixture"}
OPTIMIZERS = {"adam": "Adam", "sgd": "stochastic gradient descent"}
FREE_OF_SCALE = "each feature scaled to mean 0 and standard deviation 1 over the training rows"


def methods_paragraphs(context: StudyContext, document: dict[str, Any], kept: int) -> list[str]:
    """What was done, as a paper would say it; only of the primary analysis.

    Args:
        context: the study with every entry that it names.
        document: verdict.json.
        kept: usable images of the dataset.
    """
    primary = context.study.primary
    backbones = [context.backbones[part] for part in primary.backbone.split("+")]
    return [
        " ".join([_data(context, document, kept), _embedding(backbones, document)]),
        " ".join([_clustering(context.clusterings[primary.clustering], context.split), _head(context.head)]),
        _test(context, document),
    ]


def _data(context: StudyContext, document: dict[str, Any], kept: int) -> str:
    classes = context.dataset.class_names
    images, patients = document["counts"]["images"], document["counts"]["patients"]
    parts = {"train": "training", "validation": "validation", "test": "test", "backbone": "training a network"}
    told = ", ".join(
        f"{images[part]} for {name} ({patients.get(part, 0)} patients)"
        for part, name in parts.items()
        if part in images
    )
    if context.split.folds:
        told = _cross_validation(context, images, patients)
    text = (
        f"{kept} images of {len(classes)} classes ({', '.join(classes)}) were divided {_division(context.split)}:"
        f" {told}."
    )
    if context.augmentation:
        text += f" Each training image was used with {context.augmentation.copies} augmented copies."
    return text


def _cross_validation(context: StudyContext, images: dict[str, int], patients: dict[str, int]) -> str:
    """What folds do with the images, by part."""
    chosen = f", but for {context.split.validation:.0%} of all images, which only chose the epoch"
    selected = chosen if context.head.selection == "validation" else ""
    kept = f"; {images.get('backbone')} ({patients.get('backbone')} patients) were kept for training a network"
    return (
        f"{images['test']} ({patients['test']} patients) were each tested once, by heads trained on the other folds"
        f"{selected}{kept if 'backbone' in images else ''}"
    )


def _division(split: Split) -> str:
    unit = "by patient" if split.group == "patient" else "by image, whoever the patient"
    strata = ", stratified by class" if split.stratify == "label" else ""
    if split.folds:
        return f"{unit}{strata}, into {split.folds} folds"
    if isinstance(split.test, TestWhere):
        return f"{unit}{strata}; the test images were chosen by their attributes"
    if isinstance(split.test, TestPerClass):
        return f"{unit}; {split.test.per_class} random images of every class were the test set"
    return f"{unit}{strata}, with the test set that the source gives" if split.test == "source" else f"{unit}{strata}"


def _embedding(backbones: list[Backbone], document: dict[str, Any]) -> str:
    told = [f"{_layer(backbone)} of {backbone.model} ({_weights(backbone)})" for backbone in backbones]
    arithmetic = document["arithmetic"]
    return f"Embeddings were {' and '.join(told)}, computed by {arithmetic['engine']} in {arithmetic['precision']}."


def _layer(backbone: Backbone) -> str:
    if backbone.layer:
        return f"the output of layer {backbone.layer}"
    return "the penultimate activations" if backbone.pooling == "avg" else "the last feature map"


def _weights(backbone: Backbone) -> str:
    if backbone.finetune is None:
        return "random weights" if backbone.weights == "random" else f"weights {backbone.weights}"
    own = "patients who took no further part" if backbone.finetune.share == "backbone" else "the training set"
    return f"trained on {own}, from {backbone.finetune.initial} weights"


def _clustering(spec: Clustering, split: Split) -> str:
    rows = "The embeddings of the images of all folds together" if split.folds else "The training images' embeddings"
    others = (
        "no label had a part in it, and a cluster is the same in every fold"
        if split.folds
        else "validation and test images were assigned to the clusters so found"
    )
    return f"{rows}{_reduced(spec.reduce)} were clustered by {CLUSTERINGS[spec.method]} (k = {spec.k}); {others}."


def _reduced(spec: Reduction) -> str:
    if spec.method == "none":
        return ""
    if spec.components:
        return f", reduced to {spec.components} principal components,"
    return f", reduced to principal components with {spec.variance:.0%} of the variance,"


def _head(head: Head) -> str:
    scaled = f" ({FREE_OF_SCALE})" if head.standardize else ""
    loss = "focal loss" if head.loss == "focal" else "cross-entropy"
    decay = f", weight decay {head.weight_decay:g}" if head.weight_decay else ""
    return (
        f"Linear classifiers (heads) were trained on frozen embeddings{scaled} by {OPTIMIZERS[head.optimizer]} ({loss},"
        f" learning rate {head.learning_rate:g}{decay}, {head.batch_size} images a step, at most {head.epochs} epochs,"
        f" stopped after {head.patience} epochs without a better one, the epoch of the best {head.selection}"
        f" {metric_name(head.monitor)}; {head.seeds} seeds): one on all training images and one on those of each"
        " cluster."
    )


def _test(context: StudyContext, document: dict[str, Any]) -> str:
    study, controls = context.study, context.controls
    published = (
        f"For comparison with the published design, heads were also trained on {controls.repeats} random divisions of"
        " the training images into parts of the clusters' sizes, and as many with the clusters' class counts."
    )
    test = document["test"]
    if test is None:
        return published
    return (
        "The test statistic is the mean over test images of the pooled head's log loss minus that of the head of the"
        f" image's own cluster. It was compared, one-sided at level {study.level:g}, with its values on {test['draws']}"
        " copies of the data whose labels were redrawn from one penalised logistic rule with the same slope in all"
        " clusters and an intercept in each, all heads trained again every time; and once more with labels from a rule"
        f" that may be curved. Equivalence means that the 90 % interval of the accuracy gain lies within"
        f" ±{100 * study.margin:g} points. Intervals are percentiles of bootstraps of the test patients, conditional on"
        f" clusters and heads; p values of clusters, attributes and further analyses are adjusted by Holm. {published}"
    )


def citation() -> str:
    """How to name the software."""
    version = versions("heteroscope").get("heteroscope", "unknown version")
    return f"Software: heteroscope, version {version}, with the libraries that its report names."
