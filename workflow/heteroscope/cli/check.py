"""Check a configuration, its files and results, and say what would run, how long and how large.

Snakemake compares times, and contents of small inputs only: a result that was edited by hand, or that
a disk has damaged, can stay unseen. Every result's SHA-256 is recorded when it is written; this command
reads all results of the studies of a configuration and compares. It changes no result.

What would run is Snakemake's own plan. Sizes follow from counts of images; times are those of earlier
jobs of the same rules in this folder, and where there are none it says so.

The status is 1 where something is wrong; what to do about it is printed. Files that are missing, or that
an older version has left without a record, are counted and are no error.
"""

from __future__ import annotations

import argparse
import os
import shlex
from collections.abc import Iterator, Mapping, Sequence
from contextlib import suppress
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import shtab
import yaml

from heteroscope.checksums import RESULTS, recorded_below, recorded_checksum
from heteroscope.cli.plan import plan_lines, planned_jobs
from heteroscope.config import Study, load
from heteroscope.config.repeated import refuse_repeated_keys
from heteroscope.data.listing import ListedFile, scan
from heteroscope.data.quality import counted_reasons, rejected_unopened
from heteroscope.data.sources import read_source
from heteroscope.data.targets import target_values
from heteroscope.errors import ConfigError, DataError, StoreError, UserError
from heteroscope.layout import Layout
from heteroscope.provenance import file_sha256
from heteroscope.store import read_table

NAME = "check"
EXAMPLES = """\
  heteroscope check mine.yaml
  heteroscope check config/studies/cataract.yaml --config data_root=/data"""
SHARED_FOLDERS = ("split", "weights")  # below results/: a folder holds files of several ids
NAMED_AT_MOST = 10


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """The arguments of the command."""
    config = parser.add_argument(
        "config", type=Path, metavar="CONFIG", help="the file that --configfile of snakemake names"
    )
    config.complete = shtab.FILE  # type: ignore[attr-defined]
    parser.add_argument(
        "--config", nargs="+", default=[], dest="values", metavar="KEY=VALUE", help="as --config of snakemake"
    )
    parser.add_argument(
        "--directory", type=Path, default=Path(), help="where results/ stands (default: the current folder)"
    )
    parser.add_argument("--no-plan", dest="plan", action="store_false", help="compare only; do not say what would run")


def main(args: argparse.Namespace) -> None:
    """Print what is wrong and what to do, or one line where all is well.

    Raises:
        ConfigError: the configuration or the folder cannot be used.
        SystemExit: with status 1 where something is wrong.
    """
    layout = Layout(load(read_config(args.config, args.values)))
    if not args.directory.is_dir():
        raise ConfigError(f"--directory {str(args.directory)!r}: no such folder")
    config = args.config.resolve()
    os.chdir(args.directory)  # as snakemake does: all paths of the configuration and the layout start there
    files, missing = found_sources(layout)
    wrong, left_out = ([], []) if missing else rows_of_sources(layout, files)
    problems = [*missing, *wrong, *wrong_targets(layout)]
    results = check_results(layout)
    for line in [*problems, *left_out, *results.lines()]:
        print(line)
    if results.changed:
        print(f"\n{_remedy(list(results.changed), args)}")
    if args.plan and not problems:
        for line in plan_lines(layout, planned_jobs(config, args.values)):
            print(line)
    if problems or results.changed:
        raise SystemExit(1)


class _Loader(yaml.SafeLoader):
    """Names the line of what YAML takes for a date or a number that there is not."""

    def construct_object(self, node: yaml.Node, deep: bool = False) -> Any:
        try:
            return super().construct_object(node, deep)  # type: ignore[no-untyped-call]
        except ValueError as error:
            line, value = node.start_mark.line + 1, str(node.value)[:40]
            raise ValueError(f"line {line}: {value!r}: {error}; for text put it in quotes") from None


def read_config(path: Path, values: Sequence[str] = ()) -> dict[str, Any]:
    """A configuration file with single values changed, each `key=value` in YAML, as Snakemake merges them.

    Raises:
        ConfigError: the file cannot be read, is no mapping or gives a key twice, or a value is not of that form.
    """
    try:
        refuse_repeated_keys(path)
        config = yaml.load(path.read_text(encoding="utf-8"), _Loader)
        changes = {key: yaml.safe_load(text) for key, _, text in (value.partition("=") for value in values)}
    except RecursionError:
        raise ConfigError(f"{path}: cannot be read (nested too deeply); write it flatter") from None
    except yaml.MarkedYAMLError as error:
        raise ConfigError(f"{path}: cannot be read as YAML: {_trouble(error, path)}") from None
    except (OSError, ValueError, yaml.YAMLError) as error:
        raise ConfigError(f"{path}: cannot be read ({getattr(error, 'strerror', None) or error})") from None
    if not isinstance(config, Mapping):
        raise ConfigError(f"{path}: not a mapping of keys such as `datasets:` and `studies:`")
    if wrong := [value for value in values if "=" not in value]:
        raise ConfigError(f"--config {wrong[0]!r}: expected KEY=VALUE")
    return _merged(config, changes)


def _trouble(error: yaml.MarkedYAMLError, path: Path) -> str:
    """Where a file is no YAML, and why, in one line."""
    if error.problem_mark is None:
        return str(error)
    number, column = error.problem_mark.line, error.problem_mark.column
    lines = [*path.read_text(encoding="utf-8").split("\n"), ""]
    tab = lines[number][column : column + 1] == "\t"
    remedy = "a tab stands there; indent by spaces" if tab else "look at the indentation, colons and brackets before it"
    return f"line {number + 1}, column {column + 1}: {error.problem}; {remedy}"


def _merged(config: Mapping[str, Any], changes: Mapping[str, Any]) -> dict[str, Any]:
    merged = dict(config)
    for key, value in changes.items():
        below = merged.get(key)
        merged[key] = _merged(below, value) if isinstance(below, Mapping) and isinstance(value, Mapping) else value
    return merged


# ----------------------------------------------------------------------------------------- sources


def found_sources(layout: Layout) -> tuple[dict[str, list[ListedFile]], list[str]]:
    """The files of every dataset that lives in a folder, and what is missing of weights, images and tables."""
    found, missing = {}, []
    try:
        layout.check_weights_files()
    except UserError as error:
        missing.append(str(error))
    for name, (root, tables) in layout.scanned().items():
        try:
            found[name] = [ListedFile(path, size, "") for path, (size, _) in scan(root, tables).items()]
        except UserError as error:
            missing.append(str(error))
    return found, missing


def rows_of_sources(layout: Layout, files: Mapping[str, list[ListedFile]]) -> tuple[list[str], list[str]]:
    """What is wrong with tables and classes, and which rows are left out before any image is opened."""
    wrong, left_out = [], []
    for name, listed in files.items():
        spec, (root, _) = layout.config.datasets[name], layout.scanned()[name]
        try:
            source = read_source(spec, root, listed)
            rejected = rejected_unopened(source, spec, root=root, paths=[file.path for file in listed])
        except UserError as error:
            wrong.append(f"datasets.{name}: {error}")
            continue
        if len(rejected):
            left_out.append(
                f"datasets.{name}: {len(rejected)} of {len(source)} rows are left out before any image is opened"
                f" ({counted_reasons(rejected)})"
            )
    return wrong, left_out


def wrong_targets(layout: Layout) -> Iterator[str]:
    """Targets of regressions that are no numbers, of the datasets whose images have been read already."""
    asked = [
        (spec.dataset, layout.config.regressions[name].target)
        for spec in layout.config.studies.values()
        for name in spec.regressions
    ]
    for dataset, target in dict.fromkeys(asked):
        path = Path(layout.images(dataset))
        if not path.is_file():
            continue
        with suppress(StoreError):  # a damaged table stands among the results
            images = read_table(path)
            try:
                target_values(images, target, dataset)
            except DataError as error:
                yield str(error)


# ----------------------------------------------------------------------------------------- results


@dataclass(frozen=True)
class Results:
    """How the results of a configuration stand to their records.

    Attributes:
        whole: as they were written.
        changed: not as they were written, or not readable, with the reason.
        deleted: written once, and not there any more.
        missing: not made yet.
        unrecorded: written without a record.
    """

    whole: list[Path]
    changed: dict[Path, str]
    deleted: list[Path]
    missing: list[Path]
    unrecorded: list[Path]

    def lines(self) -> Iterator[str]:
        """The finding in words: a line a changed file, then a line for each of the others together."""
        yield from (f"{path}: {reason}" for path, reason in self.changed.items())
        yield f"as they were written: {len(self.whole)} results"
        if self.deleted:
            yield f"deleted since, and made again by a run that needs them: {_named(self.deleted)}"
        if self.missing:
            yield f"not made yet: {len(self.missing)} results"
        if self.unrecorded:
            yield f"not compared, since an older version left no record: {_named(self.unrecorded)}"


def check_results(layout: Layout) -> Results:
    """Compare every result of a configuration with the SHA-256 that was recorded when it was written."""
    found = Results([], {}, [], [], [])
    named = {Path(name) for name in results_of(layout)}
    for path in sorted(named | set(_recorded_beside(named))):
        recorded = recorded_checksum(path)
        if not path.is_file():
            (found.missing if recorded is None else found.deleted).append(path)
        elif recorded is None:
            found.unrecorded.append(path)
        elif reason := _difference(path, recorded):
            found.changed[path] = reason
        else:
            found.whole.append(path)
    return found


def results_of(layout: Layout) -> Iterator[str]:
    """The results that the studies of a configuration rest on; beside them stand those that no rule reads."""
    yield from ("results/report/index.html", *layout.feature_files(), *layout.network_files())
    for study, spec in layout.config.studies.items():
        yield from (f"results/compare/{study}/verdict.json", f"results/report/{study}/index.html")
        yield from layout.compared_files(study) + layout.shown_files(study) + layout.dataset_tables(study)
        yield from (*layout.branch_files(study), *layout.explained_files(study))
        yield from (path for model in layout.hybrid_models(study) if spec.hybrids for path in model["predictions"])
        yield from layout.regression_files(study)
        for split in dict.fromkeys([spec.split, *layout.config.folds(spec.split)]):
            yield from (f"results/split/{spec.dataset}/{split}.{ending}" for ending in ("parquet", "csv", "png"))
        for dataset in (spec.dataset, *layout.members(spec.dataset)):
            yield layout.images(dataset)
            if dataset in layout.generated():
                yield from (layout.listing(dataset), f"{layout.root(dataset)}/phantom.csv")
        for backbone in (part for fused in spec.backbones for part in layout.parts(fused)):
            yield from _embedding_results(layout, spec, backbone)


def _embedding_results(layout: Layout, spec: Study, backbone: str) -> Iterator[str]:
    """What a plain backbone needs and makes for a study's images, and for those of a union's members."""
    network = layout.network(backbone, spec.split)
    yield f"results/weights/{backbone}.pt"
    for dataset in (spec.dataset, *layout.members(spec.dataset)):
        yield from layout.pixels_of(dataset, backbone)
        if dataset == spec.dataset or not layout.is_trained(backbone):
            yield from layout.weights(dataset, network) + layout.recipe(dataset, network)
            yield from (layout.embeddings(dataset, network), *layout.parts_of_embeddings(dataset, network))
    for views in layout.views_of(spec.dataset, backbone, spec.split, spec.augmentation):
        yield from (views, *layout.parts_of_views(spec.dataset, backbone, spec.split, spec.augmentation))


def _recorded_beside(named: set[Path]) -> Iterator[Path]:
    """Results in the same folders that have a record, such as digests and tables in other formats."""
    for folder in {path.parent for path in named}:
        if folder.relative_to(RESULTS).parts[0] not in SHARED_FOLDERS:
            # the listing of a raw folder is no result: every run of snakemake brings it up to date
            yield from (path for path in recorded_below(folder) if path.name != "listing.tsv")


def _difference(path: Path, recorded: str) -> str:
    """Why a result is not as it was recorded; empty where it is."""
    try:
        found = file_sha256(path)
    except OSError as error:
        return f"cannot be read ({error.strerror})"
    return "" if found == recorded else "changed by hand or damaged: its content is not what was written"


def _named(paths: Sequence[Path]) -> str:
    more = f" and {len(paths) - NAMED_AT_MOST} more" if len(paths) > NAMED_AT_MOST else ""
    return ", ".join(map(str, paths[:NAMED_AT_MOST])) + more


def _remedy(changed: Sequence[Path], args: argparse.Namespace) -> str:
    """The commands, for the folder that this one was given in, that make changed results again and all behind them."""
    here = args.directory == Path()
    snakemake = ["snakemake", "--cores", "all", "--configfile", str(args.config)]
    snakemake += [] if here else ["--directory", str(args.directory)]
    snakemake += ["--config", *args.values] if args.values else []
    return "\n".join(
        [
            "To make them again, and what was made of them:",
            f"  {shlex.join(['rm', '-f', *(str(args.directory / path) for path in changed)])}",
            f"  {shlex.join([*snakemake, '--forcerun', *map(str, changed)])}",
        ]
    )
