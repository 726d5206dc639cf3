"""The trained networks of all studies of a configuration side by side, and what a split that leaks gains.

A test set whose images or patients stand in the training set too makes a network look better than it is. The table
says how many there are, and how far each accuracy is from that of the same network in the study it is compared with,
the mean over its folds. Studies may test different images, so that a difference is a description and no test.
"""

from __future__ import annotations

import argparse
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any

from heteroscope.config import load
from heteroscope.errors import ConfigError
from heteroscope.layout import Layout
from heteroscope.stages.command import run
from heteroscope.store import read_json

if TYPE_CHECKING:
    import pandas as pd

SHOWN = ("accuracy", "patient_accuracy", "recognition_rate", "f1", "auc")
SEEN = ("test_images_in_training", "test_patients_in_training")


def main(argv: Sequence[str] | None = None) -> None:
    """Print the table in Markdown."""
    import yaml

    arguments = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    arguments.add_argument("config", type=Path, help="the configuration file; its results stand in this folder")
    arguments.add_argument(
        "--against", help="the study that others are compared with (default: the first without leak)"
    )
    args = arguments.parse_args(argv)
    layout = Layout(load(yaml.safe_load(args.config.read_text(encoding="utf-8"))))
    table = side_by_side(tested_networks(layout), against=args.against)
    print(table.to_markdown(index=False, floatfmt=".3f"))


def tested_networks(layout: Layout) -> list[dict[str, Any]]:
    """What the tests of trained networks found, one a study, network and fold; those not yet run are left out."""
    found = []
    for name, study in layout.config.studies.items():
        networks = dict.fromkeys(part for backbone in study.backbones for part in layout.trained_parts(backbone))
        for network in networks:
            for fold in layout.config.folds(study.split):
                path = Path("results/finetune", study.dataset, network, fold, "metrics.json")
                if path.is_file():
                    found.append({"study": name, "split": fold, "network": network} | read_json(path))
    if not found:
        raise ConfigError(
            "results/finetune: no network of this configuration was tested; run `snakemake network_tables`"
        )
    return found


def side_by_side(tested: Sequence[Mapping[str, Any]], *, against: str | None) -> pd.DataFrame:
    """A row a network: its metrics, what leaks, and its accuracy minus that of the same network in another study.

    Args:
        tested: see `tested_networks`.
        against: the study that is compared with; None: the first whose test images and patients never train.

    Raises:
        ConfigError: no network of that study was tested.
    """
    import pandas as pd

    clean = [one["study"] for one in tested if not any(one[name] for name in SEEN)]
    reference = against or next(iter(clean), None)
    if against and against not in {one["study"] for one in tested}:
        raise ConfigError(f"--against: no network of study {against!r} was tested")
    referred: dict[str, list[float]] = {}  # one a fold
    for one in tested:
        if one["study"] == reference:
            referred.setdefault(one["network"], []).append(one["metrics"]["accuracy"]["mean"])
    rows = []
    for one in tested:
        metrics = {name: one["metrics"][name]["mean"] for name in SHOWN}
        row = {name: one[name] for name in ("study", "split", "network")} | {"test images": one["rows"]["test"]}
        seen = {name.replace("_", " "): one[name] for name in SEEN}
        others = referred.get(one["network"])
        gained = metrics["accuracy"] - sum(others) / len(others) if others else None
        rows.append(row | metrics | seen | {f"accuracy minus {reference}": gained})
    return pd.DataFrame(rows)


if __name__ == "__main__":
    run(main)
