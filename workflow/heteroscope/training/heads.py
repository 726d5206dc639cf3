"""Stacks of linear heads on cached embeddings, trained together.

A *group* is one order of training rows: the rows, an initialisation and the batches of every
epoch. Its *members* share all of that and differ in their labels alone. Random partitions make
many groups of one member each; redrawn labels make few groups of many members. All heads of a job
are cut into stacks, each a Lightning module whose step is one batched matrix product over its groups.
A stack on the CPU is as large as a cache holds: every step reads and writes all of it.
"""

from __future__ import annotations

import logging
import time
import warnings
from collections.abc import Iterator, Sequence
from dataclasses import dataclass

import numpy as np
import torch
from torch import Tensor
from torch.nn import functional
from torch.utils.data import DataLoader, IterableDataset

from heteroscope.config import Head
from heteroscope.errors import DataError
from heteroscope.evaluation import metrics
from heteroscope.training.lightning import pytorch_lightning as lightning
from heteroscope.training.lightning import single_process
from heteroscope.training.losses import focal_factor
from heteroscope.training.optimizers import make_optimizer

logger = logging.getLogger(__name__)

STACK_BYTES = {"cpu": 8 * 1024**2, "cuda": 2 * 1024**3}
TENSORS_A_HEAD = 4  # weight, gradient, two moments
PREDICTION_BYTES = 256 * 1024**2


@dataclass(frozen=True)
class Group:
    """Training rows, and the two numbers that fix initialisation and order.

    Attributes:
        rows: (n,) int, rows of the features to train on.
        seed: number of the repetition.
        stream: which model this is (a cluster's number, or one beyond them all for the pooled head),
            so that the heads of different clusters do not share an initialisation.
    """

    rows: np.ndarray
    seed: int
    stream: int


@dataclass(frozen=True)
class TrainedHeads:
    """Heads at their selected epoch.

    Attributes:
        weight: (groups, members, outputs, d + 1) float32; the last column is the bias.
        best_epoch: (groups, members) int, from 1.
        history: (epochs, groups, members) float: the monitored value after each epoch, NaN once a head has stopped.
    """

    weight: np.ndarray
    best_epoch: np.ndarray
    history: np.ndarray

    def probabilities(self, features: np.ndarray) -> np.ndarray:
        """Class probabilities (groups, members, n, classes) float32 of features (n, d)."""
        groups, members, outputs, _ = self.weight.shape
        columns = max(outputs, 2)
        result = np.empty((groups, members, len(features), columns), dtype=np.float32)
        with_ones = torch.from_numpy(_with_ones(features))
        step = max(1, PREDICTION_BYTES // (4 * members * columns * max(len(features), 1)))
        for start in range(0, groups, step):
            logits = _logits(torch.from_numpy(self.weight[start : start + step]), with_ones)
            result[start : start + step] = logits.softmax(dim=-1).numpy()
        return result


def train_heads(
    features: np.ndarray,
    labels: np.ndarray,
    groups: Sequence[Group],
    *,
    selection: np.ndarray,
    spec: Head,
    classes: int,
    threads: int,
) -> TrainedHeads:
    """Train a head for every group and every member.

    Args:
        features: (N, d) float32, all rows.
        labels: (members, N) int; member j of every group is trained, and selected, on `labels[j]`.
        groups: what to train on; groups may differ in size.
        selection: rows that choose the epoch: (v,) of all groups, or (groups, v) of each.
        spec: optimiser, epochs, patience, monitored metric.
        classes: number of classes; two give one logistic output, more give one output a class.
        threads: of the numerical work; part of the result.

    Returns:
        The heads in the order of `groups`.

    Raises:
        DataError: a head diverged in its first epoch.
    """
    torch.set_num_threads(threads)
    started = time.monotonic()
    outputs = 1 if classes == 2 else classes
    shared, targets = torch.from_numpy(_with_ones(features)), torch.from_numpy(labels.astype(np.int64))
    shape = (len(groups), len(labels))
    trained = TrainedHeads(
        weight=np.empty((*shape, outputs, shared.shape[1]), dtype=np.float32),
        best_epoch=np.empty(shape, dtype=np.int64),
        history=np.empty((spec.epochs, *shape)),
    )
    for some, members in _stacks(*shape, outputs, shared.shape[1], spec.batch_size):
        chosen_by = selection if selection.ndim == 1 else selection[some]
        stack = HeadStack(shared, targets[members], groups[some], chosen_by, spec, outputs)
        _fit(stack, spec.epochs)
        part = stack.result()
        trained.weight[some, members], trained.best_epoch[some, members] = part.weight, part.best_epoch
        trained.history[:, some, members] = part.history
    logger.info(
        "%d heads on %d values: %.1f s", len(groups) * len(labels), features.shape[1], time.monotonic() - started
    )
    return trained


def _stacks(groups: int, members: int, outputs: int, size: int, batch: int) -> Iterator[tuple[slice, slice]]:
    """Groups and members of every stack: many groups only where all their members fit."""
    limit = STACK_BYTES["cuda" if torch.cuda.is_available() else "cpu"] // (4 * size)
    columns = min(members, max(1, limit // (TENSORS_A_HEAD * outputs)))
    rows = max(1, limit // (TENSORS_A_HEAD * outputs * columns + batch))
    for start in range(0, groups, rows):
        for first in range(0, members, columns):
            yield slice(start, start + rows), slice(first, first + columns)


def _fit(stack: HeadStack, epochs: int) -> None:
    logging.getLogger("pytorch_lightning").setLevel(logging.ERROR)
    # barebones: no logger, checkpoint or progress bar, each of which would cost more than a step
    trainer = lightning.Trainer(
        max_epochs=epochs, barebones=True, accelerator="auto", devices=1, plugins=[single_process()]
    )
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")  # no optimizer, few workers: both are meant
        # an epoch is one step of Lightning's, whose bookkeeping costs more than a step of a small stack
        trainer.fit(stack, DataLoader([stack.batches], batch_size=None))  # type: ignore[arg-type]


class HeadStack(lightning.LightningModule):
    """A stack of heads as one Lightning module, with early stopping a head."""

    features: Tensor
    labels: Tensor

    def __init__(
        self, features: Tensor, labels: Tensor, groups: Sequence[Group], selection: np.ndarray, spec: Head, outputs: int
    ) -> None:
        super().__init__()
        self.automatic_optimization = False
        self.spec = spec
        self.register_buffer("features", features, persistent=False)
        self.register_buffer("labels", labels.t().contiguous(), persistent=False)
        self.selection = torch.from_numpy(np.asarray(selection, dtype=np.int64))
        members, size = len(labels), features.shape[1]
        # the largest groups first: those with batches left in an epoch are always a prefix of the stack
        self.live = np.argsort([-len(group.rows) for group in groups], kind="stable")
        self.batches = Batches(groups, self.live, spec.batch_size)
        weight = np.stack([_initial(groups[index], outputs, size) for index in self.live])
        self.weight = torch.nn.Parameter(
            torch.from_numpy(weight).unsqueeze(1).repeat(1, members, 1, 1), requires_grad=False
        )
        self.live_members = np.arange(members)
        self.best_weight = np.empty((len(groups), members, outputs, size), dtype=np.float32)
        self.best_value = np.full((len(groups), members), -np.inf)
        self.best_epoch = np.zeros((len(groups), members), dtype=np.int64)
        self.history: list[np.ndarray] = []

    def configure_optimizers(self) -> None:
        """None: a step moves a prefix of the stack (see `optimizers`)."""

    def on_fit_start(self) -> None:
        """Make the optimiser, and what a step writes to, once the weights stand on the device of the training."""
        self.optimizer = make_optimizer(self.weight.data, self.batches.counts, self.spec)
        # memory that is taken anew at every step costs more than the step
        self.gradient = torch.empty_like(self.weight).flatten()
        self.inputs = self.features.new_empty(len(self.weight) * self.spec.batch_size, self.features.shape[1])

    def training_step(self, batches: Batches, _: int) -> None:
        """An epoch."""
        for rows, share in batches:
            self._step(rows.to(self.device), share.to(self.device))

    def _step(self, rows: Tensor, share: Tensor) -> None:
        """One step of every group that has a batch left: rows (a, b), weights (a, b) that sum to one a group."""
        inputs = torch.index_select(self.features, 0, rows.flatten(), out=self.inputs[: rows.numel()])
        inputs = inputs.view(*rows.shape, -1)
        weight = self.weight.data[: len(rows)]
        gamma = self.spec.gamma if self.spec.loss == "focal" else 0.0
        error = _errors(weight, inputs, self.labels[rows], gamma) * share[..., None, None]
        gradient = self.gradient[: weight.numel()].view(len(rows), -1, weight.shape[-1])
        torch.bmm(error.flatten(2).transpose(1, 2), inputs, out=gradient)
        self.optimizer.step(self.weight.data, gradient.view(weight.shape))

    def on_train_epoch_end(self) -> None:
        """Score all heads on the selection rows, keep the best weights, drop those that have stopped."""
        value = self._monitored()
        epoch = self.current_epoch + 1
        live = np.ix_(self.live, self.live_members)
        running = epoch - self.best_epoch[live] <= self.spec.patience
        better = running & (value > self.best_value[live])
        self.history.append(np.full(self.best_value.shape, np.nan))
        self.history[-1][live] = np.where(running, value, np.nan)
        group, member = np.nonzero(better)
        heads = self.live[group], self.live_members[member]
        self.best_weight[heads] = self.weight.data[group, member].cpu().numpy()
        self.best_value[heads] = value[group, member]
        self.best_epoch[heads] = epoch
        self._drop(epoch - self.best_epoch[live] >= self.spec.patience)

    def _drop(self, stopped: np.ndarray) -> None:
        """Leave out groups whose members have all stopped, and members that have stopped in all groups."""
        if stopped.all():
            self.trainer.should_stop = True
        elif stopped.all(axis=1).any() or stopped.all(axis=0).any():
            groups, members = np.any(~stopped, axis=1), np.any(~stopped, axis=0)
            self.live, self.live_members = self.live[groups], self.live_members[members]
            self.batches.live = self.live
            rows, columns = (torch.from_numpy(kept).to(self.device) for kept in (groups, members))
            self.labels = self.labels[:, columns]
            self.weight.data = self.weight.data[rows][:, columns]
            self.optimizer.keep(groups, members)

    @torch.no_grad()
    def _monitored(self) -> np.ndarray:
        """The monitored value of every live head on the selection rows, larger is better: (groups, members)."""
        rows = (self.selection if self.selection.ndim == 1 else self.selection[self.live]).to(self.device)
        logits = _logits(self.weight.data, self.features[rows])
        probability = logits.softmax(dim=-1).cpu().numpy()
        label = self.labels[rows].transpose(-2, -1).cpu().numpy()  # (members, v), or (groups, members, v)
        if self.spec.monitor == "loss":
            value = -metrics.log_losses(probability, label).mean(axis=-1)
        else:
            # a class missing from the selection rows leaves the AUC undefined: no head is better than another then
            value = np.nan_to_num(metrics.METRICS[self.spec.monitor](probability, label), nan=0.0)
        # a head that has diverged is better than none
        return np.where(np.isfinite(probability).all(axis=(-2, -1)), value, -np.inf)

    def result(self) -> TrainedHeads:
        """The heads at their best epoch.

        Raises:
            DataError: a head had diverged after its first epoch already.
        """
        if diverged := int((self.best_epoch == 0).sum()):
            raise DataError(
                f"{diverged} of {self.best_epoch.size} heads diverged in their first epoch (their predictions are not"
                f" finite) at learning_rate: {self.spec.learning_rate:g}; give the head a smaller learning_rate or"
                " standardize: true"
            )
        return TrainedHeads(self.best_weight, self.best_epoch, np.stack(self._padded_history()))

    def _padded_history(self) -> list[np.ndarray]:
        missing = self.spec.epochs - len(self.history)
        return [*self.history, *[np.full(self.best_value.shape, np.nan)] * missing]


class Batches(IterableDataset):
    """The batches of one epoch: (rows (a, b), share (a, b)) for the a groups that have one left.

    A short last batch is padded with rows of share zero, so that its loss is the mean over its own rows.
    """

    def __init__(self, groups: Sequence[Group], live: np.ndarray, size: int) -> None:
        self.groups = groups
        self.live = live
        self.size = size
        self.counts = -(-np.array([len(groups[index].rows) for index in live]) // size)
        self.generators = {(g.seed, g.stream, len(g.rows)): np.random.default_rng([g.seed, g.stream]) for g in groups}

    def __iter__(self) -> Iterator[tuple[Tensor, Tensor]]:
        # groups of one seed, stream and size share an order of positions: a draw differs in its rows alone
        orders = {key: generator.permutation(key[2]) for key, generator in self.generators.items()}
        lengths = np.array([len(self.groups[index].rows) for index in self.live])
        rows = np.zeros((len(self.live), int(lengths.max())), dtype=np.int64)
        for place, index in enumerate(self.live):
            group = self.groups[index]
            rows[place, : len(group.rows)] = group.rows[orders[group.seed, group.stream, len(group.rows)]]
        for start in range(0, rows.shape[1], self.size):
            active = int((lengths > start).sum())
            count = np.minimum(lengths[:active] - start, self.size)[:, None]
            batch = rows[:active, start : start + self.size]
            share = np.where(np.arange(batch.shape[1]) < count, 1 / count, 0.0).astype(np.float32)
            yield torch.from_numpy(batch), torch.from_numpy(share)


def _initial(group: Group, outputs: int, size: int) -> np.ndarray:
    """Weights and bias as torch.nn.Linear draws them: uniform within ± 1 / √d; (outputs, d + 1)."""
    bound = 1 / np.sqrt(size - 1)
    # a stream apart from that of the orders: a third number of 0 would give the same one
    return (
        np.random.default_rng([group.seed, group.stream, 1]).uniform(-bound, bound, (outputs, size)).astype(np.float32)
    )


def _with_ones(features: np.ndarray) -> np.ndarray:
    """Features with a column of ones, whose weight is the bias."""
    return np.concatenate(
        [features.astype(np.float32, copy=False), np.ones((len(features), 1), dtype=np.float32)], axis=1
    )


def _outputs(weight: Tensor, features: Tensor) -> Tensor:
    """What weights (g, m, o, d) give for features (g, b, d) or (b, d): (g, b, m, o)."""
    groups, members, outputs, size = weight.shape
    if features.ndim == 2:  # one product for all groups
        return (features @ weight.view(-1, size).t()).view(-1, groups, members, outputs).transpose(0, 1)
    return torch.bmm(features, weight.view(groups, -1, size).transpose(1, 2)).view(groups, -1, members, outputs)


def _logits(weight: Tensor, features: Tensor) -> Tensor:
    """Logits (g, m, b, classes) of weights (g, m, o, d) on features (g, b, d) or (b, d).

    One output o is the logit of class 1 against 0, which is a softmax over [0, logit].
    """
    logits = _outputs(weight, features).transpose(1, 2)
    return functional.pad(logits, (1, 0)) if weight.shape[2] == 1 else logits


def _errors(weight: Tensor, features: Tensor, target: Tensor, gamma: float) -> Tensor:
    """The loss's derivative by the outputs: (g, b, m, o); of the cross-entropy it is probability minus truth.

    Args:
        weight: (g, m, o, d).
        features: (g, b, d).
        target: (g, b, m) int, the true class for each member.
        gamma: of the focal loss; 0 for cross-entropy.
    """
    outputs = _outputs(weight, features)
    if weight.shape[2] == 1:
        error = outputs.sigmoid_().sub_(target.unsqueeze(-1))
    else:
        error = outputs.softmax(dim=-1).sub_(functional.one_hot(target, weight.shape[2]))
    if gamma == 0:
        return error
    # the largest error is that of the true class: one minus its probability
    return error * focal_factor(1 - error.abs().amax(dim=-1, keepdim=True), gamma)
