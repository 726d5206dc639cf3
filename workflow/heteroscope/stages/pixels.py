"""Decode a dataset's images to one size, copying those that older files hold."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path

from heteroscope.config import Pixels, parse
from heteroscope.stages.command import fix_threads, parser, run


def main(argv: Sequence[str] | None = None) -> None:
    """Parse, load, call, save."""
    arguments = parser(__doc__)
    arguments.add_argument("--images", type=Path, required=True, help="images.parquet")
    arguments.add_argument("--root", type=Path, help="folder that paths are relative to (not for a union)")
    arguments.add_argument("--spec", required=True, help="the pixel configuration as JSON")
    arguments.add_argument("--reuse", type=Path, nargs="*", default=[], help="other pixels.h5 to copy from")
    arguments.add_argument("--pixels", type=Path, required=True, help="output: pixels.h5; its digest stands beside it")
    arguments.add_argument(
        "--workers", type=int, default=2, help="threads that decode; no part of the result (default 2)"
    )
    args = arguments.parse_args(argv)
    spec = parse(Pixels, args.spec)
    fix_threads(args.threads)

    from heteroscope.data.pixels import build_pixels
    from heteroscope.store import read_table

    images = read_table(args.images)
    build_pixels(images, root=args.root, spec=spec, target=args.pixels, reuse=args.reuse, workers=args.workers)


if __name__ == "__main__":
    run(main)
