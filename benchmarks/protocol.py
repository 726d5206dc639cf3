"""The whole published protocol against the way of its published code: the frozen network run in every epoch."""

from __future__ import annotations

import shutil
from collections.abc import Sequence
from pathlib import Path

import numpy as np
import torch
from torch import nn

from benchmarks.data import images_table, origin, photographs
from benchmarks.heads import shipped
from benchmarks.measure import Result, at_least, in_turn, judged, say, spread, told
from benchmarks.workplace import Workplace, stage
from heteroscope.backbones.pooling import FeatureExtractor
from heteroscope.backbones.weights import read_weights
from heteroscope.clustering.partition import assignments_table, partition_samples
from heteroscope.config import Backbone, Config, Split, dump
from heteroscope.embedding.samples import load_samples
from heteroscope.evaluation.runs import read_arm
from heteroscope.store import read_table, write_table

STEPS = 4  # of training and of validation, a round
SPLIT = Split(test=0.2, validation=0, group="none", seed=2023)


class Study:
    """The published fundus protocol on benchmark images, stage by stage as the DAG calls them."""

    def __init__(self, place: Workplace) -> None:
        self.place = place
        self.config = _config(place)
        self.backbone = self.config.backbones["efficientnet-b0"]
        self.root = photographs(place, place.sizes.originals, place.sizes.source)
        self.prepared = place.below("protocol")
        self.images = self.prepared / "images.parquet"
        write_table(images_table(place, self.root), self.images)
        self.split = self.prepared / "split.parquet"
        self.weights = self.prepared / "weights.pt"
        self.threads = {"threads": self.config.threads}
        stage(
            "split",
            **self.threads,
            images=self.images,
            spec=dump(SPLIT),
            classes_order='["normal", "disease"]',
            split=self.split,
            counts=self.prepared / "counts.csv",
            figure=self.prepared / "counts.png",
        )
        stage("weights", **self.threads, backbone_id="efficientnet-b0", spec=dump(self.backbone), output=self.weights)

    def embed(self, folder: Path) -> None:
        """From files to embeddings of originals and views; nothing is cached before."""
        workers = {"workers": self.place.cores}
        pixels, recipe = folder / "pixels.h5", folder / "engine.json"
        spec = self.config.pixels[self.backbone.pixels]
        stage("pixels", **self.threads, **workers, images=self.images, root=self.root, spec=dump(spec), pixels=pixels)
        common = {**self.threads, **workers, "pixels": pixels, "weights": self.weights, "cache": folder / "cache"}
        stage("engine", **common, spec=dump(self.backbone), output=recipe)
        stage("embed", **common, recipe=recipe, output=folder / "embeddings.h5")
        stage(
            "embed",
            **common,
            recipe=recipe,
            split=self.split,
            augmentation=dump(self.config.augmentations["first-600"]),
            output=folder / "views.h5",
        )

    def samples(self, folder: Path) -> dict[str, Path]:
        """The flags of every stage that trains heads."""
        return {"embeddings": folder / "embeddings.h5", "views": folder / "views.h5", "split": self.split}

    def cluster(self, folder: Path) -> None:
        """Assign the rows to clusters; no part of what is timed, on either side."""
        samples = load_samples([folder / "embeddings.h5"], [folder / "views.h5"], self.split)
        spec = self.config.clusterings["kmeans-4"]
        write_table(assignments_table(samples, partition_samples(samples, spec)), self.prepared / "assignments.parquet")

    def train(self, folder: Path) -> None:
        """The baseline, and every cluster with its controls."""
        head = {"head": dump(self.config.heads["published"])}
        stage(
            "train",
            **self.threads,
            **self.samples(folder),
            **head,
            predictions=folder / "predictions.parquet",
            metrics=folder / "metrics.json",
            trained=folder / "head.h5",
            history=folder / "history.csv",
            times=folder / "times.json",
        )
        for cluster in range(self.config.clusterings["kmeans-4"].k):
            stage(
                "retrain",
                **self.threads,
                **self.samples(folder),
                **head,
                assignments=self.prepared / "assignments.parquet",
                controls=dump(self.config.controls["published"]),
                cluster=cluster,
                **{f"{arm}_runs": folder / f"{arm}-{cluster}.h5" for arm in ("cluster", "size", "balanced")},
            )

    def epochs(self, folder: Path) -> float:
        """Mean number of epochs until a head of a cluster or of its size control stopped."""
        head = self.config.heads["published"]
        table = read_table(self.split)
        test = table.loc[table["part"] == "test", "image_id"].tolist()
        best = [
            read_arm(folder / f"{arm}-{cluster}.h5", test_images=test).best_epoch.ravel()
            for cluster in range(self.config.clusterings["kmeans-4"].k)
            for arm in ("cluster", "size")
        ]
        return float(np.minimum(np.concatenate(best) + head.patience, head.epochs).mean())


def _config(place: Workplace) -> Config:
    """The shipped study with random weights, and with the network and sizes of this run."""
    config = shipped("cataract-published")
    entry = config.backbones["efficientnet-b0"]
    changes = {"model": place.sizes.models[0], "weights": "random"}
    backbone = Backbone.model_validate(entry.model_dump() | changes)
    pixels = config.pixels[entry.pixels].model_copy(update={"size": place.sizes.side})
    clustering = config.clusterings["kmeans-4"]
    most = place.sizes.originals // 2  # rows bound the components; the published 200 at full size
    reduce = clustering.reduce.model_copy(update={"components": min(clustering.reduce.components or most, most)})
    head = config.heads["published"].model_copy(update={"epochs": place.sizes.epochs})
    return config.model_copy(
        update={
            "backbones": {"efficientnet-b0": backbone},
            "pixels": {entry.pixels: pixels},
            "clusterings": {"kmeans-4": clustering.model_copy(update={"reduce": reduce})},
            "heads": {"published": head},
        }
    )


class PublishedSteps:
    """Steps of the published code in torch: frozen network, flattened map, one logistic unit, batches in memory."""

    def __init__(self, study: Study, threads: int) -> None:
        weights = read_weights(study.weights, model=study.backbone.model)
        extractor = FeatureExtractor(weights.network, model=study.backbone.model, pooling=study.backbone.pooling)
        self.network = extractor.eval().requires_grad_(False)
        self.batch = study.config.heads["published"].batch_size
        self.threads = threads
        side = study.place.sizes.side
        self.images = torch.randint(0, 256, (self.batch, 3, side, side), dtype=torch.uint8)
        self.label = torch.arange(self.batch).remainder(2).float()
        self.head = nn.Linear(self.network(self.images).shape[1], 1)
        self.optimizer = torch.optim.Adam(self.head.parameters())

    def train(self) -> None:
        """Some steps of training."""
        torch.set_num_threads(self.threads)
        for _ in range(STEPS):
            with torch.no_grad():  # frozen: nothing is kept for a gradient
                features = self.network(self.images)
            loss = nn.functional.binary_cross_entropy_with_logits(self.head(features)[:, 0], self.label)
            self.optimizer.zero_grad()
            loss.backward()  # type: ignore[no-untyped-call]
            self.optimizer.step()

    @torch.no_grad()
    def validate(self) -> None:
        """Some steps of validation."""
        torch.set_num_threads(self.threads)
        for _ in range(STEPS):
            self.head(self.network(self.images))


def published(place: Workplace) -> Result:
    """Ours from files to trained heads in full; theirs by the time of a step and the published counts."""
    study = Study(place)
    first = place.below("protocol/first")
    say("  preparing the clusters")
    study.embed(first)
    study.cluster(first)
    shutil.rmtree(first)
    steps = PublishedSteps(study, place.cores)
    folder = place.folder / "protocol/round"

    def ours() -> None:
        shutil.rmtree(folder, ignore_errors=True)
        folder.mkdir()
        study.embed(folder)
        study.train(folder)

    steps.train()
    steps.validate()
    times = in_turn({"train": steps.train, "validate": steps.validate, "ours": ours}, place.sizes.rounds, warm_up=False)
    trained, validated = _images(study, read_table(study.prepared / "assignments.parquet")["part"].tolist())
    head = study.config.heads["published"]
    image = STEPS * steps.batch
    theirs = [
        head.epochs * (trained * train + validated * validate) / image
        for train, validate in zip(times["train"], times["validate"], strict=True)
    ]
    ratios = [their / our for their, our in zip(theirs, times["ours"], strict=True)]
    epochs = study.epochs(folder)
    shorter = [ratio * epochs / head.epochs for ratio in ratios]
    notes = [
        f"The published protocol: {place.sizes.originals} {origin()}, {study.backbone.model}, flattened, 25 trainings"
        " (the baseline, four clusters, five controls each). Ours: the stages pixels, engine, embed (originals and"
        f" views), train and retrain as processes, nothing cached before, in float32: {spread(times['ours'], ' s')}."
        " It trains the balanced controls too, which the published code does not have. Theirs is scaled: seconds of"
        f" {STEPS} steps of training and {STEPS} of validation on data in memory (decoding and augmentation cost"
        f" nothing), times {trained} training and {validated} validation images an epoch, times {head.epochs} epochs:"
        f" {spread([value / 60 for value in theirs], ' min', 0)}. Clustering is timed on neither side.",
        f"Heads that stop early ran {epochs:.1f} of {head.epochs} epochs here on average; the second row of the"
        " protocol scales theirs by that.",
    ]
    return Result(
        [
            judged(
                "the whole published protocol", "the published way, all epochs (scaled)", ratios, at_least(40), digits=1
            ),
            told("the same", "the published way, stopped early as ours (scaled)", spread(shorter, digits=1)),
        ],
        notes=notes,
    )


def _images(study: Study, parts: Sequence[str]) -> tuple[int, int]:
    """Training and validation images of one epoch of all trainings: baseline, clusters, controls of each cluster."""
    rows, test = parts.count("train"), parts.count("test")
    repeats, k = study.config.controls["published"].repeats, study.config.clusterings["kmeans-4"].k
    return rows * (1 + 1 + repeats), test * (1 + k + k * repeats)
