import json
import subprocess
import sys
from pathlib import Path

import numpy as np
import pandas as pd
import pytest
from PIL import Image

from heteroscope.config import FolderDataset, PhantomDataset, dump
from heteroscope.stages import dataset, phantom, pixels, split
from heteroscope.stages.command import run
from heteroscope.store import open_h5

ORDER = json.dumps(["normal", "disease"])


def make(root: Path, out: Path, spec: str, **members: Path) -> None:
    flags = [text for name, path in members.items() for text in ("--member", f"{name}={path}")]
    if not members:
        flags = ["--root", str(root), "--listing", str(out / "listing.tsv")]
    outputs = ["--images", out / "images.parquet", "--rejected", out / "rejected.csv", "--classes", out / "classes.csv"]
    dataset.main(["--spec", spec, *flags, *map(str, outputs)])


def make_split(out: Path, spec: dict[str, object]) -> pd.DataFrame:
    outputs = ["--split", out / "split.parquet", "--counts", out / "counts.csv", "--figure", out / "counts.png"]
    inputs = ["--images", str(out / "images.parquet"), "--spec", json.dumps(spec), "--classes-order", ORDER]
    split.main([*inputs, *map(str, outputs)])
    return pd.read_parquet(out / "split.parquet")


def make_pixels(root: Path, out: Path, *reuse: Path) -> tuple[int, int]:
    inputs = ["--images", out / "images.parquet", "--root", root, "--spec", '{"size": 16}']
    pixels.main([*map(str, inputs), "--reuse", *map(str, reuse), "--pixels", str(out / "pixels.h5")])
    with open_h5(out / "pixels.h5", "pixels") as file:
        return int(file.attrs["computed"]), int(file.attrs["reused"])


def make_phantom(folder: Path, seed: int) -> Path:
    spec = dump(PhantomDataset(adapter="phantom", truth="planted", patients=24, size=32, seed=seed))
    phantom.main(["--spec", spec, "--root", str(folder / "root"), "--listing", str(folder / "listing.tsv")])
    make(folder / "root", folder, spec)
    return folder


def test_phantom_from_generation_to_split(tmp_path: Path) -> None:
    out = make_phantom(tmp_path, seed=0)
    images = pd.read_parquet(out / "images.parquet")
    assert len(images) == 48
    assert {"attr_site", "attr_camera", "attr_patient", "attr_eye"} <= set(images.columns)
    truth = pd.read_csv(out / "root" / "phantom.csv").set_index("path")["label"]
    assert (images["label"] == images["path"].map(truth)).all()
    classes = pd.read_csv(out / "classes.csv")
    assert classes["class"].tolist() == ["normal", "disease"]  # the config's order, the negative first
    assert classes["images"].tolist() == [24, 24]
    assert make_pixels(out / "root", out) == (48, 0)
    assert make_pixels(out / "root", out) == (0, 48)
    table = make_split(out, {"test": 0.25, "validation": 0.25})
    assert table.groupby("group")["part"].nunique().max() == 1
    assert (table["label"] == (table["class"] == "disease")).all()
    assert pd.read_csv(out / "counts.csv").query("variable == 'class'")["images"].sum() == 48
    assert Image.open(out / "counts.png").width > 500


def test_union_for_external_validation_decodes_nothing_again(tmp_path: Path) -> None:
    one, two = make_phantom(tmp_path / "one", seed=0), make_phantom(tmp_path / "two", seed=1)
    for folder in (one, two):
        make_pixels(folder / "root", folder)
    out = tmp_path / "union"
    classes = {"normal": ["normal"], "disease": ["disease"]}
    spec = json.dumps({"adapter": "union", "datasets": ["one", "two"], "classes": classes})
    make(Path(), out, spec, one=one / "images.parquet", two=two / "images.parquet")
    assert make_pixels(Path(), out, one / "pixels.h5", two / "pixels.h5") == (0, 96)
    table = make_split(out, {"test": {"where": {"dataset": ["two"]}}, "validation": 0.1})
    images = pd.read_parquet(out / "images.parquet").set_index("image_id")
    test = table.loc[table["part"] == "test", "image_id"]
    assert set(images.loc[test, "attr_dataset"]) == {"two"}
    assert len(test) == 48


def test_bad_files_among_good_ones_are_rejected_and_the_rest_goes_on(tmp_path: Path) -> None:
    root = tmp_path / "raw"
    rng = np.random.default_rng(0)
    for name in ("n", "d"):
        (root / name).mkdir(parents=True)
        for index in range(10):
            Image.fromarray(rng.integers(0, 255, (32, 32), dtype=np.uint8)).save(root / name / f"{index}.jpg")
    cut = root / "n" / "0.jpg"
    cut.write_bytes(cut.read_bytes()[:600])
    (root / "d" / "text.png").write_text("not an image")
    spec = FolderDataset(adapter="folder", root="raw", classes={"normal": ["n"], "disease": ["d"]})
    from heteroscope.data.listing import update_listing

    update_listing(root, tmp_path / "listing.tsv")
    make(root, tmp_path, dump(spec))
    rejected = pd.read_csv(tmp_path / "rejected.csv")
    assert dict(zip(rejected["path"], rejected["reason"], strict=True)) == {
        "d/text.png": "unreadable",
        "n/0.jpg": "truncated",
    }
    assert len(pd.read_parquet(tmp_path / "images.parquet")) == 19
    assert make_pixels(root, tmp_path) == (19, 0)


def test_one_class_only_ends_with_one_message(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    (tmp_path / "raw" / "n").mkdir(parents=True)
    Image.new("L", (8, 8)).save(tmp_path / "raw" / "n" / "a.png")
    from heteroscope.data.listing import update_listing

    update_listing(tmp_path / "raw", tmp_path / "listing.tsv")
    spec = dump(FolderDataset(adapter="folder", root="raw", classes={"normal": ["n"], "disease": ["d"]}))
    outputs = [f"--{name}={tmp_path / name}.csv" for name in ("images", "rejected", "classes")]
    flags = [f"--spec={spec}", f"--root={tmp_path / 'raw'}", f"--listing={tmp_path / 'listing.tsv'}", *outputs]
    with pytest.raises(SystemExit) as ended:
        run(dataset.main, flags)
    assert ended.value.code == 1
    assert capsys.readouterr().err.strip().endswith("`classes`, `match`, `filter` and `balance`")


@pytest.mark.parametrize("stage", ["phantom", "dataset", "pixels", "split"])
def test_help_needs_no_heavy_library(stage: str) -> None:
    code = (
        f"import sys; from heteroscope.stages import {stage}\ntry: {stage}.main(['--help'])\n"
        "except SystemExit: print([n for n in ('numpy', 'torch', 'pandas') if n in sys.modules])"
    )
    printed = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True).stdout
    assert printed.strip().endswith("[]")
