"""Which decisions are explained, and what is refused because it was not reported."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
import pytest

from heteroscope.config import Explanation, load
from heteroscope.embedding.samples import Samples
from heteroscope.errors import ConfigError, StoreError
from heteroscope.evaluation.baseline import prediction_table
from heteroscope.evaluation.explanations import (
    Decisions,
    alone,
    decisions,
    example_rows,
    explained_classes,
    require_the_reported_network,
    study_table,
    telling_features,
)
from heteroscope.store import write_json, write_table
from heteroscope.training.linear import LinearHead
from tests.conftest import tiny_config

NAMES = ["benign", "malignant", "normal"]


def make_samples() -> Samples:
    generator = np.random.default_rng(0)
    image_id = np.array([f"{row:016x}" for row in range(30)], dtype=object)
    part = np.array(["train"] * 20 + ["test"] * 10, dtype=object)
    features = generator.normal(size=(30, 4)).astype(np.float32)
    return Samples(features, image_id, np.zeros(30, int), part, np.arange(30) % 3, image_id, NAMES, {})


def make_head() -> LinearHead:
    generator = np.random.default_rng(1)
    return LinearHead(generator.normal(size=(2, 3, 4)), generator.normal(size=(2, 3)))


@pytest.fixture
def reported(tmp_path: Path) -> Path:
    samples, head = make_samples(), make_head()
    test = samples.in_memory()[samples.rows("test")]
    probability = np.stack([head.probabilities(test, seed) for seed in range(2)])
    write_table(prediction_table(samples, probability), tmp_path / "predictions.parquet")
    return tmp_path / "predictions.parquet"


def test_the_decisions_are_those_reported_of_one_training(reported: Path) -> None:
    table = pd.read_parquet(reported).query("seed == 1")
    made = decisions(make_samples(), make_head(), reported, Explanation(seed=1))
    np.testing.assert_array_equal(made.probability, table[[f"probability_{name}" for name in NAMES]])
    np.testing.assert_array_equal(made.called, made.explained)
    assert (made.right == (table["label"] == made.called)).all()


def test_what_was_not_reported_is_not_explained(reported: Path) -> None:
    head = make_head()
    with pytest.raises(StoreError, match=r"predictions\.parquet: the head beside it gives other probabilities"):
        decisions(make_samples(), LinearHead(head.weight, head.bias + np.array([0, 0.1, 0])), reported, Explanation())
    with pytest.raises(ConfigError, match="seed: 2: the head has 2 trainings"):
        decisions(make_samples(), head, reported, Explanation(seed=2))
    probability = np.full((4, 2), 0.5)
    near = probability + np.array([0.01, -0.01])
    with pytest.raises(StoreError, match="set `precision: float32`"):
        require_the_reported_network(near, probability, precision="float32 + float32", where=reported)
    found = require_the_reported_network(near, probability, precision="float32 + bfloat16", where=reported)
    assert found == {"mean": pytest.approx(0.01), "largest": pytest.approx(0.01)}


def test_examples_are_the_surest_of_every_class_right_before_wrong() -> None:
    sure = np.array([0.9, 0.6, 0.8, 0.7, 0.95, 0.55])
    label, called = np.array([0, 0, 0, 1, 1, 0]), np.array([0, 0, 1, 1, 1, 0])
    probability = np.where(np.eye(2)[called] == 1, sure[:, None], 1 - sure[:, None])
    made = Decisions(probability, label, called)
    assert example_rows(made, 2).tolist() == [0, 1, 2, 4, 3]
    assert example_rows(made, 1).tolist() == [0, 2, 4]


@pytest.mark.parametrize(
    ("explained", "classes"), [("called", [0, 2]), ("true", [1, 1]), ("malignant", [1, 1]), ("normal", [2, 2])]
)
def test_the_explained_class_is_the_one_asked_for(explained: str, classes: list[int]) -> None:
    found = explained_classes(Explanation(explained=explained), np.array([0, 2]), np.array([1, 1]), NAMES)
    assert found.tolist() == classes


def test_parts_decide_alone_on_their_own_features() -> None:
    generator = np.random.default_rng(2)
    heads = [LinearHead(generator.normal(size=(1, 3, width)), generator.normal(size=(1, 3))) for width in (2, 3)]
    features, label = generator.normal(size=(4, 5)), np.array([0, 1, 2, 0])
    found = alone(heads, features, label, NAMES, Explanation(explained="true"))
    for head, own, columns, probability in zip(
        heads, (features[:, :2], features[:, 2:]), (slice(0, 2), slice(2, 5)), found.probability, strict=True
    ):
        np.testing.assert_allclose(found.direction[:, columns], head.weight[0][label])
        np.testing.assert_allclose(probability, head.probabilities(own, 0))


def test_features_are_told_by_the_images_that_did_not_train_the_network() -> None:
    samples = make_samples()
    for part, feature in (("train", 1), ("test", 3)):
        samples.features[samples.part == part, feature] += 50 * samples.label[samples.part == part]
    for part, feature in (("train", 1), ("test", 3)):
        table, untested = telling_features(samples, 1, part)
        assert (table["feature"].tolist(), untested) == ([feature], "")


def test_features_are_not_told_by_a_single_patient() -> None:
    samples = make_samples()
    group = np.where(samples.label == 1, "one", samples.group)
    table, untested = telling_features(replace(samples, group=group), 3, "test")
    assert untested.startswith("class malignant: 1 patients or images")
    assert table.empty
    whole, _ = telling_features(samples, 3, "test")
    assert table.columns.tolist() == whole.columns.tolist()


def test_the_pointing_game_of_folds_is_one_and_says_on_which_weights(tmp_path: Path) -> None:
    games = {"label": NAMES[1], "right": True, "lesions": 1, "lesion_area": 0.1, "centre_hit": 0.0}
    for fold, hits in enumerate(([1.0, 0.0], [1.0])):
        cams = pd.DataFrame({"group": [f"{fold}-{row}" for row in range(len(hits))], "hit": hits, **games})
        write_table(cams, tmp_path / f"{fold}.csv")
        write_json({"class_names": NAMES, "method": "grad-cam", "weights": "random"}, tmp_path / f"{fold}.json")
    files = {kind: [str(tmp_path / f"{fold}.{ending}") for fold in range(2)] for kind, ending in
             (("cams", "csv"), ("summaries", "json"))}  # fmt: skip
    table = study_table([{"backbone": "net", "explanation": "cam", **files}]).set_index("images")
    assert table.loc["all", ["n", "patients", "hits"]].tolist() == [3, 3, 2]
    assert "called wrong" not in table.index
    assert set(table["weights"]) == {"random"}


def explaining(spec: dict[str, Any], **changes: Any) -> dict[str, Any]:
    config = tiny_config()
    config["explanations"] = {"cam": spec}
    config["studies"]["tiny"] |= {"explanations": ["cam"]}
    for section, entries in changes.items():
        config[section] |= entries
    return config


def test_what_cannot_be_explained_is_refused_before_anything_runs() -> None:
    load(explaining({"explained": "disease", "layers": {"small-cnn": "features.6"}}))
    with pytest.raises(ConfigError, match=r"studies\.tiny: an explanation is of 'cancer', which is no class of 'toy'"):
        load(explaining({"explained": "cancer"}))
    with pytest.raises(ConfigError, match=r"explanations\.cam\.layers: unknown id 'small-cnn2'"):
        load(explaining({"layers": {"small-cnn2": "features.6"}}))
    other = {"model": "small-cnn", "weights": "random", "pixels": "square-64"}
    config = explaining({}, backbones={"other": other}, pixels={"square-64": {"size": 64}})
    config["studies"]["tiny"] |= {"backbones": ["small-cnn", "small-cnn+other"]}
    with pytest.raises(ConfigError, match=r"its parts look at different pixels \(square-32, square-64\)"):
        load(config)
