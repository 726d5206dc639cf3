"""Where results stand: a path holds exactly the axes that a file depends on."""

from __future__ import annotations

import hashlib
import re
from pathlib import Path
from typing import Any

import pytest

from heteroscope import config
from heteroscope.data.listing import update_listing
from heteroscope.errors import ConfigError
from heteroscope.layout import Layout
from heteroscope.provenance import ROOT

CLASSES = {"b": ["b"], "a": ["a"]}


def network(**changes: Any) -> dict[str, Any]:
    return {"model": "small-cnn", "weights": "random", "pixels": "small", **changes}


RAW: dict[str, Any] = {
    "data_root": "/data",
    "datasets": {
        "eyes": {"adapter": "table", "root": "eyes", "table": "t.csv", "path": "p", "label": "l", "classes": CLASSES},
        "chest": {"adapter": "folder", "root": "chest", "classes": CLASSES},
        "made": {"adapter": "phantom", "truth": "benign"},
        "both": {"adapter": "union", "datasets": ["eyes", "chest"], "classes": CLASSES},
    },
    "pixels": {"small": {"size": 32}, "large": {"size": 64}},
    "splits": {"cv": {"test": None, "folds": 2, "validation": 0.1, "backbone": 0.1}},
    "augmentations": {"flip": {"flip": True}},
    "backbones": {
        "frozen": network(),
        "wide": network(pixels="large", layer="features.3", seed=3, batch_size=4),
        "tuned": network(weights="trained", finetune={"epochs": 7, "initial": "w.pt"}, seed=5),
    },
    "clusterings": {"k2": {"k": 2}, "k3": {"k": 3}},
    "heads": {"linear": {}},
    "controls": {"all": {}, "plain": {"arms": ["size", "balanced"]}},
    "features": {"welch": {}},
    "studies": {
        "one": {
            "dataset": "eyes",
            "split": "cv",
            "augmentation": "flip",
            "backbones": ["frozen", "frozen+tuned"],
            "clusterings": ["k2", "k3"],
            "head": "linear",
            "controls": "all",
            "primary": {"backbone": "frozen", "clustering": "k3"},
        },
        "two": {
            "dataset": "eyes",
            "split": "cv",
            "backbones": ["frozen"],
            "clusterings": ["k2"],
            "head": "linear",
            "controls": "plain",
            "primary": {"backbone": "frozen", "clustering": "k2"},
        },
    },
}


@pytest.fixture(scope="module")
def layout() -> Layout:
    return Layout(config.load(RAW))


def test_frozen_embeddings_do_not_depend_on_the_split(layout: Layout) -> None:
    assert layout.embeddings_of("eyes", "frozen", "cv-1") == ["results/embed/eyes/frozen/embeddings.h5"]
    assert layout.embeddings_of("eyes", "frozen", "cv-1") == layout.embeddings_of("eyes", "frozen", "cv-2")


def test_embeddings_of_a_trained_backbone_do(layout: Layout) -> None:
    assert layout.embeddings_of("eyes", "tuned", "cv-1") == ["results/embed/eyes/tuned/cv/embeddings.h5"]


def test_a_fusion_reads_the_files_of_its_parts_in_order(layout: Layout) -> None:
    assert layout.embeddings_of("eyes", "tuned+frozen+wide", "cv-2") == [
        "results/embed/eyes/tuned/cv/embeddings.h5",
        "results/embed/eyes/frozen/embeddings.h5",
        "results/embed/eyes/wide/embeddings.h5",
    ]


def test_views_belong_to_the_training_images_of_a_split(layout: Layout) -> None:
    assert layout.views_of("eyes", "frozen+tuned", "cv-2", "flip") == [
        "results/embed/eyes/frozen/cv/flip/views.h5",
        "results/embed/eyes/tuned/cv/flip/views.h5",
    ]
    assert layout.views_of("eyes", "frozen", "cv-2", "none") == []


def test_a_network_stands_in_paths_with_the_split_that_it_is_trained_on(layout: Layout) -> None:
    assert layout.networks() == ["frozen", "wide", "tuned/cv"]
    assert [layout.network(name, "cv-1") for name in ("frozen", "tuned")] == ["frozen", "tuned/cv"]
    assert layout.weights("eyes", "frozen") == ["results/weights/frozen.pt"]
    assert layout.weights("eyes", "tuned/cv") == ["results/finetune/eyes/tuned/cv/model.pt"]
    assert layout.recipe("eyes", "tuned/cv") == ["results/embed/eyes/tuned/cv/engine.json"]


@pytest.mark.parametrize(
    ("wildcards", "known"),
    [
        ({"network": "frozen"}, {"network": "frozen", "backbone": "frozen"}),
        ({"network": "tuned/cv"}, {"network": "tuned/cv", "backbone": "tuned"}),
        (
            {"backbone": "frozen", "split": "cv"},
            {"network": "frozen", "backbone": "frozen", "split": "cv"},
        ),
        (
            {"backbone": "tuned", "split": "cv"},
            {"network": "tuned/cv", "backbone": "tuned", "split": "cv"},
        ),
        ({"backbone": "frozen+tuned", "split": "cv"}, {"backbone": "frozen+tuned", "split": "cv"}),
        ({"dataset": "eyes"}, {"dataset": "eyes"}),
    ],
)
def test_what_follows_from_wildcards(layout: Layout, wildcards: dict[str, str], known: dict[str, str]) -> None:
    assert layout.ids(wildcards) == known


def test_the_choice_of_an_engine_depends_on_the_network_and_how_it_embeds(layout: Layout) -> None:
    wide = layout.engine_spec("wide")
    assert (wide.layer, wide.batch_size, wide.seed, wide.pixels) == ("features.3", 4, 0, "any")
    tuned = layout.engine_spec("tuned")
    assert tuned == layout.engine_spec("frozen")  # their weights files tell them apart
    assert config.parse(config.Backbone, config.dump(tuned)) == tuned
    exact = Layout(config.load(RAW | {"backbones": RAW["backbones"] | {"frozen": network(precision="float32")}}))
    assert exact.engine_spec("frozen") != layout.engine_spec("frozen")


def scattered(**jobs: int) -> Layout:
    datasets = {name: spec | {"scatter": jobs.get(name, 1)} for name, spec in RAW["datasets"].items()}
    return Layout(config.load(RAW | {"datasets": datasets}))


def test_a_scattered_dataset_is_embedded_in_shards(layout: Layout) -> None:
    assert layout.parts_of_embeddings("eyes", "frozen") == []
    assert layout.parts_of_views("eyes", "frozen", "cv-1", "flip") == []
    found = scattered(eyes=2)
    assert found.parts_of_embeddings("eyes", "frozen") == [f"results/embed/eyes/frozen/shards/2/{i}.h5" for i in (1, 2)]
    assert found.parts_of_embeddings("eyes", "tuned/cv") == [
        f"results/embed/eyes/tuned/cv/shards/2/{i}.h5" for i in (1, 2)
    ]
    assert found.parts_of_views("eyes", "tuned", "cv-1", "flip") == [
        f"results/embed/eyes/tuned/cv/flip/shards/2/{i}.h5" for i in (1, 2)
    ]
    assert found.parts_of_embeddings("chest", "frozen") == []


def test_a_union_is_copied_from_its_members_however_it_is_scattered(layout: Layout) -> None:
    members = ["results/embed/eyes/frozen/embeddings.h5", "results/embed/chest/frozen/embeddings.h5"]
    for found in (layout, scattered(both=2, eyes=2)):
        assert found.parts_of_embeddings("both", "frozen") == members
    assert layout.parts_of_embeddings("both", "tuned/cv") == []  # trained on this union's own split
    assert len(scattered(both=2).parts_of_embeddings("both", "tuned/cv")) == 2


def test_scatter_is_part_of_nothing_but_the_shards() -> None:
    whole, parts = scattered(), scattered(eyes=3)
    assert parts.dataset_spec("eyes") == whole.dataset_spec("eyes")
    assert config.dump(parts.context("one")) == config.dump(whole.context("one"))
    assert parts.config.datasets["eyes"].scatter == 3


def test_the_contents_of_a_shard_change_with_its_own_images_alone(tmp_path: Path) -> None:
    (tmp_path / "both").mkdir()
    for number in range(6):
        (tmp_path / f"both/{number}.png").write_bytes(bytes([number]))
    (tmp_path / "both/t.csv").write_text("a table\n")
    (tmp_path / "chest").mkdir()
    (tmp_path / "chest/0.png").write_bytes(b"another")
    eyes = RAW["datasets"]["eyes"] | {"root": "both"}
    found = Layout(config.load(RAW | {"data_root": str(tmp_path), "datasets": RAW["datasets"] | {"eyes": eyes}}))

    def contents(dataset: str) -> list[str]:
        listings = {}
        for name, (root, tables) in found.scanned().items():
            listings[name] = tmp_path / f"{name}.tsv"
            update_listing(root, listings[name], tables)
        fresh = Layout(found.config)
        with pytest.MonkeyPatch.context() as patch:
            patch.setattr(Layout, "listing", lambda self, name: str(listings[name]))
            return [fresh.shard_contents(dataset, "4", str(shard)) for shard in range(1, 5)]

    before, both = contents("eyes"), contents("both")
    assert len(set(before)) > 1
    (tmp_path / "both/t.csv").write_text("another table\n")
    assert contents("eyes") == before
    added = b"an image"
    (tmp_path / "both/added.png").write_bytes(added)
    own = int(hashlib.sha256(added).hexdigest()[:8], 16) % 4
    for then, now in ((before, contents("eyes")), (both, contents("both"))):
        assert [shard for shard in range(4) if then[shard] != now[shard]] == [own]


def test_a_shard_of_generated_images_waits_for_their_listing(layout: Layout) -> None:
    assert layout.shard_listings("made") == ["results/dataset/made/listing.tsv"]
    assert layout.shard_listings("both") == []


def test_initial_weights_depend_on_nothing_but_their_origin(layout: Layout) -> None:
    wide = layout.weights_spec("wide")
    assert (wide.layer, wide.batch_size, wide.seed) == (None, None, 3)
    tuned = layout.weights_spec("tuned")
    assert tuned.finetune is not None
    assert (tuned.finetune.initial, tuned.finetune.epochs, tuned.seed) == ("w.pt", config.Finetune().epochs, 5)


def test_training_depends_on_model_and_recipe_alone(layout: Layout) -> None:
    tuned = RAW["backbones"]["tuned"]
    embedded_otherwise = tuned | {"layer": "features.3", "pooling": "flatten", "batch_size": 4, "pixels": "large"}
    another_recipe = tuned | {"finetune": tuned["finetune"] | {"epochs": 8}}

    def spec(backbone: dict[str, Any]) -> config.Backbone:
        return Layout(config.load(RAW | {"backbones": RAW["backbones"] | {"tuned": backbone}})).finetune_spec("tuned")

    assert spec(embedded_otherwise) == layout.finetune_spec("tuned")
    assert spec(another_recipe) != layout.finetune_spec("tuned")


@pytest.mark.parametrize(
    ("stage", "module"),
    [
        ("retrain", "training/arms.py"),
        ("redraw", "evaluation/redraw.py"),
        ("labels", "training/label_arm.py"),
        ("gaussian", "training/gaussian_arm.py"),
    ],
)
def test_a_stage_is_given_the_controls_that_its_code_reads_and_no_others(stage: str, module: str) -> None:
    given = {"repeats": 7, "draws": 19, "power": 3, "seed": 5, "views": "samples", "min_class": 4, "min_test": 6}
    found = Layout(config.load(RAW | {"controls": RAW["controls"] | {"all": given}})).controls_of(stage, "all")
    read = set(re.findall(r"\bcontrols\.(\w+)", (ROOT / module).read_text(encoding="utf-8")))
    assert read < set(given)
    expected = {name: value for name, value in given.items() if name in read}
    assert found == config.Controls(**expected)
    assert config.parse(config.Controls, config.dump(found)) == found


def test_redrawn_labels_depend_on_the_features_of_a_head_alone() -> None:
    heads = {"linear": {}, "longer": {"epochs": 99, "seeds": 1}, "raw": {"standardize": False}}
    layout = Layout(config.load(RAW | {"heads": heads}))
    linear, longer, raw = (layout.redraw_head(head) for head in heads)
    assert linear == longer != raw
    assert not raw.standardize


def test_weights_that_are_a_file_of_the_user(layout: Layout, tmp_path: Path) -> None:
    published = network(model="resnet18", weights="IMAGENET1K_V1")
    given = network(weights=str(tmp_path / "given.pth"))
    raw = RAW | {"backbones": RAW["backbones"] | {"published": published, "given": given}}
    del raw["backbones"]["tuned"], raw["studies"]
    found = Layout(config.load(raw | {"studies": {"two": RAW["studies"]["two"]}}))
    assert layout.weights_files("tuned") == ["w.pt"]
    assert [found.weights_files(name) for name in ("frozen", "published")] == [[], []]
    assert found.weights_files("given") == [str(tmp_path / "given.pth")]
    with pytest.raises(ConfigError, match=r"backbones\.given\.weights: '.*given\.pth': no such file; put it there"):
        found.check_weights_files()
    (tmp_path / "given.pth").touch()
    found.check_weights_files()
    with pytest.raises(ConfigError, match=r"backbones\.tuned\.finetune\.initial: 'w\.pt': no such file"):
        layout.check_weights_files()


def test_folders_and_what_stands_for_them(layout: Layout) -> None:
    assert layout.scanned() == {"eyes": (Path("/data/eyes"), ["t.csv"]), "chest": (Path("/data/chest"), [])}
    assert layout.generated() == ["made"]
    assert layout.members("both") == ["eyes", "chest"]
    assert layout.members("eyes") == []
    assert layout.root("made") == "results/phantom/made"
    assert layout.root("eyes") == "/data/eyes"
    assert layout.class_names("eyes") == ["b", "a"]
    assert layout.pixels_of("eyes", "wide+frozen") == ["results/dataset/eyes/large/pixels.h5"]
    assert layout.dataset_tables("one") == ["results/dataset/eyes/classes.csv", "results/dataset/eyes/rejected.csv"]
    assert layout.images_of_study("one") == "results/dataset/eyes/images.parquet"


def test_a_union_is_read_by_its_members(layout: Layout) -> None:
    assert layout.listings("eyes") == ["results/dataset/eyes/listing.tsv"]
    assert layout.listings("both") == []
    tables = ["results/dataset/eyes/images.parquet", "results/dataset/chest/images.parquet"]
    assert layout.member_images("both") == tables
    assert layout.member_flags("both") == f"--member eyes={tables[0]} --member chest={tables[1]}"
    assert layout.member_flags("eyes") == ""
    assert (layout.root_flag("both"), layout.root_flag("eyes")) == ([], ["--root", "/data/eyes"])
    assert layout.member_pixels("both", "small") == [
        "results/dataset/eyes/small/pixels.h5",
        "results/dataset/chest/small/pixels.h5",
    ]


def test_folds_share_all_but_what_is_trained_and_tested(layout: Layout) -> None:
    assert layout.split("cv-1") == layout.split("cv")
    assert (layout.whole("cv-2"), layout.whole("cv")) == ("cv", "cv")
    assert (layout.fold_flag("cv-2"), layout.fold_flag("cv")) == ("--fold 2", "")
    assert layout.split_of_study("one") == "results/split/eyes/cv.parquet"
    assert layout.split_of_study("one", "png") == "results/split/eyes/cv.png"
    assert layout.network("tuned", "cv-1") == "tuned/cv"
    assert layout.networks() == ["frozen", "wide", "tuned/cv"]
    assert layout.views("eyes", "frozen", "cv-1", "flip") == "results/embed/eyes/frozen/cv/flip/views.h5"
    axes = ("eyes", "frozen", "cv-2", "flip", "k2")
    assert layout.assignments(*axes) == "results/cluster/eyes/frozen/cv/flip/k2/assignments.parquet"
    assert layout.label_sets(*axes, "linear", "all") == (
        "results/retrain/eyes/frozen/cv/flip/k2/linear/all/label-sets.h5"
    )


def test_backbones_by_how_they_come(layout: Layout) -> None:
    assert layout.trained() == ["tuned"]
    assert layout.finetune_augmentation("tuned") is None
    assert layout.finetune_augmentation("frozen") is None


def test_analyses_are_backbones_by_clusterings(layout: Layout) -> None:
    found = layout.analyses("one")
    assert [(entry["backbone"], entry["clustering"], entry["k"]) for entry in found] == [
        ("frozen", "k2", 2),
        ("frozen", "k3", 3),
        ("frozen+tuned", "k2", 2),
        ("frozen+tuned", "k3", 3),
    ]
    last = found[-1]
    base = "eyes/frozen+tuned/cv/flip"
    assert last["assignments"] == f"results/cluster/{base}/k3/assignments.parquet"
    assert last["label_sets"] == f"results/retrain/{base}/k3/linear/all/label-sets.h5"
    assert len(last["folds"]) == 2
    second = "eyes/frozen+tuned/cv-2/flip"
    fold = last["folds"][1]
    assert fold["predictions"] == f"results/train/{second}/linear/predictions.parquet"
    assert fold["labels"] == f"results/retrain/{second}/k3/linear/all/labels.h5"
    assert [runs["size"] for runs in fold["runs"]] == [
        f"results/retrain/{second}/k3/linear/all/cluster-{c}/size.h5" for c in range(3)
    ]
    assert set(fold["runs"][0]) == {"cluster", "size", "balanced"}


def test_a_study_without_the_label_arm_waits_for_no_labels(layout: Layout) -> None:
    [entry] = layout.analyses("two")
    assert entry["label_sets"] is entry["folds"][0]["labels"] is entry["folds"][0]["gaussian"] is None
    assert not any("label" in path or "gaussian" in path for path in layout.compared_files("two"))


def test_what_a_comparison_waits_for(layout: Layout) -> None:
    files = layout.compared_files("one")
    assert len(files) == len(set(files))
    for entry in layout.analyses("one"):
        assert {entry[name] for name in ("assignments", "distances", "quality", "stability", "label_sets")} <= set(
            files
        )
        for fold in entry["folds"]:
            assert {fold[name] for name in ("predictions", "metrics", "curve", "labels", "gaussian")} <= set(files)
            for runs in fold["runs"]:
                assert set(runs.values()) <= set(files)
    assert all(path.startswith("results/") for path in files), "an id stands among the files"
    assert {path for path in layout.shown_files("one") if path in files} == {
        path
        for entry in layout.analyses("one")
        for path in (entry["assignments"], *(fold["predictions"] for fold in entry["folds"]))
    }
    assert sum(path.endswith(".png") for path in layout.shown_files("one")) == 4 * 5
    assert sum(path.endswith("projections.parquet") for path in layout.shown_files("one")) == 4


def test_studies_share_what_does_not_differ(layout: Layout) -> None:
    changed = RAW | {"studies": {"two": RAW["studies"]["two"], "three": RAW["studies"]["two"] | {"controls": "all"}}}
    shared = Layout(config.load(changed))
    first, second = (
        {path for path in shared.compared_files(name) if "retrain" not in path} for name in ("two", "three")
    )
    assert first == second
    assert len(first) == 4 + 2 * 3


def with_study(**changes: Any) -> Layout:
    return Layout(config.load(RAW | {"studies": {"one": RAW["studies"]["one"] | changes}}))


def test_features_are_analysed_of_all_folds_together_and_change_no_comparison(layout: Layout) -> None:
    found = with_study(features=["welch"])
    folders = {str(Path(file).parent) for file in found.feature_files()}
    assert folders == {f"results/features/eyes/{name}/cv/welch" for name in ("frozen", "frozen+tuned")}
    assert layout.feature_files() == []
    assert found.context("one") == layout.context("one")


def test_features_are_tested_on_images_whose_labels_the_backbone_has_not_seen(layout: Layout) -> None:
    assert [layout.tested_part(name) for name in ("frozen", "tuned", "frozen+tuned")] == ["train"] * 3
    seen = RAW["backbones"]["tuned"]["finetune"] | {"share": "train"}
    backbones = RAW["backbones"] | {"tuned": RAW["backbones"]["tuned"] | {"finetune": seen}}
    splits = {"cv": {"test": 0.2, "validation": 0.1}}
    found = Layout(config.load(RAW | {"backbones": backbones, "splits": splits}))
    assert [found.tested_part(name) for name in ("frozen", "tuned", "frozen+tuned")] == ["train", "test", "test"]


def test_backbones_stand_side_by_side_where_there_are_several(layout: Layout) -> None:
    assert layout.model_studies() == ["one"]
    models = with_study(backbones=["frozen", "tuned", "frozen+tuned"]).models("one")
    heads = [("frozen", "linear"), ("tuned", "linear"), ("frozen+tuned", "linear")]
    assert [(model["backbone"], model["classifier"]) for model in models] == [*heads, ("tuned", "end-to-end")]
    assert models[0]["predictions"] == [
        f"results/train/eyes/frozen/cv-{fold}/flip/linear/predictions.parquet" for fold in (1, 2)
    ]
    assert models[0]["quality"] == "results/cluster/eyes/frozen/cv/flip/k3/quality.json"
    files = layout.model_files("one")
    assert len(files) == len(set(files)) == 2 * (2 + 2 + 1)
    assert not any("benchmarks" in path for path in files)


def test_the_context_holds_what_the_study_names(layout: Layout) -> None:
    context = layout.context("one")
    assert set(context.backbones) == {"frozen", "tuned"}
    assert set(context.clusterings) == {"k2", "k3"}
    assert context.split.folds == 2
    assert context.augmentation is not None
    assert context.augmentation.flip
    assert layout.context("two").augmentation is None
    again = config.parse(config.StudyContext, config.dump(context))
    assert again == context
    assert again.dataset.class_names == ["b", "a"]
