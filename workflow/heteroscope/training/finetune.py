"""Training a network on the study's own images: a backbone for embeddings, and a classifier of its own."""

from __future__ import annotations

import logging
import warnings
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import h5py
import numpy as np
import pandas as pd
import torch

from heteroscope.atomic import writing
from heteroscope.backbones.pooling import FeatureExtractor, embedding_width
from heteroscope.backbones.registry import GREY_ADAPTER, add_grey_adapter
from heteroscope.backbones.weights import Weights, describe
from heteroscope.config import Augmentation, Finetune
from heteroscope.errors import DataError
from heteroscope.provenance import code_digest, digest, versions
from heteroscope.stopwatch import Stopwatch, times_document
from heteroscope.store import open_h5, read_strings
from heteroscope.training.checkpoints import (
    checkpoint_folder,
    epochs_of,
    keep_checkpoints,
    last_checkpoint,
    load_checkpoint,
)
from heteroscope.training.classifier import MONITOR, Classifier
from heteroscope.training.lightning import pytorch_lightning as lightning
from heteroscope.training.lightning import single_process
from heteroscope.training.pixels import LabelledImages, PixelsModule, hold_out, labelled_images
from heteroscope.training.progress import Progress, Stopping, loggers

IGNORED = (  # of Lightning, about what is meant so
    ".*does not have many workers.*",
    ".*treespec, LeafSpec.*",
    ".*`srun` command is available.*",
    ".*in eval mode at the start of training.*",
    ".*Checkpoint directory .* exists and is not empty.*",
    ".*Experiment logs directory .* exists and is not empty.*",
)
STEPS_LOGGED = 50  # of an epoch, about
LIBRARIES = ("torch", "torchvision", "pytorch-lightning")


@dataclass(frozen=True)
class Finetuned:
    """A trained network.

    Attributes:
        weights: of the backbone at the epoch of the lowest held-out loss.
        history: columns epoch (from 1), training_loss, training_accuracy, held_out_loss, held_out_accuracy,
            held_out_precision, held_out_recall and held_out_f1 (means over classes), learning_rate (at the epoch's
            end), selected (0 or 1).
        summary: model, weights (in words), features, parameters, trained_parameters, training_images, held_out_images.
        probabilities: columns image_id and probability_{class}: what the network's own head says of all images that a
            fold tests.
        times: `stopwatch.times_document`, counted from decoded images.
        checkpoints: the folder to delete when all is written.
    """

    weights: Weights
    history: pd.DataFrame
    probabilities: pd.DataFrame
    summary: dict[str, Any]
    times: dict[str, float]
    checkpoints: Path


def finetune(
    initial: Weights,
    split: pd.DataFrame,
    *,
    split_id: str,
    pixels: Path,
    recipe: Finetune,
    augmentation: Augmentation | None,
    threads: int,
    output: Path,
    logs: Path | None = None,
) -> Finetuned:
    """Train a network with a fresh linear head; early stopping on held-out patients.

    A training that was stopped goes on after its last whole epoch, and gives the same bytes as one that was not.

    Args:
        initial: where training starts from; its network is changed in place.
        split: columns image_id, class, label, group, part, and `fold` where it has folds.
        split_id: for the description of the weights.
        pixels: the pixels file.
        recipe: which part to train on, optimiser, epochs, patience.
        augmentation: drawn anew each epoch; None for none.
        threads: of the numerical work; part of the result.
        output: the file that the weights are written to afterwards; checkpoints stand beside it.
        logs: folder for what Lightning logs of each step; None: nothing.

    Raises:
        DataError: the part is empty or too small, or training diverged.
    """
    training, held_out = (labelled_images(pixels, rows) for rows in _parts(split, split_id, recipe))
    tested = split[split["fold"] > 0 if "fold" in split else split["part"] == "test"]
    names = split.drop_duplicates("label").sort_values("label")["class"].tolist()
    torch.set_num_threads(threads)
    torch.manual_seed(recipe.seed)  # the head
    with open_h5(pixels, "pixels") as file:
        data = PixelsModule(
            file,
            training=training.oversampled(seed=recipe.seed) if recipe.imbalance == "oversample" else training,
            held_out=held_out,
            augmentation=augmentation,
            batch_size=recipe.batch_size,
            seed=recipe.seed,
        )
        weight = training.class_weights(len(names)) if recipe.imbalance == "class-weights" else None
        module = _classifier(initial, file["pixels"].shape, data, recipe, classes=len(names), weight=weight)
        rows = [_content(file, images) for images in (training, held_out)]
        inputs = [rows, recipe, augmentation, threads, initial.sha256]
        folder = checkpoint_folder(output, digest(code_digest(__name__), versions(*LIBRARIES), *inputs))
        history, seconds = _fit(module, data, recipe, folder, logs)
        watch = Stopwatch()
        probability = _predict(module, data, labelled_images(pixels, tested))
        prediction = watch.lap()
    share = "share B" if recipe.share == "backbone" else "the training set"
    count = int((split["part"] == recipe.share).sum())
    description = f"trained on {count} images of {share} of {split_id} (initial: {initial.description})"
    columns = {f"probability_{name}": probability[:, label] for label, name in enumerate(names)}
    return Finetuned(
        weights=describe(initial.network.cpu().eval(), initial.model, description),
        history=history,
        probabilities=pd.DataFrame({"image_id": tested["image_id"].to_numpy(), **columns}),
        summary=_summary(module, initial.model, description, len(training), len(held_out)),
        times=times_document(training=seconds, prediction=prediction, images=len(tested), trainings=1, threads=threads),
        checkpoints=folder,
    )


def _summary(module: Classifier, model: str, description: str, training: int, held_out: int) -> dict[str, Any]:
    """What a reader must know of a trained network."""
    parameters = [parameter.numel() for parameter in module.parameters()]
    trained = [parameter.numel() for parameter in module.parameters() if parameter.requires_grad]
    return {
        "model": model,
        "weights": description,
        "features": module.head.in_features,
        "parameters": sum(parameters),
        "trained_parameters": sum(trained),
        "training_images": training,
        "held_out_images": held_out,
    }


def _parts(split: pd.DataFrame, split_id: str, recipe: Finetune) -> tuple[pd.DataFrame, pd.DataFrame]:
    """The rows of a split that train, and those that select the epoch.

    A recipe that trains on the training set selects on the split's validation images, as heads do. Share B is apart
    from both, so patients of its own are held out; so are some of the training set where nothing validates.
    """
    rows = split[split["part"] == recipe.share].reset_index(drop=True)
    if rows.empty:
        raise DataError(f"split {split_id!r} has no image in part {recipe.share!r}; give it a `backbone` share")
    validation = split[split["part"] == "validation"]
    if recipe.share == "train" and len(validation):
        return rows, validation
    held = hold_out(rows, recipe.held_out, seed=recipe.seed)
    return rows[~held], rows[held]


def _classifier(
    initial: Weights,
    shape: tuple[int, ...],
    data: PixelsModule,
    recipe: Finetune,
    *,
    classes: int,
    weight: np.ndarray | None,
) -> Classifier:
    """The network with its head, for images of pixels (images, channels, size, size)."""
    network = initial.network
    if recipe.trainable == "adapter" and not hasattr(network, GREY_ADAPTER):
        add_grey_adapter(network)
    # the layout of memory that convolutions on a CPU are fastest in
    network = network.to(memory_format=torch.channels_last)  # type: ignore[call-overload]
    extractor = FeatureExtractor(network, model=initial.model, pooling="avg")
    width = embedding_width(extractor, channels=shape[1], size=shape[2])
    class_weight = None if weight is None else torch.from_numpy(weight).float()
    return Classifier(extractor, width, classes, recipe, steps=data.steps, class_weight=class_weight)


def _content(file: h5py.File, images: LabelledImages) -> list[object]:
    """What images of an open pixels file are, without their pixels: keys, names and labels in their order."""
    return [read_strings(file, "key")[images.row].tolist(), images.image_id.tolist(), images.label.tolist()]


def _fit(
    module: Classifier, data: PixelsModule, recipe: Finetune, folder: Path, logs: Path | None
) -> tuple[pd.DataFrame, float]:
    """Train, and leave the module at its best epoch; returns the history and the seconds that it took."""
    logging.getLogger("pytorch_lightning").setLevel(logging.ERROR)  # hints and advertisements
    progress = Progress(data, recipe.epochs, recipe.seed)
    best, last = keep_checkpoints(folder)
    stopping = Stopping(MONITOR, patience=recipe.patience, min_delta=recipe.min_delta, check_finite=True)
    with warnings.catch_warnings():
        for message in IGNORED:
            warnings.filterwarnings("ignore", message=message)
        begun = last_checkpoint(folder)
        written = loggers(logs, first=epochs_of(begun) + 1)
        monitor = [lightning.callbacks.LearningRateMonitor()] if written else []
        trainer = lightning.Trainer(
            accelerator="auto",
            devices=1,
            plugins=[single_process()],
            precision="bf16-mixed" if recipe.precision == "mixed" and torch.cuda.is_available() else "32-true",
            max_epochs=recipe.epochs,
            callbacks=[progress, *monitor, stopping, best, last],
            default_root_dir=folder,
            logger=written,
            log_every_n_steps=max(data.steps // STEPS_LOGGED, 1),
            enable_progress_bar=False,
            enable_model_summary=False,
            num_sanity_val_steps=0,
            deterministic="warn",
        )
        with writing(folder):
            trainer.fit(module, datamodule=data, ckpt_path=begun, weights_only=True)
    if not best.best_model_path:
        raise DataError("fine-tuning diverged in its first epoch; lower finetune.learning_rate")
    module.cpu().load_state_dict(load_checkpoint(Path(best.best_model_path))["state_dict"])
    history = pd.DataFrame(progress.rows)
    return history.assign(selected=(history.index == history[MONITOR].idxmin()).astype(int)), progress.seconds


def _predict(module: Classifier, data: PixelsModule, images: LabelledImages) -> np.ndarray:
    """(n, C) class probabilities of images, in their order."""
    device = "cuda" if torch.cuda.is_available() else "cpu"
    module.to(device).eval()
    with torch.inference_mode():
        scores = [module(pixels.to(device)).cpu() for pixels, _ in data.in_order(images)]
    module.cpu()
    return torch.cat(scores).softmax(dim=1).numpy()
