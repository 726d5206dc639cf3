"""What the pages say can be done can be done."""

from __future__ import annotations

import importlib.util
import re
from pathlib import Path

import pytest
import yaml
from snakemake.cli import get_argument_parser

from heteroscope.cli import COMMANDS
from heteroscope.config import load
from tests import rules

ROOT = Path(__file__).parents[2]
PAGES = [
    *("README.md", "CHANGELOG.md", "config/README.md", "results/README.md"),
    *sorted(str(path.relative_to(ROOT)) for folder in ("benchmarks", "docs") for path in (ROOT / folder).rglob("*.md")),
]
PROGRAMS = ("make", "heteroscope", "python -m", "snakemake")
MADE = set(re.findall(r"^([\w./]+):", (ROOT / "Makefile").read_text(encoding="utf-8"), re.M)) | {".venv/.installed"}
OPTIONS = {option for action in get_argument_parser(profiles=[])._actions for option in action.option_strings}


@pytest.mark.parametrize("page", PAGES)
def test_links_lead_somewhere(page: str) -> None:
    text = (ROOT / page).read_text(encoding="utf-8")
    targets = re.findall(r"\]\(([^)#]+)\)", text)
    assert [target for target in targets if not (ROOT / page).parent.joinpath(target).exists()] == []


def commands(page: str, program: str) -> list[str]:
    """What stands behind the name of a program in a page's code."""
    text = (ROOT / page).read_text(encoding="utf-8").replace("\\\n", " ")
    block = re.compile(r"```\w*\n(.*?)```", re.S)
    code = [*block.findall(text), *re.findall(r"`([^`]+)`", block.sub("", text))]
    return re.findall(rf"(?:^ *|exec |bin/){program} (\S.*)", "\n".join(code), re.M)


@pytest.mark.parametrize("page", PAGES)
def test_commands_are_there(page: str) -> None:
    """Targets of make, modules, and what Snakemake is asked for: options, rules, and files of `config/`."""
    first = {program: {line.split()[0] for line in commands(page, program)} for program in PROGRAMS}
    assert first["make"] - MADE == set()
    assert first["heteroscope"] - {command.NAME for command in COMMANDS} == set()
    assert [module for module in first["python -m"] if importlib.util.find_spec(module) is None] == []
    snakemake = "\n".join(commands(page, "snakemake"))
    assert set(re.findall(r"^\w+", snakemake, re.M)) - rules.TARGETS == set()
    assert set(re.findall(r"(?<!\S)--[a-z-]+", snakemake)) - OPTIONS == set()
    assert [path for path in re.findall(r"(?<!\S)config/\S+[^\s']", snakemake) if not (ROOT / path).exists()] == []


def test_the_lines_for_a_folder_of_ones_own_make_a_configuration() -> None:
    block = re.search(r"```yaml\n(.*?)```", (ROOT / "README.md").read_text(encoding="utf-8"), re.S)[1]
    demo = yaml.safe_load((ROOT / "config/config.yaml").read_text(encoding="utf-8"))
    mine = demo | yaml.safe_load(block) | {"studies": {"mine": demo["studies"]["planted"] | {"dataset": "mine"}}}
    assert load(mine).datasets["mine"].class_names == ["normal", "disease"]
    assert len(block.strip().splitlines()) == 5


def test_the_lines_for_hosts_without_network_make_configurations() -> None:
    """The overrides, merged as Snakemake does, are accepted with the study that they are written for."""
    from snakemake.utils import update_config

    text = (ROOT / "config/README.md").read_text(encoding="utf-8")
    commands = [line for line in text.splitlines() if "backbones=" in line]
    assert len(commands) == 2
    for command, weights in zip(commands, ("random", "trained"), strict=True):
        config = yaml.safe_load((ROOT / re.search(r"--configfile (\S+)", command)[1]).read_text(encoding="utf-8"))
        update_config(config, {key: yaml.safe_load(value) for key, value in re.findall(r"(\w+)='(.*?)'", command)})
        assert load(config).backbones["efficientnet-b0"].weights == weights


def test_the_commands_of_the_readme_are_the_makefiles() -> None:
    named = set(re.findall(r"^make (\w+)", (ROOT / "README.md").read_text(encoding="utf-8"), re.M))
    assert named == {"demo", "test"}


def test_the_page_of_results_names_every_folder_of_a_run(finished: Path) -> None:
    page = (ROOT / "results/README.md").read_text(encoding="utf-8")
    folders = [path.name for path in (finished / "results").iterdir()]
    assert [folder for folder in folders if f"`{folder}/" not in page] == []
