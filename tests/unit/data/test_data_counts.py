import numpy as np
import pandas as pd

from heteroscope.data.counts import part_counts


def test_counts_images_and_patients_of_classes_and_levels() -> None:
    ids = list("abcdef")
    split = pd.DataFrame(
        {
            "image_id": ids,
            "class": ["zebra", "ape", "zebra", "ape", "zebra", "ape"],
            "label": [0, 1, 0, 1, 0, 1],
            "group": ["p", "p", "p", "q", "r", "r"],
            "part": ["train", "train", "train", "train", "test", "test"],
        }
    )
    images = pd.DataFrame({"image_id": ids[::-1], "attr_sex": ["F", "F", "M", None, "M", "M"], "attr_x": np.nan})
    table = part_counts(split, images).set_index(["variable", "level", "part"])
    assert table.loc[("class", "zebra", "train")].tolist() == [2, 1]
    assert table.loc[("class", "ape", "train")].tolist() == [2, 2]
    assert [level for name, level, _ in table.index if name == "class"] == ["zebra", "zebra", "ape", "ape"]
    assert table.loc[("sex", "F", "test")].tolist() == [2, 1]
    assert table.loc[("sex", "M", "train")].tolist() == [3, 2]
    assert table.loc[("sex", "missing", "train")].tolist() == [1, 1]
    assert table.xs("x")["images"].tolist() == [4, 2]
    assert table.groupby("variable")["images"].sum().eq(6).all()


def test_of_all_folds_together_the_folds_are_counted() -> None:
    ids = list("abcd")
    split = pd.DataFrame({"image_id": ids, "class": "ape", "label": 0, "group": list("ppqr"), "part": "train"})
    split["fold"] = [1, 1, 2, 0]
    table = part_counts(split, pd.DataFrame({"image_id": ids})).set_index("part")
    assert table["images"].to_dict() == {"backbone": 1, "fold 1": 2, "fold 2": 1}
    assert table["groups"].to_dict() == {"backbone": 1, "fold 1": 1, "fold 2": 1}


def test_many_numbers_become_quartiles_in_order_and_many_words_are_left_out() -> None:
    ids = [str(index) for index in range(100)]
    split = pd.DataFrame({"image_id": ids, "class": "a", "label": 0, "group": ids, "part": "train"})
    images = pd.DataFrame(
        {"image_id": ids, "attr_age": np.arange(100.0), "attr_patient": ids, "attr_zoom": [40, 100] * 50}
    )
    images["attr_patient"] = "p" + images["attr_patient"]
    table = part_counts(split, images)
    assert set(table["variable"]) == {"class", "age", "zoom"}
    age = table[table["variable"] == "age"]
    assert age["level"].tolist() == ["0 to 24.75", "24.75 to 49.5", "49.5 to 74.25", "74.25 to 99"]
    assert age["images"].tolist() == [25, 25, 25, 25]
    assert table.loc[table["variable"] == "zoom", "level"].tolist() == ["40", "100"]


def test_quartiles_of_large_numbers_have_names_of_their_own() -> None:
    ids = [str(index) for index in range(40)]
    split = pd.DataFrame({"image_id": ids, "class": "a", "label": 0, "group": ids, "part": "train"})
    images = pd.DataFrame({"image_id": ids, "attr_date": np.arange(20231101, 20231141)})
    date = part_counts(split, images).query("variable == 'date'")
    assert date["images"].tolist() == [10, 10, 10, 10]
    assert date["level"].iloc[0] == "20231101 to 20231110.75"
