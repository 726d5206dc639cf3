"""Files are whole or absent; a damaged one is named with its remedy; tables keep their digits."""

from __future__ import annotations

import json
import re
from collections.abc import Callable
from pathlib import Path

import h5py
import numpy as np
import pandas as pd
import pytest

from heteroscope import store, summary
from heteroscope.atomic import atomic_path
from heteroscope.errors import StoreError

FRAME = pd.DataFrame(
    {
        "name": ["a", None, "NA", 'with "quotes", commas'],
        "value": [1 / 3, np.nan, 123456789.123, 1.23456789e-12],
        "count": [1, 20, 300, 4_000_000_000],
        "flag": [True, False, True, False],
    }
)


def write(path: Path, features: np.ndarray, names: list[str], *, encoding: str = "embeddings") -> Path:
    with store.create_h5(path, encoding, {"model": "resnet18", "spec": {"b": 1, "a": [2]}}) as file:
        file.create_dataset("features", data=features, chunks=(1, features.shape[1]), fletcher32=True)
        store.write_strings(file, "image_id", names)
    return path


@pytest.fixture
def features() -> np.ndarray:
    return np.random.default_rng(0).normal(size=(6, 50)).astype(np.float32)


# --------------------------------------------------------------------------------------- atomicity


def write_until(path: Path, error: BaseException) -> None:
    with store.create_h5(path, "embeddings") as file:
        file.create_dataset("features", data=np.zeros((9, 9)))
        raise error


@pytest.mark.parametrize("error", [ValueError("x"), KeyboardInterrupt()])
def test_an_interrupted_writer_leaves_the_old_file(tmp_path: Path, features: np.ndarray, error: BaseException) -> None:
    path = write(tmp_path / "e.h5", features, [*"abcdef"])
    old = path.read_bytes()
    with pytest.raises(type(error)):
        write_until(path, error)
    assert path.read_bytes() == old
    assert [found.name for found in tmp_path.iterdir()] == ["e.h5"], "a temporary file stays behind"


def test_a_failed_first_writer_leaves_nothing(tmp_path: Path) -> None:
    class Unwritable:
        pass

    with pytest.raises(TypeError):
        store.write_json({"x": Unwritable()}, tmp_path / "new/v.json")
    with pytest.raises(KeyError):
        store.write_table(FRAME, tmp_path / "new/v.xlsx")
    assert list((tmp_path / "new").iterdir()) == []


def test_the_target_is_untouched_until_the_end_and_then_readable_by_all(tmp_path: Path) -> None:
    path = tmp_path / "deep/er/file.txt"
    with atomic_path(path) as temporary:
        temporary.write_text("new", encoding="utf-8")
        assert not path.exists()
        assert temporary.parent == path.parent, "a rename across file systems is not atomic"
    assert path.read_text(encoding="utf-8") == "new"
    assert path.stat().st_mode & 0o777 == 0o644


def test_the_same_content_gives_the_same_bytes(tmp_path: Path, features: np.ndarray) -> None:
    first, second = (write(tmp_path / name, features, [*"abcdef"]).read_bytes() for name in ("a.h5", "b.h5"))
    assert first == second


# ------------------------------------------------------------------------------------------- HDF5


def test_what_is_written_is_read(tmp_path: Path, features: np.ndarray) -> None:
    found = store.read_embeddings([write(tmp_path / "e.h5", features, [*"abcdef"])])
    np.testing.assert_array_equal(found.features, features)
    assert found.image_id.tolist() == [*"abcdef"]
    assert found.view.tolist() == [0] * 6
    assert found.attributes["model"] == "resnet18"
    assert json.loads(found.attributes["spec"]) == {"a": [2], "b": 1}
    assert found.rows(["f", "a"]).tolist() == [5, 0]
    with pytest.raises(StoreError, match=r"\('a', 1\)"):
        found.rows(["a"], [1])


def test_troubles_of_what_is_done_with_a_file_are_not_its_own(tmp_path: Path) -> None:
    """Training reads pixels as it goes: a GPU without memory is no damaged file."""
    with store.create_h5(tmp_path / "s.h5", "x") as file:
        store.write_strings(file, "names", ["a"])
    for trouble in (RuntimeError("out of memory"), OSError(28, "No space left on device"), KeyError("column")):
        with pytest.raises(type(trouble)), store.open_h5(tmp_path / "s.h5", "x"):
            raise trouble
    with pytest.raises(StoreError, match="damaged"), store.open_h5(tmp_path / "s.h5", "x") as file:
        _ = file["another"][:]


@pytest.mark.parametrize("names", [[], [""], ["a", "long name", ""]])
def test_strings(tmp_path: Path, names: list[str]) -> None:
    with store.create_h5(tmp_path / "s.h5", "x") as file:
        store.write_strings(file, "names", names)
    with store.open_h5(tmp_path / "s.h5", "x") as file:
        assert store.read_strings(file, "names").tolist() == names


def refused(path: Path, encoding: str = "embeddings") -> str:
    with pytest.raises(StoreError) as caught:
        _ = store.read_embeddings([path], encoding).features
    assert str(path) in str(caught.value)
    assert "run" in str(caught.value), "no remedy is named"
    return str(caught.value)


def test_another_encoding_or_version_is_refused(tmp_path: Path, features: np.ndarray) -> None:
    path = write(tmp_path / "e.h5", features, [*"abcdef"])
    assert "encoding 'embeddings' version 1, expected 'views' version 1" in refused(path, "views")
    with h5py.File(path, "a") as file:
        file.attrs["encoding_version"] = 2
    assert "encoding 'embeddings' version 2, expected 'embeddings' version 1" in refused(path)
    with h5py.File(path, "a") as file:
        del file.attrs["encoding"]
    assert "encoding None" in refused(path)


def test_a_missing_file_and_a_missing_dataset(tmp_path: Path, features: np.ndarray) -> None:
    assert "no such file" in refused(tmp_path / "nowhere.h5")
    assert "no such file" in refused(tmp_path)  # a folder
    path = write(tmp_path / "e.h5", features, [*"abcdef"])
    with h5py.File(path, "a") as file:
        del file["image_id"]
    assert "image_id" in refused(path)


def test_a_file_of_another_kind(tmp_path: Path) -> None:
    for content in (b"", b"not HDF5 at all", b"\x89HDF\r\n\x1a\n" + bytes(50)):
        (tmp_path / "e.h5").write_bytes(content)
        assert "damaged or incomplete" in refused(tmp_path / "e.h5")


@pytest.mark.parametrize("share", [0.02, 0.3, 0.6, 0.9, 0.999])
def test_a_truncated_file(tmp_path: Path, features: np.ndarray, share: float) -> None:
    path = write(tmp_path / "e.h5", features, [*"abcdef"])
    content = path.read_bytes()
    path.write_bytes(content[: int(share * len(content))])
    assert "damaged or incomplete" in refused(path)


@pytest.mark.parametrize("row", [0, 3, 5])
def test_a_flipped_bit_in_the_features(tmp_path: Path, features: np.ndarray, row: int) -> None:
    path = write(tmp_path / "e.h5", features, [*"abcdef"])
    content = bytearray(path.read_bytes())
    place = content.find(features[row].tobytes())
    assert place > 0
    content[place + 17] ^= 4
    path.write_bytes(content)
    assert "damaged or incomplete" in refused(path)


def test_features_that_are_not_finite_name_the_image(tmp_path: Path, features: np.ndarray) -> None:
    for value in (np.nan, np.inf):
        features[3, 7] = value
        path = write(tmp_path / "e.h5", features, [*"abcdef"])
        with pytest.raises(StoreError, match=r"e\.h5: the embedding of image d is not finite"):
            _ = store.read_embeddings([path]).features


def test_rows_and_names_of_different_number(tmp_path: Path, features: np.ndarray) -> None:
    assert "6 rows of features, 5 of image_id" in refused(write(tmp_path / "e.h5", features, [*"abcde"]))


def test_a_fusion_matches_rows_by_image(tmp_path: Path, features: np.ndarray) -> None:
    first = write(tmp_path / "a.h5", features, [*"abcdef"])
    second = write(tmp_path / "b.h5", 10 + features[::-1], [*"fedcba"])
    found = store.read_embeddings([first, second])
    np.testing.assert_array_equal(found.features, np.hstack([features, 10 + features]))
    np.testing.assert_array_equal(found.read(np.array([4, 0, 4])), np.hstack([features, 10 + features])[[4, 0, 4]])
    assert found.width == 2 * features.shape[1]
    assert found.attributes["model"] == "resnet18 + resnet18"
    with pytest.raises(StoreError, match="'c'"):
        store.read_embeddings([first, write(tmp_path / "c.h5", features[:5], [*"abdef"])])


def test_the_digest_of_rows_knows_their_order(tmp_path: Path) -> None:
    path = tmp_path / "e.h5"
    store.write_digest(path, ["a", "b"])
    first = (tmp_path / "e.h5.digest").read_text(encoding="ascii")
    store.write_digest(path, ["b", "a"])
    assert (tmp_path / "e.h5.digest").read_text(encoding="ascii") != first
    store.write_digest(path, ["a", "b"])
    assert (tmp_path / "e.h5.digest").read_text(encoding="ascii") == first


# ----------------------------------------------------------------------------------------- tables


@pytest.mark.parametrize("ending", [".csv", ".tsv"])
def test_text_tables_keep_six_digits(tmp_path: Path, ending: str) -> None:
    path = tmp_path / f"t{ending}"
    store.write_table(FRAME, path)
    separator = "\t" if ending == ".tsv" else ","
    lines = path.read_text(encoding="utf-8").splitlines()
    assert lines[0] == separator.join(FRAME.columns)
    assert lines[1] == separator.join(["a", "0.333333", "1", "True"])
    assert lines[2] == separator.join(["", "", "20", "False"])
    assert lines[3] == separator.join(["NA", "1.23457e+08", "300", "True"])
    assert "1.23457e-12" in lines[4]
    assert "4000000000" in lines[4]
    found = store.read_table(path)
    assert found["name"].isna().tolist() == [False, True, False, False], "a name of NA is a name"
    assert found.loc[3, "name"] == FRAME.loc[3, "name"]
    np.testing.assert_allclose(found["value"], FRAME["value"], rtol=1e-5)
    assert found["flag"].dtype == bool


def page_table(frame: pd.DataFrame, path: Path) -> None:
    """The table as pages have it."""
    path.write_text(summary.markdown(frame), encoding="utf-8")


def test_parquet_is_exact(tmp_path: Path) -> None:
    store.write_table(FRAME, tmp_path / "t.parquet")
    pd.testing.assert_frame_equal(store.read_table(tmp_path / "t.parquet"), FRAME)


def test_a_table_in_all_formats(tmp_path: Path) -> None:
    frame = pd.DataFrame(
        {"cluster": ["all", "0"], "n_a_b": [3, 4], "auc": [0.123456789, np.nan], "100%": ["x & y", "z"]}
    )
    store.write_table_in_all_formats(frame, tmp_path / "t.csv")
    assert sorted(path.name for path in tmp_path.iterdir()) == ["t.csv", "t.md", "t.tex"]
    rows = [
        [cell.strip() for cell in line.strip("|").split("|")] for line in (tmp_path / "t.md").read_text().splitlines()
    ]
    assert rows[0] == ["cluster", "n_a_b", "auc", "100%"]
    assert rows[2] == ["all", "3", "0.1235", "x & y"]
    text = (tmp_path / "t.tex").read_text()
    assert r"n\_a\_b" in text
    assert r"100\%" in text
    assert r"x \& y" in text
    assert "0.1235" in text


def test_names_that_look_like_numbers_stay_names_in_markdown(tmp_path: Path) -> None:
    frame = pd.DataFrame({"patient": ["007", "1e5", "12"], "value": [0.5, 1.0, 2.0]})
    store.write_table(frame, tmp_path / "t.md")
    text = (tmp_path / "t.md").read_text(encoding="utf-8")
    assert "007" in text
    assert "1e5" in text


@pytest.mark.parametrize("write", [lambda frame, path: store.write_table(frame, path), page_table])
def test_a_cell_with_bars_or_lines_stays_one_cell_in_markdown(
    tmp_path: Path, write: Callable[[pd.DataFrame, Path], object]
) -> None:
    frame = pd.DataFrame({"label|word": ["benign|malignant", "two\nlines", None], "images": [3, 4, 5]})
    write(frame, tmp_path / "t.md")
    lines = (tmp_path / "t.md").read_text(encoding="utf-8").splitlines()
    cells = [[cell.strip() for cell in re.split(r"(?<!\\)\|", line)[1:-1]] for line in lines]
    assert [cells[0], *cells[2:4]] == [[r"label\|word", "images"], [r"benign\|malignant", "3"], ["two lines", "4"]]
    assert len(cells) == 5
    assert cells[4][1] == "5"


@pytest.mark.parametrize("ending", [".csv", ".tsv", ".parquet"])
def test_tables_that_cannot_be_read(tmp_path: Path, ending: str) -> None:
    path = tmp_path / f"t{ending}"
    with pytest.raises(StoreError, match=rf"t\{ending}: no such file; run"):
        store.read_table(path)
    path.write_bytes(b"")
    with pytest.raises(StoreError, match=rf"t\{ending}: cannot be read as a table.*delete it"):
        store.read_table(path)


def test_a_truncated_parquet_is_named(tmp_path: Path) -> None:
    path = tmp_path / "t.parquet"
    store.write_table(FRAME, path)
    path.write_bytes(path.read_bytes()[:-30])
    with pytest.raises(StoreError, match=r"t\.parquet: damaged or incomplete.*delete it"):
        store.read_table(path)


# ------------------------------------------------------------------------------------------- JSON


def test_json_is_sorted_rounded_and_knows_no_nan(tmp_path: Path) -> None:
    value = {"b": np.float32(1 / 3), "a": [np.int64(3), float("nan"), (1e-12 / 3, True)], 2: {"ü": np.bool_(False)}}
    store.write_json(value, tmp_path / "v.json")
    text = (tmp_path / "v.json").read_text(encoding="utf-8")
    assert json.loads(text) == {"2": {"ü": False}, "a": [3, None, [3.33333e-13, True]], "b": 0.333333}
    assert text.index('"2"') < text.index('"a"') < text.index('"b"')
    assert "ü" in text
    assert store.read_json(tmp_path / "v.json")["b"] == 0.333333


def test_json_that_cannot_be_read(tmp_path: Path) -> None:
    with pytest.raises(StoreError, match=r"v\.json: cannot be read"):
        store.read_json(tmp_path / "v.json")
    for content in (b"", b'{"a": 1', b"\xff\xfe"):
        (tmp_path / "v.json").write_bytes(content)
        with pytest.raises(StoreError, match=r"v\.json: cannot be read.*delete it"):
            store.read_json(tmp_path / "v.json")
