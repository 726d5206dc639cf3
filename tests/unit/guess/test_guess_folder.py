"""What `heteroscope init` guesses about folders: read by the adapter, it gives back what was planted."""

from __future__ import annotations

import os
import re
from collections.abc import Callable
from pathlib import Path

import pytest
import yaml

from heteroscope.config import FolderDataset, load, parse
from heteroscope.config.datasets import Dataset
from heteroscope.data.listing import read_listing, update_listing
from heteroscope.data.sources import read_source
from heteroscope.errors import DataError
from heteroscope.guess import guess_folder, sketch
from heteroscope.guess.guesses import Guess

REAL = os.environ.get("HETEROSCOPE_REALDATA", "")
Row = tuple[str, str, str]
"""Label, patient, part."""


def touch(root: Path, paths: list[str]) -> Path:
    for path in paths:
        (root / path).parent.mkdir(parents=True, exist_ok=True)
        (root / path).touch()
    return root


def read(guess: Guess, folder: Path) -> dict[str, Row]:
    """File name → what the adapter says of it, by a configuration that was written and loaded."""
    text = sketch(guess, study="mine", source=folder, target=folder / "mine.yaml")
    spec: Dataset = load(yaml.safe_load(text)).datasets["mine"]
    assert isinstance(spec, FolderDataset)
    root = Path(spec.root)
    update_listing(root, folder / "listing.tsv")
    rows = read_source(spec, root, read_listing(folder / "listing.tsv"))
    return {
        row["path"]: (row["label"], row["group"], row["part"]) for row in rows[rows["label"] != ""].to_dict("records")
    }


LAYOUTS: dict[str, tuple[Callable[[str, int, int], str], Callable[[str, int], str], str]] = {
    # path of class, patient and image; the patient that is found; what stands before all paths
    "class folders": (lambda c, p, i: f"{c}/{2 * p + i:04d}.png", lambda c, p: "", ""),
    "patient before _": (lambda c, p, i: f"{c}/{p:03d}_{i}.png", lambda c, p: f"{p:03d}", ""),
    "patient in two parts": (lambda c, p, i: f"{c}/IMG-{p:03d}-{'LR'[i]}.jpg", lambda c, p: f"IMG-{p:03d}", ""),
    "patient folders": (lambda c, p, i: f"{c}/p{p}/{i}.tif", lambda c, p: f"p{p}", ""),
    "patients above classes": (lambda c, p, i: f"{c[0]}{p}/{c}/{i}.png", lambda c, p: f"{c[0]}{p}", ""),
    "wrapped": (lambda c, p, i: f"archive/images/{c}/{p:03d} ({i}).png", lambda c, p: f"{p:03d}", "archive/images/"),
    "deeper than classes": (lambda c, p, i: f"{c}/{'xyz'[p % 3]}/{p}_{i}.png", lambda c, p: f"{p}", ""),
}


@pytest.mark.parametrize("layout", LAYOUTS)
def test_classes_and_patients_of_a_folder_are_found(layout: str, tmp_path: Path) -> None:
    path, patient, before = LAYOUTS[layout]
    planted = {path(c, p, i): (c, patient(c, p), "") for c in ("ill", "healthy") for p in range(15) for i in range(2)}
    guess = guess_folder(touch(tmp_path / "my images", list(planted)))
    assert read(guess, tmp_path) == {name.removeprefix(before): row for name, row in planted.items()}
    assert guess.counts == {"healthy": 30, "ill": 30}
    assert list(guess.counts) == ["healthy", "ill"]
    assert ("none found" in guess.found["patients"]) == (patient("ill", 1) == "")


@pytest.mark.parametrize(
    "names", [("no", "yes"), ("0", "1"), ("it's: #1", "-[a], {b}"), ("größe", "null", "1e3"), ("a\nb", "c")]
)
def test_names_that_yaml_reads_as_something_else_are_written_as_text(names: tuple[str, ...], tmp_path: Path) -> None:
    planted = {f"{c}/{n}.png": (c, "", "") for c in names for n in range(3)}
    assert read(guess_folder(touch(tmp_path / "raw", list(planted))), tmp_path) == planted


def test_the_sources_own_split_is_used(tmp_path: Path) -> None:
    planted = {
        f"{part}/{c}/{part}{n}.png": (c, "", part)
        for part, count in (("train", 20), ("val", 5), ("test", 10))
        for c in ("a", "b")
        for n in range(count)
    }
    guess = guess_folder(touch(tmp_path / "raw", list(planted)))
    assert read(guess, tmp_path) == planted
    assert (guess.tested, guess.validated) == (20, True)
    split = yaml.safe_load(sketch(guess, study="x", source=tmp_path, target=tmp_path))["splits"]["holdout"]
    assert split["test"] == "source"


def test_other_folders_become_attributes(tmp_path: Path) -> None:
    paths = [f"{site}/{c}/{n}.png" for site in ("north", "south") for c in ("sick", "normal") for n in range(9)]
    guess = guess_folder(touch(tmp_path / "raw", paths))
    assert list(guess.counts) == ["normal", "sick"]
    assert re.search(guess.dataset["pattern"], "north/sick/1.png").groupdict() == {"folder": "north", "label": "sick"}
    assert any("other way round" in doubt for doubt in guess.doubts)


def test_a_number_that_is_an_images_own_is_no_patient(tmp_path: Path) -> None:
    """`normal_001.png`: the beginning is the class, all before the ending is the image."""
    paths = [f"{c}/{c}_{n:03d}.png" for c in ("normal", "sick") for n in range(30)]
    guess = guess_folder(touch(tmp_path / "raw", paths))
    assert "pattern" not in guess.dataset


def test_images_without_a_class_are_told(tmp_path: Path) -> None:
    paths = [*(f"{c}/{n}.png" for c in ("a", "b") for n in range(60)), "stray.png"]
    guess = guess_folder(touch(tmp_path / "raw", paths))
    assert any(doubt.startswith("1 images lie in no sub-folder") for doubt in guess.doubts)
    assert any(doubt.startswith("the order of `classes`") for doubt in guess.doubts)


REFUSED = {
    "no images": (["notes.txt"], "no image below it"),
    "one class": (["a/1.png", "a/2.png"], "have the names 'a' alone; a study compares at least two classes: put the"),
    "no folders": (["1.png", "2.png"], "its images (2) lie in no sub-folder; put the images of each class into"),
    "a table": (["1.png", "labels.csv"], "if a table gives their classes, name it: heteroscope init"),
    "a split alone": (["train/1.png", "test/2.png"], "the folders 'test', 'train' are a split, and none below them"),
    "too many": ([f"{n}/1.png" for n in range(21)], "21 in all: too many for classes"),
    "published": (["full_df.csv", "a/1.png", "b/1.png"], "the adapter 'odir5k' reads it"),
}


@pytest.mark.parametrize("kind", REFUSED)
def test_a_folder_without_classes_is_refused_with_the_remedy(kind: str, tmp_path: Path) -> None:
    paths, words = REFUSED[kind]
    with pytest.raises(DataError, match=re.escape(words)):
        guess_folder(touch(tmp_path / "raw", paths))


def test_a_folder_that_is_not_there_is_refused(tmp_path: Path) -> None:
    with pytest.raises(DataError, match="no such folder; name the folder that holds a folder of images for each class"):
        guess_folder(tmp_path / "nowhere")


@pytest.mark.parametrize(("images", "k", "min_class"), [(60, 2, 5), (600, 2, 10), (2000, 4, 10), (10**6, 4, 10)])
def test_a_sketch_grows_with_the_number_of_images(images: int, k: int, min_class: int) -> None:
    classes = {"no": ["no"], "yes": ["yes"]}
    guess = Guess({"adapter": "folder", "root": "a: b #c", "classes": classes}, {"no": images // 2, "yes": images // 2})
    config = load(yaml.safe_load(sketch(guess, study="a", source=Path("a: b #c"), target=Path("mine.yaml"))))
    clustering = next(iter(config.clusterings.values()))
    assert (clustering.k, config.controls["standard"].min_class) == (k, min_class)
    assert clustering.reduce.components * 10 <= images
    assert config.datasets["a"].root == "a: b #c"
    assert parse(type(config), config.model_dump_json()) == config


def test_a_beginning_that_most_images_share_is_no_patient(tmp_path: Path) -> None:
    paths = [f"{c}/old_{n}.png" for c in ("a", "b") for n in range(40)]
    paths += [f"a/site{n}_{i}.png" for n in range(12) for i in range(2)]
    assert "pattern" not in guess_folder(touch(tmp_path / "raw", paths)).dataset


@pytest.mark.skipif(not REAL, reason="HETEROSCOPE_REALDATA does not name the folder of real images")
def test_the_slides_of_breakhis_are_found_in_its_names(tmp_path: Path) -> None:
    """A slide is class, subtype, year and number; magnification and number of the image follow."""
    names = Path(REAL, "breakhis/filenames.txt").read_text(encoding="utf-8").split()
    planted = {f"{'benign' if name[4] == 'B' else 'malignant'}/{Path(name).name}": Path(name).name for name in names}
    guess = guess_folder(touch(tmp_path / "raw", list(planted)))
    found = [re.search(guess.dataset["pattern"], path)["group"] for path in planted]
    slide = [re.match(r"SOB_(\w+_\w+-\d+-\w+)-\d+-\d+", name)[1] for name in planted.values()]
    assert len(set(found)) == len(set(slide)) == len(set(zip(found, slide, strict=True))) == 82
