"""`heteroscope init`: the file that it writes, what it says, and what it leaves alone."""

from __future__ import annotations

from pathlib import Path

import pytest
import yaml

from heteroscope.cli import main
from heteroscope.config import load
from heteroscope.errors import ConfigError


@pytest.fixture
def images(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A folder of 60 images, two a patient; the current folder is above it."""
    monkeypatch.chdir(tmp_path)
    for name in ("healthy", "ill"):
        Path("My Images", name).mkdir(parents=True)
        for number in range(30):
            Path("My Images", name, f"{number // 2:02d}_{number}.png").touch()
    return Path("My Images")


def test_a_study_is_written_and_told(images: Path, capsys: pytest.CaptureFixture[str]) -> None:
    main(["init", str(images)])
    config = load(yaml.safe_load(Path("mine.yaml").read_text(encoding="utf-8")))
    assert list(config.studies) == ["my-images"]
    assert config.datasets["my-images"].class_names == ["healthy", "ill"]
    told = capsys.readouterr().out
    assert "15, by the beginning of a file's name: healthy/00_0.png is taken for an image of patient '00'" in told
    assert told.endswith(
        "  heteroscope check mine.yaml\n  snakemake --cores all --configfile mine.yaml\n  heteroscope show my-images\n"
    )


def test_commands_are_those_that_a_shell_takes(images: Path, capsys: pytest.CaptureFixture[str]) -> None:
    main(["init", str(images), "--output", "my study.yaml"])
    for text in (capsys.readouterr().out, Path("my study.yaml").read_text(encoding="utf-8")):
        assert "heteroscope check 'my study.yaml'\n" in text.replace("     # is all", "\n")
        assert "snakemake --cores all --configfile 'my study.yaml'" in text


def test_a_file_that_is_there_stays(images: Path) -> None:
    Path("mine.yaml").write_text("precious")
    with pytest.raises(ConfigError, match=r"mine\.yaml: there already; name another file by --output"):
        main(["init", str(images)])
    assert Path("mine.yaml").read_text() == "precious"
    main(["init", str(images), "--output", "new/other.yaml"])
    assert load(yaml.safe_load(Path("new/other.yaml").read_text())).studies
    main(["init", str(images), "--force"])
    assert load(yaml.safe_load(Path("mine.yaml").read_text())).studies


def test_options_of_tables_are_refused_for_folders(images: Path) -> None:
    with pytest.raises(ConfigError, match="name columns of a table, and My Images is none"):
        main(["init", str(images), "--label", "x"])
    assert not Path("mine.yaml").exists()
