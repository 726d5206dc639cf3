from pathlib import Path

import numpy as np
import pandas as pd
import pytest

from heteroscope.config import (
    FolderDataset,
    NihChestDataset,
    OdirDataset,
    TableDataset,
    UnionDataset,
)
from heteroscope.data.listing import ListedFile
from heteroscope.data.sources import read_source, read_union
from heteroscope.errors import DataError

CLASSES = {"normal": ["n"], "disease": ["d"]}


def listed(*paths: str) -> list[ListedFile]:
    return [ListedFile(path, 1, f"sha-{path}") for path in paths]


def test_folder_takes_the_first_folder_as_label() -> None:
    spec = FolderDataset(adapter="folder", root="x", classes=CLASSES)
    rows = read_source(spec, Path("x"), listed("d/deep/a.png", "n/b.png", "loose.png"))
    assert rows["path"].tolist() == ["d/deep/a.png", "n/b.png", "loose.png"]
    assert rows["label"].tolist() == ["d", "n", ""]
    assert rows["labels"].tolist() == [["d"], ["n"], [""]]
    assert rows["group"].tolist() == ["", "", ""]


def test_folder_pattern_fills_columns_and_attributes() -> None:
    pattern = r"(?P<part>train|test)/(?P<label>[nd])/(?P<group>p\d+)_(?P<magnification>\d+)(?P<stain>x)?"
    spec = FolderDataset(adapter="folder", root="x", classes=CLASSES, pattern=pattern)
    rows = read_source(spec, Path("x"), listed("train/n/p1_40.png", "test/d/p2_100x.png", "other/n/a.png"))
    assert rows["label"].tolist() == ["n", "d", ""]
    assert rows["group"].tolist() == ["p1", "p2", ""]
    assert rows["part"].tolist() == ["train", "test", ""]
    assert rows["attr_magnification"].tolist()[:2] == [40, 100]
    assert rows["attr_stain"].isna().tolist() == [True, False, True]


def test_folder_pattern_that_matches_nothing_is_an_error() -> None:
    spec = FolderDataset(adapter="folder", root="x", classes=CLASSES, pattern=r"^(?P<label>zzz)")
    with pytest.raises(DataError, match=r"matches no path, e.g. not 'n/a.png'"):
        read_source(spec, Path("x"), listed("n/a.png"))


def test_table_reads_the_named_columns(tmp_path: Path) -> None:
    (tmp_path / "t.tsv").write_text(
        "\ufefffile\tfindings\tpid\tset\tage\tsite\n./a.png\td; x\t007\ttrain\t50\tNA\nb c.png\tn\t008\ttest\t\t\n",
        encoding="utf-8",
    )
    spec = TableDataset(
        adapter="table", root="x", table="t.tsv", classes=CLASSES, path="file", label="findings", group="pid",
        part="set", separator=";", attributes={"age": "age", "site": "site"},
    )  # fmt: skip
    rows = read_source(spec, tmp_path, listed("a.png"))
    assert rows["path"].tolist() == ["a.png", "b c.png"]
    assert rows["label"].tolist() == ["d; x", "n"]
    assert rows["labels"].tolist() == [["d", "x"], ["n"]]
    assert rows["group"].tolist() == ["007", "008"]  # identifiers keep their zeros
    assert rows["attr_age"].tolist()[0] == 50
    assert rows["attr_age"].isna().tolist() == [False, True]
    assert rows["attr_site"].tolist()[0] == "NA"  # a word of the source, not a missing value


def test_a_table_may_give_the_place_of_lesions(tmp_path: Path) -> None:
    (tmp_path / "t.csv").write_text("path;label;cx;cy;r\na.png;n;;;\nb.png;d;10;20.5;3\n")
    columns = {"x": "cx", "y": "cy", "radius": "r"}
    spec = TableDataset(
        adapter="table", root="x", table="t.csv", classes=CLASSES, path="path", label="label", lesion=columns
    )
    rows = read_source(spec, tmp_path, [])
    assert rows["lesion_x"].tolist() == [[], [10]]
    assert rows["lesion_y"].tolist() == [[], [20.5]]
    assert rows["lesion_radius"].tolist() == [[], [3]]
    assert rows["attr_lesions"].tolist() == [0, 1]
    (tmp_path / "t.csv").write_text("path;label;cx;cy;r\na.png;n;;;\nb.png;d;10;;3\n")
    with pytest.raises(DataError, match=r"t\.csv: row 2: the lesion's place '10', '', '3' is not three numbers; mend"):
        read_source(spec, tmp_path, [])


def test_missing_column_names_table_column_and_what_is_there(tmp_path: Path) -> None:
    (tmp_path / "t.csv").write_text("file,label\na.png,n\n")
    spec = TableDataset(adapter="table", root="x", table="t.csv", classes=CLASSES, path="path", label="label")
    with pytest.raises(DataError, match=r"t\.csv: no column 'path'; the columns there: file, label"):
        read_source(spec, tmp_path, [])
    with pytest.raises(DataError, match=r"absent\.csv: no such table"):
        read_source(spec.model_copy(update={"table": "absent.csv"}), tmp_path, [])
    (tmp_path / "latin.csv").write_bytes("path,label\nü.png,n\n".encode("latin-1"))
    with pytest.raises(DataError, match=r"latin\.csv: cannot be read as a table .*UTF-8"):
        read_source(spec.model_copy(update={"table": "latin.csv"}), tmp_path, [])


def test_odir_gives_all_left_eyes_then_all_right_eyes(tmp_path: Path) -> None:
    (tmp_path / "full_df.csv").write_text(
        "ID,Patient Age,Patient Sex,Left-Fundus,Right-Fundus,Left-Diagnostic Keywords,Right-Diagnostic Keywords\n"
        "7,69,Female,7_left.jpg,7_right.jpg,cataract，normal fundus,normal fundus\n"
        "8,57,Male,8_left.jpg,8_right.jpg,normal fundus,cataract\n",
        encoding="utf-8",
    )
    spec = OdirDataset(adapter="odir5k", root="x", classes={"n": ["normal fundus"], "c": ["cataract"]})
    files = [ListedFile("other/7_left.jpg", 1, "a"), *listed("preprocessed_images/7_left.jpg", "a/b/8_right.jpg")]
    rows = read_source(spec, tmp_path, files)
    assert rows["path"].tolist() == ["preprocessed_images/7_left.jpg", "8_left.jpg", "7_right.jpg", "a/b/8_right.jpg"]
    assert rows["labels"].tolist()[0] == ["cataract", "normal fundus"]
    assert rows["group"].tolist() == ["7", "8", "7", "8"]
    assert rows["attr_eye"].tolist() == ["left", "left", "right", "right"]
    assert rows["attr_age"].tolist() == [69, 57, 69, 57]
    assert rows["attr_sex"].tolist() == ["Female", "Male", "Female", "Male"]


def test_odir_says_age_1_of_patients_whose_age_it_does_not_know(tmp_path: Path) -> None:
    (tmp_path / "full_df.csv").write_text(
        "ID,Patient Age,Patient Sex,Left-Fundus,Right-Fundus,Left-Diagnostic Keywords,Right-Diagnostic Keywords\n"
        "7,1,Female,7_left.jpg,7_right.jpg,cataract,normal fundus\n"
        "8,14,Male,8_left.jpg,8_right.jpg,normal fundus,cataract\n"
        "9,71,Male,9_left.jpg,9_right.jpg,normal fundus,cataract\n"
    )
    spec = OdirDataset(adapter="odir5k", root="x", classes={"n": ["normal fundus"], "c": ["cataract"]})
    age = read_source(spec, tmp_path, [])["attr_age"]
    np.testing.assert_array_equal(age.astype(float), [np.nan, 14, 71] * 2)
    assert age.dtype.kind == "f"


@pytest.mark.parametrize(
    ("header", "row"),
    [
        (
            "Image Index,Finding Labels,Follow-up #,Patient ID,Patient Age,Patient Gender,View Position,"
            "OriginalImage[Width,Height],OriginalImagePixelSpacing[x,y],",
            "a.png,Edema|Mass,3,12,58,M,PA,2048,2500,0.1,0.1,",
        ),
        (
            "Image Index,Finding Labels,Follow-up #,Patient ID,Patient Age,Patient Sex,View Position,"
            "OriginalImage[Width,Height],OriginalImagePixelSpacing[x,y]",
            "a.png,Edema|Mass,3,12,58,M,PA,2048,2500,0.1,0.1",
        ),
        (
            "Image Index,Finding Labels,Follow-up #,Patient ID,Patient Age,Patient Gender,View Position,"
            "OriginalImageWidth,OriginalImageHeight,OriginalImagePixelSpacing_x,OriginalImagePixelSpacing_y",
            "a.png,Edema|Mass,003,12,058Y,M,PA,2048,2500,0.1,0.1",
        ),
    ],
)
def test_nih_header_variants(tmp_path: Path, header: str, row: str) -> None:
    (tmp_path / "Data_Entry_2017.csv").write_text(f"{header}\n{row}\n")
    spec = NihChestDataset(adapter="nih-cxr", root="x", classes={"n": ["No Finding"], "m": ["Mass"]}, match="any")
    (only,) = read_source(spec, tmp_path, listed("images_001/images/a.png")).to_dict("records")
    assert only["path"] == "images_001/images/a.png"
    assert only["labels"] == ["Edema", "Mass"]
    assert (only["group"], only["attr_age"], only["attr_sex"]) == ("12", 58, "M")
    assert (only["attr_view"], only["attr_follow_up"]) == ("PA", 3)


def test_two_different_files_of_one_name_are_an_error(tmp_path: Path) -> None:
    (tmp_path / "Data_Entry_2017.csv").write_text(
        "Image Index,Finding Labels,Follow-up #,Patient ID,Patient Age,Patient Sex,View Position\n"
        "a.png,x,0,1,013M,F,AP\n"
    )
    spec = NihChestDataset(adapter="nih-cxr", root="x", classes=CLASSES)
    with pytest.raises(DataError, match=r"a\.png: two different files have this name, p/a\.png and q/a\.png"):
        read_source(spec, tmp_path, listed("p/a.png", "q/a.png"))
    rows = read_source(spec, tmp_path, [ListedFile("p/a.png", 1, "same"), ListedFile("q/a.png", 1, "same")])
    assert rows["path"].tolist() == ["p/a.png"]
    assert rows["attr_age"].tolist() == [pytest.approx(13 / 12)]


def test_union_keeps_members_apart() -> None:
    member = pd.DataFrame(
        {"image_id": ["1"], "content": ["1"], "sha256": ["s"], "path": ["a.png"], "label": ["normal"], "group": ["7"],
         "part": [""], "width": [8], "height": [8], "mode": ["L"], "attr_sex": ["F"]}
    )  # fmt: skip
    spec = UnionDataset(adapter="union", datasets=["one", "two"], classes={"normal": ["normal"], "d": ["d"]})
    rows = read_union(spec, {"two": member.drop(columns="attr_sex"), "one": member})
    assert rows["attr_dataset"].tolist() == ["one", "two"]
    assert rows["path"].tolist() == ["one/a.png", "two/a.png"]
    assert rows["group"].tolist() == ["one/7", "two/7"]
    assert rows["attr_sex"].isna().tolist() == [False, True]
    with pytest.raises(DataError, match="'two'"):
        read_union(spec, {"one": member})
