"""Training a backbone on the study's own images, before it is frozen."""

from __future__ import annotations

import logging
import tempfile
import time
import warnings
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pandas as pd
import torch
from torch import nn

from heteroscope.backbones.pooling import FeatureExtractor, embedding_width
from heteroscope.backbones.weights import Weights, describe
from heteroscope.config import Augmentation, Finetune
from heteroscope.errors import DataError
from heteroscope.store import open_h5
from heteroscope.training.lightning import pytorch_lightning as lightning
from heteroscope.training.lightning import single_process
from heteroscope.training.losses import focal_loss
from heteroscope.training.pixels import PixelsModule, hold_out, labelled_images

MONITOR = "held_out_loss"

log = logging.getLogger(__name__)


@dataclass(frozen=True)
class Finetuned:
    """A trained backbone.

    Attributes:
        weights: at the epoch of the lowest held-out loss; the head is dropped.
        history: columns epoch (from 1), training_loss, held_out_loss, held_out_accuracy, learning_rate,
            selected (0 or 1).
    """

    weights: Weights
    history: pd.DataFrame


def finetune(
    initial: Weights,
    split: pd.DataFrame,
    *,
    split_id: str,
    pixels: Path,
    recipe: Finetune,
    augmentation: Augmentation | None,
    threads: int,
) -> Finetuned:
    """Train a whole network with a fresh linear head; early stopping on held-out patients.

    Args:
        initial: where training starts from; its network is changed in place.
        split: columns image_id, label, group, part.
        split_id: for the description of the weights.
        pixels: the pixels file.
        recipe: which part to train on, optimiser, epochs, patience.
        augmentation: drawn anew each epoch; None for none.
        threads: of the numerical work; part of the result.

    Raises:
        DataError: the part is empty or too small.
    """
    rows = split[split["part"] == recipe.share].reset_index(drop=True)
    if rows.empty:
        raise DataError(f"split {split_id!r} has no image in part {recipe.share!r}; give it a `backbone` share")
    held = hold_out(rows, recipe.held_out, seed=recipe.seed)
    images = labelled_images(pixels, rows)
    torch.set_num_threads(threads)
    torch.manual_seed(recipe.seed)  # the head, dropout and stochastic depth
    with open_h5(pixels, "pixels") as file:
        data = PixelsModule(
            file,
            training=images.take(~held),
            held_out=images.take(held),
            augmentation=augmentation,
            batch_size=recipe.batch_size,
            seed=recipe.seed,
        )
        _, channels, size, _ = file["pixels"].shape
        # the layout of memory that convolutions on a CPU are fastest in
        network = initial.network.to(memory_format=torch.channels_last)  # type: ignore[call-overload]
        extractor = FeatureExtractor(network, model=initial.model, pooling="avg")
        width = embedding_width(extractor, channels=channels, size=size)
        module = Classifier(extractor, width, int(split["label"].max()) + 1, recipe)
        history = _fit(module, data, recipe)
    share = "share B" if recipe.share == "backbone" else "the training set"
    description = f"trained on {len(rows)} images of {share} of {split_id} (initial: {initial.description})"
    return Finetuned(describe(initial.network.cpu().eval(), initial.model, description), history)


class Classifier(lightning.LightningModule):
    """A feature extractor with a fresh linear head, trained by cross-entropy or the focal loss."""

    def __init__(self, extractor: FeatureExtractor, width: int, classes: int, recipe: Finetune) -> None:
        super().__init__()
        self.extractor = extractor
        self.head = nn.Linear(width, classes)
        self.recipe = recipe

    def forward(self, pixels: torch.Tensor) -> torch.Tensor:
        """Class scores (n, classes) of pixels (n, channels, size, size) uint8."""
        scores: torch.Tensor = self.head(self.extractor(pixels))
        return scores

    def training_step(self, batch: tuple[torch.Tensor, torch.Tensor], _: int) -> torch.Tensor:
        """The loss of a batch."""
        pixels, label = batch
        loss = self._loss(self(pixels), label)
        self.log("training_loss", loss, on_epoch=True, on_step=False, batch_size=len(label))
        return loss

    def validation_step(self, batch: tuple[torch.Tensor, torch.Tensor], _: int) -> None:
        """Loss and accuracy on held-out images."""
        pixels, label = batch
        scores = self(pixels)
        self.log(MONITOR, self._loss(scores, label), batch_size=len(label))
        self.log("held_out_accuracy", (scores.argmax(1) == label).float().mean(), batch_size=len(label))

    def _loss(self, scores: torch.Tensor, label: torch.Tensor) -> torch.Tensor:
        return focal_loss(scores, label, self.recipe.gamma if self.recipe.loss == "focal" else 0.0)

    def configure_optimizers(self) -> Any:
        """The recipe's optimiser over all parameters, and what changes its learning rate."""
        recipe = self.recipe
        kind = torch.optim.Adam if recipe.optimizer == "adam" else torch.optim.SGD
        optimizer = kind(self.parameters(), lr=recipe.learning_rate, weight_decay=recipe.weight_decay)
        if recipe.schedule is None:
            return optimizer
        scheduler = torch.optim.lr_scheduler.ReduceLROnPlateau(
            optimizer,
            factor=recipe.schedule.factor,
            patience=recipe.schedule.patience - 1,  # torch waits one epoch more than early stopping does
            threshold=recipe.min_delta,
            threshold_mode="abs",
        )
        return {"optimizer": optimizer, "lr_scheduler": {"scheduler": scheduler, "monitor": MONITOR}}


class _Progress(lightning.Callback):
    """Tells the data its epoch, keeps the history, and logs a line an epoch."""

    def __init__(self, data: PixelsModule, epochs: int) -> None:
        self.data = data
        self.epochs = epochs
        self.rows: list[dict[str, Any]] = []
        self.start = time.perf_counter()

    def on_train_epoch_start(self, trainer: lightning.Trainer, pl_module: lightning.LightningModule) -> None:
        del pl_module
        self.data.set_epoch(trainer.current_epoch)

    def on_train_epoch_end(self, trainer: lightning.Trainer, pl_module: lightning.LightningModule) -> None:
        del pl_module
        names = ("training_loss", MONITOR, "held_out_accuracy")
        values = {name: float(trainer.callback_metrics[name]) for name in names}
        epoch = trainer.current_epoch + 1
        rate = trainer.optimizers[0].param_groups[0]["lr"]
        self.rows.append({"epoch": epoch, **values, "learning_rate": rate})
        elapsed = time.perf_counter() - self.start
        log.info(
            "epoch %d/%d: training loss %.4f, held-out loss %.4f, held-out accuracy %.3f; %.0f s, at most %.0f s left",
            epoch,
            self.epochs,
            *values.values(),
            elapsed,
            elapsed / epoch * (self.epochs - epoch),
        )


def _fit(module: Classifier, data: PixelsModule, recipe: Finetune) -> pd.DataFrame:
    """Train, and leave the module at its best epoch; returns the history."""
    logging.getLogger("pytorch_lightning").setLevel(logging.ERROR)  # hints and advertisements
    progress = _Progress(data, recipe.epochs)
    with tempfile.TemporaryDirectory() as folder, warnings.catch_warnings():
        warnings.filterwarnings("ignore", message=".*does not have many workers.*")
        warnings.filterwarnings("ignore", message=".*treespec, LeafSpec.*")  # Lightning's own use of torch
        best = lightning.callbacks.ModelCheckpoint(dirpath=folder, monitor=MONITOR, mode="min", save_weights_only=True)
        stopping = lightning.callbacks.EarlyStopping(
            MONITOR, patience=recipe.patience, min_delta=recipe.min_delta, check_finite=True
        )
        trainer = lightning.Trainer(
            accelerator="auto",
            devices=1,
            plugins=[single_process()],
            max_epochs=recipe.epochs,
            callbacks=[progress, best, stopping],
            default_root_dir=folder,
            logger=False,
            enable_progress_bar=False,
            enable_model_summary=False,
            num_sanity_val_steps=0,
            deterministic="warn",
        )
        trainer.fit(module, datamodule=data)
        if not best.best_model_path:
            raise DataError("fine-tuning diverged in its first epoch; lower finetune.learning_rate")
        state = torch.load(best.best_model_path, map_location="cpu", weights_only=True)["state_dict"]
        module.cpu().load_state_dict(state)
    history = pd.DataFrame(progress.rows)
    return history.assign(selected=(history.index == history[MONITOR].idxmin()).astype(int))
