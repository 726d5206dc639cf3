"""The published and the sound protocol on real tables and images (HETEROSCOPE_REALDATA)."""

import os
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
import pytest
from PIL import Image

from heteroscope.config import Augmentation, NihChestDataset, OdirDataset, Split
from heteroscope.data.augmentation import viewed_rows
from heteroscope.data.listing import read_listing, update_listing
from heteroscope.data.quality import curate
from heteroscope.data.sources import read_source, tables_of
from heteroscope.data.splits import make_split

REAL = os.environ.get("HETEROSCOPE_REALDATA", "")
ODIR_CLASSES = {"normal": ["normal fundus"], "cataract": ["cataract"]}
CHEST_CLASSES = {"normal": ["No Finding"], "cardiomegaly": ["Cardiomegaly"]}
PUBLISHED = {"duplicates": "keep", "balance": {"by": "sex", "order": "first"}}
PUBLISHED_SPLIT = Split(test=0.2, validation=0, group="none", seed=2023, shuffle={"by": "sex", "seed": 42})

needs_real_data = pytest.mark.skipif(not REAL, reason="HETEROSCOPE_REALDATA does not name the folder of real images")


def curated(root: Path, spec: Any, listing: Path) -> tuple[pd.DataFrame, pd.DataFrame]:
    update_listing(root, listing, tables_of(spec))
    files = read_listing(listing)
    return curate(read_source(spec, root, files), spec, root=root, listing=files)


@needs_real_data
def test_published_cataract_protocol(tmp_path: Path) -> None:
    spec = OdirDataset(adapter="odir5k", root="odir5k", classes=ODIR_CLASSES, **PUBLISHED)
    images, rejected = curated(Path(REAL) / "odir5k", spec, tmp_path / "listing.tsv")
    assert len(images) + len(rejected) == 2 * 6392
    assert (len(images), images["content"].nunique(), images["image_id"].nunique()) == (1036, 780, 1036)
    split = make_split(images, PUBLISHED_SPLIT, None, list(ODIR_CLASSES))
    assert split["part"].tolist() == ["train"] * 828 + ["test"] * 208
    content = split.merge(images[["image_id", "content"]])
    train, test = (content[content["part"] == part] for part in ("train", "test"))
    assert test["content"].isin(train["content"]).sum() == 82
    views = viewed_rows(split, Augmentation(first=600)).merge(split, on="image_id")
    assert views["class"].value_counts().to_dict() == {"cataract": 414, "normal": 186}
    assert (train["class"].value_counts() + views["class"].value_counts()).to_dict() == {"cataract": 828, "normal": 600}


@needs_real_data
def test_sound_cataract_protocol(tmp_path: Path) -> None:
    spec = OdirDataset(adapter="odir5k", root="odir5k", classes=ODIR_CLASSES, balance={"by": "sex"})
    images, rejected = curated(Path(REAL) / "odir5k", spec, tmp_path / "listing.tsv")
    assert images["content"].is_unique
    counts = pd.crosstab(images["attr_sex"], images["label"])
    assert counts["normal"].tolist() == counts["cataract"].tolist()
    assert set(rejected["reason"]) == {"unlabelled", "missing", "duplicate", "balanced"}
    split = make_split(images, Split(test=0.2, validation=0.15, seed=2023), None, list(ODIR_CLASSES))
    assert len(split) == len(images)
    assert split.groupby("group")["part"].nunique().max() == 1
    shares = pd.crosstab(split["class"], split["part"], normalize="index")
    np.testing.assert_allclose(shares["test"], 0.2, atol=0.01)
    np.testing.assert_allclose(shares["validation"], 0.15, atol=0.01)


@needs_real_data
def test_pneumonia_source(tmp_path: Path) -> None:
    classes = {"normal": ["No Finding"], "pneumonia": ["Pneumonia"]}
    spec = NihChestDataset(adapter="nih-cxr", root="nih-cxr", classes=classes, match="any")
    images, rejected = curated(Path(REAL) / "nih-cxr", spec, tmp_path / "listing.tsv")
    assert len(rejected) == 0
    assert images["label"].value_counts().to_dict() == {"normal": 100, "pneumonia": 100}
    assert set(images["attr_view"]) == {"AP", "PA"}
    assert images["attr_age"].between(0, 100).all()
    split = make_split(images, Split(), None, list(classes))
    assert split.groupby("group")["part"].nunique().max() == 1


def test_published_chest_protocol_on_generated_images(tmp_path: Path) -> None:
    """The counts of the 5,606-row sample, whose images and table are not at hand: 68 male and 73 female cases."""
    rng = np.random.default_rng(0)
    sexes = rng.permutation(["M"] * 68 + ["F"] * 73)
    rows = [("Cardiomegaly" if index % 2 else "Cardiomegaly|Effusion", sex) for index, sex in enumerate(sexes)]
    rows += [("No Finding", sex) for sex in rng.choice(["M", "F"], 400)] + [("Edema", "M")] * 50
    root = tmp_path / "nih"
    root.mkdir()
    lines = ["Image Index,Finding Labels,Follow-up #,Patient ID,Patient Age,Patient Gender,View Position"]
    for index, row in enumerate(rng.permutation(len(rows))):
        label, sex = rows[row]
        Image.fromarray(rng.integers(0, 256, (8, 8), dtype=np.uint8)).save(root / f"{index:08d}_000.png")
        lines.append(f"{index:08d}_000.png,{label},000,{index // 2},060Y,{sex},PA")
    (root / "sample_labels.csv").write_text("\n".join(lines) + "\n")
    spec = NihChestDataset(
        adapter="nih-cxr", root="nih", table="sample_labels.csv", classes=CHEST_CLASSES, match="any", **PUBLISHED
    )
    images, _ = curated(root, spec, tmp_path / "listing.tsv")
    assert images.groupby(["label", "attr_sex"]).size().to_dict() == {
        ("cardiomegaly", "F"): 73,
        ("cardiomegaly", "M"): 68,
        ("normal", "F"): 73,
        ("normal", "M"): 68,
    }
    table = pd.read_csv(root / "sample_labels.csv").set_index("Image Index")
    for sex, count in (("F", 73), ("M", 68)):
        first = table[(table["Finding Labels"] == "No Finding") & (table["Patient Gender"] == sex)].index[:count]
        kept = images[(images["label"] == "normal") & (images["attr_sex"] == sex)]
        assert kept["path"].tolist() == first.tolist()
    split = make_split(images, PUBLISHED_SPLIT, None, list(CHEST_CLASSES))
    assert split["part"].value_counts().to_dict() == {"train": 225, "test": 57}
    assert len(viewed_rows(split, Augmentation())) == 225
