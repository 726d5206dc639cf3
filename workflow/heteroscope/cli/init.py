"""Write a first configuration for a folder or table of images, and say what was guessed and what to check.

A folder holds a folder of images for each class; folders above or below these may be a split (train, test),
patients, or sites. A table is a CSV or TSV with a row an image: a column of paths, one of classes, others as
they are. Nothing is run, and no image is read.
"""

from __future__ import annotations

import argparse
import shlex
from pathlib import Path

import shtab
import yaml

from heteroscope.atomic import atomic_path
from heteroscope.config import load
from heteroscope.errors import ConfigError
from heteroscope.guess import Guess, guess_folder, guess_table, sketch
from heteroscope.guess.sketch import study_id

NAME = "init"
EXAMPLES = """\
  heteroscope init my-images                            my-images/healthy/…, my-images/ill/…
  heteroscope init my-images --output first.yaml
  heteroscope init my-images/labels.csv --label diagnosis --patient ID"""
COLUMNS = ("path_column", "label", "patient")


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """The arguments of the command."""
    root = parser.add_argument("root", type=Path, metavar="ROOT", help="a folder of images, or a table that lists them")
    root.complete = shtab.FILE  # type: ignore[attr-defined]
    parser.add_argument(
        "--output", type=Path, default=Path("mine.yaml"), metavar="FILE", help="what to write (default: mine.yaml)"
    )
    parser.add_argument("--force", action="store_true", help="replace the file if it is there")
    parser.add_argument("--label", metavar="COLUMN", help="of a table: the column with the class")
    parser.add_argument("--patient", metavar="COLUMN", help="of a table: the column with the patient")
    parser.add_argument(
        "--path", dest="path_column", metavar="COLUMN", help="of a table: the column with the image's path"
    )


def main(args: argparse.Namespace) -> None:
    """Guess, write, and tell.

    Raises:
        ConfigError: the file is there already, or the options do not go together.
        DataError: the images or the table cannot be used; with what to do.
    """
    if args.output.exists() and not args.force:
        raise ConfigError(f"{args.output}: there already; name another file by --output, or replace it by --force")
    guess = _guess(args)
    study = study_id(args.root)
    text = sketch(guess, study=study, source=args.root, target=args.output)
    load(yaml.safe_load(text))
    with atomic_path(args.output) as temporary:
        temporary.write_text(text, encoding="utf-8")
    print("\n".join(_told(guess, args, study)))


def _guess(args: argparse.Namespace) -> Guess:
    given = {name: getattr(args, name) for name in COLUMNS}
    if args.root.is_file():
        return guess_table(args.root, **given)
    if any(given.values()):
        raise ConfigError(f"--label, --patient and --path name columns of a table, and {args.root} is none")
    return guess_folder(args.root)


def _told(guess: Guess, args: argparse.Namespace, study: str) -> list[str]:
    """What was found, what to check, and how to go on."""
    width, file = max(map(len, guess.found)), shlex.quote(str(args.output))
    return [
        f"{args.root}: {guess.images} images",
        *(f"  {subject:{width}}  {sentence}" for subject, sentence in guess.found.items()),
        f"\nwritten: {args.output}, the study {study!r}. To check there:",
        *(f"  - {doubt}" for doubt in guess.doubts),
        "  - the backbone: published weights, which are downloaded once; the file says what to do without a network",
        "\nThen:",
        f"  heteroscope check {file}",
        f"  snakemake --cores all --configfile {file}",
        f"  heteroscope show {study}",
    ]
