from typing import Any

import numpy as np
import pandas as pd
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from sklearn.model_selection import train_test_split

from heteroscope.config import Split
from heteroscope.data.splits import make_split
from heteroscope.errors import DataError

NAMES = ["normal", "disease"]


def images(labels: list[int], groups: list[object] | None = None, **columns: Any) -> pd.DataFrame:
    ids = [f"{index:016x}" for index in range(len(labels))]
    frame = pd.DataFrame({"image_id": ids, "content": ids, "label": [NAMES[label] for label in labels]})
    frame["group"] = ids if groups is None else [str(group) for group in groups]
    frame["part"] = ""
    return frame.assign(**columns)


def sides(split: pd.DataFrame) -> int:
    return int(split.groupby("group")["part"].nunique().max())


@st.composite
def populations(draw: st.DrawFn) -> tuple[list[int], list[int]]:
    """Patients of one to five images; some have both labels."""
    sizes = draw(st.lists(st.integers(1, 5), min_size=30, max_size=60))
    labels, groups = [], []
    for patient, size in enumerate(sizes):
        kind = draw(st.sampled_from(["0", "1", "mixed"]))
        for _ in range(size):
            labels.append(draw(st.integers(0, 1)) if kind == "mixed" else int(kind))
            groups.append(patient)
    return labels, groups


@settings(max_examples=40, deadline=None)
@given(populations(), st.integers(0, 1000), st.sampled_from([0.2, 0.3]), st.sampled_from([0.0, 0.15]))
def test_no_group_on_two_sides_and_shares_hold(
    population: tuple[list[int], list[int]], seed: int, test: float, backbone: float
) -> None:
    labels, groups = population
    spec = Split(test=test, validation=0.15, backbone=backbone, seed=seed)
    try:
        split = make_split(images(labels, groups), spec, None, NAMES)
    except DataError:
        assert min(labels.count(0), labels.count(1)) < 40  # too few of a class for every part
        return
    assert sides(split) == 1
    assert len(split) == len(labels)
    assert split["label"].tolist() == labels
    largest = 5  # images of a patient: what grouping may cost
    for part, share in {"test": test, "validation": 0.15, "backbone": backbone}.items():
        for label in (0, 1):
            count = ((split["part"] == part) & (split["label"] == label)).sum()
            assert abs(count - share * labels.count(label)) <= 2 * largest


@settings(max_examples=40, deadline=None)
@given(st.integers(20, 200), st.integers(20, 200), st.integers(0, 1000))
def test_without_groups_shares_hold_to_one_image(negatives: int, positives: int, seed: int) -> None:
    labels = [0] * negatives + [1] * positives
    split = make_split(images(labels), Split(test=0.2, validation=0.15, backbone=0.1, seed=seed), None, NAMES)
    for part, share in {"test": 0.2, "validation": 0.15, "backbone": 0.1}.items():
        for label, total in ((0, negatives), (1, positives)):
            count = ((split["part"] == part) & (split["label"] == label)).sum()
            assert abs(count - share * total) <= 1.5


def test_every_kind_of_patient_stands_in_every_part() -> None:
    # patients of one, two and five images: shares must hold within each kind, not only over all images
    sizes = [1] * 100 + [2] * 100 + [5] * 100
    groups = np.repeat(np.arange(300), sizes)
    labels = np.repeat(np.arange(300) % 2, sizes).tolist()
    split = make_split(images(labels, groups.tolist()), Split(test=0.2, validation=0.2, seed=1), None, NAMES)
    size = split.groupby("group")["part"].agg(["size", "first"])
    assert (pd.crosstab(size["size"], size["first"])["test"] == 20).all()
    assert (pd.crosstab(size["size"], size["first"])["validation"] == 20).all()


def test_is_decided_by_its_seed_and_not_by_the_order_of_parts() -> None:
    frame = images([0, 1] * 100, list(np.arange(200) // 2))
    base = make_split(frame, Split(seed=5), None, NAMES)
    pd.testing.assert_frame_equal(base, make_split(frame, Split(seed=5), None, NAMES))
    other = make_split(frame, Split(seed=6), None, NAMES)
    assert (base["part"] != other["part"]).any()
    wider = make_split(frame, Split(seed=5, validation=0.3), None, NAMES)
    # another validation share leaves the test set alone
    assert ((base["part"] == "test") == (wider["part"] == "test")).all()


def test_ungrouped_split_may_divide_a_patient() -> None:
    frame = images([0, 1] * 50, [0, 1] * 50)
    split = make_split(frame, Split(group="none"), None, NAMES)
    assert sides(split) > 1
    with pytest.raises(DataError):
        make_split(frame, Split(group="patient"), None, NAMES)  # two patients cannot fill three parts


def test_patients_that_share_an_image_stay_together() -> None:
    frame = images([0, 1] * 60, list(range(120)))
    frame["content"] = [f"c{index // 4}" for index in range(120)]  # kept copies, under four patients each
    split = make_split(frame, Split(), None, NAMES)
    assert split.assign(content=frame["content"]).groupby("content")["part"].nunique().max() == 1


FOLDED = Split(test=None, folds=4, validation=0.15, backbone=0.1, seed=3)


def test_folds_test_every_image_outside_the_backbone_share_once() -> None:
    frame = images([0, 1, 1] * 60, list(np.arange(180) // 3))
    whole = make_split(frame, FOLDED, None, NAMES)
    assert abs((whole["part"] == "backbone").sum() - 18) <= 3
    assert set(whole.loc[whole["part"] == "backbone", "fold"]) == {0}
    tested: list[str] = []
    for fold in range(1, 5):
        split = make_split(frame, FOLDED, fold, NAMES)
        assert sides(split) == 1
        assert "fold" not in split
        assert split["image_id"].tolist() == whole["image_id"].tolist()
        test = split["part"] == "test"
        assert (test == (whole["fold"] == fold)).all()
        assert ((split["part"] == "backbone") == (whole["part"] == "backbone")).all()
        assert abs(test.sum() - 162 / 4) <= 3
        assert abs((split["part"] == "validation").sum() - 0.15 * 180) <= 3
        tested += split.loc[test, "image_id"].tolist()
    assert sorted(tested) == sorted(whole.loc[whole["part"] == "train", "image_id"])


def test_all_folds_together_train_on_what_is_not_the_backbone_share() -> None:
    frame = images([0, 1, 1] * 60, list(np.arange(180) // 3))
    whole = make_split(frame, FOLDED.model_copy(update={"backbone": 0.0}), None, NAMES)
    assert set(whole["part"]) == {"train"}
    assert sorted(whole["fold"].unique()) == [1, 2, 3, 4]
    assert whole.groupby("group")["fold"].nunique().max() == 1
    shares = whole.groupby("fold")["label"].mean()
    assert np.ptp(shares) < 0.02


def test_condition_gives_the_test_set_and_leaves_its_patients_other_images_out(
    caplog: pytest.LogCaptureFixture,
) -> None:
    frame = images([0, 1] * 60, list(np.arange(120) // 2), attr_site=["a"] * 90 + ["b"] * 30)
    frame.loc[88, "attr_site"] = "b"  # its patient's other image (89) is at site a
    caplog.set_level("INFO")
    split = make_split(frame, Split(test={"where": {"site": ["b"]}}, validation=0.15), None, NAMES)
    test = set(split.loc[split["part"] == "test", "image_id"])
    assert test == set(frame.loc[frame["attr_site"] == "b", "image_id"])
    assert frame["image_id"][89] not in set(split["image_id"])
    assert len(split) == 119
    assert sides(split) == 1
    assert abs((split["part"] == "validation").sum() - 18) <= 2
    assert "1 images are left out" in caplog.text


def test_a_condition_with_a_share_tests_other_patients_at_another_level() -> None:
    """Every patient has images of both scanners: some patients test on one, the others train on the other."""
    frame = images([0, 0, 1, 1] * 40, list(np.arange(160) // 2), attr_scanner=["a", "b"] * 80)
    spec = Split(test={"where": {"scanner": ["b"]}, "share": 0.3}, validation=0.1, seed=1)
    split = make_split(frame, spec, None, NAMES)
    scanner = split["image_id"].map(frame.set_index("image_id")["attr_scanner"])
    assert scanner[split["part"] == "test"].unique().tolist() == ["b"]
    assert scanner[split["part"] != "test"].unique().tolist() == ["a"]
    assert sides(split) == 1
    assert split["part"].value_counts().to_dict() == {"train": 40, "test": 24, "validation": 16}
    assert split["group"].nunique() == len(split) == 80


def test_source_gives_test_and_validation() -> None:
    frame = images([0, 1] * 30, list(np.arange(60) // 2))
    frame["part"] = ["Training"] * 30 + [""] * 10 + ["val"] * 10 + ["test"] * 10
    split = make_split(frame, Split(test="source", validation=0.15), None, NAMES)
    assert split["part"].tolist() == ["train"] * 40 + ["validation"] * 10 + ["test"] * 10
    frame["part"] = frame["part"].replace("val", "train")
    split = make_split(frame, Split(test="source", validation=0.15), None, NAMES)
    assert split["part"].tolist()[50:] == ["test"] * 10
    assert 8 <= (split["part"] == "validation").sum() <= 10
    with pytest.raises(DataError, match="'holdout'"):
        make_split(frame.assign(part="holdout"), Split(test="source"), None, NAMES)
    with pytest.raises(DataError, match="no test images"):
        make_split(frame.assign(part=""), Split(test="source"), None, NAMES)


def test_a_part_without_a_class_is_an_error_with_its_remedy() -> None:
    frame = images([0] * 60 + [1] * 2)
    with pytest.raises(DataError, match=r"no image of class disease; .*larger share"):
        make_split(frame, Split(test=0.2, validation=0.1), None, NAMES)
    site = images([0, 1] * 30, attr_site=["a"] * 50 + ["b"] * 10)
    with pytest.raises(DataError, match=r"validation and backbone, but its test set leaves 10"):
        make_split(site, Split(test={"where": {"site": ["a"]}}, validation=0.3), None, NAMES)


def test_published_protocol_is_pandas_and_scikit_learn_to_the_letter() -> None:
    rng = np.random.default_rng(0)
    frame = images(rng.integers(0, 2, 101).tolist(), attr_sex=rng.choice(["Male", "Female"], 101))
    spec = Split(test=0.2, validation=0, group="none", seed=2023, shuffle={"by": "sex", "seed": 42})
    split = make_split(frame, spec, None, NAMES)
    blocks = [
        frame[(frame["label"] == label) & (frame["attr_sex"] == sex)]
        for label in ("disease", "normal")
        for sex in ("Female", "Male")
    ]
    shuffled = pd.concat(blocks).sample(frac=1, random_state=42)
    train, test = train_test_split(
        shuffled, test_size=0.2, random_state=2023, stratify=(shuffled["label"] == "normal").astype(int)
    )
    assert split["image_id"].tolist() == [*train["image_id"], *test["image_id"]]
    assert split["part"].tolist() == ["train"] * len(train) + ["test"] * len(test)


def test_published_order_with_shares_for_validation_and_backbone() -> None:
    frame = images([0, 1] * 50, attr_sex=["F", "M"] * 50)
    spec = Split(test=0.2, validation=0.1, backbone=0.2, group="none", shuffle={"by": "sex", "seed": 1})
    split = make_split(frame, spec, None, NAMES)
    assert split["part"].value_counts().to_dict() == {"train": 50, "test": 20, "backbone": 20, "validation": 10}
    assert split["image_id"].is_unique
