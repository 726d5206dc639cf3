"""What a recipe trains, at which learning rate, on how many images of a class, and how it goes on after a stop."""

from __future__ import annotations

import logging
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
import pytest
import torch
from sklearn.utils.class_weight import compute_class_weight

from heteroscope.backbones.pooling import FeatureExtractor
from heteroscope.backbones.registry import build_backbone
from heteroscope.backbones.weights import read_weights
from heteroscope.config import Config, Finetune, load
from heteroscope.errors import ConfigError
from heteroscope.store import create_h5, read_table, write_strings, write_table
from heteroscope.training.classifier import Classifier
from heteroscope.training.losses import focal_loss
from heteroscope.training.pixels import LabelledImages, PixelsModule
from heteroscope.training.progress import Progress
from tests.unit.training.test_finetune import COUNT, SIZE, planted, study, train

__all__ = ["study"]
CYCLE = {"method": "cyclical", "maximum": 0.05, "step_size": 1.5}


def images(labels: list[int]) -> LabelledImages:
    count = len(labels)
    names = np.array([f"i{number}" for number in range(count)], dtype=object)
    return LabelledImages(np.arange(count), names, np.array(labels), np.zeros(count, dtype=np.int64))


def test_the_cyclical_rate_is_triangular2_in_closed_form(study: Path) -> None:
    """Smith (2017): base + (max - base) * max(0, 1 - |t / s - 2c + 1|) / 2^(c - 1), c = floor(1 + t / 2s)."""
    history = train(study, learning_rate=0.01, optimizer="sgd", momentum=0.9, schedule=CYCLE, epochs=8, patience=8)
    steps = 4  # 64 images by 16
    t, s = steps * history["epoch"].to_numpy(), 1.5 * steps
    cycle = np.floor(1 + t / (2 * s))
    expected = 0.01 + 0.04 * np.maximum(0, 1 - np.abs(t / s - 2 * cycle + 1)) / 2 ** (cycle - 1)
    np.testing.assert_allclose(history["learning_rate"], expected, rtol=1e-5)
    assert history["learning_rate"].nunique() == 4


def test_a_cycle_needs_a_maximum_above_its_lowest_rate() -> None:
    with pytest.raises(ValueError, match=r"schedule\.maximum: 0\.007 is not above learning_rate 0\.2"):
        Finetune.model_validate({"optimizer": "sgd", "learning_rate": 0.2, "schedule": CYCLE | {"maximum": 0.007}})
    with pytest.raises(ValueError, match="momentum: belongs to sgd, not to adam"):
        Finetune(momentum=0.9)


def test_oversampled_classes_are_as_large_and_their_copies_as_many() -> None:
    labels = [0] * 11 + [1] * 4 + [3] * 1
    shown = images(labels).oversampled(seed=3)
    assert np.bincount(shown.label).tolist() == [11, 11, 0, 11]
    counts = pd.Series(shown.image_id).value_counts()
    assert counts[[f"i{n}" for n in range(11)]].eq(1).all()
    assert sorted(counts[[f"i{n}" for n in range(11, 15)]]) == [2, 3, 3, 3]
    assert counts["i15"] == 11
    # every copy of an image is another one, so that augmentation makes another view of it
    assert not pd.DataFrame({"name": shown.image_id, "copy": shown.copy}).duplicated().any()
    assert (shown.label == np.array(labels)[shown.row]).all()
    again, other = (images(labels).oversampled(seed=seed) for seed in (3, 4))
    assert (again.row == shown.row).all()
    assert (other.row != shown.row).any()


def test_copies_of_an_image_are_augmented_on_their_own(tmp_path: Path) -> None:
    from heteroscope.config import Augmentation
    from heteroscope.store import open_h5

    with create_h5(tmp_path / "pixels.h5", "pixels", {"spec": {"size": SIZE}}) as file:
        file.create_dataset("pixels", data=planted()[0][:2])
    with open_h5(tmp_path / "pixels.h5", "pixels") as file:
        shown = images([0, 1]).take(np.array([0, 0, 1]))
        shown.copy[1] = 1
        options: Any = {"held_out": shown, "augmentation": Augmentation(rotation=90), "batch_size": 3, "seed": 0}
        data = PixelsModule(file, training=shown, **options)
        views = []
        for epoch in range(2):
            data.set_epoch(epoch)
            ((pixels, label),) = list(data.train_dataloader())
            views += list(pixels[label == 0])
    assert len({view.numpy().tobytes() for view in views}) == 4


def test_class_weights_are_balanced_and_weigh_as_torchs_do() -> None:
    labels = [0] * 7 + [1] * 2 + [2] * 3
    weights = images(labels).class_weights(4)
    expected = compute_class_weight("balanced", classes=np.arange(3), y=np.array(labels))
    np.testing.assert_allclose(weights, [*expected, 0])
    scores, label = torch.randn(12, 4, generator=torch.Generator().manual_seed(0)), torch.tensor(labels)
    weight = torch.from_numpy(weights).float()
    torch.testing.assert_close(
        focal_loss(scores, label, 0.0, weight), torch.nn.functional.cross_entropy(scores, label, weight=weight)
    )


def unbalance(study: Path) -> None:
    """Most patients of class 1 leave share B."""
    split = read_table(study / "split.parquet")
    gone = (split["label"] == 1) & (split["part"] == "backbone") & (split.index > 24)
    write_table(split[~gone], study / "split.parquet")


def test_the_recipe_decides_how_classes_of_different_size_count(study: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    unbalance(study)
    seen: list[tuple[np.ndarray, Any]] = []
    original = Classifier.training_step

    def spy(self: Classifier, batch: Any, number: int) -> Any:
        seen.append((batch[1].numpy(), self.class_weight))
        return original(self, batch, number)

    monkeypatch.setattr(Classifier, "training_step", spy)
    counts, weights = {}, {}
    for imbalance in ("none", "oversample", "class-weights"):
        seen.clear()
        train(study, epochs=1, batch_size=8, imbalance=imbalance)
        counts[imbalance] = np.bincount(np.concatenate([label for label, _ in seen])).tolist()
        weights[imbalance] = seen[0][1]
    few, many = min(counts["none"]), max(counts["none"])
    assert many > 2 * few
    assert counts["oversample"] == [many, many]
    assert counts["class-weights"] == counts["none"]
    assert weights["none"] is weights["oversample"] is None
    assert weights["class-weights"][1] / weights["class-weights"][0] == pytest.approx(many / few)


def grey(study: Path) -> None:
    """The same images with one channel."""
    pixels, _ = planted()
    names = [f"{number:016x}" for number in range(COUNT)]
    with create_h5(study / "pixels.h5", "pixels", {"spec": {"size": SIZE}}) as file:
        file.create_dataset("pixels", data=pixels.min(axis=1, keepdims=True), fletcher32=True)
        write_strings(file, "image_id", names)
        write_strings(file, "key", names)


def changed(study: Path) -> set[str]:
    """Names of tensors that training has changed or added."""
    before, after = (
        read_weights(study / name, model="small-cnn").network.state_dict() for name in ("initial.pt", "model.pt")
    )
    assert before.keys() <= after.keys()
    return {name for name, tensor in after.items() if name not in before or not torch.equal(tensor, before[name])}


def test_the_adapter_alone_is_trained_and_embeds_grey_images(study: Path) -> None:
    grey(study)
    history = train(study, trainable="adapter", epochs=3, learning_rate=0.01, batch_size=8)
    assert changed(study) == {"grey_adapter.weight", "grey_adapter.bias"}
    assert history["training_loss"].is_monotonic_decreasing
    trained, plain = (read_weights(study / name, model="small-cnn").network for name in ("model.pt", "initial.pt"))
    kernel = trained.get_submodule("grey_adapter").weight.detach()
    identity = torch.zeros(3, 1, 3, 3)
    identity[:, :, 1, 1] = 1
    assert 0 < (kernel - identity).abs().max() < 0.5, "it begins as three equal channels, and moves"
    pixels = torch.from_numpy(planted()[0].min(axis=1, keepdims=True)[:4])
    extractors = [FeatureExtractor(net, model="small-cnn", pooling="avg").eval() for net in (trained, plain)]
    with torch.inference_mode():
        adapted, replicated = (extractor(pixels) for extractor in extractors)
        # by hand: the convolution, then the normalisation of the plain network
        by_hand = torch.nn.functional.conv2d(pixels.float() / 255, kernel, trained.grey_adapter.bias, padding=1)
        expected = extractors[1](by_hand * 255)
    assert not torch.allclose(adapted, replicated)
    torch.testing.assert_close(adapted, expected)


def test_an_adapter_needs_pixels_of_one_channel(tiny: dict[str, Any]) -> None:
    tiny["splits"]["holdout"]["backbone"] = 0.2
    tiny["backbones"]["small-cnn"] |= {"weights": "trained", "finetune": {"trainable": "adapter"}}
    with pytest.raises(ConfigError, match=r"small-cnn\.finetune.trainable: adapter makes three channels of one"):
        load(tiny)
    tiny["pixels"]["square-32"]["channels"] = 1
    assert isinstance(load(tiny), Config)


@pytest.mark.parametrize(("trainable", "expected"), [("head", ()), ("last-block", ("features.12.", "features.13."))])
def test_what_is_frozen_stays_as_it_is_bit_by_bit(study: Path, trainable: str, expected: tuple[str, ...]) -> None:
    history = train(study, trainable=trainable, epochs=2, learning_rate=0.01)
    names = changed(study)
    assert all(name.startswith(expected) for name in names) if expected else not names
    assert {name.rpartition(".")[0] + "." for name in names} == set(expected)
    assert history["training_loss"].iloc[-1] < history["training_loss"].iloc[0], "the head is trained"


@pytest.mark.parametrize(
    ("model", "last", "frozen"),
    [
        ("resnet18", "layer4.0.conv1", "layer3.1.bn2"),
        ("densenet121", "features.denseblock4.denselayer1.conv1", "features.transition3.conv"),
        ("efficientnet_b0", "features.8.0", "features.7.0.block.3.0"),
        ("vgg11", "features.18", "features.16"),
        ("vit_b_32", "encoder.layers.encoder_layer_11.mlp.0", "encoder.layers.encoder_layer_10.mlp.0"),
        ("swin_t", "features.7.0.attn.qkv", "features.6.reduction"),
        ("mobilenet_v3_small", "features.12.0", "features.11.block.3.0"),
        ("convnext_tiny", "features.7.0.block.0", "features.6.1"),
    ],
)
def test_the_last_block_of_published_networks(model: str, last: str, frozen: str) -> None:
    with torch.device("meta"):
        backbone = build_backbone(model)
    module = Classifier(
        FeatureExtractor(backbone, model=model, pooling="avg"), 8, 2, Finetune(trainable="last-block"), steps=1
    )
    wakes = {name: module.extractor.backbone.get_submodule(name) for name in (last, frozen)}
    assert [next(part.parameters()).requires_grad for part in wakes.values()] == [True, False]
    assert [part.training for part in wakes.values()] == [True, False]
    assert module.head.weight.requires_grad
    module.eval()
    assert not any(part.training for part in module.modules())


def test_a_recipe_on_the_training_set_selects_on_validation_images(study: Path) -> None:
    split = read_table(study / "split.parquet")
    part = np.where(split["part"] == "backbone", "train", split["part"])
    part[:16] = "validation"
    write_table(split.assign(part=part), study / "split.parquet")
    train(study, epochs=1, share="train")
    # of share B, 64 images train and 16 select; here 64 train, the 16 that validate select
    assert read_weights(study / "model.pt", model="small-cnn").description.startswith("trained on 64 images")


@pytest.mark.skipif(torch.cuda.is_available(), reason="a GPU has bfloat16")
def test_mixed_precision_is_float32_without_a_gpu(study: Path) -> None:
    digests = []
    for precision in ("float32", "mixed"):
        train(study, epochs=1, precision=precision)
        digests.append(read_weights(study / "model.pt", model="small-cnn").sha256)
    assert digests[0] == digests[1]


# ---------------------------------------------------------------------------------- after a stop


class StopError(Exception):
    pass


@pytest.mark.parametrize(
    "recipe",
    [
        {"schedule": {"method": "plateau", "factor": 0.5, "patience": 1}, "min_delta": 10.0, "patience": 3},
        {"optimizer": "sgd", "momentum": 0.9, "schedule": CYCLE, "imbalance": "oversample"},
        {"model": "mobilenet_v3_small", "epochs": 3},  # which has dropout
    ],
    ids=["plateau", "cyclical", "dropout"],
)
def test_a_training_that_is_stopped_goes_on_as_if_it_were_not(
    study: Path, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture, recipe: dict[str, Any]
) -> None:
    recipe = {"epochs": 5, "patience": 9} | recipe
    augmented = ("--augmentation", '{"shift": 0.2, "flip": true}', "--logs", str(study / "logs"))
    train(study, "undisturbed", *augmented, **recipe)
    original = Progress.on_train_epoch_start

    def stop(self: Progress, trainer: Any, module: Any) -> None:
        if trainer.current_epoch == 2:
            raise StopError
        original(self, trainer, module)

    monkeypatch.setattr(Progress, "on_train_epoch_start", stop)
    with pytest.raises(StopError):
        train(study, "model", *augmented, **recipe)
    assert not (study / "model.pt").exists()
    monkeypatch.setattr(Progress, "on_train_epoch_start", original)
    with caplog.at_level(logging.INFO):
        train(study, "model", *augmented, **recipe)
    assert "goes on after epoch 2" in caplog.text
    for ending in ("pt", "csv", "parquet"):
        same = (study / f"model.{ending}").read_bytes() == (study / f"undisturbed.{ending}").read_bytes()
        assert same, f"{ending}: another result"
    assert not list(study.glob(".*checkpoints*"))
    runs = sorted(path.parent.name for path in (study / "logs").glob("*/metrics.csv"))
    assert runs == ["from-epoch-1", "from-epoch-3"]
    logged = pd.read_csv(study / "logs/from-epoch-3/metrics.csv")
    assert {"training_loss", "held_out_loss"} <= set(logged)
    assert any(name.startswith("lr-") for name in logged), "the learning rate is logged"
    assert len(list((study / "logs").glob("*/events.out.tfevents.*"))) == 2, "those of other trainings are kept"


def test_a_damaged_checkpoint_is_noticed_and_training_begins_anew(
    study: Path, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    recipe = {"epochs": 2, "patience": 9}
    train(study, "undisturbed", **recipe)

    def stop(*_: Any) -> None:
        raise StopError

    # the last step: training is over, its result is not yet written
    monkeypatch.setattr(PixelsModule, "in_order", stopping_after(PixelsModule.in_order, 1, stop))
    with pytest.raises(StopError):
        train(study, "model", **recipe)
    monkeypatch.undo()
    assert not (study / "model.pt").exists()
    (last,) = study.glob(".model.pt.checkpoints-*/last.ckpt")
    content = bytearray(last.read_bytes())
    content[len(content) // 2] ^= 0xFF
    last.write_bytes(content)
    train(study, "model", **recipe)
    assert "begins anew" in caplog.text
    assert (study / "model.pt").read_bytes() == (study / "undisturbed.pt").read_bytes()


def stopping_after(method: Any, calls: int, stop: Any) -> Any:
    done = []

    def counted(*arguments: Any) -> Any:
        done.append(1)
        return stop() if len(done) > calls else method(*arguments)

    return counted


def test_a_checkpoint_of_another_recipe_is_not_gone_on_from(
    study: Path, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    def stop(self: Progress, trainer: Any, module: Any) -> None:
        if trainer.current_epoch == 1:
            raise StopError

    monkeypatch.setattr(Progress, "on_train_epoch_start", stop)
    with pytest.raises(StopError):
        train(study, epochs=3)
    monkeypatch.undo()
    with caplog.at_level(logging.INFO):
        history = train(study, epochs=2, learning_rate=0.01)
    assert "goes on" not in caplog.text
    assert len(history) == 2
    assert not list(study.glob(".*checkpoints*"))
