"""Generate the phantom: fundus-like photographs of two classes with known hidden strata."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path

from heteroscope.config import PhantomDataset, parse
from heteroscope.stages.command import fix_threads, parser, run


def main(argv: Sequence[str] | None = None) -> None:
    """Parse, load, call, save."""
    arguments = parser(__doc__)
    arguments.add_argument("--spec", required=True, help="the dataset's configuration as JSON")
    arguments.add_argument("--root", type=Path, required=True, help="output: folder of images and phantom.csv")
    arguments.add_argument("--listing", type=Path, required=True, help="output: listing.tsv")
    args = arguments.parse_args(argv)
    spec = parse(PhantomDataset, args.spec)
    fix_threads(args.threads)

    from heteroscope.data.listing import update_listing
    from heteroscope.data.phantom import generate
    from heteroscope.data.sources import tables_of

    generate(spec, args.root)
    update_listing(args.root, args.listing, tables_of(spec))


if __name__ == "__main__":
    run(main)
