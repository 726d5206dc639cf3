"""List the usable images of a dataset, and every rejected row with its reason."""

from __future__ import annotations

import logging
from collections.abc import Sequence
from pathlib import Path

from heteroscope.config import Dataset, UnionDataset, parse
from heteroscope.stages.command import fix_threads, parser, run

log = logging.getLogger(__name__)


def main(argv: Sequence[str] | None = None) -> None:
    """Parse, load, call, save."""
    arguments = parser(__doc__)
    arguments.add_argument("--spec", required=True, help="the dataset's configuration as JSON")
    arguments.add_argument("--root", type=Path, default=Path(), help="folder of its files (not for a union)")
    arguments.add_argument("--listing", type=Path, help="listing.tsv of the root (not for a union)")
    arguments.add_argument(
        "--member", action="append", default=[], metavar="NAME=IMAGES", help="for a union: a dataset's images.parquet"
    )
    arguments.add_argument("--images", type=Path, required=True, help="output: images.parquet")
    arguments.add_argument("--rejected", type=Path, required=True, help="output: rejected.csv")
    arguments.add_argument("--classes", type=Path, required=True, help="output: classes.csv")
    arguments.add_argument(
        "--workers", type=int, default=2, help="threads that decode; no part of the result (default 2)"
    )
    args = arguments.parse_args(argv)
    spec = parse(Dataset, args.spec)
    if not isinstance(spec, UnionDataset) and args.listing is None:
        arguments.error("--listing is required")
    fix_threads(args.threads)

    from heteroscope.data.listing import read_listing
    from heteroscope.data.quality import class_counts, counted_reasons, curate
    from heteroscope.data.sources import read_source, read_union
    from heteroscope.store import read_table, write_table

    if isinstance(spec, UnionDataset):
        listing = []
        members = dict(text.split("=", 1) for text in args.member)
        source = read_union(spec, {name: read_table(Path(path)) for name, path in members.items()})
    else:
        listing = read_listing(args.listing)
        source = read_source(spec, args.root, listing)
    images, rejected = curate(source, spec, root=args.root, listing=listing, workers=args.workers)
    if len(rejected):
        rows, reasons = len(rejected) + len(images), counted_reasons(rejected)
        log.warning("%d of %d rows are left out (%s); each stands in %s", len(rejected), rows, reasons, args.rejected)
    write_table(images, args.images)
    write_table(rejected, args.rejected)
    write_table(class_counts(images, spec.class_names), args.classes)


if __name__ == "__main__":
    run(main)
