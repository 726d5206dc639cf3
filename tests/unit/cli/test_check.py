"""`heteroscope check` on files that are made here: what it compares, what it says, how it ends."""

from __future__ import annotations

import os
import re
from contextlib import nullcontext
from importlib.metadata import entry_points
from pathlib import Path
from typing import Any

import pytest
import yaml

from heteroscope.atomic import atomic_path
from heteroscope.checksums import checksum_path
from heteroscope.cli import main, run_command
from heteroscope.cli.check import read_config, results_of
from heteroscope.config import load
from heteroscope.errors import ConfigError
from heteroscope.layout import Layout

VERDICT = Path("results/compare/one/verdict.json")
TABLE = VERDICT.with_name("clusters.csv")
CLASSES = {"normal": ["n"], "disease": ["d"]}


def configuration() -> dict[str, Any]:
    network = {"model": "small-cnn", "weights": "random", "pixels": "small"}
    study = {"dataset": "both", "split": "cv", "augmentation": "flip", "backbones": ["frozen+tuned"], "head": "linear"}
    study |= {"clusterings": ["k2"], "controls": "all", "primary": {"backbone": "frozen+tuned", "clustering": "k2"}}
    return {
        "datasets": {
            "folder": {"adapter": "folder", "root": "images", "classes": CLASSES},
            "made": {"adapter": "phantom", "truth": "benign"},
            "both": {"adapter": "union", "datasets": ["folder", "made"], "classes": CLASSES, "scatter": 2},
        },
        "pixels": {"small": {"size": 32}},
        "splits": {"cv": {"test": None, "folds": 2, "validation": 0.1, "backbone": 0.1}},
        "augmentations": {"flip": {"flip": True}},
        "backbones": {"frozen": network, "tuned": network | {"weights": "trained", "finetune": {}}},
        "clusterings": {"k2": {"k": 2}},
        "heads": {"linear": {}},
        "controls": {"all": {}},
        "features": {"welch": {}},
        "explanations": {"cams": {}},
        "studies": {"one": study | {"features": ["welch"], "explanations": ["cams"]}},
    }


@pytest.fixture
def config(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A configuration in the current folder, one image that it names, and two results."""
    monkeypatch.chdir(tmp_path)
    for name in ("n", "d"):
        Path("images", name).mkdir(parents=True)
        Path("images", name, f"{name}.png").touch()
    for path in (VERDICT, TABLE):
        write(path)
    path = tmp_path / "study.yaml"
    path.write_text(yaml.safe_dump(configuration(), sort_keys=False))
    return path


def write(path: Path) -> None:
    with atomic_path(path) as temporary:
        temporary.write_text("p = 0.05")


def check(capsys: pytest.CaptureFixture[str], *arguments: str | Path) -> tuple[int, str]:
    """Status and output, without a plan, which tests/e2e looks at."""
    try:
        main(["check", "--no-plan", *map(str, arguments)])
        status = 0
    except SystemExit as end:
        status = int(end.code or 0)
    return status, capsys.readouterr().out


def test_untouched_results_are_counted(config: Path, capsys: pytest.CaptureFixture[str]) -> None:
    status, output = check(capsys, config)
    assert status == 0
    assert output.startswith("as they were written: 2 results\n")
    assert "rm" not in output


def test_an_edit_that_keeps_size_and_time_is_named_with_the_remedy(
    config: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    before = TABLE.stat()
    TABLE.write_text("p = 0.04")
    os.utime(TABLE, ns=(before.st_atime_ns, before.st_mtime_ns))
    status, output = check(capsys, config)
    assert status == 1
    assert output.splitlines()[:2] == [
        f"{TABLE}: changed by hand or damaged: its content is not what was written",
        "as they were written: 1 results",
    ]
    assert output.splitlines()[-2:] == [
        f"  rm -f {TABLE}",
        f"  snakemake --cores all --configfile {config} --forcerun {TABLE}",
    ]


def test_the_remedy_repeats_what_the_configuration_was_changed_by(
    config: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    TABLE.write_text("edited")
    Path("elsewhere").mkdir()
    Path("images").rename("elsewhere/images")
    elsewhere = config.parent / "elsewhere"
    output = check(capsys, config, "--config", f"data_root={elsewhere}", "--directory", ".")[1]
    assert f"--configfile {config} --config data_root={elsewhere} --forcerun" in output
    os.chdir("elsewhere")
    output = check(capsys, "../study.yaml", "--directory", "..", "--config", f"data_root={elsewhere}")[1]
    assert f"rm -f ../{TABLE}\n" in output
    assert f"--configfile ../study.yaml --directory .. --config data_root={elsewhere} --forcerun {TABLE}\n" in output


def test_deleted_and_unrecorded_results_are_told_and_no_error(config: Path, capsys: pytest.CaptureFixture[str]) -> None:
    record = checksum_path(VERDICT)
    assert record
    record.unlink()
    TABLE.unlink()
    status, output = check(capsys, config)
    assert status == 0
    assert f"not compared, since an older version left no record: {VERDICT}\n" in output
    assert str(TABLE) in next(line for line in output.splitlines() if line.startswith("deleted since"))


def test_an_unreadable_result_is_told(config: Path, capsys: pytest.CaptureFixture[str]) -> None:
    TABLE.chmod(0)
    if os.access(TABLE, os.R_OK):
        pytest.skip("this user may read everything")
    assert f"{TABLE}: cannot be read (Permission denied)" in check(capsys, config)[1]


def test_results_of_other_studies_are_left_alone(config: Path, capsys: pytest.CaptureFixture[str]) -> None:
    other = Path("results/compare/other/verdict.json")
    write(other)
    other.write_text("edited")
    assert check(capsys, config)[0] == 0


def test_missing_images_and_weights_are_told_beside_edited_results(
    config: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    raw = configuration()
    raw["backbones"]["frozen"]["weights"] = "mine.pth"
    config.write_text(yaml.safe_dump(raw, sort_keys=False))
    for path in Path("images").rglob("*.png"):
        path.unlink()
    TABLE.write_text("edited")
    status, output = check(capsys, config)
    assert status == 1
    assert "backbones.frozen.weights: 'mine.pth': no such file" in output
    assert "images: no image below it" in output
    assert f"{TABLE}: changed by hand" in output


@pytest.mark.parametrize(
    ("change", "message"),
    [
        ({"classes": {"normal": ["N"], "disease": ["d"]}}, "datasets.folder: no image is left of class normal .*'n'"),
        (
            {"adapter": "table", "table": "t.csv", "path": "file", "label": "finding"},
            r"datasets.folder: .*t\.csv: .*'finding'",
        ),
        (
            {"adapter": "table", "table": "t.csv", "path": "file", "label": "kind"},
            "datasets.folder: 1 of 3 rows are left out .*missing 1",
        ),
    ],
    ids=["words of a class", "column", "file"],
)
def test_tables_and_classes_are_read_before_anything_runs(
    change: dict[str, Any], message: str, config: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    Path("images/t.csv").write_text("file,kind\nn/n.png,n\nd/d.png,d\nd/gone.png,d\n")
    raw = configuration()
    raw["datasets"]["folder"] |= change
    config.write_text(yaml.safe_dump(raw, sort_keys=False))
    wrong = "rows are left out" not in message
    with pytest.raises(SystemExit) if wrong else nullcontext():
        main(["check", str(config), "--no-plan"])
    assert re.search(message, capsys.readouterr().out)


def test_every_kind_of_result_is_looked_at() -> None:
    """A union, one of whose members is generated; a fusion, one of whose parts is trained; folds, views, shards."""
    found = set(results_of(Layout(load(configuration()))))
    axes = "both/frozen+tuned/{}/flip"
    expected = {
        "results/weights/frozen.pt",
        "results/weights/tuned.pt",
        "results/finetune/both/tuned/cv/model.pt",
        "results/finetune/both/tuned/cv-1/misclassified.csv",
        f"results/explain/{axes.format('cv-2')}/linear/cams/cams.csv",
        "results/compare/one/explanations.csv",
        "results/phantom/made/phantom.csv",
        "results/dataset/made/listing.tsv",
        "results/dataset/folder/small/pixels.h5",
        "results/embed/made/frozen/engine.json",
        "results/embed/both/tuned/cv/shards/2/1.h5",
        "results/embed/both/tuned/cv/embeddings.h5",
        "results/embed/both/tuned/cv/flip/views.h5",
        "results/embed/both/tuned/cv/flip/shards/2/2.h5",
        "results/split/both/cv-2.csv",
        f"results/cluster/{axes.format('cv')}/k2/umap.png",
        f"results/train/{axes.format('cv-1')}/linear/predictions.parquet",
        f"results/retrain/{axes.format('cv-1')}/k2/linear/all/cluster-1/balanced.h5",
        "results/features/both/frozen+tuned/cv/welch/summary.json",
        "results/report/one/index.html",
    }
    assert expected - found == set()
    assert not any(path.startswith("results/embed/made/tuned") for path in found)


@pytest.mark.parametrize(
    ("text", "words"),
    [
        ("datasets: [", "cannot be read"),
        ("- a\n- b\n", "not a mapping"),
        ("studies: {}\n", "this key is required"),
        ("threads: 1\nthreads: 2\n", "threads: this key stands in lines 1 and 2"),
    ],
)
def test_a_configuration_that_cannot_be_used_ends_in_words(
    config: Path, capfd: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch, text: str, words: str
) -> None:
    config.write_text(text)
    monkeypatch.setattr("sys.argv", ["heteroscope", "check", str(config)])
    with pytest.raises(SystemExit) as end:
        run_command()
    assert end.value.code == 1
    error = capfd.readouterr().err
    assert words in error
    assert "Traceback" not in error


def test_a_folder_that_is_not_there_ends_in_words(config: Path) -> None:
    with pytest.raises(ConfigError, match="'nowhere': no such folder"):
        main(["check", str(config), "--directory", "nowhere"])


def test_values_are_merged_as_snakemake_merges_them(config: Path) -> None:
    from snakemake.utils import update_config

    expected = configuration()
    update_config(expected, {"threads": 4, "backbones": {"frozen": {"seed": 7}}})
    assert read_config(config, ["threads=4", "backbones={frozen: {seed: 7}}"]) == expected
    with pytest.raises(ConfigError, match="'threads': expected KEY=VALUE"):
        read_config(config, ["threads"])


def test_the_help_says_what_is_checked_and_what_the_status_means(capsys: pytest.CaptureFixture[str]) -> None:
    status, output = check(capsys, "--help")
    assert status == 0
    assert "SHA-256" in output
    assert "status is 1" in output
    with pytest.raises(SystemExit):
        main(["--help"])
    assert "check" in capsys.readouterr().out


def test_the_installed_script_is_this_command() -> None:
    (script,) = entry_points(group="console_scripts", name="heteroscope")
    assert script.load() is run_command
