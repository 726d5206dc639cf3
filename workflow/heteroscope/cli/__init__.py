"""The command line `heteroscope`: what a user asks about a study beside running it."""

from __future__ import annotations

import argparse
import os
import sys
from collections.abc import Sequence

import shtab

from heteroscope.cli import check, init, show
from heteroscope.stages.command import run

COMMANDS = (init, check, show)  # modules with NAME, EXAMPLES, add_arguments and main
EXAMPLES = """\
from a folder of images to an answer:
  heteroscope init my-images                        writes mine.yaml
  heteroscope check mine.yaml                       is all there, what would run
  snakemake --cores all --configfile mine.yaml
  heteroscope show my-images

completion by TAB in bash, once a shell:
  eval "$(heteroscope --print-completion bash)"
"""


def main(argv: Sequence[str] | None = None) -> None:
    """Parse, and run one command."""
    parser = parser_of_commands()
    args = parser.parse_args(argv)
    args.main(args)


def parser_of_commands() -> argparse.ArgumentParser:
    """The parser of all commands."""
    parser = argparse.ArgumentParser(
        prog="heteroscope",
        description=__doc__,
        epilog=EXAMPLES,
        formatter_class=argparse.RawDescriptionHelpFormatter,
    )
    shtab.add_argument_to(parser, help="print what a shell completes these commands by, and end")
    commands = parser.add_subparsers(title="commands", metavar="COMMAND", required=True)
    for module in COMMANDS:
        summary, _, details = (module.__doc__ or "").partition("\n")
        command = commands.add_parser(
            module.NAME,
            help=summary.rstrip("."),
            description=f"{summary}\n{details}",
            epilog=f"examples:\n{module.EXAMPLES}",
            formatter_class=argparse.RawDescriptionHelpFormatter,
        )
        module.add_arguments(command)
        command.set_defaults(main=module.main)
    return parser


def run_command() -> None:
    """Run the command that the process was started with; errors that a user can mend end it without a traceback."""
    try:
        run(main)
    except BrokenPipeError:  # whoever read the output, such as `head`, has read enough
        os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())
