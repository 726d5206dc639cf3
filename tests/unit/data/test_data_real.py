"""The published and the sound protocol on real tables and images (HETEROSCOPE_REALDATA)."""

import os
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import pandas as pd
import pytest
import yaml
from PIL import Image

from heteroscope.config import StudyContext, load
from heteroscope.data.augmentation import viewed_rows
from heteroscope.data.listing import read_listing, update_listing
from heteroscope.data.quality import curate
from heteroscope.data.sources import read_source, tables_of
from heteroscope.data.splits import make_split
from heteroscope.layout import Layout

REAL = os.environ.get("HETEROSCOPE_REALDATA", "")
STUDIES = Path(__file__).parents[3] / "config/studies"

needs_real_data = pytest.mark.skipif(not REAL, reason="HETEROSCOPE_REALDATA does not name the folder of real images")


@dataclass(frozen=True)
class Protocol:
    """What a shipped study says of its data, on files below another folder."""

    layout: Layout
    study: str
    listing: Path

    @property
    def context(self) -> StudyContext:
        return self.layout.context(self.study)

    def curated(self) -> tuple[pd.DataFrame, pd.DataFrame]:
        spec, root = self.context.dataset, Path(self.layout.root(self.context.study.dataset))
        update_listing(root, self.listing, tables_of(spec))
        files = read_listing(self.listing)
        return curate(read_source(spec, root, files), spec, root=root, listing=files)

    def divided(self, images: pd.DataFrame) -> pd.DataFrame:
        return make_split(images, self.context.split, None, self.context.dataset.class_names)

    def viewed(self, split: pd.DataFrame) -> pd.DataFrame:
        assert self.context.augmentation
        return viewed_rows(split, self.context.augmentation)


def shipped(study: str, data_root: Path | str, folder: Path, *, file: str = "") -> Protocol:
    raw = yaml.safe_load((STUDIES / f"{file or study}.yaml").read_text(encoding="utf-8"))
    return Protocol(Layout(load(raw | {"data_root": str(data_root)})), study, folder / "listing.tsv")


@needs_real_data
def test_published_cataract_protocol(tmp_path: Path) -> None:
    protocol = shipped("cataract-published", REAL, tmp_path)
    images, rejected = protocol.curated()
    assert len(images) + len(rejected) == 2 * 6392
    assert (len(images), images["content"].nunique(), images["image_id"].nunique()) == (1036, 780, 1036)
    split = protocol.divided(images)
    assert split["part"].tolist() == ["train"] * 828 + ["test"] * 208
    content = split.merge(images[["image_id", "content"]])
    train, test = (content[content["part"] == part] for part in ("train", "test"))
    assert test["content"].isin(train["content"]).sum() == 82
    views = protocol.viewed(split).merge(split, on="image_id")
    assert views["class"].value_counts().to_dict() == {"cataract": 414, "normal": 186}
    assert (train["class"].value_counts() + views["class"].value_counts()).to_dict() == {"cataract": 828, "normal": 600}


@needs_real_data
def test_sound_cataract_protocol(tmp_path: Path) -> None:
    protocol = shipped("cataract", REAL, tmp_path)
    images, rejected = protocol.curated()
    assert images["content"].is_unique
    counts = pd.crosstab(images["attr_sex"], images["label"])
    assert counts["normal"].tolist() == counts["cataract"].tolist()
    assert set(rejected["reason"]) == {"unlabelled", "missing", "duplicate", "balanced"}
    split = protocol.divided(images)
    assert len(split) == len(images)
    assert split.groupby("group")["part"].nunique().max() == 1
    shares = pd.crosstab(split["class"], split["part"], normalize="index")
    np.testing.assert_allclose(shares["test"], 0.25, atol=0.01)
    np.testing.assert_allclose(shares["validation"], 0.15, atol=0.01)


@needs_real_data
@pytest.mark.parametrize(
    ("study", "rows", "copied", "patients"),
    [
        # all rows, whether copies of one image part, whether patients do
        ("clean", 524, False, False),
        ("clean-copies", 1036, True, True),
        ("clean-patients", 524, False, True),
        ("published", 1036, True, True),
        ("published-copies", 524, False, True),
    ],
)
def test_factors_of_the_split(study: str, rows: int, copied: bool, patients: bool, tmp_path: Path) -> None:
    protocol = shipped(study, REAL, tmp_path, file="cataract-factors")
    images, _ = protocol.curated()
    split = protocol.divided(images).merge(images[["image_id", "content"]])
    train, test = (split[split["part"] == part] for part in ("train", "test"))
    assert len(split) == rows
    assert test["content"].isin(train["content"]).any() == copied
    assert test["group"].isin(train["group"]).any() == patients


@needs_real_data
@pytest.mark.parametrize("study", ["clean-augmentation", "trained-augmentation"])
def test_unbalanced_copies_have_the_published_shares(study: str, tmp_path: Path) -> None:
    """Of 828 published training rows 600 were copied: all 414 cataract ones and 186 normal ones."""
    protocol = shipped(study, REAL, tmp_path, file="cataract-factors")
    split = protocol.divided(protocol.curated()[0])
    copied = protocol.viewed(split).merge(split, on="image_id")["class"].value_counts()
    training = split.loc[split["part"] == "train", "class"].value_counts()
    assert copied["cataract"] == training["cataract"]
    assert copied["normal"] == round(186 / 414 * training["normal"])


@needs_real_data
def test_pneumonia_source(tmp_path: Path) -> None:
    protocol = shipped("pneumonia", REAL, tmp_path)
    images, rejected = protocol.curated()
    assert len(rejected) == 0
    assert images["label"].value_counts().to_dict() == {"no-finding": 100, "pneumonia": 100}
    assert set(images["attr_view"]) == {"AP", "PA"}
    assert images["attr_age"].between(0, 100).all()
    split = protocol.divided(images)
    assert split.groupby("group")["part"].nunique().max() == 1


def test_published_chest_protocol_on_generated_images(tmp_path: Path) -> None:
    """The counts of the 5,606-row sample, whose images and table are not at hand: 68 male and 73 female cases."""
    rng = np.random.default_rng(0)
    sexes = rng.permutation(["M"] * 68 + ["F"] * 73)
    rows = [("Cardiomegaly" if index % 2 else "Cardiomegaly|Effusion", sex) for index, sex in enumerate(sexes)]
    rows += [("No Finding", sex) for sex in rng.choice(["M", "F"], 400)] + [("Edema", "M")] * 50
    root = tmp_path / "nih-sample"
    root.mkdir()
    lines = ["Image Index,Finding Labels,Follow-up #,Patient ID,Patient Age,Patient Gender,View Position"]
    for index, row in enumerate(rng.permutation(len(rows))):
        label, sex = rows[row]
        Image.fromarray(rng.integers(0, 256, (8, 8), dtype=np.uint8)).save(root / f"{index:08d}_000.png")
        lines.append(f"{index:08d}_000.png,{label},000,{index // 2},060Y,{sex},PA")
    (root / "sample_labels.csv").write_text("\n".join(lines) + "\n")
    protocol = shipped("cardiomegaly-published", tmp_path, tmp_path)
    images, _ = protocol.curated()
    assert images.groupby(["label", "attr_sex"]).size().to_dict() == {
        ("cardiomegaly", "F"): 73,
        ("cardiomegaly", "M"): 68,
        ("no-finding", "F"): 73,
        ("no-finding", "M"): 68,
    }
    table = pd.read_csv(root / "sample_labels.csv").set_index("Image Index")
    for sex, count in (("F", 73), ("M", 68)):
        first = table[(table["Finding Labels"] == "No Finding") & (table["Patient Gender"] == sex)].index[:count]
        kept = images[(images["label"] == "no-finding") & (images["attr_sex"] == sex)]
        assert kept["path"].tolist() == first.tolist()
    split = protocol.divided(images)
    assert split["part"].value_counts().to_dict() == {"train": 225, "test": 57}
    assert len(protocol.viewed(split)) == 225
