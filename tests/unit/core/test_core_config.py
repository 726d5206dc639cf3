"""What is wrong in a configuration is refused with the key's path, the value and what is allowed."""

from __future__ import annotations

import copy
from pathlib import Path
from typing import Any

import pytest
import yaml
from hypothesis import assume, given, settings
from hypothesis import strategies as st

from heteroscope import config
from heteroscope.errors import ConfigError

ROOT = Path(__file__).parents[3]
DEMO: dict[str, Any] = yaml.safe_load((ROOT / "config/config.yaml").read_text(encoding="utf-8"))
FOLDER = {"adapter": "folder", "root": "x", "classes": {"a": ["a"], "b": ["b"]}}
STUDY = ("studies", "planted")


def changed(path: tuple[Any, ...], value: Any) -> dict[str, Any]:
    raw = copy.deepcopy(DEMO)
    node = raw
    for key in path[:-1]:
        node = node[key]
    node[path[-1]] = value
    return raw


def refusal(raw: Any) -> str:
    with pytest.raises(ConfigError) as caught:
        config.load(raw)
    message = str(caught.value)
    assert "pydantic" not in message
    return message


@pytest.mark.parametrize("path", sorted((ROOT / "config").glob("**/*.yaml")), ids=lambda path: path.name)
def test_every_configuration_of_the_project_is_sound(path: Path) -> None:
    raw = yaml.safe_load(path.read_text(encoding="utf-8"))
    if "studies" not in raw:
        pytest.skip("a profile of Snakemake")
    assert config.load(raw).studies


@pytest.mark.parametrize(
    ("path", "value", "says"),
    [
        # unknown keys, one a section
        (("kluster",), 1, "kluster: unknown key"),
        (("datasets", "planted", "patient"), 1, "datasets.planted.patient: unknown key (did you mean 'patients'?)"),
        (
            ("datasets", "planted", "balance"),
            {"bye": "x"},
            "datasets.planted.balance.bye: unknown key (did you mean 'by'",
        ),
        (("pixels", "square-96", "sise"), 1, "pixels.square-96.sise: unknown key (did you mean 'size'?)"),
        (("splits", "holdout", "tests"), 1, "splits.holdout.tests: unknown key (did you mean 'test'?)"),
        (("splits", "holdout", "shuffle"), {"by": "x", "seed": 1, "se": 2}, "splits.holdout.shuffle.se: unknown key"),
        (("augmentations",), {"a": {"rotaton": 3}}, "augmentations.a.rotaton: unknown key (did you mean 'rotation'?)"),
        (("backbones", "small-cnn", "pool"), "avg", "backbones.small-cnn.pool: unknown key (did you mean 'pooling'?)"),
        (
            ("backbones", "small-cnn", "finetune", "epoch"),
            3,
            "small-cnn.finetune.epoch: unknown key (did you mean 'epochs'",
        ),
        (("clusterings", "kmeans-2", "K"), 3, "clusterings.kmeans-2.K: unknown key"),
        (("clusterings", "kmeans-2", "reduce", "compnents"), 3, "kmeans-2.reduce.compnents: unknown key (did you mean"),
        (("heads", "linear", "lr"), 3, "heads.linear.lr: unknown key"),
        (("controls", "demo", "repeat"), 3, "controls.demo.repeat: unknown key (did you mean 'repeats'?)"),
        ((*STUDY, "metrics"), "auc", "studies.planted.metrics: unknown key (did you mean 'metric'?)"),
        (
            (*STUDY, "primary", "cluster"),
            "x",
            "studies.planted.primary.cluster: unknown key (did you mean 'clustering'?)",
        ),
        # wrong types
        (("datasets",), None, "datasets: None: allowed: keys with values"),
        (("augmentations",), None, "augmentations: None"),
        (("datasets", "planted"), None, "datasets.planted: None"),
        (
            ("datasets", "planted", "patients"),
            "many",
            "datasets.planted.patients: 'many': allowed: a whole number",
        ),
        (("datasets", "planted", "classes"), ["a", "b"], "datasets.planted.classes: ['a', 'b']"),
        (("datasets", "planted", "filter"), {"age": 3}, "datasets.planted.filter.age: 3: allowed: a list"),
        (("clusterings", "kmeans-2", "k"), 2.5, "clusterings.kmeans-2.k: 2.5"),
        (("heads", "linear", "seeds"), True, "heads.linear.seeds: True: this key takes no truth value (YAML reads on"),
        (("heads", "linear", "standardize"), "maybe", "heads.linear.standardize: 'maybe'"),
        ((*STUDY, "clusterings"), "kmeans-2", "studies.planted.clusterings: 'kmeans-2': allowed: a list"),
        (("data_root",), 3, "data_root: 3: allowed: text"),
        # impossible values
        (("threads",), 0, "threads: 0: allowed: at least 1"),
        (
            ("datasets", "planted", "patients"),
            5,
            "datasets.planted.patients: 5: allowed: at least 8",
        ),
        (
            ("datasets", "planted", "truth"),
            "true",
            "datasets.planted.truth: 'true': allowed: 'homogeneous', 'benign'",
        ),
        (
            ("datasets", "planted", "adapter"),
            "phantm",
            "datasets.planted.adapter: 'phantm': allowed: 'folder' or 'table'",
        ),
        (
            ("datasets", "planted", "filter"),
            {"age": []},
            "datasets.planted.filter.age: []: allowed: a list of at least 1",
        ),
        (
            ("datasets", "planted", "filter"),
            {"age": {"min": 9, "max": 4}},
            "planted.filter.age: no value lies between min: 9",
        ),
        (("datasets", "planted", "classes"), {"a": ["x"]}, "datasets.planted.classes: at least two classes"),
        (("datasets", "planted", "classes"), {"a": ["x"], "b": []}, "datasets.planted.classes: every class needs"),
        (("datasets", "planted", "classes"), {"a": ["x"], "b": ["x"]}, "words that stand in two classes: x"),
        (("datasets", "f"), FOLDER | {"pattern": "("}, "datasets.f.pattern: not a regular expression"),
        (("pixels", "square-96", "channels"), 2, "pixels.square-96.channels: 2: allowed: 1 or 3"),
        (("augmentations",), {"a": {"zoom": 1.0}}, "augmentations.a.zoom: 1.0: allowed: less than 1"),
        (
            ("backbones", "small-cnn", "model"),
            "smal-cnn",
            "backbones.small-cnn.model: unknown model 'smal-cnn'; did you mean",
        ),
        (
            ("backbones", "small-cnn", "finetune", "initial"),
            "IMAGENET1K_V9",
            "small-cnn.finetune.initial: unknown published",
        ),
        (
            ("backbones", "b"),
            {"model": "small-cnn", "weights": "IMAGENET1K_V1", "pixels": "square-96"},
            "backbones.b.weights:",
        ),
        (
            ("backbones", "small-cnn", "weights"),
            "random",
            "backbones.small-cnn: `weights: trained` and a `finetune` recipe",
        ),
        (("clusterings", "kmeans-2", "k"), 1, "clusterings.kmeans-2.k: 1: allowed: at least 2"),
        (
            ("clusterings", "kmeans-2", "reduce"),
            {"method": "pca"},
            "clusterings.kmeans-2.reduce: pca needs exactly one",
        ),
        (
            ("clusterings", "kmeans-2", "reduce"),
            {"components": 3},
            "kmeans-2.reduce: `components` and `variance` belong",
        ),
        (("heads", "linear", "learning_rate"), float("inf"), "heads.linear.learning_rate: inf"),
        (("heads", "linear", "learning_rate"), float("nan"), "heads.linear.learning_rate: nan"),
        (("controls", "demo", "arms"), ["size", "size", "balanced"], "controls.demo.arms: named twice: size"),
        (("controls", "demo", "arms"), ["siz"], "controls.demo.arms.0: 'siz': allowed: 'size', 'balanced', "),
        (("controls", "demo", "seed"), -1, "controls.demo.seed: -1: allowed: at least 0"),
        ((*STUDY, "level"), 0.9, "studies.planted.level: 0.9: allowed: less than 0.5"),
        ((*STUDY, "backbones"), [], "studies.planted.backbones: []"),
        ((*STUDY, "backbones"), ["small-cnn", "small-cnn"], "studies.planted.backbones: named twice: small-cnn"),
        ((*STUDY, "clusterings"), ["kmeans-2", "kmeans-2"], "studies.planted.clusterings: named twice: kmeans-2"),
        (
            (*STUDY, "backbones"),
            ["small-cnn+"],
            "studies.planted.backbones.0: 'small-cnn+': allowed: an id of lower-case",
        ),
        ((*STUDY, "primary", "clustering"), "x", "studies.planted.primary.clustering: 'x' is not one of this study's"),
        (
            (*STUDY, "backbones"),
            ["small"],
            "studies.planted.backbones.0: unknown id 'small' (did you mean 'small-cnn'?)",
        ),
        # splits
        (("splits", "holdout", "test"), 1.5, "splits.holdout.test: 1.5: allowed: less than 1"),
        (
            ("splits", "holdout", "test"),
            "sorce",
            "splits.holdout.test: 'sorce': allowed: a number or keys with values or 'source'",
        ),
        (("splits", "holdout", "test"), {"were": {}}, "splits.holdout.test.were: unknown key (did you mean 'where'?)"),
        (("splits", "holdout", "test"), None, "splits.holdout: exactly one of `test` and `folds`"),
        (("splits", "holdout", "folds"), 4, "splits.holdout: exactly one of `test` and `folds`"),
        (("splits", "holdout", "validation"), 0.6, "leave nothing to train on (their shares sum to 1.15)"),
        (
            ("splits", "f"),
            {"test": None, "folds": 2, "validation": 0.5},
            "splits.f: test, validation and backbone leave",
        ),
        # ids
        (
            ("splits", "Holdout"),
            {},
            "splits.Holdout: 'Holdout': allowed: an id of lower-case letters, digits and hyphens",
        ),
        (("splits", "a+b"), {}, "splits.a+b: 'a+b': allowed: an id"),
        (("augmentations",), {"none": {}}, "augmentations.none: this id is reserved"),
        (
            ("backbones", "small-cnn", "pixels"),
            "square-69",
            "pixels: unknown id 'square-69' (did you mean 'square-96'?); known",
        ),
        (
            ("backbones", "small-cnn", "finetune", "augmentation"),
            "a",
            "small-cnn.finetune.augmentation: unknown id 'a'; known",
        ),
        ((*STUDY, "dataset"), "plantd", "studies.planted.dataset: unknown id 'plantd' (did you mean 'planted'?)"),
        ((*STUDY, "split"), "holdot", "studies.planted.split: unknown id 'holdot' (did you mean 'holdout'?)"),
        ((*STUDY, "head"), "liner", "studies.planted.head: unknown id 'liner' (did you mean 'linear'?); known: linear"),
        ((*STUDY, "controls"), "dmo", "studies.planted.controls: unknown id 'dmo' (did you mean 'demo'?)"),
        ((*STUDY, "augmentation"), "flip", "studies.planted.augmentation: unknown id 'flip'; known: none"),
        ((*STUDY, "features"), ["welch"], "studies.planted.features.0: unknown id 'welch'; known: none"),
        ((*STUDY, "hybrids"), ["forest"], "studies.planted.hybrids.0: unknown id 'forest'; known: none"),
        ((*STUDY, "regressions"), ["ridge"], "studies.planted.regressions.0: unknown id 'ridge'; known: none"),
        ((*STUDY, "explanations"), ["cams"], "studies.planted.explanations.0: unknown id 'cams'; known: none"),
        # unions
        (("datasets", "u"), FOLDER | {"adapter": "union"}, "datasets.u.datasets: this key is required"),
        (
            ("datasets", "u"),
            {**FOLDER, "adapter": "union", "datasets": ["planted", "benig"]},
            "datasets.u.root: unknown key",
        ),
        # published protocols only
        (
            ("splits", "holdout", "shuffle"),
            {"by": "x", "seed": 1},
            "`shuffle` repeats a published split: it needs `group: none`",
        ),
    ],
)
def test_what_is_wrong_is_said(path: tuple[Any, ...], value: Any, says: str) -> None:
    assert says in refusal(changed(path, value))


FINDINGS = FOLDER | {"pattern": r"(?P<label>\w+)/(?P<group>\w+)-(?P<years>\d+)"}
TABLE = {"table": "t.csv", "path": "p", "label": "l", "attributes": {"age": "Age"}}
LESION = {"x": "x", "y": "y", "radius": "r"}


@pytest.mark.parametrize(
    ("dataset", "target", "says"),
    [
        ({"attributes": ["age", "exudates"]}, "age", None),
        ({"attributes": ["age"]}, "agee", "(did you mean 'age'?); known: age; name it in datasets.planted.attributes"),
        ({}, "camera", "the target 'camera' of 'ridge' is no number that is known of the images; known: none"),
        (FOLDER | TABLE | {"adapter": "table"}, "age", None),
        (
            FOLDER | TABLE | {"adapter": "table"},
            "Age",
            "known: age; name it in datasets.planted.attributes, or another",
        ),
        (FOLDER | TABLE | {"adapter": "table", "lesion": LESION}, "lesions", None),
        (FINDINGS, "years", None),
        (FINDINGS, "group", "known: years; name it in datasets.planted.pattern, or another one in regressions.ridge."),
        ({"adapter": "odir5k", "root": "x"}, "age", None),
        ({"adapter": "odir5k", "root": "x"}, "Age", "known: age; name another one in regressions.ridge.target"),
        ({"adapter": "inbreast", "root": "x"}, "whatever", None),  # its own table tells
    ],
)
def test_a_target_is_a_number_that_the_dataset_tells(dataset: dict[str, Any], target: str, says: str | None) -> None:
    raw = changed(("regressions",), {"ridge": {"target": target, "regressor": {"method": "linear"}}})
    raw["studies"]["planted"]["regressions"] = ["ridge"]
    phantom = raw["datasets"]["planted"]
    raw["datasets"]["planted"] = (dataset if "adapter" in dataset else phantom | dataset) | {
        "classes": {"normal": ["normal"], "disease": ["disease"]}
    }
    if says is None:
        config.load(raw)
    else:
        message = refusal(raw)
        assert "studies.planted.regressions.0: the target" in message
        assert says in message


@pytest.mark.parametrize(
    ("attributes", "says"),
    [
        (["lesions"], "datasets.planted.attributes.0: 'lesions': allowed: 'exudates', 'haemorrhages' or 'age'"),
        (["age", "age"], "datasets.planted.attributes: named twice: age"),
        ("age", "datasets.planted.attributes: 'age': allowed: a list"),
    ],
)
def test_a_phantom_tells_numbers_that_it_has(attributes: Any, says: str) -> None:
    assert says in refusal(changed(("datasets", "planted", "attributes"), attributes))


def test_a_better_understood_member_of_a_union_speaks_alone() -> None:
    message = refusal(changed(("splits", "holdout", "test"), 1.5))
    assert message.count("\n") == 1, message
    message = refusal(changed(("datasets", "planted", "filter"), {"age": {"min": 3, "maxx": 4}}))
    assert message.splitlines()[1:] == [
        "  datasets.planted.filter.age.maxx: unknown key (did you mean 'max'?); allowed: max, min"
    ]


@pytest.mark.parametrize(
    ("text", "path"),
    [
        ("on: 1", "True"),
        ("datasets: {on: {adapter: phantom, truth: benign}}", "datasets.True"),
        ("datasets: {3: {adapter: phantom, truth: benign}}", "datasets.3"),
        ("heads: {linear: {no: 1}}", "heads.linear.False"),
        ("heads: {linear: {~: 1}}", "heads.linear.None"),
        ("datasets: {d: {adapter: phantom, truth: benign, classes: {no: [a], ill: [b]}}}", "datasets.d.classes.False"),
    ],
)
def test_keys_that_yaml_does_not_read_as_text(text: str, path: str) -> None:
    message = refusal(DEMO | yaml.safe_load(text))
    value = path.rsplit(".", 1)[-1]
    assert f"{path}: {value}: a key is text: put what YAML reads as a number or a truth value" in message


@pytest.mark.parametrize("raw", [None, [], "text", 3])
def test_what_is_no_mapping_at_all(raw: Any) -> None:
    assert "keys with values" in refusal(raw)


def test_numbers_written_as_yaml_does_not_know_them_are_read() -> None:
    # YAML 1.1 reads 1e-3 as text
    raw = changed(("heads", "linear", "learning_rate"), yaml.safe_load("1e-3"))
    assert config.load(raw).heads["linear"].learning_rate == 0.001


def test_all_problems_are_told_at_once() -> None:
    raw = changed(("heads", "linear", "epoch"), 3)
    raw["clusterings"]["kmeans-2"]["k"] = 0
    del raw["pixels"]
    message = refusal(raw)
    assert all(
        part in message for part in ("heads.linear.epoch", "clusterings.kmeans-2.k", "pixels: this key is required")
    )


# ------------------------------------------------------------------------------- what hangs together


def test_a_study_names_the_split_and_not_a_fold_of_it() -> None:
    raw = changed(("splits", "cv"), {"test": None, "folds": 3, "validation": 0.2})
    loaded = config.load(raw)
    assert (loaded.folds("cv"), loaded.folds("holdout")) == (["cv-1", "cv-2", "cv-3"], ["holdout"])
    raw["studies"]["planted"]["split"] = "cv-3"
    assert "studies.planted.split: unknown id 'cv-3'" in refusal(raw)
    assert "known: holdout, cv" in refusal(raw)
    raw["studies"]["planted"]["split"] = "cv"
    assert "split 'cv' has backbone: 0" in refusal(raw)
    raw["splits"]["cv"]["backbone"] = 0.2
    assert config.load(raw).studies["planted"].split == "cv"


def test_no_backbone_is_trained_on_what_another_fold_tests() -> None:
    raw = changed(("splits", "cv"), {"test": None, "folds": 3, "validation": 0.2})
    raw["studies"]["planted"]["split"] = "cv"
    raw["backbones"]["small-cnn"]["finetune"] = {"share": "train"}
    assert "would be trained on images that a fold of 'cv' tests; set finetune.share: backbone" in refusal(raw)
    raw["studies"]["planted"]["split"] = "holdout"
    assert config.load(raw)


def test_a_fold_may_not_have_the_name_of_another_split() -> None:
    raw = changed(("splits", "cv"), {"test": None, "folds": 3, "validation": 0.2})
    raw["splits"]["cv-2"] = {"test": 0.2}
    assert "splits.cv-2: collides with the folds of splits.cv (cv-1 …)" in refusal(raw)
    raw["splits"]["cv"] = {"test": 0.2}
    assert config.load(raw)
    del raw["splits"]["cv-2"]
    raw["splits"] |= {"cv": {"test": None, "folds": 3, "validation": 0.2}, "cv-x": {"test": 0.2}}
    assert config.load(raw)


def test_a_union_names_datasets_that_are_none() -> None:
    union = {"adapter": "union", "datasets": ["planted", "benign"], "classes": FOLDER["classes"]}
    raw = changed(("datasets", "both"), union)
    assert config.load(raw).datasets["both"].class_names == ["a", "b"]
    raw["datasets"]["more"] = union | {"datasets": ["both", "planted"]}
    message = refusal(raw)
    assert message.splitlines()[1:] == [
        "  datasets.more.datasets.0: 'both' is a union itself; name its datasets instead"
    ]
    raw["datasets"]["more"] = union | {"datasets": ["planted", "benin"]}
    assert "datasets.more.datasets.1: unknown id 'benin' (did you mean 'benign'?)" in refusal(raw)
    raw["datasets"]["more"] = union | {"datasets": ["planted", "planted"]}
    assert "datasets.more.datasets: named twice: planted" in refusal(raw)


def test_selection_needs_the_images_it_looks_at() -> None:
    raw = changed(("splits", "holdout", "validation"), 0)
    message = refusal(raw)
    for study in ("planted", "benign"):
        assert (
            f"studies.{study}: head 'linear' selects on validation images, but split 'holdout' has validation: 0"
            in message
        )
    raw["heads"]["linear"]["selection"] = "test"
    assert config.load(raw).heads["linear"].selection == "test"


def test_a_trained_backbone_needs_its_share() -> None:
    raw = changed(("splits", "holdout", "backbone"), 0)
    assert "backbone 'small-cnn' is trained on the split's backbone share" in refusal(raw)
    raw["backbones"]["small-cnn"]["finetune"]["share"] = "train"
    assert config.load(raw)


def test_parts_of_a_fusion_must_exist() -> None:
    raw = changed(("backbones", "other"), {"model": "small-cnn", "weights": "random", "pixels": "square-96"})
    raw["studies"]["planted"]["backbones"] = ["small-cnn", "small-cnn+other"]
    assert config.load(raw).studies["planted"].backbones[1] == "small-cnn+other"
    raw["studies"]["planted"]["backbones"][1] = "small-cnn+othr"
    assert "studies.planted.backbones.1: unknown id 'othr' (did you mean 'other'?)" in refusal(raw)


# ------------------------------------------------------------------------------------- properties


def keys_of(node: Any, path: tuple[Any, ...] = ()) -> list[tuple[Any, ...]]:
    children = node.items() if isinstance(node, dict) else enumerate(node) if isinstance(node, list) else ()
    return [
        found
        for key, child in children
        for found in ([(*path, key)] if isinstance(node, dict) else []) + keys_of(child, (*path, key))
    ]


KEYS = keys_of(DEMO)


def complaint(raw: dict[str, Any]) -> str | None:
    """What is said of a configuration; None where it is taken."""
    try:
        config.load(raw)
    except ConfigError as error:
        return str(error)
    return None


@settings(max_examples=80, deadline=None)
@given(path=st.sampled_from(KEYS), place=st.integers(0, 20), letter=st.sampled_from("qz_X"))
def test_any_misspelt_key_is_named(path: tuple[Any, ...], place: int, letter: str) -> None:
    raw = copy.deepcopy(DEMO)
    node = raw
    for key in path[:-1]:
        node = node[key]
    place %= len(path[-1])
    misspelt = path[-1][:place] + letter + path[-1][place + 1 :]
    assume(misspelt != path[-1])
    node[misspelt] = node.pop(path[-1])
    said = complaint(raw)
    if said is None:  # an entry that nothing names, or a study, may have any id
        assert len(path) == 2
        assert path[0] in ("studies", "datasets")
    else:  # a misspelt id shows where it is used, or in itself
        assert misspelt in said or path[-1] in said


@settings(max_examples=60, deadline=None)
@given(path=st.sampled_from(KEYS))
def test_any_deleted_key_is_a_default_or_named(path: tuple[Any, ...]) -> None:
    raw = copy.deepcopy(DEMO)
    node = raw
    for key in path[:-1]:
        node = node[key]
    del node[path[-1]]
    said = complaint(raw)
    assert said is None or path[-1] in said


@settings(max_examples=80, deadline=None)
@given(path=st.sampled_from(KEYS), value=st.sampled_from([None, [], {}, -1, "", "?", 1e99, True, {"x": {}}, [[]]]))
def test_any_odd_value_is_taken_or_named(path: tuple[Any, ...], value: Any) -> None:
    said = complaint(changed(path, value))
    # a section replaced by another valid one is missed by the studies that name its entries
    assert said is None or path[-1] in said or (len(path) == 1 and "unknown id" in said)


# ---------------------------------------------------------------------------------- dump and parse


def test_an_entry_comes_back_from_its_text() -> None:
    loaded = config.load(DEMO)
    for kind, entries in (
        (config.Split, loaded.splits),
        (config.Backbone, loaded.backbones),
        (config.Head, loaded.heads),
        (config.Controls, loaded.controls),
        (config.Dataset, loaded.datasets),
    ):
        for entry in entries.values():
            assert config.parse(kind, config.dump(entry)) == entry
    assert config.dump(None) == "null"


def test_the_order_of_classes_is_kept() -> None:
    for order in (["zebra", "ape", "mule"], ["mule", "zebra", "ape"]):
        dataset = config.FolderDataset(adapter="folder", root="x", classes={name: [name] for name in order})
        assert config.parse(config.Dataset, config.dump(dataset)).class_names == order


def test_an_entry_with_all_defaults_written_out_says_them() -> None:
    text = config.dump(config.Head())
    assert '"batch_size": 8' in text
    assert config.dump(config.parse(config.Head, "{}")) == text


@pytest.mark.parametrize("text", ["{", "null", "[]", '{"k": 1}', '{"k": 3, "kk": 2}'])
def test_a_specification_that_cannot_be_read(text: str) -> None:
    with pytest.raises(ConfigError):
        config.parse(config.Clustering, text)


def test_where_a_datasets_files_are() -> None:
    raw = changed(("datasets", "f"), FOLDER)
    raw["data_root"] = "/data"
    loaded = config.load(raw)
    assert config.dataset_root(loaded, "f") == Path("/data/x")
    assert config.dataset_root(loaded, "planted") is None
