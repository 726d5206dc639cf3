"""BreakHis: file names, the published tree, its table of folds, and the published division of that table's rows."""

import os
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
import pytest
from PIL import Image

from heteroscope.breakhis import main, overlap, published_split
from heteroscope.config import BreakHisDataset, Split, TestPerClass
from heteroscope.data.listing import ListedFile, read_listing, update_listing
from heteroscope.data.quality import curate
from heteroscope.data.sources import read_source, tables_of
from heteroscope.data.splits import make_split
from heteroscope.errors import DataError

REAL = Path(os.environ.get("HETEROSCOPE_REALDATA", "")) / "breakhis/filenames.txt"
TWO = {"benign": ["benign"], "malignant": ["malignant"]}
EIGHT = {code.lower(): [code] for code in ("A", "F", "PT", "TA", "DC", "LC", "MC", "PC")}
FOLDERS = {
    "A": "benign/SOB/adenosis",
    "F": "benign/SOB/fibroadenoma",
    "PT": "benign/SOB/phyllodes_tumor",
    "TA": "benign/SOB/tubular_adenoma",
    "DC": "malignant/SOB/ductal_carcinoma",
    "LC": "malignant/SOB/lobular_carcinoma",
    "MC": "malignant/SOB/mucinous_carcinoma",
    "PC": "malignant/SOB/papillary_carcinoma",
}
# real names: every subtype and magnification, slides with and without letters, the one of two subtypes, the year 2015
NAMES = [
    "SOB_B_A-14-22549AB-100-001.png",
    "SOB_B_A-14-22549G-40-003.png",
    "SOB_B_F-14-14134-200-001.png",
    "SOB_B_F-14-14134E-400-010.png",
    "SOB_B_PT-14-22704-40-001.png",
    "SOB_B_TA-14-3411F-100-002.png",
    "SOB_M_DC-14-13412-40-001.png",
    "SOB_M_DC-14-2523-400-005.png",
    "SOB_M_LC-14-13412-40-002.png",
    "SOB_M_MC-14-13418DE-200-007.png",
    "SOB_M_PC-14-9146-100-004.png",
    "SOB_M_PC-15-190EF-400-013.png",
]

needs_real_names = pytest.mark.skipif(not REAL.is_file(), reason="HETEROSCOPE_REALDATA does not hold BreakHis' names")


def in_tree(name: str) -> str:
    """Where the published archive has a file."""
    procedure, year, slide, magnification, _ = name.split("-")[0], *name.split("-")[1:]
    subtype = procedure.split("_")[2]
    slide_folder = f"{procedure}_{year}-{slide}"
    return f"BreaKHis_v1/histology_slides/breast/{FOLDERS[subtype]}/{slide_folder}/{magnification}X/{name}"


def spec(classes: dict[str, list[str]] = TWO, **options: Any) -> BreakHisDataset:
    return BreakHisDataset(adapter="breakhis", root="x", classes=classes, **options)


def rows_of(paths: list[str], dataset: BreakHisDataset, root: Path = Path("x")) -> pd.DataFrame:
    return read_source(dataset, root, [ListedFile(path, 1, path) for path in paths])


@pytest.mark.parametrize("flat", [True, False])
def test_names_tell_everything_in_the_tree_and_in_a_flat_folder(flat: bool) -> None:
    paths = NAMES if flat else [in_tree(name) for name in NAMES]
    rows = rows_of(paths, spec()).set_index("path")
    assert rows.index.tolist() == paths
    assert rows["label"].tolist() == ["benign"] * 6 + ["malignant"] * 6
    assert rows["group"].tolist()[:4] == ["22549AB", "22549G", "14134", "14134E"]
    assert rows["attr_subtype"].tolist() == ["A", "A", "F", "F", "PT", "TA", "DC", "DC", "LC", "MC", "PC", "PC"]
    assert rows["attr_magnification"].tolist() == [100, 40, 200, 400, 40, 100, 40, 400, 40, 200, 100, 400]
    assert rows["attr_year"].tolist() == [2014] * 11 + [2015]
    assert set(rows["part"]) == {""}


def test_classes_may_be_the_eight_subtypes_or_some_of_them() -> None:
    eight = rows_of(NAMES, spec(EIGHT))
    assert eight["label"].tolist() == eight["attr_subtype"].tolist()
    mixed = rows_of(NAMES, spec({"benign": ["benign"], "ductal": ["DC"]}))
    assert mixed["label"].tolist() == ["benign"] * 6 + ["DC", "DC", "LC", "MC", "PC", "PC"]
    any_of = rows_of(NAMES[:1], spec(match="any"))
    assert any_of["labels"].tolist() == [["benign", "A"]]


@pytest.mark.parametrize(
    "name",
    ["a.png", "SOB_B_XX-14-1-40-001.png", "SOB_M_A-14-1-40-001.png", "SOB_B_A-14-1-40-001-2.png", "B_A-14-1-40-1.png"],
)
def test_a_name_that_cannot_be_read_has_no_label(name: str) -> None:
    rows = rows_of([NAMES[0], name], spec())
    assert rows["label"].tolist() == ["benign", ""]
    assert rows["labels"].tolist()[1] == [""]
    with pytest.raises(DataError, match=rf"no file name is one of BreakHis, e\.g\. not '{name}'; set the dataset's"):
        rows_of([name], spec())


@pytest.mark.parametrize(
    ("options", "message"),
    [
        ({"classes": {"b": ["benign"], "m": ["malignent"]}}, "unknown word 'malignent' .did you mean 'malignant'"),
        ({"classes": {"b": ["benign"], "a": ["A"]}}, "A: named twice, by the code and by benign or malignant"),
        ({"fold": 1}, "`fold` and `table` need each other"),
        ({"table": "Folds.csv"}, "`fold` and `table` need each other"),
        ({"table": "Folds.csv", "fold": "all"}, "it needs `duplicates: keep`"),
        ({"table": "Folds.csv", "fold": 0}, "greater than or equal to 1"),
    ],
)
def test_impossible_combinations_are_refused(options: dict[str, Any], message: str) -> None:
    with pytest.raises(ValueError, match=message):
        spec(**options)


@pytest.fixture
def tree(tmp_path: Path) -> Path:
    """The published tree of a few images and its table: two folds, each with all images but for one without a file."""
    root = tmp_path / "raw"
    for number, name in enumerate(NAMES):
        path = root / in_tree(name)
        path.parent.mkdir(parents=True)
        Image.fromarray(np.full((8, 8, 3), 10 * number, dtype=np.uint8)).save(path)
    lines = ["fold,mag,grp,filename"]
    absent = "SOB_B_A-14-22549AB-100-099.png"
    for fold in (2, 1):
        for number, name in enumerate([*NAMES, absent]):
            part = "test" if number % 2 == fold % 2 else "train"
            lines.append(f"{fold},{name.split('-')[3]},{part},{in_tree(name)}")
    (root / "Folds.csv").write_text("\n".join(lines) + "\n")
    return root


def curated(root: Path, dataset: BreakHisDataset) -> tuple[pd.DataFrame, pd.DataFrame]:
    listing = root.parent / "listing.tsv"
    update_listing(root, listing, dataset.tables)
    files = read_listing(listing)
    return curate(read_source(dataset, root, files), dataset, root=root, listing=files)


def test_the_tree_becomes_images_and_a_filter_takes_one_magnification(tree: Path) -> None:
    (tree / "BreaKHis_v1/other.png").write_bytes((tree / in_tree(NAMES[0])).read_bytes())
    images, rejected = curated(tree, spec(filter={"magnification": [40]}))
    assert sorted(Path(path).name for path in images["path"]) == sorted(name for name in NAMES if "-40-" in name)
    reasons = dict(zip(rejected["path"], rejected["reason"], strict=True))
    assert reasons.pop("BreaKHis_v1/other.png") == "unlabelled"
    assert set(reasons.values()) == {"filtered"}


def test_a_fold_has_its_own_training_and_test_images(tree: Path) -> None:
    assert tables_of(spec(table="Folds.csv", fold=2)) == ["Folds.csv"]
    images, rejected = curated(tree, spec(table="Folds.csv", fold=2))
    assert [Path(path).name for path in images["path"]] == NAMES
    assert images["part"].tolist() == ["test", "train"] * 6
    assert rejected[["path", "reason"]].to_numpy().tolist() == [["SOB_B_A-14-22549AB-100-099.png", "missing"]]
    other, _ = curated(tree, spec(table="Folds.csv", fold=1))
    assert other["part"].tolist() == ["train", "test"] * 6
    with pytest.raises(DataError, match=r"Folds\.csv: no row of fold 3; the folds there: 1, 2"):
        curated(tree, spec(table="Folds.csv", fold=3))


def test_all_folds_together_hold_every_image_several_times(tree: Path) -> None:
    dataset = spec(table="Folds.csv", fold="all", duplicates="keep")
    images, rejected = curated(tree, dataset)
    assert [Path(path).name for path in images["path"]] == [*NAMES, *NAMES]
    assert images["attr_fold"].tolist() == [1] * 12 + [2] * 12  # the table has them the other way round
    assert images["image_id"].nunique() == 24
    assert images["content"].nunique() == 12
    assert rejected["reason"].tolist() == ["missing", "missing"]


def test_the_table_may_name_whole_paths_in_another_column(tree: Path) -> None:
    text = (tree / "Folds.csv").read_text()
    (tree / "Folds.csv").write_text(text.replace("filename", "path", 1))
    assert len(curated(tree, spec(table="Folds.csv", fold=2))[0]) == 12
    (tree / "Folds.csv").write_text(text.replace("grp", "group", 1))
    with pytest.raises(DataError, match=r"Folds\.csv: no column 'grp'; the columns there: fold, mag, group, filename"):
        curated(tree, spec(table="Folds.csv", fold=2))


# ------------------------------------------------------------------------------ published protocol


def test_the_published_split_is_the_one_of_its_code() -> None:
    """The publication prints its code: groupby, sample and drop of pandas."""
    names = [f"SOB_{'B_A' if number % 3 else 'M_DC'}-14-{number % 5}-40-{number:03d}.png" for number in range(60)]
    split = published_split(names, seed=5, per_class=30)
    data = pd.DataFrame({"name": sorted(names) * 5})
    data["label"] = data["name"].map(lambda name: "benign" if "_B_" in name else "malignant")
    test = data.groupby("label").sample(n=30, random_state=5)
    rest = data.drop(test.index)
    validation = rest.sample(frac=0.2, random_state=5)
    expected = pd.Series("train", index=data.index)
    expected[test.index], expected[validation.index] = "test", "validation"
    assert split["part"].tolist() == expected.tolist()
    assert split["name"].tolist() == data["name"].tolist()
    assert split["fold"].tolist() == np.repeat(range(1, 6), 60).tolist()
    table = overlap(split).set_index("part")
    assert table["rows"].tolist() == [192, 48, 60]
    for part in ("validation", "test"):
        own, training = (split[split["part"] == name] for name in (part, "train"))
        both = set(own["name"]) & set(training["name"])
        assert table.loc[part, "images_in_training"] == len(both)
        assert table.loc[part, "rows_in_training"] == sum(name in both for name in own["name"])
        assert table.loc[part, "patients_in_training"] == len(set(own["group"]) & set(training["group"]))


def test_names_of_other_files_are_refused() -> None:
    with pytest.raises(DataError, match=r"1 names are not of BreakHis, the first: 'a\.png'"):
        published_split([*NAMES, "a.png"])


def test_a_class_may_be_too_small_for_its_test_images() -> None:
    images = pd.DataFrame({"image_id": list("abc"), "label": ["x", "x", "y"], "group": list("abc"), "part": ""})
    split = Split(test=TestPerClass(per_class=2), validation=0, group="none", stratify="none")
    with pytest.raises(DataError, match="asks for 2 test images of class y, but there are 1"):
        make_split(images, split, None, ["x", "y"])
    for key, value in {"group": "patient", "stratify": "label", "backbone": 0.1}.items():
        with pytest.raises(ValueError, match="repeats a published split: it needs `group: none`"):
            Split(**{"test": {"per_class": 2}, "group": "none", "stratify": "none", key: value})


@needs_real_names
def test_all_real_names_can_be_read() -> None:
    names = REAL.read_text().split()
    rows = rows_of(names, spec())
    assert set(NAMES) <= set(names)
    assert len(rows) == 7909
    assert rows["label"].value_counts().to_dict() == {"benign": 2480, "malignant": 5429}
    assert rows["attr_magnification"].value_counts().to_dict() == {40: 1995, 100: 2081, 200: 2013, 400: 1820}
    assert rows["group"].nunique() == 81
    slides = rows.groupby("group")["attr_subtype"].unique()
    assert {group: sorted(codes) for group, codes in slides.items() if len(codes) > 1} == {"13412": ["DC", "LC"]}


@needs_real_names
def test_the_published_counts_come_back_and_copies_stand_on_both_sides(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    table = overlap(published_split(REAL.read_text().split())).set_index("part")
    assert table["rows_malignant"].tolist() == [21528, 5317, 300]
    assert table["rows_benign"].tolist() == [9628, 2472, 300]
    assert table["rows"].sum() == 5 * 7909
    test = table.loc["test"]
    assert (test["rows_in_training"], test["images"], test["images_in_training"]) == (598, 578, 577)
    assert (test["patients"], test["patients_in_training"]) == (81, 81)
    # the same through the table, whatever its order
    lines = [f"{fold},40,train,{name}" for name in reversed(REAL.read_text().split()) for fold in range(5, 0, -1)]
    (tmp_path / "Folds.csv").write_text("\n".join(["fold,mag,grp,filename", *lines]) + "\n")
    dataset = spec(table="Folds.csv", fold="all", duplicates="keep")
    rows = read_source(dataset, tmp_path, []).reset_index(names="image_id")
    protocol = Split(test=TestPerClass(per_class=300), validation=0.2, group="none", stratify="none", seed=578)
    parts = make_split(rows, protocol, None, dataset.class_names)
    assert parts.loc[parts["part"] == "train", "class"].value_counts().tolist() == [21528, 9628]
    main([str(REAL)])
    assert "| test       |    600 |" in capsys.readouterr().out
