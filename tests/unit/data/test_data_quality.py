import hashlib
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
import pytest
from PIL import Image

from heteroscope.config import FolderDataset, TableDataset
from heteroscope.data.listing import read_listing, update_listing
from heteroscope.data.quality import REASONS, class_counts, curate
from heteroscope.data.sources import read_source
from heteroscope.errors import DataError
from heteroscope.provenance import digest

CLASSES = {"normal": ["n"], "disease": ["d"]}


def picture(path: Path, value: int, *, size: tuple[int, int] = (8, 12)) -> None:
    path.parent.mkdir(parents=True, exist_ok=True)
    Image.fromarray(np.full(size, value, dtype=np.uint8)).save(path)


def curated(root: Path, spec: Any) -> tuple[pd.DataFrame, pd.DataFrame]:
    tables = [spec.table] if isinstance(spec, TableDataset) else []
    update_listing(root, root.parent / "listing.tsv", tables)
    listing = read_listing(root.parent / "listing.tsv")
    source = read_source(spec, root, listing)
    images, rejected = curate(source, spec, root=root, listing=listing)
    assert len(images) + len(rejected) == len(source)
    assert set(rejected["reason"]) <= set(REASONS)
    return images, rejected


def table_spec(root: Path, text: str, **options: Any) -> TableDataset:
    root.mkdir(exist_ok=True)
    (root / "t.csv").write_text("path,label,sex,age\n" + text)
    attributes = {"sex": "sex", "age": "age"}
    defaults = {"classes": CLASSES, "separator": "|", "attributes": attributes}
    return TableDataset(adapter="table", root="x", table="t.csv", path="path", label="label", **(defaults | options))


def reasons(rejected: pd.DataFrame) -> dict[str, str]:
    return dict(zip(rejected["path"], rejected["reason"], strict=True))


@pytest.fixture
def root(tmp_path: Path) -> Path:
    folder = tmp_path / "raw"
    for index in range(4):
        picture(folder / f"n{index}.png", index)
        picture(folder / f"d{index}.png", 100 + index)
    return folder


def test_every_kind_of_bad_row_gets_its_reason_and_the_rest_goes_on(root: Path) -> None:
    (root / "text.png").write_text("no image")
    whole = root / "photo.jpg"
    Image.fromarray(np.random.default_rng(0).integers(0, 255, (64, 64, 3), dtype=np.uint8)).save(whole)
    (root / "cut.jpg").write_bytes(whole.read_bytes()[:1500])
    (root / "copy.png").write_bytes((root / "n0.png").read_bytes())
    (root / "liar.png").write_bytes((root / "d3.png").read_bytes())
    (root / "movie.gif").write_bytes(b"GIF89a")
    names = ["n0", "n1", "d0", "d1", "d3"]
    text = "".join(f"{name}.png,{name[0]},F,40\n" for name in names)
    text += "text.png,n,F,40\ncut.jpg,d,F,40\ncopy.png,n,F,40\nliar.png,n,F,40\nabsent.png,n,F,40\nmovie.gif,n,F,40\n"
    text += "n2.png,other,F,40\nn3.png,,F,40\nd2.png,d,M,40\nphoto.jpg,d|n,F,40\n"
    spec = table_spec(root, text, filter={"sex": ["F"]}, match="any")
    images, rejected = curated(root, spec)
    assert images["path"].tolist() == ["n0.png", "n1.png", "d0.png", "d1.png"]
    assert reasons(rejected) == {
        "n2.png": "unlabelled",
        "n3.png": "unlabelled",
        "photo.jpg": "conflicting-label",
        "d2.png": "filtered",
        "absent.png": "missing",
        "movie.gif": "unsupported",
        "text.png": "unreadable",
        "cut.jpg": "truncated",
        "d3.png": "conflicting-label",
        "liar.png": "conflicting-label",
        "copy.png": "duplicate",
    }
    details = dict(zip(rejected["path"], rejected["detail"], strict=True))
    assert details["copy.png"] == "the same bytes as n0.png"
    assert rejected.set_index("path").loc["n2.png", "label"] == "other"


def test_images_carry_content_size_mode_and_a_group_of_their_own(root: Path) -> None:
    spec = table_spec(root, "n0.png,n,F,40\nd0.png,d,,\n")
    images, _ = curated(root, spec)
    sha256 = hashlib.sha256((root / "n0.png").read_bytes()).hexdigest()
    first = images.iloc[0]
    assert (first["sha256"], first["image_id"], first["content"]) == (sha256, sha256[:16], sha256[:16])
    assert (first["width"], first["height"], first["mode"], first["group"]) == (12, 8, "L", sha256[:16])
    assert images["attr_sex"].isna().tolist() == [False, True]
    assert class_counts(images, spec.class_names).to_dict("list") == {
        "class": ["normal", "disease"],
        "label": [0, 1],
        "images": [1, 1],
        "distinct": [1, 1],
        "groups": [1, 1],
    }


def test_exact_match_compares_the_whole_label(root: Path) -> None:
    text = "n0.png,n,F,1\nn1.png,n|x,F,1\nd0.png,d,F,1\n"
    images, rejected = curated(root, table_spec(root, text))
    assert images["path"].tolist() == ["n0.png", "d0.png"]
    assert reasons(rejected) == {"n1.png": "unlabelled"}
    images, _ = curated(root, table_spec(root, text, match="any"))
    assert images["path"].tolist() == ["n0.png", "n1.png", "d0.png"]
    images, _ = curated(root, table_spec(root, text, classes={"normal": ["n|x"], "disease": ["d"]}))
    assert images["path"].tolist() == ["n1.png", "d0.png"]


def test_kept_duplicates_get_ids_of_their_own(root: Path) -> None:
    text = "n0.png,n,F,1\nn0.png,n,F,1\nn0.png,n,F,1\nd0.png,d,F,1\n"
    images, rejected = curated(root, table_spec(root, text, duplicates="keep"))
    assert len(rejected) == 0
    sha256 = images["sha256"].iloc[0]
    expected = [sha256[:16], digest(f"{sha256}:2")[:16], digest(f"{sha256}:3")[:16]]
    assert images["image_id"].tolist()[:3] == expected
    assert images["content"].tolist()[:3] == [sha256[:16]] * 3
    assert images["image_id"].is_unique
    images, rejected = curated(root, table_spec(root, text))
    assert len(images) == 2
    assert rejected["reason"].tolist() == ["duplicate", "duplicate"]


def test_range_filters_and_unknown_attributes(root: Path) -> None:
    text = "n0.png,n,F,40\nn1.png,n,F,60\nn2.png,n,F,\nd0.png,d,F,50\n"
    images, _ = curated(root, table_spec(root, text, filter={"age": {"min": 50}}))
    assert images["path"].tolist() == ["n1.png", "d0.png"]
    images, _ = curated(root, table_spec(root, text, filter={"age": [40, "50"]}))
    assert images["path"].tolist() == ["n0.png", "d0.png"]
    with pytest.raises(DataError, match=r"no attribute 'view'; the attributes of these images: sex, age"):
        curated(root, table_spec(root, text, filter={"view": ["PA"]}))
    with pytest.raises(DataError, match=r"'sex' is not numeric"):
        curated(root, table_spec(root, text, filter={"sex": {"max": 3}}))


def balanced_case(root: Path) -> str:
    sexes = {"n": "FFFMMMFM", "d": "FMM"}
    lines = []
    for name, letters in sexes.items():
        for index, sex in enumerate(letters):
            picture(root / f"{name}{index}.png", (50 if name == "n" else 150) + index)
            lines.append(f"{name}{index}.png,{name},{sex},40\n")
    return "".join(lines)


def test_balance_cuts_each_class_to_the_smallest_within_levels(root: Path) -> None:
    text = balanced_case(root)
    images, rejected = curated(root, table_spec(root, text, balance={"by": "sex", "order": "first"}))
    assert images["path"].tolist() == ["n0.png", "n3.png", "n4.png", "d0.png", "d1.png", "d2.png"]
    assert set(rejected["reason"]) == {"balanced"}
    assert rejected["detail"].iloc[0] == "normal cut to 1 within sex = F"
    images, _ = curated(root, table_spec(root, text, balance={"order": "first"}))
    assert images["path"].tolist() == ["n0.png", "n1.png", "n2.png", "d0.png", "d1.png", "d2.png"]


def test_random_balance_is_drawn_by_its_seed(root: Path) -> None:
    text = balanced_case(root)
    drawn = []
    for seed in (1, 1, *range(2, 12)):
        images, _ = curated(root, table_spec(root, text, balance={"by": "sex", "seed": seed}))
        counts = images.groupby(["label", "attr_sex"]).size().to_dict()
        assert counts == {("normal", "F"): 1, ("normal", "M"): 2, ("disease", "F"): 1, ("disease", "M"): 2}
        drawn.append(tuple(images["path"]))
    assert drawn[0] == drawn[1]
    assert len(set(drawn)) > 3
    assert all(list(paths) == sorted(paths, key=lambda path: ("nd".index(path[0]), path)) for paths in drawn)


def test_one_class_only_is_an_error_that_names_the_labels_there(tmp_path: Path) -> None:
    root = tmp_path / "raw"
    picture(root / "n" / "a.png", 1)
    picture(root / "ill" / "b.png", 2)
    spec = FolderDataset(adapter="folder", root="x", classes=CLASSES)
    with pytest.raises(DataError, match=r"no image is left of class disease \(1 images kept; .*unlabelled 1.*'ill'"):
        curated(root, spec)


def test_files_that_are_not_there_are_named(tmp_path: Path) -> None:
    root = tmp_path / "raw"
    picture(root / "a.png", 1)
    text = "a.png,n,F,1\nA_LEFT.png,d,F,2\nB_LEFT.png,d,M,3\n"
    with pytest.raises(
        DataError, match=r"no image is left .* 2 rows name files .* such as 'A_LEFT\.png': check .*`root`"
    ):
        curated(root, table_spec(root, text))
