"""A network with a fresh linear head: what of it is trained, by which loss, at which learning rate."""

from __future__ import annotations

from typing import Any, Self

import torch
from torch import nn

from heteroscope.backbones.pooling import FeatureExtractor
from heteroscope.backbones.registry import GREY_ADAPTER, behind_frozen
from heteroscope.config import Cyclical, Finetune, Plateau
from heteroscope.training.lightning import pytorch_lightning as lightning
from heteroscope.training.lightning import torchmetrics
from heteroscope.training.losses import focal_loss

MONITOR = "held_out_loss"
MACRO = {  # means over classes, of all held-out images together
    "held_out_precision": torchmetrics.classification.MulticlassPrecision,
    "held_out_recall": torchmetrics.classification.MulticlassRecall,
    "held_out_f1": torchmetrics.classification.MulticlassF1Score,
}


class Classifier(lightning.LightningModule):
    """A feature extractor with a fresh linear head, trained by cross-entropy or the focal loss.

    What the recipe does not train is frozen: it keeps its weights, and works as it does in use, so that batch norms
    keep their statistics and nothing is dropped out.
    """

    class_weight: torch.Tensor | None

    def __init__(
        self,
        extractor: FeatureExtractor,
        width: int,
        classes: int,
        recipe: Finetune,
        *,
        steps: int,
        class_weight: torch.Tensor | None = None,
    ) -> None:
        """Put a head on an extractor.

        Args:
            extractor: of a backbone with a grey adapter, where the recipe trains one.
            width: number of values of an embedding.
            classes: C.
            recipe: what is trained, and how.
            steps: of an epoch.
            class_weight: (C,) weights of the training loss; None: all alike.
        """
        super().__init__()
        self.extractor = extractor
        self.head = nn.Linear(width, classes)
        self.recipe = recipe
        self.steps = steps
        self.register_buffer("class_weight", class_weight, persistent=False)
        self.held_out = torchmetrics.MetricCollection(
            {name: score(classes, average="macro", validate_args=False) for name, score in MACRO.items()}
        )
        self.plateau: torch.optim.lr_scheduler.ReduceLROnPlateau | None = None
        self._remembered: dict[str, Any] | None = None  # by the plateau of a run that was stopped
        self._trained = _trained_modules(extractor.backbone, recipe.trainable)
        for name, module in extractor.backbone.named_modules():
            for parameter in module.parameters(recurse=False):
                parameter.requires_grad_(name in self._trained)
        self.train()

    def train(self, mode: bool = True) -> Self:
        """Switch between training and use; frozen modules are always in use."""
        super().train(mode)
        if mode:
            for name, module in self.extractor.backbone.named_modules():
                module.training = name in self._trained
        return self

    def forward(self, pixels: torch.Tensor) -> torch.Tensor:
        """Class scores (n, classes) of pixels (n, channels, size, size) uint8."""
        scores: torch.Tensor = self.head(self.extractor(pixels))
        return scores

    def training_step(self, batch: tuple[torch.Tensor, torch.Tensor], _: int) -> torch.Tensor:
        """The loss of a batch."""
        pixels, label = batch
        scores = self(pixels)
        loss = self._loss(scores, label, self.class_weight)
        self._log("training", loss, scores, label)
        return loss

    def validation_step(self, batch: tuple[torch.Tensor, torch.Tensor], _: int) -> None:
        """Loss, accuracy and means over classes on held-out images, which count as they are."""
        pixels, label = batch
        scores = self(pixels)
        self._log("held_out", self._loss(scores, label, None), scores, label)
        self.held_out.update(scores, label)

    def on_validation_epoch_end(self) -> None:
        """Means over classes are of an epoch: those of its batches do not add up to them."""
        self.log_dict(self.held_out.compute())
        self.held_out.reset()

    def _loss(self, scores: torch.Tensor, label: torch.Tensor, weight: torch.Tensor | None) -> torch.Tensor:
        return focal_loss(scores, label, self.recipe.gamma if self.recipe.loss == "focal" else 0.0, weight)

    def _log(self, part: str, loss: torch.Tensor, scores: torch.Tensor, label: torch.Tensor) -> None:
        """Means over the images of an epoch."""
        accuracy = (scores.argmax(1) == label).float().mean()
        values = {f"{part}_loss": loss, f"{part}_accuracy": accuracy}
        self.log_dict(values, on_epoch=True, on_step=False, batch_size=len(label))

    def configure_optimizers(self) -> Any:
        """The recipe's optimiser over all that is trained, and what changes its learning rate."""
        recipe, schedule = self.recipe, self.recipe.schedule
        trained = [parameter for parameter in self.parameters() if parameter.requires_grad]
        options: dict[str, Any] = {"lr": recipe.learning_rate, "weight_decay": recipe.weight_decay}
        optimizer: torch.optim.Optimizer = (
            torch.optim.Adam(trained, **options)
            if recipe.optimizer == "adam"
            else torch.optim.SGD(trained, momentum=recipe.momentum, **options)
        )
        if isinstance(schedule, Plateau):
            self.plateau = torch.optim.lr_scheduler.ReduceLROnPlateau(
                optimizer,
                factor=schedule.factor,
                patience=schedule.patience - 1,  # torch waits one epoch more than early stopping does
                threshold=recipe.min_delta,
                threshold_mode="abs",
            )
            if self._remembered:
                self.plateau.load_state_dict(self._remembered)
        if isinstance(schedule, Cyclical):
            cycle = torch.optim.lr_scheduler.CyclicLR(
                optimizer,
                base_lr=recipe.learning_rate,
                max_lr=schedule.maximum,
                step_size_up=max(round(schedule.step_size * self.steps), 1),
                mode=schedule.mode,
                cycle_momentum=False,
            )
            return {"optimizer": optimizer, "lr_scheduler": {"scheduler": cycle, "interval": "step"}}
        return optimizer

    # Lightning leaves a plateau after it has written the checkpoint, from which a resumed run would miss it

    def on_train_epoch_end(self) -> None:
        """Look whether the held-out loss still falls."""
        if self.plateau:
            self.plateau.step(self.trainer.callback_metrics[MONITOR])

    def on_save_checkpoint(self, checkpoint: dict[str, Any]) -> None:
        """Keep what the plateau remembers."""
        if self.plateau:
            checkpoint["plateau"] = self.plateau.state_dict()

    def on_load_checkpoint(self, checkpoint: dict[str, Any]) -> None:
        """Take up what the plateau remembered, for the optimiser that is made next."""
        self._remembered = checkpoint.get("plateau")


def _trained_modules(backbone: nn.Module, trainable: str) -> set[str]:
    """Names of the modules of a backbone that a recipe trains."""
    if trainable == "all":
        return {name for name, _ in backbone.named_modules()}
    if trainable == "last-block":
        return set(behind_frozen(backbone))
    return {GREY_ADAPTER} if trainable == "adapter" else set()
