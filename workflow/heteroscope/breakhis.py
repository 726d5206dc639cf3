"""What the published division of BreakHis shares between its parts: `python -m heteroscope.breakhis NAMES`.

It draws rows of `Folds.csv`, where every image stands once in each of five folds, so that copies of one
image train and test. The table itself is not needed: the file names tell all rows.
"""

from __future__ import annotations

import argparse
from collections.abc import Sequence
from pathlib import Path

import pandas as pd

from heteroscope.config import BREAKHIS_TUMOURS, BreakHisDataset, Split, TestPerClass
from heteroscope.data.breakhis import read_breakhis
from heteroscope.data.listing import ListedFile
from heteroscope.data.splits import make_split
from heteroscope.errors import DataError
from heteroscope.stages.command import run

FOLDS = 5
PUBLISHED_SEED = 578
"""The publication names none; this is the smallest one that gives its counts."""


def published_split(names: Sequence[str], *, seed: int = PUBLISHED_SEED, per_class: int = 300) -> pd.DataFrame:
    """Divide the rows of `Folds.csv`, every name once in each of five folds, in the published way.

    Returns:
        Columns name, fold, class, group and part; one row a row of the table.
    """
    spec = BreakHisDataset(adapter="breakhis", root="", classes={name: [name] for name in BREAKHIS_TUMOURS})
    rows = read_breakhis(spec, Path(), [ListedFile(name, 0, name) for name in sorted(names)])
    if unread := rows.loc[rows["label"] == "", "path"].tolist():
        raise DataError(f"{len(unread)} names are not of BreakHis, the first: {unread[0]!r}")
    images = pd.concat([rows.assign(fold=fold) for fold in range(1, FOLDS + 1)], ignore_index=True)
    images["image_id"] = images["path"] + "/" + images["fold"].astype(str)
    test = TestPerClass(per_class=per_class)
    split = Split(test=test, validation=0.2, group="none", stratify="none", seed=seed)
    parts = make_split(images, split, None, spec.class_names)
    rows = images[["image_id", "path", "fold", "group"]].rename(columns={"path": "name"})
    return rows.merge(parts[["image_id", "class", "part"]], on="image_id").drop(columns="image_id")


def overlap(split: pd.DataFrame) -> pd.DataFrame:
    """What the parts of a published split share.

    Args:
        split: as `published_split` gives it.

    Returns:
        One row a part: its rows by class, distinct images and patients, and how many of its rows, images and
        patients stand in training too.
    """
    training = split[split["part"] == "train"]
    rows = []
    for part in ("train", "validation", "test"):
        own = split[split["part"] == part]
        counts = {f"rows_{name}": int((own["class"] == name).sum()) for name in BREAKHIS_TUMOURS}
        distinct = {"images": own["name"].nunique(), "patients": own["group"].nunique()}
        seen = own["name"].isin(training["name"])
        shared = {
            "rows_in_training": int(seen.sum()),
            "images_in_training": own.loc[seen, "name"].nunique(),
            "patients_in_training": own.loc[own["group"].isin(training["group"]), "group"].nunique(),
        }
        rows.append({"part": part, "rows": len(own), **counts, **distinct, **shared})
    return pd.DataFrame(rows)


def main(argv: Sequence[str] | None = None) -> None:
    """Print the counts of the published split and what its parts share."""
    arguments = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    arguments.add_argument("names", type=Path, help="a text file with a file name of BreakHis a line")
    arguments.add_argument(
        "--seed", type=int, default=PUBLISHED_SEED, help="of the draw (default: one that gives the published counts)"
    )
    args = arguments.parse_args(argv)
    split = published_split(args.names.read_text(encoding="utf-8").split(), seed=args.seed)
    print(overlap(split).to_markdown(index=False))


if __name__ == "__main__":
    run(main)
