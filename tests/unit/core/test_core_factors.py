"""cataract-factors.yaml: every study differs from its base in exactly the keys of its factor."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
import yaml

from heteroscope.config import load
from heteroscope.layout import Layout

STUDIES = Path(__file__).parents[3] / "config/studies"

# study: its base, the keys in which it differs
FACTORS = {
    "clean-copies": ("clean", {"dataset.duplicates", "split.group"}),
    "clean-patients": ("clean", {"split.group"}),
    "clean-selection": ("clean", {"head.selection"}),
    "clean-augmentation": ("clean", {"augmentation", "controls.views"}),
    "clean-controls": ("clean", {"controls.repeats", "controls.views"}),
    "published-copies": ("published", {"dataset.duplicates"}),
    "published-selection": ("published", {"head.selection", "split.validation"}),
    "published-augmentation": ("published", {"augmentation.first"}),
    "published-controls": ("published", {"controls.repeats", "controls.views"}),
    "trained-copies": ("trained", {"dataset.duplicates", "split.group"}),
    "trained-patients": ("trained", {"split.group"}),
    "trained-selection": ("trained", {"head.selection"}),
    "trained-augmentation": ("trained", {"augmentation", "controls.views"}),
    "trained-controls": ("trained", {"controls.repeats", "controls.views"}),
}
NETWORK = {"backbone", "clustering", "pixels", "split.backbone", "split.test", "split.validation"}


def settings(file: str, study: str) -> dict[str, Any]:
    """Every value that a study stands on, by its key; ids, which are but names, are left out."""
    layout = Layout(load(yaml.safe_load((STUDIES / f"{file}.yaml").read_text(encoding="utf-8"))))
    context = layout.context(study)
    (backbone,) = context.backbones
    (clustering,) = context.clusterings
    whole = {
        "dataset": context.dataset,
        "split": context.split,
        "augmentation": context.augmentation,
        "pixels": layout.pixels_spec(backbone),
        "backbone": context.backbones[backbone],
        "clustering": context.clusterings[clustering],
        "head": context.head,
        "controls": context.controls,
    }
    entries: dict[str, Any] = {key: entry and entry.model_dump() for key, entry in whole.items()}
    del entries["backbone"]["pixels"]
    entries["study"] = {key: getattr(context.study, key) for key in ("metric", "level", "margin")}
    return dict(_leaves(entries, ""))


def _leaves(node: Any, place: str) -> Iterator[tuple[str, Any]]:
    if not isinstance(node, dict):
        yield place, node
        return
    for key, value in node.items():
        yield from _leaves(value, f"{place}.{key}" if place else key)


def differing(one: dict[str, Any], other: dict[str, Any]) -> set[str]:
    """Keys of other values; where one has no entry at all, the entry's own key."""
    return {
        "augmentation" if key.startswith("augmentation.") and (one.keys() ^ other.keys()) else key
        for key in one.keys() | other.keys()
        if one.get(key, ...) != other.get(key, ...)
    }


@pytest.mark.parametrize("study", FACTORS)
def test_a_study_differs_from_its_base_in_its_factor_alone(study: str) -> None:
    base, keys = FACTORS[study]
    assert differing(settings("cataract-factors", base), settings("cataract-factors", study)) == keys


def test_no_study_is_without_a_factor_or_a_base() -> None:
    raw = yaml.safe_load((STUDIES / "cataract-factors.yaml").read_text(encoding="utf-8"))
    assert set(raw["studies"]) == set(FACTORS) | {base for base, _ in FACTORS.values()}


@pytest.mark.parametrize(("base", "shipped"), [("clean", "cataract"), ("published", "cataract-published")])
def test_a_base_is_the_shipped_study_without_its_power_and_gaussian_data_sets(base: str, shipped: str) -> None:
    found = differing(settings("cataract-factors", base), settings(shipped, shipped))
    assert found == {"controls.power", "controls.arms"}


def test_the_network_of_its_own_differs_in_what_it_needs() -> None:
    """Another network, the clusters of its few channels, and a share of the patients to train it."""
    keys = differing(settings("cataract-factors", "clean"), settings("cataract-factors", "trained"))
    assert {key if key.startswith("split.") else key.partition(".")[0] for key in keys} == NETWORK
