"""Files and values that would run code if anybody let them."""

from __future__ import annotations

import csv
import os
import pickle
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pandas as pd
import pytest
import torch
from PIL import Image

from heteroscope.config import load
from heteroscope.errors import ConfigError


class Hostile:
    """A pickle that leaves a file behind when it is loaded."""

    def __init__(self, mark: Path) -> None:
        self.mark = mark

    def __reduce__(self) -> tuple[object, ...]:
        return os.mkdir, (str(self.mark),)


def write_pickle(path: Path, mark: Path) -> None:
    path.write_bytes(pickle.dumps(Hostile(mark)))


def write_archive(path: Path, mark: Path) -> None:
    """A file of torch.save with tensors and code beside them."""
    torch.save({"state_dict": {"features.0.weight": torch.zeros(1)}, "hook": Hostile(mark)}, path)


def write_old_archive(path: Path, mark: Path) -> None:
    torch.save({"hook": Hostile(mark)}, path, _use_new_zipfile_serialization=False)


WRITERS = [write_pickle, write_archive, write_old_archive]


def test_the_pickle_is_hostile(tmp_path: Path) -> None:
    for number, write in enumerate(WRITERS):
        mark = tmp_path / f"mark-{number}"
        write(tmp_path / "file.pt", mark)
        if write is write_pickle:
            pickle.loads((tmp_path / "file.pt").read_bytes())
        else:
            torch.load(tmp_path / "file.pt", weights_only=False)
        assert mark.exists()


@pytest.mark.parametrize("write", WRITERS)
@pytest.mark.parametrize("stage", ["weights", "engine", "embed"])
def test_a_hostile_weights_file_is_refused_and_never_run(
    stage: str, write: Callable, jobs: dict, folder: Path, monkeypatch: pytest.MonkeyPatch, capsys: Any
) -> None:
    mark, job = folder / "hacked", jobs[stage]
    if stage == "weights":
        write(folder / "given.pth", mark)
        place = job.arguments.index("--spec") + 1
        job.arguments[place : place + 1] = [job.arguments[place].replace('"random"', '"given.pth"')]
        named = "given.pth"
    else:
        named = "results/weights/small-cnn.pt"
        write(folder / named, mark)
        if stage == "engine":  # not to keep the choice that stands there
            Path("results/embed/toy/small-cnn/engine.json").unlink()
    message = job.fails(monkeypatch, capsys)
    assert named in message
    assert not mark.exists()


NASTY = '\'; touch hacked; "$(touch hacked)" `touch hacked` | touch hacked > hacked & {touch} {0} \\ %s'


def test_a_title_is_text_to_every_shell(
    snakemake: Callable, folder: Path, tiny: dict[str, Any], monkeypatch: pytest.MonkeyPatch
) -> None:
    tiny["studies"]["tiny"]["title"] = NASTY
    done = snakemake(folder, tiny, "--cores", "2")
    assert done.returncode == 0, done.stdout + done.stderr
    assert not list(folder.rglob("hacked*"))
    assert "touch hacked; &#34;$(touch hacked)&#34;" in (folder / "results/report/tiny/index.html").read_text()


def test_words_columns_and_paths_are_text_to_every_shell(
    snakemake: Callable, tmp_path: Path, tiny: dict[str, Any]
) -> None:
    """The words of classes, a table's name, its columns, a pattern's text and the folder of it all."""
    root = tmp_path / NASTY
    root.mkdir()
    lines = [["the path " + NASTY, "finding " + NASTY]]
    for number, word in enumerate((NASTY, "other " + NASTY) * 4):
        Image.new("L", (9, 9), 20 * number).save(root / f"{number}.png")
        lines.append([f"{number}.png", word])
    with (root / f"table {NASTY}.csv").open("w", newline="") as stream:
        csv.writer(stream).writerows(lines)
    columns = dict(zip(("path", "label"), lines[0], strict=True))
    classes = {"normal": [NASTY], "disease": ["other " + NASTY]}
    dataset = {"adapter": "table", "root": NASTY, "table": f"table {NASTY}.csv", "classes": classes} | columns
    tiny["datasets"]["toy"] = dataset
    tiny["data_root"] = str(tmp_path)
    done = snakemake(tmp_path / "run", tiny, "--cores", "2", "results/dataset/toy/square-32/pixels.h5")
    assert done.returncode == 0, done.stdout + done.stderr
    assert not [path for path in tmp_path.rglob("*") if path.name == "hacked"]
    assert len(pd.read_parquet(tmp_path / "run/results/dataset/toy/images.parquet")) == 8


@pytest.mark.parametrize("section", ["datasets", "splits", "backbones", "clusterings", "heads", "controls", "studies"])
def test_an_id_that_a_shell_knows_more_of_is_refused(section: str, tiny: dict[str, Any]) -> None:
    """Ids become paths and words of commands."""
    (name,) = tiny[section]
    tiny[section]["$(touch hacked)"] = tiny[section][name]
    with pytest.raises(ConfigError, match=rf"{section}.*\$\(touch hacked\)"):
        load(tiny)
