"""Names of models and weights are checked before any job starts, without torch."""

from __future__ import annotations

import json
import subprocess
import sys

import pytest

from heteroscope.config import Backbone, parse
from heteroscope.errors import ConfigError
from heteroscope.model_names import unknown_name


@pytest.mark.parametrize(
    ("entry", "message"),
    [
        ({"model": "resnet51", "weights": "random"}, "model: unknown model 'resnet51'; did you mean resnet50"),
        ({"model": "resnet50", "weights": "imagenet1k_v1"}, "'imagenet1k_v1'; did you mean IMAGENET1K_V1"),
        ({"model": "small-cnn", "weights": "IMAGENET1K_V1"}, "small-cnn has no published weights"),
        ({"model": "hybrid-cnn", "weights": "DEFAULT"}, "hybrid-cnn has no published weights"),
        ({"model": "vgg16", "weights": "IMAGENET1K_FEATURES"}, "unknown published weights"),
        ({"model": "small-cnn", "weights": "trained", "finetune": {"initial": "IMAGENET1K_V9"}}, "IMAGENET1K_V9"),
    ],
)
def test_a_wrong_name_is_refused_with_its_neighbours(entry: dict[str, object], message: str) -> None:
    with pytest.raises(ConfigError) as caught:
        parse(Backbone, json.dumps(entry | {"pixels": "p"}))
    assert message in str(caught.value)


@pytest.mark.parametrize("weights", ["IMAGENET1K_V2", "DEFAULT", "random", "folder/IMAGENET.pth"])
def test_names_and_files_that_may_be_right_pass(weights: str) -> None:
    assert parse(Backbone, json.dumps({"model": "resnet50", "weights": weights, "pixels": "p"})).weights == weights


def test_names_far_from_all_known_ones_list_some() -> None:
    assert unknown_name("layer", "zzz", ["conv1", "fc"]) == "unknown layer 'zzz'; known: conv1, fc"


def test_the_configuration_is_read_without_torch() -> None:
    command = "import sys, heteroscope.config; sys.exit('torch' in sys.modules)"
    assert subprocess.run([sys.executable, "-c", command], check=False).returncode == 0
