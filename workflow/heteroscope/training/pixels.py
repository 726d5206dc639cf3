"""Batches of labelled images, read from a pixels file as training goes."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass, replace
from pathlib import Path

import h5py
import numpy as np
import pandas as pd
import torch
from torch.utils.data import DataLoader, Dataset

from heteroscope.config import Augmentation
from heteroscope.errors import DataError, StoreError
from heteroscope.store import open_h5, read_strings
from heteroscope.training.lightning import pytorch_lightning as lightning


@dataclass(frozen=True)
class LabelledImages:
    """Images of a pixels file with labels, in a fixed order.

    Attributes:
        row: (n,) int, row of the pixels file.
        image_id: (n,) str.
        label: (n,) int.
        copy: (n,) int, which of the copies of an image this one is, from 0; each has views of its own.
    """

    row: np.ndarray
    image_id: np.ndarray
    label: np.ndarray
    copy: np.ndarray

    def __len__(self) -> int:
        return len(self.row)

    def take(self, chosen: np.ndarray) -> LabelledImages:
        """The chosen ones (a mask or numbers)."""
        return LabelledImages(self.row[chosen], self.image_id[chosen], self.label[chosen], self.copy[chosen])

    def oversampled(self, *, seed: int) -> LabelledImages:
        """With copies of the images of smaller classes, until all classes are as large as the largest.

        Every image of a class has as many copies as any other, but for one more of some that are drawn.
        """
        generator = np.random.default_rng([seed, 1])
        counts = np.bincount(self.label)
        chosen, copy = [np.arange(len(self))], [np.zeros(len(self), dtype=np.int64)]
        for label in np.flatnonzero(counts):
            members = np.flatnonzero(self.label == label)
            rounds, rest = divmod(int(counts.max()), len(members))
            more = [np.tile(members, rounds - 1), np.sort(generator.permutation(members)[:rest])]
            chosen += more
            copy += [np.repeat(np.arange(1, rounds), len(members)), np.full(rest, rounds)]
        rows = self.take(np.concatenate(chosen))
        return replace(rows, copy=np.concatenate(copy))

    def class_weights(self, classes: int) -> np.ndarray:
        """(classes,) weights by which all classes count as much; 0 of a class without images."""
        counts = np.bincount(self.label, minlength=classes)
        return np.where(counts > 0, len(self) / (counts > 0).sum() / np.maximum(counts, 1), 0.0)


def labelled_images(pixels: Path, rows: pd.DataFrame) -> LabelledImages:
    """Find the images of a split's rows (columns image_id and label) in a pixels file.

    Raises:
        StoreError: an image is not there.
    """
    with open_h5(pixels, "pixels") as file:
        row_of = {name: row for row, name in enumerate(read_strings(file, "image_id"))}
    if missing := [name for name in rows["image_id"] if name not in row_of]:
        raise StoreError(f"{pixels}: has no image {missing[0]}; run the workflow again to make it anew")
    return LabelledImages(
        row=np.array([row_of[name] for name in rows["image_id"]], dtype=np.int64),
        image_id=rows["image_id"].to_numpy(dtype=object),
        label=rows["label"].to_numpy(dtype=np.int64),
        copy=np.zeros(len(rows), dtype=np.int64),
    )


def hold_out(rows: pd.DataFrame, share: float, *, seed: int) -> np.ndarray:
    """Choose a share of the patients, class by class, so that no patient is on both sides.

    Args:
        rows: columns group and label; a patient counts for the class of their first image.
        share: of the patients of each class; at least one of each that has two.
        seed: of the choice.

    Returns:
        (n,) bool: held out.

    Raises:
        DataError: too few patients to hold one out and keep one of each class.
    """
    generator = np.random.default_rng(seed)
    patients = rows.drop_duplicates("group").sort_values("group")
    chosen: list[str] = []
    for _, members in patients.groupby("label", sort=True):
        count = max(round(share * len(members)), 1) if len(members) > 1 else 0
        chosen += generator.permutation(members["group"].to_numpy(dtype=object))[:count].tolist()
    held = rows["group"].isin(chosen).to_numpy(dtype=bool)
    kept_classes, classes = rows["label"][~held].nunique(), rows["label"].nunique()
    if not held.any() or kept_classes < classes or classes < 2:
        raise DataError(
            f"fine-tuning has {len(rows)} images of {len(patients)} patients and {classes} classes: too few to hold"
            " out some patients and train on every class; give the split a larger `backbone` share"
        )
    return held


class _Images(Dataset):
    """One batch an item; the item's number is a list of positions."""

    def __init__(self, file: h5py.File, images: LabelledImages, augmentation: Augmentation | None) -> None:
        self.file = file
        self.images = images
        self.augmentation = augmentation
        self.epoch = 0
        self._copies = int(images.copy.max(initial=0)) + 1

    def __getitem__(self, positions: list[int]) -> tuple[torch.Tensor, torch.Tensor]:
        arrays = [self.file["pixels"][self.images.row[position]] for position in positions]
        if self.augmentation:
            from heteroscope.data.augmentation import augment  # only where views are made

            # an epoch's view is drawn like any other view: from image and number
            names, views = self.images.image_id[positions], self.epoch * self._copies + self.images.copy[positions] + 1
            arrays = [
                augment(pixels, self.augmentation, str(name), int(view))
                for pixels, name, view in zip(arrays, names, views, strict=True)
            ]
        return torch.from_numpy(np.stack(arrays)), torch.from_numpy(self.images.label[positions])


class _Batches:
    """Lists of positions: in order, or shuffled anew each epoch."""

    def __init__(self, count: int, size: int, seed: int | None) -> None:
        self.count = count
        self.size = size
        self.seed = seed
        self.epoch = 0

    def __iter__(self) -> Iterator[list[int]]:
        order = np.arange(self.count)
        if self.seed is not None:
            order = np.random.default_rng([self.seed, self.epoch]).permutation(self.count)
        return iter([order[start : start + self.size].tolist() for start in range(0, self._end(), self.size)])

    def _end(self) -> int:
        """A last training batch of one image has no variance for batch norm: it waits for the next epoch."""
        alone = self.seed is not None and self.count % self.size == 1 and self.count > 1
        return self.count - alone

    def __len__(self) -> int:
        return -(-self._end() // self.size)


class PixelsModule(lightning.LightningDataModule):
    """Training and held-out batches (pixels uint8, label) from an open pixels file."""

    def __init__(
        self,
        file: h5py.File,
        *,
        training: LabelledImages,
        held_out: LabelledImages,
        augmentation: Augmentation | None,
        batch_size: int,
        seed: int,
    ) -> None:
        super().__init__()
        self._training = _Images(file, training, augmentation)
        self._held_out = held_out
        self._file, self._batch_size = file, batch_size
        self._order = _Batches(len(training), batch_size, seed)

    @property
    def steps(self) -> int:
        """Training batches of an epoch."""
        return len(self._order)

    def set_epoch(self, epoch: int) -> None:
        """The epoch decides the order of images and their augmentation."""
        self._order.epoch = self._training.epoch = epoch

    def train_dataloader(self) -> DataLoader:
        """Shuffled, augmented."""
        return DataLoader(self._training, sampler=self._order, batch_size=None)  # type: ignore[arg-type]

    def val_dataloader(self) -> DataLoader:
        """In order, as they are."""
        return self.in_order(self._held_out)

    def in_order(self, images: LabelledImages) -> DataLoader:
        """Any images of the file, as they are."""
        order = _Batches(len(images), self._batch_size, None)
        return DataLoader(_Images(self._file, images, None), sampler=order, batch_size=None)  # type: ignore[arg-type]
