"""`heteroscope show` on a finished study: every number that it prints stands in the study's tables."""

from __future__ import annotations

import json
import os
import pty
import re
import subprocess
import sys
from pathlib import Path

import pandas as pd
import pytest

from heteroscope.cli import main
from heteroscope.errors import DataError

GAINS = ["gain", "gain_p_holm", "accuracy_gain", "accuracy_gain_low", "accuracy_gain_high"]
ESCAPE = re.compile(r"\x1b\[[0-9;]*m")


def show(capsys: pytest.CaptureFixture[str], *arguments: str) -> str:
    main(["show", *arguments])
    return capsys.readouterr().out


@pytest.fixture
def folder(finished: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    monkeypatch.chdir(finished)
    return finished / "results/compare/tiny"


def test_the_verdict_its_paragraph_and_all_warnings_are_printed(
    folder: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    verdict = json.loads((folder / "verdict.json").read_text())
    lines = show(capsys, "tiny").splitlines()
    assert f"verdict: {verdict['verdict']}" in lines
    assert verdict["paragraph"] in lines
    assert [line for line in lines if line.startswith("warning: ")] == [f"warning: {w}" for w in verdict["warnings"]]
    assert lines[-1] == f"as a page: {folder.parents[1] / 'report/tiny/index.html'}"


def test_the_tables_are_those_of_the_study(folder: Path, capsys: pytest.CaptureFixture[str]) -> None:
    output = show(capsys, "tiny")
    assert "\x1b" not in output
    clusters = pd.read_csv(folder / "clusters.csv")
    for row in clusters.to_dict("records"):
        line = [*map(str, [row["cluster"], row["n_normal"], row["n_disease"], row["test_size"]]), f"{row['gain']:.3g}"]
        assert "\t".join(line) in output
    assert re.search(r"^attribute\tmeasure\tassociation\tp_holm$", output, re.M)


def test_one_table_is_printed_whole(folder: Path, capsys: pytest.CaptureFixture[str]) -> None:
    table = pd.read_csv(folder / "transfer.csv")
    lines = [line.split("\t") for line in show(capsys, "tiny", "--table", "transfer").splitlines()]
    assert lines[0] == list(table.columns)
    assert len(lines) == 1 + len(table)
    assert [float(line[lines[0].index("accuracy")]) for line in lines[1:]] == pytest.approx(
        table["accuracy"].tolist(), abs=6e-4
    )


@pytest.mark.parametrize(("options", "width"), [([], 80), ([], 50), (["--plain"], 80)])
def test_a_terminal_gets_colours_unless_it_wants_none_and_numbers_whole(
    folder: Path, options: list[str], width: int
) -> None:
    controller, terminal = pty.openpty()
    command = [sys.executable, "-m", "heteroscope", "show", "tiny", *options]
    environment = os.environ | {"TERM": "xterm", "COLUMNS": str(width)}
    environment.pop("NO_COLOR", None)
    with subprocess.Popen(command, stdout=terminal, cwd=folder.parents[2], env=environment) as process:
        os.close(terminal)
        found = b""
        while True:
            try:
                part = os.read(controller, 2**16)
            except OSError:  # the terminal's end
                break
            if not part:
                break
            found += part
    os.close(controller)
    assert process.returncode == 0
    text = found.decode()
    assert ("\x1b[" in text) == (not options)
    assert "accuracy" in ESCAPE.sub("", text)
    if not options:
        lines = ESCAPE.sub("", text).splitlines()
        assert max(map(len, lines[:-2])) <= 80 or width < 80
        clusters = pd.read_csv(folder / "clusters.csv").to_dict("records")
        whole = [[str(row["cluster"]), *(f"{row[name]:.3g}" for name in GAINS)] for row in clusters]
        assert [words for words in map(str.split, lines) if words and [words[0], *words[-5:]] in whole]


def test_a_study_that_was_not_run_is_an_error_with_the_remedy(folder: Path, tmp_path: Path) -> None:
    with pytest.raises(DataError, match="the study 'tin' has not been run here; run it by `snakemake --cores all"):
        main(["show", "tin"])
    with pytest.raises(DataError, match=r"studies with an answer here: tiny$"):
        main(["show", "tin"])
    with pytest.raises(DataError, match=r"or name the folder where results/ stands by --directory$"):
        main(["show", "tiny", "--directory", str(tmp_path)])
    with pytest.raises(
        DataError, match="tiny has no table 'cluster'; its tables: attribute-scores, attributes, baseline"
    ):
        main(["show", "tiny", "--table", "cluster"])
