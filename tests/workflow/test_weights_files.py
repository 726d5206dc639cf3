"""A weights file that the configuration names is an input like any other; training asks for nothing but its recipe."""

from __future__ import annotations

import shutil
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from heteroscope.backbones.weights import initial_weights, write_weights

MODEL = "results/finetune/toy/tuned/holdout/model.pt"


def write_file(path: Path, *, seed: int) -> None:
    write_weights(initial_weights("small-cnn", "random", seed=seed, downloads=path.parent, key="weights"), path)


def with_a_trained_backbone(config: dict[str, Any], **changes: Any) -> dict[str, Any]:
    """The study on a backbone whose training starts from the file `mine.pt`."""
    recipe = {"share": "train", "initial": "mine.pt", "epochs": 1}
    tuned = {"model": "small-cnn", "weights": "trained", "pixels": "square-32", "finetune": recipe} | changes
    primary = {"backbone": "tuned", "clustering": "kmeans-2"}
    study = config["studies"]["tiny"] | {"backbones": ["tuned"], "primary": primary}
    return config | {"backbones": {"tuned": tuned}, "studies": {"tiny": study}}


@pytest.fixture
def trained(snakemake: Callable, finished: Path, tiny: dict[str, Any], tmp_path: Path) -> Path:
    """A folder in which the backbone was trained, and nothing behind it."""
    folder = shutil.copytree(finished, tmp_path / "trained")
    write_file(folder / "mine.pt", seed=1)
    done = snakemake(folder, with_a_trained_backbone(tiny), "--cores", "2", MODEL)
    assert done.returncode == 0, done.stdout + done.stderr
    return folder


def test_another_file_trains_again_and_another_layer_does_not(
    planned: Callable, trained: Path, tiny: dict[str, Any]
) -> None:
    config = with_a_trained_backbone(tiny)
    assert not planned(trained, config).keys() & {"weights", "finetune"}
    how_it_embeds = {"layer": "features.3", "pooling": "flatten", "batch_size": 4}
    jobs = planned(trained, with_a_trained_backbone(tiny, **how_it_embeds))
    assert not jobs.keys() & {"weights", "finetune"}
    write_file(trained / "mine.pt", seed=2)
    jobs = planned(trained, config)
    assert jobs["weights"] == jobs["finetune"] == 1
    assert not jobs.keys() & {"phantom", "dataset", "pixels", "split"}


def test_a_missing_file_is_refused_before_any_job(snakemake: Callable, tmp_path: Path, tiny: dict[str, Any]) -> None:
    tiny["backbones"]["small-cnn"]["weights"] = "folder/mine.pth"
    done = snakemake(tmp_path, tiny, "--cores", "1")
    output = done.stdout + done.stderr
    assert done.returncode != 0
    assert "Traceback" not in output
    assert "backbones.small-cnn.weights: 'folder/mine.pth': no such file; put it there" in output
    assert not (tmp_path / "results/phantom").exists()
