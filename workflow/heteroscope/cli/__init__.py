"""The command line `heteroscope`: what a user asks about a study beside running it."""

from __future__ import annotations

import argparse
from collections.abc import Sequence

from heteroscope.cli import check, init
from heteroscope.stages.command import run

COMMANDS = (init, check)  # modules with NAME, EXAMPLES, add_arguments and main


def main(argv: Sequence[str] | None = None) -> None:
    """Parse, and run one command."""
    parser = argparse.ArgumentParser(prog="heteroscope", description=__doc__)
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
    args = parser.parse_args(argv)
    args.main(args)


def run_command() -> None:
    """Run the command that the process was started with; errors that a user can mend end it without a traceback."""
    run(main)
