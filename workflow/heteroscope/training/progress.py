"""What a training tells while it runs: its epochs as a table, and lines with the time that is left."""

from __future__ import annotations

import logging
import shutil
import time
from pathlib import Path
from typing import Any

import numpy as np
import torch

from heteroscope.training.classifier import MACRO, MONITOR
from heteroscope.training.lightning import pytorch_lightning as lightning
from heteroscope.training.pixels import PixelsModule

LINE = 60.0  # seconds without a line, after which one tells how far an epoch has come
VALUES = ("training_loss", "training_accuracy", MONITOR, "held_out_accuracy", *MACRO)

log = logging.getLogger(__name__)


class Progress(lightning.Callback):
    """Tells the data its epoch, keeps the history, and logs a line an epoch and a minute.

    Attributes:
        rows: of the history, one an epoch.
        seconds: that training took, in all runs of it.
    """

    def __init__(self, data: PixelsModule, epochs: int, seed: int) -> None:
        self.data = data
        self.epochs = epochs
        self.seed = seed
        self.rows: list[dict[str, Any]] = []
        self.seconds = 0.0
        self._line = self._clock = time.perf_counter()

    def state_dict(self) -> dict[str, Any]:
        """What a checkpoint keeps."""
        return {"rows": self.rows, "seconds": self.seconds}

    def load_state_dict(self, state_dict: dict[str, Any]) -> None:
        """Go on after the epochs of a run that was stopped."""
        self.rows, self.seconds = state_dict["rows"], state_dict["seconds"]
        self.data.set_epoch(len(self.rows))  # the first batches of a run are listed before its first epoch starts
        log.info("training goes on after epoch %d, where it was stopped", len(self.rows))

    def on_train_epoch_start(self, trainer: lightning.Trainer, pl_module: lightning.LightningModule) -> None:
        """The epoch decides the order of images and their views."""
        del pl_module
        self.data.set_epoch(trainer.current_epoch)

    def on_train_batch_start(
        self, trainer: lightning.Trainer, pl_module: lightning.LightningModule, batch: Any, batch_idx: int
    ) -> None:
        """The epoch decides dropout and stochastic depth too, whatever was drawn before it."""
        del pl_module, batch
        if batch_idx == 0:
            seed = np.random.SeedSequence([self.seed, trainer.current_epoch]).generate_state(1)[0]
            torch.manual_seed(int(seed))

    def on_train_batch_end(
        self, trainer: lightning.Trainer, pl_module: lightning.LightningModule, outputs: Any, batch: Any, batch_idx: int
    ) -> None:
        """A line a minute."""
        del pl_module, outputs, batch
        if time.perf_counter() - self._line > LINE:
            steps = int(trainer.num_training_batches)
            done = len(self.rows) + (batch_idx + 1) / steps
            self._tell(f"epoch {len(self.rows) + 1}/{self.epochs}: step {batch_idx + 1}/{steps}", done)

    def on_train_epoch_end(self, trainer: lightning.Trainer, pl_module: lightning.LightningModule) -> None:
        """A row and a line an epoch."""
        del pl_module
        values = {name: float(trainer.callback_metrics[name]) for name in VALUES}
        epoch = trainer.current_epoch + 1
        rate = trainer.optimizers[0].param_groups[0]["lr"]
        self.rows.append({"epoch": epoch, **values, "learning_rate": rate})
        told = (
            f"epoch {epoch}/{self.epochs}: training loss {values['training_loss']:.4f}, held-out loss"
            f" {values[MONITOR]:.4f}, held-out accuracy {values['held_out_accuracy']:.3f}"
        )
        self.seconds = self._tell(told, epoch)
        self._clock = self._line

    def _tell(self, what: str, done: float) -> float:
        """Log how far it has come and how long the rest may take; returns the seconds so far."""
        self._line = time.perf_counter()
        elapsed = self.seconds + self._line - self._clock
        log.info("%s; %.0f s, at most %.0f s left", what, elapsed, elapsed / done * (self.epochs - done))
        return elapsed


class Stopping(lightning.callbacks.EarlyStopping):
    """Early stopping that remembers, in a run that goes on, that it has stopped."""

    def on_train_start(self, trainer: lightning.Trainer, pl_module: lightning.LightningModule) -> None:
        """Stop at once where the epochs before have used up the patience."""
        del pl_module
        trainer.should_stop = trainer.should_stop or self.wait_count >= self.patience


def loggers(folder: Path | None, first: int) -> list[Any]:
    """Loggers of every value as CSV and for TensorBoard; a run that goes on writes beside that which was stopped.

    Args:
        folder: where to; None: no logs.
        first: number of the first epoch of this run.
    """
    if folder is None:
        return []
    if first == 1:
        shutil.rmtree(folder, ignore_errors=True)  # of another training
    kinds = (lightning.loggers.CSVLogger, lightning.loggers.TensorBoardLogger)
    return [kind(save_dir=folder, name="", version=f"from-epoch-{first}") for kind in kinds]
