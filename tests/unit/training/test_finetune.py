"""Training a backbone on the study's own images."""

from __future__ import annotations

import json
from pathlib import Path

import numpy as np
import pandas as pd
import pytest
import torch
from sklearn.metrics import f1_score, precision_score, recall_score
from torch import nn

from heteroscope.backbones.weights import read_weights
from heteroscope.errors import DataError, StoreError
from heteroscope.stages import embed, engine, finetune, weights
from heteroscope.store import create_h5, open_h5, read_embeddings, read_table, write_strings, write_table
from heteroscope.training.classifier import Classifier
from heteroscope.training.pixels import PixelsModule, hold_out, labelled_images

SIZE = 32
COUNT = 120


def planted(seed: int = 0) -> tuple[np.ndarray, np.ndarray]:
    """Noisy images with a dark square, left in class 0 and right in class 1."""
    generator = np.random.default_rng(seed)
    labels = np.arange(COUNT) // 2 % 2  # patients of two images of one class
    pixels = generator.integers(60, 256, (COUNT, 3, SIZE, SIZE))
    colour = generator.permutation(3)[0]
    pixels[labels == 1, colour] //= 2
    return pixels.astype(np.uint8), labels


@pytest.fixture
def study(tmp_path: Path) -> Path:
    pixels, labels = planted()
    names = [f"{number:016x}" for number in range(COUNT)]
    with create_h5(tmp_path / "pixels.h5", "pixels", {"spec": {"size": SIZE}}) as file:
        file.create_dataset("pixels", data=pixels, chunks=(1, 3, SIZE, SIZE), fletcher32=True)
        write_strings(file, "image_id", names)
        write_strings(file, "key", names)
    frame = pd.DataFrame({"image_id": names, "label": labels, "group": [f"p{n // 2}" for n in range(COUNT)]})
    frame["class"] = frame["label"].map({0: "normal", 1: "disease"})
    frame["part"] = np.where(np.arange(COUNT) < 80, "backbone", "test")
    write_table(frame, tmp_path / "split.parquet")
    return tmp_path


def spec(model: str = "small-cnn", **recipe: object) -> str:
    defaults = {"epochs": 6, "batch_size": 16, "learning_rate": 0.003}
    backbone = {"model": model, "weights": "trained", "pixels": "p", "finetune": defaults | recipe}
    return json.dumps(backbone)


def train(study: Path, output: str = "model", *flags: str, **recipe: object) -> pd.DataFrame:
    """Run the stages weights and finetune; returns the history."""
    text = spec(**recipe)
    initial = study / "initial.pt"
    weights.main(["--backbone-id", "cnn", "--spec", text, "--output", str(initial)])
    finetune.main(
        [
            *("--spec", text, "--pixels", str(study / "pixels.h5"), "--split", str(study / "split.parquet")),
            *("--split-id", "holdout", "--weights", str(initial), "--threads", "1"),
            *("--model", str(study / f"{output}.pt"), "--history", str(study / f"{output}.csv")),
            *("--probabilities", str(study / f"{output}.parquet"), "--times", str(study / f"{output}.json")),
            *("--summary", str(study / f"{output}-summary.json"), *flags),
        ]
    )
    return read_table(study / f"{output}.csv")


def test_the_learning_rate_falls_where_the_loss_does_not(study: Path) -> None:
    """An improvement by 10 is impossible: after every two epochs more, the rate is halved; the fifth stops."""
    schedule = {"method": "plateau", "factor": 0.5, "patience": 2}
    history = train(study, learning_rate=0.004, epochs=9, patience=5, min_delta=10, schedule=schedule)
    assert history["learning_rate"].tolist() == pytest.approx([0.004, 0.004, 0.004, 0.002, 0.002, 0.001])
    assert (train(study, epochs=2)["learning_rate"] == 0.003).all()


def test_the_focal_loss_is_what_is_trained_and_held_out(study: Path) -> None:
    plain, focal = (train(study, epochs=2, loss=loss) for loss in ("cross-entropy", "focal"))
    # of a probability p it is (1 - p)^2 of the cross-entropy, at most a fourth where p is a half and more
    for name in ("training_loss", "held_out_loss"):
        assert focal[name].iloc[0] < plain[name].iloc[0] / 2
    same = train(study, epochs=2, loss="focal", gamma=0.0)
    pd.testing.assert_frame_equal(same, plain)


def test_an_easy_cue_is_learnt(study: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(study)
    history = train(study)
    assert history["held_out_accuracy"].max() > 0.9
    trained = read_weights(study / "model.pt", model="small-cnn")
    assert trained.description == "trained on 80 images of share B of holdout (initial: random (seed 0))"
    files = [
        "--pixels",
        str(study / "pixels.h5"),
        "--weights",
        str(study / "model.pt"),
        "--cache",
        str(study / "cache"),
    ]
    recipe = str(study / "engine.json")
    engine.main([*files, "--spec", spec(), "--output", recipe, "--threads", "1"])
    embed.main([*files, "--recipe", recipe, "--output", str(study / "embeddings.h5"), "--threads", "1"])
    features, labels = read_embeddings([study / "embeddings.h5"]).features.astype(float), planted()[1]
    centroids = np.stack([features[:80][labels[:80] == label].mean(axis=0) for label in (0, 1)])
    nearest = np.linalg.norm(features[80:, None] - centroids, axis=2).argmin(axis=1)
    assert (nearest == labels[80:]).mean() > 0.9, "the embedding of unseen images does not carry the cue"
    expected = {
        "pixels.h5",
        "split.parquet",
        "initial.pt",
        "model.pt",
        "model.csv",
        "model.parquet",
        "model.json",
        "model-summary.json",
        "embeddings.h5",
        "engine.json",
        "cache",
    }
    assert {path.name for path in study.iterdir()} == expected | {"embeddings.h5.digest"}, "litter"


def test_the_same_seed_gives_the_same_bytes(study: Path) -> None:
    train(study, "first", epochs=2)
    torch.rand(7)
    train(study, "again", epochs=2)
    train(study, "other", epochs=2, seed=5)
    for ending in (".pt", ".csv"):
        first = (study / "first").with_suffix(ending).read_bytes()
        assert first == (study / "again").with_suffix(ending).read_bytes()
        assert first != (study / "other").with_suffix(ending).read_bytes()


def test_the_epoch_of_the_lowest_held_out_loss_is_kept(study: Path) -> None:
    history = train(study, epochs=6, learning_rate=0.1, patience=2)
    best = int(history["held_out_loss"].idxmin())
    assert history["selected"].tolist() == [int(row == best) for row in range(len(history))]
    assert len(history) <= best + 1 + 2, "training went on beyond its patience"
    shorter = train(study, "shorter", epochs=best + 1, learning_rate=0.1, patience=50)
    assert shorter["selected"].tolist()[-1] == 1
    kept, expected = (read_weights(study / f"{name}.pt", model="small-cnn") for name in ("model", "shorter"))
    assert kept.sha256 == expected.sha256


def test_means_over_classes_of_every_epoch_are_scikit_learns(study: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Of whole epochs: batches are small, and not all of them hold both classes."""
    seen: dict[int, list[np.ndarray]] = {}
    original = Classifier.validation_step

    def watched(self: Classifier, batch: tuple[torch.Tensor, torch.Tensor], number: int) -> None:
        pixels, label = batch
        seen.setdefault(self.current_epoch + 1, []).append(np.stack([label, self(pixels).argmax(dim=1)]))
        original(self, batch, number)

    monkeypatch.setattr(Classifier, "validation_step", watched)
    history = train(study, epochs=3, patience=9, batch_size=3, learning_rate=0.00002).set_index("epoch")
    for epoch, batches in seen.items():
        label, called = np.hstack(batches)
        row = history.loc[epoch]
        assert row["held_out_accuracy"] == pytest.approx((label == called).mean(), abs=1e-5)
        for name, score in (("precision", precision_score), ("recall", recall_score), ("f1", f1_score)):
            expected = score(label, called, average="macro", zero_division=0)
            assert row[f"held_out_{name}"] == pytest.approx(expected, abs=1e-5)
    assert list(seen) == [1, 2, 3]
    assert len(seen[1]) > 3
    means = history[["held_out_precision", "held_out_recall", "held_out_f1"]]
    assert (means.max(axis=1) > means.min(axis=1)).any(), "all alike would be one metric three times"


def test_training_on_the_training_set_says_so(study: Path) -> None:
    split = read_table(study / "split.parquet")
    write_table(split.assign(part=split["part"].replace("backbone", "train")), study / "split.parquet")
    train(study, epochs=1, share="train")
    description = read_weights(study / "model.pt", model="small-cnn").description
    assert description == "trained on 80 images of the training set of holdout (initial: random (seed 0))"
    with pytest.raises(DataError, match="no image in part 'backbone'"):
        train(study, epochs=1)


def test_augmentation_changes_what_is_learnt_and_stays_deterministic(study: Path) -> None:
    flags = ("--augmentation", '{"shift": 0.2, "flip": true}')
    train(study, "plain", epochs=2)
    for name in ("augmented", "again"):
        train(study, name, *flags, epochs=2)
    digests = [read_weights(study / f"{name}.pt", model="small-cnn").sha256 for name in ("plain", "augmented", "again")]
    assert digests[1] == digests[2] != digests[0]


def patients(sizes: dict[str, tuple[int, int]]) -> pd.DataFrame:
    """Rows of patients: name → (label, number of images)."""
    rows = [(name, label) for name, (label, count) in sizes.items() for _ in range(count)]
    return pd.DataFrame(rows, columns=["group", "label"])


def test_held_out_patients_are_whole_and_of_every_class() -> None:
    generator = np.random.default_rng(0)
    rows = patients({f"p{n}": (int(n % 4 == 0), int(generator.integers(1, 4))) for n in range(100)})
    held = hold_out(rows, 0.2, seed=1)
    assert not set(rows["group"][held]) & set(rows["group"][~held])
    counts = rows[held].drop_duplicates("group")["label"].value_counts()
    assert counts.to_dict() == {0: 15, 1: 5}
    assert (hold_out(rows, 0.2, seed=1) == held).all()
    assert (hold_out(rows, 0.2, seed=2) != held).any()
    shuffled = rows.sample(frac=1, random_state=3)
    assert set(shuffled["group"][hold_out(shuffled, 0.2, seed=1)]) == set(rows["group"][held]), "row order decides"


@pytest.mark.parametrize("sizes", [{"a": (0, 3), "b": (1, 3)}, {f"p{n}": (0, 1) for n in range(9)}])
def test_too_few_patients_or_classes_are_refused(sizes: dict[str, tuple[int, int]]) -> None:
    with pytest.raises(DataError, match="larger `backbone` share"):
        hold_out(patients(sizes), 0.2, seed=0)


def test_batches_hold_each_image_once_and_are_shuffled_anew(study: Path) -> None:
    split = read_table(study / "split.parquet")[:65]  # a last batch of one image would have no variance
    images = labelled_images(study / "pixels.h5", split.iloc[::-1])
    with open_h5(study / "pixels.h5", "pixels") as file:
        data = PixelsModule(file, training=images, held_out=images, augmentation=None, batch_size=16, seed=2)
        orders = []
        for epoch in (0, 1, 0):
            data.set_epoch(epoch)
            batches = list(data.train_dataloader())
            assert [len(label) for _, label in batches] == [16, 16, 16, 16]
            orders.append(torch.cat([batch for batch, _ in batches]))
        held = list(data.val_dataloader())
    assert torch.equal(orders[0], orders[2])
    assert not torch.equal(orders[0], orders[1])
    assert len(torch.unique(orders[0].flatten(1), dim=0)) == 64
    pixels, labels = planted()
    np.testing.assert_array_equal(torch.cat([batch for batch, _ in held]).numpy(), pixels[:65][::-1])
    np.testing.assert_array_equal(torch.cat([label for _, label in held]).numpy(), labels[:65][::-1])


def test_training_runs_through_the_epochs_of_the_data(study: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Each epoch has an order of its own: with one step an epoch, losses of batches tell which images were seen."""
    seen = []
    original = PixelsModule.set_epoch
    monkeypatch.setattr(PixelsModule, "set_epoch", lambda self, epoch: (seen.append(epoch), original(self, epoch)))
    train(study, epochs=3, patience=5)
    assert seen == [0, 1, 2]


def test_an_image_that_is_not_in_the_pixels_is_named(study: Path) -> None:
    split = read_table(study / "split.parquet")
    split.loc[0, "image_id"] = "f" * 16
    with pytest.raises(StoreError, match="f" * 16):
        labelled_images(study / "pixels.h5", split)


def test_a_network_with_auxiliary_heads_trains(study: Path) -> None:
    from heteroscope.backbones.pooling import FeatureExtractor
    from heteroscope.backbones.registry import build_backbone

    extractor = FeatureExtractor(build_backbone("googlenet"), model="googlenet", pooling="avg").train()
    loss = nn.functional.cross_entropy(
        nn.Linear(1024, 2)(extractor(torch.zeros(2, 3, 96, 96, dtype=torch.uint8))), torch.tensor([0, 1])
    )
    loss.backward()
    assert extractor.backbone.conv1.conv.weight.grad is not None
