"""What the pages say can be done can be done."""

from __future__ import annotations

import re
from pathlib import Path

import pytest
import yaml

from heteroscope.config import load

ROOT = Path(__file__).parents[2]
PAGES = ["README.md", "config/README.md", "results/README.md"]


@pytest.mark.parametrize("page", PAGES)
def test_links_lead_somewhere(page: str) -> None:
    text = (ROOT / page).read_text(encoding="utf-8")
    targets = re.findall(r"\]\(([^)#]+)\)", text)
    assert [target for target in targets if not (ROOT / page).parent.joinpath(target).exists()] == []


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
    targets = set(re.findall(r"^(\w+):", (ROOT / "Makefile").read_text(encoding="utf-8"), re.M))
    assert named == {"demo", "test"}
    assert named <= targets


def test_the_page_of_results_names_every_folder_of_a_run(finished: Path) -> None:
    page = (ROOT / "results/README.md").read_text(encoding="utf-8")
    folders = [path.name for path in (finished / "results").iterdir()]
    assert [folder for folder in folders if f"`{folder}/" not in page] == []
