"""The pages that begin with one's own images: what they show is what the commands write and say."""

from __future__ import annotations

import re
import shutil
from pathlib import Path
from typing import Any

import pytest
import yaml

from heteroscope.cli import main, parser_of_commands
from heteroscope.cli.check import results_of
from heteroscope.config import load
from heteroscope.layout import Layout
from tests.workflow.configurations import expected_jobs

ROOT = Path(__file__).parents[2]
TUTORIAL = (ROOT / "docs/tutorial.md").read_text(encoding="utf-8")
README = (ROOT / "README.md").read_text(encoding="utf-8")


def blocks(text: str, kind: str) -> list[str]:
    return re.findall(rf"^```{kind}\n(.*?)^```", text, re.M | re.S)


def without_numbers(text: str) -> str:
    return re.sub(r"\d+", "N", text)


@pytest.fixture
def folder(finished: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """The tutorial's images, fewer of them: those of the tiny study."""
    shutil.copytree(finished / "results/phantom/toy", tmp_path / "my-images")
    monkeypatch.chdir(tmp_path)
    return tmp_path


def test_the_tutorials_first_command_says_what_the_page_shows(folder: Path, capsys: pytest.CaptureFixture[str]) -> None:
    main(["init", "my-images/phantom.csv"])
    few = re.sub(r"  - .*fewer than \d+ images.*\n", "", capsys.readouterr().out)
    assert without_numbers(blocks(TUTORIAL, "text")[0]) == without_numbers(few)


def test_the_tutorials_changes_make_a_configuration(folder: Path) -> None:
    main(["init", "my-images/phantom.csv"])
    config: dict[str, Any] = yaml.safe_load(Path("mine.yaml").read_text(encoding="utf-8"))
    first, second = (yaml.safe_load(block) for block in blocks(TUTORIAL, "yaml"))
    config |= first
    study = config["studies"]["phantom"]
    study["backbones"] = ["small-cnn"]
    study["primary"]["backbone"] = "small-cnn"
    config["clusterings"] |= second
    study["clusterings"] = ["kmeans-2", "kmeans-3"]
    assert load(config).studies["phantom"].primary.clustering == "kmeans-2"
    study["clusterings"] = ["kmeans-2"]
    jobs = re.search(r"^would run   (\d+) jobs: (.*)$", blocks(TUTORIAL, "text")[1], re.M)
    written_out = load(config).model_dump(mode="json", exclude_none=True)
    expected = {rule: len(ids) for rule, ids in expected_jobs(written_out).items()}
    assert {rule: int(count) for count, rule in re.findall(r"(\d+) (\w+)", jobs[2])} == expected
    assert int(jobs[1]) == sum(expected.values())
    results = set(results_of(Layout(load(config))))
    assert f"not made yet: {len(results)} results" in blocks(TUTORIAL, "text")[1]


def test_the_commands_of_both_pages_are_understood() -> None:
    code = "\n".join([*blocks(TUTORIAL, ""), *blocks(README, "")])
    commands = re.findall(r"^heteroscope (.*?)(?: +#.*)?$", code, re.M)
    assert {command.split()[0] for command in commands} == {"init", "check", "show"}
    for command in commands:
        parser_of_commands().parse_args(command.split())


def test_the_readmes_commands_go_together(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """`init` writes the file and the study that the commands behind it name."""
    monkeypatch.chdir(tmp_path)
    for name in ("healthy", "ill"):
        Path("my-images", name).mkdir(parents=True)
        for number in range(20):
            Path("my-images", name, f"{number}.png").touch()
    main(["init", "my-images"])
    assert list(load(yaml.safe_load(Path("mine.yaml").read_text(encoding="utf-8"))).studies) == ["my-images"]
    assert "heteroscope show my-images" in README
    assert "--configfile mine.yaml" in README
