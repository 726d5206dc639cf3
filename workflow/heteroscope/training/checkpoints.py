"""A training's last and best state on disk, from which it goes on after it was stopped."""

from __future__ import annotations

import logging
import shutil
from pathlib import Path
from typing import Any

import torch

from heteroscope.backbones.weights import require_whole
from heteroscope.training.classifier import MONITOR
from heteroscope.training.lightning import pytorch_lightning as lightning

log = logging.getLogger(__name__)


def checkpoint_folder(output: Path, depends_on: str) -> Path:
    """A folder beside an output, which a training that depends on the same finds again until the output is written.

    Args:
        output: the file that the training makes.
        depends_on: digest of all that its result depends on; what others left is deleted.
    """
    beginning = f".{output.name}.checkpoints-"
    folder = output.parent / f"{beginning}{depends_on}"
    for other in output.parent.glob(f"{beginning}*"):
        if other != folder:
            shutil.rmtree(other, ignore_errors=True)
    folder.mkdir(parents=True, exist_ok=True)
    return folder


def keep_checkpoints(folder: Path) -> tuple[lightning.callbacks.ModelCheckpoint, lightning.callbacks.ModelCheckpoint]:
    """Callbacks that write, after every epoch, `best.ckpt` if it is the best one so far, and then `last.ckpt`."""
    best, last = (
        lightning.callbacks.ModelCheckpoint(
            dirpath=folder,
            filename=name,
            monitor=monitor,
            save_weights_only=monitor is not None,
            save_on_train_epoch_end=True,
            enable_version_counter=False,
        )
        for name, monitor in (("best", MONITOR), ("last", None))
    )
    return best, last


def last_checkpoint(folder: Path) -> Path | None:
    """Where a training that was stopped goes on; None, and an empty folder, where it must begin anew."""
    last = folder / "last.ckpt"
    if not last.exists():
        return None
    try:
        for path in (last, folder / "best.ckpt"):
            load_checkpoint(path)
    except Exception as error:  # torch raises many kinds for a damaged file
        reason = str(error).splitlines()[0] if str(error) else type(error).__name__
        log.warning("training begins anew: the checkpoint of the run that was stopped is damaged (%s)", reason)
        for path in folder.glob("*.ckpt"):
            path.unlink()
        return None
    return last


def epochs_of(checkpoint: Path | None) -> int:
    """How many epochs a training had behind it."""
    return load_checkpoint(checkpoint)["epoch"] + 1 if checkpoint else 0


def load_checkpoint(path: Path) -> dict[str, Any]:
    """What a checkpoint holds; nothing but tensors and plain values is unpickled."""
    require_whole(path)
    content: dict[str, Any] = torch.load(path, map_location="cpu", weights_only=True)
    return content
