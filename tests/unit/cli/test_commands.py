"""The command line as a whole: help with examples, and completion by the shell."""

from __future__ import annotations

import shutil
import subprocess
from pathlib import Path
from types import ModuleType

import pytest

from heteroscope.cli import COMMANDS, main, parser_of_commands


@pytest.mark.parametrize("command", COMMANDS, ids=lambda command: command.NAME)
def test_every_command_helps_with_examples_that_it_understands(
    command: ModuleType, capsys: pytest.CaptureFixture[str]
) -> None:
    with pytest.raises(SystemExit) as end:
        main([command.NAME, "--help"])
    assert end.value.code == 0
    examples = capsys.readouterr().out.split("examples:\n")[1].strip().splitlines()
    assert len(examples) >= 2
    for line in examples:
        words = line.split("   ")[0].split(" > ")[0].split()
        assert words[:2] == ["heteroscope", command.NAME]
        parser_of_commands().parse_args(words[1:])


def complete(script: Path, *words: str) -> list[str]:
    """What bash offers for the last word."""
    line = " ".join(f"'{word}'" for word in words)
    code = (
        f"source {script}; COMP_WORDS=({line}); COMP_CWORD={len(words) - 1};"
        ' $(complete -p heteroscope | sed "s/.*-F \\([^ ]*\\).*/\\1/") heteroscope; printf "%s\\n" "${COMPREPLY[@]}"'
    )
    done = subprocess.run(["bash", "-c", code], capture_output=True, text=True, check=True)
    return done.stdout.split()


@pytest.mark.skipif(not shutil.which("bash"), reason="there is no bash")
def test_bash_completes_commands_and_options(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    with pytest.raises(SystemExit):
        main(["--print-completion", "bash"])
    script = tmp_path / "completion"
    script.write_text(capsys.readouterr().out)
    assert complete(script, "heteroscope", "sh") == ["show"]
    assert set(complete(script, "heteroscope", "")) == {command.NAME for command in COMMANDS}
    assert "--table" in complete(script, "heteroscope", "show", "--")
