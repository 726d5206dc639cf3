"""The rows of an experiment: order, joins, standardisation, and errors that name the missing row."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pandas as pd
import pytest
from sklearn.preprocessing import StandardScaler

from heteroscope.embedding.samples import Samples, align, load_samples
from heteroscope.errors import StoreError
from heteroscope.store import create_h5, write_strings, write_table

SPLIT = pd.DataFrame(
    {
        # an order of its own: neither by name nor that of the embeddings
        "image_id": ["d", "a", "f", "b", "e", "c"],
        "class": ["cataract", "normal", "normal", "cataract", "normal", "cataract"],
        "label": [1, 0, 0, 1, 0, 1],
        "group": ["p1", "p2", "p3", "p4", "p5", "p6"],
        "part": ["train", "test", "train", "validation", "train", "backbone"],
    }
)


def write_embedding(path: Path, names: str, *, offset: float = 0.0, view: list[int] | None = None) -> Path:
    """Features (code of the image + 1000 · view + offset, its negative)."""
    views = view or [0] * len(names)
    value = np.array([ord(name) + 1000 * number + offset for name, number in zip(names, views, strict=True)])
    with create_h5(path, "views" if view else "embeddings", {"model": path.stem, "weights": "w"}) as file:
        file.create_dataset("features", data=np.column_stack([value, -value]).astype(np.float32))
        write_strings(file, "image_id", list(names))
        if view:
            file.create_dataset("view", data=np.array(view))
    return path


@pytest.fixture
def split(tmp_path: Path) -> Path:
    write_table(SPLIT, tmp_path / "split.parquet")
    return tmp_path / "split.parquet"


def test_originals_follow_the_split_and_views_follow_originals(tmp_path: Path, split: Path) -> None:
    originals = write_embedding(tmp_path / "one.h5", "abcdef")
    views = write_embedding(tmp_path / "views.h5", "efdefd", view=[2, 1, 2, 1, 2, 1])
    samples = load_samples([originals], [views], split)
    assert samples.image_id.tolist() == [*"dafbe", *"ddffee"]
    assert samples.view.tolist() == [0] * 5 + [1, 2] * 3
    assert samples.part.tolist() == ["train", "test", "train", "validation", "train"] + ["train"] * 6
    assert samples.label.tolist() == [1, 0, 0, 1, 0, 1, 1, 0, 0, 0, 0]
    assert samples.group.tolist() == ["p1", "p2", "p3", "p4", "p5", "p1", "p1", "p3", "p3", "p5", "p5"]
    assert samples.class_names == ["normal", "cataract"]
    expected = [ord(name) + 1000 * view for name, view in zip(samples.image_id, samples.view, strict=True)]
    np.testing.assert_array_equal(samples.features[:, 0], expected)
    assert samples.features.dtype == np.float32
    assert samples.rows("train").tolist() == [0, 2, 4, 5, 6, 7, 8, 9, 10]
    assert samples.rows("test").tolist() == [1]


def test_a_fusion_stands_side_by_side_whatever_the_order_of_rows(tmp_path: Path, split: Path) -> None:
    files = [write_embedding(tmp_path / "one.h5", "abcdef"), write_embedding(tmp_path / "two.h5", "fdbeca", offset=0.5)]
    views = [
        write_embedding(tmp_path / "v1.h5", "def", view=[1, 1, 1]),
        write_embedding(tmp_path / "v2.h5", "fed", view=[1, 1, 1], offset=0.5),
    ]
    samples = load_samples(files, views, split)
    code = np.array([ord(name) for name in samples.image_id]) + 1000 * samples.view
    np.testing.assert_array_equal(samples.features, np.column_stack([code, -code, code + 0.5, -code - 0.5]))
    assert samples.embedding["model"] == "one + two"


def test_a_missing_image_is_named(tmp_path: Path, split: Path) -> None:
    # image c belongs to the backbone's share: nobody needs it
    assert len(load_samples([write_embedding(tmp_path / "one.h5", "abdef")], [], split)) == 5
    with pytest.raises(StoreError, match="'e'"):
        load_samples([write_embedding(tmp_path / "two.h5", "abcdf")], [], split)
    with pytest.raises(StoreError, match="'f'"):
        load_samples([tmp_path / "one.h5", write_embedding(tmp_path / "three.h5", "abcde")], [], split)


def test_views_of_images_that_do_not_train_are_left_out(tmp_path: Path, split: Path) -> None:
    """The views of all folds stand in one file."""
    originals = write_embedding(tmp_path / "one.h5", "abcdef")
    views = write_embedding(tmp_path / "views.h5", "abcd", view=[1, 1, 1, 1])  # test, validation, backbone, training
    samples = load_samples([originals], [views], split)
    assert samples.image_id[samples.view == 1].tolist() == ["d"]


def test_align_follows_the_samples_and_names_a_missing_row(tmp_path: Path, split: Path) -> None:
    originals = write_embedding(tmp_path / "one.h5", "abcdef")
    views = write_embedding(tmp_path / "views.h5", "def", view=[1, 1, 1])
    samples = load_samples([originals], [views], split)
    table = pd.DataFrame({"image_id": samples.image_id, "view": samples.view, "cluster": np.arange(len(samples))})
    shuffled = table.sample(frac=1, random_state=3)
    assert align(samples, shuffled, Path("a.parquet"))["cluster"].tolist() == list(range(len(samples)))
    with pytest.raises(StoreError, match=r"a\.parquet.*'f', (np\.int64\()?1"):
        align(samples, table[(table["image_id"] != "f") | (table["view"] != 1)], Path("a.parquet"))


def test_standardised_like_scikit_learn_on_original_training_images() -> None:
    generator = np.random.default_rng(0)
    features = (generator.normal(size=(60, 4)) * [1, 50, 1e-3, 1] + [0, 1000, 5, 7]).astype(np.float32)
    features[:, 3] = 7.25  # a constant
    features[50:, 3] = 9.25  # but not in the views
    samples = Samples(
        features=features,
        image_id=np.array([str(i) for i in range(60)], dtype=object),
        view=np.repeat([0, 1], [50, 10]),
        part=np.array(["train"] * 30 + ["validation"] * 5 + ["test"] * 15 + ["train"] * 10, dtype=object),
        label=np.zeros(60, dtype=int),
        group=np.array(["p"] * 60, dtype=object),
        class_names=["a", "b"],
        embedding={},
    )
    expected = StandardScaler().fit(features[:30].astype(np.float64)).transform(features.astype(np.float64))
    scaled = samples.standardized()
    np.testing.assert_allclose(scaled.features, expected, rtol=1e-5, atol=1e-6)
    assert scaled.features.dtype == np.float32
    assert scaled.image_id is samples.image_id
    np.testing.assert_array_equal(samples.features, features)
