"""Split a dataset into training, validation, test and backbone images, and count them."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path

from heteroscope.config import Split, parse
from heteroscope.stages.command import fix_threads, parser, run


def main(argv: Sequence[str] | None = None) -> None:
    """Parse, load, call, save."""
    arguments = parser(__doc__)
    arguments.add_argument("--images", type=Path, required=True, help="images.parquet")
    arguments.add_argument("--spec", required=True, help="the split's configuration as JSON")
    arguments.add_argument("--classes-order", required=True, help="class names as a JSON list, the negative first")
    arguments.add_argument("--fold", type=int, help="which fold is the test set, from 1")
    arguments.add_argument("--split", type=Path, required=True, help="output: split.parquet")
    arguments.add_argument("--counts", type=Path, required=True, help="output: counts.csv")
    arguments.add_argument("--figure", type=Path, required=True, help="output: counts.png")
    args = arguments.parse_args(argv)
    spec = parse(Split, args.spec)
    class_names = parse(list[str], args.classes_order)
    fix_threads(args.threads)

    from heteroscope.data.counts import part_counts
    from heteroscope.data.splits import make_split
    from heteroscope.figures.counts import draw_counts
    from heteroscope.store import read_table, write_table

    images = read_table(args.images)
    split = make_split(images, spec, args.fold, class_names)
    counts = part_counts(split, images)
    write_table(split, args.split)
    write_table(counts, args.counts)
    draw_counts(counts, args.figure)


if __name__ == "__main__":
    run(main)
