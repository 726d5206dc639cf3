"""Where the tests of trained networks stand, and which models stand beside them."""

from __future__ import annotations

from heteroscope import config
from heteroscope.layout import NETWORK_FILES, Layout
from tests.unit.core.test_core_layout import RAW


def studying(*backbones: str) -> Layout:
    """The first study on these backbones, with folds."""
    primary = {"backbone": backbones[0], "clustering": "k2"}
    study = RAW["studies"]["one"] | {"backbones": list(backbones), "primary": primary}
    return Layout(config.load(RAW | {"studies": {"one": study}}))


def test_a_network_is_tested_in_every_fold_and_trained_once() -> None:
    layout = studying("tuned")
    assert layout.network_files() == [
        f"results/finetune/eyes/tuned/{fold}/{file}" for fold in ("cv-1", "cv-2") for file in NETWORK_FILES
    ]
    probabilities = {layout.network_probabilities("eyes", "tuned", split) for split in ("cv", "cv-1", "cv-2")}
    assert probabilities == {"results/finetune/eyes/tuned/cv/probabilities.parquet"}
    assert layout.network_summary("eyes", "tuned", "cv-2") == "results/finetune/eyes/tuned/cv/network.json"
    assert layout.network_history("eyes", "tuned", "cv-2") == "results/finetune/eyes/tuned/cv/history.csv"


def test_the_trained_parts_of_a_fusion_are_tested_each_on_its_own() -> None:
    assert studying("frozen+tuned", "tuned").network_files() == studying("tuned").network_files()
    assert studying("frozen", "wide").network_files() == []


def test_a_trained_network_stands_among_the_classifiers_with_its_own_head() -> None:
    layout = studying("frozen", "tuned", "frozen+tuned")
    own = [model for model in layout.hybrid_models("one") if model["classifier"] == "end-to-end"]
    assert own == [
        {
            "backbone": "tuned",
            "classifier": "end-to-end",
            "method": "fine-tuned network",
            "predictions": [f"results/finetune/eyes/tuned/cv-{fold}/predictions.parquet" for fold in (1, 2)],
            "metrics": [f"results/finetune/eyes/tuned/cv-{fold}/metrics.json" for fold in (1, 2)],
            "times": ["results/benchmarks/finetune/eyes/tuned/cv.json"],
        }
    ]
    assert {*own[0]["predictions"], *own[0]["metrics"]} < set(layout.hybrid_files("one"))
    assert own[0]["times"][0] in layout.hybrid_times("one")
